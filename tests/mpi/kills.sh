#!/usr/bin/env bash
# kills.sh [KILLS] [SEED]: a run that is killed with -9 at random moments (a rank, all ranks, or mpirun) and
# started again loses nothing that was in a closed segment, computes no cell twice, and ends with the same digest.
. "$(dirname "$0")/lib.sh"
kills=${1:-20}
RANDOM=${2:-1}
job="$SRC/jobs/demo/job.json"
sim=("$BIN/tests/sim_grid" "$job")
want=$(digest_of "$("${sim[@]}" --set output.dir="$work/whole" 2>&1)")
run=(--set output.dir="$work/run" --step-us 60000 --slots 2 --segment-seconds 0.05)
cells() { "$BIN/tests/list_cells" "$work/run" | sort; }

killed=0 lost=0 grown=0
: >"$work/before"
for i in $(seq $((3 * kills))); do # one that finds nothing to kill does not count
  [ "$killed" -lt "$kills" ] || break
  had=$(closed "$work/run")
  touch "$work/launched"
  launch 3 "${sim[@]}" "${run[@]}" --shuffle-leases "$i" >"$work/out" 2>&1 &
  pid=$!
  case $((RANDOM % 5)) in # most kills while it computes, the others at any moment of the start
    0) ;;
    1) locked() { [ "$work/run/lock" -nt "$work/launched" ] || ! alive $pid; }; soon locked ;;
    *) until_closed "$work/run" $((had + 1)) $pid ;;
  esac
  sleep "0.$((RANDOM % 700 + 100))"
  mapfile -t children < <(pgrep -P "$pid")
  [ ${#children[@]} -gt 0 ] || children=("$pid")
  case $((RANDOM % 4)) in
    0) victims=("${children[@]}") ;;
    1) victims=("$pid") ;; # its ranks end when they notice
    *) victims=("${children[RANDOM % ${#children[@]}]}") ;; # mpirun ends the others
  esac
  kill -9 "${victims[@]}" 2>/dev/null && killed=$((killed + 1))
  ended "$pid"
  gone "${children[@]}" # a killed mpirun leaves its ranks to end by themselves
  [ -d "$work/run/segments" ] || continue
  if ! cells >"$work/after" 2>"$work/why"; then
    fail "after kill $killed: $(cat "$work/why")"
    break
  fi
  lost=$((lost + $(comm -23 "$work/before" "$work/after" | wc -l)))
  grown=$((grown + $(comm -13 "$work/before" "$work/after" | wc -l)))
  cp "$work/after" "$work/before"
  [ -e "$work/run/DONE" ] && break
done
[ "$killed" -ge "$kills" ] || [ -e "$work/run/DONE" ] || fail "only $killed of $kills kills hit"
[ "$grown" -gt 50 ] || fail "only $grown cells survived the kills: the test shows little"
same "cells lost from closed segments" "$lost" 0
for _ in $(seq 120); do # ranks whose mpirun was killed while it started them may hold the folder a little longer
  out=$(ranks 3 "${sim[@]}" --set output.dir="$work/run" 2>&1) && break
  has "a start that was refused" "$out" "holds|held|lock|run"
  sleep 0.5
done
[ -n "$(digest_of "$out")" ] || fail "the last start: $out"
same "digest after $killed kills" "$(digest_of "$out")" "$want"
same "cells computed twice" "$(cells | uniq -d | wc -l)" 0
same "cells in segments" "$(cells | wc -l)" 512
same "unfinished segments left behind" "$(find "$work/run/segments" -name '*.open*' | wc -l)" 0
echo "$killed kills, $grown cells survived them"
finish
