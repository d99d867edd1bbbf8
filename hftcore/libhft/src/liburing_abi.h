/* The part of liburing's ffi ABI in use, as exported by the shared library in the `liburing` wheel.
 *
 * The wheel ships no header. sqe and cqe are the kernel's; struct io_uring is opaque here and given room to spare
 * (216 bytes in liburing 2.15). */
#ifndef HFT_LIBURING_ABI_H
#define HFT_LIBURING_ABI_H

#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <signal.h>
#include <stdalign.h>
#include <stdbool.h>
#include <sys/socket.h>

/* Flags newer than some distributions' kernel headers (Ubuntu 22.04: Linux 5.15); the running kernel decides. */
#ifndef IORING_SETUP_COOP_TASKRUN
#define IORING_SETUP_COOP_TASKRUN (1U << 8)
#define IORING_SETUP_TASKRUN_FLAG (1U << 9)
#endif
#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif
#ifndef IORING_RECVSEND_POLL_FIRST
#define IORING_RECVSEND_POLL_FIRST (1U << 0)
#endif
#ifndef IORING_CQE_F_SOCK_NONEMPTY
#define IORING_CQE_F_SOCK_NONEMPTY (1U << 2)
#endif

struct io_uring {
    alignas(64) unsigned char opaque[512];
};

int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params);
void io_uring_queue_exit(struct io_uring *ring);
int io_uring_register_ring_fd(struct io_uring *ring);
int io_uring_register_eventfd(struct io_uring *ring, int fd);
int io_uring_cq_eventfd_toggle(struct io_uring *ring, bool enabled);
unsigned io_uring_cq_ready(const struct io_uring *ring);
struct io_uring_sqe *io_uring_get_sqe(struct io_uring *ring);
int io_uring_submit(struct io_uring *ring);
int io_uring_get_events(struct io_uring *ring);
int io_uring_submit_and_get_events(struct io_uring *ring);
int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wait_nr,
                                     struct __kernel_timespec *timeout, sigset_t *sigmask);
unsigned io_uring_peek_batch_cqe(struct io_uring *ring, struct io_uring_cqe **cqes, unsigned count);
void io_uring_cq_advance(struct io_uring *ring, unsigned count);
unsigned io_uring_sq_ready(const struct io_uring *ring);
void io_uring_prep_connect(struct io_uring_sqe *sqe, int fd, const struct sockaddr *address, socklen_t len);
void io_uring_prep_accept(struct io_uring_sqe *sqe, int fd, struct sockaddr *address, socklen_t *len, int flags);
void io_uring_prep_recv(struct io_uring_sqe *sqe, int fd, void *buf, size_t len, int flags);
void io_uring_prep_recvmsg(struct io_uring_sqe *sqe, int fd, struct msghdr *message, unsigned flags);
void io_uring_prep_send(struct io_uring_sqe *sqe, int fd, const void *buf, size_t len, int flags);
void io_uring_prep_read(struct io_uring_sqe *sqe, int fd, void *buf, unsigned len, __u64 offset);
void io_uring_prep_cancel64(struct io_uring_sqe *sqe, __u64 user_data, int flags);
void io_uring_sqe_set_data64(struct io_uring_sqe *sqe, __u64 data);

#endif
