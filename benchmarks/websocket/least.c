/* The floor of the round trips: the least that a client can do. System calls, and OpenSSL for wss; a frame is built and
 * masked, the answer's header is looked at, and there is nothing else.
 *
 *   least CPU PORT TLS PATH PAYLOAD */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hft/ws.h"
#include "meter.h"

enum { FRAME = 4 + METER_PAYLOAD }; /* from the server: unmasked */

static int fd;
static SSL *ssl;

static void dial(int port, int with_tls) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) die("connect: %s", strerror(errno));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (!with_tls) return;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_read_ahead(context, 1); /* a record with one call of recv() instead of two */
    ssl = SSL_new(context);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1) die("TLS could not be established");
}

static size_t receive(uint8_t *data, size_t cap) {
    for (;;) {
        ssize_t n = ssl != NULL ? SSL_read(ssl, data, (int)cap) : recv(fd, data, cap, MSG_DONTWAIT);
        if (n > 0) return (size_t)n;
        if (n == 0 && ssl == NULL) die("the server has gone");
        if (ssl != NULL ? SSL_get_error(ssl, (int)n) != SSL_ERROR_WANT_READ : errno != EAGAIN && errno != EINTR)
            die("receiving: %s", strerror(errno));
    }
}

static void transmit(const uint8_t *data, size_t len) {
    ssize_t n = ssl != NULL ? SSL_write(ssl, data, (int)len) : send(fd, data, len, MSG_NOSIGNAL);
    if (n != (ssize_t)len) die("sending: %s", strerror(errno));
}

static void upgrade(void) {
    static const char request[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    uint8_t response[1024];
    transmit((const uint8_t *)request, sizeof request - 1);
    size_t len = 0;
    while (len < 4 || memcmp(response + len - 4, "\r\n\r\n", 4) != 0)
        len += receive(response + len, sizeof response - len);
}

int main(int argc, char **argv) {
    static meter m;
    uint8_t frame[HFT_WS_HEADER_MAX + METER_PAYLOAD], answer[4096];
    uint32_t mask = 0x9e3779b9u;
    if (argc != 6) die("least CPU PORT TLS PATH PAYLOAD");
    bench_pin(atoi(argv[1]));
    dial(atoi(argv[2]), atoi(argv[3]));
    upgrade();
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) die("fcntl: %s", strerror(errno));
    meter_open(&m, argv[4], argv[5]);
    for (const char *word = "ready"; meter_turn(&m, word); word = "done") {
        do {
            meter_before_send(&m);
            mask = mask * 1664525u + 1013904223u;
            int len = hft_ws_build_frame(frame, sizeof frame, HFT_WS_OP_TEXT, m.payload, METER_PAYLOAD,
                                         (const uint8_t *)&mask);
            transmit(frame, (size_t)len);
            meter_after_send(&m);
            size_t have = 0;
            while (have < FRAME) have += receive(answer + have, sizeof answer - have);
            if (have != FRAME || answer[0] != 0x81 || answer[1] != 126 || answer[2] != 0 || answer[3] != METER_PAYLOAD)
                die("this is not the frame that was sent");
        } while (meter_arrived(&m, answer + 4, METER_PAYLOAD));
    }
    return 0;
}
