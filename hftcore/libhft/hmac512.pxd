from libc.stdint cimport uint8_t


cdef extern from "hft/hmac512.h" nogil:
    enum:
        HFT_HMAC512_LEN

    ctypedef struct hft_hmac512:
        pass

    int hft_hmac512_open(hft_hmac512 *mac, const void *secret, size_t secret_len)
    void hft_hmac512_close(hft_hmac512 *mac)
    int hft_hmac512_digest(uint8_t *out, const hft_hmac512 *mac, const void *msg, size_t len)
