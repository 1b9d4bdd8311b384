#!/usr/bin/env bash
# fp8 weights as a user has them: other results than the checkpoint's, the same on any number of ranks and batch
# size; part of the fingerprint, so that nothing mixes with or is taken over from results without them; a sweep over
# them; memory as plan states it; the report of their effect says what can be recomputed. The real engine, few cells.
. "$(dirname "$0")/../mpi/lib.sh"
"$python" -c 'import h5py' 2>/dev/null || { echo "SKIP: no h5py for $python"; exit 77; }
"$python" "$SRC/tests/e2e/slice.py" "$SRC/jobs/demo" "$work/job" 6 2 || exit 1
job="$work/job/job.json"
fp8=(--set model.weight_type=fp8)
grid() { local n=$1 to=$2; shift 2; ranks "$n" "$BIN/scope-grid" run "$job" --quiet --set output.dir="$work/$to" "$@" 2>&1; }

plain=$(digest_of "$(grid 1 plain)")
out=$(grid 1 fp8 "${fp8[@]}"); same "exit code with fp8 weights" $? 0
want=$(digest_of "$out")
[ -n "$want" ] && [ "$want" != "$plain" ] || fail "fp8 weights: digest '$want', without them '$plain'"
same "digest on 2 ranks, small batches" "$(digest_of "$(grid 2 again "${fp8[@]}" --set engine.max_batch_tokens=64)")" "$want"
same "digest with one thread" "$(digest_of "$(grid 1 again --fresh "${fp8[@]}" --set engine.threads=1)")" "$want"
same "digest with the type that is the default" "$(digest_of "$(grid 1 again --fresh --set model.weight_type=checkpoint)")" "$plain"
"$BIN/scope-grid" check "$work/fp8" >/dev/null; same "check" $? 0

# nothing mixes
out=$(grid 1 plain "${fp8[@]}"); same "exit code: fp8 in the folder of another run" $? 6
one_line "fp8 in the folder of another run" "$out"; has "fp8 in the folder of another run" "$out" "$work/plain"
out=$(grid 1 fp8); same "exit code: the checkpoint's in the folder of an fp8 run" $? 6
out=$(grid 1 since "${fp8[@]}" --since "$work/plain/results.h5"); same "exit code: fp8 since other results" $? 0
has "fp8 since other results" "$out" "12 cells, 0 failed, 12 computed"
same "digest of fp8 since other results" "$(digest_of "$out")" "$want"
out=$(grid 1 bad --set model.weight_type=fp4); same "exit code: fp4" $? 3
has "fp4" "$out" 'model.weight_type is "fp4"; expected "checkpoint" or "fp8"'

# a sweep over them: each point is what it is alone, nothing is shared
echo "{\"job\": \"$job\", \"dir\": \"sweep\", \"axes\": {\"model.weight_type\": [\"checkpoint\", \"fp8\"]}}" >"$work/sweep.json"
out=$("$BIN/scope-grid" run "$work/sweep.json" --quiet 2>&1); same "exit code of a sweep" $? 0
same "digests of a sweep" "$(digest_of "$out" | sort | tr '\n' ' ')" "$(printf '%s\n' "$plain" "$want" | sort | tr '\n' ' ')"
same "points computed" "$(grep -c ' 12 computed' <<<"$out")" 2

# the commands on token ids
score() { echo '{"ids": [5, 17, 99, 4, 260]}' | "$BIN/scope-grid" score --model "$SRC/jobs/demo/model" "$@" 2>&1; }
[ "$(score)" != "$(score --weight-type fp8)" ] || fail "score --weight-type fp8 changes nothing"
same "score --weight-type checkpoint" "$(score --weight-type checkpoint)" "$(score)"
out=$(score --weight-type int8); same "exit code: --weight-type int8" $? 2
one_line "--weight-type int8" "$out"; has "--weight-type int8" "$out" "expected checkpoint or fp8"

# memory: the CPU holds bf16 that the codes stand for; a device that keeps codes takes half, and scratch for one weight
weights() { "$@" --json | "$python" -c 'import json, sys; m = json.load(sys.stdin)["memory"]; print(m["weights"], m["workspace"])'; }
same "memory on the CPU" "$(weights "$BIN/scope-grid" plan "$job" --device cpu "${fp8[@]}")" "$(weights "$BIN/scope-grid" plan "$job" --device cpu)"
emulated="$BIN/tests/scope-grid-emu"
if [ -x "$emulated" ]; then
  read -r w0 s0 <<<"$(weights "$emulated" plan "$job" --device cuda)"
  read -r w1 s1 <<<"$(weights "$emulated" plan "$job" --device cuda "${fp8[@]}")"
  read -r saved scratch <<<"$("$python" - "$SRC/jobs/demo/model/config.json" <<'P'
import json, sys
c = json.load(open(sys.argv[1]))
h, f, d = c["hidden_size"], c["intermediate_size"], c["head_dim"]
q, kv = c["num_attention_heads"] * d, c["num_key_value_heads"] * d
maps = [(q + 2 * kv, h), (h, q), (2 * f, h), (h, f)]
print(c["num_hidden_layers"] * sum(n * k - 4 * n for n, k in maps), max(2 * n * k for n, k in maps))
P
)"
  same "weights saved on a device" $((w0 - w1)) "$saved"
  same "scratch for the largest weight" $(((s1 - s0) / 256)) $(((scratch + 255) / 256))
else
  echo "not shown here: memory of a device (no emulated program)"
fi

# the report: seed of its own as the yardstick, numbers as NumPy has them
report=$(SG_BUILD="$BIN" SG_OUT="$work/report" "$SRC/jobs/fp8.sh" "$job" --set engine.threads=2 2>&1); same "exit code of jobs/fp8.sh" $? 0
has "the report" "$report" "settings: model.weight_type: checkpoint -> fp8"
has "the report" "$report" "settings: sampling.seed: 1 -> 2 .another seed: what it changes is noise"
"$BIN/scope-frontier" "$work/plain/results.h5" "$work/fp8/results.h5" "$work/plain/results.h5" --no-plots -o "$work/frontier" >/dev/null
"$python" - "$work" <<'P' || fail "the comparison of fp8 with the checkpoint"
import csv, sys, h5py, numpy as np
work = sys.argv[1]
first, e, nothing = csv.DictReader(open(f"{work}/frontier/compare.csv"))
a, b = (h5py.File(f"{work}/{k}/results.h5") for k in ("plain", "fp8"))
p, q, y = a["p_correct"][()].ravel(), b["p_correct"][()].ravel(), a["true_correct"][()].ravel()
close = lambda x, want: np.testing.assert_allclose(float(x), want, rtol=1e-9, atol=1e-12)
assert e["cells"] == e["known_cells"] == "12" and set(y) == {0, 1}, e
assert e["settings"] == "model.weight_type: checkpoint -> fp8", e
close(e["p_mean_abs_change"], np.mean(np.abs(p - q)))
close(e["p_largest_change"], np.max(np.abs(p - q)))
assert 0 < float(e["p_largest_change"]) < 0.1, e
assert int(e["verdicts_changed"]) == sum((x >= 0.5) != (z >= 0.5) for x, z in zip(p, q))
close(e["length_change"], np.mean(b["length_mean"][()] - a["length_mean"][()]))
assert float(e["brier_low"]) <= float(e["brier_difference"]) <= float(e["brier_high"]), e
close(e["auc_difference"], float(e["auc"]) - float(first["auc"]))
assert [nothing[k] for k in ("settings", "p_largest_change", "verdicts_changed", "auc_difference")] == ["", "0", "0", "0"], nothing
P
finish
