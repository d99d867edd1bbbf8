/* Both backends of the ring on real sockets: every operation ends once, sleeping is safe in every mode. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "hft/ring.h"

#define PAIRS 40

static hft_ring ring;
static int near[PAIRS], far[PAIRS];
static uint8_t buf[PAIRS][64];

static uint64_t clock_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void open_pairs(hft_ring_backend backend, uint32_t n, uint8_t spins) {
    hft_err err = {0};
    CHECK_EQ(hft_ring_open(&ring, backend, PAIRS, &err), 0);
    CHECK_EQ(ring.backend, backend);
    ring.spins = spins;
    for (uint32_t i = 0; i < n; i++) {
        int pair[2];
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        near[i] = pair[0];
        far[i] = pair[1];
    }
}

static void close_pairs(uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        hft_ring_forget(&ring, i, near[i]);
        close(near[i]);
        close(far[i]);
    }
    hft_ring_close(&ring);
}

static void start_recv(uint32_t i) { CHECK_EQ(hft_ring_recv(&ring, i, 7, near[i], buf[i], sizeof buf[i]), 0); }

/* The next completion, by polling for up to a second. */
static int take(hft_ring_completion *completion) {
    for (uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + 1000000000u;;) {
        if (hft_ring_next(&ring, completion)) return 1;
        if (clock_ns(CLOCK_MONOTONIC) > end_ns) return 0;
        CHECK_EQ(hft_ring_wait(&ring, 0), 0);
    }
}

static int nothing_comes(void) {
    hft_ring_completion completion;
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(hft_ring_wait(&ring, 0), 0);
        if (hft_ring_next(&ring, &completion)) return 0;
    }
    return 1;
}

static void test_limits(hft_ring_backend backend) {
    hft_err err = {0};
    CHECK_EQ(hft_ring_open(&ring, backend, 0, &err), HFT_E_ARGUMENT);
    CHECK_EQ(hft_ring_open(&ring, backend, HFT_RING_SLOTS_MAX + 1, &err), HFT_E_ARGUMENT);
    CHECK_EQ(hft_ring_open(&ring, backend, HFT_RING_SLOTS_MAX, &err), 0);
    int pair[2];
    hft_ring_completion completion;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    uint32_t last = HFT_RING_SLOTS_MAX - 1;
    CHECK_EQ(hft_ring_recv(&ring, last + 1, 1, pair[0], buf[0], 64), HFT_E_ARGUMENT);
    CHECK_EQ(hft_ring_recv_stamped(&ring, last, 1, pair[0], buf[0], 64), 0);
    CHECK_EQ(write(pair[1], "abc", 3), 3);
    CHECK(take(&completion));
    CHECK_EQ(completion.tag, hft_ring_tag(last, 1, HFT_OP_RECV_STAMPED));
    CHECK_EQ(completion.result, 3);
    CHECK_MEM(buf[0], "abc", 3);
    hft_ring_forget(&ring, last, pair[0]);
    close(pair[0]);
    close(pair[1]);
    hft_ring_close(&ring);
}

/* More sockets than have a place among the direct ones: each receives what is its own, in any order of coming. */
static void test_many_receives(hft_ring_backend backend, uint8_t spins) {
    uint32_t counts[PAIRS] = {0};
    open_pairs(backend, PAIRS, spins);
    for (uint32_t i = 0; i < PAIRS; i++) start_recv(i);
    for (uint32_t round = 0; round < 3000; round++) {
        uint32_t i = round % 3 == 0 ? round % PAIRS : round % 5; /* a few are hot */
        uint8_t byte = (uint8_t)(i + counts[i]);
        hft_ring_completion completion;
        CHECK_EQ(write(far[i], &byte, 1), 1);
        if (!take(&completion)) {
            CHECK_EQ(round, UINT32_MAX);
            break;
        }
        CHECK_EQ(completion.tag, hft_ring_tag(i, 7, HFT_OP_RECV));
        CHECK_EQ(completion.result, 1);
        CHECK_EQ(completion.kernel_ns, 0);
        CHECK_EQ(buf[i][0], byte);
        counts[i]++;
        start_recv(i);
        if (round % 1000 == 999)
            for (int turn = 0; turn < 5000; turn++) CHECK_EQ(hft_ring_wait(&ring, 0), 0); /* all grow cold */
    }
    for (uint32_t i = 0; i < PAIRS; i++) CHECK_EQ(hft_ring_cancel(&ring, hft_ring_tag(i, 7, HFT_OP_RECV)), 0);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < PAIRS; i++) {
        hft_ring_completion completion = {0};
        CHECK(take(&completion));
        CHECK_EQ(completion.result, -ECANCELED);
        seen |= 1ull << hft_ring_tag_slot(completion.tag);
    }
    CHECK_EQ(seen, (1ull << PAIRS) - 1);
    CHECK(nothing_comes());
    close_pairs(PAIRS);
}

/* Operations begun and cancelled before any is taken; with the ends of cancellations, more than the queue holds. */
static void test_ends_pile_up(hft_ring_backend backend, uint8_t spins) {
    static uint8_t big[PAIRS][1 << 20];
    uint32_t ends[PAIRS][HFT_RING_OPS] = {0};
    open_pairs(backend, PAIRS, spins);
    for (uint32_t i = 0; i < PAIRS; i++) { /* neither can complete by itself */
        start_recv(i);
        CHECK_EQ(hft_ring_send(&ring, i, 7, near[i], big[i], sizeof big[i]), 0);
    }
    CHECK_EQ(hft_ring_wait(&ring, 0), 0);
    for (uint32_t i = 0; i < PAIRS; i++) {
        CHECK_EQ(hft_ring_cancel(&ring, hft_ring_tag(i, 7, HFT_OP_RECV)), 0);
        CHECK_EQ(hft_ring_cancel(&ring, hft_ring_tag(i, 7, HFT_OP_SEND)), 0);
        CHECK_EQ(hft_ring_cancel(&ring, hft_ring_tag(i, 6, HFT_OP_RECV)), 0); /* nobody's */
    }
    for (uint32_t n = 0; n < PAIRS * 2; n++) {
        hft_ring_completion completion = {0};
        CHECK(take(&completion));
        ends[hft_ring_tag_slot(completion.tag)][hft_ring_tag_op(completion.tag)]++;
    }
    for (uint32_t i = 0; i < PAIRS; i++) {
        CHECK_EQ(ends[i][HFT_OP_RECV], 1);
        CHECK_EQ(ends[i][HFT_OP_SEND], 1);
    }
    CHECK(nothing_comes());
    close_pairs(PAIRS);
}

/* Nobody sleeps while there is something to take, and what comes meanwhile queues behind it. */
static void test_taken_one_by_one(hft_ring_backend backend, uint8_t spins) {
    hft_ring_completion completion;
    open_pairs(backend, PAIRS, spins);
    for (uint32_t i = 0; i < PAIRS; i++) {
        start_recv(i);
        if (i < 36) CHECK_EQ(hft_ring_cancel(&ring, hft_ring_tag(i, 7, HFT_OP_RECV)), 0);
        else CHECK_EQ(write(far[i], "x", 1), 1);
    }
    uint64_t began_ns = clock_ns(CLOCK_MONOTONIC), seen = 0;
    for (uint32_t i = 0; i < PAIRS; i++) {
        CHECK_EQ(hft_ring_wait(&ring, 2000000000u), 0);
        int got = hft_ring_next(&ring, &completion);
        CHECK(got);
        if (!got) break;
        uint32_t slot = hft_ring_tag_slot(completion.tag);
        if (hft_ring_tag_op(completion.tag) == HFT_OP_RECV) {
            CHECK_EQ(completion.result, slot < 36 ? -ECANCELED : 1);
            CHECK_EQ(seen >> slot & 1, 0);
            seen |= 1ull << slot;
            if (slot < 8) CHECK_EQ(hft_ring_send(&ring, slot, 7, near[slot], "y", 1), 0);
        } else {
            i--;
        }
    }
    CHECK_EQ(seen, (1ull << PAIRS) - 1);
    CHECK(clock_ns(CLOCK_MONOTONIC) - began_ns < 1500000000);
    close_pairs(PAIRS);
}

static void *write_later(void *fd) {
    struct timespec pause = {.tv_nsec = 30000000};
    nanosleep(&pause, NULL);
    CHECK_EQ(write(*(int *)fd, "x", 1), 1);
    return NULL;
}

/* A receive that was being tried by us is left to the kernel before anybody sleeps. */
static void test_sleep(hft_ring_backend backend, uint8_t spins) {
    pthread_t thread;
    hft_ring_completion completion;
    open_pairs(backend, 6, spins);
    for (uint32_t i = 0; i < 6; i++) start_recv(i);
    for (uint32_t i = 0; i < 6; i++) {
        uint64_t began_ns = clock_ns(CLOCK_MONOTONIC);
        int waits = 0, got;
        CHECK_EQ(pthread_create(&thread, NULL, write_later, &far[i]), 0);
        do CHECK_EQ(hft_ring_wait(&ring, 5000000000u), 0);
        while (!(got = hft_ring_next(&ring, &completion)) && ++waits < 3);
        CHECK(got);
        uint64_t slept_ns = clock_ns(CLOCK_MONOTONIC) - began_ns;
        CHECK(slept_ns > 20000000 && slept_ns < 2000000000);
        CHECK_EQ(completion.tag, hft_ring_tag(i, 7, HFT_OP_RECV));
        pthread_join(thread, NULL);
        start_recv(i);
        if (i % 2 == 0) CHECK(nothing_comes());
    }
    CHECK_EQ(hft_ring_wait(&ring, 1000000), 0); /* and time passes for those that wait */
    CHECK(!hft_ring_next(&ring, &completion));
    close_pairs(6);
}

static int sleep_on(int fd, int timeout_ms) {
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    int n;
    do n = poll(&poller, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Another event loop, level-triggered, sleeps on the descriptor; after all was taken it is silent again. */
static void test_other_loop(hft_ring_backend backend, uint8_t spins) {
    pthread_t thread;
    hft_ring_completion completion;
    open_pairs(backend, 6, spins);
    int loop = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    CHECK_EQ(epoll_ctl(loop, EPOLL_CTL_ADD, hft_ring_fd(&ring), &event), 0);
    for (uint32_t i = 0; i < 6; i++) start_recv(i);
    CHECK(nothing_comes()); /* epoll tells that new sockets can be written to */
    for (uint32_t i = 0; i < 12; i++) {
        uint32_t slot = i % 6;
        CHECK_EQ(hft_ring_arm(&ring), 0);
        CHECK_EQ(sleep_on(loop, 0), 0);
        CHECK_EQ(pthread_create(&thread, NULL, write_later, &far[slot]), 0);
        CHECK_EQ(sleep_on(i % 2 == 0 ? loop : hft_ring_fd(&ring), 2000), 1);
        CHECK_EQ(hft_ring_wait(&ring, 0), 0);
        CHECK(hft_ring_next(&ring, &completion));
        CHECK_EQ(completion.tag, hft_ring_tag(slot, 7, HFT_OP_RECV));
        CHECK(!hft_ring_next(&ring, &completion));
        CHECK_EQ(sleep_on(loop, 0), 0);
        pthread_join(thread, NULL);
        start_recv(slot);
        if (i % 3 == 0) CHECK(nothing_comes());
    }
    /* What came before it was armed needs no descriptor. */
    CHECK_EQ(write(far[0], "x", 1), 1);
    CHECK_EQ(hft_ring_send(&ring, 1, 7, near[1], "y", 1), 0);
    CHECK_EQ(hft_ring_arm(&ring), 1);
    int n = 0;
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(hft_ring_wait(&ring, 0), 0);
        while (hft_ring_next(&ring, &completion)) n++;
    }
    CHECK_EQ(n, 2);
    start_recv(0);
    /* What is started while it is armed is told of as well, once submitted. */
    CHECK_EQ(hft_ring_arm(&ring), 0);
    CHECK_EQ(hft_ring_cancel(&ring, hft_ring_tag(2, 7, HFT_OP_RECV)), 0);
    if (hft_ring_arm(&ring) == 0) CHECK_EQ(sleep_on(loop, 2000), 1);
    CHECK(take(&completion));
    CHECK_EQ(completion.result, -ECANCELED);
    CHECK(nothing_comes());
    CHECK_EQ(hft_ring_arm(&ring), 0);
    start_recv(2); /* for instance of a new connection */
    CHECK_EQ(hft_ring_submit(&ring), 0);
    CHECK_EQ(pthread_create(&thread, NULL, write_later, &far[2]), 0);
    CHECK_EQ(sleep_on(loop, 2000), 1);
    CHECK(take(&completion));
    CHECK_EQ(completion.tag, hft_ring_tag(2, 7, HFT_OP_RECV));
    pthread_join(thread, NULL);
    close(loop);
    close_pairs(6);
}

/* What comes while another event loop sleeps is told of, whatever is sent meanwhile: a send to a peer that takes
 * nothing must not take away the bytes that were to wake it. */
static void test_sends_while_others_sleep(hft_ring_backend backend, uint8_t spins) {
    static uint8_t big[1 << 20];
    hft_ring_completion completion;
    open_pairs(backend, 1, spins);
    start_recv(0);
    CHECK(nothing_comes());
    while (send(near[0], big, sizeof big, MSG_DONTWAIT) > 0) continue;
    CHECK(nothing_comes());
    CHECK_EQ(hft_ring_arm(&ring), 0);
    CHECK_EQ(sleep_on(hft_ring_fd(&ring), 0), 0);
    CHECK_EQ(write(far[0], "x", 1), 1);
    CHECK_EQ(hft_ring_send(&ring, 0, 7, near[0], "y", 1), 0);
    CHECK_EQ(hft_ring_submit(&ring), 0);
    CHECK_EQ(sleep_on(hft_ring_fd(&ring), 2000), 1);
    CHECK(take(&completion));
    CHECK_EQ(completion.tag, hft_ring_tag(0, 7, HFT_OP_RECV));
    CHECK_EQ(hft_ring_cancel(&ring, hft_ring_tag(0, 7, HFT_OP_SEND)), 0);
    CHECK(take(&completion));
    CHECK(nothing_comes());
    close_pairs(1);
}

static void *start_all(void *unused) {
    for (uint32_t i = 0; i < PAIRS; i++) {
        for (int n = 0; n < 3; n++) CHECK_EQ(hft_ring_cancel(&ring, hft_ring_tag(i, 6, HFT_OP_RECV)), 0); /* nobody's */
        start_recv(i);
    }
    (void)!hft_ring_submit(&ring);
    return unused;
}

/* More than the queue holds while the kernel takes nothing, here because it is another thread's ring: it waits. */
static void test_a_full_queue(hft_ring_backend backend, uint8_t spins) {
    pthread_t thread;
    uint64_t seen = 0;
    open_pairs(backend, PAIRS, spins);
    CHECK_EQ(pthread_create(&thread, NULL, start_all, NULL), 0);
    pthread_join(thread, NULL);
    for (uint32_t i = 0; i < PAIRS; i++) CHECK_EQ(write(far[i], "x", 1), 1);
    for (uint32_t i = 0; i < PAIRS; i++) {
        hft_ring_completion completion = {0};
        CHECK(take(&completion));
        CHECK_EQ(completion.result, 1);
        seen |= 1ull << hft_ring_tag_slot(completion.tag);
    }
    CHECK_EQ(seen, (1ull << PAIRS) - 1);
    CHECK(nothing_comes());
    close_pairs(PAIRS);
}

int main(void) {
    static const hft_ring_backend backends[] = {HFT_RING_EPOLL, HFT_RING_URING};
    for (int i = 0; i < 2; i++) {
        hft_err err = {0};
        if (hft_ring_open(&ring, backends[i], 1, &err) < 0) {
            printf("skipped, no io_uring here: %s\n", err.text);
            continue;
        }
        hft_ring_close(&ring);
        test_limits(backends[i]);
        for (uint8_t spins = 0; spins < 2; spins++) {
            test_many_receives(backends[i], spins);
            test_ends_pile_up(backends[i], spins);
            test_taken_one_by_one(backends[i], spins);
            test_sleep(backends[i], spins);
            test_other_loop(backends[i], spins);
            test_sends_while_others_sleep(backends[i], spins);
            test_a_full_queue(backends[i], spins);
        }
    }
    return check_done();
}
