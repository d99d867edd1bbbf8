/* One stream connection on a ring: connected here or elsewhere, TLS if wanted, bytes in, bytes out, orderly end.
 *
 * The owner hands completions in and asks what they mean; nothing calls up. Buffers are fixed. Received bytes
 * are views, valid until the next hft_conn_consume/pump/rearm. After hft_conn_close the connection waits
 * for the operations still in flight; hft_conn_settle says when it is idle and may be used again.
 *
 * Where sending fails, what the peer sent before is received first: the connection stays OPEN, takes no more to send,
 * and closes with the error of the send at the end of what there is to receive. */
#ifndef HFT_CONN_H
#define HFT_CONN_H

#include <netinet/in.h>

#include "hft/ring.h"
#include "hft/tls.h"

typedef enum {
    HFT_CONN_IDLE = 0,   /* no socket */
    HFT_CONN_CONNECTING, /* TCP */
    HFT_CONN_SECURING,   /* TLS handshake */
    HFT_CONN_OPEN,
    HFT_CONN_CLOSING,    /* waiting for operations in flight to end */
} hft_conn_state;

typedef enum {
    HFT_CONN_NOTHING = 0,
    HFT_CONN_UP,   /* just became OPEN */
    HFT_CONN_DATA, /* bytes arrived */
    HFT_CONN_SENT, /* everything queued has left */
} hft_conn_event;

typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} hft_address;

typedef struct { uint8_t *data; size_t cap, head, tail; } hft_buffer; /* valid bytes: [head, tail) */

typedef struct {
    hft_ring *ring;
    uint32_t slot, generation;
    int fd;
    uint8_t state; /* hft_conn_state */
    uint8_t in_flight; /* bit per hft_ring_op */
    uint8_t use_tls;
    uint8_t stamped;    /* the owner's, while IDLE: completions of receives carry the kernel's time stamp */
    uint8_t paused;     /* see hft_conn_pause */
    int send_error;     /* why sending ended before the connection did, or 0 */
    hft_buffer recv;    /* as received */
    hft_buffer plain;   /* TLS: decrypted; else unused */
    hft_buffer send;    /* to be sent, and then send.data[0, wrapped): nothing is moved to make room */
    size_t wrapped;
    uint8_t *scratch;   /* TLS: where a message is built before encryption */
    size_t scratch_cap;
    hft_tls tls;
    uint8_t tls_unfinished; /* it may hold data, or a failure, that nothing received will announce */
    hft_address address;
    uint64_t bytes_in, bytes_out;
    hft_err err; /* why it closed */
} hft_conn;

#define HFT_CONN_RECV_MIN 4096     /* least room a receive is started with */
#define HFT_CONN_RECV_MAX 262144   /* most bytes one receive takes: bounds the work per event */
#define HFT_CONN_PLAIN_MAX 16384   /* most bytes one commit takes on TLS (one record) */

/* Memory for the buffers, each from the owner: recv_cap and send_cap bytes; with TLS also plain_cap and
 * HFT_CONN_PLAIN_MAX of scratch. tls context NULL = plain TCP. host is for TLS. */
typedef struct {
    hft_ring *ring;
    uint32_t slot;
    uint8_t *recv_memory; size_t recv_cap;
    uint8_t *send_memory; size_t send_cap;
    uint8_t *plain_memory; size_t plain_cap;
    uint8_t *scratch_memory; /* may be shared by the connections of a thread */
    hft_tls_context *tls_context;
    const char *host;
    uint16_t port; /* tells the TLS sessions of servers of one host apart */
} hft_conn_config;

HFT_NODISCARD int hft_conn_init(hft_conn *conn, const hft_conn_config *config, hft_err *err);
/* Only when IDLE. Frees what TLS holds. */
void hft_conn_free(hft_conn *conn);

/* Starts connecting; IDLE only. Errors: -errno of socket(), HFT_E_RING_FULL, HFT_E_STATE; the state stays IDLE. */
HFT_NODISCARD int hft_conn_connect(hft_conn *conn, const hft_address *address);

/* Takes over a connected stream socket; IDLE only. Without TLS: OPEN at once, as after HFT_CONN_UP. With TLS: SECURING,
 * and HFT_CONN_UP comes from hft_conn_complete. Its options stay as they are, except O_NONBLOCK, which is the ring's.
 * address is for the owner's information; zeroed is allowed. Errors: HFT_E_STATE, HFT_E_RING_FULL, HFT_E_TLS_*, -errno;
 * the socket stays the caller's then, and the state IDLE. */
HFT_NODISCARD int hft_conn_adopt(hft_conn *conn, int fd, const hft_address *address);

/* Takes a completion of this slot. Returns an hft_conn_event. A failure closes: see hft_conn_settle. */
HFT_NODISCARD int hft_conn_complete(hft_conn *conn, uint64_t tag, int32_t result);

/* The bytes received and not yet consumed. */
static inline uint8_t *hft_conn_data(hft_conn *conn, size_t *len) {
    hft_buffer *b = conn->use_tls ? &conn->plain : &conn->recv;
    *len = b->tail - b->head;
    return b->data + b->head;
}
static inline void hft_conn_consume(hft_conn *conn, size_t n) {
    (conn->use_tls ? &conn->plain : &conn->recv)->head += n;
}
/* TLS: decrypts what was received and not yet decrypted. 1 = there is more data, 0 = no, < 0 = the connection
 * closes. */
HFT_NODISCARD int hft_conn_pump(hft_conn *conn);
/* Starts the next receive, once the owner has consumed what it could. Closes with HFT_E_CONN_RECV_FULL where
 * a message is longer than the buffer. Does nothing while paused. */
void hft_conn_rearm(hft_conn *conn);
/* While on, no further receive is started: what is in flight still comes, then the peer's window fills. After it is
 * turned off the owner takes what waits and calls hft_conn_rearm. Off with each new socket. */
static inline void hft_conn_pause(hft_conn *conn, int on) { conn->paused = on != 0; }

/* n writable bytes in one piece to build a message in, or NULL if the send buffer has no such room
 * (HFT_CONN_PLAIN_MAX at most with TLS). */
uint8_t *hft_conn_space(hft_conn *conn, size_t n);
/* 1 if a message of len bytes can be queued now, whatever is in flight: in one piece, or with TLS in pieces of
 * HFT_CONN_PLAIN_MAX bytes and a last one. */
int hft_conn_has_room(const hft_conn *conn, size_t len);
/* Bytes queued or in flight to be sent. */
static inline size_t hft_conn_queued(const hft_conn *conn) {
    return conn->send.tail - conn->send.head + conn->wrapped;
}
/* Queues message[0..len), which lies in the space just given; with TLS it is encrypted here, as one record.
 * 0, HFT_E_CONN_SEND_FULL (nothing was queued), HFT_E_TLS_*, or conn->send_error. */
HFT_NODISCARD int hft_conn_commit(hft_conn *conn, const uint8_t *message, size_t len);
/* Starts sending what is queued, unless a send is in flight already (the rest then follows by itself). */
HFT_NODISCARD int hft_conn_flush(hft_conn *conn);
/* 1 if nothing is queued or in flight to be sent. */
static inline int hft_conn_drained(const hft_conn *conn) {
    return hft_conn_queued(conn) == 0 && (conn->in_flight & 1u << HFT_OP_SEND) == 0;
}
/* Gives the pages of empty buffers back to the system, beyond the first keep bytes of each. The buffers' memory must be
 * a private mapping of its own. */
void hft_conn_trim(hft_conn *conn, size_t keep);

/* Begins to close; the first reason given is kept. No effect when IDLE or CLOSING, or where code is the error that a
 * send ended with: the end comes by itself then, behind what was received. */
void hft_conn_close(hft_conn *conn, int code, const char *text);
/* 1, once: the connection was CLOSING, nothing is in flight any more, the socket is closed and the state IDLE. */
int hft_conn_settle(hft_conn *conn);

#endif
