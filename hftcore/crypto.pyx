"""SHA-256 and HMAC-SHA-256, on the CPU's SHA extensions where it has them.

All functions take any bytes-like object. Not for passwords: these hashes are fast on purpose.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t

from binascii import b2a_base64

from hftcore._status cimport init_core
from hftcore.libhft.hmac cimport hft_equal_ct, hft_hmac_digest, hft_hmac_key_init, hft_wipe
from hftcore.libhft.sha256 cimport hft_sha256_digest, hft_sha256d_digest


cdef bytes new_digest():
    return PyBytes_FromStringAndSize(NULL, 32)


def sha256(data, /):
    """The SHA-256 digest (FIPS 180-4), 32 bytes. Same result as ``hashlib.sha256(data).digest()``."""
    cdef Py_buffer view
    cdef bytes out = new_digest()
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        hft_sha256_digest(<uint8_t *>PyBytes_AS_STRING(out), view.buf, <size_t>view.len)
    finally:
        PyBuffer_Release(&view)
    return out


def sha256d(data, /):
    """SHA-256 of the SHA-256 digest, 32 bytes: Bitcoin's hash of transactions, blocks and messages."""
    cdef Py_buffer view
    cdef bytes out = new_digest()
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        hft_sha256d_digest(<uint8_t *>PyBytes_AS_STRING(out), view.buf, <size_t>view.len)
    finally:
        PyBuffer_Release(&view)
    return out


cdef class HmacSha256:
    """HMAC-SHA-256 (RFC 2104) under one key, whose two padded blocks are hashed once, here.

    The key itself is not kept, what was derived from it is wiped when the object goes. It cannot be pickled or copied.
    """

    def __cinit__(self, key, /):
        cdef Py_buffer view
        PyObject_GetBuffer(key, &view, PyBUF_SIMPLE)
        try:
            hft_hmac_key_init(&self.key, view.buf, <size_t>view.len)
        finally:
            PyBuffer_Release(&view)

    def __dealloc__(self):
        hft_wipe(&self.key, sizeof(self.key))

    cdef bytes mac(self, object msg):
        cdef Py_buffer view
        cdef bytes out = new_digest()
        PyObject_GetBuffer(msg, &view, PyBUF_SIMPLE)
        try:
            hft_hmac_digest(<uint8_t *>PyBytes_AS_STRING(out), &self.key, view.buf, <size_t>view.len)
        finally:
            PyBuffer_Release(&view)
        return out

    def digest(self, msg, /):
        """The MAC of a message, 32 bytes."""
        return self.mac(msg)

    def hex(self, msg, /):
        """The MAC as 64 lower-case hexadecimal digits."""
        return self.mac(msg).hex()

    def base64(self, msg, /):
        """The MAC as 44 characters of base64 (RFC 4648 section 4)."""
        return b2a_base64(self.mac(msg), newline=False).decode("ascii")

    def verify(self, msg, mac, /):
        """Whether mac is the MAC (32 bytes) of msg; takes the same time wherever they differ."""
        cdef Py_buffer view
        cdef bytes expected = self.mac(msg)
        PyObject_GetBuffer(mac, &view, PyBUF_SIMPLE)
        try:
            return view.len == 32 and hft_equal_ct(PyBytes_AS_STRING(expected), view.buf, 32) == 1
        finally:
            PyBuffer_Release(&view)

    def __repr__(self):
        return "HmacSha256(***)"

    def __reduce_ex__(self, protocol, /):
        raise TypeError("HmacSha256 holds a key: it cannot be pickled or copied")


init_core()
