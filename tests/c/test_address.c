/* Addresses: known ones, every truncation, every single wrong character, and the ends of every buffer. */
#include "check.h"

#include <stdlib.h>

#include <hft/address.h>
#include <hft/cpu.h>
#include <hft/sha256.h>

static const hft_address_net mainnet = {0x00, 0x05, 2, "bc"}, testnet = {0x6f, 0xc4, 2, "tb"};

static hft_address_fault fault;
static uint8_t script[HFT_ADDRESS_SCRIPT_MAX];

/* Decodes a copy that ends where its memory ends. */
static int decode(const hft_address_net *net, const char *text, size_t len) {
    char *copy = malloc(len + 1);
    uint8_t *out = malloc(HFT_ADDRESS_SCRIPT_MAX);
    memcpy(copy + 1, text, len);
    int rc = hft_address_decode(out, &fault, net, copy + 1, len);
    CHECK_EQ(rc > 0, fault.why == HFT_ADDRESS_OK);
    if (rc > 0) memcpy(script, out, (size_t)rc);
    free(out);
    free(copy);
    return rc;
}

static int encode(char *text, const hft_address_net *net, const uint8_t *from, size_t len) {
    char *out = malloc(HFT_ADDRESS_MAX);
    uint8_t *copy = malloc(len + 1);
    memcpy(copy + 1, from, len);
    int rc = hft_address_encode(out, net, copy + 1, len);
    memcpy(text, out, (size_t)rc);
    free(copy);
    free(out);
    return rc;
}

static const struct {
    const char *text, *script;
    size_t len;
} known[] = {
    {"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", /* the genesis block's */
     "\x76\xa9\x14\x62\xe9\x07\xb1\x5c\xbf\x27\xd5\x42\x53\x99\xeb\xf6\xf0\xfb\x50\xeb\xb8\x8f\x18\x88\xac", 25},
    {"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", /* BIP173's */
     "\x00\x14\x75\x1e\x76\xe8\x19\x91\x96\xd4\x54\x94\x1c\x45\xd1\xb3\xa3\x23\xf1\x43\x3b\xd6", 22},
    {"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", /* BIP350's */
     "\x51\x20\x79\xbe\x66\x7e\xf9\xdc\xbb\xac\x55\xa0\x62\x95\xce\x87\x0b\x07\x02\x9b\xfc\xdb\x2d\xce\x28\xd9\x59"
     "\xf2\x81\x5b\x16\xf8\x17\x98", 34},
    {"bc1pfeessrawgf", "\x51\x02\x4e\x73", 4},
};

static void test_known(void) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const char *text = known[i].text;
        size_t len = strlen(text);
        char again[HFT_ADDRESS_MAX];
        CHECK_EQ(decode(&mainnet, text, len), known[i].len);
        CHECK_MEM(script, known[i].script, known[i].len);
        CHECK_EQ(encode(again, &mainnet, (const uint8_t *)known[i].script, known[i].len), len);
        CHECK_MEM(again, text, len);
        CHECK_EQ(decode(&testnet, text, len), HFT_E_BTC_ADDRESS_NETWORK);
        for (size_t cut = 0; cut < len; cut++) {
            CHECK(decode(&mainnet, text, cut) < 0);
            CHECK_EQ(encode(again, &mainnet, (const uint8_t *)known[i].script, cut % known[i].len), 0);
        }
        for (size_t at = 0; at < len; at++) {
            for (int c = 0; c < 256; c++) {
                char bad[HFT_ADDRESS_MAX];
                memcpy(bad, text, len);
                if (bad[at] == (char)c) continue;
                bad[at] = (char)c;
                CHECK(decode(&mainnet, bad, len) < 0);
            }
        }
    }
}

static void test_case(void) {
    char upper[64];
    const char *text = known[1].text;
    for (size_t i = 0; text[i] != 0; i++) upper[i] = (char)(text[i] >= 'a' ? text[i] - 32 : text[i]);
    CHECK_EQ(decode(&mainnet, upper, strlen(text)), 22);
    CHECK_MEM(script, known[1].script, 22);
    upper[20] = text[20]; /* a letter */
    CHECK_EQ(decode(&mainnet, upper, strlen(text)), HFT_E_BTC_ADDRESS);
    CHECK_EQ(fault.why, HFT_ADDRESS_MIXED_CASE);
}

static void test_lengths(void) {
    char ones[200];
    memset(ones, '1', sizeof ones);
    for (size_t len = 0; len < sizeof ones; len++) {
        int rc = decode(&mainnet, ones, len);
        CHECK_EQ(rc, len < 5 || len > HFT_ADDRESS_MAX ? HFT_E_BTC_ADDRESS : HFT_E_BTC_ADDRESS_CHECKSUM);
    }
    memcpy(ones, "bc1", 3);
    memset(ones + 3, 'q', sizeof ones - 3);
    for (size_t len = 0; len < sizeof ones; len++) CHECK(decode(&mainnet, ones, len) < 0);
    memset(ones, 'z', sizeof ones);
    for (size_t len = 0; len < sizeof ones; len++) CHECK(decode(&mainnet, ones, len) < 0);
}

/* Every length of a witness program in every version, on both sides of what is allowed. */
static void test_programs(void) {
    for (unsigned version = 0; version <= 17; version++) {
        for (size_t len = 0; len <= 42; len++) {
            uint8_t from[44] = {(uint8_t)(version != 0 ? 0x50 + version : 0), (uint8_t)len};
            char text[HFT_ADDRESS_MAX];
            for (size_t i = 0; i < len; i++) from[2 + i] = (uint8_t)(7 * i + version);
            int is_good = version <= 16 && (version == 0 ? len == 20 || len == 32 : len >= 2 && len <= 40);
            int n = encode(text, &testnet, from, len + 2);
            CHECK_EQ(n > 0, is_good);
            if (n == 0) continue;
            CHECK_EQ(decode(&testnet, text, (size_t)n), len + 2);
            CHECK_MEM(script, from, len + 2);
            from[1]++;
            CHECK_EQ(encode(text, &testnet, from, len + 2), 0);
        }
    }
}

/* What is wrong with a bech32 text of these values, whose checksum is right. */
static int why_values(const uint8_t *values, size_t n, int is_bech32m) {
    char text[HFT_ADDRESS_MAX];
    int len = hft_bech32_encode(text, "bc", 2, values, n, is_bech32m);
    CHECK(len > 0);
    CHECK(decode(&mainnet, text, (size_t)len) != 0);
    return fault.why;
}

/* The same for base58 of a version byte and so many zeros. */
static int why_payload(uint8_t version, size_t body_len) {
    uint8_t payload[64] = {version}, hash[32];
    char text[HFT_ADDRESS_MAX];
    hft_sha256d_digest(hash, payload, body_len + 1);
    memcpy(payload + body_len + 1, hash, 4);
    int len = hft_base58_encode(text, sizeof text, payload, body_len + 5);
    CHECK(len > 0);
    CHECK(decode(&mainnet, text, (size_t)len) != 0);
    return fault.why;
}

static void test_right_checksums_of_wrong_things(void) {
    uint8_t values[HFT_ADDRESS_MAX] = {1};
    CHECK_EQ(why_values(values, 0, 1), HFT_ADDRESS_NO_VERSION);
    CHECK_EQ(why_values(values, 1, 1), HFT_ADDRESS_PROGRAM_LEN);
    CHECK_EQ(fault.value, 1 << 8);
    CHECK_EQ(why_values(values, 1 + 2, 1), HFT_ADDRESS_PROGRAM_LEN); /* 1 byte */
    CHECK_EQ(why_values(values, 1 + 4, 1), HFT_ADDRESS_OK);          /* 2 bytes */
    CHECK_EQ(why_values(values, 1 + 4, 0), HFT_ADDRESS_CHECKSUM_KIND);
    CHECK_EQ(why_values(values, 1 + 64, 1), HFT_ADDRESS_OK);         /* 40 */
    CHECK_EQ(why_values(values, 1 + 66, 1), HFT_ADDRESS_PROGRAM_LEN);
    CHECK_EQ(fault.value, 1 << 8 | 41);
    CHECK_EQ(why_values(values, 1 + 3, 1), HFT_ADDRESS_PADDING);     /* seven bits left */
    values[4] = 1;                                                   /* the last of 20 bits is not zero */
    CHECK_EQ(why_values(values, 1 + 4, 1), HFT_ADDRESS_PADDING);
    values[4] = 0;
    values[0] = 16;
    CHECK_EQ(why_values(values, 1 + 4, 1), HFT_ADDRESS_OK);
    values[0] = 17;
    CHECK_EQ(why_values(values, 1 + 4, 1), HFT_ADDRESS_VERSION);
    CHECK_EQ(fault.value, 17);
    values[0] = 0;
    CHECK_EQ(why_values(values, 1 + 32, 0), HFT_ADDRESS_OK); /* 20 */
    CHECK_EQ(why_values(values, 1 + 32, 1), HFT_ADDRESS_CHECKSUM_KIND);
    CHECK_EQ(why_values(values, 1 + 4, 0), HFT_ADDRESS_PROGRAM_LEN);
    CHECK_EQ(why_payload(0, 20), HFT_ADDRESS_OK);
    CHECK_EQ(why_payload(5, 20), HFT_ADDRESS_OK);
    CHECK_EQ(why_payload(0x6f, 20), HFT_ADDRESS_OTHER_VERSION);
    CHECK_EQ(why_payload(0, 19), HFT_ADDRESS_PAYLOAD_LEN);
    CHECK_EQ(why_payload(0, 21), HFT_ADDRESS_PAYLOAD_LEN);
    CHECK_EQ(why_payload(0x80, 32), HFT_ADDRESS_PRIVATE_KEY);
    CHECK_EQ(why_payload(0xef, 33), HFT_ADDRESS_PRIVATE_KEY);
    CHECK_EQ(why_payload(0x80, 31), HFT_ADDRESS_PAYLOAD_LEN);
    CHECK_EQ(decode(&mainnet, "bc1qqqqq", 8), HFT_E_BTC_ADDRESS); /* five characters are no checksum */
    CHECK_EQ(fault.why, HFT_ADDRESS_FORM);
    static const char litecoin[] = "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9";
    CHECK_EQ(decode(&mainnet, litecoin, sizeof litecoin - 1), HFT_E_BTC_ADDRESS_NETWORK);
    CHECK_EQ(fault.why, HFT_ADDRESS_OTHER_HRP);
    CHECK_EQ(fault.value, 3);
}

static void test_base58_capacity(void) {
    static const uint8_t data[6] = {0, 0, 0xff, 0xff, 0xff, 0xff};
    char *text = malloc(8);
    for (size_t cap = 0; cap < 8; cap++) CHECK_EQ(hft_base58_encode(text, cap, data, 6), HFT_E_CAPACITY);
    CHECK_EQ(hft_base58_encode(text, 8, data, 6), 8);
    CHECK_MEM(text, "117YXq9G", 8);
    uint8_t *back = malloc(6);
    for (size_t cap = 0; cap < 6; cap++) CHECK_EQ(hft_base58_decode(back, cap, &fault, text, 8), HFT_E_CAPACITY);
    CHECK_EQ(hft_base58_decode(back, 6, &fault, text, 8), 6);
    CHECK_MEM(back, data, 6);
    CHECK_EQ(hft_base58_decode(back, 6, &fault, "11O", 3), HFT_E_BTC_ADDRESS);
    CHECK_EQ(fault.pos, 2);
    CHECK_EQ(hft_base58_decode(back, 0, &fault, "", 0), 0);
    CHECK_EQ(hft_base58_encode(text, 0, data, 0), 0);
    free(back);
    free(text);
}

static void test_bech32_capacity(void) {
    uint8_t values[HFT_ADDRESS_MAX] = {0};
    char *text = malloc(HFT_ADDRESS_MAX);
    hft_bech32 parts;
    for (size_t n = 0; n <= HFT_ADDRESS_MAX; n++) {
        int rc = hft_bech32_encode(text, "bc", 2, values, n, 1);
        CHECK_EQ(rc, n + 9 <= HFT_ADDRESS_MAX ? (int)n + 9 : HFT_E_CAPACITY);
        if (rc < 0) continue;
        CHECK_EQ(hft_bech32_decode(&parts, &fault, text, (size_t)rc), 0);
        CHECK_EQ(parts.n_values, n);
        CHECK_EQ(parts.hrp_len, 2);
        CHECK_EQ(parts.is_bech32m, 1);
    }
    CHECK_EQ(hft_bech32_encode(text, "bc", SIZE_MAX, values, 0, 1), HFT_E_CAPACITY);
    CHECK_EQ(hft_bech32_encode(text, "bc", 2, values, SIZE_MAX - 4, 1), HFT_E_CAPACITY);
    free(text);
}

int main(void) {
    CHECK_EQ(hft_init(NULL) < 0, 0);
    test_known();
    test_case();
    test_lengths();
    test_programs();
    test_right_checksums_of_wrong_things();
    test_base58_capacity();
    test_bech32_capacity();
    return check_done();
}
