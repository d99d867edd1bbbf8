from libc.stdint cimport uint8_t


cdef extern from "hft/hmac.h" nogil:
    ctypedef struct hft_hmac_key:
        pass

    ctypedef struct hft_hmac_stem:
        pass

    void hft_hmac_key_init(hft_hmac_key *key, const void *secret, size_t secret_len)
    void hft_hmac_digest(uint8_t *out, const hft_hmac_key *key, const void *msg, size_t len)
    void hft_hmac_stem_init(hft_hmac_stem *stem, const hft_hmac_key *key, const void *text, size_t len)
    void hft_hmac_stem_digest(uint8_t *out, const hft_hmac_key *key, const hft_hmac_stem *stem,
                              const void *tail, size_t tail_len)
    void hft_hmac_many(uint8_t *out, const hft_hmac_key *key, const void *const *msg, const size_t *len, size_t n)
    int hft_equal_ct(const void *a, const void *b, size_t len)
    void hft_wipe(void *p, size_t len)
