"""The same job as the engine's hot path in Python: bytes of a `tx` message in, TLS record with a signed order out.

Both versions check the message's checksum, find what the outputs pay to watched scripts, compute the txid, drop what
was seen before or spends what an earlier deposit spent, see that the owner who is paid does not spend himself (of
inputs that show a P2WPKH key, as those here do), and make the Binance LIMIT order (python_order.py): client id from the
txid, timestamp, HMAC-SHA-256, JSON, masked WebSocket frame, TLS record.

- ``Idiomatic`` is what one writes first, and readably: struct, a cursor, and the idiomatic order.
- ``Careful`` is what one writes after profiling: no objects where bytes do, hash states that are copied instead of
  made, and the careful order.

`python -m benchmarks.peers.python_path CORE CERT KEY COUNT FOLDER` measures both and writes the samples to FOLDER.
"""

from __future__ import annotations

import gc
import hashlib
import os
import ssl
import struct
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path

from benchmarks import setting
from benchmarks.peers.python_order import CarefulOrder, IdiomaticOrder, check_frame

MAGIC = bytes.fromhex("fabfb5da")  # regtest


# ---- transactions and the exchange, for both ----


def sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def hash160(data: bytes) -> bytes:
    return hashlib.new("ripemd160", hashlib.sha256(data).digest()).digest()


def make_message(script: bytes) -> tuple[bytes, str]:
    """A `tx` message that pays `script`, as common/play.c makes them, and the txid."""
    body = (
        b"\1" + os.urandom(32) + b"\1\0\0\0\0\xfd\xff\xff\xff\2"
        + struct.pack("<QB", 150_000_000, len(script)) + script
        + struct.pack("<Q", 734_211) + b"\x16\0\x14" + os.urandom(20)
    )  # fmt: skip
    witness = b"\2\x47" + os.urandom(71) + b"\x21\2" + os.urandom(32)
    raw = b"\2\0\0\0\0\1" + body + witness + b"\0\0\0\0"
    txid = sha256d(b"\2\0\0\0" + body + b"\0\0\0\0")[::-1].hex()
    return struct.pack("<4s12sI4s", MAGIC, b"tx", len(raw), sha256d(raw)[:4]) + raw, txid


class Session:
    """A TLS 1.3 session in memory, both ends."""

    def __init__(self, cert: Path, key: Path) -> None:
        server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_context.load_cert_chain(cert, key)
        context = ssl.create_default_context(cafile=str(cert))
        self._to_server, self._to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = context.wrap_bio(self._to_client, self._to_server, server_hostname="localhost")
        self.outgoing = self._to_server
        self._server = server_context.wrap_bio(self._to_server, self._to_client, server_side=True)
        for _ in range(4):
            for end in (self.client, self._server):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue
        self._records = ssl.MemoryBIO()

    @property
    def cipher(self) -> str:
        """What was negotiated."""
        return " ".join(map(str, self.client.cipher()[:2]))  # type: ignore[index]

    def decrypt(self, record: bytes) -> bytes:
        """What the exchange reads."""
        self._to_server.write(record)
        return self._server.read(65536)


# ---- idiomatic ----


class Reader:
    """A cursor over bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.pos = 0

    def take(self, count: int) -> bytes:
        piece = self.data[self.pos : self.pos + count]
        if len(piece) != count:
            raise ValueError("truncated")
        self.pos += count
        return piece

    def compact_size(self) -> int:
        first = self.take(1)[0]
        if first < 0xFD:
            return first
        return int.from_bytes(self.take({0xFD: 2, 0xFE: 4, 0xFF: 8}[first]), "little")


class Idiomatic:
    """Readable Python with the usual libraries."""

    def __init__(self, watched: dict[bytes, str], session: Session) -> None:
        self.watched = watched
        self.session = session
        self.seen: set[str] = set()
        self.spent: dict[bytes, str] = {}
        self.order = IdiomaticOrder()

    def transaction(self, raw: bytes) -> tuple[str, list[bytes], dict[str, int]]:
        """The txid, the outpoints it spends, and what is paid to each watched owner who does not spend."""
        reader = Reader(raw)
        version = reader.take(4)
        segwit = raw[4:6] == b"\0\1"
        if segwit:
            reader.take(2)
        start = reader.pos
        outpoints = []
        for _ in range(reader.compact_size()):
            outpoints.append(reader.take(36))
            reader.take(reader.compact_size())
            reader.take(4)
        paid: dict[str, int] = {}
        for _ in range(reader.compact_size()):
            (value,) = struct.unpack("<Q", reader.take(8))
            label = self.watched.get(reader.take(reader.compact_size()))
            if label is not None:
                paid[label] = paid.get(label, 0) + value
        end = reader.pos
        if segwit:
            for _ in outpoints:
                items = [reader.take(reader.compact_size()) for _ in range(reader.compact_size())]
                if len(items) == 2 and len(items[1]) == 33:
                    paid.pop(self.watched.get(b"\0\x14" + hash160(items[1]), ""), None)
        locktime = reader.take(4)
        return sha256d(version + raw[start:end] + locktime)[::-1].hex(), outpoints, paid

    def on_message(self, message: bytes) -> bytes | None:
        """The TLS record that answers a `tx` message, if there is one."""
        magic, command, length, checksum = struct.unpack_from("<4s12sI4s", message)
        payload = message[24 : 24 + length]
        if magic != MAGIC or command.rstrip(b"\0") != b"tx" or sha256d(payload)[:4] != checksum:
            return None
        txid, outpoints, paid = self.transaction(payload)
        if not paid or txid in self.seen or any(outpoint in self.spent for outpoint in outpoints):
            return None
        self.seen.add(txid)
        self.spent.update(dict.fromkeys(outpoints, txid))
        self.session.client.write(self.order.frame(f"h00-{txid[:24]}"))
        return self.session.outgoing.read()


# ---- careful ----


def compact_size(data: bytes, pos: int) -> tuple[int, int]:
    """The value at pos, and where it ends."""
    first = data[pos]
    if first < 0xFD:
        return first, pos + 1
    width = {0xFD: 2, 0xFE: 4, 0xFF: 8}[first]
    return int.from_bytes(data[pos + 1 : pos + 1 + width], "little"), pos + 1 + width


class Careful:
    """The same, with nothing made for every order that could be made once."""

    def __init__(self, watched: dict[bytes, str], session: Session) -> None:
        self.watched = watched
        self.write = session.client.write
        self.read = session.outgoing.read
        self.seen: set[bytes] = set()
        self.spent: dict[bytes, bytes] = {}
        self.new_sha256 = hashlib.sha256().copy  # much cheaper than hashlib.sha256(): no lookup of the algorithm
        self.new_ripemd160 = hashlib.new("ripemd160").copy
        self.order = CarefulOrder()

    def inputs(self, raw: bytes, pos: int) -> tuple[list[bytes], int]:
        """The outpoints that are spent, and where the inputs end."""
        n_inputs, pos = compact_size(raw, pos)
        outpoints = []
        for _ in range(n_inputs):
            outpoints.append(raw[pos : pos + 36])
            length = raw[pos + 36]
            if length < 0xFD:
                pos += 41 + length
            else:
                length, pos = compact_size(raw, pos + 36)
                pos += length + 4
        return outpoints, pos

    def spenders(self, raw: bytes, pos: int, n_inputs: int) -> set[str]:
        """The watched owners whose keys the witnesses, which begin at pos, show."""
        found = set()
        for _ in range(n_inputs):
            n_items = raw[pos]
            pos += 1
            begin = length = 0
            for _ in range(n_items):
                length, begin = compact_size(raw, pos)
                pos = begin + length
            if n_items == 2 and length == 33:
                inner, outer = self.new_sha256(), self.new_ripemd160()
                inner.update(raw[begin:pos])
                outer.update(inner.digest())
                owner = self.watched.get(b"\0\x14" + outer.digest())
                if owner is not None:
                    found.add(owner)
        return found

    def on_message(self, message: bytes) -> bytes | None:
        """The TLS record that answers a `tx` message, if there is one."""
        if message[:16] != b"\xfa\xbf\xb5\xdatx\0\0\0\0\0\0\0\0\0\0":
            return None
        raw = message[24:]
        inner, outer = self.new_sha256(), self.new_sha256()
        inner.update(raw)
        outer.update(inner.digest())
        if outer.digest()[:4] != message[20:24]:
            return None
        start = 6 if raw[4] == 0 else 4
        outpoints, pos = self.inputs(raw, start)
        n_outputs, pos = compact_size(raw, pos)
        watched, owners = self.watched, set()
        for _ in range(n_outputs):
            length = raw[pos + 8]
            begin = pos + 9
            if length >= 0xFD:
                length, begin = compact_size(raw, pos + 8)
            if (owner := watched.get(raw[begin : begin + length])) is not None:
                owners.add(owner)
            pos = begin + length
        if not owners:
            return None
        if start == 6:
            owners -= self.spenders(raw, pos, len(outpoints))
            if not owners:
                return None
        inner, outer = self.new_sha256(), self.new_sha256()
        inner.update(raw[:4] + raw[start:pos] + raw[-4:])
        outer.update(inner.digest())
        txid = outer.digest()
        if txid in self.seen or not self.spent.keys().isdisjoint(outpoints):
            return None
        self.seen.add(txid)
        for outpoint in outpoints:
            self.spent[outpoint] = txid
        self.write(self.order.frame(b"h00-" + txid[:19:-1].hex().encode()))
        return self.read()


# ---- measuring ----


def measure(call: Callable[..., bytes | None], arguments: list[bytes | str]) -> tuple[array[int], list[bytes | None]]:
    """The time of each call less what reading the clock takes, and the results."""
    clock = time.perf_counter_ns
    cost = sorted(-(clock() - clock()) for _ in range(1001))[500]
    samples, results = array("Q"), []
    for argument in arguments:
        before = clock()
        result = call(argument)
        samples.append(max(1, clock() - before - cost))
        results.append(result)
    return samples, results


def main() -> None:
    core, cert, key, count, folder = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    watched = dict.fromkeys(setting.other_scripts(), "other") | {setting.SCRIPT: setting.LABEL}
    session = Session(Path(cert), Path(key))
    print(session.cipher)
    gc.collect()
    gc.disable()  # in the peers' favour
    for name, peer in (("idiomatic", Idiomatic(watched, session)), ("careful", Careful(watched, session))):
        for warm_up in (True, False):
            n = 200 if warm_up else int(count)
            made = [make_message(setting.SCRIPT) for _ in range(n)]
            if isinstance(peer, Careful):
                while len(peer.order.masks) < 2 * n:
                    peer.order.refill()
            whole, records = measure(peer.on_message, [message for message, _ in made])
            ids = [f"h00-{txid[:24]}" for _, txid in made]
            for record, client_id in zip(records, ids, strict=True):
                assert record is not None
                assert check_frame(session.decrypt(record)) == client_id
            part, frames = measure(
                peer.order.frame, [text.encode() for text in ids] if isinstance(peer, Careful) else list(ids)
            )
            assert check_frame(frames[-1] or b"") == ids[-1]
        Path(folder, f"{name}.whole").write_bytes(whole.tobytes())
        Path(folder, f"{name}.part").write_bytes(part.tobytes())


if __name__ == "__main__":
    main()
