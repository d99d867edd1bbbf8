/* Bitcoin's peer-to-peer messages (v1 transport) and transactions over bytes. Pure; zero-copy; no allocation.
 *
 * Sources: Bitcoin Core protocol documentation, BIP144 (witness), BIP155 (sendaddrv2), BIP339 (wtxidrelay).
 * Hashes are in internal byte order (as on the wire); display order is the reverse. */
#ifndef HFT_BTC_H
#define HFT_BTC_H

#include "hft/status.h"

#define HFT_BTC_HEADER_LEN 24
#define HFT_BTC_MESSAGE_MAX 4000000u /* payload limit of the protocol */
#define HFT_BTC_INV_MAX 50000u       /* entries in inv, getdata, notfound */
#define HFT_BTC_ADDR_MAX 1000u       /* entries in addr, addrv2 */
#define HFT_BTC_ADDR_BYTES_MAX 512u  /* of an address in addrv2 (BIP155) */
#define HFT_BTC_PROTOCOL_VERSION 70016
#define HFT_BTC_MIN_VERSION 70001    /* with relay flag and witness peers only */
#define HFT_BTC_MONEY_MAX 2100000000000000ull
#define HFT_BTC_USER_AGENT_MAX 256

#define HFT_BTC_MAGIC_MAINNET 0xd9b4bef9u  /* bytes f9 be b4 d9 */
#define HFT_BTC_MAGIC_TESTNET4 0x283f161cu /* bytes 1c 16 3f 28 */
#define HFT_BTC_MAGIC_SIGNET 0x40cf030au   /* bytes 0a 03 cf 40 */
#define HFT_BTC_MAGIC_TESTNET3 0x0709110bu /* bytes 0b 11 09 07 */
#define HFT_BTC_MAGIC_REGTEST 0xdab5bffau  /* bytes fa bf b5 da */

#define HFT_BTC_NODE_NETWORK 1ull
#define HFT_BTC_NODE_WITNESS 8ull

typedef enum {
    HFT_BTC_MSG_OTHER = 0, /* valid, but of no interest here */
    HFT_BTC_MSG_VERSION, HFT_BTC_MSG_VERACK, HFT_BTC_MSG_WTXIDRELAY, HFT_BTC_MSG_SENDADDRV2,
    HFT_BTC_MSG_PING, HFT_BTC_MSG_PONG, HFT_BTC_MSG_INV, HFT_BTC_MSG_GETDATA, HFT_BTC_MSG_NOTFOUND, HFT_BTC_MSG_TX,
    HFT_BTC_MSG_FEEFILTER, HFT_BTC_MSG_ADDR, HFT_BTC_MSG_ADDRV2,
} hft_btc_msg;

enum { /* types in inv and getdata */
    HFT_BTC_INV_TX = 1, HFT_BTC_INV_BLOCK = 2, HFT_BTC_INV_WTX = 5, HFT_BTC_INV_WITNESS_TX = 0x40000001,
};

typedef struct {
    uint8_t kind;           /* hft_btc_msg */
    char command[13];       /* NUL-terminated */
    const uint8_t *payload; /* view */
    uint32_t payload_len;
    uint32_t checksum;      /* as in the header, little-endian load */
} hft_btc_message;

/* Frames one message at data[0..len). Checks magic (as soon as its four bytes are there), command (1 to 12 printable
 * characters, then NUL) and length, NOT the checksum (its hash may also be a wtxid: see hft_btc_checksum and the peer).
 * Returns 1: *msg and *used are set; 0: more bytes are needed, *need is the total the message takes
 * (HFT_BTC_HEADER_LEN until the header is there); < 0: HFT_E_BTC_MAGIC/TOO_LARGE/COMMAND. */
HFT_NODISCARD int hft_btc_next_message(hft_btc_message *msg, size_t *used, size_t *need, uint32_t magic,
                                       uint32_t payload_max, const uint8_t *data, size_t len);
/* 1 if the first four bytes of sha256d(payload) are the header's checksum. hash gets the whole double hash. */
int hft_btc_checksum(uint8_t hash[32], const hft_btc_message *msg);

/* Canonical CompactSize. read: advances *pos, HFT_E_BTC_TRUNCATED/COMPACT_SIZE; values over `max` are refused. */
HFT_NODISCARD int hft_btc_compact_size_read(uint64_t *value, const uint8_t *data, size_t len, size_t *pos,
                                            uint64_t max);
size_t hft_btc_compact_size_put(uint8_t *out, uint64_t value); /* 1, 3, 5 or 9 bytes */

/* ---- building; each returns the message's whole length, header and checksum included ---- */

typedef struct {
    int32_t version;
    uint64_t services;
    int64_t timestamp;      /* Unix seconds */
    uint64_t nonce;         /* random per process: finds connections to ourselves */
    const char *user_agent; /* e.g. "/hftcore:0.1.0/" */
    size_t user_agent_len;
    int32_t start_height;
    uint8_t relay;          /* 1: announce transactions to us */
} hft_btc_version;

/* Any message. command: 1..12 printable characters. payload may already stand at out + HFT_BTC_HEADER_LEN.
 * Errors: HFT_E_CAPACITY, HFT_E_BTC_COMMAND, HFT_E_BTC_TOO_LARGE (over HFT_BTC_MESSAGE_MAX; for version: user agent
 * over HFT_BTC_USER_AGENT_MAX). */
HFT_NODISCARD int hft_btc_build_message(uint8_t *out, size_t cap, uint32_t magic, const char *command,
                                        const void *payload, size_t len);
HFT_NODISCARD int hft_btc_build_version(uint8_t *out, size_t cap, uint32_t magic, const hft_btc_version *v);
/* n entries of 32-byte hashes, all of one type; command "inv", "getdata" or "notfound". Errors: HFT_E_BTC_COUNT. */
HFT_NODISCARD int hft_btc_build_inv(uint8_t *out, size_t cap, uint32_t magic, const char *command, uint32_t type,
                                    const uint8_t *hashes, size_t n);

/* ---- reading payloads ---- */

/* Views into the payload. The relay byte may be absent (then 1); what follows it is left to later protocol versions.
 * Errors: HFT_E_BTC_TRUNCATED, _COMPACT_SIZE, _TOO_LARGE (user agent over HFT_BTC_USER_AGENT_MAX). */
HFT_NODISCARD int hft_btc_parse_version(hft_btc_version *v, const uint8_t *payload, size_t len);
/* *entries points at *n entries of 36 bytes (u32 type, 32-byte hash).
 * Errors: HFT_E_BTC_COUNT, _TRUNCATED, _TRAILING, _COMPACT_SIZE. */
HFT_NODISCARD int hft_btc_parse_inv(const uint8_t **entries, size_t *n, const uint8_t *payload, size_t len);

enum { /* networks of addresses, by their numbers in BIP155 */
    HFT_BTC_NET_OTHER = 0, HFT_BTC_NET_IPV4, HFT_BTC_NET_IPV6, HFT_BTC_NET_TORV2, HFT_BTC_NET_TORV3, HFT_BTC_NET_I2P,
    HFT_BTC_NET_CJDNS,
};

/* The address of a node, as one node tells another. */
typedef struct {
    uint64_t services;
    const uint8_t *address;   /* view: 4 bytes of IPv4, 16 of IPv6 ... */
    uint16_t address_len, port;
    uint32_t time;            /* Unix seconds: last seen by somebody */
    uint8_t network;          /* HFT_BTC_NET_*; OTHER = not to be used */
} hft_btc_addr;

typedef struct { const uint8_t *data; size_t len, pos; uint32_t n; uint8_t v2; } hft_btc_addrs;

/* Checks the payload of addr (v2 = 0: IPv4 stands inside IPv6) or addrv2 (1, BIP155); call hft_btc_next_addr n times.
 * Errors: HFT_E_BTC_COUNT (over HFT_BTC_ADDR_MAX), _TRUNCATED, _TRAILING, _COMPACT_SIZE, _TOO_LARGE (an address over
 * HFT_BTC_ADDR_BYTES_MAX), _NET_ADDRESS (not of its network's length). */
HFT_NODISCARD int hft_btc_parse_addrs(hft_btc_addrs *addrs, const uint8_t *payload, size_t len, int v2);
void hft_btc_next_addr(hft_btc_addr *addr, hft_btc_addrs *addrs);

/* ---- transactions ---- */

/* Where the parts of a transaction lie; offsets from its first byte. */
typedef struct {
    const uint8_t *data;
    uint32_t size;           /* bytes, witness included */
    int32_t version;
    uint32_t locktime;
    uint32_t n_inputs, n_outputs;
    uint32_t inputs_pos;     /* first input, behind the count */
    uint32_t outputs_pos;    /* first output, behind the count */
    uint32_t outputs_end;
    uint32_t body_pos;       /* the input count: where the bytes common to txid and wtxid start */
    uint32_t witness_pos;    /* first witness, 0 = none (then outputs_end is where the locktime stands) */
} hft_btc_tx;

typedef struct { const uint8_t *script; uint32_t script_len; uint64_t value; } hft_btc_output; /* value: satoshi */
typedef struct {
    const uint8_t *prev_txid; /* 32 bytes, internal order */
    uint32_t prev_index;
    const uint8_t *script; uint32_t script_len;
    uint32_t sequence;
} hft_btc_input;

/* Checks the structure of the transaction at data[0..len) as far as a reader must: counts, lengths, amounts
 * (each and in total <= HFT_BTC_MONEY_MAX), at least one input and output, no superfluous witness, nothing truncated.
 * Bytes behind it are left alone: tx->size says where it ends (HFT_E_BTC_TRAILING is the caller's to raise).
 * On an error tx->size is the position of the part that is wrong, and the rest of *tx holds nothing of use.
 * Errors: HFT_E_BTC_TRUNCATED, _COMPACT_SIZE, _TX, _AMOUNT, _TOO_LARGE (it goes on behind HFT_BTC_MESSAGE_MAX). */
HFT_NODISCARD int hft_btc_parse_tx(hft_btc_tx *tx, const uint8_t *data, size_t len);

/* What unlocks one input (BIP141): n_items, each a CompactSize and so many bytes. A view into the transaction. */
typedef struct { const uint8_t *data; uint32_t size; uint32_t n_items; } hft_btc_witness;
typedef struct { const uint8_t *data; uint32_t len; } hft_btc_item;

/* Iteration over a tx that hft_btc_parse_tx accepted, so it cannot fail. *pos starts at tx->outputs_pos (inputs_pos,
 * witness_pos) and moves on; call n_outputs (n_inputs, n_inputs) times. A tx without any has empty witnesses. */
void hft_btc_next_output(hft_btc_output *out, const hft_btc_tx *tx, uint32_t *pos);
void hft_btc_next_input(hft_btc_input *in, const hft_btc_tx *tx, uint32_t *pos);
void hft_btc_next_witness(hft_btc_witness *witness, const hft_btc_tx *tx, uint32_t *pos);
/* *pos starts at 0; call witness->n_items times. */
void hft_btc_next_item(hft_btc_item *item, const hft_btc_witness *witness, uint32_t *pos);

void hft_btc_txid(uint8_t out[32], const hft_btc_tx *tx);
void hft_btc_wtxid(uint8_t out[32], const hft_btc_tx *tx);
/* Both at once; interleaved where the stripped form fits a small buffer on the stack. */
void hft_btc_ids(uint8_t txid[32], uint8_t wtxid[32], const hft_btc_tx *tx);
/* Weight units / 4, rounded up (BIP141). */
uint32_t hft_btc_vsize(const hft_btc_tx *tx);
/* Three times the size without the witness, and the whole size (BIP141). */
uint32_t hft_btc_weight(const hft_btc_tx *tx);

/* ---- scripts ---- */

/* The types of scriptPubKeys, by the rules of Bitcoin Core (script/solver.cpp). */
typedef enum {
    HFT_BTC_SCRIPT_NONSTANDARD = 0,
    HFT_BTC_SCRIPT_P2PK,            /* a public key of 33 or 65 bytes, OP_CHECKSIG */
    HFT_BTC_SCRIPT_P2PKH,
    HFT_BTC_SCRIPT_P2SH,            /* BIP16 */
    HFT_BTC_SCRIPT_P2WPKH,          /* BIP141, as the next */
    HFT_BTC_SCRIPT_P2WSH,
    HFT_BTC_SCRIPT_P2TR,            /* BIP341 */
    HFT_BTC_SCRIPT_ANCHOR,          /* pay to anchor: witness version 1, program 4e73; anybody may spend it */
    HFT_BTC_SCRIPT_WITNESS_UNKNOWN, /* a witness version, or a length of version 1, that has no meaning yet */
    HFT_BTC_SCRIPT_MULTISIG,        /* bare: m, 1 to 20 public keys, n, OP_CHECKMULTISIG */
    HFT_BTC_SCRIPT_OP_RETURN,       /* OP_RETURN and nothing but pushes: carries data, cannot be spent */
} hft_btc_script_type;

hft_btc_script_type hft_btc_classify(const uint8_t *script, size_t len);

/* ---- the owner of an input ---- */

/* Why it cannot be told whose output an input spends. */
typedef enum {
    HFT_BTC_OWNER_KNOWN = 0,
    HFT_BTC_OWNER_COINBASE,       /* it spends nothing: new coins */
    HFT_BTC_OWNER_NO_DATA,        /* neither scriptSig nor witness: an anchor, or a witness that was left out */
    HFT_BTC_OWNER_SIGNATURE_ONLY, /* P2PK or bare multisig: the keys stand in the output, here are only signatures */
    HFT_BTC_OWNER_TAPROOT_KEY,    /* taproot, spent by its key: the key stands in the output */
    HFT_BTC_OWNER_TAPROOT_SCRIPT, /* taproot, spent by a script: its key would have to be computed on the curve */
    HFT_BTC_OWNER_AMBIGUOUS,      /* what may be a public key may also be a script that runs */
    HFT_BTC_OWNER_NONSTANDARD,    /* nothing that nodes relay can be unlocked like this */
} hft_btc_owner_reason;

typedef struct {
    uint8_t script[34]; /* the scriptPubKey of the output that the input spends */
    uint8_t script_len; /* 0: unknown */
    uint8_t type;       /* hft_btc_script_type; HFT_BTC_SCRIPT_NONSTANDARD if unknown */
    uint8_t reason;     /* hft_btc_owner_reason */
} hft_btc_owner;

/* The scriptPubKey that an input must spend, from what unlocks it, without the output itself. Returns 1 if it is
 * certain: of all outputs whose spending Bitcoin Core relays, only this one fits, if the transaction is valid. 0 if
 * not; owner->reason says why. No signature is checked, so a transaction that no node would relay (made up, or handed
 * to a miner directly) can claim any owner. Costs up to two HASH160 or one
 * SHA-256 of the script, and a walk through it. */
int hft_btc_input_owner(hft_btc_owner *owner, const hft_btc_input *in, const hft_btc_witness *witness);

#endif
