#include "hft/order.h"

#include <string.h>

#define LITERAL 0xff /* hft_order_part.slot of a literal */
#define HEX_LEN 64
#define BASE64_LEN 44
#define TIMESTAMP_SCALE_MAX 9 /* whole seconds */

const hft_charset hft_order_plain = {{
    0xa8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf8, 0xf0, 0x50, 0x50, 0x54, 0x54, 0x70,
}};

static int is_signature(unsigned kind) { return kind == HFT_SLOT_SIGNATURE_HEX || kind == HFT_SLOT_SIGNATURE_BASE64; }
static int is_decimal(unsigned kind) { return kind == HFT_SLOT_DECIMAL || kind == HFT_SLOT_DECIMAL_TRIMMED; }
static int is_time(unsigned kind) { return kind == HFT_SLOT_TIMESTAMP || kind == HFT_SLOT_RFC3339; }

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

/* 1 if the set is not empty and no character of it could end a JSON string or needs an escape there. */
static int charset_valid(const hft_charset *set) {
    int any = 0;
    for (unsigned c = 0; c < 128; c++) {
        if (!hft_charset_has(set, (uint8_t)c)) continue;
        if (c < ' ' || c == 0x7f || c == '"' || c == '\\') return 0;
        any = 1;
    }
    return any;
}

static int slot_valid(const hft_order_slot *slot) {
    if (slot->kind == HFT_SLOT_TEXT)
        return slot->scale == 0 && slot->max_len >= 1 && slot->max_len <= HFT_ORDER_TEXT_MAX &&
               charset_valid(&slot->allowed);
    if (slot->max_len != 0) return 0;
    switch (slot->kind) {
    case HFT_SLOT_DECIMAL:
    case HFT_SLOT_DECIMAL_TRIMMED: return slot->scale <= HFT_SCALE_MAX;
    case HFT_SLOT_TIMESTAMP: return slot->scale <= TIMESTAMP_SCALE_MAX;
    case HFT_SLOT_RFC3339: return slot->scale <= TIMESTAMP_SCALE_MAX;
    case HFT_SLOT_UINT:
    case HFT_SLOT_SIGNATURE_HEX:
    case HFT_SLOT_SIGNATURE_BASE64: return slot->scale == 0;
    default: return 0;
    }
}

/* 1 if the slot can take the value of the other. */
static int echo_valid(const hft_order_slot *slot, const hft_order_slot *other) {
    if (is_decimal(slot->kind)) return is_decimal(other->kind) && slot->scale == other->scale;
    if (is_time(slot->kind)) return is_time(other->kind);
    return slot->kind == other->kind && !is_signature(slot->kind);
}

int hft_order_add_slot(hft_order_template *t, const hft_order_slot *slot) {
    size_t name_len = name_size(slot->name);
    if (t->sealed) return HFT_E_STATE;
    if (t->n_slots == HFT_ORDER_SLOTS_MAX || !slot_valid(slot)) return HFT_E_ORDER_TEMPLATE;
    if (name_len == 0 || name_len > HFT_ORDER_NAME_MAX || hft_order_find_slot(t, slot->name, name_len) >= 0)
        return HFT_E_ORDER_SLOT;
    if (slot->of > t->n_slots) return HFT_E_ORDER_SLOT;
    if (slot->of < t->n_slots && (t->slots[slot->of].of != slot->of || !echo_valid(slot, &t->slots[slot->of])))
        return HFT_E_ORDER_TEMPLATE;
    t->slots[t->n_slots] = *slot;
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
        t->signature_kind = t->slots[slot].kind;
    }
    text->parts[text->n_parts++] = (hft_order_part){0, 0, (uint8_t)slot};
    return HFT_OK;
}

static size_t slot_max(const hft_order_slot *slot) {
    switch (slot->kind) {
    case HFT_SLOT_DECIMAL:
    case HFT_SLOT_DECIMAL_TRIMMED: return HFT_U64_DIGITS_MAX + (slot->scale != 0);
    case HFT_SLOT_TIMESTAMP: return HFT_U64_DIGITS_MAX - (size_t)slot->scale;
    case HFT_SLOT_RFC3339: return sizeof "2021-02-21T06:16:16Z" - 1 + (slot->scale == 9 ? 0 : 10u - slot->scale);
    case HFT_SLOT_TEXT: return slot->max_len;
    case HFT_SLOT_SIGNATURE_HEX: return HEX_LEN;
    case HFT_SLOT_SIGNATURE_BASE64: return BASE64_LEN;
    default: return HFT_U64_DIGITS_MAX;
    }
}

static size_t text_max(const hft_order_template *t, const hft_order_text *text) {
    size_t max = text->literal_len;
    for (uint32_t i = 0; i < text->n_parts; i++)
        if (text->parts[i].slot != LITERAL) max += slot_max(&t->slots[text->parts[i].slot]);
    return max;
}

static uint32_t slots_used(const hft_order_text *text) {
    uint32_t used = 0;
    for (uint32_t i = 0; i < text->n_parts; i++)
        if (text->parts[i].slot != LITERAL) used |= 1u << text->parts[i].slot;
    return used;
}

int hft_order_seal(hft_order_template *t, const void *secret, size_t secret_len) {
    const hft_order_text *text = &t->signed_text;
    int is_signed = text->n_parts != 0;
    if (t->sealed) return HFT_E_STATE;
    if ((slots_used(&t->message) | slots_used(text)) != (1u << t->n_slots) - 1) return HFT_E_ORDER_SLOT;
    if (t->message.n_parts == 0 || is_signed != t->has_signature || is_signed != (secret_len != 0))
        return HFT_E_ORDER_TEMPLATE;
    if (is_signed) {
        size_t first_len = text->parts[0].slot == LITERAL ? text->parts[0].len : 0;
        hft_hmac_key_init(&t->key, secret, secret_len);
        hft_hmac_prefix_init(&t->prefix, &t->key, text->literal, first_len);
    }
    t->message_max = text_max(t, &t->message);
    t->sealed = 1;
    return HFT_OK;
}

void hft_order_wipe(hft_order_template *t) { hft_wipe(t, sizeof *t); }

/* ---- formatting values ---- */

static size_t format_number(char *out, const hft_order_slot *slot, uint64_t value) {
    switch (slot->kind) {
    case HFT_SLOT_DECIMAL: return hft_decimal_put(out, value, slot->scale, 0);
    case HFT_SLOT_DECIMAL_TRIMMED: return hft_decimal_put(out, value, slot->scale, 1);
    case HFT_SLOT_TIMESTAMP: return hft_timestamp_put(NULL, out, value, slot->scale);
    case HFT_SLOT_RFC3339: return hft_rfc3339_put(out, value, 9u - slot->scale);
    default: return hft_u64_put(out, value);
    }
}

/* Exactly len bytes, in overlapping pieces of fixed size. */
static inline void copy_exactly(char *out, const char *from, size_t len) {
    if (len >= 16) {
        for (size_t i = 0; i + 16 < len; i += 16) memcpy(out + i, from + i, 16);
        memcpy(out + len - 16, from + len - 16, 16);
    } else if (len >= 8) {
        memcpy(out, from, 8);
        memcpy(out + len - 8, from + len - 8, 8);
    } else {
        for (size_t i = 0; i < len; i++) out[i] = from[i];
    }
}

static int format_text(hft_order_formatted *out, const hft_order_slot *slot, const hft_order_value *value) {
    if (value->text_len == 0) return HFT_E_ORDER_SLOT;
    if (value->text_len > slot->max_len) return HFT_E_ORDER_VALUE;
    copy_exactly(out->text, value->text, value->text_len);
    int allowed = hft_charset_has_all(&slot->allowed, value->text, value->text_len);
    return allowed ? (int)value->text_len : HFT_E_ORDER_CHARSET;
}

typedef struct { uint32_t changed; int moved; } difference; /* changed: a bit for each slot; moved: a length differs */

/* Brings what is kept of the values up to date. On an error some of it is, and the images no longer show it. */
static int format_slots(hft_order_template *t, difference *since, const hft_order_value *values, int *bad_slot) {
    for (uint32_t i = 0; i < t->n_slots; i++) {
        const hft_order_slot *slot = &t->slots[i];
        const hft_order_value *value = &values[slot->of];
        hft_order_formatted *formatted = &t->formatted[i];
        int len;
        if (is_signature(slot->kind)) continue;
        if (slot->kind != HFT_SLOT_TEXT) {
            if (t->laid_out && value->u64 == t->last[i]) continue;
            t->last[i] = value->u64;
            len = (int)format_number(formatted->text, slot, value->u64);
        } else if ((len = format_text(formatted, slot, value)) < 0) {
            t->laid_out = 0;
            if (bad_slot != NULL) *bad_slot = (int)slot->of;
            return len;
        }
        since->moved |= len != formatted->len;
        since->changed |= 1u << i;
        formatted->len = (uint8_t)len;
    }
    return HFT_OK;
}

/* ---- writing them into the images ---- */

static void patch(hft_order_text *text, const hft_order_formatted *formatted, uint32_t changed) {
    for (uint32_t i = 0; i < text->n_fields; i++) {
        const hft_order_field *field = &text->fields[i];
        if ((changed >> field->slot & 1) == 0) continue;
        copy_exactly(text->image + field->offset, formatted[field->slot].text, formatted[field->slot].len);
    }
}

/* Writes the whole text anew, and notes where each value stands. Copies whole steps: the image has the room. */
static void lay_out_text(hft_order_template *t, hft_order_text *text) {
    uint32_t len = 0;
    text->n_fields = 0;
    for (uint32_t i = 0; i < text->n_parts; i++) {
        const hft_order_part *part = &text->parts[i];
        const char *from = text->literal + part->offset;
        size_t part_len = part->len;
        if (part->slot != LITERAL && is_signature(t->slots[part->slot].kind)) {
            t->signature_offset = (uint16_t)len;
            len += t->signature_kind == HFT_SLOT_SIGNATURE_HEX ? HEX_LEN : BASE64_LEN;
            continue;
        }
        if (part->slot != LITERAL) {
            from = t->formatted[part->slot].text;
            part_len = t->formatted[part->slot].len;
            text->fields[text->n_fields++] = (hft_order_field){(uint16_t)len, part->slot};
        }
        for (size_t j = 0; j < part_len; j += HFT_ORDER_COPY_STEP)
            memcpy(text->image + len + j, from + j, HFT_ORDER_COPY_STEP);
        len += (uint32_t)part_len;
    }
    text->len = len;
}

/* What the prefix has not hashed, and the padding. */
static uint8_t *signed_tail(hft_order_template *t) { return (uint8_t *)t->signed_text.image + t->prefix.len; }

static void lay_out(hft_order_template *t) {
    lay_out_text(t, &t->message);
    lay_out_text(t, &t->signed_text);
    if (t->has_signature) {
        size_t tail_len = t->signed_text.len - t->prefix.len;
        t->n_signed_blocks = (uint32_t)hft_hmac_pad(signed_tail(t), tail_len, &t->prefix);
    }
    t->laid_out = 1;
}

static void sign(hft_order_template *t) {
    uint8_t mac[32];
    hft_hmac_digest_padded(mac, &t->key, &t->prefix, signed_tail(t), t->n_signed_blocks);
    char *out = t->message.image + t->signature_offset;
    if (t->signature_kind == HFT_SLOT_SIGNATURE_HEX) hft_hex_encode(out, mac, sizeof mac);
    else (void)hft_base64_encode(out, mac, sizeof mac);
}

int hft_order_fill(hft_order_template *t, const hft_order_value *values, int *bad_slot) {
    difference since = {0, !t->laid_out};
    if (!t->sealed) return HFT_E_STATE;
    int rc = format_slots(t, &since, values, bad_slot);
    if (rc < 0) return rc;
    if (since.moved) {
        lay_out(t);
    } else {
        patch(&t->message, t->formatted, since.changed);
        patch(&t->signed_text, t->formatted, since.changed);
    }
    if (t->has_signature) sign(t);
    return (int)t->message.len;
}
