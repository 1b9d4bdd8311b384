#include "sweep/pilot.h"

#include "base/file.h"
#include "base/json.h"
#include "rundir/rundir.h"
#include "store/results.h"
#include "sweep/sweep_run.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_QUERIES = 8, MAX_PROGRESS_BYTES = 1 << 26 };
#define WITHIN_ONE_SD 0.6827 /* of a normal distribution */

/* ---- statistics --------------------------------------------------------------------------------------- */

static double mean_of(const double *x, int32_t n) {
    double sum = 0;
    int32_t m = 0;
    for (int32_t i = 0; i < n; i++)
        if (!isnan(x[i])) sum += x[i], m++;
    return sum / m; /* NaN: none */
}

void sg_pilot_spread(const double a[SG_PILOT_SAMPLES], const double b[SG_PILOT_SAMPLES],
                     double variance[SG_PILOT_SIZES]) {
    for (int32_t s = 0; s < SG_PILOT_SIZES; s++) {
        const int32_t n = 1 << s;
        double sum = 0;
        int32_t pairs = 0;
        for (int32_t i = 0; i < SG_PILOT_SAMPLES; i += n)
            for (int32_t j = 0; j < SG_PILOT_SAMPLES; j += n) {
                const double by = mean_of(a + i, n) - mean_of(b + j, n);
                if (!isnan(by)) sum += by * by / 2, pairs++;
            }
        variance[s] = sum / pairs;
    }
}

double sg_pilot_variance(const struct sg_pilot *p, enum sg_pilot_value value, bool stratified, int64_t n) {
    const double *v = p->variance[value];
    if (!stratified) return v[0] / (double)n;
    int32_t s = 0;
    while (s + 1 < SG_PILOT_SIZES && (int64_t)2 << s <= n) s++;
    return n <= SG_PILOT_SAMPLES ? v[s] : v[s] / (double)(n / SG_PILOT_SAMPLES);
}

int64_t sg_pilot_need(const struct sg_pilot *p, enum sg_pilot_value value, bool stratified,
                      double tolerance) {
    const double *v = p->variance[value], most = tolerance * tolerance;
    if (!stratified) return v[0] > most ? (int64_t)ceil(v[0] / most) : 1;
    for (int32_t s = 0; s < SG_PILOT_SIZES; s++)
        if (v[s] <= most) return (int64_t)1 << s;
    return SG_PILOT_SAMPLES * (int64_t)ceil(v[SG_PILOT_SIZES - 1] / most);
}

double sg_pilot_tokens(const struct sg_pilot *p, int64_t n) {
    return (double)(p->pick.all_queries * p->pick.n_models) *
           (p->prompt_tokens + (double)n * p->output_tokens);
}

double sg_pilot_seconds(const struct sg_pilot *p, int64_t n) {
    /* A cell of the pilot took 2 * 8 samples' output tokens at that rate, its prompt included. */
    const double samples = 2 * SG_PILOT_SAMPLES, of_pilot = samples * p->output_tokens / p->output_rate;
    return sg_pilot_tokens(p, n) / (p->prompt_tokens + samples * p->output_tokens) * of_pilot;
}

/* The least x[i] that `share` of the n are at most; sorts x. */
static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double quantile(double *x, size_t n, double share) {
    qsort(x, n, sizeof *x, by_size);
    const size_t rank = (size_t)ceil(share * (double)n);
    return x[rank > 0 ? rank - 1 : 0];
}

/* ---- the run ------------------------------------------------------------------------------------------ */

static enum sg_status write_in(const char *dir, const char *name, const struct sg_buf *b,
                               struct sg_err *err) {
    char *path = NULL;
    enum sg_status st = sg_path_join(dir, name, &path, err);
    if (st == SG_OK) st = sg_file_write_atomic(path, b->data, b->len, err);
    free(path);
    return st;
}

/* Zeroed is empty. */
struct prepared {
    uint64_t seed;
    const char **set; /* opt's overrides and the pilot's own, whose texts are in `strings` */
    size_t n_set;
    struct sg_arena strings;
    char *sweep; /* the path of its file */
};

static void prepared_free(struct prepared *p) {
    free(p->sweep);
    free(p->set);
    sg_arena_free(&p->strings);
}

/* The coordinator's: writes the pilot's queries and its sweep. *p is to be freed also after an error. */
static enum sg_status prepare(const struct sg_run_options *opt, const char *dir, int64_t cells,
                              struct sg_pick *pick, struct prepared *p, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_job job = {0};
    struct sg_buf b = {0};
    char *queries = NULL, *text;
    SG_TRY(sg_job_read(opt->job_path, opt->overrides, opt->n_overrides, &job, err));
    p->seed = job.sampling.seed;
    SG_TRY(sg_queries_pick(&job, cells, MIN_QUERIES, &b, pick, err));
    SG_TRY(sg_dir_make(dir, err));
    SG_TRY(write_in(dir, "queries.jsonl", &b, err));
    SG_TRY(sg_path_join(dir, "queries.jsonl", &queries, err));
    SG_TRY(sg_path_join(dir, "sweep.json", &p->sweep, err));

    sg_buf_clear(&b);
    SG_TRY(sg_buf_str(&b, "{\"name\": \"pilot\", \"job\": ", err));
    char absolute[4096];
    if (!realpath(opt->job_path, absolute)) {
        st = sg_fail(err, SG_E_INPUT, "%s: cannot be found", opt->job_path);
        goto out;
    }
    SG_TRY(sg_json_quote(&b, absolute, strlen(absolute), err));
    SG_TRY(sg_buf_printf(&b, err, ", \"dir\": \"points\", \"axes\": {\"sampling.seed\": [%llu, %llu]}}\n",
                         (unsigned long long)job.sampling.seed, (unsigned long long)job.sampling.seed ^ 1));
    SG_TRY(write_in(dir, "sweep.json", &b, err));

    sg_buf_clear(&b);
    if (!realpath(queries, absolute)) {
        st = sg_fail(err, SG_E_IO, "%s: cannot be found", queries);
        goto out;
    }
    SG_TRY(sg_buf_printf(&b, err, "queries=%s", absolute));
    SG_TRY(sg_arena_dup(&p->strings, b.data, b.len, &text, err));
    const char *const own[] = {text,
                               "sampling.samples=8",
                               "sampling.draws=stratified",
                               "output.texts=false",
                               "calibration.anchors=0",
                               "sampling.cells=null",
                               "sampling.others=null"};
    const size_t n_own = sizeof own / sizeof *own;
    SG_TRY(SG_NEW(&p->set, opt->n_overrides + n_own, "overrides", err));
    if (opt->n_overrides) memcpy(p->set, opt->overrides, opt->n_overrides * sizeof *p->set);
    memcpy(p->set + opt->n_overrides, own, sizeof own);
    p->n_set = opt->n_overrides + n_own;
out:
    free(queries);
    sg_buf_free(&b);
    sg_job_free(&job);
    return st;
}

/* The rate at which the run of the group last computed; NaN when its progress file does not say. */
static double rate_in(const char *dir) {
    struct sg_buf b = {0};
    char *path = NULL;
    double rate = (double)NAN;
    cJSON *doc = NULL;
    if (sg_path_join(dir, "points/group/progress.json", &path, NULL) == SG_OK &&
        sg_file_read(path, MAX_PROGRESS_BYTES, &b, NULL) == SG_OK &&
        sg_json_parse(b.data, b.len, path, 1, &doc, NULL) == SG_OK) {
        const cJSON *tokens = cJSON_GetObjectItemCaseSensitive(doc, "output_tokens"),
                    *seconds = cJSON_GetObjectItemCaseSensitive(doc, "seconds");
        if (cJSON_IsNumber(tokens) && cJSON_IsNumber(seconds) && tokens->valuedouble > 0)
            rate = tokens->valuedouble / seconds->valuedouble;
    }
    cJSON_Delete(doc);
    free(path);
    sg_buf_free(&b);
    return rate;
}

/* What sample i of the cell says. */
static double value_of(const struct sg_results *r, enum sg_pilot_value value, int64_t i) {
    if (r->sample_correct[i] < 0) return (double)NAN;
    return value == SG_PILOT_P       ? (double)r->sample_p_yes[i]
           : value == SG_PILOT_VOTES ? (double)r->sample_correct[i]
                                     : (double)r->sample_length[i];
}

/* Over the cells: variances, lengths as they are under SG_PILOT_BILL; the mean lengths; of the length, how far
 * apart the means of pairs of runs of samples are. */
struct sums {
    int64_t cells;
    double variance[SG_PILOT_VALUES][SG_PILOT_SIZES], length;
    struct {
        double *x;
        size_t n, cap;
    } apart[SG_PILOT_SIZES];
};

/* Adds the cell; not one of which a set has no verdict. */
static enum sg_status add_cell(const struct sg_results r[2], int64_t cell, struct sums *sums,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    double x[2][SG_PILOT_SAMPLES], v[SG_PILOT_VALUES][SG_PILOT_SIZES] = {{0}};
    for (int k = 0; k < SG_PILOT_VALUES; k++) {
        if (k == SG_PILOT_LENGTH) continue;
        for (int set = 0; set < 2; set++)
            for (int64_t i = 0; i < SG_PILOT_SAMPLES; i++)
                x[set][i] = value_of(&r[set], (enum sg_pilot_value)k, cell * SG_PILOT_SAMPLES + i);
        sg_pilot_spread(x[0], x[1], v[k]);
        for (int s = 0; s < SG_PILOT_SIZES; s++)
            if (isnan(v[k][s])) return SG_OK;
    }
    const double mean = (mean_of(x[0], SG_PILOT_SAMPLES) + mean_of(x[1], SG_PILOT_SAMPLES)) / 2;
    for (int32_t s = 0, n = 1; s < SG_PILOT_SIZES; s++, n *= 2)
        for (int32_t i = 0; i < SG_PILOT_SAMPLES; i += n)
            for (int32_t j = 0; j < SG_PILOT_SAMPLES; j += n) {
                const double by = fabs(mean_of(x[0] + i, n) - mean_of(x[1] + j, n));
                if (isnan(by)) continue;
                SG_TRY(SG_GROW(&sums->apart[s].x, &sums->apart[s].cap, sums->apart[s].n + 1, "lengths", err));
                sums->apart[s].x[sums->apart[s].n++] = mean > 0 ? by / mean : 0;
            }
    for (int k = 0; k < SG_PILOT_VALUES; k++)
        for (int s = 0; s < SG_PILOT_SIZES; s++) sums->variance[k][s] += v[k][s];
    sums->length += mean;
    sums->cells++;
out:
    return st;
}

/* *p's variances; needs a cell. */
static void sum_up(struct sums *sums, struct sg_pilot *p) {
    const double cells = (double)sums->cells, length = sums->length / cells;
    for (int s = 0; s < SG_PILOT_SIZES; s++) {
        p->variance[SG_PILOT_P][s] = sums->variance[SG_PILOT_P][s] / cells;
        p->variance[SG_PILOT_VOTES][s] = sums->variance[SG_PILOT_VOTES][s] / cells;
        const double apart = quantile(sums->apart[s].x, sums->apart[s].n, WITHIN_ONE_SD);
        p->variance[SG_PILOT_LENGTH][s] = apart * apart / 2;
        if (length > 0)
            p->variance[SG_PILOT_BILL][s] =
                sums->variance[SG_PILOT_BILL][s] / cells / (length * length) / (double)p->pick.all_queries;
    }
}

static enum sg_status measure(const char *dir, uint64_t seed, struct sg_pilot *p, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_results r[2] = {{0}};
    struct sg_buf path = {0};
    struct sg_run_done done = {.failed = 0};
    struct sums sums = {.cells = 0};
    int64_t computed = 0, tokens = 0;
    bool exists;
    for (int set = 0; set < 2; set++) {
        sg_buf_clear(&path);
        SG_TRY(sg_buf_printf(&path, err, "%s/points/seed-%llu/results.h5", dir,
                             (unsigned long long)(seed ^ (uint64_t)set)));
        SG_TRY(sg_results_read(path.data, SG_RESULTS_CELLS | SG_RESULTS_SAMPLES, &r[set], err));
    }
    sg_buf_clear(&path);
    SG_TRY(sg_buf_printf(&path, err, "%s/points/group", dir));
    SG_TRY(sg_rundir_read_done(path.data, &exists, &done, err));
    const int64_t n = r[0].n_queries * r[0].n_models;
    for (int64_t c = 0; c < n; c++) {
        SG_TRY(add_cell(r, c, &sums, err));
        if (r[0].status && r[0].status[c] != 0) continue;
        computed++;
        tokens += r[0].output_tokens[c] + r[1].output_tokens[c];
    }
    p->cells = sums.cells;
    if (!p->cells) {
        st = sg_fail(err, SG_E_INPUT,
                     "%s: no cell has a verdict in both sets of samples: look at the answers with "
                     "output.texts, or at sampling.max_new_tokens",
                     dir);
        goto out;
    }
    sum_up(&sums, p);
    p->prompt_tokens = (double)done.prompt_tokens / (double)n;
    p->output_tokens = (double)tokens / (double)(computed * 2 * SG_PILOT_SAMPLES);
    p->output_rate = rate_in(dir);
out:
    for (int s = 0; s < SG_PILOT_SIZES; s++) free(sums.apart[s].x);
    sg_buf_free(&path);
    sg_results_free(&r[0]);
    sg_results_free(&r[1]);
    return st;
}

enum sg_status sg_pilot_run(struct sg_comm *comm, const struct sg_run_options *opt, const char *dir,
                            int64_t cells, const struct sg_compute_maker *maker, struct sg_pilot *out,
                            struct sg_err *err) {
    enum sg_status st = SG_OK;
    const bool root = sg_comm_rank(comm) == 0;
    struct sg_run_options o = *opt;
    struct sg_pilot p = {.cells = 0};
    struct prepared own = {.seed = 0};
    if (root) {
        st = prepare(opt, dir, cells, &p.pick, &own, err);
        o.job_path = own.sweep;
        o.overrides = own.set;
        o.n_overrides = own.n_set;
    }
    SG_TRY(sg_comm_agree(comm, st, err));
    st = sg_sweep_run(comm, &o, maker, NULL, err);
    if (st != SG_OK && st != SG_E_PARTIAL) goto out;
    st = root ? measure(dir, own.seed, &p, err) : SG_OK;
    SG_TRY(sg_comm_agree(comm, st, err));
    if (root) *out = p;
out:
    prepared_free(&own);
    return st;
}
