/* What aesgcm.c, cpu.c and the kernels share; private to the library. */
#ifndef HFT_AESGCM_KERNELS_H
#define HFT_AESGCM_KERNELS_H

#include "hft/aesgcm.h"

/* As hft_aesgcm_init() with a length that is right, and hft_aesgcm_seal(). */
typedef struct hft_aesgcm_kernel {
    void (*init)(hft_aesgcm *g, const uint8_t *key, size_t key_len);
    void (*seal)(const hft_aesgcm *g, uint8_t *out, uint8_t tag[HFT_AESGCM_TAG_LEN],
                 const uint8_t nonce[HFT_AESGCM_NONCE_LEN], const uint8_t *aad, size_t aad_len, const uint8_t *data,
                 size_t len);
} hft_aesgcm_kernel;

#if defined(__x86_64__)
extern const hft_aesgcm_kernel hft_aesgcm_aesni, hft_aesgcm_vaes;
#endif

/* Self-tests the kernel and, if it passes, makes it the one in use; NULL: none. Errors: HFT_E_SELF_TEST, and then none
 * is in use. */
int hft_aesgcm_select(const hft_aesgcm_kernel *kernel);

#endif
