/* Rehearsed writes: the code of hft_tls_write runs on a session of its own, both ends in memory, so that the record
 * that counts does not pay for cold caches. The session is made with a pre-shared key (RFC 8446 section 2.2), which
 * needs no certificate, and its records go nowhere. */
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "tls_internal.h"

#define FLIGHT_MAX 4096 /* a handshake without certificates is far shorter */
#define ROUNDS_MAX 8

struct hft_tls_rehearsal {
    SSL_CTX *client_ctx, *server_ctx;
    SSL_SESSION *key;
    hft_tls client;
    uint8_t out[HFT_TLS_REHEARSAL_MAX + HFT_TLS_RECORD_OVERHEAD];
};

static int use_key(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_len, SSL_SESSION **session) {
    hft_tls_rehearsal *r = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    (void)md;
    *id = (const unsigned char *)"rehearsal";
    *id_len = 9;
    *session = SSL_SESSION_up_ref(r->key) ? r->key : NULL;
    return *session != NULL;
}

static int find_key(SSL *ssl, const unsigned char *id, size_t id_len, SSL_SESSION **session) {
    hft_tls_rehearsal *r = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    (void)id, (void)id_len;
    *session = SSL_SESSION_up_ref(r->key) ? r->key : NULL;
    return *session != NULL;
}

static SSL_SESSION *make_key(SSL_CTX *ctx) {
    static const unsigned char aes_256_gcm_sha384[2] = {0x13, 0x02}; /* what OpenSSL itself prefers */
    unsigned char secret[48];
    SSL_SESSION *key = SSL_SESSION_new();
    SSL *ssl = SSL_new(ctx);
    int ok = key != NULL && ssl != NULL && RAND_bytes(secret, sizeof secret) == 1 &&
             SSL_SESSION_set1_master_key(key, secret, sizeof secret) &&
             SSL_SESSION_set_cipher(key, SSL_CIPHER_find(ssl, aes_256_gcm_sha384)) &&
             SSL_SESSION_set_protocol_version(key, TLS1_3_VERSION);
    SSL_free(ssl);
    if (ok) return key;
    SSL_SESSION_free(key);
    return NULL;
}

/* Passes the flights between the two ends until the client is done. */
static int shake_hands(hft_tls_rehearsal *r, SSL *server) {
    unsigned char to_server[FLIGHT_MAX], to_client[FLIGHT_MAX];
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (in == NULL || out == NULL) {
        BIO_free(in);
        BIO_free(out);
        return 0;
    }
    SSL_set_bio(server, in, out);
    SSL_set_accept_state(server);
    for (int round = 0; round < ROUNDS_MAX; round++) {
        hft_tls_output(&r->client, to_server, sizeof to_server);
        int rc = hft_tls_handshake(&r->client);
        if (rc != 0) return rc == 1;
        if (BIO_write(in, to_server, (int)r->client.out_len) != (int)r->client.out_len) return 0;
        (void)SSL_do_handshake(server);
        int len = BIO_read(out, to_client, sizeof to_client);
        if (len <= 0) return 0;
        hft_tls_feed(&r->client, to_client, (size_t)len);
    }
    return 0;
}

static int open_session(hft_tls_rehearsal *r, const BIO_METHOD *bio_method) {
    r->client_ctx = SSL_CTX_new(TLS_client_method());
    r->server_ctx = SSL_CTX_new(TLS_server_method());
    if (r->client_ctx == NULL || r->server_ctx == NULL) return 0;
    SSL_CTX_set_app_data(r->client_ctx, r);
    SSL_CTX_set_app_data(r->server_ctx, r);
    SSL_CTX_set_min_proto_version(r->client_ctx, TLS1_3_VERSION);
    hft_tls_records_prepare(r->client_ctx);
    SSL_CTX_set_num_tickets(r->server_ctx, 0);
    SSL_CTX_set_psk_use_session_callback(r->client_ctx, use_key);
    SSL_CTX_set_psk_find_session_callback(r->server_ctx, find_key);
    r->key = make_key(r->client_ctx);
    if (r->key == NULL) return 0;
    SSL *client = SSL_new(r->client_ctx), *server = SSL_new(r->server_ctx);
    BIO *bio = BIO_new(bio_method);
    int ok = 0;
    if (client != NULL && server != NULL && bio != NULL) {
        hft_tls_attach(&r->client, client, bio);
        ok = shake_hands(r, server);
    } else {
        SSL_free(client);
        BIO_free(bio);
    }
    SSL_free(server); /* nobody reads what is rehearsed */
    return ok;
}

hft_tls_rehearsal *hft_tls_rehearsal_open(const BIO_METHOD *bio_method) {
    hft_tls_rehearsal *r = calloc(1, sizeof *r);
    if (r != NULL && open_session(r, bio_method)) return r;
    hft_tls_rehearsal_close(r);
    return NULL;
}

void hft_tls_rehearsal_close(hft_tls_rehearsal *r) {
    if (r == NULL) return;
    hft_tls_detach(&r->client);
    SSL_SESSION_free(r->key);
    SSL_CTX_free(r->client_ctx);
    SSL_CTX_free(r->server_ctx);
    free(r);
}

void hft_tls_prepare_rehearsal(hft_tls_context *context) {
    hft_tls_rehearsal *none = NULL, *made = NULL;
    if (atomic_load(&context->rehearsal) == NULL) made = hft_tls_rehearsal_open(context->bio_method);
    if (made == NULL || atomic_compare_exchange_strong(&context->rehearsal, &none, made)) return;
    hft_tls_rehearsal_close(made); /* another thread was faster */
}

void hft_tls_rehearse(hft_tls_context *context, const uint8_t *data, size_t len) {
    hft_tls_rehearsal *r = atomic_load_explicit(&context->rehearsal, memory_order_acquire);
    if (r == NULL || len == 0) return;
    if (atomic_flag_test_and_set_explicit(&context->rehearsing, memory_order_acquire)) return; /* by another thread */
    hft_tls_output(&r->client, r->out, sizeof r->out);
    (void)!hft_tls_write(&r->client, data, len < HFT_TLS_REHEARSAL_MAX ? len : HFT_TLS_REHEARSAL_MAX);
    atomic_flag_clear_explicit(&context->rehearsing, memory_order_release);
}
