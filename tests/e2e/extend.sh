#!/usr/bin/env bash
# The estimator itself: four samples extended to eight are the eight drawn at once (draws.sh: by both kinds of draws, after
# kills); plan says beforehand what the extension takes.
. "$(dirname "$0")/../mpi/lib.sh"
"$python" "$SRC/tests/e2e/slice.py" "$SRC/jobs/demo" "$work/job" 2 2 || exit 1
job="$work/job/job.json" four=(--set sampling.samples=4) eight=(--set sampling.samples=8)
run() { local dir=$1; shift; "$BIN/scope-grid" run "$job" --quiet --set output.dir="$work/$dir" "$@" 2>&1; }
want=$(digest_of "$(run at-once "${eight[@]}")")
run few "${four[@]}" >/dev/null || fail "four samples"
result=$(run more "${eight[@]}" --since "$work/few/results.h5")
same "digest of 4 extended to 8" "$(digest_of "$result")" "$want"
has "4 extended to 8" "$result" '4 extended, 4 computed'

head -n 1 "$work/job/queries.jsonl" | "$python" -c 'import json, sys; print(json.loads(sys.stdin.readline())["id"] + "," + json.load(open(sys.argv[1]))[1]["id"])' "$work/job/portfolio.json" >"$work/one.csv"
plan() { "$BIN/scope-grid" plan "$job" --set output.dir="$work/few" "${eight[@]}" "$@" 2>&1; }
has "plan" "$(plan --extend)" 'to do +0 cells are there, 4 lack samples, 0 are new: 16 samples, [0-9]+ tokens to prefill, about [0-9]+ new'
cd "$work" || exit 1
has "plan of a list" "$(plan --since few/results.h5 --cells one.csv --json)" '"reuse": \{"cells_taken_over": 3, "cells_extended": 1, "cells_whole": 0, "samples": 4, "prefill": [0-9]+, "new": [0-9]+\}'
has "a list" "$(run few "${eight[@]}" --extend --cells one.csv)" '3 taken over, 1 extended, 1 computed'
has "plan of what is done" "$(plan --extend)" '1 cells are there, 3 lack samples, 0 are new: 12 samples'
result=$(plan --extend --set output.dir="$work/none"); same "exit code: plan without results" $? 3
one_line "plan without results" "$result"
result=$(plan --extend --set sampling.temperature=0.9); same "exit code: plan of another job" $? 6
has "plan of another job" "$result" 'its job differs in sampling.temperature'
result=$(plan --extend --set sampling.samples=2); same "exit code: plan of fewer samples" $? 6
has "plan of fewer samples" "$result" 'has 4 samples in .* and would have 2: .* so sampling.samples must be more'
finish
