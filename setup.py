"""Builds the C core as static libraries, one per instruction set, and the Cython extensions on top of them.

buildconf.py says what is built and with which flags, and names the switches.
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext

sys.path.insert(0, str(Path(__file__).resolve().parent))  # PEP 517 front ends leave the project's root out

import buildconf

MODE, MODE_CFLAGS, MODE_LDFLAGS = buildconf.build_mode()
CFLAGS = [*buildconf.C_STANDARD, *buildconf.WARNINGS, *MODE_CFLAGS]
HEADERS = [str(path) for path in buildconf.headers()]
C_FILES = [str(path) for path in (*buildconf.pure_sources(), *buildconf.system_sources(), *buildconf.kernel_sources())]
DIRECTIVES = {
    "language_level": 3,
    "binding": True,
    "auto_pickle": False,
    "autotestdict": False,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "embedsignature": False,
}


def c_library(name: str, files: list[Path], extra: list[str]) -> tuple[str, dict]:
    return name, {
        "sources": [str(path) for path in files],
        "include_dirs": [buildconf.INCLUDE],
        "cflags": [*CFLAGS, *extra],
        "obj_deps": {"": HEADERS},
    }


def c_libraries() -> list[tuple[str, dict]]:
    libraries = [c_library("hft", buildconf.pure_sources(), [])]
    libraries += [c_library("hft_" + path.stem, [path], flags) for path, flags in buildconf.kernel_sources().items()]
    if system := buildconf.system_sources():
        libraries.append(c_library("hft_system", system, buildconf.pkg_config("--cflags")))
    return libraries


LIBRARIES = c_libraries()
KERNEL_LIBRARIES = [name for name, _ in LIBRARIES if name not in ("hft", "hft_system")]


def extension(name: str) -> Extension:
    link = [*MODE_LDFLAGS]
    system = list(buildconf.SYSTEM_EXTENSIONS.get(name, ()))
    # The archives name each other's symbols: with --as-needed the order is system, pure, kernels, then the system's.
    libraries = [*(["hft_system"] if system else []), "hft", *KERNEL_LIBRARIES]
    libraries += [library for library in system if library != "uring"]
    if "uring" in system:
        link += [f"-L{buildconf.liburing_dir()}", "-l:liburing.so"]
    return Extension(
        f"hftcore.{name}",
        [f"hftcore/{name}.pyx"],
        include_dirs=[buildconf.INCLUDE],
        libraries=libraries,
        extra_compile_args=[*buildconf.C_STANDARD, *MODE_CFLAGS, "-Wno-unused-function"],
        extra_link_args=link,
        depends=C_FILES + HEADERS,
    )


class BuildClib(build_clib):
    """Static libraries, rebuilt without leftovers: an archive keeps members whose source is gone."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.build_clib = f"build/{MODE}/clib"
        self.build_temp = f"build/{MODE}/temp"

    def build_libraries(self, libraries: list) -> None:
        for name, _ in libraries:
            Path(self.build_clib, f"lib{name}.a").unlink(missing_ok=True)
        super().build_libraries(libraries)


class BuildExt(build_ext):
    """Builds the static libraries first (`build_ext` alone would not), each mode in a directory of its own.

    An editable install would compile into a temporary directory; here it takes what `build_ext --inplace` made.
    """

    def finalize_options(self) -> None:
        super().finalize_options()
        self.build_temp = f"build/{MODE}/temp"
        if self.inplace or self.editable_mode:
            self.build_lib = f"build/{MODE}/lib"
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        self.run_command("build_clib")
        clib = self.get_finalized_command("build_clib")
        for ext in self.extensions:
            ext.library_dirs = [clib.build_clib, *ext.library_dirs]
        super().run()


setup(
    libraries=LIBRARIES,
    ext_modules=cythonize(
        [extension(name) for name in buildconf.EXTENSIONS if Path(f"hftcore/{name}.pyx").exists()],
        compiler_directives=DIRECTIVES,
        build_dir=f"build/{MODE}/cython",
        nthreads=os.cpu_count() or 1,
        include_path=["."],
    ),
    cmdclass={"build_clib": BuildClib, "build_ext": BuildExt},
)
