/* The reactor's connections and peers that flood, stop reading, or fall silent. */
#include <errno.h>
#include <openssl/evp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "hft/reactor.h"
#include "hft/text.h"

static hft_reactor r;
static uint8_t wire[1 << 21];

static void turn(hft_reactor_event *event, int kind) {
    for (int i = 0; i < 100; i++) {
        int rc = hft_reactor_next(&r, event, 1000000);
        CHECK(rc >= 0);
        if (rc == 1 && event->kind == kind) return;
        if (rc == 1) CHECK_EQ(event->kind, HFT_REACTOR_WRITABLE);
        if (rc == 0 && kind == 0) return;
    }
    CHECK(!"the event has come");
}

/* Reads the request and switches protocols. */
static void answer(int fd) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char buf[2048], text[128], accept[HFT_HTTP1_ACCEPT_LEN];
    uint8_t digest[EVP_MAX_MD_SIZE];
    hft_http1_request request;
    hft_err err;
    ssize_t n = read(fd, buf, sizeof buf);
    CHECK(n > 0 && hft_http1_parse_request(&request, buf, (size_t)n, &err) == n);
    snprintf(text, sizeof text, "%.24s%s", request.key, guid);
    CHECK_EQ(EVP_Digest(text, strlen(text), digest, NULL, EVP_sha1(), NULL), 1);
    hft_base64_encode(accept, digest, 20);
    hft_http1_answer response = {.accept = accept};
    int len = hft_http1_build_response(buf, sizeof buf, &response);
    CHECK_EQ(write(fd, buf, (size_t)len), len);
}

static void begin(int fds[2], uint32_t *link, hft_link_config_ws *link_config, hft_ring_backend backend) {
    hft_reactor_config config = {.backend = backend, .links_max = 1};
    hft_reactor_event event;
    hft_err err = {0};
    link_config->host = link_config->headers = "";
    link_config->host_header = "localhost";
    link_config->target = "/";
    link_config->message_max = 4096;
    link_config->recv_cap = 65536;
    link_config->send_cap = 16384;
    CHECK_EQ(hft_reactor_open(&r, &config, &err), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    CHECK_EQ(hft_reactor_add(&r, link, link_config, fds[0], &err), 0);
    turn(&event, 0);
    answer(fds[1]);
    turn(&event, HFT_REACTOR_OPENED);
}

/* by_us: we close, or the peer does, which is answered. */
static void test_close_behind_a_flood(hft_ring_backend backend, int by_us) {
    hft_link_config_ws config = {.close_ns = 0};
    hft_reactor_event event;
    uint32_t link;
    int fds[2];
    begin(fds, &link, &config, backend);
    while (hft_reactor_send(&r, link, HFT_WS_OP_BINARY, wire, 1000) == 0) turn(&event, 0);
    uint8_t ping[6] = {0x89, 4, 'p', 'i', 'n', 'g'}, end[2] = {0x88, 0};
    for (int i = 0; i < 1000; i++) {
        while (write(fds[1], ping, sizeof ping) < 0 && errno == EAGAIN) turn(&event, 0);
        if (i % 100 == 0) turn(&event, 0);
    }
    for (int i = 0; i < 1000; i++) (void)!hft_reactor_ping(&r, link);
    if (by_us) CHECK_EQ(hft_reactor_close_link(&r, link, 1000, "bye", 3), 0);
    else CHECK_EQ(write(fds[1], end, sizeof end), sizeof end);
    size_t len = 0;
    for (int empty = 0; empty < 50;) {
        ssize_t n = read(fds[1], wire + len, sizeof wire - len);
        empty = n > 0 ? 0 : empty + 1;
        if (n > 0) len += (size_t)n;
        else turn(&event, 0);
    }
    hft_ws_parser parser;
    hft_ws_event frame = {0};
    hft_ws_parser_init(&parser, HFT_WS_SERVER, NULL, 0, 4096, SIZE_MAX);
    for (size_t pos = 0, used = 0; hft_ws_parser_next(&parser, &frame, &used, wire + pos, len - pos) == 1;) pos += used;
    CHECK_EQ(frame.op, HFT_WS_OP_CLOSE);
    CHECK_EQ(frame.close_code, by_us ? 1000 : 1005);
    close(fds[1]);
    turn(&event, HFT_REACTOR_CLOSED);
    CHECK_EQ(event.err->code, HFT_E_CONN_CLOSED);
    hft_reactor_close(&r);
}

/* Takes events for so long, and has the peer answer pings or not. 1 = the link closed. */
static int live(uint32_t ms, int fd, int answers) {
    hft_reactor_event event;
    for (uint64_t end = r.now_ns + ms * UINT64_C(1000000); r.now_ns < end;) {
        uint8_t ping[14];
        int rc = hft_reactor_next(&r, &event, 1000000);
        if (rc == 1 && event.kind == HFT_REACTOR_CLOSED) return 1;
        while (answers && read(fd, ping, sizeof ping) == sizeof ping) { /* an 8-byte payload behind 6 of header */
            hft_ws_mask(ping + 6, 8, ping + 2);
            memmove(ping + 2, ping + 6, 8);
            ping[0] = 0x80 | HFT_WS_OP_PONG;
            ping[1] = 8;
            CHECK_EQ(write(fd, ping, 10), 10);
        }
    }
    return 0;
}

/* While we do not listen, no answer means nothing. */
static void test_paused_is_not_silent(void) {
    hft_link_config_ws config = {.ping_interval_ns = 10000000, .ping_timeout_ns = 250000000};
    uint32_t link;
    int fds[2];
    begin(fds, &link, &config, HFT_RING_AUTO);
    CHECK_EQ(live(50, fds[1], 1), 0);
    CHECK_EQ(hft_reactor_pause(&r, link, 1), 0);
    CHECK_EQ(live(400, fds[1], 1), 0);
    CHECK_EQ(hft_reactor_pause(&r, link, 0), 0);
    CHECK_EQ(live(50, fds[1], 1), 0);
    CHECK_EQ(hft_reactor_pause(&r, link, 1), 0);
    CHECK_EQ(live(400, fds[1], 0), 0);
    CHECK_EQ(hft_reactor_pause(&r, link, 0), 0);
    CHECK_EQ(live(50, fds[1], 0), 0);
    CHECK_EQ(live(2000, fds[1], 0), 1);
    close(fds[1]);
    hft_reactor_close(&r);
}

/* Whoever pauses then, the end is awaited: it would come by the closing time-out otherwise. */
static void test_pause_while_closing(void) {
    hft_link_config_ws config = {.close_ns = 5000000000};
    uint8_t buf[64], end[4] = {0x88, 2, 0x03, 0xe8};
    hft_reactor_event event;
    uint32_t link;
    int fds[2];
    begin(fds, &link, &config, HFT_RING_AUTO);
    CHECK_EQ(hft_reactor_close_link(&r, link, 1000, NULL, 0), 0);
    CHECK_EQ(hft_reactor_pause(&r, link, 1), 0);
    turn(&event, 0);
    CHECK_EQ(read(fds[1], buf, sizeof buf), 8);
    CHECK_EQ(write(fds[1], end, sizeof end), sizeof end);
    close(fds[1]);
    turn(&event, HFT_REACTOR_CLOSED);
    CHECK_EQ(event.err->code, 0);
    hft_reactor_close(&r);
}

/* It can be that the peer is gone: our own pings, which find room in the kernel, show nothing. */
static void test_silent_in_a_frame(void) {
    hft_link_config_ws config = {.ping_interval_ns = 10000000, .ping_timeout_ns = 100000000};
    uint8_t begun[3] = {0x82, 100, 'x'};
    uint32_t link;
    int fds[2];
    begin(fds, &link, &config, HFT_RING_AUTO);
    CHECK_EQ(write(fds[1], begun, sizeof begun), sizeof begun);
    CHECK_EQ(live(2000, fds[1], 0), 1);
    close(fds[1]);
    hft_reactor_close(&r);
}

int main(void) {
    test_silent_in_a_frame();
    test_paused_is_not_silent();
    test_pause_while_closing();
    for (int by_us = 0; by_us < 2; by_us++) {
        test_close_behind_a_flood(HFT_RING_AUTO, by_us);
        test_close_behind_a_flood(HFT_RING_EPOLL, by_us);
    }
    return check_done();
}
