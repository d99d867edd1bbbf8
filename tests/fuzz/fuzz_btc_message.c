/* Messages as a stream: framing gives the same whatever is behind, and what a payload parser accepts is in bounds. */
#include <stdlib.h>
#include <string.h>

#include <hft/btc.h>
#include <hft/endian.h>

/* A copy that ends where its memory ends, so that any read past it is seen. */
static uint8_t *exact(const uint8_t *data, size_t len) {
    uint8_t *copy = malloc(len != 0 ? len : 1);
    if (copy == NULL) abort();
    if (len != 0) memcpy(copy, data, len);
    return copy;
}

static void payload(const uint8_t *data, size_t len) {
    uint8_t *copy = exact(data, len), out[HFT_BTC_HEADER_LEN + 128 + HFT_BTC_USER_AGENT_MAX];
    hft_btc_version v;
    if (hft_btc_parse_version(&v, copy, len) == 0) {
        int n = hft_btc_build_version(out, sizeof out, HFT_BTC_MAGIC_MAINNET, &v);
        if (n < HFT_BTC_HEADER_LEN || memcmp(out + HFT_BTC_HEADER_LEN, copy, 20) != 0) abort();
        hft_btc_version again;
        if (hft_btc_parse_version(&again, out + HFT_BTC_HEADER_LEN, (size_t)n - HFT_BTC_HEADER_LEN) != 0) abort();
        if (again.nonce != v.nonce || again.relay != v.relay || again.start_height != v.start_height) abort();
        if (memcmp(again.user_agent, v.user_agent, v.user_agent_len) != 0) abort();
    }
    const uint8_t *entries;
    size_t n;
    if (hft_btc_parse_inv(&entries, &n, copy, len) == 0 && entries + 36 * n != copy + len) abort();
    uint64_t value;
    for (size_t pos = 0; pos < len;) {
        size_t before = pos;
        if (hft_btc_compact_size_read(&value, copy, len, &pos, UINT64_MAX) < 0) break;
        uint8_t again[9];
        if (hft_btc_compact_size_put(again, value) != pos - before || memcmp(again, copy + before, pos - before) != 0)
            abort();
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint32_t magic = size >= 4 ? hft_load_le32(data) : HFT_BTC_MAGIC_MAINNET;
    size_t pos = 0;
    payload(data, size);
    while (pos < size) {
        hft_btc_message msg;
        size_t used = 0, need = 0;
        uint8_t *rest = exact(data + pos, size - pos), hash[32];
        int rc = hft_btc_next_message(&msg, &used, &need, magic, 1u << 20, rest, size - pos);
        if (rc == 1) {
            if (used != need || used != HFT_BTC_HEADER_LEN + msg.payload_len || used > size - pos) abort();
            if (msg.command[0] == '\0' || strlen(msg.command) > 12) abort();
            (void)hft_btc_checksum(hash, &msg);
            payload(msg.payload, msg.payload_len);
            /* One byte less is not a message yet, and asks for what was used. */
            if (hft_btc_next_message(&msg, &used, &need, magic, 1u << 20, rest, used - 1) != 0) abort();
            if (need != used && need != HFT_BTC_HEADER_LEN) abort();
            pos += used;
        } else if (rc == 0 && need <= size - pos) {
            abort();
        }
        free(rest);
        if (rc != 1) break;
    }
    return 0;
}
