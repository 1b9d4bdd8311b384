#!/usr/bin/env python3
"""faults.py --write DIR - the kernels of FAULTS with all of its faults in them, into DIR/kernels/cuda: each is
made when the environment's SG_FAULT has its number, none at 0.
faults.py --run DIR [--quick | NUMBER...] - the programs in DIR that were built from these must pass at 0, and each fault
must be caught by the test that stands beside it: an ordinary test of the operator, by a wrong value or by what the
emulation refuses. --quick: of each program the first fault alone.

A fault: what it is, file, text, the same text with FAULT where it matters (a boolean), program, test in it. A program
with _F32 runs on the device opened for float32."""
import os
import subprocess
import sys
import time
from pathlib import Path

KERNELS = Path(__file__).resolve().parents[2] / "kernels" / "cuda"
PREFILL, DECODE, SAMPLE, KERNEL = "attn_prefill", "attn_decode", "sample", "kernels"  # emu_faults_*
F32 = ":float32"
PREFILL_F32, DECODE_F32, LINEAR_F32, FP8_F32 = PREFILL + F32, DECODE + F32, "linear" + F32, "linear_fp8" + F32
FAULTS = [
    # one step of softmax(q k) v
    ("a rescale skipped when a row has none", "tile.cuh", "shrink[0] == 1.0f && shrink[1] == 1.0f",
     "FAULT ? shrink[0] == 1.0f || shrink[1] == 1.0f : shrink[0] == 1.0f && shrink[1] == 1.0f", DECODE,
     "test_far_apart"),
    ("a sum not rescaled", "tile.cuh", "r->sum[h] * shrink[h] + sum", "r->sum[h] * (FAULT ? 1.0f : shrink[h]) + sum",
     DECODE, "test_far_apart"),
    ("results not rescaled", "tile.cuh", "r->o[i][c] *= shrink[c >> 1];",
     "r->o[i][c] *= FAULT ? 1.0f : shrink[c >> 1];", DECODE, "test_far_apart"),
    ("results rescaled by the other row's factor", "tile.cuh", "shrink[c >> 1]", "shrink[FAULT ? c & 1 : c >> 1]",
     DECODE, "test_far_apart"),
    ("the reference never moves", "tile.cuh", "most > old + SLACK ? most : old",
     "!FAULT && most > old + SLACK ? most : old", DECODE, "test_far_apart"),
    ("a row's four lanes do not agree", "tile.cuh", "most = nan_max(most, __shfl_xor_sync(0xffffffffu, most, 2));",
     "most = nan_max(most, __shfl_xor_sync(0xffffffffu, most, FAULT ? 1 : 2));", DECODE, "test_far_apart"),
    ("a row's sum of two lanes", "tile.cuh", "return sum + __shfl_xor_sync(0xffffffffu, sum, 2);",
     "return sum + (FAULT ? 0.0f : __shfl_xor_sync(0xffffffffu, sum, 2));", DECODE, "test_far_apart"),
    ("weights of the first tile for both", "tile.cuh", "mma_m16n8k16_bf16(r[m].o[2 * d + 1], fp[m], fv + 2);",
     "mma_m16n8k16_bf16(r[m].o[2 * d + 1], fp[FAULT ? 0 : m], fv + 2);", PREFILL, "test_chunks"),
    ("weights of neighbouring keys exchanged", "tile.cuh", "p[m][n + i / 2][i % 2 * 2 + 1]);",
     "p[m][n + i / 2][i % 2 * 2 + (FAULT ? 0 : 1)]);", DECODE, "test_far_apart"),
    ("values of the other 8 dims", "tile.cuh", "d + (lane >> 4) * 8);\n}\n\n/* Scores are kept",
     "d + (FAULT ? 0 : lane >> 4) * 8);\n}\n\n/* Scores are kept", DECODE, "test_far_apart"),
    # prefill: matrix rows of (row, head)
    ("a mask one key late", "attn_prefill.cu", "if (i * 8 + t + c > last)", "if (i * 8 + t + c > last + FAULT)",
     PREFILL, "test_values"),
    ("a mask for the block's last row alone", "attn_prefill.cu", "(b + 1) * KEYS > position(work, 0) + 1",
     "(b + 1) * KEYS > (FAULT ? end : position(work, 0) + 1)", PREFILL, "test_values"),
    ("a mask by the block's first row", "attn_prefill.cu", "position(work, w * WARP_ROWS + m * 16 + g + h * 8)",
     "position(work, FAULT ? 0 : w * WARP_ROWS + m * 16 + g + h * 8)", PREFILL, "test_values"),
    ("positions counted from the block's own rows", "attn_prefill.cu", "return w.pos0 + (w.first + r) / w.gqa;",
     "return w.pos0 + (FAULT ? w.first / w.gqa + r / w.gqa : (w.first + r) / w.gqa);", PREFILL, "test_values"),
    ("heads counted from the block's own rows", "attn_prefill.cu", "w.kv_head * w.gqa + i % w.gqa",
     "w.kv_head * w.gqa + (FAULT ? r : i) % w.gqa", PREFILL, "test_chunks"),
    ("rows behind the segment written", "attn_prefill.cu", "w * WARP_ROWS + r < work.n_rows && d < p.dim)",
     "(FAULT || w * WARP_ROWS + r < work.n_rows) && d < p.dim)", PREFILL, "test_chunks"),
    ("rows behind the segment read", "attn_prefill.cu", "ok = r < w.n_rows && d < p.dim;\n        cp_async16(to + r",
     "ok = (FAULT || r < w.n_rows) && d < p.dim;\n        cp_async16(to + r", PREFILL, "test_values"),
    ("blocks of the rows without their heads", "attn_prefill.cu", "(p.row_begin[s + 1] - row0) * gqa - first",
     "(p.row_begin[s + 1] - row0) * (FAULT ? 1 : gqa) - first", PREFILL, "test_values"),
    ("the buffer that is read filled", "attn_prefill.cu", "copy_step(sm->k[buf ^ 1], sm->v[buf ^ 1], p",
     "copy_step(sm->k[buf ^ !FAULT], sm->v[buf ^ !FAULT], p", PREFILL, "test_values"),
    ("a step's copies not waited for", "attn_prefill.cu", "cp_async_wait(1);\n        } else {",
     "cp_async_wait(FAULT ? 2 : 1);\n        } else {", PREFILL, "test_values"),
    ("no barrier before a buffer is filled again", "attn_prefill.cu",
     "sm->v[buf] + j * 16 * TILE_STRIDE, lane);\n        __syncthreads();",
     "sm->v[buf] + j * 16 * TILE_STRIDE, lane);\n        if (!FAULT) __syncthreads();", PREFILL, "test_values"),
    ("pages of the first step in every step", "attn_prefill.cu", "pages[(key0 + i) / SG_PAGE_TOKENS]",
     "pages[(FAULT ? i : key0 + i) / SG_PAGE_TOKENS]", PREFILL, "test_values"),
    ("a step taken for full", "attn_prefill.cu", "if (key0 + SG__PREFILL_KEYS <= end &&",
     "if ((FAULT || key0 + SG__PREFILL_KEYS <= end) &&", PREFILL, "test_values"),
    ("keys of the first head for all", "attn_prefill.cu", "kv_head) * SG_PAGE_TOKENS + r) * SG__HEAD_TILE",
     "(FAULT ? 0 : kv_head)) * SG_PAGE_TOKENS + r) * SG__HEAD_TILE", PREFILL, "test_values"),
    # decode: pages of a warp, splits, their merge
    ("splits noted for a group's first row alone", "attn_decode.cu", "r < n; r += THREADS)",
     "r < (FAULT ? 1 : n); r += THREADS)", DECODE, "test_bounds"),
    ("splits noted by what the launch allows", "attn_decode.cu", "__uint_as_float((uint32_t)sg__splits(len))",
     "__uint_as_float(FAULT ? gridDim.z : (uint32_t)sg__splits(len))", DECODE, "test_long_suffixes"),
    ("no mask where a page is not full", "attn_decode.cu", "if (valid < SG_PAGE_TOKENS) {",
     "if (!FAULT && valid < SG_PAGE_TOKENS) {", DECODE, "test_values"),
    ("a page taken for full", "attn_decode.cu", "if (valid == SG_PAGE_TOKENS &&",
     "if ((FAULT || valid == SG_PAGE_TOKENS) &&", DECODE, "test_values"),
    ("the page that is read copied again", "attn_decode.cu", "copy_page(&ws->page[buf ^ 1], p, work.pages[next]",
     "copy_page(&ws->page[buf ^ 1], p, work.pages[FAULT ? i : next]", DECODE, "test_far_apart"),
    ("a page's copies not waited for", "attn_decode.cu",
     "cp_async_wait(1);\n        __syncwarp();\n        float s[M]",
     "cp_async_wait(FAULT ? 2 : 1);\n        __syncwarp();\n        float s[M]", DECODE, "test_far_apart"),
    ("heads counted from the block's own rows", "attn_decode.cu", "head0 + i % gqa;",
     "head0 + (FAULT ? r : i) % gqa;", DECODE, "test_values"),
    ("all splits of a suffix in one place", "attn_decode.cu",
     "(int)__float_as_uint(*prompt_splits_of(p, row)) + split}",
     "(int)__float_as_uint(*prompt_splits_of(p, row)) + (FAULT ? 0 : split)}", DECODE, "test_long_suffixes"),
    ("a merge of one split of the suffix", "attn_decode.cu", "+ sg__splits(p.suffix_len[row]);",
     "+ (FAULT ? 1 : sg__splits(p.suffix_len[row]));", DECODE, "test_long_suffixes"),
    ("a merge without the largest score", "attn_decode.cu", "weight<T>(x[SG__HEAD_TILE] - top)",
     "weight<T>(x[SG__HEAD_TILE] - (FAULT ? 0.0f : top))", DECODE, "test_far_apart"),
    ("sums merged without their weights", "attn_decode.cu", "sum += e * x[SG__HEAD_TILE + 1];",
     "sum += (FAULT ? 1.0f : e) * x[SG__HEAD_TILE + 1];", DECODE, "test_far_apart"),
    ("warps merged without the largest score", "attn_decode.cu", "weight<T>(sm->warp[w].part.top[r] - top)",
     "weight<T>(sm->warp[w].part.top[r] - (FAULT ? 0.0f : top))", DECODE, "test_far_apart"),
    # the same in float32: tiles of fused multiply-adds
    ("float32: scores without the last dims", "tile_f32.cuh", "d < dim; d += 4", "d < dim - (FAULT ? 4 : 0); d += 4",
     DECODE_F32, "test_values"),
    ("float32: scores of the first 8 keys for all", "tile_f32.cuh", "keys + 8 * j * F32_STRIDE + d",
     "keys + 8 * (FAULT ? 0 : j) * F32_STRIDE + d", DECODE_F32, "test_values"),
    ("float32: a sum not rescaled", "tile_f32.cuh", "r->sum[i] * shrink + sum;",
     "r->sum[i] * (FAULT ? 1.0f : shrink) + sum;", DECODE_F32, "test_far_apart"),
    ("float32: results not rescaled", "tile_f32.cuh", "r->o[i][v] *= shrink;", "r->o[i][v] *= FAULT ? 1.0f : shrink;",
     DECODE_F32, "test_far_apart"),
    ("float32: four of a row's eight lanes agree", "tile_f32.cuh", "for (int o = 1; o < 8; o *= 2) top =",
     "for (int o = 1; o < (FAULT ? 4 : 8); o *= 2) top =", DECODE_F32, "test_far_apart"),
    ("float32: a row's sum of four lanes", "tile_f32.cuh", "for (int o = 1; o < 8; o *= 2) sum +=",
     "for (int o = 1; o < (FAULT ? 4 : 8); o *= 2) sum +=", DECODE_F32, "test_values"),
    ("float32: weights of neighbouring keys exchanged", "tile_f32.cuh", "+ (lane & 7) + 8 * j] = s[i][j];",
     "+ ((lane & 7) ^ FAULT) + 8 * j] = s[i][j];", PREFILL_F32, "test_values"),
    ("float32: values of the first 32 dims for all", "tile_f32.cuh", "(t + e) * F32_STRIDE + 32 * d",
     "(t + e) * F32_STRIDE + 32 * (FAULT ? 0 : d)", PREFILL_F32, "test_values"),
    ("float32: a mask one key late in a page", "attn_decode.cu", "c + 8 * j < valid ?", "c + 8 * j < valid + FAULT ?",
     DECODE_F32, "test_values"),
    ("float32: keys copied over that are still read", "attn_decode.cu",
     "__syncwarp(); /* all lanes have read these keys */", "if (!FAULT) __syncwarp();", DECODE_F32, "test_far_apart"),
    ("float32: a page's keys not waited for", "attn_decode.cu",
     "cp_async_wait(1);\n        __syncwarp();\n        float s[R]",
     "cp_async_wait(FAULT ? 2 : 1);\n        __syncwarp();\n        float s[R]", DECODE_F32, "test_values"),
    ("float32: a page's values not waited for", "attn_decode.cu",
     "cp_async_wait(1);\n        __syncwarp();\n        add_values",
     "cp_async_wait(FAULT ? 2 : 1);\n        __syncwarp();\n        add_values", DECODE_F32, "test_values"),
    ("float32: values copied over that are still read", "attn_decode.cu",
     "ws->page.v, lane);\n        __syncwarp();\n    }\n    UNROLL",
     "ws->page.v, lane);\n        if (!FAULT) __syncwarp();\n    }\n    UNROLL", DECODE_F32, "test_far_apart"),
    ("float32: keys of the same page again", "attn_decode.cu", "copy_half(ws->page.k, p.k, p, work.pages[next]",
     "copy_half(ws->page.k, p.k, p, work.pages[FAULT ? i : next]", DECODE_F32, "test_far_apart"),
    ("float32: a mask one key late", "attn_prefill.cu", "c + 8 * j <= last ?", "c + 8 * j <= last + FAULT ?",
     PREFILL_F32, "test_values"),
    ("float32: a mask by the first warp's rows", "attn_prefill.cu", "position(work, w * 16 + g + 4 * i)",
     "position(work, (FAULT ? 0 : w) * 16 + g + 4 * i)", PREFILL_F32, "test_values"),
    ("float32: a step's keys copied over while read", "attn_prefill.cu",
     "__syncthreads(); /* everybody has read these keys */", "if (!FAULT) __syncthreads();", PREFILL_F32,
     "test_values"),
    ("float32: a step's values copied over while read", "attn_prefill.cu",
     "add_values<R, N_F32>(&acc, weights, sm->v, lane);\n        __syncthreads();",
     "add_values<R, N_F32>(&acc, weights, sm->v, lane);\n        if (!FAULT) __syncthreads();", PREFILL_F32,
     "test_values"),
    ("float32: a step's values not waited for", "attn_prefill.cu",
     "cp_async_wait(1);\n        __syncthreads();\n        add_values",
     "cp_async_wait(FAULT ? 2 : 1);\n        __syncthreads();\n        add_values", PREFILL_F32, "test_values"),
    ("float32: one array of weights for all warps", "attn_prefill.cu", "sm->p + w * 16 * WEIGHTS",
     "sm->p + (FAULT ? 0 : w) * 16 * WEIGHTS", PREFILL_F32, "test_values"),
    ("float32: rows behind the segment written", "attn_prefill.cu", "if (r < work.n_rows && 4 * c",
     "if ((FAULT || r < work.n_rows) && 4 * c", PREFILL_F32, "test_values"),
    # what a weight is expanded to for a product in float32
    ("float32: weights without their last block", "widen.cu", "sg__blocks(n, 8 * THREADS)",
     "(FAULT ? n > 8 * THREADS ? n / (8 * THREADS) : 1 : sg__blocks(n, 8 * THREADS))", LINEAR_F32, "test_values"),
    ("float32: the last of an odd number left out", "widen.cu", "n - at < 8 ? (int)(n - at) : 8",
     "n - at < 8 ? (FAULT ? 0 : (int)(n - at)) : 8", LINEAR_F32, "test_values"),
    ("float32: codes of the third word twice", "dequant.cu", "put4(to + 12, codes.w, scale)",
     "put4(to + 12, FAULT ? codes.z : codes.w, scale)", FP8_F32, ""),
    ("float32: a code without its row's scale", "dequant.cu", "*to = __uint_as_float(decode(code, scale));",
     "*to = __uint_as_float(decode(code, FAULT ? 1.0f : scale));", FP8_F32, ""),
    ("float32: NaN taken for 480", "dequant.cu", "return rest == 0x7fu ?", "return rest == 0x7fu && !FAULT ?", FP8_F32,
     ""),
    # sampling: bins of weights, the sorted list, the row
    ("the carry of a low word dropped", "sample.cu", "(before + low < low)", "(!FAULT && before + low < low)", KERNEL,
     ""),
    ("high words left out", "sample.cu", "if (high) atomicAdd", "if (high && !FAULT) atomicAdd", KERNEL, ""),
    ("a quotient not corrected", "sample.cu", "fabsf(q) < INFINITY ? better : q",
     "!FAULT && fabsf(q) < INFINITY ? better : q", KERNEL, ""),
    ("no margin below the bin of the k-th", "sample.cu", "const float from = least - fabsf(least)",
     "const float from = FAULT ? least : least - fabsf(least)", KERNEL, ""),
    ("a shortlist too long not noticed", "sample.cu", "    return sm->n_list <= most;",
     "    return FAULT || sm->n_list <= most;", KERNEL, ""),
    ("a list too long not noticed", "sample.cu", "return n <= most;", "return FAULT || n <= most;", KERNEL, ""),
    ("equals in any order", "sample.cu", "if ((x < y) == ", "if ((FAULT ? x >> 32 < y >> 32 : x < y) == ", SAMPLE,
     "test_exact_nucleus"),
    ("halves sorted the same way", "sample.cu", "((lower & size) == 0)", "(FAULT || (lower & size) == 0)", SAMPLE,
     "test_scattered_top_k"),
    ("sums through the list of one warp alone", "sample.cu", "above += sm->sums[w];",
     "above += FAULT ? 0 : sm->sums[w];", KERNEL, ""),
    ("a part of the row added up from 0", "sample.cu", "sort_list(c, r.above, sm);",
     "sort_list(c, FAULT ? 0 : r.above, sm);", KERNEL, ""),
    ("a list taken for the whole row", "sample.cu", "have = i < n && listed_key(sm, i) > complete;",
     "have = i < n && (FAULT || listed_key(sm, i) > complete);", KERNEL, ""),
    ("a list with a bin that is not whole", "sample.cu", "value_of((sm->found.key + 1) << 21)",
     "value_of((sm->found.key + !FAULT) << 21)", KERNEL, ""),
    ("top_k without the equals of the k-th", "sample.cu", "if (listed_key(sm, i) < kth &&",
     "if (FAULT ? i == top_k : listed_key(sm, i) < kth &&", SAMPLE, "test_ties"),
    ("top_k not applied to the list", "sample.cu", "if (top_k > 0 && top_k < n) {",
     "if (!FAULT && top_k > 0 && top_k < n) {", SAMPLE, "test_scattered_top_k"),
    ("a nucleus that has one more", "sample.cu", "find_listed(n, nucleus(s.top_p, kept) - 1, sm)",
     "find_listed(n, nucleus(s.top_p, kept) - !FAULT, sm)", SAMPLE, "test_exact_nucleus"),
    ("ids of equals sought among others", "sample.cu", "short_ids ? ~0u << 21 : 0u",
     "short_ids && !FAULT ? ~0u << 21 : 0u", KERNEL, ""),
    ("the last of equals not kept", "sample.cu", "r.above + (before + 1) * one", "r.above + (before + !FAULT) * one",
     KERNEL, ""),
    ("all keys in the finer bins", "sample.cu", "if (round > 0 && digits", "if (!FAULT && round > 0 && digits",
     KERNEL, ""),
    ("finer bins not cleared", "sample.cu", "clear_bin(bins, i);\n    __syncthreads();",
     "if (!FAULT) clear_bin(bins, i);\n    __syncthreads();", KERNEL, ""),
    ("digits read before they are found", "sample.cu", "__syncthreads();\n    r->key |=",
     "if (!FAULT) __syncthreads();\n    r->key |=", KERNEL, ""),
    ("weights that top_k leaves out", "sample.cu", "key < c.floor ? 0 :", "!FAULT && key < c.floor ? 0 :", KERNEL,
     ""),
    ("ids of the first of those on their way", "sample.cu", "list_one(key, first + j *",
     "list_one(key, first + (FAULT ? 0 : j) *", KERNEL, ""),
    ("the first logit again behind the end", "sample.cu", "x[j] = i < n ? row[i] : -INFINITY;",
     "x[j] = i < n || FAULT ? row[i < n ? i : 0] : -INFINITY;", KERNEL, ""),
]
FILES = ("tile.cuh", "tile_f32.cuh", "attn_prefill.cu", "attn_decode.cu", "sample.cu", "widen.cu", "dequant.cu")
HEAD = """#include <stdlib.h>
[[maybe_unused]] static const int sg__fault = getenv("SG_FAULT") ? atoi(getenv("SG_FAULT")) : 0;
"""
TIMEOUT = 300


def write(folder):
    sources = {name: (KERNELS / name).read_text() for name in FILES}
    for n, (what, name, text, faulty, _, _) in enumerate(FAULTS, 1):
        if (KERNELS / name).read_text().count(text) != 1 or sources[name].count(text) != 1:
            sys.exit(f"tests/cuda/faults.py: \"{what}\": its text is not once in kernels/cuda/{name}: {text}")
        sources[name] = sources[name].replace(text, faulty.replace("FAULT", f"(sg__fault == {n})"))
    (folder / "kernels" / "cuda").mkdir(parents=True, exist_ok=True)
    for name, text in sources.items():
        at = text.index("#include")
        (folder / "kernels" / "cuda" / name).write_text(text[:at] + (HEAD if name.endswith(".cu") else "") + text[at:])


def run(folder, quick, numbers):
    bad, done = 0, set()

    def ends(number, program, test):
        env = dict(os.environ, SG_FAULT=str(number), EMU_SEED="5")
        if test:
            env["KT_ONLY"] = test
        try:
            name = program.removesuffix(F32)
            device = "cuda" + program[len(name):]
            command = [str(folder / f"emu_faults_{name}")] + ([] if program == KERNEL else [device])
            return subprocess.run(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  timeout=TIMEOUT).returncode
        except subprocess.TimeoutExpired:
            return "no end"

    for n, (what, _, _, _, program, test) in enumerate(FAULTS, 1):
        if quick and program in done or numbers and n not in numbers:
            continue
        if (program, test) not in done:
            if code := ends(0, program, test):
                sys.exit(f"{program} {test}: ends with {code} without a fault")
        done |= {program, (program, test)}
        start = time.monotonic()
        code = ends(n, program, test)
        caught = code in range(1, 20) or code in (97, 98, 99, -6, -11)  # failed tests; emu/control.h; the heap broken
        print(f"{n:3} {'caught' if caught else 'NOT CAUGHT'} by {program} {test} ({code}, "
              f"{time.monotonic() - start:.1f} s): {what}", flush=True)
        bad += not caught
    if bad:
        print(f"{bad} faults were not caught", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    if sys.argv[1] == "--write":
        write(Path(sys.argv[2]))
    else:
        sys.exit(run(Path(sys.argv[2]).resolve(), "--quick" in sys.argv, [int(a) for a in sys.argv[3:] if a.isdigit()]))
