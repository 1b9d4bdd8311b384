#include "run/extend.h"

#include "base/file.h"
#include "store/results.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* *path = NULL: the folder has no such file. */
static enum sg_status file_in(const char *dir, const char *name, char **path, struct sg_err *err) {
    enum sg_status st = sg_path_join(dir, name, path, err);
    if (st != SG_OK || sg_file_exists(*path)) return st;
    free(*path);
    *path = NULL;
    return SG_OK;
}

static enum sg_status unfinished(const char *dir, struct sg_err *err) {
    return sg_fail(err, SG_E_MISMATCH,
                   "--extend: the run in %s is not done; finish it first, with its own number of samples",
                   dir);
}

enum sg_status sg_extend_source(const char *dir, char **path, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_run_done end;
    bool done = false;
    *path = NULL;
    if (sg_rundir_is(dir)) SG_TRY(sg_rundir_read_done(dir, &done, &end, err));
    if (done) SG_TRY(file_in(dir, "results.h5", path, err));
    if (!*path) SG_TRY(file_in(dir, SG_EARLIER_RESULTS, path, err));
    if (!*path && sg_rundir_is(dir))
        st = unfinished(dir, err);
    else if (!*path)
        st = sg_fail(err, SG_E_INPUT, "--extend: no run in %s; without --extend the job computes all samples",
                     dir);
out:
    return st;
}

/* ---- sampling.others -------------------------------------------------------------------------------- */

static enum sg_status others_in(const char *path, int64_t *others, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_results r = {0};
    struct sg_job job = {0};
    SG_TRY(sg_results_read(path, 0, &r, err));
    if (!r.job_text) {
        st = sg_fail(err, SG_E_UNSUPPORTED, "%s: does not say what job it is of", path);
        goto out;
    }
    SG_TRY(sg_job_from_text(r.job_text, strlen(r.job_text), path, &job, err));
    *others = job.sampling.cells ? job.sampling.others : job.sampling.samples;
out:
    sg_results_free(&r);
    sg_job_free(&job);
    return st;
}

enum sg_status sg_extend_job(struct sg_job *job, const char *const *overrides, size_t n_overrides,
                             const char *const *since, size_t n_since, bool extend, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *own = NULL, item[64];
    const char **set = NULL, *from = NULL;
    int64_t others = 0;
    struct sg_job with = {0};
    if (!job->sampling.cells || job->sampling.others != SG_JOB_UNSET) return SG_OK;
    if (extend) {
        SG_TRY(sg_extend_source(job->output.dir, &own, err));
        from = own;
    }
    for (size_t i = 0; i < n_since && !from; i++)
        if (sg_file_exists(since[i])) from = since[i];
    if (!from) goto out;
    SG_TRY(others_in(from, &others, err));
    snprintf(item, sizeof item, "sampling.others=%lld", (long long)others);
    SG_TRY(SG_NEW(&set, n_overrides + 1, "overrides", err));
    if (n_overrides) memcpy(set, overrides, n_overrides * sizeof *set);
    set[n_overrides] = item;
    SG_TRY(sg_job_read(job->path, set, n_overrides + 1, &with, err));
    sg_job_free(job);
    *job = with;
out:
    free(own);
    free(set);
    return st;
}

/* ---- the folder ------------------------------------------------------------------------------------- */

/* Whether a key tells how many samples the cells get. */
static bool is_number(const char *key, size_t n) {
    static const char *const keys[] = {"sampling.samples", "sampling.cells", "sampling.others"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strlen(keys[i]) == n && !memcmp(keys[i], key, n)) return true;
    return false;
}

static enum sg_status refuse(const char *dir, const struct sg_plan *plan, const struct sg_results *old,
                             struct sg_err *err) {
    struct sg_buf all = {0}, keys = {0};
    if (old->job_text && sg_job_differences(old->job_text, plan->job.text, &all, NULL) == SG_OK && all.len)
        for (const char *k = all.data; *k;) {
            const size_t n = strcspn(k, ",");
            if (!is_number(k, n)) sg_buf_printf(&keys, NULL, "%s%.*s", keys.len ? ", " : "", (int)n, k);
            k += n + strspn(k + n, ", ");
        }
    const enum sg_status st =
        sg_fail(err, SG_E_MISMATCH,
                "--extend: %s holds another run (%s%s): only the number of samples may differ; use --since "
                "and another output.dir, or --fresh to discard that run",
                dir, keys.len ? "its job differs in " : "",
                keys.len ? keys.data
                         : "the files its job names, the estimator or this program's numerics have changed");
    sg_buf_free(&all);
    sg_buf_free(&keys);
    return st;
}

static int64_t samples_of(const struct sg_results *r, int64_t cell) {
    int64_t at;
    const struct sg_results *part = sg_results_part(r, cell, &at);
    return sg_results_cell_samples(part, at);
}

/* Refuses earlier results that are not the beginning of the plan's. */
static enum sg_status compare(const char *dir, const struct sg_plan *plan, const struct sg_plan_inputs *in,
                              const struct sg_results *old, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_digest *drawn = NULL, run;
    uint8_t *seen = NULL; /* [n] */
    char hex[SG_DIGEST_HEX];
    const int64_t n = plan->n_cells;
    if (!old->origin.fingerprint || !old->fingerprint || sg_results_n_cells(old) != n ||
        old->n_models != plan->n_models)
        return refuse(dir, plan, old, err);
    /* all but the cells: ids, prices, outcomes ... */
    SG_TRY(sg_plan_run_fingerprint(plan, old->origin.fingerprint, &run, err));
    sg_digest_hex(run, hex);
    if (strcmp(hex, old->fingerprint) != 0) {
        st = refuse(dir, plan, old, err);
        goto out;
    }
    SG_TRY(SG_NEW(&drawn, n, "cell fingerprints", err));
    SG_TRY(SG_NEW(&seen, n, "cells", err));
    for (int64_t c = 0; c < n; c++) {
        const int64_t samples = samples_of(old, c);
        if (seen[c] || !samples) continue; /* without samples: it failed */
        struct sg_sampling_params as_there = plan->params[0];
        as_there.samples = samples;
        SG_TRY(sg_plan_fingerprints_of(plan, in, &as_there, drawn, err));
        for (int64_t i = c; i < n; i++) { /* all with that number */
            if (seen[i] || samples_of(old, i) != samples) continue;
            seen[i] = 1;
            if (sg_digest_equal(drawn[i], old->origin.fingerprint[i])) continue;
            st = refuse(dir, plan, old, err);
            goto out;
        }
    }
    for (int64_t c = 0; c < n && st == SG_OK; c++)
        if (samples_of(old, c) > sg_plan_cell_samples(plan, c))
            st = sg_fail(
                err, SG_E_MISMATCH,
                "--extend: %s %s, model %s has %lld samples in %s and would have %lld: --extend only "
                "adds samples, so %s",
                sg_plan_row_kind(plan, c), plan->queries[c / plan->n_models].id,
                plan->models[c % plan->n_models].id, (long long)samples_of(old, c), dir,
                (long long)sg_plan_cell_samples(plan, c),
                plan->listed ? "sampling.cells must list all cells that have more than sampling.others"
                             : "sampling.samples must be more; --since and another output.dir take the first "
                               "samples");
out:
    free(drawn);
    free(seen);
    return st;
}

enum sg_status sg_extend_check(const char *dir, const struct sg_plan *plan, const struct sg_plan_inputs *in,
                               bool *begun, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_results old = {0};
    struct sg_run_id id;
    struct sg_run_done end;
    char *path = NULL, hex[SG_DIGEST_HEX];
    bool done = false, is = sg_rundir_is(dir);
    *begun = false;
    if (is) {
        SG_TRY(sg_rundir_read_run(dir, &id, err));
        *begun = sg_digest_equal(id.fingerprint, plan->fingerprint);
        if (*begun) goto out;
        SG_TRY(sg_rundir_read_done(dir, &done, &end, err));
    }
    SG_TRY(sg_extend_source(dir, &path, err));
    SG_TRY(sg_results_read(path, SG_RESULTS_CELLS | SG_RESULTS_ORIGIN, &old, err));
    if (is) sg_digest_hex(id.fingerprint, hex);
    if (is && !done && !(old.fingerprint && !strcmp(old.fingerprint, hex)))
        st = unfinished(dir, err); /* another extension */
    else
        st = compare(dir, plan, in, &old, err);
out:
    sg_results_free(&old);
    free(path);
    return st;
}

enum sg_status sg_extend_begin(const char *dir, const struct sg_plan *plan, const struct sg_plan_inputs *in,
                               struct sg_err *err) {
    bool begun;
    const enum sg_status st = sg_extend_check(dir, plan, in, &begun, err);
    return st == SG_OK && !begun ? sg_rundir_set_aside(dir, err) : st;
}
