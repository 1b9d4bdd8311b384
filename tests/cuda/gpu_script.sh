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
  mkdir -p "$1/bin" "$1/lib"
  cp "$source/gpu.sh" "$source/cuda/golden.txt" "$source/bench/make_random_model.py" "$source/bench/gpu_report.py" "$1/"
  ln -s "$tests/scope-grid-emu" "$1/bin/scope-grid"
  ln -s "$tests/bench_emu_gemm" "$1/bin/bench_gpu_gemm"
  ln -s "$tests/test_emu_kernels" "$1/bin/test_gpu_kernels"
  local t
  for t in embed add_rmsnorm attn_decode attn_prefill; do ln -s "$tests/emu_op_$t" "$1/bin/test_op_$t"; done
  # the engine and the oracles have tests of their own and take longer: here they are names
  for t in engine fp8 oracle; do printf '#!/bin/sh\nexit 0\n' >"$1/bin/test_gpu_$t"; done
  chmod +x "$1"/bin/test_gpu_*
  echo 0000000 >"$1/commit"
}
fold "$work/gpu-test"
cd "$work/gpu-test"

mkdir "$work/card" "$work/none"
cat >"$work/card/nvidia-smi" <<'SMI'
#!/bin/sh
case "$*" in
  *name,driver*) echo 'name, driver_version, memory.total [MiB], clocks.max.sm [MHz], clocks.max.memory [MHz]'
                 echo 'Emulated, 0.0, 16384 MiB, 0 MHz, 0 MHz' ;;
  *memory.free*) echo "${FREE:-100}" ;;
  *power.draw*) while :; do echo 321.50; sleep 0.05; done ;;
esac
SMI
cat >"$work/card/compute-sanitizer" <<'SANITIZER'
#!/bin/sh
while [ "${1#-}" != "$1" ]; do
  case $1 in --tool | --error-exitcode) shift ;; esac
  shift
done
exec "$@"
SANITIZER
cat >"$work/none/nvidia-smi" <<'SMI'
#!/bin/sh
echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
exit 9
SMI
chmod +x "$work"/card/* "$work/none/nvidia-smi"

# run TOOLS NAME=VALUE...: gpu.sh run with nothing else in the environment; its output in out, its status in code
run() {
  local tools=$1
  shift
  code=0
  env -i PATH="$tools:/usr/bin:/bin" TMPDIR="$work" GPU_SECONDS=400 GPU_MODEL_MIB=16 GPU_WEIGHTS_MIB=2 \
    GPU_KV_BYTES=200000 GPU_PROMPT=40 GPU_NEW=8 GPU_SAMPLES=3 GPU_GEMM=--small \
    GPU_MODEL="--shape custom --layers 2" "$@" ./gpu.sh run >"$work/out" 2>&1 || code=$?
}

# ---- no driver, no GPU: one clear line, a status, at once ----
run "$work/empty"
refuses() { # TOOLS LINE
  run "$1"
  [ $code = 1 ] || fail "ended with $code: $(cat "$work/out")"
  [ "$(wc -l <"$work/out")" = 1 ] || fail "more than a line: $(cat "$work/out")"
  grep -q "$2" "$work/out" || fail "unclear: $(cat "$work/out")"
}
command -v nvidia-smi >/dev/null || refuses "$work/empty" 'no nvidia-smi on this machine: no NVIDIA driver'
refuses "$work/none" 'finds no GPU: NVIDIA-SMI has failed'

# ---- everything passes ----
run "$work/card" GPU_CELLS=3
[ $code = 0 ] || fail "ended with $code: $(cat "$work/out" results/tests.txt)"
for name in conformance 'golden vectors' embed attn_decode engine oracle 'memcheck attn_decode' products 'bench alone'; do
  grep -q "^ok       $name\$" "$work/out" || fail "'$name' did not run: $(cat "$work/out")"
done
[ "$(ls "$work")" = "$(printf '%s\n' card gpu-test none out)" ] || fail "left behind: $(ls "$work")"
python3 - results <<'CHECK'
import json, sys
d = sys.argv[1]
shared, stages, alone = (json.load(open(f"{d}/bench-{n}.json")) for n in ("shared", "stages", "alone"))
assert shared["cells"] == 3 and shared["samples"] == 3 and shared["prompt_tokens"] == 40 and shared["new_tokens"] == 8
assert alone["samples"] == 1 and alone["cells"] > 3, alone["cells"]
assert stages["operators"]["step"]["calls"] == 0 and stages["hash"] == shared["hash"]
every = {"embed", "norm", "linear", "logits", "qkv_rope", "attn_prefill", "attn_decode", "swiglu", "sample"}
for stage in every:  # a time, flops or bytes for every operator: no gap in the table
    o = stages["operators"][stage]
    assert o["calls"] > 0 and o["seconds"] > 0 and o["bytes"] > 0, (stage, o)
report = open(f"{d}/report.md").read()
for stage, o in shared["operators"].items():
    assert (f"| {stage} | {o['calls']} |" in report) == (o["calls"] > 0), stage
assert sum(o["seconds"] for o in shared["operators"].values()) <= shared["wall_s"]
for words in ("mean power by nvidia-smi 321.5 W", "same KV memory, overall:", "| gate,up |", "Emulated", "between them"):
    assert words in report, words
assert len(json.load(open(f"{d}/gemm.json"))["products"]) == 10
CHECK

# ---- golden vectors that differ; a test that fails; one that never ends, at which the time for tests is over ----
sed -i '/^mma /s/4/5/' golden.txt
rm bin/test_op_embed
printf '#!/bin/sh\necho broken\nexit 3\n' >bin/test_op_embed
printf '#!/bin/sh\nsleep 600\n' >bin/test_op_never
rm bin/test_op_attn_*
chmod +x bin/test_op_embed bin/test_op_never
run "$work/card" GPU_CELLS=2 GPU_SECONDS=248
[ $code = 1 ] || fail "ended with $code although tests failed"
grep -q '^FAILED   golden vectors' "$work/out" || fail "other golden vectors passed: $(cat "$work/out")"
grep -q '^FAILED   embed (3)' "$work/out" || fail "a test that fails is not told: $(cat "$work/out")"
grep -Eq '^FAILED   never: not done in [0-9]+ s' "$work/out" || fail "no limit: $(cat "$work/out")"
grep -q '^FAILED   engine: no time left' "$work/out" || fail "nothing ran out of time: $(cat "$work/out")"
grep -q '^ok       bench shared' "$work/out" || fail "no bench after a failure: $(cat "$work/out")"

# ---- cells from the free memory: (12 - 2) MiB * 0.9 / (1,024 * (48 + 3 * 16)) are 95; of 98 MiB no more than 227 ----
rm bin/test_op_* bin/bench_gpu_gemm bin/test_gpu_kernels bin/scope-grid
cp bin/test_gpu_oracle bin/test_gpu_kernels
cp bin/test_gpu_oracle bin/test_op_embed
printf '#!/bin/sh\necho "SKIP: no cuBLAS"\nexit 77\n' >bin/test_gpu_engine
printf '#!/bin/sh\nexit 5\n' >bin/bench_gpu_gemm
printf '#!/bin/sh\necho "$@" >>cells\nexit 5\n' >bin/scope-grid
chmod +x bin/*
run "$work/card" GPU_KV_BYTES=1024 FREE=100
run "$work/card" GPU_KV_BYTES=1024 FREE=12
grep -q -- '--cells 227 ' cells || fail "cells: $(cat cells)"
grep -q -- '--cells 95 ' cells || fail "cells: $(cat cells)"
grep -q 'missing: bench-shared.json, bench-stages.json, bench-alone.json, gemm.json' "$work/out" || fail "$(cat "$work/out")"
grep -q '^skipped  engine: no cuBLAS' "$work/out" || fail "a reason for skipping is lost: $(cat "$work/out")"
printf '#!/bin/sh\necho "SKIP: no cuBLAS"\nexit 77\n' >bin/test_gpu_kernels
run "$work/card"
tail -n 1 "$work/out" | grep -q 'nothing can run on this card' || fail "it went on: $(cat "$work/out")"
[ $code = 1 ] || fail "nothing ran and it ended with $code"
cp bin/test_gpu_oracle bin/test_gpu_kernels
run "$work/card" FREE=N/A
grep -q "says that 'N/A' MiB are free: set GPU_CELLS" "$work/out" || fail "$(cat "$work/out")"
echo "tests/gpu.sh runs to its end, tells what fails and keeps its time"
