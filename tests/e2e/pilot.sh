#!/usr/bin/env bash
# scope-grid pilot: its numbers are those that NumPy computes from the two results files it leaves; the same from two
# ranks, after a kill, and when asked again; the queries are those of smallest hash; one clear line for what is wrong.
# pilot.sh readme: the demo's pilot says what jobs/README.md shows of it.
. "$(dirname "$0")/../mpi/lib.sh"
# The jobs have the number of samples that jobs/README.md shows, and says of each of them.
shown=$(sed -n '/^    \$ .*scope-grid pilot/,/^$/p' "$SRC/jobs/README.md" | sed 's/^    //')
n=$(sed -n 's/^ *stratified  *draws, sampling.samples \([0-9]*\):.*/\1/p' <<<"$shown")
has "jobs/README.md" "$n" '^[0-9]+$'
for name in demo/job nightly scope-4b; do
  same "samples of jobs/$name.json" "$("$python" -c 'import json, sys
s = json.load(open(sys.argv[1]))["sampling"]
print(s["samples"] if s.get("draws", "stratified") == "stratified" else s)' "$SRC/jobs/$name.json")" "$n"
  has "jobs/README.md" "$(cat "$SRC/jobs/README.md")" "^- \`$name.json\`: $n[ ,.]"
done
has "jobs/sweep.json" "$(cat "$SRC/jobs/sweep.json")" "\"sampling.samples\": \[[^]]*\b$n\b"
if [ "${1:-}" = readme ]; then
  command=$(sed -n 's/^\$ build\///p' <<<"$shown")
  out=$(cd "$SRC" && "$BIN"/$command --quiet --device cpu --dir "$work/demo-pilot") || fail "$command"
  still() { sed -E 's/, in [^ ]*$//; s/at most [^ ]+ hours/at most some hours/; /^\$/d; /^$/d'; }
  same "jobs/README.md: $command" "$(still <<<"$out")" "$(still <<<"$shown")"
  finish
fi
"$python" "$SRC/tests/e2e/slice.py" "$SRC/jobs/demo" "$work/job" 16 2 || exit 1
job="$work/job/job.json"
pilot() { "$BIN/scope-grid" pilot "$job" --quiet --cells 20 --set engine.max_batch_tokens=256 --set calibration.anchors=3 "$@"; }
# all but what depends on the clock
still() { "$python" -c 'import json, sys; d = json.load(sys.stdin); [d[k].pop("seconds_at_most") for k in ("independent", "stratified")]; print(json.dumps(d, sort_keys=True))'; }

want=$(pilot --json | still); same "exit code" "${PIPESTATUS[0]}" 0
has "the pilot" "$want" '"cells": 20, .*"models": 2, .*"queries": 10, "samples": 16'
out=$(pilot); same "exit code for people" $? 0
has "for people" "$out" "^20 cells of 10 queries x 2 models, 16 samples each, in $work/job/run-pilot$"
has "for people" "$out" "stratified +draws, sampling.samples [0-9]+: .* tokens, prompts included; at most .* hours"

"$python" - "$work/job" "$want" <<'P' || fail "the pilot's numbers"
import json, math, sys, itertools
import h5py, numpy as np
dir, want = sys.argv[1], json.loads(sys.argv[2])
sets = [h5py.File(f"{dir}/run-pilot/points/seed-{seed}/results.h5") for seed in (1, 0)]
known = [json.loads(l)["id"] for l in open(f"{dir}/queries.jsonl")]
picked = [s.decode() if isinstance(s, bytes) else s for s in sets[0]["query"][()]]
assert len(picked) == 10 and picked == [q for q in known if q in picked], picked
try:
    import xxhash
    smallest = sorted(known, key=lambda q: xxhash.xxh3_64_intdigest(q))[:10]
    assert set(smallest) == set(picked), (smallest, picked)
except ImportError:
    pass
columns = {"p_correct": "sample_p_yes", "votes": "sample_correct", "length": "sample_length", "bill": "sample_length"}
for name, column in columns.items():
    a, b = (np.where(f["sample_correct"][()] >= 0, f[column][()].astype(float), np.nan).reshape(20, 8) for f in sets)
    mean = (np.nanmean(a, 1) + np.nanmean(b, 1)) / 2
    variance = {}
    for n in (1, 2, 4, 8):
        x, y = (np.nanmean(s.reshape(20, -1, n), axis=2) for s in (a, b))
        apart = x[:, :, None] - y[:, None, :]
        if name == "length":
            below = np.sort(np.abs(apart / mean[:, None, None]).ravel())
            below = below[~np.isnan(below)]
            variance[n] = below[math.ceil(0.6827 * len(below)) - 1] ** 2 / 2
        else:
            variance[n] = np.mean(np.nanmean(apart**2 / 2, axis=(1, 2)))
        if name == "bill":
            variance[n] /= np.mean(mean) ** 2 * len(known)
    for n in (1, 2, 4, 8):
        for kind, v in (("stratified", variance[n]), ("independent", variance[1] / n)):
            got = want[kind][name]["two_in_three_below" if name == "length" else "standard_error"][str(n)]
            assert math.isclose(got, math.sqrt(v), rel_tol=1e-6), (name, n, kind, got, math.sqrt(v))
    tolerance = {"p_correct": 0.02, "length": 0.1}.get(name)
    if tolerance:
        assert want["independent"][name]["samples"] == max(1, math.ceil(variance[1] / tolerance**2))
        enough = [n for n in (1, 2, 4, 8) if variance[n] <= tolerance**2]
        assert want["stratified"][name]["samples"] == (enough[0] if enough else 8 * math.ceil(variance[8] / tolerance**2))
for kind in ("independent", "stratified"):
    n = max(want[kind][name]["samples"] for name in ("p_correct", "length"))
    assert want[kind]["samples"] == n
    assert math.isclose(want[kind]["tokens"], 32 * (want["prompt_tokens"] + n * want["output_tokens_a_sample"]), rel_tol=1e-6)
P
tight=$(pilot --json --tolerance-length 0.001 --usd-per-hour 3)
has "a tight tolerance" "$tight" '"stratified": \{"samples": [0-9]{4,}, .*"usd_at_most"'

has "a tolerance of the bill" "$(pilot --tolerance-bill 0.0001)" 'bill +independent .* [0-9]{3,} for 0.0001'

# two ranks, killed and started again
two() { mpirun -q -n 2 --oversubscribe --bind-to none "$BIN/scope-grid" pilot "$job" --quiet --cells 20 --set engine.max_batch_tokens=256 --set calibration.anchors=3 --dir "$work/two" --json; }
launch 2 "$BIN/scope-grid" pilot "$job" --quiet --cells 20 --set engine.max_batch_tokens=256 --set calibration.anchors=3 --dir "$work/two" --json >/dev/null 2>&1 &
pid=$!
until_busy "$work/two/points/group" 1
kill_ranks $pid
same "the pilot on two ranks, after a kill" "$(two | still)" "$want"

# another pilot in the same folder; wrong options
out=$(pilot --set sampling.temperature=0.5 2>&1); same "exit code of another pilot there" $? 6
one_line "another pilot there" "$out"
has "another pilot there" "$out" "its job differs in sampling.temperature.*--fresh"
out=$(pilot --set sampling.temperature=0 --fresh); same "exit code of a greedy pilot" $? 0
has "a greedy pilot" "$out" "stratified +draws, sampling.samples 1:"
out=$(pilot --tolerance-p 0 2>&1); same "exit code of no tolerance" $? 2
one_line "no tolerance" "$out"
out=$("$BIN/scope-grid" pilot "$work/none.json" 2>&1); same "exit code without a job" $? 3
one_line "without a job" "$out"
finish
