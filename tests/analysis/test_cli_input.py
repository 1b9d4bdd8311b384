#!/usr/bin/env python3
"""What a user gives scope-frontier: a policy in use, lists and prices of any form, ids of any kind, results of one kind
alone; and what it says to bad input (one line, the right place, nonzero status, nothing written).

usage: test_cli_input.py SCOPE_FRONTIER MAKE_FAKE_RESULTS
"""
import json
import os
import re
import shutil

from program import data_of, each_in_a_folder, edited, fake, refused, rows, run


def incumbent_policy(tmp):
    """A policy in use: what policies.csv says, or any file of query, model, weight."""
    results, out = fake(f"{tmp}/r.h5", 200, 4, missing=0.05), f"{tmp}/out"
    run(results, "-o", out, "--bootstrap", 0, "--budget", 0.004)
    written = rows(out, "policies")
    run(results, "-o", f"{tmp}/same", "--bootstrap", 0, "--budget", 0.004, "--incumbent", f"{out}/policies.csv")
    d = data_of(f"{tmp}/same/report.html")["decision"]
    given, own = d["incumbent"], [s for s in d["steps"] if s["asked"] == "budget=0.004"][0]
    assert d["steps"][d["default"]]["asked"] == "budget=0.004"  # the answer in short is about what the user asked for
    assert not given["predicted"] and given["accuracy"][1] < given["accuracy"][0] < given["accuracy"][2], given
    asked = {s["asked"] for s in d["steps"]}
    assert {"incumbent's bill", "half the incumbent's bill"} <= asked, asked
    # out of fold the advice is not the policy to the last query, but near it
    assert abs(own["vs_incumbent"][0]) < 0.03 and abs(own["saved_of_incumbent"][0]) < 0.1, own
    # any file: columns in any order, two models for a query, quotes, a mark, other line ends
    models = [f"maker/model-0{k}" for k in range(4)]
    queries = [r["query"] for r in written]
    odd = f"{tmp}/odd.csv"
    with open(odd, "w", newline="") as f:
        f.write("\ufeffnote,model,weight,query\r\n")
        for i, q in enumerate(queries):
            f.write(f'"a ""b"", c\nd",{models[i % 2]},{0.25 if i % 2 else 1},"{q}"\r\n')
            if i % 2:
                f.write(f"x,{models[3]},0.75,{q}\r\n")
    text = run(results, "-o", f"{tmp}/odd", "--bootstrap", 0, "--incumbent", odd).stdout
    assert "answered by maker/model-00 50.0 %, maker/model-01 12.5 %, maker/model-03 37.5 %" in text, text
    given = data_of(f"{tmp}/odd/report.html")["decision"]["incumbent"]
    try:
        import h5py
        with h5py.File(results) as f:
            right, cost = f["true_correct"][:], f["true_cost"][:]
        share = [[(1 if i % 2 == 0 else 0), 0.25 * (i % 2), 0, 0.75 * (i % 2)] for i in range(200)]
        want = [sum(s * x for row, xs in zip(share, of) for s, x in zip(row, xs)) / 200 for of in (right, cost)]
        # every outcome is known, so the post-stratified mean is the mean
        assert abs(given["accuracy"][0] - want[0]) < 1e-9 and abs(given["cost"] / want[1] - 1) < 1e-6, (given, want)
    except ImportError:
        pass
    # without truth: the estimates' mean, said to be that; no interval, and nothing is shown against it
    blind = fake(f"{tmp}/blind.h5", 200, 4, truth=0, anchors=120, calibrated=64)
    text = run(blind, "-o", f"{tmp}/blind", "--bootstrap", 0, "--incumbent", odd).stdout
    assert "without a correction" in text and "nothing is shown to be at most 1.0 points below" in text, text
    d = data_of(f"{tmp}/blind/report.html")["decision"]
    assert d["incumbent"]["predicted"] and d["incumbent"]["accuracy"][1:] == [None, None]
    assert all(s["vs_incumbent"][1:] == [None, None] for s in d["steps"])
    assert any(s["vs_incumbent"][0] is not None for s in d["steps"])
    # queries that are filtered out need no row and may have one
    run(results, "-o", f"{tmp}/part", "--bootstrap", 0, "--queries", "category=category-1", "--incumbent", odd)

    def bad(name, text, says):
        path = f"{tmp}/{name}.csv"
        with open(path, "w") as f:
            f.write(text)
        refused(says, results, "--incumbent", path, out=f"{tmp}/no", status=3)

    good = "".join(f"{q},{models[0]}\n" for q in queries)
    bad("empty", "", "is empty")
    bad("heading", "id,model\n" + good, 'no column "query"')
    bad("query", "query,model\n" + good.replace("query-000007", "query-00000x7"), ':9: no query "query-00000x7" in the results; did you mean "query-0000')
    bad("model", "query,model\n" + good + "query-000001,maker/modle-01\n", ':202: no model "maker/modle-01" in the results; did you mean "maker/model-01"?')
    bad("twice", "query,model\n" + good + f"query-000001,{models[1]}\n", 'the weights of query "query-000001" sum to 2; expected 1')
    bad("none", "query,model\n" + good[good.index("\n") + 1:], 'no row for query "query-000000"')
    bad("weight", f"query,model,weight\nquery-000001,{models[0]},much\n", ':2: weight "much"; expected a number from 0 to 1')
    bad("short", f"query,model,weight\nquery-000001,{models[0]}\n", ":2: 2 columns; the heading has more")
    bad("quote", f'query,model\n"query-000001,{models[0]}\n', ":2: a quote is not closed")
    bad("after a quote", f'query,model\n"query-000001"x,{models[0]}\n', ":2: text after a closing quote; expected a comma")
    bad("asks", "ask,query,model\n" + "".join(f"{a},{r}\n" for a in ("budget=1", "target=0.7") for r in good.split()),
        "holds the policies of several asks (budget=1, target=0.7)")
    refused("in use but not in the pool", results, "--incumbent", odd, "--pool", ",".join(models[:3]), out=f"{tmp}/no", status=3)
    refused("cannot open", results, "--incumbent", f"{tmp}/nowhere.csv", out=f"{tmp}/no", status=3)
    plain = fake(f"{tmp}/plain.h5", 200, 4, truth=0)
    refused("no policy is advised", plain, "--incumbent", odd, out=f"{tmp}/no", status=3)


def whole_texts(out, program_text):
    """Everything written is valid UTF-8 and holds no number that is none."""
    for name in os.listdir(out):
        if name.endswith((".csv", ".html")):
            with open(f"{out}/{name}", encoding="utf-8", errors="strict") as f:
                text = f.read()
            if name.endswith(".csv"):
                assert not re.search(r",-?(nan|inf)", text), name
    assert not re.search(r"(?<![a-z])-?(nan|inf)(?![a-z])", program_text), re.findall(".*nan.*", program_text)


def strange_names(tmp):
    """Ids that look like numbers or mark-up, with quotes, line ends, mathematics, in any script, of any length: whole in
    the files, cut and without control characters on the terminal, and the plots are drawn."""
    try:
        import h5py  # noqa: F401
        import numpy as np
    except ImportError:
        return
    models = ["12345", "a$\\frac{x$", 'comma, "quote"\nline \x1b[31m', "</script><b>&amp;", "x" + "\u00fc" * 120,
              "maker/" + "\u6a21" * 80, "=HYPERLINK(\"x\")", "@SUM(1)", "'quoted", "\u202etxt.\u009b31m"]
    formulas = ("=", "+", "-", "@", "\t", "\r")
    restored = lambda text: text[1:] if text.startswith("'") else text
    queries = ["+1", "-2", "\tx", "\ry"] + [f"\U0001f642 {i}\u2028\"," + "y" * (i * 40) for i in range(26)]

    def rename(f):
        f["model"][...] = np.array(models, dtype=object)
        f["query"][...] = np.array(queries, dtype=object)
        f["category"][...] = np.array(["", "</script>", 'a,"b"'] * 10, dtype=object)
        f["true_correct"][...] = [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]  # so that the metrics name the long one

    results = edited(fake(f"{tmp}/names.h5", 30, len(models)), rename)
    r = run(results, "-o", f"{tmp}/names", "--bootstrap", 20, plots=True)
    whole_texts(f"{tmp}/names", r.stdout)
    assert not re.search("[\x1b\u009b\u202e\u2028]", r.stdout) and max(map(len, r.stdout.split("\n"))) < 220
    # in the tables no text begins as a formula; one apostrophe less gives each id again, and --csv-raw leaves them alone
    told = [[x["model"] for x in rows(f"{tmp}/names", "models")], [x["query"] for x in rows(f"{tmp}/names", "policies")]]
    assert not any(text.startswith(formulas) for texts in told for text in texts), told
    assert list(map(restored, told[0])) == models + ["(random)"] and set(map(restored, told[1])) == set(queries)
    run(results, "-o", f"{tmp}/raw", "--bootstrap", 0, "--csv-raw")
    for raw in ([], ["--csv-raw"]):  # either file is read again as a policy in use
        run(results, "-o", f"{tmp}/one", "--bootstrap", 0, "--budget", 1, *raw)
        assert len(rows(f"{tmp}/one", "policies")) == len(queries)
        run(results, "-o", f"{tmp}/two", "--bootstrap", 0, "--incumbent", f"{tmp}/one/policies.csv")
    assert [x["model"] for x in rows(f"{tmp}/raw", "models")] == models + ["(random)"]
    assert [m["id"] for m in data_of(f"{tmp}/names/report.html")["models"]] == models
    assert "plot.py failed" not in r.stdout and ("No plots" in r.stdout or os.path.exists(f"{tmp}/names/frontier.png"))


def one_of_a_kind(tmp):
    """Where a score does not exist (one class, one price, one query) none is shown; the same budget is told once; shares
    of everything right or wrong are no certainty, and no interval leaves [0, 1]."""
    try:
        import h5py  # noqa: F401
    except ImportError:
        return

    def set_all(**values):
        return lambda f: [f[k].__setitem__(Ellipsis, v) for k, v in values.items()]

    free = dict(input_price=0, output_price=0, cost=0, true_cost=0)
    for name, n, m, values in (("right", 40, 5, dict(true_correct=1)), ("wrong", 40, 5, dict(true_correct=0)),
                               ("free", 40, 5, free), ("unknown", 30, 4, dict(true_correct=-1)),
                               ("same", 30, 4, dict(p_correct=0.5, cost=0.001, true_cost=0.001)), ("two", 2, 2, {}), ("one", 1, 1, {})):
        results = edited(fake(f"{tmp}/{name}.h5", n, m), set_all(**values))
        r = run(results, "-o", f"{tmp}/{name}", "--bootstrap", 40, plots=name in ("free", "unknown", "one"))
        assert "plot.py failed" not in r.stdout
        whole_texts(f"{tmp}/{name}", r.stdout)
        asked = [(a["is_target"], a["asked"]) for a in data_of(f"{tmp}/{name}/report.html")["policies"]]
        assert len(asked) == len(set(asked)), (name, asked)
        for x in rows(f"{tmp}/{name}", "models"):
            for key in ("predicted_accuracy", "accuracy"):
                if x[key + "_low"]:
                    assert 0 <= float(x[key + "_low"]) <= float(x[key]) <= float(x[key + "_high"]) <= 1, (name, x)
            if name == "right" and x["model"] != "(random)":  # Wilson: 40 of 40 are at least 91.2 % of what they stand for
                assert abs(float(x["accuracy_low"]) - 40 / (40 + 1.959963984540054 ** 2)) < 1e-9 and x["accuracy_high"] == "1"
    r = run(f"{tmp}/two.h5", "-o", f"{tmp}/twice", "--budget", 0.1, "--budget", 0.1, "--bootstrap", 0)
    assert len(data_of(f"{tmp}/twice/report.html")["policies"]) == 1


def lists_of_all_forms(tmp):
    """Pools, prices and queries in every form that the grid's own inputs may have."""
    results = fake(f"{tmp}/l.h5", 30, 3)
    records = [{"id": f"maker/model-{k:02d}", "input": 1, "output": 2 + k, "name": "x"} for k in (0, 2)]
    forms = {"array": json.dumps(records), "lines": "\r\n".join(map(json.dumps, records)) + "\r\n",
             "object": json.dumps({r["id"]: {"input": 1, "output": r["output"]} for r in records}, indent=1)}
    forms.update({f"bom {k}": "\ufeff" + v for k, v in forms.items()})
    told = set()
    for name, text in forms.items():
        with open(f"{tmp}/list", "w", encoding="utf-8", newline="") as f:
            f.write(text)
        run(results, "-o", f"{tmp}/l", "--pool", f"{tmp}/list", "--prices", f"{tmp}/list", "--bootstrap", 0)
        told.add(json.dumps(rows(f"{tmp}/l", "models")))
    assert len(told) == 1 and len(rows(f"{tmp}/l", "models")) == 3 and rows(f"{tmp}/l", "models")[1]["price_output"] == "4"
    with open(f"{tmp}/list", "w", encoding="utf-8", newline="") as f:
        f.write("\ufeffquery-000001\r\n\r\nquery-000003\r\n")
    run(results, "-o", f"{tmp}/l", "--queries", f"@{tmp}/list", "--bootstrap", 0)
    assert {r["query"] for r in rows(f"{tmp}/l", "policies")} == {"query-000001", "query-000003"}
    out = f"{tmp}/never"
    for text, says in (('{"id": "maker/model-00"}\n{"id": "maker/model-01"', "list:2:"), ('[{"name": "x"}]', "[0] is neither"),
                       ('{"id": "maker/model-00"}\n\n5\n', "[1] is neither"), ("", "names nothing")):
        with open(f"{tmp}/list", "w") as f:
            f.write(text)
        refused(says, results, "--pool", f"{tmp}/list", out=out, status=3)


def bad_input(tmp):
    results = fake(f"{tmp}/bad.h5", 30, 4)
    out = f"{tmp}/never"
    refused("scope-frontier: an argument is missing; see --help", out=out, status=2)
    refused("did you mean --budget", results, "--buget", "1", out=out, status=2)
    refused("nowhere.h5", f"{tmp}/nowhere.h5", out=out, status=3)
    with open(f"{tmp}/text.h5", "w") as f:
        f.write("no HDF5 here\n")
    refused("text.h5", f"{tmp}/text.h5", out=out, status=3)
    whole = open(results, "rb").read()
    with open(f"{tmp}/short.h5", "wb") as f:
        f.write(whole[: len(whole) // 2])
    refused("short.h5", f"{tmp}/short.h5", out=out)
    assert "  At $0.00000000100 a query: No model fits this budget: the cheapest, maker/model-0" in run(results, "--budget", "1e-9", "-o", f"{tmp}/least").stdout
    refused("expected scope, anchored or combined", results, "--estimate", "best", out=out, status=2)
    refused("no outcomes of anchors", results, "--estimate", "anchored", out=out, status=2)
    refused('did you mean "maker/model-0', results, "--incumbent", "maker/modle-01", out=out, status=3)
    refused("--margin x: expected a number", results, "--margin", "x", "--incumbent", "maker/model-00", out=out, status=2)
    refused("--volume -1: expected a number", results, "--volume=-1", out=out, status=2)
    least = next(x["budget"] for x in data_of(f"{tmp}/least/report.html")["decision"]["steps"] if x["kind"] != "none") * 1.000001
    said = run(results, "--budget", least, "-o", f"{tmp}/least", "--bootstrap", 0).stdout
    short = re.search(r"What to do\n  At \$([\d.]+) a query: ", said)  # about the one budget that was asked for
    assert data_of(f"{tmp}/least/report.html")["decision"]["target"] is None
    assert short and abs(float(short[1]) - least) < 0.01 * least, (least, said[:600])
    r = run(results, "--target-accuracy", "0.9999", "--target-accuracy", 0.5, "-o", f"{tmp}/far", "--bootstrap", 20)
    assert re.search(r"accuracy 100\.0 +out of reach: what is advised ends at [0-9.]+ %; by the truth .* alone is right on", r.stdout), r.stdout
    page = data_of(f"{tmp}/far/report.html")
    assert [a["asked"] for a in page["policies"]] == [0.5] and page["unmet"][0]["asked"] == 0.9999
    assert 0.5 < page["unmet"][0]["best"] < 0.9999
    decision = page["decision"]
    said = re.search(r"What to do\n  For an accuracy of 99.99 %: nothing that is advised is told to give so much; (\S+) % is the most, at", r.stdout)
    assert said and abs(float(said[1]) / 100 - max(s["accuracy"][0] or 0 for s in decision["steps"])) < 0.0006, r.stdout
    said = run(results, "--target-accuracy", 0.5, "-o", f"{tmp}/far", "--bootstrap", 0).stdout
    decision = data_of(f"{tmp}/far/report.html")["decision"]
    least = next(i for i, s in enumerate(decision["steps"]) if (s["accuracy"][0] or 0) >= 0.5)  # what reaches it for the least
    assert decision["default"] == least and decision["target"] == 0.5, (decision["default"], least)
    assert re.search(r"What to do\n  For an accuracy of 50 %: \$\S+ a query, which is told to give \S+ %: ", said), said
    run(results, "--target-accuracy", "0.9999", "-o", f"{tmp}/far", "--bootstrap", 20)
    assert data_of(f"{tmp}/far/report.html")["policies"] == [] and not os.path.exists(f"{tmp}/far/policies.csv")
    refused("expected a number", results, "--budget", "cheap", out=out, status=2)
    refused("expected a number", results, "--budget", "nan", out=out, status=2)
    refused("expected a number", results, "--target-accuracy", "70", out=out, status=2)
    refused('did you mean "maker/model-0', results, "--pool", "maker/modle-01", out=out, status=3)
    refused("expected category=", results, "--queries", "kind=3", out=out, status=2)
    refused("cannot open", results, "--prices", f"{tmp}/none.json", out=out, status=3)
    with open(f"{tmp}/p.json", "w") as f:
        f.write('[{"id": "maker/model-00", "input": 1, "output": 1}]')
    refused('no price for model "maker/model-01"', results, "--prices", f"{tmp}/p.json", out=out, status=3)
    with open(f"{tmp}/p.json", "w") as f:
        f.write('[{"id": "maker/model-00", "input": 1,, "output": 1}]')
    refused("p.json:1:", results, "--prices", f"{tmp}/p.json", out=out, status=3)
    with open(f"{tmp}/file", "w") as f:
        f.write("x")
    r = run(results, "-o", f"{tmp}/file", "--bootstrap", 0, ok=False)
    assert r.returncode == 7 and "file" in r.stderr, r.stderr
    try:
        import h5py
    except ImportError:
        return
    for name, change, says in (
            ("nan", lambda f: f["p_correct"].__setitem__((2, 1), float("nan")), 'query "query-000002", model "maker/model-01"'),
            ("range", lambda f: f["p_correct"].__setitem__((2, 1), 1.25), "expected a number from 0 to 1"),
            ("truth", lambda f: f["true_correct"].__setitem__((2, 1), 5), "true_correct is 5; expected 1, 0 or -1"),
            ("length", lambda f: f["true_length"].__setitem__((2, 1), -5), "true_length is -5; expected a number of tokens"),
            ("long", lambda f: f["length_mean"].__setitem__((2, 1), float("inf")), "length_mean is inf; expected a number of tokens"),
            ("votes", lambda f: f["votes_no"].__setitem__((2, 1), -1), "votes_no is -1; expected a number of samples"),
            ("crowd", lambda f: f["votes_yes"].__setitem__((2, 1), 2**31 - 1), "expected a number of samples"),
            ("query", lambda f: f["query"].__setitem__(2, f["query"][1]), 'query "query-000001" stands twice'),
            ("model", lambda f: f["model"].__setitem__(2, f["model"][1]), 'model "maker/model-01" stands twice'),
            ("price", lambda f: f["input_price"].__setitem__(3, float("nan")), 'no price for model "maker/model-03"'),
            ("missing", lambda f: f.__delitem__("p_correct"), "p_correct")):
        path = shutil.copy(results, f"{tmp}/{name}.h5")
        with h5py.File(path, "r+") as f:
            change(f)
        refused(says, path, out=out)
    anchored = fake(f"{tmp}/anchored.h5", 30, 4, anchors=30, calibrated=10)
    for name, change, says in (
            ("anchor", lambda f: f["anchors/correct"].__setitem__((2, 1), 5), "anchors/correct is 5; expected 1, 0 or -1"),
            ("tokens", lambda f: f["anchors/completion_tokens"].__setitem__((2, 1), -7), "completion_tokens is -7"),
            ("calibrated", lambda f: f["calibration/p_correct"].__setitem__((2, 1), 2), 'calibration anchor "'),
            ("baseline", lambda f: f["knn_correct"].__setitem__((2, 1), 9), "knn_correct is 9; expected a number from 0")):
        path = shutil.copy(anchored, f"{tmp}/{name}.h5")
        with h5py.File(path, "r+") as f:
            change(f)
        refused(says, path, out=out, status=3)
    path = shutil.copy(results, f"{tmp}/newer.h5")
    with h5py.File(path, "r+") as f:
        version = [k for k in f.attrs if "version" in k.lower() and "format" in k.lower()]
        assert version, list(f.attrs)
        f.attrs[version[0]] = f.attrs[version[0]] + 2  # 3 is that of graded outcomes
    refused("version", path, out=out, status=4)


each_in_a_folder(incumbent_policy, strange_names, one_of_a_kind, lists_of_all_forms, bad_input)
