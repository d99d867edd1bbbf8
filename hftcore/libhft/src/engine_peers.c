/* Peers as their manager sees them: slots that it fills, peers that dial in, what each is worth, what they tell. */
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine_internal.h"
#include "hft/endian.h"

#define ADDRESS_CREDIT_NS 10000000000u /* one address more each so often, as Bitcoin Core takes them */

/* ---- before open ---- */

int hft_engine_add_slots(hft_engine *e, hft_peer_role role, uint32_t n) {
    if (e->opened) return HFT_E_STATE;
    if (n > HFT_ENGINE_PEERS_MAX - e->n_peers) return HFT_E_ARGUMENT;
    uint32_t first = e->n_peers;
    for (uint32_t i = 0; i < n; i++) {
        hft_engine_peer *p = &e->peers[e->n_peers++];
        p->role = p->info.role = (uint8_t)role;
    }
    e->ask_addresses |= role == HFT_ROLE_MANAGED && n != 0;
    return (int)first;
}

void hft_engine_listen(hft_engine *e, int fd) { e->listen_fd = fd; }

/* ---- sessions ---- */

/* The network group of an address: /16 for IPv4, /32 for IPv6 (as Bitcoin Core without a map of AS numbers). The same
 * numbers as hftcore.peers.NetworkGroups gives. */
static uint64_t group_of(const hft_address *address) {
    if (address->any.sa_family == AF_INET6) return 2ull << 32 | hft_load_be32(address->v6.sin6_addr.s6_addr);
    return 1ull << 32 | ntohl(address->v4.sin_addr.s_addr) >> 16;
}

/* A group's place among the 64 of an inventory entry. By a random key, so that no stranger can choose to share one. */
static uint64_t place_of(const hft_engine *e, uint64_t group) {
    /* Neighbouring groups must share no more often than others: two rounds of multiply and fold (splitmix64). */
    uint64_t x = group ^ e->group_key;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return 1ull << (x >> 58);
}

void hft_peers_begin(hft_engine *e, uint32_t peer, const hft_address *address, uint64_t group) {
    hft_engine_peer *p = &e->peers[peer];
    memset(&p->counters, 0, sizeof p->counters);
    p->serial++;
    p->code = 0;
    p->ready_for_ns = p->transactions = 0;
    p->held = 0;
    p->allowance = HFT_ALLOWANCE_MAX;
    p->allowance_ns = e->now_ns;
    p->address_credit = 0;
    /* Whoever wants to may dial us as often as he likes: all that did are one group. */
    if (p->role == HFT_ROLE_INBOUND) group = HFT_GROUP_INBOUND;
    p->group_bit = place_of(e, group != 0 ? group : group_of(address));
    hft_peers_publish(e, peer);
}

void hft_peers_on_ready(hft_engine *e, uint32_t peer) {
    hft_engine_peer *p = &e->peers[peer];
    p->transactions_before = e->stats.transactions;
    if (p->role != HFT_ROLE_INBOUND && e->ask_addresses) { /* once a session, and only of peers that we chose */
        p->address_credit = HFT_BTC_ADDR_MAX;
        p->address_credit_ns = e->now_ns;
        if (hft_peer_ask_addresses(&p->session) < 0) return;
        int rc = hft_peer_flush(&p->session);
        if (rc < 0) hft_conn_close(&p->session.conn, rc, "getaddr");
    }
    hft_peers_publish(e, peer);
}

void hft_peers_on_down(hft_engine *e, uint32_t peer) {
    hft_engine_peer *p = &e->peers[peer];
    p->code = p->session.conn.err.code;
    hft_peers_publish(e, peer);
}

/* ---- what a manager reads ---- */

/* One writer; a reader that meets a change reads again (Boehm 2012, "Can seqlocks get along with programming language
 * memory models?"). */
void hft_peers_publish(hft_engine *e, uint32_t peer) {
    hft_engine_peer *p = &e->peers[peer];
    const hft_peer *session = &p->session;
    hft_engine_peer_info *info = &p->info;
    uint32_t change = atomic_load_explicit(&p->change, memory_order_relaxed);
    if (p->link.ready) {
        p->ready_for_ns = e->now_ns - p->link.ready_since_ns;
        p->transactions = e->stats.transactions - p->transactions_before;
    }
    atomic_store_explicit(&p->change, change + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    info->counters = p->counters;
    info->address = session->conn.address;
    info->role = p->role;
    info->state = p->link.ready ? HFT_SLOT_READY : session->conn.state != HFT_CONN_IDLE ? HFT_SLOT_CONNECTING
                                                                                       : HFT_SLOT_IDLE;
    info->serial = p->serial;
    info->code = p->code;
    info->ready_for_ns = p->ready_for_ns;
    info->transactions = p->transactions;
    info->in_flight = p->in_flight;
    info->bytes_in = session->conn.bytes_in;
    info->bytes_out = session->conn.bytes_out;
    if (session->state != HFT_PEER_DOWN) { /* else: what the session before left behind stays readable */
        info->version = session->version;
        info->wtxid_relay = session->wtxid_relay;
        info->start_height = session->start_height;
        info->services = session->services;
        info->fee_filter = session->fee_filter;
        info->ping_ns = session->ping_ns;
        info->ping_min_ns = session->ping_min_ns;
        memcpy(info->user_agent, session->user_agent, sizeof info->user_agent);
    }
    atomic_store_explicit(&p->change, change + 2, memory_order_release);
}

void hft_engine_read_peer(const hft_engine *e, uint32_t peer, hft_engine_peer_info *info) {
    memset(info, 0, sizeof *info);
    if (peer >= e->n_peers) return;
    const hft_engine_peer *p = &e->peers[peer];
    for (;;) {
        uint32_t before = atomic_load_explicit(&p->change, memory_order_acquire);
        memcpy(info, &p->info, sizeof *info);
        atomic_thread_fence(memory_order_acquire);
        if (before % 2 == 0 && before == atomic_load_explicit(&p->change, memory_order_relaxed)) return;
        sched_yield(); /* the writer was interrupted in between */
    }
}

/* ---- addresses that peers tell ---- */

static void refill_credit(hft_engine *e, hft_engine_peer *p) {
    uint64_t more = (e->now_ns - p->address_credit_ns) / ADDRESS_CREDIT_NS;
    if (more == 0) return;
    p->address_credit_ns += more * ADDRESS_CREDIT_NS;
    p->address_credit = more < HFT_BTC_ADDR_MAX - p->address_credit ? p->address_credit + (uint32_t)more
                                                                    : HFT_BTC_ADDR_MAX;
}

void hft_peers_on_addrs(hft_engine *e, uint32_t peer, hft_btc_addrs *addrs) {
    hft_engine_peer *p = &e->peers[peer];
    if (p->role == HFT_ROLE_INBOUND || !e->ask_addresses) return;
    refill_credit(e, p);
    for (uint32_t i = 0; i < addrs->n && p->address_credit != 0; i++) {
        hft_btc_addr addr;
        hft_btc_next_addr(&addr, addrs);
        if (addr.network != HFT_BTC_NET_IPV4 && addr.network != HFT_BTC_NET_IPV6) continue;
        hft_engine_node *node = hft_spsc_reserve(&e->nodes);
        if (node == NULL) return; /* nobody reads them */
        p->address_credit--;
        p->counters.addresses++;
        *node = (hft_engine_node){.services = addr.services, .time = addr.time, .port = addr.port,
                                  .address_len = (uint8_t)addr.address_len, .peer = (uint8_t)peer};
        memcpy(node->address, addr.address, addr.address_len);
        hft_spsc_publish(&e->nodes);
    }
}

int hft_engine_take_node(hft_engine *e, hft_engine_node *node) {
    const hft_engine_node *next = e->opened && e->ask_addresses ? hft_spsc_peek(&e->nodes) : NULL;
    if (next == NULL) return 0;
    *node = *next;
    hft_spsc_release(&e->nodes);
    return 1;
}

/* ---- peers that dial in ---- */

int hft_peers_listen(hft_engine *e) {
    if (e->listen_fd < 0 || e->accepting) return 0;
    int rc = hft_ring_accept(&e->ring, hft_slot_of_listen(e), 0, e->listen_fd);
    e->accepting = rc == 0;
    return rc;
}

static uint32_t free_slot(hft_engine *e) {
    for (uint32_t i = 0; i < e->n_peers; i++)
        if (e->peers[i].role == HFT_ROLE_INBOUND && e->peers[i].session.conn.state == HFT_CONN_IDLE) return i;
    return UINT32_MAX;
}

static int take_in(hft_engine *e, int fd) {
    hft_address address = {0};
    socklen_t len = sizeof address;
    uint32_t slot = free_slot(e);
    if (slot == UINT32_MAX || getpeername(fd, &address.any, &len) < 0) return 0;
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (hft_conn_adopt(&e->peers[slot].session.conn, fd, &address) < 0) return 0;
    hft_link_accepted(e, slot);
    return 1;
}

/* The next one is looked at only with the next tick: dialling us, and leaving at once, must cost us little. */
void hft_peers_on_accept(hft_engine *e, int32_t result) {
    e->accepting = 0;
    e->unsettled = 1; /* which is soon */
    if (result < 0) return;
    if (!e->stopping && take_in(e, result)) return;
    close(result);
    HFT_COUNT(e->stats.inbound_refused, 1);
}

/* ---- one that floods ---- */

static int has_allowance(const hft_engine *e, hft_engine_peer *p) {
    uint64_t passed_ns = e->now_ns - p->allowance_ns;
    if (passed_ns > 1000000000u) passed_ns = 1000000000u;
    p->allowance_ns = e->now_ns;
    p->allowance += (int64_t)(passed_ns * HFT_ALLOWANCE_PER_S / 1000000000u);
    if (p->allowance > HFT_ALLOWANCE_MAX) p->allowance = HFT_ALLOWANCE_MAX;
    return p->allowance >= 0;
}

/* No honest peer comes near: it announces and sends some ten transactions a second. */
int hft_peers_may_receive(hft_engine *e, uint32_t peer) {
    hft_engine_peer *p = &e->peers[peer];
    uint64_t bytes = p->session.conn.bytes_in, messages = p->session.messages_in;
    p->allowance -= (int64_t)(bytes - p->bytes_seen + (messages - p->messages_seen) * HFT_MESSAGE_COST);
    p->bytes_seen = bytes;
    p->messages_seen = messages;
    if (has_allowance(e, p)) return 1;
    p->held = 1;
    e->unsettled = 1;
    return 0;
}

static void release_held(hft_engine *e) {
    for (uint32_t i = 0; i < e->n_peers; i++) {
        hft_engine_peer *p = &e->peers[i];
        if (!p->held) continue;
        e->unsettled = 1;
        if (!has_allowance(e, p)) continue;
        p->held = 0;
        hft_conn_rearm(&p->session.conn);
        hft_link_settle(e, i);
    }
}

void hft_peers_tick(hft_engine *e) {
    if (!e->stopping) (void)!hft_peers_listen(e);
    release_held(e);
    if (e->now_ns < e->next_publish_ns) return;
    e->next_publish_ns = e->now_ns + HFT_PUBLISH_NS;
    for (uint32_t i = 0; i < e->n_peers; i++)
        if (e->peers[i].session.conn.state != HFT_CONN_IDLE) hft_peers_publish(e, i);
}
