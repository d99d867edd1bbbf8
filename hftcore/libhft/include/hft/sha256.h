/* SHA-256 (FIPS 180-4) and Bitcoin's double SHA-256. Pure; any length, any alignment; no allocation. */
#ifndef HFT_SHA256_H
#define HFT_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct { uint32_t h[8]; } hft_sha256_state; /* a..h, host order */

typedef struct {
    hft_sha256_state state;
    uint64_t len;    /* bytes fed so far */
    uint8_t buf[64]; /* the last, incomplete block */
} hft_sha256;

void hft_sha256_init(hft_sha256 *s);
void hft_sha256_update(hft_sha256 *s, const void *data, size_t len);
/* Writes the digest and leaves *s spent: init before the next use. */
void hft_sha256_final(hft_sha256 *s, uint8_t out[32]);

void hft_sha256_digest(uint8_t out[32], const void *data, size_t len);
/* sha256(sha256(data)): Bitcoin's txid, wtxid and (its first 4 bytes) message checksum. */
void hft_sha256d_digest(uint8_t out[32], const void *data, size_t len);
/* Two independent double hashes at once: on SHA-NI the two streams are interleaved, which hides latency. */
void hft_sha256d_digest2(uint8_t out_a[32], const void *a, size_t a_len,
                         uint8_t out_b[32], const void *b, size_t b_len);

/* ---- many messages at once ----
 * A batch fills the lanes of the widest kernel this machine has. The digests follow each other in out, 32 * n bytes. */

/* n messages of any lengths; data[i] may be NULL where len[i] is 0. out must not overlap them. */
void hft_sha256_many(uint8_t *out, const void *const *data, const size_t *len, size_t n);
void hft_sha256d_many(uint8_t *out, const void *const *data, const size_t *len, size_t n);

/* n messages of item_size bytes, one after the other. out may be data itself where item_size >= 32: a digest is written
 * only over what has been read. Otherwise they must not overlap. */
void hft_sha256_items(uint8_t *out, const void *data, size_t item_size, size_t n);
void hft_sha256d_items(uint8_t *out, const void *data, size_t item_size, size_t n);

/* Bitcoin's merkle root of n >= 1 transaction ids in internal byte order, 32 * n bytes at level, which are overwritten.
 * The last one of an odd level is paired with itself. Returns 1 if somewhere two equal neighbours were hashed together:
 * then another list of transactions has the same root, and a block must not be judged by it (CVE-2012-2459); else 0. */
int hft_merkle_root(uint8_t out[32], uint8_t *level, size_t n);

/* Kernel interface, for hmac.c: the initial state, n whole 64-byte blocks, and a state's big-endian bytes. */
extern const hft_sha256_state hft_sha256_iv;
void hft_sha256_blocks(hft_sha256_state *state, const void *data, size_t n_blocks);
void hft_sha256_state_bytes(uint8_t out[32], const hft_sha256_state *state);

#endif
