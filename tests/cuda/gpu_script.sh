#!/usr/bin/env bash
# gpu_script.sh TESTS_DIR BASH_SOURCE_DIR - tests/gpu.sh run as a machine with a GPU would see it, on the emulation: a
# folder as `pack` makes it with the emulated programs in place of those for a GPU, a small model, and stand-ins for
# nvidia-smi and compute-sanitizer. What it protects: that the one run on a borrowed machine does not end in a slip of
# this script. Run with an empty environment and a PATH of the system's own.
set -euo pipefail
tests=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
[ -x "$tests/scope-grid-emu" ] || { echo "SKIP: the program needs MPI"; exit 77; }

# ---- the folder ----
fold() { # TO
  mkdir -p "$1/bin" "$1/lib" "$1/c"
  cp "$source/gpu.sh" "$source/cuda/golden.txt" "$source"/bench/gpu{_report.py,-model.md} "$1/"
  ln -s "$tests/scope-grid-emu" "$1/bin/scope-grid"
  ln -s "$tests/bench_emu_gemm" "$1/bin/bench_gpu_gemm"
  ln -s "$tests/test_emu_kernels" "$1/bin/test_gpu_kernels"
  ln -s "$tests/test_rows" "$1/bin/test_gpu_rows"
  local t
  for t in embed random; do ln -s "$tests/emu_op_$t" "$1/bin/test_op_$t"; done
  # attention, the engine and the oracles have tests of their own and take longer: here they are names
  for t in test_op_attn_decode test_op_attn_prefill test_gpu_engine test_gpu_fp8 test_gpu_oracle; do
    cp "$(type -P true)" "$1/bin/$t"
  done
  echo 0000000 >"$1/commit"
}
fold "$work/gpu-test"
cd "$work/gpu-test"
cat >"$work/config.json" <<'MODEL'
{"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 64, "num_hidden_layers": 2,
 "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 128, "vocab_size": 512,
 "max_position_embeddings": 4096, "rope_theta": 1e6, "torch_dtype": "bfloat16", "tie_word_embeddings": true}
MODEL

mkdir "$work/card" "$work/none" "$work/old" "$work/empty"
cat >"$work/card/nvidia-smi" <<'SMI'
#!/bin/sh
case "$*" in
  *query-gpu=name,driver*) echo 'name, driver_version, memory.total [MiB], clocks.max.sm [MHz], clocks.max.memory [MHz]'
                 echo 'Emulated, 580.0, 16384 MiB, 0 MHz, 0 MHz' ;;
  *compute-apps*) [ -z "$OTHERS" ] || echo 4711 ;;
  *power.draw*) while :; do echo '321.50, 1980'; sleep 0.05; done ;;
esac
SMI
cat >"$work/card/compute-sanitizer" <<'SANITIZER'
#!/bin/sh
while [ "${1#-}" != "$1" ]; do
  case $1 in --tool | --error-exitcode) shift ;; esac
  shift
done
echo '========= ERROR SUMMARY: 0 errors'
exec "$@"
SANITIZER
cat >"$work/card/ncu" <<'PROFILER'
#!/bin/sh
case "$*" in
  *regex:attn_merge*) echo '==ERROR== ERR_NVGPUCTRPERM: no permission'; exit 1 ;;
  *regex:sample*--launch-skip\ [1-9][0-9]*) echo '==WARNING== No kernels were profiled.' ;;
  *--cells\ 8*) echo '    Duration us 12.5' ;;
esac
PROFILER
cat >"$work/none/nvidia-smi" <<'SMI'
#!/bin/sh
echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
exit 9
SMI
# a machine whose C library is older than ours; its own programs must not be started with our libraries
cat >"$work/old/ldd" <<'LDD'
#!/bin/sh
echo "$1: /lib/x86_64-linux-gnu/libc.so.6: version \`GLIBC_2.36' not found (required by $1)"
LDD
chmod +x "$work"/card/* "$work/none/nvidia-smi" "$work/old/ldd"

# run TOOLS NAME=VALUE...: gpu.sh run with nothing else in the environment; its output in out, its status in code
run() {
  local tools=$1
  shift
  code=0
  env -i PATH="$tools:/usr/bin:/bin" HOME="$work/empty" GPU_SECONDS=1000 GPU_SLOWER=10 GPU_KV_BYTES=512 GPU_PROMPT=40 GPU_NEW=8 \
    GPU_SAMPLES=2 GPU_OVERLAP=8 GPU_GEMM=--small GPU_SHAPE="$work/config.json" "$@" ./gpu.sh run >"$work/out" 2>&1 || code=$?
}
same_as() { cmp -s "$1" "$2" || fail "$1 is not what was printed: $(diff "$1" "$2")"; }

# ---- everything passes ----
run "$work/card" GPU_CELLS=3
[ $code = 0 ] || fail "ended with $code: $(cat "$work/out" results/tests.txt)"
for name in conformance 'golden vectors' 'rows of products' embed random attn_decode 'attn_prefill float32' engine oracle \
  'few, with records and without' 'few cells among many' 'bench queue' 'cells of a queue' 'bench halves' 'whole steps and halves' 'profile attn_prompt' 'profile sample' 'memcheck attn_decode' products \
  'bench few' 'bench shared' 'bench alone' 'bench fp8' 'racecheck test_gpu_kernels'; do
  grep -q "^ok       $name\$" "$work/out" || fail "'$name' did not run: $(cat "$work/out")"
done
grep '^ok\|^all' "$work/out" >"$work/told"
grep '^ok\|^all' results/summary.txt >"$work/kept"
same_as "$work/kept" "$work/told"
grep -q '^skipped  profile attn_merge: .*ERR_NVGPUCTRPERM' "$work/out" || fail "no reason: $(cat "$work/out")"
mkdir "$work/unpacked"
tar -C "$work/unpacked" -xzf results.tar.gz
diff -r results "$work/unpacked/results" || fail "the packed file is not what was found"
[ ! -e run ] || fail "left behind: run"
python3 - results <<'CHECK'
import json, sys
d = sys.argv[1]
few, apart, shared, queue, halves, stages, alone, fp8 = (
    json.load(open(f"{d}/bench-{n}.json")) for n in ("few", "few-apart", "shared", "queue", "halves", "stages", "alone", "fp8"))
for r in (few, apart, shared, queue, halves, stages, alone, fp8):
    assert r["random_weights"] and r["device_free_bytes"] > 1 << 30
assert shared["cells"] == 3 and shared["samples"] == 2 and shared["prompt_tokens"] == 40 and shared["new_tokens"] == 8
assert alone["samples"] == 1 and alone["cells"] == 3 * 80 // 64, alone["cells"]
assert len(few["cell_hashes"]) == 8 and few["cell_hashes"][:3] == shared["cell_hashes"] != fp8["cell_hashes"]
assert len(set(few["cell_hashes"])) == 8
assert queue["cells"] == 9 and queue["kv_bytes"] == shared["kv_bytes"] and queue["cell_hashes"][:8] == few["cell_hashes"]
assert few["hash"] == apart["hash"] and few["replays"] > 0 and apart["replays"] == 0
assert stages["operators"]["step"]["calls"] == 0 and stages["hash"] == shared["hash"] != fp8["hash"]
assert shared["halved"] == 0 < halves["halved"] and halves["hash"] == shared["hash"]
assert fp8["weight_bytes"] < shared["weight_bytes"]
every = {"embed", "norm", "linear", "logits", "qkv_rope", "attn_prefill", "attn_decode", "swiglu", "sample"}
for stage in every:  # a time, flops or bytes for every operator: no gap in the table
    o = stages["operators"][stage]
    assert o["calls"] > 0 and o["seconds"] > 0 and o["bytes"] > 0, (stage, o)
report = open(f"{d}/report.md").read()
for stage, o in shared["operators"].items():
    assert (f"| {stage} | {o['calls']} |" in report) == (o["calls"] > 0), stage
assert sum(o["seconds"] for o in shared["operators"].values()) <= shared["wall_s"]
for words in ("mean by nvidia-smi 321.5 W, 1,980 MHz", "same KV memory, overall:", "| gate,up |", "Emulated",
              "between them", "ok       conformance", "0000000", "few cells, overall:", "fp8 weights, overall:", "over whole steps, overall:",
              "queue, output tokens/s overall: ", "212 cells at once (gpu-model.md): 24,"):
    assert words in report, words
assert len(json.load(open(f"{d}/gemm.json"))["products"]) == 10
CHECK

# ---- an older C library, no nvidia-smi, no sanitizer, no python3, results elsewhere; nobody's file is removed ----
ldd "$tests/scope-grid-emu" | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /\/ld-linux/ { print $1 }' |
  grep -E '/(libc|libm|libdl|librt|libpthread|libresolv|libgcc_s|libstdc\+\+|ld-linux[^/]*)\.so' | xargs cp -Lt c
for tool in bash sh env timeout awk cmp diff tar gzip tee sed grep sort cat cp mv rm mkdir chmod basename dirname realpath head tail wc \
  find sleep cut tr; do
  ln -s "$(type -P "$tool")" "$work/old/" 2>/dev/null || true
done
mkdir "$work/elsewhere"
echo mine >"$work/elsewhere/notes"
code=0
env -i PATH="$work/old" HOME="$work/empty" GPU_RESULTS="$work/elsewhere" GPU_SECONDS=1000 GPU_SLOWER=10 GPU_KV_BYTES=512 GPU_PROMPT=40 \
  GPU_NEW=8 GPU_SAMPLES=2 GPU_GEMM=--small GPU_SHAPE="$work/config.json" GPU_CELLS=2 ./gpu.sh run >"$work/out" 2>&1 || code=$?
[ $code = 0 ] || fail "with an older C library it ended with $code: $(cat "$work/out" "$work/elsewhere/tests.txt")"
for words in 'note     11 programs need our own C library' 'no nvidia-smi on this machine' 'compute-sanitizer: not installed' \
  'no python3 here' 'ok       bench fp8'; do
  grep -q "$words" "$work/out" || fail "no '$words': $(cat "$work/out")"
done
[ "$(cat "$work/elsewhere/notes")" = mine ] || fail "a file of somebody else is gone"
python3 gpu_report.py "$work/elsewhere" >"$work/report" || fail "no report made elsewhere: $(cat "$work/report")"

# ---- another commit begins anew; golden vectors that differ; a test that fails; one that never ends, at which the time
# for tests is over; a card that others use, that does not do the large bench, and that gives a cell other bits in it ----
echo 0000001 >commit
sed -i '/^mma /s/4/5/' golden.txt
rm bin/test_op_* bin/scope-grid
printf '#!/bin/sh\necho broken\nexit 3\n' >bin/test_op_embed
# shellcheck disable=SC2016  # for sh
printf '#!/bin/sh\n[ "$1" != cuda ] || sleep 600\n' >bin/test_op_never
cat >bin/scope-grid <<CARD
#!/bin/sh
echo "\$@" >>"$work/asked"
case "\$*" in
  *'--cells 9 '*) echo 'cuda: KV pool: out of memory' >&2; exit 8 ;;
  *'--cells 3 '*) "$tests/scope-grid-emu" "\$@" | sed 's/\(cell_hashes": \["\)./\1x/' ;;
  *) exec "$tests/scope-grid-emu" "\$@" ;;
esac
CARD
chmod +x bin/test_op_embed bin/test_op_never bin/scope-grid
run "$work/card" GPU_CELLS=9 GPU_SECONDS=345 OTHERS=1
[ $code = 1 ] || fail "ended with $code although tests failed"
grep -q '^note     1 other processes use this card' "$work/out" || fail "others are not told: $(cat "$work/out")"
grep -q '^FAILED   golden vectors' "$work/out" || fail "other golden vectors passed: $(cat "$work/out")"
grep -q '^FAILED   embed (3): broken$' "$work/out" || fail "a test that fails is not told: $(cat "$work/out")"
grep -Eq '^FAILED   never: not done in [0-9]+ s' "$work/out" || fail "no limit: $(cat "$work/out")"
grep -q '^FAILED   few cells among many (1): cells of bench few and shared differ' "$work/out" || fail "$(cat "$work/out")"
grep -q '^FAILED   engine: no time left' "$work/out" || fail "nothing ran out of time: $(cat "$work/out")"
grep -q '^FAILED   bench shared (8): .*out of memory$' "$work/out" || fail "no reason: $(cat "$work/out")"
grep -q '^ok       bench shared' "$work/out" || fail "not done with fewer cells: $(cat "$work/out")"
python3 -c 'import json, sys; sys.exit(json.load(open("results/bench-shared.json"))["cells"] != 3)' || fail "cells"
[ ! -e results/bench-stages.json ] && [ ! -e results/bench-halves.json ] || fail "a bench that failed left a result"
! grep -q -- '--cells 27 ' "$work/asked" || fail "a queue of cells of which nine were too many: $(cat "$work/asked")"
grep -q 'missing: bench-queue.json, bench-halves.json, bench-stages.json' results/report.md || fail "what is missing is not told"

# ---- killed in the middle: what was found is there, and nothing goes on ----
rm -r bin
fold .
echo 0000002 >commit
rm bin/test_op_{embed,random} bin/scope-grid # they have run above
cp bin/test_gpu_oracle bin/test_op_embed
printf '#!/bin/sh\necho $$ >"%s/hangs"\nexec sleep 600\n' "$work" >bin/bench_hang
cat >bin/scope-grid <<CARD
#!/bin/sh
case "\$*" in
  *'--cells 8 '*) exec "$tests/scope-grid-emu" "\$@" ;;
  *) exec bin/bench_hang ;;
esac
CARD
chmod +x bin/bench_hang bin/scope-grid
env -i PATH="$work/card:/usr/bin:/bin" HOME="$work/empty" GPU_SLOWER=10 GPU_KV_BYTES=512 GPU_PROMPT=40 GPU_NEW=8 GPU_SAMPLES=2 \
  GPU_SHAPE="$work/config.json" GPU_CELLS=2 setsid ./gpu.sh run >"$work/out" 2>&1 &
script=$!
for _ in $(seq 3000); do
  [ ! -e "$work/hangs" ] || break
  sleep 0.1
done
[ -e "$work/hangs" ] || fail "it did not come to the second bench: $(cat "$work/out")"
kill -KILL -- "-$script"
wait $script 2>/dev/null || true
for _ in $(seq 100); do
  kill -0 "$(cat "$work/hangs")" 2>/dev/null || break
  sleep 0.1
done
kill -KILL "$(cat "$work/hangs")" 2>/dev/null || true
grep -q '^### few: ' results/report.md || fail "what was measured is lost: $(ls results)"
grep -q '^ok       bench few' results/summary.txt || fail "what was found is lost: $(cat results/summary.txt)"
tar -xOzf results.tar.gz results/bench-few.json | cmp -s - results/bench-few.json || fail "it is not in the packed file"

# ---- again: goes on behind what has passed ----
cat >bin/scope-grid <<CARD
#!/bin/sh
echo "\$@" >>"$work/again"
exec "$tests/scope-grid-emu" "\$@"
CARD
rm bin/bench_hang
run "$work/card" GPU_CELLS=2
[ $code = 0 ] || fail "the second run ended with $code: $(cat "$work/out")"
grep -q '^note     goes on behind [0-9]* steps' "$work/out" || fail "it began anew: $(cat "$work/out")"
! grep -q -- '--cells 8 ' "$work/again" || fail "measured again: $(cat "$work/again")"
! grep -q '^ok       conformance' "$work/out" || fail "tested again: $(cat "$work/out")"
grep -q '^ok       few cells among many' "$work/out" || fail "not gone on: $(cat "$work/out")"
grep -q '^### few: ' results/report.md || fail "the first run's results are gone: $(ls results)"
cp results/bench-few.json "$work/few.json"
rm -r results

# ---- cells from the free memory: (100,000,000 * 0.9 - 1,000,000) / (1,024 * (48 + 2 * 16)) are 1,086, no more than 227;
# of 10,000,000 97; unknown: 64 ----
rm bin/test_op_* bin/bench_* bin/test_gpu_kernels bin/test_gpu_rows bin/scope-grid
cp bin/test_gpu_oracle bin/test_gpu_kernels
cp bin/test_gpu_oracle bin/test_gpu_rows
cp bin/test_gpu_oracle bin/test_op_embed
printf '#!/bin/sh\necho "SKIP: no cuBLAS"\nexit 77\n' >bin/test_gpu_engine
printf '#!/bin/sh\nexit 5\n' >bin/bench_gpu_gemm
cat >bin/scope-grid <<CARD
#!/bin/sh
echo "\$@" >>"$work/cells"
case "\$*" in
  *'--cells 8 '*) sed "s/\(device_free_bytes.: \)[0-9]*/\\1\$FREE/; s/\(workspace_bytes.: \)[0-9]*/\\11000000/" "$work/few.json" ;;
  *) exit 5 ;;
esac
CARD
chmod +x bin/*
for free in 100000000 10000000 0; do
  rm -rf results
  run "$work/card" GPU_KV_BYTES=1024 FREE=$free
done
for cells in 227 97 64; do
  grep -q -- "--cells $cells " "$work/cells" || fail "not $cells cells: $(cat "$work/cells")"
done
grep -q 'missing: bench-shared.json' "$work/out" || fail "$(cat "$work/out")"
grep -q '^skipped  engine: no cuBLAS' "$work/out" || fail "a reason for skipping is lost: $(cat "$work/out")"
rm -r results
run "$work/card" GPU_KV_BYTES=1024 FREE=1000
tail -n 1 "$work/out" | grep -q 'free are too few for one cell' || fail "$(cat "$work/out")"

# ---- no card: one line says why, with or without nvidia-smi ----
printf '#!/bin/sh\necho "SKIP: no cuBLAS"\nexit 77\n' >bin/test_gpu_kernels
for tools in card none; do
  rm -r results
  run "$work/$tools"
  tail -n 1 "$work/out" | grep -q 'nothing can run on this card: no cuBLAS' || fail "it went on: $(cat "$work/out")"
  [ $code = 1 ] || fail "nothing ran and it ended with $code"
done
echo "tests/gpu.sh runs to its end, tells what fails, keeps its time and what it found"
