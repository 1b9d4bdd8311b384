#include "estimates.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const sg_estimate_name[SG_ESTIMATES] = {"scope", "anchored", "combined"};

/* An outcome mean is drawn towards its prior with the weight of this many anchors. */
static const double SMOOTHING = 5;
/* Least precisions of the ridge: of the constant, and of every other coefficient. The cells of one question are
 * not independent, so the data are trusted less than their number says. */
static const double RIDGE_CONSTANT = 1, RIDGE = 8;
/* A p of 0 or 1 says that all samples agreed, not that the answer is certain. */
static const double LEAST_P = 0.005;
/* The nearest anchors' mean (six of them) with the category's mean as two more. */
static const double KNN_WEIGHT = 0.75;

static double logit(double p) {
    p = p < LEAST_P ? LEAST_P : p > 1 - LEAST_P ? 1 - LEAST_P : p;
    return log(p / (1 - p));
}
static double expit(double x) {
    return 1 / (1 + exp(-x));
}

/* The arrays of rows, and the index of their categories. */
static enum sg_status new_rows(struct sg_rows *r, int32_t n_categories, struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t *fill = NULL;
    SG_TRY(SG_NEW(&r->logit_p, r->n * r->m, "estimates", err));
    SG_TRY(SG_NEW(&r->log_length, r->n * r->m, "estimates", err));
    SG_TRY(SG_NEW(&r->logit_knn, r->n * r->m, "estimates", err));
    SG_TRY(SG_NEW(&r->log_knn_length, r->n * r->m, "estimates", err));
    SG_TRY(SG_NEW(&r->order, r->n, "estimates", err));
    SG_TRY(SG_NEW(&r->first, n_categories + 1, "estimates", err));
    SG_TRY(SG_NEW(&fill, n_categories + 1, "estimates", err));
    SG_TRY(SG_NEW(&r->mean_p, 2 * (int64_t)n_categories * r->m, "estimates", err));
    r->mean_length = r->mean_p + (int64_t)n_categories * r->m;
    for (int64_t q = 0; q < r->n; q++) r->first[r->category[q] + 1]++;
    for (int32_t c = 0; c < n_categories; c++) r->first[c + 1] += r->first[c];
    memcpy(fill, r->first, sizeof *fill * (size_t)(n_categories + 1));
    for (int64_t q = 0; q < r->n; q++) r->order[fill[r->category[q]]++] = q;
out:
    free(fill);
    return st;
}

/* The means of p and length [n * m], or of the logarithms where these are NULL. */
static enum sg_status mean_rows(struct sg_rows *r, int32_t n_categories, const double *p,
                                const double *length, struct sg_err *err) {
    const int64_t cells = (int64_t)n_categories * r->m;
    double *count = NULL;
    const enum sg_status st = SG_NEW(&count, cells, "estimates", err);
    for (int64_t q = 0; q < r->n && st == SG_OK; q++)
        for (int32_t k = 0; k < r->m; k++) {
            const int64_t at = q * r->m + k, to = (int64_t)r->category[q] * r->m + k;
            if (isnan(r->log_length[at])) continue;
            r->mean_p[to] += p ? p[at] : expit(r->logit_p[at]);
            r->mean_length[to] += length ? fmax(length[at], 1) : exp(r->log_length[at]);
            count[to]++;
        }
    for (int64_t i = 0; i < cells && st == SG_OK; i++) {
        r->mean_p[i] = count[i] > 0 ? r->mean_p[i] / count[i] : (double)NAN;
        r->mean_length[i] = count[i] > 0 ? r->mean_length[i] / count[i] : (double)NAN;
    }
    free(count);
    return st;
}

enum sg_status sg_rows_make(const struct sg_raw_rows *raw, int32_t n_categories, struct sg_rows *out,
                            struct sg_err *err) {
    enum sg_status st = SG_OK;
    const double *p = raw->p, *length = raw->length, *knn_p = raw->knn_p, *knn_length = raw->knn_length;
    struct sg_rows r = {.n = raw->n, .m = raw->m, .category = raw->category, .input_cost = raw->input_cost};
    SG_TRY(new_rows(&r, n_categories, err));
    for (int64_t i = 0; i < r.n * r.m; i++) {
        const bool none = isnan(p[i]) || isnan(length[i]);
        r.logit_p[i] = none ? (double)NAN : logit(p[i]);
        r.log_length[i] = none ? (double)NAN : log(fmax(length[i], 1));
        r.logit_knn[i] = knn_p && !isnan(knn_p[i]) ? logit(knn_p[i]) : (double)NAN;
        r.log_knn_length[i] = knn_length && !isnan(knn_length[i]) ? log(fmax(knn_length[i], 1)) : (double)NAN;
    }
    SG_TRY(mean_rows(&r, n_categories, p, length, err));
    *out = r;
    return SG_OK;
out:
    sg_rows_free(&r);
    return st;
}

enum sg_status sg_rows_take(const struct sg_rows *from, const int64_t *index, int64_t n,
                            const int32_t *category, int32_t n_categories, const double *input_cost,
                            struct sg_rows *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_rows r = {.n = n, .m = from->m, .category = category, .input_cost = input_cost};
    SG_TRY(new_rows(&r, n_categories, err));
    double *const to[] = {r.logit_p, r.log_length, r.logit_knn, r.log_knn_length};
    const double *const of[] = {from->logit_p, from->log_length, from->logit_knn, from->log_knn_length};
    for (int i = 0; i < 4; i++)
        for (int64_t q = 0; q < n; q++)
            memcpy(to[i] + q * r.m, of[i] + index[q] * r.m, sizeof(double) * (size_t)r.m);
    SG_TRY(mean_rows(&r, n_categories, NULL, NULL, err));
    *out = r;
    return SG_OK;
out:
    sg_rows_free(&r);
    return st;
}

void sg_rows_free(struct sg_rows *r) {
    if (!r) return;
    free(r->logit_p);
    free(r->log_length);
    free(r->logit_knn);
    free(r->log_knn_length);
    free(r->order);
    free(r->first);
    free(r->mean_p);
    memset(r, 0, sizeof *r);
}

void sg_estimate_fit_free(struct sg_estimate_fit *f) {
    if (!f) return;
    free(f->mean);
    memset(f, 0, sizeof *f);
}

/* All arrays are parts of one block, which `mean` owns. */
static enum sg_status alloc_fit(const struct sg_estimate_fit_input *in, struct sg_estimate_fit *f,
                                struct sg_err *err) {
    const int64_t n = (int64_t)in->m * in->n_categories;
    if (f->mean && (f->m != in->m || f->n_categories != in->n_categories)) sg_estimate_fit_free(f);
    if (!f->mean) {
        enum sg_status st = SG_NEW(&f->mean, 11 * n + in->m * (2 + SG_FIT_TERMS), "fit", err);
        if (st != SG_OK) return st;
        f->m = in->m;
        f->n_categories = in->n_categories;
        f->mean_length = f->mean + n;
        f->count = f->mean + 2 * n;
        f->right = f->mean + 3 * n;
        f->shift = f->mean + 4 * n;
        f->scale = f->mean + 5 * n;
        f->rescale = f->mean + 6 * n;
        f->logit_mean = f->mean + 7 * n;
        f->log_mean_length = f->mean + 8 * n;
        f->log_scale = f->mean + 9 * n;
        f->log_rescale = f->mean + 10 * n;
        f->tried = f->mean + 11 * n;
        f->row = f->tried + in->m;
    }
    return SG_OK;
}

static double smoothed(double sum, double n, double prior) {
    return (sum + SMOOTHING * prior) / (n + SMOOTHING);
}

/* The smoothed means of the anchors. The prior of a model in a category is additive in logits (lengths: in
 * logarithms): the model's mean over all its anchors, moved by how the category differs from all. */
static bool anchor_means(const struct sg_estimate_fit_input *in, struct sg_estimate_fit *f) {
    const struct sg_outcomes *a = in->anchors;
    const int32_t m = f->m, nc = f->n_categories;
    double n = 0, right = 0, length = 0;
    memset(f->count, 0, sizeof *f->count * (size_t)(m * nc));
    memset(f->right, 0, sizeof *f->right * (size_t)(m * nc));
    memset(f->mean_length, 0, sizeof *f->mean_length * (size_t)(m * nc));
    for (int64_t i = 0; i < a->n; i++) {
        if (in->use && !in->use[i]) continue;
        const int64_t to = (int64_t)a->category[i] * m;
        for (int32_t k = 0; k < m; k++) {
            const int64_t at = i * m + k;
            if (isnan(a->correct[at]) || isnan(a->length[at])) continue;
            f->count[to + k]++;
            f->right[to + k] += a->correct[at];
            f->mean_length[to + k] += a->length[at];
        }
    }
    for (int64_t i = 0; i < (int64_t)m * nc; i++)
        n += f->count[i], right += f->right[i], length += f->mean_length[i];
    if (n == 0) return false;
    const double grand = logit(right / n), grand_length = fmax(length / n, 1);
    /* the model's means wait in mean and scale until the category's are known */
    for (int32_t k = 0; k < m; k++) {
        double kn = 0, kr = 0, kl = 0;
        for (int64_t at = k; at < (int64_t)m * nc; at += m) {
            kn += f->count[at];
            kr += f->right[at];
            kl += f->mean_length[at];
        }
        f->tried[k] = kn > 0;
        for (int64_t at = k; at < (int64_t)m * nc; at += m) {
            f->mean[at] = logit(smoothed(kr, kn, right / n));
            f->scale[at] = smoothed(kl, kn, grand_length);
        }
    }
    for (int32_t c = 0; c < nc; c++) {
        double cn = 0, cr = 0, cl = 0, expected = 0;
        for (int32_t k = 0; k < m; k++) {
            const int64_t at = (int64_t)c * m + k;
            cn += f->count[at];
            cr += f->right[at];
            cl += f->mean_length[at];
            expected += f->count[at] * f->scale[at];
        }
        const double by_category = logit(smoothed(cr, cn, right / n)) - grand;
        const double ratio = (cl + SMOOTHING * grand_length) / (expected + SMOOTHING * grand_length);
        for (int32_t k = 0; k < m; k++) {
            const int64_t at = (int64_t)c * m + k;
            f->mean[at] = smoothed(f->right[at], f->count[at], expit(f->mean[at] + by_category));
            f->mean_length[at] = smoothed(f->mean_length[at], f->count[at], f->scale[at] * ratio);
        }
    }
    return true;
}

/* The shift with which the mean of expit(logit_p + shift) over the category's rows is `target`. Newton's
 * method on a monotone function, kept inside a bracket. column: room for the category's rows. */
static double solve_shift(const struct sg_rows *r, int32_t c, int32_t k, double target, double *column) {
    double low = -12, high = 12;
    int64_t n = 0;
    for (int64_t i = r->first[c]; i < r->first[c + 1]; i++) {
        const double l = r->logit_p[r->order[i] * r->m + k];
        if (!isnan(l)) column[n++] = l;
    }
    if (!n) return (double)NAN;
    double x =
        fmin(fmax(logit(target) - logit(r->mean_p[(int64_t)c * r->m + k]), -11), 11); /* near it already */
    for (int step = 0; step < 60; step++) {
        double sum = 0, slope = 0;
        for (int64_t i = 0; i < n; i++) {
            const double p = expit(column[i] + x);
            sum += p;
            slope += p * (1 - p);
        }
        const double miss = sum / (double)n - target;
        if (fabs(miss) < 1e-9) break;
        if (miss > 0)
            high = x;
        else
            low = x;
        double next = slope > 0 ? x - miss * (double)n / slope : (double)NAN;
        if (!(next > low && next < high)) next = (low + high) / 2;
        if (fabs(next - x) < 1e-12) break;
        x = next;
    }
    return x;
}

/* A category that no query has takes its shift from the calibration rows; one that neither has, none. */
static enum sg_status anchor_shifts(const struct sg_estimate_fit_input *in, struct sg_estimate_fit *f,
                                    struct sg_err *err) {
    enum sg_status st = SG_OK;
    double *column = NULL;
    SG_TRY(SG_NEW(&column, in->queries->n + in->calibration->n, "fit", err));
    for (int32_t c = 0; c < f->n_categories; c++)
        for (int32_t k = 0; k < f->m; k++) {
            const int64_t at = (int64_t)c * f->m + k;
            const bool shifts = f->kind != SG_ESTIMATE_SCOPE;
            double shift = shifts ? solve_shift(in->queries, c, k, f->mean[at], column) : 0;
            double length = in->queries->mean_length[at];
            if (isnan(shift) || isnan(length)) {
                shift = !shifts ? 0 : solve_shift(in->calibration, c, k, f->mean[at], column);
                length = in->calibration->mean_length[at];
            }
            f->shift[at] = isnan(shift) ? 0 : shift;
            f->scale[at] = isnan(length) ? 1 : f->mean_length[at] / length;
            f->logit_mean[at] = logit(f->mean[at]);
            f->log_mean_length[at] = log(fmax(f->mean_length[at], 1));
            f->log_scale[at] = log(f->scale[at]);
        }
out:
    free(column);
    return st;
}

/* What the regressions see of one row, for all models of it: s the anchored logit, and the terms
 * [m][SG_FIT_TERMS]. own[k], unless NULL: this row's own outcome, which is taken out of its category's mean
 * (NaN: unknown). A row's terms are deviations from the anchor mean a: the part that all models share, and
 * the rest. */
static void row_terms(const struct sg_estimate_fit *f, const struct sg_rows *r, int64_t q, const double *own,
                      double *s, double *terms) {
    const int32_t m = f->m;
    const int64_t base = (int64_t)r->category[q] * m;
    double shared = 0;
    int32_t n = 0;
    for (int32_t k = 0; k < m; k++) {
        double *t = terms + (int64_t)k * SG_FIT_TERMS;
        const double l = r->logit_p[q * m + k], near = r->logit_knn[q * m + k];
        double a = f->logit_mean[base + k], shift = f->shift[base + k];
        if (own && !isnan(own[k]) && f->count[base + k] > 0) {
            const double total = f->count[base + k] + SMOOTHING;
            const double without = (f->mean[base + k] * total - own[k]) / (total - 1);
            shift += logit(without) - a; /* to first order what the shift would be without this outcome */
            a = logit(without);
        }
        s[k] = l + shift;
        t[0] = 1;
        t[2] = s[k] - a;
        t[3] = isnan(near) ? 0 : KNN_WEIGHT * (near - a);
        t[4] = a;
        if (isnan(l) || f->tried[k] == 0) continue;
        shared += t[2];
        n++;
    }
    if (n) shared /= n;
    for (int32_t k = 0; k < m; k++) {
        double *t = terms + (int64_t)k * SG_FIT_TERMS;
        t[1] = shared;
        t[2] -= shared;
    }
}

static double dot(const double *a, const double *b, int n) {
    double s = 0;
    for (int i = 0; i < n; i++) s += a[i] * b[i];
    return s;
}

/* Solves the symmetric positive definite h x = v in place (Cholesky); h is [n][n]. */
static void solve(double *h, double *v, int n) {
    for (int j = 0; j < n; j++) {
        for (int i = j; i < n; i++) {
            double s = h[i * n + j];
            for (int k = 0; k < j; k++) s -= h[i * n + k] * h[j * n + k];
            h[i * n + j] = i == j ? sqrt(s) : s / h[j * n + j];
        }
    }
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < i; k++) v[i] -= h[i * n + k] * v[k];
        v[i] /= h[i * n + i];
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++) v[i] -= h[k * n + i] * v[k];
        v[i] /= h[i * n + i];
    }
}

static double ridge(int i) {
    return i ? RIDGE : RIDGE_CONSTANT;
}

/* One more row in the curvature h (its lower half) and the score v of the logistic regression at b. */
static void add_row(const double *row, double s, double y, const double *b, double *h, double *v) {
    enum { T = SG_FIT_TERMS };
    const double p = expit(s + dot(row, b, T)), w = p * (1 - p);
    for (int i = 0; i < T; i++) {
        v[i] += (y - p) * row[i];
        for (int j = 0; j <= i; j++) h[i * T + j] += w * row[i] * row[j];
    }
}

/* Logistic regression with an offset: maximises sum log P(y | s + b t) - times * sum ridge b^2 / 2. Newton's method from
 * b on; the penalty makes the maximum unique. h: the curvature there. A graded y is a fractional response: the same
 * score equations, which ask for its mean alone (Papke and Wooldridge 1996). */
static void fit_logistic(const double *t, const double *s, const double *y, int64_t n, double times,
                         double *b, double *h) {
    enum { T = SG_FIT_TERMS };
    for (int step = 0; step < 25; step++) {
        double v[T], work[T * T], change = 0;
        memset(h, 0, sizeof work);
        for (int i = 0; i < T; i++) {
            h[i * T + i] = times * ridge(i);
            v[i] = -times * ridge(i) * b[i];
        }
        for (int64_t x = 0; x < n; x++) add_row(t + x * T, s[x], y[x], b, h, v);
        memcpy(work, h, sizeof work);
        solve(work, v, T);
        for (int i = 0; i < T; i++) {
            b[i] += v[i];
            change = fmax(change, fabs(v[i]));
        }
        if (change < 1e-10) break;
    }
}

static double row_loss(const double *row, double s, double y, const double *b) {
    const double z = s + dot(row, b, SG_FIT_TERMS);
    return (z > 0 ? z + log1p(exp(-z)) : log1p(exp(z))) - y * z;
}

/* Log loss of each question's rows by the regression without them: one step of Newton's method from b, where the score
 * of all rows is zero. first [questions + 1]: the rows of each. */
static double left_out_loss(const double *t, const double *s, const double *y, const int64_t *first,
                            int64_t questions, const double *b, const double *h) {
    enum { T = SG_FIT_TERMS };
    double loss = 0;
    for (int64_t q = 0; q < questions; q++) {
        double own[T * T] = {0}, v[T] = {0}, without[T];
        for (int64_t x = first[q]; x < first[q + 1]; x++) add_row(t + x * T, s[x], y[x], b, own, v);
        for (int i = 0; i < T * T; i++) own[i] = h[i] - own[i];
        solve(own, v, T);
        for (int i = 0; i < T; i++) without[i] = b[i] - v[i];
        for (int64_t x = first[q]; x < first[q + 1]; x++) loss += row_loss(t + x * T, s[x], y[x], without);
    }
    return loss;
}

/* How far the regression may leave `anchored`, b = 0, is chosen by the log loss of questions left out: the ridge times
 * one of these, or without end. Few cells, or anchors that say all, then leave it where it is. */
static void fit_stack(const double *t, const double *s, const double *y, const int64_t *first,
                      int64_t questions, double *best_b) {
    static const double TIMES[] = {100, 30, 10, 3, 1};
    double b[SG_FIT_TERMS] = {0}, h[SG_FIT_TERMS * SG_FIT_TERMS], best = 0;
    memset(best_b, 0, sizeof b);
    for (int64_t x = 0; x < first[questions]; x++) best += row_loss(t + x * SG_FIT_TERMS, s[x], y[x], b);
    for (size_t i = 0; i < sizeof TIMES / sizeof *TIMES; i++) {
        fit_logistic(t, s, y, first[questions], TIMES[i], b, h);
        const double loss = left_out_loss(t, s, y, first, questions, b, h);
        if (!(loss < best)) continue;
        best = loss;
        memcpy(best_b, b, sizeof b);
    }
}

/* The terms of log length: constant, question's and model's deviation of the scaled estimate from the anchors'
 * mean, and that of the nearest anchors. */
static void length_terms(const struct sg_estimate_fit *f, const struct sg_rows *r, int64_t q, double *s,
                         double *terms) {
    const int32_t m = f->m;
    const int64_t base = (int64_t)r->category[q] * m;
    double shared = 0;
    int32_t n = 0;
    for (int32_t k = 0; k < m; k++) {
        double *t = terms + (int64_t)k * SG_FIT_LENGTH_TERMS;
        const double l = r->log_length[q * m + k], near = r->log_knn_length[q * m + k];
        const double a = f->log_mean_length[base + k];
        s[k] = l + f->log_scale[base + k];
        t[0] = 1;
        t[2] = s[k] - a;
        t[3] = isnan(near) ? 0 : near - a;
        if (isnan(l) || f->tried[k] == 0) continue;
        shared += t[2];
        n++;
    }
    if (n) shared /= n;
    for (int32_t k = 0; k < m; k++) {
        double *t = terms + (int64_t)k * SG_FIT_LENGTH_TERMS;
        t[1] = shared;
        t[2] -= shared;
    }
}

/* Ridge regression of z on t: minimises sum (z - g t)^2 + sum ridge g^2. */
static void fit_linear(const double *t, const double *z, int64_t n, double *g) {
    enum { T = SG_FIT_LENGTH_TERMS };
    double h[T * T] = {0};
    memset(g, 0, T * sizeof *g);
    for (int i = 0; i < T; i++) h[i * T + i] = ridge(i);
    for (int64_t x = 0; x < n; x++)
        for (int i = 0; i < T; i++) {
            g[i] += z[x] * t[x * T + i];
            for (int j = 0; j <= i; j++) h[i * T + j] += t[x * T + i] * t[x * T + j];
        }
    solve(h, g, T);
}

/* What the regression makes of the lengths must not move the mean bills: the mean over the category's queries
 * stays what the anchors measured. */
static enum sg_status keep_mean_lengths(const struct sg_estimate_fit_input *in, struct sg_estimate_fit *f,
                                        struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_rows *r = in->queries;
    const int32_t m = f->m;
    const int64_t n = (int64_t)m * f->n_categories;
    double *sum = NULL, *count, *length;
    SG_TRY(SG_NEW(&sum, 2 * n + m, "lengths", err));
    count = sum + n;
    length = sum + 2 * n;
    for (int64_t i = 0; i < n; i++) f->rescale[i] = 1, f->log_rescale[i] = 0;
    for (int64_t q = 0; q < r->n; q++) {
        sg_estimate_fit_apply(f, r, in->price_output, q, q + 1, NULL, length, NULL);
        for (int32_t k = 0; k < m; k++) {
            if (isnan(length[k])) continue;
            sum[(int64_t)r->category[q] * m + k] += length[k];
            count[(int64_t)r->category[q] * m + k]++;
        }
    }
    for (int64_t i = 0; i < n; i++)
        if (count[i] > 0) {
            f->rescale[i] = f->mean_length[i] * count[i] / sum[i];
            f->log_rescale[i] = log(f->rescale[i]);
        }
out:
    free(sum);
    return st;
}

static enum sg_status fit_combined(const struct sg_estimate_fit_input *in, struct sg_estimate_fit *f,
                                   struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_outcomes *a = in->anchors;
    const int32_t m = f->m;
    int64_t cap = 0, n = 0, questions = 0, *first = NULL;
    for (int64_t i = 0; i < a->n; i++) cap += a->cell_row[i] >= 0 ? m : 0;
    double *t = NULL, *tl = NULL, *s = NULL, *row = NULL;
    SG_TRY(SG_NEW(&t, cap * SG_FIT_TERMS, "stacking", err));
    SG_TRY(SG_NEW(&tl, cap * SG_FIT_LENGTH_TERMS, "stacking", err));
    SG_TRY(SG_NEW(&s, 3 * cap, "stacking", err));
    SG_TRY(SG_NEW(&first, a->n + 1, "stacking", err));
    SG_TRY(SG_NEW(&row, m * (2 + SG_FIT_TERMS + SG_FIT_LENGTH_TERMS), "stacking", err));
    double *y = s + cap, *z = s + 2 * cap, *rl = row + m, *rt = row + 2 * m, *rtl = rt + m * SG_FIT_TERMS;
    for (int64_t i = 0; i < a->n; i++) {
        if (a->cell_row[i] < 0 || (in->use && !in->use[i])) continue;
        row_terms(f, in->calibration, a->cell_row[i], a->correct + i * m, row, rt);
        length_terms(f, in->calibration, a->cell_row[i], rl, rtl);
        for (int32_t k = 0; k < m; k++) {
            if (isnan(row[k]) || isnan(a->correct[i * m + k]) || isnan(a->length[i * m + k])) continue;
            memcpy(t + n * SG_FIT_TERMS, rt + k * SG_FIT_TERMS, SG_FIT_TERMS * sizeof *t);
            memcpy(tl + n * SG_FIT_LENGTH_TERMS, rtl + k * SG_FIT_LENGTH_TERMS,
                   SG_FIT_LENGTH_TERMS * sizeof *t);
            s[n] = row[k];
            y[n] = a->correct[i * m + k];
            z[n] = log(fmax(a->length[i * m + k], 1)) - rl[k];
            n++;
        }
        first[++questions] = n;
    }
    if (!n) {
        st = sg_fail(err, SG_E_INPUT, "no calibration cell has both an estimate and an outcome");
        goto out;
    }
    fit_stack(t, s, y, first, questions, f->b);
    fit_linear(tl, z, n, f->g);
    SG_TRY(keep_mean_lengths(in, f, err));
out:
    free(t);
    free(tl);
    free(s);
    free(first);
    free(row);
    return st;
}

enum sg_status sg_estimate_fit_means(const struct sg_estimate_fit_input *in, struct sg_estimate_fit *fit,
                                     struct sg_err *err) {
    const enum sg_status st = alloc_fit(in, fit, err);
    if (st == SG_OK) anchor_means(in, fit);
    return st;
}

enum sg_status sg_estimate_fit_make(const struct sg_estimate_fit_input *in, enum sg_estimate kind,
                                    struct sg_estimate_fit *fit, struct sg_err *err) {
    enum sg_status st = SG_OK;
    SG_TRY(alloc_fit(in, fit, err));
    fit->kind = kind;
    memset(fit->b, 0, sizeof fit->b);
    memset(fit->g, 0, sizeof fit->g);
    const bool any = anchor_means(in, fit);
    if (!any && kind == SG_ESTIMATE_SCOPE) {
        for (int64_t i = 0; i < (int64_t)fit->m * fit->n_categories; i++)
            fit->scale[i] = 1, fit->log_scale[i] = 0;
        goto out;
    }
    if (!any) {
        st = sg_fail(
            err, SG_E_INPUT,
            in->use
                ? "what is advised is valued without a fifth of the outcomes, and without it no anchor has a "
                  "known outcome of a model of the pool: run the grid with more anchors"
                : "no anchor has a known outcome of a model of the pool");
        goto out;
    }
    SG_TRY(anchor_shifts(in, fit, err));
    if (kind == SG_ESTIMATE_COMBINED) SG_TRY(fit_combined(in, fit, err));
out:
    return st;
}

void sg_estimate_fit_apply(const struct sg_estimate_fit *fit, const struct sg_rows *rows,
                           const double *price_output, int64_t from, int64_t to, double *p, double *length,
                           double *cost) {
    const int32_t m = fit->m;
    double *s = fit->row, *t = fit->row + m;
    for (int64_t q = from; q < to; q++) {
        const int64_t base = (int64_t)rows->category[q] * m, in = q * m, at = (q - from) * m;
        if (p && fit->kind == SG_ESTIMATE_COMBINED) row_terms(fit, rows, q, NULL, s, t);
        for (int32_t k = 0; k < m && p; k++) {
            const double l = rows->logit_p[in + k];
            p[at + k] = expit(fit->kind == SG_ESTIMATE_SCOPE ? l
                              : fit->kind == SG_ESTIMATE_ANCHORED
                                  ? l + fit->shift[base + k]
                                  : s[k] + dot(t + k * SG_FIT_TERMS, fit->b, SG_FIT_TERMS));
        }
        if (!length && !cost) continue;
        if (fit->kind == SG_ESTIMATE_COMBINED) length_terms(fit, rows, q, s, t);
        for (int32_t k = 0; k < m; k++) {
            double l = rows->log_length[in + k];
            if (fit->kind != SG_ESTIMATE_COMBINED) l += fit->log_scale[base + k];
            if (fit->kind == SG_ESTIMATE_COMBINED)
                l = s[k] + dot(t + k * SG_FIT_LENGTH_TERMS, fit->g, SG_FIT_LENGTH_TERMS) +
                    fit->log_rescale[base + k];
            const double tokens = exp(l);
            if (length) length[at + k] = tokens;
            if (cost) cost[at + k] = rows->input_cost[in + k] + tokens * price_output[k];
        }
    }
}
