/* Who spends. The outputs that inputs spend are not at hand, so an owner is what unlocks them (btc.h). */
#include "engine_internal.h"

static hft_sender *find(hft_inputs *inputs, uint32_t label) {
    for (uint32_t i = 0; i < inputs->n_senders; i++)
        if (inputs->senders[i].label == label) return &inputs->senders[i];
    return NULL;
}

const hft_sender *hft_inputs_sender(const hft_arrival *t, uint32_t label) {
    for (uint32_t i = 0; i < t->inputs.n_senders; i++)
        if (t->inputs.senders[i].label == label) return &t->inputs.senders[i];
    return NULL;
}

/* One whose owner is watched; 0 if there is no room for another owner. */
static int add_sender(hft_inputs *inputs, uint32_t label) {
    hft_sender *sender = find(inputs, label);
    if (sender == NULL) {
        if (inputs->n_senders == HFT_SENDERS_MAX) return 0;
        sender = &inputs->senders[inputs->n_senders++];
        *sender = (hft_sender){.label = label};
    }
    sender->n_inputs++;
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
    for (uint32_t i = 0; i < e->n_deposits; i++) e->deposits[i].own = find(inputs, e->deposits[i].label) != NULL;
}

void hft_inputs_weigh(hft_engine *e, hft_arrival *t) {
    hft_inputs *inputs = &t->inputs;
    if (inputs->weighed) return;
    inputs->weighed = 1;
    inputs->total_sat = 0;
    uint32_t pos = t->tx.outputs_pos;
    for (uint32_t i = 0; i < t->tx.n_outputs; i++) {
        hft_btc_output output;
        hft_btc_next_output(&output, &t->tx, &pos);
        inputs->total_sat += output.value;
        int64_t label = hft_watch_find(e->config.watch, output.script, output.script_len, NULL);
        hft_sender *sender = label < 0 ? NULL : find(inputs, (uint32_t)label);
        if (sender != NULL) sender->own_sat += output.value;
    }
}
