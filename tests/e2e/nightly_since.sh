#!/usr/bin/env bash
# Nightly re-estimation: what an earlier night has is not computed again, what has changed is, and the results
# are those of a run that computes everything; each cell says its night; what jobs/nightly.sh links and removes.
. "$(dirname "$0")/../mpi/lib.sh"
py=/usr/bin/python3
job="$work/job/job.json"
cp -r "$work/jobs/demo" "$work/job"
cp --remove-destination "$SRC"/jobs/demo/{outcomes.jsonl,portfolio.json} "$work/job/"
sim() { local n=$1; shift; ranks "$n" "$BIN/tests/sim_grid" "$job" "$@" 2>&1; }
one() { "$BIN/tests/sim_grid" "$job" "$@" 2>&1; }
# scratch ARGS: the digest of a run that computes everything
scratch() { digest_of "$(one --set output.dir="$work/scratch" --fresh "$@")"; }
night() { local dir=$1; shift; one --set output.dir="$work/$dir" --night "$dir" "$@"; }
# edit CODE: changes the input files (d: folder)
edit() { $py -c "
import json, sys
d = sys.argv[1]
def read(n): return [json.loads(l) for l in open(d + '/' + n)]
def write(n, rows): open(d + '/' + n, 'w').write(''.join(json.dumps(r) + '\n' for r in rows))
$1" "$work/job"; }

# a first night: said, no error
edit "
p = json.load(open(d + '/portfolio.json')); json.dump(p, open(d + '/all.json', 'w')); json.dump(p[:-1], open(d + '/portfolio.json', 'w'))
q = read('queries.jsonl')
o = read('outcomes.jsonl'); write('all_outcomes.jsonl', o)
gone = json.load(open(d + '/all.json'))[-1]['id']
write('outcomes.jsonl', [r for r in o if r['model_name'] != gone])
write('all.jsonl', q); write('queries.jsonl', q[:-1])"
out=$(night n1 --since "$work/latest" --progress); same "exit code of a first night" $? 0
has "a first night" "$out" "$work/latest does not exist: a first night, every cell is computed"
has "a first night" "$out" "cells 441 failed 0 computed 441$"

# nothing has changed: nothing is computed
out=$(night n1b --since "$work/n1/results.h5" --progress)
has "an equal night" "$out" "computed 0 taken 441$"
has "an equal night" "$out" "441 of 441 cells are taken over from $work/n1/results.h5"
same "digest of an equal night" "$(digest_of "$out")" "$(digest_of "$(night n1)")"

# a new model and a new query: only their cells
edit "
import os
os.rename(d + '/all.json', d + '/portfolio.json'); os.rename(d + '/all.jsonl', d + '/queries.jsonl'); os.rename(d + '/all_outcomes.jsonl', d + '/outcomes.jsonl')"
out=$(sim 3 --set output.dir="$work/n2" --night n2 --since "$work/n1/results.h5")
has "a new model and query" "$out" "cells 512 failed 0 computed 71 taken 441$"
same "digest with a new model and query" "$(digest_of "$out")" "$(scratch)"

# an anchor measured anew for one model: its cells of the prompts that show it
edit "
o = read('outcomes.jsonl'); a = [r['id'] for r in read('anchors.jsonl')]
shown = [r for r in o if r['id'] in set(a)]
for r in shown:
    if r['id'] in a[:40] and r['model_name'] == shown[0]['model_name']: r['usage_completion_tokens'] += 7
write('outcomes.jsonl', o)"
out=$(night n3 --since "$work/n2/results.h5")
computed=$(grep -Eo 'computed [0-9]+' <<<"$out" | cut -d' ' -f2)
[ "$computed" -gt 0 ] && [ "$computed" -le 64 ] || fail "re-measured anchors of one model: computed $computed cells of its 64"
same "digest with re-measured anchors" "$(digest_of "$out")" "$(scratch)"

# prices: no cell is computed, the costs are tonight's
edit "
p = json.load(open(d + '/portfolio.json'))
for m in p: m['output'] *= 3
json.dump(p, open(d + '/portfolio.json', 'w'))"
out=$(night n4 --since "$work/n3/results.h5")
has "new prices" "$out" "computed 0 taken 512$"
same "digest with new prices" "$(digest_of "$out")" "$(scratch)"
[ "$(digest_of "$out")" != "$(digest_of "$(night n3 2>&1)")" ] || fail "prices do not reach the results"

# each cell says its night; check agrees
$py - "$work/n4/results.h5" "$computed" <<'P' || fail "nights of cells in results.h5"
import sys, h5py, numpy as np
f = h5py.File(sys.argv[1])
names = [n.decode() for n in f["origin/name"][()]]
night = f["origin/night"][()]
count = {n: int((night == i).sum()) for i, n in enumerate(names)}
changed = int(sys.argv[2])
assert names[-1] == "n4" and set(names) == {"n1", "n2", "n3", "n4"}, names
assert count["n4"] == 0 and count["n3"] == changed and count["n1"] + count["n2"] == 512 - changed, count
assert 71 - changed <= count["n2"] <= 71, count
p = f["provenance"].attrs
assert p["night"] == "n4" and p["taken_over"] == 512 and "n3/results.h5 (digest " in p["since"], dict(p)
P
"$BIN/scope-grid" check "$work/n4" >/dev/null; same "check of a night" $? 0

# sampling changed: everything
has "another seed" "$(night n5 --since "$work/n4/results.h5" --set sampling.seed=9)" "computed 512$"
has "another temperature" "$(night n6 --since "$work/n4/results.h5" --set sampling.temperature=0.5)" "computed 512$"

# several files: each gives what the others lack
out=$(night n7 --since "$work/n1/results.h5" --since "$work/n2/results.h5")
has "two earlier files" "$out" "computed $computed taken $((512 - computed))$"

# texts: kept ones can be left out, others cannot be had
out=$(night n8 --since "$work/n4/results.h5" --set output.texts=false)
has "without texts" "$out" "computed 0 taken 512$"
same "digest without texts" "$(digest_of "$out")" "$(scratch --set output.texts=false)"
out=$(night n9 --since "$work/n8/results.h5" --progress)
has "texts that were not kept" "$out" "n8/results.h5 keeps no texts, this job does: nothing is taken over"
has "texts that were not kept" "$out" "computed 512$"

# failed cells are tried again
out=$(night n10 --fail-every 50); same "exit code of a night with failed cells" $? 10
out=$(night n11 --since "$work/n10/results.h5"); same "exit code of the next night" $? 0
has "cells that failed last night" "$out" "failed 0 computed 11 taken 501$"
same "digest after failures" "$(digest_of "$out")" "$(scratch)"

# killed in the middle: the night goes on without the earlier file, and still knows what it took
slow=(--set output.dir="$work/n12" --night n12 --step-us 200000 --slots 2 --segment-seconds 0.1)
"$BIN/tests/sim_grid" "$job" "${slow[@]}" --since "$work/n1/results.h5" >/dev/null 2>&1 &
pid=$!; until_running "$work/n12"; kill -9 $pid; wait $pid 2>/dev/null
mv "$work/n1" "$work/gone"
out=$(one --set output.dir="$work/n12" --night later --since "$work/n1/results.h5")
taken=$(grep -Eo 'taken [0-9]+' <<<"$out" | cut -d' ' -f2)
[ "${taken:-0}" -gt 350 ] && [ "$taken" -lt 442 ] || fail "a night that went on: $out"
same "digest of a night that went on" "$(digest_of "$out")" "$(scratch)"
same "name of a night that went on" "$("$BIN/scope-grid" check "$work/n12" --json | grep -Eo '"night": "[^"]*"')" '"night": "n12"'
mv "$work/gone" "$work/n1"

# processes without MPI: one of them takes over
for i in 1 2 3; do one --array --set output.dir="$work/n13" --night n13 --since "$work/n1/results.h5" >"$work/array$i" & done
wait
for i in 1 2 3; do same "digest of an array's night, member $i" "$(digest_of "$(cat "$work/array$i")")" "$(scratch)"; done
sum=$(cat "$work"/array? | grep -Eo 'computed [0-9]+' | awk '{n += $2} END {print n}')
same "cells that the array computed" "$sum" "$((512 - taken))"

# a damaged file, a link into nowhere, something else: errors, and nothing is begun
cp "$work/n4/results.h5" "$work/bad.h5"
printf 'X' | dd of="$work/bad.h5" bs=1 seek=30000 conv=notrunc 2>/dev/null
out=$(night bad --since "$work/bad.h5"); same "exit code with a damaged file" $? 5
one_line "a damaged file" "$out"
ln -s nowhere/results.h5 "$work/dangling"
out=$(night bad --since "$work/dangling"); same "exit code with a link into nowhere" $? 3
has "a link into nowhere" "$out" "dangling: points at results that are gone"
out=$(night bad --since "$job"); same "exit code with another file" $? 3
out=$(night bad --since "$work/n4/results.h5"); has "after these errors" "$out" "computed 0 taken 512$"

out=$("$BIN/scope-grid" run "$job" --since "" 2>&1); same "exit code with --since of an unset variable" $? 2
same "--since of an unset variable" "$out" "scope-grid: run: --since: the name of the earlier results is empty"

# begun without earlier results, resumed with them, killed while taking over and resumed: cells keep their nights,
# whichever start took them; what is in the segments is not taken again
slow=(--set output.dir="$work/n14" --night n14 --step-us 200000 --slots 2 --segment-seconds 0)
"$BIN/tests/sim_grid" "$job" "${slow[@]}" >/dev/null 2>&1 &
pid=$!; until_closed "$work/n14" 1 $pid; kill -9 $pid; wait $pid 2>/dev/null
own=$(ls "$work"/n14/segments/*.seg | wc -l)
one --set output.dir="$work/n14" --night n14 --since "$work/n4/results.h5" >/dev/null
before=$(ls "$work"/n14/segments/*.seg | wc -l)
rm "$(ls -t "$work"/n14/segments/*.seg | head -1)" "$work"/n14/{DONE,results.h5} # as if killed before the last of n4's nights
out=$(one --set output.dir="$work/n14" --night later --since "$work/n4/results.h5")
has "a night that was killed while taking over" "$out" "taken $((512 - own))$"
same "segments of the night that was killed" "$(ls "$work"/n14/segments/*.seg | wc -l)" "$before"
same "digest of the night that was killed" "$(digest_of "$out")" "$(scratch)"
$py - "$work/n14/results.h5" "$work/n4/results.h5" "$own" <<'P' || fail "nights of cells of a night that was killed"
import sys, h5py
def nights(path):
    f = h5py.File(path)
    names = [n.decode() for n in f["origin/name"][()]]
    return [names[i] for i in f["origin/night"][()]]
a, b = nights(sys.argv[1]), nights(sys.argv[2])
own = sum(x == "n14" for x in a)
assert own == int(sys.argv[3]) and all(x == "n14" or x == y for x, y in zip(a, b)), (own, set(a), set(b))
P

out=$(night a/b); same "exit code of a night that is no name" $? 2

# jobs/nightly.sh: {night}, the link to the newest night, how many stay
mkdir "$work/bin"
cat >"$work/bin/scope-grid" <<WRAP
#!/usr/bin/env bash
[ "\$1" = run ] || exec "$BIN/scope-grid" "\$@"
exec "$BIN/tests/sim_grid" "\${@:2}"
WRAP
chmod +x "$work/bin/scope-grid"
nights="$work/a series of \"nights\""
series() { SCOPE_BIN=$work/bin SCOPE_KEEP=2 "$SRC/jobs/nightly.sh" "$job" --set output.dir="$nights/{night}" --night "$@" 2>&1; }
left() { (cd "$nights" && ls -d -- */results.h5 | tr '\n' ' '); }
out=$(series 2026-01-01); same "exit code of a first night by the script" $? 0
has "a first night by the script" "$out" "computed 512$"
same "latest" "$(readlink "$nights/latest")" "2026-01-01/results.h5"
has "the second night" "$(series 2026-01-02)" "computed 0 taken 512$"
same "latest" "$(readlink "$nights/latest")" "2026-01-02/results.h5"
sleep 1 # nights are ordered by when they were finished, to the second
touch "$nights/2026-01-01/mine"
cp -r "$nights/2026-01-01" "$nights/2025-notes" && rm "$nights/2025-notes/mine" && touch "$nights/2025-notes/segments/my notes"
mkdir "$nights"/.retired.{1.1,1.2,notes} && touch "$nights"/.retired.1.1/DONE "$nights"/.retired.{1.2,notes}/mine
cp -r "$nights/2026-01-01" "$nights/2025-begun" && rm "$nights/2025-begun/DONE" "$nights/2025-begun/mine"
cp -r "$nights/2026-01-01" "$nights/2025-at-work" && rm "$nights/2025-at-work/mine" && touch "$nights/2025-at-work/lock"
cp -r "$nights/2026-01-01" "$nights/2025-whole" && rm "$nights/2025-whole/mine"
has "what retention removes" "$(series 2026-01-03)" "removed $nights/2025-whole$"
# ... and leaves: a folder with a file that is not the run's, what is not complete, what is at work
same "what retention leaves" "$(left)" "2025-at-work/results.h5 2025-begun/results.h5 2025-notes/results.h5 2026-01-01/results.h5 2026-01-02/results.h5 2026-01-03/results.h5 "
same "what a killed retention left" "$(cd "$nights" && ls -dA .retired.*)" $'.retired.1.2\n.retired.notes'
rm -r "$nights"/.retired.*
sleep 1
series 2026-01-04 >/dev/null
rm -rf "$nights"/2025-* "$nights/2026-01-01"
same "what retention leaves" "$(left)" "2026-01-03/results.h5 2026-01-04/results.h5 "
[ ! -e "$nights/2026-01-02" ] || fail "retention left of an old run: $(ls -A "$nights/2026-01-02")"
has "an old night again" "$(series 2026-01-03)" "already"
same "latest after an old night" "$(readlink "$nights/latest")" "2026-01-04/results.h5"
out=$(series 2026-01-04 --fresh); same "exit code of --fresh over what --since names" $? 2
has "--fresh over what --since names" "$out" "--fresh would remove .*/latest"
# this night stays and the link's, however old they are
cp -r "$nights/2026-01-04" "$nights/2026-01-09"
sed -i 's/"finished_at": "[^"]*"/"finished_at": "2028-01-01T00:00:00Z"/' "$nights/2026-01-09/DONE"
SCOPE_KEEP=1 "$SRC/jobs/nightly.sh" --publish "$nights/2026-01-03"
same "this night and the link's" "$(left)" "2026-01-03/results.h5 2026-01-04/results.h5 2026-01-09/results.h5 "
rm -r "$nights/2026-01-09"
# a run in array mode is removed whole, too
for i in 1 2; do one --array --set output.dir="$nights/2026-01-05" --night n5 >/dev/null & done
wait
SCOPE_KEEP=2 "$SRC/jobs/nightly.sh" --publish "$nights/2026-01-05"
sleep 1
series 2026-01-06 >/dev/null
sleep 1
series 2026-01-07 >/dev/null
same "what retention leaves of an array" "$(left)" "2026-01-06/results.h5 2026-01-07/results.h5 "
# readers find a whole file at any moment
reader() { while [ ! -e "$work/stop" ]; do [ -s "$nights/latest" ] || echo "no file at latest"; done; }
reader >"$work/reader" &
for i in 6 7 6 7 6 7; do
  sed -i 's/"finished_at": "[^"]*"/"finished_at": "2027-01-01T00:00:00Z"/' "$nights/2026-01-0$i/DONE"
  "$SRC/jobs/nightly.sh" --publish "$nights/2026-01-0$i"
  same "latest, moved" "$(readlink "$nights/latest")" "2026-01-0$i/results.h5"
done
touch "$work/stop"
wait
same "what a reader of latest saw" "$(cat "$work/reader")" ""
# refused before anything is computed
rm "$nights/latest" && echo hello >"$nights/latest"
out=$(series 2026-01-08); same "exit code with a file in place of the link" $? 2
same "a file in place of the link" "$out" "nightly.sh: $nights/latest would be replaced and is no symbolic link"
out=$(SCOPE_BIN=$work/bin "$SRC/jobs/nightly.sh" "$job" --set output.dir="$work/x" 2>&1); same "exit code without {night}" $? 2
has "without {night}" "$out" "put \{night\} into the last part of output.dir"

# the committed job, out of the box, on the real engine with few cells
head -n 2 "$SRC/jobs/demo/queries.jsonl" >"$work/two.jsonl"
nightly() { SCOPE_BIN=$BIN "$SRC/jobs/nightly.sh" "$SRC/jobs/nightly.json" --quiet --set queries="$work/two.jsonl" \
  --set sampling.max_new_tokens=8 --set calibration.anchors=1 --set output.dir="$work/real/{night}" "$@" 2>&1; }
days=$(date -u +%F)
first=$(nightly)
days="$days|$(date -u +%F)" # it may have been midnight
has "jobs/nightly.json" "$first" "real/($days)/results.h5: digest [0-9a-f]{32}, 16 cells and 8 calibration cells, 0 failed, 24 without a verdict, 24 computed"
second=$(nightly --night next); has "jobs/nightly.json again" "$second" "24 taken over, 0 computed"
same "digest of the second night" "$(digest_of "$second")" "$(digest_of "$first")"
# a run of another job that stands beside the nights is none of them
nightly --night another --set name=another >/dev/null
SCOPE_KEEP=1 nightly --night last >/dev/null
same "a run of another job" "$(ls "$work/real/another/results.h5")" "$work/real/another/results.h5"
same "the first night" "$(cd "$work/real" && ls -d 2*)" ""
finish
