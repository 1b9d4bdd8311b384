#include "base/file.h"
#include "rundir/rundir.h"
#include "sweep/sweep_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Samples of a cell that one pass draws at most: more make more passes. A point's reader goes through all of
 * them, and a group of the engine keeps its tokens in memory until the last sample ends. */
enum { PASS_SAMPLES = 512, MAX_INDEX = 16 << 20 };

/* ---- draws ------------------------------------------------------------------------------------------ */

/* Whether the pass draws all that the point needs. */
static bool draws_for(const struct sg__pass *pass, const struct sg_plan_draws *d) {
    for (size_t i = 0; i < pass->n_draws; i++)
        if (sg_plan_same_draws(&pass->draws[i], d)) return pass->draws[i].samples >= d->samples;
    return false;
}

static enum sg_status add_draws(struct sg__pass *pass, const struct sg_plan_draws *d, struct sg_err *err) {
    enum sg_status st = SG_OK;
    size_t i = 0;
    while (i < pass->n_draws && !sg_plan_same_draws(&pass->draws[i], d)) i++;
    if (i == pass->n_draws) {
        SG_TRY(SG_GROW(&pass->draws, &pass->cap_draws, i + 1, "draws", err));
        pass->draws[pass->n_draws++] = *d;
    }
    if (pass->draws[i].samples < d->samples) pass->draws[i].samples = d->samples;
out:
    return st;
}

/* ---- which points ----------------------------------------------------------------------------------- */

/* Axes along which points can share a pass: what comes after the prefill. */
static bool is_free(const char *key) {
    static const char *const keys[] = {"sampling.temperature", "sampling.top_p",   "sampling.top_k",
                                       "sampling.seed",        "sampling.samples", "output.texts"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(key, keys[i])) return true;
    return false;
}

static bool agree(const struct sg__sweep *s, const struct sg__point *a, const struct sg__point *b) {
    for (int64_t i = 0; i < s->n_axes; i++)
        if (a->value[i] != b->value[i] && !is_free(s->axes[i].key)) return false;
    return true;
}

/* Into the first pass whose points it agrees with and that has room, or a new one. */
static enum sg_status join(struct sg__sweep *s, int64_t index, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__point *p = &s->points[index];
    struct sg_buf dir = {0};
    for (int64_t i = 0; i < index && !p->pass; i++) {
        struct sg__pass *pass = s->points[i].pass;
        if (agree(s, &s->points[i], p) && pass->samples + p->draws.samples <= PASS_SAMPLES) p->pass = pass;
    }
    if (!p->pass) {
        p->pass = &s->passes[s->n_passes++];
        snprintf(p->pass->name, sizeof p->pass->name, "pass-%d", (int)s->n_passes);
        SG_TRY(sg_buf_printf(&dir, err, "%s/%s", s->dir, p->pass->name));
        SG_TRY(sg_arena_dup(&s->strings, dir.data, dir.len, &p->pass->dir, err));
    }
    p->pass->n_points++;
    p->pass->samples += p->draws.samples;
out:
    sg_buf_free(&dir);
    return st;
}

/* What the index of an earlier start says of a pass, as long as its points are still this one's. */
static enum sg_status recall(struct sg__sweep *s, const struct sg_json *at, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *name = "";
    int64_t cells = 0, tokens = 0;
    struct sg_json list;
    struct sg__pass *pass = NULL;
    const cJSON *v;
    SG_TRY(sg_json_need_str(at, "name", &name, err));
    SG_TRY(sg_json_need_i64(at, "cells", 0, INT64_MAX >> 11, &cells, err));
    SG_TRY(sg_json_need_i64(at, "prefill_tokens", 0, INT64_MAX >> 11, &tokens, err));
    SG_TRY(sg_json_member(at, "points", true, &list, err));
    for (int64_t i = 0; i < s->n_passes; i++)
        if (!strcmp(s->passes[i].name, name)) pass = &s->passes[i];
    for (int take = 0; pass && take < 2; take++) cJSON_ArrayForEach(v, list.node) {
            struct sg__point *p = NULL;
            for (int64_t i = 0; cJSON_IsString(v) && i < s->n_points; i++)
                if (!strcmp(s->points[i].name, v->valuestring)) p = &s->points[i];
            if (!p || p->pass != pass) goto out; /* the axes were others */
            if (take) p->served = true;
        }
    if (pass) {
        pass->cells = cells;
        pass->prompt_tokens = tokens;
    }
out:
    return st;
}

static enum sg_status recall_all(struct sg__sweep *s, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf text = {0};
    struct sg_json passes;
    char *path = NULL;
    cJSON *doc = NULL;
    const cJSON *v;
    int64_t i = 0;
    SG_TRY(sg_path_join(s->dir, "index.json", &path, err));
    if (!sg_file_exists(path)) goto out;
    SG_TRY(sg_file_read(path, MAX_INDEX, &text, err));
    SG_TRY(sg_json_parse(text.data, text.len, path, 1, &doc, err));
    const struct sg_json root = {.node = doc, .where = path};
    SG_TRY(sg_json_member(&root, "passes", false, &passes, err));
    if (!passes.node) goto out;
    cJSON_ArrayForEach(v, passes.node) {
        const struct sg_json at = sg_json_element(&passes, v, i++);
        SG_TRY(recall(s, &at, err));
    }
out:
    cJSON_Delete(doc);
    sg_buf_free(&text);
    free(path);
    return st;
}

enum sg_status sg__passes_make(struct sg__sweep *s, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(SG_NEW(&s->passes, s->n_points, "passes", err));
    for (int64_t i = 0; i < s->n_points; i++) SG_TRY(join(s, i, err));
    SG_TRY(recall_all(s, err));
out:
    return st;
}

void sg__passes_free(struct sg__sweep *s) {
    for (int64_t i = 0; i < s->n_passes; i++) free(s->passes[i].draws);
    free(s->passes);
}

/* ---- before and after ------------------------------------------------------------------------------- */

static enum sg_status is_done(const struct sg__sweep *s, const struct sg__point *p, bool *done,
                              struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_run_done end;
    char *dir = NULL;
    SG_TRY(sg_path_join(s->dir, p->name, &dir, err));
    SG_TRY(sg_rundir_read_done(dir, done, &end, err));
out:
    free(dir);
    return st;
}

/* A pass that an earlier start began goes on as it is when it has what the points that are not done need. */
static enum sg_status go_on(struct sg__sweep *s, struct sg__pass *pass, const bool *waits, bool *can,
                            struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_plan plan = {0};
    bool texts = false;
    *can = false;
    SG_TRY(sg_rundir_read_plan(pass->dir, &plan, err));
    pass->n_draws = 0;
    for (int32_t i = 0; i < plan.n_draws; i++) SG_TRY(add_draws(pass, &plan.draws[i], err));
    *can = true;
    for (int64_t i = 0; i < s->n_points; i++) {
        if (!waits[i]) continue;
        *can = *can && draws_for(pass, &s->points[i].draws);
        texts = texts || s->points[i].texts;
    }
    *can = *can && (plan.job.output.texts || !texts);
    pass->texts = plan.job.output.texts;
out:
    sg_plan_free(&plan);
    return st;
}

enum sg_status sg__pass_before(struct sg__sweep *s, struct sg__point *p, bool fresh_sweep,
                               struct sg__pass **run, bool *fresh, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__pass *pass = p->pass;
    bool *waits = NULL, any = false, can = false;
    *run = NULL;
    *fresh = fresh_sweep;
    if (pass->seen) return SG_OK;
    pass->seen = true;
    SG_TRY(SG_NEW(&waits, s->n_points, "points", err));
    for (int64_t i = 0; i < s->n_points; i++) {
        bool done = false;
        if (s->points[i].pass != pass) continue;
        if (!fresh_sweep) SG_TRY(is_done(s, &s->points[i], &done, err));
        waits[i] = !done;
        any = any || waits[i];
    }
    if (!any) goto out;
    if (!fresh_sweep && sg_rundir_is(pass->dir)) {
        SG_TRY(go_on(s, pass, waits, &can, err));
        if (can) *run = pass;
        *fresh = !can;
        if (can) goto out;
    }
    pass->n_draws = 0;
    pass->texts = false;
    for (int64_t i = 0; i < s->n_points; i++) {
        if (!waits[i]) continue;
        pass->texts = pass->texts || s->points[i].texts;
        SG_TRY(add_draws(pass, &s->points[i].draws, err));
    }
    if (pass->n_draws > 1)
        *run = pass; /* one way of drawing: the point with most samples gives to the others */
out:
    free(waits);
    return st;
}

enum sg_status sg__pass_settings(struct sg__sweep *s, const struct sg__pass *pass, const char **list,
                                 size_t *n, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf item = {0};
    const struct sg__point *first = NULL;
    char *set;
    for (int64_t i = s->n_points - 1; i >= 0; i--)
        if (s->points[i].pass == pass) first = &s->points[i];
    SG_ASSERT(first);
    for (size_t i = 0; i < first->n_settings; i++) list[(*n)++] = first->settings[i];
    SG_TRY(sg_buf_printf(&item, err, "output.dir=%s", pass->dir));
    SG_TRY(sg_arena_dup(&s->strings, item.data, item.len, &set, err));
    list[(*n)++] = set;
    sg_buf_clear(&item);
    SG_TRY(sg_buf_printf(&item, err, "name=%s", pass->name));
    SG_TRY(sg_arena_dup(&s->strings, item.data, item.len, &set, err));
    list[(*n)++] = set;
    list[(*n)++] = pass->texts ? "output.texts=true" : "output.texts=false";
out:
    sg_buf_free(&item);
    return st;
}

void sg__pass_ran(struct sg__sweep *s, struct sg__pass *pass, int64_t cells, int64_t prompt_tokens) {
    pass->ran = true;
    pass->cells = cells;
    pass->prompt_tokens = prompt_tokens;
    for (int64_t i = 0; i < s->n_points; i++)
        if (s->points[i].pass == pass)
            s->points[i].served =
                draws_for(pass, &s->points[i].draws) && (pass->texts || !s->points[i].texts);
}

enum sg_status sg__pass_tidy(struct sg__sweep *s, const struct sg__point *p, struct sg_err *err) {
    struct sg__pass *pass = p->pass;
    for (int64_t i = 0; i < s->n_points; i++)
        if (s->points[i].pass == pass && !s->points[i].results) return SG_OK;
    pass->ran = false;
    return sg_rundir_is(pass->dir) ? sg_rundir_remove(pass->dir, err) : SG_OK;
}

/* ---- the index -------------------------------------------------------------------------------------- */

static enum sg_status put_pass(const struct sg__sweep *s, const struct sg__pass *pass, struct sg_buf *b,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t n = 0, samples = 0;
    struct sg__pass all = {0};
    SG_TRY(sg_buf_printf(b, err, "    {\"name\": \"%s\", \"points\": [", pass->name));
    for (int64_t i = 0; i < s->n_points; i++) {
        const struct sg__point *p = &s->points[i];
        if (p->pass != pass || !p->served) continue;
        SG_TRY(sg_buf_printf(b, err, "%s\"%s\"", n++ ? ", " : "", p->name));
        SG_TRY(add_draws(&all, &p->draws, err));
    }
    for (size_t i = 0; i < all.n_draws; i++) samples += all.draws[i].samples;
    SG_TRY(sg_buf_printf(b, err,
                         "], \"samples\": %lld, \"cells\": %lld, \"prefill_tokens\": %lld, "
                         "\"prefill_tokens_saved\": %lld}",
                         (long long)samples, (long long)pass->cells, (long long)pass->prompt_tokens,
                         (long long)((n - 1) * pass->prompt_tokens)));
out:
    free(all.draws);
    return st;
}

enum sg_status sg__passes_put(const struct sg__sweep *s, struct sg_buf *b, struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t n = 0;
    SG_TRY(sg_buf_str(b, "\"passes\": [", err));
    for (int64_t i = 0; i < s->n_passes; i++) {
        bool served = false;
        for (int64_t k = 0; k < s->n_points; k++)
            served = served || (s->points[k].pass == &s->passes[i] && s->points[k].served);
        if (!served) continue;
        SG_TRY(sg_buf_str(b, n++ ? ",\n" : "\n", err));
        SG_TRY(put_pass(s, &s->passes[i], b, err));
    }
    SG_TRY(sg_buf_str(b, n ? "\n  ]" : "]", err));
out:
    return st;
}
