#!/usr/bin/env python3
"""Makes the demo's data from a folder with the ZeroEval files: queries.jsonl, anchors.jsonl, outcomes.jsonl,
portfolio.json (the formats of README.md). Same input, same output, byte for byte.

    jobs/demo/make_slice.py DIR [OUT]

Takes all anchors; QUERIES queries, shared evenly among the categories, each category's picked by a keyed hash
of the id, so that no outcome has a say in it; the MODELS below, picked by price alone, from the cheapest of the
portfolio to the dearest; and the outcomes of those models on those questions.
"""
import hashlib
import json
import pathlib
import sys

QUERIES = 64
KEY = "scope-grid demo 1"
MODELS = [
    "google/gemma-2-2b-it",
    "openai/gpt-4o-mini",
    "meta-llama/llama-3-8b-instruct",
    "meta-llama/llama-3.1-70b-instruct",
    "google/gemini-1.5-pro",
    "meta-llama/llama-3.1-405b-instruct",
    "openai/gpt-4o-2024-05-13",
    "anthropic/claude-3-opus",
]


def read(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def write(path, records):
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        for r in records:
            f.write(json.dumps(r, ensure_ascii=False) + "\n")


def rank(query):
    return hashlib.sha256(f"{KEY}:{query['id']}".encode()).digest()


def choose(queries):
    categories = sorted({q["category"] for q in queries})
    chosen = set()
    for i, c in enumerate(categories):
        n = QUERIES // len(categories) + (i < QUERIES % len(categories))
        chosen |= {q["id"] for q in sorted((q for q in queries if q["category"] == c), key=rank)[:n]}
    return [q for q in queries if q["id"] in chosen]  # in the order of the input


def main(source, out):
    def question(q):
        return {k: q[k] for k in ("id", "prompt", "category")}

    anchors = read(source / "anchors.jsonl")
    queries = choose(read(source / "queries.jsonl"))
    portfolio = {m["id"]: m for m in json.loads((source / "portfolio.json").read_text(encoding="utf-8"))}
    asked = {q["id"] for q in anchors} | {q["id"] for q in queries}
    outcomes = [o for o in read(source / "outcomes.jsonl") if o["id"] in asked and o["model_name"] in MODELS]
    assert len(outcomes) == len(asked) * len(MODELS), "an outcome is missing or stands twice"

    write(out / "anchors.jsonl", map(question, anchors))
    write(out / "queries.jsonl", map(question, queries))
    write(out / "outcomes.jsonl", outcomes)
    rows = ",\n".join(" " + json.dumps(portfolio[m], ensure_ascii=False) for m in MODELS)
    (out / "portfolio.json").write_text(f"[\n{rows}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]) if len(sys.argv) == 3 else pathlib.Path(__file__).parent)
