#!/usr/bin/env python3
"""Request files, policy.json and cells.csv as a user asks for them: what they say is what policies.csv, the results and
the advice say; what cannot be is one line, and nothing is written.

usage: test_handoff.py SCOPE_FRONTIER MAKE_FAKE_RESULTS      (exit 77: no h5py)
"""
import json
import os
import shutil
import sys
import tempfile
import time

import program
from program import fake, rows

try:
    import h5py
except ImportError:
    print("test_handoff: needs h5py (jobs/deps.sh tests)")
    sys.exit(77)

N, M = 1500, 5


def run(*args, says=None, status=0):
    r = program.run(*args, "--bootstrap", 0, ok=False)
    assert r.returncode == status, (args, r.returncode, r.stderr)
    if says:
        assert says in (r.stderr if status else r.stdout), (says, r.stderr or r.stdout[-600:])
        assert not status or r.stderr.count("\n") == 1, r.stderr
    return r.stdout


def queries(path, ids):
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(json.dumps({"id": i, "question": f"Question {i}?"}) + "\n" for i in ids)
    return path


def requests(folder):
    """query -> model's id in the requests, and the manifest"""
    with open(f"{folder}/manifest.json", encoding="utf-8") as f:
        manifest = json.load(f)
    asked = {}
    assert {f["file"] for f in manifest["files"]} | {"manifest.json"} == set(os.listdir(folder))
    for part in manifest["files"]:
        with open(f"{folder}/{part['file']}", encoding="utf-8") as f:
            for r in map(json.loads, f):
                assert r["body"]["model"] == part["provider_id"] and r["custom_id"] not in asked, r
                assert set(r["body"]) == {"model", "messages"}, r  # no max_tokens unless --request-body says so
                asked[r["custom_id"]] = part["model"]
    assert len(asked) == manifest["requests"]
    return asked, manifest


def main(tmp):
    out, results = f"{tmp}/out", fake(f"{tmp}/results.h5", N, M, noise=0.2, missing=0.01, categories=4, anchors=200, calibrated=60)
    with h5py.File(results) as f:
        ids, models = [x.decode() for x in f["query"][()]], [x.decode() for x in f["model"][()]]
        p_correct, valid, true_length = f["p_correct"][()], f["valid"][()], f["true_length"][()]
    given = queries(f"{tmp}/queries.jsonl", ids)

    def hand(name, *more, file=given, to=out):
        return results, "--requests", f"{tmp}/{name}", "--queries-file", file, "-o", to, *more

    # routing: the requests are policies.csv's rows; a rule for other traffic is a table, and that is said
    run(*hand("routed", "--budget", 0.002, "--policy-json", "--cells-csv", "--estimate", "scope"), says="verified: ids alone")
    policy = {r["query"]: r["model"] for r in rows(out, "policies")}
    asked, manifest = requests(f"{tmp}/routed")
    assert asked == policy and len(set(asked.values())) > 2, set(asked.values())
    # one query lies between two models: it may go to the dearer one
    assert manifest["advised"] == "routing" and manifest["expected_bill_usd"] <= (N + 1) * 0.002, manifest
    with open(f"{out}/policy.json") as f:
        rule = json.load(f)
    assert (rule["advised"], rule["kind"], len(rule["categories"])) == ("routing", "table", 4), rule
    assert "best table by category" in rule["note"] and rule["lambda"] > 0 and rule["accuracy"]["low"] < 1, rule

    # every cell, as the results have it
    cells = rows(out, "cells")
    assert [(c["query"], c["model"]) for c in cells] == [(q, m) for q in ids for m in models]
    for i, c in enumerate(cells):
        q, m = divmod(i, M)
        assert bool(c["p"]) == bool(c["cost"]) == bool(c["length"]) == bool(valid[q, m]), c
        assert not c["p"] or abs(float(c["p"]) - p_correct[q, m]) < 1e-11, c
        assert float(c["true_length"]) == true_length[q, m] and c["true_correct"] in "01", c
        assert c["true_score"] == c["true_correct"], c  # nothing is graded here
    bill = sum(float(c["cost"]) for c in cells if policy[c["query"]] == c["model"])
    assert abs(bill - manifest["expected_bill_usd"]) < 1e-8 * bill, (bill, manifest)

    # filters, caps, targets; names of a provider; files that nobody asked for go
    names = f"{tmp}/portfolio.jsonl"
    with open(names, "w") as f:
        f.writelines(json.dumps({"id": m, "provider_id": f"vendor-{k}"}) + "\n" for k, m in enumerate(models[:4]))
    left = {n: f"{tmp}/few.tmp.{n:020d}" for n in (7, 8, 9)}  # of a killed call; with a user's file; of a call that writes now
    for n, file, age in ((7, "a-0001.jsonl", 7200), (7, "manifest.json", 7200), (8, "a-0001.jsonl", 7200), (8, "notes.txt", 7200),
                         (9, "a-0001.jsonl", 7200), (9, "a-0002.jsonl", 0)):
        os.makedirs(left[n], exist_ok=True)
        with open(f"{left[n]}/{file}", "w") as f:
            f.write("left")
        os.utime(f"{left[n]}/{file}", (time.time() - age,) * 2)
        os.utime(left[n], (time.time() - 7200,) * 2)
    run(*hand("few", "--budget", 0.002, "--queries", "category=category-1", "--pool", names, "--at-most", f"{models[1]}=0.3"))
    assert not os.path.exists(left[7]) and len(os.listdir(left[8])) == len(os.listdir(left[9])) == 2
    for n in (8, 9):
        shutil.rmtree(left[n])
    asked, manifest = requests(f"{tmp}/few")
    assert len(asked) == N // 4 and manifest["queries_filtered_out"] == N - N // 4, manifest
    assert sum(m == models[1] for m in asked.values()) <= 0.3 * len(asked)
    assert {f["provider_id"] for f in manifest["files"]} <= {f"vendor-{k}" for k in range(4)}, manifest
    assert not os.path.exists(f"{out}/cells.csv") and not os.path.exists(f"{out}/policy.json")
    run(*hand("target", "--target-accuracy", 0.4), says="5 of 5 models have no provider_id")
    assert requests(f"{tmp}/target")[0] == {r["query"]: r["model"] for r in rows(out, "policies")}

    # texts that a spreadsheet would compute are text in cells.csv, as in the other files
    with h5py.File(results, "r+") as f:
        for group in ("", "anchors/", "calibration/"):
            f[f"{group}model"][0] = "=1+1"
    run(results, "--cells-csv", "-o", out)
    assert {c["model"] for c in rows(out, "cells")} == {"'=1+1", *models[1:]}

    # what cannot be
    fake(results, 60, M, noise=0.2, missing=0.01, categories=4, anchors=60, calibrated=20)
    queries(given, ids[:60])
    gone = f"{tmp}/refused"
    for status, says, args in (
            (2, "--requests needs --queries-file FILE", (results, "--requests", f"{tmp}/r", "-o", gone)),
            (2, "--queries-file needs --requests DIR", (results, "--queries-file", given, "-o", gone)),
            (2, "--request-body needs --requests DIR", (results, "--request-body", "{}", "-o", gone)),
            (2, "--requests needs one --budget or --target-accuracy, which says what may be spent; 0 given",
             hand("r", to=gone)),
            (2, "2 given", hand("r", "--budget", 0.002, "--budget", 0.003, to=gone)),
            (2, "--policy-json needs one --budget", (results, "--policy-json", "-o", gone)),
            (2, "--requests: expected the name", (results, "--requests", "", "--queries-file", given, "--budget", 1)),
            (3, "no model fits --budget 1e-09 USD a query; give more", hand("r", "--budget", 1e-9, to=gone)),
            (3, "no model fits --budget 9e-05 USD a query within --at-most; give more, raise a share",
             hand("r", "--budget", 9e-5, "--at-most", f"{models[0]}=0.5", to=gone)),
            (3, "at budget=0.0002 nothing but routing keeps the budget and --at-most",
             (results, "--policy-json", "--budget", 0.0002, "--at-most", f"{models[0]}=0.5", "-o", gone)),
            (3, "reaches --target-accuracy 1", hand("r", "--target-accuracy", 1, to=gone)),
            (3, "is not empty", hand("few", "--budget", 0.002, to=gone)),
            (3, "/none.jsonl", hand("r", "--budget", 0.002, file=f"{tmp}/none.jsonl", to=gone))):
        run(*args, says=says, status=status)
        assert not os.path.exists(gone) and not os.path.exists(f"{tmp}/r"), (says, os.listdir(tmp))
    assert not [f for f in os.listdir(tmp) if ".tmp." in f]
    # anchors of other categories stand for all queries alike
    far = fake(f"{tmp}/far.h5", 60, M, truth=0, noise=0.2, categories=2, anchors=60, calibrated=20)
    with h5py.File(far, "r+") as f:
        f["anchors/category"][:] = f["calibration/category"][:] = "far"
    run(far, "--policy-json", "--budget", 0.002, "-o", f"{tmp}/far", says="")
    policy = json.load(open(f"{tmp}/far/policy.json"))
    assert policy["default"] and policy["accuracy"]["value"] > 0.1, policy
    # no rule gives a model more than its cap: of a table the default neither, though one model would be better
    capped = [a for m in models for a in ("--at-most", f"{m}=0.25")]
    run(results, "--policy-json", "--budget", 0.002, *capped, "-o", f"{tmp}/capped")
    policy = json.load(open(f"{tmp}/capped/policy.json"))
    assert policy["kind"] == "table" and len(policy["default"]) == 4, policy["default"]
    assert all(abs(a["probability"] - 0.25) < 1e-9 for a in policy["default"]), policy["default"]
    # results without any outcome: nothing is advised, so nothing is handed over
    bare = fake(f"{tmp}/bare.h5", 20, M, truth=0, noise=0.2, categories=2)
    run(bare, "--policy-json", "--budget", 0.002, "-o", f"{tmp}/refused", says="so no policy is advised", status=3)


with tempfile.TemporaryDirectory() as folder:
    main(folder)
