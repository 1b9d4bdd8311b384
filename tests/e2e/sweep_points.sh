#!/usr/bin/env bash
# Sweeps: a results file for every combination, equal to that of the point computed alone; fewer samples come out
# of more without computing; the index says what there is; a sweep goes on where it was; bad sweeps are refused
# before anything is computed. The real engine, few cells.
. "$(dirname "$0")/../mpi/lib.sh"
py=/usr/bin/python3
head -n 2 "$SRC/jobs/demo/queries.jsonl" >"$work/queries.jsonl"
small=(--set queries="$work/queries.jsonl" --set sampling.max_new_tokens=96 --quiet)
sweep() { "$BIN/scope-grid" run "$work/sweep.json" "${small[@]}" "$@" 2>&1; }
write() { echo "{\"job\": \"$demo\", \"dir\": \"out\", \"axes\": $1}" >"$work/sweep.json"; }
index() { $py -c 'import json, sys; d = json.load(open(sys.argv[1])); print(*(eval(sys.argv[2], {"p": p}) for p in d["points"]))' "$work/out/index.json" "$1"; }

write '{"prompt.anchors": [2, 3], "sampling.samples": [1, 3]}'
out=$(sweep); same "exit code of a sweep" $? 0
has "a sweep" "$out" "out/anchors-2_samples-3/results.h5: digest [0-9a-f]{32}, 16 cells, 0 failed, 16 computed"
has "a sweep" "$out" "out/anchors-2_samples-1/results.h5: digest [0-9a-f]{32}, 16 cells, 0 failed, 16 computed"
same "points of the index" "$(index 'p["name"]')" "anchors-2_samples-1 anchors-2_samples-3 anchors-3_samples-1 anchors-3_samples-3"
same "states of the index" "$(index 'p["state"]')" "done done done done"
same "cells computed" "$(index 'p["computed"]')" "16 16 16 16"
same "settings of the index" "$(index '"%d/%d" % (p["settings"]["prompt.anchors"], p["settings"]["sampling.samples"])')" "2/1 2/3 3/1 3/3"
digests=$(index 'p["digest"]')
for n in 1 2; do # each point alone, on one rank and on two
  alone=$(ranks $n "$BIN/scope-grid" run "$demo" "${small[@]}" --set output.dir="$work/alone$n" --set prompt.anchors=3 --set sampling.samples=1 2>&1)
  has "a point alone" "$alone" "16 computed"
  same "digest of a point whose samples are a larger point's first" "$(digest_of "$alone")" "$(cut -d' ' -f3 <<<"$digests")"
done
for point in "$work"/out/*/; do "$BIN/scope-grid" check "$point" >/dev/null; same "check of $point" $? 0; done

# again: nothing to do; without one point: that point only
has "a sweep that was done" "$(sweep)" "anchors-3_samples-3 was done before"
rm -r "$work/out/anchors-3_samples-3"
touch -d '1 hour ago' "$work"/out/{index.json.tmp.12,mine.tmp.12}; touch "$work/out/index.json.tmp.13"
out=$(ranks 2 "$BIN/scope-grid" run "$work/sweep.json" "${small[@]}" 2>&1); same "exit code of a sweep on two ranks" $? 0
same "lines of a sweep that goes on" "$(grep -c 'was done before' <<<"$out")" 3
same "digests of a sweep that goes on" "$(index 'p["digest"]')" "$digests"
same "what a killed writer left long ago is gone" "$(cd "$work/out" && echo *.tmp.*)" "index.json.tmp.13 mine.tmp.12"

has "status of a sweep" "$("$BIN/scope-grid" status "$work/out")" 'out: a sweep, done, 4 of 4 points \(see its index.json\), 64 cells of points, 0 failed$'
rm "$work/out/anchors-3_samples-3/DONE"
out=$("$BIN/scope-grid" status "$work/out"); has "status of a sweep that is not done" "$out" 'a sweep, stopped, 3 of 4 points'
has "its open point" "$out" '^  anchors-3_samples-3: stopped, 16 of 16 cells'
same "status of a sweep as JSON" "$("$BIN/scope-grid" status "$work/out" --json)" '{"state": "stopped", "points": 4, "points_done": 3, "done": 64, "failed": 0}'
sweep >/dev/null; same "exit code of a sweep whose point lost its DONE" $? 0

# plan: the same points with their cells, in the folder where they are; a folder that is not there is not made
plan() { "$BIN/scope-grid" plan "$work/sweep.json" --set queries="$work/queries.jsonl" "$@" 2>&1; }
out=$(plan); same "exit code of the plan of a sweep" $? 0
has "the plan of a sweep" "$out" "^sweep: a sweep of 4 points over .*/jobs/demo/job.json, 64 cells together$"
has "a point of the plan" "$out" "^  anchors-3_samples-1  16 cells: prompt.anchors=3 sampling.samples=1$"
has "the folder of the plan" "$out" "^  output     $(realpath "$work")/out$"
fields() { $py -c 'import json, sys; d = json.load(sys.stdin); print(d["cells"], *(p["name"] for p in d["points"]), *(p["cells"] for p in d["points"]), d["points"][2]["settings"]["prompt.anchors"], d["run_dir"], d["model_path"])'; }
same "the plan of a sweep as JSON" "$(plan --json | fields)" "64 $(index 'p["name"]') 16 16 16 16 3 $(realpath "$work")/out $work/jobs/demo/model"
head -n 1 "$work/queries.jsonl" >"$work/one.jsonl"
echo "{\"job\": \"$demo\", \"dir\": \"none\", \"axes\": {\"sampling.samples\": [1, 2], \"queries\": [\"$work/queries.jsonl\", \"$work/one.jsonl\"]}}" >"$work/grids.json"
same "cells of points whose queries differ" "$("$BIN/scope-grid" plan "$work/grids.json" | grep -o '[0-9]* cells' | tr '\n' ' ')" "48 cells 16 cells 8 cells 16 cells 8 cells "
[ ! -e "$work/none" ] || fail "plan made a folder"

# the frontier takes the index for the files it lists
out=$("$BIN/scope-frontier" "$work/out/index.json" --bootstrap 0 --no-plots -o "$work/frontier" 2>&1); same "exit code of scope-frontier on a sweep" $? 0
same "points that it compares" "$(cut -d, -f2 "$work/frontier/compare.csv" | tr '\n' ' ')" "name anchors-2_samples-1 anchors-2_samples-3 anchors-3_samples-1 anchors-3_samples-3 "
out=$("$BIN/scope-frontier" "$SRC/jobs/sweep.json" 2>&1); same "exit code of scope-frontier on another JSON file" $? 3
one_line "another JSON file" "$out"

# a committed sweep is one that runs
$py -c 'import json, sys; d = json.load(open(sys.argv[1])); assert set(d) == {"name", "job", "dir", "axes"}' "$SRC/jobs/sweep.json" || fail "jobs/sweep.json"

# on the simulated device: groups in the order of their first points; ranks change nothing
cat >"$work/sim.json" <<J
{"job": "$demo", "dir": "sim", "axes": {"output.texts": [false, true], "prompt.anchors": [4, 5]}}
J
out=$(ranks 3 "$BIN/tests/sim_grid" "$work/sim.json" 2>&1); same "exit code of a simulated sweep" $? 0
same "order of points" "$(grep -Eo 'point .*' <<<"$out" | tr '\n' ';')" "point texts-false_anchors-4 cells 512 computed 512 taken 0;point texts-true_anchors-4 cells 512 computed 512 taken 0;point texts-false_anchors-5 cells 512 computed 512 taken 0;point texts-true_anchors-5 cells 512 computed 512 taken 0;"

# what is wrong is said before anything is computed
refused() { # WHAT AXES CODE WORDS
  rm -rf "$work/out"; write "$2"
  out=$(sweep); same "exit code: $1" $? "$3"
  one_line "$1" "$out"; has "$1" "$out" "$4"
  [ ! -e "$work/out" ] || fail "$1: something was begun"
  out=$(plan --json); same "exit code of plan: $1" $? "$3"
  one_line "plan: $1" "$out"; has "plan: $1" "$out" "$4"
}
refused "an unknown key" '{"sampling.sample": [1]}' 3 'point sample-1: --set sampling.sample=1: unknown key sampling.sample; did you mean "sampling.samples"\?'
refused "a bad last value" '{"sampling.samples": [1, 2, 0]}' 3 'point samples-0: .*sampling.samples'
refused "no values" '{"sampling.samples": []}' 3 'sweep.json: axes: sampling.samples must be an array of at least one plain value'
refused "no array" '{"sampling.samples": 3}' 3 'axes: sampling.samples must be an array'
refused "no axes" '{}' 3 'axes must be an object'
refused "output.dir as an axis" '{"output.dir": ["a", "b"]}' 3 "axes: output.dir is the sweep's to set"
refused "too many points" "{\"sampling.seed\": [$(seq -s, 0 40)], \"sampling.samples\": [$(seq -s, 1 40)]}" 3 'more than 1000 points'
refused "a file that is not there" '{"queries": ["/nowhere/q.jsonl"]}' 3 'point queries-q.jsonl: /nowhere/q.jsonl: cannot open'
refused "the name as an axis" '{"name": ["a", "b"]}' 3 "axes: name is the sweep's to set"

# what only the last point would have found, after hours of the others; always with the sweep's file
last() { refused "$1" "{\"sampling.samples\": [1], $2}" "$3" "sweep.json: point samples-1_$4"; }
last "a template that is not there" '"prompt.template": [null, "none.txt"]' 3 'template-none.txt: .*none.txt: cannot open'
last "a model that is not there" '"model.path": ["model", "none"]' 3 'path-none: .*none: no such model directory'
mkdir "$work/half"; cp "$SRC"/jobs/demo/model/{config,tokenizer}.json "$work/half"
last "half a model" "\"model.path\": [\"model\", \"$work/half\"]" 3 'path-half: .*half: holds neither model.safetensors nor'
last "an unknown device" '"engine.device": ["cpu", "gpu9"]' 2 "device-gpu9: device 'gpu9' is unknown"
$py - "$SRC/jobs/demo/outcomes.jsonl" "$SRC/jobs/demo/anchors.jsonl" "$work/fewer.jsonl" <<'P'
import json, sys
gone = {json.loads(l)["id"] for l in list(open(sys.argv[2]))[::3]}
open(sys.argv[3], "w").writelines(l for l in open(sys.argv[1]) if json.loads(l)["id"] not in gone)
P
last "outcomes that longer prompts need" "\"outcomes\": [\"$work/fewer.jsonl\"], \"prompt.anchors\": [0, 8]" 3 'outcomes-fewer.jsonl_anchors-8: .*fewer.jsonl: no outcome of model'
bad_file() { # WHAT KEY VALUE WORDS
  echo "{\"job\": \"$demo\", \"$2\": \"$3\", \"axes\": {\"sampling.samples\": [1]}}" >"$work/bad.json"
  out=$("$BIN/scope-grid" run "$work/bad.json" 2>&1); same "exit code: $1" $? 3
  one_line "$1" "$out"; has "$1" "$out" "bad.json: $4"
}
bad_file "an empty dir" dir "" "dir is empty"
bad_file "a night in dir" dir "$work/{night}" "the sweep's folder .*/\{night\} holds \{night\}"
[ ! -e "$work/{night}" ] || fail "a night in dir: a folder was made"

# a value that stands twice makes two points and is computed once
echo "{\"job\": \"$demo\", \"dir\": \"double\", \"axes\": {\"sampling.temperature\": [0.3, 0.30], \"prompt.anchors\": [4]}}" >"$work/double.json"
out=$("$BIN/tests/sim_grid" "$work/double.json" 2>&1); same "exit code of a value that stands twice" $? 0
has "a value that stands twice" "$out" "point temperature-0.3_anchors-4_1 cells 512 computed 512 taken 0$"
same "segments of a value that stands twice" "$("$BIN/tests/list_cells" "$work/double/group_anchors-4" | sort -n | uniq -c | awk '$1 != 1' | wc -l)" 0
finish
