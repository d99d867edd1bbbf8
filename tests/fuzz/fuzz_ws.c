/* Any bytes, to both roles: the events and the error are the same whether the bytes come at once or one by one. */
#include <stdlib.h>
#include <string.h>

#include <hft/text.h>
#include <hft/ws.h>

#define REQUIRE(cond) ((cond) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_CAP = 300, MESSAGE_MAX = 600 };

typedef struct {
    uint64_t digest;
    size_t used;
    int status;
} outcome;

static void mix(outcome *o, const void *data, size_t len) {
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++) o->digest = (o->digest ^ bytes[i]) * UINT64_C(0x100000001b3);
}

static void take(outcome *o, const hft_ws_event *event) {
    mix(o, &event->op, 1);
    mix(o, &event->len, sizeof event->len);
    mix(o, &event->close_code, sizeof event->close_code);
    mix(o, event->data, event->len);
    REQUIRE(event->op == HFT_WS_OP_TEXT || event->op == HFT_WS_OP_BINARY || event->op >= HFT_WS_OP_CLOSE);
    REQUIRE(event->len <= (event->op < HFT_WS_OP_CLOSE ? MESSAGE_MAX : 125));
    if (event->op == HFT_WS_OP_TEXT) REQUIRE(hft_utf8_valid(event->data, event->len));
}

/* The bytes of data, `step` more at a time. */
static outcome parse(hft_ws_role role, const uint8_t *data, size_t size, size_t step) {
    uint8_t message[MESSAGE_CAP];
    uint8_t *copy = malloc(size);
    if (copy == NULL) abort();
    memcpy(copy, data, size);
    hft_ws_parser parser;
    hft_ws_parser_init(&parser, role, message, sizeof message, MESSAGE_MAX);
    outcome o = {.digest = UINT64_C(0xcbf29ce484222325)};
    for (size_t have = 0; have < size && o.status == 0;) {
        have = size - have < step ? size : have + step;
        for (;;) {
            hft_ws_event event;
            size_t used;
            int rc = hft_ws_parser_next(&parser, &event, &used, copy + o.used, have - o.used);
            REQUIRE(used <= have - o.used);
            o.used += used;
            if (rc == 1) take(&o, &event);
            if (rc < 0) o.status = rc;
            if (rc < 0 || (rc == 0 && used == 0)) break;
        }
    }
    free(copy);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    for (int role = HFT_WS_CLIENT; role <= HFT_WS_SERVER; role++) {
        outcome whole = parse((hft_ws_role)role, data, size, size), split = parse((hft_ws_role)role, data, size, 1);
        REQUIRE(whole.digest == split.digest && whole.used == split.used && whole.status == split.status);
    }
    /* What is built is read back. */
    uint8_t frame[400], mask[4] = {data[0], 0x5a, 0xff, 0x01};
    size_t len = size < 300 ? size : 300;
    int built = hft_ws_build_frame(frame, sizeof frame, (hft_ws_op)(data[0] & 15), data, len, mask);
    if (built < 0 || ((data[0] & 15) == HFT_WS_OP_TEXT && !hft_utf8_valid(data, len))) return 0;
    hft_ws_parser parser;
    hft_ws_event event;
    size_t used;
    hft_ws_parser_init(&parser, HFT_WS_SERVER, NULL, 0, MESSAGE_MAX);
    REQUIRE(hft_ws_parser_next(&parser, &event, &used, frame, (size_t)built) == 1 && used == (size_t)built);
    size_t skip = event.op == HFT_WS_OP_CLOSE ? 2 : 0;
    REQUIRE(event.op == (data[0] & 15) && event.len + skip == len && memcmp(event.data, data + skip, event.len) == 0);
    return 0;
}
