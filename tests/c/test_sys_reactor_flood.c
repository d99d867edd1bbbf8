/* A peer that pings and does not read: the session's part in that stays bounded, and the close frame finds room. */
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

/* by_us: we close, or the peer does, which is answered. */
static void test_close_behind_a_flood(hft_ring_backend backend, int by_us) {
    hft_reactor_config config = {.backend = backend, .links_max = 1};
    hft_link_config_ws link_config = {.host = "", .host_header = "localhost", .target = "/", .headers = "",
                                      .message_max = 4096, .recv_cap = 65536, .send_cap = 16384};
    hft_reactor_event event;
    hft_err err = {0};
    uint32_t link;
    int fds[2];
    CHECK_EQ(hft_reactor_open(&r, &config, &err), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    CHECK_EQ(hft_reactor_add(&r, &link, &link_config, fds[0], &err), 0);
    turn(&event, 0);
    answer(fds[1]);
    turn(&event, HFT_REACTOR_OPENED);
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
    for (int i = 0; i < 1000; i++) {
        ssize_t n = read(fds[1], wire + len, sizeof wire - len);
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

int main(void) {
    for (int by_us = 0; by_us < 2; by_us++) {
        test_close_behind_a_flood(HFT_RING_AUTO, by_us);
        test_close_behind_a_flood(HFT_RING_EPOLL, by_us);
    }
    return check_done();
}
