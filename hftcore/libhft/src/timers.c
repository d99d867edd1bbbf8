#include "hft/timers.h"

#include <string.h>

size_t hft_timers_size(uint32_t cap) { return cap * (sizeof(hft_timer) + sizeof(uint32_t)); }

void hft_timers_init(hft_timers *timers, void *memory, uint32_t cap) {
    timers->heap = memory;
    timers->place = (uint32_t *)(timers->heap + cap);
    timers->len = 0;
    timers->cap = cap;
    memset(timers->place, 0, cap * sizeof *timers->place);
}

static void put(hft_timers *t, uint32_t at, hft_timer timer) {
    t->heap[at] = timer;
    t->place[timer.id] = at + 1;
}

/* Finds the place of a timer that may be earlier than what is above `at`. */
static void rise(hft_timers *t, uint32_t at, hft_timer timer) {
    while (at != 0) {
        uint32_t parent = (at - 1) / 2;
        if (t->heap[parent].due_ns <= timer.due_ns) break;
        put(t, at, t->heap[parent]);
        at = parent;
    }
    put(t, at, timer);
}

/* Finds the place of a timer that may be later than what is below `at`. */
static void sink(hft_timers *t, uint32_t at, hft_timer timer) {
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= t->len) break;
        if (child + 1 < t->len && t->heap[child + 1].due_ns < t->heap[child].due_ns) child++;
        if (timer.due_ns <= t->heap[child].due_ns) break;
        put(t, at, t->heap[child]);
        at = child;
    }
    put(t, at, timer);
}

static void place_at(hft_timers *t, uint32_t at, hft_timer timer) {
    if (at != 0 && timer.due_ns < t->heap[(at - 1) / 2].due_ns) rise(t, at, timer);
    else sink(t, at, timer);
}

void hft_timers_set(hft_timers *timers, uint32_t id, uint64_t due_ns) {
    uint32_t place = timers->place[id];
    place_at(timers, place != 0 ? place - 1 : timers->len++, (hft_timer){.due_ns = due_ns, .id = id});
}

void hft_timers_cancel(hft_timers *timers, uint32_t id) {
    uint32_t place = timers->place[id];
    if (place == 0) return;
    timers->place[id] = 0;
    timers->len--;
    if (place - 1 != timers->len) place_at(timers, place - 1, timers->heap[timers->len]);
}

int hft_timers_next(hft_timers *timers, uint32_t *id, uint64_t now_ns) {
    if (hft_timers_due(timers) > now_ns) return 0;
    *id = timers->heap[0].id;
    hft_timers_cancel(timers, *id);
    return 1;
}
