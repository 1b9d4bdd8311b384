"""power_cut.py [--all] [--pick N] [--seed S] [--jobs J] [--case NAME] [--lines FILE]

The power fails after the j-th change that a command makes to its files, for every j. What the disk then holds is worked out
from the journal of io_shim, in four ways (STATES). From each the same command, started again, ends with the right result, and
every cell that it was told of as closed is still there. When the command has ended, its results and DONE are there at once.
Without --all: N of these states, drawn by the seed. --lines: as of io_faults.py.
"""
import collections, os, random, re, sys

import io_trial
from io_trial import CELLS, Campaign, Lab

# strict: what no fsync covers is gone, names that no fsync of their folder covers too (POSIX promises no more)
# names: the names are there; data without fsync are not (a file system that journals names alone)
# zeros: the same, but files have their length, filled with zeros
# mixed: each folder has some of its pending changes, in order; each file nothing, some or all of its data
STATES = ("strict", "names", "zeros", "mixed")


class File:
    def __init__(self, data=b"", synced=b""):
        self.data, self.synced = bytearray(data), bytes(synced)


class Folder:
    def __init__(self):
        self.now, self.kept, self.pending = {}, {}, []

    def change(self, *changes):
        """Names that appear (with what) or vanish (None), at once."""
        for name, what in changes:
            if what is None:
                self.now.pop(name, None)
            else:
                self.now[name] = what
        self.pending.append(changes)


class Disk:
    def __init__(self, root):
        self.root, self.inode = root, {}  # inode: of files that the journal creates
        self.top = self.load(root)

    def load(self, path):
        folder = Folder()
        for e in os.scandir(path):
            if e.is_dir(follow_symlinks=False):
                folder.now[e.name] = self.load(e.path)
            else:
                with open(e.path, "rb") as f:
                    data = f.read()
                folder.now[e.name] = File(data, data)
        folder.kept = dict(folder.now)
        return folder

    def find(self, path):
        """The folder of a path, and the name in it"""
        at = self.top
        parts = os.path.relpath(path, self.root).split("/")
        for name in parts[:-1]:
            at = at.now[name]
        return at, parts[-1]

    def apply(self, op, inode, offset, data, path, second):
        if op in "WTS":
            if inode not in self.inode:
                folder, name = self.find(path)
                self.inode[inode] = folder.now[name]
            file = self.inode[inode]
            if op == "S":
                file.synced = bytes(file.data)
            elif op == "T":
                file.data = file.data[:offset].ljust(offset, b"\0")
            else:
                file.data = file.data.ljust(offset, b"\0")
                file.data[offset:offset + len(data)] = data
            return
        if op == "D":
            folder, name = self.find(path)
            folder = folder.now[name] if name != "." else self.top
            folder.kept, folder.pending = dict(folder.now), []
            return
        folder, name = self.find(path)
        if op == "C":
            self.inode[inode] = File()
            folder.change((name, self.inode[inode]))
        elif op == "M":
            folder.change((name, Folder()))
        elif op in "UX":
            folder.change((name, None))
        else:
            to, other = self.find(second)
            what = folder.now[name]
            if op == "L":
                to.change((other, what))
            else:
                assert to is folder, "a file is renamed into another folder: which of the two names is lost?"
                folder.change((other, what), (name, None))

    def write(self, state, rng, folder=None, path=None):
        folder, path = folder or self.top, path or self.root
        os.makedirs(path, exist_ok=True)
        entries = dict(folder.kept)
        if state in ("names", "zeros"):
            entries = folder.now
        elif state == "mixed":
            for changes in folder.pending[:rng.randint(0, len(folder.pending))]:
                for name, what in changes:
                    entries.pop(name, None) if what is None else entries.__setitem__(name, what)
        for name, what in entries.items():
            at = os.path.join(path, name)
            if isinstance(what, Folder):
                self.write(state, rng, what, at)
                continue
            data = what.synced
            if bytes(what.data) != what.synced:
                if state == "zeros":
                    data = what.synced[:len(what.data)].ljust(len(what.data), b"\0")
                elif state == "mixed":
                    data = bytes(rng.choice([what.synced, what.data, what.data[:len(what.data) // 2]]))
            with open(at, "wb") as f:
                f.write(data)


def read_journal(path):
    with open(path, "rb") as f:
        text = f.read()
    ops, at = [], 0
    while at < len(text):
        end = text.index(b"\n", at)
        op, inode, offset, n, rest = text[at:end].decode().split(" ", 4)
        a, b = rest.split("\t")
        at = end + 1 + int(n)
        ops.append((op, int(inode), int(offset), text[end + 1:at], a, b))
    return ops


def listed(case, lab):
    """How many cells are in closed segments; 0 without a run"""
    if not os.path.exists(os.path.join(case.run_dir(lab), "run.json")):
        return 0
    e = lab.run(["tests/list_cells", case.run_dir(lab)], shim=False)
    if e.code != 0:
        raise ValueError(e.err)
    return len(e.out.split())


def journal_of(case, lab):
    """What the undisturbed command does to its files, and how many cells were in closed segments before."""
    case.made(lab)
    case.fresh(lab)
    journal = lab.path("journal-" + case.name)
    had = listed(case, lab)
    e = lab.run(case.args(lab) + (["--tell"] if "sim_grid" in case.command[0] else []), journal=journal)
    if e.code != case.code:
        raise SystemExit(f"{case.name}: {e.err}")
    return read_journal(journal), had


def cut(case, lab, ops, had, j, state, seed):
    """How many cells were told of as closed when the power failed, and what is wrong then and later; None: nothing."""
    case.fresh(lab)
    disk = Disk(lab.case)
    for op in ops[:j]:
        if op[0] != "N":
            disk.apply(*op)
    told = had + sum(int(n) for op in ops[:j] if op[0] == "N" for n in re.findall(rb"closed (\d+)", op[3]))
    io_trial.shutil.rmtree(lab.case)
    disk.write(state, random.Random(f"{seed} {case.name} {j} {state}"))
    try:
        there = listed(case, lab)
        if there < told:
            return told, f"{there} cells are there, {told} were told of as closed"
        if j == len(ops) and case.result(lab) != case.want:
            return told, "another result after the command had ended"
        e = lab.run(case.args(lab), shim=False)
        if e.code != case.code:
            return told, f"the next start ends with {e.code}: {e.err}"
        return told, None if case.result(lab) == case.want else "another result"
    except (ValueError, OSError) as why:
        return told, str(why)


def work(campaign, chosen, seed):
    """In a scratch folder of its own, with journals of its own: the changes of threads may come in another order."""
    lab = Lab()
    try:
        cases = {case.name: (case, *journal_of(case, lab)) for case in io_trial.cases() if case.name in chosen}
        while trial := campaign.take():
            name, j, state = trial
            case, ops, had = cases[name]
            j = min(j, len(ops))
            told, wrong = cut(case, lab, ops, had, j, state, seed)
            last = " ".join(map(str, ops[j - 1][0:1] + ops[j - 1][4:])) if j else ""
            campaign.done(*trial, told, wrong and wrong.replace(lab.case, "CASE"), last.replace(lab.case, "CASE"), bad=bool(wrong))
    finally:
        lab.close()


def main():
    a = io_trial.options().parse_args()
    chosen = a.case or [c.name for c in io_trial.cases()]
    lab = Lab()
    try:
        changes = {c.name: len(journal_of(c, lab)[0]) for c in io_trial.cases() if c.name in chosen}
    finally:
        lab.close()
    trials = [(name, j, s) for name, n in changes.items() for j in range(n + 1) for s in STATES]
    total = len(trials)
    random.Random(a.seed).shuffle(trials)
    if not a.all:
        trials = trials[:a.pick]
    found = Campaign(a.lines, tuple).run(trials, a.jobs, work, chosen, a.seed)
    count = collections.Counter((name, state) for name, _, state, *_ in found)
    print("| command | changes | " + " | ".join(STATES) + " |\n| --- |" + " --- |" * (len(STATES) + 1))
    for name, n in changes.items():
        print(f"| {name} | {n} | " + " | ".join(str(count[name, s]) for s in STATES) + " |")
    told_most, bad = max(x[3] for x in found), sum(1 for x in found if x[4])
    print(f"{len(found)} of {total} states, up to {told_most} cells told of as closed, {bad} bad")
    if a.all and told_most < CELLS:
        sys.exit("no cell was told of as closed: nothing is shown")
    sys.exit(1 if bad else 0)


main()
