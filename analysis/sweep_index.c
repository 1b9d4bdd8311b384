#include "sweep_index.h"

#include "base/file.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 16 << 20 };

struct list {
    const char **files; /* [max] */
    int32_t n, max;
};

static enum sg_status add(struct list *l, const char *file, struct sg_err *err) {
    if (l->n == l->max) return sg_fail(err, SG_E_INPUT, "more than %d results files to compare", (int)l->max);
    l->files[l->n++] = file;
    return SG_OK;
}

static enum sg_status add_index(const char *path, struct list *l, struct sg_arena *strings,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf text = {0};
    struct sg_json points;
    cJSON *doc = NULL;
    const char *format = "";
    char *dir = NULL, *joined = NULL, *file;
    const int32_t before = l->n;
    SG_TRY(sg_file_read(path, MAX_BYTES, &text, err));
    SG_TRY(sg_json_parse(text.data, text.len, path, 1, &doc, err));
    const struct sg_json root = {.node = doc, .where = path};
    SG_TRY(sg_json_get_str(&root, "format", &format, err));
    if (strcmp(format, "scope-grid sweep") != 0) {
        st = sg_fail(err, SG_E_INPUT, "%s: neither a results file nor the index of a sweep", path);
        goto out;
    }
    SG_TRY(sg_json_member(&root, "points", true, &points, err));
    SG_TRY(sg_path_dir(path, &dir, err));
    int64_t i = 0;
    const cJSON *p;
    cJSON_ArrayForEach(p, points.node) {
        const struct sg_json point = sg_json_element(&points, p, i++);
        const char *results = NULL;
        SG_TRY(sg_json_get_str(&point, "results", &results, err));
        if (!results) continue;
        free(joined);
        joined = NULL;
        SG_TRY(sg_path_join(dir, results, &joined, err));
        SG_TRY(sg_arena_dup(strings, joined, strlen(joined), &file, err));
        SG_TRY(add(l, file, err));
    }
    if (l->n == before) st = sg_fail(err, SG_E_INPUT, "%s: no point of this sweep is finished", path);
out:
    cJSON_Delete(doc);
    sg_buf_free(&text);
    free(dir);
    free(joined);
    return st;
}

enum sg_status sg_sweep_expand(const char **files, int32_t max, struct sg_arena *strings,
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct list l = {.max = max};
    SG_TRY(SG_NEW(&l.files, max, "results files", err));
    for (int32_t i = 0; i < max && files[i]; i++)
        SG_TRY(sg_ends_with(files[i], ".json") ? add_index(files[i], &l, strings, err)
                                               : add(&l, files[i], err));
    memcpy(files, l.files, (size_t)max * sizeof *files);
out:
    free(l.files);
    return st;
}
