#include <string.h>

#include "engine_internal.h"
#include "hft/endian.h"

#define INV_ENTRY_LEN 36

/* ---- the set of announcers of an entry ---- */

static uint64_t bit_of(uint32_t peer) { return 1ull << (peer & 63); }

static int has_announced(const hft_inventory_entry *entry, uint32_t peer) {
    return (entry->announcers[peer / 64] & bit_of(peer)) != 0;
}

static void forget_announcer(hft_inventory_entry *entry, uint32_t peer) {
    entry->announcers[peer / 64] &= ~bit_of(peer);
}

static uint32_t now_ms(const hft_engine *e) { return (uint32_t)(e->now_ns / 1000000u); }

/* A peer that left several requests in a row unanswered holds up one transaction at a time, not a hundred. */
static int can_ask(const hft_engine *e, uint32_t peer) {
    const hft_engine_peer *p = &e->peers[peer];
    uint32_t limit = p->unanswered < HFT_UNANSWERED_MAX ? HFT_IN_FLIGHT_MAX : 1;
    return p->session.state == HFT_PEER_READY && p->session.conn.state == HFT_CONN_OPEN && p->in_flight < limit;
}

static void mark_requested(hft_engine *e, hft_inventory_entry *entry, uint32_t peer) {
    hft_inventory_set(&e->inventory, entry, HFT_INVENTORY_REQUESTED);
    entry->peer = (uint8_t)peer;
    hft_inventory_open_of(&e->inventory, entry)->requested_ms = now_ms(e);
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

static int is_better(const hft_engine_peer *p, const hft_engine_peer *than) {
    return p->unanswered < than->unanswered || (p->unanswered == than->unanswered && p->in_flight < than->in_flight);
}

/* Of the announcers that can be asked, one that answers, and has little to do; HFT_INVENTORY_PEERS_MAX if none can. */
static uint32_t choose(hft_engine *e, const hft_inventory_entry *entry) {
    uint32_t best = HFT_INVENTORY_PEERS_MAX;
    for (uint32_t base = 0; base < HFT_INVENTORY_PEERS_MAX; base += 64) {
        for (uint64_t left = entry->announcers[base / 64]; left != 0; left &= left - 1) {
            uint32_t peer = base + (uint32_t)__builtin_ctzll(left);
            if (!can_ask(e, peer)) e->peers[peer].backlog = 1;
            else if (best == HFT_INVENTORY_PEERS_MAX || is_better(&e->peers[peer], &e->peers[best])) best = peer;
        }
    }
    return best;
}

/* Asks the best announcer, or waits until one can be asked; gives up where there is none. */
static void ask_someone(hft_engine *e, hft_inventory_entry *entry) {
    if ((entry->announcers[0] | entry->announcers[1]) == 0) {
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
    forget_announcer(entry, peer);
    if (entry->state == HFT_INVENTORY_REQUESTED && entry->peer == peer) end_request(e, entry);
    if (entry->state == HFT_INVENTORY_WANTED) ask_someone(e, entry);
}

/* ---- what peers say ---- */

/* What an announcement is worth in thousandths, for a peer's score: being first 1, a second later a half, and so on. */
static uint64_t merit_of(uint32_t late_ms) { return 1000000u / (1000u + late_ms); }

/* Notes who announced, once for each peer. The first is paid for it when the transaction arrives: see `received`. */
static void note_announcer(hft_engine *e, hft_inventory_entry *entry, uint32_t peer, int is_first) {
    hft_engine_peer *p = &e->peers[peer];
    int is_new_group = (entry->groups & p->group_bit) == 0;
    entry->groups |= p->group_bit; /* in any case: another node may have had this place */
    if (is_new_group && e->n_waiting != 0) hft_waiting_on_announcement(e, entry->hash);
    if (has_announced(entry, peer)) return;
    entry->announcers[peer / 64] |= bit_of(peer);
    p->counters.announced++;
    if (is_first) return;
    uint32_t late_ms = now_ms(e) - hft_inventory_open_of(&e->inventory, entry)->announced_ms;
    p->counters.late++;
    p->counters.late_ms += late_ms;
    p->counters.merit += merit_of(late_ms);
}

/* 1 = the caller requests it of this peer. */
static int on_announcement(hft_engine *e, uint32_t peer, const uint8_t *hash) {
    hft_inventory_entry *entry = hft_inventory_find(&e->inventory, hash);
    int is_first = entry == NULL || entry->state == HFT_INVENTORY_STALE;
    if (is_first) {
        /* Looked at before anything is remembered: a flood must not push out what other peers announced. */
        if (!has_credit(e, peer)) return 0;
        if (entry == NULL) entry = hft_inventory_remember(e, hash);
        charge(e, entry, peer);
        hft_inventory_open_of(&e->inventory, entry)->announced_ms = now_ms(e);
        hft_inventory_set(&e->inventory, entry, HFT_INVENTORY_WANTED);
    }
    note_announcer(e, entry, peer, is_first);
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

/* Only what exists counts for whoever named it first, and only for the session that did. */
static void pay_first(hft_engine *e, const hft_inventory_entry *entry) {
    hft_engine_peer *p = &e->peers[entry->first];
    uint32_t age_ms = now_ms(e) - hft_inventory_open_of(&e->inventory, entry)->announced_ms;
    if (!entry->counted || entry->state == HFT_INVENTORY_RECEIVED) return;
    if (!p->link.ready || e->now_ns - p->link.ready_since_ns < age_ms * 1000000ull) return;
    p->counters.first++;
    p->counters.merit += merit_of(0);
}

void hft_inventory_received(hft_engine *e, hft_inventory_entry *entry, uint32_t peer) {
    e->peers[peer].counters.served += entry->state == HFT_INVENTORY_REQUESTED && entry->peer == peer;
    pay_first(e, entry);
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
        if (entry->state != HFT_INVENTORY_WANTED || !has_announced(entry, peer)) continue;
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
        if (has_announced(entry, peer)) give_up_on(e, entry, peer);
    }
    e->peers[peer].unanswered = 0;
    e->peers[peer].backlog = 0;
}

void hft_inventory_tick(hft_engine *e) {
    uint32_t next, timeout_ms = (uint32_t)(e->config.request_timeout_ns / 1000000u);
    e->next_inventory_ns = e->now_ns + HFT_INVENTORY_TICK_NS;
    for (uint32_t i = hft_inventory_open_first(&e->inventory); i != HFT_INVENTORY_NONE; i = next) {
        hft_inventory_entry *entry = &e->inventory.entries[i];
        next = hft_inventory_open_next(&e->inventory, i);
        if (entry->state == HFT_INVENTORY_WANTED) {
            ask_someone(e, entry);
        } else if (now_ms(e) - e->inventory.open[i].requested_ms > timeout_ms) {
            e->peers[entry->peer].unanswered++;
            e->peers[entry->peer].counters.unanswered++;
            give_up_on(e, entry, entry->peer);
        }
    }
}
