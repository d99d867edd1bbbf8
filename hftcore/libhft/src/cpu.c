#include "hft/cpu.h"

#include "aesgcm_kernels.h"
#include "sha256_kernels.h"
#include "text_kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* Which register sets the operating system saves: XCR0. */
static uint64_t xgetbv0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

uint32_t hft_cpu_features(void) {
    enum { XMM_YMM = 0x6, ZMM = 0xe6 };
    unsigned eax, ebx, ecx, edx;
    uint32_t features = 0;
    uint64_t saved = 0;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return 0;
    if (ecx & bit_OSXSAVE) saved = xgetbv0();
    if ((ecx & bit_SSE4_1) && (ecx & bit_SSSE3)) features |= HFT_CPU_SSE41;
    if ((ecx & bit_AES) && (ecx & bit_PCLMUL) && (features & HFT_CPU_SSE41)) features |= HFT_CPU_AESNI;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        const unsigned avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
        if ((ebx & bit_SHA) && (features & HFT_CPU_SSE41)) features |= HFT_CPU_SHANI;
        if ((ebx & bit_AVX2) && (saved & XMM_YMM) == XMM_YMM) features |= HFT_CPU_AVX2;
        if ((ebx & avx512) == avx512 && (saved & ZMM) == ZMM) features |= HFT_CPU_AVX512;
        if ((ecx & bit_VAES) && (ecx & bit_VPCLMULQDQ) && (features & HFT_CPU_AVX512) && (features & HFT_CPU_AESNI))
            features |= HFT_CPU_VAES;
        if ((ecx & bit_AVX512VBMI) && (ebx & bit_BMI2) && (features & HFT_CPU_AVX512)) features |= HFT_CPU_VBMI;
    }
    if (__get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) && (edx & 1u << 8)) features |= HFT_CPU_INVARIANT_TSC;
    return features;
}

#else

uint32_t hft_cpu_features(void) { return 0; }

#endif

/* ---- levels ---- */

typedef struct {
    uint32_t needs, uses; /* HFT_CPU_*: without these it cannot be, and no others are looked at */
    hft_sha256_kernels sha256;
} cpu_level;

/* The best first. */
static const cpu_level levels[] = {
#if defined(__x86_64__)
    {HFT_CPU_AVX512 | HFT_CPU_SHANI,
     ~0u,
     {"avx512",
      &hft_sha256_shani,
      {{&hft_sha256_avx512x32, 21}, {&hft_sha256_avx512x16, 7}, {&hft_sha256_shani2, 2}}}},
    {HFT_CPU_AVX512, ~0u, {"avx512", &hft_sha256_portable, {{&hft_sha256_avx512x32, 17}, {&hft_sha256_avx512x16, 2}}}},
    {HFT_CPU_SHANI, HFT_CPU_SHANI | HFT_CPU_AESNI, {"shani", &hft_sha256_shani, {{&hft_sha256_shani2, 2}}}},
    {HFT_CPU_AVX2, HFT_CPU_AVX2 | HFT_CPU_AESNI, {"avx2", &hft_sha256_portable, {{&hft_sha256_avx2x8, 2}}}},
#endif
    {0, 0, {"portable", &hft_sha256_portable, {{NULL, 0}}}},
};

enum { N_LEVELS = sizeof levels / sizeof *levels };

static int text_equals(const char *a, const char *b) {
    while (*a != '\0' && *a == *b) a++, b++;
    return *a == *b;
}

const char *hft_cpu_level_at(size_t i) {
    uint32_t features = hft_cpu_features();
    const char *last = "";
    for (size_t k = N_LEVELS; k-- != 0;) {
        const cpu_level *level = &levels[k];
        if ((level->needs & ~features) != 0 || text_equals(level->sha256.name, last)) continue;
        last = level->sha256.name;
        if (i-- == 0) return last;
    }
    return NULL;
}

/* The best level of that name, or of any, that the machine has. */
static const cpu_level *find_level(const char *name, uint32_t features) {
    for (size_t i = 0; i < N_LEVELS; i++)
        if ((levels[i].needs & ~features) == 0 && (name == NULL || text_equals(name, levels[i].sha256.name)))
            return &levels[i];
    return NULL;
}

int hft_init(const char *level) {
    uint32_t features = hft_cpu_features();
    const cpu_level *chosen = find_level(level, features);
    const hft_text_kernels *text = &hft_text_portable;
    const hft_aesgcm_kernel *aesgcm = NULL;
    if (chosen == NULL) return HFT_E_CPU_LEVEL;
#if defined(__x86_64__)
    if (level != NULL) features &= chosen->uses;
    if (features & HFT_CPU_VBMI) text = &hft_text_avx512;
    else if (features & HFT_CPU_AVX2) text = &hft_text_avx2;
    if (features & HFT_CPU_VAES) aesgcm = &hft_aesgcm_vaes;
    else if (features & HFT_CPU_AESNI) aesgcm = &hft_aesgcm_aesni;
#endif
    int rc = hft_sha256_select(&chosen->sha256);
    if (rc == HFT_OK) rc = hft_text_select(text);
    return rc < 0 ? rc : hft_aesgcm_select(aesgcm);
}
