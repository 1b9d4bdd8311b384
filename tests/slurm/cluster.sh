#!/usr/bin/env bash
# A Slurm of one node on this machine, for the tests: munged, slurmctld and slurmd as root, all their files
# in one folder, ports of their own. Source it, then:
#   slurm_start DIR [NODE_CPUS [FILE,FILE...]]   starts it and exports SLURM_CONF; waits until the node is idle. The
#                                 device files, which can be any, are its GPUs
#   slurm_stop                    ends its three daemons
# Returns 77 (skip) from slurm_start, saying why, where it cannot run: not root, or no Slurm installed.
slurm_start() {
  local dir=$1 cpus=${2:-4} files=${3:-} d host gpus=
  [ "$(id -u)" -eq 0 ] || { echo "skip: the test's Slurm daemons need root"; return 77; }
  for d in munged slurmctld slurmd sbatch; do
    command -v $d >/dev/null || { echo "skip: $d is not installed (slurm-wlm, munge)"; return 77; }
  done
  host=$(hostname -s)
  mkdir -p "$dir"/{state,spool,log,munge}
  chmod 700 "$dir/munge"
  chown munge "$dir/munge"
  dd if=/dev/urandom of="$dir/munge/key" bs=1024 count=1 status=none
  chown munge "$dir/munge/key"; chmod 400 "$dir/munge/key"
  chmod 711 "$dir/munge"
  runuser -u munge -- munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
    --log-file="$dir/munge/log" --pid-file="$dir/munge/pid" --seed-file="$dir/munge/seed" || return 1
  if [ -n "$files" ]; then
    gpus=Gres=gpu:$(tr ',' '\n' <<<"$files" | wc -l)
    tr ',' '\n' <<<"$files" | sed 's/^/Name=gpu File=/' >"$dir/gres.conf"
  fi
  SLURM_PORT_BASE=$((20000 + RANDOM % 20000))
  cat >"$dir/slurm.conf" <<EOF
ClusterName=scope
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CredType=cred/munge
SlurmctldPort=$SLURM_PORT_BASE
SlurmdPort=$((SLURM_PORT_BASE + 1))
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=30
KillWait=10
MinJobAge=300
# PMIx leaves folders named by job in /tmp when it is killed: numbers that no earlier test has had
FirstJobId=$((1000 + $(date +%s) % 1000000 * 50))
OverTimeLimit=0
JobRequeue=1
PreemptMode=REQUEUE
PreemptType=preempt/partition_prio
${gpus:+GresTypes=gpu}
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus $gpus State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=REQUEUE GraceTime=20
PartitionName=urgent Nodes=$host MaxTime=INFINITE State=UP PriorityTier=100 PreemptMode=OFF
EOF
  export SLURM_CONF=$dir/slurm.conf
  SLURM_TEST_DIR=$dir
  slurmctld -c || return 1
  slurmd -N "$host" || return 1
  for _ in $(seq 600); do
    sinfo -h -o %T 2>/dev/null | grep -q idle && return 0
    sleep 0.2
  done
  echo "the test's Slurm did not come up; last lines of its logs:" >&2
  tail -n 5 "$dir"/log/*.log >&2
  return 1
}

slurm_stop() {
  local f pid
  [ -n "${SLURM_TEST_DIR:-}" ] || return 0
  scancel --user=root 2>/dev/null || true
  for _ in $(seq 75); do # a daemon that ends before its jobs leaves their processes behind
    [ -n "$(squeue -h 2>/dev/null)" ] || break
    sleep 0.2
  done
  for f in slurmd.pid slurmctld.pid munge/pid; do
    [ -f "$SLURM_TEST_DIR/$f" ] || continue
    pid=$(cat "$SLURM_TEST_DIR/$f")
    kill "$pid" 2>/dev/null
    for _ in $(seq 25); do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
    kill -9 "$pid" 2>/dev/null
  done
  SLURM_TEST_DIR=
}
