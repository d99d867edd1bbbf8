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
    test_utf8();
    return check_done();
}
