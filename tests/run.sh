#!/usr/bin/env bash
# All tests: installs what is missing, builds, runs everything through ctest.
#   tests/run.sh           Release with gcc, ASan+UBSan, and a clang build with the fuzz entries
#   tests/run.sh --quick   the Release build alone
#   tests/run.sh --smoke   one test for each thing that the tests need, and of the Release build what these run
#   tests/run.sh --fuzz MINUTES   every fuzz entry in turn, so long together; what they find is kept (fuzz_entries below)
#   tests/run.sh --long    also ThreadSanitizer, MemorySanitizer, more seeds, the whole fault campaigns, a real Slurm
# Every build treats warnings as errors. Exit code 0 only when every test passed or skipped with a reason.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=normal
case "${1:-}" in
  "") ;;
  --quick) mode=quick ;;
  --smoke) mode=smoke ;;
  --long) mode=long ;;
  --fuzz) mode=fuzz minutes=${2:-} ;;
  *) echo "usage: tests/run.sh [--quick|--smoke|--long|--fuzz MINUTES]" >&2; exit 2 ;;
esac

[ $mode != fuzz ] || [[ $minutes =~ ^[1-9][0-9]*$ ]] || { echo "tests/run.sh --fuzz MINUTES: a number" >&2; exit 2; }

jobs/deps.sh build plots tests
[ $mode = long ] && jobs/deps.sh slurm
if [ "$(id -u)" -eq 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
cores=$(nproc)

# programs_of DIR ctest-args...: what the tests that these arguments choose run or require of the build in DIR
programs_of() {
  local dir=$PWD/$1
  shift
  (cd "$dir" && ctest -N "$@") | sed -n 's/^ *Test *#[0-9]*: //p' >"$dir/chosen_tests"
  # the file of chosen names first, then lines such as: add_test([=[NAME]=] "DIR/tests/NAME" "--argument")
  find "$dir" -name CTestTestfile.cmake -exec cat {} + | awk -v dir="$dir/" 'NR == FNR { chosen[$1]; next }
    /^(add_test|set_tests_properties)\(/ {
      name = $1
      gsub(/^[a-z_]*\((\[=*\[)?|\]=*\]$/, "", name)
      n = name in chosen ? split($0, words, "[\";]") : 0
      for (i = 2; i <= n; i++) if (index(words[i], dir) == 1) print substr(words[i], length(dir) + 1)
    }' "$dir/chosen_tests" - | sort -u
}
# suite DIR NAME cmake-args... -- ctest-args...: configures, builds $targets (default: all; chosen: what the tests need) and
# tests, $jobs (default: a core each) at a time
suite() {
  local dir=$1 name=$2 args=()
  shift 2
  while [ $# -gt 0 ] && [ "$1" != -- ]; do args+=("$1"); shift; done
  shift
  local began=$SECONDS
  echo "== $name"
  cmake -S . -B "$dir" -G Ninja -DSG_TESTS=ON -DSG_WERROR=ON "${args[@]}" | grep -E '^-- (scope-|CUDA|build type)' || true
  [ "${targets:-}" != chosen ] || targets=$(programs_of "$dir" "$@")
  # shellcheck disable=SC2086
  ninja -C "$dir" ${targets:-} >"$dir/ninja.log" || { grep -v '^\[' "$dir/ninja.log" >&2; exit 1; }
  echo "   built in $((SECONDS - began)) s"
  (cd "$dir" && ctest --output-on-failure --no-tests=error -j "${jobs:-$cores}" "$@")
  echo "   $name: done in $((SECONDS - began)) s"
}

if [ $mode = smoke ]; then
  # the flags of jobs/demo.sh, so that what it has built is not built again
  targets=chosen suite build "Release, gcc" -DCMAKE_BUILD_TYPE=Release -DSG_WERROR=OFF -- -L smoke
  exit 0
fi
# fuzz_suite ctest-args...: the fuzz entries with libFuzzer and sanitizers
fuzz_suite() {
  targets=fuzz_programs suite build-clang "libFuzzer, clang" -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ \
    -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 -DSG_SANITIZE=fuzzer-no-link,address,undefined -DSG_CUDA=OFF -- -L fuzz "$@"
}
# fuzz_entries SECONDS: each entry for its share, with its seeds and what earlier calls have found, which lies outside of the
# tree in $SG_FUZZ_CORPUS/ENTRY; inputs that crash, hang or take too much memory go to $SG_FUZZ_CORPUS/ENTRY.bad. A line each.
fuzz_entries() {
  local corpus=${SG_FUZZ_CORPUS:-${XDG_CACHE_HOME:-$HOME/.cache}/scope-grid/fuzz} bad=0 n name program seeds args log
  n=$(wc -l <build-clang/tests/fuzz_entries)
  echo "   $n entries, $(($1 / n)) s each; corpus in $corpus"
  while read -r program seeds args; do
    name=$(basename "$program")
    mkdir -p "$corpus/$name" "$corpus/$name.bad"
    log="$corpus/$name.log"
    [ -d "$seeds" ] || seeds=
    # shellcheck disable=SC2086
    "$program" $args -max_total_time=$(($1 / n)) -timeout=60 -rss_limit_mb=4096 -print_final_stats=1 \
      -artifact_prefix="$corpus/$name.bad/" "$corpus/$name" $seeds >"$log" 2>&1 || { bad=1; tail -n 30 "$log" >&2; }
    awk -v name="$name" '/INITED/ { split($0, a, "cov: "); from = a[2] + 0 } / cov: / { split($0, a, "cov: "); to = a[2] + 0 }
      /number_of_executed_units/ { runs = $2 } /new_units_added/ { new = $2 }
      END { printf "   %-18s %10d inputs, coverage %d -> %d, %d inputs kept\n", name, runs, from, to, new }' "$log"
    find "$corpus/$name.bad" -type f -printf "   $name: %p\n"
  done <build-clang/tests/fuzz_entries
  return $bad
}
if [ $mode = fuzz ]; then
  fuzz_suite -R _replay
  fuzz_entries $((minutes * 60))
  exit
fi
# The bare machine waits for downloads and dpkg: in the background from the start.
if [ $mode != quick ]; then
  mkdir -p build
  BIN=$PWD/build SRC=$PWD timeout 2400 bash tests/bare/bare.sh >build/bare.log 2>&1 &
  bare=$!
  trap 'kill "$bare" 2>/dev/null || true' EXIT
fi
# Two tests a core: the programs here wait for each other, for clocks and for signals most of the time.
jobs=$((2 * cores)) suite build "Release, gcc" -DCMAKE_BUILD_TYPE=Release -- \
  -LE "long|hours|bare$([ $mode = quick ] || echo '|fuzz')" # the last suite has these with sanitizers
[ $mode = quick ] && exit 0

# Programs that are started from outside (mpi, e2e) run in Release only: Open MPI and HDF5 hold memory to the end. So does
# the oracle: test_engine takes the same ways through the code. Neither jobs/import.py nor the vector kernels are
# instrumented; clang runs the fuzz entries with the same sanitizers. unsanitized: other settings of what runs
# here too, for --long.
export UBSAN_OPTIONS=print_stacktrace=1
targets=chosen suite build-asan "ASan + UBSan, gcc" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 \
  -DSG_SANITIZE=address,undefined -- -LE "long|hours|bare|e2e|lint|oracle|slurm|faults|mpi|import|vector|fuzz$([ $mode = long ] || echo '|unsanitized')"
fuzz_suite -E _replay
echo "== Bare machine"
status=0
wait "$bare" || status=$?
cat build/bare.log
[ $status = 0 ] || [ $status = 77 ] || exit 1
[ $mode = normal ] && exit 0

# Races between threads of a kernel, between its blocks (fibers, which TSan knows), and between the host's own threads.
# Not the program itself: Open MPI is not instrumented.
export TSAN_OPTIONS=halt_on_error=1:exitcode=66
targets=chosen suite build-tsan "ThreadSanitizer" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 -DCMAKE_CXX_FLAGS=-O1 -DSG_SANITIZE=thread \
  -DSG_CUDA=OFF -- -L 'kernels|engine|cuda' -LE 'long|e2e|lint'
# Unwritten device memory, in every emulated operator. What reads JSON is left out (the engine, through config.json):
# libcjson is not instrumented. All is built: this is the build of the whole tree by clang.
suite build-msan "MemorySanitizer, emulated kernels" -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ \
  -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 -DCMAKE_CXX_FLAGS=-O1 -DSG_SANITIZE=memory -DSG_CUDA=OFF \
  -- -L emulated
# Other orders of warps and lanes. Six: so many suffice for every planted bug that depends on the order (test_emu_bugs).
for seed in 11 12 13 14 15 16; do
  EMU_SEED=$seed suite build "Release, emulated kernels with seed $seed" -DCMAKE_BUILD_TYPE=Release \
    -- -L emulated -LE f32
done
suite build "Release, long tests" -DCMAKE_BUILD_TYPE=Release -- -L long
