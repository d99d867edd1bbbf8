/* HMAC-SHA-256: RFC 4231's cases, and the prefixed form against the plain one. */
#include "check.h"

#include <stdlib.h>

#include <hft/cpu.h>
#include <hft/hmac.h>

static void check_mac(const void *key, size_t key_len, const void *msg, size_t msg_len, const char *hex) {
    hft_hmac_key state;
    uint8_t mac[32];
    char text[65];
    hft_hmac_key_init(&state, key, key_len);
    hft_hmac_digest(mac, &state, msg, msg_len);
    for (size_t i = 0; i < 32; i++) snprintf(text + 2 * i, 3, "%02x", mac[i]);
    CHECK_STR(text, hex);
}

static void test_rfc4231(void) {
    uint8_t key[131], msg[50];
    memset(key, 0x0b, 20);
    check_mac(key, 20, "Hi There", 8, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    check_mac("Jefe", 4, "what do ya want for nothing?", 28,
              "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, 131);
    memset(msg, 0xdd, 50);
    check_mac(key, 20, msg, 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    for (uint8_t i = 0; i < 25; i++) key[i] = (uint8_t)(i + 1);
    memset(msg, 0xcd, 50);
    check_mac(key, 25, msg, 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
    memset(key, 0xaa, 131);
    check_mac(key, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 54,
              "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    /* The longest key that is not hashed first. */
    check_mac(key, 64, "Hi There", 8, "ebef34e13d0a0fe04593d043bc7a865106db0604211d404c18206d862e5d7852");
    check_mac(NULL, 0, NULL, 0, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void check_padded(const uint8_t mac[32], const hft_hmac_key *key, const hft_hmac_prefix *prefix,
                         const uint8_t *tail, size_t len) {
    size_t n_blocks = HFT_HMAC_BLOCKS(len);
    uint8_t *blocks = malloc(64 * n_blocks), padded[32];
    memset(blocks, 0xee, 64 * n_blocks);
    if (len != 0) memcpy(blocks, tail, len);
    CHECK_EQ(hft_hmac_pad(blocks, len, prefix), n_blocks);
    if (len != 0) CHECK_MEM(blocks, tail, len);
    hft_hmac_digest_padded(padded, key, prefix, blocks, n_blocks);
    CHECK_MEM(padded, mac, 32);
    free(blocks);
}

static void test_prefix(void) {
    hft_hmac_key key;
    hft_hmac_key_init(&key, "key", 3);
    for (size_t len = 0; len <= 330; len++) {
        uint8_t *msg = malloc(len), whole[32], tailed[32];
        for (size_t i = 0; i < len; i++) msg[i] = (uint8_t)(i * 7 + len);
        hft_hmac_digest(whole, &key, msg, len);
        for (size_t constant = 0; constant <= len; constant += 13) {
            hft_hmac_prefix prefix;
            hft_hmac_prefix_init(&prefix, &key, msg, constant);
            CHECK_EQ(prefix.len, constant / 64 * 64);
            hft_hmac_digest_tail(tailed, &key, &prefix, msg + prefix.len, len - prefix.len);
            CHECK_MEM(tailed, whole, 32);
            check_padded(whole, &key, &prefix, msg + prefix.len, len - prefix.len);
            hft_hmac_stem stem;
            hft_hmac_stem_init(&stem, &key, msg, constant);
            hft_hmac_stem_digest(tailed, &key, &stem, msg + constant, len - constant);
            CHECK_MEM(tailed, whole, 32);
        }
        free(msg);
    }
}

static void test_many(void) {
    enum { MOST = 70 };
    hft_hmac_key key;
    hft_hmac_key_init(&key, "another key", 11);
    for (size_t n = 0; n <= MOST; n++)
        for (size_t longest = 0; longest <= 300; longest += 50) {
            uint8_t *msg[MOST] = {NULL}, *out = malloc(32 * n), expected[32];
            size_t len[MOST] = {0};
            for (size_t i = 0; i < n; i++) {
                len[i] = n % 2 != 0 ? longest : (i * 7919 + n) % (longest + 1);
                msg[i] = len[i] != 0 ? malloc(len[i]) : NULL;
                for (size_t k = 0; k < len[i]; k++) msg[i][k] = (uint8_t)(i * 31 + k);
            }
            hft_hmac_many(out, &key, (const void *const *)msg, len, n);
            for (size_t i = 0; i < n; i++) {
                hft_hmac_digest(expected, &key, msg[i], len[i]);
                CHECK_MEM(out + 32 * i, expected, 32);
                free(msg[i]);
            }
            free(out);
        }
}

static void test_equal_and_wipe(void) {
    uint8_t a[40] = {1, 2, 3}, b[40] = {1, 2, 3};
    CHECK_EQ(hft_equal_ct(a, b, sizeof a), 1);
    CHECK_EQ(hft_equal_ct(a, b, 0), 1);
    for (size_t i = 0; i < sizeof a; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            b[i] ^= (uint8_t)(1u << bit);
            CHECK_EQ(hft_equal_ct(a, b, sizeof a), 0);
            CHECK_EQ(hft_equal_ct(a, b, i), 1);
            b[i] ^= (uint8_t)(1u << bit);
        }
    memset(a, 0x55, sizeof a);
    memset(b, 0, sizeof b);
    hft_wipe(a + 1, sizeof a - 2);
    CHECK_EQ(a[0], 0x55);
    CHECK_EQ(a[39], 0x55);
    CHECK_MEM(a + 1, b, sizeof a - 2);
    hft_wipe(NULL, 0);
}

int main(void) {
    for (size_t i = 0; hft_cpu_level_at(i) != NULL; i++) {
        CHECK_EQ(hft_init(hft_cpu_level_at(i)), HFT_OK);
        test_rfc4231();
        test_prefix();
        test_many();
    }
    test_equal_and_wipe();
    return check_done();
}
