/* What the readers of scripts share. Private to libhft. */
#ifndef HFT_BTC_SCRIPT_H
#define HFT_BTC_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

enum { /* opcodes that are asked for by name (Bitcoin Core, script/script.h) */
    OP_0 = 0x00, OP_PUSHDATA1 = 0x4c, OP_PUSHDATA2 = 0x4d, OP_PUSHDATA4 = 0x4e, OP_1NEGATE = 0x4f, OP_RESERVED = 0x50,
    OP_1 = 0x51, OP_16 = 0x60, OP_NOP = 0x61, OP_IF = 0x63, OP_NOTIF = 0x64, OP_ELSE = 0x67, OP_ENDIF = 0x68,
    OP_RETURN = 0x6a, OP_TOALTSTACK = 0x6b, OP_FROMALTSTACK = 0x6c, OP_IFDUP = 0x73, OP_PICK = 0x79, OP_ROLL = 0x7a,
    OP_EQUAL = 0x87, OP_EQUALVERIFY = 0x88, OP_1ADD = 0x8b, OP_WITHIN = 0xa5, OP_CHECKSIG = 0xac,
    OP_CHECKSIGVERIFY = 0xad, OP_CHECKMULTISIG = 0xae, OP_CHECKMULTISIGVERIFY = 0xaf, OP_LAST = 0xb9,
};

#define HFT_BTC_ELEMENT_MAX 520 /* bytes on the stack in one piece, outside of tapscript */

/* One opcode; for those up to OP_PUSHDATA4 also the bytes that it pushes. */
typedef struct {
    const uint8_t *data;
    uint32_t len;
    uint8_t opcode;
} hft_btc_op;

/* Reads the opcode at script[*pos], *pos < len, and moves behind it and its data. 0 if they are not all there. */
int hft_btc_next_op(hft_btc_op *op, const uint8_t *script, size_t len, size_t *pos);

/* 1 for what nodes take for a public key by its length and first byte: 33 bytes (02, 03) or 65 (04, 06, 07). */
static inline int hft_btc_is_key(const uint8_t *data, size_t len) {
    return len != 0 && ((len == 33 && (data[0] == 2 || data[0] == 3)) ||
                        (len == 65 && (data[0] == 4 || data[0] == 6 || data[0] == 7)));
}

/* 1 for a witness program: OP_0 or OP_1 to OP_16, then one direct push of 2 to 40 bytes to the end (BIP141). */
static inline int hft_btc_is_witness_program(const uint8_t *script, size_t len) {
    return len >= 4 && len <= 42 && (script[0] == OP_0 || (script[0] >= OP_1 && script[0] <= OP_16)) &&
           script[1] == len - 2;
}

#endif
