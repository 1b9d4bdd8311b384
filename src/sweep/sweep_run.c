#include "sweep/sweep_run.h"

#include "base/file.h"
#include "model/files.h"
#include "rundir/rundir.h"
#include "store/results.h"
#include "sweep/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The most samples of a cell in one run. It bounds what a point's merge reads, and the tokens that an engine
 * group keeps in memory until its last sample ends. */
enum { GROUP_SAMPLES = 512 };

struct group {
    char name[SG_GROUP_NAME];
    int64_t n_points, samples;         /* of all its points */
    struct sg_sampling_params *params; /* [n_params] that its run draws with */
    size_t n_params, cap_params;
    int64_t cells, prompt_tokens; /* of its run */
};
struct point {
    struct group *group;
    char *results; /* path, once it is done; else NULL */
    struct sg_digest digest;
    int64_t cells, failed, taken;
};
/* The coordinator's state. */
struct sweep {
    struct sg_sweep file;
    struct point *points; /* [file.n_points] */
    struct group *groups; /* [n_groups] of [n_points] */
    int64_t n_groups;
    int64_t n_partial;                                              /* points with failed cells */
    void (*say)(const char *point, const struct sg_run_summary *s); /* NULL: nothing is said */
};

static void sweep_free(struct sweep *s) {
    for (int64_t i = 0; i < s->n_groups; i++) free(s->groups[i].params);
    free(s->groups);
    free(s->points);
    sg_sweep_free(&s->file);
}

/* ---- check of every point ----------------------------------------------------------------------------- */

/* Finds a missing file or outcome of any point before the first point computes for hours. Opens no device,
 * reads no weights. */
static enum sg_status check_job(const struct sg_compute_maker *maker, const struct sg_job *job,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_plan_inputs in = {0};
    struct sg_model_files files = {0}, embedding = {0};
    struct sg_dev_place place;
    struct sg_plan plan = {0};
    if (maker->find) SG_TRY(maker->find(maker->ctx, job, 0, &place, err));
    if (maker->reads_model) SG_TRY(sg_model_files_list(job->model_path, &files, err));
    if (job->prompt.similarity.method == SG_SIM_EMBEDDING) /* no plan: ranking would load the model */
        st = sg_model_files_list(job->prompt.similarity.model, &embedding, err);
    else
        st = sg_plan_build(job, &in, &plan, err);
out:
    sg_model_files_free(&files);
    sg_model_files_free(&embedding);
    sg_plan_free(&plan);
    return st;
}

static enum sg_status check_point(void *ctx, const struct sg_sweep_point *p, struct sg_err *err) {
    struct sg_job job = {0};
    if (p->like < p->index) return SG_OK; /* an earlier point has the same files */
    enum sg_status st = sg_job_read(p->job, p->overrides, p->n_overrides, &job, err);
    if (st == SG_OK) st = check_job(ctx, &job, err);
    sg_job_free(&job);
    return st;
}

/* ---- groups ------------------------------------------------------------------------------------------- */

/* True for a key in which points of one group may differ: it does not change the prefill. */
static bool is_free(const char *key) {
    static const char *const keys[] = {"sampling.temperature", "sampling.top_p",   "sampling.top_k",
                                       "sampling.seed",        "sampling.samples", "sampling.draws",
                                       "output.texts"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(key, keys[i])) return true;
    return false;
}

static bool agree(const struct sg_sweep *s, const struct sg_sweep_member *a,
                  const struct sg_sweep_member *b) {
    for (int64_t i = 0; i < s->n_axes; i++)
        if (a->value[i] != b->value[i] && !is_free(s->axes[i].key)) return false;
    return true;
}

/* Puts the point into the first group that has its other settings and room for its samples, or a new one. */
static void join(struct sweep *s, int64_t index) {
    const struct sg_sweep_member *p = &s->file.points[index];
    struct group *g = NULL;
    for (int64_t i = 0; i < index && !g; i++)
        if (agree(&s->file, &s->file.points[i], p) &&
            s->points[i].group->samples + p->params.samples <= GROUP_SAMPLES)
            g = s->points[i].group;
    if (!g) {
        char name[SG_POINT_NAME] = "group";
        bool used = false;
        for (int64_t a = 0; a < s->file.n_axes; a++)
            if (!is_free(s->file.axes[a].key)) sg_sweep_add_name(&s->file, p, a, name, sizeof name);
        for (int64_t i = 0; i < s->n_groups; i++) used = used || !strcmp(s->groups[i].name, name);
        used = used || strlen(name) == sizeof name - 1; /* may have been cut */
        g = &s->groups[s->n_groups++];
        snprintf(g->name, sizeof g->name, "%s", name);
        if (used) snprintf(g->name, sizeof g->name, "%s_%d", name, (int)s->n_groups);
    }
    g->n_points++;
    g->samples += p->params.samples;
    s->points[index].group = g;
}

static enum sg_status add_params(struct group *g, const struct sg_sampling_params *d, struct sg_err *err) {
    enum sg_status st = SG_OK;
    size_t i = 0;
    while (i < g->n_params && !sg_plan_same_params(&g->params[i], d)) i++;
    if (i == g->n_params) {
        SG_TRY(SG_GROW(&g->params, &g->cap_params, i + 1, "sampling parameters", err));
        g->params[g->n_params++] = *d;
    }
    if (g->params[i].samples < d->samples) g->params[i].samples = d->samples;
out:
    return st;
}

static bool draws_for(const struct group *g, const struct sg_sweep_member *p) {
    return sg_params_find(g->params, (int32_t)g->n_params, &p->params) >= 0;
}

/* Sets g->params to those of the group's run in `dir`. *can: that run has the samples of all open points. */
static enum sg_status goes_on(struct sweep *s, struct group *g, const char *dir, const bool *open, bool *can,
                              struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_plan plan = {0};
    struct sg_run_done end;
    bool done;
    SG_TRY(sg_rundir_read_plan(dir, &plan, err));
    SG_TRY(sg_rundir_read_done(dir, &done, &end, err));
    for (int32_t i = 0; i < plan.n_params; i++) SG_TRY(add_params(g, &plan.params[i], err));
    *can = true;
    for (int64_t i = 0; i < s->file.n_points; i++)
        if (open[i])
            *can = *can && draws_for(g, &s->file.points[i]) &&
                   (plan.job.output.texts || !s->file.points[i].texts);
    if (done) g->prompt_tokens = end.prompt_tokens;
out:
    sg_plan_free(&plan);
    return st;
}

/* Sets g->params: those of the run that is there, when it can go on, else those of the open points. */
static enum sg_status choose_params(struct sweep *s, struct group *g, const struct sg_run_options *opt,
                                    bool *texts, bool *replace, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t n = s->file.n_points;
    bool *open = NULL, can = false, any = false;
    char *dir = NULL;
    SG_TRY(SG_NEW(&open, n, "points", err));
    for (int64_t i = 0; i < n; i++) {
        struct sg_run_done end = {.failed = 0};
        bool done = false;
        if (s->points[i].group != g) continue;
        free(dir);
        dir = NULL;
        SG_TRY(sg_path_join(s->file.dir, s->file.points[i].name, &dir, err));
        if (!opt->fresh) SG_TRY(sg_rundir_read_done(dir, &done, &end, err));
        open[i] = !done || (opt->retry_failed && end.failed > 0);
        any = any || open[i];
    }
    free(dir);
    dir = NULL;
    SG_TRY(sg_path_join(s->file.dir, g->name, &dir, err));
    *replace = sg_rundir_is(dir);
    if (*replace && !opt->fresh) SG_TRY(goes_on(s, g, dir, open, &can, err));
    *replace = *replace && !can;
    if (!can) {
        g->n_params = 0;
        g->prompt_tokens = 0;
    }
    for (int64_t i = 0; i < n; i++) {
        if (s->points[i].group != g || (any && !open[i])) continue;
        *texts = *texts || s->file.points[i].texts;
        if (!can) SG_TRY(add_params(g, &s->file.points[i].params, err));
    }
out:
    free(open);
    free(dir);
    return st;
}

/* ---- the index ---------------------------------------------------------------------------------------- */

static bool put_number(cJSON *o, const char *key, int64_t v) {
    return cJSON_AddNumberToObject(o, key, (double)v) != NULL;
}

static bool put_group(const struct sweep *s, const struct group *g, cJSON *list) {
    cJSON *o = cJSON_CreateObject();
    int64_t n = 0, samples = 0;
    if (!o || !cJSON_AddItemToArray(list, o) || !cJSON_AddStringToObject(o, "name", g->name)) return false;
    cJSON *points = cJSON_AddArrayToObject(o, "points");
    for (int64_t i = 0; i < s->file.n_points; i++) {
        if (s->points[i].group != g || !draws_for(g, &s->file.points[i])) continue;
        if (!cJSON_AddItemToArray(points, cJSON_CreateString(s->file.points[i].name))) return false;
        n++;
    }
    for (size_t i = 0; i < g->n_params; i++) samples += g->params[i].samples;
    return put_number(o, "samples", samples) && put_number(o, "cells", g->cells) &&
           put_number(o, "prefill_tokens", g->prompt_tokens) &&
           put_number(o, "prefill_tokens_saved", n ? (n - 1) * g->prompt_tokens : 0);
}

static bool put_point(const struct sweep *s, int64_t index, cJSON *list) {
    const struct sg_sweep_member *m = &s->file.points[index];
    const struct point *p = &s->points[index];
    char hex[SG_DIGEST_HEX], results[SG_POINT_NAME + 16];
    cJSON *o = cJSON_CreateObject();
    if (!o || !cJSON_AddItemToArray(list, o) || !cJSON_AddStringToObject(o, "name", m->name)) return false;
    cJSON *settings = cJSON_AddObjectToObject(o, "settings");
    for (int64_t a = 0; a < s->file.n_axes; a++)
        if (!cJSON_AddItemToObject(
                settings, s->file.axes[a].key,
                cJSON_Duplicate(cJSON_GetArrayItem(s->file.axes[a].values, (int)m->value[a]), true)))
            return false;
    if (!cJSON_AddStringToObject(o, "state", p->results ? "done" : "open")) return false;
    if (!p->results) return true;
    sg_digest_hex(p->digest, hex);
    snprintf(results, sizeof results, "%s/results.h5", m->name);
    return cJSON_AddStringToObject(o, "results", results) && cJSON_AddStringToObject(o, "digest", hex) &&
           put_number(o, "cells", p->cells) && put_number(o, "failed", p->failed) &&
           put_number(o, "taken_over", p->taken) && put_number(o, "computed", p->cells - p->taken);
}

static enum sg_status write_index(const struct sweep *s, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *path = NULL, *text = NULL;
    cJSON *o = cJSON_CreateObject(), *groups, *points;
    bool ok =
        o && cJSON_AddStringToObject(o, "format", "scope-grid sweep") && put_number(o, "version", 1) &&
        cJSON_AddStringToObject(o, "name", s->file.name) && cJSON_AddStringToObject(o, "job", s->file.job) &&
        cJSON_AddItemToObject(o, "axes",
                              cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(s->file.doc, "axes"), true)) &&
        (groups = cJSON_AddArrayToObject(o, "groups")) && (points = cJSON_AddArrayToObject(o, "points"));
    for (int64_t i = 0; ok && i < s->n_groups; i++) ok = put_group(s, &s->groups[i], groups);
    for (int64_t i = 0; ok && i < s->file.n_points; i++) ok = put_point(s, i, points);
    if (ok) text = cJSON_Print(o);
    if (!text) {
        st = sg_fail(err, SG_E_NOMEM, "no memory for the index");
        goto out;
    }
    SG_TRY(sg_path_join(s->file.dir, "index.json", &path, err));
    SG_TRY(sg_file_write_atomic(path, text, strlen(text), err));
out:
    cJSON_Delete(o);
    free(text);
    free(path);
    return st;
}

/* Fills the index's fields of a finished point from its results file, which an earlier start may have
 * written. */
static enum sg_status note(struct sweep *s, int64_t index, const struct sg_run_summary *sum,
                           struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_results r = {0};
    struct sg_buf path = {0};
    struct point *p = &s->points[index];
    SG_TRY(sg_buf_printf(&path, err, "%s/%s/results.h5", s->file.dir, s->file.points[index].name));
    SG_TRY(sg_results_read(path.data, 0, &r, err));
    p->digest = sum->digest;
    p->cells = sum->total;
    p->failed = sum->failed;
    p->taken = r.origin.taken_over;
    SG_TRY(sg_arena_dup(&s->file.strings, path.data, path.len, &p->results, err));
out:
    sg_results_free(&r);
    sg_buf_free(&path);
    return st;
}

/* ---- running ------------------------------------------------------------------------------------------ */

/* The input of one group's run; the coordinator's. */
struct prepared {
    struct sg_run_group group;
    int64_t *index; /* [group.n_points] among the sweep's */
    const char **set;
    size_t n_set;
};

static void prepared_free(struct prepared *p) {
    for (int64_t i = 0; p->group.points && i < p->group.n_points; i++) {
        sg_job_free(&p->group.points[i].job);
        free(p->group.points[i].sum.run_dir);
    }
    free(p->group.points);
    free(p->index);
    free(p->set);
}

/* Reads the jobs of the group's points, and makes the overrides that turn the first one's job into the
 * run's. */
static enum sg_status prepare(struct sweep *s, struct group *g, const struct sg_run_options *opt,
                              struct prepared *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *settings[SG_SWEEP_AXES + 8], **set = NULL;
    size_t n = 0;
    bool texts = false;
    struct sg_buf item = {0};
    char *text;
    out->group.name = g->name;
    SG_TRY(SG_NEW(&out->group.points, g->n_points, "points", err));
    SG_TRY(SG_NEW(&out->index, g->n_points, "points", err));
    for (int64_t i = 0; i < s->file.n_points; i++) {
        const struct sg_sweep_member *p = &s->file.points[i];
        if (s->points[i].group != g) continue;
        free(set);
        set = NULL;
        SG_TRY(sg_sweep_overrides(opt, p->settings, p->n_settings, &set, err));
        SG_TRY(sg_job_read(s->file.job, set, opt->n_overrides + p->n_settings,
                           &out->group.points[out->group.n_points].job, err));
        for (size_t k = 0; !n && k < p->n_settings; k++) settings[k] = p->settings[k];
        if (!n) n = p->n_settings;
        out->index[out->group.n_points++] = i;
    }
    SG_TRY(choose_params(s, g, opt, &texts, &out->group.replace, err));
    out->group.params = g->params;
    out->group.n_params = (int32_t)g->n_params;
    out->group.prompt_tokens = g->prompt_tokens;
    for (int i = 0; i < 2; i++) {
        sg_buf_clear(&item);
        SG_TRY(i ? sg_buf_printf(&item, err, "name=%s", g->name)
                 : sg_buf_printf(&item, err, "output.dir=%s/%s", s->file.dir, g->name));
        SG_TRY(sg_arena_dup(&s->file.strings, item.data, item.len, &text, err));
        settings[n++] = text;
    }
    settings[n++] = texts ? "output.texts=true" : "output.texts=false";
    SG_TRY(sg_sweep_overrides(opt, settings, n, &out->set, err));
    out->n_set = opt->n_overrides + n;
    if (!opt->quiet)
        fprintf(stderr, "scope-grid: %s: %lld point%s, the samples of each cell from one prefill\n", g->name,
                (long long)g->n_points, g->n_points == 1 ? "" : "s");
out:
    free(set);
    sg_buf_free(&item);
    return st;
}

/* Writes the index, calls `say` for the group's points, counts those with failed cells. */
static enum sg_status note_all(struct sweep *s, struct group *g, const struct prepared *p,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    g->prompt_tokens = p->group.prompt_tokens;
    for (int64_t i = 0; i < p->group.n_points; i++) {
        const struct sg_run_summary *sum = &p->group.points[i].sum;
        g->cells = sum->total;
        s->n_partial += sum->failed > 0;
        SG_TRY(note(s, p->index[i], sum, err));
        if (s->say) s->say(s->file.points[p->index[i]].name, sum);
    }
    SG_TRY(write_index(s, err));
out:
    return st;
}

/* Collective. Runs one group; s and g are NULL except on the coordinator. */
static enum sg_status run_group(struct sg_comm *comm, const struct sg_run_options *opt,
                                const struct sg_compute_maker *maker, struct sweep *s, struct group *g,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_run_options o = *opt;
    struct sg_run_summary sum = {0};
    struct prepared p = {.n_set = 0};
    if (s) {
        st = prepare(s, g, opt, &p, err);
        o.job_path = s->file.job;
        o.overrides = p.set;
        o.n_overrides = p.n_set;
    }
    SG_TRY(sg_comm_agree(comm, st, err));
    const enum sg_status how = st = sg_run_points(comm, &o, s ? &p.group : NULL, maker, &sum, err);
    if (s && (how == SG_OK || how == SG_E_PARTIAL)) {
        struct sg_err e = {0};
        if (!opt->quiet && sum.computed > 0)
            fprintf(stderr, "scope-grid: %s: %lld cells computed in %.1f s, %.0f output tokens/s\n", g->name,
                    (long long)sum.computed, sum.seconds, (double)sum.output_tokens / sum.seconds);
        const enum sg_status noted = note_all(s, g, &p, &e);
        if (noted != SG_OK) {
            *err = e;
            st = noted;
        }
    }
    st = sg_comm_agree(comm, st, err);
    if (st != SG_OK && st != SG_E_PARTIAL && s) sg_err_at(err, "%s", g->name);
out:
    free(sum.run_dir);
    prepared_free(&p);
    return st;
}

/* Coordinator only. */
static enum sg_status begin(struct sweep *s, const struct sg_run_options *opt,
                            const struct sg_compute_maker *maker, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_compute_maker m = *maker;
    if (opt->array) return sg_fail(err, SG_E_USAGE, "--array: not for a sweep; run its points one by one");
    if (opt->extend)
        return sg_fail(err, SG_E_USAGE, "--extend: not for a sweep; extend its points one by one");
    SG_TRY(sg_sweep_each(opt, check_point, &m, err)); /* before the sweep's folder is made */
    SG_TRY(sg_sweep_read(opt, true, &s->file, err));
    SG_TRY(SG_NEW(&s->points, s->file.n_points, "points", err));
    SG_TRY(SG_NEW(&s->groups, s->file.n_points, "prefill groups", err));
    for (int64_t i = 0; i < s->file.n_points; i++) join(s, i);
    sg_temp_tidy(s->file.dir, ".", (const char *const[]){"index.json", NULL}, SG_TEMP_AGE);
    SG_TRY(write_index(s, err));
out:
    return st;
}

enum sg_status sg_sweep_run(struct sg_comm *comm, const struct sg_run_options *opt,
                            const struct sg_compute_maker *maker,
                            void (*say)(const char *point, const struct sg_run_summary *s),
                            struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sweep s = {.say = say};
    struct sg_buf count = {0};
    const bool root = sg_comm_rank(comm) == 0;
    int64_t n_groups = 0;
    struct sg_err partial = {0};
    if (root) st = begin(&s, opt, maker, err);
    if (root && st == SG_OK) st = sg_buf_add(&count, &s.n_groups, sizeof s.n_groups, err);
    SG_TRY(sg_comm_agree(comm, st, err));
    SG_TRY(sg_comm_bcast(comm, &count, err));
    memcpy(&n_groups, count.data, sizeof n_groups);
    for (int64_t i = 0; i < n_groups; i++) {
        memset(err, 0, sizeof *err);
        st = run_group(comm, opt, maker, root ? &s : NULL, root ? &s.groups[i] : NULL, err);
        if (st == SG_E_PARTIAL && !partial.text[0])
            partial = *err;
        else if (st != SG_OK && st != SG_E_PARTIAL)
            goto out;
    }
    memset(err, 0, sizeof *err);
    st = SG_OK;
    if (partial.text[0])
        st = sg_fail(err, SG_E_PARTIAL, "%lld of %lld points have failed cells; the first: %s",
                     (long long)s.n_partial, (long long)s.file.n_points, partial.text);
    else if (root && !opt->quiet)
        fprintf(stderr, "scope-grid: all points are listed in %s/index.json\n", s.file.dir);
out:
    sg_buf_free(&count);
    sweep_free(&s);
    return st;
}
