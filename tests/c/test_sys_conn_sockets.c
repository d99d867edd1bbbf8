/* Connections on real sockets, on both backends, polling and not: long queues, resets, half-closes, stamps, memory. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "hft/conn.h"

#define RECV_CAP (1u << 20)
#define SEND_CAP (4u << 20)
#define STREAM_LEN (24u << 20)

static hft_ring ring;
static hft_conn conn;
static int peer;              /* the other end: non-blocking, driven by the test itself */
static uint64_t last_stamp_ns; /* of the latest receive */
static uint8_t *recv_memory, *send_memory;

static uint64_t clock_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint8_t *map(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

static size_t resident(uint8_t *memory, size_t size) {
    static unsigned char pages[SEND_CAP / 4096];
    size_t n = 0;
    CHECK_EQ(mincore(memory, size, pages), 0);
    for (size_t i = 0; i < size / 4096; i++) n += pages[i] & 1;
    return n;
}

static void tcp_pair(int pair[2]) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_EQ(listen(listener, 1), 0);
    CHECK_EQ(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    pair[0] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(connect(pair[0], (struct sockaddr *)&address, sizeof address), 0);
    pair[1] = accept(listener, NULL, NULL);
    close(listener);
}

static void adopt_one(uint8_t stamped) {
    int pair[2];
    hft_err err = {0};
    hft_address address = {0};
    hft_conn_config config = {.ring = &ring, .slot = 1, .recv_memory = recv_memory, .recv_cap = RECV_CAP,
                              .send_memory = send_memory, .send_cap = SEND_CAP};
    tcp_pair(pair);
    peer = pair[1];
    CHECK_EQ(fcntl(peer, F_SETFL, O_NONBLOCK), 0);
    CHECK_EQ(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0); /* as event loops hand them over */
    CHECK_EQ(hft_conn_init(&conn, &config, &err), 0);
    conn.stamped = stamped;
    CHECK_EQ(hft_conn_adopt(&conn, pair[0], &address), 0);
    CHECK_EQ(conn.state, HFT_CONN_OPEN);
    int blocks = (fcntl(pair[0], F_GETFL) & O_NONBLOCK) == 0;
    if (ring.backend == HFT_RING_URING) CHECK(blocks); /* or it would answer -EAGAIN, not wait */
}

/* One look at the ring. Returns the events that were DATA. */
static int turn(uint64_t timeout_ns) {
    hft_ring_completion completion;
    int n = 0;
    CHECK_EQ(hft_ring_wait(&ring, timeout_ns), 0);
    while (hft_ring_next(&ring, &completion)) {
        if (completion.result > 0 && hft_ring_tag_op(completion.tag) != HFT_OP_SEND)
            last_stamp_ns = completion.kernel_ns;
        n += hft_conn_complete(&conn, completion.tag, completion.result) == HFT_CONN_DATA;
    }
    return n;
}

static void turns(int n) {
    for (int i = 0; i < n; i++) (void)turn(0);
}

/* Waits for the end, which must come once. */
static void settle(void) {
    int ends = 0;
    for (int i = 0; i < 1000 && ends == 0; i++) {
        if (hft_conn_settle(&conn)) ends++;
        else (void)turn(1000000);
    }
    turns(20);
    ends += hft_conn_settle(&conn);
    CHECK_EQ(ends, 1);
    CHECK_EQ(conn.state, HFT_CONN_IDLE);
    hft_conn_free(&conn);
}

static void finish(void) {
    hft_conn_close(&conn, HFT_E_CONN_STOPPED, NULL);
    settle();
    close(peer);
}

static uint8_t byte_at(size_t position) { return (uint8_t)(position ^ position >> 8 ^ position >> 16); }

static size_t put(size_t position, size_t len) {
    uint8_t *space = hft_conn_has_room(&conn, len) ? hft_conn_space(&conn, len) : NULL;
    if (space == NULL) return 0;
    for (size_t i = 0; i < len; i++) space[i] = byte_at(position + i);
    CHECK_EQ(hft_conn_commit(&conn, space, len), 0);
    CHECK_EQ(hft_conn_flush(&conn), 0);
    return len;
}

static size_t check_stream(const uint8_t *data, size_t len, size_t position) {
    for (size_t i = 0; i < len; i++)
        if (data[i] != byte_at(position + i)) {
            CHECK_EQ(position + i, -1);
            break;
        }
    return position + len;
}

/* A queue of megabytes that is never empty, drained in sends of whatever length the kernel takes. */
static void test_long_queue(void) {
    static uint8_t data[65536];
    size_t queued = 0, arrived = 0, most = 0;
    uint32_t random = 1;
    adopt_one(0);
    while (arrived < STREAM_LEN) {
        for (size_t n = 1; n != 0 && queued < STREAM_LEN; queued += n) {
            random = random * 1664525u + 1013904223u;
            size_t len = 1 + (random >> 8) % 200000;
            n = put(queued, len < STREAM_LEN - queued ? len : STREAM_LEN - queued);
        }
        if (hft_conn_queued(&conn) > most) most = hft_conn_queued(&conn);
        (void)turn(0);
        ssize_t n = recv(peer, data, 1 + random % sizeof data, 0);
        if (n > 0) arrived = check_stream(data, (size_t)n, arrived);
    }
    for (int i = 0; i < 100 && !hft_conn_drained(&conn); i++) (void)turn(1000000);
    CHECK(hft_conn_drained(&conn));
    CHECK_EQ(conn.bytes_out, STREAM_LEN);
    CHECK(most > SEND_CAP - 500000); /* it was full, and not half of it lost to fragments */

    CHECK(resident(send_memory, SEND_CAP) > SEND_CAP / 4096 / 2);
    hft_conn_trim(&conn, 16384);
    CHECK(resident(send_memory, SEND_CAP) <= 4);
    CHECK(put(0, 100000) != 0); /* what waits is not given back */
    hft_conn_trim(&conn, 0);
    size_t got = 0;
    for (int i = 0; i < 1000 && got < 100000; i++) {
        (void)turn(1000000);
        ssize_t n = recv(peer, data, sizeof data, 0);
        if (n > 0) got = check_stream(data, (size_t)n, got);
    }
    CHECK_EQ(got, 100000);
    finish();
}

/* All that the peer sends arrives, in order, with a rest left over each time, and its end behind it. */
static void test_half_close(void) {
    static uint8_t data[300000];
    size_t sent = 0, taken = 0, len;
    adopt_one(0);
    for (size_t i = 0; i < sizeof data; i++) data[i] = byte_at(i);
    for (int i = 0; i < 100000 && conn.state == HFT_CONN_OPEN; i++) {
        ssize_t n = send(peer, data + sent, sizeof data - sent, MSG_NOSIGNAL);
        if (n > 0) sent += (size_t)n;
        if (n > 0 && sent == sizeof data) CHECK_EQ(shutdown(peer, SHUT_WR), 0);
        if (turn(1000000) == 0) continue;
        const uint8_t *view = hft_conn_data(&conn, &len);
        size_t use = taken + len == sizeof data ? len : len - (size_t)i % 7 % (len + 1);
        taken = check_stream(view, use, taken);
        hft_conn_consume(&conn, use);
        hft_conn_rearm(&conn);
    }
    CHECK_EQ(taken, sizeof data);
    CHECK_EQ(conn.err.code, HFT_E_CONN_CLOSED);
    settle();
    close(peer);
}

/* The peer says why it goes, and goes: with our bytes unread (reset), while a long send is under way. */
static void test_reset(int sends_under_way) {
    size_t len = 0;
    int events = 0;
    adopt_one(0);
    turns(3);
    if (sends_under_way) {
        while (put(0, 100000) != 0) turns(1);
        turns(100);
        CHECK(!hft_conn_drained(&conn));
    }
    CHECK_EQ(send(peer, "last words", 10, MSG_NOSIGNAL), 10);
    struct linger linger = {.l_onoff = 1};
    CHECK_EQ(setsockopt(peer, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    close(peer);
    if (!sends_under_way) CHECK_EQ(put(0, 100), 100); /* meets a socket that is gone */
    for (int i = 0; i < 1000 && conn.state == HFT_CONN_OPEN; i++) {
        int n = turn(1000000);
        events += n;
        if (n != 0 && i % 2 == 0) (void)put(0, 1); /* an answer to it is refused at most */
        if (n == 0) continue;
        CHECK_MEM(hft_conn_data(&conn, &len), "last words", len);
        hft_conn_consume(&conn, len);
        hft_conn_rearm(&conn);
    }
    CHECK_EQ(events, 1);
    CHECK_EQ(len, 10);
    CHECK(conn.err.code == -ECONNRESET || conn.err.code == -EPIPE);
    settle();
}

static void test_pause(void) {
    static uint8_t data[65536];
    size_t sent = 0, taken = 0, len;
    adopt_one(0);
    hft_conn_pause(&conn, 1);
    for (int i = 0; i < 300; i++) {
        for (size_t k = 0; k < sizeof data; k++) data[k] = byte_at(sent + k);
        ssize_t n = send(peer, data, sizeof data, MSG_NOSIGNAL);
        if (n > 0) sent += (size_t)n;
        if (turn(0) != 0) hft_conn_rearm(&conn);
    }
    CHECK(conn.bytes_in <= HFT_CONN_RECV_MAX); /* the receive that was under way, and no more */
    CHECK(sent > conn.bytes_in);
    hft_conn_pause(&conn, 0);
    for (int i = 0; i < 1000 && taken < sent; i++) {
        const uint8_t *view = hft_conn_data(&conn, &len);
        taken = check_stream(view, len, taken);
        hft_conn_consume(&conn, len);
        hft_conn_rearm(&conn);
        (void)turn(1000000);
    }
    CHECK_EQ(taken, sent);
    finish();
}

/* A stamp lies between the send and the look at the ring; only a connection that asked has one. */
static void test_stamps(uint8_t stamped) {
    adopt_one(stamped);
    int n_stamped = 0;
    for (int i = 0; i < (n_stamped < 20 && stamped ? 2000 : 20); i++) { /* the kernel begins to stamp a little later */
        size_t len;
        turns(i % 30); /* received directly, and by the ring */
        uint64_t before_ns = clock_ns(CLOCK_REALTIME);
        last_stamp_ns = 1;
        CHECK_EQ(send(peer, "tick", 4, MSG_NOSIGNAL), 4);
        int n = 0;
        for (int k = 0; k < 1000 && n == 0; k++) n = turn(i % 3 == 0 ? 1000000 : 0);
        CHECK_EQ(n, 1);
        if (!stamped) CHECK_EQ(last_stamp_ns, 0);
        n_stamped += last_stamp_ns != 0;
        if (n_stamped != 0) CHECK(last_stamp_ns >= before_ns && last_stamp_ns <= clock_ns(CLOCK_REALTIME));
        CHECK_MEM(hft_conn_data(&conn, &len), "tick", 4);
        hft_conn_consume(&conn, len);
        hft_conn_rearm(&conn);
    }
    CHECK_EQ(n_stamped, stamped ? 20 : 0);
    hft_conn_close(&conn, HFT_E_CONN_STOPPED, NULL); /* with a stamped receive under way */
    settle();
    close(peer);
}

int main(void) {
    static const hft_ring_backend backends[] = {HFT_RING_EPOLL, HFT_RING_URING};
    recv_memory = map(RECV_CAP);
    send_memory = map(SEND_CAP);
    for (int i = 0; i < 4; i++) {
        hft_err err = {0};
        if (hft_ring_open(&ring, backends[i / 2], 2, &err) < 0) {
            printf("skipped, no io_uring here: %s\n", err.text);
            continue;
        }
        ring.spins = i % 2 == 1;
        test_long_queue();
        test_half_close();
        test_reset(0);
        test_reset(1);
        test_pause();
        test_stamps(0);
        test_stamps(1);
        hft_ring_close(&ring);
    }
    return check_done();
}
