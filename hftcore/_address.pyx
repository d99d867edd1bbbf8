"""The address codec of the core; hftcore.addresses puts its refusals into words."""

import cython

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

from hftcore._status cimport check, init_core
from hftcore.libhft.address cimport (
    HFT_ADDRESS_MAX,
    HFT_ADDRESS_SCRIPT_MAX,
    hft_address_decode,
    hft_address_encode,
    hft_address_fault,
    hft_address_net,
    hft_base58_decode,
    hft_base58_encode,
    hft_bech32,
    hft_bech32_decode,
    hft_bech32_encode,
)

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    object PyUnicode_FromStringAndSize(const char *text, Py_ssize_t size)

cdef enum:
    BASE58_MAX = 1024  # bytes or characters of the plain encoding, whose time grows with the square

init_core()


class Refused(Exception):
    """(status, why, pos, value) of an address that is refused; see hft/address.h for the last three."""


cdef str as_ascii(str text):
    """One character for each: what is not ASCII becomes one that no encoding has."""
    return text if text.isascii() else "".join([char if char < "\x80" else "\x7f" for char in text])


cdef object refused(int rc, const hft_address_fault *fault):
    return Refused(rc, fault.why, fault.pos, fault.value)


@cython.final
cdef class AddressNet:
    """What tells a network's addresses from another's."""

    cdef hft_address_net net

    def __cinit__(self, str hrp, int p2pkh_version, int p2sh_version):
        cdef bytes prefix = hrp.encode("ascii")
        if not 0 < len(prefix) <= 8:
            raise ValueError(f"prefix {hrp!r}: 1 to 8 characters")
        memset(&self.net, 0, sizeof(self.net))
        memcpy(self.net.hrp, PyBytes_AS_STRING(prefix), <size_t>PyBytes_GET_SIZE(prefix))
        self.net.hrp_len = <uint8_t>PyBytes_GET_SIZE(prefix)
        self.net.p2pkh_version = p2pkh_version
        self.net.p2sh_version = p2sh_version

    def decode(self, str text not None):
        """The scriptPubKey of an address; raises Refused."""
        cdef uint8_t script[HFT_ADDRESS_SCRIPT_MAX]
        cdef hft_address_fault fault
        cdef Py_ssize_t size
        cdef str plain = as_ascii(text)
        cdef const char *data = PyUnicode_AsUTF8AndSize(plain, &size)
        cdef int rc = hft_address_decode(script, &fault, &self.net, data, <size_t>size)
        if rc < 0:
            raise refused(rc, &fault)
        return PyBytes_FromStringAndSize(<const char *>script, rc)

    def encode(self, bytes script not None):
        """The address of a scriptPubKey, or None if its type has none."""
        cdef char text[HFT_ADDRESS_MAX]
        cdef int size = hft_address_encode(text, &self.net, <const uint8_t *>PyBytes_AS_STRING(script),
                                           <size_t>PyBytes_GET_SIZE(script))
        return PyUnicode_FromStringAndSize(text, size) if size > 0 else None


def base58_encode(bytes data not None):
    """Base58 without a checksum."""
    cdef char text[BASE58_MAX]
    cdef int size = check(hft_base58_encode(text, sizeof(text), <const uint8_t *>PyBytes_AS_STRING(data),
                                            <size_t>PyBytes_GET_SIZE(data)), "base58")
    return PyUnicode_FromStringAndSize(text, size)


def base58_decode(str text not None):
    """The inverse; raises Refused."""
    cdef uint8_t data[BASE58_MAX]
    cdef hft_address_fault fault
    cdef Py_ssize_t size
    cdef str plain = as_ascii(text)
    cdef const char *chars = PyUnicode_AsUTF8AndSize(plain, &size)
    fault.why = 0
    cdef int rc = hft_base58_decode(data, sizeof(data), &fault, chars, <size_t>size)
    if rc < 0 and fault.why != 0:
        raise refused(rc, &fault)
    return PyBytes_FromStringAndSize(<const char *>data, check(rc, "base58"))


def bech32_decode(str text not None):
    """(prefix, 5-bit values, whether it is bech32m); raises Refused."""
    cdef hft_bech32 parts
    cdef hft_address_fault fault
    cdef Py_ssize_t size
    cdef str plain = as_ascii(text)
    cdef const char *chars = PyUnicode_AsUTF8AndSize(plain, &size)
    cdef int rc = hft_bech32_decode(&parts, &fault, chars, <size_t>size)
    if rc < 0:
        raise refused(rc, &fault)
    return (
        text[:parts.hrp_len].lower(),
        PyBytes_FromStringAndSize(<const char *>parts.values, parts.n_values),
        bool(parts.is_bech32m),
    )


def bech32_encode(str hrp not None, bytes values not None, bint is_bech32m):
    """The text of a prefix in lower case and 5-bit values."""
    cdef char text[HFT_ADDRESS_MAX]
    cdef bytes prefix = hrp.encode("ascii")
    cdef int size = check(hft_bech32_encode(text, PyBytes_AS_STRING(prefix), <size_t>PyBytes_GET_SIZE(prefix),
                                            <const uint8_t *>PyBytes_AS_STRING(values),
                                            <size_t>PyBytes_GET_SIZE(values), is_bech32m), "bech32")
    return PyUnicode_FromStringAndSize(text, size)
