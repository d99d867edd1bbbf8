from libc.stdint cimport uint8_t


cdef extern from "hft/hmac.h" nogil:
    ctypedef struct hft_hmac_key:
        pass

    void hft_hmac_key_init(hft_hmac_key *key, const void *secret, size_t secret_len)
    void hft_hmac_digest(uint8_t *out, const hft_hmac_key *key, const void *msg, size_t len)
    int hft_equal_ct(const void *a, const void *b, size_t len)
    void hft_wipe(void *p, size_t len)
