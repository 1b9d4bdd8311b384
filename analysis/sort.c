#include "sort.h"

#include "base/mem.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIGIT = 11, BUCKETS = 1 << DIGIT, PASSES = 3, LOW_BITS = 31, FEW = 32 };

uint64_t sg_sort_key(double x) {
    uint64_t u;
    x += 0.0; /* -0 becomes 0 */
    memcpy(&u, &x, sizeof u);
    return u ^ (u >> 63 ? ~UINT64_C(0) : UINT64_C(1) << 63);
}

double sg_sort_value(uint64_t u) {
    double x;
    u ^= u >> 63 ? UINT64_C(1) << 63 : ~UINT64_C(0);
    memcpy(&x, &u, sizeof x);
    return x;
}

static void insert(struct sg_sort_item *x, int64_t n) {
    for (int64_t i = 1; i < n; i++) {
        const struct sg_sort_item y = x[i];
        int64_t j = i;
        for (; j > 0 && x[j - 1].key > y.key; j--) x[j] = x[j - 1];
        x[j] = y;
    }
}

/* LSD radix sort of a[0..n) by PASSES digits from bit `shift` on, with b as the other buffer; the one that holds the
 * result. Passes whose digit is the same for all are skipped. */
static struct sg_sort_item *radix(struct sg_sort_item *a, struct sg_sort_item *b, int64_t n, int shift) {
    uint32_t count[PASSES][BUCKETS] = {{0}};
    for (int64_t i = 0; i < n; i++)
        for (int d = 0; d < PASSES; d++) count[d][a[i].key >> (shift + d * DIGIT) & (BUCKETS - 1)]++;
    for (int d = 0; d < PASSES && n; d++) {
        uint32_t *c = count[d], at = 0;
        const int by = shift + d * DIGIT;
        if (c[a[0].key >> by & (BUCKETS - 1)] == (uint32_t)n) continue;
        for (int k = 0; k < BUCKETS; k++) {
            const uint32_t here = c[k];
            c[k] = at;
            at += here;
        }
        for (int64_t i = 0; i < n; i++) b[c[a[i].key >> by & (BUCKETS - 1)]++] = a[i];
        struct sg_sort_item *t = a;
        a = b;
        b = t;
    }
    return a;
}

/* The upper 33 bits by digits. Few keys share these; runs of keys that do are then put in order by themselves. */
struct sg_sort_item *sg_sort_items(struct sg_sort_item *a, struct sg_sort_item *b, int64_t n) {
    SG_ASSERT(n >= 0 && n < (int64_t)UINT32_MAX);
    if (n <= FEW) {
        insert(a, n);
        return a;
    }
    struct sg_sort_item *x = radix(a, b, n, LOW_BITS), *other = x == a ? b : a;
    for (int64_t i = 1, from = 0; i < n; i++) {
        if (x[i].key >= x[i - 1].key) continue;
        int64_t to = i + 1;
        for (from = i - 1; from > 0 && x[from - 1].key >> LOW_BITS == x[i].key >> LOW_BITS;) from--;
        while (to < n && x[to].key >> LOW_BITS == x[i].key >> LOW_BITS) to++;
        if (to - from <= FEW)
            insert(x + from, to - from);
        else if (radix(x + from, other + from, to - from, 0) != x + from)
            memcpy(x + from, other + from, sizeof *x * (size_t)(to - from));
        i = to - 1;
    }
    return x;
}

enum sg_status sg_sort_order(const double *key, int64_t n, bool falling, uint32_t *order,
                             struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_sort_item *a = NULL, *b = NULL;
    SG_ASSERT(n >= 0 && n < (int64_t)UINT32_MAX);
    SG_TRY(SG_NEW(&a, n, "sort keys", err));
    SG_TRY(SG_NEW(&b, n, "sort keys", err));
    for (int64_t i = 0; i < n; i++) {
        const uint64_t u = sg_sort_key(key[i]);
        a[i] = (struct sg_sort_item){.key = falling ? ~u : u, .index = (uint32_t)i};
    }
    const struct sg_sort_item *sorted = sg_sort_items(a, b, n);
    for (int64_t i = 0; i < n; i++) order[i] = sorted[i].index;
out:
    free(a);
    free(b);
    return st;
}

static bool before(struct sg_point a, struct sg_point b) {
    return a.c != b.c ? a.c < b.c : a.p != b.p ? a.p > b.p : a.model < b.model;
}

/* Shell's sort (gaps of Ciura 2001). Counting the lesser ones of each, n^2 comparisons without a branch, took longer. */
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

/* Moves what is below the pivot to the front of x[lo..hi]; where the rest begins. Without a branch that the processor could
 * not predict (Lomuto's partition). */
static int64_t below(double *x, int64_t lo, int64_t hi, double pivot) {
    int64_t j = lo;
    for (int64_t i = lo; i <= hi; i++) {
        const double t = x[i];
        x[i] = x[j];
        x[j] = t;
        j += t < pivot;
    }
    return j;
}

/* Narrows *lo..*hi around the k-th smallest by two pivots close to it, taken from a sample (after Floyd and Rivest 1975).
 * Whatever the sample, what is left of the range is below, what is right of it is not. */
static void narrow(double *x, int64_t *lo, int64_t *hi, int64_t k) {
    enum { SAMPLE = 1024, MARGIN = 48, LARGE = 16384 };
    double s[SAMPLE];
    while (*hi - *lo >= LARGE) {
        const int64_t n = *hi - *lo + 1, at = (k - *lo) * SAMPLE / n;
        for (int64_t i = 0; i < SAMPLE; i++) s[i] = x[*lo + i * n / SAMPLE];
        for (int side = 1; side >= -1; side -= 2) {
            const int64_t rank = at + side * MARGIN;
            if (rank < 0 || rank >= SAMPLE) continue;
            const int64_t rest = below(x, *lo, *hi, sg_select(s, SAMPLE, rank));
            if (k < rest)
                *hi = rest - 1;
            else
                *lo = rest;
        }
        if (*hi - *lo > n / 4 * 3) break; /* many are equal */
    }
}

double sg_select(double *x, int64_t n, int64_t k) {
    int64_t lo = 0, hi = n - 1;
    narrow(x, &lo, &hi, k);
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
