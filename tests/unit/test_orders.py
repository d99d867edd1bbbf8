"""OrderTemplate: what it refuses, in which words, and that its secret stays inside."""

from __future__ import annotations

import copy
import gc
import pickle
from decimal import Decimal

import pytest

from hftcore.errors import LocalProtocolError
from hftcore.orders import OrderTemplate
from hftcore.venues import Slot

SECRET = b"NhqPtmdSJYdKjVHjA7PZ"
SLOTS = {
    "id": Slot("text", max_len=8),
    "quantity": Slot("decimal", scale=8),
    "time": Slot("timestamp", scale=6),
    "count": Slot("uint"),
    "signature": Slot("signature_hex"),
}
MESSAGE = '{"id":"${id}","q":"${quantity}","t":${time},"n":${count},"s":"${signature}"}'
SIGNED = "id=${id}&q=${quantity}&t=${time}"
GOOD = {"id": "h1", "quantity": "0.5", "time": 1_645_423_376_532_000_000, "count": 3}


def template(message: str = MESSAGE, signed: str = SIGNED, *, secret: bytes = SECRET, **slots: Slot) -> OrderTemplate:
    return OrderTemplate(message, signed, slots=SLOTS | slots, secret=secret)


@pytest.fixture
def order() -> OrderTemplate:
    return template()


def test_attributes(order: OrderTemplate) -> None:
    assert order.slots == tuple(SLOTS)
    assert order.is_signed
    assert (
        order.max_len == len(order.render(id="x" * 8, quantity="99999999999.0", time=(1 << 64) - 1, count=10**19)) + 1
    )
    assert not OrderTemplate("text", slots={}).is_signed
    assert OrderTemplate('{"id":"time"}', slots={}).render() == b'{"id":"time"}'


@pytest.mark.parametrize(
    ("quantity", "written"),
    [
        ("0.5", b"0.50000000"),
        (Decimal("0.5"), b"0.50000000"),
        (Decimal("1E+3"), b"1000.00000000"),
        (Decimal("0.500000000000"), b"0.50000000"),
        (2, b"2.00000000"),
        (0, b"0.00000000"),
        ("184467440737.09551615", b"184467440737.09551615"),
    ],
)
def test_quantities(order: OrderTemplate, quantity: object, written: bytes) -> None:
    assert b'"q":"' + written + b'"' in order.render(**GOOD | {"quantity": quantity})


@pytest.mark.parametrize(
    ("slot", "value"),
    [
        ("quantity", 0.5),
        ("quantity", True),
        ("quantity", b"0.5"),
        ("time", 1.0),
        ("time", "1"),
        ("time", True),
        ("count", Decimal(1)),
        ("id", 7),
        ("id", b"h1"),
    ],
)
def test_wrong_types_name_the_slot(order: OrderTemplate, slot: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"slot {slot}: .* expected, not {type(value).__name__}"):
        order.render(**GOOD | {slot: value})


@pytest.mark.parametrize(
    ("slot", "value", "status"),
    [
        ("quantity", "0.123456789", "HFT_E_TEXT_PRECISION"),
        ("quantity", Decimal("1E-9"), "HFT_E_TEXT_PRECISION"),
        ("quantity", "-1", "HFT_E_TEXT_DIGIT"),
        ("quantity", Decimal("-1"), "HFT_E_TEXT_DIGIT"),
        ("quantity", Decimal("NaN"), "HFT_E_TEXT_DIGIT"),
        ("quantity", "1e3", "HFT_E_TEXT_DIGIT"),
        ("quantity", "184467440737.09551616", "HFT_E_TEXT_OVERFLOW"),
        ("quantity", 10**12, "HFT_E_TEXT_OVERFLOW"),
        ("quantity", -1, "HFT_E_ORDER_VALUE"),
        ("quantity", 1 << 64, "HFT_E_ORDER_VALUE"),
        ("time", -1, "HFT_E_ORDER_VALUE"),
        ("time", 1 << 64, "HFT_E_ORDER_VALUE"),
        ("count", -1, "HFT_E_ORDER_VALUE"),
        ("id", "", "HFT_E_ORDER_SLOT"),
        ("id", "123456789", "HFT_E_ORDER_VALUE"),
        ("id", 'a"b', "HFT_E_ORDER_CHARSET"),
        ("id", "a b", "HFT_E_ORDER_CHARSET"),
        ("id", "é", "HFT_E_ORDER_CHARSET"),
        ("id", None, "HFT_E_ORDER_SLOT"),
    ],
)
@pytest.mark.parametrize("method", ["render", "signed_text"])
def test_bad_values_name_the_slot(order: OrderTemplate, slot: str, value: object, status: str, method: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"slot {slot}") as caught:
        getattr(order, method)(**GOOD | {slot: value})
    assert caught.value.name == status


def test_missing_and_unknown_slots(order: OrderTemplate) -> None:
    for name in GOOD:
        with pytest.raises(LocalProtocolError, match=f"slot {name} needs a value"):
            order.render(**{key: value for key, value in GOOD.items() if key != name})
    with pytest.raises(LocalProtocolError, match="no slot takes price; the slots are id, quantity, time, count"):
        order.render(**GOOD, price="1")
    with pytest.raises(LocalProtocolError, match="no slot takes signature"):
        order.render(**GOOD, signature="f" * 64)
    with pytest.raises(TypeError):
        order.render("h1")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"message": MESSAGE + "${price}"}, r"message: \$\{price\} is not among the slots"),
        ({"signed": SIGNED + "${}"}, r"signed text: \$\{\} is not among the slots"),
        ({"message": MESSAGE + "${id"}, r"message: a \$\{ without its \}"),
        ({"message": MESSAGE.replace("${count}", "1")}, "slot count is never used"),
        ({"message": MESSAGE + "${signature}"}, r"message: \$\{signature\} may stand once, in the message"),
        ({"signed": SIGNED + "${signature}"}, r"signed text: \$\{signature\} may stand once, in the message"),
        ({"signed": ""}, "no text to sign"),
        ({"secret": b""}, "no secret"),
        ({"message": "x" * 1025}, "message: over 1024 bytes of literal text or 40 parts"),
        ({"signed": "x${id}" * 21}, "signed text: over 1024 bytes of literal text or 40 parts"),
        ({"message": MESSAGE + "}"}, "the message, filled, is not JSON"),
        ({"message": MESSAGE.replace('"${id}"', "${id}x")}, "the message, filled, is not JSON"),
        ({"Id": Slot("uint")}, "slot name 'Id'"),
        ({"x" * 24: Slot("uint")}, "slot name"),
        ({"x": Slot("float")}, "slot x: kind 'float'; one of uint, decimal"),  # type: ignore[arg-type]
        ({"x": Slot("decimal", scale=19)}, "slot x: scale 19"),
        ({"x": Slot("timestamp", scale=10)}, "slot x: scale 10"),
        ({"x": Slot("text")}, "slot x: scale 0 or max_len 0"),
        ({"x": Slot("text", max_len=65)}, "slot x: scale 0 or max_len 65"),
        ({f"x{i}": Slot("uint") for i in range(12)}, "over 16 slots"),
    ],
)
def test_bad_templates(arguments: dict, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message) as caught:
        template(**arguments)
    assert SECRET.decode() not in str(caught.value)


def test_unsigned_templates_take_no_secret() -> None:
    with pytest.raises(LocalProtocolError, match="a secret, but no signature slot"):
        OrderTemplate("text", slots={}, secret=SECRET)
    with pytest.raises(LocalProtocolError, match="a text to sign, but no signature slot"):
        OrderTemplate("text", "signed", slots={}, secret=SECRET)
    with pytest.raises(LocalProtocolError, match="message is empty"):
        OrderTemplate("", slots={})


def test_a_message_that_is_not_json_is_not_kept_in_the_exception() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        template(MESSAGE.replace("{", '{"apiKey":"vmPUZE6mv9",,', 1))
    error: BaseException | None = caught.value
    while error is not None:
        assert "vmPUZE6mv9" not in str(error.__dict__) + str(error)
        error = error.__context__ or error.__cause__


def test_the_secret_cannot_get_out(order: OrderTemplate) -> None:
    assert SECRET.decode() not in repr(order)
    assert "secret=***" in repr(order)
    assert not hasattr(order, "__dict__")
    for get_out in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            get_out(order)
    assert not gc.is_tracked(order) or SECRET not in gc.get_referents(order)


def test_signed_text_of_unsigned_template_is_empty() -> None:
    assert OrderTemplate("x${id}", slots={"id": Slot("uint")}).signed_text(id=1) == b""
