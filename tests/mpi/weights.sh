#!/usr/bin/env bash
# How weights reach the ranks (engine.weights): every way gives the same digest; a node has one copy, which is
# whole or not used, shared by the runs on the node, and gone when the last has ended, however the others did;
# a broadcast has one reader; what goes wrong ends the run on all ranks with one line and leaves nothing half.
. "$(dirname "$0")/lib.sh"
job="$SRC/jobs/demo/job.json"
export TMPDIR="$work/tmp"
mkdir "$TMPDIR"
# sim RANKS NODES options: ranks that read the model's files, on pretended nodes with a $TMPDIR each
sim() {
  local n=$1 nodes=$2; shift 2
  ranks "$n" "$BIN/tests/sim_grid" "$job" --model --nodes "$nodes" --fresh --set output.dir="$work/run" "$@" 2>&1
}
copies() { find "$TMPDIR" "$work/stage" -path '*scope-grid-*' -type f 2>/dev/null; }
empty() { [ -z "$(copies)" ] || fail "$1 left $(copies | tr '\n' ' ')"; }
mkdir "$work/stage"
stage=(--set engine.weights=stage)
broadcast=(--set engine.weights=broadcast)

# every way, one node and several, is the same
want=$(digest_of "$(sim 1 1)")
[ -n "$want" ] || fail "no digest without copies"
for nodes in 1 2 3; do
  for mode in mmap stage broadcast; do
    out=$(sim 4 $nodes --set engine.weights=$mode)
    same "digest with $mode on $nodes nodes" "$(digest_of "$out")" "$want"
    empty "$mode on $nodes nodes"
  done
done
changed="$work/changed" # the digest tells models apart: else the checks above prove nothing
cp -rL "$SRC/jobs/demo/model" "$changed"
printf ' ' >>"$changed/config.json"
[ "$(digest_of "$(sim 1 1 --set model.path="$changed")")" != "$want" ] || fail "another model gave the same digest"

# the real program
head -n 1 "$SRC/jobs/demo/queries.jsonl" >"$work/one.jsonl"
for mode in mmap stage broadcast; do
  out=$(ranks 2 "$BIN/scope-grid" run "$job" --fresh --set queries="$work/one.jsonl" --set sampling.samples=1 \
    --set sampling.max_new_tokens=2 --set output.dir="$work/real" --set engine.weights=$mode 2>&1)
  digests+=("$(digest_of "$out")")
done
[ -n "${digests[0]}" ] || fail "the real program: $out"
same "digest of the real program, staged" "${digests[1]}" "${digests[0]}"
same "digest of the real program, broadcast" "${digests[2]}" "${digests[0]}"
empty "the real program"

# a Hugging Face cache is a farm of links
mkdir "$work/blobs" "$work/links"
for f in "$SRC"/jobs/demo/model/*; do cp "$f" "$work/blobs/"; ln -s "../blobs/$(basename "$f")" "$work/links/"; done
out=$(sim 2 2 "${stage[@]}" --set model.path="$work/links")
same "digest of a model of links" "$(digest_of "$out")" "$want"

# a broadcast has one reader: the other ranks have no such folder at all
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
  hide='mount -t tmpfs none "$1"; shift; exec "$@"'
  with=("$BIN/tests/sim_grid" "$job" --model --nodes 3 --fresh --set output.dir="$work/run" --set model.path="$changed")
  for mode in broadcast stage; do
    out=$(mpirun -q --oversubscribe --bind-to none -n 1 "${with[@]}" --set engine.weights=$mode : \
      -n 3 unshare -m sh -c "$hide" hide "$changed" "${with[@]}" --set engine.weights=$mode 2>&1)
    code=$?
    if [ $mode = broadcast ]; then
      same "exit code of a broadcast with one reader" $code 0
      [ -n "$(digest_of "$out")" ] || fail "a broadcast with one reader: $out"
    else
      same "exit code of stage where only the root sees the model" $code 3
      one_line "stage where only the root sees the model" "$out"
      has "stage where only the root sees the model" "$out" "rank 1 on [^ ]+ \(and 1 more rank\): $changed/config.json"
    fi
    empty "a model that only the root sees ($mode)"
  done
else
  echo "not shown here: one reader (needs root and mount namespaces)"
fi

# kept, used again, and removed by the first run that does not keep it
keep=("${stage[@]}" --set engine.stage_dir="$work/stage" --set engine.stage_keep=true)
weights() { find "$work/stage" -name model.safetensors; }
out=$(sim 2 1 "${keep[@]}")
first=$(stat -c '%i %Y %A' "$(weights)")
has "mode of a copied file" "$first" "-rw-------"
same "mode of the copy's folder" "$(stat -c %A "$(dirname "$(weights)")")" "drwx------"
out=$(sim 2 1 "${keep[@]}")
same "the kept copy, used again" "$(stat -c '%i %Y %A' "$(weights)")" "$first"
# damaged meanwhile: noticed, made anew
"$python" -c "f = open('$(weights)', 'r+b'); f.seek(5000000); b = f.read(1); f.seek(5000000); f.write(bytes([b[0] ^ 1]))"
out=$(sim 3 1 "${keep[@]}")
same "digest after the copy was damaged" "$(digest_of "$out")" "$want"
cmp "$(weights)" "$SRC/jobs/demo/model/model.safetensors" || fail "a damaged copy was not made anew"
: >"$(weights)"
same "digest after the copy was cut" "$(digest_of "$(sim 3 1 "${keep[@]}")")" "$want"
# another model beside it; the model changed where it lies
out=$(sim 1 1 "${keep[@]}" --set model.path="$changed")
same "copies of two models" "$(weights | wc -l)" 2
touch "$changed/config.json"
out=$(sim 1 1 "${stage[@]}" --set engine.stage_dir="$work/stage" --set model.path="$changed")
same "copies after a run that does not keep its own" "$(weights | wc -l)" 2
out=$(sim 1 1 "${stage[@]}" --set engine.stage_dir="$work/stage")
same "copies after a run that does not keep a kept one" "$(weights | wc -l)" 1
rm -rf "$work/stage"/*

# two runs at once, on one node and on two: they share or copy one after the other, and nobody waits for ever
for mode in stage broadcast; do
  pids=()
  for i in 1 2 3; do
    mkdir -p "$work/mpi-$i"
    (trap - EXIT; export OMPI_MCA_orte_tmpdir_base="$work/mpi-$i" # as in lib.sh
      launch 2 "$BIN/tests/sim_grid" "$job" --model --nodes 2 --set output.dir="$work/at-once-$i" \
      --set engine.weights=$mode >"$work/out-$i" 2>&1) &
    pids+=($!)
  done
  for i in 1 2 3; do
    wait "${pids[i - 1]}"; same "exit code of run $i of three at once ($mode)" $? 0
    out=$(cat "$work/out-$i")
    [ "$(digest_of "$out")" = "$want" ] || fail "run $i of three at once ($mode): $out"
  done
  empty "three runs at once ($mode)"
  rm -rf "$work"/at-once-*
done

# an array: processes that do not know each other share the copy; none can broadcast
for i in 1 2 3; do
  "$BIN/tests/sim_grid" "$job" --model --array --step-us 1000 --set output.dir="$work/array" "${stage[@]}" >"$work/out-$i" 2>&1 &
  pids[i]=$!
done
for i in 1 2 3; do
  wait "${pids[i]}"; same "exit code of array task $i" $? 0
  same "digest of array task $i" "$(digest_of "$(cat "$work/out-$i")")" "$want"
done
empty "an array"
out=$("$BIN/tests/sim_grid" "$job" --model --array --set output.dir="$work/array" "${broadcast[@]}" 2>&1)
same "exit code of an array that broadcasts" $? 2
one_line "an array that broadcasts" "$out"

# a sweep copies once for all its points
cat >"$work/sweep.json" <<JSON
{"job": "$job", "dir": "$work/sweep", "axes": {"prompt.anchors": [2, 3], "sampling.samples": [2, 1]}}
JSON
out=$("$BIN/tests/sim_grid" "$work/sweep.json" --model --progress "${stage[@]}" 2>&1); same "exit code of a sweep" $? 0
same "copies that a sweep of four points makes" "$(grep -c 'copying [0-9]* MiB of weights' <<<"$out")" 1
empty "a sweep"

# no room, no right, no model
mkdir "$work/disk"
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=3m tmpfs "$work/disk" 2>/dev/null; then
  mounted="$work/disk"
  for mode in stage broadcast; do
    out=$(sim 3 2 --set engine.weights=$mode --set engine.stage_dir="$work/disk"); same "exit code without room ($mode)" $? 7
    one_line "no room ($mode)" "$out"
    has "no room ($mode)" "$out" "$work/disk: a copy of .*/model takes [0-9]+ MiB and [0-9]+ are free: [0-9]+ MiB are missing; set engine.stage_dir"
    same "what no room left behind ($mode)" "$(ls "$work/disk")" ""
  done
  umount "$work/disk"
  mounted=
else
  echo "not shown here: a full disk (needs root and a tmpfs)"
fi
out=$(ulimit -f 3000; "$BIN/tests/sim_grid" "$job" --model --fresh --set output.dir="$work/run" "${stage[@]}" 2>&1)
same "exit code with a file limit" $? 7
one_line "a file limit" "$out"
has "a file limit" "$out" "model.safetensors.part: cannot write: File too large"
empty "a file limit"
for mode in stage broadcast; do
  out=$(sim 2 2 --set engine.weights=$mode --set engine.stage_dir=/dev/null/x); same "exit code without a place ($mode)" $? 7
  one_line "no place ($mode)" "$out"
  out=$(sim 3 3 --set engine.weights=$mode --set model.path="$work/nothing"); same "exit code without a model ($mode)" $? 3
  one_line "no model ($mode)" "$out"
  has "no model ($mode)" "$out" "$work/nothing: no such model directory"
done
mkdir "$work/squat"
mkdir -m 777 "$work/squat/$(sim 1 1 "${keep[@]}" >/dev/null; ls "$work/stage")"
out=$(sim 1 1 "${stage[@]}" --set engine.stage_dir="$work/squat"); same "exit code in a folder open to others" $? 3
has "a folder open to others" "$out" "is not a folder that you alone may write to"
rm -rf "$work/stage"/*

# in the middle of a copy: killed, stopped, the source changed. A model of three pieces, held after the first.
big="$work/big"
mkdir "$big"
cp "$SRC/jobs/demo/model/config.json" "$SRC/jobs/demo/model/tokenizer.json" "$big"
"$python" - "$big/model.safetensors" <<'PY'
import json, struct, sys
n = 80 << 20
head = json.dumps({"x": {"dtype": "U8", "shape": [n], "data_offsets": [0, n]}}).encode()
with open(sys.argv[1], "wb") as f:
    f.write(struct.pack("<Q", len(head)) + head)
    f.truncate(8 + len(head) + n)
PY
middle() { # middle MODE: a run in the background, until both nodes have begun their copies
  touch "$work/hold"
  launch 3 "$BIN/tests/sim_grid" "$job" --model --nodes 2 --fresh --set output.dir="$work/run" --hold-copies "$work/hold" \
    --set model.path="$big" --set engine.weights="$1" >"$work/out" 2>&1 &
  pid=$!
  begun() { # not what an earlier kill has left
    local n
    for n in 0 1; do
      [ -n "$(find "$TMPDIR/node$n" -name model.safetensors.part -newer "$work/hold" -size +1000k 2>/dev/null)" ] || return 1
    done
  }
  soon begun || fail "no copies are begun ($1)"
}
kill9() { # kill9 N|all: child N of the run, or all
  local ranks
  mapfile -t ranks < <(pgrep -P $pid | sort -n)
  if [ "$1" = all ]; then kill -9 "${ranks[@]}"; else kill -9 "${ranks[$1]}"; fi
  ended $pid
  gone "${ranks[@]}"
}
for mode in stage broadcast; do
  middle $mode
  kill -USR1 $pid # ends the hold
  wait $pid; same "exit code of a run stopped while it copies ($mode)" $? 75
  one_line "stopped while it copies ($mode)" "$(cat "$work/out")"
  empty "a run stopped while it copies ($mode)"
  middle $mode
  touch "$big/model.safetensors"
  rm "$work/hold"
  wait $pid; same "exit code when the model changes ($mode)" $? 3
  one_line "the model changes ($mode)" "$(cat "$work/out")"
  has "the model changes ($mode)" "$(cat "$work/out")" "$big/model.safetensors: changed while it was read"
  empty "a model that changes ($mode)"
  if [ "$(id -u)" = 0 ] && mkdir -p "$TMPDIR/node1" && mount -t tmpfs -o size=100m tmpfs "$TMPDIR/node1" 2>/dev/null; then
    mounted="$TMPDIR/node1" # one node's disk is filled by somebody else meanwhile
    middle $mode
    # (written, not fallocate: that gives back what it took when it cannot have all)
    head -c 110M /dev/zero >"$TMPDIR/node1/fill" 2>/dev/null && fail "the disk of node1 is not full ($mode)"
    rm "$work/hold"
    wait $pid; same "exit code when a disk fills up ($mode)" $? 7
    one_line "a disk that fills up ($mode)" "$(cat "$work/out")"
    has "a disk that fills up ($mode)" "$(cat "$work/out")" \
      "rank 1 on [^ ]+: $TMPDIR/node1/scope-grid-.*model.safetensors.part: cannot write: No space left on device; set engine.stage_dir"
    empty "a disk that fills up ($mode)"
    umount "$TMPDIR/node1"
    mounted=
  fi
  for victim in 0 1 all; do # ranks 0 and 1 lead the two nodes
    middle $mode
    kill9 $victim
    left=$(copies | wc -l)
  done
done
[ "$left" -gt 0 ] || fail "the kills left nothing behind: the next check proves nothing"
out=$(sim 3 2 "${stage[@]}" --set model.path="$big"); same "exit code after kills in the middle of copies" $? 0
big_digest=$(digest_of "$(sim 1 1 --set model.path="$big")")
same "digest after kills in the middle of copies" "$(digest_of "$out")" "$big_digest"
out=$(sim 3 3 "${broadcast[@]}" --set model.path="$big")
same "digest of a broadcast after kills" "$(digest_of "$out")" "$big_digest"
empty "the runs after kills"
# what kills have left of a model that is not asked for again is cleared away by a run of another
middle stage
kill9 all
[ -n "$(copies)" ] || fail "a killed run left nothing: the next check proves nothing"
out=$(sim 2 2 "${stage[@]}"); same "digest beside an orphan" "$(digest_of "$out")" "$want"
empty "a run beside an orphan"
finish
