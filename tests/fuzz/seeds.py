"""What the fuzzers begin with: small valid inputs of each format, and every input that once found a mistake."""

from __future__ import annotations

import base64
import struct
import zlib
from hashlib import sha256
from pathlib import Path

import buildconf

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"  # corpus/<name>/*: inputs that once made fuzz_<name> fail


def targets() -> list[Path]:
    """The fuzz targets, relative to the root."""
    return sorted(path.relative_to(buildconf.ROOT) for path in HERE.glob("fuzz_*.c"))


def ws_frame(opcode: int, payload: bytes, *, fin: bool = True, mask: bytes = b"") -> bytes:
    head = bytes([(0x80 if fin else 0) | opcode])
    bit = 0x80 if mask else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65536:
        head += struct.pack(">BH", bit | 126, len(payload))
    else:
        head += struct.pack(">BQ", bit | 127, len(payload))
    return head + mask + bytes(byte ^ mask[i % 4] if mask else byte for i, byte in enumerate(payload))


WS_MESSAGES: list[list[tuple[int, bytes]]] = [
    [(1, b'{"id":"a1","status":200,"result":{"orderId":28}}')],
    [(1, "Köln ₿ 😀".encode())],
    [(0x01, b"Hel"), (9, b"ping"), (0, b"lo")],
    [(0x01, "₿".encode()[:1]), (0x00, "₿".encode()[1:2]), (0, "₿".encode()[2:])],
    [(2, bytes(range(256)) * 2)],
    [(8, struct.pack(">H", 1000) + b"done")],
    [(8, b"")],
    [(10, b"x" * 125)],
    [(0x41, zlib.compress(b"compressed")[2:-4]), (1, b"not")],
    [(2, b"\0" * 65536)],
]


def ws_streams(mask: bytes) -> list[bytes]:
    """Each list of frames as bytes; those before the last one of an unfinished message have FIN clear."""
    streams = []
    for frames in WS_MESSAGES:
        data = b""
        for i, (first, payload) in enumerate(frames):
            more = first & 15 < 8 and any(later & 15 == 0 for later, _ in frames[i + 1 :])
            data += ws_frame(first, payload, fin=not more, mask=mask)
        streams.append(data[:3000])
    return streams


HTTP = [
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x02hi",
    b"HTTP/1.1 101 \r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n"
    b"Sec-WebSocket-Accept:s3pPLMBiTxaQ9kYGzzhZRbK+xOo= \r\nX: y\r\n\r\n",
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: v2\r\n"
    b'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits="9", x\r\n'
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    b"GET /ws?a=b HTTP/1.1\r\nHost: a:9\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a, b\r\n"
    b"Sec-WebSocket-Extensions: x; y=1\r\nSec-WebSocket-Protocol: c\r\nSec-WebSocket-Extensions: z\r\n\r\n",
    # The parts of a request: host, target, two lists and a header.
    b"abcdefgh" + b"/23/5678" + b"chat,v2, aa, bbb" + b"a; b=c; d, ee; f" + b"Origin: x\r\nY: 12\r\n",
]


def deflated(message: bytes, final: bool = False) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    flush = zlib.Z_FINISH if final else zlib.Z_SYNC_FLUSH
    return (compressor.compress(message) + compressor.flush(flush)).removesuffix(b"\0\0\xff\xff")


# See the target: flags and level, window bits, length of the messages compressed (0: decompress as the server).
DEFLATE = [
    b"\x30\0\0" + deflated(b"Hello, hello, hello") + b"\xff\xfe" + deflated(b"again") + b"\xff\xfe\xff\xfe\0",
    b"\x30\0\0" + deflated(b"Hello", final=True) + b"\0\xff\xfe\xf2\x00\x11\x00\x00",
    b"\x36\x88\0" + deflated(bytes(2000)) + b"\xff\xfe" + deflated(bytes(range(256))),
    b"\x30\0\x10" + b'{"e":"trade","s":"BTCUSDT","p":"50000.01","q":"0.5"}' * 8,
    b"\x10\x99\x20" + bytes(range(256)) * 3,
    b"\x4a\xff\xff" + bytes(1500),
    b"\x01\x08\0permessage-deflate; client_max_window_bits=10; server_no_context_takeover",
    b'\x07\xff\0permessage-deflate; server_no_context_takeover; server_max_window_bits="12", permessage-deflate',
    b"\x03\x80\0x; y=1, permessage-deflate; client_no_context_takeover; client_max_window_bits",
]

JSON = [
    b'{"id":"hft-1","status":200,"result":{"symbol":"BTCUSDT","orderId":28,"status":"FILLED","executedQty":"0.01"},'
    b'"rateLimits":[{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":50,"count":1}]}',
    b'{"id":"x","status":400,"error":{"code":-2010,"msg":"Account has insufficient balance for requested action."}}',
    rb'[null,true,false,0,-1.5e+10,"\u20bf\ud83d\ude00\n\"\\\/",{"a":[[[{}]]]}]',
    b'{"":{"a.b":[1,2,3]},"e":"executionReport"} ',
    b"12345678901234567890.00000001",
    b"[" * 70 + b"]" * 70,
]

TEXT = [
    b"0",
    b"18446744073709551615",
    b"21000000.00000000",
    b"0.00000001",
    b"00ff7a",
    b"AAECAwQFBgcICQ==",
    "Köln ₿ 😀".encode(),
    b"\xed\xa0\x80\xf4\x90\x80\x80\xc0\x80",
    bytes(range(256)).hex().encode(),
    base64.b64encode(bytes(range(100, 202))),
    ("a" * 60 + "é漢💶" * 20).encode(),
    b'a "quoted" \\ line\n\x1f\x7f',
    (1613888176532987654).to_bytes(8, "little") + b"\x06" + (1613888176532988123).to_bytes(8, "little") + b"\x03",
]

ORDER = [
    b'{"id":"${client_id}","method":"order.place","params":{"apiKey":"k","quantity":"${quantity}",'
    b'"signature":"${signature}","timestamp":${timestamp}}}',
    b"apiKey=k&quantity=${quantity}&timestamp=${timestamp}",
    b"${a}${b}$$${",
]


def compact(value: int) -> bytes:
    if value < 0xFD:
        return bytes([value])
    return struct.pack("<BH", 0xFD, value) if value < 0x10000 else struct.pack("<BI", 0xFE, value)


def script_p2pkh(byte: int) -> bytes:
    return b"\x76\xa9\x14" + bytes([byte]) * 20 + b"\x88\xac"


def script_p2wpkh(byte: int) -> bytes:
    return b"\x00\x14" + bytes([byte]) * 20


def transaction(inputs: int, outputs: list[tuple[int, bytes]], *, witness: bool) -> bytes:
    raw = struct.pack("<i", 2) + (b"\0\x01" if witness else b"") + compact(inputs)
    for i in range(inputs):
        script = b"" if witness else b"\x47" + b"\x30" * 71 + b"\x21" + b"\x02" * 33
        raw += bytes([i % 256]) * 32 + struct.pack("<I", i) + compact(len(script)) + script + b"\xfd\xff\xff\xff"
    raw += compact(len(outputs)) + b"".join(struct.pack("<q", v) + compact(len(s)) + s for v, s in outputs)
    if witness:
        raw += (b"\x02\x47" + b"\x30" * 71 + b"\x21" + b"\x02" * 33) * inputs
    return raw + struct.pack("<I", 866342)


def message(command: bytes, payload: bytes, magic: bytes = b"\xf9\xbe\xb4\xd9") -> bytes:
    checksum = sha256(sha256(payload).digest()).digest()[:4]
    return magic + command.ljust(12, b"\0") + struct.pack("<I", len(payload)) + checksum + payload


TX = [
    transaction(1, [(150_000_000, script_p2pkh(1)), (9, script_p2wpkh(2))], witness=False),
    transaction(1, [(100_000_000, script_p2wpkh(1)), (1, b"\x51\x20" + b"\x03" * 32)], witness=True),
    transaction(3, [(1, b"\xa9\x14" + b"\x04" * 20 + b"\x87"), (0, b"\x6a\x04data")] * 130, witness=True),
    transaction(1, [(2_100_000_000_000_000, script_p2pkh(5))], witness=False),
]
KEY, SIGNATURE = b"\x02" + b"\xfe" * 32, b"\x30\x44\x02\x20" + b"\x11" * 32 + b"\x02\x20" + b"\x22" * 32 + b"\x01"
KEY_HASH160 = bytes.fromhex("fbe22421e91e164319771fff1907960c355500d4")
MULTISIG = b"\x51\x21" + KEY + b"\x51\xae"


def unlocking(script_sig: bytes, *items: bytes) -> bytes:
    return struct.pack("<H", len(script_sig)) + script_sig + b"".join(bytes([len(item)]) + item for item in items)


OWNERS = [
    unlocking(b"\x47" + SIGNATURE + b"\x21" + KEY),
    unlocking(b"\x00\x47" + SIGNATURE + b"\x25" + MULTISIG),
    unlocking(b"\x47" + SIGNATURE),
    unlocking(b"", SIGNATURE, KEY),
    unlocking(b"", b"", SIGNATURE, MULTISIG),
    unlocking(b"", SIGNATURE, b"\x02\xaa\xbb\x1c" + b"\xcc" * 28 + b"\x6d"),
    unlocking(b"\x16" + script_p2wpkh(1), SIGNATURE, KEY),
    unlocking(b"\x16\x00\x14" + KEY_HASH160, SIGNATURE, KEY),
    unlocking(b"\x22\x00\x20" + sha256(MULTISIG).digest(), b"", SIGNATURE, MULTISIG),
    unlocking(b"", b"\x01" * 64),
    unlocking(b"", b"\x01" * 65, b"\x50annex"),
    unlocking(b"", SIGNATURE, b"\x51", b"\xc0" + b"\x07" * 64),
    unlocking(b"\x51\x4f\x60\x04\x63\x51\x67\x68"),
    unlocking(b"\x6a\x04data"),
    unlocking(b"\x76\xa9\x14" + b"\x01" * 20 + b"\x88\xac"),
]
ADDRESS = struct.pack("<Q", 9) + b"\0" * 10 + b"\xff\xff\x7f\0\0\x01" + struct.pack(">H", 8333)
VERSION = (
    struct.pack("<iQq", 70016, 9, 1_700_000_000) + ADDRESS * 2 + b"\x01" * 8 + b"\x10/Satoshi:27.0.0/" + b"\0\0\0\0\x01"
)
INV = compact(2) + struct.pack("<I", 5) + b"\x0a" * 32 + struct.pack("<I", 2) + b"\x0b" * 32
ADDRS = [  # addr: IPv4 and IPv6; addrv2 (BIP155): one of each network, and one of none
    compact(2) + b"\0\xf1\x53\x65" + ADDRESS + b"\0\xf1\x53\x65" + ADDRESS[:8] + b"\x20\x01\x0d\xb8" + b"\x01" * 14,
    compact(7)
    + b"".join(
        b"\0\xf1\x53\x65\xfd\x09\x04" + bytes([network, length]) + b"\x20" * length + b"\x20\x8d"
        for network, length in ((1, 4), (2, 16), (3, 10), (4, 32), (5, 32), (6, 16), (77, 5))
    ),
]
MESSAGES = [
    message(b"version", VERSION) + message(b"wtxidrelay", b"") + message(b"verack", b""),
    message(b"ping", b"\x01" * 8) + message(b"inv", INV),
    message(b"tx", TX[0]),
    message(b"tx", TX[1]) + message(b"pong", b"\x01" * 8),
    message(b"addr", ADDRS[0]) + message(b"addrv2", ADDRS[1]) + message(b"getaddr", b""),
    message(b"notfound", INV) + message(b"feefilter", b"\0" * 8) + message(b"sendcmpct", b"\0" * 9),
]


def watch_table() -> bytes:
    """A table file with one bucket and two scripts whose hash is 0, the key being zeros; see hft/watch.h."""
    entries = [bytes(8) + bytes([i]) * 10 + bytes(8) + bytes([i]) * 8 + bytes([34, i, 0, 0, i, 0]) for i in (1, 2)]
    bucket = struct.pack("<12HI", 1, 1, *[0] * 10, 0) + bytes([0, 0, 0, 1, 0, 0]) + bytes(30)
    names = b'{"labels":["a","b","c"],"origins":[["",0]]}'
    head = b"hftwatch" + struct.pack("<IIIIQQ", 1, 1, 2, 3, len(names), 0) + bytes(64) + b"mainnet".ljust(16, b"\0")
    # The target makes the checksum right where its first byte is odd.
    return head.ljust(224, b"\0") + b"\1" * 32 + bucket + b"".join(entries) + names


ADDRESSES = [
    b"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    b"3P14159f73E4gFr7JterCCQh9QjiTjiZrG",
    b"mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
    b"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    b"BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
    b"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
    b"tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
    b"bc1pfeessrawgf",
    b"1" * 90,
    script_p2pkh(1),
    script_p2wpkh(2),
    b"\x51\x20" + b"\x03" * 32,
    b"\xa9\x14" + b"\x04" * 20 + b"\x87",
]

# By prefix of the target's name: fuzz_btc_tx takes "btc_tx", else "btc". A target of no known name gets them all.
# See tests/fuzz/fuzz_tls_feed.c: mode, bytes at a time, room; then noise, edits, or records.
KEY_UPDATES = [b"\x16\x05\x18\0\0\x01" + bytes([asked]) for asked in (0, 1)]
TICKET = b"\x16\x16\x04\0\0\x12\0\0\x1c\x20\x01\x02\x03\x04\x01\x05\0\x04abcd\0\0"
TLS_FEEDS = [
    b"\0\0\0HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\0\1\0\x15\x03\x03\x00\x02\x02\x28",
    b"\0\0\0\x16\x03\x02\0\x2a\x02\0\0\x26\x03\x02" + bytes(33) + b"\xc0\x13\0",
    b"\1\0\0",
    b"\1\x1f\0\0\x85\0\x01",  # the server's certificate, not quite as it was
    b"\2\0\0",
    b"\2\1\0\0\x0b\0\x40",
    b"\3\0\0\x17\x05hello" + KEY_UPDATES[0] + b"\x17\x05again",
    b"\3\1\0" + KEY_UPDATES[1] * 3 + b"\x17\x01a" + KEY_UPDATES[1] * 2,
    b"\3\0\0" + KEY_UPDATES[0] * 40,
    b"\3\x17\0" + b"\x17\x01a" * 12,  # each in a call of its own, and answered
    b"\3\x1b\2" + KEY_UPDATES[1] * 6,  # each in a call of its own: more answers than there is room for
    b"\3\0\0" + TICKET + b"\x17\x01b" + TICKET,
    b"\3\0\0\x15\x02\x01\x00\x17\x01c",
    b"\3\0\0\x15\x02\x02\x50",
    b"\3\0\0\x16\x04\0\0\0\0\x16\x04\x0d\0\0\0\xff\x05\x17\x03\x03\0\0",
]

SEEDS = {
    "tls": TLS_FEEDS,
    "ws": ws_streams(b""),
    "ws_server": ws_streams(b"\x01\x02\x03\x04"),
    "http1": HTTP,
    "deflate": DEFLATE,
    "json": JSON,
    "text": TEXT,
    "order": ORDER,
    "btc_tx": TX,
    "btc_addr": ADDRS,
    "btc_owner": OWNERS,
    "address": ADDRESSES,
    "watch": [watch_table()],
    "btc": [*MESSAGES, *TX, VERSION, INV],
}


def seeds_of(target: Path) -> list[bytes]:
    name = target.stem.removeprefix("fuzz_")
    known = sorted((key for key in SEEDS if name.startswith(key)), key=len)
    return SEEDS[known[-1]] if known else [seed for group in SEEDS.values() for seed in group]


def write(target: Path, directory: Path) -> list[str]:
    """Writes the target's seeds into `directory`; returns what to give the fuzzer: it, and the stored corpus if any."""
    directory.mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(seeds_of(target)):
        (directory / f"seed-{i:02}").write_bytes(seed)
    stored = CORPUS / target.stem.removeprefix("fuzz_")
    return [str(directory), *([str(stored)] if stored.is_dir() else [])]
