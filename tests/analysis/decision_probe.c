/* decision_probe SEED TRUTH MISSING UNEVEN: a world of tests/analysis/decision_world.h as JSON, with what the product
 * makes of it: the fits of all estimates with all anchors and without each fifth, the rules for eight budgets,
 * the decision. TRUTH: 0 none, 1 of all queries. MISSING: so many cells apart an estimate is missing; 0: none is.
 * UNEVEN 1: each model's outcomes are known of other anchors. For
 * decision_check.py, which computes it all anew. */
#include "analysis/decision_rules.h"
#include "decision_world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUDGETS = 8 };

static void numbers(const char *name, const double *x, int64_t n) {
    printf("\"%s\": [", name);
    for (int64_t i = 0; i < n; i++) {
        if (isfinite(x[i]))
            printf("%s%.17g", i ? ", " : "", x[i]);
        else
            printf("%s%s", i ? ", " : "", isnan(x[i]) ? "NaN" : "Infinity");
    }
    printf("],\n");
}
static void whole(const char *name, const int32_t *x, int64_t n) {
    printf("\"%s\": [", name);
    for (int64_t i = 0; i < n; i++) printf("%s%d", i ? ", " : "", x[i]);
    printf("],\n");
}
static void value(const char *name, struct sg_value v) {
    numbers(name, (const double[]){v.value, v.low, v.high}, 3);
}

static void print_world(const struct world *w) {
    static const char *const side[] = {"queries", "anchors"};
    numbers("price", w->price, w->m);
    for (int s = 0; s < 2; s++) {
        const int64_t n = s ? w->na : w->n, cells = n * w->m;
        printf("\"%s\": {\"n\": %lld, \"key\": [", side[s], (long long)n);
        for (int64_t i = 0; i < n; i++) printf("%s%llu", i ? ", " : "", (unsigned long long)w->key[s][i]);
        printf("],\n");
        whole("category", w->category[s], n);
        numbers("p", w->p[s], cells);
        numbers("length", w->length[s], cells);
        numbers("knn", w->knn[s], cells);
        numbers("knn_length", w->knn_length[s], cells);
        numbers("input", w->input[s], cells);
        numbers("y", w->y[s], cells);
        numbers("tokens", w->tokens[s], cells);
        printf("\"end\": 0},\n");
    }
}

/* The fit without the anchors of `out` (0 to 4; 5: with all), and its estimates of queries and anchors. */
static void print_fit(const struct world *w, enum sg_estimate kind, int out, const double *budgets) {
    static double p[CELLS], length[CELLS], cost[CELLS], mean_cost[CELLS];
    const int64_t means = (int64_t)w->m * w->c;
    uint8_t use[MAX_N];
    for (int64_t i = 0; i < w->na; i++) use[i] = i % 5 != out;
    const struct sg_estimate_fit_input in = {.m = w->m,
                                             .n_categories = w->c,
                                             .price_output = w->price,
                                             .queries = &w->rows[0],
                                             .calibration = &w->rows[1],
                                             .anchors = &w->known[1],
                                             .use = use};
    struct sg_estimate_fit f = {0};
    if (sg_estimate_fit_make(&in, kind, &f, NULL) != SG_OK) exit(70);
    printf("{\"kind\": \"%s\", \"out\": %d,\n", sg_estimate_name[kind], out);
    numbers("mean", f.mean, means);
    numbers("mean_length", f.mean_length, means);
    numbers("shift", f.shift, means);
    numbers("scale", f.scale, means);
    numbers("b", f.b, SG_FIT_TERMS);
    numbers("g", f.g, SG_FIT_LENGTH_TERMS);
    sg_estimate_fit_apply(&f, &w->rows[1], w->price, 0, w->cells, p, length, cost);
    numbers("anchor_p", p, w->cells * w->m);
    numbers("anchor_length", length, w->cells * w->m);
    sg_estimate_fit_apply(&f, &w->rows[0], w->price, 0, w->n, p, length, cost);
    numbers("p", p, w->n * w->m);
    numbers("length", length, w->n * w->m);
    numbers("cost", cost, w->n * w->m);

    double weight[MAX_C] = {0}, sum_p[BUDGETS], sum_c[BUDGETS], planned[BUDGETS];
    struct sg_rule rule[BUDGETS * SG_CANDIDATES];
    int32_t table[BUDGETS * MAX_C];
    uint8_t pick[MAX_N];
    for (int64_t q = 0; q < w->n; q++) {
        weight[w->category[0][q]] += 1.0 / (double)w->n;
        pick[q] = q % 3 == 0;
    }
    for (int32_t c = 0; c < w->c; c++)
        for (int32_t k = 0; k < w->m; k++) mean_cost[c * w->m + k] = world_mean(w, cost, c, k);
    const struct sg__rule_input ri = {.n = w->n,
                                      .m = w->m,
                                      .n_categories = w->c,
                                      .category = w->category[0],
                                      .weight = weight,
                                      .p = p,
                                      .c = cost,
                                      .mean = f.mean,
                                      .mean_cost = mean_cost,
                                      .budgets = budgets,
                                      .n_budgets = BUDGETS};
    const struct sg__routing_sums sums = {.pick = pick, .p = sum_p, .c = sum_c, .planned = planned};
    if (sg__rules_make(&ri, rule, table, &sums, NULL) != SG_OK) exit(70);
    printf("\"rules\": [\n");
    for (int b = 0; b < BUDGETS; b++) {
        const struct sg_rule *r = &rule[b * SG_CANDIDATES];
        printf("{");
        whole("single", &r[SG_CANDIDATE_SINGLE].from, 1);
        numbers(
            "mix",
            (const double[]){r[SG_CANDIDATE_MIX].from, r[SG_CANDIDATE_MIX].to, r[SG_CANDIDATE_MIX].weight},
            3);
        whole("table", r[SG_CANDIDATE_TABLE].table, w->c);
        numbers("lambda", &r[SG_CANDIDATE_ROUTING].lambda, 1);
        numbers("sums", (const double[]){sum_p[b], sum_c[b], planned[b]}, 3);
        printf("\"affordable\": [%d, %d, %d]}%s\n", r[0].affordable, r[2].affordable, r[3].affordable,
               b < BUDGETS - 1 ? "," : "],");
    }
    printf("\"end\": 0}");
    sg_estimate_fit_free(&f);
}

static void print_decision(const struct world *w, enum sg_estimate kind, int splits) {
    struct sg_decision d = {0};
    struct sg_decision_input in = w->in;
    in.estimate = kind;
    in.splits = splits;
    if (sg_decide(&in, &d, NULL) != SG_OK) exit(70);
    printf("{\"kind\": \"%s\", \"splits\": %d, ", sg_estimate_name[kind], splits);
    value("routing", d.routing);
    printf("\"steps\": [\n");
    for (int b = 0; b < BUDGETS; b++) {
        printf("{\"advised\": %d, \"affordable\": %d, \"as_at\": %d,", d.step[b].advised,
               d.step[b].affordable, d.step[b].as_at);
        value("accuracy", d.step[b].told.accuracy);
        value("cost", d.step[b].told.cost);
        value("gain", d.step[b].told.gain);
        value("over_mix", d.step[b].told.over_mix);
        value("saving", d.step[b].told.saving);
        printf("\"candidates\": [");
        for (int k = 0; k < SG_CANDIDATES; k++) {
            const struct sg_candidate_value *v = &d.step[b].candidate[k];
            printf("{");
            value("accuracy", v->accuracy);
            value("cost", v->cost);
            value("gain", v->gain);
            value("saving", v->saving);
            value("over_mix", v->over_mix);
            numbers("luck", &v->luck, 1);
            numbers("planned", &v->planned_cost, 1);
            numbers("mix", (const double[]){v->rule.from, v->rule.to, v->rule.weight, v->rule.lambda}, 4);
            printf("\"affordable\": %d}%s", v->rule.affordable, k < SG_CANDIDATES - 1 ? "," : "]}");
        }
        printf("%s\n", b < BUDGETS - 1 ? "," : "],");
    }
    printf("\"end\": 0}");
    sg_decision_free(&d);
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    const bool truth = atoi(argv[2]) != 0;
    const int missing = atoi(argv[3]);
    struct world *w = world_make(90, 100, 70, 4, 3, 0.9, 0.3, (uint64_t)atoll(argv[1]));
    double budgets[BUDGETS];
    for (int s = 0; s < 2 && missing; s++)
        for (int64_t i = s; i < (s ? w->na : w->n) * w->m; i += missing)
            w->p[s][i] = w->length[s][i] = (double)NAN;
    world_ask(w, budgets, BUDGETS);
    for (int64_t i = 0; i < w->na && atoi(argv[4]); i++)
        for (int32_t k = 0; k < w->m; k++)
            if (i % 8 == 2 * k) w->y[1][i * w->m + k] = (double)NAN;
    world_link(w);
    w->in.budgets = budgets;
    w->in.n_budgets = BUDGETS;
    if (truth) w->in.truth = &w->known[0];
    printf("{\"m\": %d, \"c\": %d, \"cells\": %lld,\n", w->m, w->c, (long long)w->cells);
    numbers("budgets", budgets, BUDGETS);
    print_world(w);
    printf("\"fits\": [");
    for (int kind = 0; kind < SG_ESTIMATES; kind++)
        for (int out = 0; out < 6; out += 5) {
            print_fit(w, (enum sg_estimate)kind, out, budgets);
            printf("%s\n", kind == SG_ESTIMATES - 1 && out ? "]," : ",");
        }
    printf("\"decisions\": [");
    for (int kind = 0; kind < SG_ESTIMATES; kind++) {
        print_decision(w, (enum sg_estimate)kind, kind == 1 ? 2 : 1);
        printf("%s\n", kind == SG_ESTIMATES - 1 ? "]}" : ",");
    }
    world_free(w);
    return 0;
}
