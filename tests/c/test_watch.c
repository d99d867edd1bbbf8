/* The watch table: exact answers at every fill, for every kind of script, and few false steps on the way. */
#include "check.h"

#include <stdlib.h>

#include <hft/endian.h>
#include "../../hftcore/libhft/src/watch_internal.h"
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

static const uint64_t KEY[HFT_WATCH_KEY_WORDS] = {0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0,
                                                  0x082efa98ec4e6c89, 0x452821e638d01377, 0xbe5466cf34e90c6c,
                                                  0xc0ac29b7c97c50dd, 0x3f84d5b5b5470917};

static void *take(hft_watch *watch, uint32_t cap) {
    void *memory = aligned_alloc(64, hft_watch_size(cap));
    memset(memory, 0xa5, hft_watch_size(cap));
    CHECK_EQ(hft_watch_init(watch, memory, cap, KEY), 0);
    return memory;
}

static void test_every_kind(uint32_t cap) {
    hft_watch watch;
    void *memory = take(&watch, cap);
    uint8_t script[300];
    for (uint32_t i = 0; i < cap; i++) {
        size_t len = make_script(script, i, i);
        CHECK_EQ(hft_watch_find(&watch, script, len, NULL), -1);
        CHECK_EQ(hft_watch_add(&watch, script, len, i ^ 0xfffff0), 1);
        CHECK_EQ(hft_watch_add(&watch, script, len, i ^ 0xfffff0), 0);
        CHECK_EQ(hft_watch_add(&watch, script, len, i), HFT_E_WATCH_CONFLICT);
    }
    CHECK_EQ(watch.n_entries, cap);
    size_t len = make_script(script, 0, cap);
    CHECK_EQ(hft_watch_add(&watch, script, len, 1), HFT_E_WATCH_FULL);
    for (uint32_t i = 0; i < 2 * cap; i++) {
        uint32_t entry = 0xdead;
        len = make_script(script, i, i);
        CHECK_EQ(hft_watch_find(&watch, script, len, &entry), i < cap ? (int64_t)(i ^ 0xfffff0) : -1);
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

/* A key of zeros but for the last two words makes one hash of all of these: they want the same bucket, and only
 * comparing tells them apart. */
static size_t make_colliding(uint8_t script[34], uint32_t i) {
    memset(script, 0, 34);
    hft_store_le32(script + 9, i * 2654435761u);
    hft_store_le32(script + 29, i);
    return 34;
}

/* last: the two words of the key that turn a sum of zero into the hash. */
static void test_collisions(uint64_t last_but_one, uint64_t last) {
    enum { CHAIN = 32 * 12 };
    const uint64_t zeros[HFT_WATCH_KEY_WORDS] = {[6] = last_but_one, [7] = last};
    hft_watch watch;
    void *memory = take(&watch, 4096);
    CHECK_EQ(hft_watch_init(&watch, memory, 4096, zeros), 0);
    uint8_t script[34];
    for (uint32_t i = 0; i < CHAIN; i++) CHECK_EQ(hft_watch_add(&watch, script, make_colliding(script, i), i), 1);
    /* Lookups see so many buckets and no more; the table says so instead of losing a script. */
    CHECK_EQ(hft_watch_add(&watch, script, make_colliding(script, CHAIN), 0), HFT_E_WATCH_FULL);
    CHECK_EQ(watch.n_entries, CHAIN);
    for (uint32_t i = 0; i < 2 * CHAIN; i++) {
        size_t len = make_colliding(script, i);
        CHECK_EQ(hft_watch_find(&watch, script, len, NULL), i < CHAIN ? (int64_t)i : -1);
        script[i % 34] ^= 0x40;
        CHECK_EQ(hft_watch_find(&watch, script, len, NULL), -1);
    }
    /* Zeros: nothing but their length tells them apart. */
    CHECK_EQ(hft_watch_init(&watch, memory, 4096, zeros), 0);
    memset(script, 0, sizeof script);
    for (uint32_t len = 1; len <= 34; len++) {
        CHECK_EQ(hft_watch_find(&watch, script, len, NULL), -1);
        CHECK_EQ(hft_watch_add(&watch, script, len, len), 1);
    }
    for (uint32_t len = 1; len <= 34; len++) CHECK_EQ(hft_watch_find(&watch, script, len, NULL), len);
    free(memory);
}

/* Zeros of different lengths do not crowd into one bucket. */
static void test_lengths_are_hashed(void) {
    hft_watch watch;
    void *memory = take(&watch, 4096);
    const uint8_t script[34] = {0};
    for (uint32_t len = 1; len <= sizeof script; len++) CHECK_EQ(hft_watch_add(&watch, script, len, len), 1);
    for (uint32_t i = 0; i < watch.n_buckets; i++) CHECK_EQ(watch.buckets[i].passed, 0);
    free(memory);
}

/* Looked up together, scripts get the answers that each gets alone. */
static void test_find_many(void) {
    hft_watch watch;
    void *memory = take(&watch, 1000);
    uint8_t scripts[HFT_WATCH_BATCH][300];
    for (uint32_t i = 0; i < 1000; i++) {
        size_t len = make_script(scripts[0], i, i);
        CHECK_EQ(hft_watch_add(&watch, scripts[0], len, i), 1);
    }
    const uint8_t *pointers[HFT_WATCH_BATCH];
    size_t lens[HFT_WATCH_BATCH];
    for (uint32_t n = 0; n <= HFT_WATCH_BATCH; n++) {
        int64_t labels[HFT_WATCH_BATCH];
        uint32_t entries[HFT_WATCH_BATCH];
        for (uint32_t i = 0; i < n; i++) {
            lens[i] = i == 7 ? 0 : make_script(scripts[i], n + i, (n + i) * 61);
            pointers[i] = scripts[i];
        }
        hft_watch_find_many(&watch, labels, entries, pointers, lens, n);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t entry = 0;
            CHECK_EQ(labels[i], hft_watch_find(&watch, pointers[i], lens[i], &entry));
            if (labels[i] >= 0) CHECK_EQ(entries[i], entry);
        }
    }
    free(memory);
}

static void test_set_and_copy(void) {
    enum { N = 500 };
    hft_watch watch, copy;
    void *memory = take(&watch, N), *more = take(&copy, 2 * N);
    uint8_t script[300];
    for (uint32_t i = 0; i < N; i++) CHECK_EQ(hft_watch_add(&watch, script, make_script(script, i, i), 7), 1);
    CHECK_EQ(watch.n_labels, 8);
    for (uint32_t i = 0; i < N; i++) {
        CHECK_EQ(hft_watch_origin(&watch, i), 0);
        CHECK_EQ(hft_watch_set(&watch, i, HFT_WATCH_LABEL_MAX - i, (uint16_t)(i * 131)), 0);
    }
    CHECK_EQ(hft_watch_set(&watch, N, 0, 0), HFT_E_ARGUMENT);
    CHECK_EQ(hft_watch_set(&watch, 0, HFT_WATCH_LABEL_MAX + 1, 0), HFT_E_ARGUMENT);
    CHECK_EQ(hft_watch_add(&watch, script, 25, HFT_WATCH_LABEL_MAX + 1), HFT_E_ARGUMENT);
    CHECK_EQ(hft_watch_copy(&copy, &watch), 0);
    CHECK_EQ(copy.n_entries, N);
    for (uint32_t i = 0; i < 2 * N; i++) {
        uint32_t entry = 0;
        size_t len = make_script(script, i, i);
        CHECK_EQ(hft_watch_find(&copy, script, len, &entry), i < N ? (int64_t)(HFT_WATCH_LABEL_MAX - i) : -1);
        if (i >= N) CHECK_EQ(hft_watch_add(&copy, script, len, 1), 1); /* it can grow on */
        else CHECK(entry == i && hft_watch_origin(&copy, i) == (uint16_t)(i * 131));
    }
    CHECK_EQ(hft_watch_init(&watch, memory, N - 1, KEY), 0);
    CHECK_EQ(hft_watch_copy(&watch, &copy), HFT_E_WATCH_FULL);
    free(memory);
    free(more);
}

/* ---- files ---- */

static const char NAMES[] = "what the caller wants to keep beside the scripts";

/* Memory of exactly so many bytes, so that a step over the end is seen. */
static uint8_t *take_exactly(size_t len) {
    void *memory = NULL;
    CHECK_EQ(posix_memalign(&memory, 64, len != 0 ? len : 1), 0);
    return memory;
}

/* The file of a table with n scripts, in memory of exactly its size. */
static uint8_t *make_file(size_t *len, uint32_t n) {
    hft_watch watch;
    void *memory = take(&watch, n);
    uint8_t script[300], head[HFT_WATCH_HEADER_LEN];
    for (uint32_t i = 0; i < n; i++) CHECK_EQ(hft_watch_add(&watch, script, make_script(script, i, i), i), 1);
    CHECK_EQ(hft_watch_put_header(head, &watch, "a name too long for it", (const uint8_t *)NAMES, sizeof NAMES),
             HFT_E_ARGUMENT);
    CHECK_EQ(hft_watch_put_header(head, &watch, "mainnet", (const uint8_t *)NAMES, sizeof NAMES), 0);
    size_t index_len, records_len;
    const void *index = hft_watch_index(&watch, &index_len), *records = hft_watch_records(&watch, &records_len);
    *len = sizeof head + index_len + records_len + sizeof NAMES;
    uint8_t *file = take_exactly(*len);
    memcpy(file, head, sizeof head);
    memcpy(file + sizeof head, index, index_len);
    memcpy(file + sizeof head + index_len, records, records_len);
    memcpy(file + sizeof head + index_len + records_len, NAMES, sizeof NAMES);
    free(memory);
    return file;
}

static void test_file(void) {
    enum { N = 3000 };
    size_t len;
    uint8_t *data = make_file(&len, N), script[300];
    hft_watch watch;
    hft_watch_file file;
    hft_err err = {0};
    CHECK_EQ(hft_watch_attach(&watch, &file, data, len, &err), 0);
    CHECK_EQ(hft_watch_verify(data, len), 0);
    CHECK(strcmp(file.network, "mainnet") == 0);
    CHECK(file.names_len == sizeof NAMES && memcmp(file.names, NAMES, sizeof NAMES) == 0);
    CHECK(len - sizeof NAMES - HFT_WATCH_HEADER_LEN <= (size_t)48 * N);
    for (uint32_t i = 0; i < 2 * N; i++) {
        size_t script_len = make_script(script, i, i);
        CHECK_EQ(hft_watch_find(&watch, script, script_len, NULL), i < N ? (int64_t)i : -1);
        if (i >= N) CHECK_EQ(hft_watch_add(&watch, script, script_len, 1), HFT_E_WATCH_FULL);
    }
    CHECK_EQ(hft_watch_set(&watch, 0, 1, 1), HFT_E_STATE);
    CHECK_EQ(hft_watch_verify(data, len), 0); /* nothing has written to it */
    CHECK_EQ(hft_watch_attach(&watch, &file, data + 1, len, &err), HFT_E_ARGUMENT);
    free(data);
}

static void test_file_cut_off(void) {
    size_t whole;
    uint8_t *data = make_file(&whole, 40);
    hft_watch watch;
    hft_watch_file file;
    for (size_t len = 0; len < whole; len++) {
        uint8_t *cut = take_exactly(len);
        hft_err err = {0};
        memcpy(cut, data, len);
        CHECK_EQ(hft_watch_attach(&watch, &file, cut, len, &err), len < 8 ? HFT_E_WATCH_FORMAT : HFT_E_WATCH_DAMAGED);
        CHECK_EQ(hft_watch_verify(cut, len), HFT_E_WATCH_DAMAGED);
        free(cut);
    }
    uint8_t *longer = take_exactly(whole + 1);
    memcpy(longer, data, whole);
    longer[whole] = 0;
    CHECK_EQ(hft_watch_attach(&watch, &file, longer, whole + 1, NULL), HFT_E_WATCH_DAMAGED);
    free(longer);
    free(data);
}

/* Every bit of the header is protected; a flipped bit behind it is found by verify, and harmless until then. */
static void test_file_damaged(void) {
    size_t len;
    uint8_t *data = make_file(&len, 40), script[300];
    hft_watch watch;
    hft_watch_file file;
    for (size_t bit = 0; bit < 8 * len; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int rc = hft_watch_attach(&watch, &file, data, len, NULL);
        if (bit < (size_t)8 * 12) CHECK_EQ(rc, HFT_E_WATCH_FORMAT);
        else CHECK_EQ(rc, bit < (size_t)8 * HFT_WATCH_HEADER_LEN ? HFT_E_WATCH_DAMAGED : 0);
        if (rc == 0) {
            CHECK_EQ(hft_watch_verify(data, len), HFT_E_WATCH_DAMAGED);
            for (uint32_t i = (uint32_t)(bit % 40); i < 60; i += 40) {
                size_t script_len = make_script(script, i, i);
                CHECK(hft_watch_find(&watch, script, script_len, NULL) < 40);
            }
        }
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK_EQ(hft_watch_verify(data, len), 0);
    free(data);
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
    CHECK(hft_watch_size(1u << 24) <= ((size_t)1 << 24) * 48);
    CHECK_EQ(hft_watch_size(1) % 64, 0);
    hft_watch watch;
    _Alignas(64) uint8_t memory[4096];
    CHECK_EQ(hft_watch_init(&watch, NULL, 1, KEY), HFT_E_ARGUMENT);
    CHECK_EQ(hft_watch_init(&watch, memory + 8, 1, KEY), HFT_E_ARGUMENT);
    CHECK_EQ(hft_watch_init(&watch, memory, 0, KEY), HFT_E_ARGUMENT);
    hft_watch empty = {0};
    CHECK_EQ(hft_watch_find(&empty, memory, 25, NULL), -1);
    CHECK_EQ(hft_watch_add(&empty, memory, 25, 0), HFT_E_WATCH_FULL);
}

/* Consecutive numbers in scripts of one kind spread over the buckets as random ones would: a script that is not watched
 * rarely costs a second cache line, and none is far from where it belongs. */
static void test_spread(void) {
    enum { CAP = 1 << 14 };
    for (unsigned kind = 0; kind < 9; kind++) {
        hft_watch watch;
        void *memory = take(&watch, CAP);
        uint8_t script[300];
        for (uint32_t i = 0; i < CAP; i++) CHECK_EQ(hft_watch_add(&watch, script, make_script(script, kind, i), i), 1);
        uint32_t full = 0, passed = 0;
        for (uint32_t i = 0; i < watch.n_buckets; i++) {
            full += watch.buckets[i].prints[HFT_WATCH_SLOTS - 1] != 0;
            passed += (uint32_t)__builtin_popcount(watch.buckets[i].passed);
        }
        CHECK(full < watch.n_buckets / 4);
        CHECK(passed < watch.n_buckets); /* of 32 bits in each: a miss goes on in less than one of 32 cases */
        free(memory);
    }
}

int main(void) {
    test_every_kind(1);
    test_every_kind(9);
    test_every_kind(16);
    test_every_kind(5000);
    test_exact();
    test_collisions(0, 0);           /* the first bucket */
    test_collisions(1, UINT64_MAX); /* the last one, so that the search goes on at the first */
    test_lengths_are_hashed();
    test_find_many();
    test_set_and_copy();
    test_lengths();
    test_limits();
    test_spread();
    test_file();
    test_file_cut_off();
    test_file_damaged();
    return check_done();
}
