#include "job/records.h"

#include "base/file.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* form: what the file turned out to be */
enum { UNKNOWN, LINES, ARRAY_FIRST, ARRAY_NEXT, ENDED };
enum { READ_BYTES = 1 << 18 };

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

enum sg_status sg__records_open(const char *path, struct sg__records *out, struct sg_err *err) {
    struct sg__records r = {.path = path, .fd = -1, .line = 1, .col = 1};
    enum sg_status st = sg_file_open(path, &r.fd, err);
    if (st != SG_OK) return st;
    *out = r;
    return SG_OK;
}

enum sg_status sg__records_memory(const char *name, const void *bytes, size_t n, struct sg__records *out,
                                  struct sg_err *err) {
    struct sg__records r = {.path = name, .fd = -1, .line = 1, .col = 1, .eof = true};
    enum sg_status st = SG_GROW(&r.buf, &r.cap, n + 1, name, err);
    if (st != SG_OK) return st;
    if (n) memcpy(r.buf, bytes, n);
    r.end = n;
    *out = r;
    return SG_OK;
}

void sg__records_close(struct sg__records *r) {
    if (!r) return;
    if (r->fd >= 0) close(r->fd);
    cJSON_Delete(r->doc);
    free(r->buf);
    sg_buf_free(&r->where);
    memset(r, 0, sizeof *r);
    r->fd = -1;
}

/* Leaves the next n bytes behind. */
static void pass(struct sg__records *r, size_t n) {
    for (size_t i = 0; i < n; i++, r->at++) {
        bool newline = r->buf[r->at] == '\n';
        r->line += newline;
        r->col = newline ? 1 : r->col + 1;
    }
}

/* More bytes behind buf[end); always leaves room for a NUL at buf[end]. */
static enum sg_status fill(struct sg__records *r, struct sg_err *err) {
    if (r->eof) return SG_OK;
    if (r->at) {
        memmove(r->buf, r->buf + r->at, r->end - r->at);
        r->end -= r->at;
        r->at = 0;
    }
    enum sg_status st = SG_GROW(&r->buf, &r->cap, r->end + READ_BYTES + 1, r->path, err);
    if (st != SG_OK) return st;
    ssize_t n;
    do n = read(r->fd, r->buf + r->end, r->cap - 1 - r->end);
    while (n < 0 && errno == EINTR);
    if (n < 0) return sg_fail(err, SG_E_IO, "%s: cannot read: %s", r->path, strerror(errno));
    if (n == 0) r->eof = true;
    r->end += (size_t)n;
    return SG_OK;
}

/* Skips white space; *c is the byte that follows, or -1 at the end of the file. */
static enum sg_status skip_space(struct sg__records *r, int *c, struct sg_err *err) {
    for (;;) {
        while (r->at < r->end) {
            if (!is_space(r->buf[r->at])) {
                *c = (unsigned char)r->buf[r->at];
                return SG_OK;
            }
            pass(r, 1);
        }
        if (r->eof) {
            *c = -1;
            return SG_OK;
        }
        enum sg_status st = fill(r, err);
        if (st != SG_OK) return st;
    }
}

static enum sg_status too_long(const struct sg__records *r, struct sg_err *err) {
    return sg_fail(err, SG_E_INPUT, "%s:%lld: a record longer than %d bytes, which is the most that is read",
                   r->path, (long long)r->line, SG_RECORD_MAX_BYTES);
}

/* *n = bytes from buf[at] to the end of the line (the newline not counted). */
static enum sg_status find_line(struct sg__records *r, size_t *n, struct sg_err *err) {
    size_t seen = 0;
    for (;;) {
        const char *nl = memchr(r->buf + r->at + seen, '\n', r->end - r->at - seen);
        seen = nl ? (size_t)(nl - (r->buf + r->at)) : r->end - r->at;
        if (seen > SG_RECORD_MAX_BYTES) return too_long(r, err);
        if (nl || r->eof) break;
        enum sg_status st = fill(r, err);
        if (st != SG_OK) return st;
    }
    *n = seen;
    return SG_OK;
}

/* *n = bytes of the array element at buf[at]: up to its closing brace. The parser judges what is between. */
static enum sg_status find_element(struct sg__records *r, size_t *n, struct sg_err *err) {
    size_t seen = 0;
    int64_t depth = 0;
    bool in_string = false, escaped = false;
    for (;;) {
        for (; r->at + seen < r->end; seen++) {
            char c = r->buf[r->at + seen];
            if (escaped) {
                escaped = false;
            } else if (in_string) {
                if (c == '\\')
                    escaped = true;
                else if (c == '"')
                    in_string = false;
            } else if (c == '"') {
                in_string = true;
            } else if (c == '{' || c == '[') {
                depth++;
            } else if ((c == '}' || c == ']') && --depth == 0) {
                *n = seen + 1;
                return SG_OK;
            }
        }
        if (seen > SG_RECORD_MAX_BYTES) return too_long(r, err);
        if (r->eof) {
            *n = seen; /* cut short: the parser says where */
            return SG_OK;
        }
        enum sg_status st = fill(r, err);
        if (st != SG_OK) return st;
    }
}

static enum sg_status unexpected(const struct sg__records *r, int c, const char *wanted, struct sg_err *err) {
    if (c < 0)
        return sg_fail(err, SG_E_INPUT, "%s:%lld: the file ends here; expected %s", r->path,
                       (long long)r->line, wanted);
    if (c < 0x20 || c > 0x7e)
        return sg_fail(err, SG_E_INPUT, "%s:%lld: byte 0x%02x; expected %s", r->path, (long long)r->line, c,
                       wanted);
    return sg_fail(err, SG_E_INPUT, "%s:%lld: '%c'; expected %s", r->path, (long long)r->line, c, wanted);
}

/* Stands at the first byte of a record, or says that there is none. */
static enum sg_status find_start(struct sg__records *r, bool *more, struct sg_err *err) {
    int c;
    enum sg_status st = SG_OK;
    if (r->form == UNKNOWN) { /* a byte order mark is no part of the text */
        while (!r->eof && r->end - r->at < 3) SG_TRY(fill(r, err));
        if (r->end >= 3 && !memcmp(r->buf, "\xEF\xBB\xBF", 3)) r->at = 3;
    }
    SG_TRY(skip_space(r, &c, err));
    if (r->form == UNKNOWN) {
        r->form = c == '[' ? ARRAY_FIRST : LINES;
        if (c == '[') {
            pass(r, 1);
            SG_TRY(skip_space(r, &c, err));
        }
    }
    if (r->form == ARRAY_FIRST || r->form == ARRAY_NEXT) {
        bool closed = c == ']';
        if (!closed && r->form == ARRAY_NEXT) {
            if (c != ',') {
                st = unexpected(r, c, "',' or ']' after a record of the array", err);
                goto out;
            }
            pass(r, 1);
            SG_TRY(skip_space(r, &c, err));
        }
        if (closed) {
            pass(r, 1);
            SG_TRY(skip_space(r, &c, err));
            if (c >= 0) {
                st = unexpected(r, c, "nothing after the array", err);
                goto out;
            }
            r->form = ENDED;
        } else if (c != '{') {
            st = unexpected(r, c, "'{', the start of a record", err);
            goto out;
        }
    } else if (c < 0) {
        r->form = ENDED;
    }
    *more = r->form != ENDED;
out:
    return st;
}

enum sg_status sg__records_next(struct sg__records *r, struct sg_json *out, bool *more, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool found = false;
    size_t n = 0;
    cJSON_Delete(r->doc);
    r->doc = NULL;
    if (r->form == ENDED) {
        *more = false;
        return SG_OK;
    }
    SG_TRY(find_start(r, &found, err));
    if (!found) {
        *more = false;
        goto out;
    }
    SG_TRY(r->form == LINES ? find_line(r, &n, err) : find_element(r, &n, err));
    char *text = r->buf + r->at;
    r->record_line = r->line;
    sg_buf_clear(&r->where);
    SG_TRY(sg_buf_printf(&r->where, err, "%s:%lld", r->path, (long long)r->line));
    SG_TRY(sg_json_parse_at(text, n, r->path, r->line, r->col, &r->doc, err));
    if (!cJSON_IsObject(r->doc)) {
        st = sg_fail(err, SG_E_INPUT, "%s: expected an object in braces", r->where.data);
        goto out;
    }
    pass(r, n);
    if (r->form == ARRAY_FIRST) r->form = ARRAY_NEXT;
    r->count++;
    *out = (struct sg_json){.node = r->doc, .where = r->where.data, .path = ""};
    *more = true;
out:
    return st;
}
