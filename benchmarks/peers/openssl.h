/* SHA-256 and HMAC-SHA-256 as a program in C gets them from OpenSSL, from the documented ways to its assembly alone.
 *
 * All share one key. Any length, except where said. What fails ends the program. */
#ifndef PEERS_OPENSSL_H
#define PEERS_OPENSSL_H

#include <stddef.h>
#include <stdint.h>

/* Fetches the algorithms and makes the contexts that are reused. secret: kept, not copied. */
void openssl_open(const uint8_t *secret, size_t secret_len);

/* EVP: one context, initialised again for each message. */
void openssl_sha256_evp(uint8_t out[32], const void *data, size_t len);
void openssl_hmac_evp(uint8_t out[32], const void *msg, size_t len);
/* The one-shot calls: what one writes first. EVP_Digest makes a context for each message, as hashlib does. */
void openssl_sha256d_oneshot(uint8_t out[32], const void *data, size_t len);
void openssl_hmac_oneshot(uint8_t out[32], const void *msg, size_t len);
/* SHA256_CTX: states after the pads, copied, then SHA256_Update and SHA256_Final. */
void openssl_hmac_copied(uint8_t out[32], const void *msg, size_t len);
void openssl_sha256d_lowlevel(uint8_t out[32], const void *data, size_t len);
/* SHA256_Transform alone: states after the pads saved, padding done by hand, so nothing but its assembly. */
void openssl_hmac_transform(uint8_t out[32], const void *msg, size_t len);

/* Absorbs prefix_len bytes (a multiple of 64) of a text, for the two calls below. */
void openssl_prefix_init(const void *text, size_t prefix_len);
void openssl_hmac_transform_tail(uint8_t out[32], const void *tail, size_t tail_len);
/* EVP: a duplicate of the context, which is allocated and freed. */
void openssl_hmac_dup_tail(uint8_t out[32], const void *tail, size_t tail_len);

#endif
