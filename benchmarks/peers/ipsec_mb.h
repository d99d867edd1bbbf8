/* SHA-256 and HMAC-SHA-256 from Intel's Multi-Buffer Crypto library, where it is installed. */
#ifndef PEERS_IPSEC_MB_H
#define PEERS_IPSEC_MB_H

#include <stddef.h>
#include <stdint.h>

/* secret: at most 64 bytes. */
void ipsec_mb_open(const uint8_t *secret, size_t secret_len);
/* One job submitted, and flushed: no other message is there to share its lanes. By SHA-NI if the machine has it, which
 * takes a fifth of the time that the library's own choice, 16 lanes of AVX-512 for one message, takes. */
void ipsec_mb_hmac(uint8_t out[32], const void *msg, size_t len);
/* Double SHA-256 of n items of item_len bytes: all submitted, then flushed, with what the library chose. */
void ipsec_mb_sha256d_many(uint8_t *out, const uint8_t *items, size_t item_len, size_t n);

#endif
