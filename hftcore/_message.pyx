"""What a reactor hands to its owner: messages, planned calls, and why a connection ended."""

import os

import cython

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8

from hftcore._status cimport check, check_local, init_core, make_error
from hftcore.libhft.reactor cimport hft_reactor_event
from hftcore.libhft.status cimport HFT_E_WS_UTF8
from hftcore.libhft.ws cimport HFT_WS_OP_TEXT

from hftcore.errors import ConnectionClosed, ConnectionLost, HandshakeError, TLSError


@cython.final
cdef class Message:
    """A message received. ``op``: 1 for text, 2 for binary; ``size``: bytes; ``recv_ns``: time.monotonic_ns() when it
    was taken from the kernel; ``kernel_ns``: Unix ns of the kernel's own stamp, 0 unless ``kernel_timestamps`` was
    asked for. May be kept; its bytes are copied then.
    """

    cdef bytes get_data(self):
        if self._data is None:
            self._data = PyBytes_FromStringAndSize(<const char *>self.ptr, <Py_ssize_t>self.size)
        return self._data

    cdef str get_text(self):
        if self._text is None:
            if self.ptr != NULL:
                self._text = PyUnicode_DecodeUTF8(<const char *>self.ptr, <Py_ssize_t>self.size, NULL)
            else:
                self._text = self._data.decode()
        return self._text

    @property
    def is_text(self):
        """Whether it is text; binary otherwise."""
        return self.op == HFT_WS_OP_TEXT

    @property
    def data(self):
        """The payload as bytes, made on first use."""
        return self.get_data()

    @property
    def text(self):
        """The payload as str, made on first use. Raises UnicodeDecodeError for a binary message that is not UTF-8."""
        return self.get_text()

    def __len__(self):
        return <Py_ssize_t>self.size

    def __repr__(self):
        return f"<Message {'text' if self.op == HFT_WS_OP_TEXT else 'binary'}, {self.size} bytes>"


cdef object closed_again(error):
    """The exception of a call on a connection that has ended."""
    if error is None:
        return ConnectionClosed("the connection is closed", close_code=1000)
    if isinstance(error, ConnectionClosed):
        return ConnectionClosed(str(error), code=error.code, name=error.name, close_code=error.close_code,
                                reason=error.reason)
    return ConnectionClosed(f"the connection is closed: {error}")


cdef int check_send(int rc) except -1:
    """Where a send meets the end of the connection first, on_close will say why."""
    if rc == HFT_E_WS_UTF8:
        return check_local(rc, None)
    try:
        return check(rc, None)
    except (TLSError, OSError) as error:
        raise ConnectionClosed(f"the connection is ending: {error}") from None


cdef object error_of(bint was_open, hft_reactor_event *event):
    """Why a link has closed; None: by us, in good order."""
    cdef int code = event.err.code
    if code == 0:
        return None
    error = make_error(code, event.err.text.decode("utf-8", "replace"), event.err.pos)
    if isinstance(error, HandshakeError):
        error.status = event.http_status
        if event.http_status != 0:
            head, _, body = event.data[:event.len].partition(b"\r\n\r\n")
            error.headers, error.body = parse_head(head), body
    elif isinstance(error, ConnectionLost | OSError) or (was_open and error.name == "HFT_E_TLS_TRUNCATED"):
        name = getattr(error, "name", "") or os.strerror(-code)
        reason = "" if event.http_status != 0 else event.data[:event.len].decode("utf-8", "replace")
        error = ConnectionClosed(str(error), code=code, name=name, close_code=event.close_code, reason=reason)
    return error


def parse_head(bytes head):
    """The header fields of a response, in order: (name, value)."""
    fields = []
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            fields.append((name.strip(), value.strip()))
    return tuple(fields)


@cython.final
cdef class Timer:
    """A call that ``Reactor.call_later`` has planned."""

    def cancel(self):
        """No effect once it was called."""
        self.callback = None
        self.args = ()

    def __lt__(self, Timer other):
        return (self.due_ns, self.serial) < (other.due_ns, other.serial)


init_core()
