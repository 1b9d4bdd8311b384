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

/* scale [models][categories]. billed, own: as many. */
static void scales(const struct sg_dataset *d, const struct categories *of, struct tokens *billed,
                   struct tokens *own, double *scale) {
    static const double least = 0.5;
    const struct sg_results *r = d->r;
    for (int64_t i = 0; i < r->anchors.n; i++)
        for (int32_t k = 0; k < d->m && of->of_anchor[i] >= 0; k++)
            add(&billed[(int64_t)k * of->n + of->of_anchor[i]],
                r->anchors.prompt_tokens[i * r->n_models + d->col[k]]);
    for (int64_t q = 0; q < r->n_queries; q++) /* as the cells lie in memory */
        for (int32_t k = 0; k < d->m; k++) {
            const int64_t at = q * r->n_models + d->col[k];
            if (counted(r, at)) add(&own[(int64_t)k * of->n + of->of_query[q]], r->prompt_tokens[at]);
        }
    for (int32_t k = 0; k < d->m; k++, billed += of->n, own += of->n, scale += of->n) {
        double to = 0, from = 0;
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
}

enum sg_status sg_scale_prompts(struct sg_dataset *d, struct sg_err *err) {
    struct tokens *sums = NULL;
    double *scale = NULL, *prompt = NULL;
    struct categories of = {0};
    enum sg_status st = SG_OK;
    if (!d->n_counted) return SG_OK;
    SG_TRY(find_categories(d->r, &of, err));
    SG_TRY(SG_NEW(&prompt, d->n * d->m, "prompts", err));
    SG_TRY(SG_NEW(&scale, (int64_t)d->m * of.n, "prompts", err));
    SG_TRY(SG_NEW(&sums, 2 * (int64_t)d->m * of.n, "prompts", err));
    scales(d, &of, sums, sums + (int64_t)d->m * of.n, scale);
    for (int64_t q = 0; q < d->n; q++)
        for (int32_t k = 0; k < d->m; k++) {
            const int64_t at = sg_dataset_cell(d, q, k), to = q * d->m + k;
            const double tokens = d->r->prompt_tokens[at];
            prompt[to] =
                counted(d->r, at) ? scale[(int64_t)k * of.n + of.of_query[d->row[q]]] * tokens : tokens;
            d->c[to] += (prompt[to] - tokens) / 1e6 * d->price_input[k];
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
    enum { BLOCK = 16 }; /* models at once: their cells of a query lie side by side */
    struct sg_prompt_doubt most = {.model = -1};
    for (int32_t first = 0; first < d->m && d->prompt; first += BLOCK) {
        const int32_t end = first + BLOCK < d->m ? first + BLOCK : d->m;
        double own[BLOCK] = {0}, taken[BLOCK] = {0}, n[BLOCK] = {0};
        for (int64_t q = 0; q < d->n; q++)
            for (int32_t k = first; k < end; k++) {
                const int64_t at = sg_dataset_cell(d, q, k);
                if (!counted(d->r, at)) continue;
                own[k - first] += d->r->prompt_tokens[at];
                taken[k - first] += d->prompt[q * d->m + k];
                n[k - first]++;
            }
        for (int32_t k = first; k < end; k++) {
            const int32_t i = k - first;
            if (!(n[i] > 0) || !(bill[k].value > 0)) continue;
            const struct sg_prompt_doubt x = {.model = k,
                                              .counted = own[i] / n[i],
                                              .taken = taken[i] / n[i],
                                              .moves = (taken[i] - own[i]) / (double)d->n / 1e6 *
                                                       d->price_input[k] / bill[k].value};
            if (fabs(x.moves) > fabs(most.moves)) most = x;
        }
    }
    return most;
}
