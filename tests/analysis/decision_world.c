#include "decision_world.h"
#include "fake.h"

#include <math.h>
#include <stdlib.h>

double world_expit(double x) {
    return 1 / (1 + exp(-x));
}

static void fill(struct world *w) {
    for (int32_t k = 0; k < w->m; k++) w->price[k] = 1e-6 * pow(3, k);
    for (int s = 0; s < 2; s++)
        for (int64_t i = 0; i < (s ? w->na : w->n); i++) {
            const uint64_t at = (uint64_t)(s * 100000 + i);
            const double hard = fake_normal(w->seed, at);
            const int32_t c = w->category[s][i] = (int32_t)(fake_uniform(w->seed + 1, at) * w->c);
            w->key[s][i] = (uint64_t)(fake_uniform(w->seed + 2, at) * 1e18);
            w->row[s][i] = s == 0 || i < w->cells ? i : -1;
            for (int32_t k = 0; k < w->m; k++) {
                const uint64_t cell = at * MAX_M + (uint64_t)k;
                const int64_t to = i * w->m + k;
                const double base = -0.8 + 0.6 * k + 0.3 * (c == k % w->c);
                w->y[s][to] = fake_uniform(w->seed + 3, cell) < world_expit(base - hard);
                w->tokens[s][to] =
                    ceil((150 + 30 * k) * exp(0.2 * hard + 0.4 * fake_normal(w->seed + 4, cell)));
                w->p[s][to] =
                    world_expit(0.5 + 0.2 * k - w->signal * hard + w->noise * fake_normal(w->seed + 5, cell));
                w->length[s][to] = 200 * exp(0.3 * fake_normal(w->seed + 6, cell));
                w->knn[s][to] = world_expit(base + 0.5 * fake_normal(w->seed + 7, cell));
                w->knn_length[s][to] = 180 * exp(0.2 * fake_normal(w->seed + 8, cell));
                w->input[s][to] = w->price[k] * 40 * (0.5 + fake_uniform(w->seed + 9, at));
            }
        }
}

/* What the arrays hold now, as sg_decide takes it: without truth. */
void world_link(struct world *w) {
    for (int s = 0; s < 2; s++) {
        sg_rows_free(&w->rows[s]);
        const struct sg_raw_rows raw = {s ? w->cells : w->n, w->m,      w->category[s],   w->p[s],
                                        w->length[s],        w->knn[s], w->knn_length[s], w->input[s]};
        if (sg_rows_make(&raw, w->c, &w->rows[s], NULL) != SG_OK) exit(70);
        w->known[s] = (struct sg_outcomes){.n = s ? w->na : w->n,
                                           .m = w->m,
                                           .category = w->category[s],
                                           .correct = w->y[s],
                                           .length = w->tokens[s],
                                           .cell_row = w->row[s]};
    }
    w->in = (struct sg_decision_input){.m = w->m,
                                       .n_categories = w->c,
                                       .price_output = w->price,
                                       .queries = &w->rows[0],
                                       .calibration = &w->rows[1],
                                       .anchors = &w->known[1],
                                       .query_key = w->key[0],
                                       .anchor_key = w->key[1],
                                       .estimate = SG_ESTIMATE_COMBINED,
                                       .splits = 3,
                                       .folds = 5,
                                       .max_queries = 4096,
                                       .seed = 1,
                                       .incumbent = -1};
}

struct world *world_make(int64_t n, int64_t na, int64_t cells, int32_t m, int32_t c, double signal,
                         double noise, uint64_t seed) {
    struct world *w = calloc(1, sizeof *w);
    if (!w) exit(70);
    w->n = n, w->na = na, w->cells = cells, w->m = m, w->c = c;
    w->signal = signal, w->noise = noise, w->seed = seed;
    fill(w);
    world_link(w);
    return w;
}

void world_free(struct world *w) {
    sg_rows_free(&w->rows[0]);
    sg_rows_free(&w->rows[1]);
    free(w);
}

double world_mean(const struct world *w, const double *x, int32_t c, int32_t k) {
    double sum = 0;
    int64_t n = 0;
    for (int64_t q = 0; q < w->n; q++)
        if (w->category[0][q] == c && !isnan(x[q * w->m + k])) sum += x[q * w->m + k], n++;
    return n ? sum / (double)n : (double)NAN;
}

void world_ask(struct world *w, double *budgets, int32_t n) {
    double low = INFINITY, high = 0;
    for (int32_t k = 0; k < w->m; k++) {
        double cost = 0;
        for (int64_t i = 0; i < w->na; i++)
            cost += (w->input[1][i * w->m + k] + w->price[k] * w->tokens[1][i * w->m + k]) / (double)w->na;
        low = fmin(low, cost), high = fmax(high, cost);
    }
    for (int b = 0; b < n; b++) budgets[b] = 1.15 * low * pow(high / low, b / (n - 1.0));
    w->in.budgets = budgets;
    w->in.n_budgets = n;
}
