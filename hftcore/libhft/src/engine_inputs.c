/* Who spends. The outputs that inputs spend are not at hand, so an owner is what unlocks them (btc.h). */
#include "engine_internal.h"

/* Where a label is among the senders; their number if it is none of them. */
static uint32_t place_of(const hft_inputs *inputs, uint32_t label) {
    uint32_t i = 0;
    while (i < inputs->n_senders && inputs->senders[i].label != label) i++;
    return i;
}

const hft_sender *hft_inputs_sender(const hft_arrival *t, uint32_t label) {
    uint32_t i = place_of(&t->inputs, label);
    return i < t->inputs.n_senders ? &t->inputs.senders[i] : NULL;
}

/* One whose owner is watched; 0 if there is no room for another owner. */
static int add_sender(hft_inputs *inputs, uint32_t label) {
    uint32_t i = place_of(inputs, label);
    if (i == HFT_SENDERS_MAX) return 0;
    if (i == inputs->n_senders) inputs->senders[inputs->n_senders++] = (hft_sender){.label = label};
    inputs->senders[i].n_inputs++;
    return 1;
}

/* What a batch of owners is under in the watch table. */
static void note_owners(hft_engine *e, hft_inputs *inputs, const hft_btc_owner *owners, size_t n) {
    const uint8_t *scripts[HFT_WATCH_BATCH];
    size_t lens[HFT_WATCH_BATCH];
    int64_t labels[HFT_WATCH_BATCH];
    uint32_t entries[HFT_WATCH_BATCH];
    for (size_t i = 0; i < n; i++) {
        scripts[i] = owners[i].script;
        lens[i] = owners[i].script_len;
    }
    hft_watch_find_many(e->config.watch, labels, entries, scripts, lens, n);
    for (size_t i = 0; i < n; i++) inputs->n_known += labels[i] < 0 || add_sender(inputs, (uint32_t)labels[i]);
}

void hft_inputs_look(hft_engine *e, hft_arrival *t) {
    hft_inputs *inputs = &t->inputs;
    hft_btc_owner owners[HFT_WATCH_BATCH];
    size_t n = 0;
    if (inputs->looked_at) return;
    inputs->looked_at = 1;
    inputs->n_known = inputs->n_taproot = inputs->n_senders = 0;
    uint32_t input_pos = t->tx.inputs_pos, witness_pos = t->tx.witness_pos;
    for (uint32_t i = 0; i < t->tx.n_inputs && i < e->config.inputs_max; i++) {
        hft_btc_input in;
        hft_btc_witness witness;
        hft_btc_next_input(&in, &t->tx, &input_pos);
        hft_btc_next_witness(&witness, &t->tx, &witness_pos);
        uint8_t reason = HFT_BTC_OWNER_KNOWN;
        if (hft_btc_input_owner(&owners[n], &in, &witness)) n++;
        else reason = owners[n].reason;
        inputs->n_taproot += reason == HFT_BTC_OWNER_TAPROOT_KEY || reason == HFT_BTC_OWNER_TAPROOT_SCRIPT;
        if (n < HFT_WATCH_BATCH) continue;
        note_owners(e, inputs, owners, n);
        n = 0;
    }
    note_owners(e, inputs, owners, n);
    for (uint32_t i = 0; i < e->n_deposits; i++)
        e->deposits[i].own = hft_inputs_sender(t, e->deposits[i].label) != NULL;
}

void hft_inputs_weigh(hft_engine *e, hft_arrival *t) {
    hft_inputs *inputs = &t->inputs;
    if (inputs->weighed) return;
    inputs->weighed = 1;
    inputs->total_sat = 0;
    uint32_t pos = t->tx.outputs_pos;
    hft_output_batch batch;
    for (uint32_t done = 0; done < t->tx.n_outputs; done += batch.n) {
        hft_outputs_next(e, &batch, &t->tx, t->tx.n_outputs - done, &pos);
        for (uint32_t i = 0; i < batch.n; i++) {
            inputs->total_sat += batch.values[i];
            uint32_t place = batch.labels[i] < 0 ? inputs->n_senders : place_of(inputs, (uint32_t)batch.labels[i]);
            if (place < inputs->n_senders) inputs->senders[place].own_sat += batch.values[i];
        }
    }
}
