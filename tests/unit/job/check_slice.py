#!/usr/bin/env python3
"""The demo's data files are what make_slice.py makes of the whole ZeroEval set (given as the argument; exit
code 77, "skipped", where that is not there)."""
import filecmp
import pathlib
import subprocess
import sys
import tempfile

source = pathlib.Path(sys.argv[1])
demo = pathlib.Path(__file__).resolve().parents[3] / "jobs" / "demo"
if not (source / "outcomes.jsonl").is_file():
    print(f"SKIP: {source} is not there")
    sys.exit(77)
with tempfile.TemporaryDirectory() as out:
    subprocess.run([sys.executable, str(demo / "make_slice.py"), str(source), out], check=True)
    names = ["anchors.jsonl", "queries.jsonl", "outcomes.jsonl", "portfolio.json"]
    _, different, missing = filecmp.cmpfiles(demo, out, names, shallow=False)
    if different or missing:
        sys.exit(f"not what make_slice.py makes: {different + missing}")
