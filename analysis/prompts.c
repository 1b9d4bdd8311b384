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

/* The categories of all queries of the file, chosen or not, so that a choice of queries changes no query's bill. */
struct categories {
    int32_t n, *of_query, *of_anchor; /* of an anchor -1: not one of the queries' */
};

static enum sg_status find_categories(const struct sg_results *r, struct categories *c, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_ids names = {0};
    int64_t old;
    SG_TRY(SG_NEW(&c->of_query, r->n_queries, "prompts", err));
    SG_TRY(SG_NEW(&c->of_anchor, r->anchors.n, "prompts", err));
    for (int64_t q = 0; q < r->n_queries; q++) {
        const char *name = r->category[q];
        old = sg_ids_get(&names, name, strlen(name));
        if (old < 0) SG_TRY(sg_ids_add(&names, name, strlen(name), old = c->n++, &(int64_t){0}, err));
        c->of_query[q] = (int32_t)old;
    }
    for (int64_t i = 0; i < r->anchors.n; i++)
        c->of_anchor[i] = (int32_t)sg_ids_get(&names, r->anchors.category[i], strlen(r->anchors.category[i]));
out:
    sg_ids_free(&names);
    return st;
}

/* scale [categories] of a model. */
static void scales(const struct sg_results *r, int64_t column, const struct categories *of,
                   struct tokens *billed, struct tokens *own, double *scale) {
    static const double least = 0.5;
    double to = 0, from = 0;
    memset(billed, 0, sizeof *billed * (size_t)of->n);
    memset(own, 0, sizeof *own * (size_t)of->n);
    for (int64_t i = 0; i < r->anchors.n; i++)
        if (of->of_anchor[i] >= 0)
            add(&billed[of->of_anchor[i]], r->anchors.prompt_tokens[i * r->n_models + column]);
    for (int64_t q = 0; q < r->n_queries; q++) {
        const int64_t at = q * r->n_models + column;
        if (counted(r, at)) add(&own[of->of_query[q]], r->prompt_tokens[at]);
    }
    for (int32_t c = 0; c < of->n; c++) {
        if (!(billed[c].n > 0)) continue;
        to += own[c].n * (billed[c].sum / billed[c].n);
        from += own[c].sum;
    }
    for (int32_t c = 0; c < of->n; c++) {
        const bool here = billed[c].n > 0 && own[c].n > 0;
        const double x = here       ? billed[c].sum / billed[c].n * own[c].n / own[c].sum
                         : from > 0 ? to / from
                                    : 1;
        scale[c] = fmax(least, x);
    }
}

enum sg_status sg_scale_prompts(struct sg_dataset *d, struct sg_err *err) {
    struct tokens *sums = NULL;
    double *scale = NULL, *prompt = NULL;
    struct categories of = {0};
    enum sg_status st = SG_OK;
    if (!d->n_counted) return SG_OK;
    SG_TRY(find_categories(d->r, &of, err));
    SG_TRY(SG_NEW(&prompt, d->n * d->m, "prompts", err));
    SG_TRY(SG_NEW(&scale, of.n, "prompts", err));
    SG_TRY(SG_NEW(&sums, 2 * of.n, "prompts", err));
    for (int32_t k = 0; k < d->m; k++) {
        scales(d->r, d->col[k], &of, sums, sums + of.n, scale);
        for (int64_t q = 0; q < d->n; q++) {
            const int64_t at = sg_dataset_cell(d, q, k), to = q * d->m + k;
            const double tokens = d->r->prompt_tokens[at];
            prompt[to] = counted(d->r, at) ? scale[of.of_query[d->row[q]]] * tokens : tokens;
            d->c[to] += (prompt[to] - tokens) / 1e6 * d->price_input[k];
        }
    }
    d->prompt = prompt;
    prompt = NULL;
out:
    free(of.of_query);
    free(of.of_anchor);
    free(prompt);
    free(scale);
    free(sums);
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
