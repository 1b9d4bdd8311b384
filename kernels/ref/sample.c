/* One token per draw: temperature, top_k, top_p, inverse CDF in descending order; see kernels.h. */
#include "kernels/ref/ref.h"

#include <math.h>

/* A token and its scaled logit; sorted by z descending, then by id. */
struct choice {
    float z;
    int32_t id;
};

static bool before(struct choice a, struct choice b) {
    return a.z != b.z ? a.z > b.z : a.id < b.id;
}

static void sift_down(struct choice *c, int32_t at, int32_t n) {
    for (int32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(c[child], c[child + 1])) child++;
        if (!before(c[at], c[child])) return;
        const struct choice moved = c[at];
        c[at] = c[child];
        c[child] = moved;
    }
}

/* Heap sort: qsort of the C library may allocate, and an operator must not. */
static void sort(struct choice *c, int32_t n) {
    for (int32_t i = n / 2 - 1; i >= 0; i--) sift_down(c, i, n);
    for (int32_t end = n - 1; end > 0; end--) {
        const struct choice last = c[0]; /* the one that stands behind all others */
        c[0] = c[end];
        c[end] = last;
        sift_down(c, 0, end);
    }
}

/* The draw from c[0..vocab) (unsorted scaled logits, at least one finite), with p[vocab] as scratch. */
static int32_t draw(struct choice *c, double *p, int32_t vocab, const struct sg_draw_settings *s, double u) {
    sort(c, vocab);
    int32_t kept = vocab;
    if (s->top_k > 0 && s->top_k < vocab) {
        kept = s->top_k;
        while (kept < vocab && c[kept].z == c[s->top_k - 1].z) kept++;
    }
    double mass = 0, ahead = 0;
    for (int32_t i = 0; i < kept; i++) mass += p[i] = exp((double)c[i].z - c[0].z);
    if (s->top_p < 1) {
        int32_t n = 0;
        while (n < kept && ahead / mass < (double)s->top_p) ahead += p[n++];
        kept = n ? n : 1;
        mass = ahead;
    }
    double cdf = 0;
    int32_t last = 0; /* the last with a chance at all, should rounding carry u past the end */
    for (int32_t i = 0; i < kept; i++) {
        cdf += p[i];
        if (p[i] > 0) last = i;
        if (cdf > u * mass) break;
    }
    return c[last].id;
}

static double sum_exp(const float *row, const int32_t *ids, int32_t n, double top) {
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += exp(row[ids[i]] - top);
    return sum;
}

static double p_yes(const float *row, const struct sg_sample_args *a) {
    if (!a->n_yes || !a->n_no) return NAN;
    double top = -INFINITY;
    for (int32_t i = 0; i < a->n_yes; i++) top = fmax(top, row[a->yes_ids[i]]);
    for (int32_t i = 0; i < a->n_no; i++) top = fmax(top, row[a->no_ids[i]]);
    const double yes = sum_exp(row, a->yes_ids, a->n_yes, top), no = sum_exp(row, a->no_ids, a->n_no, top);
    return yes / (yes + no);
}

enum sg_status sg__ref_sample(struct sg_dev *dev, const struct sg_sample_args *a, struct sg_err *err) {
    (void)err;
    double *p = ((struct sg__ref_dev *)dev)->scratch;
    struct choice *c = (void *)(p + a->vocab);
    for (int32_t i = 0; i < a->n; i++) {
        const float *row = a->logits + (int64_t)a->row[i] * a->vocab;
        const struct sg_draw_settings *s = &a->settings[a->setting[i]];
        int32_t best = 0;
        bool broken = false;
        for (int32_t j = 0; j < a->vocab; j++) {
            const float z = s->temperature > 0 ? row[j] / s->temperature : row[j];
            c[j] = (struct choice){z, j};
            broken |= isnan(z) || z == INFINITY;
            if (row[j] > row[best]) best = j;
        }
        broken |= row[best] == -INFINITY; /* nothing to choose from */
        int32_t token = -1;
        if (!broken) token = s->temperature > 0 ? draw(c, p, a->vocab, s, (double)a->u[i]) : best;
        a->token[i] = token;
        if (a->p_yes) a->p_yes[i] = broken ? NAN : (float)p_yes(row, a);
        if (a->logprob)
            a->logprob[i] = broken ? NAN : (float)(row[token] - sg__ref_log_sum_exp(row, a->vocab));
    }
    return SG_OK;
}
