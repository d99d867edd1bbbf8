/* HMAC-SHA-512 (RFC 2104, RFC 4231) through OpenSSL, for exchanges that ask for it (Kraken).
 *
 * The two padded blocks of the key are hashed once; the key itself is not kept. A MAC starts from copies of what they
 * left, so that any number of threads may use one key. Copies of digest contexts work on every OpenSSL 3, where
 * 3.0.0 to 3.0.2 do not rewind an EVP_MAC by EVP_MAC_init(ctx, NULL, 0, NULL), and take 0.55 x the time of
 * EVP_MAC_CTX_dup(). OpenSSL wipes its contexts when it frees them. */
#ifndef HFT_HMAC512_H
#define HFT_HMAC512_H

#include "hft/status.h"

#define HFT_HMAC512_LEN 64

struct evp_md_ctx_st; /* OpenSSL's EVP_MD_CTX */

typedef struct { struct evp_md_ctx_st *inner, *outer; } hft_hmac512; /* SECRET; zeroed = closed */

/* Errors: HFT_E_STATE (OpenSSL offers no SHA-512 here), HFT_E_MEMORY. After an error *mac is closed. */
HFT_NODISCARD int hft_hmac512_open(hft_hmac512 *mac, const void *secret, size_t secret_len);
/* Idempotent. */
void hft_hmac512_close(hft_hmac512 *mac);

/* Errors: HFT_E_MEMORY. */
HFT_NODISCARD int hft_hmac512_digest(uint8_t out[HFT_HMAC512_LEN], const hft_hmac512 *mac, const void *msg, size_t len);

#endif
