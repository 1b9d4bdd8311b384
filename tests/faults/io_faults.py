"""io_faults.py [--all] [--pick N] [--seed S] [--jobs J] [--case NAME] [--kind KIND] [--table FILE] [--lines FILE]
                [--only CASE:KIND:K:ERRNO:HOW]

Every call of a command on a file fails once, in turn, in each way (WAYS). The command ends with the right result, or with one
line that names a file and a reason, and an exit code; it does not hang or crash. The same command, started again without
faults, ends with the right result; no segment that was closed is gone, no cell stands twice. Without --all: N of these trials,
drawn by the seed. --lines: a line of JSON is added to FILE after each trial, and trials that FILE has are not repeated: a
campaign that was stopped goes on. The table is of all in FILE. --only: this one trial.
"""
import collections, errno, os, random, sys

import io_trial
from io_trial import KINDS, Campaign, Lab

E = errno
USUAL = [(E.EIO, "before"), (E.ENOSPC, "before"), (E.EINTR, "before"), (E.EACCES, "before"), (E.EIO, "on")]
LOST = [(E.EIO, "after")]  # done, but the answer says that it failed
WAYS = {kind: USUAL + LOST for kind in ("open", "sync", "rename", "link", "mkdir", "unlink", "truncate")}
WAYS.update({kind: USUAL for kind in ("close", "lock", "stat", "list", "touch")})
WAYS["read"] = USUAL + [(E.EIO, "short")]
WAYS["write"] = USUAL + LOST + [(E.EIO, "short"), (E.ENOSPC, "on")]

# Each was wrong once; --pick has them beside what it draws.
FOUND = {("array", "unlink", 1, E.EIO, "on"), ("array", "unlink", 2, E.EIO, "on"), ("array", "read", 11, E.EIO, "on"),
         ("resume", "read", 16, E.EIO, "short")}

RIGHT, NAMED = "right result", "one error line"
BAD = ("hang", "crash", "wrong result", "not one line", "line without place or reason", "next start fails", "closed lost")


def judged(case, lab, e, fails_with):
    """What the disturbed command came to, and a detail."""
    if e.code == "hang":
        return "hang", ""
    if io_trial.signal_name(e.code):
        return "crash", io_trial.signal_name(e.code)
    lines = [line for line in e.err.split("\n") if line.strip()]
    if e.code == case.code:
        try:
            if case.result(lab) != case.want:
                return "wrong result", "another result"
        except (ValueError, OSError) as why:
            return "wrong result", str(why)
        return (RIGHT, "") if len(lines) == (case.code != 0) else ("not one line", e.err)
    if len(lines) != 1:
        return "not one line", e.err
    if lab.case not in lines[0] or os.strerror(fails_with) not in lines[0]:
        return "line without place or reason", lines[0]
    return NAMED, lines[0]


def tried(case, lab, kind, k, number, how):
    case.fresh(lab)
    e = lab.run(case.args(lab), fail=f"{kind}:{k}:{number}:{how}")
    if e.hits == 0:
        return "not reached", "", e  # threads: this time the command made fewer such calls
    outcome, detail = judged(case, lab, e, number)
    closed = case.segments(lab)
    again = lab.run(case.args(lab), shim=False)
    try:
        fine = again.code == case.code and case.result(lab) == case.want
        why = again.err
    except (ValueError, OSError) as problem:
        fine, why = False, str(problem)
    if outcome in BAD:
        return outcome, detail, e
    if not fine:
        return "next start fails", f"exit code {again.code}: {why} (before: {e.err})", e
    after = case.segments(lab)
    if any(after.get(name) != data for name, data in closed.items()):
        return "closed lost", str(sorted(set(closed) - set(after))), e
    return outcome, detail, e


def trials_of(case, lab, kinds):
    case.fresh(lab)
    counts = lab.run(case.args(lab)).counts
    return counts, [(case, kind, k, *way) for kind in kinds for k in range(1, counts[kind] + 1) for way in WAYS[kind]]


def work(campaign, chosen):
    """In a scratch folder of its own."""
    lab = Lab()
    try:
        cases = {c.name: c.made(lab) for c in io_trial.cases() if c.name in chosen}
        while trial := campaign.take():
            name, kind, k, number, how = trial
            outcome, detail, e = tried(cases[name], lab, kind, k, number, how)
            campaign.done(name, kind, k, io_trial.errno_name(number), how, outcome, detail.replace(lab.case, "CASE"),
                          e.what.replace(lab.case, "CASE"), bad=outcome in BAD)
    finally:
        lab.close()


def main():
    p = io_trial.options()
    p.add_argument("--kind", action="append")
    p.add_argument("--table")
    p.add_argument("--only")
    a = p.parse_args()
    only = a.only.split(":") if a.only else None
    chosen = [only[0]] if only else a.case or [c.name for c in io_trial.cases()]
    kinds = [only[1]] if only else a.kind or KINDS
    counts, trials = {}, []
    lab = Lab()
    try:
        for case in io_trial.cases():
            if case.name in chosen:
                counts[case.name], more = trials_of(case.made(lab), lab, kinds)
                trials += [(t[0].name, *t[1:]) for t in more]
    finally:
        lab.close()
    total = len(trials)
    if only:
        trials = [t for t in trials if [str(t[2]), io_trial.errno_name(t[3]), t[4]] == only[2:]]
    elif not a.all:
        found = [t for t in trials if t in FOUND]
        trials = found + random.Random(a.seed).sample([t for t in trials if t not in FOUND], min(a.pick, total - len(found)))
        trials.sort(key=lambda t: chosen.index(t[0]))
    else:  # what happens most often first
        random.Random(a.seed).shuffle(trials)
        trials.sort(key=lambda t: (t[4] != "before", t[3] not in (E.EIO, E.ENOSPC)))
    found = Campaign(a.lines, lambda t: (*t[:3], io_trial.errno_name(t[3]), t[4])).run(trials, a.jobs, work, chosen)

    ways = collections.Counter((kind, name if how != "short" else "", how, outcome)
                               for _, kind, _, name, how, outcome, _, _ in found)
    rows = sorted({w[:3] for w in ways}, key=lambda w: (KINDS.index(w[0]), w))
    outcomes = [RIGHT, NAMED, "not reached", *BAD]
    table = ["| call | fault | trials | right result | one error line | not reached | hang, crash, wrong, lost |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    for kind, name, how in rows:
        n = [ways[kind, name, how, o] for o in outcomes]
        fault = " ".join(filter(None, [name, {"before": "", "on": "from then on", "after": "although done"}.get(how, how)]))
        table.append(f"| {kind} | {fault} | {sum(n)} | {n[0]} | {n[1]} | {n[2]} | {sum(n[3:])} |")
    calls = ["", "| command | " + " | ".join(kinds) + " |", "| --- |" + " --- |" * len(kinds)]
    calls += [f"| {name} | " + " | ".join(str(c[k]) for k in kinds) + " |" for name, c in counts.items()]
    text = "\n".join(table + calls) + "\n"
    print(text)
    if a.table:
        with open(a.table, "w") as f:
            f.write(text)
    bad = [x for x in found if x[5] in BAD]
    reached = sum(1 for x in found if x[5] != "not reached")
    print(f"{len(found)} of {total} trials, {reached} reached their call, {len(bad)} bad")
    if reached * 2 < len(found):
        sys.exit("most trials did not reach their call: nothing is shown")
    sys.exit(1 if bad else 0)


main()
