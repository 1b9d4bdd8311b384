#!/usr/bin/env bash
# fp8.sh [JOB [OPTIONS]] - what fp8 weights do to a job's estimates: runs JOB (the demo's) with the weights of the
# checkpoint, with fp8 weights, and once more with another seed as a yardstick, below runs/fp8/, then compares cell
# by cell. OPTIONS go to every run (--set model.path=..., --device cuda). SG_RUN="mpirun -n 8": how to start a run.
# Started again it goes on where it was. Needs the build that jobs/demo.sh makes, and python3-h5py.
set -euo pipefail
[ $# -eq 0 ] || { job=$(realpath "$1"); shift; }
cd "$(dirname "$0")/.."
: "${job:=jobs/demo/job.json}"
bin=${SG_BUILD:-build} out=$(realpath -m "${SG_OUT:-runs/fp8}")
python=$([ -x /usr/bin/python3 ] && echo /usr/bin/python3 || echo python3)
options=("$@")
run() { # FOLDER SETTINGS...
  local folder=$1
  shift
  ${SG_RUN:-} "$bin/scope-grid" run "$job" --quiet "${options[@]}" "$@" --set output.dir="$out/$folder"
}
run checkpoint --set model.weight_type=checkpoint
run fp8 --set model.weight_type=fp8
seed=$("$python" -c 'import h5py, json, sys
print(json.loads(h5py.File(sys.argv[1])["provenance/job"][()])["sampling"]["seed"] + 1)' "$out/checkpoint/results.h5")
run seed --set model.weight_type=checkpoint --set sampling.seed="$seed"
echo
"$bin/scope-frontier" "$out/checkpoint/results.h5" "$out/fp8/results.h5" "$out/seed/results.h5" --no-plots -o "$out/frontier" |
  sed -n '/^Compared on/,$p'
