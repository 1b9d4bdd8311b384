#!/usr/bin/env python3
"""Stratified against independent draws on a job: variances over seeds of what a cell says with n samples.

    tests/bench/draws.py BUILD JOB WORK [QUERIES [SEEDS]]

Runs a sweep over both kinds of draws and SEEDS seeds (20) with 8 samples, all of them from one prefill, on every k-th
query so that QUERIES (16) are left, into the folder WORK (started again, it goes on), and prints a table for draws.md.
Samples nest: a cell with n = 4 is the first four. Every variance is that over seeds, averaged over cells (for
differences over pairs of models of a query); lengths count relative to their cell's mean length, differences of lengths
to the query's. In brackets: standard error by leaving out one query at a time. Needs h5py."""
import itertools
import json
import pathlib
import subprocess
import sys

import h5py
import numpy as np

build, job, work = (pathlib.Path(a).resolve() for a in sys.argv[1:4])
n_queries, n_seeds = (int(a) for a in (sys.argv[4:] + ["16", "20"][len(sys.argv) - 4 :]))
KINDS, SAMPLES = ("independent", "stratified"), 8
work.mkdir(parents=True, exist_ok=True)
lines = open(job.parent / json.load(open(job, encoding="utf-8"))["queries"], encoding="utf-8").readlines()
(work / "queries.jsonl").write_text("".join(lines[:: len(lines) // n_queries][:n_queries]), encoding="utf-8")
axes = {"sampling.draws": KINDS, "sampling.seed": list(range(101, 101 + n_seeds))}
(work / "sweep.json").write_text(json.dumps({"job": str(job), "dir": "out", "axes": axes}))
given = {"queries": work / "queries.jsonl", "sampling.samples": SAMPLES, "output.texts": "false"}
sets = [a for key, value in given.items() for a in ("--set", f"{key}={value}")]
subprocess.run([build / "scope-grid", "run", work / "sweep.json", *sets], check=True)

p, votes, length = ({kind: [] for kind in KINDS} for _ in range(3))
for kind, seed in itertools.product(KINDS, axes["sampling.seed"]):
    with h5py.File(work / f"out/draws-{kind}_seed-{seed}/results.h5") as f:
        parsed = f["sample_length"][:] >= 0
        p[kind].append(np.where(parsed, f["sample_p_yes"][:], np.nan))
        votes[kind].append(np.where(parsed, f["sample_correct"][:] > 0, np.nan))
        length[kind].append(np.where(parsed, f["sample_length"][:], np.nan))


def values(of, n, differences, relative):
    """[kind][seed, query, cell or pair of models]"""
    out = {}
    cell_mean = np.nanmean(np.concatenate([of[k] for k in KINDS]), axis=(0, 3))
    for kind in KINDS:
        x = np.nanmean(np.array(of[kind])[..., :n], axis=3)
        if differences:
            a, b = np.triu_indices(x.shape[2], 1)
            x = x[:, :, a] - x[:, :, b]
        if relative:
            x = x / (cell_mean.mean(axis=1, keepdims=True) if differences else cell_mean)
        out[kind] = x
    return out


def ratio(top, bottom):
    """of variances, and its standard error"""
    a, b = (np.nanvar(x, axis=0, ddof=1).mean(axis=1) for x in (top, bottom))
    n = len(a)
    left_out = (a.sum() - a) / (b.sum() - b)
    return a.sum() / b.sum(), np.sqrt((n - 1) / n * np.sum((left_out - left_out.mean()) ** 2))


unparsed = np.mean([np.isnan(x).mean() for k in KINDS for x in length[k]])
print(f"{len(p[KINDS[0]][0])} queries x {p[KINDS[0]][0].shape[1]} models, {n_seeds} seeds of each kind; "
      f"{100 * unparsed:.1f} % of the samples without a verdict.\n")
print("| value | sd, n = 4, independent | stratified / independent, n = 4 | n = 8 | 4 stratified / 8 independent |")
print("| --- | --- | --- | --- | --- |")
for name, of, differences, relative in (
    ("p_correct", p, False, False), ("p_correct, between models", p, True, False),
    ("votes", votes, False, False), ("votes, between models", votes, True, False),
    ("length", length, False, True), ("length, between models", length, True, True)):
    four, eight = (values(of, n, differences, relative) for n in (4, 8))
    sd = np.sqrt(np.nanvar(four["independent"], axis=0, ddof=1).mean())
    cells = [ratio(x["stratified"], y["independent"]) for x, y in ((four, four), (eight, eight), (four, eight))]
    print(f"| {name} | {sd:.4f} | " + " | ".join(f"{r:.2f} ({e:.2f})" for r, e in cells) + " |")
print()
for name, of in (("p_correct", p), ("length", length)):
    x = values(of, 8, False, name == "length")
    mean = {k: np.nanmean(x[k], axis=(1, 2)) for k in KINDS}
    by = mean["stratified"].mean() - mean["independent"].mean()
    error = np.sqrt(sum(m.var(ddof=1) / n_seeds for m in mean.values()))
    print(f"Mean {name}: stratified minus independent {by:+.5f}, standard error {error:.5f}.")
