#include "hft/wsclient.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "hft/endian.h"
#include "hft/text.h"

#define CONTROL_ROOM 1024 /* of the send buffer is left to control frames: pongs and the close frame find a place */
#define REASON_MAX 123
#define CLOSE_ROOM 512    /* and of that to the close frame, with TLS's part in it: pings may come in any number */

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 section 1.3 */

/* ---- masks ---- */

void hft_wsclient_masks_init(hft_wsclient_masks *masks) {
    masks->pos = HFT_WSCLIENT_MASKS;
    hft_wsclient_masks_refill(masks);
}

void hft_wsclient_masks_refill(hft_wsclient_masks *masks) {
    if (masks->pos < HFT_WSCLIENT_MASKS / 2) return;
    if (RAND_bytes(masks->bytes, sizeof masks->bytes) == 1) masks->pos = 0;
}

static const uint8_t *take_mask(hft_wsclient_masks *masks) {
    if (masks->pos == HFT_WSCLIENT_MASKS) hft_wsclient_masks_refill(masks);
    if (masks->pos == HFT_WSCLIENT_MASKS) return NULL;
    masks->pos += 4;
    return masks->bytes + masks->pos - 4;
}

/* ---- life ---- */

void hft_wsclient_init(hft_wsclient *ws, const hft_wsclient_config *config) {
    ws->config = *config;
    ws->deflate = NULL;
    hft_wsclient_down(ws);
}

void hft_wsclient_down(hft_wsclient *ws) {
    hft_deflate_close(ws->deflate);
    ws->deflate = NULL;
    ws->state = HFT_WSCLIENT_DOWN;
    ws->clean = 0;
    ws->close_code = 1006; /* section 7.1.5 */
    ws->reason_len = 0;
    ws->http_status = 0;
    ws->consumed = 0;
    ws->last_ping_ns = 0;
    ws->pings_sent = ws->pings_answered = 0;
    ws->owes_pong = 0;
    ws->err = (hft_err){0};
}

/* The connection ends now. */
static int fail(hft_wsclient *ws, int code, const char *text) {
    hft_conn_close(&ws->conn, code, text);
    return code;
}

/* All is said: the connection ends as soon as the peer ends it, or now. */
static int finish(hft_wsclient *ws, int code, const char *text) {
    ws->state = HFT_WSCLIENT_OVER;
    (void)hft_fail(&ws->err, code, 0, text);
    return ws->config.lingers ? code : fail(ws, code, text);
}

/* ---- upgrade ---- */

static int make_key(hft_wsclient *ws) {
    uint8_t nonce[16], digest[EVP_MAX_MD_SIZE];
    char text[HFT_HTTP1_KEY_LEN + sizeof guid - 1];
    unsigned digest_len = 0;
    if (RAND_bytes(nonce, sizeof nonce) != 1) return HFT_E_TLS_CONFIG;
    hft_base64_encode(ws->key, nonce, sizeof nonce);
    memcpy(text, ws->key, HFT_HTTP1_KEY_LEN);
    memcpy(text + HFT_HTTP1_KEY_LEN, guid, sizeof guid - 1);
    if (EVP_Digest(text, sizeof text, digest, &digest_len, EVP_sha1(), NULL) != 1) return HFT_E_TLS_CONFIG;
    hft_base64_encode(ws->accept, digest, digest_len);
    return 0;
}

/* offer: HFT_DEFLATE_VALUE_MAX bytes. */
static int make_request(hft_wsclient *ws, hft_http1_upgrade *request, char *offer) {
    const hft_wsclient_config *c = &ws->config;
    int offer_len = c->deflate != NULL ? hft_deflate_offer(offer, HFT_DEFLATE_VALUE_MAX, c->deflate) : 0;
    *request = (hft_http1_upgrade){
        .host = c->host_header, .host_len = strlen(c->host_header),
        .target = c->target, .target_len = strlen(c->target),
        .key = ws->key,
        .headers = c->headers, .headers_len = strlen(c->headers),
        .subprotocols = c->subprotocols, .subprotocols_len = c->subprotocols != NULL ? strlen(c->subprotocols) : 0,
        .extensions = offer, .extensions_len = offer_len > 0 ? (size_t)offer_len : 0,
    };
    return offer_len < 0 ? offer_len : 0;
}

int hft_wsclient_upgrade(hft_wsclient *ws, uint64_t now_ns) {
    const hft_wsclient_config *config = &ws->config;
    char offer[HFT_DEFLATE_VALUE_MAX];
    hft_http1_upgrade request;
    hft_ws_parser_init(&ws->parser, HFT_WS_CLIENT, config->message_memory, config->message_max, config->message_max,
                       config->inplace_max);
    hft_wsclient_masks_refill(config->masks);
    int rc = make_key(ws);
    size_t cap = ws->conn.send.cap < HFT_CONN_PLAIN_MAX ? ws->conn.send.cap : HFT_CONN_PLAIN_MAX;
    if (ws->conn.use_tls) cap = HFT_CONN_PLAIN_MAX;
    uint8_t *space = hft_conn_space(&ws->conn, cap);
    if (rc < 0 || space == NULL) return fail(ws, rc < 0 ? rc : HFT_E_CONN_SEND_FULL, "WebSocket upgrade");
    rc = make_request(ws, &request, offer);
    if (rc == 0) rc = hft_http1_build_upgrade((char *)space, cap, &request);
    if (rc >= 0) rc = hft_wsclient_send(ws, space, (size_t)rc);
    if (rc < 0) return fail(ws, rc, "WebSocket upgrade");
    ws->state = HFT_WSCLIENT_UPGRADING;
    ws->last_recv_ns = now_ns;
    return 0;
}

/* The rest of a response that refused the upgrade stays where it arrives, for the owner to read once it is over. */
static int await_response(hft_wsclient *ws) {
    size_t len;
    (void)hft_conn_data(&ws->conn, &len);
    if (len < ws->response_len && len + HFT_CONN_PLAIN_MAX < ws->conn.recv.cap) return 0;
    return fail(ws, ws->err.code, ws->err.text);
}

/* The one extension that is ever offered. */
static int agree(hft_wsclient *ws, const hft_http1_response *response, hft_err *err) {
    const hft_wsclient_config *c = &ws->config;
    hft_deflate_params agreed;
    int rc = hft_deflate_agree(&agreed, c->deflate, response->extensions, response->extensions_len, err);
    if (rc == 0) rc = hft_deflate_open(&ws->deflate, &agreed, HFT_WS_CLIENT, c->deflate_level, err);
    ws->parser.deflate = rc == 0;
    return rc;
}

static int take_response(hft_wsclient *ws, hft_wsclient_event *event) {
    size_t len;
    const char *data = (const char *)hft_conn_data(&ws->conn, &len);
    char offer[HFT_DEFLATE_VALUE_MAX];
    hft_http1_upgrade request;
    hft_http1_response response;
    hft_err err = {0};
    (void)!make_request(ws, &request, offer);
    int rc = hft_http1_parse_upgrade(&response, data, len, &request, ws->accept, &err);
    if (rc > 0 && response.extensions_len != 0) {
        int agreed = agree(ws, &response, &err);
        if (agreed < 0) rc = agreed;
    }
    ws->http_status = (uint16_t)(rc < 0 ? response.status : 0);
    if (rc == HFT_E_HTTP_STATUS && ws->config.lingers) {
        ws->err = err;
        ws->state = HFT_WSCLIENT_REFUSED;
        ws->response_len = response.body_len < SIZE_MAX - len ? response.head_len + response.body_len : SIZE_MAX;
        return await_response(ws);
    }
    if (rc < 0) return fail(ws, rc, err.text);
    if (rc == 0) return 0;
    ws->state = HFT_WSCLIENT_OPEN;
    ws->consumed = (size_t)rc;
    *event = (hft_wsclient_event){.kind = HFT_WSCLIENT_OPENED, .data = (const uint8_t *)data, .len = (size_t)rc};
    return 1;
}

/* ---- receiving ---- */

static int on_close_frame(hft_wsclient *ws, const hft_ws_event *frame) {
    ws->close_code = frame->close_code;
    ws->reason_len = (uint16_t)(frame->len < REASON_MAX ? frame->len : REASON_MAX);
    memcpy(ws->reason, frame->data, ws->reason_len);
    if (ws->state == HFT_WSCLIENT_CLOSING) {
        ws->clean = 1;
        ws->state = HFT_WSCLIENT_OVER;
        return ws->config.lingers ? HFT_E_CONN_CLOSED : fail(ws, HFT_E_CONN_CLOSED, NULL);
    }
    uint8_t code[2];
    hft_store_be16(code, frame->close_code);
    /* 1005 means the frame held no code: the echo holds none either. */
    (void)!hft_wsclient_put(ws, HFT_WS_OP_CLOSE, code, frame->close_code == 1005 ? 0 : sizeof code);
    char text[128];
    snprintf(text, sizeof text, "close frame %u %.*s", frame->close_code, frame->len > 90 ? 90 : (int)frame->len,
             (const char *)frame->data);
    return finish(ws, HFT_E_CONN_CLOSED, text);
}

static int put_pong(hft_wsclient *ws, const uint8_t *payload, size_t len) {
    int rc = hft_wsclient_put(ws, HFT_WS_OP_PONG, payload, len);
    ws->owes_pong = rc == HFT_E_CONN_SEND_FULL;
    if (ws->owes_pong) return 0;
    return rc < 0 && rc != ws->conn.send_error ? fail(ws, rc, "pong") : 0; /* what is behind it is still good */
}

/* Where there is no room the latest ping is answered later, which answers those before it (section 5.5.3). */
static int on_ping(hft_wsclient *ws, const hft_ws_event *frame) {
    if (ws->state != HFT_WSCLIENT_OPEN) return 0; /* our close frame was the last one we may send */
    int rc = put_pong(ws, frame->data, frame->len);
    if (!ws->owes_pong) return rc;
    ws->pong_len = (uint8_t)frame->len;
    memcpy(ws->pong, frame->data, frame->len);
    return 0;
}

void hft_wsclient_on_sent(hft_wsclient *ws) {
    if (ws->owes_pong && ws->state == HFT_WSCLIENT_OPEN) (void)!put_pong(ws, ws->pong, ws->pong_len);
}

/* Unsolicited pongs are lawful and mean nothing (section 5.5.3). */
static int on_pong(hft_wsclient *ws, const hft_ws_event *frame, hft_wsclient_event *event, uint64_t now_ns) {
    if (frame->len != sizeof(uint64_t)) return 0;
    uint64_t serial = hft_load_be64(frame->data);
    if (serial <= ws->pings_answered || serial > ws->pings_sent) return 0;
    ws->pings_answered = serial;
    uint64_t waiting = ws->pings_sent - serial; /* pings sent later */
    uint64_t oldest = waiting < HFT_WSCLIENT_PINGS ? serial + 1 : ws->pings_sent - HFT_WSCLIENT_PINGS + 1;
    ws->last_ping_ns = waiting == 0 ? 0 : ws->ping_ns[oldest % HFT_WSCLIENT_PINGS];
    if (waiting >= HFT_WSCLIENT_PINGS) return 0;
    uint64_t sent_ns = ws->ping_ns[serial % HFT_WSCLIENT_PINGS];
    *event = (hft_wsclient_event){.kind = HFT_WSCLIENT_PONG, .rtt_ns = now_ns > sent_ns ? now_ns - sent_ns : 0};
    return 1;
}

static int fail_protocol(hft_wsclient *ws, int code, const char *text) {
    uint8_t payload[2];
    hft_store_be16(payload, hft_ws_close_code(code));
    if (ws->state == HFT_WSCLIENT_OPEN) (void)!hft_wsclient_put(ws, HFT_WS_OP_CLOSE, payload, sizeof payload);
    return finish(ws, code, text);
}

static int on_message(hft_wsclient *ws, const hft_ws_event *frame, hft_wsclient_event *event) {
    *event = (hft_wsclient_event){.kind = HFT_WSCLIENT_MESSAGE, .op = frame->op, .data = frame->data,
                                  .len = frame->len};
    if (frame->compressed) {
        event->data = ws->config.inflated_memory;
        int rc = hft_deflate_decompress(ws->deflate, ws->config.inflated_memory, ws->config.message_max, &event->len,
                                        frame->data, frame->len);
        if (rc == 0 && frame->op == HFT_WS_OP_TEXT && !hft_utf8_valid((const char *)event->data, event->len))
            rc = HFT_E_WS_UTF8;
        if (rc < 0) return fail_protocol(ws, rc, "compressed message");
    }
    ws->messages_in++;
    ws->payload_in += event->len;
    return 1;
}

/* Control frames are dealt with here; 1 = the event is the owner's. */
static int on_frame(hft_wsclient *ws, const hft_ws_event *frame, hft_wsclient_event *event, uint64_t now_ns) {
    switch (frame->op) {
    case HFT_WS_OP_PING: return on_ping(ws, frame);
    case HFT_WS_OP_PONG: return on_pong(ws, frame, event, now_ns);
    case HFT_WS_OP_CLOSE: return on_close_frame(ws, frame);
    default: return on_message(ws, frame, event);
    }
}

static int next_frame(hft_wsclient *ws, hft_wsclient_event *event, uint64_t now_ns) {
    for (;;) {
        hft_ws_event frame;
        size_t len, used = 0;
        uint8_t *data = hft_conn_data(&ws->conn, &len);
        int rc = hft_ws_parser_next(&ws->parser, &frame, &used, data, len);
        if (rc < 0) return fail_protocol(ws, rc, ws->parser.err.text);
        if (rc == 0 && used == 0) return 0;
        if (rc == 1) {
            rc = on_frame(ws, &frame, event, now_ns);
            if (rc < 0) return rc;
            if (rc == 1) {
                ws->consumed = used; /* kept until the owner is done with the view */
                return 1;
            }
        }
        hft_conn_consume(&ws->conn, used);
    }
}

int hft_wsclient_next(hft_wsclient *ws, hft_wsclient_event *event, uint64_t now_ns) {
    if (ws->conn.state != HFT_CONN_OPEN) return 0;
    hft_conn_consume(&ws->conn, ws->consumed);
    ws->consumed = 0;
    ws->last_recv_ns = now_ns;
    size_t len;
    switch (ws->state) {
    case HFT_WSCLIENT_UPGRADING: return take_response(ws, event);
    case HFT_WSCLIENT_REFUSED: return await_response(ws);
    case HFT_WSCLIENT_OVER:
        (void)hft_conn_data(&ws->conn, &len);
        hft_conn_consume(&ws->conn, len);
        return 0;
    default: return next_frame(ws, event, now_ns);
    }
}

/* ---- sending ---- */

static int build(hft_wsclient *ws, const uint8_t **frame, size_t *frame_len, hft_ws_op op, const void *payload,
                 size_t len) {
    uint8_t *space = hft_conn_space(&ws->conn, len + HFT_WS_HEADER_MAX);
    if (space == NULL) return HFT_E_CONN_SEND_FULL;
    const uint8_t *mask = take_mask(ws->config.masks);
    if (mask == NULL) return HFT_E_TLS_CONFIG;
    int rc = hft_ws_build_frame(space, len + HFT_WS_HEADER_MAX, op, payload, len, mask);
    if (rc < 0) return rc;
    *frame = space;
    *frame_len = (size_t)rc;
    return HFT_OK;
}

int hft_wsclient_frame(hft_wsclient *ws, const uint8_t **frame, size_t *frame_len, hft_ws_op op, const void *payload,
                       size_t len) {
    if (ws->state != HFT_WSCLIENT_OPEN) return HFT_E_CONN_SEND_FULL;
    return build(ws, frame, frame_len, op, payload, len);
}

int hft_wsclient_send(hft_wsclient *ws, const uint8_t *frame, size_t frame_len) {
    int rc = hft_conn_commit(&ws->conn, frame, frame_len);
    return rc < 0 ? rc : hft_conn_flush(&ws->conn);
}

static int put_frame(hft_wsclient *ws, hft_ws_op op, const void *payload, size_t len) {
    const uint8_t *frame;
    size_t frame_len;
    int rc = build(ws, &frame, &frame_len, op, payload, len);
    return rc < 0 ? rc : hft_wsclient_send(ws, frame, frame_len);
}

/* A compressed message, or one that is longer than a TLS record: its pieces are masked one after the other, with TLS
 * where they are encrypted. There is room for all. */
static int put_pieces(hft_wsclient *ws, hft_ws_op op, unsigned flags, const uint8_t *payload, size_t len,
                      const uint8_t *mask) {
    size_t most = ws->conn.use_tls ? HFT_CONN_PLAIN_MAX : len + HFT_WS_HEADER_MAX;
    for (size_t done = 0; done < len;) {
        uint8_t *space = hft_conn_space(&ws->conn, most);
        if (space == NULL) return fail(ws, HFT_E_CONN_SEND_FULL, "in a message");
        size_t head = done == 0 ? hft_ws_put_header(space, op, flags, len, mask) : 0;
        size_t n = len - done < most - head ? len - done : most - head;
        hft_ws_mask_from(space + head, payload + done, n, mask, done);
        int rc = hft_conn_commit(&ws->conn, space, head + n);
        if (rc < 0) return fail(ws, rc, "in a message"); /* its beginning cannot be taken back */
        done += n;
    }
    return hft_conn_flush(&ws->conn);
}

static int has_room(const hft_wsclient *ws, size_t len) {
    return hft_conn_has_room(&ws->conn, len + HFT_WS_HEADER_MAX + CONTROL_ROOM);
}

/* Room and mask come first: what was compressed must leave, or the peer would know another context than we. */
static int put_compressed(hft_wsclient *ws, hft_ws_op op, const void *payload, size_t len) {
    size_t bound = hft_deflate_bound(ws->deflate, len), packed_len;
    if (bound > ws->config.packed_cap || !has_room(ws, bound)) return HFT_E_CONN_SEND_FULL;
    const uint8_t *mask = take_mask(ws->config.masks);
    if (mask == NULL) return HFT_E_TLS_CONFIG;
    int rc = hft_deflate_compress(ws->deflate, ws->config.packed_memory, bound, &packed_len, payload, len);
    if (rc < 0) return fail(ws, rc, "compressing a message");
    return put_pieces(ws, op, HFT_WS_FLAG_COMPRESSED, ws->config.packed_memory, packed_len, mask);
}

static int put_long(hft_wsclient *ws, hft_ws_op op, const void *payload, size_t len) {
    const uint8_t *mask = take_mask(ws->config.masks);
    return mask != NULL ? put_pieces(ws, op, 0, payload, len, mask) : HFT_E_TLS_CONFIG;
}

static int put_message(hft_wsclient *ws, hft_ws_op op, const void *payload, size_t len) {
    if (ws->deflate != NULL && len >= ws->config.deflate_min && len != 0) return put_compressed(ws, op, payload, len);
    if (!has_room(ws, len)) return HFT_E_CONN_SEND_FULL;
    if (ws->conn.use_tls && len + HFT_WS_HEADER_MAX > HFT_CONN_PLAIN_MAX) return put_long(ws, op, payload, len);
    return put_frame(ws, op, payload, len);
}

int hft_wsclient_put(hft_wsclient *ws, hft_ws_op op, const void *payload, size_t len) {
    if (ws->state != HFT_WSCLIENT_OPEN || ws->conn.state != HFT_CONN_OPEN) return HFT_E_STATE;
    if (op == HFT_WS_OP_TEXT || op == HFT_WS_OP_BINARY) {
        int rc = put_message(ws, op, payload, len);
        if (rc < 0) return rc;
        ws->messages_out++;
        ws->payload_out += len;
        return rc;
    }
    if (ws->conn.send_error != 0) return ws->conn.send_error;
    if (op != HFT_WS_OP_CLOSE && !hft_conn_has_room(&ws->conn, len + HFT_WS_HEADER_MAX + CLOSE_ROOM))
        return HFT_E_CONN_SEND_FULL;
    return put_frame(ws, op, payload, len);
}

int hft_wsclient_ping(hft_wsclient *ws, uint64_t now_ns) {
    uint8_t payload[8];
    uint64_t serial = ws->pings_sent + 1;
    hft_store_be64(payload, serial);
    int rc = hft_wsclient_put(ws, HFT_WS_OP_PING, payload, sizeof payload);
    if (rc < 0) return rc;
    ws->pings_sent = serial;
    ws->ping_ns[serial % HFT_WSCLIENT_PINGS] = now_ns;
    if (ws->last_ping_ns == 0) ws->last_ping_ns = now_ns;
    return rc;
}

void hft_wsclient_tick(hft_wsclient *ws, uint64_t now_ns, uint64_t interval_ns, uint64_t idle_ns) {
    if (ws->state != HFT_WSCLIENT_OPEN || ws->conn.state != HFT_CONN_OPEN) return;
    uint64_t silent_ns = now_ns - ws->last_recv_ns;
    if (silent_ns > idle_ns) {
        fail(ws, HFT_E_CONN_IDLE_TIMEOUT, "no answer to pings");
    } else if (silent_ns > interval_ns && ws->last_ping_ns == 0) {
        int rc = hft_wsclient_ping(ws, now_ns);
        if (rc < 0) fail(ws, rc, "ping");
    }
}

int hft_wsclient_close(hft_wsclient *ws, uint16_t code, const char *reason, size_t reason_len) {
    if (ws->state != HFT_WSCLIENT_OPEN || ws->conn.state != HFT_CONN_OPEN) {
        if (ws->state <= HFT_WSCLIENT_UPGRADING) hft_conn_close(&ws->conn, HFT_E_CONN_STOPPED, NULL);
        return 0;
    }
    uint8_t payload[2 + REASON_MAX];
    if (reason_len > REASON_MAX) return HFT_E_WS_CONTROL;
    hft_store_be16(payload, code);
    if (reason_len != 0) memcpy(payload + 2, reason, reason_len);
    int rc = hft_wsclient_put(ws, HFT_WS_OP_CLOSE, payload, code == 1005 ? 0 : 2 + reason_len);
    if (rc == HFT_E_WS_CLOSE_CODE || rc == HFT_E_WS_UTF8) return rc;
    ws->state = HFT_WSCLIENT_CLOSING;
    if (rc < 0) fail(ws, rc, "close frame");
    return 0;
}
