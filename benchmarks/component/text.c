/* The small pieces of a message: hex, base64, a WebSocket mask and frame, a timestamp; beside plain C and OpenSSL.
 *
 *   text CPU FOLDER BLOCKS ROW
 *
 * Each call of a side does the piece ITEMS times, on inputs that do not depend on each other: throughput. ROW: one of
 * `rows`. */
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "hft/cpu.h"
#include "hft/endian.h"
#include "hft/text.h"
#include "hft/ws.h"
#include "turns.h"

#define CALLS 16
#define ITEMS 16
#define BLOCK 256 /* samples of one side before the next has its turn */
#define DIGEST 32
#define FRAME 250
#define MESSAGE 200 /* of frames that are built and parsed */
#define TIME_STEP_NS 1234567u

static uint8_t digests[ITEMS][DIGEST], frames[ITEMS][256], mask[4];
static uint8_t message[MESSAGE], received[4 + MESSAGE]; /* and the message in a server's frame */
static volatile size_t message_len = MESSAGE;
static hft_ws_parser parser;
static char text[80];
static uint64_t now_ns;
static hft_timestamp_cache cache;

/* Everything in memory counts as read, and as changed: no call may be left out, or moved. */
#define EACH(statement) \
    for (int i = 0; i < ITEMS; i++) { \
        statement; \
        __asm__ volatile("" ::: "memory"); \
    }

static void hex_ours(void) { EACH(hft_hex_encode(text, digests[i], DIGEST)) }
static void hex_digits(const uint8_t *data) {
    for (int j = 0; j < DIGEST; j++) {
        text[2 * j] = "0123456789abcdef"[data[j] >> 4];
        text[2 * j + 1] = "0123456789abcdef"[data[j] & 15];
    }
}
static void hex_plain(void) { EACH(hex_digits(digests[i])) }

static void base64_ours(void) { EACH((void)hft_base64_encode(text, digests[i], DIGEST)) }
static void base64_openssl(void) { EACH((void)EVP_EncodeBlock((uint8_t *)text, digests[i], DIGEST)) }

static void mask_ours(void) { EACH(hft_ws_mask(frames[i], FRAME, mask)) }
static void mask_bytes(void) {
    EACH(for (int j = 0; j < FRAME; j++) frames[i][j] ^= mask[j & 3])
}
static void mask_words(void) {
    uint64_t word = hft_load_le32(mask) * 0x100000001u;
    EACH(int j = 0; for (; j + 8 <= FRAME; j += 8) hft_store_le64(frames[i] + j, hft_load_le64(frames[i] + j) ^ word);
         for (; j < FRAME; j++) frames[i][j] ^= mask[j & 3])
}

static void build_ours(void) {
    EACH((void)hft_ws_build_frame(frames[i], sizeof frames[i], HFT_WS_OP_TEXT, message, MESSAGE, mask))
}
static void build_words(void) {
    uint64_t word = hft_load_le32(mask) * 0x100000001u;
    EACH(memcpy(frames[i], "\x81\xfe\0\xc8", 4); memcpy(frames[i] + 4, mask, 4);
         for (int j = 0; j < MESSAGE; j += 8) hft_store_le64(frames[i] + 8 + j, hft_load_le64(message + j) ^ word))
}

/* Of any length, as a function that is called. */
__attribute__((noinline)) static size_t build_any(uint8_t *out, const uint8_t *payload, size_t len) {
    uint64_t word = hft_load_le32(mask) * 0x100000001u;
    size_t head = len < 126 ? 2 : len < 65536 ? 4 : 10, j = 0;
    out[0] = 0x81;
    out[1] = (uint8_t)(0x80 | (head == 2 ? len : head == 4 ? 126 : 127));
    if (head == 4) hft_store_be16(out + 2, (uint16_t)len);
    if (head == 10) hft_store_be64(out + 2, len);
    memcpy(out + head, mask, 4);
    out += head + 4;
    for (; j + 8 <= len; j += 8) hft_store_le64(out + j, hft_load_le64(payload + j) ^ word);
    for (; j < len; j++) out[j] = payload[j] ^ mask[j & 3];
    return head + 4 + len;
}
static void build_call(void) { EACH((void)build_any(frames[i], message, message_len)) }

static void parse_ours(void) {
    EACH(hft_ws_event event; size_t used;
         if (hft_ws_parser_next(&parser, &event, &used, received, sizeof received) == 1) text[i] = (char)event.data[i])
}
static void parse_header(void) {
    EACH(size_t len = hft_load_be16(received + 2);
         if (received[0] == 0x81 && received[1] == 126 && len <= sizeof received - 4) text[i] = (char)received[4 + i])
}

__attribute__((noinline)) static int is_ascii(const uint8_t *data, size_t len) {
    uint64_t any = 0;
    size_t j = 0;
    for (; j + 8 <= len; j += 8) any |= hft_load_le64(data + j);
    for (; j < len; j++) any |= data[j];
    return (any & 0x8080808080808080u) == 0;
}
static void parse_ascii(void) {
    EACH(size_t len = hft_load_be16(received + 2);
         if (received[0] == 0x81 && received[1] == 126 && len <= sizeof received - 4 && is_ascii(received + 4, len))
             text[i] = (char)received[4 + i])
}

static void time_ours(void) { EACH((void)hft_timestamp_put(&cache, text, now_ns += TIME_STEP_NS, 6)) }
static void time_printf(void) {
    EACH(snprintf(text, sizeof text, "%llu", (unsigned long long)((now_ns += TIME_STEP_NS) / 1000000)))
}

#define SIDE(name, call) {name, call, CALLS, ITEMS, NULL, NULL}
static const struct { const char *name; bench_side sides[4]; } rows[] = {
    {"hex_32", {SIDE("libhft", hex_ours), SIDE("a table of digits, byte by byte", hex_plain)}},
    {"base64_32", {SIDE("libhft", base64_ours), SIDE("OpenSSL EVP_EncodeBlock", base64_openssl)}},
    {"mask_250", {SIDE("libhft", mask_ours), SIDE("plain C, byte by byte", mask_bytes),
                  SIDE("plain C, eight bytes at a time", mask_words)}},
    {"ws_build_200", {SIDE("libhft", build_ours), SIDE("plain C, any length, eight bytes at a time", build_call),
                      SIDE("plain C, this length alone, unrolled", build_words)}},
    {"ws_parse_200", {SIDE("libhft, UTF-8 checked", parse_ours),
                      SIDE("plain C, the header and a search for what is not ASCII", parse_ascii),
                      SIDE("plain C, the header alone", parse_header)}},
    {"timestamp_13", {SIDE("libhft, cached", time_ours), SIDE("snprintf", time_printf)}},
};

static void begin(void) {
    now_ns = 1760000000000000000u;
    hft_ws_parser_init(&parser, HFT_WS_CLIENT, NULL, 0, sizeof received, SIZE_MAX);
    for (int i = 0; i < MESSAGE; i++) message[i] = (uint8_t)(' ' + i % 64);
    memcpy(received, "\x81\x7e\0\xc8", 4);
    memcpy(received + 4, message, MESSAGE);
    memset(text, 0, sizeof text);
    memset(frames, 0, sizeof frames);
}

/* All leave the same behind. */
static void compare(const bench_side *sides, size_t n_sides) {
    static char first[sizeof text];
    static uint8_t first_frames[sizeof frames];
    for (size_t i = 0; i < n_sides; i++) {
        begin();
        sides[i].call();
        if (i == 0) memcpy(first, text, sizeof text), memcpy(first_frames, frames, sizeof frames);
        if (strncmp(first, text, sizeof text) != 0 || memcmp(first_frames, frames, sizeof frames) != 0)
            die("%s and %s differ", sides[0].name, sides[i].name);
    }
}

int main(int argc, char **argv) {
    if (argc != 5) die("text CPU FOLDER BLOCKS ROW");
    bench_pin(atoi(argv[1]));
    if (hft_init(NULL) < 0) die("the core fails its self-test");
    if (RAND_bytes((uint8_t *)digests, sizeof digests) != 1 || RAND_bytes(mask, sizeof mask) != 1) die("RAND_bytes");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n_sides = 0;
        if (strcmp(rows[i].name, argv[4]) != 0) continue;
        while (rows[i].sides[n_sides].name != NULL) n_sides++;
        compare(rows[i].sides, n_sides);
        bench_turns(argv[2], rows[i].sides, n_sides, (size_t)atoll(argv[3]), BLOCK);
        return 0;
    }
    die("no row %s", argv[4]);
}
