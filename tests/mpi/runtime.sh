#!/usr/bin/env bash
# Who computed what, on what, is in results.h5: of ranks, and of processes that know no others. The first line says the
# devices, and so does status while the run goes on.
. "$(dirname "$0")/lib.sh"
"$python" -c 'import h5py' 2>/dev/null || { echo "SKIP: no h5py"; exit 77; }
job="$demo"
sim="$BIN/tests/sim_grid"
# who RUN: "ranks cells, device, hosts, energy" of /runtime
who() {
  "$python" - "$work/$1/results.h5" <<'P'
import sys, h5py, numpy as np
r = h5py.File(sys.argv[1])["runtime"]
cells, text = r["rank_cells"][:], lambda name: ",".join(sorted({v.decode() for v in r[name][:]}))
assert len(cells) == r.attrs["ranks"] and cells.min() > 0 and cells.sum() == r.attrs["cells"], list(cells)
assert (r["rank_output_tokens"][:].sum() == r.attrs["output_tokens"] > 0) and (r["rank_busy_seconds"][:] > 0).all()
assert np.isnan(r["rank_energy"][:]).all() and np.isnan(r.attrs["energy"]) and np.isnan(r["read_rate"][:]).all()
print(len(cells), cells.sum(), text("device"), text("host"))
P
}
three_ranks() {
  out=$(ranks 3 "$sim" "$job" --set output.dir="$work/ranks" --fresh --step-us "$1" --progress 2>&1)
  got=$(who ranks 2>&1)
  [ "$got" = "3 512 simulated device $(hostname)" ]
}
in_time three_ranks || fail "of three ranks: $got"
has "the first line" "$(head -n 1 <<<"$out")" '^scope-grid: 3 ranks on 3 x simulated device$'

three_tasks() { # who comes when all is done is none of them
  rm -rf "$work/array"
  for i in 1 2 3; do
    "$sim" "$job" --set output.dir="$work/array" --array --step-us "$1" >"$work/out$i" 2>&1 &
  done
  wait
  got=$(who array 2>&1)
  [ "$got" = "3 512 simulated device $(hostname)" ]
}
in_time three_tasks || fail "of three tasks: $got"
# a run that begins anew forgets them
"$sim" "$job" --set output.dir="$work/array" --fresh >/dev/null 2>&1
same "after --fresh" "$(who array)" "1 512 simulated device $(hostname)"
same "notes after --fresh" "$(find "$work/array/shards" -type f 2>/dev/null | wc -l)" 0

launch 2 "$sim" "$job" --set output.dir="$work/slow" --step-us 200000 --steps 1000 >"$work/log" 2>&1 &
pid=$!
told() { status=$("$BIN/scope-grid" status "$work/slow" 2>&1); grep -q 'devices: ' <<<"$status"; }
soon told
has "status" "$status" '^  devices: 2 x simulated device$'
has "status of a rank" "$status" "^  rank 1 on $(hostname), simulated device: [0-9]+ cells$"
kill "$pid"
wait "$pid"
finish
