/* scope-grid plan JOB: what a run of the job, or of every point of a sweep, computes and takes. Reads every
 * input, tokenizes the prompts, loads no weights and writes nothing. */
#include "cmd/cmd.h"
#include "run/extend.h"
#include "run/night.h"
#include "run/reuse.h"
#include "rundir/rundir.h"
#include "run/runner.h"
#include "sweep/sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum sg_status sg_cmd_plan(int argc, char **argv, struct sg_err *err);

static const char usage[] =
    "usage: scope-grid plan JOB [OPTIONS]\n\n"
    "Reads all inputs of the job and says how many cells a run computes, how long their prompts are, how "
    "many tokens\n"
    "that makes and how much memory one rank takes. Computes nothing, loads no weights, writes no file.\n\n"
    "With --since or --extend it also says what a run with these options would compute: how many cells are "
    "there "
    "already,\n"
    "how many lack samples, and how many samples and tokens that makes.\n\n"
    "JOB may be a sweep (see run --help): its points are checked and listed with their cells.";

struct plan_options {
    const char *job, *device, *night, *cells;
    struct sg_opt_list set, since;
    bool json, extend;
    char *cells_override, *extends;
    char device_override[80];
};

static enum sg_status read_options(int argc, char **argv, struct plan_options *o, bool *help,
                                   struct sg_err *err) {
    const struct sg_opt opts[] = {
        {"set", SG_OPT_LIST, &o->set, 0, 0, "A.B=VALUE",
         "override a key of the job; may stand several times"},
        {"since", SG_OPT_LIST, &o->since, 0, 0, "LAST.h5",
         "say what a run with this option would take over and compute"},
        {"extend", SG_OPT_FLAG, &o->extend, 0, 0, NULL,
         "the same of a run that draws more samples in output.dir"},
        {"cells", SG_OPT_STR, &o->cells, 0, 0, "FILE", "only these cells get sampling.samples, as of run"},
        {"device", SG_OPT_STR, &o->device, 0, 0, "NAME",
         "what computes: cpu, ref, ... (default: the job's engine.device)"},
        {"night", SG_OPT_STR, &o->night, 0, 0, "NAME",
         "what {night} in output.dir stands for (default: the date, UTC)"},
        {"json", SG_OPT_FLAG, &o->json, 0, 0, NULL, "print one JSON object"},
    };
    enum sg_status st = sg_options_read(
        argc, argv, &(struct sg_opt_spec){usage, opts, sizeof opts / sizeof *opts, &o->job, 1, 1}, help, err);
    if (st != SG_OK || *help) return st;
    if (o->cells) SG_TRY(sg_cmd_set_cells(&o->set, o->cells, &o->cells_override, err));
    if (!o->device) return SG_OK;
    if (strlen(o->device) > 64)
        return sg_fail(err, SG_E_USAGE, "plan: --device %s: no such device", o->device);
    snprintf(o->device_override, sizeof o->device_override, "engine.device=%s", o->device);
    SG_TRY(SG_GROW(&o->set.items, &o->set.cap, o->set.n + 1, "options", err));
    o->set.items[o->set.n++] = o->device_override;
out:
    return st;
}

struct report {
    const struct sg_plan *plan;
    const struct sg_compute_facts *facts;
    struct sg_runner_estimate e;
    bool reuses; /* with --since or --extend */
    struct sg_reuse_foreseen reuse;
};

/* Prompt tokens of the whole grid, estimated from the prompts that were tokenized. */
static double all_prompt_tokens(const struct report *r) {
    return r->e.mean * (double)r->plan->n_cells;
}
static double most_new_tokens(const struct report *r) {
    double samples = 0;
    for (int64_t c = 0; c < r->plan->n_cells; c++) samples += (double)sg_plan_cell_samples(r->plan, c);
    return samples * (double)r->plan->job.sampling.max_new_tokens;
}
/* What a run that reuses earlier results computes: prompt tokens, and new ones by the mean of the earlier samples (NaN
 * without any). */
static double rest_prompt_tokens(const struct report *r) {
    return r->e.mean * (double)(r->plan->n_cells - r->reuse.taken);
}
static double rest_new_tokens(const struct report *r) {
    return (double)r->reuse.samples * r->reuse.seen_tokens / r->reuse.seen_samples;
}

static enum sg_status json_reuse(struct sg_buf *b, const struct report *r, struct sg_err *err) {
    const double tokens = rest_new_tokens(r);
    char text[32] = "null";
    if (isfinite(tokens)) snprintf(text, sizeof text, "%.0f", tokens);
    return sg_buf_printf(
        b, err,
        ", \"reuse\": {\"cells_taken_over\": %lld, \"cells_extended\": %lld, \"cells_whole\": %lld, "
        "\"samples\": %lld, \"prefill\": %.0f, \"new\": %s}",
        (long long)r->reuse.taken, (long long)r->reuse.extended,
        (long long)(r->plan->n_cells - r->reuse.taken - r->reuse.extended), (long long)r->reuse.samples,
        rest_prompt_tokens(r), text);
}

static void print_reuse(const struct report *r) {
    const double tokens = rest_new_tokens(r);
    printf("  to do      %lld cells are there, %lld lack samples, %lld are new: %lld samples, %.0f tokens to "
           "prefill",
           (long long)r->reuse.taken, (long long)r->reuse.extended,
           (long long)(r->plan->n_cells - r->reuse.taken - r->reuse.extended), (long long)r->reuse.samples,
           rest_prompt_tokens(r));
    if (isfinite(tokens)) printf(", about %.0f new", tokens);
    putchar('\n');
}

static int64_t unknown_outcomes(const struct sg_plan *p) {
    int64_t n = 0;
    for (int64_t i = 0; i < p->n_unknown; i++) n += p->unknown[i].outcomes;
    return n;
}

static enum sg_status json_unknown(struct sg_buf *b, const struct sg_plan *p, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(sg_buf_str(b, ", \"unknown_models\": [", err));
    for (int64_t i = 0; i < p->n_unknown; i++) {
        const struct sg_unknown_model *u = &p->unknown[i];
        SG_TRY(sg_buf_str(b, i ? ", {\"name\": " : "{\"name\": ", err));
        SG_TRY(sg_json_quote(b, u->name, strlen(u->name), err));
        SG_TRY(sg_buf_printf(b, err, ", \"outcomes\": %lld, \"near\": ", (long long)u->outcomes));
        SG_TRY(u->near ? sg_json_quote(b, u->near, strlen(u->near), err) : sg_buf_str(b, "null", err));
        SG_TRY(sg_buf_str(b, "}", err));
    }
    SG_TRY(sg_buf_str(b, "]", err));
out:
    return st;
}

/* Of graded outcomes a prompt shows yes or no: what the threshold makes of them. */
static void print_graded(const struct sg_plan *p) {
    int64_t known = 0, correct = 0;
    for (int64_t i = 0; i < p->n_anchors * p->n_models; i++) {
        known += p->anchor_outcomes[i].known;
        correct += p->anchor_outcomes[i].known && p->anchor_outcomes[i].correct;
    }
    printf("  graded     prompts call %lld of the anchors' %lld outcomes correct, those from %g on "
           "(prompt.correct_at)\n",
           (long long)correct, (long long)known, p->job.prompt.correct_at);
}

static void print_inputs(const struct sg_plan *p) {
    enum { TOLD = 10 };
    if (p->prices_from && !strcmp(p->prices_from, p->prices_to))
        printf("  prices     as of %s\n", p->prices_from);
    else if (p->prices_from)
        printf("  prices     as of %s to %s\n", p->prices_from, p->prices_to);
    if (p->graded) print_graded(p);
    if (!p->n_unknown) return;
    printf("  unknown    %lld outcomes are of models that no portfolio entry knows:",
           (long long)unknown_outcomes(p));
    for (int64_t i = 0; i < p->n_unknown && i < TOLD; i++) {
        const struct sg_unknown_model *u = &p->unknown[i];
        printf("%s %lld of \"%s\"", i ? "," : "", (long long)u->outcomes, u->name);
        if (u->near) printf(" (is that \"%s\"? then it is one of its aliases)", u->near);
    }
    if (p->n_unknown > TOLD) printf(", and %lld more names", (long long)(p->n_unknown - TOLD));
    putchar('\n');
}

/* The calibration cells' part of the work, by the bytes of their prompts. */
static double calibration_share(const struct sg_plan *p) {
    double all = 0, calibration = 0;
    for (int64_t c = 0; c < p->n_cells; c++) {
        const double weight = (double)sg_plan_cell_weight(p, c);
        all += weight;
        if (c / p->n_models >= p->n_queries) calibration += weight;
    }
    return calibration / all;
}

static enum sg_status print_json(const struct report *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_plan *p = r->plan;
    const struct sg_engine_memory *m = &r->e.memory;
    struct sg_buf b = {0};
    char hex[SG_DIGEST_HEX];
    sg_digest_hex(p->fingerprint, hex);
    SG_TRY(sg_buf_str(&b, "{\"name\": ", err));
    SG_TRY(sg_json_quote(&b, p->job.name, strlen(p->job.name), err));
    SG_TRY(sg_buf_printf(&b, err,
                         ", \"fingerprint\": \"%s\", \"cells\": %lld, \"queries\": %lld, \"models\": %lld, "
                         "\"anchors\": %lld, \"samples\": %lld",
                         hex, (long long)p->n_cells, (long long)p->n_queries, (long long)p->n_models,
                         (long long)p->n_anchors, (long long)p->job.sampling.samples));
    if (r->reuses) SG_TRY(json_reuse(&b, r, err));
    SG_TRY(sg_buf_printf(&b, err, ", \"calibration\": {\"anchors\": %lld, \"cells\": %lld, \"share\": %.4f}",
                         (long long)p->n_calibration, (long long)sg_plan_calibration_cells(p),
                         calibration_share(p)));
    SG_TRY(
        sg_buf_printf(&b, err,
                      ", \"prompts\": {\"looked_at\": %lld, \"min\": %d, \"median\": %.1f, \"mean\": %.2f, "
                      "\"max\": %d, \"over_context\": %lld}, \"max_context\": %d",
                      (long long)r->e.cells_looked_at, (int)r->e.shortest, r->e.median, r->e.mean,
                      (int)r->e.longest, (long long)r->e.too_long, (int)r->e.max_context));
    SG_TRY(sg_buf_printf(&b, err, ", \"tokens\": {\"prefill\": %.0f, \"new_at_most\": %.0f}",
                         all_prompt_tokens(r), most_new_tokens(r)));
    SG_TRY(sg_buf_printf(&b, err,
                         ", \"memory\": {\"weights\": %lld, \"kv_cache\": %lld, \"workspace\": %lld, "
                         "\"total\": %lld, \"kv_pages\": %d, \"kv_measured\": %s}, \"device\": ",
                         (long long)m->weight_bytes, (long long)m->kv_bytes, (long long)m->workspace_bytes,
                         (long long)(m->weight_bytes + m->kv_bytes + m->workspace_bytes), (int)m->pages,
                         r->e.cache_measured ? "true" : "false"));
    SG_TRY(sg_json_quote(&b, r->facts->device.name, strlen(r->facts->device.name), err));
    SG_TRY(sg_buf_str(&b, ", \"run_dir\": ", err));
    SG_TRY(sg_json_quote(&b, p->job.output.dir, strlen(p->job.output.dir), err));
    SG_TRY(sg_buf_str(&b, ", \"model_path\": ", err));
    SG_TRY(sg_json_quote(&b, p->job.model_path, strlen(p->job.model_path), err));
    SG_TRY(json_unknown(&b, p, err));
    SG_TRY(sg_buf_str(&b, "}\n", err));
    fwrite(b.data, 1, b.len, stdout);
out:
    sg_buf_free(&b);
    return st;
}

static double mib(int64_t bytes) {
    return (double)bytes / (1 << 20);
}

static void print_text(const struct report *r) {
    const struct sg_plan *p = r->plan;
    const struct sg_engine_memory *m = &r->e.memory;
    char hex[SG_DIGEST_HEX], lacks[SG_CALIBRATION_TEXT];
    sg_digest_hex(p->fingerprint, hex);
    printf("%s: %lld cell%s = %lld %s x %lld model%s, %lld sample%s each, %lld of %lld anchors in a prompt\n",
           p->job.name, (long long)(p->n_queries * p->n_models), p->n_queries * p->n_models == 1 ? "" : "s",
           (long long)p->n_queries, p->n_queries == 1 ? "query" : "queries", (long long)p->n_models,
           p->n_models == 1 ? "" : "s", (long long)p->job.sampling.samples,
           p->job.sampling.samples == 1 ? "" : "s",
           (long long)(p->job.prompt.anchors < p->n_anchors ? p->job.prompt.anchors : p->n_anchors),
           (long long)p->n_anchors);
    print_inputs(p);
    if (p->n_calibration)
        printf("  calibration %lld cells of %lld anchors, each left out of its own prompt: %.0f %% of the "
               "work\n",
               (long long)sg_plan_calibration_cells(p), (long long)p->n_calibration,
               100 * calibration_share(p));
    if (sg_plan_calibration_lacks(p, lacks))
        printf("  calibration %s%s\n", p->n_calibration ? "" : "none: ", lacks);
    printf("  prompts    %d to %d tokens, mean %.1f, median %.1f%s\n", (int)r->e.shortest, (int)r->e.longest,
           r->e.mean, r->e.median, r->e.cells_looked_at < p->n_cells ? " (of an even sample)" : "");
    if (r->e.too_long)
        printf("  too long   %lld of %lld prompts leave no room for %lld new tokens in %d: these cells will "
               "fail\n",
               (long long)r->e.too_long, (long long)r->e.cells_looked_at,
               (long long)p->job.sampling.max_new_tokens, (int)r->e.max_context);
    printf("  tokens     %.0f to prefill; %.0f new at most (%lld a sample)\n", all_prompt_tokens(r),
           most_new_tokens(r), (long long)p->job.sampling.max_new_tokens);
    if (r->reuses) print_reuse(r);
    printf("  memory     %.1f MiB a rank: weights %.1f, KV cache %.1f (%d pages%s), workspace %.1f\n",
           mib(m->weight_bytes + m->kv_bytes + m->workspace_bytes), mib(m->weight_bytes), mib(m->kv_bytes),
           (int)m->pages, r->e.cache_measured ? ", by what is free now for one rank" : "",
           mib(m->workspace_bytes));
    printf("  device     %s\n", r->facts->device.name);
    printf("  output     %s\n", p->job.output.dir);
    printf("  fingerprint %s\n", hex);
}

/* The plan of a job; plan->job is its copy. reuse (may be NULL): its inputs are set here. extend: as run with it, refuses
 * a folder whose run cannot be extended. */
static enum sg_status build(struct sg_runner *runner, const struct sg_job *job,
                            struct sg_compute_facts *facts, struct sg_plan *plan,
                            struct sg_reuse_options *reuse, bool extend, struct sg_reuse_foreseen *foreseen,
                            struct sg_err *err) {
    bool begun;
    enum sg_status st = SG_OK;
    const struct sg_compute_maker maker = sg_runner_maker(runner);
    const struct sg_compute_place place = {.threads = 0};
    SG_TRY(maker.probe(maker.ctx, job, &place, facts, err));
    struct sg_plan_inputs in = {.model_digest = facts->model, .numerics = facts->numerics};
    if (job->prompt.similarity.method == SG_SIM_EMBEDDING) SG_TRY(maker.embed_open(maker.ctx, job, &in, err));
    st = sg_plan_build(job, &in, plan, err);
    maker.embed_close(maker.ctx);
    if (st == SG_OK && extend) st = sg_extend_check(job->output.dir, plan, &in, &begun, err);
    if (st == SG_OK && reuse) {
        reuse->inputs = &in;
        st = sg_reuse_foresee(plan, reuse, foreseen, err);
        reuse->inputs = NULL;
    }
out:
    return st;
}

/* ---- a sweep ---------------------------------------------------------------------------------------- */

struct sweep_report {
    struct cells {
        int64_t all, calibration; /* of them */
    } * cells;                    /* [n_points] */
    int64_t n_points, total, calibration;
    char *name, *job, *dir;
    char *model_path;     /* of the first point */
    struct sg_buf points; /* text or JSON */
    bool json;
};

/* Counts the point's cells. Sets *model_path, when it is NULL, to the point's; the caller frees it. */
static enum sg_status count_cells(const struct sg_sweep_point *p, struct cells *cells, char **model_path,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_runner *runner = NULL;
    struct sg_compute_facts facts = {0};
    struct sg_job job = {0};
    struct sg_plan plan = {0};
    SG_TRY(sg_job_read(p->job, p->overrides, p->n_overrides, &job, err));
    SG_TRY(sg_runner_new(&runner, err));
    SG_TRY(build(runner, &job, &facts, &plan, NULL, false, NULL, err));
    *cells = (struct cells){plan.n_cells, sg_plan_calibration_cells(&plan)};
    if (!*model_path && !(*model_path = strdup(job.model_path)))
        st = sg_fail(err, SG_E_NOMEM, "no memory for the sweep");
out:
    sg_runner_free(runner);
    sg_plan_free(&plan);
    sg_job_free(&job);
    return st;
}

static enum sg_status add_point(void *ctx, const struct sg_sweep_point *p, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sweep_report *r = ctx;
    char text[SG_CELLS_TEXT];
    struct sg_buf *b = &r->points;
    if (!r->cells) {
        SG_TRY(SG_NEW(&r->cells, p->n_points, "points", err));
        r->name = strdup(p->sweep);
        r->job = strdup(p->job);
        r->dir = strdup(p->dir);
        if (!r->name || !r->job || !r->dir) {
            st = sg_fail(err, SG_E_NOMEM, "no memory for the sweep");
            goto out;
        }
    }
    if (p->like < p->index)
        r->cells[p->index] = r->cells[p->like];
    else
        SG_TRY(count_cells(p, &r->cells[p->index], &r->model_path, err));
    const struct cells cells = r->cells[p->index];
    r->total += cells.all;
    r->calibration += cells.calibration;
    r->n_points++;
    if (r->json) {
        SG_TRY(sg_buf_printf(b, err, "%s{\"name\": \"%s\", \"cells\": %lld, \"settings\": %s}",
                             p->index ? ", " : "", p->name, (long long)cells.all, p->json));
        goto out;
    }
    SG_TRY(sg_buf_printf(b, err, "  %s  %s:", p->name, sg_cells_text(cells.all, cells.calibration, text)));
    for (size_t i = 0; i < p->n_axes; i++)
        SG_TRY(sg_buf_printf(b, err, " %s", p->overrides[p->first_axis + i]));
    SG_TRY(sg_buf_str(b, "\n", err));
out:
    return st;
}

static enum sg_status print_sweep_json(const struct sweep_report *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    SG_TRY(sg_buf_str(&b, "{\"name\": ", err));
    SG_TRY(sg_json_quote(&b, r->name, strlen(r->name), err));
    SG_TRY(sg_buf_str(&b, ", \"job\": ", err));
    SG_TRY(sg_json_quote(&b, r->job, strlen(r->job), err));
    SG_TRY(sg_buf_printf(&b, err, ", \"cells\": %lld, \"points\": [%s], \"run_dir\": ", (long long)r->total,
                         r->points.data));
    SG_TRY(sg_json_quote(&b, r->dir, strlen(r->dir), err));
    SG_TRY(sg_buf_str(&b, ", \"model_path\": ", err));
    SG_TRY(sg_json_quote(&b, r->model_path, strlen(r->model_path), err));
    SG_TRY(sg_buf_str(&b, "}\n", err));
    fwrite(b.data, 1, b.len, stdout);
out:
    sg_buf_free(&b);
    return st;
}

static enum sg_status plan_sweep(const struct plan_options *o, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sweep_report r = {.json = o->json};
    const struct sg_run_options opt = {
        .job_path = o->job, .overrides = o->set.items, .n_overrides = o->set.n, .night = o->night};
    SG_TRY(sg_sweep_each(&opt, add_point, &r, err));
    if (o->json) {
        st = print_sweep_json(&r, err);
        goto out;
    }
    char text[SG_CELLS_TEXT];
    printf("%s: a sweep of %lld points over %s, %s together\n%s  output     %s\n", r.name,
           (long long)r.n_points, r.job, sg_cells_text(r.total, r.calibration, text), r.points.data, r.dir);
out:
    free(r.cells);
    free(r.name);
    free(r.job);
    free(r.dir);
    free(r.model_path);
    sg_buf_free(&r.points);
    return st;
}

enum sg_status sg_cmd_plan(int argc, char **argv, struct sg_err *err) {
    struct plan_options o = {0};
    struct sg_job job = {0};
    struct sg_plan plan = {0};
    struct sg_runner *runner = NULL;
    struct sg_compute_facts facts = {0};
    char night[SG_NIGHT_NAME];
    bool help = false;
    enum sg_status st = read_options(argc, argv, &o, &help, err);
    if (st != SG_OK || help) goto out;
    if (sg_sweep_is(o.job)) {
        if (o.since.n || o.extend) {
            st = sg_fail(err, SG_E_USAGE, "plan: --since and --extend: not for a sweep");
            goto out;
        }
        st = plan_sweep(&o, err);
        goto out;
    }
    SG_TRY(sg_job_read(o.job, o.set.items, o.set.n, &job, err));
    SG_TRY(sg_night_name(o.night, night, err));
    SG_TRY(sg_night_expand(&job, night, err));
    SG_TRY(sg_extend_job(&job, o.set.items, o.set.n, o.since.items, o.since.n, o.extend, err));
    SG_TRY(sg_night_expand(&job, night, err)); /* it may be another job now */
    if (o.extend) {
        SG_TRY(sg_extend_source(job.output.dir, &o.extends, err));
        SG_TRY(SG_GROW(&o.since.items, &o.since.cap, o.since.n + 1, "options", err));
        o.since.items[o.since.n++] = o.extends;
    }
    SG_TRY(sg_runner_new(&runner, err));
    struct sg_reuse_options reuse = {.since = o.since.items, .n_since = o.since.n};
    struct report r = {.plan = &plan, .facts = &facts, .reuses = o.since.n > 0};
    SG_TRY(build(runner, &job, &facts, &plan, r.reuses ? &reuse : NULL, o.extend, &r.reuse, err));
    SG_TRY(sg_runner_estimate(runner, &plan, &r.e, err));
    if (o.json)
        st = print_json(&r, err);
    else
        print_text(&r);
out:
    sg_runner_free(runner);
    sg_plan_free(&plan);
    sg_job_free(&job);
    free(o.set.items);
    free(o.since.items);
    free(o.cells_override);
    free(o.extends);
    return st;
}
