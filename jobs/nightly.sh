#!/usr/bin/env bash
# The same grid every night, with that day's queries, prices and models: only what changed is computed.
#
#   jobs/nightly.sh JOB.json [options of scope-grid run]
#
# With cron (`crontab -e`; cron has a short PATH), or by hand:
#
#   30 1 * * * cd /home/me/scope && jobs/nightly.sh jobs/nightly.json >>nightly.log 2>&1
#
# With Slurm: slurm/nightly.sbatch, which calls this script.
#
# The last part of the job's output.dir holds {night}. Beside the nights' folders lies the link `latest` to the
# results.h5 of the newest complete night: what did not change since then is taken over. The link moves in one step
# when a night is complete, so a reader always finds a whole file. Then the oldest complete nights beyond SCOPE_KEEP go.
#
# The two steps by themselves, for a script that starts the run in its own way:
#   nightly.sh --link RUN_DIR NIGHT    prints the link, for --since; refuses a RUN_DIR that is the same every night
#   nightly.sh --publish RUN_DIR       after the run: moves the link and removes old nights; nothing without DONE
set -uo pipefail
SCOPE_KEEP=${SCOPE_KEEP:-14} # complete nights that stay; 0: all
SCOPE_START=${SCOPE_START:-} # what starts the ranks, as in "mpirun -n 4"; empty: one process
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SCOPE_BIN=${SCOPE_BIN:-$here/../build} # the folder with the programs
die() { echo "nightly.sh: $*" >&2; exit 2; }

link_of() { # RUN_DIR NIGHT
  local latest
  latest=$(dirname "$1")/latest
  case ${1##*/} in
    *"$2"*) ;;
    *) die "the run's folder is $1 every night: put {night} into the last part of output.dir (see jobs/nightly.json)" ;;
  esac
  [ -L "$latest" ] || [ ! -e "$latest" ] || die "$latest would be replaced and is no symbolic link"
  printf '%s\n' "$latest"
}

# When the run of that folder was finished; nothing for one that is not complete.
finished() { sed -n 's/.*"finished_at": *"\([^"]*\)".*/\1/p' "$1/DONE" 2>/dev/null; }

# The job's name as the run folder records it.
name_of() { sed -n 's/^  "name": //p' "$1/job.json" 2>/dev/null; }

# Does that folder hold files of a run and nothing else? (origin.bin, hand and array: of earlier versions.)
holds_a_run() { # DIR
  [ -d "$1" ] && [ ! -L "$1" ] && [ -z "$(cd "$1" && find . -mindepth 1 \
    ! -path './segments/*.seg' ! -path './segments/*.open' ! -path './segments/.clock.*' ! -path './inflight/[0-9]*-*' \
    ! -path './shards/[0-9]*.*' ! -path './shards/*.json' ! -path './hand/*' ! -path './array/*' \
    ! -path './DONE' ! -path './results.h5' ! -path './run.json' ! -path './job.json' ! -path './plan.bin' \
    ! -path './origin.bin' ! -path './progress.json' ! -path './metrics.jsonl' ! -path './metrics.prom' ! -path './segments' ! -path './hand' \
    ! -path './inflight' ! -path './array' ! -path './shards' ! -path './idle-attempts*' -print -quit)" ]
}

# Is that folder nothing but a complete run of the job NAME that nobody works on?
is_old_run() { # DIR NAME
  [ -f "$1/run.json" ] && [ "$(name_of "$1")" = "$2" ] &&
    [ -n "$(finished "$1")" ] && [ ! -e "$1/lock" ] && holds_a_run "$1"
}

# The oldest complete nights beyond SCOPE_KEEP go: never this one nor the one that the link names.
retire() { # RUN_DIR LATEST
  local parent dir newest gone name n=0
  name=$(name_of "$1")
  parent=$(dirname "$1")
  for gone in "$parent"/.retired.*; do # of one that was killed on the way
    [[ ${gone##*/} =~ ^\.retired\.[0-9]+\.[0-9]+$ ]] && holds_a_run "$gone" && rm -rf "$gone"
  done
  newest=$(readlink -f "$2")
  while IFS= read -r dir; do
    n=$((n + 1))
    [ "$n" -gt "$SCOPE_KEEP" ] || continue
    if [ "${dir##*/}" = "${1##*/}" ] || [ "$(readlink -f "$dir")/results.h5" = "$newest" ]; then continue; fi
    gone=$parent/.retired.$$.$n # out of readers' sight in one step
    mv -T "$dir" "$gone" && rm -rf "$gone" && echo "nightly.sh: removed $dir"
  done < <(for dir in "$parent"/*/; do
    dir=${dir%/}
    is_old_run "$dir" "$name" && printf '%s %s\n' "$(finished "$dir")" "$dir"
  done | LC_ALL=C sort -r | cut -d' ' -f2-)
}

publish() { # RUN_DIR
  local latest ours theirs next
  latest=$(dirname "$1")/latest
  next=$(dirname "$1")/.latest.$$
  ours=$(finished "$1")
  [ -n "$ours" ] || return 0
  theirs=$(finished "$(dirname "$(readlink -f "$latest")")")
  if [[ ! "$theirs" > "$ours" ]]; then
    [ -L "$latest" ] || [ ! -e "$latest" ] || die "$latest would be replaced and is no symbolic link"
    if ! ln -sfn "${1##*/}/results.h5" "$next" || ! mv -T "$next" "$latest"; then die "$latest could not be moved"; fi
  fi
  [ "$SCOPE_KEEP" -eq 0 ] || retire "$1" "$latest"
}

case ${1:-} in
  --link) [ $# = 3 ] || die "usage: nightly.sh --link RUN_DIR NIGHT"; link_of "$2" "$3"; exit ;;
  --publish) [ $# = 2 ] || die "usage: nightly.sh --publish RUN_DIR"; publish "$2"; exit ;;
  "" | -*) die "usage: nightly.sh JOB.json [options of scope-grid run]" ;;
esac

# Only options that plan knows too can change where the run is.
job=$1
night=$(date -u +%F)
where=()
for ((i = 2; i <= $#; i++)); do
  j=$((i + 1))
  case ${!i} in
    --night) night=${!j:-} i=$j ;;
    --night=*) night=${!i#*=} ;;
    --set | --device) where+=("${!i}" "${!j:-}") i=$j ;;
    --set=* | --device=*) where+=("${!i}") ;;
  esac
done
plan=$("$SCOPE_BIN/scope-grid" plan "$job" ${where[@]+"${where[@]}"} --night "$night" --json) || exit
[[ $plan =~ \"run_dir\":\ *\"((\\.|[^\"\\])*)\" ]]
run_dir=$(printf %b "${BASH_REMATCH[1]//\\\"/\"}")
latest=$(link_of "$run_dir" "$night") || exit
# shellcheck disable=SC2086
$SCOPE_START "$SCOPE_BIN/scope-grid" run "$@" --night "$night" --since "$latest"
code=$?
publish "$run_dir" || exit
exit "$code"
