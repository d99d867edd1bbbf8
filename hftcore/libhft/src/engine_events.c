#include <string.h>
#include <unistd.h>

#include "engine_internal.h"

static void signal_fd(int fd) {
    uint64_t one = 1;
    (void)!write(fd, &one, sizeof one); /* fails only when the counter is full: then the reader is awake anyway */
}

/* ---- the reactor's side ---- */

hft_event *hft_events_begin(hft_engine *e, hft_event_kind kind, int informational) {
    if (informational && hft_spsc_free(&e->events) <= HFT_EVENT_RESERVE) {
        HFT_COUNT(e->stats.events_dropped, 1);
        return NULL;
    }
    hft_event *event = hft_spsc_reserve(&e->events);
    if (event == NULL) return NULL;
    memset(event, 0, offsetof(hft_event, text));
    event->text[0] = '\0'; /* few use it, and it is long */
    event->kind = (uint8_t)kind;
    event->time_ns = hft_engine_wall_ns(e);
    return event;
}

void hft_events_end(hft_engine *e) {
    hft_spsc_publish(&e->events);
    atomic_thread_fence(memory_order_seq_cst); /* the record is visible before `expecting` is looked at */
    if (atomic_load_explicit(&e->expecting, memory_order_relaxed) != 0) {
        atomic_store_explicit(&e->expecting, 0, memory_order_relaxed);
        signal_fd(e->event_fd);
    }
}

int hft_events_room_for_order(hft_engine *e) {
    /* Each order in doubt may want one more record at any time, and this one begins with another. */
    return hft_spsc_free(&e->events) > e->n_pending + 2;
}

void hft_event_text(hft_event *event, const char *text) {
    size_t len = strlen(text);
    if (len >= sizeof event->text) len = sizeof event->text - 1;
    memcpy(event->text, text, len);
    event->text[len] = '\0';
}

/* ---- the consumer's side ---- */

const hft_event *hft_engine_peek_event(hft_engine *engine) {
    return engine->opened ? hft_spsc_peek(&engine->events) : NULL;
}

void hft_engine_release_event(hft_engine *engine) { hft_spsc_release(&engine->events); }

int hft_engine_event_fd(const hft_engine *engine) { return engine->event_fd; }

void hft_engine_expect(hft_engine *engine) {
    atomic_store_explicit(&engine->expecting, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

/* ---- the resolver's side ---- */

int hft_engine_resolve_fd(const hft_engine *engine) { return engine->resolve_fd; }

int hft_engine_next_resolve(hft_engine *engine) {
    for (int i = 0; i < HFT_ENGINE_PEERS_MAX + HFT_ENGINE_VENUES_MAX; i++)
        if (atomic_exchange_explicit(&engine->resolve_wanted[i], 0, memory_order_acquire) != 0) return i;
    return -1;
}

int hft_engine_put_addresses(hft_engine *engine, const hft_engine_addresses *addresses) {
    hft_engine_addresses *record = hft_spsc_reserve(&engine->commands);
    if (record == NULL) return HFT_E_QUEUE_FULL;
    *record = *addresses;
    hft_spsc_publish(&engine->commands);
    hft_engine_wake(engine);
    return 0;
}

/* ---- any thread ---- */

void hft_engine_wake(hft_engine *e) {
    if (e->wake_fd >= 0) signal_fd(e->wake_fd);
}

void hft_engine_stop(hft_engine *engine, uint64_t timeout_ns) {
    atomic_store(&engine->stop_timeout_ns, timeout_ns != 0 ? timeout_ns : 1);
    hft_engine_wake(engine);
}

void hft_engine_kill(hft_engine *engine, int on) { atomic_store(&engine->killed, on != 0); }

void hft_engine_read_stats(const hft_engine *engine, hft_engine_stats *stats) {
#define HFT_ENGINE_COUNTER(name) stats->name = __atomic_load_n(&engine->stats.name, __ATOMIC_RELAXED);
    HFT_ENGINE_COUNTERS(HFT_ENGINE_COUNTER)
#undef HFT_ENGINE_COUNTER
}

void hft_engine_read_latency(const hft_engine *engine, int which, hft_hist *hist) {
    if (engine->latency == NULL || which < 0 || which >= HFT_LATENCIES) hft_hist_init(hist);
    else *hist = engine->latency[which];
}

hft_ring_backend hft_engine_backend(const hft_engine *engine) {
    return engine->opened ? engine->ring.backend : HFT_RING_AUTO;
}
