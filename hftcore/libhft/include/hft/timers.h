/* Deadlines by number: an indexed binary heap, for owners that have one timer each and move it often.
 *
 * Memory is the caller's, taken once. Setting, moving and cancelling cost O(log n), the earliest is at hand. */
#ifndef HFT_TIMERS_H
#define HFT_TIMERS_H

#include "hft/status.h"

typedef struct { uint64_t due_ns; uint32_t id; } hft_timer;

typedef struct {
    hft_timer *heap;
    uint32_t *place; /* by id: index in the heap + 1, 0 = not set */
    uint32_t len, cap;
} hft_timers;

/* Bytes of memory for timers with the ids 0 to cap - 1. */
size_t hft_timers_size(uint32_t cap);
/* memory: hft_timers_size(cap) bytes, aligned to 8, that outlive *timers. */
void hft_timers_init(hft_timers *timers, void *memory, uint32_t cap);
/* Sets or moves the timer of `id` (< cap). */
void hft_timers_set(hft_timers *timers, uint32_t id, uint64_t due_ns);
/* No effect where it is not set. */
void hft_timers_cancel(hft_timers *timers, uint32_t id);
/* 1: *id is one that was due at now_ns, the earliest first, and is no longer set. 0: none is due. */
int hft_timers_next(hft_timers *timers, uint32_t *id, uint64_t now_ns);
/* When the earliest is due; UINT64_MAX: none is set. */
static inline uint64_t hft_timers_due(const hft_timers *timers) {
    return timers->len == 0 ? UINT64_MAX : timers->heap[0].due_ns;
}

#endif
