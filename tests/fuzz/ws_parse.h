/* What the fuzzers of WebSocket frames share: any bytes give the same events and the same error at the same place,
 * however they are split and whatever is waited for; and what is built is read back. */
#ifndef WS_PARSE_H
#define WS_PARSE_H

#include <stdlib.h>
#include <string.h>

#include <hft/text.h>
#include <hft/ws.h>

#define REQUIRE(cond) ((cond) ? (void)0 : abort())

enum { MESSAGE_CAP = 300, MESSAGE_MAX = 600 };

typedef struct {
    uint64_t digest;
    size_t end; /* of what was consumed; of an error, its place */
    int status;
} outcome;

static void mix(outcome *o, const void *data, size_t len) {
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++) o->digest = (o->digest ^ bytes[i]) * UINT64_C(0x100000001b3);
}

static void take(outcome *o, const hft_ws_event *event) {
    mix(o, &event->op, 1);
    mix(o, &event->compressed, 1);
    mix(o, &event->len, sizeof event->len);
    mix(o, &event->close_code, sizeof event->close_code);
    mix(o, event->data, event->len);
    REQUIRE(event->op == HFT_WS_OP_TEXT || event->op == HFT_WS_OP_BINARY || event->op >= HFT_WS_OP_CLOSE);
    REQUIRE(event->len <= (event->op < HFT_WS_OP_CLOSE ? MESSAGE_MAX : 125));
    if (event->op == HFT_WS_OP_TEXT && !event->compressed) REQUIRE(hft_utf8_valid(event->data, event->len));
}

/* The bytes of data, `step` more at a time. */
static outcome parse(hft_ws_parser *parser, const uint8_t *data, size_t size, size_t step) {
    uint8_t *copy = malloc(size);
    if (copy == NULL) abort();
    memcpy(copy, data, size);
    outcome o = {.digest = UINT64_C(0xcbf29ce484222325)};
    for (size_t have = 0; have < size && o.status == 0;) {
        have = size - have < step ? size : have + step;
        for (;;) {
            hft_ws_event event;
            size_t used;
            int rc = hft_ws_parser_next(parser, &event, &used, copy + o.end, have - o.end);
            REQUIRE(used <= have - o.end);
            o.end += used;
            if (rc == 1) take(&o, &event);
            if (rc < 0) o.status = rc;
            if (rc < 0 || (rc == 0 && used == 0)) break;
        }
    }
    if (o.status < 0) {
        REQUIRE(o.end + parser->err.pos <= size);
        o.end += parser->err.pos;
    }
    free(copy);
    return o;
}

static outcome parse_anew(hft_ws_role role, uint8_t deflate, size_t cap, size_t inplace_max, const uint8_t *data,
                          size_t size, size_t step) {
    uint8_t *message = malloc(cap);
    if (message == NULL) abort();
    hft_ws_parser parser;
    hft_ws_parser_init(&parser, role, message, cap, MESSAGE_MAX, inplace_max);
    parser.deflate = deflate;
    outcome o = parse(&parser, data, size, step);
    free(message);
    return o;
}

/* Once whole and in place, once in a way that the input chooses. */
static void check_splits(hft_ws_role role, const uint8_t *data, size_t size) {
    static const struct { size_t inplace_max, step; } ways[] = {
        {0, 1}, {0, 7}, {0, 64}, {100, 1}, {100, 3}, {SIZE_MAX, 1}, {SIZE_MAX, 5}, {SIZE_MAX, 64},
    };
    outcome choice = {.digest = UINT64_C(0xcbf29ce484222325)};
    mix(&choice, data, size);
    unsigned way = choice.digest >> 32 & 7;
    uint8_t deflate = choice.digest >> 35 & 1;
    /* Limits do not depend on what is waited for if the buffer holds all that may come. */
    size_t cap = ways[way].inplace_max == SIZE_MAX ? MESSAGE_CAP : MESSAGE_MAX;
    outcome whole = parse_anew(role, deflate, cap, SIZE_MAX, data, size, size);
    outcome split = parse_anew(role, deflate, cap, ways[way].inplace_max, data, size, ways[way].step);
    REQUIRE(whole.digest == split.digest && whole.status == split.status);
    if (whole.status < 0) REQUIRE(whole.end == split.end);
}

/* The parser's side reads what the other side builds. */
static void check_built(hft_ws_role role, const uint8_t *data, size_t size) {
    uint8_t frame[400], mask[4] = {data[0], 0x5a, 0xff, 0x01};
    size_t len = size < 300 ? size : 300;
    hft_ws_op op = (hft_ws_op)(data[0] & 15);
    int built = hft_ws_build_frame(frame, sizeof frame, op, data, len, role == HFT_WS_SERVER ? mask : NULL);
    if (built < 0 || (op == HFT_WS_OP_TEXT && !hft_utf8_valid(data, len))) return;
    hft_ws_parser parser;
    hft_ws_event event;
    size_t used;
    hft_ws_parser_init(&parser, role, NULL, 0, MESSAGE_MAX, SIZE_MAX);
    REQUIRE(hft_ws_parser_next(&parser, &event, &used, frame, (size_t)built) == 1 && used == (size_t)built);
    size_t skip = event.op == HFT_WS_OP_CLOSE && len != 0 ? 2 : 0;
    REQUIRE(event.op == op && event.len + skip == len && memcmp(event.data, data + skip, event.len) == 0);
}

static int fuzz_role(hft_ws_role role, const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    check_splits(role, data, size);
    check_built(role, data, size);
    return 0;
}

#endif
