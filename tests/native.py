"""Compiles C tests and fuzz targets against the core, with ASan and UBSan; nothing is compiled twice.

Every file made is named by a hash of all that went into it, so what did not change is found again.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

import buildconf

BUILD = buildconf.ROOT / "build" / "native"
CC = os.environ.get("CC", "gcc")
COMMON = [*buildconf.C_STANDARD, *buildconf.WARNINGS, f"-I{buildconf.INCLUDE}", "-Itests/c"]
SANITIZED = [*COMMON, "-O1", "-g", "-fno-omit-frame-pointer", *buildconf.SANITIZE]
RELEASE = [*COMMON, *buildconf.RELEASE, "-Werror"]
TRACED = [*SANITIZED, "-fsanitize-coverage=trace-pc"]
OUT = "<out>"  # in a command: where its output goes
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:handle_abort=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


class CompileError(pytest.fail.Exception):
    """The compiler refused a file: a failed test whose message is what it printed, without a traceback."""

    def __init__(self, message: str) -> None:
        super().__init__(message, pytrace=False)


def compile_c(command: Sequence[str]) -> None:
    """Runs a compiler or linker from the project's root."""
    result = subprocess.run(command, cwd=buildconf.ROOT, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise CompileError(f"{' '.join(command)}\n{result.stdout}{result.stderr}")


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def headers_digest() -> str:
    local = sorted((buildconf.ROOT / "tests").glob("*/*.h"))
    return digest(*((buildconf.ROOT / path).read_bytes() for path in [*buildconf.headers(), *local]))


def made(name: str, suffix: str, key: str, command: Sequence[str]) -> Path:
    """The file that `command` makes at OUT, unless one with this key is there. Older ones are removed."""
    target = BUILD / f"{name}-{key}{suffix}"
    if not target.exists():
        for stale in BUILD.glob(f"{name}-{'?' * len(key)}{suffix}"):
            stale.unlink()
        partial = BUILD / f"{name}.partial{suffix}"
        partial.unlink(missing_ok=True)
        compile_c([str(partial) if word == OUT else word for word in command])
        partial.rename(target)
    return target


def objects(variant: str, flags: list[str], sources: Sequence[tuple[Path, list[str]]]) -> list[Path]:
    """Compiles sources, each with its own further flags, as many at a time as there are cores."""
    headers = headers_digest()

    def one(item: tuple[Path, list[str]]) -> Path:
        source, own = item
        key = digest(CC, flags, own, headers, str(source), (buildconf.ROOT / source).read_bytes())
        return made(f"{variant}-{source.stem}", ".o", key, [CC, *flags, *own, "-c", str(source), "-o", OUT])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, sources))


def pure() -> list[tuple[Path, list[str]]]:
    """L0 and L1 with the kernels, each with the flags it needs."""
    return [*((source, []) for source in buildconf.pure_sources()), *buildconf.kernel_sources().items()]


def system() -> list[tuple[Path, list[str]]]:
    """L2 to L4."""
    flags = buildconf.pkg_config("--cflags")
    return [(source, flags) for source in buildconf.system_sources()]


def archive(name: str, members: list[Path]) -> Path:
    """A static library, so that a program links only what it uses."""
    inputs = [str(path) for path in members]
    return made(name, ".a", digest(inputs), ["ar", "rcs", OUT, *inputs])


def python_symbols() -> Path:
    """An object with a symbol for each that liburing.so, being a Python module too, expects of an interpreter."""
    library = buildconf.liburing_dir() / "liburing.so"
    listing = subprocess.run(["nm", "-D", "-u", str(library)], capture_output=True, text=True, check=True).stdout
    words = {line.split()[-1] for line in listing.splitlines()}
    names = sorted(word for word in words if word.startswith(("Py", "_Py")))
    source = BUILD / "python_symbols.c"
    source.write_text("".join(f"char {name};\n" for name in names))
    return made("python_symbols", ".o", digest(CC, names), [CC, "-c", str(source), "-o", OUT])


def system_libraries() -> list[str]:
    """OpenSSL and zlib, and liburing under the name (its SONAME) that the loader will look for."""
    library, soname = buildconf.liburing_dir() / "liburing.so", BUILD / "libliburing.so"
    if not soname.is_symlink() or soname.readlink() != library:
        soname.unlink(missing_ok=True)
        soname.symlink_to(library)
    others = buildconf.pkg_config("--libs")
    liburing = [f"-L{BUILD}", f"-Wl,-rpath,{BUILD}", "-l:libliburing.so"]
    return [str(python_symbols()), "-Wl,--as-needed", *liburing, *others]


def link(name: str, inputs: list[Path], libraries: list[str]) -> Path:
    words = [*map(str, inputs), *libraries, "-lm", "-lpthread"]
    return made(name, "", digest(words), [CC, *buildconf.SANITIZE, *words, "-o", OUT])


def libraries(variant: str, flags: list[str], *, with_system: bool) -> list[Path]:
    """The core as static libraries, in the order in which they are linked."""
    parts = {"libhft_system": system()} if with_system else {}
    parts["libhft"] = pure()
    return [archive(f"{name}_{variant}", objects(variant, flags, members)) for name, members in parts.items()]


def driver() -> list[Path]:
    return objects("plain", [*COMMON, "-O2", "-g", "-Werror"], [(Path("tests/fuzz/driver.c"), [])])


def linked_test(source: Path) -> Path:
    with_system = source.stem.startswith("test_sys_")
    own = objects("sanitized", SANITIZED, [(source, ["-Werror"])])
    core = libraries("sanitized", SANITIZED, with_system=with_system)
    return link(source.stem, [*own, *core], system_libraries() if with_system else [])


def linked_fuzzer(source: Path) -> Path:
    own = objects("traced", TRACED, [(source, ["-Werror"])])
    core = libraries("traced", TRACED, with_system=True)
    return link(source.stem, [*own, *driver(), *core], system_libraries())


def build(source: Path) -> Path:
    """The sanitised program made of `source` (relative to the root, warnings are errors) and the core.

    L2 to L4 are for those called test_sys_*.c.
    """
    with buildconf.builder_of(BUILD):
        return linked_test(source)


def build_fuzzer(source: Path) -> Path:
    """The fuzzer made of the target `source`, the driver and the core; see tests/fuzz/driver.c."""
    with buildconf.builder_of(BUILD):
        return linked_fuzzer(source)


def release_objects() -> dict[Path, Path]:
    """Every C source of the core and its object file, compiled as for a release, warnings being errors."""
    with buildconf.builder_of(BUILD):
        everything = [*pure(), *system()]
        sources = [source for source, _ in everything]
        return dict(zip(sources, objects("release", RELEASE, everything), strict=True))


def build_all() -> None:
    """Compiles all that the tests run, so that the time a test may take is not spent on it.

    What does not compile is told by the tests that need it.
    """

    def attempt(linked: Callable[[Path], Path], source: Path) -> None:
        with suppress(CompileError):
            linked(source)

    programs = [(linked_test, path) for path in (buildconf.ROOT / "tests").glob("c/test_*.c")]
    programs += [(linked_fuzzer, path) for path in (buildconf.ROOT / "tests").glob("fuzz/[fp]*.c")]
    with suppress(CompileError):
        release_objects()
    with buildconf.builder_of(BUILD), suppress(CompileError), ThreadPoolExecutor(os.cpu_count()) as pool:
        # What the programs share comes first: they are made several at a time.
        libraries("sanitized", SANITIZED, with_system=True)
        libraries("traced", TRACED, with_system=True)
        driver()
        system_libraries()
        for linked, path in programs:
            pool.submit(attempt, linked, path.relative_to(buildconf.ROOT))


def run(program: Path, *arguments: str, timeout_s: float | None = 60) -> subprocess.CompletedProcess[str]:
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


if __name__ == "__main__":
    build_all()
