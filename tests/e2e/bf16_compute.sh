#!/usr/bin/env bash
# bf16 on the CPU as a user has it: other results than float32's, the same on any number of ranks, threads and batch
# size; part of the fingerprint, so that nothing mixes with or is taken over from float32; half the KV cache by the
# plan. The real engine, few cells.
. "$(dirname "$0")/../mpi/lib.sh"
"$python" "$SRC/tests/e2e/slice.py" "$SRC/jobs/demo" "$work/job" 6 2 || exit 1
job="$work/job/job.json"
bf16=(--device cpu --set model.compute_type=bf16)
grid() { local n=$1 to=$2; shift 2; ranks "$n" "$BIN/scope-grid" run "$job" --quiet --set output.dir="$work/$to" "$@" 2>&1; }

plain=$(digest_of "$(grid 1 plain --device cpu)")
out=$(grid 1 bf16 "${bf16[@]}"); same "exit code of bf16" $? 0
want=$(digest_of "$out")
[ -n "$want" ] && [ "$want" != "$plain" ] || fail "bf16: digest '$want', float32: '$plain'"
same "digest on 2 ranks, small batches" "$(digest_of "$(grid 2 again "${bf16[@]}" --set engine.max_batch_tokens=64)")" "$want"
same "digest with one thread" "$(digest_of "$(grid 1 again --fresh "${bf16[@]}" --set engine.threads=1)")" "$want"
same "digest of float32 by name" "$(digest_of "$(grid 1 again --fresh --device cpu --set model.compute_type=float32)")" "$plain"
"$BIN/scope-grid" check "$work/bf16" >/dev/null; same "check" $? 0

# nothing mixes
out=$(grid 1 plain "${bf16[@]}"); same "exit code: bf16 in the folder of a float32 run" $? 6
one_line "bf16 in the folder of a float32 run" "$out"; has "bf16 in the folder of a float32 run" "$out" "$work/plain"
out=$(grid 1 since "${bf16[@]}" --since "$work/plain/results.h5"); same "exit code: bf16 since float32" $? 0
has "bf16 since float32" "$out" "12 cells, 0 failed, 12 computed"
same "digest of bf16 since float32" "$(digest_of "$out")" "$want"
out=$(grid 1 more "${bf16[@]}" --since "$work/bf16/results.h5"); has "bf16 since bf16" "$out" " 0 computed"

# memory and the commands on token ids
pages() { "$BIN/scope-grid" plan "$job" --json --device cpu --set engine.kv_cache_mib=32 "$@" | sed -n 's/.*"kv_pages": \([0-9]*\).*/\1/p'; }
same "KV pages of 32 MiB in bf16" "$(pages "${bf16[@]}")" $((2 * $(pages)))
score() { echo '{"ids": [5, 17, 99, 4, 260]}' | "$BIN/scope-grid" score --model "$SRC/jobs/demo/model" --device "$@" 2>&1; }
[ "$(score cpu)" != "$(score cpu --compute-type bf16)" ] || fail "score --compute-type bf16 changes nothing"
same "score --compute-type float32" "$(score cpu --compute-type float32)" "$(score cpu)"
same "score through the guard" "$(score guard --compute-type bf16)" "$(score cpu --compute-type bf16)"
out=$(score cpu --compute-type int8); same "exit code: --compute-type int8" $? 2
one_line "--compute-type int8" "$out"; has "--compute-type int8" "$out" "expected auto, bf16 or float32"
finish
