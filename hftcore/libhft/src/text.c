#include "hft/text.h"

#include <limits.h>

#include "text_kernels.h"

#define BYTES(b) (UINT64_C(0x0101010101010101) * (b))

static const hft_text_kernels *kernels_in_use = &hft_text_portable;

/* ---- hex, base64, sets of characters, UTF-8, masking: the kernels' work ---- */

void hft_hex_encode(char *out, const void *data, size_t len) { kernels_in_use->hex_encode(out, data, len); }

int hft_hex_decode(uint8_t *out, const char *text, size_t len) {
    if (len % 2 != 0 || len / 2 > INT_MAX) return HFT_E_TEXT_LENGTH;
    return kernels_in_use->hex_decode(out, text, len);
}

size_t hft_base64_encode(char *out, const void *data, size_t len) {
    return kernels_in_use->base64_encode(out, data, len);
}

int hft_base64_decode(uint8_t *out, const char *text, size_t len) {
    if (len % 4 != 0 || len / 4 > INT_MAX / 3) return HFT_E_TEXT_LENGTH;
    return kernels_in_use->base64_decode(out, text, len);
}

int hft_utf8_valid(const void *data, size_t len) { return kernels_in_use->utf8_valid(data, len); }

int hft_charset_has_all(const hft_charset *set, const char *text, size_t len) {
    return kernels_in_use->has_all(set, text, len);
}

void hft_text_mask(uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[4]) {
    if (len < HFT_TEXT_MASK_SHORT)
        hft_text_mask_short(dst, src, len, hft_load_le32(mask));
    else
        kernels_in_use->mask(dst, src, len, hft_load_le32(mask));
}

/* ---- UTF-8 in pieces ---- */

/* Whether the byte may come next, which it then has. */
static int utf8_step(hft_utf8_stream *s, uint8_t byte) {
    if (s->due != 0) {
        if (byte < s->low || byte > s->high) return 0;
        *s = (hft_utf8_stream){(uint8_t)(s->due - 1), 0x80, 0xbf};
        return 1;
    }
    if (byte < 0x80) return 1;
    if (byte < 0xc2 || byte > 0xf4) return 0;
    s->due = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    /* The second byte's range excludes overlong forms, surrogates and code points above U+10FFFF. */
    s->low = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
    s->high = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    return 1;
}

/* How many of the last bytes begin a sequence that they do not end. */
static size_t utf8_cut(const uint8_t *p, size_t len) {
    for (size_t n = 1; n <= 3 && n <= len; n++) {
        uint8_t byte = p[len - n];
        if (byte < 0x80) return 0;
        if (byte >= 0xc0) return n < (byte < 0xe0 ? 2u : byte < 0xf0 ? 3u : 4u) ? n : 0;
    }
    return 0;
}

size_t hft_utf8_feed(hft_utf8_stream *stream, const void *data, size_t len) {
    const uint8_t *p = data;
    size_t i = 0;
    for (; stream->due != 0 && i < len; i++)
        if (!utf8_step(stream, p[i])) return i;
    size_t whole = len - i - utf8_cut(p + i, len - i);
    if (kernels_in_use->utf8_valid(p + i, whole)) i += whole; /* else the place is looked for */
    while (i < len && utf8_step(stream, p[i])) i++;
    return i;
}

/* ---- the choice ---- */

enum { SAMPLE = 203 }; /* longer than three vectors of 64 bytes, and a multiple of nothing */

/* A-Z a-z 0-9 + / = */
static const hft_charset base64 = {{
    0xa8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf0, 0x54, 0x50, 0x58, 0x50, 0x54,
}};

/* Compares with the portable kernels at this length; both ways, and with one wrong character at `wrong`. */
static int agrees(const hft_text_kernels *k, const uint8_t *data, size_t len, size_t wrong) {
    const hft_text_kernels *p = &hft_text_portable;
    char text[2][2 * SAMPLE + 2] = {{0}};
    uint8_t back[SAMPLE + 2];
    k->hex_encode(text[0], data, len);
    p->hex_encode(text[1], data, len);
    if (memcmp(text[0], text[1], 2 * len) != 0) return 0;
    if (k->hex_decode(back, text[1], 2 * len) != (int)len || memcmp(back, data, len) != 0) return 0;
    text[1][wrong] = 'g';
    if (wrong < 2 * len && k->hex_decode(back, text[1], 2 * len) != HFT_E_TEXT_DIGIT) return 0;
    size_t size = k->base64_encode(text[0], data, len);
    if (size != p->base64_encode(text[1], data, len) || memcmp(text[0], text[1], size) != 0) return 0;
    if (k->base64_decode(back, text[1], size) != (int)len || memcmp(back, data, len) != 0) return 0;
    text[1][wrong] = '-';
    if (wrong < size && k->base64_decode(back, text[1], size) != HFT_E_TEXT_DIGIT) return 0;
    if (wrong < size && k->has_all(&base64, text[1], size)) return 0;
    text[1][wrong] = 'A';
    if (!k->has_all(&base64, text[1], size)) return 0;
    k->mask((uint8_t *)text[0], data, len, 0x89abcdef);
    p->mask((uint8_t *)text[1], data, len, 0x89abcdef);
    return memcmp(text[0], text[1], len) == 0;
}

/* Text of sequences of each length, whole and with each of its bytes spoilt. */
static int agrees_on_utf8(const hft_text_kernels *k) {
    static const char sample[] = "0123456789abcdef0123456789abcdef0123456789abcdef012345678 \u00e9 \u20ac \U0001f4b6 "
                                 "\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff0123456789abcdef0123456789abcdef";
    enum { LEN = sizeof sample - 1, FROM = 52, TO = 96 };
    char text[LEN];
    memcpy(text, sample, LEN);
    if (!k->utf8_valid(text, LEN)) return 0;
    for (size_t i = FROM; i < TO; i++) {
        text[i] ^= (char)0x80;
        if (k->utf8_valid(text, LEN) != hft_text_portable.utf8_valid(text, LEN)) return 0;
        text[i] = sample[i];
    }
    return 1;
}

static int self_test(const hft_text_kernels *k) {
    static const uint8_t lengths[] = {0, 1, 16, 31, 32, 47, 64, SAMPLE};
    uint8_t data[SAMPLE];
    for (size_t i = 0; i < SAMPLE; i++) data[i] = (uint8_t)(i * 167 + 13);
    for (size_t i = 0; i < sizeof lengths; i++)
        if (!agrees(k, data, lengths[i], 17 * i)) return HFT_E_SELF_TEST;
    return agrees_on_utf8(k) ? HFT_OK : HFT_E_SELF_TEST;
}

int hft_text_select(const hft_text_kernels *kernels) {
    int rc = kernels != &hft_text_portable ? self_test(kernels) : HFT_OK;
    if (rc == HFT_OK) kernels_in_use = kernels;
    return rc;
}

/* ---- JSON ---- */

/* High bit of each byte of the word that a JSON string cannot hold as it is; bits of others may be set above one. */
static uint64_t json_special(uint64_t word) {
    uint64_t quote = word ^ BYTES('"'), backslash = word ^ BYTES('\\');
    uint64_t below = (word - BYTES(0x20)) & ~word;
    return (below | ((quote - BYTES(1)) & ~quote) | ((backslash - BYTES(1)) & ~backslash)) & BYTES(0x80);
}

static const char hex_digits[] = "0123456789abcdef";

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
    if (c >= 0x20 && c != '"' && c != '\\') {
        if (room == 0) return 0;
        out[0] = (char)c;
        return 1;
    }
    char escape = json_short_escape(c);
    size_t len = escape != 0 ? 2 : 6;
    if (len > room) return 0;
    if (len == 2) {
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
    if (!kernels_in_use->utf8_valid(text, len)) return HFT_E_TEXT_UTF8;
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
