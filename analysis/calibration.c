#include "calibration.h"

#include "base/mem.h"
#include "base/rng.h"
#include "bootstrap.h"
#include "sort.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NULL_DRAWS = 400, NULL_PAIRS = 50000, MOST_GROUPINGS = 4 };
static const uint64_t NULL_KEY = 0xec3;

/* Running state of one group: sums in index order, the rest in rising order of p. */
struct running {
    double p, y, yy, brier, log_loss;
    int64_t n, wrong_before; /* pairs; wrong ones with a smaller p than the run of ties that is open */
    int64_t tie_right, tie_wrong, right;
    int64_t seen, bin_end; /* pairs put into bins; where the bin that is open ends */
    int32_t bin;
    double auc_pairs, tie_p; /* concordant pairs + ties / 2; p of the open run */
    /* of the draws from p: [NULL_DRAWS] sums of |sum of (y - p)| over the closed bins, and the open bin's sum
     * of (y - p), or, of many pairs, its variance */
    double *drawn, *open, variance;
};

static void close_run(struct running *g) {
    g->auc_pairs += (double)g->tie_right * ((double)g->wrong_before + 0.5 * (double)g->tie_wrong);
    g->right += g->tie_right;
    g->wrong_before += g->tie_wrong;
    g->tie_right = g->tie_wrong = 0;
}

/* Adds the open bin to the draws. */
static void close_bin(struct running *g, uint64_t id) {
    for (int i = 0; g->open && i < NULL_DRAWS; i++) {
        g->drawn[i] += fabs(g->open[i]);
        g->open[i] = 0;
    }
    uint64_t at = (id * SG_ECE_BINS + (uint64_t)g->bin) * 2 * NULL_DRAWS;
    for (int i = 0; !g->open && i < NULL_DRAWS; i++)
        g->drawn[i] += sqrt(g->variance) * fabs(sg_draw_normal(NULL_KEY + 1, &at));
    g->variance = 0;
}

/* One draw of y - p for every replicate of pair i. */
static void draw_pair(double p, uint64_t i, double *out) {
    const double right = p * 4294967296.0;
    for (uint64_t k = 0; k < NULL_DRAWS; k += 2) {
        const uint64_t x = sg_random64(NULL_KEY, i * NULL_DRAWS + k);
        out[k] = ((double)(x >> 32) < right) - p;
        out[k + 1] = ((double)(x & UINT32_MAX) < right) - p;
    }
}

static void take_sorted(struct running *g, uint64_t id, const double *draw, struct sg_bin *bins, double p,
                        int right, double y) {
    if (p != g->tie_p) {
        close_run(g);
        g->tie_p = p;
    }
    g->tie_right += right;
    g->tie_wrong += 1 - right;
    while (g->seen ==
           g->bin_end) { /* bin b holds the pairs i with b <= 15 i / n < b + 1: sizes differ by one at most */
        if (g->seen) close_bin(g, id), g->bin++;
        g->bin_end = ((int64_t)(g->bin + 1) * g->n + SG_ECE_BINS - 1) / SG_ECE_BINS;
    }
    g->seen++;
    struct sg_bin *b = &bins[g->bin];
    b->n++;
    b->mean_p += p;
    b->mean_y += y;
    g->variance += p * (1 - p);
    for (int i = 0; g->open && i < NULL_DRAWS; i++) g->open[i] += draw[i];
}

static void finish(struct running *r, uint64_t id, struct sg_bin *bins, struct sg_quality *o) {
    double null = 0;
    close_run(r);
    close_bin(r, id);
    const double total = (double)r->n, rate = r->y / total;
    *o = (struct sg_quality){.n = r->n,
                             .base_rate = rate,
                             .spread = r->yy == r->y ? rate * (1 - rate) : r->yy / total - rate * rate,
                             .mean_p = r->p / total,
                             .brier = r->brier / total,
                             .log_loss = r->log_loss / total,
                             .auc = r->auc_pairs / ((double)r->right * (double)r->wrong_before),
                             .ece = r->n ? 0 : (double)NAN};
    for (int32_t i = 0; i < SG_ECE_BINS; i++) {
        if (bins[i].n) o->ece += fabs(bins[i].mean_p - bins[i].mean_y) / total;
        bins[i].mean_p /= (double)bins[i].n;
        bins[i].mean_y /= (double)bins[i].n;
    }
    for (int i = 0; i < NULL_DRAWS; i++) null += r->drawn[i] / NULL_DRAWS;
    o->ece_null = (struct sg_value){null / total, sg_quantile(r->drawn, NULL_DRAWS, 0.025) / total,
                                    sg_quantile(r->drawn, NULL_DRAWS, 0.975) / total};
}

static double log_loss(double p, double y) {
    const double q = fmin(fmax(p, 1e-6), 1 - 1e-6);
    return y > 0 && y < 1 ? -y * log(q) - (1 - y) * log(1 - q) : -log(y > 0 ? q : 1 - q);
}

/* How the groups of a pair are packed: those of grouping b from bit `at[b]` on; bit 0: right. */
struct packing {
    int at[MOST_GROUPINGS];
    uint32_t mask[MOST_GROUPINGS];
};

static bool pack(const struct sg_grouping *by, int32_t n_by, struct packing *out) {
    int at = 1;
    for (int32_t b = 0; b < n_by; b++) {
        int bits = 0;
        while ((by[b].n - 1) >> bits) bits++;
        out->at[b] = at;
        out->mask[b] = (uint32_t)((UINT64_C(1) << bits) - 1);
        at += bits;
    }
    return at <= 32;
}

/* The pairs with both values: sums into the groups, key p with the code (groups of all groupings; right), and where it is
 * asked for codes by themselves and truth: the key then has the pair's place. */
static int64_t first_pass(const struct sg_pairs *of, const struct sg_grouping *by, int32_t n_by,
                          const struct packing *pk, struct running *g, struct sg_sort_item *item,
                          uint32_t *codes, double *truth) {
    const double *p = of->p, *y = of->y;
    int64_t k = 0;
    for (int64_t i = 0; i < of->n; i++) {
        if (isnan(p[i]) || isnan(y[i])) continue;
        const double loss = log_loss(p[i], y[i]), square = (p[i] - y[i]) * (p[i] - y[i]);
        struct running *r = g;
        uint32_t code = of->correct ? of->correct[i] > 0 : y[i] > 0;
        for (int32_t b = 0; b < n_by; r += by[b++].n) {
            const int32_t group = by[b].of ? by[b].of[i] : 0;
            struct running *x = &r[group];
            x->p += p[i];
            x->y += y[i];
            x->yy += y[i] * y[i];
            x->brier += square;
            x->log_loss += loss;
            x->n++;
            code |= (uint32_t)((uint64_t)group << pk->at[b]);
        }
        if (truth) truth[k] = y[i], codes[k] = code;
        item[k] = (struct sg_sort_item){sg_sort_key(p[i]), truth ? (uint32_t)k : code};
        k++;
    }
    return k;
}

static enum sg_status room_of(struct sg_quality_room *r, int64_t bytes, struct sg_err *err) {
    if (r->block && r->bytes >= bytes) return SG_OK;
    free(r->block);
    r->block = NULL;
    r->bytes = bytes;
    return SG_NEW((char **)&r->block, bytes, "pairs", err);
}

void sg_quality_room_free(struct sg_quality_room *r) {
    free(r->block);
    *r = (struct sg_quality_room){0};
}

enum sg_status sg_quality_groups_in(struct sg_quality_room *room, const struct sg_pairs *pairs,
                                    const struct sg_grouping *by, int32_t n_by, struct sg_quality *out,
                                    struct sg_bin *bins_out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t n = pairs->n;
    uint32_t *codes = NULL; /* where truth is graded */
    double *truth = NULL;
    struct running *g = NULL;
    struct sg_bin *bins = NULL;
    double *drawn = NULL, draw[NULL_DRAWS];
    int32_t n_groups = 0, from[MOST_GROUPINGS];
    struct packing pk;
    SG_ASSERT(n_by <= MOST_GROUPINGS);
    for (int32_t b = 0; b < n_by; b++) {
        from[b] = n_groups;
        n_groups += by[b].n;
    }
    if (!pack(by, n_by, &pk))
        return sg_fail(err, SG_E_UNSUPPORTED,
                       "models x categories, each up to a power of two, must stay within 2 billion");
    SG_TRY(room_of(room, n * 2 * (int64_t)sizeof(struct sg_sort_item), err));
    if (pairs->correct) SG_TRY(SG_NEW(&codes, n, "pairs", err));
    if (pairs->correct) SG_TRY(SG_NEW(&truth, n, "pairs", err));
    SG_TRY(SG_NEW(&g, n_groups, "groups", err));
    SG_TRY(SG_NEW(&bins, (int64_t)n_groups * SG_ECE_BINS, "bins", err));
    SG_TRY(SG_NEW(&drawn, (int64_t)n_groups * 2 * NULL_DRAWS, "bins", err));
    struct sg_sort_item *const item = room->block;
    const int64_t k = first_pass(pairs, by, n_by, &pk, g, item, codes, truth);
    for (int32_t i = 0; i < n_groups; i++) {
        g[i].drawn = drawn + (int64_t)i * 2 * NULL_DRAWS;
        g[i].open = k <= NULL_PAIRS ? g[i].drawn + NULL_DRAWS : NULL;
    }
    const struct sg_sort_item *sorted = sg_sort_items(item, item + n, k);
    for (int64_t j = 0; j < k; j++) {
        const uint32_t code = truth ? codes[sorted[j].index] : sorted[j].index;
        const int right = code & 1;
        const double p = sg_sort_value(sorted[j].key), value = truth ? truth[sorted[j].index] : right;
        if (k <= NULL_PAIRS) draw_pair(p, (uint64_t)j, draw);
        for (int32_t b = n_by - 1; b >= 0; b--) {
            const int32_t group = from[b] + (int32_t)((uint64_t)code >> pk.at[b] & pk.mask[b]);
            take_sorted(&g[group], (uint64_t)group, draw, &bins[group * SG_ECE_BINS], p, right, value);
        }
    }
    for (int32_t i = 0; i < n_groups; i++) finish(&g[i], (uint64_t)i, &bins[i * SG_ECE_BINS], &out[i]);
    if (bins_out) memcpy(bins_out, bins, sizeof *bins * (size_t)n_groups * SG_ECE_BINS);
out:
    free(codes);
    free(truth);
    free(g);
    free(bins);
    free(drawn);
    return st;
}

enum sg_status sg_quality_groups(const struct sg_pairs *pairs, const struct sg_grouping *by, int32_t n_by,
                                 struct sg_quality *out, struct sg_bin *bins, struct sg_err *err) {
    struct sg_quality_room room = {0};
    const enum sg_status st = sg_quality_groups_in(&room, pairs, by, n_by, out, bins, err);
    sg_quality_room_free(&room);
    return st;
}

/* Regularised incomplete beta by its continued fraction (Lentz), for the t distribution. */
static double beta_fraction(double a, double b, double x) {
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
    double h = d;
    for (int i = 1; i <= 500; i++) {
        const double m = i;
        double t = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 / (1 + t * d);
        c = 1 + t / c;
        h *= d * c;
        t = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / (1 + t * d);
        c = 1 + t / c;
        const double by = d * c;
        h *= by;
        if (fabs(by - 1) < 1e-15) break;
    }
    return h;
}

static double beta_regularised(double a, double b, double x) {
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    const double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
                                     : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double sg_t_two_sided(double t, double df) {
    if (isnan(t)) return (double)NAN;
    if (isinf(t)) return 0;
    return beta_regularised(df / 2, 0.5, df / (df + t * t));
}

double sg_t_quantile(double outside, double df) {
    double low = 0, high = 26; /* t(0.9875, 1) = 25.5 is the largest asked for */
    for (int i = 0; i < 60; i++) {
        const double mid = (low + high) / 2;
        if (sg_t_two_sided(mid, df) > outside)
            low = mid;
        else
            high = mid;
    }
    return (low + high) / 2;
}

enum { T_KNOWN = 64 };
/* Quantiles as they are needed: a file has few sample counts. Slot 0: the last of the large ones. */
struct t_quantiles {
    double t95[T_KNOWN];
    int32_t large;
};

static double t95_of(struct t_quantiles *t, int32_t df) {
    const int32_t slot = df < T_KNOWN ? df : 0;
    if (t->t95[slot] == 0 || (!slot && df != t->large)) {
        t->t95[slot] = sg_t_quantile(0.1, df);
        t->large = slot ? t->large : df;
    }
    return t->t95[slot];
}

/* Sums into the groups of all groupings, the number of each group's relative errors into `count`, and the errors; -1: none. */
static void add_lengths(const struct sg_length_pairs *x, const struct sg_grouping *by, int32_t n_by,
                        struct sg_length_quality *out, int64_t *count, double *relative) {
    struct t_quantiles t = {.large = 0};
    for (int64_t i = 0; i < x->n; i++) {
        relative[i] = -1;
        if (isnan(x->estimate[i]) || isnan(x->truth[i])) continue;
        const double truth = x->truth[i], e = x->estimate[i] - truth;
        const bool samples = x->sd && x->k && x->k[i] >= 2 && !isnan(x->sd[i]);
        const bool covered =
            samples && fabs(e) <= t95_of(&t, x->k[i] - 1) * x->sd[i] * sqrt(1 + 1.0 / x->k[i]);
        if (truth > 0) relative[i] = fabs(e) / truth;
        int64_t at = 0;
        for (int32_t b = 0; b < n_by; at += by[b++].n) {
            const int64_t g = at + (by[b].of ? by[b].of[i] : 0);
            struct sg_length_quality *o = &out[g];
            o->n++;
            o->mae += fabs(e);
            o->bias += e;
            o->median_relative += truth; /* the sum of truths until the end */
            o->n_coverage += samples;
            o->coverage += covered;
            count[g] += truth > 0;
        }
    }
}

enum sg_status sg_length_groups_in(struct sg_quality_room *room, const struct sg_length_pairs *x,
                                   const struct sg_grouping *by, int32_t n_by, struct sg_length_quality *out,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t *count = NULL, *fill = NULL;
    int32_t n_groups = 0, most = 0;
    for (int32_t b = 0; b < n_by; b++) {
        n_groups += by[b].n;
        most = by[b].n > most ? by[b].n : most;
    }
    SG_TRY(room_of(room, x->n * 2 * (int64_t)sizeof(double), err));
    double *const relative = room->block, *const sorted = relative + x->n;
    SG_TRY(SG_NEW(&count, n_groups, "groups", err));
    SG_TRY(SG_NEW(&fill, most, "groups", err));
    memset(out, 0, sizeof *out * (size_t)n_groups);
    add_lengths(x, by, n_by, out, count, relative);
    const int64_t *of = count;
    for (int32_t b = 0; b < n_by; of += by[b].n, out += by[b++].n) {
        for (int32_t g = 1; g < by[b].n; g++) fill[g] = fill[g - 1] + of[g - 1];
        for (int64_t i = fill[0] = 0; i < x->n; i++)
            if (relative[i] >= 0) sorted[fill[by[b].of ? by[b].of[i] : 0]++] = relative[i];
        for (int32_t g = 0; g < by[b].n; g++) {
            struct sg_length_quality *o = &out[g];
            o->mae /= (double)o->n;
            o->bias /= o->median_relative;
            o->median_relative = sg_quantile(sorted + fill[g] - of[g], of[g], 0.5);
            o->coverage = o->n_coverage ? o->coverage / (double)o->n_coverage : (double)NAN;
        }
        memset(fill, 0, sizeof *fill * (size_t)most);
    }
out:
    free(count);
    free(fill);
    return st;
}

enum sg_status sg_length_groups(const struct sg_length_pairs *x, const struct sg_grouping *by, int32_t n_by,
                                struct sg_length_quality *out, struct sg_err *err) {
    struct sg_quality_room room = {0};
    const enum sg_status st = sg_length_groups_in(&room, x, by, n_by, out, err);
    sg_quality_room_free(&room);
    return st;
}
