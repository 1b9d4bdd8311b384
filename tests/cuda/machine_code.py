#!/usr/bin/env python3
"""machine_code.py NVDISASM DIR TABLE [--write] - what ptxas made of the kernels whose time is instructions,
against the committed TABLE, from the cubins that a build of kernels/cuda leaves in DIR.

A line a kernel and architecture: all instructions; those of its main loop, with the tensor-core operations
(HMMA), the loads from global memory (LDG) and the branches among them, the loop's own not counted. The main
loop is the smallest with the most HMMA, else FFMA, ATOMS, LDG. A difference fails: look at it, then write
the table anew with --write. Refused whatever the table says:
  local     LDL, STL: registers spilled, or an array whose index the compiler does not know
  cas       a loop around a compare-and-swap of shared memory: an atomic add that the processor does not have
  generic   an atomic addition to memory of a kind that the compiler does not know, or to global memory
  division  a call of the IEEE division inside a loop
  branch    more than MOST_BRANCHES branches in the main loop of attention in bf16
machine_code.py NVDISASM --planted CUBIN - the cubin of planted.cu must be refused, each kernel by its name.

Where there is no nvdisasm, NVDISASM is `ptx`: the same of the PTX that lies beside the cubins, against a table of its own.
It has what the source and the compiler's front half do (unrolling, branches, arrays in local memory, atomics that become
loops, divisions), not what ptxas makes of it: registers and spills, which resources.sh compares, and schedules."""
import collections
import re
import subprocess
import sys
from pathlib import Path

KERNELS = ("attn_decode", "attn_prefill", "sample")
# of attention in bf16: copies, masks and rescales that are left out, 2 tiles; comparisons that branch are 16 and more
MOST_BRANCHES = 10
MOST_BRANCHES_PTX = 18  # some of which ptxas makes predicates
HEAD = "# kernel, architecture, instructions, of the main loop, HMMA, LDG, branches there (tests/cuda/machine_code.py)"


def functions(nvdisasm, cubin):
    """(architecture, {mangled name: [(address, instruction)], with labels as (address, None, label)})."""
    text = subprocess.run([nvdisasm, "-c", str(cubin)], check=True, capture_output=True, text=True).stdout
    arch, out, code, labels = None, {}, None, None
    for line in text.splitlines():
        if m := re.match(r"\s*\.target\s+(\w+)", line):
            arch = m[1]
        elif m := re.match(r"\.text\.(\S+):", line):
            code, labels = out.setdefault(m[1], ([], {}))
        elif code is None:
            continue
        elif m := re.match(r"(\.L_\w+):", line):
            labels[m[1]] = len(code)
        elif m := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;", line):
            code.append(m[1])
    return arch, out


# What PTX's operations are called in machine code: the first that an operation begins with. Additions in shared memory that are
# not of 32-bit integers become loops around a compare-and-swap; an IEEE division a call.
PTX_NAMES = (("mma.sync", "HMMA"), ("fma.rn.f32", "FFMA"), ("ld.global", "LDG"), ("ld.local", "LDL"), ("st.local", "STL"),
             ("atom.shared.cas", "ATOMS.CAS"), ("atom.shared.add.u64", "ATOMS.CAS"), ("atom.shared.add.f", "ATOMS.CAS"),
             ("atom.shared", "ATOMS"), ("atom.", "ATOM"), ("div.rn.f", "CALL.div"), ("ret", "RET"), ("exit", "EXIT"))


def ptx_functions(path):
    """As functions() has it, of a PTX file."""
    text = re.sub(r"//.*|/\*.*?\*/", "", path.read_text(), flags=0)
    arch, out, code, labels = re.search(r"\.target\s+(\w+)", text)[1], {}, None, None
    for line in re.split(r";|(?<=:)\n|\n(?=[.\s]*(?:visible\s+)?\.?entry)", text):
        for part in line.split("\n"):
            part = part.strip().strip("{}").strip()
            if m := re.match(r"(?:\.visible\s+)?\.entry\s+(\w+)", part):
                code, labels = out.setdefault(m[1], ([], {}))
            elif code is None or not part or part.startswith("."):
                continue
            elif m := re.match(r"\$L_(\w+):$", part):
                labels[".L_" + m[1]] = len(code)
            elif m := re.match(r"(@!?%\w+\s+)?bra(?:\.uni)?\s+\$L_(\w+)$", part):
                code.append(("@P0 " if m[1] else "") + f"BRA `(.L_{m[2]})")
            elif m := re.match(r"(@!?%\w+\s+)?([a-z]\w*\.[\w.:]+|[a-z]\w*)(?:\s|$)", part):
                name = next((n for p, n in PTX_NAMES if m[2].startswith(p)), m[2])
                code.append(("@P0 " if m[1] else "") + name)
    return arch, out


def operation(instruction):
    return re.sub(r"^@!?U?P\w+\s+", "", instruction).split()[0]


def is_a(name):
    return lambda i: operation(i).split(".")[0] == name


def natural_loops(code, labels):
    """Sets of instructions, one for each target of a branch back to an instruction that every way to the
    branch passes; parts that ptxas moved behind the function jump back too, but are no loops."""
    last = len(code) - 1
    ways = []  # where it can go on after instruction i
    for at, i in enumerate(code):
        name = operation(i).split(".")[0]
        # a call of a label inside the function does not come back
        target = re.search(r"`\((\.L_\w+)\)", i) if name in ("BRA", "CALL") else None
        always = not i.startswith("@") and (name in ("EXIT", "RET") or target and "," not in i and "!" not in i)
        ways.append(([labels[target[1]]] if target else []) + ([at + 1] if not always and at < last else []))
    jumps = {at for at, to in enumerate(ways) if to != [at + 1]}
    heads = sorted(({0} | {w for at in jumps for w in ways[at]} | {at + 1 for at in jumps}) - {last + 1})
    block = {}
    for n, h in enumerate(heads):
        for at in range(h, heads[n + 1] if n + 1 < len(heads) else last + 1):
            block[at] = n
    ends = [heads[n + 1] - 1 if n + 1 < len(heads) else last for n in range(len(heads))]
    to = [[block[w] for w in ways[e]] for e in ends]
    origin = [[] for _ in heads]
    for n, targets in enumerate(to):
        for t in targets:
            origin[t].append(n)
    everything = (1 << len(heads)) - 1
    passed = [1] + [everything] * (len(heads) - 1)  # bits: blocks on every way to the end of this one
    changed = True
    while changed:
        changed = False
        for n in range(1, len(heads)):
            common = everything
            for o in origin[n]:
                common &= passed[o]
            common |= 1 << n
            changed |= common != passed[n]
            passed[n] = common
    loops = {}
    for n, targets in enumerate(to):
        for head in targets:
            if not passed[n] >> head & 1 or not origin[n] and n:
                continue
            body, todo = loops.setdefault(head, {head}), [n]
            while todo:
                if (at := todo.pop()) not in body:
                    body.add(at)
                    todo += origin[at]
    return [sorted(at for b in body for at in range(heads[b], ends[b] + 1)) for body in loops.values()]


class Kernel:
    def __init__(self, code, labels):
        while code and (is_a("NOP")(code[-1]) or is_a("BRA")(code[-1])):  # what pads a function
            code.pop()
        self.code = code
        self.loops = natural_loops(code, {l: at for l, at in labels.items() if at < len(code)})

    def count(self, name, loop):
        return sum(is_a(name)(self.code[at]) for at in loop)

    def main_loop(self):
        for name, least in ("HMMA", 1), ("FFMA", 64), ("ATOMS", 1), ("LDG", 1):  # a division has a few FFMA as well
            found = [(self.count(name, a), -len(a), a) for a in self.loops]
            if found and max(found)[0] >= least:
                return max(found)[2]
        return None

    def branches(self, loop):
        return self.count("BRA", loop) - 1

    def refused(self, attention, most):
        if any(operation(i).split(".")[0] in ("LDL", "STL") for i in self.code):
            yield "local", "local memory"
        for loop in self.loops:
            if any(operation(self.code[at]).startswith("ATOMS.CAS") for at in loop):
                yield "cas", "a compare-and-swap loop in shared memory"
                break
        if any(operation(i).split(".")[0] in ("ATOM", "ATOMG") for i in self.code):
            yield "generic", "an atomic addition that is not known to be in shared memory"
        for loop in self.loops:
            if any(is_a("CALL")(self.code[at]) and "div" in self.code[at] for at in loop):
                yield "division", "calls of a division in a loop"
                break
        loop = self.main_loop()
        if attention and loop and self.count("HMMA", loop) and self.branches(loop) > most:
            yield "branch", f"{self.branches(loop)} branches in the main loop, at most {most} allowed"

    def row(self):
        loop = self.main_loop()
        if not loop:
            return [len(self.code), 0, 0, 0, 0]
        return [len(self.code), len(loop), self.count("HMMA", loop), self.count("LDG", loop), self.branches(loop)]


def plain(names):
    """Demangled, as resources.sh writes them."""
    out = subprocess.run(["c++filt"], input="\n".join(names), check=True, capture_output=True, text=True).stdout
    short = [re.sub(r"\((bool|int)\)", "", n) for n in out.splitlines()]
    return [re.sub(r"\([^)]*\)$", "", n).removeprefix("void ") for n in short]


def kernels(nvdisasm, cubin):
    arch, found = ptx_functions(Path(cubin)) if nvdisasm == "ptx" else functions(nvdisasm, cubin)
    names = [n for n in found if not n.startswith("$")]
    return arch, [(p, Kernel(*found[n])) for p, n in zip(plain(names), names)]


def planted(nvdisasm, cubin):
    """kernel NAME_kernel is refused for NAME and for nothing else; good_kernel is not."""
    bad = 0
    _, found = kernels(nvdisasm, cubin)
    for name, kernel in found:
        why = sorted({w for w, _ in kernel.refused(True, MOST_BRANCHES_PTX if nvdisasm == "ptx" else MOST_BRANCHES)})
        expected = [] if name == "good_kernel" else [name.removesuffix("_kernel")]
        if why != expected:
            print(f"planted.cu: {name} is refused for {why}, expected {expected}", file=sys.stderr)
            bad = 1
    if len(found) != 6:
        print(f"planted.cu: {len(found)} kernels, expected 6", file=sys.stderr)
        bad = 1
    return bad


def main():
    nvdisasm = sys.argv[1]
    if sys.argv[2] == "--planted":
        return planted(nvdisasm, sys.argv[3])
    table, lines, bad = Path(sys.argv[3]), [], 0
    for name in KERNELS:
        kind = "ptx" if nvdisasm == "ptx" else "cubin"
        cubins = sorted((Path(sys.argv[2]) / name).glob(f"*.{kind}"))
        if len(cubins) != 3:
            print(f"{sys.argv[2]}/{name}: {len(cubins)} files .{kind}, expected 3: build sg_cuda first", file=sys.stderr)
            return 1
        for cubin in cubins:
            arch, found = kernels(nvdisasm, cubin)
            for kernel_name, kernel in found:
                lines.append(f"{kernel_name} {arch} " + " ".join(map(str, kernel.row())))
                for _, why in kernel.refused(kernel_name.startswith("attn_"),
                                             MOST_BRANCHES_PTX if kind == "ptx" else MOST_BRANCHES):
                    print(f"{kernel_name} {arch}: {why}", file=sys.stderr)
                    bad = 1
    text = "\n".join([HEAD] + sorted(lines)) + "\n"
    if sys.argv[4:] == ["--write"]:
        table.write_text(text)
        return bad
    old = collections.Counter(table.read_text().splitlines())
    new = collections.Counter(text.splitlines())
    for sign, rows in ("-", old - new), ("+", new - old):
        for row in rows:
            print(sign + row, file=sys.stderr)
    if old != new:
        print(f"the machine code differs from {table}; if that is meant: {' '.join(sys.argv)} --write", file=sys.stderr)
    return 1 if bad or old != new else 0


sys.exit(main())
