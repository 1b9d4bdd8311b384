import pathlib

from spack_repo.builtin.build_systems.cmake import CMakePackage

from spack.package import *


class ScopeGrid(CMakePackage):
    """Estimates how well, and at what cost, each LLM of a portfolio would answer each query, on a grid of MPI ranks."""

    license("Apache-2.0")

    # the tree that this recipe lies in; spack develop --path builds it with what is not committed
    git = "file://" + str(pathlib.Path(__file__).resolve().parents[6])
    version("main", branch="main")

    variant("cuda", default=False, description="Build the CUDA backend (sm_80, sm_90a, sm_100 and PTX)")
    variant("plots", default=True, description="Python packages for the frontier's plots")

    depends_on("c", type="build")
    depends_on("cxx", type="build", when="+cuda")
    depends_on("cmake@3.22:", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("mpi")
    depends_on("hdf5@1.10:+hl~mpi")  # results are written by one rank; an HDF5 for MPI is refused
    depends_on("cjson")
    depends_on("pcre2")
    depends_on("utf8proc")
    depends_on("xxhash")
    depends_on("zlib-api")
    depends_on("cuda@12.8:", when="+cuda")
    with when("+plots"):
        depends_on("python@3.11:", type="run")
        depends_on("py-matplotlib", type="run")
        depends_on("py-h5py~mpi", type="run")
        depends_on("py-numpy", type="run")

    def cmake_args(self):
        return [
            self.define("SG_TESTS", False),
            self.define("SG_CUDA", "ON" if self.spec.satisfies("+cuda") else "OFF"),
        ]
