from libc.stdint cimport uint8_t


cdef extern from "hft/sha256.h" nogil:
    void hft_sha256_digest(uint8_t *out, const void *data, size_t len)
    void hft_sha256d_digest(uint8_t *out, const void *data, size_t len)
    void hft_sha256d_digest2(uint8_t *out_a, const void *a, size_t a_len,
                             uint8_t *out_b, const void *b, size_t b_len)
    void hft_sha256_many(uint8_t *out, const void *const *data, const size_t *len, size_t n)
    void hft_sha256d_many(uint8_t *out, const void *const *data, const size_t *len, size_t n)
    void hft_sha256_items(uint8_t *out, const void *data, size_t item_size, size_t n)
    void hft_sha256d_items(uint8_t *out, const void *data, size_t item_size, size_t n)
    int hft_merkle_root(uint8_t *out, uint8_t *level, size_t n)
