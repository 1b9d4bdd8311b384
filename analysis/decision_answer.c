#include "decision_holes.h"
#include "decision_work.h"

#include <math.h>
#include <string.h>

static double square(double x) {
    return x * x;
}

/* A kind of candidate at a budget, as an index of the sums. */
static int32_t at(int32_t b, int kind) {
    return b * SG__KINDS + kind;
}

static bool routes(int32_t x) {
    return x % SG__KINDS == SG_CANDIDATE_ROUTING;
}

static const double *rows(const struct sg__work *w, const double *sums, int32_t x) {
    return sums + x * w->all.n;
}

/* x - f * y of two rows of values, into out. */
static const double *less(const double *x, const double *y, double f, int64_t n, double *out) {
    for (int64_t i = 0; i < n; i++) out[i] = x[i] - f * y[i];
    return out;
}

/* Candidate x less f times candidate y: routing is compared on the paired rows, by the estimates' difference on the
 * queries and its error there; the others on all rows. */
static struct sg__estimate against(const struct sg__work *w, int32_t x, int32_t y, bool cost, double f,
                                   double *tmp) {
    const bool paired = routes(x) || routes(y);
    const double *q = cost ? w->q_c : w->q_p;
    const double *sums = paired ? (cost ? w->paired_c : w->paired_y) : (cost ? w->blind_c : w->blind_y);
    const double *d = less(rows(w, sums, x), rows(w, sums, y), f, w->all.n, tmp);
    const double shift = paired || cost ? q[x] - f * q[y] : 0;
    struct sg__estimate e = sg__value(&w->valued, paired ? NULL : d, paired ? d : NULL, shift);
    sg__add_holes(w, x, y, f, cost, &e);
    return e;
}

/* Accuracy or cost of a candidate. Routing: that of one model, by all rows, and the difference to it, by the
 * paired ones. */
static struct sg__estimate level(const struct sg__work *w, int32_t b, int kind, bool cost, double *tmp) {
    const double *blind = cost ? w->blind_c : w->blind_y, *paired = cost ? w->paired_c : w->paired_y;
    const double *q = cost ? w->q_c : w->q_p;
    const int32_t one = at(b, SG_CANDIDATE_SINGLE + (cost ? SG__NAMED : 0)),
                  x = at(b, cost && kind != SG_CANDIDATE_ROUTING ? SG__NAMED + kind : kind);
    struct sg__estimate e = routes(x)
                                ? sg__value(&w->valued, rows(w, blind, one),
                                            less(rows(w, paired, x), rows(w, paired, one), 1, w->all.n, tmp),
                                            q[x] - (cost ? 0 : q[one]))
                                : sg__value(&w->valued, rows(w, blind, x), NULL, cost ? q[x] : 0);
    sg__add_holes(w, x, -1, 0, cost, &e);
    return e;
}

static bool compares(const struct sg__work *w) {
    return w->in->incumbent >= 0 || (w->in->policy && w->measured);
}

static struct sg__estimate moving(const struct sg__work *w, int32_t b, int kind, int what, double *tmp) {
    const bool one = kind == SG_CANDIDATE_SINGLE;
    const int32_t x = at(b, kind), named = at(b, SG__NAMED + SG_CANDIDATE_SINGLE);
    switch (what) {
    case SG__GAIN:
        return against(w, x, one ? x : named, false, 1, tmp);
    case SG__OVER_MIX:
        return against(w, one ? named : x, at(b, SG_CANDIDATE_MIX), false, 1, tmp);
    case SG__OVER_TABLE:
        return against(w, x, at(b, SG_CANDIDATE_TABLE), false, 1, tmp);
    case SG__VERSUS:
        return against(w, x, at(b, SG__INCUMBENT), false, 1, tmp);
    default:
        return level(w, b, kind, what == SG__BILL, tmp);
    }
}

static double *moves(const struct sg__work *w, int32_t b, int kind, int what) {
    return w->split + 4 * ((b * SG_CANDIDATES + kind) * SG__MOVES + what);
}

/* What a split alone says of routing: its gain over one model, the mix, the table. */
static double *routed(const struct sg__work *w, int32_t split, int32_t b, int what) {
    return w->routed + ((int64_t)split * w->in->n_budgets + b) * 3 + (what - SG__GAIN);
}

void sg__note_split(struct sg__work *w, int32_t split, double *tmp) {
    for (int32_t b = 0; b < w->in->n_budgets; b++)
        for (int kind = 0; kind < SG_CANDIDATES; kind++)
            for (int what = 0; what < SG__MOVES; what++) {
                if (what == SG__VERSUS && !compares(w)) continue;
                if (what == SG__OVER_TABLE && kind != SG_CANDIDATE_ROUTING) continue;
                double *s = moves(w, b, kind, what);
                const double so_far = moving(w, b, kind, what, tmp).value, own = so_far - s[0];
                s[0] = so_far;
                if (kind == SG_CANDIDATE_ROUTING && what >= SG__GAIN && what <= SG__OVER_TABLE)
                    *routed(w, split, b, what) = own;
                if (!split) s[1] = own;
                s[2] += own - s[1];
                s[3] += (own - s[1]) * (own - s[1]);
            }
}

static double between(const struct sg__work *w, int32_t b, int kind, int what) {
    const double n = w->in->splits, *s = moves(w, b, kind, what);
    return n > 1 ? fmax(0, (s[3] - s[2] * s[2] / n) / (n - 1)) : 0;
}

/* How far choosing anew in the folds moves an accuracy from what the candidate that is named shows on the same outcomes.
 * What choosing flattered is unknown by about as much. */
static double moved(const struct sg__work *w, int32_t b, int kind, double *tmp) {
    if (kind == SG_CANDIDATE_ROUTING) return 0;
    return against(w, at(b, kind), at(b, SG__NAMED + kind), false, 1, tmp).value;
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

/* A difference that is told, before its interval. Where fewer than SG__LEAST_ROWS rows differ, or all alike, the rows do not
 * show its error. That of a gain is then not known (NaN), or half a row of another kind keeps its interval open. Against
 * the incumbent that half row is a whole answer: equal answers to few queries do not show that two models are as good.
 * tmp: the rows' differences. */
static struct sg__estimate unsure(const struct sg__work *w, struct sg__estimate e, bool versus, bool paired,
                                  const double *tmp) {
    const double n = (double)w->valued.n, edge = 0.5 / (n + 1);
    const bool any = fabs(e.value) > 1e-12, few = sg__differing(&w->valued, tmp, paired) < SG__LEAST_ROWS;
    if (!versus && any && few) e.se = (double)NAN;
    if (versus ? few : any && e.mean_se < 1e-9) {
        e.se = hypot(e.se, (versus ? 1 : fabs(e.value)) * sqrt(edge * (1 - edge) / n));
        e.df = fmax(1, fmin(e.df, n - 1));
    }
    return e;
}

static struct sg__estimate difference(const struct sg__work *w, int32_t b, int kind, int what, double *tmp) {
    const struct sg__estimate e = whole(w, b, kind, what, true, tmp);
    moving(w, b, kind, what, tmp); /* the rows' differences, into tmp */
    return unsure(w, e, what == SG__VERSUS, kind == SG_CANDIDATE_ROUTING, tmp);
}

static struct sg_value gain_of(struct sg__estimate e) {
    return isnan(e.se) ? (struct sg_value){e.value, e.se, e.se} : sg__interval_gain(e);
}

/* A simple candidate as the others are compared with it: one model by name. */
static int32_t simple(int32_t b, int kind) {
    return at(b, kind == SG_CANDIDATE_SINGLE ? SG__NAMED + kind : kind);
}

static bool gives_all_to(const struct sg_rule *r, int32_t model, int32_t n_categories) {
    if (r->kind == SG_CANDIDATE_ROUTING || !r->affordable) return false;
    if (r->kind != SG_CANDIDATE_TABLE) return r->from == model && !(r->weight > 0);
    for (int32_t c = 0; c < n_categories; c++)
        if (r->table[c] != model) return false;
    return true;
}

/* --- one model ------------------------------------------------------------------------------------------------ */

static const struct sg_rule *one_of(const struct sg_decision_step *s) {
    return &s->candidate[SG_CANDIDATE_SINGLE].rule;
}

/* Adds an estimate of the same thing at another budget: the mean value, the mean variance, the least degrees of freedom. */
static void pool(struct sg__estimate *mean, struct sg__estimate e, int32_t n) {
    if (!n) {
        *mean = e;
        return;
    }
    mean->value += (e.value - mean->value) / (n + 1);
    mean->se = sqrt((square(mean->se) * n + square(e.se)) / (n + 1));
    mean->mean_se = sqrt((square(mean->mean_se) * n + square(e.mean_se)) / (n + 1));
    mean->df = fmin(mean->df, e.df);
}

/* What a model that is named for everything is worth, once for all budgets: the mean of what choosing out of fold is
 * worth at the budgets where it is named. What the folds chose instead of it differs between these. */
static void value_singles(struct sg__work *w, const struct sg_decision *d, double *tmp) {
    for (int32_t b = 0; b < d->n_steps; b++) {
        if (!one_of(&d->step[b])->affordable) continue;
        struct sg__single *o = &w->single[one_of(&d->step[b])->from];
        pool(&o->level, whole(w, b, SG_CANDIDATE_SINGLE, SG__ACCURACY, false, tmp), o->named);
        if (compares(w)) pool(&o->versus, difference(w, b, SG_CANDIDATE_SINGLE, SG__VERSUS, tmp), o->named);
        o->named++;
    }
}

/* Names model `from` of a smaller budget at budget b. */
static void rename_single(struct sg__work *w, struct sg_decision *d, int32_t b, int32_t from) {
    const int32_t to = at(b, SG__NAMED + SG_CANDIDATE_SINGLE), of = at(from, SG__NAMED + SG_CANDIDATE_SINGLE);
    double *const sums[] = {w->blind_y, w->blind_c, w->paired_y, w->paired_c};
    for (int i = 0; i < 4; i++)
        memcpy(sums[i] + to * w->all.n, rows(w, sums[i], of), sizeof(double) * (size_t)w->all.n);
    sg__copy_holes(w, to, of);
    w->q_p[to] = w->q_p[of];
    w->q_c[to] = w->q_c[of];
    memcpy(moves(w, b, SG_CANDIDATE_SINGLE, SG__BILL), moves(w, from, SG_CANDIDATE_SINGLE, SG__BILL),
           4 * sizeof(double));
    d->step[b].candidate[SG_CANDIDATE_SINGLE] = d->step[from].candidate[SG_CANDIDATE_SINGLE];
}

/* A dearer model that is told to be worth less than a cheaper one is not the best affordable one: it led on the outcomes
 * that chose it. */
static void best_singles(struct sg__work *w, struct sg_decision *d) {
    int32_t best = -1;
    for (int32_t b = 0; b < d->n_steps; b++) {
        const struct sg_rule *r = one_of(&d->step[b]);
        if (!r->affordable) continue;
        const struct sg_rule *o = best < 0 ? r : one_of(&d->step[best]);
        const bool allowed = !o->barred && (!d->kept || d->kept[(int64_t)b * d->m + o->from]);
        if (r->from != o->from && allowed && w->single[r->from].level.value < w->single[o->from].level.value)
            rename_single(w, d, b, best);
        else
            best = b;
    }
}

/* --- candidates --------------------------------------------------------------------------------------------- */

/* 1 - bill of x / bill of y; y's is `paid`. moves: how far the bill moves from split to split, squared. */
static struct sg_value saved_on(const struct sg__work *w, int32_t x, int32_t y, double bill, double paid,
                                double moves, double *tmp) {
    const double none = (double)NAN;
    struct sg__estimate e = against(w, x, y, true, bill / paid, tmp);
    if (!(paid > 0)) return (struct sg_value){none, none, none};
    if (!(e.se > 1e-9 * paid)) return (struct sg_value){0, 0, 0}; /* the same calls, but for rounding */
    e.se = hypot(e.se, sqrt(moves));
    return sg__interval_saving(bill / paid, e, paid);
}

/* The candidate with the bill of what is named. */
static int32_t billed(int32_t b, int kind) {
    return at(b, kind == SG_CANDIDATE_ROUTING ? kind : SG__NAMED + kind);
}

static double half_luck(struct sg__estimate gain) {
    return sg_t_quantile(0.05, gain.df) * sqrt(fmax(0, square(gain.se) - square(gain.mean_se)));
}

static void value_candidate(const struct sg__work *w, int32_t b, int kind, struct sg_decision_step *s,
                            double *tmp) {
    const double none = (double)NAN;
    struct sg_candidate_value *v = &s->candidate[kind];
    const int32_t named = at(b, SG__NAMED + SG_CANDIDATE_SINGLE), used = at(b, SG__INCUMBENT);
    const bool one = kind == SG_CANDIDATE_SINGLE;
    v->accuracy = sg__interval_accuracy(&w->valued, one ? w->single[v->rule.from].level
                                                        : whole(w, b, kind, SG__ACCURACY, false, tmp));
    v->cost = sg__interval_cost(whole(w, b, kind, SG__BILL, false, tmp));
    /* one model against the mix is the mix against one model from the other side: the same bound decides */
    v->over_mix =
        gain_of(difference(w, b, one ? SG_CANDIDATE_MIX : kind, one ? SG__GAIN : SG__OVER_MIX, tmp));
    if (one) v->over_mix = (struct sg_value){-v->over_mix.value, -v->over_mix.high, -v->over_mix.low};
    if (!s->candidate[SG_CANDIDATE_MIX].rule.affordable) v->over_mix = (struct sg_value){none, none, none};
    v->gain = gain_of(difference(w, b, kind, SG__GAIN, tmp));
    if (one) v->gain = (struct sg_value){0, 0, 0};
    v->luck = half_luck(moving(w, b, kind, SG__GAIN, tmp));
    const double bill_moves = between(w, b, kind, SG__BILL);
    v->saving = saved_on(w, billed(b, kind), named, v->cost.value,
                         s->candidate[SG_CANDIDATE_SINGLE].cost.value, bill_moves, tmp);
    if (w->in->policy && !w->measured) {
        s->versus[kind].value = v->accuracy.value - w->q_p[used];
        s->saved[kind].value = 1 - v->cost.value / w->q_c[used];
    }
    if (!compares(w)) return;
    const double paid = sg__value(&w->valued, rows(w, w->blind_c, used), NULL, w->q_c[used]).value;
    /* the model in use itself, by name: no difference, though folds may have chosen another model here */
    const bool itself = gives_all_to(&v->rule, w->in->incumbent, w->in->n_categories);
    s->versus[kind] = itself ? (struct sg_value){0, 0, 0}
                      : one  ? sg__interval_plain(w->single[v->rule.from].versus)
                             : sg__interval_plain(difference(w, b, kind, SG__VERSUS, tmp));
    s->saved[kind] = saved_on(w, billed(b, kind), used, v->cost.value, paid, bill_moves, tmp);
}

/* What routing gains on the simple candidates (one model, mix, table): at each budget on the one that is worth the most
 * there, the mean over the budgets. A report tries routing at many budgets, and by luck it is better at some of them. Where
 * it is not better at all of them together it is advised at none: a gatekeeping test (Dmitrienko, Offen, Westfall 2003). Its
 * error has how far the mean moves from split to split, and takes what missing outcomes add to be the same at all budgets. */
static struct sg_value routing_gains(struct sg__work *w, const struct sg_decision *d, double *tmp) {
    static const int over[] = {SG__GAIN, SG__OVER_MIX, SG__OVER_TABLE};
    const double splits = w->in->splits;
    double shift = 0, holes = 0, n = 0, mean = 0, moves = 0;
    memset(w->mean_gain, 0, sizeof *w->mean_gain * (size_t)w->all.n);
    memset(w->split_gain, 0, sizeof *w->split_gain * (size_t)w->in->splits);
    for (int32_t b = 0; b < d->n_steps; b++) {
        const struct sg_candidate_value *v = d->step[b].candidate;
        const int32_t x = at(b, SG_CANDIDATE_ROUTING);
        int best = SG_CANDIDATE_ROUTING;
        double least = INFINITY;
        if (isnan(v[SG_CANDIDATE_ROUTING].accuracy.value)) continue;
        for (int kind = 0; kind < SG_CANDIDATE_ROUTING; kind++) {
            if (isnan(v[kind].accuracy.value) || v[kind].rule.barred) continue;
            const double gain = against(w, x, simple(b, kind), false, 1, tmp).value;
            if (gain > least - 1e-12) continue; /* of equal ones the simplest */
            least = gain;
            best = kind;
        }
        if (best == SG_CANDIDATE_ROUTING) continue;
        const double with_holes = against(w, x, simple(b, best), false, 1, tmp).mean_se;
        holes += sqrt(fmax(0, square(with_holes) - square(sg__value(&w->valued, NULL, tmp, 0).mean_se)));
        for (int64_t i = 0; i < w->all.n; i++) w->mean_gain[i] += tmp[i];
        for (int32_t i = 0; i < w->in->splits; i++) w->split_gain[i] += *routed(w, i, b, over[best]);
        shift += w->q_p[x] - w->q_p[simple(b, best)];
        n++;
    }
    if (!(n > 0)) return (struct sg_value){(double)NAN, (double)NAN, (double)NAN};
    for (int64_t i = 0; i < w->all.n; i++) w->mean_gain[i] /= n;
    for (int32_t i = 0; i < w->in->splits; i++) mean += w->split_gain[i] / splits;
    for (int32_t i = 0; i < w->in->splits; i++) moves += square((w->split_gain[i] - mean) / n);
    struct sg__estimate e = sg__value(&w->valued, NULL, w->mean_gain, shift / n);
    e.se = hypot(hypot(e.mean_se, holes / n), splits > 1 ? sqrt(moves / (splits - 1)) : 0);
    e = unsure(w, e, false, true, w->mean_gain);
    return isnan(e.se) ? (struct sg_value){e.value, e.se, e.se} : sg__interval_plain(e);
}

/* The expected gain of routing over the table, from which no interval is told. */
static struct sg__estimate over_table(const struct sg__work *w, int32_t b, double *tmp) {
    return whole(w, b, SG_CANDIDATE_ROUTING, SG__OVER_TABLE, true, tmp);
}

/* Which candidate is advised: the intervals that are told decide. */
static enum sg_candidate choose(const struct sg__work *w, int32_t b, const struct sg_decision_step *s,
                                enum sg_candidate first, double *tmp) {
    const bool barred = s->candidate[SG_CANDIDATE_SINGLE].rule.barred;
    enum sg_candidate best = first;
    for (int kind = SG_CANDIDATE_MIX; kind < SG_CANDIDATES; kind++) {
        const struct sg_candidate_value *v = &s->candidate[kind];
        if (isnan(v->gain.low) || kind == (int)best) continue;
        if (kind == SG_CANDIDATE_ROUTING && !(w->out->routing.low > 0)) continue;
        /* where the bill misses the budget, the mix must not give as much for that bill */
        if (kind > SG_CANDIDATE_MIX && v->cost.value > s->budget &&
            v->accuracy.value <= sg__mix_at(w->out, v->cost.value))
            continue;
        /* better than one model, than the mix at this budget, and than every simpler one that was advised so far */
        if (!barred && !(v->gain.low > 0)) continue;
        const bool mixes = best == SG_CANDIDATE_MIX || s->candidate[SG_CANDIDATE_MIX].rule.weight > 0;
        if (kind > SG_CANDIDATE_MIX && mixes && !(v->over_mix.low > 0)) continue;
        if (best == SG_CANDIDATE_TABLE && !(sg__interval_gain(over_table(w, b, tmp)).low > 0)) continue;
        best = (enum sg_candidate)kind;
    }
    return best;
}

/* The error of candidate x less `from`; of x alone where that is NONE. */
enum { NONE = -1 };
static double error_of(const struct sg__work *w, int32_t x, int32_t from, double *tmp) {
    if (from != NONE) return against(w, x, from, false, 1, tmp).mean_se;
    return level(w, x / SG__KINDS, x % SG__KINDS, false, tmp).mean_se;
}

/* By how much being chosen flatters what is advised, on average, compared with `from` (NONE: its accuracy). It passed a
 * bound, so luck was on its side; a dearer candidate missed one, so luck was on this one's side there too (the nearest miss
 * alone). The law of normal values beyond a bound, at the distances that were seen (Cohen 1949). */
static double flattery(const struct sg__work *w, int32_t b, const struct sg_decision_step *s, int32_t from,
                       double *tmp) {
    const int advised = (int)s->advised;
    const bool one = advised == SG_CANDIDATE_SINGLE, alone = from == NONE;
    const int32_t named = at(b, SG__NAMED + SG_CANDIDATE_SINGLE), folds = at(b, SG_CANDIDATE_SINGLE),
                  self = one && !alone ? named : at(b, advised);
    const double own = square(error_of(w, self, from, tmp));
    double passed = 0, missed = 0;
    for (int kind = one ? SG_CANDIDATE_MIX : advised; kind < SG_CANDIDATES; kind++) {
        const bool is = kind == advised;
        const struct sg__estimate d =
            against(w, at(b, kind), is || one ? named : at(b, advised), false, 1, tmp);
        /* the same answers, but for rounding; where one model is barred nothing was passed */
        if (isnan(s->candidate[kind].gain.low) || !(d.mean_se > 1e-9) || (is && one_of(s)->barred)) continue;
        const double x = d.value / d.mean_se - sg_t_quantile(0.025, d.df);
        if (!is && x > 0) continue; /* another bound kept it away */
        /* the covariance of what is flattered and of the difference, by the variances of the two candidates */
        const int32_t rival = is ? (alone ? folds : named) : at(b, kind);
        const double theirs = square(error_of(w, rival, from, tmp));
        const double shared = fmax(0, (own + square(d.mean_se) - theirs) / (2 * square(d.mean_se)));
        const double lift = shared * sg__lift(fabs(x), d.mean_se);
        if (is)
            passed = lift;
        else
            missed = fmax(missed, lift);
    }
    return passed + missed;
}

/* The value alone: the interval is the one that decided. */
static void lower(struct sg_value *v, double by) {
    if (!isnan(v->low)) v->value = fmax(v->low, v->value - by);
}

/* What the accuracies of single models and their comparisons with the incumbent are flattered by: the mean over the budgets
 * where each is advised. */
static void flatter_singles(struct sg__work *w, const struct sg_decision *d, double *tmp) {
    for (int32_t b = 0; b < d->n_steps; b++) {
        const struct sg_decision_step *s = &d->step[b];
        if (!s->affordable || s->advised != SG_CANDIDATE_SINGLE) continue;
        struct sg__single *o = &w->single[one_of(s)->from];
        o->advised++;
        o->less += (flattery(w, b, s, NONE, tmp) - o->less) / o->advised;
        if (!compares(w) || one_of(s)->from == w->in->incumbent) continue;
        o->less_versus += (flattery(w, b, s, at(b, SG__INCUMBENT), tmp) - o->less_versus) / o->advised;
    }
    double best = 0; /* told of a cheaper one */
    for (int32_t b = 0; b < d->n_steps; b++) {
        const struct sg_decision_step *s = &d->step[b];
        if (!s->affordable || s->advised != SG_CANDIDATE_SINGLE) continue;
        struct sg__single *o = &w->single[one_of(s)->from];
        const double value = fmax(o->level.value - o->less, fmin(best, o->level.value));
        if (!o->told) o->level.value = fmax(0, value);
        o->told = true;
        best = fmax(best, o->level.value);
    }
}

/* What is told of a model: of one that is named nowhere, its own mean. */
static double told_of(const struct sg__work *w, int32_t model) {
    if (model < 0) return 0;
    return w->single[model].named ? w->single[model].level.value : w->out->single_value[model].value;
}

/* Tells an accuracy with all errors, and the same without the luck of the queries' own outcomes. */
static void tell_accuracy(const struct sg__work *w, int32_t b, struct sg_decision_step *s,
                          struct sg__estimate e, double *tmp) {
    const struct sg__estimate raw = level(w, b, (int)s->advised, false, tmp);
    struct sg__valued expected = w->valued;
    expected.unknown = 0;
    s->told.accuracy = sg__interval_accuracy(&w->valued, e);
    e.se = sqrt(fmax(square(raw.mean_se), square(e.se) - (square(raw.se) - square(raw.mean_se))));
    s->chance = sg__interval_accuracy(&expected, e);
}

static void tell(const struct sg__work *w, int32_t b, struct sg_decision_step *s, double *tmp) {
    const int kind = (int)s->advised;
    const bool one = kind == SG_CANDIDATE_SINGLE, to_used = compares(w);
    const int32_t mix = at(b, SG_CANDIDATE_MIX), used = at(b, SG__INCUMBENT);
    s->told = s->candidate[kind];
    s->told_versus = s->versus[kind];
    s->told_saved = s->saved[kind];
    lower(&s->told.over_mix, flattery(w, b, s, mix, tmp));
    struct sg__estimate accuracy, versus = {.se = 0};
    if (one) {
        const struct sg__single *o = &w->single[s->told.rule.from];
        accuracy = o->level;
        versus = o->versus;
        versus.value -= o->less_versus;
    } else {
        accuracy = whole(w, b, kind, SG__ACCURACY, false, tmp);
        accuracy.value = fmax(0, accuracy.value - flattery(w, b, s, NONE, tmp));
        if (kind == SG_CANDIDATE_MIX) /* never more than the better of its models */
            accuracy.value =
                fmin(accuracy.value, fmax(told_of(w, s->told.rule.from), told_of(w, s->told.rule.to)));
        lower(&s->told.gain, flattery(w, b, s, at(b, SG__NAMED + SG_CANDIDATE_SINGLE), tmp));
        if (to_used) versus = difference(w, b, kind, SG__VERSUS, tmp);
        if (to_used) versus.value -= flattery(w, b, s, used, tmp);
    }
    tell_accuracy(w, b, s, accuracy, tmp);
    if (to_used && !gives_all_to(&s->told.rule, w->in->incumbent, w->in->n_categories))
        s->told_versus = sg__interval_plain(versus);
}

/* Takes the advice of a smaller budget again, compared with one model and the mix of this one. */
static void take_again(const struct sg__work *w, struct sg_decision *d, int32_t b, int32_t from,
                       double *tmp) {
    struct sg_decision_step *s = &d->step[b];
    const struct sg_decision_step *o = &d->step[from];
    const int kind = (int)o->advised;
    const struct sg_candidate_value *own = &o->candidate[kind];
    const bool routed = kind == SG_CANDIDATE_ROUTING;
    const int32_t x = at(from, kind), named = at(b, SG__NAMED + SG_CANDIDATE_SINGLE);
    s->as_at = from;
    s->advised = o->advised;
    s->told = o->told;
    s->chance = o->chance;
    s->told_versus = o->told_versus;
    s->told_saved = o->told_saved;
    s->over_budget = s->told.cost.low > s->budget;
    if (kind == SG_CANDIDATE_SINGLE) return; /* it stands for the best one: told to be worth more */
    struct sg__estimate e = against(w, x, named, false, 1, tmp);
    s->told.luck = half_luck(e);
    e.se = hypot(e.mean_se, sqrt(between(w, from, kind, SG__GAIN)));
    s->told.gain = gain_of(unsure(w, e, false, routed, tmp));
    lower(&s->told.gain, own->gain.value - o->told.gain.value);
    e = against(w, x, at(b, SG_CANDIDATE_MIX), false, 1, tmp);
    e.se = hypot(e.mean_se, sqrt(between(w, from, kind, SG__OVER_MIX)));
    e = unsure(w, e, false, routed, tmp);
    if (s->candidate[SG_CANDIDATE_MIX].rule.affordable) {
        s->told.over_mix = gain_of(e);
        lower(&s->told.over_mix, own->over_mix.value - o->told.over_mix.value);
    }
    s->told.saving =
        saved_on(w, billed(from, kind), named, s->told.cost.value,
                 s->candidate[SG_CANDIDATE_SINGLE].cost.value, between(w, from, kind, SG__BILL), tmp);
}

/* By how much being preferred to a later budget's own advice flatters what is taken again: two values were compared and
 * the higher one was told, so luck was on its side. less_of: of its accuracy less that of this candidate; NONE: of its accuracy. */
static double preferred(const struct sg__work *w, const struct sg_decision *d, int32_t b, int32_t from,
                        int32_t less_of, double *tmp) {
    const struct sg_decision_step *s = &d->step[b], *o = &d->step[from];
    const int kind = (int)o->advised, own = (int)s->advised;
    const double se = against(w, at(from, kind), at(b, own), false, 1, tmp).mean_se;
    if (!(se > 1e-9)) return 0;
    const double mine = square(error_of(w, at(from, kind), less_of, tmp)),
                 theirs = square(error_of(w, at(b, own), less_of, tmp));
    const double shared = fmax(0, (mine + square(se) - theirs) / (2 * square(se)));
    return shared * sg__lift((o->told.accuracy.value - s->told.accuracy.value) / se, se);
}

/* Tells advice that was taken again less what being preferred adds (preferred[b], of the nearest rival), though no less
 * than what a smaller budget is told. One model has one value at all its budgets. */
static void flatter_preferred(struct sg__work *w, struct sg_decision *d, double *tmp) {
    double before = 0;
    for (int32_t b = 0; b < d->n_steps; b++) {
        const struct sg_decision_step *s = &d->step[b];
        if (!s->affordable || s->as_at != b || s->advised != SG_CANDIDATE_SINGLE) continue;
        struct sg__single *o = &w->single[s->told.rule.from];
        o->less_preferred = fmax(o->less_preferred, w->preferred[b]);
        o->less_preferred_versus = fmax(o->less_preferred_versus, w->preferred[d->n_steps + b]);
    }
    for (int32_t b = 0; b < d->n_steps; b++) {
        struct sg_decision_step *s = &d->step[b];
        const int kind = (int)s->advised;
        const bool one = kind == SG_CANDIDATE_SINGLE;
        if (!s->affordable) continue;
        const struct sg__single *o = one ? &w->single[s->told.rule.from] : NULL;
        const double by = one ? o->less_preferred : w->preferred[s->as_at];
        const double by_versus = one ? o->less_preferred_versus : w->preferred[d->n_steps + s->as_at];
        if (by_versus > 0 && !gives_all_to(&s->told.rule, w->in->incumbent, w->in->n_categories))
            lower(&s->told_versus, by_versus);
        if (!one && by > 0) lower(&s->told.gain, by);
        if (!one && by > 0) lower(&s->told.over_mix, by);
        if (s->as_at != b) {
            s->told.accuracy = d->step[s->as_at].told.accuracy;
            s->chance = d->step[s->as_at].chance;
            continue;
        }
        if (by > 0) {
            struct sg__estimate e = one ? o->level : whole(w, b, kind, SG__ACCURACY, false, tmp);
            e.value = fmax(s->told.accuracy.value - by, before);
            tell_accuracy(w, b, s, e, tmp);
        }
        before = s->told.accuracy.value;
    }
}

/* Values the candidates of a budget. */
static void value_step(const struct sg__work *w, int32_t b, struct sg_decision_step *s, double *tmp) {
    const struct sg_value none = {(double)NAN, (double)NAN, (double)NAN};
    s->advised = SG_CANDIDATE_SINGLE;
    s->as_at = b;
    s->affordable = one_of(s)->affordable;
    for (int kind = 0; kind < SG_CANDIDATES; kind++) {
        struct sg_candidate_value *v = &s->candidate[kind];
        v->accuracy = v->cost = v->gain = v->saving = v->over_mix = s->versus[kind] = s->saved[kind] = none;
        v->luck = none.value;
        if (!s->affordable || !v->rule.affordable) continue;
        if (kind == SG_CANDIDATE_ROUTING && !w->valued.paired_rows) continue;
        value_candidate(w, b, kind, s, tmp);
    }
    s->told = s->candidate[SG_CANDIDATE_SINGLE];
    s->told_versus = s->told_saved = s->chance = none;
}

/* Chooses among the candidates of a budget. */
static void advise(const struct sg__work *w, int32_t b, struct sg_decision_step *s, double *tmp) {
    if (!s->affordable) return;
    int first = SG_CANDIDATE_SINGLE;
    if (one_of(s)->barred) /* then the simplest that is allowed */
        for (first = SG_CANDIDATE_MIX; first < SG_CANDIDATES && isnan(s->candidate[first].accuracy.value);)
            first++;
    s->affordable = first < SG_CANDIDATES;
    if (!s->affordable) return;
    s->advised = choose(w, b, s, (enum sg_candidate)first, tmp);
    s->over_budget = s->candidate[s->advised].cost.low > s->budget;
}

void sg__answer(struct sg__work *w, struct sg_decision *d, double *tmp) {
    int32_t last = -1;
    value_singles(w, d, tmp);
    best_singles(w, d);
    for (int32_t b = 0; b < d->n_steps; b++) value_step(w, b, &d->step[b], tmp);
    d->routing = routing_gains(w, d, tmp);
    for (int32_t b = 0; b < d->n_steps; b++) advise(w, b, &d->step[b], tmp);
    flatter_singles(w, d, tmp);
    for (int32_t b = 0; b < d->n_steps; b++) {
        struct sg_decision_step *s = &d->step[b];
        if (!s->affordable) continue;
        tell(w, b, s, tmp);
        /* more money that is told to give less is better not spent */
        if (last >= 0 && s->told.accuracy.value < d->step[last].told.accuracy.value) {
            w->preferred[last] = fmax(w->preferred[last], preferred(w, d, b, last, NONE, tmp));
            double *versus = &w->preferred[d->n_steps + last];
            if (compares(w)) *versus = fmax(*versus, preferred(w, d, b, last, at(b, SG__INCUMBENT), tmp));
            take_again(w, d, b, last, tmp);
        } else {
            last = b;
        }
    }
    flatter_preferred(w, d, tmp);
}

void sg__value_given(const struct sg__work *w, struct sg_decision *d) {
    const double none = (double)NAN;
    d->policy_measured = w->measured;
    d->policy_accuracy = (struct sg_value){w->q_p[SG__INCUMBENT], none, none};
    d->policy_cost = (struct sg_value){w->q_c[SG__INCUMBENT], none, none};
    if (!w->measured) return;
    d->policy_accuracy =
        sg__interval_accuracy(&w->valued, sg__value(&w->valued, rows(w, w->blind_y, SG__INCUMBENT), NULL, 0));
    d->policy_cost = sg__interval_cost(sg__value(&w->valued, rows(w, w->blind_c, SG__INCUMBENT), NULL, 0));
}
