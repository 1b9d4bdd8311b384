#!/usr/bin/env bash
# campaign.sh KILLS DAMAGES SEED [real]: runs on 2 to 6 ranks that are hit at random moments of their start and, more
# often, while they compute: kill -9 of a rank, of all ranks or of mpirun, SIGTERM to a rank, SIGSTOP of a rank for up to
# two seconds, a directory that turns read-only, a disk that fills up; then damaged, foreign and lost segments and damaged results files.
# After every hit: nothing that was closed is lost, nothing stands twice. Every run that ends has the digest of an
# undisturbed one. With `real` the cells are computed by the engine and the small model instead of the simulated
# device. Prints the counts.
. "$(dirname "$0")/../mpi/lib.sh"
kills=${1:-8} damages=${2:-40}
RANDOM=${3:-1}
kind=${4:-simulated}
job="$demo"
declare -A count=([kill]=0 [all]=0 [mpirun]=0 [term]=0 [stop]=0 [readonly]=0 [full]=0 [runs]=0 [cells]=0)

if [ "$kind" = real ]; then
  program=("$BIN/scope-grid" run "$job" --quiet --set sampling.samples=2 --set sampling.max_new_tokens=48)
  speed=(--segment-seconds 0.2)
  most=2
else
  program=("$BIN/tests/sim_grid" "$job")
  speed=(--step-us 60000 --slots 4 --segment-seconds 0.05)
  most=6
fi
result() { grep -Eo 'digest [0-9a-f]{32}' "$1" | head -n 1 | cut -d' ' -f2; }
"${program[@]}" --set output.dir="$work/whole" >"$work/out" 2>&1
want=$(result "$work/out")
[ -n "$want" ] || { cat "$work/out" >&2; exit 1; }
cells() { "$BIN/tests/list_cells" "$run" | sort; }

# check WHAT: against what was there before
lost=0 twice=0 grown=0
check() {
  [ -e "$run/run.json" ] || return 0
  if ! cells >"$work/after" 2>"$work/why"; then fail "after $1: $(cat "$work/why")"; return 1; fi
  local l t
  l=$(comm -23 "$work/before" "$work/after" | wc -l)
  t=$(uniq -d "$work/after" | wc -l)
  [ "$l" = 0 ] || fail "$1 lost $l cells"
  [ "$t" = 0 ] || fail "$1: $t cells stand twice"
  [ "$1" = "the end" ] || grown=$((grown + $(comm -13 "$work/before" "$work/after" | wc -l)))
  lost=$((lost + l)) twice=$((twice + t))
  cp "$work/after" "$work/before"
}
complete() { # the run goes on undisturbed until it is done
  local n=$((RANDOM % most + 1))
  for _ in $(seq 120); do # ranks whose mpirun was killed while it started them may hold the folder a little longer
    ranks $n "${program[@]}" --set output.dir="$run" >"$work/out" 2>&1
    [ $? = 9 ] || break
    sleep 0.5
  done
  same "digest of run ${count[runs]}" "$(result "$work/out")" "$want"
  check "the end"
  same "cells of run ${count[runs]}" "$(wc -l <"$work/after")" 512
  same "unfinished segments of run ${count[runs]}" "$(find "$run/segments" -name '*.open*' | wc -l)" 0
  count[runs]=$((count[runs] + 1))
  count[cells]=$((count[cells] + 512))
}

at_work() { # all ranks are up and have asked for signals, or the run is over
  locked() { [ "$run/lock" -nt "$work/launched" ] || ! alive "$pid"; }
  soon locked
}

run="$work/run"
mkdir "$work/disk"
tmpfs=
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=64m tmpfs "$work/disk" 2>/dev/null; then
  mounted="$work/disk"
  tmpfs=yes
  run="$work/disk/run"
else
  echo "not shown here: read-only and full disks (needs root and a tmpfs)"
fi
total=0
: >"$work/before"
while [ "$total" -lt "$kills" ]; do
  if [ -e "$run/DONE" ]; then
    complete
    rm -rf "$run"
    : >"$work/before"
  fi
  n=$((RANDOM % (most - 1) + 2))
  had=$(closed "$run")
  touch "$work/launched"
  launch $n "${program[@]}" --set output.dir="$run" "${speed[@]}" --shuffle-leases $RANDOM >"$work/out" 2>&1 &
  pid=$!
  case $((RANDOM % 5)) in
    0) ;;
    1) at_work ;;
    *) until_closed "$run" $((had + 1)) "$pid" ;;
  esac
  sleep "0.$((RANDOM % 700 + 100))"
  mapfile -t children < <(pgrep -P "$pid")
  [ ${#children[@]} -gt 0 ] || { ended "$pid"; continue; }
  one=${children[RANDOM % ${#children[@]}]}
  hit=$((RANDOM % 12))
  case $hit in
    0 | 1 | 2 | 3 | 4) what="kill"; kill -9 "$one" 2>/dev/null && total=$((total + 1)) ;;
    5 | 6) what="all"; kill -9 "${children[@]}" 2>/dev/null && total=$((total + 1)) ;;
    7) what=mpirun; kill -9 "$pid" 2>/dev/null && total=$((total + 1)) ;;
    8)
      what=term
      at_work
      kill -TERM "$one" 2>/dev/null ;;
    9)
      what=stop
      at_work
      kill -STOP "$one" 2>/dev/null
      sleep "$((RANDOM % 2)).$((RANDOM % 10))"
      kill -CONT "$one" 2>/dev/null
      sleep 0.2
      kill -0 "$pid" 2>/dev/null || [ -e "$run/DONE" ] || fail "a rank that slept ended the run: $(cat "$work/out")"
      kill -TERM "$one" 2>/dev/null ;;
    10)
      what="readonly"
      [ -n "$tmpfs" ] || { kill -TERM "$one"; ended "$pid"; continue; }
      at_work
      # A file that is open for writing forbids it for a moment
      for _ in $(seq 500); do mount -o remount,ro "$work/disk" 2>/dev/null && break; sleep 0.02; done
      mount | grep -q "$work/disk.*[(,]ro[,)]" || { what=; kill -TERM "$one" 2>/dev/null; } ;;
    11)
      what=full
      [ -n "$tmpfs" ] || { kill -TERM "$one"; ended "$pid"; continue; }
      at_work
      head -c 80m /dev/zero >"$work/disk/filler" 2>/dev/null ;;
  esac
  ended "$pid"
  code=$?
  gone "${children[@]}"
  case $what in
    readonly)
      mount -o remount,rw "$work/disk"
      [ $code = 7 ] || [ -e "$run/DONE" ] || fail "exit code $code on a directory that turned read-only: $(cat "$work/out")"
      [ $code != 7 ] || has "a directory that turned read-only" "$(cat "$work/out")" '[Rr]ead-only' ;;
    full)
      rm -f "$work/disk/filler"
      [ $code = 7 ] || [ -e "$run/DONE" ] || fail "exit code $code on a full disk: $(cat "$work/out")"
      [ $code != 7 ] || has "a full disk" "$(cat "$work/out")" '(No space left|disk full)' ;;
    term | stop)
      # 137: and mpirun hung
      [ $code = 75 ] || [ $code = 0 ] || [ $code = 137 ] || fail "exit code $code after SIGTERM: $(cat "$work/out")" ;;
  esac
  [ -n "$what" ] && count[$what]=$((count[$what] + 1))
  check "hit $total ($what)"
  [ "$failures" -lt 5 ] || break
done
[ "$grown" -gt 50 ] || fail "only $grown cells survived the hits: the campaign shows little"
complete

# damage: every one is found and named, results.h5 is not touched, and the undamaged segments lead to the digest
if [ "$kind" != real ]; then
  RANDOM=${3:-1} # how often the loop above went round is a matter of time
  rm -rf "$run"
  "${program[@]}" --set output.dir="$run" --segment-seconds 0 >/dev/null 2>&1
  rm "$run/DONE"
  mapfile -t segments < <(find "$run/segments" -name '*.seg' | sort)
  "${program[@]}" --set output.dir="$work/other" --set sampling.seed=9 --segment-seconds 0 >/dev/null 2>&1
  foreign=$(find "$work/other/segments" -name '*.seg' | head -n 1)
  before=$(sha256sum <"$run/results.h5")
  found=0
  for i in $(seq "$damages"); do
    victim=${segments[(RANDOM * 32768 + RANDOM) % ${#segments[@]}]}
    size=$(stat -c %s "$victim")
    at=$(((RANDOM * 32768 + RANDOM) % size))
    cp "$victim" "$work/good"
    case $((i % 4)) in
      0) truncate -s $at "$victim"; how="cut at byte $at"; expect=5 ;;
      1 | 2)
        byte=$(od -An -tu1 -j $at -N 1 "$victim")
        # shellcheck disable=SC2059
        printf "\\x$(printf %x $((byte ^ (1 << RANDOM % 8))))" | dd of="$victim" bs=1 seek=$at conv=notrunc status=none
        how="bit flipped in byte $at"; expect=5 ;;
      3) cp "$foreign" "$victim"; how="of another run"; expect=6 ;;
    esac
    out=$("$BIN/scope-grid" merge "$run" 2>&1)
    same "exit code with a segment $how" $? $expect
    has "a segment $how" "$out" "$(basename "$victim")"
    grep -q "$(basename "$victim")" <<<"$out" && found=$((found + 1))
    cp "$work/good" "$victim"
  done
  same "results.h5 beside damaged segments" "$(sha256sum <"$run/results.h5")" "$before"
  "$BIN/scope-grid" merge "$run" >"$work/out" 2>&1
  same "digest once the segments are whole" "$(result "$work/out")" "$want"
  "$BIN/tests/cut_results" "$run/results.h5" "$((damages * 5 > 1000 ? 1000 : damages * 5))" "$RANDOM" ||
    fail "a damaged results file was accepted or not named"
  echo "segments: $found of $damages damages found and named"
fi
echo "$kind: $total kills -9 (${count[kill]} of one rank, ${count[all]} of all, ${count[mpirun]} of mpirun)," \
  "${count[term]} SIGTERM, ${count[stop]} SIGSTOP, ${count[readonly]} read-only, ${count[full]} full disks;" \
  "${count[runs]} runs completed, $lost closed cells lost, $twice computed twice, $grown closed between hits"
finish
