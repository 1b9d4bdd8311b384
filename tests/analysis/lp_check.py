#!/usr/bin/env python3
"""The exact frontier against an independent LP solver (scipy's HiGHS) at 50 budgets an instance.

usage: lp_check.py LP_PROBE     (exit 77: no scipy)
"""
import subprocess
import sys

try:
    import numpy as np
    from scipy.optimize import linprog
    from scipy.sparse import coo_matrix
except ImportError:
    print("SKIP: no scipy")
    sys.exit(77)


def instance(rng, kind):
    n, m = int(rng.integers(1, 9)), int(rng.integers(1, 7))
    if kind == "one model":
        m = 1
    p, c = rng.random((n, m)), rng.random((n, m))
    if kind == "ties":
        p, c = np.round(p * 3) / 3, np.round(c * 3) / 3
    elif kind == "equal costs":
        c[:] = 0.25
    elif kind == "zero costs":
        c[:, 0] = 0
    elif kind == "identical":
        p[:], c[:] = p[:, :1], c[:, :1]
    elif kind == "dominated":
        p[:, 1:] = p[:, :1] * 0.9
        c[:, 1:] += 1
    elif kind == "missing":
        p[rng.random((n, m)) < 0.3] = np.nan
        p[:, 0] = np.where(np.isnan(p).all(axis=1), 0.5, p[:, 0])
    return p, c


def solve(p, c, budget):
    """max mean p x with mean c x <= budget, each query's x a distribution over its candidates."""
    n, m = p.shape
    ok = ~np.isnan(p).ravel()
    var = np.arange(n * m)[ok]
    rows = var // m
    a_eq = coo_matrix((np.ones(len(var)), (rows, np.arange(len(var)))), shape=(n, len(var)))
    r = linprog(-p.ravel()[ok] / n, A_ub=c.ravel()[ok][None, :] / n, b_ub=[budget], A_eq=a_eq, b_eq=np.ones(n),
                bounds=(0, 1), method="highs")
    return -r.fun if r.status == 0 else None


def main():
    rng = np.random.default_rng(20261124)
    kinds = ["plain", "ties", "equal costs", "zero costs", "identical", "dominated", "missing", "one model"]
    checked = 0
    for kind in kinds * 3:
        p, c = instance(rng, kind)
        n, m = p.shape
        known = np.where(np.isnan(p), np.inf, c)
        low = known.min(axis=1).mean()
        high = np.where(np.isnan(p), -np.inf, c).max(axis=1).mean()
        budgets = np.concatenate([np.linspace(low, high, 48), [low - 0.01, high + 1]])
        text = f"{n} {m} {len(budgets)}\n" + "\n".join(
            " ".join(repr(float(x)) for x in a.ravel()) for a in (p, c, budgets))
        out = subprocess.run([sys.argv[1]], input=text, capture_output=True, text=True, check=True).stdout.split("\n")
        for b, line in zip(budgets, out):
            if b < low - 1e-12:
                assert line == "no", (kind, b, low, line)
                continue
            want = solve(p, c, b + 1e-12)
            ours, cost = map(float, line.split())
            assert cost <= b + 1e-12, (kind, b, cost)
            assert want is not None and abs(ours - want) < 1e-7, (kind, p.tolist(), c.tolist(), b, ours, want)
            checked += 1
    print(f"{checked} budgets agree with HiGHS")
    assert checked > 1000


main()
