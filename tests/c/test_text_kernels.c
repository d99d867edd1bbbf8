/* Hex, base64, UTF-8 and masking with every kernel of this machine, against plain code, in buffers that end, or begin,
 * where no memory is. */
#include "check.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <hft/cpu.h>

#include "../../hftcore/libhft/src/text_kernels.h"

enum { LONGEST = 300, ROOM = 4096 };

/* A page of memory between two that may not be touched. */
static uint8_t *make_page(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *p = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + page, page, PROT_READ | PROT_WRITE) != 0 || page < ROOM) abort();
    return p + page;
}

static uint8_t *pages[2];

/* len bytes of page i that end at its end, or begin at its beginning. */
static uint8_t *place(int i, size_t len, int at_end) {
    return at_end ? pages[i] + sysconf(_SC_PAGESIZE) - len : pages[i];
}

static uint32_t random_state = 1;

static uint8_t random_byte(void) {
    random_state = random_state * 1664525 + 1013904223;
    return (uint8_t)(random_state >> 24);
}

/* ---- plain code ---- */

static const char HEX[] = "0123456789abcdef";
static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* By character; -1 = no digit. */
static int hex_value[256], base64_value[256];

static void make_tables(void) {
    for (int c = 0; c < 256; c++) hex_value[c] = base64_value[c] = -1;
    for (int i = 0; i < 16; i++) hex_value[(uint8_t)HEX[i]] = i;
    for (int i = 10; i < 16; i++) hex_value[HEX[i] - 'a' + 'A'] = i;
    for (int i = 0; i < 64; i++) base64_value[(uint8_t)BASE64[i]] = i;
}

static int plain_hex_decode(uint8_t *out, const char *text, size_t len) {
    if (len % 2 != 0) return HFT_E_TEXT_LENGTH;
    for (size_t i = 0; i < len; i++) {
        int v = hex_value[(uint8_t)text[i]];
        if (v < 0) return HFT_E_TEXT_DIGIT;
        out[i / 2] = (uint8_t)(i % 2 == 0 ? v << 4 : out[i / 2] | v);
    }
    return (int)(len / 2);
}

/* Bit by bit. */
static size_t plain_base64_encode(char *out, const uint8_t *data, size_t len) {
    size_t n = 0;
    for (size_t bit = 0; bit < 8 * len; bit += 6) {
        unsigned v = 0;
        for (size_t k = bit; k < bit + 6; k++)
            v = v << 1 | (k < 8 * len ? (unsigned)data[k / 8] >> (7 - k % 8) & 1 : 0);
        out[n++] = BASE64[v];
    }
    while (n % 4 != 0) out[n++] = '=';
    return n;
}

static int plain_base64_decode(uint8_t *out, const char *text, size_t len) {
    if (len % 4 != 0) return HFT_E_TEXT_LENGTH;
    size_t digits = len;
    unsigned bits = 0, held = 0;
    uint8_t *o = out;
    while (digits > 0 && len - digits < 2 && text[digits - 1] == '=') digits--;
    for (size_t i = 0; i < digits; i++) {
        int v = base64_value[(uint8_t)text[i]];
        if (v < 0) return HFT_E_TEXT_DIGIT;
        held = held << 6 | (unsigned)v;
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        *o++ = (uint8_t)(held >> bits);
        held &= (1u << bits) - 1;
    }
    return held != 0 ? HFT_E_TEXT_DIGIT : (int)(o - out);
}

/* By code points alone (RFC 3629). */
static int plain_utf8(const uint8_t *p, size_t len) {
    size_t more;
    for (size_t i = 0; i < len; i += more + 1) {
        uint32_t c = p[i], least;
        more = 0;
        if (c < 0x80) continue;
        if ((c & 0xe0) == 0xc0) c &= 0x1f, more = 1, least = 0x80;
        else if ((c & 0xf0) == 0xe0) c &= 0x0f, more = 2, least = 0x800;
        else if ((c & 0xf8) == 0xf0) c &= 0x07, more = 3, least = 0x10000;
        else return 0;
        if (more >= len - i) return 0;
        for (size_t k = 1; k <= more; k++) {
            if ((p[i + k] & 0xc0) != 0x80) return 0;
            c = c << 6 | (p[i + k] & 0x3fu);
        }
        if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) return 0;
    }
    return 1;
}

/* ---- hex ---- */

/* Every length, at both ends of the memory. */
static void test_hex_lengths(void) {
    for (size_t len = 0; len <= LONGEST; len++) {
        for (int at_end = 0; at_end <= 1; at_end++) {
            uint8_t *data = place(0, len, at_end);
            char *text = (char *)place(1, 2 * len, at_end), expected[2 * LONGEST];
            for (size_t i = 0; i < len; i++) {
                data[i] = random_byte();
                expected[2 * i] = HEX[data[i] >> 4];
                expected[2 * i + 1] = HEX[data[i] & 15];
            }
            hft_hex_encode(text, data, len);
            CHECK_MEM(text, expected, 2 * len);
            memset(data, 0, len);
            for (size_t i = 0; i < len; i++) text[i] = (char)(text[i] >= 'a' ? text[i] - 32 : text[i]);
            CHECK_EQ(hft_hex_decode(data, text, 2 * len), len);
            uint8_t back[LONGEST];
            CHECK_EQ(plain_hex_decode(back, text, 2 * len), len);
            CHECK_MEM(data, back, len);
        }
        char odd[2 * LONGEST + 1];
        uint8_t out[LONGEST];
        memset(odd, '0', sizeof odd);
        CHECK_EQ(hft_hex_decode(out, odd, 2 * len + 1), HFT_E_TEXT_LENGTH);
    }
}

/* Every byte at every place of texts of every length. */
static void test_hex_digits(void) {
    for (size_t len = 2; len <= 134; len += 2) {
        char *text = (char *)place(0, len, 1);
        uint8_t *out = place(1, len / 2, 1), expected[67];
        for (size_t i = 0; i < len; i++) text[i] = HEX[random_byte() & 15];
        for (size_t i = 0; i < len; i++) {
            char right = text[i];
            for (int c = 0; c < 256; c++) {
                text[i] = (char)c;
                int rc = plain_hex_decode(expected, text, len);
                CHECK_EQ(hft_hex_decode(out, text, len), rc);
                if (rc > 0) CHECK_MEM(out, expected, len / 2);
            }
            text[i] = right;
        }
    }
}

/* ---- base64 ---- */

static void test_base64_lengths(void) {
    for (size_t len = 0; len <= LONGEST; len++) {
        for (int at_end = 0; at_end <= 1; at_end++) {
            size_t size = (len + 2) / 3 * 4;
            uint8_t *data = place(0, len, at_end), original[LONGEST];
            char *text = (char *)place(1, size, at_end), expected[LONGEST / 3 * 4 + 4];
            for (size_t i = 0; i < len; i++) original[i] = data[i] = random_byte();
            CHECK_EQ(hft_base64_encode(text, data, len), size);
            CHECK_EQ(plain_base64_encode(expected, data, len), size);
            CHECK_MEM(text, expected, size);
            memset(data, 0, len);
            CHECK_EQ(hft_base64_decode(data, text, size), len);
            CHECK_MEM(data, original, len);
        }
        char text[LONGEST];
        uint8_t out[LONGEST];
        memset(text, 'A', sizeof text);
        if (len % 4 != 0) CHECK_EQ(hft_base64_decode(out, text, len), HFT_E_TEXT_LENGTH);
    }
}

/* Every byte at every place of texts of every length, with no padding, one and two. */
static void test_base64_digits(void) {
    for (size_t len = 1; len <= 100; len++) {
        uint8_t data[100], expected[102];
        for (size_t i = 0; i < len; i++) data[i] = random_byte();
        size_t size = (len + 2) / 3 * 4;
        char *text = (char *)place(0, size, 1);
        uint8_t *out;
        plain_base64_encode(text, data, len);
        for (size_t i = 0; i < size; i++) {
            char right = text[i];
            for (int c = 0; c < 256; c++) {
                text[i] = (char)c;
                int rc = plain_base64_decode(expected, text, size);
                out = place(1, size / 4 * 3 - (text[size - 1] != '=' ? 0 : text[size - 2] != '=' ? 1 : 2), 1);
                CHECK_EQ(hft_base64_decode(out, text, size), rc);
                if (rc > 0) CHECK_MEM(out, expected, (size_t)rc);
            }
            text[i] = right;
        }
    }
}

/* Every text of four characters of which three are edges, the whole of it and behind others. */
static void test_base64_last_four(void) {
    static const char edge[] = {'A', 'B', 'P', 'Q', 'Z', 'a', 'g', 'w', 'z', '0', '9', '+', '/', '=', '-', '\n', 0, -1};
    enum { N = sizeof edge };
    for (size_t before = 0; before <= 64; before += 32) {
        char *text = (char *)place(0, before + 4, 1);
        uint8_t *out = place(1, before / 4 * 3 + 3, 1), expected[LONGEST];
        memset(text, 'x', before);
        for (size_t code = 0; code < N * N * N * N; code++) {
            char *t = text + before;
            for (size_t i = 0, rest = code; i < 4; i++, rest /= N) t[i] = edge[rest % N];
            int rc = plain_base64_decode(expected, text, before + 4);
            if (hft_base64_decode(out, text, before + 4) != rc) CHECK_MEM(t, "another verdict", 4);
            else if (rc > 0) CHECK_MEM(out, expected, (size_t)rc);
        }
    }
}

/* ---- UTF-8 ---- */

static void check_utf8(const uint8_t *text, size_t len, const uint8_t *shown) {
    if (hft_utf8_valid(text, len) != plain_utf8(text, len)) CHECK_MEM(shown, "another verdict", 4);
}

/* Every sequence of three bytes that does not begin with ASCII, across the borders of vectors; behind it is a
 * continuation, or ASCII. The plain verdicts are kept, a bit each, for the next kernel. */
static void test_utf8_sequences(void) {
    static const struct {
        size_t at, len;
        uint8_t fourth;
    } places[] = {{30, 34, 'a'}, {61, 65, 0xbf}, {62, 96, 'a'}};
    static uint8_t verdicts[2][1 << 21];
    static int known;
    for (uint32_t code = 0x800000; !known && code < 0x1000000; code++) {
        uint8_t t[4] = {(uint8_t)(code >> 16), (uint8_t)(code >> 8), (uint8_t)code, 'a'};
        if (plain_utf8(t, 4)) verdicts[0][code / 8] |= (uint8_t)(1u << code % 8);
        t[3] = 0xbf;
        if (plain_utf8(t, 4)) verdicts[1][code / 8] |= (uint8_t)(1u << code % 8);
    }
    known = 1;
    for (size_t k = 0; k < sizeof places / sizeof places[0]; k++) {
        uint8_t *text = place(0, places[k].len, 0), *t = text + places[k].at;
        memset(text, 'a', places[k].len);
        t[3] = places[k].fourth;
        const uint8_t *expected = verdicts[t[3] != 'a'];
        for (uint32_t code = 0x800000; code < 0x1000000; code++) {
            t[0] = (uint8_t)(code >> 16), t[1] = (uint8_t)(code >> 8), t[2] = (uint8_t)code;
            if (hft_utf8_valid(text, places[k].len) != (expected[code / 8] >> code % 8 & 1))
                CHECK_MEM(t, "another verdict", 4);
        }
    }
}

static size_t put_random_char(uint8_t *out) {
    uint32_t c = (uint32_t)random_byte() << 16 | (uint32_t)random_byte() << 8 | random_byte();
    switch (random_byte() % 4) {
    case 0: out[0] = c & 0x7f; return 1;
    case 1: c = 0x80 + c % 0x780; break;
    case 2: c = 0x800 + c % 0xd000; break;
    default: c = 0x10000 + c % 0x100000; break;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xc0 | c >> 6), out[1] = 0x80 | (c & 0x3f);
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xe0 | c >> 12), out[1] = 0x80 | (c >> 6 & 0x3f), out[2] = 0x80 | (c & 0x3f);
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | c >> 18), out[1] = 0x80 | (c >> 12 & 0x3f), out[2] = 0x80 | (c >> 6 & 0x3f);
    out[3] = 0x80 | (c & 0x3f);
    return 4;
}

/* Long texts: valid ones, cut at every place, and with one byte changed at every place. */
static void test_utf8_texts(void) {
    for (int round = 0; round < 60; round++) {
        uint8_t text[LONGEST + 4];
        size_t len = 0;
        while (len < LONGEST) { /* with stretches of ASCII, so that blocks of all kinds follow each other */
            if (round % 3 != 0 && random_byte() < 40)
                for (size_t n = random_byte() % 90u; n > 0 && len < LONGEST; n--) text[len++] = 'a';
            else
                len += put_random_char(text + len);
        }
        CHECK(hft_utf8_valid(text, len));
        for (size_t cut = 0; cut <= len; cut++) {
            uint8_t *copy = place(0, cut, 1);
            memcpy(copy, text, cut);
            check_utf8(copy, cut, text);
            copy = place(0, cut, 0);
            memcpy(copy, text + len - cut, cut);
            check_utf8(copy, cut, text);
        }
        for (size_t i = 0; i < len; i++) {
            uint8_t right = text[i];
            for (unsigned bit = 0; bit < 9; bit++) {
                text[i] = (uint8_t)(bit < 8 ? right ^ 1u << bit : random_byte());
                check_utf8(text, len, text + i);
            }
            text[i] = right;
        }
    }
}

/* A sequence with vectors of ASCII in its midst, at every place. */
static void test_utf8_interrupted(void) {
    static const char *const sequences[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x92\xb6"};
    for (size_t k = 0; k < 3; k++) {
        size_t len = strlen(sequences[k]);
        for (size_t at = 0; at < 130; at++) {
            for (size_t cut = 0; cut <= len; cut++) {
                for (size_t between = 0; between <= 128; between += 32) {
                    uint8_t *text = place(0, at + len + between, 1);
                    memset(text, 'a', at + len + between);
                    memcpy(text + at, sequences[k], cut);
                    memcpy(text + at + cut + between, sequences[k] + cut, len - cut);
                    int whole = cut == 0 || cut == len || between == 0;
                    CHECK_EQ(hft_utf8_valid(text, at + len + between), whole);
                }
            }
        }
    }
}

/* ---- sets of characters ---- */

static int plain_has_all(const hft_charset *set, const uint8_t *text, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (text[i] > 127 || (set->bits[text[i] % 16] & 1 << text[i] / 16) == 0) return 0;
    return 1;
}

/* Each byte at each place of each length, with a set of half of the characters. */
static void test_charset(void) {
    hft_charset set;
    for (size_t i = 0; i < sizeof set.bits; i++) set.bits[i] = random_byte();
    set.bits[5] |= 1 << 5; /* 'U' */
    for (size_t len = 0; len <= 70; len++)
        for (int at_end = 0; at_end < 2; at_end++) {
            uint8_t *text = place(0, len, at_end);
            memset(text, 'U', len);
            CHECK_EQ(hft_charset_has_all(&set, (char *)text, len), 1);
            for (size_t i = 0; i < len; i++) {
                for (unsigned c = 0; c < 256; c++) {
                    text[i] = (uint8_t)c;
                    if (hft_charset_has_all(&set, (char *)text, len) != plain_has_all(&set, text, len)) {
                        CHECK_EQ(c, 256);
                        return;
                    }
                }
                text[i] = 'U';
            }
        }
}

/* ---- masking ---- */

static void test_mask(void) {
    for (size_t len = 0; len <= LONGEST; len++) {
        for (size_t shift = 0; shift < 66; shift++) {
            /* shift 0 and 65: at the page's beginning and end; between, every alignment */
            size_t room = shift < 65 ? (size_t)sysconf(_SC_PAGESIZE) - shift : len;
            uint8_t *data = place(0, room, 1), *copy = place(1, room, 1), expected[LONGEST];
            uint8_t key[4] = {random_byte(), random_byte(), random_byte(), random_byte()};
            uint8_t around[2] = {0x11, 0x22};
            if (shift > 0 && shift < 65) data[-1] = copy[-1] = around[0];
            if (room > len) data[len] = copy[len] = around[1];
            for (size_t i = 0; i < len; i++) {
                data[i] = (uint8_t)(7 * i + shift);
                expected[i] = data[i] ^ key[i % 4];
            }
            hft_text_mask(copy, data, len, key);
            CHECK_MEM(copy, expected, len);
            hft_text_mask(data, data, len, key);
            CHECK_MEM(data, expected, len);
            if (shift > 0 && shift < 65) CHECK(data[-1] == around[0] && copy[-1] == around[0]);
            if (room > len) CHECK(data[len] == around[1] && copy[len] == around[1]);
        }
    }
}

/* A kernel that is wrong in one function is refused. */
static int wrong_hex_decode(uint8_t *out, const char *text, size_t len) {
    int rc = hft_text_portable.hex_decode(out, text, len);
    return rc < 0 ? (int)(len / 2) : rc;
}
static void wrong_hex_encode(char *out, const void *data, size_t len) {
    hft_text_portable.hex_encode(out, data, len);
    if (len == 32) out[63] = 'A';
}
static size_t wrong_base64_encode(char *out, const void *data, size_t len) {
    return hft_text_portable.base64_encode(out, data, len) + (len == 47);
}
static int wrong_base64_decode(uint8_t *out, const char *text, size_t len) {
    int rc = hft_text_portable.base64_decode(out, text, len);
    if (rc > 32) out[rc - 1] ^= 1;
    return rc;
}
static int wrong_utf8_valid(const void *data, size_t len) { return len != 0 && data != NULL; }
static void wrong_mask(uint8_t *dst, const uint8_t *src, size_t len, uint32_t mask) {
    hft_text_portable.mask(dst, src, len, mask);
    if (len > 64) dst[len - 1] ^= 1;
}
static int wrong_has_all(const hft_charset *set, const char *text, size_t len) {
    return hft_text_portable.has_all(set, text, len < 64 ? len : 64);
}

static void test_self_test(void) {
    enum { WRONG = 7 };
    hft_text_kernels k[WRONG];
    for (size_t i = 0; i < WRONG; i++) k[i] = hft_text_portable;
    CHECK_EQ(hft_text_select(&k[0]), HFT_OK);
    k[0].hex_encode = wrong_hex_encode;
    k[1].hex_decode = wrong_hex_decode;
    k[2].base64_encode = wrong_base64_encode;
    k[3].base64_decode = wrong_base64_decode;
    k[4].utf8_valid = wrong_utf8_valid;
    k[5].mask = wrong_mask;
    k[6].has_all = wrong_has_all;
    CHECK_EQ(hft_text_select(&hft_text_portable), HFT_OK);
    for (size_t i = 0; i < WRONG; i++) CHECK_EQ(hft_text_select(&k[i]), HFT_E_SELF_TEST);
}

static void test_kernels(const hft_text_kernels *kernels) {
    CHECK_EQ(hft_text_select(kernels), HFT_OK);
    test_hex_lengths();
    test_hex_digits();
    test_base64_lengths();
    test_base64_digits();
    test_base64_last_four();
    test_utf8_sequences();
    test_utf8_texts();
    test_utf8_interrupted();
    test_charset();
    test_mask();
}

int main(void) {
    pages[0] = make_page();
    pages[1] = make_page();
    make_tables();
    test_kernels(&hft_text_portable);
#if defined(__x86_64__)
    if (hft_cpu_features() & HFT_CPU_AVX2) test_kernels(&hft_text_avx2);
    if (hft_cpu_features() & HFT_CPU_VBMI) test_kernels(&hft_text_avx512);
#endif
    test_self_test();
    return check_done();
}
