#!/usr/bin/env python3
"""scale_job.py DIR QUERIES MODELS: a job of QUERIES x MODELS cells with short prompts, for the simulated device.
Prints the job file's path. The same arguments give the same files."""
import json
import os
import random
import sys

folder, n_queries, n_models = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.makedirs(folder, exist_ok=True)
rng = random.Random(1)
words = [f"w{i}" for i in range(500)]


def question(n):
    return " ".join(rng.choices(words, k=n))


def write(name, records):
    with open(os.path.join(folder, name), "w") as f:
        for r in records:
            f.write(json.dumps(r) + "\n")


anchors = [{"id": f"a{i}", "prompt": question(12)} for i in range(20)]
models = [{"id": f"lab/m{i}", "input": 0.1 + i * 0.01, "output": 0.5 + i * 0.02} for i in range(n_models)]
write("queries.jsonl", ({"id": f"q{i}", "prompt": question(4 + rng.randrange(20))} for i in range(n_queries)))
write("anchors.jsonl", anchors)
write("portfolio.jsonl", models)
write("outcomes.jsonl", ({"id": a["id"], "model_name": m["id"], "is_correct": rng.random() < 0.5,
                          "usage_completion_tokens": rng.randrange(20, 900)} for a in anchors for m in models))
job = {"name": "scale", "model": {"path": "none"}, "queries": "queries.jsonl", "anchors": "anchors.jsonl",
       "outcomes": "outcomes.jsonl", "portfolio": "portfolio.jsonl", "prompt": {"anchors": 3}, "calibration": {"anchors": 0},
       "sampling": {"samples": 1, "max_new_tokens": 64}, "output": {"dir": "run", "texts": False}}
path = os.path.join(folder, "job.json")
with open(path, "w") as f:
    json.dump(job, f, indent=1)
print(path)
