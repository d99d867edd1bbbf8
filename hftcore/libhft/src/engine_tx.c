/* THE HOT PATH: from a transaction's bytes to a submitted order, in straight line.
 *
 * No allocation, no lock, one system call (the submit). What can wait (events, histograms) is done after it. */
#include <string.h>

#include "engine_internal.h"
#include "hft/ripemd160.h"
#include "hft/sha256.h"
#include "hft/text.h"

typedef struct { size_t len; char text[HFT_CLIENT_ID_MAX]; } client_id;

static void stamp(const hft_engine *e, hft_arrival *t, int stage_done) {
    t->ticks[stage_done + 1] = hft_ticks(&e->clock);
}

/* Sums what the outputs pay to each watched script, and finds the largest output to another. */
static void scan_outputs(hft_engine *e, hft_arrival *t) {
    uint32_t pos = t->tx.outputs_pos;
    e->n_deposits = 0;
    t->unknown_sat = 0;
    hft_output_batch batch;
    for (uint32_t first = 0; first < t->tx.n_outputs; first += batch.n) {
        hft_outputs_next(e, &batch, &t->tx, t->tx.n_outputs - first, &pos);
        for (uint32_t i = 0; i < batch.n; i++) {
            if (batch.labels[i] < 0 && batch.values[i] > t->unknown_sat) t->unknown_sat = batch.values[i];
            if (batch.labels[i] < 0 || batch.values[i] == 0) continue;
            hft_deposit *deposit = hft_deposits_at(e, batch.entries[i]);
            if (deposit->amount_sat == 0) {
                deposit->label = (uint32_t)batch.labels[i];
                deposit->output = first + i;
            }
            deposit->amount_sat += batch.values[i];
        }
    }
    hft_deposits_end(e);
}

/* Hashes what is needed: the wtxid checks the message and names the transaction; the txid is for those that matter,
 * and for peers that announce by it. 1 = the checksum holds. */
static int verify(const hft_engine *e, hft_arrival *t, const hft_btc_message *message) {
    t->txid_known = e->n_deposits != 0 || hft_may_be_whale(e, t) || !e->peers[t->peer].session.wtxid_relay;
    if (t->txid_known) hft_btc_ids(t->txid, t->wtxid, &t->tx);
    else hft_sha256d_digest(t->wtxid, message->payload, message->payload_len);
    return memcmp(t->wtxid, &message->checksum, 4) == 0;
}

/* Counts a transaction that will not be looked at further; a peer that sends nonsense under a right checksum is
 * closed. */
static void refuse_malformed(hft_engine *e, uint32_t peer, const hft_btc_message *message, int rc) {
    uint8_t hash[32];
    if (!hft_btc_checksum(hash, message)) {
        e->peers[peer].session.checksum_errors++;
        return;
    }
    HFT_COUNT(e->stats.malformed, 1);
    hft_conn_close(&e->peers[peer].session.conn, rc, "transaction");
}

/* Peers that announce by txid and by wtxid have two entries for one transaction: the wtxid decides. */
static int has_twin(const hft_engine *e, const hft_arrival *t) {
    return !e->peers[t->peer].session.wtxid_relay && memcmp(t->txid, t->wtxid, 32) != 0;
}

/* 1 if it was asked for and is new. */
static int is_news(hft_engine *e, hft_arrival *t) {
    int by_wtxid = e->peers[t->peer].session.wtxid_relay;
    t->announced = hft_inventory_find(&e->inventory, by_wtxid ? t->wtxid : t->txid);
    if (t->announced == NULL) {
        HFT_COUNT(e->stats.unrequested, 1);
        return 0;
    }
    const hft_inventory_entry *twin = has_twin(e, t) ? hft_inventory_find(&e->inventory, t->wtxid) : NULL;
    int received_before = t->announced->state == HFT_INVENTORY_RECEIVED ||
                          (twin != NULL && twin->state == HFT_INVENTORY_RECEIVED);
    HFT_COUNT(e->stats.duplicates, received_before);
    HFT_COUNT(e->stats.transactions, !received_before);
    return !received_before;
}

/* Writes down that it has arrived; after an order has left, because it touches what is seldom in the caches. */
static void mark_received(hft_engine *e, const hft_arrival *t) {
    if (t->announced == NULL) return;
    hft_inventory_received(e, t->announced, t->peer);
    if (!has_twin(e, t)) return;
    hft_inventory_entry *twin = hft_inventory_find(&e->inventory, t->wtxid);
    hft_inventory_received(e, twin != NULL ? twin : hft_inventory_remember(e, t->wtxid), t->peer);
}

/* ---- orders ---- */

/* 1 if a rule acts on a deposit, as far as its script and amount say. */
static int may_act(const hft_engine_rule *rule, const hft_deposit *deposit) {
    return deposit->amount_sat >= rule->min_sat && hft_rule_counts(rule, deposit->label);
}

/* 1 if the inputs agree. A deposit whose own owner spends is none; a move within one house is for rules that ask. */
static int inputs_allow(hft_engine *e, const hft_engine_rule *rule, hft_arrival *t, const hft_deposit *deposit) {
    hft_inputs_look(e, t);
    if (!deposit->own) return !rule->certain_only || t->inputs.n_known == t->tx.n_inputs;
    if (!rule->internal) return 0;
    hft_inputs_weigh(e, t);
    return hft_is_internal(t, hft_inputs_sender(t, deposit->label));
}

/* The deposit that a rule acts on: the largest that counts, so that the answer does not hang on output order. */
static const hft_deposit *deposit_for(hft_engine *e, const hft_engine_rule *rule, hft_arrival *t) {
    const hft_deposit *best = NULL;
    for (uint32_t i = 0; i < e->n_deposits; i++) {
        const hft_deposit *deposit = &e->deposits[i];
        if (best != NULL && deposit->amount_sat <= best->amount_sat) continue;
        if (may_act(rule, deposit) && inputs_allow(e, rule, t, deposit)) best = deposit;
    }
    return best;
}

/* "h", the rule in two hex digits, "-", and the first 24 digits of the txid: the same signal gives the same id. */
static void put_client_id(client_id *id, uint32_t rule, const uint8_t txid[32]) {
    uint8_t display[12], index = (uint8_t)rule;
    for (int i = 0; i < 12; i++) display[i] = txid[31 - i];
    id->text[0] = 'h';
    hft_hex_encode(id->text + 1, &index, 1);
    id->text[3] = '-';
    hft_hex_encode(id->text + 4, display, sizeof display);
    id->len = 28;
}

/* Why this order may not leave, or 0: then the risk gate counts it as sent. */
static int decide(hft_engine *e, uint32_t rule_index, const uint8_t txid[32]) {
    const hft_engine_rule *rule = &e->rules[rule_index];
    if ((hft_fired_rules(e, txid) >> rule_index & 1) != 0) return HFT_E_ENGINE_DUPLICATE;
    const hft_engine_venue *v = &e->venues[rule->venue];
    /* A connection that is closing still counts as ready until it is closed. */
    int is_open = v->session.state == HFT_WSCLIENT_OPEN && v->session.conn.state == HFT_CONN_OPEN;
    if (!v->link.ready || !is_open || e->stopping) return HFT_E_ENGINE_NOT_READY;
    if (hft_venue_is_held(e, v)) return HFT_E_ENGINE_HOLD;
    if (e->n_pending == e->config.pending_cap) return HFT_E_ENGINE_PENDING_FULL;
    if (!hft_events_room_for_order(e)) return HFT_E_ENGINE_EVENTS_FULL;
    hft_risk_kill(&e->risk, atomic_load_explicit(&e->killed, memory_order_relaxed));
    return hft_risk_check(&e->risk, rule_index, rule->notional, e->now_ns);
}

/* The order's frame; see hft_venue_frame. now: a tick. */
static int build(hft_engine *e, hft_engine_rule *rule, uint64_t now, const client_id *id, const uint8_t **frame,
                 size_t *frame_len) {
    hft_order_value values[HFT_ORDER_SLOTS_MAX]; /* a rule's template has no other slots: not worth zeroing */
    values[rule->client_id_slot].text = id->text;
    values[rule->client_id_slot].text_len = id->len;
    values[rule->timestamp_slot].u64 = hft_venue_time_ns(e, rule->venue, now);
    if (rule->quantity_slot >= 0) values[rule->quantity_slot].u64 = rule->quantity;
    return hft_venue_frame(&e->venues[rule->venue].session, frame, frame_len, &rule->order, values);
}

/* The frame of an order signed ahead; its client id takes the place of the signal's. Returns 1, 0 = there is none, or
 * an error. */
static int take_presigned(hft_engine *e, hft_engine_rule *rule, uint64_t now, client_id *id, const uint8_t **frame,
                          size_t *frame_len) {
    hft_presigned order;
    if (rule->presign_window_ns == 0) return 0;
    if (!hft_presign_take(&rule->ahead, &order, hft_venue_time_ns(e, rule->venue, now))) return 0;
    e->next_presign_ns = 0;
    memcpy(id->text, order.id, order.id_len);
    id->len = order.id_len;
    int rc = hft_wsclient_frame(&e->venues[rule->venue].session, frame, frame_len, HFT_WS_OP_TEXT, order.message,
                                order.message_len);
    return rc < 0 ? rc : 1;
}

/* Builds, encrypts and submits. 0 or an error: then nothing has left. */
static int place(hft_engine *e, hft_engine_rule *rule, hft_arrival *t, client_id *id) {
    hft_conn *conn = &e->venues[rule->venue].session.conn;
    const uint8_t *frame;
    size_t frame_len;
    uint64_t now = t->ticks[HFT_STAGE_DECIDE + 1];
    int rc = take_presigned(e, rule, now, id, &frame, &frame_len);
    if (rc == 0) rc = build(e, rule, now, id, &frame, &frame_len);
    if (rc < 0) return rc;
    stamp(e, t, HFT_STAGE_BUILD);
    if (e->config.dry_run) {
        stamp(e, t, HFT_STAGE_ENCRYPT);
        stamp(e, t, HFT_STAGE_SUBMIT);
        return 0;
    }
    rc = hft_conn_commit(conn, frame, frame_len);
    if (rc < 0) {
        if (rc != HFT_E_CONN_SEND_FULL) hft_conn_close(conn, rc, conn->tls.err.text);
        return rc;
    }
    stamp(e, t, HFT_STAGE_ENCRYPT);
    /* From here on the order may reach the venue, so no failure may call it unsent. */
    rc = hft_conn_flush(conn);
    if (rc == 0) rc = hft_ring_submit(&e->ring);
    if (rc < 0) hft_conn_close(conn, rc, "send");
    stamp(e, t, HFT_STAGE_SUBMIT);
    return 0;
}

int hft_engine_sign_ahead(hft_engine *e) {
    if (e->presign_memory == NULL || e->now_ns < e->next_presign_ns) return 0;
    for (uint32_t i = 0; i < e->n_rules; i++) {
        hft_engine_rule *rule = &e->rules[i];
        if (rule->presign_window_ns == 0 || !e->venues[rule->venue].link.ready) continue;
        uint64_t now_ns = hft_venue_time_ns(e, rule->venue, hft_ticks(&e->clock));
        if (hft_presign_refresh(&rule->ahead, now_ns, NULL) == 1) return 1;
    }
    e->next_presign_ns = e->now_ns + HFT_PRESIGN_STEP_NS / 4;
    return 0;
}

/* Walks the way of an order up to the last step, without taking it: code and data that lay idle for some milliseconds
 * are out of the caches, and the first order would pay for it (tls.h has figures). */
void hft_engine_rehearse(hft_engine *e) {
    static const client_id id = {28, "rehearsal-000000000000000000"}; /* as long as an order's: nothing moves */
    for (uint32_t i = 0; i < e->n_rules && i < HFT_REHEARSED_RULES; i++) {
        hft_engine_rule *rule = &e->rules[(e->next_rehearsed++) % e->n_rules];
        const hft_engine_venue *v = &e->venues[rule->venue];
        const uint8_t *frame;
        size_t frame_len;
        uint8_t hashes[2][32];
        if (!v->link.ready) continue;
        uint64_t now = hft_ticks(&e->clock);
        if (build(e, rule, now, &id, &frame, &frame_len) < 0) continue;
        hft_sha256d_digest2(hashes[0], frame, frame_len / 2, hashes[1], frame, frame_len / 4);
        hft_hash160(hashes[0], frame, 33); /* as the owner of an input */
        if (v->session.conn.use_tls) hft_tls_rehearse(v->config.tls, frame, frame_len);
    }
    e->rehearsal_due = 0;
    e->next_rehearsal_ns = e->now_ns + HFT_REHEARSAL_NS;
}

static void record_latency(hft_engine *e, const hft_arrival *t, hft_event *event) {
    uint64_t total_ns = hft_ticks_to_ns(&e->clock, t->ticks[HFT_STAGES] - t->ticks[0]);
    for (int i = 0; i < HFT_STAGES; i++) {
        hft_hist_record(&e->latency[i], hft_stage_ns(e, t, i));
        if (event != NULL) event->stages_ns[i] = hft_clamp_u32(hft_stage_ns(e, t, i));
    }
    hft_hist_record(&e->latency[HFT_LATENCY_TOTAL], total_ns);
    if (event != NULL) event->stages_ns[HFT_STAGES] = hft_clamp_u32(total_ns);
}

static void keep_pending(hft_engine *e, uint32_t rule_index, const hft_arrival *t, uint64_t amount_sat,
                         const client_id *id) {
    const hft_engine_rule *rule = &e->rules[rule_index];
    hft_pending *p = hft_orders_reserve(e);
    p->state = HFT_ORDER_SENT;
    p->rule = (uint16_t)rule_index;
    p->venue = (uint16_t)rule->venue;
    p->sent_ns = e->now_ns;
    p->amount_sat = amount_sat;
    p->quantity = rule->quantity;
    memcpy(p->txid, t->txid, 32);
    memcpy(p->client_id, id->text, id->len);
    p->client_id_len = (uint8_t)id->len;
}

static void report_order(hft_engine *e, uint32_t rule_index, const hft_arrival *t, uint64_t amount_sat, int code,
                         const client_id *id) {
    hft_event *event = hft_events_begin(e, HFT_EVENT_ORDER, code != 0);
    if (code == 0) record_latency(e, t, event);
    if (event == NULL) return;
    event->state = code != 0 ? HFT_ORDER_REFUSED : e->config.dry_run ? HFT_ORDER_DRY_RUN : HFT_ORDER_SENT;
    event->code = code;
    event->rule = (uint16_t)rule_index;
    event->venue = (uint16_t)e->rules[rule_index].venue;
    event->amount_sat = amount_sat;
    event->quantity = e->rules[rule_index].quantity;
    memcpy(event->txid, t->txid, 32);
    memcpy(event->client_id, id->text, id->len);
    event->client_id_len = (uint8_t)id->len;
    hft_events_end(e);
}

void hft_engine_act(hft_engine *e, uint32_t rule_index, hft_arrival *t, uint64_t amount_sat, int code) {
    client_id id;
    put_client_id(&id, rule_index, t->txid);
    if (code == 0 && (t->barred >> rule_index & 1) != 0) code = HFT_E_ENGINE_REPLACEMENT;
    int rc = code < 0 ? code : decide(e, rule_index, t->txid);
    stamp(e, t, HFT_STAGE_DECIDE);
    if (rc == 0) {
        rc = place(e, &e->rules[rule_index], t, &id);
        t->fired |= (uint64_t)1 << rule_index;
        hft_fired_add(e, t->txid, (uint64_t)1 << rule_index); /* even if nothing left: one signal, one try */
    }
    if (rc == 0 && !e->config.dry_run) keep_pending(e, rule_index, t, amount_sat, &id);
    if (rc < 0) HFT_COUNT(e->stats.orders_refused, 1);
    else if (e->config.dry_run) HFT_COUNT(e->stats.orders_dry_run, 1);
    else HFT_COUNT(e->stats.orders_sent, 1);
    report_order(e, rule_index, t, amount_sat, rc, &id);
}

static void try_rule(hft_engine *e, uint32_t rule_index, hft_arrival *t) {
    const hft_engine_rule *rule = &e->rules[rule_index];
    const hft_deposit *deposit = deposit_for(e, rule, t);
    if (deposit == NULL) return;
    int is_barred = (t->barred >> rule_index & 1) != 0;
    if (rule->min_peers > 1 && !is_barred && hft_waiting_groups(e, t->txid, t->wtxid) < rule->min_peers)
        hft_waiting_add(e, rule_index, t, deposit->amount_sat);
    else
        hft_engine_act(e, rule_index, t, deposit->amount_sat, 0);
}

/* The same payments under another witness order nothing anew. But an order may wait for peers who announce this one:
 * nobody will announce a witness that one peer has made up. */
static void try_witness(hft_engine *e, hft_arrival *t) {
    for (uint32_t i = 0; i < e->n_rules; i++) {
        if (!hft_waiting_has(e, i, t->txid)) continue;
        const hft_deposit *deposit = deposit_for(e, &e->rules[i], t);
        if (deposit != NULL) hft_waiting_add_witness(e, i, t, deposit->amount_sat);
    }
    hft_waiting_on_announcement(e, t->wtxid);
}

void hft_engine_on_tx(hft_engine *e, uint32_t peer, const hft_btc_message *message) {
    hft_arrival t;
    t.peer = peer;
    t.inputs.looked_at = t.inputs.weighed = 0;
    t.fired = t.barred = t.n_located = 0;
    t.ticks[0] = e->reaped_tick;
    stamp(e, &t, HFT_STAGE_QUEUE);
    int rc = hft_btc_parse_tx(&t.tx, message->payload, message->payload_len);
    if (rc == 0 && t.tx.size != message->payload_len) rc = HFT_E_BTC_TRAILING;
    if (rc < 0) {
        refuse_malformed(e, peer, message, rc);
        return;
    }
    scan_outputs(e, &t);
    if (e->n_deposits != 0 && e->n_rules != 0) hft_conflicts_locate(e, &t);
    stamp(e, &t, HFT_STAGE_PARSE);
    if (!verify(e, &t, message)) {
        e->peers[peer].session.checksum_errors++;
        return;
    }
    uint32_t place = t.txid_known ? hft_inventory_locate(&e->matched, t.txid) : 0;
    stamp(e, &t, HFT_STAGE_VERIFY);
    int is_new = is_news(e, &t);
    int matters = is_new && (e->n_deposits != 0 || hft_may_be_whale(e, &t));
    if (matters && hft_inventory_find_at(&e->matched, place, t.txid) != NULL) {
        matters = 0;
        if (e->n_waiting != 0) try_witness(e, &t);
    }
    if (matters && t.n_located != 0) t.barred = hft_conflicts_fired(e, &t);
    for (uint32_t i = 0; matters && i < e->n_rules; i++) try_rule(e, i, &t);
    mark_received(e, &t);
    if (is_new) hft_signals_report(e, &t, matters);
}
