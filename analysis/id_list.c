#include "id_list.h"

#include "base/file.h"
#include "base/json.h"

#include <ctype.h>
#include <string.h>

enum { LIST_MAX_BYTES = 64 << 20 };

enum sg_status sg_id_list_read(const char *path, struct sg_buf *text, bool *json, struct sg_err *err) {
    enum sg_status st = SG_OK;
    size_t i = 0;
    SG_TRY(sg_file_read(path, LIST_MAX_BYTES, text, err));
    if (text->len >= 3 && !memcmp(text->data, "\xEF\xBB\xBF", 3)) {
        text->len -= 3;
        memmove(text->data, text->data + 3, text->len + 1); /* with the NUL behind it */
    }
    while (i < text->len && isspace((unsigned char)text->data[i])) i++;
    *json = i < text->len && (text->data[i] == '[' || text->data[i] == '{');
out:
    return st;
}

const char *sg_id_list_id(const cJSON *e) {
    const cJSON *id = cJSON_IsObject(e) ? cJSON_GetObjectItemCaseSensitive(e, "id") : e;
    return cJSON_IsString(id) ? id->valuestring : NULL;
}

/* JSON lines: the first line that is not blank is an object with an id all by itself. */
static bool is_lines(const struct sg_buf *text, const char *path) {
    const char *from = text->len ? text->data : "";
    while (isspace((unsigned char)*from)) from++;
    const char *end = strchr(from, '\n');
    struct sg_buf line = {0};
    struct sg_err ignored;
    cJSON *doc = NULL;
    bool lines = false;
    if (*from == '{' &&
        sg_buf_add(&line, from, end ? (size_t)(end - from) : strlen(from), &ignored) == SG_OK &&
        sg_json_parse(line.data, line.len, path, 1, &doc, &ignored) == SG_OK)
        lines = sg_id_list_id(doc) != NULL;
    cJSON_Delete(doc);
    sg_buf_free(&line);
    return lines;
}

static enum sg_status parse_lines(const struct sg_buf *text, const char *path, cJSON *to,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf line = {0};
    int64_t number = 1;
    for (const char *from = text->data; *from; number++) {
        const char *end = strchr(from, '\n');
        const size_t n = end ? (size_t)(end - from) : strlen(from);
        cJSON *doc = NULL;
        if (strspn(from, " \t\r") < n) {
            sg_buf_clear(&line);
            SG_TRY(sg_buf_add(&line, from, n, err));
            SG_TRY(sg_json_parse(line.data, line.len, path, number, &doc, err));
            cJSON_AddItemToArray(to, doc);
        }
        from += n + (end != NULL);
    }
out:
    sg_buf_free(&line);
    return st;
}

/* An object id -> fields as the array of its values, each with its id; one object with an id as an array of
 * it. */
static enum sg_status from_object(cJSON *object, cJSON *to, struct sg_err *err) {
    if (sg_id_list_id(object)) {
        cJSON_AddItemToArray(to, object);
        return SG_OK;
    }
    while (object->child) {
        cJSON *e = cJSON_DetachItemViaPointer(object, object->child);
        if (cJSON_IsObject(e) && !cJSON_HasObjectItem(e, "id") &&
            !cJSON_AddStringToObject(e, "id", e->string)) {
            cJSON_Delete(e);
            cJSON_Delete(object);
            return sg_fail(err, SG_E_NOMEM, "out of memory reading a list");
        }
        cJSON_AddItemToArray(to, e);
    }
    cJSON_Delete(object);
    return SG_OK;
}

enum sg_status sg_id_list_json(const struct sg_buf *text, const char *path, cJSON **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    cJSON *array = NULL, *doc = NULL;
    int i = 0;
    if (is_lines(text, path)) {
        array = cJSON_CreateArray();
        if (!array) return sg_fail(err, SG_E_NOMEM, "%s: out of memory", path);
        SG_TRY(parse_lines(text, path, array, err));
    } else {
        SG_TRY(sg_json_parse(text->data ? text->data : "", text->len, path, 1, &doc, err));
        if (!cJSON_IsArray(doc) && !cJSON_IsObject(doc)) {
            cJSON_Delete(doc);
            return sg_fail(err, SG_E_INPUT, "%s: expected an array, JSON lines or an object of objects",
                           path);
        }
        array = cJSON_IsArray(doc) ? doc : cJSON_CreateArray();
        if (!array) {
            cJSON_Delete(doc);
            return sg_fail(err, SG_E_NOMEM, "%s: out of memory", path);
        }
        if (cJSON_IsObject(doc)) SG_TRY(from_object(doc, array, err));
    }
    for (const cJSON *e = array->child; e; e = e->next, i++)
        if (!sg_id_list_id(e)) {
            st = sg_fail(err, SG_E_INPUT, "%s: [%d] is neither an id nor an object with an \"id\"", path, i);
            goto out;
        }
    *out = array;
    array = NULL;
out:
    cJSON_Delete(array);
    return st;
}
