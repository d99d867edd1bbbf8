/* Timers against a plain table of deadlines. */
#include <stdlib.h>

#include "check.h"
#include "hft/timers.h"

#define CAP 37
#define STEPS 200000

static uint64_t state = 88172645463325252u;

static uint64_t noise(uint64_t bound) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % bound;
}

static void *memory;
static hft_timers timers;
static uint64_t table[CAP]; /* 0 = not set */

static uint64_t earliest(void) {
    uint64_t due_ns = UINT64_MAX;
    for (uint32_t i = 0; i < CAP; i++)
        if (table[i] != 0 && table[i] < due_ns) due_ns = table[i];
    return due_ns;
}

static void expire(uint64_t now_ns) {
    for (uint32_t id; hft_timers_next(&timers, &id, now_ns);) {
        CHECK(id < CAP);
        CHECK_EQ(table[id], earliest());
        CHECK(table[id] != 0 && table[id] <= now_ns);
        table[id] = 0;
    }
    CHECK(earliest() > now_ns);
}

static void test_against_a_table(void) {
    uint64_t now_ns = 1000;
    for (int i = 0; i < STEPS; i++) {
        uint32_t id = (uint32_t)noise(CAP);
        switch (noise(4)) {
        case 0:
            hft_timers_cancel(&timers, id);
            table[id] = 0;
            break;
        case 1: expire(now_ns += noise(40)); break;
        default:
            table[id] = now_ns + noise(500);
            hft_timers_set(&timers, id, table[id]);
        }
        CHECK_EQ(hft_timers_due(&timers), earliest());
    }
    expire(now_ns + 1000);
    CHECK_EQ(timers.len, 0);
}

static void test_edges(void) {
    uint32_t id = 99;
    CHECK_EQ(hft_timers_due(&timers), UINT64_MAX);
    CHECK_EQ(hft_timers_next(&timers, &id, UINT64_MAX - 1), 0);
    CHECK_EQ(id, 99);
    hft_timers_cancel(&timers, 3); /* not set */
    hft_timers_set(&timers, 3, 50);
    CHECK_EQ(hft_timers_next(&timers, &id, 49), 0);
    CHECK_EQ(hft_timers_next(&timers, &id, 50), 1);
    CHECK_EQ(id, 3);
    CHECK_EQ(timers.len, 0);
}

int main(void) {
    memory = malloc(hft_timers_size(CAP));
    hft_timers_init(&timers, memory, CAP);
    test_edges();
    test_against_a_table();
    free(memory);
    return check_done();
}
