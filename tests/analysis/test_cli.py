#!/usr/bin/env python3
"""scope-frontier as a user runs it: what it writes, and that it is the same for any thread count.

usage: test_cli.py SCOPE_FRONTIER MAKE_FAKE_RESULTS
"""
import json
import os
import re
import shutil
import subprocess
import time

from program import PROGRAM, data_of, each_in_a_folder, edited, fake, refused, rows, run

CSV = ["frontier", "metrics", "models", "policies", "quality"]


def left_by_others(tmp, out):
    """In the output's folder: what killed writers have left, what one writes now, files of users, and links where a writer
    of plots might write. What has to stay, with its text, and what has to go."""
    os.mkdir(out)
    n, stay = "0" * 19 + "7", {}
    gone = [f"{out}/{name}.tmp.{n}" for name in ("models.csv", "frontier.h5", "report.html", "policy.json", "frontier.png")]
    mine = [f"{out}/{name}" for name in ("notes.tmp." + n, "models.csv.tmp.", "models.csv.tmp.7b", "models.csv.tmp")]
    now = f"{out}/models.csv.tmp.1" + n[1:]
    for path in (*gone, *mine, now):
        with open(path, "w") as f:
            f.write("left\n")
        if path != now:
            os.utime(path, (time.time() - 3600,) * 2)
    stay.update(dict.fromkeys((*mine, now), "left\n"))
    with open(f"{tmp}/diary", "w") as f:
        f.write("of somebody\n")
    os.symlink(f"{tmp}/diary", f"{out}/frontier.png.tmp")
    stay[f"{out}/frontier.png.tmp"] = "of somebody\n"
    return stay, gone


def writes_everything(tmp):
    results = fake(f"{tmp}/r.h5", 120, 5, missing=0.05)
    out = f"{tmp}/all"
    stay, gone = left_by_others(tmp, out)
    text = run(results, "-o", out, "--bootstrap", 200, "--budget", 0.003, "--target-accuracy", 0.6, "--lambda", 50,
               plots=True).stdout
    for word in ("Frontier", "Single models", "Quality of the estimates", "Noise of k samples", "What to do", "  accuracy 60.0 %: from "):
        assert word in text, word
    for name in CSV:
        assert rows(out, name), name
    assert sorted(f for f in os.listdir(out) if f.endswith(".csv")) == [f"{name}.csv" for name in CSV]
    d = data_of(f"{out}/report.html")
    asks = d["policies"]
    assert [(a["is_target"], a["asked"]) for a in asks] == [(0, 0.003), (1, 0.6)]
    assert asks[0]["predicted_cost"][0] <= 0.003 * 1.05
    for a in asks:
        for name in ("accuracy", "gain", "saving"):
            assert a[name][1] <= a[name][0] <= a[name][2], (name, a)
        assert (a["fitted_accuracy"] is None) == a["is_target"] and a["posterior_accuracy"][0] is None
    policy = {}
    for r in rows(out, "policies"):
        if r["ask"] == "budget=0.003":
            policy.setdefault(r["query"], []).append(float(r["weight"]))
    assert len(policy) == 120 and all(abs(sum(w) - 1) < 1e-9 for w in policy.values())
    assert sum(len(w) > 1 for w in policy.values()) <= 1, "one mixed query at most"
    assert {r["curve"] for r in rows(out, "frontier")} == {"predicted", "realised", "anchor_mean", "blind_mix", "oracle"}
    for r in rows(out, "frontier"):
        if r["accuracy_low"]:
            assert float(r["accuracy_low"]) <= float(r["accuracy_high"])
    assert d["n"] == 120 and len(d["models"]) == 5 and d["n_missing"] > 0 and len(d["grid"]) == 101
    for path in gone:
        assert not os.path.lexists(path), f"{path} was left by a writer that was killed"
    for path, text_of in stay.items():
        with open(path) as f:
            assert f.read() == text_of, f"{path} is not ours"
        os.remove(path)
    assert not [f for f in os.listdir(out) if "tmp" in f]
    if "No plots" not in text:
        for name in ("frontier.png", "frontier.pdf", "reliability.png", "reliability.pdf"):
            assert os.path.getsize(f"{out}/{name}") > 5000, name
    try:
        import xarray
    except ImportError:
        return
    with xarray.open_dataset(f"{out}/frontier.h5", engine="h5netcdf") as x:
        acc = x.accuracy.sel(curve="realised").values
        assert (acc == acc).any() and x.sizes["query"] == 120
        assert x.cost.attrs["units"] == "USD"
        assert (x.ask_regret >= 0).all() and list(x.ask.values) == ["budget=0.003", "target=0.6"]
        assert list(x.noise_n_cells) and (sorted(x.greedy_rank_true[0].values) == [1, 2, 3, 4, 5])
        for name, v in x.variables.items():
            assert "long_name" in v.attrs, name
            assert v.dtype.kind in "OSU" or v.dtype.kind == "i" or "units" in v.attrs, name
        # the predicted frontier can be rebuilt from its steps
        end = x.attrs and float(x.accuracy.sel(curve="predicted")[-1])
        first = float((x.step_accuracy_change.sum() / 120).values)
        assert 0 < first < end


def same_numbers_everywhere(tmp):
    """A column has the same values in the CSV file, in frontier.h5 and in the report, and its heading on the terminal."""
    try:
        import h5py
    except ImportError:
        return
    results = fake(f"{tmp}/s.h5", 80, 4, missing=0.1)
    out = f"{tmp}/s"
    text = run(results, "-o", out, "--bootstrap", 60, "--budget", 0.003, "--target-accuracy", 0.6).stdout
    page = data_of(f"{out}/report.html")

    def number(x):
        return float("nan") if x in ("", None) else float(x)

    def near(a, b):
        assert (a != a and b != b) or abs(a - b) <= 5e-7 * max(abs(a), abs(b)), (a, b)

    with h5py.File(f"{out}/frontier.h5", "r") as f:
        # table, prefix in frontier.h5, {name: heading in the CSV file}
        for name, table, prefix, columns in (
                ("models", "models", "model_", {"predicted_accuracy": None, "predicted_cost": "predicted_cost_usd",
                                                "accuracy": None, "cost": "cost_usd", "on_hull": None}),
                ("metrics", "metrics", "metric_", {"value": None})):
            lines = rows(out, name)[:len(page[table])]
            for column, heading in columns.items():
                for i, (line, told) in enumerate(zip(lines, page[table])):
                    in_csv, in_page = number(line[heading or column]), told[column]
                    near(in_csv, number(in_page[0] if isinstance(in_page, list) else in_page))
                    near(in_csv, number(f[prefix + column][i]))
        estimators = [s.decode() for s in f["estimator"][()]]
        groups = [s.decode() for s in f["group"][()]]
        told = {q["estimator"]: q for q in page["quality"]}
        assert set(told) == set(estimators) - {"knn", "anchored", "combined"}, "the file has no anchors"
        for line in rows(out, "quality"):
            group = line["group_kind"] + (": " + line["group"] if line["group"] else "")
            e, g = estimators.index(line["estimator"]), groups.index(group)
            for column in ("brier", "log_loss", "auc", "ece", "length_mae", "length_median_relative_error"):
                near(number(line[column]), number(f[column][e, g]))
                if group == "all":
                    near(number(line[column]), number(told[line["estimator"]][column]))
            near(number(line["n"]), number(f["pairs"][e, g]))
        told = {e: [x["mean_correct"] for x in page["bins"] if x["estimator"] == e] for e in estimators}
        for e in estimators:
            known = f["bin_mean_correct"][estimators.index(e), 0]
            for x, y in zip(told[e], known[known == known], strict=True):
                near(x, y)
        for i, a in enumerate(page["policies"]):
            for column in ("predicted_accuracy", "predicted_cost", "accuracy", "cost", "gain", "saving", "fitted_accuracy"):
                x = a[column]
                near(number(x[0] if isinstance(x, list) else x), number(f["ask_" + column][i]))
        curves, budgets = [s.decode() for s in f["curve"][()]], list(f["budget"][()])
        for line in rows(out, "frontier"):
            g = min(range(len(budgets)), key=lambda k: abs(budgets[k] - float(line["budget_usd"])))
            for column in ("accuracy", "accuracy_low", "accuracy_high", "cost_low", "cost_high"):
                near(number(line[column]), number(f[column][curves.index(line["curve"]), g]))
                near(number(line[column]), number(page["curves"][line["curve"]][column][g]))
        for k, m in enumerate(page["models"]):
            near(number(m["value"]), number(f["shapley_true"][-1, k]))
    for table, shown in page["shown"].items():
        assert all(c["key"] in page[table][0] for c in shown), table
    for heading in ("pred. cost", "Brier", "log loss", "len. MAE", "Brier votes"):
        assert heading in text, heading
        assert any(c["heading"] == heading for shown in page["shown"].values() for c in shown), heading


def same_for_any_threads(tmp):
    results = fake(f"{tmp}/t.h5", 90, 4)
    for t in (1, 2, 7):
        run(results, "-o", f"{tmp}/t{t}", "--bootstrap", 150, "--threads", t, "--baselines")
    for name in [f"{c}.csv" for c in CSV] + ["report.html"]:
        texts = {open(f"{tmp}/t{t}/{name}", "rb").read() for t in (1, 2, 7)}
        assert len(texts) == 1, name
    assert {r["estimator"] for r in rows(f"{tmp}/t1", "quality")} == {"scope", "knn", "anchor_mean", "base_rate"}
    run(results, "-o", f"{tmp}/seed", "--bootstrap", 150, "--seed", 2)
    assert open(f"{tmp}/seed/frontier.csv").read() != open(f"{tmp}/t1/frontier.csv").read()


def default_directory(tmp):
    os.mkdir(f"{tmp}/here")
    fake(f"{tmp}/here/results.h5", 40, 3)
    run("results.h5", "--bootstrap", 50, cwd=f"{tmp}/here")
    assert os.path.exists(f"{tmp}/here/report.html")


def without_plots(tmp):
    """Where the plots cannot be drawn one line says so, and everything else is there."""
    results = fake(f"{tmp}/r.h5", 40, 3)
    alone = shutil.copy(PROGRAM, f"{tmp}/scope-frontier")
    r = subprocess.run([alone, results, "--bootstrap", "20"], capture_output=True, text=True)
    assert r.returncode == 0 and r.stdout.count("No plots") == 1 and r.stderr == "", (r.stdout[-200:], r.stderr)
    assert os.path.exists(f"{tmp}/report.html") and not os.path.exists(f"{tmp}/frontier.png")
    with open(f"{tmp}/scope-frontier-plot.py", "w") as f:
        f.write("import no_such_module_here\n")
    r = subprocess.run([alone, results, "--bootstrap", "20"], capture_output=True, text=True)
    assert r.returncode == 0 and r.stdout.count("No plots") == 1
    with open(f"{tmp}/scope-frontier-plot.py", "w") as f:
        f.write("import sys\nsys.exit(3)\n")
    r = subprocess.run([alone, results, "--bootstrap", "20"], capture_output=True, text=True)
    assert r.returncode == 0 and "apt-get install python3-matplotlib" in r.stdout


def partial_and_truthless(tmp):
    results = fake(f"{tmp}/none.h5", 60, 4, truth=0, samples=0)
    r = run(results, "-o", f"{tmp}/none", "--bootstrap", 100)
    assert "no truth" in r.stdout
    assert not os.path.exists(f"{tmp}/none/quality.csv")
    band = [c for c in rows(f"{tmp}/none", "frontier") if c["curve"] == "posterior" and c["accuracy_low"]]
    assert len(band) > 50, "votes feed the bands"
    assert ("Gains below" in r.stdout) == ("Policies against" in r.stdout)
    # given the votes: of the policy itself. Of one model for everything that is its mean, and nobody chose its cells
    run(fake(f"{tmp}/known.h5", 60, 4, anchors=100, calibrated=40, truth=0), "-o", f"{tmp}/known")
    asks, alone, used = data_of(f"{tmp}/known/report.html")["policies"], 0, {}
    for r in rows(f"{tmp}/known", "policies"):
        used.setdefault(r["ask"], set()).add(r["model"])
    assert len(asks) == len(used)
    for a, models in zip(asks, used.values()):
        value, low, high = a["posterior_accuracy"]
        assert low < value < high and None not in a["gain"], a
        if len(models) == 1:
            alone += 1
            assert abs(value - a["predicted_accuracy"][0]) < 0.01, a
    assert alone
    run(fake(f"{tmp}/one.h5", 1, 3, truth=0), "-o", f"{tmp}/one")
    assert not [c for c in rows(f"{tmp}/one", "frontier") if c["accuracy_low"]], "one query has no resamples"
    # the directory of a run with truth: what no longer holds is removed
    run(fake(f"{tmp}/some.h5", 60, 4), "-o", f"{tmp}/none", "--bootstrap", 0)
    assert os.path.exists(f"{tmp}/none/quality.csv")
    run(results, "-o", f"{tmp}/none", "--bootstrap", 0)
    assert not os.path.exists(f"{tmp}/none/quality.csv")
    r = run(fake(f"{tmp}/holes.h5", 60, 3, missing=0.6), "-o", f"{tmp}/holes", "--bootstrap", 50)
    assert "without an estimate" in r.stdout and "without a single valid cell" in r.stdout
    for n, m in ((1, 1), (1, 3), (2, 1), (3, 2)):
        run(fake(f"{tmp}/tiny.h5", n, m), "-o", f"{tmp}/tiny{n}{m}", "--bootstrap", 20)


def blind(tmp):
    """What --blind says is what the same file without outcomes of the queries says."""
    try:
        import h5py
    except ImportError:
        return
    results = fake(f"{tmp}/truth.h5", 120, 4, missing=0.05)
    without = shutil.copy(results, f"{tmp}/without.h5")
    with h5py.File(without, "r+") as f:
        for name in ("true_correct", "true_length", "true_cost"):
            if name in f:
                del f[name]
    ask = ("--budget", 0.003, "--bootstrap", 60)
    told = run(results, "--blind", *ask, "-o", f"{tmp}/blind").stdout
    expected = run(without, *ask, "-o", f"{tmp}/none").stdout
    assert told.replace("truth.h5", "without.h5").replace(f"{tmp}/blind", f"{tmp}/none") == expected
    assert not os.path.exists(f"{tmp}/blind/quality.csv") and "no truth" in told
    for name in ("frontier", "models", "policies"):
        assert rows(f"{tmp}/blind", name) == rows(f"{tmp}/none", name), name
    seen = run(results, *ask, "-o", f"{tmp}/seen").stdout
    assert "no truth" not in seen and rows(f"{tmp}/seen", "models") != rows(f"{tmp}/none", "models")


def foreign_categories(tmp):
    """Anchors whose categories no query has value all queries alike; the advice says so."""
    try:
        import h5py
        import numpy as np
    except ImportError:
        return
    results = fake(f"{tmp}/f.h5", 120, 4, anchors=100, calibrated=40)
    for text in (run(results, *o, "-o", f"{tmp}/below").stdout for o in ((), ("--blind",))):
        assert ("Gains below" in text) == ("Policies against" in text)
    with h5py.File(results, "r+") as f:
        n_anchors = len(f["anchors/anchor"])
        for name in ("anchors/category", "calibration/category"):
            f[name][...] = ["elsewhere"] * len(f[name])
    told = run(results, "--blind", "--bootstrap", 0, "-o", f"{tmp}/f").stdout
    assert "the anchors stand for all queries alike" in told and f"valued by the outcomes of {n_anchors} anchors" in told, told
    with h5py.File(f"{tmp}/f/frontier.h5") as f, h5py.File(results) as r:
        accuracy = f["decision_accuracy"][:]
        right = r["anchors/correct"][:].mean(0)
        assert right.min() - 0.2 < np.nanmin(accuracy) and np.nanmax(accuracy) < right.max() + 0.2, (accuracy, right)
    seen = run(results, "--bootstrap", 0, "-o", f"{tmp}/g").stdout  # outcomes of the queries need no anchors
    assert "stand for all queries alike" not in seen


def choosing(tmp):
    results = fake(f"{tmp}/c.h5", 90, 4)
    run(results, "-o", f"{tmp}/c", "--pool", "maker/model-01,maker/model-03", "--queries", "category=category-1", "--queries",
        "id!=query-00000*", "--bootstrap", 0)
    assert [r["model"] for r in rows(f"{tmp}/c", "models")] == ["maker/model-01", "maker/model-03", "(random)"]
    assert {r["query"] for r in rows(f"{tmp}/c", "policies")} == {f"query-{q:06d}" for q in range(10, 90) if q % 3 == 1}
    prices = f"{tmp}/prices.json"
    with open(prices, "w") as f:
        json.dump([{"id": f"maker/model-{k:02d}", "input": 0, "output": 1 if k else 0} for k in range(4)], f)
    refused("needs --prices FILE", results, "--batch", out=f"{tmp}/free", status=2)
    refused('model "maker/model-00" has no "batch_input" price', results, "--prices", prices, "--batch", out=f"{tmp}/free",
            status=3)
    run(results, "-o", f"{tmp}/free", "--prices", prices, "--bootstrap", 50)
    free = rows(f"{tmp}/free", "models")
    with open(prices, "w") as f:  # half the price in a batch
        json.dump([{"id": f"maker/model-{k:02d}", "input": 8, "output": 6, "batch_input": 4, "batch_output": 3} for k in range(4)], f)
    run(results, "-o", f"{tmp}/now", "--prices", prices, "--bootstrap", 0)
    run(results, "-o", f"{tmp}/batch", "--prices", prices, "--batch", "--bootstrap", 0)
    for now, batch in zip(rows(f"{tmp}/now", "models"), rows(f"{tmp}/batch", "models")):
        assert abs(float(now["cost_usd"]) / (2 * float(batch["cost_usd"])) - 1) < 1e-6
        assert now["model"] == "(random)" or (batch["price_input"], batch["price_output"]) == ("4", "3")
    with open(prices, "w") as f:  # nothing costs anything
        json.dump({f"maker/model-{k:02d}": {"input": 0, "output": 0} for k in range(4)}, f)
    r = run(results, "-o", f"{tmp}/gratis", "--prices", prices, "--bootstrap", 50)
    assert "inf" not in r.stdout and "nan" not in r.stdout
    assert all(c["cost_usd"] == "0" for c in rows(f"{tmp}/gratis", "frontier"))
    assert float(free[0]["cost_usd"]) == 0 and float(free[1]["cost_usd"]) > 0


def f_budgets(folder):
    """The budgets of the slider as frontier.h5 has them, to the last bit."""
    import h5py
    with h5py.File(f"{folder}/frontier.h5") as f:
        return [float(x) for x in f["decision_step"]]


def several_files(tmp):
    a, b = fake(f"{tmp}/a.h5", 150, 4, noise=0.2), fake(f"{tmp}/b.h5", 150, 5, noise=1.5)
    r = run(a, b, "-o", f"{tmp}/two", "--bootstrap", 200)
    assert "Compared on the 150 queries" in r.stdout
    c = rows(f"{tmp}/two", "compare")
    assert len(c) == 2 and float(c[1]["tokens_per_cell"]) > 0
    assert data_of(f"{tmp}/two/report.html")["compare"]["n"] == 150
    # the very same night: nothing moves, no difference anywhere
    r = run(a, a, "-o", f"{tmp}/same", "--bootstrap", 100)
    assert "no model's estimates moved beyond noise" in r.stdout and "same settings" in r.stdout
    assert all(float(x["difference"]) == 0 and x["moved"] == "0" for x in rows(f"{tmp}/same", "drift"))
    same = rows(f"{tmp}/same", "compare")[1]
    for name in ("brier_difference", "auc_difference", "p_change", "p_largest_change", "verdicts_changed", "length_change",
                 "new_queries", "gone_queries"):
        assert float(same[name]) == 0, name
    for night in rows(f"{tmp}/same", "nights"):
        assert night["advice_before"] == night["advice_after"] and night["bill_before"] == night["bill_after"]
        assert all(float(night[name]) == 0 for name in ("rerouted", "accuracy_difference", "accuracy_difference_low", "accuracy_difference_high",
                                                        "bill_prices", "bill_lengths", "bill_routing", "bill_queries"))
    assert not os.path.exists(f"{tmp}/same/rerouted.csv")
    assert same["settings"] == same["new_models"] == same["gone_models"] == ""
    # other prices: told by themselves, not among what moved beyond noise
    def dearer(f):
        for name in ("input_price", "output_price", "cost"):
            f[name][...] = f[name][()] * 1.2
    try:
        import h5py  # noqa: F401
        r = run(a, edited(shutil.copy(a, f"{tmp}/dear.h5"), dearer), "-o", f"{tmp}/dear", "--bootstrap", 20)
        page = data_of(f"{tmp}/dear/report.html")
        assert page["drift"] == [] and len(page["repriced"]) == 8 and "no model's estimates moved" in r.stdout
        moved = rows(f"{tmp}/dear", "rerouted")
        assert len(page["nights"]) == 5 and sum(x["rerouted"] for x in page["nights"]) == len(moved) > 0
        with h5py.File(f"{tmp}/dear/frontier.h5") as f:  # tables, file and page agree
            for i, (x, csv) in enumerate(zip(page["nights"], rows(f"{tmp}/dear", "nights"))):
                assert f["night_ask"][i].decode() == x["ask"] == csv["ask"] and f["night_rerouted"][0, i] == x["rerouted"]
                if x["bill_prices"] is None:
                    assert x["kind_after"] == "none" and csv["bill_after"] == "" and "No policy fits" in x["advice_after"]
                    continue
                assert abs(f["night_bill_prices"][0, i] - x["bill_prices"]) < 1e-9 and abs(float(csv["bill_prices"]) - x["bill_prices"]) < 1e-9
                assert abs(x["bill_prices"] - 0.2 * x["bill_before"]) < 1e-8 and x["bill_lengths"] == x["bill_queries"] == 0
                assert abs(x["bill_before"] + x["bill_prices"] + x["bill_routing"] - x["bill_after"]) < 1e-8
                of = [m for m in moved if m["ask"] == x["ask"]]
                assert len(of) == x["rerouted"] == sum(m["queries"] for m in page["moves"] if m["ask"] == x["ask"])
                assert all(m["model_before"] != m["model_after"] for m in of)
                # who answers is what each night's policies.csv says; a night's own budgets are others, so it is asked
        run(f"{tmp}/dear.h5", "-o", f"{tmp}/alone", "--bootstrap", 0, *(y for x in page["nights"] for y in ("--budget", repr(next(
            b for b in f_budgets(f"{tmp}/dear") if abs(b - float(x["ask"][7:])) <= 1e-8 * b)))))
        then, now = ({(p["ask"], p["query"]): p["model"] for p in rows(f"{tmp}/{d}", "policies")} for d in ("dear", "alone"))
        listed = {(m["ask"], m["query"]): (m["model_before"], m["model_after"]) for m in moved}
        both = {a for a, _ in then} & {a for a, _ in now}
        assert len(both) >= 4 and listed == {k: (then[k], now[k]) for k in then if k[0] in both and then[k] != now[k]}
    except ImportError:
        pass
    # one file again: the comparison of the run before is gone
    run(a, "-o", f"{tmp}/same", "--bootstrap", 0)
    assert not any(os.path.exists(f"{tmp}/same/{name}.csv") for name in ("drift", "compare", "nights", "rerouted"))
    # a night whose cells are worse: the Brier score says so beyond its interval
    worse = fake(f"{tmp}/w.h5", 150, 4, noise=1.5)
    run(a, worse, "-o", f"{tmp}/worse", "--bootstrap", 200)
    assert float(rows(f"{tmp}/worse", "compare")[1]["brier_low"]) > 0


def shares(folder, n):
    """{ask: {model: share}} of policies.csv."""
    out = {}
    for r in rows(folder, "policies"):
        of = out.setdefault(r["ask"], {})
        of[r["model"]] = of.get(r["model"], 0) + float(r["weight"]) / n
    return out


def at_most(tmp):
    """Caps hold for every advised policy, to the last query, with cells missing and with every model capped."""
    results = fake(f"{tmp}/r.h5", 150, 5, missing=0.05)
    best = "maker/model-04"
    free = f"{tmp}/free"
    run(results, "-o", free, "--bootstrap", 0)
    assert max(s.get(best, 0) for s in shares(free, 150).values()) > 0.8, "else nothing is limited"
    for name, caps, budgets in (("one", {best: "20%"}, []), ("two", {best: "0.2", "maker/model-02": "30%"}, []),
                                ("none", {best: "0"}, []), ("all", {f"maker/model-0{k}": "25%" for k in range(5)}, [0.004, 0.02])):
        out = f"{tmp}/{name}"
        args = [x for m, c in caps.items() for x in ("--at-most", f"{m}={c}")] + [x for b in budgets for x in ("--budget", b)]
        text = run(results, "-o", out, "--bootstrap", 0, *args).stdout
        most = {m: float(c.rstrip("%")) / (100 if "%" in c else 1) for m, c in caps.items()}
        found = shares(out, 150)
        assert len(found) >= 2, (name, text)
        used = 0
        for ask, share in found.items():
            assert abs(sum(share.values()) - 1) < 1e-9
            for m, cap in most.items():
                # a query whose only estimate is the limited model's stays with it: none of these is
                assert share.get(m, 0) <= cap + 1e-9, (name, ask, m, share)
                used = max(used, share.get(m, 0) - cap)
        assert used > -0.02, "some cap is used up"
        assert "Use " + best + " for everything" not in text
        try:
            import h5py
        except ImportError:
            continue
        with h5py.File(f"{out}/frontier.h5") as f:
            share = f["decision_share"][:]
            for m, cap in most.items():
                assert share[:, int(m[-1])].max() <= cap + 1e-9, (name, m)
    assert not re.search(r"Use \S+ for everything", text), "every model is limited: one alone is never advised"
    out = f"{tmp}/no"
    refused("expected MODEL=SHARE", results, "--at-most", best, out=out, status=2)
    refused("expected MODEL=SHARE", results, "--at-most", best + "=120%", out=out, status=2)
    refused("expected MODEL=SHARE", results, "--at-most", best + "=nan", out=out, status=2)
    refused('did you mean "maker/model-04"', results, "--at-most", "maker/modle-04=0.2", out=out, status=3)
    refused("has a limit already", results, "--at-most", best + "=0.2", "--at-most", best + "=0.3", out=out, status=2)
    refused("together may answer 50 %", results, "--pool", f"{best},maker/model-01", "--at-most", best + "=0.2",
            "--at-most", "maker/model-01=0.3", out=out, status=3)
    blind = fake(f"{tmp}/blind.h5", 40, 3, truth=0)
    refused("no policy is advised", blind, "--at-most", "maker/model-01=0.2", out=out, status=3)


def portfolio_size(tmp):
    """What is advised uses the K models that are named, at every budget, with truth and without."""
    budgets = [x for b in (0.0004, 0.002, 0.01) for x in ("--budget", b)]
    for name, extra in (("truth", {}), ("blind", {"truth": 0, "anchors": 150, "calibrated": 80})):
        results = fake(f"{tmp}/{name}.h5", 150, 6, missing=0.03, **extra)
        for size in (1, 2, 3):
            out = f"{tmp}/{name}{size}"
            text = run(results, "-o", out, "--bootstrap", 0, "--portfolio-size", size, *budgets).stdout
            table = rows(out, "portfolio")
            assert [(int(x["size"]), x["ask"]) for x in table] == [(n, f"budget={b}") for n in (6, *range(size, 0, -1)) for b in (0.0004, 0.002, 0.01)]
            assert all(int(x["size"]) == len(x["models"].split(", ")) for x in table[3:] if x["accuracy"]) and not any(x["models"] for x in table[:3])
            for x, all_models in zip(table, table[:3] * (size + 1)):  # as the terminal has it
                line = f"with {'all 6' if x['size'] == '6' else x['size']} model{'s' * (x['size'] != '1')}: {100 * float(x['accuracy']):.1f} ["
                assert line in text and abs(float(x["difference"]) - float(x["accuracy"]) + float(all_models["accuracy"])) < 1e-9, (line, text)
            named = [(x["size"], x["models"]) for x in table if int(x["size"]) == size]
            found = shares(out, 150)
            assert len(found) == 3
            for (_, models), share in zip(named, found.values()):
                outside = sum(s for m, s in share.items() if m not in models.split(", "))
                # a query without an estimate of any of them is answered by another one: at most 3 % of K = 1
                assert outside <= (0.06 if size == 1 else 0.01), (name, size, models, share)
            try:
                import h5py
            except ImportError:
                continue
            with h5py.File(f"{out}/frontier.h5") as f:
                kept, share = f["decision_portfolio"][:], f["decision_share"][:]
                assert set(kept.sum(axis=1)) <= {0, size} and (share[kept == 0].max() < 0.06)
                assert f["portfolio_accuracy"].shape == (size + 1, 3) and list(f["portfolio_size"]) == [6, *range(size, 0, -1)]
                of = {b: i for i, b in enumerate(f["decision_step"])}  # what is advised is the row of the portfolio asked for
                assert all(f["portfolio_accuracy"][1, j] == f["decision_accuracy"][of[b]] for j, b in enumerate((0.0004, 0.002, 0.01)))
    run(results, "-o", f"{tmp}/none", "--bootstrap", 0, *budgets)  # all models: as without a portfolio
    alone = [s["accuracy"][0] for s in data_of(f"{tmp}/none/report.html")["decision"]["steps"] if s["asked"]]
    assert all(abs(float(x["accuracy"]) - y) < 1e-6 for x, y in zip(rows(f"{tmp}/blind1", "portfolio")[:3], alone, strict=False)) and len(alone) == 3
    assert not os.path.exists(f"{tmp}/none/portfolio.csv")
    both = f"{tmp}/both"
    text = run(results, "-o", both, "--bootstrap", 0, "--portfolio-size", 2, "--at-most", "maker/model-05=40%", *budgets).stdout
    assert all(s.get("maker/model-05", 0) <= 0.4 + 1e-9 for s in shares(both, 150).values())
    for size in (6, 9):
        run(results, "-o", f"{tmp}/s{size}", "--bootstrap", 0, "--portfolio-size", size, *budgets)
    run(results, "-o", f"{tmp}/plain", "--bootstrap", 0, *budgets)
    assert len({open(f"{tmp}/{d}/policies.csv").read() for d in ("s6", "s9", "plain")}) == 1, "all models are no limit"
    refused("--portfolio-size", results, "--portfolio-size", 0, out=f"{tmp}/no", status=2)


def reference(tmp):
    d = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "routing")
    files = ["--selection", f"{d}/selection.json", "--similarity", f"{d}/similarity.json", "--anchors",
             f"{d}/anchor-performance.json", "--portfolio", f"{d}/portfolio.json"]
    run("route-reference", *files, "-o", f"{tmp}/curve.json")
    ours, want = json.load(open(f"{tmp}/curve.json")), json.load(open(f"{d}/curve.json"))
    assert len(ours) == len(want) == 101
    for x, y in zip(ours, want):
        assert abs(x["accuracy"] - y["accuracy"]) < 1e-9 and abs(x["total_cost"] - y["total_cost"]) < 1e-9
        assert x["selected"] == y.get("selected", x["selected"])
    refused("--portfolio FILE is missing", "route-reference", *files[:-2], out=f"{tmp}/no.json")
    refused("nowhere.json: cannot open", "route-reference", "--portfolio", "nowhere.json", *files[:-2], out=f"{tmp}/no.json")


each_in_a_folder(writes_everything, same_numbers_everywhere, same_for_any_threads, default_directory, without_plots,
                 partial_and_truthless, blind, foreign_categories, choosing, several_files, at_most, portfolio_size, reference)
help_ = run("--help").stdout
for option in ("--budget", "--target-accuracy", "--pool", "--queries", "--prices", "--alphas", "--bootstrap", "--seed"):
    assert option in help_, option
