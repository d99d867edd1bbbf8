"""Instructions beyond x86-64's baseline are in the kernels, and nowhere else, of what is installed."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

import pytest

import buildconf
from tests import native, tree

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the kernels are for x86-64")

# VEX and EVEX code (v...), SHA, AES, SSE3 to SSE4.2, and BMI except tzcnt, which older processors run as bsf.
BEYOND = re.compile(
    r"v(?!err|erw|mcall|mxoff)[a-z]\w+|sha(1|256)\w+|aes\w+|pclmul\w+|pshufb|palignr|pabs[bwd]|psign[bwd]"
    r"|ph(add|sub)\w+|pmaddubsw|pmulhrsw|pmulld|pmuldq|pextr?[bdq]?|pinsr[bdq]|pblend\w+|blend\w+|ptest|packusdw"
    r"|pcmp[ei]str\w+|pcmpgtq|pcmpeqq|pm(in|ax)(sb|sd|uw|ud)|pmov[sz]x\w+|round[sp][sd]|insertps|extractps|dpp[sd]"
    r"|mpsadbw|lddqu|movddup|movs[hl]dup|crc32\w?|popcnt|lzcnt|movbe|andn|bextr|bls\w+|bzhi|mulx|pdep|rorx|sarx"
    r"|shlx|shrx|adcx|adox"
)
EXTENSIONS = sorted((buildconf.ROOT / "hftcore").glob("*.so"))


def instructions(path: Path) -> dict[str, set[str]]:
    """By function, the instructions beyond the baseline."""
    found: dict[str, set[str]] = {}
    function = ""
    output = subprocess.check_output(["objdump", "-d", "--no-show-raw-insn", path], text=True)
    for line in output.splitlines():
        if line.endswith(">:"):
            function = line[line.index("<") + 1 : -2]
        elif "\t" in line:
            mnemonic = line.split("\t")[1].split(" ")[0]
            if BEYOND.fullmatch(mnemonic):
                found.setdefault(function, set()).add(mnemonic)
    return found


@pytest.fixture(scope="module")
def kernels() -> dict[str, set[str]]:
    """By function, what the kernels' own objects use; two kernels may name their functions alike."""
    objects = native.release_objects()
    found: dict[str, set[str]] = {}
    for source in buildconf.kernel_sources():
        for name, used in instructions(objects[source]).items():
            found.setdefault(name, set()).update(used)
    return found


def test_the_kernels_use_what_they_are_for(kernels: dict[str, set[str]]) -> None:
    everything = set().union(*kernels.values())
    assert {"sha256rnds2", "aesenc"} <= everything
    for prefix in ("pclmul", "vaesenc", "vpclmul"):
        assert any(mnemonic.startswith(prefix) for mnemonic in everything), prefix


def test_portable_objects_use_the_baseline_only() -> None:
    kernels = buildconf.kernel_sources()
    objects = native.release_objects()
    wrong = {str(source): instructions(path) for source, path in objects.items() if source not in kernels}
    tree.expect_none(f"{source}: {found}" for source, found in wrong.items() if found)


@pytest.mark.parametrize("extension", EXTENSIONS, ids=lambda path: path.name.split(".")[0])
def test_extensions_use_more_in_the_kernels_only(extension: Path, kernels: dict[str, set[str]]) -> None:
    beyond = instructions(extension)
    assert beyond.keys() & kernels.keys(), "no kernel was found: is this still the right way to look?"
    tree.expect_none(f"{name}: {used}" for name, used in beyond.items() if name not in kernels)
