/* Ours and its peers in one process, in turn: short blocks of each, so that a slow moment of the machine hits all. */
#ifndef TURNS_H
#define TURNS_H

#include "bench.h"

/* One way to do the job. A sample is the mean of `calls` calls, for each of the `items` that one call does. prepare
 * (before each block) and provide (before each sample) are not timed; they may be NULL. */
typedef struct {
    const char *name;
    void (*call)(void);
    unsigned calls, items;
    void (*prepare)(void), (*provide)(void);
} bench_side;

#define BENCH_SIDES_MAX 16

static inline void bench_block(const hft_clock *clock, const bench_side *side, size_t len, bench_samples *samples) {
    if (side->prepare != NULL) side->prepare();
    for (size_t i = 0; i < len; i++) {
        if (side->provide != NULL) side->provide();
        uint64_t before = bench_tick(clock);
        for (unsigned call = 0; call < side->calls; call++) side->call();
        uint64_t ns = hft_ticks_to_ns(clock, bench_tick(clock) - before);
        bench_samples_add(samples, ns * 10 / ((uint64_t)side->calls * side->items));
    }
}

/* Runs `blocks` times a block of block_len samples of each side, after one of each that is not kept. Writes the
 * samples, in tenths of ns, to FOLDER/<index> and prints the sides' names, one a line, in the same order. */
static inline void bench_turns(const char *folder, const bench_side *sides, size_t n_sides, size_t blocks,
                               size_t block_len) {
    bench_samples kept[BENCH_SIDES_MAX], warm_up;
    hft_clock clock;
    hft_clock_init(&clock);
    bench_samples_open(&warm_up, 0);
    for (size_t i = 0; i < n_sides; i++) bench_samples_open(&kept[i], blocks * block_len);
    for (size_t block = 0; block <= blocks; block++)
        for (size_t i = 0; i < n_sides; i++)
            bench_block(&clock, &sides[i], block_len, block == 0 ? &warm_up : &kept[i]);
    for (size_t i = 0; i < n_sides; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%zu", folder, i);
        bench_samples_write(&kept[i], path);
        puts(sides[i].name);
    }
}

#endif
