#!/usr/bin/env bash
# gpu.sh - the cuda backend on a machine with a GPU that has the CUDA 13 toolkit with cuBLAS and nothing else of ours.
#   tests/gpu.sh pack [BUILD_DIR]    here: builds with nvcc and writes BUILD_DIR/gpu-test.tar.gz: programs, the
#                                    libraries they need, a C library for machines with an older one, data, this script
#   ./gpu.sh run                     there, in the unpacked folder: everything below, in under twelve minutes;
#                                    exit code 0 only when all of it passed; results/ holds what was found, and
#                                    results.tar.gz all of that in one file, made anew after every step
# run does, what matters most first: conformance of every wrapped PTX operation, against golden.txt; rows of the products
# of Qwen3-4B in batches of every size; operator tests in bf16, batch invariance of the engine, transformers' oracles;
# then it measures, with random weights made on the card: `bench` of the Qwen3-4B shape, few cells with and without
# recorded steps, as many as fit with shared prompts, of which the few must be the same to the bit, three times as many through
# the same memory, prompts among the answers as in a campaign, then as many as fit in two halves side by side on two
# streams (engine.overlap_rows), all with equal bits, and the same operator by operator; the profiler on the largest
# kernels; equal bits against cuBLASLt's own choice; compute-sanitizer; at last operators in float32, fp8 weights, a prompt
# for each sample alone. Power and clock beside it.
# Every step has a limit of its own. Whoever ends this early loses nothing: `run` again goes on behind what passed, with
# as many seconds anew; it begins from the start where results/ is of another commit or another card.
#
# From the environment, for other cards, for harnesses, and for the test of this script (tests/cuda/gpu_script.sh):
#   GPU_SECONDS=700   all of it; what no time is left for counts as failed
#   GPU_SLOWER=1      limits of steps times this: for cards that are slower than an H200
#   GPU_RESULTS       a folder to take the place of results/
#   GPU_SHAPE         for bench --random (qwen3-4b), GPU_KV_BYTES=147456 of KV a token of it
#   GPU_CELLS         as many as fit, at most 227; GPU_SAMPLES=8, GPU_PROMPT=2000, GPU_NEW=250
#   GPU_OVERLAP=512   the rows from which steps are halved in `bench halves`
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
  cp tests/gpu.sh tests/cuda/golden.txt tests/bench/gpu_report.py tests/bench/gpu-model.md "$to/gpu-test/"
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
finished=$results/finished.txt # names of the steps that have passed

# a line for whoever watches, kept
say() {
  # shellcheck disable=SC2059  # the format comes from here
  printf "$@" | tee -a "$results/summary.txt"
}
# what may be waited for now: $1 seconds (times GPU_SLOWER), or what is left when the last $2 are kept for others
left() {
  local l=$((${GPU_SECONDS:-700} - (SECONDS - began) - $2))
  local most=$(($1 * ${GPU_SLOWER:-1}))
  [ $l -lt $most ] || l=$most
  printf '%d' "$l"
}
# all that was found, in one file that is whole at any moment
keep() {
  if tar -C "$(dirname "$results")" -czf "$results.tar.gz.new" "$(basename "$results")"; then
    mv -f "$results.tar.gz.new" "$results.tar.gz"
  else
    printf 'note     %s.tar.gz could not be written\n' "$results" >&2
  fi
}
passed() { grep -qxF -- "$1" "$finished"; }
# check NAME SECONDS KEPT COMMAND...: passed, skipped (77) or failed, with its output in the log; not again what has
# passed before
check() {
  local name=$1 limit code=0 since=$SECONDS
  limit=$(left "$2" "$3")
  shift 3
  ! passed "$name" || return 0
  printf '== %s\n' "$name" >>"$log"
  if [ "$limit" -le 0 ]; then
    say 'FAILED   %s: no time left\n' "$name"
    failed=1
    keep
    return 1
  fi
  timeout -k 5 "$limit" "$@" >>"$log" 2>&1 || code=$?
  case $code in
    0)
      say 'ok       %s\n' "$name"
      printf '%s\n' "$name" >>"$finished"
      ;;
    77) say 'skipped  %s: %s\n' "$name" "$(tail -n 20 "$log" | sed -n 's/.*SKIP: //p' | tail -n 1)" ;;
    124 | 137) say 'FAILED   %s: not done in %d s\n' "$name" "$limit"; failed=1 ;;
    *) say 'FAILED   %s (%d): %s\n' "$name" "$code" "$(tail -n 1 "$log" | cut -c1-200)"; failed=1 ;;
  esac
  printf '   %d s\n' $((SECONDS - since)) >>"$log"
  keep
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
  smi --query-gpu=$fields,compute_mode,mig.mode.current --format=csv || true
}
count_others() {
  local others
  others=$(smi --query-compute-apps=pid --format=csv,noheader | grep -c '^[0-9]') || true
  [ "${others:-0}" = 0 ] || say 'note     %d other processes use this card: times are not its own\n' "$others"
}

# report: the tables of what is there so far; made elsewhere where there is no python3
report() {
  command -v python3 >/dev/null || return 0
  python3 gpu_report.py "$results"
}

# measure NAME SECONDS CELLS SAMPLES NEW OPTION...: one bench, its result in results/bench-NAME.json. Memory for all the
# cells at once, or for $pool of them
measure() {
  local name=$1 limit=$2 n=$3 samples=$4 new=$5 code=0
  shift 5
  ! passed "bench $name" || return 0
  kv=$(((${pool:-$n} * (pages + samples * ((new + 15) / 16)) * 16 * token >> 20) + 64))
  if [ -n "$smi" ]; then
    nvidia-smi -i "$gpu" --query-gpu=power.draw,clocks.sm --format=csv,noheader,nounits -lms 200 \
      >"$results/power-$name.txt" 2>/dev/null &
    sampler=$!
  fi
  # shellcheck disable=SC2016  # for sh
  check "bench $name" "$limit" 5 sh -c 'out=$1; shift; exec "$@" >"$out"' sh "$results/.bench" \
    run/scope-grid bench --random "${GPU_SHAPE:-qwen3-4b}" --device cuda --cells "$n" --samples "$samples" \
    --prompt-tokens "$prompt" --new-tokens "$new" --kv-cache-mib "$kv" --max-context $((prompt + new + 16)) \
    --max-batch-tokens 4096 --json "$@" || code=$?
  [ $code != 0 ] || mv "$results/.bench" "$results/bench-$name.json"
  rm -f "$results/.bench"
  [ -z "$sampler" ] || kill "$sampler" 2>/dev/null || true
  sampler=""
  report >/dev/null || true
  keep
  return $code
}
# the hashes of a bench's cells, in their order
cells_of() { sed -n 's/.*"cell_hashes": \[\([^]]*\)\].*/\1/p' "$results/bench-$1.json" 2>/dev/null; }
# same_cells ONE OTHER: every cell that both have is the same to the bit
same_cells() {
  local one other
  one=$(cells_of "$1" || true) other=$(cells_of "$2" || true)
  if [ -z "$one" ] || [ -z "$other" ]; then
    echo "bench $1 or $2 has no cells to compare"
    return 1
  fi
  case "$one, " in "$other, "*) return 0 ;; esac
  case "$other, " in "$one, "*) return 0 ;; esac
  echo "cells of bench $1 and $2 differ: $one; $other"
  return 1
}
# what a bench wrote under a key, a whole number
found() { sed -n 's/.*"'"$2"'": \([0-9]*\).*/\1/p' "$results/bench-$1.json" 2>/dev/null; }

leave() {
  [ -z "$sampler" ] || kill "$sampler" 2>/dev/null || true
  keep
  rm -rf "$here/run"
}

# what the benches of this card have in common
shapes() {
  samples=${GPU_SAMPLES:-8} new=${GPU_NEW:-250} prompt=${GPU_PROMPT:-2000} token=${GPU_KV_BYTES:-147456}
  pages=$(((prompt + 15) / 16))
  held=$(((pages + samples * ((new + 15) / 16)) * 16)) # tokens of a cell in the cache, its answers at full length
}

# some cells at once: a number whatever comes later, what recording steps is worth, and the memory there is
measure_few() {
  measure few 60 8 "$samples" "$new" || true
  measure few-apart 60 8 "$samples" "$new" --operators || true
  must "few, with records and without" 10 5 bash gpu.sh same_cells few few-apart
}

# as many cells as fit
measure_many() {
  local free whole=yes
  cells=${GPU_CELLS:-}
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
  measure shared 150 "$cells" "$samples" "$new" || whole=no
  [ $whole = yes ] || measure shared 60 $(((cells + 3) / 4)) "$samples" "$new" || true
  must "few cells among many" 10 5 bash gpu.sh same_cells few shared
  if [ $whole = yes ]; then
    # what a campaign sees: prompts come in as answers end
    ! pool=$cells measure queue 150 $((3 * cells)) "$samples" "$new" ||
      must "cells of a queue" 10 5 bash gpu.sh same_cells shared queue
    # what two streams are worth, the same bits
    ! measure halves 150 "$cells" "$samples" "$new" --overlap-rows "${GPU_OVERLAP:-512}" ||
      must "whole steps and halves" 10 5 bash gpu.sh same_cells shared halves
  fi
  # some steps more, in which no operator is hidden in a recorded step: each has a time of its own
  measure stages 90 "$cells" "$samples" $((new < 32 ? new : 32)) --operators || true
}

# what can wait: fp8 weights; nothing shared, a prompt for each sample, as many as the same pool holds
measure_rest() {
  measure fp8 90 "$cells" "$samples" "$new" --weight-type fp8 || true
  measure alone 150 $((cells * held / ((pages + (new + 15) / 16) * 16))) 1 "$new" || true
}

# the profiler on one launch of each large kernel, in the middle of a small bench; for check: `timeout` needs a program.
# The bench takes 4 steps for its prompts and 16 for its answers, the first of them together: 19 launches of the sampler,
# 36 times as many of attention. SKIP lies where all cells decode, of prefill in the second step.
profiled() { # KERNEL SKIP
  local out=$results/profile-$1.txt
  ncu --kernel-name "regex:$1" --launch-skip "$2" --launch-count 1 --section SpeedOfLight --section Occupancy \
    --section WarpStateStats --section LaunchStats run/scope-grid bench --random "${GPU_SHAPE:-qwen3-4b}" --device cuda \
    --cells 8 --samples "$samples" --prompt-tokens "$prompt" --new-tokens 16 --operators --json >"$out" 2>&1 || true
  grep -q 'Duration' "$out" && return 0
  echo "SKIP: the profiler did not run here: $(grep -m 1 -i 'error\|no kernels' "$out")"
  return 77
}
profile() {
  local k skip
  if ! command -v ncu >/dev/null; then
    say 'skipped  profiler: no ncu on this machine\n'
    return
  fi
  for k in attn_prompt attn_suffix attn_merge attn_prefill sample; do
    case $k in sample) skip=8 ;; attn_prefill) skip=40 ;; *) skip=300 ;; esac
    check "profile $k" 25 5 bash gpu.sh profiled $k $skip || true
  done
}

# a failure to start is not one of the kernels
sanitized() { # TOOL PROGRAM [ARGUMENT]
  local tool=$1 out code=0
  shift
  out=$(env LD_LIBRARY_PATH="$libraries" compute-sanitizer --tool "$tool" --error-exitcode 1 "$@" 2>&1) || code=$?
  printf '%s\n' "$out"
  [ $code = 0 ] || grep -q 'ERROR SUMMARY' <<<"$out" || {
    echo "SKIP: the sanitizer did not run here"
    return 77
  }
  return $code
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
    check "$name" 40 5 bash gpu.sh sanitized "$1" "bin/$2" ${3:-} || true
  done
}

# results/ of this commit and card goes on, any other is begun anew
begin() {
  mkdir -p "$results" || die "no folder for results: set GPU_RESULTS"
  describe_card >"$results/card.new"
  if [ -e "$finished" ] && cmp -s commit "$results/commit" && same_card; then
    say 'note     goes on behind %d steps that have passed\n' "$(wc -l <"$finished")"
  else
    rm -f "$results"/{bench-*.json,power-*.txt,profile-*.txt,{card,summary,tests,golden,finished}.txt,gemm.json,report.md} \
      "$results.tar.gz"
    : >"$log"
    : >"$finished"
  fi
  mv "$results/card.new" "$results/card.txt"
  cat "$results/card.txt"
  cp commit "$results/"
}
# by name and driver: temperature and memory in use change
same_card() {
  [ "$(cut -d, -f1,2,3 "$results/card.new")" = "$(cut -d, -f1,2,3 "$results/card.txt" 2>/dev/null)" ]
}

run() {
  cd "$here"
  local t tool
  [ -x bin/test_gpu_kernels ] || die "bin/test_gpu_kernels is not here: run this in the unpacked gpu-test folder"
  PATH=$PATH:/usr/local/cuda/bin
  for tool in timeout awk cmp cut diff ldd tar tee; do
    command -v $tool >/dev/null || die "no $tool on this machine"
  done
  export SG_SHARED_DIR=$here CUDA_DEVICE_ORDER=PCI_BUS_ID # as nvidia-smi counts
  smi=$(command -v nvidia-smi || true) gpu=${CUDA_VISIBLE_DEVICES:-0}
  gpu=${gpu%%,*}
  begin
  trap leave EXIT
  trap 'exit 1' INT TERM
  [ -n "$smi" ] || say 'note     no nvidia-smi on this machine: no power, no clocks\n'
  count_others
  t=$(find_blas)
  libraries=$here/lib:/usr/local/cuda/lib64${t:+:$t}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  # an older driver of a data center card runs newer programs with the toolkit's own part of it
  t=$(sed -n '2s/^[^,]*, *\([0-9]*\)\..*/\1/p' "$results/card.txt")
  if [ -n "$t" ] && [ "$t" -lt 580 ] && [ -e /usr/local/cuda/compat/libcuda.so.1 ]; then
    libraries=/usr/local/cuda/compat:$libraries
    say 'note     driver %s is older than CUDA 13: with /usr/local/cuda/compat\n' "$t"
  fi
  starters

  shapes
  export results libraries samples prompt
  SG_GOLDEN=$results/golden.txt must conformance 40 300 run/test_gpu_kernels
  if ! passed conformance; then
    t=$(sed -n 's/.*SKIP: //p' "$log" | head -n 1)
    [ -z "$t" ] || die "nothing can run on this card: $t"
  fi
  check "golden vectors" 10 300 bash gpu.sh golden || true
  must "rows of products" 60 300 run/test_gpu_rows
  for t in run/test_op_*; do check "${t#run/test_op_}" 20 300 "$t" cuda || true; done
  must engine 60 300 run/test_gpu_engine
  must oracle 60 300 run/test_gpu_oracle
  say 'tests took %d s\n' $((SECONDS - began))
  measure_few
  measure_many
  profile
  # shellcheck disable=SC2086  # options, apart
  check products 60 5 run/bench_gpu_gemm ${GPU_GEMM:-} "$results/gemm.json" || true
  report >/dev/null || true
  sanitize
  for t in run/test_op_*; do # those without activations have no other kernel in float32
    case $t in *_feed_tokens | *_logprob | *_sample) continue ;; esac
    check "${t#run/test_op_} float32" 20 5 "$t" cuda:float32 || true
  done
  check "engine, fp8 weights" 60 5 run/test_gpu_fp8 cuda || true
  measure_rest
  if command -v python3 >/dev/null; then
    report || failed=1
  else
    say 'note     no python3 here: gpu_report.py %s makes the tables elsewhere\n' "$results"
  fi
  say 'all of it took %d s; %s.tar.gz is for tests/bench/gpu-results.md\n' $((SECONDS - began)) "$results"
  exit $failed
}

case "${1:-}" in
  pack) shift; pack "$@" ;;
  run) run ;;
  # for run: `timeout` needs a program
  golden) same_golden ;;
  same_cells | profiled | sanitized) "$@" ;;
  *) sed -n '2,25s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
