/* TLS sessions: resumption, peers that misbehave, ends, and what is told. What is encrypted by ourselves:
 * test_sys_tls_records.c. */
#include "tls_pair.h"

/* ---- resumption ---- */

static void test_resumption(void) {
    static pair p, q;
    server_options with = {.id = &good, .middle = &middle};
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    uint8_t pin[32] = {0}, none[32] = {0};
    for (size_t i = 0; i < 2; i++) {
        hft_tls_context *context = open_context(&(hft_tls_config){.ca_file = path_of("root.pem"), .resume = 1});
        with.max_version = versions[i];
        begin(&p, context, "localhost", &with);
        CHECK_EQ(shake(&p), 1);
        CHECK_EQ(p.client.resumed, 0);
        CHECK_EQ(client_reads(&p), 0); /* tickets */
        begin(&q, context, "localhost", &with); /* another connection of the same context */
        CHECK_EQ(shake(&q), 1);
        CHECK_EQ(q.client.resumed, 1);
        CHECK_EQ(SSL_session_reused(q.server), 1);
        CHECK_EQ(hft_tls_peer_pin(&q.client, pin), 1); /* known, though it was not sent again */
        CHECK(memcmp(pin, none, 32) != 0);
        end(&q);
        begin(&q, context, "localhost", &with);
        q.client.port = 444; /* another server */
        CHECK_EQ(shake(&q), 1);
        CHECK_EQ(q.client.resumed, 0);
        end(&q);
        end(&p);
        hft_tls_context_close(context);
        context = open_context(&(hft_tls_config){.ca_file = path_of("root.pem"), .resume = 0});
        begin(&p, context, "localhost", &with);
        for (int j = 0; j < 2; j++) {
            CHECK_EQ(shake(&p), 1);
            CHECK_EQ(p.client.resumed, 0);
            CHECK_EQ(client_reads(&p), 0);
        }
        end(&p);
        hft_tls_context_close(context);
    }
}

/* More servers than there are places: the one used longest ago goes. A handshake that fails forgets its session. */
static void test_sessions_are_bounded(void) {
    static pair p;
    server_options with = {.id = &good, .middle = &middle};
    hft_tls_context *context = open_context(&(hft_tls_config){.ca_file = path_of("root.pem"), .resume = 1});
    begin(&p, context, "localhost", &with);
    for (uint16_t port = 1; port <= HFT_TLS_SESSIONS_MAX + 1; port++) {
        p.client.port = 1; /* stays in use */
        CHECK_EQ(shake(&p), 1);
        CHECK_EQ(client_reads(&p), 0);
        CHECK_EQ(p.client.resumed, port > 1);
        p.client.port = port;
        if (port == 1) continue;
        CHECK_EQ(shake(&p), 1);
        CHECK_EQ(client_reads(&p), 0);
        CHECK_EQ(p.client.resumed, 0);
    }
    for (uint16_t port = 2; port <= 3; port++) {
        SSL_SESSION *kept = hft_tls_session_find(context, "localhost", port);
        CHECK_EQ(kept != NULL, port == 3);
        SSL_SESSION_free(kept);
    }
    SSL_CTX_set_max_proto_version(p.ctx, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(p.ctx, "AES128-SHA"); /* nothing in common any more */
    CHECK_EQ(shake(&p), HFT_E_TLS_PROTOCOL);
    CHECK(hft_tls_session_find(context, "localhost", p.client.port) == NULL);
    end(&p);
    hft_tls_context_close(context);
}

/* ---- what a peer may do afterwards ---- */

/* A fresh session with the usual server. */
static hft_tls_context *establish(pair *p, int version) {
    server_options with = {.id = &good, .middle = &middle, .max_version = version};
    hft_tls_context *context = open_context(&(hft_tls_config){.ca_file = path_of("root.pem"), .resume = 1});
    begin(p, context, "localhost", &with);
    CHECK_EQ(shake(p), 1);
    CHECK_EQ(client_reads(p), 0);
    return context;
}

static void finish(pair *p, hft_tls_context *context) {
    end(p);
    hft_tls_context_close(context);
}

/* The request is refused with a warning; a server that breaks off for it is explained. */
static void test_renegotiation(void) {
    static pair p;
    hft_tls_context *context = establish(&p, TLS1_2_VERSION);
    CHECK_EQ(SSL_renegotiate(p.server), 1);
    (void)SSL_do_handshake(p.server); /* HelloRequest */
    CHECK_EQ(client_reads(&p), 0);
    uint8_t data[16];
    CHECK(SSL_read(p.server, data, sizeof data) <= 0);
    CHECK_EQ(p.last_alert, SSL_AD_NO_RENEGOTIATION);
    CHECK_EQ(client_reads(&p), HFT_E_TLS_PROTOCOL); /* OpenSSL's server does not go on without */
    expect_text(&p, "handshake_failure (40): after it asked for a renegotiation, which is refused: turn it off at");
    finish(&p, context);
}

static void test_key_update_flood(int kind, int in_one_piece) {
    static pair p;
    uint8_t data[64];
    hft_tls_context *context = establish(&p, TLS1_3_VERSION);
    int rc = 0, sent = 0;
    size_t answered = 0;
    for (; rc == 0 && sent < 1000; sent++) {
        CHECK_EQ(SSL_key_update(p.server, kind), 1);
        CHECK_EQ(SSL_do_handshake(p.server), 1);
        if (in_one_piece && sent < 900) continue;
        take_from_server(&p);
        hft_tls_feed(&p.client, p.in, p.in_len);
        rc = hft_tls_read(&p.client, data, sizeof data);
        answered += p.client.out_len;
        CHECK_EQ(p.client.in_len > 0, in_one_piece); /* the rest of a flood is left where it is */
        to_server(&p);
    }
    CHECK_EQ(rc, HFT_E_TLS_PROTOCOL);
    expect_text(&p, "localhost floods us: over 32 messages (KeyUpdate) without data between");
    CHECK_EQ(sent, in_one_piece ? 901 : HFT_TLS_IDLE_MESSAGES_MAX + 1 - 2); /* it sent two tickets */
    CHECK(answered <= 32 * (HFT_TLS_IDLE_MESSAGES_MAX + 1));
    CHECK(SSL_read(p.server, data, sizeof data) <= 0);
    CHECK_EQ(p.last_alert, SSL_AD_UNEXPECTED_MESSAGE);
    finish(&p, context);
}

/* As many of them in all are no flood where data comes between; nor are a server's tickets. */
static void test_key_updates_with_data_between(void) {
    static pair p;
    hft_tls_context *context = establish(&p, TLS1_3_VERSION);
    for (int i = 0; i < 3 * HFT_TLS_IDLE_MESSAGES_MAX; i++) {
        CHECK_EQ(SSL_key_update(p.server, SSL_KEY_UPDATE_REQUESTED), 1);
        CHECK_EQ(SSL_write(p.server, "data", 4), 4);
        CHECK_EQ(client_reads(&p), 4);
    }
    CHECK_EQ(p.client.err.code, 0);
    finish(&p, context);
}

static void test_ticket_flood(void) {
    static pair p;
    hft_tls_context *context = establish(&p, TLS1_3_VERSION);
    int rc = 0, sent = 0;
    for (; rc == 0 && sent < 1000; sent++) {
        CHECK(SSL_new_session_ticket(p.server) == 1 && SSL_do_handshake(p.server) == 1);
        rc = client_reads(&p);
    }
    CHECK_EQ(rc, HFT_E_TLS_PROTOCOL);
    CHECK(sent <= HFT_TLS_IDLE_MESSAGES_MAX + 1);
    expect_text(&p, "session tickets");
    finish(&p, context);
}

/* In the handshake, and then data, a byte at a time. */
static void test_split_at_every_byte(void) {
    static pair p;
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < 2; i++) {
        server_options with = {.id = &good, .middle = &middle, .max_version = versions[i], .step = 1};
        hft_tls_context *context = open_context(&(hft_tls_config){.ca_file = path_of("root.pem"), .resume = 1});
        begin(&p, context, "localhost", &with);
        CHECK_EQ(shake(&p), 1);
        CHECK_EQ(SSL_write(p.server, "0123456789", 10), 10);
        take_from_server(&p);
        uint8_t data[32];
        size_t got = 0;
        for (size_t j = 0; j < p.in_len; j++) {
            hft_tls_feed(&p.client, p.in + j, 1);
            int n = hft_tls_read(&p.client, data + got, sizeof data - got);
            CHECK(n >= 0);
            CHECK_EQ(p.client.in_len, 0);
            got += (size_t)n;
        }
        CHECK_EQ(got, 10);
        CHECK_MEM(data, "0123456789", 10);
        finish(&p, context);
    }
}

static void test_ends(void) {
    static pair p;
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    uint8_t data[16];
    for (size_t i = 0; i < 2; i++) {
        hft_tls_context *context = establish(&p, versions[i]);
        CHECK_EQ(hft_tls_end(&p.client), HFT_E_TLS_TRUNCATED);
        expect_text(&p, "localhost ended the connection; data may be missing");
        CHECK_EQ(hft_tls_read(&p.client, data, sizeof data), HFT_E_TLS_TRUNCATED);
        finish(&p, context);

        context = establish(&p, versions[i]);
        CHECK_EQ(SSL_shutdown(p.server), 0);
        CHECK_EQ(client_reads(&p), HFT_E_CONN_CLOSED);
        CHECK_EQ(hft_tls_end(&p.client), HFT_E_CONN_CLOSED);
        finish(&p, context);

        context = establish(&p, versions[i]);
        CHECK_EQ(hft_tls_shutdown(&p.client), 0);
        CHECK(p.client.out_len > 0);
        size_t said = p.client.out_len;
        CHECK_EQ(hft_tls_write(&p.client, (const uint8_t *)"late", 4), HFT_E_STATE);
        CHECK_EQ(hft_tls_shutdown(&p.client), 0);
        CHECK_EQ(p.client.out_len, said); /* nothing follows close_notify */
        if (versions[i] == TLS1_3_VERSION) {
            CHECK(SSL_key_update(p.server, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(p.server) == 1);
            take_from_server(&p);
            hft_tls_feed(&p.client, p.in, p.in_len);
            CHECK_EQ(hft_tls_read(&p.client, data, sizeof data), 0);
            CHECK_EQ(p.client.out_len, said);
        }
        to_server(&p);
        CHECK_EQ(SSL_read(p.server, data, sizeof data), 0);
        CHECK_EQ(SSL_get_error(p.server, 0), SSL_ERROR_ZERO_RETURN);
        finish(&p, context);
    }
    hft_tls_context *context = open_context(NULL);
    begin(&p, context, "localhost", &(server_options){.id = &good});
    CHECK_EQ(hft_tls_begin(&p.client), 0);
    hft_tls_output(&p.client, p.out, sizeof p.out);
    CHECK_EQ(hft_tls_handshake(&p.client), 0);
    CHECK_EQ(hft_tls_write(&p.client, (const uint8_t *)"early", 5), HFT_E_STATE);
    CHECK_EQ(hft_tls_shutdown(&p.client), 0);
    CHECK_EQ(hft_tls_end(&p.client), HFT_E_TLS_TRUNCATED);
    expect_text(&p, "localhost ended the connection without an answer to our ClientHello: is TLS spoken on this port?");
    CHECK_EQ(hft_tls_begin(&p.client), 0);
    hft_tls_feed(&p.client, (const uint8_t *)"HTTP/1.1 400", 12);
    CHECK_EQ(hft_tls_handshake(&p.client), HFT_E_CONN_SEND_FULL); /* no output was given */
    CHECK_EQ(hft_tls_begin(&p.client), 0);
    hft_tls_output(&p.client, p.out, sizeof p.out);
    hft_tls_feed(&p.client, (const uint8_t *)"HTTP/1.\x1b 400", 12);
    CHECK_EQ(hft_tls_handshake(&p.client), HFT_E_TLS_NOT_TLS);
    expect_text(&p, "localhost answers \"HTTP/1..\", which is no TLS: wrong port");
    finish(&p, context);
}

/* ---- what is told about a connection ---- */

static void test_peer_certificate(void) {
    static pair p;
    uint8_t der[4096], expected[4096], *end_of_der = expected;
    hft_tls_context *context = establish(&p, TLS1_3_VERSION);
    int len = i2d_X509(good.cert, &end_of_der);
    CHECK_EQ(hft_tls_peer_certificate(&p.client, der, sizeof der), len);
    CHECK_MEM(der, expected, (size_t)len);
    CHECK_EQ(hft_tls_peer_certificate(&p.client, der, (size_t)len - 1), HFT_E_CAPACITY);
    CHECK_EQ(hft_tls_begin(&p.client), 0);
    CHECK_EQ(hft_tls_peer_certificate(&p.client, der, sizeof der), 0);
    finish(&p, context);
}

static void count_lines(const char *name, int *lines, int *of_ours, int *of_theirs) {
    char line[1024];
    *lines = *of_ours = *of_theirs = 0;
    FILE *file = fopen(path_of(name), "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        ++*lines;
        *of_ours += strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0;
        *of_theirs += strncmp(line, "CLIENT_RANDOM ", 14) == 0;
        CHECK(strlen(line) > 100 && line[strlen(line) - 1] == '\n');
    }
    if (file != NULL) fclose(file);
}

static void test_keylog(void) {
    static pair p;
    const char *path = path_of("keylog");
    int lines, new_secrets, old_secrets;
    struct stat info;
    hft_tls_config config = {.ca_file = path_of("root.pem"), .keylog_file = path};
    for (int i = 0; i < 2; i++) { /* appended */
        hft_tls_context *context = open_context(&config);
        server_options with = {.id = &good, .middle = &middle, .max_version = i == 0 ? TLS1_3_VERSION : TLS1_2_VERSION};
        begin(&p, context, "localhost", &with);
        CHECK_EQ(shake(&p), 1);
        CHECK_EQ(hft_tls_records_active(&p.client), i == 0); /* both want OpenSSL's one hook */
        finish(&p, context);
    }
    CHECK_EQ(stat(path, &info), 0);
    CHECK_EQ(info.st_mode & 0777, 0600);
    count_lines("keylog", &lines, &new_secrets, &old_secrets);
    CHECK_EQ(new_secrets, 1);
    CHECK_EQ(old_secrets, 1);
    hft_tls_context *none = establish(&p, 0); /* not asked for: not written */
    finish(&p, none);
    int again;
    count_lines("keylog", &again, &new_secrets, &old_secrets);
    CHECK_EQ(again, lines);
    CHECK_EQ(chmod(path, 0640), 0);
    hft_err err = {0};
    CHECK_EQ(hft_tls_context_open(&none, &config, &err), HFT_E_TLS_CONFIG);
    CHECK(strstr(err.text, "others may read it: chmod 600") != NULL);
    unlink(path);
    CHECK_EQ(chmod(path_of("client.pem"), 0600), 0);
    CHECK_EQ(symlink("client.pem", path), 0);
    CHECK_EQ(hft_tls_context_open(&none, &config, &err), HFT_E_TLS_CONFIG);
}

int main(void) {
    CHECK_EQ(hft_init(NULL), 0);
    make_identities();
    test_resumption();
    test_sessions_are_bounded();
    test_renegotiation();
    test_key_update_flood(SSL_KEY_UPDATE_REQUESTED, 0);
    test_key_update_flood(SSL_KEY_UPDATE_REQUESTED, 1);
    test_key_update_flood(SSL_KEY_UPDATE_NOT_REQUESTED, 0);
    test_key_updates_with_data_between();
    test_ticket_flood();
    test_split_at_every_byte();
    test_ends();
    test_peer_certificate();
    test_keylog();
    free_identities();
    return check_done();
}
