/* The reactor on socket pairs, against a server side made of the parser and builder of the other role: every backend,
 * in every way of waiting. No message costs an allocation. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "hft/reactor.h"
#include "hft/cpu.h"
#include "hft/text.h"

#include <openssl/sha.h>

/* ---- allocations of this thread ---- */

int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void *, size_t),
                                              void (*free_hook)(const volatile void *));
static _Thread_local int counting, allocations;
static void on_malloc(const volatile void *p, size_t size) {
    (void)p, (void)size;
    if (counting) allocations++;
}
static void on_free(const volatile void *p) { (void)p; }

/* ---- the server ---- */

#define ROOM (1 << 21)

typedef struct { int fd; pthread_t thread; atomic_int answers; } server;

static int send_all(int fd, const uint8_t *data, size_t len) {
    while (len != 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0) return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static size_t accept_upgrade(int fd, uint8_t *in) {
    hft_http1_request request;
    size_t len = 0;
    int rc = 0;
    while (rc == 0) {
        ssize_t n = recv(fd, in + len, ROOM - len, 0);
        if (n <= 0) return 0;
        len += (size_t)n;
        rc = hft_http1_parse_request(&request, (const char *)in, len, NULL);
    }
    CHECK(rc > 0);
    char text[60], accept[HFT_HTTP1_ACCEPT_LEN + 1], out[512];
    uint8_t digest[20];
    memcpy(text, request.key, HFT_HTTP1_KEY_LEN);
    memcpy(text + HFT_HTTP1_KEY_LEN, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    SHA1((const uint8_t *)text, HFT_HTTP1_KEY_LEN + 36, digest);
    hft_base64_encode(accept, digest, sizeof digest);
    rc = hft_http1_build_response(out, sizeof out, &(hft_http1_answer){.accept = accept});
    CHECK(rc > 0);
    (void)send_all(fd, (const uint8_t *)out, (size_t)rc);
    return 1;
}

/* Echoes messages, answers a close frame and hangs up. */
static void *serve(void *arg) {
    server *s = arg;
    uint8_t *in = malloc(ROOM), *out = malloc(ROOM), *message = malloc(ROOM);
    hft_ws_parser parser;
    hft_ws_parser_init(&parser, HFT_WS_SERVER, message, ROOM, ROOM, SIZE_MAX);
    size_t len = 0;
    int go_on = accept_upgrade(s->fd, in) != 0;
    while (go_on) {
        ssize_t n = recv(s->fd, in + len, ROOM - len, 0);
        if (n <= 0) break;
        len += (size_t)n;
        for (size_t at = 0;;) {
            hft_ws_event event;
            size_t used = 0;
            int rc = hft_ws_parser_next(&parser, &event, &used, in + at, len - at);
            CHECK(rc >= 0);
            if (rc == 1) {
                uint8_t code[2] = {3, 0xe8};
                int is_close = event.op == HFT_WS_OP_CLOSE, is_ping = event.op == HFT_WS_OP_PING;
                int made = hft_ws_build_frame(out, ROOM, is_ping ? HFT_WS_OP_PONG : event.op,
                                              is_close ? code : event.data, is_close ? 2 : event.len, NULL);
                CHECK(made > 0);
                if (send_all(s->fd, out, (size_t)made) < 0 || is_close) go_on = 0;
                s->answers++;
            }
            at += used;
            if (rc <= 0 && used == 0) {
                memmove(in, in + at, len - at);
                len -= at;
                break;
            }
        }
    }
    close(s->fd);
    free(in);
    free(out);
    free(message);
    return NULL;
}

/* ---- the client ---- */

static const hft_link_config_ws plain = {
    .host = "localhost", .host_header = "localhost", .target = "/", .headers = "", .message_max = 1 << 20,
    .recv_cap = 65536, .send_cap = 1 << 20, .handshake_ns = 10000000000u, .close_ns = 5000000000u,
};

static uint32_t connect_one(hft_reactor *r, server *s, const hft_link_config_ws *config) {
    int pair[2];
    uint32_t link = UINT32_MAX;
    hft_err err = {0};
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    s->fd = pair[1];
    s->answers = 0;
    pthread_create(&s->thread, NULL, serve, s);
    CHECK_EQ(hft_reactor_add(r, &link, config, pair[0], &err), 0);
    return link;
}

/* The next event: a wait may end without one, and sooner than it was told to. */
static hft_reactor_event next(hft_reactor *r) {
    hft_reactor_event event = {0};
    uint64_t deadline_ns = hft_clock_mono_ns() + 20000000000u;
    int rc = 0;
    while (rc == 0 && hft_clock_mono_ns() < deadline_ns) rc = hft_reactor_next(r, &event, 100000000u);
    CHECK_EQ(rc, 1);
    return event;
}

/* The next event, which must be of this kind and link. */
static hft_reactor_event expect(hft_reactor *r, int kind, uint32_t link) {
    hft_reactor_event event = next(r);
    CHECK_EQ(event.kind, kind);
    CHECK_EQ(event.link, link);
    return event;
}

static void expect_quiet(hft_reactor *r) {
    hft_reactor_event event = {0};
    for (int i = 0; i < 3; i++) CHECK_EQ(hft_reactor_next(r, &event, 1000000u), 0);
}

static uint8_t payload[1 << 20];

static void echo_rounds(hft_reactor *r, uint32_t link, int rounds, size_t len) {
    for (int i = 0; i < rounds; i++) {
        payload[0] = (uint8_t)i;
        CHECK_EQ(hft_reactor_send(r, link, HFT_WS_OP_BINARY, payload, len), 0);
        hft_reactor_event event = expect(r, HFT_REACTOR_MESSAGE, link);
        CHECK_EQ(event.op, HFT_WS_OP_BINARY);
        CHECK_EQ(event.len, len);
        CHECK(event.recv_ns != 0);
        CHECK_MEM(event.data, payload, len);
    }
}

static void test_echo(hft_ring_backend backend, uint64_t spin_ns) {
    hft_reactor r;
    server s;
    hft_err err = {0};
    hft_reactor_config config = {.backend = backend, .links_max = 2, .spin_ns = spin_ns};
    CHECK_EQ(hft_reactor_open(&r, &config, &err), 0);
    uint32_t link = connect_one(&r, &s, &plain);
    CHECK_EQ(hft_reactor_send(&r, link, HFT_WS_OP_TEXT, "x", 1), HFT_E_STATE);
    hft_reactor_event event = expect(&r, HFT_REACTOR_OPENED, link);
    CHECK_MEM(event.data, "HTTP/1.1 101", 12);
    echo_rounds(&r, link, 20, 200);
    counting = 1;
    echo_rounds(&r, link, 300, 200);
    echo_rounds(&r, link, 20, 40000); /* over half of the receive buffer: taken in pieces */
    echo_rounds(&r, link, 5, sizeof payload);
    CHECK_EQ(hft_reactor_ping(&r, link), 0);
    counting = 0;
    CHECK_EQ(allocations, 0);
    event = expect(&r, HFT_REACTOR_PONG, link);
    CHECK(event.rtt_ns != 0 && event.rtt_ns < 10000000000u);
    hft_link_stats stats;
    hft_reactor_stats(&r, link, &stats);
    CHECK_EQ(stats.messages_in, 345);
    CHECK_EQ(stats.messages_out, 345);
    CHECK_EQ(stats.pongs, 1);
    CHECK_EQ(hft_reactor_send(&r, link, HFT_WS_OP_BINARY, payload, sizeof payload + 1), HFT_E_CONN_SEND_FULL);
    CHECK_EQ(hft_reactor_close_link(&r, link, 1000, "bye", 3), 0);
    CHECK_EQ(hft_reactor_send(&r, link, HFT_WS_OP_TEXT, "x", 1), HFT_E_STATE);
    do event = next(&r);
    while (event.kind == HFT_REACTOR_WRITABLE);
    CHECK_EQ(event.kind, HFT_REACTOR_CLOSED);
    CHECK_EQ(event.err->code, 0);
    CHECK_EQ(event.close_code, 1000);
    expect_quiet(&r);
    pthread_join(s.thread, NULL);
    CHECK_EQ(r.n_links, 0);
    hft_reactor_close(&r);
}

/* Links come and go at one place; each has one CLOSED, and the last ones are closed with the reactor. */
static void test_turnover(hft_ring_backend backend) {
    hft_reactor r;
    server s[3];
    hft_err err = {0};
    hft_reactor_config config = {.backend = backend, .links_max = 2};
    CHECK_EQ(hft_reactor_open(&r, &config, &err), 0);
    for (int i = 0; i < 20; i++) {
        uint32_t link = connect_one(&r, &s[0], &plain);
        if (i % 2 == 0) (void)expect(&r, HFT_REACTOR_OPENED, link);
        CHECK_EQ(hft_reactor_close_link(&r, link, i % 4 < 2 ? 0 : 1000, NULL, 0), 0);
        hft_reactor_event event = expect(&r, HFT_REACTOR_CLOSED, link);
        CHECK_EQ(event.err->code, i % 4 == 2 ? 0 : HFT_E_CONN_STOPPED);
        CHECK_EQ(hft_reactor_close_link(&r, link, 1000, NULL, 0), HFT_E_STATE);
        expect_quiet(&r);
        pthread_join(s[0].thread, NULL);
    }
    uint32_t first = connect_one(&r, &s[0], &plain), second = connect_one(&r, &s[1], &plain), third;
    CHECK(first != second);
    int pair[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_EQ(hft_reactor_add(&r, &third, &plain, pair[0], &err), HFT_E_CAPACITY);
    close(pair[0]);
    close(pair[1]);
    (void)!hft_reactor_next(&r, &(hft_reactor_event){0}, 100000000u);
    hft_reactor_close(&r);
    pthread_join(s[0].thread, NULL);
    pthread_join(s[1].thread, NULL);
}

/* A link whose peer floods has its turn, and no more. */
static void test_turns(hft_ring_backend backend) {
    hft_reactor r;
    server noisy, quiet;
    hft_err err = {0};
    hft_reactor_config config = {.backend = backend, .links_max = 2, .spin_ns = UINT64_MAX};
    CHECK_EQ(hft_reactor_open(&r, &config, &err), 0);
    uint32_t a = connect_one(&r, &noisy, &plain);
    (void)expect(&r, HFT_REACTOR_OPENED, a);
    uint32_t b = connect_one(&r, &quiet, &plain);
    (void)expect(&r, HFT_REACTOR_OPENED, b);
    for (int i = 0; i < 3000; i++) CHECK_EQ(hft_reactor_send(&r, a, HFT_WS_OP_TEXT, "flood", 5), 0);
    hft_reactor_event event;
    do event = next(&r);
    while (event.link != a);
    CHECK_EQ(hft_reactor_send(&r, b, HFT_WS_OP_TEXT, "one", 3), 0);
    struct timespec pause = {.tv_nsec = 1000000};
    while (quiet.answers == 0) nanosleep(&pause, NULL);
    int between = 0, seen = 0;
    for (int i = 1; i < 3000 + 1; i++) {
        event = next(&r);
        if (event.link == b) seen = 1;
        between += !seen;
    }
    CHECK(seen);
    CHECK(between <= 130);
    hft_reactor_close(&r);
    pthread_join(noisy.thread, NULL);
    pthread_join(quiet.thread, NULL);
}

static void *wake_later(void *arg) {
    struct timespec pause = {.tv_nsec = 20000000};
    nanosleep(&pause, NULL);
    CHECK_EQ(hft_reactor_wake(arg), 0);
    return NULL;
}

static void test_waking_and_time(hft_ring_backend backend, uint64_t spin_ns) {
    hft_reactor r;
    hft_err err = {0};
    hft_reactor_event event;
    pthread_t thread;
    hft_reactor_config config = {.backend = backend, .links_max = 1, .spin_ns = spin_ns};
    CHECK_EQ(hft_reactor_open(&r, &config, &err), 0);
    for (int i = 0; i < 2; i++) {
        pthread_create(&thread, NULL, wake_later, &r);
        (void)expect(&r, HFT_REACTOR_WOKEN, UINT32_MAX);
        pthread_join(thread, NULL);
    }
    uint64_t start_ns = hft_clock_mono_ns(), took_ns = 0;
    int calls = 0;
    for (; took_ns < 30000000u; calls++) {
        CHECK_EQ(hft_reactor_next(&r, &event, 30000000u), 0);
        took_ns = hft_clock_mono_ns() - start_ns;
    }
    CHECK(calls < 5 && took_ns < 5000000000u);
    hft_reactor_close(&r);
}

int main(void) {
    CHECK(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) > 0);
    CHECK_EQ(hft_init(NULL), 0);
    for (size_t i = 0; i < sizeof payload; i++) payload[i] = (uint8_t)(i * 31 >> 3);
    hft_ring_backend backends[] = {HFT_RING_EPOLL, HFT_RING_URING};
    for (int i = 0; i < 2; i++) {
        hft_ring ring;
        hft_err err = {0};
        if (hft_ring_open(&ring, backends[i], 1, &err) < 0) {
            printf("skipped: %s\n", err.text);
            continue;
        }
        hft_ring_close(&ring);
        uint64_t spins[] = {0, 50000, UINT64_MAX};
        for (int j = 0; j < 3; j++) {
            test_echo(backends[i], spins[j]);
            test_waking_and_time(backends[i], spins[j]);
        }
        test_turnover(backends[i]);
        test_turns(backends[i]);
    }
    return check_done();
}
