/* Contexts: what is trusted and offered, and the sessions kept for resumption. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tls_internal.h"

static const hft_tls_config defaults = {.resume = 1};

/* "WHAT VALUE: WHY"; the queue of OpenSSL's errors is left empty. */
static int fail(hft_err *err, const char *what, const char *value, const char *why) {
    char text[sizeof err->text];
    snprintf(text, sizeof text, "%s%s%.120s: %s", what, *what != '\0' && *value != '\0' ? " " : "", value, why);
    ERR_clear_error();
    return hft_fail(err, HFT_E_TLS_CONFIG, 0, text);
}

/* 0, or an error that names the file: OpenSSL's own do not tell a missing file from a wrong one. */
static int check_file(const char *what, const char *path, hft_err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return fail(err, what, path, strerror(errno));
    close(fd);
    return 0;
}

/* ---- trust ---- */

static int trust_text(SSL_CTX *ctx, const char *pem, hft_err *err) {
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    int n = 0, ok = bio != NULL;
    while (ok) {
        X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (cert == NULL) break;
        ok = X509_STORE_add_cert(store, cert);
        n += ok;
        X509_free(cert);
    }
    /* Its end is the error "no start line"; anything else is a part that could not be read. */
    unsigned long last = ERR_peek_last_error();
    ok = ok && n > 0 && ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
    BIO_free(bio);
    ERR_clear_error();
    return ok ? 0 : fail(err, "", "CA data", n == 0 ? "no PEM certificate in it" : "not all of it is readable PEM");
}

static int load_trust(SSL_CTX *ctx, const hft_tls_config *config, hft_err *err) {
    if (config->ca_file == NULL && config->ca_data == NULL) {
        if (SSL_CTX_set_default_verify_paths(ctx) == 1) return 0;
        return fail(err, "", "", "the system's CA certificates could not be loaded");
    }
    if (config->ca_file != NULL) {
        int rc = check_file("CA file", config->ca_file, err);
        if (rc < 0) return rc;
        if (SSL_CTX_load_verify_file(ctx, config->ca_file) != 1)
            return fail(err, "CA file", config->ca_file, "no PEM certificate in it");
    }
    return config->ca_data != NULL ? trust_text(ctx, config->ca_data, err) : 0;
}

/* ---- the client's certificate ---- */

/* Never asks at the terminal. */
static int give_password(char *out, int cap, int is_writing, void *password) {
    (void)is_writing;
    size_t len = password != NULL ? strlen(password) : 0;
    if (len == 0 || len > (size_t)cap) return -1;
    memcpy(out, password, len);
    return (int)len;
}

static size_t der_len(X509 *cert) {
    int len = cert != NULL ? i2d_X509(cert, NULL) : 0;
    return len > 0 ? (size_t)len : 0;
}

static int check_chain_len(SSL_CTX *ctx, const char *path, hft_err *err) {
    STACK_OF(X509) *chain = NULL;
    SSL_CTX_get0_chain_certs(ctx, &chain);
    size_t len = der_len(SSL_CTX_get0_certificate(ctx));
    for (int i = 0; i < sk_X509_num(chain); i++) len += der_len(sk_X509_value(chain, i));
    if (len <= HFT_TLS_CLIENT_CHAIN_MAX) return 0;
    return fail(err, "client certificate", path, "with its chain longer than 6144 bytes; leave the root out");
}

static int load_certificate(hft_tls_context *context, const hft_tls_config *config, hft_err *err) {
    if (config->cert_file == NULL && config->key_file == NULL) return 0;
    if (config->cert_file == NULL) return fail(err, "key", config->key_file, "without a certificate");
    SSL_CTX *ctx = context->ctx;
    const char *key = config->key_file != NULL ? config->key_file : config->cert_file;
    int rc = check_file("client certificate", config->cert_file, err);
    if (rc == 0) rc = check_file("key", key, err);
    if (rc < 0) return rc;
    if (SSL_CTX_use_certificate_chain_file(ctx, config->cert_file) != 1)
        return fail(err, "client certificate", config->cert_file, "no PEM certificate in it, or too weak a key");
    SSL_CTX_set_default_passwd_cb(ctx, give_password);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, (void *)(uintptr_t)config->key_password);
    int ok = SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    if (!ok) {
        unsigned long error = ERR_peek_error();
        if (ERR_GET_LIB(error) == ERR_LIB_X509)
            return fail(err, "key", key, "does not belong to the client certificate");
        return fail(err, "key", key, config->key_password == NULL ? "no PEM key in it, or it needs a password"
                                                                  : "no PEM key in it, or not its password");
    }
    if (SSL_CTX_check_private_key(ctx) != 1) return fail(err, "key", key, "does not belong to the client certificate");
    context->has_certificate = 1;
    return check_chain_len(ctx, config->cert_file, err);
}

/* ---- what is offered ---- */

static int set_alpn(hft_tls_context *context, const char *list, hft_err *err) {
    if (list == NULL || *list == '\0') return 0;
    if (strlen(list) > HFT_TLS_ALPN_MAX - 1) return fail(err, "ALPN", list, "over 254 characters");
    for (const char *name = list; name != NULL;) {
        const char *comma = strchr(name, ',');
        size_t len = comma != NULL ? (size_t)(comma - name) : strlen(name);
        if (len == 0) return fail(err, "ALPN", list, "a protocol without a name");
        context->alpn[context->alpn_len] = (uint8_t)len;
        memcpy(context->alpn + context->alpn_len + 1, name, len);
        context->alpn_len += len + 1;
        name = comma != NULL ? comma + 1 : NULL;
    }
    if (SSL_CTX_set_alpn_protos(context->ctx, context->alpn, (unsigned)context->alpn_len) == 0) return 0;
    return fail(err, "ALPN", list, "refused by OpenSSL");
}

static int set_protocol(hft_tls_context *context, const hft_tls_config *config, hft_err *err) {
    SSL_CTX *ctx = context->ctx;
    context->min_version = config->min_version != 0 ? config->min_version : TLS1_2_VERSION;
    if (context->min_version != TLS1_2_VERSION && context->min_version != TLS1_3_VERSION)
        return fail(err, "", "minimum version", "TLS 1.2 or TLS 1.3");
    SSL_CTX_set_min_proto_version(ctx, context->min_version);
    SSL_CTX_set_max_proto_version(ctx, 0);
    if (config->ciphers != NULL && SSL_CTX_set_cipher_list(ctx, config->ciphers) != 1)
        return fail(err, "ciphers", config->ciphers, "OpenSSL knows no such TLS 1.2 cipher suite");
    if (config->ciphersuites != NULL && SSL_CTX_set_ciphersuites(ctx, config->ciphersuites) != 1)
        return fail(err, "ciphersuites", config->ciphersuites, "OpenSSL knows no such TLS 1.3 cipher suite");
    return set_alpn(context, config->alpn, err);
}

static int set_pins(hft_tls_context *context, const hft_tls_config *config, hft_err *err) {
    if (config->n_pins > HFT_TLS_PINS_MAX) return fail(err, "", "pins", "at most 16");
    if (config->n_pins != 0) memcpy(context->pins, config->pins, config->n_pins * HFT_TLS_PIN_LEN);
    context->n_pins = config->n_pins;
    return 0;
}

/* ---- key log ---- */

/* Whoever can read the file can read the traffic: it is its owner's alone, or it is not used. */
static int open_keylog(hft_tls_context *context, const char *path, hft_err *err) {
    if (path == NULL) return 0;
    struct stat info;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0 || fstat(fd, &info) != 0) {
        int error = errno;
        if (fd >= 0) close(fd);
        return fail(err, "key log file", path, strerror(error));
    }
    context->keylog_fd = fd;
    if (!S_ISREG(info.st_mode)) return fail(err, "key log file", path, "not a regular file");
    if ((info.st_mode & 077) != 0) return fail(err, "key log file", path, "others may read it: chmod 600");
    return 0;
}

void hft_tls_keylog(const hft_tls_context *context, const char *line) {
    if (context->keylog_fd < 0) return;
    char text[512];
    int len = snprintf(text, sizeof text, "%s\n", line);
    if (len >= 0 && (size_t)len < sizeof text)
        (void)!write(context->keylog_fd, text, (size_t)len); /* whole lines, so that several may append */
    OPENSSL_cleanse(text, sizeof text);
}

/* ---- sessions ---- */

/* The place of a host, or where it would go: a free one, or that of the one used longest ago. Locked by the caller. */
static hft_tls_saved *place_of(const hft_tls_context *context, const char *host, uint16_t port) {
    hft_tls_saved *best = context->sessions;
    for (hft_tls_saved *s = best; s < context->sessions + HFT_TLS_SESSIONS_MAX; s++) {
        if (s->session != NULL && s->port == port && strcmp(s->host, host) == 0) return s;
        if (best->session != NULL && (s->session == NULL || s->used < best->used)) best = s;
    }
    return best;
}

static int holds(const hft_tls_saved *place, const char *host, uint16_t port) {
    return place->session != NULL && place->port == port && strcmp(place->host, host) == 0;
}

SSL_SESSION *hft_tls_session_find(hft_tls_context *context, const char *host, uint16_t port) {
    SSL_SESSION *session = NULL;
    if (context->sessions == NULL || !CRYPTO_THREAD_write_lock(context->lock)) return NULL;
    hft_tls_saved *place = place_of(context, host, port);
    if (holds(place, host, port) && SSL_SESSION_up_ref(place->session)) {
        session = place->session;
        place->used = ++context->uses;
    }
    CRYPTO_THREAD_unlock(context->lock);
    return session;
}

/* Puts session, which may be NULL, in place of what was there; takes the caller's reference. */
static void put_session(hft_tls_context *context, const char *host, uint16_t port, SSL_SESSION *session) {
    SSL_SESSION *old = session;
    if (CRYPTO_THREAD_write_lock(context->lock)) {
        hft_tls_saved *place = place_of(context, host, port);
        old = NULL;
        if (session != NULL || holds(place, host, port)) {
            old = place->session;
            place->session = session;
            memcpy(place->host, host, strlen(host) + 1);
            place->port = port;
            place->used = ++context->uses;
        }
        CRYPTO_THREAD_unlock(context->lock);
    }
    SSL_SESSION_free(old);
}

void hft_tls_session_forget(hft_tls_context *context, const char *host, uint16_t port) {
    if (context->sessions != NULL) put_session(context, host, port, NULL);
}

/* OpenSSL's hook for each ticket: the newest is kept. */
static int on_new_session(SSL *ssl, SSL_SESSION *session) {
    hft_tls *tls = SSL_get_app_data(ssl);
    if (tls == NULL || tls->context->sessions == NULL || tls->err.code != 0) return 0;
    put_session(tls->context, tls->host, tls->port, session);
    return 1; /* the reference is ours now */
}

/* ---- life ---- */

static void set_options(hft_tls_context *context) {
    SSL_CTX *ctx = context->ctx;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, hft_tls_verify, NULL);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* Records come whole from a fixed buffer: a partial or moved write cannot happen, but must not be an error. */
    SSL_CTX_set_mode(ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    if (context->sessions != NULL) SSL_CTX_sess_set_new_cb(ctx, on_new_session);
    hft_tls_records_prepare(ctx);
}

static int open_context(hft_tls_context *context, const hft_tls_config *config, hft_err *err) {
    context->ctx = SSL_CTX_new(TLS_client_method());
    context->bio_method = hft_tls_bio_method();
    context->lock = CRYPTO_THREAD_lock_new();
    if (config->resume) context->sessions = calloc(HFT_TLS_SESSIONS_MAX, sizeof *context->sessions);
    if (context->ctx == NULL || context->bio_method == NULL || context->lock == NULL ||
        (config->resume && context->sessions == NULL))
        return hft_fail(err, HFT_E_MEMORY, 0, "TLS context");
    set_options(context);
    int rc = load_trust(context->ctx, config, err);
    if (rc == 0) rc = load_certificate(context, config, err);
    if (rc == 0) rc = set_protocol(context, config, err);
    if (rc == 0) rc = set_pins(context, config, err);
    if (rc == 0) rc = open_keylog(context, config->keylog_file, err);
    return rc;
}

int hft_tls_context_open(hft_tls_context **out, const hft_tls_config *config, hft_err *err) {
    hft_tls_context *context = calloc(1, sizeof *context);
    if (context == NULL) return hft_fail(err, HFT_E_MEMORY, 0, NULL);
    atomic_init(&context->users, 1);
    atomic_flag_clear(&context->rehearsing);
    context->keylog_fd = -1;
    int rc = open_context(context, config != NULL ? config : &defaults, err);
    if (rc < 0) {
        hft_tls_context_close(context);
        return rc;
    }
    *out = context;
    return 0;
}

void hft_tls_context_keep(hft_tls_context *context) { atomic_fetch_add(&context->users, 1); }

void hft_tls_context_close(hft_tls_context *context) {
    if (context == NULL || atomic_fetch_sub(&context->users, 1) != 1) return;
    hft_tls_rehearsal_close(context->rehearsal);
    for (size_t i = 0; context->sessions != NULL && i < HFT_TLS_SESSIONS_MAX; i++)
        SSL_SESSION_free(context->sessions[i].session);
    free(context->sessions);
    SSL_CTX_free(context->ctx);
    BIO_meth_free(context->bio_method);
    CRYPTO_THREAD_lock_free(context->lock);
    if (context->keylog_fd >= 0) close(context->keylog_fd);
    free(context);
}

const char *hft_tls_library(void) { return OpenSSL_version(OPENSSL_VERSION); }
