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

/* Equality in constant time; 1 = equal. */
int hft_equal_ct(const void *a, const void *b, size_t len);
/* Zeroes memory in a way the compiler may not remove. */
void hft_wipe(void *p, size_t len);

#endif
