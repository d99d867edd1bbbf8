/* Orders signed ahead: which is taken when, that none is taken twice, and that each is what a fill would have made. */
#include "check.h"

#include <stdlib.h>

#include <hft/cpu.h>
#include <hft/presign.h>
#include <hft/text.h>

#define STEP_NS 10000000u
#define WINDOW_NS 50000000u
#define COUNT 16
#define START_NS 1645423376532000000u /* in the middle of a step */

enum { CLIENT_ID, TIMESTAMP, QUANTITY, SIGNATURE };

static hft_order_template t, reference;
static hft_presign p;
static uint8_t memory[COUNT * 256];

static int put(hft_order_text *text, const char *literal) {
    return hft_order_put_literal(text, literal, strlen(literal));
}

static void build(hft_order_template *order, unsigned id_max) {
    const hft_order_slot slots[] = {
        {.name = "client_id", .kind = HFT_SLOT_TEXT, .max_len = (uint8_t)id_max, .of = 0, .allowed = hft_order_plain},
        {.name = "timestamp", .kind = HFT_SLOT_TIMESTAMP, .scale = 6, .of = 1},
        {.name = "quantity", .kind = HFT_SLOT_DECIMAL, .scale = 8, .of = 2},
        {.name = "signature", .kind = HFT_SLOT_SIGNATURE_HEX, .of = 3},
    };
    hft_order_init(order);
    for (int i = 0; i < 4; i++) CHECK_EQ(hft_order_add_slot(order, &slots[i]), i);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(put(&order->message, "&"), 0);
        CHECK_EQ(hft_order_put_slot(order, &order->message, i), 0);
        if (i != SIGNATURE) CHECK_EQ(hft_order_put_slot(order, &order->signed_text, i), 0);
    }
    CHECK_EQ(hft_order_seal(order, "secret", 6), HFT_OK);
}

static hft_presign_config config(void) {
    static const hft_order_value values[HFT_ORDER_SLOTS_MAX] = {[QUANTITY] = {.u64 = 1000000}};
    return (hft_presign_config){.order = &t, .timestamp_slot = TIMESTAMP, .id_slot = CLIENT_ID, .values = values,
                                .id_prefix = "p-", .id_prefix_len = 2, .count = COUNT, .step_ns = STEP_NS,
                                .window_ns = WINDOW_NS};
}

static void start(void) {
    build(&t, 36);
    build(&reference, 36);
    CHECK_EQ(hft_presign_size(&t, COUNT) <= sizeof memory, 1);
    hft_presign_config c = config();
    CHECK_EQ(hft_presign_init(&p, &c, memory), HFT_OK);
}

static int refresh(uint64_t now_ns) {
    int n = 0;
    while (hft_presign_refresh(&p, now_ns, NULL) == 1) n++;
    return n;
}

/* Takes one, and holds it against a fill with its values. Returns its timestamp, 0 if there is none. */
static uint64_t take(uint64_t now_ns, char id[16]) {
    hft_presigned order;
    if (!hft_presign_take(&p, &order, now_ns)) return 0;
    hft_order_value values[HFT_ORDER_SLOTS_MAX] = {
        [CLIENT_ID] = {.text = order.id, .text_len = order.id_len}, [TIMESTAMP] = {.u64 = order.timestamp_ns},
        [QUANTITY] = {.u64 = 1000000}};
    CHECK_EQ(order.id_len, 10);
    memcpy(id, order.id, order.id_len);
    id[order.id_len] = '\0';
    CHECK_EQ(hft_order_fill(&reference, values, NULL), order.message_len);
    CHECK_MEM(reference.message.image, order.message, order.message_len);
    return order.timestamp_ns;
}

static void test_taking(void) {
    uint64_t now = START_NS, step = START_NS / STEP_NS;
    char id[16];
    start();
    CHECK_EQ(take(now, id), 0);
    CHECK_EQ(refresh(now), COUNT - COUNT / 4);
    CHECK_EQ(refresh(now), 0);
    CHECK_EQ(take(now, id), step * STEP_NS); /* never one from the future */
    CHECK_EQ(take(now, id), 0);
    CHECK_EQ(refresh(now), 1); /* only that one is made anew */
    CHECK_EQ(refresh(now), 0);
    CHECK_EQ(take(now, id), step * STEP_NS);
    now += 2 * STEP_NS;
    CHECK_EQ(take(now, id), (step + 2) * STEP_NS); /* the newest first, then older ones */
    CHECK_EQ(take(now, id), (step + 1) * STEP_NS);
    CHECK_EQ(take(now, id), 0);
    CHECK_EQ(refresh(now), 3); /* this step's, and two behind those that were there */
}

static void test_window(void) {
    uint64_t step = START_NS / STEP_NS;
    char id[16];
    start();
    refresh(START_NS);
    /* The last one signed is for step + 11. The ring looks back four steps, and not farther than the window. */
    CHECK_EQ(take((step + 15) * STEP_NS, id), (step + 11) * STEP_NS);
    CHECK_EQ(take((step + 15) * STEP_NS, id), 0);
    CHECK_EQ(take((step + 14) * STEP_NS, id), (step + 10) * STEP_NS);
    CHECK_EQ(take((step + 100) * STEP_NS, id), 0);
    hft_presign_config c = config();
    c.window_ns = STEP_NS;
    CHECK_EQ(hft_presign_init(&p, &c, memory), HFT_OK);
    refresh(START_NS);
    CHECK_EQ(take((step + 12) * STEP_NS + 1, id), 0);
    CHECK_EQ(take((step + 12) * STEP_NS, id), (step + 11) * STEP_NS);
    /* The clock was set back: what lies in the future stays there. */
    CHECK_EQ(take((step - 1) * STEP_NS, id), 0);
    CHECK_EQ(refresh((step - 1) * STEP_NS), 1);
    CHECK_EQ(refresh((step - 3) * STEP_NS), 2); /* also where nothing was taken since */
    CHECK_EQ(take((step - 3) * STEP_NS, id), (step - 3) * STEP_NS);
    CHECK_EQ(take((step - 1) * STEP_NS, id), (step - 1) * STEP_NS);
}

static int compare(const void *a, const void *b) { return strcmp(a, b); }

/* No id is given out twice, and one that was signed and never taken is not lost. */
static void test_ids(void) {
    static char ids[1000][16];
    uint64_t now = START_NS;
    start();
    for (int i = 0; i < 1000; i++) {
        refresh(now);
        CHECK_EQ(take(now, ids[i]) != 0, 1);
        now += (uint64_t)(i % 7) * STEP_NS;
    }
    qsort(ids, 1000, sizeof *ids, compare);
    for (int i = 1; i < 1000; i++) CHECK_EQ(strcmp(ids[i - 1], ids[i]) != 0, 1);
    CHECK_EQ(strncmp(ids[0], "p-000", 5), 0);
    CHECK_EQ(strncmp(ids[999], "p-000003f", 9) <= 0, 1); /* about as many as were taken, and not as were signed */
}

static void test_config(void) {
    char prefix[] = "123456789012345678901234567890";
    start();
    for (int wrong = 0; wrong <= 9; wrong++) {
        hft_presign_config c = config();
        int expected = HFT_E_ARGUMENT;
        if (wrong == 0) c.count = 3;
        if (wrong == 1) c.count = HFT_PRESIGN_COUNT_MAX + 1;
        if (wrong == 2) c.step_ns = 0;
        if (wrong == 3) c.window_ns = STEP_NS - 1;
        if (wrong >= 4) expected = HFT_E_ORDER_SLOT;
        if (wrong == 4) c.timestamp_slot = QUANTITY;
        if (wrong == 5) c.id_slot = TIMESTAMP;
        if (wrong == 6) c.id_slot = -1;
        if (wrong == 7) c.timestamp_slot = 4;
        c.id_prefix = prefix;
        c.id_prefix_len = 28;
        if (wrong >= 8) expected = wrong == 8 ? HFT_E_ORDER_VALUE : HFT_OK;
        if (wrong == 8) c.id_prefix_len = 29;
        CHECK_EQ(hft_presign_init(&p, &c, memory), expected);
    }
    hft_presign_config c = config();
    c.id_prefix = "&";
    c.id_prefix_len = 1;
    CHECK_EQ(hft_presign_init(&p, &c, memory), HFT_OK);
    int bad_slot = -1;
    CHECK_EQ(hft_presign_refresh(&p, START_NS, &bad_slot), HFT_E_ORDER_CHARSET);
    CHECK_EQ(bad_slot, CLIENT_ID);
    hft_presigned order;
    CHECK_EQ(hft_presign_take(&p, &order, START_NS), 0);
    hft_order_wipe(&t);
    CHECK_EQ(hft_presign_init(&p, &c, memory), HFT_E_STATE);
}

int main(void) {
    CHECK_EQ(hft_init(NULL), HFT_OK);
    test_taking();
    test_window();
    test_ids();
    test_config();
    return check_done();
}
