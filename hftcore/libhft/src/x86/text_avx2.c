/* Text kernels with AVX2. What is shorter than a vector is left to the portable code, or done by a vector that ends
 * where the buffer does and overlaps the one before it. */
#include <immintrin.h>

#include "../text_kernels.h"
#include "text_utf8.h"

#define BOTH_LANES(...) _mm256_broadcastsi128_si256(_mm_setr_epi8(__VA_ARGS__))

static inline __m256i load(const void *p) { return _mm256_loadu_si256(p); }
static inline void store(void *p, __m256i v) { _mm256_storeu_si256(p, v); }
static inline __m256i all(int byte) { return _mm256_set1_epi8((char)byte); }

/* ---- hex ---- */

/* 16 bytes to 32 digits. */
static inline __m256i hex_digits(__m128i bytes) {
    const __m256i digits =
        BOTH_LANES('0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f');
    __m256i words = _mm256_cvtepu8_epi16(bytes);
    __m256i halves = _mm256_or_si256(_mm256_srli_epi16(words, 4), _mm256_slli_epi16(words, 8));
    return _mm256_shuffle_epi8(digits, _mm256_and_si256(halves, all(0x0f)));
}

static void hex_encode(char *out, const void *data, size_t len) {
    const char *in = data;
    size_t i = 0;
    for (; i + 16 <= len; i += 16) store(out + 2 * i, hex_digits(_mm_loadu_si128((const void *)(in + i))));
    if (i + 8 <= len) {
        __m256i digits = hex_digits(_mm_loadl_epi64((const void *)(in + i)));
        _mm_storeu_si128((void *)(out + 2 * i), _mm256_castsi256_si128(digits));
        i += 8;
    }
    if (i < len) hft_text_portable.hex_encode(out + 2 * i, in + i, len - i);
}

/* The values of 32 digits; of what is none, 16 or more. */
static inline __m256i hex_values(__m256i text) {
    /* '0' to '9' are moved to the top, where what was below them saturates apart and what was above wraps around. */
    __m256i digit = _mm256_sub_epi8(_mm256_subs_epu8(_mm256_add_epi8(text, all(255 - '9')), all(6)), all(0xf0));
    __m256i letter = _mm256_adds_epu8(_mm256_sub_epi8(_mm256_or_si256(text, all(0x20)), all('a')), all(10));
    return _mm256_min_epu8(digit, letter);
}

static int hex_decode(uint8_t *out, const char *text, size_t len) {
    __m256i any = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 32 <= len; i += 32) {
        __m256i values = hex_values(load(text + i));
        any = _mm256_or_si256(any, values);
        __m256i words = _mm256_maddubs_epi16(values, _mm256_set1_epi16(0x0110));
        __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storeu_si128((void *)(out + i / 2), bytes);
    }
    if (!_mm256_testz_si256(any, all(0xf0))) return HFT_E_TEXT_DIGIT;
    if (i < len && hft_text_portable.hex_decode(out + i / 2, text + i, len - i) < 0) return HFT_E_TEXT_DIGIT;
    return (int)(len / 2);
}

/* ---- base64 ---- */

/* 24 bytes, the first 12 of each half, to 32 digits. */
static inline __m256i base64_digits(__m256i bytes) {
    const __m256i spread = BOTH_LANES(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
    __m256i words = _mm256_shuffle_epi8(bytes, spread);
    /* Multiplied as 16-bit numbers, the digits' bits come to lie where each is wanted: to the right, to the left. */
    __m256i right = _mm256_mulhi_epu16(_mm256_and_si256(words, _mm256_set1_epi32(0x0fc0fc00)),
                                       _mm256_set1_epi32(0x04000040));
    __m256i left = _mm256_mullo_epi16(_mm256_and_si256(words, _mm256_set1_epi32(0x003f03f0)),
                                      _mm256_set1_epi32(0x01000010));
    __m256i values = _mm256_or_si256(right, left);
    /* What is to be added: by 0 for 26 to 51, 1 to 12 for 52 to 63, 13 for 0 to 25. */
    const __m256i distance = BOTH_LANES('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                                        '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0);
    __m256i capital = _mm256_and_si256(_mm256_cmpgt_epi8(all(26), values), all(13));
    __m256i kind = _mm256_or_si256(_mm256_subs_epu8(values, all(51)), capital);
    return _mm256_add_epi8(values, _mm256_shuffle_epi8(distance, kind));
}

static size_t base64_encode(char *out, const void *data, size_t len) {
    const char *in = data;
    char *o = out;
    size_t i = 0;
    for (; i + 28 <= len; i += 24, o += 32) {
        __m128i low = _mm_loadu_si128((const void *)(in + i)), high = _mm_loadu_si128((const void *)(in + i + 12));
        store(o, base64_digits(_mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1)));
    }
    return (size_t)(o - out) + hft_text_portable.base64_encode(o, in + i, len - i);
}

/* Digits are known by their halves: each row of sixteen characters has a bit, and each column names the rows in which
 * it has no digit. Rows 4 and 6 (A to O, a to o) have the same columns, rows 5 and 7 (P to Z, p to z) as well. */
enum { ROW_2 = 1, ROW_3 = 2, ROW_46 = 4, ROW_57 = 8, NO_ROW = 16 };

/* The values of 32 digits; *any gathers bits of what is none. */
static inline __m256i base64_values(__m256i *any, __m256i text) {
    const __m256i rows = BOTH_LANES(NO_ROW, NO_ROW, ROW_2, ROW_3, ROW_46, ROW_57, ROW_46, ROW_57, NO_ROW, NO_ROW,
                                    NO_ROW, NO_ROW, NO_ROW, NO_ROW, NO_ROW, NO_ROW);
    const __m256i columns = BOTH_LANES(
        NO_ROW | ROW_2 | ROW_46, NO_ROW | ROW_2, NO_ROW | ROW_2, NO_ROW | ROW_2, NO_ROW | ROW_2, NO_ROW | ROW_2,
        NO_ROW | ROW_2, NO_ROW | ROW_2, NO_ROW | ROW_2, NO_ROW | ROW_2, NO_ROW | ROW_2 | ROW_3,
        NO_ROW | ROW_3 | ROW_57, NO_ROW | ROW_2 | ROW_3 | ROW_57, NO_ROW | ROW_2 | ROW_3 | ROW_57,
        NO_ROW | ROW_2 | ROW_3 | ROW_57, NO_ROW | ROW_3 | ROW_57);
    /* By row, what is to be added; '/' is in row 2 with '+', and takes what row 1 has no use for. */
    const __m256i distance = BOTH_LANES(0, 63 - '/', 62 - '+', 52 - '0', -'A', -'A', 26 - 'a', 26 - 'a', 0, 0, 0, 0, 0,
                                        0, 0, 0);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(text, 4), all(0x0f));
    __m256i wrong = _mm256_and_si256(_mm256_shuffle_epi8(rows, high),
                                     _mm256_shuffle_epi8(columns, _mm256_and_si256(text, all(0x0f))));
    *any = _mm256_or_si256(*any, wrong);
    __m256i kind = _mm256_add_epi8(high, _mm256_cmpeq_epi8(text, all('/')));
    return _mm256_add_epi8(text, _mm256_shuffle_epi8(distance, kind));
}

static int base64_decode(uint8_t *out, const char *text, size_t len) {
    const __m256i gather = BOTH_LANES(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
    __m256i any = _mm256_setzero_si256();
    uint8_t *o = out;
    size_t i = 0;
    for (; i + 32 < len; i += 32, o += 24) { /* the last four have padding, and are not done here */
        __m256i halves = _mm256_maddubs_epi16(base64_values(&any, load(text + i)), _mm256_set1_epi16(0x0140));
        __m256i words = _mm256_madd_epi16(halves, _mm256_set1_epi32(0x00011000));
        __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(words, gather),
                                                    _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7));
        _mm_storeu_si128((void *)o, _mm256_castsi256_si128(bytes));
        _mm_storel_epi64((void *)(o + 16), _mm256_extracti128_si256(bytes, 1));
    }
    if (!_mm256_testz_si256(any, any)) return HFT_E_TEXT_DIGIT;
    int rest = hft_text_portable.base64_decode(o, text + i, len - i);
    return rest < 0 ? rest : (int)(o - out) + rest;
}

/* ---- UTF-8 ---- */

/* The bytes at the places before those of block, the last `n` of before coming first. */
#define EARLIER(block, before, n) _mm256_alignr_epi8(block, _mm256_permute2x128_si256(before, block, 0x21), 16 - (n))

static inline __m256i high_half(__m256i bytes) { return _mm256_and_si256(_mm256_srli_epi16(bytes, 4), all(0x0f)); }

/* What is wrong at each byte, which depends on it and the three before it. */
static inline __m256i utf8_faults(__m256i block, __m256i before) {
    __m256i one = EARLIER(block, before, 1);
    __m256i first_high = _mm256_shuffle_epi8(BOTH_LANES(UTF8_FIRST_HIGH), high_half(one));
    __m256i first_low = _mm256_shuffle_epi8(BOTH_LANES(UTF8_FIRST_LOW), _mm256_and_si256(one, all(0x0f)));
    __m256i second_high = _mm256_shuffle_epi8(BOTH_LANES(UTF8_SECOND_HIGH), high_half(block));
    __m256i pairs = _mm256_and_si256(_mm256_and_si256(first_high, first_low), second_high);
    __m256i third = _mm256_subs_epu8(EARLIER(block, before, 2), all(UTF8_LEAD_3 - 0x80));
    __m256i fourth = _mm256_subs_epu8(EARLIER(block, before, 3), all(UTF8_LEAD_4 - 0x80));
    /* Where a continuation must stand, against the pairs' claim that one follows another. */
    __m256i due = _mm256_and_si256(_mm256_or_si256(third, fourth), all(0x80));
    return _mm256_xor_si256(due, pairs);
}

static int utf8_valid(const void *data, size_t len) {
    if (len < 32) return hft_text_portable.utf8_valid(data, len);
    const uint8_t *p = data, *end = p + len;
    __m256i before = _mm256_setzero_si256(), faults = before;
    unsigned open = 0; /* whether before may end within a sequence; if not, it can stand for any later block of ASCII */
    for (; (size_t)(end - p) >= 32; p += 32) {
        __m256i block = load(p);
        unsigned high = (unsigned)_mm256_movemask_epi8(block);
        if ((high | open) == 0) continue;
        faults = _mm256_or_si256(faults, utf8_faults(block, before));
        open = high >> 31;
        before = block;
    }
    if (_mm256_movemask_epi8(load(end - 32)) != 0) { /* an open sequence would show in it, too */
        uint8_t rest[32] = {0}; /* zeros end a sequence that is cut short */
        memcpy(rest, p, (size_t)(end - p));
        faults = _mm256_or_si256(faults, utf8_faults(load(rest), before));
    }
    return _mm256_testz_si256(faults, faults);
}

/* ---- sets of characters ---- */

/* Which of 16 characters are outside of the set: their low halves choose a row of it, their high halves a bit. */
static inline __m128i outside(__m128i set, __m128i text) {
    const __m128i bits = _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, (char)128, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m128i half = _mm_set1_epi8(0x0f);
    __m128i rows = _mm_shuffle_epi8(set, _mm_and_si128(text, half));
    __m128i bit = _mm_shuffle_epi8(bits, _mm_and_si128(_mm_srli_epi16(text, 4), half));
    return _mm_cmpeq_epi8(_mm_and_si128(rows, bit), _mm_setzero_si128());
}

int hft_text_has_all_avx2(const hft_charset *set, const char *text, size_t len) {
    if (len < 16) return hft_text_portable.has_all(set, text, len);
    __m128i rows = _mm_loadu_si128((const void *)set->bits);
    __m128i any = outside(rows, _mm_loadu_si128((const void *)(text + len - 16)));
    for (size_t i = 0; i + 16 < len; i += 16)
        any = _mm_or_si128(any, outside(rows, _mm_loadu_si128((const void *)(text + i))));
    return _mm_testz_si128(any, any);
}

/* ---- masking ---- */

static inline void mask_vector(uint8_t *dst, const uint8_t *src, __m256i m) {
    store(dst, _mm256_xor_si256(load(src), m));
}

void hft_text_mask_avx2(uint8_t *dst, const uint8_t *src, size_t len, uint32_t m32) {
    if (len < 32) {
        hft_text_mask_short(dst, src, len, m32);
        return;
    }
    /* The last vector overlaps the one before it: it is loaded before that is stored, for dst may be src. */
    __m256i m = _mm256_set1_epi32((int)m32), end = _mm256_set1_epi32((int)hft_text_turn_mask(m32, len));
    __m256i last = _mm256_xor_si256(load(src + len - 32), end);
    size_t i = 0;
    for (; i + 128 <= len; i += 128) {
        mask_vector(dst + i, src + i, m);
        mask_vector(dst + i + 32, src + i + 32, m);
        mask_vector(dst + i + 64, src + i + 64, m);
        mask_vector(dst + i + 96, src + i + 96, m);
    }
    for (; i + 32 <= len; i += 32) mask_vector(dst + i, src + i, m);
    store(dst + len - 32, last);
}

const hft_text_kernels hft_text_avx2 = {
    hex_encode, hex_decode, base64_encode, base64_decode, utf8_valid, hft_text_has_all_avx2, hft_text_mask_avx2,
};
