#!/usr/bin/env python3
"""Graded outcomes in the analysis, against numbers computed here from the same file, and against the same file with
true and false where every score is 1 or 0.

usage: graded_check.py SCOPE_FRONTIER MAKE_FAKE_RESULTS
"""
import os
import re
import sys
import tempfile

import program
from program import fake, refused, rows

try:
    import h5py
    import numpy as np
except ImportError:
    print("needs h5py and numpy")
    sys.exit(77)


def run(results, out, *args):
    return program.run(results, "-o", out, "--bootstrap", 40, *args).stdout


def grade(path, score):
    """The same outcomes with scores: score(flags) beside every flag; calibration has those of its anchors."""
    with h5py.File(path, "r+") as f:
        f.attrs["format_version"] = np.int64(3)
        for flag, name in (("true_correct", "true_score"), ("anchors/correct", "anchors/score")):
            y = f[flag][()]
            f[name] = np.where(y < 0, np.nan, score(y))
        ids = [s if isinstance(s, bytes) else s.encode() for s in f["anchors/anchor"][()]]
        own = [ids.index(s if isinstance(s, bytes) else s.encode()) for s in f["calibration/anchor"][()]]
        f["calibration/true_score"] = f["anchors/score"][()][own]


def near(a, b, what, within=1e-6):
    assert abs(float(a) - b) <= within, (what, a, b)


def cross_entropy(p, s):
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return -(s * np.log(p) + (1 - s) * np.log(1 - p)).mean()


def by_hand(path, tmp):
    text = run(path, f"{tmp}/graded", "--estimate", "scope")
    with h5py.File(path) as f:
        p, s, y = f["p_correct"][()], f["true_score"][()], f["true_correct"][()]
        cal_p, cal_s = f["calibration/p_correct"][()], f["calibration/true_score"][()]
        anchor_s, models = f["anchors/score"][()], [m.decode() for m in f["model"][()]]
        category, anchor_category = f["category"][()], f["anchors/category"][()]
    data = program.data_of(f"{tmp}/graded/report.html")
    assert data["graded"] == 1 and "score" in [c["heading"] for c in data["shown"]["models"]], data["shown"]
    assert "mean score stands where accuracy would" in text and "(score in %" in text and "accuracy, %" not in text
    for k, r in enumerate(rows(f"{tmp}/graded", "models")[:len(models)]):
        half = 1.959963984540054 * s[:, k].std(ddof=1) / len(s) ** 0.5
        for name, value in (("accuracy", s[:, k].mean()), ("accuracy_low", s[:, k].mean() - half),
                            ("accuracy_high", s[:, k].mean() + half)):
            near(r[name], value, (models[k], name))
    q = {r["estimator"]: r for r in rows(f"{tmp}/graded", "quality") if r["group_kind"] == "all"}
    right, wrong = p[y == 1], p[y == 0]
    auc = ((right[:, None] > wrong).mean() + (right[:, None] == wrong).mean() / 2)
    order = p.ravel().argsort(kind="stable")
    bins = [order[np.arange(order.size) * 15 // order.size == b] for b in range(15)]
    ece = sum(abs((p.ravel()[b] - s.ravel()[b]).sum()) for b in bins) / p.size
    for name, value in (("brier", ((p - s) ** 2).mean()), ("log_loss", cross_entropy(p, s)), ("auc", auc), ("ece", ece),
                        ("base_rate", s.mean())):
        near(q["scope"][name], value, name)
    near(q["base_rate"]["brier"], s.var(), "Brier score of the mean")
    near(re.search(r"cross-fitted: scope ([0-9.]+)", text)[1], cross_entropy(cal_p, cal_s), "log loss of anchors", 1e-4)

    # without the queries' truth a single model is worth the anchors' mean scores, in the queries' shares
    run(path, f"{tmp}/blind", "--blind", "--estimate", "anchored", "--incumbent", models[2])
    value = np.zeros(len(models))
    for c in set(category):
        value += (category == c).mean() * anchor_s[anchor_category == c].mean(axis=0)
    with h5py.File(f"{tmp}/blind/frontier.h5") as f:
        assert f.attrs["measure"] in ("score", b"score")
        told = {m.decode(): v for m, v in zip(f["model"][()], f["model_predicted_accuracy"][()])}
    for m, v in zip(models, value):  # smoothed with the weight of five anchors
        near(told[m], v, ("anchored", m), 0.03)
    near(program.data_of(f"{tmp}/blind/report.html")["decision"]["incumbent"]["accuracy"][0], value[2], "the value of one model")
    with h5py.File(path) as f:
        flags = np.zeros(len(models))
        for c in set(category):
            flags += (category == c).mean() * (f["anchors/correct"][()][anchor_category == c] == 1).mean(axis=0)
    assert abs(flags[2] - value[2]) > 0.02, "flags and scores say too much alike to tell them apart"


def as_before(plain, graded, tmp):
    """Scores of 1 and 0 say what true and false say: every number is the same, but for the interval of single models,
    which is Wilson's for shares alone."""
    for args in ((), ("--blind",), ("--estimate", "combined", "--baselines")):
        run(plain, f"{tmp}/plain", *args)
        run(graded, f"{tmp}/ones", *args)
        for name in sorted(os.listdir(f"{tmp}/plain")):
            if name.endswith(".csv"):
                a, b = (rows(f"{tmp}/{d}", name[:-4]) for d in ("plain", "ones"))
                for r in a + b if name == "models.csv" else ():
                    r["accuracy_low"] = r["accuracy_high"] = ""
                assert a == b, (args, name, next(x for x in zip(a, b) if x[0] != x[1]))
    same = [run(plain, f"{tmp}/two", plain), run(graded, f"{tmp}/two", graded)]  # the AUC of a comparison
    lines = [[x for x in t.split("\n") if "AUC" in x and "correct: yes" not in x] for t in same]
    assert lines[0] == lines[1] and lines[0], lines


with tempfile.TemporaryDirectory() as tmp:
    draw = np.random.default_rng(1)
    plain, ones, graded = (fake(f"{tmp}/{name}.h5", 150, 4, seed=3, anchors=240, calibrated=60) for name in ("plain", "ones", "graded"))
    grade(ones, lambda y: y.astype(float))
    grade(graded, lambda y: np.where(draw.random(y.shape) < 0.3, y, 0.5 * y + 0.5 * draw.random(y.shape) ** 3))
    by_hand(graded, tmp)
    as_before(plain, ones, tmp)
    with h5py.File(graded, "r+") as f:
        f["true_score"][2, 1] = 1.25
    refused("true_score is 1.25; expected a number from 0 to 1", graded, out=f"{tmp}/no", status=3)
print("ok")
