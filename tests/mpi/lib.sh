# Shared by the scripts of tests/mpi and tests/e2e: a scratch folder, ranks, and checks that say what failed.
# usage: . lib.sh; the environment names the programs (BIN = build folder, SRC = source folder).
set -uo pipefail
: "${BIN:?}" "${SRC:?}"
work=$(mktemp -d "${TMPDIR:-/tmp}/sg-test.XXXXXX")
mounted=
main=$BASHPID
cleanup() { [ "$BASHPID" = "$main" ] || return; [ -n "$mounted" ] && umount "$mounted"; rm -rf "$work"; }
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

# until_busy DIR N: waits, 30 s at most, until N ranks have finished cells in a fresh run (each has its segment)
until_busy() {
  for _ in $(seq 300); do
    [ "$(ls "$1/segments" 2>/dev/null | wc -l)" -ge "$2" ] && return
    sleep 0.1
  done
  fail "no $2 ranks at work in $1 after 30 s"
}
# until_running DIR: waits, 30 s at most, until status says that the run lives
until_running() {
  for _ in $(seq 300); do
    grep -q ': running,' <<<"$("$BIN/scope-grid" status "$1" 2>/dev/null)" && return
    sleep 0.1
  done
  fail "no run in $1 after 30 s"
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
