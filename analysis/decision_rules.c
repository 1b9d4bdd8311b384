#include "decision_rules.h"

#include "base/mem.h"
#include "decision_limits.h"
#include "decision_portfolio.h"
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
        const double toll = rule->toll ? rule->toll[k] : 0;
        if (isnan(p[k]) || isnan(c[k]) || isinf(toll)) continue;
        if (best < 0) {
            best = k;
            continue;
        }
        /* infinite lambda: the cheapest, of equals the better */
        const double more = p[k] - p[best] - (rule->toll ? toll - rule->toll[best] : 0);
        const double gain = isinf(rule->lambda) ? (c[best] - c[k] != 0 ? c[best] - c[k] : more)
                                                : more - rule->lambda * (c[k] - c[best]);
        if (gain > 0 || (gain == 0 && c[k] < c[best])) best = k;
    }
    return best;
}

/* The best model that the budget affords for everything. */
static int32_t best_single(const struct sg__rule_input *in, const double *accuracy, const double *cost,
                           double budget, bool capped) {
    int32_t best = -1;
    for (int32_t k = 0; k < in->m; k++) {
        if (isnan(accuracy[k]) || !affords(budget, cost[k]) || (capped && in->cap && in->cap[k] < 1))
            continue;
        if (best < 0 || accuracy[k] > accuracy[best] ||
            (accuracy[k] == accuracy[best] && cost[k] < cost[best]))
            best = k;
    }
    return best;
}

/* The best mix of two models of which the dearer is not affordable, or not allowed, for everything. */
static void best_mix(const struct sg__rule_input *in, const double *accuracy, const double *cost,
                     double budget, struct sg_rule *mix) {
    double best = mix->affordable ? accuracy[mix->from] : -INFINITY;
    for (int32_t i = 0; i < in->m; i++)
        for (int32_t j = 0; j < in->m; j++) {
            const double least = in->cap ? 1 - in->cap[i] : 0, most = in->cap ? in->cap[j] : 1;
            if (isnan(accuracy[i]) || isnan(accuracy[j]) || (affords(budget, cost[j]) && most >= 1) ||
                accuracy[j] <= accuracy[i])
                continue;
            const double meets = cost[j] > cost[i] ? (budget - cost[i]) / (cost[j] - cost[i]) : 1;
            const double w = fmin(most, meets), value = accuracy[i] + w * (accuracy[j] - accuracy[i]);
            if (!(w > 0) || w < least - 1e-12 || !affords(budget, cost[i] + w * (cost[j] - cost[i])) ||
                value <= best)
                continue;
            best = value;
            mix->affordable = true;
            mix->from = i;
            mix->to = j;
            mix->weight = w;
        }
}

/* One model and mix for every budget. */
static void blind_rules(const struct sg__rule_input *in, const double *accuracy, const double *cost,
                        struct sg_rule *rule) {
    for (int32_t b = 0; b < in->n_budgets; b++) {
        struct sg_rule *one = &rule[b * SG_CANDIDATES + SG_CANDIDATE_SINGLE],
                       *mix = &rule[b * SG_CANDIDATES + SG_CANDIDATE_MIX];
        *one = (struct sg_rule){.kind = SG_CANDIDATE_SINGLE, .to = -1};
        one->from = best_single(in, accuracy, cost, in->budgets[b], true);
        *mix = *one;
        if (one->from < 0) {
            one->from = best_single(in, accuracy, cost, in->budgets[b], false);
            one->barred = one->from >= 0;
        }
        one->affordable = one->from >= 0;
        mix->affordable = mix->from >= 0;
        mix->kind = SG_CANDIDATE_MIX;
        if (one->affordable) best_mix(in, accuracy, cost, in->budgets[b], mix);
    }
}

/* The categories as queries of a frontier, each with the weight of its queries: the steps within the budget. */
static enum sg_status table_rules(const struct sg__rule_input *in, struct sg_rule *rule, int32_t *tables,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_path path = {0};
    double *x = NULL;
    int32_t *here = NULL, n = 0, *of = NULL;
    SG_TRY(SG_NEW(&x, (2 * (int64_t)in->m + 1) * in->n_categories, "table", err));
    SG_TRY(SG_NEW(&here, 2 * in->n_categories, "table", err));
    of = here + in->n_categories;
    double *y = x + (int64_t)in->n_categories * in->m, *weight = y + (int64_t)in->n_categories * in->m;
    for (int32_t c = 0; c < in->n_categories; c++) {
        if (!(in->weight[c] > 0)) continue;
        for (int32_t k = 0; k < in->m; k++) {
            x[n * in->m + k] = in->weight[c] * in->mean[(int64_t)c * in->m + k];
            y[n * in->m + k] = in->weight[c] * in->mean_cost[(int64_t)c * in->m + k];
        }
        weight[n] = in->weight[c];
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
        bool met = affords(in->budgets[b], cost);
        if (in->cap)
            SG_TRY(sg__limited_table(n, in->m, x, y, weight, in->cap, in->budgets[b],
                                     s < path.n_steps ? path.key[s] : 0, here, &met, err));
        struct sg_rule *r = &rule[b * SG_CANDIDATES + SG_CANDIDATE_TABLE];
        int32_t *table = tables + (int64_t)b * in->n_categories;
        for (int32_t c = 0; c < in->n_categories; c++) table[c] = -1;
        for (int32_t i = 0; i < n; i++) table[of[i]] = here[i];
        *r = (struct sg_rule){
            .kind = SG_CANDIDATE_TABLE, .affordable = met, .from = -1, .to = -1, .table = table};
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

/* The same within caps. */
static enum sg_status limited_rules(const struct sg__rule_input *in, const uint8_t *kept,
                                    struct sg_rule *rule, const struct sg__routing_sums *sums,
                                    struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg__limited x = {0};
    SG_TRY(sg__limited_open(&x, in->n, in->m, in->p, in->c, in->cap, kept, err));
    for (int32_t b = 0; b < in->n_budgets; b++) {
        double *toll = in->tolls + (int64_t)b * in->m;
        bool met;
        SG_TRY(sg__limited_at(&x, in->budgets[b], &met, err));
        memcpy(toll, x.toll, sizeof *toll * (size_t)in->m);
        rule[b * SG_CANDIDATES + SG_CANDIDATE_ROUTING] = (struct sg_rule){.kind = SG_CANDIDATE_ROUTING,
                                                                          .affordable = met,
                                                                          .from = -1,
                                                                          .to = -1,
                                                                          .lambda = x.lambda,
                                                                          .toll = toll};
        if (!sums) continue;
        sums->p[b] = sums->c[b] = 0;
        sums->planned[b] = x.mean_c;
        for (int64_t q = 0; q < in->n; q++) {
            if (!sums->pick[q] || x.model[q] < 0) continue;
            sums->p[b] += in->p[q * in->m + x.model[q]];
            sums->c[b] += in->c[q * in->m + x.model[q]];
        }
    }
out:
    sg__limited_close(&x);
    return st;
}

/* kept [m]: the models that rules may use; NULL: all. */
static enum sg_status make_with(const struct sg__rule_input *all, const uint8_t *kept, struct sg_rule *rule,
                                int32_t *tables, const struct sg__routing_sums *sums, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t cells = (int64_t)all->n_categories * all->m;
    struct sg__rule_input in = *all;
    double *accuracy = NULL, *mean;
    SG_TRY(SG_NEW(&accuracy, 2 * in.m + cells, "rules", err));
    in.mean = mean = accuracy + 2 * in.m;
    for (int64_t i = 0; i < cells; i++) mean[i] = kept && !kept[i % in.m] ? (double)NAN : all->mean[i];
    for (int32_t k = 0; k < in.m; k++) {
        const struct sg_rule one = {.kind = SG_CANDIDATE_SINGLE, .from = k, .to = -1};
        accuracy[k] = sg__rule_mean(&one, &in, in.mean);
        accuracy[in.m + k] = sg__rule_mean(&one, &in, in.mean_cost);
    }
    blind_rules(&in, accuracy, accuracy + in.m, rule);
    SG_TRY(table_rules(&in, rule, tables, err));
    if (!in.blind)
        SG_TRY(in.cap || kept ? limited_rules(&in, kept, rule, sums, err)
                              : routing_rules(&in, rule, sums, err));
out:
    free(accuracy);
    return st;
}

enum sg_status sg__rules_make(const struct sg__rule_input *in, struct sg_rule *rule, int32_t *tables,
                              const struct sg__routing_sums *sums, struct sg_err *err) {
    enum sg_status st = SG_OK;
    if (!in->portfolio) return make_with(in, NULL, rule, tables, sums, err);
    if (!in->blind)
        SG_TRY(sg__portfolio(in->n, in->m, in->p, in->c, in->cap, in->portfolio, in->budgets, in->n_budgets,
                             in->kept, err));
    for (int32_t b = 0, end; b < in->n_budgets; b = end) { /* budgets of one portfolio together */
        const uint8_t *kept = in->kept + (int64_t)b * in->m;
        for (end = b + 1;
             end < in->n_budgets && !memcmp(kept, in->kept + (int64_t)end * in->m, (size_t)in->m);)
            end++;
        struct sg__rule_input part = *in;
        struct sg__routing_sums to = {0};
        bool any = false;
        for (int32_t k = 0; k < in->m; k++) any |= kept[k];
        part.budgets += b;
        part.n_budgets = end - b;
        part.tolls += (int64_t)b * in->m;
        if (sums) to = (struct sg__routing_sums){sums->pick, sums->p + b, sums->c + b, sums->planned + b};
        /* where no portfolio fits the budget nothing is affordable; the rules are made to be complete */
        SG_TRY(make_with(&part, any ? kept : NULL, rule + b * SG_CANDIDATES,
                         tables + (int64_t)b * in->n_categories, sums ? &to : NULL, err));
        for (int32_t i = b * SG_CANDIDATES; i < end * SG_CANDIDATES && !any; i++) rule[i].affordable = false;
    }
out:
    return st;
}
