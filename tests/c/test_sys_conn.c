/* A connection on a ring made of memory: what the kernel holds is never touched, and nothing is sent twice or lost. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "hft/conn.h"

#define SLOT 3
#define CAP 8192

typedef struct { uint64_t tag; uint8_t *buf; size_t len; uint8_t copy[CAP]; int active, canceled; } operation;

static operation ops[HFT_RING_OPS];
static uint8_t wire[1 << 24]; /* all that left */
static size_t wire_len;

static int memory_start(hft_ring *ring, uint64_t tag, int fd, void *buf, size_t len) {
    operation *op = &ops[hft_ring_tag_op(tag)];
    (void)ring, (void)fd;
    CHECK(!op->active); /* at most one of a kind */
    CHECK(len <= CAP);
    op->tag = tag;
    op->buf = buf;
    op->len = len;
    op->active = 1;
    op->canceled = 0;
    if (hft_ring_tag_op(tag) == HFT_OP_SEND) memcpy(op->copy, buf, len);
    return 0;
}
static int memory_cancel(hft_ring *ring, uint64_t tag) {
    (void)ring;
    ops[hft_ring_tag_op(tag)].canceled = 1;
    return 0;
}
static int memory_submit(hft_ring *ring) { (void)ring; return 0; }
static int memory_wait(hft_ring *ring, uint64_t timeout_ns) { (void)ring, (void)timeout_ns; return 0; }
static int memory_arm(hft_ring *ring) { (void)ring; return 0; }
static int memory_next(hft_ring *ring, hft_ring_completion *completion) { (void)ring, (void)completion; return 0; }
static void memory_forget(hft_ring *ring, uint32_t slot, int fd) { (void)ring, (void)slot, (void)fd; }
static void memory_close(hft_ring *ring) { (void)ring; }

static const hft_ring_ops memory_ops = {.start = memory_start, .cancel = memory_cancel, .submit = memory_submit,
                                        .wait = memory_wait,   .arm = memory_arm,       .next = memory_next,
                                        .forget = memory_forget, .close = memory_close};
static hft_ring ring = {.ops = &memory_ops};

/* The kernel is done with an operation, of which it has done `result`. */
static int complete(hft_conn *conn, hft_ring_op kind, int32_t result) {
    operation *op = &ops[kind];
    CHECK(op->active);
    if (kind == HFT_OP_SEND) CHECK_MEM(op->buf, op->copy, op->len); /* nobody wrote to it, nobody moved it */
    if (kind == HFT_OP_SEND && result > 0) {
        memcpy(wire + wire_len, op->copy, (size_t)result);
        wire_len += (size_t)result;
    }
    op->active = 0;
    return hft_conn_complete(conn, op->tag, result);
}

static void receive(hft_conn *conn, const void *data, size_t len) {
    CHECK(len <= ops[HFT_OP_RECV].len);
    memcpy(ops[HFT_OP_RECV].buf, data, len);
    CHECK_EQ(complete(conn, HFT_OP_RECV, (int32_t)len), HFT_CONN_DATA);
}

static void open_conn(hft_conn *conn) {
    static uint8_t memory[2][CAP];
    hft_conn_config config = {.ring = &ring, .slot = SLOT, .recv_memory = memory[0], .recv_cap = CAP,
                              .send_memory = memory[1], .send_cap = CAP};
    hft_address address = {.v4 = {.sin_family = AF_INET}};
    hft_err err = {0};
    wire_len = 0;
    memset(ops, 0, sizeof ops);
    CHECK_EQ(hft_conn_init(conn, &config, &err), 0);
    CHECK_EQ(hft_conn_connect(conn, &address), 0);
    CHECK_EQ(hft_conn_connect(conn, &address), HFT_E_STATE);
    CHECK_EQ(complete(conn, HFT_OP_CONNECT, 0), HFT_CONN_UP);
    CHECK(ops[HFT_OP_RECV].active);
}

static void close_conn(hft_conn *conn) {
    hft_conn_close(conn, HFT_E_CONN_STOPPED, NULL);
    for (int op = HFT_OP_CONNECT; op <= HFT_OP_SEND; op++) {
        if (!ops[op].active) continue;
        CHECK(ops[op].canceled);
        CHECK_EQ(hft_conn_settle(conn), 0);
        CHECK_EQ(complete(conn, (hft_ring_op)op, -ECANCELED), HFT_CONN_NOTHING);
    }
    CHECK_EQ(hft_conn_settle(conn), 1);
    CHECK_EQ(hft_conn_settle(conn), 0);
    CHECK_EQ(conn->state, HFT_CONN_IDLE);
    hft_conn_free(conn);
}

static int queue(hft_conn *conn, uint32_t number, size_t len) {
    uint8_t *space = hft_conn_space(conn, len);
    if (space == NULL) return HFT_E_CONN_SEND_FULL;
    for (size_t i = 0; i < len; i++) space[i] = (uint8_t)(number + i);
    int rc = hft_conn_commit(conn, space, len);
    return rc < 0 ? rc : hft_conn_flush(conn);
}

/* Traffic that never pauses long enough for the buffer to run empty, in sends of any length. */
static void test_steady_sending(void) {
    hft_conn conn;
    open_conn(&conn);
    size_t queued = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        size_t len = 1 + i * 37 % 150;
        CHECK_EQ(queue(&conn, (uint32_t)queued, len), 0);
        queued += len;
        if (i == 0) continue; /* one message always waits behind the one in flight */
        size_t part = ops[HFT_OP_SEND].len > 200 ? ops[HFT_OP_SEND].len : ops[HFT_OP_SEND].len * 2 / 3 + 1;
        CHECK_EQ(complete(&conn, HFT_OP_SEND, (int32_t)part), HFT_CONN_NOTHING);
    }
    while (ops[HFT_OP_SEND].active) (void)complete(&conn, HFT_OP_SEND, (int32_t)ops[HFT_OP_SEND].len);
    CHECK(hft_conn_drained(&conn));
    CHECK_EQ(wire_len, queued);
    CHECK_EQ(conn.bytes_out, queued);
    for (size_t i = 0, bad = 0; i < wire_len && bad == 0; i++)
        if (wire[i] != (uint8_t)i) CHECK_EQ(bad = i, 0);
    close_conn(&conn);
}

static void test_full_is_an_answer(void) {
    hft_conn conn;
    open_conn(&conn);
    size_t n = 0;
    while (queue(&conn, 0, 100) == 0) n++;
    CHECK_EQ(n, CAP / 100);
    CHECK_EQ(ops[HFT_OP_SEND].len, 100); /* the first flush went at once; the rest waits */
    CHECK_EQ(complete(&conn, HFT_OP_SEND, 100), HFT_CONN_NOTHING);
    CHECK_EQ(ops[HFT_OP_SEND].len, (n - 1) * 100);
    CHECK_EQ(complete(&conn, HFT_OP_SEND, -EAGAIN), HFT_CONN_NOTHING);
    CHECK_EQ(complete(&conn, HFT_OP_SEND, (int32_t)((n - 1) * 100)), HFT_CONN_SENT);
    CHECK_EQ(queue(&conn, 0, CAP), 0);
    close_conn(&conn);
}

/* Room that was promised is there, whatever is in flight and wherever the queue has wrapped; bytes stay in order. */
static void test_promised_room(void) {
    hft_conn conn;
    open_conn(&conn);
    size_t queued = 0, wraps = 0;
    uint32_t random = 1;
    for (uint32_t i = 0; i < 20000; i++) {
        random = random * 1664525u + 1013904223u;
        size_t len = 1 + (random >> 8) % (i > 10000 && i % 7 == 0 ? CAP : CAP / 16);
        int has_room = hft_conn_has_room(&conn, len);
        CHECK_EQ(hft_conn_space(&conn, len) != NULL, has_room);
        if (has_room) CHECK_EQ(queue(&conn, (uint32_t)queued, len), 0);
        else if (i < 10000) CHECK(hft_conn_queued(&conn) + len + CAP / 16 > CAP); /* it is not refused for nothing */
        if (has_room) queued += len;
        CHECK_EQ(hft_conn_queued(&conn), queued - wire_len);
        wraps += conn.wrapped != 0;
        if (random >> 28 > 8 || !has_room || !ops[HFT_OP_SEND].active) continue;
        size_t all = ops[HFT_OP_SEND].len, part = 1 + random % all;
        (void)complete(&conn, HFT_OP_SEND, (int32_t)(random >> 28 > 4 ? all : part));
    }
    CHECK(wraps > 1000);
    while (ops[HFT_OP_SEND].active) (void)complete(&conn, HFT_OP_SEND, (int32_t)ops[HFT_OP_SEND].len);
    CHECK(hft_conn_drained(&conn));
    CHECK_EQ(wire_len, queued);
    for (size_t i = 0, bad = 0; i < wire_len && bad == 0; i++)
        if (wire[i] != (uint8_t)i) CHECK_EQ(bad = i, 0);
    CHECK(hft_conn_has_room(&conn, CAP));
    CHECK(!hft_conn_has_room(&conn, CAP + 1));
    close_conn(&conn);
    CHECK(!hft_conn_has_room(&conn, 1));
}

/* A message of any length arrives in any pieces; what was not consumed stays, in order, while the buffer is reused. */
static void test_receiving_in_pieces(void) {
    hft_conn conn;
    uint8_t data[512];
    open_conn(&conn);
    uint32_t sent = 0, taken = 0;
    for (uint32_t round = 0; round < 3000; round++) {
        size_t len = 1 + round * 53 % 300;
        for (size_t i = 0; i < len; i++) data[i] = (uint8_t)(sent + i);
        receive(&conn, data, len);
        sent += (uint32_t)len;
        size_t have;
        const uint8_t *view = hft_conn_data(&conn, &have);
        CHECK_EQ(have, sent - taken);
        for (size_t i = 0; i < have; i++)
            if (view[i] != (uint8_t)(taken + i)) {
                CHECK_EQ(i, have);
                break;
            }
        size_t use = have > 64 ? have - round % 64 : 0; /* a rest is left nearly always */
        hft_conn_consume(&conn, use);
        taken += (uint32_t)use;
        hft_conn_rearm(&conn);
        CHECK_EQ(conn.state, HFT_CONN_OPEN);
        CHECK(ops[HFT_OP_RECV].active);
    }
    close_conn(&conn);
}

static void test_message_longer_than_the_buffer(void) {
    static uint8_t data[CAP];
    hft_conn conn;
    open_conn(&conn);
    for (size_t have = 0; have < CAP; have += ops[HFT_OP_RECV].len) {
        size_t room = ops[HFT_OP_RECV].len;
        receive(&conn, data, room);
        hft_conn_rearm(&conn);
        if (conn.state != HFT_CONN_OPEN) break;
    }
    CHECK_EQ(conn.state, HFT_CONN_CLOSING);
    CHECK_EQ(conn.err.code, HFT_E_CONN_RECV_FULL);
    CHECK_EQ(hft_conn_settle(&conn), 1);
    hft_conn_free(&conn);
}

/* Completions of a former use of the slot say nothing about the present one. */
static void test_generations(void) {
    hft_conn conn;
    hft_address address = {.v4 = {.sin_family = AF_INET}};
    open_conn(&conn);
    uint64_t old = ops[HFT_OP_RECV].tag;
    hft_conn_close(&conn, HFT_E_CONN_CLOSED, "first");
    hft_conn_close(&conn, HFT_E_CONN_STOPPED, "second"); /* the first reason is kept */
    CHECK_EQ(conn.err.code, HFT_E_CONN_CLOSED);
    CHECK_STR(conn.err.text, "first");
    CHECK_EQ(complete(&conn, HFT_OP_RECV, -ECANCELED), HFT_CONN_NOTHING);
    CHECK_EQ(hft_conn_settle(&conn), 1);
    CHECK_EQ(hft_conn_connect(&conn, &address), 0);
    CHECK_EQ(conn.err.code, 0);
    CHECK_EQ(hft_conn_complete(&conn, old, 0), HFT_CONN_NOTHING);
    CHECK_EQ(conn.state, HFT_CONN_CONNECTING);
    CHECK_EQ(complete(&conn, HFT_OP_CONNECT, -ECONNREFUSED), HFT_CONN_NOTHING);
    CHECK_EQ(conn.err.code, -ECONNREFUSED);
    CHECK_EQ(hft_conn_settle(&conn), 1);
    hft_conn_free(&conn);
}

/* What waits behind a send in flight when the connection closes leaves as soon as the kernel gives the buffer back. */
static void test_last_words(void) {
    hft_conn conn;
    int pair[2];
    uint8_t got[64];
    open_conn(&conn);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    close(conn.fd);
    conn.fd = pair[0];
    CHECK_EQ(queue(&conn, 0, 10), 0);
    CHECK_EQ(queue(&conn, 10, 10), 0);
    hft_conn_close(&conn, HFT_E_CONN_STOPPED, NULL);
    CHECK_EQ(recv(pair[1], got, sizeof got, MSG_DONTWAIT), -1); /* not before: the order of bytes is the kernel's */
    CHECK_EQ(complete(&conn, HFT_OP_SEND, 4), HFT_CONN_NOTHING);
    CHECK_EQ(recv(pair[1], got, sizeof got, MSG_DONTWAIT), 16);
    for (size_t i = 0; i < 16; i++) CHECK_EQ(got[i], 4 + i);
    CHECK_EQ(complete(&conn, HFT_OP_RECV, -ECANCELED), HFT_CONN_NOTHING);
    CHECK_EQ(hft_conn_settle(&conn), 1);
    CHECK_EQ(conn.bytes_out, 20);
    close(pair[1]);
    hft_conn_free(&conn);
}

/* And in order, where it lies at both ends of the buffer. */
static void test_wrapped_last_words(void) {
    static uint8_t got[CAP];
    hft_conn conn;
    int pair[2];
    open_conn(&conn);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    close(conn.fd);
    conn.fd = pair[0];
    CHECK_EQ(queue(&conn, 0, 4000), 0);
    CHECK_EQ(queue(&conn, 4000 % 256, 4000), 0);
    CHECK_EQ(complete(&conn, HFT_OP_SEND, 4000), HFT_CONN_NOTHING);
    CHECK_EQ(queue(&conn, 8000 % 256, 3000), 0);
    CHECK(conn.wrapped != 0);
    hft_conn_close(&conn, HFT_E_CONN_STOPPED, NULL);
    CHECK_EQ(complete(&conn, HFT_OP_SEND, 100), HFT_CONN_NOTHING);
    CHECK_EQ(recv(pair[1], got, sizeof got, MSG_DONTWAIT), 6900);
    for (size_t i = 0, bad = 0; i < 6900 && bad == 0; i++)
        if (got[i] != (uint8_t)(4100 + i)) CHECK_EQ(bad = i + 1, 0);
    CHECK_EQ(complete(&conn, HFT_OP_RECV, -ECANCELED), HFT_CONN_NOTHING);
    CHECK_EQ(hft_conn_settle(&conn), 1);
    CHECK_EQ(conn.bytes_out, 11000);
    close(pair[1]);
    hft_conn_free(&conn);
}

/* A socket connected elsewhere is used like one that was connected here, in the same place, and in turn with it. */
static void test_adopted(void) {
    hft_conn conn;
    int pair[2];
    hft_address address = {.v4 = {.sin_family = AF_INET}};
    open_conn(&conn);
    receive(&conn, "left over", 9);
    CHECK_EQ(hft_conn_adopt(&conn, 99, &address), HFT_E_STATE);
    close_conn(&conn);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    uint32_t generation = conn.generation;
    CHECK_EQ(hft_conn_adopt(&conn, pair[0], &address), 0);
    CHECK_EQ(conn.state, HFT_CONN_OPEN);
    CHECK(conn.generation != generation);
    size_t len;
    (void)hft_conn_data(&conn, &len);
    CHECK_EQ(len, 0);
    receive(&conn, "hello", 5);
    CHECK_MEM(hft_conn_data(&conn, &len), "hello", 5);
    CHECK_EQ(len, 5);
    CHECK_EQ(queue(&conn, 0, 10), 0);
    CHECK_EQ(complete(&conn, HFT_OP_SEND, 10), HFT_CONN_SENT);
    close_conn(&conn);
    close(pair[1]);
}

/* The peer went while we were sending: what it had said before is received, and then comes the end, once. */
static void test_send_error(int32_t end) {
    hft_conn conn;
    size_t len;
    int pair[2];
    uint8_t got[64];
    open_conn(&conn);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    close(conn.fd);
    conn.fd = pair[0];
    CHECK_EQ(queue(&conn, 0, 10), 0);
    CHECK_EQ(queue(&conn, 10, 10), 0);
    CHECK_EQ(complete(&conn, HFT_OP_SEND, -EPIPE), HFT_CONN_NOTHING);
    hft_conn_close(&conn, -EPIPE, "pong"); /* a session that failed to answer */
    CHECK_EQ(conn.state, HFT_CONN_OPEN);
    CHECK_EQ(recv(pair[1], got, sizeof got, MSG_DONTWAIT), 0); /* shut down, so that an end comes whatever it was */
    CHECK_EQ(hft_conn_queued(&conn), 0);
    CHECK(!ops[HFT_OP_RECV].canceled);
    CHECK(!ops[HFT_OP_SEND].active);
    CHECK(!hft_conn_has_room(&conn, 1));
    CHECK_EQ(queue(&conn, 0, 10), -EPIPE);
    receive(&conn, "why", 3);
    CHECK_MEM(hft_conn_data(&conn, &len), "why", 3);
    hft_conn_consume(&conn, 3);
    hft_conn_rearm(&conn);
    CHECK_EQ(hft_conn_settle(&conn), 0);
    CHECK_EQ(complete(&conn, HFT_OP_RECV, end), HFT_CONN_NOTHING);
    CHECK_EQ(conn.err.code, -EPIPE);
    close(pair[1]);
    CHECK_EQ(hft_conn_settle(&conn), 1);
    CHECK_EQ(hft_conn_settle(&conn), 0);
    hft_address address = {.v4 = {.sin_family = AF_INET}};
    CHECK_EQ(hft_conn_connect(&conn, &address), 0);
    CHECK_EQ(complete(&conn, HFT_OP_CONNECT, 0), HFT_CONN_UP);
    CHECK_EQ(queue(&conn, 0, 10), 0); /* nothing of it is left for the next use */
    close_conn(&conn);
}

static void test_pause(void) {
    hft_conn conn;
    size_t len;
    open_conn(&conn);
    hft_conn_pause(&conn, 1);
    receive(&conn, "abc", 3); /* it was under way */
    hft_conn_rearm(&conn);
    CHECK(!ops[HFT_OP_RECV].active);
    CHECK_EQ(queue(&conn, 0, 10), 0);
    CHECK_EQ(complete(&conn, HFT_OP_SEND, 10), HFT_CONN_SENT);
    hft_conn_pause(&conn, 0);
    CHECK_MEM(hft_conn_data(&conn, &len), "abc", 3);
    hft_conn_consume(&conn, 3);
    hft_conn_rearm(&conn);
    CHECK(ops[HFT_OP_RECV].active);
    close_conn(&conn);
}

int main(void) {
    test_steady_sending();
    test_promised_room();
    test_send_error(0);
    test_send_error(-ECONNRESET);
    test_pause();
    test_adopted();
    test_full_is_an_answer();
    test_receiving_in_pieces();
    test_message_longer_than_the_buffer();
    test_generations();
    test_last_words();
    test_wrapped_last_words();
    return check_done();
}
