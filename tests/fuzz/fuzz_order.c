/* Order templates of any text: the input is one text with ${name} for slots, used as message and as signed text. What
 * seals must fill within its bounds, and carry the MAC of what it says it signs. */
#include <stdlib.h>
#include <string.h>

#include <hft/order.h>
#include <hft/text.h>

#define REQUIRE(cond) ((cond) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static hft_order_template t;

/* The slots of any name take turns in kind. */
static int slot_of(const char *name, size_t len) {
    static const hft_order_slot_kind kinds[] = {HFT_SLOT_TEXT, HFT_SLOT_DECIMAL, HFT_SLOT_TIMESTAMP, HFT_SLOT_UINT};
    char text[HFT_ORDER_NAME_MAX + 2] = {0};
    int slot = hft_order_find_slot(&t, name, len);
    if (slot >= 0) return slot;
    memcpy(text, name, len < sizeof text - 1 ? len : sizeof text - 1);
    hft_order_slot_kind kind = kinds[(len + t.n_slots) % 4];
    unsigned scale = kind == HFT_SLOT_DECIMAL || kind == HFT_SLOT_TIMESTAMP ? (unsigned)len % 10 : 0;
    unsigned max_len = kind == HFT_SLOT_TEXT ? 1 + (unsigned)len % HFT_ORDER_TEXT_MAX : 0;
    return hft_order_add_slot(&t, text, kind, scale, max_len);
}

static int put_text(hft_order_text *text, const char *source, size_t len) {
    size_t start = 0;
    for (size_t i = 0; i + 1 < len; i++) {
        if (source[i] != '$' || source[i + 1] != '{') continue;
        const char *end = memchr(source + i, '}', len - i);
        if (end == NULL) break;
        size_t name_len = (size_t)(end - source) - i - 2;
        int slot = slot_of(source + i + 2, name_len);
        if (slot < 0) return slot;
        int rc = hft_order_put_literal(text, source + start, i - start);
        if (rc == HFT_OK) rc = hft_order_put_slot(&t, text, slot);
        if (rc < 0) return rc;
        i = (size_t)(end - source);
        start = i + 1;
    }
    return hft_order_put_literal(text, source + start, len - start);
}

static void fill(uint64_t number) {
    static const char longest[HFT_ORDER_TEXT_MAX] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    hft_order_value values[HFT_ORDER_SLOTS_MAX];
    for (uint32_t i = 0; i < t.n_slots; i++)
        values[i] = (hft_order_value){number, longest, number == UINT64_MAX ? t.slots[i].max_len : 1};
    char *message = malloc(t.message_max), *signed_text = malloc(t.signed_max), hex[64];
    int len = hft_order_fill(&t, message, t.message_max, values, NULL);
    int signed_len = hft_order_fill_signed_text(&t, signed_text, t.signed_max, values, NULL);
    REQUIRE(len > 0 && (size_t)len <= t.message_max && signed_len > 0 && (size_t)signed_len <= t.signed_max);
    hft_hmac_key key;
    uint8_t mac[32];
    hft_hmac_key_init(&key, "key", 3);
    hft_hmac_digest(mac, &key, signed_text, (size_t)signed_len);
    hft_hex_encode(hex, mac, 32);
    REQUIRE(memcmp(message, hex, 64) == 0);
    REQUIRE(len - 64 == signed_len && memcmp(message + 64, signed_text, (size_t)signed_len) == 0);
    free(message);
    free(signed_text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    hft_order_init(&t);
    int signature = hft_order_add_slot(&t, "the-signature", HFT_SLOT_SIGNATURE_HEX, 0, 0);
    REQUIRE(hft_order_put_slot(&t, &t.message, signature) == HFT_OK);
    if (put_text(&t.message, text, size) < 0 || put_text(&t.signed_text, text, size) < 0) return 0;
    if (hft_order_seal(&t, "key", 3) < 0) return 0;
    fill(0);
    fill(UINT64_MAX);
    hft_order_wipe(&t);
    return 0;
}
