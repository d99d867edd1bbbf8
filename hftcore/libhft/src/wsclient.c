#include "hft/wsclient.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "hft/endian.h"
#include "hft/text.h"

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 section 1.3 */

void hft_wsclient_init(hft_wsclient *ws, const char *host_header, const char *target, const char *headers,
                       uint8_t *message_memory, size_t message_cap) {
    ws->host_header = host_header;
    ws->target = target;
    ws->headers = headers;
    ws->message_memory = message_memory;
    ws->message_cap = message_cap;
    ws->masks_pos = HFT_WSCLIENT_MASKS;
    hft_wsclient_down(ws);
}

void hft_wsclient_down(hft_wsclient *ws) {
    ws->state = HFT_WSCLIENT_DOWN;
    ws->consumed = 0;
    ws->last_ping_ns = 0;
}

static int fail(hft_wsclient *ws, int code, const char *text) {
    hft_conn_close(&ws->conn, code, text);
    return code;
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

int hft_wsclient_upgrade(hft_wsclient *ws, uint64_t now_ns) {
    hft_ws_parser_init(&ws->parser, HFT_WS_CLIENT, ws->message_memory, ws->message_cap, ws->message_cap);
    hft_wsclient_refill(ws);
    int rc = make_key(ws);
    uint8_t *space = hft_conn_space(&ws->conn, HFT_CONN_RECV_MIN);
    if (rc < 0 || space == NULL) return fail(ws, rc < 0 ? rc : HFT_E_CONN_SEND_FULL, "WebSocket upgrade");
    hft_http1_upgrade request = {
        .host = ws->host_header, .host_len = strlen(ws->host_header),
        .target = ws->target, .target_len = strlen(ws->target),
        .key = ws->key,
        .headers = ws->headers, .headers_len = strlen(ws->headers),
    };
    rc = hft_http1_build_upgrade((char *)space, HFT_CONN_RECV_MIN, &request);
    if (rc >= 0) rc = hft_wsclient_send(ws, space, (size_t)rc);
    if (rc < 0) return fail(ws, rc, "WebSocket upgrade");
    ws->state = HFT_WSCLIENT_UPGRADING;
    ws->last_recv_ns = now_ns;
    return 0;
}

static int take_response(hft_wsclient *ws, hft_wsclient_event *event) {
    size_t len;
    const char *data = (const char *)hft_conn_data(&ws->conn, &len);
    int status = 0;
    hft_err err = {0};
    int rc = hft_http1_parse_upgrade(&status, data, len, ws->accept, &err);
    if (rc < 0) return fail(ws, rc, err.text);
    if (rc == 0) return 0;
    hft_conn_consume(&ws->conn, (size_t)rc);
    ws->state = HFT_WSCLIENT_OPEN;
    *event = (hft_wsclient_event){.kind = HFT_WSCLIENT_OPENED};
    return 1;
}

/* ---- receiving ---- */

static int on_close_frame(hft_wsclient *ws, const hft_ws_event *frame) {
    if (ws->state == HFT_WSCLIENT_OPEN) {
        uint8_t code[2];
        hft_store_be16(code, frame->close_code);
        /* 1005 means the frame held no code: the echo holds none either. */
        (void)!hft_wsclient_put(ws, HFT_WS_OP_CLOSE, code, frame->close_code == 1005 ? 0 : sizeof code);
    }
    char text[128];
    snprintf(text, sizeof text, "close frame %u %.*s", frame->close_code, frame->len > 90 ? 90 : (int)frame->len,
             (const char *)frame->data);
    return fail(ws, HFT_E_CONN_CLOSED, text);
}

/* Control frames are dealt with here; 1 = the frame is the owner's. */
static int on_frame(hft_wsclient *ws, const hft_ws_event *frame, hft_wsclient_event *event) {
    switch (frame->op) {
    case HFT_WS_OP_PING: {
        if (ws->state != HFT_WSCLIENT_OPEN) return 0; /* our close frame was the last one we may send */
        int rc = hft_wsclient_put(ws, HFT_WS_OP_PONG, frame->data, frame->len);
        return rc < 0 ? fail(ws, rc, "pong") : 0;
    }
    case HFT_WS_OP_PONG:
        ws->last_ping_ns = 0;
        return 0;
    case HFT_WS_OP_CLOSE: return on_close_frame(ws, frame);
    default:
        *event = (hft_wsclient_event){
            .kind = HFT_WSCLIENT_MESSAGE, .op = frame->op, .data = frame->data, .len = frame->len};
        return 1;
    }
}

static int fail_protocol(hft_wsclient *ws, int code) {
    uint8_t payload[2];
    hft_store_be16(payload, hft_ws_close_code(code));
    if (ws->state == HFT_WSCLIENT_OPEN) (void)!hft_wsclient_put(ws, HFT_WS_OP_CLOSE, payload, sizeof payload);
    return fail(ws, code, ws->parser.err.text);
}

int hft_wsclient_next(hft_wsclient *ws, hft_wsclient_event *event, uint64_t now_ns) {
    if (ws->conn.state != HFT_CONN_OPEN) return 0;
    hft_conn_consume(&ws->conn, ws->consumed);
    ws->consumed = 0;
    ws->last_recv_ns = now_ns;
    if (ws->state == HFT_WSCLIENT_UPGRADING) return take_response(ws, event);
    for (;;) {
        hft_ws_event frame;
        size_t len, used = 0;
        uint8_t *data = hft_conn_data(&ws->conn, &len);
        int rc = hft_ws_parser_next(&ws->parser, &frame, &used, data, len);
        if (rc < 0) return fail_protocol(ws, rc);
        if (rc == 0 && used == 0) return 0;
        if (rc == 1) {
            rc = on_frame(ws, &frame, event);
            if (rc < 0) return rc;
            if (rc == 1) {
                ws->consumed = used; /* kept until the owner is done with the view */
                return 1;
            }
        }
        hft_conn_consume(&ws->conn, used);
    }
}

/* ---- sending ---- */

int hft_wsclient_frame(hft_wsclient *ws, const uint8_t **frame, size_t *frame_len, hft_ws_op op, const void *payload,
                       size_t len) {
    uint8_t *space = ws->state == HFT_WSCLIENT_OPEN ? hft_conn_space(&ws->conn, len + HFT_WS_HEADER_MAX) : NULL;
    if (space == NULL) return HFT_E_CONN_SEND_FULL;
    if (ws->masks_pos + 4 > HFT_WSCLIENT_MASKS) hft_wsclient_refill(ws);
    if (ws->masks_pos + 4 > HFT_WSCLIENT_MASKS) return HFT_E_TLS_CONFIG;
    int rc = hft_ws_build_frame(space, len + HFT_WS_HEADER_MAX, op, payload, len, ws->masks + ws->masks_pos);
    if (rc < 0) return rc;
    ws->masks_pos += 4;
    *frame = space;
    *frame_len = (size_t)rc;
    return HFT_OK;
}

int hft_wsclient_send(hft_wsclient *ws, const uint8_t *frame, size_t frame_len) {
    int rc = hft_conn_commit(&ws->conn, frame, frame_len);
    return rc < 0 ? rc : hft_conn_flush(&ws->conn);
}

int hft_wsclient_put(hft_wsclient *ws, hft_ws_op op, const void *payload, size_t len) {
    const uint8_t *frame;
    size_t frame_len;
    int rc = hft_wsclient_frame(ws, &frame, &frame_len, op, payload, len);
    return rc < 0 ? rc : hft_wsclient_send(ws, frame, frame_len);
}

void hft_wsclient_refill(hft_wsclient *ws) {
    if (ws->masks_pos < HFT_WSCLIENT_MASKS / 2) return;
    if (RAND_bytes(ws->masks, sizeof ws->masks) == 1) ws->masks_pos = 0;
}

void hft_wsclient_tick(hft_wsclient *ws, uint64_t now_ns, uint64_t interval_ns, uint64_t idle_ns) {
    if (ws->state != HFT_WSCLIENT_OPEN || ws->conn.state != HFT_CONN_OPEN) return;
    uint64_t silent_ns = now_ns - ws->last_recv_ns;
    if (silent_ns > idle_ns) {
        fail(ws, HFT_E_CONN_IDLE_TIMEOUT, "no answer to pings");
    } else if (silent_ns > interval_ns && ws->last_ping_ns == 0) {
        ws->last_ping_ns = now_ns;
        int rc = hft_wsclient_put(ws, HFT_WS_OP_PING, "hft", 3);
        if (rc < 0) fail(ws, rc, "ping");
    }
}

void hft_wsclient_close(hft_wsclient *ws, uint16_t close_code) {
    if (ws->state != HFT_WSCLIENT_OPEN || ws->conn.state != HFT_CONN_OPEN) {
        hft_conn_close(&ws->conn, HFT_E_CONN_STOPPED, NULL);
        return;
    }
    uint8_t payload[2];
    hft_store_be16(payload, close_code);
    int rc = hft_wsclient_put(ws, HFT_WS_OP_CLOSE, payload, sizeof payload);
    ws->state = HFT_WSCLIENT_CLOSING;
    if (rc < 0) fail(ws, rc, "close frame");
}
