/* portfolio_sizes - what it costs to keep fewer models: the advice at the budgets asked for with all models, with the
 * portfolio asked for, and with each smaller one. */
#ifndef SG_ANALYSIS_PORTFOLIO_SIZES_H
#define SG_ANALYSIS_PORTFOLIO_SIZES_H

#include "advice.h"

enum { SG_MOST_SIZES = 8 }; /* of a larger portfolio: it and the seven next smaller ones */

struct sg_portfolio_size {
    double size;                    /* models kept */
    const char *asked;              /* "budget=0.001" */
    const char *models;             /* those to keep, with commas; "": all, or nothing fits the budget */
    struct sg_value accuracy, cost; /* of what is advised, out of fold; NaN: nothing is */
    double lost;                    /* accuracy less that with all models */
};

struct sg_portfolio_sizes {
    int32_t n_sizes, n_asked;      /* the first size is that of the whole pool */
    struct sg_portfolio_size *row; /* [n_sizes][n_asked] */
    struct sg_arena strings;
};

/* of: the advice for the file at `path`, made with `wanted`, whose portfolio is at least 1. The file's dataset is
 * opened anew for each size, since advice replaces its estimates. Left empty where nothing is advised or no budget was
 * asked for. Takes as long as the advice for each size. */
enum sg_status sg_portfolio_sizes(const struct sg_results *r, const char *path,
                                  const struct sg_dataset_spec *spec, const struct sg_advice_options *wanted,
                                  const struct sg_advice *of, struct sg_portfolio_sizes *out,
                                  struct sg_err *err);
void sg_portfolio_sizes_free(struct sg_portfolio_sizes *x); /* zeroed accepted */

#endif
