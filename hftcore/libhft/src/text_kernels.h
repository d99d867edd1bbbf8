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
