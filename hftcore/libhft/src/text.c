#include "hft/text.h"

#include <limits.h>

#include "hft/endian.h"

#define BYTES(b) (UINT64_C(0x0101010101010101) * (b))

static const uint64_t pow10[20] = {
    UINT64_C(1),
    UINT64_C(10),
    UINT64_C(100),
    UINT64_C(1000),
    UINT64_C(10000),
    UINT64_C(100000),
    UINT64_C(1000000),
    UINT64_C(10000000),
    UINT64_C(100000000),
    UINT64_C(1000000000),
    UINT64_C(10000000000),
    UINT64_C(100000000000),
    UINT64_C(1000000000000),
    UINT64_C(10000000000000),
    UINT64_C(100000000000000),
    UINT64_C(1000000000000000),
    UINT64_C(10000000000000000),
    UINT64_C(100000000000000000),
    UINT64_C(1000000000000000000),
    UINT64_C(10000000000000000000),
};

static const char digit_pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int is_digit(char c) { return c >= '0' && c <= '9'; }

/* ---- hex ---- */

/* Eight digits at a time: nibbles are spread over the bytes of a word, and those above 9 get the distance to 'a'. */
static uint64_t hex_word(uint32_t four_bytes) {
    uint64_t v = four_bytes;
    v = (v | v << 16) & UINT64_C(0x0000ffff0000ffff);
    v = (v | v << 8) & UINT64_C(0x00ff00ff00ff00ff);
    uint64_t nibbles = (v >> 4 & UINT64_C(0x000f000f000f000f)) | (v & UINT64_C(0x000f000f000f000f)) << 8;
    uint64_t letters = (nibbles + BYTES(6)) >> 4 & BYTES(1);
    return nibbles + BYTES('0') + letters * ('a' - '0' - 10);
}

void hft_hex_encode(char *out, const void *data, size_t len) {
    const uint8_t *in = data;
    size_t i = 0;
    for (; i + 4 <= len; i += 4) hft_store_le64(out + 2 * i, hex_word(hft_load_le32(in + i)));
    for (; i < len; i++) hft_store_le16(out + 2 * i, (uint16_t)hex_word(in[i]));
}

/* The value of a hex digit, or a value with high bits set. */
static unsigned hex_value(char c) {
    if (is_digit(c)) return (unsigned)(c - '0');
    unsigned letter = (unsigned)(c | 0x20) - 'a';
    return letter < 6 ? letter + 10 : 0x100;
}

int hft_hex_decode(uint8_t *out, const char *text, size_t len) {
    if (len % 2 != 0 || len / 2 > INT_MAX) return HFT_E_TEXT_LENGTH;
    for (size_t i = 0; i < len; i += 2) {
        unsigned value = hex_value(text[i]) << 4 | hex_value(text[i + 1]);
        if (value > 0xff) return HFT_E_TEXT_DIGIT;
        out[i / 2] = (uint8_t)value;
    }
    return (int)(len / 2);
}

/* ---- base64 ---- */

size_t hft_base64_encode(char *out, const void *data, size_t len) {
    const uint8_t *in = data;
    char *o = out;
    size_t i = 0;
    for (; i + 3 <= len; i += 3, o += 4) {
        unsigned v = (unsigned)in[i] << 16 | (unsigned)in[i + 1] << 8 | in[i + 2];
        o[0] = base64_digits[v >> 18];
        o[1] = base64_digits[v >> 12 & 63];
        o[2] = base64_digits[v >> 6 & 63];
        o[3] = base64_digits[v & 63];
    }
    if (i < len) {
        int two = i + 2 == len;
        unsigned v = (unsigned)in[i] << 16 | (two ? (unsigned)in[i + 1] << 8 : 0);
        o[0] = base64_digits[v >> 18];
        o[1] = base64_digits[v >> 12 & 63];
        o[2] = two ? base64_digits[v >> 6 & 63] : '=';
        o[3] = '=';
        o += 4;
    }
    return (size_t)(o - out);
}

/* The value of a base64 digit, or a value with high bits set. */
static unsigned base64_value(char c) {
    if (c >= 'A' && c <= 'Z') return (unsigned)(c - 'A');
    if (c >= 'a' && c <= 'z') return (unsigned)(c - 'a') + 26;
    if (is_digit(c)) return (unsigned)(c - '0') + 52;
    if (c == '+') return 62;
    return c == '/' ? 63 : 1u << 24;
}

int hft_base64_decode(uint8_t *out, const char *text, size_t len) {
    if (len % 4 != 0 || len / 4 > INT_MAX / 3) return HFT_E_TEXT_LENGTH;
    uint8_t *o = out;
    for (size_t i = 0; i < len; i += 4) {
        const char *t = text + i;
        unsigned pad = i + 4 < len || t[3] != '=' ? 0 : t[2] != '=' ? 1 : 2;
        unsigned v = base64_value(t[0]) << 18 | base64_value(t[1]) << 12;
        unsigned bad = (base64_value(t[0]) | base64_value(t[1])) >> 6;
        for (unsigned k = 2; k < 4 - pad; k++) {
            v |= base64_value(t[k]) << (18 - 6 * k);
            bad |= base64_value(t[k]) >> 6;
        }
        /* Bits behind the last byte must be zero, or two texts would mean the same bytes. */
        if (bad != 0 || (v & ((1u << 8 * pad) - 1)) != 0) return HFT_E_TEXT_DIGIT;
        for (unsigned k = 0; k < 3 - pad; k++) *o++ = (uint8_t)(v >> (16 - 8 * k));
    }
    return (int)(o - out);
}

/* ---- numbers ---- */

static unsigned count_digits(uint64_t value) {
    value |= 1; /* zero has one digit, and no power of ten above 1 is odd */
    unsigned bits = 64 - (unsigned)__builtin_clzll(value);
    unsigned guess = bits * 1233 >> 12; /* 1233 / 4096 is log10(2), rounded up */
    return guess + (value >= pow10[guess]);
}

void hft_u64_put_fixed(char *out, uint64_t value, unsigned digits) {
    for (; digits >= 2; digits -= 2, value /= 100) memcpy(out + digits - 2, digit_pairs + 2 * (value % 100), 2);
    if (digits != 0) out[0] = (char)('0' + value % 10);
}

size_t hft_u64_put(char *out, uint64_t value) {
    unsigned digits = count_digits(value);
    hft_u64_put_fixed(out, value, digits);
    return digits;
}

/* Appends a digit to *value. */
static int push_digit(uint64_t *value, char c) {
    if (!is_digit(c)) return HFT_E_TEXT_DIGIT;
    if (__builtin_mul_overflow(*value, UINT64_C(10), value)) return HFT_E_TEXT_OVERFLOW;
    if (__builtin_add_overflow(*value, (uint64_t)(c - '0'), value)) return HFT_E_TEXT_OVERFLOW;
    return 0;
}

int hft_u64_parse(uint64_t *out, const char *text, size_t len) {
    if (len == 0) return HFT_E_TEXT_LENGTH;
    if (text[0] == '0' && len > 1) return HFT_E_TEXT_DIGIT;
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++) {
        int rc = push_digit(&value, text[i]);
        if (rc < 0) return rc;
    }
    *out = value;
    return 0;
}

size_t hft_decimal_put(char *out, uint64_t value, unsigned scale, int trim) {
    uint64_t whole = value / pow10[scale];
    size_t len = hft_u64_put(out, whole);
    if (scale == 0) return len;
    out[len] = '.';
    hft_u64_put_fixed(out + len + 1, value - whole * pow10[scale], scale);
    len += 1 + scale;
    if (!trim) return len;
    while (out[len - 1] == '0') len--;
    return out[len - 1] == '.' ? len - 1 : len;
}

int hft_decimal_parse(uint64_t *out, const char *text, size_t len, unsigned scale) {
    if (len == 0) return HFT_E_TEXT_LENGTH;
    if (text[0] == '0' && len > 1 && text[1] != '.') return HFT_E_TEXT_DIGIT;
    uint64_t value = 0;
    size_t i = 0;
    for (; i < len && text[i] != '.'; i++) {
        int rc = push_digit(&value, text[i]);
        if (rc < 0) return rc;
    }
    if (i == 0 || i + 1 == len) return HFT_E_TEXT_DIGIT; /* a bare point */
    unsigned digits = 0; /* behind the point, up to scale */
    for (i++; i < len; i++) {
        if (!is_digit(text[i])) return HFT_E_TEXT_DIGIT;
        if (digits == scale) {
            if (text[i] != '0') return HFT_E_TEXT_PRECISION;
            continue;
        }
        int rc = push_digit(&value, text[i]);
        if (rc < 0) return rc;
        digits++;
    }
    if (__builtin_mul_overflow(value, pow10[scale - digits], &value)) return HFT_E_TEXT_OVERFLOW;
    *out = value;
    return 0;
}

/* ---- UTF-8 ---- */

/* Length of the well-formed sequence at p (table 3-7 of the Unicode standard), or 0. */
static size_t utf8_sequence(const uint8_t *p, size_t len) {
    uint8_t lead = p[0];
    size_t need = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (need == 1) return 1;
    if (lead < 0xc2 || lead > 0xf4 || len < need) return 0;
    /* The second byte's range excludes overlong forms, surrogates and code points above U+10FFFF. */
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < need; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return need;
}

int hft_utf8_valid(const void *data, size_t len) {
    const uint8_t *p = data;
    size_t i = 0;
    while (i < len) {
        while (i + 32 <= len) { /* messages are nearly always ASCII throughout */
            uint64_t any = hft_load_le64(p + i) | hft_load_le64(p + i + 8) | hft_load_le64(p + i + 16) |
                           hft_load_le64(p + i + 24);
            if ((any & BYTES(0x80)) != 0) break;
            i += 32;
        }
        if (i == len) break;
        size_t step = utf8_sequence(p + i, len - i);
        if (step == 0) return 0;
        i += step;
    }
    return 1;
}
