/* What a TLS client makes of any server: noise in place of a handshake, a handshake of OpenSSL's server with bytes
 * changed, and after one that went well any records at all, rightly encrypted. Random numbers are made here, so an
 * input is always the same story.
 *
 * Input: mode, bytes at a time (0 = all), room for output in units of 64 (0 = enough), then
 *   NOISE                what the server sends
 *   EDIT_12, EDIT_13     edits of its first flight: position (2 bytes), kind, value
 *   RECORDS              records: type (255: raw bytes), length, content */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../hftcore/libhft/src/tls_internal.h"
#include "hft/cpu.h"
#include "hft/endian.h"

#define REQUIRE(cond) ((cond) ? (void)0 : abort())
#define ROOM 32768
#define HASH_LEN 32 /* of TLS_AES_128_GCM_SHA256 */
enum { NOISE, EDIT_12, EDIT_13, RECORDS, MODES };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- random numbers ---- */

static uint64_t random_state;

static int random_bytes(unsigned char *out, int len) {
    for (int i = 0; i < len; i++) {
        uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        out[i] = (unsigned char)((z ^ (z >> 27)) >> 20);
    }
    return 1;
}

static int random_status(void) { return 1; }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* OpenSSL has no other way to take numbers of one's own */
static void use_our_random(void) {
    static const RAND_METHOD method = {
        .bytes = random_bytes, .pseudorand = random_bytes, .status = random_status};
    RAND_set_rand_method(&method);
}
#pragma GCC diagnostic pop

/* ---- what all runs share ---- */

static hft_tls_context *context;
static SSL_CTX *server_ctx;
static SSL_SESSION *psk;
static uint8_t server_secret[HASH_LEN]; /* server_application_traffic_secret_0 of the last handshake */

static void on_server_secret(const SSL *ssl, const char *line) {
    static const char label[] = "SERVER_TRAFFIC_SECRET_0 ";
    (void)ssl;
    if (strncmp(line, label, sizeof label - 1) != 0) return;
    const char *hex = strchr(line + sizeof label - 1, ' ') + 1;
    for (size_t i = 0; i < HASH_LEN; i++) {
        unsigned byte;
        REQUIRE(sscanf(hex + 2 * i, "%2x", &byte) == 1);
        server_secret[i] = (uint8_t)byte;
    }
}

static int offer_psk;

static int use_psk(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_len, SSL_SESSION **session) {
    (void)ssl, (void)md;
    *id = (const unsigned char *)"fuzz";
    *id_len = 4;
    *session = offer_psk && SSL_SESSION_up_ref(psk) ? psk : NULL;
    return 1;
}

static int find_psk(SSL *ssl, const unsigned char *id, size_t id_len, SSL_SESSION **session) {
    (void)ssl, (void)id, (void)id_len;
    *session = SSL_SESSION_up_ref(psk) ? psk : NULL;
    return 1;
}

static void make_psk(void) {
    static const unsigned char suite[2] = {0x13, 0x01};
    unsigned char secret[HASH_LEN] = {7};
    SSL *ssl = SSL_new(server_ctx);
    psk = SSL_SESSION_new();
    REQUIRE(SSL_SESSION_set1_master_key(psk, secret, sizeof secret) == 1);
    REQUIRE(SSL_SESSION_set_cipher(psk, SSL_CIPHER_find(ssl, suite)) == 1);
    REQUIRE(SSL_SESSION_set_protocol_version(psk, TLS1_3_VERSION) == 1);
    SSL_SESSION_set_timeout(psk, 1 << 30); /* else no run goes on for longer than five minutes */
    SSL_free(ssl);
}

static X509 *make_certificate(EVP_PKEY *key) {
    X509 *cert = X509_new();
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    ASN1_TIME_set_string(X509_getm_notBefore(cert), "20200101000000Z");
    ASN1_TIME_set_string(X509_getm_notAfter(cert), "99991231235959Z");
    X509_set_pubkey(cert, key);
    X509_NAME *name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
                                                "DNS:localhost,DNS:other.example,IP:192.0.2.1,IP:2001:db8::1");
    X509_add_ext(cert, names, -1);
    X509_EXTENSION_free(names);
    X509_sign(cert, key, EVP_sha256());
    return cert;
}

static void set_up(void) {
    hft_err err = {0};
    use_our_random();
    REQUIRE(hft_init(NULL) == 0);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = make_certificate(key);
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem;
    PEM_write_bio_X509(bio, cert);
    BIO_write(bio, "", 1);
    BIO_get_mem_data(bio, &pem);
    REQUIRE(hft_tls_context_open(&context, &(hft_tls_config){.ca_data = pem, .alpn = "http/1.1"}, &err) == 0);
    server_ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(server_ctx, cert);
    SSL_CTX_use_PrivateKey(server_ctx, key);
    SSL_CTX_set_num_tickets(server_ctx, 0);
    REQUIRE(SSL_CTX_set_ciphersuites(server_ctx, "TLS_AES_128_GCM_SHA256") == 1);
    SSL_CTX_set_keylog_callback(server_ctx, on_server_secret);
    SSL_CTX_set_psk_find_session_callback(server_ctx, find_psk);
    SSL_CTX_set_psk_use_session_callback(context->ctx, use_psk);
    make_psk();
    BIO_free(bio);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* ---- one run ---- */

typedef struct {
    hft_tls client;
    SSL *server;
    BIO *to_server, *to_client;
    uint8_t *out; /* of out_cap bytes, so that a write behind its end is seen */
    size_t out_cap, given; /* given: what the server has got of it */
    size_t step;
} run;

/* Whatever happened: the output is within its bounds, an error stays, and its text is one line of plain characters. */
static void look(run *r, int rc) {
    hft_tls *tls = &r->client;
    uint8_t data[8];
    REQUIRE(tls->out_len <= r->out_cap);
    if (tls->err.code == 0) return;
    REQUIRE(rc == tls->err.code || rc >= 0);
    REQUIRE(memchr(tls->err.text, 0, sizeof tls->err.text) != NULL);
    for (const char *c = tls->err.text; *c != 0; c++) REQUIRE(*c >= ' ' && *c < 0x7f);
    size_t before = tls->out_len;
    REQUIRE(hft_tls_handshake(tls) == tls->err.code && hft_tls_read(tls, data, sizeof data) == tls->err.code);
    REQUIRE(hft_tls_write(tls, (const uint8_t *)"x", 1) < 0);
    REQUIRE(tls->out_len == before);
}

static void output(run *r, size_t cap) {
    free(r->out);
    r->out = malloc(cap);
    r->out_cap = cap;
    r->given = 0;
    hft_tls_output(&r->client, r->out, cap);
}

static void to_server(run *r) {
    size_t n = r->client.out_len - r->given;
    if (n != 0) BIO_write(r->to_server, r->out + r->given, (int)n);
    r->given += n;
}

/* Feeds data to a handshake, step bytes at a time. */
static int shake(run *r, const uint8_t *data, size_t len) {
    int rc = hft_tls_handshake(&r->client);
    size_t step = r->step != 0 ? r->step : len;
    for (size_t pos = 0; pos < len && rc == 0; pos += step) {
        hft_tls_feed(&r->client, data + pos, len - pos < step ? len - pos : step);
        rc = hft_tls_handshake(&r->client);
        look(r, rc);
    }
    return rc;
}

/* The same with a session; what is read must be the next of the `expected` bytes. */
static int receive(run *r, const uint8_t *data, size_t len, const uint8_t *expected, size_t expected_len,
                   size_t *read) {
    uint8_t got[300];
    int rc = 0;
    size_t step = r->step != 0 ? r->step : len;
    for (size_t pos = 0; pos < len && rc >= 0; pos += step) {
        hft_tls_feed(&r->client, data + pos, len - pos < step ? len - pos : step);
        while ((rc = hft_tls_read(&r->client, got, sizeof got)) > 0) {
            REQUIRE((size_t)rc <= expected_len - *read && memcmp(got, expected + *read, (size_t)rc) == 0);
            *read += (size_t)rc;
        }
        if (rc != HFT_E_CONN_CLOSED) look(r, rc);
    }
    return rc;
}

static void open_run(run *r, int max_version, size_t step) {
    hft_err err = {0};
    memset(r, 0, sizeof *r);
    r->step = step;
    r->server = SSL_new(server_ctx);
    SSL_set_max_proto_version(r->server, max_version);
    r->to_server = BIO_new(BIO_s_mem());
    r->to_client = BIO_new(BIO_s_mem());
    SSL_set_bio(r->server, r->to_server, r->to_client);
    SSL_set_accept_state(r->server);
    REQUIRE(hft_tls_open(&r->client, context, "localhost", 443, &err) == 0);
    REQUIRE(hft_tls_begin(&r->client) == 0);
    output(r, ROOM);
    REQUIRE(hft_tls_handshake(&r->client) == 0);
}

static void close_run(run *r) {
    (void)hft_tls_end(&r->client);
    hft_tls_close(&r->client);
    SSL_free(r->server);
    free(r->out);
    ERR_clear_error();
}

static size_t server_flight(run *r, uint8_t *flight, size_t cap) {
    to_server(r);
    (void)SSL_do_handshake(r->server);
    int n = BIO_read(r->to_client, flight, (int)cap);
    return n > 0 ? (size_t)n : 0;
}

/* ---- edits ---- */

static size_t edit(uint8_t *flight, size_t len, const uint8_t *edits, size_t edits_len) {
    for (; edits_len >= 4 && len > 0; edits += 4, edits_len -= 4) {
        size_t pos = hft_load_be16(edits) % len;
        uint8_t value = edits[3];
        size_t n = value < len - pos ? value : len - pos;
        switch (edits[2] % 5) {
        case 0: flight[pos] ^= value; break;
        case 1: flight[pos] = value; break;
        case 2: len = pos; break;
        case 3:
            memmove(flight + pos, flight + pos + n, len - pos - n);
            len -= n;
            break;
        default: /* a part twice */
            if (len + n > ROOM) break;
            memmove(flight + pos + n, flight + pos, len - pos);
            len += n;
        }
    }
    return len;
}

static void edited(int version, size_t step, const uint8_t *edits, size_t len) {
    static uint8_t flight[ROOM];
    static run r;
    open_run(&r, version, step);
    size_t n = edit(flight, server_flight(&r, flight, sizeof flight / 2), edits, len < 64 ? len : 64);
    int rc = shake(&r, flight, n);
    n = server_flight(&r, flight, sizeof flight);
    if (rc == 0) rc = shake(&r, flight, n);
    look(&r, rc);
    if (rc == 1) (void)!hft_tls_write(&r.client, (const uint8_t *)"x", 1);
    if (len == 0) REQUIRE(rc == 1);
    close_run(&r);
}

/* ---- records ---- */

typedef struct { uint8_t secret[HASH_LEN], key[16], iv[12]; uint64_t sequence; } writer;

static void expand(const writer *w, uint8_t *out, size_t len, const char *label) {
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)w->secret, HASH_LEN),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, (void *)(uintptr_t)"tls13 ", 6),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, (void *)(uintptr_t)label, strlen(label)),
        OSSL_PARAM_END};
    REQUIRE(EVP_KDF_derive(ctx, out, len, params) == 1);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

static void take_key(writer *w) {
    expand(w, w->key, sizeof w->key, "key");
    expand(w, w->iv, sizeof w->iv, "iv");
    w->sequence = 0;
}

/* A record as the server would write it (RFC 8446 section 5.2). Returns its length. */
static size_t seal(writer *w, uint8_t *out, uint8_t type, const uint8_t *data, size_t len) {
    uint8_t nonce[12], inner[256 + 1];
    int n;
    memcpy(nonce, w->iv, 12);
    hft_store_be64(nonce + 4, hft_load_be64(w->iv + 4) ^ w->sequence++);
    memcpy(out, "\x17\x03\x03", 3);
    hft_store_be16(out + 3, (uint16_t)(len + 17));
    memcpy(inner, data, len);
    inner[len] = type;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    REQUIRE(EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, w->key, nonce) == 1);
    REQUIRE(EVP_EncryptUpdate(ctx, NULL, &n, out, 5) == 1);
    REQUIRE(EVP_EncryptUpdate(ctx, out + 5, &n, inner, (int)len + 1) == 1);
    REQUIRE(EVP_EncryptFinal_ex(ctx, out + 5 + n, &n) == 1);
    REQUIRE(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, 16, out + 5 + len + 1) == 1);
    EVP_CIPHER_CTX_free(ctx);
    return len + 5 + 17;
}

/* Writes all records; what is application data also goes to expected. */
static size_t write_records(const uint8_t *data, size_t len, uint8_t *out, uint8_t *expected, size_t *expected_len) {
    writer w = {0};
    size_t n = 0;
    memcpy(w.secret, server_secret, HASH_LEN);
    take_key(&w);
    while (len >= 2 && n < ROOM - 600) {
        uint8_t type = data[0];
        size_t part = data[1] < len - 2 ? data[1] : len - 2;
        data += 2;
        len -= 2;
        if (type == 255) {
            memcpy(out + n, data, part);
            n += part;
        } else {
            n += seal(&w, out + n, type, data, part);
        }
        size_t content = part; /* zeros at the end are padding, and the type stands before them (section 5.4) */
        while (type == 0 && content > 0) type = data[--content];
        if (type == SSL3_RT_APPLICATION_DATA) {
            memcpy(expected + *expected_len, data, content);
            *expected_len += content;
        }
        if (type == SSL3_RT_HANDSHAKE && content == 5 && memcmp(data, "\x18\0\0\x01", 4) == 0 && data[4] <= 1) {
            expand(&w, w.secret, HASH_LEN, "traffic upd");
            take_key(&w);
        }
        data += part;
        len -= part;
    }
    return n;
}

/* Whatever the server said, what the client wrote meanwhile is under the right key and number. */
static void check_server_reads(run *r) {
    uint8_t data[64];
    to_server(r);
    ERR_clear_error();
    while (SSL_read(r->server, data, sizeof data) > 0) continue;
    unsigned long error = ERR_peek_error();
    REQUIRE(ERR_GET_LIB(error) != ERR_LIB_SSL || ERR_GET_REASON(error) != SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC);
}

/* Returns how much data the client has read. */
static size_t records(size_t step, size_t room, const uint8_t *data, size_t len) {
    static uint8_t flight[ROOM], sent[ROOM], expected[ROOM];
    static run r;
    size_t expected_len = 0, read = 0;
    offer_psk = 1;
    open_run(&r, 0, 0);
    size_t n = server_flight(&r, flight, sizeof flight);
    REQUIRE(shake(&r, flight, n) == 1 && hft_tls_records_active(&r.client));
    offer_psk = 0;
    (void)server_flight(&r, flight, sizeof flight);
    REQUIRE(SSL_is_init_finished(r.server) && SSL_session_reused(r.server));
    r.step = step;
    output(&r, room != 0 ? room : ROOM);
    n = write_records(data, len, sent, expected, &expected_len);
    int rc = receive(&r, sent, n, expected, expected_len, &read);
    if (rc == 0 && r.client.err.code == 0) (void)!hft_tls_write(&r.client, (const uint8_t *)"more", 4);
    (void)hft_tls_shutdown(&r.client);
    check_server_reads(&r);
    close_run(&r);
    return read;
}

/* What is written here can be read: else the records would only try the first check of each. */
static void check_ourselves(void) {
    static const uint8_t story[] = "\x17\x05hello\x16\x05\x18\0\0\1\1\x17\5again\x16\x05\x18\0\0\1\0\x17\1!";
    REQUIRE(records(0, 0, story, sizeof story - 1) == 11);
    REQUIRE(records(1, 0, story, sizeof story - 1) == 11);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (context == NULL) {
        set_up();
        check_ourselves();
    }
    if (size < 3) return 0;
    random_state = 1;
    size_t step = data[1], room = (size_t)data[2] * 64;
    int mode = data[0] % MODES;
    data += 3;
    size -= 3;
    if (mode == NOISE) {
        static run r;
        open_run(&r, 0, step);
        (void)shake(&r, data, size);
        close_run(&r);
    } else if (mode == RECORDS) {
        (void)records(step, room, data, size);
    } else {
        edited(mode == EDIT_12 ? TLS1_2_VERSION : TLS1_3_VERSION, step, data, size);
    }
    return 0;
}
