#include "hft/clock.h"

#include <time.h>

#include "hft/cpu.h"

#define CALIBRATION_NS 10000000u      /* error of one pair of readings, ~50 ns, over this: 5 ppm */
#define REFINE_AFTER_NS 100000000u    /* a shorter baseline would not better the rate */
#define NS_PER_S 1000000000ull

static uint64_t read_clock(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t hft_clock_mono_ns(void) { return read_clock(CLOCK_MONOTONIC); }
uint64_t hft_clock_wall_ns(void) { return read_clock(CLOCK_REALTIME); }

/* One instant on all three clocks: of a few tries the one least disturbed, its middle taken. */
static void take_instant(hft_clock *clock) {
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 8; i++) {
        uint64_t before = hft_ticks(clock);
        uint64_t mono = hft_clock_mono_ns();
        uint64_t middle = hft_ticks(clock);
        uint64_t wall = hft_clock_wall_ns();
        uint64_t after = hft_ticks(clock);
        if (after - before >= best) continue;
        best = after - before;
        /* mono was read a quarter of the way, wall three quarters: carry wall back to mono's instant. */
        uint64_t mono_tick = before + (middle - before) / 2, wall_tick = middle + (after - middle) / 2;
        clock->tick0 = mono_tick;
        clock->mono0 = mono;
        clock->wall0 = wall - hft_ticks_to_ns(clock, wall_tick - mono_tick);
    }
}

static void set_rate(hft_clock *clock, uint64_t ns, uint64_t ticks) {
    if (ticks != 0) clock->ns_per_tick_q32 = (uint64_t)(((unsigned __int128)ns << 32) / ticks);
}

void hft_clock_init(hft_clock *clock) {
    clock->use_tsc = (hft_cpu_features() & HFT_CPU_INVARIANT_TSC) != 0;
    clock->ns_per_tick_q32 = 1ull << 32;
    take_instant(clock);
    if (!clock->use_tsc) return;
    uint64_t tick0 = clock->tick0, mono0 = clock->mono0;
    while (hft_clock_mono_ns() - mono0 < CALIBRATION_NS) continue;
    take_instant(clock);
    set_rate(clock, clock->mono0 - mono0, clock->tick0 - tick0);
    take_instant(clock); /* wall0 now with the right rate */
}

void hft_clock_resync(hft_clock *clock) {
    uint64_t tick0 = clock->tick0, mono0 = clock->mono0;
    take_instant(clock);
    if (clock->use_tsc && clock->tick0 > tick0 && clock->mono0 - mono0 >= REFINE_AFTER_NS)
        set_rate(clock, clock->mono0 - mono0, clock->tick0 - tick0);
}
