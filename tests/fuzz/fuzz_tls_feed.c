/* What a TLS client makes of any server: noise in place of a handshake, a handshake of OpenSSL's server with bytes
 * changed, and after one that went well any records at all, rightly encrypted.
 *
 * Random numbers are made here, so an input is always the same story, and each begins with the same ClientHello. What
 * the server says to it is therefore recorded once, and a server only made where a client says something else, and for
 * one input of many, to see that the recording is what it says.
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
#include <stdlib.h>
#include <string.h>

#include "../../hftcore/libhft/src/tls_internal.h"
#include "hft/cpu.h"
#include "hft/endian.h"
#include "hft/text.h"
#include "openssl_pool.h"

#define REQUIRE(cond) ((cond) ? (void)0 : abort())
#define ROOM 32768
#define HASH_LEN 32 /* of TLS_AES_128_GCM_SHA256 */
#define REAL_ONE_OF 1024 /* so few inputs have a server from the start */
enum { NOISE, EDIT_12, EDIT_13, RECORDS, MODES };
enum { CLIENT, SERVER, SIDES };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- random numbers, and time ---- */

static uint64_t random_state[SIDES]; /* a stream each: the client's is the same with and without a server */
static int side;

static int random_bytes(unsigned char *out, int len) {
    for (int i = 0; i < len; i++) {
        uint64_t z = random_state[side] += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        out[i] = (unsigned char)((z ^ (z >> 27)) >> 20);
    }
    return 1;
}

static int random_status(void) { return 1; }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* for what newer OpenSSLs, or all, have no other way */
static void use_our_random(void) {
    static const RAND_METHOD method = {
        .bytes = random_bytes, .pseudorand = random_bytes, .status = random_status};
    RAND_set_rand_method(&method);
}

/* A ticket of TLS 1.2 holds the time, which would not be the same each time. */
static int stop_clock(SSL *ssl, void *arg) {
    (void)arg;
    return SSL_SESSION_set_time(SSL_get_session(ssl), 1) == 1;
}
#pragma GCC diagnostic pop

/* ---- what all runs share ---- */

static hft_tls_context *context;
static SSL_CTX *server_ctx;
static SSL_SESSION *psk;
static uint8_t secrets[SIDES][HASH_LEN]; /* SIDE_application_traffic_secret_0 of the server's last handshake */

static void on_secret(const SSL *ssl, const char *line) {
    static const char *const labels[SIDES] = {"CLIENT_TRAFFIC_SECRET_0 ", "SERVER_TRAFFIC_SECRET_0 "};
    (void)ssl;
    for (int i = 0; i < SIDES; i++) {
        if (strncmp(line, labels[i], strlen(labels[i])) != 0) continue;
        const char *hex = strchr(line + strlen(labels[i]), ' ') + 1;
        REQUIRE(hft_hex_decode(secrets[i], hex, strlen(hex)) == HASH_LEN);
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
    pool_use();
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
    SSL_CTX_set_keylog_callback(server_ctx, on_secret);
    REQUIRE(SSL_CTX_set_session_ticket_cb(server_ctx, stop_clock, NULL, NULL) == 1);
    SSL_CTX_set_psk_find_session_callback(server_ctx, find_psk);
    SSL_CTX_set_psk_use_session_callback(context->ctx, use_psk);
    make_psk();
    BIO_free(bio);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* ---- one run ---- */

/* What a client and a server say to each other: recorded of their handshake when nobody interferes. */
typedef struct { uint8_t asked[2][4096], answer[2][4096]; size_t asked_len[2], answer_len[2]; } story;

static story stories[MODES];

typedef struct {
    hft_tls client;
    int mode;
    SSL *server; /* NULL: as long as the client says what is in the story */
    BIO *to_server, *to_client;
    uint8_t *out; /* of out_cap bytes, so that a write behind its end is seen */
    size_t out_cap, given; /* given: what the server has got of it */
    size_t step, turn, wrote; /* wrote: how often it was told to write and could */
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
    static uint8_t *enough; /* made once: under ASan a new one takes longer than a TLS record */
    if (enough == NULL) enough = malloc(ROOM);
    if (r->out != enough) free(r->out);
    r->out = cap == ROOM ? enough : malloc(cap);
    r->out_cap = cap;
    r->given = 0;
    hft_tls_output(&r->client, r->out, cap);
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

static void write_more(run *r) {
    if (hft_tls_write(&r->client, (const uint8_t *)"more", 4) == 0) r->wrote++;
}

/* As shake, with a session; what is read must be the next of the `expected` bytes, and is answered. */
static int receive(run *r, const uint8_t *data, size_t len, const uint8_t *expected, size_t expected_len,
                   size_t *read) {
    uint8_t got[300];
    int rc = 0;
    size_t step = r->step != 0 ? r->step : len;
    for (size_t pos = 0; pos < len && rc >= 0; pos += step) {
        hft_tls_feed(&r->client, data + pos, len - pos < step ? len - pos : step);
        size_t before = *read;
        while ((rc = hft_tls_read(&r->client, got, sizeof got)) > 0) {
            REQUIRE((size_t)rc <= expected_len - *read && memcmp(got, expected + *read, (size_t)rc) == 0);
            *read += (size_t)rc;
        }
        if (rc != HFT_E_CONN_CLOSED) look(r, rc);
        if (rc == 0 && *read != before) write_more(r);
    }
    return rc;
}

static void open_run(run *r, int mode, size_t step) {
    hft_err err = {0};
    memset(r, 0, sizeof *r);
    r->mode = mode;
    r->step = step;
    random_state[CLIENT] = 1;
    offer_psk = mode == RECORDS;
    REQUIRE(hft_tls_open(&r->client, context, "localhost", 443, &err) == 0);
    REQUIRE(hft_tls_begin(&r->client) == 0);
    output(r, ROOM);
    REQUIRE(hft_tls_handshake(&r->client) == 0);
}

static void close_run(run *r) {
    (void)hft_tls_end(&r->client);
    hft_tls_close(&r->client);
    SSL_free(r->server);
    output(r, ROOM);
    ERR_clear_error();
}

/* ---- the server and its recording ---- */

static void open_server(run *r) {
    static const int max_version[MODES] = {[EDIT_12] = TLS1_2_VERSION, [EDIT_13] = TLS1_3_VERSION};
    random_state[SERVER] = 2;
    side = SERVER;
    r->server = SSL_new(server_ctx);
    SSL_set_max_proto_version(r->server, max_version[r->mode]);
    r->to_server = BIO_new(BIO_s_mem());
    r->to_client = BIO_new(BIO_s_mem());
    SSL_set_bio(r->server, r->to_server, r->to_client);
    SSL_set_accept_state(r->server);
    side = CLIENT;
}

static size_t serve(run *r, const uint8_t *asked, size_t len, uint8_t *answer, size_t cap) {
    if (len != 0) BIO_write(r->to_server, asked, (int)len);
    side = SERVER;
    (void)SSL_do_handshake(r->server);
    side = CLIENT;
    int n = BIO_read(r->to_client, answer, (int)cap);
    return n > 0 ? (size_t)n : 0;
}

/* What the client has said since it was last asked. */
static const uint8_t *asked(run *r, size_t *len) {
    const uint8_t *start = r->out + r->given;
    *len = r->client.out_len - r->given;
    r->given = r->client.out_len;
    return start;
}

static int is_told(const story *s, size_t turn, const uint8_t *said, size_t len) {
    return len == s->asked_len[turn] && memcmp(said, s->asked[turn], len) == 0;
}

/* A server that has heard and said what was recorded up to here. */
static void catch_up(run *r) {
    static uint8_t answer[ROOM];
    const story *s = &stories[r->mode];
    open_server(r);
    for (size_t i = 0; i < r->turn; i++) {
        size_t n = serve(r, s->asked[i], s->asked_len[i], answer, sizeof answer);
        REQUIRE(n == s->answer_len[i] && memcmp(answer, s->answer[i], n) == 0);
    }
}

/* The answer to what the client has said, of the recording if that is what it then said. Twice in a run. */
static size_t answer_of(run *r, uint8_t *answer, size_t cap) {
    const story *s = &stories[r->mode];
    size_t turn = r->turn, len, n;
    const uint8_t *said = asked(r, &len);
    int told = is_told(s, turn, said, len);
    REQUIRE(told || turn > 0); /* the ClientHello is always the same */
    if (r->server == NULL && told) {
        memcpy(answer, s->answer[turn], n = s->answer_len[turn]);
    } else if (r->server == NULL && len == 0) {
        n = 0;
    } else {
        if (r->server == NULL) catch_up(r);
        n = serve(r, said, len, answer, cap);
        if (told) REQUIRE(n == s->answer_len[turn] && memcmp(answer, s->answer[turn], n) == 0);
    }
    r->turn++;
    return n;
}

static void record_story(int mode) {
    static run r;
    story *s = &stories[mode];
    int rc = 0;
    open_run(&r, mode, 0);
    open_server(&r);
    for (size_t i = 0; i < 2; i++) {
        const uint8_t *said = asked(&r, &s->asked_len[i]);
        REQUIRE(s->asked_len[i] != 0 && s->asked_len[i] <= sizeof s->asked[i]);
        memcpy(s->asked[i], said, s->asked_len[i]);
        s->answer_len[i] = serve(&r, said, s->asked_len[i], s->answer[i], sizeof s->answer[i]);
        if (rc == 0) rc = shake(&r, s->answer[i], s->answer_len[i]);
    }
    REQUIRE(rc == 1 && SSL_is_init_finished(r.server));
    REQUIRE(hft_tls_records_active(&r.client) == (mode != EDIT_12));
    REQUIRE(SSL_session_reused(r.server) == (mode == RECORDS));
    close_run(&r);
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

static void edited(int mode, int real, size_t step, const uint8_t *edits, size_t len) {
    static uint8_t flight[ROOM];
    static run r;
    open_run(&r, mode, step);
    if (real) catch_up(&r);
    size_t n = edit(flight, answer_of(&r, flight, sizeof flight), edits, len < 64 ? len : 64);
    int rc = shake(&r, flight, n);
    if (rc == 0 || real) n = answer_of(&r, flight, sizeof flight);
    if (rc == 0) rc = shake(&r, flight, n);
    look(&r, rc);
    if (rc == 1) {
        /* An edit that a handshake survives has not changed what was agreed on: both said what they always say. */
        REQUIRE(mode != EDIT_13 || memcmp(r.out + r.client.out_len - stories[mode].asked_len[1],
                                          stories[mode].asked[1], stories[mode].asked_len[1]) == 0);
        (void)!hft_tls_write(&r.client, (const uint8_t *)"x", 1);
    }
    if (len == 0) REQUIRE(rc == 1 && (r.server != NULL) == real);
    close_run(&r);
}

/* ---- records ---- */

typedef struct { uint8_t secret[HASH_LEN], key[16], iv[12]; } keys;

/* What each side writes with after the handshake of RECORDS, and after each KeyUpdate; as far as it was needed. */
static keys ladder[SIDES][ROOM / 22];
static size_t steps[SIDES];

typedef struct { size_t side, step; uint64_t sequence; } traffic;

static void expand(const keys *k, uint8_t *out, size_t len, const char *label) {
    static EVP_KDF_CTX *ctx;
    if (ctx == NULL) {
        EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, NULL);
        ctx = EVP_KDF_CTX_new(kdf);
        EVP_KDF_free(kdf);
    }
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)k->secret, HASH_LEN),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, (void *)(uintptr_t)"tls13 ", 6),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, (void *)(uintptr_t)label, strlen(label)),
        OSSL_PARAM_END};
    REQUIRE(EVP_KDF_derive(ctx, out, len, params) == 1);
}

static void add_step(size_t of, const uint8_t *secret) {
    REQUIRE(steps[of] < sizeof ladder[of] / sizeof *ladder[of]);
    keys *k = &ladder[of][steps[of]++];
    memcpy(k->secret, secret, HASH_LEN);
    expand(k, k->key, sizeof k->key, "key");
    expand(k, k->iv, sizeof k->iv, "iv");
}

static void next_key(traffic *t) {
    t->sequence = 0;
    if (++t->step < steps[t->side]) return;
    uint8_t next[HASH_LEN];
    expand(&ladder[t->side][t->step - 1], next, sizeof next, "traffic upd");
    add_step(t->side, next);
}

/* Begins a record of header and len bytes: the tag comes after. */
static EVP_CIPHER_CTX *begin_record(traffic *t, const uint8_t *header, int encrypt) {
    static EVP_CIPHER_CTX *ctx[2];
    static const keys *in_use[2]; /* to set a key takes longer than to encrypt with it */
    const keys *k = &ladder[t->side][t->step];
    uint8_t nonce[12];
    int n;
    if (ctx[encrypt] == NULL) {
        ctx[encrypt] = EVP_CIPHER_CTX_new();
        REQUIRE(EVP_CipherInit_ex(ctx[encrypt], EVP_aes_128_gcm(), NULL, NULL, NULL, encrypt) == 1);
    }
    memcpy(nonce, k->iv, 12);
    hft_store_be64(nonce + 4, hft_load_be64(k->iv + 4) ^ t->sequence++);
    REQUIRE(EVP_CipherInit_ex(ctx[encrypt], NULL, NULL, k != in_use[encrypt] ? k->key : NULL, nonce, encrypt) == 1);
    in_use[encrypt] = k;
    REQUIRE(EVP_CipherUpdate(ctx[encrypt], NULL, &n, header, 5) == 1);
    return ctx[encrypt];
}

/* A record as the server would write it (RFC 8446 section 5.2). Returns its length. */
static size_t seal(traffic *t, uint8_t *out, uint8_t type, const uint8_t *data, size_t len) {
    uint8_t inner[256 + 1];
    int n;
    memcpy(out, "\x17\x03\x03", 3);
    hft_store_be16(out + 3, (uint16_t)(len + 17));
    memcpy(inner, data, len);
    inner[len] = type;
    EVP_CIPHER_CTX *ctx = begin_record(t, out, 1);
    REQUIRE(EVP_EncryptUpdate(ctx, out + 5, &n, inner, (int)len + 1) == 1);
    REQUIRE(EVP_EncryptFinal_ex(ctx, out + 5 + n, &n) == 1);
    REQUIRE(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, 16, out + 5 + len + 1) == 1);
    return len + 5 + 17;
}

/* A record that the client wrote: it must be whole, and under the right key and number. Returns its length. */
static size_t unseal(traffic *t, uint8_t *inner, size_t *inner_len, const uint8_t *record, size_t len) {
    int n;
    REQUIRE(len >= 5 + 17 && memcmp(record, "\x17\x03\x03", 3) == 0);
    size_t body_len = hft_load_be16(record + 3);
    REQUIRE(body_len >= 17 && body_len <= len - 5);
    EVP_CIPHER_CTX *ctx = begin_record(t, record, 0);
    REQUIRE(EVP_DecryptUpdate(ctx, inner, &n, record + 5, (int)body_len - 16) == 1);
    REQUIRE(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, 16, (void *)(uintptr_t)(record + 5 + body_len - 16)) == 1);
    REQUIRE(EVP_DecryptFinal_ex(ctx, inner + n, &n) == 1);
    *inner_len = body_len - 16;
    return 5 + body_len;
}

/* Writes all records; what is application data also goes to expected. */
static size_t write_records(const uint8_t *data, size_t len, uint8_t *out, uint8_t *expected, size_t *expected_len) {
    traffic t = {.side = SERVER};
    size_t n = 0;
    while (len >= 2 && n < ROOM - 600) {
        uint8_t type = data[0];
        size_t part = data[1] < len - 2 ? data[1] : len - 2;
        data += 2;
        len -= 2;
        if (type == 255) {
            memcpy(out + n, data, part);
            n += part;
        } else {
            n += seal(&t, out + n, type, data, part);
        }
        size_t content = part; /* zeros at the end are padding, and the type stands before them (section 5.4) */
        while (type == 0 && content > 0) type = data[--content];
        if (type == SSL3_RT_APPLICATION_DATA) {
            memcpy(expected + *expected_len, data, content);
            *expected_len += content;
        }
        if (type == SSL3_RT_HANDSHAKE && content == 5 && memcmp(data, "\x18\0\0\x01", 4) == 0 && data[4] <= 1)
            next_key(&t);
        data += part;
        len -= part;
    }
    return n;
}

/* Whatever the server said, what the client wrote meanwhile is answers to KeyUpdate, the data it was told to write,
 * and at most one alert, the last of all. Returns how many records. */
static size_t check_output(const run *r) {
    static uint8_t inner[ROOM];
    traffic t = {.side = CLIENT};
    size_t count = 0, more = 0, len, ended = 0;
    for (size_t pos = 0; pos < r->client.out_len; count++) {
        REQUIRE(!ended);
        pos += unseal(&t, inner, &len, r->out + pos, r->client.out_len - pos);
        switch (inner[--len]) {
        case SSL3_RT_APPLICATION_DATA:
            REQUIRE(len == 4 && memcmp(inner, "more", 4) == 0);
            more++;
            break;
        case SSL3_RT_ALERT:
            REQUIRE(len == 2);
            ended = 1;
            break;
        default:
            REQUIRE(inner[len] == SSL3_RT_HANDSHAKE && len == 5 && memcmp(inner, "\x18\0\0\x01\0", 5) == 0);
            next_key(&t);
        }
    }
    REQUIRE(more == r->wrote);
    return count;
}

/* The server, too, can decrypt it. */
static void check_server_reads(run *r) {
    uint8_t data[64];
    size_t len;
    const uint8_t *said = asked(r, &len);
    if (len != 0) BIO_write(r->to_server, said, (int)len);
    ERR_clear_error();
    side = SERVER;
    while (SSL_read(r->server, data, sizeof data) > 0) continue;
    side = CLIENT;
    unsigned long error = ERR_peek_error();
    REQUIRE(ERR_GET_LIB(error) != ERR_LIB_SSL || ERR_GET_REASON(error) != SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC);
}

typedef struct { size_t read, written; } amounts; /* bytes of data, records */

static amounts records(int real, size_t step, size_t room, const uint8_t *data, size_t len) {
    static uint8_t flight[ROOM], sent[ROOM], expected[ROOM];
    static run r;
    amounts done = {0};
    size_t expected_len = 0;
    open_run(&r, RECORDS, 0);
    if (real) catch_up(&r);
    size_t n = answer_of(&r, flight, sizeof flight);
    REQUIRE(shake(&r, flight, n) == 1 && hft_tls_records_active(&r.client));
    (void)answer_of(&r, flight, sizeof flight);
    if (real) REQUIRE(memcmp(secrets[CLIENT], ladder[CLIENT][0].secret, HASH_LEN) == 0);
    else REQUIRE(r.server == NULL);
    r.step = step;
    output(&r, room != 0 ? room : ROOM);
    n = write_records(data, len, sent, expected, &expected_len);
    int rc = receive(&r, sent, n, expected, expected_len, &done.read);
    if (rc == 0) write_more(&r);
    (void)hft_tls_shutdown(&r.client);
    done.written = check_output(&r);
    if (real) check_server_reads(&r);
    close_run(&r);
    return done;
}

/* What is written here can be read: else the records would only try the first check of each. */
static void check_ourselves(void) {
    static const uint8_t said[] = "\x17\x05hello\x16\x05\x18\0\0\1\1\x17\5again\x16\x05\x18\0\0\1\0\x17\1!";
    for (int real = 0; real < 2; real++) {
        for (size_t step = 0; step < 2; step++) {
            amounts done = records(real, step, 0, said, sizeof said - 1);
            REQUIRE(done.read == 11 && done.written == (step == 0 ? 4 : 6)); /* KeyUpdate, data, close_notify */
            edited(EDIT_12, real, step, said, 0);
            edited(EDIT_13, real, step, said, 0);
        }
    }
}

static void record(void) {
    for (int mode = EDIT_12; mode < MODES; mode++) record_story(mode);
    for (size_t i = 0; i < SIDES; i++) add_step(i, secrets[i]); /* RECORDS was the last */
}

/* Chosen by the input alone, so that a failure comes again. */
static int wants_server(const uint8_t *data, size_t size) {
    uint32_t hash = 0x811c9dc5; /* FNV-1a */
    for (size_t i = 0; i < size; i++) hash = (hash ^ data[i]) * 0x01000193;
    return (hash >> 8) % REAL_ONE_OF == 0;
}

static void run_input(const uint8_t *data, size_t size) {
    int mode = data[0] % MODES, real = wants_server(data, size);
    size_t step = data[1], room = (size_t)data[2] * 64;
    data += 3;
    size -= 3;
    if (mode == NOISE) {
        static run r;
        open_run(&r, NOISE, step);
        (void)shake(&r, data, size);
        close_run(&r);
    } else if (mode == RECORDS) {
        (void)records(real, step, room, data, size);
    } else {
        edited(mode, real, step, data, size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (context == NULL) {
        set_up();
        record();
        check_ourselves();
    }
    if (size < 3) return 0;
    /* What is never freed: OpenSSL keeps something the first time it does a thing, and never the third time. */
    size_t live, tries = 0;
    do {
        live = pool_live;
        run_input(data, size);
        REQUIRE(pool_live <= live || ++tries < 3);
    } while (pool_live > live);
    return 0;
}
