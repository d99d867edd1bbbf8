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
        const char *subprotocols
        size_t subprotocols_len
        const char *extensions
        size_t extensions_len

    ctypedef struct hft_http1_response:
        int status
        size_t head_len
        size_t body_len
        const char *subprotocol
        size_t subprotocol_len
        const char *extensions
        size_t extensions_len

    int hft_http1_build_upgrade(char *out, size_t cap, const hft_http1_upgrade *request)
    int hft_http1_parse_upgrade(hft_http1_response *response, const char *buf, size_t len,
                                const hft_http1_upgrade *request, const char *accept, hft_err *err)

    ctypedef struct hft_http1_request:
        const char *target
        size_t target_len
        const char *host
        size_t host_len
        const char *key
        const char *subprotocols
        size_t subprotocols_len
        const char *extensions
        size_t extensions_len

    ctypedef struct hft_http1_answer:
        const char *accept
        const char *subprotocol
        size_t subprotocol_len
        const char *extensions
        size_t extensions_len

    int hft_http1_parse_request(hft_http1_request *request, const char *buf, size_t len, hft_err *err)
    int hft_http1_build_response(char *out, size_t cap, const hft_http1_answer *answer)
