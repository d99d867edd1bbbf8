/* Transactions: whatever is accepted can be walked, hashed and written down again as the same bytes. */
#include <stdlib.h>
#include <string.h>

#include <hft/btc.h>
#include <hft/endian.h>
#include <hft/sha256.h>
#include <hft/watch.h>

/* Every part lies in the transaction. */
static void check_view(const hft_btc_tx *tx, const uint8_t *view, size_t len) {
    if (view < tx->data || len > tx->size || (size_t)(view - tx->data) > tx->size - len) abort();
}

static uint8_t *write_witnesses(uint8_t *p, const hft_btc_tx *tx) {
    uint32_t pos = tx->witness_pos, n_seen = 0;
    for (uint32_t i = 0; i < tx->n_inputs; i++) {
        hft_btc_witness witness;
        uint32_t at = 0;
        hft_btc_next_witness(&witness, tx, &pos);
        check_view(tx, witness.data, witness.size);
        p += hft_btc_compact_size_put(p, witness.n_items);
        n_seen |= witness.n_items;
        for (uint32_t k = 0; k < witness.n_items; k++) {
            hft_btc_item item;
            hft_btc_next_item(&item, &witness, &at);
            check_view(tx, item.data, item.len);
            p += hft_btc_compact_size_put(p, item.len);
            memcpy(p, item.data, item.len);
            p += item.len;
        }
        if (at != witness.size) abort();
    }
    if (n_seen == 0 || pos + 4 != tx->size) abort();
    return p;
}

/* Writes the transaction, with or without its witness, from what the iterators say; returns the length. */
static size_t write_tx(uint8_t *out, const hft_btc_tx *tx, int with_witness) {
    uint8_t *p = out;
    hft_store_le32(p, (uint32_t)tx->version);
    p += 4;
    if (with_witness) {
        memcpy(p, "\0\1", 2);
        p += 2;
    }
    p += hft_btc_compact_size_put(p, tx->n_inputs);
    uint32_t pos = tx->inputs_pos;
    for (uint32_t i = 0; i < tx->n_inputs; i++) {
        hft_btc_input in;
        hft_btc_next_input(&in, tx, &pos);
        check_view(tx, in.prev_txid, 32);
        check_view(tx, in.script, in.script_len);
        memcpy(p, in.prev_txid, 32);
        hft_store_le32(p + 32, in.prev_index);
        p += 36;
        p += hft_btc_compact_size_put(p, in.script_len);
        memcpy(p, in.script, in.script_len);
        p += in.script_len;
        hft_store_le32(p, in.sequence);
        p += 4;
    }
    p += hft_btc_compact_size_put(p, tx->n_outputs);
    uint64_t total = 0;
    pos = tx->outputs_pos;
    for (uint32_t i = 0; i < tx->n_outputs; i++) {
        hft_btc_output o;
        hft_btc_next_output(&o, tx, &pos);
        check_view(tx, o.script, o.script_len);
        if (hft_btc_classify(o.script, o.script_len) > HFT_BTC_SCRIPT_OP_RETURN) abort();
        total += o.value;
        if (total > HFT_BTC_MONEY_MAX) abort();
        hft_store_le64(p, o.value);
        p += 8;
        p += hft_btc_compact_size_put(p, o.script_len);
        memcpy(p, o.script, o.script_len);
        p += o.script_len;
    }
    if (pos != tx->outputs_end) abort();
    if (with_witness) p = write_witnesses(p, tx);
    hft_store_le32(p, tx->locktime);
    return (size_t)(p - out) + 4;
}

/* Every output's script is found once it is watched, under the number it was given. */
static void watch_outputs(const hft_btc_tx *tx) {
    _Alignas(64) static uint8_t memory[1 << 16];
    static const uint64_t key[HFT_WATCH_KEY_WORDS] = {1, 2, 3, 4, 5, 6, 7, 8};
    hft_watch watch;
    if (hft_watch_size(512) > sizeof memory || hft_watch_init(&watch, memory, 512, key) != 0) abort();
    uint32_t pos = tx->outputs_pos;
    for (uint32_t i = 0; i < tx->n_outputs && i < 512; i++) {
        hft_btc_output o;
        hft_btc_next_output(&o, tx, &pos);
        uint32_t before = watch.n_entries, entry = UINT32_MAX;
        int64_t known = hft_watch_find(&watch, o.script, o.script_len, NULL);
        int rc = hft_watch_add(&watch, o.script, o.script_len, i);
        if (o.script_len == 0 || o.script_len > HFT_WATCH_SCRIPT_MAX) {
            if (rc != HFT_E_WATCH_SCRIPT || known != -1) abort();
        } else if (known >= 0) {
            if (rc != HFT_E_WATCH_CONFLICT || watch.n_entries != before) abort();
        } else if (rc != 1 || hft_watch_find(&watch, o.script, o.script_len, &entry) != i || entry != before) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size != 0 ? size : 1), *stripped = malloc(size + 64);
    if (copy == NULL || stripped == NULL) abort();
    if (size != 0) memcpy(copy, data, size);
    hft_btc_tx tx;
    if (hft_btc_parse_tx(&tx, copy, size) == 0) {
        if (tx.size > size || tx.n_inputs == 0 || tx.n_outputs == 0) abort();
        size_t len = write_tx(stripped, &tx, tx.witness_pos != 0);
        if (len != tx.size || memcmp(stripped, copy, len) != 0) abort();
        len = write_tx(stripped, &tx, 0);
        uint8_t want[32], txid[32], wtxid[32], again[32];
        hft_sha256d_digest(want, stripped, len);
        hft_btc_ids(txid, wtxid, &tx);
        hft_btc_txid(again, &tx);
        if (memcmp(txid, want, 32) != 0 || memcmp(again, want, 32) != 0) abort();
        hft_btc_wtxid(again, &tx);
        if (memcmp(again, wtxid, 32) != 0 || (memcmp(txid, wtxid, 32) == 0) != (tx.witness_pos == 0)) abort();
        if (hft_btc_weight(&tx) != 3 * len + tx.size || hft_btc_vsize(&tx) != (hft_btc_weight(&tx) + 3) / 4) abort();
        watch_outputs(&tx);
        /* It ends where it says: one byte less is refused. */
        uint32_t end = tx.size;
        if (hft_btc_parse_tx(&tx, copy, end - 1) != HFT_E_BTC_TRUNCATED) abort();
        if (tx.size >= end) abort();
    } else if (tx.size > size) {
        abort(); /* a fault lies within what was given */
    }
    free(stripped);
    free(copy);
    return 0;
}
