#!/usr/bin/env bash
# The digest does not depend on the number of ranks, on the order of leases, or on whether the root computes;
# a message leases many cells.
. "$(dirname "$0")/lib.sh"
job="$demo"
sim() { local n=$1; shift; ranks "$n" "$BIN/tests/sim_grid" "$job" --set output.dir="$work/run" --fresh "$@" 2>&1; }

alone=$("$BIN/tests/sim_grid" "$job" --set output.dir="$work/run" 2>&1)
want=$(digest_of "$alone")
has "one rank, no mpirun" "$alone" '^digest [0-9a-f]{32} cells 512 failed 0 computed 512$'
for n in 1 2 3 5; do
  same "digest on $n ranks" "$(digest_of "$(sim "$n")")" "$want"
  same "digest on $n ranks, shuffled" "$(digest_of "$(sim "$n" --shuffle-leases "$n" --slots "$n" --step-us 200)")" "$want"
done
same "digest with a root that only leases" "$(digest_of "$(sim 4 --root-only --step-us 500)")" "$want"
has "root only on one rank" "$(sim 1 --root-only)" 'root-only needs at least two ranks'
other=$(sim 2 --set sampling.seed=7)
[ "$(digest_of "$other")" != "$want" ] || fail "another seed gave the same digest: the checks above prove nothing"

# what dashboards read: the batch system's job, and Prometheus' format with its three escapes
odd="$work/ru\"n \\x"
PBS_JOBID=77.site ranks 2 "$BIN/tests/sim_grid" "$job" --set "output.dir=${odd//\\/\\}" --fresh >/dev/null 2>&1
[ -f "$odd/metrics.prom" ] || fail "no metrics.prom"
has "job in metrics.jsonl" "$(tail -n 1 "$odd/metrics.jsonl")" '"state": "done", .*"job": "77.site"}$'
has "job outside of a batch system" "$(tail -n 1 "$work/run/metrics.jsonl")" '"job": null}$'
"$python" - "$odd" <<'P' || fail "metrics.prom"
import re, sys
value, kinds = {}, {}
for line in open(sys.argv[1] + "/metrics.prom"):
    if line.startswith("# TYPE "):
        kinds[line.split()[2]] = line.split()[3]
    if line.startswith("#"):
        continue
    m = re.fullmatch(r'([a-z_]+)\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\} (\S+)\n', line)
    assert m and kinds[m[1]] == "gauge", line
    labels = {k: re.sub(r'\\(.)', lambda e: {"n": "\n"}.get(e[1], e[1]), v)
              for k, v in re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', m[2])}
    assert labels["run"] == sys.argv[1] and labels["batch_job"] == "77.site" and "job" not in labels, labels
    value[m[1]] = float(m[3])
    if m[1] == "scope_grid_state":
        assert labels["state"] == "done"
assert value["scope_grid_cells"] == value["scope_grid_cells_done"] == 512 and value["scope_grid_ranks"] == 2, value
assert value["scope_grid_cells_failed"] == 0 and value["scope_grid_elapsed_seconds"] > 0 and "scope_grid_watts" not in value
P

# every rank computes, and few messages carry many cells (512 cells, 8 at a time on each rank)
fair() {
  local out share
  out=$(sim 3 --step-us "$1" --traffic)
  messages=$(grep -Eo 'sent [0-9]+' <<<"$out" | awk '{n += $2} END {print n}')
  shares=$("$python" -c "import json; print(*[r['cells'] for r in json.load(open('$work/run/progress.json'))['ranks']])")
  [ "$messages" -gt 6 ] && [ "$messages" -lt 400 ] || return 1
  for share in $shares; do [ "$share" -gt 100 ] && [ "$share" -lt 240 ] || return 1; done
}
in_time fair || fail "512 cells on 3 ranks took $messages messages, the ranks' cells: $shares"
finish
