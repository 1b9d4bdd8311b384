#!/usr/bin/env bash
# Graded outcomes with the real engine on a slice of the demo, from the outcomes file to the analysis: scores arrive where
# they belong, whole ones change nothing, cells are computed anew only where a prompt shows another yes or no.
. "$(dirname "$0")/../mpi/lib.sh"
"$python" -c 'import h5py' 2>/dev/null || exit 77
"$python" "$SRC/tests/e2e/slice.py" "$SRC/jobs/demo" "$work/job" 4 2 3 || exit 1
job="$work/job/job.json"
grid() { local dir=$1; shift; "$BIN/scope-grid" run "$job" --quiet --set output.dir="$work/$dir" "$@" 2>&1; }
# edit CODE: changes each outcome r; u(r) is a number in [0, 1) that hangs on its question and model
cp "$work/job/outcomes.jsonl" "$work/flags.jsonl"
edit() { "$python" -c "
import json, sys, zlib
def u(r): return zlib.crc32((r['id'] + r['model_name']).encode()) % 1000 / 1000
rows = [json.loads(line) for line in open(sys.argv[1])]
for r in rows:
    $1
open(sys.argv[2], 'w').write(''.join(json.dumps(r) + '\n' for r in rows))" "$work/flags.jsonl" "$work/job/outcomes.jsonl"; }

out=$(grid plain); same "exit code with flags" $? 0
plain=$(digest_of "$out")
has "with flags" "$out" "8 cells and 6 calibration cells, 0 failed, 14 computed in "

edit "r['score'] = float(r.pop('is_correct'))"
out=$(grid plain)
has "scores of 1 and 0 are the same job" "$out" "was done before: digest $plain, .* nothing computed"
same "digest of scores of 1 and 0" "$(digest_of "$(grid ones --since "$work/plain/results.h5")")" "$plain"

# the same yes and no in every prompt: no cell is computed
edit "r['score'] = r['is_correct'] * 0.5 + u(r) / 2"
out=$(grid graded --since "$work/plain/results.h5"); same "exit code with scores" $? 0
has "scores of the same flags" "$out" " 0 failed, 14 taken over, 0 computed"
graded=$(digest_of "$out")
yes=$("$python" -c "
import json
anchors = {json.loads(line)['id'] for line in open('$work/job/anchors.jsonl')}
s = [r['score'] for r in map(json.loads, open('$work/job/outcomes.jsonl')) if r['id'] in anchors]
print(sum(x >= 0.5 for x in s), 'of the anchors. ' + str(len(s)))")
has "plan" "$("$BIN/scope-grid" plan "$job")" "graded     prompts call $yes outcomes correct, those from 0.5 on \(prompt.correct_at\)"
[ "$graded" != "$plain" ] || fail "scores are not in the digest"
same "digest with scores on 2 ranks" "$(digest_of "$(ranks 2 "$BIN/scope-grid" run "$job" --quiet --set output.dir="$work/two" 2>&1)")" "$graded"
has "check" "$("$BIN/scope-grid" check "$work/graded")" "8 cells and 6 calibration cells, 14 present"

# another threshold: the cells whose prompts it changes
out=$(grid strict --since "$work/graded/results.h5" --set prompt.correct_at=0.9)
has "a flag beside a score that the threshold calls otherwise" "$out" "outcomes.jsonl:[0-9]+: score is 0\.[0-9]+ and is_correct is true, but from prompt.correct_at = 0.9 on"
one_line "a flag beside a score that the threshold calls otherwise" "$out"
edit "r['score'] = r.pop('is_correct') * 0.5 + u(r) / 2"
same "digest of scores alone" "$(digest_of "$(grid alone --since "$work/plain/results.h5")")" "$graded"
out=$(grid strict --since "$work/graded/results.h5" --set prompt.correct_at=0.9); same "exit code of another threshold" $? 0
computed=$(grep -Eo '[0-9]+ computed' <<<"$out" | cut -d' ' -f1)
[ "${computed:-0}" -gt 0 ] && [ "$computed" -le 14 ] || fail "another threshold: computed $computed cells"
"$BIN/scope-frontier" "$work/graded/results.h5" -o "$work/out" --no-plots --bootstrap 0 >"$work/said" || fail "the analysis"
has "the analysis" "$(cat "$work/said")" "Frontier \(score in %"

"$python" - "$work" <<'PY' || fail "values"
import csv, json, sys, h5py, numpy as np
work = sys.argv[1]
want = {(o["id"], o["model_name"]): o["score"] for o in map(json.loads, open(work + "/job/outcomes.jsonl"))}
names = {m.get("name", m["id"]): m["id"] for m in json.load(open(work + "/job/portfolio.json"))}
want = {(q, names.get(m, m)): s for (q, m), s in want.items()}
plain, graded, strict = (h5py.File(f"{work}/{d}/results.h5") for d in ("plain", "graded", "strict"))
assert plain.attrs["format_version"] == 2 and graded.attrs["format_version"] == 3
assert not any(n in plain for n in ("true_score", "anchors/score", "calibration/true_score"))
text = lambda d: [s.decode() for s in d[()]]
models = text(graded["model"])
for flags, scores, ids in (("true_correct", "true_score", "query"), ("anchors/correct", "anchors/score", "anchors/anchor"),
                           ("calibration/true_correct", "calibration/true_score", "calibration/anchor")):
    s = np.array([[want[q, m] for m in models] for q in text(graded[ids])])
    assert ((s > 0) & (s < 1)).any() and graded[scores].dtype == np.float64
    assert np.array_equal(graded[scores][()], s) and np.array_equal(strict[scores][()], s), scores
    assert np.array_equal(graded[flags][()], s >= 0.5) and np.array_equal(strict[flags][()], s >= 0.9), flags
    assert np.array_equal(graded[flags][()], plain[flags][()])
for name in ("p_correct", "length_mean", "calibration/p_correct"):  # the estimator saw the same prompts
    assert np.array_equal(graded[name][()], plain[name][()]), name
assert not np.array_equal(strict["p_correct"][()], graded["p_correct"][()])  # and others with another threshold
score, category, own = graded["anchors/score"][()], np.array(text(graded["anchors/category"])), text(graded["anchors/anchor"])
for q, c in enumerate(text(graded["category"])):
    assert np.allclose(graded["anchor_correct"][q], score[category == c].mean(axis=0), rtol=0, atol=1e-15)
for a, name in enumerate(text(graded["calibration/anchor"])):  # each left out of its own baseline
    rest = (category == category[own.index(name)]) & (np.arange(len(own)) != own.index(name))
    assert np.allclose(graded["calibration/anchor_correct"][a], score[rest].mean(axis=0), rtol=0, atol=1e-13)
with open(work + "/out/models.csv", newline="") as f:
    told = {r["model"]: float(r["accuracy"]) for r in csv.DictReader(f)}
for k, m in enumerate(models):
    assert abs(told[m] - graded["true_score"][:, k].mean()) < 1e-9
PY
finish
