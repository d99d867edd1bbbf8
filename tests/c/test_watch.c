/* The watch table: exact answers at every fill, for every kind of script, and few false steps on the way. */
#include "check.h"

#include <stdlib.h>

#include <hft/endian.h>
#include <hft/watch.h>

/* Script number i of a kind; all scripts of all kinds differ. */
static size_t make_script(uint8_t *out, unsigned kind, uint32_t i) {
    uint8_t program[256];
    for (size_t k = 0; k < sizeof program; k++) program[k] = (uint8_t)(k * 31 + kind);
    /* Consecutive numbers, not random bytes: the worst a hash is likely to be given. */
    hft_store_le32(program + 4, i);
    hft_store_le32(program + 200, i);
    static const struct {
        const char *head;
        size_t head_len, program_len;
        const char *tail;
        size_t tail_len;
    } kinds[] = {
        {"\x76\xa9\x14", 3, 20, "\x88\xac", 2}, /* P2PKH */
        {"\xa9\x14", 2, 20, "\x87", 1},         /* P2SH */
        {"\x00\x14", 2, 20, "", 0},             /* P2WPKH */
        {"\x00\x20", 2, 32, "", 0},             /* P2WSH */
        {"\x51\x20", 2, 32, "", 0},             /* P2TR */
        {"\x21", 1, 33, "\xac", 1},             /* P2PK, compressed key */
        {"\x41", 1, 65, "\xac", 1},             /* P2PK: kept by its hash */
        {"\x6a\x4c", 2, 220, "", 0},            /* OP_RETURN: kept by its hash */
        {"\x51\x08", 2, 8, "", 0},              /* short */
    };
    unsigned n = kind % (sizeof kinds / sizeof kinds[0]);
    memcpy(out, kinds[n].head, kinds[n].head_len);
    memcpy(out + kinds[n].head_len, program, kinds[n].program_len);
    memcpy(out + kinds[n].head_len + kinds[n].program_len, kinds[n].tail, kinds[n].tail_len);
    return kinds[n].head_len + kinds[n].program_len + kinds[n].tail_len;
}

static void *take(hft_watch *watch, uint32_t cap) {
    void *memory = aligned_alloc(64, hft_watch_size(cap));
    memset(memory, 0xa5, hft_watch_size(cap));
    CHECK_EQ(hft_watch_init(watch, memory, cap), 0);
    return memory;
}

static void test_every_kind(uint32_t cap) {
    hft_watch watch;
    void *memory = take(&watch, cap);
    uint8_t script[300];
    for (uint32_t i = 0; i < cap; i++) {
        size_t len = make_script(script, i, i);
        CHECK_EQ(hft_watch_find(&watch, script, len, NULL), -1);
        CHECK_EQ(hft_watch_add(&watch, script, len, i ^ 0xfffffff0), 1);
        CHECK_EQ(hft_watch_add(&watch, script, len, i ^ 0xfffffff0), 0);
        CHECK_EQ(hft_watch_add(&watch, script, len, i), HFT_E_WATCH_CONFLICT);
    }
    CHECK_EQ(watch.n_entries, cap);
    size_t len = make_script(script, 0, cap);
    CHECK_EQ(hft_watch_add(&watch, script, len, 1), HFT_E_WATCH_FULL);
    for (uint32_t i = 0; i < 2 * cap; i++) {
        uint32_t entry = 0xdead;
        len = make_script(script, i, i);
        CHECK_EQ(hft_watch_find(&watch, script, len, &entry), i < cap ? (int64_t)(i ^ 0xfffffff0) : -1);
        CHECK_EQ(entry, i < cap ? i : 0xdead);
    }
    free(memory);
}

/* A script that differs from a watched one in one bit, or in length, is another script. */
static void test_exact(void) {
    hft_watch watch;
    void *memory = take(&watch, 16);
    for (unsigned kind = 0; kind < 9; kind++) {
        uint8_t script[300] = {0};
        size_t len = make_script(script, kind, 5);
        CHECK_EQ(hft_watch_add(&watch, script, len, kind), 1);
        for (size_t bit = 0; bit < 8 * len; bit++) {
            script[bit / 8] ^= (uint8_t)(1 << bit % 8);
            CHECK_EQ(hft_watch_find(&watch, script, len, NULL), -1);
            script[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        CHECK_EQ(hft_watch_find(&watch, script, len - 1, NULL), -1);
        CHECK_EQ(hft_watch_find(&watch, script, len + 1, NULL), -1);
        CHECK_EQ(hft_watch_find(&watch, script, len, NULL), kind);
    }
    free(memory);
}

/* Scripts made to share the whole hash: only comparing them tells them apart. */
static void test_collisions(void) {
    hft_watch watch;
    void *memory = take(&watch, 16);
    uint8_t a[34] = {0x51, 0x20}, b[34] = {0x51, 0x20};
    b[11] = 0x10; /* bytes 11 to 18 and, halves exchanged, the last 8 are XORed: these two changes cancel */
    b[30] = 0x10;
    CHECK_EQ(hft_watch_add(&watch, a, sizeof a, 1), 1);
    CHECK_EQ(hft_watch_find(&watch, b, sizeof b, NULL), -1);
    CHECK_EQ(hft_watch_add(&watch, b, sizeof b, 2), 1);
    CHECK_EQ(hft_watch_find(&watch, a, sizeof a, NULL), 1);
    CHECK_EQ(hft_watch_find(&watch, b, sizeof b, NULL), 2);
    /* 25 bytes, and the same with a zero behind: the tail makes up for the other length. */
    uint8_t c[26] = {0x76, 0xa9, 0x14};
    memset(c + 17, 1, 5);
    CHECK_EQ(hft_watch_add(&watch, c, 25, 3), 1);
    CHECK_EQ(hft_watch_find(&watch, c, 26, NULL), -1);
    CHECK_EQ(hft_watch_add(&watch, c, 26, 4), 1);
    CHECK_EQ(hft_watch_find(&watch, c, 25, NULL), 3);
    CHECK_EQ(hft_watch_find(&watch, c, 26, NULL), 4);
    free(memory);
}

static void test_lengths(void) {
    hft_watch watch;
    void *memory = take(&watch, 64);
    static const size_t lens[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 18, 19, 20, 41, 42, 43, 44, 520, HFT_WATCH_SCRIPT_MAX};
    size_t n = sizeof lens / sizeof lens[0];
    for (size_t i = 0; i < n; i++) {
        uint8_t *script = calloc(1, lens[i]); /* all zero: only the length tells them apart */
        CHECK_EQ(hft_watch_add(&watch, script, lens[i], (uint32_t)i), 1);
        free(script);
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t *script = calloc(1, lens[i]);
        CHECK_EQ(hft_watch_find(&watch, script, lens[i], NULL), i);
        free(script);
    }
    uint8_t *script = calloc(1, HFT_WATCH_SCRIPT_MAX + 1);
    CHECK_EQ(hft_watch_add(&watch, script, HFT_WATCH_SCRIPT_MAX + 1, 0), HFT_E_WATCH_SCRIPT);
    CHECK_EQ(hft_watch_add(&watch, script, 0, 0), HFT_E_WATCH_SCRIPT);
    CHECK_EQ(hft_watch_find(&watch, script, HFT_WATCH_SCRIPT_MAX + 1, NULL), -1);
    CHECK_EQ(hft_watch_find(&watch, script, 0, NULL), -1);
    free(script);
    free(memory);
}

static void test_limits(void) {
    CHECK_EQ(hft_watch_size(0), 0);
    CHECK_EQ(hft_watch_size((1u << 24) + 1), 0);
    CHECK_EQ(hft_watch_size(UINT32_MAX), 0);
    CHECK(hft_watch_size(1u << 24) >= ((size_t)1 << 24) * (48 + 8));
    CHECK_EQ(hft_watch_size(1) % 64, 0);
    hft_watch watch;
    _Alignas(64) uint8_t memory[4096];
    CHECK_EQ(hft_watch_init(&watch, NULL, 1), HFT_E_ARGUMENT);
    CHECK_EQ(hft_watch_init(&watch, memory + 8, 1), HFT_E_ARGUMENT);
    CHECK_EQ(hft_watch_init(&watch, memory, 0), HFT_E_ARGUMENT);
    hft_watch empty = {0};
    CHECK_EQ(hft_watch_find(&empty, memory, 25, NULL), -1);
    CHECK_EQ(hft_watch_add(&empty, memory, 25, 0), HFT_E_WATCH_FULL);
}

/* How many slots the worst and the mean lookup pass in a full table of one kind of script. */
static void test_spread(void) {
    enum { CAP = 1 << 14 };
    for (unsigned kind = 0; kind < 9; kind++) {
        hft_watch watch;
        void *memory = take(&watch, CAP);
        uint8_t script[300];
        for (uint32_t i = 0; i < CAP; i++) {
            size_t len = make_script(script, kind, i);
            CHECK_EQ(hft_watch_add(&watch, script, len, i), 1);
        }
        /* The longest run of taken slots bounds every lookup; half full and well spread it is a few dozen. */
        uint32_t run = 0, longest = 0, runs = 0;
        for (uint32_t i = 0; i <= watch.slot_mask; i++) {
            runs += watch.slots[i] != 0 && run == 0;
            run = watch.slots[i] != 0 ? run + 1 : 0;
            if (run > longest) longest = run;
        }
        CHECK(longest < 100);
        CHECK(runs > CAP / 4);
        free(memory);
    }
}

int main(void) {
    test_every_kind(1);
    test_every_kind(9);
    test_every_kind(16);
    test_every_kind(5000);
    test_exact();
    test_collisions();
    test_lengths();
    test_limits();
    test_spread();
    return check_done();
}
