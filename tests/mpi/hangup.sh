#!/usr/bin/env bash
# A terminal that goes away (SIGHUP) ends a run as SIGTERM does, with what is finished safe; under nohup it goes on.
. "$(dirname "$0")/lib.sh"
job="$demo"
run="$work/run"
slow=(--step-us 5000 --slots 4 --segment-seconds 0.1)
start() { # COMMAND...: in the background, until it has finished cells; its process is $pid
  rm -rf "$run"
  "$@" "$BIN/tests/sim_grid" "$job" --set output.dir="$run" "${slow[@]}" </dev/null >"$work/out" 2>&1 &
  pid=$!
  until_busy "$run" 2
}
start env
kill -HUP $pid; wait $pid; same "exit code after SIGHUP" $? 75
has "SIGHUP" "$(cat "$work/out")" "stopped by SIGHUP: [1-9][0-9]* of 512 cells are safe in .*; the same command goes on"
[ ! -e "$run/lock" ] || fail "SIGHUP left the lock"
start nohup
kill -HUP $pid; wait $pid; same "exit code after SIGHUP under nohup" $? 0
has "SIGHUP under nohup" "$(cat "$work/out")" "cells 512 failed 0 computed 512$"
finish
