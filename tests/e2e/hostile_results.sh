#!/usr/bin/env bash
# A results file that somebody sends: scope-frontier, check and run --since take nothing from other files, and say in
# one line which object of which file they refuse, and why; a small file cannot claim much memory.
. "$(dirname "$0")/../mpi/lib.sh"
good="$work/good/results.h5"
job="$calibrated"
"$BIN/tests/sim_grid" "$job" --set output.dir="$work/good" --night n1 >/dev/null
"$BIN/tests/sim_grid" "$job" --set output.dir="$work/other" --set sampling.seed=9 --night n2 >/dev/null
secret="$work/secret.txt"
yes 'password: hunter2 of the reader' | head -c 100000 >"$secret"
hostile="$work/sent.h5"

# refused KIND OBJECT OTHER WORDS: every reader of results
refused() {
  "$BIN/tests/hostile_results" "$good" "$1" "$2" "$3" "$hostile" || { fail "$1 of $2: not made"; return; }
  rm -rf "$work/out" "$work/next"
  local out what="$1 of $2"
  out=$(ulimit -v 2000000; timeout 20 "$BIN/scope-frontier" "$hostile" --output "$work/out" 2>&1) && fail "$what: scope-frontier took it"
  one_line "$what, scope-frontier" "$out"
  has "$what, scope-frontier" "$out" "sent.h5: '$2' $4"
  if [ -e "$work/out/report.html" ]; then fail "$what: a report was written"; fi
  out=$(ulimit -v 2000000; timeout 20 "$BIN/scope-grid" check "$hostile" 2>&1) && fail "$what: check took it"
  has "$what, check" "$out" "sent.h5: '$2' $4"
  out=$(timeout 60 "$BIN/tests/sim_grid" "$job" --set output.dir="$work/next" --night n3 --since "$hostile" 2>&1) && fail "$what: --since took it"
  one_line "$what, --since" "$out"
  has "$what, --since" "$out" "sent.h5: '$2' $4"
  if grep -rqs hunter2 "$work/out" "$work/next" <<<"$out"; then fail "$what: lines of another file came out"; fi
}
here="only data of the file itself are read"
refused external model "$secret" "has its data in another file; $here"
refused external query "$secret" "has its data in another file; $here"
refused virtual model "$work/other/results.h5" "is a virtual dataset; $here"
refused elink model "$work/other/results.h5" "is an external link; only objects of the file itself"
refused elink provenance "$work/other/results.h5" "is an external link; only objects of the file itself"
refused soft model - "is a soft link; only objects of the file itself"
refused packed model - "is packed by other filters"
refused huge query - "claims 300000000 elements, its 0 stored bytes cannot hold them"
refused huge model - "claims 300000000 elements, its 0 stored bytes cannot hold them"

# damaged structure without a checksum: HDF5 1.10 read gigabytes, crashed, or never came back
for kind in heap mutated; do
  for seed in $(seq 0 24); do
    "$BIN/tests/hostile_results" "$good" $kind "$seed" - "$hostile"
    out=$(ulimit -v 4000000; timeout -k 5 60 "$BIN/scope-grid" check "$hostile" 2>&1); code=$?
    [ $code -eq 0 ] || [ $code -eq 5 ] || [ $code -eq 3 ] || [ $code -eq 7 ] || fail "$kind $seed: exit code $code: $out"
    [ $code -eq 0 ] || one_line "$kind $seed" "$out"
  done
done

# a file that is cut while it is read: one line, and no SIGBUS
"$BIN/tests/make_fake_results" "$work/large.h5" 6000 60 4 1 1 0.5 0 3
for wait in 0 0.01 0.02 0.04 0.08; do
  cp "$work/large.h5" "$hostile"
  timeout -k 5 60 "$BIN/scope-grid" check "$hostile" >"$work/said" 2>&1 &
  sleep $wait
  truncate -s 4096 "$hostile"
  wait $!; code=$?
  [ $code -eq 0 ] || [ $code -eq 5 ] || [ $code -eq 3 ] || fail "cut after $wait s: exit code $code: $(cat "$work/said")"
  [ $code -eq 0 ] || one_line "cut after $wait s" "$(cat "$work/said")"
done

# the texts are read by another way
"$BIN/tests/hostile_results" "$good" elink texts "$work/other/results.h5" "$hostile"
out=$("$BIN/tests/sim_grid" "$job" --set output.dir="$work/next" --night n3 --since "$hostile" 2>&1) && fail "texts by an external link: --since took it"
has "texts by an external link" "$out" "sent.h5: 'texts' is an external link"
# the file itself is a link, or was written by another tool: read as ever
ln -s "$good" "$work/link.h5"
"$BIN/scope-grid" check "$work/link.h5" >/dev/null; same "exit code of check of a link to results" $? 0
finish
