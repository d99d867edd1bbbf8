/* One accepted connection of the servers beside the clients under test: TLS where wanted, the upgrade, then frames:
 * messages are echoed, pings answered, a close answered and the connection ended. */
#ifndef SESSION_H
#define SESSION_H

#include <openssl/ssl.h>

#include "hft/ws.h"

#define SESSION_BUFFER 8192 /* the upgrade request, or the longest frame with what came beside it */

typedef struct {
    int fd;   /* -1: none */
    SSL *ssl; /* NULL: plain */
    uint8_t upgraded;
    uint64_t pings; /* answered */
    hft_ws_parser parser;
    size_t len;
    uint8_t in[SESSION_BUFFER];
} session;

/* A listening socket on a loopback address and a port of the system's choice, which *port tells. */
int session_listen(const char *address, int backlog, int *port);
/* TLS 1.3 with AES-128-GCM; PEM files. */
SSL_CTX *session_tls(const char *cert, const char *key);

/* Takes the next connection that waits; 0: none does. tls NULL: plain. */
int session_accept(session *s, int listener, SSL_CTX *tls);
/* Reads once, without waiting, and does what that asks for: 1, 0 where nothing was there, -1 where it has ended. */
int session_turn(session *s);
/* 1 if bytes wait that were received already, of which the kernel tells nothing. */
int session_pending(const session *s);
/* Sends a frame; -1: the connection has ended, or its peer does not read. */
int session_put(session *s, hft_ws_op op, const void *payload, size_t len);
void session_close(session *s);

#endif
