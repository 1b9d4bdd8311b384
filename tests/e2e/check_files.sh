#!/usr/bin/env bash
# scope-grid check: sound files pass; every kind of damage, mix and gap is found, named, and has its exit code.
. "$(dirname "$0")/../mpi/lib.sh"
py=/usr/bin/python3
job="$demo"
run="$work/run"
head -n 8 "$SRC/jobs/demo/queries.jsonl" >"$work/queries.jsonl"
sim() { "$BIN/tests/sim_grid" "$job" --set queries="$work/queries.jsonl" --set output.dir="$run" "$@" 2>&1; }
check() { "$BIN/scope-grid" check "$@" 2>&1; }
fresh() { rm -rf "$run"; sim "$@" >/dev/null; }

fresh
out=$(check "$run"); same "exit code of a sound run" $? 0
has "a sound run" "$out" "64 cells, 64 present, 0 failed, 0 missing; 64 in segments"
out=$(check "$run/results.h5" --json); same "exit code of a sound file" $? 0
$py -c 'import json, sys; d = json.loads(sys.argv[1]); assert d["verdict"] == "ok" and d["sealed"] and d["fingerprints"] and d["problems"] == [] and d["cells"] == 64' "$out" || fail "json of a sound file: $out"

# one byte anywhere
size=$(stat -c %s "$run/results.h5")
for at in 3 700 9000 $((size / 2)) $((size - 60)) $((size - 20)); do
  $py -c 'import sys; b = bytearray(open(sys.argv[1], "rb").read()); b[int(sys.argv[3])] ^= 4; open(sys.argv[2], "wb").write(b)' "$run/results.h5" "$work/bad.h5" $at
  out=$(check "$work/bad.h5"); code=$?
  [ $code = 5 ] || [ $code = 3 ] || fail "byte $at changed: exit code $code: $out"
done
head -c $((size / 2)) "$run/results.h5" >"$work/cut.h5"
out=$(check "$work/cut.h5"); same "exit code of a cut file" $? 5
out=$(check "$job"); same "exit code of another file" $? 3
out=$(check "$work/none"); same "exit code of no file" $? 3
out=$(check "$work"); same "exit code of another folder" $? 3

# edited with other tools, digest and all: HDF5 drops the seal, the contents still have to agree
edited() { # NAME CODE WORDS
  cp "$run/results.h5" "$work/edited.h5"
  $py -c "
import h5py, numpy as np, sys
with h5py.File(sys.argv[1], 'r+') as f:
    $2" "$work/edited.h5" || fail "$1: h5py"
  out=$(check "$work/edited.h5"); same "exit code: $1" $? 5
  has "$1" "$out" "$3"
}
edited "a value" "f['p_correct'][3, 2] = 0.5" "do not have the digest"
edited "a fingerprint" "f['origin/fingerprint'][7, 0] = 1" "fingerprints and nights do not have the checksum"
edited "a night" "f['origin/night'][7] = -1" "fingerprints and nights do not have the checksum"
edited "a night out of range" "f['origin/night'][7] = 5" "origin/night has 5 at cell 7"
edited "the hash of a query" "f['origin/prompt'][3, 1] = 1" "fingerprints and nights do not have the checksum"
edited "a text" "f['texts/bytes'][40] = 65" "texts of query .*, model .* are not those of its digest"
cp "$run/results.h5" "$work/edited.h5"
$py -c "
import h5py, sys
with h5py.File(sys.argv[1], 'r+') as f: f.attrs['title'] = 'mine'" "$work/edited.h5"
out=$(check "$work/edited.h5"); same "exit code of an edited title" $? 0
has "an edited title" "$out" "no seal"

# the folder: parts of different runs, lost and foreign segments
echo '{"digest": "00000000000000000000000000000000", "fingerprint": "00000000000000000000000000000000", "total": 64, "failed": 0}' >"$run/DONE"
out=$(check "$run"); same "exit code of a foreign DONE" $? 5
has "a foreign DONE" "$out" "DONE: belongs to another run"
has "a foreign DONE" "$out" "DONE: states another digest"
echo '{' >"$run/DONE"
out=$(sim); same "exit code of a damaged DONE" $? 5
one_line "a damaged DONE" "$out"
has "a damaged DONE" "$out" "DONE is damaged; without it the same command ends the run again: .*/DONE:2:1: broken JSON"
rm "$run/DONE"
has "without the damaged DONE" "$(sim)" "computed 0"
fresh
"$BIN/tests/sim_grid" "$job" --set queries="$work/queries.jsonl" --set output.dir="$work/other" --set sampling.seed=5 >/dev/null 2>&1
cp "$work/other/results.h5" "$run/results.h5"
out=$(check "$run"); same "exit code of foreign results" $? 5
has "foreign results" "$out" "results.h5: is of the run [0-9a-f]{32}, the folder's plan of"
fresh --segment-seconds 0.002 --step-us 2000
segment=$(ls "$run"/segments/*.seg | tail -n 1)
[ "$(ls "$run"/segments | wc -l)" -gt 2 ] || fail "the run has too few segments to lose one"
mv "$segment" "$work/kept"
out=$(check "$run"); same "exit code of a lost segment" $? 5
has "a lost segment" "$out" "is DONE, but [0-9]+ of 64 cells are in no segment"
cp "$work/other/segments/"*.seg "$run/segments/"
out=$(check "$run"); same "exit code of a foreign segment and lost cells" $? 5
has "a foreign segment" "$out" "belongs to a run of fingerprint"
rm "$run"/segments/*.seg; head -c $(($(stat -c %s "$work/kept") - 9)) "$work/kept" >"$segment"
out=$(check "$run"); same "exit code of a cut segment" $? 5
has "a cut segment" "$out" "$(basename "$segment")"

# not complete is neither damage nor fine
fresh --fail-every 50
out=$(check "$run/results.h5"); same "exit code with failed cells" $? 10
has "failed cells" "$out" "62 present, 2 failed, 0 missing"
fresh
rm "$run/DONE" "$run/results.h5"
out=$(check "$run"); same "exit code of a run that is not done" $? 10
has "a run that is not done" "$out" "not done: 64 of 64 cells are finished"
finish
