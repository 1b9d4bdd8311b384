"""scale.py head | row RANKS BEGAN ENDED RUNDIR < output of sim_grid --stats: one line of the table of scale.sh."""
import json
import os
import re
import sys

HEAD = ["ranks", "digest", "loop s", "ideal s", "tail idle %", "root CPU %", "worker CPU %", "lead us/cell",
        "messages", "cells/message", "bytes/cell", "root MiB: plan", "loop", "merge", "worker MiB", "segments",
        "total s"]
if sys.argv[1] == "head":
    print("| " + " | ".join(HEAD) + " |")
    print("|" + " --- |" * len(HEAD))
    sys.exit()
n, began, ended, run = int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
text = sys.stdin.read()
digest = re.search("digest ([0-9a-f]{8})", text).group(1)
ranks = sorted((json.loads(line) for line in text.splitlines() if line.startswith("{")), key=lambda r: r["rank"])
assert len(ranks) == n, f"{len(ranks)} of {n} ranks reported"
cells = sum(r["cells"] for r in ranks)
start = max(r["opened"] for r in ranks)
last = max(r["last"] for r in ranks)
loop = (last - start) / 1e9
idle = sum((last - r["last"]) for r in ranks) / n / (last - start)
root, workers = ranks[0], ranks[1:]
cpu = [r["cpu_last"] - r["cpu_opened"] for r in ranks]
mean_worker = sum(cpu[1:]) / max(1, n - 1)
messages = sum(r["messages"] for r in ranks)
# 16 cells a step and rank, 250 us a step for each rank
ideal = cells / n / 16 * n * 250e-6
values = [n, digest, f"{loop:.1f}", f"{ideal:.1f}", f"{100 * idle:.1f}", f"{100 * cpu[0] / loop:.1f}",
          f"{100 * mean_worker / loop:.1f}", f"{1e6 * (cpu[0] - mean_worker) / cells:.2f}", messages,
          f"{cells / messages:.0f}", f"{sum(r['bytes'] for r in ranks) / cells:.2f}",
          f"{root['kib_opened'] / 1024:.0f}", f"{root['kib_last'] / 1024:.0f}", f"{root['kib'] / 1024:.0f}",
          f"{max(r['kib_last'] for r in workers) / 1024:.0f}", len(os.listdir(os.path.join(run, "segments"))),
          f"{ended - began:.1f}"]
print("| " + " | ".join(str(v) for v in values) + " |", flush=True)
