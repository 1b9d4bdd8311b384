#!/usr/bin/env python3
"""scope-grid score, embed and generate on the cuda device against an independent Qwen3 in NumPy, on random
checkpoints: every ratio of query to key heads from 1 to 8, head sizes up to 128, widths and vocabularies that are a
multiple of nothing, bf16, f16 and f32, tied and untied heads, shards. No data from outside.

usage: random_checkpoints.py PROGRAM [--cases N] [--seed S] [--device cuda]
The reference multiplies what the device does, weights rounded to bf16; the bounds are those of test_emu_oracle,
derived by bf16_error.py for each prompt: the rms of the errors of a checkpoint at most twice the predicted, no number
off by more than 5 standard deviations times 2. A greedy token may be another one only where the two logits are within 4 standard
deviations of their difference times 2. Exit 77 without NumPy.
"""
import argparse, math, os, sys, tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.join(here, "..", "e2e")]
import bf16_error as theory  # exits with 77 without NumPy
import numpy_reference as reference
import numpy as np

DIMS = (128, 8, 64, 24, 120, 40, 96, 80)
LENGTHS = (1, 16, 17, 65, 140)


def make_case(n, rng):
    """Ratio and head size by number, so that eight cases have them all; the rest by chance."""
    pick = lambda *v: v[int(rng.integers(len(v)))]
    ratio, kv = n % 8 + 1, pick(1, 2, 3)
    return dict(layers=pick(1, 2, 3), hidden=pick(77, 101, 136, 200), head_dim=DIMS[n % 8], kv_heads=kv,
                q_heads=kv * ratio, inter=pick(57, 131, 203, 256), vocab=pick(97, 511, 1000, 1031), eps=pick(1e-6, 1e-5),
                theta=pick(1e4, 1e6, 5e6), dtype=pick("BF16", "F16", "F32"), prefix="model.", tied=pick(True, False),
                shards=pick(1, 2, 5), new_form=pick(True, False), pad=pick(0, 1, 3))


def rounded(m):
    """The model that the device holds: matrices in bf16, norm weights as they are."""
    c = {"num_hidden_layers": m.c["layers"], "head_dim": m.c["head_dim"], "rope_theta": m.c["theta"],
         "rms_norm_eps": m.c["eps"]}
    return theory.Model(c, {name: theory.to_bf16(w) if w.ndim == 2 else w for name, w in m.w.items()})


class Checked:
    """Rows of numbers from the device against the reference's."""

    def __init__(self):
        self.squares, self.worst_rms, self.most, self.tosses = [], 0.0, 0.0, 0

    def row(self, what, got, want, error, pooled=True):
        off = (got - want) / error
        if pooled:
            self.squares.append((off * off).mean())
        self.most = max(self.most, abs(off).max())
        if not abs(off).max() < 10:  # NaN too
            sys.exit(f"FAIL: {what}: {got[abs(off).argmax()]} is off by {abs(off).max():.2f} of the {error:.3g} predicted")

    def checkpoint(self, what):
        rms = math.sqrt(np.mean(self.squares))
        self.squares, self.worst_rms = [], max(self.worst_rms, rms)
        if not rms < 2:
            sys.exit(f"FAIL: {what}: rms of the errors is {rms:.2f} times what was predicted")


def check_score(what, checked, got, logits, error, ids):
    spread, top = logits.std(1), logits.max(1)
    checked.row(f"{what}: logits", np.array(got["last_logits"]), logits[-1], error[-1] * spread[-1])
    lse = top + np.log(np.exp(logits - top[:, None]).sum(1))
    for t, x in enumerate(got["logprobs"]):  # a logit less the normaliser, a mean of errors: sqrt 2 at most
        checked.row(f"{what}: log-probability {t}", np.array([x]), logits[t, ids[t + 1]] - lse[t],
                    math.sqrt(2) * error[t] * spread[t], pooled=False)


def check_greedy(what, checked, m, ids, tokens):
    ids = list(ids)
    for t in tokens:
        logits = m.forward(np.array(ids))[1][-1]
        sd = math.sqrt(2) * theory.predict(m, np.array(ids))[0][-1] * logits.std()
        if logits.max() - logits[t] > 8 * sd:
            sys.exit(f"FAIL: {what}: token {t} after {len(ids)} is {(logits.max() - logits[t]) / sd:.1f} deviations "
                     "below the largest logit")
        checked.tosses += int(logits.max() > logits[t])
        ids.append(t)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("program")
    ap.add_argument("--cases", type=int, default=8)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--device", default="cuda")
    a = ap.parse_args()
    checked = Checked()
    for n in range(a.cases):
        rng = np.random.default_rng([a.seed, n])
        case = make_case(n, rng)
        m = reference.Model(rng, case)
        kept = rounded(m)
        prompts = [rng.integers(3, case["vocab"], k).tolist() for k in LENGTHS]
        lines = [{"ids": p} for p in prompts]
        with tempfile.TemporaryDirectory() as d:
            m.save(d, rng)
            tail = ["--model", d, "--device", a.device, "--max-context", "256", "--kv-cache-mib", "64"]
            scores = reference.call([a.program, "score", *tail], lines)
            vectors = reference.call([a.program, "embed", *tail], lines)
            greedy = ["--temperature", "0", "--max-new-tokens", "4"]
            answers = reference.call([a.program, "generate", *tail, *greedy], lines)
        for ids, score, vector, answer in zip(prompts, scores, vectors, answers):
            what = f"case {n} {case}: {len(ids)} tokens"
            h, logits = kept.forward(np.array(ids))
            error = theory.predict(kept, np.array(ids))[0]
            check_score(what, checked, score, logits, error, ids)
            unit = h[-1] / np.linalg.norm(h[-1])
            checked.row(f"{what}: embedding", np.array(vector["embedding"]), unit, error[-1] / math.sqrt(len(unit)))
            if len(ids) < 100:
                check_greedy(what, checked, kept, ids, answer["samples"][0]["ids"])
        checked.checkpoint(f"case {n} {case}")
    print(f"{a.cases} random checkpoints agree on {a.device}: worst rms {checked.worst_rms:.2f}, worst number "
          f"{checked.most:.1f} of the predicted errors; {checked.tosses} tosses of greedy tokens")


main()
