"""Compiles the C benchmarks with the project's own flags and links them against the core as it was built."""

from __future__ import annotations

import functools
import hashlib
import subprocess
from pathlib import Path

import buildconf

HERE = Path(__file__).resolve().parent
BUILD = buildconf.ROOT / "build" / "bench"
HEADERS = ("common", "peers")

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
    BUILD.mkdir(parents=True, exist_ok=True)
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
        *buildconf.pkg_config("openssl", "--libs"),
    ]  # fmt: skip
    watched = [*map(Path, inputs), *(path for folder in HEADERS for path in (HERE / folder).glob("*.h"))]
    watched += [*map(Path, libraries), *(buildconf.ROOT / path for path in buildconf.headers())]
    watched += [buildconf.ROOT / path for path in buildconf.system_sources()]
    key = hashlib.sha256(repr(command).encode())
    for path in watched:
        key.update(path.read_bytes())
    program = BUILD / f"{Path(sources[0]).stem}-{key.hexdigest()[:16]}"
    if not program.exists():
        for stale in BUILD.glob(f"{Path(sources[0]).stem}-*"):
            stale.unlink()
        result = subprocess.run([*command, "-o", str(program)], capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise SystemExit(f"{sources[0]} does not compile:\n{result.stderr}")
    return program
