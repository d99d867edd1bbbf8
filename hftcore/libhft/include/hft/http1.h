/* The HTTP/1.1 that a WebSocket upgrade needs (RFC 6455 section 4, RFC 9112): one request and one response head, both
 * sides of it. Pure; the caller makes the random key and the accept value.
 *
 * Parsers are given the bytes from the first one on each time, take no more than HFT_HTTP1_HEAD_MAX of them, and
 * return 0 = needs more bytes, > 0 = length of the head (frames may follow it), or HFT_E_HTTP_*; *err (may be NULL)
 * then quotes the line. What they say is a function of the bytes alone, however those arrive. */
#ifndef HFT_HTTP1_H
#define HFT_HTTP1_H

#include "hft/status.h"

#define HFT_HTTP1_HEAD_MAX 8192
#define HFT_HTTP1_KEY_LEN 24      /* base64 of 16 random bytes */
#define HFT_HTTP1_ACCEPT_LEN 28   /* base64 of SHA-1(key + GUID) */
#define HFT_HTTP1_JOINED_MAX 1024 /* subprotocols and extensions of a request that come in several fields */

/* ---- client ---- */

typedef struct {
    const char *host;   size_t host_len;   /* Host header as it is to be sent, port included where needed */
    const char *target; size_t target_len; /* path and query, begins with '/' */
    const char *key;                       /* HFT_HTTP1_KEY_LEN characters */
    const char *headers; size_t headers_len; /* further "Name: value\r\n" lines, may be empty */
    const char *subprotocols; size_t subprotocols_len; /* offered, best first: "a, b"; may be empty */
    const char *extensions; size_t extensions_len;     /* offered, best first; may be empty */
} hft_http1_upgrade;

typedef struct {
    int status;      /* 0 until the status line is complete */
    size_t head_len; /* 0 until the head is complete */
    size_t body_len; /* of a refusal: its Content-Length; SIZE_MAX: not told */
    const char *subprotocol; size_t subprotocol_len; /* what the server chose: views of the head, length 0 = nothing */
    const char *extensions; size_t extensions_len;
} hft_http1_response;

/* Writes the request; returns its length. Errors: HFT_E_CAPACITY; HFT_E_ARGUMENT for blanks or control bytes in a
 * field, a target with a fragment, a key that is not base64 of 16 bytes, a subprotocol that is not a token or is
 * offered twice, malformed extensions, and header lines that are malformed, give the request a body or belong to the
 * upgrade (Host, Upgrade, Connection, Sec-WebSocket-*). */
HFT_NODISCARD int hft_http1_build_upgrade(char *out, size_t cap, const hft_http1_upgrade *request);

/* Checks the response head: status 101, Upgrade: websocket, Connection: Upgrade, the accept value, at most one
 * subprotocol, of those that `request` offers, and at most one field of extensions, well-formed and with no name that
 * it does not offer (their parameters are for the extension to agree on). Nothing else of the request is read.
 * Another status is HFT_E_HTTP_STATUS once its head is complete, so that response->head_len can tell header fields from
 * body; where the head is malformed or too long, head_len is 0. */
HFT_NODISCARD int hft_http1_parse_upgrade(hft_http1_response *response, const char *buf, size_t len,
                                          const hft_http1_upgrade *request, const char accept[HFT_HTTP1_ACCEPT_LEN],
                                          hft_err *err);

/* ---- server ---- */

typedef struct {
    const char *target; size_t target_len;             /* views into the head, or into `joined`: the struct stays put */
    const char *host; size_t host_len;
    const char *key;                                   /* HFT_HTTP1_KEY_LEN characters */
    const char *subprotocols; size_t subprotocols_len; /* offered; length 0 = none */
    const char *extensions; size_t extensions_len;
    char joined[HFT_HTTP1_JOINED_MAX];
} hft_http1_request;

typedef struct {
    const char *accept;                              /* HFT_HTTP1_ACCEPT_LEN characters */
    const char *subprotocol; size_t subprotocol_len; /* chosen; may be empty */
    const char *extensions; size_t extensions_len;   /* agreed; may be empty */
} hft_http1_answer;

/* Checks an upgrade request (RFC 6455 section 4.2.1): GET with a path, one Host, Upgrade, Connection, one key, version
 * 13, no body. What it offers is not examined. Errors: HFT_E_HTTP_SYNTAX, HFT_E_HTTP_UPGRADE, HFT_E_HTTP_TOO_LARGE. */
HFT_NODISCARD int hft_http1_parse_request(hft_http1_request *request, const char *buf, size_t len, hft_err *err);

/* Writes the 101 response; returns its length. Errors: HFT_E_CAPACITY; HFT_E_ARGUMENT for an accept value that is not
 * base64, a subprotocol that is no token, and malformed extensions. */
HFT_NODISCARD int hft_http1_build_response(char *out, size_t cap, const hft_http1_answer *answer);

/* ---- the value of Sec-WebSocket-Extensions ---- */

/* The name of an extension, or a parameter of the one named before it. */
typedef struct {
    int is_param;
    const char *name; size_t name_len;
    const char *value; size_t value_len; /* parameter: NULL = has none; without its quotes, '\' escapes a character */
} hft_http1_extension;

/* The next piece of "a; b; c=1, d" (RFC 6455 section 9.1) from *pos on, which begins at 0 and moves. Returns 1, 0 = the
 * end, or HFT_E_HTTP_SYNTAX. */
HFT_NODISCARD int hft_http1_next_extension(hft_http1_extension *piece, size_t *pos, const char *list, size_t len);

#endif
