#!/bin/sh
# compile.sh LOG COMMAND... - runs the command, keeps what it says in LOG, shows it only when it fails.
log=$1
shift
"$@" >"$log" 2>&1 && exit 0
cat "$log" >&2
rm -f "$log"
exit 1
