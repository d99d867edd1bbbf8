#include "hft/reactor.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "reactor_internal.h"

#define BUDGET 64             /* events given out before the ring is looked at again, and another link has its turn */
#define RESYNC_NS 1000000000u /* the clock is compared with the kernel's this often */
#define AWAY_NS 1000000u
#define CLOSE_WAIT_NS 10000000u
#define CLOSE_ROUNDS 100

/* ---- life ---- */

static int arm_wake(hft_reactor *r) {
    int rc = hft_ring_read(&r->ring, hft_reactor_wake_slot(r), 0, r->wake_fd, &r->wake_count);
    r->wake_in_flight = rc == 0;
    return rc;
}

static size_t round_up(size_t n) { return (n + 63) & ~(size_t)63; }

/* One mapping holds what the number of links decides; pages nobody needs cost nothing. */
static int take_memory(hft_reactor *r, hft_err *err) {
    uint32_t n = r->config.links_max;
    size_t sizes[] = {n * sizeof *r->links, n * sizeof *r->free_links, n * sizeof *r->ready, hft_timers_size(n),
                      HFT_CONN_PLAIN_MAX};
    uint8_t *parts[sizeof sizes / sizeof *sizes];
    r->memory_size = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) r->memory_size += round_up(sizes[i]);
    uint8_t *p = r->memory = hft_reactor_map(r->memory_size);
    if (p == NULL) return hft_fail(err, HFT_E_MEMORY, 0, "reactor");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        parts[i] = p;
        p += round_up(sizes[i]);
    }
    r->links = (hft_reactor_link *)parts[0];
    r->free_links = (uint32_t *)parts[1];
    r->ready = (uint32_t *)parts[2];
    hft_timers_init(&r->timers, parts[3], n);
    r->scratch = parts[4];
    memset(r->scratch, 0, HFT_CONN_PLAIN_MAX);
    for (uint32_t i = 0; i < n; i++) r->free_links[i] = n - 1 - i;
    r->n_free = n;
    return 0;
}

int hft_reactor_open(hft_reactor *r, const hft_reactor_config *config, hft_err *err) {
    memset(r, 0, sizeof *r);
    r->config = *config;
    r->wake_fd = -1;
    r->thread = gettid();
    r->active = r->closed = HFT_LINK_NONE;
    if (config->links_max == 0 || config->links_max > HFT_REACTOR_LINKS_MAX)
        return hft_fail(err, HFT_E_ARGUMENT, 0, "number of connections");
    int rc = take_memory(r, err);
    if (rc < 0) return rc;
    hft_clock_init(&r->clock);
    hft_wsclient_masks_init(&r->masks);
    r->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (r->wake_fd < 0) rc = hft_fail(err, -errno, 0, "eventfd");
    if (rc == 0) rc = hft_ring_open(&r->ring, config->backend, config->links_max + 1, err);
    if (rc == 0) {
        r->ring.spins = config->spin_ns != 0;
        rc = arm_wake(r);
    }
    if (rc < 0) hft_reactor_close(r);
    r->now_ns = r->last_event_ns = hft_reactor_mono_ns(r);
    return rc;
}

/* Ends what is in flight, whose memory is ours; what the kernel will not give back in a second is left to it. */
static int end_operations(hft_reactor *r) {
    uint64_t one = 1;
    if (r->wake_in_flight) (void)!write(r->wake_fd, &one, sizeof one);
    for (uint32_t i = 0; i < r->config.links_max; i++) {
        hft_reactor_link *l = &r->links[i];
        if (!l->used || l->settled) continue;
        (void)!hft_wsclient_close(&l->session, 1001, NULL, 0);
        hft_conn_close(&l->session.conn, HFT_E_CONN_STOPPED, NULL);
        hft_reactor_settle(r, i);
    }
    r->config.spin_ns = 0;
    for (int round = 0; round < CLOSE_ROUNDS; round++) {
        int open = r->wake_in_flight;
        for (uint32_t i = 0; i < r->config.links_max && !open; i++) open = r->links[i].used && !r->links[i].settled;
        if (!open) return 0;
        if (hft_ring_wait(&r->ring, CLOSE_WAIT_NS) < 0) break;
        (void)hft_reactor_reap(r);
    }
    return -1;
}

void hft_reactor_close(hft_reactor *r) {
    if (r->memory == NULL) return;
    if (r->ring.backend == HFT_RING_URING && gettid() != r->thread) {
        hft_reactor_abandon(r);
        return;
    }
    uint8_t ended = 1;
    if (r->ring.ops != NULL) {
        r->closed = HFT_LINK_NONE;
        ended = end_operations(r) == 0;
        hft_ring_forget(&r->ring, hft_reactor_wake_slot(r), r->wake_fd);
        hft_ring_close(&r->ring);
    }
    for (uint32_t i = 0; i < r->config.links_max && ended; i++)
        if (r->links[i].used) hft_reactor_link_free(r, i);
    if (r->wake_fd >= 0) close(r->wake_fd);
    if (ended) munmap(r->memory, r->memory_size);
    r->memory = NULL;
}

int hft_reactor_wake(hft_reactor *r) {
    uint64_t one = 1;
    return write(r->wake_fd, &one, sizeof one) < 0 && errno != EAGAIN ? -errno : 0;
}

/* ---- completions ---- */

void hft_reactor_push(hft_reactor *r, uint32_t link) {
    hft_reactor_link *l = &r->links[link];
    if (l->queued) return;
    l->queued = 1;
    uint32_t at = r->ready_head + r->n_ready++;
    r->ready[at < r->config.links_max ? at : at - r->config.links_max] = link;
}

void hft_reactor_settle(hft_reactor *r, uint32_t link) {
    hft_reactor_link *l = &r->links[link];
    if (l->settled || !hft_conn_settle(&l->session.conn)) return;
    l->settled = 1;
    hft_reactor_push(r, link);
}

static void on_completion(hft_reactor *r, const hft_ring_completion *completion) {
    uint32_t link = hft_ring_tag_slot(completion->tag);
    if (link == hft_reactor_wake_slot(r)) {
        r->wake_in_flight = 0;
        r->woken = 1;
        return;
    }
    hft_reactor_link *l = &r->links[link];
    hft_conn *conn = &l->session.conn;
    int is_send = hft_ring_tag_op(completion->tag) == HFT_OP_SEND;
    if (!is_send && completion->result > 0 && hft_reactor_in_frame(l)) l->held_up_ns = r->now_ns;
    switch (hft_conn_complete(conn, completion->tag, completion->result)) {
    case HFT_CONN_UP:
        (void)!hft_wsclient_upgrade(&l->session, r->now_ns); /* a failure closes the connection */
        hft_reactor_push(r, link);
        break;
    case HFT_CONN_DATA:
        l->recv_ns = r->now_ns;
        l->kernel_ns = completion->kernel_ns;
        hft_reactor_push(r, link);
        break;
    default: break;
    }
    if (is_send) hft_wsclient_on_sent(&l->session);
    if (l->writable == 1 && hft_conn_queued(conn) <= conn->send.cap / 2) {
        l->writable = 2;
        hft_reactor_push(r, link);
    }
    if (conn->state == HFT_CONN_CLOSING) hft_reactor_settle(r, link);
}

int hft_reactor_reap(hft_reactor *r) {
    hft_ring_completion completion;
    int n = 0;
    if (!hft_ring_next(&r->ring, &completion)) return 0;
    r->now_ns = hft_reactor_mono_ns(r);
    do {
        on_completion(r, &completion);
        n++;
    } while (hft_ring_next(&r->ring, &completion));
    return n;
}

/* ---- events ---- */

static int give_closed(hft_reactor *r, hft_reactor_event *event, uint32_t link) {
    hft_reactor_link *l = &r->links[link];
    hft_wsclient *ws = &l->session;
    *event = (hft_reactor_event){
        .kind = HFT_REACTOR_CLOSED, .link = link, .close_code = ws->close_code, .http_status = ws->http_status,
        .data = ws->reason, .len = ws->reason_len, .recv_ns = l->recv_ns, .err = hft_wsclient_error(ws),
    };
    if (ws->http_status != 0) {
        event->data = hft_conn_data(&ws->conn, &event->len);
        if (ws->state == HFT_WSCLIENT_REFUSED && event->len > ws->response_len) event->len = ws->response_len;
    }
    r->closed = link;
    return 1;
}

static int give_pong(hft_reactor *r, hft_reactor_event *event, uint32_t link, uint64_t rtt_ns, uint8_t app) {
    hft_reactor_link *l = &r->links[link];
    hft_reactor_rtt_add(app ? &l->app_rtt : &l->rtt, rtt_ns);
    *event = (hft_reactor_event){
        .kind = HFT_REACTOR_PONG, .link = link, .app = app, .rtt_ns = rtt_ns, .recv_ns = l->recv_ns};
    hft_reactor_link_plan(r, link);
    return 1;
}

/* 1 = the message is an event, or a PONG that goes before it; 0 = it is the owner's own. */
static int give_message(hft_reactor *r, hft_reactor_event *event, uint32_t link, const hft_wsclient_event *from) {
    hft_reactor_link *l = &r->links[link];
    if (from->len > HFT_LINK_KEEP) hft_reactor_link_large(r, link);
    *event = (hft_reactor_event){
        .kind = HFT_REACTOR_MESSAGE, .op = from->op, .link = link, .data = from->data, .len = from->len,
        .recv_ns = l->recv_ns, .kernel_ns = l->kernel_ns,
    };
    uint64_t rtt_ns;
    if (!hft_reactor_app_answered(l, &rtt_ns, from->data, from->len)) return 1;
    if (!l->config.app_pong_hidden) {
        l->message = *event;
        l->held = 1;
    }
    return give_pong(r, event, link, rtt_ns, 1);
}

static int give(hft_reactor *r, hft_reactor_event *event, uint32_t link, const hft_wsclient_event *from) {
    if (from->kind == HFT_WSCLIENT_MESSAGE) return give_message(r, event, link, from);
    if (from->kind == HFT_WSCLIENT_PONG) return give_pong(r, event, link, from->rtt_ns, 0);
    *event = (hft_reactor_event){.kind = HFT_REACTOR_OPENED, .link = link, .data = from->data, .len = from->len,
                                 .recv_ns = r->links[link].recv_ns};
    hft_reactor_link_opened(r, link);
    return 1;
}

/* 1 and the link's next event, or 0 where it has none: it is received from again then. */
static int take_event(hft_reactor *r, hft_reactor_event *event, uint32_t link) {
    hft_reactor_link *l = &r->links[link];
    hft_wsclient *ws = &l->session;
    if (l->held && !l->paused) {
        l->held = 0;
        *event = l->message;
        return 1;
    }
    if (l->writable == 2) {
        l->writable = 0;
        *event = (hft_reactor_event){.kind = HFT_REACTOR_WRITABLE, .link = link};
        return 1;
    }
    while (!l->paused) {
        hft_wsclient_event from;
        int rc = hft_wsclient_next(ws, &from, l->recv_ns);
        if (rc == 1) return give(r, event, link, &from);
        if (rc < 0 && ws->state != HFT_WSCLIENT_OVER) break;
        if (rc == 0 && hft_conn_pump(&ws->conn) != 1) break; /* also once all is said: the end may be there already */
    }
    if (ws->state == HFT_WSCLIENT_OVER || ws->state == HFT_WSCLIENT_REFUSED) hft_reactor_link_leaving(r, link);
    if (!l->paused) hft_conn_rearm(&ws->conn);
    hft_reactor_settle(r, link);
    return l->settled ? give_closed(r, event, link) : 0;
}

static uint32_t pop(hft_reactor *r) {
    uint32_t link = r->ready[r->ready_head];
    r->ready_head = r->ready_head + 1 == r->config.links_max ? 0 : r->ready_head + 1;
    r->n_ready--;
    r->links[link].queued = 0;
    return link;
}

/* The links have their turns one after the other, so that none can keep the others waiting. */
static int take_ready(hft_reactor *r, hft_reactor_event *event) {
    while (r->budget != 0) {
        if (r->active == HFT_LINK_NONE) {
            if (r->n_ready == 0) return 0;
            r->active = pop(r);
        }
        uint32_t link = r->active;
        if (r->links[link].used && take_event(r, event, link)) {
            if (--r->budget == 0) {
                hft_reactor_push(r, link);
                r->active = HFT_LINK_NONE;
            }
            return 1;
        }
        r->active = HFT_LINK_NONE;
    }
    return 0;
}

/* ---- the loop ---- */

static void set_now(hft_reactor *r) {
    r->now_ns = hft_reactor_mono_ns(r);
    if (r->now_ns < r->next_resync_ns) return;
    hft_clock_resync(&r->clock);
    r->next_resync_ns = r->now_ns + RESYNC_NS;
}

/* Each link's at most once, so that a turn ends. 1 = something was due. */
static int run_timers(hft_reactor *r) {
    uint32_t link, left = r->n_links;
    for (; left != 0 && hft_timers_next(&r->timers, &link, r->now_ns); left--) hft_reactor_link_tick(r, link);
    if (left == r->n_links) return 0;
    (void)!hft_ring_submit(&r->ring); /* a ping leaves now: the owner may not come back soon */
    return 1;
}

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* How long the kernel may let us sleep. */
static uint64_t sleep_ns(const hft_reactor *r, uint64_t until_ns) {
    until_ns = earlier(until_ns, hft_timers_due(&r->timers));
    if (until_ns <= r->now_ns || r->n_ready != 0) return 0;
    if (r->config.spin_ns != 0 && r->now_ns - r->last_event_ns < r->config.spin_ns) return 0;
    return until_ns - r->now_ns;
}

static int give_woken(hft_reactor *r, hft_reactor_event *event) {
    r->woken = 0;
    *event = (hft_reactor_event){.kind = HFT_REACTOR_WOKEN, .link = HFT_LINK_NONE};
    int rc = arm_wake(r);
    return rc < 0 ? rc : 1;
}

int hft_reactor_next_ready(hft_reactor *r, hft_reactor_event *event) {
    if (r->closed != HFT_LINK_NONE) {
        hft_reactor_link_free(r, r->closed);
        r->closed = HFT_LINK_NONE;
    }
    if (take_ready(r, event)) return 1;
    return r->woken ? give_woken(r, event) : 0;
}

int hft_reactor_prepare_sleep(hft_reactor *r, uint64_t *wait_ns) {
    int is_ready = r->active != HFT_LINK_NONE || r->n_ready != 0 || r->woken;
    uint64_t due_ns = hft_timers_due(&r->timers);
    *wait_ns = 0;
    if (is_ready) return 0;
    int rc = hft_ring_arm(&r->ring);
    if (rc != 0) return rc < 0 ? rc : 0;
    set_now(r);
    if (due_ns > r->now_ns) *wait_ns = due_ns == HFT_NEVER ? HFT_NEVER : due_ns - r->now_ns;
    return 0;
}

int hft_reactor_next(hft_reactor *r, hft_reactor_event *event, uint64_t timeout_ns) {
    uint64_t until_ns = 0, left_ns = r->now_ns;
    (void)hft_reactor_reap(r); /* what a send has left there would make the first wait short */
    for (int looked = 0, slept = 0;;) {
        int ready = hft_reactor_next_ready(r, event);
        if (ready != 0) return ready;
        set_now(r);
        /* Who was away looks at the ring first: an answer that lies there is not late. */
        if (looked || r->now_ns - left_ns < AWAY_NS) slept = !run_timers(r) && slept;
        if (until_ns == 0) until_ns = timeout_ns < HFT_NEVER - r->now_ns ? r->now_ns + timeout_ns : HFT_NEVER;
        if (r->n_ready == 0 && looked && (slept || r->now_ns >= until_ns)) return 0;
        hft_wsclient_masks_refill(&r->masks);
        uint64_t for_ns = sleep_ns(r, until_ns);
        int rc = hft_ring_wait(&r->ring, for_ns);
        if (rc < 0) return rc;
        looked = 1;
        slept = for_ns != 0;
        r->budget = BUDGET;
        if (hft_reactor_reap(r) != 0) {
            slept = 0;
            r->last_event_ns = r->now_ns;
        }
    }
}
