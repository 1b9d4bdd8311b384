"""lint.py SOURCE [CC]: rules of the tree that no compiler checks. lint_test.py plants a fault against each.

- includes run one way between folders (LAYERS); a library's headers are included where OUTSIDE says
- sg__ names are a folder's own: used in it and its subfolders, and declared in a header of it
- files are opened in base/file.c alone, HDF5 files in store/h5_driver.c alone (OPENS)
- no circle: of includes between files, of includes between folders, of calls between source files
- no source file is longer than MAX_LINES
- every header compiles alone (when CC is given)
"""
import collections, os, re, subprocess, sys, tempfile
from concurrent.futures import ThreadPoolExecutor

MAX_LINES = 800

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
# a header of the outside -> the files that may include it
OUTSIDE = {
    r"mpi\.h": r"src/run/comm\.[ch]",
    r"hdf5(_hl)?\.h": r"src/store/.*",
    r"pcre2\.h|utf8proc\.h": r"src/text/.*",
    r"cuda.*\.h|cublas.*\.h": r"kernels/cuda/.*",
}
# what opens a file or lists a folder -> the file that may call it
OPENS = {
    r"open|openat|openat2|creat|fopen|freopen|fdopendir|opendir|mkstemp|mkostemp|mkdtemp|tmpfile": "src/base/file.c",
    r"H5F(?:open|create)\w*": "src/store/h5_driver.c",
}
# commands that run a reference implementation beside the program's own, for cross-checks
REFERENCE = r"(src/cmd/cmd_\w+\.c|analysis/main\.c) tests/reference/\w+\.h"


def layer(path):
    return max((name for name in LAYERS if path.startswith(name + "/")), key=len, default="")


def without_comments(text):
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), text, flags=re.S)
    return re.sub(r"//.*", "", text)


def includes(source, path, code):
    """(line, name, path of it in the tree or None) of every #include"""
    for number, line in enumerate(code.split("\n"), 1):
        m = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
        if m:
            places = [os.path.join("src", m[2]), m[2], os.path.join(os.path.dirname(path), m[2])]
            there = (p for p in places if m[1] == '"' and os.path.exists(os.path.join(source, p)))
            yield number, m[2], next(map(os.path.normpath, there), None)


def check_includes(path, found):
    here = layer(path)
    for number, name, there in found if here else ():
        for pattern, allowed in OUTSIDE.items():
            if re.fullmatch(pattern, os.path.basename(name)) and not re.fullmatch(allowed, path):
                yield f"{path}:{number}: {name} belongs into {allowed} alone"
        if there and there.startswith("tests/") and not re.fullmatch(REFERENCE, f"{path} {there}"):
            yield f"{path}:{number}: the program includes a test ({name})"
        other = layer(there) if there else here  # None: generated, or of the system
        if other and other != here and other not in LAYERS[here]:
            yield f"{path}:{number}: {here} includes {other} ({name}); includes run one way"


def check_opens(path, code):
    if not path.startswith(("src/", "analysis/")):
        return
    for names, home in OPENS.items():
        for m in re.finditer(rf"(?<![\w.>])(?:{names})\s*\(", code):
            if path != home:
                yield f"{path}:{code.count(chr(10), 0, m.start()) + 1}: {m[0]}): only {home} opens files"


def declares(code, name):
    defined = rf"#\s*define {name}\b|\b(struct|enum|union) {name}\s*{{|[{{,]\s*{name}\s*[,=}}]"
    return re.search(rf"{defined}|^\w[\w *]*\b{name}\b\s*[(\[=]|^extern [\w *]*\b{name}\b", code, flags=re.M)


def check_names(codes):
    used, declared = collections.defaultdict(dict), set()
    for path, code in codes.items():
        folder = os.path.dirname(path)
        for name in set(re.findall(r"\b(?:sg|SG)__\w+", code)):
            used[name].setdefault(folder, path)
            if declares(code, name):
                declared.add((name, folder))
    for name, places in sorted(used.items()):
        owners = {folder for n, folder in declared if n == name}
        for folder, path in sorted(places.items()):
            if len(places) > 1 and not any(folder == o or folder.startswith(o + "/") for o in owners):
                yield f"{path}: {name} is {', '.join(sorted(owners)) or 'no folder'}'s own"


def circles(edges, what):
    """Every strongly connected component of more than one node (Tarjan)."""
    index, low, stack, out = {}, {}, [], []

    def visit(x):
        index[x] = low[x] = len(index)
        stack.append(x)
        for y in edges.get(x, ()):
            if y not in index:
                visit(y)
            if y in stack:
                low[x] = min(low[x], low[y])
        if low[x] == index[x]:
            at = stack.index(x)
            if len(stack) - at > 1:
                out.append(f"circle of {what}: {', '.join(sorted(stack[at:]))}")
            del stack[at:]

    for x in sorted(edges):
        if x not in index:
            visit(x)
    return out


def calls(codes):
    """file -> files that define the sg_ functions it names"""
    home, edges = {}, collections.defaultdict(set)
    sources = {p: re.sub(r'"(\\.|[^"\\])*"', '""', c) for p, c in codes.items() if p.endswith(".c")}
    for path, code in sources.items():
        for name in re.findall(r"^(?!static\b)[a-z][\w *]*?\b(sg_\w+)\([^;{]*\)\s*\{", code, flags=re.M):
            home[name] = path
    for path, code in sources.items():
        for kind, name in re.findall(r"((?:struct|enum|union)\s+)?\b(sg_\w+)(?=\s*[(,;)])", code):
            if not kind and home.get(name, path) != path:
                edges[path].add(home[name])
    return edges


def compiles_alone(source, cc, path):
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


def check(source, cc=None):
    """(complaints, files looked at, headers looked at)"""
    errors, headers, seen, codes = [], [], 0, {}
    by_file, by_folder = collections.defaultdict(set), collections.defaultdict(set)
    for top in ("src", "kernels", "analysis", "tests"):
        for folder, _, names in os.walk(os.path.join(source, top)):
            for name in sorted(names):
                path = os.path.relpath(os.path.join(folder, name), source)
                if not re.search(r"\.(c|h|inc|cu|cuh|cpp|py|sh)$", path):
                    continue
                seen += 1
                with open(os.path.join(source, path), encoding="utf-8") as f:
                    text = f.read()
                if text.count("\n") > MAX_LINES:
                    errors.append(f"{path}: {text.count(chr(10))} lines, {MAX_LINES} at most")
                if layer(path) and not path.endswith((".py", ".sh")):
                    codes[path] = without_comments(text)
                if path.endswith(".h") and not path.startswith(("kernels/cuda/", "tests/")):
                    headers.append(path)
    for path, code in codes.items():
        found = list(includes(source, path, code))
        errors += check_includes(path, found)
        errors += check_opens(path, code)
        by_file[path] = {there for _, _, there in found if there}
        if os.path.basename(path) != "main.c":  # a program stands above its folder
            mine = os.path.dirname(path)
            by_folder[mine] |= {os.path.dirname(there) for there in by_file[path]} - {mine}
    errors += check_names(codes)
    errors += circles(by_file, "includes between files") + circles(by_folder, "includes between folders")
    errors += circles(calls(codes), "calls between files")
    if cc:
        with ThreadPoolExecutor(2) as pool:
            errors += filter(None, pool.map(lambda path: compiles_alone(source, cc, path), headers))
    return errors, seen, len(headers)


def main():
    cc = sys.argv[2] if len(sys.argv) > 2 else None
    errors, seen, headers = check(os.path.abspath(sys.argv[1]), cc)
    if seen < 50 or headers < 20:
        errors.append(f"only {seen} files and {headers} headers were looked at: is this the source tree?")
    print("\n".join(errors) or f"{seen} files, {headers} headers{' compiled' if cc else ''}: nothing to complain of")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
