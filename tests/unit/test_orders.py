"""OrderTemplate: what it refuses, in which words, and that its secret stays inside."""

from __future__ import annotations

import copy
import gc
import inspect
import json
import pickle
import string
from decimal import Decimal

import pytest

from hftcore.errors import LocalProtocolError
from hftcore.orders import OrderTemplate, PresignedOrders
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
        ("quantity", Decimal("1E+999999999"), "HFT_E_ORDER_VALUE"),
        ("quantity", Decimal("1E-999999999"), "HFT_E_ORDER_VALUE"),
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
        pytest.param("id", "\ud800", "HFT_E_ORDER_CHARSET", id="id-surrogate"),
        pytest.param("quantity", "\ud800", "HFT_E_TEXT_DIGIT", id="quantity-surrogate"),
        pytest.param("quantity", 10**5000, "HFT_E_ORDER_VALUE", id="quantity-huge"),
        pytest.param("time", 10**5000, "HFT_E_ORDER_VALUE", id="time-huge"),
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
        ({"x": Slot("rfc3339", scale=10)}, "slot x: scale 10"),
        ({"x": Slot("uint", max_len=300)}, "slot x: scale 0, max_len 300"),
        ({"x": Slot("uint", charset="a")}, "slot x: .*charset 'a' does not suit a uint"),
        ({"x": Slot("uint", of="price")}, "slot x: of 'price', which is no slot before it"),
        ({"x": Slot("uint", of="x")}, "slot x: of 'x', which is no slot before it"),
        ({"x": Slot("uint", of="time")}, "slot x: .* it is no echo of time"),
        ({"x": Slot("decimal", scale=7, of="quantity")}, "slot x: .* it is no echo of quantity"),
        ({"x": Slot("signature_hex", of="signature")}, "slot x: .* it is no echo of signature"),
        ({"x": Slot("text", max_len=3, charset="é")}, "slot x: charset 'é': printable ASCII without quotes"),
        ({"x": Slot("text", max_len=3, charset='a"')}, "slot x: charset"),
        ({"x": Slot("text", max_len=3, charset="a\\")}, "slot x: charset"),
        ({"x": Slot("text", max_len=3, charset="a\n")}, "slot x: charset"),
        ({"x": Slot("text", max_len=3, charset="z-a")}, "slot x: .* the range z-a runs backwards"),
        ({"x": Slot("text", max_len=3, charset="!-#")}, "slot x: .* or over a quote"),
        ({"x": Slot("text", max_len=3, charset="A-z")}, "slot x: .* or backslash"),
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


def test_what_the_calls_say_of_themselves() -> None:
    assert str(inspect.signature(OrderTemplate.render)) == "(self, /, **values)"
    assert "Raises" in (OrderTemplate.render.__doc__ or "")
    assert OrderTemplate.signed_text.__name__ == "signed_text"
    with pytest.raises(TypeError):
        OrderTemplate.render(object())  # type: ignore[arg-type]


def test_arguments_in_any_order_and_from_any_place(order: OrderTemplate) -> None:
    expected = order.render(**GOOD)
    for names in (list(GOOD), list(reversed(GOOD))):
        assert order.render(**{name: GOOD[name] for name in names}) == expected
    assert order.render(count=3, time=GOOD["time"], quantity="0.5", id="h1") == expected
    with pytest.raises(LocalProtocolError, match="slot id needs a value"):
        order.render(count=3, time=GOOD["time"], quantity="0.5")
    assert order.render(count=3, time=GOOD["time"], quantity="0.5", id="h1") == expected


def test_a_call_within_a_call_leaves_it_alone() -> None:
    """Formatting a Decimal may run Python code, and so another thread's call, with its arguments in another order."""
    slots = {"price": Slot("decimal", scale=2), "quantity": Slot("decimal", scale=2), "count": Slot("uint")}
    order = OrderTemplate("${price} ${quantity} ${count}", slots=slots)

    class Nosy(Decimal):
        def __format__(self, spec: str, context: object = None, /) -> str:
            assert order.render(count=1, quantity="3", price="2") == b"2.00 3.00 1"
            return str(self)

    assert order.render(price=Nosy("10"), quantity="5", count=7) == b"10.00 5.00 7"


def test_no_slot_is_given_twice() -> None:
    class Name(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return id(self)

        def __eq__(self, other: object) -> bool:
            return str(self) == other

    order = OrderTemplate("${n}", slots={"n": Slot("uint")})
    for n in (2, 100):
        with pytest.raises(LocalProtocolError, match="slot n is given twice"):
            order.render(**{Name("n"): i for i in range(n)})
    assert order.render(n=1) == b"1"


@pytest.mark.parametrize(
    ("charset", "allowed"),
    [
        ("", string.ascii_letters + string.digits + "_.-"),
        ("0-9", string.digits),
        ("a-f0-9", "abcdef" + string.digits),
        ("-a", "-a"),
        ("a-", "-a"),
        ("a-c-e", "abc-e"),
        ("--/", "-./"),
        (" ~", " ~"),
        ("z", "z"),
    ],
)
def test_charsets(charset: str, allowed: str) -> None:
    order = OrderTemplate("${t}", slots={"t": Slot("text", max_len=1, charset=charset)})
    for c in map(chr, range(256)):
        if c in allowed:
            assert order.render(t=c) == c.encode()
        else:
            with pytest.raises(LocalProtocolError, match="slot t") as caught:
                order.render(t=c)
            assert caught.value.name in ("HFT_E_ORDER_CHARSET", "HFT_E_ORDER_VALUE")


def test_a_charset_of_digits_may_be_a_number_in_json() -> None:
    order = OrderTemplate('{"n":${n}}', slots={"n": Slot("text", max_len=5, charset="0-9")})
    assert json.loads(order.render(n="17")) == {"n": 17}
    with pytest.raises(LocalProtocolError, match="not JSON"):
        OrderTemplate('{"n":${n}}', slots={"n": Slot("text", max_len=5)})


def test_an_echo_writes_a_value_in_another_form() -> None:
    slots = {
        "time": Slot("timestamp", scale=6),
        "size": Slot("decimal", scale=4),
        "date": Slot("rfc3339", scale=6, of="time"),
        "short": Slot("decimal_trimmed", scale=4, of="size"),
    }
    order = OrderTemplate("${time} ${date} ${size} ${short}", slots=slots)
    assert order.slots == ("time", "size", "date", "short")
    rendered = order.render(time=1_613_888_176_532_999_999, size="1.5")
    assert rendered == b"1613888176532 2021-02-21T06:16:16.532Z 1.5000 1.5"
    with pytest.raises(LocalProtocolError, match="no slot takes date; the slots are time, size"):
        order.render(time=1, size="1.5", date=1)


def test_a_text_that_its_echo_does_not_take_names_the_slot() -> None:
    slots = {"id": Slot("text", max_len=8), "short": Slot("text", max_len=4, of="id")}
    order = OrderTemplate('{"id":"${id}","short":"${short}"}', slots=slots)
    assert order.render(id="1234") == b'{"id":"1234","short":"1234"}'
    with pytest.raises(LocalProtocolError, match="slot id"):
        order.render(id="12345")

    slots = {
        "id": Slot("text", max_len=4, charset="a-f"),
        "short": Slot("text", max_len=3, charset="d-z", of="id"),
        "long": Slot("text", max_len=8, of="id"),
    }
    order = OrderTemplate('{"id":"${id}","short":"${short}","long":"${long}"}', slots=slots)
    assert order.render(id="fed") == b'{"id":"fed","short":"fed","long":"fed"}'
    slots["long"] = Slot("text", max_len=8, charset="0-9", of="id")
    with pytest.raises(LocalProtocolError, match="slot id"):  # no value suits all three
        OrderTemplate('{"id":"${id}","short":"${short}","long":"${long}"}', slots=slots)


# ---- signed ahead ----

MS = 1_000_000
NOW = 1_645_423_376_532 * MS
AHEAD = {"id_prefix": "a-", "values": {"quantity": "0.5", "count": 3}, "timestamp": "time", "client_id": "id"}


def ahead(**changes: object) -> PresignedOrders:
    return PresignedOrders(template(id=Slot("text", max_len=10)), **AHEAD | changes)  # type: ignore[arg-type]


def test_presigned_orders_are_what_render_would_give() -> None:
    reference = template(id=Slot("text", max_len=10))
    orders = ahead()
    assert orders.take(NOW) is None
    signed = 0
    while orders.refresh(NOW):
        signed += 1
    assert signed == 24
    now, ids = NOW, set()
    for _ in range(10):
        order = orders.take(now)
        assert order is not None
        assert order.timestamp_ns == now // (10 * MS) * 10 * MS
        assert order.message == reference.render(id=order.client_id, time=order.timestamp_ns, quantity="0.5", count=3)
        ids.add(order.client_id)
        now += 10 * MS
        assert order.message.decode() not in repr(order)
    assert len(ids) == 10
    assert all(name.startswith("a-") and len(name) == 10 for name in ids)


def test_presigned_orders_grow_old() -> None:
    orders = ahead(count=4, step_ms=1, window_ms=1)
    while orders.refresh(NOW):
        pass
    assert orders.take(NOW - 1) is None
    assert orders.take(NOW + 3 * MS + 1) is None  # signed up to NOW + 2 ms
    assert orders.take(NOW + 3 * MS) is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 3}, "count 3"),
        ({"count": 65}, "count 65"),
        ({"step_ms": 0}, "step_ms 0"),
        ({"step_ms": 20, "window_ms": 10}, "window_ms 10"),
        ({"window_ms": float("inf")}, "window_ms inf"),
        ({"step_ms": float("nan")}, "step_ms nan"),
        ({"id_prefix": "abc"}, "id_prefix 'abc' and 8 digits"),
        ({"timestamp": "quantity"}, "no other slot takes quantity"),
        ({"timestamp": "price"}, "slot time needs a value"),
        ({"client_id": "signature"}, "slot id needs a value"),
        ({"values": {"quantity": "0.5"}}, "slot count needs a value"),
        ({"values": {"quantity": "0.5", "count": 3, "price": 1}}, "no other slot takes price"),
        ({"values": {"quantity": "0.5", "count": 3, "id": "x"}}, "no other slot takes id"),
    ],
)
def test_presigned_orders_are_checked(changes: dict[str, object], message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        ahead(**changes)


def test_presigned_orders_with_a_bad_prefix_say_so_when_signed() -> None:
    orders = ahead(id_prefix="&")
    with pytest.raises(LocalProtocolError, match="slot id"):
        orders.refresh(NOW)


def test_presigned_orders_keep_their_values_alive() -> None:
    slots = {"id": Slot("text", max_len=10), "time": Slot("timestamp", scale=6), "note": Slot("text", max_len=20)}
    order = OrderTemplate("${id} ${time} ${note}", slots=slots)
    orders = PresignedOrders(
        order, id_prefix="a-", values={"note": "".join(["never", "interned"])}, timestamp="time", client_id="id"
    )
    gc.collect()
    ["".join(["other", str(i)]) for i in range(1000)]
    assert orders.refresh(NOW)
    taken = orders.take(NOW)
    assert taken is not None
    assert taken.message.endswith(b" neverinterned")
    for get_out in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            get_out(orders)
