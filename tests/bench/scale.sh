#!/usr/bin/env bash
# scale.sh [BUILD] [CELLS] [RANKS...]: CELLS (default 1,000,000) on 4, 16, 64, 256 ranks of this machine, on the
# simulated device: what the grid itself costs. Every rank's device holds 64 cells and finishes 16 of them a step;
# a step lasts so long that all ranks together finish about 64,000 cells a second. See scale.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${1:-build}
cells=${2:-1000000}
shift $(($# < 2 ? $# : 2))
[ $# -gt 0 ] || set -- 4 16 64 256
work=$(mktemp -d "${TMPDIR:-/tmp}/sg-scale.XXXXXX")
trap 'rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
job=$(python3 tests/bench/scale_job.py "$work/job" $((cells / 100)) 100)
python3 tests/bench/scale.py head
for n in "$@"; do
  began=$(date +%s.%N)
  mpirun -q -n "$n" --oversubscribe --bind-to none "$build/tests/sim_grid" "$job" --set output.dir="$work/run$n" \
    --slots 64 --step-us $((n * 250)) --stats >"$work/out" || true
  # Open MPI itself may complain while hundreds of ranks leave on two cores; scale.py wants every rank's line.
  python3 tests/bench/scale.py row "$n" "$began" "$(date +%s.%N)" "$work/run$n" <"$work/out"
  rm -rf "$work/run$n"
done
