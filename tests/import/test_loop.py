#!/usr/bin/env python3
"""The loop of jobs/README.md, command for command: results of a benchmark and a price list become a job; the grid is
run; the advice becomes batch request files; a server on the loopback answers them; a grader's scores and the answers
become the next night's outcomes; that night is planned and run.

usage: test_loop.py [--openai]      BIN: the build folder
Every request is checked against batch-request.schema.json. With --openai the openai package's own client submits the
files and fetches the answers, its types check every request, and so does a copy of vLLM's BatchRequestInput. Exit 77:
no jsonschema, or, with --openai, no openai for $PYTHON (python3); with CI=true no jsonschema is a failure.
"""
import csv
import http.server
import importlib.util
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
BIN = pathlib.Path(os.environ["BIN"])
DEMO = SOURCE / "jobs" / "demo"
OPENAI = "--openai" in sys.argv[1:]
MODELS = {"gpt-4o-mini": "openai/gpt-4o-mini", "deepseek-chat": "deepseek/deepseek-v2.5", "gpt-4o": "openai/gpt-4o-2024-08-06"}


def skip(why, always=False):
    print(f"test_loop: {why}")
    sys.exit(1 if os.environ.get("CI") == "true" and not always else 77)


def lines(path):
    with open(path, encoding="utf-8", newline="\n") as f:
        return [json.loads(line) for line in f]


def put(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")


def call(*args, status=0):
    r = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    assert r.returncode == status, (args, r.returncode, r.stdout[-2000:], r.stderr)
    return r


def benchmark(folder, questions, outcomes):
    """The demo's anchors in the shape of LLMRouterBench's results, and a price list in LiteLLM's."""
    for kind, (name, model) in itertools.product(sorted({q["category"] for q in questions}), MODELS.items()):
        records = [{"index": i, "prompt": q["prompt"], "origin_query": q["prompt"], "score": float(o["is_correct"]),
                    "prompt_tokens": o.get("usage_prompt_tokens", 100), "completion_tokens": o["usage_completion_tokens"]}
                   for i, q in enumerate(questions, 1) for o in [outcomes[q["id"], model]] if q["category"] == kind]
        path = folder / "bench" / kind / "test" / name / f"{kind}-test-{name}-20260102_030405.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"dataset_name": kind, "split": "test", "model_name": name, "records": records}))
    price = {p["id"]: p for p in json.loads((DEMO / "portfolio.json").read_text())}
    (folder / "prices.json").write_text(json.dumps({f"vendor/{name}": {
        "mode": "chat", "input_cost_per_token": price[m]["input"] / 1e6, "output_cost_per_token": price[m]["output"] / 1e6,
        "input_cost_per_token_batches": price[m]["input"] / 2e6, "output_cost_per_token_batches": price[m]["output"] / 2e6}
        for name, m in MODELS.items()}))


class Server(http.server.BaseHTTPRequestHandler):
    """Chats, files and batches as OpenAI's reference has them, as far as the loop needs them. `truth` says what to answer:
    (text, model) -> outcome."""
    truth, stored, batches = {}, {}, {}

    def log_message(self, *_):
        pass

    def reply(self, body, status=200):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def chat(self, body):
        outcome = self.truth[body["messages"][0]["content"], body["model"]]
        used = {"prompt_tokens": 100, "completion_tokens": outcome["usage_completion_tokens"]}
        return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1790000000, "model": body["model"],
                "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, "message": {
                    "role": "assistant", "content": "right" if outcome["is_correct"] else "wrong", "refusal": None}}],
                "usage": {**used, "total_tokens": sum(used.values())}}

    def file(self, name, data, purpose):
        key = f"file-{len(self.stored)}"
        self.stored[key] = data
        return {"id": key, "object": "file", "bytes": len(data), "created_at": 1790000000, "filename": name,
                "purpose": purpose, "status": "processed"}

    def do_POST(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/chat/completions":
            return self.reply(self.chat(json.loads(data)))
        if self.path == "/v1/files":  # multipart/form-data
            mark = re.search("boundary=(\\S+)", self.headers["Content-Type"])[1].strip('"')
            parts = [p.partition(b"\r\n\r\n") for p in data.split(b"--" + mark.encode())[1:-1]]
            content = [body[:-2] for head, _, body in parts if b"filename=" in head]
            return self.reply(self.file("requests.jsonl", content[0], "batch"))
        assert self.path == "/v1/batches", self.path
        asked = json.loads(data)
        assert asked["endpoint"] == "/v1/chat/completions"
        answers = [{"id": f"batch_req_{i}", "custom_id": r["custom_id"], "error": None,
                    "response": {"status_code": 200, "request_id": f"req_{i}", "body": self.chat(r["body"])}}
                   for i, r in enumerate(map(json.loads, self.stored[asked["input_file_id"]].splitlines()))]
        done = self.file("out.jsonl", "".join(json.dumps(a) + "\n" for a in reversed(answers)).encode(), "batch_output")
        batch = {"id": f"batch_{len(self.batches)}", "object": "batch", "endpoint": asked["endpoint"], "errors": None,
                 "input_file_id": asked["input_file_id"], "completion_window": asked["completion_window"],
                 "status": "completed", "created_at": 1790000000, "output_file_id": done["id"],
                 "request_counts": {"total": len(answers), "completed": len(answers), "failed": 0}}
        self.batches[batch["id"]] = batch
        return self.reply(batch)

    def do_GET(self):
        key = self.path.split("/")
        return self.reply(self.batches[key[3]] if key[2] == "batches" else self.stored[key[3]])


def by_requests(base, file, out):
    """As a script does that sends a file's requests to a server one by one; writes the answers as a batch would."""
    answers = []
    for i, r in enumerate(lines(file)):
        ask = urllib.request.Request(base + r["url"], json.dumps(r["body"]).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(ask) as a:
            answers.append({"id": f"b{i}", "custom_id": r["custom_id"], "error": None, "response": {
                "status_code": a.status, "request_id": f"r{i}", "body": json.load(a)}})
    put(out, answers)


def by_client(base, file, out):
    import openai
    client = openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)
    with open(file, "rb") as f:
        stored = client.files.create(file=f, purpose="batch")
    batch = client.batches.create(input_file_id=stored.id, endpoint="/v1/chat/completions", completion_window="24h")
    batch = client.batches.retrieve(batch.id)
    assert batch.status == "completed" and batch.request_counts.failed == 0, batch
    out.write_bytes(client.files.content(batch.output_file_id).content)
    for a in lines(out):
        openai.types.chat.ChatCompletion.model_validate(a["response"]["body"])


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
            assert r["body"]["max_tokens"] == 512
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


def loop(dir):
    imports, grid, frontier = SOURCE / "jobs" / "import.py", BIN / "scope-grid", BIN / "scope-frontier"
    outcomes = {(o["id"], o["model_name"]): o for o in lines(DEMO / "outcomes.jsonl")}
    names = {p["id"]: p["name"] for p in json.loads((DEMO / "portfolio.json").read_text())}
    outcomes.update({(k, m): outcomes[k, names[m]] for m in MODELS.values() for k, n in list(outcomes) if n == names[m]})
    anchors, queries = lines(DEMO / "anchors.jsonl")[::6], lines(DEMO / "queries.jsonl")[::10]
    fast = ["--set", "sampling.samples=2", "--set", "sampling.max_new_tokens=80", "--set", "calibration.anchors=6",
            "--set", "engine.max_batch_tokens=512", "--set", "engine.kv_cache_mib=64"]
    benchmark(dir, anchors, outcomes)
    put(dir / "tonight.jsonl", queries[:8])
    put(dir / "tomorrow.jsonl", queries[8:12])

    # import -> run -> frontier -> requests
    night = dir / "night1"
    call(sys.executable, "-B", imports, "-o", night, f"llmrouterbench:{dir}/bench", f"litellm:{dir}/prices.json",
         f"queries:{dir}/tonight.jsonl", "--model", DEMO / "model")
    call(grid, "run", night / "job.json", *fast)
    advise = [frontier, night / "run/results.h5", "--budget", "0.001", "--prices", night / "portfolio.json", "--batch",
              "--cells-csv", "--policy-json", "--bootstrap", "0", "--no-plots", "-o", dir / "out"]
    hand = ["--requests", dir / "requests", "--queries-file", night / "queries.jsonl", "--request-body",
            '{"max_tokens": 512}']
    other = dir / "other.jsonl"
    put(other, [{**q, "prompt": q["prompt"] + (" " if i == 4 else "")} for i, q in enumerate(queries[:8])])
    r = call(*advise, *hand[:3], other, status=3)
    assert f"other.jsonl:5: query \"{queries[4]['id']}\" has another text" in r.stderr, r.stderr
    assert not (dir / "requests").exists() and not (dir / "out").exists()
    r = call(*advise, *hand)
    assert re.search(r"Requests in \S+requests: 8 in \d files? for \d models?, expected bill \$\S+; verified: ids and prompts\n$",
                     r.stdout), r.stdout[-500:]
    asked = check_requests(dir / "requests", dir / "out", night)
    policy = json.loads((dir / "out/policy.json").read_text())
    assert abs(sum(a["probability"] for a in policy["default"]) - 1) < 1e-9 and policy["budget"] == 0.001, policy
    assert {a["model"] for a in policy["default"]} <= set(MODELS), policy
    if OPENAI:
        types_check(asked)

    # requests -> answers -> scores
    text = {q["prompt"]: q["id"] for q in queries}
    Server.truth = {(t, f"vendor/{name}"): outcomes[k, m] for t, k in text.items() for name, m in MODELS.items()}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sources, scores = [], []
    for file in sorted((dir / "requests").glob("*.jsonl")):
        answered = dir / "answers" / file.name
        answered.parent.mkdir(exist_ok=True)
        (by_client if OPENAI else by_requests)(f"http://127.0.0.1:{server.server_address[1]}", file, answered)
        sources.append(f"batch:{file},{answered}")
        scores += [{"custom_id": a["custom_id"], "model": a["response"]["body"]["model"],
                    "score": a["response"]["body"]["choices"][0]["message"]["content"] == "right"} for a in lines(answered)]
    server.shutdown()
    put(dir / "scores.jsonl", scores)

    # answers -> the next night
    then = dir / "night2"
    call(sys.executable, "-B", imports, "-o", then, f"job:{night}/job.json", *sources, f"scores:{dir}/scores.jsonl",
         f"portfolio:{night}/portfolio.json", f"queries:{dir}/tomorrow.jsonl", "--keep-incomplete", "--model", DEMO / "model")
    known = {(o["id"], o["model_name"]): o for o in lines(then / "outcomes.jsonl")}
    assert len(known) == 3 * len(anchors) + 8, len(known)
    for r in asked:
        model = r["body"]["model"].split("/")[1]
        o, want = known[r["custom_id"], model], outcomes[r["custom_id"], MODELS[model]]
        assert (o["is_correct"], o["usage_completion_tokens"]) == (want["is_correct"], want["usage_completion_tokens"]), o
    plan = json.loads(call(grid, "plan", then / "job.json", "--json", *fast).stdout)
    assert (plan["queries"], plan["anchors"], plan["models"], plan["unknown_models"]) == (4, len(anchors) + 8, 3, []), plan
    call(grid, "run", then / "job.json", "--since", night / "run/results.h5", *fast)
    said = call(frontier, then / "run/results.h5", "--bootstrap", "0", "--no-plots", "-o", dir / "out2").stdout
    assert "What to do" in said, said


if __name__ == "__main__":
    main()
