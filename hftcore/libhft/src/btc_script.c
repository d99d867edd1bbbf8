/* Types of scriptPubKeys. */
#include "btc_script.h"

#include <string.h>

#include "hft/btc.h"
#include "hft/endian.h"

#define MULTISIG_KEYS_MAX 20

int hft_btc_next_op(hft_btc_op *op, const uint8_t *script, size_t len, size_t *pos) {
    size_t at = *pos + 1, left = len - at;
    uint32_t n = 0;
    *op = (hft_btc_op){.opcode = script[*pos]};
    if (op->opcode < OP_PUSHDATA1) {
        n = op->opcode;
    } else if (op->opcode <= OP_PUSHDATA4) {
        size_t width = (size_t)1 << (op->opcode - OP_PUSHDATA1);
        if (left < width) return 0;
        n = width == 1 ? script[at] : width == 2 ? hft_load_le16(script + at) : hft_load_le32(script + at);
        at += width;
        left -= width;
    }
    if (n > left) return 0;
    op->data = script + at;
    op->len = n;
    *pos = at + n;
    return 1;
}

/* The number of keys or signatures that an opcode pushes: OP_1 to OP_16, or 17 to 20 in a byte. 0: another opcode. */
static unsigned small_number(const hft_btc_op *op) {
    if (op->opcode >= OP_1 && op->opcode <= OP_16) return op->opcode - OP_1 + 1u;
    return op->opcode == 1 && op->data[0] > 16 && op->data[0] <= MULTISIG_KEYS_MAX ? op->data[0] : 0;
}

static int is_multisig(const uint8_t *script, size_t len) {
    if (len < 3 || script[len - 1] != OP_CHECKMULTISIG) return 0;
    hft_btc_op op;
    size_t pos = 0;
    unsigned n_keys = 0;
    if (!hft_btc_next_op(&op, script, len, &pos)) return 0;
    unsigned n_needed = small_number(&op);
    while (pos < len && hft_btc_next_op(&op, script, len, &pos)) {
        if (hft_btc_is_key(op.data, op.len)) n_keys++;
        else return n_needed != 0 && n_needed <= n_keys && small_number(&op) == n_keys && pos == len - 1;
    }
    return 0;
}

static int is_push_only(const uint8_t *script, size_t len) {
    hft_btc_op op;
    for (size_t pos = 0; pos < len;)
        if (!hft_btc_next_op(&op, script, len, &pos) || op.opcode > OP_16) return 0;
    return 1;
}

static hft_btc_script_type classify_program(const uint8_t *script, size_t len) {
    size_t program_len = len - 2;
    if (script[0] == OP_0)
        return program_len == 20 ? HFT_BTC_SCRIPT_P2WPKH
               : program_len == 32 ? HFT_BTC_SCRIPT_P2WSH
                                   : HFT_BTC_SCRIPT_NONSTANDARD;
    if (script[0] == OP_1 && program_len == 32) return HFT_BTC_SCRIPT_P2TR;
    if (script[0] == OP_1 && program_len == 2 && memcmp(script + 2, "\x4e\x73", 2) == 0) return HFT_BTC_SCRIPT_ANCHOR;
    return HFT_BTC_SCRIPT_WITNESS_UNKNOWN;
}

hft_btc_script_type hft_btc_classify(const uint8_t *script, size_t len) {
    if (len == 25 && memcmp(script, "\x76\xa9\x14", 3) == 0 && memcmp(script + 23, "\x88\xac", 2) == 0)
        return HFT_BTC_SCRIPT_P2PKH;
    if (len == 23 && memcmp(script, "\xa9\x14", 2) == 0 && script[22] == OP_EQUAL) return HFT_BTC_SCRIPT_P2SH;
    if (hft_btc_is_witness_program(script, len)) return classify_program(script, len);
    if (len != 0 && script[0] == OP_RETURN && is_push_only(script + 1, len - 1)) return HFT_BTC_SCRIPT_OP_RETURN;
    if ((len == 35 || len == 67) && script[0] == len - 2 && script[len - 1] == OP_CHECKSIG &&
        hft_btc_is_key(script + 1, len - 2))
        return HFT_BTC_SCRIPT_P2PK;
    return is_multisig(script, len) ? HFT_BTC_SCRIPT_MULTISIG : HFT_BTC_SCRIPT_NONSTANDARD;
}
