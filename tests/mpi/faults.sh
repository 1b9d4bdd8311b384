#!/usr/bin/env bash
# What goes wrong on one rank ends the run on all, with one message that names rank, host and cause, and keeps
# the finished cells; a restart completes the run with the digest of an undisturbed one.
. "$(dirname "$0")/lib.sh"
job="$demo"
run="$work/run"
sim() { local n=$1; shift; ranks "$n" "$BIN/tests/sim_grid" "$job" --set output.dir="$run" "$@" 2>&1; }
cells() { "$BIN/tests/list_cells" "$run" 2>/dev/null | wc -l; }
want=$(digest_of "$("$BIN/tests/sim_grid" "$job" --set output.dir="$work/whole" 2>&1)")

# nodes that are not alike: nothing is begun
out=$(sim 4 --no-model-on 2); same "exit code without a model" $? 3
one_line "without a model" "$out"
has "without a model" "$out" "^sim_grid: rank 2 on [^ ]+: .*/model/config.json: "
out=$(sim 3 --other-model-on 1); same "exit code with another model" $? 6
one_line "with another model" "$out"
has "with another model" "$out" "rank 1 on [^ ]+ has other files there than rank 0"
[ ! -e "$run" ] || fail "a run directory was made although no rank could compute"

# a device is lost in the middle, on a worker and on the root
for victim in 1 0; do
  out=$(sim 3 --lose-device $victim --step-us 20000); same "exit code with a lost device" $? 11
  one_line "lost device of rank $victim" "$out"
  has "lost device of rank $victim" "$out" "the simulated device is lost"
  [ "$(cells)" -gt 0 ] || fail "the cells that were finished before rank $victim lost its device are gone"
  [ ! -e "$run/DONE" ] && [ ! -e "$run/results.h5" ] || fail "a broken run left results"
done
has "lost device of a worker" "$(sim 3 --lose-device 1 --step-us 20000)" "^sim_grid: rank 1 on "

# signals: to one rank, to mpirun; the code is that of a stop, and what was finished is safe
slow=(--step-us 400000 --slots 2) # minutes, if nobody stopped it
for signal in USR1 TERM INT; do
  rm -rf "$run"
  launch 3 "$BIN/tests/sim_grid" "$job" --set output.dir="$run" "${slow[@]}" >"$work/out" 2>&1 &
  pid=$!
  until_busy "$run" 3
  kill -$signal "$(pgrep -P $pid | tail -n 1)"
  wait $pid; same "exit code after SIG$signal to one rank" $? 75
  has "SIG$signal" "$(cat "$work/out")" "stopped by SIG$signal: [0-9]+ of 512 cells are safe in .*; the same command goes on"
  safe=$(grep -Eo '[0-9]+ of 512' "$work/out" | cut -d' ' -f1)
  same "cells that SIG$signal called safe" "$(cells)" "$safe"
  [ "${safe:-0}" -gt 0 ] || fail "nothing was kept at SIG$signal"
done
launch 3 "$BIN/tests/sim_grid" "$job" --set output.dir="$run" "${slow[@]}" >"$work/out" 2>&1 &
pid=$!; until_running "$run"; kill -USR1 $pid; wait $pid; same "exit code after SIGUSR1 to mpirun" $? 75
has "status of a stopped run" "$("$BIN/scope-grid" status "$run")" ": stopped, [0-9]+ of 512 cells, 0 failed"


# a run killed outright is not called running
launch 2 "$BIN/tests/sim_grid" "$job" --set output.dir="$run" "${slow[@]}" >"$work/out" 2>&1 &
pid=$!
until_running "$run"
kill_ranks $pid
has "status of a killed run" "$("$BIN/scope-grid" status "$run")" ": stopped, [0-9]+ of 512 cells"

# two runs at once: the second is refused and the first is not disturbed
launch 2 "$BIN/tests/sim_grid" "$job" --set output.dir="$run" "${slow[@]}" >"$work/first" 2>&1 &
pid=$!
until_running "$run"
out=$(sim 2); same "exit code of a second run" $? 9
one_line "a second run" "$out"
has "a second run" "$out" "$run"
has "status of a living run" "$("$BIN/scope-grid" status "$run" --json)" '"state": "running", "done": [0-9]+, "total": 512, "failed": 0, "digest": null'
out=$("$BIN/scope-grid" merge "$run" 2>&1); same "exit code of a merge meanwhile" $? 9
kill -USR1 $pid; wait $pid; same "exit code of the first run" $? 75
has "the first run" "$(cat "$work/first")" "stopped by SIGUSR1"
out=$(sim 3); same "exit code of the last start" $? 0
same "digest after all that" "$(digest_of "$out")" "$want"
lacks "the last start" "$out" "computed 512"

# done: nothing is computed again; another job is refused, --fresh replaces
out=$(sim 3); same "exit code of a run that was done" $? 0
has "a run that was done" "$out" "computed 0 already"
out=$(sim 2 --set sampling.seed=5 --set prompt.anchors=4); same "exit code on another run's folder" $? 6
one_line "another run's folder" "$out"
has "another run's folder" "$out" "its job differs in prompt.anchors, sampling.seed\); use another output.dir, or --fresh"
same "digest that the refused run left" "$(digest_of "$("$BIN/scope-grid" status "$run")")" "$want"
sim 2 --set engine.threads=3 --set name=other >/dev/null; same "exit code with another engine key and name" $? 0
out=$(sim 2 --set sampling.seed=5 --fresh); same "exit code of --fresh" $? 0
[ "$(digest_of "$out")" != "$want" ] || fail "--fresh gave the old results"

# cells that fail are results: recorded, counted, said in the exit code and the last line
out=$(sim 3 --fresh --fail-every 50); same "exit code with failed cells" $? 10
has "failed cells" "$out" "11 of 512 cells failed, the first: query [^ ]+, model [^ ]+: prompt of 9000 tokens"
has "failed cells" "$out" "failed 11 computed 512"
out=$(sim 3); same "exit code of a done run with failed cells" $? 10
has "status with failed cells" "$("$BIN/scope-grid" status "$run" --json)" '"state": "done", "done": 512, "total": 512, "failed": 11, "digest": "[0-9a-f]{32}"'

# damage: found, named, never merged
sim 2 --fresh --segment-seconds 0.01 --step-us 5000 >/dev/null
rm "$run/DONE"
segment=$(ls "$run/segments/"*.seg | head -n 1)
cp "$segment" "$work/good"
for how in cut flip foreign; do
  case $how in
    cut) head -c -7 "$work/good" >"$segment" ;;
    flip) "$python" -c "b = bytearray(open('$work/good', 'rb').read()); b[len(b) // 2] ^= 4; open('$segment', 'wb').write(b)" ;;
    foreign) echo "not a segment" >"$segment" ;;
  esac
  before=$(sha256sum <"$run/results.h5")
  out=$(sim 2); same "exit code with a segment ($how)" $? 5
  one_line "a segment ($how)" "$out"
  has "a segment ($how)" "$out" "$segment"
  same "results.h5 beside a segment ($how)" "$(sha256sum <"$run/results.h5")" "$before"
done
cp "$work/good" "$segment"
same "digest once the segment is back" "$(digest_of "$(sim 2)")" "$want"

# merge alone: not of a part of the cells over results that have all; of a part once DONE is gone
before=$(sha256sum <"$run/results.h5")
rm "$segment"
out=$("$BIN/scope-grid" merge "$run" 2>&1); same "exit code of a merge over whole results" $? 5
one_line "a merge over whole results" "$out"
has "a merge over whole results" "$out" "[0-9]+ of 512 cells are in no segment: results.h5 is kept"
same "results.h5 when segments are gone" "$(sha256sum <"$run/results.h5")" "$before"
rm "$run/DONE"
out=$("$BIN/scope-grid" merge "$run" 2>&1); same "exit code of a partial merge" $? 10
has "a partial merge" "$out" "[0-9]+ of 512 cells are not computed yet; results.h5 marks them as missing"
[ ! -e "$run/DONE" ] || fail "a partial merge wrote DONE"
same "digest of the completed run" "$(digest_of "$(sim 2)")" "$want"

# what killed writers leave goes at the next start, with or without --fresh; files of others stay
run="$work/left"
same "digest before anything is left" "$(digest_of "$(sim 1)")" "$want"
left=(DONE.tmp.12 plan.bin.tmp.1 progress.json.tmp metrics.prom.tmp.00000000000000000007 shards/x.tmp.1 segments/.clock.1.2)
for fresh in "" --fresh; do
  mkdir -p "$run/shards"
  (cd "$run" && touch -d '1 hour ago' "${left[@]}" notes.tmp.12 DONE.tmp.x)
  same "digest beside what is left" "$(digest_of "$(sim 1 $fresh)")" "$want"
  for f in "${left[@]}"; do [ ! -e "$run/$f" ] || fail "$f is still there ($fresh)"; done
  [ -e "$run/notes.tmp.12" ] && [ -e "$run/DONE.tmp.x" ] || fail "files of others were removed"
done

# ranks without memory for one more message: the farewell goes out all the same, nobody waits for ever
run="$work/nomem"
for who in "" --root-only; do # all ranks, and all but the root
  out=$(sim 3 --step-us 1000 --no-memory message $who); same "exit code without memory for a message" $? 8
  has "no memory for a message" "$out" "no memory for message"
done
same "digest once there is memory" "$(digest_of "$(sim 3)")" "$want"

# places that cannot be written, and a disk that fills up
out=$("$BIN/tests/sim_grid" "$job" --set output.dir=/dev/null/run 2>&1); same "exit code without a place" $? 7
one_line "no place" "$out"; has "no place" "$out" "/dev/null: cannot make directory"
run="$work/limited"
out=$(ulimit -f 200; "$BIN/tests/sim_grid" "$job" --set output.dir="$run" 2>&1); same "exit code with a file limit" $? 7
has "a file limit" "$out" "$run/"
[ ! -e "$run/DONE" ] && [ ! -e "$run/results.h5" ] || fail "a run under a file limit left results"
run="$work/disk/run"
mkdir "$work/disk"
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=320k tmpfs "$work/disk" 2>/dev/null; then
  mounted="$work/disk"
  out=$(sim 2 --segment-seconds 0.02 --step-us 2000); same "exit code on a full disk" $? 7
  one_line "a full disk" "$out"
  has "a full disk" "$out" "(No space left on device|disk full)"
  [ ! -e "$run/DONE" ] && [ ! -e "$run/results.h5" ] || fail "a full disk left results"
  kept=$(cells)
  mount -o remount,size=8m "$work/disk"
  out=$(sim 2)
  same "digest once there is room" "$(digest_of "$out")" "$want"
  has "cells kept on the full disk" "$out" "computed $((512 - kept))$"
else
  echo "not shown here: a full disk (needs root and a tmpfs)"
fi
finish
