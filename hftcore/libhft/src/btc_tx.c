/* Bitcoin transactions: one forward scan that notes where the parts lie, and the two hashes that name them. */
#include <string.h>

#include "btc_wire.h"
#include "hft/btc.h"
#include "hft/endian.h"
#include "hft/sha256.h"

#define INPUT_MIN 41 /* outpoint 36, script length 1, sequence 4 */
#define OUTPUT_MIN 9 /* value 8, script length 1 */
#define STRIPPED_MAX 4096 /* stripped transactions up to here are copied, so that both hashes run interleaved */

/* The scan's window. pos may pass `end` by the few bytes of a short field; each read checks before it looks. */
typedef struct {
    const uint8_t *data;
    size_t end;
} window;

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Moves *pos over a length and as many bytes. A short one may end behind the window, a long one is checked here. */
static inline int skip_bytes(window w, size_t *pos) {
    if (UNLIKELY(*pos >= w.end)) return HFT_E_BTC_TRUNCATED;
    uint8_t first = w.data[*pos];
    if (LIKELY(first < 0xfd)) {
        *pos += 1 + (size_t)first;
        return 0;
    }
    uint64_t n;
    int rc = hft_btc_compact_size_get(&n, w.data, w.end, pos);
    if (rc < 0) return rc;
    if (n > w.end - *pos) return HFT_E_BTC_TRUNCATED;
    *pos += (size_t)n;
    return 0;
}

/* A count of things that take at least `min` bytes each, so that no count promises more than the window holds. */
static inline int read_count(uint32_t *count, window w, size_t *pos, size_t min) {
    uint64_t n;
    if (UNLIKELY(*pos >= w.end)) return HFT_E_BTC_TRUNCATED;
    int rc = hft_btc_compact_size_get(&n, w.data, w.end, pos);
    if (UNLIKELY(rc < 0)) return rc;
    if (UNLIKELY(n > (w.end - *pos) / min)) return HFT_E_BTC_TRUNCATED;
    *count = (uint32_t)n;
    return 0;
}

/* The scanners move *pos on; where one fails, *pos stands at the part that is wrong. */
static inline int scan_inputs(window w, size_t *pos, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if (UNLIKELY(*pos + INPUT_MIN > w.end)) return HFT_E_BTC_TRUNCATED;
        *pos += 36;
        int rc = skip_bytes(w, pos);
        if (UNLIKELY(rc < 0)) return rc;
        *pos += 4;
    }
    return 0;
}

static inline int scan_outputs(window w, size_t *pos, uint32_t n) {
    uint64_t left = HFT_BTC_MONEY_MAX;
    for (uint32_t i = 0; i < n; i++) {
        if (UNLIKELY(*pos + OUTPUT_MIN > w.end)) return HFT_E_BTC_TRUNCATED;
        uint64_t value = hft_load_le64(w.data + *pos);
        if (UNLIKELY(value > left)) return HFT_E_BTC_AMOUNT;
        left -= value;
        *pos += 8;
        int rc = skip_bytes(w, pos);
        if (UNLIKELY(rc < 0)) return rc;
    }
    return 0;
}

/* One stack of items for each input; not all of them may be empty (Bitcoin Core: "superfluous witness record"). */
static inline int scan_witness(window w, size_t *pos, uint32_t n_inputs) {
    uint32_t n_seen = 0;
    for (uint32_t i = 0; i < n_inputs; i++) {
        uint32_t n_items;
        int rc = read_count(&n_items, w, pos, 1);
        if (UNLIKELY(rc < 0)) return rc;
        n_seen |= n_items;
        for (uint32_t k = 0; k < n_items; k++) {
            rc = skip_bytes(w, pos);
            if (UNLIKELY(rc < 0)) return rc;
        }
    }
    return n_seen == 0 ? HFT_E_BTC_TX : 0;
}

static inline int scan(hft_btc_tx *tx, window w, size_t *pos) {
    int rc;
    if (w.end < 6) return HFT_E_BTC_TRUNCATED;
    /* BIP144: an input count of zero here is the marker, and the flag behind it is 1. */
    *pos = 4;
    int has_witness = w.data[4] == 0;
    if (has_witness) {
        if (w.data[5] != 1) return HFT_E_BTC_TX;
        *pos = 6;
    }
    tx->body_pos = (uint32_t)*pos;
    rc = read_count(&tx->n_inputs, w, pos, INPUT_MIN);
    if (UNLIKELY(rc < 0)) return rc;
    if (UNLIKELY(tx->n_inputs == 0)) return HFT_E_BTC_TX;
    tx->inputs_pos = (uint32_t)*pos;
    rc = scan_inputs(w, pos, tx->n_inputs);
    if (UNLIKELY(rc < 0)) return rc;
    rc = read_count(&tx->n_outputs, w, pos, OUTPUT_MIN);
    if (UNLIKELY(rc < 0)) return rc;
    if (UNLIKELY(tx->n_outputs == 0)) return HFT_E_BTC_TX;
    tx->outputs_pos = (uint32_t)*pos;
    rc = scan_outputs(w, pos, tx->n_outputs);
    if (UNLIKELY(rc < 0)) return rc;
    tx->outputs_end = (uint32_t)*pos;
    tx->witness_pos = 0;
    if (has_witness) {
        tx->witness_pos = (uint32_t)*pos;
        rc = scan_witness(w, pos, tx->n_inputs);
        if (UNLIKELY(rc < 0)) return rc;
    }
    if (UNLIKELY(*pos + 4 > w.end)) return HFT_E_BTC_TRUNCATED;
    tx->data = w.data;
    tx->version = (int32_t)hft_load_le32(w.data);
    tx->locktime = hft_load_le32(w.data + *pos);
    tx->size = (uint32_t)*pos + 4;
    return 0;
}

int hft_btc_parse_tx(hft_btc_tx *tx, const uint8_t *data, size_t len) {
    /* No message can carry more, so what lies behind belongs to something else. */
    window w = {data, len < HFT_BTC_MESSAGE_MAX ? len : HFT_BTC_MESSAGE_MAX};
    size_t pos = 0;
    int rc = scan(tx, w, &pos);
    if (LIKELY(rc == 0)) return 0;
    tx->size = (uint32_t)(pos < w.end ? pos : w.end);
    return rc == HFT_E_BTC_TRUNCATED && len > HFT_BTC_MESSAGE_MAX ? HFT_E_BTC_TOO_LARGE : rc;
}

/* The length of a script or of a stack, or of an item on it; the scan has already checked it. */
static inline uint32_t size_at(const uint8_t *data, uint32_t *pos) {
    uint8_t first = data[*pos];
    if (LIKELY(first < 0xfd)) {
        *pos += 1;
        return first;
    }
    /* The scan accepted nothing that 32 bits do not hold, so a 9-byte length cannot occur. */
    uint32_t n = first == 0xfd ? hft_load_le16(data + *pos + 1) : hft_load_le32(data + *pos + 1);
    *pos += first == 0xfd ? 3 : 5;
    return n;
}

void hft_btc_next_output(hft_btc_output *out, const hft_btc_tx *tx, uint32_t *pos) {
    out->value = hft_load_le64(tx->data + *pos);
    *pos += 8;
    out->script_len = size_at(tx->data, pos);
    out->script = tx->data + *pos;
    *pos += out->script_len;
}

void hft_btc_next_input(hft_btc_input *in, const hft_btc_tx *tx, uint32_t *pos) {
    in->prev_txid = tx->data + *pos;
    in->prev_index = hft_load_le32(tx->data + *pos + 32);
    *pos += 36;
    in->script_len = size_at(tx->data, pos);
    in->script = tx->data + *pos;
    *pos += in->script_len;
    in->sequence = hft_load_le32(tx->data + *pos);
    *pos += 4;
}

void hft_btc_next_item(hft_btc_item *item, const hft_btc_witness *witness, uint32_t *pos) {
    item->len = size_at(witness->data, pos);
    item->data = witness->data + *pos;
    *pos += item->len;
}

void hft_btc_next_witness(hft_btc_witness *witness, const hft_btc_tx *tx, uint32_t *pos) {
    *witness = (hft_btc_witness){.data = tx->data + *pos};
    if (tx->witness_pos == 0) return;
    uint32_t start = *pos;
    witness->n_items = size_at(tx->data, &start);
    witness->data = tx->data + start;
    hft_btc_item item;
    for (uint32_t i = 0; i < witness->n_items; i++) hft_btc_next_item(&item, witness, &witness->size);
    *pos = start + witness->size;
}

static inline size_t body_len(const hft_btc_tx *tx) { return tx->outputs_end - tx->body_pos; }

/* Version, inputs and outputs, locktime: what the txid is the hash of. Returns its length. */
static size_t put_stripped(uint8_t *out, const hft_btc_tx *tx) {
    size_t len = body_len(tx);
    memcpy(out, tx->data, 4);
    memcpy(out + 4, tx->data + tx->body_pos, len);
    memcpy(out + 4 + len, tx->data + tx->size - 4, 4);
    return len + 8;
}

static void txid_streamed(uint8_t out[32], const hft_btc_tx *tx) {
    hft_sha256 s;
    uint8_t first[32];
    hft_sha256_init(&s);
    hft_sha256_update(&s, tx->data, 4);
    hft_sha256_update(&s, tx->data + tx->body_pos, body_len(tx));
    hft_sha256_update(&s, tx->data + tx->size - 4, 4);
    hft_sha256_final(&s, first);
    hft_sha256_digest(out, first, sizeof first);
}

void hft_btc_txid(uint8_t out[32], const hft_btc_tx *tx) {
    uint8_t stripped[STRIPPED_MAX];
    if (tx->witness_pos == 0) {
        hft_sha256d_digest(out, tx->data, tx->size);
    } else if (body_len(tx) + 8 <= sizeof stripped) {
        hft_sha256d_digest(out, stripped, put_stripped(stripped, tx));
    } else {
        txid_streamed(out, tx);
    }
}

void hft_btc_wtxid(uint8_t out[32], const hft_btc_tx *tx) { hft_sha256d_digest(out, tx->data, tx->size); }

void hft_btc_ids(uint8_t txid[32], uint8_t wtxid[32], const hft_btc_tx *tx) {
    uint8_t stripped[STRIPPED_MAX];
    if (tx->witness_pos == 0) {
        hft_btc_wtxid(wtxid, tx);
        memcpy(txid, wtxid, 32);
    } else if (body_len(tx) + 8 <= sizeof stripped) {
        hft_sha256d_digest2(txid, stripped, put_stripped(stripped, tx), wtxid, tx->data, tx->size);
    } else {
        txid_streamed(txid, tx);
        hft_btc_wtxid(wtxid, tx);
    }
}

uint32_t hft_btc_weight(const hft_btc_tx *tx) { return 3 * ((uint32_t)body_len(tx) + 8) + tx->size; }

uint32_t hft_btc_vsize(const hft_btc_tx *tx) { return (hft_btc_weight(tx) + 3) / 4; }
