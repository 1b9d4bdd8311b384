#!/usr/bin/env bash
# hosts.sh: one run directory, two hosts. Each "host" is a hostname and a process table of its own (namespaces of this
# machine), so that neither can look into the other's processes, as on two nodes of a cluster: locks are
# told apart by what the files say and by heartbeats alone. Five minutes of silence are made by setting a file's time
# back. What is not shown: a file server's caches.
. "$(dirname "$0")/../mpi/lib.sh"
unshare --uts --pid --fork --mount-proc true 2>/dev/null || { echo "skip: needs root and namespaces (unshare)"; exit 77; }
job="$demo"
sim="$BIN/tests/sim_grid"
slow=(--step-us 60000 --slots 4 --segment-seconds 0.05)
cells() { "$BIN/tests/list_cells" "$run" 2>/dev/null | sort; }
# Each host is a sleeper in namespaces of its own, which stay when the programs in them have ended.
declare -A init=()
host() {
  unshare --uts --pid --fork --mount-proc bash -c 'hostname "$0"; exec sleep 1000' "$1" 2>/dev/null &
  init[$1]=$(real_pid $!)
  up() { [ "$(nsenter -t "${init[$1]}" --uts hostname)" = "$1" ]; }
  soon up "$1" && return
  fail "host $1 did not come up"
}
# on HOST program args...: & it, then $! is nsenter and real_pid $! the program
on() { local at=${init[$1]}; shift; exec nsenter -t "$at" --uts --pid --mount -- "$@"; }
real_pid() { for _ in $(seq 1200); do pgrep -P "$1" && return; sleep 0.1; done; }
kill_on() { kill -9 "$(real_pid "$1")"; wait "$1" 2>/dev/null; }
silent() { touch -d '400 seconds ago' "$@"; }
of_host() { grep -ls "^host $1\$" "$run"/shards/*.lock 2>/dev/null; }
until_cells() { # N
  there() { [ "$(cells | wc -l)" -ge "$1" ]; }
  soon there "$1" || fail "no $1 cells in $run"
}
host nodea
host nodeb
trap 'kill -9 "${init[@]}"; sleep 0.2; cleanup' EXIT
want=$(digest_of "$("$sim" "$job" --set output.dir="$work/whole" 2>&1)")

# a run on one host, a second on the other
run="$work/run"
(on nodea "$sim" "$job" --set output.dir="$run" --step-us 300000 --slots 4 --segment-seconds 0.05 >"$work/a" 2>&1) & a=$!
until_cells 8
out=$( (on nodeb "$sim" "$job" --set output.dir="$run") 2>&1); same "exit code of a run on a second host" $? 9
has "a run on a second host" "$out" 'another run holds this directory: process [0-9]+ on nodea, since [^ ]+, last sign of life [0-9]+ s ago; if it is gone, wait until 300 s have passed or remove this file'
silent "$run/lock" # its next beat corrects that
fresh() { [ "$(stat -c %Y "$run/lock")" -gt $(($(date +%s) - 100)) ]; }
soon fresh
out=$( (on nodeb "$sim" "$job" --set output.dir="$run") 2>&1); same "exit code beside a host that beats" $? 9
kill_on $a
cells >"$work/before"
out=$( (on nodeb "$sim" "$job" --set output.dir="$run") 2>&1); same "exit code just after the other host is lost" $? 9
silent "$run/lock"
out=$( (on nodeb "$sim" "$job" --set output.dir="$run") 2>&1); same "exit code once the lost host is silent" $? 0
same "digest after the loss of a host" "$(digest_of "$out")" "$want"
same "cells lost with the host" "$(comm -23 "$work/before" <(cells) | wc -l)" 0
same "cells computed twice" "$(cells | uniq -d | wc -l)" 0

# an array over two hosts: one is lost in the middle
run="$work/array"
(on nodea "$sim" "$job" --set output.dir="$run" --array "${slow[@]}" >"$work/a1" 2>&1) & a1=$!
(on nodea "$sim" "$job" --set output.dir="$run" --array "${slow[@]}" >"$work/a2" 2>&1) & a2=$!
(on nodeb "$sim" "$job" --set output.dir="$run" --array "${slow[@]}" >"$work/b1" 2>&1) & b1=$!
(on nodeb "$sim" "$job" --set output.dir="$run" --array "${slow[@]}" >"$work/b2" 2>&1) & b2=$!
until_cells 60
has_shards() { of_host nodea | grep -q .; }
soon has_shards || fail "the host that will be lost has no shard"
kill_on $a1; kill_on $a2
cells >"$work/before"
mapfile -t dead < <(of_host nodea)
[ ${#dead[@]} -gt 0 ] || fail "the lost host held no shard"
sleep 2
same "shards of the lost host while it may live" "$(of_host nodea | wc -l)" ${#dead[@]}
silent "${dead[@]}"
wait $b1; same "exit code of the first survivor ($(tail -n 1 "$work/b1"))" $? 0
wait $b2; same "exit code of the second survivor ($(tail -n 1 "$work/b2"))" $? 0
same "digest of an array that lost a host" "$(digest_of "$(cat "$work/b1")")" "$want"
same "cells lost with the array's host" "$(comm -23 "$work/before" <(cells) | wc -l)" 0
same "cells of the array computed twice" "$(cells | uniq -d | wc -l)" 0

# a host that was only suspended, for longer than the limit: the other has taken its work; it finds out and ends
run="$work/sleeper"
(on nodea "$sim" "$job" --set output.dir="$run" --array "${slow[@]}" >"$work/a1" 2>&1) & a1=$!
(on nodeb "$sim" "$job" --set output.dir="$run" --array --step-us 40000 --slots 4 --segment-seconds 0.05 >"$work/b1" 2>&1) & b1=$!
until_cells 60
pid=$(real_pid $a1)
kill -STOP "$pid"
mapfile -t asleep < <(of_host nodea)
silent "${asleep[@]}"
wait $b1; same "exit code of the one that went on ($(tail -n 1 "$work/b1"))" $? 0
same "digest beside a suspended host" "$(digest_of "$(cat "$work/b1")")" "$want"
kill -CONT "$pid" "$a1" # nsenter stops with its child
wait $a1; code=$?
[ $code = 9 ] || [ $code = 0 ] || fail "exit code $code of the host that was suspended: $(cat "$work/a1")"
[ $code = 0 ] || has "the host that was suspended" "$(cat "$work/a1")" "(silent for so long that another took it|was taken over by process)"
rm "$run/DONE"
same "digest of what both have written" "$(digest_of "$("$BIN/scope-grid" merge "$run" 2>&1)")" "$want"
finish
