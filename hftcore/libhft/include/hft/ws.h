/* WebSocket frames (RFC 6455 section 5) over bytes: no sockets, no allocation. Pull: feed bytes, take events.
 *
 * The parser works in place on the caller's receive buffer and returns views into it. Only the pieces of a
 * fragmented message are copied, into a buffer the caller gives. A parser that failed stays failed. */
#ifndef HFT_WS_H
#define HFT_WS_H

#include "hft/status.h"

#define HFT_WS_HEADER_MAX 14

typedef enum {
    HFT_WS_OP_CONTINUATION = 0, HFT_WS_OP_TEXT = 1, HFT_WS_OP_BINARY = 2,
    HFT_WS_OP_CLOSE = 8, HFT_WS_OP_PING = 9, HFT_WS_OP_PONG = 10,
} hft_ws_op;

typedef enum { HFT_WS_CLIENT = 0, HFT_WS_SERVER = 1 } hft_ws_role; /* whose side the parser is on */

/* A whole message (TEXT, BINARY) or control frame (CLOSE, PING, PONG). */
typedef struct {
    uint8_t op;              /* hft_ws_op, never CONTINUATION */
    uint16_t close_code;     /* CLOSE: the code, 1005 if the frame had none */
    const uint8_t *data;     /* payload, unmasked; CLOSE: the reason behind the code */
    size_t len;
} hft_ws_event;

typedef struct {
    uint8_t role;        /* hft_ws_role */
    uint8_t op;          /* opcode of the message under assembly, 0 = none */
    uint8_t *message;    /* caller's buffer for fragmented messages */
    size_t message_len, message_cap;
    size_t message_max;  /* limit on any message, fragmented or not */
    int failed;          /* the status that ended it, 0 = none */
    hft_err err;
} hft_ws_parser;

/* `buf` (cap bytes; NULL and 0: fragments are then HFT_E_WS_TOO_LARGE) is the caller's and outlives the parser. */
void hft_ws_parser_init(hft_ws_parser *parser, hft_ws_role role, void *buf, size_t cap, size_t message_max);

/* Takes one frame from data[0..len). Returns 1: *event is ready; 0: more bytes are needed, or a fragment was
 * taken; < 0: HFT_E_WS_* (fail the connection with hft_ws_close_code). *used is how many bytes were consumed, and
 * may be > 0 in each case: call again with the rest until it returns 0 with *used == 0.
 * The event's view lives until data is overwritten or, for an assembled message, until the next call.
 * A masked payload (server side) is unmasked in place. What follows a CLOSE is parsed like anything else: that nothing
 * is read after it (section 1.4) is up to the caller. */
HFT_NODISCARD int hft_ws_parser_next(hft_ws_parser *parser, hft_ws_event *event, size_t *used, uint8_t *data,
                                     size_t len);

/* The close code that answers an HFT_E_WS_* status (1002, 1007 or 1009), RFC 6455 section 7.4.1. */
uint16_t hft_ws_close_code(int status);

/* Header length of a frame with this payload: 2, 4 or 10, and 4 more if masked. */
size_t hft_ws_header_size(size_t payload_len, int masked);
/* Writes a frame header with FIN set; mask NULL = unmasked. Returns its length. */
size_t hft_ws_put_header(uint8_t *out, hft_ws_op op, size_t payload_len, const uint8_t mask[4]);
/* XORs data with the mask, in place, starting at mask byte 0. */
void hft_ws_mask(uint8_t *data, size_t len, const uint8_t mask[4]);
/* A whole frame: header and (masked) copy of the payload, which must not overlap out. Returns its length. TEXT is not
 * checked to be UTF-8. Errors: HFT_E_CAPACITY; HFT_E_WS_OPCODE (reserved, or CONTINUATION), _CONTROL (over 125 bytes),
 * _CLOSE_CODE and _UTF8 (of a CLOSE payload). */
HFT_NODISCARD int hft_ws_build_frame(uint8_t *out, size_t cap, hft_ws_op op, const void *payload, size_t len,
                                     const uint8_t mask[4]);

#endif
