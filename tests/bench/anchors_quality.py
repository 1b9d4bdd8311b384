#!/usr/bin/env python3
"""How good are the anchors that tf-idf finds? AUC and Brier score of the k-nearest-anchor estimate (top 6, weights
similarity^2) over a data set, for the choices that src/cell/anchors.h made. Needs numpy and scipy.

    tests/bench/anchors_quality.py DIR        DIR: queries.jsonl anchors.jsonl outcomes.jsonl portfolio.json
"""
import collections
import json
import math
import pathlib
import re
import sys

import numpy as np
from scipy import sparse
from scipy.stats import rankdata

source = pathlib.Path(sys.argv[1])


def read(name):
    return [json.loads(line) for line in open(source / name, encoding="utf-8")]


anchors, queries = read("anchors.jsonl"), read("queries.jsonl")
models = [m["id"] for m in json.load(open(source / "portfolio.json", encoding="utf-8"))]
correct = {(o["id"], o["model_name"]): o["is_correct"] for o in read("outcomes.jsonl")}
truth = np.array([[correct[q["id"], m] for m in models] for q in queries], float)
known = np.array([[correct[a["id"], m] for m in models] for a in anchors], float)

WORD = r"[a-z0-9_\x80-\U0010ffff]+"
TOKENS = {
    "words": lambda s: re.findall(WORD, s.lower()),
    "words, punctuation": lambda s: re.findall(WORD + r"|[^\sa-z0-9_]", s.lower()),
}


def pairs(words):
    return words + [a + " " + b for a, b in zip(words, words[1:])]


TOKENS["words, pairs"] = lambda s: pairs(TOKENS["words"](s))
TOKENS["words, punctuation, pairs"] = lambda s: pairs(TOKENS["words, punctuation"](s))


def auc(p, y):
    r, n1 = rankdata(p), y.sum()
    return (r[y == 1].sum() - n1 * (n1 + 1) / 2) / (n1 * (len(y) - n1))


def vectors(docs, ids, weight, sublinear):
    rows, cols, values = [], [], []
    for i, doc in enumerate(docs):
        v = {w: (1 + math.log(n) if sublinear else n) * weight(w) for w, n in collections.Counter(doc).items() if w in ids}
        norm = math.sqrt(sum(x * x for x in v.values())) or 1
        rows += [i] * len(v)
        cols += [ids[w] for w in v]
        values += [x / norm for x in v.values()]
    return sparse.csr_matrix((values, (rows, cols)), shape=(len(docs), len(ids)))


for name, tokens in TOKENS.items():
    a_docs, q_docs = [tokens(a["prompt"]) for a in anchors], [tokens(q["prompt"]) for q in queries]
    ids = {w: i for i, w in enumerate(sorted({w for d in a_docs for w in d}))}
    for fitted in "anchors", "anchors and queries":
        docs = a_docs if fitted == "anchors" else a_docs + q_docs
        df = collections.Counter(w for d in docs for w in set(d))
        for sublinear in True, False:
            def weight(w):
                return math.log((1 + len(docs)) / (1 + df[w])) + 1
            sim = (vectors(q_docs, ids, weight, sublinear) @ vectors(a_docs, ids, weight, sublinear).T).toarray()
            top = np.argsort(-sim, axis=1, kind="stable")[:, :6]
            w = np.take_along_axis(sim, top, 1) ** 2 + 1e-12
            p = (w[:, :, None] * known[top]).sum(1) / w.sum(1)[:, None]
            print(f"{name:26} idf of {fitted:20} {'1 + ln n' if sublinear else 'n':9}"
                  f" AUC {auc(p.ravel(), truth.ravel()):.4f}  Brier {((p - truth) ** 2).mean():.4f}", flush=True)
