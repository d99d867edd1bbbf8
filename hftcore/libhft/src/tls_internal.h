/* What tls.c and tls_rehearsal.c share. Private. */
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

hft_tls_rehearsal *hft_tls_rehearsal_open(const BIO_METHOD *bio_method);
void hft_tls_rehearsal_close(hft_tls_rehearsal *r);

#endif
