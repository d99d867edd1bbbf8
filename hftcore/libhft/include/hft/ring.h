/* Completion-based socket I/O for one thread: io_uring, or epoll with direct calls where io_uring is denied.
 *
 * An operation is started with a tag and ends as exactly one completion that carries the tag. Buffers belong to
 * the kernel from start to completion, cancelled or not. At most one operation of each kind is in flight on a slot.
 * Operations are queued until hft_ring_submit or hft_ring_wait hands them over, but a send may be done at once.
 * Not thread-safe; with io_uring open, use and close happen on one thread (IORING_SETUP_SINGLE_ISSUER). */
#ifndef HFT_RING_H
#define HFT_RING_H

#include <sys/socket.h>

#include "hft/status.h"

#define HFT_RING_SLOTS_MAX 16384

typedef enum { HFT_RING_AUTO = 0, HFT_RING_URING = 1, HFT_RING_EPOLL = 2 } hft_ring_backend;

typedef enum {
    HFT_OP_NONE = 0, /* completions of cancellations: never shown to the caller */
    HFT_OP_CONNECT = 1, HFT_OP_RECV = 2, HFT_OP_SEND = 3,
    HFT_OP_READ = 4, /* of an eventfd */
    HFT_OP_ACCEPT = 5, /* result: the new descriptor, the caller's */
    HFT_OP_RECV_STAMPED = 6, /* a receive that also asks when the kernel had the bytes */
} hft_ring_op;

#define HFT_RING_OPS 7

/* slot < HFT_RING_SLOTS_MAX; generation tells a slot's uses apart. */
static inline uint64_t hft_ring_tag(uint32_t slot, uint32_t generation, hft_ring_op op) {
    return (uint64_t)generation << 32 | (uint64_t)op << 24 | slot;
}
static inline uint32_t hft_ring_tag_slot(uint64_t tag) { return (uint32_t)tag & 0xffffffu; }
static inline hft_ring_op hft_ring_tag_op(uint64_t tag) { return (hft_ring_op)((tag >> 24) & 0xff); }
static inline uint32_t hft_ring_tag_generation(uint64_t tag) { return (uint32_t)(tag >> 32); }

/* result: bytes (RECV: 0 = end of stream), 0 for CONNECT, or a negated errno. kernel_ns: RECV_STAMPED only, wall clock
 * of the last segment the bytes came in; 0 where the kernel has put down none. */
typedef struct { uint64_t tag; int32_t result; uint64_t kernel_ns; } hft_ring_completion;

typedef struct hft_ring hft_ring;

/* What a backend implements; the functions below are thin calls through it. */
typedef struct {
    int (*start)(hft_ring *ring, uint64_t tag, int fd, void *buf, size_t len);
    int (*cancel)(hft_ring *ring, uint64_t tag);
    int (*submit)(hft_ring *ring);
    int (*wait)(hft_ring *ring, uint64_t timeout_ns);
    int (*arm)(hft_ring *ring);
    int (*next)(hft_ring *ring, hft_ring_completion *completion);
    void (*forget)(hft_ring *ring, uint32_t slot, int fd);
    void (*close)(hft_ring *ring);
} hft_ring_ops;

struct hft_ring {
    const hft_ring_ops *ops;
    hft_ring_backend backend; /* what is in use; never AUTO once open */
    uint8_t spins;            /* the owner's, after open: it polls, so receiving is tried without being told */
    int fd;                   /* see hft_ring_fd */
    void *impl;               /* the backend's */
};

/* Takes memory and file descriptors for `slots` slots. AUTO: io_uring, and epoll where that is denied or unknown.
 * Errors: HFT_E_RING_UNAVAILABLE (*err says why and what to change), -errno. */
HFT_NODISCARD int hft_ring_open(hft_ring *ring, hft_ring_backend backend, uint32_t slots, hft_err *err);
/* Nothing may be in flight, or its memory must outlive the call. */
void hft_ring_close(hft_ring *ring);

/* Each starts one operation and returns 0, or HFT_E_RING_FULL. The fd is created blocking: io_uring would report
 * -EAGAIN on a non-blocking one instead of waiting, and the epoll backend makes it non-blocking itself.
 * The address must live until the completion. */
HFT_NODISCARD static inline int hft_ring_connect(hft_ring *ring, uint32_t slot, uint32_t generation, int fd,
                                                 struct sockaddr *address, socklen_t len) {
    return ring->ops->start(ring, hft_ring_tag(slot, generation, HFT_OP_CONNECT), fd, address, len);
}
HFT_NODISCARD static inline int hft_ring_recv(hft_ring *ring, uint32_t slot, uint32_t generation, int fd,
                                              void *buf, size_t len) {
    return ring->ops->start(ring, hft_ring_tag(slot, generation, HFT_OP_RECV), fd, buf, len);
}
/* The socket has SO_TIMESTAMPING set, with software stamps of what is received. In place of hft_ring_recv. */
HFT_NODISCARD static inline int hft_ring_recv_stamped(hft_ring *ring, uint32_t slot, uint32_t generation, int fd,
                                                      void *buf, size_t len) {
    return ring->ops->start(ring, hft_ring_tag(slot, generation, HFT_OP_RECV_STAMPED), fd, buf, len);
}
HFT_NODISCARD static inline int hft_ring_send(hft_ring *ring, uint32_t slot, uint32_t generation, int fd,
                                              const void *buf, size_t len) {
    return ring->ops->start(ring, hft_ring_tag(slot, generation, HFT_OP_SEND), fd, (void *)(uintptr_t)buf, len);
}
HFT_NODISCARD static inline int hft_ring_read(hft_ring *ring, uint32_t slot, uint32_t generation, int fd,
                                              uint64_t *count) {
    return ring->ops->start(ring, hft_ring_tag(slot, generation, HFT_OP_READ), fd, count, sizeof *count);
}
HFT_NODISCARD static inline int hft_ring_accept(hft_ring *ring, uint32_t slot, uint32_t generation, int fd) {
    return ring->ops->start(ring, hft_ring_tag(slot, generation, HFT_OP_ACCEPT), fd, NULL, 0);
}
/* Asks for an early end of an operation; its completion still comes (-ECANCELED, or its result if that was faster). */
HFT_NODISCARD static inline int hft_ring_cancel(hft_ring *ring, uint64_t tag) { return ring->ops->cancel(ring, tag); }

/* Hands queued operations to the kernel. 0 or -errno. */
HFT_NODISCARD static inline int hft_ring_submit(hft_ring *ring) { return ring->ops->submit(ring); }
/* Submits, and waits for a completion at most timeout_ns (0: only looks; an owner that spins does so in turns); may
 * return early without one. 0 or -errno; a signal is not an error. */
HFT_NODISCARD static inline int hft_ring_wait(hft_ring *ring, uint64_t timeout_ns) {
    return ring->ops->wait(ring, timeout_ns);
}
/* Submits, and makes hft_ring_fd tell of completions until the next hft_ring_wait: before another event loop sleeps on
 * it, and again where anything was started since. 1 = completions are there already and the descriptor need not say
 * so: take them instead of sleeping; 0, or -errno. */
HFT_NODISCARD static inline int hft_ring_arm(hft_ring *ring) { return ring->ops->arm(ring); }
/* For another event loop (poll, epoll of either kind, select): readable = call hft_ring_wait(ring, 0), and
 * hft_ring_next until it returns 0. Says nothing unless hft_ring_arm was called last. */
static inline int hft_ring_fd(const hft_ring *ring) { return ring->fd; }
/* 1 and a completion, or 0. */
static inline int hft_ring_next(hft_ring *ring, hft_ring_completion *completion) {
    return ring->ops->next(ring, completion);
}
/* Before close(fd) of a slot with nothing in flight. */
static inline void hft_ring_forget(hft_ring *ring, uint32_t slot, int fd) { ring->ops->forget(ring, slot, fd); }

#endif
