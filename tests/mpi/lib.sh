# Shared by the scripts of tests/mpi and tests/e2e: a scratch folder, ranks, and checks that say what failed.
# usage: . lib.sh; the environment names the programs (BIN = build folder, SRC = source folder).
set -uo pipefail
: "${BIN:?}" "${SRC:?}"
work=$(mktemp -d "${TMPDIR:-/tmp}/sg-test.XXXXXX")
mounted=
main=$BASHPID
# Open MPI's own files: mpiruns that share a session folder now and then remove it under each other, and what kill -9
# leaves in /dev/shm stays there for ever.
shm=$(mktemp -d /dev/shm/sg-test.XXXXXX 2>/dev/null) && export OMPI_MCA_btl_vader_backing_directory="$shm"
mkdir -p "$work/mpi" "$work/jobs/demo"
# 64 of the demo's queries, evenly over the categories, so 512 cells: its job as it is, and without calibration cells
ln -s "$SRC"/jobs/demo/* "$work/jobs/demo/"
rm "$work"/jobs/demo/{job.json,queries.jsonl}
awk 'NR % 15 < 8' "$SRC/jobs/demo/queries.jsonl" >"$work/jobs/demo/queries.jsonl"
calibrated="$work/jobs/demo/calibrated.json" demo="$work/jobs/demo/job.json"
cp "$SRC/jobs/demo/job.json" "$calibrated"
sed 's|"output":|"calibration": { "anchors": 0 }, &|' "$calibrated" >"$demo"
export OMPI_MCA_orte_tmpdir_base="$work/mpi"
cleanup() {
  [ "$BASHPID" = "$main" ] || return
  [ -n "$mounted" ] && umount "$mounted"
  rm -rf "$work" ${shm:+"$shm"}
}
trap cleanup EXIT
failures=0
python=/usr/bin/python3 # Debian's, which has Debian's xarray
[ -x "$python" ] || python=python3

# Open MPI refuses to start as root unless told twice; containers usually are root.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# Open MPI and HDF5 keep memory to the end: under ASan, leaks are the unit tests' affair.
export ASAN_OPTIONS="detect_leaks=0:${ASAN_OPTIONS:-}"
# ranks N program args...: -q silences mpirun's own account of how ranks ended
ranks() { local n=$1; shift; mpirun -q -n "$n" --oversubscribe --bind-to none "$@"; }
# the same in the background: launch N program args... & so that $! is mpirun and its children are the ranks
launch() { local n=$1; shift; exec mpirun -q -n "$n" --oversubscribe --bind-to none "$@"; }

# soon COMMAND...: until it succeeds; after two minutes false. No test may depend on how fast a machine is: what a kill or
# a look has to find is waited for, and the limit is there for what never comes.
soon() {
  local end=$((SECONDS + 120))
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.05
  done
}
# until_busy DIR N: waits until N ranks have finished cells in a fresh run (each has its segment)
until_busy() {
  busy() { [ "$(ls "$1/segments" 2>/dev/null | wc -l)" -ge "$2" ]; }
  soon busy "$@" || fail "no $2 ranks at work in $1"
}
# closed DIR: how many segments are closed there; until_closed DIR N [PID]: waits until that many are, or the run is
# done, or PID has ended
closed() { find "$1/segments" -name '*.seg' 2>/dev/null | wc -l; }
until_closed() {
  enough() { [ "$(closed "$1")" -ge "$2" ] || [ -e "$1/DONE" ] || { [ -n "${3:-}" ] && ! alive "$3"; }; }
  soon enough "$@" || fail "no $2 closed segments in $1"
}
# until_running DIR: waits until status says that the run, or a member of an array, is at work
until_running() {
  running() { grep -q ': running,' <<<"$("$BIN/scope-grid" status "$1" 2>/dev/null)"; }
  soon running "$1" || fail "no run in $1"
}
# A zombie has ended: it waits for a parent, which some containers lack.
alive() { grep -Esq '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status"; }
# gone PID...: waits until they are. One that was killed in the middle of a sync ends when the disk is done.
gone() {
  local p
  dead() { ! alive "$1"; }
  for p in "$@"; do soon dead "$p" || fail "process $p still lives"; done
}
# ended PID: waits for an mpirun of which ranks were killed; its exit code. Open MPI 4.1 can hang, without any rank left,
# when one dies while the others are still being started: it is killed when it has had none for ten seconds.
ended() {
  local alone=0 child
  for _ in $(seq 1200); do
    alive "$1" || break
    alone=$((alone + 1))
    for child in $(pgrep -P "$1"); do if alive "$child"; then alone=0; fi; done
    [ $alone -lt 100 ] || break
    sleep 0.1
  done
  if alive "$1"; then
    echo "note: an mpirun hung after a kill, $([ $alone -ge 100 ] && echo without || echo with) ranks"
    kill -9 "$1"
  fi
  wait "$1"
} 2>/dev/null
# kill_ranks PID: kills the ranks of an mpirun outright, all at once; they and it are gone afterwards
kill_ranks() {
  local ranks
  mapfile -t ranks < <(pgrep -P "$1")
  kill -9 "${ranks[@]}" 2>/dev/null
  ended "$1"
  gone "${ranks[@]}"
}
# in_time COMMAND...: tries COMMAND STEP_US with longer and longer steps of the simulated device, until it succeeds. For what
# holds when the ranks start at about the same time, measured in steps: on a loaded machine they do not, if steps are short.
in_time() {
  local us
  for us in 3000 15000 60000 240000; do "$@" $us && return; done
  return 1
}
fail() { echo "FAILED: $*" >&2; failures=$((failures + 1)); }
same() { [ "$2" = "$3" ] || fail "$1: expected '$3', got '$2'"; }
# has WHAT TEXT PATTERN: an extended regular expression somewhere in the text
has() { grep -Eq -- "$3" <<<"$2" || fail "$1: no /$3/ in: $2"; }
lacks() { ! grep -Eq -- "$3" <<<"$2" || fail "$1: /$3/ in: $2"; }
one_line() { [ "$(grep -c . <<<"$2")" = 1 ] || fail "$1: not one line: $2"; }
digest_of() { grep -Eo 'digest [0-9a-f]{32}' <<<"$1" | cut -d' ' -f2; }
finish() {
  [ "$failures" = 0 ] || { echo "$failures checks failed" >&2; exit 1; }
  echo "all checks passed"
  exit 0
}
