/* Any response or request head: the verdict on the whole is the verdict on its prefixes. Any parts of a request or
 * response: what is built is one head, which the other side takes, or nothing. */
#include <stdlib.h>
#include <string.h>

#include <hft/http1.h>

#define REQUIRE(cond) ((cond) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char accept_value[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
static const hft_http1_upgrade offered = {
    .subprotocols = "chat, v2", .subprotocols_len = 8,
    .extensions = "permessage-deflate; client_max_window_bits, x", .extensions_len = 45,
};

static void require_view(const char *view, size_t view_len, const char *text, size_t size) {
    if (view_len != 0) REQUIRE(view >= text && view_len <= size && view <= text + size - view_len);
}

static void response(const char *text, size_t size) {
    hft_err err = {0};
    hft_http1_response r;
    int rc = hft_http1_parse_upgrade(&r, text, size, &offered, accept_value, &err);
    REQUIRE(rc <= (int)size && r.head_len <= size);
    if (rc < 0) REQUIRE(err.code == rc && err.pos <= size);
    if (rc == 0) REQUIRE(r.head_len == 0);
    if (r.head_len != 0) REQUIRE(memcmp(text + r.head_len - 4, "\r\n\r\n", 4) == 0);
    if (rc == HFT_E_HTTP_STATUS) REQUIRE(r.status >= 100 && r.status != 101);
    require_view(r.subprotocol, r.subprotocol_len, text, size);
    require_view(r.extensions, r.extensions_len, text, size);
    if (rc > 0) {
        hft_http1_response again;
        REQUIRE(r.status == 101 && r.head_len == (size_t)rc);
        REQUIRE(r.subprotocol_len == 0 || (r.subprotocol_len == 4 && memcmp(r.subprotocol, "chat", 4) == 0) ||
                (r.subprotocol_len == 2 && memcmp(r.subprotocol, "v2", 2) == 0));
        REQUIRE(hft_http1_parse_upgrade(&again, text, (size_t)rc, &offered, accept_value, NULL) == rc);
        REQUIRE(hft_http1_parse_upgrade(&again, text, (size_t)rc - 1, &offered, accept_value, NULL) == 0);
    }
    /* One byte less was undecided, or decided the same. */
    if (size != 0) {
        int before = hft_http1_parse_upgrade(&r, text, size - 1, &offered, accept_value, NULL);
        REQUIRE(before == 0 || before == rc);
    }
}

static void require_list(const hft_http1_request *r, const char *list, size_t list_len, const char *text, size_t size) {
    int joined = list >= r->joined && list < r->joined + sizeof r->joined;
    require_view(list, list_len, joined ? r->joined : text, joined ? sizeof r->joined : size);
}

static void request(const char *text, size_t size) {
    hft_err err = {0};
    hft_http1_request r;
    int rc = hft_http1_parse_request(&r, text, size, &err);
    REQUIRE(rc <= (int)size);
    if (rc < 0) REQUIRE(err.code == rc && err.pos <= size);
    if (rc > 0) {
        require_view(r.target, r.target_len, text, (size_t)rc);
        require_view(r.host, r.host_len, text, (size_t)rc);
        require_view(r.key, HFT_HTTP1_KEY_LEN, text, (size_t)rc);
        require_list(&r, r.subprotocols, r.subprotocols_len, text, (size_t)rc);
        require_list(&r, r.extensions, r.extensions_len, text, (size_t)rc);
        REQUIRE(r.target[0] == '/' && r.host_len != 0);
        REQUIRE(hft_http1_parse_request(&r, text, (size_t)rc - 1, NULL) == 0);
    }
    if (size != 0) {
        int before = hft_http1_parse_request(&r, text, size - 1, NULL);
        REQUIRE(before == 0 || before == rc);
    }
}

/* The text's parts as those of a request; what is built is parsed. */
static void build(const char *text, size_t size) {
    char out[512];
    size_t part = size / 8, lists = size / 4;
    hft_http1_upgrade parts = {
        .host = text,
        .host_len = part,
        .target = text + part,
        .target_len = part,
        .key = "dGhlIHNhbXBsZSBub25jZQ==",
        .subprotocols = text + 2 * part,
        .subprotocols_len = lists,
        .extensions = text + 2 * part + lists,
        .extensions_len = lists,
        .headers = text + 2 * part + 2 * lists,
        .headers_len = size - 2 * part - 2 * lists,
    };
    int rc = hft_http1_build_upgrade(out, sizeof out, &parts);
    if (rc >= 0) {
        hft_http1_request r;
        const char *end = memmem(out, (size_t)rc, "\r\n\r\n", 4);
        REQUIRE(end == out + rc - 4);
        REQUIRE(hft_http1_parse_request(&r, out, (size_t)rc, NULL) == rc);
        REQUIRE(r.target_len == parts.target_len && r.host_len == parts.host_len);
    }
    hft_http1_answer answer = {accept_value, parts.subprotocols, parts.subprotocols_len, parts.extensions,
                               parts.extensions_len};
    rc = hft_http1_build_response(out, sizeof out, &answer);
    if (rc >= 0) {
        hft_http1_response r;
        REQUIRE(hft_http1_parse_upgrade(&r, out, (size_t)rc, &parts, accept_value, NULL) == rc);
        REQUIRE(r.subprotocol_len == parts.subprotocols_len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    response((const char *)data, size);
    request((const char *)data, size);
    build((const char *)data, size);
    return 0;
}
