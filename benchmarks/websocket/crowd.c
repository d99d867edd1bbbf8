/* The server of thousands of connections: epoll, one thread, one core.
 *
 *   crowd CPU CERT KEY
 *
 * Listens on two ports of loopback, plain and TLS, and prints "ports PLAIN TLS". Pings are answered, messages echoed.
 * Two orders come on standard input, with which it ends:
 *   count            prints "counted OPEN PINGS": upgraded connections, and pings answered since the last count
 *   source RATE MS   sends so many messages a second in all for so long, or as many as it can, one connection after the
 *                    other at equal distances in time, each with its CLOCK_MONOTONIC stamp as its first 20 digits;
 *                    prints "sent N" */
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "hft/text.h"
#include "meter.h"
#include "session.h"

enum { SESSIONS = 16384, EVENTS = 256, STAMP = 20 };
enum { PLAIN = SESSIONS, TLS, ORDERS }; /* what else an event may be of */

static session sessions[SESSIONS];
static uint32_t order_of[SESSIONS]; /* the sessions that there are, in the order of their arrival */
static size_t n_open;
static int poll_fd, listeners[2];
static SSL_CTX *tls;
static char line[64];

static void watch(int fd, uint32_t what) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = what};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll: %s", strerror(errno));
}

static void accept_all(uint32_t listener) {
    for (uint32_t i = 0; i < SESSIONS; i++) {
        if (sessions[i].fd >= 0) continue;
        if (!session_accept(&sessions[i], listeners[listener - PLAIN], listener == TLS ? tls : NULL)) return;
        order_of[n_open++] = i;
        watch(sessions[i].fd, i);
    }
}

static void drop(uint32_t which) {
    session_close(&sessions[which]); /* epoll forgets it too */
    size_t at = 0;
    while (order_of[at] != which) at++;
    memmove(order_of + at, order_of + at + 1, (--n_open - at) * sizeof order_of[0]);
}

/* Takes what has come, waiting at most timeout_ms; 1: an order stands in `line`. */
static int take_events(int timeout_ms) {
    struct epoll_event events[EVENTS];
    int n = epoll_wait(poll_fd, events, EVENTS, timeout_ms), ordered = 0;
    for (int i = 0; i < n; i++) {
        uint32_t what = events[i].data.u32;
        if (what == ORDERS) {
            if (fgets(line, sizeof line, stdin) == NULL) exit(0);
            ordered = 1;
        } else if (what >= SESSIONS) {
            accept_all(what);
        } else {
            int rc;
            do rc = session_turn(&sessions[what]);
            while (rc > 0 && session_pending(&sessions[what]));
            if (rc < 0) drop(what);
        }
    }
    return ordered;
}

static void count(void) {
    uint64_t upgraded = 0, pings = 0;
    for (size_t i = 0; i < n_open; i++) {
        session *s = &sessions[order_of[i]];
        upgraded += s->upgraded;
        pings += s->pings;
        s->pings = 0;
    }
    printf("counted %llu %llu\n", (unsigned long long)upgraded, (unsigned long long)pings);
}

static void source(uint64_t rate, uint64_t ms) {
    char payload[METER_PAYLOAD];
    memset(payload, ' ', sizeof payload);
    uint64_t began = meter_now(), sent = 0, now;
    while ((now = meter_now()) < began + ms * 1000000u && n_open != 0) {
        if (now < began + sent * 1000000000u / rate) {
            (void)take_events(0);
            continue;
        }
        uint32_t which = order_of[sent++ % n_open];
        hft_u64_put_fixed(payload, meter_now(), STAMP);
        if (session_put(&sessions[which], HFT_WS_OP_TEXT, payload, sizeof payload) != 0)
            die("connection %u does not read", which);
    }
    printf("sent %llu\n", (unsigned long long)sent);
}

int main(int argc, char **argv) {
    if (argc != 4) die("crowd CPU CERT KEY");
    bench_pin(atoi(argv[1]));
    struct rlimit files;
    (void)getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    tls = session_tls(argv[2], argv[3]);
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    int ports[2];
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < 2; i++) watch(listeners[i] = session_listen("127.0.0.1", 4096, &ports[i]), PLAIN + i);
    watch(0, ORDERS);
    for (size_t i = 0; i < SESSIONS; i++) sessions[i].fd = -1;
    printf("ports %d %d\n", ports[0], ports[1]);
    for (;;) {
        fflush(stdout);
        unsigned long long rate, ms;
        if (!take_events(-1)) continue;
        if (sscanf(line, "source %llu %llu", &rate, &ms) == 2) source(rate, ms);
        else count();
    }
}
