/* The engine's insides, shared by its source files. Private.
 *
 *   engine.c            life: memory, loop, timers, stop
 *   engine_links.c      connecting and reconnecting, for peers and venues alike
 *   engine_peers.c      peers' slots, sessions and worth; peers that dial in
 *   engine_inventory.c  announcements: whom to ask for which transaction
 *   engine_watch.c      the watch table in use, and what a transaction pays to whom
 *   engine_tx.c         THE HOT PATH: transaction bytes to submitted order
 *   engine_inputs.c     who spends: the watched owners among a transaction's inputs
 *   engine_conflicts.c  what was spent before, and by whom
 *   engine_waiting.c    orders that wait for more peers to announce the same
 *   engine_signals.c    what a transaction is, told once its orders have left
 *   engine_venue.c      a venue's session: clock, login, messages
 *   engine_orders.c     orders sent and their fate
 *   engine_events.c     events, counters, the calls of other threads
 */
#ifndef HFT_ENGINE_INTERNAL_H
#define HFT_ENGINE_INTERNAL_H

#include <stdatomic.h>

#include "hft/clock.h"
#include "hft/engine.h"
#include "hft/inventory.h"
#include "hft/outpoint.h"
#include "hft/peer.h"
#include "hft/presign.h"
#include "hft/spsc.h"
#include "hft/wsclient.h"

#define HFT_IN_FLIGHT_MAX 100      /* transactions asked of one peer at a time, as Bitcoin Core does */
#define HFT_ANNOUNCED_MAX 5000     /* announcements in one peer's account, as Bitcoin Core allows */
#define HFT_ACCOUNT_NS 60000000000u /* a peer's account is new each minute: what it owes does not make it mute */
#define HFT_UNANSWERED_MAX 5       /* requests in a row; from then on a peer is asked for one thing at a time */
#define HFT_INVENTORY_TICK_NS 20000000u
#define HFT_REQUEST_BATCH 1000     /* hashes in one getdata at most */
#define HFT_ALLOWANCE_MAX 4194304  /* bytes that a peer may send at once, and ... */
#define HFT_ALLOWANCE_PER_S 16777216 /* ... from then on each second; TCP holds up the rest */
#define HFT_MESSAGE_COST 256       /* bytes that a message counts besides its own */
#define HFT_NODES_CAP 4096         /* addresses of other nodes that wait for the manager */
#define HFT_PUBLISH_NS 100000000u  /* what is known of peers is this fresh */
#define HFT_MATCHED_CAP 8192       /* txids with deposits or whales remembered */
#define HFT_SENDERS_MAX 64         /* watched owners told apart among the inputs of one transaction */
#define HFT_WAITING_MAX 256        /* orders that wait for more peers */
#define HFT_SPENT_MAX 2500         /* inputs of one transaction whose outpoints are remembered: nodes relay no more */
#define HFT_SPENT_BATCH 32         /* looked up at once */
#define HFT_REPLACED_MAX 16        /* transactions that one may replace and be told of */
#define HFT_TOLD_OWNERS_MAX 8      /* owners paid by one transaction who can be told that it was revoked */
#define HFT_FIRED_CAP 4096         /* transactions remembered that were ordered for: none fires twice */
#define HFT_EVENT_RESERVE 64       /* records kept free for the fate of orders: informational events may not use them */
#define HFT_TICK_NS 10000000u      /* timers are looked at this often */
#define HFT_CLOCK_SYNC_NS 60000000000u
#define HFT_QUERIES_MAX 4          /* questions about one order without an answer */
#define HFT_HOLD_NS 10000000000u   /* a venue that says "too many requests" and not for how long */
#define HFT_HOLD_MAX_NS 259200000000000u /* three days, the longest ban there is (Binance) */
#define HFT_QUERY_INTERVAL_NS 1000000000u
#define HFT_QUERY_DOUBLINGS 5      /* of that interval: 32 s, so that asking never eats up a venue's rate limit */
#define HFT_ROUND_TRIP_MAX_NS 2000000000u /* a slower answer says too little about the venue's clock */
#define HFT_LEAVE_NS 2000000000u   /* a closing handshake may take this long */
#define HFT_REHEARSAL_NS 1000000u  /* the hot path is rehearsed at most this often */
#define HFT_REHEARSED_RULES 4      /* at a time, in turn */
#define HFT_PRESIGN_COUNT 32       /* orders signed ahead for each rule that wants it: they reach further than ... */
#define HFT_PRESIGN_STEP_NS 10000000u /* ... the longest sleep */
#define HFT_BLOCKS_MAX (HFT_ENGINE_PEERS_MAX * 2 + HFT_ENGINE_VENUES_MAX * 5 + 24)
#define HFT_STRING_MAX 1024

/* Counters are written by the reactor alone and read by any thread. */
#define HFT_COUNT(counter, n) __atomic_store_n(&(counter), (counter) + (uint64_t)(n), __ATOMIC_RELAXED)

/* What reconnecting needs, the same for a peer and a venue. */
typedef struct {
    hft_address addresses[HFT_ENGINE_ADDRESSES_MAX];
    uint64_t groups[HFT_ENGINE_ADDRESSES_MAX];
    uint32_t n_addresses, next_address;
    uint32_t attempts;           /* since it last stayed ready for as long as the longest delay */
    uint8_t waiting_for_address;
    uint8_t ready;
    uint64_t ready_since_ns;
    uint64_t retry_at_ns;        /* IDLE: when to try again */
    uint64_t deadline_ns;        /* not ready: when to give up this attempt */
    uint64_t connect_deadline_ns;
} hft_link;

typedef struct {
    hft_link link;
    hft_peer session;
    uint32_t in_flight;          /* transactions asked of it */
    uint32_t announced;          /* its account: what it announced first in this period and has not delivered */
    uint64_t period_ends_ns;
    uint8_t period;
    uint32_t unanswered;         /* requests in a row that timed out */
    uint8_t backlog;             /* something it announced waits to be asked for */
    uint64_t group_bit;          /* its network group's place in hft_inventory_entry.groups */
    hft_peer_counters counters;  /* of this session, as the next six */
    uint32_t serial;
    int32_t code;
    uint64_t ready_for_ns, transactions, transactions_before;
    uint32_t address_credit;     /* addresses of other nodes that it may still tell */
    uint64_t address_credit_ns;
    uint8_t role;                /* hft_peer_role */
    uint8_t held;                /* it is not received from now */
    int64_t allowance;           /* bytes that it may still send: see HFT_ALLOWANCE_PER_S */
    uint64_t allowance_ns, bytes_seen, messages_seen;
    _Atomic uint32_t change;     /* odd while info changes */
    hft_engine_peer_info info;   /* what other threads read */
} hft_engine_peer;

typedef struct {
    hft_link link;
    hft_wsclient session;
    hft_venue_config config;     /* its strings point into `strings` */
    hft_order_template time_request, user_request;
    char strings[4][HFT_STRING_MAX]; /* host, host header, target, headers */
    uint8_t clock_known, user_known;
    int64_t clock_offset_ns;     /* venue's clock minus ours */
    uint64_t time_sent_ns;       /* monotonic; 0 = no time request is out */
    uint64_t time_round_trip_ns;
    uint64_t next_time_sync_ns;
    uint64_t hold_until_ns;      /* monotonic: the venue asked us to wait */
} hft_engine_venue;

typedef struct {
    uint32_t venue;
    int client_id_slot, quantity_slot, timestamp_slot;
    uint64_t quantity, notional, min_sat, cooldown_ns;
    const uint8_t *labels;       /* of the table in use */
    uint8_t *first_labels;       /* of the table that the engine began with */
    uint32_t n_labels;
    uint8_t internal, certain_only;
    uint32_t min_peers;          /* network groups that must have announced it */
    hft_order_template order, query;
    int query_client_id_slot, query_timestamp_slot;
    uint64_t presign_window_ns;  /* 0: signed when it fires */
    hft_presign ahead;
} hft_engine_rule;

typedef struct { /* an order without a final answer */
    uint8_t used, state;
    uint8_t dirty;               /* the event about its state could not be queued yet */
    uint8_t accepted;            /* the venue has taken it */
    uint8_t ask;                 /* its state must be asked for: events may have been missed */
    uint8_t n_queries;           /* since then, for the pause before the next */
    uint8_t queries_out;         /* questions without an answer on this connection, oldest first in query_sent_ns */
    uint8_t client_id_len, order_id_len, filled_len, error_class;
    uint16_t rule, venue;
    int32_t code, venue_code;
    uint64_t sent_ns, reply_ns, next_query_ns;
    uint64_t query_sent_ns[HFT_QUERIES_MAX];
    uint64_t amount_sat, quantity;
    uint8_t txid[32];
    char client_id[HFT_CLIENT_ID_MAX], order_id[36], filled[36];
    char text[128];
} hft_pending;

typedef struct { /* what one transaction pays to one watched script */
    uint64_t amount_sat;
    uint32_t entry, label, output, slot;
    uint8_t own;                 /* its owner spends in the same transaction: change, or a move within one house */
} hft_deposit;

typedef struct { /* a watched owner among the inputs of one transaction */
    uint32_t label, n_inputs;
    uint64_t own_sat;            /* what the transaction pays to scripts of the same owner; see hft_inputs_weigh */
} hft_sender;

typedef struct { /* what the inputs of one transaction show */
    uint32_t n_known;            /* inputs whose owner could be told, watched or not */
    uint32_t n_taproot;          /* inputs whose owner taproot hides */
    uint32_t n_senders;
    uint8_t looked_at, weighed;
    uint64_t total_sat;          /* of all outputs; set by hft_inputs_weigh */
    hft_sender senders[HFT_SENDERS_MAX];
} hft_inputs;

typedef struct { /* a transaction that has just come in */
    hft_btc_tx tx;
    uint8_t txid[32], wtxid[32];
    uint8_t txid_known;
    hft_inventory_entry *announced; /* NULL: nobody was asked for it */
    uint32_t peer;
    uint64_t unknown_sat;        /* the largest output to a script that is not watched */
    uint64_t ticks[HFT_STAGES + 1]; /* [i]..[i+1] is stage i */
    uint64_t fired;              /* rules that ordered for it; a bit each */
    uint64_t barred;             /* rules that ordered for one that it replaces */
    uint32_t n_located, located_pos;
    uint64_t located[HFT_SPENT_BATCH]; /* its first outpoints, see outpoint.h; located_pos is behind them */
    hft_inputs inputs;
} hft_arrival;

typedef struct { uint64_t amount_sat; uint32_t label; } hft_payment;

typedef struct { /* of a transaction that was told of */
    uint64_t fired;              /* rules that ordered for it, or for another of its group */
    uint32_t table;              /* labels are those of this watch table */
    uint32_t n_paid;
    hft_payment paid[HFT_TOLD_OWNERS_MAX];
} hft_told;

typedef struct hft_watch_change hft_watch_change;

typedef struct { /* an order that waits for more peers; all wait equally long, so the first is the oldest */
    uint8_t txid[32], wtxid[32];
    uint64_t amount_sat, deadline_ns;
    uint32_t rule;
} hft_waiting;

typedef struct { /* outputs that are looked up together */
    uint32_t n;
    uint32_t entries[HFT_WATCH_BATCH];
    int64_t labels[HFT_WATCH_BATCH];
    uint64_t values[HFT_WATCH_BATCH];
} hft_output_batch;

struct hft_engine {
    /* hot */
    hft_clock clock;
    hft_ring ring;
    hft_wsclient_masks masks;
    hft_engine_config config;
    hft_risk risk;
    hft_inventory inventory;     /* by announced hash */
    hft_inventory matched;       /* by txid: reported already */
    hft_inventory fired;         /* by txid: ordered already, for it or for one that it replaces */
    uint64_t *fired_rules;       /* of the entry at the same place in fired: by which rules, a bit each */
    hft_outpoints outpoints;
    hft_waiting *waiting;
    uint32_t n_waiting;
    hft_told *told;              /* of the entry at the same place in matched */
    uint64_t *told_groups;       /* likewise: of those that replace one another; 0 = none does */
    uint64_t last_group;
    uint32_t n_watches;          /* watch tables used so far */
    uint64_t reaped_tick;        /* when the completion at hand was reaped */
    uint64_t now_ns;             /* monotonic, of this turn of the loop */
    uint64_t deposit_floor_sat;  /* least that is to be reported or that a rule acts on */
    hft_deposit *deposits;       /* of the transaction at hand */
    uint32_t n_deposits;
    uint32_t deposit_slot_mask;
    uint32_t *deposit_slots;     /* by watch entry: number of a deposit + 1; zero between transactions */
    uint64_t deposit_multiplier;
    hft_engine_stats stats;
    hft_hist *latency;           /* HFT_LATENCIES */

    hft_engine_peer *peers;
    hft_engine_venue *venues;
    hft_engine_rule *rules;
    uint32_t n_peers, n_venues, n_rules;
    hft_pending *pending;
    uint32_t n_pending;

    /* with other threads */
    hft_spsc events, commands;
    hft_spsc nodes;              /* if ask_addresses */
    int event_fd, resolve_fd, wake_fd;
    _Atomic(hft_watch_change *) watch_change; /* the table to use next, or NULL */
    _Atomic int expecting;       /* the consumer sleeps, or is about to */
    _Atomic int killed;
    _Atomic uint64_t stop_timeout_ns; /* 0 = go on */
    _Atomic uint8_t resolve_wanted[HFT_ENGINE_PEERS_MAX + HFT_ENGINE_VENUES_MAX];
    uint64_t wake_count;         /* read target of wake_fd */
    hft_watch_change *watch_changes; /* the control plane's: the latest first */

    uint8_t opened, stopping, wake_in_flight;
    uint8_t unsettled;           /* a link is on its way up, or waits for its next attempt */
    uint8_t ask_addresses;       /* peers are asked for addresses of other nodes */
    uint8_t accepting;           /* an accept is in flight */
    int listen_fd;               /* -1: nobody may dial us */
    uint64_t next_publish_ns;
    uint8_t signing_ahead;       /* an order was signed ahead in this turn: the next one may be missing too */
    uint8_t rehearsal_due;       /* transactions were asked for: one of them may be an order soon */
    uint32_t next_rehearsed;
    uint64_t stop_deadline_ns, next_tick_ns, next_inventory_ns, next_resync_ns, next_rehearsal_ns, next_presign_ns;
    uint32_t announced_max;      /* per peer: all peers together can fill half of the inventory at most */
    uint64_t random_state;       /* for jitter only */
    uint64_t group_key;          /* random: which network groups share a place */
    uint8_t *request_hashes;     /* HFT_REQUEST_BATCH * 32 */
    uint8_t *presign_memory;     /* NULL: no rule is signed ahead */
    size_t presign_size;
    struct { void *memory; size_t size; } blocks[HFT_BLOCKS_MAX]; /* memory taken, to be given back */
    uint32_t n_blocks;
};

/* Slots of the ring: the peers, then the venues, then the wake-up descriptor. */
static inline uint32_t hft_slot_of_venue(const hft_engine *e, uint32_t venue) { return e->n_peers + venue; }
static inline uint32_t hft_slot_of_wake(const hft_engine *e) { return e->n_peers + e->n_venues; }
static inline hft_link *hft_link_of(hft_engine *e, uint32_t slot) {
    return slot < e->n_peers ? &e->peers[slot].link : &e->venues[slot - e->n_peers].link;
}
static inline hft_conn *hft_conn_of(hft_engine *e, uint32_t slot) {
    return slot < e->n_peers ? &e->peers[slot].session.conn : &e->venues[slot - e->n_peers].session.conn;
}

/* engine.c */
uint64_t hft_engine_wall_ns(const hft_engine *e);

static inline uint32_t hft_slot_of_listen(const hft_engine *e) { return hft_slot_of_wake(e) + 1; }

/* engine_links.c */
/* A peer that dialled us has a connection. */
void hft_link_accepted(hft_engine *e, uint32_t slot);
void hft_link_addresses(hft_engine *e, const hft_engine_addresses *command);
/* Starts attempts that are due and ends those that take too long. */
void hft_link_tick(hft_engine *e, uint32_t slot);
/* 0 while only time can tell what becomes of it. */
int hft_link_is_settled(hft_engine *e, uint32_t slot);
/* Counts and reports that a session has become ready, or is no more (0 or 1). */
void hft_link_set_ready(hft_engine *e, uint32_t slot, int ready);
/* The ring is gone: all connections with it. */
void hft_link_abandon_all(hft_engine *e, int code);
/* Settles the connection of a slot if it is closing: tells the session, reports, plans the next attempt. */
void hft_link_settle(hft_engine *e, uint32_t slot);

/* engine_peers.c */
/* A session begins, is ready, is over. group: 0 = by the address. */
void hft_peers_begin(hft_engine *e, uint32_t peer, const hft_address *address, uint64_t group);
void hft_peers_on_ready(hft_engine *e, uint32_t peer);
void hft_peers_on_down(hft_engine *e, uint32_t peer);
void hft_peers_on_addrs(hft_engine *e, uint32_t peer, hft_btc_addrs *addrs);
/* Makes what is known of a peer readable for other threads. */
void hft_peers_publish(hft_engine *e, uint32_t peer);
HFT_NODISCARD int hft_peers_listen(hft_engine *e);
/* 0: the peer sends more than its share, and is not received from until a tick allows it. */
int hft_peers_may_receive(hft_engine *e, uint32_t peer);
void hft_peers_on_accept(hft_engine *e, int32_t result);
void hft_peers_tick(hft_engine *e);

/* engine_inventory.c */
void hft_inventory_on_inv(hft_engine *e, uint32_t peer, const uint8_t *entries, size_t n);
void hft_inventory_on_notfound(hft_engine *e, uint32_t peer, const uint8_t *entries, size_t n);
/* Adds a hash that is not there; the oldest makes room. */
hft_inventory_entry *hft_inventory_remember(hft_engine *e, const uint8_t hash[32]);
void hft_inventory_received(hft_engine *e, hft_inventory_entry *entry, uint32_t peer);
/* Asks a peer that has room for what it announced and nobody was asked for. */
void hft_inventory_request_more(hft_engine *e, uint32_t peer);
void hft_inventory_on_peer_down(hft_engine *e, uint32_t peer);
void hft_inventory_tick(hft_engine *e);

/* engine_tx.c */
void hft_engine_on_tx(hft_engine *e, uint32_t peer, const hft_btc_message *message);
/* The way of one order, from the decision on. code: 0, or why it is refused in any case. */
void hft_engine_act(hft_engine *e, uint32_t rule_index, hft_arrival *t, uint64_t amount_sat, int code);
void hft_engine_rehearse(hft_engine *e);
/* Signs one order ahead where one is missing. Returns 1 if it did. */
int hft_engine_sign_ahead(hft_engine *e);

/* engine_watch.c */
/* The next outputs of a transaction that has `left` more from *pos on, and what they are under in the watch table;
 * a label below 0: nothing. */
void hft_outputs_next(const hft_engine *e, hft_output_batch *batch, const hft_btc_tx *tx, uint32_t left,
                      uint32_t *pos);
/* The deposit to a watch entry in the transaction at hand; a new one has no amount. */
hft_deposit *hft_deposits_at(hft_engine *e, uint32_t entry);
/* Drops those that are too small for anybody. */
void hft_deposits_end(hft_engine *e);
/* Begins to use the table that the control plane has put, if there is one. */
void hft_engine_take_watch(hft_engine *e);
/* engine_inputs.c */
/* Recovers the owners of the inputs, once, and marks the deposits that are none. */
void hft_inputs_look(hft_engine *e, hft_arrival *t);
/* Sums, once, what the outputs pay to each sender. After look. */
void hft_inputs_weigh(hft_engine *e, hft_arrival *t);
/* The watched owner among the inputs, or NULL. After look. */
const hft_sender *hft_inputs_sender(const hft_arrival *t, uint32_t label);
/* 1 if the owner pays nobody else. After weigh. */
static inline int hft_is_internal(const hft_arrival *t, const hft_sender *sender) {
    return sender->own_sat == t->inputs.total_sat;
}

/* engine_conflicts.c */
/* Begins to look up what a transaction spends. */
void hft_conflicts_locate(hft_engine *e, hft_arrival *t);
/* The rules that ordered for one that this transaction replaces. After locate. */
uint64_t hft_conflicts_fired(hft_engine *e, const hft_arrival *t);
/* Notes what a new transaction spends, and tells what it replaces and revokes. told: its record, or NULL. */
void hft_conflicts_note(hft_engine *e, hft_arrival *t, hft_told *told);
/* The rules that ordered for a transaction, or for one that it replaces; as far back as orders are remembered. */
uint64_t hft_fired_rules(const hft_engine *e, const uint8_t txid[32]);
void hft_fired_add(hft_engine *e, const uint8_t txid[32], uint64_t rules);
/* The record of a transaction that was told of, or NULL. */
hft_told *hft_told_find(hft_engine *e, const uint8_t txid[32]);
/* Adds one for a transaction that has none; the oldest makes room. */
hft_told *hft_told_add(hft_engine *e, const hft_arrival *t);
/* Notes that rules have ordered for a transaction. */
void hft_told_fire(hft_engine *e, hft_told *told, uint64_t rules);
/* Sees to it that the txid is known. */
static inline void hft_arrival_name(hft_arrival *t) {
    if (!t->txid_known) hft_btc_txid(t->txid, &t->tx);
    t->txid_known = 1;
}
/* 1 if payments to an owner are of interest to a rule. */
static inline int hft_rule_counts(const hft_engine_rule *rule, uint32_t label) {
    if (rule->labels == NULL) return 1;
    return label < rule->n_labels && (rule->labels[label >> 3] >> (label & 7) & 1) != 0;
}

/* engine_waiting.c */
/* How many network groups have announced a transaction. */
uint32_t hft_waiting_groups(hft_engine *e, const uint8_t txid[32], const uint8_t wtxid[32]);
void hft_waiting_add(hft_engine *e, uint32_t rule, const hft_arrival *t, uint64_t amount_sat);
/* 1 if an order of that rule waits for a transaction, under any witness. */
int hft_waiting_has(const hft_engine *e, uint32_t rule, const uint8_t txid[32]);
/* Another witness, whose announcement counts as well; not if that would push out what waits. */
void hft_waiting_add_witness(hft_engine *e, uint32_t rule, const hft_arrival *t, uint64_t amount_sat);
/* A network group more has announced it. */
void hft_waiting_on_announcement(hft_engine *e, const uint8_t hash[32]);
void hft_waiting_tick(hft_engine *e);

/* engine_signals.c */
/* A record for a signal about a transaction, or NULL. */
hft_event *hft_signals_begin(hft_engine *e, hft_event_kind kind, const hft_arrival *t);
/* A transaction from nobody known with a large output to nobody known, as far as the outputs say. */
static inline int hft_may_be_whale(const hft_engine *e, const hft_arrival *t) {
    return e->config.whale_min_sat != 0 && t->unknown_sat >= e->config.whale_min_sat;
}
/* Tells what a new transaction is. matters: by its outputs, and not told before. */
void hft_signals_report(hft_engine *e, hft_arrival *t, int matters);
static inline uint32_t hft_clamp_u32(uint64_t value) { return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX; }
static inline uint64_t hft_stage_ns(const hft_engine *e, const hft_arrival *t, int stage) {
    return hft_ticks_to_ns(&e->clock, t->ticks[stage + 1] - t->ticks[stage]);
}

/* engine_venue.c */
void hft_venue_on_up(hft_engine *e, uint32_t venue);
void hft_venue_on_data(hft_engine *e, uint32_t venue);
void hft_venue_tick(hft_engine *e, uint32_t venue);
void hft_venue_on_down(hft_engine *e, uint32_t venue);
/* Fills, signs and frames a message; the frame stands in the session's space until the next one. */
int hft_venue_frame(hft_wsclient *session, const uint8_t **frame, size_t *frame_len, hft_order_template *t,
                    const hft_order_value *values);
/* Fills a template that needs at most a client id and a timestamp, and sends it. */
int hft_venue_send(hft_engine *e, uint32_t venue, hft_order_template *t, int client_id_slot, int timestamp_slot,
                   const char *client_id, size_t client_id_len);
/* The venue's clock at a tick stamp. */
uint64_t hft_venue_time_ns(const hft_engine *e, uint32_t venue, uint64_t tick);

/* 1 while the venue wants to be left alone. */
static inline int hft_venue_is_held(const hft_engine *e, const hft_engine_venue *v) {
    return e->now_ns < v->hold_until_ns;
}
/* Takes note of an error reply that asks for a pause. */
void hft_venue_hold(hft_engine *e, uint32_t venue, const hft_json_value *values, uint8_t class);

/* engine_orders.c */
/* A free record, or NULL. */
hft_pending *hft_orders_reserve(hft_engine *e);
void hft_orders_on_reply(hft_engine *e, uint32_t venue, const hft_json_value *values, int is_query);
void hft_orders_on_event(hft_engine *e, uint32_t venue, const hft_json_value *values);
void hft_orders_on_venue_down(hft_engine *e, uint32_t venue);
/* Events may have been missed: every order of the venue is asked for. */
void hft_orders_ask_all(hft_engine *e, uint32_t venue);
int64_t hft_orders_integer(const hft_json_value *value);
void hft_orders_tick(hft_engine *e);
/* The class of an error reply, by its code and message. */
uint8_t hft_orders_error_class(const hft_engine_venue *v, const hft_json_value *values);

/* engine_events.c */
/* A record to fill, or NULL if full; informational ones leave HFT_EVENT_RESERVE free. Zeroed, with time and kind
 * set. */
hft_event *hft_events_begin(hft_engine *e, hft_event_kind kind, int informational);
void hft_events_end(hft_engine *e);
/* 1 if the events of one more order are sure to find room. */
int hft_events_room_for_order(hft_engine *e);
void hft_event_text(hft_event *event, const char *text);
/* Ends the reactor's sleep. */
void hft_engine_wake(hft_engine *e);

#endif
