#include <string.h>
#include <sys/mman.h>

#include "reactor_internal.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define PAGE 4096u
#define CONTROL_ROOM 2048u
#define TRIM_NS 1000000000u
#define APP_PONG_WINDOW 512

/* ---- memory ---- */

static size_t page_up(size_t n) { return (n + PAGE - 1) & ~(size_t)(PAGE - 1); }

void *hft_reactor_map(size_t size) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

static int is_sane(const hft_link_config_ws *c) {
    return c->recv_cap >= HFT_CONN_RECV_MIN && c->recv_cap <= HFT_REACTOR_MESSAGE_MAX &&
           c->send_cap >= HFT_CONN_RECV_MIN && c->send_cap <= HFT_REACTOR_MESSAGE_MAX && c->message_max != 0 &&
           c->message_max <= HFT_REACTOR_MESSAGE_MAX;
}

/* A message as long as the queue finds room in it, with what TLS, control frames and compression in vain add. */
static size_t send_room(const hft_link_config_ws *c) {
    size_t records = c->send_cap / HFT_CONN_PLAIN_MAX + 2;
    size_t room = c->send_cap + CONTROL_ROOM + (c->tls != NULL ? records * HFT_TLS_RECORD_OVERHEAD : 0);
    return c->deflate != NULL ? room + c->send_cap / 4 : room;
}

/* One private mapping: recv, send, plain (TLS), then message, inflated and packed (compression), each on pages of its
 * own. The first pages of the former are those of every message, and are taken now. */
static int open_memory(hft_reactor_link *l, hft_conn_config *conn, hft_wsclient_config *session) {
    const hft_link_config_ws *c = &l->config;
    conn->recv_cap = page_up(c->recv_cap);
    conn->send_cap = page_up(send_room(c));
    conn->plain_cap = c->tls != NULL ? conn->recv_cap + HFT_CONN_PLAIN_MAX : 0;
    l->spare_sizes[0] = page_up(c->message_max);
    l->spare_sizes[1] = c->deflate != NULL ? page_up(c->message_max) : 0;
    l->spare_sizes[2] = c->deflate != NULL ? conn->send_cap : 0;
    l->memory_size = conn->recv_cap + conn->send_cap + conn->plain_cap;
    for (size_t i = 0; i < 3; i++) l->memory_size += l->spare_sizes[i];
    l->memory = hft_reactor_map(l->memory_size);
    if (l->memory == NULL) return HFT_E_MEMORY;
    conn->recv_memory = l->memory;
    conn->send_memory = conn->recv_memory + conn->recv_cap;
    conn->plain_memory = conn->send_memory + conn->send_cap;
    l->spare = conn->plain_memory + conn->plain_cap;
    session->message_memory = l->spare;
    session->message_max = c->message_max;
    session->inflated_memory = session->message_memory + l->spare_sizes[0];
    session->packed_memory = session->inflated_memory + l->spare_sizes[1];
    session->packed_cap = l->spare_sizes[2];
    session->inplace_max = conn->recv_cap / 2; /* or receives would get short behind a frame that is waited for */
    (void)madvise(conn->recv_memory, PAGE, MADV_POPULATE_WRITE); /* only sooner than they would be taken anyway */
    (void)madvise(conn->send_memory, PAGE, MADV_POPULATE_WRITE);
    if (conn->plain_cap != 0) (void)madvise(conn->plain_memory, PAGE, MADV_POPULATE_WRITE);
    return 0;
}

int hft_reactor_link_open(hft_reactor *r, uint32_t link, const hft_link_config_ws *config, hft_err *err) {
    hft_reactor_link *l = &r->links[link];
    if (!is_sane(config)) return hft_fail(err, HFT_E_ARGUMENT, 0, "buffers: 4096 bytes to 1 GiB, a message: to 1 GiB");
    *l = (hft_reactor_link){.queued = l->queued}; /* it may still stand among the ready ones by its last use */
    l->config = *config;
    hft_conn_config conn = {.ring = &r->ring, .slot = link, .scratch_memory = r->scratch, .tls_context = config->tls,
                            .host = config->host, .port = config->port};
    hft_wsclient_config session = {.host_header = config->host_header, .target = config->target,
                                   .headers = config->headers, .subprotocols = config->subprotocols,
                                   .masks = &r->masks, .lingers = 1, .deflate = config->deflate,
                                   .deflate_level = config->deflate_level, .deflate_min = config->deflate_min};
    int rc = open_memory(l, &conn, &session);
    if (rc < 0) return hft_fail(err, rc, 0, "connection");
    rc = hft_conn_init(&l->session.conn, &conn, err);
    if (rc < 0) {
        munmap(l->memory, l->memory_size);
        return rc;
    }
    l->session.conn.stamped = config->kernel_stamps;
    hft_wsclient_init(&l->session, &session);
    l->up_by_ns = l->over_by_ns = l->next_ping_ns = l->next_app_ping_ns = l->trim_ns = HFT_NEVER;
    l->used = 1;
    return 0;
}

void hft_reactor_link_free(hft_reactor *r, uint32_t link) {
    hft_reactor_link *l = &r->links[link];
    hft_timers_cancel(&r->timers, link);
    hft_wsclient_down(&l->session);
    hft_conn_free(&l->session.conn);
    munmap(l->memory, l->memory_size);
    l->used = 0;
    r->free_links[r->n_free++] = link;
    r->n_links--;
}

/* ---- round trips ---- */

void hft_reactor_rtt_add(hft_link_rtt *rtt, uint64_t rtt_ns) {
    rtt->answered++;
    rtt->last_ns = rtt_ns;
    if (rtt->min_ns == 0 || rtt_ns < rtt->min_ns) rtt->min_ns = rtt_ns;
    rtt->smoothed_ns = rtt->smoothed_ns == 0 ? rtt_ns : rtt->smoothed_ns - rtt->smoothed_ns / 8 + rtt_ns / 8;
}

static int is_app_pong(const hft_reactor_link *l, const uint8_t *data, size_t len) {
    if (len > APP_PONG_WINDOW) len = APP_PONG_WINDOW;
    return memmem(data, len, l->config.app_pong, l->config.app_pong_len) != NULL;
}

int hft_reactor_app_answered(hft_reactor_link *l, uint64_t *rtt_ns, const uint8_t *data, size_t len) {
    uint64_t sent = l->app_rtt.sent, number = l->app_pongs + 1;
    if (number > sent || l->config.app_pong_len == 0 || !is_app_pong(l, data, len)) return 0;
    if (sent - number >= HFT_LINK_APP_PINGS) number = sent - HFT_LINK_APP_PINGS + 1;
    uint64_t sent_ns = l->app_pings_ns[number % HFT_LINK_APP_PINGS];
    *rtt_ns = l->recv_ns > sent_ns ? l->recv_ns - sent_ns : 0;
    l->app_pongs = number;
    l->app_ping_ns = 0;
    return 1;
}

/* ---- deadlines ---- */

static uint64_t after(uint64_t now_ns, uint64_t interval_ns) {
    return interval_ns == 0 ? HFT_NEVER : now_ns + interval_ns;
}

static void keep_earliest(uint64_t *due_ns, uint64_t candidate_ns) {
    if (candidate_ns < *due_ns) *due_ns = candidate_ns;
}

/* Whatever else the peer says, a ping without an answer means that we may not be heard. But the answer may have stood
 * behind a long message. */
static uint64_t silent_at(const hft_reactor_link *l) {
    uint64_t ping_ns = l->session.last_ping_ns;
    if (l->app_ping_ns != 0 && (ping_ns == 0 || l->app_ping_ns < ping_ns)) ping_ns = l->app_ping_ns;
    if (ping_ns == 0 || l->config.ping_timeout_ns == 0 || l->paused) return HFT_NEVER;
    return (ping_ns > l->held_up_ns ? ping_ns : l->held_up_ns) + l->config.ping_timeout_ns;
}

void hft_reactor_link_plan(hft_reactor *r, uint32_t link) {
    hft_reactor_link *l = &r->links[link];
    uint64_t due_ns = l->over_by_ns;
    keep_earliest(&due_ns, l->up_by_ns);
    keep_earliest(&due_ns, l->trim_ns);
    if (l->session.state == HFT_WSCLIENT_OPEN && l->session.conn.state == HFT_CONN_OPEN) {
        keep_earliest(&due_ns, l->next_ping_ns);
        keep_earliest(&due_ns, l->next_app_ping_ns);
        keep_earliest(&due_ns, silent_at(l));
    }
    if (due_ns == HFT_NEVER || l->settled) hft_timers_cancel(&r->timers, link);
    else hft_timers_set(&r->timers, link, due_ns);
}

void hft_reactor_link_large(hft_reactor *r, uint32_t link) {
    hft_reactor_link *l = &r->links[link];
    l->large = 1;
    if (l->trim_ns != HFT_NEVER) return;
    l->trim_ns = r->now_ns + TRIM_NS;
    hft_reactor_link_plan(r, link);
}

/* Pages are given back only after a while without long messages: taking them anew costs as much as the message. */
static void trim(hft_reactor *r, hft_reactor_link *l) {
    if (l->large || l->held || l->session.parser.message_len != 0) {
        l->large = 0;
        l->trim_ns = r->now_ns + TRIM_NS;
        return;
    }
    l->trim_ns = HFT_NEVER;
    hft_conn_trim(&l->session.conn, HFT_LINK_KEEP);
    uint8_t *spare = l->spare;
    for (size_t i = 0; i < 3; spare += l->spare_sizes[i++])
        if (l->spare_sizes[i] > HFT_LINK_KEEP)
            (void)madvise(spare + HFT_LINK_KEEP, l->spare_sizes[i] - HFT_LINK_KEEP, MADV_DONTNEED);
}

void hft_reactor_link_opened(hft_reactor *r, uint32_t link) {
    hft_reactor_link *l = &r->links[link];
    l->opened_ns = r->now_ns;
    l->up_by_ns = HFT_NEVER;
    l->next_ping_ns = after(r->now_ns, l->config.ping_interval_ns);
    l->next_app_ping_ns = after(r->now_ns, l->config.app_ping_interval_ns);
    hft_reactor_link_plan(r, link);
}

void hft_reactor_link_leaving(hft_reactor *r, uint32_t link) {
    hft_reactor_link *l = &r->links[link];
    if (l->over_by_ns != HFT_NEVER || l->config.close_ns == 0) return;
    l->over_by_ns = hft_reactor_mono_ns(r) + l->config.close_ns;
    l->up_by_ns = HFT_NEVER;
    hft_reactor_link_plan(r, link);
}

static int send_app_ping(hft_reactor *r, hft_reactor_link *l) {
    const hft_link_config_ws *c = &l->config;
    hft_order_template *t = c->app_ping;
    if (t == NULL) return hft_wsclient_put(&l->session, c->app_ping_op, c->app_ping_data, c->app_ping_len);
    hft_order_value values[HFT_ORDER_SLOTS_MAX] = {0};
    for (uint32_t i = 0; i < t->n_slots; i++) {
        int is_time = t->slots[i].kind == HFT_SLOT_TIMESTAMP || t->slots[i].kind == HFT_SLOT_RFC3339;
        values[i].u64 = is_time ? hft_ticks_wall_ns(&r->clock, hft_ticks(&r->clock)) : l->app_rtt.sent + 1;
    }
    int rc = hft_order_fill(t, values, NULL);
    return rc < 0 ? rc : hft_wsclient_put(&l->session, HFT_WS_OP_TEXT, t->message.image, (size_t)rc);
}

static void note_app_ping(const hft_reactor *r, hft_reactor_link *l) {
    l->app_pings_ns[++l->app_rtt.sent % HFT_LINK_APP_PINGS] = r->now_ns;
    if (l->app_ping_ns == 0 && l->config.app_pong_len != 0) l->app_ping_ns = r->now_ns;
}

/* A full queue is no reason to end: the peer's silence will be, if it lasts. */
static void ping_if_due(hft_reactor *r, hft_reactor_link *l) {
    int rc = 0;
    if (r->now_ns >= l->next_ping_ns) {
        rc = hft_wsclient_ping(&l->session, r->now_ns);
        l->rtt.sent += rc == 0;
        l->next_ping_ns = r->now_ns + l->config.ping_interval_ns;
    }
    if (rc >= 0 && r->now_ns >= l->next_app_ping_ns) {
        rc = send_app_ping(r, l);
        if (rc == 0) note_app_ping(r, l);
        l->next_app_ping_ns = r->now_ns + l->config.app_ping_interval_ns;
    }
    if (rc < 0 && rc != HFT_E_CONN_SEND_FULL) hft_conn_close(&l->session.conn, rc, "ping");
}

void hft_reactor_link_tick(hft_reactor *r, uint32_t link) {
    hft_reactor_link *l = &r->links[link];
    hft_conn *conn = &l->session.conn;
    if (r->now_ns >= l->trim_ns) trim(r, l);
    if (r->now_ns >= l->up_by_ns) {
        l->up_by_ns = HFT_NEVER;
        const char *what = conn->state == HFT_CONN_SECURING ? "TLS" : "WebSocket upgrade";
        hft_conn_close(conn, HFT_E_CONN_HANDSHAKE_TIMEOUT, what);
    }
    if (r->now_ns >= l->over_by_ns) {
        l->over_by_ns = HFT_NEVER;
        hft_conn_close(conn, HFT_E_TIMEOUT, "no answer to the close frame");
    }
    if (l->session.state == HFT_WSCLIENT_OPEN && conn->state == HFT_CONN_OPEN) {
        if (r->now_ns >= silent_at(l)) hft_conn_close(conn, HFT_E_CONN_IDLE_TIMEOUT, "no answer to pings");
        else ping_if_due(r, l);
    }
    hft_reactor_settle(r, link);
    hft_reactor_link_plan(r, link);
}
