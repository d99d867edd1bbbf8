#include <string.h>
#include <unistd.h>

#include "engine_internal.h"
#include "hft/endian.h"

static int is_peer(const hft_engine *e, uint32_t slot) { return slot < e->n_peers; }

/* Uniform in [0, bound): jitter needs no more than xorshift. */
static uint64_t random_below(hft_engine *e, uint64_t bound) {
    e->random_state ^= e->random_state << 13;
    e->random_state ^= e->random_state >> 7;
    e->random_state ^= e->random_state << 17;
    return bound == 0 ? 0 : e->random_state % bound;
}

/* Exponential, capped, and spread over the upper half, so that many clients do not come back at once. */
static void plan_retry(hft_engine *e, hft_link *link) {
    uint64_t delay_ns = e->config.backoff_min_ns;
    for (uint32_t i = 0; i < link->attempts && delay_ns < e->config.backoff_max_ns; i++) delay_ns *= 2;
    if (delay_ns > e->config.backoff_max_ns) delay_ns = e->config.backoff_max_ns;
    link->retry_at_ns = e->now_ns + delay_ns / 2 + random_below(e, delay_ns / 2 + 1);
    link->attempts++;
}

static void report(hft_engine *e, uint32_t slot, hft_link_state state, const hft_err *err) {
    hft_event *event = hft_events_begin(e, is_peer(e, slot) ? HFT_EVENT_PEER : HFT_EVENT_VENUE, 1);
    if (event == NULL) return;
    event->state = (uint8_t)state;
    if (is_peer(e, slot)) {
        const hft_peer *session = &e->peers[slot].session;
        event->peer = (uint16_t)slot;
        event->protocol_version = session->version;
        if (state == HFT_LINK_READY) hft_event_text(event, session->user_agent);
    } else {
        const hft_engine_venue *v = &e->venues[slot - e->n_peers];
        event->venue = (uint16_t)(slot - e->n_peers);
        event->resumed = v->session.conn.tls.resumed;
        event->clock_offset_ns = v->clock_offset_ns;
        event->round_trip_ns = v->time_round_trip_ns;
    }
    if (err != NULL) {
        event->code = err->code;
        hft_event_text(event, err->text);
    }
    hft_events_end(e);
}

static uint32_t resolve_index(const hft_engine *e, uint32_t slot) {
    return is_peer(e, slot) ? slot : HFT_ENGINE_PEERS_MAX + (slot - e->n_peers);
}

/* Addresses are asked for anew before each attempt: a host may have moved. */
static void want_address(hft_engine *e, uint32_t slot) {
    uint64_t one = 1;
    hft_link *link = hft_link_of(e, slot);
    link->waiting_for_address = 1;
    link->deadline_ns = e->now_ns + e->config.handshake_timeout_ns;
    atomic_store_explicit(&e->resolve_wanted[resolve_index(e, slot)], 1, memory_order_release);
    (void)!write(e->resolve_fd, &one, sizeof one);
}

/* The network group of an address: /16 for IPv4, /32 for IPv6 (as Bitcoin Core without a map of AS numbers). */
static uint64_t group_of(const hft_address *address) {
    if (address->any.sa_family == AF_INET6) {
        const uint8_t *ip = address->v6.sin6_addr.s6_addr;
        return 2ull << 32 | hft_load_le32(ip);
    }
    return 1ull << 32 | (address->v4.sin_addr.s_addr & htonl(0xffff0000u));
}

/* A group's place among the 64 of an inventory entry. By a random key, so that no stranger can choose to share one. */
static uint64_t place_of(const hft_engine *e, uint64_t group) {
    return 1ull << ((group ^ e->group_key) * 0x9e3779b97f4a7c15u * (e->group_key | 1) >> 58);
}

static void begin_session(hft_engine *e, uint32_t peer, const hft_address *address) {
    hft_engine_peer *p = &e->peers[peer];
    memset(&p->counters, 0, sizeof p->counters);
    p->group_bit = place_of(e, group_of(address));
}

static void fail_attempt(hft_engine *e, uint32_t slot, int code, const char *text) {
    hft_link *link = hft_link_of(e, slot);
    hft_err err = {0};
    link->waiting_for_address = 0;
    (void)hft_fail(&err, code, 0, text);
    plan_retry(e, link);
    report(e, slot, HFT_LINK_LOST, &err);
}

static void connect_next(hft_engine *e, uint32_t slot) {
    hft_link *link = hft_link_of(e, slot);
    hft_conn *conn = hft_conn_of(e, slot);
    link->waiting_for_address = 0;
    link->deadline_ns = e->now_ns + e->config.handshake_timeout_ns;
    link->connect_deadline_ns = e->now_ns + e->config.connect_timeout_ns;
    report(e, slot, HFT_LINK_CONNECTING, NULL);
    const hft_address *address = &link->addresses[link->next_address++ % link->n_addresses];
    if (is_peer(e, slot)) begin_session(e, slot, address);
    int rc = hft_conn_connect(conn, address);
    if (rc < 0) fail_attempt(e, slot, rc, conn->err.text);
    else HFT_COUNT(e->stats.sockets_now, 1);
}

void hft_link_addresses(hft_engine *e, const hft_engine_addresses *command) {
    int for_venue = command->slot >= HFT_ENGINE_PEERS_MAX;
    uint32_t index = for_venue ? command->slot - HFT_ENGINE_PEERS_MAX : command->slot;
    if (index >= (for_venue ? e->n_venues : e->n_peers)) return;
    uint32_t slot = for_venue ? hft_slot_of_venue(e, index) : index;
    hft_link *link = hft_link_of(e, slot);
    if (!link->waiting_for_address || e->stopping) return;
    if (command->error != 0 || command->n_addresses == 0) {
        fail_attempt(e, slot, command->error != 0 ? command->error : HFT_E_CONN_RESOLVE, NULL);
        return;
    }
    link->n_addresses =
        command->n_addresses <= HFT_ENGINE_ADDRESSES_MAX ? command->n_addresses : HFT_ENGINE_ADDRESSES_MAX;
    memcpy(link->addresses, command->addresses, link->n_addresses * sizeof *link->addresses);
    connect_next(e, slot);
}

void hft_link_set_ready(hft_engine *e, uint32_t slot, int ready) {
    hft_link *link = hft_link_of(e, slot);
    if (link->ready == ready) return;
    link->ready = (uint8_t)ready;
    uint64_t *counter = is_peer(e, slot) ? &e->stats.peers_ready_now : &e->stats.venues_ready_now;
    HFT_COUNT(*counter, ready ? 1 : -1);
    if (!ready) {
        /* Only one that stayed is a success: a server that drops us again and again must not be stormed. */
        if (e->now_ns - link->ready_since_ns >= e->config.backoff_max_ns) link->attempts = 0;
        return;
    }
    link->ready_since_ns = e->now_ns;
    report(e, slot, HFT_LINK_READY, NULL);
}

/* The connection is gone: tells the session, and what depends on it. */
static void on_down(hft_engine *e, uint32_t slot) {
    HFT_COUNT(e->stats.sockets_now, -1);
    hft_link_set_ready(e, slot, 0);
    if (is_peer(e, slot)) {
        hft_inventory_on_peer_down(e, slot);
        hft_peer_down(&e->peers[slot].session);
    } else {
        hft_venue_on_down(e, slot - e->n_peers);
    }
    report(e, slot, HFT_LINK_LOST, &hft_conn_of(e, slot)->err);
}

void hft_link_settle(hft_engine *e, uint32_t slot) {
    if (!hft_conn_settle(hft_conn_of(e, slot))) return;
    hft_link *link = hft_link_of(e, slot);
    HFT_COUNT(e->stats.reconnects, e->stopping ? 0 : 1);
    on_down(e, slot);
    plan_retry(e, link);
    if (!is_peer(e, slot) && e->venues[slot - e->n_peers].hold_until_ns > link->retry_at_ns)
        link->retry_at_ns = e->venues[slot - e->n_peers].hold_until_ns;
}

void hft_link_abandon_all(hft_engine *e, int code) {
    uint8_t was_open[HFT_ENGINE_PEERS_MAX + HFT_ENGINE_VENUES_MAX] = {0};
    for (uint32_t slot = 0; slot < hft_slot_of_wake(e); slot++) {
        hft_conn *conn = hft_conn_of(e, slot);
        if (conn->state == HFT_CONN_IDLE) continue;
        was_open[slot] = 1;
        (void)hft_fail(&conn->err, code, 0, "the ring failed");
        close(conn->fd);
        conn->fd = -1;
        conn->in_flight = 0;
        conn->state = HFT_CONN_IDLE;
    }
    /* Only now that no connection can be used: what hears of one's end may turn to another. */
    for (uint32_t slot = 0; slot < hft_slot_of_wake(e); slot++)
        if (was_open[slot]) on_down(e, slot);
}

void hft_link_tick(hft_engine *e, uint32_t slot) {
    hft_link *link = hft_link_of(e, slot);
    hft_conn *conn = hft_conn_of(e, slot);
    if (conn->state == HFT_CONN_IDLE) {
        if (link->waiting_for_address) {
            if (e->now_ns >= link->deadline_ns) fail_attempt(e, slot, HFT_E_CONN_RESOLVE, "no answer in time");
        } else if (!e->stopping && e->now_ns >= link->retry_at_ns) {
            want_address(e, slot);
        }
        return;
    }
    if (conn->state == HFT_CONN_CONNECTING && e->now_ns >= link->connect_deadline_ns)
        hft_conn_close(conn, HFT_E_CONN_CONNECT_TIMEOUT, NULL);
    else if (!link->ready && e->now_ns >= link->deadline_ns)
        hft_conn_close(conn, HFT_E_CONN_HANDSHAKE_TIMEOUT, NULL);
    hft_link_settle(e, slot);
}
