/* What a transaction is: a deposit, a withdrawal, a move within one house, a whale. Told after its orders have left. */
#include <string.h>

#include "engine_internal.h"

hft_event *hft_signals_begin(hft_engine *e, hft_event_kind kind, const hft_arrival *t) {
    hft_event *event = hft_events_begin(e, kind, 1);
    if (event == NULL) return NULL;
    memcpy(event->txid, t->txid, 32);
    memcpy(event->wtxid, t->wtxid, 32);
    event->peer = (uint16_t)t->peer;
    event->inputs = t->tx.n_inputs;
    event->inputs_known = t->inputs.looked_at ? t->inputs.n_known : 0;
    event->inputs_taproot = t->inputs.looked_at ? t->inputs.n_taproot : 0;
    for (int i = 0; i <= HFT_STAGE_VERIFY; i++) event->stages_ns[i] = hft_clamp_u32(hft_stage_ns(e, t, i));
    return event;
}

/* Each label once, as many as there is room for. */
static void add_label(hft_event *event, uint32_t label) {
    for (uint32_t i = 0; i < event->n_labels; i++)
        if (event->labels[i] == label) return;
    if (event->n_labels < HFT_EVENT_LABELS_MAX) event->labels[event->n_labels++] = label;
}

/* 0 for a payment that is of interest to a rule alone. */
static int is_of_interest(const hft_engine *e, const hft_deposit *deposit) {
    return deposit->amount_sat >= e->config.deposit_min_sat;
}

static void report_deposit(hft_engine *e, const hft_arrival *t, const hft_deposit *deposit) {
    HFT_COUNT(e->stats.deposits, 1);
    hft_event *event = hft_signals_begin(e, HFT_EVENT_DEPOSIT, t);
    if (event == NULL) return;
    event->amount_sat = deposit->amount_sat;
    event->output = deposit->output;
    add_label(event, deposit->label);
    for (uint32_t i = 0; i < t->inputs.n_senders; i++) add_label(event, t->inputs.senders[i].label);
    hft_events_end(e);
}

static void report_sender(hft_engine *e, const hft_arrival *t, const hft_sender *sender) {
    int internal = hft_is_internal(t, sender);
    uint64_t amount_sat = internal ? sender->own_sat : t->inputs.total_sat - sender->own_sat;
    if (amount_sat < e->config.deposit_min_sat) return;
    if (internal) HFT_COUNT(e->stats.internals, 1);
    else HFT_COUNT(e->stats.withdrawals, 1);
    hft_event *event = hft_signals_begin(e, internal ? HFT_EVENT_INTERNAL : HFT_EVENT_WITHDRAWAL, t);
    if (event == NULL) return;
    event->amount_sat = amount_sat;
    event->inputs_own = sender->n_inputs;
    add_label(event, sender->label);
    for (uint32_t i = 0; !internal && i < e->n_deposits; i++)
        if (is_of_interest(e, &e->deposits[i])) add_label(event, e->deposits[i].label);
    hft_events_end(e);
}

static void report_whale(hft_engine *e, const hft_arrival *t) {
    HFT_COUNT(e->stats.whales, 1);
    hft_event *event = hft_signals_begin(e, HFT_EVENT_WHALE, t);
    if (event == NULL) return;
    event->amount_sat = t->unknown_sat;
    hft_events_end(e);
}

/* 1 if a watched owner is among the inputs of a transaction whose outputs say nothing. */
static int is_withdrawal(hft_engine *e, hft_arrival *t) {
    if (!e->config.withdrawals || e->config.watch->n_entries == 0) return 0;
    hft_inputs_look(e, t);
    if (t->inputs.n_senders == 0) return 0;
    hft_arrival_name(t);
    return hft_inventory_find(&e->matched, t->txid) == NULL;
}

void hft_signals_report(hft_engine *e, hft_arrival *t, int matters) {
    matters = matters || is_withdrawal(e, t);
    if (matters) hft_inputs_look(e, t);
    hft_conflicts_note(e, t, matters ? hft_told_add(e, t) : NULL);
    if (!matters) return;
    if (t->inputs.n_senders != 0) hft_inputs_weigh(e, t);
    else if (hft_may_be_whale(e, t)) report_whale(e, t);
    for (uint32_t i = 0; i < e->n_deposits; i++) {
        const hft_deposit *deposit = &e->deposits[i];
        if (!deposit->own && is_of_interest(e, deposit)) report_deposit(e, t, deposit);
    }
    for (uint32_t i = 0; i < t->inputs.n_senders; i++) report_sender(e, t, &t->inputs.senders[i]);
}
