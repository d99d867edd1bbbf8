/* A Binance LIMIT order filled in, signed and put in a masked WebSocket frame: when it is needed, or signed ahead.
 *
 *   order CPU FOLDER BLOCKS CONFIG
 *
 * Each order has another client id, time and mask. They depend on the frame before, so a figure is latency. Beside ours
 * what a C program does without a library for it: snprintf, OpenSSL's HMAC with its context reused, hex, the mask byte
 * by byte. The last frame of each is left in FOLDER/<index>.frame, for others to check. CONFIG: see common/config.h. */
#include "config.h"
#include "hft/cpu.h"
#include "hft/presign.h"
#include "hft/ws.h"
#include "openssl.h"
#include "play.h"
#include "turns.h"

#define CALLS 16
#define BLOCK 128 /* samples of one side before the other has its turn */
#define IDS 1024
#define ID_LEN 28
#define HEADER 8 /* of a masked frame with 126 to 65,535 bytes */
#define QUANTITY 100000u

static hft_order_template order;
static uint8_t frame[HEADER + HFT_ORDER_FILL_MAX];
static size_t frame_len;

/* What the next order is made of. */
static char ids[IDS][ID_LEN + 1];
static uint8_t masks[IDS][4];
static uint64_t number, now_ns;

static const char *next_id(void) {
    char *id = ids[++number % IDS];
    id[4] = "0123456789abcdef"[frame[frame_len - 1] & 15];
    now_ns += 1234567;
    return id;
}

static void put_frame(const void *message, size_t len) {
    int rc = hft_ws_build_frame(frame, sizeof frame, HFT_WS_OP_TEXT, message, len, masks[number % IDS]);
    if (rc < 0) die("hft_ws_build_frame: %d", rc);
    frame_len = (size_t)rc;
}

enum { CLIENT_ID_SLOT, QUANTITY_SLOT, TIMESTAMP_SLOT }; /* slots, in the order of config_template() */

static void ours(void) {
    const hft_order_value values[HFT_ORDER_SLOTS_MAX] = {
        [CLIENT_ID_SLOT] = {.text = next_id(), .text_len = ID_LEN}, [QUANTITY_SLOT] = {.u64 = QUANTITY},
        [TIMESTAMP_SLOT] = {.u64 = now_ns}};
    int len = hft_order_fill(&order, values, NULL);
    if (len < 0) die("hft_order_fill: %d", len);
    put_frame(order.message.image, (size_t)len);
}

/* ---- signed ahead ---- */

#define STEP_NS 10000000u
static hft_presign ahead;

static void open_ahead(void) {
    static const hft_order_value values[HFT_ORDER_SLOTS_MAX] = {[QUANTITY_SLOT] = {.u64 = QUANTITY}};
    const hft_presign_config config = {
        .order = &order, .timestamp_slot = TIMESTAMP_SLOT, .id_slot = CLIENT_ID_SLOT, .values = values,
        .id_prefix = "p00-0123456789abcdef", .id_prefix_len = ID_LEN - HFT_PRESIGN_SERIAL_LEN,
        .count = HFT_PRESIGN_COUNT_MAX, .step_ns = STEP_NS, .window_ns = 100 * STEP_NS};
    void *memory = malloc(hft_presign_size(&order, HFT_PRESIGN_COUNT_MAX));
    if (memory == NULL || hft_presign_init(&ahead, &config, memory) < 0) die("hft_presign_init");
}

static void sign_ahead(void) {
    int rc;
    while ((rc = hft_presign_refresh(&ahead, now_ns + STEP_NS, NULL)) == 1) {}
    if (rc < 0) die("hft_presign_refresh: %d", rc);
}

static void presigned(void) {
    hft_presigned taken;
    now_ns += STEP_NS + (frame[frame_len - 1] & 15);
    number++;
    if (!hft_presign_take(&ahead, &taken, now_ns)) die("no order was signed for this time");
    put_frame(taken.message, taken.message_len);
}

/* ---- without a library for it ---- */

static const char *api_key, *symbol, *side, *type, *price, *time_in_force;

static void by_hand(void) {
    const char *id = next_id();
    unsigned long long now_ms = now_ns / 1000000;
    char query[512], signature[65], quantity[32], *text = (char *)frame + HEADER;
    uint8_t mac[32];
    snprintf(quantity, sizeof quantity, "%u.%08u", QUANTITY / 100000000, QUANTITY % 100000000);
    int len = snprintf(query, sizeof query,
                       "apiKey=%s&newClientOrderId=%s&newOrderRespType=ACK&price=%s&quantity=%s&recvWindow=5000"
                       "&side=%s&symbol=%s&timeInForce=%s&timestamp=%llu&type=%s",
                       api_key, id, price, quantity, side, symbol, time_in_force, now_ms, type);
    openssl_hmac_evp(mac, query, (size_t)len);
    for (int i = 0; i < 32; i++) {
        signature[2 * i] = "0123456789abcdef"[mac[i] >> 4];
        signature[2 * i + 1] = "0123456789abcdef"[mac[i] & 15];
    }
    signature[64] = '\0';
    len = snprintf(text, sizeof frame - HEADER,
                   "{\"id\":\"%s\",\"method\":\"order.place\",\"params\":{\"apiKey\":\"%s\","
                   "\"newClientOrderId\":\"%s\",\"newOrderRespType\":\"ACK\",\"price\":\"%s\","
                   "\"quantity\":\"%s\",\"recvWindow\":5000,"
                   "\"side\":\"%s\",\"symbol\":\"%s\",\"timeInForce\":\"%s\",\"timestamp\":%llu,\"type\":\"%s\","
                   "\"signature\":\"%s\"}}",
                   id, api_key, id, price, quantity, side, symbol, time_in_force, now_ms, type, signature);
    frame[0] = 0x81;
    frame[1] = 0x80 | 126;
    frame[2] = (uint8_t)(len >> 8);
    frame[3] = (uint8_t)len;
    memcpy(frame + 4, masks[number % IDS], 4);
    for (int i = 0; i < len; i++) frame[HEADER + i] ^= masks[number % IDS][i & 3];
    frame_len = HEADER + (size_t)len;
}

static const bench_side sides[] = {
    {"libhft", ours, CALLS, 1, NULL, NULL},
    {"libhft, signed ahead", presigned, CALLS, 1, NULL, sign_ahead},
    {"snprintf, OpenSSL EVP_MAC_CTX reused, hex, mask", by_hand, CALLS, 1, NULL, NULL},
};
enum { SIDES = sizeof sides / sizeof *sides };

static void begin(void) {
    uint64_t noise = 1;
    for (size_t i = 0; i < IDS; i++) {
        uint8_t bytes[12];
        play_noise(bytes, sizeof bytes, &noise);
        play_noise(masks[i], sizeof masks[i], &noise);
        memcpy(ids[i], "h00-", 4);
        for (int j = 0; j < 12; j++) snprintf(ids[i] + 4 + 2 * j, 3, "%02x", bytes[j]);
    }
    number = 0;
    now_ns = 1760000000000000000u;
    memset(frame, 0, sizeof frame);
    frame_len = 1;
}

/* From the same start, after the same number of orders, both have made the same one. */
static void compare(void (*one)(void), void (*other)(void)) {
    static uint8_t first[sizeof frame];
    begin();
    for (int call = 0; call < 2 * IDS; call++) one();
    memcpy(first, frame, sizeof first);
    begin();
    for (int call = 0; call < 2 * IDS; call++) other();
    if (memcmp(first, frame, frame_len) != 0) die("the frames differ");
}

static void leave_frames(const char *folder) {
    for (int i = 0; i < SIDES; i++) {
        char path[512];
        if (sides[i].provide != NULL) sides[i].provide();
        sides[i].call();
        snprintf(path, sizeof path, "%s/%d.frame", folder, i);
        FILE *file = fopen(path, "wb");
        if (file == NULL || fwrite(frame, 1, frame_len, file) != frame_len || fclose(file) != 0)
            die("%s: %s", path, strerror(errno));
    }
}

int main(int argc, char **argv) {
    if (argc != 5) die("order CPU FOLDER BLOCKS CONFIG");
    bench_pin(atoi(argv[1]));
    if (hft_init(NULL) < 0) die("the core fails its self-test");
    config_read(argv[4]);
    config_template(&order, "order");
    openssl_open((const uint8_t *)config_get("secret"), strlen(config_get("secret")));
    api_key = config_get("api_key");
    symbol = config_get("symbol");
    side = config_get("side");
    type = config_get("type");
    price = config_get("price");
    time_in_force = config_get("time_in_force");
    compare(ours, by_hand);
    open_ahead();
    bench_turns(argv[2], sides, SIDES, (size_t)atoll(argv[3]), BLOCK);
    leave_frames(argv[2]);
    return 0;
}
