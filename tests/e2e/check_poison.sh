#!/usr/bin/env bash
# A cell that brings its rank down does not do so for ever: the next start says who crashed with what in flight, a
# second crash finds the one culprit, which is then recorded as failed; --retry-failed computes it alone. A run
# that is killed any number of times quarantines nothing.
. "$(dirname "$0")/../mpi/lib.sh"
job="$demo"
head -n 8 "$SRC/jobs/demo/queries.jsonl" >"$work/queries.jsonl"
sim() { local n=$1; shift; ranks "$n" "$BIN/tests/sim_grid" "$job" --set queries="$work/queries.jsonl" --set output.dir="$work/run" --progress "$@" 2>&1; }
want=$(digest_of "$(sim 1)")
crash=(--crash-cell 20 --step-us 2000 --slots 4 --segment-seconds 0.01)

for n in 1 3; do
  sim $n --fresh "${crash[@]}" >/dev/null; code=$?
  [ $code != 0 ] && [ $code != 10 ] || fail "$n ranks: a crash ends with exit code $code"
  out=$(sim $n "${crash[@]}")
  has "the second start on $n ranks" "$out" "rank [0-9] on [^ ]+ crashed by SIGSEGV with [1-4] cells in flight; the first: query [^ ]+, model "
  lacks "the second start on $n ranks" "$out" "quarantined"
  out=$(sim $n "${crash[@]}"); same "exit code with a quarantined cell on $n ranks" $? 10
  has "the third start on $n ranks" "$out" "crashed by SIGSEGV with 1 cells in flight"
  has "the third start on $n ranks" "$out" "quarantined: in flight at 2 crashes, the last of rank [0-9] on [^ ]+: SIGSEGV"
  has "the third start on $n ranks" "$out" "1 of 64 cells failed, the first: query [^ ]+, model [^ ]+: quarantined"
  has "the third start on $n ranks" "$out" "failed 1 computed"
  "$BIN/scope-grid" check "$work/run" >/dev/null; same "check with a quarantined cell" $? 10
  out=$(sim $n --retry-failed); same "exit code of a retry on $n ranks" $? 0
  has "a retry on $n ranks" "$out" "failed 0 computed 1$"
  same "digest after the retry on $n ranks" "$(digest_of "$out")" "$want"
  same "exit code once all is well" "$(sim $n --retry-failed >/dev/null; echo $?)" 0
done

# killed again and again: nobody is to blame
rm -rf "$work/run"
for i in 1 2 3 4; do
  "$BIN/tests/sim_grid" "$job" --set queries="$work/queries.jsonl" --set output.dir="$work/run" --step-us 1000000 --segment-seconds 100 >/dev/null 2>&1 &
  pid=$!
  has_cells() { compgen -G "$work/run/inflight/00000-*-$pid-*" >/dev/null; }
  soon has_cells || fail "no in-flight note of process $pid"
  kill -9 $pid; wait $pid 2>/dev/null
done
out=$(sim 2 --step-us 20000); same "exit code after kills" $? 0
has "after kills" "$out" "rank 0 on [^ ]+ ended without a word \(killed, or its node was lost\) with [0-9]+ cells in flight"
same "digest after kills" "$(digest_of "$out")" "$want"
[ -z "$(ls "$work/run/inflight")" ] || fail "ranks that ended normally left their notes: $(ls "$work/run/inflight")"

# what dashboards read: a line a state, counts that add up over the starts
/usr/bin/python3 - "$work/run/metrics.jsonl" <<'P' || fail "metrics.jsonl"
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
assert [r["state"] for r in rows[-2:]] == ["merging", "done"], rows
last = rows[-1]
assert last["done"] == last["total"] == 64 and last["cells"] == 64 and last["ranks"] == 2 and last["failed"] == 0, last
assert last["prompt_tokens"] > 0 and last["output_tokens"] > 0 and 0 < last["busy_share"] <= 1 and last["startup_s"] > 0, last
P
finish
