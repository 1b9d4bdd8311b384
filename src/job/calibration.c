#include "job/calibration.h"

#include <stdlib.h>
#include <string.h>

/* An anchor that may be chosen. */
struct candidate {
    const char *category, *id;
    struct sg_digest order; /* keyed hash of the id */
    int32_t anchor;
};

static int compare(const void *a, const void *b) {
    const struct candidate *x = a, *y = b;
    const int by_category = strcmp(x->category, y->category);
    if (by_category) return by_category;
    if (x->order.hi != y->order.hi) return x->order.hi < y->order.hi ? -1 : 1;
    if (x->order.lo != y->order.lo) return x->order.lo < y->order.lo ? -1 : 1;
    return strcmp(x->id, y->id);
}

/* A category: candidates [first, first + left + rejected) in their order. */
struct group {
    int64_t first, left;                /* left: candidates not rejected */
    int64_t queries;                    /* of this category */
    int64_t next, accepted;             /* candidates looked at; accepted among them */
    int64_t quota;                      /* to choose */
    int64_t given, capacity, remainder; /* of the current round of sharing */
};

/* Pointers into one array: equal remainders stay in its order. */
static int largest_remainder(const void *a, const void *b) {
    const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;
    if (x->remainder != y->remainder) return x->remainder > y->remainder ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* Gives `n` out among the groups in proportion to weight(g), whole numbers by largest remainder, at most
 * `capacity` each; ties to the group that comes first. Writes g.given. order: room for all groups. */
static void share(struct group *g, int64_t n_groups, int64_t n, int64_t (*weight)(const struct group *),
                  struct group **order) {
    int64_t total = 0, rest = n;
    for (int64_t i = 0; i < n_groups; i++) total += weight(&g[i]);
    for (int64_t i = 0; i < n_groups; i++) { /* both factors fit 31 bits */
        const int64_t product = n * weight(&g[i]);
        g[i].given = total ? product / total : 0;
        g[i].remainder = total ? product % total : 0;
        rest -= g[i].given;
        order[i] = &g[i];
    }
    if (total) { /* rest < the number of groups with a remainder */
        qsort(order, (size_t)n_groups, sizeof(struct group *), largest_remainder);
        for (int64_t i = 0; i < rest; i++) order[i]->given++;
    }
    for (int64_t i = 0; i < n_groups; i++)
        if (g[i].given > g[i].capacity) g[i].given = g[i].capacity;
}

static int64_t by_queries(const struct group *g) {
    return g->left ? g->queries : 0;
}
static int64_t by_capacity(const struct group *g) {
    return g->capacity;
}

/* Sets the quotas; their sum is want, or all that are left. */
static void set_quotas(struct group *g, int64_t n_groups, int64_t want, struct group **order) {
    int64_t sum = 0, left = 0;
    for (int64_t i = 0; i < n_groups; i++) {
        left += g[i].left;
        g[i].capacity = g[i].left;
    }
    if (want > left) want = left;
    share(g, n_groups, want, by_queries, order);
    for (int64_t i = 0; i < n_groups; i++) {
        g[i].quota = g[i].given;
        g[i].capacity = g[i].left - g[i].quota;
        sum += g[i].quota;
    }
    share(g, n_groups, want - sum, by_capacity, order);
    for (int64_t i = 0; i < n_groups; i++) g[i].quota += g[i].given;
}

/* The candidates in their order; returns how many. */
static int64_t find_candidates(const struct sg_plan *p, const struct sg__ranker *ranker,
                               struct candidate *c) {
    const struct sg_digest key = {0x5343415050453131u, 0x63616c6962726174u}; /* fixed for ever */
    int64_t n = 0;
    for (int64_t a = 0; a < p->n_anchors; a++) {
        bool known = false;
        for (int64_t m = 0; m < p->n_models && !known; m++)
            known = p->anchor_outcomes[a * p->n_models + m].known;
        if (!known || !sg__ranker_knows(ranker, a)) continue;
        const char *id = p->anchors[a].id;
        const struct sg_digest both[2] = {key, sg_digest_bytes(id, strlen(id))};
        c[n++] = (struct candidate){.category = p->anchors[a].category,
                                    .id = id,
                                    .order = sg_digest_bytes(both, sizeof both),
                                    .anchor = (int32_t)a};
    }
    if (n) qsort(c, (size_t)n, sizeof *c, compare);
    return n;
}

/* The candidates' categories, in the order of their names. */
static enum sg_status find_groups(const struct sg_plan *p, const struct candidate *c, int64_t n,
                                  struct group *g, int64_t *n_groups, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_ids index = {0};
    int64_t old;
    *n_groups = 0;
    for (int64_t i = 0; i < n; i++) {
        SG_TRY(sg_ids_add(&index, c[i].category, strlen(c[i].category), *n_groups, &old, err));
        if (old < 0) g[(*n_groups)++].first = i;
        g[*n_groups - 1].left++;
    }
    for (int64_t q = 0; q < p->n_queries; q++) {
        old = sg_ids_get(&index, p->queries[q].category, strlen(p->queries[q].category));
        if (old >= 0) g[old].queries++;
    }
out:
    sg_ids_free(&index);
    return st;
}

/* Looks at candidates of the group until its quota is accepted or none is left. Accepted ones move to the
 * front of the group, in their order. *rejected: some could not be taken. */
static enum sg_status fill_group(const struct sg_plan *p, struct sg__ranker *ranker, const bool *complete,
                                 struct candidate *c, struct group *g, struct sg_cell_anchor *row,
                                 bool *rejected, struct sg_err *err) {
    enum sg_status st = SG_OK;
    while (g->accepted < g->quota && g->accepted < g->left) {
        const int64_t at = g->first + g->next++;
        SG_TRY(sg__ranker_anchor(ranker, c[at].anchor, row, err));
        const bool bare = p->job.prompt.anchors > 0 && (p->top_k == 0 || row[0].anchor < 0);
        if (bare || sg__row_lacks(p, complete, row, NULL, NULL)) {
            g->left--;
            *rejected = true;
        } else {
            c[g->first + g->accepted++] = c[at];
        }
    }
out:
    return st;
}

/* Appends the first `quota` accepted anchors of each group to the plan, by their index. */
static enum sg_status put_rows(struct sg_plan *p, struct sg__ranker *ranker, const struct candidate *c,
                               const struct group *g, int64_t n_groups, struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool *chosen = NULL;
    int64_t n = 0;
    SG_TRY(SG_NEW(&chosen, p->n_anchors, "calibration", err));
    for (int64_t i = 0; i < n_groups; i++)
        for (int64_t k = 0; k < g[i].quota; k++) chosen[c[g[i].first + k].anchor] = true;
    for (int64_t a = 0; a < p->n_anchors; a++) {
        if (!chosen[a]) continue;
        SG_ASSERT(n < p->n_calibration);
        const int64_t row = p->n_queries + n;
        p->calibration[n++] = (int32_t)a;
        p->queries[row] = p->anchors[a];
        SG_TRY(sg__ranker_anchor(ranker, a, p->ranked + row * p->top_k, err));
    }
    p->n_calibration = n;
out:
    free(chosen);
    return st;
}

enum sg_status sg__calibration_choose(struct sg_plan *p, struct sg__ranker *ranker, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct candidate *c = NULL;
    struct group *g = NULL, **order = NULL;
    struct sg_cell_anchor *row = NULL;
    bool *complete = NULL, again = true;
    int64_t n, n_groups;
    SG_TRY(SG_NEW(&c, p->n_anchors, "calibration", err));
    SG_TRY(SG_NEW(&g, p->n_anchors, "calibration", err));
    SG_TRY(SG_NEW(&order, p->n_anchors, "calibration", err));
    SG_TRY(SG_NEW(&row, p->top_k, "calibration", err));
    SG_TRY(sg__complete_anchors(p, &complete, err));
    n = find_candidates(p, ranker, c);
    SG_TRY(find_groups(p, c, n, g, &n_groups, err));
    p->n_calibratable = n;
    while (again) { /* a rejected one is replaced, from its own category where that has more */
        again = false;
        set_quotas(g, n_groups, p->n_calibration, order);
        for (int64_t i = 0; i < n_groups; i++)
            SG_TRY(fill_group(p, ranker, complete, c, &g[i], row, &again, err));
    }
    SG_TRY(put_rows(p, ranker, c, g, n_groups, err));
out:
    free(c);
    free(g);
    free(order);
    free(row);
    free(complete);
    return st;
}
