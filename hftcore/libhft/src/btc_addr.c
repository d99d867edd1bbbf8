/* Addresses of other nodes: the payloads of `addr` and `addrv2` (BIP155). */
#include <string.h>

#include "btc_wire.h"
#include "hft/btc.h"
#include "hft/endian.h"

#define ADDR_LEN 30     /* of one entry of addr: time, services, IPv6 address, port */
#define NETWORKS_KNOWN 7

static const uint8_t mapped_ipv4[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const uint8_t mapped_onion[6] = {0xfd, 0x87, 0xd8, 0x7e, 0xeb, 0x43};

/* Bytes of an address by BIP155's number of its network. */
static const uint8_t address_lens[NETWORKS_KNOWN] = {0, 4, 16, 10, 32, 32, 16};

static uint16_t load_be16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static int read_v1(hft_btc_addr *addr, const uint8_t *data, size_t len, size_t *pos) {
    if (len - *pos < ADDR_LEN) return HFT_E_BTC_TRUNCATED;
    const uint8_t *p = data + *pos;
    addr->time = hft_load_le32(p);
    addr->services = hft_load_le64(p + 4);
    addr->address = p + 12;
    addr->address_len = 16;
    addr->network = HFT_BTC_NET_IPV6;
    addr->port = load_be16(p + 28);
    if (memcmp(addr->address, mapped_ipv4, sizeof mapped_ipv4) == 0) {
        addr->network = HFT_BTC_NET_IPV4;
        addr->address += sizeof mapped_ipv4;
        addr->address_len = 4;
    } else if (memcmp(addr->address, mapped_onion, sizeof mapped_onion) == 0) {
        addr->network = HFT_BTC_NET_TORV2;
        addr->address += sizeof mapped_onion;
        addr->address_len = 10;
    }
    *pos += ADDR_LEN;
    return 0;
}

/* An entry of a network that has no number yet is skipped by its length; one of a known network must have that one's
 * length. IPv4 and onion addresses have numbers of their own and may not come inside an IPv6 one. */
static int read_v2(hft_btc_addr *addr, const uint8_t *data, size_t len, size_t *pos) {
    uint64_t address_len;
    if (len - *pos < 4) return HFT_E_BTC_TRUNCATED;
    addr->time = hft_load_le32(data + *pos);
    *pos += 4;
    int rc = hft_btc_compact_size_get(&addr->services, data, len, pos);
    if (rc < 0) return rc;
    if (*pos == len) return HFT_E_BTC_TRUNCATED;
    addr->network = data[(*pos)++];
    rc = hft_btc_compact_size_get(&address_len, data, len, pos);
    if (rc < 0) return rc;
    if (address_len > HFT_BTC_ADDR_BYTES_MAX) return HFT_E_BTC_TOO_LARGE;
    if (len - *pos < address_len + 2) return HFT_E_BTC_TRUNCATED;
    addr->address = data + *pos;
    addr->address_len = (uint16_t)address_len;
    *pos += (size_t)address_len;
    addr->port = load_be16(data + *pos);
    *pos += 2;
    if (addr->network == HFT_BTC_NET_OTHER || addr->network >= NETWORKS_KNOWN) {
        addr->network = HFT_BTC_NET_OTHER;
        return 0;
    }
    if (address_len != address_lens[addr->network]) return HFT_E_BTC_NET_ADDRESS;
    if (addr->network == HFT_BTC_NET_IPV6 && (memcmp(addr->address, mapped_ipv4, sizeof mapped_ipv4) == 0 ||
                                              memcmp(addr->address, mapped_onion, sizeof mapped_onion) == 0))
        addr->network = HFT_BTC_NET_OTHER;
    return 0;
}

static int read_one(hft_btc_addr *addr, const hft_btc_addrs *addrs, size_t *pos) {
    return addrs->v2 ? read_v2(addr, addrs->data, addrs->len, pos) : read_v1(addr, addrs->data, addrs->len, pos);
}

int hft_btc_parse_addrs(hft_btc_addrs *addrs, const uint8_t *payload, size_t len, int v2) {
    hft_btc_addr addr;
    uint64_t count;
    size_t pos = 0;
    int rc = hft_btc_compact_size_get(&count, payload, len, &pos);
    if (rc < 0) return rc;
    if (count > HFT_BTC_ADDR_MAX) return HFT_E_BTC_COUNT;
    *addrs = (hft_btc_addrs){.data = payload, .len = len, .pos = pos, .n = (uint32_t)count, .v2 = v2 != 0};
    for (uint64_t i = 0; i < count; i++)
        if ((rc = read_one(&addr, addrs, &pos)) < 0) return rc;
    return pos == len ? 0 : HFT_E_BTC_TRAILING;
}

void hft_btc_next_addr(hft_btc_addr *addr, hft_btc_addrs *addrs) {
    (void)read_one(addr, addrs, &addrs->pos); /* it was read before */
}
