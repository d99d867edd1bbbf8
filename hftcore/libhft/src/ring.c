#include "hft/ring.h"

#include <errno.h>
#include <string.h>

#include "ring_backends.h"

int hft_ring_open(hft_ring *ring, hft_ring_backend backend, uint32_t slots, hft_err *err) {
    memset(ring, 0, sizeof *ring);
    ring->fd = -1;
    if (slots == 0 || slots > HFT_RING_SLOTS_MAX) return hft_fail(err, HFT_E_ARGUMENT, 0, "ring: 1 to 16384 slots");
    if (backend == HFT_RING_EPOLL) return hft_ring_epoll_open(ring, slots, err);
    int rc = hft_ring_uring_open(ring, slots, err);
    if (rc < 0 && backend == HFT_RING_AUTO) return hft_ring_epoll_open(ring, slots, err);
    return rc;
}

void hft_ring_close(hft_ring *ring) {
    if (ring->ops != NULL) ring->ops->close(ring);
    ring->ops = NULL;
    ring->fd = -1;
}

void hft_ring_message_init(hft_ring_message *message, void *buf, size_t len) {
    message->part = (struct iovec){.iov_base = buf, .iov_len = len};
    message->header = (struct msghdr){.msg_iov = &message->part, .msg_iovlen = 1,
                                      .msg_control = message->control, .msg_controllen = sizeof message->control};
}

uint64_t hft_ring_message_ns(hft_ring_message *message) {
    struct msghdr *header = &message->header;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        struct timespec software; /* the first of three */
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPING) continue;
        memcpy(&software, CMSG_DATA(c), sizeof software);
        return (uint64_t)software.tv_sec * 1000000000u + (uint64_t)software.tv_nsec;
    }
    return 0;
}

int32_t hft_ring_try_stamped(uint64_t *kernel_ns, int fd, void *buf, size_t len) {
    hft_ring_message message;
    hft_ring_message_init(&message, buf, len);
    ssize_t n = recvmsg(fd, &message.header, MSG_DONTWAIT);
    if (n > 0) *kernel_ns = hft_ring_message_ns(&message);
    return n < 0 ? -errno : (int32_t)n;
}
