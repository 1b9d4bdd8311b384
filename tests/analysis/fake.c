#include "fake.h"

#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

double fake_uniform(uint64_t key, uint64_t pos) {
    return ((double)(sg_random64(key, pos) >> 12) + 0.5) / 4503599627370496.0;
}

double fake_normal(uint64_t key, uint64_t pos) {
    return sqrt(-2 * log(fake_uniform(key, 2 * pos))) *
           cos(6.283185307179586 * fake_uniform(key, 2 * pos + 1));
}

static enum sg_status text(struct sg_results *r, char **out, const char *fmt, long long i,
                           struct sg_err *err) {
    char buf[64];
    snprintf(buf, sizeof buf, fmt, i);
    return sg_arena_dup(&r->strings, buf, strlen(buf), out, err);
}

static double logistic(double x) {
    return 1 / (1 + exp(-x));
}

static enum sg_status names(const struct fake *f, struct sg_results *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t kinds = f->categories > 0 ? f->categories : 1;
    for (int64_t q = 0; q < f->n; q++) {
        SG_TRY(text(r, &r->query[q], "query-%06lld", (long long)q, err));
        SG_TRY(text(r, &r->category[q], "category-%lld", (long long)(q % kinds), err));
    }
    for (int64_t k = 0; k < f->m; k++) {
        SG_TRY(text(r, &r->model[k], "maker/model-%02lld", (long long)k, err));
        const double x = f->m > 1 ? (double)k / (double)(f->m - 1) : 0;
        r->price_output[k] = 0.2 * pow(200, x) * exp(0.5 * fake_normal(f->seed + 1, (uint64_t)k));
        r->price_input[k] = r->price_output[k] / 4;
    }
    SG_TRY(sg_arena_dup(&r->strings, "fake", 4, &r->name, err));
    SG_TRY(sg_arena_dup(&r->strings, "{}", 2, &r->job_text, err));
    SG_TRY(sg_arena_dup(&r->strings, "", 0, &r->fingerprint, err));
    SG_TRY(sg_arena_dup(&r->strings, "test", 4, &r->version, err));
    SG_TRY(sg_arena_dup(&r->strings, "", 0, &r->finished_at, err));
out:
    return st;
}

/* Cell (row, k) of r, a part of the whole; q: the question's number among queries and anchors together. */
static void cell(const struct fake *f, struct sg_results *r, int64_t row, int64_t q, int64_t k) {
    const int64_t at = row * f->m + k;
    const uint64_t key = f->seed + 2, pos = (uint64_t)(q * f->m + k) * 64;
    const double difficulty = 1.5 + 1.2 * fake_normal(f->seed + 5, (uint64_t)q);
    const int64_t kinds = f->categories > 0 ? f->categories : 1;
    const double x = f->m > 1 ? (double)k / (double)(f->m - 1) : 0;
    const double skill = 3 * x + 0.6 * fake_normal(f->seed + 3, (uint64_t)(k * kinds + q % kinds));
    const double logit = skill - difficulty + 0.3 * fake_normal(key, pos);
    const double truth = logistic(logit),
                 length = exp(5.5 + 0.4 * difficulty / 2 + 0.3 * fake_normal(key, pos + 1));
    const double p =
        f->pure_noise ? fake_uniform(key, pos + 20) : logistic(logit + f->noise * fake_normal(key, pos + 2));
    const int64_t n = f->samples > 0 ? f->samples : 8;
    r->prompt_tokens[at] = (int32_t)(100 + 50 * fake_uniform(f->seed + 4, (uint64_t)q));
    r->status[at] = -1;
    if (r->true_correct) {
        r->true_correct[at] = fake_uniform(key, pos + 8) < truth;
        r->true_length[at] = floor(length * exp(0.3 * fake_normal(key, pos + 5)));
        r->true_cost[at] =
            r->prompt_tokens[at] / 1e6 * r->price_input[k] + r->true_length[at] / 1e6 * r->price_output[k];
    }
    r->knn_correct[at] = floor(6 * logistic(skill - 1.5 + 0.4 * fake_normal(key, pos + 6)) + 0.5) / 6;
    r->anchor_correct[at] = logistic(skill - 1.5);
    r->knn_length[at] = r->anchor_length[at] = exp(5.6);
    if (fake_uniform(key, pos + 9) < f->missing) return;
    r->valid[at] = 1;
    r->status[at] = 0;
    for (int64_t s = 0; s < n; s++) {
        const double p_yes =
            logistic(log(p / (1 - p)) + 0.5 * fake_normal(key + 7, (uint64_t)((q * f->m + k) * n + s)));
        const bool yes = fake_uniform(key + 9, (uint64_t)((q * f->m + k) * n + s)) < p_yes;
        if (r->sample_correct) {
            const int64_t i = at * n + s;
            r->sample_correct[i] = yes;
            r->sample_p_yes[i] = (float)p_yes;
            r->sample_length[i] = (int64_t)length;
            r->sample_tokens[i] = 40;
            r->sample_finish[i] = 0;
        }
        if (yes)
            r->votes_yes[at]++;
        else
            r->votes_no[at]++;
    }
    r->p_correct[at] = p;
    r->length_mean[at] = length;
    r->length_sd[at] = 0.3 * length;
    r->cost[at] = r->prompt_tokens[at] / 1e6 * r->price_input[k] + length / 1e6 * r->price_output[k];
    r->output_tokens[at] = 40 * n;
}

static void part(const struct fake *f, struct sg_results *r, int64_t first) {
    for (int64_t at = 0; at < r->n_queries * f->m; at++)
        r->votes_yes[at] = r->votes_no[at] = r->votes_unparsed[at] = 0;
    for (int64_t q = 0; q < r->n_queries; q++)
        for (int64_t k = 0; k < f->m; k++) cell(f, r, q, first + q, k);
}

/* The anchors are questions as the queries are; the first ones are estimated too. */
static enum sg_status anchors(const struct fake *f, struct sg_results *r, struct sg_err *err) {
    enum sg_status st = SG_OK;
    const int64_t kinds = f->categories > 0 ? f->categories : 1;
    struct sg_results all = {0};
    struct sg_results *c;
    char *name;
    SG_TRY(sg_results_alloc(&all, f->anchors, f->m, 0, true, err));
    memcpy(all.price_input, r->price_input, sizeof *all.price_input * (size_t)f->m);
    memcpy(all.price_output, r->price_output, sizeof *all.price_output * (size_t)f->m);
    part(f, &all, f->n);
    SG_TRY(sg_results_alloc_anchors(r, f->anchors, err));
    for (int64_t a = 0; a < f->anchors; a++) {
        SG_TRY(text(r, &name, "anchor-%06lld", (long long)a, err));
        r->anchors.id[a] = name;
        SG_TRY(text(r, &name, "category-%lld", (long long)((f->n + a) % kinds), err));
        r->anchors.category[a] = name;
        for (int64_t at = a * f->m; at < (a + 1) * f->m; at++) {
            r->anchors.correct[at] = all.true_correct[at];
            r->anchors.completion_tokens[at] = (int32_t)all.true_length[at];
            r->anchors.prompt_tokens[at] = all.prompt_tokens[at];
        }
    }
    if (!f->calibrated) goto out;
    SG_TRY(sg_results_alloc_calibration(r, f->calibrated, err));
    c = r->calibration;
    part(f, c, f->n);
    for (int64_t a = 0; a < f->calibrated; a++) {
        SG_TRY(text(r, &c->query[a], "anchor-%06lld", (long long)a, err));
        SG_TRY(text(r, &c->category[a], "category-%lld", (long long)((f->n + a) % kinds), err));
        c->similarity[a] = 0.4 + 0.1 * fake_uniform(f->seed + 11, (uint64_t)a);
    }
    for (int64_t q = 0; q < f->n; q++) r->similarity[q] = 0.4 + 0.1 * fake_uniform(f->seed + 12, (uint64_t)q);
out:
    sg_results_free(&all);
    return st;
}

enum sg_status fake_results(const struct fake *f, struct sg_results *out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_results r = {0};
    SG_TRY(sg_results_alloc(&r, f->n, f->m, f->samples, f->truth, err));
    SG_TRY(names(f, &r, err));
    part(f, &r, 0);
    if (f->anchors) SG_TRY(anchors(f, &r, err));
    r.digest = sg_results_digest(&r);
    *out = r;
out:
    if (st != SG_OK) sg_results_free(&r);
    return st;
}
