from libc.stdint cimport uint8_t


cdef extern from "hft/ripemd160.h" nogil:
    void hft_ripemd160_digest(uint8_t *out, const void *data, size_t len)
    void hft_hash160(uint8_t *out, const void *data, size_t len)
