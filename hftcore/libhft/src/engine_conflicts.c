/* Transactions that spend what another has spent: which was there before, what it had led to, and what is left of it.
 *
 * Of the transactions that were told of, `matched` keeps the txids and `told`, at the same places, what must be known
 * when one of them is replaced. Those that replace one another, directly or not, are of one group, and what a rule has
 * done for one of them counts for all: of them at most one can ever be confirmed. */
#include <string.h>

#include "engine_internal.h"

/* ---- what was told ---- */

hft_told *hft_told_find(hft_engine *e, const uint8_t txid[32]) {
    const hft_inventory_entry *entry = hft_inventory_find(&e->matched, txid);
    return entry != NULL ? &e->told[entry - e->matched.entries] : NULL;
}

static uint64_t *group_of(hft_engine *e, const hft_told *told) { return &e->told_groups[told - e->told]; }

/* ---- what was ordered for ----
 * Kept apart: orders are few, so they are remembered for much longer than what was told. */

uint64_t hft_fired_rules(const hft_engine *e, const uint8_t txid[32]) {
    const hft_inventory_entry *entry = hft_inventory_find(&e->fired, txid);
    return entry != NULL ? e->fired_rules[entry - e->fired.entries] : 0;
}

void hft_fired_add(hft_engine *e, const uint8_t txid[32], uint64_t rules) {
    const hft_inventory_entry *entry = hft_inventory_find(&e->fired, txid);
    if (entry == NULL) {
        entry = hft_inventory_add(&e->fired, txid);
        e->fired_rules[entry - e->fired.entries] = 0;
    }
    e->fired_rules[entry - e->fired.entries] |= rules;
}

/* The rules that ordered for a transaction or for another of its group. */
static uint64_t rules_of_group(hft_engine *e, const uint8_t txid[32]) {
    const hft_told *told = hft_told_find(e, txid);
    return told != NULL ? told->fired : hft_fired_rules(e, txid);
}

/* The sum for each owner who gets a deposit; more owners than there is room for cannot be told of a revocation. */
static void note_payments(hft_engine *e, hft_told *told) {
    for (uint32_t i = 0; i < e->n_deposits; i++) {
        const hft_deposit *deposit = &e->deposits[i];
        uint32_t j = 0;
        if (deposit->own) continue;
        while (j < told->n_paid && told->paid[j].label != deposit->label) j++;
        if (j == HFT_TOLD_OWNERS_MAX) continue;
        if (j == told->n_paid) told->paid[told->n_paid++] = (hft_payment){.label = deposit->label};
        told->paid[j].amount_sat += deposit->amount_sat;
    }
}

hft_told *hft_told_add(hft_engine *e, const hft_arrival *t) {
    hft_inventory_entry *entry = hft_inventory_add(&e->matched, t->txid);
    hft_told *told = &e->told[entry - e->matched.entries];
    *told = (hft_told){.fired = t->fired, .table = e->n_watches};
    *group_of(e, told) = 0;
    if (t->inputs.looked_at) note_payments(e, told);
    return told;
}

void hft_told_fire(hft_engine *e, hft_told *told, uint64_t rules) {
    uint64_t group = *group_of(e, told);
    told->fired |= rules;
    for (uint32_t i = 0; group != 0 && i < HFT_MATCHED_CAP; i++)
        if (e->told_groups[i] == group) e->told[i].fired |= rules;
}

static void join(hft_engine *e, hft_told *a, hft_told *b) {
    uint64_t *group_a = group_of(e, a), *group_b = group_of(e, b), old = *group_b;
    uint64_t fired = a->fired | b->fired;
    if (*group_a == 0) *group_a = old != 0 ? old : ++e->last_group;
    *group_b = *group_a;
    for (uint32_t i = 0; old != 0 && old != *group_a && i < HFT_MATCHED_CAP; i++)
        if (e->told_groups[i] == old) e->told_groups[i] = *group_a;
    hft_told_fire(e, a, fired);
}

/* ---- outpoints ---- */

static uint32_t n_spent(const hft_arrival *t) {
    return t->tx.n_inputs < HFT_SPENT_MAX ? t->tx.n_inputs : HFT_SPENT_MAX;
}

/* The next n outpoints, at most a batch, from *pos on: their memory comes while the others are hashed. */
static void locate(const hft_engine *e, const hft_arrival *t, uint64_t *hashes, uint32_t n, uint32_t *pos) {
    for (uint32_t i = 0; i < n; i++) {
        hft_btc_input in;
        hft_btc_next_input(&in, &t->tx, pos);
        hashes[i] = hft_outpoints_locate(&e->outpoints, in.prev_txid); /* the index stands behind the txid */
    }
}

static uint32_t batch_of(uint32_t left) { return left < HFT_SPENT_BATCH ? left : HFT_SPENT_BATCH; }

void hft_conflicts_locate(hft_engine *e, hft_arrival *t) {
    t->n_located = e->config.outpoints_cap != 0 ? batch_of(n_spent(t)) : 0;
    t->located_pos = t->tx.inputs_pos;
    locate(e, t, t->located, t->n_located, &t->located_pos);
}

uint64_t hft_conflicts_fired(hft_engine *e, const hft_arrival *t) {
    uint64_t fired = 0, further[HFT_SPENT_BATCH];
    const uint64_t *hashes = t->located;
    uint32_t pos = t->located_pos, left = n_spent(t), n = t->n_located;
    while (n != 0) {
        for (uint32_t i = 0; i < n; i++) {
            const uint8_t *txid = hft_outpoints_find(&e->outpoints, hashes[i]);
            if (txid != NULL && memcmp(txid, t->txid, 32) != 0) fired |= rules_of_group(e, txid);
        }
        left -= n;
        n = batch_of(left);
        locate(e, t, further, n, &pos);
        hashes = further;
    }
    return fired;
}

typedef struct { uint8_t txid[32]; uint32_t n_outpoints; } earlier_spender;
typedef struct { /* fired: by any of them, also where there are more than can be told */
    uint64_t fired;
    uint32_t n;
    earlier_spender spenders[HFT_REPLACED_MAX];
} earlier_spenders;

static void note_earlier(hft_engine *e, earlier_spenders *earlier, const uint8_t txid[32]) {
    uint32_t i = 0;
    earlier->fired |= rules_of_group(e, txid);
    while (i < earlier->n && memcmp(earlier->spenders[i].txid, txid, 32) != 0) i++;
    if (i == HFT_REPLACED_MAX) return;
    if (i == earlier->n) {
        memcpy(earlier->spenders[i].txid, txid, 32);
        earlier->spenders[earlier->n++].n_outpoints = 0;
    }
    earlier->spenders[i].n_outpoints++;
}

/* Notes what the transaction spends, and who spent it before. */
static void take_over(hft_engine *e, const hft_arrival *t, earlier_spenders *earlier) {
    uint64_t hashes[HFT_SPENT_BATCH], number = 0;
    uint32_t pos = t->tx.inputs_pos, n;
    for (uint32_t done = 0; done < n_spent(t); done += n) {
        n = batch_of(n_spent(t) - done);
        locate(e, t, hashes, n, &pos);
        for (uint32_t i = 0; i < n; i++) {
            const uint8_t *txid = hft_outpoints_find(&e->outpoints, hashes[i]);
            /* The same txid is the same transaction, under another witness. */
            if (txid != NULL && memcmp(txid, t->txid, 32) != 0) note_earlier(e, earlier, txid);
            if (done + i == 0) number = hft_outpoints_add(&e->outpoints, t->txid);
            hft_outpoints_put(&e->outpoints, hashes[i], number);
        }
    }
}

/* ---- replacements ---- */

static void report_replacement(hft_engine *e, const hft_arrival *t, const earlier_spender *spender) {
    HFT_COUNT(e->stats.replacements, 1);
    hft_event *event = hft_signals_begin(e, HFT_EVENT_REPLACEMENT, t);
    if (event == NULL) return;
    memcpy(event->replaced, spender->txid, 32);
    event->outpoints = spender->n_outpoints;
    hft_events_end(e);
}

/* The rules that have fired for a payment, or for one that it replaced, and the least that still satisfies them. */
static uint64_t rules_behind(const hft_engine *e, const hft_told *told, const hft_payment *paid, uint64_t *least_sat) {
    uint64_t rules = 0;
    *least_sat = e->config.deposit_min_sat;
    for (uint32_t i = 0; i < e->n_rules; i++) {
        const hft_engine_rule *rule = &e->rules[i];
        int has_fired = (told->fired >> i & 1) != 0;
        if (!has_fired || paid->amount_sat < rule->min_sat || !hft_rule_counts(rule, paid->label)) continue;
        rules |= (uint64_t)1 << i;
        if (rule->min_sat > *least_sat) *least_sat = rule->min_sat;
    }
    return rules;
}

/* Tells of payments of an earlier transaction that this one makes no more. */
static void report_revoked(hft_engine *e, const hft_arrival *t, const hft_told *told, const uint8_t txid[32]) {
    if (told->table != e->n_watches) return; /* its labels are those of an earlier table */
    for (uint32_t i = 0; i < told->n_paid; i++) {
        const hft_payment *paid = &told->paid[i];
        uint64_t left_sat = 0, least_sat;
        uint64_t rules = rules_behind(e, told, paid, &least_sat);
        for (uint32_t j = 0; j < e->n_deposits; j++)
            if (e->deposits[j].label == paid->label && !e->deposits[j].own) left_sat += e->deposits[j].amount_sat;
        if (left_sat >= least_sat || paid->amount_sat < least_sat) continue;
        HFT_COUNT(e->stats.revoked, 1);
        hft_event *event = hft_signals_begin(e, HFT_EVENT_REVOKED, t);
        if (event == NULL) continue;
        memcpy(event->replaced, txid, 32);
        event->amount_sat = paid->amount_sat;
        event->left_sat = left_sat;
        event->rules = rules;
        event->labels[event->n_labels++] = paid->label;
        hft_events_end(e);
    }
}

void hft_conflicts_note(hft_engine *e, hft_arrival *t, hft_told *told) {
    earlier_spenders earlier = {.fired = 0, .n = 0};
    if (e->config.outpoints_cap == 0) return;
    hft_arrival_name(t);
    take_over(e, t, &earlier);
    if (earlier.n == 0) return;
    if (told == NULL) told = hft_told_find(e, t->txid); /* under another witness */
    for (uint32_t i = 0; i < earlier.n; i++) {
        const earlier_spender *spender = &earlier.spenders[i];
        report_replacement(e, t, spender);
        hft_told *before = hft_told_find(e, spender->txid);
        if (before == NULL) continue;
        report_revoked(e, t, before, spender->txid);
        if (told == NULL) told = hft_told_add(e, t); /* so that what replaces it is known, too */
        before = hft_told_find(e, spender->txid);
        if (before != NULL) join(e, before, told);
    }
    if (earlier.fired == 0) return;
    if (told == NULL) told = hft_told_add(e, t);
    hft_told_fire(e, told, earlier.fired);
    hft_fired_add(e, t->txid, earlier.fired);
}
