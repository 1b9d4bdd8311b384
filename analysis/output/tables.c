#include "tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sg__tables_free(struct sg__tables *t) {
    if (!t) return;
    for (int i = 0; i < t->n_owned; i++) free(t->owned[i]);
    sg_arena_free(&t->arena);
    free(t->table);
    memset(t, 0, sizeof *t);
}

enum sg_status sg__tables_add(struct sg__tables *t, const struct sg__layout *is, const void *rows,
                              int64_t n_csv, const int64_t n[3], struct sg_err *err) {
    enum sg_status st = SG_GROW(&t->table, &t->cap, t->n + 1, "tables", err);
    if (st == SG_OK)
        t->table[t->n++] =
            (struct sg__table){.is = is, .rows = rows, .n = {n[0], n[1], n[2]}, .n_csv = n_csv};
    return st;
}

enum sg_status sg__tables_rows(struct sg__tables *t, int64_t n, size_t size, void **out, struct sg_err *err) {
    size_t bytes = 0;
    if (!sg_mul_size((size_t)n, size, &bytes)) return sg_fail(err, SG_E_NOMEM, "tables: too many rows");
    return sg_arena_get(&t->arena, bytes ? bytes : 1, out, err);
}

const struct sg__table *sg__tables_find(const struct sg__tables *t, const char *json) {
    size_t i = 0;
    while (i < t->n && !(t->table[i].is->json && !strcmp(t->table[i].is->json, json))) i++;
    SG_ASSERT(i < t->n);
    return &t->table[i];
}

int64_t sg__table_rows(const struct sg__table *t) {
    int64_t n = t->is->axes[0] ? 1 : t->n_csv;
    for (int i = 0; i < 3 && t->is->axes[i]; i++) n *= t->n[i];
    return n;
}

const void *sg__table_cell(const struct sg__table *t, const struct sg__table_column *c, int64_t i) {
    static const size_t bytes[] = {
        [SG__TEXT] = sizeof(char *),   [SG__F64] = sizeof(double),   [SG__I64] = sizeof(int64_t),
        [SG__I32] = sizeof(int32_t),   [SG__BOOL] = sizeof(bool),    [SG__VALUE] = sizeof(struct sg_value),
        [SG__MODEL] = sizeof(int32_t), [SG__QUERY] = sizeof(int32_t)};
    const char *at = (const char *)t->rows + (size_t)i * t->is->stride + c->offset, *array;
    if (t->is->stride) return at;
    memcpy(&array, (const void *)at, sizeof array);
    return array ? array + (size_t)i * bytes[c->kind] : NULL;
}

bool sg__table_told(const struct sg__table *t, int64_t i) {
    return !t->is->told || t->is->told((const char *)t->rows + (size_t)i * t->is->stride);
}

const char *sg__cell_text(const struct sg__tables *t, const struct sg__table_column *c, const void *cell) {
    if (c->kind == SG__TEXT) return *(const char *const *)cell;
    if (c->kind != SG__MODEL && c->kind != SG__QUERY) return NULL;
    const int32_t i = *(const int32_t *)cell;
    return i < 0                  ? ""
           : c->kind == SG__MODEL ? sg_dataset_model(t->a->data, i)
                                  : sg_dataset_query(t->a->data, i);
}

double sg__cell_number(const struct sg__table_column *c, const void *cell, int part) {
    switch (c->kind) {
    case SG__F64:
        return *(const double *)cell;
    case SG__I64:
        return (double)*(const int64_t *)cell;
    case SG__I32:
    case SG__MODEL:
    case SG__QUERY:
        return *(const int32_t *)cell;
    case SG__BOOL:
        return *(const bool *)cell;
    case SG__VALUE: {
        const struct sg_value *v = cell;
        return part == 0 ? v->value : part == 1 ? v->low : v->high;
    }
    default:
        SG_ASSERT(c->kind != SG__TEXT);
        return 0;
    }
}

const char *sg__table_column_name(const struct sg__table_column *c, int part, bool csv, char *buf, size_t n) {
    const char *stem = c->stem ? c->stem : c->name;
    if (part)
        snprintf(buf, n, "%s%s%s", stem, *stem ? "_" : "", part == 1 ? "low" : "high");
    else
        snprintf(buf, n, "%s", csv && c->csv ? c->csv : c->name);
    return buf;
}

const struct sg__table_column *sg__table_column_shown(const struct sg__table *t,
                                                      const struct sg__table_column *last, bool truth) {
    const struct sg__table_column *next = NULL;
    for (const struct sg__table_column *c = t->is->columns; c < t->is->columns + t->is->n_columns; c++) {
        if (!c->heading || (c->when == SG__TRUTH && !truth) || (c->when == SG__NO_TRUTH && truth)) continue;
        if (last && (c->place < last->place || (c->place == last->place && c <= last))) continue;
        if (!next || c->place < next->place) next = c;
    }
    return next;
}
