#!/usr/bin/env python3
"""Routing and tables within caps on the models' shares against HiGHS (scipy).

usage: limits_check.py LIMITS_PROBE     (exit 77: no scipy)

Routing: no choice breaks a cap or the budget; the dual value of its lambda and tolls is the optimum of the LP; its
accuracy is below that by no more than the few queries that the LP splits. Tables: the optimum of the integer program.
"""
import subprocess
import sys

try:
    import numpy as np
    from scipy.optimize import LinearConstraint, linprog, milp
    from scipy.sparse import coo_matrix, vstack
except ImportError:
    print("SKIP: no scipy with milp")
    sys.exit(77)


def program(p, c, cap, budget, whole):
    """max mean p x: mean c x <= budget, the mean of x for a model <= its cap, each query's x a distribution."""
    n, m = p.shape
    var = np.arange(n * m)[~np.isnan(p).ravel()]
    at = np.arange(len(var))
    ones = np.ones(len(var))
    each = coo_matrix((ones, (var // m, at)), shape=(n, len(var)))
    share = coo_matrix((ones / n, (var % m, at)), shape=(m, len(var)))
    cost = coo_matrix(c.ravel()[var][None, :] / n)
    gain = -p.ravel()[var] / n
    limits = vstack([cost, share]).tocsr()
    most = np.concatenate([[budget + 1e-12], cap + 1e-12])
    if whole:
        r = milp(gain, integrality=ones, bounds=(0, 1),
                 constraints=[LinearConstraint(each, 1, 1), LinearConstraint(limits, -np.inf, most)])
    else:
        r = linprog(gain, A_ub=limits, b_ub=most, A_eq=each, b_eq=np.ones(n), bounds=(0, 1), method="highs")
    return -r.fun if r.status == 0 else None


def probe(p, c, cap, budgets):
    n, m = p.shape
    text = f"{n} {m} {len(budgets)}\n" + "\n".join(" ".join(repr(float(x)) for x in np.ravel(a)) for a in (p, c, cap, budgets))
    out = subprocess.run([sys.argv[1]], input=text, capture_output=True, text=True, check=True).stdout
    for line in out.strip().split("\n"):
        v = list(map(float, line.split()))
        yield v[:4], np.array(v[4:4 + m]), np.array(v[4 + m:4 + 2 * m]), v[4 + 2 * m:]


def instance(rng, kind, n, m):
    skill = np.sort(rng.random(m))
    p = 1 / (1 + np.exp(-(4 * skill[None, :] - 2 + rng.normal(size=(n, 1)) + 0.7 * rng.normal(size=(n, m)))))
    c = np.exp(3 * skill)[None, :] * np.exp(0.4 * rng.normal(size=(n, 1)) + 0.2 * rng.normal(size=(n, m)))
    if kind == "ties":
        p, c = np.round(p * 8) / 8, np.broadcast_to(np.round(np.exp(3 * skill)), (n, m)).copy()
    if kind == "missing":
        hole = rng.random((n, m)) < 0.15
        hole[:, 0] = False
        p[hole] = np.nan
    return p, c


def main():
    rng = np.random.default_rng(20261130)
    routed = tables = 0
    worst_dual = worst_primal = 0.0
    for kind, capped in [(k, j) for k in ("plain", "ties", "missing") for j in (1, 2, 3)] * 3:
        n, m = int(rng.choice([50, 120, 200])), int(rng.integers(3, 7))
        p, c = instance(rng, kind, n, m)
        cap = np.ones(m)
        for k in rng.choice(np.arange(1, m), size=min(capped, m - 1), replace=False):
            cap[k] = int(rng.integers(0, n // 2)) / n
        known = np.where(np.isnan(p), np.inf, c)
        low, high = known.min(axis=1).mean(), np.nanmean(np.where(np.isnan(p), np.nan, c)[:, -1])
        budgets = np.geomspace(low * 1.05, high, 6)
        for b, ((met, y, z, lam), toll, share, _) in zip(budgets, probe(p, c, cap, budgets)):
            best = program(p, c, cap, b, False)
            if best is None or not met:
                # whole queries cannot always meet what fractions just meet
                assert program(p, c, cap, b * (1 - 3 / n), False) is None, (kind, b, best)
                continue
            assert z <= b * (1 + 1e-9) and (share <= cap + 1e-9).all(), (kind, b, z, share, cap)
            price = np.where(np.isinf(toll), 0, toll)
            v = np.where(np.isnan(p) | np.isinf(toll), -np.inf, p - lam * c - price)
            dual = lam * b + (price * cap).sum() + v.max(axis=1).mean()
            assert dual >= best - 1e-9, (kind, dual, best)
            slack = 1e-3 * lam * b + 1e-4  # budgets are met within 0.1 %
            worst_primal = max(worst_primal, (best - y) * n)
            worst_dual = max(worst_dual, dual - best)
            assert dual - best <= slack, (kind, capped, n, dual - best)
            assert best - y <= slack + (1 + capped) / n, (kind, capped, n, best - y)
            routed += 1
    for i in range(30):
        n, m = int(rng.integers(2, 7)), int(rng.integers(2, 5))
        p, c = instance(rng, "ties" if i % 3 == 0 else "plain", n, m)
        cap = np.ones(m)
        cap[rng.integers(0, m)] = rng.integers(0, n) / n
        budgets = np.geomspace(c.min(axis=1).mean() * 0.95, c.max(axis=1).mean(), 6)
        for b, (_, _, _, (found, y, z)) in zip(budgets, probe(p, c, cap, budgets)):
            best = program(p, c, cap, b, True)
            assert bool(found) == (best is not None), (b, found, best)
            if best is None:
                continue
            assert z <= b * (1 + 1e-8) and abs(y - best) < 1e-6, (b, y, z, best)
            tables += 1
    print(f"{routed} routings and {tables} tables agree with HiGHS: dual values at most {worst_dual:.1e} above the "
          f"optimum, accuracies at most {worst_primal:.2f} queries below it")
    assert routed > 100 and tables > 100


main()
