/* The io_uring backend. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "liburing_abi.h"
#include "ring_backends.h"

#define REAP_MAX 32    /* completions taken from the ring at once */
#define DIRECT_MAX 4   /* receives that a spinning owner tries itself: each costs a system call in every turn */
#define DIRECT_TURNS 4 /* so many turns of these to one look at the rest */

typedef struct { uint64_t tag; void *buf; size_t len; int fd; } direct_recv;

typedef struct {
    struct io_uring uring;
    hft_ring_completion reaped[REAP_MAX + DIRECT_MAX];
    uint32_t reaped_pos, reaped_len;
    direct_recv direct[DIRECT_MAX];
    uint32_t n_direct, turns;
} uring;

static struct io_uring_sqe *get_sqe(uring *u) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->uring);
    if (sqe != NULL) return sqe;
    if (io_uring_submit(&u->uring) < 0) return NULL;
    return io_uring_get_sqe(&u->uring);
}

/* ---- receiving while spinning: recv() has the data 0.5 us sooner than a poll that io_uring has armed ---- */

/* There is room: each of these receives was started on a completion that has been taken, or is one of DIRECT_MAX. */
static void add_reaped(uring *u, uint64_t tag, int32_t result) {
    u->reaped_len -= u->reaped_pos;
    if (u->reaped_pos != 0) memmove(u->reaped, u->reaped + u->reaped_pos, u->reaped_len * sizeof *u->reaped);
    u->reaped_pos = 0;
    u->reaped[u->reaped_len++] = (hft_ring_completion){.tag = tag, .result = result};
}

static void try_direct(uring *u) {
    for (uint32_t i = 0; i < u->n_direct;) {
        direct_recv *d = &u->direct[i];
        ssize_t n = recv(d->fd, d->buf, d->len, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            i++;
            continue;
        }
        add_reaped(u, d->tag, n < 0 ? -errno : (int32_t)n);
        *d = u->direct[--u->n_direct];
    }
}

static int cancel_direct(uring *u, uint64_t tag) {
    for (uint32_t i = 0; i < u->n_direct; i++) {
        if (u->direct[i].tag != tag) continue;
        add_reaped(u, tag, -ECANCELED);
        u->direct[i] = u->direct[--u->n_direct];
        return 1;
    }
    return 0;
}

static int uring_start(hft_ring *ring, uint64_t tag, int fd, void *buf, size_t len) {
    uring *u = ring->impl;
    if (ring->spins && hft_ring_tag_op(tag) == HFT_OP_RECV && u->n_direct < DIRECT_MAX) {
        u->direct[u->n_direct++] = (direct_recv){.tag = tag, .buf = buf, .len = len, .fd = fd};
        return 0;
    }
    struct io_uring_sqe *sqe = get_sqe(u);
    if (sqe == NULL) return HFT_E_RING_FULL;
    switch (hft_ring_tag_op(tag)) {
    case HFT_OP_CONNECT: io_uring_prep_connect(sqe, fd, buf, (socklen_t)len); break;
    case HFT_OP_RECV: io_uring_prep_recv(sqe, fd, buf, len, 0); break;
    case HFT_OP_SEND: io_uring_prep_send(sqe, fd, buf, len, MSG_NOSIGNAL); break;
    case HFT_OP_READ: io_uring_prep_read(sqe, fd, buf, (unsigned)len, 0); break;
    case HFT_OP_ACCEPT: io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC); break;
    default: return HFT_E_ARGUMENT;
    }
    io_uring_sqe_set_data64(sqe, tag);
    return 0;
}

static int uring_cancel(hft_ring *ring, uint64_t tag) {
    uring *u = ring->impl;
    if (cancel_direct(u, tag)) return 0;
    struct io_uring_sqe *sqe = get_sqe(u);
    if (sqe == NULL) return HFT_E_RING_FULL;
    io_uring_prep_cancel64(sqe, tag, 0);
    io_uring_sqe_set_data64(sqe, hft_ring_tag(0, 0, HFT_OP_NONE));
    return 0;
}

static int uring_submit(hft_ring *ring) {
    uring *u = ring->impl;
    int rc = io_uring_submit(&u->uring);
    return rc < 0 && rc != -EINTR && rc != -EBUSY && rc != -EAGAIN ? rc : 0; /* the next wait submits again */
}

static int uring_wait(hft_ring *ring, uint64_t timeout_ns) {
    uring *u = ring->impl;
    int rc;
    if (u->n_direct != 0) {
        try_direct(u);
        timeout_ns = 0;
        if (++u->turns % DIRECT_TURNS != 0 && io_uring_sq_ready(&u->uring) == 0) return 0;
    }
    if (timeout_ns == 0 || u->reaped_pos < u->reaped_len) {
        rc = io_uring_sq_ready(&u->uring) != 0 ? io_uring_submit_and_get_events(&u->uring)
                                               : io_uring_get_events(&u->uring);
    } else {
        struct io_uring_cqe *cqe;
        struct __kernel_timespec ts = {.tv_sec = (long long)(timeout_ns / 1000000000u),
                                       .tv_nsec = (long long)(timeout_ns % 1000000000u)};
        rc = io_uring_submit_and_wait_timeout(&u->uring, &cqe, 1, &ts, NULL);
    }
    return rc < 0 && rc != -ETIME && rc != -EINTR && rc != -EBUSY && rc != -EAGAIN ? rc : 0;
}

static int uring_next(hft_ring *ring, hft_ring_completion *completion) {
    uring *u = ring->impl;
    if (u->reaped_pos == u->reaped_len) {
        struct io_uring_cqe *cqes[REAP_MAX];
        unsigned n = io_uring_peek_batch_cqe(&u->uring, cqes, REAP_MAX);
        u->reaped_pos = u->reaped_len = 0;
        for (unsigned i = 0; i < n; i++) {
            if (hft_ring_tag_op(cqes[i]->user_data) == HFT_OP_NONE) continue;
            u->reaped[u->reaped_len++] = (hft_ring_completion){.tag = cqes[i]->user_data, .result = cqes[i]->res};
        }
        if (n != 0) io_uring_cq_advance(&u->uring, n);
        if (u->reaped_len == 0) return 0;
    }
    *completion = u->reaped[u->reaped_pos++];
    return 1;
}

static void uring_forget(hft_ring *ring, uint32_t slot, int fd) { (void)ring, (void)slot, (void)fd; }

static void uring_close(hft_ring *ring) {
    uring *u = ring->impl;
    io_uring_queue_exit(&u->uring);
    free(u);
    ring->impl = NULL;
}

static const hft_ring_ops uring_ops = {uring_start, uring_cancel, uring_submit, uring_wait,
                                       uring_next,  uring_forget, uring_close};

static int explain(int rc, hft_err *err) {
    const char *text = "io_uring_setup failed";
    if (rc == -EPERM || rc == -EACCES)
        text = "denied: allow it in the container's seccomp profile, or set kernel.io_uring_disabled=0";
    else if (rc == -ENOSYS) text = "this kernel has no io_uring: Linux 5.11 or later is needed";
    else if (rc == -ENOMEM) text = "out of locked memory: raise RLIMIT_MEMLOCK";
    return hft_fail(err, HFT_E_RING_UNAVAILABLE, 0, text);
}

int hft_ring_uring_open(hft_ring *ring, uint32_t slots, hft_err *err) {
    /* Best first: deferred task work runs completions only when asked, which keeps them off the hot path. */
    static const unsigned flags[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                                     IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0};
    uring *u = aligned_alloc(64, sizeof *u);
    if (u == NULL) return hft_fail(err, HFT_E_MEMORY, 0, NULL);
    unsigned entries = 64;
    while (entries < slots * 2 && entries < 4096) entries *= 2;
    int rc = -EINVAL;
    struct io_uring_params params;
    for (size_t i = 0; i < sizeof flags / sizeof *flags && rc == -EINVAL; i++) {
        memset(u, 0, sizeof *u);
        memset(&params, 0, sizeof params);
        params.flags = flags[i] | IORING_SETUP_CLAMP;
        rc = io_uring_queue_init_params(entries, &u->uring, &params);
    }
    if (rc < 0) {
        free(u);
        return explain(rc, err);
    }
    if ((params.features & IORING_FEAT_EXT_ARG) == 0) {
        io_uring_queue_exit(&u->uring);
        free(u);
        return hft_fail(err, HFT_E_RING_UNAVAILABLE, 0,
                        "this kernel's io_uring is too old: Linux 5.11 or later is needed");
    }
    rc = io_uring_register_ring_fd(&u->uring); /* saves a lookup per call; absent before Linux 5.18 */
    (void)rc;
    ring->ops = &uring_ops;
    ring->backend = HFT_RING_URING;
    ring->impl = u;
    return 0;
}
