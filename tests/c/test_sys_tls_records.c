/* Records written by ourselves, read by OpenSSL's own server: every suite, key updates, alerts, and no allocation. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../hftcore/libhft/src/tls_internal.h"
#include "check.h"
#include "hft/cpu.h"

#define ROOM 65536

static char cert_path[] = "/tmp/hft-test-cert-XXXXXX";
static EVP_PKEY *key;
static X509 *cert;
static size_t n_allocations, failing_allocation; /* the latter by number, from 1 */

static void *count_malloc(size_t n, const char *file, int line) {
    (void)file, (void)line;
    return ++n_allocations != failing_allocation ? malloc(n) : NULL;
}
static void *count_realloc(void *p, size_t n, const char *file, int line) {
    (void)file, (void)line;
    return ++n_allocations != failing_allocation ? realloc(p, n) : NULL;
}
static void count_free(void *p, const char *file, int line) {
    (void)file, (void)line;
    free(p);
}

/* A certificate for localhost that is its own authority. */
static void make_certificate(void) {
    key = EVP_EC_gen("P-256");
    cert = X509_new();
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME *name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost");
    X509_add_ext(cert, names, -1);
    X509_EXTENSION_free(names);
    X509_sign(cert, key, EVP_sha256());
    FILE *file = fdopen(mkstemp(cert_path), "w");
    PEM_write_X509(file, cert);
    fclose(file);
}

typedef struct {
    hft_tls_context *context;
    hft_tls client;
    SSL *server;
    BIO *to_server, *to_client;
    uint8_t out[ROOM], in[ROOM];
    uint8_t last_alert; /* description of the last alert that the server received */
    int key_updates;    /* that the server received */
} pair;

static pair *current;
static size_t fail_take_over; /* the allocation, from 1, that fails behind the client's handshake; 0: none */
static int failed;            /* there were so many */

static void on_client_done(const SSL *ssl, int where, int value) {
    (void)ssl, (void)value;
    if (fail_take_over != 0 && (where & SSL_CB_HANDSHAKE_DONE)) failing_allocation = n_allocations + fail_take_over;
}

static void on_server_alert(const SSL *ssl, int where, int value) {
    (void)ssl;
    if (where == SSL_CB_READ_ALERT) current->last_alert = (uint8_t)value;
}

static void on_server_message(int is_write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg) {
    (void)version, (void)ssl, (void)arg;
    if (!is_write && type == SSL3_RT_HANDSHAKE && len != 0 && *(const uint8_t *)data == SSL3_MT_KEY_UPDATE)
        current->key_updates++;
}

/* The client's output to the server, and the server's to the client. */
static void to_server(pair *p) {
    if (p->client.out_len != 0) BIO_write(p->to_server, p->out, (int)p->client.out_len);
    hft_tls_output(&p->client, p->out, sizeof p->out);
}
static void to_client(pair *p) {
    int n = BIO_read(p->to_client, p->in, sizeof p->in);
    hft_tls_feed(&p->client, p->in, n > 0 ? (size_t)n : 0);
}

static void open_pair(pair *p, int version, const char *suite) {
    hft_err err = {0};
    memset(p, 0, sizeof *p);
    current = p;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(ctx, cert);
    SSL_CTX_use_PrivateKey(ctx, key);
    SSL_CTX_set_max_proto_version(ctx, version);
    if (suite != NULL) CHECK(SSL_CTX_set_ciphersuites(ctx, suite) == 1);
    p->server = SSL_new(ctx);
    SSL_CTX_free(ctx);
    p->to_server = BIO_new(BIO_s_mem());
    p->to_client = BIO_new(BIO_s_mem());
    SSL_set_bio(p->server, p->to_server, p->to_client);
    SSL_set_accept_state(p->server);
    SSL_set_info_callback(p->server, on_server_alert);
    SSL_set_msg_callback(p->server, on_server_message);
    CHECK_EQ(hft_tls_context_open(&p->context, &(hft_tls_config){.ca_file = cert_path, .resume = 1}, &err), 0);
    CHECK_EQ(hft_tls_open(&p->client, p->context, "localhost", 0, &err), 0);
    CHECK_EQ(hft_tls_begin(&p->client), 0);
    SSL_set_info_callback(p->client.ssl, on_client_done);
    hft_tls_output(&p->client, p->out, sizeof p->out);
    int rc = 0;
    for (int i = 0; i < 8 && rc == 0; i++) {
        rc = hft_tls_handshake(&p->client);
        failed = failing_allocation != 0 && n_allocations >= failing_allocation;
        failing_allocation = 0;
        to_server(p);
        SSL_do_handshake(p->server);
        to_client(p);
    }
    CHECK_EQ(rc, 1);
    CHECK_EQ(SSL_is_init_finished(p->server), 1);
    uint8_t none[16];
    CHECK_EQ(hft_tls_read(&p->client, none, sizeof none), 0); /* session tickets */
    CHECK_EQ(p->client.in_len, 0);
    to_server(p);
}

static void close_pair(pair *p) {
    SSL_free(p->server);
    hft_tls_close(&p->client);
    hft_tls_context_close(p->context);
    CHECK(p->client.records == NULL);
}

/* Sends len bytes to the server and compares what it reads. */
static void send_and_compare(pair *p, size_t len) {
    static uint8_t data[16384], got[16384 + 1];
    for (size_t i = 0; i < len; i++) data[i] = (uint8_t)(i * 7 + len);
    CHECK_EQ(hft_tls_write(&p->client, data, len), 0);
    CHECK(p->client.out_len > len && p->client.out_len <= len + HFT_TLS_RECORD_OVERHEAD);
    to_server(p);
    CHECK_EQ(SSL_read(p->server, got, sizeof got), (int)len);
    CHECK_MEM(got, data, len);
}

/* Lets the client read what the server says; returns what hft_tls_read does. */
static int client_reads(pair *p, uint8_t *data, size_t cap) {
    to_client(p);
    int rc = hft_tls_read(&p->client, data, cap);
    to_server(p);
    return rc;
}

static void test_suite(int version, const char *suite, int ours) {
    static pair p;
    uint8_t data[64];
    open_pair(&p, version, suite);
    if (suite != NULL) CHECK(strcmp(SSL_get_cipher(p.server), suite) == 0);
    CHECK_EQ(hft_tls_records_active(&p.client), ours);
    for (size_t len = 1; len <= 700; len++) send_and_compare(&p, len); /* past one byte of the sequence number */
    send_and_compare(&p, 16384);
    CHECK_EQ(SSL_write(p.server, "hello", 5), 5);
    CHECK_EQ(client_reads(&p, data, sizeof data), 5);
    CHECK_EQ(hft_tls_shutdown(&p.client), 0);
    to_server(&p);
    ERR_clear_error();
    CHECK_EQ(SSL_read(p.server, data, sizeof data), 0);
    CHECK_EQ(SSL_get_error(p.server, 0), SSL_ERROR_ZERO_RETURN);
    close_pair(&p);
}

static void test_no_allocation(void) {
    static pair p;
    open_pair(&p, TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256");
    uint8_t order[489] = {1};
    send_and_compare(&p, sizeof order);
    size_t before = n_allocations;
    CHECK(before != 0);
    for (int i = 0; i < 100; i++) CHECK_EQ(hft_tls_write(&p.client, order, sizeof order), 0);
    CHECK_EQ(n_allocations, before);
    close_pair(&p);
}

/* The server changes its key, and asks the client to do so too. */
static void test_key_updates(const char *suite) {
    static pair p;
    uint8_t data[64];
    open_pair(&p, TLS1_3_VERSION, suite);
    for (int i = 0; i < 5; i++) {
        send_and_compare(&p, 100);
        CHECK_EQ(SSL_key_update(p.server, i == 3 ? SSL_KEY_UPDATE_NOT_REQUESTED : SSL_KEY_UPDATE_REQUESTED), 1);
        CHECK_EQ(SSL_write(p.server, "new key", 7), 7);
        CHECK_EQ(client_reads(&p, data, sizeof data), 7);
        CHECK_EQ(p.client.err.code, 0);
        send_and_compare(&p, 200);
        CHECK_EQ(p.key_updates, i < 3 ? i + 1 : i); /* the answer came before the data, as it must */
        CHECK_EQ(SSL_write(p.server, "again", 5), 5);
        CHECK_EQ(client_reads(&p, data, sizeof data), 5);
    }
    close_pair(&p);
}

/* A key that has written enough is changed by ourselves; the answer to a KeyUpdate may find no room. */
static void test_key_used_up(void) {
    static pair p;
    uint8_t data[64];
    open_pair(&p, TLS1_3_VERSION, NULL);
    hft_tls_records_limit(&p.client, 3);
    for (int i = 0; i < 10; i++) {
        static uint8_t message[50], got[64];
        CHECK_EQ(hft_tls_write(&p.client, message, sizeof message), 0);
        to_server(&p);
        CHECK_EQ(SSL_read(p.server, got, sizeof got), (int)sizeof message);
    }
    CHECK_EQ(p.key_updates, 3);
    CHECK_EQ(SSL_key_update(p.server, SSL_KEY_UPDATE_REQUESTED), 1);
    CHECK_EQ(SSL_write(p.server, "x", 1), 1);
    to_client(&p);
    hft_tls_output(&p.client, p.out, 10);
    (void)!hft_tls_read(&p.client, data, sizeof data);
    CHECK_EQ(hft_tls_read(&p.client, data, sizeof data), HFT_E_CONN_SEND_FULL);
    CHECK_EQ(hft_tls_write(&p.client, data, 1), HFT_E_CONN_SEND_FULL);
    close_pair(&p);
}

static void test_room(void) {
    static pair p;
    uint8_t data[100] = {0};
    open_pair(&p, TLS1_3_VERSION, NULL);
    hft_tls_output(&p.client, p.out, sizeof data + HFT_TLS_RECORD_OVERHEAD - 1);
    CHECK_EQ(hft_tls_write(&p.client, data, sizeof data), HFT_E_CONN_SEND_FULL);
    CHECK_EQ(p.client.out_len, 0);
    hft_tls_output(&p.client, p.out, sizeof p.out);
    send_and_compare(&p, 100); /* nothing was counted */
    close_pair(&p);
}

static void test_alert(void) {
    static pair p;
    uint8_t data[64];
    open_pair(&p, TLS1_3_VERSION, NULL);
    send_and_compare(&p, 10);
    CHECK_EQ(SSL_write(p.server, "hello", 5), 5);
    int n = BIO_read(p.to_client, p.in, sizeof p.in);
    p.in[n - 1] ^= 1;
    hft_tls_feed(&p.client, p.in, (size_t)n);
    int rc = 0;
    while ((rc = hft_tls_read(&p.client, data, sizeof data)) > 0) continue;
    CHECK_EQ(rc, HFT_E_TLS_PROTOCOL);
    to_server(&p);
    CHECK(SSL_read(p.server, data, sizeof data) <= 0);
    CHECK_EQ(p.last_alert, SSL_AD_BAD_RECORD_MAC);
    close_pair(&p);
}

/* Asked again, a finished handshake changes nothing: counting from 0 again would use nonces twice. */
static void test_handshake_again(void) {
    static pair p;
    open_pair(&p, TLS1_3_VERSION, NULL);
    send_and_compare(&p, 10);
    CHECK_EQ(hft_tls_handshake(&p.client), 1);
    send_and_compare(&p, 10);
    close_pair(&p);
}

/* A session that could not be taken over stays OpenSSL's: it has used the first nonces. */
static void test_no_memory_to_take_over(void) {
    static pair p;
    int not_taken = 0;
    failed = 1;
    for (fail_take_over = 1; failed; fail_take_over++) {
        open_pair(&p, TLS1_3_VERSION, NULL);
        int taken = hft_tls_records_active(&p.client);
        not_taken += !taken;
        send_and_compare(&p, 10);
        CHECK_EQ(hft_tls_handshake(&p.client), 1);
        CHECK_EQ(hft_tls_records_active(&p.client), taken);
        send_and_compare(&p, 10);
        close_pair(&p);
    }
    CHECK(not_taken != 0);
    fail_take_over = 0;
}

/* Whichever allocation fails while a new key is made, though more is to be said at once: what leaves is what the server
 * can read, so it is under the right key and a nonce of its own. */
static void test_no_memory_for_key(void) {
    static pair p;
    uint8_t data[64];
    int done = 0;
    for (size_t n = 1; !done && n < 1000; n++) {
        open_pair(&p, TLS1_3_VERSION, NULL);
        send_and_compare(&p, 10);
        CHECK_EQ(SSL_key_update(p.server, SSL_KEY_UPDATE_REQUESTED), 1);
        CHECK_EQ(SSL_do_handshake(p.server), 1);
        CHECK(SSL_new_session_ticket(p.server) == 1 && SSL_do_handshake(p.server) == 1); /* makes it answer meanwhile */
        CHECK_EQ(SSL_write(p.server, "hello", 5), 5);
        int len = BIO_read(p.to_client, p.in, sizeof p.in);
        p.in[len - 1] ^= 1; /* makes it send an alert */
        hft_tls_feed(&p.client, p.in, (size_t)len);
        failing_allocation = n_allocations + n;
        while (hft_tls_read(&p.client, data, sizeof data) > 0) continue;
        done = n_allocations < failing_allocation;
        failing_allocation = 0;
        CHECK(p.client.err.code != 0);
        to_server(&p);
        ERR_clear_error();
        CHECK(SSL_read(p.server, data, sizeof data) <= 0);
        CHECK(ERR_GET_REASON(ERR_peek_error()) != SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC);
        if (done) CHECK(p.key_updates == 1 && p.last_alert == SSL_AD_BAD_RECORD_MAC);
        close_pair(&p);
    }
    CHECK(done);
}

/* With each AES-GCM of our own that the machine has, and with OpenSSL's. */
static void test_level(const char *level) {
    int rc = hft_init(level);
    if (rc == HFT_E_CPU_LEVEL) return;
    CHECK_EQ(rc, 0);
    test_suite(TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", 1);
    test_suite(TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", 1);
    test_suite(TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", 1);
    test_suite(TLS1_2_VERSION, NULL, 0);
    test_no_allocation();
    test_key_updates("TLS_AES_128_GCM_SHA256");
    test_key_updates("TLS_AES_256_GCM_SHA384");
    test_key_updates("TLS_CHACHA20_POLY1305_SHA256");
    test_key_used_up();
    test_room();
    test_alert();
    test_handshake_again();
    test_no_memory_to_take_over();
    test_no_memory_for_key();
}

int main(void) {
    CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free);
    make_certificate();
    test_level(NULL);
    test_level("shani");
    test_level("portable");
    unlink(cert_path);
    X509_free(cert);
    EVP_PKEY_free(key);
    return check_done();
}
