/* A WebSocket client session (RFC 6455) on a connection: upgrade, messages, ping and pong, close.
 *
 * The owner pulls events after the connection had news. Pings are answered and close frames echoed by the session
 * itself. */
#ifndef HFT_WSCLIENT_H
#define HFT_WSCLIENT_H

#include "hft/conn.h"
#include "hft/deflate.h"
#include "hft/http1.h"
#include "hft/ws.h"

#define HFT_WSCLIENT_MASKS 4096 /* bytes of random mask keys kept ready */
#define HFT_WSCLIENT_PINGS 8    /* pings whose answers are told apart; older ones count as answered by a later one */

typedef enum {
    HFT_WSCLIENT_DOWN = 0,
    HFT_WSCLIENT_UPGRADING,
    HFT_WSCLIENT_REFUSED, /* the upgrade failed; the rest of the response is awaited */
    HFT_WSCLIENT_OPEN,
    HFT_WSCLIENT_CLOSING, /* our close frame has left, the peer's has not come yet */
    HFT_WSCLIENT_OVER,    /* all is said: the peer's end of stream is awaited */
} hft_wsclient_state;

typedef enum {
    HFT_WSCLIENT_OPENED = 1, /* data: the head of the response */
    HFT_WSCLIENT_MESSAGE = 2,
    HFT_WSCLIENT_PONG = 3, /* the answer to a ping of hft_wsclient_ping */
} hft_wsclient_kind;

typedef struct {
    uint8_t kind;        /* hft_wsclient_kind */
    uint8_t op;          /* MESSAGE: HFT_WS_OP_TEXT or _BINARY */
    const uint8_t *data; /* a view until the next call */
    size_t len;
    uint64_t rtt_ns;     /* PONG */
} hft_wsclient_event;

/* Mask keys from the system's CSPRNG, drawn a block at a time; shared by all sessions of one thread. */
typedef struct { uint32_t pos; uint8_t bytes[HFT_WSCLIENT_MASKS]; } hft_wsclient_masks;

void hft_wsclient_masks_init(hft_wsclient_masks *masks);
/* Draws new ones where half of them are used: call while idle, so that no message waits for randomness. */
void hft_wsclient_masks_refill(hft_wsclient_masks *masks);

/* Everything is the owner's and outlives the session. Strings end with NUL. */
typedef struct {
    const char *host_header, *target, *headers;
    const char *subprotocols; /* offered, best first: "a, b"; NULL: none */
    hft_wsclient_masks *masks;
    uint8_t *message_memory; /* for fragments, and frames longer than inplace_max */
    size_t message_max;      /* its size, and the limit on any message */
    size_t inplace_max;      /* longest frame that is waited for in the connection's receive buffer, which has to hold
                                it */
    const hft_deflate_params *deflate; /* offered; NULL: messages are not compressed */
    int deflate_level;
    size_t deflate_min;      /* shorter messages are sent as they are */
    uint8_t *inflated_memory; /* deflate: message_max bytes */
    uint8_t *packed_memory; size_t packed_cap; /* deflate: for a message as it is sent */
    uint8_t lingers;         /* 1: the peer ends the connection first, as section 7.1.1 advises; 0: we do, to be back
                                sooner */
} hft_wsclient_config;

typedef struct {
    hft_conn conn;
    hft_ws_parser parser;
    hft_wsclient_config config;
    uint8_t state;             /* hft_wsclient_state */
    uint8_t clean;             /* close frames went both ways, ours first */
    uint16_t close_code;       /* the peer's, see hft_ws_event; 1006 until there is one */
    uint16_t reason_len;
    uint16_t http_status;      /* of a response that refused the upgrade, 0 = none did */
    size_t response_len;       /* REFUSED: its head and body, SIZE_MAX = to the end of the connection */
    uint8_t reason[123];       /* the peer's */
    uint8_t owes_pong;         /* for the latest ping, once there is room; with this payload */
    uint8_t pong_len, pong[125];
    char key[HFT_HTTP1_KEY_LEN], accept[HFT_HTTP1_ACCEPT_LEN];
    uint64_t last_recv_ns;     /* monotonic */
    uint64_t last_ping_ns;     /* 0 = none outstanding */
    uint64_t pings_sent, pings_answered;
    uint64_t ping_ns[HFT_WSCLIENT_PINGS]; /* when it was sent, by serial number */
    uint64_t messages_in, messages_out, payload_in, payload_out; /* whole messages, as the owner sees them */
    hft_deflate *deflate;      /* NULL unless the server agreed */
    size_t consumed;           /* bytes of the event handed out last */
    hft_err err;               /* why the session ended, where the connection did not fail by itself */
} hft_wsclient;

/* ws->conn is initialised first. */
void hft_wsclient_init(hft_wsclient *ws, const hft_wsclient_config *config);

/* After HFT_CONN_UP: sends the upgrade request with a fresh random key. */
HFT_NODISCARD int hft_wsclient_upgrade(hft_wsclient *ws, uint64_t now_ns);

/* Takes the next event from what was received: 1, 0 = nothing complete, < 0 = the session has ended and the
 * connection with it, or as soon as the peer ends it (hft_wsclient_error says why). */
HFT_NODISCARD int hft_wsclient_next(hft_wsclient *ws, hft_wsclient_event *event, uint64_t now_ns);
/* After hft_conn_complete of a send: what had to wait for room may leave. */
void hft_wsclient_on_sent(hft_wsclient *ws);
/* Why the session ended; code 0: the close frames went both ways, ours first. */
static inline const hft_err *hft_wsclient_error(const hft_wsclient *ws) {
    return ws->clean || ws->err.code != 0 ? &ws->err : &ws->conn.err;
}

/* ---- sending ---- */

/* Puts a masked frame with a copy of the payload into the session's space, where it stays until the next frame; sends
 * nothing. Errors: HFT_E_CONN_SEND_FULL (not open, or no room), HFT_E_TLS_CONFIG (the system gives no random numbers,
 * and RFC 6455 section 10.3 wants unpredictable masks), HFT_E_WS_* as hft_ws_build_frame. */
HFT_NODISCARD int hft_wsclient_frame(hft_wsclient *ws, const uint8_t **frame, size_t *frame_len, hft_ws_op op,
                                     const void *payload, size_t len);
/* Encrypts where TLS is used, queues, and starts the send: hft_conn_commit and hft_conn_flush in one. */
HFT_NODISCARD int hft_wsclient_send(hft_wsclient *ws, const uint8_t *frame, size_t frame_len);
/* A whole message or control frame of any length that the queue has room for, or nothing of it. A little room is kept
 * for control frames. Errors as hft_wsclient_frame, and HFT_E_STATE where the session is not open. */
HFT_NODISCARD int hft_wsclient_put(hft_wsclient *ws, hft_ws_op op, const void *payload, size_t len);
/* Sends a ping with a serial number; its answer is an HFT_WSCLIENT_PONG with the round-trip time. */
HFT_NODISCARD int hft_wsclient_ping(hft_wsclient *ws, uint64_t now_ns);

/* Sends a ping if nothing was received for interval_ns; closes with HFT_E_CONN_IDLE_TIMEOUT after idle_ns of
 * silence. */
void hft_wsclient_tick(hft_wsclient *ws, uint64_t now_ns, uint64_t interval_ns, uint64_t idle_ns);
/* Begins the closing handshake with that code and reason (at most 123 bytes of UTF-8; code 1005: without either); the
 * peer's answer or end closes the connection. Before the upgrade is done the connection is closed at once.
 * Errors: HFT_E_WS_CLOSE_CODE, HFT_E_WS_UTF8, HFT_E_WS_CONTROL: of the arguments, and nothing has happened. */
HFT_NODISCARD int hft_wsclient_close(hft_wsclient *ws, uint16_t code, const char *reason, size_t reason_len);
/* After hft_conn_settle: forgets the session. */
void hft_wsclient_down(hft_wsclient *ws);

#endif
