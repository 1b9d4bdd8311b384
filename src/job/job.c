#include "job/job.h"

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "job/job_fields.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_JOB_BYTES = 1 << 20, INDENT = 2 };

#define SECTION(path, sentence) {path, true, SG__STRING, 0, 0, NULL, 0, 0, NULL, sentence},
#define FIELD(path, kind, member, flags, def, min, max, unit, sentence)                                      \
    {path, false, SG__##kind, offsetof(struct sg_job, member), flags, def, min, max, unit, sentence},
#define REQUIRED SG__REQUIRED
#define ABOVE    SG__ABOVE
const struct sg__field sg__fields[] = {
#include "job/job_fields.inc"
};
#undef SECTION
#undef FIELD
#undef REQUIRED
#undef ABOVE
const size_t sg__n_fields = sizeof sg__fields / sizeof sg__fields[0];
_Static_assert(sizeof sg__fields / sizeof sg__fields[0] <= SG__MAX_FIELDS, "raise SG__MAX_FIELDS");

const char *const *sg__field_words(enum sg__field_kind kind, size_t *n) {
    static const char *const similarity[] = {"tfidf", "embedding", "file"};
    static const char *const missing[] = {"error", "next"};
    static const char *const weight_type[] = {"checkpoint", "fp8"};
    static const char *const draws[] = {"independent", "stratified"};
    static const char *const compute_type[] = {"auto", "bf16", "float32"};
    *n = kind == SG__SIMILARITY || kind == SG__COMPUTE_TYPE                    ? 3
         : kind == SG__MISSING || kind == SG__WEIGHT_TYPE || kind == SG__DRAWS ? 2
                                                                               : 0;
    return kind == SG__SIMILARITY     ? similarity
           : kind == SG__MISSING      ? missing
           : kind == SG__WEIGHT_TYPE  ? weight_type
           : kind == SG__COMPUTE_TYPE ? compute_type
           : kind == SG__DRAWS        ? draws
                                      : NULL;
}

const char *sg__field_key(const struct sg__field *f, const char *prefix) {
    size_t n = strlen(prefix);
    const char *key = f->path;
    if (n) {
        if (strncmp(f->path, prefix, n) != 0 || f->path[n] != '.') return NULL;
        key += n + 1;
    }
    return strchr(key, '.') ? NULL : key;
}

enum sg_status sg__put_number(struct sg_buf *b, double v, struct sg_err *err) {
    char text[SG_JSON_NUMBER];
    sg_json_number(v, text);
    return sg_buf_str(b, text, err);
}

/* What one call of job reading works on. */
struct reading {
    const char *path; /* of the job file: in errors */
    const char *dir;  /* what relative paths are relative to */
    cJSON *doc;
    const char *set[SG__MAX_FIELDS]; /* the --set item that gave this field, or NULL */
    struct sg_buf where;             /* scratch: "--set a.b=c" */
};

/* The object that holds field f. Walks the sections of its path: at->node is NULL when one is absent; with
 * `made` it builds them instead and returns the object to write to. *key is the last component. */
static enum sg_status find_parent(struct reading *r, const struct sg__field *f, cJSON **made,
                                  struct sg_json *at, const char **key, struct sg_err *err) {
    struct sg_json here = {.node = r->doc, .where = r->path, .path = ""};
    cJSON *node = r->doc;
    const char *rest = f->path, *dot;
    while ((dot = strchr(rest, '.'))) {
        char name[64];
        SG_ASSERT((size_t)(dot - rest) < sizeof name);
        memcpy(name, rest, (size_t)(dot - rest));
        name[dot - rest] = 0;
        rest = dot + 1;
        if (!here.node) continue;
        struct sg_json next;
        enum sg_status st = sg_json_member(&here, name, false, &next, err);
        if (st != SG_OK) return st;
        if (!next.node && made) {
            cJSON_DeleteItemFromObjectCaseSensitive(node, name); /* an explicit null */
            next.node = cJSON_AddObjectToObject(node, name);
            if (!next.node) return sg_fail(err, SG_E_NOMEM, "%s: no memory", r->path);
        }
        node = cJSON_GetObjectItemCaseSensitive(node, name);
        here = next;
    }
    *key = rest;
    *at = here;
    if (made) *made = node;
    return SG_OK;
}

/* Puts `value` (consumed) where field f stands. */
static enum sg_status put_value(struct reading *r, const struct sg__field *f, cJSON *value,
                                struct sg_err *err) {
    struct sg_json at;
    cJSON *parent;
    const char *key;
    enum sg_status st = SG_OK;
    if (!value) return sg_fail(err, SG_E_NOMEM, "%s: no memory", r->path);
    SG_TRY(find_parent(r, f, &parent, &at, &key, err));
    if (!cJSON_IsObject(at.node)) {
        st = sg_fail(err, SG_E_INPUT, "%s: %s must be an object", r->path, at.path[0] ? at.path : "the job");
        goto out;
    }
    cJSON_DeleteItemFromObjectCaseSensitive(parent, key);
    if (!cJSON_AddItemToObject(parent, key, value)) {
        st = sg_fail(err, SG_E_NOMEM, "%s: no memory", r->path);
        goto out;
    }
    value = NULL;
out:
    cJSON_Delete(value);
    return st;
}

static bool takes_string(const struct sg__field *f) {
    return f->kind != SG__INTEGER && f->kind != SG__COUNT && f->kind != SG__SEED && f->kind != SG__REAL &&
           f->kind != SG__BOOLEAN;
}

/* One "a.b=value". Text fields take the value as it stands, so that `--set name=12` needs no quotes; all
 * others read it as JSON. `null` gives a key its default back. */
static enum sg_status apply_override(struct reading *r, const char *item, struct sg_err *err) {
    const char *eq = strchr(item, '=');
    if (!eq || eq == item) return sg_fail(err, SG_E_USAGE, "--set %s: expected key=value", item);
    size_t n_key = (size_t)(eq - item), i = 0, n_names = 0;
    const char *value = eq + 1, *names[SG__MAX_FIELDS];
    while (i < sg__n_fields && (strncmp(sg__fields[i].path, item, n_key) != 0 || sg__fields[i].path[n_key]))
        i++;
    if (i == sg__n_fields) {
        char key[128];
        snprintf(key, sizeof key, "%.*s", (int)(n_key < 120 ? n_key : 120), item);
        for (size_t k = 0; k < sg__n_fields; k++)
            if (!sg__fields[k].section) names[n_names++] = sg__fields[k].path;
        const char *near = sg_nearest(key, names, n_names);
        return near ? sg_fail(err, SG_E_INPUT, "--set %s: unknown key %s; did you mean \"%s\"?", item, key,
                              near)
                    : sg_fail(err, SG_E_INPUT, "--set %s: unknown key %s", item, key);
    }
    const struct sg__field *f = &sg__fields[i];
    if (f->section)
        return sg_fail(err, SG_E_INPUT, "--set %s: %s is a section; set its keys one by one", item, f->path);
    cJSON *v = NULL;
    struct sg_err quiet = {0};
    enum sg_status st = sg_json_parse(value, strlen(value), "--set", 1, &v, &quiet);
    if (st == SG_E_NOMEM) return sg_fail(err, st, "--set %s: no memory", item);
    if (takes_string(f) && !(v && (cJSON_IsString(v) || cJSON_IsNull(v)))) {
        cJSON_Delete(v);
        v = NULL;
    }
    if (!v) {
        st = SG_OK;
        size_t bad;
        if (!sg_utf8_valid(value, strlen(value), &bad))
            return sg_fail(err, SG_E_INPUT, "--set %.*s: the value is not valid UTF-8", (int)n_key, item);
        v = cJSON_CreateString(value);
    }
    r->set[i] = item;
    return put_value(r, f, v, err);
}

/* Refuses what the table does not have, section by section. */
static enum sg_status check_keys(const struct sg_json *at, const char *prefix, struct sg_err *err) {
    const char *keys[SG__MAX_FIELDS];
    size_t n = 0;
    for (size_t i = 0; i < sg__n_fields; i++) {
        const char *key = sg__field_key(&sg__fields[i], prefix);
        if (key) keys[n++] = key;
    }
    enum sg_status st = sg_json_only(at, keys, n, err);
    if (st != SG_OK) return st;
    for (size_t i = 0; i < sg__n_fields; i++) {
        const char *key = sg__field_key(&sg__fields[i], prefix);
        struct sg_json section;
        if (!key || !sg__fields[i].section) continue;
        st = sg_json_member(at, key, false, &section, err);
        if (st == SG_OK && section.node) st = check_keys(&section, sg__fields[i].path, err);
        if (st != SG_OK) return st;
    }
    return SG_OK;
}

/* Fills an absent field with its default, so that one piece of code reads all values. */
static enum sg_status fill_default(struct reading *r, const struct sg__field *f, struct sg_err *err) {
    struct sg_json at, m = {0};
    const char *key;
    enum sg_status st = find_parent(r, f, NULL, &at, &key, err);
    if (st == SG_OK && at.node) st = sg_json_member(&at, key, false, &m, err);
    if (st != SG_OK || m.node) return st;
    if (f->flags & SG__REQUIRED) return sg_fail(err, SG_E_INPUT, "%s: %s is missing", r->path, f->path);
    if (!f->def) return SG_OK;
    return put_value(r, f, cJSON_ParseWithLength(f->def, strlen(f->def)), err);
}

static enum sg_status read_string(struct reading *r, const struct sg__field *f, const struct sg_json *at,
                                  const char *key, struct sg_arena *strings, char **out, struct sg_err *err) {
    const char *s = NULL;
    char *joined = NULL;
    enum sg_status st = SG_OK;
    SG_TRY(sg_json_get_str(at, key, &s, err));
    if (!s) goto out;
    if (strlen(s) < (size_t)f->min || strlen(s) > (size_t)f->max) {
        st = sg_fail(err, SG_E_INPUT, "%s: %s is %zu bytes long; expected %.0f to %.0f", at->where, f->path,
                     strlen(s), f->min, f->max);
        goto out;
    }
    if (f->kind == SG__PATH) {
        SG_TRY(sg_path_join(r->dir, s, &joined, err));
        s = joined;
    }
    SG_TRY(sg_arena_dup(strings, s, strlen(s), out, err));
out:
    free(joined);
    return st;
}

static enum sg_status read_word(const struct sg__field *f, const struct sg_json *at, const char *key,
                                int *out, struct sg_err *err) {
    size_t n;
    const char *const *words = sg__field_words(f->kind, &n), *s = NULL;
    enum sg_status st = sg_json_get_str(at, key, &s, err);
    if (st != SG_OK || !s) return st;
    for (size_t i = 0; i < n; i++)
        if (!strcmp(s, words[i])) {
            *out = (int)i;
            return SG_OK;
        }
    char all[100] = "";
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(all);
        snprintf(all + len, sizeof all - len, "%s\"%s\"", i ? " or " : "", words[i]);
    }
    return sg_fail(err, SG_E_INPUT, "%s: %s is \"%s\"; expected %s", at->where, f->path, s, all);
}

static enum sg_status read_count(const struct sg__field *f, const struct sg_json *at, const char *key,
                                 int64_t *out, struct sg_err *err) {
    struct sg_json m;
    enum sg_status st = sg_json_member(at, key, false, &m, err);
    if (st != SG_OK || !cJSON_IsString(m.node))
        return st == SG_OK ? sg_json_get_i64(at, key, (int64_t)f->min, (int64_t)f->max, out, err) : st;
    if (strcmp(m.node->valuestring, "all") != 0)
        return sg_fail(err, SG_E_INPUT, "%s: %s is \"%s\"; expected a whole number or \"all\"", at->where,
                       f->path, m.node->valuestring);
    *out = SG_JOB_ALL;
    return SG_OK;
}

static enum sg_status read_field(struct reading *r, size_t i, struct sg_job *job, struct sg_err *err) {
    const struct sg__field *f = &sg__fields[i];
    void *p = (char *)job + f->offset;
    struct sg_json at;
    const char *key;
    int word = 0;
    int64_t seed = 0;
    enum sg_status st = SG_OK;
    if (f->kind == SG__INTEGER && !f->def) *(int64_t *)p = SG_JOB_UNSET;
    SG_TRY(find_parent(r, f, NULL, &at, &key, err));
    if (!at.node) goto out;
    if (r->set[i]) { /* errors then name the command line, not the file */
        sg_buf_clear(&r->where);
        SG_TRY(sg_buf_printf(&r->where, err, "--set %s", r->set[i]));
        at.where = r->where.data;
    }
    switch (f->kind) {
    case SG__STRING:
    case SG__PATH:
        st = read_string(r, f, &at, key, &job->strings, p, err);
        break;
    case SG__INTEGER:
        st = sg_json_get_i64(&at, key, (int64_t)f->min, (int64_t)f->max, p, err);
        break;
    case SG__COUNT:
        st = read_count(f, &at, key, p, err);
        break;
    case SG__SEED:
        SG_TRY(sg_json_get_i64(&at, key, (int64_t)f->min, (int64_t)f->max, &seed, err));
        *(uint64_t *)p = (uint64_t)seed;
        break;
    case SG__REAL:
        SG_TRY(sg_json_get_f64(&at, key, f->min, f->max, p, err));
        if ((f->flags & SG__ABOVE) && !(*(double *)p > f->min))
            st = sg_fail(err, SG_E_INPUT, "%s: %s is %g; expected above %g, at most %g", at.where, f->path,
                         *(double *)p, f->min, f->max);
        break;
    case SG__BOOLEAN:
        st = sg_json_get_bool(&at, key, p, err);
        break;
    case SG__SIMILARITY:
        SG_TRY(read_word(f, &at, key, &word, err));
        *(enum sg_similarity_method *)p = (enum sg_similarity_method)word;
        break;
    case SG__MISSING:
        SG_TRY(read_word(f, &at, key, &word, err));
        *(enum sg_missing *)p = (enum sg_missing)word;
        break;
    case SG__WEIGHT_TYPE:
        SG_TRY(read_word(f, &at, key, &word, err));
        *(enum sg_weight_type *)p = (enum sg_weight_type)word;
        break;
    case SG__COMPUTE_TYPE:
        SG_TRY(read_word(f, &at, key, &word, err));
        *(enum sg_compute_type *)p = (enum sg_compute_type)word;
        break;
    case SG__DRAWS:
        SG_TRY(read_word(f, &at, key, &word, err));
        *(enum sg_draws *)p = (enum sg_draws)word;
        break;
    }
out:
    return st;
}

/* The name goes into a path and on terminals. */
static enum sg_status check_name(const char *path, const char *name, struct sg_err *err) {
    bool ok = name[0] != '.';
    for (const char *c = name; *c && ok; c++) ok = *c != '/' && (unsigned char)*c >= 0x20 && *c != 0x7f;
    return ok ? SG_OK
              : sg_fail(err, SG_E_INPUT,
                        "%s: name is \"%s\"; expected no '/', no control character and no '.' "
                        "in front",
                        path, name);
}

/* Defaults that depend on other keys, and demands of one key on another. */
static enum sg_status finish(struct reading *r, struct sg_job *job, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    char *dir = NULL;
    if (!job->name) {
        const char *base = strrchr(job->path, '/');
        base = base ? base + 1 : job->path;
        size_t n = strlen(base);
        if (n > 5 && !strcmp(base + n - 5, ".json")) n -= 5;
        SG_TRY(sg_arena_dup(&job->strings, base, n, &job->name, err));
    }
    SG_TRY(check_name(r->path, job->name, err));
    if (!job->output.dir) {
        SG_TRY(sg_buf_printf(&b, err, "runs/%s", job->name));
        SG_TRY(sg_path_join(r->dir, b.data, &dir, err));
        SG_TRY(sg_arena_dup(&job->strings, dir, strlen(dir), &job->output.dir, err));
    }
    if (job->prompt.similarity.top_k < job->prompt.anchors)
        st = sg_fail(err, SG_E_INPUT,
                     "%s: prompt.similarity.top_k is %lld; expected at least prompt.anchors, which is %lld",
                     r->path, (long long)job->prompt.similarity.top_k, (long long)job->prompt.anchors);
    else if (job->sampling.others > job->sampling.samples)
        st = sg_fail(err, SG_E_INPUT,
                     "%s: sampling.others is %lld; expected at most sampling.samples, which is %lld", r->path,
                     (long long)job->sampling.others, (long long)job->sampling.samples);
    else if (job->sampling.others != SG_JOB_UNSET && !job->sampling.cells)
        st = sg_fail(
            err, SG_E_INPUT,
            "%s: sampling.others is for the cells that sampling.cells does not list, which is missing",
            r->path);
    else if (job->prompt.similarity.method == SG_SIM_EMBEDDING && !job->prompt.similarity.model)
        st =
            sg_fail(err, SG_E_INPUT,
                    "%s: prompt.similarity.model is missing; prompt.similarity.method \"embedding\" needs it",
                    r->path);
    else if (job->prompt.similarity.method == SG_SIM_FILE && !job->prompt.similarity.path)
        st = sg_fail(err, SG_E_INPUT,
                     "%s: prompt.similarity.path is missing; prompt.similarity.method \"file\" needs it",
                     r->path);
out:
    sg_buf_free(&b);
    free(dir);
    return st;
}

static enum sg_status put_field(struct sg_buf *b, const struct sg__field *f, const struct sg_job *job,
                                struct sg_err *err) {
    const void *p = (const char *)job + f->offset;
    const char *s;
    size_t n;
    switch (f->kind) {
    case SG__STRING:
    case SG__PATH:
        s = *(char *const *)p;
        return s ? sg_json_quote(b, s, strlen(s), err) : sg_buf_str(b, "null", err);
    case SG__INTEGER:
        if (!f->def && *(const int64_t *)p == SG_JOB_UNSET) return sg_buf_str(b, "null", err);
        return sg_buf_printf(b, err, "%lld", (long long)*(const int64_t *)p);
    case SG__COUNT:
        if (*(const int64_t *)p == SG_JOB_ALL) return sg_buf_str(b, "\"all\"", err);
        return sg_buf_printf(b, err, "%lld", (long long)*(const int64_t *)p);
    case SG__SEED:
        return sg_buf_printf(b, err, "%llu", (unsigned long long)*(const uint64_t *)p);
    case SG__REAL:
        return sg__put_number(b, *(const double *)p, err);
    case SG__BOOLEAN:
        return sg_buf_str(b, *(const bool *)p ? "true" : "false", err);
    case SG__SIMILARITY:
        return sg_buf_printf(b, err, "\"%s\"",
                             sg__field_words(f->kind, &n)[*(const enum sg_similarity_method *)p]);
    case SG__MISSING:
        return sg_buf_printf(b, err, "\"%s\"", sg__field_words(f->kind, &n)[*(const enum sg_missing *)p]);
    case SG__WEIGHT_TYPE:
        return sg_buf_printf(b, err, "\"%s\"", sg__field_words(f->kind, &n)[*(const enum sg_weight_type *)p]);
    case SG__COMPUTE_TYPE:
        return sg_buf_printf(b, err, "\"%s\"",
                             sg__field_words(f->kind, &n)[*(const enum sg_compute_type *)p]);
    case SG__DRAWS:
        return sg_buf_printf(b, err, "\"%s\"", sg__field_words(f->kind, &n)[*(const enum sg_draws *)p]);
    }
    return SG_OK;
}

/* The object of one section, its members in the order of the table. */
static enum sg_status put_section(struct sg_buf *b, const char *prefix, int depth, const struct sg_job *job,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool first = true;
    SG_TRY(sg_buf_str(b, "{", err));
    for (size_t i = 0; i < sg__n_fields; i++) {
        const struct sg__field *f = &sg__fields[i];
        const char *key = sg__field_key(f, prefix);
        if (!key) continue;
        SG_TRY(sg_buf_printf(b, err, "%s\n%*s\"%s\": ", first ? "" : ",", INDENT * (depth + 1), "", key));
        SG_TRY(f->section ? put_section(b, f->path, depth + 1, job, err) : put_field(b, f, job, err));
        first = false;
    }
    SG_TRY(sg_buf_printf(b, err, "\n%*s}", INDENT * depth, ""));
out:
    return st;
}

static enum sg_status read_doc(struct reading *r, const char *const *overrides, size_t n_overrides,
                               struct sg_job *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_job job = {0};
    struct sg_buf text = {0};
    struct sg_json root = {.node = r->doc, .where = r->path, .path = ""};
    SG_TRY(check_keys(&root, "", err));
    for (size_t i = 0; i < n_overrides; i++) SG_TRY(apply_override(r, overrides[i], err));
    for (size_t i = 0; i < sg__n_fields; i++)
        if (!sg__fields[i].section) SG_TRY(fill_default(r, &sg__fields[i], err));
    SG_TRY(sg_arena_dup(&job.strings, r->path, strlen(r->path), &job.path, err));
    for (size_t i = 0; i < sg__n_fields; i++)
        if (!sg__fields[i].section) SG_TRY(read_field(r, i, &job, err));
    SG_TRY(finish(r, &job, err));
    SG_TRY(put_section(&text, "", 0, &job, err));
    SG_TRY(sg_buf_str(&text, "\n", err));
    SG_TRY(sg_arena_dup(&job.strings, text.data, text.len, &job.text, err));
    *out = job;
    memset(&job, 0, sizeof job);
out:
    sg_job_free(&job);
    sg_buf_free(&text);
    return st;
}

enum sg_status sg_job_read(const char *path, const char *const *overrides, size_t n_overrides,
                           struct sg_job *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct reading r = {.path = path};
    struct sg_buf bytes = {0};
    char *dir = NULL;
    SG_TRY(sg_file_read(path, MAX_JOB_BYTES, &bytes, err));
    SG_TRY(sg_path_dir(path, &dir, err));
    r.dir = dir;
    SG_TRY(sg_json_parse(bytes.data, bytes.len, path, 1, &r.doc, err));
    SG_TRY(read_doc(&r, overrides, n_overrides, out, err));
out:
    cJSON_Delete(r.doc);
    sg_buf_free(&r.where);
    sg_buf_free(&bytes);
    free(dir);
    return st;
}

enum sg_status sg_job_from_text(const char *text, size_t n, const char *where, struct sg_job *out,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct reading r = {.path = where, .dir = "."}; /* the text holds resolved paths */
    struct sg_buf copy = {0};                       /* the parser wants a byte after the end */
    SG_TRY(sg_buf_add(&copy, text, n, err));
    SG_TRY(sg_json_parse(copy.data, copy.len, where, 1, &r.doc, err));
    SG_TRY(read_doc(&r, NULL, 0, out, err));
out:
    cJSON_Delete(r.doc);
    sg_buf_free(&r.where);
    sg_buf_free(&copy);
    return st;
}

void sg_job_free(struct sg_job *job) {
    if (!job) return;
    sg_arena_free(&job->strings);
    memset(job, 0, sizeof *job);
}

/* ---- what differs between two ------------------------------------------------------------------------- */

/* False for keys that do not change results. */
static bool matters(const char *path) {
    return strncmp(path, "engine", 6) != 0 && strcmp(path, "output.dir") != 0 && strcmp(path, "name") != 0;
}

/* Appends the paths at which a and b differ. */
static enum sg_status differences(const cJSON *a, const cJSON *b, const char *path, struct sg_buf *out,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (cJSON_IsObject(a) && cJSON_IsObject(b)) {
        for (int side = 0; side < 2; side++) {
            for (const cJSON *m = (side ? b : a)->child; m; m = m->next) {
                const cJSON *other = cJSON_GetObjectItemCaseSensitive(side ? a : b, m->string);
                if (side && other) continue; /* compared in the first round */
                char sub[200];
                snprintf(sub, sizeof sub, "%s%s%s", path, *path ? "." : "", m->string);
                SG_TRY(differences(side ? other : m, side ? m : other, sub, out, err));
            }
        }
    } else if (!(a && b && cJSON_Compare(a, b, true)) && matters(path)) {
        SG_TRY(sg_buf_printf(out, err, "%s%s", out->len ? ", " : "", path));
    }
out:
    return st;
}

enum sg_status sg_job_differences(const char *a, const char *b, struct sg_buf *keys, struct sg_err *err) {
    enum sg_status st = SG_OK;
    cJSON *x = NULL, *y = NULL;
    SG_TRY(sg_json_parse(a, strlen(a), "job", 1, &x, err));
    SG_TRY(sg_json_parse(b, strlen(b), "job", 1, &y, err));
    SG_TRY(differences(x, y, "", keys, err));
out:
    cJSON_Delete(x);
    cJSON_Delete(y);
    return st;
}
