"""The Binance LIMIT order of setting.py in Python: text, signature, masked WebSocket frame.

- ``IdiomaticOrder`` is what one writes first, and readably: a dict of parameters, sorted and joined, hmac.new, a JSON
  library, websockets' frame.
- ``CarefulOrder`` is what one writes after profiling: one byte template, the constant beginning of what is signed
  hashed once and its state copied, the frame's header known beforehand, masks drawn in advance.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable

import orjson
from websockets.frames import Frame, Opcode
from websockets.speedups import apply_mask

from benchmarks import setting

CLIENT_ID_LEN = 28
TIMESTAMP_LEN = 13  # milliseconds, until the year 2286
MASKS = 1024  # drawn at a time


def check_text(text: bytes) -> str:
    """The client id of the order that the text is; raises unless it is rightly signed."""
    message = json.loads(text)
    params = message["params"]
    signature = params.pop("signature")
    query = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
    assert signature == hmac.new(setting.CREDENTIALS.secret, query.encode(), "sha256").hexdigest()
    client_id: str = params["newClientOrderId"]
    assert message["id"] == client_id
    return client_id


def check_frame(frame: bytes) -> str:
    """The same of a masked frame; raises unless it is whole."""
    assert frame[:2] == b"\x81\xfe"
    assert len(frame) == 8 + int.from_bytes(frame[2:4], "big")
    return check_text(bytes(byte ^ frame[4 + index % 4] for index, byte in enumerate(frame[8:])))


class IdiomaticOrder:
    """Readable Python with the usual libraries. dumps: makes JSON of a dict."""

    def __init__(self, dumps: Callable[[object], bytes] = orjson.dumps) -> None:
        self.dumps = dumps

    def text(self, client_id: str) -> bytes:
        """The signed request."""
        order = setting.ORDER
        params: dict[str, str | int] = {
            "apiKey": setting.CREDENTIALS.api_key,
            "symbol": order.symbol,
            "side": order.side,
            "type": order.type,
            "timeInForce": order.time_in_force,
            "price": str(order.price),
            "quantity": order.quantity,
            "newClientOrderId": client_id,
            "newOrderRespType": "ACK",
            "recvWindow": 5000,
            "timestamp": int(time.time() * 1000),
        }
        query = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
        params["signature"] = hmac.new(setting.CREDENTIALS.secret, query.encode(), hashlib.sha256).hexdigest()
        return self.dumps({"id": client_id, "method": "order.place", "params": params})

    def frame(self, client_id: str) -> bytes:
        """The masked WebSocket frame with it."""
        return Frame(Opcode.TEXT, self.text(client_id)).serialize(mask=True)


class CarefulOrder:
    """The same, with nothing made for every order that could be made once.

    mask: XORs a payload with four bytes; websockets' is C, `masked_by_int` pure Python.
    """

    def __init__(self, mask: Callable[[bytes, bytes], bytes] = apply_mask) -> None:
        order, key = setting.ORDER, setting.CREDENTIALS.api_key
        self.mask = mask
        self.signed_tail = (
            b"%b&newOrderRespType=ACK&price=" + f"{order.price}&quantity={order.quantity}&recvWindow=5000"
            f"&side={order.side}&symbol={order.symbol}&timeInForce={order.time_in_force}&timestamp=".encode()
            + b"%d&type=" + order.type.encode()
        )  # fmt: skip
        prefix = hmac.new(setting.CREDENTIALS.secret, f"apiKey={key}&newClientOrderId=".encode(), hashlib.sha256)
        self.prefix_copy = prefix.copy
        self.template = (
            b'{"id":"%b","method":"order.place","params":{"apiKey":"' + key.encode() + b'","newClientOrderId":"%b",'
            b'"newOrderRespType":"ACK",'
            + f'"price":"{order.price}","quantity":"{order.quantity}","recvWindow":5000,"side":"{order.side}",'
            f'"symbol":"{order.symbol}","timeInForce":"{order.time_in_force}",'.encode()
            + b'"timestamp":%d,"type":"' + order.type.encode() + b'","signature":"%b"}}'
        )  # fmt: skip
        placeholders = len(b"%b%b%d%b")
        length = len(self.template) - placeholders + 2 * CLIENT_ID_LEN + TIMESTAMP_LEN + 64
        self.header = b"\x81\xfe" + length.to_bytes(2, "big")
        self.masks: list[bytes] = []

    def refill(self) -> None:
        """Draws masks in advance: to be called while idle."""
        noise = os.urandom(4 * MASKS)
        self.masks += [noise[i : i + 4] for i in range(0, len(noise), 4)]

    def text(self, client_id: bytes) -> bytes:
        """The signed request."""
        now_ms = time.time_ns() // 1_000_000
        mac = self.prefix_copy()
        mac.update(self.signed_tail % (client_id, now_ms))
        return self.template % (client_id, client_id, now_ms, mac.hexdigest().encode())

    def frame(self, client_id: bytes) -> bytes:
        """The masked WebSocket frame with it."""
        if not self.masks:
            self.refill()
        mask = self.masks.pop()
        return self.header + mask + self.mask(self.text(client_id), mask)


def masked_by_int(payload: bytes, mask: bytes) -> bytes:
    """The fastest XOR that Python has of its own: of two long integers."""
    length = len(payload)
    repeated = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(repeated, "little")).to_bytes(length, "little")
