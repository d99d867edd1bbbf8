"""Compiles C tests and fuzz targets against the core, with ASan and UBSan; what did not change is not compiled again."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import buildconf

BUILD = buildconf.ROOT / "build" / "native"
CC = os.environ.get("CC", "gcc")
FLAGS = [*buildconf.C_STANDARD, "-O1", "-g", "-fno-omit-frame-pointer", *buildconf.SANITIZE, *buildconf.WARNINGS]
INCLUDES = [f"-I{buildconf.INCLUDE}", "-Itests/c"]
COVERAGE = ["-fsanitize-coverage=trace-pc"]
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:handle_abort=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


class CompileError(Exception):
    """The compiler refused a file; the message is what it printed."""


def compile_c(command: Sequence[str]) -> None:
    """Runs a compiler or linker from the project's root."""
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


def made(name: str, suffix: str, key: str, command: Sequence[str]) -> Path:
    """The file `command` makes (its path goes at the end), unless one with this key is there. Older ones are removed."""
    target = BUILD / f"{name}-{key}{suffix}"
    if not target.exists():
        for stale in BUILD.glob(f"{name}-{'?' * len(key)}{suffix}"):
            stale.unlink()
        partial = BUILD / f"{name}.partial{suffix}"
        partial.unlink(missing_ok=True)
        compile_c([*command, str(partial)])
        partial.rename(target)
    return target


def objects(sources: Iterable[tuple[Path, list[str]]], headers: str, variant: str) -> list[Path]:
    """Compiles (source, flags) pairs, as many at a time as there are cores."""

    def one(item: tuple[Path, list[str]]) -> Path:
        source, flags = item
        key = digest(CC, FLAGS, flags, headers, str(source), (buildconf.ROOT / source).read_bytes())
        return made(f"{variant}{source.stem}", ".o", key, [CC, *FLAGS, *flags, *INCLUDES, "-c", str(source), "-o"])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, sources))


def archive(name: str, members: list[Path]) -> Path:
    """A static library, so that a program links only what it uses."""
    inputs = [str(path) for path in members]
    # ar wants its output before its inputs.
    return made(name, ".a", digest(inputs), ["sh", "-c", 'for out; do :; done; exec ar rcs "$out" ' + " ".join(inputs), "ar"])


def core(headers: str, *, system: bool, coverage: bool) -> list[Path]:
    """The core's libraries, in link order."""
    variant, extra = ("fuzz-", COVERAGE) if coverage else ("", [])
    pure = [(source, extra) for source in buildconf.pure_sources()]
    pure += [(source, [*flags, *extra]) for source, flags in buildconf.kernel_sources().items()]
    libraries = [archive(f"{variant}libhft", objects(pure, headers, variant))]
    if system:
        cflags = buildconf.pkg_config("openssl", "--cflags")
        above = [(source, [*cflags, *extra]) for source in buildconf.system_sources()]
        libraries.insert(0, archive(f"{variant}libhft_system", objects(above, headers, variant)))
    return libraries


def system_libraries() -> list[str]:
    """OpenSSL, and liburing under the name (its SONAME) that the loader will look for."""
    library, soname = buildconf.liburing_dir() / "liburing.so", BUILD / "libliburing.so"
    if not soname.is_symlink() or soname.readlink() != library:
        soname.unlink(missing_ok=True)
        soname.symlink_to(library)
    return [f"-L{BUILD}", f"-Wl,-rpath,{BUILD}", "-l:libliburing.so", *buildconf.pkg_config("openssl", "--libs")]


def link(name: str, inputs: list[Path], libraries: list[str]) -> Path:
    words = [*map(str, inputs), *libraries, "-lm", "-lpthread"]
    return made(name, "", digest(words), [CC, *buildconf.SANITIZE, *words, "-o"])


def build(source: Path, *, system: bool = False) -> Path:
    """The sanitised program made of `source` (relative to the root, warnings are errors) and the core."""
    with lock():
        headers = headers_digest()
        own = objects([(source, ["-Werror"])], headers, "")
        libraries = system_libraries() if system else []
        return link(source.stem, [*own, *core(headers, system=system, coverage=False)], libraries)


def build_fuzzer(source: Path) -> Path:
    """The fuzzer made of the target `source`, the driver and the core; see tests/fuzz/driver.c."""
    with lock():
        headers = headers_digest()
        driver = Path("tests/fuzz/driver.c")
        own = objects([(source, ["-Werror", *COVERAGE]), (driver, ["-Werror", "-O2", "-fno-sanitize=all"])], headers, "")
        return link(source.stem, [*own, *core(headers, system=False, coverage=True)], [])


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
