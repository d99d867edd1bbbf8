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

/* Chooses kernels and self-tests them; idempotent. level is NULL, for the best this machine has, or one of
 *   "portable"  no kernel at all
 *   "avx2"      SHA-256 batches eight at a time, single messages in portable code, as on CPUs without SHA-NI; AES-NI
 *   "shani"     SHA-256 by SHA-NI, batches two at a time; AES-NI; nothing wider than 128 bits
 *   "avx512"    SHA-256 batches 16 and 32 at a time, single messages by SHA-NI where that is; vector AES where that is
 * The best is the last of them that the machine has.
 * Errors: HFT_E_CPU_LEVEL (unknown, or the machine lacks it), HFT_E_SELF_TEST. */
HFT_NODISCARD int hft_init(const char *level);

/* The i-th level that this machine has, of those above and in their order; NULL after the last. Static storage. */
const char *hft_cpu_level_at(size_t i);

/* The level that hft_init() chose for SHA-256. Static storage. */
const char *hft_sha256_kernel(void);

#endif
