#!/usr/bin/env bash
# sweep.sh: scope-grid.sbatch with a sweep. No Slurm: scontrol and srun are stand-ins, an allocation is a call of the
# script. It is stopped within a pass and goes on until all points are done, with the digests of an undisturbed
# sweep; then it ends at once; attempts that add nothing end it; an array is refused.
. "$(dirname "$0")/../mpi/lib.sh"
script=$SRC/slurm/scope-grid.sbatch
mkdir "$work/bin"
cat >"$work/bin/scope-grid" <<WRAP
#!/usr/bin/env bash
[ "\$1" = run ] || exec "$BIN/scope-grid" "\$@"
shift
exec "$BIN/tests/sim_grid" "\$@" \$(cat "$work/speed")
WRAP
cat >"$work/bin/scontrol" <<WRAP
#!/usr/bin/env bash
case \$1 in
  show) printf 'JobId=1\n   JobState=RUNNING Reason=None\n   Command=%s\n' "$script" ;;
  requeue) kill -9 \$PPID ;; # Slurm ends the script
esac
WRAP
# Open MPI would ask Slurm for the nodes of a job with an id.
cat >"$work/bin/srun" <<'WRAP'
#!/usr/bin/env bash
while [ "${1#--}" != "$1" ]; do shift; done
for name in ${!SLURM_@}; do unset "$name"; done
exec mpirun -q -n 2 --oversubscribe --bind-to none "$@"
WRAP
chmod +x "$work"/bin/*
cat >"$work/sweep.json" <<J
{"job": "$demo", "dir": "out",
 "axes": {"prompt.anchors": [4, 5], "sampling.temperature": [0.3, 0.6], "sampling.samples": [2, 4]}}
J
speed() { echo "$*" >"$work/speed"; }
# allocate RESTARTS: one allocation, in the foreground
allocate() {
  PATH=$work/bin:$PATH SLURM_JOB_ID=1 SLURM_JOB_NODELIST=here SLURM_RESTART_COUNT=$1 SCOPE_BIN=$work/bin \
    SCOPE_LAUNCH=srun SCOPE_MAX_IDLE_ATTEMPTS=2 exec bash "$script" "$work/sweep.json" 2>&1
}
digests() { grep -Eo '"digest":\s*"[0-9a-f]+"' "$1/index.json"; }
segments() { find "$work/out" -name '*.seg' 2>/dev/null | wc -l; }

speed --step-us 100
sed 's/"out"/"whole"/' "$work/sweep.json" >"$work/whole.json"
"$BIN/tests/sim_grid" "$work/whole.json" >/dev/null 2>&1; same "exit code of the undisturbed sweep" $? 0

# stopped twice in its first group
speed --step-us 100000 --slots 4 --segment-seconds 0.1
for n in 0 1; do
  had=$(segments)
  (allocate $n) >"$work/log" 2>&1 &
  batch=$!
  more() { [ "$(segments)" -gt $((had + 2)) ]; }
  soon more || fail "no segments in allocation $n: $(cat "$work/log")"
  kill -s USR1 "$batch"
  wait "$batch" 2>/dev/null
  has "allocation $n" "$(cat "$work/log")" 'exit code 75 after USR1: [1-9][0-9]* cells more in points, [1-9][0-9]* segments more in all, [1-9][0-9]* done; queued again \(requeue\)'
  same "idle attempts after allocation $n" "$(cat "$work/out/idle-attempts")" 0
done
has "a sweep between two allocations" "$("$BIN/scope-grid" status "$work/out")" '^  anchors-4_temperature-0.3_samples-2: stopped, [1-9][0-9]* of 512 cells'

# attempts that add nothing: the first is tried again, the second is the end
speed --lose-device 0 --steps 1000 --step-us 10000
(allocate 2) >"$work/log" 2>&1
has "an idle attempt" "$(cat "$work/log")" 'exit code 11: .* queued again'
(allocate 3) >"$work/log" 2>&1; same "exit code of the last idle attempt" $? 1
has "the last idle attempt" "$(cat "$work/log")" 'giving up: 2 attempts in a row added no cell'

# to the end, and once more
speed --step-us 100
for n in 4 5; do
  (allocate $n) >"$work/log" 2>&1; same "exit code of the finished sweep" $? 0
  has "the end" "$(cat "$work/log")" 'finished: all points of .*/out/index.json \(4096 cells\), exit code 0'
done
same "digests of the points" "$(digests "$work/out")" "$(digests "$work/whole")"

# points with failed cells are done, too; a sweep that is wrong is not tried again
speed --step-us 100 --fail-every 50 --fresh
(allocate 0) >"$work/log" 2>&1; same "exit code of a sweep with failed cells" $? 10
has "a sweep with failed cells" "$(cat "$work/log")" 'finished: all points .* exit code 10'
out=$(SLURM_ARRAY_TASK_ID=0 SLURM_ARRAY_JOB_ID=1 allocate 0); same "exit code of an array" $? 2
has "an array" "$out" 'sweep.json is a sweep, which no array can run: use scope-grid.sbatch$'
one_line "an array" "$out"
sed -i 's/prompt.anchors/prompt.anchor/' "$work/sweep.json"
out=$(allocate 0); same "exit code of a wrong sweep" $? 2
has "a wrong sweep" "$out" 'point .*unknown key prompt.anchor'
finish
