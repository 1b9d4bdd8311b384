#!/usr/bin/env bash
# Start-up: from launch to the first cell, with the checkpoint in the page cache.
#   startup.sh DIR SHAPE_OPTIONS...     e.g. startup.sh /tmp/sg-4b --shape qwen3-4b
# makes a random checkpoint in DIR when there is none (not removed here), runs one cell of the demo job without
# anchors and with one new token, and prints a line per run: ranks, and seconds by metrics.jsonl. RANKS="1 2" says with
# how many ranks.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
bin=${BIN:-$here/build}
model=$1
shift
[ -e "$model/tokenizer.json" ] || {
  python3 "$here/tests/bench/make_random_model.py" "$model" "$@"
  cp "$here/jobs/demo/model/tokenizer.json" "$model/"
}
work=$(mktemp -d /tmp/sg-startup.XXXXXX)
trap 'rm -rf "$work"' EXIT
head -n 1 "$here/jobs/demo/queries.jsonl" >"$work/queries.jsonl"
python3 - "$here/jobs/demo" "$work" <<'PY' # one model of the portfolio
import json, sys
demo, work = sys.argv[1:]
one = json.load(open(demo + "/portfolio.json"))[:1]
json.dump(one, open(work + "/portfolio.json", "w"))
with open(work + "/outcomes.jsonl", "w") as out:
    out.writelines(l for l in open(demo + "/outcomes.jsonl") if json.loads(l)["model_name"] == one[0]["id"])
PY
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
one=(--set model.path="$model" --set queries="$work/queries.jsonl" --set portfolio="$work/portfolio.json"
  --set outcomes="$work/outcomes.jsonl"
  --set prompt.anchors=0 --set sampling.samples=1 --set sampling.max_new_tokens=1 --set engine.kv_cache_mib=256
  --set engine.max_batch_tokens=256 --set output.dir="$work/run" --fresh)
report() {
  python3 - "$work/run/metrics.jsonl" "$@" <<'PY'
import json, sys
m = json.loads(open(sys.argv[1]).read().splitlines()[-1])
print("%-10s weights %6.2f  plan %5.2f  load %6.2f  first lease %6.2f  first cell %6.2f  wall %s  CPU %s" % (
    sys.argv[2], m["weights_s"], m["plan_s"], m["load_s"], m["startup_s"], m["first_cell_s"], sys.argv[3], sys.argv[4]))
PY
}
for n in ${RANKS:-1 2}; do
  start=()
  [ "$n" -gt 1 ] && start=(mpirun -q -n "$n" --oversubscribe --bind-to none)
  cat "$model"/*.safetensors >/dev/null
  TIMEFORMAT='%R user %U sys %S'
  if ! { time "${start[@]}" "$bin/scope-grid" run "$here/jobs/demo/job.json" "${one[@]}" >"$work/out" 2>&1; } 2>"$work/time"
  then
    cat "$work/out"
    continue
  fi
  read -r wall rest <"$work/time"
  report "$n rank(s)" "$wall" "$rest"
done
