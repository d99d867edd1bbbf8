/* Order templates: building and its limits, filling and its errors, the official Binance signature. */
#include "check.h"

#include <hft/cpu.h>
#include <hft/order.h>
#include <hft/text.h>

static hft_order_template t;

static int add(const char *name, hft_order_slot_kind kind, unsigned scale, unsigned max_len) {
    hft_order_slot slot = {.kind = (uint8_t)kind, .scale = (uint8_t)scale, .max_len = (uint8_t)max_len,
                           .of = (uint8_t)t.n_slots};
    memcpy(slot.name, name, strlen(name) < sizeof slot.name ? strlen(name) + 1 : sizeof slot.name);
    if (kind == HFT_SLOT_TEXT) slot.allowed = hft_order_plain;
    return hft_order_add_slot(&t, &slot);
}

static int put(hft_order_text *text, const char *literal) {
    return hft_order_put_literal(text, literal, strlen(literal));
}

/* {"q":"<decimal>","id":"<text>","t":<timestamp>,"n":<uint>,"id2":"<text>","s":"<signature>"} */
enum { QUANTITY, CLIENT_ID, TIMESTAMP, NUMBER, SIGNATURE, N_SLOTS };

static void build(hft_order_slot_kind signature) {
    static const char *const names[] = {"quantity", "client_id", "timestamp", "number", "signature"};
    hft_order_init(&t);
    CHECK_EQ(add(names[0], HFT_SLOT_DECIMAL, 8, 0), QUANTITY);
    CHECK_EQ(add(names[1], HFT_SLOT_TEXT, 0, 36), CLIENT_ID);
    CHECK_EQ(add(names[2], HFT_SLOT_TIMESTAMP, 6, 0), TIMESTAMP);
    CHECK_EQ(add(names[3], HFT_SLOT_UINT, 0, 0), NUMBER);
    CHECK_EQ(add(names[4], signature, 0, 0), SIGNATURE);
    for (int i = 0; i < N_SLOTS; i++) CHECK_EQ(hft_order_find_slot(&t, names[i], strlen(names[i])), i);
    CHECK_EQ(put(&t.message, "{\"q\":\""), 0);
    CHECK_EQ(hft_order_put_slot(&t, &t.message, QUANTITY), 0);
    CHECK_EQ(put(&t.message, "\",\"id\":\""), 0);
    CHECK_EQ(hft_order_put_slot(&t, &t.message, CLIENT_ID), 0);
    CHECK_EQ(put(&t.message, "\",\"t\":"), 0);
    CHECK_EQ(hft_order_put_slot(&t, &t.message, TIMESTAMP), 0);
    CHECK_EQ(put(&t.message, ",\"n\":"), 0);
    CHECK_EQ(hft_order_put_slot(&t, &t.message, NUMBER), 0);
    CHECK_EQ(put(&t.message, ",\"id2\":\""), 0);
    CHECK_EQ(hft_order_put_slot(&t, &t.message, CLIENT_ID), 0);
    CHECK_EQ(put(&t.message, "\",\"s\":\""), 0);
    CHECK_EQ(hft_order_put_slot(&t, &t.message, SIGNATURE), 0);
    CHECK_EQ(put(&t.message, "\"}"), 0);
    /* 70 bytes of literal first, of which the prefix takes 64. */
    CHECK_EQ(put(&t.signed_text, "apiKey=vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A&i="), 0);
    CHECK_EQ(hft_order_put_slot(&t, &t.signed_text, CLIENT_ID), 0);
    CHECK_EQ(put(&t.signed_text, "&q="), 0);
    CHECK_EQ(hft_order_put_slot(&t, &t.signed_text, QUANTITY), 0);
    CHECK_EQ(put(&t.signed_text, "&t="), 0);
    CHECK_EQ(hft_order_put_slot(&t, &t.signed_text, TIMESTAMP), 0);
    CHECK_EQ(hft_order_seal(&t, "secret", 6), HFT_OK);
    CHECK_EQ(t.prefix.len, 64);
}

static hft_order_value values[HFT_ORDER_SLOTS_MAX];

static void set_values(uint64_t quantity, const char *client_id, uint64_t timestamp, uint64_t number) {
    memset(values, 0, sizeof values);
    values[QUANTITY].u64 = quantity;
    values[CLIENT_ID].text = client_id;
    values[CLIENT_ID].text_len = strlen(client_id);
    values[TIMESTAMP].u64 = timestamp;
    values[NUMBER].u64 = number;
}

/* What a fill must be, put together by snprintf and the plain HMAC. */
static void check_fill(const char *quantity, const char *client_id, const char *timestamp, const char *number) {
    char signature[65], expected[1000];
    uint8_t mac[32];
    hft_hmac_key key;
    int len = hft_order_fill(&t, values, NULL);
    int expected_len = snprintf(expected, sizeof expected,
        "apiKey=vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A&i=%s&q=%s&t=%s",
        client_id, quantity, timestamp);
    CHECK_EQ(t.signed_text.len, expected_len);
    CHECK_MEM(t.signed_text.image, expected, (size_t)expected_len);

    hft_hmac_key_init(&key, "secret", 6);
    hft_hmac_digest(mac, &key, expected, (size_t)expected_len);
    for (size_t i = 0; i < 32; i++) snprintf(signature + 2 * i, 3, "%02x", mac[i]);
    expected_len = snprintf(expected, sizeof expected,
        "{\"q\":\"%s\",\"id\":\"%s\",\"t\":%s,\"n\":%s,\"id2\":\"%s\",\"s\":\"%s\"}",
        quantity, client_id, timestamp, number, client_id, signature);
    CHECK_EQ(len, expected_len);
    CHECK_EQ(t.message.len, expected_len);
    CHECK_MEM(t.message.image, expected, (size_t)expected_len);
}

static void test_fill(void) {
    char client_id[37] = "";
    build(HFT_SLOT_SIGNATURE_HEX);
    set_values(1000000, "h1-000001", 1645423376532999999, 42);
    check_fill("0.01000000", "h1-000001", "1645423376532", "42");
    set_values(0, "x", 0, 0);
    check_fill("0.00000000", "x", "0", "0");
    memset(client_id, 'Z', 36);
    set_values(UINT64_MAX, client_id, UINT64_MAX, UINT64_MAX);
    check_fill("184467440737.09551615", client_id, "18446744073709", "18446744073709551615");
    CHECK_EQ(t.message.len, t.message_max);
    for (size_t len = 1; len <= 36; len++) { /* every length of the signed text's tail */
        client_id[len] = '\0';
        set_values(1, client_id, 1000000, 1);
        check_fill("0.00000001", client_id, "1", "1");
        client_id[len] = 'Z';
    }
}

/* Values that change one at a time, in width or not: the texts are patched or laid out anew, and always right. */
static void test_patching(void) {
    static const char *const ids[] = {"h1", "h2", "h345678901234567", "h3456789012345678",
                                      "abcdefghijklmnopqrstuvwxyz0123456789", "9876543210ZYXWVUTSRQPONMLKJIHGFEDCBA"};
    uint64_t quantity = 5, timestamp = 1645423376532000000, number = 9;
    build(HFT_SLOT_SIGNATURE_HEX);
    set_values(0, "x", 0, 0);
    check_fill("0.00000000", "x", "0", "0");
    for (unsigned i = 0; i < 300; i++) {
        char decimal[40], millis[40], digits[40];
        const char *id = ids[i / 7 % 6];
        if (i % 3 == 0) quantity += i % 4 == 0 ? 1 : 1000000007;
        if (i % 5 == 0) timestamp += i % 2 == 0 ? 999999 : 1000000;
        if (i % 11 == 0) number = number * 7 % 100003;
        snprintf(decimal, sizeof decimal, "%llu.%08llu", (unsigned long long)(quantity / 100000000),
                 (unsigned long long)(quantity % 100000000));
        snprintf(millis, sizeof millis, "%llu", (unsigned long long)(timestamp / 1000000));
        snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
        set_values(quantity, id, timestamp, number);
        if (i % 3 == 0) { /* an error in between leaves nothing behind */
            values[CLIENT_ID].text_len = 0;
            CHECK_EQ(hft_order_fill(&t, values, NULL), HFT_E_ORDER_SLOT);
            set_values(quantity, id, timestamp, number);
        }
        check_fill(decimal, id, millis, digits);
    }
}

static void test_base64(void) {
    char hex_form[300], base64_form[300];
    uint8_t from_hex[32], from_base64[33];
    set_values(1000000, "h1", 1, 42);
    build(HFT_SLOT_SIGNATURE_HEX);
    int hex_len = hft_order_fill(&t, values, NULL);
    memcpy(hex_form, t.message.image, (size_t)hex_len);
    build(HFT_SLOT_SIGNATURE_BASE64);
    int len = hft_order_fill(&t, values, NULL);
    memcpy(base64_form, t.message.image, (size_t)len);
    CHECK_EQ(hex_len - len, 64 - 44);
    CHECK_MEM(base64_form, hex_form, (size_t)len - 46);
    CHECK_EQ(hft_hex_decode(from_hex, hex_form + hex_len - 66, 64), 32);
    CHECK_EQ(hft_base64_decode(from_base64, base64_form + len - 46, 44), 32);
    CHECK_MEM(from_base64, from_hex, 32);
    CHECK_MEM(base64_form + len - 2, "\"}", 2);
}

static void test_bad_values(void) {
    char text[2] = "x";
    int bad_slot = -1;
    build(HFT_SLOT_SIGNATURE_HEX);
    set_values(1, "", 1, 1);
    CHECK_EQ(hft_order_fill(&t, values, &bad_slot), HFT_E_ORDER_SLOT);
    CHECK_EQ(bad_slot, CLIENT_ID);
    CHECK_EQ(hft_order_fill(&t, values, NULL), HFT_E_ORDER_SLOT);
    set_values(1, "1234567890123456789012345678901234567", 1, 1);
    bad_slot = -1;
    CHECK_EQ(hft_order_fill(&t, values, &bad_slot), HFT_E_ORDER_VALUE);
    CHECK_EQ(bad_slot, CLIENT_ID);
    for (int c = 1; c < 256; c++) {
        text[0] = (char)c;
        set_values(1, text, 1, 1);
        int plain = strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-", c) != NULL;
        CHECK_EQ(hft_charset_has(&hft_order_plain, (uint8_t)c), plain);
        int rc = hft_order_fill(&t, values, &bad_slot);
        CHECK_EQ(rc > 0, plain);
        if (!plain) CHECK_EQ(rc, HFT_E_ORDER_CHARSET);
    }
    static hft_order_template wiped;
    static const hft_order_template nothing;
    set_values(1, "x", 1, 1);
    CHECK_EQ(hft_order_fill(&t, values, NULL) > 0, 1);
    wiped = t;
    hft_order_wipe(&wiped);
    CHECK_EQ(hft_order_fill(&wiped, values, NULL), HFT_E_STATE);
    CHECK_MEM(&wiped, &nothing, sizeof nothing);
}

/* One value in several forms. */
static void test_echoes(void) {
    hft_order_init(&t);
    CHECK_EQ(add("time", HFT_SLOT_TIMESTAMP, 6, 0), 0);
    CHECK_EQ(add("id", HFT_SLOT_TEXT, 0, 10), 1);
    CHECK_EQ(add("size", HFT_SLOT_DECIMAL, 8, 0), 2);
    hft_order_slot echo = {.name = "date", .kind = HFT_SLOT_RFC3339, .scale = 3, .of = 0};
    CHECK_EQ(hft_order_add_slot(&t, &echo), 3);
    echo = (hft_order_slot){
        .name = "short_id", .kind = HFT_SLOT_TEXT, .max_len = 4, .of = 1, .allowed = hft_order_plain};
    CHECK_EQ(hft_order_add_slot(&t, &echo), 4);
    echo = (hft_order_slot){.name = "short_size", .kind = HFT_SLOT_DECIMAL_TRIMMED, .scale = 8, .of = 2};
    CHECK_EQ(hft_order_add_slot(&t, &echo), 5);
    static const hft_order_slot wrong[] = {
        {.name = "x", .kind = HFT_SLOT_UINT, .of = 0},                         /* a time is no number */
        {.name = "x", .kind = HFT_SLOT_DECIMAL, .scale = 7, .of = 2},          /* another scale */
        {.name = "x", .kind = HFT_SLOT_RFC3339, .scale = 3, .of = 3},          /* of an echo */
        {.name = "x", .kind = HFT_SLOT_TIMESTAMP, .scale = 3, .of = 1},        /* of a text */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_EQ(hft_order_add_slot(&t, &wrong[i]), HFT_E_ORDER_TEMPLATE);
    echo = (hft_order_slot){.name = "x", .kind = HFT_SLOT_UINT, .of = 7};
    CHECK_EQ(hft_order_add_slot(&t, &echo), HFT_E_ORDER_SLOT);
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(hft_order_put_slot(&t, &t.message, i), 0);
        CHECK_EQ(put(&t.message, " "), 0);
    }
    CHECK_EQ(hft_order_seal(&t, NULL, 0), HFT_OK);
    memset(values, 0, sizeof values);
    values[0].u64 = 1613888176532123456;
    values[1] = (hft_order_value){.text = "abcd", .text_len = 4};
    values[2].u64 = 150000000;
    static const char expected[] = "1613888176532 abcd 1.50000000 2021-02-21T06:16:16.532123Z abcd 1.5 ";
    CHECK_EQ(hft_order_fill(&t, values, NULL), sizeof expected - 1);
    CHECK_MEM(t.message.image, expected, sizeof expected - 1);
    values[1].text_len = 5; /* fits the slot, not its echo */
    values[1].text = "abcde";
    int bad_slot = -1;
    CHECK_EQ(hft_order_fill(&t, values, &bad_slot), HFT_E_ORDER_VALUE);
    CHECK_EQ(bad_slot, 1);
}

static void test_charsets(void) {
    hft_order_slot slot = {.name = "x", .kind = HFT_SLOT_TEXT, .max_len = 1, .of = 0};
    for (unsigned c = 0; c < 128; c++) {
        hft_order_init(&t);
        memset(&slot.allowed, 0, sizeof slot.allowed);
        slot.allowed.bits[c & 15] = (uint8_t)(1 << (c >> 4));
        int usable = c >= ' ' && c != 0x7f && c != '"' && c != '\\';
        CHECK_EQ(hft_order_add_slot(&t, &slot), usable ? 0 : HFT_E_ORDER_TEMPLATE);
        for (unsigned d = 0; d < 256; d++) CHECK_EQ(hft_charset_has(&slot.allowed, (uint8_t)d), c == d);
    }
    memset(&slot.allowed, 0, sizeof slot.allowed);
    CHECK_EQ(hft_order_add_slot(&t, &slot), HFT_E_ORDER_TEMPLATE); /* no character at all */
}

static void test_slots(void) {
    hft_order_init(&t);
    CHECK_EQ(add("", HFT_SLOT_UINT, 0, 0), HFT_E_ORDER_SLOT);
    CHECK_EQ(add("a23456789012345678901234", HFT_SLOT_UINT, 0, 0), HFT_E_ORDER_SLOT);
    CHECK_EQ(add("a2345678901234567890123", HFT_SLOT_UINT, 0, 0), 0);
    CHECK_EQ(add("a2345678901234567890123", HFT_SLOT_UINT, 0, 0), HFT_E_ORDER_SLOT);
    CHECK_EQ(add("b", HFT_SLOT_UINT, 1, 0), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(add("b", HFT_SLOT_DECIMAL, 19, 0), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(add("b", HFT_SLOT_TIMESTAMP, 10, 0), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(add("b", HFT_SLOT_TEXT, 0, 0), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(add("b", HFT_SLOT_TEXT, 0, HFT_ORDER_TEXT_MAX + 1), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(add("b", (hft_order_slot_kind)8, 0, 0), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(add("b", HFT_SLOT_RFC3339, 10, 0), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(add("b", HFT_SLOT_DECIMAL_TRIMMED, 19, 0), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(hft_order_find_slot(&t, "a", 1), HFT_E_ORDER_SLOT);
    CHECK_EQ(hft_order_find_slot(&t, "a2345678901234567890123x", 24), HFT_E_ORDER_SLOT);
    CHECK_EQ(hft_order_find_slot(&t, "", 0), HFT_E_ORDER_SLOT);
    char name[3] = "n";
    for (int i = 1; i < HFT_ORDER_SLOTS_MAX; i++) {
        name[1] = (char)('a' + i);
        CHECK_EQ(add(name, HFT_SLOT_UINT, 0, 0), i);
    }
    CHECK_EQ(add("z", HFT_SLOT_UINT, 0, 0), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(hft_order_put_slot(&t, &t.message, -1), HFT_E_ORDER_SLOT);
    CHECK_EQ(hft_order_put_slot(&t, &t.message, HFT_ORDER_SLOTS_MAX), HFT_E_ORDER_SLOT);
    for (int i = 0; i < HFT_ORDER_PARTS_MAX; i++) CHECK_EQ(hft_order_put_slot(&t, &t.message, i % 16), HFT_OK);
    CHECK_EQ(hft_order_put_slot(&t, &t.message, 0), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(put(&t.message, "x"), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(put(&t.message, ""), HFT_OK);
    CHECK_EQ(hft_order_seal(&t, NULL, 0), HFT_OK);
    CHECK_EQ(t.message_max, 20 * HFT_ORDER_PARTS_MAX);
    CHECK_EQ(hft_order_seal(&t, NULL, 0), HFT_E_STATE);
    CHECK_EQ(add("y", HFT_SLOT_UINT, 0, 0), HFT_E_STATE);
    CHECK_EQ(hft_order_put_slot(&t, &t.message, 0), HFT_E_STATE);
}

static void test_literals(void) {
    char literal[HFT_ORDER_LITERAL_MAX + 1];
    memset(literal, 'l', sizeof literal);
    hft_order_init(&t);
    CHECK_EQ(hft_order_put_literal(&t.message, literal, HFT_ORDER_LITERAL_MAX + 1), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(hft_order_put_literal(&t.message, literal, HFT_ORDER_LITERAL_MAX), HFT_OK);
    CHECK_EQ(hft_order_put_literal(&t.message, literal, 1), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(hft_order_seal(&t, NULL, 0), HFT_OK);
    CHECK_EQ(hft_order_fill(&t, values, NULL), HFT_ORDER_LITERAL_MAX);
    CHECK_MEM(t.message.image, literal, HFT_ORDER_LITERAL_MAX);
}

/* The largest template there can be, of the longest values. */
static void test_largest(void) {
    static const char longest[HFT_ORDER_TEXT_MAX + 1] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    hft_order_init(&t);
    CHECK_EQ(add("text", HFT_SLOT_TEXT, 0, HFT_ORDER_TEXT_MAX), 0);
    CHECK_EQ(add("mac", HFT_SLOT_SIGNATURE_HEX, 0, 0), 1);
    CHECK_EQ(hft_order_put_slot(&t, &t.message, 1), 0);
    for (int i = 0; i < HFT_ORDER_PARTS_MAX; i++) {
        if (i != 0) CHECK_EQ(hft_order_put_slot(&t, &t.message, 0), 0);
        CHECK_EQ(hft_order_put_slot(&t, &t.signed_text, 0), 0);
    }
    CHECK_EQ(hft_order_seal(&t, "k", 1), HFT_OK);
    for (size_t len = HFT_ORDER_TEXT_MAX - 1; len <= HFT_ORDER_TEXT_MAX; len++) {
        values[0] = (hft_order_value){.text = longest, .text_len = len};
        CHECK_EQ(hft_order_fill(&t, values, NULL), 64 + (HFT_ORDER_PARTS_MAX - 1) * len);
        CHECK_EQ(t.signed_text.len, HFT_ORDER_PARTS_MAX * len);
        for (size_t i = 0; i < HFT_ORDER_PARTS_MAX; i++) CHECK_MEM(t.signed_text.image + i * len, longest, len);
    }
    CHECK_EQ(t.message.len, t.message_max);
}

/* What must not be sealed: each differs from a good template in one thing. */
static void test_seal(void) {
    for (int wrong = 0; wrong <= 6; wrong++) {
        hft_order_init(&t);
        CHECK_EQ(add("n", HFT_SLOT_UINT, 0, 0), 0);
        CHECK_EQ(add("s", HFT_SLOT_SIGNATURE_HEX, 0, 0), 1);
        if (wrong != 1) CHECK_EQ(put(&t.signed_text, "text"), 0);
        CHECK_EQ(hft_order_put_slot(&t, &t.signed_text, 1), HFT_E_ORDER_TEMPLATE); /* it would sign itself */
        if (wrong != 2) CHECK_EQ(hft_order_put_slot(&t, &t.message, 1), 0);
        CHECK_EQ(hft_order_put_slot(&t, &t.message, 1), wrong == 2 ? HFT_OK : HFT_E_ORDER_TEMPLATE);
        if (wrong != 3) CHECK_EQ(hft_order_put_slot(&t, &t.message, 0), 0);
        if (wrong == 6) CHECK_EQ(add("s2", HFT_SLOT_SIGNATURE_BASE64, 0, 0), 2);
        int rc = hft_order_seal(&t, wrong == 4 ? NULL : "k", wrong == 4 ? 0 : 1);
        CHECK_EQ(rc, wrong == 1 || wrong == 4 ? HFT_E_ORDER_TEMPLATE
                   : wrong == 3 || wrong == 6 ? HFT_E_ORDER_SLOT : HFT_OK);
    }
    hft_order_init(&t);
    CHECK_EQ(hft_order_seal(&t, NULL, 0), HFT_E_ORDER_TEMPLATE); /* empty */
    CHECK_EQ(put(&t.message, "m"), 0);
    CHECK_EQ(hft_order_seal(&t, "k", 1), HFT_E_ORDER_TEMPLATE); /* a key for nothing */
    CHECK_EQ(put(&t.signed_text, "m"), 0);
    CHECK_EQ(hft_order_seal(&t, "k", 1), HFT_E_ORDER_TEMPLATE); /* nowhere to put the signature */
}

/* The example of Binance's web-socket-api.md. */
static void test_official(void) {
    hft_order_init(&t);
    CHECK_EQ(add("quantity", HFT_SLOT_DECIMAL, 8, 0), 0);
    CHECK_EQ(add("timestamp", HFT_SLOT_TIMESTAMP, 6, 0), 1);
    CHECK_EQ(add("signature", HFT_SLOT_SIGNATURE_HEX, 0, 0), 2);
    CHECK_EQ(hft_order_put_slot(&t, &t.message, 2), 0);
    CHECK_EQ(put(&t.signed_text, "apiKey=vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
                                 "&price=52000.00&quantity="), 0);
    CHECK_EQ(hft_order_put_slot(&t, &t.signed_text, 0), 0);
    CHECK_EQ(put(&t.signed_text, "&recvWindow=100&side=SELL&symbol=BTCUSDT&timeInForce=GTC&timestamp="), 0);
    CHECK_EQ(hft_order_put_slot(&t, &t.signed_text, 1), 0);
    CHECK_EQ(put(&t.signed_text, "&type=LIMIT"), 0);
    CHECK_EQ(hft_order_seal(&t, "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j", 64), HFT_OK);
    memset(values, 0, sizeof values);
    values[0].u64 = 1000000;
    values[1].u64 = 1645423376532000000;
    CHECK_EQ(hft_order_fill(&t, values, NULL), 64);
    CHECK_MEM(t.message.image, "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24", 64);
}

int main(void) {
    static const char *const levels[] = {"portable", "shani", "avx2", "avx512"};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (hft_init(levels[i]) != HFT_OK) continue;
        test_fill();
        test_patching();
        test_base64();
        test_bad_values();
        test_official();
    }
    test_slots();
    test_echoes();
    test_charsets();
    test_literals();
    test_largest();
    test_seal();
    return check_done();
}
