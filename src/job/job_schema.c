#include "base/json.h"
#include "job/job_fields.h"
#include <string.h>

/* JSON Schema (draft 2020-12) of the job file, from the same table that the parser uses. `unit` is an
 * annotation of ours: validators ignore keywords that they do not know. */

static bool has_required(const char *prefix) {
    size_t n = strlen(prefix);
    for (size_t i = 0; i < sg__n_fields; i++)
        if ((sg__fields[i].flags & SG__REQUIRED) && !strncmp(sg__fields[i].path, prefix, n) &&
            sg__fields[i].path[n] == '.')
            return true;
    return false;
}

static enum sg_status put_line(struct sg_buf *b, int depth, const char *key, struct sg_err *err) {
    return sg_buf_printf(b, err, ",\n%*s\"%s\": ", 2 * depth, "", key);
}

static enum sg_status put_leaf(struct sg_buf *b, const struct sg__field *f, int depth, struct sg_err *err) {
    static const char *const types[] = {
        [SG__STRING] = "string",       [SG__PATH] = "string",
        [SG__INTEGER] = "integer",     [SG__COUNT] = "integer\", \"string",
        [SG__SEED] = "integer",        [SG__REAL] = "number",
        [SG__BOOLEAN] = "boolean",     [SG__SIMILARITY] = "string",
        [SG__MISSING] = "string",      [SG__WEIGHT_TYPE] = "string",
        [SG__COMPUTE_TYPE] = "string", [SG__DRAWS] = "string",
    };
    bool number =
        f->kind == SG__INTEGER || f->kind == SG__COUNT || f->kind == SG__SEED || f->kind == SG__REAL;
    bool text = f->kind == SG__STRING || f->kind == SG__PATH;
    size_t n_words;
    const char *const *words = sg__field_words(f->kind, &n_words);
    enum sg_status st = SG_OK;
    SG_TRY(sg_buf_printf(b, err, "{\n%*s\"description\": ", 2 * (depth + 1), ""));
    SG_TRY(sg_json_quote(b, f->sentence, strlen(f->sentence), err));
    SG_TRY(put_line(b, depth + 1, "type", err));
    /* null is the same as leaving the key out, which a required key does not allow */
    SG_TRY(f->flags & SG__REQUIRED || n_words ? sg_buf_printf(b, err, "\"%s\"", types[f->kind])
                                              : sg_buf_printf(b, err, "[\"%s\", \"null\"]", types[f->kind]));
    if (n_words) {
        SG_TRY(put_line(b, depth + 1, "enum", err));
        for (size_t i = 0; i < n_words; i++)
            SG_TRY(sg_buf_printf(b, err, "%s\"%s\"", i ? ", " : "[", words[i]));
        SG_TRY(sg_buf_str(b, "]", err));
    }
    if (f->unit) {
        SG_TRY(put_line(b, depth + 1, "unit", err));
        SG_TRY(sg_json_quote(b, f->unit, strlen(f->unit), err));
    }
    if (f->def) {
        SG_TRY(put_line(b, depth + 1, "default", err));
        SG_TRY(sg_buf_str(b, f->def, err));
    }
    if (number) {
        SG_TRY(put_line(b, depth + 1, f->flags & SG__ABOVE ? "exclusiveMinimum" : "minimum", err));
        SG_TRY(sg__put_number(b, f->min, err));
        SG_TRY(put_line(b, depth + 1, "maximum", err));
        SG_TRY(sg__put_number(b, f->max, err));
    }
    if (f->kind == SG__COUNT) {
        SG_TRY(put_line(b, depth + 1, "pattern", err));
        SG_TRY(sg_buf_str(b, "\"^all$\"", err));
    }
    if (text) {
        SG_TRY(put_line(b, depth + 1, "minLength", err));
        SG_TRY(sg__put_number(b, f->min, err));
        SG_TRY(put_line(b, depth + 1, "maxLength", err));
        SG_TRY(sg__put_number(b, f->max, err));
    }
    SG_TRY(sg_buf_printf(b, err, "\n%*s}", 2 * depth, ""));
out:
    return st;
}

/* The members that make an object: what follows its "description". */
static enum sg_status put_object(struct sg_buf *b, const char *prefix, int depth, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool first = true;
    SG_TRY(put_line(b, depth, "type", err));
    SG_TRY(sg_buf_str(b, "\"object\"", err));
    SG_TRY(put_line(b, depth, "additionalProperties", err));
    SG_TRY(sg_buf_str(b, "false", err));
    for (size_t i = 0; i < sg__n_fields; i++) {
        const struct sg__field *f = &sg__fields[i];
        const char *key = sg__field_key(f, prefix);
        if (!key || !(f->section ? has_required(f->path) : (f->flags & SG__REQUIRED))) continue;
        if (first) SG_TRY(put_line(b, depth, "required", err));
        SG_TRY(sg_buf_printf(b, err, "%s\"%s\"", first ? "[" : ", ", key));
        first = false;
    }
    if (!first) SG_TRY(sg_buf_str(b, "]", err));
    SG_TRY(put_line(b, depth, "properties", err));
    first = true;
    for (size_t i = 0; i < sg__n_fields; i++) {
        const struct sg__field *f = &sg__fields[i];
        const char *key = sg__field_key(f, prefix);
        if (!key) continue;
        SG_TRY(sg_buf_printf(b, err, "%s\n%*s\"%s\": ", first ? "{" : ",", 2 * (depth + 1), "", key));
        first = false;
        if (!f->section) {
            SG_TRY(put_leaf(b, f, depth + 1, err));
            continue;
        }
        SG_TRY(sg_buf_printf(b, err, "{\n%*s\"description\": ", 2 * (depth + 2), ""));
        SG_TRY(sg_json_quote(b, f->sentence, strlen(f->sentence), err));
        SG_TRY(put_object(b, f->path, depth + 2, err));
        SG_TRY(sg_buf_printf(b, err, "\n%*s}", 2 * (depth + 1), ""));
    }
    SG_TRY(sg_buf_printf(b, err, "\n%*s}", 2 * depth, ""));
out:
    return st;
}

enum sg_status sg_job_schema(struct sg_buf *out, struct sg_err *err) {
    struct sg_buf b = {0};
    enum sg_status st = SG_OK;
    SG_TRY(sg_buf_str(
        &b,
        "{\n"
        "  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
        "  \"title\": \"SCOPE Grid job\",\n"
        "  \"description\": \"One run of scope-grid. Relative paths are relative to the job file. Any "
        "key can be overridden by --set section.key=value. null is the same as leaving a key out.\"",
        err));
    SG_TRY(put_object(&b, "", 1, err));
    SG_TRY(sg_buf_str(&b, "\n}\n", err));
    SG_TRY(sg_buf_add(out, b.data, b.len, err));
out:
    sg_buf_free(&b);
    return st;
}
