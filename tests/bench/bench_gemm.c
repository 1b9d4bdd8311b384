/* bench_gemm - what it costs that a linear layer of the cuda backend uses algorithms of equal bits alone, so
 * that rows do not change with the batch: for the shapes of Qwen3-4B and M rows, the rate of
 * sg__rt_gemm and that of cuBLASLt's own choice for this very M, split along k or not, and their ratio.
 *
 *   bench_gpu_gemm [--small] [JSON]    a table; JSON: a file for the same as one object. --small: shapes that
 * the emulation can do; its rates say nothing
 *
 * Weights come from memory as they do in a model: calls go round an arena larger than any cache. The values
 * are random: zeros would cost less power, and so clock higher. */
#include "kernels/cuda/launch.h"
#include "kernels/cuda/rt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { CALLS = 12, ROUNDS = 3, SMALL = 64 };

static const struct shape {
    const char *name;
    int64_t n, k;
    bool y_f32;
} shapes[] = {{"q,k,v", 6144, 2560, false},
              {"o", 2560, 4096, false},
              {"gate,up", 19456, 2560, false},
              {"down", 2560, 9728, false},
              {"head", 151936, 2560, true}};
/* 1,856: the 1,816 rows of 227 cells of 8 samples, padded */
static const int64_t rows[] = {64, 128, 256, 512, 1024, 1856, 4096};
static const size_t most_bytes = (size_t)2 << 30; /* of results: the head at 4,096 rows is left out */

struct arena {
    struct sg__rt *rt;
    void *w, *x, *y;
    size_t w_bytes;
};

/* CALLS products one after another; *ns: one of them, the best of ROUNDS. */
static enum sg_status time_product(const struct arena *a, const struct shape *s, int64_t m, bool any,
                                   double *ns, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const size_t one = (size_t)s->n * (size_t)s->k * 2, copies = a->w_bytes / one;
    *ns = 0;
    for (int r = 0; r <= ROUNDS; r++) { /* the first warms up */
        double all;
        SG_TRY(sg__rt_mark(a->rt, 0, err));
        for (size_t c = 0; c < CALLS; c++) {
            const char *w = (const char *)a->w + c % copies * one;
            SG_TRY((any ? sg__rt_gemm_any : sg__rt_gemm)(a->rt, a->y, s->y_f32, a->x, w, m, s->n, s->k, err));
        }
        SG_TRY(sg__rt_mark(a->rt, 1, err));
        SG_TRY(sg__rt_between(a->rt, 0, 1, &all, err));
        if (r > 0 && (*ns == 0 || all / CALLS < *ns)) *ns = all / CALLS;
    }
out:
    return st;
}

/* Random weights over all of p, made by the device. */
static enum sg_status fill(struct sg__rt *rt, void *p, size_t bytes, uint64_t key, struct sg_err *err) {
    const int code = sg__launch_random(p, NULL, 1, (int32_t)(bytes / 2), key, sg__rt_stream(rt));
    return code ? sg_fail(err, SG_E_DEVICE, "random weights: %s", sg__rt_error(code)) : SG_OK;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* The file is whole after every product: whoever ends this early has those that were measured. */
static const char end_of_list[] = "]}\n";
static void put_product(FILE *json, bool first, const struct shape *s, int64_t m, double one, double any) {
    fseek(json, -(long)strlen(end_of_list), SEEK_CUR);
    fprintf(json,
            "%s{\"product\": \"%s\", \"n\": %" PRId64 ", \"k\": %" PRId64 ", \"m\": %" PRId64
            ", \"one_tflops\": %.6g, \"any_tflops\": %.6g}%s",
            first ? "" : ", ", s->name, s->n, s->k, m, one, any, end_of_list);
    fflush(json);
}

static enum sg_status bench(struct sg__rt *rt, bool small, FILE *json, struct sg_err *err) {
    enum sg_status st;
    const int64_t by = small ? SMALL : 1;
    const size_t n_rows = small ? 2 : sizeof rows / sizeof *rows, n_shapes = sizeof shapes / sizeof *shapes;
    struct arena a = {.rt = rt, .w_bytes = small ? (size_t)1 << 20 : (size_t)1 << 30};
    size_t x = 0, y = 0;
    bool first = true;
    for (size_t i = 0; i < n_shapes; i++)
        for (size_t r = 0; r < n_rows; r++) {
            const size_t out = (size_t)(rows[r] * (shapes[i].n / by)) * (shapes[i].y_f32 ? 4 : 2);
            x = larger(x, (size_t)(rows[r] * (shapes[i].k / by)) * 2);
            if (out <= most_bytes) y = larger(y, out);
        }
    SG_TRY(sg__rt_alloc(rt, a.w_bytes, "weights", &a.w, err));
    SG_TRY(sg__rt_alloc(rt, x, "inputs", &a.x, err));
    SG_TRY(sg__rt_alloc(rt, y, "results", &a.y, err));
    SG_TRY(fill(rt, a.w, a.w_bytes, 1, err));
    SG_TRY(fill(rt, a.x, x, 2, err));
    printf("%-8s %7s %6s %6s %12s %12s %9s\n", "product", "N", "K", "M", "one, Tflop/s", "any, Tflop/s",
           "one / any");
    for (size_t i = 0; i < n_shapes; i++)
        for (size_t r = 0; r < n_rows; r++) {
            struct shape s = shapes[i];
            double one, any;
            s.n /= by, s.k /= by;
            if ((size_t)(rows[r] * s.n) * (s.y_f32 ? 4 : 2) > most_bytes) continue;
            SG_TRY(time_product(&a, &s, rows[r], false, &one, err));
            SG_TRY(time_product(&a, &s, rows[r], true, &any, err));
            const double flops = 2e-3 * (double)rows[r] * (double)s.n * (double)s.k; /* per ns: Tflop/s */
            printf("%-8s %7" PRId64 " %6" PRId64 " %6" PRId64 " %12.1f %12.1f %9.3f\n", s.name, s.n, s.k,
                   rows[r], flops / one, flops / any, any / one);
            if (json) put_product(json, first, &s, rows[r], flops / one, flops / any);
            fflush(stdout);
            first = false;
        }
out:
    sg__rt_free(rt, a.w);
    sg__rt_free(rt, a.x);
    sg__rt_free(rt, a.y);
    return st;
}

int main(int argc, char **argv) {
    struct sg__rt *rt = NULL;
    struct sg__rt_info info;
    struct sg_err err = {0};
    FILE *json = NULL;
    int at = 1;
    const bool small = at < argc && !strcmp(argv[at], "--small");
    at += small;
    if (argc > at + 1) {
        fprintf(stderr, "usage: %s [--small] [JSON]\n", argv[0]);
        return 2;
    }
    if (at < argc && !(json = fopen(argv[at], "w"))) {
        perror(argv[at]);
        return 1;
    }
    enum sg_status st = sg__rt_open(0, &rt, &info, &err);
    if (st == SG_OK) {
        printf("%s\n", info.name);
        if (json) fprintf(json, "{\"device\": \"%s\", \"products\": [%s", info.name, end_of_list);
        st = bench(rt, small, json, &err);
    }
    if (json && fclose(json) && st == SG_OK) st = sg_fail(&err, SG_E_IO, "%s: not written", argv[at]);
    if (st != SG_OK) fprintf(stderr, "%s\n", err.text);
    sg__rt_close(rt);
    return st != SG_OK;
}
