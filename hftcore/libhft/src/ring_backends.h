/* The two backends of ring.h, and what they share. Private. */
#ifndef HFT_RING_BACKENDS_H
#define HFT_RING_BACKENDS_H

#include <stdalign.h>
#include <sys/uio.h>
#include <time.h>

#include "hft/ring.h"

int hft_ring_uring_open(hft_ring *ring, uint32_t slots, hft_err *err);
int hft_ring_epoll_open(hft_ring *ring, uint32_t slots, hft_err *err);

/* A receive that asks for the kernel's stamp. */
typedef struct {
    struct msghdr header;
    struct iovec part;
    alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(3 * sizeof(struct timespec))]; /* struct scm_timestamping */
} hft_ring_message;

void hft_ring_message_init(hft_ring_message *message, void *buf, size_t len);
/* The software stamp that came with it, or 0. */
uint64_t hft_ring_message_ns(hft_ring_message *message);
/* Tries a receive, stamped or not, once: bytes, or -errno (-EAGAIN: nothing is there). */
int32_t hft_ring_try_recv(uint64_t *kernel_ns, hft_ring_op op, int fd, void *buf, size_t len);

static inline int hft_ring_is_recv(hft_ring_op op) { return op == HFT_OP_RECV || op == HFT_OP_RECV_STAMPED; }

#endif
