/* AES-GCM on AES-NI and PCLMULQDQ.
 *
 * Eight counter blocks are encrypted at a time, for an aesenc takes four cycles and two may begin in each. Between
 * their rounds the eight blocks of ciphertext before are hashed: each times its own power of H, the sum reduced once.
 *
 * GHASH is computed as POLYVAL (RFC 8452 appendix A): bytes reversed and H times x beforehand, a product needs no
 * shifting of bits, and two multiplications by the field's polynomial reduce it. */
#include <immintrin.h>

#include "../aesgcm_kernels.h"
#include "hft/endian.h"

#define WIDTH 8
#define POWERS (WIDTH + 1) /* eight blocks, and the lengths */

_Static_assert(HFT_AESGCM_POWERS >= 2 * POWERS, "the powers, and the sums of their halves");

typedef struct { __m128i low, middle, high; } product;

static inline __m128i load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
static inline void store(uint8_t *p, __m128i x) { _mm_storeu_si128((__m128i *)p, x); }
static inline __m128i load_key(const uint8_t *p) { return _mm_load_si128((const __m128i *)p); }
static inline void store_key(uint8_t *p, __m128i x) { _mm_store_si128((__m128i *)p, x); }

static inline __m128i reversed(__m128i x) {
    return _mm_shuffle_epi8(x, _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f));
}

static inline __m128i halves_swapped(__m128i x) { return _mm_shuffle_epi32(x, 0x4e); }

/* ---- GHASH ---- */

static inline __m128i fold(__m128i x) { return _mm_xor_si128(x, halves_swapped(x)); }

/* Adds x times h without reduction, in Karatsuba's three multiplications. */
static inline void add_product(product *sum, __m128i x, __m128i h, __m128i h_folded) {
    sum->low = _mm_xor_si128(sum->low, _mm_clmulepi64_si128(x, h, 0x00));
    sum->high = _mm_xor_si128(sum->high, _mm_clmulepi64_si128(x, h, 0x11));
    sum->middle = _mm_xor_si128(sum->middle, _mm_clmulepi64_si128(fold(x), h_folded, 0x00));
}

static inline __m128i reduce(product p) {
    const __m128i polynomial = _mm_set_epi64x(0, (long long)0xc200000000000000);
    __m128i middle = _mm_xor_si128(p.middle, _mm_xor_si128(p.low, p.high));
    __m128i low = _mm_xor_si128(p.low, _mm_slli_si128(middle, 8));
    __m128i high = _mm_xor_si128(p.high, _mm_srli_si128(middle, 8));
    low = _mm_xor_si128(halves_swapped(low), _mm_clmulepi64_si128(low, polynomial, 0x00));
    low = _mm_xor_si128(halves_swapped(low), _mm_clmulepi64_si128(low, polynomial, 0x00));
    return _mm_xor_si128(low, high);
}

static inline __m128i multiply(__m128i x, __m128i h) {
    product p = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
    add_product(&p, x, h, fold(h));
    return reduce(p);
}

/* The element of the field times x: a shift, and the polynomial if a bit falls out. */
static inline __m128i times_x(__m128i h) {
    __m128i doubled = _mm_or_si128(_mm_slli_epi64(h, 1), _mm_slli_si128(_mm_srli_epi64(h, 63), 8));
    __m128i fell_out = _mm_shuffle_epi32(_mm_srai_epi32(h, 31), 0xff);
    return _mm_xor_si128(doubled, _mm_and_si128(fell_out, _mm_set_epi64x((long long)0xc200000000000000, 1)));
}

/* Adds block number i of the n that are left to hash; n <= POWERS. */
static inline void add_block(product *sum, const hft_aesgcm *g, __m128i block, size_t i, size_t n) {
    size_t power = n - 1 - i;
    add_product(sum, block, load_key(g->powers[power]), load_key(g->powers[POWERS + power]));
}

static inline __m128i hash_last(const hft_aesgcm *g, const __m128i *blocks, size_t n) {
    product sum = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
    for (size_t i = 0; i < n; i++) add_block(&sum, g, blocks[i], i, n);
    return reduce(sum);
}

/* ---- AES ---- */

/* Words 0, 0 + 1, 0 + 1 + 2 and 0 + 1 + 2 + 3: what the key schedule adds to the words before. */
static inline __m128i running_sum(__m128i x) {
    x = _mm_xor_si128(x, _mm_slli_si128(x, 4));
    return _mm_xor_si128(x, _mm_slli_si128(x, 8));
}

/* FIPS 197 section 5.2, a round key at a time: 16 bytes of key give ten more, 32 give 13 more. */
static void expand_key(hft_aesgcm *g, const uint8_t *key, size_t key_len) {
    size_t n = key_len / 16;
    int constant = 1;
    g->rounds = (uint32_t)(6 + key_len / 4);
    for (size_t i = 0; i < n; i++) store_key(g->round_keys[i], load(key + 16 * i));
    for (size_t i = n; i <= g->rounds; i++) {
        __m128i last = _mm_aeskeygenassist_si128(load_key(g->round_keys[i - 1]), 0), word;
        if (i % n == 0) {
            word = _mm_xor_si128(_mm_shuffle_epi32(last, 0xff), _mm_set1_epi32(constant));
            constant = constant << 1 ^ (constant >> 7) * 0x11b;
        } else {
            word = _mm_shuffle_epi32(last, 0xaa); /* without rotation and constant */
        }
        store_key(g->round_keys[i], _mm_xor_si128(running_sum(load_key(g->round_keys[i - n])), word));
    }
}

static __m128i encrypt_block(const hft_aesgcm *g, __m128i block) {
    block = _mm_xor_si128(block, load_key(g->round_keys[0]));
    for (size_t i = 1; i < g->rounds; i++) block = _mm_aesenc_si128(block, load_key(g->round_keys[i]));
    return _mm_aesenclast_si128(block, load_key(g->round_keys[g->rounds]));
}

/* Encrypts the next eight values of the counter (its bytes reversed). Meanwhile hashes eight blocks, unless they are
 * NULL; returns their hash. */
static inline __attribute__((always_inline)) __m128i encrypt(const hft_aesgcm *g, __m128i stream[WIDTH],
                                                             __m128i *counter, const __m128i *blocks) {
    product sum = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
    __m128i s[WIDTH], key = load_key(g->round_keys[0]);
#pragma GCC unroll 8
    for (int i = 0; i < WIDTH; i++) {
        s[i] = _mm_xor_si128(reversed(*counter), key);
        *counter = _mm_add_epi32(*counter, _mm_set_epi32(0, 0, 0, 1));
    }
#pragma GCC unroll 8
    for (size_t round = 1; round <= WIDTH; round++) {
        key = load_key(g->round_keys[round]);
#pragma GCC unroll 8
        for (int i = 0; i < WIDTH; i++) s[i] = _mm_aesenc_si128(s[i], key);
        /* The first block last: it holds the hash of those before, which comes late. */
        if (blocks != NULL) add_block(&sum, g, blocks[round % WIDTH], round % WIDTH, WIDTH);
    }
    for (size_t round = WIDTH + 1; round < g->rounds; round++) {
        key = load_key(g->round_keys[round]);
#pragma GCC unroll 8
        for (int i = 0; i < WIDTH; i++) s[i] = _mm_aesenc_si128(s[i], key);
    }
    key = load_key(g->round_keys[g->rounds]);
#pragma GCC unroll 8
    for (int i = 0; i < WIDTH; i++) stream[i] = _mm_aesenclast_si128(s[i], key);
    return reduce(sum);
}

/* ---- GCM ---- */

static void init(hft_aesgcm *g, const uint8_t *key, size_t key_len) {
    expand_key(g, key, key_len);
    __m128i h = times_x(reversed(encrypt_block(g, _mm_setzero_si128()))), power = h;
    for (size_t i = 0; i < POWERS; i++) {
        store_key(g->powers[i], power);
        store_key(g->powers[POWERS + i], fold(power));
        power = multiply(power, h);
    }
}

/* The first len < 16 bytes, then zeros; reads no byte beyond them. */
static inline __m128i load_part(const uint8_t *p, size_t len) {
    alignas(16) uint8_t block[16] = {0};
    if (len != 0) memcpy(block, p, len);
    return load_key(block);
}

static inline __m128i first_bytes(__m128i x, size_t len) {
    static const uint8_t mask[32] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    return _mm_and_si128(x, load(mask + 16 - len));
}

/* The hash of all blocks of aad but the last, plus the last: what the first block to hash has to be. */
static inline __m128i begin_hash(const hft_aesgcm *g, const uint8_t *aad, size_t len) {
    __m128i hash = _mm_setzero_si128(), h = load_key(g->powers[0]);
    for (; len > 16; aad += 16, len -= 16) hash = multiply(_mm_xor_si128(hash, reversed(load(aad))), h);
    return _mm_xor_si128(hash, reversed(len == 16 ? load(aad) : load_part(aad, len)));
}

static inline __m128i encrypt_whole(uint8_t *out, const uint8_t *data, __m128i stream) {
    __m128i block = _mm_xor_si128(load(data), stream);
    store(out, block);
    return reversed(block);
}

static inline __m128i encrypt_part(uint8_t *out, const uint8_t *data, size_t len, __m128i stream) {
    alignas(16) uint8_t bytes[16];
    __m128i block = first_bytes(_mm_xor_si128(load_part(data, len), stream), len);
    store_key(bytes, block);
    memcpy(out, bytes, len);
    return reversed(block);
}

/* The last block of aad goes with the first counter block, whose cipher covers the tag; a block of zeros in its place
 * does not change the hash. So both sequences go in step, eight blocks after eight. */
static void seal(const hft_aesgcm *g, uint8_t *out, uint8_t tag[HFT_AESGCM_TAG_LEN],
                 const uint8_t nonce[HFT_AESGCM_NONCE_LEN], const uint8_t *aad, size_t aad_len, const uint8_t *data,
                 size_t len) {
    __m128i stream[WIDTH], blocks[WIDTH + 1];
    __m128i lengths = _mm_set_epi64x((long long)(aad_len * 8), (long long)(len * 8));
    __m128i counter = _mm_set_epi32((int)hft_load_be32(nonce), (int)hft_load_be32(nonce + 4),
                                    (int)hft_load_be32(nonce + 8), 1);
    __m128i hash = _mm_setzero_si128();
    size_t n = 1; /* of the blocks to hash that are there */
    blocks[0] = begin_hash(g, aad, aad_len);
    (void)encrypt(g, stream, &counter, NULL);
    __m128i cover = stream[0];
    while (len > 16 * (WIDTH - n)) {
        for (; n < WIDTH; n++, out += 16, data += 16, len -= 16) blocks[n] = encrypt_whole(out, data, stream[n]);
        blocks[0] = _mm_xor_si128(blocks[0], hash);
        hash = encrypt(g, stream, &counter, blocks);
        n = 0;
    }
    for (; len >= 16; n++, out += 16, data += 16, len -= 16) blocks[n] = encrypt_whole(out, data, stream[n]);
    if (len != 0) {
        blocks[n] = encrypt_part(out, data, len, stream[n]);
        n++;
    }
    blocks[n++] = lengths;
    blocks[0] = _mm_xor_si128(blocks[0], hash);
    store(tag, _mm_xor_si128(reversed(hash_last(g, blocks, n)), cover));
}

const hft_aesgcm_kernel hft_aesgcm_aesni = {init, seal};
