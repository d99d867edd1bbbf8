/* Ticks against the kernel's clocks. The machine may be busy, so of several tries the best one counts. */
#include "check.h"

#include <time.h>

#include <hft/clock.h>

#define TRIES 200

static uint64_t distance(uint64_t a, uint64_t b) { return a > b ? a - b : b - a; }

/* How far a tick stamp, taken between two readings of a clock, lies from their middle. */
static uint64_t error_of(const hft_clock *clock, uint64_t (*read)(void), int wall) {
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < TRIES; i++) {
        uint64_t before = read(), tick = hft_ticks(clock), after = read();
        uint64_t stamp = wall ? hft_ticks_wall_ns(clock, tick) : hft_ticks_mono_ns(clock, tick);
        uint64_t error = distance(stamp, before + (after - before) / 2);
        if (error < best) best = error;
    }
    return best;
}

static void sleep_ms(long ms) {
    struct timespec time = {.tv_nsec = ms * 1000000};
    nanosleep(&time, NULL);
}

int main(void) {
    hft_clock clock;
    uint64_t start = hft_clock_mono_ns();
    hft_clock_init(&clock);
    CHECK(hft_clock_mono_ns() - start < 1000000000);
    CHECK(clock.ns_per_tick_q32 != 0);
    CHECK(error_of(&clock, hft_clock_mono_ns, 0) < 2000);
    CHECK(error_of(&clock, hft_clock_wall_ns, 1) < 2000);

    /* After 10 ms of calibration, 150 ms drift by microseconds at most; a resync takes that away. */
    sleep_ms(150);
    CHECK(error_of(&clock, hft_clock_mono_ns, 0) < 30000);
    uint64_t tick0 = clock.tick0;
    hft_clock_resync(&clock);
    CHECK(clock.tick0 > tick0);
    CHECK(error_of(&clock, hft_clock_mono_ns, 0) < 2000);
    CHECK(error_of(&clock, hft_clock_wall_ns, 1) < 2000);
    sleep_ms(150);
    CHECK(error_of(&clock, hft_clock_mono_ns, 0) < 10000);

    /* A resync at once has no baseline: it must keep the rate. */
    hft_clock_resync(&clock);
    uint64_t rate = clock.ns_per_tick_q32;
    for (int i = 0; i < 100; i++) hft_clock_resync(&clock);
    CHECK_EQ(clock.ns_per_tick_q32, rate);

    uint64_t last = hft_ticks(&clock);
    for (int i = 0; i < 100000; i++) {
        uint64_t now = hft_ticks(&clock);
        CHECK(now >= last);
        last = now;
    }

    /* Without an invariant counter, ticks are nanoseconds. */
    clock.use_tsc = 0;
    clock.ns_per_tick_q32 = (uint64_t)1 << 32;
    hft_clock_resync(&clock);
    CHECK_EQ(clock.ns_per_tick_q32, (uint64_t)1 << 32);
    CHECK_EQ(hft_ticks_mono_ns(&clock, clock.tick0 + 12345), clock.mono0 + 12345);
    CHECK(error_of(&clock, hft_clock_mono_ns, 0) < 2000);
    return check_done();
}
