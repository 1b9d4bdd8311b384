#!/usr/bin/env python3
"""Puts a decision of known numbers into a report.html, for tests of the page alone: the program's own decision has
other tests. The single models stay as the program measured them; the advice around them is made up.

usage: page_data.py REPORT.html KIND OUT.html      (KIND: one of KINDS below)
"""
import json
import math
import re
import sys

DATA = re.compile(r'(<script type="application/json" id="data">)(.*?)(</script>)', re.S)
KINDS = ("normal", "weak", "unlabelled", "hostile", "dear", "free", "none")
# An id each of which once broke some page: markup, quotes, the end of the script, right to left, a turn of the direction
# that is never ended, control characters (C1's CSI among them), 200 characters, another that differs after a slash only.
HOSTILE = ['<img src=x onerror="window.hurt=1">', "</script><script>window.hurt=2</script>", "a\"b'c`d&amp;<b>", "نموذج/اللغة-الكبير",
           "evil\u202etxt.exe", "csi\x9b31m\x1b[2J", "x" * 200, "other/" + "x" * 200, "{{7*7}}${8*8}", "模型/大语言模型-七十亿"]


def read(path):
    with open(path, encoding="utf-8") as f:
        return json.loads(DATA.search(f.read()).group(2))


def write(path, data, source):
    with open(source, encoding="utf-8") as f:
        page = f.read()
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    with open(path, "w", encoding="utf-8") as f:
        f.write(DATA.sub(lambda m: m.group(1) + text + m.group(3), page))


def first(m, *keys):
    return next(m[k][0] for k in keys if m.get(k) and m[k][0] is not None)


def decide(data, kind):
    """The data with data["decision"] in them."""
    if kind == "hostile":
        for m, name in zip(data["models"], HOSTILE):
            m["id"] = name
        data["name"] = HOSTILE[0] + "\u202e" + "n" * 200
        data["file"] = "/tmp/" + HOSTILE[1]
    if kind == "none":  # no outcome at all: the program says null
        data["decision"] = None
        return data
    if kind == "free":  # a pool of two, one of which costs nothing
        data["models"] = data["models"][:2]
        data["models"][0]["cost"] = data["models"][0]["predicted_cost"] = [0, 0, 0]
        data["best"], data["cheapest"], data["unmet"], data["curves"] = 1, 0, [{"asked": 0.99, "best": 0.71}], {}
    models, labelled = data["models"], 250 if kind == "unlabelled" else 64
    price = [first(m, "cost", "predicted_cost") for m in models]
    right = [first(m, "accuracy", "predicted_accuracy") for m in models]
    best = max(range(len(models)), key=lambda k: right[k])
    high = 1.15 * max(price)
    low = 0.7 * min(price) or high / 1000
    half = 1.96 * math.sqrt(0.2 / labelled)
    names = ["GSM8K", "MMLU physics", "code", "history", "law, international", "trivia", "writing"]
    if kind == "hostile":
        names = [HOSTILE[1], HOSTILE[3], HOSTILE[6], HOSTILE[5], "c" * 200]
    steps = []
    for i in range(41):
        budget = low * (high / low) ** (i / 40)
        payable = [k for k in range(len(models)) if price[k] <= budget]
        step = {"budget": budget, "asked": {12: "budget=%.7g" % budget, 20: "target=0.7"}.get(i, "") if kind not in ("weak", "free") else "",
                "kind": "none", "sentence": "No model costs so little: the cheapest needs $%.3g a query." % min(price),
                "accuracy": [None] * 3, "cost": [None] * 3, "single": -1, "gain": [None] * 3, "saving": [None] * 3,
                "mix_accuracy": None, "over_mix": [None] * 3, "over_budget": False, "shares": [], "table": []}
        steps.append(step)
        if not payable:
            continue
        top = max(payable, key=lambda k: right[k])
        others = sorted((k for k in range(len(models)) if k != top), key=lambda k: -right[k])[:4]
        mix = min(max(right), right[top] + 0.0004 * i)
        lift = 0.0 if kind == "weak" else 0.045 * math.sin(math.pi * i / 40) ** 0.5
        step.update(kind="one model", single=top, accuracy=[right[top], right[top] - half, min(1, right[top] + half)], mix_accuracy=mix,
                    cost=[price[top], 0.93 * price[top], 1.08 * price[top]], shares=[[top, 1.0]], gain=[0, 0, 0], saving=[0, 0, 0],
                    over_mix=[right[top] - mix, right[top] - mix - 0.03, right[top] - mix + 0.03],
                    sentence="Use %s for everything; routing gains nothing that %d labelled questions can show." % (models[top]["id"], labelled))
        if kind == "weak" and i == 30:  # printf and the page round a tie alike
            step["accuracy"] = [0.5625, 0.5, 0.6875]
        if kind in ("weak", "free") or i < 10:
            continue
        what = "mix" if i < 14 else "table" if i < 20 else "routing"
        value = max([min(0.99, right[top] + lift)] + [s["accuracy"][0] for s in steps[:i] if s["shares"]])
        paid = budget * (0.97 if i % 7 else 1.24)
        rest = [0.25, 0.12, 0.05, 0.03]
        shares = [[top, 0.7], [others[0], 0.3]] if what == "mix" else [[top, 1 - sum(rest)]] + [[k, s] for k, s in zip(others, rest)]
        gain = value - right[top]
        by = "; ".join("%s for %s" % (models[k]["id"], ", ".join(n for j, n in enumerate(names) if shares[j % 3][0] == k)) for k in {shares[j % 3][0] for j in range(len(names))}) if what == "table" else ""
        step.update(kind=what, accuracy=[value, value - half, min(1, value + half)], cost=[paid, 0.92 * paid, 1.09 * paid],
                    shares=shares, gain=[gain, gain - 0.02, gain + 0.03], saving=[1 - paid / price[top], 0.95 - paid / price[top], 1.05 - paid / price[top]],
                    mix_accuracy=mix, over_mix=[value - mix, value - mix - 0.03, value - mix + 0.03], over_budget=i % 7 == 0,
                    table=[[c, (shares[j % 3])[0]] for j, c in enumerate(names)] if what == "table" else [],
                    sentence="%s: %.1f %% right for $%.3g a query, %+.1f points against %s alone, which these questions show only just." % (
                        {"mix": "Draw between two models by lot", "table": "Choose by category, " + by, "routing": "Route each query by its estimates"}[what],
                        100 * value, paid, 100 * gain, models[top]["id"]))
    data["decision"] = {
        "estimate": "combined", "estimate_why": "lowest cross-fitted log loss on the calibration cells, .431 against .467 anchored and .522 scope",
        "valued_on": {"unlabelled": "anchors", "dear": "both"}.get(kind, "truth"), "n_queries": data["n"], "n_labelled": labelled,
        "sentence": steps[20]["sentence"], "volume": 1000000 if kind in ("normal", "dear") else None, "default": 20, "target": 0.8 if kind == "dear" else None, "steps": steps,
        "incumbent": {"name": models[best]["id"], "accuracy": [right[best], right[best] - half, right[best] + half],
                      "cost": price[best]} if kind == "dear" else None,
        "categories": [{"name": c, "n_queries": 40 - 3 * j, "n_anchors": 0 if j == 3 else 80, "similarity_queries": 0.31 - 0.02 * j,
                        "similarity_anchors": None if j == 3 else 0.33, "doubt": "no anchor of this category: its estimates are borrowed" if j == 3 else ""}
                       for j, c in enumerate(names)],
        "doubts": [] if kind == "normal" else ["The category %s has no anchors: what is advised for its queries rests on the other categories." % names[3],
                                               "The queries are less like the anchors than the anchors like each other (.27 against .33)."]}
    if kind == "unlabelled":  # single models as the anchors value them
        data["decision"]["singles"] = [{"accuracy": [r - 0.01, r - 0.05, r + 0.05], "cost": 1.02 * p} for r, p in zip(right, price)]
    if kind == "dear":  # a model in force, and many
        for s in steps:
            gain = None if s["cost"][0] is None else s["accuracy"][0] - right[best]
            s["vs_incumbent"] = [None] * 3 if gain is None else [gain, gain - 0.04, gain + 0.03]
            s["saved_of_incumbent"] = [None] * 3 if gain is None else [1 - s["cost"][0] / price[best], 0.9 - s["cost"][0] / price[best], 1.1 - s["cost"][0] / price[best]]
        data["models"] += [dict(m, id="many/model-%02d-of-a-long-line" % j, accuracy=[max(0.05, right[j % len(right)] - 0.013 * (j // len(right)) - 0.02), None, None],
                                cost=[price[j % len(price)] * (1 + 0.21 * (j // len(right))), None, None], on_hull=0) for j, m in ((j, models[j % len(models)]) for j in range(30))]
    return data


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[2] not in KINDS:
        sys.exit(__doc__)
    write(sys.argv[3], decide(read(sys.argv[1]), sys.argv[2]), sys.argv[1])
