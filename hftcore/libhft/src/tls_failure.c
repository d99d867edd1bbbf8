/* Failures in words: what OpenSSL says, what the peer's alert means, and what to do about it. */
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

#include "tls_internal.h"

#define ALERT_REASONS 1000 /* OpenSSL's reason for a fatal alert received is its number and this */

/* What an alert (RFC 8446 section 6.2) of the server means to us. */
static const struct {
    uint8_t number;
    int code;
    const char *name, *advice;
} alerts[] = {
    {SSL_AD_HANDSHAKE_FAILURE, HFT_E_TLS_PROTOCOL, "handshake_failure", "no cipher suite or curve in common"},
    {SSL_AD_BAD_CERTIFICATE, HFT_E_TLS_CLIENT_CERT, "bad_certificate", ""},
    {SSL_AD_UNSUPPORTED_CERTIFICATE, HFT_E_TLS_CLIENT_CERT, "unsupported_certificate", ""},
    {SSL_AD_CERTIFICATE_REVOKED, HFT_E_TLS_CLIENT_CERT, "certificate_revoked", ""},
    {SSL_AD_CERTIFICATE_EXPIRED, HFT_E_TLS_CLIENT_CERT, "certificate_expired", ""},
    {SSL_AD_CERTIFICATE_UNKNOWN, HFT_E_TLS_CLIENT_CERT, "certificate_unknown", ""},
    {SSL_AD_UNKNOWN_CA, HFT_E_TLS_CLIENT_CERT, "unknown_ca", ""},
    {SSL_AD_ACCESS_DENIED, HFT_E_TLS_PROTOCOL, "access_denied", "the server knows us and does not want us"},
    {SSL_AD_PROTOCOL_VERSION, HFT_E_TLS_VERSION, "protocol_version", ""},
    {SSL_AD_INSUFFICIENT_SECURITY, HFT_E_TLS_PROTOCOL, "insufficient_security", "it wants stronger cipher suites"},
    {SSL_AD_INTERNAL_ERROR, HFT_E_TLS_PROTOCOL, "internal_error", "the server failed"},
    {SSL_AD_NO_RENEGOTIATION, HFT_E_TLS_PROTOCOL, "no_renegotiation", ""},
    {SSL_AD_UNRECOGNIZED_NAME, HFT_E_TLS_HOSTNAME, "unrecognized_name", "the server does not know this host name"},
    {SSL_AD_CERTIFICATE_REQUIRED, HFT_E_TLS_CLIENT_CERT, "certificate_required", ""},
    {SSL_AD_NO_APPLICATION_PROTOCOL, HFT_E_TLS_ALPN, "no_application_protocol", "it speaks none that ALPN offers"},
};

static const char *advice_on_certificate(const hft_tls *tls) {
    return tls->context->has_certificate ? "it refused our client certificate"
                                         : "it demands a client certificate, and the TLS context has none";
}

static int fail_alert(hft_tls *tls, const char *doing, int number) {
    const char *name = SSL_alert_desc_string_long(number), *advice = "";
    int code = HFT_E_TLS_PROTOCOL;
    for (size_t i = 0; i < sizeof alerts / sizeof *alerts; i++) {
        if (alerts[i].number != number) continue;
        code = alerts[i].code;
        name = alerts[i].name;
        advice = alerts[i].advice;
    }
    /* Below TLS 1.3 a missing certificate is a handshake_failure. */
    if (number == SSL_AD_HANDSHAKE_FAILURE && tls->certificate_wanted && !tls->context->has_certificate)
        code = HFT_E_TLS_CLIENT_CERT;
    if (code == HFT_E_TLS_CLIENT_CERT && !tls->certificate_wanted) code = HFT_E_TLS_PROTOCOL;
    if (code == HFT_E_TLS_CLIENT_CERT) advice = advice_on_certificate(tls);
    if (code == HFT_E_TLS_VERSION)
        advice = tls->context->min_version == TLS1_3_VERSION ? "it does not speak TLS 1.3"
                                                             : "it speaks neither TLS 1.2 nor TLS 1.3";
    if (tls->renegotiation) advice = "after it asked for a renegotiation, which is refused: turn it off at the server";
    char text[sizeof tls->err.text];
    snprintf(text, sizeof text, "%s with %.64s: the server sent the alert %s (%d)%s%s", doing, tls->host, name, number,
             *advice != '\0' ? ": " : "", advice);
    return hft_fail(&tls->err, code, 0, text);
}

/* The peer's first bytes are of no TLS server: shows them. */
static int fail_greeting(hft_tls *tls) {
    char text[sizeof tls->err.text], shown[sizeof tls->greeting + 1];
    size_t n = tls->greeting_len;
    for (size_t i = 0; i < n; i++)
        shown[i] = tls->greeting[i] >= ' ' && tls->greeting[i] < 0x7f ? (char)tls->greeting[i] : '.';
    shown[n] = '\0';
    snprintf(text, sizeof text, "%.64s answers \"%s\", which is no TLS: wrong port, or wss:// instead of ws://?",
             tls->host, shown);
    return hft_fail(&tls->err, HFT_E_TLS_NOT_TLS, 0, text);
}

static const char *version_name(int version) {
    switch (version) {
    case SSL3_VERSION: return "SSL 3.0";
    case TLS1_VERSION: return "TLS 1.0";
    case TLS1_1_VERSION: return "TLS 1.1";
    case TLS1_2_VERSION: return "TLS 1.2";
    default: return "an unknown version";
    }
}

static int fail_version(hft_tls *tls) {
    char text[sizeof tls->err.text];
    snprintf(text, sizeof text, "%.64s speaks %s at most; %s is the least that is accepted", tls->host,
             version_name(tls->hello_version), tls->context->min_version == TLS1_3_VERSION ? "TLS 1.3" : "TLS 1.2");
    return hft_fail(&tls->err, HFT_E_TLS_VERSION, 0, text);
}

int hft_tls_fail_alpn(hft_tls *tls) {
    char text[sizeof tls->err.text];
    snprintf(text, sizeof text, "%.64s chose by ALPN a protocol that was not offered", tls->host);
    return hft_fail(&tls->err, HFT_E_TLS_ALPN, 0, text);
}

int hft_tls_fail(hft_tls *tls, const char *doing) {
    const char *function = "";
    unsigned long error = ERR_peek_error_func(&function);
    int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
    int is_alpn = strcmp(function, "tls_parse_stoc_alpn") == 0; /* the reason is any extension's */
    const char *words = ERR_reason_error_string(error);
    char text[sizeof tls->err.text];
    ERR_clear_error();
    if (tls->err.code != 0) return tls->err.code;
    if (is_alpn) return hft_tls_fail_alpn(tls);
    if (reason > ALERT_REASONS && reason < ALERT_REASONS + 256) return fail_alert(tls, doing, reason - ALERT_REASONS);
    if (reason == SSL_R_UNSUPPORTED_PROTOCOL && tls->hello_version != 0) return fail_version(tls);
    /* A TLS server begins with a record of the handshake or an alert. */
    int is_greeted = !tls->established && tls->hello_version == 0 && tls->greeting_len != 0;
    if (is_greeted && tls->greeting[0] != SSL3_RT_HANDSHAKE && tls->greeting[0] != SSL3_RT_ALERT)
        return fail_greeting(tls);
    snprintf(text, sizeof text, "%s with %.64s: %s", doing, tls->host, words != NULL ? words : "broken off");
    return hft_fail(&tls->err, HFT_E_TLS_PROTOCOL, 0, text);
}

int hft_tls_end(hft_tls *tls) {
    if (tls->err.code != 0) return tls->err.code;
    if (tls->peer_closed) return HFT_E_CONN_CLOSED;
    char text[sizeof tls->err.text];
    const char *when = tls->established         ? "; data may be missing"
                       : tls->greeting_len != 0 ? " in the middle of the handshake"
                                                : " without an answer to our ClientHello: is TLS spoken on this port?";
    snprintf(text, sizeof text, "%.64s ended the connection%s", tls->host, when);
    return hft_fail(&tls->err, HFT_E_TLS_TRUNCATED, 0, text);
}
