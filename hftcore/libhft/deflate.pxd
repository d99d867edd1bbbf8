from libc.stdint cimport uint8_t

from hftcore.libhft.status cimport hft_err
from hftcore.libhft.ws cimport hft_ws_role


cdef extern from "hft/deflate.h" nogil:
    enum:
        HFT_DEFLATE_VALUE_MAX

    ctypedef struct hft_deflate_params:
        uint8_t client_no_context_takeover
        uint8_t server_no_context_takeover
        uint8_t client_max_window_bits
        uint8_t server_max_window_bits

    int hft_deflate_offer(char *out, size_t cap, const hft_deflate_params *wanted)
    int hft_deflate_agree(hft_deflate_params *agreed, const hft_deflate_params *offered, const char *value, size_t len,
                          hft_err *err)
    int hft_deflate_answer(char *out, size_t cap, hft_deflate_params *agreed, const hft_deflate_params *own,
                           const char *offers, size_t len)

    ctypedef struct hft_deflate:
        pass

    int hft_deflate_open(hft_deflate **deflate, const hft_deflate_params *agreed, hft_ws_role role, int level,
                         hft_err *err)
    void hft_deflate_close(hft_deflate *deflate)
    size_t hft_deflate_size(const hft_deflate *deflate)
    int hft_deflate_decompress(hft_deflate *deflate, uint8_t *out, size_t cap, size_t *out_len, const uint8_t *data,
                               size_t len)
    int hft_deflate_compress(hft_deflate *deflate, uint8_t *out, size_t cap, size_t *out_len, const uint8_t *data,
                             size_t len)
    size_t hft_deflate_bound(hft_deflate *deflate, size_t len)
