#!/usr/bin/env bash
# gpu.sh - the cuda backend on a machine with a GPU that has the CUDA 13 toolkit with cuBLAS and nothing else of ours.
#   tests/gpu.sh pack [BUILD_DIR]    here: builds with nvcc and writes BUILD_DIR/gpu-test.tar.gz: programs, the
#                                    libraries they need, a C library for machines with an older one, data, this script
#   ./gpu.sh run                     there, in the unpacked folder: everything below, in under nine minutes;
#                                    exit code 0 only when all of it passed; results/ holds what was found
# run does, what matters most first: conformance of every wrapped PTX operation, against golden.txt; all operator tests,
# transformers' oracles and batch invariance of the engine; then it measures, with random weights made on the card:
# `bench` of the Qwen3-4B shape, few cells (with and without recorded steps), as many as fit with shared prompts, the
# same operator by operator, with a prompt for each sample alone, with fp8 weights; power and clock beside it; one
# algorithm for every number of rows against cuBLASLt's own choice; at last compute-sanitizer on a part. Every result
# is in results/ as soon as it is known, report.md has the tables of all so far: whoever ends this early loses nothing.
#
# From the environment, for other cards, for harnesses, and for the test of this script (tests/cuda/gpu_script.sh):
#   GPU_SECONDS=540   all of it; what no time is left for counts as failed
#   GPU_RESULTS       a folder to take the place of results/
#   GPU_SHAPE         for bench --random (qwen3-4b), GPU_KV_BYTES=147456 of KV a token of it
#   GPU_CELLS         as many as fit, at most 227; GPU_SAMPLES=8, GPU_PROMPT=2000, GPU_NEW=250
#   GPU_GEMM          options of bench_gpu_gemm
set -euo pipefail

die() { printf 'gpu.sh: %s\n' "$*" >&2; exit 1; }

c_library='libc|libm|libdl|librt|libpthread|libresolv|libgcc_s|libstdc\+\+|ld-linux[^/]*'

pack() {
  cd "$(dirname "$0")/.."
  local build=${1:-build-gpu} shared libraries
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DSG_CUDA=ON
  ninja -C "$build" gpu_tests
  shared=$(sed -n 's/^SG_SHARED_DIR:PATH=//p' "$build/CMakeCache.txt")
  to=$(mktemp -d)
  trap 'rm -rf "$to"' EXIT
  mkdir -p "$to"/gpu-test/{bin,lib,c,data}
  cp "$build/scope-grid" "$build"/tests/test_op_* "$build"/tests/test_gpu_* "$build"/tests/bench_gpu_gemm \
    "$to/gpu-test/bin/"
  cp tests/gpu.sh tests/cuda/golden.txt tests/bench/gpu_report.py "$to/gpu-test/"
  [ -d "$shared/data/oracle" ] && cp -r "$shared/data/oracle" "$to/gpu-test/data/"
  # the driver belongs to the machine; so do the C library and the compiler's runtime, unless they are older than ours
  libraries=$(ldd "$to"/gpu-test/bin/* | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /\/ld-linux/ { print $1 }' |
    sort -u | grep -v '/libcuda\.so')
  grep -vE "/($c_library)\.so" <<<"$libraries" | xargs -r cp -Lt "$to/gpu-test/lib"
  grep -E "/($c_library)\.so" <<<"$libraries" | xargs -r cp -Lt "$to/gpu-test/c"
  # what the driver's library asks for beside it
  libraries=$(dirname "$(grep '/libc\.so' <<<"$libraries")")
  cp -Lt "$to/gpu-test/c" "$libraries"/{libdl.so.2,libpthread.so.0,librt.so.1}
  git rev-parse HEAD >"$to/gpu-test/commit"
  tar -C "$to" -czf "$build/gpu-test.tar.gz" gpu-test
  ls -l "$build/gpu-test.tar.gz"
}

# ---- on the machine with the GPU ----

here=$(cd "$(dirname "$0")" && pwd)
failed=0 began=$SECONDS sampler=""
results=$(realpath -m "${GPU_RESULTS:-$here/results}")
log=$results/tests.txt

# a line for whoever watches, kept
say() {
  # shellcheck disable=SC2059  # the format comes from here
  printf "$@" | tee -a "$results/summary.txt"
}
# what may be waited for now: $1 seconds, or what is left when the last $2 are kept for others
left() {
  local l=$((${GPU_SECONDS:-540} - (SECONDS - began) - $2))
  [ $l -lt "$1" ] || l=$1
  printf '%d' "$l"
}
# check NAME SECONDS KEPT COMMAND...: passed, skipped (77) or failed, with its output in the log
check() {
  local name=$1 limit code=0 since=$SECONDS
  limit=$(left "$2" "$3")
  shift 3
  printf '== %s\n' "$name" >>"$log"
  if [ "$limit" -le 0 ]; then
    say 'FAILED   %s: no time left\n' "$name"
    failed=1
    return 1
  fi
  timeout -k 5 "$limit" "$@" >>"$log" 2>&1 || code=$?
  case $code in
    0) say 'ok       %s\n' "$name" ;;
    77) say 'skipped  %s: %s\n' "$name" "$(tail -n 20 "$log" | sed -n 's/.*SKIP: //p' | tail -n 1)" ;;
    124 | 137) say 'FAILED   %s: not done in %d s\n' "$name" "$limit"; failed=1 ;;
    *) say 'FAILED   %s (%d): %s\n' "$name" "$code" "$(tail -n 1 "$log")"; failed=1 ;;
  esac
  printf '   %d s\n' $((SECONDS - since)) >>"$log"
  return $code
}
# a test without which nothing else means anything: it may not be skipped either
must() { check "$@" || failed=1; }

# the exact results of wrapped operations; those of __expf differ in their last bits from card to card
same_golden() { diff <(grep -v '^#\|^math ' "$here/golden.txt") <(grep -v '^#\|^math ' "$results/golden.txt"); }

# starters: run/NAME for every program, with our libraries for it alone (a shell or python3 of the machine must not
# find them), through our own C library where the machine's is too old for it
starters() {
  local program name
  rm -rf run
  mkdir run
  for program in bin/*; do
    name=${program#bin/}
    {
      printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec ' "$libraries"
      if LD_LIBRARY_PATH=$libraries ldd "$program" 2>&1 | grep -q 'not found'; then
        printf '"%s" --library-path "%s" ' "$here/c/$(basename "$here"/c/ld-linux*)" "$here/c:$libraries"
        echo "$name" >>run/.older
      fi
      printf '"%s" "$@"\n' "$here/$program"
    } >"run/$name"
    chmod +x "run/$name"
  done
  [ ! -e run/.older ] || say 'note     %d programs need our own C library here\n' "$(wc -l <run/.older)"
}

# where cuBLASLt is, if neither the loader nor the toolkit's usual folder has it
find_blas() {
  local at
  [ ! -e /usr/local/cuda/lib64/libcublasLt.so.13 ] || return 0
  ! ldconfig -p 2>/dev/null | grep -q 'libcublasLt\.so\.13' || return 0
  at=$(timeout 20 find /usr /opt "$HOME" -name libcublasLt.so.13 -print -quit 2>/dev/null) || true
  [ -z "$at" ] || dirname "$at"
}

# what nvidia-smi says of the card; nothing where there is none
smi() { [ -n "$smi" ] && timeout 20 nvidia-smi -i "$gpu" "$@" 2>&1; }

describe_card() {
  local fields=name,driver_version,memory.total,memory.used,clocks.max.sm,clocks.max.mem,power.limit,temperature.gpu
  local others
  smi --query-gpu=$fields,compute_mode,mig.mode.current --format=csv >"$results/card.txt" || true
  cat "$results/card.txt"
  others=$(smi --query-compute-apps=pid --format=csv,noheader | grep -c '^[0-9]') || true
  [ "${others:-0}" = 0 ] || say 'note     %d other processes use this card: times are not its own\n' "$others"
}

# report: the tables of what is there so far; made elsewhere where there is no python3
report() {
  command -v python3 >/dev/null || return 0
  python3 gpu_report.py "$results"
}

# measure NAME CELLS SAMPLES NEW OPTION...: one bench, its result in results/bench-NAME.json
measure() {
  local name=$1 n=$2 samples=$3 new=$4 code=0
  shift 4
  kv=$(((n * (pages + samples * ((new + 15) / 16)) * 16 * token >> 20) + 64))
  if [ -n "$smi" ]; then
    nvidia-smi -i "$gpu" --query-gpu=power.draw,clocks.sm --format=csv,noheader,nounits -lms 200 \
      >"$results/power-$name.txt" 2>/dev/null &
    sampler=$!
  fi
  # shellcheck disable=SC2016  # for sh
  check "bench $name" 150 5 sh -c 'out=$1; shift; exec "$@" >"$out"' sh "$results/.bench" \
    run/scope-grid bench --random "${GPU_SHAPE:-qwen3-4b}" --device cuda --cells "$n" --samples "$samples" \
    --prompt-tokens "$prompt" --new-tokens "$new" --kv-cache-mib "$kv" --max-context $((prompt + new + 16)) \
    --max-batch-tokens 4096 --json "$@" || code=$?
  [ $code != 0 ] || mv "$results/.bench" "$results/bench-$name.json"
  rm -f "$results/.bench"
  [ -z "$sampler" ] || kill "$sampler" 2>/dev/null || true
  sampler=""
  report >/dev/null || true
  return $code
}
# what a bench wrote under a key, a whole number
found() { sed -n 's/.*"'"$2"'": \([0-9]*\).*/\1/p' "$results/bench-$1.json" 2>/dev/null; }

leave() {
  [ -z "$sampler" ] || kill "$sampler" 2>/dev/null || true
  rm -rf "$here/run"
}

measure_all() {
  local samples=${GPU_SAMPLES:-8} cells=${GPU_CELLS:-} new=${GPU_NEW:-250} few=8 free
  prompt=${GPU_PROMPT:-2000} token=${GPU_KV_BYTES:-147456}
  pages=$(((prompt + 15) / 16))
  local held=$(((pages + samples * ((new + 15) / 16)) * 16)) # tokens of a cell in the cache, its answers at full length
  # some cells at once: a number whatever comes later, what recording steps is worth, and the memory there is
  measure few $few "$samples" "$new" || true
  measure few-apart $few "$samples" "$new" --operators || true
  if [ -z "$cells" ]; then
    free=$(found few device_free_bytes)
    if [ "${free:-0}" = 0 ]; then
      say 'note     nobody says how much memory is free: 64 cells\n'
      cells=64
    else
      cells=$(((free * 9 / 10 - $(found few workspace_bytes)) / (token * held)))
      [ "$cells" -le 227 ] || cells=227
      [ "$cells" -ge 1 ] || die "$free bytes free are too few for one cell of $samples samples"
    fi
  fi
  # a card that does not do it in time, or has less memory than it said, does a part of it
  measure shared "$cells" "$samples" "$new" || measure shared $(((cells + 3) / 4)) "$samples" "$new" || true
  # some steps more, in which no operator is hidden in a recorded step: each has a time of its own
  measure stages "$cells" "$samples" $((new < 32 ? new : 32)) --operators || true
  # nothing shared: a prompt for each sample, as many as the same pool holds
  measure alone $((cells * held / ((pages + (new + 15) / 16) * 16))) 1 "$new" || true
  measure fp8 "$cells" "$samples" "$new" --weight-type fp8 || true
}

sanitize() {
  local t name
  if ! command -v compute-sanitizer >/dev/null; then
    say 'skipped  compute-sanitizer: not installed\n'
    return
  fi
  # shellcheck disable=SC2086  # a tool, a program, its argument
  for t in 'memcheck test_op_attn_decode cuda' 'memcheck test_op_attn_prefill cuda' 'memcheck test_gpu_kernels' \
    'racecheck test_gpu_kernels' 'synccheck test_gpu_kernels' 'initcheck test_gpu_kernels'; do
    set -- $t
    name="$1 ${2#test_op_}"
    if grep -qx "$2" run/.older 2>/dev/null; then
      say 'skipped  %s: the program needs another C library than the sanitizer\n' "$name"
      continue
    fi
    check "$name" 60 5 env LD_LIBRARY_PATH="$libraries" compute-sanitizer --tool "$1" --error-exitcode 1 \
      "bin/$2" ${3:-} || true
  done
}

run() {
  cd "$here"
  local t tool
  [ -x bin/test_gpu_kernels ] || die "bin/test_gpu_kernels is not here: run this in the unpacked gpu-test folder"
  PATH=$PATH:/usr/local/cuda/bin
  for tool in timeout awk diff ldd tee; do
    command -v $tool >/dev/null || die "no $tool on this machine"
  done
  mkdir -p "$results" || die "no folder for results: set GPU_RESULTS"
  rm -f "$results"/{bench-*.json,power-*.txt,{card,summary,tests,golden}.txt,gemm.json,report.md}
  : >"$log"
  cp commit "$results/"
  trap leave EXIT
  trap 'exit 1' INT TERM
  export SG_SHARED_DIR=$here CUDA_DEVICE_ORDER=PCI_BUS_ID # as nvidia-smi counts
  smi=$(command -v nvidia-smi || true) gpu=${CUDA_VISIBLE_DEVICES:-0}
  gpu=${gpu%%,*}
  [ -n "$smi" ] || say 'note     no nvidia-smi on this machine: no power, no clocks\n'
  describe_card
  t=$(find_blas)
  libraries=$here/lib:/usr/local/cuda/lib64${t:+:$t}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  # an older driver of a data center card runs newer programs with the toolkit's own part of it
  t=$(sed -n '2s/^[^,]*, *\([0-9]*\)\..*/\1/p' "$results/card.txt")
  if [ -n "$t" ] && [ "$t" -lt 580 ] && [ -e /usr/local/cuda/compat/libcuda.so.1 ]; then
    libraries=/usr/local/cuda/compat:$libraries
    say 'note     driver %s is older than CUDA 13: with /usr/local/cuda/compat\n' "$t"
  fi
  starters

  SG_GOLDEN=$results/golden.txt must conformance 60 240 run/test_gpu_kernels
  t=$(sed -n 's/.*SKIP: //p' "$log" | head -n 1)
  [ -z "$t" ] || die "nothing can run on this card: $t"
  check "golden vectors" 10 240 bash gpu.sh golden || true
  must engine 60 240 run/test_gpu_engine
  must oracle 60 240 run/test_gpu_oracle
  for t in run/test_op_*; do check "${t#run/test_op_}" 60 240 "$t" cuda || true; done
  for t in run/test_op_*; do # those without activations have no other kernel in float32
    case $t in *_feed_tokens | *_logprob | *_sample) continue ;; esac
    check "${t#run/test_op_} float32" 60 240 "$t" cuda:float32 || true
  done
  check "engine, fp8 weights" 60 240 run/test_gpu_fp8 cuda || true
  say 'tests took %d s\n' $((SECONDS - began))
  measure_all
  # shellcheck disable=SC2086  # options, apart
  check products 60 5 run/bench_gpu_gemm ${GPU_GEMM:-} "$results/gemm.json" || true
  report >/dev/null || true
  sanitize
  if command -v python3 >/dev/null; then
    report || failed=1
  else
    say 'note     no python3 here: gpu_report.py %s makes the tables elsewhere\n' "$results"
  fi
  say 'all of it took %d s; %s is for tests/bench/gpu-results.md\n' $((SECONDS - began)) "$results"
  exit $failed
}

case "${1:-}" in
  pack) shift; pack "$@" ;;
  run) run ;;
  golden) same_golden ;; # for run: `timeout` needs a program
  *) sed -n '2,26s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
