#include "decision_work.h"

#include <math.h>

static double square(double x) {
    return x * x;
}

static const double *at_kind(const struct sg__work *w, const double *x, int32_t b, int kind) {
    return x + ((int64_t)b * SG__KINDS + kind) * w->all.n;
}

/* x - f * y of two rows of values, into out. */
static const double *less(const double *x, const double *y, double f, int64_t n, double *out) {
    for (int64_t i = 0; i < n; i++) out[i] = x[i] - f * y[i];
    return out;
}

/* A candidate against another one at budget b: routing is compared on the paired rows, by the estimates'
 * difference on the queries and its error there; the others on all rows. f: times the other one. */
static struct sg__estimate against(const struct sg__work *w, int32_t b, int kind, int other, bool cost,
                                   double f, double *tmp) {
    const bool paired = kind == SG_CANDIDATE_ROUTING || other == SG_CANDIDATE_ROUTING;
    const double *q = cost ? w->q_c : w->q_p;
    const double *x = paired ? (cost ? w->paired_c : w->paired_y) : (cost ? w->blind_c : w->blind_y);
    const double *d = less(at_kind(w, x, b, kind), at_kind(w, x, b, other), f, w->all.n, tmp);
    const double shift = paired || cost ? q[b * SG__KINDS + kind] - f * q[b * SG__KINDS + other] : 0;
    return sg__value(&w->valued, paired ? NULL : d, paired ? d : NULL, shift);
}

/* Accuracy or cost of a candidate. Routing: that of one model, by all rows, and the difference to it, by the
 * paired ones. */
static struct sg__estimate level(const struct sg__work *w, int32_t b, int kind, bool cost, double *tmp) {
    const double *blind = cost ? w->blind_c : w->blind_y, *paired = cost ? w->paired_c : w->paired_y;
    const double *q = (cost ? w->q_c : w->q_p) + b * SG__KINDS;
    const int one = SG_CANDIDATE_SINGLE + (cost ? SG__NAMED : 0);
    if (kind != SG_CANDIDATE_ROUTING) {
        if (cost) kind += SG__NAMED;
        return sg__value(&w->valued, at_kind(w, blind, b, kind), NULL, cost ? q[kind] : 0);
    }
    return sg__value(&w->valued, at_kind(w, blind, b, one),
                     less(at_kind(w, paired, b, kind), at_kind(w, paired, b, one), 1, w->all.n, tmp),
                     q[kind] - (cost ? 0 : q[one]));
}

/* The other side of a difference that is told. */
static int other_side(int kind, int what) {
    if (what == SG__VERSUS) return SG__INCUMBENT;
    if (what == SG__OVER_MIX) return SG_CANDIDATE_MIX;
    return kind == SG_CANDIDATE_SINGLE ? kind : SG__NAMED + SG_CANDIDATE_SINGLE;
}

static struct sg__estimate moving(const struct sg__work *w, int32_t b, int kind, int what, double *tmp) {
    if (what == SG__ACCURACY || what == SG__BILL) return level(w, b, kind, what == SG__BILL, tmp);
    const bool named = what == SG__OVER_MIX && kind == SG_CANDIDATE_SINGLE;
    return against(w, b, named ? SG__NAMED + kind : kind, other_side(kind, what), false, 1, tmp);
}

void sg__note_split(struct sg__work *w, int32_t split, double *tmp) {
    for (int32_t i = 0; i < w->in->n_budgets * SG_CANDIDATES * SG__MOVES; i++) {
        double *s = w->split + 4 * i;
        const int32_t at = i / SG__MOVES;
        if (i % SG__MOVES == SG__VERSUS && w->in->incumbent < 0 && !w->in->policy) continue;
        const double so_far = moving(w, at / SG_CANDIDATES, at % SG_CANDIDATES, i % SG__MOVES, tmp).value,
                     own = so_far - s[0];
        s[0] = so_far;
        if (!split) s[1] = own;
        s[2] += own - s[1];
        s[3] += (own - s[1]) * (own - s[1]);
    }
}

static double between(const struct sg__work *w, int32_t b, int kind, int what) {
    const double n = w->in->splits, *s = w->split + 4 * ((b * SG_CANDIDATES + kind) * SG__MOVES + what);
    return n > 1 ? fmax(0, (s[3] - s[2] * s[2] / n) / (n - 1)) : 0;
}

/* How far choosing anew in the folds moves an accuracy from what the candidate that is named shows on the same outcomes.
 * What choosing flattered is unknown by about as much. */
static double moved(const struct sg__work *w, int32_t b, int kind, double *tmp) {
    if (kind == SG_CANDIDATE_ROUTING) return 0;
    return against(w, b, kind, SG__NAMED + kind, false, 1, tmp).value;
}

/* The value with all errors: how far it moves from split to split is how much the choices made in the folds hang on
 * their outcomes, which the error of a mean over rows does not know. expected: without the luck of the queries' own
 * outcomes. */
static struct sg__estimate whole(const struct sg__work *w, int32_t b, int kind, int what, bool expected,
                                 double *tmp) {
    struct sg__estimate e = moving(w, b, kind, what, tmp);
    e.se = hypot(expected ? e.mean_se : e.se, sqrt(between(w, b, kind, what)));
    if (what == SG__ACCURACY) e.se = hypot(e.se, moved(w, b, kind, tmp));
    return e;
}

/* A difference that is told, and its interval. Where fewer than SG__LEAST_ROWS rows differ, or all alike, the rows do not
 * show its error. A gain is then not known (both ends NaN), or half a row of another kind keeps its interval open. Against
 * the incumbent that half row is a whole answer: equal answers to few queries do not show that two models are as good. */
static struct sg_value told(const struct sg__work *w, int32_t b, int kind, int what, double *tmp) {
    struct sg__estimate e = whole(w, b, kind, what, true, tmp);
    const double none = (double)NAN, n = (double)w->valued.n, edge = 0.5 / (n + 1);
    const bool versus = what == SG__VERSUS, any = fabs(e.value) > 1e-12;
    moving(w, b, kind, what, tmp); /* the rows' differences, into tmp */
    const bool few = sg__differing(&w->valued, tmp, kind == SG_CANDIDATE_ROUTING) < SG__LEAST_ROWS;
    if (!versus && any && few) return (struct sg_value){e.value, none, none};
    if (versus ? few : any && e.mean_se < 1e-9) {
        e.se = hypot(e.se, (versus ? 1 : fabs(e.value)) * sqrt(edge * (1 - edge) / n));
        e.df = fmax(1, fmin(e.df, n - 1));
    }
    return versus ? sg__interval_plain(e) : sg__interval_gain(e);
}

static bool gives_all_to(const struct sg_rule *r, int32_t model, int32_t n_categories) {
    if (r->kind == SG_CANDIDATE_ROUTING || !r->affordable) return false;
    if (r->kind != SG_CANDIDATE_TABLE) return r->from == model && !(r->weight > 0);
    for (int32_t c = 0; c < n_categories; c++)
        if (r->table[c] != model) return false;
    return true;
}

static void value_candidate(const struct sg__work *w, int32_t b, int kind, struct sg_decision_step *s,
                            double *tmp) {
    const double none = (double)NAN;
    struct sg_candidate_value *v = &s->candidate[kind];
    v->accuracy = sg__interval_accuracy(&w->valued, whole(w, b, kind, SG__ACCURACY, false, tmp));
    v->cost = sg__interval_cost(whole(w, b, kind, SG__BILL, false, tmp));
    /* one model against the mix is the mix against one model from the other side: the same bound decides */
    const bool one = kind == SG_CANDIDATE_SINGLE;
    v->over_mix = told(w, b, one ? SG_CANDIDATE_MIX : kind, one ? SG__GAIN : SG__OVER_MIX, tmp);
    if (one) v->over_mix = (struct sg_value){-v->over_mix.value, -v->over_mix.high, -v->over_mix.low};
    if (!s->candidate[SG_CANDIDATE_MIX].rule.affordable) v->over_mix = (struct sg_value){none, none, none};
    v->gain = told(w, b, kind, SG__GAIN, tmp);
    const struct sg__estimate gain = moving(w, b, kind, SG__GAIN, tmp);
    v->luck = sg_t_quantile(0.05, gain.df) * sqrt(fmax(0, gain.se * gain.se - gain.mean_se * gain.mean_se));
    const double base = s->candidate[SG_CANDIDATE_SINGLE].cost.value, ratio = v->cost.value / base;
    struct sg__estimate saved = against(w, b, kind == SG_CANDIDATE_ROUTING ? kind : kind + SG__NAMED,
                                        SG__NAMED + SG_CANDIDATE_SINGLE, true, ratio, tmp);
    saved.se = hypot(saved.se, sqrt(between(w, b, kind, SG__BILL)));
    v->saving = base > 0 ? sg__interval_saving(ratio, saved, base) : (struct sg_value){none, none, none};
    if (w->in->policy && !w->measured) {
        s->versus[kind].value = v->accuracy.value - w->q_p[b * SG__KINDS + SG__INCUMBENT];
        s->saved[kind].value = 1 - v->cost.value / w->q_c[b * SG__KINDS + SG__INCUMBENT];
        return;
    }
    if (w->in->incumbent < 0 && !w->in->policy) return;
    const double paid = sg__value(&w->valued, at_kind(w, w->blind_c, b, SG__INCUMBENT), NULL,
                                  w->q_c[b * SG__KINDS + SG__INCUMBENT])
                            .value;
    /* the model in use itself, by name: no difference, though folds may have chosen another model here */
    const bool itself = gives_all_to(&v->rule, w->in->incumbent, w->in->n_categories);
    s->versus[kind] = itself ? (struct sg_value){0, 0, 0} : told(w, b, kind, SG__VERSUS, tmp);
    saved = against(w, b, kind == SG_CANDIDATE_ROUTING ? kind : kind + SG__NAMED, SG__INCUMBENT, true,
                    v->cost.value / paid, tmp);
    if (saved.se > 0) saved.se = hypot(saved.se, sqrt(between(w, b, kind, SG__BILL))); /* not of itself */
    if (paid > 0) s->saved[kind] = sg__interval_saving(v->cost.value / paid, saved, paid);
}

/* The expected gain over a table, from which no interval is told. Both may move from split to split. */
static struct sg__estimate over(const struct sg__work *w, int32_t b, int kind, int other, double *tmp) {
    struct sg__estimate e = against(w, b, kind, other, false, 1, tmp);
    e.se = sqrt(square(e.mean_se) + between(w, b, kind, SG__GAIN) + between(w, b, other, SG__GAIN));
    return e;
}

/* Which candidate is advised: the intervals that are told decide. */
static enum sg_candidate choose(const struct sg__work *w, int32_t b, const struct sg_decision_step *s,
                                enum sg_candidate first, double *tmp) {
    const bool barred = s->candidate[SG_CANDIDATE_SINGLE].rule.barred;
    enum sg_candidate best = first;
    for (int kind = SG_CANDIDATE_MIX; kind < SG_CANDIDATES; kind++) {
        const struct sg_candidate_value *v = &s->candidate[kind];
        if (isnan(v->gain.low) || kind == (int)best) continue;
        /* where the bill misses the budget, the mix must not give as much for that bill */
        if (kind > SG_CANDIDATE_MIX && v->cost.value > s->budget &&
            v->accuracy.value <= sg__mix_at(w->out, v->cost.value))
            continue;
        /* better than one model, than the mix at this budget, and than every simpler one that was advised so far */
        if (!barred && !(v->gain.low > 0)) continue;
        const bool mixes = best == SG_CANDIDATE_MIX || s->candidate[SG_CANDIDATE_MIX].rule.weight > 0;
        if (kind > SG_CANDIDATE_MIX && mixes && !(v->over_mix.low > 0)) continue;
        if (best > SG_CANDIDATE_MIX && !(sg__interval_gain(over(w, b, kind, (int)best, tmp)).low > 0))
            continue;
        best = (enum sg_candidate)kind;
    }
    return best;
}

/* By how much being chosen flatters the accuracy of what is advised, on average, and its gain. It passed a bound, so
 * luck was on its side; a dearer candidate missed one, so luck was on this one's side there too (the nearest miss alone).
 * The law of normal values beyond a bound, at the distances that were seen (Cohen 1949). */
static double flattery(const struct sg__work *w, int32_t b, const struct sg_decision_step *s, double *gain,
                       double *tmp) {
    const int at = (int)s->advised;
    const bool one = at == SG_CANDIDATE_SINGLE;
    const double own = square(moving(w, b, at, SG__ACCURACY, tmp).mean_se);
    const bool barred = s->candidate[SG_CANDIDATE_SINGLE].rule.barred; /* then it passed nothing */
    double passed = 0, missed = 0;
    for (int kind = one ? SG_CANDIDATE_MIX : at; kind < SG_CANDIDATES; kind++) {
        const bool self = kind == at;
        const struct sg__estimate d =
            against(w, b, kind, self || one ? SG__NAMED + SG_CANDIDATE_SINGLE : at, false, 1, tmp);
        /* the same answers, but for rounding */
        if (isnan(s->candidate[kind].gain.low) || !(d.mean_se > 1e-9) || (barred && self)) continue;
        const double x = d.value / d.mean_se - sg_t_quantile(0.025, d.df);
        if (!self && x > 0) continue; /* another bound kept it away */
        const double lift = sg__lift(fabs(x), d.mean_se);
        /* the covariance of this level and of the difference, by the variances of the two levels */
        const int rival = self ? SG_CANDIDATE_SINGLE : kind;
        const double theirs = square(moving(w, b, rival, SG__ACCURACY, tmp).mean_se);
        const double shared = fmax(0, (own + square(d.mean_se) - theirs) / (2 * square(d.mean_se)));
        if (self)
            passed = shared * (*gain = lift);
        else
            missed = fmax(missed, shared * lift);
    }
    return passed + missed;
}

void sg__answer(const struct sg__work *w, int32_t b, struct sg_decision_step *s, double *tmp) {
    const struct sg_value none = {(double)NAN, (double)NAN, (double)NAN};
    s->advised = SG_CANDIDATE_SINGLE;
    s->accuracy = s->gain = none;
    s->affordable = s->candidate[SG_CANDIDATE_SINGLE].rule.affordable;
    for (int kind = 0; kind < SG_CANDIDATES; kind++) {
        struct sg_candidate_value *v = &s->candidate[kind];
        v->accuracy = v->cost = v->gain = v->saving = v->over_mix = s->versus[kind] = s->saved[kind] = none;
        v->luck = none.value;
        if (!s->affordable || !v->rule.affordable) continue;
        if (kind == SG_CANDIDATE_ROUTING && !w->valued.paired_rows) continue;
        value_candidate(w, b, kind, s, tmp);
    }
    if (!s->affordable) return;
    int first = SG_CANDIDATE_SINGLE;
    if (s->candidate[first].rule.barred) /* then the simplest that is allowed */
        for (first = SG_CANDIDATE_MIX; first < SG_CANDIDATES && isnan(s->candidate[first].accuracy.value);)
            first++;
    s->affordable = first < SG_CANDIDATES;
    if (!s->affordable) return;
    s->advised = choose(w, b, s, (enum sg_candidate)first, tmp);
    const struct sg_candidate_value *v = &s->candidate[s->advised];
    s->over_budget = v->cost.low > s->budget;
    struct sg__estimate level = whole(w, b, (int)s->advised, SG__ACCURACY, false, tmp);
    double lift = 0;
    level.value = fmax(0, level.value - flattery(w, b, s, &lift, tmp));
    s->accuracy = sg__interval_accuracy(&w->valued, level);
    s->gain = v->gain;
    s->gain.value -= lift;
}

void sg__value_given(const struct sg__work *w, struct sg_decision *d) {
    const double none = (double)NAN;
    d->policy_measured = w->measured;
    d->policy_accuracy = (struct sg_value){w->q_p[SG__INCUMBENT], none, none};
    d->policy_cost = (struct sg_value){w->q_c[SG__INCUMBENT], none, none};
    if (!w->measured) return;
    d->policy_accuracy = sg__interval_accuracy(
        &w->valued, sg__value(&w->valued, at_kind(w, w->blind_y, 0, SG__INCUMBENT), NULL, 0));
    d->policy_cost =
        sg__interval_cost(sg__value(&w->valued, at_kind(w, w->blind_c, 0, SG__INCUMBENT), NULL, 0));
}
