#include <string.h>
#include <unistd.h>

#include "engine_internal.h"

static int is_peer(const hft_engine *e, uint32_t slot) { return slot < e->n_peers; }

static hft_peer_role role_of(const hft_engine *e, uint32_t slot) {
    return is_peer(e, slot) ? (hft_peer_role)e->peers[slot].role : HFT_ROLE_FIXED;
}

static uint64_t handshake_timeout_ns(const hft_engine *e, uint32_t slot) {
    return is_peer(e, slot) ? e->config.handshake_timeout_ns : e->config.venue_handshake_timeout_ns;
}

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
        event->address = session->conn.address;
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
    link->deadline_ns = e->now_ns + handshake_timeout_ns(e, slot);
    if (role_of(e, slot) == HFT_ROLE_MANAGED) link->deadline_ns = UINT64_MAX; /* its manager takes his time */
    atomic_store_explicit(&e->resolve_wanted[resolve_index(e, slot)], 1, memory_order_release);
    (void)!write(e->resolve_fd, &one, sizeof one);
}

static void fail_attempt(hft_engine *e, uint32_t slot, int code, const char *text) {
    hft_link *link = hft_link_of(e, slot);
    hft_err err = {0};
    link->waiting_for_address = 0;
    (void)hft_fail(&err, code, 0, text);
    if (role_of(e, slot) == HFT_ROLE_FIXED) plan_retry(e, link);
    report(e, slot, HFT_LINK_LOST, &err);
    if (!is_peer(e, slot)) return;
    e->peers[slot].session.conn.err = err;
    hft_peers_on_down(e, slot);
}

static void connect_next(hft_engine *e, uint32_t slot) {
    hft_link *link = hft_link_of(e, slot);
    hft_conn *conn = hft_conn_of(e, slot);
    uint32_t choice = link->next_address++ % link->n_addresses;
    link->waiting_for_address = 0;
    link->deadline_ns = e->now_ns + handshake_timeout_ns(e, slot);
    link->connect_deadline_ns = e->now_ns + e->config.connect_timeout_ns;
    conn->address = link->addresses[choice];
    report(e, slot, HFT_LINK_CONNECTING, NULL);
    int rc = hft_conn_connect(conn, &link->addresses[choice]);
    if (is_peer(e, slot)) hft_peers_begin(e, slot, &link->addresses[choice], link->groups[choice]);
    if (rc < 0) fail_attempt(e, slot, rc, conn->err.text);
    else HFT_COUNT(e->stats.sockets_now, 1);
    e->unsettled = 1;
}

void hft_link_accepted(hft_engine *e, uint32_t slot) {
    hft_link *link = hft_link_of(e, slot);
    HFT_COUNT(e->stats.sockets_now, 1);
    link->deadline_ns = e->now_ns + handshake_timeout_ns(e, slot);
    e->unsettled = 1;
    report(e, slot, HFT_LINK_CONNECTING, NULL);
    hft_peer_accepted(&e->peers[slot].session, e->now_ns, hft_engine_wall_ns(e));
    hft_peers_begin(e, slot, &e->peers[slot].session.conn.address, 0);
}

void hft_link_addresses(hft_engine *e, const hft_engine_addresses *command) {
    int for_venue = command->slot >= HFT_ENGINE_PEERS_MAX;
    uint32_t index = for_venue ? command->slot - HFT_ENGINE_PEERS_MAX : command->slot;
    if (index >= (for_venue ? e->n_venues : e->n_peers)) return;
    uint32_t slot = for_venue ? hft_slot_of_venue(e, index) : index;
    hft_link *link = hft_link_of(e, slot);
    if (command->leave) {
        if (for_venue || e->peers[slot].serial != command->serial) return;
        hft_conn_close(hft_conn_of(e, slot), HFT_E_CONN_REPLACED, NULL);
        hft_link_settle(e, slot);
        return;
    }
    if (!link->waiting_for_address || e->stopping) return;
    if (command->error != 0 || command->n_addresses == 0) {
        fail_attempt(e, slot, command->error != 0 ? command->error : HFT_E_CONN_RESOLVE, NULL);
        return;
    }
    link->n_addresses =
        command->n_addresses <= HFT_ENGINE_ADDRESSES_MAX ? command->n_addresses : HFT_ENGINE_ADDRESSES_MAX;
    memcpy(link->addresses, command->addresses, link->n_addresses * sizeof *link->addresses);
    memcpy(link->groups, command->groups, link->n_addresses * sizeof *link->groups);
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
    if (is_peer(e, slot)) hft_peers_on_ready(e, slot);
}

/* The connection is gone: tells the session, and what depends on it. */
static void on_down(hft_engine *e, uint32_t slot) {
    HFT_COUNT(e->stats.sockets_now, -1);
    e->unsettled = 1;
    if (is_peer(e, slot)) hft_peers_publish(e, slot); /* its last figures, while it still counts as ready */
    hft_link_set_ready(e, slot, 0);
    if (is_peer(e, slot)) {
        hft_inventory_on_peer_down(e, slot);
        hft_peer_down(&e->peers[slot].session);
        hft_peers_on_down(e, slot);
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
    if (role_of(e, slot) == HFT_ROLE_FIXED) plan_retry(e, link); /* a manager says when, and whom */
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

int hft_link_is_settled(hft_engine *e, uint32_t slot) {
    const hft_link *link = hft_link_of(e, slot);
    if (hft_conn_of(e, slot)->state != HFT_CONN_IDLE) return link->ready;
    hft_peer_role role = role_of(e, slot);
    return role == HFT_ROLE_INBOUND || (role == HFT_ROLE_MANAGED && link->waiting_for_address);
}

void hft_link_tick(hft_engine *e, uint32_t slot) {
    hft_link *link = hft_link_of(e, slot);
    hft_conn *conn = hft_conn_of(e, slot);
    if (conn->state == HFT_CONN_IDLE) {
        if (role_of(e, slot) == HFT_ROLE_INBOUND) return;
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
