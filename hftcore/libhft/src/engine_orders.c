#include <string.h>

#include "engine_internal.h"
#include "hft/text.h"

#define STATUS_OK 200

hft_pending *hft_orders_reserve(hft_engine *e) {
    for (uint32_t i = 0; i < e->config.pending_cap; i++) {
        hft_pending *p = &e->pending[i];
        if (p->used) continue;
        memset(p, 0, sizeof *p);
        p->used = 1;
        e->n_pending++;
        return p;
    }
    return NULL;
}

static hft_pending *find(hft_engine *e, uint32_t venue, const hft_json_value *id) {
    for (uint32_t i = 0; i < e->config.pending_cap && id->ptr != NULL; i++) {
        hft_pending *p = &e->pending[i];
        if (p->used && p->venue == venue && p->client_id_len == id->len &&
            memcmp(p->client_id, id->ptr, id->len) == 0)
            return p;
    }
    return NULL;
}

static int is_final(uint8_t state) {
    return state == HFT_ORDER_FILLED || state == HFT_ORDER_CANCELED || state == HFT_ORDER_REJECTED;
}

/* ---- what happened to an order ---- */

static uint8_t copy_text(char *out, size_t cap, const hft_json_value *value) {
    size_t len = value->len < cap ? value->len : cap;
    if (value->ptr != NULL) memcpy(out, value->ptr, len);
    return value->ptr != NULL ? (uint8_t)len : 0;
}

/* Queues the event about the order's state, or leaves it dirty until there is room; frees what is over. */
static void report(hft_engine *e, hft_pending *p) {
    hft_event *event = hft_events_begin(e, HFT_EVENT_ORDER, 0);
    p->dirty = event == NULL;
    if (event == NULL) return;
    event->state = p->state;
    event->rule = p->rule;
    event->venue = p->venue;
    event->code = p->code;
    event->venue_code = p->venue_code;
    event->error_class = p->error_class;
    event->amount_sat = p->amount_sat;
    event->quantity = p->quantity;
    event->reply_ns = p->reply_ns;
    memcpy(event->txid, p->txid, sizeof p->txid);
    memcpy(event->client_id, p->client_id, p->client_id_len);
    memcpy(event->order_id, p->order_id, p->order_id_len);
    memcpy(event->filled, p->filled, p->filled_len);
    event->client_id_len = p->client_id_len;
    event->order_id_len = p->order_id_len;
    event->filled_len = p->filled_len;
    memcpy(event->text, p->text, sizeof p->text);
    hft_events_end(e);
    if (!is_final(p->state)) return;
    p->used = 0;
    e->n_pending--;
}

static void count_state(hft_engine *e, hft_pending *p, uint8_t state) {
    if (p->state == HFT_ORDER_UNKNOWN) HFT_COUNT(e->stats.orders_unknown_now, -1);
    if (state == HFT_ORDER_UNKNOWN) HFT_COUNT(e->stats.orders_unknown_now, 1);
    if (state == HFT_ORDER_REJECTED) HFT_COUNT(e->stats.orders_rejected, 1);
    if (state == HFT_ORDER_FILLED) HFT_COUNT(e->stats.orders_filled, 1);
    if (state == HFT_ORDER_CANCELED) HFT_COUNT(e->stats.orders_canceled, 1);
    if (state == HFT_ORDER_UNKNOWN || state == HFT_ORDER_REJECTED || p->accepted) return;
    p->accepted = 1;
    HFT_COUNT(e->stats.orders_acknowledged, 1);
}

/* Answers may come out of order (a fill before its acknowledgement), but a state never goes back. */
static int is_progress(const hft_pending *p, uint8_t state, const hft_json_value *filled) {
    if (is_final(p->state)) return 0;
    if (state == HFT_ORDER_PARTIALLY_FILLED && p->state == HFT_ORDER_PARTIALLY_FILLED)
        return !hft_json_equals(filled, p->filled, p->filled_len);
    if (state == HFT_ORDER_UNKNOWN) return p->state == HFT_ORDER_SENT;
    return p->state == HFT_ORDER_UNKNOWN || state > p->state;
}

static void set_state(hft_engine *e, hft_pending *p, uint8_t state, const hft_json_value *filled) {
    static const hft_json_value nothing;
    if (!is_progress(p, state, filled != NULL ? filled : &nothing)) return;
    count_state(e, p, state);
    p->state = state;
    p->reply_ns = e->now_ns - p->sent_ns;
    if (filled != NULL && filled->ptr != NULL) p->filled_len = copy_text(p->filled, sizeof p->filled, filled);
    if (state != HFT_ORDER_UNKNOWN && state != HFT_ORDER_REJECTED) {
        p->code = p->venue_code = p->error_class = 0;
        p->text[0] = '\0';
    }
    report(e, p);
}

static void ask_now(const hft_engine *e, hft_pending *p) { /* from now on its state must be asked for */
    p->ask = 1;
    p->n_queries = 0;
    p->next_query_ns = e->now_ns;
}

static void set_unknown(hft_engine *e, hft_pending *p, const char *text) {
    if (p->state != HFT_ORDER_SENT) return;
    p->code = HFT_E_ENGINE_UNKNOWN;
    p->error_class = HFT_ERROR_OUTCOME_UNKNOWN;
    size_t len = strlen(text);
    memcpy(p->text, text, len + 1);
    ask_now(e, p);
    set_state(e, p, HFT_ORDER_UNKNOWN, NULL);
}

/* ---- replies ---- */

static int contains(const char *text, size_t len, const char *part) {
    size_t part_len = strlen(part);
    for (size_t i = 0; i + part_len <= len; i++)
        if (memcmp(text + i, part, part_len) == 0) return 1;
    return 0;
}

int64_t hft_orders_integer(const hft_json_value *value) {
    uint64_t magnitude = 0;
    if (value->ptr == NULL || value->len == 0) return 0;
    int negative = value->ptr[0] == '-';
    int rc = hft_u64_parse(&magnitude, value->ptr + negative, value->len - (size_t)negative);
    if (rc < 0 || magnitude > INT64_MAX) return 0;
    return negative ? -(int64_t)magnitude : (int64_t)magnitude;
}

uint8_t hft_orders_error_class(const hft_engine_venue *v, const hft_json_value *values) {
    const hft_json_value *message = &values[HFT_REPLY_ERROR_MESSAGE];
    const char *text = message->ptr != NULL ? message->ptr : "";
    int64_t code = hft_orders_integer(&values[HFT_REPLY_ERROR_CODE]);
    for (uint32_t i = 0; i < v->config.n_errors; i++)
        if (v->config.errors[i].code == code && contains(text, message->len, v->config.errors[i].text))
            return v->config.errors[i].class;
    return HFT_ERROR_OTHER;
}

static uint8_t state_of(const hft_engine_venue *v, const hft_json_value *status) {
    for (uint32_t i = 0; i < v->config.n_states; i++)
        if (hft_json_equals(status, v->config.states[i].name, strlen(v->config.states[i].name)))
            return v->config.states[i].state;
    return HFT_ORDER_ACKNOWLEDGED;
}

/* 1 if an error reply to an order does not say for sure that there is no order. */
static int is_in_doubt(const hft_engine_venue *v, uint8_t class, const hft_json_value *status) {
    int64_t open_from = v->config.open_outcome_status;
    /* A client id that is in use belongs to an order of the same signal, placed before: its fate is ours. */
    if (class == HFT_ERROR_OUTCOME_UNKNOWN || class == HFT_ERROR_DUPLICATE) return 1;
    if (status->ptr != NULL && status->type != HFT_JSON_NUMBER) return 1;
    return class == HFT_ERROR_OTHER && open_from != 0 && hft_orders_integer(status) >= open_from;
}

/* 1 if "no such order" can be believed: the question left when the venue could no longer be working on the order. */
static int is_gone(const hft_engine_venue *v, hft_pending *p, uint8_t class, uint64_t asked_ns) {
    if (class != HFT_ERROR_UNKNOWN_ORDER) return 0;
    /* The venue has confirmed this one: the question was overtaken, or the order has left its records since. */
    if (p->state != HFT_ORDER_UNKNOWN) p->ask = 0;
    return p->ask && asked_ns > p->sent_ns + v->config.placement_max_ns;
}

static void on_error(hft_engine *e, uint32_t venue, hft_pending *p, const hft_json_value *values, int is_query,
                     uint64_t asked_ns) {
    hft_engine_venue *v = &e->venues[venue];
    const hft_json_value *message = &values[HFT_REPLY_ERROR_MESSAGE];
    int64_t code = hft_orders_integer(&values[HFT_REPLY_ERROR_CODE]);
    uint8_t class = hft_orders_error_class(v, values);
    if (class == HFT_ERROR_CLOCK) v->next_time_sync_ns = e->now_ns;
    hft_venue_hold(e, venue, values, class);
    if (is_query && !is_gone(v, p, class, asked_ns)) return; /* asked again */
    int in_doubt = !is_query && is_in_doubt(v, class, &values[HFT_REPLY_STATUS]);
    p->venue_code = (int32_t)code;
    p->error_class = class;
    p->code = in_doubt ? HFT_E_ENGINE_UNKNOWN : 0;
    p->text[copy_text(p->text, sizeof p->text - 1, message)] = '\0';
    p->next_query_ns = e->now_ns + HFT_QUERY_INTERVAL_NS;
    p->ask = (uint8_t)in_doubt;
    p->n_queries = 0;
    set_state(e, p, in_doubt ? HFT_ORDER_UNKNOWN : HFT_ORDER_REJECTED, NULL);
}

/* Venues without a status in their replies tell a failure by its code alone. */
static int is_failure(const hft_json_value *values) {
    const hft_json_value *status = &values[HFT_REPLY_STATUS];
    return status->ptr != NULL ? hft_orders_integer(status) != STATUS_OK : values[HFT_REPLY_ERROR_CODE].ptr != NULL;
}

/* When the question was sent that this is the answer to: the oldest open one, so that a lost answer can make the next
 * ones look older than they are, never younger. 0 = none is open. */
static uint64_t take_question(hft_pending *p) {
    uint64_t asked_ns = p->queries_out != 0 ? p->query_sent_ns[0] : 0;
    if (p->queries_out != 0) memmove(p->query_sent_ns, p->query_sent_ns + 1, --p->queries_out * sizeof asked_ns);
    return asked_ns;
}

void hft_orders_on_reply(hft_engine *e, uint32_t venue, const hft_json_value *values, int is_query) {
    hft_engine_venue *v = &e->venues[venue];
    hft_json_value id = values[HFT_REPLY_ID];
    if (is_query) {
        id.ptr += 2; /* "q-" */
        id.len -= 2;
    }
    hft_pending *p = find(e, venue, &id);
    if (p == NULL) return; /* an order of another program, or one that is settled */
    if (!is_query && p->state == HFT_ORDER_SENT)
        hft_hist_record(&e->latency[HFT_LATENCY_REPLY], e->now_ns - p->sent_ns);
    uint64_t asked_ns = is_query ? take_question(p) : 0;
    if (is_failure(values)) {
        on_error(e, venue, p, values, is_query, asked_ns);
        return;
    }
    p->ask = 0;
    p->order_id_len = copy_text(p->order_id, sizeof p->order_id, &values[HFT_REPLY_ORDER_ID]);
    const hft_json_value *status = &values[HFT_REPLY_ORDER_STATUS];
    set_state(e, p, status->ptr != NULL ? state_of(v, status) : HFT_ORDER_ACKNOWLEDGED, &values[HFT_REPLY_FILLED]);
}

void hft_orders_on_event(hft_engine *e, uint32_t venue, const hft_json_value *values) {
    hft_pending *p = find(e, venue, &values[HFT_REPLY_EVENT_CLIENT_ID]);
    /* A cancellation by another hand has that one's id; the order's own stands beside it. */
    if (p == NULL) p = find(e, venue, &values[HFT_REPLY_EVENT_ORIGINAL_ID]);
    if (p == NULL) return;
    p->order_id_len = copy_text(p->order_id, sizeof p->order_id, &values[HFT_REPLY_EVENT_ORDER_ID]);
    set_state(e, p, state_of(&e->venues[venue], &values[HFT_REPLY_EVENT_ORDER_STATUS]),
              &values[HFT_REPLY_EVENT_FILLED]);
}

/* ---- time ---- */

void hft_orders_ask_all(hft_engine *e, uint32_t venue) {
    for (uint32_t i = 0; i < e->config.pending_cap; i++)
        if (e->pending[i].used && e->pending[i].venue == venue) ask_now(e, &e->pending[i]);
}

/* Orders without an answer become unknown; of those that rest, fills may be missed. */
void hft_orders_on_venue_down(hft_engine *e, uint32_t venue) {
    hft_orders_ask_all(e, venue);
    for (uint32_t i = 0; i < e->config.pending_cap; i++) {
        hft_pending *p = &e->pending[i];
        if (!p->used || p->venue != venue) continue;
        p->queries_out = 0;
        set_unknown(e, p, "connection lost");
    }
}

static void query(hft_engine *e, hft_pending *p) {
    hft_engine_rule *rule = &e->rules[p->rule];
    if (p->queries_out == HFT_QUERIES_MAX) { /* what answers nothing is no connection */
        hft_conn_close(&e->venues[p->venue].session.conn, HFT_E_TIMEOUT, "questions about an order go unanswered");
        return;
    }
    p->next_query_ns = e->now_ns + (HFT_QUERY_INTERVAL_NS << p->n_queries);
    if (p->n_queries < HFT_QUERY_DOUBLINGS) p->n_queries++;
    int rc = hft_venue_send(e, p->venue, &rule->query, rule->query_client_id_slot, rule->query_timestamp_slot,
                            p->client_id, p->client_id_len);
    if (rc == 0) p->query_sent_ns[p->queries_out++] = e->now_ns;
}

void hft_orders_tick(hft_engine *e) {
    if (e->n_pending == 0) return;
    for (uint32_t i = 0; i < e->config.pending_cap; i++) {
        hft_pending *p = &e->pending[i];
        if (!p->used) continue;
        if (p->dirty) report(e, p);
        if (p->state == HFT_ORDER_SENT && e->now_ns - p->sent_ns > e->config.order_timeout_ns)
            set_unknown(e, p, "no answer in time");
        const hft_engine_venue *v = &e->venues[p->venue];
        if (p->used && p->ask && v->link.ready && !hft_venue_is_held(e, v) && e->now_ns >= p->next_query_ns)
            query(e, p);
    }
}
