/* The io_uring backend. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "liburing_abi.h"
#include "ring_backends.h"

#define REAP_MAX 32     /* completions taken from the ring at once */
#define DIRECT_MAX 4    /* receives that a spinning owner tries itself: each costs a system call in every turn */
#define DIRECT_TURNS 8  /* so many turns of these to one look at the rest */
#define HOT_TURNS 4096u /* a socket that was silent for longer has no claim to a place among these; some milliseconds */
#define SQ_ENTRIES_MAX 1024u

typedef struct { uint64_t tag; void *buf; size_t len; int fd; uint32_t since; } direct_recv;
typedef struct { uint64_t tag; void *buf; size_t len; int fd; uint8_t is_cancel; } operation;

typedef struct {
    struct io_uring uring;
    uint32_t n_slots;
    hft_ring_completion reaped[REAP_MAX];
    uint32_t reaped_pos, reaped_len;
    direct_recv direct[DIRECT_MAX];
    uint32_t n_direct, n_armed; /* receives tried by us, and left to the kernel */
    uint32_t turn;
    uint32_t *last_turn;        /* by slot: when its latest receive began */
    uint8_t *has_more;          /* by slot: the latest receive by the kernel left bytes in the socket */
    uint8_t poll_first;         /* the kernel can be told to await bytes before it looks for them */
    hft_ring_completion *done;  /* of what was done directly, a ring: of a slot one receive and one send at most */
    uint32_t done_head, done_len, done_cap;
    operation *waiting;         /* for a place in the kernel's queue, in order */
    uint32_t n_waiting, waiting_cap;
    hft_ring_message *messages; /* by slot, of stamped receives; pages of those that have none are never touched */
    int event_fd;
    uint8_t event_registered, armed;
    uint8_t queued; /* since the last submit there was something to submit */
} uring;

/* ---- handing operations over ---- */

static struct io_uring_sqe *get_sqe(uring *u) {
    u->queued = 1;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->uring);
    if (sqe != NULL) return sqe;
    if (io_uring_submit(&u->uring) < 0) return NULL;
    return io_uring_get_sqe(&u->uring);
}

static void prepare_recv(uring *u, struct io_uring_sqe *sqe, const operation *op) {
    uint32_t slot = hft_ring_tag_slot(op->tag);
    if (hft_ring_tag_op(op->tag) == HFT_OP_RECV_STAMPED) {
        hft_ring_message *message = &u->messages[slot];
        hft_ring_message_init(message, op->buf, op->len);
        io_uring_prep_recvmsg(sqe, op->fd, &message->header, 0);
    } else {
        io_uring_prep_recv(sqe, op->fd, op->buf, op->len, 0);
    }
    if (u->poll_first && !u->has_more[slot]) sqe->ioprio |= IORING_RECVSEND_POLL_FIRST; /* to look now is in vain */
}

static void prepare(uring *u, struct io_uring_sqe *sqe, const operation *op) {
    if (op->is_cancel) {
        io_uring_prep_cancel64(sqe, op->tag, 0);
        io_uring_sqe_set_data64(sqe, hft_ring_tag(0, 0, HFT_OP_NONE));
        return;
    }
    switch (hft_ring_tag_op(op->tag)) {
    case HFT_OP_CONNECT: io_uring_prep_connect(sqe, op->fd, op->buf, (socklen_t)op->len); break;
    case HFT_OP_SEND: io_uring_prep_send(sqe, op->fd, op->buf, op->len, MSG_NOSIGNAL); break;
    case HFT_OP_READ: io_uring_prep_read(sqe, op->fd, op->buf, (unsigned)op->len, 0); break;
    case HFT_OP_ACCEPT: io_uring_prep_accept(sqe, op->fd, NULL, NULL, SOCK_CLOEXEC); break;
    default: prepare_recv(u, sqe, op);
    }
    io_uring_sqe_set_data64(sqe, op->tag);
}

/* What the queue has no room for, because the kernel takes nothing just now, waits: who was told of a failure could
 * not know that the bytes of his message leave after all, with the next. */
static int add(uring *u, const operation *op) {
    struct io_uring_sqe *sqe = u->n_waiting == 0 ? get_sqe(u) : NULL;
    if (sqe != NULL) {
        prepare(u, sqe, op);
        return 0;
    }
    if (u->n_waiting == u->waiting_cap) return HFT_E_RING_FULL;
    u->waiting[u->n_waiting++] = *op;
    return 0;
}

static void add_waiting(uring *u) {
    uint32_t n = 0;
    for (struct io_uring_sqe *sqe; n < u->n_waiting && (sqe = get_sqe(u)) != NULL; n++) prepare(u, sqe, &u->waiting[n]);
    u->n_waiting -= n;
    memmove(u->waiting, u->waiting + n, u->n_waiting * sizeof *u->waiting);
}

/* ---- receiving while spinning: recv() has the data 0.5 us sooner than a poll that io_uring has armed ---- */

static void add_done(uring *u, uint64_t tag, int32_t result, uint64_t kernel_ns) {
    if (u->done_len == 0) u->done_head = 0; /* which keeps to the same few pages */
    uint32_t at = u->done_head + u->done_len++;
    u->done[at < u->done_cap ? at : at - u->done_cap] = (hft_ring_completion){tag, result, kernel_ns};
}

static int arm_recv(uring *u, uint64_t tag, int fd, void *buf, size_t len) {
    int rc = add(u, &(operation){.tag = tag, .buf = buf, .len = len, .fd = fd});
    u->n_armed += rc == 0;
    return rc;
}

static void remove_direct(uring *u, direct_recv *d) { *d = u->direct[--u->n_direct]; }

static int hand_over(uring *u, direct_recv *d) {
    int rc = arm_recv(u, d->tag, d->fd, d->buf, d->len);
    if (rc == 0) remove_direct(u, d);
    return rc;
}

static int hand_over_all(uring *u) {
    while (u->n_direct != 0)
        if (hand_over(u, &u->direct[u->n_direct - 1]) < 0) return HFT_E_RING_FULL;
    return 0;
}

/* Which receives are worth a system call in every turn: all, where they are few; else those of sockets that had two
 * messages in short succession, until others have them in shorter. */
static int find_place(uring *u, uint32_t slot) {
    uint32_t silent = u->turn - u->last_turn[slot];
    u->last_turn[slot] = u->turn;
    if (u->armed) return 0; /* nobody takes turns while another event loop sleeps */
    if (u->n_direct < DIRECT_MAX) return u->n_armed == 0 || silent < HOT_TURNS;
    direct_recv *coldest = &u->direct[0];
    for (uint32_t i = 1; i < DIRECT_MAX; i++)
        if (u->turn - u->direct[i].since > u->turn - coldest->since) coldest = &u->direct[i];
    return silent < u->turn - coldest->since && silent < HOT_TURNS && hand_over(u, coldest) == 0;
}

static void try_direct(uring *u) {
    for (uint32_t i = 0; i < u->n_direct;) {
        direct_recv *d = &u->direct[i];
        uint64_t kernel_ns;
        int32_t result = hft_ring_try_recv(&kernel_ns, hft_ring_tag_op(d->tag), d->fd, d->buf, d->len);
        if (result != -EAGAIN && result != -EINTR) {
            add_done(u, d->tag, result, kernel_ns);
            remove_direct(u, d);
        } else if (u->n_armed == 0 || u->turn - d->since < HOT_TURNS || hand_over(u, d) < 0) {
            i++;
        }
    }
}

static int cancel_direct(uring *u, uint64_t tag) {
    for (uint32_t i = 0; i < u->n_direct; i++) {
        if (u->direct[i].tag != tag) continue;
        add_done(u, tag, -ECANCELED, 0);
        remove_direct(u, &u->direct[i]);
        return 1;
    }
    return 0;
}

static int start_recv(hft_ring *ring, uint64_t tag, int fd, void *buf, size_t len) {
    uring *u = ring->impl;
    if (!ring->spins || !find_place(u, hft_ring_tag_slot(tag))) return arm_recv(u, tag, fd, buf, len);
    u->direct[u->n_direct++] = (direct_recv){.tag = tag, .buf = buf, .len = len, .fd = fd, .since = u->turn};
    return 0;
}

/* ---- operations ---- */

/* A send that the socket has room for, as nearly each has, is done before a ring would have been told of it: 0.3 us
 * less than submitting one. While another event loop sleeps nobody would look for its completion. */
static int send_now(uring *u, uint64_t tag, int fd, const void *buf, size_t len) {
    if (u->armed || u->done_len == u->done_cap) return 0;
    ssize_t n = hft_ring_send_now(fd, buf, len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    add_done(u, tag, n < 0 ? -errno : (int32_t)n, 0);
    return 1;
}

static int uring_start(hft_ring *ring, uint64_t tag, int fd, void *buf, size_t len) {
    uring *u = ring->impl;
    if (hft_ring_tag_slot(tag) >= u->n_slots) return HFT_E_ARGUMENT;
    if (hft_ring_is_recv(hft_ring_tag_op(tag))) return start_recv(ring, tag, fd, buf, len);
    if (hft_ring_tag_op(tag) == HFT_OP_SEND && send_now(u, tag, fd, buf, len)) return 0;
    return add(u, &(operation){.tag = tag, .buf = buf, .len = len, .fd = fd});
}

static int uring_cancel(hft_ring *ring, uint64_t tag) {
    uring *u = ring->impl;
    return cancel_direct(u, tag) ? 0 : add(u, &(operation){.tag = tag, .is_cancel = 1});
}

/* What the kernel cannot do just now is done by the next wait, which submits again. */
static int lasting_error(int rc) {
    return rc < 0 && rc != -ETIME && rc != -EINTR && rc != -EBUSY && rc != -EAGAIN ? rc : 0;
}

static int uring_submit(hft_ring *ring) {
    uring *u = ring->impl;
    if (!u->queued) return 0;
    if (u->n_waiting != 0) add_waiting(u);
    int rc = io_uring_submit(&u->uring);
    u->queued = rc < 0 || u->n_waiting != 0;
    return lasting_error(rc);
}

/* ---- completions ---- */

static void on_received(uring *u, hft_ring_completion *completion, const struct io_uring_cqe *cqe) {
    uint32_t slot = hft_ring_tag_slot(completion->tag);
    u->n_armed--;
    u->has_more[slot] = (cqe->flags & IORING_CQE_F_SOCK_NONEMPTY) != 0;
    if (hft_ring_tag_op(completion->tag) == HFT_OP_RECV_STAMPED && completion->result > 0)
        completion->kernel_ns = hft_ring_message_ns(&u->messages[slot]);
}

/* Takes a batch from the ring; 0 = there was none. */
static int reap(uring *u) {
    struct io_uring_cqe *cqes[REAP_MAX];
    unsigned n = io_uring_peek_batch_cqe(&u->uring, cqes, REAP_MAX);
    u->reaped_pos = u->reaped_len = 0;
    for (unsigned i = 0; i < n; i++) {
        hft_ring_completion completion = {.tag = cqes[i]->user_data, .result = cqes[i]->res};
        hft_ring_op op = hft_ring_tag_op(completion.tag);
        if (op == HFT_OP_NONE) continue;
        if (hft_ring_is_recv(op)) on_received(u, &completion, cqes[i]);
        u->reaped[u->reaped_len++] = completion;
    }
    if (n != 0) io_uring_cq_advance(&u->uring, n);
    return n != 0;
}

static int uring_next(hft_ring *ring, hft_ring_completion *completion) {
    uring *u = ring->impl;
    if (u->done_len != 0) {
        *completion = u->done[u->done_head++];
        if (u->done_head == u->done_cap) u->done_head = 0;
        u->done_len--;
        return 1;
    }
    while (u->reaped_pos == u->reaped_len) /* a batch may hold nothing but ends of cancellations */
        if (!reap(u)) return 0;
    *completion = u->reaped[u->reaped_pos++];
    return 1;
}

static int has_completions(const uring *u) { return u->done_len != 0 || u->reaped_pos < u->reaped_len; }

/* ---- waiting ---- */

static int submit_and_get(uring *u) {
    if (u->n_waiting != 0) add_waiting(u);
    return lasting_error(io_uring_sq_ready(&u->uring) != 0 ? io_uring_submit_and_get_events(&u->uring)
                                                           : io_uring_get_events(&u->uring));
}

static void disarm(uring *u) {
    uint64_t count;
    u->armed = 0;
    (void)!io_uring_cq_eventfd_toggle(&u->uring, false);
    (void)!read(u->event_fd, &count, sizeof count); /* or it would stay readable */
}

static int uring_wait(hft_ring *ring, uint64_t timeout_ns) {
    uring *u = ring->impl;
    if (u->armed) disarm(u);
    u->turn++;
    if (has_completions(u)) timeout_ns = 0;
    if (timeout_ns == 0) {
        if (u->n_direct == 0) return submit_and_get(u);
        try_direct(u);
        return u->turn % DIRECT_TURNS == 0 || io_uring_sq_ready(&u->uring) != 0 ? submit_and_get(u) : 0;
    }
    if (hand_over_all(u) < 0 || u->n_waiting != 0) return submit_and_get(u); /* the next call tries again */
    struct io_uring_cqe *cqe;
    struct __kernel_timespec ts = {.tv_sec = (long long)(timeout_ns / 1000000000u),
                                   .tv_nsec = (long long)(timeout_ns % 1000000000u)};
    return lasting_error(io_uring_submit_and_wait_timeout(&u->uring, &cqe, 1, &ts, NULL));
}

/* With deferred task work the descriptor of the ring itself tells nobody of a completion that waits to be carried out:
 * an eventfd is signalled by that too. It is registered with the first use, and off except while armed. */
static int uring_arm(hft_ring *ring) {
    uring *u = ring->impl;
    if (!u->event_registered) {
        int rc = io_uring_register_eventfd(&u->uring, u->event_fd);
        if (rc < 0) return rc;
        u->event_registered = 1;
    }
    u->armed = 1;
    int rc = io_uring_cq_eventfd_toggle(&u->uring, true);
    if (rc < 0) return rc;
    int is_behind = hand_over_all(u) < 0;
    rc = submit_and_get(u); /* what came before the eventfd was on is in the ring after this */
    if (rc < 0) return rc;
    return is_behind || u->n_waiting != 0 || has_completions(u) || io_uring_cq_ready(&u->uring) != 0;
}

static void uring_forget(hft_ring *ring, uint32_t slot, int fd) { (void)ring, (void)slot, (void)fd; }

/* ---- open, close ---- */

static void uring_free(uring *u) {
    if (u->event_fd >= 0) close(u->event_fd);
    free(u->last_turn);
    free(u->has_more);
    free(u->done);
    free(u->waiting);
    free(u->messages);
    free(u);
}

static void uring_close(hft_ring *ring) {
    uring *u = ring->impl;
    io_uring_queue_exit(&u->uring);
    uring_free(u);
    ring->impl = NULL;
}

static const hft_ring_ops uring_ops = {.start = uring_start, .cancel = uring_cancel, .submit = uring_submit,
                                       .wait = uring_wait,   .arm = uring_arm,       .next = uring_next,
                                       .forget = uring_forget, .close = uring_close};

static int explain(int rc, hft_err *err) {
    const char *text = "io_uring_setup failed";
    if (rc == -EPERM || rc == -EACCES)
        text = "denied: allow it in the container's seccomp profile, or set kernel.io_uring_disabled=0";
    else if (rc == -ENOSYS) text = "this kernel has no io_uring: Linux 5.11 or later is needed";
    else if (rc == -ENOMEM) text = "out of locked memory: raise RLIMIT_MEMLOCK";
    return hft_fail(err, HFT_E_RING_UNAVAILABLE, 0, text);
}

static uint32_t power_of_two(uint32_t at_least, uint32_t max) {
    uint32_t n = 64;
    while (n < at_least && n < max) n *= 2;
    return n;
}

static int setup(uring *u, hft_err *err) {
    /* Best first: deferred task work runs completions only when asked, which keeps them off the hot path. */
    static const unsigned flags[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                                     IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0};
    int rc = -EINVAL;
    struct io_uring_params params;
    for (size_t i = 0; i < sizeof flags / sizeof *flags && rc == -EINVAL; i++) {
        memset(&params, 0, sizeof params);
        params.flags = flags[i] | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE;
        params.cq_entries = power_of_two(u->n_slots * 2, 65536); /* what does not fit, the kernel keeps elsewhere */
        rc = io_uring_queue_init_params(power_of_two(u->n_slots * 2, SQ_ENTRIES_MAX), &u->uring, &params);
    }
    if (rc < 0) return explain(rc, err);
    if ((params.features & IORING_FEAT_EXT_ARG) == 0) {
        io_uring_queue_exit(&u->uring);
        return hft_fail(err, HFT_E_RING_UNAVAILABLE, 0,
                        "this kernel's io_uring is too old: Linux 5.11 or later is needed");
    }
    u->poll_first = (params.flags & IORING_SETUP_DEFER_TASKRUN) != 0; /* Linux 6.1, and this came with 5.19 */
    rc = io_uring_register_ring_fd(&u->uring); /* saves a lookup per call; absent before Linux 5.18 */
    (void)rc;
    return 0;
}

int hft_ring_uring_open(hft_ring *ring, uint32_t slots, hft_err *err) {
    uring *u = aligned_alloc(64, sizeof *u);
    if (u == NULL) return hft_fail(err, HFT_E_MEMORY, 0, NULL);
    memset(u, 0, sizeof *u);
    u->n_slots = slots;
    u->turn = HOT_TURNS; /* no socket starts as one that had a message lately */
    u->last_turn = calloc(slots, sizeof *u->last_turn);
    u->has_more = calloc(slots, sizeof *u->has_more);
    u->done_cap = 2 * slots;
    u->done = calloc(u->done_cap, sizeof *u->done);
    u->waiting_cap = 6 * slots; /* connect, receive, send, and an end of each */
    u->waiting = calloc(u->waiting_cap, sizeof *u->waiting);
    u->messages = calloc(slots, sizeof *u->messages);
    u->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = u->event_fd < 0 ? hft_fail(err, -errno, 0, "eventfd") : 0;
    if (u->last_turn == NULL || u->has_more == NULL || u->done == NULL || u->waiting == NULL || u->messages == NULL)
        rc = hft_fail(err, HFT_E_MEMORY, 0, NULL);
    if (rc == 0) rc = setup(u, err);
    if (rc < 0) {
        uring_free(u);
        return rc;
    }
    ring->ops = &uring_ops;
    ring->backend = HFT_RING_URING;
    ring->fd = u->event_fd;
    ring->impl = u;
    return 0;
}
