"""Compiles the C benchmarks with the project's own flags and links them against the core as it was built."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import buildconf

HERE = Path(__file__).resolve().parent
BUILD = buildconf.ROOT / "build" / "bench"
HEADERS = ("common", "peers", "websocket")

IPSEC_MB = "peers/ipsec_mb.c"
NO_IPSEC_MB = "no row for libipsec-mb, which is not installed: apt-get install libipsec-mb-dev"


def archives() -> list[str]:
    """The static libraries that `setup.py build_ext` made, in link order: what the extensions themselves contain."""
    mode, _, _ = buildconf.build_mode()
    folder = buildconf.ROOT / "build" / mode / "clib"
    names = ["hft_system", "hft", *(f"hft_{path.stem}" for path in buildconf.kernel_sources())]
    paths = [folder / f"lib{name}.a" for name in names]
    for path in paths:
        if not path.exists():
            raise SystemExit(f"{path.relative_to(buildconf.ROOT)} is missing: build first (./dev setup)")
    return [str(path) for path in paths]


@functools.cache
def has_ipsec_mb() -> bool:
    """Whether gcc finds libipsec-mb; not asked of pkg-config, because Debian 12's package has no file for it."""
    command = ["gcc", "-x", "c", "-", "-lIPSec_MB", "-o", "/dev/null"]
    program = "#include <intel-ipsec-mb.h>\nint main(void) { return alloc_mb_mgr(0) == 0; }\n"
    return subprocess.run(command, input=program, capture_output=True, text=True, check=False).returncode == 0


def build(*sources: str) -> Path:
    """The program made of `sources` (relative to benchmarks/; the first one names it) and the core.

    With IPSEC_MB among them, that one is left out where the library is missing, and HAVE_IPSEC_MB not defined.
    """
    _, mode_cflags, mode_ldflags = buildconf.build_mode()
    optional: list[str] = []
    if IPSEC_MB in sources and has_ipsec_mb():
        optional = ["-DHAVE_IPSEC_MB", "-lIPSec_MB"]
    inputs = [str(HERE / source) for source in sources if source != IPSEC_MB or optional]
    libraries = archives()
    command = [
        "gcc", *buildconf.C_STANDARD, *buildconf.WARNINGS, *mode_cflags,
        f"-I{buildconf.ROOT / buildconf.INCLUDE}", f"-I{buildconf.ROOT / buildconf.SRC}",
        *(f"-I{HERE / folder}" for folder in HEADERS), *inputs, *libraries, *mode_ldflags, *optional,
        *buildconf.pkg_config("--libs"),
    ]  # fmt: skip
    watched = [*map(Path, inputs), *(path for folder in HEADERS for path in (HERE / folder).glob("*.h"))]
    watched += [*map(Path, libraries), *(buildconf.ROOT / path for path in buildconf.headers())]
    watched += [buildconf.ROOT / path for path in buildconf.system_sources()]
    program = BUILD / f"{Path(sources[0]).stem}-{hash_of(repr(command), watched)}"
    with buildconf.builder_of(BUILD):
        if not program.exists():
            for stale in BUILD.glob(f"{Path(sources[0]).stem}-*"):
                stale.unlink()
            compile_with([*command, "-o", str(program)], sources[0])
    return program


def hash_of(command: str, files: list[Path]) -> str:
    """Names what `command` makes of `files`, so that it is made again when any of them is another."""
    key = hashlib.sha256(command.encode())
    for path in files:
        key.update(path.read_bytes())
    return key.hexdigest()[:16]


def compile_with(command: list[str], source: str) -> None:
    result = subprocess.run(command, cwd=buildconf.ROOT, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise SystemExit(f"{source} does not compile:\n{result.stdout}{result.stderr}")


def extension(source: str, beside: str) -> ModuleType:
    """Compiles `source` (.pyx, relative to benchmarks/) and imports it, as a user of the library does who writes
    Cython: against its .pxd files alone. `beside` is a file of that library: where it changes, all is made anew."""
    _, mode_cflags, mode_ldflags = buildconf.build_mode()
    path, name = HERE / source, Path(source).stem
    watched = [path, Path(beside), *(header for folder in HEADERS for header in (HERE / folder).glob("*.h"))]
    watched += sorted((buildconf.ROOT / "hftcore").rglob("*.pxd"))
    watched += [buildconf.ROOT / header for header in buildconf.headers()]
    folder = BUILD / f"{name}-{hash_of(repr([mode_cflags, sys.version]), watched)}"
    library = folder / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    with buildconf.builder_of(BUILD):
        if not library.exists():
            for stale in BUILD.glob(f"{name}-*"):
                shutil.rmtree(stale)
            folder.mkdir()
            code = folder / f"{name}.c"
            cythonize = [sys.executable, "-m", "cython", "-3", f"-I{buildconf.ROOT}", str(path), "-o", str(code)]
            compile_with(cythonize, source)
            include = [f"-I{buildconf.ROOT / buildconf.INCLUDE}", f"-I{sysconfig.get_path('include')}"]
            compile_with(
                ["gcc", "-shared", "-fPIC", *buildconf.C_STANDARD, *mode_cflags, *include,
                 *(f"-I{HERE / header}" for header in HEADERS), str(code), *mode_ldflags, "-o", str(library)],
                source,
            )  # fmt: skip
    spec = importlib.util.spec_from_file_location(name, library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
