/* TLS client sessions over memory (OpenSSL 3): bytes in, bytes out, no sockets.
 *
 * Every connection verifies the peer's chain against the trust of its context and the certificate against the host
 * name (RFC 9525: the subject's common name does not count), holds the chain to the pins if there are any, sends SNI
 * (RFC 6066), refuses renegotiation and anything below TLS 1.2, and resumes the last session with that host and port
 * where the server allows. Records are written straight into a buffer the caller gives, and read from a view the
 * caller gives; nothing is allocated per record. */
#ifndef HFT_TLS_H
#define HFT_TLS_H

#include "hft/status.h"

#define HFT_TLS_HOST_MAX 255
#define HFT_TLS_PIN_LEN 32      /* SHA-256 of a SubjectPublicKeyInfo (RFC 7469 section 2.4) */
#define HFT_TLS_PINS_MAX 16
#define HFT_TLS_ALPN_MAX 255    /* bytes of the list of protocols */
#define HFT_TLS_SESSIONS_MAX 64 /* hosts whose session a context keeps */
/* Messages of the handshake protocol (KeyUpdate, NewSessionTicket, HelloRequest) a peer may send without data between:
 * each costs us work, and none of them is of use in such numbers. */
#define HFT_TLS_IDLE_MESSAGES_MAX 32
/* Room one write of len <= 16384 bytes may take besides them: TLS 1.2 in CBC mode with SHA-384 needs most, 85. */
#define HFT_TLS_RECORD_OVERHEAD 128
/* Room the handshake, alerts and close_notify may take in the output. */
#define HFT_TLS_HANDSHAKE_ROOM 8192
#define HFT_TLS_CLIENT_CHAIN_MAX 6144 /* bytes of a client's certificates (DER): what that room has for them */
#define HFT_TLS_REHEARSAL_MAX 2048    /* bytes of a rehearsed record */

/* Trust and options; immutable. The connections of any thread may share one. */
typedef struct hft_tls_context hft_tls_context;

/* Zero or NULL is the default of each. Nothing is kept of what the pointers point to. */
typedef struct {
    const char *ca_file, *ca_data; /* PEM, a file and a text: trusted instead of the system's authorities */
    const char *cert_file;         /* PEM: the client's certificate and those between it and its authority */
    const char *key_file;          /* PEM; NULL: in cert_file */
    const char *key_password;
    const uint8_t (*pins)[HFT_TLS_PIN_LEN]; /* one of them must be the key of a certificate of the verified chain */
    size_t n_pins;
    int min_version;               /* 0x0303 (TLS 1.2, default) or 0x0304 (TLS 1.3) */
    const char *ciphers;           /* for TLS 1.2, as OpenSSL's ciphers(1) writes a list */
    const char *ciphersuites;      /* for TLS 1.3: TLS_AES_128_GCM_SHA256:... */
    const char *alpn;              /* protocols to offer (RFC 7301), by comma, the best first: "http/1.1" */
    const char *keylog_file;       /* appends all session secrets to it: whoever reads it reads the traffic */
    int resume;                    /* 1: keep sessions and resume them */
} hft_tls_config;

/* config NULL: all defaults. Errors: HFT_E_TLS_CONFIG (err says which option, and why), HFT_E_MEMORY. */
HFT_NODISCARD int hft_tls_context_open(hft_tls_context **context, const hft_tls_config *config, hft_err *err);
/* Connections keep the context alive: close in any order. NULL is allowed. */
void hft_tls_context_close(hft_tls_context *context);
/* OpenSSL's run-time version text. Static storage. */
const char *hft_tls_library(void);
/* The pin of a certificate (PEM or DER) or of a public key (PEM). Errors: HFT_E_TLS_CONFIG. */
HFT_NODISCARD int hft_tls_pin_of(uint8_t pin[HFT_TLS_PIN_LEN], const void *data, size_t len, hft_err *err);

typedef struct {
    hft_tls_context *context;
    void *ssl;           /* SSL of the present connection, NULL between connections */
    void *records;       /* writes the records once TLS 1.3 is established; private */
    char host[HFT_TLS_HOST_MAX + 1];
    uint16_t port;
    const uint8_t *in;   /* received bytes not yet taken */
    size_t in_len;
    uint8_t *out;        /* where records are written */
    size_t out_len, out_cap;
    uint8_t established; /* the handshake is done */
    uint8_t resumed;     /* this connection's handshake resumed a session */
    uint8_t peer_closed; /* close_notify was received */
    uint8_t shut;        /* close_notify was sent: nothing may follow it */
    uint8_t certificate_wanted; /* the server asked for ours */
    uint8_t renegotiation;      /* the server asked for one, and was refused */
    uint8_t greeting_len;
    uint8_t greeting[8];        /* the first bytes received: what is no TLS shows itself */
    uint16_t hello_version;     /* of the ServerHello; 0 = none came */
    uint32_t idle_messages;     /* since the last data */
    hft_err err;
} hft_tls;

/* host: DNS name or IP address text, as the certificate must name it. port: tells the sessions of servers of one host
 * apart, 0 will do. Errors: HFT_E_ARGUMENT. */
HFT_NODISCARD int hft_tls_open(hft_tls *tls, hft_tls_context *context, const char *host, uint16_t port, hft_err *err);
/* Frees the connection. */
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
/* Encrypts all of data (1..16384 bytes) into the output as one record. 0, HFT_E_CONN_SEND_FULL, HFT_E_TLS_*,
 * HFT_E_STATE before the end of the handshake and after hft_tls_shutdown. */
HFT_NODISCARD int hft_tls_write(hft_tls *tls, const uint8_t *data, size_t len);
/* Puts close_notify. 0 or an error that may be ignored: the connection is ending anyway. */
int hft_tls_shutdown(hft_tls *tls);
/* The peer ended the stream: HFT_E_CONN_CLOSED after close_notify; without it data may be missing:
 * HFT_E_TLS_TRUNCATED, and tls->err says when. */
int hft_tls_end(hft_tls *tls);

/* Makes the session that hft_tls_rehearse writes on. Where it cannot be made, nothing but warmth is lost. */
void hft_tls_prepare_rehearsal(hft_tls_context *context);
/* Runs the code of hft_tls_write over data on a session of the context that leads nowhere: after some idle milliseconds
 * a first record costs tens of microseconds, and one just after a rehearsal only little more than usual. */
void hft_tls_rehearse(hft_tls_context *context, const uint8_t *data, size_t len);

/* ---- what was agreed on; "" or 0 before the end of the handshake. Text lives as long as the connection. ---- */

const char *hft_tls_version(const hft_tls *tls); /* "TLSv1.3" */
const char *hft_tls_cipher(const hft_tls *tls);  /* "TLS_AES_128_GCM_SHA256" */
/* The protocol chosen by ALPN, not NUL-terminated; *len 0 = none. */
const char *hft_tls_alpn(const hft_tls *tls, size_t *len);
/* Copies the server's certificate (DER). Returns its length, 0 = none, HFT_E_CAPACITY. */
HFT_NODISCARD int hft_tls_peer_certificate(const hft_tls *tls, uint8_t *der, size_t cap);
/* The pin of its key: 1, or 0 = no certificate. */
int hft_tls_peer_pin(const hft_tls *tls, uint8_t pin[HFT_TLS_PIN_LEN]);

#endif
