/* bench_frontier [QUERIES MODELS [REPLICATES [blind]]]: time and memory of the whole analysis on made-up results. Without
 * arguments: 1e4, 1e5, 1e6 cells of 100 models (1e7: bench_frontier 100000 100), each with what N M log(N M) makes of
 * the time. Goals at 1e7 cells: all but the bootstrap under 10 s on one core and under 4 GB; 1,000 replicates under
 * 30 s on 2 cores. Times: CPU of this process, and wall. */
#include "analysis/analysis_run.h"
#include "analysis/fake.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct times {
    double cpu, wall;
};
static struct times now(void) {
    struct rusage u;
    struct timespec t;
    getrusage(RUSAGE_SELF, &u);
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (struct times){(double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec * 1e-6 +
                              (double)u.ru_stime.tv_sec + (double)u.ru_stime.tv_usec * 1e-6,
                          (double)t.tv_sec + (double)t.tv_nsec * 1e-9};
}

static int check(enum sg_status st, const struct sg_err *err) {
    if (st != SG_OK) fprintf(stderr, "%s\n", err->text);
    return st == SG_OK;
}

static int one(int64_t n, int64_t m, int64_t reps, bool blind) {
    struct sg_results r = {0};
    struct sg_dataset d = {0};
    struct sg_analysis a = {0};
    struct sg_err err = {0};
    const struct fake f = {.n = n,
                           .m = m,
                           .seed = 1,
                           .truth = !blind,
                           .noise = 0.6,
                           .missing = 0.01,
                           .categories = 8,
                           .anchors = 250,
                           .calibrated = 64};
    const struct sg_advice_options wanted = {.estimate = -1, .seed = 1, .n_grid = 41, .margin = 0.01};
    struct sg_advice advice = {0};
    const struct sg_dataset_spec spec = {0};
    struct sg_analysis_options opt = {
        .advice = &advice, .alphas = 101, .seed = 1, .threads = 1, .n_grid = 101};
    if (!check(fake_results(&f, &r, &err), &err)) return 1;
    const struct times t0 = now();
    if (!check(sg_dataset_open(&r, "fake", &spec, &d, &err), &err)) return 1;
    if (!check(sg_advise(&d, &wanted, &advice, &err), &err)) return 1;
    const struct times ta = now();
    if (!check(sg_analysis_run(&d, &opt, &a, &err), &err)) return 1;
    const struct times t1 = now();
    const int64_t steps = a.scope.n_steps;
    sg_analysis_free(&a);
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    const double cells = (double)n * (double)m;
    printf("%10.0f cells  analysis %8.3f s CPU (%5.2f ns x NM log2 NM)  %9lld steps  peak %7.1f MB  decision "
           "%.3f s CPU",
           cells, t1.cpu - t0.cpu, (t1.cpu - t0.cpu) * 1e9 / (cells * log2(cells)), (long long)steps,
           (double)u.ru_maxrss / 1024, ta.cpu - t0.cpu);
    if (reps) {
        opt.reps = reps;
        opt.threads = 2;
        const struct times t2 = now();
        if (!check(sg_analysis_run(&d, &opt, &a, &err), &err)) return 1;
        const struct times t3 = now();
        sg_analysis_free(&a);
        printf("  %lld replicates %+8.3f s wall on 2 threads (%.3f s CPU)", (long long)reps,
               (t3.wall - t2.wall) - (t1.wall - ta.wall), (t3.cpu - t2.cpu) - (t1.cpu - ta.cpu));
    }
    printf("\n");
    sg_advice_free(&advice);
    sg_dataset_free(&d);
    sg_results_free(&r);
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 2) return one(atoll(argv[1]), atoll(argv[2]), argc > 3 ? atoll(argv[3]) : 0, argc > 4);
    for (int64_t n = 100; n <= 10000; n *= 10) {
        fflush(stdout);
        const pid_t child = fork(); /* a process each: its own peak memory */
        if (child == 0) _exit(one(n, 100, 1000, false) || fflush(stdout));
        int status;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) return 1;
    }
    return 0;
}
