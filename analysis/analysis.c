#include "analysis.h"

#include <stdlib.h>
#include <string.h>

#define SG_CURVE_NAME(id, name, meaning) name,
const char *const sg_curve_name[SG_CURVES] = {SG_CURVE_LIST(SG_CURVE_NAME)};
#undef SG_CURVE_NAME
#define SG_CURVE_MEANING(id, name, meaning) meaning,
const char *const sg_curve_meaning[SG_CURVES] = {SG_CURVE_LIST(SG_CURVE_MEANING)};
#undef SG_CURVE_MEANING
const char *const sg_estimator_name[SG_ESTIMATORS] = {"scope", "anchored",    "combined",
                                                      "knn",   "anchor_mean", "base_rate"};

struct sg_weights sg_analysis_weights(const struct sg_analysis *a) {
    struct sg_weights w = {.w = a->ones, .fold = a->fold};
    sg_weights_sum(&w, a->data->n);
    return w;
}

struct sg_weights sg_analysis_scored_weights(const struct sg_analysis *a) {
    struct sg_weights w = {.w = a->data->scored, .fold = a->fold};
    sg_weights_sum(&w, a->data->n);
    return w;
}

void sg_analysis_free(struct sg_analysis *a) {
    if (!a) return;
    free(a->fold);
    free(a->ones);
    sg_path_free(&a->scope);
    sg_path_free(&a->knn);
    sg_path_free(&a->anchor);
    sg_path_free(&a->scope_router);
    sg_path_free(&a->oracle);
    free(a->alpha);
    free(a->grid);
    for (int i = 0; i < SG_CURVES; i++) {
        struct sg_curve *c = &a->curve[i];
        free(c->accuracy);
        free(c->low);
        free(c->high);
        free(c->cost);
        free(c->cost_low);
        free(c->cost_high);
        free(c->rep);
        free(c->rep_cost);
    }
    free(a->share);
    free(a->single);
    free(a->best_rep_accuracy);
    free(a->best_rep_cost);
    free(a->cheapest_rep_accuracy);
    free(a->worst_rep_accuracy);
    for (size_t i = 0; i < a->n_policies; i++) {
        free(a->policies[i].share);
        free(a->policies[i].model);
    }
    free(a->policies);
    free(a->unmet);
    for (int e = 0; e < SG_ESTIMATORS; e++) {
        free(a->quality[e]);
        free(a->bins[e]);
        free(a->length[e]);
    }
    for (size_t i = 0; i < a->n_value; i++) {
        if (a->value_predicted) sg_portfolio_value_free(&a->value_predicted[i]);
        if (a->value_true) sg_portfolio_value_free(&a->value_true[i]);
    }
    free(a->value_predicted);
    free(a->value_true);
    free(a->metric);
    sg_arena_free(&a->strings);
    memset(a, 0, sizeof *a);
}
