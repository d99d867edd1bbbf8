/* SipHash-1-3 (Aumasson and Bernstein 2012) of whole words: for tables whose keys strangers choose, byte for byte.
 * Private to libhft. */
#ifndef HFT_SIPHASH_H
#define HFT_SIPHASH_H

#include <stdint.h>

typedef struct { uint64_t v[4]; } hft_sip;

static inline uint64_t hft_sip_rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

static inline void hft_sip_round(hft_sip *s) {
    uint64_t *v = s->v;
    v[0] += v[1];
    v[1] = hft_sip_rotate(v[1], 13) ^ v[0];
    v[0] = hft_sip_rotate(v[0], 32);
    v[2] += v[3];
    v[3] = hft_sip_rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = hft_sip_rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = hft_sip_rotate(v[1], 17) ^ v[2];
    v[2] = hft_sip_rotate(v[2], 32);
}

static inline void hft_sip_begin(hft_sip *s, const uint64_t key[2]) {
    s->v[0] = key[0] ^ 0x736f6d6570736575;
    s->v[1] = key[1] ^ 0x646f72616e646f6d;
    s->v[2] = key[0] ^ 0x6c7967656e657261;
    s->v[3] = key[1] ^ 0x7465646279746573;
}

static inline void hft_sip_word(hft_sip *s, uint64_t word) {
    s->v[3] ^= word;
    hft_sip_round(s);
    s->v[0] ^= word;
}

/* rest: the bytes behind the last whole word, little-endian; len: of all. */
static inline uint64_t hft_sip_end(hft_sip *s, uint64_t rest, uint64_t len) {
    hft_sip_word(s, rest | len << 56);
    s->v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) hft_sip_round(s);
    return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}

#endif
