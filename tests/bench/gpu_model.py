#!/usr/bin/python3
"""What the cuda backend should take on a card, from counted work: the program itself schedules a queue of cells on a
device that computes nothing and writes down every step's products, launches and attention work (rt_count.c); this
turns the counts into times.

  tests/bench/gpu_model.py build/tests/scope-grid-count [--check tests/bench/gpu-model.md]

prints the tables of gpu-model.md; with --check it fails when the file has others. Nothing is measured here. What a card
reaches of its data sheet is assumed, by the constants below; the instructions of our attention kernels are read from
tests/cuda/machine_code.txt, which a test compares with the machine code for sm_90a.
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
SAMPLES, PROMPT_TOKENS, NEW = 8, 2000, 250

# data sheets: bytes a second, dense bf16 flops a second, SMs, clock under load (assumed)
CARDS = {"H200": (4.8e12, 989e12, 132, 1.755e9), "H100": (3.35e12, 989e12, 132, 1.755e9)}
FREE_MIB = {"H200": 143771 - 700, "H100": 81559 - 700}  # as nvidia-smi tells it, less a context
COPY = 0.92                                # of the memory rate, by a kernel that only moves
TILES = {(128, 256): 0.80, (128, 192): 0.77, (128, 128): 0.72}  # of the tensor rate, in a product's main loop by such tiles
GAP = 0.5e-6                               # between two kernels without a graph, s
IPC = 0.5                                  # warp instructions a scheduler (4 an SM) and cycle, attention at 2 warps each
IPC_FULL = 0.8                             # the same of kernels without shared memory, 8 warps and more each
SWEEPS, LOGIT = 2, 24 + 8                  # of the sampler over its logits with top_k; instructions a logit of both
OVERLAP_ROWS = 512                         # engine.overlap_rows, where steps are computed in two halves
ENOUGH = 0.6                               # part of the SMs that moves all the bytes that the memory can
WARPS = 4                                  # of an attention block


def machine_code():
    """{kernel: (instructions of all its code, of its main loop)} for sm_90a."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cuda", "machine_code.txt")
    with open(path) as f:
        rows = [line.rsplit(" ", 6) for line in f if not line.startswith("#")]
    return {r[0]: (int(r[2]), int(r[3])) for r in rows if r[1] == "sm_90a"}


# warp instructions of the loop: a page of prompt keys (32 rows, 64 HMMA), a page of a suffix, 64 keys of 32 prefill rows,
# a split of a (row, head); and of the code around it, taken to run once a warp
CODE = machine_code()
(PROMPT, PROMPT_PAGE), (SUFFIX, SUFFIX_PAGE), (PREFILL, PREFILL_STEP), (MERGE, MERGE_SPLIT) = (
    (CODE[k][0] - CODE[k][1], CODE[k][1]) for k in (
        "attn_prompt_kernel<__nv_bfloat16, 32>", "attn_suffix_kernel<__nv_bfloat16>", "attn_prefill_kernel<__nv_bfloat16>",
        "attn_merge_kernel<__nv_bfloat16>"))


def count(binary, cells, batch, memory, kv_mib, overlap=0):
    """(bench object, steps) of `cells` cells."""
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "steps")
        env = dict(os.environ, COUNT_FILE=path, COUNT_MEMORY_MIB=str(memory))
        out = subprocess.run(
            [binary, "bench", "--random", "qwen3-4b", "--device", "cuda", "--cells", str(cells), "--samples",
             str(SAMPLES), "--prompt-tokens", str(PROMPT_TOKENS), "--new-tokens", str(NEW), "--kv-cache-mib", str(kv_mib),
             "--max-batch-tokens", str(batch), "--overlap-rows", str(overlap), "--operators", "--json"],
            env=env, stdout=subprocess.PIPE, check=True)
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


def work(s, shared=True):
    """{stage: (bytes, warp instructions over what a scheduler issues a cycle)} of a step but for its products. Not shared:
    every row reads its prompt for itself, as a server with prefix caching alone does; the rest is the same."""
    page_bytes = 2 * PAGE * HEAD_DIM * 2  # keys and values of one key-value head
    blocks = s["groups"] * KV_HEADS * -(-PROMPT_TOKENS // 512) * LAYERS
    rows = s["decode_rows"] * KV_HEADS * LAYERS
    pages = s["prompt_pages"] if shared else s["prompt_row_pages"]
    around = (blocks if shared else rows * -(-PROMPT_TOKENS // 512)) * WARPS * (PROMPT if shared else SUFFIX)
    return {
        "attention, prompts": (pages * page_bytes, (pages * (PROMPT_PAGE if shared else SUFFIX_PAGE) + around) / IPC),
        "attention, suffixes": (s["suffix_pages"] * page_bytes,
                                (s["suffix_pages"] * SUFFIX_PAGE + rows * WARPS * SUFFIX) / IPC),
        "splits": (s["partials"] * PARTIAL * 4 * 2,
                   (s["partials"] * MERGE_SPLIT + s["decode_rows"] * Q_HEADS * LAYERS * MERGE) / IPC_FULL),
        "attention, prefill": (s["prefill_pages"] * page_bytes,
                               (s["prefill_tile_pairs"] / (32 * 64) * PREFILL_STEP
                                + s["prompt_rows"] / 32 * Q_HEADS * LAYERS * PREFILL) / IPC),
        "qkv, norm, swiglu": (s["rows"] * LAYERS * (4 * (Q_HEADS + 2 * KV_HEADS) * HEAD_DIM + 24 * HIDDEN + 6 * FFN), 0),
        "sampling": (s["drawn"] * s["vocab"] * 4 * SWEEPS, s["drawn"] * s["vocab"] / 32 * LOGIT / IPC_FULL),
    }


def limits(card):
    """(bytes a second by a kernel that moves, warp instructions a second at one a scheduler and cycle)"""
    bandwidth, _, sms, clock = CARDS[card]
    return bandwidth * COPY, 4 * sms * clock


def products(s, card, out_bytes):
    return sum(c * product(card, m, n, k, b) for m, n, k, b, c in s["products"] if b == out_bytes)


def stages(s, card, shared=True):
    """Seconds of a step's stages, each at its own limit, one after another."""
    bandwidth, issue = limits(card)
    out = {"linear": products(s, card, 2), "LM head": products(s, card, 4)}
    out.update({name: max(moved / bandwidth, issued / issue) for name, (moved, issued) in work(s, shared).items()})
    calls = sum(s["launches"].values()) + sum(p[4] for p in s["products"]) + s["copies"]
    out["gaps"] = calls * GAP
    return out


def side_by_side(s, card):
    """Seconds of a step in two halves: one after the other; at best where an SM belongs to one of them at a time, the
    products' or the others'; and where products and others share every SM, each at its own limit."""
    bandwidth, issue = limits(card)
    t = stages(s, card)
    apart = t["LM head"] + t["sampling"]
    beside = {k: v for k, v in work(s).items() if k != "sampling"}
    moved = sum(c * (2 * (m * k + n * k) + b * m * n) for m, n, k, b, c in s["products"] if b == 2)
    memory = (moved + sum(b for b, _ in beside.values())) / bandwidth
    others = sum(t[k] for k in beside)
    ends = (t["linear"] + others) / (2 * LAYERS)  # of the first and last half of a layer nothing is beside
    divided = min(max(t["linear"] / (1 - f), sum(max(b / (bandwidth * min(1, f / ENOUGH)), i / (issue * f))
                                                 for b, i in beside.values())) for f in (x / 100 for x in range(5, 96)))
    one = sum(t.values())
    return one, min(one, max(divided, memory) + ends + apart), max(t["linear"], others, memory) + ends + apart


def total(steps, card, shared=True):
    out = {}
    for s in steps:
        for name, t in stages(s, card, shared).items():
            out[name] = out.get(name, 0) + t
    return out


def fitting(binary, card, batch, overlap=0):
    """Cells whose prompts and full answers fit into nine tenths of the free memory, as gpu.sh asks for; MiB of it."""
    bench, _ = count(binary, 1, batch, FREE_MIB[card], 1024, overlap)
    held = (-(-PROMPT_TOKENS // PAGE) + SAMPLES * -(-NEW // PAGE)) * PAGE
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
    fit, kv_halves, more = fitting(binary, card, batch, OVERLAP_ROWS)
    lines += ["", f"The same in two halves on two streams (engine.overlap_rows {OVERLAP_ROWS}): {(more - workspace) / 1e9:.2f} GB "
              f"more of workspace, {fit} cells fit.", "",
              "| ms of a decode step of | rows | whole | halves, nothing beside | SMs divided | SMs shared |", "| --- " * 6 + "|"]
    half = middle([x for x in count(binary, fit, batch, FREE_MIB[card], kv_halves, OVERLAP_ROWS)[1] if x["halves"]])
    lines.append(f"| {card} | {half['decode_rows']} | {1e3 * sums[0]:.1f} | "
                 + " | ".join(f"{1e3 * t:.1f}" for t in side_by_side(half, card)) + " |")
    _, queue = count(binary, 3 * cells, batch, FREE_MIB[card], kv_halves, OVERLAP_ROWS)
    seconds = [sum(side_by_side(s, card)[i] if s["halves"] else sum(stages(s, card).values()) for s in queue) for i in range(3)]
    lines += ["", f"The queue below in halves ({sum(s['halves'] for s in queue)} of {len(queue)} steps): "
              + ", ".join(f"{3 * cells * SAMPLES * NEW / t:,.0f}" for t in seconds)
              + " output tokens/s with nothing beside, SMs divided, SMs shared."]
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
