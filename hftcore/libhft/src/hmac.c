#include "hft/hmac.h"

#include "sha256_kernels.h"

void hft_wipe(void *p, size_t len) {
    if (len == 0) return;
    memset(p, 0, len);
    /* The compiler must assume that the memory is read here, so it cannot drop the memset. */
    __asm__ volatile("" : : "r"(p) : "memory");
}

int hft_equal_ct(const void *a, const void *b, size_t len) {
    const uint8_t *x = a, *y = b;
    uint32_t difference = 0;
    for (size_t i = 0; i < len; i++) {
        difference |= (uint32_t)(x[i] ^ y[i]);
        /* Hides the value, so that no early exit can be derived from it. */
        __asm__ volatile("" : "+r"(difference));
    }
    return difference == 0;
}

void hft_hmac_key_init(hft_hmac_key *key, const void *secret, size_t secret_len) {
    uint8_t pad[64] = {0};
    if (secret_len > sizeof pad) hft_sha256_digest(pad, secret, secret_len);
    else if (secret_len != 0) memcpy(pad, secret, secret_len);
    for (size_t i = 0; i < sizeof pad; i++) pad[i] ^= 0x36;
    key->inner = hft_sha256_iv;
    hft_sha256_blocks(&key->inner, pad, 1);
    for (size_t i = 0; i < sizeof pad; i++) pad[i] ^= 0x36 ^ 0x5c;
    key->outer = hft_sha256_iv;
    hft_sha256_blocks(&key->outer, pad, 1);
    hft_wipe(pad, sizeof pad);
}

#define OUTER_BITS ((64 + 32) * 8) /* the outer pad and the inner digest */

void hft_hmac_digest(uint8_t out[32], const hft_hmac_key *key, const void *msg, size_t len) {
    hft_sha256_ends ends = {&key->inner, &key->outer, 64, OUTER_BITS};
    hft_sha256_in_use()->one->digest(out, &ends, msg, len);
}

void hft_hmac_prefix_init(hft_hmac_prefix *prefix, const hft_hmac_key *key, const void *text, size_t len) {
    size_t whole = len / 64;
    prefix->state = key->inner;
    prefix->len = 64 * whole;
    if (whole != 0) hft_sha256_blocks(&prefix->state, text, whole);
}

void hft_hmac_digest_tail(uint8_t out[32], const hft_hmac_key *key, const hft_hmac_prefix *prefix,
                          const void *tail, size_t tail_len) {
    hft_sha256_ends ends = {&prefix->state, &key->outer, 64 + prefix->len, OUTER_BITS};
    hft_sha256_in_use()->one->digest(out, &ends, tail, tail_len);
}

size_t hft_hmac_pad(uint8_t *blocks, size_t tail_len, const hft_hmac_prefix *prefix) {
    size_t n_blocks = HFT_HMAC_BLOCKS(tail_len);
    memset(blocks + tail_len, 0, 64 * n_blocks - tail_len);
    blocks[tail_len] = 0x80;
    hft_store_be64(blocks + 64 * n_blocks - 8, (64 + prefix->len + tail_len) * 8);
    return n_blocks;
}

void hft_hmac_digest_padded(uint8_t out[32], const hft_hmac_key *key, const hft_hmac_prefix *prefix,
                            const void *blocks, size_t n_blocks) {
    hft_sha256_ends ends = {&prefix->state, &key->outer, 64 + prefix->len, OUTER_BITS};
    hft_sha256_in_use()->one->digest_padded(out, &ends, blocks, n_blocks);
}

void hft_hmac_stem_init(hft_hmac_stem *stem, const hft_hmac_key *key, const void *text, size_t len) {
    hft_hmac_prefix_init(&stem->prefix, key, text, len);
    stem->rest_len = len - stem->prefix.len;
    memset(stem->rest, 0, sizeof stem->rest);
    if (stem->rest_len != 0) memcpy(stem->rest, (const uint8_t *)text + stem->prefix.len, stem->rest_len);
}

void hft_hmac_stem_digest(uint8_t out[32], const hft_hmac_key *key, const hft_hmac_stem *stem,
                          const void *tail, size_t tail_len) {
    hft_hmac_prefix prefix = stem->prefix;
    uint8_t block[64];
    size_t fill = sizeof block - stem->rest_len, take = tail_len < fill ? tail_len : fill;
    memcpy(block, stem->rest, sizeof block);
    if (take != 0) memcpy(block + stem->rest_len, tail, take);
    if (take < fill) {
        hft_hmac_digest_tail(out, key, &prefix, block, stem->rest_len + take);
        return;
    }
    hft_sha256_blocks(&prefix.state, block, 1);
    prefix.len += sizeof block;
    hft_hmac_digest_tail(out, key, &prefix, (const uint8_t *)tail + take, tail_len - take);
}

void hft_hmac_many(uint8_t *out, const hft_hmac_key *key, const void *const *msg, const size_t *len, size_t n) {
    hft_sha256_ends ends = {&key->inner, &key->outer, 64, OUTER_BITS};
    hft_sha256_batch(out, &ends, msg, len, n);
}
