#include "job/cell_list.h"

#include "base/file.h"
#include "base/ids.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_LIST_BYTES = 1 << 30 };

/* One field of CSV at *at, in place: sets *field and *n, and *at behind it. false: a quote is not closed, or
 * something follows it. */
static bool take_field(char **at, char **field, size_t *n) {
    char *c = *at, *to = c;
    *field = c;
    if (*c != '"') {
        c += strcspn(c, ",");
        *n = (size_t)(c - *field);
        *at = c;
        return true;
    }
    for (c++; *c && !(c[0] == '"' && c[1] != '"'); c++) {
        if (c[0] == '"') c++;
        *to++ = *c;
    }
    if (*c != '"' || (c[1] && c[1] != ',')) return false;
    *n = (size_t)(to - *field);
    *at = c + 1;
    return true;
}

static bool is_word(const char *s, size_t n, const char *word) {
    const size_t len = strlen(word);
    return n >= len && !memcmp(s, word, len) && (n == len || (n == len + 3 && !memcmp(s + len, "_id", 3)));
}

static enum sg_status take_line(struct sg_plan *p, const struct sg_ids ids[2], char *line, int64_t number,
                                int64_t *n_cells, struct sg_err *err) {
    static const char *const kinds[] = {"query", "model"};
    const char *path = p->job.sampling.cells;
    char *at = line, *field[2];
    size_t n[2];
    int64_t index[2];
    if (!take_field(&at, &field[0], &n[0]) || *at++ != ',' || !take_field(&at, &field[1], &n[1]) || *at)
        return sg_fail(err, SG_E_INPUT, "%s:%lld: expected the id of a query, a comma and the id of a model",
                       path, (long long)number);
    for (int i = 0; i < 2; i++) index[i] = sg_ids_get(&ids[i], field[i], n[i]);
    if (number == 1 && index[0] < 0 && is_word(field[0], n[0], "query") && is_word(field[1], n[1], "model"))
        return SG_OK;
    for (int i = 0; i < 2; i++)
        if (index[i] < 0)
            return sg_fail(err, SG_E_INPUT, "%s:%lld: the job has no %s \"%.*s\"", path, (long long)number,
                           kinds[i], (int)(n[i] < 200 ? n[i] : 200), field[i]);
    p->listed[index[0] * p->n_models + index[1]] = 1;
    ++*n_cells;
    return SG_OK;
}

enum sg_status sg__cell_list_read(struct sg_plan *p, bool in_sweep, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_ids ids[2] = {{0}};
    struct sg_buf b = {0};
    const char *path = p->job.sampling.cells;
    int64_t old, n = 0, number = 0;
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
    SG_TRY(sg_file_read(path, MAX_LIST_BYTES, &b, err));
    for (char *line = b.data, *end = b.data + b.len; line < end;) {
        char *next = memchr(line, '\n', (size_t)(end - line));
        if (!next) next = end;
        size_t len = (size_t)(next - line);
        if (len && line[len - 1] == '\r') len--;
        line[len] = 0; /* the buffer has a byte behind its end */
        number++;
        if (memchr(line, 0, len)) {
            st = sg_fail(err, SG_E_INPUT, "%s:%lld: has a NUL byte", path, (long long)number);
            goto out;
        }
        if (len) SG_TRY(take_line(p, ids, line, number, &n, err));
        line = next + 1;
    }
    if (!n) st = sg_fail(err, SG_E_INPUT, "%s: lists no cell", path);
out:
    sg_ids_free(&ids[0]);
    sg_ids_free(&ids[1]);
    sg_buf_free(&b);
    return st;
}
