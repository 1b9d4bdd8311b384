#include "sweep/sweep.h"

#include "base/file.h"
#include "rundir/rundir.h"
#include "sweep/sweep_internal.h"
#include "store/results.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 20, MAX_POINTS = 1000 };

static void sweep_free(struct sg__sweep *s) {
    cJSON_Delete(s->doc);
    sg__passes_free(s);
    free(s->name);
    free(s->job);
    free(s->dir);
    free(s->points);
    free(s->order);
    sg_arena_free(&s->strings);
}

bool sg_sweep_is(const char *path) {
    struct sg_buf text = {0};
    cJSON *doc = NULL;
    const bool is = sg_file_read(path, MAX_BYTES, &text, NULL) == SG_OK &&
                    sg_json_parse(text.data, text.len, path, 1, &doc, NULL) == SG_OK &&
                    cJSON_HasObjectItem(doc, "axes");
    cJSON_Delete(doc);
    sg_buf_free(&text);
    return is;
}

/* ---- reading ---------------------------------------------------------------------------------------- */

static enum sg_status read_axes(struct sg__sweep *s, const struct sg_json *root, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_json axes;
    SG_TRY(sg_json_member(root, "axes", true, &axes, err));
    if (!cJSON_IsObject(axes.node) || !axes.node->child) {
        st = sg_fail(err, SG_E_INPUT, "%s: axes must be an object of key: [values]", root->where);
        goto out;
    }
    s->n_points = 1;
    for (const cJSON *a = axes.node->child; a; a = a->next) {
        if (s->n_axes == SG__SWEEP_AXES) {
            st = sg_fail(err, SG_E_INPUT, "%s: axes has more than %d keys", root->where, (int)SG__SWEEP_AXES);
            goto out;
        }
        if (!strcmp(a->string, "name") ||
            (!strncmp(a->string, "output.", 7) && strcmp(a->string, "output.texts") != 0)) {
            st = sg_fail(err, SG_E_INPUT, "%s: axes: %s is the sweep's to set", root->where, a->string);
            goto out;
        }
        const int64_t n = cJSON_IsArray(a) ? cJSON_GetArraySize(a) : 0;
        const cJSON *v;
        bool scalar = n > 0;
        cJSON_ArrayForEach(v, a) scalar =
            scalar && (cJSON_IsNumber(v) || cJSON_IsString(v) || cJSON_IsBool(v) || cJSON_IsNull(v));
        if (!scalar) {
            st = sg_fail(err, SG_E_INPUT, "%s: axes: %s must be an array of at least one plain value",
                         root->where, a->string);
            goto out;
        }
        s->axes[s->n_axes++] = (struct sg__axis){a->string, a, n};
        s->n_points *= n;
        if (s->n_points > MAX_POINTS) {
            st = sg_fail(err, SG_E_INPUT, "%s: axes make more than %d points", root->where, (int)MAX_POINTS);
            goto out;
        }
    }
out:
    return st;
}

/* The first of the axis's values that equals the one at `i`: a value that stands twice is computed once. */
static int64_t first_equal(const struct sg__axis *axis, int64_t i) {
    const cJSON *v = cJSON_GetArrayItem(axis->values, (int)i), *other = axis->values->child;
    int64_t k = 0;
    for (; k < i; k++, other = other->next) /* numbers to the last bit, which cJSON_Compare does not do */
        if (cJSON_IsNumber(v) && cJSON_IsNumber(other) ? v->valuedouble == other->valuedouble
                                                       : cJSON_Compare(other, v, true))
            break;
    return k;
}

/* The value as --set takes it. */
static enum sg_status value_text(const cJSON *v, struct sg_buf *out, struct sg_err *err) {
    if (cJSON_IsString(v)) return sg_buf_str(out, v->valuestring, err);
    char *text = cJSON_PrintUnformatted(v);
    if (!text) return sg_fail(err, SG_E_NOMEM, "no memory for the sweep");
    enum sg_status st = sg_buf_str(out, text, err);
    free(text);
    return st;
}

/* "anchors-3_samples-8": the last part of each key with its value, as the name of a folder. */
static void add_name(char name[SG__POINT_NAME], const char *key, const char *value) {
    const char *dot = strrchr(key, '.'), *slash = strrchr(value, '/');
    const size_t at = strlen(name);
    snprintf(name + at, SG__POINT_NAME - at, "%s%s-%s", at ? "_" : "", dot ? dot + 1 : key,
             slash ? slash + 1 : value);
    for (char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p)) *p = '_';
}

static enum sg_status make_point(struct sg__sweep *s, int64_t index, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf item = {0};
    struct sg__point *p = &s->points[index];
    char *set, number[16];
    for (int64_t a = s->n_axes - 1, rest = index; a >= 0; rest /= s->axes[a].n, a--)
        p->value[a] = first_equal(&s->axes[a], rest % s->axes[a].n);
    for (int64_t a = 0; a < s->n_axes; a++) {
        const cJSON *v = cJSON_GetArrayItem(s->axes[a].values, (int)p->value[a]);
        sg_buf_clear(&item);
        SG_TRY(sg_buf_printf(&item, err, "%s=", s->axes[a].key));
        SG_TRY(value_text(v, &item, err));
        SG_TRY(sg_arena_dup(&s->strings, item.data, item.len, &set, err));
        p->settings[p->n_settings++] = set;
        add_name(p->name, s->axes[a].key, strchr(set, '=') + 1);
    }
    bool used = strlen(p->name) > SG__POINT_NAME - 10;
    for (int64_t i = 0; i < index; i++) used = used || !strcmp(s->points[i].name, p->name);
    if (used) { /* two values with one last part, or names too long to tell apart */
        snprintf(number, sizeof number, "_%d", (int)index);
        const size_t at = strlen(p->name), n = strlen(number);
        memcpy(p->name + (at + n < SG__POINT_NAME ? at : SG__POINT_NAME - 1 - n), number, n + 1);
    }
    sg_buf_clear(&item);
    SG_TRY(sg_buf_printf(&item, err, "output.dir=%s/%s", s->dir, p->name));
    SG_TRY(sg_arena_dup(&s->strings, item.data, item.len, &set, err));
    p->settings[p->n_settings++] = set;
    sg_buf_clear(&item);
    SG_TRY(sg_buf_printf(&item, err, "name=%s", p->name)); /* what comparisons show */
    SG_TRY(sg_arena_dup(&s->strings, item.data, item.len, &set, err));
    p->settings[p->n_settings++] = set;
out:
    sg_buf_free(&item);
    return st;
}

/* The run's overrides and then the point's. *out is the caller's. */
static enum sg_status overrides(const struct sg_run_options *opt, const struct sg__point *p,
                                const char ***out, struct sg_err *err) {
    enum sg_status st = SG_NEW(out, opt->n_overrides + p->n_settings, "overrides", err);
    for (size_t i = 0; st == SG_OK && i < opt->n_overrides; i++) (*out)[i] = opt->overrides[i];
    for (size_t i = 0; st == SG_OK && i < p->n_settings; i++) (*out)[opt->n_overrides + i] = p->settings[i];
    return st;
}

/* Every point is a valid job; most samples first. */
static enum sg_status check_points(struct sg__sweep *s, const struct sg_run_options *opt,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char **set = NULL;
    for (int64_t i = 0; i < s->n_points; i++) {
        struct sg_job job = {0};
        free(set);
        set = NULL;
        SG_TRY(overrides(opt, &s->points[i], &set, err));
        st = sg_job_read(s->job, set, opt->n_overrides + s->points[i].n_settings, &job, err);
        if (st != SG_OK) {
            sg_err_at(err, "%s: point %s", opt->job_path, s->points[i].name);
            goto out;
        }
        s->points[i].gives = 2 * job.sampling.samples + job.output.texts;
        s->points[i].draws = sg_plan_job_draws(&job);
        s->points[i].texts = job.output.texts;
        sg_job_free(&job);
        int64_t at = i; /* insertion keeps equals in their order */
        for (; at > 0 && s->points[s->order[at - 1]].gives < s->points[i].gives; at--)
            s->order[at] = s->order[at - 1];
        s->order[at] = i;
    }
out:
    free(set);
    return st;
}

/* look: to be looked at only; its folder is not made. */
static enum sg_status read_sweep(const struct sg_run_options *opt, bool look, struct sg__sweep *s,
                                 struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *path = opt->job_path, *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const size_t n_base = strlen(base);
    static const char *const keys[] = {"name", "job", "dir", "axes"};
    struct sg_buf text = {0}, dir = {0};
    char *folder = NULL, *joined = NULL, real[PATH_MAX];
    const char *name = NULL, *job, *to = NULL;
    SG_TRY(sg_file_read(path, MAX_BYTES, &text, err));
    SG_TRY(sg_json_parse(text.data, text.len, path, 1, &s->doc, err));
    const struct sg_json root = {.node = s->doc, .where = path};
    SG_TRY(sg_json_only(&root, keys, sizeof keys / sizeof *keys, err));
    SG_TRY(sg_json_get_str(&root, "name", &name, err));
    SG_TRY(sg_json_need_str(&root, "job", &job, err));
    SG_TRY(sg_json_get_str(&root, "dir", &to, err));
    const char *const given[] = {name, job, to};
    for (size_t i = 0; i < 3; i++)
        if (given[i] && !*given[i]) {
            st = sg_fail(err, SG_E_INPUT, "%s: %s is empty", path, keys[i]);
            goto out;
        }
    SG_TRY(read_axes(s, &root, err));
    if (name)
        s->name = strdup(name);
    else
        s->name = strndup(base, n_base > 5 && !strcmp(base + n_base - 5, ".json") ? n_base - 5 : n_base);
    if (!s->name) {
        st = sg_fail(err, SG_E_NOMEM, "no memory for the sweep");
        goto out;
    }
    SG_TRY(sg_path_dir(path, &folder, err));
    SG_TRY(sg_path_join(folder, job, &s->job, err));
    if (!to) SG_TRY(sg_buf_printf(&dir, err, "runs/%s", s->name));
    SG_TRY(sg_path_join(folder, to ? to : dir.data, &joined, err));
    if (strstr(joined, "{night}")) {
        st = sg_fail(err, SG_E_INPUT,
                     "%s: the sweep's folder %s holds {night}, which only a job's output.dir can", path,
                     joined);
        goto out;
    }
    SG_TRY(SG_NEW(&s->points, s->n_points, "points", err));
    SG_TRY(SG_NEW(&s->order, s->n_points, "points", err));
    if (!look) SG_TRY(sg_dir_make(joined, err));
    const char *resolved = realpath(joined, real);
    if (!resolved && look) resolved = joined; /* not there yet */
    if (!resolved || !(s->dir = strdup(resolved))) {
        st = sg_fail(err, SG_E_IO, "%s: cannot be resolved", joined);
        goto out;
    }
    for (int64_t i = 0; i < s->n_points; i++) SG_TRY(make_point(s, i, err));
    SG_TRY(check_points(s, opt, err));
    if (!look) SG_TRY(sg__passes_make(s, err));
out:
    free(folder);
    free(joined);
    sg_buf_free(&dir);
    sg_buf_free(&text);
    return st;
}

/* ---- the index -------------------------------------------------------------------------------------- */

static enum sg_status put_value(struct sg_buf *b, const cJSON *v, struct sg_err *err) {
    char *text = cJSON_PrintUnformatted(v);
    if (!text) return sg_fail(err, SG_E_NOMEM, "no memory for the index");
    enum sg_status st = sg_buf_str(b, text, err);
    free(text);
    return st;
}

/* {key: value} of the point's axes */
static enum sg_status put_settings(struct sg_buf *b, const struct sg__sweep *s, const struct sg__point *p,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (int64_t a = 0; a < s->n_axes; a++) {
        SG_TRY(sg_buf_str(b, a ? ", " : "{", err));
        SG_TRY(sg_json_quote(b, s->axes[a].key, strlen(s->axes[a].key), err));
        SG_TRY(sg_buf_str(b, ": ", err));
        SG_TRY(put_value(b, cJSON_GetArrayItem(s->axes[a].values, (int)p->value[a]), err));
    }
    SG_TRY(sg_buf_str(b, "}", err));
out:
    return st;
}

static enum sg_status put_point(struct sg_buf *b, const struct sg__sweep *s, const struct sg__point *p,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    char hex[SG_DIGEST_HEX];
    SG_TRY(sg_buf_printf(b, err, "    {\"name\": \"%s\", \"settings\": ", p->name));
    SG_TRY(put_settings(b, s, p, err));
    SG_TRY(sg_buf_printf(b, err, ", \"state\": \"%s\"", p->results ? "done" : "open"));
    if (p->results) {
        sg_digest_hex(p->digest, hex);
        SG_TRY(sg_buf_printf(
            b, err,
            ", \"results\": \"%s/results.h5\", \"digest\": \"%s\", \"cells\": %lld, \"failed\": %lld, "
            "\"taken_over\": %lld, \"computed\": %lld",
            p->name, hex, (long long)p->cells, (long long)p->failed, (long long)p->taken,
            (long long)(p->cells - p->taken)));
    }
    SG_TRY(sg_buf_str(b, "}", err));
out:
    return st;
}

static enum sg_status write_index(const struct sg__sweep *s, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    char *path = NULL;
    SG_TRY(sg_buf_str(&b, "{\n  \"format\": \"scope-grid sweep\", \"version\": 1,\n  \"name\": ", err));
    SG_TRY(sg_json_quote(&b, s->name, strlen(s->name), err));
    SG_TRY(sg_buf_str(&b, ",\n  \"job\": ", err));
    SG_TRY(sg_json_quote(&b, s->job, strlen(s->job), err));
    SG_TRY(sg_buf_str(&b, ",\n  \"axes\": ", err));
    SG_TRY(put_value(&b, cJSON_GetObjectItemCaseSensitive(s->doc, "axes"), err));
    SG_TRY(sg_buf_str(&b, ",\n  ", err));
    SG_TRY(sg__passes_put(s, &b, err));
    SG_TRY(sg_buf_str(&b, ",\n  \"points\": [\n", err));
    for (int64_t i = 0; i < s->n_points; i++) {
        if (i) SG_TRY(sg_buf_str(&b, ",\n", err));
        SG_TRY(put_point(&b, s, &s->points[i], err));
    }
    SG_TRY(sg_buf_str(&b, "\n  ]\n}\n", err));
    SG_TRY(sg_path_join(s->dir, "index.json", &path, err));
    SG_TRY(sg_file_write_atomic(path, b.data, b.len, err));
out:
    sg_buf_free(&b);
    free(path);
    return st;
}

/* ---- looking ---------------------------------------------------------------------------------------- */

/* The first point that differs from p in no axis that decides which cells there are. */
static int64_t first_like(const struct sg__sweep *s, const struct sg__point *p) {
    for (int64_t i = 0;; i++) {
        bool same = true;
        for (int64_t a = 0; a < s->n_axes; a++)
            same =
                same && (s->points[i].value[a] == p->value[a] || !strncmp(s->axes[a].key, "sampling.", 9) ||
                         !strncmp(s->axes[a].key, "output.", 7));
        if (same) return i; /* p itself at the latest */
    }
}

enum sg_status sg_sweep_each(const struct sg_run_options *opt,
                             enum sg_status (*each)(void *ctx, const struct sg_sweep_point *p,
                                                    struct sg_err *err),
                             void *ctx, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__sweep s = {0};
    struct sg_buf json = {0};
    const char **set = NULL;
    SG_TRY(read_sweep(opt, true, &s, err));
    for (int64_t i = 0; i < s.n_points; i++) {
        const struct sg__point *p = &s.points[i];
        free(set);
        set = NULL;
        SG_TRY(overrides(opt, p, &set, err));
        sg_buf_clear(&json);
        SG_TRY(put_settings(&json, &s, p, err));
        const struct sg_sweep_point shown = {s.name,
                                             s.job,
                                             s.dir,
                                             s.n_points,
                                             i,
                                             first_like(&s, p),
                                             p->name,
                                             json.data,
                                             set,
                                             opt->n_overrides + p->n_settings,
                                             opt->n_overrides,
                                             (size_t)s.n_axes};
        st = each(ctx, &shown, err);
        if (st != SG_OK) {
            sg_err_at(err, "%s: point %s", opt->job_path, p->name);
            goto out;
        }
    }
out:
    free(set);
    sg_buf_free(&json);
    sweep_free(&s);
    return st;
}

/* ---- running ---------------------------------------------------------------------------------------- */

/* Whether cells of two points can be equal as far as their axes tell; spares reading files in vain. */
static bool related(const struct sg__sweep *s, const struct sg__point *a, const struct sg__point *b) {
    static const char *const tells[] = {"model.",         "sampling.temperature",    "sampling.top_p",
                                        "sampling.top_k", "sampling.max_new_tokens", "sampling.seed",
                                        "prompt.anchors", "prompt.template",         "prompt.anchor_chars"};
    for (int64_t i = 0; i < s->n_axes; i++)
        for (size_t k = 0; a->value[i] != b->value[i] && k < sizeof tells / sizeof *tells; k++)
            if (!strncmp(s->axes[i].key, tells[k], strlen(tells[k]))) return false;
    return true;
}

/* Results to take cells from: those that the user names, then the finished points. */
static enum sg_status sources(const struct sg__sweep *s, const struct sg_run_options *opt,
                              const struct sg__point *p, const char ***out, size_t *n, struct sg_err *err) {
    enum sg_status st = SG_NEW(out, opt->n_since + (size_t)s->n_points, "earlier results", err);
    *n = 0;
    for (size_t i = 0; st == SG_OK && i < opt->n_since; i++) (*out)[(*n)++] = opt->since[i];
    for (int64_t i = 0; st == SG_OK && i < s->n_points; i++)
        if (s->points[i].results && &s->points[i] != p && related(s, &s->points[i], p) &&
            !(p->pass->ran && s->points[i].pass == p->pass))
            (*out)[(*n)++] = s->points[i].results;
    return st;
}

/* What the index says of a finished point, from its file: also of one that an earlier start has finished. */
static enum sg_status note(struct sg__sweep *s, struct sg__point *p, const struct sg_run_summary *sum,
                           struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_results r = {0};
    struct sg_buf path = {0};
    SG_TRY(sg_buf_printf(&path, err, "%s/%s/results.h5", s->dir, p->name));
    SG_TRY(sg_results_read(path.data, 0, &r, err));
    p->digest = sum->digest;
    p->cells = sum->total;
    p->failed = sum->failed;
    p->taken = r.origin.taken_over;
    SG_TRY(sg_arena_dup(&s->strings, path.data, path.len, &p->results, err));
    SG_TRY(sg__pass_tidy(s, p, err));
    SG_TRY(write_index(s, err));
out:
    sg_results_free(&r);
    sg_buf_free(&path);
    return st;
}

/* Collective. A pass, which is a run whose cells are drawn in several ways; s and pass are the root's. Points
 * judge its failed cells. */
static enum sg_status run_pass(struct sg_comm *comm, const struct sg_run_options *opt,
                               const struct sg_maker_source *source, struct sg__sweep *s,
                               struct sg__pass *pass, bool fresh, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_run_options o = *opt;
    struct sg_run_summary sum = {0};
    struct sg_compute_maker maker;
    const char **set = NULL;
    o.retry_failed = false;
    if (s) {
        st = SG_NEW(&set, opt->n_overrides + SG__SWEEP_AXES + 8, "overrides", err);
        for (size_t i = 0; st == SG_OK && i < opt->n_overrides; i++) set[i] = opt->overrides[i];
        if (st == SG_OK) st = sg__pass_settings(s, pass, set, &o.n_overrides, err);
        o.job_path = s->job;
        o.overrides = set;
        o.fresh = fresh;
        o.draws = pass->draws;
        o.n_draws = (int32_t)pass->n_draws;
        if (!opt->quiet)
            fprintf(stderr, "scope-grid: %s: one prompt for what several points draw\n", pass->name);
    }
    if (st == SG_OK) st = source->make(source->ctx, &maker, err);
    SG_TRY(sg_comm_agree(comm, st, err));
    st = sg_run(comm, &o, &maker, &sum, err);
    source->drop(source->ctx);
    if (st == SG_E_PARTIAL) {
        st = SG_OK;
        memset(err, 0, sizeof *err);
    }
    if (st == SG_OK && s) sg__pass_ran(s, pass, sum.total, sum.pass_prompt_tokens);
    if (st != SG_OK && s) sg_err_at(err, "%s", pass->name);
out:
    free(sum.run_dir);
    free(set);
    return st;
}

/* Collective. The pass that the next point takes from, if it has one that was not run yet. */
static enum sg_status run_pass_before(struct sg_comm *comm, const struct sg_run_options *opt,
                                      const struct sg_maker_source *source, struct sg__sweep *s,
                                      struct sg__point *p, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf go = {0};
    struct sg__pass *pass = NULL;
    bool fresh = false;
    if (s) {
        st = sg__pass_before(s, p, opt->fresh, &pass, &fresh, err);
        if (st == SG_OK && pass) st = sg_buf_str(&go, "run", err);
    }
    SG_TRY(sg_comm_agree(comm, st, err));
    SG_TRY(sg_comm_bcast(comm, &go, err));
    if (go.len) SG_TRY(run_pass(comm, opt, source, s, pass, fresh, err));
out:
    sg_buf_free(&go);
    return st;
}

/* Collective. One point; s and p are the root's. */
static enum sg_status run_point(struct sg_comm *comm, const struct sg_run_options *opt,
                                const struct sg_maker_source *source, struct sg__sweep *s,
                                struct sg__point *p, void (*say)(const char *, const struct sg_run_summary *),
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_run_options o = *opt;
    struct sg_run_summary sum = {0};
    struct sg_compute_maker maker;
    const char **set = NULL, **since = NULL;
    if (s) {
        o.job_path = s->job;
        o.n_overrides = opt->n_overrides + p->n_settings;
        st = overrides(opt, p, &set, err);
        if (st == SG_OK) st = sources(s, opt, p, &since, &o.n_since, err);
        o.overrides = set;
        o.since = since;
        o.pass = p->pass->ran ? p->pass->dir : NULL;
        if (!opt->quiet) fprintf(stderr, "scope-grid: point %s\n", p->name);
    }
    if (st == SG_OK) st = source->make(source->ctx, &maker, err);
    SG_TRY(sg_comm_agree(comm, st, err));
    const enum sg_status how = sg_run(comm, &o, &maker, &sum, err);
    source->drop(source->ctx);
    st = how;
    if (s && (how == SG_OK || how == SG_E_PARTIAL)) {
        struct sg_err e = {0};
        const enum sg_status noted = note(s, p, &sum, &e);
        if (noted != SG_OK) {
            *err = e;
            st = noted;
        } else if (say) {
            say(p->name, &sum);
        }
    }
    st = sg_comm_agree(comm, st, err);
    if (st != SG_OK && st != SG_E_PARTIAL && s) sg_err_at(err, "point %s", p->name);
out:
    free(sum.run_dir);
    free(set);
    free(since);
    return st;
}

enum sg_status sg_sweep_run(struct sg_comm *comm, const struct sg_run_options *opt,
                            const struct sg_maker_source *source,
                            void (*say)(const char *point, const struct sg_run_summary *s),
                            struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__sweep s = {0};
    struct sg_buf count = {0};
    const bool root = sg_comm_rank(comm) == 0;
    int64_t n_points = 0, n_partial = 0;
    struct sg_err partial = {0};
    if (root) {
        st = opt->array ? sg_fail(err, SG_E_USAGE, "--array: not for a sweep; run its points one by one")
                        : SG_OK;
        if (st == SG_OK) st = sg__sweep_check(opt, source, err); /* before its folder is made */
        if (st == SG_OK) st = read_sweep(opt, false, &s, err);
        if (st == SG_OK) sg_rundir_tidy_shared(s.dir, "index.json");
        if (st == SG_OK) st = write_index(&s, err);
        if (st == SG_OK) st = sg_buf_add(&count, &s.n_points, sizeof s.n_points, err);
    }
    SG_TRY(sg_comm_agree(comm, st, err));
    SG_TRY(sg_comm_bcast(comm, &count, err));
    memcpy(&n_points, count.data, sizeof n_points);
    for (int64_t i = 0; i < n_points; i++) {
        memset(err, 0, sizeof *err);
        struct sg__point *p = root ? &s.points[s.order[i]] : NULL;
        SG_TRY(run_pass_before(comm, opt, source, root ? &s : NULL, p, err));
        st = run_point(comm, opt, source, root ? &s : NULL, p, say, err);
        if (st == SG_E_PARTIAL) {
            if (!n_partial++) partial = *err;
        } else if (st != SG_OK) {
            goto out;
        }
    }
    memset(err, 0, sizeof *err);
    if (n_partial)
        st = sg_fail(err, SG_E_PARTIAL, "%lld of %lld points have failed cells; the first: %s",
                     (long long)n_partial, (long long)n_points, partial.text);
    else if (root && !opt->quiet)
        fprintf(stderr, "scope-grid: all points are listed in %s/index.json\n", s.dir);
out:
    sg_buf_free(&count);
    sweep_free(&s);
    return st;
}
