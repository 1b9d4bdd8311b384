#include "base/json.h"

#include "base/utf8.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Line and column (in bytes, from 1) of an offset. */
static void place_of(const char *text, size_t off, int64_t line0, int64_t *line, int64_t *col) {
    int64_t l = line0, c = 1;
    for (size_t i = 0; i < off; i++) {
        if (text[i] == '\n') {
            l++;
            c = 1;
        } else {
            c++;
        }
    }
    *line = l;
    *col = c;
}

static enum sg_status fail_at(const char *text, size_t off, const char *where, int64_t line0, const char *what,
                              struct sg_err *err) {
    int64_t line, col;
    place_of(text, off, line0, &line, &col);
    return sg_fail(err, SG_E_INPUT, "%s:%lld:%lld: %s", where, (long long)line, (long long)col, what);
}

/* cJSON strings are NUL-terminated, so an escaped NUL would silently cut one: refuse it up front. */
static bool find_nul_escape(const char *s, size_t n, size_t *off) {
    for (size_t i = 0; i + 5 < n; i++) {
        if (s[i] != '\\') continue;
        if (s[i + 1] == 'u' && !memcmp(s + i + 2, "0000", 4)) {
            *off = i;
            return true;
        }
        i++; /* skip what is escaped, a second backslash above all */
    }
    return false;
}

static int by_key(const void *a, const void *b) {
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

/* Duplicate keys and non-finite numbers anywhere; recursion is bounded by cJSON's nesting limit. */
static enum sg_status check_tree(const cJSON *node, const char *where, int64_t line0, struct sg_err *err) {
    if (cJSON_IsNumber(node) && !isfinite(node->valuedouble))
        return sg_fail(err, SG_E_INPUT, "%s:%lld: a number is too large", where, (long long)line0);
    size_t n = 0;
    for (const cJSON *c = node->child; c; c = c->next) {
        enum sg_status st = check_tree(c, where, line0, err);
        if (st != SG_OK) return st;
        n++;
    }
    if (!cJSON_IsObject(node) || n < 2) return SG_OK;
    const cJSON **keys = NULL;
    enum sg_status st = SG_NEW(&keys, n, "keys", err);
    if (st != SG_OK) return st;
    n = 0;
    for (const cJSON *c = node->child; c; c = c->next) keys[n++] = c;
    qsort(keys, n, sizeof *keys, by_key);
    for (size_t i = 1; i < n && st == SG_OK; i++)
        if (!strcmp(keys[i - 1]->string, keys[i]->string))
            st = sg_fail(err, SG_E_INPUT, "%s:%lld: key \"%s\" stands twice in one object", where, (long long)line0,
                         keys[i]->string);
    free(keys);
    return st;
}

enum sg_status sg_json_parse(const char *text, size_t n, const char *where, int64_t line0, cJSON **out,
                             struct sg_err *err) {
    size_t off;
    if (!sg_utf8_valid(text, n, &off)) return fail_at(text, off, where, line0, "invalid UTF-8", err);
    const void *nul = memchr(text, 0, n);
    if (nul)
        return fail_at(text, (size_t)((const char *)nul - text), where, line0, "a NUL byte where JSON was expected", err);
    if (find_nul_escape(text, n, &off)) return fail_at(text, off, where, line0, "\\u0000 is not accepted in strings", err);
    const char *end = NULL;
    cJSON *doc = cJSON_ParseWithLengthOpts(text, n, &end, 0);
    if (!doc) return fail_at(text, end ? (size_t)(end - text) : n, where, line0, "broken JSON here", err);
    for (off = (size_t)(end - text); off < n; off++)
        if (!strchr(" \t\r\n", text[off])) {
            cJSON_Delete(doc);
            return fail_at(text, off, where, line0, "text after the end of the JSON value", err);
        }
    enum sg_status st = check_tree(doc, where, line0, err);
    if (st != SG_OK) {
        cJSON_Delete(doc);
        return st;
    }
    *out = doc;
    return SG_OK;
}

static void child_path(const struct sg_json *at, const char *key, char out[sizeof at->path]) {
    char joined[sizeof at->path * 2];
    snprintf(joined, sizeof joined, "%s%s%s", at->path, at->path[0] ? "." : "", key);
    memcpy(out, joined, sizeof at->path - 1);
    out[sizeof at->path - 1] = 0;
}

static const char *type_name(const cJSON *n) {
    return cJSON_IsObject(n) ? "an object" : cJSON_IsArray(n) ? "an array" : cJSON_IsString(n) ? "a string"
           : cJSON_IsNumber(n) ? "a number" : cJSON_IsBool(n) ? "true or false" : "null";
}

enum sg_status sg_json_member(const struct sg_json *at, const char *key, bool required, struct sg_json *out,
                              struct sg_err *err) {
    struct sg_json r = {.node = NULL, .where = at->where};
    child_path(at, key, r.path);
    if (!cJSON_IsObject(at->node))
        return sg_fail(err, SG_E_INPUT, "%s: %s must be an object, not %s", at->where, at->path[0] ? at->path : "the value",
                       type_name(at->node));
    r.node = cJSON_GetObjectItemCaseSensitive(at->node, key);
    if (cJSON_IsNull(r.node)) r.node = NULL;
    if (required && !r.node) return sg_fail(err, SG_E_INPUT, "%s: %s is missing", at->where, r.path);
    *out = r;
    return SG_OK;
}

struct sg_json sg_json_element(const struct sg_json *at, const cJSON *element, int64_t i) {
    struct sg_json r = {.node = element, .where = at->where};
    char joined[sizeof at->path + 32];
    snprintf(joined, sizeof joined, "%s[%lld]", at->path, (long long)i);
    memcpy(r.path, joined, sizeof r.path - 1);
    r.path[sizeof r.path - 1] = 0;
    return r;
}

static enum sg_status wrong_type(const struct sg_json *m, const char *wanted, struct sg_err *err) {
    return sg_fail(err, SG_E_INPUT, "%s: %s must be %s, not %s", m->where, m->path, wanted, type_name(m->node));
}

enum sg_status sg_json_get_f64(const struct sg_json *at, const char *key, double min, double max, double *out,
                               struct sg_err *err) {
    struct sg_json m;
    enum sg_status st = sg_json_member(at, key, false, &m, err);
    if (st != SG_OK || !m.node) return st;
    if (!cJSON_IsNumber(m.node)) return wrong_type(&m, "a number", err);
    double v = m.node->valuedouble;
    if (!(v >= min && v <= max))
        return sg_fail(err, SG_E_INPUT, "%s: %s is %.17g; expected %g to %g", m.where, m.path, v, min, max);
    *out = v;
    return SG_OK;
}

enum sg_status sg_json_get_i64(const struct sg_json *at, const char *key, int64_t min, int64_t max, int64_t *out,
                               struct sg_err *err) {
    struct sg_json m;
    enum sg_status st = sg_json_member(at, key, false, &m, err);
    if (st != SG_OK || !m.node) return st;
    if (!cJSON_IsNumber(m.node)) return wrong_type(&m, "a whole number", err);
    double v = m.node->valuedouble;
    if (v != floor(v) || fabs(v) > 9007199254740992.0)
        return sg_fail(err, SG_E_INPUT, "%s: %s is %.17g; expected a whole number", m.where, m.path, v);
    int64_t i = (int64_t)v;
    if (i < min || i > max)
        return sg_fail(err, SG_E_INPUT, "%s: %s is %lld; expected %lld to %lld", m.where, m.path, (long long)i,
                       (long long)min, (long long)max);
    *out = i;
    return SG_OK;
}

enum sg_status sg_json_get_bool(const struct sg_json *at, const char *key, bool *out, struct sg_err *err) {
    struct sg_json m;
    enum sg_status st = sg_json_member(at, key, false, &m, err);
    if (st != SG_OK || !m.node) return st;
    if (!cJSON_IsBool(m.node)) return wrong_type(&m, "true or false", err);
    *out = cJSON_IsTrue(m.node);
    return SG_OK;
}

enum sg_status sg_json_get_str(const struct sg_json *at, const char *key, const char **out, struct sg_err *err) {
    struct sg_json m;
    enum sg_status st = sg_json_member(at, key, false, &m, err);
    if (st != SG_OK || !m.node) return st;
    if (!cJSON_IsString(m.node)) return wrong_type(&m, "a string", err);
    *out = m.node->valuestring;
    return SG_OK;
}

enum sg_status sg_json_need_str(const struct sg_json *at, const char *key, const char **out, struct sg_err *err) {
    struct sg_json m;
    enum sg_status st = sg_json_member(at, key, true, &m, err);
    return st != SG_OK ? st : sg_json_get_str(at, key, out, err);
}

enum sg_status sg_json_need_i64(const struct sg_json *at, const char *key, int64_t min, int64_t max, int64_t *out,
                                struct sg_err *err) {
    struct sg_json m;
    enum sg_status st = sg_json_member(at, key, true, &m, err);
    return st != SG_OK ? st : sg_json_get_i64(at, key, min, max, out, err);
}

enum sg_status sg_json_only(const struct sg_json *at, const char *const *allowed, size_t n, struct sg_err *err) {
    if (!cJSON_IsObject(at->node))
        return sg_fail(err, SG_E_INPUT, "%s: %s must be an object, not %s", at->where, at->path[0] ? at->path : "the value",
                       type_name(at->node));
    for (const cJSON *c = at->node->child; c; c = c->next) {
        bool known = false;
        for (size_t i = 0; i < n && !known; i++) known = !strcmp(c->string, allowed[i]);
        if (known) continue;
        char path[sizeof at->path];
        child_path(at, c->string, path);
        const char *near = sg_nearest(c->string, allowed, n);
        return near ? sg_fail(err, SG_E_INPUT, "%s: unknown key %s; did you mean \"%s\"?", at->where, path, near)
                    : sg_fail(err, SG_E_INPUT, "%s: unknown key %s", at->where, path);
    }
    return SG_OK;
}

/* Levenshtein distance over bytes; both at most 63 long, longer ones are never near. */
static size_t edit_distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b), row[64];
    if (n > 63 || m > 63) return 64;
    for (size_t j = 0; j <= m; j++) row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diag = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t up = row[j], sub = diag + (a[i - 1] != b[j - 1]);
            size_t best = up + 1 < row[j - 1] + 1 ? up + 1 : row[j - 1] + 1;
            row[j] = sub < best ? sub : best;
            diag = up;
        }
    }
    return row[m];
}

const char *sg_nearest(const char *name, const char *const *names, size_t n) {
    size_t best = strlen(name) / 3 + 2;
    const char *found = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t d = edit_distance(name, names[i]);
        if (d < best) {
            best = d;
            found = names[i];
        }
    }
    return found;
}

enum sg_status sg_json_quote(struct sg_buf *b, const char *s, size_t n, struct sg_err *err) {
    enum sg_status st = SG_OK;
    size_t i = 0, plain = 0; /* [plain, i) waits to be copied as it is */
    SG_TRY(sg_buf_add(b, "\"", 1, err));
    while (i < n) {
        unsigned char c = (unsigned char)s[i];
        char esc[8];
        size_t len = 1;
        const char *put = NULL;
        if (c == '"' || c == '\\') {
            snprintf(esc, sizeof esc, "\\%c", c);
            put = esc;
        } else if (c == '\n' || c == '\t' || c == '\r') {
            snprintf(esc, sizeof esc, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
            put = esc;
        } else if (c < 0x20 || c == 0x7f) {
            snprintf(esc, sizeof esc, "\\u%04x", c);
            put = esc;
        } else if (c >= 0x80) {
            len = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
            if (len > n - i || !sg_utf8_valid(s + i, len, NULL)) {
                len = 1;
                put = "\xEF\xBF\xBD";
            }
        }
        if (put) {
            SG_TRY(sg_buf_add(b, s + plain, i - plain, err));
            SG_TRY(sg_buf_str(b, put, err));
            plain = i + len;
        }
        i += len;
    }
    SG_TRY(sg_buf_add(b, s + plain, n - plain, err));
    SG_TRY(sg_buf_add(b, "\"", 1, err));
out:
    return st;
}
