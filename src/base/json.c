#include "base/json.h"

#include "base/json_scan.h"
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

static enum sg_status fail_at(const char *text, size_t off, const char *where, int64_t line0, int64_t col0,
                              const char *what, struct sg_err *err) {
    int64_t line, col;
    place_of(text, off, line0, &line, &col);
    if (line == line0) col += col0 - 1;
    return sg_fail(err, SG_E_INPUT, "%s:%lld:%lld: %s", where, (long long)line, (long long)col, what);
}

/* A path that is too long for its place is cut, between characters. */
static void put_path(const char *joined, char *out, size_t cap) {
    size_t n = strlen(joined);
    if (n >= cap) {
        n = cap - 1;
        while (n && ((unsigned char)joined[n] & 0xC0) == 0x80) n--;
    }
    memcpy(out, joined, n);
    out[n] = 0;
}

static void child_path(const struct sg_json *at, const char *key, char out[sizeof at->path]) {
    char joined[sizeof at->path * 2];
    snprintf(joined, sizeof joined, "%s%s%s", at->path, at->path[0] ? "." : "", key);
    put_path(joined, out, sizeof at->path);
}

/* One step of the way down a document; only an error turns the chain into text. */
struct step {
    const struct step *up; /* NULL at the root */
    const cJSON *node;
    int64_t index; /* in an array, else -1 */
};

static void step_path(const struct step *s, struct sg_json *out) {
    if (!s->up) return; /* the root has no name */
    step_path(s->up, out);
    struct sg_json at = *out;
    if (s->index >= 0)
        *out = sg_json_element(&at, s->node, s->index);
    else
        child_path(&at, s->node->string, out->path);
}

static int by_key(const void *a, const void *b) {
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

static enum sg_status fail_in_tree(const struct step *s, const char *where, int64_t line0, const char *what,
                                   struct sg_err *err) {
    struct sg_json at = {.where = where, .path = ""};
    step_path(s, &at);
    return sg_fail(err, SG_E_INPUT, "%s:%lld: %s %s", where, (long long)line0,
                   at.path[0] ? at.path : "the value", what);
}

enum { FEW_KEYS = 16 };

/* Finds a key that stands twice: pair by pair in the small objects of records, sorted in others. */
static enum sg_status check_keys(const struct step *at, const char *where, int64_t line0, size_t n,
                                 struct sg_err *err) {
    const cJSON *few[FEW_KEYS], **keys = few, *twice = NULL;
    if (n > FEW_KEYS) {
        enum sg_status st = SG_NEW(&keys, n, "keys", err);
        if (st != SG_OK) return st;
    }
    size_t i = 0;
    for (const cJSON *c = at->node->child; c; c = c->next) keys[i++] = c;
    if (n > FEW_KEYS) {
        qsort(keys, n, sizeof *keys, by_key);
        for (i = 1; i < n && !twice; i++)
            if (!strcmp(keys[i - 1]->string, keys[i]->string)) twice = keys[i];
        free(keys);
    } else {
        for (i = 1; i < n && !twice; i++)
            for (size_t k = 0; k < i && !twice; k++)
                if (!strcmp(keys[k]->string, keys[i]->string)) twice = keys[i];
    }
    if (!twice) return SG_OK;
    struct step down = {.up = at, .node = twice, .index = -1};
    return fail_in_tree(&down, where, line0, "stands twice in one object", err);
}

/* Duplicate keys and non-finite numbers anywhere; recursion is bounded by cJSON's nesting limit. */
static enum sg_status check_tree(const struct step *at, const char *where, int64_t line0,
                                 struct sg_err *err) {
    if (cJSON_IsNumber(at->node) && !isfinite(at->node->valuedouble))
        return fail_in_tree(at, where, line0, "is too large a number", err);
    size_t n = 0;
    bool array = cJSON_IsArray(at->node);
    for (const cJSON *c = at->node->child; c; c = c->next, n++) {
        struct step down = {.up = at, .node = c, .index = array ? (int64_t)n : -1};
        enum sg_status st = check_tree(&down, where, line0, err);
        if (st != SG_OK) return st;
    }
    return array || n < 2 ? SG_OK : check_keys(at, where, line0, n, err);
}

enum sg_status sg_json_parse(const char *text, size_t n, const char *where, int64_t line0, cJSON **out,
                             struct sg_err *err) {
    return sg_json_parse_at(text, n, where, line0, 1, out, err);
}

enum sg_status sg_json_parse_at(const char *text, size_t n, const char *where, int64_t line0, int64_t col0,
                                cJSON **out, struct sg_err *err) {
    size_t off;
    const char *why = NULL;
    if (line0 == 1 && col0 == 1 && n >= 3 &&
        !memcmp(text, "\xEF\xBB\xBF", 3)) { /* a byte order mark is no part of the text */
        text += 3;
        n -= 3;
    }
    if (!sg_utf8_valid(text, n, &off)) {
        const bool begin = line0 == 1 && col0 == 1 && n >= 2;
        return fail_at(text, off, where, line0, col0,
                       begin && !memcmp(text, "\x1F\x8B", 2) ? "this is packed by gzip; unpack it first"
                       : begin && (!memcmp(text, "\xFF\xFE", 2) || !memcmp(text, "\xFE\xFF", 2))
                           ? "this is UTF-16; save it as UTF-8"
                           : "invalid UTF-8",
                       err);
    }
    if (!sg__json_scan(text, n, &off, &why)) {
        char what[80];
        snprintf(what, sizeof what, "broken JSON: %s", why);
        return fail_at(text, off, where, line0, col0, what, err);
    }
    cJSON *doc = cJSON_ParseWithLength(text, n);
    if (!doc)
        return sg_fail(err, SG_E_NOMEM, "%s:%lld: no memory for the JSON value", where, (long long)line0);
    struct step root = {.up = NULL, .node = doc, .index = -1};
    enum sg_status st = check_tree(&root, where, line0, err);
    if (st != SG_OK) {
        cJSON_Delete(doc);
        return st;
    }
    *out = doc;
    return SG_OK;
}

static const char *type_name(const cJSON *n) {
    return cJSON_IsObject(n)   ? "an object"
           : cJSON_IsArray(n)  ? "an array"
           : cJSON_IsString(n) ? "a string"
           : cJSON_IsNumber(n) ? "a number"
           : cJSON_IsBool(n)   ? "true or false"
                               : "null";
}

enum sg_status sg_json_member(const struct sg_json *at, const char *key, bool required, struct sg_json *out,
                              struct sg_err *err) {
    struct sg_json r = {.node = NULL, .where = at->where};
    child_path(at, key, r.path);
    if (!cJSON_IsObject(at->node))
        return sg_fail(err, SG_E_INPUT, "%s: %s must be an object, not %s", at->where,
                       at->path[0] ? at->path : "the value", type_name(at->node));
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
    put_path(joined, r.path, sizeof r.path);
    return r;
}

static enum sg_status wrong_type(const struct sg_json *m, const char *wanted, struct sg_err *err) {
    return sg_fail(err, SG_E_INPUT, "%s: %s must be %s, not %s", m->where, m->path, wanted,
                   type_name(m->node));
}

enum sg_status sg_json_get_f64(const struct sg_json *at, const char *key, double min, double max, double *out,
                               struct sg_err *err) {
    struct sg_json m;
    enum sg_status st = sg_json_member(at, key, false, &m, err);
    if (st != SG_OK || !m.node) return st;
    if (!cJSON_IsNumber(m.node)) return wrong_type(&m, "a number", err);
    double v = m.node->valuedouble;
    if (!(v >= min && v <= max)) {
        char number[SG_JSON_NUMBER];
        sg_json_number(v, number);
        return sg_fail(err, SG_E_INPUT, "%s: %s is %s; expected %g to %g", m.where, m.path, number, min, max);
    }
    *out = v;
    return SG_OK;
}

enum sg_status sg_json_get_i64(const struct sg_json *at, const char *key, int64_t min, int64_t max,
                               int64_t *out, struct sg_err *err) {
    struct sg_json m;
    enum sg_status st = sg_json_member(at, key, false, &m, err);
    if (st != SG_OK || !m.node) return st;
    if (!cJSON_IsNumber(m.node)) return wrong_type(&m, "a whole number", err);
    double v = m.node->valuedouble;
    if (v != floor(v) || fabs(v) > 9007199254740992.0) {
        char number[SG_JSON_NUMBER];
        sg_json_number(v, number);
        return sg_fail(err, SG_E_INPUT, "%s: %s is %s; expected a whole number", m.where, m.path, number);
    }
    int64_t i = (int64_t)v;
    if (i < min || i > max)
        return sg_fail(err, SG_E_INPUT, "%s: %s is %lld; expected %lld to %lld", m.where, m.path,
                       (long long)i, (long long)min, (long long)max);
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

enum sg_status sg_json_get_str(const struct sg_json *at, const char *key, const char **out,
                               struct sg_err *err) {
    struct sg_json m;
    enum sg_status st = sg_json_member(at, key, false, &m, err);
    if (st != SG_OK || !m.node) return st;
    if (!cJSON_IsString(m.node)) return wrong_type(&m, "a string", err);
    *out = m.node->valuestring;
    return SG_OK;
}

enum sg_status sg_json_need_str(const struct sg_json *at, const char *key, const char **out,
                                struct sg_err *err) {
    struct sg_json m;
    enum sg_status st = sg_json_member(at, key, true, &m, err);
    return st != SG_OK ? st : sg_json_get_str(at, key, out, err);
}

enum sg_status sg_json_need_i64(const struct sg_json *at, const char *key, int64_t min, int64_t max,
                                int64_t *out, struct sg_err *err) {
    struct sg_json m;
    enum sg_status st = sg_json_member(at, key, true, &m, err);
    return st != SG_OK ? st : sg_json_get_i64(at, key, min, max, out, err);
}

enum sg_status sg_json_only(const struct sg_json *at, const char *const *allowed, size_t n,
                            struct sg_err *err) {
    if (!cJSON_IsObject(at->node))
        return sg_fail(err, SG_E_INPUT, "%s: %s must be an object, not %s", at->where,
                       at->path[0] ? at->path : "the value", type_name(at->node));
    for (const cJSON *c = at->node->child; c; c = c->next) {
        bool known = false;
        for (size_t i = 0; i < n && !known; i++) known = !strcmp(c->string, allowed[i]);
        if (known) continue;
        char path[sizeof at->path];
        child_path(at, c->string, path);
        const char *near = sg_nearest(c->string, allowed, n);
        return near ? sg_fail(err, SG_E_INPUT, "%s: unknown key %s; did you mean \"%s\"?", at->where, path,
                              near)
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
        if (d < best && *names[i]) {
            best = d;
            found = names[i];
        }
    }
    return found;
}

void sg_json_number(double v, char out[SG_JSON_NUMBER]) {
    if (!isfinite(v)) {
        snprintf(out, SG_JSON_NUMBER, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, SG_JSON_NUMBER, "%.*g", digits, v);
        if (strtod(out, NULL) == v) return;
    }
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
            } else if (len == 2 && memcmp(s + i, "\xC2\x85", 2) == 0) {
                put = "\\u0085";
            } else if (len == 3 && memcmp(s + i, "\xE2\x80", 2) == 0 &&
                       ((unsigned char)s[i + 2] | 1) == 0xA9) {
                put = (unsigned char)s[i + 2] == 0xA8 ? "\\u2028" : "\\u2029";
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
