/* The HTTP/1.1 that a WebSocket upgrade needs (RFC 6455 section 4, RFC 9112): one request out, one response
 * head in. Pure; the caller makes the random key and the expected accept value. */
#ifndef HFT_HTTP1_H
#define HFT_HTTP1_H

#include "hft/status.h"

#define HFT_HTTP1_HEAD_MAX 8192
#define HFT_HTTP1_KEY_LEN 24    /* base64 of 16 random bytes */
#define HFT_HTTP1_ACCEPT_LEN 28 /* base64 of SHA-1(key + GUID) */

typedef struct {
    const char *host;   size_t host_len;   /* Host header as it is to be sent, port included where needed */
    const char *target; size_t target_len; /* path and query, begins with '/' */
    const char *key;                       /* HFT_HTTP1_KEY_LEN characters */
    const char *headers; size_t headers_len; /* further "Name: value\r\n" lines, may be empty */
} hft_http1_upgrade;

/* Writes the request; returns its length. Errors: HFT_E_CAPACITY; HFT_E_ARGUMENT for blanks or control bytes in a
 * field, a target with a fragment, a key that is not base64 of 16 bytes, and header lines that are malformed, give the
 * request a body or belong to the upgrade (Host, Upgrade, Connection, Sec-WebSocket-*): nothing is offered, so nothing
 * can be chosen. */
HFT_NODISCARD int hft_http1_build_upgrade(char *out, size_t cap, const hft_http1_upgrade *request);

/* Checks the response head: status 101, Upgrade: websocket, Connection: Upgrade, the accept value, no extension
 * and no subprotocol. Returns 0 = needs more bytes, > 0 = length of the head (frames may follow it), or
 * HFT_E_HTTP_*; *err (may be NULL) then quotes the status line or header. *status is the HTTP status, 0 until known. */
HFT_NODISCARD int hft_http1_parse_upgrade(int *status, const char *buf, size_t len,
                                          const char accept[HFT_HTTP1_ACCEPT_LEN], hft_err *err);

#endif
