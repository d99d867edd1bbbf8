"""The JSON scanner against json.loads and orjson: it accepts the same texts and finds the same values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hftcore import _codec
from hftcore.errors import RemoteProtocolError

DEPTH_MAX = 32


def first_wins(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        result.setdefault(key, value)
    return result


def refuse_constant(name: str) -> None:
    raise ValueError(name)


def loads(text: bytes) -> Any:
    """json.loads made strict: UTF-8 only, no NaN and no Infinity."""
    return json.loads(text.decode(), object_pairs_hook=first_wins, parse_constant=refuse_constant)


def accepted(text: bytes) -> bool:
    try:
        _codec.json_extract(text, [])
    except RemoteProtocolError as error:
        # A refusal that does not say what and where counts as none.
        return not (error.name in ("HFT_E_JSON_SYNTAX", "HFT_E_JSON_DEPTH") and 0 <= error.pos <= len(text))
    return True


def nesting(text: bytes) -> int:
    """Brackets outside strings, at their deepest; enough for texts that json.loads takes."""
    deepest = depth = 0
    in_string = escaped = False
    for byte in text:
        if in_string:
            in_string, escaped = escaped or byte != 0x22, not escaped and byte == 0x5C
        elif byte == 0x22:
            in_string = True
        else:
            depth += (byte in b"[{") - (byte in b"]}")
            deepest = max(deepest, depth)
    return deepest


def check_verdict(text: bytes) -> None:
    try:
        loads(text)
    except ValueError:
        expected = False
    else:
        expected = nesting(text) <= DEPTH_MAX
    assert accepted(text) == expected
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return
    assert accepted(text) == (nesting(text) <= DEPTH_MAX)


class Members:
    """A JSON object as it stands in a text: keys may repeat."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


keys = st.sampled_from(["a", "b", "id", "result", "é", "key longer than eight bytes", ""])
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.lists(st.tuples(keys, inner), max_size=4).map(Members)),
    max_leaves=25,
)


spaces = st.text(alphabet=" \t\r\n", max_size=2)


@st.composite
def rendered(draw: st.DrawFn) -> bytes:
    """The text of a value, with any blanks JSON allows."""
    ascii_only = draw(st.booleans())
    blank = draw(spaces)

    def write(value: Any) -> str:
        match value:
            case Members():
                items = [f"{json.dumps(k, ensure_ascii=False)}{blank}:{blank}{write(v)}" for k, v in value.pairs]
                text = "{" + blank + f"{blank},{blank}".join(items) + blank + "}"
            case list():
                text = "[" + blank + f"{blank},{blank}".join(map(write, value)) + blank + "]"
            case _:
                text = json.dumps(value, ensure_ascii=ascii_only)
        return text

    return (blank + write(draw(values)) + blank).encode()


TOKENS = [
    *(b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b'"', b"\\", b"/", b"\0", b"\x1f", b"\x7f", b"\x0c"),
    *(b'"a"', b'"\\u12aF"', b'"\\ud800"', b'"\\n"', b'"\\x"', b'"abcdefgh\xc3\xa9"', b'"\xed\xa0\x80"', b'"\xff"'),
    *(b"0", b"1", b"-", b"-0", b"01", b"1.5", b".5", b"1.", b"1e5", b"1E+9", b"1e", b"+1", b"0x1", b"e", b"1_0"),
    *(b"null", b"true", b"false", b"NaN", b"Infinity", b"-Infinity", b"nul", b"True", b"\xef\xbb\xbf", b"\xc2\xa0"),
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    text = bytearray(draw(rendered()))
    for _ in range(draw(st.integers(1, 2))):
        at, length = draw(st.integers(0, len(text))), draw(st.integers(0, 2))
        text[at : at + length] = draw(st.one_of(st.binary(max_size=2), st.sampled_from(list(TOKENS))))
    return bytes(text)


@settings(max_examples=400)
@given(damaged())
@example(b"")
@example(b"\xef\xbb\xbf{}")
@example(b'"\\ud800"')
@example(b'"' + bytes(range(0x20, 0x22)) + bytes(range(0x23, 0x5C)) + bytes(range(0x5D, 0x80)) + b'"')
def test_damaged_texts_get_the_verdict_of_json(text: bytes) -> None:
    check_verdict(text)


@settings(max_examples=600)
@given(st.lists(st.sampled_from(TOKENS), max_size=8).map(b"".join))
def test_token_soup_gets_the_verdict_of_json(text: bytes) -> None:
    check_verdict(text)


@given(st.binary(max_size=12), st.integers(0, 17))
def test_any_bytes_in_a_string_get_the_verdict_of_json(inside: bytes, shift: int) -> None:
    check_verdict(b'"' + b"x" * shift + inside + b'"')


@given(st.sampled_from("[{"), st.integers(28, 36))
def test_nesting_is_limited(bracket: str, depth: int) -> None:
    opening, closing = ("[", "]") if bracket == "[" else ('{"a":', "}")
    text = (opening * depth + "1" + closing * depth).encode()
    assert accepted(text) == (depth <= DEPTH_MAX)
    check_verdict(text)


PATHS = [
    "a",
    "b",
    "id",
    "result",
    "result.id",
    "result.a.b",
    "a.a.a.a",
    "é",
    "é.id",
    "key longer than eight bytes",
]


@settings(max_examples=400)
@given(rendered())
def test_values_are_those_of_json(text: bytes) -> None:
    document = loads(text)
    found = _codec.json_extract(text, [path.encode() for path in PATHS])
    for path in PATHS:
        node, present = document, True
        for key in path.split("."):
            present = present and isinstance(node, dict) and key in node
            node = node[key] if present else None
        assert (path.encode() in found) == present
        if not present:
            continue
        kind, raw, escaped = found[path.encode()]
        assert escaped == (kind == "string" and b"\\" in raw)
        assert loads(b'"' + raw + b'"' if kind == "string" else raw) == node
        names = {type(None): "null", str: "string", dict: "object", list: "array", int: "number", float: "number"}
        assert kind == (str(node).lower() if isinstance(node, bool) else names[type(node)])


@given(st.one_of(st.text(max_size=10), st.integers()))
def test_equals_compares_bytes_of_unescaped_values(value: str | int) -> None:
    text = json.dumps({"k": value}, ensure_ascii=False).encode()
    escaped = isinstance(value, str) and json.dumps(value, ensure_ascii=False) != f'"{value}"'
    assert _codec.json_equals(text, b"k", str(value).encode()) == (not escaped)
    assert not _codec.json_equals(text, b"k", str(value).encode() + b"0")


@pytest.mark.parametrize("path", [b"", b".", b"a..b", b"a.", b".a", b"a.b.c.d.e", b"x" * 32])
def test_wrong_paths(path: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        _codec.json_extract(b"{}", [path])
    assert caught.value.name == "HFT_E_JSON_PATH"
