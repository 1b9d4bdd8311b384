#define _GNU_SOURCE
/* frontier.h5: written with any bytes as ids and values, and given to the reader of results with some of its bytes changed.
 * The first byte says how many changes follow, four bytes each as in fuzz_results.c; the rest are ids, a zero byte between
 * two. The writer makes the file or says why not in one line; the reader refuses it in one line. */
#include "base/file.h"
#include "store/frontier_file.h"
#include "store/h5_checksum.h"
#include "store/results.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_IDS = 8 };

static void judge(enum sg_status st, const char *path, const struct sg_err *err) {
    if (st != SG_OK && (!strstr(err->text, path) || strchr(err->text, '\n'))) abort();
}

/* What scope-frontier writes, in small: an axis of ids, one without coordinates, columns of each type. */
static enum sg_status make(const char *path, char **ids, int64_t n, const double *values,
                           struct sg_err *err) {
    const int32_t numbers[MAX_IDS] = {-1, INT32_MAX};
    const struct sg_frontier_axis axes[] = {{.name = "model", .n = n, .strings = ids, .long_name = "models"},
                                            {.name = "point", .n = n, .values = values, .units = "USD"},
                                            {.name = "none", .n = 0}};
    const struct sg_frontier_var vars[] = {
        {"name", SG_FRONTIER_STRING, 1, {"model"}, ids, NULL, "names"},
        {"accuracy", SG_FRONTIER_F64, 1, {"point"}, values, "1", NULL},
        {"model_of", SG_FRONTIER_I32, 1, {"point"}, numbers, NULL, NULL},
        {"left_out", SG_FRONTIER_F64, 2, {"none", "point"}, values, NULL, NULL}};
    const struct sg_frontier_attr attrs[] = {{"title", n ? ids[0] : ""}};
    return sg_frontier_file_write(path, axes, 3, vars, 4, attrs, 1, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int fd = -1;
    char folder[] = "/dev/shm/sg-fuzz-XXXXXX", path[64]; /* in memory: the writer syncs */
    char *ids[MAX_IDS], *text = malloc(size + 2), image[64];
    double values[MAX_IDS] = {0};
    int64_t n = 0;
    struct sg_err err = {0};
    struct sg_map map = {0};
    if (!text) abort();
    if (fd < 0 && (fd = memfd_create("frontier", MFD_CLOEXEC)) < 0) abort();
    if (!mkdtemp(folder)) abort();
    snprintf(path, sizeof path, "%s/frontier.h5", folder);
    snprintf(image, sizeof image, "/proc/self/fd/%d", fd);
    const size_t wanted = size ? data[0] : 0, changes = 4 * wanted < size ? wanted : size / 4;
    const size_t at = size ? 1 + 4 * changes : 0, left = size > at ? size - at : 0;
    if (left) memcpy(text, data + at, left);
    text[left] = text[left + 1] = 0;
    for (size_t i = 0; i < left && n < MAX_IDS; i += strlen(text + i) + 1) {
        ids[n] = text + i;
        memcpy(&values[n], text + i, left - i < sizeof *values ? left - i : sizeof *values);
        n++;
    }

    enum sg_status st = make(path, ids, n, values, &err);
    judge(st, path, &err);
    if (st == SG_OK) {
        if (sg_map_open(path, &map, &err) != SG_OK || map.size < SG_H5_CHECKSUM_BYTES) abort();
        const size_t bytes = map.size - SG_H5_CHECKSUM_BYTES;
        uint8_t *copy = malloc(bytes);
        if (!copy) abort();
        memcpy(copy, map.data, bytes);
        sg_map_close(&map);
        for (size_t i = 1; i + 4 <= size && i < 1 + 4 * changes; i += 4)
            copy[((size_t)data[i] | (size_t)data[i + 1] << 8 | (size_t)data[i + 2] << 16) % bytes] =
                data[i + 3];
        if (ftruncate(fd, 0) != 0 || pwrite(fd, copy, bytes, 0) != (ssize_t)bytes) abort();
        free(copy);
        const char *const files[] = {path, image};
        for (int i = 0; i < 2; i++) {
            struct sg_results r = {0};
            const enum sg_status refused = sg_results_read(files[i], SG_RESULTS_CELLS, &r, &err);
            if (refused == SG_OK) abort();
            judge(refused, files[i], &err);
            sg_results_free(&r);
        }
    }
    if (st == SG_OK && unlink(path) != 0) abort();
    if (rmdir(folder) != 0) abort(); /* nothing else is left in it */
    free(text);
    return 0;
}
