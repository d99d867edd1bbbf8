/* Numbers, hex, base64, UTF-8: exact values at the edges. */
#include "check.h"

#include <hft/text.h>

static void test_hex(void) {
    const uint8_t bytes[] = {0x00, 0x01, 0x09, 0x0a, 0x0f, 0x10, 0x9a, 0xa9, 0xff};
    char text[18];
    hft_hex_encode(text, bytes, sizeof bytes);
    CHECK_MEM(text, "0001090a0f109aa9ff", 18);
    uint8_t back[9];
    CHECK_EQ(hft_hex_decode(back, text, 18), 9);
    CHECK_MEM(back, bytes, 9);
    CHECK_EQ(hft_hex_decode(back, "aBcDeF", 6), 3);
    CHECK_MEM(back, "\xab\xcd\xef", 3);
    CHECK_EQ(hft_hex_decode(back, "", 0), 0);
    CHECK_EQ(hft_hex_decode(back, "abc", 3), HFT_E_TEXT_LENGTH);
    for (int c = 0; c < 256; c++) {
        char pair[2] = {(char)c, '0'};
        int digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        CHECK_EQ(hft_hex_decode(back, pair, 2), digit ? 1 : HFT_E_TEXT_DIGIT);
        char reverse[2] = {'0', (char)c};
        CHECK_EQ(hft_hex_decode(back, reverse, 2), digit ? 1 : HFT_E_TEXT_DIGIT);
    }
}

static void test_base64(void) {
    /* RFC 4648 section 10 */
    static const char *const vectors[][2] = {
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const char *plain = vectors[i][0], *coded = vectors[i][1];
        char text[8];
        uint8_t back[6];
        CHECK_EQ(hft_base64_encode(text, plain, strlen(plain)), strlen(coded));
        CHECK_MEM(text, coded, strlen(coded));
        CHECK_EQ(hft_base64_decode(back, coded, strlen(coded)), strlen(plain));
        CHECK_MEM(back, plain, strlen(plain));
    }
    static const char *const wrong[] = {"Zg=", "Z", "Zg", "====", "Z===", "Zh==", "Zm9=", "Zg==Zg==", "Zm9v Zg==",
                                        "Zm9\n", "Zm-_", "=Zg=", "Zg=A", "Zm9vZg=a"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t back[9];
        CHECK(hft_base64_decode(back, wrong[i], strlen(wrong[i])) < 0);
    }
}

static void check_u64(uint64_t value, const char *expected) {
    char out[HFT_U64_DIGITS_MAX];
    size_t len = hft_u64_put(out, value);
    CHECK_EQ(len, strlen(expected));
    CHECK_MEM(out, expected, strlen(expected));
    uint64_t back = ~value;
    CHECK_EQ(hft_u64_parse(&back, expected, strlen(expected)), 0);
    CHECK_EQ(back, value);
}

static void test_u64(void) {
    check_u64(0, "0");
    check_u64(UINT64_MAX, "18446744073709551615");
    uint64_t power = 1;
    char nines[20], one[21] = "1";
    memset(nines, '9', sizeof nines);
    for (size_t digits = 1; digits <= 19; digits++) {
        check_u64(power, one);
        power *= 10;
        char text[21] = {0};
        memcpy(text, nines, digits);
        check_u64(power - 1, text);
        strcat(one, "0");
    }
    check_u64(power, one);
    char fixed[20];
    hft_u64_put_fixed(fixed, 42, 5);
    CHECK_MEM(fixed, "00042", 5);
    hft_u64_put_fixed(fixed, 7, 1);
    CHECK_MEM(fixed, "7", 1);
    hft_u64_put_fixed(fixed, UINT64_MAX, 20);
    CHECK_MEM(fixed, "18446744073709551615", 20);
    uint64_t v;
    CHECK_EQ(hft_u64_parse(&v, "", 0), HFT_E_TEXT_LENGTH);
    CHECK_EQ(hft_u64_parse(&v, "00", 2), HFT_E_TEXT_DIGIT);
    CHECK_EQ(hft_u64_parse(&v, "01", 2), HFT_E_TEXT_DIGIT);
    CHECK_EQ(hft_u64_parse(&v, "+1", 2), HFT_E_TEXT_DIGIT);
    CHECK_EQ(hft_u64_parse(&v, "1 ", 2), HFT_E_TEXT_DIGIT);
    CHECK_EQ(hft_u64_parse(&v, "1/", 2), HFT_E_TEXT_DIGIT);
    CHECK_EQ(hft_u64_parse(&v, "1:", 2), HFT_E_TEXT_DIGIT);
    CHECK_EQ(hft_u64_parse(&v, "18446744073709551616", 20), HFT_E_TEXT_OVERFLOW);
    CHECK_EQ(hft_u64_parse(&v, "18446744073709551620", 20), HFT_E_TEXT_OVERFLOW);
    CHECK_EQ(hft_u64_parse(&v, "100000000000000000000", 21), HFT_E_TEXT_OVERFLOW);
}

static void check_put(uint64_t value, unsigned scale, int trim, const char *expected) {
    char out[HFT_DECIMAL_LEN_MAX];
    CHECK_EQ(hft_decimal_put(out, value, scale, trim), strlen(expected));
    CHECK_MEM(out, expected, strlen(expected));
}

static void check_parse(const char *text, unsigned scale, int rc, uint64_t expected) {
    uint64_t value = expected;
    CHECK_EQ(hft_decimal_parse(&value, text, strlen(text), scale), rc);
    CHECK_EQ(value, expected);
}

static void test_decimal(void) {
    check_put(150, 2, 0, "1.50");
    check_put(150, 2, 1, "1.5");
    check_put(100, 2, 1, "1");
    check_put(1000, 0, 1, "1000"); /* zeros of an integer are not behind a point */
    check_put(0, 8, 0, "0.00000000");
    check_put(0, 8, 1, "0");
    check_put(1, 8, 0, "0.00000001");
    check_put(UINT64_MAX, 0, 0, "18446744073709551615");
    check_put(UINT64_MAX, 18, 0, "18.446744073709551615");
    check_put(1, 18, 1, "0.000000000000000001");
    /* The division by a power of ten at its edges, for each scale. */
    uint64_t power = 1;
    for (unsigned scale = 0; scale <= HFT_SCALE_MAX; scale++, power *= 10) {
        for (uint64_t k = 0; k < 2000; k++) {
            uint64_t base = k < 1000 ? k : UINT64_MAX / power - (k - 1000);
            if (base > UINT64_MAX / power) break;
            for (unsigned below = 0; below < 2; below++) {
                uint64_t value = base * power - below;
                if (base == 0 && below) continue;
                char expected[48], out[HFT_DECIMAL_LEN_MAX];
                int len = snprintf(expected, sizeof expected, "%" PRIu64, value / power);
                if (scale != 0) len += snprintf(expected + len, 24, ".%0*" PRIu64, (int)scale, value % power);
                CHECK_EQ(hft_decimal_put(out, value, scale, 0), len);
                CHECK_MEM(out, expected, (size_t)len);
            }
        }
    }

    check_parse("12", 2, 0, 1200);
    check_parse("12.5", 2, 0, 1250);
    check_parse("0.00000001", 8, 0, 1);
    check_parse("0", 8, 0, 0);
    check_parse("1.50000", 2, 0, 150);
    check_parse("1.0", 0, 0, 1);
    check_parse("18.446744073709551615", 18, 0, UINT64_MAX);
    check_parse("18.446744073709551616", 18, HFT_E_TEXT_OVERFLOW, 7);
    check_parse("19", 18, HFT_E_TEXT_OVERFLOW, 7);
    check_parse("99999999999999999999", 0, HFT_E_TEXT_OVERFLOW, 7);
    check_parse("1.501", 2, HFT_E_TEXT_PRECISION, 7);
    check_parse("", 2, HFT_E_TEXT_LENGTH, 7);
    static const char *const wrong[] = {".", ".5", "5.", "-1", "+1", "01", "00.1", "1e3", "1.2.3", "1,5", " 1", "1 ",
                                        "1.00x", "x", "1.-", "0x1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) check_parse(wrong[i], 2, HFT_E_TEXT_DIGIT, 7);
}

static void check_time(uint64_t ns, unsigned digits, const char *expected) {
    char out[HFT_RFC3339_LEN_MAX + 1];
    memset(out, '?', sizeof out);
    CHECK_EQ(hft_rfc3339_put(out, ns, digits), strlen(expected));
    CHECK_MEM(out, expected, strlen(expected));
    CHECK_EQ(out[strlen(expected)], '?');
}

static void test_rfc3339(void) {
    const uint64_t s = 1000000000;
    check_time(0, 0, "1970-01-01T00:00:00Z");
    check_time(1613888176532987654, 0, "2021-02-21T06:16:16Z");
    check_time(1613888176532987654, 1, "2021-02-21T06:16:16.5Z");
    check_time(1613888176532987654, 3, "2021-02-21T06:16:16.532Z");
    check_time(1613888176532987654, 6, "2021-02-21T06:16:16.532987Z");
    check_time(1613888176532987654, 9, "2021-02-21T06:16:16.532987654Z");
    check_time(951782399 * s + 999999999, 3, "2000-02-28T23:59:59.999Z"); /* 2000 is a leap year */
    check_time(951782400 * s, 0, "2000-02-29T00:00:00Z");
    check_time(951868800 * s, 0, "2000-03-01T00:00:00Z");
    check_time(4107542399 * s, 0, "2100-02-28T23:59:59Z"); /* and 2100 is not */
    check_time(4107542400 * s, 0, "2100-03-01T00:00:00Z");
    check_time(1735689599 * s, 0, "2024-12-31T23:59:59Z");
    check_time(1735689600 * s, 0, "2025-01-01T00:00:00Z");
    check_time(1, 9, "1970-01-01T00:00:00.000000001Z");
    check_time(UINT64_MAX, 9, "2554-07-21T23:34:33.709551615Z");
}

/* With one cache over all, in an order that takes it from scale to scale, and without. */
static void test_timestamp(void) {
    static const uint64_t times[] = {
        0, 1, 9999, 10000, 99999999999, 100000000000, 1613888176532987654, 1613888176532987655, 1613888176542987655,
        1613888179999999999, 1613888180000000000, 1613888180000000000, 999999999999999999, 9999999999999999999u,
        10000000000000000000u, UINT64_MAX, 5,
    };
    hft_timestamp_cache cache = {0};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        uint64_t unit = 1;
        for (unsigned scale = 0; scale <= HFT_SCALE_MAX; scale++, unit *= 10) {
            char expected[32], out[32];
            size_t len = (size_t)snprintf(expected, sizeof expected, "?%" PRIu64 "??", times[i] / unit) - 3;
            for (int cached = 0; cached <= 2; cached++) {
                memset(out, '?', sizeof out);
                CHECK_EQ(hft_timestamp_put(cached ? &cache : NULL, out + 1, times[i], scale), len);
                CHECK_MEM(out, expected, len + 3);
            }
        }
    }
}

static void check_escape(const char *text, size_t len, const char *expected) {
    char out[64];
    size_t size = strlen(expected);
    CHECK_EQ(hft_json_escape(out, sizeof out, text, len), size);
    CHECK_MEM(out, expected, size);
    for (size_t cap = 0; cap < size; cap++) {
        memset(out, '?', sizeof out);
        CHECK_EQ(hft_json_escape(out, cap, text, len), HFT_E_CAPACITY);
        CHECK_EQ(out[cap], '?');
    }
    CHECK_EQ(hft_json_escape(out, size, text, len), size);
}

static void test_json_escape(void) {
    check_escape("", 0, "");
    check_escape("plain text, of two words", 24, "plain text, of two words");
    check_escape("\"\\/\b\f\n\r\t", 8, "\\\"\\\\/\\b\\f\\n\\r\\t");
    check_escape("\0\x01\x1f\x7f", 4, "\\u0000\\u0001\\u001f\x7f");
    check_escape("1234567\x1f", 8, "1234567\\u001f");
    check_escape("\xc3\xa9\xe2\x82\xac\xf0\x9f\x92\xb6\"", 10, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x92\xb6\\\"");
    char out[8];
    CHECK_EQ(hft_json_escape(out, sizeof out, "a\x80", 2), HFT_E_TEXT_UTF8);
    CHECK_EQ(hft_json_escape(out, sizeof out, NULL, 0), 0);
    for (int c = 0; c < 0x80; c++) { /* each character at each place of a word */
        for (size_t place = 0; place < 16; place++) {
            char text[16], expected[24], escaped[24];
            size_t len = 0;
            memset(text, 'a', sizeof text);
            text[place] = (char)c;
            static const char two[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
            const char *found = c != 0 ? strchr(two, c) : NULL;
            memset(expected, 'a', sizeof expected);
            len = place;
            if (found != NULL) len += (size_t)sprintf(expected + place, "\\%c", letters[found - two]);
            else if (c < 0x20) len += (size_t)sprintf(expected + place, "\\u%04x", (unsigned)c);
            else expected[len++] = (char)c;
            expected[len] = 'a';
            CHECK_EQ(hft_json_escape(escaped, sizeof escaped, text, sizeof text), len + 15 - place);
            CHECK_MEM(escaped, expected, len + 15 - place);
        }
    }
}

/* Every sequence of up to four bytes drawn from the edges of the ranges of table 3-7 of the Unicode standard,
 * against a decoder that knows code points only. */
static int decodes(const uint8_t *p, size_t len) {
    size_t i = 0;
    while (i < len) {
        uint32_t c = p[i], least;
        size_t more;
        if (c < 0x80) {
            i++;
            continue;
        }
        if ((c & 0xe0) == 0xc0) {
            c &= 0x1f, more = 1, least = 0x80;
        } else if ((c & 0xf0) == 0xe0) {
            c &= 0x0f, more = 2, least = 0x800;
        } else if ((c & 0xf8) == 0xf0) {
            c &= 0x07, more = 3, least = 0x10000;
        } else {
            return 0;
        }
        if (i + more >= len) return 0;
        for (size_t k = 1; k <= more; k++) {
            if ((p[i + k] & 0xc0) != 0x80) return 0;
            c = c << 6 | (p[i + k] & 0x3fu);
        }
        if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) return 0;
        i += more + 1;
    }
    return 1;
}

static void test_utf8(void) {
    static const uint8_t edge[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1,
                                   0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xff};
    enum { N = sizeof edge };
    size_t total = N * N * N * N, valid = 0;
    for (size_t code = 0; code < total; code++) {
        uint8_t text[4] = {edge[code % N], edge[code / N % N], edge[code / N / N % N], edge[code / N / N / N]};
        int ok = decodes(text, 4);
        valid += (size_t)ok;
        if (hft_utf8_valid(text, 4) != ok) CHECK_MEM(text, "an expected verdict", 4);
    }
    CHECK(valid > 1000);
    /* A bad byte at every place of a long text, so that no stride of the fast path skips one. */
    uint8_t text[100];
    memset(text, 'a', sizeof text);
    for (size_t len = 0; len <= sizeof text; len++) {
        CHECK(hft_utf8_valid(text, len));
        for (size_t i = 0; i < len; i++) {
            text[i] = 0x80;
            CHECK(!hft_utf8_valid(text, len));
            text[i] = 'a';
        }
    }
    CHECK(hft_utf8_valid(NULL, 0));
}

int main(void) {
    test_hex();
    test_base64();
    test_u64();
    test_decimal();
    test_rfc3339();
    test_timestamp();
    test_json_escape();
    test_utf8();
    return check_done();
}
