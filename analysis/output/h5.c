/* h5 - frontier.h5: the tables as labelled arrays. */
#include "writers.h"

#include "base/file.h"
#include "store/frontier_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 64 };

/* The file being described; the arena holds what was made for it alone. */
struct build {
    struct sg_arena arena;
    struct sg_frontier_axis *axis;
    struct sg_frontier_var *var;
    size_t n_axes, cap_axes, n_vars, cap_vars;
};

static enum sg_status array(struct build *b, int64_t n, size_t size, void **out, struct sg_err *err) {
    size_t bytes = 0;
    if (!sg_mul_size((size_t)n, size, &bytes))
        return sg_fail(err, SG_E_NOMEM, "frontier.h5: too many numbers");
    return sg_arena_get(&b->arena, bytes ? bytes : 1, out, err);
}

/* n zeroed elements in the arena into *pp, which points to their type. */
#define ARRAY(b, n, pp, err) array(b, (int64_t)(n), sizeof **(pp), (void **)(pp), err)

static enum sg_status add_axis(struct build *b, struct sg_frontier_axis x, struct sg_err *err) {
    enum sg_status st = SG_GROW(&b->axis, &b->cap_axes, b->n_axes + 1, "axes", err);
    if (st == SG_OK) b->axis[b->n_axes++] = x;
    return st;
}

static bool has_axis(const struct build *b, const char *name) {
    for (size_t i = 0; i < b->n_axes; i++)
        if (!strcmp(b->axis[i].name, name)) return true;
    return false;
}

/* A part of a column as one array of n elements. Counts become doubles: they stand beside values that may
 * be NaN. */
static enum sg_status column_data(struct build *b, const struct sg__table *t,
                                  const struct sg__table_column *c, int part, int64_t n, const void **out,
                                  enum sg_frontier_type *type, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char **texts;
    int32_t *wholes;
    double *numbers;
    const bool whole =
        c->kind == SG__I32 || c->kind == SG__BOOL || c->kind == SG__MODEL || c->kind == SG__QUERY;
    *type = c->kind == SG__TEXT ? SG_FRONTIER_STRING : whole ? SG_FRONTIER_I32 : SG_FRONTIER_F64;
    if (!t->is->stride && (c->kind == SG__F64 || (whole && c->kind != SG__BOOL))) {
        *out = sg__table_cell(t, c, 0);
    } else if (c->kind == SG__TEXT) {
        SG_TRY(ARRAY(b, n, &texts, err));
        for (int64_t i = 0; i < n; i++) {
            const char *s = sg__cell_text(NULL, c, sg__table_cell(t, c, i));
            SG_TRY(sg_arena_dup(&b->arena, s, strlen(s), &texts[i], err));
        }
        *out = texts;
    } else if (whole) {
        SG_TRY(ARRAY(b, n, &wholes, err));
        for (int64_t i = 0; i < n; i++)
            wholes[i] = (int32_t)sg__cell_number(c, sg__table_cell(t, c, i), part);
        *out = wholes;
    } else {
        SG_TRY(ARRAY(b, n, &numbers, err));
        for (int64_t i = 0; i < n; i++) numbers[i] = sg__cell_number(c, sg__table_cell(t, c, i), part);
        *out = numbers;
    }
out:
    return st;
}

static enum sg_status add_column(struct build *b, const struct sg__table *t, const struct sg__table_column *c,
                                 int part, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char name[NAME_BYTES], *full;
    struct sg_frontier_var v = {.units = c->units};
    v.long_name = part == 0   ? c->long_name
                  : part == 1 ? "lower end of its 95 % interval"
                              : "upper end of its 95 % interval";
    for (; v.rank < 3 && t->is->axes[v.rank]; v.rank++) v.axes[v.rank] = t->is->axes[v.rank];
    SG_TRY(ARRAY(b, 3 * NAME_BYTES, &full, err));
    snprintf(full, (size_t)3 * NAME_BYTES, "%s%s%s",
             t->is->prefix && !(c->in & SG__BARE) ? t->is->prefix : "",
             sg__table_column_name(c, part, false, name, sizeof name), t->is->suffix ? t->is->suffix : "");
    v.name = full;
    SG_TRY(column_data(b, t, c, part, sg__table_rows(t), &v.data, &v.type, err));
    SG_TRY(SG_GROW(&b->var, &b->cap_vars, b->n_vars + 1, "variables", err));
    b->var[b->n_vars++] = v;
out:
    return st;
}

/* The coordinates first: an axis of several tables has those of the table whose column it is. */
static enum sg_status coordinates(struct build *b, const struct sg__table *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (const struct sg__table_column *c = t->is->columns; c < t->is->columns + t->is->n_columns; c++) {
        struct sg_frontier_axis x = {
            .name = t->is->axes[0], .n = t->n[0], .units = c->units, .long_name = c->long_name};
        const void *data;
        enum sg_frontier_type type;
        if (!(c->in & SG__AXIS)) continue;
        SG_TRY(column_data(b, t, c, 0, x.n, &data, &type, err));
        if (type == SG_FRONTIER_STRING)
            x.strings = data;
        else
            x.values = data;
        SG_TRY(add_axis(b, x, err));
    }
out:
    return st;
}

static enum sg_status variables(struct build *b, const struct sg__table *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (int i = 0; i < 3 && t->is->axes[i]; i++)
        if (!has_axis(b, t->is->axes[i]))
            SG_TRY(add_axis(b, (struct sg_frontier_axis){.name = t->is->axes[i], .n = t->n[i]}, err));
    for (const struct sg__table_column *c = t->is->columns;
         t->is->axes[0] && c < t->is->columns + t->is->n_columns; c++) {
        const int parts = !(c->in & SG__H5) ? 0 : c->kind == SG__VALUE && !(c->in & SG__LONE) ? 3 : 1;
        for (int part = 0; part < parts; part++) SG_TRY(add_column(b, t, c, part, err));
    }
out:
    return st;
}

enum sg_status sg__write_h5(const struct sg__tables *t, const char *dir, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_analysis *a = t->a;
    struct build b = {.n_axes = 0};
    char *path = NULL, seed[24], reps[24], digest[SG_DIGEST_HEX];
    SG_TRY(sg_path_join(dir, "frontier.h5", &path, err));
    for (size_t i = 0; i < t->n; i++) SG_TRY(coordinates(&b, &t->table[i], err));
    for (size_t i = 0; i < t->n; i++) SG_TRY(variables(&b, &t->table[i], err));
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)a->opt.seed);
    snprintf(reps, sizeof reps, "%lld", (long long)a->opt.reps);
    sg_digest_hex(a->data->r->digest, digest);
    const struct sg_frontier_attr attrs[] = {
        {"title", "cost-accuracy frontier"},
        {"format", "scope-grid frontier"},
        {"format_version", "1"},
        {"source", a->data->path},
        {"results_digest", digest},
        {"bootstrap_replicates", reps},
        {"seed", seed},
        {"measure", sg__measure(a)}, /* what columns named accuracy hold */
        {"best_single_model", sg_dataset_model(a->data, a->best_single)}};
    SG_TRY(sg_frontier_file_write(path, b.axis, (int32_t)b.n_axes, b.var, (int32_t)b.n_vars, attrs,
                                  sizeof attrs / sizeof *attrs, err));
out:
    sg_arena_free(&b.arena);
    free(b.axis);
    free(b.var);
    free(path);
    return st;
}
