from libc.stdint cimport uint8_t, uint16_t

from hftcore.libhft.status cimport hft_err


cdef extern from "hft/ws.h" nogil:
    enum:
        HFT_WS_HEADER_MAX
        HFT_WS_FLAG_MORE
        HFT_WS_FLAG_COMPRESSED

    ctypedef enum hft_ws_op:
        HFT_WS_OP_CONTINUATION
        HFT_WS_OP_TEXT
        HFT_WS_OP_BINARY
        HFT_WS_OP_CLOSE
        HFT_WS_OP_PING
        HFT_WS_OP_PONG

    ctypedef enum hft_ws_role:
        HFT_WS_CLIENT
        HFT_WS_SERVER

    ctypedef struct hft_ws_event:
        uint8_t op
        uint8_t compressed
        uint16_t close_code
        const uint8_t *data
        size_t len

    ctypedef struct hft_ws_parser:
        uint8_t deflate
        int failed
        hft_err err

    void hft_ws_parser_init(hft_ws_parser *parser, hft_ws_role role, void *buf, size_t cap, size_t message_max,
                            size_t inplace_max)
    int hft_ws_parser_next(hft_ws_parser *parser, hft_ws_event *event, size_t *used, uint8_t *data, size_t len)
    uint16_t hft_ws_close_code(int status)
    size_t hft_ws_header_size(size_t payload_len, int masked)
    size_t hft_ws_put_header(uint8_t *out, hft_ws_op op, unsigned int flags, size_t payload_len, const uint8_t *mask)
    void hft_ws_mask(uint8_t *data, size_t len, const uint8_t *mask)
    void hft_ws_mask_from(uint8_t *out, const uint8_t *data, size_t len, const uint8_t *mask, size_t offset)
    int hft_ws_build_frame(uint8_t *out, size_t cap, hft_ws_op op, const void *payload, size_t len, const uint8_t *mask)
