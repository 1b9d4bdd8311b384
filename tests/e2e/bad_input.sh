#!/usr/bin/env bash
# What a user can get wrong is told in one line that names file and place, with an exit code of its kind, and
# leaves no results file.
. "$(dirname "$0")/../mpi/lib.sh"
"$python" -B "$SRC/tests/e2e/slice.py" "$SRC/jobs/demo" "$work/good" 3 2 || exit 1
d="$work/bad"
fresh() { rm -rf "$d"; cp -r "$work/good" "$d"; }
# refused WHAT CODE PATTERN [options]: `scope-grid run` on $d/job.json
refused() {
  local what=$1 code=$2 pattern=$3 out got
  shift 3
  out=$("$BIN/scope-grid" run "$d/job.json" --quiet "$@" 2>&1)
  got=$?
  same "exit code: $what" "$got" "$code"
  one_line "$what" "$out"
  has "$what" "$out" "^scope-grid: "
  has "$what" "$out" "$pattern"
  [ ! -e "$d/run/results.h5" ] && [ ! -e "$d/run/DONE" ] || fail "$what: left results"
}
edit() { "$python" - "$d/$1" "$2" <<'PY'
import json, sys
path, code = sys.argv[1], sys.argv[2]
text = open(path, encoding="utf-8").read()
r = [json.loads(l) for l in text.splitlines()] if path.endswith(".jsonl") else json.loads(text)
exec(code)
with open(path, "w", encoding="utf-8") as f:
    f.write("".join(json.dumps(x) + "\n" for x in r) if path.endswith(".jsonl") else json.dumps(r))
PY
}

# the command line
out=$("$BIN/scope-grid" rum 2>&1); same "exit code: unknown command" $? 2
same "unknown command" "$out" "scope-grid: unknown command rum; did you mean run?"
out=$("$BIN/scope-grid" run 2>&1); same "exit code: no job" $? 2
out=$("$BIN/scope-grid" run job.json --quiett 2>&1); same "exit code: unknown option" $? 2
same "unknown option" "$out" "scope-grid: run: unknown option --quiett; did you mean --quiet?"
for c in run plan status merge tokenize score generate embed parse bench; do
  out=$("$BIN/scope-grid" $c --help 2>&1); same "exit code: $c --help" $? 0
  has "$c --help" "$out" "scope-grid $c"
  has "$c --help" "$out" "--device NAME"
done
same "version" "$("$BIN/scope-grid" --version | cut -d' ' -f1)" "scope-grid"
out=$("$BIN/scope-grid" status "$work" 2>&1); same "exit code: status of no run" $? 3
has "status of no run" "$out" "no run in this folder"
out=$("$BIN/scope-grid" merge "$work/nowhere" 2>&1); same "exit code: merge of nothing" $? 3

# the job file
fresh; rm "$d/job.json"; refused "no job file" 3 "bad/job.json"
fresh; echo '{"name": "x",' >"$d/job.json"; refused "broken JSON" 3 "bad/job.json:[0-9]+:[0-9]+: "
fresh; refused "unknown key" 3 'sampling.temperatur' --set sampling.temperatur=1
fresh; refused "wrong type" 3 'sampling.samples' --set 'sampling.samples="eight"'
fresh; refused "negative number" 3 'sampling.samples' --set sampling.samples=-1
fresh; refused "absurd number" 3 'sampling.top_p' --set sampling.top_p=7
fresh; edit job.json 'del r["model"]'; refused "missing key" 3 'model'
fresh; refused "seconds below zero" 2 "segment-seconds -1: expected a number from 0" --segment-seconds -1
fresh; refused "unknown device" 2 "device 'gpu9' is unknown" --device gpu9

# the data
fresh; rm "$d/queries.jsonl"; refused "no queries" 3 'bad/queries.jsonl'
fresh; edit queries.jsonl 'r[1]["id"] = r[0]["id"]'; refused "duplicate id" 3 'bad/queries.jsonl:2: .*'
# outcomes of other models are passed over, and plan counts them; where a prompt then lacks one, their names are told
fresh; edit outcomes.jsonl 'r.append(dict(r[4], model_name="google/gemini-1.5-flush"))'
has "an unknown model" "$("$BIN/scope-grid" plan "$d/job.json" 2>&1)" ': 1 of "google/gemini-1.5-flush" \(is that "google/gemini-1.5-flash"\?'
edit outcomes.jsonl 'for o in r: o["model_name"] = o["model_name"].replace("gemma", "gamma")'
refused "a model without outcomes" 3 'bad/outcomes.jsonl: no outcome of model "google/gemma-2-2b-it" on anchor .* 253 of "google/gamma-2-2b-it"'
fresh; edit portfolio.json 'del r[1]["output"]'; refused "model without price" 3 'bad/portfolio.json:?.*output'
fresh; : >"$d/queries.jsonl"; refused "empty grid" 3 'bad/queries.jsonl'
# a NUL ends a text here: refused in every file, by line
for f in queries anchors; do
  fresh; edit $f.jsonl 'r[1]["prompt"] = "a\0b"'; refused "a NUL in $f" 3 "bad/$f.jsonl:2:[0-9]+: .*u0000 is not accepted"
done
fresh; edit outcomes.jsonl 'r[2]["id"] = "a\0b"'; refused "a NUL in outcomes" 3 'bad/outcomes.jsonl:3:[0-9]+: .*u0000 is not accepted'
fresh; edit portfolio.json 'r[0]["name"] = "a\0b"'; refused "a NUL in the portfolio" 3 'bad/portfolio.json:[0-9]+:[0-9]+: .*u0000 is not accepted'
fresh; printf '{"id": "a", "prompt": "\xff\xfe"}\n' >"$d/queries.jsonl"; refused "invalid UTF-8" 3 'bad/queries.jsonl:1'
fresh
"$python" -c "import sys; sys.stdout.write('{\"id\": \"a\", \"prompt\": \"' + 'x' * 100_000_000 + '\"}\n')" >"$d/queries.jsonl"
refused "a 100 MB line" 3 'bad/queries.jsonl:1'

# the checkpoint
model() { rm "$d/model"; mkdir "$d/model"; cp "$work/good/model/"* "$d/model/"; }
fresh; rm "$d/model"; refused "no model" 3 'bad/model: no such model directory'
fresh; model; rm "$d/model/tokenizer.json"; refused "no tokenizer" 3 'bad/model/tokenizer.json'
fresh; model; head -c 5000000 "$work/good/model/model.safetensors" >"$d/model/model.safetensors"
refused "cut weights" 3 'bad/model/model.safetensors'
fresh; model; "$python" - "$d/model/config.json" <<'PY'
import json, sys
c = json.load(open(sys.argv[1])); c["rope_scaling"] = {"rope_type": "yarn", "factor": 4.0}; json.dump(c, open(sys.argv[1], "w"))
PY
refused "rope scaling" 4 'bad/model/config.json.*rope_scaling'

# NaN in the weights: noticed at the first logits, before any cell is begun
fresh; model; "$python" - "$d/model/model.safetensors" <<'PY'
import json, struct, sys
with open(sys.argv[1], "r+b") as f:
    n = struct.unpack("<Q", f.read(8))[0]
    head = json.loads(f.read(n))
    name = next(k for k in sorted(head) if k.endswith("norm.weight") and "layers" not in k)
    begin, end = head[name]["data_offsets"]
    f.seek(8 + n + begin)
    f.write(b"\xc0\x7f" * ((end - begin) // 2))
PY
refused "NaN weights" 3 "bad/model: the logits after 1 token are not finite"

# a prompt over the context fails its cells and no other
fresh; edit queries.jsonl 'r[0]["prompt"] = "word " * 9000'
out=$("$BIN/scope-grid" run "$d/job.json" --quiet 2>&1); same "exit code: prompt over the context" $? 10
has "prompt over the context" "$out" "2 of 6 cells failed, the first: query .*, model .*tokens"
has "prompt over the context" "$out" "run/results.h5: digest [0-9a-f]{32}, 6 cells, 2 failed"
has "plan of it" "$("$BIN/scope-grid" plan "$d/job.json")" "2 of 6 prompts leave no room"

# a run that another version has begun: refused with what to do, and --fresh does it
printf 1 | dd of="$d/run/plan.bin" bs=1 seek=6 conv=notrunc status=none
for c in "run $d/job.json --quiet" "check $d/run" "merge $d/run"; do
  out=$("$BIN/scope-grid" $c 2>&1); same "exit code: $c of another version" $? 4
  one_line "$c of another version" "$out"
  has "$c of another version" "$out" "run/plan.bin: written by another version .*--fresh or another output.dir"
done
sed -i 's/"format": 1/"format": 9/' "$d/run/run.json"
out=$("$BIN/scope-grid" run "$d/job.json" --quiet 2>&1); same "exit code: another format" $? 4
has "another format" "$out" "run/run.json: written by another version .*format 9.*--fresh or another output.dir"
"$BIN/scope-grid" run "$d/job.json" --quiet --fresh >"$work/out" 2>&1; same "exit code: begun again" $? 10

# half a run with the same job that a program with another parser of verdicts has begun: its fingerprint differs
rm -r "$d"/run/{DONE,results.h5}
before=$(cat "$d/run/run.json")
sed -i -E 's/("fingerprint": ")[0-9a-f]{32}/\1'"$(printf '%032d' 1)"/ "$d/run/run.json"
[ "$(cat "$d/run/run.json")" != "$before" ] || fail "run.json has no fingerprint"
refused "a run of other verdicts" 6 "bad/run holds another run \(same job, but .*numerics have changed\); .* --fresh to discard"

# under mpirun: one message, every rank ends
fresh; rm "$d/anchors.jsonl"
out=$(ranks 3 "$BIN/scope-grid" run "$d/job.json" --quiet 2>&1); same "exit code under mpirun" $? 3
one_line "under mpirun" "$out"
has "under mpirun" "$out" "^scope-grid: .*bad/anchors.jsonl"
# a node without the model: rank 1 runs where the relative path leads nowhere
fresh; model; mkdir "$work/elsewhere"
out=$(cd "$d" && mpirun -q --oversubscribe --bind-to none -n 1 -wdir "$d" "$BIN/scope-grid" run job.json --quiet : \
  -n 1 -wdir "$work/elsewhere" "$BIN/scope-grid" run job.json --quiet 2>&1); same "exit code: model on one node only" $? 3
one_line "model on one node only" "$out"
has "model on one node only" "$out" "^scope-grid: rank 1 on [^ ]+: model: no such model directory"
[ ! -e "$d/run" ] || fail "model on one node only: a run was begun"
finish
