#include "decision_rules.h"

#include "base/mem.h"
#include "frontier.h"
#include "sum.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const sg_candidate_name[SG_CANDIDATES] = {"one model", "mix", "table", "routing"};

/* A budget that misses a cost by rounding alone is met. */
static bool affords(double budget, double cost) {
    return cost <= budget * (1 + 1e-9);
}

double sg__rule_mean(const struct sg_rule *r, const struct sg__rule_input *in, const double *x) {
    double sum = 0;
    for (int32_t c = 0; c < in->n_categories; c++)
        for (int32_t k = 0; k < in->m; k++) {
            const double s = sg__rule_share(r, c, k);
            if (s > 0 && in->weight[c] > 0) sum += in->weight[c] * s * x[(int64_t)c * in->m + k];
        }
    return sum;
}

int32_t sg_rule_model(const struct sg_rule *rule, int32_t m, int32_t category, const double *p,
                      const double *c, double share) {
    int32_t best = -1;
    if (rule->kind == SG_CANDIDATE_TABLE) return rule->table[category];
    if (rule->kind != SG_CANDIDATE_ROUTING) return share < rule->weight ? rule->to : rule->from;
    for (int32_t k = 0; k < m; k++) {
        if (isnan(p[k]) || isnan(c[k])) continue;
        if (best < 0) {
            best = k;
            continue;
        }
        /* infinite lambda: the cheapest, of equals the better */
        const double gain = isinf(rule->lambda) ? (c[best] - c[k] != 0 ? c[best] - c[k] : p[k] - p[best])
                                                : p[k] - p[best] - rule->lambda * (c[k] - c[best]);
        if (gain > 0 || (gain == 0 && c[k] < c[best])) best = k;
    }
    return best;
}

/* One model and mix for every budget. */
static void blind_rules(const struct sg__rule_input *in, const double *accuracy, const double *cost,
                        struct sg_rule *rule) {
    for (int32_t b = 0; b < in->n_budgets; b++) {
        struct sg_rule *one = &rule[b * SG_CANDIDATES + SG_CANDIDATE_SINGLE],
                       *mix = &rule[b * SG_CANDIDATES + SG_CANDIDATE_MIX];
        *one = (struct sg_rule){.kind = SG_CANDIDATE_SINGLE, .from = -1, .to = -1};
        for (int32_t k = 0; k < in->m; k++) {
            if (isnan(accuracy[k]) || !affords(in->budgets[b], cost[k])) continue;
            if (one->from < 0 || accuracy[k] > accuracy[one->from] ||
                (accuracy[k] == accuracy[one->from] && cost[k] < cost[one->from]))
                one->from = k;
        }
        one->affordable = one->from >= 0;
        *mix = *one;
        mix->kind = SG_CANDIDATE_MIX;
        double best = one->affordable ? accuracy[one->from] : 0;
        for (int32_t i = 0; i < in->m && one->affordable; i++)
            for (int32_t j = 0; j < in->m; j++) {
                if (isnan(accuracy[i]) || isnan(accuracy[j]) || !affords(in->budgets[b], cost[i]) ||
                    affords(in->budgets[b], cost[j]) || accuracy[j] <= accuracy[i])
                    continue;
                const double w = (in->budgets[b] - cost[i]) / (cost[j] - cost[i]);
                const double value = accuracy[i] + w * (accuracy[j] - accuracy[i]);
                if (w > 0 && value > best) {
                    best = value;
                    mix->from = i;
                    mix->to = j;
                    mix->weight = w;
                }
            }
    }
}

/* The categories as queries of a frontier, each with the weight of its queries: the steps within the budget. */
static enum sg_status table_rules(const struct sg__rule_input *in, struct sg_rule *rule, int32_t *tables,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_path path = {0};
    double *x = NULL;
    int32_t *here = NULL, n = 0, *of = NULL;
    SG_TRY(SG_NEW(&x, 2 * (int64_t)in->n_categories * in->m, "table", err));
    SG_TRY(SG_NEW(&here, 2 * in->n_categories, "table", err));
    of = here + in->n_categories;
    double *y = x + (int64_t)in->n_categories * in->m;
    for (int32_t c = 0; c < in->n_categories; c++) {
        if (!(in->weight[c] > 0)) continue;
        for (int32_t k = 0; k < in->m; k++) {
            x[n * in->m + k] = in->weight[c] * in->mean[(int64_t)c * in->m + k];
            y[n * in->m + k] = in->weight[c] * in->mean_cost[(int64_t)c * in->m + k];
        }
        of[n++] = c;
    }
    const struct sg_path_input pi = {.n = n, .m = in->m, .p = x, .c = y};
    SG_TRY(sg_path_frontier(&pi, &path, err));
    double cost = 0;
    for (int32_t i = 0; i < n; i++) {
        cost += path.start_c[i];
        here[i] = path.model[path.first[i]];
    }
    int64_t s = 0;
    for (int32_t b = 0; b < in->n_budgets; b++) {
        while (s < path.n_steps && affords(in->budgets[b], cost + path.dc[s])) {
            cost += path.dc[s];
            here[path.query[s]] = path.model[path.vertex[s]];
            s++;
        }
        struct sg_rule *r = &rule[b * SG_CANDIDATES + SG_CANDIDATE_TABLE];
        int32_t *table = tables + (int64_t)b * in->n_categories;
        for (int32_t c = 0; c < in->n_categories; c++) table[c] = -1;
        for (int32_t i = 0; i < n; i++) table[of[i]] = here[i];
        *r = (struct sg_rule){.kind = SG_CANDIDATE_TABLE,
                              .affordable = affords(in->budgets[b], cost),
                              .from = -1,
                              .to = -1,
                              .table = table};
    }
out:
    sg_path_free(&path);
    free(x);
    free(here);
    return st;
}

/* The multiplier of a policy that takes s steps and the share w of the next: between the slopes of both, so that
 * other rows are split as these are. */
static double lambda_at(const struct sg_path *path, int64_t s, double w) {
    if (s >= path->n_steps) return 0;
    if (!s) return w > 0 ? path->key[0] : INFINITY;
    return pow(path->key[s - 1], 1 - w) * pow(path->key[s], w);
}

static enum sg_status routing_rules(const struct sg__rule_input *in, struct sg_rule *rule,
                                    const struct sg__routing_sums *sums, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_path path = {0};
    const struct sg_path_input pi = {.n = in->n, .m = in->m, .p = in->p, .c = in->c};
    struct sg_sum cost = {0, 0};
    double picked_p = 0, picked_c = 0;
    SG_TRY(sg_path_frontier(&pi, &path, err));
    for (int64_t q = 0; q < in->n; q++) {
        sg_sum_add(&cost, path.start_c[q]);
        if (!sums || !sums->pick[q]) continue;
        picked_p += path.start_p[q];
        picked_c += path.start_c[q];
    }
    const double n = (double)in->n;
    int64_t s = 0;
    for (int32_t b = 0; b < in->n_budgets; b++) {
        const double most = in->budgets[b] * n;
        while (s < path.n_steps && sg_sum_get(&cost) + path.dc[s] <= most) {
            sg_sum_add(&cost, path.dc[s]);
            if (sums && sums->pick[path.query[s]]) {
                picked_p += path.dp[s];
                picked_c += path.dc[s];
            }
            s++;
        }
        const double left = s < path.n_steps ? (most - sg_sum_get(&cost)) / path.dc[s] : 0;
        const double w = left > 0 ? left : 0;
        struct sg_rule *r = &rule[b * SG_CANDIDATES + SG_CANDIDATE_ROUTING];
        *r = (struct sg_rule){.kind = SG_CANDIDATE_ROUTING,
                              .affordable = s || affords(most, sg_sum_get(&cost)),
                              .from = -1,
                              .to = -1,
                              .lambda = lambda_at(&path, s, w)};
        if (!sums) continue;
        const bool mixed = w > 0 && sums->pick[path.query[s]];
        sums->p[b] = picked_p + (mixed ? w * path.dp[s] : 0);
        sums->c[b] = picked_c + (mixed ? w * path.dc[s] : 0);
        sums->planned[b] = (sg_sum_get(&cost) + (w > 0 ? w * path.dc[s] : 0)) / n;
    }
out:
    sg_path_free(&path);
    return st;
}

enum sg_status sg__rules_make(const struct sg__rule_input *in, struct sg_rule *rule, int32_t *tables,
                              const struct sg__routing_sums *sums, struct sg_err *err) {
    enum sg_status st = SG_OK;
    double *accuracy = NULL;
    SG_TRY(SG_NEW(&accuracy, 2 * in->m, "rules", err));
    for (int32_t k = 0; k < in->m; k++) {
        const struct sg_rule one = {.kind = SG_CANDIDATE_SINGLE, .from = k, .to = -1};
        accuracy[k] = sg__rule_mean(&one, in, in->mean);
        accuracy[in->m + k] = sg__rule_mean(&one, in, in->mean_cost);
    }
    blind_rules(in, accuracy, accuracy + in->m, rule);
    SG_TRY(table_rules(in, rule, tables, err));
    if (!in->blind) SG_TRY(routing_rules(in, rule, sums, err));
out:
    free(accuracy);
    return st;
}
