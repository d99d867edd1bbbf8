"""What is measured from Python: for each row ours and its peers, as statements that are run in a loop.

Statements, because a call through a lambda costs as much as some of ours do. All ways of a row do the same job, which
the row's check holds each of them to before it is timed.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import itertools
import os
import textwrap
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from bitcoin.core import CTransaction, CTxOut
from bitcoin.wallet import P2WPKHBitcoinAddress
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.hmac import HMAC
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from benchmarks import setting
from benchmarks.peers.python_frames import Aiohttp, Picows
from benchmarks.peers.python_order import CarefulOrder, IdiomaticOrder, check_frame, check_text, masked_by_int
from benchmarks.peers.python_path import make_message
from hftcore import HmacSha256, bitcoin, sha256, sha256d, ws
from hftcore.crypto import sha256d_many
from hftcore.venues.binance import BINANCE


@dataclass(frozen=True)
class Row:
    """ways: each one's name and statement, ours first; the last line is the expression that gives the result.

    names: what the statements use. calls: in a loop, enough to make the loop itself cheap. items: done by one call; a
    figure is for one of them.
    """

    name: str
    about: str
    ways: dict[str, str]
    names: dict[str, Any]
    check: Callable[[Any], None]
    calls: int = 100
    items: int = 1

    def result(self, way: str) -> Any:
        """What a statement gives."""
        *before, last = self.ways[way].split("\n")
        exec("\n".join(before), self.names)
        return eval(last, self.names)

    def loop(self, way: str) -> Callable[[], None]:
        """A function that runs a statement `calls` times, as timeit does: without a call of its own for each."""
        body = textwrap.indent(self.ways[way], " " * 8)
        source = f"def loop():\n    for _ in repeat(None, {self.calls}):\n{body}\n"
        space: dict[str, Any] = self.names | {"repeat": itertools.repeat}
        exec(source, space)
        loop: Callable[[], None] = space["loop"]
        return loop

    @functools.cached_property
    def iterations(self) -> dict[str, int]:
        """How many loops of each way take as long as one of the slowest way: what takes longer meets more noise."""
        took = {way: min(timeit.repeat(self.loop(way), number=1, repeat=20)) for way in self.ways}
        return {way: max(1, round(max(took.values()) / seconds)) for way, seconds in took.items()}


def equals(expected: object) -> Callable[[Any], None]:
    """A check that a result is this one."""

    def check(result: Any) -> None:
        assert result == expected

    return check


# ---- hashes and signatures ----

KEY, BLOCK, MESSAGE, TRANSACTION = os.urandom(64), os.urandom(64), os.urandom(150), os.urandom(222)
HASHES = {
    "sha256": sha256, "sha256d": sha256d, "hashlib": hashlib, "hmac": hmac, "SHA256": SHA256, "Hash": Hash,
    "HMAC": HMAC, "key": KEY, "block": BLOCK, "message": MESSAGE, "transaction": TRANSACTION,
    "signer": HmacSha256(KEY), "empty": hashlib.sha256(), "keyed": hmac.new(KEY, digestmod="sha256"),
    "context": HMAC(KEY, SHA256()),
}  # fmt: skip

SHA256_ROWS = (
    Row(
        "sha256_py_64",
        "sha256 of 64 bytes from Python; beside hashlib and cryptography",
        {
            "hftcore sha256": "sha256(block)",
            "hashlib.sha256": "hashlib.sha256(block).digest()",
            "hashlib, an empty hash copied": "h = empty.copy()\nh.update(block)\nh.digest()",
            "cryptography Hash": "h = Hash(SHA256())\nh.update(block)\nh.finalize()",
        },
        HASHES,
        equals(hashlib.sha256(BLOCK).digest()),
    ),
    Row(
        "sha256d_py_222",
        "sha256d of a transaction, 222 bytes, from Python; beside hashlib",
        {
            "hftcore sha256d": "sha256d(transaction)",
            "hashlib.sha256, twice": "hashlib.sha256(hashlib.sha256(transaction).digest()).digest()",
        },
        HASHES,
        equals(hashlib.sha256(hashlib.sha256(TRANSACTION).digest()).digest()),
    ),
    Row(
        "hmac_py_150",
        "HMAC of 150 bytes from Python; beside hmac and cryptography",
        {
            "hftcore HmacSha256.digest": "signer.digest(message)",
            "hmac.digest": 'hmac.digest(key, message, "sha256")',
            "hmac copied": "h = keyed.copy()\nh.update(message)\nh.digest()",
            "cryptography HMAC": "h = HMAC(key, SHA256())\nh.update(message)\nh.finalize()",
            "cryptography HMAC copied": "h = context.copy()\nh.update(message)\nh.finalize()",
        },
        HASHES,
        equals(hmac.digest(KEY, MESSAGE, "sha256")),
    ),
)

# ---- many at once, and a constant beginning ----

HEADERS, MESSAGES = os.urandom(1000 * 80), [os.urandom(150) for _ in range(32)]
HEADER_LIST = [HEADERS[i : i + 80] for i in range(0, len(HEADERS), 80)]
PREFIX, TAIL = MESSAGE[:128], MESSAGE[128:]
BATCHES = {
    "sha256d_many": sha256d_many, "new": hashlib.sha256, "mac": hmac.digest, "key": KEY, "signer": HmacSha256(KEY),
    "headers": HEADERS, "header_list": HEADER_LIST, "messages": MESSAGES, "out": bytearray(32 * len(HEADER_LIST)),
    "tail": TAIL, "signer_prefix": HmacSha256(KEY).prefix(PREFIX), "absorbed": hmac.new(KEY, PREFIX, "sha256"),
}  # fmt: skip

BATCH_ROWS = (
    Row(
        "sha256d_many_py_80",
        "1,000 block headers hashed by one call from Python; beside hashlib",
        {
            "hftcore sha256d_many": "sha256d_many(headers, 80)",
            "hashlib.sha256, twice, in a list comprehension": (
                'b"".join([new(new(header).digest()).digest() for header in header_list])'
            ),
            "hftcore sha256d_many of a list": "sha256d_many(header_list)",
            "hftcore sha256d_many into a buffer": "sha256d_many(headers, 80, out=out)\nbytes(out)",
        },
        BATCHES,
        equals(b"".join(hashlib.sha256(hashlib.sha256(header).digest()).digest() for header in HEADER_LIST)),
        calls=1,
        items=len(HEADER_LIST),
    ),
    Row(
        "hmac_many_py_150",
        "32 messages of 150 bytes signed by one call from Python; beside hmac",
        {
            "hftcore HmacSha256.many": "signer.many(messages)",
            "hmac.digest in a list comprehension": ('b"".join([mac(key, message, "sha256") for message in messages])'),
        },
        BATCHES,
        equals(b"".join(hmac.digest(KEY, message, "sha256") for message in MESSAGES)),
        calls=4,
        items=len(MESSAGES),
    ),
    Row(
        "hmac_midstate_py_150",
        "HMAC of 150 bytes of which 128 were absorbed beforehand, from Python; beside hmac",
        {
            "hftcore HmacSha256Prefix.digest": "signer_prefix.digest(tail)",
            "hmac copied, 128 B absorbed": "h = absorbed.copy()\nh.update(tail)\nh.digest()",
        },
        BATCHES,
        equals(hmac.digest(KEY, MESSAGE, "sha256")),
    ),
)

# ---- the signed order: a new client id and the time of now in each ----

IDS = [f"h00-{os.urandom(12).hex()}" for _ in range(1024)]
ORDERS = {
    "render": BINANCE.order_template(setting.ORDER, setting.CREDENTIALS).render,
    "build_frame": ws.build_frame, "TEXT": ws.Opcode.TEXT, "time_ns": time.time_ns, "quantity": setting.ORDER.quantity,
    "idiomatic": IdiomaticOrder(), "msgspec": IdiomaticOrder(msgspec.json.encode),
    "careful": CarefulOrder(), "pure": CarefulOrder(masked_by_int),
    "text": itertools.cycle(IDS).__next__, "bytes_": itertools.cycle([text.encode() for text in IDS]).__next__,
}  # fmt: skip
RENDER = "render(client_id=text(), quantity=quantity, timestamp=time_ns())"


def is_order(result: Any) -> None:
    """Rightly signed, as text or in a masked frame."""
    assert (check_text if result[:1] == b"{" else check_frame)(result) in IDS


ORDER_ROWS = (
    Row(
        "template_render_py",
        "a signed order as bytes from Python; beside dict, hmac and orjson or msgspec, and a byte template",
        {
            "hftcore OrderTemplate.render": RENDER,
            "dict, sorted query, hmac, orjson": "idiomatic.text(text())",
            "dict, sorted query, hmac, msgspec": "msgspec.text(text())",
            "dict, sorted query, hmac, orjson, websockets' frame": "idiomatic.frame(text())",
            "byte template, cached midstate": "careful.text(bytes_())",
            "byte template, cached midstate, masked frame, pure Python": "pure.frame(bytes_())",
        },
        ORDERS,
        is_order,
        calls=20,
    ),
    Row(
        "template_frame_py",
        "the same in a masked WebSocket frame; beside the same in Python",
        {
            "hftcore OrderTemplate.render, ws.build_frame": f'build_frame(TEXT, {RENDER}, mask="random")',
            "dict, sorted query, hmac, orjson, websockets' frame": "idiomatic.frame(text())",
            "byte template, cached midstate, masked frame, pure Python": "pure.frame(bytes_())",
            "byte template, cached midstate, frame masked by websockets' C": "careful.frame(bytes_())",
        },
        ORDERS,
        is_order,
        calls=20,
    ),
)

# ---- WebSocket frames ----

PAYLOAD = os.urandom(100).hex().encode()
UNMASKED = bytes(ws.build_frame(ws.Opcode.TEXT, PAYLOAD, mask=None))


def parse_websockets(reader: StreamReader, data: bytes) -> bytes:
    """One frame by websockets' generators."""
    reader.feed_data(data)
    parsing: Any = Frame.parse(reader.read_exact, mask=False)
    try:
        next(parsing)
    except StopIteration as done:
        return bytes(done.value.data)
    raise AssertionError("a whole frame was fed")


def holds_payload(result: Any) -> None:
    """The payload, masked."""
    assert bytes(byte ^ result[4 + index % 4] for index, byte in enumerate(result[8:])) == PAYLOAD


PICOWS, AIOHTTP = Picows(), Aiohttp()
FRAMES = {
    "build_frame": ws.build_frame, "TEXT": ws.Opcode.TEXT, "Frame": Frame, "Opcode": Opcode, "payload": PAYLOAD,
    "feed": ws.FrameParser(role="client").feed, "parse": parse_websockets, "reader": StreamReader(), "frame": UNMASKED,
    "picows_send": PICOWS.send, "picows_text": PICOWS.text, "picows_wire": PICOWS.written, "picows": PICOWS.listener,
    "get_buffer": PICOWS.protocol.get_buffer, "buffer_updated": PICOWS.protocol.buffer_updated,
    "aiohttp_send": AIOHTTP.send, "aiohttp_wire": AIOHTTP.written, "aiohttp_parse": AIOHTTP.parse,
}  # fmt: skip
FRAME_ROWS = (
    Row(
        "ws_build_py_200",
        "a masked frame of 200 bytes built from Python; beside picows, aiohttp and websockets",
        {
            "hftcore ws.build_frame": 'build_frame(TEXT, payload, mask="random")',
            "picows WSTransport.send": "picows_send(picows_text, payload)\npicows_wire[0]",
            "aiohttp WebSocketWriter.send_frame": "aiohttp_send(payload, 1)\naiohttp_wire[0]",
            "websockets Frame.serialize": "Frame(Opcode.TEXT, payload).serialize(mask=True)",
        },
        FRAMES,
        holds_payload,
    ),
    Row(
        "ws_parse_py_200",
        "a frame of 200 bytes parsed from Python; beside picows, aiohttp and websockets",
        {
            "hftcore ws.FrameParser": "feed(frame)[0].data",
            "picows, a listener in Python": "get_buffer(-1)[:204] = frame\nbuffer_updated(204)\npicows.payload",
            "aiohttp WebSocketReader": "aiohttp_parse(frame)",
            "websockets Frame.parse": "parse(reader, frame)",
        },
        FRAMES,
        equals(PAYLOAD),
    ),
)

# ---- Bitcoin ----

RAW, TXID = make_message(setting.SCRIPT)
RAW = RAW[24:]
ADDRESS = bitcoin.encode_address(setting.SCRIPT)
BITCOIN = {
    "bitcoin": bitcoin,
    "CTransaction": CTransaction,
    "P2WPKH": P2WPKHBitcoinAddress,
    "raw": RAW,
    "address": ADDRESS,
}


def pays(result: Any) -> None:
    """A check of outputs in whatever form: what they pay, and to whom."""
    found = [
        (out.value, out.script) if isinstance(out, bitcoin.TxOut) else (out.nValue, bytes(out.scriptPubKey))
        if isinstance(out, CTxOut) else out
        for out in result
    ]  # fmt: skip
    assert found == [(out.nValue, bytes(out.scriptPubKey)) for out in CTransaction.deserialize(RAW).vout]


BITCOIN_ROWS = (
    Row(
        "btc_parse_py",
        "the outputs of a transaction of 222 bytes from Python; beside python-bitcoinlib",
        {
            "hftcore parse_transaction": "bitcoin.parse_transaction(raw).outputs",
            "python-bitcoinlib CTransaction": "CTransaction.deserialize(raw).vout",
            "hftcore, values and scripts read": (
                "[(out.value, out.script) for out in bitcoin.parse_transaction(raw).outputs]"
            ),
        },
        BITCOIN,
        pays,
        calls=100,
    ),
    Row(
        "transaction_py_222",
        "a transaction of 222 bytes parsed from Python, and its txid; beside python-bitcoinlib",
        {
            "hftcore parse_transaction": "bitcoin.parse_transaction(raw).txid",
            "python-bitcoinlib": "CTransaction.deserialize(raw).GetTxid()[::-1].hex()",
        },
        BITCOIN,
        equals(TXID),
        calls=10,
    ),
    Row(
        "address_py",
        "the script of a bech32 address from Python; beside python-bitcoinlib",
        {
            "hftcore decode_address": "bitcoin.decode_address(address)",
            "python-bitcoinlib": "bytes(P2WPKH(address).to_scriptPubKey())",
        },
        BITCOIN,
        equals(setting.SCRIPT),
        calls=10,
    ),
)

ROWS = {row.name: row for row in (*SHA256_ROWS, *BATCH_ROWS, *ORDER_ROWS, *FRAME_ROWS, *BITCOIN_ROWS)}
