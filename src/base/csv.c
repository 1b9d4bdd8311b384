#include "base/csv.h"

#include "base/file.h"

#include <string.h>

enum { MAX_BYTES = 1 << 30 };

enum sg_status sg_csv_open(struct sg_csv *c, const char *path, struct sg_buf *text, struct sg_err *err) {
    const enum sg_status st = sg_file_read(path, MAX_BYTES, text, err);
    if (st != SG_OK) return st;
    if (!text->len || strlen(text->data) != text->len)
        return sg_fail(err, SG_E_INPUT, "%s: %s", path, text->len ? "holds a zero byte" : "is empty");
    *c = (struct sg_csv){.path = path, .at = text->data, .next_line = 1};
    if (!strncmp(c->at, "\xEF\xBB\xBF", 3)) c->at += 3;
    return SG_OK;
}

enum sg_status sg_csv_next(struct sg_csv *c, bool *more, struct sg_err *err) {
    while (*c->at == '\n' || *c->at == '\r') c->next_line += *c->at++ == '\n';
    c->line = c->next_line;
    c->n = 0;
    *more = *c->at != 0;
    while (*more) {
        char *to = c->at, end;
        const bool whole = *c->at == '"'; /* nothing may stand behind the closing quote */
        bool quoted = whole;
        if (c->n == SG_CSV_COLUMNS)
            return sg_fail(err, SG_E_INPUT, "%s:%lld: more than %d columns", c->path, (long long)c->line,
                           SG_CSV_COLUMNS);
        c->field[c->n++] = to;
        c->at += quoted;
        while (*c->at && (quoted || (*c->at != ',' && *c->at != '\n' && *c->at != '\r'))) {
            if (quoted && *c->at == '"') {
                quoted = c->at[1] == '"';
                c->at += 1 + quoted;
                if (quoted) *to++ = '"';
                continue;
            }
            if (whole && !quoted)
                return sg_fail(err, SG_E_INPUT,
                               "%s:%lld: text after a closing quote; expected a comma or the line's end "
                               "(a quote within quotes is written twice)",
                               c->path, (long long)c->line);
            c->next_line += *c->at == '\n';
            *to++ = *c->at++;
        }
        if (quoted)
            return sg_fail(err, SG_E_INPUT, "%s:%lld: a quote is not closed", c->path, (long long)c->line);
        end = *c->at;
        if (end) c->at++;
        *to = 0;
        if (end == ',') continue;
        if (end == '\r' && *c->at == '\n') c->at++;
        c->next_line += end != 0;
        return SG_OK;
    }
    return SG_OK;
}

int sg_csv_column(const struct sg_csv *c, const char *name) {
    for (int i = 0; i < c->n; i++)
        if (!strcmp(c->field[i], name)) return i;
    return -1;
}

const char *sg_csv_bare(const char *text) {
    return *text == '\'' && text[1] && strchr("=+-@\t\r'", text[1]) ? text + 1 : text;
}
