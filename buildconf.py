"""What is built and how: the one list of C sources, layers and flags, for setup.py, the C tests and the checks.

Switches, by environment only (argv flags do not survive PEP 517): HFTCORE_DEBUG=1 (-O0 -g), HFTCORE_SANITIZE=1
(ASan + UBSan), HFTCORE_COVERAGE=1 (gcov). Importing this module runs nothing and needs only the standard library.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import platform
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent
SRC = Path("hftcore/libhft/src")
INCLUDE = "hftcore/libhft/include"

# Layers of the core. `hft` is pure: L0 and L1. `hft_system` talks to the kernel, OpenSSL and zlib: L2 to L4. A source
# file belongs to the module that its name, up to the first underscore, says; what is not named here is L1.
LAYER_0 = ("status", "cpu", "endian")
LAYER_2 = ("clock", "deflate", "hmac512", "ring", "tls")
LAYER_3 = ("conn", "wsclient", "peer")
LAYER_4 = ("engine", "reactor")
SYSTEM_MODULES = LAYER_2 + LAYER_3 + LAYER_4

# One source file in src/x86/ and one static library for each instruction set: no flag may reach other code.
KERNEL_FLAGS = {
    "aesgcm_aesni": ["-maes", "-mpclmul", "-msse4.1", "-mssse3"],
    "aesgcm_vaes": ["-mvaes", "-mvpclmulqdq", "-maes", "-mpclmul", "-mavx512f", "-mavx512bw", "-mavx512vl"],
    # The SHA-256 kernels are written in the order of issue, which no pass of the compiler may change.
    "sha256_avx2": ["-mavx2", "-fno-tree-reassoc", "-fno-schedule-insns2"],
    "sha256_avx512": ["-mavx512f", "-mavx512bw", "-fno-tree-reassoc", "-fno-schedule-insns2"],
    "sha256_shani": ["-msha", "-msse4.1", "-mssse3", "-fno-schedule-insns2"],
    "text_avx2": ["-mavx2"],
    "text_avx512": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vbmi", "-mbmi2"],
}

# What pkg-config calls the libraries of the system, and the Debian packages that they are in.
PACKAGES = {"openssl": "libssl-dev", "zlib": "zlib1g-dev"}

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Werror=implicit"]
C_STANDARD = ["-std=c11", "-D_GNU_SOURCE", "-fvisibility=hidden"]
RELEASE = ["-O3", "-g1", "-fno-plt"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

# The extensions, in order of dependence. The system ones also link what they use of L2 to L4, and the libraries named.
EXTENSIONS = (
    "_status",
    "_codec",
    "_address",
    "text",
    "crypto",
    "orders",
    "ws",
    "watch",
    "tx",
    "bitcoin",
    "tls",
    "_events",
    "_peers",
    "_venue",
    "engine",
    "_link",
    "_message",
    "reactor",
    "_session",
    "_aio",
    "_blocking",
)
SYSTEM_EXTENSIONS = {
    "_codec": ("z",),
    "crypto": ("crypto",),
    "tls": ("ssl", "crypto"),
    "engine": ("ssl", "crypto", "uring", "z"),
    "reactor": ("ssl", "crypto", "uring", "z"),
}


def switched_on(name: str) -> bool:
    """Whether the environment variable `name` is set to something other than 0."""
    return os.environ.get(name, "0") not in ("", "0")


def build_mode() -> tuple[str, list[str], list[str]]:
    """The mode's name, compile flags and link flags. Each mode has a build directory of its own."""
    if switched_on("HFTCORE_SANITIZE"):
        return "sanitize", ["-O1", "-g", *SANITIZE, "-fno-omit-frame-pointer"], SANITIZE
    if switched_on("HFTCORE_COVERAGE"):
        return "coverage", ["-O0", "-g", "--coverage"], ["--coverage"]
    if switched_on("HFTCORE_DEBUG"):
        return "debug", ["-O0", "-g"], []
    return "release", RELEASE, []


@contextmanager
def builder_of(folder: Path) -> Iterator[None]:
    """One compiling process at a time in `folder`, which is made: tests that run in parallel share what is there."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def module_of(source: Path) -> str:
    """The module a source file belongs to: ring_uring.c is part of ring."""
    return source.stem.split("_")[0]


def layer_of(source: Path) -> int:
    """The layer, 0 to 4, of a source file."""
    module = module_of(source)
    for layer, modules in ((0, LAYER_0), (2, LAYER_2), (3, LAYER_3), (4, LAYER_4)):
        if module in modules:
            return layer
    return 1


def relative(paths: list[Path]) -> list[Path]:
    """The paths, relative to the root and in order."""
    return sorted(path.relative_to(ROOT) for path in paths)


def headers() -> list[Path]:
    """Every C header of the core, public and private, relative to the root as all paths here."""
    return relative([*(ROOT / INCLUDE).rglob("*.h"), *(ROOT / SRC).rglob("*.h")])


def pure_sources() -> list[Path]:
    """L0 and L1: portable C11 that needs nothing but mem*."""
    return [path for path in relative(list((ROOT / SRC).glob("*.c"))) if module_of(path) not in SYSTEM_MODULES]


def system_sources() -> list[Path]:
    """L2 to L4."""
    return [path for path in relative(list((ROOT / SRC).glob("*.c"))) if module_of(path) in SYSTEM_MODULES]


def kernel_sources() -> dict[Path, list[str]]:
    """The kernels of this machine's architecture, with the flags of each one's instruction set."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return {}
    return {path: KERNEL_FLAGS[path.stem] for path in relative(list((ROOT / SRC / "x86").glob("*.c")))}


def pkg_config(what: str) -> list[str]:
    """The flags pkg-config gives for the libraries that L2 to L4 use; `what` is --cflags or --libs."""
    try:
        return shlex.split(subprocess.check_output(["pkg-config", what, *PACKAGES], text=True))
    except (OSError, subprocess.CalledProcessError) as error:
        install = " ".join(["apt-get install", *PACKAGES.values(), "pkg-config"])
        raise SystemExit(f"hftcore needs {' and '.join(PACKAGES)} through pkg-config: {install} ({error})") from None


def liburing_dir() -> Path:
    """Where the `liburing` wheel keeps the C library."""
    spec = importlib.util.find_spec("liburing")
    if spec is None or spec.origin is None:
        raise SystemExit("hftcore needs the Python package liburing to build: pip install liburing")
    return Path(spec.origin).parent
