#include <string.h>

#include "engine_internal.h"
#include "hft/endian.h"

#define INV_ENTRY_LEN 36

static uint64_t bit_of(uint32_t peer) { return 1ull << peer; }

static int can_ask(const hft_engine *e, uint32_t peer) {
    return e->peers[peer].session.state == HFT_PEER_READY && e->peers[peer].session.conn.state == HFT_CONN_OPEN &&
           e->peers[peer].in_flight < HFT_IN_FLIGHT_MAX;
}

static void mark_requested(hft_engine *e, hft_inventory_entry *entry, uint32_t peer) {
    hft_inventory_set(&e->inventory, entry, HFT_INVENTORY_REQUESTED);
    entry->peer = (uint8_t)peer;
    entry->requested_ns = e->now_ns;
    e->peers[peer].in_flight++;
    e->in_flight++;
}

/* A request that will not be answered, or has been. */
static void end_request(hft_engine *e, hft_inventory_entry *entry) {
    if (entry->state != HFT_INVENTORY_REQUESTED) return;
    e->peers[entry->peer].in_flight--;
    e->in_flight--;
    hft_inventory_set(&e->inventory, entry, HFT_INVENTORY_WANTED);
}

static void close_entry(hft_engine *e, hft_inventory_entry *entry, hft_inventory_state state) {
    int was_open = entry->state == HFT_INVENTORY_WANTED || entry->state == HFT_INVENTORY_REQUESTED;
    end_request(e, entry);
    if (was_open) e->peers[entry->first].announced_open--;
    hft_inventory_set(&e->inventory, entry, state);
}

static void send_requests(hft_engine *e, uint32_t peer, size_t n) {
    if (n == 0) return;
    hft_peer *session = &e->peers[peer].session;
    if (hft_peer_request(session, e->request_hashes, n) < 0) return; /* the connection is closing: the entries follow */
    int rc = hft_peer_flush(session);
    if (rc < 0) hft_conn_close(&session->conn, rc, "getdata");
    e->rehearsal_due = 1;
}

/* Asks the next announcer that can be asked; gives up where none is left. */
static void ask_someone(hft_engine *e, hft_inventory_entry *entry) {
    if (entry->announcers == 0) {
        close_entry(e, entry, HFT_INVENTORY_STALE);
        return;
    }
    for (uint64_t left = entry->announcers; left != 0; left &= left - 1) {
        uint32_t peer = (uint32_t)__builtin_ctzll(left);
        if (!can_ask(e, peer)) continue;
        mark_requested(e, entry, peer);
        memcpy(e->request_hashes, entry->hash, 32);
        send_requests(e, peer, 1);
        return;
    }
}

static void give_up_on(hft_engine *e, hft_inventory_entry *entry, uint32_t peer) {
    entry->announcers &= ~bit_of(peer);
    if (entry->state == HFT_INVENTORY_REQUESTED && entry->peer == peer) end_request(e, entry);
    if (entry->state == HFT_INVENTORY_WANTED) ask_someone(e, entry);
}

/* The oldest entry may still be open when a new one takes its place: its counts must not stay behind. */
hft_inventory_entry *hft_inventory_remember(hft_engine *e, const uint8_t hash[32]) {
    const hft_inventory_entry *oldest = hft_inventory_oldest(&e->inventory);
    if (oldest != NULL) close_entry(e, &e->inventory.entries[oldest - e->inventory.entries], HFT_INVENTORY_STALE);
    return hft_inventory_add(&e->inventory, hash);
}

/* 1 = the caller requests it of this peer. */
static int on_announcement(hft_engine *e, uint32_t peer, const uint8_t *hash) {
    hft_inventory_entry *entry = hft_inventory_find(&e->inventory, hash);
    if (entry != NULL && entry->state == HFT_INVENTORY_RECEIVED) return 0;
    if (entry == NULL || entry->state == HFT_INVENTORY_STALE) {
        /* Looked at before anything is remembered: a flood must not push out what other peers announced. */
        if (e->peers[peer].announced_open >= HFT_ANNOUNCED_MAX) return 0;
        if (entry == NULL) entry = hft_inventory_remember(e, hash);
        entry->first = (uint8_t)peer;
        e->peers[peer].announced_open++;
        hft_inventory_set(&e->inventory, entry, HFT_INVENTORY_WANTED);
    }
    entry->announcers |= bit_of(peer);
    if (entry->state != HFT_INVENTORY_WANTED || !can_ask(e, peer)) return 0;
    mark_requested(e, entry, peer);
    return 1;
}

void hft_inventory_on_inv(hft_engine *e, uint32_t peer, const uint8_t *entries, size_t n) {
    uint32_t wanted = e->peers[peer].session.wtxid_relay ? HFT_BTC_INV_WTX : HFT_BTC_INV_TX;
    size_t n_requests = 0;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *entry = entries + i * INV_ENTRY_LEN;
        if (hft_load_le32(entry) != wanted || !on_announcement(e, peer, entry + 4)) continue;
        memcpy(e->request_hashes + 32 * n_requests++, entry + 4, 32);
    }
    send_requests(e, peer, n_requests); /* HFT_IN_FLIGHT_MAX bounds it below HFT_REQUEST_BATCH */
}

void hft_inventory_on_notfound(hft_engine *e, uint32_t peer, const uint8_t *entries, size_t n) {
    for (size_t i = 0; i < n; i++) {
        hft_inventory_entry *entry = hft_inventory_find(&e->inventory, entries + i * INV_ENTRY_LEN + 4);
        if (entry != NULL && entry->state != HFT_INVENTORY_RECEIVED) give_up_on(e, entry, peer);
    }
    hft_inventory_request_more(e, peer);
}

void hft_inventory_received(hft_engine *e, hft_inventory_entry *entry) {
    close_entry(e, entry, HFT_INVENTORY_RECEIVED);
}

void hft_inventory_request_more(hft_engine *e, uint32_t peer) {
    if (e->peers[peer].in_flight > HFT_IN_FLIGHT_MAX / 2 || e->inventory.open_len == e->in_flight) return;
    size_t n = 0;
    uint32_t next;
    for (uint32_t i = hft_inventory_open_first(&e->inventory); i != HFT_INVENTORY_NONE && can_ask(e, peer); i = next) {
        hft_inventory_entry *entry = &e->inventory.entries[i];
        next = hft_inventory_open_next(&e->inventory, i);
        if (entry->state != HFT_INVENTORY_WANTED || (entry->announcers & bit_of(peer)) == 0) continue;
        mark_requested(e, entry, peer);
        memcpy(e->request_hashes + 32 * n++, entry->hash, 32);
    }
    send_requests(e, peer, n);
}

void hft_inventory_on_peer_down(hft_engine *e, uint32_t peer) {
    uint32_t next;
    for (uint32_t i = hft_inventory_open_first(&e->inventory); i != HFT_INVENTORY_NONE; i = next) {
        hft_inventory_entry *entry = &e->inventory.entries[i];
        next = hft_inventory_open_next(&e->inventory, i);
        if ((entry->announcers & bit_of(peer)) != 0) give_up_on(e, entry, peer);
    }
}

void hft_inventory_tick(hft_engine *e) {
    uint32_t next;
    for (uint32_t i = hft_inventory_open_first(&e->inventory); i != HFT_INVENTORY_NONE; i = next) {
        hft_inventory_entry *entry = &e->inventory.entries[i];
        next = hft_inventory_open_next(&e->inventory, i);
        if (entry->state == HFT_INVENTORY_REQUESTED && e->now_ns - entry->requested_ns > e->config.request_timeout_ns)
            give_up_on(e, entry, entry->peer);
        else if (entry->state == HFT_INVENTORY_WANTED)
            ask_someone(e, entry);
    }
}
