#include "compare.h"
#include "base/mem.h"
#include "analysis_run.h"
#include "literature_metrics.h"
#include "single_models.h"
#include "bootstrap.h"
#include "sort.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ids of one dataset, sorted, to be looked up. */
struct id {
    const char *name;
    int64_t index;
};
static int by_id(const void *a, const void *b) {
    return strcmp(((const struct id *)a)->name, ((const struct id *)b)->name);
}

static enum sg_status ids(const struct sg_dataset *d, bool models, struct id **out, int64_t *n,
                          struct sg_err *err) {
    *n = models ? d->m : d->n;
    enum sg_status st = SG_NEW(out, *n, "ids", err);
    if (st != SG_OK) return st;
    for (int64_t i = 0; i < *n; i++)
        (*out)[i] = (struct id){models ? sg_dataset_model(d, (int32_t)i) : sg_dataset_query(d, i), i};
    qsort(*out, (size_t)*n, sizeof **out, by_id);
    return SG_OK;
}

/* in[k][i]: index in dataset k of the i-th common id, in the order of the first dataset. */
static enum sg_status common(struct sg_dataset *data, int32_t n_files, bool models, int64_t **in,
                             int64_t *n_common, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct id **sorted = NULL;
    int64_t *n = NULL, found = 0;
    SG_TRY(SG_NEW(&sorted, n_files, "ids", err));
    SG_TRY(SG_NEW(&n, n_files, "ids", err));
    for (int32_t k = 0; k < n_files; k++) {
        SG_TRY(ids(&data[k], models, &sorted[k], &n[k], err));
        SG_TRY(SG_NEW(&in[k], n[0], "common ids", err));
    }
    for (int64_t i = 0; i < n[0]; i++) {
        const struct id key = {
            models ? sg_dataset_model(&data[0], (int32_t)i) : sg_dataset_query(&data[0], i), i};
        bool all = true;
        for (int32_t k = 0; k < n_files && all; k++) {
            const struct id *hit = bsearch(&key, sorted[k], (size_t)n[k], sizeof key, by_id);
            all = hit != NULL;
            if (all) in[k][found] = hit->index;
        }
        found += all;
    }
    *n_common = found;
out:
    for (int32_t k = 0; sorted && k < n_files; k++) free(sorted[k]);
    free(sorted);
    free(n);
    return st;
}

/* The ids of b that a lacks: how many, and, where `list` is not NULL, their names with commas. */
static enum sg_status lacking(const struct sg_dataset *a, const struct sg_dataset *b, bool models, int64_t *n,
                              struct sg_arena *arena, const char **list, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct id *known = NULL, *asked = NULL;
    struct sg_buf names = {0};
    int64_t n_known, n_asked;
    char *text;
    *n = 0;
    SG_TRY(ids(a, models, &known, &n_known, err));
    SG_TRY(ids(b, models, &asked, &n_asked, err));
    for (int64_t i = 0; i < n_asked; i++) {
        if (bsearch(&asked[i], known, (size_t)n_known, sizeof *known, by_id)) continue;
        if (list) SG_TRY(sg_buf_printf(&names, err, "%s%s", *n ? ", " : "", asked[i].name));
        (*n)++;
    }
    if (!list) goto out;
    SG_TRY(sg_arena_dup(arena, names.len ? names.data : "", names.len, &text, err));
    *list = text;
out:
    free(known);
    free(asked);
    sg_buf_free(&names);
    return st;
}

static bool has_cell(const struct sg_dataset *d, int64_t q) {
    for (int32_t k = 0; k < d->m; k++)
        if (!isnan(d->p[q * d->m + k])) return true;
    return false;
}

/* Cuts every dataset down to the common models and queries, in the order of the first; the rows and
 * columns of the others are copied into that order. */
static enum sg_status align(struct sg_dataset *data, int32_t n_files, struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t **in = NULL, n, m;
    uint8_t *scored = NULL;
    SG_TRY(SG_NEW(&in, 2 * n_files, "common ids", err));
    SG_TRY(common(data, n_files, true, in, &m, err));
    if (!m) {
        st = sg_fail(err, SG_E_INPUT, "%s and the other files have no model in common", data[0].path);
        goto out;
    }
    for (int32_t k = 0; k < n_files; k++)
        SG_TRY(sg_dataset_select(&data[k], in[k], (int32_t)m, NULL, data[k].n, err));
    SG_TRY(common(data, n_files, false, in + n_files, &n, err));
    int64_t kept = 0;
    SG_TRY(SG_NEW(&scored, n, "common queries", err));
    for (int64_t q = 0; q < n; q++) {
        bool all = true, truth = true;
        for (int32_t k = 0; k < n_files; k++) {
            all = all && has_cell(&data[k], in[n_files + k][q]);
            truth = truth && data[k].scored[in[n_files + k][q]];
        }
        if (!all) continue;
        scored[kept] = truth;
        for (int32_t k = 0; k < n_files; k++) in[n_files + k][kept] = in[n_files + k][q];
        kept++;
    }
    if (!kept) {
        st = sg_fail(err, SG_E_INPUT, "%s and the other files have no query in common with a valid cell",
                     data[0].path);
        goto out;
    }
    for (int32_t k = 0; k < n_files; k++) {
        SG_TRY(sg_dataset_select(&data[k], NULL, data[k].m, in[n_files + k], kept, err));
        data[k].n_scored = 0;
        for (int64_t q = 0; q < kept; q++) data[k].n_scored += data[k].scored[q] = scored[q];
    }
out:
    for (int32_t k = 0; in && k < 2 * n_files; k++) free(in[k]);
    free(in);
    free(scored);
    return st;
}

/* Differences of two curves' replicates at one budget. */
static struct sg_value curve_difference(const struct sg_analysis *a, const struct sg_analysis *b,
                                        enum sg_curve_id id, int32_t g, double *scratch) {
    const struct sg_curve *x = &a->curve[id], *y = &b->curve[id];
    struct sg_value v = {y->accuracy[g] - x->accuracy[g], (double)NAN, (double)NAN};
    const int64_t reps = x->rep && y->rep ? a->opt.reps : 0;
    for (int64_t r = 0; r < reps; r++)
        scratch[r] = y->rep[r * a->opt.n_grid + g] - x->rep[r * a->opt.n_grid + g];
    if (reps) sg_boot_interval(scratch, reps, 1, 0, &v.low, &v.high, scratch + reps);
    return v;
}

static double tokens_written(const struct sg_dataset *d) {
    double sum = 0, n = 0;
    for (int64_t i = 0; i < d->n * d->m; i++) {
        if (isnan(d->p[i])) continue;
        sum += (double)d->r->output_tokens[sg_dataset_cell(d, i / d->m, (int32_t)(i % d->m))];
        n++;
    }
    return sum / n;
}

/* What every file is compared with: the analysis of the first, at which budgets of its grid, by which
 * curve. */
struct basis {
    struct sg_analysis first;
    struct sg_analysis_options opt; /* of all: the grid is the first file's */
    enum sg_curve_id id;
    int32_t at[SG_COMPARE_BUDGETS];
    double *scratch; /* [2 * reps] */
};

static enum sg_status open_basis(const struct sg_dataset *data, const struct sg_analysis_options *opt,
                                 struct sg_comparison *c, struct basis *b, struct sg_err *err) {
    enum sg_status st = SG_OK;
    static const double part[SG_COMPARE_BUDGETS] = {0.25, 0.5, 1};
    b->opt = *opt;
    b->opt.n_budgets = b->opt.n_targets = b->opt.n_lambdas = 0; /* asked of the first file alone */
    b->opt.advice = NULL; /* it is of the whole first file, and this is what the files share */
    b->id = c->truth ? SG_CURVE_REALISED : SG_CURVE_PREDICTED;
    SG_TRY(SG_NEW(&b->scratch, 2 * opt->reps, "comparison", err));
    SG_TRY(sg_analysis_run(data, &b->opt, &b->first, err));
    const struct sg_analysis *a = &b->first;
    const double best_cost = sg__single_cost(a, a->best_single);
    for (int i = 0; i < SG_COMPARE_BUDGETS; i++) { /* the grid's budget next above */
        while (b->at[i] < opt->n_grid - 1 && a->grid[b->at[i]] < part[i] * best_cost * (1 - 1e-12))
            b->at[i]++;
        c->budget[i] = a->grid[b->at[i]];
    }
    b->opt.grid = a->grid;
out:
    return st;
}

static enum sg_status compare_file(const struct sg_dataset *first, const struct sg_dataset *d,
                                   struct basis *b, struct sg_compared *x, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_analysis own = {0};
    if (d != first) SG_TRY(sg_analysis_run(d, &b->opt, &own, err));
    const struct sg_analysis *a = d != first ? &own : &b->first;
    x->path = d->path;
    x->name = d->r->name ? d->r->name : "";
    x->sample_tokens = tokens_written(d);
    if (a->quality[SG_EST_SCOPE]) x->quality = a->quality[SG_EST_SCOPE][0];
    SG_TRY(sg__changes(first, d, &b->opt, &x->changes, err));
    for (int i = 0; i < SG_COMPARE_BUDGETS; i++) {
        x->accuracy[i] = a->curve[b->id].accuracy[b->at[i]];
        x->accuracy_difference[i] = curve_difference(&b->first, a, b->id, b->at[i], b->scratch);
    }
    SG_TRY(sg__curve_aiq(a, b->id, b->first.grid[b->opt.n_grid - 1], &x->aiq, err));
out:
    sg_analysis_free(&own);
    return st;
}

/* What does not stand in both files, and their settings. */
static enum sg_status told_apart(const struct sg_dataset *first, const struct sg_dataset *d,
                                 struct sg_arena *arena, struct sg_compared *x, struct sg_err *err) {
    enum sg_status st = SG_OK;
    int64_t models;
    char *settings;
    SG_TRY(lacking(first, d, true, &models, arena, &x->new_models, err));
    SG_TRY(lacking(d, first, true, &models, arena, &x->gone_models, err));
    SG_TRY(lacking(first, d, false, &x->new_queries, NULL, NULL, err));
    SG_TRY(lacking(d, first, false, &x->gone_queries, NULL, NULL, err));
    SG_TRY(sg__settings_changed(first->r->job_text, d->r->job_text, arena, &settings, err));
    x->settings = settings;
    x->another_seed = !strncmp(settings, "sampling.seed: ", 15) && !strchr(settings, ',');
out:
    return st;
}

enum sg_status sg_compare(struct sg_dataset *data, int32_t n_files, const struct sg_analysis_options *opt,
                          struct sg_comparison *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_comparison c = {.n_files = n_files};
    struct basis b = {.scratch = NULL};
    SG_TRY(SG_NEW(&c.file, n_files, "comparison", err));
    for (int32_t f = 0; f < n_files; f++) SG_TRY(told_apart(&data[0], &data[f], &c.strings, &c.file[f], err));
    SG_TRY(align(data, n_files, err));
    c.n_models = data[0].m;
    c.n_queries = data[0].n;
    c.truth = data[0].n_scored > 0;
    SG_TRY(SG_NEW(&c.drift, (int64_t)n_files * c.n_models * SG_DRIFTS, "drift", err));
    SG_TRY(SG_NEW(&c.model, c.n_models, "comparison", err));
    for (int32_t k = 0; k < c.n_models; k++) c.model[k] = sg_dataset_model(&data[0], k);
    for (int32_t f = 1; f < n_files; f++)
        SG_TRY(sg__drifts(&data[0], &data[f], c.drift + (int64_t)f * c.n_models * SG_DRIFTS, err));
    SG_TRY(open_basis(&data[0], opt, &c, &b, err));
    for (int32_t f = 0; f < n_files; f++) SG_TRY(compare_file(&data[0], &data[f], &b, &c.file[f], err));
    *out = c;
out:
    sg_analysis_free(&b.first);
    free(b.scratch);
    if (st != SG_OK) sg_comparison_free(&c);
    return st;
}

void sg_comparison_free(struct sg_comparison *c) {
    if (!c) return;
    free(c->file);
    free(c->drift);
    free((void *)c->model);
    sg_nights_free(&c->nights);
    sg_arena_free(&c->strings);
    memset(c, 0, sizeof *c);
}
