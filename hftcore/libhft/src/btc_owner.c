/* Whose output an input spends, told from what unlocks it.
 *
 * The output itself is not at hand, so each type of output is a hypothesis, and an owner is certain where only one is
 * left. Consensus alone would leave more (a taproot leaf version without a meaning lets anything pass for the control
 * block, scriptPubKeys of no type take any scriptSig), but nodes do not relay what needs them: see IsWitnessStandard,
 * AreInputsStandard and the flags of STANDARD_SCRIPT_VERIFY_FLAGS in Bitcoin Core, policy/policy.cpp. */
#include <string.h>

#include "btc_script.h"
#include "hft/btc.h"
#include "hft/ripemd160.h"
#include "hft/sha256.h"

#define OPS_MAX 201           /* opcodes other than pushes in a script */
#define WITNESS_SCRIPT_MAX 10000
#define CONTROL_BASE 33       /* BIP341: leaf version and key, then up to 128 hashes */
#define CONTROL_NODE 32
#define CONTROL_MAX (CONTROL_BASE + CONTROL_NODE * 128)
#define ANNEX 0x50

/* ---- could this run as a script? ---- */

enum { NEVER = 15, UNLESS_SKIPPED = 14 }; /* fails wherever it stands; fails if it is executed */

/* From OP_NOP to OP_NOP10: how many elements each takes off the stack, and how many it leaves for them. */
#define E(takes, leaves) ((takes) << 4 | (leaves))
#define X E(NEVER, 0)
#define U E(UNLESS_SKIPPED, 0)
static const uint8_t effects[OP_LAST - OP_NOP + 1] = {
    /* 61 */ E(0, 0), U, E(1, 0), E(1, 0), X, X, E(0, 0), E(0, 0), E(1, 0), U, E(1, 0), E(0, 1),
    /* 6d */ E(2, 0), E(2, 4), E(3, 6), E(4, 6), E(6, 6), E(4, 4), E(1, 1), E(0, 1), E(1, 0), E(1, 2),
    /* 77 */ E(2, 1), E(2, 3), E(2, 2), E(2, 1), E(3, 3), E(2, 2), E(2, 3), X, X,
    /* 80 */ X, X, E(1, 2), X, X, X, X, E(2, 1), E(2, 0), U, U, E(1, 1), E(1, 1), X, X, E(1, 1),
    /* 90 */ E(1, 1), E(1, 1), E(1, 1), E(2, 1), E(2, 1), X, X, X, X, X,
    /* 9a */ E(2, 1), E(2, 1), E(2, 1), E(2, 0), E(2, 1), E(2, 1), E(2, 1), E(2, 1), E(2, 1), E(2, 1), E(2, 1), E(3, 1),
    /* a6 */ E(1, 1), E(1, 1), E(1, 1), E(1, 1), E(1, 1), E(0, 0), E(2, 1), E(2, 0), E(3, 1), E(3, 0),
    /* b0 */ E(0, 0), E(1, 1), E(1, 1), E(0, 0), E(0, 0), E(0, 0), E(0, 0), E(0, 0), E(0, 0), E(0, 0),
};
#undef E
#undef X
#undef U

static int is_multisig_check(uint8_t opcode) {
    return opcode == OP_CHECKMULTISIG || opcode == OP_CHECKMULTISIGVERIFY;
}

/* What is known of the stack while a script runs on elements that are not. Bit i of a mask speaks of the element i
 * places below the top. */
typedef struct {
    uint32_t least, most;                /* how many elements there are */
    uint32_t n_alt, n_ops, n_ifs;        /* on the other stack; opcodes counted; conditionals open */
    uint64_t is_long, is_short, not_key; /* over 4 bytes: no number; at most 4; no public key. Known for certain */
    int vague;                           /* behind a conditional nothing of the above is known, but the counts */
} run;

static uint64_t lowest(unsigned n) { return ((uint64_t)1 << n) - 1; }

static void move_masks(run *r, unsigned takes, unsigned leaves) {
    r->is_long = r->is_long >> takes << leaves;
    r->is_short = r->is_short >> takes << leaves;
    r->not_key = r->not_key >> takes << leaves;
}

static void run_push(run *r, const hft_btc_op *op) {
    move_masks(r, 0, 1);
    r->is_long |= op->len > 4;
    r->is_short |= op->len <= 4;
    r->not_key |= !hft_btc_is_key(op->data, op->len);
    r->least++;
    r->most++;
}

/* 0 if the opcode fails on what is known of its arguments. */
static int arguments_fit(const run *r, uint8_t opcode, unsigned takes) {
    unsigned numbers = 0; /* of the arguments, how many must be numbers */
    if (r->most < takes) return 0;
    if (opcode >= OP_1ADD && opcode <= OP_WITHIN) numbers = takes;
    if (opcode == OP_PICK || opcode == OP_ROLL || is_multisig_check(opcode)) numbers = 1;
    if (r->is_long & lowest(numbers)) return 0;
    if (opcode == OP_CHECKSIG || opcode == OP_CHECKSIGVERIFY) return !(r->not_key & 1);
    if (opcode == OP_EQUALVERIFY) return !(((r->is_long & r->is_short >> 1) | (r->is_short & r->is_long >> 1)) & 1);
    return 1;
}

/* 0 if the script fails here whatever the elements are. */
static int run_opcode(run *r, uint8_t opcode) {
    if (++r->n_ops > OPS_MAX) return 0;
    unsigned effect = opcode <= OP_LAST ? effects[opcode - OP_NOP] : UNLESS_SKIPPED << 4;
    unsigned takes = effect >> 4, leaves = effect & 15;
    if (takes == NEVER) return 0;
    if (opcode == OP_ELSE) return r->n_ifs != 0;
    if (opcode == OP_ENDIF) return r->n_ifs-- != 0;
    if (takes == UNLESS_SKIPPED) return r->n_ifs != 0;
    if (!r->vague && !arguments_fit(r, opcode, takes)) return 0;
    if (opcode == OP_IF || opcode == OP_NOTIF) {
        r->n_ifs++;
        r->vague = 1;
    }
    if (r->vague) return 1;
    if (opcode == OP_TOALTSTACK) r->n_alt++;
    if (opcode == OP_FROMALTSTACK && r->n_alt-- == 0) return 0;
    move_masks(r, takes, leaves);
    r->least = (r->least > takes ? r->least - takes : 0) + leaves;
    r->most = r->most - takes + leaves;
    if (opcode == OP_IFDUP) r->most++;
    if (is_multisig_check(opcode)) r->least = leaves;
    if (opcode == OP_IFDUP || is_multisig_check(opcode)) r->is_long = r->is_short = r->not_key = 0;
    return 1;
}

/* 0 if a script certainly fails, or is not relayed, on a stack of `depth` elements of which `top` is the highest. One
 * must be left (P2SH: by policy, P2WSH: by BIP141). Both kinds know the same opcodes; BIP342 does not matter here.
 * Of random keys one in 14,000 passes for a script. */
static int may_run(const uint8_t *script, size_t len, const hft_btc_item *top, uint32_t depth) {
    run r = {.least = depth, .most = depth, .is_long = depth != 0 && top->len > 4};
    hft_btc_op op;
    for (size_t pos = 0; pos < len;) {
        if (!hft_btc_next_op(&op, script, len, &pos) || op.len > HFT_BTC_ELEMENT_MAX) return 0;
        if (op.opcode == OP_RESERVED && r.n_ifs == 0) return 0;
        if (op.opcode <= OP_16) run_push(&r, &op);
        else if (!run_opcode(&r, op.opcode)) return 0;
    }
    return r.n_ifs == 0 && (r.vague || (r.least <= 1 && r.most >= 1));
}

/* ---- what an element may be ---- */

/* A signature as OP_CHECKSIG wants it: strict DER of two positive integers, then the type of hash (BIP66). */
static int is_signature(const uint8_t *s, size_t len) {
    if (len < 9 || len > 73 || s[0] != 0x30 || s[1] != len - 3 || s[2] != 2) return 0;
    size_t r_len = s[3];
    if (r_len == 0 || r_len + 5 >= len) return 0;
    const uint8_t *r = s + 4, *second = r + r_len, *v = second + 2;
    size_t v_len = second[1];
    if (second[0] != 2 || v_len == 0 || r_len + v_len + 7 != len) return 0;
    if (r[0] & 0x80 || v[0] & 0x80) return 0;
    if (r_len > 1 && r[0] == 0 && !(r[1] & 0x80)) return 0;
    return !(v_len > 1 && v[0] == 0 && !(v[1] & 0x80));
}

/* Before BIP66 other encodings passed as well; all begin like this. */
static int is_signature_like(const uint8_t *s, size_t len) { return len >= 8 && s[0] == 0x30; }

static int is_control_block(const uint8_t *data, size_t len) {
    return len >= CONTROL_BASE && len <= CONTROL_MAX && (len - CONTROL_BASE) % CONTROL_NODE == 0 &&
           (data[0] & 0xfe) == 0xc0;
}

/* ---- answers ---- */

static int unknown(hft_btc_owner *owner, hft_btc_owner_reason reason) {
    owner->reason = (uint8_t)reason;
    return 0;
}

static int known(hft_btc_owner *owner, hft_btc_script_type type, size_t len) {
    owner->type = (uint8_t)type;
    owner->script_len = (uint8_t)len;
    return 1;
}

static int known_p2pkh(hft_btc_owner *owner, const uint8_t *key, size_t len) {
    memcpy(owner->script, "\x76\xa9\x14", 3);
    hft_hash160(owner->script + 3, key, len);
    memcpy(owner->script + 23, "\x88\xac", 2);
    return known(owner, HFT_BTC_SCRIPT_P2PKH, 25);
}

static int known_p2sh(hft_btc_owner *owner, const uint8_t *script, size_t len) {
    memcpy(owner->script, "\xa9\x14", 2);
    hft_hash160(owner->script + 2, script, len);
    owner->script[22] = OP_EQUAL;
    return known(owner, HFT_BTC_SCRIPT_P2SH, 23);
}

static int known_p2wpkh(hft_btc_owner *owner, const uint8_t *key, size_t len) {
    memcpy(owner->script, "\x00\x14", 2);
    hft_hash160(owner->script + 2, key, len);
    return known(owner, HFT_BTC_SCRIPT_P2WPKH, 22);
}

static int known_p2wsh(hft_btc_owner *owner, const uint8_t *script, size_t len) {
    memcpy(owner->script, "\x00\x20", 2);
    hft_sha256_digest(owner->script + 2, script, len);
    return known(owner, HFT_BTC_SCRIPT_P2WSH, 34);
}

/* ---- the hypotheses ---- */

/* The top elements of a stack: what stands last, and what stands before it. */
typedef struct {
    hft_btc_item last, before;
    uint32_t n;
} stack_top;

static void push(stack_top *top, const uint8_t *data, uint32_t len) {
    top->before = top->last;
    top->last = (hft_btc_item){data, len};
    top->n++;
}

/* 0 if the scriptSig is not made of pushes alone. */
static int read_script_sig(stack_top *top, const hft_btc_input *in) {
    static const uint8_t numbers[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    static const uint8_t minus_one[] = {0x81};
    hft_btc_op op;
    for (size_t pos = 0; pos < in->script_len;) {
        if (!hft_btc_next_op(&op, in->script, in->script_len, &pos) || op.len > HFT_BTC_ELEMENT_MAX) return 0;
        if (op.opcode <= OP_PUSHDATA4) push(top, op.data, op.len);
        else if (op.opcode == OP_1NEGATE) push(top, minus_one, 1);
        else if (op.opcode >= OP_1 && op.opcode <= OP_16) push(top, numbers + (op.opcode - OP_1), 1);
        else return 0;
    }
    return 1;
}

static void read_witness(stack_top *top, const hft_btc_witness *witness) {
    hft_btc_item item;
    uint32_t pos = 0;
    for (uint32_t i = 0; i < witness->n_items; i++) {
        hft_btc_next_item(&item, witness, &pos);
        push(top, item.data, item.len);
    }
}

/* No witness: P2PKH, P2SH, or what shows no more than signatures. */
static int owner_of_legacy(hft_btc_owner *owner, const stack_top *top) {
    const hft_btc_item *last = &top->last, *before = &top->before;
    if (is_signature_like(last->data, last->len)) return unknown(owner, HFT_BTC_OWNER_SIGNATURE_ONLY);
    /* A witness program alone lacks a witness: nodes left it out where the transaction came without any. */
    int is_script = top->n == 1 && hft_btc_is_witness_program(last->data, last->len);
    if (!is_script) is_script = may_run(last->data, last->len, before, top->n - 1);
    if (top->n >= 2 && hft_btc_is_key(last->data, last->len) && is_signature_like(before->data, before->len)) {
        if (is_script || top->n != 2 || !is_signature(before->data, before->len))
            return unknown(owner, HFT_BTC_OWNER_AMBIGUOUS);
        return known_p2pkh(owner, last->data, last->len);
    }
    return is_script ? known_p2sh(owner, last->data, last->len) : unknown(owner, HFT_BTC_OWNER_NONSTANDARD);
}

/* A witness and no scriptSig: P2WPKH, P2WSH or taproot. */
static int owner_of_witness(hft_btc_owner *owner, const stack_top *top) {
    const hft_btc_item *last = &top->last, *before = &top->before;
    if (top->n >= 2 && last->len != 0 && last->data[0] == ANNEX)
        return unknown(owner, top->n == 2 ? HFT_BTC_OWNER_TAPROOT_KEY : HFT_BTC_OWNER_TAPROOT_SCRIPT);
    if (top->n == 1 && (last->len == 64 || last->len == 65)) return unknown(owner, HFT_BTC_OWNER_TAPROOT_KEY);
    if (top->n >= 2 && is_control_block(last->data, last->len)) return unknown(owner, HFT_BTC_OWNER_TAPROOT_SCRIPT);
    int is_script = last->len <= WITNESS_SCRIPT_MAX && may_run(last->data, last->len, before, top->n - 1);
    if (top->n == 2 && hft_btc_is_key(last->data, last->len) && is_signature(before->data, before->len)) {
        /* Uncompressed keys are valid here, but not relayed. */
        if (is_script || last->len != 33) return unknown(owner, HFT_BTC_OWNER_AMBIGUOUS);
        return known_p2wpkh(owner, last->data, last->len);
    }
    return is_script ? known_p2wsh(owner, last->data, last->len) : unknown(owner, HFT_BTC_OWNER_NONSTANDARD);
}

/* A scriptSig and a witness: only P2SH around a witness program (BIP141) allows both. The two must agree. */
static int owner_of_nested(hft_btc_owner *owner, const stack_top *script_sig, const stack_top *top) {
    const hft_btc_item *program = &script_sig->last, *last = &top->last;
    hft_btc_owner inner = {.script_len = 0};
    if (script_sig->n != 1 || !hft_btc_is_witness_program(program->data, program->len))
        return unknown(owner, HFT_BTC_OWNER_NONSTANDARD);
    hft_btc_script_type type = hft_btc_classify(program->data, program->len);
    if (type == HFT_BTC_SCRIPT_P2WPKH && top->n == 2) known_p2wpkh(&inner, last->data, last->len);
    if (type == HFT_BTC_SCRIPT_P2WSH && last->len <= WITNESS_SCRIPT_MAX) known_p2wsh(&inner, last->data, last->len);
    if (inner.script_len != program->len || memcmp(inner.script, program->data, program->len) != 0)
        return unknown(owner, HFT_BTC_OWNER_NONSTANDARD);
    return known_p2sh(owner, program->data, program->len);
}

static int is_coinbase(const hft_btc_input *in) {
    static const uint8_t nothing[32];
    return in->prev_index == UINT32_MAX && memcmp(in->prev_txid, nothing, sizeof nothing) == 0;
}

int hft_btc_input_owner(hft_btc_owner *owner, const hft_btc_input *in, const hft_btc_witness *witness) {
    stack_top script_sig = {.n = 0}, top = {.n = 0};
    *owner = (hft_btc_owner){.script_len = 0};
    if (is_coinbase(in)) return unknown(owner, HFT_BTC_OWNER_COINBASE);
    if (!read_script_sig(&script_sig, in)) return unknown(owner, HFT_BTC_OWNER_NONSTANDARD);
    read_witness(&top, witness);
    if (script_sig.n != 0 && top.n != 0) return owner_of_nested(owner, &script_sig, &top);
    if (script_sig.n != 0) return owner_of_legacy(owner, &script_sig);
    if (top.n != 0) return owner_of_witness(owner, &top);
    return unknown(owner, HFT_BTC_OWNER_NO_DATA);
}
