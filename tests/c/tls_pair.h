/* Certificates made here, and a client of ours with a server of OpenSSL's, both in memory; for test_sys_tls*.c. */
#ifndef TLS_PAIR_H
#define TLS_PAIR_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../hftcore/libhft/src/tls_internal.h"
#include "check.h"
#include "hft/cpu.h"

#define ROOM 65536
#define DAY 86400L

/* ---- certificates ---- */

typedef struct { X509 *cert; EVP_PKEY *key; } identity;

static char directory[] = "/tmp/hft-test-tls-XXXXXX";
static identity root, middle, good, stranger, client_id;

static inline void add_extension(X509 *cert, int nid, const char *value) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
}

/* from and until are seconds from now; hosts: as subjectAltName has them, NULL: an authority. */
static inline identity issue(const char *name, const char *hosts, const identity *issuer, long from, long until) {
    static long serial;
    identity id = {X509_new(), EVP_EC_gen("P-256")};
    X509_set_version(id.cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(id.cert), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(id.cert), from);
    X509_gmtime_adj(X509_getm_notAfter(id.cert), until);
    X509_set_pubkey(id.cert, id.key);
    if (*name != '\0')
        X509_NAME_add_entry_by_txt(X509_get_subject_name(id.cert), "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
                                   -1, 0);
    X509_set_issuer_name(id.cert, X509_get_subject_name(issuer != NULL ? issuer->cert : id.cert));
    if (hosts == NULL) add_extension(id.cert, NID_basic_constraints, "critical,CA:TRUE");
    else if (*hosts != '\0') add_extension(id.cert, NID_subject_alt_name, hosts);
    X509_sign(id.cert, issuer != NULL ? issuer->key : id.key, EVP_sha256());
    return id;
}

static inline void free_identity(identity *id) {
    X509_free(id->cert);
    EVP_PKEY_free(id->key);
}

static inline const char *path_of(const char *name) {
    static char path[8][128];
    static int next;
    char *out = path[next++ % 8];
    snprintf(out, sizeof path[0], "%s/%s", directory, name);
    return out;
}

static inline void write_certificate(const char *name, X509 *cert) {
    FILE *file = fopen(path_of(name), "a");
    PEM_write_X509(file, cert);
    fclose(file);
}

static inline void write_key(const char *name, EVP_PKEY *key, const char *password) {
    FILE *file = fopen(path_of(name), "a");
    PEM_write_PKCS8PrivateKey(file, key, password != NULL ? EVP_aes_128_cbc() : NULL, password,
                              password != NULL ? (int)strlen(password) : 0, NULL, NULL);
    fclose(file);
}

static inline void make_identities(void) {
    CHECK(mkdtemp(directory) != NULL);
    root = issue("Test Root", NULL, NULL, -DAY, DAY);
    middle = issue("Test Middle", NULL, &root, -DAY, DAY);
    good = issue("localhost", "DNS:localhost", &middle, -DAY, DAY);
    stranger = issue("Another Root", NULL, NULL, -DAY, DAY);
    client_id = issue("the client", "DNS:client.example", &middle, -DAY, DAY);
    write_certificate("root.pem", root.cert);
    write_certificate("stranger.pem", stranger.cert);
    write_certificate("client.pem", client_id.cert);
    write_certificate("client.pem", middle.cert);
    write_key("client.key", client_id.key, NULL);
    write_key("locked.key", client_id.key, "open sesame");
    write_key("other.key", good.key, NULL);
    write_certificate("long.pem", client_id.cert);
    for (int i = 0; i < 20; i++) write_certificate("long.pem", middle.cert);
    EVP_PKEY *kind = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    write_key("kind.key", kind, NULL);
    EVP_PKEY_free(kind);
}

static inline void free_identities(void) {
    identity *all[] = {&root, &middle, &good, &stranger, &client_id};
    const char *names[] = {"root.pem",  "stranger.pem", "client.pem", "client.key", "locked.key",
                           "other.key", "kind.key",     "long.pem",   "keylog"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free_identity(all[i]);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(path_of(names[i]));
    rmdir(directory);
}

/* ---- a client and a server ---- */

typedef struct {
    const identity *id, *middle; /* middle: sent along, or NULL */
    int max_version;             /* 0: any */
    const char *alpn;            /* what it chooses, whatever was offered */
    int wants_certificate;
    size_t step;                 /* bytes the client is fed at a time, 0: all */
} server_options;

typedef struct {
    hft_tls client;
    SSL_CTX *ctx;
    SSL *server;
    BIO *to_server, *to_client;
    uint8_t out[ROOM], in[ROOM];
    size_t in_len, step;
    int last_alert; /* that the server received */
    int rc;         /* the client's last one */
} pair;

static pair *current;

static inline void on_server_alert(const SSL *ssl, int where, int value) {
    (void)ssl;
    if (where == SSL_CB_READ_ALERT) current->last_alert = value & 0xff;
}

static inline int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *offered,
                       unsigned n, void *arg) {
    (void)ssl, (void)offered, (void)n;
    const char *name = arg;
    *out = (const unsigned char *)name;
    *out_len = (unsigned char)strlen(name);
    return *name != '\0' ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static inline void to_server(pair *p) {
    if (p->client.out_len != 0) BIO_write(p->to_server, p->out, (int)p->client.out_len);
    hft_tls_output(&p->client, p->out, sizeof p->out);
}

static inline void take_from_server(pair *p) {
    int n = BIO_read(p->to_client, p->in, sizeof p->in);
    p->in_len = n > 0 ? (size_t)n : 0;
}

/* The server's flight, in pieces of `step`. */
static inline void handshake_with(pair *p) {
    take_from_server(p);
    size_t step = p->step != 0 ? p->step : p->in_len;
    for (size_t pos = 0; p->rc == 0 && pos < p->in_len; pos += step) {
        size_t n = p->in_len - pos < step ? p->in_len - pos : step;
        hft_tls_feed(&p->client, p->in + pos, n);
        p->rc = hft_tls_handshake(&p->client);
        size_t kept = p->client.in_len;
        CHECK(p->rc != 0 || kept == 0); /* a view is read to its end */
    }
}

static inline void begin(pair *p, hft_tls_context *context, const char *host, const server_options *options) {
    hft_err err = {0};
    memset(p, 0, sizeof *p);
    current = p;
    p->step = options->step;
    p->ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_security_level(p->ctx, 0);
    if (options->max_version != 0 && options->max_version < TLS1_2_VERSION)
        SSL_CTX_set_min_proto_version(p->ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(p->ctx, options->max_version);
    SSL_CTX_use_certificate(p->ctx, options->id->cert);
    SSL_CTX_use_PrivateKey(p->ctx, options->id->key);
    if (options->middle != NULL) SSL_CTX_add1_chain_cert(p->ctx, options->middle->cert);
    SSL_CTX_set_session_id_context(p->ctx, (const unsigned char *)"test", 4);
    if (options->alpn != NULL) SSL_CTX_set_alpn_select_cb(p->ctx, choose_alpn, (void *)(uintptr_t)options->alpn);
    if (options->wants_certificate) {
        SSL_CTX_set_verify(p->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        CHECK_EQ(SSL_CTX_load_verify_file(p->ctx, path_of("root.pem")), 1);
    }
    CHECK_EQ(hft_tls_open(&p->client, context, host, 443, &err), 0);
}

/* A server, and a client's handshake with it. Tickets are kept from one connection to the next. */
static inline int shake(pair *p) {
    static const unsigned char ticket_keys[80] = {1};
    SSL_CTX_set_tlsext_ticket_keys(p->ctx, (void *)(uintptr_t)ticket_keys, sizeof ticket_keys);
    SSL_free(p->server);
    p->server = SSL_new(p->ctx);
    p->to_server = BIO_new(BIO_s_mem());
    p->to_client = BIO_new(BIO_s_mem());
    SSL_set_bio(p->server, p->to_server, p->to_client);
    SSL_set_accept_state(p->server);
    SSL_set_info_callback(p->server, on_server_alert);
    CHECK_EQ(hft_tls_begin(&p->client), 0);
    hft_tls_output(&p->client, p->out, sizeof p->out);
    p->rc = hft_tls_handshake(&p->client);
    for (int i = 0; i < 8 && p->rc == 0; i++) {
        to_server(p);
        (void)SSL_do_handshake(p->server);
        handshake_with(p);
    }
    to_server(p);
    (void)SSL_do_handshake(p->server);
    ERR_clear_error();
    return p->rc;
}

/* What the server says meanwhile goes to the client; returns what hft_tls_read does at last. */
static inline int client_reads(pair *p) {
    uint8_t data[256];
    int rc = 0, got = 0;
    take_from_server(p);
    hft_tls_feed(&p->client, p->in, p->in_len);
    while ((rc = hft_tls_read(&p->client, data, sizeof data)) > 0) got = rc;
    to_server(p);
    return rc < 0 ? rc : got;
}

static inline void end(pair *p) {
    SSL_free(p->server);
    SSL_CTX_free(p->ctx);
    hft_tls_close(&p->client);
    ERR_clear_error();
}

static inline hft_tls_context *open_context(const hft_tls_config *config) {
    hft_tls_context *context = NULL;
    hft_err err = {0};
    CHECK_EQ(hft_tls_context_open(&context, config, &err), 0);
    if (err.code != 0) fprintf(stderr, "%s\n", err.text);
    return context;
}

static inline void expect_text(const pair *p, const char *text) {
    if (strstr(p->client.err.text, text) != NULL) return;
    check_report(__FILE__, __LINE__, "text of an error");
    fprintf(stderr, ": \"%s\" lacks \"%s\"\n", p->client.err.text, text);
}

/* One handshake that must fail. alert: what the server is told, 0 = not looked at. */
static inline void refuse(const hft_tls_config *config, const char *host, const server_options *options, int code,
                          int alert, const char *text) {
    static pair p;
    hft_tls_context *context = open_context(config);
    begin(&p, context, host, options);
    CHECK_EQ(shake(&p), code);
    CHECK_EQ(p.client.err.code, code);
    expect_text(&p, text);
    expect_text(&p, host);
    CHECK_EQ(hft_tls_handshake(&p.client), code); /* a failed one stays failed */
    CHECK_EQ(hft_tls_write(&p.client, (const uint8_t *)"x", 1), HFT_E_STATE);
    if (alert != 0) CHECK_EQ(p.last_alert, alert);
    end(&p);
    hft_tls_context_close(context);
}

#endif
