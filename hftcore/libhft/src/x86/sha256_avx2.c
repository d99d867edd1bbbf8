/* SHA-256 of eight messages at once on AVX2, a message to a lane of 32 bits. */
#include <immintrin.h>
#include <stdalign.h>

#include "../sha256_kernels.h"

#define INLINE static inline __attribute__((always_inline))

INLINE __m256i add(__m256i x, __m256i y) { return _mm256_add_epi32(x, y); }
INLINE __m256i exclusive(__m256i x, __m256i y) { return _mm256_xor_si256(x, y); }
INLINE __m256i right(__m256i x, int n) { return _mm256_srli_epi32(x, n); }
INLINE __m256i rotated(__m256i x, int n) { return exclusive(right(x, n), _mm256_slli_epi32(x, 32 - n)); }

INLINE __m256i big_sigma0(__m256i x) { return exclusive(exclusive(rotated(x, 2), rotated(x, 13)), rotated(x, 22)); }
INLINE __m256i big_sigma1(__m256i x) { return exclusive(exclusive(rotated(x, 6), rotated(x, 11)), rotated(x, 25)); }
INLINE __m256i small_sigma0(__m256i x) { return exclusive(exclusive(rotated(x, 7), rotated(x, 18)), right(x, 3)); }
INLINE __m256i small_sigma1(__m256i x) { return exclusive(exclusive(rotated(x, 17), rotated(x, 19)), right(x, 10)); }

INLINE void rounds16(__m256i s[8], __m256i w[16], const uint32_t *k, int more) {
    __m256i b_or_c = exclusive(s[1], s[2]); /* where they differ, a decides the majority; kept for the next round */
#pragma GCC unroll 16
    for (unsigned i = 0; i < 16; i++) {
        __m256i a = s[(0 - i) & 7], b = s[(1 - i) & 7];
        __m256i e = s[(4 - i) & 7], f = s[(5 - i) & 7], g = s[(6 - i) & 7];
        __m256i *d = &s[(3 - i) & 7], *h = &s[(7 - i) & 7];
        __m256i t = add(*h, add(w[i], _mm256_set1_epi32((int)k[i])));
        t = add(add(t, exclusive(g, _mm256_and_si256(e, exclusive(f, g)))), big_sigma1(e));
        __m256i a_or_b = exclusive(a, b), majority = exclusive(b, _mm256_and_si256(a_or_b, b_or_c));
        b_or_c = a_or_b;
        *d = add(*d, t);
        *h = add(add(t, majority), big_sigma0(a));
        if (!more) continue;
        __m256i early = add(add(w[i], w[(i + 9) & 15]), small_sigma0(w[(i + 1) & 15]));
        w[i] = add(early, small_sigma1(w[(i + 14) & 15]));
    }
}

INLINE __m256i *row(hft_sha256_lanes state, int word) { return (__m256i *)state[word]; }

__attribute__((noinline)) static void compress(hft_sha256_lanes state, __m256i w[16]) {
    __m256i s[8];
    for (int i = 0; i < 8; i++) s[i] = *row(state, i);
#pragma GCC unroll 1
    for (int i = 0; i < 48; i += 16) rounds16(s, w, hft_sha256_k + i, 1);
    rounds16(s, w, hft_sha256_k + 48, 0);
    for (int i = 0; i < 8; i++) *row(state, i) = add(*row(state, i), s[i]);
}

INLINE __m256i big_endian(__m256i x) {
    const __m128i order = _mm_set_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203);
    return _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(order));
}

/* Turns a square of 4 x 4 words in each half of four registers. */
INLINE void turn(__m256i out[4], __m256i a, __m256i b, __m256i c, __m256i d) {
    __m256i ab_low = _mm256_unpacklo_epi32(a, b), ab_high = _mm256_unpackhi_epi32(a, b);
    __m256i cd_low = _mm256_unpacklo_epi32(c, d), cd_high = _mm256_unpackhi_epi32(c, d);
    out[0] = _mm256_unpacklo_epi64(ab_low, cd_low);
    out[1] = _mm256_unpackhi_epi64(ab_low, cd_low);
    out[2] = _mm256_unpacklo_epi64(ab_high, cd_high);
    out[3] = _mm256_unpackhi_epi64(ab_high, cd_high);
}

/* 16 bytes at `at` of the lanes i and 4 + i. */
INLINE __m256i load_half(const uint8_t *const *data, size_t at) {
    return big_endian(_mm256_loadu2_m128i((const __m128i *)(data[4] + at), (const __m128i *)(data[0] + at)));
}

static void blocks_avx2(hft_sha256_lanes state, const uint8_t *const *data, size_t n_blocks) {
    __m256i w[16];
    for (size_t at = 0; at < 64 * n_blocks; at += 64) {
        for (size_t i = 0; i < 16; i += 4)
            turn(w + i, load_half(data, at + 4 * i), load_half(data + 1, at + 4 * i), load_half(data + 2, at + 4 * i),
                 load_half(data + 3, at + 4 * i));
        compress(state, w);
    }
}

static void ends_avx2(hft_sha256_lanes state, const uint8_t *const *data, const int64_t *left, const uint64_t *bits) {
    alignas(32) uint8_t padded[8][64];
    const uint8_t *all[8];
    hft_sha256_pad_lanes(all, padded, data, left, bits, 8);
    blocks_avx2(state, all, 1);
}

static void outer_avx2(hft_sha256_lanes state, const hft_sha256_state *start, uint32_t bits) {
    __m256i w[16];
    for (int i = 0; i < 8; i++) {
        w[i] = *row(state, i);
        *row(state, i) = _mm256_set1_epi32((int)start->h[i]);
    }
    w[8] = _mm256_set1_epi32((int)0x80000000);
    for (int i = 9; i < 15; i++) w[i] = _mm256_setzero_si256();
    w[15] = _mm256_set1_epi32((int)bits);
    compress(state, w);
}

static void digests_avx2(uint8_t *out, hft_sha256_lanes state) {
    __m256i s[8], low[4], high[4]; /* words 0..3 and 4..7 of the digests i and 4 + i */
    for (int i = 0; i < 8; i++) s[i] = big_endian(*row(state, i));
    turn(low, s[0], s[1], s[2], s[3]);
    turn(high, s[4], s[5], s[6], s[7]);
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_si256((__m256i *)(out + 32 * i), _mm256_permute2x128_si256(low[i], high[i], 0x20));
        _mm256_storeu_si256((__m256i *)(out + 32 * (4 + i)), _mm256_permute2x128_si256(low[i], high[i], 0x31));
    }
}

const hft_sha256_kernel_lanes hft_sha256_avx2x8 = {8, blocks_avx2, ends_avx2, outer_avx2, digests_avx2};
