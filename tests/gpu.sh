#!/usr/bin/env bash
# gpu.sh - the cuda backend on a machine with a GPU that has the CUDA 13 toolkit and nothing else of ours.
#   tests/gpu.sh pack [BUILD_DIR]    here: builds with nvcc and writes BUILD_DIR/gpu-test.tar.gz: programs,
#                                    the libraries they need, reference data and this script
#   ./gpu.sh run                     there, in the unpacked folder: everything below, in under nine minutes;
#                                    exit code 0 only when all tests passed; results/ holds what was found
# run does: conformance of every wrapped PTX operation (golden.txt), all operator tests, transformers' oracles
# and batch invariance of the engine, compute-sanitizer on a part, then bench of the Qwen3-4B shape with random
# weights, with and without shared prompts, and the mean power.
set -euo pipefail

pack() {
  cd "$(dirname "$0")/.."
  local build=${1:-build-gpu} shared
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DSG_CUDA=ON
  ninja -C "$build" gpu_tests
  shared=$(sed -n 's/^SG_SHARED_DIR:PATH=//p' "$build/CMakeCache.txt")
  to=$(mktemp -d)
  trap 'rm -rf "$to"' EXIT
  mkdir -p "$to/gpu-test/bin" "$to/gpu-test/lib" "$to/gpu-test/data"
  cp "$build/scope-grid" "$build"/tests/test_op_* "$build"/tests/test_gpu_* "$to/gpu-test/bin/"
  cp tests/gpu.sh tests/bench/make_random_model.py "$to/gpu-test/"
  [ -d "$shared/data/oracle" ] && cp -r "$shared/data/oracle" "$to/gpu-test/data/"
  # everything but the C library, the compiler's runtime and the driver, which belong to the machine
  ldd "$to"/gpu-test/bin/* | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
    grep -vE '/(libc|libm|libdl|librt|libpthread|libresolv|libcuda|libgcc_s|libstdc\+\+|ld-linux[^/]*)\.so' |
    xargs -r cp -Lt "$to/gpu-test/lib"
  git rev-parse HEAD >"$to/gpu-test/commit"
  tar -C "$to" -czf "$build/gpu-test.tar.gz" gpu-test
  ls -l "$build/gpu-test.tar.gz"
}

run() {
  cd "$(dirname "$0")"
  export LD_LIBRARY_PATH=$PWD/lib:/usr/local/cuda/lib64:${LD_LIBRARY_PATH:-} SG_SHARED_DIR=$PWD
  mkdir -p results
  local failed=0 began=$SECONDS log=results/tests.txt sampler=""
  : >"$log"
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem --format=csv \
    | tee results/card.txt
  # check NAME SECONDS COMMAND...: passed, skipped (77) or failed, with its output in the log
  check() {
    local name=$1 limit=$2 code=0
    shift 2
    printf '== %s\n' "$name" >>"$log"
    timeout "$limit" "$@" >>"$log" 2>&1 || code=$?
    case $code in
      0) printf 'ok       %s\n' "$name" ;;
      77) printf 'skipped  %s\n' "$name" ;;
      *) printf 'FAILED   %s (%s)\n' "$name" "$code"; failed=1 ;;
    esac
  }
  SG_GOLDEN=results/golden.txt check conformance 60 bin/test_gpu_kernels
  local t
  for t in bin/test_op_*; do check "${t#bin/test_op_}" 60 "$t" cuda; done
  check oracle 60 bin/test_gpu_oracle
  check engine 60 bin/test_gpu_engine
  if command -v compute-sanitizer >/dev/null; then
    for t in memcheck racecheck synccheck initcheck; do
      check "$t conformance" 60 compute-sanitizer --tool $t --error-exitcode 1 bin/test_gpu_kernels
    done
    check "memcheck attn_decode" 60 compute-sanitizer --error-exitcode 1 bin/test_op_attn_decode cuda
    check "memcheck attn_prefill" 60 compute-sanitizer --error-exitcode 1 bin/test_op_attn_prefill cuda
  fi
  printf 'tests took %d s\n' $((SECONDS - began))

  local model=${TMPDIR:-/dev/shm}/scope-random-4b free cells
  [ -e "$model/config.json" ] || python3 make_random_model.py "$model" --shape qwen3-4b >/dev/null
  # as many cells of 8 samples as fit: 147,456 bytes of KV a token, 9 GiB for weights and workspace
  free=$(nvidia-smi --query-gpu=memory.free --format=csv,noheader,nounits | head -n 1)
  cells=$(((free - 9216) * 1048576 * 9 / 10 / (147456 * (2000 + 8 * 256))))
  [ "$cells" -le 227 ] || cells=227
  local kv=$((cells * (2016 + 8 * 256) * 147456 / 1048576 + 64))
  # bench NAME CELLS SAMPLES PROMPT NEW
  bench() {
    nvidia-smi --query-gpu=power.draw --format=csv,noheader,nounits -lms 200 >"results/power-$1.txt" &
    sampler=$!
    check "bench $1" 150 bin/scope-grid bench --model "$model" --device cuda --cells "$2" --samples "$3" \
      --prompt-tokens "$4" --new-tokens "$5" --kv-cache-mib "$kv" --max-context 2400 --max-batch-tokens 4096 --json
    kill $sampler 2>/dev/null || true
    awk -v name="$1" '{ s += $1; n++ } END { if (n) printf "mean power, %s: %.0f W\n", name, s / n }' \
      "results/power-$1.txt"
    tail -n 1 "$log" >"results/bench-$1.json"
    cat "results/bench-$1.json"
  }
  bench shared "$cells" 8 2000 250
  # nothing shared: one sample a prompt, as many as the same pool holds
  bench alone $((kv * 1048576 / (147456 * 2272))) 1 2000 250
  [ "${KEEP_MODEL:-}" ] || rm -rf "$model"
  printf 'all of it took %d s; results/ is for tests/bench/gpu-results.md\n' $((SECONDS - began))
  exit $failed
}

case "${1:-}" in
  pack) shift; pack "$@" ;;
  run) run ;;
  *) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
