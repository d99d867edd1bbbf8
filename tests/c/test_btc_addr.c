/* addr and addrv2: what each network's addresses become, every truncation, counts and lengths that are too large. */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include <hft/btc.h>

#define TIME "\x00\xf1\x53\x65"
#define PORT "\x20\x8d"

typedef struct { uint8_t bytes[8192]; size_t len; } payload;

static void put(payload *p, const void *data, size_t len) {
    memcpy(p->bytes + p->len, data, len);
    p->len += len;
}

static void put_v2(payload *p, uint8_t network, const char *address, size_t len) {
    uint8_t head[] = {0x00, 0xf1, 0x53, 0x65, 0xfd, 0x09, 0x04, network, (uint8_t)len};
    put(p, head, sizeof head);
    put(p, address, len);
    put(p, PORT, 2);
}

/* Copies to where reading one byte too many is seen. */
static int parse(hft_btc_addrs *addrs, uint8_t **copy, const void *data, size_t len, int is_v2) {
    *copy = malloc(len != 0 ? len : 1);
    if (len != 0) memcpy(*copy, data, len);
    return hft_btc_parse_addrs(addrs, *copy, len, is_v2);
}

static int parse_rc(const void *data, size_t len, int is_v2) {
    hft_btc_addrs addrs;
    uint8_t *copy;
    int rc = parse(&addrs, &copy, data, len, is_v2);
    free(copy);
    return rc;
}

static const struct { uint8_t network; const char *address; size_t len; uint8_t read_as; } networks[] = {
    {1, "\x01\x02\x03\x04", 4, HFT_BTC_NET_IPV4},
    {2, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16, HFT_BTC_NET_IPV6},
    {3, "0123456789", 10, HFT_BTC_NET_TORV2},
    {4, "0123456789abcdef0123456789abcdef", 32, HFT_BTC_NET_TORV3},
    {5, "0123456789abcdef0123456789abcdef", 32, HFT_BTC_NET_I2P},
    {6, "\xfc" "0123456789abcde", 16, HFT_BTC_NET_CJDNS},
    {7, "any length", 10, HFT_BTC_NET_OTHER},
    {255, "", 0, HFT_BTC_NET_OTHER},
    {0, "abc", 3, HFT_BTC_NET_OTHER},
    {2, "\0\0\0\0\0\0\0\0\0\0\xff\xff\1\2\3\4", 16, HFT_BTC_NET_OTHER}, /* IPv4 has a number of its own */
    {2, "\xfd\x87\xd8\x7e\xeb\x43" "0123456789", 16, HFT_BTC_NET_OTHER},   /* and so has Tor */
};
#define N_NETWORKS (sizeof networks / sizeof networks[0])

static void test_networks(void) {
    payload p = {.len = 1};
    p.bytes[0] = N_NETWORKS;
    for (size_t i = 0; i < N_NETWORKS; i++) put_v2(&p, networks[i].network, networks[i].address, networks[i].len);
    hft_btc_addrs addrs;
    uint8_t *copy;
    CHECK_EQ(parse(&addrs, &copy, p.bytes, p.len, 1), 0);
    CHECK_EQ(addrs.n, N_NETWORKS);
    for (size_t i = 0; i < N_NETWORKS; i++) {
        hft_btc_addr addr;
        hft_btc_next_addr(&addr, &addrs);
        CHECK_EQ(addr.network, networks[i].read_as);
        CHECK_EQ(addr.address_len, networks[i].len);
        CHECK_MEM(addr.address, networks[i].address, networks[i].len);
        CHECK_EQ(addr.services, 0x409);
        CHECK_EQ(addr.port, 8333);
        CHECK_EQ(addr.time, 0x6553f100);
    }
    free(copy);
    for (size_t len = 0; len < p.len; len++) CHECK_EQ(parse_rc(p.bytes, len, 1), HFT_E_BTC_TRUNCATED);
    p.bytes[p.len++] = 0;
    CHECK_EQ(parse_rc(p.bytes, p.len, 1), HFT_E_BTC_TRAILING);
}

static void test_lengths(void) {
    for (size_t i = 0; i < 6; i++) {
        for (size_t len = 0; len < 40; len++) {
            payload p = {.len = 1, .bytes = {1}};
            char address[40] = {1};
            put_v2(&p, networks[i].network, address, len);
            CHECK_EQ(parse_rc(p.bytes, p.len, 1), len == networks[i].len ? 0 : HFT_E_BTC_NET_ADDRESS);
        }
    }
    payload p = {.len = 1, .bytes = {1}};
    static const uint8_t head[] = {0, 0, 0, 0, 0, 9, 0xfd, 0x00, 0x02}; /* 512 bytes */
    put(&p, head, sizeof head);
    p.len += 512 + 2;
    CHECK_EQ(parse_rc(p.bytes, p.len, 1), 0);
    p.bytes[8] = 0x01; /* 513 */
    p.len++;
    CHECK_EQ(parse_rc(p.bytes, p.len, 1), HFT_E_BTC_TOO_LARGE);
    memcpy(p.bytes + 7, "\xff\xff\xff\xff\xff\xff\xff\xff\xff", 9);
    CHECK_EQ(parse_rc(p.bytes, p.len, 1), HFT_E_BTC_TOO_LARGE);
    /* services 9 in three bytes */
    CHECK_EQ(parse_rc("\1" "\0\0\0\0" "\xfd\x09\x00" "\1\4" "abcd" "\0\0", 17, 1), HFT_E_BTC_COMPACT_SIZE);
}

static void test_v1(void) {
    static const uint8_t ips[4][16] = {
        {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4},
        {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
        {0xfd, 0x87, 0xd8, 0x7e, 0xeb, 0x43, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9},
        {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 1, 2, 3, 4},
    };
    static const uint8_t kinds[] = {HFT_BTC_NET_IPV4, HFT_BTC_NET_IPV6, HFT_BTC_NET_TORV2, HFT_BTC_NET_IPV6};
    static const size_t skipped[] = {12, 0, 6, 0};
    payload p = {.len = 1, .bytes = {4}};
    for (size_t i = 0; i < 4; i++) {
        put(&p, TIME "\x09\x04\0\0\0\0\0\0", 12);
        put(&p, ips[i], 16);
        put(&p, PORT, 2);
    }
    hft_btc_addrs addrs;
    uint8_t *copy;
    CHECK_EQ(parse(&addrs, &copy, p.bytes, p.len, 0), 0);
    for (size_t i = 0; i < 4; i++) {
        hft_btc_addr addr;
        hft_btc_next_addr(&addr, &addrs);
        CHECK_EQ(addr.network, kinds[i]);
        CHECK_EQ(addr.address_len, 16 - skipped[i]);
        CHECK_MEM(addr.address, ips[i] + skipped[i], 16 - skipped[i]);
        CHECK_EQ(addr.services, 0x409);
        CHECK_EQ(addr.port, 8333);
        CHECK_EQ(addr.time, 0x6553f100);
    }
    free(copy);
    for (size_t len = 0; len < p.len; len++) CHECK_EQ(parse_rc(p.bytes, len, 0), HFT_E_BTC_TRUNCATED);
    p.bytes[p.len++] = 0;
    CHECK_EQ(parse_rc(p.bytes, p.len, 0), HFT_E_BTC_TRAILING);
}

static void test_counts(void) {
    for (int is_v2 = 0; is_v2 < 2; is_v2++) {
        size_t entry_len = is_v2 ? 13 : 30;
        uint8_t *many = calloc(1, 3 + 1001 * entry_len);
        for (size_t i = 0; is_v2 && i < 1001; i++) memcpy(many + 3 + i * entry_len + 5, "\1\4", 2);
        memcpy(many, "\xfd\xe8\x03", 3);
        CHECK_EQ(parse_rc(many, 3 + 1000 * entry_len, is_v2), 0);
        memcpy(many, "\xfd\xe9\x03", 3);
        CHECK_EQ(parse_rc(many, 3 + 1001 * entry_len, is_v2), HFT_E_BTC_COUNT);
        free(many);
        CHECK_EQ(parse_rc("\xff\xff\xff\xff\xff\xff\xff\xff\xff", 9, is_v2), HFT_E_BTC_COUNT);
        CHECK_EQ(parse_rc("\xfd\x01\x00", 3, is_v2), HFT_E_BTC_COMPACT_SIZE);
        CHECK_EQ(parse_rc("\0", 1, is_v2), 0);
    }
}

int main(void) {
    test_networks();
    test_lengths();
    test_v1();
    test_counts();
    return check_done();
}
