"""clocks.py [--quick]

Clocks that jump while a run computes, nodes whose clock is wrong by minutes, times of files in the future: the run ends with
the right digest; no other node takes the lock of a living holder; a dead one's lock is taken. io_shim makes the processes
believe that they are on different nodes, and moves their clocks and the times that they give files. All at once, each in a
folder of its own: most of it is waiting. --quick: without what waits for a beat (SG_LOCK_BEAT_SECONDS).
"""
import os, sys, time, traceback
from concurrent.futures import ThreadPoolExecutor

import io_trial
from io_trial import Lab

HOUR, DAY, MINUTES = 3600, 86400, 600
BUSY = 9
WATCH = 36  # SG_LOCK_WATCH_SECONDS


def check(condition, text):
    if not condition:
        raise AssertionError(text)


class Nodes:
    """A run's folder, and programs on nodes that share it."""

    def __init__(self, lab):
        self.lab, self.case = lab, io_trial.Case("run", io_trial.RUN, io_trial.nothing).made(lab)
        self.case.fresh(lab)
        self.lock = os.path.join(self.case.run_dir(lab), "lock")

    def start(self, node, *args, clock=0, server=None):
        state = self.lab.path("state-" + node)
        return self.lab.start(self.case.args(self.lab) + list(args), node=node, clock=clock, server=server, state=state), state

    def working(self, seconds, **how):
        """A run on node one that computes for so long: started, its lock is there."""
        process, state = self.start("one", "--steps", "20", "--step-us", str(int(seconds * 50000)), **how)
        end = time.monotonic() + 60
        while not self.case.segments(self.lab) and not os.path.exists(self.lock):
            check(process.poll() is None and time.monotonic() < end, "no run at work")
            time.sleep(0.02)
        return process, state

    def other(self, **how):
        """The same run on node two; its exit code, what it says, and how long it took."""
        began = time.monotonic()
        process, state = self.start("two", **how)
        out, err = process.communicate(timeout=io_trial.TIMEOUT)
        return process.returncode, err, time.monotonic() - began

    def whole(self, process):
        out, err = process.communicate(timeout=io_trial.TIMEOUT)
        check(process.returncode == 0, f"the run ends with {process.returncode}: {err}")
        check(self.case.result(self.lab) == self.case.want, "another result")


def jump(seconds):
    """The clock jumps while a run computes, and again."""
    def trial(n):
        process, state = n.working(2)
        for ahead in (seconds, 0, seconds):
            time.sleep(0.3)
            n.lab.set_clock(ahead, state)
        status = n.lab.run(["scope-grid", "status", n.case.run_dir(n.lab)], shim=False)
        check(status.code == 0 and "running" in status.out, f"status: {status.out}{status.err}")
        n.whole(process)
    return trial


def wrong_clock(seconds, living=True):
    """The clock of the node that tries to take the lock is wrong; the file server's is right."""
    def trial(n):
        process, _ = n.working(8 if living else 60)
        if living:
            code, err, took = n.other(clock=seconds, server="yes")
            check(code == BUSY and "another run holds this directory" in err, f"exit code {code}: {err}")
            n.whole(process)
            return
        process.kill()
        process.communicate()
        code, err, took = n.other(clock=seconds, server="yes")
        check(code == BUSY and "if it is gone, wait until 300 s have passed" in err, f"a fresh lock: {code}: {err}")
        old = time.time() - 301
        os.utime(n.lock, (old, old))
        code, err, took = n.other(clock=seconds, server="yes")
        check(code == 0, f"a dead lock: {code}: {err}")
        check(took > WATCH - 1, f"it was watched for {took} s only")
        check(n.case.result(n.lab) == n.case.want, "another result")
    return trial


def server_back(n):
    """The clock of all and of the files goes back an hour: the living keeps its lock, and nobody is locked out for an hour."""
    process, state = n.working(8)
    n.lab.set_clock(-HOUR, state)
    code, err, took = n.other(clock=-HOUR)
    check(code == BUSY and "another run holds this directory" in err, f"exit code {code}: {err}")
    n.whole(process)
    process, state = n.start("one", "--fresh", "--steps", "20", "--step-us", "3000000")
    while not os.path.exists(n.lock):
        time.sleep(0.02)
    process.kill()
    process.communicate()
    code, err, took = n.other(clock=-HOUR)  # an hour in the future, for this node
    check(code == BUSY, f"exit code {code}: {err}")
    age = time.time() - HOUR - os.stat(n.lock).st_mtime
    check(-5 < age < 60, f"a lock from the future does not age from now on: {age} s")


def server_ahead(n):
    """The clock of all and of the files jumps ahead a day: the lock looks a day old until the holder's next beat."""
    process, state = n.working(60)
    n.lab.set_clock(DAY, state)
    code, err, took = n.other(clock=DAY)
    check(code == BUSY and "another run holds this directory" in err, f"stolen from the living: {code}: {err}")
    check(process.poll() is None, "the holder has stopped")
    n.whole(process)


def main():
    quick = {"the clock jumps back an hour": jump(-HOUR), "the clock jumps ahead a day": jump(DAY),
             "a node is ten minutes ahead": wrong_clock(MINUTES), "a node is ten minutes behind": wrong_clock(-MINUTES),
             "a node is a day ahead": wrong_clock(DAY), "the file server's clock goes back an hour": server_back}
    slow = {"the file server's clock jumps ahead a day": server_ahead,
            "a dead holder, found ten minutes ahead": wrong_clock(MINUTES, False),
            "a dead holder, found ten minutes behind": wrong_clock(-MINUTES, False)}
    trials = quick if "--quick" in sys.argv else {**quick, **slow}
    bad = []

    def one(item):
        name, trial = item
        lab = Lab()
        try:
            trial(Nodes(lab))
            return f"{name}: as it must be"
        except Exception as why:
            bad.append(name)
            return f"FAILED: {name}: {why}\n{traceback.format_exc() if not isinstance(why, AssertionError) else ''}"
        finally:
            lab.close()

    with ThreadPoolExecutor(len(trials)) as pool:
        print("\n".join(pool.map(one, trials.items())))
    sys.exit(1 if bad else 0)


main()
