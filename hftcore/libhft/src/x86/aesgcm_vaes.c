/* AES-GCM on VAES and VPCLMULQDQ with AVX-512: as aesgcm_aesni.c, four blocks to a register.
 *
 * 32 blocks, more than an order needs, are encrypted at a time, and their hash is reduced once. Nothing is interleaved
 * by hand: the processor looks far enough ahead. */
#include <immintrin.h>

#include "../aesgcm_kernels.h"
#include "hft/endian.h"

#define WIDTH 8
#define BLOCKS (4 * WIDTH)

_Static_assert(HFT_AESGCM_POWERS >= BLOCKS + 4, "a power for each block, one more, and three of padding");

typedef struct { __m512i low, middle, high; } product; /* of four lanes, to be added up */

static inline __m512i reversed(__m512i x) {
    return _mm512_shuffle_epi8(x, _mm512_broadcast_i32x4(_mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f)));
}
static inline __m512i widened(__m128i x) { return _mm512_zextsi128_si512(x); }
static inline __m128i load_block(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
static inline __m512i load_power(const hft_aesgcm *g, size_t i) { return _mm512_loadu_si512(g->powers[i]); }
static inline __m512i load_round_key(const hft_aesgcm *g, size_t round) {
    return _mm512_broadcast_i32x4(load_block(g->round_keys[round]));
}

/* ---- GHASH ---- */

static inline __m512i sum3(__m512i x, __m512i y, __m512i z) { return _mm512_ternarylogic_epi64(x, y, z, 0x96); }

static inline void add_product(product *sum, __m512i x, __m512i h) {
    sum->low = _mm512_xor_si512(sum->low, _mm512_clmulepi64_epi128(x, h, 0x00));
    sum->high = _mm512_xor_si512(sum->high, _mm512_clmulepi64_epi128(x, h, 0x11));
    sum->middle = sum3(sum->middle, _mm512_clmulepi64_epi128(x, h, 0x01), _mm512_clmulepi64_epi128(x, h, 0x10));
}

static inline __m512i halves_swapped(__m512i x) { return _mm512_shuffle_epi32(x, _MM_PERM_BADC); }

static inline __m128i reduce(product p) {
    const __m512i polynomial = _mm512_set1_epi64((long long)0xc200000000000000);
    __m512i low = _mm512_xor_si512(p.low, _mm512_bslli_epi128(p.middle, 8));
    __m512i high = _mm512_xor_si512(p.high, _mm512_bsrli_epi128(p.middle, 8));
    low = _mm512_xor_si512(halves_swapped(low), _mm512_clmulepi64_epi128(low, polynomial, 0x00));
    low = sum3(halves_swapped(low), _mm512_clmulepi64_epi128(low, polynomial, 0x00), high);
    __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(low), _mm512_extracti64x4_epi64(low, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

static inline product no_product(void) {
    return (product){_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
}

static inline __m128i multiply(__m128i x, __m128i h) {
    product p = no_product();
    add_product(&p, widened(x), widened(h));
    return reduce(p);
}

/* The other kernel's first power is H; here H is number BLOCKS, behind the higher ones and before zeros. */
static void init(hft_aesgcm *g, const uint8_t *key, size_t key_len) {
    hft_aesgcm_aesni.init(g, key, key_len);
    __m128i h = load_block(g->powers[0]), power = h;
    memset(g->powers, 0, sizeof g->powers);
    for (size_t i = BLOCKS + 1; i-- != 0;) {
        _mm_store_si128((__m128i *)g->powers[i], power);
        power = multiply(power, h);
    }
}

/* ---- AES ---- */

static inline __m128i encrypt_block(const hft_aesgcm *g, __m128i block) {
    block = _mm_xor_si128(block, load_block(g->round_keys[0]));
    for (size_t i = 1; i < g->rounds; i++) block = _mm_aesenc_si128(block, load_block(g->round_keys[i]));
    return _mm_aesenclast_si128(block, load_block(g->round_keys[g->rounds]));
}

/* Encrypts the next 32 values of the counter (four a register, their bytes reversed). */
static inline void encrypt(const hft_aesgcm *g, __m512i stream[WIDTH], __m512i *counter) {
    __m512i s[WIDTH], key = load_round_key(g, 0);
#pragma GCC unroll 8
    for (int i = 0; i < WIDTH; i++) {
        s[i] = _mm512_xor_si512(reversed(*counter), key);
        *counter = _mm512_add_epi32(*counter, _mm512_broadcast_i32x4(_mm_set_epi32(0, 0, 0, 4)));
    }
    for (size_t round = 1; round < g->rounds; round++) {
        key = load_round_key(g, round);
#pragma GCC unroll 8
        for (int i = 0; i < WIDTH; i++) s[i] = _mm512_aesenc_epi128(s[i], key);
    }
    key = load_round_key(g, g->rounds);
#pragma GCC unroll 8
    for (int i = 0; i < WIDTH; i++) stream[i] = _mm512_aesenclast_epi128(s[i], key);
}

/* ---- GCM ---- */

static inline __m128i hash_aad(const hft_aesgcm *g, const uint8_t *aad, size_t len) {
    __m128i hash = _mm_setzero_si128(), h = load_block(g->powers[BLOCKS]);
    for (size_t n; len != 0; aad += n, len -= n) {
        n = len < 16 ? len : 16;
        __m128i block = _mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1), aad);
        hash = multiply(_mm_xor_si128(hash, _mm512_castsi512_si128(reversed(widened(block)))), h);
    }
    return hash;
}

/* Encrypts len bytes, those of a batch, and adds to the sum what they and the hash of all before (which goes with the
 * first block) contribute; the first block takes power number `power`, the others those behind it. */
static inline void encrypt_batch(const hft_aesgcm *g, product *sum, const __m512i stream[WIDTH], __m128i hash,
                                 size_t power, uint8_t *out, const uint8_t *data, size_t len) {
    __m512i before = widened(hash);
    for (; len >= 64; len -= 64, out += 64, data += 64, power += 4, stream++) {
        __m512i text = _mm512_xor_si512(_mm512_loadu_si512(data), *stream);
        _mm512_storeu_si512(out, text);
        add_product(sum, _mm512_xor_si512(reversed(text), before), load_power(g, power));
        before = _mm512_setzero_si512();
    }
    if (len == 0) return;
    __mmask64 mask = ((__mmask64)1 << len) - 1;
    __m512i text = _mm512_maskz_mov_epi8(mask, _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, data), *stream));
    _mm512_mask_storeu_epi8(out, mask, text);
    add_product(sum, _mm512_xor_si512(reversed(text), before), load_power(g, power));
}

static void seal(const hft_aesgcm *g, uint8_t *out, uint8_t tag[HFT_AESGCM_TAG_LEN],
                 const uint8_t nonce[HFT_AESGCM_NONCE_LEN], const uint8_t *aad, size_t aad_len, const uint8_t *data,
                 size_t len) {
    __m512i stream[WIDTH];
    __m128i lengths = _mm_set_epi64x((long long)(aad_len * 8), (long long)(len * 8));
    __m128i first = _mm_set_epi32((int)hft_load_be32(nonce), (int)hft_load_be32(nonce + 4),
                                  (int)hft_load_be32(nonce + 8), 1);
    __m512i counter = _mm512_add_epi32(_mm512_broadcast_i32x4(first),
                                       _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1));
    __m128i cover = encrypt_block(g, _mm512_castsi512_si128(reversed(widened(first))));
    __m128i hash = hash_aad(g, aad, aad_len);
    encrypt(g, stream, &counter);
    for (; len > 16 * BLOCKS; out += 16 * BLOCKS, data += 16 * BLOCKS, len -= 16 * BLOCKS) {
        product sum = no_product();
        encrypt_batch(g, &sum, stream, hash, 1, out, data, 16 * BLOCKS);
        hash = reduce(sum);
        encrypt(g, stream, &counter);
    }
    product sum = no_product();
    if (len == 0) lengths = _mm_xor_si128(lengths, hash);
    add_product(&sum, widened(lengths), widened(load_block(g->powers[BLOCKS])));
    encrypt_batch(g, &sum, stream, hash, BLOCKS - (len + 15) / 16, out, data, len);
    hash = _mm512_castsi512_si128(reversed(widened(reduce(sum))));
    _mm_storeu_si128((__m128i *)tag, _mm_xor_si128(hash, cover));
}

const hft_aesgcm_kernel hft_aesgcm_vaes = {init, seal};
