cimport cython
from libc.stdint cimport uint8_t

from hftcore.libhft.hmac cimport hft_hmac_key, hft_hmac_stem
from hftcore.libhft.hmac512 cimport hft_hmac512


cdef class Mac:
    cdef readonly unsigned int digest_size
    # Writes the digest_size bytes of msg's MAC.
    cdef int put(self, uint8_t *out, object msg) except -1


@cython.final
cdef class HmacSha256(Mac):
    cdef hft_hmac_key key


@cython.final
cdef class HmacSha256Prefix(Mac):
    cdef hft_hmac_key key
    cdef hft_hmac_stem stem


@cython.final
cdef class HmacSha512(Mac):
    cdef hft_hmac512 state
