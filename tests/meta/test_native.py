"""The harness of the C tests notices what it is there to notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import native

BODIES = {
    "a condition": ("CHECK(1 + 1 == 3);", ["check failed: 1 + 1 == 3", "1 check(s) failed"]),
    "integers": ("CHECK_EQ(7u, -1);", ["check failed: 7u == -1: 7, expected -1"]),
    "bytes": (
        'CHECK_MEM("abcd", "abXd", 4);',
        ["differs at byte 2 of 4", "actual[2..]: 63 64", "expected[2..]: 58 64"],
    ),
    "strings": ('CHECK_STR("abc", "abd");', ['"abc", expected "abd"']),
    "two failures": ("CHECK(0); CHECK(0);", ["2 check(s) failed"]),
    "a leak": ("keep = malloc(10); keep = NULL;", ["LeakSanitizer: detected memory leaks"]),
    "a read past the end": ("keep = malloc(10); CHECK(keep[zero + 10] == 0);", ["heap-buffer-overflow"]),
    "an overflow": ("CHECK(INT32_MAX + one != 7);", ["signed integer overflow"]),
    "a null pointer": ("keep = NULL; memcpy(keep, big, (size_t)zero);", ["null pointer passed as argument 1"]),
}
PROGRAM = """
#include "check.h"
#include <stdlib.h>
char *volatile keep;
char big[100000];
volatile int zero, one = 1;
int main(void) {
    %s
    return check_done();
}
"""


def outcome(directory: Path, name: str, body: str) -> tuple[int, str]:
    """`name` is of this body alone: what is compiled takes the place of what was compiled under the same name."""
    source = directory / f"harness_{name.replace(' ', '_')}.c"
    source.write_text(PROGRAM % body)
    result = native.run(native.build(source))
    return result.returncode, result.stderr


@pytest.mark.parametrize("what", BODIES)
def test_fails_on(what: str, tmp_path: Path) -> None:
    body, messages = BODIES[what]
    status, output = outcome(tmp_path, what, body)
    assert status != 0
    for message in messages:
        assert message in output


def test_passes_when_all_is_well(tmp_path: Path) -> None:
    body = 'CHECK(1); CHECK_EQ(3, (size_t)3); CHECK_MEM("a", "a", 1); CHECK_STR("", "");'
    assert outcome(tmp_path, "nothing", body) == (0, "")


def test_warnings_are_errors(tmp_path: Path) -> None:
    with pytest.raises(native.CompileError, match="-Werror=conversion"):
        outcome(tmp_path, "a warning", "char c = zero; CHECK(c);")
