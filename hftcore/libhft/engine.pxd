from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from hftcore.libhft.hist cimport hft_hist
from hftcore.libhft.json cimport hft_json_path
from hftcore.libhft.order cimport hft_order_template
from hftcore.libhft.risk cimport hft_risk_limits
from hftcore.libhft.status cimport hft_err
from hftcore.libhft.tls cimport hft_tls_context
from hftcore.libhft.watch cimport hft_watch


cdef extern from "hft/ring.h" nogil:
    ctypedef enum hft_ring_backend:
        HFT_RING_AUTO
        HFT_RING_URING
        HFT_RING_EPOLL

    ctypedef struct hft_ring:
        pass

    int hft_ring_open(hft_ring *ring, hft_ring_backend backend, uint32_t slots, hft_err *err)
    void hft_ring_close(hft_ring *ring)


cdef extern from "hft/conn.h" nogil:
    ctypedef struct hft_address:
        pass


cdef extern from "hft/engine.h" nogil:
    enum:
        HFT_ENGINE_PEERS_MAX
        HFT_ENGINE_RULES_MAX
        HFT_ENGINE_VENUES_MAX
        HFT_ENGINE_ADDRESSES_MAX
        HFT_ENGINE_STATES_MAX
        HFT_ENGINE_ERRORS_MAX
        HFT_REPLY_PATHS
        HFT_STAGES
        HFT_LATENCIES
        HFT_EVENT_PEER
        HFT_EVENT_VENUE
        HFT_EVENT_DEPOSIT
        HFT_EVENT_WHALE
        HFT_EVENT_ORDER
        HFT_EVENT_WATCH
        HFT_EVENT_WITHDRAWAL
        HFT_EVENT_INTERNAL
        HFT_EVENT_REPLACEMENT
        HFT_EVENT_REVOKED

    ctypedef struct hft_engine_config:
        uint8_t spin
        uint8_t dry_run
        uint8_t no_rehearsal
        uint8_t backend
        int32_t cpu
        uint32_t magic
        uint32_t message_max
        uint32_t venue_message_max
        uint32_t event_cap
        uint32_t seen_cap
        uint32_t pending_cap
        uint32_t inputs_max
        uint32_t outpoints_cap
        uint8_t withdrawals
        uint64_t deposit_min_sat
        uint64_t whale_min_sat
        uint64_t request_timeout_ns
        uint64_t connect_timeout_ns
        uint64_t handshake_timeout_ns
        uint64_t venue_handshake_timeout_ns
        uint64_t order_timeout_ns
        uint64_t announce_timeout_ns
        uint64_t ping_interval_ns
        uint64_t idle_timeout_ns
        uint64_t venue_ping_interval_ns
        uint64_t venue_idle_timeout_ns
        uint64_t backoff_min_ns
        uint64_t backoff_max_ns
        char user_agent[64]
        hft_risk_limits risk
        const hft_watch *watch

    ctypedef struct hft_venue_state:
        char name[32]
        uint8_t state

    ctypedef struct hft_venue_error:
        int64_t code
        char text[64]
        uint8_t error_class "class"

    ctypedef struct hft_venue_config:
        hft_tls_context *tls
        uint16_t port
        const char *host
        const char *host_header
        const char *target
        const char *headers
        const hft_order_template *time_request
        const hft_order_template *user_request
        hft_json_path *replies
        hft_venue_state *states
        uint32_t n_states
        hft_venue_error *errors
        uint32_t n_errors
        char order_event[32]
        char shutdown_event[32]
        char stream_end_event[32]
        int64_t open_outcome_status
        uint64_t server_time_unit_ns
        uint64_t placement_max_ns

    ctypedef struct hft_rule_config:
        uint32_t venue
        const hft_order_template *order
        const hft_order_template *query
        uint64_t quantity
        uint64_t notional
        uint64_t min_sat
        uint64_t cooldown_ns
        uint64_t presign_window_ns
        uint8_t internal
        uint8_t certain_only
        uint32_t min_peers
        const uint8_t *labels
        uint32_t n_labels

    ctypedef struct hft_event:
        uint64_t time_ns
        uint8_t kind
        uint8_t state
        uint8_t resumed
        uint8_t error_class
        uint8_t n_labels
        uint8_t client_id_len
        uint8_t order_id_len
        uint8_t filled_len
        uint16_t peer
        uint16_t venue
        uint16_t rule
        uint32_t watch
        int32_t code
        int32_t venue_code
        uint32_t output
        int32_t protocol_version
        hft_address address
        int64_t clock_offset_ns
        uint64_t round_trip_ns
        uint64_t reply_ns
        uint64_t amount_sat
        uint64_t quantity
        uint32_t *labels
        uint32_t inputs
        uint32_t inputs_known
        uint32_t inputs_taproot
        uint32_t inputs_own
        uint32_t outpoints
        uint64_t rules
        uint64_t left_sat
        uint8_t *replaced
        uint32_t *stages_ns
        uint8_t *txid
        uint8_t *wtxid
        char *client_id
        char *order_id
        char *filled
        char *text

    ctypedef struct hft_engine_addresses:
        uint32_t slot
        int32_t error
        uint8_t leave
        uint32_t serial
        uint32_t n_addresses
        hft_address *addresses
        uint64_t *groups

    ctypedef struct hft_peer_counters:
        uint64_t announced
        uint64_t first
        uint64_t late
        uint64_t late_ms
        uint64_t merit
        uint64_t served
        uint64_t unanswered
        uint64_t addresses

    ctypedef enum hft_peer_role:
        HFT_ROLE_FIXED
        HFT_ROLE_MANAGED
        HFT_ROLE_INBOUND

    ctypedef struct hft_engine_peer_info:
        hft_peer_counters counters
        hft_address address
        uint64_t ready_for_ns
        uint64_t transactions
        uint64_t ping_ns
        uint64_t ping_min_ns
        uint64_t services
        uint64_t fee_filter
        uint64_t bytes_in
        uint64_t bytes_out
        int32_t version
        int32_t start_height
        int32_t code
        uint32_t serial
        uint32_t in_flight
        uint8_t role
        uint8_t state
        uint8_t wtxid_relay
        char *user_agent

    ctypedef struct hft_engine_node:
        uint64_t services
        uint32_t time
        uint16_t port
        uint8_t address_len
        uint8_t peer
        uint8_t *address

    ctypedef struct hft_engine_stats:
        uint64_t transactions
        uint64_t duplicates
        uint64_t unrequested
        uint64_t malformed
        uint64_t deposits
        uint64_t withdrawals
        uint64_t internals
        uint64_t whales
        uint64_t replacements
        uint64_t revoked
        uint64_t orders_sent
        uint64_t orders_dry_run
        uint64_t orders_refused
        uint64_t orders_acknowledged
        uint64_t orders_filled
        uint64_t orders_canceled
        uint64_t orders_rejected
        uint64_t orders_unknown_now
        uint64_t events_dropped
        uint64_t messages_in
        uint64_t bytes_in
        uint64_t bytes_out
        uint64_t checksum_errors
        uint64_t reconnects
        uint64_t peers_ready_now
        uint64_t venues_ready_now
        uint64_t sockets_now
        uint64_t memory_now
        uint64_t loops
        uint64_t inbound_refused

    ctypedef struct hft_engine:
        pass

    hft_engine *hft_engine_new(const hft_engine_config *config)
    void hft_engine_free(hft_engine *engine)
    void hft_engine_release(hft_engine *engine)
    int hft_engine_add_peer(hft_engine *engine)
    int hft_engine_add_slots(hft_engine *engine, hft_peer_role role, uint32_t n)
    void hft_engine_listen(hft_engine *engine, int fd)
    void hft_engine_read_peer(const hft_engine *engine, uint32_t peer, hft_engine_peer_info *info)
    int hft_engine_take_node(hft_engine *engine, hft_engine_node *node)
    int hft_engine_add_venue(hft_engine *engine, const hft_venue_config *config, hft_err *err)
    int hft_engine_add_rule(hft_engine *engine, const hft_rule_config *config, hft_err *err)
    int hft_engine_open(hft_engine *engine, hft_err *err)
    int hft_engine_run(hft_engine *engine)
    void hft_engine_stop(hft_engine *engine, uint64_t timeout_ns)
    void hft_engine_kill(hft_engine *engine, int on)
    void hft_engine_read_stats(const hft_engine *engine, hft_engine_stats *stats)
    void hft_engine_read_latency(const hft_engine *engine, int which, hft_hist *hist)
    hft_ring_backend hft_engine_backend(const hft_engine *engine)
    int hft_engine_put_watch(hft_engine *engine, const hft_watch *watch, const uint8_t **labels, uint32_t n_labels)
    void hft_engine_release_watches(hft_engine *engine, uint32_t number)
    const hft_event *hft_engine_peek_event(hft_engine *engine)
    void hft_engine_release_event(hft_engine *engine)
    int hft_engine_event_fd(const hft_engine *engine)
    void hft_engine_expect(hft_engine *engine)
    int hft_engine_next_resolve(hft_engine *engine)
    int hft_engine_resolve_fd(const hft_engine *engine)
    int hft_engine_put_addresses(hft_engine *engine, const hft_engine_addresses *addresses)
