/* What text.c, ws.c, cpu.c and the kernels share; private to the library. */
#ifndef HFT_TEXT_KERNELS_H
#define HFT_TEXT_KERNELS_H

#include "hft/endian.h"
#include "hft/text.h"

/* Bodies of the functions of text.h, none of which reads or writes outside its buffers; what is decoded has a possible
 * length. */
typedef struct {
    void (*hex_encode)(char *out, const void *data, size_t len);
    int (*hex_decode)(uint8_t *out, const char *text, size_t len);
    size_t (*base64_encode)(char *out, const void *data, size_t len);
    int (*base64_decode)(uint8_t *out, const char *text, size_t len);
    int (*utf8_valid)(const void *data, size_t len);
    int (*has_all)(const hft_charset *set, const char *text, size_t len);
    /* dst = src XOR mask, whose lowest byte meets the first of src; dst may be src, but not overlap it otherwise. */
    void (*mask)(uint8_t *dst, const uint8_t *src, size_t len, uint32_t mask);
} hft_text_kernels;

enum { HFT_TEXT_MASK_SHORT = 32 }; /* below, hft_text_mask_short is quicker than a call of a kernel */

/* The mask as it meets the byte after the next n. */
static inline uint32_t hft_text_turn_mask(uint32_t mask, size_t n) {
    unsigned bits = 8 * (unsigned)(n & 3);
    return mask >> bits | mask << (-bits & 31);
}

/* Masks less than HFT_TEXT_MASK_SHORT bytes: two words of the largest size that fits, which overlap where they meet.
 * Both are loaded before one is stored, for dst may be src. */
static inline void hft_text_mask_short(uint8_t *dst, const uint8_t *src, size_t len, uint32_t mask) {
    uint32_t turned = hft_text_turn_mask(mask, len);
    uint64_t m = (uint64_t)mask << 32 | mask, end = (uint64_t)turned << 32 | turned;
    if (len >= 16) {
        uint64_t a = hft_load_le64(src) ^ m, b = hft_load_le64(src + 8) ^ m;
        uint64_t c = hft_load_le64(src + len - 16) ^ end, d = hft_load_le64(src + len - 8) ^ end;
        hft_store_le64(dst, a);
        hft_store_le64(dst + 8, b);
        hft_store_le64(dst + len - 16, c);
        hft_store_le64(dst + len - 8, d);
    } else if (len >= 8) {
        uint64_t a = hft_load_le64(src) ^ m, b = hft_load_le64(src + len - 8) ^ end;
        hft_store_le64(dst, a);
        hft_store_le64(dst + len - 8, b);
    } else if (len >= 4) {
        uint32_t a = hft_load_le32(src) ^ mask, b = hft_load_le32(src + len - 4) ^ turned;
        hft_store_le32(dst, a);
        hft_store_le32(dst + len - 4, b);
    } else {
        for (size_t i = 0; i < len; i++, mask >>= 8) dst[i] = (uint8_t)(src[i] ^ mask);
    }
}

extern const hft_text_kernels hft_text_portable;
#if defined(__x86_64__)
extern const hft_text_kernels hft_text_avx2, hft_text_avx512; /* the latter with VBMI */
int hft_text_has_all_avx2(const hft_charset *set, const char *text, size_t len);
void hft_text_mask_avx2(uint8_t *dst, const uint8_t *src, size_t len, uint32_t mask);
#endif

/* Self-tests the kernels and, if they pass, makes them the ones in use. Errors: HFT_E_SELF_TEST. */
int hft_text_select(const hft_text_kernels *kernels);

/* The mask of WebSocket payloads (RFC 6455 section 5.3) with the kernel in use. */
void hft_text_mask(uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[4]);

#endif
