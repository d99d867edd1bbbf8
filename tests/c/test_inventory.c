/* The inventory against a plain model: a FIFO of hashes with states, searched from end to end. */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include <hft/inventory.h>

#define CAP 64
#define STEPS 200000
#define HASHES 200 /* more than fit: forgetting is the rule, not the exception */

typedef struct { uint8_t hash[32]; int state; } model_entry;

static const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint32_t random_below(uint32_t bound) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % bound;
}

static model_entry model[CAP]; /* oldest first */
static uint32_t model_len;

static model_entry *model_find(const uint8_t hash[32]) {
    for (uint32_t i = 0; i < model_len; i++)
        if (memcmp(model[i].hash, hash, 32) == 0) return &model[i];
    return NULL;
}

static void model_add(const uint8_t hash[32]) {
    if (model_len == CAP) memmove(model, model + 1, --model_len * sizeof *model);
    memcpy(model[model_len].hash, hash, 32);
    model[model_len++].state = HFT_INVENTORY_STALE;
}

static int is_open(int state) { return state == HFT_INVENTORY_WANTED || state == HFT_INVENTORY_REQUESTED; }

static void check_open_list(const hft_inventory *inventory) {
    uint32_t n = 0, expected = 0, previous = HFT_INVENTORY_NONE;
    for (uint32_t i = 0; i < model_len; i++) expected += (uint32_t)is_open(model[i].state);
    for (uint32_t i = hft_inventory_open_first(inventory); i != HFT_INVENTORY_NONE && n <= CAP;
         i = hft_inventory_open_next(inventory, i)) {
        CHECK(is_open(inventory->entries[i].state));
        CHECK_EQ(inventory->open[i].open_prev, previous);
        previous = i;
        n++;
    }
    CHECK_EQ(n, expected);
    CHECK_EQ(inventory->open_len, expected);
}

static void check_same(const hft_inventory *inventory, uint8_t hashes[HASHES][32]) {
    for (uint32_t i = 0; i < HASHES; i++) {
        const hft_inventory_entry *entry = hft_inventory_find(inventory, hashes[i]);
        const model_entry *known = model_find(hashes[i]);
        CHECK_EQ(entry != NULL, known != NULL);
        if (entry != NULL && known != NULL) CHECK_EQ(entry->state, known->state);
    }
    const hft_inventory_entry *oldest = hft_inventory_oldest(inventory);
    CHECK_EQ(oldest != NULL, model_len == CAP);
    if (oldest != NULL) CHECK_MEM(oldest->hash, model[0].hash, 32);
    check_open_list(inventory);
}

static void test_against_model(void *memory) {
    static uint8_t hashes[HASHES][32];
    hft_inventory inventory;
    for (uint32_t i = 0; i < HASHES; i++)
        for (int j = 0; j < 32; j++) hashes[i][j] = (uint8_t)random_below(j < 8 ? 2 : 256); /* chains are long */
    CHECK_EQ(hft_inventory_init(&inventory, memory, CAP, key), 0);
    model_len = 0;
    for (int step = 0; step < STEPS; step++) {
        const uint8_t *hash = hashes[random_below(HASHES)];
        hft_inventory_entry *entry = hft_inventory_find(&inventory, hash);
        CHECK_EQ(entry != NULL, model_find(hash) != NULL);
        if (entry == NULL) {
            entry = hft_inventory_add(&inventory, hash);
            model_add(hash);
            CHECK_EQ(entry->state, HFT_INVENTORY_STALE);
            CHECK_EQ(entry->announcers[0] | entry->announcers[1] | entry->groups, 0);
        }
        hft_inventory_state state = (hft_inventory_state)random_below(4);
        hft_inventory_set(&inventory, entry, state);
        model_find(hash)->state = (int)state;
        if (step % 1000 == 0) check_same(&inventory, hashes);
    }
    check_same(&inventory, hashes);
}

static void test_open_list_keeps_order(void *memory) {
    hft_inventory inventory;
    CHECK_EQ(hft_inventory_init(&inventory, memory, CAP, key), 0);
    hft_inventory_entry *entries[10];
    for (int i = 0; i < 10; i++) {
        uint8_t hash[32] = {(uint8_t)i};
        entries[i] = hft_inventory_add(&inventory, hash);
        hft_inventory_set(&inventory, entries[i], HFT_INVENTORY_WANTED);
    }
    hft_inventory_set(&inventory, entries[3], HFT_INVENTORY_REQUESTED); /* still open: keeps its place */
    hft_inventory_set(&inventory, entries[0], HFT_INVENTORY_RECEIVED);
    hft_inventory_set(&inventory, entries[9], HFT_INVENTORY_STALE);
    uint32_t i = hft_inventory_open_first(&inventory);
    for (int expected = 1; expected < 9; expected++, i = hft_inventory_open_next(&inventory, i))
        CHECK_EQ(inventory.entries[i].hash[0], expected);
    CHECK_EQ(i, HFT_INVENTORY_NONE);
}

/* Hashes that differ in one byte only, whichever it is, spread over the buckets: chains stay short. */
static void test_every_byte_counts(void) {
    enum { CAP_LARGE = 1 << 16, N = 256 };
    void *memory = aligned_alloc(64, (hft_inventory_size(CAP_LARGE) + 63) / 64 * 64);
    hft_inventory inventory;
    for (int byte = 0; byte < 32; byte++) {
        CHECK_EQ(hft_inventory_init(&inventory, memory, CAP_LARGE, key), 0);
        for (int i = 0; i < N; i++) {
            uint8_t hash[32] = {0};
            hash[byte] = (uint8_t)i;
            (void)hft_inventory_add(&inventory, hash);
        }
        uint32_t used = 0;
        for (uint32_t i = 0; i <= inventory.bucket_mask; i++) used += inventory.buckets[i] != HFT_INVENTORY_NONE;
        CHECK(used > N - 8);
    }
    free(memory);
}

int main(void) {
    void *memory = aligned_alloc(64, (hft_inventory_size(CAP) + 63) / 64 * 64);
    hft_inventory inventory;
    CHECK_EQ(hft_inventory_size(63), 0);
    CHECK_EQ(hft_inventory_size(65), 0);
    CHECK_EQ(hft_inventory_init(&inventory, memory, 100, key), HFT_E_ARGUMENT);
    test_open_list_keeps_order(memory);
    test_every_byte_counts();
    test_against_model(memory);
    free(memory);
    return check_done();
}
