#include "store/runtime.h"

#include "base/file.h"
#include "base/json.h"
#include "store/schema.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>

static const struct {
    const char *name, *long_name;
    size_t offset;
} strings[] = {
    {"host", "host of the rank", offsetof(struct sg_runtime_rank, host)},
    {"device", "device of the rank", offsetof(struct sg_runtime_rank, device)},
    {"device_uuid", "the device's own name", offsetof(struct sg_runtime_rank, device_uuid)},
    {"driver", "the device's driver", offsetof(struct sg_runtime_rank, driver)},
    {"device_runtime", "libraries that drive the device", offsetof(struct sg_runtime_rank, device_runtime)},
};

#define SG_COLUMN(column, kind, unit, text, member)                                                          \
    {                                                                                                        \
        {.name = column, .type = kind, .rank = 1, .axes = {"rank"}, .units = unit, .long_name = text},       \
            offsetof(struct sg_runtime_rank, member)                                                         \
    }
static const struct {
    struct sg_h5_var var;
    size_t offset;
} numbers[] = {
    SG_COLUMN("rank_cells", SG_H5_I64, "cells", NULL, cells),
    SG_COLUMN("rank_output_tokens", SG_H5_I64, "tokens", NULL, output_tokens),
    SG_COLUMN("rank_busy_seconds", SG_H5_F64, NULL, "seconds at work", busy_seconds),
    SG_COLUMN("device_memory", SG_H5_I64, "byte", "memory of the device", device_memory),
    SG_COLUMN("product_rate", SG_H5_F64, "s-1", "operations of a matrix product a second", product_rate),
    SG_COLUMN("read_rate", SG_H5_F64, "byte s-1", "reading from the device's memory", read_rate),
    SG_COLUMN("rank_energy", SG_H5_F64, "J", "energy of the device while the rank had it", joules),
};
#undef SG_COLUMN

/* One member of every rank, gathered into a column. Both kinds of numbers and pointers have eight bytes. */
enum { WIDTH = 8 };
_Static_assert(sizeof(char *) == WIDTH && sizeof(double) == WIDTH, "columns are gathered by eight bytes");

static void gather(const struct sg_runtime *t, size_t offset, void *column) {
    for (int64_t i = 0; i < t->n_ranks; i++)
        memcpy((char *)column + i * WIDTH, (const char *)&t->ranks[i] + offset, WIDTH);
}

static enum sg_status put_ranks(struct sg_h5_out *out, hid_t g, const struct sg_runtime *t,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t *column = NULL;
    char **texts = NULL;
    SG_TRY(SG_NEW(&column, t->n_ranks, "columns of ranks", err));
    SG_TRY(SG_NEW(&texts, t->n_ranks, "columns of ranks", err));
    SG_TRY(sg_h5_write_axis(out, g, "rank", t->n_ranks, err));
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        gather(t, strings[i].offset, texts);
        SG_TRY(sg_h5_write_strings(out, g, strings[i].name, "rank", t->n_ranks, texts, strings[i].long_name,
                                   err));
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        gather(t, numbers[i].offset, column);
        SG_TRY(sg_h5_write(out, g, &numbers[i].var, column, err));
    }
out:
    free(column);
    free(texts);
    return st;
}

enum sg_status sg__results_put_runtime(struct sg_h5_out *out, const struct sg_runtime *t,
                                       struct sg_err *err) {
    enum sg_status st = SG_OK;
    hid_t g = -1;
    SG_TRY(sg_h5_group(out, out->file, "runtime", &g, err));
    if (t->started_at) SG_TRY(sg_h5_attr_str(out, g, NULL, "started_at", t->started_at, err));
    SG_TRY(sg_h5_attr_f64(out, g, NULL, "seconds", t->seconds, err));
    SG_TRY(sg_h5_attr_i64(out, g, NULL, "cells", t->cells, err));
    SG_TRY(sg_h5_attr_i64(out, g, NULL, "prompt_tokens", t->prompt_tokens, err));
    SG_TRY(sg_h5_attr_i64(out, g, NULL, "output_tokens", t->output_tokens, err));
    SG_TRY(sg_h5_attr_i64(out, g, NULL, "ranks", t->n_ranks, err));
    if (t->n_ranks) {
        SG_TRY(sg_h5_attr_f64(out, g, NULL, "energy", t->joules, err));
        SG_TRY(put_ranks(out, g, t, err));
    }
out:
    if (g >= 0) H5Gclose(g);
    return st;
}

/* ---- sums ------------------------------------------------------------------------------------------- */

static int by_device(const void *a, const void *b) {
    const struct sg_runtime_rank *const *x = a, *const *y = b;
    return strcmp((*x)->device_uuid ? (*x)->device_uuid : "", (*y)->device_uuid ? (*y)->device_uuid : "");
}

enum sg_status sg_runtime_sum(struct sg_runtime *t, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_runtime_rank **order = NULL;
    double sum = 0;
    bool known = false;
    SG_TRY(SG_NEW(&order, t->n_ranks, "ranks", err));
    for (int64_t i = 0; i < t->n_ranks; i++) order[i] = &t->ranks[i];
    qsort(order, (size_t)t->n_ranks, sizeof *order, by_device);
    for (int64_t i = 0, j; i < t->n_ranks; i = j) {
        double most = order[i]->joules;
        const bool named = order[i]->device_uuid && order[i]->device_uuid[0];
        for (j = i + 1; named && j < t->n_ranks && by_device(&order[i], &order[j]) == 0; j++)
            if (isnan(most) || order[j]->joules > most) most = order[j]->joules;
        if (isnan(most)) continue;
        sum += most;
        known = true;
    }
    t->joules = known ? sum : NAN;
out:
    free(order);
    return st;
}

/* ---- notes ------------------------------------------------------------------------------------------ */

static const char FOLDER[] = "shards", SUFFIX[] = ".json";

static enum sg_status note_text(const struct sg_runtime_rank *rank, struct sg_buf *b) {
    enum sg_status st = SG_OK;
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        const char *s;
        memcpy(&s, (const char *)rank + strings[i].offset, sizeof s);
        SG_TRY(sg_buf_printf(b, NULL, "%s\"%s\": ", i ? ", " : "{", strings[i].name));
        SG_TRY(sg_json_quote(b, s ? s : "", s ? strlen(s) : 0, NULL));
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[SG_JSON_NUMBER];
        int64_t whole;
        double v;
        memcpy(&whole, (const char *)rank + numbers[i].offset, sizeof whole);
        memcpy(&v, (const char *)rank + numbers[i].offset, sizeof v);
        sg_json_number(numbers[i].var.type == SG_H5_I64 ? (double)whole : v, text);
        SG_TRY(sg_buf_printf(b, NULL, ", \"%s\": %s", numbers[i].var.name, text));
    }
    SG_TRY(sg_buf_str(b, "}\n", NULL));
out:
    return st;
}

void sg_runtime_note(const char *run_dir, const char *name, const struct sg_runtime_rank *rank) {
    struct sg_buf b = {0}, path = {0};
    if (sg_buf_printf(&path, NULL, "%s/%s", run_dir, FOLDER) == SG_OK &&
        sg_dir_make(path.data, NULL) == SG_OK && sg_buf_printf(&path, NULL, "/%s%s", name, SUFFIX) == SG_OK &&
        note_text(rank, &b) == SG_OK)
        (void)sg_file_write_atomic(path.data, b.data, b.len, NULL);
    sg_buf_free(&path);
    sg_buf_free(&b);
}

/* False when the note is not one. */
static bool read_note(const char *path, struct sg_runtime_rank *rank, struct sg_arena *arena) {
    enum sg_status st = SG_OK;
    struct sg_buf text = {0};
    cJSON *doc = NULL;
    SG_TRY(sg_file_read_own(path, 1 << 16, &text, NULL));
    SG_TRY(sg_json_parse(text.data, text.len, path, 1, &doc, NULL));
    const struct sg_json at = {.node = doc, .where = path, .path = ""};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        const char *s = "";
        char *kept;
        SG_TRY(sg_json_get_str(&at, strings[i].name, &s, NULL));
        SG_TRY(sg_arena_dup(arena, s, strlen(s), &kept, NULL));
        memcpy((char *)rank + strings[i].offset, &kept, sizeof kept);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        double v = NAN;
        SG_TRY(sg_json_get_f64(&at, numbers[i].var.name, -1e18, 1e18, &v, NULL));
        const int64_t whole = isnan(v) ? 0 : (int64_t)v;
        memcpy((char *)rank + numbers[i].offset,
               numbers[i].var.type == SG_H5_I64 ? (const void *)&whole : (const void *)&v, WIDTH);
    }
out:
    cJSON_Delete(doc);
    sg_buf_free(&text);
    return st == SG_OK;
}

static int is_note(const struct dirent *e) {
    const size_t n = strlen(e->d_name), k = sizeof SUFFIX - 1;
    return n > k && !strcmp(e->d_name + n - k, SUFFIX);
}

enum sg_status sg_runtime_read_notes(const char *run_dir, struct sg_results *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf path = {0};
    struct dirent **names = NULL;
    int n = 0;
    int64_t read = 0;
    SG_TRY(sg_buf_printf(&path, err, "%s/%s", run_dir, FOLDER));
    n = scandir(path.data, &names, is_note, alphasort);
    free(r->runtime.ranks);
    r->runtime.ranks = NULL;
    r->runtime.n_ranks = 0;
    SG_TRY(sg_results_alloc_ranks(r, n > 0 ? n : 0, err));
    for (int i = 0; i < n; i++) {
        sg_buf_clear(&path);
        SG_TRY(sg_buf_printf(&path, err, "%s/%s/%s", run_dir, FOLDER, names[i]->d_name));
        read += read_note(path.data, &r->runtime.ranks[read], &r->strings);
    }
    r->runtime.n_ranks = read;
out:
    for (int i = 0; i < n; i++) free(names[i]);
    free(names);
    sg_buf_free(&path);
    return st;
}
