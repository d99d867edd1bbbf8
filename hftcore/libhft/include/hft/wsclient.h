/* A WebSocket client session (RFC 6455) on a connection: upgrade, messages, ping and pong, close.
 *
 * The owner pulls events after the connection had news. Pings are answered,
 * close frames echoed and the connection closed by the session itself. */
#ifndef HFT_WSCLIENT_H
#define HFT_WSCLIENT_H

#include "hft/conn.h"
#include "hft/http1.h"
#include "hft/ws.h"

#define HFT_WSCLIENT_MASKS 1024 /* bytes of random mask keys kept ready */

typedef enum {
    HFT_WSCLIENT_DOWN = 0,
    HFT_WSCLIENT_UPGRADING,
    HFT_WSCLIENT_OPEN,
    HFT_WSCLIENT_CLOSING
} hft_wsclient_state;

typedef enum { HFT_WSCLIENT_OPENED = 1, HFT_WSCLIENT_MESSAGE = 2 } hft_wsclient_kind;

typedef struct {
    uint8_t kind;        /* hft_wsclient_kind */
    uint8_t op;          /* MESSAGE: HFT_WS_OP_TEXT or _BINARY */
    const uint8_t *data; /* MESSAGE: a view until the next call */
    size_t len;
} hft_wsclient_event;

typedef struct {
    hft_conn conn;
    hft_ws_parser parser;
    uint8_t state; /* hft_wsclient_state */
    const char *host_header, *target, *headers; /* NUL-terminated, the owner's */
    char key[HFT_HTTP1_KEY_LEN], accept[HFT_HTTP1_ACCEPT_LEN];
    uint8_t *message_memory;
    size_t message_cap;
    uint64_t last_recv_ns, last_ping_ns; /* monotonic; ping: 0 = none outstanding */
    size_t consumed;                     /* bytes of the event handed out last */
    uint32_t masks_pos;
    uint8_t masks[HFT_WSCLIENT_MASKS];
} hft_wsclient;

/* conn is initialised first. message memory: for fragmented messages; its size is the limit on any message. */
void hft_wsclient_init(hft_wsclient *ws, const char *host_header, const char *target, const char *headers,
                       uint8_t *message_memory, size_t message_cap);

/* After HFT_CONN_UP: sends the upgrade request with a fresh random key. */
HFT_NODISCARD int hft_wsclient_upgrade(hft_wsclient *ws, uint64_t now_ns);

/* Takes the next event from what was received: 1, 0 = nothing complete, < 0 = the connection is closing
 * (ws->conn.err says why). */
HFT_NODISCARD int hft_wsclient_next(hft_wsclient *ws, hft_wsclient_event *event, uint64_t now_ns);

/* ---- sending: frame, commit ---- */

/* Puts a masked frame with a copy of the payload into the session's space, where it stays until the next frame; sends
 * nothing. Errors: HFT_E_CONN_SEND_FULL (not open, or no room), HFT_E_TLS_CONFIG (the system gives no random numbers,
 * and RFC 6455 section 10.3 wants unpredictable masks), HFT_E_WS_* as hft_ws_build_frame. */
HFT_NODISCARD int hft_wsclient_frame(hft_wsclient *ws, const uint8_t **frame, size_t *frame_len, hft_ws_op op,
                                     const void *payload, size_t len);
/* Encrypts where TLS is used, queues, and starts the send: hft_conn_commit and hft_conn_flush in one. */
HFT_NODISCARD int hft_wsclient_send(hft_wsclient *ws, const uint8_t *frame, size_t frame_len);
/* A whole small frame: ping, pong, close. */
HFT_NODISCARD int hft_wsclient_put(hft_wsclient *ws, hft_ws_op op, const void *payload, size_t len);

/* Sends a ping if nothing was received for interval_ns; closes with HFT_E_CONN_IDLE_TIMEOUT after idle_ns of
 * silence. */
void hft_wsclient_tick(hft_wsclient *ws, uint64_t now_ns, uint64_t interval_ns, uint64_t idle_ns);
/* Refills the mask pool where half of it is used: call while idle, so that no order waits for randomness. */
void hft_wsclient_refill(hft_wsclient *ws);
/* Begins the closing handshake (code 1000, or what the status asks for); the peer's answer or end closes the
 * connection. */
void hft_wsclient_close(hft_wsclient *ws, uint16_t close_code);
/* After hft_conn_settle: forgets the session. */
void hft_wsclient_down(hft_wsclient *ws);

#endif
