#include "run/points.h"

#include "base/clock.h"
#include "base/file.h"
#include "store/segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a run -------------------------------------------------------------------------------------------- */

enum sg_status sg_run_begin(const struct sg_plan *plan, const struct sg_begin_options *opt,
                            struct sg_run_id *id, uint8_t *done, int64_t *n_done, int64_t *n_failed,
                            struct sg_run_summary *sum, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *dir = plan->job.output.dir;
    const struct sg_reuse_options *reuse = &opt->reuse;
    sum->calibration = plan->n_calibration * plan->n_models;
    bool exists;
    struct sg_run_done end;
    sg_rundir_tidy(dir, true);
    if (opt->fresh) {
        SG_TRY(sg_reuse_survives(dir, reuse->since, reuse->n_since, err));
        SG_TRY(sg_rundir_clear(dir, err));
    }
    SG_TRY(sg_rundir_begin(dir, plan, id, err));
    SG_TRY(sg_rundir_read_done(dir, &exists, &end, err));
    if (exists && !sg_digest_equal(end.fingerprint, plan->fingerprint)) {
        st = sg_fail(err, SG_E_MISMATCH,
                     "%s/DONE: belongs to another run than run.json beside it; --fresh discards both", dir);
        goto out;
    }
    if (exists && (opt->reopen || (opt->retry_failed && end.failed > 0))) {
        SG_TRY(sg_rundir_reopen(dir, err));
        exists = false;
    }
    if (exists) {
        sum->already = true;
        sg_rundir_drop_earlier(dir);
        sum->digest = end.digest;
        sum->total = end.total;
        sum->failed = end.failed;
        sum->unparsed = end.unparsed;
        goto out;
    }
    SG_TRY(sg_segments_scan(dir, plan->fingerprint, plan->n_cells, done, n_done, n_failed, SG_CLEAN_SILENT,
                            err));
    SG_TRY(sg_reuse_begin(dir, plan, reuse, done, n_done, &sum->reuse, err));
out:
    return st;
}

enum sg_status sg_run_end(const char *dir, const struct sg_plan *plan, const struct sg_end_options *opt,
                          struct sg_run_summary *sum, int64_t *prompt_tokens, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_results r = {0};
    struct sg_merge_stats stats;
    struct sg_run_done end = {.fingerprint = plan->fingerprint, .total = plan->n_cells};
    sg_clock_utc(end.finished_at);
    SG_TRY(sg_results_init_plan(plan, &r, err));
    SG_TRY(sg_arena_dup(&r.strings, SG_VERSION, strlen(SG_VERSION), &r.version, err));
    SG_TRY(sg_arena_dup(&r.strings, end.finished_at, strlen(end.finished_at), &r.finished_at, err));
    SG_TRY(sg_results_set_night(&r, opt->night, err));
    if (opt->runtime) SG_TRY(opt->runtime(opt->ctx, &r, err));
    SG_TRY(sg_merge(dir, plan->fingerprint, opt->group, plan->job.output.texts, &r, &stats, err));
    if (r.n_failures > 0) {
        int64_t c = r.failure_cell[0];
        sg_fail(&sum->first_failure, SG_E_PARTIAL, "%s %s, model %s: %s", sg_plan_row_kind(plan, c),
                plan->queries[c / plan->n_models].id, plan->models[c % plan->n_models].id,
                r.failure_reason[0]);
    }
    sum->digest = end.digest = r.digest;
    sum->total = stats.n_cells;
    sum->calibration = stats.n_calibration;
    sum->failed = end.failed = stats.n_failed;
    sum->unparsed = end.unparsed = stats.n_unparsed;
    sum->computed = stats.n_done;
    end.prompt_tokens = stats.prompt_tokens;
    if (prompt_tokens) *prompt_tokens = stats.prompt_tokens;
    if (opt->lock) SG_TRY(sg_lock_beat(opt->lock, err)); /* the merge may have been long: still locked? */
    if (stats.n_done == stats.n_cells) {
        SG_TRY(sg_rundir_write_done(dir, &end, err));
        sg_rundir_drop_earlier(dir);
    }
out:
    sg_results_free(&r);
    return st;
}

/* ---- points ------------------------------------------------------------------------------------------- */

int64_t sg_params_find(const struct sg_sampling_params *params, int32_t n_params,
                       const struct sg_sampling_params *point) {
    int64_t first = 0;
    for (int32_t i = 0; i < n_params; first += params[i++].samples)
        if (sg_plan_same_params(&params[i], point)) return params[i].samples >= point->samples ? first : -1;
    return -1;
}

static enum sg_status keep_dir(struct sg_run_point *p, struct sg_err *err) {
    p->sum.run_dir = strdup(p->job.output.dir);
    return p->sum.run_dir ? SG_OK : sg_fail(err, SG_E_NOMEM, "no memory for the summary");
}

enum sg_status sg_points_begin(struct sg_run_group *group, const struct sg_plan *plan,
                               const struct sg_begin_options *opt, const char *night, uint8_t *needless,
                               bool *open, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_plan point = {0};
    struct sg_lock *lock = NULL;
    uint8_t *done = NULL;
    int64_t n_done, n_failed;
    *open = false;
    memset(needless, 1, (size_t)plan->n_cells);
    SG_TRY(SG_NEW(&done, plan->n_cells, "cells done", err));
    for (int64_t i = 0; i < group->n_points; i++) {
        struct sg_run_point *p = &group->points[i];
        struct sg_run_id id = {.total = 0};
        snprintf(id.night, sizeof id.night, "%s", night);
        snprintf(id.group, sizeof id.group, "%s", group->name);
        SG_TRY(sg_plan_point(plan, opt->reuse.inputs, &p->job, &point, err));
        SG_TRY(sg_dir_make(p->job.output.dir, err));
        SG_TRY(sg_rundir_lock(p->job.output.dir, &lock, err));
        SG_TRY(sg_run_begin(&point, opt, &id, done, &n_done, &n_failed, &p->sum, err));
        SG_TRY(keep_dir(p, err));
        sg_lock_drop(lock);
        lock = NULL;
        sg_plan_point_free(&point);
        *open = *open || !p->sum.already;
        for (int64_t c = 0; c < plan->n_cells && !p->sum.already; c++) needless[c] = needless[c] && done[c];
    }
out:
    sg_lock_drop(lock);
    sg_plan_point_free(&point);
    free(done);
    return st;
}

/* With the point's lock held. */
static enum sg_status end_point(struct sg_run_group *group, const struct sg_plan *plan,
                                const struct sg_plan *point, struct sg_end_options *end,
                                struct sg_run_point *p, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_run_id id;
    int64_t tokens = 0;
    const struct sg_merge_group from = {.dir = plan->job.output.dir,
                                        .fingerprint = plan->fingerprint,
                                        .cell_fingerprint = plan->cell_fingerprint,
                                        .n_samples = plan->n_samples,
                                        .first = sg_params_find(plan->params, plan->n_params, point->params)};
    SG_ASSERT(from.first >= 0);
    SG_TRY(sg_rundir_read_run(p->job.output.dir, &id, err));
    end->night = id.night;
    end->group = &from;
    SG_TRY(sg_run_end(p->job.output.dir, point, end, &p->sum, &tokens, err));
    if (tokens > group->prompt_tokens) group->prompt_tokens = tokens; /* points may have taken cells over */
    if (p->sum.computed < p->sum.total)
        st = sg_fail(err, SG_E_INTERNAL,
                     "%s: %lld of %lld cells are in the segments although all were computed; start again",
                     p->job.output.dir, (long long)p->sum.computed, (long long)p->sum.total);
    p->sum.computed -= p->sum.reuse.taken;
out:
    return st;
}

enum sg_status sg_points_end(struct sg_run_group *group, const struct sg_plan *plan,
                             const struct sg_plan_inputs *in, const struct sg_end_options *end,
                             struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_plan point = {0};
    struct sg_end_options o = *end;
    o.lock = NULL;
    for (int64_t i = 0; i < group->n_points; i++) {
        struct sg_run_point *p = &group->points[i];
        if (p->sum.already) continue;
        SG_TRY(sg_plan_point(plan, in, &p->job, &point, err));
        SG_TRY(sg_rundir_lock(p->job.output.dir, &o.lock, err));
        SG_TRY(end_point(group, plan, &point, &o, p, err));
        if (end->lock) SG_TRY(sg_lock_beat(end->lock, err));
        sg_lock_drop(o.lock);
        o.lock = NULL;
        sg_plan_point_free(&point);
    }
out:
    sg_lock_drop(o.lock);
    sg_plan_point_free(&point);
    return st;
}
