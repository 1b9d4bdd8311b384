/* make_fake_results FILE n m samples seed truth(0|1) noise missing categories [anchors calibrated]: a results file of
 * known law. */
#include "fake.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    struct sg_err err = {0};
    struct sg_results r = {0};
    if (argc != 10 && argc != 12)
        return fprintf(
                   stderr,
                   "usage: %s FILE n m samples seed truth noise missing categories [anchors calibrated]\n",
                   argv[0]),
               2;
    const struct fake f = {.n = atoll(argv[2]),
                           .m = atoll(argv[3]),
                           .samples = atoll(argv[4]),
                           .seed = (uint64_t)atoll(argv[5]),
                           .truth = atoi(argv[6]) != 0,
                           .noise = atof(argv[7]),
                           .pure_noise = atof(argv[7]) < 0,
                           .missing = atof(argv[8]),
                           .categories = atoi(argv[9]),
                           .anchors = argc == 12 ? atoll(argv[10]) : 0,
                           .calibrated = argc == 12 ? atoll(argv[11]) : 0};
    enum sg_status st = fake_results(&f, &r, &err);
    if (st == SG_OK) st = sg_results_write(argv[1], &r, &err);
    sg_results_free(&r);
    if (st != SG_OK) fprintf(stderr, "%s\n", err.text);
    return sg_status_exit_code(st);
}
