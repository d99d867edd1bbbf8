/* The floor: no engine at all, only system calls. The same messages, of the same sizes, over the same two sockets.
 *
 *   floor CPU PORT
 *
 * Connects twice, as the engine does: the first connection is the peer's, the second the venue's. A burst begins with
 * two u32: the size of an order and of what answers it. Then, until FLOOR_END, which is echoed: an announcement comes
 * on the first connection and is answered there with as many bytes as a getdata has; a transaction comes and is
 * answered on the second connection, and the answer to that is read. All of it is busy-polled; nothing is computed.
 * (Without the requests in between the kernel would take the first connection for a one-way stream and acknowledge
 * each message at once, which makes a slower floor.) */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "bench.h"
#include "floor.h"
#include "hft/btc.h"
#include "hft/endian.h"

static uint8_t message[65536];

static int connect_to(int port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) die("connect: %s", strerror(errno));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static size_t receive(int fd, uint8_t *data, size_t cap) {
    for (;;) {
        ssize_t n = recv(fd, data, cap, MSG_DONTWAIT);
        if (n > 0) return (size_t)n;
        if (n == 0) exit(0); /* the harness is done */
        if (errno != EAGAIN && errno != EINTR) die("recv: %s", strerror(errno));
    }
}

static void read_exactly(int fd, uint8_t *data, size_t len) {
    while (len != 0) {
        size_t n = receive(fd, data, len);
        data += n;
        len -= n;
    }
}

/* Reads one Bitcoin message, as a rule with one recv(). 0 = it was FLOOR_END. */
static int read_message(int fd) {
    size_t len = receive(fd, message, sizeof message);
    while (len < 4) len += receive(fd, message + len, sizeof message - len);
    if (memcmp(message, FLOOR_END, 4) == 0) return 0;
    while (len < HFT_BTC_HEADER_LEN || len < HFT_BTC_HEADER_LEN + hft_load_le32(message + 16))
        len += receive(fd, message + len, sizeof message - len);
    return 1;
}

static void reply(int fd, const uint8_t *data, size_t len) {
    if (send(fd, data, len, MSG_NOSIGNAL) != (ssize_t)len) die("send: %s", strerror(errno));
}

int main(int argc, char **argv) {
    static uint8_t answer[65536];
    if (argc != 3) die("floor CPU PORT");
    bench_pin(atoi(argv[1]));
    int peer = connect_to(atoi(argv[2])), venue = connect_to(atoi(argv[2]));
    memset(answer, 'x', sizeof answer);
    for (;;) {
        uint32_t sizes[2];
        read_exactly(peer, (uint8_t *)sizes, sizeof sizes);
        if (sizes[0] == 0 || sizes[0] > sizeof answer || sizes[1] > sizeof message)
            die("sizes: %u %u", sizes[0], sizes[1]);
        while (read_message(peer)) {
            if (memcmp(message + 4, "inv", 4) == 0) {
                reply(peer, answer, FLOOR_GETDATA);
                continue;
            }
            reply(venue, answer, sizes[0]);
            read_exactly(venue, message, sizes[1]);
        }
        reply(peer, FLOOR_END, 4);
    }
}
