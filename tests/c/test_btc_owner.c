/* Types of scripts and owners of inputs: what is certain, what is not, and what was made to be mistaken. */
#include "check.h"

#include <stdlib.h>

#include <hft/btc.h>
#include <hft/cpu.h>
#include <hft/ripemd160.h>
#include <hft/sha256.h>

typedef struct {
    uint8_t data[12000];
    size_t len;
} bytes;

static void put(bytes *b, const void *data, size_t len) {
    memcpy(b->data + b->len, data, len);
    b->len += len;
}
static void put_u8(bytes *b, unsigned v) { b->data[b->len++] = (uint8_t)v; }
static void put_fill(bytes *b, unsigned v, size_t n) {
    memset(b->data + b->len, (int)v, n);
    b->len += n;
}
#define PUT(b, text) put(b, text, sizeof(text) - 1)
#define SCRIPT(name, text) bytes name = {.len = 0}; PUT(&name, text)

/* ---- types ---- */

static hft_btc_script_type type_of(const bytes *b) {
    uint8_t *copy = malloc(b->len ? b->len : 1); /* ends where its memory ends */
    memcpy(copy, b->data, b->len);
    hft_btc_script_type type = hft_btc_classify(copy, b->len);
    free(copy);
    return type;
}

/* The type of: head, n bytes `fill`, tail. */
static hft_btc_script_type type_of_parts(const char *head, size_t head_len, unsigned fill, size_t n, const char *tail,
                                         size_t tail_len) {
    bytes b = {.len = 0};
    put(&b, head, head_len);
    put_fill(&b, fill, n);
    put(&b, tail, tail_len);
    return type_of(&b);
}
#define TYPE(head, fill, n, tail) type_of_parts(head, sizeof(head) - 1, fill, n, tail, sizeof(tail) - 1)

static void test_types_of_fixed_form(void) {
    CHECK_EQ(TYPE("\x76\xa9\x14", 7, 20, "\x88\xac"), HFT_BTC_SCRIPT_P2PKH);
    CHECK_EQ(TYPE("\x76\xa9\x14", 7, 20, "\x88\xad"), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(TYPE("\x76\xa9\x14", 7, 19, "\x88\xac"), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(TYPE("\xa9\x14", 7, 20, "\x87"), HFT_BTC_SCRIPT_P2SH);
    CHECK_EQ(TYPE("\xa9\x14", 7, 20, "\x88"), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(TYPE("\x00\x14", 7, 20, ""), HFT_BTC_SCRIPT_P2WPKH);
    CHECK_EQ(TYPE("\x00\x20", 7, 32, ""), HFT_BTC_SCRIPT_P2WSH);
    CHECK_EQ(TYPE("\x00\x15", 7, 21, ""), HFT_BTC_SCRIPT_NONSTANDARD); /* version 0 has two lengths */
    CHECK_EQ(TYPE("\x00\x20", 7, 31, ""), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(TYPE("\x51\x20", 7, 32, ""), HFT_BTC_SCRIPT_P2TR);
    CHECK_EQ(TYPE("\x51\x14", 7, 20, ""), HFT_BTC_SCRIPT_WITNESS_UNKNOWN);
    CHECK_EQ(TYPE("\x52\x20", 7, 32, ""), HFT_BTC_SCRIPT_WITNESS_UNKNOWN);
    CHECK_EQ(TYPE("\x60\x02", 7, 2, ""), HFT_BTC_SCRIPT_WITNESS_UNKNOWN);
    CHECK_EQ(TYPE("\x60\x28", 7, 40, ""), HFT_BTC_SCRIPT_WITNESS_UNKNOWN);
    CHECK_EQ(TYPE("\x60\x29", 7, 41, ""), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(TYPE("\x60\x01", 7, 1, ""), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(TYPE("\x50\x20", 7, 32, ""), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(TYPE("\x61\x20", 7, 32, ""), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(TYPE("\x51\x02\x4e\x73", 0, 0, ""), HFT_BTC_SCRIPT_ANCHOR);
    CHECK_EQ(TYPE("\x52\x02\x4e\x73", 0, 0, ""), HFT_BTC_SCRIPT_WITNESS_UNKNOWN);
    CHECK_EQ(TYPE("\x51\x03\x4e\x73\x00", 0, 0, ""), HFT_BTC_SCRIPT_WITNESS_UNKNOWN);
    CHECK_EQ(TYPE("\x21", 2, 33, "\xac"), HFT_BTC_SCRIPT_P2PK);
    CHECK_EQ(TYPE("\x21", 3, 33, "\xac"), HFT_BTC_SCRIPT_P2PK);
    CHECK_EQ(TYPE("\x21", 4, 33, "\xac"), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(TYPE("\x41", 4, 65, "\xac"), HFT_BTC_SCRIPT_P2PK);
    CHECK_EQ(TYPE("\x41", 6, 65, "\xac"), HFT_BTC_SCRIPT_P2PK);
    CHECK_EQ(TYPE("\x41", 2, 65, "\xac"), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(TYPE("\x41", 4, 65, "\xad"), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(TYPE("\x20", 2, 32, "\xac"), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(TYPE("\x22", 2, 33, "\xac"), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(TYPE("", 0, 0, ""), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(TYPE("\x51", 0, 0, ""), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(TYPE("\x6a", 0, 0, ""), HFT_BTC_SCRIPT_OP_RETURN);
    CHECK_EQ(TYPE("\x6a\x05", 7, 5, "\x60\x4c\x01x\x00"), HFT_BTC_SCRIPT_OP_RETURN);
    CHECK_EQ(TYPE("\x6a\x4d\x2c\x01", 7, 300, ""), HFT_BTC_SCRIPT_OP_RETURN);
    CHECK_EQ(TYPE("\x6a\x05", 7, 4, ""), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(TYPE("\x6a\x4e\xff\xff\xff\xff", 7, 9, ""), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(TYPE("\x6a\x4d\x01", 0, 0, ""), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(TYPE("\x6a\x61", 0, 0, ""), HFT_BTC_SCRIPT_NONSTANDARD);
}

static hft_btc_script_type type_of_multisig(const char *m, size_t m_len, size_t keys, const char *n, size_t n_len) {
    bytes b = {.len = 0};
    put(&b, m, m_len);
    for (size_t i = 0; i < keys; i++) {
        put_u8(&b, i == 1 ? 65 : 33);
        put_fill(&b, i == 1 ? 4 : 2, i == 1 ? 65 : 33);
    }
    put(&b, n, n_len);
    put_u8(&b, 0xae);
    hft_btc_script_type type = type_of(&b);
    for (size_t cut = 0; cut < b.len; cut++) CHECK(hft_btc_classify(b.data, cut) != HFT_BTC_SCRIPT_MULTISIG);
    return type;
}
#define MULTISIG(m, keys, n) type_of_multisig(m, sizeof(m) - 1, keys, n, sizeof(n) - 1)

static void test_multisig(void) {
    CHECK_EQ(MULTISIG("\x51", 1, "\x51"), HFT_BTC_SCRIPT_MULTISIG);
    CHECK_EQ(MULTISIG("\x52", 3, "\x53"), HFT_BTC_SCRIPT_MULTISIG);
    CHECK_EQ(MULTISIG("\x60", 16, "\x60"), HFT_BTC_SCRIPT_MULTISIG);
    CHECK_EQ(MULTISIG("\x51", 20, "\x01\x14"), HFT_BTC_SCRIPT_MULTISIG);
    CHECK_EQ(MULTISIG("\x01\x11", 20, "\x01\x14"), HFT_BTC_SCRIPT_MULTISIG);
    CHECK_EQ(MULTISIG("\x51", 21, "\x01\x15"), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(MULTISIG("\x51", 16, "\x01\x10"), HFT_BTC_SCRIPT_NONSTANDARD); /* has an opcode of its own */
    CHECK_EQ(MULTISIG("\x53", 2, "\x52"), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(MULTISIG("\x51", 2, "\x53"), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(MULTISIG("\x51", 3, "\x52"), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(MULTISIG("\x00", 2, "\x52"), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(MULTISIG("\x51", 0, "\x51"), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(MULTISIG("\x51", 1, "\x51\x61"), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(MULTISIG("\x51\x61", 1, "\x51"), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(MULTISIG("", 1, "\x51"), HFT_BTC_SCRIPT_NONSTANDARD);
    CHECK_EQ(MULTISIG("\x51", 1, "\x01"), HFT_BTC_SCRIPT_NONSTANDARD);
}

/* ---- owners ---- */

/* Elements as a scriptSig or as a witness. */
static void push(bytes *script, const bytes *element) {
    if (element->len >= 0x4c) put_u8(script, element->len < 0x100 ? 0x4c : 0x4d);
    put_u8(script, element->len & 0xff);
    if (element->len >= 0x100) put_u8(script, (unsigned)(element->len >> 8));
    put(script, element->data, element->len);
}

typedef struct {
    bytes script_sig, witness;
    uint32_t n_items;
} unlock;

static void item(unlock *u, const bytes *element) {
    u->witness.len += hft_btc_compact_size_put(u->witness.data + u->witness.len, element->len);
    put(&u->witness, element->data, element->len);
    u->n_items++;
}

static hft_btc_owner owner;

/* The reason; `owner` gets the answer. Both parts end where their memory ends. */
static int ask(const unlock *u) {
    static const uint8_t txid[32] = {1};
    uint8_t *script = malloc(u->script_sig.len + 1), *witness = malloc(u->witness.len + 1);
    memcpy(script + 1, u->script_sig.data, u->script_sig.len);
    memcpy(witness + 1, u->witness.data, u->witness.len);
    hft_btc_input in = {txid, 0, script + 1, (uint32_t)u->script_sig.len, 0};
    hft_btc_witness w = {witness + 1, (uint32_t)u->witness.len, u->n_items};
    memset(&owner, 0x55, sizeof owner);
    int rc = hft_btc_input_owner(&owner, &in, &w);
    CHECK_EQ(rc, owner.reason == HFT_BTC_OWNER_KNOWN);
    CHECK_EQ(rc, owner.script_len != 0);
    CHECK_EQ(owner.type, rc ? hft_btc_classify(owner.script, owner.script_len) : HFT_BTC_SCRIPT_NONSTANDARD);
    free(witness);
    free(script);
    return owner.reason;
}

static int ask_script_sig(const bytes *const elements[], size_t n) {
    unlock u = {.n_items = 0};
    for (size_t i = 0; i < n; i++) push(&u.script_sig, elements[i]);
    return ask(&u);
}

static int ask_witness(const bytes *const elements[], size_t n) {
    unlock u = {.n_items = 0};
    for (size_t i = 0; i < n; i++) item(&u, elements[i]);
    return ask(&u);
}
#define LIST(...) (const bytes *const[]){__VA_ARGS__}, sizeof((const bytes *const[]){__VA_ARGS__}) / sizeof(bytes *)

/* That `owner` is the script: head, hash, tail. */
static void check_owner(const char *head, const uint8_t *hash, size_t hash_len, const char *tail) {
    bytes want = {.len = 0};
    put(&want, head, head[0] == 0 ? 2 : strlen(head));
    put(&want, hash, hash_len);
    put(&want, tail, strlen(tail));
    CHECK_EQ(owner.script_len, want.len);
    CHECK_MEM(owner.script, want.data, want.len);
}
static void check_hash160(const char *head, const bytes *b, const char *tail) {
    uint8_t hash[20];
    hft_hash160(hash, b->data, b->len);
    check_owner(head, hash, 20, tail);
}
static void check_p2pkh(const bytes *key) { check_hash160("\x76\xa9\x14", key, "\x88\xac"); }
static void check_p2sh(const bytes *script) { check_hash160("\xa9\x14", script, "\x87"); }
static void check_p2wpkh(const bytes *key) { check_hash160("\0\x14", key, ""); }
static void check_p2wsh(const bytes *script) {
    uint8_t hash[32];
    hft_sha256_digest(hash, script->data, script->len);
    check_owner("\0\x20", hash, 32, "");
}

static bytes empty, signature, odd_signature, old_signature, key, long_key, hybrid_key, script_key;
static bytes schnorr, schnorr_all, multisig, control, annex;

static void make_elements(void) {
    put(&signature, "\x30\x44\x02\x20", 4); /* 71 bytes: two integers of 32 */
    put_fill(&signature, 0x11, 32);
    PUT(&signature, "\x02\x20");
    put_fill(&signature, 0x22, 32);
    put_u8(&signature, 1);
    odd_signature = signature;
    odd_signature.data[4] = 0x80; /* negative */
    PUT(&old_signature, "\x30\x81\x44\x02\x20"); /* a length in two bytes: passed before BIP66 */
    put(&old_signature, signature.data + 4, signature.len - 4);
    put_u8(&key, 2);
    put_fill(&key, 0xfe, 32);
    put_u8(&long_key, 4);
    put_fill(&long_key, 0xfe, 64);
    hybrid_key = long_key;
    hybrid_key.data[0] = 6;
    /* Also runs: pushes 2 bytes, pushes 28 bytes, drops both. */
    PUT(&script_key, "\x02\xaa\xbb\x1c");
    put_fill(&script_key, 0xcc, 28);
    put_u8(&script_key, 0x6d);
    put_fill(&schnorr, 0x51, 64);
    put_fill(&schnorr_all, 0x51, 65);
    PUT(&multisig, "\x51");
    push(&multisig, &key);
    PUT(&multisig, "\x51\xae");
    put_u8(&control, 0xc0);
    put_fill(&control, 0x77, 32 + 2 * 32);
    put_u8(&annex, 0x50);
}

static void test_p2pkh(void) {
    CHECK_EQ(ask_script_sig(LIST(&signature, &key)), HFT_BTC_OWNER_KNOWN);
    check_p2pkh(&key);
    CHECK_EQ(ask_script_sig(LIST(&signature, &long_key)), HFT_BTC_OWNER_KNOWN);
    check_p2pkh(&long_key);
    CHECK_EQ(ask_script_sig(LIST(&signature, &hybrid_key)), HFT_BTC_OWNER_KNOWN);
    /* The same shape, but P2SH would take it, too. */
    CHECK_EQ(ask_script_sig(LIST(&signature, &script_key)), HFT_BTC_OWNER_AMBIGUOUS);
    CHECK_EQ(ask_script_sig(LIST(&empty, &signature, &key)), HFT_BTC_OWNER_AMBIGUOUS); /* one more than P2PKH leaves */
    CHECK_EQ(ask_script_sig(LIST(&odd_signature, &key)), HFT_BTC_OWNER_AMBIGUOUS);
    CHECK_EQ(ask_script_sig(LIST(&old_signature, &key)), HFT_BTC_OWNER_AMBIGUOUS);
    /* No signature, so the key is a script, if it runs. */
    CHECK_EQ(ask_script_sig(LIST(&key, &script_key)), HFT_BTC_OWNER_KNOWN);
    check_p2sh(&script_key);
    CHECK_EQ(ask_script_sig(LIST(&schnorr, &key)), HFT_BTC_OWNER_NONSTANDARD);
    CHECK_EQ(ask_script_sig(LIST(&key)), HFT_BTC_OWNER_NONSTANDARD);
}

static void test_signatures_alone(void) {
    CHECK_EQ(ask_script_sig(LIST(&signature)), HFT_BTC_OWNER_SIGNATURE_ONLY);
    CHECK_EQ(ask_script_sig(LIST(&empty, &signature)), HFT_BTC_OWNER_SIGNATURE_ONLY);
    CHECK_EQ(ask_script_sig(LIST(&empty, &signature, &signature, &signature)), HFT_BTC_OWNER_SIGNATURE_ONLY);
    CHECK_EQ(ask_script_sig(LIST(&old_signature)), HFT_BTC_OWNER_SIGNATURE_ONLY);
}

static void test_p2sh(void) {
    CHECK_EQ(ask_script_sig(LIST(&empty, &signature, &multisig)), HFT_BTC_OWNER_KNOWN);
    check_p2sh(&multisig);
    SCRIPT(op_true, "\x51");
    CHECK_EQ(ask_script_sig(LIST(&op_true)), HFT_BTC_OWNER_KNOWN);
    check_p2sh(&op_true);
    CHECK_EQ(ask_script_sig(LIST(&signature, &empty)), HFT_BTC_OWNER_KNOWN); /* the empty script is one, too */
    check_p2sh(&empty);
    CHECK_EQ(ask_script_sig(LIST(&signature, &signature, &empty)), HFT_BTC_OWNER_NONSTANDARD); /* leaves two */
    bytes big = {.len = 0};
    put_fill(&big, 0x61, 201);
    put_u8(&big, 0x51);
    CHECK_EQ(ask_script_sig(LIST(&big)), HFT_BTC_OWNER_KNOWN);
    check_p2sh(&big);
    put_u8(&big, 0x61); /* 202 opcodes */
    CHECK_EQ(ask_script_sig(LIST(&big)), HFT_BTC_OWNER_NONSTANDARD);
    bytes longest = {.len = 0};
    for (int i = 0; i < 2; i++) {
        PUT(&longest, "\x4d\xff\x00");
        put_fill(&longest, 7, 255);
        put_u8(&longest, 0x75);
    }
    PUT(&longest, "\x51\x61");
    CHECK_EQ(longest.len, 520);
    CHECK_EQ(ask_script_sig(LIST(&longest)), HFT_BTC_OWNER_KNOWN);
    put_u8(&longest, 0x61);
    CHECK_EQ(ask_script_sig(LIST(&longest)), HFT_BTC_OWNER_NONSTANDARD); /* over what a push holds */
}

/* Numbers have opcodes of their own; anything but pushes belongs to no type. */
static void test_script_sig_opcodes(void) {
    unlock u = {.n_items = 0};
    PUT(&u.script_sig, "\x51\x4f\x01\x93"); /* 1, -1, the script OP_ADD */
    CHECK_EQ(ask(&u), HFT_BTC_OWNER_KNOWN);
    SCRIPT(add, "\x93");
    check_p2sh(&add);
    u.script_sig.len = 0;
    PUT(&u.script_sig, "\x01\x93\x60"); /* ends in the number 16 */
    CHECK_EQ(ask(&u), HFT_BTC_OWNER_NONSTANDARD);
    u.script_sig.len = 0;
    PUT(&u.script_sig, "\x51\x61\x01\x51");
    CHECK_EQ(ask(&u), HFT_BTC_OWNER_NONSTANDARD);
    u.script_sig.len = 0;
    PUT(&u.script_sig, "\x50\x01\x51");
    CHECK_EQ(ask(&u), HFT_BTC_OWNER_NONSTANDARD);
    /* Longer pushes than needed mean the same. */
    u.script_sig.len = 0;
    PUT(&u.script_sig, "\x4d\x47\x00");
    put(&u.script_sig, signature.data, 71);
    PUT(&u.script_sig, "\x4e\x21\x00\x00\x00");
    put(&u.script_sig, key.data, 33);
    CHECK_EQ(ask(&u), HFT_BTC_OWNER_KNOWN);
    check_p2pkh(&key);
    size_t len = u.script_sig.len;
    for (size_t cut = 1; cut < len; cut++) { /* where a push ends the signature is left alone */
        u.script_sig.len = cut;
        CHECK_EQ(ask(&u), cut == 74 ? HFT_BTC_OWNER_SIGNATURE_ONLY : HFT_BTC_OWNER_NONSTANDARD);
    }
}

static void test_p2wpkh(void) {
    CHECK_EQ(ask_witness(LIST(&signature, &key)), HFT_BTC_OWNER_KNOWN);
    check_p2wpkh(&key);
    CHECK_EQ(ask_witness(LIST(&signature, &script_key)), HFT_BTC_OWNER_AMBIGUOUS);
    CHECK_EQ(ask_witness(LIST(&signature, &long_key)), HFT_BTC_OWNER_AMBIGUOUS); /* valid, but not relayed */
    CHECK_EQ(ask_witness(LIST(&odd_signature, &key)), HFT_BTC_OWNER_NONSTANDARD);
    CHECK_EQ(ask_witness(LIST(&empty, &key)), HFT_BTC_OWNER_NONSTANDARD);
    CHECK_EQ(ask_witness(LIST(&odd_signature, &script_key)), HFT_BTC_OWNER_KNOWN);
    check_p2wsh(&script_key);
    CHECK_EQ(ask_witness(LIST(&empty, &signature, &key)), HFT_BTC_OWNER_NONSTANDARD);
    CHECK_EQ(ask_witness(LIST(&key)), HFT_BTC_OWNER_NONSTANDARD);
}

/* Integers of r_len and s_len bytes, then a type of hash. */
static bytes make_signature(size_t r_len, uint8_t r, size_t s_len, uint8_t s) {
    bytes made = {.len = 0};
    PUT(&made, "\x30");
    put_u8(&made, (unsigned)(4 + r_len + s_len));
    put_u8(&made, 2);
    put_u8(&made, (unsigned)r_len);
    put_fill(&made, r, r_len);
    put_u8(&made, 2);
    put_u8(&made, (unsigned)s_len);
    put_fill(&made, s, s_len);
    put_u8(&made, 1);
    return made;
}

static int is_signature(const bytes *s) {
    int reason = ask_witness(LIST(s, &key));
    CHECK(reason == HFT_BTC_OWNER_KNOWN || reason == HFT_BTC_OWNER_NONSTANDARD);
    return reason == HFT_BTC_OWNER_KNOWN;
}

static void test_signatures(void) {
    static const struct {
        uint8_t r_len, r, s_len, s;
        int good;
    } cases[] = {
        {32, 1, 32, 1, 1},    {1, 1, 1, 1, 1},      {33, 1, 33, 1, 1},    {32, 0x7f, 1, 0, 1},  {1, 0, 32, 0x7f, 1},
        {0, 1, 1, 1, 0},      {1, 1, 0, 1, 0},      {33, 1, 34, 1, 0},    {32, 0x80, 32, 1, 0}, {32, 1, 32, 0x80, 0},
        {2, 0, 32, 1, 0},     {32, 1, 2, 0, 0},     {60, 1, 60, 1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes s = make_signature(cases[i].r_len, cases[i].r, cases[i].s_len, cases[i].s);
        CHECK_EQ(is_signature(&s), cases[i].good);
        for (size_t at = 0; cases[i].good && at < s.len - 1; at++) { /* each length and each tag counts */
            int is_value = (at > 3 && at < 4u + cases[i].r_len) || at > 5u + cases[i].r_len;
            bytes bad = s;
            bad.data[at]++;
            if (!is_value) CHECK_EQ(is_signature(&bad), 0);
            bad.data[at] = 0;
            if (!is_value) CHECK_EQ(is_signature(&bad), 0);
        }
        for (size_t cut = 0; cases[i].good && cut < s.len; cut++) {
            bytes bad = s;
            bad.len = cut;
            CHECK_EQ(is_signature(&bad), 0);
        }
    }
    bytes padded = make_signature(33, 0x90, 33, 0x90); /* a zero in front keeps a number positive */
    padded.data[4] = 0;
    padded.data[4 + 33 + 2] = 0;
    CHECK_EQ(is_signature(&padded), 1);
    bytes past_end = make_signature(32, 1, 32, 1);
    past_end.data[3] = 0xff;
    CHECK_EQ(is_signature(&past_end), 0);
    bytes inconsistent = make_signature(32, 1, 32, 1);
    put_u8(&inconsistent, 1); /* two bytes for the type of hash */
    CHECK_EQ(is_signature(&inconsistent), 0);
    inconsistent.data[1]++;
    CHECK_EQ(is_signature(&inconsistent), 0);
}

static void test_p2wsh(void) {
    CHECK_EQ(ask_witness(LIST(&empty, &signature, &multisig)), HFT_BTC_OWNER_KNOWN);
    check_p2wsh(&multisig);
    SCRIPT(op_true, "\x51");
    CHECK_EQ(ask_witness(LIST(&op_true)), HFT_BTC_OWNER_KNOWN);
    check_p2wsh(&op_true);
    bytes key_check = {.len = 0};
    push(&key_check, &key);
    put_u8(&key_check, 0xac);
    CHECK_EQ(ask_witness(LIST(&signature, &key_check)), HFT_BTC_OWNER_KNOWN);
    check_p2wsh(&key_check);
    bytes longest = {.len = 0};
    for (int i = 0; i < 19; i++) {
        PUT(&longest, "\x4d\x08\x02");
        put_fill(&longest, 7, 520);
        put_u8(&longest, 0x75);
    }
    put_u8(&longest, 0x51);
    put_fill(&longest, 0x61, 10000 - longest.len);
    CHECK_EQ(ask_witness(LIST(&longest)), HFT_BTC_OWNER_KNOWN);
    check_p2wsh(&longest);
    put_u8(&longest, 0x61);
    CHECK_EQ(ask_witness(LIST(&longest)), HFT_BTC_OWNER_NONSTANDARD);
    longest.len = 0;
    PUT(&longest, "\x4d\x09\x02"); /* a push of 521 bytes */
    put_fill(&longest, 7, 521);
    CHECK_EQ(ask_witness(LIST(&longest)), HFT_BTC_OWNER_NONSTANDARD);
}

static void test_taproot(void) {
    CHECK_EQ(ask_witness(LIST(&schnorr)), HFT_BTC_OWNER_TAPROOT_KEY);
    CHECK_EQ(ask_witness(LIST(&schnorr_all)), HFT_BTC_OWNER_TAPROOT_KEY); /* although 65 times OP_1 ... */
    CHECK_EQ(ask_witness(LIST(&schnorr, &annex)), HFT_BTC_OWNER_TAPROOT_KEY);
    CHECK_EQ(ask_witness(LIST(&annex)), HFT_BTC_OWNER_NONSTANDARD); /* alone it is none */
    SCRIPT(tapscript, "\x51");
    CHECK_EQ(ask_witness(LIST(&tapscript, &control)), HFT_BTC_OWNER_TAPROOT_SCRIPT);
    CHECK_EQ(ask_witness(LIST(&schnorr, &tapscript, &control, &annex)), HFT_BTC_OWNER_TAPROOT_SCRIPT);
    CHECK_EQ(ask_witness(LIST(&signature, &multisig, &control)), HFT_BTC_OWNER_TAPROOT_SCRIPT);
    bytes block = control;
    block.data[0] = 0xc1;
    CHECK_EQ(ask_witness(LIST(&multisig, &block)), HFT_BTC_OWNER_TAPROOT_SCRIPT);
    block.len = 33;
    CHECK_EQ(ask_witness(LIST(&signature, &block)), HFT_BTC_OWNER_TAPROOT_SCRIPT); /* as long as a key */
    block.len = 34;
    CHECK_EQ(ask_witness(LIST(&multisig, &block)), HFT_BTC_OWNER_NONSTANDARD);
    block.data[0] = 0xc2; /* a leaf version that nothing is known of */
    block.len = 33;
    CHECK_EQ(ask_witness(LIST(&multisig, &block)), HFT_BTC_OWNER_NONSTANDARD);
    block.len = 0;
    put_u8(&block, 0xc0);
    put_fill(&block, 0, 32 + 128 * 32);
    CHECK_EQ(ask_witness(LIST(&multisig, &block)), HFT_BTC_OWNER_TAPROOT_SCRIPT);
    put_fill(&block, 0, 32);
    CHECK_EQ(ask_witness(LIST(&multisig, &block)), HFT_BTC_OWNER_NONSTANDARD);
}

static void test_nested(void) {
    bytes program = {.len = 0};
    PUT(&program, "\0\x14");
    hft_hash160(program.data + 2, key.data, key.len);
    program.len = 22;
    unlock u = {.n_items = 0};
    push(&u.script_sig, &program);
    CHECK_EQ(ask(&u), HFT_BTC_OWNER_KNOWN); /* came without any witness */
    check_p2sh(&program);
    item(&u, &signature);
    item(&u, &key);
    CHECK_EQ(ask(&u), HFT_BTC_OWNER_KNOWN);
    check_p2sh(&program);
    item(&u, &key);
    CHECK_EQ(ask(&u), HFT_BTC_OWNER_NONSTANDARD); /* three items */
    CHECK_EQ(ask_script_sig(LIST(&signature, &program)), HFT_BTC_OWNER_NONSTANDARD);
    unlock other = {.script_sig = u.script_sig};
    item(&other, &signature);
    item(&other, &long_key); /* of somebody else */
    CHECK_EQ(ask(&other), HFT_BTC_OWNER_NONSTANDARD);

    unlock v = {.n_items = 0};
    program.len = 0;
    PUT(&program, "\0\x20");
    hft_sha256_digest(program.data + 2, multisig.data, multisig.len);
    program.len = 34;
    push(&v.script_sig, &program);
    item(&v, &empty);
    item(&v, &signature);
    item(&v, &multisig);
    CHECK_EQ(ask(&v), HFT_BTC_OWNER_KNOWN);
    check_p2sh(&program);
    v.witness.data[v.witness.len - 1] ^= 1; /* another script */
    CHECK_EQ(ask(&v), HFT_BTC_OWNER_NONSTANDARD);
    v.witness.data[v.witness.len - 1] ^= 1;
    push(&v.script_sig, &program); /* BIP141 allows one push alone */
    CHECK_EQ(ask(&v), HFT_BTC_OWNER_NONSTANDARD);

    unlock w = {.n_items = 0};
    push(&w.script_sig, &multisig); /* no witness program, but a witness */
    item(&w, &signature);
    CHECK_EQ(ask(&w), HFT_BTC_OWNER_NONSTANDARD);
    w.script_sig.len = 0;
    program.data[0] = 0x51; /* taproot in P2SH has no rules, and is not relayed */
    push(&w.script_sig, &program);
    CHECK_EQ(ask(&w), HFT_BTC_OWNER_NONSTANDARD);
}

static void test_nothing(void) {
    unlock u = {.n_items = 0};
    CHECK_EQ(ask(&u), HFT_BTC_OWNER_NO_DATA);
    uint8_t zeros[32] = {0};
    hft_btc_input in = {zeros, UINT32_MAX, (const uint8_t *)"\3abc", 4, 0};
    hft_btc_witness w = {NULL, 0, 0};
    CHECK_EQ(hft_btc_input_owner(&owner, &in, &w), 0);
    CHECK_EQ(owner.reason, HFT_BTC_OWNER_COINBASE);
    in.prev_index = 0;
    CHECK_EQ(hft_btc_input_owner(&owner, &in, &w), 0);
    CHECK_EQ(owner.reason, HFT_BTC_OWNER_NONSTANDARD); /* a script that ends within a push */
    in.prev_index = UINT32_MAX;
    zeros[31] = 1;
    CHECK_EQ(hft_btc_input_owner(&owner, &in, &w), 0);
    CHECK_EQ(owner.reason, HFT_BTC_OWNER_NONSTANDARD);
}

/* Whether what looks like a script can run on a signature; anything that can must make a key ambiguous. `tail` goes to
 * the end of a script of 33 bytes that begins with a push of 2 and one of all that lies between. */
static int runs(const char *tail, size_t len) {
    bytes k = {.len = 0};
    PUT(&k, "\x02\xaa\xbb");
    put_u8(&k, (unsigned)(29 - len));
    put_fill(&k, 0xcc, 29 - len);
    put(&k, tail, len);
    CHECK_EQ(k.len, 33);
    int reason = ask_witness(LIST(&signature, &k));
    CHECK(reason == HFT_BTC_OWNER_KNOWN || reason == HFT_BTC_OWNER_AMBIGUOUS);
    return reason == HFT_BTC_OWNER_AMBIGUOUS;
}
#define RUNS(tail) runs(tail, sizeof(tail) - 1)

static void test_scripts_that_look_like_keys(void) {
    /* The stack at the tail: signature, 2 bytes, 20 and some. */
    CHECK(RUNS("\x6d"));                         /* 2DROP */
    CHECK(RUNS("\x75\x75"));                     /* DROP DROP */
    CHECK(RUNS("\x77\x77"));                     /* NIP NIP */
    CHECK(RUNS("\x7b\x6d"));                     /* ROT 2DROP */
    CHECK(RUNS("\x7c\x82\x75\x6d"));             /* SWAP SIZE DROP 2DROP */
    CHECK(RUNS("\x6b\x6c\x6d"));                 /* TOALTSTACK FROMALTSTACK 2DROP */
    CHECK(RUNS("\x6b\x75"));                     /* TOALTSTACK DROP */
    CHECK(RUNS("\x63\x6a\x67\x6d\x68"));         /* IF RETURN ELSE 2DROP ENDIF: the depth is not followed in there */
    CHECK(RUNS("\xa9\x7b\x6d"));                 /* HASH160 ROT 2DROP */
    CHECK(RUNS("\xb1\x6d"));                     /* CHECKLOCKTIMEVERIFY wants up to 5 bytes: not looked at */
    CHECK(RUNS("\x6d\x51\x69"));                 /* 2DROP 1 VERIFY */
    CHECK(RUNS("\x6d\x91") == 0);                /* 2DROP NOT: of the signature, which is no number */
    CHECK(RUNS("\x6d\x74\x9a") == 0);            /* 2DROP DEPTH BOOLAND: the same */
    CHECK(RUNS("\x6d\x00\x00\x00\xae\x69"));     /* 2DROP 0 0 0 CHECKMULTISIG VERIFY */
    CHECK(RUNS("\x6d\x73\x77"));                 /* 2DROP IFDUP NIP */
    CHECK(RUNS("\x75\x8b\x75"));                 /* DROP 1ADD DROP: of the 2 bytes, which may be a number */
    CHECK(RUNS("\x75\x73\x93\x75"));             /* DROP IFDUP ADD DROP: 2 bytes twice, not with the signature */
    CHECK(RUNS("") == 0);                        /* leaves three */
    CHECK(RUNS("\x75") == 0);                    /* leaves two */
    CHECK(RUNS("\x6d\x75") == 0);                /* leaves none */
    CHECK(RUNS("\x6d\x75\x75") == 0);            /* takes what is not there */
    CHECK(RUNS("\x6d\x6a") == 0);                /* RETURN */
    CHECK(RUNS("\x6d\x50") == 0);                /* RESERVED */
    CHECK(RUNS("\x6d\xba") == 0);                /* beyond the last opcode */
    CHECK(RUNS("\x6d\x63\x7e\x68") == 0);        /* CAT, even skipped */
    CHECK(RUNS("\x6d\x51\x63") == 0);            /* IF left open */
    CHECK(RUNS("\x6d\x67") == 0);                /* ELSE of nothing */
    CHECK(RUNS("\x6d\x68") == 0);                /* ENDIF of nothing */
    CHECK(RUNS("\x6d\x6c\x75") == 0);            /* FROMALTSTACK, empty */
    CHECK(RUNS("\x6d\x05") == 0);                /* a push that is cut off */
    CHECK(RUNS("\x88") == 0);                    /* EQUALVERIFY of different lengths */
    CHECK(RUNS("\xad") == 0);                    /* CHECKSIGVERIFY with no key */
    CHECK(RUNS("\xa5") == 0);                    /* WITHIN of no numbers */
    CHECK(RUNS("\x79\x6d") == 0);                /* PICK of no number */
    CHECK(RUNS("\x6d\x68\x51\x63") == 0);        /* ENDIF before IF */
    CHECK(RUNS("\xae") == 0);                    /* CHECKMULTISIG of no number */
}

int main(void) {
    CHECK_EQ(hft_init(NULL) < 0, 0);
    make_elements();
    test_types_of_fixed_form();
    test_multisig();
    test_p2pkh();
    test_signatures_alone();
    test_p2sh();
    test_script_sig_opcodes();
    test_p2wpkh();
    test_signatures();
    test_p2wsh();
    test_taproot();
    test_nested();
    test_nothing();
    test_scripts_that_look_like_keys();
    return check_done();
}
