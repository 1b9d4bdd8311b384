#include "prompts.h"

#include "base/ids.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct tokens {
    double n, sum;
};

static bool counted(const struct sg_results *r, int64_t cell) {
    return r->prompt_source[cell] == SG_PROMPT_COUNTED && r->prompt_tokens[cell] > 0;
}

static void add(struct tokens *t, int32_t n) {
    if (n <= 0) return;
    t->n++;
    t->sum += n;
}

/* scale [n_categories] of model k; of [anchors]: their categories, -1: not one of the queries'. */
static void scales(const struct sg_dataset *d, int32_t k, const int32_t *of, struct tokens *billed,
                   struct tokens *own, double *scale) {
    static const double least = 0.5;
    const struct sg_anchor_outcomes *o = &d->r->anchors;
    double to = 0, from = 0;
    memset(billed, 0, sizeof *billed * (size_t)d->n_categories);
    memset(own, 0, sizeof *own * (size_t)d->n_categories);
    for (int64_t i = 0; i < o->n; i++)
        if (of[i] >= 0) add(&billed[of[i]], o->prompt_tokens[i * d->r->n_models + d->col[k]]);
    for (int64_t q = 0; q < d->n; q++) {
        const int64_t at = sg_dataset_cell(d, q, k);
        if (counted(d->r, at)) add(&own[d->category[q]], d->r->prompt_tokens[at]);
    }
    for (int32_t c = 0; c < d->n_categories; c++) {
        if (!(billed[c].n > 0)) continue;
        to += own[c].n * (billed[c].sum / billed[c].n);
        from += own[c].sum;
    }
    for (int32_t c = 0; c < d->n_categories; c++) {
        const bool here = billed[c].n > 0 && own[c].n > 0;
        const double x = here       ? billed[c].sum / billed[c].n * own[c].n / own[c].sum
                         : from > 0 ? to / from
                                    : 1;
        scale[c] = fmax(least, x);
    }
}

enum sg_status sg_scale_prompts(struct sg_dataset *d, struct sg_err *err) {
    const struct sg_anchor_outcomes *o = &d->r->anchors;
    struct tokens *sums = NULL;
    double *scale = NULL, *prompt = NULL;
    int32_t *of = NULL;
    struct sg_ids names = {0};
    int64_t old;
    enum sg_status st = SG_OK;
    if (!d->n_counted) return SG_OK;
    SG_TRY(SG_NEW(&prompt, d->n * d->m, "prompts", err));
    SG_TRY(SG_NEW(&scale, d->n_categories, "prompts", err));
    SG_TRY(SG_NEW(&sums, 2 * d->n_categories, "prompts", err));
    SG_TRY(SG_NEW(&of, o->n, "prompts", err));
    for (int32_t c = 0; c < d->n_categories; c++)
        SG_TRY(sg_ids_add(&names, d->category_name[c], strlen(d->category_name[c]), c, &old, err));
    for (int64_t i = 0; i < o->n; i++)
        of[i] = (int32_t)sg_ids_get(&names, o->category[i], strlen(o->category[i]));
    for (int32_t k = 0; k < d->m; k++) {
        scales(d, k, of, sums, sums + d->n_categories, scale);
        for (int64_t q = 0; q < d->n; q++) {
            const int64_t at = sg_dataset_cell(d, q, k), to = q * d->m + k;
            const double tokens = d->r->prompt_tokens[at];
            prompt[to] = counted(d->r, at) ? scale[d->category[q]] * tokens : tokens;
            d->c[to] += (prompt[to] - tokens) / 1e6 * d->price_input[k];
        }
    }
    d->prompt = prompt;
    prompt = NULL;
out:
    sg_ids_free(&names);
    free(prompt);
    free(scale);
    free(sums);
    free(of);
    return st;
}

struct sg_prompt_doubt sg_prompt_doubt(const struct sg_dataset *d, const struct sg_value *bill) {
    struct sg_prompt_doubt most = {.model = -1};
    for (int32_t k = 0; k < d->m && d->prompt; k++) {
        struct sg_prompt_doubt x = {.model = k};
        double n = 0;
        for (int64_t q = 0; q < d->n; q++) {
            const int64_t at = sg_dataset_cell(d, q, k);
            if (!counted(d->r, at)) continue;
            x.counted += d->r->prompt_tokens[at];
            x.taken += d->prompt[q * d->m + k];
            n++;
        }
        if (!(n > 0) || !(bill[k].value > 0)) continue;
        x.moves = (x.taken - x.counted) / (double)d->n / 1e6 * d->price_input[k] / bill[k].value;
        x.counted /= n;
        x.taken /= n;
        if (fabs(x.moves) > fabs(most.moves)) most = x;
    }
    return most;
}
