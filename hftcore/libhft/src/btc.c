/* Bitcoin P2P messages: framing, building, and the payloads a watcher reads. Transactions are in btc_tx.c. */
#include "hft/btc.h"

#include <string.h>

#include "btc_wire.h"
#include "hft/endian.h"
#include "hft/sha256.h"

#define COMMAND_LEN 12
#define INV_ENTRY_LEN 36
#define VERSION_FIXED_LEN 80 /* everything before the user agent's length */
#define NET_ADDR_LEN 26      /* services, IPv6 address, port */

/* The kinds of command that something here reads, most frequent first. */
static const struct {
    char command[COMMAND_LEN];
    uint8_t kind;
} known_commands[] = {
    {"tx", HFT_BTC_MSG_TX},
    {"inv", HFT_BTC_MSG_INV},
    {"ping", HFT_BTC_MSG_PING},
    {"pong", HFT_BTC_MSG_PONG},
    {"notfound", HFT_BTC_MSG_NOTFOUND},
    {"getdata", HFT_BTC_MSG_GETDATA},
    {"feefilter", HFT_BTC_MSG_FEEFILTER},
    {"version", HFT_BTC_MSG_VERSION},
    {"verack", HFT_BTC_MSG_VERACK},
    {"wtxidrelay", HFT_BTC_MSG_WTXIDRELAY},
    {"sendaddrv2", HFT_BTC_MSG_SENDADDRV2},
    {"addrv2", HFT_BTC_MSG_ADDRV2},
    {"addr", HFT_BTC_MSG_ADDR},
};

/* Length of the command in a NUL-padded field, or HFT_E_BTC_COMMAND. */
static int command_check(const uint8_t field[COMMAND_LEN]) {
    int len = 0;
    while (len < COMMAND_LEN && field[len] >= 0x20 && field[len] <= 0x7e) len++;
    for (int i = len; i < COMMAND_LEN; i++)
        if (field[i] != 0) return HFT_E_BTC_COMMAND;
    return len > 0 ? len : HFT_E_BTC_COMMAND;
}

/* Sets msg->kind and msg->command. A command of the list needs no further check: it is what was compared. */
static int command_read(hft_btc_message *msg, const uint8_t field[COMMAND_LEN]) {
    memcpy(msg->command, field, COMMAND_LEN);
    msg->command[COMMAND_LEN] = '\0';
    for (size_t i = 0; i < sizeof known_commands / sizeof known_commands[0]; i++) {
        if (memcmp(known_commands[i].command, field, COMMAND_LEN) == 0) {
            msg->kind = known_commands[i].kind;
            return 0;
        }
    }
    msg->kind = HFT_BTC_MSG_OTHER;
    int len = command_check(field);
    return len < 0 ? len : 0;
}

int hft_btc_next_message(hft_btc_message *msg, size_t *used, size_t *need, uint32_t magic, uint32_t payload_max,
                         const uint8_t *data, size_t len) {
    if (len >= 4 && hft_load_le32(data) != magic) return HFT_E_BTC_MAGIC;
    *need = HFT_BTC_HEADER_LEN;
    if (len < HFT_BTC_HEADER_LEN) return 0;
    int rc = command_read(msg, data + 4);
    if (rc < 0) return rc;
    uint32_t payload_len = hft_load_le32(data + 16);
    if (payload_len > payload_max) return HFT_E_BTC_TOO_LARGE;
    *need = HFT_BTC_HEADER_LEN + (size_t)payload_len;
    if (len < *need) return 0;
    msg->payload = data + HFT_BTC_HEADER_LEN;
    msg->payload_len = payload_len;
    msg->checksum = hft_load_le32(data + 20);
    *used = *need;
    return 1;
}

int hft_btc_checksum(uint8_t hash[32], const hft_btc_message *msg) {
    hft_sha256d_digest(hash, msg->payload, msg->payload_len);
    return hft_load_le32(hash) == msg->checksum;
}

int hft_btc_compact_size_read(uint64_t *value, const uint8_t *data, size_t len, size_t *pos, uint64_t max) {
    if (*pos > len) return HFT_E_BTC_TRUNCATED;
    size_t after = *pos;
    uint64_t v;
    int rc = hft_btc_compact_size_get(&v, data, len, &after);
    if (rc < 0) return rc;
    if (v > max) return HFT_E_BTC_COMPACT_SIZE;
    *value = v;
    *pos = after;
    return 0;
}

size_t hft_btc_compact_size_put(uint8_t *out, uint64_t value) {
    if (value < 0xfd) {
        out[0] = (uint8_t)value;
        return 1;
    }
    if (value <= 0xffff) {
        out[0] = 0xfd;
        hft_store_le16(out + 1, (uint16_t)value);
        return 3;
    }
    if (value <= 0xffffffffu) {
        out[0] = 0xfe;
        hft_store_le32(out + 1, (uint32_t)value);
        return 5;
    }
    out[0] = 0xff;
    hft_store_le64(out + 1, value);
    return 9;
}

/* ---- building ---- */

/* HFT_E_* unless a message with a payload of `len` bytes can be written to `cap` bytes. */
static int build_check(size_t cap, size_t len) {
    if (len > HFT_BTC_MESSAGE_MAX) return HFT_E_BTC_TOO_LARGE;
    return cap < HFT_BTC_HEADER_LEN + len ? HFT_E_CAPACITY : 0;
}

/* Puts the header in front of a payload that already stands at out + HFT_BTC_HEADER_LEN. */
static int put_header(uint8_t *out, uint32_t magic, const char *command, size_t len) {
    uint8_t field[COMMAND_LEN] = {0};
    size_t command_len = 0;
    for (; command[command_len] != '\0'; command_len++) {
        if (command_len == COMMAND_LEN) return HFT_E_BTC_COMMAND;
        field[command_len] = (uint8_t)command[command_len];
    }
    int rc = command_check(field);
    if (rc < 0) return rc;
    uint8_t hash[32];
    hft_sha256d_digest(hash, out + HFT_BTC_HEADER_LEN, len);
    hft_store_le32(out, magic);
    memcpy(out + 4, field, COMMAND_LEN);
    hft_store_le32(out + 16, (uint32_t)len);
    memcpy(out + 20, hash, 4);
    return HFT_BTC_HEADER_LEN + (int)len;
}

int hft_btc_build_message(uint8_t *out, size_t cap, uint32_t magic, const char *command, const void *payload,
                          size_t len) {
    int rc = build_check(cap, len);
    if (rc < 0) return rc;
    if (len > 0) memmove(out + HFT_BTC_HEADER_LEN, payload, len);
    return put_header(out, magic, command, len);
}

int hft_btc_build_version(uint8_t *out, size_t cap, uint32_t magic, const hft_btc_version *v) {
    if (v->user_agent_len > HFT_BTC_USER_AGENT_MAX) return HFT_E_BTC_TOO_LARGE;
    size_t agent_size_len = v->user_agent_len < 0xfd ? 1 : 3;
    size_t len = VERSION_FIXED_LEN + agent_size_len + v->user_agent_len + 5;
    int rc = build_check(cap, len);
    if (rc < 0) return rc;
    uint8_t *p = out + HFT_BTC_HEADER_LEN;
    hft_store_le32(p, (uint32_t)v->version);
    hft_store_le64(p + 4, v->services);
    hft_store_le64(p + 12, (uint64_t)v->timestamp);
    /* Nobody reads these two: peers take the address from the socket. */
    memset(p + 20, 0, (size_t)2 * NET_ADDR_LEN);
    hft_store_le64(p + 72, v->nonce);
    p += VERSION_FIXED_LEN;
    p += hft_btc_compact_size_put(p, v->user_agent_len);
    if (v->user_agent_len > 0) memcpy(p, v->user_agent, v->user_agent_len);
    p += v->user_agent_len;
    hft_store_le32(p, (uint32_t)v->start_height);
    p[4] = v->relay != 0;
    return put_header(out, magic, "version", len);
}

int hft_btc_build_inv(uint8_t *out, size_t cap, uint32_t magic, const char *command, uint32_t type,
                      const uint8_t *hashes, size_t n) {
    if (n > HFT_BTC_INV_MAX) return HFT_E_BTC_COUNT;
    size_t len = (n < 0xfd ? 1 : 3) + n * INV_ENTRY_LEN;
    int rc = build_check(cap, len);
    if (rc < 0) return rc;
    uint8_t *p = out + HFT_BTC_HEADER_LEN;
    p += hft_btc_compact_size_put(p, n);
    for (size_t i = 0; i < n; i++, p += INV_ENTRY_LEN) {
        hft_store_le32(p, type);
        memcpy(p + 4, hashes + 32 * i, 32);
    }
    return put_header(out, magic, command, len);
}

/* ---- reading ---- */

int hft_btc_parse_version(hft_btc_version *v, const uint8_t *payload, size_t len) {
    if (len < VERSION_FIXED_LEN) return HFT_E_BTC_TRUNCATED;
    size_t pos = VERSION_FIXED_LEN;
    uint64_t agent_len;
    int rc = hft_btc_compact_size_get(&agent_len, payload, len, &pos);
    if (rc < 0) return rc;
    if (agent_len > HFT_BTC_USER_AGENT_MAX) return HFT_E_BTC_TOO_LARGE;
    if (len - pos < agent_len + 4) return HFT_E_BTC_TRUNCATED;
    v->version = (int32_t)hft_load_le32(payload);
    v->services = hft_load_le64(payload + 4);
    v->timestamp = (int64_t)hft_load_le64(payload + 12);
    v->nonce = hft_load_le64(payload + 72);
    v->user_agent = (const char *)payload + pos;
    v->user_agent_len = (size_t)agent_len;
    pos += (size_t)agent_len;
    v->start_height = (int32_t)hft_load_le32(payload + pos);
    pos += 4;
    /* Bytes behind the relay flag are left to future versions of the protocol, as Bitcoin Core does. */
    v->relay = pos == len || payload[pos] != 0;
    return 0;
}

int hft_btc_parse_inv(const uint8_t **entries, size_t *n, const uint8_t *payload, size_t len) {
    size_t pos = 0;
    uint64_t count;
    int rc = hft_btc_compact_size_get(&count, payload, len, &pos);
    if (rc < 0) return rc;
    if (count > HFT_BTC_INV_MAX) return HFT_E_BTC_COUNT;
    size_t entries_len = (size_t)count * INV_ENTRY_LEN;
    if (len - pos < entries_len) return HFT_E_BTC_TRUNCATED;
    if (len - pos > entries_len) return HFT_E_BTC_TRAILING;
    *entries = payload + pos;
    *n = (size_t)count;
    return 0;
}
