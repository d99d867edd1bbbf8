/* Messages and transactions: known bytes, every truncation, every limit. */
#include "check.h"

#include <stdlib.h>

#include <hft/btc.h>
#include <hft/endian.h>
#include <hft/sha256.h>

/* A transaction that is being written; each part of a test puts down exactly the bytes it means. */
typedef struct {
    uint8_t data[16384];
    size_t len;
} bytes;

static void put(bytes *b, const void *data, size_t len) {
    memcpy(b->data + b->len, data, len);
    b->len += len;
}
static void put_zeros(bytes *b, size_t len) {
    memset(b->data + b->len, 0, len);
    b->len += len;
}
static void put_u8(bytes *b, uint8_t v) { put(b, &v, 1); }
static void put_u32(bytes *b, uint32_t v) { put(b, &v, 4); }
static void put_u64(bytes *b, uint64_t v) { put(b, &v, 8); }
static void put_size(bytes *b, uint64_t v) { b->len += hft_btc_compact_size_put(b->data + b->len, v); }

static void put_input(bytes *b, uint8_t fill, size_t script_len) {
    for (int i = 0; i < 32; i++) put_u8(b, fill);
    put_u32(b, 7);
    put_size(b, script_len);
    put_zeros(b, script_len);
    put_u32(b, 0xfffffffd);
}

static void put_output(bytes *b, uint64_t value, size_t script_len) {
    put_u64(b, value);
    put_size(b, script_len);
    for (size_t i = 0; i < script_len; i++) put_u8(b, 0x6a);
}

/* Two inputs, two outputs; scripts of 107 and `long_len` bytes, so that long lengths have each of their forms. */
static void put_tx(bytes *b, int witness, size_t long_len) {
    b->len = 0;
    put_u32(b, 2);
    if (witness) put(b, "\0\1", 2);
    put_size(b, 2);
    put_input(b, 0xaa, 107);
    put_input(b, 0xbb, long_len);
    put_size(b, 2);
    put_output(b, 150000000, 25);
    put_output(b, 0, long_len);
    if (witness) {
        put_size(b, 0);
        put_size(b, 2);
        put_size(b, 3);
        put(b, "sig", 3);
        put_size(b, long_len);
        put_zeros(b, long_len);
    }
    put_u32(b, 866342);
}

/* Parses a copy that ends exactly where its memory ends, so that the sanitizer sees any read past it. */
static int parse_exact(hft_btc_tx *tx, const uint8_t *data, size_t len) {
    uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, data, len);
    int rc = hft_btc_parse_tx(tx, copy, len);
    free(copy);
    return rc;
}

/* The first input has no items, the second one has "sig" and `len` zeros; without a witness neither has any. */
static void check_witnesses(const hft_btc_tx *tx, int has_witness, size_t len) {
    hft_btc_witness witness;
    hft_btc_item item = {0};
    uint32_t pos = tx->witness_pos, at = 0;
    hft_btc_next_witness(&witness, tx, &pos);
    CHECK_EQ(witness.n_items, 0);
    CHECK_EQ(witness.size, 0);
    hft_btc_next_witness(&witness, tx, &pos);
    CHECK_EQ(witness.n_items, has_witness ? 2 : 0);
    CHECK_EQ(pos, has_witness ? tx->size - 4 : 0);
    if (!has_witness) return;
    hft_btc_next_item(&item, &witness, &at);
    CHECK_EQ(item.len, 3);
    CHECK_MEM(item.data, "sig", 3);
    hft_btc_next_item(&item, &witness, &at);
    CHECK_EQ(item.len, len);
    CHECK_EQ(at, witness.size);
    CHECK_EQ(item.data + item.len - tx->data, tx->size - 4);
}

static void test_tx_parts(void) {
    static const size_t lens[] = {0, 1, 252, 253, 254, 3000};
    for (size_t k = 0; k < 2 * sizeof lens / sizeof lens[0]; k++) {
        int witness = (int)k & 1;
        size_t len = lens[k / 2];
        bytes b;
        hft_btc_tx tx;
        put_tx(&b, witness, len);
        size_t size = b.len;
        put_u32(&b, 0xdeadbeef);
        CHECK_EQ(hft_btc_parse_tx(&tx, b.data, b.len), 0);
        CHECK_EQ(tx.size, size);
        CHECK_EQ(tx.version, 2);
        CHECK_EQ(tx.locktime, 866342);
        CHECK_EQ(tx.n_inputs, 2);
        CHECK_EQ(tx.n_outputs, 2);
        CHECK_EQ(tx.body_pos, witness ? 6 : 4);
        CHECK_EQ(tx.witness_pos, witness ? tx.outputs_end : 0);
        hft_btc_input in = {0};
        uint32_t pos = tx.inputs_pos;
        hft_btc_next_input(&in, &tx, &pos);
        CHECK_EQ(in.script_len, 107);
        hft_btc_next_input(&in, &tx, &pos);
        CHECK_EQ(in.script_len, len);
        CHECK_EQ(in.prev_txid[31], 0xbb);
        CHECK_EQ(in.prev_index, 7);
        CHECK_EQ(in.sequence, 0xfffffffd);
        hft_btc_output out = {0};
        pos = tx.outputs_pos;
        hft_btc_next_output(&out, &tx, &pos);
        CHECK_EQ(out.value, 150000000);
        CHECK_EQ(out.script_len, 25);
        hft_btc_next_output(&out, &tx, &pos);
        CHECK_EQ(out.value, 0);
        CHECK_EQ(out.script_len, len);
        CHECK_EQ(pos, tx.outputs_end);
        check_witnesses(&tx, witness, len);
        uint32_t stripped = (uint32_t)(8 + tx.outputs_end - tx.body_pos);
        CHECK_EQ(hft_btc_weight(&tx), stripped * 3 + size);
        CHECK_EQ(hft_btc_vsize(&tx), (stripped * 3 + size + 3) / 4);
        for (size_t cut = 0; cut < size; cut++) {
            CHECK_EQ(parse_exact(&tx, b.data, cut), HFT_E_BTC_TRUNCATED);
            CHECK(tx.size <= cut && cut - tx.size <= len + 148); /* the longest part: an input */
        }
        CHECK_EQ(parse_exact(&tx, b.data, size), 0);
    }
}

/* The id is the double hash of the bytes without marker, flag and witness, whatever way it was computed. */
static void test_tx_ids(void) {
    /* A stripped length of 4096 and both sides of it are among the 40 in the middle. */
    for (size_t k = 0; k < 2 * 42; k++) {
        size_t len = k / 2 == 0 ? 20 : k / 2 == 41 ? 5000 : 1900 + k / 2;
        bytes plain, full;
        hft_btc_tx tx;
        uint8_t want_txid[32], want_wtxid[32], txid[32], wtxid[32];
        put_tx(&plain, 0, len);
        put_tx(&full, (int)k & 1, len);
        hft_sha256d_digest(want_txid, plain.data, plain.len);
        hft_sha256d_digest(want_wtxid, full.data, full.len);
        CHECK_EQ(hft_btc_parse_tx(&tx, full.data, full.len), 0);
        hft_btc_ids(txid, wtxid, &tx);
        CHECK_MEM(txid, want_txid, 32);
        CHECK_MEM(wtxid, want_wtxid, 32);
        memset(txid, 0, 32);
        memset(wtxid, 0, 32);
        hft_btc_txid(txid, &tx);
        hft_btc_wtxid(wtxid, &tx);
        CHECK_MEM(txid, want_txid, 32);
        CHECK_MEM(wtxid, want_wtxid, 32);
    }
}

static int parse(const bytes *b) {
    hft_btc_tx tx;
    return parse_exact(&tx, b->data, b->len);
}

/* Where the first part that is wrong begins. */
static void test_tx_fault_positions(void) {
    bytes b;
    hft_btc_tx whole, tx;
    put_tx(&b, 1, 5);
    CHECK_EQ(hft_btc_parse_tx(&whole, b.data, b.len), 0);
    static const uint8_t nine[9] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint32_t places[] = {whole.body_pos, whole.inputs_pos + 36, whole.outputs_pos - 1, whole.outputs_pos + 8,
                         whole.witness_pos + 1, whole.witness_pos + 2};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        bytes bad = b;
        memcpy(bad.data + places[i], nine, sizeof nine);
        CHECK_EQ(parse_exact(&tx, bad.data, bad.len), HFT_E_BTC_TRUNCATED);
        CHECK(tx.size >= places[i] && tx.size <= places[i] + 9); /* at the number, or behind it */
    }
    bytes bad = b;
    memcpy(bad.data + whole.outputs_pos, nine, 8);
    CHECK_EQ(parse_exact(&tx, bad.data, bad.len), HFT_E_BTC_AMOUNT);
    CHECK_EQ(tx.size, whole.outputs_pos);
    b.data[5] = 2;
    CHECK_EQ(parse_exact(&tx, b.data, b.len), HFT_E_BTC_TX);
    CHECK_EQ(tx.size, 4);
    CHECK_EQ(parse_exact(&tx, b.data, 3), HFT_E_BTC_TRUNCATED);
    CHECK_EQ(tx.size, 0);
}

static void test_tx_structure(void) {
    bytes b = {.len = 0};
    put_u32(&b, 1);
    put(&b, "\0\0", 2); /* no input, no output */
    put_u32(&b, 0);
    CHECK_EQ(parse(&b), HFT_E_BTC_TX);

    put_tx(&b, 1, 5);
    b.data[5] = 2; /* a flag nobody defined */
    CHECK_EQ(parse(&b), HFT_E_BTC_TX);
    b.data[5] = 3;
    CHECK_EQ(parse(&b), HFT_E_BTC_TX);

    b.len = 0; /* marker, flag, then no input */
    put_u32(&b, 1);
    put(&b, "\0\1\0", 3);
    put_size(&b, 1);
    put_output(&b, 1, 0);
    put_u32(&b, 0);
    CHECK_EQ(parse(&b), HFT_E_BTC_TX);

    b.len = 0; /* no output */
    put_u32(&b, 1);
    put_size(&b, 1);
    put_input(&b, 1, 0);
    put_size(&b, 0);
    put_u32(&b, 0);
    CHECK_EQ(parse(&b), HFT_E_BTC_TX);

    b.len = 0; /* a witness for nobody */
    put_u32(&b, 1);
    put(&b, "\0\1", 2);
    put_size(&b, 2);
    put_input(&b, 1, 0);
    put_input(&b, 2, 0);
    put_size(&b, 1);
    put_output(&b, 1, 0);
    put(&b, "\0\0", 2);
    put_u32(&b, 0);
    CHECK_EQ(parse(&b), HFT_E_BTC_TX);
    put_u8(&b, 0);
    memcpy(b.data + b.len - 7, "\0\1\0\0\0\0\0", 7); /* one item of no bytes makes it one, whoever has it */
    CHECK_EQ(parse(&b), 0);
    memcpy(b.data + b.len - 7, "\1\0\0\0\0\0\0", 7);
    CHECK_EQ(parse(&b), 0);
}

static int parse_amounts(uint64_t a, uint64_t c, uint64_t d) {
    bytes b = {.len = 0};
    put_u32(&b, 1);
    put_size(&b, 1);
    put_input(&b, 1, 0);
    put_size(&b, 3);
    put_output(&b, a, 0);
    put_output(&b, c, 0);
    put_output(&b, d, 0);
    put_u32(&b, 0);
    return parse(&b);
}

static void test_tx_amounts(void) {
    CHECK_EQ(parse_amounts(0, 0, 0), 0);
    CHECK_EQ(parse_amounts(HFT_BTC_MONEY_MAX, 0, 0), 0);
    CHECK_EQ(parse_amounts(HFT_BTC_MONEY_MAX - 2, 1, 1), 0);
    CHECK_EQ(parse_amounts(HFT_BTC_MONEY_MAX + 1, 0, 0), HFT_E_BTC_AMOUNT);
    CHECK_EQ(parse_amounts(HFT_BTC_MONEY_MAX, 0, 1), HFT_E_BTC_AMOUNT);
    CHECK_EQ(parse_amounts(1, 1, HFT_BTC_MONEY_MAX - 1), HFT_E_BTC_AMOUNT);
    CHECK_EQ(parse_amounts(UINT64_MAX, 2, 0), HFT_E_BTC_AMOUNT); /* would wrap to 1 */
    CHECK_EQ(parse_amounts(0, 0, (uint64_t)1 << 63), HFT_E_BTC_AMOUNT);
}

/* Replaces the one-byte CompactSize at `at` by `with` and parses. */
static int parse_patched(const bytes *b, size_t at, const char *with, size_t with_len) {
    bytes patched = {.len = 0};
    put(&patched, b->data, at);
    put(&patched, with, with_len);
    put(&patched, b->data + at + 1, b->len - at - 1);
    return parse(&patched);
}

static void test_tx_counts(void) {
    static const struct {
        const char *text;
        size_t len;
        int rc;
    } patches[] = {
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff", 9, HFT_E_BTC_TRUNCATED},
        {"\xff\xfe\xff\xff\xff\xff\xff\xff\xff", 9, HFT_E_BTC_TRUNCATED},
        {"\xff\0\0\0\0\0\0\0\x80", 9, HFT_E_BTC_TRUNCATED},
        {"\xff\0\0\0\0\1\0\0\0", 9, HFT_E_BTC_TRUNCATED}, /* 2^32: 0 or 1 in 32 bits */
        {"\xff\1\0\0\0\1\0\0\0", 9, HFT_E_BTC_TRUNCATED},
        {"\xfe\xff\xff\xff\xff", 5, HFT_E_BTC_TRUNCATED},
        {"\xff\1\0\0\0\0\0\0\0", 9, HFT_E_BTC_COMPACT_SIZE},
        {"\xff\xff\xff\xff\xff\0\0\0\0", 9, HFT_E_BTC_COMPACT_SIZE},
        {"\xfe\1\0\0\0", 5, HFT_E_BTC_COMPACT_SIZE},
        {"\xfe\xff\xff\0\0", 5, HFT_E_BTC_COMPACT_SIZE},
        {"\xfd\1\0", 3, HFT_E_BTC_COMPACT_SIZE},
        {"\xfd\xfc\0", 3, HFT_E_BTC_COMPACT_SIZE},
    };
    bytes b;
    put_tx(&b, 1, 5);
    hft_btc_tx tx;
    CHECK_EQ(hft_btc_parse_tx(&tx, b.data, b.len), 0);
    /* Input count, an input's script, output count, an output's script, witness items, a witness item. */
    size_t places[] = {tx.body_pos, tx.inputs_pos + 36, tx.outputs_pos - 1, tx.outputs_pos + 8, tx.witness_pos + 1,
                       tx.witness_pos + 2};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        for (size_t k = 0; k < sizeof patches / sizeof patches[0]; k++)
            CHECK_EQ(parse_patched(&b, places[i], patches[k].text, patches[k].len), patches[k].rc);
}

static void test_tx_longer_than_any_message(void) {
    size_t len = HFT_BTC_MESSAGE_MAX + 100;
    uint8_t *data = calloc(1, len);
    bytes b = {.len = 0};
    put_u32(&b, 1);
    put_size(&b, 1);
    put_input(&b, 1, 0);
    put_size(&b, 1);
    put_u64(&b, 1);
    put_size(&b, HFT_BTC_MESSAGE_MAX - b.len - 5 - 4);
    memcpy(data, b.data, b.len);
    hft_btc_tx tx;
    CHECK_EQ(hft_btc_parse_tx(&tx, data, len), 0);
    CHECK_EQ(tx.size, HFT_BTC_MESSAGE_MAX);
    hft_btc_output out = {0};
    uint32_t pos = tx.outputs_pos;
    hft_btc_next_output(&out, &tx, &pos);
    CHECK_EQ(out.script - data, b.len);
    CHECK_EQ(out.script_len, HFT_BTC_MESSAGE_MAX - b.len - 4);
    CHECK_EQ(pos, tx.outputs_end);
    data[b.len - 4]++;
    CHECK_EQ(hft_btc_parse_tx(&tx, data, len), HFT_E_BTC_TOO_LARGE);
    CHECK_EQ(hft_btc_parse_tx(&tx, data, HFT_BTC_MESSAGE_MAX), HFT_E_BTC_TRUNCATED);
    free(data);
}

static void test_compact_size(void) {
    static const struct {
        uint64_t value;
        size_t len;
    } cases[] = {
        {0, 1},         {0xfc, 1},          {0xfd, 3},          {0xff, 3},       {0xffff, 3}, {0x10000, 5},
        {0xffffffff, 5}, {0x100000000ull, 9}, {UINT64_MAX, 9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t out[11] = {0x55};
        uint64_t value = 0;
        size_t pos = 1;
        CHECK_EQ(hft_btc_compact_size_put(out + 1, cases[i].value), cases[i].len);
        CHECK_EQ(hft_btc_compact_size_read(&value, out, 1 + cases[i].len, &pos, UINT64_MAX), 0);
        CHECK(value == cases[i].value);
        CHECK_EQ(pos, 1 + cases[i].len);
        for (size_t cut = 0; cut < cases[i].len; cut++) {
            pos = 1;
            CHECK_EQ(hft_btc_compact_size_read(&value, out, 1 + cut, &pos, UINT64_MAX), HFT_E_BTC_TRUNCATED);
            CHECK_EQ(pos, 1);
        }
        pos = 1;
        if (cases[i].value > 0)
            CHECK_EQ(hft_btc_compact_size_read(&value, out, sizeof out, &pos, cases[i].value - 1),
                     HFT_E_BTC_COMPACT_SIZE);
        CHECK_EQ(pos, 1);
    }
    uint64_t value;
    size_t pos = 3;
    CHECK_EQ(hft_btc_compact_size_read(&value, (const uint8_t *)"\1", 1, &pos, 9), HFT_E_BTC_TRUNCATED);
}

/* A ping; the checksum was computed with hashlib. */
static const uint8_t ping[] = {
    0xf9, 0xbe, 0xb4, 0xd9, 'p', 'i', 'n', 'g', 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0,
    0x25, 0x02, 0xfa, 0x94, 1, 2, 3, 4, 5, 6, 7, 8,
};

static int next(hft_btc_message *msg, size_t *need, const uint8_t *data, size_t len, uint32_t payload_max) {
    uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, data, len);
    size_t used = 0;
    int rc = hft_btc_next_message(msg, &used, need, HFT_BTC_MAGIC_MAINNET, payload_max, copy, len);
    if (rc == 1) CHECK_EQ(used, HFT_BTC_HEADER_LEN + msg->payload_len);
    free(copy);
    return rc;
}

static void test_framing(void) {
    hft_btc_message msg = {0};
    size_t need = 0, used = 0;
    for (size_t cut = 0; cut < sizeof ping; cut++) {
        CHECK_EQ(next(&msg, &need, ping, cut, 100), 0);
        CHECK_EQ(need, cut < HFT_BTC_HEADER_LEN ? HFT_BTC_HEADER_LEN : sizeof ping);
    }
    CHECK_EQ(hft_btc_next_message(&msg, &used, &need, HFT_BTC_MAGIC_MAINNET, 8, ping, sizeof ping), 1);
    CHECK_EQ(used, sizeof ping);
    CHECK_EQ(msg.kind, HFT_BTC_MSG_PING);
    CHECK_STR(msg.command, "ping");
    CHECK_EQ(msg.payload_len, 8);
    CHECK_EQ(msg.payload - ping, HFT_BTC_HEADER_LEN);
    uint8_t hash[32];
    CHECK_EQ(hft_btc_checksum(hash, &msg), 1);
    msg.checksum ^= 0x80000000;
    CHECK_EQ(hft_btc_checksum(hash, &msg), 0);
    CHECK_EQ(next(&msg, &need, ping, sizeof ping, 7), HFT_E_BTC_TOO_LARGE);
    CHECK_EQ(next(&msg, &need, ping, HFT_BTC_HEADER_LEN, 7), HFT_E_BTC_TOO_LARGE);
    for (size_t i = 0; i < 4; i++) {
        uint8_t bad[sizeof ping];
        memcpy(bad, ping, sizeof ping);
        bad[i] ^= 1;
        CHECK_EQ(next(&msg, &need, bad, 3, 100), 0);
        CHECK_EQ(next(&msg, &need, bad, 4, 100), HFT_E_BTC_MAGIC);
        CHECK_EQ(next(&msg, &need, bad, sizeof bad, 100), HFT_E_BTC_MAGIC);
    }
}

static int command_rc(const char field[12], hft_btc_message *msg) {
    uint8_t data[sizeof ping];
    size_t need;
    memcpy(data, ping, sizeof ping);
    memcpy(data + 4, field, 12);
    return next(msg, &need, data, sizeof data, 100);
}

static void test_commands(void) {
    static const struct {
        const char *command;
        int kind;
    } known[] = {
        {"version", HFT_BTC_MSG_VERSION},       {"verack", HFT_BTC_MSG_VERACK},
        {"wtxidrelay", HFT_BTC_MSG_WTXIDRELAY}, {"sendaddrv2", HFT_BTC_MSG_SENDADDRV2},
        {"ping", HFT_BTC_MSG_PING},             {"pong", HFT_BTC_MSG_PONG},
        {"inv", HFT_BTC_MSG_INV},               {"getdata", HFT_BTC_MSG_GETDATA},
        {"notfound", HFT_BTC_MSG_NOTFOUND},     {"tx", HFT_BTC_MSG_TX},
        {"feefilter", HFT_BTC_MSG_FEEFILTER},   {"txx", HFT_BTC_MSG_OTHER},
        {"in", HFT_BTC_MSG_OTHER},              {"TX", HFT_BTC_MSG_OTHER},
        {"abcdefghijkl", HFT_BTC_MSG_OTHER},
    };
    hft_btc_message msg;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char field[13] = {0};
        memcpy(field, known[i].command, strlen(known[i].command));
        CHECK_EQ(command_rc(field, &msg), 1);
        CHECK_EQ(msg.kind, known[i].kind);
        CHECK_STR(msg.command, known[i].command);
    }
    CHECK_EQ(command_rc("\0\0\0\0\0\0\0\0\0\0\0\0", &msg), HFT_E_BTC_COMMAND);
    CHECK_EQ(command_rc("tx\0x\0\0\0\0\0\0\0\0", &msg), HFT_E_BTC_COMMAND);
    CHECK_EQ(command_rc("tx\0\0\0\0\0\0\0\0\0x", &msg), HFT_E_BTC_COMMAND);
    CHECK_EQ(command_rc("\0tx\0\0\0\0\0\0\0\0\0", &msg), HFT_E_BTC_COMMAND);
    CHECK_EQ(command_rc("t\x1fx\0\0\0\0\0\0\0\0\0", &msg), HFT_E_BTC_COMMAND);
    CHECK_EQ(command_rc("t\x7fx\0\0\0\0\0\0\0\0\0", &msg), HFT_E_BTC_COMMAND);
    CHECK_EQ(command_rc("t\xe9x\0\0\0\0\0\0\0\0\0", &msg), HFT_E_BTC_COMMAND);
}

static void test_build(void) {
    uint8_t out[64];
    const uint8_t nonce[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    CHECK_EQ(hft_btc_build_message(out, sizeof out, HFT_BTC_MAGIC_MAINNET, "ping", nonce, 8), sizeof ping);
    CHECK_MEM(out, ping, sizeof ping);
    memset(out, 0, HFT_BTC_HEADER_LEN);
    CHECK_EQ(hft_btc_build_message(out, sizeof ping, HFT_BTC_MAGIC_MAINNET, "ping", out + HFT_BTC_HEADER_LEN, 8),
             sizeof ping);
    CHECK_MEM(out, ping, sizeof ping);
    CHECK_EQ(hft_btc_build_message(out, sizeof ping - 1, HFT_BTC_MAGIC_MAINNET, "ping", nonce, 8), HFT_E_CAPACITY);
    CHECK_EQ(hft_btc_build_message(out, 0, HFT_BTC_MAGIC_MAINNET, "ping", NULL, 0), HFT_E_CAPACITY);
    CHECK_EQ(hft_btc_build_message(out, sizeof out, HFT_BTC_MAGIC_MAINNET, "verack", NULL, 0), HFT_BTC_HEADER_LEN);
    CHECK_MEM(out + 20, "\x5d\xf6\xe0\xe2", 4); /* the well-known checksum of nothing */
    CHECK_EQ(hft_btc_build_message(out, sizeof out, 1, "abcdefghijkl", NULL, 0), HFT_BTC_HEADER_LEN);
    CHECK_EQ(hft_btc_build_message(out, sizeof out, 1, "abcdefghijklm", NULL, 0), HFT_E_BTC_COMMAND);
    CHECK_EQ(hft_btc_build_message(out, sizeof out, 1, "", NULL, 0), HFT_E_BTC_COMMAND);
    CHECK_EQ(hft_btc_build_message(out, sizeof out, 1, "a\tb", NULL, 0), HFT_E_BTC_COMMAND);
    CHECK_EQ(hft_btc_build_message(out, SIZE_MAX, 1, "tx", NULL, (size_t)HFT_BTC_MESSAGE_MAX + 1),
             HFT_E_BTC_TOO_LARGE);
}

static void test_version(void) {
    static const size_t agent_lens[] = {0, 15, 252, 253, 256};
    char agent[257];
    memset(agent, 'a', sizeof agent);
    for (size_t i = 0; i < sizeof agent_lens / sizeof agent_lens[0]; i++) {
        hft_btc_version v = {70016, 9, -1, 0x1122334455667788, agent, agent_lens[i], -5, 1}, read = {0};
        uint8_t out[512];
        memset(out, 0xff, sizeof out);
        int len = hft_btc_build_version(out, sizeof out, HFT_BTC_MAGIC_REGTEST, &v);
        CHECK(len > HFT_BTC_HEADER_LEN);
        CHECK_EQ(hft_btc_build_version(out, (size_t)len - 1, HFT_BTC_MAGIC_REGTEST, &v), HFT_E_CAPACITY);
        size_t payload_len = (size_t)len - HFT_BTC_HEADER_LEN;
        const uint8_t *payload = out + HFT_BTC_HEADER_LEN;
        static const uint8_t no_addresses[52] = {0};
        CHECK_MEM(payload + 20, no_addresses, sizeof no_addresses);
        CHECK_EQ(hft_btc_parse_version(&read, payload, payload_len), 0);
        CHECK_EQ(read.version, 70016);
        CHECK_EQ(read.services, 9);
        CHECK_EQ(read.timestamp, -1);
        CHECK_EQ(read.nonce, 0x1122334455667788);
        CHECK_EQ(read.user_agent_len, agent_lens[i]);
        CHECK_MEM(read.user_agent, agent, agent_lens[i]);
        CHECK_EQ(read.start_height, -5);
        CHECK_EQ(read.relay, 1);
        out[len - 1] = 0;
        CHECK_EQ(hft_btc_parse_version(&read, payload, payload_len), 0);
        CHECK_EQ(read.relay, 0);
        CHECK_EQ(hft_btc_parse_version(&read, payload, payload_len - 1), 0);
        CHECK_EQ(read.relay, 1);
        CHECK_EQ(hft_btc_parse_version(&read, payload, payload_len + 1), 0);
        for (size_t cut = 0; cut + 1 < payload_len; cut++)
            CHECK_EQ(hft_btc_parse_version(&read, payload, cut), HFT_E_BTC_TRUNCATED);
    }
    hft_btc_version v = {.user_agent = agent, .user_agent_len = 257};
    uint8_t out[512] = {0};
    CHECK_EQ(hft_btc_build_version(out, sizeof out, 1, &v), HFT_E_BTC_TOO_LARGE);
    memcpy(out + 80, "\xfd\x01\x01", 3);
    CHECK_EQ(hft_btc_parse_version(&v, out, sizeof out), HFT_E_BTC_TOO_LARGE);
    memcpy(out + 80, "\xff\xff\xff\xff\xff\xff\xff\xff\xff", 9);
    CHECK_EQ(hft_btc_parse_version(&v, out, sizeof out), HFT_E_BTC_TOO_LARGE);
    memcpy(out + 80, "\xfd\x01\0", 3);
    CHECK_EQ(hft_btc_parse_version(&v, out, sizeof out), HFT_E_BTC_COMPACT_SIZE);
}

static void test_inv(void) {
    static const size_t counts[] = {0, 1, 252, 253, HFT_BTC_INV_MAX};
    size_t cap = HFT_BTC_HEADER_LEN + 3 + 36 * (size_t)HFT_BTC_INV_MAX;
    uint8_t *out = malloc(cap), *hashes = malloc(32 * ((size_t)HFT_BTC_INV_MAX + 1));
    for (size_t i = 0; i < 32 * (size_t)HFT_BTC_INV_MAX; i++) hashes[i] = (uint8_t)(i * 7 + i / 32);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        size_t n = counts[i], got = 99;
        const uint8_t *entries = NULL;
        int len = hft_btc_build_inv(out, cap, HFT_BTC_MAGIC_SIGNET, "getdata", HFT_BTC_INV_WITNESS_TX, hashes, n);
        CHECK_EQ(len, HFT_BTC_HEADER_LEN + (n < 253 ? 1u : 3u) + 36 * n);
        CHECK_EQ(hft_btc_build_inv(out, (size_t)len - 1, 1, "inv", 1, hashes, n), HFT_E_CAPACITY);
        const uint8_t *payload = out + HFT_BTC_HEADER_LEN;
        size_t payload_len = (size_t)len - HFT_BTC_HEADER_LEN;
        CHECK_EQ(hft_btc_parse_inv(&entries, &got, payload, payload_len), 0);
        CHECK_EQ(got, n);
        for (size_t k = 0; k < n; k += 1 + n / 9) {
            CHECK_EQ(hft_load_le32(entries + 36 * k), HFT_BTC_INV_WITNESS_TX);
            CHECK_MEM(entries + 36 * k + 4, hashes + 32 * k, 32);
        }
        CHECK_EQ(hft_btc_parse_inv(&entries, &got, payload, payload_len - 1), HFT_E_BTC_TRUNCATED);
        if (payload_len < cap - HFT_BTC_HEADER_LEN)
            CHECK_EQ(hft_btc_parse_inv(&entries, &got, payload, payload_len + 1), HFT_E_BTC_TRAILING);
    }
    CHECK_EQ(hft_btc_build_inv(out, cap, 1, "inv", 1, hashes, (size_t)HFT_BTC_INV_MAX + 1), HFT_E_BTC_COUNT);
    const uint8_t *entries;
    size_t n;
    CHECK_EQ(hft_btc_parse_inv(&entries, &n, (const uint8_t *)"\xfd\x51\xc3", 3), HFT_E_BTC_COUNT); /* 50,001 */
    CHECK_EQ(hft_btc_parse_inv(&entries, &n, (const uint8_t *)"\xfd\x50\xc3", 3), HFT_E_BTC_TRUNCATED);
    CHECK_EQ(hft_btc_parse_inv(&entries, &n, (const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff", 9),
             HFT_E_BTC_COUNT);
    CHECK_EQ(hft_btc_parse_inv(&entries, &n, (const uint8_t *)"\xfd\x01\x00", 3), HFT_E_BTC_COMPACT_SIZE);
    CHECK_EQ(hft_btc_parse_inv(&entries, &n, NULL, 0), HFT_E_BTC_TRUNCATED);
    free(hashes);
    free(out);
}

int main(void) {
    test_tx_parts();
    test_tx_ids();
    test_tx_fault_positions();
    test_tx_structure();
    test_tx_amounts();
    test_tx_counts();
    test_tx_longer_than_any_message();
    test_compact_size();
    test_framing();
    test_commands();
    test_build();
    test_version();
    test_inv();
    return check_done();
}
