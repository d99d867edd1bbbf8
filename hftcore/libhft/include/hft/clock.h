/* Time: the kernel's clocks, and the CPU's counter for stamps on the hot path. */
#ifndef HFT_CLOCK_H
#define HFT_CLOCK_H

#include "hft/status.h"

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

uint64_t hft_clock_mono_ns(void); /* CLOCK_MONOTONIC */
uint64_t hft_clock_wall_ns(void); /* CLOCK_REALTIME, Unix nanoseconds */

/* Relates hft_ticks() to both clocks. Where the counter is not invariant, ticks are CLOCK_MONOTONIC ns. */
typedef struct {
    uint64_t tick0, mono0, wall0; /* one instant on the three clocks */
    uint64_t ns_per_tick_q32;     /* 32.32 fixed point */
    uint8_t use_tsc;
} hft_clock;

/* Calibrates: takes about 10 ms the first time. */
void hft_clock_init(hft_clock *clock);
/* Takes a new common instant, so that drift and clock steps do not add up; call about once a second. */
void hft_clock_resync(hft_clock *clock);

static inline uint64_t hft_ticks(const hft_clock *clock) {
#if defined(__x86_64__)
    if (clock->use_tsc) return __rdtsc();
#endif
    (void)clock;
    return hft_clock_mono_ns();
}

/* A difference of ticks, in ns. */
static inline uint64_t hft_ticks_to_ns(const hft_clock *clock, uint64_t ticks) {
    return (uint64_t)(((unsigned __int128)ticks * clock->ns_per_tick_q32) >> 32);
}
/* The monotonic and the wall time at a tick stamp not older than the last resync. */
static inline uint64_t hft_ticks_mono_ns(const hft_clock *clock, uint64_t tick) {
    return clock->mono0 + hft_ticks_to_ns(clock, tick - clock->tick0);
}
static inline uint64_t hft_ticks_wall_ns(const hft_clock *clock, uint64_t tick) {
    return clock->wall0 + hft_ticks_to_ns(clock, tick - clock->tick0);
}

#endif
