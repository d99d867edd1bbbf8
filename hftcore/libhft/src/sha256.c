#include "hft/sha256.h"

#include <stdalign.h>

#include "hft/status.h"
#include "sha256_kernels.h"

const hft_sha256_state hft_sha256_iv = {{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};

const hft_sha256_ends hft_sha256_single = {.inner = &hft_sha256_iv};
const hft_sha256_ends hft_sha256_double = {.inner = &hft_sha256_iv, .outer = &hft_sha256_iv, .outer_bits = 256};

alignas(64) const uint32_t hft_sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

void hft_sha256_state_bytes(uint8_t out[32], const hft_sha256_state *state) {
    for (unsigned i = 0; i < 8; i++) hft_store_be32(out + 4 * i, state->h[i]);
}

/* ---- portable kernel ---- */

static inline uint32_t rotr(uint32_t x, unsigned n) { return x >> n | x << (32 - n); }
static inline uint32_t big_sigma0(uint32_t x) { return rotr(x, 2) ^ rotr(x, 13) ^ rotr(x, 22); }
static inline uint32_t big_sigma1(uint32_t x) { return rotr(x, 6) ^ rotr(x, 11) ^ rotr(x, 25); }
static inline uint32_t small_sigma0(uint32_t x) { return rotr(x, 7) ^ rotr(x, 18) ^ x >> 3; }
static inline uint32_t small_sigma1(uint32_t x) { return rotr(x, 17) ^ rotr(x, 19) ^ x >> 10; }
static inline uint32_t choose(uint32_t x, uint32_t y, uint32_t z) { return z ^ (x & (y ^ z)); }
static inline uint32_t majority(uint32_t x, uint32_t y, uint32_t z) { return (x & y) | (z & (x | y)); }

/* w is a window of 16 words over the message schedule, rewritten as it moves. */
static inline uint32_t schedule(uint32_t w[16], unsigned i) {
    if (i < 16) return w[i];
    w[i & 15] += small_sigma1(w[(i - 2) & 15]) + w[(i - 7) & 15] + small_sigma0(w[(i - 15) & 15]);
    return w[i & 15];
}

/* The variables rotate by renaming: after eight rounds each is back in its place. */
#define ROUND(a, b, c, d, e, f, g, h, i)                                                     \
    do {                                                                                     \
        uint32_t t = (h) + big_sigma1(e) + choose(e, f, g) + hft_sha256_k[i] + schedule(w, i); \
        (d) += t;                                                                            \
        (h) = t + big_sigma0(a) + majority(a, b, c);                                         \
    } while (0)

static void compress(hft_sha256_state *state, uint32_t w[16]) {
    uint32_t a = state->h[0], b = state->h[1], c = state->h[2], d = state->h[3];
    uint32_t e = state->h[4], f = state->h[5], g = state->h[6], h = state->h[7];
    for (unsigned i = 0; i < 64; i += 8) {
        ROUND(a, b, c, d, e, f, g, h, i);
        ROUND(h, a, b, c, d, e, f, g, i + 1);
        ROUND(g, h, a, b, c, d, e, f, i + 2);
        ROUND(f, g, h, a, b, c, d, e, i + 3);
        ROUND(e, f, g, h, a, b, c, d, i + 4);
        ROUND(d, e, f, g, h, a, b, c, i + 5);
        ROUND(c, d, e, f, g, h, a, b, i + 6);
        ROUND(b, c, d, e, f, g, h, a, i + 7);
    }
    state->h[0] += a;
    state->h[1] += b;
    state->h[2] += c;
    state->h[3] += d;
    state->h[4] += e;
    state->h[5] += f;
    state->h[6] += g;
    state->h[7] += h;
}

static void blocks_portable(hft_sha256_state *state, const void *data, size_t n_blocks) {
    const uint8_t *p = data;
    uint32_t w[16];
    for (; n_blocks != 0; n_blocks--, p += 64) {
        for (unsigned i = 0; i < 16; i++) w[i] = hft_load_be32(p + 4 * i);
        compress(state, w);
    }
}

static void digest_portable(uint8_t out[32], const hft_sha256_ends *ends, const void *data, size_t len) {
    hft_sha256_state state = *ends->inner, outer;
    const uint8_t *p = data;
    uint8_t block[64];
    uint64_t bits = (ends->hashed + len) * 8;
    uint32_t w[16] = {[8] = 0x80000000, [15] = ends->outer_bits};
    int64_t left = (int64_t)(len % 64);
    blocks_portable(&state, p, len / 64);
    hft_sha256_pad(block, left != 0 ? p + (len - len % 64) : NULL, left, bits);
    blocks_portable(&state, block, 1);
    if (left >= 56) {
        hft_sha256_pad(block, NULL, left - 64, bits);
        blocks_portable(&state, block, 1);
    }
    if (ends->outer != NULL) {
        outer = *ends->outer;
        memcpy(w, state.h, sizeof state.h);
        compress(&outer, w);
        state = outer;
    }
    hft_sha256_state_bytes(out, &state);
}

static void digest_padded_portable(uint8_t out[32], const hft_sha256_ends *ends, const void *blocks, size_t n_blocks) {
    hft_sha256_state state = *ends->inner, outer = *ends->outer;
    uint32_t w[16] = {[8] = 0x80000000, [15] = ends->outer_bits};
    blocks_portable(&state, blocks, n_blocks);
    memcpy(w, state.h, sizeof state.h);
    compress(&outer, w);
    hft_sha256_state_bytes(out, &outer);
}

static void double2_portable(uint8_t out_a[32], const void *a, size_t a_len,
                             uint8_t out_b[32], const void *b, size_t b_len) {
    digest_portable(out_a, &hft_sha256_double, a, a_len);
    digest_portable(out_b, &hft_sha256_double, b, b_len);
}

const hft_sha256_kernel_one hft_sha256_portable = {blocks_portable, digest_portable, digest_padded_portable,
                                                   double2_portable};

/* ---- dispatch ---- */

static const hft_sha256_kernels none = {.name = "portable", .one = &hft_sha256_portable};
static const hft_sha256_kernels *kernels_in_use = &none; /* until hft_init() */

const hft_sha256_kernels *hft_sha256_in_use(void) { return kernels_in_use; }
const char *hft_sha256_kernel(void) { return kernels_in_use->name; }

void hft_sha256_blocks(hft_sha256_state *state, const void *data, size_t n_blocks) {
    kernels_in_use->one->blocks(state, data, n_blocks);
}

/* FIPS 180-4's example "abc", and "abcdbcde..nopq", whose padding takes a second block. */
static int self_test(const hft_sha256_kernel_one *one) {
    static const char text[2][57] = {"abc", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"};
    static const size_t text_len[2] = {3, 56};
    static const uint8_t expected[2][32] = {
        {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
         0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad},
        {0x24, 0x8d, 0x6a, 0x61, 0xd2, 0x06, 0x38, 0xb8, 0xe5, 0xc0, 0x26, 0x93, 0x0c, 0x3e, 0x60, 0x39,
         0xa3, 0x3c, 0xe4, 0x59, 0x64, 0xff, 0x21, 0x67, 0xf6, 0xec, 0xed, 0xd4, 0x19, 0xdb, 0x06, 0xc1}};
    static const uint8_t expected_twice[2][32] = {
        {0x4f, 0x8b, 0x42, 0xc2, 0x2d, 0xd3, 0x72, 0x9b, 0x51, 0x9b, 0xa6, 0xf6, 0x8d, 0x2d, 0xa7, 0xcc,
         0x5b, 0x2d, 0x60, 0x6d, 0x05, 0xda, 0xed, 0x5a, 0xd5, 0x12, 0x8c, 0xc0, 0x3e, 0x6c, 0x63, 0x58},
        {0x0c, 0xff, 0xe1, 0x7f, 0x68, 0x95, 0x4d, 0xac, 0x3a, 0x84, 0xfb, 0x14, 0x58, 0xbd, 0x5e, 0xc9,
         0x92, 0x09, 0x44, 0x97, 0x49, 0xb2, 0xb3, 0x08, 0xb7, 0xcb, 0x55, 0x81, 0x2f, 0x95, 0x63, 0xaf}};
    for (int i = 0; i < 2; i++) {
        uint8_t blocks[2][64], digest[32];
        size_t n_blocks = (text_len[i] + 8) / 64 + 1;
        hft_sha256_state state = hft_sha256_iv;
        for (size_t k = 0; k < n_blocks; k++) {
            int64_t left = (int64_t)text_len[i] - 64 * (int64_t)k;
            hft_sha256_pad(blocks[k], (const uint8_t *)text[i], left, text_len[i] * 8);
        }
        one->blocks(&state, blocks, n_blocks);
        hft_sha256_state_bytes(digest, &state);
        if (memcmp(digest, expected[i], 32) != 0) return HFT_E_SELF_TEST;
        one->digest(digest, &hft_sha256_single, text[i], text_len[i]);
        if (memcmp(digest, expected[i], 32) != 0) return HFT_E_SELF_TEST;
        one->digest(digest, &hft_sha256_double, text[i], text_len[i]);
        if (memcmp(digest, expected_twice[i], 32) != 0) return HFT_E_SELF_TEST;
        one->digest_padded(digest, &hft_sha256_double, blocks, n_blocks);
        if (memcmp(digest, expected_twice[i], 32) != 0) return HFT_E_SELF_TEST;
    }
    for (int i = 0; i < 2; i++) {
        uint8_t twice[2][32];
        one->double2(twice[i], text[i], text_len[i], twice[1 - i], text[1 - i], text_len[1 - i]);
        if (memcmp(twice, expected_twice, sizeof twice) != 0) return HFT_E_SELF_TEST;
    }
    return HFT_OK;
}

int hft_sha256_select(const hft_sha256_kernels *kernels) {
    int rc = self_test(kernels->one);
    if (rc == HFT_OK) rc = hft_sha256_test_lanes(kernels);
    if (rc == HFT_OK) kernels_in_use = kernels;
    return rc;
}

/* ---- hashing ---- */

void hft_sha256_init(hft_sha256 *s) {
    s->state = hft_sha256_iv;
    s->len = 0;
}

void hft_sha256_update(hft_sha256 *s, const void *data, size_t len) {
    const uint8_t *p = data;
    size_t held = s->len & 63;
    if (len == 0) return;
    s->len += len;
    if (held != 0) {
        size_t take = 64 - held < len ? 64 - held : len;
        memcpy(s->buf + held, p, take);
        p += take;
        len -= take;
        if (held + take < 64) return;
        hft_sha256_blocks(&s->state, s->buf, 1);
    }
    hft_sha256_blocks(&s->state, p, len / 64);
    if ((len & 63) != 0) memcpy(s->buf, p + (len & ~(size_t)63), len & 63);
}

void hft_sha256_final(hft_sha256 *s, uint8_t out[32]) {
    hft_sha256_ends ends = {.inner = &s->state, .hashed = s->len & ~(uint64_t)63};
    kernels_in_use->one->digest(out, &ends, s->buf, s->len & 63);
}

void hft_sha256_digest(uint8_t out[32], const void *data, size_t len) {
    kernels_in_use->one->digest(out, &hft_sha256_single, data, len);
}

void hft_sha256d_digest(uint8_t out[32], const void *data, size_t len) {
    kernels_in_use->one->digest(out, &hft_sha256_double, data, len);
}

void hft_sha256d_digest2(uint8_t out_a[32], const void *a, size_t a_len,
                         uint8_t out_b[32], const void *b, size_t b_len) {
    kernels_in_use->one->double2(out_a, a, a_len, out_b, b, b_len);
}
