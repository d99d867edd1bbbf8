#include <string.h>

#include "engine_internal.h"
#include "hft/endian.h"

#define INV_ENTRY_LEN 36

static uint64_t bit_of(uint32_t peer) { return 1ull << peer; }

/* A peer that left several requests in a row unanswered holds up one transaction at a time, not a hundred. */
static int can_ask(const hft_engine *e, uint32_t peer) {
    const hft_engine_peer *p = &e->peers[peer];
    uint32_t limit = p->unanswered < HFT_UNANSWERED_MAX ? HFT_IN_FLIGHT_MAX : 1;
    return p->session.state == HFT_PEER_READY && p->session.conn.state == HFT_CONN_OPEN && p->in_flight < limit;
}

static void mark_requested(hft_engine *e, hft_inventory_entry *entry, uint32_t peer) {
    hft_inventory_set(&e->inventory, entry, HFT_INVENTORY_REQUESTED);
    entry->peer = (uint8_t)peer;
    entry->requested_ns = e->now_ns;
    e->peers[peer].in_flight++;
}

/* A request that will not be answered, or has been. */
static void end_request(hft_engine *e, hft_inventory_entry *entry) {
    if (entry->state != HFT_INVENTORY_REQUESTED) return;
    e->peers[entry->peer].in_flight--;
    hft_inventory_set(&e->inventory, entry, HFT_INVENTORY_WANTED);
}

/* ---- a peer's account: what it put into the inventory ---- */

static void discharge(hft_engine *e, hft_inventory_entry *entry) {
    hft_engine_peer *p = &e->peers[entry->first];
    if (entry->counted && entry->period == p->period && p->announced != 0) p->announced--;
    entry->counted = 0;
}

/* 1 = this peer may put one more entry into the inventory. */
static int has_credit(hft_engine *e, uint32_t peer) {
    hft_engine_peer *p = &e->peers[peer];
    if (e->now_ns >= p->period_ends_ns) {
        p->period++;
        p->period_ends_ns = e->now_ns + HFT_ACCOUNT_NS;
        p->announced = 0;
    }
    return p->announced < e->announced_max;
}

static void charge(hft_engine *e, hft_inventory_entry *entry, uint32_t peer) {
    discharge(e, entry);
    entry->first = (uint8_t)peer;
    entry->counted = 1;
    entry->period = e->peers[peer].period;
    e->peers[peer].announced++;
}

hft_inventory_entry *hft_inventory_remember(hft_engine *e, const uint8_t hash[32]) {
    const hft_inventory_entry *oldest = hft_inventory_oldest(&e->inventory);
    if (oldest != NULL) { /* it makes room: what is counted for it must not stay behind */
        hft_inventory_entry *entry = &e->inventory.entries[oldest - e->inventory.entries];
        end_request(e, entry);
        discharge(e, entry);
    }
    return hft_inventory_add(&e->inventory, hash);
}

/* ---- asking ---- */

static void send_requests(hft_engine *e, uint32_t peer, size_t n) {
    if (n == 0) return;
    hft_peer *session = &e->peers[peer].session;
    if (hft_peer_request(session, e->request_hashes, n) < 0) return; /* the connection is closing: the entries follow */
    int rc = hft_peer_flush(session);
    if (rc < 0) hft_conn_close(&session->conn, rc, "getdata");
    e->rehearsal_due = 1;
}

/* Of the announcers that can be asked, one that answers, and has little to do; HFT_INVENTORY_PEERS_MAX if none can. */
static uint32_t choose(hft_engine *e, const hft_inventory_entry *entry) {
    uint32_t best = HFT_INVENTORY_PEERS_MAX;
    for (uint64_t left = entry->announcers; left != 0; left &= left - 1) {
        uint32_t peer = (uint32_t)__builtin_ctzll(left);
        if (!can_ask(e, peer)) {
            e->peers[peer].backlog = 1;
            continue;
        }
        const hft_engine_peer *p = &e->peers[peer], *b = &e->peers[best % HFT_INVENTORY_PEERS_MAX];
        if (best == HFT_INVENTORY_PEERS_MAX || p->unanswered < b->unanswered ||
            (p->unanswered == b->unanswered && p->in_flight < b->in_flight))
            best = peer;
    }
    return best;
}

/* Asks the best announcer, or waits until one can be asked; gives up where there is none. */
static void ask_someone(hft_engine *e, hft_inventory_entry *entry) {
    if (entry->announcers == 0) {
        hft_inventory_set(&e->inventory, entry, HFT_INVENTORY_STALE);
        return;
    }
    uint32_t peer = choose(e, entry);
    if (peer == HFT_INVENTORY_PEERS_MAX) return;
    mark_requested(e, entry, peer);
    memcpy(e->request_hashes, entry->hash, 32);
    send_requests(e, peer, 1);
}

static void give_up_on(hft_engine *e, hft_inventory_entry *entry, uint32_t peer) {
    entry->announcers &= ~bit_of(peer);
    if (entry->state == HFT_INVENTORY_REQUESTED && entry->peer == peer) end_request(e, entry);
    if (entry->state == HFT_INVENTORY_WANTED) ask_someone(e, entry);
}

/* ---- what peers say ---- */

/* 1 = the caller requests it of this peer. */
static int on_announcement(hft_engine *e, uint32_t peer, const uint8_t *hash) {
    hft_inventory_entry *entry = hft_inventory_find(&e->inventory, hash);
    if (entry != NULL && entry->state == HFT_INVENTORY_RECEIVED) return 0;
    if (entry == NULL || entry->state == HFT_INVENTORY_STALE) {
        /* Looked at before anything is remembered: a flood must not push out what other peers announced. */
        if (!has_credit(e, peer)) return 0;
        if (entry == NULL) entry = hft_inventory_remember(e, hash);
        charge(e, entry, peer);
        hft_inventory_set(&e->inventory, entry, HFT_INVENTORY_WANTED);
    }
    entry->announcers |= bit_of(peer);
    if (entry->state != HFT_INVENTORY_WANTED) return 0;
    if (!can_ask(e, peer)) {
        e->peers[peer].backlog = 1;
        return 0;
    }
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
        if (n_requests < HFT_REQUEST_BATCH) continue;
        send_requests(e, peer, n_requests);
        n_requests = 0;
    }
    send_requests(e, peer, n_requests);
}

/* Heeded only from the peer that was asked: nobody speaks for another. */
void hft_inventory_on_notfound(hft_engine *e, uint32_t peer, const uint8_t *entries, size_t n) {
    for (size_t i = 0; i < n; i++) {
        hft_inventory_entry *entry = hft_inventory_find(&e->inventory, entries + i * INV_ENTRY_LEN + 4);
        if (entry != NULL && entry->state == HFT_INVENTORY_REQUESTED && entry->peer == peer) give_up_on(e, entry, peer);
    }
    hft_inventory_request_more(e, peer);
}

void hft_inventory_received(hft_engine *e, hft_inventory_entry *entry, uint32_t peer) {
    end_request(e, entry);
    discharge(e, entry);
    hft_inventory_set(&e->inventory, entry, HFT_INVENTORY_RECEIVED);
    e->peers[peer].unanswered = 0;
}

void hft_inventory_request_more(hft_engine *e, uint32_t peer) {
    if (!e->peers[peer].backlog || e->peers[peer].in_flight > HFT_IN_FLIGHT_MAX / 2) return;
    size_t n = 0;
    uint32_t next, i = hft_inventory_open_first(&e->inventory);
    for (; i != HFT_INVENTORY_NONE && n < HFT_REQUEST_BATCH && can_ask(e, peer); i = next) {
        hft_inventory_entry *entry = &e->inventory.entries[i];
        next = hft_inventory_open_next(&e->inventory, i);
        if (entry->state != HFT_INVENTORY_WANTED || (entry->announcers & bit_of(peer)) == 0) continue;
        mark_requested(e, entry, peer);
        memcpy(e->request_hashes + 32 * n++, entry->hash, 32);
    }
    e->peers[peer].backlog = i != HFT_INVENTORY_NONE;
    send_requests(e, peer, n);
}

void hft_inventory_on_peer_down(hft_engine *e, uint32_t peer) {
    uint32_t next;
    for (uint32_t i = hft_inventory_open_first(&e->inventory); i != HFT_INVENTORY_NONE; i = next) {
        hft_inventory_entry *entry = &e->inventory.entries[i];
        next = hft_inventory_open_next(&e->inventory, i);
        if ((entry->announcers & bit_of(peer)) != 0) give_up_on(e, entry, peer);
    }
    e->peers[peer].unanswered = 0;
    e->peers[peer].backlog = 0;
}

void hft_inventory_tick(hft_engine *e) {
    uint32_t next;
    e->next_inventory_ns = e->now_ns + HFT_INVENTORY_TICK_NS;
    for (uint32_t i = hft_inventory_open_first(&e->inventory); i != HFT_INVENTORY_NONE; i = next) {
        hft_inventory_entry *entry = &e->inventory.entries[i];
        next = hft_inventory_open_next(&e->inventory, i);
        if (entry->state == HFT_INVENTORY_WANTED) {
            ask_someone(e, entry);
        } else if (e->now_ns - entry->requested_ns > e->config.request_timeout_ns) {
            e->peers[entry->peer].unanswered++;
            give_up_on(e, entry, entry->peer);
        }
    }
}
