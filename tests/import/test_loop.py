#!/usr/bin/env python3
"""The walk of jobs/README.md: its commands are taken out of the text and run as they stand, and must say what the text
says they do, digests included; only dates and speeds may differ. Then what the commands left is looked at: every request
against batch-request.schema.json, the policy, the queries and the prices; the next night's outcomes against the answers.

usage: test_loop.py [--openai]      BIN: the build folder
With --openai the openai package's own client submits the files and fetches the answers, its types check every request,
and so does a copy of vLLM's BatchRequestInput. Exit 77: no jsonschema, or, with --openai, no openai for $PYTHON
(python3); with CI=true no jsonschema is a failure.
"""
import csv
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from walk import MODELS, known, lines, put

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
BIN = pathlib.Path(os.environ["BIN"])
OPENAI = "--openai" in sys.argv[1:]
SECTION = "## From the advice to the next night"
VARIES = r"\d{4}-\d\d-\d\d|in [\d.]+ s, \d+ output tokens/s"


def skip(why, always=False):
    print(f"test_loop: {why}")
    sys.exit(1 if os.environ.get("CI") == "true" and not always else 77)


def call(*args, status=0):
    r = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    assert r.returncode == status, (args, r.returncode, r.stdout[-2000:], r.stderr)
    return r


def commands():
    """(command, the lines that it is said to print) of each of the section's."""
    text = (SOURCE / "jobs/README.md").read_text(encoding="utf-8").partition(SECTION)[2].partition("\n## ")[0]
    block = iter([line[4:] for line in text.split("\n") if line.startswith("    ")])
    found = []
    for line in block:
        if line.startswith("|"):
            found[-1][1].append(line[2:])
        elif not line.startswith("#"):
            while line.endswith("\\"):
                line = line[:-1] + next(block).lstrip()
            found.append((line, []))
    return found


def compare(command, said, printed):
    """Every line of the text in the output, in order; lines between them only where the text has "..."."""
    at, free, left = 0, False, [re.sub(VARIES, "*", line.rstrip()) for line in printed.rstrip("\n").split("\n")]
    for line in said:
        if line == "...":
            free = True
            continue
        line = re.sub(VARIES, "*", line.rstrip())
        place = left.index(line, at) if line in left[at:] else None
        assert place is not None and (free or place == at), f"{command}\ndoes not print\n{line}\nthere, but\n{printed}"
        at, free = place + 1, False
    assert free or not said or at == len(left), f"{command}\nprints more than the text says:\n{printed}"


def types_check(requests):
    """Each request as the types of the openai package have it, and as vLLM reads it."""
    import pydantic
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
    body = pydantic.TypeAdapter(CompletionCreateParamsNonStreaming)

    class BatchRequestInput(pydantic.BaseModel):
        """A copy of what vllm/entrypoints/openai/run_batch.py declares (vLLM 0.12), the chat's type being openai's in place
        of vLLM's own ChatCompletionRequest: vLLM itself was not run."""
        model_config = pydantic.ConfigDict(extra="allow")
        custom_id: str
        method: str
        url: str
        body: dict

    def validate(value):
        list(body.validate_python(value)["messages"])  # an iterable: checked as it is read

    known = set(CompletionCreateParamsNonStreaming.__annotations__)
    for r in requests:
        read = BatchRequestInput.model_validate_json(json.dumps(r).strip())
        assert read.url == "/v1/chat/completions" and read.method == "POST" and not read.model_extra
        validate(read.body)
        assert set(read.body) <= known, set(read.body) - known
    for broken in ({"messages": []}, {"model": "m"}, {"model": "m", "messages": [{"role": "nobody", "content": "x"}]}):
        try:
            validate(broken)
        except pydantic.ValidationError:
            continue
        raise AssertionError(f"the types of openai accept {broken}")


def check_requests(folder, out, night):
    """The request files against the schema, the policy, the queries and the prices; the requests."""
    import jsonschema
    schema = json.loads((HERE / "batch-request.schema.json").read_text())
    check = jsonschema.Draft202012Validator(schema)
    manifest = json.loads((folder / "manifest.json").read_text())
    with open(out / "policies.csv", newline="") as f:
        policy = {r["query"]: r["model"] for r in csv.DictReader(f) if r["ask"] == manifest["ask"]}
    with open(out / "cells.csv", newline="") as f:
        cells = {(c["query"], c["model"]): c for c in csv.DictReader(f)}
    portfolio = {p["id"]: p for p in json.loads((night / "portfolio.json").read_text())}
    queries = {q["id"]: q["prompt"] for q in lines(night / "queries.jsonl")}
    assert sorted(f["file"] for f in manifest["files"]) == sorted(p.name for p in folder.glob("*.jsonl"))
    assert manifest["verified"] == "ids and prompts", manifest
    assert len(cells) == len(queries) * len(portfolio), len(cells)
    asked, bill = [], 0
    for f in manifest["files"]:
        requests = lines(folder / f["file"])
        assert len(requests) == f["requests"] and os.path.getsize(folder / f["file"]) == f["bytes"]
        for r in requests:
            check.validate(r)
            model = policy.pop(r["custom_id"])
            assert model == f["model"] and r["body"]["model"] == portfolio[model]["provider_id"] == f["provider_id"], (f, r)
            assert r["body"]["messages"] == [{"role": "user", "content": queries[r["custom_id"]]}]
            assert r["body"]["max_tokens"] == 2048
            bill += float(cells[r["custom_id"], model]["cost"])
        asked += requests
    assert not policy and len(asked) == manifest["requests"] == len(queries)
    assert abs(bill - manifest["expected_bill_usd"]) < 1e-9 * bill, (bill, manifest)
    c = next(iter(cells.values()))  # at the prices of batches, half of the others here
    p = portfolio[c["model"]]
    assert float(c["cost"]) < (200 * p["input"] + float(c["length"]) * p["output"]) / 1e6 * 0.75, (c, p)
    assert not any(check.is_valid(r) for r in ({}, {**asked[0], "method": "GET"}, {**asked[0], "body": {"model": "m"}}))
    return asked


def main():
    if OPENAI and not importlib.util.find_spec("openai"):
        python = os.environ.get("PYTHON", "python3")
        if subprocess.run([python, "-c", "import openai, jsonschema"], capture_output=True).returncode != 0:
            skip(f"{python} has no openai and jsonschema (pip install openai jsonschema; PYTHON=... names another one)", True)
        os.execvp(python, [python, "-B", __file__, "--openai"])
    if not importlib.util.find_spec("jsonschema"):
        skip("needs python3-jsonschema (jobs/deps.sh tests)")
    with tempfile.TemporaryDirectory() as folder:
        loop(pathlib.Path(folder))


def walk(dir):
    """Runs the commands in a folder that looks like the tree to them; gives the folder of the walk."""
    for name, target in {"build": BIN, "jobs": SOURCE / "jobs", "tests": SOURCE / "tests"}.items():
        (dir / name).symlink_to(target)
    todo, at = commands(), dir
    assert len(todo) == 9 and all(said for _, said in todo[1:]), todo
    for i, (command, said) in enumerate(todo):
        if OPENAI and command.endswith("walk.py answer"):
            command = f"{sys.executable} -B {command} --openai"
        r = subprocess.run(["bash", "-c", command], cwd=at, capture_output=True, text=True)
        assert r.returncode == 0, (command, r.returncode, r.stdout[-2000:], r.stderr)
        compare(command, said, r.stdout)
        if i == 0:
            at = dir / "runs/walk"
    return at


def loop(dir):
    dir = walk(dir)
    night, then = dir / "night1", dir / "night2"
    asked = check_requests(dir / "requests", dir / "advice", night)
    if OPENAI:
        types_check(asked)

    # the answers are the next night's outcomes
    outcomes = {(o["id"], o["model_name"]): o for o in lines(then / "outcomes.jsonl")}
    earlier, anchors, truth = lines(night / "outcomes.jsonl"), lines(then / "anchors.jsonl"), known()
    assert len(outcomes) == len(earlier) + len(asked) and len(anchors) == len(earlier) // 3 + len(asked), len(outcomes)
    for r in asked:
        model = r["body"]["model"].split("/")[1]
        o, want = outcomes[r["custom_id"], model], truth[r["custom_id"], MODELS[model]]
        assert (o["is_correct"], o["usage_completion_tokens"]) == (want["is_correct"], want["usage_completion_tokens"]), o
    plan = json.loads(call(BIN / "scope-grid", "plan", then / "job.json", "--json").stdout)
    assert (plan["models"], plan["unknown_models"]) == (3, []), plan

    # the rule for other traffic
    policy = json.loads((dir / "advice/policy.json").read_text())
    assert abs(sum(a["probability"] for a in policy["default"]) - 1) < 1e-9 and policy["budget"] == 0.001, policy
    assert {a["model"] for a in policy["default"]} <= set(MODELS), policy

    # texts that are not the run's are refused, and nothing is written
    other, queries = dir / "other.jsonl", lines(night / "queries.jsonl")
    put(other, [{**q, "prompt": q["prompt"] + (" " if i == 4 else "")} for i, q in enumerate(queries)])
    r = call(BIN / "scope-frontier", night / "run/results.h5", "--budget", "0.001", "--requests", dir / "others",
             "--queries-file", other, "--no-plots", "-o", dir / "out", status=3)
    assert f"other.jsonl:5: query \"{queries[4]['id']}\" has another text" in r.stderr, r.stderr
    assert not (dir / "others").exists() and not (dir / "out").exists()


if __name__ == "__main__":
    main()
