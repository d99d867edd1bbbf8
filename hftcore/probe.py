"""What this build is, and what this machine gives."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from hftcore import _status, tls
from hftcore.engine import io_uring_error


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """How the running library was built and which kernels it chose. openssl: as linked at run time."""

    cython: str
    compiler: str
    mode: str
    sha256_kernel: str
    openssl: str


@dataclass(frozen=True, slots=True)
class Probe:
    """The machine. io_uring: "" if it can be used, else why not and what to change; cpu_features: name -> present."""

    kernel: str
    machine: str
    io_uring: str
    cpu_features: dict[str, bool]
    sha256_kernel: str


def build_info() -> BuildInfo:
    """How the running library was built."""
    build = _status.build()
    return BuildInfo(build["cython"], build["compiler"], build["mode"], _status.sha256_kernel(), tls.library())


def probe() -> Probe:
    """Looks at the machine now: opens and closes an io_uring, reads CPUID."""
    return Probe(
        platform.release(), platform.machine(), io_uring_error(), _status.cpu_features(), _status.sha256_kernel()
    )
