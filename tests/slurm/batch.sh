#!/usr/bin/env bash
# batch.sh: what the batch scripts decide, Slurm's commands being stand-ins; an allocation is a call of a script. The
# time limit with and without Slurm's signal, scancel, a controller that does not answer, a site that forbids requeue,
# folders and files with blanks and quotes, whose options win, and what is refused.
. "$(dirname "$0")/../mpi/lib.sh"
site="$work/a \"site\" with blanks"
mkdir "$work/bin" "$work/jobs" "$site"
cp "$SRC"/slurm/*.sbatch "$site"
cp "$SRC/jobs/nightly.sh" "$work/jobs"
cat >"$work/bin/scope-grid" <<WRAP
#!/usr/bin/env bash
[ "\$1" = run ] || exec "$BIN/scope-grid" "\$@"
shift
echo "options: \$*"
exec "$BIN/tests/sim_grid" "\$@" \$(cat "$work/speed")
WRAP
# Slurm's record of the job is a file; requeue ends the script that asks for it, as Slurm does. fails: so many times
cat >"$work/bin/scontrol" <<WRAP
#!/usr/bin/env bash
echo "\$*" >>"$work/asked"
case \$1 in
  show) cat "$work/record" ;;
  requeue)
    n=\$(cat "$work/fails")
    [ "\$n" = 0 ] || { echo \$((n - 1)) >"$work/fails"; echo "scontrol: error" >&2; exit 1; }
    grep -q Reason=TimeLimit "$work/record" || kill -9 \$PPID ;;
esac
WRAP
cat >"$work/bin/sbatch" <<WRAP
#!/usr/bin/env bash
printf '%s\n' "\$@" >"$work/submitted"
WRAP
# srun knows no PMIx, so ranks are started by mpirun; what is to run once a node runs here
cat >"$work/bin/srun" <<'WRAP'
#!/usr/bin/env bash
[ "$1" != --mpi=list ] || exit 1
while [[ $1 == -* ]]; do shift; done
exec "$@"
WRAP
cat >"$work/bin/sbcast" <<WRAP
#!/usr/bin/env bash
[ ! -e "$work/no sbcast" ] || exit 1
[ "\$1" = --force ] && cp -L "\$2" "\$3" && echo "\$3" >>"$work/sent"
WRAP
# mpirun asks Slurm for the nodes of a job with an id
cat >"$work/bin/mpirun" <<WRAP
#!/usr/bin/env bash
for name in \${!SLURM_@}; do unset "\$name"; done
exec $(command -v mpirun) -q -n 2 --oversubscribe "\$@"
WRAP
chmod +x "$work"/bin/*
speed() { echo "$*" >"$work/speed"; }
slow() { speed --step-us 250000 --slots 4 --segment-seconds 0.1; }
# record STATE REASON SECONDS SCRIPT ARGUMENTS: begun now, with so many seconds to the time limit
record() {
  printf '%s\n' 'JobId=1 JobName=x' "   JobState=$1 Reason=$2 Dependency=(null)" "   TimeLimit=00:10:00" \
    "   StartTime=$(date +%FT%T) EndTime=$(date -d "$3 seconds" +%FT%T) Deadline=N/A" "   Command=$site/$4 ${*:5}" \
    "   StdOut=$work/out of this job" >"$work/record"
}
# allocate SCRIPT ARGUMENTS: one allocation, in the foreground
allocate() {
  PATH=$work/bin:$PATH SLURM_JOB_ID=1 SLURM_JOB_NODELIST=here SLURM_JOB_NAME=x SLURM_JOB_PARTITION=p SLURM_NTASKS=2 \
    SLURM_JOB_NUM_NODES=1 SLURM_CPUS_PER_TASK=1 SCOPE_BIN=$work/bin exec bash "$site/$1" "${@:2}" 2>&1
}
# working DIR LOG [HAD]: waits until cells of the run are safe, beyond HAD segments
working() {
  more() { [ "$(find "$1" -name '*.seg' 2>/dev/null | wc -l)" -gt $((${3:-0} + 2)) ]; }
  soon more "$@" && return
  fail "no cells in $1: $(cat "$2")"
  exit 1
}
requeues() { grep -c '^requeue 1$' "$work/asked"; }
begin() { # WHAT: a job of that name in a folder that needs quotes, and nothing asked of Slurm yet
  run=$work/runs/$1\ \"\\x\"
  job=$work/$1\ job.json
  sed -E -e 's,"(path|queries|anchors|outcomes|portfolio)": ",&jobs/demo/,' \
    -e 's,"dir": "[^"]*","dir": "runs/'"$1"' \\"\\\\x\\"",' "$demo" >"$job"
  : >"$work/asked"
  echo 0 >"$work/fails"
  rm -f "$work/submitted"
}
want=$(digest_of "$("$BIN/tests/sim_grid" "$demo" --set output.dir="$work/whole" --step-us 100 2>&1)")

# 1. the time limit itself, SIGTERM being the first that is heard of it: queued again while the ranks still work
begin limit
slow
record RUNNING None 600 scope-grid.sbatch "$job"
(allocate scope-grid.sbatch "$job") >"$work/log" 2>&1 &
batch=$!
working "$run" "$work/log"
record COMPLETING TimeLimit 0 scope-grid.sbatch "$job"
kill -s TERM "$batch"
wait "$batch" 2>/dev/null; same "exit code at the time limit" $? 75
log=$(cat "$work/log")
has "the time limit" "$log" 'the time limit is there: [1-9][0-9]* cells done so far; queued again \(requeue\)$'
has "the time limit" "$log" 'exit code 75 at the time limit: [1-9][0-9]* cells more, [1-9][0-9]* done$'
same "requeues at the time limit" "$(requeues)" 1
same "idle attempts" "$(cat "$run/idle-attempts")" 0
# ... killed before the ranks have ended, it is queued all the same
slow
record RUNNING None 600 scope-grid.sbatch "$job"
had=$(find "$run" -name '*.seg' 2>/dev/null | wc -l)
(allocate scope-grid.sbatch "$job") >"$work/log" 2>&1 &
batch=$!
working "$run" "$work/log" "$had"
record COMPLETING TimeLimit 0 scope-grid.sbatch "$job"
kill -s TERM "$batch"
soon grep -q 'queued again' "$work/log" || fail "it is not queued again: $(cat "$work/log")"
kill -9 "$batch" 2>/dev/null
same "requeues of a killed script" "$(requeues)" 2
unlocked() { [ ! -e "$run/lock" ]; }
soon unlocked

# 2. the script's own clock: Slurm sends nothing at all
slow
# by_clock RESTARTS ARGUMENTS: an allocation of a few seconds; of more where these did not suffice to start the ranks
by_clock() {
  local seconds
  for seconds in 5 20 60; do
    had=$(requeues)
    record RUNNING None $seconds scope-grid.sbatch "$2"
    (SLURM_RESTART_COUNT=$1 allocate scope-grid.sbatch "${@:2}") >"$work/log" 2>&1
    code=$?
    grep -q 'exit code 75 after USR1' "$work/log" && return
  done
}
by_clock 2 "$job"
has "the clock" "$(cat "$work/log")" 'the time limit is [0-9]+ s away, and Slurm has sent no signal$'
has "the clock" "$(cat "$work/log")" 'exit code 75 after USR1: .*queued again \(requeue\)$'
same "requeues by the clock" "$(requeues)" $((had + 1))

# 3. scancel is final, also where the limit is near
slow
had=$(find "$run" -name '*.seg' | wc -l)
asked=$(requeues)
record RUNNING None 600 scope-grid.sbatch "$job"
(SLURM_RESTART_COUNT=3 allocate scope-grid.sbatch "$job") >"$work/log" 2>&1 &
batch=$!
working "$run" "$work/log" "$had"
record COMPLETING None 600 scope-grid.sbatch "$job"
kill -s TERM "$batch"
wait "$batch" 2>/dev/null; same "exit code of a cancelled job" $? 75
has "scancel" "$(cat "$work/log")" 'Slurm has ended this job: .*submit it again to resume$'
same "requeues after scancel" "$(requeues)" "$asked"
[ ! -e "$work/submitted" ] || fail "a cancelled job has a successor: $(cat "$work/submitted")"

# 4. to the end, the user's own options winning
speed --step-us 100
record RUNNING None 600 scope-grid.sbatch "$job"
(allocate scope-grid.sbatch "$job" --set engine.threads=2) >"$work/log" 2>&1
same "exit code of the end" $? 0
has "the options" "$(cat "$work/log")" '^options: .* --set engine.threads=1 --set engine.threads=2$'
same "digest" "$(digest_of "$("$BIN/scope-grid" status "$run")")" "$want"
# ... with the weights on the node: begun with the model where it lies, gone on with a copy, and without sbcast
begin weights
model_want=$(digest_of "$("$BIN/tests/sim_grid" "$job" --model --set output.dir="$work/model" 2>&1)")
speed --step-us 250000 --slots 4 --segment-seconds 0.1 --model
by_clock 0 "$job"
lacks "the weights where they lie" "$(grep '^options:' "$work/log")" 'model.path'
nodes="$work/a node's disk"
theirs=scope-grid-0-notes # of a user, with a name like that of a copy
mkdir -p "$nodes/$theirs" && touch "$nodes/$theirs/model.safetensors"
touch "$work/no sbcast"
SCOPE_WEIGHTS=node SCOPE_NODE_DIR=$nodes by_clock 1 "$job"
has "without sbcast" "$(cat "$work/log")" "the weights could not be copied to $nodes/scope-grid-1: they are read where they lie$"
lacks "without sbcast" "$(grep '^options:' "$work/log")" 'model.path'
same "what is left without sbcast" "$(cd "$nodes" && echo */*)" "$theirs/model.safetensors"
rm "$work/no sbcast"
speed --step-us 100 --model
record RUNNING None 600 scope-grid.sbatch "$job"
(SCOPE_WEIGHTS=node SCOPE_NODE_DIR=$nodes allocate scope-grid.sbatch "$job" --set model.path="$SRC/jobs/demo/model") >"$work/log" 2>&1
same "exit code with the weights on the node" $? 0
has "the weights on the node" "$(cat "$work/log")" "^options: .* --set model.path=$nodes/scope-grid-1$"
has "the weights on the node" "$(cat "$work/log")" "^hashed$"
has "files on the node" "$(cat "$work/sent")" "^$nodes/scope-grid-1/model.safetensors$"
same "digest with the weights on the node" "$(digest_of "$("$BIN/scope-grid" status "$run")")" "$model_want"
same "what is left on the node" "$(cd "$nodes" && echo */*)" "$theirs/model.safetensors"
out=$(SCOPE_WEIGHTS=stage allocate scope-grid.sbatch "$job"); same "exit code of other weights" $? 2
has "other weights" "$out" 'SCOPE_WEIGHTS=stage; expected node or nothing$'

# 5. a controller that is busy is asked again; where requeue is forbidden, a successor takes over
begin forbidden
slow
echo 1 >"$work/fails"
by_clock 0 "$job"
same "controllers that were busy" "$(cat "$work/fails")" 0
[ "$(requeues)" -ge 2 ] || fail "a busy controller was not asked again: $(cat "$work/asked")"
echo 99 >"$work/fails"
by_clock 1 "$job" --set "output.texts=true"
same "exit code of a job with a successor" $code 0
has "a site that forbids requeue" "$(cat "$work/log")" 'scontrol requeue failed: submitting a successor instead$'
same "the successor's script and arguments" "$(tail -n 4 "$work/submitted")" "$site/scope-grid.sbatch
$job
--set
output.texts=true"
has "the successor" "$(cat "$work/submitted")" '^--dependency=afterany:1$'
has "the successor" "$(cat "$work/submitted")" "^--output=$work/out of this job$"

# 6. nights
begin nights
record RUNNING None 600 nightly.sbatch "$job"
speed --step-us 100
out=$(allocate nightly.sbatch "$job"); same "exit code of a job without {night}" $? 2
has "a job without {night}" "$out" 'folder is .*nights .* every night: put \{night\} into the last part of output.dir'
one_line "a job without {night}" "$out"
sed -i 's|"dir": "runs/nights|"dir": "runs/{night}|' "$job"
for night in one two; do
  out=$(SCOPE_NIGHT=$night allocate nightly.sbatch "$job"); same "exit code of night $night" $? 0
  has "night $night" "$out" "finished: .*/runs/$night \"..?x\"/results.h5 \(512 cells\), exit code 0"
done
has "the second night" "$out" 'computed 0 taken 512'
same "latest" "$(readlink "$work/runs/latest")" 'two "\x"/results.h5'
out=$(allocate nightly.sbatch "$job" --night mine); same "exit code of a night by its name" $? 0
has "a night by its name" "$out" 'finished: .*/runs/mine '
echo '{"job": "nights job.json", "axes": {"sampling.samples": [2, 4]}}' >"$work/sweep.json"
record RUNNING None 600 nightly.sbatch "$work/sweep.json"
out=$(allocate nightly.sbatch "$work/sweep.json"); same "exit code of a nightly sweep" $? 2
has "a nightly sweep" "$out" 'sweep.json is a sweep, which has no nights: use scope-grid.sbatch$'
one_line "a nightly sweep" "$out"

# 7. a bad job is not tried again
echo '{"modle": {}}' >"$work/bad.json"
: >"$work/asked"
record RUNNING None 600 scope-grid.sbatch "$work/bad.json"
out=$(allocate scope-grid.sbatch "$work/bad.json"); same "exit code of a bad job" $? 2
has "a bad job" "$out" 'bad.json: unknown key modle; did you mean "model"'
same "requeues of a bad job" "$(requeues)" 0
finish
