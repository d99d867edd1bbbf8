/* What the sources of tls share. Private. */
#ifndef HFT_TLS_INTERNAL_H
#define HFT_TLS_INTERNAL_H

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <stdatomic.h>

#include "hft/tls.h"

typedef struct hft_tls_rehearsal hft_tls_rehearsal;

typedef struct {
    SSL_SESSION *session; /* NULL: free */
    char host[HFT_TLS_HOST_MAX + 1];
    uint16_t port;
    uint64_t used;        /* count of the context's uses when it was used last */
} hft_tls_saved;

struct hft_tls_context {
    SSL_CTX *ctx;
    BIO_METHOD *bio_method;
    CRYPTO_RWLOCK *lock; /* of sessions and uses */
    hft_tls_saved *sessions;
    uint64_t uses;
    _Atomic(hft_tls_rehearsal *) rehearsal; /* NULL: not made */
    atomic_flag rehearsing;
    atomic_uint users;   /* the owner and each connection */
    int keylog_fd;       /* -1: none */
    int min_version;
    int has_certificate; /* of the client */
    size_t n_pins, alpn_len;
    uint8_t pins[HFT_TLS_PINS_MAX][HFT_TLS_PIN_LEN];
    uint8_t alpn[HFT_TLS_ALPN_MAX + 1]; /* as it is sent: each with its length in front */
};

/* Joins a client SSL and a BIO of hft_tls_bio_method to tls, which owns both from here on. */
void hft_tls_attach(hft_tls *tls, SSL *ssl, BIO *bio);
/* Frees them. */
void hft_tls_detach(hft_tls *tls);
/* A BIO over the connection's own buffers: no memory of its own, so nothing grows. NULL: no memory. */
BIO_METHOD *hft_tls_bio_method(void);
/* Takes note of a message of the handshake protocol that OpenSSL has received. */
void hft_tls_on_message(hft_tls *tls, const uint8_t *message, size_t len);

/* ---- tls_context.c ---- */

void hft_tls_context_keep(hft_tls_context *context);
/* The session to resume, or NULL; the caller frees it. */
SSL_SESSION *hft_tls_session_find(hft_tls_context *context, const char *host, uint16_t port);
/* It did not help. */
void hft_tls_session_forget(hft_tls_context *context, const char *host, uint16_t port);
/* Appends a line to the key log, if there is one. */
void hft_tls_keylog(const hft_tls_context *context, const char *line);

/* ---- tls_verify.c ---- */

/* OpenSSL's hook: verifies the chain, host name and pins. What it refuses is said in tls->err. */
int hft_tls_verify(X509_STORE_CTX *store, void *arg);
void hft_tls_pin(uint8_t pin[HFT_TLS_PIN_LEN], const X509 *cert);

/* ---- tls_failure.c ---- */

/* Says in tls->err what OpenSSL's error queue means; what is there already stays. Returns its code. */
int hft_tls_fail(hft_tls *tls, const char *doing);
int hft_tls_fail_alpn(hft_tls *tls);

/* ---- tls_records.c ---- */

/* A key writes at most so many records, with a wide margin to what RFC 8446 section 5.5 allows for AES-GCM. */
#define HFT_TLS_RECORDS_PER_KEY (1u << 23)

typedef struct hft_tls_records hft_tls_records;

/* Once per context: lets its connections take over writing. */
void hft_tls_records_prepare(SSL_CTX *ctx);
/* Per connection: before the handshake (no memory: OpenSSL goes on writing), and at its end. */
void hft_tls_records_new(hft_tls *tls);
void hft_tls_records_take_over(hft_tls *tls);
void hft_tls_records_free(hft_tls *tls);
/* 1 if records are written here. */
int hft_tls_records_active(const hft_tls *tls);
/* Writes at most so many records with one key. */
void hft_tls_records_limit(hft_tls *tls, uint64_t records);
/* After each read: OpenSSL would keep the answer to a KeyUpdate until it writes, which it does no more. */
void hft_tls_records_answer(hft_tls *tls);
/* Puts a fatal alert, if records are written here and there is room. */
void hft_tls_records_alert(hft_tls *tls, uint8_t description);
/* As hft_tls_write, which has checked room and length. */
HFT_NODISCARD int hft_tls_records_write(hft_tls *tls, const uint8_t *data, size_t len);

/* ---- tls_rehearsal.c ---- */

hft_tls_rehearsal *hft_tls_rehearsal_open(const BIO_METHOD *bio_method);
void hft_tls_rehearsal_close(hft_tls_rehearsal *r);

#endif
