/* The measuring end of a client written in C or Cython: turns, stamps and samples, the same for all of them.
 *
 * A turn is a line on standard input, "rtt SKIP COUNT" or "send SKIP COUNT": so many messages that are not counted and
 * so many that are. The client answers "done" and waits for the next line, blocked; "end" writes the samples. A round
 * trip lasts from one arrival to the next: receiving, the handler, sending, and the server's part. */
#ifndef METER_H
#define METER_H

#include <time.h>

#include "bench.h"

#define METER_PAYLOAD 200 /* bytes of a message */
#define METER_SAMPLES 400000

enum { METER_RTT = 0, METER_SEND = 1 };

typedef struct {
    bench_samples samples[2];
    int kind;
    size_t skip, left; /* of this turn */
    uint64_t last_ns;
    char path[512];
    char payload[METER_PAYLOAD];
} meter;

static inline uint64_t meter_now(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* path: where samples go, as PATH.rtt and PATH.send; payload: METER_PAYLOAD bytes of text. */
static inline void meter_open(meter *m, const char *path, const char *payload) {
    memset(m, 0, sizeof *m);
    snprintf(m->path, sizeof m->path, "%s", path);
    if (strlen(payload) != METER_PAYLOAD) die("a payload of %d bytes was expected", METER_PAYLOAD);
    memcpy(m->payload, payload, METER_PAYLOAD);
    for (int i = 0; i < 2; i++) bench_samples_open(&m->samples[i], METER_SAMPLES);
}

/* Says `word`, waits for a line and begins its turn; 0: that was the end, and the samples are written. */
static inline int meter_turn(meter *m, const char *word) {
    char line[64], kind[8], path[520];
    puts(word);
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL) exit(0);
    if (sscanf(line, "%7s %zu %zu", kind, &m->skip, &m->left) == 3) {
        m->kind = strcmp(kind, "send") == 0 ? METER_SEND : METER_RTT;
        m->left += m->skip;
        m->last_ns = meter_now();
        return 1;
    }
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s.%s", m->path, i == METER_RTT ? "rtt" : "send");
        bench_samples_write(&m->samples[i], path);
    }
    return 0;
}

static inline void meter_sample(meter *m) {
    uint64_t now = meter_now();
    if (m->skip == 0) bench_samples_add(&m->samples[m->kind], now - m->last_ns);
    m->last_ns = now;
}

/* Around the call that sends. */
static inline void meter_before_send(meter *m) {
    if (m->kind == METER_SEND) m->last_ns = meter_now();
}
static inline void meter_after_send(meter *m) {
    if (m->kind == METER_SEND) meter_sample(m);
}

/* Where a message arrived: checks it; 1 = send again, 0 = the turn is over. */
static inline int meter_arrived(meter *m, const void *data, size_t len) {
    if (m->kind == METER_RTT) meter_sample(m);
    if (len != METER_PAYLOAD || memcmp(data, m->payload, METER_PAYLOAD) != 0) die("this is not what was sent");
    if (m->skip != 0) m->skip--;
    return --m->left != 0;
}

/* A message of crowd.c: the time it took to come here. */
static inline void meter_stamped(bench_samples *samples, const void *data, size_t len) {
    const char *digits = data;
    uint64_t sent = 0, now = meter_now();
    if (len != METER_PAYLOAD) die("this is not what was sent");
    for (int i = 0; i < 20; i++) sent = sent * 10 + (uint64_t)(digits[i] - '0');
    bench_samples_add(samples, now - sent);
}

#endif
