/* A peer's account in the inventory: how much it may put there, and that its debt is not for ever; who announced, from
 * how many network groups, how late. */
#include "check.h"

#include <stdlib.h>

#include "../../hftcore/libhft/src/engine_internal.h"

#define CREDIT 10

static void announce(hft_engine *e, uint32_t peer, uint8_t from, uint8_t n) {
    uint8_t entries[256 * 36];
    for (uint8_t i = 0; i < n; i++) {
        uint8_t *entry = entries + i * 36;
        memset(entry, (uint8_t)(from + i), 36);
        memcpy(entry, "\1\0\0\0", 4); /* MSG_TX: these peers have no wtxid relay */
    }
    hft_inventory_on_inv(e, peer, entries, n);
}

static uint32_t n_voices;

/* Stands in for the orders that wait, which this program does not link. */
void hft_waiting_on_announcement(hft_engine *engine, const uint8_t hash[32]) {
    CHECK_EQ(engine->n_waiting, 1);
    CHECK_EQ(hash[0], 7);
    n_voices++;
}

static hft_engine e; /* no connection is open, so nothing is asked for */
static void *memory;

static void begin(uint32_t n_peers) {
    static const uint64_t key[2] = {1, 2};
    memset(&e, 0, sizeof e);
    memory = aligned_alloc(64, (hft_inventory_size(64) + 63) / 64 * 64);
    CHECK_EQ(hft_inventory_init(&e.inventory, memory, 64, key), 0);
    e.peers = calloc(HFT_ENGINE_PEERS_MAX, sizeof *e.peers);
    e.n_peers = n_peers;
    e.announced_max = CREDIT;
    e.now_ns = 1;
}

static void end(void) {
    free(e.peers);
    free(memory);
}

static hft_inventory_entry *entry_of(uint8_t n) {
    uint8_t hash[32];
    memset(hash, n, sizeof hash);
    return hft_inventory_find(&e.inventory, hash);
}

static void test_accounts(void) {
    begin(2);
    announce(&e, 0, 0, 25);
    CHECK_EQ(e.inventory.open_len, CREDIT);
    announce(&e, 1, 100, 3); /* another peer's account is its own */
    CHECK_EQ(e.inventory.open_len, CREDIT + 3);

    hft_inventory_on_peer_down(&e, 0); /* nobody else announced them: they are stale, and still owed */
    CHECK_EQ(e.inventory.open_len, 3);
    announce(&e, 0, 50, 5);
    CHECK_EQ(e.inventory.open_len, 3);

    announce(&e, 1, 0, 2); /* announced by another: that one's account */
    CHECK_EQ(e.inventory.open_len, 5);
    announce(&e, 0, 50, 5);
    CHECK_EQ(e.inventory.open_len, 7);

    e.now_ns += HFT_ACCOUNT_NS;
    announce(&e, 0, 60, 25); /* a new period, a new account */
    CHECK_EQ(e.inventory.open_len, 7 + CREDIT);
    for (uint8_t i = 0; i < 4; i++) hft_inventory_received(&e, entry_of((uint8_t)(60 + i)), 0);
    announce(&e, 0, 120, 25); /* what has arrived makes room */
    CHECK_EQ(e.inventory.open_len, 7 + CREDIT);
    CHECK_EQ(e.peers[0].announced, CREDIT);
    end();
}

/* Peers on both sides of each word of the set, some in one group: each counts once, each group once. */
static void test_announcers_and_groups(void) {
    static const uint32_t peers[] = {0, 1, 63, 64, 65, 127};
    begin(128);
    e.n_waiting = 1;
    for (uint32_t i = 0; i < 128; i++) e.peers[i].group_bit = 1ull << (i < 64 ? 63 : 5);
    e.peers[0].group_bit = 1;
    for (size_t i = 0; i < 6; i++) {
        announce(&e, peers[i], 7, 1);
        announce(&e, peers[i], 7, 1);
        CHECK_EQ(hft_inventory_n_groups(entry_of(7)->groups), i == 0 ? 1 : i < 3 ? 2 : 3);
        CHECK_EQ(n_voices, hft_inventory_n_groups(entry_of(7)->groups));
        CHECK_EQ(e.peers[peers[i]].counters.announced, 1);
    }
    CHECK_EQ(entry_of(7)->announcers[0], 1ull | 2 | 1ull << 63);
    CHECK_EQ(entry_of(7)->announcers[1], 1ull | 2 | 1ull << 63);
    hft_inventory_on_peer_down(&e, 64);
    CHECK_EQ(entry_of(7)->announcers[1], 2 | 1ull << 63);
    for (size_t i = 0; i < 6; i++)
        if (peers[i] != 64) hft_inventory_on_peer_down(&e, peers[i]);
    CHECK_EQ(entry_of(7)->state, HFT_INVENTORY_STALE);
    CHECK_EQ(hft_inventory_n_groups(entry_of(7)->groups), 3); /* that it was announced stays true */
    end();
}

static void test_merit(void) {
    begin(3);
    e.now_ns = 5000000000;
    for (uint32_t i = 0; i < 3; i++) {
        e.peers[i].link.ready = 1;
        e.peers[i].link.ready_since_ns = 1000000000;
    }
    announce(&e, 0, 7, 1);
    e.now_ns += 1000000000;
    announce(&e, 1, 7, 1);
    CHECK_EQ(e.peers[0].counters.first, 0); /* it may not exist */
    hft_inventory_received(&e, entry_of(7), 0);
    e.now_ns += 2000000000;
    announce(&e, 2, 7, 1);
    hft_inventory_received(&e, entry_of(7), 0);
    CHECK_EQ(e.peers[0].counters.first, 1);
    CHECK_EQ(e.peers[0].counters.merit, 1000);
    CHECK_EQ(e.peers[1].counters.merit, 500);
    CHECK_EQ(e.peers[1].counters.late_ms, 1000);
    CHECK_EQ(e.peers[2].counters.merit, 250);
    CHECK_EQ(e.peers[2].counters.late_ms, 3000);
    announce(&e, 0, 8, 1);
    e.now_ns += 1000000000;
    e.peers[0].link.ready_since_ns = e.now_ns; /* another node has its place by now */
    hft_inventory_received(&e, entry_of(8), 1);
    CHECK_EQ(e.peers[0].counters.first, 1);
    end();
}

int main(void) {
    test_accounts();
    test_announcers_and_groups();
    test_merit();
    return check_done();
}
