/* HMAC-SHA-256 (RFC 2104, RFC 4231) with the padded key hashed once, and optionally a message's constant
 * beginning too. Key and prefix are secrets: wipe them when done. Pure; no allocation. */
#ifndef HFT_HMAC_H
#define HFT_HMAC_H

#include "hft/sha256.h"

typedef struct { hft_sha256_state inner, outer; } hft_hmac_key; /* SECRET */

/* State after the key's inner pad and the first `len` bytes (a multiple of 64) of a constant text. SECRET. */
typedef struct { hft_sha256_state state; uint64_t len; } hft_hmac_prefix;

void hft_hmac_key_init(hft_hmac_key *key, const void *secret, size_t secret_len);
void hft_hmac_digest(uint8_t out[32], const hft_hmac_key *key, const void *msg, size_t len);

/* Absorbs the whole 64-byte blocks of `text`; prefix->len says how many bytes that was. */
void hft_hmac_prefix_init(hft_hmac_prefix *prefix, const hft_hmac_key *key, const void *text, size_t len);
/* MAC of the message whose first prefix->len bytes are already absorbed and whose rest is `tail`. */
void hft_hmac_digest_tail(uint8_t out[32], const hft_hmac_key *key, const hft_hmac_prefix *prefix,
                          const void *tail, size_t tail_len);

/* The same for a tail that is padded where it lies, which saves a copy: n_blocks = HFT_HMAC_BLOCKS(tail_len) whole
 * blocks, of which hft_hmac_pad() has written what follows the tail. */
void hft_hmac_digest_padded(uint8_t out[32], const hft_hmac_key *key, const hft_hmac_prefix *prefix,
                            const void *blocks, size_t n_blocks);
/* Blocks that a tail and its padding take: the mark, the zeros and the length need 9 bytes at least. */
#define HFT_HMAC_BLOCKS(tail_len) (((tail_len) + 9 + 63) / 64)
/* Writes the padding behind the tail_len bytes at blocks, to the end of the last of HFT_HMAC_BLOCKS(tail_len) blocks,
 * and returns their number. It depends on the lengths alone: for the same ones it stays valid. */
size_t hft_hmac_pad(uint8_t *blocks, size_t tail_len, const hft_hmac_prefix *prefix);

/* A whole constant beginning: its blocks as a prefix, and the bytes that do not fill one. SECRET. */
typedef struct { hft_hmac_prefix prefix; size_t rest_len; uint8_t rest[64]; } hft_hmac_stem;

void hft_hmac_stem_init(hft_hmac_stem *stem, const hft_hmac_key *key, const void *text, size_t len);
/* MAC of the stem's text and then `tail`. */
void hft_hmac_stem_digest(uint8_t out[32], const hft_hmac_key *key, const hft_hmac_stem *stem,
                          const void *tail, size_t tail_len);

/* MACs of n messages under one key, 32 * n bytes at out, in the lanes of the widest kernel; see hft_sha256_many(). */
void hft_hmac_many(uint8_t *out, const hft_hmac_key *key, const void *const *msg, const size_t *len, size_t n);

/* Equality in constant time; 1 = equal. */
int hft_equal_ct(const void *a, const void *b, size_t len);
/* Zeroes memory in a way the compiler may not remove. */
void hft_wipe(void *p, size_t len);

#endif
