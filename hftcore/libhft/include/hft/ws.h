/* WebSocket frames (RFC 6455 section 5) over bytes: no sockets, no allocation. Pull: feed bytes, take events.
 *
 * The parser works in place on the caller's receive buffer and returns views into it. Only fragments, and frames longer
 * than the caller wants to wait for, are copied, as they arrive, into a buffer the caller gives. Text is checked to be
 * UTF-8 as it arrives: a fault is reported at its first byte, however long the message is going to be, and no byte is
 * looked at twice. A parser that failed stays failed. */
#ifndef HFT_WS_H
#define HFT_WS_H

#include "hft/status.h"
#include "hft/text.h"

#define HFT_WS_HEADER_MAX 14

typedef enum {
    HFT_WS_OP_CONTINUATION = 0, HFT_WS_OP_TEXT = 1, HFT_WS_OP_BINARY = 2,
    HFT_WS_OP_CLOSE = 8, HFT_WS_OP_PING = 9, HFT_WS_OP_PONG = 10,
} hft_ws_op;

typedef enum { HFT_WS_CLIENT = 0, HFT_WS_SERVER = 1 } hft_ws_role; /* whose side the parser is on */

/* A whole message (TEXT, BINARY) or control frame (CLOSE, PING, PONG). */
typedef struct {
    uint8_t op;              /* hft_ws_op, never CONTINUATION */
    uint8_t compressed;      /* data is as RFC 7692 section 7.2.1 leaves it; of TEXT not checked to be UTF-8 */
    uint16_t close_code;     /* CLOSE: the code, 1005 if the frame had none */
    const uint8_t *data;     /* payload, unmasked; CLOSE: the reason behind the code */
    size_t len;
} hft_ws_event;

typedef struct {
    uint8_t role;         /* hft_ws_role */
    uint8_t deflate;      /* the caller's, 0 after init: 1 = permessage-deflate was agreed, and RSV1 is lawful */
    uint8_t op;           /* opcode of the message under assembly, 0 = none */
    uint8_t compressed;   /* it is */
    hft_utf8_stream utf8; /* where its text stands */
    size_t ready;         /* payload bytes of the frame waited for that are unmasked and checked */
    size_t left;          /* payload bytes, still to come, of the frame that is taken in pieces */
    uint8_t last;         /* its FIN */
    uint8_t mask[4];      /* its mask, turned to what comes next */
    uint8_t *message;     /* caller's buffer for what is taken in pieces */
    size_t message_len, message_cap;
    size_t message_max;   /* limit on any message */
    size_t inplace_max;   /* longest frame that is waited for */
    int failed;           /* the status that ended it, 0 = none */
    hft_err err;          /* pos: of the fault, from data[0] of the call that found it */
} hft_ws_parser;

/* inplace_max: a message in one frame, header and payload at most this many bytes, is waited for in the caller's
 * buffer, which has to hold it, and given without a copy. The payload of longer frames, and of fragments, is taken in
 * pieces. SIZE_MAX = only fragments are. `buf` is where they are put together: cap bytes (NULL and 0: they are
 * HFT_E_WS_TOO_LARGE), the caller's, and it outlives the parser. */
void hft_ws_parser_init(hft_ws_parser *parser, hft_ws_role role, void *buf, size_t cap, size_t message_max,
                        size_t inplace_max);

/* Takes a frame, or a piece of one, from data[0..len). Returns 1: *event is ready; 0: more bytes are needed, or a piece
 * was taken; < 0: HFT_E_WS_* (fail the connection with hft_ws_close_code). *used is how many bytes were consumed, and
 * may be > 0 unless it failed: call again with the rest until it returns 0 with *used == 0. Those bytes stand in front
 * of what arrives later, and are as the parser left them: a masked payload (server side) is unmasked in place.
 * The event's view lives until data is overwritten or, for an assembled message, until the next call.
 * What follows a CLOSE is parsed like anything else: not to read on after it (section 1.4) is up to the caller. */
HFT_NODISCARD int hft_ws_parser_next(hft_ws_parser *parser, hft_ws_event *event, size_t *used, uint8_t *data,
                                     size_t len);

/* The close code that answers an HFT_E_WS_* status (1002, 1007 or 1009), RFC 6455 section 7.4.1. */
uint16_t hft_ws_close_code(int status);

#define HFT_WS_FLAG_MORE 1u       /* fragments follow: FIN is clear */
#define HFT_WS_FLAG_COMPRESSED 2u /* of the message's first frame: RSV1 is set */

/* Header length of a frame with this payload: 2, 4 or 10, and 4 more if masked. */
size_t hft_ws_header_size(size_t payload_len, int masked);
/* Writes a frame header; flags: HFT_WS_FLAG_*; mask NULL = unmasked. Returns its length. */
size_t hft_ws_put_header(uint8_t *out, hft_ws_op op, unsigned flags, size_t payload_len, const uint8_t mask[4]);
/* XORs data with the mask, in place, starting at mask byte 0. */
void hft_ws_mask(uint8_t *data, size_t len, const uint8_t mask[4]);
/* The same for a payload in pieces: out = data XOR mask, where data[0] is the payload's byte `offset`. out may be data,
 * but not overlap it otherwise. */
void hft_ws_mask_from(uint8_t *out, const uint8_t *data, size_t len, const uint8_t mask[4], size_t offset);
/* A whole frame: header and (masked) copy of the payload, which must not overlap out. Returns its length. TEXT is not
 * checked to be UTF-8. Errors: HFT_E_CAPACITY; HFT_E_WS_OPCODE (reserved, or CONTINUATION), _CONTROL (over 125 bytes),
 * _CLOSE_CODE and _UTF8 (of a CLOSE payload). */
HFT_NODISCARD int hft_ws_build_frame(uint8_t *out, size_t cap, hft_ws_op op, const void *payload, size_t len,
                                     const uint8_t mask[4]);

#endif
