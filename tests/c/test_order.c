/* Order templates: building and its limits, filling and its errors, the official Binance signature. */
#include "check.h"

#include <stdlib.h>

#include <hft/cpu.h>
#include <hft/order.h>
#include <hft/text.h>

static hft_order_template t;

static int put(hft_order_text *text, const char *literal) {
    return hft_order_put_literal(text, literal, strlen(literal));
}

/* {"q":"<decimal>","id":"<text>","t":<timestamp>,"n":<uint>,"id2":"<text>","s":"<signature>"} */
enum { QUANTITY, CLIENT_ID, TIMESTAMP, NUMBER, SIGNATURE, N_SLOTS };

static void build(hft_order_slot_kind signature) {
    static const char *const names[] = {"quantity", "client_id", "timestamp", "number", "signature"};
    hft_order_init(&t);
    CHECK_EQ(hft_order_add_slot(&t, names[0], HFT_SLOT_DECIMAL, 8, 0), QUANTITY);
    CHECK_EQ(hft_order_add_slot(&t, names[1], HFT_SLOT_TEXT, 0, 36), CLIENT_ID);
    CHECK_EQ(hft_order_add_slot(&t, names[2], HFT_SLOT_TIMESTAMP, 6, 0), TIMESTAMP);
    CHECK_EQ(hft_order_add_slot(&t, names[3], HFT_SLOT_UINT, 0, 0), NUMBER);
    CHECK_EQ(hft_order_add_slot(&t, names[4], signature, 0, 0), SIGNATURE);
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
    CHECK_EQ(t.prefix_skip, 64);
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

/* What a fill must be, put together by snprintf and the plain HMAC. Its buffers end where the contract says. */
static void check_fill(const char *quantity, const char *client_id, const char *timestamp, const char *number) {
    char signature[65], expected[1000];
    uint8_t mac[32];
    hft_hmac_key key;
    char *signed_text = malloc(t.signed_max), *message = malloc(t.message_max);
    int signed_len = hft_order_fill_signed_text(&t, signed_text, t.signed_max, values, NULL);
    int expected_len = snprintf(expected, sizeof expected,
        "apiKey=vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A&i=%s&q=%s&t=%s",
        client_id, quantity, timestamp);
    CHECK_EQ(signed_len, expected_len);
    CHECK_MEM(signed_text, expected, (size_t)expected_len);

    hft_hmac_key_init(&key, "secret", 6);
    hft_hmac_digest(mac, &key, expected, (size_t)expected_len);
    for (size_t i = 0; i < 32; i++) snprintf(signature + 2 * i, 3, "%02x", mac[i]);
    expected_len = snprintf(expected, sizeof expected,
        "{\"q\":\"%s\",\"id\":\"%s\",\"t\":%s,\"n\":%s,\"id2\":\"%s\",\"s\":\"%s\"}",
        quantity, client_id, timestamp, number, client_id, signature);
    int len = hft_order_fill(&t, message, t.message_max, values, NULL);
    CHECK_EQ(len, expected_len);
    CHECK_MEM(message, expected, (size_t)expected_len);
    free(signed_text);
    free(message);
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
    CHECK_EQ(hft_order_fill(&t, (char[1000]){0}, 1000, values, NULL), t.message_max);
    for (size_t len = 1; len <= 36; len++) { /* every length of the signed text's tail */
        client_id[len] = '\0';
        set_values(1, client_id, 1000000, 1);
        check_fill("0.00000001", client_id, "1", "1");
        client_id[len] = 'Z';
    }
}

static void test_base64(void) {
    char hex_form[300], base64_form[300];
    uint8_t from_hex[32], from_base64[33];
    set_values(1000000, "h1", 1, 42);
    build(HFT_SLOT_SIGNATURE_HEX);
    int hex_len = hft_order_fill(&t, hex_form, sizeof hex_form, values, NULL);
    build(HFT_SLOT_SIGNATURE_BASE64);
    int len = hft_order_fill(&t, base64_form, sizeof base64_form, values, NULL);
    CHECK_EQ(hex_len - len, 64 - 44);
    CHECK_MEM(base64_form, hex_form, (size_t)len - 46);
    CHECK_EQ(hft_hex_decode(from_hex, hex_form + hex_len - 66, 64), 32);
    CHECK_EQ(hft_base64_decode(from_base64, base64_form + len - 46, 44), 32);
    CHECK_MEM(from_base64, from_hex, 32);
    CHECK_MEM(base64_form + len - 2, "\"}", 2);
}

static void test_bad_values(void) {
    char message[1000], text[2] = "x";
    int bad_slot = -1;
    build(HFT_SLOT_SIGNATURE_HEX);
    set_values(1, "", 1, 1);
    CHECK_EQ(hft_order_fill(&t, message, sizeof message, values, &bad_slot), HFT_E_ORDER_SLOT);
    CHECK_EQ(bad_slot, CLIENT_ID);
    CHECK_EQ(hft_order_fill(&t, message, sizeof message, values, NULL), HFT_E_ORDER_SLOT);
    set_values(1, "1234567890123456789012345678901234567", 1, 1);
    bad_slot = -1;
    CHECK_EQ(hft_order_fill_signed_text(&t, message, sizeof message, values, &bad_slot), HFT_E_ORDER_VALUE);
    CHECK_EQ(bad_slot, CLIENT_ID);
    for (int c = 1; c < 256; c++) {
        text[0] = (char)c;
        set_values(1, text, 1, 1);
        int plain = strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-", c) != NULL;
        int rc = hft_order_fill(&t, message, sizeof message, values, &bad_slot);
        CHECK_EQ(rc > 0, plain);
        if (!plain) CHECK_EQ(rc, HFT_E_ORDER_CHARSET);
    }
    set_values(1, "x", 1, 1);
    CHECK_EQ(hft_order_fill(&t, message, t.message_max - 1, values, NULL), HFT_E_CAPACITY);
    CHECK_EQ(hft_order_fill_signed_text(&t, message, t.signed_max - 1, values, NULL), HFT_E_CAPACITY);
    hft_order_template wiped = t;
    hft_order_wipe(&wiped);
    CHECK_EQ(hft_order_fill(&wiped, message, sizeof message, values, NULL), HFT_E_STATE);
    static const hft_hmac_key no_key;
    static const hft_hmac_prefix no_prefix;
    CHECK_MEM(&wiped.key, &no_key, sizeof no_key);
    CHECK_MEM(&wiped.prefix, &no_prefix, sizeof no_prefix);
}

static void test_slots(void) {
    hft_order_init(&t);
    CHECK_EQ(hft_order_add_slot(&t, "", HFT_SLOT_UINT, 0, 0), HFT_E_ORDER_SLOT);
    CHECK_EQ(hft_order_add_slot(&t, "a23456789012345678901234", HFT_SLOT_UINT, 0, 0), HFT_E_ORDER_SLOT);
    CHECK_EQ(hft_order_add_slot(&t, "a2345678901234567890123", HFT_SLOT_UINT, 0, 0), 0);
    CHECK_EQ(hft_order_add_slot(&t, "a2345678901234567890123", HFT_SLOT_UINT, 0, 0), HFT_E_ORDER_SLOT);
    CHECK_EQ(hft_order_add_slot(&t, "b", HFT_SLOT_UINT, 1, 0), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(hft_order_add_slot(&t, "b", HFT_SLOT_DECIMAL, 19, 0), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(hft_order_add_slot(&t, "b", HFT_SLOT_TIMESTAMP, 10, 0), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(hft_order_add_slot(&t, "b", HFT_SLOT_TEXT, 0, 0), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(hft_order_add_slot(&t, "b", HFT_SLOT_TEXT, 0, HFT_ORDER_TEXT_MAX + 1), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(hft_order_add_slot(&t, "b", (hft_order_slot_kind)6, 0, 0), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(hft_order_find_slot(&t, "a", 1), HFT_E_ORDER_SLOT);
    CHECK_EQ(hft_order_find_slot(&t, "a2345678901234567890123x", 24), HFT_E_ORDER_SLOT);
    CHECK_EQ(hft_order_find_slot(&t, "", 0), HFT_E_ORDER_SLOT);
    char name[3] = "n";
    for (int i = 1; i < HFT_ORDER_SLOTS_MAX; i++) {
        name[1] = (char)('a' + i);
        CHECK_EQ(hft_order_add_slot(&t, name, HFT_SLOT_UINT, 0, 0), i);
    }
    CHECK_EQ(hft_order_add_slot(&t, "z", HFT_SLOT_UINT, 0, 0), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(hft_order_put_slot(&t, &t.message, -1), HFT_E_ORDER_SLOT);
    CHECK_EQ(hft_order_put_slot(&t, &t.message, HFT_ORDER_SLOTS_MAX), HFT_E_ORDER_SLOT);
    for (int i = 0; i < HFT_ORDER_PARTS_MAX; i++) CHECK_EQ(hft_order_put_slot(&t, &t.message, i % 16), HFT_OK);
    CHECK_EQ(hft_order_put_slot(&t, &t.message, 0), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(put(&t.message, "x"), HFT_E_ORDER_TEMPLATE);
    CHECK_EQ(put(&t.message, ""), HFT_OK);
    CHECK_EQ(hft_order_seal(&t, NULL, 0), HFT_OK);
    CHECK_EQ(t.message_max, 20 * HFT_ORDER_PARTS_MAX);
    CHECK_EQ(hft_order_seal(&t, NULL, 0), HFT_E_STATE);
    CHECK_EQ(hft_order_add_slot(&t, "y", HFT_SLOT_UINT, 0, 0), HFT_E_STATE);
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
    char *message = malloc(HFT_ORDER_LITERAL_MAX);
    CHECK_EQ(hft_order_fill(&t, message, HFT_ORDER_LITERAL_MAX, values, NULL), HFT_ORDER_LITERAL_MAX);
    CHECK_MEM(message, literal, HFT_ORDER_LITERAL_MAX);
    free(message);
}

/* What must not be sealed: each differs from a good template in one thing. */
static void test_seal(void) {
    for (int wrong = 0; wrong <= 6; wrong++) {
        hft_order_init(&t);
        CHECK_EQ(hft_order_add_slot(&t, "n", HFT_SLOT_UINT, 0, 0), 0);
        CHECK_EQ(hft_order_add_slot(&t, "s", HFT_SLOT_SIGNATURE_HEX, 0, 0), 1);
        if (wrong != 1) CHECK_EQ(put(&t.signed_text, "text"), 0);
        CHECK_EQ(hft_order_put_slot(&t, &t.signed_text, 1), HFT_E_ORDER_TEMPLATE); /* it would sign itself */
        if (wrong != 2) CHECK_EQ(hft_order_put_slot(&t, &t.message, 1), 0);
        CHECK_EQ(hft_order_put_slot(&t, &t.message, 1), wrong == 2 ? HFT_OK : HFT_E_ORDER_TEMPLATE);
        if (wrong != 3) CHECK_EQ(hft_order_put_slot(&t, &t.message, 0), 0);
        if (wrong == 6) CHECK_EQ(hft_order_add_slot(&t, "s2", HFT_SLOT_SIGNATURE_BASE64, 0, 0), 2);
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
    CHECK_EQ(hft_order_add_slot(&t, "quantity", HFT_SLOT_DECIMAL, 8, 0), 0);
    CHECK_EQ(hft_order_add_slot(&t, "timestamp", HFT_SLOT_TIMESTAMP, 6, 0), 1);
    CHECK_EQ(hft_order_add_slot(&t, "signature", HFT_SLOT_SIGNATURE_HEX, 0, 0), 2);
    CHECK_EQ(hft_order_put_slot(&t, &t.message, 2), 0);
    CHECK_EQ(put(&t.signed_text, "apiKey=vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
                                 "&price=52000.00&quantity="), 0);
    CHECK_EQ(hft_order_put_slot(&t, &t.signed_text, 0), 0);
    CHECK_EQ(put(&t.signed_text, "&recvWindow=100&side=SELL&symbol=BTCUSDT&timeInForce=GTC&timestamp="), 0);
    CHECK_EQ(hft_order_put_slot(&t, &t.signed_text, 1), 0);
    CHECK_EQ(put(&t.signed_text, "&type=LIMIT"), 0);
    CHECK_EQ(hft_order_seal(&t, "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j", 64), HFT_OK);
    char message[64];
    memset(values, 0, sizeof values);
    values[0].u64 = 1000000;
    values[1].u64 = 1645423376532000000;
    CHECK_EQ(hft_order_fill(&t, message, sizeof message, values, NULL), 64);
    CHECK_MEM(message, "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24", 64);
}

int main(void) {
    static const char *const levels[] = {"portable", "shani"};
    for (int i = 0; i < 2; i++) {
        if (hft_init(levels[i]) != HFT_OK) continue;
        test_fill();
        test_base64();
        test_bad_values();
        test_official();
    }
    test_slots();
    test_literals();
    test_seal();
    return check_done();
}
