"""``hft doctor``: what this machine gives hftcore, and what to change for more.

Each finding has a verdict: ok, note (slower or smaller than it could be) or problem (something will not work).
"""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import liburing

from hftcore import build_info, probe

Verdict = Literal["ok", "note", "problem"]

# What the reactor asks of io_uring.
_OPERATIONS = ("CONNECT", "RECV", "SEND", "READ", "ASYNC_CANCEL")
# IORING_SETUP_SINGLE_ISSUER came with 6.0, IORING_SETUP_DEFER_TASKRUN with 6.1.
_DEFER_TASKRUN_SINCE = (6, 1)
_FILES_WANTED = 1024
_MEMLOCK_WANTED = 8 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. change: what to do about it, empty where nothing is to be done."""

    name: str
    value: str
    verdict: Verdict = "ok"
    change: str = ""


def examine() -> list[Finding]:
    """All findings, in the order of the report."""
    groups: tuple[Callable[[], Iterator[Finding]], ...] = (_kernel, _io_uring, _build, _clock, _cores, _limits)
    return [finding for group in groups for finding in group()]


def _read(path: str) -> str:
    """The text of a file below /proc or /sys, empty where it cannot be read."""
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _kernel() -> Iterator[Finding]:
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    if numbers < _DEFER_TASKRUN_SINCE:
        yield Finding(
            "kernel", release, "note", "Linux 6.1 or newer lets io_uring run completions when we ask for them"
        )
    else:
        yield Finding("kernel", f"{platform.system()} {release}, {platform.machine()}")


def _io_uring() -> Iterator[Finding]:
    reason = probe().io_uring
    if reason:
        yield Finding("io_uring", f"{reason.split(':')[0]}; epoll is used instead", "note", _why_denied(reason))
        return
    supported = liburing.probe() or {}
    missing = [name for name in _OPERATIONS if not supported.get(f"IORING_OP_{name}")]
    if missing:
        yield Finding("io_uring", f"without {', '.join(missing)}", "problem", 'backend = "epoll", or a newer kernel')
    else:
        yield Finding("io_uring", f"allowed, with {sum(supported.values())} operations, all that are needed among them")


def _why_denied(reason: str) -> str:
    """What to change: the sysctl and a seccomp filter give the same error, so the sysctl is read."""
    switch = _read("/proc/sys/kernel/io_uring_disabled")
    if switch == "2":
        return "kernel.io_uring_disabled is 2; as root: sysctl kernel.io_uring_disabled=0"
    if switch == "1" and os.geteuid() != 0:
        return "kernel.io_uring_disabled is 1; join the group kernel.io_uring_group, or as root set the former to 0"
    if reason.startswith("denied"):
        return (
            "a seccomp filter forbids it, as Docker's default does; start the container with "
            "--security-opt seccomp=PROFILE, where PROFILE allows io_uring_setup, io_uring_enter, io_uring_register"
        )
    return reason


def _build() -> Iterator[Finding]:
    build, machine = build_info(), probe()
    made_with = f"{build.mode}, compiler {build.compiler}, Cython {build.cython}"
    if build.mode == "release":
        yield Finding("build", made_with)
    else:
        yield Finding("build", made_with, "note", "rebuild without HFTCORE_DEBUG, HFTCORE_SANITIZE, HFTCORE_COVERAGE")
    features = [name for name, present in machine.cpu_features.items() if present]
    yield Finding("CPU", f"{_cpu_name()}: {', '.join(features) or 'none of the extensions that are looked for'}")
    if machine.cpu_features.get("sha-ni"):
        yield Finding("SHA-256 kernel", f"{machine.sha256_kernel}, on a CPU with the SHA extensions")
    else:
        yield Finding(
            "SHA-256 kernel", f"{machine.sha256_kernel}, on a CPU without the SHA extensions", "note",
            "a CPU with them (AMD Zen, Intel Ice Lake and newer) hashes about five times faster",
        )  # fmt: skip
    yield Finding("OpenSSL", build.openssl)


def _cpu_name() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def _clock() -> Iterator[Finding]:
    source = _read("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    if source in {"tsc", "kvm-clock", "arch_sys_counter", ""}:
        yield Finding("clock source", source or "not visible here")
    else:
        there = _read("/sys/devices/system/clocksource/clocksource0/available_clocksource")
        yield Finding(
            "clock source", source, "note",
            f"reading it is a system call; available: {there}. Boot with clocksource=tsc if the TSC is stable",
        )  # fmt: skip


def _cores() -> Iterator[Finding]:
    usable = sorted(os.sched_getaffinity(0))
    isolated = _read("/sys/devices/system/cpu/isolated")
    yield Finding("cores", f"{len(usable)} usable of {os.cpu_count()}")
    if len(usable) < 2:
        yield Finding("spin mode", "not advisable", "note", "a second core: busy-polling takes a whole one")
    elif not isolated:
        last = usable[-1]
        yield Finding(
            "isolated cores", "none", "note",
            f"for steady latency in spin mode boot with isolcpus={last} nohz_full={last} and set cpu = {last}",
        )  # fmt: skip
    else:
        yield Finding("isolated cores", isolated)
    governor = _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor and governor != "performance":
        yield Finding("frequency governor", governor, "note", "as root: cpupower frequency-set -g performance")
    else:
        yield Finding("frequency governor", governor or "not visible here (a virtual machine?)")


def _limits() -> Iterator[Finding]:
    for name, kind, wanted, change in (
        ("open files", resource.RLIMIT_NOFILE, _FILES_WANTED, f"ulimit -n {_FILES_WANTED}"),
        (
            "locked memory", resource.RLIMIT_MEMLOCK, _MEMLOCK_WANTED,
            "ulimit -l 8192, or LimitMEMLOCK=8M in the service: kernels before 5.12 count io_uring's memory against it",
        ),
    ):  # fmt: skip
        soft, hard = resource.getrlimit(kind)
        value = "unlimited" if soft == resource.RLIM_INFINITY else f"{soft:,}"
        if soft != resource.RLIM_INFINITY and soft < wanted:
            most = "unlimited" if hard == resource.RLIM_INFINITY else f"{hard:,}"
            yield Finding(f"limit of {name}", f"{value} (up to {most})", "note", change)
        else:
            yield Finding(f"limit of {name}", value)
