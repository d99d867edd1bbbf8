"""Bitcoin's peer-to-peer messages, transactions and addresses, and the watch table.

Transactions and blocks are defined in hftcore.tx, addresses in hftcore.addresses, WatchTable in hftcore.watch.

Nothing here does I/O: bytes go in, bytes and plain values come out. Hashes are hex in display order (the reverse of
their order on the wire), amounts satoshi, scripts raw bytes.

Malformed input raises RemoteProtocolError, a value that cannot be encoded LocalProtocolError, a wrong address or
setting ConfigError; each carries ``.code`` and ``.name`` (``HFT_E_BTC_...``).
"""

import secrets
import time
from collections import namedtuple
from enum import IntEnum

import cython

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from hftcore._buffer cimport as_bytes, ptr
from hftcore._status cimport check, check_local, init_core, make_error
from hftcore.libhft.btc cimport (
    HFT_BTC_HEADER_LEN,
    HFT_BTC_INV_MAX,
    HFT_BTC_MESSAGE_MAX,
    HFT_BTC_PROTOCOL_VERSION,
    HFT_BTC_USER_AGENT_MAX,
    hft_btc_build_inv,
    hft_btc_build_message,
    hft_btc_build_version,
    hft_btc_checksum,
    hft_btc_compact_size_put,
    hft_btc_compact_size_read,
    hft_btc_message,
    hft_btc_next_message,
    hft_btc_parse_inv,
    hft_btc_parse_version,
    hft_btc_version,
)
from hftcore.libhft.status cimport HFT_E_BTC_CHECKSUM, HFT_E_BTC_COUNT
from hftcore.tx cimport display

from hftcore.addresses import NETWORKS, Network, decode_address, encode_address, get_network
from hftcore.errors import ConfigError, LocalProtocolError
from hftcore.tx import (
    Block,
    OutPoint,
    Owner,
    OwnerReason,
    ScriptType,
    Transaction,
    TxIn,
    TxOut,
    classify_script,
    parse_block,
    parse_transaction,
    split_transactions,
)
from hftcore.watch import WatchTable

__all__ = [
    "INV_MAX",
    "MESSAGE_MAX",
    "NETWORKS",
    "PROTOCOL_VERSION",
    "Block",
    "InvEntry",
    "InvType",
    "Message",
    "MessageParser",
    "Network",
    "OutPoint",
    "Owner",
    "OwnerReason",
    "ScriptType",
    "Transaction",
    "TxIn",
    "TxOut",
    "Version",
    "WatchTable",
    "build_inv",
    "build_message",
    "build_version",
    "classify_script",
    "decode_address",
    "decode_compact_size",
    "encode_address",
    "encode_compact_size",
    "get_network",
    "parse_block",
    "parse_inv",
    "parse_transaction",
    "parse_version",
    "split_transactions",
]

init_core()

PROTOCOL_VERSION = HFT_BTC_PROTOCOL_VERSION
MESSAGE_MAX = HFT_BTC_MESSAGE_MAX
INV_MAX = HFT_BTC_INV_MAX


class InvType(IntEnum):
    """Type of an entry of inv, getdata and notfound (BIP144, BIP339)."""

    TX = 1
    BLOCK = 2
    WTX = 5
    WITNESS_TX = 0x40000001


Message = namedtuple("Message", ("command", "payload"), module=__name__)
Message.__doc__ = "A message of the v1 transport: command without its padding, payload with a verified checksum."

Version = namedtuple(
    "Version",
    ("version", "services", "timestamp", "nonce", "user_agent", "start_height", "relay"),
    module=__name__,
)
Version.__doc__ = "Payload of a version message; timestamp in Unix seconds."

InvEntry = namedtuple("InvEntry", ("type", "hash"), module=__name__)
InvEntry.__doc__ = "An entry of inv, getdata or notfound: type as int (see InvType), hash as hex in display order."


# ---- helpers ----

cdef bytes wire(object text):
    data = bytes.fromhex(text)
    if len(data) != 32:
        raise LocalProtocolError(f"a hash has 64 hex digits, not {len(text)}")
    return data[::-1]


cdef uint32_t magic_of(str network) except? 0:
    return int.from_bytes(get_network(network).magic, "little")


# ---- messages ----

@cython.final
cdef class MessageParser:
    """Cuts a peer's byte stream into messages, however it was split.

    network: whose magic every message must carry. message_max: longest payload accepted, bytes.

    A parser that met malformed data stays failed: messages in front of the fault are still returned, then feed()
    raises RemoteProtocolError (HFT_E_BTC_MAGIC, _COMMAND, _TOO_LARGE or _CHECKSUM).
    """

    def __init__(self, network="mainnet", *, message_max=HFT_BTC_MESSAGE_MAX):
        self._magic = magic_of(network)
        if not 0 < message_max <= HFT_BTC_MESSAGE_MAX:
            raise ConfigError(f"message_max: 1 to {HFT_BTC_MESSAGE_MAX}")
        self._message_max = message_max
        self._buffer = bytearray()
        self._error = None
        self._need = HFT_BTC_HEADER_LEN

    @property
    def error(self):
        """The fault that ended parsing, or None."""
        return self._error

    def feed(self, data):
        """The messages that `data` (bytes-like) completes, in order."""
        if self._error is not None:
            raise self._error
        self._buffer += data
        messages = []
        cdef size_t used = self._parse(messages)
        if used > 0:
            del self._buffer[:used]
        if self._error is not None and not messages:
            raise self._error
        return messages

    cdef size_t _parse(self, list messages) except? 0:
        cdef const uint8_t *data = <const uint8_t *>PyByteArray_AS_STRING(self._buffer)
        cdef size_t size = <size_t>PyByteArray_GET_SIZE(self._buffer), pos = 0, used = 0
        cdef hft_btc_message msg
        cdef uint8_t digest[32]
        cdef int rc = 0
        # Any four bytes already show a wrong magic; otherwise nothing is looked at twice while a payload trickles in.
        while size - pos >= self._need or (self._need == HFT_BTC_HEADER_LEN and size > pos):
            rc = hft_btc_next_message(&msg, &used, &self._need, self._magic, self._message_max, data + pos, size - pos)
            if rc == 1 and not hft_btc_checksum(digest, &msg):
                rc = HFT_E_BTC_CHECKSUM
            if rc < 0:
                self._error = make_error(rc, None, None)
                break
            if rc == 0:
                break
            payload = PyBytes_FromStringAndSize(<const char *>msg.payload, msg.payload_len)
            messages.append(Message((<bytes>msg.command).decode("ascii"), payload))
            pos += used
            self._need = HFT_BTC_HEADER_LEN
        return pos


def build_message(network, command, payload=b""):
    """A whole message: header with checksum, then `payload`. command: 1 to 12 printable ASCII characters."""
    cdef bytes body = as_bytes(payload), name = command.encode("ascii", "replace")
    cdef size_t size = <size_t>PyBytes_GET_SIZE(body)
    if size > HFT_BTC_MESSAGE_MAX:
        raise LocalProtocolError(f"payload of {size} bytes: at most {HFT_BTC_MESSAGE_MAX}")
    if not command.isascii() or b"\0" in name:
        raise LocalProtocolError(f"message command {command!r}: 1 to 12 printable ASCII characters")
    cdef bytes out = PyBytes_FromStringAndSize(NULL, HFT_BTC_HEADER_LEN + size)
    check_local(
        hft_btc_build_message(<uint8_t *>ptr(out), HFT_BTC_HEADER_LEN + size, magic_of(network),
                              PyBytes_AS_STRING(name), ptr(body), size),
        repr(command),
    )
    return out


def build_version(network, *, version=HFT_BTC_PROTOCOL_VERSION, services=0, timestamp=None, nonce=None,
                  user_agent="/hftcore:0.1.0/", start_height=0, relay=True):
    """A version message, the first of every connection.

    timestamp: Unix seconds, None = now. nonce: 64 bits, None = random. relay: whether the peer shall announce
    transactions to us (BIP37).
    """
    cdef bytes agent = user_agent.encode()
    cdef hft_btc_version v
    if len(agent) > HFT_BTC_USER_AGENT_MAX:
        raise LocalProtocolError(f"user agent of {len(agent)} bytes: at most {HFT_BTC_USER_AGENT_MAX}")
    v.version = version
    v.services = services
    v.timestamp = int(time.time()) if timestamp is None else timestamp
    v.nonce = secrets.randbits(64) if nonce is None else nonce
    v.user_agent = PyBytes_AS_STRING(agent)
    v.user_agent_len = <size_t>PyBytes_GET_SIZE(agent)
    v.start_height = start_height
    v.relay = bool(relay)
    cdef uint8_t out[HFT_BTC_HEADER_LEN + 128 + HFT_BTC_USER_AGENT_MAX]
    cdef int size = check_local(hft_btc_build_version(out, sizeof(out), magic_of(network), &v), None)
    return PyBytes_FromStringAndSize(<const char *>out, size)


def build_inv(network, command, type, hashes):
    """An inv, getdata or notfound message of entries of one type (InvType). hashes: hex, display order."""
    cdef bytes joined = b"".join([wire(text) for text in hashes])
    cdef bytes name = command.encode("ascii", "replace")
    cdef size_t n = <size_t>PyBytes_GET_SIZE(joined) // 32
    if command not in ("inv", "getdata", "notfound"):
        raise LocalProtocolError(f"{command!r} is not inv, getdata or notfound")
    if n > HFT_BTC_INV_MAX:
        check_local(HFT_E_BTC_COUNT, f"{n} of at most {HFT_BTC_INV_MAX}")
    cdef size_t cap = HFT_BTC_HEADER_LEN + 3 + 36 * n
    cdef bytes out = PyBytes_FromStringAndSize(NULL, cap)
    cdef int size = check_local(
        hft_btc_build_inv(<uint8_t *>ptr(out), cap, magic_of(network), PyBytes_AS_STRING(name), type, ptr(joined), n),
        None,
    )
    return out[:size]


def parse_version(payload):
    """The fields of a version message's payload."""
    cdef bytes data = as_bytes(payload)
    cdef hft_btc_version v
    check(hft_btc_parse_version(&v, ptr(data), <size_t>PyBytes_GET_SIZE(data)), "version message")
    agent = PyBytes_FromStringAndSize(v.user_agent, v.user_agent_len).decode("utf-8", "replace")
    return Version(v.version, v.services, v.timestamp, v.nonce, agent, v.start_height, bool(v.relay))


def parse_inv(payload):
    """The entries of an inv, getdata or notfound message's payload."""
    cdef bytes data = as_bytes(payload)
    cdef const uint8_t *entries
    cdef size_t n, i
    check(hft_btc_parse_inv(&entries, &n, ptr(data), <size_t>PyBytes_GET_SIZE(data)), "inventory")
    result = []
    for i in range(n):
        result.append(InvEntry(int.from_bytes(entries[36 * i:36 * i + 4], "little"), display(entries + 36 * i + 4)))
    return result


def encode_compact_size(value):
    """Bitcoin's variable-length integer: 1, 3, 5 or 9 bytes, the shortest that holds `value` (0 to 2**64 - 1)."""
    cdef uint8_t out[9]
    if not 0 <= value < 1 << 64:
        raise LocalProtocolError(f"CompactSize {value}: 0 to 2**64 - 1")
    return PyBytes_FromStringAndSize(<const char *>out, <Py_ssize_t>hft_btc_compact_size_put(out, value))


def decode_compact_size(data, pos=0):
    """(value, position behind it) of the CompactSize at data[pos]; encodings longer than needed are refused."""
    cdef bytes raw = as_bytes(data)
    cdef size_t at = pos
    cdef uint64_t value
    check(hft_btc_compact_size_read(&value, ptr(raw), <size_t>PyBytes_GET_SIZE(raw), &at, <uint64_t>-1), "CompactSize")
    return value, at
