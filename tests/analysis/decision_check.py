#!/usr/bin/env python3
"""The decision computed a second time: means, shifts, both ridge regressions, the four rules by an LP solver (HiGHS),
the folds, the values out of fold with their standard errors and intervals.

usage: decision_check.py DECISION_PROBE      (exit 77: no scipy)
"""
import json
import subprocess
import sys

try:
    import numpy as np
    from scipy.optimize import brentq, linprog, minimize
    from scipy.special import expit
    from scipy.stats import t as student, truncnorm
except ImportError:
    print("SKIP: no scipy")
    sys.exit(77)

KINDS = ["scope", "anchored", "combined"]
SINGLE, MIX, TABLE, ROUTING, NAMED = range(5)  # NAMED and on: as all outcomes build them
FOLDS = 5
checked = 0
capped = []  # mixes told no more than the better of their models
gate = []  # whether routing is better at all budgets together
repeated = []  # advice of smaller budgets that was taken again


def near(ours, theirs, eps=1e-9, what=""):
    global checked
    a, b = np.asarray(ours, float), np.asarray(theirs, float)
    assert a.shape == b.shape and (np.isnan(a) == np.isnan(b)).all(), (what, a, b)
    ok = ~np.isnan(a)
    same = np.where(a[ok] == b[ok], 0, np.abs(a[ok] - b[ok]))  # infinities
    assert (same <= eps * np.maximum(1, np.abs(b[ok]))).all(), (what, a, b)
    checked += a.size


def logit(p):
    p = np.clip(p, 0.005, 0.995)
    return np.log(p / (1 - p))


class Rows:
    def __init__(self, d, n, m):
        get = lambda name: np.array(d[name], float).reshape(-1, m)[:n]
        p, length = get("p"), get("length")
        none = np.isnan(p) | np.isnan(length)
        self.n, self.m, self.category = n, m, np.array(d["category"][:n])
        self.s = np.where(none, np.nan, logit(p))
        self.log_length = np.where(none, np.nan, np.log(np.maximum(length, 1)))
        self.knn, self.log_knn_length = logit(get("knn")), np.log(np.maximum(get("knn_length"), 1))
        self.input, self.y, self.tokens = get("input"), get("y"), get("tokens")


class Means:
    """Smoothed means of the outcomes of rows."""

    def __init__(self, category, y, tokens, nc):
        one = np.arange(nc)[:, None] == category[None, :]
        known = ~np.isnan(y)
        self.count = one.astype(float) @ known
        right, length = one @ np.where(known, y, 0), one @ np.where(known, tokens, 0)
        n = self.count.sum()
        grand, grand_length = right.sum() / n, length.sum() / n
        draw = lambda s, k, prior: (s + 5 * prior) / (k + 5)
        model = draw(right.sum(0), self.count.sum(0), grand)
        of_category = draw(right.sum(1), self.count.sum(1), grand)
        self.p = draw(right, self.count, expit(logit(model)[None] + logit(of_category)[:, None] - logit(grand)))
        model = draw(length.sum(0), self.count.sum(0), grand_length)
        ratio = (length.sum(1) + 5 * grand_length) / ((self.count * model).sum(1) + 5 * grand_length)
        self.length = draw(length, self.count, model[None] * ratio[:, None])


class Fit:
    compared = False
    def __init__(self, kind, queries, anchors, calibration, use, nc):
        """use: which of the anchors may be seen; the first of them are the calibration's rows."""
        self.kind, self.nc, m = kind, nc, queries.m
        self.means = Means(anchors.category[use], anchors.y[use], anchors.tokens[use], nc)
        self.shift, self.scale = np.zeros((nc, m)), np.ones((nc, m))
        for c in range(nc):
            for k in range(m):
                s = queries.s[queries.category == c, k]
                s = s[~np.isnan(s)]
                length = queries.log_length[queries.category == c, k]
                self.scale[c, k] = self.means.length[c, k] / np.nanmean(np.exp(length))
                if kind > 0:
                    miss = lambda x: expit(s + x).mean() - self.means.p[c, k]
                    self.shift[c, k] = brentq(miss, -12, 12, xtol=1e-13)
        self.b, self.g, self.rescale = np.zeros(5), np.zeros(4), np.ones((nc, m))
        if kind == 2:
            self.stack(anchors, calibration, use[:calibration.n], queries)

    def terms(self, rows, own=None):
        c = rows.category
        mean = self.means.p[c]
        a, shift = logit(mean), self.shift[c]
        if own is not None:
            total = self.means.count[c] + 5
            without = logit((mean * total - own) / (total - 1))
            without = np.where(np.isnan(own), a, without)
            shift, a = shift + without - a, without
        s = rows.s + shift
        deviation = s - a
        shared = np.nanmean(deviation, 1, keepdims=True)
        one = np.ones_like(s)
        return s, np.stack([one, shared * one, deviation - shared, 0.75 * (rows.knn - a), a], -1)

    def length_terms(self, rows):
        a = np.log(self.means.length[rows.category])
        s = rows.log_length + np.log(self.scale[rows.category])
        shared = np.nanmean(s - a, 1, keepdims=True)
        one = np.ones_like(s)
        return s, np.stack([one, shared * one, s - a - shared, rows.log_knn_length - a], -1)

    def stack(self, anchors, calibration, use, queries):
        y, tokens = anchors.y[:calibration.n], anchors.tokens[:calibration.n]
        s, t = self.terms(calibration, y)
        ok = use[:, None] & ~np.isnan(s) & ~np.isnan(y)
        of = np.broadcast_to(np.arange(len(y))[:, None], ok.shape)[ok]
        s, t, y = s[ok], t[ok], y[ok]
        penalty = np.array([1.0, 8, 8, 8, 8])
        cell_loss = lambda b, i: np.logaddexp(0, -(2 * y[i] - 1) * (s[i] + (t[i] @ b if b.ndim < 2 else (t[i] * b[of[i]]).sum(1)))).sum()

        def optimum(times, i):
            loss = lambda b: cell_loss(b, i) + times * (penalty * b * b).sum() / 2
            slope = lambda b: -(t[i].T @ (y[i] - expit(s[i] + t[i] @ b))) + times * penalty * b
            curve = lambda b: (t[i].T * (lambda p: p * (1 - p))(expit(s[i] + t[i] @ b))) @ t[i] + np.diag(times * penalty)
            r = minimize(loss, np.zeros(5), jac=slope, hess=curve, method="trust-exact", options={"gtol": 1e-9})
            assert np.abs(slope(r.x)).max() < 1e-5, r
            return r.x, curve(r.x)
        everything = np.ones(len(y), bool)
        best, self.b = cell_loss(np.zeros(5), everything), np.zeros(5)
        for times in (100, 30, 10, 3, 1):  # the least log loss of questions left out, by one step of Newton's method
            b, h = optimum(times, everything)
            p = expit(s + t @ b)
            without = np.zeros((calibration.n, 5))
            for q in np.unique(of):
                own = of == q
                without[q] = b - np.linalg.solve(h - (t[own].T * (p * (1 - p))[own]) @ t[own], t[own].T @ (y - p)[own])
            left_out = cell_loss(without, everything)
            if not Fit.compared:  # once: the step is as good as fits anew
                exact = sum(cell_loss(optimum(times, of != q)[0], of == q) for q in np.unique(of))
                assert abs(exact / left_out - 1) < 1e-3, (times, exact, left_out)
            if left_out < best:
                best, self.b = left_out, b
        Fit.compared = True
        s, t = self.length_terms(calibration)
        z = (np.log(np.maximum(tokens, 1)) - s)[ok]
        wide = np.vstack([t[ok], np.diag(np.sqrt(penalty[:4]))])  # ridge as more rows of a least squares problem
        self.g = np.linalg.lstsq(wide, np.concatenate([z, np.zeros(4)]), rcond=None)[0]
        length = self.apply(queries, np.zeros(queries.m))[1]
        for c in range(self.nc):
            self.rescale[c] = self.means.length[c] / np.nanmean(length[queries.category == c], 0)

    def apply(self, rows, price):
        """p, length and cost of the rows."""
        c = rows.category
        if self.kind == 2:
            s, t = self.terms(rows)
            p = expit(s + t @ self.b)
            s, t = self.length_terms(rows)
            length = np.exp(s + t @ self.g) * self.rescale[c]
        else:
            p = expit(rows.s + self.shift[c])
            length = np.exp(rows.log_length) * self.scale[c]
        return p, length, rows.input + length * price


# --- rules ---


def lp(p, c, weight, budget):
    """The best distribution over the columns for each row, rows weighted, of mean cost <= budget; None: none."""
    n, m = p.shape
    ok = ~np.isnan(p).ravel()
    unit = np.nanmean(c)
    take = lambda x: (weight[:, None] * np.where(np.isnan(x), 0, x)).ravel()[ok]
    one = (np.arange(n)[:, None] == np.repeat(np.arange(n), m)[None, ok]).astype(float)
    r = linprog(-take(p), A_ub=take(c / unit)[None], b_ub=[budget / unit], A_eq=one, b_eq=np.ones(n), bounds=(0, 1),
                method="highs", options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10})
    if r.status != 0:
        return None
    x = np.zeros(n * m)
    x[ok] = r.x
    return -r.fun, x.reshape(n, m)


def steps(p, c):
    """Where the exact frontier begins, and its steps (slope, query, model), by falling slope."""
    start, all_steps = [], []
    for q in range(len(p)):
        ok = np.flatnonzero(~np.isnan(p[q]))
        here = ok[np.lexsort((-p[q, ok], c[q, ok]))[0]]
        start.append(here)
        while True:
            up = [k for k in ok if p[q, k] > p[q, here] and c[q, k] > c[q, here]]
            if not up:
                break
            slope = [(p[q, k] - p[q, here]) / (c[q, k] - c[q, here]) for k in up]
            best = int(np.argmax(slope))
            all_steps.append((slope[best], q, up[best], here))
            here = up[best]
    return np.array(start), sorted(all_steps, key=lambda s: -s[0])


def routing(p, c, budget):
    """The policy as weights [n, m], its multiplier, and whether the budget affords it."""
    n = len(p)
    at, path = steps(p, c)
    cost, s, w = c[np.arange(n), at].sum(), 0, 0.0
    affordable = cost <= budget * n * (1 + 1e-9)
    while s < len(path) and cost + c[path[s][1], path[s][2]] - c[path[s][1], path[s][3]] <= budget * n:
        cost += c[path[s][1], path[s][2]] - c[path[s][1], path[s][3]]
        at[path[s][1]] = path[s][2]
        s += 1
    x = (at[:, None] == np.arange(p.shape[1])[None]).astype(float)
    if s < len(path):
        _, q, to, at_q = path[s]
        w = max(0, (budget * n - cost) / (c[q, to] - c[q, at_q]))
        x[q, to], x[q, at_q] = w, 1 - w
    if s >= len(path):
        lam = 0.0
    elif s == 0:
        lam = path[0][0] if w > 0 else np.inf
    else:
        lam = path[s - 1][0] ** (1 - w) * path[s][0] ** w
    return x, lam, affordable


def choose(lam, p, c):
    if np.isinf(lam):
        return int(np.nanargmin(c))
    return int(np.nanargmax(p - lam * c))


def table_of(mean, cost, weight, budget):
    """Shares [nc, m] of the table, which holds the cheapest models where nothing is affordable, and its bill."""
    nc, m = mean.shape
    start, path = steps(mean * weight[:, None], cost * weight[:, None])
    table, total = start.copy(), (weight * cost[np.arange(nc), start]).sum()
    for _, g, to, at in path:
        more = weight[g] * (cost[g, to] - cost[g, at])
        if total + more > budget * (1 + 1e-9):
            break
        total += more
        table[g] = to
    return (table[:, None] == np.arange(m)[None]).astype(float), total


def blind(mean, cost, weight, budget):
    """Shares [nc, m] of one model, mix and table; None where nothing is affordable."""
    nc, m = mean.shape
    accuracy, bill = weight @ mean, weight @ cost
    fits = np.flatnonzero(bill <= budget * (1 + 1e-9))
    if not len(fits):
        return None
    one = np.zeros((nc, m))
    one[:, fits[np.argmax(accuracy[fits])]] = 1
    mix = np.repeat(lp(accuracy[None], bill[None], np.ones(1), budget)[1], nc, 0)
    table, total = table_of(mean, cost, weight, budget)
    if total > budget * (1 + 1e-9):
        return None
    return one, mix, table


def check_rules(d, f, fit, queries, budgets, weight):
    """The probe's rules for the probe's own estimates, by HiGHS."""
    nc, m = fit.means.p.shape
    p, c = np.array(f["p"]).reshape(-1, m), np.array(f["cost"]).reshape(-1, m)
    mean = np.array(f["mean"]).reshape(nc, m)
    cost = np.array([np.nanmean(c[queries.category == g], 0) for g in range(nc)])
    pick = np.arange(queries.n) % 3 == 0
    even = np.full(queries.n, 1 / queries.n)
    for budget, r in zip(budgets, f["rules"]):
        best = lp(p, c, even, budget)
        assert (best is not None) == bool(r["affordable"][2])
        if best is not None:
            value, x = best
            near(r["sums"][2], (x * np.nan_to_num(c)).sum() / queries.n, 1e-7)
            assert r["sums"][2] <= budget * (1 + 1e-9)
            near(r["sums"][0], (x * np.nan_to_num(p))[pick].sum(), 1e-6)
            near(r["sums"][1], (x * np.nan_to_num(c))[pick].sum(), 1e-7)
            for q in range(queries.n):  # the multiplier gives the policy back; of the mixed pair the cheaper
                pair = np.flatnonzero(x[q] > 1e-6)
                near(choose(r["lambda"][0], p[q], c[q]), pair[np.argmin(c[q, pair])])
        accuracy, bill = weight @ mean, weight @ cost
        fits = np.flatnonzero(bill <= budget)
        assert bool(len(fits)) == bool(r["affordable"][0])
        if len(fits):
            near(r["single"][0], fits[np.argmax(accuracy[fits])])
            i, j, w = r["mix"]
            ours = accuracy[int(i)] * (1 - w) + (accuracy[int(j)] * w if w else 0)
            near(ours, lp(accuracy[None], bill[None], np.ones(1), budget)[0], 1e-8)
        best = lp(mean, cost, weight, budget)
        if r["affordable"][1]:
            table = np.array(r["table"])
            at = np.arange(nc), table
            paid = (weight * cost[at]).sum()
            assert paid <= budget * (1 + 1e-9)
            near((weight * mean[at]).sum(), lp(mean, cost, weight, paid)[0], 1e-7)
            assert (best[1][at] < 1 - 1e-6).sum() <= 1  # the LP at the budget differs in the mixed category alone
        else:
            assert best is None


# --- values out of fold ---


def philox(c, k0, k1):
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k0, b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k1, a & 0xFFFFFFFF]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def random64(key, at):
    c = philox([at & 0xFFFFFFFF, at >> 32, 1, 0], key & 0xFFFFFFFF, key >> 32)
    return c[1] << 32 | c[0]


def deal(category, key, seed, nc):
    x = [random64(seed, k) >> 12 for k in key]
    following, fold = list(range(nc)), np.zeros(len(x), int)
    for i in np.argsort(x, kind="stable"):
        fold[i] = following[category[i]] % FOLDS
        following[category[i]] += 1
    return fold


class Valued:
    def __init__(self, stratum, weight, paired, n_queries, truth):
        self.stratum, self.weight, self.paired, self.n, self.truth = stratum, weight, paired, n_queries, truth

    def estimate(self, x, d, shift):
        """Of sum w (mean x + mean d over the paired) + shift: value, standard error, degrees of freedom, and the error
        without the queries' own luck."""
        value, var, below, mean_var, means = shift, 0.0, 0.0, 0.0, self.weight * 0
        for s, w in enumerate(self.weight):
            rows, pairs = self.stratum == s, (self.stratum == s) & self.paired
            n, k = rows.sum(), pairs.sum()
            sampled = 0.0
            own = np.zeros(pairs.sum() if d is not None else rows.sum())
            if x is not None:
                means[s] += x[rows].mean()
                sampled += x[rows].var(ddof=1) / n
                own = own + (x[pairs] if d is not None else x[rows]) - x[rows].mean()
            if d is not None:
                means[s] += d[pairs].mean()
                sampled += d[pairs].var(ddof=1) / k
                own = own + d[pairs] - d[pairs].mean()
            if x is not None and d is not None:
                both = ((x[pairs] - x[rows].mean()) * (d[pairs] - d[pairs].mean())).sum()
                sampled += 2 * both / np.sqrt(n * (n - 1) * k * (k - 1))
            here = w * w * sampled + w * (not self.truth) * (own ** 2).sum() / (len(own) - 1) / self.n
            var += here
            mean_var += w * w * sampled
            below += here * here / (len(own) - 1)
        value += self.weight @ means
        if self.truth:  # then other queries may fall into the categories in other shares
            between = self.weight @ (means - self.weight @ means) ** 2 / self.n
            var, mean_var = var + between, mean_var + between
        return value, np.sqrt(var), (var * var / below if below > 0 else 1e6), np.sqrt(mean_var)


def plain(e, outside=0.05):
    h = student.ppf(1 - outside / 2, min(e[2], 1e6)) * e[1] if e[1] > 0 else 0
    return [e[0], e[0] - h, e[0] + h]


def gain_interval(e):
    """Of an expected gain: 1.25 % below, 2.5 % above."""
    df = min(e[2], 1e6)
    return [e[0], e[0] - student.ppf(0.9875, df) * e[1], e[0] + student.ppf(0.975, df) * e[1]]


def expectation(e):
    """Without the luck of the queries' own outcomes."""
    return e[0], e[3], e[2], e[3]


def with_splits(e, moved):
    """The error with how far the value moves from split to split."""
    return e[0], np.sqrt(e[1] ** 2 + moved), e[2], e[3]


def flattery(at, gains, error, ref):
    """What being chosen adds to what is advised, compared with candidate `ref` (None: its accuracy): luck helped it over its
    bound, and kept the nearest of the dearer candidates below theirs. error(x, ref): of x less ref."""
    passed = missed = 0
    me = NAMED if at == SINGLE and ref is not None else at
    for k in range(max(at, 1), 4):
        d = gains(k, NAMED if at == SINGLE or k == at else at)
        if gains(k, None) is None or not d[3] > 1e-9:
            continue
        x = d[0] / d[3] - student.ppf(0.9875, min(d[2], 1e6))
        if k != at and x > 0:  # another bound kept it away
            continue
        x = abs(x)
        rival = (SINGLE if ref is None else NAMED) if k == at else k
        shared = max(0, (error(me, ref) ** 2 + d[3] ** 2 - error(rival, ref) ** 2) / (2 * d[3] ** 2))
        lift = shared * d[3] * truncnorm.mean(-x, np.inf)
        if k == at:
            passed = lift
        else:
            missed = max(missed, lift)
    return passed + missed


def lowered(interval, by):
    return [interval[0] if np.isnan(interval[1]) else max(interval[1], interval[0] - by)] + list(interval[1:])


def accuracy_interval(e):
    v, low, high = plain(e)
    l, h = np.log(v / (1 - v)), (high - v) / (v * (1 - v))
    return [v, expit(l - h), expit(l + h)]


def cost_interval(e):
    v, _, high = plain(e)
    f = np.exp((high - v) / v)
    return [v, v / f, v * f]


def check_decision(d, out, queries, anchors, calibration, budgets, weight, price, truth):
    nc, m, kind = d["c"], d["m"], KINDS.index(out["kind"])
    known = queries if truth else anchors
    n_rows = known.n
    everything = np.ones(anchors.n, bool)

    def fold_fit(use, use_known):
        fit = Fit(kind, queries, anchors, calibration, use, nc)
        means = Means(known.category[use_known], known.y[use_known], known.tokens[use_known], nc)
        p, length, cost = fit.apply(queries, price)
        by = lambda x: np.array([np.nanmean(x[queries.category == g], 0) for g in range(nc)])
        return fit, means, p, length, cost, by(p), by(length), by(cost)

    fit, means, p, length, cost, mean_p, mean_length, mean_cost = fold_fit(everything, np.ones(n_rows, bool))
    full_cost = mean_cost + price * (means.length - mean_length)
    named = [blind(means.p, full_cost, weight, b) for b in budgets]
    nb = len(budgets)
    means_all = means
    paired = np.ones(n_rows, bool) if truth else np.arange(n_rows) < calibration.n
    # multipliers that make means over all rows of a category of means over those whose outcome is known
    h, hk = np.zeros((n_rows, m)), np.zeros((n_rows, m))
    for g in range(nc):
        for rows, to in ((known.category == g, h), ((known.category == g) & paired, hk)):
            is_known = rows[:, None] & ~np.isnan(known.y)
            to[is_known] = (rows.sum() / is_known.sum(0) * np.ones((n_rows, 1)))[is_known]
    outcome = np.nan_to_num(known.y)
    # [budget][kind: 4 of the folds, then 3 named]
    y, c, py, pc = (np.zeros((nb, 7, n_rows)) for _ in range(4))
    qp, qc = np.zeros((nb, 7)), np.zeros((nb, 7))
    v = Valued(known.category, weight, paired, queries.n, truth)
    one = 4
    so_far = np.zeros((out["splits"], nb, 4, 5))  # accuracy, cost, gain, gains over the mix and the table by the splits up to this one
    for split in range(out["splits"]):
        seed = random64(1 ^ 0xF01D, split)
        fold_q = deal(queries.category, d["queries"]["key"], seed, nc)
        fold_a = deal(anchors.category, d["anchors"]["key"], seed ^ 1, nc)
        fold = fold_q if truth else fold_a
        for f in range(FOLDS):
            # the truth of all queries values alone: then every anchor may build the estimates
            use = everything if truth else fold_a != f
            fit, means, p, length, cost, mean_p, mean_length, mean_cost = fold_fit(use, fold != f)
            if truth:
                rp, rl, rc = p, length, cost
            else:
                rp, rl, rc = fit.apply(calibration, price)
            fold_cost = mean_cost + price * (means.length - mean_length)
            picked = fold_q == f
            for b, budget in enumerate(budgets):
                x, lam, _ = routing(p, cost, budget)
                qp[b, ROUTING] += (x * np.nan_to_num(p))[picked].sum() / queries.n / out["splits"]
                qc[b, ROUTING] += (x * np.nan_to_num(cost))[picked].sum() / queries.n / out["splits"]
                rules = blind(means.p, full_cost, weight, budget)
                if rules is None or named[b] is None:
                    continue
                # the optimism of the bill: what the table costs the fold, less what it costs all outcomes
                table = table_of(means.p, fold_cost, weight, budget)[0][known.category]
                more = (table * h * price * (known.tokens - means_all.length[known.category])).sum(1)
                c[b, NAMED + TABLE] += more * ((fold == f) - 1 / FOLDS) / out["splits"]
                shares = list(rules) + [None] + list(named[b])
                for kind_at, share in enumerate(shares):
                    if share is not None:
                        g = queries.category[picked]
                        fill_p = np.where(np.isnan(p[picked]), mean_p[g], p[picked])
                        fill_c = np.where(np.isnan(p[picked]), mean_cost[g], cost[picked])
                        qp[b, kind_at] += (share[g] * fill_p).sum() / queries.n / out["splits"]
                        qc[b, kind_at] += (share[g] * fill_c).sum() / queries.n / out["splits"]
                    for i in np.flatnonzero(fold == f):
                        g = known.category[i]
                        has = truth or i < calibration.n
                        if share is not None:
                            z = share[g]
                        elif has:
                            z = (np.arange(m) == choose(lam, rp[i], rc[i])).astype(float)
                        else:
                            continue
                        paid = known.input[i] + price * known.tokens[i]
                        to = b, kind_at, i
                        if truth:
                            y[to] += z @ outcome[i] / out["splits"]
                            c[to] += z @ paid / out["splits"]
                            continue
                        if share is not None:
                            y[to] += z @ (means.p[g] + h[i] * (outcome[i] - means.p[g])) / out["splits"]
                            c[to] += z @ (h[i] * price * (known.tokens[i] - mean_length[g])) / out["splits"]
                        if has:
                            expected = np.where(np.isnan(rp[i]), mean_p[g], rp[i])
                            tokens = np.where(np.isnan(rp[i]), mean_length[g], rl[i])
                            py[to] += z @ (hk[i] * (outcome[i] - expected)) / out["splits"]
                            pc[to] += z @ (hk[i] * price * (known.tokens[i] - tokens)) / out["splits"]
        pp, cc, qq, qqc = (y, c, qp * 0, qc * 0) if truth else (py, pc, qp, qc)
        for b in range(nb):
            for k in range(4 if named[b] is not None else 0):
                values = ((v.estimate(y[b, SINGLE], pp[b, k] - pp[b, SINGLE], qq[b, k] - qq[b, SINGLE]),
                           v.estimate(c[b, one], cc[b, k] - cc[b, one], qqc[b, k]),
                           v.estimate(None, pp[b, k] - pp[b, one], qq[b, k] - qq[b, one]),
                           v.estimate(None, pp[b, k] - pp[b, MIX], qq[b, k] - qq[b, MIX]),
                           v.estimate(None, pp[b, k] - pp[b, TABLE], qq[b, k] - qq[b, TABLE])) if k == ROUTING
                          else (v.estimate(y[b, k], None, 0), v.estimate(c[b, one + k], None, qqc[b, one + k]),
                                v.estimate(y[b, k] - y[b, one if k else SINGLE], None, 0),
                                v.estimate(y[b, k if k else one] - y[b, MIX], None, 0), (0.0,)))
                so_far[split, b, k] = [value[0] * out["splits"] for value in values]
    each_split = np.diff(so_far, axis=0, prepend=0)
    between = each_split.var(0, ddof=1) if len(each_split) > 1 else each_split[0] * 0
    if truth:
        py, pc, qp, qc = y, c, qp * 0, qc * 0
    assert min(np.bincount(known.category[paired], minlength=nc)) >= 5  # strata are the categories
    steps = [b for b in range(nb) if named[b] is not None]
    assert [b for b in range(nb) if out["steps"][b]["affordable"]] == steps

    def against(x, y_of, b, of=None):
        """Candidate x (of budget `of`) less candidate y_of."""
        a = b if of is None else of
        if ROUTING in (x, y_of):
            return v.estimate(None, py[a, x] - py[b, y_of], qp[a, x] - qp[b, y_of])
        return v.estimate(y[a, x] - y[b, y_of], None, 0)

    def gain_told(e, x, y_of, b):
        """The interval of a difference: none where fewer than five rows differ, and half a row of another kind keeps it
        open where all differ alike."""
        d = py[b, x] - py[b, y_of] if x == ROUTING else y[b, x] - y[b, y_of]
        differ = (np.abs(d) > 1e-12) & (v.stratum >= 0) & (v.paired if x == ROUTING else True)
        if abs(e[0]) > 1e-12 and differ.sum() < 5:
            return [e[0], np.nan, np.nan]
        if abs(e[0]) > 1e-12 and e[3] < 1e-9:
            edge = 0.5 / (n_rows + 1)
            e = e[0], np.hypot(e[1], abs(e[0]) * np.sqrt(edge * (1 - edge) / n_rows)), max(1, min(e[2], n_rows - 1)), e[3]
        return gain_interval(e)

    def level(x, b):
        if x == ROUTING:
            return v.estimate(y[b, SINGLE], py[b, x] - py[b, SINGLE], qp[b, x] - qp[b, SINGLE])
        return v.estimate(y[b, x], None, 0)

    def full(x, b):
        moved = 0 if x == ROUTING else against(x, NAMED + x, b)[0] ** 2
        return with_splits(with_splits(level(x, b), between[b, x, 0]), moved)

    # a model named for everything: the mean over the budgets where it is
    single = [int(np.flatnonzero((named[b][SINGLE] == 1).all(0))[0]) if named[b] is not None else -1 for b in range(nb)]
    worth = {}
    for k in set(single) - {-1}:
        e = np.array([full(SINGLE, b) for b in steps if single[b] == k])
        worth[k] = e[:, 0].mean(), np.sqrt((e[:, 1] ** 2).mean()), e[:, 2].min(), np.sqrt((e[:, 3] ** 2).mean())
    best = None
    for b in steps:  # a dearer one that is told to be worth less is not named
        if best is not None and worth[single[b]][0] < worth[single[best]][0]:
            single[b] = single[best]
            for x in (y, c, py, pc, qp, qc):
                x[b, NAMED] = x[best, NAMED]
            between[b, SINGLE, 1] = between[best, SINGLE, 1]
        else:
            best = b

    def saving(b, x, of, bill):
        base = v.estimate(c[b, NAMED], None, qc[b, NAMED])[0]
        ratio = bill / base
        if x == ROUTING:
            saved = v.estimate(None, pc[of, ROUTING] - ratio * pc[b, NAMED], 0)
        else:
            saved = v.estimate(c[of, NAMED + x] - ratio * c[b, NAMED], None, 0)
        if not saved[1] > 1e-9 * base:
            return [0, 0, 0]
        saved = with_splits(saved, between[of, x, 1])
        share, least, most = cost_interval((ratio, saved[1] / base, saved[2]))
        return [1 - share, 1 - most, 1 - least]

    less = {}
    for b in steps:
        step = out["steps"][b]
        assert step["candidates"][SINGLE]["mix"][0] == single[b], (b, single)
        for kind_at in range(4):
            got = step["candidates"][kind_at]
            if not got["affordable"]:
                continue
            a = worth[single[b]] if kind_at == SINGLE else full(kind_at, b)
            k = (v.estimate(c[b, NAMED], pc[b, ROUTING] - pc[b, NAMED], qc[b, ROUTING]) if kind_at == ROUTING
                 else v.estimate(c[b, NAMED + kind_at], None, qc[b, NAMED + kind_at]))
            gain = against(kind_at, NAMED if kind_at else SINGLE, b)
            over = against(kind_at if kind_at else NAMED, MIX, b)
            where = out["kind"], b, kind_at
            luck = np.sqrt(max(0, gain[1] ** 2 - gain[3] ** 2))
            near(got["luck"], [luck * student.ppf(0.975, min(gain[2], 1e6))], 1e-9, where)
            k, gain, over = (with_splits(e, between[b, kind_at, i])
                             for i, e in ((1, k), (2, expectation(gain)), (3, expectation(over))))
            near(got["accuracy"], accuracy_interval(a), 1e-6, where)
            near(np.array(got["cost"]) / k[0], np.array(cost_interval(k)) / k[0], 1e-6, where)
            told_gain = [0, 0, 0] if kind_at == SINGLE else gain_told(gain, kind_at, NAMED, b)
            near(got["gain"], told_gain, 1e-6, where)
            if kind_at == SINGLE:  # from the other side, when the mix is known
                single_over_mix = got["over_mix"]
            else:
                near(got["over_mix"], gain_told(over, kind_at, MIX, b), 1e-6, where)
            if kind_at == MIX:
                near(single_over_mix, [-gain_told(gain, kind_at, NAMED, b)[i] for i in (0, 2, 1)], 1e-6, where)
            near(got["saving"], saving(b, kind_at, b, k[0]), 1e-6, where)

    def added(b, ref):
        step = out["steps"][b]
        error = lambda x, of: level(x, b)[3] if of is None else against(x, of, b)[3]

        def gains(k, other):
            if other is None:
                return None if not step["candidates"][k]["affordable"] or np.isnan(step["candidates"][k]["gain"][1]) else 0
            return against(k, other, b)
        return flattery(own[b], gains, error, ref)
    # advised by the candidates of its own budget: what is told agrees with the intervals
    alone = np.zeros((m, n_rows, 2))  # each model for everything
    for k in range(m):
        mean = np.array([[means_all.p[g, k], full_cost[g, k]] for g in known.category])
        tokens = h[:, k] * (known.tokens[:, k] - means_all.length[known.category, k])
        alone[k] = mean + np.where(h[:, k] > 0, [h[:, k] * (outcome[:, k] - mean[:, 0]), price[k] * np.nan_to_num(tokens)], 0).T
        if truth:
            paid = np.nan_to_num(h[:, k] * (known.input[:, k] + price[k] * known.tokens[:, k]))
            alone[k, :, 1] = np.where(h[:, k] > 0, paid, alone[k, :, 1])
    points = [[v.estimate(alone[k, :, i], None, 0)[0] for i in (0, 1)] for k in range(m)]

    def mix_at(cost):
        found = [a for a, bill in points if bill <= cost]
        return max([0] + found + [a + (cost - bill) / (more - bill) * (dearer - a) for a, bill in points for dearer, more in points
                                  if bill <= cost < more])

    # routing over the best simple candidate, the mean over the budgets
    rows_sum, shift, alone_at, n = np.zeros(n_rows), 0.0, 0.0, 0
    for b in steps:
        got = out["steps"][b]["candidates"]
        if got[ROUTING]["affordable"]:
            over = [(against(ROUTING, x, b)[0], x, i) for k, x, i in ((SINGLE, NAMED, 2), (MIX, MIX, 3), (TABLE, TABLE, 4))
                    if got[k]["affordable"]]
            least = min(o[0] for o in over)
            _, x, i = next(o for o in over if o[0] <= least + 1e-12)  # of equal ones the simplest
            rows_sum += py[b, ROUTING] - py[b, x]
            shift += qp[b, ROUTING] - qp[b, x]
            alone_at = alone_at + each_split[:, b, ROUTING, i]
            n += 1
    e = v.estimate(None, rows_sum / n, shift / n)
    e = with_splits(expectation(e), np.var(alone_at / n, ddof=1) if len(alone_at) > 1 else 0)
    assert ((np.abs(rows_sum) > 1e-12) & v.paired).sum() >= 5
    routing_told = plain(e)
    near(out["routing"], routing_told, 1e-6, "routing")
    gate.append(routing_told[1] > 0)

    def choose_one(b):
        got, best = out["steps"][b]["candidates"], SINGLE
        for k in (MIX, TABLE, ROUTING):
            x = got[k]
            if k == ROUTING and not routing_told[1] > 0:
                continue
            if np.isnan(x["gain"][1]) or not x["gain"][1] > 0:
                continue
            if k > MIX and x["cost"][0] > budgets[b] and x["accuracy"][0] <= mix_at(x["cost"][0]):
                continue
            if k > MIX and (best == MIX or got[MIX]["mix"][2] > 0) and not x["over_mix"][1] > 0:
                continue
            if best == TABLE and not gain_told(with_splits(expectation(against(k, TABLE, b)), between[b, k, 4]), k, TABLE, b)[1] > 0:
                continue
            best = k
        return best
    own = {b: choose_one(b) for b in steps}
    for b in steps:
        if own[b] != SINGLE:  # better beyond noise is what the interval says
            assert out["steps"][b]["candidates"][own[b]]["gain"][1] > 0, b
        else:
            less.setdefault(single[b], []).append(added(b, None))
    best, one = 0, {}
    for b in steps:
        if own[b] == SINGLE and single[b] not in one:
            w = worth[single[b]]
            one[single[b]] = max(0, w[0] - np.mean(less[single[b]]), min(best, w[0])), *w[1:]
            best = max(best, one[single[b]][0])
    def told_of(k):
        return 0 if k < 0 else one[k][0] if k in one else worth[k][0] if k in worth else points[k][0]

    last, told, flattered = None, {}, dict.fromkeys(steps, 0.0)
    for b in steps:
        got = out["steps"][b]["candidates"][own[b]]
        if own[b] == SINGLE:
            a, gain = one[single[b]], [0, 0, 0]
        else:
            a = full(own[b], b)
            a = (max(0, a[0] - added(b, None)),) + a[1:]
            if own[b] == MIX:  # never more than the better of its models
                most = max(told_of(int(k)) for k in got["mix"][:2])
                capped.append(a[0] > most)
                a = (min(a[0], most),) + a[1:]
            gain = lowered(got["gain"], added(b, NAMED))
        over = lowered(got["over_mix"], added(b, MIX))
        if last is None or a[0] >= told[last][1][0]:
            last = b
            told[b] = b, a, own[b], gain, over, got["saving"], got["gain"][0] - gain[0], got["over_mix"][0] - over[0], got["cost"]
        else:  # the smaller budget's advice again, against this one's models
            _, kept, kind_at, _, _, _, gained, mixed, cost = told[last]
            e = against(kind_at, own[b], b, last)[3]
            if e > 1e-9:
                x = (kept[0] - a[0]) / e
                shared = max(0, (level(kind_at, last)[3] ** 2 + e ** 2 - level(own[b], b)[3] ** 2) / (2 * e ** 2))
                flattered[last] = max(flattered[last], shared * e * truncnorm.mean(-x, np.inf))
            e = against(kind_at, NAMED, b, last)
            gain = lowered(gain_interval(with_splits(expectation(e), between[last, kind_at, 2])), gained)
            e = against(kind_at, MIX, b, last)
            over = lowered(gain_interval(with_splits(expectation(e), between[last, kind_at, 3])), mixed)
            told[b] = last, kept, kind_at, gain, over, saving(b, kind_at, last, cost[0]), 0, 0, cost
            repeated.append(kind_at)
    # what is taken again is told less what being preferred adds; one model has one value
    of_single = {k: max(flattered[b] for b in steps if told[b][0] == b and own[b] == SINGLE and single[b] == k)
                 for k in {single[b] for b in steps if told[b][0] == b and own[b] == SINGLE}}
    before, values = 0, {}
    for b in steps:
        of, a, kind_at, gain, over, saved, _, _, cost = told[b]
        by = of_single[single[of]] if kind_at == SINGLE else flattered[of]
        if kind_at != SINGLE:
            gain, over = lowered(gain, by), lowered(over, by)
        if of == b:
            values[b] = accuracy_interval(((max(a[0] - by, before) if by > 0 else a[0]),) + a[1:])
            before = values[b][0]
        where = out["kind"], b, "advised"
        step = out["steps"][b]
        assert (step["as_at"], step["advised"]) == (of, kind_at), where
        near(step["accuracy"], values[of], 1e-6, where)
        near(np.array(step["cost"]) / cost[0], np.array(cost) / cost[0], 1e-9, where)
        near(step["gain"], gain, 1e-6, where)
        near(step["over_mix"], over, 1e-6, where)
        near(step["saving"], saved, 1e-6, where)


def main():
    for seed, truth, missing, uneven in [(13, 0, 0, 0), (23, 1, 0, 0), (45, 1, 0, 0), (5, 0, 13, 1), (6, 1, 11, 0)]:
        text = subprocess.run([sys.argv[1], str(seed), str(truth), str(missing), str(uneven)], check=True, text=True,
                              capture_output=True).stdout
        d = json.loads(text)
        m, nc, price = d["m"], d["c"], np.array(d["price"])
        queries, anchors = Rows(d["queries"], d["queries"]["n"], m), Rows(d["anchors"], d["anchors"]["n"], m)
        calibration = Rows(d["anchors"], d["cells"], m)
        weight = np.bincount(queries.category, minlength=nc) / queries.n
        for f in d["fits"]:
            use = np.arange(anchors.n) % 5 != f["out"]
            fit = Fit(KINDS.index(f["kind"]), queries, anchors, calibration, use, nc)
            where = f["kind"], f["out"]
            near(f["mean"], fit.means.p.ravel(), 1e-12, where)
            near(f["mean_length"], fit.means.length.ravel(), 1e-12, where)
            near(f["shift"], fit.shift.ravel(), 1e-7, where)
            near(f["scale"], fit.scale.ravel(), 1e-12, where)
            near(f["b"], fit.b, 1e-6, where)
            near(f["g"], fit.g, 1e-9, where)
            p, length, cost = fit.apply(queries, price)
            near(f["p"], p.ravel(), 1e-6, where)
            near(f["length"], length.ravel(), 1e-9, where)
            near(np.array(f["cost"]) / cost.ravel(), np.where(np.isnan(cost), np.nan, 1).ravel(), 1e-9, where)
            p, length, _ = fit.apply(calibration, price)
            near(f["anchor_p"], p.ravel(), 1e-6, where)
            near(f["anchor_length"], length.ravel(), 1e-9, where)
            check_rules(d, f, fit, queries, d["budgets"], weight)
        for out in d["decisions"]:
            check_decision(d, out, queries, anchors, calibration, d["budgets"], weight, price, truth)
    print(f"{checked} numbers agree")
    assert checked > 20000 and repeated and True in gate and False in gate and True in capped, (checked, repeated, gate, capped)


main()
