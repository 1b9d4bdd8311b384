#!/usr/bin/env bash
# A run folder that others may write: a link that somebody put in the place of a file of the run is not followed, a pipe
# is not waited for, and nothing is removed but what the program has made.
. "$(dirname "$0")/../mpi/lib.sh"
job="$demo"
run="$work/run"
sim() { timeout -k 5 60 "$BIN/tests/sim_grid" "$job" --set output.dir="$run" "$@" 2>&1; }
want=$(digest_of "$(sim)")
victim="$work/victim" # a file of the user that somebody would like to see overwritten
fresh() { rm -rf "$run"; mkdir "$run"; echo precious >"$victim"; }

# links where the program writes
fresh
ln -s "$victim" "$run/metrics.jsonl"
for name in progress.json.tmp progress.json job.json plan.bin results.h5; do ln -s "$victim" "$run/$name"; done
out=$(sim); same "exit code among links" $? 0
same "digest among links" "$(digest_of "$out")" "$want"
same "the file that the links name" "$(cat "$victim")" precious
[ ! -L "$run/results.h5" ] || fail "results.h5 is still a link"

# links and pipes where it reads: one line, no waiting
for name in run.json plan.bin lock; do
  for kind in link pipe; do
    fresh
    sim >/dev/null
    rm -rf "$run/DONE" "${run:?}/$name"
    if [ $kind = pipe ]; then mkfifo "$run/$name"; else ln -s "$victim" "$run/$name"; fi
    out=$(sim); code=$?
    [ $code -ne 0 ] && [ $code -lt 124 ] || fail "$name is a $kind: exit code $code: $out"
    one_line "$name is a $kind" "$out"
    has "$name is a $kind" "$out" "/$name: .*(is a symbolic link|is not a regular file)"
    same "the file that a link $name names" "$(cat "$victim")" precious
  done
done
# a run that cannot be looked at is not taken for none, and not written over
fresh
sim >/dev/null
ln -sf run.json "$run/run.json"
before=$(sha256sum "$run"/{plan.bin,DONE,results.h5})
out=$(sim); same "exit code when run.json leads in a circle" $? 7
has "run.json leads in a circle" "$out" "/run.json: cannot look at it: Too many levels of symbolic links"
same "the run whose run.json leads in a circle" "$(sha256sum "$run"/{plan.bin,DONE,results.h5})" "$before"
fresh
sim >/dev/null
sed -i 's/"time": *[0-9]*/"time": -1e300/' "$run/progress.json"
has "a progress.json from before all time" "$("$BIN/scope-grid" status "$run" --json)" '"age_s": 9[0-9]{15},'
rm "$run/DONE"
mkfifo "$run/segments/00009-x.seg"
out=$(sim); code=$?
[ $code -ne 0 ] && [ $code -lt 124 ] || fail "a segment is a pipe: exit code $code: $out"
has "a segment is a pipe" "$out" "00009-x.seg: is not a regular file"

# folders of the run that are links: --fresh removes nothing there, a run does not compute into them
mine="$work/mine"
for name in inflight shards segments; do
  fresh
  sim >/dev/null
  mkdir -p "$mine" && touch "$mine"/{notes,00001-notes,001.done,a.seg}
  rm -rf "${run:?}/$name" && ln -s "$mine" "$run/$name"
  sim --fresh >/dev/null
  same "a folder that $name was a link to" "$(ls "$mine" | tr '\n' ' ')" "00001-notes 001.done a.seg notes "
done

# files that are not the run's stay, wherever they lie
fresh
sim >/dev/null
mkdir -p "$run"/{inflight,shards}
touch "$run"/{notes.txt,inflight/1notes,shards/notes.txt,segments/notes.txt,results.h5.tmp.mine,segments/.clock.mine}
sim --fresh >/dev/null; same "exit code of --fresh among other files" $? 0
for name in notes.txt inflight/1notes shards/notes.txt segments/notes.txt results.h5.tmp.mine segments/.clock.mine; do
  [ -e "$run/$name" ] || fail "--fresh removed $name, which the program did not make"
done

# what the user names may be a link: the job, the model's files, the results
mkdir "$work/model" && ln -s "$SRC"/jobs/demo/model/* "$work/model/"
ln -s "$job" "$work/job.json"
ln -s "$work"/jobs/demo/{*.jsonl,portfolio.json} "$work/"
out=$("$BIN/scope-grid" plan "$work/job.json" --set model.path="$work/model" 2>&1); same "exit code of a plan through links" $? 0
ln -s "$run/results.h5" "$work/latest"
"$BIN/scope-frontier" "$work/latest" --output "$work/out" >/dev/null 2>&1; same "exit code of the frontier through a link" $? 0
finish
