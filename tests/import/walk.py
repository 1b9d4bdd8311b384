#!/usr/bin/env python3
"""What the walk of jobs/README.md needs and you have of your own: a benchmark's results, a price list, questions, a
provider and a grader. Made of the demo; run in the walk's folder.

    walk.py make                  results/bench as LLMRouterBench writes it, prices.json as LiteLLM's, tonight.jsonl,
                                  tomorrow.jsonl
    walk.py answer [--openai]     a server on the loopback answers requests/*.jsonl into answers/, each as a provider's
                                  batch interface would; its grades go into scores.jsonl. --openai: the openai package's
                                  client submits the files and fetches the answers
"""
import http.server
import itertools
import json
import pathlib
import re
import sys
import threading
import urllib.request

DEMO = pathlib.Path(__file__).resolve().parents[2] / "jobs" / "demo"
MODELS = {"gpt-4o-mini": "openai/gpt-4o-mini", "deepseek-chat": "deepseek/deepseek-v2.5", "gpt-4o": "openai/gpt-4o-2024-08-06"}


def lines(path):
    with open(path, encoding="utf-8", newline="\n") as f:
        return [json.loads(line) for line in f]


def put(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")


def known():
    """(question, model's id) -> what the model did."""
    outcomes = {(o["id"], o["model_name"]): o for o in lines(DEMO / "outcomes.jsonl")}
    names = {p["id"]: p["name"] for p in json.loads((DEMO / "portfolio.json").read_text())}
    outcomes.update({(k, m): outcomes[k, names[m]] for m in MODELS.values() for k, n in list(outcomes) if n == names[m]})
    return outcomes


def make(folder):
    anchors, queries, outcomes = lines(DEMO / "anchors.jsonl")[::2], lines(DEMO / "queries.jsonl"), known()
    for kind, (name, model) in itertools.product(sorted({q["category"] for q in anchors}), MODELS.items()):
        records = [{"index": i, "prompt": q["prompt"], "origin_query": q["prompt"], "score": float(o["is_correct"]),
                    "prompt_tokens": o.get("usage_prompt_tokens", 100), "completion_tokens": o["usage_completion_tokens"]}
                   for i, q in enumerate(anchors, 1) for o in [outcomes[q["id"], model]] if q["category"] == kind]
        path = folder / "results/bench" / kind / "test" / name / f"{kind}-test-{name}-20260102_030405.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"dataset_name": kind, "split": "test", "model_name": name, "records": records}))
    price = {p["id"]: p for p in json.loads((DEMO / "portfolio.json").read_text())}
    (folder / "prices.json").write_text(json.dumps({f"vendor/{name}": {
        "mode": "chat", "input_cost_per_token": price[m]["input"] / 1e6, "output_cost_per_token": price[m]["output"] / 1e6,
        "input_cost_per_token_batches": price[m]["input"] / 2e6, "output_cost_per_token_batches": price[m]["output"] / 2e6}
        for name, m in MODELS.items()}))
    nights = {"tonight.jsonl": queries[::8], "tomorrow.jsonl": queries[1::20]}
    for name, questions in nights.items():
        put(folder / name, questions)
    print(f"results/bench: {len(list(folder.rglob('*-test-*.json')))} files of {len(MODELS)} models; prices.json: {len(MODELS)} "
          "prices; " + "; ".join(f"{name}: {len(q)} questions" for name, q in nights.items()))


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


def answer(folder, send):
    text, outcomes = {q["prompt"]: q["id"] for q in lines(DEMO / "queries.jsonl")}, known()
    Server.truth = {(t, f"vendor/{name}"): outcomes[k, m] for t, k in text.items() for name, m in MODELS.items()}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    scores = []
    (folder / "answers").mkdir(exist_ok=True)
    for file in sorted((folder / "requests").glob("*.jsonl")):
        out = folder / "answers" / file.name
        send(f"http://127.0.0.1:{server.server_address[1]}", file, out)
        grades = [{"custom_id": a["custom_id"], "model": a["response"]["body"]["model"],
                   "score": int(a["response"]["body"]["choices"][0]["message"]["content"] == "right")} for a in lines(out)]
        scores += grades
        print(f"answers/{file.name}: {len(grades)} answers, {sum(g['score'] for g in grades)} right")
    server.shutdown()
    put(folder / "scores.jsonl", scores)


if __name__ == "__main__":
    if sys.argv[1:] == ["make"]:
        make(pathlib.Path("."))
    elif sys.argv[1:2] == ["answer"] and sys.argv[2:] in ([], ["--openai"]):
        answer(pathlib.Path("."), by_client if sys.argv[2:] else by_requests)
    else:
        sys.exit(__doc__)
