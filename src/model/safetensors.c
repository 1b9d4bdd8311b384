#include "model/safetensors.h"

#include "base/json.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The format's own limit for a header; the largest checkpoints stay below 2 MB. */
static const uint64_t HEADER_MAX = 100000000;
enum { INDEX_MAX_BYTES = 64 << 20 };

/* dtypes of the format, bits per element; weights.c decides which of them a weight may have */
#define DTYPES(X)                                                                                            \
    X("F64", 64)                                                                                             \
    X("F32", 32)                                                                                             \
    X("F16", 16)                                                                                             \
    X("BF16", 16)                                                                                            \
    X("F8_E4M3", 8)                                                                                          \
    X("F8_E5M2", 8) X("I64", 64) X("I32", 32) X("I16", 16) X("I8", 8) X("U64", 64) X("U32", 32) X("U16", 16) \
        X("U8", 8) X("BOOL", 8)

/* Bytes of one element, 0 for a dtype unknown to the format. */
static size_t element_bytes(const char *dtype) {
#define ENTRY(name, bits) {name, bits},
    static const struct {
        const char *name;
        unsigned bits;
    } known[] = {DTYPES(ENTRY)};
#undef ENTRY
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i].name, dtype)) return known[i].bits / 8;
    return 0;
}

void sg_shape_text(const int64_t *dims, int32_t n_dims, char out[SG_SHAPE_TEXT]) {
    size_t len = 0;
    out[len++] = '[';
    for (int32_t i = 0; i < n_dims && len < SG_SHAPE_TEXT - 24; i++)
        len += (size_t)snprintf(out + len, SG_SHAPE_TEXT - len, "%s%" PRId64, i ? ", " : "", dims[i]);
    snprintf(out + len, SG_SHAPE_TEXT - len, "]");
}

/* Reads a whole number in [0, 2^53]; cJSON holds it as a double. */
static bool whole(const cJSON *node, int64_t *out) {
    if (!cJSON_IsNumber(node) || !(node->valuedouble >= 0 && node->valuedouble <= 9007199254740992.0) ||
        node->valuedouble != floor(node->valuedouble))
        return false;
    *out = (int64_t)node->valuedouble;
    return true;
}

/* Reads a tensor's shape and the number of its elements. */
static enum sg_status read_shape(const cJSON *entry, const char *path, struct sg_tensor *t, size_t *count,
                                 struct sg_err *err) {
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(entry, "shape");
    if (!cJSON_IsArray(shape))
        return sg_fail(err, SG_E_INPUT, "%s: tensor %s: shape is missing or no array", path, t->name);
    *count = 1;
    for (const cJSON *d = shape->child; d; d = d->next) {
        int64_t dim;
        if (t->n_dims == SG_TENSOR_DIMS)
            return sg_fail(err, SG_E_UNSUPPORTED, "%s: tensor %s: more than %d dimensions", path, t->name,
                           SG_TENSOR_DIMS);
        if (!whole(d, &dim))
            return sg_fail(err, SG_E_INPUT, "%s: tensor %s: shape[%d] is not a whole number >= 0", path,
                           t->name, t->n_dims);
        if (!sg_mul_size(*count, (size_t)dim, count))
            return sg_fail(err, SG_E_INPUT, "%s: tensor %s: the product of its shape overflows", path,
                           t->name);
        t->dims[t->n_dims++] = dim;
    }
    return SG_OK;
}

static enum sg_status read_tensor(const cJSON *entry, const unsigned char *data, size_t data_bytes,
                                  const char *path, struct sg_arena *arena, struct sg_tensor *t,
                                  struct sg_err *err) {
    enum sg_status st;
    char *s;
    size_t count = 1, need = 0;
    int64_t begin = 0, end = 0;
    char shape[SG_SHAPE_TEXT];
    SG_TRY(sg_arena_dup(arena, entry->string, strlen(entry->string), &s, err));
    t->name = s;
    const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(entry, "dtype");
    const cJSON *range = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
    if (!cJSON_IsObject(entry) || !cJSON_IsString(dtype))
        return sg_fail(err, SG_E_INPUT, "%s: tensor %s: dtype is missing or no string", path, t->name);
    SG_TRY(sg_arena_dup(arena, dtype->valuestring, strlen(dtype->valuestring), &s, err));
    t->dtype = s;
    const size_t width = element_bytes(t->dtype);
    if (!width)
        return sg_fail(err, SG_E_UNSUPPORTED, "%s: tensor %s: unknown dtype %s", path, t->name, t->dtype);
    SG_TRY(read_shape(entry, path, t, &count, err));
    if (!cJSON_IsArray(range) || cJSON_GetArraySize(range) != 2 || !whole(range->child, &begin) ||
        !whole(range->child->next, &end))
        return sg_fail(err, SG_E_INPUT, "%s: tensor %s: data_offsets is not a pair of whole numbers", path,
                       t->name);
    if (begin > end || (uint64_t)end > data_bytes)
        return sg_fail(err, SG_E_INPUT,
                       "%s: tensor %s: data_offsets [%" PRId64 ", %" PRId64
                       "] do not fit the %zu bytes of data "
                       "in the file (is it cut short?)",
                       path, t->name, begin, end, data_bytes);
    t->bytes = (size_t)(end - begin);
    sg_shape_text(t->dims, t->n_dims, shape);
    if (!sg_mul_size(count, width, &need) || need != t->bytes)
        return sg_fail(err, SG_E_INPUT,
                       "%s: tensor %s: %s of shape %s takes %zu x %zu bytes, but its data_offsets span %zu",
                       path, t->name, t->dtype, shape, count, width, t->bytes);
    t->data = data + begin;
out:
    return st;
}

static int by_place(const void *a, const void *b) {
    const struct sg_tensor *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return x->bytes != y->bytes ? (x->bytes < y->bytes ? -1 : 1) : strcmp(x->name, y->name);
}

/* Checks that each tensor begins where the previous one ends, and that the last one ends with the file. */
static enum sg_status check_tiling(struct sg_tensor *t, size_t n, const unsigned char *data,
                                   size_t data_bytes, const char *path, struct sg_err *err) {
    if (n) qsort(t, n, sizeof *t, by_place);
    size_t at = 0;
    const char *before = "the header";
    for (size_t i = 0; i < n; i++) {
        const size_t begin = (size_t)(t[i].data - data);
        if (begin < at)
            return sg_fail(err, SG_E_INPUT,
                           "%s: tensor %s overlaps %s: it begins at byte %zu, the other ends at %zu", path,
                           t[i].name, before, begin, at);
        if (begin > at)
            return sg_fail(err, SG_E_INPUT, "%s: %zu unused bytes between %s and tensor %s", path, begin - at,
                           before, t[i].name);
        at = begin + t[i].bytes;
        before = t[i].name;
    }
    if (at != data_bytes)
        return sg_fail(err, SG_E_INPUT, "%s: %zu bytes after the last tensor (%s)", path, data_bytes - at,
                       before);
    return SG_OK;
}

static enum sg_status header_length(const unsigned char *bytes, size_t size, const char *path, size_t *out,
                                    struct sg_err *err) {
    uint64_t n = 0;
    if (size < 8)
        return sg_fail(err, SG_E_INPUT, "%s: %zu bytes are too few for a safetensors file", path, size);
    for (int i = 7; i >= 0; i--) n = n << 8 | bytes[i];
    if (n > HEADER_MAX)
        return sg_fail(err, SG_E_INPUT, "%s: a header of %" PRIu64 " bytes; at most %" PRIu64 " are accepted",
                       path, n, HEADER_MAX);
    if (n > size - 8)
        return sg_fail(err, SG_E_INPUT, "%s: a header of %" PRIu64 " bytes in a file of %zu", path, n, size);
    *out = (size_t)n;
    return SG_OK;
}

enum sg_status sg_safetensors_parse(const unsigned char *bytes, size_t size, const char *path,
                                    struct sg_arena *arena, struct sg_tensor **out, size_t *n,
                                    struct sg_err *err) {
    enum sg_status st;
    cJSON *doc = NULL;
    struct sg_buf text = {0}; /* a copy: in the mapping, the byte after the header may not be readable */
    struct sg_tensor *list = NULL;
    size_t head = 0, count = 0;
    SG_TRY(header_length(bytes, size, path, &head, err));
    const unsigned char *data = bytes + 8 + head;
    const size_t data_bytes = size - 8 - head;
    SG_TRY(sg_buf_add(&text, bytes + 8, head, err));
    SG_TRY(sg_json_parse(text.data, text.len, path, 1, &doc, err));
    if (!cJSON_IsObject(doc)) {
        st = sg_fail(err, SG_E_INPUT, "%s: the header is not a JSON object", path);
        goto out;
    }
    for (const cJSON *e = doc->child; e; e = e->next) count++;
    SG_TRY(sg_arena_get(arena, (count + 1) * sizeof *list, (void **)&list, err));
    count = 0;
    for (const cJSON *e = doc->child; e; e = e->next) {
        if (!strcmp(e->string, "__metadata__")) continue;
        SG_TRY(read_tensor(e, data, data_bytes, path, arena, &list[count++], err));
    }
    SG_TRY(check_tiling(list, count, data, data_bytes, path, err));
    *out = list;
    *n = count;
out:
    cJSON_Delete(doc);
    sg_buf_free(&text);
    return st;
}

/* ---- a checkpoint directory -------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct sg_tensor *)a)->name, ((const struct sg_tensor *)b)->name);
}

static int by_string(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Maps and parses files[0..n_files) and joins their tensors, sorted by name. */
static enum sg_status read_files(const char *dir, const char *const *files, int32_t n_files,
                                 struct sg_safetensors *s, struct sg_err *err) {
    enum sg_status st;
    struct sg_tensor **lists = NULL;
    size_t *counts = NULL, total = 0;
    char *path = NULL;
    SG_TRY(sg_arena_get(&s->arena, (size_t)n_files * sizeof *s->paths, (void **)&s->paths, err));
    SG_TRY(sg_arena_get(&s->arena, (size_t)n_files * sizeof *s->maps, (void **)&s->maps, err));
    SG_TRY(sg_arena_get(&s->arena, (size_t)n_files * sizeof *lists, (void **)&lists, err));
    SG_TRY(sg_arena_get(&s->arena, (size_t)n_files * sizeof *counts, (void **)&counts, err));
    s->n_files = n_files;
    for (int32_t i = 0; i < n_files; i++) {
        SG_TRY(sg_path_join(dir, files[i], &path, err));
        SG_TRY(sg_arena_dup(&s->arena, path, strlen(path), &s->paths[i], err));
        free(path);
        path = NULL;
        SG_TRY(sg_map_open(s->paths[i], &s->maps[i], err));
        SG_TRY(sg_safetensors_parse(s->maps[i].data, s->maps[i].size, s->paths[i], &s->arena, &lists[i],
                                    &counts[i], err));
        for (size_t k = 0; k < counts[i]; k++) lists[i][k].file = i;
        total += counts[i];
    }
    SG_TRY(sg_arena_get(&s->arena, (total + 1) * sizeof *s->tensors, (void **)&s->tensors, err));
    for (int32_t i = 0; i < n_files; i++) {
        memcpy(s->tensors + s->n, lists[i], counts[i] * sizeof **lists);
        s->n += counts[i];
    }
    qsort(s->tensors, s->n, sizeof *s->tensors, by_name);
    for (size_t i = 1; i < s->n; i++)
        if (!strcmp(s->tensors[i - 1].name, s->tensors[i].name)) {
            st = sg_fail(err, SG_E_INPUT, "%s: tensor %s stands in %s too", s->paths[s->tensors[i].file],
                         s->tensors[i].name, s->paths[s->tensors[i - 1].file]);
            goto out;
        }
out:
    free(path);
    return st;
}

/* The distinct files that weight_map names, sorted. Names with a slash are refused, so that an index cannot
 * refer to files outside its directory, and other names than *.safetensors, so that it cannot name files that
 * mean something else where the weights are copied to. */
static enum sg_status index_files(const struct sg_json *map, struct sg_arena *arena, const char ***out,
                                  int32_t *n, struct sg_err *err) {
    enum sg_status st;
    const char **names = NULL;
    size_t count = 0, kept = 0;
    for (const cJSON *e = map->node->child; e; e = e->next) count++;
    SG_TRY(sg_arena_get(arena, (count + 1) * sizeof *names, (void **)&names, err));
    count = 0;
    for (const cJSON *e = map->node->child; e; e = e->next) {
        if (!cJSON_IsString(e) || strchr(e->valuestring, '/') ||
            !sg_ends_with(e->valuestring, ".safetensors"))
            return sg_fail(err, SG_E_INPUT,
                           "%s: weight_map.%s must name a file *.safetensors in the same directory",
                           map->where, e->string);
        names[count++] = e->valuestring;
    }
    if (count == 0 || count > INT32_MAX)
        return sg_fail(err, SG_E_INPUT, "%s: weight_map lists %zu tensors", map->where, count);
    qsort(names, count, sizeof *names, by_string);
    for (size_t i = 0; i < count; i++)
        if (!kept || strcmp(names[kept - 1], names[i]) != 0) names[kept++] = names[i];
    *out = names;
    *n = (int32_t)kept;
out:
    return st;
}

/* Checks index against shards: every tensor is in the file that its entry names, and none is unlisted. */
static enum sg_status check_index(const struct sg_json *map, const char *const *files,
                                  const struct sg_safetensors *s, struct sg_err *err) {
    size_t listed = 0;
    for (const cJSON *e = map->node->child; e; e = e->next, listed++) {
        const struct sg_tensor *t = sg_safetensors_find(s, e->string);
        if (!t)
            return sg_fail(err, SG_E_INPUT,
                           "%s: weight_map says that tensor %s is in %s, but it is in no shard", map->where,
                           e->string, e->valuestring);
        if (strcmp(files[t->file], e->valuestring) != 0)
            return sg_fail(err, SG_E_INPUT, "%s: weight_map says that tensor %s is in %s, but it is in %s",
                           map->where, e->string, e->valuestring, files[t->file]);
    }
    if (listed == s->n) return SG_OK;
    for (size_t i = 0; i < s->n; i++)
        if (!cJSON_GetObjectItemCaseSensitive(map->node, s->tensors[i].name))
            return sg_fail(err, SG_E_INPUT, "%s: weight_map does not list tensor %s of %s", map->where,
                           s->tensors[i].name, files[s->tensors[i].file]);
    return SG_OK;
}

static enum sg_status open_sharded(const char *dir, const char *index_path, struct sg_safetensors *s,
                                   struct sg_err *err) {
    enum sg_status st;
    struct sg_buf text = {0};
    cJSON *doc = NULL;
    struct sg_json map;
    const char **files = NULL;
    int32_t n_files = 0;
    SG_TRY(sg_file_read(index_path, INDEX_MAX_BYTES, &text, err));
    SG_TRY(sg_json_parse(text.data, text.len, index_path, 1, &doc, err));
    const struct sg_json root = {.node = doc, .where = index_path, .path = ""};
    SG_TRY(sg_json_member(&root, "weight_map", true, &map, err));
    if (!cJSON_IsObject(map.node)) {
        st = sg_fail(err, SG_E_INPUT, "%s: weight_map must be an object", index_path);
        goto out;
    }
    SG_TRY(index_files(&map, &s->arena, &files, &n_files, err));
    SG_TRY(read_files(dir, files, n_files, s, err));
    SG_TRY(check_index(&map, files, s, err));
out:
    cJSON_Delete(doc);
    sg_buf_free(&text);
    return st;
}

enum sg_status sg_safetensors_open(const char *dir, struct sg_safetensors *out, struct sg_err *err) {
    enum sg_status st;
    struct sg_safetensors s = {0};
    char *single = NULL, *index_path = NULL;
    SG_TRY(sg_path_join(dir, "model.safetensors", &single, err));
    SG_TRY(sg_path_join(dir, "model.safetensors.index.json", &index_path, err));
    if (sg_file_exists(single)) {
        const char *const one[] = {"model.safetensors"};
        SG_TRY(read_files(dir, one, 1, &s, err));
    } else if (sg_file_exists(index_path)) {
        SG_TRY(open_sharded(dir, index_path, &s, err));
    } else {
        st = sg_fail(err, SG_E_INPUT, "%s: holds neither model.safetensors nor model.safetensors.index.json",
                     dir);
        goto out;
    }
    *out = s;
out:
    free(single);
    free(index_path);
    if (st != SG_OK) sg_safetensors_close(&s);
    return st;
}

void sg_safetensors_close(struct sg_safetensors *s) {
    if (!s) return;
    for (int32_t i = 0; i < s->n_files && s->maps; i++) sg_map_close(&s->maps[i]);
    sg_arena_free(&s->arena);
    memset(s, 0, sizeof *s);
}

const struct sg_tensor *sg_safetensors_find(const struct sg_safetensors *s, const char *name) {
    const struct sg_tensor key = {.name = name};
    return s->n ? bsearch(&key, s->tensors, s->n, sizeof *s->tensors, by_name) : NULL;
}
