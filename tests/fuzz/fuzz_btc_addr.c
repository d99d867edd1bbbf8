/* addr and addrv2: what is accepted is read again entry by entry, within bounds, up to the last byte. */
#include <stdlib.h>
#include <string.h>

#include <hft/btc.h>

static const uint16_t lens[] = {0, 4, 16, 10, 32, 32, 16}; /* by network */

static void check(const uint8_t *data, size_t size, int v2) {
    uint8_t *copy = malloc(size != 0 ? size : 1);
    if (copy == NULL) abort();
    if (size != 0) memcpy(copy, data, size);
    hft_btc_addrs addrs;
    if (hft_btc_parse_addrs(&addrs, copy, size, v2) == 0) {
        if (addrs.n > HFT_BTC_ADDR_MAX) abort();
        for (uint32_t i = 0; i < addrs.n; i++) {
            hft_btc_addr addr;
            hft_btc_next_addr(&addr, &addrs);
            if (addr.network > HFT_BTC_NET_CJDNS || addr.address_len > HFT_BTC_ADDR_BYTES_MAX) abort();
            if (addr.network != HFT_BTC_NET_OTHER && addr.address_len != lens[addr.network]) abort();
            if (addr.address < copy || addr.address + addr.address_len + 2 > copy + size) abort();
        }
        if (addrs.pos != size) abort();
        /* One byte more or less is another payload. */
        if (size > 0 && hft_btc_parse_addrs(&addrs, copy, size - 1, v2) == 0) abort();
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check(data, size, 0);
    check(data, size, 1);
    return 0;
}
