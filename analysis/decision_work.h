/* decision_work - what the valuation of a decision works on: filled by decision.c, read by decision_answer.c. */
#ifndef SG_ANALYSIS_DECISION_WORK_H
#define SG_ANALYSIS_DECISION_WORK_H

#include "decision.h"
#include "decision_value.h"

/* A category with fewer valued rows joins the pooled stratum; fewer outcomes leave the error of routing's gain unknown. */
enum { SG__LEAST_ROWS = 5 };
/* What is valued at each budget: the candidates as each fold builds them, and the blind ones as they are built
 * with all outcomes. The former say what a candidate is worth, since choosing flatters; the latter what the
 * models that are named in the end cost, which choosing does not flatter. */
enum { SG__NAMED = SG_CANDIDATES, SG__INCUMBENT = SG__NAMED + SG_CANDIDATE_ROUTING, SG__KINDS };
/* What moves from split to split: accuracy, bill, gain over the named single model, over the mix, the table, the incumbent. */
enum { SG__ACCURACY, SG__BILL, SG__GAIN, SG__OVER_MIX, SG__OVER_TABLE, SG__VERSUS, SG__MOVES };

/* What a model is worth that is named for everything, and against the incumbent; at how many budgets it is named and
 * advised; by how much being chosen, and being preferred to a later budget's own advice, flatters it. told: `level` is
 * already without what being chosen adds. */
struct sg__single {
    struct sg__estimate level, versus;
    int32_t named, advised;
    double less, less_versus, less_preferred, less_preferred_versus;
    bool told;
};

/* What the valuation works on. */
struct sg__work {
    const struct sg_decision_input *in;
    const struct sg_decision *out; /* its rules are those of all outcomes */
    int32_t m, nc;
    /* the queries valued: all, or a sample of them */
    int64_t n;
    struct sg_rows rows;
    int64_t *query; /* [n] indices in in->queries */
    int32_t *category;
    double *input_cost;
    uint64_t *key;  /* [n] */
    double *weight; /* [nc] shares of all queries */
    /* outcomes that build and value: anchors first, then sampled queries with truth */
    struct sg_outcomes all;
    double *all_correct, *all_length;
    int32_t *all_category;
    int64_t *all_row; /* estimates: of anchors in in->calibration, else in rows; -1: none */
    uint64_t *all_key;
    double *h, *hk; /* [all.n * m] multipliers that make means over known outcomes of means over rows */
    /* strata and the rows that value */
    int32_t n_strata, *stratum_of; /* [nc] */
    int32_t *stratum;              /* [all.n]; -1: values nothing */
    uint8_t *paired;
    double *strata; /* weight, rows, paired_rows: [3][n_strata] */
    struct sg__stratum_sums *sums;
    struct sg__valued valued;
    uint8_t *truth_model; /* [m] 1: the queries' own outcomes value it */
    /* they value all models: then their outcomes alone are averaged, and no prediction is corrected by them */
    bool measured, fitted;
    /* of one fold */
    uint8_t *fold_all, *fold_query, *use, *pick;
    uint8_t *build;                           /* [all.n] outcomes that the blind candidates are built from */
    double *p, *c, *length;                   /* [n * m] */
    double *mean_p, *mean_length, *mean_cost; /* [nc * m] over the queries */
    double *pick_p, *pick_c;                  /* [nc * m] sums over the fold's queries */
    double *cal_p, *cal_length, *cal_cost;    /* [m] one row */
    double *full_cost;                        /* [nc * m] by all outcomes: decides what a budget affords */
    double *fold_cost;                        /* [nc * m] by those that the fold leaves in */
    double *sum_p, *sum_c, *planned;
    struct sg_rule *rule, incumbent;
    int32_t *tables, *fold_tables; /* [n_budgets * nc]; [folds][n_budgets * nc] with fold_cost */
    double *tolls;
    uint8_t *kept;
    struct sg_estimate_fit fit, outcomes;
    /* sums over splits, [n_budgets][SG__KINDS][all.n] */
    double *blind_y, *blind_c, *paired_y, *paired_c;
    double *q_p, *q_c; /* [n_budgets][SG__KINDS] */
    /* [n_budgets][SG_CANDIDATES][SG__MOVES][4]: the value so far; the first split's own; of the splits' own less
     * that, sum and squares */
    double *split;
    double fold_given[2];
    struct sg__single *single; /* [m] */
    double *mean_gain;         /* [all.n] rows of routing's gain, the mean over the budgets */
    double *routed;            /* [splits][n_budgets][3] what each split alone says of routing's gains */
    double *split_gain;        /* [splits] */
    /* [2][n_budgets] what being taken again flatters this budget's advice by: its accuracy, and that less the incumbent's */
    double *preferred;
    uint8_t *has;   /* [n_strata * m] 1: some outcome of the stratum values the model */
    double *hole;   /* decision_holes.c; NULL: everywhere some does */
    double *unseen; /* decision_unseen.c; NULL: every category of the queries has outcomes */
};

/* After each split: how far the values of that split alone lie from those of the others. tmp: [all.n]. */
void sg__note_split(struct sg__work *w, int32_t split, double *tmp);
/* After the last split, the sums being means: what the candidates are worth, and which one is advised. */
void sg__answer(struct sg__work *w, struct sg_decision *d, double *tmp);
/* What the policy in use is worth. */
void sg__value_given(const struct sg__work *w, struct sg_decision *d);

#endif
