/* The watch table that is in use: what one transaction pays to whom, and the exchange of the table for another. */
#include <stdlib.h>
#include <string.h>

#include "engine_internal.h"

#define SEARCHED 8 /* deposits found by looking at each; hardly any transaction has more */

/* ---- the deposits of one transaction ----
 * Their memory depends on how many outputs a message can hold, not on the table: another table needs no more. */

static uint32_t slot_of(const hft_engine *e, uint32_t entry) {
    /* An odd multiplier that nobody knows: whoever pays to scripts of his choice cannot make them share slots. */
    return (uint32_t)(entry * e->deposit_multiplier >> 32) & e->deposit_slot_mask;
}

void hft_outputs_next(const hft_engine *e, hft_output_batch *batch, const hft_btc_tx *tx, uint32_t left,
                      uint32_t *pos) {
    const uint8_t *scripts[HFT_WATCH_BATCH];
    size_t lens[HFT_WATCH_BATCH];
    batch->n = left < HFT_WATCH_BATCH ? left : HFT_WATCH_BATCH;
    for (uint32_t i = 0; i < batch->n; i++) {
        hft_btc_output output;
        hft_btc_next_output(&output, tx, pos);
        batch->values[i] = output.value;
        scripts[i] = output.script;
        lens[i] = output.script_len;
    }
    hft_watch_find_many(e->config.watch, batch->labels, batch->entries, scripts, lens, batch->n);
}

hft_deposit *hft_deposits_at(hft_engine *e, uint32_t entry) {
    uint32_t n = e->n_deposits, slot = 0;
    for (uint32_t i = 0; i < n && i < SEARCHED; i++)
        if (e->deposits[i].entry == entry) return &e->deposits[i];
    if (n >= SEARCHED) {
        for (slot = slot_of(e, entry); e->deposit_slots[slot] != 0; slot = (slot + 1) & e->deposit_slot_mask) {
            hft_deposit *deposit = &e->deposits[e->deposit_slots[slot] - 1];
            if (deposit->entry == entry) return deposit;
        }
        e->deposit_slots[slot] = n + 1;
    }
    e->deposits[n] = (hft_deposit){.entry = entry, .slot = slot};
    return &e->deposits[e->n_deposits++];
}

void hft_deposits_end(hft_engine *e) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < e->n_deposits; i++) {
        if (i >= SEARCHED) e->deposit_slots[e->deposits[i].slot] = 0;
        if (e->deposits[i].amount_sat >= e->deposit_floor_sat) e->deposits[kept++] = e->deposits[i];
    }
    e->n_deposits = kept;
}

/* ---- another table ---- */

struct hft_watch_change {
    hft_watch_change *next; /* the control plane's list */
    const hft_watch *watch;
    uint32_t number, n_labels;
    uint8_t *labels[HFT_ENGINE_RULES_MAX];
};

static void free_change(hft_watch_change *change) {
    for (uint32_t i = 0; i < HFT_ENGINE_RULES_MAX; i++) free(change->labels[i]);
    free(change);
}

void hft_engine_take_watch(hft_engine *e) {
    if (atomic_load_explicit(&e->watch_change, memory_order_relaxed) == NULL) return;
    /* Labels are numbers of a table: the event that says which one must not be lost. There is room for it later. */
    if (hft_spsc_free(&e->events) <= HFT_EVENT_RESERVE) return;
    hft_watch_change *change = atomic_exchange_explicit(&e->watch_change, NULL, memory_order_acquire);
    e->config.watch = change->watch;
    e->n_watches++;
    for (uint32_t i = 0; i < e->n_rules; i++) {
        e->rules[i].labels = change->labels[i];
        e->rules[i].n_labels = change->n_labels;
    }
    hft_event *event = hft_events_begin(e, HFT_EVENT_WATCH, 1);
    if (event == NULL) return; /* cannot be: see above */
    event->watch = change->number;
    hft_events_end(e);
}

int hft_engine_put_watch(hft_engine *engine, const hft_watch *watch, const uint8_t *const *labels, uint32_t n_labels) {
    hft_watch_change *change = calloc(1, sizeof *change);
    if (change == NULL) return HFT_E_MEMORY;
    change->watch = watch;
    change->n_labels = n_labels;
    for (uint32_t i = 0; i < engine->n_rules; i++) {
        size_t bytes = (n_labels + 7u) / 8u + 1u;
        if (labels[i] == NULL) continue;
        change->labels[i] = calloc(1, bytes);
        if (change->labels[i] == NULL) {
            free_change(change);
            return HFT_E_MEMORY;
        }
        memcpy(change->labels[i], labels[i], (n_labels + 7u) / 8u);
    }
    change->number = engine->watch_changes != NULL ? engine->watch_changes->number + 1 : 1;
    change->next = engine->watch_changes;
    engine->watch_changes = change;
    /* One that the reactor has not taken yet stays in the list until a later one is confirmed. */
    atomic_exchange_explicit(&engine->watch_change, change, memory_order_release);
    hft_engine_wake(engine);
    return (int)change->number;
}

void hft_engine_release_watches(hft_engine *engine, uint32_t number) {
    hft_watch_change **link = &engine->watch_changes;
    while (*link != NULL && (*link)->number >= number) link = &(*link)->next;
    while (*link != NULL) {
        hft_watch_change *change = *link;
        *link = change->next;
        free_change(change);
    }
}
