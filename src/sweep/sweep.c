#include "sweep/sweep.h"

#include "base/file.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 20, MAX_POINTS = 1000 };

void sg_sweep_free(struct sg_sweep *s) {
    cJSON_Delete(s->doc);
    free(s->name);
    free(s->job);
    free(s->dir);
    free(s->points);
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

static enum sg_status read_axes(struct sg_sweep *s, const struct sg_json *root, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_json axes;
    SG_TRY(sg_json_member(root, "axes", true, &axes, err));
    if (!cJSON_IsObject(axes.node) || !axes.node->child) {
        st = sg_fail(err, SG_E_INPUT, "%s: axes must be an object of key: [values]", root->where);
        goto out;
    }
    s->n_points = 1;
    for (const cJSON *a = axes.node->child; a; a = a->next) {
        if (s->n_axes == SG_SWEEP_AXES) {
            st = sg_fail(err, SG_E_INPUT, "%s: axes has more than %d keys", root->where, (int)SG_SWEEP_AXES);
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
        s->axes[s->n_axes++] = (struct sg_sweep_axis){a->string, a, n};
        s->n_points *= n;
        if (s->n_points > MAX_POINTS) {
            st = sg_fail(err, SG_E_INPUT, "%s: axes make more than %d points", root->where, (int)MAX_POINTS);
            goto out;
        }
    }
out:
    return st;
}

/* The index of the first value of the axis that equals value i. */
static int64_t first_equal(const struct sg_sweep_axis *axis, int64_t i) {
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

void sg_sweep_add_name(const struct sg_sweep *s, const struct sg_sweep_member *p, int64_t axis, char *name,
                       size_t size) {
    const char *key = s->axes[axis].key, *dot = strrchr(key, '.');
    const char *value = strchr(p->settings[axis], '=') + 1, *slash = strrchr(value, '/');
    const size_t at = strlen(name);
    snprintf(name + at, size - at, "%s%s-%s", at ? "_" : "", dot ? dot + 1 : key, slash ? slash + 1 : value);
    for (char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._-", *c)) *c = '_';
}

static enum sg_status make_point(struct sg_sweep *s, int64_t index, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf item = {0};
    struct sg_sweep_member *p = &s->points[index];
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
        sg_sweep_add_name(s, p, a, p->name, sizeof p->name);
    }
    bool used = strlen(p->name) > SG_POINT_NAME - 10;
    for (int64_t i = 0; i < index; i++) used = used || !strcmp(s->points[i].name, p->name);
    if (used) { /* the name is taken, or so long that it may have been cut */
        snprintf(number, sizeof number, "_%d", (int)index);
        const size_t at = strlen(p->name), n = strlen(number);
        memcpy(p->name + (at + n < SG_POINT_NAME ? at : SG_POINT_NAME - 1 - n), number, n + 1);
    }
    sg_buf_clear(&item);
    SG_TRY(sg_buf_printf(&item, err, "output.dir=%s/%s", s->dir, p->name));
    SG_TRY(sg_arena_dup(&s->strings, item.data, item.len, &set, err));
    p->settings[p->n_settings++] = set;
    sg_buf_clear(&item);
    SG_TRY(sg_buf_printf(&item, err, "name=%s", p->name)); /* scope-frontier shows it in comparisons */
    SG_TRY(sg_arena_dup(&s->strings, item.data, item.len, &set, err));
    p->settings[p->n_settings++] = set;
out:
    sg_buf_free(&item);
    return st;
}

enum sg_status sg_sweep_overrides(const struct sg_run_options *opt, const char *const *settings, size_t n,
                                  const char ***out, struct sg_err *err) {
    enum sg_status st = SG_NEW(out, opt->n_overrides + n, "overrides", err);
    for (size_t i = 0; st == SG_OK && i < opt->n_overrides; i++) (*out)[i] = opt->overrides[i];
    for (size_t i = 0; st == SG_OK && i < n; i++) (*out)[opt->n_overrides + i] = settings[i];
    return st;
}

/* Checks that every point is a valid job; keeps its sampling parameters and output.texts. */
static enum sg_status check_points(struct sg_sweep *s, const struct sg_run_options *opt, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char **set = NULL;
    for (int64_t i = 0; i < s->n_points; i++) {
        struct sg_sweep_member *p = &s->points[i];
        struct sg_job job = {0};
        free(set);
        set = NULL;
        SG_TRY(sg_sweep_overrides(opt, p->settings, p->n_settings, &set, err));
        st = sg_job_read(s->job, set, opt->n_overrides + p->n_settings, &job, err);
        if (st != SG_OK) {
            sg_err_at(err, "%s: point %s", opt->job_path, p->name);
            goto out;
        }
        p->params = sg_plan_job_params(&job);
        p->texts = job.output.texts;
        sg_job_free(&job);
    }
out:
    free(set);
    return st;
}

enum sg_status sg_sweep_read(const struct sg_run_options *opt, bool make, struct sg_sweep *s,
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
    if (make) SG_TRY(sg_dir_make(joined, err));
    const char *resolved = realpath(joined, real);
    if (!resolved && !make) resolved = joined; /* not there yet */
    if (!resolved || !(s->dir = strdup(resolved))) {
        st = sg_fail(err, SG_E_IO, "%s: cannot be resolved", joined);
        goto out;
    }
    for (int64_t i = 0; i < s->n_points; i++) SG_TRY(make_point(s, i, err));
    SG_TRY(check_points(s, opt, err));
out:
    free(folder);
    free(joined);
    sg_buf_free(&dir);
    sg_buf_free(&text);
    return st;
}

/* ---- looking ---------------------------------------------------------------------------------------- */

/* {key: value} of the point's axes */
static enum sg_status put_settings(struct sg_buf *b, const struct sg_sweep *s,
                                   const struct sg_sweep_member *p, struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (int64_t a = 0; a < s->n_axes; a++) {
        char *text = cJSON_PrintUnformatted(cJSON_GetArrayItem(s->axes[a].values, (int)p->value[a]));
        st = text ? sg_buf_str(b, a ? ", " : "{", err) : sg_fail(err, SG_E_NOMEM, "no memory for the sweep");
        if (st == SG_OK) st = sg_json_quote(b, s->axes[a].key, strlen(s->axes[a].key), err);
        if (st == SG_OK) st = sg_buf_printf(b, err, ": %s", text);
        free(text);
        SG_TRY(st);
    }
    SG_TRY(sg_buf_str(b, "}", err));
out:
    return st;
}

/* The index of the first point that differs from p in sampling.* and output.* alone: both have the same
 * cells. */
static int64_t first_like(const struct sg_sweep *s, const struct sg_sweep_member *p) {
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
    struct sg_sweep s = {0};
    struct sg_buf json = {0};
    const char **set = NULL;
    SG_TRY(sg_sweep_read(opt, false, &s, err));
    for (int64_t i = 0; i < s.n_points; i++) {
        const struct sg_sweep_member *p = &s.points[i];
        free(set);
        set = NULL;
        SG_TRY(sg_sweep_overrides(opt, p->settings, p->n_settings, &set, err));
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
    sg_sweep_free(&s);
    return st;
}
