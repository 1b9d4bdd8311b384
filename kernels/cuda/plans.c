#include "kernels/cuda/plans.h"

/* How much faster a candidate must be than the reference to take its place: two timings of one kernel differ
 * by a few percent. */
static const double FASTER = 0.97;

static int64_t lower(int32_t b) { /* rows of the bucket before */
    return b ? (int64_t)SG__PLAN_TILE << (b - 1) : 0;
}
static int64_t upper(const struct sg__plan_source *s, int32_t b) {
    const int64_t m = (int64_t)SG__PLAN_TILE << b;
    return m < s->max_rows ? m : s->max_rows;
}

/* What candidate c is for all numbers of rows in (from, to]: SAME when it is right for every one; otherwise *at is one
 * for which it is not. */
static enum sg_status examine(const struct sg__plan_source *s, int32_t c, int64_t from, int64_t to,
                              enum sg__plan_answer *out, int64_t *at, struct sg_err *err) {
    enum sg_status st = SG_OK;
    *out = SG__PLAN_REFUSED;
    for (int64_t m = from + SG__PLAN_TILE; m <= to; m += SG__PLAN_TILE) {
        *at = m;
        if (!s->takes(s->ctx, c, m)) return SG_OK;
    }
    for (int64_t m = to; m > from; m -= SG__PLAN_TILE) { /* most go wrong at the upper end first */
        *at = m;
        SG_TRY(s->compare(s->ctx, c, m, out, err));
        if (*out != SG__PLAN_SAME) return SG_OK;
    }
out:
    return st;
}

static enum sg_status find_reference(const struct sg__plan_source *s, int32_t *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    int32_t differ = 0;
    int64_t differ_at = 0; /* the first that does */
    for (int32_t c = 0; c < s->n; c++) {
        enum sg__plan_answer is = SG__PLAN_REFUSED;
        int64_t at = 0;
        if (!s->takes(s->ctx, c, SG__PLAN_TILE)) continue;
        SG_TRY(s->refer(s->ctx, c, &is, err));
        if (is != SG__PLAN_SAME) continue;
        SG_TRY(examine(s, c, 0, s->max_rows, &is, &at, err));
        if (is == SG__PLAN_SAME) {
            *out = c;
            return SG_OK;
        }
        if (is == SG__PLAN_OTHER && differ++ == 0) differ_at = at;
    }
    st = sg_fail(err, SG_E_DEVICE,
                 "cuda: product %s: of %d algorithms none gives a row the same bits for %d to %lld rows (%d "
                 "refuse some, "
                 "%d differ, the first at %lld): another version of cuBLASLt may have one",
                 s->what, s->n, SG__PLAN_TILE, (long long)s->max_rows, s->n - differ, differ,
                 (long long)differ_at);
out:
    return st;
}

/* Times of all that bucket b may use: those with the reference's bits at its upper end. The rest: 0. */
static enum sg_status time_all(const struct sg__plan_source *s, int32_t b, double ns[SG__PLAN_CANDIDATES],
                               struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t m = upper(s, b);
    for (int32_t c = 0; c < s->n; c++) {
        enum sg__plan_answer is = SG__PLAN_REFUSED;
        ns[c] = 0;
        if (!s->takes(s->ctx, c, m)) continue;
        SG_TRY(s->compare(s->ctx, c, m, &is, err));
        if (is == SG__PLAN_SAME) SG_TRY(s->time(s->ctx, c, m, &ns[c], err));
    }
out:
    return st;
}

static enum sg_status fill_bucket(const struct sg__plan_source *s, int32_t reference, int32_t b, int32_t *out,
                                  struct sg_err *err) {
    enum sg_status st;
    double ns[SG__PLAN_CANDIDATES];
    SG_TRY(time_all(s, b, ns, err));
    const double needed = FASTER * ns[reference];
    for (;;) {
        int32_t best = reference;
        enum sg__plan_answer is;
        int64_t at;
        for (int32_t c = 0; c < s->n; c++)
            if (ns[c] > 0 && ns[c] < needed && (best == reference || ns[c] < ns[best])) best = c;
        *out = best;
        if (best == reference) return SG_OK; /* right for all numbers of rows, as find_reference saw */
        SG_TRY(examine(s, best, lower(b), upper(s, b), &is, &at, err));
        if (is == SG__PLAN_SAME) return SG_OK;
        ns[best] = 0;
    }
out:
    return st;
}

enum sg_status sg__plan_choose(const struct sg__plan_source *s, struct sg__plan *out, struct sg_err *err) {
    enum sg_status st;
    struct sg__plan p = {0};
    SG_TRY(find_reference(s, &p.reference, err));
    for (int32_t b = 0; b < SG__PLAN_BUCKETS; b++) {
        p.bucket[b] = -1;
        if (lower(b) < s->max_rows) SG_TRY(fill_bucket(s, p.reference, b, &p.bucket[b], err));
    }
    *out = p;
    st = SG_OK;
out:
    return st;
}
