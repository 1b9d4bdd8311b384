#!/usr/bin/env python3
"""Stratified against independent draws on a job: variances over seeds of what a cell says with n samples.

    tests/bench/draws.py BUILD JOB WORK [QUERIES [SEEDS]]

Runs a sweep over both kinds of draws and SEEDS seeds (20) with 8 samples, all of them from one prefill, on every k-th
query so that QUERIES (16) are left, into the folder WORK (started again, it goes on), and prints a table for draws.md.
V(n) is the variance over seeds of the mean of n samples, averaged over cells and over the runs of n samples of the 8;
lengths as log(length + 20), since some cells now and then say a hundred times their usual length. A cell's ratio is
n V(n) / V(1) of the same kind, as a single sample has one distribution with both kinds; a difference's, over pairs of
models of a query, is n V(n) over V(1) of independent draws. Independent draws must give 1. In brackets: standard error by
leaving out one query at a time. Needs h5py."""
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
given = {"queries": work / "queries.jsonl", "sampling.samples": SAMPLES, "output.texts": "false", "calibration.anchors": 0}
sets = [a for key, value in given.items() for a in ("--set", f"{key}={value}")]
subprocess.run([build / "scope-grid", "run", work / "sweep.json", *sets], check=True)

COLUMNS = {"p_correct": "sample_p_yes", "votes": "sample_correct", "length": "sample_length"}
samples = {name: {kind: [] for kind in KINDS} for name in COLUMNS}
unparsed = 0
for kind, seed in itertools.product(KINDS, axes["sampling.seed"]):
    with h5py.File(work / f"out/draws-{kind}_seed-{seed}/results.h5") as f:
        missing = f["sample_length"][:] < 0
        unparsed += missing.mean() / (2 * n_seeds)
        for name, column in COLUMNS.items():
            x = f[column][:].astype(float)
            samples[name][kind].append(np.where(missing, np.nan, np.log(x + 20) if name == "length" else x))


def variance(x, n):
    """V(n) of x[seed, query, cell, sample], by query"""
    runs = [np.nanmean(x[..., i : i + n], axis=3).var(axis=0, ddof=1) for i in range(0, SAMPLES, n)]
    return np.nanmean(runs, axis=(0, 2))


def ratio(top, bottom):
    left_out = (top.sum() - top) / (bottom.sum() - bottom)
    error = np.sqrt((len(top) - 1) / len(top) * np.sum((left_out - left_out.mean()) ** 2))
    return f"{top.sum() / bottom.sum():.2f} ({error:.2f})"


shape = np.array(samples["votes"]["independent"]).shape
print(f"{shape[1]} queries x {shape[2]} models, {n_seeds} seeds of each kind; "
      f"{100 * unparsed:.1f} % of the samples without a verdict.\n")
print("| value | draws | sd of one sample | n = 2 | n = 4 | n = 8 | between models: n = 1 | n = 2 | n = 4 | n = 8 |")
print("|" + " --- |" * 10)
first, second = np.triu_indices(shape[2], 1)
for name in COLUMNS:
    one = None
    for kind in KINDS:
        x = np.array(samples[name][kind])
        between = x[:, :, first] - x[:, :, second]
        one = variance(between, 1) if one is None else one
        row = [f"{np.sqrt(variance(x, 1).mean()):.4f}"]
        row += [ratio(n * variance(x, n), variance(x, 1)) for n in (2, 4, 8)]
        row += [ratio(n * variance(between, n), one) for n in (1, 2, 4, 8)]
        print(f"| {name} | {kind} | " + " | ".join(row) + " |")
print()
for name in ("p_correct", "length"):
    mean = [np.nanmean(np.array(samples[name][kind]), axis=(1, 2, 3)) for kind in KINDS]
    error = np.sqrt(sum(m.var(ddof=1) / n_seeds for m in mean))
    print(f"Mean {name}: stratified minus independent {mean[1].mean() - mean[0].mean():+.5f}, standard error {error:.5f}.")
