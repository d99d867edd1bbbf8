/* The portable bodies of the text module's kernels. */
#include "text_kernels.h"

#define BYTES(b) (UINT64_C(0x0101010101010101) * (b))

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The values of digits, with a bit above them that says that it is one. */
enum { HEX_DIGIT = 16, BASE64_DIGIT = 64 };

static const uint8_t hex_values[256] = {
    ['0'] = 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, ['A'] = 26, 27, 28, 29, 30, 31, ['a'] = 26, 27, 28, 29, 30, 31,
};

static const uint8_t base64_values[256] = {
    ['A'] = 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89,
    ['a'] = 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112,
    113, 114, 115, ['0'] = 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, ['+'] = 126, ['/'] = 127,
};

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

static void hex_encode(char *out, const void *data, size_t len) {
    const uint8_t *in = data;
    size_t i = 0;
    for (; i + 4 <= len; i += 4) hft_store_le64(out + 2 * i, hex_word(hft_load_le32(in + i)));
    for (; i < len; i++) hft_store_le16(out + 2 * i, (uint16_t)hex_word(in[i]));
}

static int hex_decode(uint8_t *out, const char *text, size_t len) {
    unsigned all = HEX_DIGIT;
    for (size_t i = 0; i < len; i += 2) {
        unsigned high = hex_values[(uint8_t)text[i]], low = hex_values[(uint8_t)text[i + 1]];
        all &= high & low;
        out[i / 2] = (uint8_t)((high << 4) + low - HEX_DIGIT);
    }
    return all != 0 ? (int)(len / 2) : HFT_E_TEXT_DIGIT;
}

/* ---- base64 ---- */

static size_t base64_encode(char *out, const void *data, size_t len) {
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

/* Four digits to 24 bits; what is no digit clears *all. */
static inline unsigned base64_word(unsigned *all, const char digits[4]) {
    unsigned a = base64_values[(uint8_t)digits[0]], b = base64_values[(uint8_t)digits[1]];
    unsigned c = base64_values[(uint8_t)digits[2]], d = base64_values[(uint8_t)digits[3]];
    *all &= a & b & c & d;
    return (a << 18) + (b << 12) + (c << 6) + d - BASE64_DIGIT * (1u << 18 | 1u << 12 | 1u << 6 | 1u);
}

static int base64_decode(uint8_t *out, const char *text, size_t len) {
    if (len == 0) return 0;
    unsigned all = BASE64_DIGIT;
    uint8_t *o = out;
    for (; len > 4; len -= 4, text += 4, o += 3) {
        unsigned v = base64_word(&all, text);
        o[0] = (uint8_t)(v >> 16);
        o[1] = (uint8_t)(v >> 8);
        o[2] = (uint8_t)v;
    }
    unsigned pad = text[3] != '=' ? 0 : text[2] != '=' ? 1 : 2;
    char last[4] = {text[0], text[1], pad < 2 ? text[2] : 'A', pad < 1 ? text[3] : 'A'};
    unsigned v = base64_word(&all, last);
    /* Bits behind the last byte must be zero, or two texts would mean the same bytes. */
    if (all == 0 || (v & ((1u << 8 * pad) - 1)) != 0) return HFT_E_TEXT_DIGIT;
    for (unsigned k = 0; k < 3 - pad; k++) *o++ = (uint8_t)(v >> (16 - 8 * k));
    return (int)(o - out);
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

static int utf8_valid(const void *data, size_t len) {
    const uint8_t *p = data;
    size_t i = 0;
    while (i < len) {
        while (i + 32 <= len) { /* messages are nearly always ASCII throughout */
            uint64_t any = hft_load_le64(p + i) | hft_load_le64(p + i + 8) | hft_load_le64(p + i + 16) |
                           hft_load_le64(p + i + 24);
            if ((any & BYTES(0x80)) != 0) break;
            i += 32;
        }
        while (i + 8 <= len && (hft_load_le64(p + i) & BYTES(0x80)) == 0) i += 8;
        if (i == len) break;
        size_t step = utf8_sequence(p + i, len - i);
        if (step == 0) return 0;
        i += step;
    }
    return 1;
}

/* ---- sets of characters ---- */

static int has_all(const hft_charset *set, const char *text, size_t len) {
    int all = 1;
    for (size_t i = 0; i < len; i++) all &= hft_charset_has(set, (uint8_t)text[i]);
    return all;
}

/* ---- masking ---- */

typedef uint8_t vec __attribute__((vector_size(16)));

static void mask(uint8_t *dst, const uint8_t *src, size_t len, uint32_t m32) {
    uint64_t m64 = (uint64_t)m32 << 32 | m32;
    uint8_t repeated[16];
    hft_store_le64(repeated, m64);
    hft_store_le64(repeated + 8, m64);
    vec m, a, b;
    memcpy(&m, repeated, 16);
    size_t i = 0;
    for (; i + 32 <= len; i += 32) {
        memcpy(&a, src + i, 16);
        memcpy(&b, src + i + 16, 16);
        a ^= m;
        b ^= m;
        memcpy(dst + i, &a, 16);
        memcpy(dst + i + 16, &b, 16);
    }
    hft_text_mask_short(dst + i, src + i, len - i, m32);
}

const hft_text_kernels hft_text_portable = {
    hex_encode, hex_decode, base64_encode, base64_decode, utf8_valid, has_all, mask,
};
