/* Bitcoin addresses to and from scriptPubKeys: base58check, bech32 (BIP173), bech32m (BIP350). Pure; no allocation.
 *
 * Texts are not NUL-terminated and may hold any bytes. What is refused is never repeated: it may be a private key. */
#ifndef HFT_ADDRESS_H
#define HFT_ADDRESS_H

#include "hft/status.h"

#define HFT_ADDRESS_MAX 90        /* characters (BIP173); base58 addresses are shorter */
#define HFT_ADDRESS_SCRIPT_MAX 42 /* bytes: a witness program of 40 */

/* What tells a network's addresses from another's. */
typedef struct {
    uint8_t p2pkh_version, p2sh_version; /* first byte of a base58 address */
    uint8_t hrp_len;
    char hrp[8];                         /* what a segwit address begins with, before the '1'; lower case */
} hft_address_net;

/* What is wrong with an address. `value` and `pos` of hft_address_fault mean what stands behind each. */
typedef enum {
    HFT_ADDRESS_OK = 0,
    HFT_ADDRESS_NOT_BASE58,      /* pos: the character */
    HFT_ADDRESS_NOT_PRINTABLE,   /* pos: the character is outside of ! to ~ */
    HFT_ADDRESS_NOT_BECH32,      /* pos: the character */
    HFT_ADDRESS_MIXED_CASE,
    HFT_ADDRESS_FORM,            /* no prefix before a '1', too short or too long for bech32 */
    HFT_ADDRESS_TOO_LONG,        /* value: characters */
    HFT_ADDRESS_TOO_SHORT,       /* value: characters */
    HFT_ADDRESS_CHECKSUM,
    HFT_ADDRESS_CHECKSUM_KIND,   /* value: witness version, which takes the other of bech32 and bech32m (BIP350) */
    HFT_ADDRESS_PRIVATE_KEY,
    HFT_ADDRESS_PAYLOAD_LEN,     /* value: bytes where an address has 20 */
    HFT_ADDRESS_PADDING,
    HFT_ADDRESS_NO_VERSION,
    HFT_ADDRESS_VERSION,         /* value: witness version, over 16 */
    HFT_ADDRESS_PROGRAM_LEN,     /* value: bytes of witness program, version << 8 */
    HFT_ADDRESS_OTHER_VERSION,   /* value: the version byte of another network */
    HFT_ADDRESS_OTHER_HRP,       /* value: length of the prefix, of another network */
} hft_address_why;

typedef struct {
    uint8_t why; /* hft_address_why */
    uint32_t pos, value;
} hft_address_fault;

/* Writes the scriptPubKey (up to HFT_ADDRESS_SCRIPT_MAX bytes) and returns its length.
 * Errors: HFT_E_BTC_ADDRESS (form), _ADDRESS_CHECKSUM, _ADDRESS_NETWORK; *fault then says what is wrong. */
HFT_NODISCARD int hft_address_decode(uint8_t *script, hft_address_fault *fault, const hft_address_net *net,
                                     const char *text, size_t len);
/* Writes up to HFT_ADDRESS_MAX characters and returns how many; 0 if a script of this type has no address. */
int hft_address_encode(char *text, const hft_address_net *net, const uint8_t *script, size_t len);

/* ---- the two encodings ---- */

/* Base58 without a checksum: every leading zero byte is a '1'. Both return the length written.
 * Errors: HFT_E_CAPACITY, HFT_E_BTC_ADDRESS (NOT_BASE58). The time grows with the square of the length. */
HFT_NODISCARD int hft_base58_decode(uint8_t *out, size_t cap, hft_address_fault *fault, const char *text, size_t len);
HFT_NODISCARD int hft_base58_encode(char *out, size_t cap, const uint8_t *data, size_t len);

typedef struct {
    uint8_t values[HFT_ADDRESS_MAX]; /* of 5 bits each, without the checksum */
    uint8_t n_values, hrp_len;
    uint8_t is_bech32m;
} hft_bech32;

/* Errors: HFT_E_BTC_ADDRESS, _ADDRESS_CHECKSUM. */
HFT_NODISCARD int hft_bech32_decode(hft_bech32 *parts, hft_address_fault *fault, const char *text, size_t len);
/* Prefix in lower case, '1', values, checksum; returns the length. Errors: HFT_E_CAPACITY (over HFT_ADDRESS_MAX). */
HFT_NODISCARD int hft_bech32_encode(char *out, const char *hrp, size_t hrp_len, const uint8_t *values, size_t n,
                                    int is_bech32m);

#endif
