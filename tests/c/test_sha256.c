/* SHA-256 with every kernel this machine has, against FIPS 180-4's examples and against itself in other shapes.
 * tests/conformance compares it with hashlib and NIST's vectors. */
#include "check.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <hft/cpu.h>
#include <hft/sha256.h>

#include "../../hftcore/libhft/src/sha256_kernels.h"

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t random_u64(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void check_hex(const uint8_t digest[32], const char *hex) {
    char text[65];
    for (size_t i = 0; i < 32; i++) snprintf(text + 2 * i, 3, "%02x", digest[i]);
    CHECK_STR(text, hex);
}

static void test_examples(void) {
    static const struct { const char *text, *digest; } examples[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
         "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    };
    uint8_t digest[32];
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        hft_sha256_digest(digest, examples[i].text, strlen(examples[i].text));
        check_hex(digest, examples[i].digest);
    }
    hft_sha256_digest(digest, NULL, 0);
    check_hex(digest, examples[0].digest);
    /* The hash of the genesis block's header. */
    static const uint8_t header[80] = {
        [0] = 1, [36] = 0x3b, 0xa3, 0xed, 0xfd, 0x7a, 0x7b, 0x12, 0xb2, 0x7a, 0xc7, 0x2c, 0x3e, 0x67, 0x76, 0x8f,
        0x61, 0x7f, 0xc8, 0x1b, 0xc3, 0x88, 0x8a, 0x51, 0x32, 0x3a, 0x9f, 0xb8, 0xaa, 0x4b, 0x1e, 0x5e, 0x4a,
        0x29, 0xab, 0x5f, 0x49, 0xff, 0xff, 0x00, 0x1d, 0x1d, 0xac, 0x2b, 0x7c};
    hft_sha256d_digest(digest, header, sizeof header);
    check_hex(digest, "6fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000");
}

static void test_a_million(void) {
    static char text[1000];
    uint8_t digest[32];
    hft_sha256 hash;
    memset(text, 'a', sizeof text);
    hft_sha256_init(&hash);
    for (int i = 0; i < 1000; i++) hft_sha256_update(&hash, text, sizeof text);
    hft_sha256_final(&hash, digest);
    check_hex(digest, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* The data ends where its allocation ends: a kernel that reads past it is caught. */
static void test_every_length(void) {
    for (size_t len = 0; len <= 260; len++) {
        uint8_t *data = malloc(len + 1), direct[32], pieces[32];
        hft_sha256 hash;
        for (size_t i = 0; i < len; i++) data[i + 1] = (uint8_t)random_u64();
        hft_sha256_digest(direct, data + 1, len);
        for (size_t cut = 0; cut <= len; cut += 1 + len / 40) {
            hft_sha256_init(&hash);
            hft_sha256_update(&hash, data + 1, cut);
            hft_sha256_update(&hash, NULL, 0);
            hft_sha256_update(&hash, data + 1 + cut, len - cut);
            hft_sha256_final(&hash, pieces);
            CHECK_MEM(pieces, direct, 32);
        }
        hft_sha256_digest(pieces, direct, 32);
        hft_sha256d_digest(direct, data + 1, len);
        CHECK_MEM(direct, pieces, 32);
        free(data);
    }
}

static void test_pairs(void) {
    static const size_t lengths[] = {0, 1, 55, 56, 63, 64, 65, 119, 120, 127, 128, 129, 191, 192, 250, 256, 700};
    const size_t n = sizeof lengths / sizeof lengths[0];
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            uint8_t *a = malloc(lengths[i] + 1), *b = malloc(lengths[j] + 1);
            uint8_t out_a[32], out_b[32], expected[32];
            for (size_t k = 0; k < lengths[i]; k++) a[k] = (uint8_t)random_u64();
            for (size_t k = 0; k < lengths[j]; k++) b[k] = (uint8_t)random_u64();
            hft_sha256d_digest2(out_a, a, lengths[i], out_b, b, lengths[j]);
            hft_sha256d_digest(expected, a, lengths[i]);
            CHECK_MEM(out_a, expected, 32);
            hft_sha256d_digest(expected, b, lengths[j]);
            CHECK_MEM(out_b, expected, 32);
            free(a);
            free(b);
        }
    }
}

enum { MOST = 70 }; /* messages in a batch */

typedef void many_fn(uint8_t *out, const void *const *data, const size_t *len, size_t n);
typedef void items_fn(uint8_t *out, const void *data, size_t item_size, size_t n);
typedef void one_fn(uint8_t out[32], const void *data, size_t len);

static void check_many(many_fn *many, one_fn *one, size_t n, size_t longest, int equal) {
    uint8_t *data[MOST] = {NULL}, *out = malloc(32 * n + 1), expected[32];
    size_t len[MOST] = {0};
    for (size_t i = 0; i < n; i++) {
        len[i] = equal ? longest : (size_t)random_u64() % (longest + 1);
        data[i] = len[i] != 0 ? malloc(len[i]) : NULL;
        for (size_t k = 0; k < len[i]; k++) data[i][k] = (uint8_t)random_u64();
    }
    out[32 * n] = 0x5a;
    many(out, (const void *const *)data, len, n);
    for (size_t i = 0; i < n; i++) {
        one(expected, data[i], len[i]);
        CHECK_MEM(out + 32 * i, expected, 32);
        free(data[i]);
    }
    CHECK_EQ(out[32 * n], 0x5a);
    free(out);
}

static void check_items(items_fn *items, one_fn *one, size_t n, size_t size) {
    uint8_t *data = malloc(n * size), *out = malloc(32 * n), *expected = malloc(32 * n);
    for (size_t i = 0; i < n * size; i++) data[i] = (uint8_t)random_u64();
    for (size_t i = 0; i < n; i++) one(expected + 32 * i, data + size * i, size);
    items(out, data, size, n);
    CHECK_MEM(out, expected, 32 * n);
    if (size >= 32) {
        items(data, data, size, n);
        CHECK_MEM(data, expected, 32 * n);
    }
    free(data);
    free(out);
    free(expected);
}

static void test_batches(void) {
    static const size_t sizes[] = {0, 1, 31, 32, 33, 55, 56, 63, 64, 65, 80, 119, 120, 128, 150, 200, 260};
    for (size_t n = 0; n <= MOST; n++) {
        check_many(hft_sha256_many, hft_sha256_digest, n, 300, 0);
        check_many(hft_sha256d_many, hft_sha256d_digest, n, 300, 0);
        check_many(hft_sha256_many, hft_sha256_digest, n, 5000 / (n + 1), 0);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            check_many(hft_sha256_many, hft_sha256_digest, n, sizes[i], 1);
            check_many(hft_sha256d_many, hft_sha256d_digest, n, sizes[i], 1);
            check_items(hft_sha256_items, hft_sha256_digest, n, sizes[i]);
            check_items(hft_sha256d_items, hft_sha256d_digest, n, sizes[i]);
        }
    }
}

/* ---- pages that may not be read on both sides ---- */

enum { LONGEST = 300, ROOM = 4096 };

static uint8_t text[LONGEST], plain[LONGEST + 1][32], twice[LONGEST + 1][32]; /* of its first bytes, by portable code */
static uint8_t *page, *page_end;                                              /* between two that may not be read */

static void open_page(void) {
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *p = mmap(NULL, 3 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + size, size, PROT_READ | PROT_WRITE) != 0 || size < ROOM) abort();
    page = p + size;
    page_end = page + size;
    for (size_t i = 0; i < LONGEST; i++) text[i] = (uint8_t)random_u64();
    CHECK_EQ(hft_init("portable"), HFT_OK);
    for (size_t len = 0; len <= LONGEST; len++) {
        hft_sha256_digest(plain[len], text, len);
        hft_sha256d_digest(twice[len], text, len);
    }
}

static void check_at(uint8_t *at, size_t len) {
    uint8_t out[2][32];
    memcpy(at, text, len);
    hft_sha256_digest(out[0], at, len);
    CHECK_MEM(out[0], plain[len], 32);
    hft_sha256d_digest(out[0], at, len);
    CHECK_MEM(out[0], twice[len], 32);
    hft_sha256d_digest2(out[0], at, len, out[1], at, len / 2);
    CHECK_MEM(out[0], twice[len], 32);
    CHECK_MEM(out[1], twice[len / 2], 32);
}

/* A batch whose messages all end where the page does. */
static void check_batch_at_end(size_t n, size_t least, size_t step) {
    uint8_t *data[MOST] = {NULL}, out[32 * MOST];
    size_t len[MOST] = {0};
    memcpy(page_end - LONGEST, text, LONGEST);
    for (size_t i = 0; i < n; i++) {
        len[i] = (least + i * step) % (LONGEST + 1);
        data[i] = page_end - len[i];
    }
    hft_sha256d_many(out, (const void *const *)data, len, n);
    for (size_t i = 0; i < n; i++) {
        uint8_t expected[32];
        hft_sha256d_digest(expected, data[i], len[i]);
        CHECK_MEM(out + 32 * i, expected, 32);
    }
}

static void test_guarded(void) {
    for (size_t len = 0; len <= LONGEST; len++) {
        for (size_t offset = 0; offset < 64; offset++) check_at(page_end - len - offset, len);
        check_at(page, len);
        check_batch_at_end(1 + len % MOST, len, 0);
        check_batch_at_end(1 + len % MOST, len, 37);
    }
    for (size_t size = 0; size <= LONGEST; size++)
        for (size_t n = 1; n <= 33 && n * size <= ROOM; n += 4) {
            uint8_t *items = page_end - n * size, out[32 * MOST];
            for (size_t i = 0; i < n; i++) memcpy(items + i * size, text, size);
            hft_sha256_items(out, items, size, n);
            for (size_t i = 0; i < n; i++) CHECK_MEM(out + 32 * i, plain[size], 32);
        }
}

static void put_reversed_hex(uint8_t out[32], const char *hex) {
    for (size_t i = 0; i < 32; i++) {
        unsigned byte = 0;
        CHECK_EQ(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[31 - i] = (uint8_t)byte;
    }
}

/* By the definition: pairs, level by level, each hashed alone. */
static void plain_merkle_root(uint8_t out[32], const uint8_t *ids, size_t n) {
    uint8_t level[(MOST + 1) * 32];
    memcpy(level, ids, 32 * n);
    for (; n > 1; n = (n + 1) / 2) {
        if (n % 2 != 0) memcpy(level + 32 * n, level + 32 * (n - 1), 32);
        for (size_t i = 0; i < (n + 1) / 2; i++) {
            uint8_t pair[64];
            memcpy(pair, level + 64 * i, 64);
            hft_sha256d_digest(level + 32 * i, pair, 64);
        }
    }
    memcpy(out, level, 32);
}

static void test_merkle_root(void) {
    /* The transactions of block 100,000. */
    static const char *const block[] = {
        "8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87",
        "fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4",
        "6359f0868171b1d194cbee1af2f16ea598ae8fad666d9b012c8ed2b79a236ec4",
        "e9a66845e05d5abc0ad04ec80f774a7e585c6e8db975962d069a522137b80c1d",
    };
    uint8_t ids[MOST * 32], expected[32], root[32];
    for (size_t i = 0; i < 4; i++) put_reversed_hex(ids + 32 * i, block[i]);
    put_reversed_hex(expected, "f3e94742aca4b5ef85488dc37c06c3282295ffec960994b2c0d5ac2a25a95766");
    CHECK_EQ(hft_merkle_root(root, ids, 4), 0);
    CHECK_MEM(root, expected, 32);
    for (size_t n = 1; n <= MOST; n++) {
        uint8_t *level = malloc(32 * n);
        for (size_t i = 0; i < 32 * n; i++) level[i] = ids[i] = (uint8_t)random_u64();
        plain_merkle_root(expected, ids, n);
        CHECK_EQ(hft_merkle_root(root, level, n), 0);
        CHECK_MEM(root, expected, 32);
        free(level);
        /* CVE-2012-2459: the end repeated, as far as it is paired with itself, gives the same root. */
        size_t repeated = n & (~n + 1);
        if (n == repeated || n + repeated > MOST) continue;
        memcpy(ids + 32 * n, ids + 32 * (n - repeated), 32 * repeated);
        CHECK_EQ(hft_merkle_root(root, ids, n + repeated), 1);
        CHECK_MEM(root, expected, 32);
    }
}

/* ---- the self-test ---- */

static const hft_sha256_kernel_one *sound_one;
static const hft_sha256_kernel_lanes *sound;

static void wrong_blocks_of_one(hft_sha256_state *state, const void *data, size_t n_blocks) {
    sound_one->blocks(state, data, n_blocks);
    if (n_blocks > 1) state->h[7] ^= 1;
}
static void wrong_digest_of_one(uint8_t out[32], const hft_sha256_ends *ends, const void *data, size_t len) {
    sound_one->digest(out, ends, data, len);
    if (ends->outer != NULL && len > 55) out[31] ^= 1;
}
static void wrong_digest_padded(uint8_t out[32], const hft_sha256_ends *ends, const void *blocks, size_t n_blocks) {
    sound_one->digest_padded(out, ends, blocks, n_blocks);
    out[0] ^= 0x80;
}
static void wrong_double2(uint8_t out_a[32], const void *a, size_t a_len, uint8_t out_b[32], const void *b,
                          size_t b_len) {
    sound_one->double2(out_a, a, a_len, out_b, b, b_len);
    if (a_len > b_len) out_b[5] ^= 1;
}

/* Each is wrong in the last lane alone, or for a rare block. */
static void wrong_start(hft_sha256_lanes state, const hft_sha256_state *from) {
    sound->start(state, from);
    state[7][sound->width - 1] ^= 1;
}
static void wrong_blocks(hft_sha256_lanes state, const uint8_t *const *data, size_t n_blocks) {
    sound->blocks(state, data, n_blocks);
    state[0][sound->width - 1] ^= 1;
}
static void wrong_ends(hft_sha256_lanes state, const uint8_t *const *data, const int64_t *left, const uint64_t *bits) {
    sound->ends(state, data, left, bits);
    for (size_t i = 0; i < sound->width; i++) state[3][i] ^= left[i] < 0;
}
static void wrong_outer(hft_sha256_lanes state, const hft_sha256_state *start, uint32_t bits) {
    sound->outer(state, start, bits);
    state[4][sound->width - 1] ^= 1;
}
static void wrong_digests(uint8_t *out, hft_sha256_lanes state) {
    sound->digests(out, state);
    out[32 * sound->width - 1] ^= 1;
}

static void test_self_test(void) {
    hft_sha256_kernels mine = *hft_sha256_in_use();
    sound_one = mine.one;
    for (int i = 0; i < 4; i++) {
        hft_sha256_kernel_one one = *sound_one;
        if (i == 0) one.blocks = wrong_blocks_of_one;
        else if (i == 1) one.digest = wrong_digest_of_one;
        else if (i == 2) one.digest_padded = wrong_digest_padded;
        else one.double2 = wrong_double2;
        hft_sha256_kernels wrong = mine;
        wrong.one = &one;
        CHECK_EQ(hft_sha256_select(&wrong), HFT_E_SELF_TEST);
    }
    for (size_t step = 0; mine.steps[step].lanes != NULL; step++) {
        sound = mine.steps[step].lanes;
        for (int i = 0; i < 5; i++) {
            hft_sha256_kernel_lanes lanes = *sound;
            if (i == 0) lanes.start = wrong_start;
            else if (i == 1) lanes.blocks = wrong_blocks;
            else if (i == 2) lanes.ends = wrong_ends;
            else if (i == 3) lanes.outer = wrong_outer;
            else lanes.digests = wrong_digests;
            hft_sha256_kernels wrong = mine;
            wrong.steps[step].lanes = &lanes;
            CHECK_EQ(hft_sha256_select(&wrong), HFT_E_SELF_TEST);
        }
    }
    CHECK_STR(hft_sha256_kernel(), mine.name); /* a kernel that fails is not used */
}

/* Each level is refused exactly where the machine lacks what it needs; the best is the last of the list. */
static void test_levels(void) {
    static const struct { const char *name; uint32_t needs; } levels[] = {
        {"portable", 0}, {"avx2", HFT_CPU_AVX2}, {"shani", HFT_CPU_SHANI}, {"avx512", HFT_CPU_AVX512}};
    const char *best = NULL;
    size_t n = 0;
    for (size_t i = 0; i < 4; i++) {
        int has = (hft_cpu_features() & levels[i].needs) == levels[i].needs;
        CHECK_EQ(hft_init(levels[i].name), has ? HFT_OK : HFT_E_CPU_LEVEL);
        if (!has) {
            printf("skipped: this CPU lacks %s\n", levels[i].name);
            continue;
        }
        best = levels[i].name;
        CHECK_STR(hft_cpu_level_at(n++), best);
    }
    CHECK(hft_cpu_level_at(n) == NULL);
    CHECK(hft_cpu_level_at(n + 9) == NULL);
    CHECK_EQ(hft_init("portable"), HFT_OK);
    CHECK_EQ(hft_init("avx"), HFT_E_CPU_LEVEL);
    CHECK_EQ(hft_init("avx512 "), HFT_E_CPU_LEVEL);
    CHECK_EQ(hft_init(""), HFT_E_CPU_LEVEL);
    CHECK_STR(hft_sha256_kernel(), "portable");
    CHECK_EQ(hft_init(NULL), HFT_OK);
    CHECK_STR(hft_sha256_kernel(), best);
    CHECK_EQ(hft_init(NULL), HFT_OK);
}

int main(void) {
    CHECK_STR(hft_sha256_kernel(), "portable"); /* before hft_init() */
    open_page();
    for (size_t i = 0; hft_cpu_level_at(i) != NULL; i++) {
        CHECK_EQ(hft_init(hft_cpu_level_at(i)), HFT_OK);
        CHECK_STR(hft_sha256_kernel(), hft_cpu_level_at(i));
        test_examples();
        test_a_million();
        test_every_length();
        test_pairs();
        test_batches();
        test_merkle_root();
        test_guarded();
        test_self_test();
    }
    test_levels();
    return check_done();
}
