#!/usr/bin/env bash
# More samples later: cells with four samples get eight by drawing the other four, and the results have the digest of
# eight drawn at once: on one and three ranks, in an array, in the same folder, after kills, for a list of cells. Refused
# where anything but the number of samples differs.
. "$(dirname "$0")/lib.sh"
job="$demo" # 64 queries x 8 models
sim="$BIN/tests/sim_grid"
four=(--set sampling.samples=4)
out() { local dir=$1; shift; "$@" --set output.dir="$work/$dir" 2>&1; }
drawn() { awk '/drew/ { n += $4 } END { print n + 0 }' <<<"$1"; }
alone() { digest_of "$(out at-once "$sim" "$job" --fresh "$@")"; }
clean() { same "what $1 leaves" "$(find "$work/$1" -name 'earlier.h5*' -o -name heads)" ""; }

want=$(alone)
same "four" "$(drawn "$(out four "$sim" "$job" "${four[@]}" --drawn)")" 2048
for n in 1 3; do
  result=$(out since-$n ranks $n "$sim" "$job" --since "$work/four/results.h5" --drawn)
  same "digest of 4 extended to 8 on $n ranks" "$(digest_of "$result")" "$want"
  has "on $n ranks" "$result" 'failed 0 computed 512 extended 512$'
  same "samples drawn on $n ranks" "$(drawn "$result")" 2048
  clean since-$n
done
has "check" "$("$BIN/scope-grid" check "$work/since-3")" '512 cells, 512 present, 0 failed, 0 missing; 512 in segments'
other=(--set sampling.draws=independent --set output.texts=false)
out other "$sim" "$job" "${four[@]}" "${other[@]}" >/dev/null
same "independent draws, without texts" "$(digest_of "$(out other-8 "$sim" "$job" "${other[@]}" --since "$work/other/results.h5")")" "$(alone "${other[@]}")"
# cells that failed fail again
out failed "$sim" "$job" "${four[@]}" --fail-every 100 >/dev/null
result=$(out failed-8 "$sim" "$job" --fail-every 100 --since "$work/failed/results.h5" --drawn)
has "failed cells" "$result" '6 of 512 cells failed'
same "digest with failed cells" "$(digest_of "$("$BIN/scope-grid" merge "$work/failed-8" 2>&1)$(out at-once "$sim" "$job" --fresh --fail-every 100 >/dev/null)")" \
  "$(digest_of "$("$BIN/scope-grid" merge "$work/at-once" 2>&1)")"

# in the same folder, twice
cp -r "$work/four" "$work/same"
result=$(out same ranks 2 "$sim" "$job" --extend --drawn)
same "digest in the same folder" "$(digest_of "$result")" "$want"
same "samples drawn in the same folder" "$(drawn "$result")" 2048
has "done before" "$(out same "$sim" "$job" --extend)" "digest $want .* computed 0 already$"
result=$(out same "$sim" "$job" --extend --set sampling.samples=16 --drawn)
same "digest of 16" "$(digest_of "$result")" "$(alone --set sampling.samples=16)"
same "samples drawn from 8 to 16" "$(drawn "$result")" 4096
clean same

# three tasks of an array, in the same folder
cp -r "$work/four" "$work/array"
for i in 1 2 3; do out array "$sim" "$job" --array --extend --step-us 500 --drawn >"$work/task$i" & done
wait
for i in 1 2 3; do same "digest of task $i of an array" "$(digest_of "$(cat "$work/task$i")")" "$want"; done
same "samples drawn in an array" "$(drawn "$(cat "$work"/task?)")" 2048
clean array

# killed, then to the end; the second time without what had been drawn before
for how in with without; do
  cp -r "$work/four" "$work/killed-$how"
  launch 2 "$sim" "$job" --set output.dir="$work/killed-$how" --extend --segment-seconds 0.01 --step-us 20000 >"$work/log" 2>&1 &
  pid=$!
  taken() { [ -e "$work/killed-$how/earlier.h5" ] && [ "$(closed "$work/killed-$how")" -ge 3 ] && [ "$(closed "$work/killed-$how/heads")" = 1 ]; }
  soon taken || fail "no extension at work: $(cat "$work/log")"
  kill_ranks $pid
  [ -e "$work/killed-$how/DONE" ] && fail "killed too late"
  result=$(out killed-$how "$sim" "$job" "${four[@]}" --extend --set sampling.temperature=0.1)
  has "another job in a folder being extended" "$result" 'is not done; finish it first'
  if [ $how = with ]; then # a head that was damaged
    head=$(find "$work/killed-$how/heads" -name '*.seg')
    cp "$head" "$work/head" && printf '\xff' | dd of="$head" bs=1 seek=5000 conv=notrunc status=none
    result=$(out killed-$how "$sim" "$job" --extend); same "exit code: a damaged head" $? 5
    one_line "a damaged head" "$result"
    has "a damaged head" "$result" 'heads/segments/.*\.seg: '
    mv "$work/head" "$head"
  fi
  again=(--extend)
  if [ $how = without ]; then rm -r "$work/killed-$how"/{heads,earlier.h5}; again=(); fi
  result=$(out killed-$how ranks 3 "$sim" "$job" "${again[@]}" --drawn)
  same "digest after a kill, $how heads" "$(digest_of "$result")" "$want"
  left=$(grep -Eo 'computed [0-9]+' <<<"$result" | cut -d' ' -f2)
  [ "$left" -lt 512 ] || fail "$left cells left after a kill"
  same "samples drawn after a kill, $how heads" "$(drawn "$result")" $((left * $([ $how = with ] && echo 4 || echo 8)))
  clean killed-$how
done
# killed between two steps of making the folder ready: the old run not done, or gone
for step in DONE "DONE results.h5 plan.bin job.json run.json segments"; do
  rm -rf "$work/between"
  cp -r "$work/four" "$work/between"
  cp "$work/four/results.h5" "$work/between/earlier.h5"
  (cd "$work/between" && rm -r $step)
  result=$(out between "$sim" "$job"); same "exit code: without --extend between steps" $? 6
  one_line "without --extend between steps" "$result"
  same "digest after a kill between steps" "$(digest_of "$(out between "$sim" "$job" --extend)")" "$want"
done

# a list of cells: these get eight, all others, those of calibration too, keep four
list="$work/list.csv"
"$python" - "$SRC/jobs/demo/portfolio.json" "$work/jobs/demo/queries.jsonl" >"$list" <<'P'
import csv, json, sys
models = [m["id"] for m in json.load(open(sys.argv[1]))]
queries = [json.loads(l)["id"] for l in open(sys.argv[2]) if l.strip()]
w = csv.writer(sys.stdout, quoting=csv.QUOTE_ALL)
w.writerow(["query_id", "model_id"])
for i, q in enumerate(queries[::3]):
    w.writerow([q, models[i % 8]])
P
some=(--set calibration.anchors=2)
result=$(out some-4 "$sim" "$job" "${four[@]}" "${some[@]}")
result=$(out some "$sim" "$job" "${some[@]}" --since "$work/some-4/results.h5" --set sampling.cells="$list" --drawn)
has "a list" "$result" 'cells 528 failed 0 computed 22 taken 506 extended 22$'
same "samples drawn of a list" "$(drawn "$result")" 88
listed=$(alone "${some[@]}" --set sampling.cells="$list" --set sampling.others=4)
same "digest of a list" "$(digest_of "$result")" "$listed"
has "check of a list" "$("$BIN/scope-grid" check "$work/some")" '512 cells and 16 calibration cells, 528 present, 0 failed'
same "a list in the same folder" "$(digest_of "$(out some-4 ranks 2 "$sim" "$job" "${some[@]}" --extend --set sampling.cells="$list")")" "$listed"
has "a list once more" "$(out some-4 "$sim" "$job" "${some[@]}" --extend --set sampling.cells="$list")" "$listed .* already$"
"$python" - "$work"/{some,four,since-1}/results.h5 "$list" <<'P' || fail "the cells of a list"
import csv, sys, h5py, numpy as np
some, four, eight = (h5py.File(f) for f in sys.argv[1:4])
text = lambda a: [x.decode() if isinstance(x, bytes) else x for x in a[()]]
at = {(q, m): (i, j) for i, q in enumerate(text(some["query"])) for j, m in enumerate(text(some["model"]))}
listed = np.zeros((64, 8), bool)
for row in list(csv.reader(open(sys.argv[4])))[1:]:
    listed[at[tuple(row)]] = True
assert listed.sum() == 22
votes = sum(some[v][()] for v in ("votes_yes", "votes_no", "votes_unparsed"))
assert np.array_equal(votes, np.where(listed, 8, 4)) and some["sample"].shape == (8,)
for name, fill in (("sample_correct", -1), ("sample_length", -1), ("sample_p_yes", np.nan), ("sample_tokens", 0)):
    x = some[name][()]
    assert np.array_equal(x[listed], eight[name][()][listed], equal_nan=x.dtype.kind == "f"), name
    assert np.array_equal(x[~listed][:, :4], four[name][()][~listed], equal_nan=x.dtype.kind == "f"), name
    rest = x[~listed][:, 4:]
    assert np.array_equal(rest, np.full_like(rest, fill), equal_nan=x.dtype.kind == "f"), name
for name in ("p_correct", "length_mean", "cost", "output_tokens"):
    x = some[name][()]
    assert np.array_equal(x, np.where(listed, eight[name][()], four[name][()]), equal_nan=True), name
assert np.all(some["calibration/votes_yes"][()] + some["calibration/votes_no"][()] + some["calibration/votes_unparsed"][()] == 4)
assert np.all(some["p_se"][()] > 0)
P
result=$(out rest "$sim" "$job" "${some[@]}" --since "$work/some/results.h5" --drawn)
same "digest of a list and then all" "$(digest_of "$result")" "$(alone "${some[@]}")"
same "samples drawn for all after a list" "$(drawn "$result")" 2024
result=$(out fewer "$sim" "$job" "${four[@]}" "${some[@]}" --since "$work/some/results.h5")
has "four again of a list" "$result" 'computed 0 taken 528$'

# refused, with one line
refused() { # WHAT CODE PATTERN ARGS...
  local what=$1 code=$2 pattern=$3 text
  shift 3
  [ "$job" = "$demo" ] && set -- --set output.dir="$work/four" "$@"
  text=$("$sim" "$job" "$@" 2>&1)
  same "exit code: $what" $? "$code"
  one_line "$what" "$text"
  has "$what" "$text" "$pattern"
}
refused "another temperature" 6 'its job differs in sampling.temperature\): only the number of samples may differ' --extend --set sampling.temperature=0.5
refused "no texts, other anchors" 6 'its job differs in prompt.anchors, output.texts\)' --extend --set output.texts=false --set prompt.anchors=2
cp "$work/jobs/demo/queries.jsonl" "$work/before"
sed -i '1s/"prompt": *"/&Now: /; 1s/"question": *"/&Now: /' "$work/jobs/demo/queries.jsonl"
refused "another question" 6 'the files its job names' --extend
mv "$work/before" "$work/jobs/demo/queries.jsonl"
refused "fewer samples" 6 'has 4 samples in .* and would have 3: --extend only adds' --extend --set sampling.samples=3
refused "fresh" 2 'not together with --fresh' --extend --fresh
refused "without --extend" 6 'its job differs in sampling.samples\)'
refused "no run" 3 'no run in' --extend --set output.dir="$work/nowhere"
refused "others missing" 3 'sampling.others is missing' --set sampling.cells="$list" --set output.dir="$work/new"
refused "others without a list" 3 'sampling.others is for the cells' --set sampling.others=4
refused "too many others" 3 'sampling.others is 9; expected at most sampling.samples' --set sampling.others=9 --set sampling.cells="$list"
echo "{\"job\": \"$job\", \"dir\": \"sweep\", \"axes\": {\"sampling.temperature\": [0.3, 0.6]}}" >"$work/sweep.json"
swept() { local job="$work/sweep.json"; refused "$@"; }
swept "a sweep" 2 'not for a sweep' --extend
swept "a list in a sweep" 4 'sampling.cells: not in a sweep' --set sampling.cells="$list" --set sampling.others=4
line() { printf "$2" >"$work/bad.csv"; refused "list: $1" 3 "$3" --set sampling.cells="$work/bad.csv" --set sampling.others=4; }
model=$(tail -n 1 "$list" | cut -d'"' -f4)
line "an unknown query" "nobody,$model\n" 'bad.csv:1: the job has no query "nobody"'
line "an unknown model" "$(tail -n 1 "$list")\n\n$(tail -n 1 "$list" | cut -d, -f1),x\n" 'bad.csv:3: the job has no model "x"'
line "no comma" "query\n" 'bad.csv:1: expected the id of a query, a comma'
line "three columns without names" "a,b,c\n" 'bad.csv:1: expected the id of a query, a comma'
line "a short line" "query,model,more\nx\n" 'bad.csv:2: 1 columns; the heading has more'
line "an open quote" '"a,b\n' 'bad.csv:1: a quote is not closed'
line "text after a quote" '"a"b,c\n' 'bad.csv:1: text after a closing quote; expected a comma'
line "nothing" "query,model\n" 'lists no cell'
same "the run is as it was" "$("$BIN/scope-grid" check "$work/four" | head -c 9)" "$("$BIN/scope-grid" check "$work/since-1" | head -c 9)"
finish
