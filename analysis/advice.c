#include "advice.h"

#include "base/digest.h"
#include "base/ids.h"
#include "base/rng.h"
#include "advice_words.h"
#include "decision_limits.h"
#include "limits.h"
#include "prompts.h"
#include "sort.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    FOLDS = 5,
    SPLITS = 20,
    FEW_SPLITS = 4,
    LEAST_VALUED = 256,
    MAX_CELLS = 65536, /* of the queries whose means each of a hundred fits takes */
    MANY_CELLS =
        40000 /* from so many valued cells on fewer splits do: the split then moves the values less */,
    MAX_VALUED = 4096,
    MAX_TRUTH = 10000,
    MAX_SHARES = 20000
};
static const double PROMPTS_MATTER = 0.05; /* share of a bill */
enum { LEAST_CALIBRATION = 10 /* fewer anchors cannot fit a regression of five terms out of fold */ };

/* The dataset as the decision's arrays. */
struct evidence {
    int32_t m, nc;
    bool foreign; /* no anchor has a category of the queries */
    struct sg_ids categories;
    struct sg_arena names;
    const char **name;    /* [nc] */
    double *price_output; /* [m] USD a token */
    struct sg_rows queries, calibration;
    double *length, *input_cost;
    double *cal_p, *cal_length, *cal_knn, *cal_knn_length, *cal_cost, *knn, *knn_length;
    int32_t *cal_category, *anchor_category;
    struct sg_outcomes anchors, truth;
    double *anchor_correct, *anchor_length, *true_length;
    int64_t *cell_row, *truth_row;
    uint64_t *query_key, *anchor_key;
    uint8_t *anchor_right; /* where outcomes are graded: those that count as correct; else NULL */
};

static void evidence_free(struct evidence *e) {
    void *owned[] = {
        (void *)e->name, e->price_output, e->length,          e->input_cost,     e->cal_p,
        e->cal_length,   e->cal_knn,      e->cal_knn_length,  e->cal_cost,       e->knn,
        e->knn_length,   e->cal_category, e->anchor_category, e->anchor_correct, e->anchor_length,
        e->true_length,  e->cell_row,     e->truth_row,       e->query_key,      e->anchor_key,
        e->anchor_right};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
    sg_rows_free(&e->queries);
    sg_rows_free(&e->calibration);
    sg_ids_free(&e->categories);
}

static enum sg_status category_of(struct evidence *e, const char *name, int32_t *out, struct sg_err *err) {
    int64_t old;
    const enum sg_status st = sg_ids_add(&e->categories, name, strlen(name), e->nc, &old, err);
    if (st != SG_OK) return st;
    if (old < 0) e->name[e->nc++] = name;
    *out = old < 0 ? e->nc - 1 : (int32_t)old;
    return SG_OK;
}

static double known(double x) {
    return x >= 0 ? x : (double)NAN;
}

static enum sg_status query_rows(const struct sg_dataset *d, struct evidence *e, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_results *r = d->r;
    const int64_t cells = d->n * d->m;
    SG_TRY(SG_NEW(&e->length, cells, "estimates", err));
    SG_TRY(SG_NEW(&e->input_cost, cells, "estimates", err));
    SG_TRY(SG_NEW(&e->knn, cells, "estimates", err));
    SG_TRY(SG_NEW(&e->knn_length, cells, "estimates", err));
    SG_TRY(SG_NEW(&e->query_key, d->n, "estimates", err));
    SG_TRY(SG_NEW(&e->true_length, d->tp ? cells : 0, "outcomes", err));
    SG_TRY(SG_NEW(&e->truth_row, d->n, "outcomes", err));
    for (int64_t q = 0; q < d->n; q++) {
        const char *id = sg_dataset_query(d, q);
        e->query_key[q] = sg_hash64(id, strlen(id));
        e->truth_row[q] = q;
        for (int32_t k = 0; k < d->m; k++) {
            const int64_t to = q * d->m + k, at = sg_dataset_cell(d, q, k);
            e->length[to] = isnan(d->p[to]) ? (double)NAN : r->length_mean[at];
            e->input_cost[to] =
                fmax(0, sg_dataset_prompt(d, q, k)) / 1e6 * d->price_input[k] + d->price_request[k];
            e->knn[to] = r->knn_correct ? r->knn_correct[at] : (double)NAN;
            e->knn_length[to] = r->knn_length ? r->knn_length[at] : (double)NAN;
            if (d->tp) e->true_length[to] = isnan(d->tp[to]) ? (double)NAN : known(r->true_length[at]);
        }
    }
    const struct sg_raw_rows raw = {.n = d->n,
                                    .m = d->m,
                                    .category = d->category,
                                    .p = d->p,
                                    .length = e->length,
                                    .knn_p = e->knn,
                                    .knn_length = e->knn_length,
                                    .input_cost = e->input_cost};
    SG_TRY(sg_rows_make(&raw, e->nc, &e->queries, err));
    if (d->tp)
        e->truth = (struct sg_outcomes){.n = d->n,
                                        .m = d->m,
                                        .category = d->category,
                                        .correct = d->tp,
                                        .length = e->true_length,
                                        .cell_row = e->truth_row};
out:
    return st;
}

static enum sg_status calibration_rows(const struct sg_dataset *d, struct evidence *e, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_results *c = d->r->calibration;
    const int64_t n = c ? c->n_queries : 0, cells = n * d->m;
    double **all[] = {&e->cal_p, &e->cal_length, &e->cal_knn, &e->cal_knn_length, &e->cal_cost};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        SG_TRY(SG_NEW(all[i], cells, "calibration cells", err));
    for (int64_t i = 0; i < n; i++)
        for (int32_t k = 0; k < d->m; k++) {
            const int64_t to = i * d->m + k, at = i * c->n_models + d->col[k];
            const bool valid = c->valid[at];
            e->cal_p[to] = valid ? c->p_correct[at] : (double)NAN;
            e->cal_length[to] = valid ? c->length_mean[at] : (double)NAN;
            e->cal_knn[to] = c->knn_correct ? c->knn_correct[at] : (double)NAN;
            e->cal_knn_length[to] = c->knn_length ? c->knn_length[at] : (double)NAN;
            e->cal_cost[to] = fmax(0, c->prompt_tokens[at]) / 1e6 * d->price_input[k] + d->price_request[k];
        }
    const struct sg_raw_rows raw = {.n = n,
                                    .m = d->m,
                                    .category = e->cal_category,
                                    .p = e->cal_p,
                                    .length = e->cal_length,
                                    .knn_p = e->cal_knn,
                                    .knn_length = e->cal_knn_length,
                                    .input_cost = e->cal_cost};
    SG_TRY(sg_rows_make(&raw, e->nc, &e->calibration, err));
out:
    return st;
}

/* No anchor has a category of the queries, and no query an outcome: the anchors then stand for all queries alike. They
 * are spread over the queries' categories by their ids, which a calibration cell shares with its anchor. */
static void spread_anchors(const struct sg_dataset *d, struct evidence *e) {
    const struct sg_anchor_outcomes *a = &d->r->anchors;
    const struct sg_results *c = d->r->calibration;
    bool shared = false;
    for (int64_t i = 0; d->tc && i < d->n * d->m && !shared; i++) shared = !isnan(d->tc[i]);
    for (int64_t i = 0; i < a->n && !shared; i++) shared = e->anchor_category[i] < d->n_categories;
    if (shared || !a->n) return;
    e->foreign = true;
    e->nc = d->n_categories;
    const uint64_t n = (uint64_t)d->n_categories;
    for (int64_t i = 0; i < a->n; i++)
        e->anchor_category[i] = (int32_t)(sg_hash64(a->id[i], strlen(a->id[i])) % n);
    for (int64_t i = 0; c && i < c->n_queries; i++)
        e->cal_category[i] = (int32_t)(sg_hash64(c->query[i], strlen(c->query[i])) % n);
}

/* Categories first: the queries' in the dataset's order, then those that only anchors have. */
static enum sg_status categories(const struct sg_dataset *d, struct evidence *e, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_anchor_outcomes *a = &d->r->anchors;
    const struct sg_results *c = d->r->calibration;
    int32_t at;
    SG_TRY(SG_NEW(&e->name, d->n_categories + a->n + (c ? c->n_queries : 0), "categories", err));
    SG_TRY(SG_NEW(&e->anchor_category, a->n, "categories", err));
    SG_TRY(SG_NEW(&e->cal_category, c ? c->n_queries : 0, "categories", err));
    for (int32_t i = 0; i < d->n_categories; i++) SG_TRY(category_of(e, d->category_name[i], &at, err));
    for (int64_t i = 0; i < a->n; i++) SG_TRY(category_of(e, a->category[i], &e->anchor_category[i], err));
    for (int64_t i = 0; c && i < c->n_queries; i++)
        SG_TRY(category_of(e, c->category[i] ? c->category[i] : "", &e->cal_category[i], err));
    spread_anchors(d, e);
out:
    return st;
}

static enum sg_status anchor_outcomes(const struct sg_dataset *d, struct evidence *e, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_anchor_outcomes *a = &d->r->anchors;
    const struct sg_results *c = d->r->calibration;
    struct sg_ids rows = {0};
    int64_t old;
    SG_TRY(SG_NEW(&e->anchor_correct, a->n * d->m, "anchors", err));
    SG_TRY(SG_NEW(&e->anchor_length, a->n * d->m, "anchors", err));
    SG_TRY(SG_NEW(&e->anchor_key, a->n, "anchors", err));
    SG_TRY(SG_NEW(&e->cell_row, a->n, "anchors", err));
    if (sg_results_graded(d->r)) SG_TRY(SG_NEW(&e->anchor_right, a->n * d->m, "anchors", err));
    for (int64_t i = 0; c && i < c->n_queries; i++)
        SG_TRY(sg_ids_add(&rows, c->query[i], strlen(c->query[i]), i, &old, err));
    for (int64_t i = 0; i < a->n; i++) {
        e->anchor_key[i] = sg_hash64(a->id[i], strlen(a->id[i]));
        e->cell_row[i] = sg_ids_get(&rows, a->id[i], strlen(a->id[i]));
        for (int32_t k = 0; k < d->m; k++) {
            const int64_t at = i * d->r->n_models + d->col[k];
            e->anchor_correct[i * d->m + k] = sg_results_anchor_score(d->r, at);
            e->anchor_length[i * d->m + k] = known(a->completion_tokens[at]);
            if (e->anchor_right) e->anchor_right[i * d->m + k] = a->correct[at] > 0;
        }
    }
    e->anchors = (struct sg_outcomes){.n = a->n,
                                      .m = d->m,
                                      .category = e->anchor_category,
                                      .correct = e->anchor_correct,
                                      .length = e->anchor_length,
                                      .cell_row = e->cell_row};
out:
    sg_ids_free(&rows);
    return st;
}

static enum sg_status gather(const struct sg_dataset *d, struct evidence *e, struct sg_err *err) {
    enum sg_status st = SG_OK;
    e->m = d->m;
    SG_TRY(SG_NEW(&e->price_output, d->m, "prices", err));
    for (int32_t k = 0; k < d->m; k++) e->price_output[k] = d->price_output[k] / 1e6;
    SG_TRY(categories(d, e, err));
    SG_TRY(query_rows(d, e, err));
    SG_TRY(calibration_rows(d, e, err));
    SG_TRY(anchor_outcomes(d, e, err));
out:
    return st;
}

static struct sg_decision_input input_of(const struct evidence *e, const struct sg_dataset *d,
                                         uint64_t seed) {
    const bool truth = d->tp != NULL;
    const int64_t most = truth ? MAX_TRUTH : MAX_VALUED;
    const int64_t cells = (d->n < most ? d->n : most) * e->m;
    const int32_t splits = cells <= MANY_CELLS ? SPLITS
                           : cells >= MANY_CELLS * (SPLITS / FEW_SPLITS)
                               ? FEW_SPLITS
                               : (int32_t)(SPLITS * MANY_CELLS / cells);
    return (struct sg_decision_input){.m = e->m,
                                      .n_categories = e->nc,
                                      .price_output = e->price_output,
                                      .queries = &e->queries,
                                      .calibration = &e->calibration,
                                      .anchors = &e->anchors,
                                      .truth = truth ? &e->truth : NULL,
                                      .query_key = e->query_key,
                                      .anchor_key = e->anchor_key,
                                      .splits = splits,
                                      .folds = FOLDS,
                                      .max_queries = most,
                                      .seed = seed};
}

/* --- the estimate used ----------------------------------------------------------------------------------- */

static bool any_outcome(const struct evidence *e) {
    for (int64_t i = 0; i < e->anchors.n * e->m; i++)
        if (!isnan(e->anchor_correct[i]) && !isnan(e->anchor_length[i])) return true;
    return false;
}

/* Anchors that have both estimates and outcomes. */
static int64_t calibrated(const struct evidence *e) {
    int64_t n = 0;
    for (int64_t i = 0; i < e->anchors.n; i++) {
        bool any = false;
        for (int32_t k = 0; k < e->m && e->cell_row[i] >= 0; k++)
            any |= !isnan(e->anchor_correct[i * e->m + k]) && !isnan(e->cal_p[e->cell_row[i] * e->m + k]);
        n += any;
    }
    return n;
}

/* At most `most` of the queries, those whose keys come first: what the fits need of them is means. */
static enum sg_status sample_rows(const struct evidence *e, int64_t most, struct sg_rows *out,
                                  int32_t **category, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t all = e->queries.n, n = all < most ? all : most;
    double *key = NULL;
    uint32_t *order = NULL;
    int64_t *index = NULL;
    SG_TRY(SG_NEW(&key, all, "fit", err));
    SG_TRY(SG_NEW(&order, all, "fit", err));
    SG_TRY(SG_NEW(&index, n, "fit", err));
    SG_TRY(SG_NEW(category, n, "fit", err));
    for (int64_t q = 0; q < all; q++) key[q] = (double)(e->query_key[q] >> 12);
    SG_TRY(sg_sort_order(key, all, false, order, err));
    for (int64_t i = 0; i < n; i++) {
        index[i] = order[i];
        (*category)[i] = e->queries.category[order[i]];
    }
    SG_TRY(sg_rows_take(&e->queries, index, n, *category, e->nc, NULL, out, err));
out:
    free(key);
    free(order);
    free(index);
    return st;
}

/* Cross-fitted quality of each estimate on the calibration cells. */
static enum sg_status measure(const struct evidence *e, struct sg_decision_input in, struct sg_advice *a,
                              struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t cells = e->calibration.n * e->m;
    double *x = NULL;
    uint8_t *right = NULL; /* [cells] where outcomes are graded */
    struct sg_rows sample = {0};
    int32_t *category = NULL;
    SG_TRY(sample_rows(e, e->m < MAX_CELLS / MAX_VALUED ? MAX_VALUED : LEAST_VALUED + MAX_CELLS / e->m,
                       &sample, &category, err));
    in.queries = &sample;
    SG_TRY(SG_NEW(&x, 4 * cells, "calibration cells", err));
    if (e->anchor_right) SG_TRY(SG_NEW(&right, cells, "calibration cells", err));
    double *p = x, *length = x + cells, *y = x + 2 * cells, *true_length = x + 3 * cells;
    for (int64_t i = 0; i < cells; i++) y[i] = true_length[i] = (double)NAN;
    for (int64_t i = 0; i < e->anchors.n; i++)
        for (int32_t k = 0; k < e->m && e->cell_row[i] >= 0; k++) {
            y[e->cell_row[i] * e->m + k] = e->anchor_correct[i * e->m + k];
            true_length[e->cell_row[i] * e->m + k] = e->anchor_length[i * e->m + k];
            if (right) right[e->cell_row[i] * e->m + k] = e->anchor_right[i * e->m + k];
        }
    for (int kind = 0; kind < SG_ESTIMATES; kind++) {
        if (!a->fitted[kind]) continue;
        in.estimate = (enum sg_estimate)kind;
        if (kind == SG_ESTIMATE_SCOPE) { /* nothing is fitted: as the file has it */
            memcpy(p, e->cal_p, sizeof *p * (size_t)cells);
            memcpy(length, e->cal_length, sizeof *length * (size_t)cells);
        } else {
            SG_TRY(sg_cross_fit(&in, in.estimate, p, length, &a->log_loss[kind], err));
        }
        SG_TRY(sg_quality_groups(&(struct sg_pairs){p, y, right, cells}, &(struct sg_grouping){NULL, 1}, 1,
                                 &a->quality[kind], NULL, err));
        if (kind == SG_ESTIMATE_SCOPE) a->log_loss[kind] = a->quality[kind].log_loss;
        SG_TRY(sg_length_groups(&(struct sg_length_pairs){length, true_length, NULL, NULL, cells},
                                &(struct sg_grouping){NULL, 1}, 1, &a->length[kind], err));
    }
out:
    free(x);
    free(right);
    free(category);
    sg_rows_free(&sample);
    return st;
}

static enum sg_status choose_estimate(const struct evidence *e, const struct sg_advice_options *opt,
                                      const struct sg_decision_input *in, struct sg_advice *a,
                                      struct sg_err *err) {
    enum sg_status st = SG_OK;
    a->n_calibration = calibrated(e);
    a->fitted[SG_ESTIMATE_SCOPE] = true;
    a->fitted[SG_ESTIMATE_ANCHORED] = any_outcome(e);
    a->fitted[SG_ESTIMATE_COMBINED] = a->n_calibration >= LEAST_CALIBRATION;
    for (int k = 0; k < SG_ESTIMATES; k++) a->log_loss[k] = (double)NAN;
    if (a->n_calibration) SG_TRY(measure(e, *in, a, err));
    a->estimate = a->fitted[SG_ESTIMATE_ANCHORED] ? SG_ESTIMATE_ANCHORED : SG_ESTIMATE_SCOPE;
    if (a->fitted[SG_ESTIMATE_COMBINED])
        for (int k = 0; k < SG_ESTIMATES; k++)
            if (a->fitted[k] && a->log_loss[k] < a->log_loss[a->estimate]) a->estimate = (enum sg_estimate)k;
    if (opt->estimate >= 0) {
        if (!a->fitted[opt->estimate]) {
            st = sg_fail(err, SG_E_USAGE,
                         "--estimate %s: the results hold %s; run scope-grid with calibration.anchors",
                         sg_estimate_name[opt->estimate],
                         opt->estimate == SG_ESTIMATE_COMBINED ? "too few calibration cells"
                                                               : "no outcomes of anchors");
            goto out;
        }
        a->estimate = (enum sg_estimate)opt->estimate;
    }
    SG_TRY(sg__words_estimate(a, opt->estimate >= 0, err));
out:
    return st;
}

/* The estimates of all cells: the chosen one replaces the dataset's, its bills included; where there is truth, all are
 * kept for their quality. Of `scope` p stays as computed. */
static enum sg_status apply(const struct evidence *e, struct sg_dataset *d, struct sg_advice *a,
                            struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_estimate_fit fit = {0};
    struct sg_rows sample = {0};
    int32_t *category = NULL;
    double *cost = NULL;
    const int64_t cells = d->n * d->m;
    SG_TRY(SG_NEW(&cost, cells, "estimates", err));
    SG_TRY(sample_rows(e, MAX_TRUTH, &sample, &category, err));
    for (int kind = 0; kind < SG_ESTIMATES; kind++) {
        if (!a->fitted[kind] || (kind != (int)a->estimate && !d->tp)) continue;
        SG_TRY(SG_NEW(&a->p[kind], cells, "estimates", err));
        SG_TRY(SG_NEW(&a->tokens[kind], cells, "estimates", err));
        const struct sg_estimate_fit_input in = {.m = e->m,
                                                 .n_categories = e->nc,
                                                 .price_output = e->price_output,
                                                 .queries = &sample,
                                                 .calibration = &e->calibration,
                                                 .anchors = &e->anchors};
        SG_TRY(sg_estimate_fit_make(&in, (enum sg_estimate)kind, &fit, err));
        sg_estimate_fit_apply(&fit, &e->queries, e->price_output, 0, d->n, a->p[kind], a->tokens[kind], cost);
        const bool computed = kind == SG_ESTIMATE_SCOPE;
        if (computed) memcpy(a->p[kind], d->p, sizeof *d->p * (size_t)cells);
        if (kind != (int)a->estimate) continue;
        if (!computed) memcpy(d->p, a->p[kind], sizeof *d->p * (size_t)cells);
        if (a->fitted[SG_ESTIMATE_ANCHORED]) memcpy(d->c, cost, sizeof *d->c * (size_t)cells);
    }
out:
    free(cost);
    free(category);
    sg_rows_free(&sample);
    sg_estimate_fit_free(&fit);
    return st;
}

/* --- budgets ------------------------------------------------------------------------------------------------- */

struct ask {
    double budget;
    const char *name;
    bool ours;
};

static int by_budget(const void *x, const void *y) {
    const struct ask *a = x, *b = y;
    if (a->budget != b->budget) return a->budget < b->budget ? -1 : 1;
    return (*b->name != 0) - (*a->name != 0); /* a named one stands for an equal one of the slider */
}

static enum sg_status asks(const struct sg_decision *d, const struct sg_advice_options *opt,
                           struct sg_advice *a, struct ask **out, int32_t *n_out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct ask *x = NULL;
    int32_t n = 0, best = 0, cheapest = 0, kept = 0;
    SG_TRY(SG_NEW(&x, opt->n_grid + (int32_t)opt->n_budgets + 2, "budgets", err));
    for (int32_t k = 1; k < d->m; k++) {
        const double *y = d->single_accuracy, *c = d->single_cost;
        if (isnan(c[k])) continue;
        if (isnan(c[best]) || y[k] > y[best] || (y[k] == y[best] && c[k] < c[best])) best = k;
        if (isnan(c[cheapest]) || c[k] < c[cheapest]) cheapest = k;
    }
    const double low = d->single_cost[cheapest], high = d->single_cost[best];
    const int32_t steps = high > low ? opt->n_grid : 1;
    for (int32_t g = 0; g < steps; g++) {
        const double f = steps > 1 ? (double)g / (steps - 1) : 1;
        x[n].budget = g == steps - 1 ? high : g == 0 ? low : low > 0 ? low * pow(high / low, f) : high * f;
        x[n].ours = !opt->n_budgets && !opt->no_defaults && (steps == 1 || g % ((steps - 1) / 4) == 0);
        x[n].name = "";
        if (x[n].ours) SG_TRY(sg__words_budget(a, x[n].budget, &x[n].name, err));
        n++;
    }
    for (size_t i = 0; i < opt->n_budgets; i++, n++) {
        x[n].budget = opt->budgets[i];
        SG_TRY(sg__words_budget(a, x[n].budget, &x[n].name, err));
    }
    if (a->incumbent_name) {
        const double bill = a->incumbent >= 0 ? d->single_cost[a->incumbent] : d->policy_cost.value;
        x[n++] = (struct ask){bill, "incumbent's bill", false};
        x[n++] = (struct ask){bill / 2, "half the incumbent's bill", false};
    }
    qsort(x, (size_t)n, sizeof *x, by_budget);
    for (int32_t i = 0; i < n; i++)
        if (!kept || x[i].budget != x[kept - 1].budget) x[kept++] = x[i];
    *out = x;
    *n_out = kept;
    x = NULL;
out:
    free(x);
    return st;
}

/* Shares of the models under a rule, over at most MAX_SHARES of the queries. */
static enum sg_status rule_shares(const struct sg_dataset *d, const struct sg_advice *a,
                                  const struct sg_advice_step *s, double *share, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_rule *r = &s->value->rule;
    const int64_t stride = d->n > MAX_SHARES ? d->n / MAX_SHARES : 1, n = (d->n + stride - 1) / stride;
    const int32_t m = d->m;
    struct sg__limited x = {0};
    double *p = NULL;
    if (r->kind == SG_CANDIDATE_ROUTING && r->toll) { /* the caps hold for whole queries too */
        SG_TRY(SG_NEW(&p, 2 * n * m, "shares", err));
        SG_TRY(sg__limited_open(&x, n, m, p, p + n * m, a->cap, s->kept, err));
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t q = i * stride;
        const int32_t k = sg_rule_model(r, m, d->category[q], d->p + q * m, d->c + q * m, 2);
        if (p) {
            memcpy(p + i * m, d->p + q * m, sizeof *p * (size_t)m);
            memcpy(p + (n + i) * m, d->c + q * m, sizeof *p * (size_t)m);
            x.model[i] = k;
            if (k >= 0) x.count[k]++;
        } else if (r->kind == SG_CANDIDATE_MIX && r->weight > 0) {
            share[r->from] += 1 - r->weight;
            share[r->to] += r->weight;
        } else if (k >= 0) {
            share[k]++;
        }
    }
    if (p) SG_TRY(sg__limited_keep(&x, r->lambda, err));
    for (int32_t k = 0; k < m; k++) share[k] = (p ? (double)x.count[k] : share[k]) / (double)n;
out:
    sg__limited_close(&x);
    free(p);
    return st;
}

static enum sg_status steps(const struct sg_dataset *d, const struct ask *ask,
                            const struct sg_advice_options *opt, struct sg_advice *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_value none = {(double)NAN, (double)NAN, (double)NAN};
    double best = -1;
    SG_TRY(SG_NEW(&a->step, a->n_steps, "advice", err));
    for (int32_t i = 0; i < a->n_steps; i++) {
        struct sg_advice_step *s = &a->step[i];
        s->is = &a->decision.step[i];
        s->budget = ask[i].budget;
        s->asked = ask[i].name;
        s->ours = ask[i].ours;
        s->spends = ask[s->is->as_at].budget;
        s->kept = a->decision.kept ? a->decision.kept + (int64_t)s->is->as_at * d->m : NULL;
        s->value = s->is->affordable ? &s->is->told : NULL;
        s->single = s->is->affordable ? s->is->candidate[SG_CANDIDATE_SINGLE].rule.from : -1;
        if (s->value && s->is->advised == SG_CANDIDATE_SINGLE) s->single = s->value->rule.from;
        s->accuracy = s->value ? s->value->accuracy : none;
        s->cost = s->value ? s->value->cost : none;
        s->gain = s->value ? s->value->gain : none;
        s->gain_luck = s->value ? s->value->luck : (double)NAN;
        s->saving = s->value ? s->value->saving : none;
        s->mix_accuracy = s->value ? s->is->candidate[SG_CANDIDATE_MIX].accuracy.value : (double)NAN;
        s->over_mix = isnan(s->mix_accuracy) ? none : s->value->over_mix; /* limits may leave no mix */
        s->vs_incumbent = s->value && a->incumbent_name ? s->is->told_versus : none;
        s->saved_of_incumbent = s->value && a->incumbent_name ? s->is->told_saved : none;
        SG_TRY(SG_NEW(&s->share, d->m, "advice", err));
        if (s->value) SG_TRY(rule_shares(d, a, s, s->share, err));
        SG_TRY(sg__words_step(d, a, s, err));
        if (s->value) best = fmax(best, s->accuracy.value);
    }
    a->cheapest_as_good = -1;
    for (int32_t i = a->n_steps - 1; i >= 0; i--) {
        const struct sg_advice_step *s = &a->step[i];
        if (!s->value) continue;
        if (s->accuracy.value >= best - 0.01) a->def = i;
        if (a->incumbent_name && s->vs_incumbent.low >= -a->margin) a->cheapest_as_good = i;
    }
    /* the answer in short is about the one budget that the user asked for; without one, about the target: what reaches it
     * for the least bill, or where nothing does, what is worth the most */
    a->target = !opt->n_budgets && opt->n_targets ? opt->targets[0] : (double)NAN;
    for (int32_t i = a->n_steps - 1; i >= 0; i--)
        if (a->step[i].value && a->step[i].accuracy.value >= fmin(a->target, best)) a->def = i;
    for (int32_t i = 0; i < a->n_steps && opt->n_budgets == 1; i++)
        if (a->step[i].budget == opt->budgets[0]) a->def = i;
out:
    return st;
}

/* --- queries and anchors alike? --------------------------------------------------------------------------------- */

struct moments {
    double n, sum, square;
};
static void add(struct moments *m, double x) {
    if (isnan(x)) return;
    m->n++;
    m->sum += x;
    m->square += x * x;
}
static double mean(const struct moments *m) {
    return m->n > 0 ? m->sum / m->n : (double)NAN;
}
static double variance(const struct moments *m) {
    return m->n > 1 ? fmax(0, (m->square - m->sum * m->sum / m->n) / (m->n - 1)) : 0;
}

/* A clear shift: the queries are less like their anchors than the anchors like theirs, by more than a quarter of
 * the spread and by three standard errors. */
static bool shifted(const struct moments *q, const struct moments *c) {
    if (q->n < 5 || c->n < 5) return false;
    const double se = sqrt(variance(q) / q->n + variance(c) / c->n), less = mean(c) - mean(q);
    return less > 3 * se && less > 0.25 * sqrt(variance(c));
}

static enum sg_status alike(const struct sg_dataset *d, const struct evidence *e, struct sg_advice *a,
                            struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_results *c = d->r->calibration;
    struct moments *q = NULL;
    SG_TRY(SG_NEW(&q, 2 * e->nc, "categories", err));
    SG_TRY(SG_NEW(&a->category, d->n_categories, "categories", err));
    SG_TRY(SG_NEW((void ***)&a->doubts, d->n_categories + d->m + 6, "doubts", err));
    struct moments *of = q + e->nc;
    a->n_categories = d->n_categories;
    for (int32_t k = 0; k < d->n_categories; k++) a->category[k].name = d->category_name[k];
    for (int64_t i = 0; i < d->n; i++) {
        a->category[d->category[i]].n_queries++;
        if (d->r->similarity) add(&q[d->category[i]], d->r->similarity[d->row[i]]);
    }
    for (int64_t i = 0; i < e->anchors.n; i++) {
        const int32_t k = e->anchor_category[i];
        bool any = false;
        for (int32_t j = 0; j < e->m; j++) any |= !isnan(e->anchor_correct[i * e->m + j]);
        if (k < d->n_categories && any) a->category[k].n_anchors++;
        if (k < d->n_categories && e->cell_row[i] >= 0) a->category[k].n_estimated++;
    }
    for (int64_t i = 0; c && i < c->n_queries; i++)
        if (c->similarity) add(&of[e->cal_category[i]], c->similarity[i]);
    if (e->foreign) SG_TRY(sg__words_foreign(a, err));
    for (int32_t k = 0; k < d->n_categories; k++) {
        a->category[k].similarity_queries = mean(&q[k]);
        a->category[k].similarity_anchors = mean(&of[k]);
        SG_TRY(sg__words_category(a, &a->category[k], shifted(&q[k], &of[k]), e->anchors.n > 0, err));
    }
out:
    free(q);
    return st;
}

/* --- all together ------------------------------------------------------------------------------------------------- */

static enum sg_status find_incumbent(const struct sg_dataset *d, const char *id, struct sg_advice *a,
                                     struct sg_err *err) {
    a->incumbent = -1;
    if (!id) return SG_OK;
    const size_t n = strlen(id);
    a->incumbent_name = id;
    if (n > 4 && !strcmp(id + n - 4, ".csv")) return sg_given_policy_read(id, d, &a->policy, err);
    return sg_limits_model(d, "--incumbent", id, &a->incumbent, err);
}

static enum sg_status decide(struct sg_dataset *d, const struct evidence *e,
                             const struct sg_advice_options *opt, struct sg_decision_input in,
                             struct sg_advice *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_decision first = {0};
    struct ask *ask = NULL;
    double *budgets = NULL;
    in.estimate = a->estimate;
    in.cap = a->cap;
    in.portfolio = opt->portfolio < d->m ? opt->portfolio : 0;
    in.policy = a->policy.n ? &a->policy : NULL;
    const int32_t splits = in.splits;
    in.splits = 0; /* the costs of the models, of which the budgets follow */
    SG_TRY(sg_decide(&in, &first, err));
    SG_TRY(asks(&first, opt, a, &ask, &a->n_steps, err));
    SG_TRY(SG_NEW(&budgets, a->n_steps, "budgets", err));
    for (int32_t i = 0; i < a->n_steps; i++) budgets[i] = ask[i].budget;
    in.splits = splits;
    in.budgets = budgets;
    in.n_budgets = a->n_steps;
    in.incumbent = a->incumbent;
    SG_TRY(sg_decide(&in, &a->decision, err));
    a->present = true;
    SG_TRY(apply(e, d, a, err));
    SG_TRY(steps(d, ask, opt, a, err));
    const struct sg_prompt_doubt prompts = sg_prompt_doubt(d, a->decision.single_bill);
    if (fabs(prompts.moves) > PROMPTS_MATTER) SG_TRY(sg__words_prompts(d, a, &prompts, err));
    SG_TRY(sg__words_answer(d, a, err));
out:
    sg_decision_free(&first);
    free(ask);
    free(budgets);
    return st;
}

enum sg_status sg_advise(struct sg_dataset *d, const struct sg_advice_options *opt, struct sg_advice *out,
                         struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct evidence e = {0};
    struct sg_advice a = {.margin = opt->margin, .volume = opt->volume};
    SG_TRY(find_incumbent(d, opt->incumbent, &a, err));
    SG_TRY(sg_limits_caps(d, opt->at_most, opt->n_at_most, &a.cap, err));
    SG_TRY(gather(d, &e, err));
    const struct sg_decision_input in = input_of(&e, d, opt->seed);
    SG_TRY(choose_estimate(&e, opt, &in, &a, err));
    SG_TRY(alike(d, &e, &a, err));
    SG_TRY(SG_NEW(&a.choice_key, d->n, "queries", err));
    for (int64_t q = 0; q < d->n; q++)
        a.choice_key[q] =
            (double)(sg_random64(opt->seed ^ 0xd3a3, e.query_key[q]) >> 12) / 4503599627370496.0;
    if (a.fitted[SG_ESTIMATE_ANCHORED] || d->tp) {
        SG_TRY(decide(d, &e, opt, in, &a, err));
    } else if (a.cap || a.policy.n || opt->portfolio) {
        st = sg_fail(err, SG_E_INPUT,
                     "%s: %s holds outcomes neither of anchors nor of queries, so no policy is advised; run "
                     "the grid with "
                     "anchors",
                     a.cap        ? "--at-most"
                     : a.policy.n ? "--incumbent"
                                  : "--portfolio-size",
                     d->path);
        goto out;
    }
    SG_TRY(sg_dataset_stand_in(d, err));
    *out = a;
out:
    evidence_free(&e);
    if (st != SG_OK) sg_advice_free(&a);
    return st;
}

void sg_advice_free(struct sg_advice *a) {
    if (!a) return;
    for (int32_t i = 0; i < a->n_steps && a->step; i++) free(a->step[i].share);
    for (int k = 0; k < SG_ESTIMATES; k++) {
        free(a->p[k]);
        free(a->tokens[k]);
    }
    free(a->step);
    free(a->category);
    free((void *)a->doubts);
    free(a->choice_key);
    free(a->cap);
    sg_given_policy_free(&a->policy);
    sg_decision_free(&a->decision);
    sg_arena_free(&a->strings);
    memset(a, 0, sizeof *a);
}
