/* TLS client sessions over memory (OpenSSL 3): bytes in, bytes out, no sockets.
 *
 * Every connection verifies the peer's chain against the trust of its context and the certificate against the host
 * name (RFC 9525), sends SNI (RFC 6066), refuses renegotiation and anything below TLS 1.2, and resumes the last
 * session with that host where the server allows. Records are written straight into a buffer the caller
 * gives, and read from a view the caller gives; nothing is allocated per record. */
#ifndef HFT_TLS_H
#define HFT_TLS_H

#include "hft/status.h"

#define HFT_TLS_HOST_MAX 255
/* Room one write of len <= 16384 bytes may take besides them: TLS 1.2 in CBC mode with SHA-384 needs most, 85. */
#define HFT_TLS_RECORD_OVERHEAD 128
/* Room the handshake, alerts and close_notify may take in the output. */
#define HFT_TLS_HANDSHAKE_ROOM 8192
#define HFT_TLS_REHEARSAL_MAX 2048 /* bytes of a rehearsed record */

typedef struct hft_tls_context hft_tls_context; /* trust and options; shared by connections of one thread */

/* ca_file: PEM file that replaces the system's CA set; NULL = the system's. Errors: HFT_E_TLS_CONFIG, HFT_E_MEMORY. */
HFT_NODISCARD int hft_tls_context_open(hft_tls_context **context, const char *ca_file, hft_err *err);
/* Connections keep the context alive: close in any order. NULL is allowed. */
void hft_tls_context_close(hft_tls_context *context);
/* OpenSSL's run-time version text. Static storage. */
const char *hft_tls_library(void);

typedef struct {
    hft_tls_context *context;
    void *ssl;           /* SSL of the present connection, NULL between connections */
    void *session;       /* SSL_SESSION to resume, or NULL */
    void *records;       /* writes the records once TLS 1.3 is established; private */
    char host[HFT_TLS_HOST_MAX + 1];
    const uint8_t *in;   /* received bytes not yet taken */
    size_t in_len;
    uint8_t *out;        /* where records are written */
    size_t out_len, out_cap;
    uint8_t resumed;     /* this connection's handshake resumed a session */
    uint8_t peer_closed; /* close_notify was received */
    char refused_subject[64]; /* of the certificate that failed verification */
    hft_err err;
} hft_tls;

/* host: DNS name or IP address text, as the certificate must name it. Errors: HFT_E_ARGUMENT. */
HFT_NODISCARD int hft_tls_open(hft_tls *tls, hft_tls_context *context, const char *host, hft_err *err);
/* Frees the connection and the saved session. */
void hft_tls_close(hft_tls *tls);

/* Begins a new connection (allocates; resumes the saved session if there is one). Drops the one before. */
HFT_NODISCARD int hft_tls_begin(hft_tls *tls);

/* Gives the bytes received: a view that must live until in_len is 0 (each call below takes what it can). */
void hft_tls_feed(hft_tls *tls, const uint8_t *data, size_t len);
/* Says where output goes; out_len starts at 0 and counts what the calls below wrote. */
void hft_tls_output(hft_tls *tls, uint8_t *out, size_t cap);

/* 1 = done, 0 = needs more from the peer (and out may have grown), < 0: HFT_E_TLS_* or HFT_E_CONN_SEND_FULL;
 * tls->err says why. */
HFT_NODISCARD int hft_tls_handshake(hft_tls *tls);
/* Decrypts into data: > 0 bytes, 0 = needs more from the peer, HFT_E_CONN_CLOSED after close_notify, < 0
 * HFT_E_TLS_*. */
HFT_NODISCARD int hft_tls_read(hft_tls *tls, uint8_t *data, size_t cap);
/* Encrypts all of data (1..16384 bytes) into the output as one record. 0, HFT_E_CONN_SEND_FULL, HFT_E_TLS_*. */
HFT_NODISCARD int hft_tls_write(hft_tls *tls, const uint8_t *data, size_t len);
/* Runs the code of hft_tls_write over data on a session of the context that leads nowhere: after some idle milliseconds
 * a first record costs tens of microseconds, and one just after a rehearsal only little more than usual. */
void hft_tls_rehearse(hft_tls_context *context, const uint8_t *data, size_t len);
/* Puts close_notify. 0 or an error that may be ignored: the connection is ending anyway. */
int hft_tls_shutdown(hft_tls *tls);

#endif
