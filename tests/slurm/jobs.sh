#!/usr/bin/env bash
# jobs.sh: the sbatch files in a real Slurm on this machine, around the simulated device: walltime signals and
# requeues, forced and by a real time limit, cancel and resubmit, preemption, mpirun with successors, job arrays and
# a task of one that always dies, two allocations for one run, the lock of a lost node, a run that makes no progress. Every run ends with the digest of an undisturbed one.
. "$(dirname "$0")/../mpi/lib.sh"
. "$(dirname "$0")/cluster.sh"
chmod 711 "$work" # munged runs as a user of its own
slurm_start "$work/slurm" 4
code=$?
[ $code = 0 ] || exit $code
trap 'slurm_stop; cleanup' EXIT

job="$demo"
cd "$work" || exit 1
# What the scripts find as scope-grid: the real one, but `run` computes on the simulated device, at a speed that
# the test can change between two attempts.
mkdir bin
cat >bin/scope-grid <<WRAP
#!/usr/bin/env bash
if [ "\$1" = run ]; then
  shift
  [ "\${SLURM_ARRAY_TASK_ID:-}" = "\$(cat "$work/bad-task" 2>/dev/null)" ] && kill -9 \$\$
  exec "$BIN/tests/sim_grid" "\$@" \$(cat "$work/speed")
fi
exec "$BIN/scope-grid" "\$@"
WRAP
chmod +x bin/scope-grid
export SCOPE_BIN=$work/bin
echo none >bad-task
slow() { echo "--step-us ${1:-100000} --slots 4 --segment-seconds 0.1" >speed; }
fast() { echo "--step-us 200" >speed; }
want=$(digest_of "$("$BIN/tests/sim_grid" "$job" --set output.dir="$work/whole" 2>&1)")

state() { scontrol show job "$1" 2>/dev/null | sed -n 's/.*JobState=\([A-Z]*\).*/\1/p' | head -n 1; }
# until WHAT SECONDS COMMAND...: polls until the command succeeds, five times as long on a machine that needs it
until_() {
  local what=$1 tries=$(($2 * 25)); shift 2
  while ! "$@"; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || { fail "$what did not happen"; tail -n 20 ./*.log >&2; squeue >&2; exit 1; }
    sleep 0.2
  done
}
is() { [ "$(state "$1")" = "$2" ]; }
over() { case $(state "$1") in COMPLETED | FAILED | CANCELLED | TIMEOUT) true ;; *) false ;; esac; }
cells() { "$BIN/tests/list_cells" "$work/$1" 2>/dev/null | sort; }
more_cells() { [ "$(cells "$1" | wc -l)" -gt "$2" ]; }
# A requeued job waits for two minutes in Slurm, for nodes to be tidied: not here. But not in the same second
# either: its old credential is revoked by the second.
start_now() {
  until_ "job $1 back in the queue" 20 is "$1" PENDING
  sleep 1.2
  scontrol update JobId="$1" StartTime=now
}
whole() { # RUN: done, and with the digest
  same "digest of $1" "$(digest_of "$("$BIN/scope-grid" status "$work/$1")")" "$want"
  same "cells of $1 computed twice" "$(cells "$1" | uniq -d | wc -l)" 0
}
submit() { # RUN sbatch-options -- script
  local run=$1; shift
  sbatch --parsable --ntasks=2 --ntasks-per-node=2 --cpus-per-task=1 --time=10 --output="$work/$run.log" "$@" \
    "$SRC/slurm/scope-grid.sbatch" "$job" --set "output.dir=$work/$run"
}

# 1. three allocations that reach their time limit, a fourth that finishes
slow
id=$(submit walltime)
for i in 1 2 3; do
  before=$(cells walltime | wc -l)
  until_ "new cells in allocation $i" 30 more_cells walltime "$((before + 15))"
  cells walltime >kept
  scancel --signal=USR1 --batch "$id"
  [ "$i" = 3 ] && fast
  start_now "$id"
  same "cells lost at walltime $i" "$(comm -23 kept <(cells walltime) | wc -l)" 0
done
until_ "the end of the walltime job" 30 over "$id"
same "state of the walltime job" "$(state "$id")" COMPLETED
whole walltime
log=$(cat walltime.log)
same "attempts in one log" "$(grep -c 'scope-grid.sbatch: attempt' <<<"$log")" 4
has "log of a walltime requeue" "$log" 'told to stop \(USR1\): passing it on'
has "log of the other half" "$log" 'exit code 75 after USR1: [0-9]+ cells more, [0-9]+ done; queued again \(requeue\)'
has "log of the end" "$log" 'finished: .*/walltime/results.h5 \(512 cells\), exit code 0'
fast
id=$(submit walltime)
until_ "the end of a run that was done" 20 over "$id"
has "a run that was done" "$(cat walltime.log)" 'computed 0 already'

# 2. cancelled: stays so, resumes when submitted again
slow
id=$(submit cancel)
until_ "cells before the cancel" 30 more_cells cancel 15
scancel "$id"
until_ "the cancel" 20 is "$id" CANCELLED
sleep 1
cells cancel >kept
same "state of the cancelled job" "$(state "$id")" CANCELLED
fast
id=$(submit cancel)
until_ "the end of the second submission" 30 over "$id"
whole cancel
same "cells lost by the cancel" "$(comm -23 kept <(cells cancel) | wc -l)" 0

# 3. preempted by a job of higher priority that needs the node
slow
id=$(submit preempt)
until_ "cells before the preemption" 30 more_cells preempt 15
cells preempt >kept
urgent=$(sbatch --parsable --partition=urgent --exclusive --nodes=1 --output=/dev/null --wrap 'sleep 1')
start_now "$id"
until_ "the urgent job" 30 over "$urgent"
fast
until_ "the end of the preempted job" 40 over "$id"
same "cells lost by the preemption" "$(comm -23 kept <(cells preempt) | wc -l)" 0
whole preempt

# 4. where srun has no PMIx and requeue is forbidden: mpirun, and a successor
slow
export SCOPE_LAUNCH=mpirun SCOPE_CONTINUE=successor
id=$(submit successor)
until_ "cells of the mpirun job" 30 more_cells successor 15
cells successor >kept
fast
scancel --signal=USR1 --batch "$id"
until_ "the end of the first of two jobs" 20 over "$id"
until_ "the end of its successor" 40 test -e successor/DONE
same "cells lost between two jobs" "$(comm -23 kept <(cells successor) | wc -l)" 0
whole successor
has "log of a successor" "$(cat successor.log)" 'queued again \(successor\)'
unset SCOPE_LAUNCH SCOPE_CONTINUE

# 5. two allocations for one run: the second is refused and disturbs nothing
slow 60000
id=$(submit twice)
until_ "cells of the first of two" 30 more_cells twice 10
other=$(submit twice --output="$work/other.log")
until_ "the end of the second of two" 20 over "$other"
same "state of the second of two" "$(state "$other")" FAILED
has "the second of two" "$(cat other.log)" 'another run holds'
fast
scancel --signal=USR1 --batch "$id"
start_now "$id"
until_ "the end of the first of two" 30 over "$id"
whole twice

# 6. an array of independent processes: one is killed, one is told to stop and comes back
slow
id=$(sbatch --parsable --array=0-2 --cpus-per-task=1 --time=10 --output="$work/array-%a.log" \
  "$SRC/slurm/scope-grid-array.sbatch" "$job" --set "output.dir=$work/array")
until_ "cells of the array" 30 more_cells array 30
cells array >kept
kill -9 "$(sed -n 's/^pid //p' "$(find array/shards -name "*.lock" | head -n 1)")"
until_ "a task that is queued again after a kill" 20 grep -qs 'exit code 137' array-0.log array-1.log array-2.log
scancel --signal=USR1 --batch "${id}_1" 2>/dev/null
fast
start_now "${id}_1"
until_ "the end of the array" 60 test -e array/DONE
same "cells lost in the array" "$(comm -23 kept <(cells array) | wc -l)" 0
whole array
has "log of the killed task" "$(cat array-?.log)" 'exit code 137: .*queued again'
scancel "$id" 2>/dev/null # a task that is still in the queue would find the run done

# 7. a task of an array that dies at every start gives up, whatever the others add meanwhile; they finish
slow 60000
echo 1 >bad-task
export SCOPE_MAX_IDLE_ATTEMPTS=2
id=$(sbatch --parsable --array=0-1 --cpus-per-task=1 --time=10 --output="$work/bad-%a.log" \
  "$SRC/slurm/scope-grid-array.sbatch" "$job" --set "output.dir=$work/bad")
until_ "the first death of the bad task" 20 grep -qs 'exit code 137: .*queued again' bad-1.log
more=$(cells bad | wc -l)
until_ "cells of the good task" 20 more_cells bad "$more"
same "the good task beside the bad one" "$(state "${id}_0")" RUNNING
start_now "${id}_1"
until_ "the end of the bad task" 20 over "${id}_1"
same "state of the bad task" "$(state "${id}_1")" FAILED
has "the bad task" "$(cat bad-1.log)" 'giving up: 2 attempts in a row added no cell \(exit code 137\)'
until_ "the end of the good task" 60 over "${id}_0"
same "state of the good task" "$(state "${id}_0")" COMPLETED
whole bad
unset SCOPE_MAX_IDLE_ATTEMPTS
echo none >bad-task

# 8. an attempt whose node was lost leaves a lock that nobody can ask: the next one waits until it is stale
slow
id=$(submit lost)
until_ "cells before the loss" 30 more_cells lost 15
cells lost >kept
scancel --signal=USR1 --batch "$id"
until_ "the lost job back in the queue" 20 is "$id" PENDING
printf '%s\n' 'scope-grid lock 1' 'host gone' 'machine m' 'boot b' 'space s' 'pid 7' 'start 7' 'token t' 'since then' end \
  >lost/lock
fast
start_now "$id"
until_ "the wait for the lock" 20 grep -qs 'may hold .*: trying again' lost.log
touch -d '400 seconds ago' lost/lock
until_ "the end of the job on another node" 90 over "$id"
same "state of the job on another node" "$(state "$id")" COMPLETED
whole lost
same "cells lost with the node" "$(comm -23 kept <(cells lost) | wc -l)" 0

# 9. the time limit itself, a minute, until DONE: the one job is stopped before it (by the signal ten seconds before,
# which Slurm sends up to a minute early, or by the script's own clock), the other gets neither, only the SIGTERM at the
# limit, and is put back within KillWait
slow 550000
id=$(submit limit --time=1 --signal=B:USR1@10)
cut=$(SCOPE_STOP_BEFORE=-600 submit cut --time=1 --signal=B:CONT@1)
declare -A kept=([limit]=1 [cut]=1) # both wait in the queue first
: >kept-limit
: >kept-cut
for _ in $(seq 1500); do
  over "$id" && over "$cut" && break
  for run in limit cut; do
    n=$id; [ $run = limit ] || n=$cut
    # put back, with nothing at work there any more: what is closed stays
    if is "$n" PENDING && [ -z "${kept[$run]:-}" ]; then
      cells $run >kept-$run
      kept[$run]=1
      sleep 1.2
      scontrol update JobId="$n" StartTime=now
    elif is "$n" RUNNING && [ -n "${kept[$run]:-}" ]; then
      same "cells of $run lost at the time limit" "$(comm -23 kept-$run <(cells $run) | wc -l)" 0
      kept[$run]=
    fi
  done
  sleep 0.2
done
for run in limit cut; do # a run that ends just behind its limit is there all the same, whatever Slurm calls its job
  n=$id; [ $run = limit ] || n=$cut
  [[ $(state "$n") =~ ^(COMPLETED|TIMEOUT)$ ]] || fail "state of the job $run: $(state "$n")"
  whole $run
  [ "$(grep -c 'scope-grid.sbatch: attempt' $run.log)" -ge 2 ] || fail "the time limit did not cut $run: $(cat $run.log)"
  echo "a time limit of a minute, $run: $(grep -c 'scope-grid.sbatch: attempt' $run.log) allocations"
done
has "the job that is stopped before its limit" "$(cat limit.log)" 'exit code 75 after USR1: .*queued again'
lacks "the job that is stopped before its limit" "$(cat limit.log)" 'the time limit is there'
has "the job that hears of its limit last" "$(cat cut.log)" 'the time limit is there: [0-9]+ cells done so far; queued again \(requeue\)'
lacks "the job that hears of its limit last" "$(cat cut.log)" 'USR1'

# 10. two nights: the second takes over what did not change, also when its first allocation is cut short; the weights
# are copied to the node before each attempt
cp -rL jobs/demo night
mkdir night/node
sed -i 's|"dir": "[^"]*|"dir": "runs/{night}|' night/job.json
night() { # NAME
  SCOPE_NIGHT=$1 SCOPE_WEIGHTS=node SCOPE_NODE_DIR=$work/night/node sbatch --parsable --ntasks=2 --ntasks-per-node=2 --cpus-per-task=1 --time=10 --output="$work/night-$1.log" \
    "$SRC/slurm/nightly.sbatch" "$work/night/job.json"
}
fast
id=$(night first)
until_ "the end of the first night" 30 over "$id"
same "where latest points" "$(readlink -f night/runs/latest)" "$work/night/runs/first/results.h5"
# a new price and eight queries that are not the same any more
sed -i '0,/"input": [0-9.]*/s//"input": 77/' night/portfolio.json
sed -i '1,8s/"prompt": "/"prompt": "Changed. /' night/queries.jsonl
slow
id=$(night second)
until_ "cells of the second night" 30 more_cells night/runs/second 470
scancel --signal=USR1 --batch "$id"
fast
start_now "$id"
until_ "the end of the second night" 30 over "$id"
same "where latest points" "$(readlink -f night/runs/latest)" "$work/night/runs/second/results.h5"
has "the second night" "$(cat night-second.log)" 'queued again'
for name in first second; do lacks "weights of the $name night" "$(cat night-$name.log)" 'could not be copied'; done
same "what is left on the node" "$(ls night/node)" ""
plain=$(digest_of "$("$BIN/tests/sim_grid" "$work/night/job.json" --set output.dir="$work/night/plain" 2>&1)")
same "digest of the second night" "$(digest_of "$("$BIN/scope-grid" status night/runs/second)")" "$plain"
new=$(grep -Eo 'computed [0-9]+' night-second.log | awk '{ n += $2 } END { print n }')
[ "${new:-0}" -gt 0 ] && [ "$new" -le 64 ] || fail "the second night's last allocation computed $new cells, 64 had changed"

# 11. no progress: it ends by itself
echo "--lose-device 0 --steps 1000 --step-us 10000" >speed # ten seconds a cell: none is done before the loss
export SCOPE_MAX_IDLE_ATTEMPTS=2
id=$(submit idle)
until_ "the first idle attempt" 20 grep -qs 'queued again' idle.log
start_now "$id"
until_ "giving up" 30 over "$id"
has "a run without progress" "$(cat idle.log)" 'giving up: 2 attempts in a row added no cell'
same "state of a run without progress" "$(state "$id")" FAILED
finish
