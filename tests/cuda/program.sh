#!/usr/bin/env bash
# program.sh PROGRAM EMULATED CUDA NVML - the program and the cuda device, on a machine with or without a GPU:
#   PROGRAM    scope-grid as built; without a driver `--device cuda` must end with one clear line
#   EMULATED   the same program on the emulated device: a small job over the demo's model, whose results must
#              not depend on the number of ranks or the size of batches
#   CUDA       ON when PROGRAM has the cuda backend
#   NVML       the library of fake_nvml.c
set -euo pipefail
program=$1 emulated=$2 cuda=$3 nvml=$4
here=$(cd "$(dirname "$0")" && pwd)
model=$here/../../jobs/demo/model
[ -e "$model/config.json" ] || { echo "SKIP: $model is not here"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# mpiruns that share a session folder now and then remove it under each other
mkdir "$work/mpi"
export OMPI_MCA_orte_tmpdir_base="$work/mpi"
# Open MPI keeps memory to the end: under ASan, leaks are the unit tests' affair.
export ASAN_OPTIONS="detect_leaks=0:${ASAN_OPTIONS:-}"
fail() { echo "FAILED: $*" >&2; exit 1; }

# 1. without a driver: one line, a status of its own, no crash
if ! [ -e /dev/nvidiactl ]; then
  code=0
  echo '{"ids": [5, 6, 7]}' | "$program" score --model "$model" --device cuda >"$work/out" 2>"$work/err" || code=$?
  lines=$(wc -l <"$work/err")
  [ "$lines" = 1 ] || fail "--device cuda said $lines lines: $(cat "$work/err")"
  if [ "$cuda" = ON ]; then
    [ $code = 11 ] || fail "--device cuda without a driver ended with $code, not 11: $(cat "$work/err")"
    grep -q 'no NVIDIA driver or GPU' "$work/err" || fail "unclear: $(cat "$work/err")"
  else
    [ $code = 2 ] || fail "--device cuda of a build without it ended with $code, not 2: $(cat "$work/err")"
    grep -q "device 'cuda' is unknown to this build" "$work/err" || fail "unclear: $(cat "$work/err")"
  fi
fi

# 2. one digest for 1, 2, 3 ranks and three sizes of batches, however the ranks come by their devices
job=$here/job/job.json
head -n 2 "$here/job/queries.jsonl" >"$work/two.jsonl"
digest() { "$emulated" status "$1" --json | sed -n 's/.*"digest": *"\([0-9a-f]*\)".*/\1/p'; }
# run NAME RANKS BATCH_TOKENS OPTION...: in RUN, what it said in LOG
run() {
  local name=$1 ranks=$2 batch=$3 launch=()
  shift 3
  [ "$ranks" = 1 ] || launch=(mpirun -q --oversubscribe --bind-to none -n "$ranks" ${bind:+"$bind"})
  "${launch[@]}" "$emulated" run "$job" --set output.dir="$work/$name" --set engine.max_batch_tokens="$batch" \
    --set queries="$work/two.jsonl" "$@" \
    >"$work/$name.log" 2>&1
}
same() { # NAME: its digest is the first one's
  local got
  got=$(digest "$work/$1")
  [ "$got" = "$first" ] || fail "digest $got of $1, $first of one rank"
}
# devices NAME: "uuid joules" of every rank, from results.h5
devices() {
  /usr/bin/python3 - "$work/$1/results.h5" <<'P'
import sys, h5py
r = h5py.File(sys.argv[1])["runtime"]
print(*[f"{u.decode()} {j:g}" for u, j in zip(r["device_uuid"][:], r["rank_energy"][:])], sep=", ")
P
}
run alone 1 256 || fail "one rank: $(cat "$work/alone.log")"
first=$(digest "$work/alone")
[ ${#first} = 32 ] || fail "no digest: '$first'"
grep -q 'scope-grid: 1 rank on 1 x CUDA emulated on the CPU, 16 GiB, driver emulated, .*Tflop/s' "$work/alone.log" ||
  fail "the device is not told: $(cat "$work/alone.log")"
command -v mpirun >/dev/null || exit 0

# each rank is shown one device by its launcher; what it is called there is no matter. Energy by the driver's library.
bind=$work/bind
cat >"$bind" <<'S'
#!/bin/sh
export CUDA_VISIBLE_DEVICES=${ONLY_DEVICE:-$OMPI_COMM_WORLD_LOCAL_RANK}
exec "$@"
S
chmod +x "$bind"
EMU_DEVICES=4 LD_LIBRARY_PATH=$(dirname "$nvml") run bound 2 64 || fail "bound: $(cat "$work/bound.log")"
same bound
bind=
# 3 ranks on 2 devices, the KV cache by measuring, steps in two halves side by side
EMU_DEVICES=2 EMU_MEMORY_MIB=300 run shared 3 100 --oversubscribe --set engine.kv_cache_mib=0 --set engine.overlap_rows=16 ||
  fail "shared: $(cat "$work/shared.log")"
same shared
grep -q '3 ranks on 2 x CUDA' "$work/shared.log" || fail "not told: $(cat "$work/shared.log")"
if /usr/bin/python3 -c 'import h5py' 2>/dev/null; then
  got=$(devices bound)
  [[ $got =~ ^emu-0\ [0-9.]+,\ emu-1\ [0-9.]+$ ]] || fail "devices and energy of bound ranks: $got"
  got=$(devices shared)
  [ "$got" = "emu-0 nan, emu-1 nan, emu-0 nan" ] || fail "devices of three ranks: $got"
fi
/usr/bin/python3 - "$work" <<'P' || fail "metrics.jsonl"
import json, sys
last = lambda run: json.loads(open(f"{sys.argv[1]}/{run}/metrics.jsonl").read().splitlines()[-1])
bound, shared = last("bound"), last("shared")
assert bound["joules"] == sum(bound["rank_joules"]) > 0 and len(bound["rank_joules"]) == 2, bound
assert bound["watts"] == 825 and bound["celsius"] == 61, bound
assert shared["joules"] is None and shared["watts"] is None and shared["rank_joules"] is None, shared
P

# 3. two ranks on one device are refused before anything is looked at: here not even a model is
# ends STATUS RANKS BATCH OPTION...: with one line; 2 is the refusal, 3 the model that is missing
ends() {
  local want=$1 code=0
  shift
  run refused "$@" --set model.path=/no/such/model || code=$?
  [ $code = "$want" ] || fail "ended with $code, not $want: $(cat "$work/refused.log")"
  [ "$(wc -l <"$work/refused.log")" = 1 ] || fail "not one line: $(cat "$work/refused.log")"
}
EMU_DEVICES=1 ends 2 2 64
grep -q "ranks 0 and 1 on .* would share one device, CUDA emulated on the CPU (emu-0): start fewer ranks, give each one its own (srun --gpus-per-task=1), or add --oversubscribe" \
  "$work/refused.log" || fail "unclear: $(cat "$work/refused.log")"
EMU_DEVICES=2 ends 2 4 64
bind=$work/bind
ONLY_DEVICE=1 EMU_DEVICES=2 ends 2 3 64
grep -q 'ranks 0, 1 and 1 more on .*(emu-1)' "$work/refused.log" || fail "unclear: $(cat "$work/refused.log")"
bind=
EMU_DEVICES=2 ends 3 2 64
EMU_DEVICES=1 ends 3 2 64 --set engine.oversubscribe=true
EMU_DEVICES=1 ends 3 2 64 --root-only # a root that does not compute needs no device
EMU_DEVICES=2 ends 2 4 64 --root-only
grep -q 'ranks 1 and 3 on ' "$work/refused.log" || fail "not the ranks that compute: $(cat "$work/refused.log")"
EMU_DEVICES=1 ends 3 3 64 --device cpu # hosts have no such limit

# 4. processes of an array that know nothing of each other: each takes the device that its launcher shows it
for k in 0 1; do
  CUDA_VISIBLE_DEVICES=$k EMU_DEVICES=2 "$emulated" run "$job" --set output.dir="$work/array" --array \
    --set queries="$work/two.jsonl" \
    >"$work/member$k.log" 2>&1 &
done
for k in 0 1; do wait -n || fail "of an array: $(cat "$work"/member?.log)"; done
same array

# 5. no device at all: one line, and the status of a device that is not there
EMU_DEVICES=0 ends 11 2 64
grep -q 'cuda: no NVIDIA driver or GPU can be used here' "$work/refused.log" || fail "unclear: $(cat "$work/refused.log")"

# "auto" takes a GPU where there is one
chosen() { "$emulated" plan "$job" --json --set engine.device=auto | sed -n 's/.*"device": "\([^"]*\)".*/\1/p'; }
[ "$(EMU_DEVICES=1 chosen)" = "CUDA emulated on the CPU" ] || fail "auto took $(EMU_DEVICES=1 chosen)"
[ "$(EMU_DEVICES=0 chosen)" != "CUDA emulated on the CPU" ] || fail "auto took a device that is not there"
EMU_DEVICES=1 ends 2 2 64 --device auto

# 6. in float32: answers, verdicts and p_correct are the CPU's, to its rounding, at answers so long that they end in a
# verdict; at short ones, one digest for ranks and batches
head -n 1 "$here/job/queries.jsonl" >"$work/one.jsonl"
wide=(--set model.compute_type=float32)
one=(--set queries="$work/one.jsonl" --set sampling.max_new_tokens=60)
EMU_DEVICES=1 run f32 1 256 "${wide[@]}" "${one[@]}" || fail "float32: $(cat "$work/f32.log")"
run host 1 256 --device cpu "${one[@]}" || fail "cpu: $(cat "$work/host.log")"
run host-f32 1 256 --device cpu "${wide[@]}" "${one[@]}" || fail "cpu, float32: $(cat "$work/host-f32.log")"
[ "$(digest "$work/host")" = "$(digest "$work/host-f32")" ] || fail "float32 by name is not what the CPU does by itself"
if /usr/bin/python3 -c 'import h5py' 2>/dev/null; then
  /usr/bin/python3 - "$work" <<'P' || fail "float32 beside the CPU"
import sys, h5py, numpy as np
host, gpu = (h5py.File(f"{sys.argv[1]}/{k}/results.h5") for k in ("host", "f32"))
assert (host["votes_yes"][:] + host["votes_no"][:]).sum() > 0, "no verdicts to compare"
for name in ("sample_correct", "sample_finish", "sample_length", "sample_tokens", "votes_yes", "votes_no", "valid"):
    assert np.array_equal(host[name][:], gpu[name][:]), name
for name in ("p_correct", "sample_p_yes"):
    a, b = host[name][:], gpu[name][:]
    assert np.isfinite(a).any() and np.allclose(a, b, rtol=0, atol=1e-5, equal_nan=True), (name, a, b)
P
fi
# a folder of the other kind is refused, results of it are computed anew
code=0
EMU_DEVICES=1 run f32 1 256 "${one[@]}" || code=$?
[ $code = 6 ] || fail "bf16 in the folder of a float32 run ended with $code: $(cat "$work/f32.log")"
EMU_DEVICES=1 run again 1 256 --since "$work/alone/results.h5" --set queries="$work/one.jsonl" "${wide[@]}" || fail "--since: $(cat "$work/again.log")"
grep -q ' 2 computed' "$work/again.log" || fail "float32 took bf16 results for its own: $(tail -n 1 "$work/again.log")"
EMU_DEVICES=2 run f32-two 2 40 "${wide[@]}" --set queries="$work/one.jsonl" || fail "float32 on two ranks: $(cat "$work/f32-two.log")"
of_f32=$(digest "$work/again")
[ "$(digest "$work/f32-two")" = "$of_f32" ] || fail "digest $(digest "$work/f32-two") of two ranks in float32, $of_f32 of one"
EMU_DEVICES=1 run named 1 256 --set model.compute_type=bf16 --since "$work/alone/results.h5" || fail "bf16: $(cat "$work/named.log")"
same named
grep -q ' 0 computed' "$work/named.log" || fail "bf16 by name was computed anew: $(tail -n 1 "$work/named.log")"
# one line each of score and plan: the option, twice the KV cache
score() { echo '{"ids": [5, 6, 7, 8]}' | "$emulated" score --model "$model" "$@"; }
[ "$(score --device cuda)" = "$(score --device cuda --compute-type bf16)" ] || fail "score --compute-type bf16"
[ "$(score --device cuda)" != "$(score --device cuda --compute-type float32)" ] || fail "score --compute-type float32 changes nothing"
code=0
score --compute-type int8 >"$work/log" 2>&1 || code=$?
[ $code = 2 ] && grep -q 'expected auto, bf16 or float32' "$work/log" || fail "--compute-type int8: $code, $(cat "$work/log")"
of() { "$emulated" plan "$job" --json --set engine.kv_cache_mib=32 "$@" | sed -n 's/.*"kv_pages": \([0-9]*\).*/\1/p'; }
[ "$(of)" = $((2 * $(of "${wide[@]}"))) ] || fail "$(of) pages in bf16, $(of "${wide[@]}") in float32"

# 7. the KV cache by measuring follows the device's memory
pages() { "$emulated" plan "$job" --json --set engine.kv_cache_mib="$1" | sed -n 's/.*"kv_pages": \([0-9]*\).*/\1/p'; }
few=$(EMU_MEMORY_MIB=64 pages 0) many=$(EMU_MEMORY_MIB=16384 pages null) fixed=$(EMU_MEMORY_MIB=64 pages 32)
if [ "$few" -lt 100 ] || [ "$few" -ge "$many" ]; then fail "$few pages in 64 MiB, $many in 16 GiB"; fi
[ "$fixed" = 1024 ] || fail "$fixed pages of 32 MiB"
code=0
EMU_MEMORY_MIB=16 "$emulated" plan "$job" --set engine.kv_cache_mib=0 >"$work/log" 2>&1 || code=$?
[ $code = 8 ] || fail "no room ended with $code: $(cat "$work/log")"
grep -q 'no room for a KV cache on CUDA emulated' "$work/log" || fail "unclear: $(cat "$work/log")"

# 8. heads that the attention kernels have no room for: `plan` and `run` say so by the model's name
if python3 "$here/../bench/make_random_model.py" "$work/wide" --shape custom --head-dim 136 --vocab 4096 >"$work/log" 2>&1; then
  cp "$model/tokenizer.json" "$work/wide/"
  for command in plan run; do
    code=0
    "$emulated" $command "$job" --set model.path="$work/wide" --set output.dir="$work/wide-$command" \
      >"$work/out" 2>"$work/err" || code=$?
    [ $code = 4 ] || fail "$command with head_dim 136 ended with $code: $(cat "$work/err")"
    [ "$(tail -n 1 "$work/err")" = "scope-grid: $work/wide: head_dim 136: the attention of device cuda reaches to 128" ] ||
      fail "unclear: $(cat "$work/err")"
  done
fi
echo "digest $first with 1, 2 and 3 ranks"
