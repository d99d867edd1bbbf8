/* Addresses. They are read while a program is configured and by the million when lists are built. */
#include "hft/address.h"

#include <string.h>

#include "hft/sha256.h"

#define CHECKSUM_LEN 4        /* bytes of base58check */
#define BECH32_CHECKSUM_LEN 6 /* characters */
#define BECH32M_CONSTANT 0x2bc830a3u
#define PAYLOAD_MAX 96        /* what HFT_ADDRESS_MAX characters of base58 hold */
#define NONE 0xff

static const char base58_digits[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
static const char bech32_digits[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static int refuse(hft_address_fault *fault, hft_address_why why, size_t pos, size_t value) {
    *fault = (hft_address_fault){(uint8_t)why, (uint32_t)pos, (uint32_t)value};
    switch (why) {
    case HFT_ADDRESS_CHECKSUM:
    case HFT_ADDRESS_CHECKSUM_KIND: return HFT_E_BTC_ADDRESS_CHECKSUM;
    case HFT_ADDRESS_OTHER_VERSION:
    case HFT_ADDRESS_OTHER_HRP: return HFT_E_BTC_ADDRESS_NETWORK;
    default: return HFT_E_BTC_ADDRESS;
    }
}

static uint8_t digit_of(char c, const char *digits, unsigned n) {
    const char *found = memchr(digits, c, n);
    return found != NULL ? (uint8_t)(found - digits) : NONE;
}

static char to_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

/* ---- base58 ---- */

/* The number grows at the end of `out`, most significant byte first, and moves to the front once it is whole. */
int hft_base58_decode(uint8_t *out, size_t cap, hft_address_fault *fault, const char *text, size_t len) {
    size_t n = 0, zeros = 0;
    while (zeros < len && text[zeros] == '1') zeros++;
    for (size_t i = zeros; i < len; i++) {
        uint32_t carry = digit_of(text[i], base58_digits, 58);
        if (carry == NONE) return refuse(fault, HFT_ADDRESS_NOT_BASE58, i, 0);
        for (size_t k = 0; k < n; k++) {
            carry += 58u * out[cap - 1 - k];
            out[cap - 1 - k] = (uint8_t)carry;
            carry >>= 8;
        }
        if (carry == 0) continue; /* one digit makes the number longer by a byte at most */
        if (n == cap) return HFT_E_CAPACITY;
        out[cap - 1 - n++] = (uint8_t)carry;
    }
    if (zeros + n > cap) return HFT_E_CAPACITY;
    memmove(out + zeros, out + cap - n, n);
    memset(out, 0, zeros);
    return (int)(zeros + n);
}

int hft_base58_encode(char *out, size_t cap, const uint8_t *data, size_t len) {
    size_t n = 0, zeros = 0;
    while (zeros < len && data[zeros] == 0) zeros++;
    for (size_t i = zeros; i < len; i++) {
        uint32_t carry = data[i];
        for (size_t k = 0; k < n || carry != 0; k++) {
            if (k == n) {
                if (n == cap) return HFT_E_CAPACITY;
                out[cap - 1 - n++] = 0;
            }
            carry += 256u * (uint8_t)out[cap - 1 - k];
            out[cap - 1 - k] = (char)(carry % 58);
            carry /= 58;
        }
    }
    if (zeros + n > cap) return HFT_E_CAPACITY;
    memmove(out + zeros, out + cap - n, n);
    for (size_t i = 0; i < n; i++) out[zeros + i] = base58_digits[(uint8_t)out[zeros + i]];
    memset(out, '1', zeros);
    return (int)(zeros + n);
}

/* ---- bech32 ---- */

/* One more value in the BCH code of BIP173. */
static uint32_t polymod(uint32_t check, uint8_t value) {
    static const uint32_t generators[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
    uint32_t top = check >> 25;
    check = (check & 0x1ffffff) << 5 ^ value;
    for (unsigned i = 0; i < 5; i++) check ^= -(top >> i & 1) & generators[i];
    return check;
}

static uint32_t polymod_hrp(const char *hrp, size_t len) {
    uint32_t check = 1;
    for (size_t i = 0; i < len; i++) check = polymod(check, (uint8_t)(to_lower(hrp[i]) >> 5));
    check = polymod(check, 0);
    for (size_t i = 0; i < len; i++) check = polymod(check, to_lower(hrp[i]) & 31);
    return check;
}

int hft_bech32_decode(hft_bech32 *parts, hft_address_fault *fault, const char *text, size_t len) {
    size_t end = 0; /* behind the last '1' */
    int n_upper = 0, n_lower = 0;
    if (len > HFT_ADDRESS_MAX) return refuse(fault, HFT_ADDRESS_FORM, 0, len);
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '!' || text[i] > '~') return refuse(fault, HFT_ADDRESS_NOT_PRINTABLE, i, 0);
        n_upper += text[i] >= 'A' && text[i] <= 'Z';
        n_lower += text[i] >= 'a' && text[i] <= 'z';
        if (text[i] == '1') end = i + 1;
    }
    if (n_upper != 0 && n_lower != 0) return refuse(fault, HFT_ADDRESS_MIXED_CASE, 0, 0);
    if (end < 2 || end + BECH32_CHECKSUM_LEN > len) return refuse(fault, HFT_ADDRESS_FORM, 0, len);
    uint32_t check = polymod_hrp(text, end - 1);
    for (size_t i = end; i < len; i++) {
        uint8_t value = digit_of(to_lower(text[i]), bech32_digits, 32);
        if (value == NONE) return refuse(fault, HFT_ADDRESS_NOT_BECH32, i, 0);
        parts->values[i - end] = value;
        check = polymod(check, value);
    }
    if (check != 1 && check != BECH32M_CONSTANT) return refuse(fault, HFT_ADDRESS_CHECKSUM, 0, 0);
    parts->hrp_len = (uint8_t)(end - 1);
    parts->n_values = (uint8_t)(len - end - BECH32_CHECKSUM_LEN);
    parts->is_bech32m = check != 1;
    return 0;
}

int hft_bech32_encode(char *out, const char *hrp, size_t hrp_len, const uint8_t *values, size_t n, int is_bech32m) {
    if (hrp_len > HFT_ADDRESS_MAX || n > HFT_ADDRESS_MAX || hrp_len + 1 + n + BECH32_CHECKSUM_LEN > HFT_ADDRESS_MAX)
        return HFT_E_CAPACITY;
    uint32_t check = polymod_hrp(hrp, hrp_len);
    memcpy(out, hrp, hrp_len);
    out += hrp_len;
    *out++ = '1';
    for (size_t i = 0; i < n; i++) {
        check = polymod(check, values[i] & 31);
        *out++ = bech32_digits[values[i] & 31];
    }
    for (int i = 0; i < BECH32_CHECKSUM_LEN; i++) check = polymod(check, 0);
    check ^= is_bech32m ? BECH32M_CONSTANT : 1;
    for (unsigned i = 0; i < BECH32_CHECKSUM_LEN; i++) *out++ = bech32_digits[check >> 5 * (5 - i) & 31];
    return (int)(hrp_len + 1 + n + BECH32_CHECKSUM_LEN);
}

/* ---- addresses to scripts ---- */

/* 5-bit values to bytes; at most four bits of padding, all zero (BIP173). Returns the length, -1 if they are not. */
static int from_5_bits(uint8_t *out, const uint8_t *values, size_t n) {
    uint32_t held = 0;
    unsigned n_bits = 0;
    int len = 0;
    for (size_t i = 0; i < n; i++) {
        held = (held << 5 | values[i]) & 0xfff;
        n_bits += 5;
        if (n_bits < 8) continue;
        n_bits -= 8;
        out[len++] = (uint8_t)(held >> n_bits);
    }
    return n_bits > 4 || (held & ((1u << n_bits) - 1)) != 0 ? -1 : len;
}

static int decode_segwit(uint8_t *script, hft_address_fault *fault, const hft_address_net *net, const char *text,
                         size_t len) {
    hft_bech32 parts;
    uint8_t program[HFT_ADDRESS_MAX];
    int rc = hft_bech32_decode(&parts, fault, text, len);
    if (rc < 0) return rc;
    int is_ours = parts.hrp_len == net->hrp_len;
    for (size_t i = 0; is_ours && i < net->hrp_len; i++) is_ours = to_lower(text[i]) == net->hrp[i];
    if (!is_ours) return refuse(fault, HFT_ADDRESS_OTHER_HRP, 0, parts.hrp_len);
    if (parts.n_values == 0) return refuse(fault, HFT_ADDRESS_NO_VERSION, 0, 0);
    unsigned version = parts.values[0];
    int program_len = from_5_bits(program, parts.values + 1, parts.n_values - 1u);
    if (program_len < 0) return refuse(fault, HFT_ADDRESS_PADDING, 0, 0);
    if (version > 16) return refuse(fault, HFT_ADDRESS_VERSION, 0, version);
    if (program_len < 2 || program_len > 40 || (version == 0 && program_len != 20 && program_len != 32))
        return refuse(fault, HFT_ADDRESS_PROGRAM_LEN, 0, version << 8 | (unsigned)program_len);
    if (parts.is_bech32m != (version != 0)) return refuse(fault, HFT_ADDRESS_CHECKSUM_KIND, 0, version);
    script[0] = (uint8_t)(version != 0 ? 0x50 + version : 0);
    script[1] = (uint8_t)program_len;
    memcpy(script + 2, program, (size_t)program_len);
    return program_len + 2;
}

static int decode_base58(uint8_t *script, hft_address_fault *fault, const hft_address_net *net, const char *text,
                         size_t len) {
    uint8_t payload[PAYLOAD_MAX], hash[32];
    if (len > HFT_ADDRESS_MAX) return refuse(fault, HFT_ADDRESS_TOO_LONG, 0, len);
    int n = hft_base58_decode(payload, sizeof payload, fault, text, len);
    if (n < 0) return n;
    if (n < CHECKSUM_LEN + 1) return refuse(fault, HFT_ADDRESS_TOO_SHORT, 0, len);
    size_t body_len = (size_t)n - CHECKSUM_LEN - 1;
    hft_sha256d_digest(hash, payload, body_len + 1);
    if (memcmp(hash, payload + body_len + 1, CHECKSUM_LEN) != 0) return refuse(fault, HFT_ADDRESS_CHECKSUM, 0, 0);
    uint8_t version = payload[0];
    if ((version == 0x80 || version == 0xef) && (body_len == 32 || body_len == 33))
        return refuse(fault, HFT_ADDRESS_PRIVATE_KEY, 0, 0);
    if (body_len != 20) return refuse(fault, HFT_ADDRESS_PAYLOAD_LEN, 0, body_len);
    if (version == net->p2pkh_version) {
        memcpy(script, "\x76\xa9\x14", 3);
        memcpy(script + 3, payload + 1, 20);
        memcpy(script + 23, "\x88\xac", 2);
        return 25;
    }
    if (version != net->p2sh_version) return refuse(fault, HFT_ADDRESS_OTHER_VERSION, 0, version);
    memcpy(script, "\xa9\x14", 2);
    memcpy(script + 2, payload + 1, 20);
    script[22] = 0x87;
    return 23;
}

/* 1 for what begins like a segwit address of one of Bitcoin's networks, whatever follows. */
static int begins_like_segwit(const char *text, size_t len) {
    static const char prefixes[3][6] = {"bc1", "tb1", "bcrt1"};
    for (unsigned i = 0; i < 3; i++) {
        size_t n = 0;
        while (prefixes[i][n] != 0 && n < len && to_lower(text[n]) == prefixes[i][n]) n++;
        if (prefixes[i][n] == 0) return 1;
    }
    return 0;
}

int hft_address_decode(uint8_t *script, hft_address_fault *fault, const hft_address_net *net, const char *text,
                       size_t len) {
    *fault = (hft_address_fault){.why = HFT_ADDRESS_OK};
    if (begins_like_segwit(text, len)) return decode_segwit(script, fault, net, text, len);
    int rc = decode_base58(script, fault, net, text, len);
    if (rc >= 0) return rc;
    hft_address_fault other; /* a segwit address of another coin deserves to be called one */
    if (decode_segwit(script, &other, net, text, len) == HFT_E_BTC_ADDRESS_NETWORK) {
        *fault = other;
        return HFT_E_BTC_ADDRESS_NETWORK;
    }
    return rc;
}

/* ---- scripts to addresses ---- */

static int encode_base58(char *text, uint8_t version, const uint8_t *hash160) {
    uint8_t payload[1 + 20 + CHECKSUM_LEN], hash[32];
    payload[0] = version;
    memcpy(payload + 1, hash160, 20);
    hft_sha256d_digest(hash, payload, 21);
    memcpy(payload + 21, hash, CHECKSUM_LEN);
    return hft_base58_encode(text, HFT_ADDRESS_MAX, payload, sizeof payload);
}

static int encode_segwit(char *text, const hft_address_net *net, const uint8_t *script, size_t len) {
    uint8_t values[HFT_ADDRESS_MAX] = {(uint8_t)(script[0] != 0 ? script[0] - 0x50 : 0)};
    size_t n = 1;
    uint32_t held = 0;
    unsigned n_bits = 0;
    for (size_t i = 2; i < len; i++) {
        held = (held << 8 | script[i]) & 0xfff;
        for (n_bits += 8; n_bits >= 5; n_bits -= 5) values[n++] = held >> (n_bits - 5) & 31;
    }
    if (n_bits != 0) values[n++] = held << (5 - n_bits) & 31;
    return hft_bech32_encode(text, net->hrp, net->hrp_len, values, n, values[0] != 0);
}

int hft_address_encode(char *text, const hft_address_net *net, const uint8_t *script, size_t len) {
    if (len == 25 && memcmp(script, "\x76\xa9\x14", 3) == 0 && memcmp(script + 23, "\x88\xac", 2) == 0)
        return encode_base58(text, net->p2pkh_version, script + 3);
    if (len == 23 && memcmp(script, "\xa9\x14", 2) == 0 && script[22] == 0x87)
        return encode_base58(text, net->p2sh_version, script + 2);
    if (len < 4 || len > HFT_ADDRESS_SCRIPT_MAX || script[1] != len - 2) return 0;
    if (script[0] == 0 ? len != 22 && len != 34 : script[0] < 0x51 || script[0] > 0x60) return 0;
    return encode_segwit(text, net, script, len);
}
