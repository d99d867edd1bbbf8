"""The layers of the core hold: what each object file asks for shows what its module uses."""

from __future__ import annotations

import re
import subprocess
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import buildconf
from tests import native, tree

# What a compiler puts in by itself: calls to mem*, also in the checked form, and hooks of hardened builds.
MEMORY = re.compile(r"_*mem(cpy|move|set|cmp|chr)(_chk)?$|__stack_chk_fail$|_GLOBAL_OFFSET_TABLE_$")


@pytest.fixture(scope="module")
def objects() -> dict[Path, Path]:
    return native.release_objects()


def symbols(path: Path, *flags: str) -> set[str]:
    output = subprocess.check_output(["nm", *flags, "--format=just-symbols", path], text=True)
    return set(output.split())


@pytest.fixture(scope="module")
def owners(objects: dict[Path, Path]) -> dict[str, Path]:
    """The source that defines each symbol."""
    return {
        name: source for source, path in objects.items() for name in symbols(path, "--defined-only", "--extern-only")
    }


def layer(source: Path) -> int:
    """L0 and L1 count as one: cpu picks the kernels of sha256, aesgcm and text."""
    return max(1, buildconf.layer_of(source))


def test_pure_modules_need_nothing_but_memory_functions(objects: dict[Path, Path], owners: dict[str, Path]) -> None:
    wrong = {
        f"{source}: {name}"
        for source, path in objects.items()
        if layer(source) == 1
        for name in symbols(path, "-u")
        if not MEMORY.match(name) and not (name in owners and layer(owners[name]) == 1)
    }
    tree.expect_none(wrong)


def test_no_module_uses_a_layer_below(objects: dict[Path, Path], owners: dict[str, Path]) -> None:
    wrong = {
        f"{source}, L{layer(source)}, uses {name} of {owners[name]}, L{layer(owners[name])}"
        for source, path in objects.items()
        for name in symbols(path, "-u")
        if name in owners and layer(owners[name]) > layer(source)
    }
    tree.expect_none(wrong)


def test_modules_do_not_use_each_other_in_a_circle(objects: dict[Path, Path], owners: dict[str, Path]) -> None:
    uses: dict[str, set[str]] = {}
    for source, path in objects.items():
        module = buildconf.module_of(source)
        needed = {buildconf.module_of(owners[name]) for name in symbols(path, "-u") if name in owners}
        uses.setdefault(module, set()).update(needed - {module})
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_every_symbol_carries_the_prefix(owners: dict[str, Path]) -> None:
    tree.expect_none(f"{source}: {name}" for name, source in owners.items() if not name.startswith("hft_"))


def test_only_the_dispatch_tables_are_mutable_statics(objects: dict[Path, Path]) -> None:
    """Each extension has its own copy of every static; constants that hold addresses are in .data.rel.ro."""
    wrong = set()
    for source, path in objects.items():
        for line in subprocess.check_output(["objdump", "-t", path], text=True).splitlines():
            found = re.search(r" O (\.data|\.bss|\.tdata|\.tbss|\*COM\*)(\.\w+)*\s+[0-9a-f]+ .*?(\S+)$", line)
            if found and not line.split(" O ")[1].startswith(".data.rel.ro"):
                wrong.add(f"{source.stem}: {found[3]}")
    assert wrong == {"aesgcm: kernel_in_use", "sha256: kernels_in_use", "text: kernels_in_use"}
