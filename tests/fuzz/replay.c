/* replay - drives a fuzz entry without libFuzzer: every file named, every file of every folder named, and a
 * fixed number of seeded mutations of each (bytes flipped, cut, doubled), so that gcc builds and their
 * sanitizers run the same entries. */
#include "base/file.h"
#include "base/rng.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MUTATIONS = 200, MAX_BYTES = 1 << 24 };
static uint64_t counter; /* position in the stream of mutations; the program is one thread */

static size_t draw(size_t below) {
    return (size_t)(sg_random64(1, counter++) % (below ? below : 1));
}

/* An exact-size copy, so that a sanitizer sees a read behind the end. */
static void run(const char *data, size_t n) {
    uint8_t *copy = calloc(n ? n : 1, 1);
    if (!copy) abort();
    memcpy(copy, data, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static void mutate(struct sg_buf *b) {
    struct sg_err err = {0};
    size_t at = draw(b->len);
    static const char bytes[] = "\"{}[]:,\\u0-9e.tfn\n \xC3\xFF";
    switch (draw(5)) {
    case 0:
        if (b->len) b->data[at] = (char)draw(256);
        break;
    case 1:
        if (b->len) b->data[at] = bytes[draw(sizeof bytes)];
        break;
    case 2:
        if (draw(4) == 0) b->len = at;
        break;
    case 3: { /* a stretch twice */
        size_t n = draw(64);
        if (n > b->len - at) n = b->len - at;
        struct sg_buf piece = {0};
        if (sg_buf_add(&piece, b->data + at, n, &err) || sg_buf_add(b, piece.data, n, &err)) abort();
        memmove(b->data + at + n, b->data + at, b->len - n - at);
        sg_buf_free(&piece);
        break;
    }
    default: { /* a stretch less */
        size_t n = draw(16);
        if (n > b->len - at) n = b->len - at;
        memmove(b->data + at, b->data + at + n, b->len - at - n);
        b->len -= n;
        break;
    }
    }
}

static int replay_file(const char *path, bool with_mutations) {
    struct sg_err err = {0};
    struct sg_buf seed = {0}, work = {0};
    if (sg_file_read(path, MAX_BYTES, &seed, &err)) {
        fprintf(stderr, "replay: %s\n", err.text);
        sg_buf_free(&seed);
        return 1;
    }
    run(seed.data, seed.len);
    for (int m = 0; with_mutations && m < MUTATIONS; m++) {
        sg_buf_clear(&work);
        if (sg_buf_add(&work, seed.data, seed.len, &err)) abort();
        for (size_t k = 1 + draw(4); k > 0; k--) mutate(&work);
        run(work.data, work.len);
    }
    sg_buf_free(&seed);
    sg_buf_free(&work);
    return 0;
}

int main(int argc, char **argv) {
    int bad = 0;
    long files = 0;
    run("", 0);
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (!dir) {
            if (!sg_file_exists(argv[i])) continue; /* an entry without seeds */
            bad |= replay_file(argv[i], false);
            files++;
            continue;
        }
        const struct dirent *e;
        while ((e = readdir(dir))) {
            char path[4096];
            if (e->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            bad |= replay_file(path, true);
            files++;
        }
        closedir(dir);
    }
    printf("replayed %ld files\n", files);
    return bad;
}
