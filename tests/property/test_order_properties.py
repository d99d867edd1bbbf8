"""Order templates that nobody wrote, against a rendering that anybody can read; signatures against hmac."""

from __future__ import annotations

import base64
import dataclasses
import hmac
import re
import string
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hftcore.errors import LocalProtocolError
from hftcore.orders import OrderTemplate, PresignedOrders
from hftcore.venues import Slot

PLAIN = string.ascii_letters + string.digits + "_.-"
U64_MAX = (1 << 64) - 1

literals = st.text(st.characters(exclude_characters="${", exclude_categories=["Cs"]), max_size=20)
value_slots = st.one_of(
    st.just(Slot("uint")),
    st.builds(lambda scale: Slot("decimal", scale=scale), st.integers(0, 18)),
    st.builds(lambda scale: Slot("timestamp", scale=scale), st.integers(0, 9)),
    st.builds(lambda scale: Slot("decimal_trimmed", scale=scale), st.integers(0, 18)),
    st.builds(lambda scale: Slot("rfc3339", scale=scale), st.integers(0, 9)),
    st.builds(lambda max_len: Slot("text", max_len=max_len), st.integers(1, 64)),
    st.builds(lambda max_len: Slot("text", max_len=max_len, charset="a-f 0-9&=-"), st.integers(1, 64)),
)
CHARSETS = {"": PLAIN, "a-f 0-9&=-": "abcdef 0123456789&=-"}
FAMILIES = {"decimal": "decimal", "decimal_trimmed": "decimal", "timestamp": "time", "rfc3339": "time"}


def value_of(slot: Slot) -> st.SearchStrategy[object]:
    if slot.kind == "text":
        return st.text(CHARSETS[slot.charset], min_size=1, max_size=slot.max_len)
    return st.integers(0, U64_MAX)


def written(slot: Slot, value: object) -> str:
    """The rules of hftcore.orders in plain Python; a decimal's value is its scaled integer here."""
    if slot.kind == "text":
        return str(value)
    assert isinstance(value, int)
    if slot.kind == "timestamp":
        return str(value // 10**slot.scale)
    if slot.kind == "rfc3339":
        time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value // 10**9)
        fraction = f".{value % 10**9:09}"[: 10 - slot.scale] if slot.scale < 9 else ""
        return f"{time:%Y-%m-%dT%H:%M:%S}{fraction}Z"
    if slot.kind == "decimal":
        return f"{Decimal(value).scaleb(-slot.scale):.{slot.scale}f}"
    if slot.kind == "decimal_trimmed":
        return trimmed(f"{Decimal(value).scaleb(-slot.scale):.{slot.scale}f}")
    return str(value)


def trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def given_as(slot: Slot, value: object, form: int) -> object:
    """A decimal in each of the forms that render takes."""
    if FAMILIES.get(slot.kind) != "decimal":
        return value
    assert isinstance(value, int)
    text = written(Slot("decimal", scale=slot.scale), value)
    return [text, trimmed(text), Decimal(text), text + "00" if "." in text else text + ".00"][form]


def echo_of(name: str, slot: Slot, kind: str, scale: int) -> Slot:
    """A slot that writes the value of this one, in another form where there is one."""
    family = FAMILIES.get(slot.kind)
    if family == "decimal":
        return Slot(kind if FAMILIES[kind] == family else slot.kind, scale=slot.scale, of=name)
    if family == "time":
        return Slot(kind if FAMILIES[kind] == family else slot.kind, scale=scale, of=name)
    return dataclasses.replace(slot, of=name)


@st.composite
def templates(draw: st.DrawFn):
    slots = {f"slot_{i}": slot for i, slot in enumerate(draw(st.lists(value_slots, min_size=1, max_size=8)))}
    for i, name in enumerate(draw(st.lists(st.sampled_from([*slots]), max_size=4))):
        slots[f"echo_{i}"] = echo_of(
            name, slots[name], draw(st.sampled_from(sorted(FAMILIES))), draw(st.integers(0, 9))
        )
    signature = draw(st.sampled_from([None, "signature_hex", "signature_base64"]))

    def text(names: list[str]) -> str:
        # Not JSON, so it must not begin like it.
        return "x" + draw(literals) + "".join(f"${{{name}}}" + draw(literals) for name in names)

    names = draw(st.permutations([*slots, draw(st.sampled_from([*slots]))]))
    signed = ""
    if signature:
        names = draw(st.permutations([*names, "sig"]))
        signed = text(draw(st.lists(st.sampled_from([*slots]), max_size=10)))
    values = {name: draw(value_of(slot)) for name, slot in slots.items() if not slot.of}
    if signature:
        slots["sig"] = Slot(signature)
    return text(names), signed, slots, values


def render(text: str, slots: dict[str, Slot], values: dict[str, object], signature: str = "") -> bytes:
    def one(match: re.Match[str]) -> str:
        name = match[1]
        return signature if name == "sig" else written(slots[name], values[slots[name].of or name])

    return re.sub(r"\$\{(\w+)\}", one, text).encode()


@given(template=templates(), secret=st.binary(min_size=1, max_size=100), data=st.data())
def test_render(template, secret: bytes, data: st.DataObject) -> None:
    message, signed, slots, values = template
    order = OrderTemplate(message, signed, slots=slots, secret=secret if signed else b"")
    for _ in range(4):  # a fill depends on nothing that was filled before
        form = data.draw(st.integers(0, 3))
        arguments = {name: given_as(slots[name], value, form) for name, value in values.items()}
        signature = ""
        if signed:
            text = render(signed, slots, values)
            assert order.signed_text(**arguments) == text
            mac = hmac.digest(secret, text, "sha256")
            signature = mac.hex() if slots["sig"].kind == "signature_hex" else base64.b64encode(mac).decode()
        rendered = order.render(**arguments)
        assert rendered == render(message, slots, values, signature)
        assert len(rendered) <= order.max_len
        name = data.draw(st.sampled_from([*values]))
        values[name] = data.draw(value_of(slots[name]))


AHEAD_SLOTS = {
    "client_id": Slot("text", max_len=12),
    "timestamp": Slot("timestamp", scale=6),
    "note": Slot("text", max_len=20),
    "quantity": Slot("decimal_trimmed", scale=8),
    "signature": Slot("signature_hex"),
    "date": Slot("rfc3339", scale=6, of="timestamp"),
}
notes = st.text(PLAIN, min_size=1, max_size=20)
moves = st.one_of(st.integers(0, 12), st.integers(-200, 200)).map(lambda n: n * 5_000_000)
steps = st.one_of(
    st.tuples(st.just("refresh"), st.sampled_from([1, 3, 100])),
    st.tuples(st.just("take"), st.just(0)),
    st.tuples(st.just("take"), st.just(0)),
    st.tuples(st.just("move"), moves),
    st.tuples(st.just("render"), notes),
    st.tuples(st.just("fail"), notes),
)


@settings(max_examples=400)
@given(count=st.integers(4, 64), window_ms=st.integers(10, 150), note=notes, steps=st.lists(steps, max_size=40))
def test_presigned(count: int, window_ms: int, note: str, steps: list[tuple[str, object]]) -> None:
    """Whatever comes between, and wherever the clock goes: each is what render gives, valid in time, and given once."""
    text = " ".join(f"${{{name}}}" for name in AHEAD_SLOTS if name != "signature")
    order = OrderTemplate(text + " ${signature}", text, slots=AHEAD_SLOTS, secret=b"secret")
    values = {"note": note, "quantity": "0.5"}
    orders = PresignedOrders(order, id_prefix="a-", values=values, count=count, window_ms=window_ms)
    now, ids = 1_645_423_376_532_000_000, []
    while orders.refresh(now):
        pass
    for what, how in steps:
        if what == "move":
            assert isinstance(how, int)
            now += how
        elif what == "refresh":
            assert isinstance(how, int)
            signed = [orders.refresh(now) for _ in range(how)]
            assert signed == sorted(signed, reverse=True)
        elif what == "render":
            order.render(client_id="other", timestamp=now, note=str(how), quantity="7")
        elif what == "fail":
            with pytest.raises(LocalProtocolError, match="slot client_id"):
                order.render(client_id="&", timestamp=now, note=str(how), quantity="7")
        elif taken := orders.take(now):
            assert 0 <= now - taken.timestamp_ns <= window_ms * 1_000_000
            expected = render(
                text,
                AHEAD_SLOTS,
                values
                | {
                    "client_id": taken.client_id,
                    "timestamp": taken.timestamp_ns,
                    "quantity": 50_000_000,
                },
            )
            assert taken.message == expected + b" " + hmac.new(b"secret", expected, "sha256").hexdigest().encode()
            ids.append(taken.client_id)
    assert len(set(ids)) == len(ids)
    # None was missed: what has just been made for this moment is there.
    while orders.refresh(now):
        pass
    newest = orders.take(now)
    assert newest is not None
    assert newest.timestamp_ns == now // 10_000_000 * 10_000_000
    assert newest.client_id not in ids


@given(text=st.text(max_size=12), scale=st.integers(0, 18))
def test_decimal_texts(text: str, scale: int) -> None:
    order = OrderTemplate("${q}", slots={"q": Slot("decimal", scale=scale)})
    plain = re.fullmatch(r"(0|[1-9][0-9]*)(\.[0-9]+)?", text)
    fits = plain and Decimal(text).scaleb(scale) == int(Decimal(text).scaleb(scale)) <= U64_MAX
    if fits:
        assert order.render(q=text).decode() == f"{Decimal(text):.{scale}f}"
    else:
        with pytest.raises(LocalProtocolError, match="slot q"):
            order.render(q=text)


@given(text=st.text(max_size=40))
def test_texts(text: str) -> None:
    order = OrderTemplate("${t}", slots={"t": Slot("text", max_len=36)})
    if 1 <= len(text) <= 36 and set(text) <= set(PLAIN):
        assert order.render(t=text) == text.encode()
    else:
        with pytest.raises((LocalProtocolError, UnicodeEncodeError)):
            order.render(t=text)


@given(message=st.text("ab${}_", max_size=30), signed=st.text("ab${}_", max_size=30))
def test_any_text_is_taken_or_refused(message: str, signed: str) -> None:
    slots = {"a": Slot("uint"), "b": Slot("signature_hex")}
    try:
        order = OrderTemplate(message, signed, slots=slots, secret=b"k")
    except LocalProtocolError:
        return
    expected = signed.replace("${a}", "7")
    assert order.signed_text(a=7).decode() == expected
    mac = hmac.new(b"k", expected.encode(), "sha256").hexdigest()
    assert order.render(a=7).decode() == message.replace("${a}", "7").replace("${b}", mac)
