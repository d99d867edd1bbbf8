/* WebSocket client connections, one to ten thousand and more, on one ring and one thread.
 *
 * A link is handed a connected socket and goes through TLS and the upgrade by itself. Events are pulled:
 * hft_reactor_next returns 1 and an event, 0 where there is none, or < 0 where the ring failed. Nothing calls up.
 * A link ends with exactly one HFT_REACTOR_CLOSED. All memory of a link is one mapping, taken when it is added and
 * given back when it has closed; pages are used as they are needed. Not thread-safe but for hft_reactor_wake; the
 * thread that opens is the one that uses. */
#ifndef HFT_REACTOR_H
#define HFT_REACTOR_H

#include "hft/clock.h"
#include "hft/deflate.h"
#include "hft/order.h"
#include "hft/timers.h"
#include "hft/wsclient.h"

#define HFT_REACTOR_LINKS_MAX 16000
#define HFT_LINK_APP_PINGS 8 /* application pings whose answers are told apart */
#define HFT_REACTOR_MESSAGE_MAX 1073741824 /* limit on the limits: bytes of a message, of a buffer */

typedef enum {
    HFT_REACTOR_OPENED = 1, /* the upgrade is done; data: the head of the response */
    HFT_REACTOR_MESSAGE,
    HFT_REACTOR_PONG,       /* rtt_ns; app: of an application ping */
    HFT_REACTOR_WRITABLE,   /* after a send was refused: the queue is half empty */
    HFT_REACTOR_CLOSED,     /* the last event of a link; its number may be used again after the next call */
    HFT_REACTOR_WOKEN,      /* hft_reactor_wake was called */
} hft_reactor_kind;

typedef struct {
    uint8_t kind;         /* hft_reactor_kind */
    uint8_t op;           /* MESSAGE: HFT_WS_OP_TEXT or _BINARY */
    uint8_t app;          /* PONG */
    uint16_t close_code;  /* CLOSED: of the peer's close frame; 1005: it had none; 1006: there was no close frame */
    uint16_t http_status; /* CLOSED: of the response that refused the upgrade, 0 = none did */
    uint32_t link;
    const uint8_t *data;  /* OPENED: head of the response; MESSAGE: payload; CLOSED: the peer's reason, or with an HTTP
                             status the response; a view until the next call */
    size_t len;
    uint64_t recv_ns;     /* monotonic: when the bytes were taken from the kernel */
    uint64_t kernel_ns;   /* wall clock, the kernel's own stamp; 0 = not asked for */
    uint64_t rtt_ns;
    const hft_err *err;   /* CLOSED: why; code 0: the close frames went both ways, ours first */
} hft_reactor_event;

/* What a link is to be. What pointers show is the caller's, and lives as long as the link. Strings end with NUL. */
typedef struct {
    hft_tls_context *tls;       /* NULL: plain */
    const char *host;           /* for TLS: SNI and the certificate */
    uint16_t port;
    const char *host_header, *target, *headers;
    const char *subprotocols;   /* offered, best first: "a, b"; NULL: none */
    const hft_deflate_params *deflate; /* offered; NULL: messages are not compressed */
    int deflate_level;
    size_t deflate_min;         /* shorter messages are sent as they are */
    size_t message_max;         /* longest message that is taken, bytes */
    size_t recv_cap, send_cap;  /* buffers, bytes */
    uint64_t handshake_ns, ping_interval_ns, ping_timeout_ns, close_ns; /* 0: never */
    /* Application ping: a template, whose slots for times take the time and those for integers count up from 1, or
     * bytes; and what its answer holds. */
    hft_order_template *app_ping;
    uint8_t app_ping_op; const uint8_t *app_ping_data; size_t app_ping_len;
    uint64_t app_ping_interval_ns; /* 0: none */
    const uint8_t *app_pong; size_t app_pong_len; /* looked for in the first 512 bytes of messages while one is out;
                                                     length 0: round trips are not measured */
    uint8_t app_pong_hidden;    /* 1: the answer is not given as a MESSAGE */
    uint8_t kernel_stamps;
} hft_link_config_ws;

typedef struct {
    hft_ring_backend backend;
    uint32_t links_max;
    uint64_t spin_ns; /* polls for so long after the last event before it sleeps; 0 sleeps at once, UINT64_MAX never */
} hft_reactor_config;

typedef struct {
    uint64_t bytes_in, bytes_out;                 /* on the wire, TLS included, from the upgrade request on */
    uint64_t messages_in, messages_out;
    uint64_t payload_in, payload_out;             /* of messages, before compression and after decompression */
    uint64_t pings, pongs, rtt_last_ns, rtt_min_ns, rtt_smoothed_ns; /* smoothed as TCP's, RFC 6298 */
    uint64_t app_pings, app_pongs, app_rtt_last_ns, app_rtt_min_ns, app_rtt_smoothed_ns;
    uint64_t sends_refused, send_queue;           /* bytes not yet taken by the kernel */
    uint64_t opened_ns, last_recv_ns;             /* monotonic, 0 = not yet */
} hft_link_stats;

typedef struct { uint64_t sent, answered, last_ns, min_ns, smoothed_ns; } hft_link_rtt;

typedef struct {
    hft_wsclient session;
    hft_link_config_ws config;
    uint8_t *memory; size_t memory_size;
    uint64_t recv_ns, kernel_ns, opened_ns;
    uint64_t up_by_ns, over_by_ns, next_ping_ns, next_app_ping_ns, trim_ns; /* deadlines, UINT64_MAX = none */
    uint8_t *spare;             /* of that memory, what only long messages use much of: pieces of ... */
    size_t spare_sizes[3];
    uint64_t held_up_ns;        /* when bytes of a frame that had begun before came last, or a pause ended */
    uint64_t app_ping_ns;       /* when the first since the last answer was sent, 0 = none was */
    uint64_t app_pings_ns[HFT_LINK_APP_PINGS]; /* when each was, by number */
    uint64_t app_pongs;         /* number of the ping that was answered last: they are in order */
    uint64_t sends_refused;
    hft_link_rtt rtt, app_rtt;
    uint8_t used, queued, paused;
    uint8_t writable;           /* 1: a send was refused; 2: and now there is room */
    uint8_t settled;            /* the socket is gone: CLOSED is the next event */
    uint8_t large;              /* it has had large messages since trim_ns was set */
    uint8_t held;               /* a message waits behind its PONG */
    hft_reactor_event message;  /* that one */
} hft_reactor_link;

typedef struct {
    int thread; /* that opened it, as the kernel counts them */
    hft_ring ring;
    hft_clock clock;
    hft_timers timers;
    hft_wsclient_masks masks;
    hft_reactor_config config;
    hft_reactor_link *links;
    uint32_t *free_links; uint32_t n_free;
    uint32_t *ready; uint32_t ready_head, n_ready; /* links with news, each at most once */
    uint32_t active;         /* link whose news are being given out, UINT32_MAX = none */
    uint32_t closed;         /* link whose CLOSED was given out last, UINT32_MAX = none */
    uint32_t budget;         /* events until the ring is looked at again */
    uint32_t n_links;
    uint8_t *scratch;        /* for TLS */
    uint64_t now_ns, last_event_ns, next_resync_ns;
    int wake_fd;
    uint64_t wake_count;     /* read target of wake_fd */
    uint8_t wake_in_flight, woken;
    void *memory; size_t memory_size;
} hft_reactor;

/* Errors: HFT_E_ARGUMENT, HFT_E_MEMORY, HFT_E_RING_UNAVAILABLE, -errno. */
HFT_NODISCARD int hft_reactor_open(hft_reactor *r, const hft_reactor_config *config, hft_err *err);
/* Closes what is open, at once, and gives everything back; by another thread than the opener's, with io_uring, all but
 * memory, without a word to the peers. */
void hft_reactor_close(hft_reactor *r);
/* In a child after fork(), which cannot use it, by the thread that may: gives back the child's descriptors of it, and
 * touches neither the parent's ring nor the network. */
void hft_reactor_disown(hft_reactor *r);
/* Takes over a connected socket; on an error it stays the caller's. Errors: HFT_E_CAPACITY (links_max), HFT_E_MEMORY,
 * HFT_E_ARGUMENT, HFT_E_TLS_*. */
HFT_NODISCARD int hft_reactor_add(hft_reactor *r, uint32_t *link, const hft_link_config_ws *config, int fd,
                                  hft_err *err);
/* The next event. 0: there was none for timeout_ns (0 only looks), or less: a signal may have come. */
HFT_NODISCARD int hft_reactor_next(hft_reactor *r, hft_reactor_event *event, uint64_t timeout_ns);
/* The same, of what was received already: asks the kernel for nothing. */
HFT_NODISCARD int hft_reactor_next_ready(hft_reactor *r, hft_reactor_event *event);
/* For another event loop: readable = call hft_reactor_next(r, event, 0) until it returns 0. Says nothing unless
 * hft_reactor_prepare_sleep was called last. */
static inline int hft_reactor_fd(const hft_reactor *r) { return hft_ring_fd(&r->ring); }
/* Before another event loop sleeps on that descriptor: *wait_ns is how long it may, UINT64_MAX: for ever; 0: it may
 * not, there is news already. 0 or -errno. */
HFT_NODISCARD int hft_reactor_prepare_sleep(hft_reactor *r, uint64_t *wait_ns);
/* Ends the wait of hft_reactor_next, from any thread, with HFT_REACTOR_WOKEN. 0 or -errno. */
int hft_reactor_wake(hft_reactor *r);

/* The functions below take a link from its OPENED to its CLOSED, and are HFT_E_STATE otherwise. */

/* A whole message, of any size the queue has room for; has left, as far as the kernel takes it, on return. Errors:
 * HFT_E_CONN_SEND_FULL (nothing was queued; HFT_REACTOR_WRITABLE follows), and those of hft_wsclient_put. */
HFT_NODISCARD int hft_reactor_send(hft_reactor *r, uint32_t link, hft_ws_op op, const void *payload, size_t len);
/* Fills the template and sends it as text; *bad_slot as of hft_order_fill. */
HFT_NODISCARD int hft_reactor_send_template(hft_reactor *r, uint32_t link, hft_order_template *t,
                                            const hft_order_value *values, int *bad_slot);
/* A protocol ping; HFT_REACTOR_PONG follows. */
HFT_NODISCARD int hft_reactor_ping(hft_reactor *r, uint32_t link);
/* Orderly, with that code and reason (1005: with neither); code 0 cuts at once. Also before OPENED, and again. Errors:
 * as hft_wsclient_close. */
HFT_NODISCARD int hft_reactor_close_link(hft_reactor *r, uint32_t link, uint16_t code, const char *reason,
                                         size_t reason_len);
/* Paused, a link gives out no message, and soon receives nothing, so that TCP holds up the peer. Its pings need no
 * answer while it is. No effect once it is closing. */
HFT_NODISCARD int hft_reactor_pause(hft_reactor *r, uint32_t link, int on);
/* The link's TLS, or NULL. */
const hft_tls *hft_reactor_tls(const hft_reactor *r, uint32_t link);
void hft_reactor_stats(const hft_reactor *r, uint32_t link, hft_link_stats *stats);

#endif
