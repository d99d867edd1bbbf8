/* Owners of inputs and types of scripts. The input: two bytes for the length of a scriptSig, it, then a witness whose
 * items take what is left, each behind a byte for its length (255: all that is left). */
#include <stdlib.h>
#include <string.h>

#include <hft/btc.h>
#include <hft/endian.h>
#include <hft/ripemd160.h>
#include <hft/sha256.h>

/* The bytes that unlock, as their parts: those the answer must rest on. */
typedef struct {
    const uint8_t *last;
    size_t last_len;
    uint32_t n_items;
} parts;

static int is_tail_of(const uint8_t *whole, size_t whole_len, const uint8_t *hash, size_t hash_len, int by_sha256) {
    uint8_t made[32];
    for (size_t start = 0; start <= whole_len; start++) { /* the last push begins somewhere, and ends at the end */
        if (by_sha256) hft_sha256_digest(made, whole + start, whole_len - start);
        else hft_hash160(made, whole + start, whole_len - start);
        if (memcmp(made, hash, hash_len) == 0) return 1;
    }
    return 0;
}

/* A known owner is of one of four types, and holds the hash of what unlocks it last. */
static void check_known(const hft_btc_owner *owner, const hft_btc_input *in, const parts *p) {
    if (hft_btc_classify(owner->script, owner->script_len) != owner->type) abort();
    if (p->n_items != 0 && in->script_len == 0) {
        int is_taproot = p->n_items >= 2 && p->last_len != 0 && (p->last[0] == 0x50 || (p->last[0] & 0xfe) == 0xc0);
        if (is_taproot || (p->n_items == 1 && (p->last_len == 64 || p->last_len == 65))) abort();
        if (owner->type == HFT_BTC_SCRIPT_P2WPKH) {
            uint8_t hash[20];
            hft_hash160(hash, p->last, p->last_len);
            if (p->n_items != 2 || p->last_len != 33 || memcmp(hash, owner->script + 2, 20) != 0) abort();
        } else {
            uint8_t hash[32];
            hft_sha256_digest(hash, p->last, p->last_len);
            if (owner->type != HFT_BTC_SCRIPT_P2WSH || memcmp(hash, owner->script + 2, 32) != 0) abort();
        }
        return;
    }
    if (owner->type != HFT_BTC_SCRIPT_P2SH && (owner->type != HFT_BTC_SCRIPT_P2PKH || p->n_items != 0)) abort();
    const uint8_t *hash = owner->script + (owner->type == HFT_BTC_SCRIPT_P2SH ? 2 : 3);
    if (in->script_len <= 1000 && !is_tail_of(in->script, in->script_len, hash, 20, 0)) {
        uint8_t number = (uint8_t)(in->script[in->script_len - 1] - 0x50); /* or pushed by an opcode of its own */
        if (!is_tail_of(&number, 1, hash, 20, 0)) abort();
    }
}

static void check_script(const uint8_t *script, size_t len) {
    hft_btc_script_type type = hft_btc_classify(script, len);
    if (type > HFT_BTC_SCRIPT_OP_RETURN) abort();
    if (type == HFT_BTC_SCRIPT_OP_RETURN && script[0] != 0x6a) abort();
    if (type == HFT_BTC_SCRIPT_MULTISIG && script[len - 1] != 0xae) abort();
    if (type == HFT_BTC_SCRIPT_P2PK && script[len - 1] != 0xac) abort();
}

/* Writes the items as a witness; returns its length. */
static size_t read_items(uint8_t *out, parts *p, const uint8_t *data, size_t size) {
    size_t at = 0, len = 0;
    while (at < size) {
        size_t item_len = data[at++], left = size - at;
        if (item_len == 255 || item_len > left) item_len = left;
        len += hft_btc_compact_size_put(out + len, item_len);
        memcpy(out + len, data + at, item_len);
        p->last = out + len;
        p->last_len = item_len;
        p->n_items++;
        len += item_len;
        at += item_len;
    }
    return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t txid[32] = {1};
    if (size < 2) return 0;
    size_t script_len = hft_load_le16(data);
    if (script_len > size - 2) script_len = size - 2;
    parts p = {NULL, 0, 0};
    uint8_t *script = malloc(script_len + 1), *roomy = malloc(4 * size);
    if (script == NULL || roomy == NULL) abort();
    memcpy(script + 1, data + 2, script_len);
    size_t witness_len = read_items(roomy, &p, data + 2 + script_len, size - 2 - script_len);
    uint8_t *witness = malloc(witness_len + 1); /* ends where its memory ends */
    if (witness == NULL) abort();
    memcpy(witness + 1, roomy, witness_len);

    hft_btc_input in = {txid, 0, script + 1, (uint32_t)script_len, 0};
    hft_btc_witness items = {witness + 1, (uint32_t)witness_len, p.n_items};
    hft_btc_owner owner;
    int rc = hft_btc_input_owner(&owner, &in, &items);
    if ((rc == 1) != (owner.reason == HFT_BTC_OWNER_KNOWN) || (rc == 1) != (owner.script_len != 0)) abort();
    if (owner.reason > HFT_BTC_OWNER_NONSTANDARD || owner.reason == HFT_BTC_OWNER_COINBASE) abort();
    if (rc == 1) check_known(&owner, &in, &p);
    check_script(script + 1, script_len);
    if (p.n_items != 0) check_script(p.last, p.last_len);
    free(witness);
    free(roomy);
    free(script);
    return 0;
}
