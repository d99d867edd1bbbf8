#include "hft/ws.h"

#include <limits.h>

#include "hft/endian.h"
#include "hft/text.h"
#include "text_kernels.h"

enum { FIN = 0x80, RSV1 = 0x40, RESERVED = 0x70, OPCODE = 0x0f, MASKED = 0x80, LENGTH = 0x7f };
enum { LENGTH_16 = 126, LENGTH_64 = 127, CONTROL_MAX = 125, NO_CLOSE_CODE = 1005 };

/* A decoded frame header. */
typedef struct {
    uint8_t op, fin, compressed, masked, in_place;
    uint8_t mask[4];
    size_t len; /* of the header */
    uint64_t payload_len;
} header;

static int is_control(uint8_t op) { return (op & 8) != 0; }

static int is_opcode(unsigned op) { return op <= HFT_WS_OP_BINARY || (op >= HFT_WS_OP_CLOSE && op <= HFT_WS_OP_PONG); }

/* Codes an endpoint may send (RFC 6455 section 7.4 and the IANA registry). */
static int is_close_code(unsigned code) {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

/* ---- mask ---- */

void hft_ws_mask(uint8_t *data, size_t len, const uint8_t mask[4]) { hft_text_mask(data, data, len, mask); }

static void turn_mask(uint8_t turned[4], const uint8_t mask[4], size_t n) {
    hft_store_le32(turned, hft_text_turn_mask(hft_load_le32(mask), n));
}

void hft_ws_mask_from(uint8_t *out, const uint8_t *data, size_t len, const uint8_t mask[4], size_t offset) {
    uint8_t turned[4];
    turn_mask(turned, mask, offset);
    hft_text_mask(out, data, len, turned);
}

/* ---- parser ---- */

void hft_ws_parser_init(hft_ws_parser *parser, hft_ws_role role, void *buf, size_t cap, size_t message_max,
                        size_t inplace_max) {
    memset(parser, 0, sizeof *parser);
    parser->role = (uint8_t)role;
    parser->message = buf;
    parser->message_cap = buf != NULL ? cap : 0;
    parser->message_max = message_max;
    parser->inplace_max = inplace_max;
}

static int fail(hft_ws_parser *parser, int status, size_t pos) {
    parser->failed = hft_fail(&parser->err, status, pos, NULL);
    return status;
}

/* Checks what the first byte alone decides. */
static int check_first(const hft_ws_parser *parser, uint8_t byte) {
    uint8_t op = byte & OPCODE;
    int compressed = (byte & RESERVED) == RSV1 && parser->deflate && (op == HFT_WS_OP_TEXT || op == HFT_WS_OP_BINARY);
    if ((byte & RESERVED) != 0 && !compressed) return HFT_E_WS_RESERVED;
    if (!is_opcode(op)) return HFT_E_WS_OPCODE;
    if (is_control(op)) return (byte & FIN) != 0 ? 0 : HFT_E_WS_CONTROL;
    if ((op == HFT_WS_OP_CONTINUATION) != (parser->op != 0)) return HFT_E_WS_CONTINUATION;
    return 0;
}

static int check_second(const hft_ws_parser *parser, uint8_t op, uint8_t byte) {
    if (((byte & MASKED) != 0) != (parser->role == HFT_WS_SERVER)) return HFT_E_WS_MASK; /* section 5.1 */
    return is_control(op) && (byte & LENGTH) > CONTROL_MAX ? HFT_E_WS_CONTROL : 0;
}

/* Reads the length field into *h; data holds it. */
static int read_length(header *h, const uint8_t *data) {
    uint8_t code = data[1] & LENGTH;
    h->payload_len = code;
    if (code == LENGTH_16) {
        h->payload_len = hft_load_be16(data + 2);
        return h->payload_len < LENGTH_16 ? HFT_E_WS_LENGTH : 0;
    }
    if (code == LENGTH_64) {
        h->payload_len = hft_load_be64(data + 2);
        return h->payload_len <= UINT16_MAX || h->payload_len > INT64_MAX ? HFT_E_WS_LENGTH : 0;
    }
    return 0;
}

/* Decides who holds the payload, and whether it has room. */
static int check_size(const hft_ws_parser *parser, header *h) {
    if (is_control(h->op)) return 0;
    h->in_place = h->fin && parser->op == 0 && h->len + h->payload_len <= parser->inplace_max;
    size_t max = h->in_place || parser->message_max < parser->message_cap ? parser->message_max : parser->message_cap;
    return parser->message_len > max || h->payload_len > max - parser->message_len ? HFT_E_WS_TOO_LARGE : 0;
}

/* Returns 1 = header complete and lawful, 0 = more bytes needed, < 0 = failed. Errors come in the order of the bytes,
 * so they do not depend on how the input was split. */
static int read_header(hft_ws_parser *parser, header *h, const uint8_t *data, size_t len) {
    if (len == 0) return 0;
    int rc = check_first(parser, data[0]);
    if (rc < 0) return fail(parser, rc, 0);
    if (len == 1) return 0;
    h->fin = (data[0] & FIN) != 0;
    h->op = data[0] & OPCODE;
    h->compressed = (data[0] & RSV1) != 0;
    h->masked = (data[1] & MASKED) != 0;
    rc = check_second(parser, h->op, data[1]);
    if (rc < 0) return fail(parser, rc, 1);
    uint8_t code = data[1] & LENGTH;
    size_t length_end = code == LENGTH_64 ? 10 : code == LENGTH_16 ? 4 : 2;
    if (len < length_end) return 0;
    h->len = length_end + (h->masked ? 4 : 0);
    rc = read_length(h, data);
    if (rc == 0) rc = check_size(parser, h);
    if (rc < 0) return fail(parser, rc, code < LENGTH_16 ? 1 : 2);
    if (len < h->len) return 0;
    if (h->masked) memcpy(h->mask, data + length_end, 4);
    return 1;
}

/* The body of a close frame: nothing, or a code and a reason (section 5.5.1). */
static int read_close(uint16_t *code, const uint8_t *payload, size_t len) {
    *code = NO_CLOSE_CODE;
    if (len == 0) return 0;
    if (len == 1) return HFT_E_WS_CLOSE_CODE;
    *code = hft_load_be16(payload);
    if (!is_close_code(*code)) return HFT_E_WS_CLOSE_CODE;
    return hft_utf8_valid(payload + 2, len - 2) ? 0 : HFT_E_WS_UTF8;
}

static int take_control(hft_ws_parser *parser, hft_ws_event *event, const header *h, uint8_t *payload) {
    size_t len = (size_t)h->payload_len, skip = 0;
    if (h->masked) hft_ws_mask(payload, len, h->mask);
    *event = (hft_ws_event){.op = h->op};
    if (h->op == HFT_WS_OP_CLOSE) {
        int rc = read_close(&event->close_code, payload, len);
        if (rc < 0) return fail(parser, rc, h->len);
        skip = len != 0 ? 2 : 0;
    }
    event->data = payload + skip;
    event->len = len - skip;
    return 1;
}

/* The text's next bytes, which begin at `pos` of this call's input; at its end no character may be cut short. */
static int check_text(hft_ws_parser *parser, const uint8_t *text, size_t len, size_t pos, int at_end) {
    if (at_end && parser->utf8.due == 0 && hft_utf8_valid(text, len)) return 0;
    size_t good = hft_utf8_feed(&parser->utf8, text, len);
    return good < len || (at_end && parser->utf8.due != 0) ? fail(parser, HFT_E_WS_UTF8, pos + good) : 0;
}

/* A message in one frame, of whose payload `have` bytes are there. */
static int take_in_place(hft_ws_parser *parser, hft_ws_event *event, const header *h, uint8_t *payload, size_t have) {
    size_t len = (size_t)h->payload_len, from = parser->ready;
    if (have < from) return 0; /* the caller took bytes back */
    if (h->masked) hft_ws_mask_from(payload + from, payload + from, have - from, h->mask, from);
    if (h->op == HFT_WS_OP_TEXT && !h->compressed) {
        int rc = check_text(parser, payload + from, have - from, h->len + from, have == len);
        if (rc < 0) return rc;
    }
    parser->ready = have < len ? have : 0;
    if (have < len) return 0;
    *event = (hft_ws_event){.op = h->op, .compressed = h->compressed, .data = payload, .len = len};
    return 1;
}

/* What is there of a frame that is put together in the message buffer; it begins at `pos` of this call's input. */
static int take_piece(hft_ws_parser *parser, hft_ws_event *event, size_t *used, const uint8_t *data, size_t len,
                      size_t pos) {
    uint8_t *to = parser->message + parser->message_len;
    size_t n = len < parser->left ? len : parser->left;
    parser->left -= n;
    int at_end = parser->last && parser->left == 0;
    if (n != 0 && parser->role == HFT_WS_SERVER) {
        hft_text_mask(to, data, n, parser->mask);
        turn_mask(parser->mask, parser->mask, n);
    } else if (n != 0) {
        memcpy(to, data, n);
    }
    if (parser->op == HFT_WS_OP_TEXT && !parser->compressed) {
        int rc = check_text(parser, to, n, pos, at_end);
        if (rc < 0) return rc;
    }
    *used = pos + n;
    parser->message_len += n;
    if (!at_end) return 0;
    *event = (hft_ws_event){
        .op = parser->op, .compressed = parser->compressed, .data = parser->message, .len = parser->message_len};
    parser->op = 0;
    parser->message_len = 0;
    return 1;
}

static void begin_pieces(hft_ws_parser *parser, const header *h) {
    if (h->op != HFT_WS_OP_CONTINUATION) {
        parser->op = h->op;
        parser->compressed = h->compressed;
    }
    parser->last = h->fin;
    parser->left = (size_t)h->payload_len;
    if (h->masked) memcpy(parser->mask, h->mask, 4);
}

int hft_ws_parser_next(hft_ws_parser *parser, hft_ws_event *event, size_t *used, uint8_t *data, size_t len) {
    *used = 0;
    if (parser->failed != 0) return parser->failed;
    if (parser->left != 0) return take_piece(parser, event, used, data, len, 0);
    header h;
    int rc = read_header(parser, &h, data, len);
    if (rc <= 0) return rc;
    size_t have = len - h.len;
    if (have >= h.payload_len) have = (size_t)h.payload_len;
    if (is_control(h.op)) {
        rc = have == h.payload_len ? take_control(parser, event, &h, data + h.len) : 0;
    } else if (h.in_place || (have == h.payload_len && h.fin && parser->op == 0)) {
        rc = take_in_place(parser, event, &h, data + h.len, have);
    } else {
        begin_pieces(parser, &h);
        return take_piece(parser, event, used, data + h.len, have, h.len);
    }
    if (rc == 1) *used = h.len + have;
    return rc;
}

uint16_t hft_ws_close_code(int status) {
    if (status == HFT_E_WS_UTF8) return 1007;
    return status == HFT_E_WS_TOO_LARGE ? 1009 : 1002;
}

/* ---- builder ---- */

size_t hft_ws_header_size(size_t payload_len, int masked) {
    size_t size = payload_len < LENGTH_16 ? 2 : payload_len <= UINT16_MAX ? 4 : 10;
    return size + (masked ? 4 : 0);
}

size_t hft_ws_put_header(uint8_t *out, hft_ws_op op, unsigned flags, size_t payload_len, const uint8_t mask[4]) {
    uint8_t masked = mask != NULL ? MASKED : 0;
    size_t len = 2;
    out[0] = (uint8_t)((flags & HFT_WS_FLAG_MORE ? 0 : FIN) | (flags & HFT_WS_FLAG_COMPRESSED ? RSV1 : 0) | op);
    if (payload_len < LENGTH_16) {
        out[1] = (uint8_t)(masked | payload_len);
    } else if (payload_len <= UINT16_MAX) {
        out[1] = masked | LENGTH_16;
        hft_store_be16(out + 2, (uint16_t)payload_len);
        len = 4;
    } else {
        out[1] = masked | LENGTH_64;
        hft_store_be64(out + 2, payload_len);
        len = 10;
    }
    if (mask == NULL) return len;
    memcpy(out + len, mask, 4);
    return len + 4;
}

int hft_ws_build_frame(uint8_t *out, size_t cap, hft_ws_op op, const void *payload, size_t len, const uint8_t mask[4]) {
    if (op == HFT_WS_OP_CONTINUATION || !is_opcode(op)) return HFT_E_WS_OPCODE;
    if (is_control((uint8_t)op) && len > CONTROL_MAX) return HFT_E_WS_CONTROL;
    if (op == HFT_WS_OP_CLOSE) {
        uint16_t code;
        int rc = read_close(&code, payload, len);
        if (rc < 0) return rc;
    }
    size_t header_len = hft_ws_header_size(len, mask != NULL);
    if (len > INT_MAX - HFT_WS_HEADER_MAX || cap < header_len + len) return HFT_E_CAPACITY;
    hft_ws_put_header(out, op, 0, len, mask);
    if (mask != NULL)
        hft_text_mask(out + header_len, payload, len, mask);
    else if (len != 0)
        memcpy(out + header_len, payload, len);
    return (int)(header_len + len);
}
