/* AES-GCM encryption (NIST SP 800-38D over FIPS 197's AES-128 and AES-256) with 96-bit nonces and 128-bit tags.
 *
 * There is no portable body: a table of AES in memory leaks the key through the cache, and OpenSSL is at hand. Where
 * hft_aesgcm_available() is 0, take OpenSSL's. The time taken depends on lengths only. Pure; no allocation. */
#ifndef HFT_AESGCM_H
#define HFT_AESGCM_H

#include <stdalign.h>

#include "hft/status.h"

#define HFT_AESGCM_TAG_LEN 16
#define HFT_AESGCM_NONCE_LEN 12
#define HFT_AESGCM_POWERS 36

struct hft_aesgcm_kernel;

/* An expanded key. SECRET: hft_wipe() it when done. */
typedef struct {
    alignas(16) uint8_t round_keys[15][16];
    uint8_t powers[HFT_AESGCM_POWERS][16]; /* of the hash key H, in the kernel's form and order */
    uint32_t rounds;
    const struct hft_aesgcm_kernel *kernel; /* that made it, and will use it */
} hft_aesgcm;

/* 1 if hft_init() found a kernel for this machine that passed its self-test. */
int hft_aesgcm_available(void);

/* key_len: 16 or 32. Errors: HFT_E_ARGUMENT (another length), HFT_E_STATE (not available). */
HFT_NODISCARD int hft_aesgcm_init(hft_aesgcm *g, const uint8_t *key, size_t key_len);

/* Encrypts len bytes (less than 2^36 - 31) from data to out, which are the same or do not overlap, and authenticates
 * them and aad. Needs a nonce that this key has never seen: a second use gives both texts and the hash key away. */
void hft_aesgcm_seal(const hft_aesgcm *g, uint8_t *out, uint8_t tag[HFT_AESGCM_TAG_LEN],
                     const uint8_t nonce[HFT_AESGCM_NONCE_LEN], const uint8_t *aad, size_t aad_len,
                     const uint8_t *data, size_t len);

#endif
