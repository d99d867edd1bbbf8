/* TLS 1.3 records written by ourselves (RFC 8446 section 5.2): SSL_write allocates, and spends more time around the
 * encryption than on it. AES-GCM is our own where the machine has a kernel for it, all else OpenSSL's AEADs.
 *
 * OpenSSL does the handshake, reads, and decides what is said besides application data; from the end of the handshake
 * on it no longer writes. What it encrypts from then on is dropped unseen by the BIO, so no nonce is ever used for two
 * records that leave; the message callback tells what it was, and that is written here: alerts, and the answer to
 * a KeyUpdate, after which the key changes (section 7.2). */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdlib.h>
#include <string.h>

#include "hft/aesgcm.h"
#include "hft/endian.h"
#include "hft/text.h"
#include "tls_internal.h"

#define HEADER_LEN 5
#define TAG_LEN HFT_AESGCM_TAG_LEN
#define NONCE_LEN HFT_AESGCM_NONCE_LEN
#define KEY_MAX 32

struct hft_tls_records {
    hft_aesgcm aesgcm;    /* if own */
    EVP_CIPHER_CTX *aead; /* if not */
    uint8_t asked;        /* to take over */
    uint8_t active;       /* 0: OpenSSL writes */
    uint8_t own;          /* the AEAD is our own */
    EVP_CIPHER *cipher;
    const EVP_MD *md;
    uint64_t sequence, sequence_max;
    uint8_t iv[NONCE_LEN];
    uint8_t secret[EVP_MAX_MD_SIZE]; /* client_application_traffic_secret_N */
    size_t secret_len;
};

/* ---- keys ---- */

/* HKDF-Expand-Label with an empty context (section 7.1). 1 = done. */
static int expand(const hft_tls_records *r, uint8_t *out, size_t len, const char *label) {
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, NULL);
    EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)EVP_MD_get0_name(r->md), 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)r->secret, r->secret_len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, (void *)(uintptr_t)"tls13 ", 6),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, (void *)(uintptr_t)label, strlen(label)),
        OSSL_PARAM_END};
    int ok = ctx != NULL && EVP_KDF_derive(ctx, out, len, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

/* Takes key and IV from the secret, and counts from 0 again. 1 = done. */
static int use_secret(hft_tls_records *r) {
    uint8_t key[KEY_MAX];
    size_t key_len = (size_t)EVP_CIPHER_get_key_length(r->cipher);
    int ok = key_len <= sizeof key && EVP_CIPHER_get_iv_length(r->cipher) == NONCE_LEN &&
             expand(r, key, key_len, "key") && expand(r, r->iv, sizeof r->iv, "iv");
    if (r->own) ok = ok && hft_aesgcm_init(&r->aesgcm, key, key_len) == 0;
    else ok = ok && EVP_EncryptInit_ex2(r->aead, r->cipher, key, r->iv, NULL) == 1;
    OPENSSL_cleanse(key, sizeof key);
    r->sequence = 0;
    return ok;
}

static int next_secret(hft_tls_records *r) {
    uint8_t next[EVP_MAX_MD_SIZE];
    int ok = expand(r, next, r->secret_len, "traffic upd");
    if (ok) memcpy(r->secret, next, r->secret_len);
    OPENSSL_cleanse(next, sizeof next);
    return ok && use_secret(r);
}

/* ---- records ---- */

/* Encrypts len bytes behind the header in place, and puts the tag behind them. 1 = done. */
static int protect(hft_tls_records *r, const uint8_t nonce[NONCE_LEN], uint8_t *record, size_t len) {
    uint8_t *body = record + HEADER_LEN, *tag = body + len;
    int n = 0;
    if (r->own) {
        hft_aesgcm_seal(&r->aesgcm, body, tag, nonce, record, HEADER_LEN, body, len);
        return 1;
    }
    OSSL_PARAM get_tag[] = {OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, TAG_LEN),
                            OSSL_PARAM_END};
    return EVP_EncryptInit_ex2(r->aead, NULL, NULL, nonce, NULL) == 1 &&
           EVP_EncryptUpdate(r->aead, NULL, &n, record, HEADER_LEN) == 1 &&
           EVP_EncryptUpdate(r->aead, body, &n, body, (int)len) == 1 && EVP_EncryptFinal_ex(r->aead, tag, &n) == 1 &&
           EVP_CIPHER_CTX_get_params(r->aead, get_tag) == 1;
}

static int put_record(hft_tls *tls, uint8_t type, const uint8_t *data, size_t len) {
    hft_tls_records *r = tls->records;
    uint8_t nonce[NONCE_LEN], *record = tls->out + tls->out_len, *body = record + HEADER_LEN;
    size_t body_len = len + 1 + TAG_LEN;
    if (tls->out_cap - tls->out_len < HEADER_LEN + body_len) return HFT_E_CONN_SEND_FULL;
    memcpy(nonce, r->iv, NONCE_LEN);
    hft_store_be64(nonce + 4, hft_load_be64(r->iv + 4) ^ r->sequence);
    memcpy(record, "\x17\x03\x03", 3);
    hft_store_be16(record + 3, (uint16_t)body_len);
    memcpy(body, data, len);
    body[len] = type;
    if (!protect(r, nonce, record, len + 1)) return HFT_E_TLS_PROTOCOL;
    tls->out_len += HEADER_LEN + body_len;
    r->sequence++;
    return 0;
}

/* A KeyUpdate is the last record under its key. */
static int put_handshake(hft_tls *tls, const uint8_t *message, size_t len) {
    int rc = put_record(tls, SSL3_RT_HANDSHAKE, message, len);
    if (rc < 0 || len == 0 || message[0] != SSL3_MT_KEY_UPDATE) return rc;
    return next_secret(tls->records) ? 0 : HFT_E_TLS_PROTOCOL;
}

int hft_tls_records_write(hft_tls *tls, const uint8_t *data, size_t len) {
    static const uint8_t key_update[] = {SSL3_MT_KEY_UPDATE, 0, 0, 1, SSL_KEY_UPDATE_NOT_REQUESTED};
    hft_tls_records *r = tls->records;
    int rc = r->sequence >= r->sequence_max ? put_handshake(tls, key_update, sizeof key_update) : 0;
    if (rc == 0) rc = put_record(tls, SSL3_RT_APPLICATION_DATA, data, len);
    return rc < 0 ? hft_fail(&tls->err, rc, 0, "TLS write") : 0;
}

/* ---- taking over ---- */

int hft_tls_records_active(const hft_tls *tls) {
    const hft_tls_records *r = tls->records;
    return r != NULL && r->active;
}

/* Takes note of the secret that writing begins with; the line is "LABEL random secret", the latter two in hex. This
 * is OpenSSL's hook for key logs, of which there can be one: a log that is wanted is written here. */
static void on_secret(const SSL *ssl, const char *line) {
    static const char label[] = "CLIENT_TRAFFIC_SECRET_0 ";
    hft_tls *tls = SSL_get_app_data(ssl);
    if (tls != NULL && tls->context != NULL) hft_tls_keylog(tls->context, line);
    hft_tls_records *r = tls != NULL ? tls->records : NULL;
    if (r == NULL || r->active || strncmp(line, label, sizeof label - 1) != 0) return;
    const char *hex = strchr(line + sizeof label - 1, ' ');
    size_t len = hex != NULL ? strlen(hex + 1) : 0;
    if (len == 0 || len > 2 * sizeof r->secret || hft_hex_decode(r->secret, hex + 1, len) < 0) return;
    r->secret_len = len / 2;
}

/* What OpenSSL has received, or wanted to send and believes it has sent. */
static void on_message(int is_write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg) {
    hft_tls *tls = SSL_get_app_data(ssl);
    (void)version, (void)arg;
    /* After a failure nothing: a change of key that was broken off leaves the old key, and its count at 0. */
    if (tls == NULL || tls->err.code != 0) return;
    if (!is_write) {
        if (type == SSL3_RT_HANDSHAKE) hft_tls_on_message(tls, data, len);
        return;
    }
    if (!hft_tls_records_active(tls) || tls->shut) return;
    int rc = 0;
    if (type == SSL3_RT_ALERT) rc = put_record(tls, SSL3_RT_ALERT, data, len);
    else if (type == SSL3_RT_HANDSHAKE) rc = put_handshake(tls, data, len);
    /* A lost alert is only a courtesy less; without its KeyUpdate the peer would wait for a key that never comes. */
    if (rc < 0 && type == SSL3_RT_HANDSHAKE) (void)hft_fail(&tls->err, rc, 0, "TLS key update");
}

void hft_tls_records_alert(hft_tls *tls, uint8_t description) {
    const uint8_t alert[2] = {SSL3_AL_FATAL, description};
    if (hft_tls_records_active(tls) && !tls->shut) (void)!put_record(tls, SSL3_RT_ALERT, alert, sizeof alert);
}

void hft_tls_records_answer(hft_tls *tls) {
    if (!hft_tls_records_active(tls) || tls->err.code != 0) return;
    if (SSL_get_key_update_type(tls->ssl) == SSL_KEY_UPDATE_NONE) return;
    /* Says it now, and so on_message hears it. */
    if (SSL_key_update(tls->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 || SSL_do_handshake(tls->ssl) != 1)
        (void)hft_fail(&tls->err, HFT_E_TLS_PROTOCOL, 0, "TLS key update");
}

void hft_tls_records_prepare(SSL_CTX *ctx) {
    SSL_CTX_set_keylog_callback(ctx, on_secret);
    SSL_CTX_set_msg_callback(ctx, on_message);
}

void hft_tls_records_limit(hft_tls *tls, uint64_t records) {
    hft_tls_records *r = tls->records;
    if (r != NULL) r->sequence_max = records;
}

void hft_tls_records_new(hft_tls *tls) { tls->records = calloc(1, sizeof(hft_tls_records)); }

void hft_tls_records_free(hft_tls *tls) {
    hft_tls_records *r = tls->records;
    if (r == NULL) return;
    EVP_CIPHER_CTX_free(r->aead);
    EVP_CIPHER_free(r->cipher);
    OPENSSL_cleanse(r, sizeof *r);
    free(r);
    tls->records = NULL;
}

void hft_tls_records_take_over(hft_tls *tls) {
    static const struct { uint16_t suite; const char *cipher; } known[] = { /* RFC 8446 section B.4 */
        {0x1301, "AES-128-GCM"}, {0x1302, "AES-256-GCM"}, {0x1303, "ChaCha20-Poly1305"}};
    hft_tls_records *r = tls->records;
    const SSL_CIPHER *suite = SSL_get_current_cipher(tls->ssl);
    if (r == NULL || r->asked) return; /* once: a second time would count, and so encrypt, from 0 again */
    r->asked = 1;
    if (r->secret_len == 0 || suite == NULL || SSL_version(tls->ssl) != TLS1_3_VERSION) return;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (SSL_CIPHER_get_protocol_id(suite) == known[i].suite)
            r->cipher = EVP_CIPHER_fetch(NULL, known[i].cipher, NULL);
    r->md = SSL_CIPHER_get_handshake_digest(suite);
    hft_tls_records_limit(tls, HFT_TLS_RECORDS_PER_KEY);
    if (r->cipher == NULL || r->md == NULL) return;
    r->own = hft_aesgcm_available() && EVP_CIPHER_get_mode(r->cipher) == EVP_CIPH_GCM_MODE;
    if (!r->own) r->aead = EVP_CIPHER_CTX_new();
    r->active = (r->own || r->aead != NULL) && use_secret(r);
}
