/* What tls.c, tls_records.c and tls_rehearsal.c share. Private. */
#ifndef HFT_TLS_INTERNAL_H
#define HFT_TLS_INTERNAL_H

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "hft/tls.h"

typedef struct hft_tls_rehearsal hft_tls_rehearsal;

struct hft_tls_context {
    SSL_CTX *ctx;
    BIO_METHOD *bio_method;
    hft_tls_rehearsal *rehearsal; /* NULL: could not be made; nothing but warmth is lost */
    unsigned users;               /* the owner and each connection */
};

/* Joins a client SSL and a BIO of the context's method to tls, which owns both from here on. */
void hft_tls_attach(hft_tls *tls, SSL *ssl, BIO *bio);
/* Frees them. */
void hft_tls_detach(hft_tls *tls);

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
/* As hft_tls_write, which has checked room and length. */
HFT_NODISCARD int hft_tls_records_write(hft_tls *tls, const uint8_t *data, size_t len);

/* ---- tls_rehearsal.c ---- */

hft_tls_rehearsal *hft_tls_rehearsal_open(const BIO_METHOD *bio_method);
void hft_tls_rehearsal_close(hft_tls_rehearsal *r);

#endif
