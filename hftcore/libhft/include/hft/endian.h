/* Unaligned little- and big-endian loads and stores. */
#ifndef HFT_ENDIAN_H
#define HFT_ENDIAN_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "hftcore is written for little-endian machines"
#endif

static inline uint16_t hft_load_le16(const void *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t hft_load_le32(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t hft_load_le64(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline void hft_store_le16(void *p, uint16_t v) { memcpy(p, &v, 2); }
static inline void hft_store_le32(void *p, uint32_t v) { memcpy(p, &v, 4); }
static inline void hft_store_le64(void *p, uint64_t v) { memcpy(p, &v, 8); }

static inline uint16_t hft_load_be16(const void *p) { return __builtin_bswap16(hft_load_le16(p)); }
static inline uint32_t hft_load_be32(const void *p) { return __builtin_bswap32(hft_load_le32(p)); }
static inline uint64_t hft_load_be64(const void *p) { return __builtin_bswap64(hft_load_le64(p)); }
static inline void hft_store_be16(void *p, uint16_t v) { hft_store_le16(p, __builtin_bswap16(v)); }
static inline void hft_store_be32(void *p, uint32_t v) { hft_store_le32(p, __builtin_bswap32(v)); }
static inline void hft_store_be64(void *p, uint64_t v) { hft_store_le64(p, __builtin_bswap64(v)); }

#endif
