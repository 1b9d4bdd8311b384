#!/usr/bin/env bash
# array.sh [KILLS] [SEED]: processes without MPI on one run directory. One, or all, are killed with -9 at random
# moments and others started; the rest take over what the dead held, no closed cell is lost or computed twice, and
# the digest is that of a plain run. A plain run and an array on one directory refuse each other.
. "$(dirname "$0")/../mpi/lib.sh"
kills=${1:-6}
RANDOM=${2:-1}
job="$demo"
sim="$BIN/tests/sim_grid"
run="$work/run"
slow=(--array --step-us 60000 --slots 4 --segment-seconds 0.05)
cells() { "$BIN/tests/list_cells" "$run" | sort; }
locks() { find "$run/shards" -name '*.lock*' 2>/dev/null; } # and what a killed taker wrote beside one
# lock_of PID TOKEN: a lock that this process holds as the task of an array that begins the run
lock_of() {
  echo "scope-grid lock 1"
  echo "role array"
  echo "host $(hostname)"
  echo "machine $(cat /etc/machine-id 2>/dev/null)"
  echo "boot $(cat /proc/sys/kernel/random/boot_id)"
  echo "space $(readlink /proc/self/ns/pid)"
  echo "pid $1"
  echo "start $(cut -d' ' -f22 "/proc/$1/stat")"
  echo "token $2"
  echo "since now"
  echo "end"
}
want=$(digest_of "$("$sim" "$job" --set output.dir="$work/whole" 2>&1)")

# three side by side: all end with the digest, all have had a share
fair() {
  local i share
  rm -rf "$run"
  for i in 1 2 3; do "$sim" "$job" --set output.dir="$run" --array --step-us "$1" >"$work/out$i" 2>&1 & done
  wait
  for i in 1 2 3; do same "digest of task $i" "$(digest_of "$(cat "$work/out$i")")" "$want"; done
  for i in 1 2 3; do
    share=$(grep -Eo 'computed [0-9]+' "$work/out$i" | cut -d' ' -f2)
    [ "${share:-0}" -gt 100 ] && [ "$share" -lt 240 ] || return 1
  done
}
in_time fair || fail "cells of the three tasks: $(grep -Eho 'computed [0-9]+' "$work"/out?)"
same "cells computed twice" "$(cells | uniq -d | wc -l)" 0
has "a task that comes too late" "$("$sim" "$job" --set output.dir="$run" --array 2>&1)" "computed 0 already"

# kills: at any time two or three are at work
run="$work/killed"
: >"$work/before"
killed=0 lost=0 had=0 pids=()
for i in $(seq "$kills"); do
  while [ ${#pids[@]} -lt 3 ]; do
    "$sim" "$job" --set output.dir="$run" "${slow[@]}" >>"$work/out" 2>&1 &
    pids+=($!)
  done
  until_closed "$run" $((had + 1)) # one more than at the last kill
  sleep "0.$((RANDOM % 400 + 100))"
  had=$(closed "$run")
  if [ $((RANDOM % 4)) = 0 ]; then victims=("${pids[@]}"); else victims=("${pids[RANDOM % 3]}"); fi
  kill -9 "${victims[@]}" 2>/dev/null && killed=$((killed + ${#victims[@]}))
  wait "${victims[@]}" 2>/dev/null
  rest=()
  for p in "${pids[@]}"; do kill -0 "$p" 2>/dev/null && rest+=("$p"); done
  pids=("${rest[@]}")
  [ -e "$run/run.json" ] || continue
  cells >"$work/after"
  lost=$((lost + $(comm -23 "$work/before" "$work/after" | wc -l)))
  cp "$work/after" "$work/before"
  [ -e "$run/DONE" ] && break
done
[ -s "$work/before" ] || fail "no cell was closed under the kills: the test shows little"
same "cells lost from closed segments" "$lost" 0
"$sim" "$job" --set output.dir="$run" --array >"$work/last" 2>&1
wait
same "digest after $killed kills" "$(digest_of "$(cat "$work/last")")" "$want"
same "cells computed twice" "$(cells | uniq -d | wc -l)" 0
same "cells in segments" "$(cells | wc -l)" 512
same "unfinished segments left behind" "$(find "$run/segments" -name '*.open*' | wc -l)" 0
same "locks left behind" "$(locks)" ""
same "shards left behind" "$(find "$run/shards" -name '*.begun' | wc -l)" "$(find "$run/shards" -name '*.done' | wc -l)"
same "in-flight notes left behind" "$(find "$run/inflight" -type f | wc -l)" 0
# a stopped task gives its shards back, and what it finished is safe
run="$work/stopped"
"$sim" "$job" --set output.dir="$run" "${slow[@]}" >"$work/out" 2>&1 &
pid=$!
until_closed "$run" 1
kill -USR1 $pid
wait $pid; same "exit code of a stopped task" $? 75
has "a stopped task" "$(cat "$work/out")" "stopped by SIGUSR1: the [0-9]+ cells finished here are safe"
[ "$(cells | wc -l)" -gt 0 ] || fail "a stopped task kept nothing"

# one that waits for the task that takes over last night's results is stopped as well
run="$work/waits" token=0123456789abcdef0123456789abcdef
mkdir -p "$run"
sleep 600 &
holder=$!
lock_of "$holder" $token >"$run/lock"
"$sim" "$job" --set output.dir="$run" "${slow[@]}" --since "$work/whole/results.h5" >"$work/out" 2>&1 &
pid=$!
sleep 2
kill -0 $pid || fail "it does not wait for the task that has the lock: $(cat "$work/out")"
kill -TERM $pid
wait $pid; same "exit code of a task stopped while it waits" $? 75
has "a task stopped while it waits" "$(cat "$work/out")" "stopped by SIGTERM while another task begins the run"
kill $holder
wait $holder 2>/dev/null # whose lock is stale now: the next begins the run, and takes over
has "a task after one that died as it began the run" \
  "$("$sim" "$job" --set output.dir="$run" --array --since "$work/whole/results.h5" 2>&1)" "computed 0 taken 512$"

# a cell that brings its task down: the others take over; at the second crash it is quarantined and the rest go on;
# alone, in a plain run, it is computed after all
run="$work/poison"
pids=()
for i in 1 2 3 4; do
  "$sim" "$job" --set output.dir="$run" "${slow[@]}" --crash-cell 100 --progress >"$work/poison$i" 2>&1 &
  pids+=($!)
done
crashed=0 partial=0
for p in "${pids[@]}"; do
  wait "$p" 2>/dev/null
  case $? in 139) crashed=$((crashed + 1)) ;; 10) partial=$((partial + 1)) ;; esac
done
same "tasks that a poisonous cell brought down" "$crashed" 2
same "tasks that ended with all other cells" "$partial" 2
has "the others of a poisonous cell" "$(cat "$work"/poison?)" "rank 0 on [^ ]+ crashed by SIGSEGV with [0-9]+ cells in flight"
has "a poisonous cell" "$(cat "$work"/poison?)" "is quarantined: in flight at 2 crashes, the last of rank 0 on [^ ]+: SIGSEGV"
same "cells in segments beside the poisonous one" "$(cells | sort -u | wc -l)" 512
same "cells computed twice beside the poisonous one" "$(cells | uniq -d | wc -l)" 0
has "status of a quarantine" "$("$BIN/scope-grid" status "$run")" "512 of 512 cells, 1 failed"
out=$("$sim" "$job" --set output.dir="$run" --retry-failed 2>&1)
same "digest once the poisonous cell is retried" "$(digest_of "$out")" "$want"
has "the retry of the poisonous cell" "$out" "failed 0 computed 1$"

# two kinds of run on one directory: each refuses the other, by name, and is not disturbed
run="$work/stopped"
"$sim" "$job" --set output.dir="$run" "${slow[@]}" >"$work/out" 2>&1 &
pid=$!
until_running "$run"
out=$("$sim" "$job" --set output.dir="$run" 2>&1); same "exit code of a plain run beside an array" $? 9
one_line "a plain run beside an array" "$out"
has "a plain run beside an array" "$out" "an array run is computing here: 1 task, one is process $pid"
out=$("$BIN/scope-grid" merge "$run" 2>&1); same "exit code of a merge beside an array" $? 9
has "status of an array" "$("$BIN/scope-grid" status "$run")" "running, [0-9]+ of 512 cells, 0 failed, 1 task of an array at work"
kill -9 $pid
wait $pid 2>/dev/null
"$sim" "$job" --set output.dir="$run" --step-us 200000 >"$work/plain" 2>&1 & # nobody lives: welcome
pid=$!
until_running "$run"
out=$("$sim" "$job" --set output.dir="$run" --array 2>&1); same "exit code of an array beside a plain run" $? 9
one_line "an array beside a plain run" "$out"
has "an array beside a plain run" "$out" "another run holds this directory: process $pid"
kill -USR1 $pid
wait $pid; same "exit code of the plain run" $? 75
out=$("$sim" "$job" --set output.dir="$run" 2>&1); same "exit code of the rest of the plain run" $? 0
same "digest of the plain run after the array" "$(digest_of "$out")" "$want"

# another job is refused; damage is found; lost segments are computed again although their shards were done
out=$("$sim" "$job" --set output.dir="$run" --set sampling.seed=3 --array 2>&1); same "exit code of another job" $? 6
has "another job" "$out" "its job differs in sampling.seed"
for extra in --fresh --root-only "--shuffle-leases 3"; do
  # shellcheck disable=SC2086
  out=$("$sim" "$job" --set output.dir="$run" --array $extra 2>&1); same "exit code of --array $extra" $? 2
done
run="$work/lost"
"$sim" "$job" --set output.dir="$run" --array --segment-seconds 0.01 --step-us 3000 >/dev/null 2>&1
rm "$run/DONE" "$(find "$run/segments" -name '*.seg' | head -n 1)"
same "digest once a lost segment is computed again" \
  "$(digest_of "$("$sim" "$job" --set output.dir="$run" --array 2>&1)")" "$want"
echo "$killed tasks killed"
finish
