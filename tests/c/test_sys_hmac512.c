/* HMAC-SHA-512 over OpenSSL: two cases of RFC 4231, and every allocation that OpenSSL makes fails once. */
#include "hft/hmac512.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "check.h"

/* Allocations until one fails; negative: none does. */
static long remaining = -1;

static int fails(void) { return remaining >= 0 && remaining-- == 0; }

static void *counted_malloc(size_t size, const char *file, int line) {
    (void)file, (void)line;
    return fails() ? NULL : malloc(size);
}

static void *counted_realloc(void *p, size_t size, const char *file, int line) {
    (void)file, (void)line;
    return fails() ? NULL : realloc(p, size);
}

static void counted_free(void *p, const char *file, int line) {
    (void)file, (void)line;
    free(p);
}

static uint8_t key[131];
static const char hashed_key_text[] = "Test Using Larger Than Block-Size Key - Hash Key First";

/* RFC 4231, test cases 2 (a short key) and 6 (one over a block). */
static const uint8_t expected_jefe[64] = {
    0x16, 0x4b, 0x7a, 0x7b, 0xfc, 0xf8, 0x19, 0xe2, 0xe3, 0x95, 0xfb, 0xe7, 0x3b, 0x56, 0xe0, 0xa3,
    0x87, 0xbd, 0x64, 0x22, 0x2e, 0x83, 0x1f, 0xd6, 0x10, 0x27, 0x0c, 0xd7, 0xea, 0x25, 0x05, 0x54,
    0x97, 0x58, 0xbf, 0x75, 0xc0, 0x5a, 0x99, 0x4a, 0x6d, 0x03, 0x4f, 0x65, 0xf8, 0xf0, 0xe6, 0xfd,
    0xca, 0xea, 0xb1, 0xa3, 0x4d, 0x4a, 0x6b, 0x4b, 0x63, 0x6e, 0x07, 0x0a, 0x38, 0xbc, 0xe7, 0x37};
static const uint8_t expected_hashed_key[64] = {
    0x80, 0xb2, 0x42, 0x63, 0xc7, 0xc1, 0xa3, 0xeb, 0xb7, 0x14, 0x93, 0xc1, 0xdd, 0x7b, 0xe8, 0xb4,
    0x9b, 0x46, 0xd1, 0xf4, 0x1b, 0x4a, 0xee, 0xc1, 0x12, 0x1b, 0x01, 0x37, 0x83, 0xf8, 0xf3, 0x52,
    0x6b, 0x56, 0xd0, 0x37, 0xe0, 0x5f, 0x25, 0x98, 0xbd, 0x0f, 0xd2, 0x21, 0x5d, 0x6a, 0x1e, 0x52,
    0x95, 0xe6, 0x4f, 0x73, 0xf6, 0x3f, 0x0a, 0xec, 0x8b, 0x91, 0x5a, 0x98, 0x5d, 0x78, 0x65, 0x98};

static void test_vectors(void) {
    hft_hmac512 mac;
    uint8_t out[HFT_HMAC512_LEN];
    CHECK_EQ(hft_hmac512_open(&mac, "Jefe", 4), HFT_OK);
    for (int again = 0; again < 2; again++) {
        CHECK_EQ(hft_hmac512_digest(out, &mac, "what do ya want for nothing?", 28), HFT_OK);
        CHECK_MEM(out, expected_jefe, sizeof out);
    }
    hft_hmac512_close(&mac);
    hft_hmac512_close(&mac);

    CHECK_EQ(hft_hmac512_open(&mac, key, sizeof key), HFT_OK);
    CHECK_EQ(hft_hmac512_digest(out, &mac, hashed_key_text, sizeof hashed_key_text - 1), HFT_OK);
    CHECK_MEM(out, expected_hashed_key, sizeof out);
    hft_hmac512_close(&mac);
}

static void test_empty_key_and_message(void) {
    hft_hmac512 mac;
    uint8_t out[HFT_HMAC512_LEN], same[HFT_HMAC512_LEN];
    CHECK_EQ(hft_hmac512_open(&mac, NULL, 0), HFT_OK);
    CHECK_EQ(hft_hmac512_digest(out, &mac, NULL, 0), HFT_OK);
    CHECK_EQ(hft_hmac512_digest(same, &mac, "", 0), HFT_OK);
    CHECK_MEM(out, same, sizeof out);
    hft_hmac512_close(&mac);
}

/* Fails the n-th allocation, for each n, until a whole use passes; the sanitizer sees leaks and double frees. */
static void test_every_allocation_fails_once(void) {
    int opened = 0, done = 0;
    long n = 0;
    for (; !done && n < 1000; n++) {
        hft_hmac512 mac;
        uint8_t out[HFT_HMAC512_LEN] = {0};
        remaining = n;
        int rc = hft_hmac512_open(&mac, key, sizeof key);
        if (rc == HFT_OK) {
            opened++;
            rc = hft_hmac512_digest(out, &mac, hashed_key_text, sizeof hashed_key_text - 1);
            if (rc == HFT_OK) CHECK_MEM(out, expected_hashed_key, sizeof out);
        } else {
            CHECK(mac.inner == NULL && mac.outer == NULL);
        }
        done = rc == HFT_OK && remaining >= 0;
        remaining = -1;
        CHECK(rc == HFT_OK || rc == HFT_E_MEMORY || rc == HFT_E_STATE);
        CHECK_EQ(ERR_peek_error(), 0);
        hft_hmac512_close(&mac);
    }
    CHECK(done && opened > 3 && opened < n); /* some failed in open, some in digest */
}

int main(void) {
    memset(key, 0xaa, sizeof key);
    CHECK(CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free));
    test_vectors();
    test_empty_key_and_message();
    test_every_allocation_fails_once();
    return check_done();
}
