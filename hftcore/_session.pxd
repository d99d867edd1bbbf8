from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint64_t

from hftcore.libhft.ws cimport HFT_WS_OP_TEXT
from hftcore.reactor cimport Connection, Handler


# The messages of one connection that nobody has taken yet, and how it ended: what the asyncio and the blocking face
# have in common. `connection` is set once its socket is there.
cdef class Session(Handler):
    cdef readonly object request            # hftcore._request.Request
    cdef Connection connection
    cdef object messages                    # deque of str and bytes
    cdef Py_ssize_t held                    # their size, and how much there may be
    cdef Py_ssize_t room
    cdef bint paused
    cdef bint opened
    cdef bint over
    cdef readonly object error              # what ended it; None: we did, in good order, or nothing has
    cdef bint told                          # it was raised once
    cdef uint64_t answered                  # number of the last ping that was, and when
    cdef uint64_t answered_ns

    # Raises for another thread than the owner's.
    cdef int check_thread(self) except -1
    # That, and raises once it has ended.
    cdef int check_open(self) except -1
    # Takes over a connected socket, with so long for TLS and the upgrade.
    cdef int attach(self, object reactor, object sock, object endpoint, double timeout_s) except -1
    cdef int put(self, object payload) except -1
    # The oldest message; there must be one.
    cdef object take(self)
    # Sends, and returns 1; or 0 where there is no room, and on_writable follows.
    cdef int try_send(self, object data, bint as_text) except -1
    # 1 = a refused message may fit later, 0 = never.
    cdef bint may_fit(self) except -1
    # Sends a ping. Its number, from 1 on, and when it was sent.
    cdef uint64_t send_ping(self, uint64_t *sent_ns) except 0
    # The exception that says how it ended.
    cdef object ended(self)
    # Whether iterating over it ends without an exception.
    cdef bint ended_well(self) except -1


cdef inline object payload_of(const uint8_t *data, size_t size, int op):
    if op == HFT_WS_OP_TEXT:
        return PyUnicode_DecodeUTF8(<const char *>data, <Py_ssize_t>size, NULL)
    return PyBytes_FromStringAndSize(<const char *>data, <Py_ssize_t>size)


# The payload as asked for: True = str, False = bytes.
cdef inline object decoded(object payload, bint decode):
    if isinstance(payload, str):
        return payload if decode else (<str>payload).encode()
    return (<bytes>payload).decode() if decode else payload
