"""Builds the C core as static libraries, one per instruction set, and the Cython extensions on top of them.

Switches, by environment only (argv flags do not survive PEP 517): HFTCORE_DEBUG=1 (-O0 -g), HFTCORE_SANITIZE=1
(ASan + UBSan), HFTCORE_COVERAGE=1 (gcov). Each mode has its own build directory, because a changed switch does not
make setuptools rebuild objects.
"""

import importlib.util
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
SRC = Path("hftcore/libhft/src")
INCLUDE = "hftcore/libhft/include"
HEADERS = sorted(str(path) for path in Path(INCLUDE).rglob("*.h"))
C_FILES = sorted(str(path) for path in SRC.rglob("*.[ch]"))

# Layers of the core: `hft` is pure (L0, L1); `hft_system` talks to the kernel and to OpenSSL (L2 to L4).
SYSTEM_MODULES = ("clock", "ring", "ring_epoll", "ring_uring", "tls", "conn", "wsclient", "peer", "engine")
KERNEL_FLAGS = {"sha256_shani": ["-msha", "-msse4.1", "-mssse3"]}

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Werror=implicit"]
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


def switched_on(name: str) -> bool:
    return os.environ.get(name, "0") not in ("", "0")


def build_mode() -> tuple[str, list[str], list[str]]:
    """The mode's name, compile flags and link flags."""
    if switched_on("HFTCORE_SANITIZE"):
        flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
        return "sanitize", flags, ["-fsanitize=address,undefined"]
    if switched_on("HFTCORE_COVERAGE"):
        return "coverage", ["-O0", "-g", "--coverage"], ["--coverage"]
    if switched_on("HFTCORE_DEBUG"):
        return "debug", ["-O0", "-g"], []
    return "release", ["-O3", "-g1", "-fno-plt"], []


def pkg_config(package: str, what: str) -> list[str]:
    try:
        return shlex.split(subprocess.check_output(["pkg-config", what, package], text=True))
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"hftcore needs {package} through pkg-config: apt-get install libssl-dev pkg-config ({error})") from None


def liburing_dir() -> str:
    """Where the `liburing` wheel keeps the C library."""
    spec = importlib.util.find_spec("liburing")
    if spec is None or spec.origin is None:
        raise SystemExit("hftcore needs the Python package liburing to build: pip install liburing")
    return str(Path(spec.origin).parent)


MODE, MODE_CFLAGS, MODE_LDFLAGS = build_mode()
CFLAGS = ["-std=c11", "-D_GNU_SOURCE", "-fvisibility=hidden", *WARNINGS, *MODE_CFLAGS]


def c_library(name: str, files: list[Path], extra: list[str]) -> tuple[str, dict]:
    return name, {
        "sources": sorted(str(path) for path in files),
        "include_dirs": [INCLUDE],
        "cflags": [*CFLAGS, *extra],
        "obj_deps": {"": HEADERS + [path for path in C_FILES if path.endswith(".h")]},
    }


def c_libraries() -> list[tuple[str, dict]]:
    portable = sorted(SRC.glob("*.c"))
    system = [path for path in portable if path.stem.split("_")[0] in SYSTEM_MODULES or path.stem in SYSTEM_MODULES]
    pure = [path for path in portable if path not in system]
    libraries = [c_library("hft", pure, [])]
    if platform.machine() in ("x86_64", "AMD64"):
        libraries += [c_library("hft_" + stem, [SRC / "x86" / f"{stem}.c"], flags) for stem, flags in KERNEL_FLAGS.items()]
    if system:
        libraries.append(c_library("hft_system", system, pkg_config("openssl", "--cflags")))
    return libraries


LIBRARIES = c_libraries()
KERNEL_LIBRARIES = [name for name, _ in LIBRARIES if name not in ("hft", "hft_system")]


def extension(name: str, *, system: bool = False) -> Extension:
    link = [*MODE_LDFLAGS]
    # The archives name each other's symbols: with --as-needed the order is system, pure, kernels, then OpenSSL.
    libraries = [*(["hft_system"] if system else []), "hft", *KERNEL_LIBRARIES]
    if system:
        libraries += ["ssl", "crypto"]
        link += [f"-L{liburing_dir()}", "-l:liburing.so"]
    return Extension(
        f"hftcore.{name}",
        [f"hftcore/{name}.pyx"],
        include_dirs=[INCLUDE],
        libraries=libraries,
        extra_compile_args=["-std=c11", "-D_GNU_SOURCE", "-fvisibility=hidden", *MODE_CFLAGS, "-Wno-unused-function"],
        extra_link_args=link,
        depends=C_FILES + HEADERS,
    )


EXTENSIONS = [
    extension(name, system=name in ("engine", "tls"))
    for name in ("_status", "crypto", "orders", "ws", "bitcoin", "tls", "engine")
    if Path(f"hftcore/{name}.pyx").exists()
]


class BuildClib(build_clib):
    """Static libraries, rebuilt without leftovers: an archive keeps members whose source is gone."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.build_clib = str(Path(self.build_clib) / f"clib-{MODE}")
        self.build_temp = str(Path(self.build_temp) / MODE)

    def build_libraries(self, libraries: list) -> None:
        for name, _ in libraries:
            Path(self.build_clib, f"lib{name}.a").unlink(missing_ok=True)
        super().build_libraries(libraries)


class BuildExt(build_ext):
    """`build_ext` alone would not build the static libraries it links."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.build_temp = str(Path(self.build_temp) / MODE)
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        self.run_command("build_clib")
        clib = self.get_finalized_command("build_clib")
        self.library_dirs.insert(0, clib.build_clib)
        for ext in self.extensions:
            ext.library_dirs = [clib.build_clib, *ext.library_dirs]
        super().run()


setup(
    libraries=LIBRARIES,
    ext_modules=cythonize(
        EXTENSIONS,
        compiler_directives=DIRECTIVES,
        build_dir=f"build/cython-{MODE}",
        nthreads=0 if sys.platform == "darwin" else (os.cpu_count() or 1),
        include_path=["."],
    ),
    cmdclass={"build_clib": BuildClib, "build_ext": BuildExt},
)
