#!/usr/bin/python3
"""Flops, bytes and predicted times of one step of the cuda backend, from the shapes the code uses.

  tests/bench/gpu_model.py            the tables of gpu-model.md
Change a formula here when a kernel changes what it moves; kernels/cuda/*.cu state both at their top.
"""
import math

# Qwen3-4B: config.json
HIDDEN, LAYERS, Q_HEADS, KV_HEADS, HEAD_DIM, FFN, VOCAB = 2560, 36, 32, 8, 128, 9728, 151936
SPLIT, PAD, PARTIAL = 512, 64, 132  # launch.h: SG__SPLIT_KEYS, SG__PARTIAL_FLOATS; rt.h: SG_RT_GEMM_ROWS

LINEAR = LAYERS * (HIDDEN * (Q_HEADS + 2 * KV_HEADS) * HEAD_DIM + Q_HEADS * HEAD_DIM * HIDDEN + 3 * HIDDEN * FFN)
HEAD = VOCAB * HIDDEN
MAP_ROWS = LAYERS * ((Q_HEADS + 2 * KV_HEADS) * HEAD_DIM + HIDDEN + 2 * FFN + HIDDEN)

# data sheets; what a copy kernel and cuBLAS reach of them, assumed until measured (scope-grid bench)
CARDS = {"H200": (4.8e12, 989e12), "H100": (3.35e12, 989e12)}
COPY, PRODUCT = 0.92, 0.75


def step(rows, cells, prompt, suffix, shared=True, fp8=False):
    """Stages of one decode step: {name: (flops, bytes)}."""
    padded = math.ceil(rows / PAD) * PAD
    width = (Q_HEADS + 2 * KV_HEADS) * HEAD_DIM
    moved = (HIDDEN + width) + (Q_HEADS * HEAD_DIM + HIDDEN) + (HIDDEN + 2 * FFN) + (FFN + HIDDEN)
    keys = (cells if shared else rows) * prompt
    kv_bytes = LAYERS * KV_HEADS * HEAD_DIM * 2 * 2
    pair_flops = LAYERS * 4 * Q_HEADS * HEAD_DIM
    splits = math.ceil(prompt / SPLIT) + math.ceil(suffix / SPLIT)
    stages = {
        "linear": (2 * padded * LINEAR, 2 * LINEAR + LAYERS * 2 * rows * moved),
        "logits": (2 * padded * HEAD, 2 * HEAD + rows * (2 * HIDDEN + 4 * VOCAB)),
        "attention, prompts": (rows * prompt * pair_flops, keys * kv_bytes),
        "attention, suffixes": (rows * suffix * pair_flops, rows * suffix * kv_bytes),
        "attention, splits": (0, LAYERS * rows * Q_HEADS * splits * PARTIAL * 4 * 2),
        "qkv_rope": (LAYERS * rows * 7 * (Q_HEADS + KV_HEADS) * HEAD_DIM, LAYERS * rows * width * 4),
        "norm": ((2 * LAYERS + 1) * rows * 5 * HIDDEN, (2 * LAYERS + 1) * rows * 12 * HIDDEN),
        "swiglu": (LAYERS * rows * 5 * FFN, LAYERS * rows * 6 * FFN),
        "sample": (0, rows * VOCAB * 4 * 4),
    }
    if fp8:  # dequant.cu: codes read, bf16 written, which the products read as before
        stages["dequant"] = (0, 3 * LINEAR + 4 * MAP_ROWS)
    return stages


def weight_bytes(fp8):
    """Embedding and head are one (tied); the scratch of fp8 is the largest weight in bf16."""
    return 2 * HEAD + (LINEAR + 4 * MAP_ROWS + 2 * 2 * FFN * HIDDEN if fp8 else 2 * LINEAR)


def times(stages, card):
    """Seconds: each stage one after another, and as if copies and products fully overlapped."""
    bandwidth, flops = CARDS[card][0] * COPY, CARDS[card][1] * PRODUCT
    serial = sum(max(f / flops, b / bandwidth) for f, b in stages.values())
    overlapped = max(sum(f for f, _ in stages.values()) / flops, sum(b for _, b in stages.values()) / bandwidth)
    return serial, overlapped


# Calls a layer: two norms, qkv_rope, attention of prompts, three kernels of decode attention, swiglu, four products; and
# where rows are no whole number of tiles, as in steps with prompts, a copy, a clear, a product and a copy for each.
CALLS = LAYERS * (2 + 1 + 1 + 3 + 1 + 4 + 4 * 4)
CALL, GAP = 5e-6, 0.5e-6  # assumed: the host's time a call; what lies more between two kernels without a graph
PREFILL = 0.55            # of the tensor rate


def ended_row(rows, cells, prompt, new, card):
    """What a step would save, in parts of it, if the row in flight behind every answer's end were passed over on the
    device: all its products stay (their tiles are launched) and so does the prompt's tile of its group."""
    stages = step(rows, cells, prompt, new // 2)
    alone = {name: stages[name] for name in stages if name not in ("linear", "logits", "attention, prompts")}
    alone["attention, suffixes"] = tuple(2 * x for x in stages["attention, suffixes"])  # at its full length
    return times(alone, card)[0] / new / times(stages, card)[0]


# float32 (model.compute_type): FMA rate of the data sheets, what cuBLAS and our attention reach of it, assumed
F32_FLOPS, F32_PRODUCT, F32_ATTENTION = 67e12, 0.75, 0.45


def step_f32(rows, cells, prompt, suffix):
    """Seconds of the same step on an H100 in float32: expanding weights, products, attention, the rest; one after
    another. Weights: 2 bytes read, 4 written, which the products then read; KV and activations twice the bytes; splits and sampling
    are float32 anyway, the residual too."""
    stages, bandwidth = step(rows, cells, prompt, suffix), CARDS["H100"][0] * COPY
    out = {"expanding": 6 * (LINEAR + HEAD) / bandwidth, "products": 0.0, "attention": 0.0, "rest": 0.0}
    for name, (f, b) in stages.items():
        if name in ("linear", "logits"):
            out["products"] += max(f / (F32_FLOPS * F32_PRODUCT), 2 * b / bandwidth)
        elif name in ("attention, prompts", "attention, suffixes"):
            out["attention"] += max(f / (F32_FLOPS * F32_ATTENTION), 2 * b / bandwidth)
        else:
            out["rest"] += (b if name in ("sample", "attention, splits") else 2 * b) / bandwidth
    return out


def main():
    cells, samples, prompt, new = 227, 8, 2000, 250
    rows = cells * samples
    print(f"{LINEAR / 1e9:.2f} G weights in linear layers, {HEAD / 1e9:.2f} G in the head")
    print(f"\n| stage | Tflop | GB | H200 ms | H100 ms |\n| --- | --- | --- | --- | --- |")
    for name, (f, b) in step(rows, cells, prompt, new // 2).items():
        ms = [1e3 * max(f / (CARDS[c][1] * PRODUCT), b / (CARDS[c][0] * COPY)) for c in CARDS]
        print(f"| {name} | {f / 1e12:.2f} | {b / 1e9:.1f} | {ms[0]:.2f} | {ms[1]:.2f} |")
    print("\n| card, prompt KV | serial ms | tokens/s | overlapped ms | tokens/s |\n| --- | --- | --- | --- | --- |")
    for card in CARDS:
        for shared in (True, False):
            s, o = times(step(rows, cells, prompt, new // 2, shared), card)
            print(f"| {card}, {'shared' if shared else 'not shared'} | {1e3 * s:.1f} | {rows / s:,.0f} "
                  f"| {1e3 * o:.1f} | {rows / o:,.0f} |")
    prefill = 2 * prompt * LINEAR + LAYERS * 4 * Q_HEADS * HEAD_DIM * prompt * prompt / 2
    seconds = prefill / (CARDS["H200"][1] * 0.55)
    print(f"\nprefill of one prompt: {prefill / 1e12:.1f} Tflop, {1e3 * seconds:.1f} ms at 55 % of the tensor rate")
    for card in CARDS:
        s, _ = times(step(rows, cells, prompt, new // 2), card)
        print(f"{card}, prompts included: {rows * new / (new * s + cells * seconds):,.0f} output tokens/s")
    print(f"\nrows for nothing: 1 of {new} ({100 / new:.1f} %); passed over on the device they would save "
          + ", ".join(f"{100 * ended_row(rows, cells, prompt, new, c):.2f} % ({c})" for c in CARDS) + " of a step")
    chunk = 4096
    mixed = chunk * 2 * LINEAR / (CARDS["H200"][1] * PREFILL)
    print(f"steps with prompts: {CALLS} calls, {1e3 * CALLS * CALL:.1f} ms of the host beside {1e3 * mixed:.0f} ms for "
          f"{chunk} prompt rows alone; hidden above {chunk * CALLS * CALL / mixed:.0f} rows; gaps a graph would close "
          f"{1e3 * CALLS * GAP:.1f} ms, {100 * CALLS * GAP / mixed:.1f} % of such a step")
    s, _ = times(step(rows, cells, prompt, new // 2), "H200")
    n_mixed = cells * prompt / chunk
    print(f"of the whole, H200: {100 * n_mixed * CALLS * GAP / (new * s + n_mixed * mixed):.2f} % of the time")
    print(f"\nKV: {LAYERS * KV_HEADS * HEAD_DIM * 4:,} bytes a token")
    print("\n| saving, H200 | " + " | ".join(f"n = {n}" for n in (1, 2, 4, 8, 16, 32)) + " |\n" + "| --- " * 7 + "|")
    for p in (500, 1000, 2000, 4000):
        out = []
        for n in (1, 2, 4, 8, 16, 32):
            a, b = (times(step(rows, rows // n, p, new // 2, s), "H200")[0] for s in (True, False))
            out.append(f"{b / a:.2f}")
        print(f"| prompt {p} | " + " | ".join(out) + " |")
    print(f"\nweights and their scratch: {weight_bytes(False) / 1e9:.2f} GB, fp8 {weight_bytes(True) / 1e9:.2f} GB")
    for f in (False, True):  # an H100 of 80 GB, 76 of them for weights and KV, answers at full length
        fit = int((76e9 - weight_bytes(f)) / ((prompt + samples * new) * LAYERS * KV_HEADS * HEAD_DIM * 4))
        s, _ = times(step(samples * fit, fit, prompt, new // 2, fp8=f), "H100")
        print(f"H100 of 80 GB, {'fp8' if f else 'bf16'}: {fit} cells, {samples * fit / s:,.0f} tokens/s")
    print("\n| rows (cells x 8) | " + " | ".join(f"{c} ms | with fp8" for c in CARDS) + " |\n" + "| --- " * 5 + "|")
    for n in (1, 8, 32, 227):
        ms = [1e3 * times(step(8 * n, n, prompt, new // 2, fp8=f), c)[0] for c in CARDS for f in (False, True)]
        print(f"| {8 * n} | " + " | ".join(f"{x:.2f}" for x in ms) + " |")
    print("\n| rows (cells x 8), H100 | bf16 ms | float32 ms | expanding | products | attention | rest | factor |")
    print("| --- " * 8 + "|")
    for n in (1, 8, 32, 100):
        narrow, wide = times(step(8 * n, n, prompt, new // 2), "H100")[0], step_f32(8 * n, n, prompt, new // 2)
        all = sum(wide.values())
        print(f"| {8 * n} | {1e3 * narrow:.1f} | {1e3 * all:.1f} | " + " | ".join(f"{1e3 * x:.1f}" for x in wide.values())
              + f" | {all / narrow:.1f} |")
    one = (2 * prompt * LINEAR / F32_PRODUCT + (prefill - 2 * prompt * LINEAR) / F32_ATTENTION) / F32_FLOPS
    print(f"float32: prefill of one prompt {1e3 * one:.0f} ms, in bf16 {1e3 * seconds:.0f} ms")
    for wide in (False, True):
        n, s = 50, times(step(400, 50, prompt, new // 2), "H100")[0]
        if wide:
            s = sum(step_f32(400, 50, prompt, new // 2).values())
        took = new * s + n * (one if wide else seconds)
        print(f"{'float32' if wide else 'bf16'}: 400 cells x 8, 50 at a time: {8 * took / 60:.1f} minutes")


if __name__ == "__main__":
    main()
