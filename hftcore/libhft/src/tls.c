/* Connections: OpenSSL over the buffers of the caller. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "hft/endian.h"
#include "tls_internal.h"

/* ---- the BIO ---- */

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
    if (tls->err.code != 0) return -1; /* what failed takes nothing more */
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

BIO_METHOD *hft_tls_bio_method(void) {
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "hft fixed buffer");
    if (method == NULL) return NULL;
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_ctrl(method, bio_ctrl);
    return method;
}

/* ---- connection ---- */

static int is_ip_address(const char *host) {
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

int hft_tls_open(hft_tls *tls, hft_tls_context *context, const char *host, uint16_t port, hft_err *err) {
    memset(tls, 0, sizeof *tls);
    size_t len = strlen(host);
    if (len == 0 || len > HFT_TLS_HOST_MAX) return hft_fail(err, HFT_E_ARGUMENT, 0, "TLS host: 1 to 255 characters");
    memcpy(tls->host, host, len + 1);
    tls->port = port;
    tls->context = context;
    hft_tls_context_keep(context);
    return 0;
}

void hft_tls_detach(hft_tls *tls) {
    /* OpenSSL would not resume the session of a connection that was cut, though that is when it is wanted most; one
     * that a fatal alert ended is not resumed in any case. */
    if (tls->established) SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(tls->ssl);
    tls->ssl = NULL;
    tls->established = 0;
    hft_tls_records_free(tls);
}

void hft_tls_close(hft_tls *tls) {
    if (tls->context == NULL) return;
    hft_tls_detach(tls);
    hft_tls_context_close(tls->context);
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

static void begin(hft_tls *tls) {
    hft_tls_detach(tls);
    tls->in_len = tls->out_len = tls->out_cap = 0;
    tls->established = tls->resumed = tls->peer_closed = tls->shut = 0;
    tls->certificate_wanted = tls->renegotiation = tls->greeting_len = 0;
    tls->hello_version = 0;
    tls->idle_messages = 0;
    tls->err.code = 0;
    ERR_clear_error();
}

static int set_host(SSL *ssl, const char *host) {
    if (is_ip_address(host)) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return SSL_set1_host(ssl, host) && SSL_set_tlsext_host_name(ssl, host);
}

int hft_tls_begin(hft_tls *tls) {
    begin(tls);
    SSL *ssl = SSL_new(tls->context->ctx);
    BIO *bio = BIO_new(tls->context->bio_method);
    if (ssl == NULL || bio == NULL) {
        SSL_free(ssl);
        BIO_free(bio);
        return hft_fail(&tls->err, HFT_E_MEMORY, 0, "SSL_new");
    }
    int ok = set_host(ssl, tls->host);
    SSL_SESSION *session = hft_tls_session_find(tls->context, tls->host, tls->port);
    if (ok && session != NULL) ok = SSL_set_session(ssl, session);
    SSL_SESSION_free(session);
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

void hft_tls_on_message(hft_tls *tls, const uint8_t *message, size_t len) {
    if (len == 0) return;
    if (message[0] == SSL3_MT_SERVER_HELLO && len >= 6) tls->hello_version = hft_load_be16(message + 4);
    if (message[0] == SSL3_MT_CERTIFICATE_REQUEST) tls->certificate_wanted = 1;
    if (message[0] == SSL3_MT_HELLO_REQUEST) tls->renegotiation = 1;
    if (!tls->established || ++tls->idle_messages <= HFT_TLS_IDLE_MESSAGES_MAX) return;
    hft_tls_records_alert(tls, SSL_AD_UNEXPECTED_MESSAGE);
    char text[sizeof tls->err.text];
    const char *last = message[0] == SSL3_MT_KEY_UPDATE      ? "KeyUpdate"
                       : message[0] == SSL3_MT_HELLO_REQUEST ? "HelloRequest"
                                                             : "session tickets";
    snprintf(text, sizeof text, "%.64s floods us: over %d messages (%s) without data between", tls->host,
             HFT_TLS_IDLE_MESSAGES_MAX, last);
    (void)hft_fail(&tls->err, HFT_E_TLS_PROTOCOL, 0, text);
}

/* The server must choose what was offered (RFC 7301 section 3.1), or may say nothing. Newer OpenSSLs see to it. */
static int check_alpn(hft_tls *tls) {
    size_t len;
    const char *chosen = hft_tls_alpn(tls, &len);
    if (len == 0) return 0;
    const hft_tls_context *context = tls->context;
    for (size_t i = 0; i < context->alpn_len; i += 1 + (size_t)context->alpn[i])
        if (context->alpn[i] == len && memcmp(context->alpn + i + 1, chosen, len) == 0) return 0;
    return hft_tls_fail_alpn(tls);
}

static void note_greeting(hft_tls *tls) {
    while (tls->greeting_len < sizeof tls->greeting && tls->greeting_len < tls->in_len) {
        tls->greeting[tls->greeting_len] = tls->in[tls->greeting_len];
        tls->greeting_len++;
    }
}

/* The saved session goes: it may be what the server cannot bear. */
static int fail_handshake(hft_tls *tls) {
    if (tls->context != NULL) hft_tls_session_forget(tls->context, tls->host, tls->port);
    return hft_tls_fail(tls, "TLS handshake");
}

int hft_tls_handshake(hft_tls *tls) {
    if (tls->ssl == NULL) return HFT_E_STATE;
    if (tls->err.code != 0) return tls->err.code;
    if (tls->greeting_len == 0) note_greeting(tls);
    ERR_clear_error();
    int rc = SSL_do_handshake(tls->ssl);
    if (rc == 1) {
        tls->established = 1;
        tls->resumed = SSL_session_reused(tls->ssl) == 1;
        hft_tls_records_take_over(tls);
        rc = check_alpn(tls);
        return rc < 0 ? rc : 1;
    }
    switch (SSL_get_error(tls->ssl, rc)) {
    case SSL_ERROR_WANT_READ: return 0;
    case SSL_ERROR_WANT_WRITE: return hft_fail(&tls->err, HFT_E_CONN_SEND_FULL, 0, "TLS handshake");
    default: return fail_handshake(tls);
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
    case SSL_ERROR_NONE: tls->idle_messages = 0; return rc;
    case SSL_ERROR_WANT_READ: return 0;
    case SSL_ERROR_WANT_WRITE: return hft_fail(&tls->err, HFT_E_CONN_SEND_FULL, 0, "TLS read");
    case SSL_ERROR_ZERO_RETURN: tls->peer_closed = 1; return HFT_E_CONN_CLOSED;
    default: return hft_tls_fail(tls, "TLS");
    }
}

int hft_tls_write(hft_tls *tls, const uint8_t *data, size_t len) {
    if (!tls->established || tls->shut) return HFT_E_STATE;
    if (tls->err.code != 0) return tls->err.code;
    if (len == 0 || len > 16384) return HFT_E_ARGUMENT;
    /* Refused before OpenSSL counts the record: a full buffer must leave the session whole. */
    if (tls->out_cap - tls->out_len < len + HFT_TLS_RECORD_OVERHEAD) return HFT_E_CONN_SEND_FULL;
    if (hft_tls_records_active(tls)) return hft_tls_records_write(tls, data, len);
    int rc = SSL_write(tls->ssl, data, (int)len);
    if (rc == (int)len) return 0;
    return hft_tls_fail(tls, "TLS");
}

int hft_tls_shutdown(hft_tls *tls) {
    if (!tls->established || tls->shut || tls->err.code != 0) return 0;
    ERR_clear_error();
    int rc = SSL_shutdown(tls->ssl);
    ERR_clear_error();
    tls->shut = 1;
    return rc < 0 ? HFT_E_TLS_PROTOCOL : 0;
}

/* ---- what was agreed on ---- */

const char *hft_tls_version(const hft_tls *tls) { return tls->established ? SSL_get_version(tls->ssl) : ""; }

const char *hft_tls_cipher(const hft_tls *tls) { return tls->established ? SSL_get_cipher_name(tls->ssl) : ""; }

const char *hft_tls_alpn(const hft_tls *tls, size_t *len) {
    const unsigned char *name = NULL;
    unsigned n = 0;
    if (tls->established) SSL_get0_alpn_selected(tls->ssl, &name, &n);
    *len = n;
    return n != 0 ? (const char *)name : "";
}

int hft_tls_peer_certificate(const hft_tls *tls, uint8_t *der, size_t cap) {
    X509 *cert = tls->established ? SSL_get0_peer_certificate(tls->ssl) : NULL;
    int len = cert != NULL ? i2d_X509(cert, NULL) : 0;
    if (len <= 0) return 0;
    if ((size_t)len > cap) return HFT_E_CAPACITY;
    return i2d_X509(cert, &der);
}

int hft_tls_peer_pin(const hft_tls *tls, uint8_t pin[HFT_TLS_PIN_LEN]) {
    X509 *cert = tls->established ? SSL_get0_peer_certificate(tls->ssl) : NULL;
    if (cert != NULL) hft_tls_pin(pin, cert);
    return cert != NULL;
}
