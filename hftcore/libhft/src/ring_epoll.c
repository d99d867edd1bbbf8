/* The epoll backend: edge-triggered readiness, and direct calls that report like completions. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "ring_backends.h"

#define EVENTS_MAX 64

typedef struct {
    uint64_t tag; /* 0 = no such operation in flight */
    void *buf;
    size_t len;
} operation;

typedef struct {
    int watched; /* 1 + the registered descriptor, 0 = none: a slot that is never used is never touched */
    uint8_t queued; /* in the ready list */
    uint8_t connect_started;
    operation ops[HFT_RING_OPS];
} slot;

typedef struct {
    int epoll_fd;
    uint32_t n_slots;
    slot *slots;
    uint32_t *ready; /* slots whose operations are to be tried; each at most once */
    uint32_t ready_len;
    uint8_t armed;   /* another event loop sleeps */
    hft_ring_completion *done; /* ring of completions, HFT_RING_OPS per slot: cannot overflow */
    uint32_t done_head, done_len, done_cap;
} epoller;

static void push_done(epoller *e, uint64_t tag, int32_t result, uint64_t kernel_ns) {
    if (e->done_len == 0) e->done_head = 0; /* which keeps to the same few pages */
    e->done[(e->done_head + e->done_len++) % e->done_cap] = (hft_ring_completion){tag, result, kernel_ns};
}

static void push_ready(epoller *e, uint32_t index) {
    if (e->slots[index].queued) return;
    e->slots[index].queued = 1;
    e->ready[e->ready_len++] = index;
}

static int watch_fd(epoller *e, uint32_t index, int fd) {
    slot *s = &e->slots[index];
    if (s->watched == fd + 1) return 0;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return -errno;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u32 = index};
    if (epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) return -errno;
    s->watched = fd + 1;
    s->connect_started = 0;
    return 0;
}

static int epoll_start(hft_ring *ring, uint64_t tag, int fd, void *buf, size_t len) {
    epoller *e = ring->impl;
    uint32_t index = hft_ring_tag_slot(tag);
    hft_ring_op op = hft_ring_tag_op(tag);
    if (index >= e->n_slots || op == HFT_OP_NONE || op >= HFT_RING_OPS) return HFT_E_ARGUMENT;
    slot *s = &e->slots[index];
    if (s->ops[op].tag != 0) return HFT_E_RING_FULL;
    s->ops[op] = (operation){.tag = tag, .buf = buf, .len = len};
    int rc = watch_fd(e, index, fd);
    if (rc < 0) { /* reported like a failed operation, so that callers have one error path */
        s->ops[op].tag = 0;
        push_done(e, tag, rc, 0);
        return 0;
    }
    push_ready(e, index);
    return 0;
}

/* The result of one try: bytes, 0, or -errno (-EAGAIN: not yet). */
static int try_once(uint64_t *kernel_ns, slot *s, hft_ring_op op) {
    operation *o = &s->ops[op];
    int fd = s->watched - 1;
    ssize_t n;
    *kernel_ns = 0;
    switch (op) {
    case HFT_OP_RECV:
    case HFT_OP_RECV_STAMPED: {
        int32_t result = hft_ring_try_recv(kernel_ns, op, fd, o->buf, o->len);
        return result == -EINTR ? -EAGAIN : result;
    }
    case HFT_OP_SEND: n = hft_ring_send_now(fd, o->buf, o->len); break;
    case HFT_OP_READ: n = read(fd, o->buf, o->len); break;
    case HFT_OP_ACCEPT: n = accept4(fd, NULL, NULL, SOCK_CLOEXEC); break;
    default:
        if (s->connect_started) {
            int error = 0;
            socklen_t error_len = sizeof error;
            if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len) < 0) return -errno;
            if (error != 0) return -error;
        }
        s->connect_started = 1;
        n = connect(fd, o->buf, (socklen_t)o->len);
        if (n < 0 && errno == EISCONN) return 0;
        if (n < 0 && (errno == EINPROGRESS || errno == EALREADY)) return -EAGAIN;
    }
    return n < 0 ? (errno == EINTR ? -EAGAIN : -errno) : (int)n;
}

/* 1 = a receive is still to be tried: while another event loop sleeps nobody would look for its completion, and bytes
 * that were taken make the descriptor say nothing. */
static int try_slot(epoller *e, uint32_t index) {
    slot *s = &e->slots[index];
    int is_left = 0;
    for (hft_ring_op op = HFT_OP_CONNECT; op < HFT_RING_OPS; op++) {
        operation *o = &s->ops[op];
        if (o->tag == 0) continue;
        if (e->armed && hft_ring_is_recv(op)) {
            is_left = 1;
            continue;
        }
        uint64_t tag = o->tag, kernel_ns;
        int result = try_once(&kernel_ns, s, op);
        if (result == -EAGAIN) continue;
        o->tag = 0;
        push_done(e, tag, result, kernel_ns);
    }
    return is_left;
}

static int epoll_submit(hft_ring *ring) {
    epoller *e = ring->impl;
    uint32_t left = 0;
    for (uint32_t i = 0; i < e->ready_len; i++) {
        uint32_t index = e->ready[i];
        if (try_slot(e, index)) e->ready[left++] = index;
        else e->slots[index].queued = 0;
    }
    e->ready_len = left;
    return 0;
}

/* A send that was never tried gets its one chance here, as with io_uring, which carries operations out in order: a
 * close frame queued just before the end would be lost otherwise. */
static int epoll_cancel(hft_ring *ring, uint64_t tag) {
    epoller *e = ring->impl;
    uint32_t index = hft_ring_tag_slot(tag);
    hft_ring_op op = hft_ring_tag_op(tag);
    if (index >= e->n_slots || op >= HFT_RING_OPS || e->slots[index].ops[op].tag != tag) return 0;
    uint64_t kernel_ns;
    int result = op == HFT_OP_SEND ? try_once(&kernel_ns, &e->slots[index], op) : -EAGAIN;
    e->slots[index].ops[op].tag = 0;
    push_done(e, tag, result == -EAGAIN ? -ECANCELED : result, 0);
    return 0;
}

static int wait_ready(epoller *e, uint64_t timeout_ns) {
    struct epoll_event events[EVENTS_MAX];
    uint64_t ms = (timeout_ns + 999999) / 1000000;
    int n = epoll_wait(e->epoll_fd, events, EVENTS_MAX, ms > 60000 ? 60000 : (int)ms);
    if (n < 0) return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++) push_ready(e, events[i].data.u32);
    return 0;
}

static int epoll_wait_any(hft_ring *ring, uint64_t timeout_ns) {
    epoller *e = ring->impl;
    e->armed = 0;
    int rc = epoll_submit(ring);
    if (rc < 0) return rc;
    rc = wait_ready(e, e->done_len != 0 ? 0 : timeout_ns);
    return rc < 0 ? rc : epoll_submit(ring);
}

/* An event that comes later makes the descriptor readable by itself. */
static int epoll_arm(hft_ring *ring) {
    epoller *e = ring->impl;
    e->armed = 0;
    int rc = epoll_submit(ring);
    e->armed = 1;
    return rc < 0 ? rc : e->done_len != 0;
}

static int epoll_next(hft_ring *ring, hft_ring_completion *completion) {
    epoller *e = ring->impl;
    if (e->done_len == 0) return 0;
    *completion = e->done[e->done_head];
    e->done_head = (e->done_head + 1) % e->done_cap;
    e->done_len--;
    return 1;
}

static void epoll_forget(hft_ring *ring, uint32_t index, int fd) {
    epoller *e = ring->impl;
    if (index >= e->n_slots || e->slots[index].watched != fd + 1) return;
    struct epoll_event unused = {0};
    (void)epoll_ctl(e->epoll_fd, EPOLL_CTL_DEL, fd, &unused);
    e->slots[index].watched = 0;
}

static void epoll_free(epoller *e) {
    if (e->epoll_fd >= 0) close(e->epoll_fd);
    free(e->slots);
    free(e->ready);
    free(e->done);
    free(e);
}

static void epoll_close(hft_ring *ring) {
    epoll_free(ring->impl);
    ring->impl = NULL;
}

static const hft_ring_ops epoll_ops = {.start = epoll_start, .cancel = epoll_cancel, .submit = epoll_submit,
                                       .wait = epoll_wait_any, .arm = epoll_arm,     .next = epoll_next,
                                       .forget = epoll_forget, .close = epoll_close};

int hft_ring_epoll_open(hft_ring *ring, uint32_t slots, hft_err *err) {
    epoller *e = calloc(1, sizeof *e);
    if (e == NULL) return hft_fail(err, HFT_E_MEMORY, 0, NULL);
    e->n_slots = slots;
    e->done_cap =
        slots * HFT_RING_OPS * 2; /* a cancelled operation may be followed by a new one before both are read */
    e->slots = calloc(slots, sizeof *e->slots);
    e->ready = calloc(slots, sizeof *e->ready);
    e->done = calloc(e->done_cap, sizeof *e->done);
    e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int rc = e->epoll_fd < 0 ? -errno : 0;
    if (e->slots == NULL || e->ready == NULL || e->done == NULL) rc = HFT_E_MEMORY;
    if (rc < 0) {
        epoll_free(e);
        return hft_fail(err, rc, 0, "epoll_create1");
    }
    ring->ops = &epoll_ops;
    ring->backend = HFT_RING_EPOLL;
    ring->fd = e->epoll_fd;
    ring->impl = e;
    return 0;
}
