/* The WebSocket upgrade: requests, responses, the rules for both, every split of their heads. */
#include "check.h"

#include <stdlib.h>

#include <hft/http1.h>

/* Key and accept value of RFC 6455 section 1.3. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define STATUS_LINE "HTTP/1.1 101 Switching Protocols\r\n"
#define UPGRADE "Upgrade: websocket\r\n"
#define CONNECTION "Connection: Upgrade\r\n"
#define ACCEPTED "Sec-WebSocket-Accept: " ACCEPT "\r\n"
#define GOOD STATUS_LINE UPGRADE CONNECTION ACCEPTED "\r\n"

static int build(char *out, size_t cap, const char *host, const char *target, const char *headers) {
    hft_http1_upgrade request = {host, strlen(host), target, strlen(target), KEY, headers, strlen(headers),
                                 "", 0, "", 0};
    return hft_http1_build_upgrade(out, cap, &request);
}

static hft_http1_upgrade offering(const char *subprotocols, const char *extensions) {
    return (hft_http1_upgrade){"a", 1, "/", 1, KEY, "", 0,
                               subprotocols, strlen(subprotocols), extensions, strlen(extensions)};
}

static void test_request(void) {
    static const char expected[] = "GET /ws-api/v3?a=b HTTP/1.1\r\n"
                                   "Host: ws-api.binance.com:9443\r\n"
                                   "Upgrade: websocket\r\n"
                                   "Connection: Upgrade\r\n"
                                   "Sec-WebSocket-Key: " KEY "\r\n"
                                   "Sec-WebSocket-Version: 13\r\n"
                                   "User-Agent: hftcore\r\n"
                                   "X-A:\tb c \r\n"
                                   "\r\n";
    static const char headers[] = "User-Agent: hftcore\r\nX-A:\tb c \r\n";
    char out[1000];
    size_t len = sizeof expected - 1;
    for (size_t cap = 0; cap < len; cap++) {
        char *exact = malloc(cap != 0 ? cap : 1);
        CHECK_EQ(build(exact, cap, "ws-api.binance.com:9443", "/ws-api/v3?a=b", headers), HFT_E_CAPACITY);
        free(exact);
    }
    CHECK_EQ(build(out, len, "ws-api.binance.com:9443", "/ws-api/v3?a=b", headers), len);
    CHECK_MEM(out, expected, len);
}

static void test_request_refused(void) {
    char out[1000];
    static const char *const hosts[] = {"", "a b", "a\r\nX: y", "a\x7f", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        CHECK_EQ(build(out, sizeof out, hosts[i], "/", ""), HFT_E_ARGUMENT);
    static const char *const targets[] = {"", "x", "/a b", "/\r\n", "/#top", "*", "http://a/"};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
        CHECK_EQ(build(out, sizeof out, "a", targets[i], ""), HFT_E_ARGUMENT);
    static const char *const headers[] = {
        "X", "X: y", "X: y\n", "X: y\r\n\r\n", "\r\n", "X y: z\r\n", "X : y\r\n", ": y\r\n", "X: \x01\r\n", " X: y\r\n",
        "X: y\r\n folded\r\n", "X: y\rz\r\n", "Host: b\r\n", "upgrade: h2c\r\n", "Connection: close\r\n",
        "SEC-WebSocket-Protocol: a\r\n", "Sec-WebSocket-Extensions: permessage-deflate\r\n", "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        CHECK_EQ(build(out, sizeof out, "a", "/", headers[i]), HFT_E_ARGUMENT);
    hft_http1_upgrade request = offering("", "");
    request.key = "dGhlIHNhbXBsZSBub25jZQ=A";
    CHECK_EQ(hft_http1_build_upgrade(out, sizeof out, &request), HFT_E_ARGUMENT);
    request.key = "dGhlIHNhbXBsZSBub25jZWFh"; /* 18 bytes */
    CHECK_EQ(hft_http1_build_upgrade(out, sizeof out, &request), HFT_E_ARGUMENT);
}

static void test_request_offers(void) {
    static const char expected[] = "GET / HTTP/1.1\r\n"
                                   "Host: a\r\n"
                                   "Upgrade: websocket\r\n"
                                   "Connection: Upgrade\r\n"
                                   "Sec-WebSocket-Key: " KEY "\r\n"
                                   "Sec-WebSocket-Version: 13\r\n"
                                   "Sec-WebSocket-Protocol: v2.chat, chat\r\n"
                                   "Sec-WebSocket-Extensions: a; b=\"c\", d\r\n"
                                   "\r\n";
    char out[1000];
    hft_http1_upgrade request = offering("v2.chat, chat", "a; b=\"c\", d");
    CHECK_EQ(hft_http1_build_upgrade(out, sizeof out, &request), sizeof expected - 1);
    CHECK_MEM(out, expected, sizeof expected - 1);
    static const char *const subprotocols[] = {" ", ",", "a,", ",a", "a,,b", "a, b, a", "a b", "a;b",
                                               "a\r\nX: y", "\"a\"",
                                               "\xc3\xa9"};
    for (size_t i = 0; i < sizeof subprotocols / sizeof subprotocols[0]; i++) {
        request = offering(subprotocols[i], "");
        CHECK_EQ(hft_http1_build_upgrade(out, sizeof out, &request), HFT_E_ARGUMENT);
    }
    static const char *const extensions[] = {" ", ",", ";", ";a", "a;", "a; b=\"c", "a; =b", "a; b=", "a b", "a=b",
                                             "a\r\nX: y", "a; b=\"",
                                             "a; b=\"\"", "a; b=\"c d\"", "a; b=\"c\\", "a; b=c d", "\"a\""};
    for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++) {
        char *exact = malloc(strlen(extensions[i]));
        memcpy(exact, extensions[i], strlen(extensions[i]));
        request = offering("", extensions[i]);
        request.extensions = exact;
        CHECK_EQ(hft_http1_build_upgrade(out, sizeof out, &request), HFT_E_ARGUMENT);
        free(exact);
    }
}

/* Parses an exact copy, of which nothing is left: lengths and `err` are what remains. */
static int parse_offered(hft_http1_response *response, const char *text, size_t len, const hft_http1_upgrade *request,
                         hft_err *err) {
    char *copy = malloc(len != 0 ? len : 1);
    memcpy(copy, text, len);
    int rc = hft_http1_parse_upgrade(response, copy, len, request, ACCEPT, err);
    /* Views are into the head. */
    if (response->subprotocol_len != 0)
        CHECK(response->subprotocol > copy && response->subprotocol + response->subprotocol_len <= copy + len);
    if (response->extensions_len != 0)
        CHECK(response->extensions > copy && response->extensions + response->extensions_len <= copy + len);
    if (response->subprotocol_len != 0) response->subprotocol = text + (response->subprotocol - copy);
    if (response->extensions_len != 0) response->extensions = text + (response->extensions - copy);
    free(copy);
    return rc;
}

static int parse(int *status, const char *text, size_t len, hft_err *err) {
    hft_http1_upgrade nothing = offering("", "");
    hft_http1_response response;
    int rc = parse_offered(&response, text, len, &nothing, err);
    *status = response.status;
    CHECK_EQ(response.subprotocol_len + response.extensions_len, 0);
    if (rc > 0) CHECK_EQ(response.head_len, rc);
    if (rc == 0) CHECK_EQ(response.head_len, 0);
    return rc;
}

static void check_accepted(const char *head) {
    size_t len = strlen(head);
    int status;
    for (size_t i = 0; i < len; i++) CHECK_EQ(parse(&status, head, i, NULL), 0);
    CHECK_EQ(parse(&status, head, len, NULL), len);
    CHECK_EQ(status, 101);
}

static void test_accepted(void) {
    check_accepted(GOOD);
    check_accepted(STATUS_LINE "UPGRADE:WebSocket\r\nconnection: keep-alive\t, ,upGrade \r\n"
                               "sec-websocket-ACCEPT:\t" ACCEPT " \r\n\r\n");
    check_accepted(STATUS_LINE UPGRADE "Connection: keep-alive\r\n" CONNECTION ACCEPTED
                   "Server: \xc3\xa9\r\nEmpty:\r\n\r\n");
    check_accepted("HTTP/1.1 101 \r\n" UPGRADE CONNECTION ACCEPTED "\r\n");
    int status;
    CHECK_EQ(parse(&status, GOOD "\x81\x01", strlen(GOOD) + 2, NULL), strlen(GOOD)); /* frames follow */
}

/* The whole head is refused, and no part of it is accepted. */
static void check_refused(const char *head, int expected, const char *detail) {
    hft_err err = {0};
    int status, rc = 0;
    for (size_t i = 0; rc == 0 && i <= strlen(head); i++) rc = parse(&status, head, i, &err);
    CHECK_EQ(rc, expected);
    rc = parse(&status, head, strlen(head), &err);
    CHECK_EQ(rc, expected);
    if (rc < 0) CHECK_EQ(err.code, expected);
    if (rc != expected) fprintf(stderr, "    head: %s\n", head);
    if (detail != NULL) CHECK_STR(err.text, detail);
}

static void test_refused_fields(void) {
    check_refused(STATUS_LINE CONNECTION ACCEPTED "\r\n", HFT_E_HTTP_UPGRADE, "no Upgrade: websocket");
    check_refused(STATUS_LINE UPGRADE ACCEPTED "\r\n", HFT_E_HTTP_UPGRADE, "no Connection: Upgrade");
    check_refused(STATUS_LINE UPGRADE CONNECTION "\r\n", HFT_E_HTTP_ACCEPT, "no Sec-WebSocket-Accept");
    check_refused(STATUS_LINE "Upgrade: h2c\r\n" CONNECTION ACCEPTED "\r\n", HFT_E_HTTP_UPGRADE, "Upgrade: h2c");
    check_refused(STATUS_LINE UPGRADE UPGRADE CONNECTION ACCEPTED "\r\n", HFT_E_HTTP_UPGRADE, NULL);
    check_refused(STATUS_LINE UPGRADE "Connection: Upgrader, close\r\n" ACCEPTED "\r\n", HFT_E_HTTP_UPGRADE, NULL);
    check_refused(STATUS_LINE UPGRADE "Connection: \"Upgrade\"\r\n" ACCEPTED "\r\n", HFT_E_HTTP_UPGRADE, NULL);
    check_refused(STATUS_LINE UPGRADE CONNECTION "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
                  HFT_E_HTTP_ACCEPT, NULL); /* the accept value is case-sensitive */
    check_refused(STATUS_LINE UPGRADE CONNECTION "Sec-WebSocket-Accept: \r\n\r\n", HFT_E_HTTP_ACCEPT, NULL);
    check_refused(STATUS_LINE UPGRADE CONNECTION ACCEPTED ACCEPTED "\r\n", HFT_E_HTTP_ACCEPT, NULL);
    check_refused(STATUS_LINE UPGRADE CONNECTION ACCEPTED "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
                  HFT_E_HTTP_EXTENSION, "Sec-WebSocket-Extensions: permessage-deflate");
    check_refused(STATUS_LINE UPGRADE CONNECTION ACCEPTED "sec-websocket-protocol: chat\r\n\r\n", HFT_E_HTTP_EXTENSION,
                  NULL);
}

static void test_refused_syntax(void) {
    static const char *const heads[] = {
        "HTTP/1.0 101 Switching Protocols\r\n",
        "HTTP/2 101\r\n",
        "http/1.1 101 Switching Protocols\r\n",
        "HTTP/1.1  101 Switching Protocols\r\n",
        "HTTP/1.1 101\r\n",
        "HTTP/1.1 1012 X\r\n",
        "HTTP/1.1 10 X\r\n",
        "HTTP/1.1 0x1 X\r\n",
        "HTTP/1.1 001 X\r\n",
        "HTTP/1.1 101 a\x01\r\n",
        "HTTP/1.1 101 Switching Protocols\n",
        "\r\nHTTP/1.1 101 X\r\n",
        "\x15\x03\x01\x00\x02",
        STATUS_LINE "Upgrade: websocket\n",
        STATUS_LINE "\n",
        STATUS_LINE "Upgrade : websocket\r\n",
        STATUS_LINE "Upgrade\r\n",
        STATUS_LINE ": websocket\r\n",
        STATUS_LINE " Upgrade: websocket\r\n",
        STATUS_LINE UPGRADE " folded\r\n",
        STATUS_LINE UPGRADE "\tfolded\r\n",
        STATUS_LINE "X: a\rb\r\n",
        STATUS_LINE "X: a\r\r\n",
        STATUS_LINE "X: a\x7f\r\n",
        STATUS_LINE "X(: a\r\n",
        STATUS_LINE "X\xc3\xa9: a\r\n",
    };
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) check_refused(heads[i], HFT_E_HTTP_SYNTAX, NULL);
    int status;
    CHECK_EQ(parse(&status, STATUS_LINE "X: a\0b\r\n", sizeof(STATUS_LINE "X: a\0b\r\n") - 1, NULL), HFT_E_HTTP_SYNTAX);
}

static void test_refused_status(void) {
    check_refused("HTTP/1.1 403 Forbidden\r\n\r\n", HFT_E_HTTP_STATUS, "HTTP/1.1 403 Forbidden");
    check_refused("HTTP/1.1 418 caf\xc3\xa9\r\nUpgrade: h2c\r\n\r\n", HFT_E_HTTP_STATUS, "HTTP/1.1 418 caf??");
    check_refused("HTTP/1.1 500 X\r\nno field\nat all", HFT_E_HTTP_STATUS, "HTTP/1.1 500 X");
}

/* What a refusal leaves to its owner; nothing is decided before the head is whole. */
static void check_refusal(const char *text, size_t head_len, size_t body_len) {
    hft_http1_upgrade nothing = offering("", "");
    hft_http1_response response;
    hft_err err = {0};
    for (size_t i = 0; i < head_len; i++) {
        CHECK_EQ(parse_offered(&response, text, i, &nothing, &err), 0);
        CHECK_EQ(response.status, i >= 24 ? 429 : 0);
        CHECK_EQ(response.head_len, 0);
    }
    CHECK_EQ(parse_offered(&response, text, strlen(text), &nothing, &err), HFT_E_HTTP_STATUS);
    CHECK_EQ(response.status, 429);
    CHECK_EQ(response.head_len, head_len);
    CHECK(response.body_len == body_len);
    CHECK_STR(err.text, "HTTP/1.1 429 Slow down");
}

static void test_refusal(void) {
#define SLOW "HTTP/1.1 429 Slow down\r\n"
    check_refusal(SLOW "\r\n", 26, SIZE_MAX);
    check_refusal(SLOW "content-LENGTH: 12 \r\n\r\n{\"code\":-1}", 47, 12);
    check_refusal(SLOW "Content-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\n0", 74, SIZE_MAX);
    check_refusal(SLOW "Content-Length: -1\r\nx\r\n: \r\n\r\n", 53, SIZE_MAX);
    check_refusal(SLOW UPGRADE UPGRADE "Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Accept: x\r\n\r\n", 118, SIZE_MAX);
    hft_http1_upgrade nothing = offering("", "");
    hft_http1_response response;
    static char head[HFT_HTTP1_HEAD_MAX + 1] = SLOW;
    memset(head + strlen(SLOW), 'x', HFT_HTTP1_HEAD_MAX - strlen(SLOW));
    CHECK_EQ(parse_offered(&response, head, HFT_HTTP1_HEAD_MAX - 1, &nothing, NULL), 0);
    CHECK_EQ(parse_offered(&response, head, HFT_HTTP1_HEAD_MAX, &nothing, NULL), HFT_E_HTTP_STATUS);
    CHECK_EQ(response.head_len, 0);
    CHECK_EQ(parse_offered(&response, SLOW "x\n\r\n", strlen(SLOW) + 4, &nothing, NULL), HFT_E_HTTP_STATUS);
    CHECK_EQ(response.head_len, 0);
}

static void check_chosen(const char *offered, const char *fields, const char *subprotocol, const char *extensions) {
    char head[1000];
    hft_http1_upgrade request = offering(offered, "x; y=1, deflate; z");
    hft_http1_response response;
    int len = snprintf(head, sizeof head, STATUS_LINE UPGRADE CONNECTION "%s" ACCEPTED "\r\n", fields);
    for (int i = 0; i < len; i++) CHECK_EQ(parse_offered(&response, head, (size_t)i, &request, NULL), 0);
    CHECK_EQ(parse_offered(&response, head, (size_t)len, &request, NULL), len);
    CHECK_EQ(response.subprotocol_len, strlen(subprotocol));
    CHECK_EQ(response.extensions_len, strlen(extensions));
    if (response.subprotocol_len != 0) CHECK_MEM(response.subprotocol, subprotocol, strlen(subprotocol));
    if (response.extensions_len != 0) CHECK_MEM(response.extensions, extensions, strlen(extensions));
}

static void check_not_offered(const char *offered, const char *fields) {
    char head[1000];
    hft_http1_upgrade request = offering(offered, "x; y=1, deflate; z");
    hft_http1_response response;
    hft_err err = {0};
    int len = snprintf(head, sizeof head, STATUS_LINE UPGRADE CONNECTION ACCEPTED "%s\r\n", fields);
    CHECK_EQ(parse_offered(&response, head, (size_t)len, &request, &err), HFT_E_HTTP_EXTENSION);
    CHECK(strncmp(err.text, "Sec-WebSocket-", 14) == 0);
}

static void test_chosen(void) {
#define PROTOCOL "Sec-WebSocket-Protocol: "
#define EXTENSIONS "Sec-WebSocket-Extensions: "
    check_chosen("a, b", "", "", "");
    check_chosen("a, b", PROTOCOL "b\r\n", "b", "");
    check_chosen("a,b", PROTOCOL " a \r\n", "a", "");
    check_chosen("", EXTENSIONS "deflate; any=\"1\"; thing\r\n", "", "deflate; any=\"1\"; thing");
    check_chosen("chat", EXTENSIONS "deflate,x\r\n" PROTOCOL "chat\r\n", "chat", "deflate,x");
    check_not_offered("", PROTOCOL "a\r\n");
    check_not_offered("", PROTOCOL "\r\n");
    check_not_offered("a, b", PROTOCOL "\r\n");
    check_not_offered("a, b", PROTOCOL "c\r\n");
    check_not_offered("a, b", PROTOCOL "B\r\n");
    check_not_offered("a, b", PROTOCOL "a, b\r\n");
    check_not_offered("a, b", PROTOCOL "a\r\n" PROTOCOL "a\r\n");
    check_not_offered("a, b", EXTENSIONS "y\r\n"); /* a parameter's name is no extension's */
    check_not_offered("a, b", EXTENSIONS "deflate, other\r\n");
    check_not_offered("a, b", EXTENSIONS "Deflate\r\n");
    check_not_offered("a, b", EXTENSIONS "deflate;\r\n");
    check_not_offered("a, b", EXTENSIONS "\r\n");
    check_not_offered("a, b", EXTENSIONS "deflate\r\n" EXTENSIONS "x\r\n");
}

static void test_extension_pieces(void) {
    static const struct {
        int is_param;
        const char *name, *value;
    } expected[] = {{0, "a", NULL},     {1, "b", NULL}, {1, "c", "1"}, {1, "d", "\\1!"},
                    {1, "e", "f"}, {0, "g", NULL}, {0, "h", NULL}, {1, "i", NULL}};
    static const char list[] = " ,, a ;b;\tc=1 ; d=\"\\1!\"; e = f,g, ,h;i , ";
    hft_http1_extension piece;
    size_t pos = 0;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        CHECK_EQ(hft_http1_next_extension(&piece, &pos, list, sizeof list - 1), 1);
        CHECK_EQ(piece.is_param, expected[i].is_param);
        CHECK_EQ(piece.name_len, strlen(expected[i].name));
        CHECK_MEM(piece.name, expected[i].name, piece.name_len);
        CHECK_EQ(piece.value == NULL, expected[i].value == NULL);
        if (piece.value == NULL || expected[i].value == NULL) continue;
        CHECK_EQ(piece.value_len, strlen(expected[i].value));
        CHECK_MEM(piece.value, expected[i].value, piece.value_len);
    }
    CHECK_EQ(hft_http1_next_extension(&piece, &pos, list, sizeof list - 1), 0);
}

/* ---- server ---- */

#define REQUEST_LINE "GET /x?y=z HTTP/1.1\r\n"
#define HOST "Host: a:9\r\n"
#define KEYED "Sec-WebSocket-Key: " KEY "\r\n"
#define VERSIONED "Sec-WebSocket-Version: 13\r\n"
#define FIELDS HOST UPGRADE CONNECTION KEYED VERSIONED

static int parse_request(hft_http1_request *request, const char *text, size_t len, hft_err *err) {
    char *copy = malloc(len != 0 ? len : 1);
    memcpy(copy, text, len);
    int rc = hft_http1_parse_request(request, copy, len, err);
    if (rc > 0) {
        CHECK_EQ(request->target_len, strlen("/x?y=z"));
        CHECK_MEM(request->target, "/x?y=z", request->target_len);
        CHECK_EQ(request->host_len, strlen("a:9"));
        CHECK_MEM(request->host, "a:9", request->host_len);
        CHECK_MEM(request->key, KEY, HFT_HTTP1_KEY_LEN);
    }
    free(copy);
    return rc;
}

static void check_request(const char *head) {
    hft_http1_request request;
    size_t len = strlen(head);
    for (size_t i = 0; i < len; i++) CHECK_EQ(parse_request(&request, head, i, NULL), 0);
    CHECK_EQ(parse_request(&request, head, len, NULL), len);
}

static void test_server_request(void) {
    check_request(REQUEST_LINE FIELDS "\r\n");
    check_request(REQUEST_LINE VERSIONED KEYED "connection:keep-alive,upgrade\r\nUPGRADE: h2c, WebSocket\r\n" HOST
                               "Content-Length: 0\r\nUpgrade: h2c\r\nConnection: close\r\n"
                               "User-Agent: caf\xc3\xa9\r\n\r\n");
    hft_http1_request request;
    static const char lists[] = REQUEST_LINE FIELDS PROTOCOL "\r\n" PROTOCOL "a, b\r\n" EXTENSIONS "x; y\r\n" PROTOCOL
                                                   "c\r\n" EXTENSIONS "z\r\n" PROTOCOL "d\r\n" PROTOCOL "\r\n\r\n\x81";
    CHECK_EQ(hft_http1_parse_request(&request, lists, sizeof lists - 1, NULL), sizeof lists - 2);
    CHECK_EQ(request.subprotocols_len, 10);
    CHECK_MEM(request.subprotocols, "a, b, c, d", 10);
    CHECK_EQ(request.extensions_len, 7);
    CHECK_MEM(request.extensions, "x; y, z", 7);
}

static void check_request_refused(const char *head, int expected) {
    hft_http1_request request;
    hft_err err = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i <= strlen(head); i++) rc = parse_request(&request, head, i, &err);
    CHECK_EQ(rc, expected);
    CHECK_EQ(parse_request(&request, head, strlen(head), &err), expected);
    if (rc != expected) fprintf(stderr, "    head: %s\n", head);
    CHECK_EQ(err.code, expected);
    CHECK(err.text[0] != '\0');
}

static void test_server_request_refused(void) {
    static const char *const malformed[] = {
        "POST / HTTP/1.1\r\n", "GET http://a/ HTTP/1.1\r\n", "GET / HTTP/1.0\r\n", "GET  / HTTP/1.1\r\n", "GET /\r\n",
        "GET / x HTTP/1.1\r\n", "GET /#a HTTP/1.1\r\n", "GET /\x80 HTTP/1.1\r\n", "GET / HTTP/1.1 \r\n",
        "GET / HTTP/1.1\n", "\x16\x03\x01", "GET /HTTP/1.1\r\n", REQUEST_LINE "X\r\n", REQUEST_LINE "X : y\r\n",
        REQUEST_LINE "X: y\n", REQUEST_LINE HOST HOST, REQUEST_LINE "Host:\r\n", REQUEST_LINE "Host: a b\r\n",
        REQUEST_LINE "Content-Length: 1\r\n", REQUEST_LINE "Transfer-Encoding: chunked\r\n",
        REQUEST_LINE UPGRADE CONNECTION KEYED VERSIONED "\r\n",
    };
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
        check_request_refused(malformed[i], HFT_E_HTTP_SYNTAX);
    static const char *const no_upgrade[] = {
        REQUEST_LINE HOST CONNECTION KEYED VERSIONED "\r\n", REQUEST_LINE HOST UPGRADE KEYED VERSIONED "\r\n",
        REQUEST_LINE HOST UPGRADE CONNECTION VERSIONED "\r\n", REQUEST_LINE HOST UPGRADE CONNECTION KEYED "\r\n",
        REQUEST_LINE HOST "Upgrade: h2c\r\n" CONNECTION KEYED VERSIONED "\r\n",
        REQUEST_LINE "Sec-WebSocket-Version: 8\r\n", REQUEST_LINE VERSIONED VERSIONED, REQUEST_LINE KEYED KEYED,
        REQUEST_LINE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=A\r\n", REQUEST_LINE "Sec-WebSocket-Key: AAAA\r\n",
        REQUEST_LINE "Sec-WebSocket-Key: " KEY "\t" KEY "\r\n", REQUEST_LINE "Sec-WebSocket-Key: AAAA" KEY "\r\n",
    };
    for (size_t i = 0; i < sizeof no_upgrade / sizeof no_upgrade[0]; i++)
        check_request_refused(no_upgrade[i], HFT_E_HTTP_UPGRADE);
}

/* Lists that come in parts are joined in a place that is long enough, or not at all. */
static void test_server_request_limit(void) {
    static char head[HFT_HTTP1_HEAD_MAX + 1];
    hft_http1_request request;
    for (size_t over = 0; over < 2; over++) {
        size_t half = HFT_HTTP1_JOINED_MAX / 2 - 1;
        int len = snprintf(head, sizeof head, REQUEST_LINE FIELDS PROTOCOL "%0*d\r\n" PROTOCOL "%0*d\r\n\r\n",
                           (int)half, 1, (int)(half + over), 2);
        CHECK_EQ(hft_http1_parse_request(&request, head, (size_t)len, NULL), over ? HFT_E_HTTP_TOO_LARGE : len);
        if (over == 0) CHECK_EQ(request.subprotocols_len, HFT_HTTP1_JOINED_MAX);
    }
    memset(head, 'x', sizeof head);
    memcpy(head, REQUEST_LINE, strlen(REQUEST_LINE));
    CHECK_EQ(hft_http1_parse_request(&request, head, HFT_HTTP1_HEAD_MAX - 1, NULL), 0);
    CHECK_EQ(hft_http1_parse_request(&request, head, HFT_HTTP1_HEAD_MAX, NULL), HFT_E_HTTP_TOO_LARGE);
}

static int respond(char *out, size_t cap, const char *accept, const char *subprotocol, const char *extensions) {
    hft_http1_answer answer = {accept, subprotocol, strlen(subprotocol), extensions, strlen(extensions)};
    return hft_http1_build_response(out, cap, &answer);
}

static void test_server_response(void) {
    char out[1000];
    int len = respond(out, sizeof out, ACCEPT, "", "");
    CHECK_EQ(len, strlen(GOOD));
    CHECK_MEM(out, GOOD, strlen(GOOD));
    for (int cap = 0; cap < len; cap++) CHECK_EQ(respond(out, (size_t)cap, ACCEPT, "", ""), HFT_E_CAPACITY);
    hft_http1_upgrade request = offering("a, b", "x; y=1");
    hft_http1_response response;
    len = respond(out, sizeof out, ACCEPT, "b", "x; z");
    CHECK_EQ(hft_http1_parse_upgrade(&response, out, (size_t)len, &request, ACCEPT, NULL), len);
    CHECK_MEM(response.subprotocol, "b", 1);
    CHECK_MEM(response.extensions, "x; z", 4);
    CHECK_EQ(respond(out, sizeof out, "s3pPLMBiTxaQ9kYGzzhZRbK+xO==", "", ""), HFT_E_ARGUMENT);
    CHECK_EQ(respond(out, sizeof out, KEY "AAAA", "", ""), HFT_E_ARGUMENT);
    CHECK_EQ(respond(out, sizeof out, "AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "", ""), HFT_E_ARGUMENT); /* 21 bytes */
    CHECK_EQ(respond(out, sizeof out, ACCEPT, "a, b", ""), HFT_E_ARGUMENT);
    CHECK_EQ(respond(out, sizeof out, ACCEPT, "a\r\nX: y", ""), HFT_E_ARGUMENT);
    CHECK_EQ(respond(out, sizeof out, ACCEPT, "", "a\r\nX: y"), HFT_E_ARGUMENT);
    CHECK_EQ(respond(out, sizeof out, ACCEPT, "", ","), HFT_E_ARGUMENT);
}

static void test_limit(void) {
    static char head[HFT_HTTP1_HEAD_MAX + 1000];
    size_t fixed = strlen(GOOD) - 2;
    memcpy(head, GOOD, fixed);
    memset(head + fixed, 'x', sizeof head - fixed);
    memcpy(head + fixed, "X: ", 3);
    int status;
    CHECK_EQ(parse(&status, head, HFT_HTTP1_HEAD_MAX - 1, NULL), 0);
    CHECK_EQ(parse(&status, head, HFT_HTTP1_HEAD_MAX, NULL), HFT_E_HTTP_TOO_LARGE);
    CHECK_EQ(parse(&status, head, sizeof head, NULL), HFT_E_HTTP_TOO_LARGE);
    memcpy(head + HFT_HTTP1_HEAD_MAX - 4, "\r\n\r\n", 4);
    CHECK_EQ(parse(&status, head, sizeof head, NULL), HFT_HTTP1_HEAD_MAX);
    memcpy(head + HFT_HTTP1_HEAD_MAX - 4, "x\r\n\r\n", 5);
    CHECK_EQ(parse(&status, head, sizeof head, NULL), HFT_E_HTTP_TOO_LARGE);
}

int main(void) {
    test_request();
    test_request_refused();
    test_request_offers();
    test_accepted();
    test_refused_fields();
    test_refused_syntax();
    test_refused_status();
    test_refusal();
    test_chosen();
    test_extension_pieces();
    test_server_request();
    test_server_request_refused();
    test_server_request_limit();
    test_server_response();
    test_limit();
    return check_done();
}
