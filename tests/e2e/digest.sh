#!/usr/bin/env bash
# The real engine on a slice of the demo: the digest is the same for any number of ranks, any batch size, any
# order of leases, a cache so small that groups are sent back, and after kills; the file opens in xarray. draws.sh: both
# kinds of draws.
. "$(dirname "$0")/../mpi/lib.sh"
"$python" "$SRC/tests/e2e/slice.py" "$SRC/jobs/demo" "$work/job" 5 2 3 || exit 1
job="$work/job/job.json"
run="$work/run"
grid() { local n=$1; shift; ranks "$n" "$BIN/scope-grid" run "$job" --quiet --set output.dir="$run" --fresh "$@" 2>&1; }

out=$("$BIN/scope-grid" run "$job" --quiet --set output.dir="$run" 2>&1)
same "exit code of one rank without mpirun" $? 0
want=$(digest_of "$out")
has "one rank" "$out" "run/results.h5: digest [0-9a-f]{32}, 10 cells and 6 calibration cells, 0 failed, 16 computed in "
for n in 1 2 3 5; do same "digest on $n ranks" "$(digest_of "$(grid "$n" --shuffle-leases "$n")")" "$want"; done
for tokens in 64 4096; do
  same "digest with batches of $tokens tokens" "$(digest_of "$(grid 2 --set engine.max_batch_tokens=$tokens)")" "$want"
done
same "digest with a small cache" "$(digest_of "$(grid 1 --set engine.kv_cache_mib=32)")" "$want"
same "digest with one thread and a cache by measuring" \
  "$(digest_of "$(grid 1 --set engine.threads=1 --set engine.kv_cache_mib=0)")" "$want"
[ "$(digest_of "$(grid 2 --set sampling.seed=2)")" != "$want" ] || fail "another seed gave the same digest"

# anchors by an embedding model, computed by the root: again one digest, and not that of tf-idf
near=(--set prompt.similarity.method=embedding --set prompt.similarity.model="$SRC/jobs/demo/model")
one=$(digest_of "$(grid 1 "${near[@]}")")
same "digest with embeddings on 2 ranks" "$(digest_of "$(grid 2 "${near[@]}")")" "$one"
[ -n "$one" ] && [ "$one" != "$want" ] || fail "embeddings chose the anchors that tf-idf chose"

# kills with the real engine, cells safe one by one; draws.sh has them for both kinds of draws
killed=("$BIN/scope-grid" run "$job" --quiet --set output.dir="$work/killed")
for i in 1 2; do
  launch 2 "${killed[@]}" --segment-seconds 0 >"$work/out" 2>&1 &
  pid=$!
  until_closed "$work/killed" $((i * 3)) $pid
  kill_ranks $pid
done
out=$(ranks 2 "${killed[@]}" 2>&1)
same "exit code after kills" $? 0
same "digest after kills" "$(digest_of "$out")" "$want"
same "cells computed twice" "$("$BIN/tests/list_cells" "$work/killed" | sort | uniq -d | wc -l)" 0
same "cells in segments" "$("$BIN/tests/list_cells" "$work/killed" | wc -l)" 16

# what people and programs read
"$BIN/scope-grid" run "$job" --quiet --set output.dir="$run" --fresh >/dev/null
has "status" "$("$BIN/scope-grid" status "$run" --json)" "\"done\": 16, \"total\": 16, \"failed\": 0, \"digest\": \"$want\""
has "status for people" "$("$BIN/scope-grid" status "$run")" ": done, 16 of 16 cells, 0 failed, digest $want"
has "plan" "$("$BIN/scope-grid" plan "$job")" "10 cells = 5 queries x 2 models, 3 samples each, 2 of 250 anchors"
has "plan of calibration" "$("$BIN/scope-grid" plan "$job")" "calibration 6 cells of 3 anchors, each left out of its own prompt: 3[0-9] % of the work"
has "check" "$("$BIN/scope-grid" check "$run")" "10 cells and 6 calibration cells, 16 present, 0 failed, 0 missing; 16 in segments"
plan=$("$BIN/scope-grid" plan "$job" --json)
has "plan of calibration as JSON" "$plan" '"calibration": \{"anchors": 3, "cells": 6, "share": 0.3[0-9]+\}'
spent=$("$python" -c "import json; print(json.load(open('$run/progress.json'))['prompt_tokens'])")
has "prompt tokens that plan foretold" "$plan" "\"prefill\": $spent,"
if "$python" -c 'import xarray, h5netcdf' 2>/dev/null; then
  "$python" - "$run/results.h5" <<'PY' || fail "xarray"
import sys, numpy as np, xarray as xr
d = xr.open_dataset(sys.argv[1], engine="h5netcdf")
assert dict(d.sizes) == {"query": 5, "model": 2, "sample": 3}, d.sizes
assert d.valid.values.all() and (d.votes_yes + d.votes_no + d.votes_unparsed == 3).all()
p = d.p_correct.values
assert ((p > 0) & (p < 1)).all() and p.std() > 0.01, p
assert np.isclose(d.sample_p_yes.where(d.sample_correct >= 0).mean("sample"), p).all()
assert (d.output_tokens == d.sample_tokens.sum("sample")).all() and (d.prompt_tokens > 0).all()
mean = d.sample_length.where(d.sample_correct >= 0).mean("sample")
assert np.isclose(d.length_mean, mean).all()
cost = (d.prompt_tokens * d.input_price + d.length_mean * d.output_price) / 1e6
assert np.isclose(d.cost, cost, rtol=1e-12).all()
assert ((d.similarity > 0) & (d.similarity < 1)).all()
anchors = xr.open_dataset(sys.argv[1], engine="h5netcdf", group="anchors")
c = xr.open_dataset(sys.argv[1], engine="h5netcdf", group="calibration")
assert dict(anchors.sizes) == {"anchor": 250, "model": 2} and dict(c.sizes) == {"anchor": 3, "model": 2, "sample": 3}
assert set(c.data_vars) == set(d.data_vars) - {"request_price"} - {"input_price", "output_price"}, set(c.data_vars) ^ set(d.data_vars)
assert c.valid.values.all() and ((c.p_correct > 0) & (c.p_correct < 1)).all() and ((c.similarity > 0) & (c.similarity < 1)).all()
own = anchors.sel(anchor=c.anchor)
assert (c.true_correct == own.correct).all() and (c.true_length == own.completion_tokens).all()
# the mean of the category, the anchor itself left out
for a in c.anchor.values:
    rest = anchors.where(anchors.category == anchors.category.sel(anchor=a), drop=True).drop_sel(anchor=a)
    assert np.isclose(c.anchor_correct.sel(anchor=a), rest.correct.mean("anchor")).all(), a
    assert np.isclose(c.anchor_length.sel(anchor=a), rest.completion_tokens.mean("anchor")).all(), a
# what is unknown is masked, by every reader
import shutil, h5py
changed = sys.argv[1] + ".changed"
shutil.copy(sys.argv[1], changed)
with h5py.File(changed, "r+") as f:
    f["prompt_tokens"][0, 0] = f["sample_length"][0, 0, 0] = f["anchors/correct"][0, 0] = f["anchors/prompt_tokens"][0, 0] = -1
m = xr.open_dataset(changed, engine="h5netcdf")
assert "Conventions" not in m.attrs
for name in ("prompt_tokens", "sample_length"):
    flat = d[name].values.ravel()
    assert np.isnan(m[name].values.ravel()[0]) and np.isclose(m[name].mean(), flat[1:].mean()), name
try:
    import netCDF4
except ImportError:
    print("not shown here: netCDF4 (python3-netcdf4 is absent)")
else:
    n = netCDF4.Dataset(changed)
    assert n["prompt_tokens"][:].mask.sum() == n["sample_length"][:].mask.sum() == 1
    assert np.isclose(n["prompt_tokens"][:].mean(), m.prompt_tokens.mean())
    assert n["anchors"]["correct"][:].mask[0, 0] and n["query"][0] == d["query"].values[0]
PY
  # the example of analysis/README.md
  "$python" "$SRC/analysis/cells.py" "$run/results.h5" "$work/cells.csv" >"$work/out" || fail "cells.py: $(cat "$work/out")"
  same "lines of cells.csv" "$(wc -l <"$work/cells.csv")" 11
else
  echo "not shown here: xarray (python3-xarray and python3-h5netcdf are absent)"
fi
finish
