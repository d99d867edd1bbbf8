"""Compiles the C benchmarks with the project's own flags and links them against the core as it was built."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import buildconf

HERE = Path(__file__).resolve().parent
BUILD = buildconf.ROOT / "build" / "bench"


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


def build(*sources: str) -> Path:
    """The program made of `sources` (relative to benchmarks/; the first one names it) and the core."""
    BUILD.mkdir(parents=True, exist_ok=True)
    _, mode_cflags, mode_ldflags = buildconf.build_mode()
    inputs = [str(HERE / source) for source in sources]
    libraries = archives()
    command = [
        "gcc", *buildconf.C_STANDARD, *buildconf.WARNINGS, *mode_cflags,
        f"-I{buildconf.ROOT / buildconf.INCLUDE}", f"-I{HERE / 'common'}", f"-I{buildconf.ROOT / buildconf.SRC}",
        *inputs, *libraries, *mode_ldflags,
        *buildconf.pkg_config("openssl", "--libs"),
    ]  # fmt: skip
    watched = [*map(Path, inputs), *(HERE / "common").glob("*.h"), *map(Path, libraries)]
    watched += [buildconf.ROOT / path for path in (*buildconf.headers(), *buildconf.system_sources())]
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
