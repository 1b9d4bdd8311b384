#!/usr/bin/env bash
# An array over two clients of a file system without hard links that keep what they have seen for a while (sshfs, its
# server started by hand): names that are taken are no errors there, nothing is computed twice. 77 where FUSE is not.
. "$(dirname "$0")/../mpi/lib.sh"
server=/usr/lib/openssh/sftp-server
for f in "$server" /dev/fuse "$(command -v sshfs)" "$(command -v fusermount)"; do
  [ -e "$f" ] || { echo "SKIP: sshfs, its server or /dev/fuse are not here"; exit 77; }
done
sim="$BIN/tests/sim_grid"
job="$demo"
mkdir "$work/back" "$work/one" "$work/two"
printf '#!/bin/sh\nexec %s\n' "$server" >"$work/ssh"
chmod +x "$work/ssh"
leave() { for m in one two; do fusermount -u "$work/$m" 2>/dev/null; done; cleanup; }
trap leave EXIT
for m in one two; do
  timeout 20 sshfs -o "ssh_command=$work/ssh,disable_hardlink" "x:$work/back" "$work/$m" 2>/dev/null ||
    { echo "SKIP: sshfs cannot mount here"; exit 77; }
done
want=$(digest_of "$("$sim" "$job" --set output.dir="$work/whole" 2>&1)")
for round in 1 2 3; do
  pids=()
  for m in one two one; do
    timeout 100 "$sim" "$job" --set output.dir="$work/$m/run$round" --array --step-us 2000 >"$work/out${#pids[@]}" 2>&1 &
    pids+=($!)
  done
  for i in "${!pids[@]}"; do
    wait "${pids[i]}"; same "exit code of task $i in round $round" $? 0
    same "digest of task $i in round $round" "$(digest_of "$(cat "$work/out$i")")" "$want"
  done
  same "cells computed twice in round $round" "$("$BIN/tests/list_cells" "$work/back/run$round" | sort | uniq -d | wc -l)" 0
done
finish
