#include "model/digest.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/safetensors.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const size_t PIECE = (size_t)32 << 20;
enum { MAX_THREADS = 64 };

struct piece {
    const unsigned char *data;
    size_t bytes;
    struct sg_digest digest;
};
struct work {
    struct piece *pieces;
    size_t n;
    atomic_size_t next;
};

static void *hash_pieces(void *arg) {
    struct work *w = arg;
    for (size_t i; (i = atomic_fetch_add(&w->next, 1)) < w->n;)
        w->pieces[i].digest = sg_digest_bytes(w->pieces[i].data, w->pieces[i].bytes);
    return NULL;
}

/* Fewer threads than wished are no error: the caller works too. */
static void run_threads(struct work *w, int threads) {
    pthread_t t[MAX_THREADS];
    int started = 0;
    for (; started < threads - 1 && started < MAX_THREADS; started++)
        if (pthread_create(&t[started], NULL, hash_pieces, w) != 0) break;
    hash_pieces(w);
    for (int i = 0; i < started; i++) pthread_join(t[i], NULL);
}

static enum sg_status add_file(struct sg_hasher *h, const char *name, const struct sg_map *map, int threads,
                               struct sg_err *err) {
    enum sg_status st;
    struct work w = {.n = (map->size + PIECE - 1) / PIECE};
    SG_TRY(SG_NEW(&w.pieces, w.n, "file pieces", err));
    for (size_t i = 0; i < w.n; i++) {
        w.pieces[i].data = map->data + i * PIECE;
        w.pieces[i].bytes = i + 1 < w.n ? PIECE : map->size - i * PIECE;
    }
    atomic_init(&w.next, 0);
    run_threads(&w, threads);
    sg_hasher_str(h, name);
    sg_hasher_i64(h, (int64_t)map->size);
    for (size_t i = 0; i < w.n; i++) {
        sg_hasher_i64(h, (int64_t)w.pieces[i].digest.hi);
        sg_hasher_i64(h, (int64_t)w.pieces[i].digest.lo);
    }
out:
    free(w.pieces);
    return st;
}

static enum sg_status add_named(struct sg_hasher *h, const char *dir, const char *name, int threads,
                                struct sg_err *err) {
    enum sg_status st;
    struct sg_map map = {0};
    char *path = NULL;
    SG_TRY(sg_path_join(dir, name, &path, err));
    if (sg_file_exists(path)) {
        SG_TRY(sg_map_open(path, &map, err));
        SG_TRY(add_file(h, name, &map, threads, err));
    }
out:
    sg_map_close(&map);
    free(path);
    return st;
}

enum sg_status sg_model_digest(const char *dir, int threads, struct sg_digest *out, struct sg_err *err) {
    static const char *const small[] = {"config.json", "generation_config.json", "tokenizer.json",
                                        "model.safetensors.index.json"};
    enum sg_status st;
    struct sg_safetensors files = {0};
    struct sg_hasher *h = NULL;
    if (threads <= 0) threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    SG_TRY(sg_safetensors_open(dir, &files, err));
    SG_TRY(sg_hasher_new(&h, err));
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        SG_TRY(add_named(h, dir, small[i], threads, err));
    for (int32_t i = 0; i < files.n_files; i++) {
        const char *slash = strrchr(files.paths[i], '/');
        SG_TRY(add_file(h, slash ? slash + 1 : files.paths[i], &files.maps[i], threads, err));
    }
    *out = sg_hasher_end(h);
out:
    sg_hasher_free(h);
    sg_safetensors_close(&files);
    return st;
}
