#!/usr/bin/env python3
"""What a setting does to the estimates: two results files of one grid, cell by cell.

usage: effect.py FIRST.h5 SECOND.h5 [--yardstick THIRD.h5] [--bootstrap N] [--seed S] [--json]

FIRST and SECOND differ in the setting (model.weight_type, say; `jobs/fp8.sh JOB` runs both), THIRD differs from
FIRST in sampling.seed alone: what it changes is noise, and a setting whose effect is not larger does nothing that
can be seen. Cells that all files have an estimate for are compared. Differences are SECOND less FIRST; intervals
are 95 % percentile intervals of a bootstrap over queries, the same resamples for both files. AUC and Brier need the
truth; they are those of `scope-frontier FIRST SECOND` (compare.csv), which compares the frontiers too.
"""
import argparse
import json
import signal
import sys

signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `effect.py ... | head` is no error
try:
    import h5py
    import numpy as np
except ImportError as e:
    sys.exit(f"effect.py: {e}; on Debian: apt install python3-h5py")


class BadInput(Exception):
    pass


def strings(dataset):
    return [s.decode() if isinstance(s, bytes) else s for s in dataset[()]]


def leaves(value, path=""):
    if not isinstance(value, dict):
        return {path: value}
    return {k: v for key, inner in value.items() for k, v in leaves(inner, f"{path}.{key}" if path else key).items()}


class Results:
    def __init__(self, path):
        self.path = path
        try:
            with h5py.File(path, "r") as f:
                if f.attrs.get("format") != "scope-grid results":
                    raise BadInput(f"{path}: not a results file of scope-grid")
                self.query, self.model = strings(f["query"]), strings(f["model"])
                self.job = leaves(json.loads(f["provenance/job"][()]))
                self.p, self.length = f["p_correct"][()], f["length_mean"][()]
                self.valid = (f["valid"][()] == 1) & ~np.isnan(self.p)
                if "true_correct" in f:
                    self.truth = f["true_correct"][()].astype(float)
                    self.truth[self.truth < 0] = np.nan  # not known
                else:
                    self.truth = np.full(self.p.shape, np.nan)
        except (OSError, KeyError, ValueError) as e:
            raise BadInput(f"{path}: not a readable results file ({e})") from None

    def reduce(self, queries, models):
        """Rows and columns in the order of the given ids."""
        at_q, at_m = ({name: i for i, name in enumerate(x)} for x in (self.query, self.model))
        at = np.ix_([at_q[q] for q in queries], [at_m[m] for m in models])
        self.p, self.length, self.valid, self.truth = (a[at] for a in (self.p, self.length, self.valid, self.truth))


def align(files):
    shared_q, shared_m = (set.intersection(*(set(x) for x in ids)) for ids in
                          ([f.query for f in files], [f.model for f in files]))
    queries, models = ([i for i in ids if i in shared] for ids, shared in
                       ((files[0].query, shared_q), (files[0].model, shared_m)))
    for f in files:
        f.reduce(queries, models)
    both = np.logical_and.reduce([f.valid for f in files])
    if not both.any():
        raise BadInput(f"{' and '.join(f.path for f in files)}: no cell has an estimate in all of them")
    return both


def settings(a, b):
    """What differs between two jobs, as far as results depend on it; cells are matched by ids, wherever files lie."""
    no_matter = ("output.", "engine.", "name", "queries", "anchors", "outcomes", "portfolio")
    keys = sorted(k for k in set(a.job) | set(b.job) if not k.startswith(no_matter))
    return {k: (a.job.get(k), b.job.get(k)) for k in keys if a.job.get(k) != b.job.get(k)}


def auc(p, y):
    """P(p of a correct cell > p of a wrong one), ties half (Mann and Whitney 1947)."""
    _, at, count = np.unique(p, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[at]
    good = y == 1
    n1, n0 = good.sum(), (~good).sum()
    return (rank[good].sum() - n1 * (n1 + 1) / 2) / (n1 * n0) if n1 and n0 else np.nan


def brier(p, y):
    return ((p - y) ** 2).mean()


def number(x):
    return None if np.isnan(x) else float(x)


def interval(values):
    values = values[~np.isnan(values)]
    return [float(x) for x in np.percentile(values, [2.5, 97.5])] if len(values) else None


def compare(a, b, both, bootstrap, seed):
    query = np.nonzero(both)[0]
    p, q, length_p, length_q, truth = a.p[both], b.p[both], a.length[both], b.length[both], a.truth[both]
    known = ~np.isnan(truth)
    d, r = np.abs(q - p), length_q - length_p
    corr = lambda x, y: float(np.corrcoef(x, y)[0, 1]) if np.ptp(x) > 0 and np.ptp(y) > 0 else None
    out = {
        "cells": int(len(p)),
        "settings": {k: list(v) for k, v in settings(a, b).items()},
        "p_correct": {"mean_abs": float(d.mean()), "largest": float(d.max()), "mean": float((q - p).mean()),
                      "correlation": corr(p, q)},
        "changed_verdicts": int(((p >= 0.5) != (q >= 0.5)).sum()),
        "length": {"first": float(length_p.mean()), "mean": float(r.mean()), "mean_abs": float(np.abs(r).mean()),
                   "correlation": corr(length_p, length_q)},
        "known": int(known.sum()),
    }
    scores = {"auc": auc, "brier": brier}
    if known.any():
        for name, of in scores.items():
            first, second = of(p[known], truth[known]), of(q[known], truth[known])
            out[name] = {"first": number(first), "second": number(second), "difference": number(second - first)}
    # queries are drawn, with all their cells
    rng, ids = np.random.default_rng(seed), np.unique(query)
    begin, end = np.searchsorted(query, ids), np.searchsorted(query, ids, "right")
    drawn = {"p_correct": [], "length": [], "auc": [], "brier": []}
    for _ in range(bootstrap):
        pick = np.concatenate([np.arange(begin[i], end[i]) for i in rng.integers(0, len(ids), len(ids))])
        drawn["p_correct"].append((q[pick] - p[pick]).mean())
        drawn["length"].append(r[pick].mean())
        pick = pick[known[pick]]
        for name, of in scores.items():
            both_scores = [of(x[pick], truth[pick]) for x in (p, q)] if len(pick) else [np.nan, np.nan]
            drawn[name].append(both_scores[1] - both_scores[0])
    for name, values in drawn.items():
        if bootstrap and name in out:
            out[name]["interval"] = interval(np.array(values))
    return out


def band(x, key, digits):
    low_high = x.get("interval")
    if x[key] is None:
        return "-"
    text = f"{x[key]:+.{digits}f}"
    return text + (f" [{low_high[0]:+.{digits}f}, {low_high[1]:+.{digits}f}]" if low_high else "")


def row(name, results, text):
    print(f"  {name:<34}" + "".join(f"{text(r):<32}" for r in results).rstrip())


def show(files, results):
    first, n = results[0], len(files[0].query)
    print(f"{files[0].path}: {first['cells']} cells of {n} queries that all files have an estimate for")
    names = [", ".join(f"{k}: {a} -> {b}" for k, (a, b) in r["settings"].items()) or "no setting" for r in results]
    for name, f in zip(names, files[1:]):
        print(f"{f.path}: {name}")
    print(f"  {'':<34}" + "".join(f"{'effect' if i == 0 else 'another seed':<32}" for i in range(len(results))).rstrip())
    row("p_correct, mean |difference|", results, lambda r: f"{r['p_correct']['mean_abs']:.4f}")
    row("  largest", results, lambda r: f"{r['p_correct']['largest']:.4f}")
    row("  mean difference", results, lambda r: band(r["p_correct"], "mean", 4))
    none = lambda x: "-" if x is None else f"{x:.4f}"
    row("  correlation", results, lambda r: none(r["p_correct"]["correlation"]))
    row("verdicts changed (p >= 0.5)", results, lambda r: f"{r['changed_verdicts']} of {r['cells']}")
    row(f"length, mean difference (of {first['length']['first']:.0f})", results, lambda r: band(r["length"], "mean", 1))
    row("  mean |difference|", results, lambda r: f"{r['length']['mean_abs']:.1f}")
    row("  correlation", results, lambda r: none(r["length"]["correlation"]))
    if not first["known"]:
        print("  no truth is known: no AUC, no Brier score")
        return
    for name, label in (("auc", "AUC"), ("brier", "Brier score")):
        row(f"{label}, {none(first[name]['first'])} in the first", results, lambda r: none(r[name]["second"]))
        row("  difference", results, lambda r: band(r[name], "difference", 4))


def main():
    ask = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n", 2)[2],
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("first")
    ask.add_argument("second")
    ask.add_argument("--yardstick", help="the first again with another seed")
    ask.add_argument("--bootstrap", type=int, default=1000, help="resamples; 0: no intervals (default 1000)")
    ask.add_argument("--seed", type=int, default=1)
    ask.add_argument("--json", action="store_true", help="print one JSON object")
    o = ask.parse_args()
    try:
        files = [Results(p) for p in (o.first, o.second, o.yardstick) if p]
        if o.yardstick and set(settings(files[0], files[2])) != {"sampling.seed"}:
            raise BadInput(f"{o.yardstick}: differs from {o.first} in "
                           f"{', '.join(settings(files[0], files[2])) or 'nothing'}; expected sampling.seed alone")
        both = align(files)
        results = [compare(files[0], f, both, max(0, o.bootstrap), o.seed) for f in files[1:]]
    except BadInput as e:
        print(f"effect.py: {e}", file=sys.stderr)
        return 3
    if o.json:
        print(json.dumps({"effect": results[0], "yardstick": results[1] if o.yardstick else None}))
    else:
        show(files, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
