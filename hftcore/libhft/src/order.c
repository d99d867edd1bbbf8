#include "hft/order.h"

#include <string.h>

#include "hft/text.h"

#define LITERAL 0xff /* hft_order_part.slot of a literal */
#define HEX_LEN 64
#define BASE64_LEN 44
#define TIMESTAMP_SCALE_MAX 9 /* whole seconds */

static const uint64_t power_of_ten[TIMESTAMP_SCALE_MAX + 1] = {
    1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000,
};

/* 1 for the characters that need no escape anywhere: A-Z a-z 0-9 _ . - */
static const uint8_t plain[256] = {
    ['-'] = 1, ['.'] = 1, ['_'] = 1,
    ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1,
    ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1, ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1,
    ['K'] = 1, ['L'] = 1, ['M'] = 1, ['N'] = 1, ['O'] = 1, ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1,
    ['U'] = 1, ['V'] = 1, ['W'] = 1, ['X'] = 1, ['Y'] = 1, ['Z'] = 1,
    ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1,
    ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1,
    ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

static int is_signature(unsigned kind) { return kind == HFT_SLOT_SIGNATURE_HEX || kind == HFT_SLOT_SIGNATURE_BASE64; }

/* ---- building ---- */

void hft_order_init(hft_order_template *t) { memset(t, 0, sizeof *t); }

static size_t name_size(const char *name) {
    size_t len = 0;
    while (len <= HFT_ORDER_NAME_MAX && name[len] != '\0') len++;
    return len;
}

int hft_order_find_slot(const hft_order_template *t, const char *name, size_t name_len) {
    if (name_len == 0 || name_len > HFT_ORDER_NAME_MAX) return HFT_E_ORDER_SLOT;
    for (uint32_t i = 0; i < t->n_slots; i++)
        if (memcmp(t->slots[i].name, name, name_len) == 0 && t->slots[i].name[name_len] == '\0') return (int)i;
    return HFT_E_ORDER_SLOT;
}

static int slot_kind_valid(hft_order_slot_kind kind, unsigned scale, unsigned max_len) {
    switch (kind) {
    case HFT_SLOT_DECIMAL: return scale <= HFT_SCALE_MAX && max_len == 0;
    case HFT_SLOT_TIMESTAMP: return scale <= TIMESTAMP_SCALE_MAX && max_len == 0;
    case HFT_SLOT_TEXT: return scale == 0 && max_len >= 1 && max_len <= HFT_ORDER_TEXT_MAX;
    case HFT_SLOT_UINT:
    case HFT_SLOT_SIGNATURE_HEX:
    case HFT_SLOT_SIGNATURE_BASE64: return scale == 0 && max_len == 0;
    }
    return 0;
}

int hft_order_add_slot(hft_order_template *t, const char *name, hft_order_slot_kind kind, unsigned scale,
                       unsigned max_len) {
    size_t name_len = name_size(name);
    if (t->sealed) return HFT_E_STATE;
    if (t->n_slots == HFT_ORDER_SLOTS_MAX || !slot_kind_valid(kind, scale, max_len)) return HFT_E_ORDER_TEMPLATE;
    if (name_len == 0 || name_len > HFT_ORDER_NAME_MAX || hft_order_find_slot(t, name, name_len) >= 0)
        return HFT_E_ORDER_SLOT;
    hft_order_slot *slot = &t->slots[t->n_slots];
    memcpy(slot->name, name, name_len + 1);
    slot->kind = (uint8_t)kind;
    slot->scale = (uint8_t)scale;
    slot->max_len = (uint8_t)max_len;
    return (int)t->n_slots++;
}

int hft_order_put_literal(hft_order_text *text, const char *literal, size_t len) {
    if (len == 0) return HFT_OK;
    if (text->n_parts == HFT_ORDER_PARTS_MAX || len > HFT_ORDER_LITERAL_MAX - text->literal_len)
        return HFT_E_ORDER_TEMPLATE;
    memcpy(text->literal + text->literal_len, literal, len);
    text->parts[text->n_parts++] = (hft_order_part){(uint16_t)text->literal_len, (uint16_t)len, LITERAL};
    text->literal_len += (uint32_t)len;
    return HFT_OK;
}

int hft_order_put_slot(hft_order_template *t, hft_order_text *text, int slot) {
    if (t->sealed) return HFT_E_STATE;
    if (slot < 0 || (uint32_t)slot >= t->n_slots) return HFT_E_ORDER_SLOT;
    if (text->n_parts == HFT_ORDER_PARTS_MAX) return HFT_E_ORDER_TEMPLATE;
    if (is_signature(t->slots[slot].kind)) {
        /* One signature, and never in the text that it signs. */
        if (text != &t->message || t->has_signature) return HFT_E_ORDER_TEMPLATE;
        t->has_signature = 1;
    }
    text->parts[text->n_parts++] = (hft_order_part){0, 0, (uint8_t)slot};
    return HFT_OK;
}

static size_t slot_max(const hft_order_slot *slot) {
    switch (slot->kind) {
    case HFT_SLOT_DECIMAL: return HFT_U64_DIGITS_MAX + (slot->scale != 0);
    case HFT_SLOT_TIMESTAMP: return HFT_U64_DIGITS_MAX - (size_t)slot->scale;
    case HFT_SLOT_TEXT: return slot->max_len;
    case HFT_SLOT_SIGNATURE_HEX: return HEX_LEN;
    case HFT_SLOT_SIGNATURE_BASE64: return BASE64_LEN;
    default: return HFT_U64_DIGITS_MAX;
    }
}

static size_t text_max(const hft_order_template *t, const hft_order_text *text, uint32_t *used_slots) {
    size_t max = text->literal_len;
    for (uint32_t i = 0; i < text->n_parts; i++) {
        if (text->parts[i].slot == LITERAL) continue;
        max += slot_max(&t->slots[text->parts[i].slot]);
        *used_slots |= 1u << text->parts[i].slot;
    }
    return max;
}

int hft_order_seal(hft_order_template *t, const void *secret, size_t secret_len) {
    uint32_t used_slots = 0;
    const hft_order_text *text = &t->signed_text;
    int is_signed = text->n_parts != 0;
    if (t->sealed) return HFT_E_STATE;
    t->message_max = text_max(t, &t->message, &used_slots);
    t->signed_max = text_max(t, text, &used_slots);
    if (used_slots != (1u << t->n_slots) - 1) return HFT_E_ORDER_SLOT;
    if (t->message.n_parts == 0 || is_signed != t->has_signature || is_signed != (secret_len != 0))
        return HFT_E_ORDER_TEMPLATE;
    if (is_signed) {
        size_t first_len = text->parts[0].slot == LITERAL ? text->parts[0].len : 0;
        hft_hmac_key_init(&t->key, secret, secret_len);
        hft_hmac_prefix_init(&t->prefix, &t->key, text->literal, first_len);
        t->prefix_skip = (uint32_t)t->prefix.len;
    }
    t->sealed = 1;
    return HFT_OK;
}

void hft_order_wipe(hft_order_template *t) {
    hft_wipe(&t->key, sizeof t->key);
    hft_wipe(&t->prefix, sizeof t->prefix);
    t->sealed = 0;
}

/* ---- filling ---- */

typedef struct { uint8_t len; char text[HFT_ORDER_TEXT_MAX]; } formatted;

/* A slot's text is made once, however often it occurs. */
static int format_slot(formatted *out, const hft_order_slot *slot, const hft_order_value *value) {
    switch (slot->kind) {
    case HFT_SLOT_UINT: out->len = (uint8_t)hft_u64_put(out->text, value->u64); return HFT_OK;
    case HFT_SLOT_DECIMAL: out->len = (uint8_t)hft_decimal_put(out->text, value->u64, slot->scale, 0); return HFT_OK;
    case HFT_SLOT_TIMESTAMP:
        out->len = (uint8_t)hft_u64_put(out->text, value->u64 / power_of_ten[slot->scale]);
        return HFT_OK;
    case HFT_SLOT_TEXT: break;
    default: out->len = 0; return HFT_OK; /* a signature: known only when the rest is */
    }
    if (value->text_len == 0) return HFT_E_ORDER_SLOT;
    if (value->text_len > slot->max_len) return HFT_E_ORDER_VALUE;
    unsigned all_plain = 1;
    for (size_t i = 0; i < value->text_len; i++) {
        out->text[i] = value->text[i];
        all_plain &= plain[(uint8_t)value->text[i]];
    }
    out->len = (uint8_t)value->text_len;
    return all_plain ? HFT_OK : HFT_E_ORDER_CHARSET;
}

static int format_slots(formatted *out, const hft_order_template *t, const hft_order_value *values, int *bad_slot) {
    for (uint32_t i = 0; i < t->n_slots; i++) {
        int rc = format_slot(&out[i], &t->slots[i], &values[i]);
        if (rc == HFT_OK) continue;
        if (bad_slot != NULL) *bad_slot = (int)i;
        return rc;
    }
    return HFT_OK;
}

/* Copies in steps of fixed size, which is faster than memcpy for a few bytes of unknown number; both sides have the
 * room (the caller's out has not always: see `end`). */
static inline char *copy(char *out, const char *end, const char *from, size_t len) {
    if ((size_t)(end - out) < len + HFT_ORDER_COPY_STEP) {
        memcpy(out, from, len);
        return out + len;
    }
    for (size_t i = 0; i < len; i += HFT_ORDER_COPY_STEP) memcpy(out + i, from + i, HFT_ORDER_COPY_STEP);
    return out + len;
}

/* Writes the text without its first `skip` bytes, which lie within its first literal. */
static char *assemble(char *out, const char *end, const hft_order_text *text, size_t skip, const formatted *slots) {
    for (uint32_t i = 0; i < text->n_parts; i++) {
        const hft_order_part *part = &text->parts[i];
        if (part->slot == LITERAL) out = copy(out, end, text->literal + part->offset + skip, part->len - skip);
        else out = copy(out, end, slots[part->slot].text, slots[part->slot].len);
        skip = 0;
    }
    return out;
}

static void sign(formatted *slots, const hft_order_template *t) {
    char tail[HFT_ORDER_FILL_MAX + HFT_ORDER_COPY_STEP];
    uint8_t mac[32];
    char *end = assemble(tail, tail + sizeof tail, &t->signed_text, t->prefix_skip, slots);
    hft_hmac_digest_tail(mac, &t->key, &t->prefix, tail, (size_t)(end - tail));
    for (uint32_t i = 0; i < t->n_slots; i++) {
        if (t->slots[i].kind == HFT_SLOT_SIGNATURE_HEX) {
            hft_hex_encode(slots[i].text, mac, sizeof mac);
            slots[i].len = HEX_LEN;
        } else if (t->slots[i].kind == HFT_SLOT_SIGNATURE_BASE64) {
            slots[i].len = (uint8_t)hft_base64_encode(slots[i].text, mac, sizeof mac);
        }
    }
}

int hft_order_fill(const hft_order_template *t, void *out, size_t cap, const hft_order_value *values, int *bad_slot) {
    formatted slots[HFT_ORDER_SLOTS_MAX];
    if (!t->sealed) return HFT_E_STATE;
    if (cap < t->message_max) return HFT_E_CAPACITY;
    int rc = format_slots(slots, t, values, bad_slot);
    if (rc < 0) return rc;
    if (t->has_signature) sign(slots, t);
    char *end = assemble(out, (char *)out + cap, &t->message, 0, slots);
    return (int)(end - (char *)out);
}

int hft_order_fill_signed_text(const hft_order_template *t, void *out, size_t cap, const hft_order_value *values,
                               int *bad_slot) {
    formatted slots[HFT_ORDER_SLOTS_MAX];
    if (!t->sealed) return HFT_E_STATE;
    if (cap < t->signed_max) return HFT_E_CAPACITY;
    int rc = format_slots(slots, t, values, bad_slot);
    if (rc < 0) return rc;
    char *end = assemble(out, (char *)out + cap, &t->signed_text, 0, slots);
    return (int)(end - (char *)out);
}
