#include "literature_metrics.h"

#include "base/mem.h"
#include "policies.h"
#include "single_models.h"
#include "bootstrap.h"
#include "metrics.h"
#include "text_width.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Adds m with the detail that fmt makes. */
static enum sg_status add(struct sg_analysis *a, struct sg_metric m, struct sg_err *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static enum sg_status add(struct sg_analysis *a, struct sg_metric m, struct sg_err *err, const char *fmt,
                          ...) {
    enum sg_status st = SG_OK;
    char text[1024], *detail; /* three names fit */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    SG_TRY(sg_arena_dup(&a->strings, text, strlen(text), &detail, err));
    m.detail = detail;
    SG_TRY(SG_GROW(&a->metric, &a->cap_metric, a->n_metric + 1, "metrics", err));
    a->metric[a->n_metric++] = m;
out:
    return st;
}

/* A model's name for a metric's detail: 56 columns of up to 4 bytes. */
enum { NAME_COLUMNS = 56, NAME_BYTES = 4 * NAME_COLUMNS + 1 };
static const char *name_of(const struct sg_analysis *a, int32_t k, char buf[NAME_BYTES]) {
    return sg_text_cut(sg_dataset_model(a->data, k), NAME_COLUMNS, buf, NAME_BYTES);
}

/* One curve and what its metrics are measured by. The hull is a maximum over noisy points: what is read off it
 * is too good by their noise, in every resample once more, so that no resampling gives an interval for it. */
struct basis {
    const struct sg_curve *curve;
    struct sg_xy *hull; /* [n_grid] points (cost truly paid, accuracy) */
    int64_t n_hull;
    double best_accuracy, best_cost;
    double cost_low, cost_high;
};

static void set_curve(const struct sg_analysis *a, enum sg_curve_id id, struct basis *b) {
    const struct sg_curve *c = b->curve = &a->curve[id];
    for (int32_t g = 0; g < a->opt.n_grid; g++) b->hull[g] = (struct sg_xy){c->cost[g], c->accuracy[g]};
    b->n_hull = sg_hull_nondecreasing(b->hull, a->opt.n_grid);
}

static double aiq(const struct basis *b) {
    return b->n_hull ? sg_aiq(b->hull, b->n_hull, b->hull[0].x, b->cost_high) : (double)NAN;
}
static double qnc(const struct basis *b) {
    return sg_qnc(b->hull, b->n_hull, b->best_accuracy, b->best_cost);
}
static double arena(const struct basis *b) {
    double best = (double)NAN;
    for (int64_t i = 0; i < b->n_hull; i++) {
        const double s = sg_router_arena(b->hull[i].y, b->hull[i].x, b->cost_low, b->cost_high);
        if (!(s <= best)) best = s;
    }
    return best;
}

/* What the detail of a metric names: the bounds or the model that its value depends on. */
enum beside { BESIDE_ENDS, BESIDE_BEST, BESIDE_BOUNDS };
#define OPTIMISTIC "; optimistic by the noise of the points, no interval"

static const struct {
    const char *name, *source, *formula;
    double (*fn)(const struct basis *b);
    enum beside beside;
} of_a_curve[] = {
    {"AIQ", "RouterBench arXiv:2403.12031",
     "area under the non-decreasing convex hull over [c_min, c_max] / (c_max - c_min)" OPTIMISTIC, aiq,
     BESIDE_ENDS},
    {"QNC", "UniRoute arXiv:2502.08773",
     "least cost at which the hull reaches the best single model's accuracy / that model's cost" OPTIMISTIC,
     qnc, BESIDE_BEST},
    {"Arena score", "RouterArena arXiv:2510.00202",
     "max over the curve of (1 + b) A C / (b A + C), b = 0.1, C on a log2 scale of cost" OPTIMISTIC, arena,
     BESIDE_BOUNDS},
};

static enum sg_status curve_metrics(struct sg_analysis *a, enum sg_curve_id id, struct basis *b,
                                    struct sg_err *err) {
    enum sg_status st = SG_OK;
    char n1[NAME_BYTES];
    set_curve(a, id, b);
    for (size_t i = 0; i < sizeof of_a_curve / sizeof *of_a_curve; i++) {
        const struct sg_metric m = {.name = of_a_curve[i].name,
                                    .source = of_a_curve[i].source,
                                    .formula = of_a_curve[i].formula,
                                    .curve = sg_curve_name[id],
                                    .value = {of_a_curve[i].fn(b), (double)NAN, (double)NAN}};
        switch (of_a_curve[i].beside) {
        case BESIDE_ENDS:
            SG_TRY(add(a, m, err, "c_min = cheapest policy of the curve, c_max = %.6g USD", b->cost_high));
            break;
        case BESIDE_BEST:
            SG_TRY(add(a, m, err, "against %s", name_of(a, a->best_single, n1)));
            break;
        case BESIDE_BOUNDS:
            SG_TRY(add(a, m, err, "cost bounds %.6g and %.6g USD (cheapest and dearest single model)",
                       b->cost_low, b->cost_high));
            break;
        }
    }
out:
    return st;
}

enum sg_status sg__curve_aiq(const struct sg_analysis *a, enum sg_curve_id id, double cost_high,
                             double *value, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct basis b = {.cost_high = cost_high};
    SG_TRY(SG_NEW(&b.hull, a->opt.n_grid, "hull", err));
    set_curve(a, id, &b);
    *value = aiq(&b);
out:
    free(b.hull);
    return st;
}

/* RouteLLM's two-model setting on this pool: strong = best single model, weak = cheapest. */
static enum sg_status two_models(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = a->data;
    const int32_t weak = a->cheapest_single, strong = a->best_single;
    double *x = NULL, apgr, cpt[2];
    char n1[NAME_BYTES], n2[NAME_BYTES];
    static const double level[2] = {0.5, 0.8};
    int64_t n = 0;
    if (weak == strong) return SG_OK;
    SG_TRY(SG_NEW(&x, 3 * d->n_scored, "two models", err));
    double *margin = x, *y_weak = x + d->n_scored, *y_strong = y_weak + d->n_scored;
    for (int64_t q = 0; q < d->n; q++) {
        const int64_t at = q * d->m;
        if (!d->scored[q] || isnan(d->p[at + weak]) || isnan(d->p[at + strong])) continue;
        margin[n] = d->p[at + strong] - d->p[at + weak];
        y_weak[n] = d->tp[at + weak];
        y_strong[n++] = d->tp[at + strong];
    }
    if (!n) goto out;
    SG_TRY(sg_route_llm(margin, y_weak, y_strong, n, &apgr, level, cpt, 2, err));
    struct sg_metric m = {
        .source = "RouteLLM arXiv:2406.18665", .curve = "", .value = {apgr, (double)NAN, (double)NAN}};
    m.name = "APGR";
    m.formula = "mean over 10 strong shares of (r - weak) / (strong - weak); 0.5 at random";
    SG_TRY(add(a, m, err, "strong %s, weak %s", name_of(a, strong, n1), name_of(a, weak, n2)));
    for (int i = 0; i < 2; i++) {
        m.name = i ? "CPT(80%)" : "CPT(50%)";
        m.formula = "least share of strong calls whose PGR reaches the level";
        m.value.value = cpt[i];
        SG_TRY(add(a, m, err, "strong %s, weak %s", name_of(a, strong, n1), name_of(a, weak, n2)));
    }
out:
    free(x);
    return st;
}

/* What the metrics below are computed from, of the sample and of each resample: the accuracy of the curve at its
 * largest budget and at the best single model's cost, of the oracle without a budget, and of single models. */
struct levels {
    double top, at_best, oracle, worst, weak, strong;
};

static double pgr_scope(const struct levels *x) {
    return sg_pgr(x->top, x->worst, x->oracle);
}
static double pgr_route_llm(const struct levels *x) {
    return sg_pgr(x->top, x->weak, x->strong);
}
static double gap_to_oracle(const struct levels *x) {
    return x->oracle - x->top;
}
static double gain_at_budget(const struct levels *x) {
    return x->at_best - x->strong;
}

/* Accuracy [n_grid] at a budget, linear in the budget: no point is chosen for its accuracy. */
static double at_budget(const double *grid, const double *accuracy, int32_t n, double budget) {
    int32_t g = 0;
    while (g + 2 < n && grid[g + 1] < budget) g++;
    if (g + 1 >= n || grid[g + 1] <= grid[g]) return accuracy[n - 1];
    const double f = fmin(1, (budget - grid[g]) / (grid[g + 1] - grid[g]));
    return f >= 1 ? accuracy[g + 1] : accuracy[g] + f * (accuracy[g + 1] - accuracy[g]);
}

static struct levels levels_of(const struct sg_analysis *a, const double *curve, const double *oracle,
                               double worst, double weak, double strong) {
    const int32_t n = a->opt.n_grid;
    return (struct levels){.top = curve[n - 1],
                           .at_best = at_budget(a->grid, curve, n, sg__single_cost(a, a->best_single)),
                           .oracle = oracle[n - 1],
                           .worst = worst,
                           .weak = weak,
                           .strong = strong};
}

/* Metrics of the realised curve against single models and the oracle, with intervals of the same resamples. The
 * models are named, and an interval is of the distance to that model. */
static enum sg_status pool_gap(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    static const struct {
        const char *name, *source, *formula;
        double (*fn)(const struct levels *x);
    } of[] = {{"PGR (SCOPE)", "SCOPE arXiv:2601.22323",
               "(accuracy of the curve at its largest budget - worst model) / (oracle - worst model)",
               pgr_scope},
              {"PGR (RouteLLM)", "RouteLLM arXiv:2406.18665",
               "(accuracy of the curve at its largest budget - weak) / (strong - weak)", pgr_route_llm},
              {"Gap@Oracle", "LLMRouterBench arXiv:2601.07206",
               "oracle accuracy - accuracy of the curve at its largest budget", gap_to_oracle},
              {"Gain@Budget", "LLMRouterBench arXiv:2601.07206",
               "accuracy of the curve at the strong model's cost - that model's accuracy", gain_at_budget}};
    const struct sg_curve *c = &a->curve[SG_CURVE_REALISED], *o = &a->curve[SG_CURVE_ORACLE];
    const int32_t n = a->opt.n_grid;
    const int64_t reps = c->rep && o->rep && a->best_rep_accuracy ? a->opt.reps : 0;
    char worst[NAME_BYTES], weak[NAME_BYTES], strong[NAME_BYTES];
    double *rep = NULL;
    SG_TRY(SG_NEW(&rep, 2 * reps, "replicates", err));
    const struct levels x =
        levels_of(a, c->accuracy, o->accuracy, sg__single_accuracy(a, a->worst_single),
                  sg__single_accuracy(a, a->cheapest_single), sg__single_accuracy(a, a->best_single));
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        struct sg_metric m = {.name = of[i].name,
                              .source = of[i].source,
                              .formula = of[i].formula,
                              .curve = sg_curve_name[SG_CURVE_REALISED],
                              .value = {of[i].fn(&x), (double)NAN, (double)NAN}};
        for (int64_t r = 0; r < reps; r++) {
            const struct levels y = levels_of(a, c->rep + r * n, o->rep + r * n, a->worst_rep_accuracy[r],
                                              a->cheapest_rep_accuracy[r], a->best_rep_accuracy[r]);
            rep[r] = of[i].fn(&y);
        }
        if (reps && !isnan(m.value.value))
            sg_boot_interval(rep, reps, 1, 0, &m.value.low, &m.value.high, rep + reps);
        SG_TRY(add(a, m, err, "worst %s, weak %s, strong %s, oracle %.4f without a budget",
                   name_of(a, a->worst_single, worst), name_of(a, a->cheapest_single, weak),
                   name_of(a, a->best_single, strong), x.oracle));
    }
out:
    free(rep);
    return st;
}

/* Regret of the policy that maximises estimated p - lambda c, by the truth, at the lambdas the models are
 * valued at. */
static enum sg_status regrets(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = a->data;
    uint32_t *vertex = NULL;
    double *x = NULL;
    struct sg_metric m = {.name = "regret",
                          .source = "regret to the oracle",
                          .formula = "mean over queries of max_m (p - lambda c) true less that of the model "
                                     "that maximises the estimate",
                          .curve = ""};
    SG_TRY(SG_NEW(&vertex, d->n, "regret", err));
    SG_TRY(SG_NEW(&x, 2 * d->n, "regret", err));
    for (size_t i = 0; i < a->n_value; i++) {
        const double lambda = a->value_predicted[i].lambda;
        struct sg_policy policy;
        sg_path_at_lambda(&a->scope, lambda, &policy);
        sg_path_vertices(&a->scope, policy.steps, vertex);
        for (int64_t q = 0; q < d->n; q++) {
            if (!d->scored[q]) continue;
            const int64_t chosen = q * d->m + a->scope.model[vertex[q]];
            x[q] = sg__best_utility(d, q, lambda) - (d->tp[chosen] - lambda * d->tc[chosen]);
            x[d->n + q] = 1;
        }
        struct sg_boot_ratio mean = {.num = x, .den = x + d->n};
        SG_TRY(sg_boot_ratios(&mean, 1, d->n, a->opt.seed, a->opt.reps, a->opt.threads, err));
        m.value = (struct sg_value){mean.value, mean.low, mean.high};
        SG_TRY(add(a, m, err, "lambda = %.6g per USD", lambda));
    }
out:
    free(vertex);
    free(x);
    return st;
}

enum sg_status sg__literature_metrics(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    static const enum sg_curve_id of[] = {SG_CURVE_REALISED, SG_CURVE_KNN, SG_CURVE_ANCHOR, SG_CURVE_ROUTER,
                                          SG_CURVE_ORACLE};
    struct basis b = {.curve = NULL};
    if (!a->data->n_scored) return SG_OK;
    SG_TRY(SG_NEW(&b.hull, a->opt.n_grid, "hull", err));
    b.best_accuracy = sg__single_accuracy(a, a->best_single);
    b.best_cost = sg__single_cost(a, a->best_single);
    b.cost_low = sg__single_cost(a, a->cheapest_single);
    b.cost_high = b.cost_low;
    for (int32_t k = 0; k < a->data->m; k++) b.cost_high = fmax(b.cost_high, sg__single_cost(a, k));
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        if (a->curve[of[i]].present) SG_TRY(curve_metrics(a, of[i], &b, err));
    SG_TRY(pool_gap(a, err));
    SG_TRY(two_models(a, err));
    SG_TRY(regrets(a, err));
out:
    free(b.hull);
    return st;
}
