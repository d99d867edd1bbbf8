/* A bounded queue of fixed-size records between one producer thread and one consumer thread. Lock-free, in
 * memory the caller gives. Full is an answer, never a wait. */
#ifndef HFT_SPSC_H
#define HFT_SPSC_H

#include <stdalign.h>
#include <stdatomic.h>

#include "hft/status.h"

typedef struct {
    alignas(64) _Atomic uint64_t head; /* consumer's: next record to read */
    uint64_t tail_seen;                /* consumer's copy of tail */
    alignas(64) _Atomic uint64_t tail; /* producer's: next record to write */
    uint64_t head_seen;                /* producer's copy of head */
    alignas(64) uint8_t *records;
    uint64_t mask;
    size_t record_size;
} hft_spsc;

/* memory: cap * record_size bytes, the caller's; cap a power of two, 2..2^24. Errors: HFT_E_ARGUMENT. */
HFT_NODISCARD int hft_spsc_init(hft_spsc *queue, void *memory, size_t cap, size_t record_size);

/* Producer: the next free record to write, or NULL if full; then publish it. */
void *hft_spsc_reserve(hft_spsc *queue);
void hft_spsc_publish(hft_spsc *queue);
/* Producer: records that can still be reserved (at least). */
size_t hft_spsc_free(hft_spsc *queue);

/* Consumer: the oldest record, or NULL if empty; then release it. */
const void *hft_spsc_peek(hft_spsc *queue);
void hft_spsc_release(hft_spsc *queue);

#endif
