/* CompactSize over bytes with a known end, shared by the message and the transaction parser. Private to libhft. */
#ifndef HFT_BTC_WIRE_H
#define HFT_BTC_WIRE_H

#include "hft/endian.h"
#include "hft/status.h"

/* Reads the CompactSize at data[*pos], *pos <= len, and moves *pos behind it; on an error *pos stays. */
static inline int hft_btc_compact_size_get(uint64_t *value, const uint8_t *data, size_t len, size_t *pos) {
    size_t left = len - *pos;
    if (left == 0) return HFT_E_BTC_TRUNCATED;
    const uint8_t *p = data + *pos;
    if (p[0] < 0xfd) {
        *value = p[0];
        *pos += 1;
        return 0;
    }
    size_t width = (size_t)2 << (p[0] - 0xfd);
    if (left < 1 + width) return HFT_E_BTC_TRUNCATED;
    uint64_t v, min;
    if (width == 2) {
        v = hft_load_le16(p + 1);
        min = 0xfd;
    } else if (width == 4) {
        v = hft_load_le32(p + 1);
        min = 0x10000;
    } else {
        v = hft_load_le64(p + 1);
        min = 0x100000000ull;
    }
    if (v < min) return HFT_E_BTC_COMPACT_SIZE;
    *value = v;
    *pos += 1 + width;
    return 0;
}

#endif
