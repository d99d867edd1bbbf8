/* Text: what parses, prints back the same, within the room it was given; all kernels say the same. */
#include <stdlib.h>
#include <string.h>

#include <hft/cpu.h>
#include <hft/text.h>

#include "../../hftcore/libhft/src/text_kernels.h"

#define REQUIRE(cond) ((cond) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A buffer of exactly this size, so that the sanitizer sees what goes beyond it. */
static void *room(size_t size) {
    void *p = malloc(size != 0 ? size : 1);
    if (p == NULL) abort();
    return p;
}

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

/* Each eight bytes are a time, written with and without the digits of the one before. */
static void times(const uint8_t *data, size_t size) {
    hft_timestamp_cache cache = {0};
    for (; size >= 9; data += 9, size -= 9) {
        uint64_t ns, value, unit = 1;
        unsigned scale = data[8] % (HFT_SCALE_MAX + 1);
        char plain[HFT_U64_DIGITS_MAX], cached[HFT_U64_DIGITS_MAX], date[HFT_RFC3339_LEN_MAX];
        memcpy(&ns, data, 8);
        size_t len = hft_timestamp_put(NULL, plain, ns, scale);
        REQUIRE(hft_timestamp_put(&cache, cached, ns, scale) == len && memcmp(plain, cached, len) == 0);
        for (unsigned i = 0; i < scale; i++) unit *= 10;
        REQUIRE(hft_u64_parse(&value, plain, len) == 0 && value == ns / unit);
        unsigned digits = data[8] % 10;
        REQUIRE(hft_rfc3339_put(date, ns, digits) == 20 + (digits != 0 ? digits + 1 : 0));
        REQUIRE(memcmp(date, "1970", 4) >= 0 && memcmp(date, "2554", 4) <= 0 && date[10] == 'T' && date[5] <= '1');
    }
}

/* Taken back by a plain reader, it is the text again; and it fits exactly what it says. */
static void json(const char *text, size_t len) {
    char *most = room(HFT_JSON_ESCAPE_MAX * len), *exact;
    int size = hft_json_escape(most, HFT_JSON_ESCAPE_MAX * len, text, len);
    REQUIRE(size >= 0 ? hft_utf8_valid(text, len) : size == HFT_E_TEXT_UTF8);
    if (size > 0) {
        exact = room((size_t)size - 1);
        REQUIRE(hft_json_escape(exact, (size_t)size - 1, text, len) == HFT_E_CAPACITY);
        free(exact);
    }
    static const char letters[] = "\"\\bfnrt", meant[] = "\"\\\b\f\n\r\t";
    size_t n = 0;
    for (int i = 0; i < size; i++) {
        char c = most[i];
        REQUIRE((uint8_t)c >= 0x20 && c != '"');
        if (c == '\\') {
            const char *found = strchr(letters, most[++i]);
            if (found != NULL) c = meant[found - letters];
            else {
                uint8_t byte;
                REQUIRE(i + 5 <= size && memcmp(most + i, "u00", 3) == 0);
                REQUIRE(hft_hex_decode(&byte, most + i + 3, 2) == 1);
                c = (char)byte;
                i += 4;
            }
        }
        REQUIRE(n < len && text[n++] == c);
    }
    REQUIRE(size < 0 || n == len);
    free(most);
}

static void encodings(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    uint8_t *bytes = room(size);
    char *back = room(size + 4);
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

/* Both decoders on a text with at most one wrong character, and on the input as it is. */
static void decoders_agree(const hft_text_kernels *k, const char *hex, const char *base64, size_t n_hex,
                           size_t n_base64) {
    const hft_text_kernels *p = &hft_text_portable;
    uint8_t *ours = room(n_hex / 2), *plain = room(n_hex / 2);
    int rc = p->hex_decode(plain, hex, n_hex);
    REQUIRE(k->hex_decode(ours, hex, n_hex) == rc && (rc < 0 || memcmp(ours, plain, (size_t)rc) == 0));
    free(ours);
    free(plain);
    ours = room(n_base64 / 4 * 3);
    plain = room(n_base64 / 4 * 3);
    rc = p->base64_decode(plain, base64, n_base64);
    REQUIRE(k->base64_decode(ours, base64, n_base64) == rc && (rc < 0 || memcmp(ours, plain, (size_t)rc) == 0));
    free(ours);
    free(plain);
}

static void kernels_agree(const hft_text_kernels *k, const uint8_t *data, size_t size) {
    const hft_text_kernels *p = &hft_text_portable;
    size_t n_hex = 2 * size, n_base64 = (size + 2) / 3 * 4;
    char *hex[2] = {room(n_hex), room(n_hex)}, *base64[2] = {room(n_base64), room(n_base64)};
    k->hex_encode(hex[0], data, size);
    p->hex_encode(hex[1], data, size);
    REQUIRE(memcmp(hex[0], hex[1], n_hex) == 0);
    REQUIRE(k->base64_encode(base64[0], data, size) == n_base64);
    REQUIRE(p->base64_encode(base64[1], data, size) == n_base64 && memcmp(base64[0], base64[1], n_base64) == 0);
    decoders_agree(k, hex[0], base64[0], n_hex, n_base64);
    decoders_agree(k, (const char *)data, (const char *)data, size / 2 * 2, size / 4 * 4);
    if (size != 0) {
        hex[0][data[0] % n_hex] = (char)data[size - 1];
        base64[0][data[0] % n_base64] = (char)data[size - 1];
        decoders_agree(k, hex[0], base64[0], n_hex, n_base64);
    }
    REQUIRE(k->utf8_valid(data, size) == p->utf8_valid(data, size));
    k->mask((uint8_t *)hex[0], data, size, 0x89abcdef);
    p->mask((uint8_t *)hex[1], data, size, 0x89abcdef);
    REQUIRE(memcmp(hex[0], hex[1], size) == 0);
    k->mask((uint8_t *)hex[0], (uint8_t *)hex[0], size, 0x89abcdef);
    REQUIRE(memcmp(hex[0], data, size) == 0);
    for (int i = 0; i < 2; i++) {
        free(hex[i]);
        free(base64[i]);
    }
}

static void utf8(const uint8_t *data, size_t size) {
    int valid = hft_utf8_valid(data, size);
    uint8_t *shifted = room(size + 1);
    shifted[0] = 'a';
    memcpy(shifted + 1, data, size);
    REQUIRE(hft_utf8_valid(shifted, size + 1) == valid);
    free(shifted);
    hft_utf8_stream whole = {0}, pieces = {0};
    size_t good = hft_utf8_feed(&whole, data, size), cut = size != 0 ? data[0] % size : 0;
    REQUIRE(good <= size && (good == size && whole.due == 0) == valid);
    size_t found = hft_utf8_feed(&pieces, data, cut);
    if (found == cut) found += hft_utf8_feed(&pieces, data + cut, size - cut);
    REQUIRE(found == good && (good < size || pieces.due == whole.due));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint32_t features;
    if (features == 0) {
        features = hft_cpu_features() | 1u << 31;
        if (hft_init(NULL) < 0) abort();
    }
    integers((const char *)data, size);
    decimals((const char *)data, size);
    times(data, size);
    json((const char *)data, size);
    encodings(data, size);
    utf8(data, size);
#if defined(__x86_64__)
    if (features & HFT_CPU_AVX2) kernels_agree(&hft_text_avx2, data, size);
    if (features & HFT_CPU_VBMI) kernels_agree(&hft_text_avx512, data, size);
#endif
    return 0;
}
