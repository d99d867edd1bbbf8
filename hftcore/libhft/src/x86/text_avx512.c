/* Text kernels with AVX-512 (F, BW, VL) and VBMI. A rest shorter than a vector is loaded and stored under a mask, which
 * touches nothing outside the buffer. */
#include <immintrin.h>

#include "../text_kernels.h"
#include "text_utf8.h"

static inline __m512i load(const void *p) { return _mm512_loadu_si512(p); }
static inline void store(void *p, __m512i v) { _mm512_storeu_si512(p, v); }

/* The first n (0 to 64) bytes. */
static inline __mmask64 first(size_t n) { return _bzhi_u64(~UINT64_C(0), (unsigned)n); }

/* ---- hex ---- */

/* 32 bytes to 64 digits. Each byte becomes a word of two, in which one shift finds both halves; what lies above each is
 * of no concern, because the table has the digits four times. */
static inline __m512i hex_digits(__m256i bytes) {
    const __m512i digits = _mm512_broadcast_i32x4(
        _mm_setr_epi8('0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'));
    const __m512i halves = _mm512_set1_epi64(0x3034202410140004);
    return _mm512_permutexvar_epi8(_mm512_multishift_epi64_epi8(halves, _mm512_cvtepu8_epi16(bytes)), digits);
}

static void hex_encode(char *out, const void *data, size_t len) {
    const char *in = data;
    for (; len >= 32; len -= 32, in += 32, out += 64) store(out, hex_digits(_mm256_loadu_si256((const void *)in)));
    if (len == 0) return;
    __m256i rest = _mm256_maskz_loadu_epi8((__mmask32)first(len), in);
    _mm512_mask_storeu_epi8(out, first(2 * len), hex_digits(rest));
}

/* The values of 64 digits; of what is none, 16 or more. */
static inline __m512i hex_values(__m512i text) {
    /* '0' to '9' are moved to the top, where what was below them saturates apart and what was above wraps around. */
    __m512i digit = _mm512_sub_epi8(_mm512_subs_epu8(_mm512_add_epi8(text, _mm512_set1_epi8((char)(255 - '9'))),
                                                     _mm512_set1_epi8(6)),
                                    _mm512_set1_epi8((char)0xf0));
    __m512i letter = _mm512_adds_epu8(
        _mm512_sub_epi8(_mm512_or_si512(text, _mm512_set1_epi8(0x20)), _mm512_set1_epi8('a')), _mm512_set1_epi8(10));
    return _mm512_min_epu8(digit, letter);
}

static inline __m256i hex_bytes(__m512i values) {
    return _mm512_cvtepi16_epi8(_mm512_maddubs_epi16(values, _mm512_set1_epi16(0x0110)));
}

static int hex_decode(uint8_t *out, const char *text, size_t len) {
    int size = (int)(len / 2);
    __m512i all = _mm512_setzero_si512();
    for (; len >= 64; len -= 64, text += 64, out += 32) {
        __m512i values = hex_values(load(text));
        all = _mm512_or_si512(all, values);
        _mm256_storeu_si256((void *)out, hex_bytes(values));
    }
    if (len != 0) {
        __m512i values = hex_values(_mm512_mask_loadu_epi8(_mm512_set1_epi8('0'), first(len), text));
        all = _mm512_or_si512(all, values);
        _mm256_mask_storeu_epi8(out, (__mmask32)first(len / 2), hex_bytes(values));
    }
    return _mm512_test_epi8_mask(all, _mm512_set1_epi8((char)0xf0)) != 0 ? HFT_E_TEXT_DIGIT : size;
}

/* ---- base64 ---- */

static const char digits64[64] __attribute__((aligned(64))) = {
    'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P', 'Q', 'R', 'S', 'T', 'U', 'V',
    'W', 'X', 'Y', 'Z', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r',
    's', 't', 'u', 'v', 'w', 'x', 'y', 'z', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '+', '/',
};

/* In which order three bytes make a word of four, so that each digit's bits lie side by side: 1 0 2 1, 4 3 5 4 ... */
static const uint8_t spread[64] __attribute__((aligned(64))) = {
#define FOUR(b) (b) + 1, (b), (b) + 2, (b) + 1
#define SIXTEEN(b) FOUR(b), FOUR((b) + 3), FOUR((b) + 6), FOUR((b) + 9)
    SIXTEEN(0), SIXTEEN(12), SIXTEEN(24), SIXTEEN(36),
#undef SIXTEEN
#undef FOUR
};

/* Back: three bytes of each word, the highest first. */
static const uint8_t gather[64] __attribute__((aligned(64))) = {
#define THREE(b) (b) + 2, (b) + 1, (b)
#define TWELVE(b) THREE(b), THREE((b) + 4), THREE((b) + 8), THREE((b) + 12)
    TWELVE(0), TWELVE(16), TWELVE(32), TWELVE(48),
#undef TWELVE
#undef THREE
};

/* The value of each character below 128; what is no digit has the high bit. */
static const uint8_t values64[128] __attribute__((aligned(64))) = {
#define NONE8 128, 128, 128, 128, 128, 128, 128, 128
    NONE8, NONE8, NONE8, NONE8, NONE8, 128, 128, 128, 62, 128, 128, 128, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 128, 128, 128, 128, 128, 128,
    128, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
    128, 128, 128, 128, 128, 128,
    26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51,
    128, 128, 128, 128, 128,
#undef NONE8
};

/* 48 bytes to 64 digits; a table look-up takes the lowest six bits of each shift. */
static inline __m512i base64_digits(__m512i bytes) {
    const __m512i shifts = _mm512_set1_epi64(0x3036242a1016040a);
    __m512i words = _mm512_permutexvar_epi8(load(spread), bytes);
    return _mm512_permutexvar_epi8(_mm512_multishift_epi64_epi8(shifts, words), load(digits64));
}

static size_t base64_encode(char *out, const void *data, size_t len) {
    const char *in = data;
    size_t size = (len + 2) / 3 * 4;
    for (; len >= 64; len -= 48, in += 48, out += 64) store(out, base64_digits(load(in)));
    for (size_t take = 48; len != 0; len -= take, in += take, out += 64) {
        if (len < take) take = len;
        __m512i digits = base64_digits(_mm512_maskz_loadu_epi8(first(take), in));
        __m512i padded = _mm512_mask_mov_epi8(_mm512_set1_epi8('='), first((4 * take + 2) / 3), digits);
        _mm512_mask_storeu_epi8(out, first((take + 2) / 3 * 4), padded);
    }
    return size;
}

/* The values of 64 digits; *all gathers the high bits of what is none. */
static inline __m512i base64_values(__m512i *all, __m512i text) {
    __m512i values = _mm512_permutex2var_epi8(load(values64), text, load(values64 + 64));
    *all = _mm512_ternarylogic_epi64(*all, text, values, 0xfe); /* a | b | c */
    return values;
}

/* 64 values to 48 bytes, and zeros behind them. */
static inline __m512i base64_bytes(__m512i values) {
    __m512i halves = _mm512_maddubs_epi16(values, _mm512_set1_epi16(0x0140));
    __m512i words = _mm512_madd_epi16(halves, _mm512_set1_epi32(0x00011000));
    return _mm512_maskz_permutexvar_epi8(first(48), load(gather), words);
}

static int base64_decode(uint8_t *out, const char *text, size_t len) {
    if (len == 0) return 0;
    size_t pad = text[len - 1] != '=' ? 0 : text[len - 2] != '=' ? 1 : 2;
    int size = (int)(len / 4 * 3 - pad);
    __m512i all = _mm512_setzero_si512();
    for (; len > 64; len -= 64, text += 64, out += 48) {
        __m512i bytes = base64_bytes(base64_values(&all, load(text)));
        _mm512_mask_storeu_epi8(out, first(48), bytes);
    }
    /* Padding counts as zeros; if bits are left behind the last byte, two texts would mean the same bytes. */
    __m512i digits = _mm512_mask_loadu_epi8(_mm512_set1_epi8('A'), first(len - pad), text);
    __m512i bytes = base64_bytes(base64_values(&all, digits));
    __mmask64 whole = first(len / 4 * 3 - pad);
    _mm512_mask_storeu_epi8(out, whole, bytes);
    uint64_t wrong = _mm512_movepi8_mask(all) | (_mm512_test_epi8_mask(bytes, bytes) & ~whole);
    return wrong != 0 ? HFT_E_TEXT_DIGIT : size;
}

/* ---- UTF-8 ---- */

#define EVERY_LANE(...) _mm512_broadcast_i32x4(_mm_setr_epi8(__VA_ARGS__))

/* The bytes at the places before those of block, the last `n` of before coming first. */
#define EARLIER(block, before, n)                                                                                      \
    _mm512_alignr_epi8(block, _mm512_alignr_epi32(block, before, 12), 16 - (n))

static inline __m512i high_half(__m512i bytes) {
    return _mm512_and_si512(_mm512_srli_epi16(bytes, 4), _mm512_set1_epi8(0x0f));
}

/* What is wrong at each byte, which depends on it and the three before it. */
static inline __m512i utf8_faults(__m512i block, __m512i before) {
    __m512i one = EARLIER(block, before, 1);
    __m512i first_high = _mm512_shuffle_epi8(EVERY_LANE(UTF8_FIRST_HIGH), high_half(one));
    __m512i first_low =
        _mm512_shuffle_epi8(EVERY_LANE(UTF8_FIRST_LOW), _mm512_and_si512(one, _mm512_set1_epi8(0x0f)));
    __m512i second_high = _mm512_shuffle_epi8(EVERY_LANE(UTF8_SECOND_HIGH), high_half(block));
    __m512i pairs = _mm512_ternarylogic_epi64(first_high, first_low, second_high, 0x80); /* a & b & c */
    __m512i third = _mm512_subs_epu8(EARLIER(block, before, 2), _mm512_set1_epi8(UTF8_LEAD_3 - 0x80));
    __m512i fourth = _mm512_subs_epu8(EARLIER(block, before, 3), _mm512_set1_epi8(UTF8_LEAD_4 - 0x80));
    /* (third | fourth) & 0x80, where a continuation must stand, against the pairs' claim that one follows another. */
    __m512i due = _mm512_ternarylogic_epi64(third, fourth, _mm512_set1_epi8((char)0x80), 0xa8);
    return _mm512_xor_si512(due, pairs);
}

static int utf8_valid(const void *data, size_t len) {
    const uint8_t *p = data;
    __m512i before = _mm512_setzero_si512(), faults = before;
    uint64_t open = 0; /* whether before may end within a sequence; if not, it can stand for any later block of ASCII */
    for (;; p += 64, len -= 64) {
        __m512i block = len >= 64 ? load(p) : _mm512_maskz_loadu_epi8(first(len), p);
        uint64_t high = _mm512_movepi8_mask(block);
        if ((high | open) != 0) {
            faults = _mm512_or_si512(faults, utf8_faults(block, before));
            open = high >> 63;
            before = block;
        }
        if (len < 64) return _mm512_test_epi8_mask(faults, faults) == 0; /* zeros end a sequence that is cut short */
    }
}

/* Sets of characters are AVX2's, made for short texts; so is masking: a message that has just been filled in is read
 * sooner in halves of this vector's length. */
const hft_text_kernels hft_text_avx512 = {
    hex_encode, hex_decode, base64_encode, base64_decode, utf8_valid, hft_text_has_all_avx2, hft_text_mask_avx2,
};
