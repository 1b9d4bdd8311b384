#!/usr/bin/env bash
# gpu.sh - the cuda backend on a machine with a GPU that has the CUDA 13 toolkit, python3 and nothing else of ours.
#   tests/gpu.sh pack [BUILD_DIR]    here: builds with nvcc and writes BUILD_DIR/gpu-test.tar.gz: programs,
#                                    the libraries they need, reference data and this script
#   ./gpu.sh run                     there, in the unpacked folder: everything below, in under nine minutes;
#                                    exit code 0 only when all of it passed; results/ holds what was found
# run does: conformance of every wrapped PTX operation, against golden.txt; all operator tests, transformers' oracles
# and batch invariance of the engine; compute-sanitizer on a part; then measures: one algorithm for every number of
# rows against cuBLASLt's own choice, and `bench` of the Qwen3-4B shape with random weights: with shared prompts, the same
# operator by operator, with a prompt for each sample alone; power beside it. results/report.md has the tables.
#
# For other cards and for the test of this script (tests/cuda/gpu_script.sh), from the environment:
#   GPU_SECONDS=540   all of it; what no time is left for counts as failed
#   GPU_MODEL         options of make_random_model.py (--shape qwen3-4b), GPU_MODEL_MIB=8000 on disk, GPU_WEIGHTS_MIB
#                     =9216 of the card for weights and workspace, GPU_KV_BYTES=147456 of KV a token
#   GPU_CELLS         as many as fit, GPU_SAMPLES=8, GPU_PROMPT=2000, GPU_NEW=250; GPU_GEMM: options of bench_gpu_gemm
set -euo pipefail

die() { printf 'gpu.sh: %s\n' "$*" >&2; exit 1; }

pack() {
  cd "$(dirname "$0")/.."
  local build=${1:-build-gpu} shared
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DSG_CUDA=ON
  ninja -C "$build" gpu_tests
  shared=$(sed -n 's/^SG_SHARED_DIR:PATH=//p' "$build/CMakeCache.txt")
  to=$(mktemp -d)
  trap 'rm -rf "$to"' EXIT
  mkdir -p "$to/gpu-test/bin" "$to/gpu-test/lib" "$to/gpu-test/data"
  cp "$build/scope-grid" "$build"/tests/test_op_* "$build"/tests/test_gpu_* "$build"/tests/bench_gpu_gemm \
    "$to/gpu-test/bin/"
  cp tests/gpu.sh tests/cuda/golden.txt tests/bench/make_random_model.py tests/bench/gpu_report.py "$to/gpu-test/"
  [ -d "$shared/data/oracle" ] && cp -r "$shared/data/oracle" "$to/gpu-test/data/"
  # everything but the C library, the compiler's runtime and the driver, which belong to the machine
  ldd "$to"/gpu-test/bin/* | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
    grep -vE '/(libc|libm|libdl|librt|libpthread|libresolv|libcuda|libgcc_s|libstdc\+\+|ld-linux[^/]*)\.so' |
    xargs -r cp -Lt "$to/gpu-test/lib"
  git rev-parse HEAD >"$to/gpu-test/commit"
  tar -C "$to" -czf "$build/gpu-test.tar.gz" gpu-test
  ls -l "$build/gpu-test.tar.gz"
}

# ---- on the machine with the GPU ----

failed=0 began=$SECONDS sampler="" model="" log=results/tests.txt
# what may be waited for now: $1 seconds, or what is left when the last $2 are kept for others
left() {
  local l=$((${GPU_SECONDS:-540} - (SECONDS - began) - $2))
  [ $l -lt "$1" ] || l=$1
  printf '%d' "$l"
}
# check NAME SECONDS KEPT COMMAND...: passed, skipped (77) or failed, with its output in the log
check() {
  local name=$1 limit code=0
  limit=$(left "$2" "$3")
  shift 3
  printf '== %s\n' "$name" >>$log
  if [ "$limit" -le 0 ]; then
    printf 'FAILED   %s: no time left\n' "$name" | tee -a $log
    failed=1
    return 1
  fi
  timeout -k 5 "$limit" "$@" >>$log 2>&1 || code=$?
  case $code in
    0) printf 'ok       %s\n' "$name" ;;
    77) printf 'skipped  %s: %s\n' "$name" "$(tail -n 20 $log | sed -n 's/.*SKIP: //p' | tail -n 1)" ;;
    124 | 137) printf 'FAILED   %s: not done in %d s\n' "$name" "$limit"; failed=1 ;;
    *) printf 'FAILED   %s (%d)\n' "$name" "$code"; failed=1 ;;
  esac
  return $code
}
# a test without which nothing else means anything: it may not be skipped either
must() { check "$@" || failed=1; }

# the exact results of wrapped operations; those of __expf differ in their last bits from card to card
same_golden() { diff <(grep -v '^#\|^math ' golden.txt) <(grep -v '^#\|^math ' results/golden.txt); }

# a folder for a model of $1 MiB: /dev/shm is small in containers
model_folder() {
  local d
  for d in "${TMPDIR:-/dev/shm}" /dev/shm /tmp .; do
    [ -w "$d" ] || continue
    [ "$(df -Pm "$d" | awk 'NR == 2 { print $4 }')" -gt "$1" ] || continue
    mktemp -d "$d/scope-random.XXXXXX"
    return
  done
  die "no folder with $1 MiB for a random model: set TMPDIR"
}

# measure NAME CELLS SAMPLES NEW OPTION...: one bench, its result in results/bench-NAME.json
measure() {
  local name=$1 n=$2 samples=$3 new=$4
  shift 4
  nvidia-smi -i "$gpu" --query-gpu=power.draw --format=csv,noheader,nounits -lms 200 >"results/power-$name.txt" 2>/dev/null &
  sampler=$!
  # shellcheck disable=SC2016  # for sh
  check "bench $name" 150 5 sh -c 'out=$1; shift; exec "$@" >"$out"' sh "results/bench-$name.json" \
    bin/scope-grid bench --model "$model" --device cuda --cells "$n" --samples "$samples" --prompt-tokens "$prompt" \
    --new-tokens "$new" --kv-cache-mib "$kv" --max-context $((prompt + new + 16)) --max-batch-tokens 4096 --json "$@" ||
    rm -f "results/bench-$name.json"
  kill $sampler 2>/dev/null || true
  sampler=""
}

leave() {
  [ -z "$sampler" ] || kill "$sampler" 2>/dev/null || true
  [ -z "$model" ] || rm -rf "$model"
}

run() {
  cd "$(dirname "$0")"
  local t tool
  [ -x bin/test_gpu_kernels ] || die "bin/test_gpu_kernels is not here: run this in the unpacked gpu-test folder"
  PATH=$PATH:/usr/local/cuda/bin
  for tool in nvidia-smi python3 timeout awk diff; do
    command -v $tool >/dev/null || die "no $tool on this machine$([ $tool != nvidia-smi ] || echo ': no NVIDIA driver')"
  done
  export LD_LIBRARY_PATH=$PWD/lib:/usr/local/cuda/lib64:${LD_LIBRARY_PATH:-} SG_SHARED_DIR=$PWD
  export CUDA_DEVICE_ORDER=PCI_BUS_ID # as nvidia-smi counts
  gpu=${CUDA_VISIBLE_DEVICES:-0}
  gpu=${gpu%%,*}
  rm -rf results
  mkdir -p results
  : >$log
  trap leave EXIT
  nvidia-smi -i "$gpu" --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem --format=csv \
    >results/card.txt 2>&1 || die "nvidia-smi finds no GPU: $(head -n 1 results/card.txt)"
  cat results/card.txt

  SG_GOLDEN=results/golden.txt must conformance 60 240 bin/test_gpu_kernels
  ! grep -q SKIP: $log || die "nothing can run on this card: see $PWD/$log"
  check "golden vectors" 10 240 bash gpu.sh golden || true
  for t in bin/test_op_*; do check "${t#bin/test_op_}" 60 240 "$t" cuda || true; done
  must engine 60 240 bin/test_gpu_engine
  check "engine, fp8 weights" 60 240 bin/test_gpu_fp8 cuda || true
  must oracle 60 240 bin/test_gpu_oracle
  if command -v compute-sanitizer >/dev/null; then
    for t in memcheck racecheck synccheck initcheck; do
      check "$t conformance" 60 240 compute-sanitizer --tool $t --error-exitcode 1 bin/test_gpu_kernels || true
    done
    for t in attn_decode attn_prefill; do
      check "memcheck $t" 60 240 compute-sanitizer --error-exitcode 1 bin/test_op_$t cuda || true
    done
  else
    printf 'skipped  compute-sanitizer: not installed\n'
  fi
  printf 'tests took %d s\n' $((SECONDS - began))

  local samples=${GPU_SAMPLES:-8} cells=${GPU_CELLS:-} token=${GPU_KV_BYTES:-147456} free
  local new=${GPU_NEW:-250}
  prompt=${GPU_PROMPT:-2000}
  # shellcheck disable=SC2086  # options, apart
  check products 60 180 bin/bench_gpu_gemm ${GPU_GEMM:-} results/gemm.json || true
  model=$(model_folder "${GPU_MODEL_MIB:-8000}")
  # shellcheck disable=SC2086
  check "random model" 100 30 python3 make_random_model.py "$model" ${GPU_MODEL:---shape qwen3-4b} || exit 1
  # as many cells as fit: their prompts once, their answers; in whole pages of 16 tokens
  local held=$(((prompt + 15) / 16 * 16 + samples * ((new + 15) / 16 * 16)))
  if [ -z "$cells" ]; then
    free=$(nvidia-smi -i "$gpu" --query-gpu=memory.free --format=csv,noheader,nounits)
    case $free in
      '' | *[!0-9]*) die "nvidia-smi says that '$free' MiB are free: set GPU_CELLS" ;;
    esac
    cells=$(((free - ${GPU_WEIGHTS_MIB:-9216}) * 943718 / (token * held))) # 0.9 of it
    [ "$cells" -le 227 ] || cells=227
    [ "$cells" -ge 1 ] || die "$free MiB free are too few for one cell of $samples samples"
  fi
  kv=$((cells * held * token / 1048576 + 64))
  measure shared "$cells" "$samples" "$new"
  # some steps more, in which no operator is hidden in a recorded step: each has a time of its own
  measure stages "$cells" "$samples" $((new < 32 ? new : 32)) --operators
  # nothing shared: a prompt for each sample, as many as the same pool holds
  measure alone $((kv * 1048576 / (token * ((prompt + new + 31) / 16 * 16)))) 1 "$new"
  python3 gpu_report.py results || failed=1
  printf 'all of it took %d s; results/ is for tests/bench/gpu-results.md\n' $((SECONDS - began))
  exit $failed
}

case "${1:-}" in
  pack) shift; pack "$@" ;;
  run) run ;;
  golden) same_golden ;; # for run: `timeout` needs a program
  *) sed -n '2,20s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
