#include "hft/presign.h"

#include <string.h>

#include "hft/endian.h"
#include "hft/text.h"

#define STRIDE_ALIGN 64

static size_t stride_of(const hft_order_template *order) {
    return (order->message_max + STRIDE_ALIGN - 1) / STRIDE_ALIGN * STRIDE_ALIGN;
}

size_t hft_presign_size(const hft_order_template *order, uint32_t count) { return stride_of(order) * count; }

static int is_kind(const hft_order_template *order, int slot, hft_order_slot_kind kind) {
    return slot >= 0 && (uint32_t)slot < order->n_slots && order->slots[slot].kind == kind &&
           order->slots[slot].of == slot;
}

int hft_presign_init(hft_presign *p, const hft_presign_config *config, void *memory) {
    const hft_order_template *order = config->order;
    size_t id_len = config->id_prefix_len + HFT_PRESIGN_SERIAL_LEN;
    if (!order->sealed) return HFT_E_STATE;
    if (config->count < HFT_PRESIGN_COUNT_MIN || config->count > HFT_PRESIGN_COUNT_MAX || config->step_ns == 0 ||
        config->window_ns < config->step_ns)
        return HFT_E_ARGUMENT;
    if (!is_kind(order, config->id_slot, HFT_SLOT_TEXT)) return HFT_E_ORDER_SLOT;
    int has_time = is_kind(order, config->timestamp_slot, HFT_SLOT_TIMESTAMP) ||
                   is_kind(order, config->timestamp_slot, HFT_SLOT_RFC3339);
    if (!has_time) return HFT_E_ORDER_SLOT;
    if (config->id_prefix_len > HFT_ORDER_TEXT_MAX || id_len > order->slots[config->id_slot].max_len)
        return HFT_E_ORDER_VALUE;
    memset(p, 0, sizeof *p);
    p->config = *config;
    p->config.id_prefix = NULL;
    p->messages = memory;
    p->stride = stride_of(order);
    if (config->id_prefix_len != 0) memcpy(p->id, config->id_prefix, config->id_prefix_len);
    memcpy(p->values, config->values, order->n_slots * sizeof *p->values);
    p->values[config->id_slot].text = p->id;
    p->values[config->id_slot].text_len = id_len;
    for (uint32_t i = 0; i < config->count; i++) p->entries[i].serial = p->last_serial++;
    return HFT_OK;
}

static uint32_t behind(const hft_presign *p) { return p->config.count / 4; }

static void put_id(hft_presign *p, uint32_t serial) {
    uint8_t bytes[HFT_PRESIGN_SERIAL_LEN / 2];
    hft_store_be32(bytes, serial);
    hft_hex_encode(p->id + p->config.id_prefix_len, bytes, sizeof bytes);
}

static int sign(hft_presign *p, uint32_t place, uint64_t step, int *bad_slot) {
    hft_presign_entry *entry = &p->entries[place];
    put_id(p, entry->serial);
    p->values[p->config.timestamp_slot].u64 = step * p->config.step_ns;
    entry->step = 0; /* what stands there is about to go */
    int rc = hft_order_fill(p->config.order, p->values, bad_slot);
    if (rc < 0) return rc;
    memcpy(p->messages + p->stride * place, p->config.order->message.image, (size_t)rc);
    entry->len = (uint32_t)rc;
    entry->step = step;
    return 1;
}

int hft_presign_refresh(hft_presign *p, uint64_t now_ns, int *bad_slot) {
    uint64_t now = now_ns / p->config.step_ns;
    if (now == p->complete_step) return 0;
    for (uint64_t step = now; step < now + p->config.count - behind(p); step++) {
        uint32_t place = (uint32_t)(step % p->config.count);
        if (p->entries[place].step != step && step != 0) return sign(p, place, step, bad_slot);
    }
    p->complete_step = now;
    return 0;
}

int hft_presign_take(hft_presign *p, hft_presigned *out, uint64_t now_ns) {
    uint64_t now = now_ns / p->config.step_ns;
    for (uint64_t back = 0; back <= behind(p) && back < now; back++) {
        uint64_t step = now - back;
        uint32_t place = (uint32_t)(step % p->config.count);
        hft_presign_entry *entry = &p->entries[place];
        if (now_ns - step * p->config.step_ns > p->config.window_ns) return 0;
        if (entry->step != step) continue;
        put_id(p, entry->serial);
        *out = (hft_presigned){
            .message = (const char *)p->messages + p->stride * place, .message_len = entry->len,
            .id = p->id, .id_len = p->values[p->config.id_slot].text_len, .timestamp_ns = step * p->config.step_ns,
        };
        entry->step = 0;
        entry->serial = p->last_serial++;
        p->complete_step = 0;
        return 1;
    }
    return 0;
}
