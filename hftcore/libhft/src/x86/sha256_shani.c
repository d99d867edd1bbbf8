/* SHA-256 on the SHA extensions (SHA-NI) with SSE4.1.
 *
 * The instructions want the state as two registers, ABEF and CDGH (first letter in the highest lane). A block is one
 * chain of 32 dependent sha256rnds2, four cycles each, whatever else is done: hence the variant that interleaves two
 * streams. */
#include <immintrin.h>

#include "../sha256_kernels.h"

typedef struct { __m128i abef, cdgh; } registers;

static inline registers load_state(const hft_sha256_state *state) {
    __m128i abcd = _mm_loadu_si128((const __m128i *)state->h);
    __m128i efgh = _mm_loadu_si128((const __m128i *)(state->h + 4));
    return (registers){_mm_shuffle_epi32(_mm_unpacklo_epi64(efgh, abcd), 0xb1),
                       _mm_shuffle_epi32(_mm_unpackhi_epi64(efgh, abcd), 0xb1)};
}

static inline void unpack_state(__m128i *abcd, __m128i *efgh, registers r) {
    __m128i efab = _mm_shuffle_epi32(r.abef, 0xb1);
    __m128i ghcd = _mm_shuffle_epi32(r.cdgh, 0xb1);
    *abcd = _mm_unpackhi_epi64(efab, ghcd);
    *efgh = _mm_unpacklo_epi64(efab, ghcd);
}

static inline void store_state(hft_sha256_state *state, registers r) {
    __m128i abcd, efgh;
    unpack_state(&abcd, &efgh, r);
    _mm_storeu_si128((__m128i *)state->h, abcd);
    _mm_storeu_si128((__m128i *)(state->h + 4), efgh);
}

static inline registers add_state(registers x, registers y) {
    return (registers){_mm_add_epi32(x.abef, y.abef), _mm_add_epi32(x.cdgh, y.cdgh)};
}

static inline __m128i big_endian(__m128i words) {
    return _mm_shuffle_epi8(words, _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
}

static inline void load_block(__m128i w[4], const uint8_t *p) {
    for (int i = 0; i < 4; i++) w[i] = big_endian(_mm_loadu_si128((const __m128i *)(p + 16 * i)));
}

/* Rounds 4 * group .. 4 * group + 3. w holds the last 16 words of the schedule, four to a register. */
static inline void four_rounds(registers *r, __m128i w[4], int group) {
    __m128i *now = &w[group & 3];
    if (group >= 4) {
        __m128i last = w[(group + 3) & 3];
        __m128i seven_back = _mm_alignr_epi8(last, w[(group + 2) & 3], 4);
        *now = _mm_sha256msg1_epu32(*now, w[(group + 1) & 3]);
        *now = _mm_sha256msg2_epu32(_mm_add_epi32(*now, seven_back), last);
    }
    __m128i wk = _mm_add_epi32(*now, _mm_load_si128((const __m128i *)(hft_sha256_k + 4 * group)));
    r->cdgh = _mm_sha256rnds2_epu32(r->cdgh, r->abef, wk);
    r->abef = _mm_sha256rnds2_epu32(r->abef, r->cdgh, _mm_shuffle_epi32(wk, 0x0e));
}

static inline registers compress(registers start, __m128i w[4]) {
    registers r = start;
#pragma GCC unroll 16
    for (int group = 0; group < 16; group++) four_rounds(&r, w, group);
    return add_state(r, start);
}

static inline registers compress_blocks(registers r, const uint8_t *p, size_t n_blocks) {
    __m128i w[4];
    for (; n_blocks != 0; n_blocks--, p += 64) {
        load_block(w, p);
        r = compress(r, w);
    }
    return r;
}

static void blocks_shani(hft_sha256_state *state, const void *data, size_t n_blocks) {
    store_state(state, compress_blocks(load_state(state), data, n_blocks));
}

/* A digest's words are what a block's would be after the byte swap: they stay in registers between the two hashes. */
static void finish_shani(uint8_t out[32], const hft_sha256_state *outer, uint32_t outer_bits,
                         const hft_sha256_state *inner, const void *data, size_t n_blocks,
                         const void *tail, size_t n_tail) {
    registers r = load_state(inner);
    r = compress_blocks(r, data, n_blocks);
    r = compress_blocks(r, tail, n_tail);
    __m128i w[4] = {[2] = _mm_set_epi32(0, 0, 0, (int)0x80000000), [3] = _mm_set_epi32((int)outer_bits, 0, 0, 0)};
    unpack_state(&w[0], &w[1], r);
    unpack_state(&w[0], &w[1], compress(load_state(outer), w));
    _mm_storeu_si128((__m128i *)out, big_endian(w[0]));
    _mm_storeu_si128((__m128i *)(out + 16), big_endian(w[1]));
}

/* Both start values in, both sums out. */
static inline void compress2(registers *a, __m128i v[4], registers *b, __m128i w[4]) {
    registers start_a = *a, start_b = *b;
#pragma GCC unroll 16
    for (int group = 0; group < 16; group++) {
        four_rounds(a, v, group);
        four_rounds(b, w, group);
    }
    *a = add_state(*a, start_a);
    *b = add_state(*b, start_b);
}

static inline registers compress_rest(registers r, const hft_sha256_padded *m, size_t from) {
    __m128i w[4];
    for (size_t i = from; i < m->n_blocks + m->n_tail; i++) {
        load_block(w, hft_sha256_block(m, i));
        r = compress(r, w);
    }
    return r;
}

/* Becomes the only block of a digest's own hash. */
static inline void digest_block(__m128i w[4], registers r) {
    unpack_state(&w[0], &w[1], r);
    w[2] = _mm_set_epi32(0, 0, 0, (int)0x80000000);
    w[3] = _mm_set_epi32(256, 0, 0, 0);
}

static inline void put_digest(uint8_t out[32], registers r) {
    __m128i abcd, efgh;
    unpack_state(&abcd, &efgh, r);
    _mm_storeu_si128((__m128i *)out, big_endian(abcd));
    _mm_storeu_si128((__m128i *)(out + 16), big_endian(efgh));
}

static void double2_shani(uint8_t out_a[32], const hft_sha256_padded *a, uint8_t out_b[32],
                          const hft_sha256_padded *b) {
    registers iv = load_state(&hft_sha256_iv), ra = iv, rb = iv;
    __m128i v[4], w[4];
    size_t n_a = a->n_blocks + a->n_tail, n_b = b->n_blocks + b->n_tail, n = n_a < n_b ? n_a : n_b;
    for (size_t i = 0; i < n; i++) {
        load_block(v, hft_sha256_block(a, i));
        load_block(w, hft_sha256_block(b, i));
        compress2(&ra, v, &rb, w);
    }
    ra = compress_rest(ra, a, n);
    rb = compress_rest(rb, b, n);
    digest_block(v, ra);
    digest_block(w, rb);
    ra = rb = iv;
    compress2(&ra, v, &rb, w);
    put_digest(out_a, ra);
    put_digest(out_b, rb);
}

const hft_sha256_kernels hft_sha256_shani = {"shani", blocks_shani, double2_shani, finish_shani};
