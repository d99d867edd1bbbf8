#include <string.h>

#include "reactor_internal.h"

int hft_reactor_add(hft_reactor *r, uint32_t *link, const hft_link_config_ws *config, int fd, hft_err *err) {
    if (r->n_free == 0) return hft_fail(err, HFT_E_CAPACITY, 0, "all connections of the reactor are in use");
    uint32_t at = r->free_links[r->n_free - 1];
    int rc = hft_reactor_link_open(r, at, config, err);
    if (rc < 0) return rc;
    r->n_free--;
    r->n_links++;
    hft_reactor_link *l = &r->links[at];
    r->now_ns = hft_reactor_mono_ns(r);
    l->recv_ns = r->now_ns;
    if (config->handshake_ns != 0) l->up_by_ns = r->now_ns + config->handshake_ns;
    hft_address address = {0};
    rc = hft_conn_adopt(&l->session.conn, fd, &address);
    if (rc == 0 && l->session.conn.state == HFT_CONN_OPEN) (void)!hft_wsclient_upgrade(&l->session, r->now_ns);
    if (rc < 0) {
        (void)hft_fail(err, rc, 0, l->session.conn.err.text);
        hft_reactor_link_free(r, at);
        return rc;
    }
    hft_reactor_settle(r, at);
    hft_reactor_link_plan(r, at);
    *link = at;
    return 0;
}

/* The link, if its session goes on. */
static hft_reactor_link *find(hft_reactor *r, uint32_t link) {
    if (link >= r->config.links_max || !r->links[link].used || r->links[link].settled) return NULL;
    return &r->links[link];
}

/* What a send still in flight holds up would leave later only. */
static hft_reactor_link *find_to_send(hft_reactor *r, uint32_t link) {
    hft_reactor_link *l = find(r, link);
    if (l == NULL || l->session.state != HFT_WSCLIENT_OPEN) return NULL;
    if ((l->session.conn.in_flight & 1u << HFT_OP_SEND) != 0) (void)hft_reactor_reap(r);
    return l->session.conn.send_error == 0 ? l : NULL;
}

static int sent(hft_reactor *r, hft_reactor_link *l, int rc) {
    if (rc == 0 && hft_conn_queued(&l->session.conn) > HFT_LINK_KEEP)
        hft_reactor_link_large(r, l->session.conn.slot);
    if (rc == 0) return hft_ring_submit(&r->ring);
    if (rc == HFT_E_CONN_SEND_FULL) {
        l->sends_refused++;
        l->writable = 1;
    }
    return rc;
}

int hft_reactor_send(hft_reactor *r, uint32_t link, hft_ws_op op, const void *payload, size_t len) {
    hft_reactor_link *l = find_to_send(r, link);
    if (l == NULL) return HFT_E_STATE;
    int fits = len <= l->config.send_cap;
    return sent(r, l, fits ? hft_wsclient_put(&l->session, op, payload, len) : HFT_E_CONN_SEND_FULL);
}

int hft_reactor_send_template(hft_reactor *r, uint32_t link, hft_order_template *t, const hft_order_value *values,
                              int *bad_slot) {
    hft_reactor_link *l = find_to_send(r, link);
    if (l == NULL) return HFT_E_STATE;
    int rc = hft_order_fill(t, values, bad_slot);
    if (rc < 0) return rc;
    return sent(r, l, hft_wsclient_put(&l->session, HFT_WS_OP_TEXT, t->message.image, (size_t)rc));
}

int hft_reactor_ping(hft_reactor *r, uint32_t link) {
    hft_reactor_link *l = find_to_send(r, link);
    if (l == NULL) return HFT_E_STATE;
    int rc = hft_wsclient_ping(&l->session, hft_reactor_mono_ns(r));
    l->rtt.sent += rc == 0;
    if (rc == 0) hft_reactor_link_plan(r, link);
    return sent(r, l, rc);
}

int hft_reactor_close_link(hft_reactor *r, uint32_t link, uint16_t code, const char *reason, size_t reason_len) {
    hft_reactor_link *l = find(r, link);
    if (l == NULL) return HFT_E_STATE;
    int rc = 0;
    if (code == 0) hft_conn_close(&l->session.conn, HFT_E_CONN_STOPPED, NULL);
    else rc = hft_wsclient_close(&l->session, code, reason, reason_len);
    if (rc < 0) return rc;
    l->paused = 0; /* or the peer's answer would not be seen */
    hft_conn_pause(&l->session.conn, 0);
    hft_reactor_link_leaving(r, link);
    hft_reactor_push(r, link);
    return hft_ring_submit(&r->ring);
}

int hft_reactor_pause(hft_reactor *r, uint32_t link, int on) {
    hft_reactor_link *l = link < r->config.links_max ? &r->links[link] : NULL;
    if (l == NULL || !l->used) return HFT_E_STATE;
    if (l->settled) return 0; /* its owner was not told yet */
    if (l->session.state > HFT_WSCLIENT_OPEN) return 0; /* or the peer's answer would not be seen */
    if (l->paused && !on) l->held_up_ns = hft_reactor_mono_ns(r);
    l->paused = on != 0;
    hft_conn_pause(&l->session.conn, on);
    if (!on) hft_reactor_push(r, link);
    hft_reactor_link_plan(r, link);
    return 0;
}

const hft_tls *hft_reactor_tls(const hft_reactor *r, uint32_t link) {
    if (link >= r->config.links_max || !r->links[link].used || !r->links[link].session.conn.use_tls) return NULL;
    return &r->links[link].session.conn.tls;
}

void hft_reactor_stats(const hft_reactor *r, uint32_t link, hft_link_stats *stats) {
    const hft_reactor_link *l = &r->links[link];
    const hft_wsclient *ws = &l->session;
    memset(stats, 0, sizeof *stats);
    if (link >= r->config.links_max || !l->used) return;
    *stats = (hft_link_stats){
        .bytes_in = ws->conn.bytes_in, .bytes_out = ws->conn.bytes_out,
        .messages_in = ws->messages_in, .messages_out = ws->messages_out,
        .payload_in = ws->payload_in, .payload_out = ws->payload_out,
        .pings = l->rtt.sent, .pongs = l->rtt.answered,
        .rtt_last_ns = l->rtt.last_ns, .rtt_min_ns = l->rtt.min_ns, .rtt_smoothed_ns = l->rtt.smoothed_ns,
        .app_pings = l->app_rtt.sent, .app_pongs = l->app_rtt.answered, .app_rtt_last_ns = l->app_rtt.last_ns,
        .app_rtt_min_ns = l->app_rtt.min_ns, .app_rtt_smoothed_ns = l->app_rtt.smoothed_ns,
        .sends_refused = l->sends_refused, .send_queue = hft_conn_queued(&ws->conn),
        .opened_ns = l->opened_ns, .last_recv_ns = l->opened_ns != 0 ? l->recv_ns : 0,
    };
}
