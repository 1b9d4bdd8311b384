/* nights - what is advised on two nights, or for two settings: the budgets and targets of the first file asked of
 * another whole file, with its own queries, models and prices. Which queries another model answers, and what that,
 * the prices and the lengths do to the bill. */
#ifndef SG_ANALYSIS_NIGHTS_H
#define SG_ANALYSIS_NIGHTS_H

#include "analysis.h"

/* What a file advises for a budget or a target. Without outcomes that could value a policy: the policy of the
 * estimates, whose values have no interval. */
struct sg_night_advice {
    const char *kind, *sentence;    /* kind "none": nothing fits the budget, or reaches the target */
    struct sg_value accuracy, cost; /* mean USD a query */
};

/* Bills below are mean USD a query of the policies query by query, as estimated; the parts sum to the change.
 * NaN where nothing is advised. */
struct sg_night {
    const char *file;  /* the other file */
    const char *asked; /* "budget=0.001" */
    struct sg_night_advice before, after;
    /* after less before. The interval takes the two values as independent (MOVER: Zou and Donner 2008); the same
     * anchors and queries value both, so it is wide rather than narrow. It ends where all queries that keep their
     * model would have to change their outcome. */
    struct sg_value difference;
    int64_t common, rerouted; /* queries that both have; of them those that another model answers */
    double bill_before, bill_after;
    /* over the common queries: the first policy's calls at the other file's prices; with its lengths; what other
     * models cost, new and gone ones among them. queries: what queries that one file lacks do to the mean. */
    double prices, lengths, routing, queries;
};

struct sg_reroute { /* a query that another model answers */
    const char *file, *asked, *query, *before, *after;
    double cost_before, cost_after; /* USD a call, as estimated */
};

struct sg_move { /* how many queries go from one model to another */
    const char *file, *asked, *before, *after;
    int64_t queries;
};

struct sg_nights {
    int32_t n_asked; /* what is compared for each file */
    struct sg_night *night;
    struct sg_reroute *reroute;
    struct sg_move *move; /* of each file and ask the most first */
    size_t n_nights, n_reroutes, n_moves, cap_nights, cap_reroutes, cap_moves;
    struct sg_arena strings;
};

/* Adds what another file advises. first: the analysis of the first file with its advice. d: the other file as it was
 * opened; its estimates are replaced by those the decision uses. wanted: the first file's options; caps of models
 * that d lacks do not hold there. Models' and queries' names are borrowed from both files. */
enum sg_status sg_nights_add(struct sg_nights *x, const struct sg_analysis *first, struct sg_dataset *d,
                             const struct sg_advice_options *wanted, struct sg_err *err);
void sg_nights_free(struct sg_nights *x); /* zeroed accepted */

#endif
