/* Numbers, hex, base64: what parses, prints back the same; UTF-8: the verdict does not depend on alignment. */
#include <stdlib.h>
#include <string.h>

#include <hft/text.h>

#define REQUIRE(cond) ((cond) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void integers(const char *text, size_t len) {
    uint64_t value;
    char out[HFT_U64_DIGITS_MAX];
    if (hft_u64_parse(&value, text, len) < 0) return;
    REQUIRE(hft_u64_put(out, value) == len && memcmp(out, text, len) == 0);
}

static void decimals(const char *text, size_t len) {
    for (unsigned scale = 0; scale <= HFT_SCALE_MAX; scale++) {
        uint64_t value, back;
        char out[HFT_DECIMAL_LEN_MAX];
        if (hft_decimal_parse(&value, text, len, scale) < 0) continue;
        for (int trim = 0; trim <= 1; trim++) {
            size_t put = hft_decimal_put(out, value, scale, trim);
            REQUIRE(put <= sizeof out);
            REQUIRE(hft_decimal_parse(&back, out, put, scale) == 0 && back == value);
        }
    }
}

static void encodings(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    uint8_t *bytes = malloc(size + 1);
    char *back = malloc(size + 4);
    if (bytes == NULL || back == NULL) abort();
    int len = hft_base64_decode(bytes, text, size);
    if (len >= 0) REQUIRE(hft_base64_encode(back, bytes, (size_t)len) == size && memcmp(back, data, size) == 0);
    len = hft_hex_decode(bytes, text, size);
    if (len >= 0) {
        hft_hex_encode(back, bytes, (size_t)len);
        for (size_t i = 0; i < size; i++) REQUIRE(back[i] == (data[i] > '9' ? data[i] | 0x20 : data[i]));
    }
    free(bytes);
    free(back);
}

static void utf8(const uint8_t *data, size_t size) {
    int valid = hft_utf8_valid(data, size);
    uint8_t *shifted = malloc(size + 1);
    if (shifted == NULL) abort();
    shifted[0] = 'a';
    memcpy(shifted + 1, data, size);
    REQUIRE(hft_utf8_valid(shifted, size + 1) == valid);
    free(shifted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    integers((const char *)data, size);
    decimals((const char *)data, size);
    encodings(data, size);
    utf8(data, size);
    return 0;
}
