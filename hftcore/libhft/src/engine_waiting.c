/* Rules that want several peers: what they would order for waits here until enough network groups have announced it. */
#include <string.h>

#include "engine_internal.h"

uint32_t hft_waiting_groups(hft_engine *e, const uint8_t txid[32], const uint8_t wtxid[32]) {
    /* Peers without wtxid relay announce the txid. It names the same outputs, which is all that an order goes by. */
    const hft_inventory_entry *by_wtxid = hft_inventory_find(&e->inventory, wtxid);
    const hft_inventory_entry *by_txid = hft_inventory_find(&e->inventory, txid);
    return hft_inventory_n_groups((by_wtxid != NULL ? by_wtxid->groups : 0) | (by_txid != NULL ? by_txid->groups : 0));
}

static void begin_turn(hft_engine *e, hft_arrival *t, const hft_waiting *w) {
    uint64_t now = hft_ticks(&e->clock);
    memcpy(t->txid, w->txid, 32);
    memcpy(t->wtxid, w->wtxid, 32);
    t->fired = t->barred = 0;
    t->ticks[0] = e->reaped_tick < now ? e->reaped_tick : now;
    for (int i = 0; i < HFT_STAGE_DECIDE; i++) t->ticks[i + 1] = now;
}

static void remove_at(hft_engine *e, uint32_t i) {
    e->n_waiting--;
    memmove(&e->waiting[i], &e->waiting[i + 1], (e->n_waiting - i) * sizeof *e->waiting);
}

/* The first that waits for a rule and a transaction, or HFT_WAITING_MAX. */
static uint32_t find(const hft_engine *e, uint32_t rule, const uint8_t txid[32]) {
    for (uint32_t i = 0; i < e->n_waiting; i++)
        if (e->waiting[i].rule == rule && memcmp(e->waiting[i].txid, txid, 32) == 0) return i;
    return HFT_WAITING_MAX;
}

/* code: 0, or why it is given up. */
static void end(hft_engine *e, uint32_t i, int code) {
    hft_waiting w = e->waiting[i];
    hft_arrival t;
    uint32_t other;
    remove_at(e, i);
    while ((other = find(e, w.rule, w.txid)) != HFT_WAITING_MAX) {
        if (code != 0) return; /* it still waits, under another witness */
        remove_at(e, other);
    }
    begin_turn(e, &t, &w);
    hft_told *told = hft_told_find(e, w.txid);
    if (told != NULL) t.barred = told->fired; /* one that it replaces, or that replaced it, may have been faster */
    hft_engine_act(e, w.rule, &t, w.amount_sat, code);
    if (told != NULL && t.fired != 0) hft_told_fire(e, told, t.fired);
}

void hft_waiting_add(hft_engine *e, uint32_t rule, const hft_arrival *t, uint64_t amount_sat) {
    if (e->n_waiting == HFT_WAITING_MAX) end(e, 0, HFT_E_ENGINE_WAITING_FULL);
    hft_waiting *w = &e->waiting[e->n_waiting++];
    *w = (hft_waiting){.rule = rule, .amount_sat = amount_sat,
                       .deadline_ns = e->now_ns + e->config.announce_timeout_ns};
    memcpy(w->txid, t->txid, 32);
    memcpy(w->wtxid, t->wtxid, 32);
}

int hft_waiting_has(const hft_engine *e, uint32_t rule, const uint8_t txid[32]) {
    return find(e, rule, txid) != HFT_WAITING_MAX;
}

void hft_waiting_add_witness(hft_engine *e, uint32_t rule, const hft_arrival *t, uint64_t amount_sat) {
    if (e->n_waiting < HFT_WAITING_MAX) hft_waiting_add(e, rule, t, amount_sat);
}

void hft_waiting_on_announcement(hft_engine *e, const uint8_t hash[32]) {
    for (uint32_t i = 0; i < e->n_waiting;) {
        const hft_waiting *w = &e->waiting[i];
        int is_it = memcmp(w->wtxid, hash, 32) == 0 || memcmp(w->txid, hash, 32) == 0;
        if (is_it && hft_waiting_groups(e, w->txid, w->wtxid) >= e->rules[w->rule].min_peers) {
            end(e, i, 0);
            i = 0; /* those under another witness are gone as well */
        } else {
            i++;
        }
    }
}

void hft_waiting_tick(hft_engine *e) {
    while (e->n_waiting != 0 && e->now_ns >= e->waiting[0].deadline_ns) end(e, 0, HFT_E_ENGINE_TOO_FEW_PEERS);
}
