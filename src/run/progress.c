#include "run/progress.h"

#include "base/file.h"
#include "base/json.h"
#include "base/clock.h"
#include "run/prometheus.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <string.h>
#include <unistd.h>

static const int64_t NS = 1000000000;
enum { BAR_MS = 250, LINE_S = 10, BAR_CELLS = 24, MAX_RANKS_LISTED = 256 };

/* The id of the batch job: of Slurm, an array's task as ARRAY_TASK; of PBS; of LSF. */
static void find_job(char *out, size_t n) {
    const char *array = getenv("SLURM_ARRAY_JOB_ID"), *task = getenv("SLURM_ARRAY_TASK_ID");
    const char *id = getenv("SLURM_JOB_ID");
    if (!id) id = getenv("PBS_JOBID");
    if (!id) id = getenv("LSB_JOBID");
    if (array && task)
        snprintf(out, n, "%s_%s", array, task);
    else
        snprintf(out, n, "%s", id ? id : "");
}

void sg_progress_begin(struct sg_progress *p, const char *run_dir, int64_t total, int64_t done,
                       int64_t failed, struct sg_progress_rank *ranks, int32_t n_ranks, bool quiet) {
    memset(p, 0, sizeof *p);
    p->run_dir = run_dir;
    p->total = total;
    p->done_before = done;
    p->failed_before = failed;
    p->ranks = ranks;
    p->n_ranks = n_ranks;
    p->quiet = quiet;
    p->terminal = isatty(STDERR_FILENO) != 0;
    p->started = p->last_line = sg_clock_ns();
    find_job(p->job, sizeof p->job);
    for (int32_t i = 0; i < n_ranks; i++) p->shared = p->shared || ranks[i].device_of != i;
}

/* Ranks that share a device all measure its energy since they opened it: takes the largest value. */
static void add_meters(const struct sg_progress *p, struct sg_counts *t) {
    t->joules = t->watts = 0;
    t->celsius = -INFINITY;
    bool joules = false, watts = false;
    for (int32_t i = 0; i < p->n_ranks; i++) {
        const struct sg_counts *c = &p->ranks[i].counts;
        if (!c->metered || p->ranks[i].device_of != i) continue;
        double most = c->joules;
        for (int32_t k = i + 1; k < p->n_ranks && p->shared; k++) {
            const struct sg_counts *o = &p->ranks[k].counts;
            if (p->ranks[k].device_of == i && o->metered && !(o->joules <= most)) most = o->joules;
        }
        t->metered = true;
        joules = joules || !isnan(most);
        watts = watts || !isnan(c->watts);
        t->joules += isnan(most) ? 0 : most;
        t->watts += isnan(c->watts) ? 0 : c->watts;
        if (c->celsius > t->celsius) t->celsius = c->celsius;
    }
    if (!joules) t->joules = NAN;
    if (!watts) t->watts = NAN;
    if (!isfinite(t->celsius)) t->celsius = NAN;
}

struct sg_counts sg_progress_totals(const struct sg_progress *p) {
    struct sg_counts t = {0};
    for (int32_t i = 0; i < p->n_ranks; i++) {
        const struct sg_counts *c = &p->ranks[i].counts;
        t.cells += c->cells;
        t.weight += c->weight;
        t.failed += c->failed;
        t.prompt_tokens += c->prompt_tokens;
        t.output_tokens += c->output_tokens;
        t.busy_ns += c->busy_ns;
    }
    add_meters(p, &t);
    return t;
}

double sg_progress_seconds(const struct sg_progress *p) {
    return sg_clock_since(p->started);
}

/* Rates over the window, and seconds until the rest is done (-1: not known). */
struct rates {
    double cells, tokens, eta;
    int32_t slowest; /* -1: one rank, or nothing known yet */
    double slowest_rate;
};

static struct rates measure(struct sg_progress *p, int64_t now, const struct sg_counts *t) {
    struct rates r = {.eta = -1, .slowest = -1};
    int64_t last = p->n_window ? p->window[(p->n_window - 1) % SG_PROGRESS_WINDOW].at : 0;
    if (now - last >= NS) {
        size_t i = (size_t)(p->n_window++ % SG_PROGRESS_WINDOW);
        p->window[i].at = now;
        p->window[i].cells = t->cells;
        p->window[i].tokens = t->output_tokens;
    }
    size_t oldest = p->n_window > SG_PROGRESS_WINDOW ? (size_t)(p->n_window % SG_PROGRESS_WINDOW) : 0;
    bool whole = p->n_window <= SG_PROGRESS_WINDOW; /* the run is younger than the window */
    double seconds = sg_clock_seconds(now - (whole ? p->started : p->window[oldest].at));
    if (seconds > 0) {
        r.cells = (double)(t->cells - (whole ? 0 : p->window[oldest].cells)) / seconds;
        r.tokens = (double)(t->output_tokens - (whole ? 0 : p->window[oldest].tokens)) / seconds;
    }
    if (r.cells > 0) r.eta = (double)(p->total - p->done_before - t->cells) / r.cells;
    double elapsed = sg_clock_seconds(now - p->started);
    int32_t computing = 0;
    for (int32_t i = 0; i < p->n_ranks; i++) {
        if (!p->ranks[i].computes) continue;
        double rate = elapsed > 0 ? (double)p->ranks[i].counts.cells / elapsed : 0;
        if (computing++ == 0 || rate < r.slowest_rate) {
            r.slowest = i;
            r.slowest_rate = rate;
        }
    }
    if (computing < 2 || t->cells == 0) r.slowest = -1;
    return r;
}

static void put_time(char *out, size_t n, double seconds) {
    long s = (long)(seconds + 0.5);
    if (seconds < 0)
        snprintf(out, n, "?");
    else if (s >= 3600)
        snprintf(out, n, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, n, "%ld:%02ld", s / 60, s % 60);
}

static void draw(struct sg_progress *p, const struct sg_counts *t, const struct rates *r) {
    int64_t done = p->done_before + t->cells, failed = p->failed_before + t->failed;
    double share = p->total ? (double)done / (double)p->total : 1;
    char eta[32], elapsed[32], slow[SG_HOST_MAX + 64] = "", bad[40] = "";
    put_time(eta, sizeof eta, r->eta);
    put_time(elapsed, sizeof elapsed, sg_progress_seconds(p));
    if (failed) snprintf(bad, sizeof bad, ", %lld failed", (long long)failed);
    if (p->terminal) {
        char bar[BAR_CELLS + 1];
        int full = (int)(share * BAR_CELLS);
        memset(bar, '.', BAR_CELLS);
        memset(bar, '#', (size_t)full);
        bar[BAR_CELLS] = 0;
        if (r->slowest >= 0)
            snprintf(slow, sizeof slow, "  slowest: rank %d, %.3g/s", (int)r->slowest, r->slowest_rate);
        fprintf(stderr, "\r[%s] %3.0f%%  %lld/%lld cells%s  %.3g/s  %.0f tokens/s  %s, ETA %s%s\033[K", bar,
                100 * share, (long long)done, (long long)p->total, bad, r->cells, r->tokens, elapsed, eta,
                slow);
        fflush(stderr);
        p->drawn = true;
    } else {
        if (r->slowest >= 0)
            snprintf(slow, sizeof slow, ", slowest rank %d on %s at %.3g cells/s", (int)r->slowest,
                     p->ranks[r->slowest].host, r->slowest_rate);
        fprintf(
            stderr,
            "scope-grid: %lld of %lld cells (%.0f %%)%s, %.3g cells/s, %.0f tokens/s, %s elapsed, ETA %s%s\n",
            (long long)done, (long long)p->total, 100 * share, bad, r->cells, r->tokens, elapsed, eta, slow);
    }
}

/* Energy, power and temperature; null: not known. */
static enum sg_status put_meter(struct sg_buf *b, const struct sg_counts *c) {
    char joules[SG_JSON_NUMBER], watts[SG_JSON_NUMBER], celsius[SG_JSON_NUMBER];
    sg_json_number(c->metered ? c->joules : NAN, joules);
    sg_json_number(c->metered ? c->watts : NAN, watts);
    sg_json_number(c->metered ? c->celsius : NAN, celsius);
    return sg_buf_printf(b, NULL, ", \"joules\": %s, \"watts\": %s, \"celsius\": %s", joules, watts, celsius);
}

/* Renames the file, so that a reader never sees half of it. No fsync: a crash may lose this file. */
static void write_file(const struct sg_progress *p, const char *state, const char *error,
                       const struct sg_counts *t, const struct rates *r) {
    struct sg_buf b = {0};
    char *path = NULL;
    enum sg_status st = SG_OK;
    SG_TRY(sg_buf_printf(
        &b, NULL,
        "{\"state\": \"%s\", \"done\": %lld, \"total\": %lld, \"failed\": %lld, \"seconds\": %.1f, "
        "\"cells_per_s\": %.6g, \"prompt_tokens\": %lld, \"output_tokens\": %lld, "
        "\"output_tokens_per_s\": %.6g, \"eta_s\": %.0f, \"time\": %lld, \"error\": ",
        state, (long long)(p->done_before + t->cells), (long long)p->total,
        (long long)(p->failed_before + t->failed), sg_progress_seconds(p), r->cells,
        (long long)t->prompt_tokens, (long long)t->output_tokens, r->tokens, r->eta, (long long)time(NULL)));
    if (error)
        SG_TRY(sg_json_quote(&b, error, strlen(error), NULL));
    else
        SG_TRY(sg_buf_str(&b, "null", NULL));
    SG_TRY(sg_buf_str(&b, ", \"ranks\": [", NULL));
    for (int32_t i = 0, n = 0; i < p->n_ranks && n < MAX_RANKS_LISTED; i++) {
        const struct sg_progress_rank *k = &p->ranks[i];
        if (!k->computes) continue;
        SG_TRY(sg_buf_printf(&b, NULL, "%s{\"rank\": %d, \"host\": ", n++ ? ", " : "", (int)i));
        SG_TRY(sg_json_quote(&b, k->host, strlen(k->host), NULL));
        SG_TRY(sg_buf_printf(&b, NULL, ", \"cells\": %lld, \"output_tokens\": %lld, \"busy_s\": %.3f",
                             (long long)k->counts.cells, (long long)k->counts.output_tokens,
                             sg_clock_seconds(k->counts.busy_ns)));
        if (k->device) {
            SG_TRY(sg_buf_str(&b, ", \"device\": ", NULL));
            SG_TRY(sg_json_quote(&b, k->device, strlen(k->device), NULL));
        }
        SG_TRY(put_meter(&b, &k->counts));
        SG_TRY(sg_buf_str(&b, "}", NULL));
    }
    SG_TRY(sg_buf_str(&b, "]", NULL));
    if (p->devices) {
        SG_TRY(sg_buf_str(&b, ", \"devices\": ", NULL));
        SG_TRY(sg_json_quote(&b, p->devices, strlen(p->devices), NULL));
    }
    SG_TRY(put_meter(&b, t));
    SG_TRY(sg_buf_str(&b, "}\n", NULL));
    SG_TRY(sg_path_join(p->run_dir, "progress.json", &path, NULL));
    (void)sg_file_write_soon(path, b.data, b.len, NULL);
out:
    free(path);
    sg_buf_free(&b);
}

/* Energy of every rank's device, by rank; null: not known. */
static enum sg_status put_rank_joules(const struct sg_progress *p, const struct sg_counts *t,
                                      struct sg_buf *b) {
    enum sg_status st = SG_OK;
    SG_TRY(sg_buf_printf(b, NULL, ", \"rank_joules\": %s", t->metered ? "[" : "null"));
    for (int32_t i = 0; t->metered && i < p->n_ranks && i < MAX_RANKS_LISTED; i++) {
        char joules[SG_JSON_NUMBER];
        sg_json_number(p->ranks[i].counts.metered ? p->ranks[i].counts.joules : NAN, joules);
        SG_TRY(sg_buf_printf(b, NULL, "%s%s", i ? ", " : "", joules));
    }
    if (t->metered) SG_TRY(sg_buf_str(b, "]", NULL));
out:
    return st;
}

/* Appends a line to metrics.jsonl: totals of this start of the run and how its ranks spent their time. */
static void add_metrics(struct sg_progress *p, const char *state, const struct sg_counts *t,
                        const struct rates *r) {
    struct sg_buf b = {0};
    char *path = NULL;
    int32_t computing = 0;
    const double seconds = sg_progress_seconds(p);
    for (int32_t i = 0; i < p->n_ranks; i++) computing += p->ranks[i].computes;
    const double had = seconds * computing, busy = sg_clock_seconds(t->busy_ns);
    p->last_metrics = sg_clock_ns();
    if (sg_buf_printf(
            &b, NULL,
            "{\"time\": %lld, \"state\": \"%s\", \"done\": %lld, \"total\": %lld, \"failed\": %lld, "
            "\"cells\": %lld, \"prompt_tokens\": %lld, \"output_tokens\": %lld, \"cells_per_s\": %.6g, "
            "\"output_tokens_per_s\": %.6g, \"ranks\": %d, \"startup_s\": %.3f, \"weights_s\": %.3f, "
            "\"plan_s\": %.3f, \"load_s\": %.3f, \"first_cell_s\": %.3f, \"seconds\": %.3f, "
            "\"busy_s\": %.3f, \"busy_share\": %.4f",
            (long long)time(NULL), state, (long long)(p->done_before + t->cells), (long long)p->total,
            (long long)(p->failed_before + t->failed), (long long)t->cells, (long long)t->prompt_tokens,
            (long long)t->output_tokens, r->cells, r->tokens, (int)computing, p->startup_s,
            p->start.weights_s, p->start.plan_s, p->start.load_s, p->start.first_cell_s, seconds, busy,
            had > 0 ? busy / had : 0) == SG_OK &&
        put_meter(&b, t) == SG_OK && put_rank_joules(p, t, &b) == SG_OK &&
        sg_buf_str(&b, ", \"job\": ", NULL) == SG_OK &&
        (*p->job ? sg_json_quote(&b, p->job, strlen(p->job), NULL) : sg_buf_str(&b, "null", NULL)) == SG_OK &&
        sg_buf_str(&b, "}\n", NULL) == SG_OK &&
        sg_path_join(p->run_dir, "metrics.jsonl", &path, NULL) == SG_OK) {
        const int fd = sg_open(path, SG_OPEN_APPEND);
        if (fd >= 0) {
            (void)!write(fd, b.data, b.len);
            close(fd);
        }
    }
    free(path);
    sg_buf_free(&b);
    const struct sg__prometheus now = {.run_dir = p->run_dir,
                                       .job = p->job,
                                       .state = state,
                                       .done = p->done_before + t->cells,
                                       .total = p->total,
                                       .failed = p->failed_before + t->failed,
                                       .ranks = computing,
                                       .seconds = seconds,
                                       .cells_per_s = r->cells,
                                       .busy_share = had > 0 ? busy / had : 0,
                                       .totals = t};
    sg__prometheus_write(&now);
}

static void note_first_cell(struct sg_progress *p) {
    for (int32_t i = 0; i < p->n_ranks && p->start.first_cell_s == 0; i++)
        if (p->ranks[i].counts.cells > 0) p->start.first_cell_s = p->startup_s + sg_progress_seconds(p);
}

void sg_progress_update(struct sg_progress *p) {
    int64_t now = sg_clock_ns();
    note_first_cell(p);
    bool line = !p->quiet && now - p->last_line >= (p->terminal ? (int64_t)BAR_MS * 1000000 : LINE_S * NS);
    bool file = now - p->last_file >= NS;
    if (!line && !file) return;
    struct sg_counts t = sg_progress_totals(p);
    struct rates r = measure(p, now, &t);
    if (line) {
        draw(p, &t, &r);
        p->last_line = now;
    }
    if (file) {
        write_file(p, "running", NULL, &t, &r);
        p->last_file = now;
        if (now - p->last_metrics >= LINE_S * NS) add_metrics(p, "running", &t, &r);
    }
}

void sg_progress_end(struct sg_progress *p, const char *state, const char *error) {
    note_first_cell(p);
    struct sg_counts t = sg_progress_totals(p);
    struct rates r = measure(p, sg_clock_ns(), &t);
    if (p->drawn) {
        draw(p, &t, &r);
        fputc('\n', stderr);
        p->drawn = false;
    }
    write_file(p, state, error, &t, &r);
    add_metrics(p, state, &t, &r);
}
