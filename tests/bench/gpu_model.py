#!/usr/bin/python3
"""What the cuda backend should take on a card, from counted work: the program itself schedules a queue of cells on a
device that computes nothing and writes down every step's products, launches and attention work (rt_count.c); this
turns the counts into times.

  tests/bench/gpu_model.py build/tests/scope-grid-count [--check tests/bench/gpu-model.md]

prints the tables of gpu-model.md; with --check it fails when the file has others. Nothing is measured here. What a card
reaches of its data sheet, and the instructions of our kernels, are the constants below: the first are assumed, the
second counted in the machine code for sm_90a (tests/cuda/README.md); when a kernel changes, change them.
"""
import json
import os
import subprocess
import sys
import tempfile

# Qwen3-4B
LAYERS, Q_HEADS, KV_HEADS, HEAD_DIM, HIDDEN, FFN = 36, 32, 8, 128, 2560, 9728
KV_TOKEN = LAYERS * KV_HEADS * HEAD_DIM * 2 * 2  # bytes
PAGE, PARTIAL = 16, 132                          # layout.h, launch.h
SAMPLES, PROMPT, NEW = 8, 2000, 250

# data sheets: bytes a second, dense bf16 flops a second, SMs, clock under load (assumed)
CARDS = {"H200": (4.8e12, 989e12, 132, 1.755e9), "H100": (3.35e12, 989e12, 132, 1.755e9)}
FREE_MIB = {"H200": 143771 - 700, "H100": 81559 - 700}  # as nvidia-smi tells it, less a context
COPY = 0.92                                # of the memory rate, by a kernel that only moves
TILES = {(128, 256): 0.80, (128, 192): 0.77, (128, 128): 0.72}  # of the tensor rate, in a product's main loop by such tiles
GAP = 0.5e-6                               # between two kernels without a graph, s
IPC = 0.5                                  # warp instructions a scheduler (4 an SM) and cycle, attention at 2 warps each

# warp instructions: a page of prompt keys (32 rows, 64 HMMA), the merge of a prompt block (32 rows x 135), a page of a
# suffix, 64 keys of 16 prefill rows (of a warp's 32)
PROMPT_PAGE, PROMPT_BLOCK, SUFFIX_PAGE, PREFILL_STEP = 930, 32 * 135, 517, 1388 / 2
SWEEPS = 5                                 # of the sampler over its logits


def count(binary, cells, batch, memory, kv_mib):
    """(bench object, steps) of `cells` cells."""
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "steps")
        env = dict(os.environ, COUNT_FILE=path, COUNT_MEMORY_MIB=str(memory))
        out = subprocess.run(
            [binary, "bench", "--random", "qwen3-4b", "--device", "cuda", "--cells", str(cells), "--samples",
             str(SAMPLES), "--prompt-tokens", str(PROMPT), "--new-tokens", str(NEW), "--kv-cache-mib", str(kv_mib),
             "--max-batch-tokens", str(batch), "--operators", "--json"], env=env, stdout=subprocess.PIPE, check=True)
        with open(path) as f:
            return json.loads(out.stdout), [json.loads(line) for line in f]


def product(card, m, n, k, out_bytes):
    """Seconds: whole waves of tiles over the SMs, or the bytes."""
    bandwidth, flops, sms, _ = CARDS[card]
    m = -(-m // 64) * 64
    moved = 2 * (m * k + n * k) + out_bytes * m * n
    best = 0
    for (tm, tn), part in TILES.items():
        tiles = -(-m // tm) * -(-n // tn)
        t = -(-tiles // sms) * 2 * tm * tn * k / (flops / sms * part)
        best = min(best, t) if best else t
    return max(best, moved / (bandwidth * COPY))


def stages(s, card, shared=True):
    """Seconds of a step's stages. Not shared: every row reads its prompt for itself, as a server with prefix caching
    alone does; the rest is the same."""
    bandwidth, _, sms, clock = CARDS[card]
    bandwidth *= COPY
    issue = 4 * sms * clock * IPC
    page_bytes = 2 * PAGE * HEAD_DIM * 2  # keys and values of one key-value head
    head = [p for p in s["products"] if p[3] == 4]
    rest = [p for p in s["products"] if p[3] == 2]
    blocks = s["groups"] * KV_HEADS * -(-PROMPT // 512) * LAYERS
    pages = s["prompt_pages"] if shared else s["prompt_row_pages"]
    out = {
        "linear": sum(c * product(card, m, n, k, b) for m, n, k, b, c in rest),
        "LM head": sum(c * product(card, m, n, k, b) for m, n, k, b, c in head),
        "attention, prompts": max(pages * page_bytes / bandwidth,
                                  (pages * PROMPT_PAGE + blocks * PROMPT_BLOCK if shared else pages * SUFFIX_PAGE) / issue),
        "attention, suffixes": max(s["suffix_pages"] * page_bytes / bandwidth, s["suffix_pages"] * SUFFIX_PAGE / issue),
        "splits": s["partials"] * PARTIAL * 4 * 2 / bandwidth,
        "attention, prefill": max(s["prefill_pages"] * page_bytes / bandwidth,
                                  s["prefill_tile_pairs"] / (16 * 64) * PREFILL_STEP / issue),
        "qkv, norm, swiglu": (s["rows"] * LAYERS * (4 * (Q_HEADS + 2 * KV_HEADS) * HEAD_DIM + 24 * HIDDEN + 6 * FFN))
                             / bandwidth,
        "sampling": s["drawn"] * s["vocab"] * 4 * SWEEPS / bandwidth,
    }
    calls = sum(s["launches"].values()) + sum(p[4] for p in s["products"]) + s["copies"]
    out["gaps"] = calls * GAP
    return out


def total(steps, card, shared=True):
    out = {}
    for s in steps:
        for name, t in stages(s, card, shared).items():
            out[name] = out.get(name, 0) + t
    return out


def fitting(binary, card, batch):
    """Cells whose prompts and full answers fit into nine tenths of the free memory, as gpu.sh asks for; MiB of it."""
    bench, _ = count(binary, 1, batch, FREE_MIB[card], 1024)
    held = (-(-PROMPT // PAGE) + SAMPLES * -(-NEW // PAGE)) * PAGE
    room = bench["device_free_bytes"] * 9 // 10 - bench["workspace_bytes"]
    return room // (KV_TOKEN * held), (room >> 20), bench["workspace_bytes"]


def middle(steps):
    """The decode step of most rows, in the middle of those."""
    most = max(s["decode_rows"] for s in steps if not s["prompt_rows"])
    best = [s for s in steps if not s["prompt_rows"] and s["decode_rows"] == most]
    return best[len(best) // 2]


def tables(binary):
    lines = []
    card, batch = "H200", 4096
    cells, kv, workspace = fitting(binary, card, batch)
    _, once = count(binary, cells, batch, FREE_MIB[card], kv)
    one = middle(once)
    fewer, kv_h100, _ = fitting(binary, "H100", batch)
    other = middle(count(binary, fewer, batch, FREE_MIB["H100"], kv_h100)[1])
    lines += [f"{cells} cells fit on an H200 (0.9 of what the weights leave, less {workspace / 1e9:.2f} GB of workspace), "
              f"{fewer} on an H100 of 80 GB.",
              f"One decode step of {one['decode_rows']} rows, {one['suffix_pages'] // (LAYERS * KV_HEADS * one['decode_rows']) * PAGE}"
              " tokens of suffix: "
              + f"{sum(p[4] for p in one['products'])} products ({sum(p[4] for p in one['products'] if p[3] == 4)} of the head), "
              f"{sum(one['launches'].values())} kernels, {one['copies']} copies.", "",
              f"| stage, ms | H200 | H200, prompts not shared | H100, {other['decode_rows']} rows |", "| --- " * 4 + "|"]
    columns = [stages(one, "H200"), stages(one, "H200", False), stages(other, "H100")]
    rows = [one["decode_rows"], one["decode_rows"], other["decode_rows"]]
    for name in columns[0]:
        if name != "attention, prefill":
            lines.append(f"| {name} | " + " | ".join(f"{1e3 * c[name]:.2f}" for c in columns) + " |")
    sums = [sum(c.values()) for c in columns]
    lines.append("| sum | " + " | ".join(f"{1e3 * t:.1f}" for t in sums) + " |")
    lines.append("| tokens/s, decode alone | " + " | ".join(f"{n / t:,.0f}" for n, t in zip(rows, sums)) + " |")
    lines += ["", f"A queue of {3 * cells} cells on an H200, prompts among the answers as they come:", "",
              "| max_batch_tokens | workspace GB | cells that fit | steps | kernels a step | s | output tokens/s "
              "| not shared | host at 5 us a call, % |", "| --- " * 9 + "|"]
    for b in (1024, 2048, 4096, 8192):
        fit, kv, workspace = fitting(binary, card, b)
        bench, steps = count(binary, 3 * cells, b, FREE_MIB[card], kv)
        t, apart = sum(total(steps, card).values()), sum(total(steps, card, False).values())
        calls = sum(sum(s["launches"].values()) + sum(p[4] for p in s["products"]) for s in steps)
        made = 3 * cells * SAMPLES * NEW
        lines.append(f"| {b} | {workspace / 1e9:.2f} | {fit} | {len(steps)} | {calls / len(steps):.0f} | {t:.1f} "
                     f"| {made / t:,.0f} | {made / apart:,.0f} | {100 * calls * 5e-6 / t:.0f} |")
        if b == 4096:
            parts = total(steps, card)
    lines += ["", "Where the time of that queue goes at 4096, in %: "
              + ", ".join(f"{name} {100 * v / sum(parts.values()):.1f}" for name, v in parts.items()) + "."]
    return "\n".join(lines)


def main():
    text = tables(sys.argv[1])
    print(text)
    if len(sys.argv) == 4 and sys.argv[2] == "--check":
        with open(sys.argv[3]) as f:
            if text not in f.read():
                sys.exit(f"{sys.argv[3]}: its tables are others: copy what was printed above into it")


if __name__ == "__main__":
    main()
