#include "portfolio_sizes.h"

#include <stdlib.h>
#include <string.h>

static enum sg_status kept(const struct sg_dataset *d, const uint8_t *of, struct sg_arena *arena,
                           const char **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    char *text;
    for (int32_t k = 0; of && k < d->m; k++)
        if (of[k]) SG_TRY(sg_buf_printf(&b, err, "%s%s", b.len ? ", " : "", sg_dataset_model(d, k)));
    SG_TRY(sg_arena_dup(arena, b.len ? b.data : "", b.len, &text, err));
    *out = text;
out:
    sg_buf_free(&b);
    return st;
}

/* The rows of a size, from the advice for it. */
static enum sg_status add(const struct sg_dataset *d, const struct sg_advice *advice, int32_t size,
                          const struct sg_advice *of, struct sg_portfolio_sizes *x, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_portfolio_size *row = x->row + (int64_t)x->n_sizes * x->n_asked;
    for (int32_t i = 0, n = 0; i < of->n_steps; i++) {
        const struct sg_advice_step *s = NULL;
        if (!*of->step[i].asked) continue;
        for (int32_t j = 0; j < advice->n_steps; j++)
            if (advice->step[j].budget == of->step[i].budget) s = &advice->step[j];
        SG_ASSERT(s);
        row[n] = (struct sg_portfolio_size){
            .size = size, .asked = of->step[i].asked, .accuracy = s->accuracy, .cost = s->cost};
        row[n].lost = s->accuracy.value - x->row[n].accuracy.value;
        SG_TRY(kept(d, s->value ? s->kept : NULL, &x->strings, &row[n].models, err));
        n++;
    }
    x->n_sizes++;
out:
    return st;
}

enum sg_status sg_portfolio_sizes(const struct sg_results *r, const char *path,
                                  const struct sg_dataset_spec *spec, const struct sg_advice_options *wanted,
                                  const struct sg_advice *of, struct sg_portfolio_sizes *out,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_portfolio_sizes x = {.n_sizes = 0};
    struct sg_dataset d = {0};
    struct sg_advice advice = {0};
    struct sg_advice_options opt = *wanted;
    double *budgets = NULL;
    SG_TRY(SG_NEW(&budgets, of->n_steps, "budgets", err));
    for (int32_t i = 0; i < of->n_steps; i++)
        if (*of->step[i].asked) budgets[x.n_asked++] = of->step[i].budget;
    if (!x.n_asked) goto out;
    SG_TRY(SG_NEW(&x.row, (int64_t)(SG_MOST_SIZES + 1) * x.n_asked, "portfolios", err));
    opt.budgets = budgets;
    opt.n_budgets = (size_t)x.n_asked;
    opt.no_defaults = true;
    opt.incumbent = NULL;
    opt.estimate = (int)of->estimate;
    const int32_t m = of->decision.m, most = wanted->portfolio < m ? wanted->portfolio : m - 1;
    const int32_t least = most > SG_MOST_SIZES ? most - SG_MOST_SIZES + 1 : 1;
    for (int32_t size = m; size >= least; size = size == m ? most : size - 1) {
        sg_advice_free(&advice);
        sg_dataset_free(&d);
        SG_TRY(sg_dataset_open(r, path, spec, &d, err));
        opt.portfolio = size < m ? size : 0;
        const bool same = opt.portfolio == (wanted->portfolio < m ? wanted->portfolio : 0);
        if (!same) SG_TRY(sg_advise(&d, &opt, &advice, err));
        SG_TRY(add(&d, same ? of : &advice, size, of, &x, err));
    }
    *out = x;
    x = (struct sg_portfolio_sizes){.n_sizes = 0};
out:
    free(budgets);
    sg_portfolio_sizes_free(&x);
    sg_advice_free(&advice);
    sg_dataset_free(&d);
    return st;
}

void sg_portfolio_sizes_free(struct sg_portfolio_sizes *x) {
    if (!x) return;
    free(x->row);
    sg_arena_free(&x->strings);
    memset(x, 0, sizeof *x);
}
