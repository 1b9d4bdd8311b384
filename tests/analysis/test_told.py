#!/usr/bin/env python3
"""What scope-frontier tells is told once: advice, sentence and interval agree, and so do the bills, in every output.

usage: test_told.py SCOPE_FRONTIER MAKE_FAKE_RESULTS      (exit 77: no h5py)
"""
import json
import re
import sys
import tempfile

from program import data_of, fake, refused, rows, run

try:
    import h5py
except ImportError:
    print("SKIP: no h5py")
    sys.exit(77)


def main(tmp):
    """Without truth, whichever estimate decides: the bill of policies.csv is the one that is told, on the terminal, the page
    and in the requests; and advice, sentence and interval of the gain say the same."""
    results = fake(f"{tmp}/t.h5", 150, 5, noise=0.2, anchors=200, calibrated=100)
    with h5py.File(results, "r+") as f:  # lengths that are far off: only the anchors mend the bill
        for name in ("length_mean", "calibration/length_mean"):
            f[name][...] = f[name][:] / 3
        ids = [q.decode() for q in f["query"][()]]
    with open(f"{tmp}/q.jsonl", "w") as f:
        f.writelines(json.dumps({"id": q, "prompt": "a question"}) + "\n" for q in ids)
    advised = set()
    for kind in ("scope", "anchored", "combined"):
        out = f"{tmp}/{kind}"
        ask = (results, "--blind", "--estimate", kind, "--bootstrap", 0, "-o", out)
        text = " ".join(run(*ask, "--cells-csv").stdout.split())
        page = data_of(f"{out}/report.html")
        cost = {(c["query"], c["model"]): float(c["cost"]) for c in rows(out, "cells") if c["cost"]}
        bill = {}
        for r in rows(out, "policies"):
            bill[r["ask"]] = bill.get(r["ask"], 0) + cost[r["query"], r["model"]] / len(ids)
        with h5py.File(f"{out}/frontier.h5") as f:
            names = [a.decode() for a in f["ask"][()]]
            kinds = [k.decode() for k in f["candidate"][()]]
            asked = [i for i, a in enumerate(f["decision_asked"][()]) if a]
            assert names == [f["decision_asked"][i].decode() for i in asked] and set(bill) == set(names)
            for a, i in enumerate(asked):
                at = int(f["candidate_advised"][i].argmax())
                one = max(c for (q, m), c in cost.items()) / len(ids)  # a query more or less
                assert abs(bill[names[a]] - f["candidate_planned_cost"][i, at]) <= one, (kind, names[a], bill[names[a]], f["candidate_planned_cost"][i, at], one)
                assert abs(bill[names[a]] / f["ask_predicted_cost"][a] - 1) < 1e-8
                assert abs(bill[names[a]] / page["policies"][a]["predicted_cost"][0] - 1) < 1e-5
                low, high = f["decision_cost_low"][i], f["decision_cost_high"][i]
                assert low - one <= bill[names[a]] <= high + one, (kind, names[a], bill[names[a]], low, high)
            budget = float(f["decision_step"][20])
            # what is advised, said and told agree at all 41 budgets
            for i, sentence in enumerate(f["decision_sentence"][()]):
                sentence, at = sentence.decode(), int(f["candidate_advised"][i].argmax())
                told = [f["decision_gain" + end][i] for end in ("", "_low", "_high")]
                assert page["decision"]["steps"][i]["sentence"] == sentence
                for x, y in zip(told, page["decision"]["steps"][i]["gain"]):
                    assert abs(x - y) < 1e-6
                advised.add(kinds[at])
                if at < 2:  # what is told to beat one model and the mix within the budget is not left for one of these
                    for k in (2, 3):
                        beats = all(f["candidate_" + x + "_low"][i, k] > 0 for x in ("gain", "over_mix"))
                        assert not beats or f["candidate_cost"][i, k] > f["decision_step"][i], (kind, i, kinds[at], kinds[k])
                if f["decision_spends"][i] < f["decision_step"][i]:
                    continue  # a smaller budget's advice: its gain here is told, not decided by
                if at == 0:
                    gains = [k for k in range(1, 4) if f["candidate_gain_low"][i, k] > 0]
                    assert "better beyond noise" in sentence and told == [0, 0, 0] and 1 not in gains, sentence
                    assert ("better than the mix" in sentence) == bool(gains), (sentence, gains)
                    assert f["decision_over_mix_high"][i] >= 0, sentence
                    continue
                assert told[1] > 0 and told[1] <= told[0] <= told[2], (sentence, told)
                assert told[1:] == [f["candidate_gain" + end][i, at] for end in ("_low", "_high")]
                assert f["decision_gain_luck"][i] > 0
                printed = re.search(r": (\S+) points \[(\S+), (\S+)\] against", sentence).groups()
                assert all(float(x) > 0 for x in printed), sentence
                for x, y in zip(printed, told):
                    assert abs(float(x) - 100 * y) <= 0.0501, (sentence, told)
                if i in asked:
                    assert f"{printed[0]} [{printed[1]}, {printed[2]}]" in text, (sentence, text)
        run(*ask[:-1], f"{tmp}/{kind}-one", "--budget", repr(budget), "--requests", f"{tmp}/{kind}-requests",
            "--queries-file", f"{tmp}/q.jsonl", "--cells-csv")
        with open(f"{tmp}/{kind}-requests/manifest.json") as f:
            manifest = json.load(f)
        bill = sum(cost[r["query"], r["model"]] for r in rows(f"{tmp}/{kind}-one", "policies"))
        assert abs(manifest["expected_bill_usd"] / bill - 1) < 1e-8, (manifest["expected_bill_usd"], bill)
    assert {"one model", "routing"} <= advised, advised


def one_accuracy(tmp):
    """With the truth and without: a model that is advised has one accuracy and one bill at every budget, and the advised line
    never falls."""
    results, models, again = f"{tmp}/one.h5", 0, 0
    for signal in (0.2, 0.6):
        fake(results, 150, 5, noise=signal, anchors=200, calibrated=100)
        for blind in ([], ["--blind"]):
            run(results, *blind, "--bootstrap", 0, "-o", f"{tmp}/one")
            page = data_of(f"{tmp}/one/report.html")["decision"]["steps"]
            with h5py.File(f"{tmp}/one/frontier.h5") as f:
                accuracy, cost = ([f[f"decision_{of}{end}"][()] for end in ("", "_low", "_high")] for of in ("accuracy", "cost"))
                told, last = {}, 0
                for i, spends in enumerate(f["decision_spends"][()]):
                    values = tuple(x[i] for x in accuracy + cost)
                    assert values[0] >= last, (blind, i, values[0], last)
                    last = values[0]
                    if spends < f["decision_step"][i]:  # a smaller budget's advice, said to be one
                        of = int((f["decision_step"][()] == spends).argmax())
                        assert values == tuple(x[of] for x in accuracy + cost), (i, of)
                        assert (f["decision_share"][i] == f["decision_share"][of]).all(), (i, of)
                        assert "This is the advice for $" in page[i]["sentence"], page[i]["sentence"]
                        again += 1
                    if f["candidate_advised"][i, 0]:
                        model = int(f["decision_share"][i].argmax())
                        assert told.setdefault(model, values) == values, (blind, model, told[model], values)
                        models += 1
    assert models > 10 and again > 10, (models, again)


def without_interval(tmp):
    """Limits that leave routing alone, which six calibration anchors hardly value: a gain without an interval is said to be one."""
    results = fake(f"{tmp}/few.h5", 150, 5, noise=0.2, anchors=200, calibrated=6)
    caps = [x for k in range(5) for x in ("--at-most", f"maker/model-0{k}=0.3")]
    said = run(results, "--blind", "--bootstrap", 0, "-o", f"{tmp}/few", *caps).stdout
    assert "by too few outcomes to say how far that errs" in said and "nan" not in said, said
    fake(results, 3, 1, 1, truth=0, noise=0.2, categories=1, anchors=3, calibrated=2)
    said = run(results, "--bootstrap", 0, "-o", f"{tmp}/few").stdout  # all calibration cells are of one kind: no AUC
    assert "  anchored " in said and "nan" not in said, said


def untried(tmp):
    """A model of which a category has no outcomes is named as a doubt: its interval there is that of a guess."""
    results = fake(f"{tmp}/u.h5", 60, 4, 2, 3, noise=0.2, anchors=90, calibrated=30)
    ask = (results, "--blind", "--bootstrap", 0, "-o", f"{tmp}/untried")
    assert ": no anchor in the categories" not in run(*ask).stdout
    with h5py.File(results, "r+") as f:
        off = f["anchors/category"][()] == f["category"][0]
        share = 100 * (f["category"][()] == f["category"][0]).mean()
        assert 0 < off.sum() < len(off)
        for column in ("correct", "completion_tokens"):
            values = f[f"anchors/{column}"][()]
            values[off, 1] = -1
            f[f"anchors/{column}"][...] = values
    said = run(*ask).stdout
    assert f"model-01: no anchor in the categories of {share:.0f} % of the queries" in said, said
    assert said.count(": no anchor in the categories") == 1, said


def in_use(tmp):
    """Few queries, where folds choose other models than all queries do: advice that is the model in use is told as itself,
    on the terminal as on the page, and no end of a difference lies beyond 100 points."""
    results, seen = f"{tmp}/i.h5", set()
    for seed in (2, 4):
        fake(results, 6, 3, samples=2, seed=seed, categories=2)
        for k in range(3):
            said = run(results, "-o", f"{tmp}/in_use", "--incumbent", f"maker/model-0{k}", "--bootstrap", 0).stdout
            page = data_of(f"{tmp}/in_use/report.html")
            steps = [s for s in page["decision"]["steps"] if s["accuracy"][0] is not None]
            told = [s for i, s in enumerate(page["decision"]["steps"]) if s["accuracy"][0] is not None and (s["asked"] or i == page["decision"]["default"])]
            for s in steps:
                itself = s["shares"] == [[k, 1]]
                assert not itself or s["vs_incumbent"] == [0, 0, 0] == s["saved_of_incumbent"], s
                assert all(abs(x) <= 1 for v in ("gain", "over_mix", "vs_incumbent") for x in s[v] if x is not None), s
                seen.add(itself and s["asked"] != "")
            assert said.count("is the incumbent\n") == sum(s["shares"] == [[k, 1]] for s in told), said
            lines = re.findall(r"against the incumbent: .* (\S+) \[.*%(.*)", said)
            assert lines and all(not x.startswith("-") for x, _ in lines), said
    assert seen == {False, True}


def nearly_all_saved(tmp):
    """A model that costs a hundred thousand times as much: what is left of its bill is not told as nothing."""
    results = fake(f"{tmp}/s.h5", 60, 3, anchors=100, calibrated=40)
    with open(f"{tmp}/prices.jsonl", "w") as f:
        for k, price in enumerate((0.1, 0.2, 10000)):
            f.write(json.dumps({"id": f"maker/model-0{k}", "input": price, "output": price}) + "\n")
    said = run(results, "--prices", f"{tmp}/prices.jsonl", "--incumbent", "maker/model-02", "--bootstrap", 0, "-o", f"{tmp}/saved").stdout
    saved = re.findall(r"points, (\S+) \[(\S+), (\S+)\] % of its bill saved", said)
    each = [float(x) for line in saved for x in line]
    assert each and all(0 < x < 100 for x in each) and max(each) > 99.9, saved
    with open(f"{tmp}/prices.jsonl", "w") as f:
        for k, price in enumerate((0, 0.2, 1)):
            f.write(json.dumps({"id": f"maker/model-0{k}", "input": price, "output": price}) + "\n")
    said = run(results, "--prices", f"{tmp}/prices.jsonl", "--incumbent", "maker/model-00", "--bootstrap", 0, "-o", f"{tmp}/saved").stdout
    assert "points, whose bill is 0\n" in said and "points, -" not in said, said


def prompts_counted(tmp):
    """Prompts that the estimator counted are billed as those of the anchors were: bills rise by that, and it is said."""
    results = fake(f"{tmp}/c.h5", 80, 3, truth=0, anchors=90, calibrated=40)
    seen = []
    for billed in (408, 2800, 40):
        with h5py.File(results, "r+") as f:
            f["prompt_source"][:] = 1
            f["prompt_tokens"][:] = 400
            f["anchors/prompt_tokens"][:] = billed
            price = dict(zip((x.decode() for x in f["model"][:]), f["input_price"][:]))
        said = run(results, "--bootstrap", 0, "-o", f"{tmp}/counted").stdout
        seen.append([x["cost"] for x in data_of(f"{tmp}/counted/report.html")["decision"]["singles"]])
        doubt = re.search(r"as (\d+) tokens on average, as anchors of their categories were billed by (\S+), not as the 400 .* bill (\d+) % (\w+)", said)
        assert bool(doubt) == (billed != 408), said
        taken = max(billed, 200)  # never less than half of the count
        for before, bill, name in zip(seen[0], seen[-1], price):
            assert abs(bill - before - (taken - 408) / 1e6 * price[name]) <= 1e-6 * bill, (name, before, bill)
        if doubt:
            part = {n: (taken - 400) / 1e6 * price[n] / (b - (taken - 400) / 1e6 * price[n]) for n, b in zip(price, seen[-1])}
            worst = max(part, key=lambda n: abs(part[n]))
            assert int(doubt[1]) == taken and worst.endswith(doubt[2]), (doubt[0], part)
            assert abs(abs(100 * part[worst]) - int(doubt[3])) <= 0.5 and (doubt[4] == "higher") == (taken > 400), (doubt[0], part)


def prompts_of_a_part(tmp):
    """A choice of queries changes no query's counted prompt: the file's queries and anchors scale it, not the chosen ones."""
    results = fake(f"{tmp}/p.h5", 30, 3, truth=0, anchors=90, calibrated=40)
    with h5py.File(results, "r+") as f:
        f["prompt_source"][:] = 1
        f["prompt_tokens"][:] = [[100 + 40 * q] * 3 for q in range(30)]
        f["anchors/prompt_tokens"][:] = 900
        f["anchors/category"][:] = f["category"][0]  # the other categories have no anchors
        ids, category = f["query"][:], f["category"][:]
    part = [x.decode() for x, c in zip(ids, category) if c != category[0]][:7] + [x.decode() for x, c in zip(ids, category) if c == category[0]][:2]
    with open(f"{tmp}/part", "w") as f:
        f.write("\n".join(part))
    with open(f"{tmp}/input.json", "w") as f:  # no output: lengths are scaled to the mean of what is chosen
        json.dump([{"id": f"maker/model-0{k}", "input": 1 + k, "output": 0} for k in range(3)], f)
    costs = []
    for chosen in ((), ("--queries", f"@{tmp}/part")):
        run(results, "--bootstrap", 0, "--budget", 1, "--estimate", "scope", "--prices", f"{tmp}/input.json", "--cells-csv", "-o", f"{tmp}/part-out", *chosen)
        costs.append({(r["query"], r["model"]): float(r["cost"]) for r in rows(f"{tmp}/part-out", "cells")})
    assert len(costs[1]) == 27
    for cell, cost in costs[1].items():
        assert abs(cost / costs[0][cell] - 1) < 1e-9, (cell, cost, costs[0][cell])


def hardly_any(tmp):
    """One to three queries show nothing: no mix, table or routing is better beyond noise, and no other model is as good as the
    one in use, however alike their few answers are. One anchor cannot be left out, and that is said."""
    for seed in range(1, 9):
        results = f"{tmp}/h.h5"
        fake(results, 1 + seed % 3, 4, samples=2, seed=seed, categories=1)
        run(results, "-o", f"{tmp}/hardly", "--incumbent", "maker/model-03", "--bootstrap", 0)
        decision = data_of(f"{tmp}/hardly/report.html")["decision"]
        for s in decision["steps"]:
            assert s["kind"] in ("one", "one model", "none"), s
            itself = s["shares"] == [[3, 1]]
            assert itself or s["vs_incumbent"][0] is None or s["vs_incumbent"][1] < -0.1, s["vs_incumbent"]
        at = decision["incumbent"]["as_good"]
        assert at < 0 or decision["steps"][at]["shares"] == [[3, 1]], at
    fake(results, 6, 3, samples=2, truth=0, categories=1, anchors=1)
    refused("more anchors", results, out=f"{tmp}/no", status=3)
    refused("--margin needs --incumbent", results, "--margin", 2, out=f"{tmp}/no", status=2)


def few_queries(tmp):
    """What one to three queries will show is open; how likely an answer is right is told, as sure as the anchors make it."""
    for n in (1, 2, 3, 40):
        results = fake(f"{tmp}/f.h5", n, 4, samples=2, seed=5, noise=0.5, categories=1, anchors=60, calibrated=30)
        said = run(results, "--blind", "-o", f"{tmp}/few-q", "--bootstrap", 0).stdout
        step = data_of(f"{tmp}/few-q/report.html")["decision"]["steps"][0]
        chance = re.findall(r"answered right with a probability of (\S+) % \[(\S+), (\S+)\]", step["sentence"])
        assert len(chance) == (n < 4) and bool(re.search(r"doubt: \d quer.* luck", said)) == (n < 4), said
        assert "these 1 " not in said and "maker/model-01: its accuracy" not in said, said
        with h5py.File(results) as f:
            anchors = f["anchors/correct"][:, 0].mean()
        for value, low, high in chance:
            value, low, high = (float(x) / 100 for x in (value, low, high))
            assert abs(value - step["accuracy"][0]) < 0.0006 and abs(value - anchors) < 0.05, (value, anchors)
            error = 1.96 * (anchors * (1 - anchors) / 60) ** 0.5  # the anchors' own
            assert error < high - low < 3 * error < step["accuracy"][2] - step["accuracy"][1], (low, high, error)


def own_categories(tmp):
    """A category for every query, and cells without an estimate: models keep their bills, and something is advised."""
    results = f"{tmp}/c.h5"
    fake(results, 40, 3, samples=1, missing=0.1, categories=40)
    said = run(results, "-o", f"{tmp}/own", "--bootstrap", 0).stdout
    assert "nan" not in said and "without an estimate" in said, said
    assert sum(s["accuracy"][0] is not None for s in data_of(f"{tmp}/own/report.html")["decision"]["steps"]) > 30


def commas(tmp):
    """A category, an id or a model that has a comma in its name can be chosen alone."""
    results = f"{tmp}/k.h5"
    fake(results, 12, 3, samples=1, categories=2)
    with h5py.File(results, "r+") as f:
        category, model, query = (f[x][()] for x in ("category", "model", "query"))
        n = int((category == category[0]).sum())
        category[category == category[0]] = b"a,b"
        model[1], query[2] = b"m,1", b"q,2"
        for name, values in (("category", category), ("model", model), ("query", query)):
            f[name][...] = values
    for ask, told in ((("--queries", "category=a,b"), f"{n} queries"), (("--queries", "category!=a,b"), f"{12 - n} queries"),
                      (("--queries", "id=q,2"), "1 query x"), (("--pool", "m,1"), "x 1 model")):
        assert told in run(results, "-o", f"{tmp}/commas", "--bootstrap", 0, *ask).stdout.split("\n")[1], ask


def shares(tmp):
    """A mix gives its dearer model the share that is told, to one query, not what else is cheap, and keeps the
    budget."""
    results, prices, mixes = f"{tmp}/s.h5", f"{tmp}/s.json", 0
    with open(prices, "w") as f:  # so near that the dearer model is the cheaper one for many a query
        json.dump([{"id": f"maker/model-0{k}", "input": 1, "output": 10 + 3 * k} for k in range(4)], f)
    for seed in range(1, 8):
        n = 200 if seed < 4 else 15
        fake(results, n, 4, samples=2, seed=seed, noise=1, categories=1, anchors=0 if n > 15 else 200)
        run(results, "-o", f"{tmp}/shares", "--bootstrap", 0, "--prices", prices, "--cells-csv", *(["--blind"] if n < 200 else []))
        given, cost = {}, {(r["query"], r["model"]): float(r["cost"]) for r in rows(f"{tmp}/shares", "cells")}
        for r in rows(f"{tmp}/shares", "policies"):
            given.setdefault(r["ask"], []).append((r["query"], r["model"]))
        page = data_of(f"{tmp}/shares/report.html")
        for s in page["decision"]["steps"]:
            if s["kind"] != "mix" or not s["asked"]:
                continue
            mixes += 1
            names = [m for _, m in given[s["asked"]]]
            for k, share in s["shares"]:
                seen = names.count(page["models"][k]["id"]) / n
                assert abs(seen - share) <= 1 / n + 1e-9, (seed, s["asked"], seen, share)
            bill = sum(cost[x] for x in given[s["asked"]]) / n
            assert (0.95 if n > 15 else 0.9) * s["budget"] < bill <= s["budget"] * (1 + 1e-6), (seed, s["asked"], bill)
    assert mixes > 4, mixes


with tempfile.TemporaryDirectory() as folder:
    own_categories(folder)
    commas(folder)
    shares(folder)
    nearly_all_saved(folder)
    prompts_counted(folder)
    prompts_of_a_part(folder)
    hardly_any(folder)
    few_queries(folder)
    in_use(folder)
    one_accuracy(folder)
    without_interval(folder)
    untried(folder)
    main(folder)
