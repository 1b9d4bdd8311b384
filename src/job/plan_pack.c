/* The plan as bytes: magic, format, job, sizes, texts, arrays, fingerprints, then a digest of all that. The
 * reader trusts nothing: every length is held against what is left before memory is asked for. */
#include "job/plan.h"
#include "job/plan_memory.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char MAGIC[8] = "sgplan6"; /* the NUL included */

/* Packed outcome: flags, prompt tokens, completion tokens, and the score of a graded one. */
enum { KNOWN = 1, CORRECT = 2, GRADED = 4, OUTCOME_BYTES = 9 };

/* --- writing ----------------------------------------------------------------------------------------- */

static enum sg_status put_i64(struct sg_buf *b, int64_t v, struct sg_err *err) {
    return sg_buf_add(b, &v, sizeof v, err);
}

/* Length, bytes, NUL (so that the reader can point into the bytes). -1 for NULL. */
static enum sg_status put_text(struct sg_buf *b, const char *s, int64_t n, struct sg_err *err) {
    enum sg_status st = put_i64(b, s ? n : -1, err);
    return st == SG_OK && s ? sg_buf_add(b, s, (size_t)n + 1, err) : st;
}

static enum sg_status put_str(struct sg_buf *b, const char *s, struct sg_err *err) {
    return put_text(b, s, s ? (int64_t)strlen(s) : 0, err);
}

static enum sg_status put_questions(struct sg_buf *b, const struct sg_query *q, int64_t n,
                                    struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (int64_t i = 0; i < n; i++) {
        SG_TRY(put_str(b, q[i].id, err));
        SG_TRY(put_str(b, q[i].category, err));
        SG_TRY(put_text(b, q[i].prompt.s, q[i].prompt.n, err));
    }
out:
    return st;
}

static enum sg_status put_outcomes(struct sg_buf *b, const struct sg_outcome *o, int64_t n,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (int64_t i = 0; i < n; i++) {
        const bool graded = o[i].score != (o[i].correct ? 1 : 0);
        char row[OUTCOME_BYTES] = {
            (char)((o[i].known ? KNOWN : 0) | (o[i].correct ? CORRECT : 0) | (graded ? GRADED : 0))};
        memcpy(row + 1, &o[i].prompt_tokens, 4);
        memcpy(row + 5, &o[i].completion_tokens, 4);
        SG_TRY(sg_buf_add(b, row, sizeof row, err));
        if (graded) SG_TRY(sg_buf_add(b, &o[i].score, sizeof o[i].score, err));
    }
out:
    return st;
}

enum sg_status sg_plan_pack(const struct sg_plan *p, struct sg_buf *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    SG_TRY(sg_buf_add(&b, MAGIC, sizeof MAGIC, err));
    SG_TRY(put_str(&b, p->job.path, err));
    SG_TRY(put_str(&b, p->job.text, err));
    SG_TRY(put_i64(&b, p->n_queries, err));
    SG_TRY(put_i64(&b, p->n_anchors, err));
    SG_TRY(put_i64(&b, p->n_calibration, err));
    SG_TRY(put_i64(&b, p->n_calibratable, err));
    SG_TRY(put_i64(&b, p->n_models, err));
    SG_TRY(put_i64(&b, p->top_k, err));
    SG_TRY(put_i64(&b, p->n_params, err));
    SG_TRY(put_i64(&b, p->truth != NULL, err));
    SG_TRY(put_i64(&b, p->unused_outcomes, err));
    SG_TRY(sg_buf_add(&b, p->params, (size_t)p->n_params * sizeof *p->params, err));
    SG_TRY(put_str(&b, p->template_text, err));
    SG_TRY(put_str(&b, p->example_text, err));
    SG_TRY(put_questions(&b, p->queries, p->n_queries, err));
    SG_TRY(put_questions(&b, p->anchors, p->n_anchors, err));
    SG_TRY(sg_buf_add(&b, p->calibration, (size_t)p->n_calibration * sizeof *p->calibration, err));
    for (int64_t m = 0; m < p->n_models; m++) {
        const struct sg_price price = p->models[m].price;
        SG_TRY(put_str(&b, p->models[m].id, err));
        SG_TRY(put_str(&b, p->models[m].name, err));
        SG_TRY(sg_buf_add(&b, &price, sizeof price, err));
    }
    SG_TRY(put_outcomes(&b, p->anchor_outcomes, p->n_anchors * p->n_models, err));
    if (p->truth) SG_TRY(put_outcomes(&b, p->truth, p->n_queries * p->n_models, err));
    SG_TRY(sg_buf_add(&b, p->ranked, (size_t)(p->n_rows * p->top_k) * sizeof *p->ranked, err));
    SG_TRY(sg_buf_add(&b, p->cell_fingerprint, (size_t)p->n_cells * sizeof *p->cell_fingerprint, err));
    if (p->listed) SG_TRY(sg_buf_add(&b, p->listed, (size_t)p->n_cells * sizeof *p->listed, err));
    SG_TRY(sg_buf_add(&b, &p->fingerprint, sizeof p->fingerprint, err));
    struct sg_digest d = sg_digest_bytes(b.data, b.len);
    SG_TRY(sg_buf_add(&b, &d, sizeof d, err));
    SG_TRY(sg_buf_add(out, b.data, b.len, err));
out:
    sg_buf_free(&b);
    return st;
}

/* --- reading ----------------------------------------------------------------------------------------- */

struct source {
    const char *at;
    size_t left;
    struct sg_arena *strings; /* where copies go */
};

static enum sg_status damaged(const char *what, struct sg_err *err) {
    return sg_fail(err, SG_E_CORRUPT, "packed plan: %s", what);
}

static enum sg_status get(struct source *s, void *out, size_t n, struct sg_err *err) {
    if (n > s->left) return damaged("it ends too early", err);
    if (n) memcpy(out, s->at, n);
    s->at += n;
    s->left -= n;
    return SG_OK;
}

/* A size of the plan: at least min, and no more than the bytes left could describe at `each` bytes a piece.
 */
static enum sg_status get_size(struct source *s, int64_t min, size_t each, int64_t *out, struct sg_err *err) {
    int64_t v = 0;
    enum sg_status st = get(s, &v, sizeof v, err);
    if (st != SG_OK) return st;
    if (v < min || v > INT32_MAX || (size_t)v > s->left / each) return damaged("a size is out of range", err);
    *out = v;
    return SG_OK;
}

static enum sg_status get_text(struct source *s, bool required, const char **out, int64_t *n_out,
                               struct sg_err *err) {
    int64_t n = 0;
    char *copy = NULL;
    enum sg_status st = SG_OK;
    SG_TRY(get(s, &n, sizeof n, err));
    if (n < 0) {
        if (required || n != -1) st = damaged("a text is missing", err);
    } else if ((size_t)n >= s->left || s->at[n] != 0 || memchr(s->at, 0, (size_t)n)) {
        st = damaged("a text is cut off", err);
    } else {
        SG_TRY(sg_arena_dup(s->strings, s->at, (size_t)n, &copy, err));
        s->at += n + 1;
        s->left -= (size_t)n + 1;
    }
    if (st == SG_OK) {
        *out = copy;
        if (n_out) *n_out = n;
    }
out:
    return st;
}

static enum sg_status get_questions(struct source *s, struct sg_query *q, int64_t n, struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (int64_t i = 0; i < n; i++) {
        SG_TRY(get_text(s, true, &q[i].id, NULL, err));
        SG_TRY(get_text(s, true, &q[i].category, NULL, err));
        SG_TRY(get_text(s, true, &q[i].prompt.s, &q[i].prompt.n, err));
    }
out:
    return st;
}

static enum sg_status get_models(struct source *s, struct sg_portfolio_model *m, int64_t n,
                                 struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (int64_t i = 0; i < n; i++) {
        struct sg_price price = {0};
        SG_TRY(get_text(s, true, &m[i].id, NULL, err));
        SG_TRY(get_text(s, false, &m[i].name, NULL, err));
        SG_TRY(get(s, &price, sizeof price, err));
        if (!(price.input >= 0 && price.output >= 0 && price.request >= 0 && isfinite(price.input) &&
              isfinite(price.output) && isfinite(price.request))) {
            st = damaged("a price is out of range", err);
            goto out;
        }
        m[i].price = price;
    }
out:
    return st;
}

static enum sg_status get_outcomes(struct source *s, struct sg_outcome *o, int64_t n, struct sg_err *err) {
    enum sg_status st = SG_OK;
    for (int64_t i = 0; i < n; i++) {
        char row[OUTCOME_BYTES] = {0};
        SG_TRY(get(s, row, sizeof row, err));
        o[i].known = (row[0] & KNOWN) != 0;
        o[i].correct = (row[0] & CORRECT) != 0;
        memcpy(&o[i].prompt_tokens, row + 1, 4);
        memcpy(&o[i].completion_tokens, row + 5, 4);
        o[i].score = o[i].correct;
        if (row[0] & GRADED) SG_TRY(get(s, &o[i].score, sizeof o[i].score, err));
        if (o[i].prompt_tokens < -1 || o[i].completion_tokens < 0 || !(o[i].score >= 0 && o[i].score <= 1)) {
            st = damaged("an outcome is out of range", err);
            goto out;
        }
    }
out:
    return st;
}

static enum sg_status get_ranked(struct source *s, const struct sg_plan *p, struct sg_err *err) {
    int64_t n = p->n_rows * p->top_k;
    enum sg_status st = get(s, p->ranked, (size_t)n * sizeof *p->ranked, err);
    for (int64_t i = 0; i < n && st == SG_OK; i++)
        if (p->ranked[i].anchor < -1 || p->ranked[i].anchor >= p->n_anchors ||
            !isfinite(p->ranked[i].similarity))
            st = damaged("a ranked anchor is out of range", err);
    return st;
}

static enum sg_status get_calibration(struct source *s, struct sg_plan *p, struct sg_err *err) {
    enum sg_status st = get(s, p->calibration, (size_t)p->n_calibration * sizeof *p->calibration, err);
    for (int64_t i = 0; i < p->n_calibration && st == SG_OK; i++) {
        const int32_t a = p->calibration[i], before = i ? p->calibration[i - 1] : -1;
        if (a <= before || a >= p->n_anchors)
            st = damaged("a calibration anchor is out of range", err);
        else
            p->queries[p->n_queries + i] = p->anchors[a];
    }
    return st;
}

static enum sg_status get_listed(struct source *s, struct sg_plan *p, struct sg_err *err) {
    enum sg_status st = get(s, p->listed, (size_t)p->n_cells * sizeof *p->listed, err);
    for (int64_t i = 0; i < p->n_cells && st == SG_OK; i++)
        if (p->listed[i] > 1) st = damaged("a mark of a listed cell is out of range", err);
    if (st == SG_OK && (p->n_params != 1 || p->job.sampling.others < 1))
        st = damaged("it lists cells and does not say what the others get", err);
    return st;
}

static enum sg_status get_params(struct source *s, struct sg_plan *p, struct sg_err *err) {
    enum sg_status st = get(s, p->params, (size_t)p->n_params * sizeof *p->params, err);
    for (int32_t i = 0; i < p->n_params && st == SG_OK; i++) {
        const struct sg_sampling_params *d = &p->params[i];
        if (!(d->samples >= 1 && d->samples <= INT32_MAX - p->n_samples && d->temperature >= 0 &&
              isfinite(d->temperature) && d->top_p > 0 && d->top_p <= 1 && d->top_k >= 0 &&
              d->top_k <= INT32_MAX && d->draws >= SG_DRAWS_INDEPENDENT && d->draws <= SG_DRAWS_STRATIFIED))
            st = damaged("a way of drawing is out of range", err);
        else
            p->n_samples += d->samples;
    }
    return st;
}

static enum sg_status get_plan(struct source *s, struct sg_plan *p, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const char *path = NULL, *text = NULL;
    int64_t n_text = 0, top_k = 0, n_params = 0, with_truth = 0;
    SG_TRY(get_text(s, true, &path, NULL, err));
    SG_TRY(get_text(s, true, &text, &n_text, err));
    SG_TRY(sg_job_from_text(text, (size_t)n_text, path, &p->job, err));
    SG_TRY(get_size(s, 1, 3 * 9, &p->n_queries, err));
    SG_TRY(get_size(s, 0, 3 * 9, &p->n_anchors, err));
    SG_TRY(get_size(s, 0, sizeof *p->calibration, &p->n_calibration, err));
    SG_TRY(get_size(s, 0, 1, &p->n_calibratable, err));
    SG_TRY(get_size(s, 1, 9 + 8 + sizeof(struct sg_price), &p->n_models, err));
    SG_TRY(get_size(s, 0, 1, &top_k, err));
    SG_TRY(get_size(s, 1, sizeof *p->params, &n_params, err));
    SG_TRY(get(s, &with_truth, sizeof with_truth, err));
    SG_TRY(get(s, &p->unused_outcomes, sizeof p->unused_outcomes, err));
    if (top_k > p->n_anchors || p->n_calibration > p->n_calibratable || p->n_calibratable > p->n_anchors ||
        p->n_queries + p->n_calibration > INT32_MAX || (with_truth != 0 && with_truth != 1) ||
        p->unused_outcomes < 0) {
        st = damaged("a size is out of range", err);
        goto out;
    }
    /* the products of 31-bit sizes fit 63 bits; the bytes must be there before memory is taken */
    p->top_k = (int32_t)top_k;
    p->n_params = (int32_t)n_params;
    const int64_t rows = p->n_queries + p->n_calibration;
    if (rows * top_k > (int64_t)(s->left / sizeof *p->ranked) ||
        rows * p->n_models > (int64_t)(s->left / sizeof *p->cell_fingerprint) ||
        p->n_anchors * p->n_models > (int64_t)(s->left / OUTCOME_BYTES)) {
        st = damaged("a size is out of range", err);
        goto out;
    }
    SG_TRY(sg__plan_alloc(p, err));
    SG_TRY(get_params(s, p, err));
    SG_TRY(get_text(s, false, &p->template_text, NULL, err));
    SG_TRY(get_text(s, false, &p->example_text, NULL, err));
    SG_TRY(get_questions(s, p->queries, p->n_queries, err));
    SG_TRY(get_questions(s, p->anchors, p->n_anchors, err));
    SG_TRY(get_calibration(s, p, err));
    SG_TRY(get_models(s, p->models, p->n_models, err));
    SG_TRY(get_outcomes(s, p->anchor_outcomes, p->n_anchors * p->n_models, err));
    if (!with_truth)
        p->truth = NULL;
    else
        SG_TRY(get_outcomes(s, p->truth, p->n_queries * p->n_models, err));
    SG_TRY(get_ranked(s, p, err));
    SG_TRY(get(s, p->cell_fingerprint, (size_t)p->n_cells * sizeof *p->cell_fingerprint, err));
    if (p->listed) SG_TRY(get_listed(s, p, err));
    SG_TRY(get(s, &p->fingerprint, sizeof p->fingerprint, err));
    if (s->left) {
        st = damaged("something follows its end", err);
        goto out;
    }
    SG_TRY(sg__plan_derive(p, err));
out:
    return st;
}

enum sg_status sg_plan_format(const void *bytes, size_t n, struct sg_err *err) {
    const char *b = bytes;
    const size_t digit = sizeof MAGIC - 2; /* the format's place */
    if (n < sizeof MAGIC || memcmp(b, MAGIC, digit) != 0 || b[digit] < '0' || b[digit] > '9' || b[digit + 1])
        return damaged("these bytes are no plan", err);
    if (b[digit] == MAGIC[digit]) return SG_OK;
    return sg_fail(err, SG_E_UNSUPPORTED,
                   "written by another version of this program (plan format %c, this one reads and writes "
                   "%c): finish the run with that version, or begin again with --fresh or another output.dir",
                   b[digit], MAGIC[digit]);
}

enum sg_status sg_plan_unpack(const void *bytes, size_t n, struct sg_plan *out, struct sg_err *err) {
    struct sg_digest stored, found;
    const char *b = bytes;
    enum sg_status st = sg_plan_format(bytes, n, err);
    if (st != SG_OK) return st;
    if (n < sizeof MAGIC + sizeof stored) return damaged("it ends too early", err);
    n -= sizeof stored;
    memcpy(&stored, b + n, sizeof stored);
    found = sg_digest_bytes(b, n);
    if (!sg_digest_equal(stored, found))
        return damaged("its digest does not fit: it was cut or changed", err);
    struct sg_plan p = {0};
    struct source s = {.at = b + sizeof MAGIC, .left = n - sizeof MAGIC, .strings = &p.strings};
    st = get_plan(&s, &p, err);
    if (st == SG_OK)
        *out = p;
    else
        sg_plan_free(&p);
    return st;
}
