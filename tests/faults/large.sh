#!/usr/bin/env bash
# large.sh [RANKS] [CELLS] [KILLS] [SEED]: many ranks and cells on the simulated device, killed with -9 in the middle
# and resumed on another number of ranks: what was closed stays, nothing stands twice, the digest is that of one rank.
. "$(dirname "$0")/../mpi/lib.sh"
n=${1:-100} cells=${2:-1000000} kills=${3:-3}
RANDOM=${4:-1}
job=$(python3 "$SRC/tests/bench/scale_job.py" "$work/job" $((cells / 100)) 100)
sim=("$BIN/tests/sim_grid" "$job")
run="$work/run"
want=$(digest_of "$("${sim[@]}" --set output.dir="$work/whole" --slots 64 2>&1)")
list() { "$BIN/tests/list_cells" "$run" | sort; }
rm -rf "$work/whole"
: >"$work/before"
for i in $(seq "$kills"); do
  launch "$n" "${sim[@]}" --set output.dir="$run" --slots 64 --step-us $((n * 1000)) --segment-seconds 1 >"$work/out" 2>&1 &
  pid=$!
  for _ in $(seq 600); do # until it is at work: hundreds of ranks take a while to start
    sleep 0.2
    [ "$(find "$run/segments" -name '*.seg' -newer "$work/before" 2>/dev/null | head -n 20 | wc -l)" -ge 20 ] && break
  done
  sleep "$((RANDOM % 3)).$((RANDOM % 10))"
  mapfile -t children < <(pgrep -P "$pid")
  if [ $((i % 2)) = 1 ]; then victims=("${children[RANDOM % ${#children[@]}]}"); else victims=("${children[@]}"); fi
  kill -9 "${victims[@]}" 2>/dev/null
  ended "$pid"
  gone "${children[@]}"
  list >"$work/after"
  same "cells lost by kill $i of ${#victims[@]} of $n ranks" "$(comm -23 "$work/before" "$work/after" | wc -l)" 0
  same "cells that stand twice after kill $i" "$(uniq -d "$work/after" | wc -l)" 0
  echo "kill $i (${#victims[@]} of $n ranks): $(wc -l <"$work/after") of $cells cells are safe"
  cp "$work/after" "$work/before"
  [ "$failures" = 0 ] || break
done
[ "$(wc -l <"$work/before")" -gt 0 ] || fail "no cell was closed before the kills"
out=$(ranks 2 "${sim[@]}" --set output.dir="$run" --slots 64 2>&1)
same "digest" "$(digest_of "$out")" "$want"
same "cells" "$(list | uniq | wc -l)" "$cells"
same "cells computed twice" "$(list | uniq -d | wc -l)" 0
finish
