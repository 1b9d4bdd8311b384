#!/usr/bin/env python3
"""What the advice is worth, before and after, on grids whose truth is known: three_grids.md.

before: each query goes where the estimates as they came say, the budget met in estimated cost (policies.csv as it was)
after:  what scope-frontier advises without the queries' outcomes, and what it tells of that

Both are then scored with the outcomes. usage: three_grids.py SCOPE_FRONTIER TITLE=RESULTS.h5 ...
A title that begins with "random" has p_correct and length_mean of all cells dealt anew among the cells of each model.
"""
import csv
import os
import shutil
import subprocess
import sys
import tempfile

import h5py
import numpy as np


def by_estimates(p, c, budget):
    """argmax p - lambda c, lambda by bisection: the most that the budget allows."""
    low, high = 0.0, 1e9
    for _ in range(200):
        lam = (low + high) / 2
        pick = np.argmax(p - lam * c, 1)
        low, high = (lam, high) if c[np.arange(len(p)), pick].mean() > budget else (low, lam)
    return np.argmax(p - high * c, 1)


def deal_anew(path):
    with h5py.File(path, "r+") as f:
        for at, group in enumerate(("", "calibration/")):
            rng = np.random.default_rng(1 + at)
            for name in ("p_correct", "length_mean"):
                x = f[group + name][:]
                for k in range(x.shape[1]):
                    x[:, k] = rng.permutation(x[:, k])
                f[group + name][...] = x


def grid(program, title, path, tmp):
    results = shutil.copy(path, f"{tmp}/results.h5")
    if title.startswith("random"):
        deal_anew(results)
    subprocess.run([program, results, "--blind", "--no-plots", "--bootstrap", "0", "-o", f"{tmp}/out"], check=True,
                   stdout=subprocess.DEVNULL)
    with h5py.File(results) as f, h5py.File(f"{tmp}/out/frontier.h5") as told:
        queries = {q.decode(): i for i, q in enumerate(f["query"][:])}
        models = [m.decode() for m in f["model"][:]]
        y, paid = f["true_correct"][:] > 0, f["true_cost"][:]
        p, c = f["p_correct"][:], f["cost"][:]
        asked = [i for i, a in enumerate(told["decision_asked"][:]) if a]
        kinds = [k.decode() for k in told["candidate"][:]]
        pick = {told["decision_asked"][i].decode(): np.zeros(len(queries), int) for i in asked}
        with open(f"{tmp}/out/policies.csv", newline="") as rows:
            for r in csv.DictReader(rows):
                pick[r["ask"]][queries[r["query"]]] = models.index(r["model"])
        right = lambda k: 100 * y[np.arange(len(y)), k].mean()
        bill = lambda k: paid[np.arange(len(y)), k].mean()
        text = lambda name, i, times: "{:.4g} [{:.4g}, {:.4g}]".format(*(times * told[name + e][i] for e in ("", "_low", "_high")))
        print(f"\n### {title}\n\n{len(y)} queries, {len(models)} models.\n")
        print("| budget | before: right % | bill / budget | advised | told % | right % | told bill / budget | bill / budget |"
              "\n| ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: |")
        for i in asked:
            budget, name = float(told["decision_step"][i]), told["decision_asked"][i].decode()
            old, new = by_estimates(p, c, budget), pick[name]
            share = np.bincount(new, minlength=len(models)) / len(new)
            who = ", ".join(f"{models[k].split('/')[-1]} {100 * share[k]:.0f} %" for k in np.argsort(-share) if share[k] > 0.05)
            kind = kinds[int(told["candidate_advised"][i].argmax())]
            print(f"| {budget:.4g} | {right(old):.1f} | {bill(old) / budget:.2f} | {kind}: {who} | "
                  f"{text('decision_accuracy', i, 100)} | {right(new):.1f} | {text('decision_cost', i, 1 / budget)} | {bill(new) / budget:.2f} |")


for arg in sys.argv[2:]:
    title, path = arg.rsplit("=", 1)
    with tempfile.TemporaryDirectory() as folder:
        grid(os.path.abspath(sys.argv[1]), title, path, folder)
