#include "session.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

int session_listen(const char *address, int backlog, int *port) {
    struct sockaddr_in local = {.sin_family = AF_INET};
    socklen_t len = sizeof local;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (inet_pton(AF_INET, address, &local.sin_addr) != 1) die("%s is no address", address);
    if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof local) != 0 || listen(fd, backlog) != 0 ||
        getsockname(fd, (struct sockaddr *)&local, &len) != 0)
        die("listening on %s: %s", address, strerror(errno));
    *port = ntohs(local.sin_port);
    return fd;
}

SSL_CTX *session_tls(const char *cert, const char *key) {
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (tls == NULL || SSL_CTX_use_certificate_file(tls, cert, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(tls, "TLS_AES_128_GCM_SHA256") != 1)
        die("the server's TLS context could not be made");
    SSL_CTX_set_read_ahead(tls, 1); /* a record with one call of recv() instead of two */
    return tls;
}

int session_accept(session *s, int listener, SSL_CTX *tls) {
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 && errno == EAGAIN) return 0;
    if (fd < 0) die("accept: %s", strerror(errno));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    s->fd = fd;
    s->upgraded = 0;
    s->pings = 0;
    s->len = 0;
    s->ssl = NULL;
    hft_ws_parser_init(&s->parser, HFT_WS_SERVER, NULL, 0, SESSION_BUFFER, SIZE_MAX);
    if (tls == NULL) return 1;
    s->ssl = SSL_new(tls);
    if (s->ssl == NULL || SSL_set_fd(s->ssl, fd) != 1) die("no memory for TLS");
    SSL_set_accept_state(s->ssl);
    return 1;
}

void session_close(session *s) {
    SSL_free(s->ssl);
    (void)close(s->fd);
    s->ssl = NULL;
    s->fd = -1;
}

/* > 0: bytes; 0: nothing is there; -1: the connection has ended. */
static int receive(session *s) {
    uint8_t *to = s->in + s->len;
    size_t room = sizeof s->in - s->len;
    if (s->ssl == NULL) {
        ssize_t n = recv(s->fd, to, room, MSG_DONTWAIT);
        return n > 0 ? (int)n : n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
    }
    int n = SSL_read(s->ssl, to, (int)room);
    if (n > 0) return n;
    return SSL_get_error(s->ssl, n) == SSL_ERROR_WANT_READ ? 0 : -1;
}

static int transmit(session *s, const void *data, size_t len) {
    if (s->ssl != NULL) return SSL_write(s->ssl, data, (int)len) == (int)len ? 0 : -1;
    return send(s->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len ? 0 : -1;
}

int session_put(session *s, hft_ws_op op, const void *payload, size_t len) {
    uint8_t frame[SESSION_BUFFER + HFT_WS_HEADER_MAX];
    int size = hft_ws_build_frame(frame, sizeof frame, op, payload, len, NULL);
    if (size < 0) die("a frame of %zu bytes: %d", len, size);
    return transmit(s, frame, (size_t)size);
}

/* Answers the upgrade request once it is there. Returns its length, 0 = not yet, -1 = it has no key. */
static int upgrade(session *s) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", name[] = "Sec-WebSocket-Key: ";
    char head[SESSION_BUFFER + 1], response[256];
    memcpy(head, s->in, s->len);
    head[s->len] = '\0';
    const char *end = strstr(head, "\r\n\r\n"), *key = strcasestr(head, name);
    if (end == NULL) return 0;
    if (key == NULL || key + 24 > end) return -1;
    uint8_t joined[24 + sizeof guid - 1], digest[20], accept[32];
    memcpy(joined, key + sizeof name - 1, 24);
    memcpy(joined + 24, guid, sizeof guid - 1);
    SHA1(joined, sizeof joined, digest);
    EVP_EncodeBlock(accept, digest, sizeof digest);
    int len = snprintf(response, sizeof response, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", (char *)accept);
    if (transmit(s, response, (size_t)len) != 0) return -1;
    s->upgraded = 1;
    return (int)(end + 4 - head);
}

/* Takes one frame: bytes used, 0 = it is not whole yet, -1 = the connection ends. */
static int take_frame(session *s, uint8_t *data, size_t len) {
    hft_ws_event event;
    size_t used;
    int rc = hft_ws_parser_next(&s->parser, &event, &used, data, len);
    if (rc < 0) die("a client's frame is not valid: %d %s", rc, s->parser.err.text);
    if (rc == 0) return (int)used;
    if (event.op == HFT_WS_OP_PONG) return (int)used;
    s->pings += event.op == HFT_WS_OP_PING;
    hft_ws_op answer = event.op == HFT_WS_OP_PING ? HFT_WS_OP_PONG : (hft_ws_op)event.op;
    if (event.op == HFT_WS_OP_CLOSE) {
        (void)session_put(s, HFT_WS_OP_CLOSE, NULL, 0);
        return -1;
    }
    return session_put(s, answer, event.data, event.len) == 0 ? (int)used : -1;
}

int session_turn(session *s) {
    int n = receive(s);
    if (n <= 0) return n;
    s->len += (size_t)n;
    size_t pos = 0;
    int used = 0;
    do {
        pos += (size_t)used;
        used = s->upgraded ? take_frame(s, s->in + pos, s->len - pos) : upgrade(s);
    } while (used > 0);
    if (used < 0) return -1;
    s->len -= pos;
    if (s->len == sizeof s->in) die("a client's message is longer than %d bytes", SESSION_BUFFER);
    if (s->len != 0) memmove(s->in, s->in + pos, s->len);
    return 1;
}

int session_pending(const session *s) { return s->ssl != NULL && SSL_has_pending(s->ssl); }
