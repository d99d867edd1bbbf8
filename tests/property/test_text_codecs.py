"""hftcore.text and the WebSocket mask against Python's own codecs, numbers and dates; errors are refusals, not guesses.

The same for each kernel at every length and place, and at the ends of memory: tests/c/test_text_kernels.c.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hftcore import _codec, text, ws
from hftcore.errors import ConfigError, LocalProtocolError
from tests.utf8 import Utf8

U64_MAX = 2**64 - 1
u64s = st.one_of(
    st.integers(0, U64_MAX), st.integers(0, 19).map(lambda n: 10**n), st.integers(1, 19).map(lambda n: 10**n - 1)
)
scales = st.integers(0, 18)


def attempt(function: Callable[..., Any], *arguments: object) -> Any:
    """The result, or None for a refusal."""
    try:
        return function(*arguments)
    except LocalProtocolError:
        return None


# ---- hex, base64 ----


@given(st.binary(max_size=300))
def test_encodings_are_those_of_python(data: bytes) -> None:
    assert text.hex_encode(data) == data.hex()
    assert text.hex_decode(data.hex()) == data
    assert text.hex_decode(data.hex().upper().encode()) == data
    assert text.base64_encode(data) == base64.b64encode(data).decode()
    assert text.base64_decode(base64.b64encode(data)) == data
    assert text.base64_decode(text.base64_encode(bytearray(data))) == data


def strict_base64(coded: bytes) -> bytes | None:
    try:
        data = base64.b64decode(coded, validate=True)
    except binascii.Error:
        return None
    return data if base64.b64encode(data) == coded else None


@settings(max_examples=500)
@given(st.one_of(st.binary(max_size=12), st.text(alphabet="AZaz09+/=-_ \n", max_size=12).map(str.encode)))
@example(b"Zh==")
@example(b"Zg==Zg==")
def test_base64_takes_only_what_it_would_write(coded: bytes) -> None:
    assert attempt(text.base64_decode, coded) == strict_base64(coded)


@settings(max_examples=500)
@given(st.one_of(st.binary(max_size=6), st.text(alphabet="09afAFgG@`/: ", max_size=6).map(str.encode)))
def test_hex_takes_only_digits(coded: bytes) -> None:
    digits = len(coded) % 2 == 0 and all(byte in b"0123456789abcdefABCDEF" for byte in coded)
    assert attempt(text.hex_decode, coded) == (bytes.fromhex(coded.decode()) if digits else None)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 16, 24, 31, 32, 33, 47, 48, 63, 64, 65, 96, 97])
def test_every_byte_at_every_place_of_a_text(size: int) -> None:
    data = random.Random(size).randbytes(size)
    for coded, decode, digits in (
        (data.hex().encode(), text.hex_decode, b"0123456789abcdefABCDEF"),
        (base64.b64encode(data), text.base64_decode, None),
    ):
        for place in range(len(coded)):
            for byte in range(256):
                changed = bytearray(coded)
                changed[place] = byte
                if digits is not None:
                    expected = bytes.fromhex(changed.decode()) if byte in digits else None
                else:
                    expected = strict_base64(bytes(changed))
                assert attempt(decode, changed) == expected, (place, byte)


def test_texts_are_refused_by_name() -> None:
    for refused, name in (
        (lambda: text.hex_decode("abc"), "HFT_E_TEXT_LENGTH"),
        (lambda: text.hex_decode("\u0661\u0661"), "HFT_E_TEXT_DIGIT"),
        (lambda: text.base64_decode("Zg="), "HFT_E_TEXT_LENGTH"),
        (lambda: text.base64_decode("Zg=\n"), "HFT_E_TEXT_DIGIT"),
        (lambda: text.parse_uint(""), "HFT_E_TEXT_LENGTH"),
        (lambda: text.parse_uint("\ud800"), "HFT_E_TEXT_UTF8"),
        (lambda: text.parse_decimal("1.001", 2), "HFT_E_TEXT_PRECISION"),
        (lambda: text.parse_decimal("184467440737095516.16", 2), "HFT_E_TEXT_OVERFLOW"),
        (lambda: text.json_escape(b"\xff"), "HFT_E_TEXT_UTF8"),
    ):
        with pytest.raises(LocalProtocolError) as caught:
            refused()
        assert caught.value.name == name


@pytest.mark.parametrize("function", [text.format_timestamp, text.format_rfc3339, lambda n: text.format_decimal(n, 2)])
def test_only_integers_of_64_bits_are_written(function: Callable[[Any], str]) -> None:
    for number in (-1, 2**64, 10**40):
        with pytest.raises(LocalProtocolError, match=f"{number}: 0 to"):
            function(number)
    for other in (1.0, "1", Decimal(1), None):
        with pytest.raises(TypeError):
            function(other)


def test_scales_and_units_are_checked() -> None:
    for scale in (-1, 19, 2**32):
        with pytest.raises(ConfigError, match="scale"):
            text.format_decimal(1, scale)
        with pytest.raises(ConfigError, match="scale"):
            text.parse_decimal("1", scale)
    for function in (text.format_timestamp, text.format_rfc3339):
        with pytest.raises(ConfigError, match="unit 'min'"):
            function(1, "min")  # type: ignore[arg-type]


# ---- numbers ----


@given(u64s)
def test_integers_are_those_of_python(value: int) -> None:
    assert text.format_decimal(value, 0) == str(value)
    assert text.parse_uint(str(value)) == value


@settings(max_examples=500)
@given(st.one_of(st.text(alphabet="0123456789", max_size=22), st.text(alphabet="019+- _.e", max_size=4)))
@example("18446744073709551615")
@example("18446744073709551616")
@example("18446744073709551620")
def test_integers_are_refused_unless_canonical(digits: str) -> None:
    canonical = digits.isdigit() and str(int(digits)) == digits and int(digits) <= U64_MAX
    assert attempt(text.parse_uint, digits) == (int(digits) if canonical else None)


@given(u64s, scales)
def test_decimals_are_those_of_python(value: int, scale: int) -> None:
    exact = Decimal(value).scaleb(-scale)
    full, trimmed = text.format_decimal(value, scale), text.format_decimal(value, scale, trim=True)
    assert full == f"{exact:f}"
    assert Decimal(trimmed) == exact
    assert not ("." in trimmed and trimmed.endswith(("0", ".")))
    assert text.parse_decimal(full, scale) == value
    assert text.parse_decimal(trimmed.encode(), scale) == value


def reference_decimal(number: str, scale: int) -> int | None:
    whole, point, fraction = number.partition(".")
    plain = whole.isdigit() and whole.isascii() and (fraction.isdigit() if point else True)
    if not plain or (whole != "0" and whole.startswith("0")):
        return None
    try:
        scaled = Decimal(number).scaleb(scale)
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
def test_decimals_are_refused_unless_exact(number: str, scale: int) -> None:
    assert attempt(text.parse_decimal, number, scale) == reference_decimal(number, scale)


# ---- times ----

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def edges_of_the_calendar() -> list[int]:
    """Nanoseconds around the ends of years and of February, of every year to 2554."""
    days = [datetime(year, month, 1, tzinfo=UTC) for year in range(1971, 2554) for month in (1, 2, 3, 7)]
    seconds = [int((day - EPOCH).total_seconds()) for day in days]
    return [0, U64_MAX, *(second * 10**9 + offset for second in seconds for offset in (-(10**9), -1, 0, 1))]


def reference_rfc3339(unix_ns: int, digits: int) -> str:
    seconds, fraction = divmod(unix_ns, 10**9)
    point = f".{fraction:09}"[: digits + 1] if digits else ""
    return f"{EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}{point}Z"


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_at_the_edges_of_the_calendar(unit: Any) -> None:
    for unix_ns in edges_of_the_calendar():
        assert text.format_rfc3339(unix_ns, unit) == reference_rfc3339(unix_ns, DIGITS[unit])
    assert text.format_rfc3339(U64_MAX, "s") == "2554-07-21T23:34:33Z"


@given(u64s, st.sampled_from(["s", "ms", "us", "ns"]))
def test_times_are_those_of_datetime(unix_ns: int, unit: Any) -> None:
    assert text.format_rfc3339(unix_ns, unit) == reference_rfc3339(unix_ns, DIGITS[unit])
    assert text.format_timestamp(unix_ns, unit) == str(unix_ns // 10 ** (9 - DIGITS[unit]))


def test_every_day_is_that_of_datetime() -> None:
    for day in range(U64_MAX // (86400 * 10**9) + 1):
        assert text.format_rfc3339(day * 86400 * 10**9, "s")[:10] == (EPOCH + timedelta(days=day)).strftime("%Y-%m-%d")


# ---- JSON ----


@settings(max_examples=500)
@given(st.text(alphabet=st.one_of(st.characters(max_codepoint=0x7F), st.characters(codec="utf-8")), max_size=200))
@example("".join(map(chr, range(256))))
@example("\0" * 500)
def test_json_strings_are_read_back(content: str) -> None:
    escaped = text.json_escape(content)
    assert json.loads(f'"{escaped}"') == content
    assert orjson.loads(f'"{escaped}"') == content
    assert f'"{escaped}"' == json.dumps(content, ensure_ascii=False)
    assert text.json_escape(content.encode()) == escaped


# ---- UTF-8 ----


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
    assert text.utf8_valid(data) == is_utf8(data)


@pytest.mark.parametrize("place", [0, 31, 62, 63, 126])
def test_every_sequence_of_two_bytes(place: int) -> None:
    """At borders of 32 and 64 bytes, with ASCII behind it, and at the end."""
    before = b"a" * place
    for first in range(256):
        for second in range(256):
            pair = bytes((first, second))
            expected = is_utf8(pair)
            assert text.utf8_valid(before + pair) == expected, pair
            assert text.utf8_valid(before + pair + b"a" * 70) == expected, pair


def test_every_sequence_of_three_bytes() -> None:
    """Of those that do not begin with a sequence of one or two; Python says which are characters."""
    characters = {chr(code).encode() for code in range(0x800, 0x10000) if not 0xD800 <= code <= 0xDFFF}
    data = bytearray(b"a" * 96)
    for first in range(0xE0, 0xF0):
        data[62] = first
        for second in range(256):
            data[63] = second
            for third in range(256):
                data[64] = third
                if text.utf8_valid(data) != (bytes(data[62:65]) in characters):
                    pytest.fail(bytes(data[62:65]).hex())


def test_every_character_in_one_text() -> None:
    every = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF).encode()
    for skipped in range(4):
        assert text.utf8_valid(every[skipped:])
    for cut in range(1, 4):
        assert not text.utf8_valid(every[:-cut])


def test_long_texts_with_one_byte_changed() -> None:
    chosen = random.Random(7)
    alphabets = ("abc", "aé", "漢字かな", "a💶é漢", "a" * 60 + "💶")
    for _ in range(300):
        data = bytearray("".join(chosen.choices(chosen.choice(alphabets), k=chosen.randrange(1, 200))).encode())
        assert text.utf8_valid(data)
        for _ in range(20):
            changed = bytearray(data)
            changed[chosen.randrange(len(data))] = chosen.randrange(256)
            assert text.utf8_valid(changed) == is_utf8(bytes(changed))
        cut = chosen.randrange(len(data))
        assert text.utf8_valid(data[:cut]) == is_utf8(bytes(data[:cut]))


def utf8_by_python(data: bytes) -> tuple[int, bool]:
    """How many bytes can begin a text, and whether it may end there."""
    model = Utf8()
    taken = model.take(data)
    return taken, taken == len(data) and model.whole


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


@settings(max_examples=800)
@given(
    st.lists(st.one_of(edges, st.characters(codec="utf-8").map(str.encode), st.just(b"a" * 31)), max_size=10).map(
        b"".join
    ),
    st.lists(st.integers(0, 400), max_size=6),
)
@example(b"\xed\xa0", [1])
@example(b"\xf4\x90", [1])
@example(b"\xe2\x82", [])
@example(b"a" * 70 + b"\xf0\x9f\x92\xb6" + b"a" * 70 + b"\xc0", [71, 72, 73])
def test_utf8_in_pieces_is_that_of_python(data: bytes, cuts: list[int]) -> None:
    expected = utf8_by_python(data)
    assert _codec.utf8_feed([data]) == expected
    assert _codec.utf8_feed(in_pieces(data, cuts)) == expected
    assert _codec.utf8_feed(in_pieces(data, list(range(len(data))))) == expected


def test_every_beginning_of_a_sequence() -> None:
    """All of one and two bytes, and all of three with bytes at the edges of what may stand there; whole and cut."""
    some = bytes.fromhex("007f808f909fa0bfc0c1c2dfe0e1ecedeeeff0f1f3f4f5f8ff")
    sequences = [bytes([a]) for a in range(256)] + [bytes([a, b]) for a in range(256) for b in range(256)]
    sequences += [
        bytes([a, b, c, d]) for a in some for b in some for c in some for d in some if a >= 0xE0 and b >= 0x80
    ]
    for sequence in sequences:
        expected = utf8_by_python(sequence)
        assert _codec.utf8_feed([sequence]) == expected, sequence
        assert _codec.utf8_feed([sequence[i : i + 1] for i in range(len(sequence))]) == expected, sequence


# ---- masking ----


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_masks_are_those_of_rfc_6455(data: bytes, mask: bytes) -> None:
    expected = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
    assert ws.apply_mask(data, mask) == expected
    assert ws.apply_mask(memoryview(expected), bytearray(mask)) == data


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4), st.integers(0, 2**64 - 1))
def test_masks_go_on_in_the_middle(data: bytes, mask: bytes, offset: int) -> None:
    assert _codec.ws_mask_from(data, mask, offset) == bytes(b ^ mask[(offset + i) % 4] for i, b in enumerate(data))


def test_masks_of_other_lengths_are_refused() -> None:
    for mask in (b"", b"abc", b"abcde"):
        with pytest.raises(LocalProtocolError, match="must be 4"):
            ws.apply_mask(b"payload", mask)
    assert ws.apply_mask(b"a", b"\x01\0\0\0") == b"`"
    assert bytes([97]) == b"a"  # which Python keeps only once
