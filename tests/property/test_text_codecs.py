"""Hex, base64, integers, decimals and UTF-8 against Python's own."""

from __future__ import annotations

import base64
import binascii
from decimal import Decimal, InvalidOperation

from hypothesis import example, given, settings
from hypothesis import strategies as st

from hftcore import _codec
from hftcore.errors import LocalProtocolError

U64_MAX = 2**64 - 1
u64s = st.one_of(
    st.integers(0, U64_MAX), st.integers(0, 19).map(lambda n: 10**n), st.integers(1, 19).map(lambda n: 10**n - 1)
)
scales = st.integers(0, 18)


@given(st.binary(max_size=300))
def test_encodings_are_those_of_python(data: bytes) -> None:
    assert _codec.hex_encode(data) == data.hex().encode()
    assert _codec.hex_decode(data.hex().encode()) == data
    assert _codec.hex_decode(data.hex().upper().encode()) == data
    assert _codec.base64_encode(data) == base64.b64encode(data)
    assert _codec.base64_decode(base64.b64encode(data)) == data


def attempt(function, *arguments):  # type: ignore[no-untyped-def]
    """The result, or None for a refusal."""
    try:
        return function(*arguments)
    except LocalProtocolError:
        return None


def strict_base64(text: bytes) -> bytes | None:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return data if base64.b64encode(data) == text else None


@settings(max_examples=500)
@given(st.one_of(st.binary(max_size=12), st.text(alphabet="AZaz09+/=-_ \n", max_size=12).map(str.encode)))
@example(b"Zh==")
@example(b"Zg==Zg==")
def test_base64_takes_only_what_it_would_write(text: bytes) -> None:
    assert attempt(_codec.base64_decode, text) == strict_base64(text)


@settings(max_examples=500)
@given(st.one_of(st.binary(max_size=6), st.text(alphabet="09afAFgG@`/: ", max_size=6).map(str.encode)))
def test_hex_takes_only_digits(text: bytes) -> None:
    digits = len(text) % 2 == 0 and all(byte in b"0123456789abcdefABCDEF" for byte in text)
    assert attempt(_codec.hex_decode, text) == (bytes.fromhex(text.decode()) if digits else None)


@given(u64s, st.integers(1, 20))
def test_integers_are_those_of_python(value: int, digits: int) -> None:
    assert _codec.u64_put(value) == str(value).encode()
    assert _codec.u64_parse(str(value).encode()) == value
    if value < 10**digits:
        assert _codec.u64_put_fixed(value, digits) == b"%0*d" % (digits, value)


@settings(max_examples=500)
@given(st.one_of(st.text(alphabet="0123456789", max_size=22), st.text(alphabet="019+- _.e", max_size=4)))
@example("18446744073709551615")
@example("18446744073709551616")
@example("18446744073709551620")
def test_integers_are_refused_unless_canonical(text: str) -> None:
    canonical = text.isdigit() and str(int(text)) == text and int(text) <= U64_MAX
    assert attempt(_codec.u64_parse, text.encode()) == (int(text) if canonical else None)


@given(u64s, scales)
def test_decimals_are_those_of_python(value: int, scale: int) -> None:
    exact = Decimal(value).scaleb(-scale)
    full, trimmed = _codec.decimal_put(value, scale, False).decode(), _codec.decimal_put(value, scale, True).decode()
    assert full == f"{exact:f}"
    assert Decimal(trimmed) == exact
    assert not ("." in trimmed and trimmed.endswith(("0", ".")))
    assert _codec.decimal_parse(full.encode(), scale) == value
    assert _codec.decimal_parse(trimmed.encode(), scale) == value


def reference_decimal(text: str, scale: int) -> int | None:
    whole, point, fraction = text.partition(".")
    plain = whole.isdigit() and whole.isascii() and (fraction.isdigit() if point else True)
    if not plain or (whole != "0" and whole.startswith("0")):
        return None
    try:
        scaled = Decimal(text).scaleb(scale)
    except InvalidOperation:
        return None
    value = int(scaled)
    return value if value == scaled and value <= U64_MAX else None


@settings(max_examples=800)
@given(
    st.one_of(
        st.text(alphabet="0123456789.", max_size=24),
        st.text(alphabet="01.-+e ", max_size=5),
        st.from_regex(r"(0|[1-9][0-9]{0,19})(\.[0-9]{1,22})?", fullmatch=True),
        st.from_regex(r"1844674407370955161[4-6]|18446744073\.7095516[0-9]{2}0{0,3}", fullmatch=True),
    ),
    scales,
)
def test_decimals_are_refused_unless_exact(text: str, scale: int) -> None:
    assert attempt(_codec.decimal_parse, text.encode(), scale) == reference_decimal(text, scale)


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


edges = st.sampled_from(bytes.fromhex("007f808f909fa0bfc0c1c2dfe0e1ecedeeeff0f1f3f4f5f8ff")).map(
    lambda byte: bytes([byte])
)


@settings(max_examples=800)
@given(
    st.lists(st.one_of(edges, st.characters(codec="utf-8").map(str.encode), st.just(b"a" * 31)), max_size=10).map(
        b"".join
    )
)
def test_utf8_is_that_of_python(data: bytes) -> None:
    assert _codec.utf8_valid(data) == is_utf8(data)
