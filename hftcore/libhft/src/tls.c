#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls_internal.h"

/* ---- a BIO over the connection's own buffers: no memory of its own, so nothing grows ---- */

static int bio_write(BIO *bio, const char *data, int len) {
    hft_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (len <= 0) return 0;
    if (hft_tls_records_active(tls)) return len; /* not OpenSSL's to write any more */
    if (tls->out_cap - tls->out_len < (size_t)len) {
        BIO_set_retry_write(bio);
        return -1;
    }
    memcpy(tls->out + tls->out_len, data, (size_t)len);
    tls->out_len += (size_t)len;
    return len;
}

static int bio_read(BIO *bio, char *data, int len) {
    hft_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (len <= 0) return 0;
    if (tls->in_len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t n = tls->in_len < (size_t)len ? tls->in_len : (size_t)len;
    memcpy(data, tls->in, n);
    tls->in += n;
    tls->in_len -= n;
    return (int)n;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr) {
    (void)bio, (void)num, (void)ptr;
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

/* ---- context ---- */

static void context_release(hft_tls_context *context) {
    if (--context->users != 0) return;
    hft_tls_rehearsal_close(context->rehearsal);
    SSL_CTX_free(context->ctx);
    BIO_meth_free(context->bio_method);
    free(context);
}

/* Keeps the newest session ticket of the connection for its next handshake. */
static int on_new_session(SSL *ssl, SSL_SESSION *session) {
    hft_tls *tls = SSL_get_app_data(ssl);
    if (tls == NULL) return 0;
    SSL_SESSION_free(tls->session);
    tls->session = session;
    return 1; /* the reference is ours now */
}

/* Notes which certificate failed: after a failure OpenSSL no longer tells. */
static int on_verify(int ok, X509_STORE_CTX *store) {
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    hft_tls *tls = ssl != NULL ? SSL_get_app_data(ssl) : NULL;
    X509 *cert = X509_STORE_CTX_get_current_cert(store);
    if (!ok && tls != NULL && cert != NULL)
        X509_NAME_oneline(X509_get_subject_name(cert), tls->refused_subject, sizeof tls->refused_subject);
    return ok;
}

static int load_trust(SSL_CTX *ctx, const char *ca_file, hft_err *err) {
    if (ca_file == NULL) {
        if (SSL_CTX_set_default_verify_paths(ctx) == 1) return 0;
        return hft_fail(err, HFT_E_TLS_CONFIG, 0, "the system's CA certificates could not be loaded");
    }
    if (SSL_CTX_load_verify_file(ctx, ca_file) == 1) return 0;
    char text[128];
    snprintf(text, sizeof text, "CA file %.90s: not a readable PEM file", ca_file);
    ERR_clear_error();
    return hft_fail(err, HFT_E_TLS_CONFIG, 0, text);
}

int hft_tls_context_open(hft_tls_context **out, const char *ca_file, hft_err *err) {
    hft_tls_context *context = calloc(1, sizeof *context);
    if (context == NULL) return hft_fail(err, HFT_E_MEMORY, 0, NULL);
    context->users = 1;
    context->ctx = SSL_CTX_new(TLS_client_method());
    context->bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "hft fixed buffer");
    if (context->ctx == NULL || context->bio_method == NULL) {
        context_release(context);
        return hft_fail(err, HFT_E_MEMORY, 0, "SSL_CTX_new");
    }
    BIO_meth_set_write(context->bio_method, bio_write);
    BIO_meth_set_read(context->bio_method, bio_read);
    BIO_meth_set_ctrl(context->bio_method, bio_ctrl);
    SSL_CTX *ctx = context->ctx;
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verify);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* Records come whole from a fixed buffer: a partial or moved write cannot happen, but must not be an error. */
    SSL_CTX_set_mode(ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_new_session);
    hft_tls_records_prepare(ctx);
    int rc = load_trust(ctx, ca_file, err);
    if (rc < 0) {
        context_release(context);
        return rc;
    }
    context->rehearsal = hft_tls_rehearsal_open(context->bio_method);
    *out = context;
    return 0;
}

void hft_tls_context_close(hft_tls_context *context) {
    if (context != NULL) context_release(context);
}

const char *hft_tls_library(void) { return OpenSSL_version(OPENSSL_VERSION); }

/* ---- connection ---- */

static int is_ip_address(const char *host) {
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

int hft_tls_open(hft_tls *tls, hft_tls_context *context, const char *host, hft_err *err) {
    memset(tls, 0, sizeof *tls);
    size_t len = strlen(host);
    if (len == 0 || len > HFT_TLS_HOST_MAX) return hft_fail(err, HFT_E_ARGUMENT, 0, "TLS host: 1 to 255 characters");
    memcpy(tls->host, host, len + 1);
    tls->context = context;
    context->users++;
    return 0;
}

void hft_tls_detach(hft_tls *tls) {
    SSL_free(tls->ssl);
    tls->ssl = NULL;
    hft_tls_records_free(tls);
}

void hft_tls_close(hft_tls *tls) {
    if (tls->context == NULL) return;
    hft_tls_detach(tls);
    SSL_SESSION_free(tls->session);
    context_release(tls->context);
    memset(tls, 0, sizeof *tls);
}

void hft_tls_attach(hft_tls *tls, SSL *ssl, BIO *bio) {
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, tls);
    SSL_set_connect_state(ssl);
    tls->ssl = ssl;
    hft_tls_records_new(tls);
}

int hft_tls_begin(hft_tls *tls) {
    hft_tls_detach(tls);
    tls->in_len = tls->out_len = tls->out_cap = 0;
    tls->resumed = tls->peer_closed = 0;
    tls->refused_subject[0] = '\0';
    tls->err.code = 0;
    ERR_clear_error();
    SSL *ssl = SSL_new(tls->context->ctx);
    BIO *bio = BIO_new(tls->context->bio_method);
    if (ssl == NULL || bio == NULL) {
        SSL_free(ssl);
        BIO_free(bio);
        return hft_fail(&tls->err, HFT_E_MEMORY, 0, "SSL_new");
    }
    int ok = 1;
    if (is_ip_address(tls->host)) {
        ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), tls->host);
    } else {
        SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        ok = SSL_set1_host(ssl, tls->host) && SSL_set_tlsext_host_name(ssl, tls->host);
    }
    if (ok && tls->session != NULL) ok = SSL_set_session(ssl, tls->session);
    hft_tls_attach(tls, ssl, bio);
    if (ok) return 0;
    hft_tls_detach(tls);
    return hft_fail(&tls->err, HFT_E_TLS_CONFIG, 0, "host name not usable for TLS");
}

void hft_tls_feed(hft_tls *tls, const uint8_t *data, size_t len) {
    tls->in = data;
    tls->in_len = len;
}

void hft_tls_output(hft_tls *tls, uint8_t *out, size_t cap) {
    tls->out = out;
    tls->out_cap = cap;
    tls->out_len = 0;
}

static int verify_code(long verify) {
    switch (verify) {
    case X509_V_ERR_CERT_HAS_EXPIRED: return HFT_E_TLS_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID: return HFT_E_TLS_NOT_YET_VALID;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: return HFT_E_TLS_SELF_SIGNED;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: return HFT_E_TLS_UNKNOWN_CA;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return HFT_E_TLS_HOSTNAME;
    default: return HFT_E_TLS_VERIFY;
    }
}

static int fail_verify(hft_tls *tls, long verify) {
    char text[128];
    const char *subject = tls->refused_subject[0] != '\0' ? tls->refused_subject : "no certificate";
    snprintf(text, sizeof text, "%.40s presented %.44s: %s", tls->host, subject, X509_verify_cert_error_string(verify));
    return hft_fail(&tls->err, verify_code(verify), 0, text);
}

static int fail_ssl(hft_tls *tls, const char *what) {
    long verify = SSL_get_verify_result(tls->ssl);
    unsigned long error = ERR_peek_error();
    int is_verify = ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED;
    char text[128];
    const char *reason = ERR_reason_error_string(error);
    snprintf(text, sizeof text, "%s with %.40s: %s", what, tls->host,
             reason != NULL ? reason : "connection broken off");
    ERR_clear_error();
    if (is_verify && verify != X509_V_OK) return fail_verify(tls, verify);
    return hft_fail(&tls->err, HFT_E_TLS_PROTOCOL, 0, text);
}

int hft_tls_handshake(hft_tls *tls) {
    if (tls->ssl == NULL) return HFT_E_STATE;
    if (tls->err.code != 0) return tls->err.code;
    ERR_clear_error();
    int rc = SSL_do_handshake(tls->ssl);
    if (rc == 1) {
        tls->resumed = SSL_session_reused(tls->ssl) == 1;
        hft_tls_records_take_over(tls);
        return 1;
    }
    switch (SSL_get_error(tls->ssl, rc)) {
    case SSL_ERROR_WANT_READ: return 0;
    case SSL_ERROR_WANT_WRITE: return hft_fail(&tls->err, HFT_E_CONN_SEND_FULL, 0, "TLS handshake");
    default: return fail_ssl(tls, "TLS handshake");
    }
}

int hft_tls_read(hft_tls *tls, uint8_t *data, size_t cap) {
    if (tls->ssl == NULL) return HFT_E_STATE;
    if (tls->err.code != 0) return tls->err.code;
    if (cap == 0) return HFT_E_CAPACITY;
    ERR_clear_error();
    int rc = SSL_read(tls->ssl, data, cap > INT32_MAX ? INT32_MAX : (int)cap);
    int error = rc > 0 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, rc);
    hft_tls_records_answer(tls);
    switch (error) {
    case SSL_ERROR_NONE: return rc;
    case SSL_ERROR_WANT_READ: return 0;
    case SSL_ERROR_WANT_WRITE: return hft_fail(&tls->err, HFT_E_CONN_SEND_FULL, 0, "TLS read");
    case SSL_ERROR_ZERO_RETURN: tls->peer_closed = 1; return HFT_E_CONN_CLOSED;
    default: return fail_ssl(tls, "TLS record");
    }
}

int hft_tls_write(hft_tls *tls, const uint8_t *data, size_t len) {
    if (tls->ssl == NULL) return HFT_E_STATE;
    if (tls->err.code != 0) return tls->err.code;
    if (len == 0 || len > 16384) return HFT_E_ARGUMENT;
    /* Refused before OpenSSL counts the record: a full buffer must leave the session whole. */
    if (tls->out_cap - tls->out_len < len + HFT_TLS_RECORD_OVERHEAD) return HFT_E_CONN_SEND_FULL;
    if (hft_tls_records_active(tls)) return hft_tls_records_write(tls, data, len);
    int rc = SSL_write(tls->ssl, data, (int)len);
    if (rc == (int)len) return 0;
    return fail_ssl(tls, "TLS write");
}

int hft_tls_shutdown(hft_tls *tls) {
    if (tls->ssl == NULL || tls->err.code != 0) return 0;
    ERR_clear_error();
    int rc = SSL_shutdown(tls->ssl);
    ERR_clear_error();
    return rc < 0 ? HFT_E_TLS_PROTOCOL : 0;
}
