/* SHA-256 on the SHA extensions (SHA-NI) with SSE4.1: one message, and two interleaved.
 *
 * The instructions want the state as two registers, ABEF and CDGH (first letter in the highest lane). A block is one
 * chain of 32 dependent sha256rnds2, four cycles each, whatever else is done; two chains share the unit that takes one
 * every two cycles. */
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

static inline __m128i load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }

static inline __m128i big_endian(__m128i words) {
    return _mm_shuffle_epi8(words, _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
}

static inline void load_block(__m128i w[4], const uint8_t *p) {
    for (int i = 0; i < 4; i++) w[i] = big_endian(load(p + 16 * i));
}

static inline void put_digest(uint8_t out[32], registers r) {
    __m128i abcd, efgh;
    unpack_state(&abcd, &efgh, r);
    _mm_storeu_si128((__m128i *)out, big_endian(abcd));
    _mm_storeu_si128((__m128i *)(out + 16), big_endian(efgh));
}

/* ---- the end of a message, made in registers ---- */

/* The last len % 16 bytes. Nothing but the message is read: where it is long enough, the 16 bytes that end with it. */
static inline __m128i last_bytes(const uint8_t *data, size_t len) {
    static const uint8_t down[32] = {0,    1,    2,    3,    4,    5,    6,    7,    8,    9,    10,
                                     11,   12,   13,   14,   15,   0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                     0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};
    const uint8_t *end = data + len;
    if (len >= 16) return _mm_shuffle_epi8(load(end - 16), load(down + 16 - len % 16));
    if (len >= 8)
        return _mm_set_epi64x((long long)(hft_load_le64(end - 8) >> 1 >> (127 - 8 * len)),
                              (long long)hft_load_le64(data));
    uint64_t low = 0;
    if (len >= 4) low = hft_load_le32(data) | (uint64_t)hft_load_le32(end - 4) << (8 * len - 32);
    else if (len != 0) low = data[0] | (uint64_t)data[len / 2] << 8 * (len / 2) | (uint64_t)end[-1] << (8 * len - 8);
    return _mm_cvtsi64_si128((long long)low);
}

/* The 16 bytes in which a message ends, and the mark behind it, as big-endian words. */
static inline __m128i last_words(const uint8_t *data, size_t len) {
    static const uint8_t mark[32] = {[16] = 0x80};
    return big_endian(_mm_or_si128(last_bytes(data, len), load(mark + 16 - len % 16)));
}

static inline __m128i length_words(uint64_t bits) {
    return _mm_slli_si128(_mm_cvtsi64_si128((long long)(bits << 32 | bits >> 32)), 8);
}

/* The block in which the last len % 64 bytes and the mark are; the length is still to come. */
static inline void load_tail(__m128i w[4], const uint8_t *data, size_t len) {
    const uint8_t *tail = data + (len & ~(size_t)63);
    __m128i last = last_words(data, len), zero = _mm_setzero_si128();
    switch (len % 64 / 16) {
    case 0: w[0] = last, w[1] = zero, w[2] = zero, w[3] = zero; break;
    case 1: w[0] = big_endian(load(tail)), w[1] = last, w[2] = zero, w[3] = zero; break;
    case 2: w[0] = big_endian(load(tail)), w[1] = big_endian(load(tail + 16)), w[2] = last, w[3] = zero; break;
    default:
        for (int i = 0; i < 3; i++) w[i] = big_endian(load(tail + 16 * i));
        w[3] = last;
    }
}

/* A digest's words are what a block's would be after the byte swap. */
static inline void digest_block(__m128i w[4], registers r, uint32_t bits) {
    unpack_state(&w[0], &w[1], r);
    w[2] = _mm_set_epi32(0, 0, 0, (int)0x80000000);
    w[3] = _mm_set_epi32((int)bits, 0, 0, 0);
}

/* ---- one message ---- */

/* Words 4 * group .. 4 * group + 3 of the schedule take the place of those 16 before. */
static inline void extend(__m128i w[4], int group) {
    __m128i *now = &w[group & 3], last = w[(group + 3) & 3];
    __m128i seven_back = _mm_alignr_epi8(last, w[(group + 2) & 3], 4);
    *now = _mm_sha256msg1_epu32(*now, w[(group + 1) & 3]);
    *now = _mm_sha256msg2_epu32(_mm_add_epi32(*now, seven_back), last);
}

static inline __m128i with_constants(const __m128i w[4], int group) {
    return _mm_add_epi32(w[group & 3], _mm_load_si128((const __m128i *)(hft_sha256_k + 4 * group)));
}

static inline registers compress(registers start, __m128i w[4]) {
    registers r = start;
#pragma GCC unroll 16
    for (int group = 0; group < 16; group++) {
        if (group >= 4) extend(w, group);
        __m128i wk = with_constants(w, group);
        r.cdgh = _mm_sha256rnds2_epu32(r.cdgh, r.abef, wk);
        r.abef = _mm_sha256rnds2_epu32(r.abef, r.cdgh, _mm_shuffle_epi32(wk, 0x0e));
    }
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

static inline registers compress_tail(registers r, const uint8_t *data, size_t len, uint64_t hashed) {
    __m128i w[4], length = length_words((hashed + len) * 8);
    load_tail(w, data, len);
    if (len % 64 >= 56) {
        r = compress(r, w);
        w[0] = w[1] = w[2] = w[3] = _mm_setzero_si128();
    }
    w[3] = _mm_or_si128(w[3], length);
    return compress(r, w);
}

static inline registers compress_digest(registers r, const hft_sha256_ends *ends) {
    __m128i w[4];
    digest_block(w, r, ends->outer_bits);
    return compress(load_state(ends->outer), w);
}

static void blocks_shani(hft_sha256_state *state, const void *data, size_t n_blocks) {
    store_state(state, compress_blocks(load_state(state), data, n_blocks));
}

static void digest_shani(uint8_t out[32], const hft_sha256_ends *ends, const void *data, size_t len) {
    registers r = compress_blocks(load_state(ends->inner), data, len / 64);
    r = compress_tail(r, data, len, ends->hashed);
    if (ends->outer != NULL) r = compress_digest(r, ends);
    put_digest(out, r);
}

static void digest_padded_shani(uint8_t out[32], const hft_sha256_ends *ends, const void *blocks, size_t n_blocks) {
    put_digest(out, compress_digest(compress_blocks(load_state(ends->inner), blocks, n_blocks), ends));
}

/* ---- two messages ---- */

/* The schedule is kept two groups ahead of the rounds, which then find their words ready: its chain is as long as
 * theirs. */
static inline void compress2(registers *a, __m128i v[4], registers *b, __m128i w[4]) {
    registers start_a = *a, start_b = *b;
    __m128i vk[2] = {with_constants(v, 0), with_constants(v, 1)};
    __m128i wk[2] = {with_constants(w, 0), with_constants(w, 1)};
#pragma GCC unroll 16
    for (int group = 0; group < 16; group++) {
        __m128i vk_now = vk[group & 1], wk_now = wk[group & 1];
        a->cdgh = _mm_sha256rnds2_epu32(a->cdgh, a->abef, vk_now);
        b->cdgh = _mm_sha256rnds2_epu32(b->cdgh, b->abef, wk_now);
        if (group < 14) {
            if (group >= 2) extend(v, group + 2);
            vk[group & 1] = with_constants(v, group + 2);
            if (group >= 2) extend(w, group + 2);
            wk[group & 1] = with_constants(w, group + 2);
        }
        a->abef = _mm_sha256rnds2_epu32(a->abef, a->cdgh, _mm_shuffle_epi32(vk_now, 0x0e));
        b->abef = _mm_sha256rnds2_epu32(b->abef, b->cdgh, _mm_shuffle_epi32(wk_now, 0x0e));
    }
    *a = add_state(*a, start_a);
    *b = add_state(*b, start_b);
}

/* A block as hft_sha256_kernel_lanes.ends has it. */
static inline void load_end(__m128i w[4], const uint8_t *data, int64_t left, uint64_t bits) {
    if (left >= 64) {
        load_block(w, data);
        return;
    }
    if (left >= 0) load_tail(w, data, (size_t)left);
    else w[0] = w[1] = w[2] = w[3] = _mm_setzero_si128();
    if (left < 56) w[3] = _mm_or_si128(w[3], length_words(bits));
}

/* Block i of a message that starts with its hash. */
static inline void padded_block(__m128i w[4], const uint8_t *data, size_t len, size_t i) {
    int64_t left = (int64_t)len - 64 * (int64_t)i;
    load_end(w, left > 0 ? data + 64 * i : NULL, left, 8 * len);
}

static registers compress_rest(registers r, const uint8_t *data, size_t len, size_t from) {
    __m128i w[4];
    for (size_t i = from; i <= (len + 8) / 64; i++) {
        padded_block(w, data, len, i);
        r = compress(r, w);
    }
    return r;
}

static void double2_shani(uint8_t out_a[32], const void *a, size_t a_len,
                          uint8_t out_b[32], const void *b, size_t b_len) {
    registers iv = load_state(&hft_sha256_iv), ra = iv, rb = iv;
    __m128i v[4], w[4];
    size_t shorter = a_len < b_len ? a_len : b_len, n = 1 + (shorter + 8) / 64, i = 0;
    for (; i < shorter / 64; i++) {
        load_block(v, (const uint8_t *)a + 64 * i);
        load_block(w, (const uint8_t *)b + 64 * i);
        compress2(&ra, v, &rb, w);
    }
    for (; i < n; i++) {
        padded_block(v, a, a_len, i);
        padded_block(w, b, b_len, i);
        compress2(&ra, v, &rb, w);
    }
    ra = compress_rest(ra, a, a_len, n);
    rb = compress_rest(rb, b, b_len, n);
    digest_block(v, ra, 256);
    digest_block(w, rb, 256);
    ra = rb = iv;
    compress2(&ra, v, &rb, w);
    put_digest(out_a, ra);
    put_digest(out_b, rb);
}

const hft_sha256_kernel_one hft_sha256_shani = {blocks_shani, digest_shani, digest_padded_shani, double2_shani};

/* ---- two lanes ---- */

static inline __m128i load_row(hft_sha256_lanes state, int word) {
    return _mm_loadl_epi64((const __m128i *)state[word]);
}

static inline void load_lanes(registers *a, registers *b, hft_sha256_lanes state) {
    __m128i fe = _mm_unpacklo_epi32(load_row(state, 5), load_row(state, 4)); /* f e of a, then of b */
    __m128i ba = _mm_unpacklo_epi32(load_row(state, 1), load_row(state, 0));
    __m128i hg = _mm_unpacklo_epi32(load_row(state, 7), load_row(state, 6));
    __m128i dc = _mm_unpacklo_epi32(load_row(state, 3), load_row(state, 2));
    *a = (registers){_mm_unpacklo_epi64(fe, ba), _mm_unpacklo_epi64(hg, dc)};
    *b = (registers){_mm_unpackhi_epi64(fe, ba), _mm_unpackhi_epi64(hg, dc)};
}

/* The same four words of both, in the order of `word`, which says their rows. */
static inline void store_words(hft_sha256_lanes state, const int word[4], __m128i x, __m128i y) {
    __m128i low = _mm_unpacklo_epi32(x, y), high = _mm_unpackhi_epi32(x, y);
    _mm_storel_epi64((__m128i *)state[word[0]], low);
    _mm_storel_epi64((__m128i *)state[word[1]], _mm_unpackhi_epi64(low, low));
    _mm_storel_epi64((__m128i *)state[word[2]], high);
    _mm_storel_epi64((__m128i *)state[word[3]], _mm_unpackhi_epi64(high, high));
}

static inline void store_lanes(hft_sha256_lanes state, registers a, registers b) {
    store_words(state, (const int[]){5, 4, 1, 0}, a.abef, b.abef);
    store_words(state, (const int[]){7, 6, 3, 2}, a.cdgh, b.cdgh);
}

static void start_shani2(hft_sha256_lanes state, const hft_sha256_state *from) {
    registers r = load_state(from);
    store_lanes(state, r, r);
}

static void blocks_shani2(hft_sha256_lanes state, const uint8_t *const *data, size_t n_blocks) {
    registers a, b;
    __m128i v[4], w[4];
    load_lanes(&a, &b, state);
    for (size_t i = 0; i < n_blocks; i++) {
        load_block(v, data[0] + 64 * i);
        load_block(w, data[1] + 64 * i);
        compress2(&a, v, &b, w);
    }
    store_lanes(state, a, b);
}

static void ends_shani2(hft_sha256_lanes state, const uint8_t *const *data, const int64_t *left,
                        const uint64_t *bits) {
    registers a, b;
    __m128i v[4], w[4];
    load_lanes(&a, &b, state);
    load_end(v, data[0], left[0], bits[0]);
    load_end(w, data[1], left[1], bits[1]);
    compress2(&a, v, &b, w);
    store_lanes(state, a, b);
}

static void outer_shani2(hft_sha256_lanes state, const hft_sha256_state *start, uint32_t bits) {
    registers a, b;
    __m128i v[4], w[4];
    load_lanes(&a, &b, state);
    digest_block(v, a, bits);
    digest_block(w, b, bits);
    a = b = load_state(start);
    compress2(&a, v, &b, w);
    store_lanes(state, a, b);
}

static void digests_shani2(uint8_t *out, hft_sha256_lanes state) {
    registers a, b;
    load_lanes(&a, &b, state);
    put_digest(out, a);
    put_digest(out + 32, b);
}

const hft_sha256_kernel_lanes hft_sha256_shani2 = {2,           start_shani2, blocks_shani2,
                                                   ends_shani2, outer_shani2, digests_shani2};
