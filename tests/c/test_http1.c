/* The WebSocket upgrade: request text, response rules, every split of the head. */
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
    hft_http1_upgrade request = {host, strlen(host), target, strlen(target), KEY, headers, strlen(headers)};
    return hft_http1_build_upgrade(out, cap, &request);
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
    hft_http1_upgrade request = {"a", 1, "/", 1, "dGhlIHNhbXBsZSBub25jZQ=A", "", 0};
    CHECK_EQ(hft_http1_build_upgrade(out, sizeof out, &request), HFT_E_ARGUMENT);
    request.key = "dGhlIHNhbXBsZSBub25jZWFh"; /* 18 bytes */
    CHECK_EQ(hft_http1_build_upgrade(out, sizeof out, &request), HFT_E_ARGUMENT);
}

/* Parses an exact copy; `err` gets the detail. */
static int parse(int *status, const char *text, size_t len, hft_err *err) {
    char *copy = malloc(len != 0 ? len : 1);
    memcpy(copy, text, len);
    int rc = hft_http1_parse_upgrade(status, copy, len, ACCEPT, err);
    free(copy);
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
    check_refused("HTTP/1.1 403 Forbidden\r\n", HFT_E_HTTP_STATUS, "HTTP/1.1 403 Forbidden");
    check_refused("HTTP/1.1 418 caf\xc3\xa9\r\n", HFT_E_HTTP_STATUS, "HTTP/1.1 418 caf??");
    int status;
    CHECK_EQ(parse(&status, "HTTP/1.1 429 Slow down\r\n", 24, NULL), HFT_E_HTTP_STATUS);
    CHECK_EQ(status, 429);
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
    test_accepted();
    test_refused_fields();
    test_refused_syntax();
    test_refused_status();
    test_limit();
    return check_done();
}
