/* table_decision - the advice on the terminal: the first thing that is printed. */
#include "writers.h"

#include "analysis/policies.h"
#include "analysis/text_width.h"

#include <math.h>
#include <stdio.h>

static const char *points(const struct sg_value *v, char *buf, size_t n) {
    return sg__print_band(v, 100, 1, true, buf, n);
}

static const char *percent(const struct sg_value *v, char *buf, size_t n) {
    return sg__print_band(v, 100, 1, false, buf, n);
}

/* A share of a bill that is saved: with as many digits as tell nearly all from all. */
static const char *saved(const struct sg_value *v, char *buf, size_t n) {
    const double all[3] = {v->value, v->low, v->high};
    int digits = 1;
    for (int i = 0; i < 3; i++)
        while (digits < 6 && all[i] < 1 && 100 * (1 - all[i]) < 0.5 * pow(10, -digits)) digits++;
    return sg__print_band(v, 100, digits, false, buf, n);
}

static void estimate(const struct sg_advice *a, FILE *to) {
    fprintf(to, "  estimate used: %s (%s)\n", sg_estimate_name[a->estimate], a->estimate_why);
    if (!a->n_calibration) return;
    fprintf(to, "  %-9s %8s %8s %8s %8s %16s %9s\n", "estimate", "Brier", "log loss", "AUC", "ECE",
            "calibrated ECE", "length");
    for (int k = 0; k < SG_ESTIMATES; k++) {
        const struct sg_quality *q = &a->quality[k];
        char b[2][32] = {"-", "-"};
        if (isfinite(a->length[k].bias)) snprintf(b[1], sizeof b[1], "%+.1f%%", 100 * a->length[k].bias);
        if (!a->fitted[k] || isnan(a->log_loss[k])) continue;
        fprintf(to, "  %-9s %8.4f %8.4f %8s %8.4f  %.3f [%.3f, %.3f] %9s\n", sg_estimate_name[k], q->brier,
                a->log_loss[k], sg__print_number(q->auc, 4, b[0], sizeof b[0]), q->ece, q->ece_null.value,
                q->ece_null.low, q->ece_null.high, b[1]);
    }
}

/* What the policy in use is worth, and who answers. */
static void given(const struct sg_analysis *x, FILE *to) {
    enum { NAME = 40 };
    const struct sg_advice *a = x->opt.advice;
    const struct sg_decision *d = &a->decision;
    char b[96], name[4 * NAME + 1];
    fprintf(to, "  incumbent %s: %s %s %%, bill ", a->incumbent_name, sg__measure(x),
            percent(&d->policy_accuracy, b, sizeof b));
    fprintf(to, "%s USD a query", sg__print_bill(&d->policy_cost, 1, b, sizeof b));
    for (int32_t k = 0, some = 0; k < x->data->m; k++)
        if (a->policy.share[k] > 0)
            fprintf(to, "%s%s %.1f %%", some++ ? ", " : "\n    answered by ",
                    sg_text_cut(sg_dataset_model(x->data, k), NAME, name, sizeof name),
                    100 * a->policy.share[k]);
    fprintf(to, "\n");
    if (!d->policy_measured)
        fprintf(to, "    predicted by the estimates without a correction, hence no intervals: only anchors, "
                    "which it does "
                    "not route, have outcomes of all models\n");
}

/* What all models and each portfolio give at a budget: the ask-th of those asked for. */
static void sizes(const struct sg_portfolio_sizes *x, int32_t ask, FILE *to) {
    enum { LIST = 120 };
    char b[64], list[4 * LIST + 1];
    for (int32_t i = 0; i < x->n_sizes; i++) {
        const struct sg_portfolio_size *r = &x->row[(int64_t)i * x->n_asked + ask];
        fprintf(to, "      with %s%.0f model%s: ", i ? "" : "all ", r->size, r->size > 1 ? "s" : "");
        if (isnan(r->accuracy.value))
            fputs("nothing fits the budget", to);
        else
            fprintf(to, "%s %%", percent(&r->accuracy, b, sizeof b));
        if (i && !isnan(r->lost))
            fprintf(to, ", %s points", points(&(struct sg_value){r->lost, NAN, NAN}, b, sizeof b));
        fprintf(to, "%s%s\n", *r->models ? ": " : "", sg_text_cut(r->models, LIST, list, sizeof list));
    }
}

static void against_incumbent(const struct sg_advice *a, const struct sg_advice_step *s, FILE *to) {
    char b[2][96];
    const struct sg_value *v = &s->saved_of_incumbent, more = {-v->value, -v->high, -v->low};
    const bool dearer = v->value < 0;
    fprintf(to, "      against the incumbent: %s points, ", points(&s->vs_incumbent, b[0], sizeof b[0]));
    const struct sg_decision *d = &a->decision;
    if ((a->incumbent >= 0 ? &d->single_bill[a->incumbent] : &d->policy_cost)->value == 0)
        fprintf(to, "whose bill is 0\n"); /* no share of it can be saved */
    else
        fprintf(to, "%s %% %s\n", dearer ? percent(&more, b[1], sizeof b[1]) : saved(v, b[1], sizeof b[1]),
                dearer ? "more than its bill" : "of its bill saved");
}

/* What is advised for each target accuracy; the table of policies has those that are out of reach. */
static void targets(const struct sg_analysis *x, FILE *to) {
    char b[2][96];
    double best;
    for (size_t i = 0; i < x->n_policies; i++) {
        const struct sg_asked_policy *k = &x->policies[i];
        const struct sg_advice_step *s =
            k->is_target ? sg__advised_step(x->opt.advice, true, k->asked, &best) : NULL;
        if (!s) continue;
        fprintf(to, "  %s %s %%: from %s USD a query, which is told to give ", sg__measure(x),
                sg__print_percent(k->asked, b[0], sizeof b[0]), sg__print_usd(s->budget, b[1], sizeof b[1]));
        fprintf(to, "%s %%: %s\n", percent(&s->accuracy, b[0], sizeof b[0]), s->sentence);
    }
}

void sg__write_decision(const struct sg_analysis *x, FILE *to) {
    const struct sg_advice *a = x->opt.advice;
    char b[5][96];
    if (!a || !a->present) return;
    const struct sg_decision *d = &a->decision;
    fprintf(to, "\nWhat to do\n  %s\n", a->sentence);
    fprintf(
        to, "  valued by the outcomes of %lld %s, out of fold; 95 %% intervals%s\n", (long long)d->n_valued,
        d->truth && d->anchors ? "queries and anchors"
        : d->truth             ? "of the queries"
                               : "anchors",
        d->truth ? ""
                 : " of what these queries will show; points over others: expected on queries like these");
    double luck = 0;
    for (int32_t i = 0; i < a->n_steps; i++)
        if (*a->step[i].asked && a->step[i].value && a->step[i].is->advised != SG_CANDIDATE_SINGLE)
            luck = fmax(luck, a->step[i].gain_luck);
    if (luck > 0)
        fprintf(to, "  on %s %lld %s alone luck moves the points over one model by up to %.1f more\n",
                x->data->n == 1 ? "this" : "these", (long long)x->data->n,
                x->data->n == 1 ? "query" : "queries", fmin(100, 100 * luck));
    estimate(a, to);
    if (a->policy.n) given(x, to);
    fprintf(to, "  %-11s %-10s %-20s %-36s %-22s %-22s\n", "budget", "do",
            sg_results_graded(x->data->r) ? "score, %" : "accuracy, %",
            a->volume > 0 ? "bill, USD a month" : "bill, USD a query", "points over one model",
            "points over a mix");
    for (int32_t i = 0, ask = 0; i < a->n_steps; i++) {
        const struct sg_advice_step *s = &a->step[i];
        if (!*s->asked && i != a->def) continue; /* the step of the first sentence has a row, too */
        fprintf(to, "  %-11s %-10s %-20s %-36s %-22s %-22s%s\n", sg__print_usd(s->budget, b[0], sizeof b[0]),
                s->value ? sg_candidate_name[s->is->advised] : "none",
                percent(&s->accuracy, b[1], sizeof b[1]),
                sg__print_bill(&s->cost, a->volume > 0 ? a->volume : 1, b[2], sizeof b[2]),
                s->value && s->is->advised == SG_CANDIDATE_SINGLE ? "is one"
                                                                  : points(&s->gain, b[3], sizeof b[3]),
                points(&s->over_mix, b[4], sizeof b[4]), s->is->over_budget ? "  over the budget" : "");
        fprintf(to, "      %s\n", s->sentence);
        if (*s->asked && x->opt.sizes && x->opt.sizes->n_sizes) sizes(x->opt.sizes, ask, to);
        if (*s->asked) ask++;
        if (a->incumbent >= 0 && s->value && s->is->advised == SG_CANDIDATE_SINGLE &&
            s->single == a->incumbent)
            fputs("      is the incumbent\n", to);
        else if (a->incumbent_name && s->value)
            against_incumbent(a, s, to);
    }
    targets(x, to);
    if (a->incumbent_name && a->cheapest_as_good >= 0) {
        const struct sg_advice_step *s = &a->step[a->cheapest_as_good];
        fprintf(to, "  at most %.1f points below %s, with 95 %%: from %s USD a query: %s\n", 100 * a->margin,
                a->incumbent_name, sg__print_usd(s->budget, b[0], sizeof b[0]), s->sentence);
    } else if (a->incumbent_name) {
        fprintf(to, "  nothing is shown to be at most %.1f points below %s, with 95 %%\n", 100 * a->margin,
                a->incumbent_name);
    }
    for (int32_t i = 0; i < a->n_doubts; i++) fprintf(to, "  doubt: %s\n", a->doubts[i]);
}
