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

/* One group alone waits for its own results: there an addition more makes the way from e to the next e shorter. */
INLINE void round_of(__m512i s[8][2], const words w, __m512i k, unsigned i, int group, int n) {
    __m512i a = s[(0 - i) & 7][group], b = s[(1 - i) & 7][group], c = s[(2 - i) & 7][group];
    __m512i e = s[(4 - i) & 7][group], f = s[(5 - i) & 7][group], g = s[(6 - i) & 7][group];
    __m512i *d = &s[(3 - i) & 7][group], *h = &s[(7 - i) & 7][group];
    __m512i base = add(*h, add(k, w[i][group])), ch = choose(e, f, g), sigma1 = big_sigma1(e);
    __m512i t = add(add(base, ch), sigma1);
    *d = n == 1 ? add(add(add(*d, base), ch), sigma1) : add(*d, t);
    *h = add(add(t, majority(a, b, c)), big_sigma0(a));
}

INLINE void rounds16(__m512i s[8][2], words w, const uint32_t *k, int n, int more) {
#pragma GCC unroll 16
    for (unsigned i = 0; i < 16; i++) {
        __m512i constant = _mm512_set1_epi32((int)k[i]);
#pragma GCC unroll 2
        for (int g = 0; g < n; g++) {
            round_of(s, w, constant, i, g, n);
            if (!more) continue;
            __m512i early = add(add(w[i][g], w[(i + 9) & 15][g]), small_sigma0(w[(i + 1) & 15][g]));
            w[i][g] = add(early, small_sigma1(w[(i + 14) & 15][g]));
        }
    }
}

INLINE __m512i *row(hft_sha256_lanes state, int word, int group) {
    return (__m512i *)state[word] + group;
}

INLINE void compress(hft_sha256_lanes state, words w, int n) {
    __m512i s[8][2];
    for (int word = 0; word < 8; word++)
        for (int g = 0; g < n; g++) s[word][g] = *row(state, word, g);
#pragma GCC unroll 1
    for (int i = 0; i < 48; i += 16) rounds16(s, w, hft_sha256_k + i, n, 1);
    rounds16(s, w, hft_sha256_k + 48, n, 0);
    for (int word = 0; word < 8; word++)
        for (int g = 0; g < n; g++) *row(state, word, g) = add(s[word][g], *row(state, word, g));
}

__attribute__((noinline)) static void compress16(hft_sha256_lanes state, const words from) {
    words w; /* of its own, so that it stays in registers */
    for (int i = 0; i < 16; i++) w[i][0] = from[i][0];
    compress(state, w, 1);
}

__attribute__((noinline)) static void compress32(hft_sha256_lanes state, words w) { compress(state, w, 2); }

INLINE void compress_any(hft_sha256_lanes state, words w, int n) {
    if (n == 1) compress16(state, w);
    else compress32(state, w);
}

/* ---- bytes to lanes and back ---- */

INLINE __m512i big_endian(__m512i x) {
    return _mm512_shuffle_epi8(x, _mm512_set4_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203));
}

/* 16 bytes at `at` of four lanes: those of lane i, 4 + i, 8 + i and 12 + i. */
INLINE __m512i load_quarter(const uint8_t *const *data, size_t at) {
    __m512i x = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(data[0] + at)));
    x = _mm512_mask_broadcast_i32x4(x, 0x00f0, _mm_loadu_si128((const __m128i *)(data[4] + at)));
    x = _mm512_mask_broadcast_i32x4(x, 0x0f00, _mm_loadu_si128((const __m128i *)(data[8] + at)));
    return big_endian(_mm512_mask_broadcast_i32x4(x, 0xf000, _mm_loadu_si128((const __m128i *)(data[12] + at))));
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

INLINE void load_blocks(words w, const uint8_t *const *data, size_t at, int n) {
    for (int g = 0; g < n; g++, data += 16)
        for (size_t quarter = 0; quarter < 4; quarter++) {
            __m512i x[4];
            size_t from = at + 16 * quarter;
            turn(x, load_quarter(data, from), load_quarter(data + 1, from), load_quarter(data + 2, from),
                 load_quarter(data + 3, from));
            for (size_t i = 0; i < 4; i++) w[4 * quarter + i][g] = x[i];
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
    alignas(64) uint8_t padded[HFT_SHA256_LANES][64];
    alignas(64) uint64_t bytes[HFT_SHA256_LANES], mark[HFT_SHA256_LANES];
    const uint8_t *all[HFT_SHA256_LANES];
    const __m512i marks = _mm512_set1_epi8((char)0x80);
    const size_t width = 16 * (size_t)n;
    words w;
    byte_masks(bytes, mark, left, width);
    for (size_t i = 0; i < width; i++) {
        __m512i x = _mm512_maskz_loadu_epi8(bytes[i], data[i]);
        _mm512_store_si512(padded[i], _mm512_mask_mov_epi8(x, mark[i], marks));
        all[i] = padded[i];
    }
    load_blocks(w, all, 0, n);
    add_lengths(w, left, bits, n);
    compress_any(state, w, n);
}

INLINE void compress_outer(hft_sha256_lanes state, const hft_sha256_state *start, uint32_t bits, int n) {
    words w;
    for (int g = 0; g < n; g++) {
        for (int i = 0; i < 8; i++) {
            w[i][g] = *row(state, i, g);
            *row(state, i, g) = _mm512_set1_epi32((int)start->h[i]);
        }
        w[8][g] = _mm512_set1_epi32((int)0x80000000);
        for (int i = 9; i < 15; i++) w[i][g] = _mm512_setzero_si512();
        w[15][g] = _mm512_set1_epi32((int)bits);
    }
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

const hft_sha256_kernel_lanes hft_sha256_avx512x16 = {16, blocks_x16, ends_x16, outer_x16, digests_x16};
const hft_sha256_kernel_lanes hft_sha256_avx512x32 = {32, blocks_x32, ends_x32, outer_x32, digests_x32};
