#!/usr/bin/env bash
# Points of a sweep that differ only in sampling are one run over the prompts: their results, digests and
# fingerprints are those of each point computed alone; the prompts are prefilled once; a sweep that was killed in
# a group's run, or between it and its points, goes on there; a cell that failed failed for all; earlier results
# spare a group the cells that all of its points find there.
. "$(dirname "$0")/../mpi/lib.sh"
py=/usr/bin/python3
head -n 1 "$SRC/jobs/demo/queries.jsonl" >"$work/queries.jsonl"
$py - "$SRC/jobs/demo/portfolio.json" >"$work/portfolio.json" <<'P'
import json, sys
print(json.dumps(json.load(open(sys.argv[1]))[:4]))
P
small=(--set queries="$work/queries.jsonl" --set portfolio="$work/portfolio.json" --set sampling.max_new_tokens=64 --quiet)
sweep() { "$BIN/scope-grid" run "$work/sweep.json" "${small[@]}" "$@" 2>&1; }
alone() { "$BIN/scope-grid" run "$demo" "${small[@]}" --set output.dir="$work/alone/$1" "${@:2}" 2>&1; }
write() { echo "{\"job\": \"$demo\", \"dir\": \"$2\", \"axes\": $1}" >"$work/sweep.json"; }
index() { $py -c 'import json, sys; d = json.load(open(sys.argv[1])); print(*(eval(sys.argv[2], {"p": p}) for p in d["points"]))' "$work/$1/index.json" "$2"; }
groups() { $py -c 'import json, sys; d = json.load(open(sys.argv[1])); print(*(eval(sys.argv[2], {"p": p, "len": len}) for p in d["groups"]))' "$work/$1/index.json" "$2"; }
of() { index "$1" "p['digest'] if p['name'] == '$2' else ''" | tr -d ' '; }
# of two results files: the cells' fingerprints, and the prompt tokens that the run of the second computed
same_fingerprints() { $py -c 'import h5py, sys; a, b = (h5py.File(f)["origin/fingerprint"][:] for f in sys.argv[1:]); sys.exit(not (a.size and (a == b).all()))' "$1" "$2" || fail "fingerprints of $1 and $2"; }
prompt_tokens() { $py -c 'import h5py, sys; print(h5py.File(sys.argv[1])["runtime"].attrs["prompt_tokens"])' "$1"; }

# axes that share a prefill (temperature, samples, texts) and one that does not (anchors)
write '{"sampling.temperature": [0, 0.6, 1.5], "prompt.anchors": [2, 3], "sampling.samples": [1, 3]}' out
out=$(sweep); same "exit code of a sweep" $? 0
same "results files" "$(ls "$work"/out/*/results.h5 | wc -l)" 12
has "a point" "$out" "out/temperature-0.6_anchors-3_samples-1/results.h5: digest [0-9a-f]{32}, 4 cells, 0 failed, 4 computed"
same "groups" "$(groups out 'f"""{p["name"]}:{len(p["points"])}:{p["samples"]}:{p["cells"]}"""')" "group_anchors-2:6:9:4 group_anchors-3:6:9:4"
same "cells computed" "$(index out 'p["computed"]' | tr ' ' '\n' | sort -u)" 4
[ "$(index out 'p["digest"]' | tr ' ' '\n' | sort -u | wc -l)" = 12 ] || fail "digests of different points are equal"
for t in 0 0.6 1.5; do
  for n in 1 3; do
    point=temperature-${t}_anchors-3_samples-$n
    out=$(alone $t-$n --set sampling.temperature=$t --set sampling.samples=$n --set prompt.anchors=3)
    same "digest of $point" "$(of out $point)" "$(digest_of "$out")"
    same_fingerprints "$work/out/$point/results.h5" "$work/alone/$t-$n/results.h5"
  done
done
once=$(prompt_tokens "$work/alone/0.6-3/results.h5")
[ "$once" -gt 1250 ] || fail "prompt tokens of a point: $once"
same "prompts prefilled for six points" "$(groups out 'p["prefill_tokens"]' | cut -d' ' -f2)" "$once"
same "prompt tokens saved" "$(groups out 'p["prefill_tokens_saved"]' | cut -d' ' -f2)" $((5 * once))
for point in "$work"/out/*/; do "$BIN/scope-grid" check "$point" >/dev/null; same "check of $point" $? 0; done
before=$(cat "$work/out/index.json")
has "a sweep that was done" "$(sweep)" "temperature-0_anchors-2_samples-3 was done before"
same "index of a sweep that was done" "$(cat "$work/out/index.json")" "$before"

# one point is missing: it comes out of its group's segments; without those it alone is computed
rm -r "$work/out/temperature-0.6_anchors-3_samples-3"
want=$(digest_of "$(alone 0.6-3 --set sampling.temperature=0.6 --set sampling.samples=3 --set prompt.anchors=3)")
tokens=$(groups out 'p["prefill_tokens"]')
for gone in nothing group_anchors-3; do
  rm -rf "$work/out/$gone" "$work/out/temperature-0.6_anchors-3_samples-3"
  out=$("$BIN/scope-grid" run "$work/sweep.json" "${small[@]:0:6}" 2>&1)
  same "groups that computed without $gone" "$(grep -c ': 4 cells computed in' <<<"$out")" "$([ $gone = nothing ] && echo 0 || echo 1)"
  has "a sweep without a point" "$out" "temperature-0.6_anchors-3_samples-3/results.h5: .*, 4 computed"
  same "points kept" "$(grep -c 'was done before' <<<"$out")" 11
  same "digest of that point" "$(of out temperature-0.6_anchors-3_samples-3)" "$want"
  same "prompts prefilled" "$(groups out 'p["prefill_tokens"]')" "$tokens"
done
same "points of a group that began again" "$(groups out 'len(p["points"])')" "6 2" # fewer samples are the first of more

# a new value: the points that it makes
write '{"sampling.temperature": [0, 0.6, 1.5, 2], "prompt.anchors": [2, 3], "sampling.samples": [1, 3]}' out
out=$(sweep); same "exit code of a sweep with a new value" $? 0
same "points kept" "$(grep -c 'was done before' <<<"$out")" 12
same "digest of a new point" "$(of out temperature-2_anchors-3_samples-1)" "$(digest_of "$(alone 2-1 --set sampling.temperature=2 --set sampling.samples=1 --set prompt.anchors=3)")"
same "digest of a kept point" "$(of out temperature-0.6_anchors-3_samples-3)" "$want"

# points with and without texts; on two ranks
write '{"sampling.seed": [5, 6], "output.texts": [false, true]}' texts
out=$(ranks 2 "$BIN/scope-grid" run "$work/sweep.json" "${small[@]}" --set sampling.samples=2 2>&1)
same "exit code of a sweep with texts" $? 0
for texts in false true; do
  alone=$(alone texts-$texts --set sampling.seed=6 --set output.texts=$texts --set sampling.samples=2)
  same "digest with texts $texts" "$(of texts seed-6_texts-$texts)" "$(digest_of "$alone")"
done

# points with both kinds of draws
write '{"sampling.draws": ["independent", "stratified"]}' draws
out=$(ranks 2 "$BIN/scope-grid" run "$work/sweep.json" "${small[@]}" --set sampling.samples=3 2>&1)
same "exit code of a sweep over draws" $? 0
same "groups of a sweep over draws" "$(groups draws 'len(p["points"])')" 2
for draws in independent stratified; do
  alone=$(alone $draws --set sampling.draws=$draws --set sampling.samples=3)
  same "digest of draws $draws" "$(of draws draws-$draws)" "$(digest_of "$alone")"
done
[ "$(of draws draws-independent)" != "$(of draws draws-stratified)" ] || fail "both kinds of draws gave one digest"

# earlier results: a group computes nothing where its points find all, everything where one of them does not; each
# point keeps what it has taken over
write '{"sampling.seed": [5, 6]}' night
since=(--set sampling.samples=2 --since "$work/texts/seed-5_texts-true/results.h5")
out=$(sweep "${since[@]}" --since "$work/texts/seed-6_texts-true/results.h5"); same "exit code of a sweep with --since" $? 0
same "cells taken over by both points" "$(grep -c "4 taken over, 0 computed" <<<"$out")" 2
same "prompts of a group that was spared" "$(groups night 'p["prefill_tokens"]')" 0
rm -r "$work/night"
out=$(sweep "${since[@]}"); same "exit code of a sweep with half of --since" $? 0
same "cells computed for one point" "$(grep -c "0 failed, 4 computed" <<<"$out")" 1
same "cells taken over by the other" "$(grep -c "4 taken over, 0 computed" <<<"$out")" 1
same "digests of both" "$(index night 'p["digest"]')" "$(of texts seed-5_texts-true) $(of texts seed-6_texts-true)"
nights() { $py -c 'import h5py, sys; f = h5py.File(sys.argv[1]); n = f["origin/name"][()]; print(*{n[i].decode() for i in f["origin/night"][()]})' "$1"; }
out=$(sweep "${since[@]}" --night later); same "exit code of a sweep with --since again" $? 0
rm -r "$work/night"
out=$(sweep "${since[@]}" --night later); same "exit code of a later night" $? 0
same "night of a point taken over" "$(nights "$work/night/seed-5/results.h5")" "$(date -u +%F)"
same "night of a point computed" "$(nights "$work/night/seed-6/results.h5")" later

# points that were killed on the way to their results: what they took over stays taken over, the rest theirs
rm "$work"/night/seed-*/{DONE,results.h5}
out=$(sweep "${since[@]}"); same "exit code of a sweep after a kill in a point" $? 0
same "points that computed nothing" "$(grep -c "4 taken over, 0 computed" <<<"$out")" 1
same "night of a point computed, after a kill" "$(nights "$work/night/seed-6/results.h5")" later
same "digests of both again" "$(index night 'p["digest"]')" "$(of texts seed-5_texts-true) $(of texts seed-6_texts-true)"

# failed cells: a prompt that is too long fails in every point
$py - "$work/queries.jsonl" <<'P'
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])] * 2
lines[1] = {**lines[1], "id": "long", "prompt": "why? " * 4000}
open(sys.argv[1], "w").writelines(json.dumps(l) + "\n" for l in lines)
P
write '{"sampling.seed": [5, 6], "sampling.samples": [1, 2]}' failed
out=$(sweep); same "exit code of a sweep with failed cells" $? 10
same "failed cells" "$(index failed 'p["failed"]')" "4 4 4 4"
alone=$(alone failed --set sampling.seed=6 --set sampling.samples=2); same "exit code of a point with failed cells" $? 10
same "digest of a point with failed cells" "$(of failed seed-6_samples-2)" "$(digest_of "$(alone failed --set sampling.seed=6 --set sampling.samples=2)")"

# ---- the simulated device: crashes ----
sim() { ranks 3 "$BIN/tests/sim_grid" "$work/sweep.json" "$@" 2>&1; }
write '{"sampling.seed": [1, 2, 3]}' sim
for s in 1 2 3; do
  "$BIN/tests/sim_grid" "$demo" --set sampling.seed=$s --set output.dir="$work/sim-alone-$s" >"$work/alone.out" 2>&1
  digest_of "$(cat "$work/alone.out")"
done >"$work/want"
out=$(sim --fail-every 100); same "exit code of a simulated sweep with failed cells" $? 10
same "failed cells of each point" "$(index sim 'p["failed"]')" "6 6 6"
reasons() { $py -c 'import h5py, sys; f = h5py.File(sys.argv[1]); print(f["failures/cell"][()], f["failures/reason"][()])' "$1"; }
same "reasons of two points" "$(reasons "$work/sim/seed-1/results.h5")" "$(reasons "$work/sim/seed-2/results.h5")"
out=$(sim --retry-failed --progress); same "exit code of a sweep whose failed cells are tried again" $? 0
has "what was tried again" "$out" "group: 6 cells computed"
same "digests after that" "$(index sim 'p["digest"]' | tr ' ' '\n')" "$(cat "$work/want")"
rm -r "$work/sim"

# killed in the group's run, twice: what was closed is not computed again
killed_in_group() { # RANKS CLOSED: a sweep, killed when that many cells are safe
  launch $1 "$BIN/tests/sim_grid" "$work/sweep.json" --step-us 200000 --segment-seconds 0 >/dev/null 2>&1 &
  pid=$!
  until_closed "$work/sim/group" $2 $pid
  kill_ranks $pid
}
for round in 1 2; do
  killed_in_group 3 $((20 * round))
  [ -e "$work/sim/group/DONE" ] && fail "the group was done before it was killed"
done
closed=$(ls "$work/sim/group/segments" | grep -c 'seg$')
[ "$closed" -ge 40 ] || fail "only $closed cells were safe at the second kill"
before=$("$BIN/scope-grid" status "$work/sim")
has "a sweep that was killed" "$before" '^  seed-2: stopped, [1-9][0-9]* of 512 cells'
out=$(sim --progress); same "exit code of a sweep that goes on" $? 0
computed=$(grep -Eo 'group: [0-9]+ cells computed' <<<"$out" | cut -d' ' -f2)
[ "$computed" -le $((512 - closed)) ] || fail "$computed cells were computed, $closed were safe"
# as killed between the group's run and its last point
rm -r "$work/sim/seed-3"
out=$(sim --progress); same "exit code of a sweep without its last point" $? 0
has "the last point" "$out" "point seed-3 cells 512 computed 512 taken 0"
lacks() { ! grep -q "$3" <<<"$2" || fail "$1: $2"; }
lacks "a sweep without its last point" "$out" "cells computed in"
same "cells of the group on disk" "$("$BIN/tests/list_cells" "$work/sim/group" | sort -u | wc -l)" 512
has "status of a group's run" "$("$BIN/scope-grid" status "$work/sim/group" 2>&1)" "512 of 512|512/512|done"
out=$("$BIN/scope-grid" check "$work/sim/group" 2>&1); same "exit code of check on a group's run" $? 0
has "check of a group's run" "$out" "512 cells, .* 0 failed, 0 missing; 512 in segments"
for dir in group seed-2; do
  out=$("$BIN/scope-grid" merge "$work/sim/$dir" 2>&1); same "exit code of merge of $dir" $? 2
  one_line "merge of $dir" "$out"
  has "merge of $dir" "$out" "run the sweep again"
done
same "digests after it all" "$(index sim 'p["digest"]' | tr ' ' '\n')" "$(cat "$work/want")"

# a segment of the group that is cut is damage, not a point with fewer cells
victim=$(ls "$work"/sim/group/segments/*.seg | head -1)
truncate -s -1 "$victim"; rm "$work"/sim/seed-1/{DONE,results.h5}
out=$(sim); same "exit code with a damaged segment of a group" $? 5
[ ! -e "$work/sim/seed-1/results.h5" ] || fail "results out of a damaged segment"

# the axes grow while a group is half done: it begins anew with all of them
rm -r "$work/sim"
killed_in_group 2 10
write '{"sampling.seed": [1, 2, 3, 4]}' sim
out=$(sim); same "exit code of a sweep that has grown" $? 0
same "digests of a sweep that has grown" "$(index sim 'p["digest"]' | tr ' ' '\n' | head -3)" "$(cat "$work/want")"
finish
