#!/usr/bin/env bash
# draws.sh [all] - the digest of results.h5 does not depend on how a job is computed, with both kinds of draws
# (sampling.draws): ranks, batches, threads, instruction sets, kills, four samples extended to eight, on the CPU and on the
# emulated GPU. Prints a table; without `all` some of its rows. float32 on the CPU, bf16 there and on the GPU round
# differently and have a digest each, as their fingerprints say: their uniforms are compared bit by bit.
. "$(dirname "$0")/../mpi/lib.sh"
all=${1:-}
emulated="$BIN/tests/scope-grid-emu" # also runs the CPU on a named instruction set (tests/cuda/steer.c)
"$python" "$SRC/tests/e2e/slice.py" "$SRC/jobs/demo" "$work/job" 3 2 1 || exit 1
head -n 1 "$SRC/tests/cuda/job/queries.jsonl" >"$work/one.jsonl"
mkdir "$work/u"
declare -A want

# What is computed: the program, its job, the options that every run has; for kills, the ranks of which all are killed and
# a cache in which cells run one after the other. Short prompts for what computes slowly. With `all`, whole answers and
# their verdicts; the first words of answers are nearly certain, and where only they are drawn they need heat.
if [ "$all" ]; then
  on_cpu=(--set sampling.max_new_tokens=80) on_tiny=(--set sampling.max_new_tokens=60)
else
  hot=(--set sampling.temperature=3 --set sampling.top_k=0 --set sampling.top_p=1)
  on_cpu=("${hot[@]}" --set sampling.max_new_tokens=16) on_tiny=("${hot[@]}" --set sampling.max_new_tokens=6)
fi
cpu() {
  program="$BIN/scope-grid" job="$work/job/job.json" doomed=2 cache=4
  how=(--device cpu "${on_cpu[@]}")
}
tiny() { # DEVICE TYPE
  program="$emulated" job="$SRC/tests/cuda/job/job.json" doomed=1 cache=2
  how=(--device "$1" --set model.compute_type="$2" --set queries="$work/one.jsonl" "${on_tiny[@]}")
}
cpu_f32() { tiny cpu float32; }
cpu_bf16() { tiny cpu bf16; }
cuda_bf16() { tiny cuda bf16; }
cuda_f32() { tiny cuda float32; }

# How it is computed, into the folder $to: eight samples, by RANKS, with OPTIONs.
run() { # RANKS OPTION...
  local launcher=(ranks "$1")
  [ "$1" != 1 ] || launcher=()
  EMU_DEVICES=$1 "${launcher[@]}" "$program" run "$job" --quiet --set sampling.draws="$draws" --set sampling.samples=8 \
    --set output.dir="$work/$to" "${how[@]}" "${@:2}" 2>&1
}
traced() { SG_TEST_UNIFORMS="$work/u/$set-$draws" run "$@"; }
as() { SG_TEST_UNIFORMS="$work/u/$1-$set-$draws" SG_TEST_ISA=$1 run "${@:2}"; }
late() { EMU_SEED=7 EMU_LAZY=1 EMU_COPIES=late EMU_ORDER=backward run "$@"; }
array() {
  local i
  for i in 1 2; do run 1 --array >"$work/member$i" & done
  wait
  cat "$work/member1"
}
# Both kinds of draws and two numbers of samples from one prefill.
swept() {
  if [ "$draws" = stratified ]; then
    echo "{\"job\": \"$job\", \"dir\": \"$work/swept\",
      \"axes\": {\"sampling.draws\": [\"independent\", \"stratified\"], \"sampling.samples\": [4, 8]}}" >"$work/sweep.json"
    "$program" run "$work/sweep.json" --quiet "${how[@]}" >"$work/log" 2>&1 || cat "$work/log"
  fi
  "$program" status "$work/swept/draws-${draws}_samples-8" 2>&1
}
four() { # what the extensions begin with
  (to=four-$set-$draws && { [ -e "$work/$to/DONE" ] || run 1 --set sampling.samples=4 >"$work/log"; }) || cat "$work/log"
  [ "${1:-}" != copied ] || { rm -rf "${work:?}/$to" && cp -r "$work/four-$set-$draws" "$work/$to"; }
}
since() { four; run "$@" --since "$work/four-$set-$draws/results.h5"; }
extended() { four copied; run "$@" --extend; }
listed() { # eight for the cells of one query, then for all
  four
  "$python" - "$work/four-$set-$draws/results.h5" >"$work/list.csv" <<'P'
import sys, h5py
f = h5py.File(sys.argv[1])
q = f["query"].asstr()[0]
print(*[f'"{q}","{m}"' for m in f["model"].asstr()], sep="\n")
P
  (to=list-$set-$draws && run 1 --since "$work/four-$set-$draws/results.h5" --cells "$work/list.csv" >"$work/log") || cat "$work/log"
  run "$@" --since "$work/list-$set-$draws/results.h5"
}
# All ranks are killed once a cell is safe and the run not done, and others go on.
killed() { # RANKS OPTION...
  local try pid children extends=
  [[ " $* " != *" --extend "* ]] || extends=1
  begun() {
    ! alive $pid || { [ "$(closed "$work/$to")" -ge 1 ] &&
      { [ ! "$extends" ] || [ "$(closed "$work/$to/heads")" = 1 ]; }; }
  }
  for try in 1 2 3 4 5 6; do
    rm -rf "${work:?}/$to"
    [ ! "$extends" ] || four copied
    EMU_DEVICES=2 launch $doomed "$program" run "$job" --quiet --set sampling.draws="$draws" --set sampling.samples=8 \
      --set output.dir="$work/$to" "${how[@]}" "${@:2}" --segment-seconds 0 --set engine.kv_cache_mib=$cache >"$work/log" 2>&1 &
    pid=$!
    soon begun || echo "no cell was safe in time"
    kill_ranks $pid
    [ -e "$work/$to/DONE" ] || break
  done
  [ ! -e "$work/$to/DONE" ] || { echo "killed too late, six times"; return; }
  [ "$(closed "$work/$to")" -ge 1 ] || { echo "killed before a cell was safe: $(cat "$work/log")"; return; }
  run "$@"
}

# row WHEN SET WHAT COMMAND...: a line of the table. The first row of a set says what its others must be.
row() {
  local set=$2 what=$3 line draws got program job how doomed cache to
  [ "$1" = always ] || [ "$all" ] || return 0
  line="| ${set/_/, } | $what"
  for draws in stratified independent; do
    to="run-$set-$draws"
    $set
    rm -rf "${work:?}/$to"
    got=$(digest_of "$("${@:4}" | tee "$work/said")")
    : "${want[$set-$draws]:=$got}"
    if [ -n "$got" ] && [ "$got" = "${want[$set-$draws]}" ]; then
      line+=" | ${got:0:8}"
    else
      fail "$set, $draws draws, $what: digest '$got', expected '${want[$set-$draws]}': $(cat "$work/said")"
      line+=" | **${got:0:8}**"
    fi
  done
  [ "${want[$set-stratified]}" != "${want[$set-independent]}" ] || fail "$set: both kinds of draws gave one digest"
  echo "$line |"
}

b='--set engine.max_batch_tokens'
echo '| backend | how it was computed | stratified | independent |'
echo '| --- | --- | --- | --- |'
row always cpu "1 rank" run 1
row all cpu "2 ranks" run 2
row always cpu "3 ranks, leases shuffled, batches of 64 tokens" run 3 --shuffle-leases 7 $b=64
row all cpu "5 ranks, leases shuffled" run 5 --shuffle-leases 5
row all cpu "2 processes of an array" array
for n in 16 100 333 4096; do row all cpu "batches of $n tokens" run 1 $b=$n; done
row always cpu "cells one after the other, 1 thread" run 1 --set engine.kv_cache_mib=4 --set engine.threads=1
row all cpu "cache by measuring, 5 threads" run 1 --set engine.kv_cache_mib=0 --set engine.threads=5
row all cpu "segments closed at every cell" run 1 --segment-seconds 0
row all cpu "guard around the CPU" run 1 --device guard
row all cpu "a sweep: both kinds, 4 and 8 samples from one prefill" swept
row always cpu "2 ranks killed -9, then 1 rank" killed 1
row all cpu "2 ranks killed -9, then 3 ranks" killed 3
row all cpu "4 samples, extended to 8 on 2 ranks" since 2 $b=64
row all cpu "4 samples, extended to 8 in the same folder" extended 1
row all cpu "4 samples, 8 for a list of cells, 8 for all" listed 1
row always cpu "4 extended to 8, 2 ranks killed -9, then 1 rank" killed 1 --extend
row all cpu "4 extended to 8, 2 ranks killed -9, then 3 ranks" killed 3 --extend

if [ -x "$emulated" ]; then
  for set in cpu_f32 cpu_bf16; do
    row always $set "1 rank" traced 1
    for isa in scalar avx2 avx512 avx512bf16; do
      out=$(SG_TEST_ISA=$isa "$emulated" score --model "$SRC/jobs/demo/model" --device cpu </dev/null 2>&1) ||
        { echo "not shown here: $out"; continue; }
      row "$([ $isa = avx2 ] && echo always)" $set "$isa" as $isa 1
      [ $isa = scalar ] || row all $set "$isa, 2 ranks, batches of 33 tokens, 3 threads" as $isa 2 $b=33 --set engine.threads=3
    done
    row all $set "a rank killed -9, then 2 ranks" killed 2
    row all $set "4 samples, extended to 8 on 2 ranks" since 2
  done
  row always cuda_bf16 "1 rank" traced 1
  for n in 16 100; do row all cuda_bf16 "batches of $n tokens" run 1 $b=$n; done
  row always cuda_bf16 "2 ranks, batches of 50 tokens" run 2 $b=50
  row all cuda_bf16 "late streams and copies, threads in reverse" late 1
  row all cuda_bf16 "a rank killed -9, then 2 ranks" killed 2
  row all cuda_bf16 "4 samples, extended to 8 on 2 ranks" since 2
  row all cuda_bf16 "4 samples, extended to 8 in the same folder" extended 1
  row all cuda_bf16 "4 extended to 8, a rank killed -9, then 2 ranks" killed 2 --extend
  row all cuda_f32 "1 rank" traced 1
  row all cuda_f32 "2 ranks, batches of 50 tokens" run 2 $b=50
  row all cuda_f32 "4 extended to 8, a rank killed -9, then 2 ranks" killed 2 --extend
  # A line names a draw and its uniform. Tokens differ between backends, so that some draws occur in some runs alone.
  "$python" - "$work"/u/* <<'P' || fail "uniforms"
import collections, pathlib, sys
seen, runs = collections.defaultdict(set), collections.Counter()
for path in map(pathlib.Path, sys.argv[1:]):
    lines = set(path.read_text().splitlines())
    u = dict(line.rsplit(" ", 1) for line in lines)
    assert len(lines) == len(u) >= 40, (path, len(lines), len(u))
    for draw, bits in u.items():
        seen[draw].add(bits)
        runs[draw] += 1
differ = [d for d in seen if len(seen[d]) > 1]
several = sum(n > 2 for n in runs.values())
assert several >= 90 and not differ, (several, [(d, seen[d]) for d in differ[:3]])
print(f"{several} uniforms had the same bits in each of the 3 to {max(runs.values())} runs that drew at them.")
P
else
  echo "not shown here: instruction sets and the emulated GPU (no $emulated)"
fi
finish
