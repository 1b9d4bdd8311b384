"""What io_faults.py, power_cut.py and clocks.py share: a grid of a few cells, the commands whose files are disturbed (CASES),
and programs started with io_shim between them and the file system."""
import argparse, errno, json, os, re, shutil, signal, struct, subprocess, sys, tempfile, threading, time
from concurrent.futures import ThreadPoolExecutor

BIN, SRC = os.environ["BIN"], os.environ["SRC"]
SHIM = os.path.join(BIN, "tests", "io_shim.so")
KINDS = "open read write sync rename link mkdir unlink close truncate lock stat list touch".split()
STATE = struct.Struct(f"{len(KINDS)}qqq448s")  # struct sg_io_state of io_shim.h
CELLS = 6
TIMEOUT = 120


class Ended:
    def __init__(self, code, out, err, counts=None, hits=0, what=""):
        self.code, self.out, self.err = code, out, err
        self.counts, self.hits, self.what = counts, hits, what

    def digest(self):
        m = re.search(r"digest ([0-9a-f]{32})", self.out)
        return m[1] if m else None


def copied(source, target):
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)


class Lab:
    """A scratch folder. `case` in it is the folder whose files are disturbed: it always has the same path, so that a copy
    of a template behaves as the template did. One trial at a time; close() removes everything."""

    def __init__(self):
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.work = tempfile.mkdtemp(prefix="sg-test.", dir=os.environ.get("TMPDIR", base))
        self.case = os.path.join(self.work, "case")
        self.state = os.path.join(self.work, "state")
        self.inputs()

    def close(self):
        shutil.rmtree(self.work, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.work, name)

    def inputs(self):
        demo = os.path.join(SRC, "jobs/demo")
        to = self.path("inputs")
        os.mkdir(to)

        def lines(name):
            with open(os.path.join(demo, name)) as f:
                return [json.loads(line) for line in f]

        with open(os.path.join(demo, "portfolio.json")) as f:
            models = json.load(f)[:2]
        queries, anchors = lines("queries.jsonl")[:2], lines("anchors.jsonl")[:8]
        ids, names = {a["id"] for a in anchors + queries}, {m["id"] for m in models}
        outcomes = [o for o in lines("outcomes.jsonl") if o["id"] in ids and o["model_name"] in names]
        job = {"name": "small", "model": {"path": "model"}, "queries": "queries.jsonl", "anchors": "anchors.jsonl",
               "outcomes": "outcomes.jsonl", "portfolio": "portfolio.json", "prompt": {"anchors": 2},
               "calibration": {"anchors": 1}, "sampling": {"samples": 2, "max_new_tokens": 64, "seed": 1},
               "output": {"dir": "run"}}
        for name, rows in (("queries", queries), ("anchors", anchors), ("outcomes", outcomes)):
            with open(f"{to}/{name}.jsonl", "w") as f:
                f.writelines(json.dumps(r) + "\n" for r in rows)
        for name, doc in (("portfolio", models), ("job", job)):
            with open(f"{to}/{name}.json", "w") as f:
                json.dump(doc, f)

    def start(self, command, fail=None, journal=None, node=None, clock=0, server=None, state=None, shim=True):
        """clock: seconds ahead; set_clock changes it while the program runs. state: of this program, when others run too."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("SG_IO_", "OMPI_", "PMI"))}
        if shim:
            with open(state or self.state, "wb") as f:
                f.write(STATE.pack(*[0] * len(KINDS), 0, clock, b""))
            env.update(LD_PRELOAD=SHIM, SG_IO_PREFIX=self.case, SG_IO_STATE=state or self.state)
            more = {"SG_IO_FAIL": fail, "SG_IO_JOURNAL": journal, "SG_IO_NODE": node, "SG_IO_SERVER": server}
            env.update({k: v for k, v in more.items() if v})
        return subprocess.Popen([os.path.join(BIN, command[0]), *command[1:]], env=env, cwd=self.work, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, errors="replace")

    def set_clock(self, seconds, state):
        with open(state, "r+b") as f:
            f.seek(8 * (len(KINDS) + 1))
            f.write(struct.pack("q", seconds))

    def end(self, process, shim=True):
        try:
            out, err = process.communicate(timeout=TIMEOUT)
            code = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            code = "hang"
        if not shim:
            return Ended(code, out, err)
        with open(self.state, "rb") as f:
            *counts, hits, _, what = STATE.unpack(f.read())
        return Ended(code, out, err, dict(zip(KINDS, counts)), hits, what.split(b"\0")[0].decode())

    def run(self, command, shim=True, **how):
        return self.end(self.start(command, shim=shim, **how), shim)

    def good(self, command):
        e = self.run(command, shim=False)
        if e.code != 0:
            raise SystemExit(f"the undisturbed {' '.join(command)} ends with {e.code}: {e.err}{e.out}")
        return e


class Case:
    """A command and the folder it starts in. prepare(lab) makes lab.case; the command is also what is started next."""
    code = 0  # exit code of the undisturbed command
    whole = None

    def __init__(self, name, command, prepare, run="run"):
        self.name, self.command, self.prepare, self.folder = name, command, prepare, run

    def made(self, lab):
        """The template, and what the command undisturbed ends with."""
        self.template = lab.path("template-" + self.name)
        copied(lab.path("inputs"), lab.case)
        self.prepare(lab)
        copied(lab.case, self.template)
        e = lab.run(self.args(lab), shim=False)
        if e.code != self.code:
            raise SystemExit(f"the undisturbed {self.name} ends with {e.code}: {e.err}{e.out}")
        self.want = self.result(lab)
        return self

    def args(self, lab):
        return [a.replace("CASE", lab.case) for a in self.command]

    def fresh(self, lab):
        copied(self.template, lab.case)

    def run_dir(self, lab):
        return os.path.join(lab.case, self.folder)

    def segments(self, lab):
        """name -> bytes of the closed segments"""
        folder, found = os.path.join(self.run_dir(lab), "segments"), {}
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if name.endswith(".seg"):
                with open(os.path.join(folder, name), "rb") as f:
                    found[name] = f.read()
        return found

    def result(self, lab):
        """What stands in the folder when the command has ended well: the digest as `check` computes it from results.h5, and
        the cells of the segments. Raises ValueError with the reason when it is not whole."""
        results = os.path.join(self.run_dir(lab), "results.h5")
        held = self.segments(lab)
        for name in ("results.h5", "DONE"):
            with open(os.path.join(self.run_dir(lab), name), "rb") as f:
                held[name] = f.read()
        if held != self.whole:  # the command started again usually changes nothing: the same bytes are not checked twice
            self.digest, self.whole = self.checked(lab, results), held
        return self.digest

    def checked(self, lab, results):
        check = lab.run(["scope-grid", "check", results], shim=False)
        cells = lab.run(["tests/list_cells", self.run_dir(lab)], shim=False)
        if check.code != 0 or cells.code != 0:
            raise ValueError((check.err or check.out).strip() + cells.err.strip())
        listed = sorted(map(int, cells.out.split()))
        if listed != sorted(set(listed)):
            raise ValueError(f"cells stand twice: {listed}")
        if listed != list(range(CELLS)):
            raise ValueError(f"cells are missing: only {listed}")
        with open(os.path.join(self.run_dir(lab), "DONE")) as f:
            done = json.load(f)["digest"]
        if check.digest() != done:
            raise ValueError(f"results.h5 has digest {check.digest()}, DONE has {done}")
        return done


class Frontier(Case):
    def result(self, lab):
        """Content of every file of the output."""
        out = os.path.join(lab.case, "out")
        found = {}
        for name in sorted(os.listdir(out)):
            if ".tmp." in name:
                continue  # of a writer that was cut off
            with open(os.path.join(out, name), "rb") as f:
                found[name] = f.read()
        return found


class Foreign(Case):
    """The folder holds another run, which stays as it is."""
    code = 6

    def result(self, lab):
        found = {}
        for name in ("run.json", "job.json", "plan.bin", "results.h5", "DONE"):
            with open(os.path.join(self.run_dir(lab), name), "rb") as f:
                found[name] = f.read()
        return found


RUN = ["tests/sim_grid", "CASE/job.json", "--set", "output.dir=CASE/run", "--segment-seconds", "0"]


def nothing(lab):
    pass


def half(lab):
    """A run that was killed: some segments, an unfinished one, temporary files, the lock of a dead process."""
    lab.good([a.replace("CASE", lab.case) for a in RUN])
    run = os.path.join(lab.case, "run")
    for name in ("DONE", "results.h5"):
        os.remove(os.path.join(run, name))
    segments = sorted(os.listdir(os.path.join(run, "segments")))
    for name in segments[CELLS // 2:]:
        os.remove(os.path.join(run, "segments", name))
    for name in (f"segments/{segments[-1]}.open", "results.h5.tmp.00000000000000000007"):
        with open(os.path.join(run, name), "w") as f:
            f.write("half")
    # of a process of this machine: whoever finds a lock of another one watches it for its heartbeat
    command = [a.replace("CASE", lab.case) for a in RUN] + ["--step-us", "60000000"]
    process = lab.start(command, shim=False)
    lock = os.path.join(run, "lock")
    while not os.path.exists(lock):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    shutil.rmtree(os.path.join(run, "inflight"), ignore_errors=True)  # the next start would tell of its cells


def computed(lab):
    lab.good([a.replace("CASE", lab.case) for a in RUN])
    for name in ("DONE", "results.h5"):
        os.remove(os.path.join(lab.case, "run", name))


def night_before(lab):
    """An earlier night without the second query."""
    path = os.path.join(lab.case, "queries.jsonl")
    with open(path) as f:
        lines = f.readlines()
    with open(path, "w") as f:
        f.write(lines[0])
    lab.good([a.replace("CASE", lab.case).replace("/run", "/n1") for a in RUN] + ["--night", "n1"])
    with open(path, "w") as f:
        f.writelines(lines)


def other_run(lab):
    lab.good([a.replace("CASE", lab.case) for a in RUN] + ["--set", "sampling.seed=9"])


def results(lab):
    lab.good([a.replace("CASE", lab.case) for a in RUN])


def cases():
    night = [a.replace("/run", "/n2") for a in RUN] + ["--night", "n2", "--since", "CASE/n1/results.h5"]
    frontier = ["scope-frontier", "CASE/run/results.h5", "-o", "CASE/out", "--no-plots"]
    return [Case("run", RUN, nothing), Case("resume", RUN, half), Case("merge", ["scope-grid", "merge", "CASE/run"], computed),
            Case("nightly", night, night_before, "n2"), Case("array", RUN + ["--array"], nothing),
            Foreign("refused", RUN, other_run), Frontier("frontier", frontier, results)]


def options():
    """What every campaign can be told."""
    p = argparse.ArgumentParser()
    p.add_argument("--all", action="store_true")
    p.add_argument("--pick", type=int, default=40)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--jobs", type=int, default=1)
    p.add_argument("--case", action="append")
    p.add_argument("--lines")
    return p


class Campaign:
    """Trials that several workers take one after the other, and a line for what came of each: the trial's key, then more.
    With a path the lines are in that file as JSON, and trials that it has from an earlier call are not repeated."""

    def __init__(self, path, key):
        self.path, self.key, self.lines, self.lock = path, key, [], threading.Lock()
        if path and os.path.exists(path):
            with open(path) as f:
                self.lines = [json.loads(line) for line in f if line.endswith("\n")]  # the last one may be cut off
            with open(path, "w") as f:
                f.writelines(json.dumps(x) + "\n" for x in self.lines)

    def take(self):
        with self.lock:
            return next(self.trials, None)

    def done(self, *line, bad):
        with self.lock:
            self.lines.append(line)
            if bad:
                print("FAILED:", *line, file=sys.stderr, flush=True)
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()

    def run(self, trials, jobs, work, *args):
        """work(campaign, *args) of each worker takes trials until there are none. All lines."""
        known = {tuple(x[:len(self.key(trials[0]))]) for x in self.lines} if trials else set()
        self.trials = iter([t for t in trials if self.key(t) not in known])
        with open(self.path or os.devnull, "a") as self.file, ThreadPoolExecutor(jobs) as pool:
            for worker in [pool.submit(work, self, *args) for _ in range(jobs)]:
                worker.result()
        return self.lines


def errno_name(number):
    return errno.errorcode[number]


def signal_name(code):
    return signal.Signals(-code).name if isinstance(code, int) and code < 0 else None
