/* SHA-256 of 16 messages at once on AVX-512 (F, BW), a message to a lane of 32 bits, and of 32 as two interleaved
 * groups, which hides the latency of one behind the other.
 *
 * 16 rounds of code serve the 64 of a block, and every caller shares them: unrolled, they would overflow the cache of
 * instructions. The order of the additions is meant: it keeps the chains from round to round short, and the compiler is
 * told to leave it alone (KERNEL_FLAGS in buildconf.py). */
#include <immintrin.h>
#include <stdalign.h>

#include "../sha256_kernels.h"

#define INLINE static inline __attribute__((always_inline))

/* n = 1 or 2 groups of 16 lanes, known where the code is compiled. */
typedef __m512i words[16][2];

INLINE __m512i add(__m512i x, __m512i y) { return _mm512_add_epi32(x, y); }
INLINE __m512i xor3(__m512i x, __m512i y, __m512i z) { return _mm512_ternarylogic_epi32(x, y, z, 0x96); }
INLINE __m512i choose(__m512i x, __m512i y, __m512i z) { return _mm512_ternarylogic_epi32(x, y, z, 0xca); }
INLINE __m512i majority(__m512i x, __m512i y, __m512i z) { return _mm512_ternarylogic_epi32(x, y, z, 0xe8); }

INLINE __m512i big_sigma0(__m512i x) {
    return xor3(_mm512_ror_epi32(x, 2), _mm512_ror_epi32(x, 13), _mm512_ror_epi32(x, 22));
}
INLINE __m512i big_sigma1(__m512i x) {
    return xor3(_mm512_ror_epi32(x, 6), _mm512_ror_epi32(x, 11), _mm512_ror_epi32(x, 25));
}
INLINE __m512i small_sigma0(__m512i x) {
    return xor3(_mm512_ror_epi32(x, 7), _mm512_ror_epi32(x, 18), _mm512_srli_epi32(x, 3));
}
INLINE __m512i small_sigma1(__m512i x) {
    return xor3(_mm512_ror_epi32(x, 17), _mm512_ror_epi32(x, 19), _mm512_srli_epi32(x, 10));
}

INLINE __m512i next_word(__m512i w0, __m512i w1, __m512i w9, __m512i w14) {
    return add(add(add(w0, w9), small_sigma0(w1)), small_sigma1(w14));
}

/* `chained`: the way from e to the next e is what one group alone waits for, and one addition more makes it shorter. */
#define ROUND(chained, kw, a, b, c, d, e, f, g, h)                               \
    do {                                                                         \
        __m512i base = add(h, kw), ch = choose(e, f, g), sigma1 = big_sigma1(e); \
        __m512i t = add(add(base, ch), sigma1);                                  \
        d = (chained) ? add(add(add(d, base), ch), sigma1) : add(d, t);          \
        h = add(add(t, majority(a, b, c)), big_sigma0(a));                       \
    } while (0)

/* The variables rotate by renaming: after eight rounds each is back in its place. */
#define SIXTEEN(STEP, more)           \
    EIGHT(STEP, 0, more);             \
    EIGHT(STEP, 8, more)
#define EIGHT(STEP, i, more)                     \
    STEP((i) + 0, more, a, b, c, d, e, f, g, h); \
    STEP((i) + 1, more, h, a, b, c, d, e, f, g); \
    STEP((i) + 2, more, g, h, a, b, c, d, e, f); \
    STEP((i) + 3, more, f, g, h, a, b, c, d, e); \
    STEP((i) + 4, more, e, f, g, h, a, b, c, d); \
    STEP((i) + 5, more, d, e, f, g, h, a, b, c); \
    STEP((i) + 6, more, c, d, e, f, g, h, a, b); \
    STEP((i) + 7, more, b, c, d, e, f, g, h, a)

INLINE __m512i *row(hft_sha256_lanes state, int word, int group) { return (__m512i *)state[word] + group; }

#define STEP16(i, more, a, b, c, d, e, f, g, h)                                                       \
    do {                                                                                              \
        ROUND(1, add(w[i], _mm512_set1_epi32((int)k[i])), a, b, c, d, e, f, g, h);                    \
        if (more) w[i] = next_word(w[i], w[((i) + 1) & 15], w[((i) + 9) & 15], w[((i) + 14) & 15]);   \
    } while (0)

__attribute__((noinline)) static void compress16(hft_sha256_lanes state, words from) {
    __m512i a = *row(state, 0, 0), b = *row(state, 1, 0), c = *row(state, 2, 0), d = *row(state, 3, 0);
    __m512i e = *row(state, 4, 0), f = *row(state, 5, 0), g = *row(state, 6, 0), h = *row(state, 7, 0);
    __m512i w[16]; /* with the state, they fill 24 of the 32 registers */
    const uint32_t *k = hft_sha256_k;
    for (int i = 0; i < 16; i++) w[i] = from[i][0];
#pragma GCC unroll 1
    for (; k != hft_sha256_k + 48; k += 16) {
        SIXTEEN(STEP16, 1);
    }
    SIXTEEN(STEP16, 0);
    const __m512i sum[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++) *row(state, i, 0) = add(*row(state, i, 0), sum[i]);
}

/* Two states fill half of the registers, and the words stay in memory, where the barrier keeps them: what the compiler
 * took out of it would push out the states. Only the last two are too young to come from there in time. */
#define STEP32(i, more, a, b, c, d, e, f, g, h)                                              \
    do {                                                                                     \
        if (((i) & 1) == 0) __asm__ volatile("" : : : "memory");                             \
        __m512i constant = _mm512_set1_epi32((int)k[i]), now0 = w[i][0], now1 = w[i][1];     \
        ROUND(0, add(constant, now0), a##0, b##0, c##0, d##0, e##0, f##0, g##0, h##0);       \
        if (more) NEXT32(i, 0);                                                              \
        ROUND(0, add(constant, now1), a##1, b##1, c##1, d##1, e##1, f##1, g##1, h##1);       \
        if (more) NEXT32(i, 1);                                                              \
    } while (0)
#define NEXT32(i, group)                                                                                         \
    w[i][group] = last[(i) & 1][group] =                                                                         \
        next_word(now##group, w[((i) + 1) & 15][group], w[((i) + 9) & 15][group], last[(i) & 1][group])

__attribute__((noinline)) static void compress32(hft_sha256_lanes state, words w) {
    __m512i a0 = *row(state, 0, 0), b0 = *row(state, 1, 0), c0 = *row(state, 2, 0), d0 = *row(state, 3, 0);
    __m512i e0 = *row(state, 4, 0), f0 = *row(state, 5, 0), g0 = *row(state, 6, 0), h0 = *row(state, 7, 0);
    __m512i a1 = *row(state, 0, 1), b1 = *row(state, 1, 1), c1 = *row(state, 2, 1), d1 = *row(state, 3, 1);
    __m512i e1 = *row(state, 4, 1), f1 = *row(state, 5, 1), g1 = *row(state, 6, 1), h1 = *row(state, 7, 1);
    __m512i last[2][2] = {{w[14][0], w[14][1]}, {w[15][0], w[15][1]}};
    const uint32_t *k = hft_sha256_k;
#pragma GCC unroll 1
    for (; k != hft_sha256_k + 48; k += 16) {
        SIXTEEN(STEP32, 1);
    }
    SIXTEEN(STEP32, 0);
    const __m512i sum[8][2] = {{a0, a1}, {b0, b1}, {c0, c1}, {d0, d1}, {e0, e1}, {f0, f1}, {g0, g1}, {h0, h1}};
    for (int i = 0; i < 8; i++)
        for (int group = 0; group < 2; group++) *row(state, i, group) = add(*row(state, i, group), sum[i][group]);
}

/* ---- the second block of a message of 64 bytes, a pair of hashes in a merkle tree: padding, and nothing else ---- */

/* The constants of the rounds, with the words of that block added. */
alignas(64) static const uint32_t padding_64[64] = {
    0xc28a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf374,
    0x649b69c1, 0xf0fe4786, 0x0fe1edc6, 0x240cf254, 0x4fe9346f, 0x6cc984be, 0x61b9411e, 0x16f988fa,
    0xf2c65152, 0xa88e5a6d, 0xb019fc65, 0xb9d99ec7, 0x9a1231c3, 0xe70eeaa0, 0xfdb1232b, 0xc7353eb0,
    0x3069bad5, 0xcb976d5f, 0x5a0f118f, 0xdc1eeefd, 0x0a35b689, 0xde0b7a04, 0x58f4ca9d, 0xe15d5b16,
    0x007f3e86, 0x37088980, 0xa507ea32, 0x6fab9537, 0x17406110, 0x0d8cd6f1, 0xcdaa3b6d, 0xc0bbbe37,
    0x83613bda, 0xdb48a363, 0x0b02e931, 0x6fd15ca7, 0x521afaca, 0x31338431, 0x6ed41a95, 0x6d437890,
    0xc39c91f2, 0x9eccabbd, 0xb5c9a0e6, 0x532fb63c, 0xd2c741c6, 0x07237ea3, 0xa4954b68, 0x4c191d76,
};

#define FIXED16(i, more, a, b, c, d, e, f, g, h) ROUND(1, _mm512_set1_epi32((int)k[i]), a, b, c, d, e, f, g, h)
#define FIXED32(i, more, a, b, c, d, e, f, g, h)                                      \
    do {                                                                              \
        __m512i constant = _mm512_set1_epi32((int)k[i]);                              \
        ROUND(0, constant, a##0, b##0, c##0, d##0, e##0, f##0, g##0, h##0);           \
        ROUND(0, constant, a##1, b##1, c##1, d##1, e##1, f##1, g##1, h##1);           \
    } while (0)

__attribute__((noinline)) static void pad16(hft_sha256_lanes state) {
    __m512i a = *row(state, 0, 0), b = *row(state, 1, 0), c = *row(state, 2, 0), d = *row(state, 3, 0);
    __m512i e = *row(state, 4, 0), f = *row(state, 5, 0), g = *row(state, 6, 0), h = *row(state, 7, 0);
#pragma GCC unroll 1
    for (const uint32_t *k = padding_64; k != padding_64 + 64; k += 16) {
        SIXTEEN(FIXED16, 0);
    }
    const __m512i sum[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++) *row(state, i, 0) = add(*row(state, i, 0), sum[i]);
}

__attribute__((noinline)) static void pad32(hft_sha256_lanes state) {
    __m512i a0 = *row(state, 0, 0), b0 = *row(state, 1, 0), c0 = *row(state, 2, 0), d0 = *row(state, 3, 0);
    __m512i e0 = *row(state, 4, 0), f0 = *row(state, 5, 0), g0 = *row(state, 6, 0), h0 = *row(state, 7, 0);
    __m512i a1 = *row(state, 0, 1), b1 = *row(state, 1, 1), c1 = *row(state, 2, 1), d1 = *row(state, 3, 1);
    __m512i e1 = *row(state, 4, 1), f1 = *row(state, 5, 1), g1 = *row(state, 6, 1), h1 = *row(state, 7, 1);
#pragma GCC unroll 1
    for (const uint32_t *k = padding_64; k != padding_64 + 64; k += 16) {
        SIXTEEN(FIXED32, 0);
    }
    const __m512i sum[8][2] = {{a0, a1}, {b0, b1}, {c0, c1}, {d0, d1}, {e0, e1}, {f0, f1}, {g0, g1}, {h0, h1}};
    for (int i = 0; i < 8; i++)
        for (int group = 0; group < 2; group++) *row(state, i, group) = add(*row(state, i, group), sum[i][group]);
}

INLINE int all_padding_64(const int64_t *left, const uint64_t *bits, int n) {
    const __m512i length = _mm512_set1_epi64(512);
    __m512i wrong = _mm512_setzero_si512();
    for (int i = 0; i < 16 * n; i += 8) {
        wrong = _mm512_or_si512(wrong, _mm512_loadu_si512(left + i));
        wrong = _mm512_or_si512(wrong, _mm512_xor_si512(length, _mm512_loadu_si512(bits + i)));
    }
    return _mm512_test_epi64_mask(wrong, wrong) == 0;
}

INLINE void compress_any(hft_sha256_lanes state, words w, int n) {
    if (n == 1) compress16(state, w);
    else compress32(state, w);
}

/* ---- bytes to lanes and back ---- */

INLINE __m512i big_endian(__m512i x) {
    return _mm512_shuffle_epi8(x, _mm512_set4_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203));
}

/* Turns a square of 4 x 4 words in each quarter of four registers. */
INLINE void turn(__m512i out[4], __m512i a, __m512i b, __m512i c, __m512i d) {
    __m512i ab_low = _mm512_unpacklo_epi32(a, b), ab_high = _mm512_unpackhi_epi32(a, b);
    __m512i cd_low = _mm512_unpacklo_epi32(c, d), cd_high = _mm512_unpackhi_epi32(c, d);
    out[0] = _mm512_unpacklo_epi64(ab_low, cd_low);
    out[1] = _mm512_unpackhi_epi64(ab_low, cd_low);
    out[2] = _mm512_unpacklo_epi64(ab_high, cd_high);
    out[3] = _mm512_unpackhi_epi64(ab_high, cd_high);
}

/* Of the i-th registers of four rows: their first quarters, their second, and so on. */
INLINE void take_quarters(__m512i out[4], const __m512i x[4][4], int i) {
    __m512i a = _mm512_shuffle_i32x4(x[0][i], x[1][i], 0x44), b = _mm512_shuffle_i32x4(x[2][i], x[3][i], 0x44);
    __m512i c = _mm512_shuffle_i32x4(x[0][i], x[1][i], 0xee), d = _mm512_shuffle_i32x4(x[2][i], x[3][i], 0xee);
    out[0] = _mm512_shuffle_i32x4(a, b, 0x88);
    out[1] = _mm512_shuffle_i32x4(a, b, 0xdd);
    out[2] = _mm512_shuffle_i32x4(c, d, 0x88);
    out[3] = _mm512_shuffle_i32x4(c, d, 0xdd);
}

/* From a block of each of 16 lanes to 16 words of every lane. */
INLINE void to_words(words w, const __m512i block[16], int group) {
    __m512i x[4][4], out[4]; /* x[i][j]: word j of each quarter, of the lanes 4 * i .. 4 * i + 3 */
    for (int i = 0; i < 4; i++)
        turn(x[i], big_endian(block[4 * i]), big_endian(block[4 * i + 1]), big_endian(block[4 * i + 2]),
             big_endian(block[4 * i + 3]));
    for (int i = 0; i < 4; i++) {
        take_quarters(out, x, i);
        for (int quarter = 0; quarter < 4; quarter++) w[4 * quarter + i][group] = out[quarter];
    }
}

INLINE void load_blocks(words w, const uint8_t *const *data, size_t at, int n) {
    __m512i block[16];
    for (int group = 0; group < n; group++, data += 16) {
        for (int i = 0; i < 16; i++) block[i] = _mm512_loadu_si512(data[i] + at);
        to_words(w, block, group);
    }
}

INLINE void put_digests(uint8_t *out, hft_sha256_lanes state, int n) {
    const __m512i first = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
    const __m512i second = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    for (int g = 0; g < n; g++, out += 512) {
        __m512i s[8], low[4], high[4]; /* words 0..3 and 4..7 of the digests i, 4 + i, 8 + i, 12 + i */
        for (int word = 0; word < 8; word++) s[word] = big_endian(*row(state, word, g));
        turn(low, s[0], s[1], s[2], s[3]);
        turn(high, s[4], s[5], s[6], s[7]);
        for (int i = 0; i < 4; i++) {
            __m512i x = _mm512_permutex2var_epi64(low[i], first, high[i]);
            __m512i y = _mm512_permutex2var_epi64(low[i], second, high[i]);
            _mm256_storeu_si256((__m256i *)(out + 32 * i), _mm512_castsi512_si256(x));
            _mm256_storeu_si256((__m256i *)(out + 32 * (4 + i)), _mm512_extracti64x4_epi64(x, 1));
            _mm256_storeu_si256((__m256i *)(out + 32 * (8 + i)), _mm512_castsi512_si256(y));
            _mm256_storeu_si256((__m256i *)(out + 32 * (12 + i)), _mm512_extracti64x4_epi64(y, 1));
        }
    }
}

/* ---- the ends of messages ---- */

/* By 8 lanes: which bytes of the block are the message's, and where its mark is. A shift by 64 and more gives 0. */
INLINE void byte_masks(uint64_t *bytes, uint64_t *mark, const int64_t *left, size_t width) {
    const __m512i one = _mm512_set1_epi64(1);
    for (size_t i = 0; i < width; i += 8) {
        __m512i n = _mm512_loadu_si512(left + i), bit = _mm512_sllv_epi64(one, n);
        _mm512_store_si512(mark + i, bit);
        __mmask8 some = _mm512_cmpgt_epi64_mask(n, _mm512_setzero_si512());
        _mm512_store_si512(bytes + i, _mm512_maskz_sub_epi64(some, bit, one));
    }
}

/* The lengths go where they fit in. */
INLINE void add_lengths(words w, const int64_t *left, const uint64_t *bits, int n) {
    for (int g = 0; g < n; g++)
        for (int half = 0; half < 2; half++) {
            const __m512i limit = _mm512_set1_epi64(56);
            size_t i = (size_t)(16 * g + 8 * half);
            __mmask8 fits = _mm512_cmplt_epi64_mask(_mm512_loadu_si512(left + i), limit);
            __m512i length = _mm512_maskz_loadu_epi64(fits, bits + i);
            __m512i high = _mm512_castsi256_si512(_mm512_cvtepi64_epi32(_mm512_srli_epi64(length, 32)));
            __m512i low = _mm512_castsi256_si512(_mm512_cvtepi64_epi32(length));
            if (half != 0) {
                high = _mm512_shuffle_i64x2(high, high, 0x4f);
                low = _mm512_shuffle_i64x2(low, low, 0x4f);
            }
            __mmask16 lanes = half != 0 ? 0xff00 : 0x00ff;
            w[14][g] = _mm512_mask_or_epi32(w[14][g], lanes, w[14][g], high);
            w[15][g] = _mm512_mask_or_epi32(w[15][g], lanes, w[15][g], low);
        }
}

INLINE void compress_ends(hft_sha256_lanes state, const uint8_t *const *data, const int64_t *left,
                          const uint64_t *bits, int n) {
    alignas(64) uint64_t bytes[HFT_SHA256_LANES], mark[HFT_SHA256_LANES];
    const __m512i marks = _mm512_set1_epi8((char)0x80);
    __m512i block[16];
    words w;
    if ((left[0] | (int64_t)(bits[0] ^ 512)) == 0 && all_padding_64(left, bits, n)) {
        if (n == 1) pad16(state);
        else pad32(state);
        return;
    }
    byte_masks(bytes, mark, left, 16 * (size_t)n);
    for (int group = 0; group < n; group++) {
        for (int i = 0; i < 16; i++) {
            int lane = 16 * group + i;
            block[i] = _mm512_mask_mov_epi8(_mm512_maskz_loadu_epi8(bytes[lane], data[lane]), mark[lane], marks);
        }
        to_words(w, block, group);
    }
    add_lengths(w, left, bits, n);
    compress_any(state, w, n);
}

INLINE void start_all(hft_sha256_lanes state, const hft_sha256_state *from, int n) {
    for (int i = 0; i < 8; i++)
        for (int g = 0; g < n; g++) *row(state, i, g) = _mm512_set1_epi32((int)from->h[i]);
}

INLINE void compress_outer(hft_sha256_lanes state, const hft_sha256_state *start, uint32_t bits, int n) {
    words w;
    for (int g = 0; g < n; g++) {
        for (int i = 0; i < 8; i++) w[i][g] = *row(state, i, g);
        w[8][g] = _mm512_set1_epi32((int)0x80000000);
        for (int i = 9; i < 15; i++) w[i][g] = _mm512_setzero_si512();
        w[15][g] = _mm512_set1_epi32((int)bits);
    }
    start_all(state, start, n);
    compress_any(state, w, n);
}

INLINE void compress_blocks(hft_sha256_lanes state, const uint8_t *const *data, size_t n_blocks, int n) {
    words w;
    for (size_t i = 0; i < n_blocks; i++) {
        load_blocks(w, data, 64 * i, n);
        compress_any(state, w, n);
    }
}

/* ---- the two widths ---- */

static void start_x16(hft_sha256_lanes state, const hft_sha256_state *from) { start_all(state, from, 1); }
static void blocks_x16(hft_sha256_lanes state, const uint8_t *const *data, size_t n_blocks) {
    compress_blocks(state, data, n_blocks, 1);
}
static void ends_x16(hft_sha256_lanes state, const uint8_t *const *data, const int64_t *left, const uint64_t *bits) {
    compress_ends(state, data, left, bits, 1);
}
static void outer_x16(hft_sha256_lanes state, const hft_sha256_state *start, uint32_t bits) {
    compress_outer(state, start, bits, 1);
}
static void digests_x16(uint8_t *out, hft_sha256_lanes state) { put_digests(out, state, 1); }

static void start_x32(hft_sha256_lanes state, const hft_sha256_state *from) { start_all(state, from, 2); }
static void blocks_x32(hft_sha256_lanes state, const uint8_t *const *data, size_t n_blocks) {
    compress_blocks(state, data, n_blocks, 2);
}
static void ends_x32(hft_sha256_lanes state, const uint8_t *const *data, const int64_t *left, const uint64_t *bits) {
    compress_ends(state, data, left, bits, 2);
}
static void outer_x32(hft_sha256_lanes state, const hft_sha256_state *start, uint32_t bits) {
    compress_outer(state, start, bits, 2);
}
static void digests_x32(uint8_t *out, hft_sha256_lanes state) { put_digests(out, state, 2); }

const hft_sha256_kernel_lanes hft_sha256_avx512x16 = {16, start_x16, blocks_x16, ends_x16, outer_x16, digests_x16};
const hft_sha256_kernel_lanes hft_sha256_avx512x32 = {32, start_x32, blocks_x32, ends_x32, outer_x32, digests_x32};
