/* RIPEMD-160 (Dobbertin, Bosselaers, Preneel, 1996), which Bitcoin puts behind SHA-256 to name keys and scripts.
 * Pure; any length, any alignment; no allocation. */
#ifndef HFT_RIPEMD160_H
#define HFT_RIPEMD160_H

#include <stddef.h>
#include <stdint.h>

void hft_ripemd160_digest(uint8_t out[20], const void *data, size_t len);

/* ripemd160(sha256(data)): Bitcoin's HASH160. */
void hft_hash160(uint8_t out[20], const void *data, size_t len);

#endif
