from libc.stdint cimport uint8_t


cdef extern from "hft/sha256.h" nogil:
    void hft_sha256_digest(uint8_t *out, const void *data, size_t len)
    void hft_sha256d_digest(uint8_t *out, const void *data, size_t len)
    void hft_sha256d_digest2(uint8_t *out_a, const void *a, size_t a_len,
                             uint8_t *out_b, const void *b, size_t b_len)
