#!/usr/bin/env python3
"""The tables of tests/gpu.sh run, for gpu-results.md: gpu_report.py RESULTS reads bench-*.json, gemm.json, power-*.txt,
card.txt, commit and summary.txt there, and what gpu-model.md beside this file predicts; prints and writes report.md. Nonzero when a measurement is missing. No packages."""
import json
import os
import sys

RUNS = ("shared", "queue", "halves", "stages", "alone", "fp8", "few", "few-apart")  # beside each other, in the order of the report


def read(path):
    """the object in a file, None where there is none"""
    try:
        with open(path) as f:
            return json.load(f)
    except (OSError, ValueError):
        return None


def means(path):
    """W and MHz, of the samples that nvidia-smi took while a bench ran; None without any"""
    columns = ([], [])
    try:
        with open(path) as f:
            for line in f:
                for column, text in zip(columns, line.split(",")):
                    if text.strip().replace(".", "", 1).isdigit():
                        column.append(float(text))
    except OSError:
        pass
    return [sum(c) / len(c) if c else None for c in columns]


def number(x, digits=1):
    return "-" if x is None else f"{x:,.{digits}f}"


def part(x, whole):
    return 100 * x / whole if whole else None


def run_lines(name, r, watts, mhz):
    """one bench: what it came to, and every stage against what was measured on the same card just before"""
    joules = r.get("joules")
    yield f"### {name}: {r['cells']} cells x {r['samples']} samples, {r['prompt_tokens']} + {r['new_tokens']} tokens"
    yield (f"{number(r['output_tokens_per_s'])} output tokens/s overall, {number(r['decode_tokens_per_s'])} in steps of "
           f"answers alone, {number(r['prefill_tokens_per_s'])} prompt tokens/s; {r['wall_s']:.2f} s, {r['steps']} steps, "
           f"{r['restarts']} restarts; hash {r['hash']}")
    yield (f"energy {number(joules)} J, {number(r.get('joules_per_1000_output_tokens'), 2)} J per 1,000 output tokens; "
           f"mean by nvidia-smi {number(watts)} W, {number(mhz, 0)} MHz")
    yield (f"the card's own limits: {r['machine_flops_per_s'] / 1e12:,.1f} Tflop/s in cuBLASLt, "
           f"{r['machine_bytes_per_s'] / 1e9:,.1f} GB/s read")
    yield ""
    yield "| stage | calls | s | % of wall | Tflop/s | % of cuBLASLt | GB/s | % of read rate |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    known = 0
    for stage, o in r["operators"].items():
        s = o["seconds"]
        known += s
        if not o["calls"]:
            continue
        flops, moved = (o["flops"] / s, o["bytes"] / s) if s > 0 else (None, None)
        yield (f"| {stage} | {o['calls']} | {s:.3f} | {number(part(s, r['wall_s']))} "
               f"| {number(flops and flops / 1e12, 2)} | {number(flops and part(flops, r['machine_flops_per_s']))} "
               f"| {number(moved and moved / 1e9)} | {number(moved and part(moved, r['machine_bytes_per_s']))} |")
    rest = r["wall_s"] - known
    yield f"| between them | | {rest:.3f} | {number(part(rest, r['wall_s']))} | | | | |"
    yield ""


def paper_lines(runs):
    """what the model of an H200 says of the same work"""
    try:
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "gpu-model.md")) as f:
            table = [[field.strip() for field in line.split("|")[1:-1]] for line in f if line.startswith("|")]
    except OSError:
        return
    said = {"shared": [row[1] for row in table if row[0] == "tokens/s, decode alone"],
            "queue": [row[6] for row in table if row[0] == "4096"]}
    for name, key, what in (("shared", "decode_tokens_per_s", "in steps of answers alone"),
                            ("queue", "output_tokens_per_s", "overall")):
        if runs[name] and said[name]:
            yield (f"{name}, output tokens/s {what}: {number(runs[name][key], 0)}; on paper, for an H200, Qwen3-4B and "
                   f"212 cells at once (gpu-model.md): {said[name][0]}")
    yield ""


def product_lines(gemm):
    yield "### equal bits for every M against cuBLASLt's own choice, Tflop/s"
    yield "| product | N | K | M | one | any | one / any |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for p in gemm["products"]:
        yield (f"| {p['product']} | {p['n']} | {p['k']} | {p['m']} | {p['one_tflops']:.1f} | {p['any_tflops']:.1f} "
               f"| {p['one_tflops'] / p['any_tflops']:.3f} |")
    yield ""


def main():
    folder = sys.argv[1]
    missing, lines = [], []
    for path in (os.path.join(folder, name) for name in ("commit", "card.txt", "summary.txt")):
        if os.path.exists(path):
            with open(path) as f:
                lines += ["    " + line.rstrip() for line in f] + [""]
    runs = {name: read(os.path.join(folder, f"bench-{name}.json")) for name in RUNS}
    for name, r in runs.items():
        if r:
            lines += run_lines(name, r, *means(os.path.join(folder, f"power-{name}.txt")))
        else:
            missing.append(f"bench-{name}.json")
    for one, other, what in (("shared", "alone", "shared prompts over prompts for each sample, in the same KV memory"),
                             ("halves", "shared", "steps in two halves side by side over whole steps"),
                             ("few", "few-apart", "recorded steps over steps operator by operator, few cells"),
                             ("shared", "fp8", "bf16 weights over fp8 weights")):
        a, b = runs[one], runs[other]
        if a and b and b["decode_tokens_per_s"] > 0:
            for part_of, key in (("steps of answers alone", "decode_tokens_per_s"), ("overall", "output_tokens_per_s")):
                lines.append(f"{what}, {part_of}: {a[key] / b[key]:.2f}")
    lines += paper_lines(runs)
    gemm = read(os.path.join(folder, "gemm.json"))
    if gemm:
        lines += product_lines(gemm)
    else:
        missing.append("gemm.json")
    lines += [f"missing: {', '.join(missing)}"] if missing else []
    text = "\n".join(lines)
    print(text)
    with open(os.path.join(folder, "report.md"), "w") as f:
        f.write(text + "\n")
    sys.exit(1 if missing else 0)


main()
