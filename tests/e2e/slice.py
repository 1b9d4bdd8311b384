"""slice.py FROM TO QUERIES MODELS [CALIBRATION]: a small job of the demo's first queries and models, in the folder TO,
with as many calibration anchors (0)."""
import json, os, sys

source, to, n_queries, n_models = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
os.makedirs(to, exist_ok=True)


def lines(name):
    with open(os.path.join(source, name), encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.strip()]


def write(name, records):
    with open(os.path.join(to, name), "w", encoding="utf-8") as f:
        for r in records:
            f.write(json.dumps(r, ensure_ascii=False) + "\n")


portfolio = json.load(open(os.path.join(source, "portfolio.json"), encoding="utf-8"))[:n_models]
queries = lines("queries.jsonl")[:: max(1, 120 // n_queries)][:n_queries]
anchors = lines("anchors.jsonl")
known = {q["id"] for q in queries} | {a["id"] for a in anchors}
names = {m[k] for m in portfolio for k in ("id", "name") if m.get(k)}
write("queries.jsonl", queries)
write("anchors.jsonl", anchors)
write("outcomes.jsonl", [o for o in lines("outcomes.jsonl") if o["id"] in known and o["model_name"] in names])
json.dump(portfolio, open(os.path.join(to, "portfolio.json"), "w"))
if not os.path.exists(os.path.join(to, "model")):
    os.symlink(os.path.join(os.path.abspath(source), "model"), os.path.join(to, "model"))
json.dump({
    "name": "slice",
    "model": {"path": "model"},
    "queries": "queries.jsonl", "anchors": "anchors.jsonl", "outcomes": "outcomes.jsonl",
    "portfolio": "portfolio.json",
    "prompt": {"anchors": 2, "anchor_chars": 80},
    "calibration": {"anchors": int(sys.argv[5]) if len(sys.argv) > 5 else 0},
    "sampling": {"samples": 3, "temperature": 0.6, "max_new_tokens": 80, "seed": 1},
    "engine": {"max_batch_tokens": 512, "kv_cache_mib": 64},
    "output": {"dir": "run"},
}, open(os.path.join(to, "job.json"), "w"), indent=1)
