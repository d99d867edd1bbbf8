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

/* differ: where b and c are not the same, and a decides the majority; what a and b make is kept for the next round. */
#define ROUND(i, more, a, b, c, d, e, f, g, h)                                                           \
    do {                                                                                                 \
        __m256i now = w[i], kw = add(now, _mm256_set1_epi32((int)k[i])), a_or_b = exclusive(a, b);       \
        __m256i choice = exclusive(g, _mm256_and_si256(e, exclusive(f, g)));                             \
        __m256i t = add(add(add(h, kw), choice), big_sigma1(e));                                         \
        __m256i majority = exclusive(b, _mm256_and_si256(a_or_b, differ));                               \
        differ = a_or_b;                                                                                 \
        d = add(d, t);                                                                                   \
        h = add(add(t, majority), big_sigma0(a));                                                        \
        if (!(more)) break;                                                                              \
        __m256i early = add(add(now, w[((i) + 9) & 15]), small_sigma0(w[((i) + 1) & 15]));               \
        w[i] = last[(i) & 1] = add(early, small_sigma1(last[(i) & 1]));                                  \
    } while (0)

/* The variables rotate by renaming: after eight rounds each is back in its place. */
#define EIGHT(i, more)                            \
    ROUND((i) + 0, more, a, b, c, d, e, f, g, h); \
    ROUND((i) + 1, more, h, a, b, c, d, e, f, g); \
    ROUND((i) + 2, more, g, h, a, b, c, d, e, f); \
    ROUND((i) + 3, more, f, g, h, a, b, c, d, e); \
    ROUND((i) + 4, more, e, f, g, h, a, b, c, d); \
    ROUND((i) + 5, more, d, e, f, g, h, a, b, c); \
    ROUND((i) + 6, more, c, d, e, f, g, h, a, b); \
    ROUND((i) + 7, more, b, c, d, e, f, g, h, a)

INLINE __m256i *row(hft_sha256_lanes state, int word) { return (__m256i *)state[word]; }

/* The words stay in memory, where the barrier keeps them: there are registers for the state alone. The last two are
 * needed at once, and kept besides. */
__attribute__((noinline)) static void compress(hft_sha256_lanes state, __m256i w[16]) {
    __m256i a = *row(state, 0), b = *row(state, 1), c = *row(state, 2), d = *row(state, 3);
    __m256i e = *row(state, 4), f = *row(state, 5), g = *row(state, 6), h = *row(state, 7);
    __m256i differ = exclusive(b, c), last[2] = {w[14], w[15]};
    const uint32_t *k = hft_sha256_k;
#pragma GCC unroll 1
    for (; k != hft_sha256_k + 48; k += 16) {
        __asm__ volatile("" : : : "memory");
        EIGHT(0, 1);
        EIGHT(8, 1);
    }
    __asm__ volatile("" : : : "memory");
    EIGHT(0, 0);
    EIGHT(8, 0);
    const __m256i sum[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++) *row(state, i) = add(*row(state, i), sum[i]);
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

static void start_avx2(hft_sha256_lanes state, const hft_sha256_state *from) {
    for (int i = 0; i < 8; i++) *row(state, i) = _mm256_set1_epi32((int)from->h[i]);
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
    for (int i = 0; i < 8; i++) w[i] = *row(state, i);
    w[8] = _mm256_set1_epi32((int)0x80000000);
    for (int i = 9; i < 15; i++) w[i] = _mm256_setzero_si256();
    w[15] = _mm256_set1_epi32((int)bits);
    start_avx2(state, start);
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

const hft_sha256_kernel_lanes hft_sha256_avx2x8 = {8, start_avx2, blocks_avx2, ends_avx2, outer_avx2, digests_avx2};
