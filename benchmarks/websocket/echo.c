/* The echo server of the round trips: one thread, one core, never asleep.
 *
 *   echo CPU CERT KEY
 *
 * Listens on two ports of loopback, plain and TLS, and prints "ports PLAIN TLS". The clients take turns, so one
 * connection at a time speaks: the server polls that one alone, and looks at all others only where it was silent for
 * many times a round trip. Ends with standard input. */
#include <poll.h>
#include <unistd.h>

#include "bench.h"
#include "session.h"

enum { SESSIONS = 64, QUIET = 1000 }; /* QUIET: empty looks at the speaker before others */

static session sessions[SESSIONS];

static session *free_session(void) {
    for (size_t i = 0; i < SESSIONS; i++)
        if (sessions[i].fd < 0) return &sessions[i];
    die("more than %d clients", SESSIONS);
}

/* Takes new connections; returns a session that has something to say, or the one of before. */
static session *look_around(session *speaker, const int listeners[2], SSL_CTX *tls) {
    struct pollfd fds[SESSIONS + 3];
    nfds_t n = 0;
    fds[n++] = (struct pollfd){.fd = listeners[0], .events = POLLIN};
    fds[n++] = (struct pollfd){.fd = listeners[1], .events = POLLIN};
    fds[n++] = (struct pollfd){.fd = 0, .events = POLLIN};
    for (size_t i = 0; i < SESSIONS; i++) fds[n++] = (struct pollfd){.fd = sessions[i].fd, .events = POLLIN};
    if (poll(fds, n, 0) <= 0) return speaker;
    if (fds[2].revents != 0) exit(0);
    for (int i = 0; i < 2; i++)
        if (fds[i].revents != 0) (void)session_accept(free_session(), listeners[i], i == 0 ? NULL : tls);
    for (size_t i = 0; i < SESSIONS; i++)
        if (fds[3 + i].revents != 0 && sessions[i].fd >= 0) return &sessions[i];
    return speaker;
}

int main(int argc, char **argv) {
    if (argc != 4) die("echo CPU CERT KEY");
    bench_pin(atoi(argv[1]));
    SSL_CTX *tls = session_tls(argv[2], argv[3]);
    int ports[2];
    int listeners[2] = {session_listen("127.0.0.1", 16, &ports[0]), session_listen("127.0.0.1", 16, &ports[1])};
    for (size_t i = 0; i < SESSIONS; i++) sessions[i].fd = -1;
    printf("ports %d %d\n", ports[0], ports[1]);
    fflush(stdout);
    session *speaker = NULL;
    for (unsigned quiet = QUIET;; quiet++) {
        if (quiet >= QUIET) {
            speaker = look_around(speaker, listeners, tls);
            quiet = 0;
        }
        int rc = speaker != NULL && speaker->fd >= 0 ? session_turn(speaker) : 0;
        if (rc < 0) session_close(speaker);
        if (rc != 0) quiet = 0;
    }
}
