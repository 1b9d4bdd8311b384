#define _GNU_SOURCE
/* A small results file with some of its bytes changed, and without its checksum (a fuzzer cannot make that): each four
 * bytes of the input are a place (three, little-endian, modulo the file) and the byte that stands there. It is read in
 * every way. Whatever HDF5 does in the child that reads first, this process ends with results or with one line. */
#include "base/file.h"
#include "store/h5_checksum.h"
#include "store/results.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { Q = 2, M = 2, S = 2 };

static void must(enum sg_status st) {
    if (st != SG_OK) abort();
}

static int make(unsigned char **bytes, size_t *size) {
    static char *ids[] = {"first", "second"}, *none[] = {"", ""};
    char path[] = "/tmp/sg-fuzz-XXXXXX";
    struct sg_results r;
    struct sg_err err = {0};
    struct sg_map map;
    const int fd = mkstemp(path);
    must(sg_results_alloc(&r, Q, M, S, true, &err));
    memcpy(r.query, ids, sizeof ids);
    memcpy(r.model, ids, sizeof ids);
    memcpy(r.category, none, sizeof none);
    must(sg_results_alloc_anchors(&r, 2, &err));
    memcpy(r.anchors.id, ids, sizeof ids);
    memcpy(r.anchors.category, none, sizeof none);
    r.job_text = r.name = r.version = ids[0];
    must(sg_results_write(path, &r, &err));
    must(sg_map_open(path, &map, &err));
    *size = map.size - SG_H5_CHECKSUM_BYTES;
    *bytes = malloc(*size);
    if (!*bytes) abort();
    memcpy(*bytes, map.data, *size);
    sg_map_close(&map);
    sg_results_free(&r);
    unlink(path);
    close(fd);
    return memfd_create("results", MFD_CLOEXEC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static unsigned char *base, *copy;
    static size_t n;
    static int fd = -1;
    static char path[64];
    if (!base) {
        fd = make(&base, &n);
        copy = malloc(n);
        if (!copy || fd < 0) abort();
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    memcpy(copy, base, n);
    for (size_t i = 0; i + 4 <= size; i += 4)
        copy[((size_t)data[i] | (size_t)data[i + 1] << 8 | (size_t)data[i + 2] << 16) % n] = data[i + 3];
    if (ftruncate(fd, 0) != 0 || pwrite(fd, copy, n, 0) != (ssize_t)n) abort();

    const unsigned parts[] = {0, SG_RESULTS_CELLS, SG_RESULTS_VERIFY};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct sg_results r = {0};
        struct sg_err err = {0};
        const enum sg_status st = sg_results_read(path, parts[i], &r, &err);
        if (st != SG_OK && (!strstr(err.text, path) || strchr(err.text, '\n'))) abort();
        if (st == SG_OK && (r.n_queries < 1 || r.n_models < 1 || !r.query[r.n_queries - 1])) abort();
        sg_results_free(&r);
        if (st != SG_OK && strstr(err.text, "for more than")) break; /* its ten seconds: once is enough */
    }
    return 0;
}
