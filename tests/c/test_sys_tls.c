/* What a TLS context trusts, presents and offers; each refusal has its code, its words and its alert. */
#include "tls_pair.h"

/* ---- certificates that are not good ---- */

static void test_refused_certificates(void) {
    hft_tls_config config = {.ca_file = path_of("root.pem"), .resume = 1};
    hft_tls_config strange = {.ca_file = path_of("stranger.pem")};
    server_options usual = {.id = &good, .middle = &middle}, alone = {.id = &good};
    identity odd[] = {
        issue("other", "DNS:a.example,DNS:b.example,IP:192.0.2.7,DNS:c.example,DNS:d.example", &root, -DAY, DAY),
        issue("localhost", "DNS:localhost", &root, -3 * DAY, -2 * DAY),
        issue("localhost", "DNS:localhost", &root, 2 * DAY, 3 * DAY),
        issue("localhost", "DNS:localhost", NULL, -DAY, DAY),
        issue("localhost", "", &root, -DAY, DAY),
        issue("bad\n\x1b[31m\"name\"", "DNS:evil\n.example", &root, -DAY, DAY),
        issue("", "DNS:*.example", &root, -DAY, DAY),
    };
    const size_t n = sizeof odd / sizeof *odd;
    server_options with[sizeof odd / sizeof *odd];
    for (size_t i = 0; i < n; i++) with[i] = (server_options){.id = &odd[i]};
    refuse(&config, "localhost", &with[0], HFT_E_TLS_HOSTNAME, SSL_AD_BAD_CERTIFICATE,
           "presented CN=other, which is for a.example, b.example, 192.0.2.7 and 2 more");
    refuse(&config, "localhost", &with[1], HFT_E_TLS_EXPIRED, SSL_AD_CERTIFICATE_EXPIRED,
           "CN=localhost, which expired 2");
    refuse(&config, "localhost", &with[2], HFT_E_TLS_NOT_YET_VALID, SSL_AD_BAD_CERTIFICATE, "not yet valid: from 2");
    refuse(&config, "localhost", &with[3], HFT_E_TLS_SELF_SIGNED, SSL_AD_UNKNOWN_CA, "self-signed");
    refuse(&config, "localhost", &with[4], HFT_E_TLS_HOSTNAME, 0, "for no host at all"); /* RFC 9525: CN is no name */
    refuse(&config, "localhost", &with[5], HFT_E_TLS_HOSTNAME, 0, "which is for evil?.example");
    refuse(&config, "localhost", &with[6], HFT_E_TLS_HOSTNAME, 0, "presented a certificate without a name");
    refuse(&config, "a.b.example", &with[6], HFT_E_TLS_HOSTNAME, 0, "*.example");
    refuse(&config, "localhost", &alone, HFT_E_TLS_UNKNOWN_CA, SSL_AD_UNKNOWN_CA,
           "CN=localhost by CN=Test Middle, neither trusted (CA file) nor sent along (is an intermediate missing?)");
    refuse(&strange, "localhost", &usual, HFT_E_TLS_UNKNOWN_CA, SSL_AD_UNKNOWN_CA, "CN=Test Middle by CN=Test Root");
    for (size_t i = 0; i < n; i++) free_identity(&odd[i]);
}

/* No byte of a certificate reaches a text as it is, where it could do harm in a terminal or a log. */
static void test_texts_are_printable(void) {
    static pair p;
    identity evil = issue("a\x1b[31m\r\nb\x7f", "DNS:\x1b\n\xff", &root, -DAY, DAY);
    hft_tls_context *context = open_context(&(hft_tls_config){.ca_file = path_of("root.pem")});
    begin(&p, context, "localhost", &(server_options){.id = &evil});
    CHECK_EQ(shake(&p), HFT_E_TLS_HOSTNAME);
    for (const char *c = p.client.err.text; *c != '\0'; c++) CHECK(*c >= ' ' && *c < 0x7f);
    end(&p);
    hft_tls_context_close(context);
    free_identity(&evil);
}

static void test_long_texts_are_cut(void) {
    static char hosts[4096] = "DNS:first.example";
    for (int i = 0; i < 60; i++) snprintf(hosts + strlen(hosts), 64, ",DNS:%040d.example", i);
    identity wide = issue("a common name of the greatest length, which is 64 characters lon", hosts, &root, -DAY, DAY);
    hft_tls_config config = {.ca_file = path_of("root.pem")};
    static pair p;
    hft_tls_context *context = open_context(&config);
    begin(&p, context, "localhost", &(server_options){.id = &wide});
    CHECK_EQ(shake(&p), HFT_E_TLS_HOSTNAME);
    expect_text(&p, "first.example");
    expect_text(&p, " more");
    end(&p);
    hft_tls_context_close(context);
    free_identity(&wide);
}

/* ---- pins ---- */

static void base64_pin(char out[48], const identity *id) {
    uint8_t der[512], *end_of_der = der, pin[32];
    EVP_PKEY *key = id->key;
    int len = i2d_PUBKEY(key, &end_of_der);
    EVP_Digest(der, (size_t)len, pin, NULL, EVP_sha256(), NULL);
    EVP_EncodeBlock((unsigned char *)out, pin, sizeof pin);
}

static void pin_of(uint8_t pin[32], const identity *id) {
    uint8_t der[4096], *end_of_der = der;
    hft_err err = {0};
    CHECK_EQ(hft_tls_pin_of(pin, der, (size_t)i2d_X509(id->cert, &end_of_der), &err), 0);
}

static void test_pins(void) {
    static pair p;
    uint8_t pins[3][32] = {{1}, {2}, {3}}, pin[32];
    char expected[64] = "sha256/";
    server_options usual = {.id = &good, .middle = &middle};
    hft_tls_config config = {.ca_file = path_of("root.pem"), .pins = (const void *)pins, .n_pins = 3, .resume = 1};
    base64_pin(expected + 7, &good);
    refuse(&config, "localhost", &usual, HFT_E_TLS_PIN, SSL_AD_BAD_CERTIFICATE, expected);
    refuse(&config, "localhost", &usual, HFT_E_TLS_PIN, 0, "neither it nor one above it is among the 3 pinned");
    const identity *accepted[] = {&good, &middle, &root};
    for (size_t i = 0; i < 3; i++) {
        pin_of(pins[2], accepted[i]);
        hft_tls_context *context = open_context(&config);
        begin(&p, context, "localhost", &usual);
        CHECK_EQ(shake(&p), 1);
        CHECK_EQ(hft_tls_peer_pin(&p.client, pin), 1);
        pin_of(pins[0], &good);
        CHECK_MEM(pin, pins[0], 32);
        pins[0][0] ^= 1;
        end(&p);
        hft_tls_context_close(context);
    }
    pin_of(pins[2], &stranger); /* a key that is right, of a chain that is not */
    refuse(&(hft_tls_config){.ca_file = path_of("stranger.pem"), .pins = (const void *)pins, .n_pins = 3}, "localhost",
           &usual, HFT_E_TLS_UNKNOWN_CA, 0, "CN=Test Root");
    /* A pinned certificate that is sent along, but is no part of the chain, does not count. */
    server_options stuffed = {.id = &good, .middle = &middle};
    static pair q;
    hft_tls_context *context = open_context(&config);
    begin(&q, context, "localhost", &stuffed);
    SSL_CTX_add1_chain_cert(q.ctx, stranger.cert);
    CHECK_EQ(shake(&q), HFT_E_TLS_PIN);
    end(&q);
    hft_tls_context_close(context);
}

static void test_pin_of(void) {
    uint8_t pin[32], again[32];
    hft_err err = {0};
    char *pem;
    pin_of(pin, &good);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, good.cert);
    long len = BIO_get_mem_data(bio, &pem);
    CHECK_EQ(hft_tls_pin_of(again, pem, (size_t)len, &err), 0);
    CHECK_MEM(again, pin, 32);
    BIO_reset(bio);
    PEM_write_bio_PUBKEY(bio, good.key);
    len = BIO_get_mem_data(bio, &pem);
    CHECK_EQ(hft_tls_pin_of(again, pem, (size_t)len, &err), 0);
    CHECK_MEM(again, pin, 32);
    CHECK_EQ(hft_tls_pin_of(again, pem, (size_t)len / 2, &err), HFT_E_TLS_CONFIG);
    CHECK_EQ(hft_tls_pin_of(again, "", 0, &err), HFT_E_TLS_CONFIG);
    CHECK_EQ(ERR_peek_error(), 0);
    BIO_free(bio);
}

/* ---- versions, ALPN, client certificates ---- */

/* A ServerHello as a server of that version writes one that never heard of the extension supported_versions. */
static void refuse_hello(const hft_tls_config *config, uint8_t minor, const char *text) {
    static pair p;
    uint8_t hello[47] = {22, 3, minor, 0, 42, 2, 0, 0, 38, 3, minor, [44] = 0xc0, 0x13};
    hft_tls_context *context = open_context(config);
    begin(&p, context, "localhost", &(server_options){.id = &good});
    CHECK_EQ(hft_tls_begin(&p.client), 0);
    hft_tls_output(&p.client, p.out, sizeof p.out);
    hft_tls_feed(&p.client, hello, sizeof hello);
    CHECK_EQ(hft_tls_handshake(&p.client), HFT_E_TLS_VERSION);
    expect_text(&p, text);
    end(&p);
    hft_tls_context_close(context);
}

static void test_versions(void) {
    hft_tls_config config = {.ca_file = path_of("root.pem")};
    hft_tls_config newer = {.ca_file = config.ca_file, .min_version = 0x0304};
    server_options with = {.id = &good, .middle = &middle, .max_version = TLS1_1_VERSION};
    refuse(&config, "localhost", &with, HFT_E_TLS_VERSION, 0, "(70): it speaks neither TLS 1.2 nor TLS 1.3");
    with.max_version = TLS1_2_VERSION;
    refuse(&newer, "localhost", &with, HFT_E_TLS_VERSION, 0, "(70): it does not speak TLS 1.3");
    refuse_hello(&config, 0, "localhost speaks SSL 3.0 at most; TLS 1.2 is the least that is accepted");
    refuse_hello(&config, 2, "localhost speaks TLS 1.1 at most; TLS 1.2 is the least that is accepted");
    refuse_hello(&newer, 3, "localhost speaks TLS 1.2 at most; TLS 1.3 is the least that is accepted");
    static pair p;
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < 2; i++) {
        hft_tls_context *context = open_context(&(hft_tls_config){
            .ca_file = config.ca_file, .ciphers = "ECDHE-ECDSA-CHACHA20-POLY1305",
            .ciphersuites = "TLS_AES_128_GCM_SHA256"});
        with.max_version = versions[i];
        begin(&p, context, "localhost", &with);
        CHECK_STR(hft_tls_version(&p.client), "");
        CHECK_STR(hft_tls_cipher(&p.client), "");
        CHECK_EQ(shake(&p), 1);
        CHECK_STR(hft_tls_version(&p.client), i == 0 ? "TLSv1.2" : "TLSv1.3");
        CHECK_STR(hft_tls_cipher(&p.client), i == 0 ? "ECDHE-ECDSA-CHACHA20-POLY1305" : "TLS_AES_128_GCM_SHA256");
        end(&p);
        hft_tls_context_close(context);
    }
}

static void test_alpn(void) {
    static pair p;
    hft_tls_config config = {.ca_file = path_of("root.pem"), .alpn = "h2,http/1.1"};
    server_options with = {.id = &good, .middle = &middle, .alpn = "http/1.1"};
    const char *chosen[] = {"h2", "http/1.1", NULL};
    size_t len;
    for (size_t i = 0; i < 3; i++) {
        hft_tls_context *context = open_context(&config);
        with.alpn = chosen[i];
        begin(&p, context, "localhost", &with);
        CHECK_EQ(shake(&p), 1);
        const char *name = hft_tls_alpn(&p.client, &len);
        CHECK_EQ(len, chosen[i] != NULL ? strlen(chosen[i]) : 0);
        CHECK_MEM(name, chosen[i] != NULL ? chosen[i] : "", len);
        end(&p);
        hft_tls_context_close(context);
    }
    with.alpn = "http/1.0";
    refuse(&config, "localhost", &with, HFT_E_TLS_ALPN, 0, "that was not offered");
    with.max_version = TLS1_2_VERSION;
    refuse(&config, "localhost", &with, HFT_E_TLS_ALPN, 0, "that was not offered");
    with.alpn = "";
    refuse(&config, "localhost", &with, HFT_E_TLS_ALPN, 0, "no_application_protocol (120): it speaks none that ALPN");
}

static void test_client_certificate(void) {
    static pair p;
    const char *root_path = path_of("root.pem"), *cert = path_of("client.pem");
    server_options with = {.id = &good, .middle = &middle, .wants_certificate = 1};
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < 2; i++) {
        with.max_version = versions[i];
        hft_tls_context *none = open_context(&(hft_tls_config){.ca_file = root_path});
        begin(&p, none, "localhost", &with);
        int rc = shake(&p); /* in TLS 1.3 the client is done before the server looks */
        CHECK_EQ(i == 0 ? rc : client_reads(&p), HFT_E_TLS_CLIENT_CERT);
        expect_text(&p, i == 0 ? "handshake_failure (40): it demands a client certificate, and the TLS context has none"
                               : "certificate_required (116): it demands a client certificate, and the TLS context");
        end(&p);
        hft_tls_context_close(none);
        hft_tls_context *ours = open_context(&(hft_tls_config){
            .ca_file = root_path, .cert_file = cert, .key_file = path_of("locked.key"),
            .key_password = "open sesame"});
        begin(&p, ours, "localhost", &with);
        CHECK_EQ(shake(&p), 1);
        CHECK_EQ(client_reads(&p), 0);
        X509 *seen = SSL_get1_peer_certificate(p.server);
        CHECK(seen != NULL && X509_cmp(seen, client_id.cert) == 0);
        X509_free(seen);
        end(&p);
        begin(&p, ours, "localhost", &with); /* a server that knows another authority only */
        SSL_CTX_set_cert_store(p.ctx, X509_STORE_new());
        rc = shake(&p);
        CHECK_EQ(i == 0 ? rc : client_reads(&p), HFT_E_TLS_CLIENT_CERT);
        expect_text(&p, "unknown_ca (48): it refused our client certificate");
        end(&p);
        hft_tls_context_close(ours);
    }
}

static void test_wrong_options(void) {
    static const struct { hft_tls_config config; const char *text; } wrong[] = {
        {{.ca_file = "/nowhere/ca.pem"}, "CA file /nowhere/ca.pem: No such file"},
        {{.ca_file = "/dev/null"}, "CA file /dev/null: no PEM certificate"},
        {{.ca_data = "nothing"}, "CA data: no PEM certificate"},
        {{.cert_file = "/dev/null"}, "client certificate /dev/null: no PEM certificate"},
        {{.key_file = "/dev/null"}, "key /dev/null: without a certificate"},
        {{.min_version = 0x0302}, "minimum version: TLS 1.2 or TLS 1.3"},
        {{.n_pins = HFT_TLS_PINS_MAX + 1}, "pins: at most 16"},
        {{.ciphers = "NOTHING"}, "ciphers NOTHING: OpenSSL knows no such TLS 1.2"},
        {{.ciphersuites = "NOTHING"}, "ciphersuites NOTHING: OpenSSL knows no such TLS 1.3"},
        {{.alpn = "http/1.1,,h2"}, "ALPN http/1.1,,h2: a protocol without a name"},
        {{.keylog_file = "/dev/null"}, "key log file /dev/null: not a regular file"},
        {{.keylog_file = "/nowhere/log"}, "key log file /nowhere/log: No such file"},
    };
    hft_tls_context *context = NULL;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        hft_err err = {0};
        CHECK_EQ(hft_tls_context_open(&context, &wrong[i].config, &err), HFT_E_TLS_CONFIG);
        CHECK_EQ(err.code, HFT_E_TLS_CONFIG);
        if (strncmp(err.text, wrong[i].text, strlen(wrong[i].text)) != 0) CHECK_STR(err.text, wrong[i].text);
        CHECK_EQ(ERR_peek_error(), 0);
    }
    hft_err err = {0};
    const char *cert = path_of("client.pem");
    hft_tls_config other = {.cert_file = cert, .key_file = path_of("other.key")};
    CHECK_EQ(hft_tls_context_open(&context, &other, &err), HFT_E_TLS_CONFIG);
    CHECK(strstr(err.text, "other.key: does not belong to the client certificate") != NULL);
    hft_tls_config wide = {.cert_file = path_of("long.pem"), .key_file = path_of("client.key")};
    CHECK_EQ(hft_tls_context_open(&context, &wide, &err), HFT_E_TLS_CONFIG);
    CHECK(strstr(err.text, "long.pem: with its chain longer than 6144 bytes") != NULL);
    other.key_file = path_of("kind.key"); /* of another kind */
    CHECK_EQ(hft_tls_context_open(&context, &other, &err), HFT_E_TLS_CONFIG);
    CHECK(strstr(err.text, "kind.key: does not belong to the client certificate") != NULL);
    hft_tls_config locked = {.cert_file = cert, .key_file = path_of("locked.key")};
    CHECK_EQ(hft_tls_context_open(&context, &locked, &err), HFT_E_TLS_CONFIG);
    CHECK(strstr(err.text, "locked.key: no PEM key in it, or it needs a password") != NULL);
    locked.key_password = "a secret guess";
    CHECK_EQ(hft_tls_context_open(&context, &locked, &err), HFT_E_TLS_CONFIG);
    CHECK(strstr(err.text, "or not its password") != NULL && strstr(err.text, "guess") == NULL);
}

int main(void) {
    CHECK_EQ(hft_init(NULL), 0);
    make_identities();
    test_refused_certificates();
    test_texts_are_printable();
    test_long_texts_are_cut();
    test_pins();
    test_pin_of();
    test_versions();
    test_alpn();
    test_client_certificate();
    test_wrong_options();
    free_identities();
    return check_done();
}
