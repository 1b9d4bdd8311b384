"""lint_test.py CC: lint.py complains of every fault that is planted here, and of nothing else."""
import os, re, sys, tempfile

import lint

CLEAN = {
    "src/base/clock.h": "#ifndef SG_CLOCK_H\n#define SG_CLOCK_H\nint sg_clock(void);\n#endif\n",
    "src/base/clock.c": '#include "base/clock.h"\nint sg_clock(void) {\n    return 1;\n}\n',
    "src/job/job.h": '#include "base/clock.h"\nint sg_job(int n);\nint sg__job_parse(int n);\n',
    "src/job/job.c": '#include "job/job.h"\nint sg_job(int n) {\n    return sg__job_parse(n) + sg_clock();\n}\n',
    "src/job/parse.c": '/* sg_job( is a comment */\n#include "job/job.h"\nint sg__job_parse(int n) {\n    return n;\n}\n',
    "src/store/h5.h": "int sg_h5(void);\n",
    "kernels/backend.h": "int sg__backend_open(void);\n",
    "kernels/cpu/cpu.c": '#include "kernels/backend.h"\nint sg__backend_open(void) {\n    return 0;\n}\n',
    "src/run/comm.c": "#include <mpi.h>\n",
    "tests/reference/verdict.h": "int verdict(void);\n",
    "src/cmd/cmd_parse.c": '#include "tests/reference/verdict.h"\n',
}
# what is wrong, files beside those of CLEAN or in their place, the complaint
FAULTS = [
    ("nothing", {}, None),
    ("a lower folder includes a higher one", {"src/base/up.c": '#include "store/h5.h"\n'},
     r"src/base/up\.c:1: src/base includes src/store"),
    ("by a path relative to itself", {"src/base/up.c": '#include "../store/h5.h"\n'},
     r"src/base/up\.c:1: src/base includes src/store"),
    ("analysis includes a command's header",
     {"src/cmd/cmd.h": "int sg_cmd(void);\n", "analysis/a.c": '#include "cmd/cmd.h"\n'},
     r"analysis/a\.c:1: analysis includes src/cmd"),
    ("the program includes a test's header",
     {"tests/unit/t.h": "", "src/job/job.c": '#include "tests/unit/t.h"\n'}, r"job\.c:1: the program includes a test"),
    ("MPI outside of comm", {"src/run/worker.c": "\n#include <mpi.h>\n"}, r"src/run/worker\.c:2: mpi\.h belongs"),
    ("HDF5 outside of store", {"src/run/worker.c": "#include <hdf5.h>\n"}, r"worker\.c:1: hdf5\.h belongs"),
    ("PCRE2 outside of text", {"src/job/job.c": "#include <pcre2.h>\n"}, r"job\.c:1: pcre2\.h belongs"),
    ("CUDA outside of kernels/cuda", {"kernels/ops.c": "#include <cuda_runtime.h>\n"}, r"cuda_runtime\.h belongs"),
    ("a file opened past base/file.c", {"src/job/a.c": "int sg_a(void) {\n    return open(\"x\", 0);\n}\n"},
     r"src/job/a\.c:2: open\(\): only src/base/file\.c opens"),
    ("a folder listed past base/file.c", {"analysis/a.c": "void *sg_a(void) {\n    return opendir(\".\");\n}\n"},
     r"analysis/a\.c:2: opendir\(\): only src/base"),
    ("an HDF5 file opened by name", {"src/store/a.c": "int sg_a(void) {\n    return H5Fopen(0, 0, 0);\n}\n"},
     r"src/store/a\.c:2: H5Fopen\(\): only src/store/h5_driver\.c opens"),
    ("a member that opens", {"src/job/a.c": "/* open( */ int sg_a(struct x *p) {\n    return p->open(1) + p[0].open(2);\n}\n"},
     None),
    ("another folder's sg__ function", {"src/store/a.c": '#include "job/job.h"\nint sg_a(void) {\n'
                                                         "    return sg__job_parse(1);\n}\n"},
     r"src/store/a\.c: sg__job_parse is src/job's own"),
    ("a macro of another folder's", {"src/job/a.h": "#define SG__JOB 1\n", "src/run/a.c": "int a = SG__JOB;\n"},
     r"src/run/a\.c: SG__JOB is src/job's own"),
    ("a subfolder's sg__ name above it",
     {"kernels/cpu/cpu.h": "int sg__cpu(void);\n", "kernels/ops.c": "int sg_ops(void) {\n    return sg__cpu();\n}\n"},
     r"kernels/ops\.c: sg__cpu is kernels/cpu's own"),
    ("a struct of another folder's, declared again",
     {"src/job/a.h": "struct sg__cursor {\n    int at;\n};\n", "src/run/a.h": "struct sg__cursor;\n"},
     r"src/run/a\.h: sg__cursor is src/job's own"),
    ("two folders that have one name each",
     {"src/job/a.h": "enum { SG__LESS, SG__MORE };\n", "src/run/a.h": "#define SG__MORE 2\n"}, None),
    ("files that include each other",
     {"src/job/a.h": '#pragma once\n#include "job/b.h"\n', "src/job/b.h": '#pragma once\n#include "job/a.h"\n'},
     r"circle of includes between files: src/job/a\.h, src/job/b\.h"),
    ("folders that include each other",
     {"kernels/guard/a.c": '#include "kernels/guard/../ref/b.h"\n', "kernels/ref/b.h": "",
      "kernels/ref/c.c": '#include "kernels/guard/d.h"\n', "kernels/guard/d.h": ""},
     r"circle of includes between folders: kernels/guard, kernels/ref"),
    ("sources that call each other",
     {"src/job/parse.c": '#include "job/job.h"\nint sg__job_parse(int n) {\n    return n ? sg_job(n - 1) : 0;\n}\n'},
     r"circle of calls between files: src/job/job\.c, src/job/parse\.c"),
    ("one that passes the other's function on",
     {"src/job/parse.c": '#include "job/job.h"\nint sg__job_parse(int n) {\n    return use(&sg_job, n);\n}\n'},
     r"circle of calls between files: src/job/job\.c, src/job/parse\.c"),
    ("a file of 801 lines", {"tests/long.py": "#\n" * 801}, r"tests/long\.py: 801 lines, 800 at most"),
    ("a header that needs another", {"src/job/plan.h": "size_t sg_plan(void);\n"},
     r"src/job/plan\.h: does not compile alone"),
]


def complaints(files, cc):
    with tempfile.TemporaryDirectory() as tree:
        for path, text in files.items():
            os.makedirs(os.path.join(tree, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(tree, path), "w") as f:
                f.write(text)
        return lint.check(tree, cc)[0]


failed = 0
for what, files, expected in FAULTS:
    got = complaints(CLEAN | files, sys.argv[1])
    if len(got) != (expected is not None) or (expected and not re.search(expected, got[0])):
        failed += 1
        print(f"FAIL: {what}: expected {expected!r} alone, got {got}")
print(f"{len(FAULTS) - failed} of {len(FAULTS)} as expected")
sys.exit(1 if failed else 0)
