/* The engine: Bitcoin peers and exchanges on one ring, in one thread; rules turn a transaction into an order.
 *
 * Life: new -> add peers, venues, rules -> [reactor thread:] open -> run -> [any thread:] free.
 * While it runs, other threads may only use the calls marked "any thread". All memory is taken by open; from
 * then on a full queue or table is an answer (an event, a refused order), never an allocation.
 *
 * The reactor resolves no names: it asks (hft_engine_next_resolve) and gets the addresses as a command. */
#ifndef HFT_ENGINE_H
#define HFT_ENGINE_H

#include "hft/btc.h"
#include "hft/conn.h"
#include "hft/hist.h"
#include "hft/json.h"
#include "hft/order.h"
#include "hft/risk.h"
#include "hft/watch.h"

#define HFT_ENGINE_PEERS_MAX 128 /* each has a bit in hft_inventory_entry.announcers */
#define HFT_ENGINE_VENUES_MAX 8
#define HFT_ENGINE_RULES_MAX HFT_RISK_RULES_MAX
#define HFT_ENGINE_ADDRESSES_MAX 8
#define HFT_ENGINE_STATES_MAX 16
#define HFT_ENGINE_ERRORS_MAX 64
#define HFT_CLIENT_ID_MAX 36
#define HFT_EVENT_LABELS_MAX 8

/* ---- configuration ---- */

typedef struct {
    uint8_t spin;             /* 1: never sleep (one core is used up); 0: block in the kernel */
    uint8_t dry_run;          /* 1: orders are built and signed, not sent */
    uint8_t no_rehearsal;     /* 1: the hot path is left to go cold between orders; for measuring the difference */
    uint8_t backend;          /* hft_ring_backend */
    int32_t cpu;              /* core to run on, -1 = any */
    uint32_t magic;           /* Bitcoin network */
    uint32_t message_max, venue_message_max;
    uint32_t event_cap, seen_cap, pending_cap;
    uint32_t inputs_max;      /* of one transaction, whose owners are recovered */
    uint32_t outpoints_cap;   /* recent outpoints remembered; 0 = none: replacements are not noticed */
    uint8_t withdrawals;      /* 1: the inputs of transactions that pay nobody watched are looked at, too */
    uint64_t deposit_min_sat; /* least amount to one watched script, or of a watched owner, that is reported */
    uint64_t whale_min_sat;   /* least output from nobody known to nobody known that is reported; 0 = none */
    uint64_t request_timeout_ns, connect_timeout_ns, handshake_timeout_ns, order_timeout_ns;
    uint64_t venue_handshake_timeout_ns;
    uint64_t announce_timeout_ns; /* what waits for more peers is given up */
    uint64_t ping_interval_ns, idle_timeout_ns, venue_ping_interval_ns, venue_idle_timeout_ns;
    uint64_t backoff_min_ns, backoff_max_ns;
    char user_agent[64];
    hft_risk_limits risk;
    const hft_watch *watch;   /* the caller's; does not change, and outlives the engine or its use of it */
} hft_engine_config;

typedef enum {
    HFT_ORDER_SENT = 0, HFT_ORDER_DRY_RUN, HFT_ORDER_REFUSED, HFT_ORDER_ACKNOWLEDGED, HFT_ORDER_PARTIALLY_FILLED,
    HFT_ORDER_FILLED, HFT_ORDER_CANCELED, HFT_ORDER_REJECTED, HFT_ORDER_UNKNOWN,
} hft_order_state;

typedef enum { /* how an error is to be handled; names in hftcore.venues.ErrorClass, in this order */
    HFT_ERROR_OTHER = 0, HFT_ERROR_CLOCK, HFT_ERROR_AUTH, HFT_ERROR_RATE_LIMIT, HFT_ERROR_ORDER_LIMIT, HFT_ERROR_FILTER,
    HFT_ERROR_DUPLICATE, HFT_ERROR_FUNDS, HFT_ERROR_UNKNOWN_ORDER, HFT_ERROR_WOULD_CROSS,
    HFT_ERROR_OUTCOME_UNKNOWN, HFT_ERROR_HALTED,
} hft_error_class;

enum { /* paths in a venue's messages; n_keys == 0 where the venue has no such thing */
    HFT_REPLY_ID = 0, HFT_REPLY_STATUS, HFT_REPLY_ERROR_CODE, HFT_REPLY_ERROR_MESSAGE, HFT_REPLY_ORDER_ID,
    HFT_REPLY_ORDER_STATUS, HFT_REPLY_FILLED, HFT_REPLY_SERVER_TIME, HFT_REPLY_RETRY_AFTER, HFT_REPLY_EVENT_TYPE,
    HFT_REPLY_EVENT_CLIENT_ID, HFT_REPLY_EVENT_ORIGINAL_ID, HFT_REPLY_EVENT_ORDER_ID,
    HFT_REPLY_EVENT_ORDER_STATUS, HFT_REPLY_EVENT_FILLED, HFT_REPLY_PATHS,
};

typedef struct {
    hft_tls_context *tls;     /* NULL: plain TCP */
    uint16_t port;            /* for TLS: whose session is resumed */
    const char *host;         /* for TLS; the strings are copied */
    const char *host_header, *target, *headers;
    const hft_order_template *time_request;  /* id "time"; copied */
    const hft_order_template *user_request;  /* id "user"; NULL: the venue has none or no key is given */
    hft_json_path replies[HFT_REPLY_PATHS];
    struct { char name[32]; uint8_t state; } states[HFT_ENGINE_STATES_MAX];
    uint32_t n_states;
    struct { int64_t code; char text[64]; uint8_t class; } errors[HFT_ENGINE_ERRORS_MAX]; /* first match counts */
    uint32_t n_errors;
    char order_event[32], shutdown_event[32], stream_end_event[32];
    int64_t open_outcome_status;  /* a reply with this status or a higher one leaves the outcome open; 0 = none does */
    uint64_t server_time_unit_ns; /* of the server time and of retry_after: 1000000 = milliseconds */
    uint64_t placement_max_ns;    /* an order this old is placed, or never will be */
} hft_venue_config;

typedef struct {
    uint32_t venue;
    const hft_order_template *order;  /* slots client_id, timestamp and, where it has them, quantity; copied */
    const hft_order_template *query;  /* asks for an order by client_id; copied */
    uint64_t quantity;                /* in the order template's scale */
    uint64_t notional;                /* for the risk gate */
    uint64_t min_sat;
    uint64_t cooldown_ns;
    uint64_t presign_window_ns;       /* 0: signed when it fires; else signed ahead, with timestamps at most this old */
    uint8_t internal;                 /* 1: moves within one house count as well as deposits */
    uint8_t certain_only;             /* 1: only deposits whose inputs' owners are all known count */
    uint32_t min_peers;               /* network groups that must have announced a transaction, 0 or 1: one will do */
    const uint8_t *labels;            /* bitmap over label numbers, copied; NULL = any */
    uint32_t n_labels;
} hft_rule_config;

/* ---- events ---- */

typedef enum {
    HFT_EVENT_PEER = 1,
    HFT_EVENT_VENUE,
    HFT_EVENT_DEPOSIT,
    HFT_EVENT_WHALE,
    HFT_EVENT_ORDER,
    HFT_EVENT_WATCH,
    HFT_EVENT_WITHDRAWAL,
    HFT_EVENT_INTERNAL,
    HFT_EVENT_REPLACEMENT,
    HFT_EVENT_REVOKED
} hft_event_kind;
typedef enum { HFT_LINK_CONNECTING = 0, HFT_LINK_READY, HFT_LINK_LOST } hft_link_state;
enum { HFT_STAGE_QUEUE = 0, HFT_STAGE_PARSE, HFT_STAGE_VERIFY, HFT_STAGE_DECIDE, HFT_STAGE_BUILD, HFT_STAGE_ENCRYPT,
       HFT_STAGE_SUBMIT, HFT_STAGES };
enum { HFT_LATENCY_TOTAL = HFT_STAGES, HFT_LATENCY_REPLY, HFT_LATENCIES };

/* One record for all kinds; fields that a kind does not use are zero. */
typedef struct {
    uint64_t time_ns;      /* Unix */
    uint8_t kind, state;   /* hft_event_kind; hft_link_state or hft_order_state */
    uint8_t resumed, error_class, n_labels;
    uint8_t client_id_len, order_id_len, filled_len;
    uint16_t peer, venue, rule;
    uint32_t watch;        /* WATCH: number of the change; labels of later events are those of its table */
    int32_t code;          /* HFT_E_*, -errno, or 0 */
    int32_t venue_code;    /* the venue's own error code */
    uint32_t output;
    int32_t protocol_version;
    hft_address address;   /* PEER: whom this is about */
    int64_t clock_offset_ns;
    uint64_t round_trip_ns, reply_ns;
    uint64_t amount_sat, quantity;
    uint32_t labels[HFT_EVENT_LABELS_MAX]; /* n_labels; first the owner, then those on the other side */
    uint32_t inputs, inputs_known, inputs_taproot, inputs_own;
    uint32_t outpoints;                    /* REPLACEMENT: that both transactions spend */
    uint64_t rules, left_sat;              /* REVOKED: that ordered, a bit each; what the owner still gets */
    uint8_t replaced[32];                  /* REPLACEMENT, REVOKED: the earlier transaction */
    uint32_t stages_ns[HFT_STAGES + 1];    /* and the total */
    uint8_t txid[32], wtxid[32];           /* internal order */
    char client_id[HFT_CLIENT_ID_MAX], order_id[36], filled[36];
    char text[256];        /* NUL-terminated: error text, user agent */
} hft_event;

/* ---- commands ---- */

typedef struct {
    uint32_t slot;         /* as given by hft_engine_next_resolve */
    int32_t error;         /* 0, or why there are no addresses: HFT_E_CONN_RESOLVE */
    uint8_t leave;         /* 1: no addresses; ends the peer's session if it is still the one of this serial number */
    uint32_t serial;
    uint32_t n_addresses;
    hft_address addresses[HFT_ENGINE_ADDRESSES_MAX];
    uint64_t groups[HFT_ENGINE_ADDRESSES_MAX]; /* the network group of each; 0 = /16 for IPv4, /32 for IPv6 */
} hft_engine_addresses;

/* ---- counters ---- */

#define HFT_ENGINE_COUNTERS(X)                                                                              \
    X(transactions) X(duplicates) X(unrequested) X(malformed) X(deposits) X(withdrawals) X(internals)       \
    X(whales) X(replacements) X(revoked)                                                                    \
    X(orders_sent) X(orders_dry_run) X(orders_refused) X(orders_acknowledged) X(orders_filled)              \
    X(orders_canceled) X(orders_rejected) X(orders_unknown_now) X(events_dropped) X(messages_in) X(bytes_in) \
    X(bytes_out) X(checksum_errors) X(reconnects) X(peers_ready_now) X(venues_ready_now) X(sockets_now)     \
    X(memory_now) X(loops) X(inbound_refused)

typedef struct {
#define HFT_ENGINE_COUNTER(name) uint64_t name;
    HFT_ENGINE_COUNTERS(HFT_ENGINE_COUNTER)
#undef HFT_ENGINE_COUNTER
} hft_engine_stats;

/* What a peer did in its present session; kept until the next one begins. */
typedef struct {
    uint64_t announced;      /* transactions, each once */
    uint64_t first;          /* of these: before anybody else did, and they arrived */
    uint64_t late, late_ms;  /* of these: after somebody else, and the sum of how much */
    uint64_t merit;          /* thousandths: 1000 for a first one, 1000 / (1 + seconds late) for others */
    uint64_t served;         /* requests that it answered in time with the transaction */
    uint64_t unanswered;     /* requests that it left until the time-out */
    uint64_t addresses;      /* of other nodes, taken */
} hft_peer_counters;

/* ---- peers ---- */

typedef enum {
    HFT_ROLE_FIXED = 0, /* one host, dialled again and again */
    HFT_ROLE_MANAGED,   /* whom to dial is asked anew each time, by hft_engine_next_resolve, and waited for */
    HFT_ROLE_INBOUND,   /* for peers that dial us */
} hft_peer_role;
typedef enum { HFT_SLOT_IDLE = 0, HFT_SLOT_CONNECTING, HFT_SLOT_READY } hft_slot_state;

#define HFT_GROUP_INBOUND UINT64_MAX

/* A peer, as of at most 100 ms ago. Of the last session where there is none now. */
typedef struct {
    hft_peer_counters counters;
    hft_address address;
    uint64_t ready_for_ns;    /* how long it was ready */
    uint64_t transactions;    /* that arrived meanwhile, from whomever */
    uint64_t ping_ns, ping_min_ns; /* last and best round trip, 0 = none */
    uint64_t services, fee_filter, bytes_in, bytes_out; /* bytes: of all sessions */
    int32_t version, start_height;
    int32_t code;             /* why it ended, 0 = it did not */
    uint32_t serial;          /* sessions begun in this slot */
    uint32_t in_flight;       /* requests without an answer */
    uint8_t role, state, wtxid_relay; /* hft_peer_role, hft_slot_state */
    char user_agent[HFT_BTC_USER_AGENT_MAX + 1];
} hft_engine_peer_info;

typedef struct { /* the address of a node, as a peer told it */
    uint64_t services;
    uint32_t time;            /* Unix seconds: last seen by somebody */
    uint16_t port;
    uint8_t address_len, peer; /* 4 or 16; who told */
    uint8_t address[16];
} hft_engine_node;

/* ---- life ---- */

typedef struct hft_engine hft_engine;

/* NULL: no memory. */
hft_engine *hft_engine_new(const hft_engine_config *config);
/* Only while not running. Closes what is open, wipes templates, frees everything. */
void hft_engine_free(hft_engine *engine);

/* Only while not running: gives back the memory that open took. Events not yet read are lost; counters stay. */
void hft_engine_release(hft_engine *engine);

/* Before open. Each returns an index. Errors: HFT_E_ARGUMENT (too many, wrong index, missing slot), HFT_E_MEMORY. */
HFT_NODISCARD int hft_engine_add_peer(hft_engine *engine);
/* n more peers of a role; returns the first one's index. */
HFT_NODISCARD int hft_engine_add_slots(hft_engine *engine, hft_peer_role role, uint32_t n);
/* Accepts peers on a socket that listens, as many as there are slots for; the engine closes it. */
void hft_engine_listen(hft_engine *engine, int fd);
HFT_NODISCARD int hft_engine_add_venue(hft_engine *engine, const hft_venue_config *config, hft_err *err);
HFT_NODISCARD int hft_engine_add_rule(hft_engine *engine, const hft_rule_config *config, hft_err *err);

/* Takes all memory, opens the ring, pins the calling thread. */
HFT_NODISCARD int hft_engine_open(hft_engine *engine, hft_err *err);
/* Runs until stopped, then closes all sockets and the ring. 0, or the error that ended it. Events stay readable. */
HFT_NODISCARD int hft_engine_run(hft_engine *engine);

/* ---- any thread ---- */

/* Asks the reactor to end within timeout_ns: flush, close frames, close. */
void hft_engine_stop(hft_engine *engine, uint64_t timeout_ns);
/* No order leaves while on. */
void hft_engine_kill(hft_engine *engine, int on);
/* A copy of the counters and of one histogram (HFT_STAGE_* or HFT_LATENCY_*); not of one instant while running. */
void hft_engine_read_stats(const hft_engine *engine, hft_engine_stats *stats);
void hft_engine_read_latency(const hft_engine *engine, int which, hft_hist *hist);
void hft_engine_read_peer(const hft_engine *engine, uint32_t peer, hft_engine_peer_info *info);
/* The ring's backend once open, HFT_RING_AUTO before. */
hft_ring_backend hft_engine_backend(const hft_engine *engine);

/* The control plane, one thread at a time. Hands over another watch table, and for each rule the labels that count in
 * it, a bitmap over n_labels or NULL for any (copied). Between two messages the reactor begins to use it, and queues an
 * HFT_EVENT_WATCH with the number, > 0, that is returned here; a table that is put before the last one was taken takes
 * its place. Errors: HFT_E_MEMORY. */
HFT_NODISCARD int hft_engine_put_watch(hft_engine *engine, const hft_watch *watch, const uint8_t *const *labels,
                                       uint32_t n_labels);
/* The control plane, once the event was read: tables before `number` are not used any more. */
void hft_engine_release_watches(hft_engine *engine, uint32_t number);

/* One consumer thread: the next address that a peer told. 1, or 0 = there is none. */
int hft_engine_take_node(hft_engine *engine, hft_engine_node *node);

/* One consumer thread. The fd (an eventfd) becomes readable when an event comes after hft_engine_expect. */
const hft_event *hft_engine_peek_event(hft_engine *engine);
void hft_engine_release_event(hft_engine *engine);
int hft_engine_event_fd(const hft_engine *engine);
/* Asks to be woken; then look once more before sleeping, since an event may have come just before. */
void hft_engine_expect(hft_engine *engine);

/* One resolver thread. The fd (an eventfd) becomes readable when a slot wants addresses. Returns a slot: a peer's
 * index, or HFT_ENGINE_PEERS_MAX + a venue's; -1 = none. */
int hft_engine_next_resolve(hft_engine *engine);
int hft_engine_resolve_fd(const hft_engine *engine);
/* Errors: HFT_E_QUEUE_FULL (try again later). */
HFT_NODISCARD int hft_engine_put_addresses(hft_engine *engine, const hft_engine_addresses *addresses);

#endif
