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
    char text[512], *detail;
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

/* What a number is computed from in each replicate: one curve on the grid and the best single model. */
struct basis {
    const struct sg_analysis *a;
    struct sg_xy *hull; /* [n_grid] */
    int64_t n_hull;
    double best_accuracy, best_cost;
    double cost_low, cost_high;
};

/* The hull of a curve: points (cost truly paid, accuracy); cost NULL: the budgets themselves. */
static void set_hull(struct basis *b, const double *accuracy, const double *cost) {
    const int32_t n = b->a->opt.n_grid;
    for (int32_t g = 0; g < n; g++) b->hull[g] = (struct sg_xy){cost ? cost[g] : b->a->grid[g], accuracy[g]};
    b->n_hull = sg_hull_nondecreasing(b->hull, n);
}

typedef double metric_fn(const struct basis *b);

static double best_on_hull(const struct basis *b) {
    return b->n_hull ? b->hull[b->n_hull - 1].y : (double)NAN;
}
static double aiq_paper(const struct basis *b) {
    return b->n_hull ? sg_aiq(b->hull, b->n_hull, b->hull[0].x, b->cost_high) : (double)NAN;
}
static double aiq_code(const struct basis *b) {
    return sg_aiq_code(b->hull, b->n_hull, b->cost_high);
}
static double qnc(const struct basis *b) {
    return sg_qnc(b->hull, b->n_hull, b->best_accuracy, b->best_cost);
}
static double cost_save(const struct basis *b) {
    return 1 - qnc(b);
}
static double gain_at_budget(const struct basis *b) {
    return sg_hull_at(b->hull, b->n_hull, b->best_cost) - b->best_accuracy;
}
static double arena(const struct basis *b) {
    double best = (double)NAN;
    for (int64_t i = 0; i < b->n_hull; i++) {
        const double s = sg_router_arena(b->hull[i].y, b->hull[i].x, b->cost_low, b->cost_high);
        if (!(s <= best)) best = s;
    }
    return best;
}

/* The metric of a curve with its bootstrap interval. */
static enum sg_status value_of(const struct sg_analysis *a, const struct sg_curve *c, struct basis *b,
                               metric_fn *fn, struct sg_value *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t reps = c->rep && a->best_rep_accuracy ? a->opt.reps : 0;
    double *rep = NULL, *scratch = NULL;
    *out = (struct sg_value){(double)NAN, (double)NAN, (double)NAN};
    SG_TRY(SG_NEW(&rep, reps, "replicates", err));
    SG_TRY(SG_NEW(&scratch, reps, "replicates", err));
    for (int64_t r = 0; r < reps; r++) {
        const int64_t at = r * a->opt.n_grid;
        set_hull(b, c->rep + at, c->rep_cost ? c->rep_cost + at : NULL);
        b->best_accuracy = a->best_rep_accuracy[r];
        b->best_cost = a->best_rep_cost[r];
        rep[r] = fn(b);
    }
    b->best_accuracy = sg__single_accuracy(a, a->best_single);
    b->best_cost = sg__single_cost(a, a->best_single);
    set_hull(b, c->accuracy, c->cost);
    out->value = fn(b);
    if (reps && !isnan(out->value)) sg_boot_interval(rep, reps, 1, 0, &out->low, &out->high, scratch);
out:
    free(rep);
    free(scratch);
    return st;
}

/* What the detail of a metric names: the bounds or the model that its value depends on. */
enum beside { BESIDE_ENDS, BESIDE_MAX, BESIDE_BEST, BESIDE_BOUNDS };

static const struct {
    const char *name, *source, *formula;
    metric_fn *fn;
    enum beside beside;
} of_a_curve[] = {
    {"AIQ (paper)", "RouterBench arXiv:2403.12031",
     "area under the non-decreasing convex hull over [c_min, c_max] / (c_max - c_min)", aiq_paper,
     BESIDE_ENDS},
    {"AIQ (code)", "RouterBench arXiv:2403.12031",
     "area under the hull, flat to c_max and 0 before its first point, / c_max", aiq_code, BESIDE_MAX},
    {"QNC", "UniRoute arXiv:2502.08773",
     "least cost that reaches the best single model's accuracy / that model's cost", qnc, BESIDE_BEST},
    {"CostSave", "LLMRouterBench arXiv:2601.07206", "1 - QNC", cost_save, BESIDE_BEST},
    {"Gain@Budget", "LLMRouterBench arXiv:2601.07206",
     "accuracy at the best single model's cost - that model's accuracy", gain_at_budget, BESIDE_BEST},
    {"Arena score", "RouterArena arXiv:2510.00202",
     "max over the curve of (1 + b) A C / (b A + C), b = 0.1, C on a log2 scale of cost", arena,
     BESIDE_BOUNDS},
};

static enum sg_status curve_metrics(struct sg_analysis *a, enum sg_curve_id id, struct basis *b,
                                    struct sg_err *err) {
    enum sg_status st = SG_OK;
    char n1[NAME_BYTES];
    for (size_t i = 0; i < sizeof of_a_curve / sizeof *of_a_curve; i++) {
        struct sg_metric m = {.name = of_a_curve[i].name,
                              .source = of_a_curve[i].source,
                              .formula = of_a_curve[i].formula,
                              .curve = sg_curve_name[id]};
        SG_TRY(value_of(a, &a->curve[id], b, of_a_curve[i].fn, &m.value, err));
        switch (of_a_curve[i].beside) {
        case BESIDE_ENDS:
            SG_TRY(add(a, m, err, "c_min = cheapest policy of the curve, c_max = %.6g USD", b->cost_high));
            break;
        case BESIDE_MAX:
            SG_TRY(add(a, m, err, "c_max = %.6g USD", b->cost_high));
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
                             double *value, double *rep, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_curve *c = &a->curve[id];
    struct basis b = {.a = a, .cost_high = cost_high};
    SG_TRY(SG_NEW(&b.hull, a->opt.n_grid, "hull", err));
    for (int64_t r = 0; rep && c->rep && r < a->opt.reps; r++) {
        const int64_t at = r * a->opt.n_grid;
        set_hull(&b, c->rep + at, c->rep_cost ? c->rep_cost + at : NULL);
        rep[r] = aiq_paper(&b);
    }
    set_hull(&b, c->accuracy, c->cost);
    *value = aiq_paper(&b);
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

/* PGR between the pool's ends, and the distance to the oracle. */
static enum sg_status pool_gap(struct sg_analysis *a, struct basis *b, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_curve *c = &a->curve[SG_CURVE_REALISED];
    const double top = a->curve[SG_CURVE_ORACLE].accuracy[a->opt.n_grid - 1];
    const double worst = sg__single_accuracy(a, a->worst_single),
                 strong = sg__single_accuracy(a, a->best_single);
    struct sg_metric m = {.curve = sg_curve_name[SG_CURVE_REALISED]};
    struct sg_value r;
    char n1[NAME_BYTES], n2[NAME_BYTES];
    SG_TRY(value_of(a, c, b, best_on_hull, &r, err));
    m.name = "PGR (SCOPE)";
    m.source = "SCOPE arXiv:2601.22323";
    m.formula = "(best accuracy of the curve - worst model) / (oracle - worst model)";
    m.value =
        (struct sg_value){sg_pgr(r.value, worst, top), sg_pgr(r.low, worst, top), sg_pgr(r.high, worst, top)};
    SG_TRY(add(a, m, err, "worst %s, oracle %.4f", name_of(a, a->worst_single, n1), top));
    const double weak = sg__single_accuracy(a, a->cheapest_single);
    m.name = "PGR (RouteLLM)";
    m.source = "RouteLLM arXiv:2406.18665";
    m.formula = "(best accuracy of the curve - weak) / (strong - weak)";
    m.value = (struct sg_value){sg_pgr(r.value, weak, strong), sg_pgr(r.low, weak, strong),
                                sg_pgr(r.high, weak, strong)};
    SG_TRY(add(a, m, err, "strong %s, weak %s", name_of(a, a->best_single, n1),
               name_of(a, a->cheapest_single, n2)));
    m.name = "Gap@Oracle";
    m.source = "LLMRouterBench arXiv:2601.07206";
    m.formula = "oracle accuracy - best accuracy of the curve";
    m.value = (struct sg_value){top - r.value, top - r.high, top - r.low};
    SG_TRY(add(a, m, err, "oracle %.4f without a budget", top));
out:
    return st;
}

/* Regret of the policy that maximises estimated p - lambda c, by the truth, at the lambdas the models are
 * valued at. */
static enum sg_status regrets(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const struct sg_dataset *d = a->data;
    uint32_t *vertex = NULL;
    struct sg_metric m = {.name = "regret",
                          .source = "regret to the oracle",
                          .formula = "mean over queries of max_m (p - lambda c) true less that of the model "
                                     "that maximises the estimate",
                          .curve = ""};
    SG_TRY(SG_NEW(&vertex, d->n, "regret", err));
    for (size_t i = 0; i < a->n_value; i++) {
        const double lambda = a->value_predicted[i].lambda;
        struct sg_policy policy;
        double sum = 0, square = 0;
        sg_path_at_lambda(&a->scope, lambda, &policy);
        sg_path_vertices(&a->scope, policy.steps, vertex);
        for (int64_t q = 0; q < d->n; q++) {
            if (!d->scored[q]) continue;
            const int64_t chosen = q * d->m + a->scope.model[vertex[q]];
            const double r = sg__best_utility(d, q, lambda) - (d->tp[chosen] - lambda * d->tc[chosen]);
            sum += r;
            square += r * r;
        }
        const double n = (double)d->n_scored, mean = sum / n;
        const double half =
            n > 1 ? 1.959963984540054 * sqrt(fmax(0, square - sum * mean) / (n - 1) / n) : (double)NAN;
        m.value = (struct sg_value){mean, mean - half, mean + half};
        SG_TRY(add(a, m, err, "lambda = %.6g per USD", lambda));
    }
out:
    free(vertex);
    return st;
}

enum sg_status sg__literature_metrics(struct sg_analysis *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    static const enum sg_curve_id of[] = {SG_CURVE_REALISED, SG_CURVE_KNN, SG_CURVE_ANCHOR, SG_CURVE_ROUTER,
                                          SG_CURVE_ORACLE};
    struct basis b = {.a = a};
    if (!a->data->n_scored) return SG_OK;
    SG_TRY(SG_NEW(&b.hull, a->opt.n_grid, "hull", err));
    b.cost_low = sg__single_cost(a, a->cheapest_single);
    b.cost_high = b.cost_low;
    for (int32_t k = 0; k < a->data->m; k++) b.cost_high = fmax(b.cost_high, sg__single_cost(a, k));
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        if (a->curve[of[i]].present) SG_TRY(curve_metrics(a, of[i], &b, err));
    SG_TRY(pool_gap(a, &b, err));
    SG_TRY(two_models(a, err));
    SG_TRY(regrets(a, err));
out:
    free(b.hull);
    return st;
}
