"""scope-frontier and make_fake_results as the tests of this folder call them, and readers of what they write. Each test is
called with the paths of these two programs."""
import csv
import json
import os
import re
import subprocess
import sys
import tempfile

PROGRAM, FAKE = (os.path.abspath(p) for p in sys.argv[1:3])


def run(*args, ok=True, cwd=None, plots=False):
    args = [*map(str, args)] + ([] if plots or args[0] == "route-reference" else ["--no-plots"])
    r = subprocess.run([PROGRAM, *args], capture_output=True, text=True, cwd=cwd)
    if ok:
        assert r.returncode == 0, (args, r.returncode, r.stderr)
        assert r.stderr == "", r.stderr
    return r


def refused(says, *args, status=None, out):
    r = run(*args, "-o", out, ok=False)
    assert r.returncode not in (0, -11, -6, 139, 134), (args, r.returncode, r.stderr)
    if status:
        assert r.returncode == status, (args, r.returncode)
    assert len(r.stderr.strip().split("\n")) == 1, r.stderr
    assert says in r.stderr, (says, r.stderr)
    assert not os.path.exists(out), (args, os.listdir(out))


def fake(path, n, m, samples=4, seed=1, truth=1, noise=0.5, missing=0.0, categories=3, anchors=0, calibrated=0):
    subprocess.run([FAKE, path, *map(str, (n, m, samples, seed, truth, noise, missing, categories, anchors, calibrated))],
                   check=True)
    return path


def rows(folder, name):
    with open(os.path.join(folder, name + ".csv"), newline="") as f:
        lines = list(csv.reader(f))
    assert len({len(line) for line in lines}) == 1, ("ragged", name)
    return [dict(zip(lines[0], line)) for line in lines[1:]]


def data_of(page):
    with open(page) as f:
        text = f.read()
    assert text.count("<script") == 2 and not re.search(r'(src|href)\s*=(?!"#)', text), "the page must load nothing"
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), "the page must not name the network"
    body = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S).group(1)
    return json.loads(body)


def edited(path, change):
    """The file with other values in it: HDF5 tools drop the seal, and scope-frontier reads on without."""
    import h5py
    with h5py.File(path, "r+") as f:
        change(f)
    return path


def each_in_a_folder(*tests):
    with tempfile.TemporaryDirectory() as tmp:
        for test in tests:
            print(test.__name__, flush=True)
            os.mkdir(f"{tmp}/{test.__name__}")
            test(f"{tmp}/{test.__name__}")
