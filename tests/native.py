"""Compiles C tests and fuzz targets against the core, with ASan and UBSan; what did not change is not compiled again."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import buildconf

BUILD = buildconf.ROOT / "build" / "native"
CC = os.environ.get("CC", "gcc")
FLAGS = [*buildconf.C_STANDARD, "-O1", "-g", "-fno-omit-frame-pointer", *buildconf.SANITIZE, *buildconf.WARNINGS]
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


class CompileError(Exception):
    """The compiler refused a file; the message is what it printed."""


def compile_c(command: list[str]) -> None:
    result = subprocess.run(command, cwd=buildconf.ROOT, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise CompileError(f"{' '.join(command)}\n{result.stdout}{result.stderr}")


@contextmanager
def lock() -> Iterator[None]:
    """One compiling process at a time, so that parallel test runs share the cache."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def headers_digest() -> str:
    local = sorted((buildconf.ROOT / "tests").glob("*/*.h"))
    return digest(*((buildconf.ROOT / path).read_bytes() for path in [*buildconf.headers(), *local]))


def object_of(source: Path, flags: list[str], headers: str) -> Path:
    """The object file of `source`, named by a hash of all that goes into it."""
    text = (buildconf.ROOT / source).read_bytes()
    target = BUILD / f"{source.stem}-{digest(CC, flags, headers, str(source), text)}.o"
    if not target.exists():
        for stale in BUILD.glob(f"{source.stem}-{'?' * 16}.o"):
            stale.unlink()
        partial = target.with_suffix(".tmp")
        include = [f"-I{buildconf.INCLUDE}", "-Itests/c"]
        compile_c([CC, *FLAGS, *flags, *include, "-c", str(source), "-o", str(partial)])
        partial.rename(target)
    return target


def pure_objects(headers: str) -> list[Path]:
    portable = [object_of(source, [], headers) for source in buildconf.pure_sources()]
    return portable + [object_of(source, flags, headers) for source, flags in buildconf.kernel_sources().items()]


def system_objects(headers: str) -> list[Path]:
    cflags = buildconf.pkg_config("openssl", "--cflags")
    return [object_of(source, cflags, headers) for source in buildconf.system_sources()]


def system_libraries() -> list[str]:
    """OpenSSL, and liburing under the name (its SONAME) that the loader will look for."""
    soname = BUILD / "libliburing.so"
    if not soname.is_symlink() or soname.readlink() != buildconf.liburing_dir() / "liburing.so":
        soname.unlink(missing_ok=True)
        soname.symlink_to(buildconf.liburing_dir() / "liburing.so")
    return [f"-L{BUILD}", f"-Wl,-rpath,{BUILD}", "-l:libliburing.so", *buildconf.pkg_config("openssl", "--libs")]


def archive_of(name: str, objects: list[Path]) -> Path:
    """A static library, so that a program links only what it uses; named by what is in it."""
    archive = BUILD / f"{name}-{digest([str(path) for path in objects])}.a"
    if not archive.exists():
        for stale in BUILD.glob(f"{name}-{'?' * 16}.a"):
            stale.unlink()
        partial = archive.with_suffix(".tmp")
        partial.unlink(missing_ok=True)
        compile_c(["ar", "rcs", str(partial), *map(str, objects)])
        partial.rename(archive)
    return archive


def build(name: str, sources: list[Path], *, system: bool = False) -> Path:
    """Links `sources` (relative to the root, warnings are errors) and the core into one sanitised program."""
    with lock():
        headers = headers_digest()
        own = [object_of(source, ["-Werror"], headers) for source in sources]
        core = [archive_of("pure", pure_objects(headers))]
        if system:
            core.insert(0, archive_of("system", system_objects(headers)))
        program = BUILD / name
        stamp = BUILD / f"{name}.stamp"
        key = digest([str(path) for path in [*own, *core]])
        if not program.exists() or not stamp.exists() or stamp.read_text() != key:
            stamp.unlink(missing_ok=True)
            libraries = system_libraries() if system else []
            inputs = [str(path) for path in [*own, *core]]
            compile_c([CC, *buildconf.SANITIZE, *inputs, *libraries, "-lm", "-lpthread", "-o", str(program)])
            stamp.write_text(key)
        return program


def run(program: Path, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs a sanitised program without standard input; its output is captured as text."""
    return subprocess.run(
        [str(program), *arguments],
        cwd=buildconf.ROOT,
        env=os.environ | ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
    )
