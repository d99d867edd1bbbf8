/* Whether a server's certificates are good, and in words that help, why not. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "hft/sha256.h"
#include "hft/text.h"
#include "tls_internal.h"

#define NAME_MAX_LEN 72  /* of a certificate's subject or issuer, in a text */
#define NAMES_MAX_LEN 96 /* of the host names it is for */
#define NAMES_SHOWN 3
#define DATE_LEN 24

/* ---- pins ---- */

static void pin_of_key(uint8_t pin[HFT_TLS_PIN_LEN], const X509_PUBKEY *key) {
    unsigned char *der = NULL;
    int len = i2d_X509_PUBKEY(key, &der);
    memset(pin, 0, HFT_TLS_PIN_LEN);
    if (len > 0) hft_sha256_digest(pin, der, (size_t)len);
    OPENSSL_free(der);
}

void hft_tls_pin(uint8_t pin[HFT_TLS_PIN_LEN], const X509 *cert) { pin_of_key(pin, X509_get_X509_PUBKEY(cert)); }

int hft_tls_pin_of(uint8_t pin[HFT_TLS_PIN_LEN], const void *data, size_t len, hft_err *err) {
    const unsigned char *der = data;
    BIO *bio = len <= INT32_MAX ? BIO_new_mem_buf(data, (int)len) : NULL;
    X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    if (cert == NULL && bio != NULL) cert = d2i_X509(NULL, &der, (long)len);
    X509_PUBKEY *key = NULL;
    if (cert != NULL) {
        hft_tls_pin(pin, cert);
    } else if (bio != NULL && BIO_reset(bio) == 1) {
        EVP_PKEY *public_key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
        if (public_key != NULL && X509_PUBKEY_set(&key, public_key)) pin_of_key(pin, key);
        EVP_PKEY_free(public_key);
    }
    int ok = cert != NULL || key != NULL;
    X509_PUBKEY_free(key);
    X509_free(cert);
    BIO_free(bio);
    ERR_clear_error();
    return ok ? 0 : hft_fail(err, HFT_E_TLS_CONFIG, 0, "neither a certificate (PEM or DER) nor a public key (PEM)");
}

/* 1 if the key of a certificate of the verified chain is pinned. */
static int is_pinned(const hft_tls_context *context, const STACK_OF(X509) *chain) {
    uint8_t pin[HFT_TLS_PIN_LEN];
    for (int i = 0; i < sk_X509_num(chain); i++) {
        hft_tls_pin(pin, sk_X509_value(chain, i));
        for (size_t j = 0; j < context->n_pins; j++)
            if (memcmp(pin, context->pins[j], sizeof pin) == 0) return 1;
    }
    return 0;
}

/* ---- words for a certificate; all that comes from it is escaped and cut ---- */

static void put_name(char out[NAME_MAX_LEN + 1], const X509_NAME *name) {
    BIO *bio = BIO_new(BIO_s_mem());
    int n = bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) > 0 ? BIO_read(bio, out, NAME_MAX_LEN) : 0;
    BIO_free(bio);
    out[n > 0 ? n : 0] = '\0';
    if (n <= 0) strcpy(out, "a certificate without a name");
}

static void put_date(char out[DATE_LEN], const ASN1_TIME *time) {
    struct tm t;
    if (ASN1_TIME_to_tm(time, &t) != 1 || strftime(out, DATE_LEN, "%Y-%m-%d %H:%M UTC", &t) == 0)
        strcpy(out, "an unreadable date");
}

static void put_now(char out[DATE_LEN]) {
    time_t now = time(NULL);
    struct tm t;
    if (gmtime_r(&now, &t) == NULL || strftime(out, DATE_LEN, "%Y-%m-%d %H:%M UTC", &t) == 0) out[0] = '\0';
}

/* One host name or address; returns its length, 0 = not of such a kind. */
static size_t put_host(char *out, size_t cap, const GENERAL_NAME *name) {
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    if (type != GEN_DNS && type != GEN_IPADD) return 0;
    const unsigned char *data = ASN1_STRING_get0_data(value);
    size_t len = (size_t)ASN1_STRING_length(value);
    if (type == GEN_IPADD)
        return inet_ntop(len == 4 ? AF_INET : AF_INET6, len == 4 || len == 16 ? data : (const void *)"", out,
                         (socklen_t)cap) != NULL && (len == 4 || len == 16) ? strlen(out) : 0;
    if (len > cap - 1) len = cap - 1;
    for (size_t i = 0; i < len; i++) out[i] = data[i] > ' ' && data[i] < 0x7f ? (char)data[i] : '?';
    out[len] = '\0';
    return len;
}

/* "a.example, b.example and 3 more". */
static void put_hosts(char out[NAMES_MAX_LEN], X509 *cert) {
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    char host[40];
    size_t pos = 0;
    int shown = 0, more = 0;
    out[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        size_t len = put_host(host, sizeof host, sk_GENERAL_NAME_value(names, i));
        if (len == 0) continue;
        if (shown == NAMES_SHOWN || pos + len + 20 > NAMES_MAX_LEN) {
            more++;
            continue;
        }
        pos += (size_t)snprintf(out + pos, NAMES_MAX_LEN - pos, "%s%s", shown++ != 0 ? ", " : "", host);
    }
    if (more != 0) snprintf(out + pos, NAMES_MAX_LEN - pos, " and %d more", more);
    if (shown == 0) strcpy(out, "no host at all");
    GENERAL_NAMES_free(names);
}

/* ---- the verdict ---- */

static int code_of(int verify) {
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

/* What is wrong with cert, behind "HOST presented NAME". */
static void put_reason(char *out, size_t cap, X509_STORE_CTX *store, X509 *cert) {
    int verify = X509_STORE_CTX_get_error(store);
    char name[NAME_MAX_LEN + 1], date[DATE_LEN], now[DATE_LEN], hosts[NAMES_MAX_LEN];
    put_now(now);
    put_name(name, X509_get_issuer_name(cert));
    switch (verify) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        put_date(date, X509_get0_notAfter(cert));
        snprintf(out, cap, ", which expired %s; it is %s by this clock", date, now);
        return;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        put_date(date, X509_get0_notBefore(cert));
        snprintf(out, cap, ", which is not yet valid: from %s; it is %s by this clock", date, now);
        return;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        snprintf(out, cap, ", which is self-signed; to trust it, give it as the CA file");
        return;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        snprintf(out, cap, ", a root that is not among the trusted ones (CA file, or the system's)");
        return;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        snprintf(out, cap, " by %s, neither trusted (CA file) nor sent along (is an intermediate missing?)", name);
        return;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        put_hosts(hosts, cert);
        snprintf(out, cap, ", which is for %s", hosts);
        return;
    default: snprintf(out, cap, ": %s", X509_verify_cert_error_string(verify));
    }
}

static int refuse(hft_tls *tls, X509_STORE_CTX *store) {
    X509 *cert = X509_STORE_CTX_get_current_cert(store);
    int code = code_of(X509_STORE_CTX_get_error(store));
    char text[sizeof tls->err.text], name[NAME_MAX_LEN + 1], reason[200] = "";
    if (cert == NULL) return hft_fail(&tls->err, code, 0, "no certificate was presented");
    put_name(name, X509_get_subject_name(cert));
    put_reason(reason, sizeof reason, store, cert);
    snprintf(text, sizeof text, "%.64s presented %s%s", tls->host, name, reason);
    return hft_fail(&tls->err, code, 0, text);
}

static int refuse_pin(hft_tls *tls, X509 *cert) {
    uint8_t pin[HFT_TLS_PIN_LEN];
    char text[sizeof tls->err.text], name[NAME_MAX_LEN + 1], base64[48];
    size_t n = tls->context->n_pins;
    put_name(name, X509_get_subject_name(cert));
    hft_tls_pin(pin, cert);
    base64[hft_base64_encode(base64, pin, sizeof pin)] = '\0';
    snprintf(text, sizeof text, "%.64s presented %.48s with the pin sha256/%s; neither it nor one above it is among "
             "the %zu pinned", tls->host, name, base64, n);
    return hft_fail(&tls->err, HFT_E_TLS_PIN, 0, text);
}

int hft_tls_verify(X509_STORE_CTX *store, void *arg) {
    (void)arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    hft_tls *tls = ssl != NULL ? SSL_get_app_data(ssl) : NULL;
    int ok = X509_verify_cert(store) == 1;
    if (tls == NULL) return 0;
    if (!ok) {
        (void)refuse(tls, store);
        return 0;
    }
    if (tls->context->n_pins == 0 || is_pinned(tls->context, X509_STORE_CTX_get0_chain(store))) return 1;
    (void)refuse_pin(tls, X509_STORE_CTX_get0_cert(store));
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED); /* the alert is bad_certificate */
    return 0;
}
