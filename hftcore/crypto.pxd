cimport cython

from hftcore.libhft.hmac cimport hft_hmac_key


@cython.final
cdef class HmacSha256:
    cdef hft_hmac_key key
    cdef bytes mac(self, object msg)
