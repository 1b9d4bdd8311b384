"""slurm/'s recipes against the tree that they build: the Spack recipe names what CMakeLists.txt looks for, and the
Apptainer definition copies what CMake reads. What only Spack and Apptainer could show is not tested here. SRC: the tree."""
import os
import pathlib
import re
import subprocess
import sys
import types
import unittest

SRC = pathlib.Path(os.environ["SRC"]).resolve()
CMAKE = (SRC / "CMakeLists.txt").read_text() + "".join(p.read_text() for p in (SRC / "src/cmake").glob("*.cmake"))
# what CMake looks for -> the package of Spack that has it
SPACK = {"libcjson": "cjson", "libxxhash": "xxhash", "libpcre2-8": "pcre2", "libutf8proc": "utf8proc", "zlib": "zlib-api",
         "hdf5-serial": "hdf5", "HDF5": "hdf5", "MPI": "mpi", "PkgConfig": "pkgconfig"}
OF_TESTS, OF_SYSTEM = {"cmocka"}, {"Threads"}


class Recipes(unittest.TestCase):
    def load_recipe(self):
        """The recipe's class body with recorders in place of Spack's directives."""
        calls = []

        class When:
            def __init__(self, spec):
                pass

            def __enter__(self):
                pass

            def __exit__(self, *error):
                pass

        package, cmake = types.ModuleType("spack.package"), types.ModuleType("spack_repo.builtin.build_systems.cmake")
        for name in ("depends_on", "variant", "version", "license"):
            setattr(package, name, lambda *a, _name=name, **k: calls.append((_name, a, k)))
        package.when = When
        cmake.CMakePackage = type("CMakePackage", (), {"define": lambda self, k, v: f"-D{k}={v}"})
        parts = cmake.__name__.split(".")
        parents = {".".join(parts[:i]): types.ModuleType(".".join(parts[:i])) for i in range(1, len(parts))}
        modules = {**parents, "spack": types.ModuleType("spack"), "spack.package": package, cmake.__name__: cmake}
        sys.modules.update(modules)
        self.addCleanup(lambda: [sys.modules.pop(name) for name in modules])
        path = SRC / "slurm/spack/spack_repo/scope/packages/scope_grid/package.py"
        names = {"__file__": str(path), "__name__": "package"}
        exec(compile(path.read_text(), path, "exec"), names)
        return names["ScopeGrid"], calls

    def test_spack(self):
        recipe, calls = self.load_recipe()
        wanted = set(re.findall(r"pkg_check_modules\(\w+ (?:REQUIRED )?(?:IMPORTED_TARGET )?([\w-]+)\)", CMAKE))
        wanted |= set(re.findall(r"find_package\((\w+)", CMAKE))
        self.assertGreaterEqual(len(wanted), 9)
        wanted = {SPACK[name] for name in wanted - OF_TESTS - OF_SYSTEM}
        named = {re.match(r"[\w-]+", args[0])[0] for name, args, _ in calls if name == "depends_on"}
        self.assertEqual(wanted - named, set())
        self.assertEqual({n for n in named - wanted if not n.startswith("py")}, {"c", "cxx", "cmake", "cuda"})
        version = re.search(r"cmake_minimum_required\(VERSION ([\d.]+)\)", CMAKE)[1]
        self.assertIn(f"cmake@{version}:", [args[0] for name, args, _ in calls if name == "depends_on"])
        self.assertEqual(recipe.git, f"file://{SRC}")
        spec = types.SimpleNamespace(satisfies=lambda text: text == "+cuda")
        args = recipe.cmake_args(types.SimpleNamespace(define=lambda k, v: f"-D{k}={v}", spec=spec))
        self.assertEqual(args, ["-DSG_TESTS=False", "-DSG_CUDA=ON"])
        sources = CMAKE + (SRC / "kernels/cuda/CMakeLists.txt").read_text()
        for arg in args:
            self.assertRegex(sources, rf"(option|set)\({re.match('-D(.*)=', arg)[1]} ")

    def sections(self):
        text = (SRC / "slurm/scope-grid.def").read_text()
        head, *rest = re.split(r"^%(\w+)\n", text, flags=re.M)
        return head, dict(zip(rest[::2], rest[1::2]))

    def test_apptainer(self):
        head, sections = self.sections()
        self.assertRegex(head, r"(?m)^Bootstrap: docker\nFrom: \{\{ base \}\}$")
        self.assertEqual(set(sections), {"arguments", "files", "post", "environment", "runscript", "test", "labels", "help"})
        self.assertIn("base=debian:12", sections["arguments"])
        copied = [line.split() for line in sections["files"].strip().split("\n")]
        for source, target in copied:
            self.assertTrue((SRC / source).exists(), source)
            self.assertEqual(target, f"/opt/src/{source}")
        # what CMakeLists.txt descends into without tests, and reads
        needed = set(re.findall(r"add_subdirectory\(([\w/]+)\)", CMAKE)) - {"tests"} | {"jobs", "slurm", "CMakeLists.txt"}
        self.assertEqual(needed - {source for source, _ in copied}, set())
        for name in ("post", "environment", "runscript", "test"):
            subprocess.run(["sh", "-n"], input=sections[name], text=True, check=True)


if __name__ == "__main__":
    unittest.main()
