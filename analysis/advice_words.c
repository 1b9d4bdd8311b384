#include "advice_words.h"

#include "text_width.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static enum sg_status keep(struct sg_advice *a, struct sg_buf *b, const char **out, struct sg_err *err) {
    enum sg_status st = SG_OK;
    char *text;
    SG_TRY(sg_arena_dup(&a->strings, b->data ? b->data : "", b->len, &text, err));
    *out = text;
out:
    sg_buf_free(b);
    return st;
}

enum { NAME_COLUMNS = 40, NAME_BYTES = 4 * NAME_COLUMNS + 1 };
enum { MOST_CATEGORIES = 6 /* that a sentence lists */ };

/* A model's name as a sentence has it. */
static const char *called(const struct sg_dataset *d, int32_t k, char *buf) {
    return sg_text_cut(sg_dataset_model(d, k), NAME_COLUMNS, buf, NAME_BYTES);
}

/* Three digits, no exponent. */
static const char *usd(double x, char *buf, size_t n) {
    const int digits = x > 0 ? 2 - (int)floor(log10(x)) : 2;
    snprintf(buf, n, "$%.*f", digits < 0 ? 0 : digits > 12 ? 12 : digits, x);
    return buf;
}

enum sg_status sg__words_budget(struct sg_advice *a, double budget, const char **out, struct sg_err *err) {
    struct sg_buf b = {0};
    enum sg_status st = sg_buf_printf(&b, err, "budget=%.9g", budget);
    if (st == SG_OK) return keep(a, &b, out, err);
    sg_buf_free(&b);
    return st;
}

enum sg_status sg__words_estimate(struct sg_advice *a, bool asked, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    if (asked) SG_TRY(sg_buf_str(&b, "as asked for with --estimate", err));
    if (!asked && !a->fitted[SG_ESTIMATE_COMBINED])
        SG_TRY(sg_buf_str(&b,
                          !a->fitted[SG_ESTIMATE_ANCHORED] ? "the file holds no outcomes of anchors"
                          : a->n_calibration               ? "too few calibration cells to choose"
                                                           : "no calibration cells to choose by",
                          err));
    if (a->n_calibration && a->fitted[SG_ESTIMATE_ANCHORED]) {
        SG_TRY(sg_buf_printf(&b, err, "%slog loss on %lld calibration anchors, cross-fitted:",
                             b.len ? "; " : "", (long long)a->n_calibration));
        for (int k = 0; k < SG_ESTIMATES; k++)
            if (a->fitted[k] && !isnan(a->log_loss[k]))
                SG_TRY(
                    sg_buf_printf(&b, err, "%s %s %.4f", k ? "," : "", sg_estimate_name[k], a->log_loss[k]));
    }
    return keep(a, &b, &a->estimate_why, err);
out:
    sg_buf_free(&b);
    return st;
}

static enum sg_status say_gain(struct sg_buf *b, const struct sg_dataset *d, const struct sg_advice_step *s,
                               struct sg_err *err) {
    char name[NAME_BYTES], x[3][24];
    if (isnan(s->gain.low)) /* limits may leave nothing else to advise */
        return sg_buf_printf(
            b, err, ": %s points against %s for everything, by too few outcomes to say how far that errs",
            sg_text_signed(100 * s->gain.value, 1, x[0], sizeof x[0]), called(d, s->single, name));
    return sg_buf_printf(b, err, ": %s points [%s, %s] against %s for everything",
                         sg_text_signed(100 * s->gain.value, 1, x[0], sizeof x[0]),
                         sg_text_signed(100 * s->gain.low, 1, x[1], sizeof x[1]),
                         sg_text_signed(100 * s->gain.high, 1, x[2], sizeof x[2]),
                         called(d, s->single, name));
}

/* "A for x, y; B for z" */
static enum sg_status say_table(struct sg_buf *b, const struct sg_dataset *d, const int32_t *table,
                                struct sg_err *err) {
    enum sg_status st = SG_OK;
    bool any = false;
    char name[NAME_BYTES];
    for (int32_t k = 0; k < d->m; k++) {
        bool first = true;
        for (int32_t c = 0; c < d->n_categories; c++) {
            if (table[c] != k) continue;
            if (first) SG_TRY(sg_buf_printf(b, err, "%s%s for ", any ? "; " : "", called(d, k, name)));
            SG_TRY(sg_buf_printf(b, err, "%s%s", first ? "" : ", ",
                                 *d->category_name[c]
                                     ? sg_text_cut(d->category_name[c], NAME_COLUMNS, name, sizeof name)
                                     : "(none)"));
            first = false;
            any = true;
        }
    }
out:
    return st;
}

/* ". Limits reached: A 30 %, B 10 %", or ". Within the limits". */
static enum sg_status say_limits(struct sg_buf *b, const struct sg_dataset *d, const struct sg_advice *a,
                                 const struct sg_advice_step *s, struct sg_err *err) {
    enum { MOST = 3 };
    enum sg_status st = SG_OK;
    char name[NAME_BYTES];
    int told = 0;
    if (!a->cap) return SG_OK;
    for (int32_t k = 0; k < d->m; k++)
        if (sg_advice_capped(a, s, k, d->n) && told++ < MOST)
            SG_TRY(sg_buf_printf(b, err, "%s%s %.3g %%", told > 1 ? ", " : ". Limits reached: ",
                                 called(d, k, name), 100 * a->cap[k]));
    if (told > MOST) SG_TRY(sg_buf_printf(b, err, " and %d more", told - MOST));
    if (!told) SG_TRY(sg_buf_str(b, ". Within the limits", err));
out:
    return st;
}

/* What kept a table or routing away that gains on one model beyond noise: a mix, or that routing does not over all budgets. */
static const char *nothing_better(const struct sg_advice *a, const struct sg_advice_step *s) {
    const bool overall = a->decision.routing.low > 0,
               routing = s->is->candidate[SG_CANDIDATE_ROUTING].gain.low > 0;
    if (s->is->candidate[SG_CANDIDATE_TABLE].gain.low > 0 || (routing && overall))
        return "no mix at this budget is better beyond noise, nor is a table or routing better than the mix "
               "for its bill";
    if (routing)
        return "no mix or table at this budget is better beyond noise; routing is better here, but "
               "not on average over all budgets, so that may be luck";
    return "no mix, table or routing at this budget is better beyond noise";
}

enum { OPEN_POINTS = 50 /* an accuracy that is open by more is hardly known */ };

static bool hardly_known(const struct sg_value *v) {
    return v->high - v->low > OPEN_POINTS / 100.0;
}

/* What few queries will show is open, however well a policy is known: then how often it is right on queries like these. */
static enum sg_status say_chance(struct sg_buf *b, const struct sg_dataset *d, const struct sg_advice_step *s,
                                 struct sg_err *err) {
    const struct sg_value *v = &s->is->chance, *a = &s->accuracy;
    const bool one = d->n == 1;
    if (!hardly_known(a) || v->high - v->low > 0.75 * (a->high - a->low)) return SG_OK;
    if (sg_results_graded(d->r))
        return sg_buf_printf(b, err, "; the expected score of %s is %.1f %% [%.1f, %.1f]",
                             one ? "the query" : "a query", 100 * v->value, 100 * v->low, 100 * v->high);
    return sg_buf_printf(b, err, "; %s is answered right with a probability of %.1f %% [%.1f, %.1f]",
                         one ? "the query" : "a query, on average,", 100 * v->value, 100 * v->low,
                         100 * v->high);
}

enum sg_status sg__words_step(const struct sg_dataset *d, struct sg_advice *a, struct sg_advice_step *s,
                              struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    char text[48];
    char name[NAME_BYTES], other[NAME_BYTES];
    const double *cost = a->decision.single_cost;
    if (!s->value) {
        int32_t cheapest = 0;
        for (int32_t k = 1; k < d->m; k++)
            if (isnan(cost[cheapest]) || cost[k] < cost[cheapest]) cheapest = k;
        if (a->cap || s->kept)
            SG_TRY(sg_buf_str(&b, "No policy within the limits fits this budget", err));
        else
            SG_TRY(sg_buf_printf(&b, err, "No model fits this budget: the cheapest, %s, costs %s a query",
                                 called(d, cheapest, name), usd(cost[cheapest], text, sizeof text)));
        return keep(a, &b, &s->sentence, err);
    }
    const struct sg_rule *r = &s->value->rule;
    switch (s->is->advised) {
    case SG_CANDIDATE_SINGLE:
        SG_TRY(sg_buf_printf(&b, err, "Use %s for everything: %s", called(d, r->from, name),
                             nothing_better(a, s)));
        break;
    case SG_CANDIDATE_MIX:
        SG_TRY(sg_buf_printf(&b, err,
                             "Use %s for %.*f %% of the queries, drawn at random, and %s for the rest",
                             called(d, r->to, name), r->weight > 0.995 || r->weight < 0.005 ? 2 : 0,
                             100 * r->weight, called(d, r->from, other)));
        SG_TRY(say_gain(&b, d, s, err));
        break;
    case SG_CANDIDATE_TABLE:
        SG_TRY(sg_buf_str(&b, "Choose by category", err));
        if (d->n_categories <= MOST_CATEGORIES) {
            SG_TRY(sg_buf_str(&b, ", ", err));
            SG_TRY(say_table(&b, d, r->table, err));
        } else {
            SG_TRY(sg_buf_str(&b, " (policies.csv)", err));
        }
        SG_TRY(say_gain(&b, d, s, err));
        break;
    default:
        SG_TRY(sg_buf_str(&b, "Route query by query (policies.csv)", err));
        SG_TRY(say_gain(&b, d, s, err));
    }
    SG_TRY(say_chance(&b, d, s, err));
    if (s->spends < s->budget)
        SG_TRY(sg_buf_printf(&b, err,
                             ". This is the advice for %s: what more money buys is not told to give more",
                             usd(s->spends, text, sizeof text)));
    if (s->is->over_budget)
        SG_TRY(sg_buf_printf(&b, err, ". Its bill is above the budget: %s",
                             usd(s->cost.value, text, sizeof text)));
    SG_TRY(say_limits(&b, d, a, s, err));
    return keep(a, &b, &s->sentence, err);
out:
    sg_buf_free(&b);
    return st;
}

static enum sg_status doubt(struct sg_advice *a, struct sg_buf *b, const char **text, struct sg_err *err) {
    const enum sg_status st = keep(a, b, text, err);
    if (st == SG_OK) a->doubts[a->n_doubts++] = *text;
    return st;
}

enum sg_status sg__words_foreign(struct sg_advice *a, struct sg_err *err) {
    struct sg_buf b = {0};
    const char *text;
    enum sg_status st =
        sg_buf_str(&b,
                   "no anchor has a category of the queries: the anchors stand for all queries alike; "
                   "give both the same categories, or none",
                   err);
    if (st == SG_OK) st = doubt(a, &b, &text, err);
    sg_buf_free(&b);
    return st;
}

enum sg_status sg__words_category(struct sg_advice *a, struct sg_advice_category *c, bool shift, bool anchors,
                                  struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    char cut[NAME_BYTES];
    const char *name = *c->name ? sg_text_cut(c->name, NAME_COLUMNS, cut, sizeof cut) : "(none)";
    c->doubt = "";
    if (anchors && !c->n_anchors) {
        SG_TRY(sg_buf_printf(
            &b, err,
            "category %s (%lld queries) has no anchor: its values are those of the anchors of the "
            "queries' other categories",
            name, (long long)c->n_queries));
        return doubt(a, &b, &c->doubt, err);
    }
    if (shift) {
        SG_TRY(sg_buf_printf(
            &b, err,
            "queries of category %s are less like the anchors (similarity %.3f) than the anchors are "
            "like each other (%.3f): their accuracy may differ from what the anchors measured",
            name, c->similarity_queries, c->similarity_anchors));
        return doubt(a, &b, &c->doubt, err);
    }
out:
    sg_buf_free(&b);
    return st;
}

enum sg_status sg__words_prompts(const struct sg_dataset *d, struct sg_advice *a,
                                 const struct sg_prompt_doubt *x, struct sg_err *err) {
    struct sg_buf b = {0};
    char name[NAME_BYTES];
    const char *text;
    enum sg_status st =
        sg_buf_printf(&b, err,
                      "bills take the queries' prompts as %.0f tokens on average, as anchors of their "
                      "categories were billed by %s, not as the %.0f that the estimator's tokenizer counts: "
                      "that makes its bill %.0f %% %s",
                      x->taken, called(d, x->model, name), x->counted,
                      100 * (x->moves > 0 ? x->moves / (1 - x->moves) : x->moves / (x->moves - 1)),
                      x->moves > 0 ? "higher" : "lower");
    if (st == SG_OK) st = doubt(a, &b, &text, err);
    sg_buf_free(&b);
    return st;
}

/* Share of the queries in whose categories anchors have outcomes, but none of model k: a mean of the other models' stands
 * for it there. */
static double untried(const struct sg_advice *a, int32_t k) {
    const struct sg_decision *d = &a->decision;
    double share = 0;
    for (int32_t c = 0; c < d->n_categories && !d->truth && d->fit.count; c++) {
        const double *n = d->fit.count + (int64_t)c * d->m;
        double all = 0;
        for (int32_t j = 0; j < d->m; j++) all += n[j];
        if (all > 0 && n[k] == 0) share += d->weight[c];
    }
    return share;
}

/* Whether so few queries have no truth that luck alone leaves a share of right answers open by so much. */
static bool few_queries(const struct sg_dataset *d, const struct sg_advice *a, double p) {
    return !a->decision.truth && 2 * 1.96 * sqrt(p * (1 - p) / (double)d->n) > OPEN_POINTS / 100.0;
}

/* Outcomes of model k, of all categories. */
static double tried(const struct sg_advice *a, int32_t k) {
    const struct sg_decision *d = &a->decision;
    double n = 0;
    for (int32_t c = 0; c < d->n_categories && d->fit.count; c++) n += d->fit.count[(int64_t)c * d->m + k];
    return n;
}

enum sg_status sg__words_answer(const struct sg_dataset *d, struct sg_advice *a, struct sg_err *err) {
    enum sg_status st = SG_OK;
    struct sg_buf b = {0};
    char text[48];
    const struct sg_advice_step *s = &a->step[a->def];
    const char *dropped;
    char name[NAME_BYTES];
    bool few = false;
    if (!a->decision.truth && a->n_calibration == 0) {
        SG_TRY(sg_buf_str(
            &b,
            "no calibration cells: routing cannot be valued, and is advised only where limits leave "
            "nothing else; run with calibration.anchors (default 64)",
            err));
        SG_TRY(doubt(a, &b, &dropped, err));
    }
    for (int32_t k = 0; k < d->m; k++) {
        const struct sg_value *v = &a->decision.single_value[k];
        const double without = untried(a, k);
        if (without > 0)
            SG_TRY(sg_buf_printf(&b, err,
                                 "model %s: no anchor in the categories of %.*f %% of the queries has an "
                                 "outcome of it: what is said of it there follows the other models, as sure "
                                 "as five outcomes would make it",
                                 called(d, k, name), without < 0.01 ? 2 : 0, 100 * without));
        else if (hardly_known(v) && few_queries(d, a, v->value) && tried(a, k) >= 10)
            few = true;
        else if (hardly_known(v))
            SG_TRY(sg_buf_printf(
                &b, err,
                "model %s: its accuracy on these queries is only known to lie between %.0f and %.0f %%: few "
                "queries, or hardly any outcomes of it",
                called(d, k, name), 100 * v->low, 100 * v->high));
        if (b.len) SG_TRY(doubt(a, &b, &dropped, err));
    }
    if (few) {
        if (d->n == 1)
            SG_TRY(sg_buf_str(
                &b, "1 query: whether a model answers it right is luck, however well the model is known",
                err));
        else
            SG_TRY(sg_buf_printf(&b, err,
                                 "%lld queries: luck alone leaves the share of them that a model answers "
                                 "right open by more than "
                                 "%d points, however well the model is known",
                                 (long long)d->n, OPEN_POINTS));
        SG_TRY(doubt(a, &b, &dropped, err));
    }
    const char *measure = sg_results_graded(d->r) ? "a score" : "an accuracy";
    if (s->value && s->accuracy.value >= a->target)
        SG_TRY(sg_buf_printf(&b, err, "For %s of %.4g %%: %s a query, which is told to give %.1f %%: %s.",
                             measure, 100 * a->target, usd(s->budget, text, sizeof text),
                             100 * s->accuracy.value, s->sentence));
    else if (s->value && s->accuracy.value < a->target)
        SG_TRY(sg_buf_printf(&b, err,
                             "For %s of %.4g %%: nothing that is advised is told to give so much; %.1f %% is "
                             "the most, at %s a "
                             "query: %s.",
                             measure, 100 * a->target, 100 * s->accuracy.value,
                             usd(s->budget, text, sizeof text), s->sentence));
    else
        SG_TRY(sg_buf_printf(&b, err, "At %s a query: %s.", usd(s->budget, text, sizeof text), s->sentence));
    return keep(a, &b, &a->sentence, err);
out:
    sg_buf_free(&b);
    return st;
}
