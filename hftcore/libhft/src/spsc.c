#include "hft/spsc.h"

#include <string.h>

int hft_spsc_init(hft_spsc *queue, void *memory, size_t cap, size_t record_size) {
    if (memory == NULL || record_size == 0 || cap < 2 || cap > (size_t)1 << 24 || (cap & (cap - 1)) != 0)
        return HFT_E_ARGUMENT;
    memset(queue, 0, sizeof *queue);
    queue->records = memory;
    queue->mask = cap - 1;
    queue->record_size = record_size;
    return HFT_OK;
}

static uint8_t *record_at(const hft_spsc *queue, uint64_t index) {
    return queue->records + (index & queue->mask) * queue->record_size;
}

/* Each side looks at the other's index only when its own copy says that it must wait: one cache line moves
 * between the cores per batch instead of per record. */

void *hft_spsc_reserve(hft_spsc *queue) {
    uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    if (tail - queue->head_seen > queue->mask) {
        queue->head_seen = atomic_load_explicit(&queue->head, memory_order_acquire);
        if (tail - queue->head_seen > queue->mask) return NULL;
    }
    return record_at(queue, tail);
}

void hft_spsc_publish(hft_spsc *queue) {
    uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    atomic_store_explicit(&queue->tail, tail + 1, memory_order_release);
}

size_t hft_spsc_free(hft_spsc *queue) {
    uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    queue->head_seen = atomic_load_explicit(&queue->head, memory_order_acquire);
    return (size_t)(queue->mask + 1 - (tail - queue->head_seen));
}

const void *hft_spsc_peek(hft_spsc *queue) {
    uint64_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    if (head == queue->tail_seen) {
        queue->tail_seen = atomic_load_explicit(&queue->tail, memory_order_acquire);
        if (head == queue->tail_seen) return NULL;
    }
    return record_at(queue, head);
}

void hft_spsc_release(hft_spsc *queue) {
    uint64_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    atomic_store_explicit(&queue->head, head + 1, memory_order_release);
}
