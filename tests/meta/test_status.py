"""The C status list and hftcore/errors.py say the same."""

from __future__ import annotations

import re

import pytest

import buildconf
from hftcore import _status, errors

HEADER = (buildconf.ROOT / buildconf.INCLUDE / "hft" / "status.h").read_text()
CODES = _status.status_codes()
BLOCKS = {
    11: "TEXT",
    12: "JSON",
    13: "HTTP",
    14: "WS",
    15: "ORDER",
    16: "BTC",
    17: "WATCH",
    18: "RISK",
    19: "RING",
    20: "TLS",
    21: "CONN",
    22: "ENGINE",
}


def block(code: int) -> int:
    return -code // 1000


def test_the_extension_has_the_list_of_the_header() -> None:
    entries = re.findall(r'X\((HFT_E_\w+), (-\d+), "(.+?)"\)', HEADER)
    assert [(name, int(code), text) for name, code, text in entries] == CODES
    assert len(CODES) == HEADER.count("    X(HFT_E_")


def test_names_codes_and_texts_are_unique() -> None:
    for column in zip(*CODES, strict=True):
        assert len(set(column)) == len(column)


def test_codes_count_down_without_gaps_within_their_blocks() -> None:
    for number in {block(code) for _, code, _ in CODES}:
        codes = [code for _, code, _ in CODES if block(code) == number]
        assert codes == list(range(-1000 * number, -1000 * number - len(codes), -1))
    assert [block(code) for _, code, _ in CODES] == sorted(block(code) for _, code, _ in CODES)


@pytest.mark.parametrize(("name", "code"), [(name, code) for name, code, _ in CODES])
def test_a_name_tells_its_block(name: str, code: int) -> None:
    prefix = name.removeprefix("HFT_E_").split("_")[0]
    assert BLOCKS.get(block(code)) == (prefix if block(code) != 10 else None)


def test_every_block_has_a_class_and_every_class_a_block() -> None:
    assert set(errors._BY_BLOCK) == {block(code) for _, code, _ in CODES}
    source = (buildconf.ROOT / "hftcore" / "errors.py").read_text()
    for number, module in re.findall(r"^    (\d+): \w+,  # (\w+)$", source, re.M):
        assert BLOCKS.get(int(number), "general").lower().startswith(module.removesuffix("1"))


def test_exceptions_to_the_blocks_name_codes_that_exist() -> None:
    source = (buildconf.ROOT / "hftcore" / "errors.py").read_text()
    commented = {int(code): name for code, name in re.findall(r"^    (-\d+): \w+,  # (HFT_E_\w+)$", source, re.M)}
    assert commented.keys() == errors._BY_CODE.keys()
    known = {code: name for name, code, _ in CODES}
    assert commented == {code: known.get(code) for code in commented}


@pytest.mark.parametrize(("name", "code", "text"), CODES)
def test_a_status_becomes_its_exception(name: str, code: int, text: str) -> None:
    error = _status.error_from_status(code, "detail")
    assert type(error) is errors.error_class(code)
    assert isinstance(error, errors.HftError)
    assert (error.code, error.name, str(error)) == (code, name, f"{text}: detail")


def test_an_errno_becomes_an_oserror() -> None:
    assert isinstance(_status.error_from_status(-111), ConnectionRefusedError)
