#!/usr/bin/env bash
# Points of a sweep that differ only in how they draw are one pass over the prompts: their results, digests and
# fingerprints are those of each point computed alone; the prompts are prefilled once; a sweep that was killed in
# a pass, or between a pass and its points, goes on there; failed cells are each point's own; earlier results
# spare a pass the cells that all of its points find there.
. "$(dirname "$0")/../mpi/lib.sh"
py=/usr/bin/python3
demo=$SRC/jobs/demo/job.json
head -n 2 "$SRC/jobs/demo/queries.jsonl" >"$work/queries.jsonl"
small=(--set queries="$work/queries.jsonl" --set sampling.max_new_tokens=64 --quiet)
sweep() { "$BIN/scope-grid" run "$work/sweep.json" "${small[@]}" "$@" 2>&1; }
alone() { "$BIN/scope-grid" run "$demo" "${small[@]}" --set output.dir="$work/alone/$1" "${@:2}" 2>&1; }
write() { echo "{\"job\": \"$demo\", \"dir\": \"$2\", \"axes\": $1}" >"$work/sweep.json"; }
index() { $py -c 'import json, sys; d = json.load(open(sys.argv[1])); print(*(eval(sys.argv[2], {"p": p}) for p in d["points"]))' "$work/$1/index.json" "$2"; }
passes() { $py -c 'import json, sys; d = json.load(open(sys.argv[1])); print(*(eval(sys.argv[2], {"p": p, "len": len}) for p in d["passes"]))' "$work/$1/index.json" "$2"; }
of() { index "$1" "p['digest'] if p['name'] == '$2' else ''" | tr -d ' '; }
# of two results files: the cells' fingerprints, and the prompt tokens that the run of the second computed
same_fingerprints() { $py -c 'import h5py, sys; a, b = (h5py.File(f)["origin/fingerprint"][:] for f in sys.argv[1:]); sys.exit(not (a.size and (a == b).all()))' "$1" "$2" || fail "fingerprints of $1 and $2"; }
prompt_tokens() { $py -c 'import h5py, sys; print(h5py.File(sys.argv[1])["runtime"].attrs["prompt_tokens"])' "$1"; }

# axes that share a pass (temperature, samples, texts) and one that does not (anchors)
write '{"sampling.temperature": [0, 0.6, 1.5], "prompt.anchors": [2, 3], "sampling.samples": [1, 3]}' out
out=$(sweep); same "exit code of a sweep" $? 0
same "results files" "$(ls "$work"/out/*/results.h5 | wc -l)" 12
has "a point" "$out" "out/temperature-0.6_anchors-3_samples-1/results.h5: digest [0-9a-f]{32}, 16 cells, 0 failed, 16 out of its pass, 0 computed"
same "passes" "$(passes out 'f"""{p["name"]}:{len(p["points"])}:{p["samples"]}:{p["cells"]}"""')" "pass-1:6:9:16 pass-2:6:9:16"
same "cells computed" "$(index out 'p["computed"]' | tr ' ' '\n' | sort -u)" 16
[ "$(index out 'p["digest"]' | tr ' ' '\n' | sort -u | wc -l)" = 12 ] || fail "digests of different points are equal"
[ ! -e "$work/out/pass-1" ] && [ ! -e "$work/out/pass-2" ] || fail "the folder of a pass is left"
for t in 0 0.6 1.5; do
  for n in 1 3; do
    point=temperature-${t}_anchors-3_samples-$n
    out=$(alone $t-$n --set sampling.temperature=$t --set sampling.samples=$n --set prompt.anchors=3)
    same "digest of $point" "$(of out $point)" "$(digest_of "$out")"
    same_fingerprints "$work/out/$point/results.h5" "$work/alone/$t-$n/results.h5"
  done
done
once=$(prompt_tokens "$work/alone/0.6-3/results.h5")
[ "$once" -gt 5000 ] || fail "prompt tokens of a point: $once"
same "prompts prefilled for six points" "$(passes out 'p["prefill_tokens"]' | cut -d' ' -f2)" "$once"
same "prompt tokens saved" "$(passes out 'p["prefill_tokens_saved"]' | cut -d' ' -f2)" $((5 * once))
for point in "$work"/out/*/; do "$BIN/scope-grid" check "$point" >/dev/null; same "check of $point" $? 0; done
before=$(cat "$work/out/index.json")
has "a sweep that was done" "$(sweep)" "temperature-0_anchors-2_samples-3 was done before"
same "index of a sweep that was done" "$(cat "$work/out/index.json")" "$before"

# one point is missing: it alone is computed; a new value: the two points that it makes
rm -r "$work/out/temperature-0.6_anchors-3_samples-3"
has "a sweep without a point" "$(sweep)" "temperature-0.6_anchors-3_samples-3/results.h5: .*, 16 computed"
same "digest of that point" "$(of out temperature-0.6_anchors-3_samples-3)" "$(digest_of "$(alone 0.6-3 --set sampling.temperature=0.6 --set sampling.samples=3 --set prompt.anchors=3)")"

# points with and without texts; on two ranks
write '{"sampling.seed": [5, 6], "output.texts": [false, true]}' texts
out=$(ranks 2 "$BIN/scope-grid" run "$work/sweep.json" "${small[@]}" --set sampling.samples=2 2>&1)
same "exit code of a sweep with texts" $? 0
for texts in false true; do
  alone=$(alone texts-$texts --set sampling.seed=6 --set output.texts=$texts --set sampling.samples=2)
  same "digest with texts $texts" "$(of texts seed-6_texts-$texts)" "$(digest_of "$alone")"
done

# earlier results: a pass computes nothing where its points find all, everything where one of them does not
write '{"sampling.seed": [5, 6]}' night
since=(--set sampling.samples=2 --since "$work/texts/seed-5_texts-true/results.h5")
out=$(sweep "${since[@]}" --since "$work/texts/seed-6_texts-true/results.h5"); same "exit code of a sweep with --since" $? 0
same "cells taken over by both points" "$(grep -c "16 taken over, 0 computed" <<<"$out")" 2
same "prompts of a pass that was spared" "$(passes night 'p["prefill_tokens"]')" 0
rm -r "$work/night"
out=$(sweep "${since[@]}"); same "exit code of a sweep with half of --since" $? 0
same "cells computed for both points" "$(grep -c "16 out of its pass, 0 computed" <<<"$out")" 2
same "digests of both" "$(index night 'p["digest"]')" "$(of texts seed-5_texts-true) $(of texts seed-6_texts-true)"

# a point that was killed when it had taken its cells out of the pass: they stay its own, whatever the files have
rm "$work"/night/seed-*/{DONE,results.h5}
out=$(sweep "${since[@]}"); same "exit code of a sweep after a kill in a point" $? 0
same "cells said to be of another night" "$(grep -c "taken over" <<<"$out")" 0
same "digests of both again" "$(index night 'p["digest"]')" "$(of texts seed-5_texts-true) $(of texts seed-6_texts-true)"

# failed cells: a prompt that is too long fails in the pass and in every point, with the point's own reason
$py - "$work/queries.jsonl" <<'P'
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
lines[1]["prompt"] = "why? " * 4000
open(sys.argv[1], "w").writelines(json.dumps(l) + "\n" for l in lines)
P
write '{"sampling.seed": [5, 6], "sampling.samples": [1, 2]}' failed
out=$(sweep); same "exit code of a sweep with failed cells" $? 10
same "failed cells" "$(index failed 'p["failed"]')" "8 8 8 8"
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
has "a point with failed cells" "$out" "point seed-2 cells 512 computed 6 taken 0 shared 506"
rm -r "$work/sim"

# killed in the pass, twice: what was closed is not computed again
killed_in_pass() { # RANKS CLOSED: a sweep, killed when that many cells are safe
  launch $1 "$BIN/tests/sim_grid" "$work/sweep.json" --step-us 200000 --segment-seconds 0 >/dev/null 2>&1 &
  pid=$!
  until_closed "$work/sim/pass-1" $2 $pid
  mapfile -t children < <(pgrep -P $pid)
  kill -9 $pid "${children[@]}" 2>/dev/null
  wait $pid 2>/dev/null
  gone "${children[@]}"
}
for round in 1 2; do
  killed_in_pass 3 $((20 * round))
  [ -e "$work/sim/pass-1/DONE" ] && fail "the pass was done before it was killed"
done
closed=$(ls "$work/sim/pass-1/segments" | grep -c 'seg$')
[ "$closed" -ge 40 ] || fail "only $closed cells were safe at the second kill"
# stopped between the pass and its last point
touch "$work/sim/seed-3"
out=$(sim); [ $? != 0 ] || fail "a file in place of a point's folder is no error"
has "points before" "$out" "point seed-2 cells 512 computed 0 taken 0 shared 512"
same "cells of the pass on disk" "$(ls "$work/sim/pass-1" | grep -c DONE)" 1
has "status of a pass" "$("$BIN/scope-grid" status "$work/sim/pass-1" 2>&1)" "512 of 512|512/512|done"
out=$("$BIN/scope-grid" check "$work/sim/pass-1" 2>&1); same "exit code of check on a pass" $? 0
has "check of a pass" "$out" "512 cells, .* 0 failed, 0 missing; 512 in segments"
out=$("$BIN/scope-grid" merge "$work/sim/pass-1" 2>&1); [ $? != 0 ] || fail "a pass was merged"
one_line "merge of a pass" "$out"
has "merge of a pass" "$out" "a pass of a sweep has no results of its own"
rm "$work/sim/seed-3"
out=$(sim); same "exit code of a sweep that goes on" $? 0
has "the last point" "$out" "point seed-3 cells 512 computed 0 taken 0 shared 512"
same "digests after it all" "$(index sim 'p["digest"]' | tr ' ' '\n')" "$(cat "$work/want")"
[ ! -e "$work/sim/pass-1" ] || fail "the folder of the pass is left"

# the axes grow while a pass is half done: it begins anew with all of them
rm -r "$work/sim"
killed_in_pass 2 10
write '{"sampling.seed": [1, 2, 3, 4]}' sim
out=$(sim); same "exit code of a sweep that has grown" $? 0
same "digests of a sweep that has grown" "$(index sim 'p["digest"]' | tr ' ' '\n' | head -3)" "$(cat "$work/want")"
finish
