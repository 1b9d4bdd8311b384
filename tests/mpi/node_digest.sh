#!/usr/bin/env bash
# The digest of the estimator's files: one process of a node hashes for all that see the same files, a rank that sees
# others hashes its own; the digest tells models apart and does not depend on where a copy lies, so a run goes on with a
# copy; what goes wrong ends the run on all ranks with one line.
. "$(dirname "$0")/lib.sh"
job="$demo"
# sim RANKS NODES options: ranks that read the model's files, on pretended nodes; each says when it hashes
sim() {
  local n=$1 nodes=$2; shift 2
  ranks "$n" "$BIN/tests/sim_grid" "$job" --model --nodes "$nodes" --set output.dir="$work/run" "$@" 2>&1
}
hashed() { grep -c '^hashed$' <<<"$1"; }

want=$(digest_of "$(sim 1 1)")
[ -n "$want" ] || fail "no digest"
for nodes in 1 2 3; do
  out=$(sim 4 $nodes --fresh)
  same "digest on $nodes nodes" "$(digest_of "$out")" "$want"
  same "ranks that hash, of 4 on $nodes nodes" "$(hashed "$out")" $nodes
done
out=$(sim 4 2 --fresh --other-view-on 2)
same "digest with a rank that sees other inodes" "$(digest_of "$out")" "$want"
same "ranks that hash beside one that sees other inodes" "$(hashed "$out")" 3

# the digest tells models apart; a copy elsewhere is the same model, and so is a farm of links (a Hugging Face cache)
mkdir "$work/links"
cp -rL "$SRC/jobs/demo/model" "$work/copy"
for f in "$work"/copy/*; do ln -s "../copy/$(basename "$f")" "$work/links/"; done
for place in copy links; do
  out=$(sim 2 2 --set model.path="$work/$place"); same "exit code of the same run with a model of $place" $? 0
  has "the same run with a model of $place" "$out" "already|computed 0"
  same "digest of a model of $place" "$(digest_of "$out")" "$want"
done
printf ' ' >>"$work/copy/config.json"
out=$(sim 2 2 --set model.path="$work/copy"); same "exit code of the same run with another model" $? 6
one_line "another model" "$(grep -v '^hashed$' <<<"$out")"
[ "$(digest_of "$(sim 1 1 --fresh --set model.path="$work/copy")")" != "$want" ] || fail "another model gave the same digest"

# the real program, stopped with the model in one place and finished with a copy of it
cp -rL "$SRC/jobs/demo/model" "$work/again"
head -n 1 "$SRC/jobs/demo/queries.jsonl" >"$work/one.jsonl"
real() {
  ranks 2 "$BIN/scope-grid" run "$job" --set queries="$work/one.jsonl" --set sampling.samples=1 \
    --set sampling.max_new_tokens=2 "$@" 2>&1
}
first=$(digest_of "$(real --set output.dir="$work/real")")
[ -n "$first" ] || fail "the real program gave no digest"
out=$(real --set output.dir="$work/real" --set model.path="$work/again"); same "exit code with a copy" $? 0
same "digest with a copy" "$(digest_of "$out")" "$first"
rm "$work/real/DONE" "$work/real"/segments/*
out=$(real --set output.dir="$work/real" --set model.path="$work/again"); same "exit code of a run that goes on with a copy" $? 0
same "digest of a run that goes on with a copy" "$(digest_of "$out")" "$first"

out=$(sim 3 3 --set model.path="$work/nothing"); same "exit code without a model" $? 3
one_line "no model" "$out"
has "no model" "$out" "$work/nothing: no such model directory"
finish
