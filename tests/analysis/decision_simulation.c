/* decision_simulation - does the decision keep its promises? Draws worlds whose truth is known (models, questions,
 * anchors, an estimator that is good, weak or useless, or useless together with the nearest anchors), asks
 * sg_decide without telling it, and counts: how often
 *
 *     decision_simulation [--OPTION VALUE]...
 *       --runs N       worlds for each estimator (200)
 *       --queries N    questions to decide for (120)
 *       --anchors N    anchors with outcomes of all models (250)
 *       --cells N      anchors that the estimator estimated as well (64)
 *       --truth SHARE  of the queries, from the first on, whose outcomes are known (0)
 *       --splits N     cross-fits (20, as scope-frontier has it)
 *       --budgets N    from the cheapest to the dearest model's cost (5; scope-frontier has 41)
 *       --holes N      the first N models have no outcome on the anchors of one category each (0)
 *       --unseen 1     of two more categories, which differ more, one has no anchor (0)
 *       --incumbent N  what is advised is compared with model N, in use (-1: none)
 *       --seed N       of the worlds (1)
 *       --only N       the worlds of one estimator: 0 good, 1 weak, 2 useless, 3 nothing
 *       --estimate N   0 scope, 1 anchored, 2 combined; without it the least cross-fitted log loss chooses
 *       --by-kind 1    as well, of one model, mix, table and routing: see tell_sides()
 *       --check 1      exit status 1 where a bound is broken that few runs must meet too: see check()
 *
 * A gain's interval is about queries like these (4,000 more are drawn). Those of accuracy, cost and saving are too where
 * there is truth; without it they are about the outcomes of these queries.
 * tests/analysis/decision_coverage.md holds a run of it. */
#include "analysis/decision.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/status.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { M = 8, C = 3, MOST_C = 5, BUDGETS = 5, MOST_BUDGETS = 41, POPULATION = 4000 };
enum { SPLIT_FOLDS = 5 };

struct random {
    uint64_t key, at;
};
static double unit(struct random *r) {
    return ((double)(sg_random64(r->key, r->at++) >> 12) + 0.5) / 4503599627370496.0;
}
static double normal(struct random *r) {
    const double x = sqrt(-2 * log(unit(r)));
    return x * cos(6.283185307179586 * unit(r));
}
static double expit(double x) {
    return 1 / (1 + exp(-x));
}

/* Questions with the truth of each model and what the estimator says. */
struct questions {
    int64_t n;
    int32_t *category;
    double *chance, *y, *length, *p, *estimated_length, *knn, *knn_length, *input_cost, *cost;
    uint64_t *key;
};
struct world {
    int32_t categories, answered; /* of questions; those of anchors */
    double ability[M], by_category[MOST_C][M], longer[MOST_C], price[M], tokens[M], bias[M], bias_length[M];
    double signal, noise; /* of the estimator, in logits */
    double neighbours;    /* 1: the nearest anchors say something of the question; 0: nothing */
};

static void *need(size_t n, size_t size) {
    void *p = calloc(n, size);
    if (!p) exit(70);
    return p;
}

static struct questions ask(const struct world *w, int64_t n, int32_t categories, struct random *r) {
    struct questions q = {.n = n};
    q.category = need((size_t)n, sizeof *q.category);
    q.key = need((size_t)n, sizeof *q.key);
    double **all[] = {&q.chance, &q.y,          &q.length,     &q.p,   &q.estimated_length,
                      &q.knn,    &q.knn_length, &q.input_cost, &q.cost};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) *all[i] = need((size_t)n * M, sizeof(double));
    for (int64_t i = 0; i < n; i++) {
        const int32_t c = q.category[i] = (int32_t)(unit(r) * categories);
        const double hard = 1.2 * normal(r), near = hard + 1.5 * normal(r), prompt = exp(5 + 0.5 * normal(r));
        q.key[i] = sg_random64(r->key ^ 77, r->at++);
        for (int32_t k = 0; k < M; k++) {
            const int64_t at = i * M + k;
            const double own = 0.8 * normal(r), base = w->ability[k] + w->by_category[c][k];
            q.chance[at] = expit(base - hard + own);
            q.y[at] = unit(r) < q.chance[at];
            q.length[at] = ceil(w->tokens[k] * exp(w->longer[c] + 0.25 * hard + 0.5 * normal(r)));
            q.p[at] =
                expit(w->bias[k] + 0.7 * w->ability[k] + w->signal * (own - hard) + w->noise * normal(r));
            q.estimated_length[at] = w->bias_length[k] * exp(0.25 * w->signal * hard + 0.3 * normal(r));
            q.knn[at] = expit(base - 0.4 * w->neighbours * near + 0.8 * normal(r));
            q.knn_length[at] = w->tokens[k] * exp(0.3 * normal(r));
            q.input_cost[at] = prompt * w->price[k] / 4;
            q.cost[at] = q.input_cost[at] + q.length[at] * w->price[k];
        }
    }
    return q;
}
static void forget(struct questions *q) {
    void *all[] = {q->category,         q->key, q->chance,     q->y,          q->length, q->p,
                   q->estimated_length, q->knn, q->knn_length, q->input_cost, q->cost};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static struct world create(double signal, double noise, double neighbours, bool unseen, struct random *r) {
    struct world w = {.categories = unseen ? MOST_C : C,
                      .answered = unseen ? MOST_C - 1 : C,
                      .signal = signal,
                      .noise = noise,
                      .neighbours = neighbours};
    for (int32_t k = 0; k < M; k++) {
        w.ability[k] = -1.2 + 0.45 * k + 0.4 * normal(r);
        w.price[k] = 1e-7 * pow(2.2, k) * exp(0.3 * normal(r));
        w.tokens[k] = 250 * exp(0.3 * normal(r));
        w.bias[k] = 0.5 * normal(r);
        w.bias_length[k] = w.tokens[k] * exp(0.4 * normal(r));
        for (int32_t c = 0; c < w.categories; c++) w.by_category[c][k] = 0.5 * normal(r);
    }
    for (int32_t c = 0; unseen && c < w.categories; c++) {
        const double harder = 0.7 * normal(r);
        w.longer[c] = 0.4 * normal(r);
        for (int32_t k = 0; k < M; k++) w.by_category[c][k] -= harder;
    }
    return w;
}

static struct sg_rows rows_of(const struct questions *q, int64_t n, int32_t categories) {
    struct sg_rows r = {0};
    const struct sg_raw_rows raw = {
        n, M, q->category, q->p, q->estimated_length, q->knn, q->knn_length, q->input_cost};
    if (sg_rows_make(&raw, categories, &r, NULL) != SG_OK) exit(70);
    return r;
}

/* What a rule is truly worth on questions whose estimates are p and c: chance or outcome, and cost. */
static void worth(const struct sg_rule *rule, const struct questions *q, const double *p, const double *c,
                  bool outcome, double *accuracy, double *cost) {
    const double w = rule->kind == SG_CANDIDATE_MIX ? rule->weight : 0;
    const double *x = outcome ? q->y : q->chance;
    *accuracy = *cost = 0;
    for (int64_t i = 0; i < q->n; i++) {
        const int32_t a = sg_rule_model(rule, M, q->category[i], p + i * M, c + i * M, 2),
                      b = w > 0 ? rule->to : a;
        *accuracy += ((1 - w) * x[i * M + a] + w * x[i * M + b]) / (double)q->n;
        *cost += ((1 - w) * q->cost[i * M + a] + w * q->cost[i * M + b]) / (double)q->n;
    }
}

/* On which side of their intervals bills and savings lie: below, above, and by how many standard errors on average. */
struct sides {
    int64_t n, below, above;
    double errors;
};
static void side(struct sides *s, double truth, double told, double low, double high) {
    if (!(high > low)) return;
    s->n++;
    s->below += truth < low;
    s->above += truth > high;
    s->errors += (truth - told) / (high - low) * 2 * 1.96;
}

struct tally {
    struct sides bill_of[SG_CANDIDATES], saving_of[SG_CANDIDATES];
    int64_t n, advised[SG_CANDIDATES], accuracy, cost, gain, saving, n_gain, claims, worse, near_bill, again;
    double width, true_gain, bill, high, high_gain;
    int64_t versus, n_versus;
    double high_versus;
};
/* gain: expected on queries like these */
static void count(struct tally *t, const struct sg_decision_step *s, int b, double accuracy, double cost,
                  double single_cost, double gain) {
    const struct sg_candidate_value *v = &s->told;
    t->n++;
    t->again += s->as_at != b;
    t->advised[s->advised]++;
    t->accuracy += accuracy >= s->told.accuracy.low && accuracy <= s->told.accuracy.high;
    t->cost += cost >= v->cost.low && cost <= v->cost.high;
    t->width += s->told.accuracy.high - s->told.accuracy.low;
    t->high += s->told.accuracy.value - accuracy;
    t->true_gain += gain;
    t->bill += cost / s->budget;
    side(&t->bill_of[s->advised], log(cost), log(v->cost.value), log(v->cost.low), log(v->cost.high));
    t->near_bill += fabs(cost / v->cost.value - 1) <= 0.1;
    if (s->advised == SG_CANDIDATE_SINGLE) return;
    t->n_gain++;
    t->gain += gain >= s->told.gain.low && gain <= s->told.gain.high;
    t->high_gain += s->told.gain.value - gain;
    const double saved = 1 - cost / single_cost;
    side(&t->saving_of[s->advised], log(1 - saved), log(1 - v->saving.value), log(1 - v->saving.high),
         log(1 - v->saving.low));
    t->saving += saved >= v->saving.low && saved <= v->saving.high;
    t->claims += s->told.gain.low > 0;
    t->worse += s->told.gain.low > 0 && gain < 0;
}

/* Shares of the true bills, and of what is paid of the best affordable model's bill, below and above their intervals, and
 * how many standard errors of the told one they lie above it on average, by what is advised. */
static void tell_sides(const struct tally *t, const char *name) {
    for (int k = 0; k < SG_CANDIDATES; k++)
        for (int i = 0; i < 2; i++) {
            const struct sides *s = i ? &t->saving_of[k] : &t->bill_of[k];
            const double n = (double)s->n;
            printf("%-8s %-9s %-6s %6.0f: below %5.1f above %5.1f, %+6.2f standard errors\n", name,
                   sg_candidate_name[k], i ? "saving" : "bill", n, 100 * (double)s->below / n,
                   100 * (double)s->above / n, s->errors / n);
        }
}

/* Wide enough for 60 worlds, which differ by chance: intervals that hold, and no routing by noise. */
static bool check(const struct tally *t, const char *name, bool useless) {
    const double all = (double)t->n / 100, accuracy = (double)t->accuracy / all, cost = (double)t->cost / all;
    const double routing = (double)t->advised[SG_CANDIDATE_ROUTING] / all;
    bool ok = true;
    if (!(accuracy >= 88) || !(cost >= 88)) {
        printf(
            "FAIL %s: the intervals hold in %.1f %% (accuracy) and %.1f %% (cost), at least 88 %% expected\n",
            name, accuracy, cost);
        ok = false;
    }
    if (useless ? routing > 10 : routing < 10) {
        printf("FAIL %s: routing is advised in %.1f %%, %s 10 %% expected\n", name, routing,
               useless ? "at most" : "at least");
        ok = false;
    }
    return ok;
}

int main(int argc, char **argv) {
    long runs = 200, n = 120, na = 250, cells = 64, splits = 20, seed = 1, nb = BUDGETS, holes = 0,
         unseen = 0, used = -1;
    double truth = 0;
    int kind = -1, only = -1;
    bool bounds = false, by_kind = false, ok = true;
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *o = argv[i];
        if (!strcmp(o, "--runs"))
            runs = atol(argv[i + 1]);
        else if (!strcmp(o, "--queries"))
            n = atol(argv[i + 1]);
        else if (!strcmp(o, "--anchors"))
            na = atol(argv[i + 1]);
        else if (!strcmp(o, "--cells"))
            cells = atol(argv[i + 1]);
        else if (!strcmp(o, "--truth"))
            truth = atof(argv[i + 1]);
        else if (!strcmp(o, "--splits"))
            splits = atol(argv[i + 1]);
        else if (!strcmp(o, "--budgets"))
            nb = atol(argv[i + 1]);
        else if (!strcmp(o, "--holes"))
            holes = atol(argv[i + 1]);
        else if (!strcmp(o, "--unseen"))
            unseen = atol(argv[i + 1]);
        else if (!strcmp(o, "--incumbent"))
            used = atol(argv[i + 1]);
        else if (!strcmp(o, "--seed"))
            seed = atol(argv[i + 1]);
        else if (!strcmp(o, "--only"))
            only = atoi(argv[i + 1]);
        else if (!strcmp(o, "--estimate"))
            kind = atoi(argv[i + 1]);
        else if (!strcmp(o, "--by-kind"))
            by_kind = atoi(argv[i + 1]) != 0;
        else if (!strcmp(o, "--check"))
            bounds = atoi(argv[i + 1]) != 0;
        else
            return 2;
    }
    static const struct {
        const char *name;
        double signal, noise, neighbours;
    } estimator[] = {
        {"good", 0.9, 0.4, 1}, {"weak", 0.35, 0.8, 1}, {"useless", 0, 1, 1}, {"nothing", 0, 1, 0}};
    if (nb < 2 || nb > MOST_BUDGETS || holes < 0 || holes > M || used >= M) return 2;
    printf("%ld runs, %ld queries (truth of %.0f %%), %ld anchors, %ld calibrated, %ld splits\n", runs, n,
           100 * truth, na, cells, splits);
    printf("%-8s %6s | %5s %5s %5s %5s | %5s %5s %5s %5s | %6s %6s %9s %9s %6s %5s %5s %5s\n", "", "budget",
           "one", "mix", "table", "route", "acc.", "cost", "gain", "saved", "width", "high", "true gain",
           "gain high", "bill", "10 %", "worse", "again");
    for (int e = 0; e < 4; e++) {
        if (only >= 0 && e != only) continue;
        struct tally t[MOST_BUDGETS + 1];
        double chosen[SG_ESTIMATES] = {0}, model_accuracy = 0, model_bill = 0, models = 0, hole_accuracy = 0,
               hole_bill = 0;
        memset(t, 0, sizeof t);
        for (long run = 0; run < runs; run++) {
            struct random r = {.key = sg_random64((uint64_t)seed * 1000 + (uint64_t)e, (uint64_t)run)};
            const struct world w =
                create(estimator[e].signal, estimator[e].noise, estimator[e].neighbours, unseen != 0, &r);
            const int32_t nc = w.categories;
            struct questions q = ask(&w, n, nc, &r), a = ask(&w, na, w.answered, &r), more = {0};
            struct sg_rows rows = rows_of(&q, n, nc), cal = rows_of(&a, cells < na ? cells : na, nc),
                           rows_more = {0};
            int64_t *row = need((size_t)na, sizeof *row), *qrow = need((size_t)n, sizeof *qrow);
            double *ty = need((size_t)(n * M), sizeof *ty), *tl = need((size_t)(n * M), sizeof *tl),
                   budgets[MOST_BUDGETS];
            for (long i = 0; i < na; i++) row[i] = i < cells ? i : -1;
            for (long i = 0; i < n; i++) {
                qrow[i] = i;
                for (int32_t k = 0; k < M; k++) {
                    ty[i * M + k] = (double)i < truth * (double)n ? q.y[i * M + k] : (double)NAN;
                    tl[i * M + k] = q.length[i * M + k];
                }
            }
            for (long i = 0; i < na; i++)
                for (int32_t k = 0; k < M; k++)
                    if (k < holes && a.category[i] == k % C) a.y[i * M + k] = (double)NAN;
            const struct sg_outcomes anchors = {
                .n = na, .m = M, .category = a.category, .correct = a.y, .length = a.length, .cell_row = row};
            const struct sg_outcomes known = {
                .n = n, .m = M, .category = q.category, .correct = ty, .length = tl, .cell_row = qrow};
            struct sg_decision_input in = {.m = M,
                                           .n_categories = nc,
                                           .price_output = w.price,
                                           .queries = &rows,
                                           .calibration = &cal,
                                           .anchors = &anchors,
                                           .truth = truth > 0 ? &known : NULL,
                                           .query_key = q.key,
                                           .anchor_key = a.key,
                                           .estimate = SG_ESTIMATE_COMBINED,
                                           .budgets = budgets,
                                           .n_budgets = (int32_t)nb,
                                           .splits = (int32_t)splits,
                                           .folds = SPLIT_FOLDS,
                                           .max_queries = 4096,
                                           .seed = 1,
                                           .incumbent = (int32_t)used};
            double loss[SG_ESTIMATES];
            int best = 0;
            for (int k = 0; k < SG_ESTIMATES; k++) {
                if (sg_cross_fit(&in, (enum sg_estimate)k, NULL, NULL, &loss[k], NULL) != SG_OK) return 70;
                if (loss[k] < loss[best]) best = k;
            }
            if (kind >= 0) best = kind;
            chosen[best]++;
            in.estimate = (enum sg_estimate)best;
            /* the budgets: from the cheapest to the dearest model's cost */
            double low = INFINITY, high = 0;
            for (int32_t k = 0; k < M; k++) {
                double c = 0;
                for (long i = 0; i < na; i++) c += a.cost[i * M + k] / (double)na;
                low = fmin(low, c);
                high = fmax(high, c);
            }
            for (int b = 0; b < nb; b++) budgets[b] = 1.1 * low * pow(high / low, b / ((double)nb - 1));
            struct sg_decision d = {0};
            struct sg_err err = {0};
            if (sg_decide(&in, &d, &err) != SG_OK) {
                fprintf(stderr, "%s\n", err.text);
                return 70;
            }
            more = ask(&w, POPULATION, nc, &r);
            rows_more = rows_of(&more, POPULATION, nc);
            const bool outcome = !(truth > 0);
            const struct questions *on = outcome ? &q : &more;
            double *p = need((size_t)(POPULATION * M), sizeof *p),
                   *c = need((size_t)(POPULATION * M), sizeof *c);
            double x[MOST_BUDGETS], y[MOST_BUDGETS], y1[MOST_BUDGETS], gain[2], unused;
            sg_estimate_fit_apply(&d.fit, outcome ? &rows : &rows_more, w.price, 0, on->n, p, NULL, c);
            /* every model by itself, chosen by nobody */
            for (int32_t k = 0; k < M; k++) {
                const struct sg_rule rule = {.kind = SG_CANDIDATE_SINGLE, .from = k, .to = -1};
                worth(&rule, on, p, c, outcome, &x[0], &y[0]);
                const bool right = x[0] >= d.single_value[k].low && x[0] <= d.single_value[k].high,
                           paid = y[0] >= d.single_bill[k].low && y[0] <= d.single_bill[k].high;
                if (k < holes) {
                    hole_accuracy += right;
                    hole_bill += paid;
                    continue;
                }
                models++;
                model_accuracy += right;
                model_bill += paid;
            }
            for (int b = 0; b < nb; b++) {
                const struct sg_decision_step *s = &d.step[b];
                if (!s->affordable) continue;
                worth(&s->told.rule, on, p, c, outcome, &x[b], &y[b]);
                worth(&s->candidate[SG_CANDIDATE_SINGLE].rule, on, p, c, outcome, &unused, &y1[b]);
            }
            sg_estimate_fit_apply(&d.fit, &rows_more, w.price, 0, POPULATION, p, NULL, c);
            for (int b = 0; b < nb; b++) {
                const struct sg_decision_step *s = &d.step[b];
                if (!s->affordable) continue;
                for (int i = 0; i < 2; i++)
                    worth(i ? &s->candidate[SG_CANDIDATE_SINGLE].rule : &s->told.rule, &more, p, c, false,
                          &gain[i], &unused);
                if (used >= 0 && !(s->told.rule.kind == SG_CANDIDATE_SINGLE && s->told.rule.from == used)) {
                    const struct sg_rule rule = {
                        .kind = SG_CANDIDATE_SINGLE, .from = (int32_t)used, .to = -1};
                    const struct sg_value *v = &s->told_versus;
                    double its, more_than;
                    worth(&rule, &more, p, c, false, &its, &unused);
                    more_than = gain[0] - its;
                    t[nb].n_versus++;
                    t[nb].versus += more_than >= v->low && more_than <= v->high;
                    t[nb].high_versus += v->value - more_than;
                }
                count(&t[b], s, b, x[b], y[b], y1[b], gain[0] - gain[1]);
                count(&t[nb], s, b, x[b], y[b], y1[b], gain[0] - gain[1]);
            }
            free(p);
            free(c);
            sg_decision_free(&d);
            sg_rows_free(&rows);
            sg_rows_free(&cal);
            sg_rows_free(&rows_more);
            forget(&q);
            forget(&a);
            forget(&more);
            free(row);
            free(qrow);
            free(ty);
            free(tl);
        }
        for (int b = 0; b <= nb; b++) {
            const double all = (double)t[b].n / 100;
            const double gains = t[b].n_gain ? (double)t[b].n_gain / 100 : (double)NAN; /* none: nan */
            char name[16];
            snprintf(name, sizeof name, b < nb ? "%d" : "all", b);
            printf(
                "%-8s %6s | %5.1f %5.1f %5.1f %5.1f | %5.1f %5.1f %5.1f %5.1f | %6.3f %+6.3f %+9.4f %+9.4f "
                "%6.3f %5.1f %5.1f %5.1f\n",
                estimator[e].name, name, (double)t[b].advised[0] / all, (double)t[b].advised[1] / all,
                (double)t[b].advised[2] / all, (double)t[b].advised[3] / all, (double)t[b].accuracy / all,
                (double)t[b].cost / all, (double)t[b].gain / gains, (double)t[b].saving / gains,
                t[b].width / (double)t[b].n, t[b].high / (double)t[b].n, t[b].true_gain / (double)t[b].n,
                t[b].high_gain / (double)t[b].n_gain, t[b].bill / (double)t[b].n,
                (double)t[b].near_bill / all, 100 * (double)t[b].worse / (double)t[b].claims,
                (double)t[b].again / all);
        }
        printf("%-8s estimates chosen: scope %.0f anchored %.0f combined %.0f\n", estimator[e].name,
               chosen[0], chosen[1], chosen[2]);
        if (by_kind) tell_sides(&t[nb], estimator[e].name);
        printf("%-8s each model by itself: accuracy %.1f cost %.1f\n", estimator[e].name,
               100 * model_accuracy / models, 100 * model_bill / models);
        if (used >= 0)
            printf("%-8s against the model in use: %.1f high %+.4f\n", estimator[e].name,
                   100 * (double)t[nb].versus / (double)t[nb].n_versus,
                   t[nb].high_versus / (double)t[nb].n_versus);
        const double hole_held = 100 * hole_accuracy / (double)(runs * holes);
        if (bounds && holes && !(hole_held >= 88 && 100 * (double)t[nb].accuracy / (double)t[nb].n >= 88)) {
            printf("FAIL %s: intervals of models with a hole hold in %.1f %%, those told in %.1f %%, at "
                   "least 88 %% expected\n",
                   estimator[e].name, hole_held, 100 * (double)t[nb].accuracy / (double)t[nb].n);
            ok = false;
        }
        if (holes)
            printf("%-8s each with a hole: accuracy %.1f cost %.1f\n", estimator[e].name, hole_held,
                   100 * hole_bill / (double)(runs * holes));
        const double held =
            fmin(100 * fmin(model_accuracy, model_bill) / models,
                 100 * (double)(t[nb].accuracy < t[nb].cost ? t[nb].accuracy : t[nb].cost) / (double)t[nb].n);
        if (bounds && unseen && !(held >= 88)) {
            printf("FAIL %s: intervals hold in %.1f %%, at least 88 %% expected\n", estimator[e].name, held);
            ok = false;
        }
        fflush(stdout);
        if (bounds && !unseen && e != 1) ok = check(&t[nb], estimator[e].name, e >= 2) && ok;
    }
    return ok ? 0 : 1;
}
