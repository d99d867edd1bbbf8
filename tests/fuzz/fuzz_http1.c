/* Any response head: the verdict on the whole is the verdict on its prefixes. Any request parts: what is built is
 * one head, or nothing. */
#include <stdlib.h>
#include <string.h>

#include <hft/http1.h>

#define REQUIRE(cond) ((cond) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void response(const char *text, size_t size) {
    static const char accept[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    hft_err err = {0};
    int status, before;
    int rc = hft_http1_parse_upgrade(&status, text, size, accept, &err);
    REQUIRE(rc <= (int)size);
    if (rc < 0) REQUIRE(err.code == rc && err.pos <= size);
    if (rc > 0) {
        REQUIRE(status == 101);
        REQUIRE(hft_http1_parse_upgrade(&status, text, (size_t)rc, accept, NULL) == rc);
        REQUIRE(hft_http1_parse_upgrade(&status, text, (size_t)rc - 1, accept, NULL) == 0);
    }
    /* One byte less was undecided, or decided the same. */
    if (size != 0) {
        before = hft_http1_parse_upgrade(&status, text, size - 1, accept, NULL);
        REQUIRE(before == 0 || before == rc);
    }
}

static void request(const char *text, size_t size) {
    char out[512];
    size_t part = size / 4;
    hft_http1_upgrade parts = {
        .host = text,
        .host_len = part,
        .target = text + part,
        .target_len = part,
        .key = "dGhlIHNhbXBsZSBub25jZQ==",
        .headers = text + 2 * part,
        .headers_len = size - 2 * part,
    };
    int rc = hft_http1_build_upgrade(out, sizeof out, &parts);
    if (rc < 0) return;
    const char *end = memmem(out, (size_t)rc, "\r\n\r\n", 4);
    REQUIRE(end == out + rc - 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    response((const char *)data, size);
    request((const char *)data, size);
    return 0;
}
