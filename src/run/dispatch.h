/* dispatch - decides which rank computes which cells next. Pure: no clock, no messages, no device; the same
 * calls give the same leases.
 *
 * Heavy cells come first: all ranks would wait for a heavy cell that begins last. A cell's position is its
 * index in that order. A lease is a range of positions that are not computed, so that a message needs two
 * numbers for a lease of any size.
 *
 * Sizes: the leased, unfinished work of a rank is at most an equal share of the work not yet leased, and a
 * lease has no more cells than the rank asks for. So leases are as large as a rank can use at first, and
 * shrink toward the end, down to one cell. A rank without leased work gets at least one cell while any is
 * left. (Guided self-scheduling, Polychronopoulos and Kuck, IEEE Trans. Comput. C-36, 1987, with the leased
 * work counted in. A device works on many cells at once, each taking time T whether it is alone or not, so
 * the tail lasts about T ln(cells in queue): a smaller share would balance better and last longer.) */
#ifndef SG_RUN_DISPATCH_H
#define SG_RUN_DISPATCH_H

#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Positions [first, first + count). */
struct sg_lease {
    int64_t first, count;
};

/* The order of the cells: queries by weight, each with all its models. Every rank builds the same order from
 * the plan, so that messages need positions only. Owns its arrays; zeroed is empty. */
struct sg_order {
    int64_t n_queries, n_models, n_cells;
    int32_t *query;  /* [n_queries]: the query at rank r */
    int32_t *turn;   /* [n_queries]: rotation of the models of the query at rank r; NULL: none */
    int64_t *weight; /* [n_queries]: weight of one cell of query q (by query, not by rank), at least 1 */
};

/* query_weight[n_queries]: relative work of one cell of each query. shuffle_seed < 0: heavy first, ties by
 * index; otherwise a random order (tests: results must not depend on it). */
enum sg_status sg_order_init(struct sg_order *o, int64_t n_queries, int64_t n_models,
                             const int64_t *query_weight, int64_t shuffle_seed, struct sg_err *err);
void sg_order_free(struct sg_order *o);

/* The cell at position p, 0 <= p < n_cells, and the weight of a range of positions. */
int64_t sg_order_cell(const struct sg_order *o, int64_t p);
int64_t sg_order_weight(const struct sg_order *o, int64_t first, int64_t count);

struct sg_dispatch_rank {
    int64_t cells, weight; /* leased to it and not reported finished */
};
struct sg_dispatch {
    const struct sg_order *order;   /* borrowed */
    uint8_t *done;                  /* [n_cells] by position: 1 = computed before this run began */
    int64_t next;                   /* first position never leased */
    int64_t left, left_weight;      /* cells not leased, done ones not counted */
    struct sg_dispatch_rank *ranks; /* [n_ranks] */
    int32_t n_ranks;
};

/* done[n_cells] by cell index, or NULL when nothing is. n_ranks computing ranks, 0 <= rank < n_ranks. */
enum sg_status sg_dispatch_init(struct sg_dispatch *d, const struct sg_order *order, const uint8_t *done,
                                int32_t n_ranks, struct sg_err *err);
void sg_dispatch_free(struct sg_dispatch *d);

/* Leases at most `want` cells to `rank`. False, and *out untouched, when no cell is left, `want` is 0, or the
 * rank has its share already; it asks again once it has finished some. */
bool sg_dispatch_next(struct sg_dispatch *d, int32_t rank, int64_t want, struct sg_lease *out);

/* Records that `rank` has finished so many cells, of this weight in all, since the last call for it. */
void sg_dispatch_finished(struct sg_dispatch *d, int32_t rank, int64_t cells, int64_t weight);

int64_t sg_dispatch_left(const struct sg_dispatch *d);   /* cells not leased */
int64_t sg_dispatch_leased(const struct sg_dispatch *d); /* cells leased and unfinished, all ranks */

#endif
