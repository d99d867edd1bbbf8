from hftcore.libhft.status cimport hft_err


cdef extern from "hft/http1.h" nogil:
    enum:
        HFT_HTTP1_HEAD_MAX
        HFT_HTTP1_KEY_LEN
        HFT_HTTP1_ACCEPT_LEN

    ctypedef struct hft_http1_upgrade:
        const char *host
        size_t host_len
        const char *target
        size_t target_len
        const char *key
        const char *headers
        size_t headers_len

    int hft_http1_build_upgrade(char *out, size_t cap, const hft_http1_upgrade *request)
    int hft_http1_parse_upgrade(int *status, const char *buf, size_t len, const char *accept, hft_err *err)
