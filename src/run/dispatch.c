#include "run/dispatch.h"

#include "base/mem.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

/* ---- order ------------------------------------------------------------------------------------------ */

struct ranked {
    int64_t weight;
    uint64_t key; /* shuffled: random, compared first; else 0 */
    int32_t query;
};

static int heavy_first(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    if (x->weight != y->weight) return x->weight > y->weight ? -1 : 1;
    return x->query < y->query ? -1 : x->query > y->query;
}

enum sg_status sg_order_init(struct sg_order *o, int64_t n_queries, int64_t n_models,
                             const int64_t *query_weight, int64_t shuffle_seed, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct ranked *r = NULL;
    memset(o, 0, sizeof *o);
    SG_TRY(SG_NEW(&r, n_queries, "order of cells", err));
    SG_TRY(SG_NEW(&o->query, n_queries, "order of cells", err));
    SG_TRY(SG_NEW(&o->weight, n_queries, "order of cells", err));
    if (shuffle_seed >= 0) SG_TRY(SG_NEW(&o->turn, n_queries, "order of cells", err));
    o->n_queries = n_queries;
    o->n_models = n_models;
    o->n_cells = n_queries * n_models;
    for (int64_t q = 0; q < n_queries; q++) {
        r[q].query = (int32_t)q;
        r[q].weight = query_weight[q] > 0 ? query_weight[q] : 1;
        if (shuffle_seed >= 0) r[q].key = sg_random64((uint64_t)shuffle_seed, (uint64_t)q);
    }
    qsort(r, (size_t)n_queries, sizeof *r, heavy_first);
    for (int64_t i = 0; i < n_queries; i++) {
        o->query[i] = r[i].query;
        o->weight[r[i].query] = r[i].weight;
        if (o->turn) o->turn[i] = (int32_t)((r[i].key >> 16) % (uint64_t)n_models);
    }
out:
    free(r);
    if (st != SG_OK) sg_order_free(o);
    return st;
}

void sg_order_free(struct sg_order *o) {
    if (!o) return;
    free(o->query);
    free(o->turn);
    free(o->weight);
    memset(o, 0, sizeof *o);
}

int64_t sg_order_cell(const struct sg_order *o, int64_t p) {
    int64_t r = p / o->n_models, m = p % o->n_models;
    if (o->turn) m = (m + o->turn[r]) % o->n_models;
    return (int64_t)o->query[r] * o->n_models + m;
}

int64_t sg_order_weight(const struct sg_order *o, int64_t first, int64_t count) {
    int64_t sum = 0;
    for (int64_t p = first, end = first + count; p < end;) {
        int64_t r = p / o->n_models, row_end = (r + 1) * o->n_models, n = (row_end < end ? row_end : end) - p;
        sum += n * o->weight[o->query[r]];
        p += n;
    }
    return sum;
}

/* ---- dispatch --------------------------------------------------------------------------------------- */

enum sg_status sg_dispatch_init(struct sg_dispatch *d, const struct sg_order *order, const uint8_t *done,
                                int32_t n_ranks, struct sg_err *err) {
    enum sg_status st = SG_OK;
    memset(d, 0, sizeof *d);
    SG_TRY(SG_NEW(&d->done, order->n_cells, "cells done", err));
    SG_TRY(SG_NEW(&d->ranks, n_ranks, "ranks", err));
    d->order = order;
    d->n_ranks = n_ranks;
    for (int64_t p = 0; p < order->n_cells; p++) {
        d->done[p] = done && done[sg_order_cell(order, p)];
        if (d->done[p]) continue;
        d->left++;
        d->left_weight += order->weight[order->query[p / order->n_models]];
    }
out:
    if (st != SG_OK) sg_dispatch_free(d);
    return st;
}

void sg_dispatch_free(struct sg_dispatch *d) {
    if (!d) return;
    free(d->done);
    free(d->ranks);
    memset(d, 0, sizeof *d);
}

/* Number of undone cells from d->next on, up to the next done one: at most `want` and at most `most` weight,
 * but at least one. */
static int64_t cut(const struct sg_dispatch *d, int64_t want, int64_t most) {
    int64_t n = 0, weight = 0;
    for (int64_t p = d->next; p < d->order->n_cells && n < want && !d->done[p]; p++) {
        weight += d->order->weight[d->order->query[p / d->order->n_models]];
        if (n > 0 && weight > most) break;
        n++;
    }
    return n;
}

bool sg_dispatch_next(struct sg_dispatch *d, int32_t rank, int64_t want, struct sg_lease *out) {
    SG_ASSERT(rank >= 0 && rank < d->n_ranks);
    struct sg_dispatch_rank *r = &d->ranks[rank];
    if (d->left == 0 || want <= 0) return false;
    int64_t share = d->left_weight / d->n_ranks, most = share - r->weight;
    if (r->cells > 0 && most <= 0) return false;

    while (d->done[d->next]) d->next++; /* left > 0: there is one */
    const struct sg_lease l = {d->next, cut(d, want, most)};
    d->next += l.count;
    int64_t weight = sg_order_weight(d->order, l.first, l.count);
    d->left -= l.count;
    d->left_weight -= weight;
    r->cells += l.count;
    r->weight += weight;
    *out = l;
    return true;
}

void sg_dispatch_finished(struct sg_dispatch *d, int32_t rank, int64_t cells, int64_t weight) {
    SG_ASSERT(rank >= 0 && rank < d->n_ranks);
    struct sg_dispatch_rank *r = &d->ranks[rank];
    SG_ASSERT(cells >= 0 && cells <= r->cells && weight >= 0 && weight <= r->weight);
    r->cells -= cells;
    r->weight -= weight;
}

int64_t sg_dispatch_left(const struct sg_dispatch *d) {
    return d->left;
}

int64_t sg_dispatch_leased(const struct sg_dispatch *d) {
    int64_t n = 0;
    for (int32_t i = 0; i < d->n_ranks; i++) n += d->ranks[i].cells;
    return n;
}
