"""lint.py SOURCE [CC]: rules of the tree that no compiler checks.

- includes run one way (see LAYERS), mpi.h and hdf5.h stay where they belong
- no source file is longer than 850 lines
- every header compiles alone (when CC is given)
"""
import os, re, subprocess, sys, tempfile
from concurrent.futures import ThreadPoolExecutor

source = os.path.abspath(sys.argv[1])
cc = sys.argv[2] if len(sys.argv) > 2 else None
MAX_LINES = 850

# folder -> folders whose headers it may include, beside its own
LAYERS = {
    "src/base": set(),
    "kernels": {"src/base"},
    "src/model": {"src/base", "kernels"},
    "src/engine": {"src/base", "kernels", "src/model"},
    "src/cell": {"src/base"},
    "src/job": {"src/base", "src/cell"},
    "src/text": {"src/base"},
    "src/store": {"src/base", "src/job", "src/cell", "src/text"},
    "src/rundir": {"src/base", "src/job", "src/store"},
    "src/run": {"src/base", "kernels", "src/model", "src/engine", "src/cell", "src/job", "src/text", "src/store",
                "src/rundir"},
    "src/sweep": {"src/base", "kernels", "src/model", "src/cell", "src/job", "src/store", "src/rundir", "src/run"},
    "src/cmd": {"src/base", "kernels", "src/model", "src/engine", "src/cell", "src/job", "src/text", "src/store",
                "src/rundir", "src/run", "src/sweep"},
    "src": {"src/base", "src/cmd"},
    "analysis": {"src/base", "src/cell", "src/job", "src/store"},
}
# single headers beside that
ALSO = {
    # option tables and --help, which need nothing but base; the command route-reference
    "analysis": {"cmd/cmd.h", "tests/reference/route_reference.h"},
    "src/cmd": {"tests/reference/verdict_reference.h"},  # the command parse --reference
}
# a header of the outside -> the files that may include it
OUTSIDE = {
    r"mpi\.h": r"src/run/comm\.[ch]",
    r"hdf5(_hl)?\.h": r"src/store/.*",
    r"pcre2\.h|utf8proc\.h": r"src/text/.*",
    r"cuda.*\.h|cublas.*\.h": r"kernels/cuda/.*",
}
errors = []


def layer(path):
    best = ""
    for name in LAYERS:
        if path.startswith(name + "/") and len(name) > len(best):
            best = name
    return best


def files():
    for top in ("src", "kernels", "analysis", "tests"):
        for folder, _, names in os.walk(os.path.join(source, top)):
            for name in sorted(names):
                yield os.path.relpath(os.path.join(folder, name), source)


def check_includes(path, text):
    here = layer(path)
    for number, line in enumerate(text.split("\n"), 1):
        m = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
        if not m:
            continue
        name = m.group(2)
        for pattern, allowed in OUTSIDE.items():
            if re.fullmatch(pattern, os.path.basename(name)) and not re.fullmatch(allowed, path) and here:
                errors.append(f"{path}:{number}: {name} belongs into {allowed} alone")
        if not here or m.group(1) == "<":
            continue
        places = [os.path.join("src", name), name, os.path.join(os.path.dirname(path), name)]
        there = next((p for p in places if os.path.exists(os.path.join(source, p))), None)
        if there is None:
            continue  # generated, or of the system
        other = layer(os.path.normpath(there))
        if other != here and other not in LAYERS[here] and name not in ALSO.get(here, ()):
            errors.append(f"{path}:{number}: {here} includes {other} ({name}); includes run one way")


def compiles_alone(path):
    with tempfile.NamedTemporaryFile("w", suffix=".c") as f:
        f.write(f'#include "{path}"\nextern int sg_lint_unused;\n')
        f.flush()
        flags = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-D_DEFAULT_SOURCE", "-Wall", "-Wextra", "-Werror",
                 "-Wno-unused-function", "-fsyntax-only", "-I", source, "-I", os.path.join(source, "src")]
        flags += os.environ.get("SG_LINT_CFLAGS", "").split()
        r = subprocess.run([cc] + flags + [f.name], capture_output=True, text=True)
    if r.returncode != 0:
        first = next((l for l in r.stderr.split("\n") if "error" in l), r.stderr)
        return f"{path}: does not compile alone: {first.strip()}"
    return None


headers, seen = [], 0
for path in files():
    if not re.search(r"\.(c|h|inc|cu|cuh|cpp|py|sh)$", path):
        continue
    seen += 1
    text = open(os.path.join(source, path), encoding="utf-8").read()
    lines = text.count("\n")
    if lines > MAX_LINES:
        errors.append(f"{path}: {lines} lines, {MAX_LINES} at most")
    check_includes(path, text)
    if path.endswith(".h") and not path.startswith(("kernels/cuda/", "tests/")):
        headers.append(path)
if cc:
    with ThreadPoolExecutor(2) as pool:
        errors += [e for e in pool.map(compiles_alone, headers) if e]
if seen < 50 or (cc and len(headers) < 20):
    errors.append(f"only {seen} files and {len(headers)} headers were looked at: is this the source tree?")
print("\n".join(errors) or f"{seen} files, {len(headers)} headers{' compiled' if cc else ''}: nothing to complain of")
sys.exit(1 if errors else 0)
