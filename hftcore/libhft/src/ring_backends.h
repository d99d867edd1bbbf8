/* The two backends of ring.h, and what they share. Private. */
#ifndef HFT_RING_BACKENDS_H
#define HFT_RING_BACKENDS_H

#include <errno.h>
#include <stdalign.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

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
int32_t hft_ring_try_stamped(uint64_t *kernel_ns, int fd, void *buf, size_t len);

/* recv() and send() that never wait. glibc's own are cancellation points, which in a program with threads take two
 * atomic operations each. Both return -1 and set errno. */
static inline ssize_t hft_ring_recv_now(int fd, void *buf, size_t len) {
    return syscall(SYS_recvfrom, fd, buf, len, MSG_DONTWAIT, NULL, NULL);
}
static inline ssize_t hft_ring_send_now(int fd, const void *buf, size_t len) {
    return syscall(SYS_sendto, fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
}

/* Tries a receive, stamped or not, once: bytes, or -errno (-EAGAIN: nothing is there). */
static inline int32_t hft_ring_try_recv(uint64_t *kernel_ns, hft_ring_op op, int fd, void *buf, size_t len) {
    *kernel_ns = 0;
    if (op == HFT_OP_RECV_STAMPED) return hft_ring_try_stamped(kernel_ns, fd, buf, len);
    ssize_t n = hft_ring_recv_now(fd, buf, len);
    return n < 0 ? -errno : (int32_t)n;
}

static inline int hft_ring_is_recv(hft_ring_op op) { return op == HFT_OP_RECV || op == HFT_OP_RECV_STAMPED; }

#endif
