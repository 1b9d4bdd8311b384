#define _GNU_SOURCE /* sched_getaffinity */
#include "run/run.h"

#include "base/file.h"
#include "base/clock.h"
#include "run/device.h"
#include "run/extend.h"
#include "run/inflight.h"
#include "run/night.h"
#include "run/node_digest.h"
#include "run/coordinator.h"
#include "rundir/rundir.h"
#include "run/reuse.h"
#include "run/shards.h"
#include "run/worker.h"
#include "rundir/lock.h"
#include "rundir/shard_files.h"
#include "store/merge.h"
#include "store/runtime.h"
#include "store/segment.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct grid {
    struct sg_comm *comm;
    const struct sg_run_options *opt;
    struct sg_run_group *group; /* root, in a sweep: the prefill group; else NULL */
    const struct sg_compute_maker *maker;
    struct sg_run_summary *out;
    bool root;
    struct sg_job job; /* every rank; plan.job once the plan is there */
    struct sg_plan plan;
    struct sg_order order;
    struct sg_workqueue *queue; /* NULL on a root that does not compute */
    struct sg_compute compute;
    /* root only */
    struct sg_rank_facts *facts; /* [size] */
    int32_t *device_first;       /* [size] of sg_device_first */
    struct sg_buf devices;       /* the text of sg_device_line */
    struct sg_lock *lock;
    struct sg_shards *shards; /* under opt->array; the task then holds `lock` while it merges */
    uint8_t *done;            /* [n_cells] by cell: in a segment before this run */
    struct sg_dispatch dispatch;
    int64_t n_done, n_failed;
    struct sg_progress_rank *ranks; /* [size] */
    struct sg_progress progress;
    bool begun; /* progress has begun */
    struct sg_startup start;
    char started_at[SG_CLOCK_UTC];
    int64_t started;     /* ns */
    struct sg_run_id id; /* night: this start's; after sg_run_begin the run's */
    const char **since;  /* [n_since] opt's, after what is extended */
    size_t n_since;
    char *extends; /* the earlier results of the run's folder; NULL: extends none */
};

/* ---- the job and the nodes -------------------------------------------------------------------------- */

/* Root: the number of samples of cells that sampling.cells does not list. */
static enum sg_status know_others(struct grid *g, struct sg_err *err) {
    const struct sg_run_options *o = g->opt;
    const enum sg_status st =
        sg_extend_job(&g->job, o->overrides, o->n_overrides, o->since, o->n_since, o->extend, err);
    return st == SG_OK ? sg_night_expand(&g->job, g->id.night, err) : st; /* it may be another job now */
}

static enum sg_status share_job(struct grid *g, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf text = {0};
    if (g->root) {
        st = sg_job_read(g->opt->job_path, g->opt->overrides, g->opt->n_overrides, &g->job, err);
        if (st == SG_OK) st = sg_night_name(g->opt->night, g->id.night, err);
        if (st == SG_OK) st = sg_night_expand(&g->job, g->id.night, err);
        if (st == SG_OK) st = know_others(g, err);
        if (st == SG_OK) st = sg_buf_str(&text, g->job.text, err);
    }
    SG_TRY(sg_comm_agree(g->comm, st, err));
    SG_TRY(sg_comm_bcast(g->comm, &text, err));
    if (!g->root) st = sg_job_from_text(text.data, text.len, "job from the root", &g->job, err);
    SG_TRY(sg_comm_agree(g->comm, st, err));
out:
    sg_buf_free(&text);
    return st;
}

/* This rank's share of the cores that its process may run on: all of them when the launcher seems to have
 * bound each rank of the node to cores of its own, else an equal share. */
static int32_t fair_threads(const struct sg_comm *c) {
    cpu_set_t set;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int allowed = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)online;
    int local = sg_comm_local_size(c);
    if (allowed < online && allowed * local <= online) return allowed < 1 ? 1 : allowed;
    return allowed / local < 1 ? 1 : allowed / local;
}

/* Root: refuses ranks whose nodes would give other results. */
static enum sg_status compare_facts(const struct grid *g, struct sg_err *err) {
    const struct sg_rank_facts *a = &g->facts[0];
    for (int32_t i = 1; i < sg_comm_size(g->comm); i++) {
        const struct sg_rank_facts *b = &g->facts[i];
        if (!sg_digest_equal(a->facts.model, b->facts.model))
            return sg_fail(err, SG_E_MISMATCH, "%s: rank %d on %s has other files there than rank 0 on %s",
                           g->job.model_path, (int)i, b->host, a->host);
        if (strcmp(a->facts.numerics, b->facts.numerics) != 0)
            return sg_fail(
                err, SG_E_MISMATCH,
                "rank %d on %s computes with %s, rank 0 on %s with %s: results would depend on who computes "
                "what; set engine.device",
                (int)i, b->host, b->facts.numerics, a->host, a->facts.numerics);
    }
    return SG_OK;
}

/* Root: finds which ranks share a device, and prints the devices before the long stages begin. */
static enum sg_status name_devices(struct grid *g, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int32_t size = sg_comm_size(g->comm);
    SG_TRY(SG_NEW(&g->device_first, size, "devices", err));
    SG_TRY(sg_device_first(g->facts, size, g->device_first, err));
    SG_TRY(sg_device_line(g->facts, g->device_first, size, &g->devices, err));
    if (!g->opt->quiet)
        fprintf(stderr, "scope-grid: %d rank%s on %s\n", (int)size, size == 1 ? "" : "s", g->devices.data);
out:
    return st;
}

static enum sg_status probe_nodes(struct grid *g, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_rank_facts mine = {.host = ""};
    struct sg_digest model;
    struct sg_compute_place place = {.threads = fair_threads(g->comm)};
    SG_TRY(sg_device_choose(g->comm, g->maker, &g->job, g->opt->root_only, &place, err));
    const int64_t began = sg_clock_ns();
    if (g->maker->reads_model) {
        SG_TRY(sg_node_digest(g->comm, &g->job, &model, err));
        place.model = &model;
    }
    g->start.weights_s = sg_clock_since(began);
    st = g->maker->probe(g->maker->ctx, &g->job, &place, &mine.facts, err);
    SG_TRY(sg_comm_agree(g->comm, st, err));
    snprintf(mine.host, sizeof mine.host, "%s", sg_comm_host(g->comm));
    if (g->root) st = SG_NEW(&g->facts, sg_comm_size(g->comm), "ranks", err);
    SG_TRY(sg_comm_agree(g->comm, st, err));
    sg_comm_gather(g->comm, &mine, sizeof mine, g->facts);
    if (g->root) st = compare_facts(g, err);
    if (g->root && st == SG_OK) st = name_devices(g, err);
    SG_TRY(sg_comm_agree(g->comm, st, err));
out:
    return st;
}

/* ---- the plan and the run directory ----------------------------------------------------------------- */

static enum sg_status make_plan(struct grid *g, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_plan_inputs in = {.model_digest = g->facts[0].facts.model,
                                .numerics = g->facts[0].facts.numerics,
                                .params = g->group ? g->group->params : NULL,
                                .n_params = g->group ? g->group->n_params : 0};
    if (g->job.prompt.similarity.method == SG_SIM_EMBEDDING) {
        if (!g->maker->embed_open)
            return sg_fail(err, SG_E_UNSUPPORTED, "prompt.similarity.method: embedding is not here");
        SG_TRY(g->maker->embed_open(g->maker->ctx, &g->job, &in, err));
    }
    SG_TRY(sg_plan_build(&g->job, &in, &g->plan, err));
out:
    if (g->maker->embed_close) g->maker->embed_close(g->maker->ctx);
    return st;
}

/* Root, with the folder's lock held: makes the folder ready for --extend, and the list of earlier results. */
static enum sg_status find_earlier(struct grid *g, const struct sg_plan_inputs *in, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_run_options *o = g->opt;
    const char *dir = g->plan.job.output.dir;
    char *earlier = NULL;
    if (o->extend) {
        SG_TRY(sg_extend_begin(dir, &g->plan, in, err));
        SG_TRY(sg_path_join(dir, SG_EARLIER_RESULTS, &g->extends, err));
    } else if (!g->group && !o->fresh && !sg_rundir_is(dir)) {
        SG_TRY(sg_path_join(dir, SG_EARLIER_RESULTS, &earlier, err));
        if (sg_file_exists(earlier)) { /* this run would remove it at its end */
            st = sg_fail(
                err, SG_E_MISMATCH,
                "%s: results that a run with --extend was stopped from taking further; the same command "
                "goes on, --fresh discards them",
                earlier);
            goto out;
        }
    }
    SG_TRY(SG_NEW(&g->since, o->n_since + 1, "earlier results", err));
    g->n_since = 0;
    if (g->extends && sg_file_exists(g->extends)) g->since[g->n_since++] = g->extends;
    for (size_t i = 0; i < o->n_since; i++) g->since[g->n_since++] = o->since[i];
out:
    free(earlier);
    return st;
}

static struct sg_begin_options begin_options(const struct grid *g, const struct sg_plan_inputs *in) {
    return (struct sg_begin_options){.reuse = {.since = g->since,
                                               .n_since = g->n_since,
                                               .inputs = in,
                                               .quiet = g->opt->quiet,
                                               .heads = !g->group},
                                     .fresh = g->opt->fresh,
                                     .retry_failed = g->opt->retry_failed};
}
static struct sg_plan_inputs inputs(const struct grid *g) {
    return (struct sg_plan_inputs){.model_digest = g->facts[0].facts.model,
                                   .numerics = g->facts[0].facts.numerics};
}

static enum sg_status is_good(void *ctx, int64_t cell, struct sg_digest fingerprint, const struct sg_cell *c,
                              struct sg_err *err) {
    (void)fingerprint;
    (void)err;
    if (c->status == SG_OK) ((uint8_t *)ctx)[cell] = 1;
    return SG_OK;
}

/* Failed cells count as not done. */
static enum sg_status forget_failed(struct grid *g, struct sg_err *err) {
    const struct sg_plan *p = &g->plan;
    memset(g->done, 0, (size_t)p->n_cells);
    enum sg_status st =
        sg_segments_read(p->job.output.dir, p->fingerprint, p->n_cells, is_good, g->done, err);
    g->n_done -= g->n_failed;
    g->n_failed = 0;
    return st;
}

/* Root: begins the points of a group, locks the run's directory and reads which of its cells are done. */
static enum sg_status open_directory(struct grid *g, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *dir = g->plan.job.output.dir;
    const int64_t n_cells = g->plan.n_cells;
    const struct sg_plan_inputs in = inputs(g);
    struct sg_begin_options begin;
    uint8_t *needless = NULL;
    bool open = true;
    SG_TRY(SG_NEW(&g->done, n_cells, "cells done", err));
    if (!g->group) {
        SG_TRY(sg_dir_make(dir, err));
        SG_TRY(sg_rundir_lock(dir, &g->lock, err));
    }
    SG_TRY(find_earlier(g, &in, err));
    begin = begin_options(g, &in);
    if (g->group) {
        SG_TRY(SG_NEW(&needless, n_cells, "cells", err));
        SG_TRY(sg_points_begin(g->group, &g->plan, &begin, g->id.night, needless, &open, err));
        snprintf(g->id.group, sizeof g->id.group, ".");
        begin.reuse.n_since = 0;
        begin.fresh = begin.fresh || g->group->replace;
        begin.reopen = true;
        g->out->already = !open;
    }
    if (!open) goto out;
    if (g->group) {
        SG_TRY(sg_dir_make(dir, err));
        SG_TRY(sg_rundir_lock(dir, &g->lock, err));
    }
    SG_TRY(sg_run_begin(&g->plan, &begin, &g->id, g->done, &g->n_done, &g->n_failed, g->out, err));
    if (g->out->already) goto out;
    sg_inflight_tidy(dir, g->opt->quiet ? NULL : &g->plan, g->opt->retry_failed);
    if (g->opt->retry_failed && g->n_failed > 0) SG_TRY(forget_failed(g, err));
    for (int64_t c = 0; needless && c < n_cells; c++) {
        if (!needless[c] || g->done[c]) continue;
        g->done[c] = SG_CELL_TAKEN_OVER;
        g->n_done++;
    }
out:
    free(needless);
    return st;
}

/* The root plans and opens the directory. *compute: cells are left; all ranks have the plan. */
static enum sg_status share_plan(struct grid *g, bool *compute, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    char lacks[SG_CALIBRATION_TEXT];
    const int64_t began = sg_clock_ns();
    if (g->root) {
        st = make_plan(g, err);
        if (st == SG_OK) st = open_directory(g, err);
        if (st == SG_OK) *compute = !g->out->already && g->n_done < g->plan.n_cells;
        if (*compute && !g->opt->quiet && sg_plan_calibration_lacks(&g->plan, lacks))
            fprintf(stderr, "scope-grid: calibration cells of %s%s\n",
                    g->plan.n_calibration ? "" : "none: ", lacks);
        if (st == SG_OK && *compute) st = sg_plan_pack(&g->plan, &b, err); /* empty: nothing to do */
        if (st == SG_OK && *compute) st = sg_buf_add(&b, &g->id, sizeof g->id, err);
    }
    SG_TRY(sg_comm_agree(g->comm, st, err));
    SG_TRY(sg_comm_bcast(g->comm, &b, err));
    if (!g->root) {
        *compute = b.len > 0;
        if (*compute) st = sg_plan_unpack(b.data, b.len - sizeof g->id, &g->plan, err);
        if (*compute) memcpy(&g->id, b.data + b.len - sizeof g->id, sizeof g->id);
    }
    g->start.plan_s = sg_clock_since(began);
    SG_TRY(sg_comm_agree(g->comm, st, err));
out:
    sg_buf_free(&b);
    return st;
}

/* ---- computing -------------------------------------------------------------------------------------- */

static enum sg_status make_order(struct grid *g, struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t *weight = NULL;
    SG_TRY(SG_NEW(&weight, g->plan.n_rows, "weights of queries", err));
    /* The cells of a query differ by a few bytes of outcomes: the first one's weight serves for all. */
    for (int64_t q = 0; q < g->plan.n_rows; q++)
        weight[q] = sg_plan_cell_weight(&g->plan, q * g->plan.n_models);
    SG_TRY(sg_order_init(&g->order, g->plan.n_rows, g->plan.n_models, weight, g->opt->shuffle_leases, err));
out:
    free(weight);
    return st;
}

static enum sg_status open_queue(struct grid *g, struct sg_err *err) {
    enum sg_status st = make_order(g, err);
    if (st != SG_OK || (g->root && g->opt->root_only)) return st;
    const struct sg_workqueue_options ho = {.plan = &g->plan,
                                            .order = &g->order,
                                            .run_dir = g->plan.job.output.dir,
                                            .night = g->id.night,
                                            .rank = sg_comm_rank(g->comm),
                                            .alone = g->opt->retry_failed,
                                            .quiet = g->opt->quiet,
                                            .segment_seconds = g->opt->segment_seconds};
    SG_TRY(sg_workqueue_open(&ho, &g->queue, err));
    sg_workqueue_read_crashes(g->queue, false); /* the root has printed them in sg_inflight_tidy */
    const struct sg_cell_sink sink = sg_workqueue_sink(g->queue);
    SG_TRY(g->maker->open(g->maker->ctx, &g->plan, &sink, &g->compute, err));
    sg_workqueue_set_compute(g->queue, &g->compute);
out:
    return st;
}

static enum sg_status beat(void *ctx, struct sg_err *err) {
    return sg_lock_beat(ctx, err);
}

static enum sg_status lead(struct grid *g, struct sg_err *err) {
    struct sg_coordinator r = {.comm = g->comm,
                               .queue = g->queue,
                               .dispatch = &g->dispatch,
                               .progress = &g->progress,
                               .beat = beat,
                               .beat_ctx = g->lock};
    return sg_coordinator_loop(&r, err);
}

/* Before the first lease: does all that needs memory or may fail on one node only. */
static enum sg_status prepare(struct grid *g, struct sg_err *err) {
    const int32_t size = sg_comm_size(g->comm);
    const int64_t began = sg_clock_ns();
    enum sg_status st = open_queue(g, err);
    if (st == SG_OK && g->root) st = SG_NEW(&g->ranks, size, "ranks", err);
    if (st == SG_OK && g->root)
        st = sg_dispatch_init(&g->dispatch, &g->order, g->done, size - (g->queue ? 0 : 1), err);
    SG_TRY(sg_comm_agree(g->comm, st, err));
    if (!g->root) goto out;
    for (int32_t i = 0; i < size; i++) {
        memcpy(g->ranks[i].host, g->facts[i].host, SG_HOST_MAX);
        g->ranks[i].device = g->facts[i].facts.device.name;
        g->ranks[i].device_of = g->device_first[i];
        g->ranks[i].computes = i > 0 || g->queue;
    }
    sg_progress_begin(&g->progress, g->plan.job.output.dir, g->plan.n_cells, g->n_done, g->n_failed, g->ranks,
                      size, g->opt->quiet);
    g->progress.devices = g->devices.data;
    g->start.load_s = sg_clock_since(began);
    g->progress.start = g->start;
    g->progress.startup_s = sg_clock_since(g->started);
    g->begun = true;
out:
    return st;
}

/* ---- the end ---------------------------------------------------------------------------------------- */

static double known(double rate) {
    return rate > 0 ? rate : NAN;
}

/* A rank's row of /runtime. Strings are borrowed. */
static struct sg_runtime_rank rank_runtime(const struct sg_rank_facts *f, const struct sg_counts *c) {
    return (struct sg_runtime_rank){.host = f->host,
                                    .device = f->facts.device.name,
                                    .device_uuid = f->facts.device.uuid,
                                    .driver = f->facts.device.driver,
                                    .device_runtime = f->facts.device.runtime,
                                    .cells = c->cells,
                                    .output_tokens = c->output_tokens,
                                    .busy_seconds = sg_clock_seconds(c->busy_ns),
                                    .device_memory = f->facts.device.memory_bytes,
                                    .product_rate = known(f->facts.device.flops_per_s),
                                    .read_rate = known(f->facts.device.bytes_per_s),
                                    .joules = c->metered ? c->joules : NAN};
}

/* Fills r->runtime. g->facts outlives r: strings of ranks are not copied. */
static enum sg_status runtime(void *ctx, struct sg_results *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct grid *g = ctx;
    const int32_t size = g->ranks ? sg_comm_size(g->comm) : 0;
    const struct sg_counts all = sg_progress_totals(&g->progress);
    struct sg_runtime *t = &r->runtime;
    SG_TRY(sg_arena_dup(&r->strings, g->started_at, strlen(g->started_at), &t->started_at, err));
    t->seconds = sg_clock_since(g->started);
    t->cells = all.cells;
    t->prompt_tokens = all.prompt_tokens;
    t->output_tokens = all.output_tokens;
    if (g->shards) {
        SG_TRY(sg_runtime_read_notes(g->plan.job.output.dir, r, err));
        for (int64_t i = 0; i < t->n_ranks; i++) {
            t->cells += t->ranks[i].cells;
            t->output_tokens += t->ranks[i].output_tokens;
        }
    } else {
        SG_TRY(sg_results_alloc_ranks(r, size, err));
        for (int32_t i = 0; i < size; i++) t->ranks[i] = rank_runtime(&g->facts[i], &g->ranks[i].counts);
    }
    SG_TRY(sg_runtime_sum(t, err));
out:
    return st;
}

static enum sg_status failed_cells(const struct sg_run_summary *s, struct sg_err *err) {
    if (s->failed == 0) return SG_OK;
    return sg_fail(err, SG_E_PARTIAL, "%lld of %lld cells failed%s%s; %s/results.h5 marks them",
                   (long long)s->failed, (long long)s->total, s->first_failure.text[0] ? ", the first: " : "",
                   s->first_failure.text, s->run_dir);
}

/* Fills the summary of a run that is done. mine: what this call has computed. */
static enum sg_status sum_up(const struct grid *g, const struct sg_counts *mine, struct sg_err *err) {
    struct sg_run_summary *out = g->out;
    const char *dir = g->plan.job.output.dir;
    out->computed = mine->cells;
    out->prompt_tokens = mine->prompt_tokens;
    out->output_tokens = mine->output_tokens;
    out->seconds = sg_clock_since(g->started);
    out->run_dir = strdup(dir);
    if (!out->run_dir) return sg_fail(err, SG_E_NOMEM, "no memory for the summary");
    return failed_cells(out, err);
}

/* Writes the results of the group's points, then DONE of its run, with the largest `failed` of the points. */
static enum sg_status complete_points(struct grid *g, const struct sg_end_options *end, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_run_group *group = g->group;
    const struct sg_plan_inputs in = inputs(g);
    struct sg_run_done done = {.fingerprint = g->plan.fingerprint, .total = g->plan.n_cells};
    SG_TRY(sg_points_end(group, &g->plan, &in, end, err));
    done.prompt_tokens = group->prompt_tokens;
    for (int64_t i = 0; i < group->n_points; i++)
        if (group->points[i].sum.failed > done.failed) done.failed = group->points[i].sum.failed;
    sg_clock_utc(done.finished_at);
    SG_TRY(sg_rundir_write_done(g->plan.job.output.dir, &done, err));
out:
    return st;
}

/* Root: merges and fills the summary. */
static enum sg_status complete(struct grid *g, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *dir = g->plan.job.output.dir;
    struct sg_run_summary *out = g->out;
    const struct sg_end_options end = {.night = g->id.night, .lock = g->lock, .runtime = runtime, .ctx = g};
    out->total = g->plan.n_cells;
    if (g->begun && !out->already) sg_progress_end(&g->progress, "merging", NULL);
    if (g->group) {
        if (!out->already) SG_TRY(complete_points(g, &end, err));
    } else if (!out->already) {
        SG_TRY(sg_run_end(dir, &g->plan, &end, out, NULL, err));
        if (out->computed != out->total) {
            st = sg_fail(err, SG_E_INTERNAL,
                         "%s: %lld of %lld cells are in the segments although all were computed", dir,
                         (long long)out->computed, (long long)out->total);
            goto out;
        }
    }
    const struct sg_counts all = sg_progress_totals(&g->progress);
    st = sum_up(g, &all, err);
    for (int64_t i = 0; g->group && st == SG_OK && i < g->group->n_points; i++)
        st = failed_cells(&g->group->points[i].sum, err);
out:
    return st;
}

/* Root: completes the run and writes its final state to stderr and the progress files. st: of computing. */
static enum sg_status conclude(struct grid *g, enum sg_status st, struct sg_err *err) {
    if (st == SG_E_STOPPED) {
        struct sg_err why = *err;
        int64_t done = g->n_done + sg_progress_totals(&g->progress).cells;
        sg_fail(err, SG_E_STOPPED,
                "%s: %lld of %lld cells are safe in %s; the same command goes on from there", why.text,
                (long long)done, (long long)g->plan.n_cells, g->plan.job.output.dir);
    }
    if (st == SG_OK) st = complete(g, err);
    if (g->begun) {
        bool done = st == SG_OK || st == SG_E_PARTIAL;
        sg_progress_end(&g->progress,
                        done                 ? "done"
                        : st == SG_E_STOPPED ? "stopped"
                                             : "failed",
                        st == SG_OK ? NULL : err->text);
    }
    return st;
}

/* ---- a task of an array ----------------------------------------------------------------------------- */

static enum sg_status merge_array(struct grid *g, struct sg_err *err) {
    const char *dir = g->plan.job.output.dir;
    const struct sg_end_options end = {.night = g->id.night, .runtime = runtime, .ctx = g, .lock = g->lock};
    sg_rundir_tidy(dir, false);
    sg_inflight_tidy(dir, NULL, false);
    enum sg_status st = sg_run_end(dir, &g->plan, &end, g->out, NULL, err);
    if (st != SG_OK || g->out->computed == g->out->total) return st;
    return sg_fail(err, SG_E_INTERNAL,
                   "%s: %lld of %lld cells are in the segments although all were computed; start again", dir,
                   (long long)g->out->computed, (long long)g->out->total);
}

static void note_task(void *ctx, const char *name) {
    const struct grid *g = ctx;
    struct sg_counts mine;
    sg_workqueue_counts(g->queue, &mine);
    const struct sg_runtime_rank rank = rank_runtime(&g->facts[0], &mine);
    sg_runtime_note(g->plan.job.output.dir, name, &rank);
}

static enum sg_status compute_in_array(struct grid *g, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_workqueue_options ho = {.plan = &g->plan,
                                            .order = &g->order,
                                            .run_dir = g->plan.job.output.dir,
                                            .night = g->id.night,
                                            .segment_seconds = g->opt->segment_seconds,
                                            .quiet = g->opt->quiet,
                                            .on_cell = sg_shards_cell_done,
                                            .ctx = g->shards};
    SG_TRY(sg_workqueue_open(&ho, &g->queue, err));
    sg_shards_set_queue(g->shards, g->queue);
    SG_TRY(sg_shards_take_first(g->shards, err));
    const struct sg_cell_sink sink = sg_workqueue_sink(g->queue);
    SG_TRY(g->maker->open(g->maker->ctx, &g->plan, &sink, &g->compute, err));
    sg_workqueue_set_compute(g->queue, &g->compute);
    SG_TRY(sg_shards_loop(g->shards, err));
out:
    return st;
}

/* Called in the task that begins the run: takes over cells of earlier results. */
static enum sg_status begin_array(void *ctx, struct sg_err *err) {
    struct grid *g = ctx;
    enum sg_status st = SG_OK;
    uint8_t *done = NULL;
    int64_t n_done, n_failed;
    const struct sg_plan_inputs in = inputs(g);
    SG_TRY(find_earlier(g, &in, err));
    if (!g->n_since) goto out;
    const struct sg_begin_options begin = begin_options(g, &in);
    const char *dir = g->plan.job.output.dir;
    SG_TRY(SG_NEW(&done, g->plan.n_cells, "cells done", err));
    SG_TRY(sg_segments_scan(dir, g->plan.fingerprint, g->plan.n_cells, done, &n_done, &n_failed,
                            SG_CLEAN_NONE, err));
    st = sg_reuse_begin(dir, &g->plan, &begin.reuse, done, &n_done, &g->out->reuse, err);
out:
    free(done);
    return st;
}

/* The first of the tasks makes the folder ready for --extend, and begins the run there, which tells the others. */
static enum sg_status extend_array(struct grid *g, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *dir = g->plan.job.output.dir;
    const struct sg_plan_inputs in = inputs(g);
    struct sg_run_id id = g->id;
    struct sg_lock *lock = NULL;
    for (int tries = 0; !lock; tries++) {
        memset(err, 0, sizeof *err);
        if (sg_rundir_is(dir) && sg_rundir_read_run(dir, &id, err) == SG_OK &&
            sg_digest_equal(id.fingerprint, g->plan.fingerprint)) {
            st = SG_OK; /* another task was here */
            goto out;
        }
        st = sg_rundir_lock(dir, &lock, err);
        if (st != SG_OK && (st != SG_E_BUSY || tries == 300)) goto out;
        if (!lock) nanosleep(&(struct timespec){0, 200000000}, NULL);
    }
    memset(err, 0, sizeof *err);
    id = g->id;
    SG_TRY(sg_extend_begin(dir, &g->plan, &in, err));
    SG_TRY(sg_rundir_begin(dir, &g->plan, &id, err));
out:
    sg_lock_drop(lock);
    return st;
}

/* Runs everything after probe_nodes as a task of an array. */
static enum sg_status run_in_array(struct grid *g, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_counts mine = {0};
    struct sg_run_done end;
    bool exists;
    SG_TRY(make_plan(g, err));
    SG_TRY(make_order(g, err));
    if (g->opt->extend) SG_TRY(extend_array(g, err));
    const struct sg_shards_options so = {.plan = &g->plan,
                                         .order = &g->order,
                                         .comm = g->comm,
                                         .id = &g->id,
                                         .quiet = g->opt->quiet,
                                         .begin = begin_array,
                                         .note = note_task,
                                         .ctx = g};
    SG_TRY(sg_shards_open(&so, &g->shards, &g->out->already, err));
    const char *dir = g->plan.job.output.dir;
    g->out->total = g->plan.n_cells;
    if (!g->out->already) {
        if (sg_shards_found(g->shards) < g->plan.n_cells) st = compute_in_array(g, err);
        if (g->queue) sg_workqueue_counts(g->queue, &mine);
        if (st == SG_E_STOPPED) {
            struct sg_err why = *err;
            sg_fail(err, SG_E_STOPPED,
                    "%s: the %lld cells finished here are safe in %s; the same command goes on from there",
                    why.text, (long long)mine.cells, dir);
        }
        if (st != SG_OK) goto out;
        SG_TRY(sg_shards_lock(g->shards, &g->lock, err));
        if (g->lock) SG_TRY(merge_array(g, err));
    }
    SG_TRY(sg_rundir_read_done(dir, &exists, &end, err));
    if (!exists || !sg_digest_equal(end.fingerprint, g->plan.fingerprint)) {
        st = sg_fail(err, SG_E_MISMATCH, "%s/DONE: is not there or belongs to another run", dir);
        goto out;
    }
    g->out->digest = end.digest;
    g->out->failed = end.failed;
    g->out->unparsed = end.unparsed;
    st = sum_up(g, &mine, err);
out:
    return st;
}

static void close_grid(struct grid *g) {
    g->maker->close(g->maker->ctx);
    sg_workqueue_free(g->queue);
    sg_shards_close(g->shards); /* looks into the plan's folder once more */
    sg_order_free(&g->order);
    sg_plan_free(&g->plan);
    sg_job_free(&g->job);
    free(g->facts);
    free(g->device_first);
    sg_buf_free(&g->devices);
    free(g->done);
    sg_dispatch_free(&g->dispatch);
    free(g->ranks);
    sg_lock_drop(g->lock);
    free(g->since);
    free(g->extends);
}

enum sg_status sg_run(struct sg_comm *comm, const struct sg_run_options *opt,
                      const struct sg_compute_maker *maker, struct sg_run_summary *out, struct sg_err *err) {
    return sg_run_points(comm, opt, NULL, maker, out, err);
}

enum sg_status sg_run_points(struct sg_comm *comm, const struct sg_run_options *opt,
                             struct sg_run_group *group, const struct sg_compute_maker *maker,
                             struct sg_run_summary *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct grid g = {.comm = comm,
                     .opt = opt,
                     .group = group,
                     .maker = maker,
                     .out = out,
                     .root = sg_comm_rank(comm) == 0};
    bool compute = false;
    memset(out, 0, sizeof *out);
    sg_clock_utc(g.started_at);
    g.started = sg_clock_ns();
    if (opt->root_only && sg_comm_size(comm) < 2) {
        st = sg_fail(err, SG_E_USAGE, "--root-only needs at least two ranks: the root would lease to nobody");
        goto out;
    }
    if (opt->array && (opt->root_only || opt->fresh || opt->retry_failed || opt->shuffle_leases >= 0)) {
        st = sg_fail(err, SG_E_USAGE,
                     "--array: not together with --root-only, --fresh, --retry-failed or --shuffle-leases; "
                     "all tasks must "
                     "agree on the run and its order");
        goto out;
    }
    if (opt->extend && opt->fresh) {
        st = sg_fail(err, SG_E_USAGE, "--extend: not together with --fresh, which discards what it extends");
        goto out;
    }
    SG_TRY(share_job(&g, err));
    SG_TRY(probe_nodes(&g, err));
    if (opt->array) {
        st = run_in_array(&g, err);
        goto out;
    }
    SG_TRY(share_plan(&g, &compute, err));
    if (compute) SG_TRY(prepare(&g, err));
    /* From here on only the root has the run's status; the others get it in the last sg_comm_agree. */
    if (compute && g.root) st = lead(&g, err);
    if (compute && !g.root) sg_worker_loop(comm, g.queue);
    if (g.root) st = conclude(&g, st, err);
    st = sg_comm_agree(comm, st, err);
out:
    close_grid(&g);
    return st;
}

/* A finished run whose segments lack cells (somebody removed some) still has them in results.h5: that is not overwritten. */
static enum sg_status keep_whole_results(const char *dir, const struct sg_plan *plan, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *results = NULL;
    uint8_t *done = NULL;
    struct sg_run_done end;
    bool is_done;
    int64_t n_done;
    SG_TRY(sg_rundir_read_done(dir, &is_done, &end, err));
    SG_TRY(sg_path_join(dir, "results.h5", &results, err));
    if (!is_done || !sg_file_exists(results)) goto out;
    SG_TRY(SG_NEW(&done, plan->n_cells, "cells done", err));
    SG_TRY(sg_segments_scan(dir, plan->fingerprint, plan->n_cells, done, &n_done, NULL, SG_CLEAN_NONE, err));
    if (n_done < plan->n_cells)
        st = sg_fail(
            err, SG_E_CORRUPT,
            "%s: is DONE, but %lld of %lld cells are in no segment: results.h5 is kept as it is; remove "
            "%s/DONE to have it written from the cells that are left",
            dir, (long long)(plan->n_cells - n_done), (long long)plan->n_cells, dir);
out:
    free(results);
    free(done);
    return st;
}

enum sg_status sg_run_merge(const char *run_dir, struct sg_run_summary *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_plan plan = {0};
    struct sg_lock *lock = NULL;
    struct sg_run_id id;
    memset(out, 0, sizeof *out);
    SG_TRY(sg_rundir_read_plan(run_dir, &plan, err));
    SG_TRY(sg_rundir_read_run(run_dir, &id, err));
    if (*id.group) {
        st = sg_fail(err, SG_E_USAGE,
                     strcmp(id.group, ".")
                         ? "%s: a point of a sweep, whose cells lie in %s beside it; run the sweep "
                           "again to merge them (without %s/DONE when it was done)"
                         : "%s: the run of a prefill group has no results of its own; run the sweep "
                           "again to merge those of its points",
                     run_dir, id.group, run_dir);
        goto out;
    }
    SG_TRY(sg_rundir_lock(run_dir, &lock, err));
    SG_TRY(keep_whole_results(run_dir, &plan, err));
    SG_TRY(sg_run_end(run_dir, &plan, &(struct sg_end_options){.night = id.night}, out, NULL, err));
    if (out->computed < out->total)
        st = sg_fail(err, SG_E_PARTIAL,
                     "%s: %lld of %lld cells are not computed yet; results.h5 marks them as missing", run_dir,
                     (long long)(out->total - out->computed), (long long)out->total);
    else if (out->failed)
        st = sg_fail(err, SG_E_PARTIAL, "%s: %lld of %lld cells failed, the first: %s", run_dir,
                     (long long)out->failed, (long long)out->total, out->first_failure.text);
out:
    sg_lock_drop(lock);
    sg_plan_free(&plan);
    return st;
}
