#!/usr/bin/env python3
"""What scope-frontier says, computed a second time from the results file alone, the slow way: single models, Brier, AUC,
frontiers by an LP solver, the asked policies scored, regret, leave-one-out losses.

usage: recompute.py SCOPE_FRONTIER MAKE_FAKE_RESULTS [RESULTS.h5]      (exit 77: no h5py or scipy)
"""
import sys
import tempfile

from program import fake, rows, run

try:
    import h5py
    import numpy as np
    from scipy.optimize import linprog
    from scipy.stats import ttest_1samp
    from scipy.sparse import coo_matrix, csr_matrix
except ImportError:
    print("SKIP: no h5py or scipy")
    sys.exit(77)


def near(a, b, eps=1e-9):
    assert abs(float(a) - float(b)) <= eps, (a, b)


def lp(p, c, budget):
    n, m = p.shape
    ok = np.flatnonzero(~np.isnan(p).ravel())
    one = coo_matrix((np.ones(len(ok)), (ok // m, np.arange(len(ok)))), shape=(n, len(ok))).tocsr()
    r = linprog(-p.ravel()[ok] / n, A_ub=csr_matrix(c.ravel()[ok][None, :] / n), b_ub=[budget], A_eq=one, b_eq=np.ones(n),
                bounds=(0, 1), method="highs")
    assert r.status == 0, r.message
    return -r.fun


def auc(p, y):
    right, wrong = p[y == 1], p[y == 0]
    d = right[:, None] - wrong[None, :]
    return ((d > 0).sum() + 0.5 * (d == 0).sum()) / d.size


def check(results):
    with tempfile.TemporaryDirectory() as out:
        run(results, "-o", out, "--bootstrap", 100, "--baselines")
        with h5py.File(results) as f:
            valid = f["valid"][()].astype(bool)
            p, c = f["p_correct"][()], f["cost"][()]
            y, tc = f["true_correct"][()].astype(float), f["true_cost"][()]
            knn = f["knn_correct"][()]
            query = [s.decode() for s in f["query"][()]]
            model = [s.decode() for s in f["model"][()]]
        p, c = np.where(valid, p, np.nan), np.where(valid, c, np.nan)
        keep = valid.any(axis=1)
        p, c, y, tc, knn = p[keep], c[keep], y[keep], tc[keep], knn[keep]
        query = [q for q, k in zip(query, keep) if k]
        assert (y >= 0).all(), "made so that all is scored"
        # single models
        table = {r["model"]: r for r in rows(out, "models")}
        for k, name in enumerate(model):
            near(table[name]["accuracy"], y[:, k].mean())
            near(table[name]["cost_usd"], tc[:, k].mean())
            near(table[name]["predicted_accuracy"], np.nanmean(p[:, k]))
        near(table["(random)"]["accuracy"], y.mean())
        # quality
        q = {(r["estimator"], r["group_kind"], r["group"]): r for r in rows(out, "quality")}
        ok = ~np.isnan(p)
        near(q["scope", "all", ""]["brier"], ((p - y)[ok] ** 2).mean())
        near(q["scope", "all", ""]["auc"], auc(p[ok], y[ok]))
        near(q["knn", "all", ""]["auc"], auc(knn[ok], y[ok]))
        near(q["scope", "model", model[0]]["brier"], ((p - y)[:, 0][ok[:, 0]] ** 2).mean())
        order = np.argsort(p[ok], kind="stable")
        bins, drawn = np.array_split(np.arange(len(order)), 15), np.random.default_rng(1)  # bins differ by one pair at most
        off = (drawn.random((2000, len(order))) < p[ok][order]) - p[ok][order]
        null = sum(np.abs(off[:, b].sum(axis=1)) for b in bins) / len(order)
        near(q["scope", "all", ""]["ece_null"], null.mean(), 0.03 * null.mean() + 0.001)
        near(q["scope", "all", ""]["ece_null_high"], np.quantile(null, 0.975), 0.1 * null.mean())
        parts = np.array_split(order, 15) if len(order) % 15 == 0 else None
        if parts is not None:
            near(q["scope", "all", ""]["ece"],
                 sum(len(b) / len(order) * abs(p[ok][b].mean() - y[ok][b].mean()) for b in parts))
        # frontiers at budgets of the grid
        curves = {}
        for r in rows(out, "frontier"):
            curves.setdefault(r["curve"], []).append((float(r["budget_usd"]), float(r["accuracy"])))
        for name, a, b in (("predicted", p, c), ("oracle", y, tc)):
            for at, acc in curves[name][1::20]:
                near(acc, lp(a, b, at * (1 + 1e-12)), 1e-6)
        # the asked policies
        with h5py.File(f"{out}/frontier.h5") as f:
            names = [s.decode() for s in f["ask"][()]]
            asks = {a: {k[4:]: f[k][i] for k in f if k.startswith("ask_")} for i, a in enumerate(names)}
            lambdas, leave_one_out = f["lambda"][()], f["leave_one_out_true"][()]
        index = {name: k for k, name in enumerate(model)}
        weight = {a: np.zeros(p.shape) for a in asks}
        for r in rows(out, "policies"):
            weight[r["ask"]][query.index(r["query"]), index[r["model"]]] += float(r["weight"])
        assert asks
        for a, w in weight.items():
            near(w.sum(axis=1).max(), 1)
            near(w.sum(axis=1).min(), 1)
            n = len(query)
            near(asks[a]["predicted_accuracy"], np.nansum(w * p) / n)
            near(asks[a]["predicted_cost"], np.nansum(w * c) / n)
            near(asks[a]["accuracy"], (w * y).sum() / n)
            near(asks[a]["cost"], (w * tc).sum() / n)
            best = max(range(len(model)), key=lambda k: (y[:, k].mean(), -tc[:, k].mean()))
            near(asks[a]["gain"], (w * y).sum() / n - y[:, best].mean())
            lam = float(asks[a]["lambda"])
            near(asks[a]["regret"], (np.max(y - lam * tc, axis=1) - (w * (y - lam * tc)).sum(axis=1)).mean(), 1e-8)
        # value of the models where money is no object: inclusion and exclusion by hand for the leave-one-out loss
        assert lambdas[0] == 0
        for k in range(len(model)):
            others = np.hstack([np.delete(y, k, axis=1), np.zeros((len(y), 1))])  # or no call
            near(leave_one_out[0, k], y.max(axis=1).mean() - others.max(axis=1).mean())
        print(f"{results}: {len(query)} queries x {len(model)} models agree")


def check_two(first, second):
    """The comparison of two files, cell by cell; the AUC's interval by drawing queries and computing it anew."""
    with tempfile.TemporaryDirectory() as out:
        run(first, second, "-o", out, "--bootstrap", 1000)
        a, b = ({k: f[k][()] for k in ("valid", "p_correct", "length_mean", "true_correct")} for f in map(h5py.File, (first, second)))
        x = rows(out, "compare")[1]
        ok = (a["valid"] == 1) & (b["valid"] == 1)
        p, q, y = a["p_correct"][ok], b["p_correct"][ok], a["true_correct"][ok]
        near(x["cells"], ok.sum(), 0)
        near(x["p_change"], (q - p).mean())
        near(x["p_mean_abs_change"], np.abs(q - p).mean())
        near(x["p_largest_change"], np.abs(q - p).max())
        near(x["verdicts_changed"], ((p >= 0.5) != (q >= 0.5)).sum(), 0)
        near(x["length_change"], (b["length_mean"] - a["length_mean"])[ok].mean())
        near(x["length_mean_abs_change"], np.abs(b["length_mean"] - a["length_mean"])[ok].mean())
        first = {r["model"]: r for r in rows(out, "drift") if r["quantity"] == "p_correct"}
        for k in range(ok.shape[1]):
            r, d = first[f"maker/model-{k:02d}"], (b["p_correct"] - a["p_correct"])[:, k][ok[:, k]]
            t = ttest_1samp(d, 0)
            near(r["difference"], d.mean())
            near(r["p_value"], t.pvalue)
            near(r["low"], t.confidence_interval().low, 1e-7)
        near(x["brier_difference"], ((q - y) ** 2 - (p - y) ** 2).mean())
        near(x["auc_difference"], auc(q, y) - auc(p, y))
        query, rng, drawn = np.nonzero(ok)[0], np.random.default_rng(1), []
        cells = [np.flatnonzero(query == i) for i in range(len(ok))]
        for _ in range(500):
            at = np.concatenate([cells[i] for i in rng.integers(0, len(cells), len(cells))])
            drawn.append(auc(q[at], y[at]) - auc(p[at], y[at]))
        low, high = np.percentile(drawn, [2.5, 97.5])
        near(x["auc_low"], low, 0.15 * (high - low))
        near(x["auc_high"], high, 0.15 * (high - low))
        print(f"AUC difference {x['auc_difference']} [{x['auc_low']}, {x['auc_high']}], drawn anew [{low}, {high}]")


def main():
    if len(sys.argv) > 3:
        check(sys.argv[3])
        return
    with tempfile.TemporaryDirectory() as tmp:
        for i, (n, m, missing) in enumerate(((75, 4, 0.0), (120, 7, 0.15), (30, 1, 0.0))):
            check(fake(f"{tmp}/r.h5", n, m, seed=i + 1, noise=0.6, missing=missing))
        check_two(*(fake(f"{tmp}/{name}.h5", 120, 5, seed=3, noise=noise, missing=0.1) for name, noise in (("a", 0.3), ("b", 0.8))))


main()
