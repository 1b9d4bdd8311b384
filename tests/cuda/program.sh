#!/usr/bin/env bash
# program.sh PROGRAM EMULATED CUDA - the program and the cuda device, on a machine with or without a GPU:
#   PROGRAM    scope-grid as built; without a driver `--device cuda` must end with one clear line
#   EMULATED   the same program on the emulated device: a small job over the demo's model, whose results must
#              not depend on the number of ranks or the size of batches
#   CUDA       ON when PROGRAM has the cuda backend
set -euo pipefail
program=$1 emulated=$2 cuda=$3
here=$(cd "$(dirname "$0")" && pwd)
model=$here/../../jobs/demo/model
[ -e "$model/config.json" ] || { echo "SKIP: $model is not here"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fail() { echo "FAILED: $*" >&2; exit 1; }

# 1. without a driver: one line, a status of its own, no crash
if ! [ -e /dev/nvidiactl ]; then
  code=0
  echo '{"ids": [5, 6, 7]}' | "$program" score --model "$model" --device cuda >"$work/out" 2>"$work/err" || code=$?
  lines=$(wc -l <"$work/err")
  [ "$lines" = 1 ] || fail "--device cuda said $lines lines: $(cat "$work/err")"
  if [ "$cuda" = ON ]; then
    [ $code = 11 ] || fail "--device cuda without a driver ended with $code, not 11: $(cat "$work/err")"
    grep -q 'no NVIDIA driver or GPU' "$work/err" || fail "unclear: $(cat "$work/err")"
  else
    [ $code = 2 ] || fail "--device cuda of a build without it ended with $code, not 2: $(cat "$work/err")"
    grep -q "device 'cuda' is unknown to this build" "$work/err" || fail "unclear: $(cat "$work/err")"
  fi
fi

# 2. one digest for 1, 2, 3 ranks and three sizes of batches
digest() { "$emulated" status "$1" --json | sed -n 's/.*"digest": *"\([0-9a-f]*\)".*/\1/p'; }
run() { # RANKS BATCH_TOKENS
  local launch=()
  [ "$1" = 1 ] || launch=(mpirun --oversubscribe -n "$1")
  "${launch[@]}" "$emulated" run "$here/job/job.json" --quiet --set output.dir="$work/run$1" \
    --set engine.max_batch_tokens="$2" >"$work/log" 2>&1 || fail "$1 ranks: $(cat "$work/log")"
}
run 1 256
first=$(digest "$work/run1")
[ ${#first} = 32 ] || fail "no digest: '$first'"
command -v mpirun >/dev/null || exit 0
for pair in "2 64" "3 100"; do
  run $pair
  got=$(digest "$work/run${pair%% *}")
  [ "$got" = "$first" ] || fail "digest $got with $pair, $first with one rank"
done
echo "digest $first with 1, 2 and 3 ranks"
