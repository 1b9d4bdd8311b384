#!/usr/bin/env bash
# Calibration cells are cells like any other: the same digest on any number of ranks, in an array, after kills, as a
# point of a sweep; a later night takes them over, also where another number of them is asked for; without them the
# grid's cells are the same. They never show their own outcome.
. "$(dirname "$0")/lib.sh"
py=/usr/bin/python3
job="$calibrated" # 64 queries and, by default, 64 anchors, with 8 models
sim="$BIN/tests/sim_grid"
out() { local dir=$1; shift; "$@" --set output.dir="$work/$dir" 2>&1; }

alone=$(out alone "$sim" "$job")
want=$(digest_of "$alone")
has "one rank" "$alone" 'cells 1024 failed 0 computed 1024$'
for n in 1 2 3; do
  same "digest on $n ranks" "$(digest_of "$(out ranks ranks $n "$sim" "$job" --fresh --shuffle-leases $n --slots $n)")" "$want"
done
has "check" "$("$BIN/scope-grid" check "$work/alone")" '512 cells and 512 calibration cells, 1024 present, 0 failed, 0 missing; 1024 in segments'
has "merge" "$("$BIN/scope-grid" merge "$work/alone" 2>&1)" "digest $want, 1024 of 1024 cells, 512 of them for calibration, 0 failed"

# three tasks of an array
for i in 1 2 3; do out array "$sim" "$job" --array --step-us 500 >"$work/task$i" & done
wait
same "digest of an array" "$(digest_of "$(out array "$sim" "$job" --array)")" "$want"

# killed twice, then to the end
for i in 1 2; do
  launch 2 "$sim" "$job" --set output.dir="$work/killed" --segment-seconds 0.01 --step-us 3000 >"$work/log" 2>&1 &
  pid=$!
  until_closed "$work/killed" $((i * 3)) $pid
  kill_ranks $pid
done
same "digest after kills" "$(digest_of "$(out killed ranks 2 "$sim" "$job")")" "$want"

# other numbers of them: the cells that both have are equal, and so are those of the grid
digests=()
for c in 0 5 all; do
  result=$(out with-$c "$sim" "$job" --set calibration.anchors=$c)
  digests+=("$(digest_of "$result")")
done
has "every anchor" "$result" 'cells 2512 failed 0'
same "different digests" "$(printf '%s\n' "$want" "${digests[@]}" | sort -u | wc -l)" 4
same "groups without calibration" "$("$py" -c 'import h5py, sys; f = h5py.File(sys.argv[1]); print("calibration" in f, "anchors" in f, len(f["origin/night"]))' "$work/with-0/results.h5")" "False True 512"
"$py" - "$work"/{with-0,with-5,alone,with-all}/results.h5 <<'P' || fail "cells of different numbers of calibration anchors"
import sys, h5py, numpy as np
files = [h5py.File(f) for f in sys.argv[1:]]
for name, d in files[0].items():
    if isinstance(d, h5py.Dataset) and name not in ("query", "model", "category"):
        for f in files[1:]:
            assert np.array_equal(d[:], f[name][:], equal_nan=d.dtype.kind == "f"), name
every = files[3]["calibration"]
where = {a: i for i, a in enumerate(every["anchor"][:])}
assert len(where) == 250 and list(every["anchor"][:]) == list(files[3]["anchors/anchor"][:])
few = set(files[1]["calibration/anchor"][:])
assert len(few) == 5 and few <= set(files[2]["calibration/anchor"][:]), "the first 5 are of the 64"
for f in files[1:3]:
    rows = [where[a] for a in f["calibration/anchor"][:]]
    for name in ("p_correct", "sample_length", "knn_correct", "anchor_length", "true_correct", "similarity"):
        assert np.array_equal(f["calibration"][name][:], every[name][:][rows], equal_nan=True), name
f = files[2]
# in the shares of the queries' categories, and the truth is the anchor's outcome
share = lambda names: {c: list(names).count(c) for c in set(names)}
assert share(f["calibration/category"][:]) == share(f["category"][:]), share(f["calibration/category"][:])
assert np.array_equal(every["true_correct"][:], files[3]["anchors/correct"][:])
P

# a sweep: each point as computed alone
echo "{\"job\": \"$job\", \"dir\": \"sweep\", \"axes\": {\"sampling.temperature\": [0.3, 0.6], \"calibration.anchors\": [64, 3]}}" >"$work/sweep.json"
result=$(ranks 2 "$sim" "$work/sweep.json" 2>&1); same "exit code of a sweep" $? 0
alone3=$(out alone3 "$sim" "$job" --set calibration.anchors=3)
points=$("$py" -c 'import json, sys; print(*(p["digest"] for p in json.load(open(sys.argv[1]))["points"] if p["settings"]["sampling.temperature"] == 0.6))' "$work/sweep/index.json")
same "points of a sweep" "$points" "$want $(digest_of "$alone3")"

# nights: after one without calibration only the new cells are computed, after one with all of them none
night() { out "$1" "$sim" "$job" --night "$1" --since "$work/$2/results.h5" --progress; }
result=$(night n1 with-0); has "a night after one without" "$result" 'computed 512 taken 512$'
same "digest of a night after one without" "$(digest_of "$result")" "$want"
result=$(night n2 with-all); has "a night after one with all" "$result" 'computed 0 taken 1024$'
same "digest of a night after one with all" "$(digest_of "$result")" "$want"
result=$(night n3 with-5); has "a night after one with 5" "$result" 'computed 472 taken 552$'
same "digest of a night after one with 5" "$(digest_of "$result")" "$want"
has "check of a night" "$("$BIN/scope-grid" check "$work/n2/results.h5")" '512 cells and 512 calibration cells, 1024 present'

# failed ones are named for what they are
result=$(out failed "$sim" "$job" --set calibration.anchors=3 --fail-every 130)
has "failed cells" "$result" '5 of 536 cells failed'
has "the kinds of failed cells" "$("$BIN/scope-grid" check "$work/failed")" '512 cells and 24 calibration cells, 531 present, 5 failed'

# a value changed by another tool: the digest covers them
cp "$work/alone/results.h5" "$work/edited.h5"
"$py" -c 'import h5py, sys; f = h5py.File(sys.argv[1], "r+"); f["calibration/p_correct"][3, 2] = 0.5; f.close()' "$work/edited.h5"
has "an edited calibration cell" "$("$BIN/scope-grid" check "$work/edited.h5" 2>&1)" 'do not have the digest'
finish
