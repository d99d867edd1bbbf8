/* What the C benchmarks share: time stamps, samples, pinning, and an end with a reason. */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hft/clock.h"

static inline _Noreturn void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

/* The stamp is not taken before what stands above it has been done. */
static inline uint64_t bench_tick(const hft_clock *clock) {
#if defined(__x86_64__)
    _mm_lfence();
#endif
    return hft_ticks(clock);
}

static inline void bench_pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (cpu >= 0 && sched_setaffinity(0, sizeof set, &set) != 0) die("cannot run on core %d: %s", cpu, strerror(errno));
}

/* Samples in ns, written to a file as native-endian u64. */
typedef struct { uint64_t *ns; size_t len, cap; } bench_samples;

static inline void bench_samples_open(bench_samples *s, size_t cap) {
    s->len = 0;
    s->cap = cap;
    s->ns = calloc(cap == 0 ? 1 : cap, sizeof *s->ns);
    if (s->ns == NULL) die("no memory for %zu samples", cap);
    memset(s->ns, 1, cap * sizeof *s->ns); /* no page faults while measuring */
}

static inline void bench_samples_add(bench_samples *s, uint64_t ns) {
    if (s->len < s->cap) s->ns[s->len++] = ns;
}

static inline void bench_samples_write(const bench_samples *s, const char *path) {
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(s->ns, sizeof *s->ns, s->len, file) != s->len || fclose(file) != 0)
        die("%s: %s", path, strerror(errno));
}

#endif
