#include "cmd/cmd.h"

#include "base/file.h"
#include "run/comm.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1 << 30 };

const char *sg_cells_text(int64_t total, int64_t calibration, char room[SG_CELLS_TEXT]) {
    const int n = snprintf(room, SG_CELLS_TEXT, "%lld cells", (long long)(total - calibration));
    if (calibration && n > 0 && n < SG_CELLS_TEXT)
        (void)snprintf(room + n, SG_CELLS_TEXT - (size_t)n, " and %lld calibration cells",
                       (long long)calibration);
    return room;
}

enum sg_status sg_cmd_set_cells(struct sg_opt_list *set, const char *file, char **item, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    char here[PATH_MAX], *path = NULL;
    if (!getcwd(here, sizeof here))
        return sg_fail(err, SG_E_IO, "--cells %s: the current folder has no name: %s", file, strerror(errno));
    SG_TRY(sg_path_join(here, file, &path, err));
    SG_TRY(sg_buf_printf(&b, err, "sampling.cells=%s", path));
    SG_TRY(SG_GROW(&set->items, &set->cap, set->n + 1, "options", err));
    set->items[set->n++] = *item = b.data;
    b = (struct sg_buf){0};
out:
    sg_buf_free(&b);
    free(path);
    return st;
}

void sg_cmd_speak(const struct sg_comm *comm, enum sg_status st, struct sg_err *err) {
    if (sg_comm_rank(comm) == 0) {
        (void)fflush(stdout); /* main checks ferror */
        if (st != SG_OK && err->text[0]) fprintf(stderr, "scope-grid: %s\n", err->text);
    }
    if (st != SG_OK) err->text[0] = 0;
}

/* The next line of stdin without its newline; *got = false at the end. */
static enum sg_status next_line(char **line, size_t *cap, size_t *n, int64_t number, bool *got,
                                struct sg_err *err) {
    errno = 0;
    ssize_t r = getline(line, cap, stdin);
    if (r < 0) {
        if (errno)
            return sg_fail(err, SG_E_IO, "stdin:%lld: cannot read: %s", (long long)number, strerror(errno));
        *got = false;
        return SG_OK;
    }
    *got = true;
    if (r > 0 && (*line)[r - 1] == '\n') r--;
    if (r > 0 && (*line)[r - 1] == '\r') r--;
    (*line)[r] = 0;
    if (r > LINE_MAX_BYTES)
        return sg_fail(err, SG_E_INPUT, "stdin:%lld: line is longer than %d bytes", (long long)number,
                       LINE_MAX_BYTES);
    *n = (size_t)r;
    return SG_OK;
}

static bool blank(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (s[i] != ' ' && s[i] != '\t') return false;
    return true;
}

/* The next line that is not blank, as *doc, which is the caller's; NULL at the end. *number: of the line read last. */
static enum sg_status next_record(char **line, size_t *cap, int64_t *number, char where[SG_CMD_WHERE],
                                  cJSON **doc, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool got;
    size_t n = 0;
    *doc = NULL;
    do {
        SG_TRY(next_line(line, cap, &n, ++*number, &got, err));
        if (!got) goto out;
    } while (blank(*line, n));
    snprintf(where, SG_CMD_WHERE, "stdin:%lld", (long long)*number);
    SG_TRY(sg_json_parse(*line, n, where, 1, doc, err));
    if (cJSON_IsObject(*doc)) goto out;
    cJSON_Delete(*doc);
    *doc = NULL;
    st = sg_fail(err, SG_E_INPUT, "%s: expected one JSON object a line", where);
out:
    return st;
}

enum sg_status sg_cmd_jsonl(sg_cmd_line_fn *fn, void *ctx, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *line = NULL, where[SG_CMD_WHERE];
    size_t cap = 0;
    int64_t number = 0;
    struct sg_buf out = {0};
    cJSON *doc = NULL;
    for (;;) {
        SG_TRY(next_record(&line, &cap, &number, where, &doc, err));
        if (!doc) break;
        struct sg_cmd_line l = {.record = {.node = doc, .where = where, .path = ""}, .number = number};
        sg_buf_clear(&out);
        struct sg_err why = {0};
        st = fn(ctx, &l, &out, &why);
        if (st != SG_OK) {
            size_t w = strlen(where); /* typed readers have named the line already */
            (void)(!strncmp(why.text, where, w) && why.text[w] == ':'
                       ? sg_fail(err, st, "%s", why.text)
                       : sg_fail(err, st, "%s: %s", where, why.text));
            goto out;
        }
        SG_TRY(sg_buf_add(&out, "\n", 1, err));
        if (fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout) != 0) {
            st = sg_fail(err, SG_E_IO, "stdout: cannot write: %s", strerror(errno));
            goto out;
        }
        cJSON_Delete(doc);
        doc = NULL;
    }
out:
    cJSON_Delete(doc);
    free(line);
    sg_buf_free(&out);
    return st;
}

enum sg_status sg_cmd_read_records(struct sg_cmd_records *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *line = NULL;
    size_t cap = 0, cap_line = 0, cap_where = 0;
    int64_t number = 0;
    struct sg_cmd_records r = {0};
    for (;; r.n++) {
        SG_TRY(SG_GROW(&r.docs, &r.cap, r.n + 1, "records", err));
        SG_TRY(SG_GROW(&r.line, &cap_line, r.n + 1, "records", err));
        SG_TRY(SG_GROW(&r.where, &cap_where, r.n + 1, "records", err));
        SG_TRY(next_record(&line, &cap, &number, r.where[r.n], &r.docs[r.n], err));
        if (!r.docs[r.n]) break;
        r.line[r.n] = number;
    }
    *out = r;
out:
    free(line);
    if (st != SG_OK) sg_cmd_records_free(&r);
    return st;
}

void sg_cmd_records_free(struct sg_cmd_records *r) {
    if (!r) return;
    for (size_t i = 0; i < r->n; i++) cJSON_Delete(r->docs[i]);
    free(r->docs);
    free(r->line);
    free(r->where);
    memset(r, 0, sizeof *r);
}

struct sg_json sg_cmd_record(const struct sg_cmd_records *r, size_t i) {
    return (struct sg_json){.node = r->docs[i], .where = r->where[i], .path = ""};
}

enum sg_status sg_cmd_ids(const struct sg_json *record, int64_t vocab, int32_t **ids, int32_t *n,
                          struct sg_err *err) {
    struct sg_json m;
    enum sg_status st = sg_json_member(record, "ids", true, &m, err);
    if (st != SG_OK) return st;
    if (!cJSON_IsArray(m.node))
        return sg_fail(err, SG_E_INPUT, "%s: ids must be an array of token ids", record->where);
    int count = cJSON_GetArraySize(m.node), i = 0;
    int32_t *v = NULL;
    SG_TRY(SG_NEW(&v, count, "token ids", err));
    for (const cJSON *c = m.node->child; c; c = c->next, i++) {
        double d = cJSON_IsNumber(c) ? c->valuedouble : -1, top = vocab ? (double)(vocab - 1) : 2147483647.0;
        if (!(d >= 0 && d <= top) || d != floor(d)) {
            st = sg_fail(err, SG_E_INPUT, "%s: ids[%d] is not a token id from 0 to %.0f", record->where, i,
                         top);
            goto out;
        }
        v[i] = (int32_t)d;
    }
    *ids = v;
    *n = count;
    v = NULL;
out:
    free(v);
    return st;
}
