/* CPU features, and the one place where kernels are chosen.
 *
 * Features are read with CPUID and XGETBV (a level counts only if the operating system saves its
 * registers). The choices are made once by hft_init(), are the library's only mutable statics, and are portable code,
 * or none where there is none, until then. */
#ifndef HFT_CPU_H
#define HFT_CPU_H

#include "hft/status.h"

enum {
    HFT_CPU_SSE41 = 1u << 0, /* with SSSE3 */
    HFT_CPU_SHANI = 1u << 1, /* with SSE4.1 */
    HFT_CPU_AVX2 = 1u << 2,
    HFT_CPU_AVX512 = 1u << 3, /* F + BW + VL + DQ */
    HFT_CPU_INVARIANT_TSC = 1u << 4,
    HFT_CPU_AESNI = 1u << 5, /* with PCLMULQDQ and SSE4.1 */
    HFT_CPU_VAES = 1u << 6,  /* with VPCLMULQDQ, AVX-512 and AES-NI */
    HFT_CPU_VBMI = 1u << 7,  /* with AVX-512 and BMI2 */
};

/* HFT_CPU_* bits of this machine. */
uint32_t hft_cpu_features(void);

/* Chooses kernels and self-tests them; idempotent.
 * level: NULL = the best this machine has, or "portable" (no kernel at all), or "shani" (SHA-NI, and with it
 * AES-NI where that is, but nothing wider than 128 bits).
 * Errors: HFT_E_CPU_LEVEL (unknown, or the machine lacks it), HFT_E_SELF_TEST. */
HFT_NODISCARD int hft_init(const char *level);

/* "portable" or "shani": what hft_init() chose for SHA-256. Static storage. */
const char *hft_sha256_kernel(void);

#endif
