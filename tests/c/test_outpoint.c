/* The table of outpoints against a plain model: each one's last spender, and how many came after it. */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include <hft/outpoint.h>

#define CAP HFT_OUTPOINTS_MIN
#define OUTPOINTS 5000
#define STEPS 60000

typedef struct { uint64_t spender, put_at; } model_entry; /* spender 0: never spent */

static const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint32_t random_below(uint32_t bound) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % bound;
}

/* Outpoints differ in a few bits alone, as those of one transaction do. */
static void outpoint_of(uint8_t out[HFT_OUTPOINT_LEN], uint32_t i) {
    memset(out, 0x5a, HFT_OUTPOINT_LEN);
    memcpy(out + 32, &i, sizeof i);
    if (i % 3 == 0) { /* or in the txid alone */
        memcpy(out + 7, &i, sizeof i);
        memset(out + 32, 0, 4);
    }
}

static void txid_of(uint8_t out[32], uint64_t spender) {
    memset(out, 0xc3, 32);
    memcpy(out + 12, &spender, sizeof spender);
}

static void *open_table(hft_outpoints *o, uint32_t cap) {
    size_t size = hft_outpoints_size(cap);
    void *memory = malloc(size); /* to the byte: the sanitizer watches its ends */
    memset(memory, 0xab, size);  /* what was there before does not matter */
    CHECK_EQ(hft_outpoints_init(o, memory, cap, key), 0);
    return memory;
}

static int names(const uint8_t *found, uint64_t spender) {
    uint8_t txid[32];
    txid_of(txid, spender);
    return found != NULL && memcmp(found, txid, 32) == 0;
}

/* Never another spender than the last one; and how many of the fresh ones are found. */
static void test_model(uint64_t first_number) {
    static model_entry model[OUTPOINTS];
    hft_outpoints o;
    void *memory = open_table(&o, CAP);
    uint64_t n_put = 0, spender = 0, n_fresh = 0, n_found = 0;
    memset(model, 0, sizeof model);
    o.n_txs = first_number;
    for (int step = 0; step < STEPS; step++) {
        uint8_t outpoint[HFT_OUTPOINT_LEN], txid[32];
        txid_of(txid, ++spender);
        uint64_t number = hft_outpoints_add(&o, txid);
        uint64_t hashes[3];
        uint32_t n = 1 + random_below(3);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t which = random_below(OUTPOINTS);
            outpoint_of(outpoint, which);
            hashes[i] = hft_outpoints_locate(&o, outpoint);
            hft_outpoints_put(&o, hashes[i], number);
            CHECK(names(hft_outpoints_find(&o, hashes[i]), spender));
            model[which] = (model_entry){spender, ++n_put};
        }
        uint32_t which = random_below(OUTPOINTS);
        outpoint_of(outpoint, which);
        const uint8_t *found = hft_outpoints_find(&o, hft_outpoints_locate(&o, outpoint));
        if (found != NULL) CHECK(names(found, model[which].spender));
        int is_fresh = model[which].spender != 0 && n_put - model[which].put_at < CAP / 4;
        n_fresh += (uint64_t)is_fresh;
        n_found += (uint64_t)(is_fresh && found != NULL);
        if (spender - model[which].spender >= CAP / 2) CHECK(found == NULL); /* its txid has left the ring */
    }
    CHECK(n_fresh > 1000);
    CHECK(n_found * 1000 >= n_fresh * 998);
    free(memory);
}

/* One spender names many outpoints; another takes some of them over. */
static void test_many_inputs(void) {
    hft_outpoints o;
    void *memory = open_table(&o, 1u << 14);
    uint8_t outpoint[HFT_OUTPOINT_LEN], txid[32];
    uint64_t hashes[2000];
    for (uint32_t i = 0; i < 2000; i++) {
        outpoint_of(outpoint, i);
        hashes[i] = hft_outpoints_locate(&o, outpoint);
        CHECK(hft_outpoints_find(&o, hashes[i]) == NULL);
    }
    for (uint64_t spender = 1; spender <= 2; spender++) {
        txid_of(txid, spender);
        uint64_t number = hft_outpoints_add(&o, txid);
        for (uint32_t i = 0; i < 2000; i += (uint32_t)spender) hft_outpoints_put(&o, hashes[i], number);
    }
    for (uint32_t i = 0; i < 2000; i++) CHECK(names(hft_outpoints_find(&o, hashes[i]), i % 2 == 0 ? 2 : 1));
    free(memory);
}

static void test_sizes(void) {
    hft_outpoints o;
    uint8_t memory[1];
    static const uint32_t wrong[] = {0, 1, HFT_OUTPOINTS_MIN / 2, HFT_OUTPOINTS_MIN + 1, HFT_OUTPOINTS_MAX * 2};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_EQ(hft_outpoints_size(wrong[i]), 0);
        CHECK_EQ(hft_outpoints_init(&o, memory, wrong[i], key), HFT_E_ARGUMENT);
    }
    CHECK_EQ(hft_outpoints_init(&o, NULL, CAP, key), HFT_E_ARGUMENT);
    for (uint32_t cap = HFT_OUTPOINTS_MIN; cap <= HFT_OUTPOINTS_MAX; cap *= 2)
        CHECK(hft_outpoints_size(cap) <= (size_t)cap * 24 + cap / 2048 + 64);
}

int main(void) {
    test_model(0);
    test_model((1u << 24) - 1000); /* numbers are kept in 24 bits */
    test_many_inputs();
    test_sizes();
    return check_done();
}
