"""WebSocket frames (RFC 6455 section 5) and the accept value of the handshake (section 4.2.2), over bytes: no I/O.

What the other side may not send raises RemoteProtocolError, what the caller may not send LocalProtocolError; both
carry ``.name`` (``HFT_E_WS_...``). Extensions are not supported: reserved bits are always errors.
"""

import os
from base64 import b64encode
from enum import IntEnum
from hashlib import sha1

import cython

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from hftcore._buffer cimport Borrowed, borrow, give_back
from hftcore._status cimport check_local, init_core, make_error
from hftcore.libhft.status cimport HFT_E_WS_CONTROL, HFT_E_WS_OPCODE, HFT_E_WS_UTF8
from hftcore.libhft.text cimport hft_base64_decode, hft_utf8_feed, hft_utf8_stream, hft_utf8_valid
from hftcore.libhft.ws cimport (
    HFT_WS_CLIENT,
    HFT_WS_FLAG_MORE,
    HFT_WS_OP_BINARY,
    HFT_WS_OP_CLOSE,
    HFT_WS_OP_CONTINUATION,
    HFT_WS_OP_PONG,
    HFT_WS_OP_TEXT,
    HFT_WS_SERVER,
    hft_ws_build_frame,
    hft_ws_close_code,
    hft_ws_event,
    hft_ws_header_size,
    hft_ws_mask_from,
    hft_ws_op,
    hft_ws_parser_init,
    hft_ws_parser_next,
    hft_ws_put_header,
)

from hftcore.errors import ConfigError, LocalProtocolError

__all__ = ["Frame", "FrameParser", "Opcode", "accept_key", "apply_mask", "build_frame"]

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MESSAGE_LIMIT = 1 << 30
cdef enum:
    MASKS_DRAWN = 4096


class Opcode(IntEnum):
    """What a frame is (section 5.2). CONTINUATION never leaves a parser: it puts fragments together."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


cdef tuple opcodes = tuple([Opcode(i) if i in Opcode._value2member_map_ else None for i in range(16)])


@cython.final
cdef class Frame:
    """A whole message (TEXT, BINARY) or a control frame (CLOSE, PING, PONG).

    opcode: Opcode. data: the payload, unmasked; of TEXT valid UTF-8, of CLOSE the reason (UTF-8) without the code.
    close_code: of CLOSE the code, 1005 if the frame had none (section 7.1.5); of all others None.
    """

    def __cinit__(self, opcode, bytes data not None, close_code=None):
        self.opcode = opcode
        self.data = data
        self.close_code = close_code

    def __repr__(self):
        code = "" if self.close_code is None else f", close_code={self.close_code}"
        return f"Frame({self.opcode!r}, {self.data!r}{code})"

    def __eq__(self, other):
        if not isinstance(other, Frame):
            return NotImplemented
        cdef Frame o = other
        return self.opcode == o.opcode and self.data == o.data and self.close_code == o.close_code

    def __hash__(self):
        return hash((self.opcode, self.data, self.close_code))


@cython.final
cdef class FrameParser:
    """Cuts a byte stream into messages and control frames, however it was split, and enforces RFC 6455.

    role: whose side the parser is on: a "client" takes unmasked frames only, a "server" masked ones only.
    max_message: longest message accepted, fragments together, bytes (1 to 2**30).

    Text is checked as it arrives, so that a fault in a long message is told at its first byte. A parser that met a
    fault stays failed: frames in front of the fault are still returned, then feed() raises RemoteProtocolError;
    ``.pos`` is the fault's offset in the stream, and `close_code` what to answer.
    """

    def __cinit__(self, role="client", max_message=1 << 20):
        if role not in ("client", "server"):
            raise ConfigError(f"role {role!r}: client or server")
        if not 0 < max_message <= MESSAGE_LIMIT:
            raise ConfigError(f"max_message {max_message}: 1 to {MESSAGE_LIMIT}")
        self._message = PyMem_RawMalloc(max_message)
        if self._message == NULL:
            raise MemoryError
        self._client = role == "client"
        # Nothing is waited for but headers and control frames: what is not there whole is put together in _message.
        hft_ws_parser_init(&self.parser, HFT_WS_CLIENT if self._client else HFT_WS_SERVER, self._message,
                           max_message, max_message, 0)
        self._buffer = bytearray()

    def __dealloc__(self):
        PyMem_RawFree(self._message)

    @property
    def error(self):
        """The fault that ended parsing, or None."""
        return self._make_error() if self.parser.failed else None

    @property
    def close_code(self):
        """The close code that answers the fault (section 7.4.1): 1002, 1007 or 1009; None while there is none."""
        return hft_ws_close_code(self.parser.failed) if self.parser.failed else None

    def feed(self, data):
        """The frames that `data` (bytes-like) completes, in order."""
        if self.parser.failed:
            raise self._make_error()
        cdef list frames = []
        if self._client and not self._buffer:
            self._feed_direct(frames, data)
        else:
            self._feed_buffered(frames, data)
        if self.parser.failed and not frames:
            raise self._make_error()
        return frames

    cdef object _make_error(self):
        return make_error(self.parser.failed, None, self._consumed + self.parser.err.pos)

    cdef int _feed_direct(self, list frames, data) except -1:
        """Where nothing waits: unmasked frames are read where they lie, for nothing is written there."""
        cdef Borrowed b
        cdef size_t used
        borrow(data, &b)
        try:
            used = self._parse(frames, <uint8_t *>b.data, <size_t>b.len)
            if used < <size_t>b.len and not self.parser.failed:
                self._buffer += PyBytes_FromStringAndSize(<const char *>b.data + used, b.len - <Py_ssize_t>used)
        finally:
            give_back(&b)
        return 0

    cdef int _feed_buffered(self, list frames, data) except -1:
        cdef Py_buffer view
        cdef size_t used
        self._buffer += data
        # The export keeps the buffer where it is, whatever a garbage collection may run.
        PyObject_GetBuffer(self._buffer, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        try:
            used = self._parse(frames, <uint8_t *>view.buf, <size_t>view.len)
        finally:
            PyBuffer_Release(&view)
        if used > 0:
            del self._buffer[:used]
        return 0

    cdef size_t _parse(self, list frames, uint8_t *data, size_t size) except? 0:
        cdef hft_ws_event event
        cdef size_t pos = 0, used = 0
        cdef int rc
        while True:
            rc = hft_ws_parser_next(&self.parser, &event, &used, data + pos, size - pos)
            pos += used
            self._consumed += used
            if rc == 1:
                payload = PyBytes_FromStringAndSize(<const char *>event.data, <Py_ssize_t>event.len)
                code = event.close_code if event.op == HFT_WS_OP_CLOSE else None
                frames.append(Frame(opcodes[event.op], payload, code))
            elif rc < 0 or used == 0:
                return pos


# Random bytes for the coming masks: asking the system for each takes ten times as long as all the rest of a frame.
cdef bytes masks = b""
cdef Py_ssize_t masks_used = 0


def _drop_masks():
    """A forked child draws masks of its own."""
    global masks
    masks = b""


cdef int draw_mask(uint8_t key[4]) except -1:
    global masks, masks_used
    if masks_used + 4 > PyBytes_GET_SIZE(masks):
        masks = os.urandom(MASKS_DRAWN)
        masks_used = 0
    memcpy(key, PyBytes_AS_STRING(masks) + masks_used, 4)
    masks_used += 4
    return 0


cdef int read_mask(uint8_t key[4], mask) except -1:
    cdef bytes chosen = mask if type(mask) is bytes else bytes(memoryview(mask))
    if PyBytes_GET_SIZE(chosen) != 4:
        raise LocalProtocolError(f"mask of {len(chosen)} bytes: must be 4")
    memcpy(key, PyBytes_AS_STRING(chosen), 4)
    return 0


cdef bytes encode(unsigned int op, const void *payload, size_t size, mask, bint fin):
    cdef uint8_t key[4]
    cdef const uint8_t *used = NULL
    if isinstance(mask, str):
        if mask != "random":
            raise LocalProtocolError(f"mask {mask!r}: None, 'random' or 4 bytes")
        draw_mask(key)
        used = key
    elif mask is not None:
        read_mask(key, mask)
        used = key
    cdef size_t cap = hft_ws_header_size(size, used != NULL) + size
    cdef bytes out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>cap)
    cdef uint8_t *frame = <uint8_t *>PyBytes_AS_STRING(out)
    if op == HFT_WS_OP_CONTINUATION or not fin:
        encode_fragment(frame, op, payload, size, used, fin)
        return out
    if op == HFT_WS_OP_TEXT and not hft_utf8_valid(payload, size):
        check_local(HFT_E_WS_UTF8)
    check_local(hft_ws_build_frame(frame, cap, <hft_ws_op>op, payload, size, used))
    return out


cdef int encode_fragment(uint8_t *frame, unsigned int op, const void *payload, size_t size, const uint8_t *key,
                         bint fin) except -1:
    cdef hft_utf8_stream text
    if op > HFT_WS_OP_BINARY:
        check_local(HFT_E_WS_CONTROL if HFT_WS_OP_CLOSE <= op <= HFT_WS_OP_PONG else HFT_E_WS_OPCODE)
    if op == HFT_WS_OP_TEXT:
        text.due = 0
        if hft_utf8_feed(&text, payload, size) != size:
            check_local(HFT_E_WS_UTF8)
    frame += hft_ws_put_header(frame, <hft_ws_op>op, 0 if fin else HFT_WS_FLAG_MORE, size, key)
    if key != NULL:
        hft_ws_mask_from(frame, <const uint8_t *>payload, size, key, 0)
    elif size != 0:
        memcpy(frame, payload, size)
    return 0


def build_frame(opcode, payload=b"", *, mask, fin=True):
    """One frame: a whole message, a fragment of one, or a control frame.

    payload: bytes-like, of TEXT also str (sent as UTF-8); of CLOSE nothing, or a two-byte code and a reason.
    mask: None = unmasked, as a server sends; "random" = four bytes of the system's, as a client must send; or the
    four bytes themselves.
    fin: False if fragments follow, each of them a CONTINUATION, the last one with fin. A fragment may end within a
    character of TEXT; that it goes on rightly is not checked (section 5.4).

    Raises LocalProtocolError for what RFC 6455 forbids: reserved opcodes, a control frame over 125 bytes or in
    fragments, TEXT that is not UTF-8, an invalid close code.
    """
    cdef unsigned int op = opcode
    cdef Borrowed b
    cdef Py_ssize_t size
    cdef const char *text
    if isinstance(payload, str):
        if op != HFT_WS_OP_TEXT:
            raise TypeError("str is for TEXT frames; other payloads are bytes-like")
        text = PyUnicode_AsUTF8AndSize(payload, &size)
        return encode(op, text, <size_t>size, mask, fin)
    borrow(payload, &b)
    try:
        return encode(op, b.data, <size_t>b.len, mask, fin)
    finally:
        give_back(&b)


def apply_mask(data, mask):
    """The data XORed with the four bytes of mask over and over (section 5.3), which masks and unmasks.

    data: a payload from its beginning, bytes-like. mask: 4 bytes; anything else is a LocalProtocolError.
    """
    cdef Borrowed b
    cdef bytes out
    cdef uint8_t key[4]
    read_mask(key, mask)
    borrow(data, &b)
    try:
        out = PyBytes_FromStringAndSize(NULL, b.len)
        hft_ws_mask_from(<uint8_t *>PyBytes_AS_STRING(out), <const uint8_t *>b.data, <size_t>b.len, key, 0)
        return out
    finally:
        give_back(&b)


def accept_key(key):
    """The Sec-WebSocket-Accept value that answers a Sec-WebSocket-Key (section 4.2.2).

    key: base64 of 16 bytes, 24 characters; anything else is a LocalProtocolError.
    """
    cdef bytes text = key.encode("ascii", "replace")
    cdef uint8_t nonce[18]
    if PyBytes_GET_SIZE(text) != 24 or hft_base64_decode(nonce, PyBytes_AS_STRING(text), 24) != 16:
        raise LocalProtocolError(f"Sec-WebSocket-Key {key!r}: base64 of 16 bytes")
    return b64encode(sha1(text + GUID, usedforsecurity=False).digest()).decode()


os.register_at_fork(after_in_child=_drop_masks)
init_core()
