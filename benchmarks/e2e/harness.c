/* Plays the Bitcoin peer and the exchange over loopback and times the engine between them, from outside.
 *
 *   harness plain|tls CPU SCRIPT_HEX SECRET CERT KEY BLOCKS BLOCK_LEN SKIP GAP_NS WINDOW_MS ENGINE_OUT FLOOR_OUT
 *
 * Prints "ports PEER VENUE FLOOR" once it listens and "ready" once the engine and the floor are connected; reads
 * "ENGINE_PID FLOOR_PID" then. Both share one core: the one not being timed is stopped (SIGSTOP). An iteration begins,
 * after GAP_NS of silence, with the stamp before send() of the `tx` message and ends with the stamp after the recv()
 * that brought the last byte of the order; the floor is floor.c. The first SKIP iterations of a block are not counted.
 * SIGUSR1 after a block lets the engine's process read its events. No WINDOW_MS see orders of more than two blocks. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "floor.h"
#include "play.h"

#define TIMEOUT_NS 3000000000u
#define DRAIN_US 40000

static hft_clock clock_;
static play_peer peer;
static play_venue venue;
static int peer_fd, venue_fd, floor_in_fd, floor_out_fd;
static uint8_t script[22], buffer[PLAY_BUFFER];
static size_t order_len, reply_len; /* bytes of an order, and of what answers it, on the wire, as last seen */
static uint64_t next_number = 1;
static int is_over; /* from here on the engine may leave */

static uint64_t elapsed_ns(uint64_t since) { return hft_ticks_to_ns(&clock_, hft_ticks(&clock_) - since); }

static int listen_any(int *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 8) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        die("listen: %s", strerror(errno));
    *port = ntohs(address.sin_port);
    return fd;
}

static int accept_one(int listener) {
    int one = 1, fd = accept(listener, NULL, NULL);
    if (fd < 0) die("accept: %s", strerror(errno));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void send_all(int fd, const uint8_t *data, size_t len) {
    while (len != 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0) die("send: %s", strerror(errno));
        data += n;
        len -= (size_t)n;
    }
}

/* What has come, without waiting; 0 = nothing. */
static size_t receive(int fd, uint8_t *data, size_t cap) {
    ssize_t n = recv(fd, data, cap, MSG_DONTWAIT);
    if (n == 0 && is_over) exit(0);
    if (n == 0) die("the connection was closed");
    if (n < 0 && errno != EAGAIN && errno != EINTR) die("recv: %s", strerror(errno));
    return n > 0 ? (size_t)n : 0;
}

static void flush_peer(void) {
    if (peer.out_len != 0) send_all(peer_fd, peer.out, peer.out_len);
    peer.out_len = 0;
}

static void flush_venue(void) {
    if (venue.out_len != 0) send_all(venue_fd, venue.out, venue.out_len);
    venue.out_len = 0;
}

static void serve_peer(void) {
    size_t n = receive(peer_fd, buffer, sizeof buffer);
    if (n != 0) play_peer_feed(&peer, buffer, n);
    flush_peer();
}

static void serve_venue(void) {
    size_t n = receive(venue_fd, buffer, sizeof buffer);
    if (n != 0) play_venue_feed(&venue, buffer, n);
    flush_venue();
}

/* 1 if a whole TLS record, or a whole masked frame, is there, and nothing else. */
static int is_whole(const uint8_t *data, size_t len) {
    if (venue.ssl != NULL) return len >= 5 && len == 5u + (size_t)(data[3] << 8 | data[4]);
    if (len < 8 || (data[1] & 0x7f) != 126) return 0;
    return len == 8u + (size_t)(data[2] << 8 | data[3]);
}

static void read_exactly(int fd, size_t len) {
    uint64_t start = hft_ticks(&clock_);
    for (size_t got = 0; got < len; got += receive(fd, buffer, len - got))
        if (elapsed_ns(start) > TIMEOUT_NS) die("the floor does not answer");
}

static void wait_gap(uint64_t gap_ns) {
    uint64_t start = hft_ticks(&clock_);
    while (elapsed_ns(start) < gap_ns) {
        serve_peer();
        serve_venue();
    }
}

/* One order; the time it took, in ns, or 0 if something else got in between. */
static uint64_t time_engine(uint64_t gap_ns) {
    play_tx tx;
    play_tx_make(&tx, next_number++, script);
    uint64_t requested = peer.requested, start = hft_ticks(&clock_);
    play_peer_announce(&peer, &tx, 1);
    flush_peer();
    while (peer.requested == requested) {
        serve_peer();
        serve_venue();
        if (elapsed_ns(start) > TIMEOUT_NS) die("the engine did not ask for an announced transaction");
    }
    wait_gap(gap_ns);

    uint64_t orders = venue.orders;
    size_t len = 0;
    uint64_t before = bench_tick(&clock_);
    send_all(peer_fd, tx.message, tx.message_len);
    while (!is_whole(buffer, len)) {
        len += receive(venue_fd, buffer + len, sizeof buffer - len);
        if (len == 0 && elapsed_ns(before) > TIMEOUT_NS) die("no order came");
    }
    uint64_t after = bench_tick(&clock_);

    play_venue_feed(&venue, buffer, len);
    size_t answer_len = venue.out_len;
    flush_venue();
    int clean = venue.orders == orders + 1;
    while (venue.orders == orders) { /* a ping came first */
        serve_venue();
        if (elapsed_ns(after) > TIMEOUT_NS) die("no order came");
    }
    if (strcmp(venue.client_id, tx.client_id) != 0) die("order %s for %s", venue.client_id, tx.client_id);
    if (clean) order_len = len, reply_len = answer_len;
    return clean ? hft_ticks_to_ns(&clock_, after - before) : 0;
}

/* The same exchange of messages, of the same sizes, with nothing computed on the other side. */
static uint64_t time_floor(uint64_t gap_ns) {
    play_tx tx;
    play_tx_make(&tx, next_number++, script);
    play_peer_announce(&peer, &tx, 1);
    send_all(floor_in_fd, peer.out, peer.out_len);
    peer.out_len = 0;
    read_exactly(floor_in_fd, FLOOR_GETDATA);
    uint64_t start = hft_ticks(&clock_);
    while (elapsed_ns(start) < gap_ns) {
        (void)receive(floor_in_fd, buffer, sizeof buffer);
        (void)receive(floor_out_fd, buffer, sizeof buffer);
    }
    size_t len = 0;
    uint64_t before = bench_tick(&clock_);
    send_all(floor_in_fd, tx.message, tx.message_len);
    while (len < order_len) {
        len += receive(floor_out_fd, buffer + len, sizeof buffer - len);
        if (len == 0 && elapsed_ns(before) > TIMEOUT_NS) die("the floor does not answer");
    }
    uint64_t after = bench_tick(&clock_);
    send_all(floor_out_fd, buffer, reply_len);
    return hft_ticks_to_ns(&clock_, after - before);
}

/* Returns once the process is stopped. */
static void stop_process(pid_t pid) {
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (kill(pid, SIGSTOP) != 0) die("process %d is gone", pid);
    for (int i = 0; i < 1000 && state != 'T'; i++) {
        usleep(200);
        FILE *file = fopen(path, "r");
        if (file == NULL || fscanf(file, "%*d (%*[^)]) %c", &state) != 1) die("process %d is gone", pid);
        fclose(file);
    }
    if (state != 'T') die("process %d cannot be stopped", pid);
}

typedef struct { unsigned blocks, block_len, skip; uint64_t gap_ns, window_ns; } plan;

static void run_block(uint64_t (*one)(uint64_t), const plan *p, bench_samples *samples) {
    for (unsigned i = 0; i < p->block_len + p->skip; i++) {
        uint64_t ns = one(p->gap_ns);
        if (i >= p->skip && ns != 0) bench_samples_add(samples, ns);
    }
}

static void run(const plan *p, pid_t engine_pid, pid_t floor_pid, bench_samples *engine, bench_samples *raw) {
    uint64_t ended[2] = {0, 0}; /* the last two blocks of orders */
    for (unsigned block = 0; block < p->blocks; block++) {
        uint64_t since = elapsed_ns(ended[block % 2]);
        if (block >= 2 && since < p->window_ns) usleep((useconds_t)((p->window_ns - since) / 1000));
        stop_process(floor_pid);
        kill(engine_pid, SIGCONT);
        run_block(time_engine, p, engine);
        ended[block % 2] = hft_ticks(&clock_);
        kill(engine_pid, SIGUSR1);
        usleep(DRAIN_US);
        stop_process(engine_pid);
        kill(floor_pid, SIGCONT);
        uint32_t sizes[2] = {(uint32_t)order_len, (uint32_t)reply_len};
        send_all(floor_in_fd, (const uint8_t *)sizes, sizeof sizes);
        run_block(time_floor, p, raw);
        send_all(floor_in_fd, FLOOR_END, 4);
        read_exactly(floor_in_fd, 4);
        printf("block %u\n", block + 1);
        fflush(stdout);
    }
    kill(engine_pid, SIGCONT);
}

int main(int argc, char **argv) {
    if (argc != 14) die("see harness.c for the arguments");
    int ports[3], listeners[3], tls = strcmp(argv[1], "tls") == 0, engine_pid, floor_pid;
    plan p = {.blocks = (unsigned)atoi(argv[7]), .block_len = (unsigned)atoi(argv[8]), .skip = (unsigned)atoi(argv[9]),
              .gap_ns = (uint64_t)atoll(argv[10]), .window_ns = (uint64_t)atoll(argv[11]) * 1000000u};
    bench_pin(atoi(argv[2]));
    hft_clock_init(&clock_);
    for (size_t i = 0; i < sizeof script; i++)
        if (sscanf(argv[3] + 2 * i, "%2hhx", &script[i]) != 1) die("script: 22 bytes in hex");
    play_venue_open(&venue, tls ? argv[5] : NULL, argv[6], argv[4]);
    for (int i = 0; i < 3; i++) listeners[i] = listen_any(&ports[i]);
    printf("ports %d %d %d\n", ports[0], ports[1], ports[2]);
    fflush(stdout);

    floor_in_fd = accept_one(listeners[2]);
    floor_out_fd = accept_one(listeners[2]);
    peer_fd = accept_one(listeners[0]);
    venue_fd = accept_one(listeners[1]);
    while (!peer.ready || venue.other < 2) { /* the engine has asked for the time and logged in */
        serve_peer();
        serve_venue();
        usleep(1000);
    }
    printf("ready\n");
    fflush(stdout);
    if (scanf("%d %d", &engine_pid, &floor_pid) != 2) die("process ids expected");

    bench_samples engine, raw;
    bench_samples_open(&engine, (size_t)p.blocks * p.block_len);
    bench_samples_open(&raw, (size_t)p.blocks * p.block_len);
    run(&p, engine_pid, floor_pid, &engine, &raw);
    bench_samples_write(&engine, argv[12]);
    bench_samples_write(&raw, argv[13]);
    printf("done %zu bytes, %llu orders checked\n", order_len, (unsigned long long)venue.orders);
    fflush(stdout);
    for (is_over = 1;; usleep(1000)) serve_venue();
}
