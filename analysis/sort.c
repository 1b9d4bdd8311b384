#include "sort.h"

#include "base/mem.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIGIT = 11, BUCKETS = 1 << DIGIT, PASSES = 6 };

struct item {
    uint64_t key;
    uint32_t index;
};

/* Order-preserving bits: negative numbers flipped whole, others by the sign. */
static uint64_t sortable(double x, bool falling) {
    uint64_t u;
    x += 0.0; /* -0 becomes 0 */
    memcpy(&u, &x, sizeof u);
    u ^= u >> 63 ? ~UINT64_C(0) : UINT64_C(1) << 63;
    return falling ? ~u : u;
}

static double from_sortable(uint64_t u) {
    double x;
    u ^= u >> 63 ? UINT64_C(1) << 63 : ~UINT64_C(0);
    memcpy(&x, &u, sizeof x);
    return x;
}

/* LSD radix sort of *a with *b as the other buffer; the result is in *a. Passes whose digit is the same for
 * all are skipped. */
static enum sg_status radix(struct item **a_io, struct item **b_io, int64_t n, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct item *a = *a_io, *b = *b_io;
    uint32_t(*count)[BUCKETS] = NULL;
    SG_TRY(SG_NEW(&count, PASSES, "sort counts", err));
    for (int64_t i = 0; i < n; i++)
        for (int d = 0; d < PASSES; d++) count[d][a[i].key >> (d * DIGIT) & (BUCKETS - 1)]++;
    for (int d = 0; d < PASSES && n; d++) {
        uint32_t *c = count[d], at = 0;
        if (c[a[0].key >> (d * DIGIT) & (BUCKETS - 1)] == (uint32_t)n) continue;
        for (int k = 0; k < BUCKETS; k++) {
            const uint32_t here = c[k];
            c[k] = at;
            at += here;
        }
        for (int64_t i = 0; i < n; i++) b[c[a[i].key >> (d * DIGIT) & (BUCKETS - 1)]++] = a[i];
        struct item *t = a;
        a = b;
        b = t;
    }
    *a_io = a;
    *b_io = b;
out:
    free(count);
    return st;
}

enum sg_status sg_sort_order(const double *key, int64_t n, bool falling, uint32_t *order,
                             struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct item *a = NULL, *b = NULL;
    SG_ASSERT(n >= 0 && n < (int64_t)UINT32_MAX);
    SG_TRY(SG_NEW(&a, n, "sort keys", err));
    SG_TRY(SG_NEW(&b, n, "sort keys", err));
    for (int64_t i = 0; i < n; i++)
        a[i] = (struct item){.key = sortable(key[i], falling), .index = (uint32_t)i};
    SG_TRY(radix(&a, &b, n, err));
    for (int64_t i = 0; i < n; i++) order[i] = a[i].index;
out:
    free(a);
    free(b);
    return st;
}

enum sg_status sg_sort_doubles(double *key, uint32_t *payload, int64_t n, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct item *a = NULL, *b = NULL;
    SG_ASSERT(n >= 0 && n < (int64_t)UINT32_MAX);
    SG_TRY(SG_NEW(&a, n, "sort keys", err));
    SG_TRY(SG_NEW(&b, n, "sort keys", err));
    for (int64_t i = 0; i < n; i++) a[i] = (struct item){.key = sortable(key[i], false), .index = payload[i]};
    SG_TRY(radix(&a, &b, n, err));
    for (int64_t i = 0; i < n; i++) {
        key[i] = from_sortable(a[i].key);
        payload[i] = a[i].index;
    }
out:
    free(a);
    free(b);
    return st;
}

static bool before(struct sg_point a, struct sg_point b) {
    return a.c != b.c ? a.c < b.c : a.p != b.p ? a.p > b.p : a.model < b.model;
}

/* Shell's sort (gaps of Ciura 2001). */
void sg_sort_points(struct sg_point *x, int32_t n) {
    static const int32_t gaps[] = {701, 301, 132, 57, 23, 10, 4, 1};
    for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++)
        for (int32_t i = gaps[g]; i < n; i++) {
            const struct sg_point y = x[i];
            int32_t j = i;
            for (; j >= gaps[g] && before(y, x[j - gaps[g]]); j -= gaps[g]) x[j] = x[j - gaps[g]];
            x[j] = y;
        }
}

double sg_select(double *x, int64_t n, int64_t k) {
    int64_t lo = 0, hi = n - 1;
    while (lo < hi) {
        const double a = x[lo], b = x[lo + (hi - lo) / 2], c = x[hi];
        const double pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
        int64_t i = lo, j = hi;
        while (i <= j) {
            while (x[i] < pivot) i++;
            while (x[j] > pivot) j--;
            if (i <= j) {
                const double t = x[i];
                x[i++] = x[j];
                x[j--] = t;
            }
        }
        if (k <= j)
            hi = j;
        else if (k >= i)
            lo = i;
        else
            break;
    }
    return x[k];
}

double sg_quantile(double *x, int64_t n, double f) {
    if (n <= 0) return (double)NAN;
    const double at = f * (double)(n - 1);
    const int64_t k = (int64_t)floor(at);
    const double low = sg_select(x, n, k);
    if ((double)k == at) return low;
    double high = x[k + 1]; /* everything behind k is at least x[k] */
    for (int64_t i = k + 2; i < n; i++)
        if (x[i] < high) high = x[i];
    return low + (at - (double)k) * (high - low);
}
