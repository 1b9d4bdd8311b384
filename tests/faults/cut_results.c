/* cut_results FILE TIMES SEED: copies of a results file, each cut at a random place or with one bit flipped.
 * Reading must refuse every one, with a message that names the file; a copy that is read is a failure, for
 * its values might be wrong. (No cut falls right before the seal: that is a whole file as other tools leave
 * it.) Prints how many of each were refused. */
#include "base/file.h"
#include "base/rng.h"
#include "store/h5_checksum.h"
#include "store/results.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct sg_map map = {0};
    struct sg_err err = {0};
    struct sg_results r;
    char path[4096];
    if (argc != 4) return 2;
    const long long times = atoll(argv[2]);
    const uint64_t seed = strtoull(argv[3], NULL, 10);
    if (sg_map_open(argv[1], &map, &err) != SG_OK ||
        sg_results_read(argv[1], SG_RESULTS_CELLS | SG_RESULTS_SAMPLES, &r, &err) != SG_OK) {
        fprintf(stderr, "cut_results: %s\n", err.text);
        return 1;
    }
    sg_results_free(&r);
    snprintf(path, sizeof path, "%s.damaged", argv[1]);
    unsigned char *copy = malloc(map.size);
    if (!copy) return 1;
    long long refused[2] = {0}, accepted = 0, unnamed = 0;
    for (long long i = 0; i < 2 * times; i++) {
        const int flip = i % 2 != 0;
        uint64_t at = sg_random64(seed, (uint64_t)i) % map.size;
        if (!flip && at == map.size - SG_H5_CHECKSUM_BYTES) at--;
        memcpy(copy, map.data, map.size);
        if (flip) copy[at] ^= (unsigned char)(1u << (sg_random64(~seed, (uint64_t)i) & 7));
        FILE *f = fopen(path, "wb");
        const size_t n = flip ? map.size : (size_t)at;
        if (!f || fwrite(copy, 1, n, f) != n || fclose(f) != 0) {
            perror(path);
            return 1;
        }
        memset(&err, 0, sizeof err);
        if (sg_results_read(path, SG_RESULTS_CELLS | SG_RESULTS_SAMPLES, &r, &err) == SG_OK) {
            printf("ACCEPTED although %s at byte %llu of %zu\n", flip ? "one bit was flipped" : "cut",
                   (unsigned long long)at, map.size);
            sg_results_free(&r);
            accepted++;
            continue;
        }
        refused[flip]++;
        unnamed += !strstr(err.text, path);
    }
    unlink(path);
    free(copy);
    sg_map_close(&map);
    printf("results file: %lld cuts and %lld flipped bits refused, %lld accepted, %lld without the file's "
           "name\n",
           refused[0], refused[1], accepted, unnamed);
    return accepted > 0 || unnamed > 0;
}
