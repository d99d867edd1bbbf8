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

static int text_equals(const char *a, const char *b) {
    while (*a != '\0' && *a == *b) a++, b++;
    return *a == *b;
}

int hft_init(const char *level) {
    const hft_sha256_kernels *kernels = &hft_sha256_portable;
    const hft_aesgcm_kernel *aesgcm = NULL;
    const hft_text_kernels *text = &hft_text_portable;
#if defined(__x86_64__)
    int any = level == NULL;
    if (any || text_equals(level, hft_sha256_shani.name)) {
        if (hft_cpu_features() & HFT_CPU_SHANI) kernels = &hft_sha256_shani;
        else if (!any) return HFT_E_CPU_LEVEL;
        if (any && (hft_cpu_features() & HFT_CPU_VAES)) aesgcm = &hft_aesgcm_vaes;
        else if (hft_cpu_features() & HFT_CPU_AESNI) aesgcm = &hft_aesgcm_aesni;
    }
    if (any && (hft_cpu_features() & HFT_CPU_VBMI)) text = &hft_text_avx512;
    else if (any && (hft_cpu_features() & HFT_CPU_AVX2)) text = &hft_text_avx2;
#endif
    if (level != NULL && !text_equals(level, kernels->name)) return HFT_E_CPU_LEVEL;
    int rc = hft_sha256_select(kernels);
    if (rc == HFT_OK) rc = hft_text_select(text);
    return rc < 0 ? rc : hft_aesgcm_select(aesgcm);
}
