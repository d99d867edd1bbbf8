/* A peer's account in the inventory: how much it may put there, and that its debt is not for ever. */
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

int main(void) {
    static hft_engine e; /* no connection is open, so nothing is asked for */
    static const uint64_t key[2] = {1, 2};
    void *memory = aligned_alloc(64, (hft_inventory_size(64) + 63) / 64 * 64);
    CHECK_EQ(hft_inventory_init(&e.inventory, memory, 64, key), 0);
    e.peers = calloc(HFT_ENGINE_PEERS_MAX, sizeof *e.peers);
    e.n_peers = 2;
    e.announced_max = CREDIT;
    e.now_ns = 1;

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
    for (uint8_t i = 0; i < 4; i++) {
        uint8_t hash[32];
        memset(hash, 60 + i, sizeof hash);
        hft_inventory_received(&e, hft_inventory_find(&e.inventory, hash), 0);
    }
    announce(&e, 0, 120, 25); /* what has arrived makes room */
    CHECK_EQ(e.inventory.open_len, 7 + CREDIT);
    CHECK_EQ(e.peers[0].announced, CREDIT);
    free(e.peers);
    free(memory);
    return check_done();
}
