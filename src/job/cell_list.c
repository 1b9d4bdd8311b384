#include "job/cell_list.h"

#include "base/csv.h"
#include "base/ids.h"
#include <string.h>

static const char *const kinds[] = {"query", "model"};

static int64_t index_of(const struct sg_ids *ids, const char *id) {
    const int64_t at = sg_ids_get(ids, id, strlen(id));
    const char *bare = sg_csv_bare(id);
    return at < 0 ? sg_ids_get(ids, bare, strlen(bare)) : at;
}

/* column[2]: where query and model stand. *heading: the first record says so, and is no cell itself. */
static void find_columns(const struct sg_csv *r, const struct sg_ids ids[2], int column[2], bool *heading) {
    static const char *const long_names[] = {"query_id", "model_id"};
    for (int i = 0; i < 2; i++) {
        column[i] = sg_csv_column(r, kinds[i]);
        if (column[i] < 0) column[i] = sg_csv_column(r, long_names[i]);
    }
    *heading = column[0] >= 0 && column[1] >= 0 && (r->n > 2 || index_of(&ids[0], r->field[0]) < 0);
    if (!*heading) column[0] = 0, column[1] = 1;
}

static enum sg_status take_cell(struct sg_plan *p, const struct sg_csv *r, const struct sg_ids ids[2],
                                const int column[2], bool heading, struct sg_err *err) {
    int64_t index[2];
    if (heading && (r->n <= column[0] || r->n <= column[1]))
        return sg_fail(err, SG_E_INPUT, "%s:%lld: %d columns; the heading has more", r->path,
                       (long long)r->line, r->n);
    if (!heading && r->n != 2)
        return sg_fail(
            err, SG_E_INPUT,
            "%s:%lld: expected the id of a query, a comma and the id of a model; more columns need a "
            "first line that names query and model",
            r->path, (long long)r->line);
    for (int i = 0; i < 2; i++) {
        index[i] = index_of(&ids[i], r->field[column[i]]);
        if (index[i] < 0)
            return sg_fail(err, SG_E_INPUT, "%s:%lld: the job has no %s \"%.200s\"", r->path,
                           (long long)r->line, kinds[i], r->field[column[i]]);
    }
    p->listed[index[0] * p->n_models + index[1]] = 1;
    return SG_OK;
}

enum sg_status sg__cell_list_read(struct sg_plan *p, bool in_sweep, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_ids ids[2] = {{0}};
    struct sg_buf text = {0};
    struct sg_csv r;
    const char *path = p->job.sampling.cells;
    int64_t old, n = 0;
    int column[2];
    bool more, heading;
    if (in_sweep)
        return sg_fail(err, SG_E_UNSUPPORTED, "sampling.cells: not in a sweep, whose points share samples");
    if (p->job.sampling.others == SG_JOB_UNSET)
        return sg_fail(err, SG_E_INPUT,
                       "sampling.others is missing: how many samples do the cells get that %s does not list? "
                       "--since or --extend take it from earlier results",
                       path);
    for (int64_t q = 0; q < p->n_queries; q++)
        SG_TRY(sg_ids_add(&ids[0], p->queries[q].id, strlen(p->queries[q].id), q, &old, err));
    for (int64_t m = 0; m < p->n_models; m++)
        SG_TRY(sg_ids_add(&ids[1], p->models[m].id, strlen(p->models[m].id), m, &old, err));
    SG_TRY(sg_csv_open(&r, path, &text, err));
    SG_TRY(sg_csv_next(&r, &more, err));
    find_columns(&r, ids, column, &heading);
    if (more && heading) SG_TRY(sg_csv_next(&r, &more, err));
    for (; more; n++) {
        SG_TRY(take_cell(p, &r, ids, column, heading, err));
        SG_TRY(sg_csv_next(&r, &more, err));
    }
    if (!n) st = sg_fail(err, SG_E_INPUT, "%s: lists no cell", path);
out:
    sg_ids_free(&ids[0]);
    sg_ids_free(&ids[1]);
    sg_buf_free(&text);
    return st;
}
