#include "hft/text.h"

#include <limits.h>

#include "hft/endian.h"

#define BYTES(b) (UINT64_C(0x0101010101010101) * (b))

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static const char hex_digits[] = "0123456789abcdef";

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

/* ---- JSON ---- */

/* High bit of each byte of the word that a JSON string cannot hold as it is; bits of others may be set above one. */
static uint64_t json_special(uint64_t word) {
    uint64_t quote = word ^ BYTES('"'), backslash = word ^ BYTES('\\');
    uint64_t below = (word - BYTES(0x20)) & ~word;
    return (below | ((quote - BYTES(1)) & ~quote) | ((backslash - BYTES(1)) & ~backslash)) & BYTES(0x80);
}

static char json_short_escape(uint8_t c) {
    switch (c) {
    case '"': return '"';
    case '\\': return '\\';
    case '\b': return 'b';
    case '\f': return 'f';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    default: return 0;
    }
}

/* Writes one character; returns its length. */
static size_t json_put(char *out, size_t room, uint8_t c) {
    char escape = json_short_escape(c);
    size_t len = escape != 0 ? 2 : c < 0x20 ? 6 : 1;
    if (len > room) return 0;
    if (len == 1) {
        out[0] = (char)c;
    } else if (len == 2) {
        out[0] = '\\';
        out[1] = escape;
    } else {
        memcpy(out, "\\u00", 4);
        out[4] = hex_digits[c >> 4];
        out[5] = hex_digits[c & 15];
    }
    return len;
}

int hft_json_escape(char *out, size_t cap, const char *text, size_t len) {
    if (!hft_utf8_valid(text, len)) return HFT_E_TEXT_UTF8;
    if (cap > INT_MAX) cap = INT_MAX;
    size_t i = 0, o = 0;
    while (i < len) {
        while (i + 8 <= len && o + 8 <= cap && json_special(hft_load_le64(text + i)) == 0) {
            memcpy(out + o, text + i, 8);
            i += 8;
            o += 8;
        }
        if (i == len) break;
        size_t put = json_put(out + o, cap - o, (uint8_t)text[i]);
        if (put == 0) return HFT_E_CAPACITY;
        i++;
        o += put;
    }
    return (int)o;
}
