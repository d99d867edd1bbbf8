/* permessage-deflate. An odd first byte: a header, in negotiation; what is agreed is lawful, and both sides agree on
 * the same. An even one: messages, of which the rest of the head says how: any bytes decompressed are within the limit,
 * and what is compressed comes out as it went in. */
#include <stdlib.h>
#include <string.h>

#include <hft/deflate.h>

#define REQUIRE(cond) ((cond) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MAX = 3000 };

static int lawful(const hft_deflate_params *params) {
    return params->client_max_window_bits >= 8 && params->client_max_window_bits <= 15 &&
           params->server_max_window_bits >= 8 && params->server_max_window_bits <= 15;
}

/* Bits of 0 and 8 to 15. */
static hft_deflate_params params_of(uint8_t flags, uint8_t bits) {
    return (hft_deflate_params){
        .client_no_context_takeover = flags & 1,
        .server_no_context_takeover = flags >> 1 & 1,
        .client_max_window_bits = (uint8_t)(bits & 8 ? bits & 15 : 0),
        .server_max_window_bits = (uint8_t)(bits & 128 ? bits >> 4 : 0),
    };
}

static void negotiate(hft_deflate_params ours, const char *text, size_t size) {
    char out[HFT_DEFLATE_VALUE_MAX];
    hft_deflate_params agreed, theirs;
    hft_err err = {0};
    int rc = hft_deflate_agree(&agreed, &ours, text, size, &err);
    REQUIRE(rc == 0 || (rc == HFT_E_HTTP_EXTENSION && err.code == rc && err.text[0] != '\0'));
    if (rc == 0) {
        REQUIRE(lawful(&agreed));
        REQUIRE(agreed.server_no_context_takeover || !ours.server_no_context_takeover);
        if (ours.server_max_window_bits != 0) REQUIRE(agreed.server_max_window_bits <= ours.server_max_window_bits);
        if (ours.client_max_window_bits != 0) REQUIRE(agreed.client_max_window_bits <= ours.client_max_window_bits);
    }
    rc = hft_deflate_answer(out, sizeof out, &agreed, &ours, text, size);
    REQUIRE(rc >= 0 ? rc < (int)sizeof out && lawful(&agreed) + (rc == 0) != 0 : rc == HFT_E_HTTP_SYNTAX);
    /* Our offer to a server that wants what we want. */
    int len = hft_deflate_offer(out, sizeof out, &ours);
    REQUIRE(len > 0);
    char answer[HFT_DEFLATE_VALUE_MAX];
    rc = hft_deflate_answer(answer, sizeof answer, &theirs, &ours, out, (size_t)len);
    REQUIRE(rc > 0 && hft_deflate_agree(&agreed, &ours, answer, (size_t)rc, NULL) == 0);
    REQUIRE(memcmp(&agreed, &theirs, sizeof agreed) == 0);
}

/* The bytes as messages; each byte of 0xff 0xfe ends one. */
static void decompress(hft_deflate *d, const uint8_t *data, size_t size) {
    static const uint8_t end[] = {0xff, 0xfe};
    uint8_t *out = malloc(MESSAGE_MAX);
    if (out == NULL) abort();
    for (int failed = 0;;) {
        const uint8_t *stop = size != 0 ? memmem(data, size, end, sizeof end) : NULL;
        size_t len = stop != NULL ? (size_t)(stop - data) : size, out_len = 1;
        size_t cap = len % 2 != 0 ? MESSAGE_MAX : len * 3 % MESSAGE_MAX;
        int rc = hft_deflate_decompress(d, out + (MESSAGE_MAX - cap), cap, &out_len, data, len);
        REQUIRE(rc == 0 ? out_len <= cap : out_len == 0);
        REQUIRE(rc == 0 || rc == HFT_E_WS_TOO_LARGE || rc == HFT_E_WS_DEFLATE);
        REQUIRE(failed == 0 || rc == failed);
        failed = rc;
        if (stop == NULL) break;
        data += len + sizeof end;
        size -= len + sizeof end;
    }
    free(out);
}

static void compress(hft_deflate *ours, hft_deflate *theirs, const uint8_t *data, size_t size, size_t step) {
    if (size > MESSAGE_MAX) size = MESSAGE_MAX;
    for (size_t pos = 0; pos < size; pos += step) {
        size_t len = size - pos < step ? size - pos : step, bound = hft_deflate_bound(ours, len), made, out_len;
        uint8_t *payload = malloc(bound), *out = malloc(len);
        if (payload == NULL || out == NULL) abort();
        if (len % 3 == 0) {
            int rc = hft_deflate_compress(ours, payload, len / 2, &made, data + pos, len);
            REQUIRE(rc == HFT_E_CAPACITY || (rc == 0 && made < len / 2));
            /* What was made is sent. */
            if (rc == 0) REQUIRE(hft_deflate_decompress(theirs, out, len, &out_len, payload, made) == 0);
        }
        REQUIRE(hft_deflate_compress(ours, payload, bound, &made, data + pos, len) == 0 && made + 4 < bound);
        REQUIRE(hft_deflate_decompress(theirs, out, len, &out_len, payload, made) == 0);
        REQUIRE(out_len == len && memcmp(out, data + pos, len) == 0);
        free(payload);
        free(out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4) return 0;
    uint8_t kind = data[0], bits = data[1], step = data[2];
    hft_deflate_params params = params_of(kind >> 1, bits);
    data += 3;
    size -= 3;
    if (kind % 2 != 0) {
        negotiate(params, (const char *)data, size);
        return 0;
    }
    int level = kind >> 3 > 9 ? 1 : kind >> 3;
    hft_deflate *client, *server = NULL;
    REQUIRE(hft_deflate_open(&client, &params, HFT_WS_CLIENT, level, NULL) == 0);
    if (step != 0) {
        REQUIRE(hft_deflate_open(&server, &params, HFT_WS_SERVER, 1, NULL) == 0);
        compress(client, server, data, size, (size_t)step * 4);
    }
    decompress(client, data, size);
    hft_deflate_close(client);
    hft_deflate_close(server);
    return 0;
}
