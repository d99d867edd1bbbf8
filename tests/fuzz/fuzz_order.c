/* Order templates of any text: the input is one text with ${name} for slots, used as message and as signed text. What
 * seals must fill within its bounds, and carry the MAC of what it says it signs. */
#include <stdlib.h>
#include <string.h>

#include <hft/hmac.h>
#include <hft/order.h>
#include <hft/text.h>

#define REQUIRE(cond) ((cond) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static hft_order_template t;

/* The slots of any name take turns in kind; some are echoes of an earlier one of their kind. */
static int slot_of(const char *name, size_t len) {
    static const hft_order_slot_kind kinds[] = {HFT_SLOT_TEXT, HFT_SLOT_DECIMAL, HFT_SLOT_TIMESTAMP, HFT_SLOT_UINT,
                                                HFT_SLOT_DECIMAL_TRIMMED, HFT_SLOT_RFC3339};
    int found = hft_order_find_slot(&t, name, len);
    if (found >= 0) return found;
    hft_order_slot slot = {.kind = (uint8_t)kinds[(len + t.n_slots) % 6], .of = (uint8_t)t.n_slots};
    memcpy(slot.name, name, len < sizeof slot.name ? len : sizeof slot.name);
    if (slot.kind == HFT_SLOT_TEXT) slot.max_len = (uint8_t)(1 + len % HFT_ORDER_TEXT_MAX);
    else if (slot.kind != HFT_SLOT_UINT) slot.scale = (uint8_t)(len % 10);
    slot.allowed = hft_order_plain;
    for (uint32_t i = 0; i < t.n_slots && len % 2 == 0; i++)
        if (t.slots[i].kind == slot.kind) slot.of = (uint8_t)i;
    return hft_order_add_slot(&t, &slot);
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

static void fill(uint64_t number, size_t text_len) {
    static const char longest[HFT_ORDER_TEXT_MAX] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    hft_order_value values[HFT_ORDER_SLOTS_MAX];
    for (uint32_t i = 0; i < t.n_slots; i++) values[i] = (hft_order_value){number, longest, text_len};
    for (uint32_t i = 0; i < t.n_slots; i++) /* what all echoes can take */
        if (t.slots[i].kind == HFT_SLOT_TEXT && values[t.slots[i].of].text_len > t.slots[i].max_len)
            values[t.slots[i].of].text_len = t.slots[i].max_len;
    int len = hft_order_fill(&t, values, NULL);
    REQUIRE(len > 0 && (size_t)len <= t.message_max && (uint32_t)len == t.message.len);
    hft_hmac_key key;
    uint8_t mac[32];
    char hex[64];
    hft_hmac_key_init(&key, "key", 3);
    hft_hmac_digest(mac, &key, t.signed_text.image, t.signed_text.len);
    hft_hex_encode(hex, mac, 32);
    REQUIRE(memcmp(t.message.image, hex, 64) == 0);
    REQUIRE(t.message.len - 64 == t.signed_text.len);
    REQUIRE(memcmp(t.message.image + 64, t.signed_text.image, t.signed_text.len) == 0);
}

/* A fill is the same whatever was filled before. */
static void fill_in_turns(void) {
    static char first[HFT_ORDER_FILL_MAX];
    fill(0, 1);
    uint32_t len = t.message.len;
    memcpy(first, t.message.image, len);
    fill(UINT64_MAX, HFT_ORDER_TEXT_MAX);
    fill(1, HFT_ORDER_TEXT_MAX);
    fill(1, 1);
    fill(0, 1);
    REQUIRE(t.message.len == len && memcmp(t.message.image, first, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    hft_order_init(&t);
    int signature = hft_order_add_slot(&t, &(hft_order_slot){.name = "the-signature", .kind = HFT_SLOT_SIGNATURE_HEX});
    REQUIRE(hft_order_put_slot(&t, &t.message, signature) == HFT_OK);
    if (put_text(&t.message, text, size) < 0 || put_text(&t.signed_text, text, size) < 0) return 0;
    if (hft_order_seal(&t, "key", 3) < 0) return 0;
    fill_in_turns();
    hft_order_wipe(&t);
    return 0;
}
