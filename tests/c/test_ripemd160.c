/* RIPEMD-160: the vectors of its authors, and every length around the ends of a block. */
#include "check.h"

#include <stdlib.h>

#include <hft/cpu.h>
#include <hft/ripemd160.h>
#include <hft/sha256.h>
#include <hft/text.h>

static void check_digest(const void *data, size_t len, const char *expected) {
    uint8_t out[20];
    char hex[41] = {0};
    hft_ripemd160_digest(out, data, len);
    hft_hex_encode(hex, out, sizeof out);
    CHECK_STR(hex, expected);
}

/* From the authors' page on RIPEMD-160. */
static void test_published(void) {
    static const char *const vectors[][2] = {
        {"", "9c1185a5c5e9fc54612808977ee8f548b2258d31"},
        {"a", "0bdc9d2d256b3ee9daae347be6f4dc835a467ffe"},
        {"abc", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"},
        {"message digest", "5d0689ef49d2fae572b881b123a85ffa21595f36"},
        {"abcdefghijklmnopqrstuvwxyz", "f71c27109c692c1b56bbdceb5b9d2865b3708dbc"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "12a053384a9c0c88e405a06c27dcf49ada62eb2b"},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
         "b0e20b6e3116640286ed3a87a5713079b21f5189"},
        {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
         "9b752e45573d4b39f4dbd3323cab82bf63326bfb"},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        check_digest(vectors[i][0], strlen(vectors[i][0]), vectors[i][1]);
    uint8_t *million = malloc(1000000);
    memset(million, 'a', 1000000);
    check_digest(million, 1000000, "52783243c1697bdbe16d37f97f68f08325dc1528");
    free(million);
}

/* The digests of 0, 1, 2 ... 199 bytes, hashed; compared with hashlib's. Data ends where its memory ends. */
static void test_every_length(void) {
    uint8_t digests[200 * 20];
    for (size_t len = 0; len < 200; len++) {
        uint8_t *data = malloc(len + 1);
        for (size_t i = 0; i < len; i++) data[1 + i] = (uint8_t)(7 * i + len);
        hft_ripemd160_digest(digests + 20 * len, data + 1, len);
        free(data);
    }
    check_digest(digests, sizeof digests, "4de70bdbe940e8baba7d532764184586752a273f");
}

static void test_hash160(void) {
    uint8_t first[32], want[20], out[20];
    hft_sha256_digest(first, "key", 3);
    hft_ripemd160_digest(want, first, 32);
    hft_hash160(out, "key", 3);
    CHECK_MEM(out, want, 20);
}

int main(void) {
    CHECK_EQ(hft_init(NULL) < 0, 0);
    test_published();
    test_every_length();
    test_hash160();
    return check_done();
}
