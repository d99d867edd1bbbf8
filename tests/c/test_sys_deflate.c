/* permessage-deflate: the examples of RFC 7692, the rules of its negotiation, limits, memory. */
#include "check.h"

#include <stdlib.h>
#include <unistd.h>

#include <hft/deflate.h>

#define NAME "permessage-deflate"

/* ASan's run-time library calls it at every allocation; gcc has no header for it. */
__attribute__((visibility("default"))) void __sanitizer_malloc_hook(const volatile void *ptr, size_t len);

static const hft_deflate_params whole = {0, 0, 15, 15};

static hft_deflate *open_deflate(hft_deflate_params agreed, hft_ws_role role, int level) {
    hft_deflate *d;
    hft_err err = {0};
    CHECK_EQ(hft_deflate_open(&d, &agreed, role, level, &err), 0);
    return d;
}

/* Into room of exactly `cap` bytes. */
static int decompress(hft_deflate *d, uint8_t *out, size_t cap, size_t *out_len, const void *in, size_t len) {
    uint8_t *exact = malloc(cap != 0 ? cap : 1), *copy = malloc(len != 0 ? len : 1);
    memcpy(copy, in, len);
    int rc = hft_deflate_decompress(d, cap != 0 ? exact : NULL, cap, out_len, copy, len);
    memcpy(out, exact, *out_len);
    free(exact);
    free(copy);
    return rc;
}

static void check_message(hft_deflate *d, const void *payload, size_t len, const char *expected) {
    uint8_t out[100];
    size_t out_len;
    CHECK_EQ(decompress(d, out, strlen(expected), &out_len, payload, len), 0); /* just enough room is enough */
    CHECK_EQ(out_len, strlen(expected));
    CHECK_MEM(out, expected, out_len);
}

#define MESSAGE(d, payload, expected) check_message(d, payload, sizeof payload - 1, expected)

/* Section 7.2.3. */
static void test_examples(void) {
    hft_deflate *d = open_deflate(whole, HFT_WS_CLIENT, 6);
    MESSAGE(d, "\xf2\x48\xcd\xc9\xc9\x07\x00", "Hello");
    MESSAGE(d, "\xf2\x00\x11\x00\x00", "Hello"); /* from the window */
    MESSAGE(d, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello");
    MESSAGE(d, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello"); /* BFINAL */
    MESSAGE(d, "\xf2\x00\x11\x00\x00", "Hello");             /* the window outlives it */
    MESSAGE(d, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello");
    MESSAGE(d, "\x00", "");
    MESSAGE(d, "", "");
    MESSAGE(d, "\xf3\x48\xcd\xc9\xc9\x07\x00", "Hello"); /* a final block that fills the payload needs no padding */
    MESSAGE(d, "\x03\x00\x03\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x03\x00\x00", "Hello");
    MESSAGE(d, "\xf2\x00\x11\x00\x00", "Hello");
    hft_deflate_close(d);
}

static void test_our_examples(void) {
    hft_deflate *d = open_deflate(whole, HFT_WS_CLIENT, 6);
    uint8_t out[64];
    size_t len;
    static const char *const expected[] = {"\xf2\x48\xcd\xc9\xc9\x07\x00", "\xf2\x00\x11\x00\x00"};
    static const size_t lens[] = {7, 5};
    for (size_t i = 0; i < 2; i++) {
        CHECK_EQ(hft_deflate_compress(d, out, sizeof out, &len, (const uint8_t *)"Hello", 5), 0);
        CHECK_EQ(len, lens[i]);
        CHECK_MEM(out, expected[i], len);
    }
    for (size_t i = 0; i < 2; i++) { /* empty messages, one after another */
        CHECK_EQ(hft_deflate_compress(d, out, 1, &len, NULL, 0), 0);
        CHECK_EQ(len, 1);
        CHECK_EQ(out[0], 0);
    }
    CHECK_EQ(hft_deflate_compress(d, out, 0, &len, NULL, 0), HFT_E_CAPACITY);
    hft_deflate_close(d);
}

static void check_bad(const void *payload, size_t len) {
    hft_deflate *d = open_deflate(whole, HFT_WS_CLIENT, 6);
    uint8_t out[100];
    size_t out_len;
    int rc = decompress(d, out, sizeof out, &out_len, payload, len);
    CHECK_EQ(rc, HFT_E_WS_DEFLATE);
    if (rc != HFT_E_WS_DEFLATE) fprintf(stderr, "    %zu bytes, the first %02x\n", len, ((const uint8_t *)payload)[0]);
    CHECK_EQ(out_len, 0);
    CHECK_EQ(decompress(d, out, sizeof out, &out_len, "\x00", 1), HFT_E_WS_DEFLATE); /* stays failed */
    hft_deflate_close(d);
}

static void test_bad_data(void) {
#define BAD(payload) check_bad(payload, sizeof payload - 1)
    BAD("\x06");                                 /* block type 3 */
    BAD("\x07\x00");                             /* the same, final */
    BAD("\x00\x05\x00\xfb\xff\x48\x65\x6c\x6c\x6f\x00"); /* length and its complement differ */
    BAD("\xf2\x00\x11\x00\x00");                 /* reaches back before the first byte */
    BAD("\x02\x02\x00\x00");                     /* by one */
    BAD("\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff"); /* the tail is not sent: it would leave a block begun */
    BAD("\xf3\x48\xcd\xc9\xc9\x07\x00\x00\x00"); /* two bytes of padding */
    static const char one[] = "\xf2\x48\xcd\xc9\xc9\x07\x00", final[] = "\xf3\x48\xcd\xc9\xc9\x07\x00";
    static const char stored[] = "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00";
    for (size_t len = 1; len < sizeof one - 1; len++) check_bad(one, len);
    for (size_t len = 1; len < sizeof final - 1; len++) check_bad(final, len);
    for (size_t len = 2; len < sizeof stored - 2; len++) check_bad(stored, len);
}

static void test_limit(void) {
    enum { LEN = 100000 };
    uint8_t *message = calloc(LEN, 1), *out = malloc(LEN), *payload = malloc(LEN);
    size_t payload_len, out_len;
    hft_deflate *server = open_deflate(whole, HFT_WS_SERVER, 9);
    CHECK_EQ(hft_deflate_compress(server, payload, LEN, &payload_len, message, LEN), 0);
    CHECK(payload_len < 200);
    static const size_t caps[] = {0, 1, 257, LEN - 1};
    for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++) {
        hft_deflate *d = open_deflate(whole, HFT_WS_CLIENT, 6);
        CHECK_EQ(decompress(d, out, caps[i], &out_len, payload, payload_len), HFT_E_WS_TOO_LARGE);
        CHECK_EQ(out_len, 0);
        CHECK_EQ(decompress(d, out, LEN, &out_len, "\x00", 1), HFT_E_WS_TOO_LARGE);
        hft_deflate_close(d);
    }
    hft_deflate *d = open_deflate(whole, HFT_WS_CLIENT, 6);
    CHECK_EQ(decompress(d, out, LEN, &out_len, payload, payload_len), 0);
    CHECK_EQ(out_len, LEN);
    CHECK_MEM(out, message, LEN);
    MESSAGE(d, "\x00", ""); /* with room for nothing */
    hft_deflate_close(d);
    hft_deflate_close(server);
    free(message);
    free(out);
    free(payload);
}

/* A message for which there was no room is not referred to by the next one. */
static void test_no_room(void) {
    hft_deflate *client = open_deflate(whole, HFT_WS_CLIENT, 6), *server = open_deflate(whole, HFT_WS_SERVER, 6);
    uint8_t message[400], out[600], plain[400];
    size_t len, out_len;
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof message; i++) {
        state = state * 1664525 + 1013904223;
        message[i] = (uint8_t)('a' + (state >> 24) % 26);
    }
    for (size_t cap = 0; cap < 250; cap++)
        CHECK_EQ(hft_deflate_compress(client, out, cap, &len, message, sizeof message), HFT_E_CAPACITY);
    CHECK_EQ(hft_deflate_compress(client, out, sizeof out, &len, message, sizeof message), 0);
    CHECK_EQ(decompress(server, plain, sizeof plain, &out_len, out, len), 0);
    CHECK_EQ(out_len, sizeof message);
    CHECK_MEM(plain, message, sizeof message);
    /* The bound is enough for it, and little more than enough. */
    CHECK(hft_deflate_bound(client, sizeof message) >= len + 4 && hft_deflate_bound(client, sizeof message) < 500);
    hft_deflate_close(client);
    hft_deflate_close(server);
}

/* The length of the second of two equal messages. */
static size_t again_len(hft_deflate_params agreed, hft_ws_role role, const uint8_t *message, size_t len) {
    hft_deflate *d = open_deflate(agreed, role, 6);
    uint8_t out[1000];
    size_t out_len = 0;
    for (int i = 0; i < 2; i++)
        CHECK_EQ(hft_deflate_compress(d, out, sizeof out, &out_len, message, len), 0);
    hft_deflate_close(d);
    return out_len;
}

/* What decompressing the second of them comes to, where the compressor has the whole window. */
static int again_read(hft_deflate_params agreed, hft_ws_role role, const uint8_t *message, size_t len) {
    hft_deflate *d = open_deflate(agreed, role, 6), *peer = open_deflate(whole, HFT_WS_CLIENT, 6);
    uint8_t payload[1000], out[1000];
    size_t payload_len, out_len;
    int rc = 0;
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(rc, 0);
        CHECK_EQ(hft_deflate_compress(peer, payload, sizeof payload, &payload_len, message, len), 0);
        rc = decompress(d, out, sizeof out, &out_len, payload, payload_len);
    }
    hft_deflate_close(d);
    hft_deflate_close(peer);
    return rc;
}

/* Each side's parameters are for what that side sends. */
static void test_roles(void) {
    const hft_deflate_params alone = {0, 1, 15, 15}, narrow = {0, 0, 9, 15};
    uint8_t message[600];
    uint32_t state = 3;
    for (size_t i = 0; i < sizeof message; i++) {
        state = state * 1664525 + 1013904223;
        message[i] = (uint8_t)(state >> 24);
    }
    CHECK(again_len(alone, HFT_WS_CLIENT, message, sizeof message) < 50);
    CHECK(again_len(alone, HFT_WS_SERVER, message, sizeof message) >= sizeof message);
    CHECK_EQ(again_read(alone, HFT_WS_CLIENT, message, sizeof message), HFT_E_WS_DEFLATE);
    CHECK_EQ(again_read(alone, HFT_WS_SERVER, message, sizeof message), 0);
    CHECK(again_len(narrow, HFT_WS_CLIENT, message, sizeof message) >= sizeof message);
    CHECK(again_len(narrow, HFT_WS_SERVER, message, sizeof message) < 50);
    CHECK_EQ(again_read(narrow, HFT_WS_CLIENT, message, sizeof message), 0);
    CHECK_EQ(again_read(narrow, HFT_WS_SERVER, message, sizeof message), HFT_E_WS_DEFLATE);
}

/* A window of 8 bits is never exceeded: what is farther away than one byte is not referred to. */
static void test_runs_alone(void) {
    hft_deflate *d = open_deflate((hft_deflate_params){0, 0, 8, 15}, HFT_WS_CLIENT, 9);
    uint8_t message[1000], out[1200];
    size_t len;
    memset(message, 'a', sizeof message);
    CHECK_EQ(hft_deflate_compress(d, out, sizeof out, &len, message, sizeof message), 0);
    CHECK(len < 30);
    for (size_t i = 0; i < sizeof message; i++) message[i] = (uint8_t)('a' + i % 2);
    CHECK_EQ(hft_deflate_compress(d, out, sizeof out, &len, message, sizeof message), 0);
    CHECK(len > sizeof message / 8);
    hft_deflate_close(d);
}

/* ---- negotiation ---- */

static void check_offer(hft_deflate_params wanted, const char *expected) {
    char out[HFT_DEFLATE_VALUE_MAX];
    int len = hft_deflate_offer(out, sizeof out, &wanted);
    CHECK_EQ(len, strlen(expected));
    CHECK_STR(out, expected);
    for (int cap = 0; cap <= len; cap++) {
        char *exact = malloc((size_t)cap + 1);
        CHECK_EQ(hft_deflate_offer(exact, (size_t)cap, &wanted), HFT_E_CAPACITY);
        free(exact);
    }
}

static void test_offers(void) {
    check_offer((hft_deflate_params){0, 0, 0, 0}, NAME);
    check_offer((hft_deflate_params){0, 0, 15, 0}, NAME "; client_max_window_bits");
    check_offer((hft_deflate_params){0, 0, 9, 15}, NAME "; server_max_window_bits=15; client_max_window_bits=9");
    check_offer((hft_deflate_params){1, 0, 0, 8}, NAME "; client_no_context_takeover; server_max_window_bits=8");
    check_offer((hft_deflate_params){1, 1, 14, 10}, NAME "; server_no_context_takeover; client_no_context_takeover"
                                                         "; server_max_window_bits=10; client_max_window_bits=14");
    char out[HFT_DEFLATE_VALUE_MAX];
    static const hft_deflate_params wrong[] = {{0, 0, 7, 0}, {0, 0, 16, 0}, {0, 0, 0, 1}, {0, 0, 0, 255}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        hft_deflate *d;
        CHECK_EQ(hft_deflate_offer(out, sizeof out, &wrong[i]), HFT_E_ARGUMENT);
        CHECK_EQ(hft_deflate_open(&d, &wrong[i], HFT_WS_CLIENT, 6, NULL), HFT_E_ARGUMENT);
        CHECK_EQ(hft_deflate_answer(out, sizeof out, &(hft_deflate_params){0}, &wrong[i], NAME, strlen(NAME)),
                 HFT_E_ARGUMENT);
    }
    hft_deflate *d;
    CHECK_EQ(hft_deflate_open(&d, &whole, HFT_WS_CLIENT, -1, NULL), HFT_E_ARGUMENT);
    CHECK_EQ(hft_deflate_open(&d, &whole, HFT_WS_CLIENT, 10, NULL), HFT_E_ARGUMENT);
    CHECK(d == NULL);
}

static int agree(hft_deflate_params *agreed, hft_deflate_params offered, const char *value, hft_err *err) {
    size_t len = strlen(value);
    char *copy = malloc(len != 0 ? len : 1);
    memcpy(copy, value, len);
    int rc = hft_deflate_agree(agreed, &offered, copy, len, err);
    free(copy);
    return rc;
}

static void check_agreed(hft_deflate_params offered, const char *value, hft_deflate_params expected) {
    hft_deflate_params agreed;
    hft_err err = {0};
    CHECK_EQ(agree(&agreed, offered, value, &err), 0);
    CHECK_MEM(&agreed, &expected, sizeof agreed);
    CHECK_STR(err.text, "");
}

static void check_not_agreed(hft_deflate_params offered, const char *value, const char *why) {
    hft_deflate_params agreed;
    hft_err err = {0};
    int rc = agree(&agreed, offered, value, &err);
    CHECK_EQ(rc, HFT_E_HTTP_EXTENSION);
    if (rc == 0) fprintf(stderr, "    value: %s\n", value);
    CHECK_EQ(err.code, HFT_E_HTTP_EXTENSION);
    if (strstr(err.text, why) != err.text) fprintf(stderr, "    %s\n", err.text);
    CHECK(strstr(err.text, why) == err.text);
}

static void test_agreed(void) {
    const hft_deflate_params none = {0, 0, 0, 0}, any = {0, 0, 15, 0};
    check_agreed(none, NAME, whole);
    check_agreed(any, " " NAME " ", whole);
    check_agreed(any, NAME "; client_max_window_bits=9", (hft_deflate_params){0, 0, 9, 15});
    check_agreed(any, NAME ";client_max_window_bits = \"1\\0\"", (hft_deflate_params){0, 0, 10, 15});
    check_agreed(none, NAME "; server_max_window_bits=8", (hft_deflate_params){0, 0, 15, 8});
    check_agreed(none, NAME "; server_no_context_takeover", (hft_deflate_params){0, 1, 15, 15});
    check_agreed(none, NAME "; client_no_context_takeover", (hft_deflate_params){1, 0, 15, 15});
    check_agreed((hft_deflate_params){1, 1, 12, 11},
                 NAME "; server_no_context_takeover; server_max_window_bits=11; client_max_window_bits=12",
                 (hft_deflate_params){1, 1, 12, 11});
    check_agreed((hft_deflate_params){1, 0, 12, 11}, NAME "; server_max_window_bits=10",
                 (hft_deflate_params){1, 0, 12, 10}); /* what our offer said of us holds, also where it has no answer */
}

static void test_not_agreed(void) {
    const hft_deflate_params none = {0, 0, 0, 0}, any = {0, 0, 15, 0};
    check_not_agreed(any, "", "malformed: ");
    check_not_agreed(any, NAME ";", "malformed: ");
    check_not_agreed(any, NAME ", ;", "malformed: ");
    check_not_agreed(any, NAME "; client_max_window_bits=", "malformed: ");
    check_not_agreed(any, NAME "; client_max_window_bits=\"\n", "malformed: " NAME "; client_max_window_bits=\"?");
    check_not_agreed(any, "permessage-bzip2", "another extension: ");
    check_not_agreed(any, "Permessage-deflate", "another extension: ");
    check_not_agreed(any, NAME "s", "another extension: ");
    check_not_agreed(any, NAME ", " NAME, "more than one extension: ");
    check_not_agreed(any, NAME ", x", "more than one extension: ");
    check_not_agreed(any, NAME ", x;", "malformed: ");
    check_not_agreed(any, "x; server_no_context_takeover", "another extension: ");
    check_not_agreed(any, NAME "; window=9; server_no_context_takeover", "unknown parameter: ");
    check_not_agreed(any, NAME "; window=9", "unknown parameter: ");
    check_not_agreed(any, NAME "; Server_no_context_takeover", "unknown parameter: ");
    check_not_agreed(any, NAME "; server_no_context_takeover; server_no_context_takeover", "parameter twice: ");
    check_not_agreed(any, NAME "; client_no_context_takeover; client_no_context_takeover", "parameter twice: ");
    check_not_agreed(any, NAME "; client_max_window_bits=9; client_max_window_bits=9", "parameter twice: ");
    check_not_agreed(any, NAME "; server_max_window_bits=9; server_max_window_bits=9", "parameter twice: ");
    check_not_agreed(any, NAME "; server_no_context_takeover=1", "parameter with a value: ");
    check_not_agreed(any, NAME "; client_no_context_takeover=true", "parameter with a value: ");
    static const char *const bits[] = {"", "=7", "=16", "=08", "=0", "=15x", "=-9", "=+9", "=1.5", "=265", "=\"9\\9\"",
                                       "=4294967305", "=18446744073709551625"};
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        char value[100];
        snprintf(value, sizeof value, NAME "; client_max_window_bits%s", bits[i]);
        check_not_agreed(any, value, "window bits not 8 to 15: ");
        snprintf(value, sizeof value, NAME "; server_max_window_bits%s", bits[i]);
        check_not_agreed(any, value, "window bits not 8 to 15: ");
    }
    check_not_agreed(none, NAME "; client_max_window_bits=15", "client_max_window_bits not offered: ");
    check_not_agreed((hft_deflate_params){0, 0, 12, 0}, NAME "; client_max_window_bits=13",
                     "client_max_window_bits over the offer: ");
    check_not_agreed((hft_deflate_params){0, 0, 0, 12}, NAME "; server_max_window_bits=13",
                     "server_max_window_bits over the offer: ");
    check_not_agreed((hft_deflate_params){0, 0, 0, 15}, NAME, "server_max_window_bits not granted: ");
    check_not_agreed((hft_deflate_params){0, 1, 0, 0}, NAME "; client_no_context_takeover",
                     "server_no_context_takeover not granted: ");
    CHECK_EQ(hft_deflate_agree(&(hft_deflate_params){0}, &none, "x", 1, NULL), HFT_E_HTTP_EXTENSION);
}

static void check_answer(hft_deflate_params own, const char *offers, const char *expected, hft_deflate_params both) {
    char out[HFT_DEFLATE_VALUE_MAX] = "";
    hft_deflate_params agreed;
    CHECK_EQ(hft_deflate_answer(out, sizeof out, &agreed, &own, offers, strlen(offers)), strlen(expected));
    CHECK_STR(out, expected);
    if (expected[0] != '\0') CHECK_MEM(&agreed, &both, sizeof agreed);
}

static void test_answers(void) {
    const hft_deflate_params none = {0, 0, 0, 0}, small = {1, 1, 10, 11};
    check_answer(none, NAME, NAME, whole);
    check_answer(none, NAME "; client_max_window_bits", NAME, whole);
    check_answer(none, NAME "; client_max_window_bits=12", NAME, (hft_deflate_params){0, 0, 12, 15});
    check_answer(none, NAME "; server_max_window_bits=15", NAME "; server_max_window_bits=15", whole);
    check_answer(none, NAME "; server_max_window_bits=8; server_no_context_takeover; client_no_context_takeover",
                 NAME "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=8",
                 (hft_deflate_params){1, 1, 15, 8});
    check_answer(small, NAME,
                 NAME "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11",
                 (hft_deflate_params){1, 1, 15, 11});
    check_answer(small, NAME "; client_max_window_bits; server_max_window_bits=9",
                 NAME "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9"
                      "; client_max_window_bits=10", (hft_deflate_params){1, 1, 10, 9});
    /* The first that will do. */
    check_answer(none, "x; y, " NAME "; z, " NAME "; server_max_window_bits, " NAME "; server_max_window_bits=9, " NAME,
                 NAME "; server_max_window_bits=9", (hft_deflate_params){0, 0, 15, 9});
    check_answer(none, "", "", whole);
    check_answer(none, "x-webkit-deflate-frame", "", whole);
    check_answer(none, NAME "; client_max_window_bits=7", "", whole);
    check_answer(none, NAME "; client_no_context_takeover=1", "", whole);
    check_answer(none, NAME "; client_max_window_bits; client_max_window_bits", "", whole);
    char out[HFT_DEFLATE_VALUE_MAX];
    hft_deflate_params agreed;
    CHECK_EQ(hft_deflate_answer(out, sizeof out, &agreed, &none, "x;", 2), HFT_E_HTTP_SYNTAX);
    CHECK_EQ(hft_deflate_answer(out, sizeof out, &agreed, &none, NAME ";", strlen(NAME) + 1), HFT_E_HTTP_SYNTAX);
    CHECK_EQ(hft_deflate_answer(out, strlen(NAME), &agreed, &none, NAME, strlen(NAME)), HFT_E_CAPACITY);
}

/* ---- memory ---- */

static volatile size_t allocations; /* gcc takes it that malloc changes nothing that it can see */

void __sanitizer_malloc_hook(const volatile void *ptr, size_t len) {
    (void)ptr;
    (void)len;
    allocations++;
}

static size_t pages_mapped(void) {
    size_t total = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL) CHECK_EQ(fscanf(file, "%zu", &total), 1);
    if (file != NULL) fclose(file);
    return total;
}

/* From open to close zlib allocates nothing, whatever it is asked to do. */
static void test_memory(void) {
    enum { LEN = 200000 };
    uint8_t *message = malloc(LEN), *payload = malloc(LEN + LEN / 8 + 100), *out = malloc(LEN);
    uint32_t state = 7;
    for (size_t i = 0; i < LEN; i++) {
        state = state * 1664525 + 1013904223;
        message[i] = (uint8_t)(i < LEN / 2 ? state >> 30 : state >> 24);
    }
    for (uint8_t bits = 8; bits <= 15; bits++) {
        for (int level = 0; level <= 9; level += 3) {
            hft_deflate_params params = {bits % 2, level % 2 != 0, bits, bits};
            allocations = 0;
            hft_deflate *client, *server;
            CHECK_EQ(hft_deflate_open(&client, &params, HFT_WS_CLIENT, level, NULL), 0);
            CHECK_EQ(hft_deflate_open(&server, &params, HFT_WS_SERVER, level, NULL), 0);
            for (size_t len = 1; len <= LEN; len *= 8) {
                size_t payload_len, out_len;
                size_t bound = hft_deflate_bound(client, len);
                CHECK(bound <= LEN + LEN / 8 + 100);
                CHECK_EQ(hft_deflate_compress(client, payload, bound, &payload_len, message, len), 0);
                CHECK_EQ(hft_deflate_decompress(server, out, len, &out_len, payload, payload_len), 0);
                CHECK_EQ(out_len, len);
                CHECK_MEM(out, message, len);
            }
            CHECK_EQ(allocations, 0);
            CHECK(hft_deflate_size(client) > 20000 && hft_deflate_size(client) < (bits < 10 ? 60000 : 400000));
            CHECK_EQ(hft_deflate_size(client) % (size_t)sysconf(_SC_PAGESIZE), 0);
            hft_deflate_close(client);
            hft_deflate_close(server);
        }
    }
    free(message);
    CHECK_EQ(allocations, 0);
    allocations = 0;
    void *volatile one = malloc(1); /* the count counts */
    free(one);
    CHECK_EQ(allocations, 1);
    free(payload);
    free(out);
}

static void test_memory_is_given_back(void) {
    size_t before = 0;
    for (int i = 0; i < 200; i++) {
        if (i == 20) before = pages_mapped();
        hft_deflate_close(open_deflate(whole, HFT_WS_CLIENT, 6));
    }
    CHECK(pages_mapped() < before + 1000); /* 180 of them left behind would be 10,000 */
    hft_deflate_close(NULL);
}

int main(void) {
    test_examples();
    test_our_examples();
    test_bad_data();
    test_limit();
    test_no_room();
    test_roles();
    test_runs_alone();
    test_offers();
    test_agreed();
    test_not_agreed();
    test_answers();
    test_memory_is_given_back();
    test_memory();
    return check_done();
}
