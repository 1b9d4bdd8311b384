#!/usr/bin/env bash
# gpus.sh: which GPU each rank is shown, by srun and by mpirun, in a real Slurm on this machine whose two "GPUs" are device
# files that are no GPUs: CUDA_VISIBLE_DEVICES of every rank is looked at, nothing computes on them.
. "$(dirname "$0")/../mpi/lib.sh"
. "$(dirname "$0")/cluster.sh"
chmod 711 "$work" # munged runs as a user of its own
slurm_start "$work/slurm" 4 /dev/zero,/dev/full
code=$?
[ $code = 0 ] || exit $code
trap 'slurm_stop; cleanup' EXIT

cd "$work" || exit 1
mkdir bin
cat >bin/scope-grid <<WRAP
#!/usr/bin/env bash
[ "\$1" = run ] || exec "$BIN/scope-grid" "\$@"
shift
echo "\${OMPI_COMM_WORLD_RANK:-\$SLURM_PROCID} sees \${CUDA_VISIBLE_DEVICES:-nothing}" >>"$work/seen"
exec "$BIN/tests/sim_grid" "\$@" --step-us 200
WRAP
chmod +x bin/scope-grid
export SCOPE_BIN=$work/bin
want=$(digest_of "$("$BIN/tests/sim_grid" "$demo" --set output.dir="$work/whole" 2>&1)")
# allocate RUN sbatch-options: two ranks with a GPU each, waited for
allocate() {
  local run=$1; shift
  : >seen
  timeout 120 sbatch --wait --ntasks=2 --ntasks-per-node=2 --cpus-per-task=1 --time=10 --output="$work/$run.log" "$@" \
    "$SRC/slurm/scope-grid.sbatch" "$demo" --set "output.dir=$work/$run" >"$work/$run.sbatch" 2>&1
  same "exit code of $run" $? 0
  same "digest of $run" "$(digest_of "$("$BIN/scope-grid" status "$work/$run")")" "$want"
}

# srun passes --gpus-per-task on: each rank is shown its own
SCOPE_LAUNCH=srun allocate srun --gpus-per-task=1
same "GPUs under srun" "$(sort seen | paste -sd' ')" "0 sees 0 1 sees 1"
# the same by a word of `srun --mpi=list` that the user chose
version=$(srun --mpi=list 2>&1 | grep -ow 'pmix_v[0-9]*' | head -n 1)
SCOPE_LAUNCH=srun SCOPE_MPI=${version:-pmix} allocate version --gpus-per-task=1
has "how ranks were started" "$(cat version.log)" "srun --mpi=${version:-pmix} "
same "GPUs under srun with ${version:-pmix}" "$(sort seen | paste -sd' ')" "0 sees 0 1 sees 1"
# under mpirun every rank sees the node's GPUs of the job
SCOPE_LAUNCH=mpirun allocate mpirun --gpus-per-node=2
same "GPUs under mpirun" "$(sort seen | paste -sd' ')" "0 sees 0,1 1 sees 0,1"
# a site without the named PMI: mpirun
SCOPE_MPI=pmi9 allocate other --gpus-per-node=2
has "how ranks were started" "$(cat other.log)" "; mpirun "
finish
