#include <stdio.h>
#include <string.h>

#include "engine_internal.h"
#include "hft/text.h"

uint64_t hft_venue_time_ns(const hft_engine *e, uint32_t venue, uint64_t tick) {
    return hft_ticks_wall_ns(&e->clock, tick) + (uint64_t)e->venues[venue].clock_offset_ns;
}

int hft_venue_frame(hft_wsclient *session, const uint8_t **frame, size_t *frame_len, hft_order_template *t,
                    const hft_order_value *values) {
    int rc = hft_order_fill(t, values, NULL);
    if (rc < 0) return rc;
    return hft_wsclient_frame(session, frame, frame_len, HFT_WS_OP_TEXT, t->message.image, (size_t)rc);
}

int hft_venue_send(hft_engine *e, uint32_t venue, hft_order_template *t, int client_id_slot, int timestamp_slot,
                   const char *client_id, size_t client_id_len) {
    hft_wsclient *session = &e->venues[venue].session;
    hft_order_value values[HFT_ORDER_SLOTS_MAX] = {0};
    if (client_id_slot >= 0) {
        values[client_id_slot].text = client_id;
        values[client_id_slot].text_len = client_id_len;
    }
    if (timestamp_slot >= 0) values[timestamp_slot].u64 = hft_venue_time_ns(e, venue, hft_ticks(&e->clock));
    const uint8_t *frame;
    size_t frame_len;
    int rc = hft_venue_frame(session, &frame, &frame_len, t, values);
    return rc < 0 ? rc : hft_wsclient_send(session, frame, frame_len);
}

static void send_or_close(hft_engine *e, uint32_t venue, hft_order_template *t) {
    int rc = hft_venue_send(e, venue, t, -1, hft_order_find_slot(t, "timestamp", 9), NULL, 0);
    if (rc < 0) hft_conn_close(&e->venues[venue].session.conn, rc, "request");
}

static void ask_time(hft_engine *e, uint32_t venue) {
    hft_engine_venue *v = &e->venues[venue];
    v->time_sent_ns = e->now_ns;
    v->next_time_sync_ns = e->now_ns + HFT_CLOCK_SYNC_NS;
    send_or_close(e, venue, &v->time_request);
}

/* Orders are taken once the clocks are compared and the login, where there is one, is accepted. */
static void look_if_ready(hft_engine *e, uint32_t venue) {
    const hft_engine_venue *v = &e->venues[venue];
    if (v->clock_known && v->user_known && v->session.conn.state == HFT_CONN_OPEN)
        hft_link_set_ready(e, hft_slot_of_venue(e, venue), 1);
}

static void on_opened(hft_engine *e, uint32_t venue) {
    hft_engine_venue *v = &e->venues[venue];
    v->user_known = v->config.user_request == NULL;
    ask_time(e, venue);
}

/* A reply of the set-up, login above all, that is not a success: nothing can be traded here. */
static void refuse(hft_engine *e, uint32_t venue, const hft_json_value *values) {
    char text[128];
    const hft_json_value *code = &values[HFT_REPLY_ERROR_CODE], *message = &values[HFT_REPLY_ERROR_MESSAGE];
    snprintf(text, sizeof text, "%.*s %.*s", code->ptr != NULL && code->len < 12 ? (int)code->len : 0, code->ptr,
             message->ptr == NULL ? 0 : message->len < 100 ? (int)message->len : 100, message->ptr);
    hft_conn_close(&e->venues[venue].session.conn, HFT_E_ENGINE_REPLY, text);
}

/* Ignoring a request to wait earns a ban (Binance: HTTP 418 after 429). */
void hft_venue_hold(hft_engine *e, uint32_t venue, const hft_json_value *values, uint8_t class) {
    hft_engine_venue *v = &e->venues[venue];
    if (class != HFT_ERROR_RATE_LIMIT) return;
    uint64_t hold_ns = HFT_HOLD_NS, venue_ns = hft_venue_time_ns(e, venue, hft_ticks(&e->clock));
    int64_t units = hft_orders_integer(&values[HFT_REPLY_RETRY_AFTER]);
    if (units > 0 && (uint64_t)units <= INT64_MAX / v->config.server_time_unit_ns) {
        uint64_t until_ns = (uint64_t)units * v->config.server_time_unit_ns;
        hold_ns = until_ns > venue_ns ? until_ns - venue_ns : 0;
    }
    uint64_t until_ns = e->now_ns + (hold_ns < HFT_HOLD_MAX_NS ? hold_ns : HFT_HOLD_MAX_NS);
    if (until_ns > v->hold_until_ns) v->hold_until_ns = until_ns; /* a later answer does not end an earlier ban */
}

static void on_time(hft_engine *e, uint32_t venue, const hft_json_value *values) {
    hft_engine_venue *v = &e->venues[venue];
    const hft_json_value *time = &values[HFT_REPLY_SERVER_TIME];
    uint64_t units = 0;
    if (v->time_sent_ns == 0) return;
    if (time->ptr == NULL || hft_u64_parse(&units, time->ptr, time->len) < 0 ||
        units > INT64_MAX / v->config.server_time_unit_ns) {
        hft_venue_hold(e, venue, values, hft_orders_error_class(v, values));
        v->time_sent_ns = 0;
        if (!v->clock_known) refuse(e, venue, values);
        return; /* else the clocks are compared again after the usual while */
    }
    v->time_round_trip_ns = e->now_ns - v->time_sent_ns;
    v->time_sent_ns = 0;
    if (v->time_round_trip_ns > HFT_ROUND_TRIP_MAX_NS) {
        if (!hft_venue_is_held(e, v)) ask_time(e, venue);
        return;
    }
    /* The server read its clock about half a round trip ago and cut it to whole units. */
    uint64_t server_ns = units * v->config.server_time_unit_ns + v->config.server_time_unit_ns / 2;
    v->clock_offset_ns = (int64_t)(server_ns + v->time_round_trip_ns / 2 - hft_engine_wall_ns(e));
    if (v->clock_known) return;
    v->clock_known = 1;
    if (!v->user_known) send_or_close(e, venue, &v->user_request);
    look_if_ready(e, venue);
}

static void on_user(hft_engine *e, uint32_t venue, const hft_json_value *values) {
    if (!hft_json_equals(&values[HFT_REPLY_STATUS], "200", 3)) {
        hft_venue_hold(e, venue, values, hft_orders_error_class(&e->venues[venue], values));
        refuse(e, venue, values);
        return;
    }
    e->venues[venue].user_known = 1;
    hft_orders_ask_all(e, venue); /* only news from here on is sure to be heard */
    look_if_ready(e, venue);
}

/* An error that belongs to no request we know of: told, because it may be about an order. */
static void report_stray(hft_engine *e, uint32_t venue, const hft_json_value *values) {
    if (values[HFT_REPLY_ERROR_CODE].ptr == NULL) return;
    hft_event *event = hft_events_begin(e, HFT_EVENT_VENUE, 1);
    if (event == NULL) return;
    const hft_json_value *message = &values[HFT_REPLY_ERROR_MESSAGE];
    event->venue = (uint16_t)venue;
    event->state = e->venues[venue].link.ready ? HFT_LINK_READY : HFT_LINK_CONNECTING;
    event->code = HFT_E_ENGINE_REPLY;
    snprintf(event->text, sizeof event->text, "%.*s", message->ptr == NULL ? 0 : (int)message->len, message->ptr);
    hft_events_end(e);
}

/* The venue announces its end: leave now, and come back to another of its servers. */
static void leave(hft_engine *e, uint32_t venue) {
    hft_engine_venue *v = &e->venues[venue];
    hft_link_set_ready(e, hft_slot_of_venue(e, venue), 0);
    v->link.deadline_ns = e->now_ns + HFT_LEAVE_NS;
    (void)!hft_wsclient_close(&v->session, 1000, NULL, 0);
}

/* No news of orders will come any more: no order leaves until the stream is subscribed to again. */
static void renew_stream(hft_engine *e, uint32_t venue) {
    hft_engine_venue *v = &e->venues[venue];
    if (v->config.user_request == NULL) return;
    v->user_known = 0;
    hft_link_set_ready(e, hft_slot_of_venue(e, venue), 0);
    v->link.deadline_ns = e->now_ns + e->config.venue_handshake_timeout_ns;
    if (hft_venue_is_held(e, v)) hft_conn_close(&v->session.conn, HFT_E_ENGINE_HOLD, "the user stream ended");
    else send_or_close(e, venue, &v->user_request);
}

static int is_event(const hft_json_value *type, const char *name) {
    return name[0] != '\0' && hft_json_equals(type, name, strlen(name));
}

static void on_event(hft_engine *e, uint32_t venue, const hft_json_value *values) {
    const hft_venue_config *config = &e->venues[venue].config;
    const hft_json_value *type = &values[HFT_REPLY_EVENT_TYPE];
    if (is_event(type, config->order_event)) hft_orders_on_event(e, venue, values);
    else if (is_event(type, config->shutdown_event)) leave(e, venue);
    else if (is_event(type, config->stream_end_event)) renew_stream(e, venue);
}

static void on_message(hft_engine *e, uint32_t venue, const hft_wsclient_event *message) {
    hft_engine_venue *v = &e->venues[venue];
    hft_json_value values[HFT_REPLY_PATHS];
    hft_err err = {0};
    int rc =
        hft_json_extract(values, v->config.replies, HFT_REPLY_PATHS, (const char *)message->data, message->len, &err);
    if (rc < 0) {
        hft_conn_close(&v->session.conn, rc, "message from the venue");
        return;
    }
    const hft_json_value *id = &values[HFT_REPLY_ID];
    if (values[HFT_REPLY_EVENT_TYPE].ptr != NULL) on_event(e, venue, values);
    else if (hft_json_equals(id, "time", 4)) on_time(e, venue, values);
    else if (hft_json_equals(id, "user", 4)) on_user(e, venue, values);
    else if (id->type != HFT_JSON_STRING) report_stray(e, venue, values);
    else hft_orders_on_reply(e, venue, values, id->len > 2 && memcmp(id->ptr, "q-", 2) == 0);
}

void hft_venue_on_up(hft_engine *e, uint32_t venue) {
    (void)!hft_wsclient_upgrade(&e->venues[venue].session, e->now_ns); /* a failure closes the connection */
}

void hft_venue_on_data(hft_engine *e, uint32_t venue) {
    hft_wsclient *session = &e->venues[venue].session;
    hft_wsclient_event event;
    do {
        while (hft_wsclient_next(session, &event, e->now_ns) == 1) {
            if (event.kind == HFT_WSCLIENT_OPENED) on_opened(e, venue);
            else if (event.kind == HFT_WSCLIENT_MESSAGE) on_message(e, venue, &event);
        }
    } while (hft_conn_pump(&session->conn) == 1);
    hft_conn_rearm(&session->conn);
}

void hft_venue_tick(hft_engine *e, uint32_t venue) {
    hft_engine_venue *v = &e->venues[venue];
    hft_wsclient_tick(&v->session, e->now_ns, e->config.venue_ping_interval_ns, e->config.venue_idle_timeout_ns);
    if (v->link.ready && e->now_ns >= v->next_time_sync_ns && v->session.state == HFT_WSCLIENT_OPEN &&
        !hft_venue_is_held(e, v))
        ask_time(e, venue);
}

void hft_venue_on_down(hft_engine *e, uint32_t venue) {
    hft_engine_venue *v = &e->venues[venue];
    hft_wsclient_down(&v->session);
    v->clock_known = v->user_known = 0;
    v->time_sent_ns = 0;
    hft_orders_on_venue_down(e, venue);
}
