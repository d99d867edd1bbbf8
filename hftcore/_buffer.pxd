"""The bytes of an argument, borrowed for the time of a call."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t


# Until give_back(). The bytes of `bytes` never move, so they need no export, which takes longer.
cdef struct Borrowed:
    const void *data
    Py_ssize_t len
    bint exported
    Py_buffer view


cdef inline int borrow(object source, Borrowed *b) except -1:
    b.exported = not PyBytes_CheckExact(source)
    if not b.exported:
        b.data = PyBytes_AS_STRING(source)
        b.len = PyBytes_GET_SIZE(source)
        return 0
    PyObject_GetBuffer(source, &b.view, PyBUF_SIMPLE)
    b.data = b.view.buf
    b.len = b.view.len
    return 0


cdef inline void give_back(Borrowed *b) noexcept:
    if b.exported:
        PyBuffer_Release(&b.view)


cdef inline bytes as_bytes(object data):
    return data if type(data) is bytes else memoryview(data).tobytes()


cdef inline const uint8_t *ptr(bytes data) noexcept:
    return <const uint8_t *>PyBytes_AS_STRING(data)
