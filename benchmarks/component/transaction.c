/* What each transaction that arrives costs before anything is known of it.
 *
 *   transaction CPU FOLDER BLOCKS ROW
 *
 * One transaction of the median kind (one input, P2WPKH, two outputs, 222 bytes), hot: parsed and both outputs looked
 * up among 10,000 scripts, neither of them watched; or parsed and its wtxid computed. Beside them the double SHA-256 of
 * its bytes and nothing else, which the checksum of the message costs in any case. */
#include <openssl/rand.h>

#include "hft/btc.h"
#include "hft/cpu.h"
#include "hft/endian.h"
#include "hft/sha256.h"
#include "hft/watch.h"
#include "turns.h"

#define WATCHED 10000
#define CALLS 16
#define BLOCK 256 /* samples of one side before the next has its turn */

static uint8_t raw[222], hash[32];
static hft_watch watch;
static volatile uint64_t sink; /* what keeps the compiler from leaving calls out */

static void make_transaction(void) {
    static const uint8_t outputs[] = {2, 0, 0xd1, 0xf0, 8, 0, 0, 0, 0, 22, 0, 20};
    uint8_t *p = raw;
    if (RAND_bytes(raw, sizeof raw) != 1) die("RAND_bytes");
    memcpy(p, "\2\0\0\0\0\1\1", 7);
    p += 7 + 36;
    *p++ = 0; /* no scriptSig */
    p += 4;
    memcpy(p, outputs, sizeof outputs);
    p += sizeof outputs + 20;
    memcpy(p, outputs + 1, sizeof outputs - 1);
    p += sizeof outputs - 1 + 20;
    memcpy(p, "\2\x47", 2);
    p += 2 + 71;
    *p = 33;
    p += 1 + 33 + 4;
    if (p != raw + sizeof raw) die("the transaction has %td bytes", p - raw);
}

static void make_table(void) {
    uint64_t key[HFT_WATCH_KEY_WORDS];
    uint8_t script[22] = {0, 20};
    size_t size = hft_watch_size(WATCHED);
    void *memory = aligned_alloc(64, (size + 63) & ~(size_t)63);
    if (memory == NULL || RAND_bytes((uint8_t *)key, sizeof key) != 1) die("no memory");
    if (hft_watch_init(&watch, memory, WATCHED, key) < 0) die("hft_watch_init");
    for (int i = 0; i < WATCHED; i++) {
        if (RAND_bytes(script + 2, 20) != 1 || hft_watch_add(&watch, script, sizeof script, 0) != 1) die("script");
    }
}

static void parse(hft_btc_tx *tx) {
    if (hft_btc_parse_tx(tx, raw, sizeof raw) < 0) die("hft_btc_parse_tx");
}

static void match(void) {
    hft_btc_tx tx;
    hft_btc_output output;
    parse(&tx);
    uint64_t largest = 0;
    uint32_t pos = tx.outputs_pos;
    for (uint32_t i = 0; i < tx.n_outputs; i++) {
        hft_btc_next_output(&output, &tx, &pos);
        if (hft_watch_find(&watch, output.script, output.script_len, NULL) >= 0) die("a random script is watched");
        if (output.value > largest) largest = output.value;
    }
    sink = largest;
}

static void wtxid(void) {
    hft_btc_tx tx;
    parse(&tx);
    hft_btc_wtxid(hash, &tx);
    sink = tx.outputs_pos + hash[0];
}

static void sha256d(void) {
    hft_sha256d_digest(hash, raw, sizeof raw);
    sink = hash[0];
}

#define SIDE(name, call) {name, call, CALLS, 1, NULL, NULL}
static const struct {
    const char *name;
    bench_side sides[2];
} rows[] = {
    {"btc_parse_match", {SIDE("libhft, parsed and matched", match), SIDE("libhft sha256d, alone", sha256d)}},
    {"btc_parse_wtxid", {SIDE("libhft, parsed, wtxid", wtxid), SIDE("libhft sha256d, alone", sha256d)}},
};

int main(int argc, char **argv) {
    if (argc != 5) die("transaction CPU FOLDER BLOCKS ROW");
    bench_pin(atoi(argv[1]));
    if (hft_init(NULL) < 0) die("the core fails its self-test");
    make_transaction();
    make_table();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, argv[4]) != 0) continue;
        bench_turns(argv[2], rows[i].sides, 2, (size_t)atoll(argv[3]), BLOCK);
        return 0;
    }
    die("no row %s", argv[4]);
}
