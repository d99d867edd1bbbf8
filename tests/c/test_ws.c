/* WebSocket frames: the examples and the rules of RFC 6455 section 5, at every split. */
#include "check.h"

#include <stdlib.h>

#include <hft/ws.h>

#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1

/* What a stream of frames gives: "text:Hello|ping:x|close(1000):bye|error(-14000)". The bytes arrive `step` at a time,
 * in a block of exact size, so that ASan sees any read past the end. */
static const char *read_all(hft_ws_role role, size_t cap, size_t max, const uint8_t *input, size_t len, size_t step) {
    static char out[4096];
    static const char *const names[] = {[1] = "text", [2] = "binary", [8] = "close", [9] = "ping", [10] = "pong"};
    hft_ws_parser parser;
    uint8_t *message = cap != 0 ? malloc(cap) : NULL;
    hft_ws_parser_init(&parser, role, message, cap, max);
    size_t taken = 0, at = 0;
    out[0] = '\0';
    for (size_t have = 0; have < len && parser.failed == 0;) {
        have = have + step < len ? have + step : len;
        for (int rc = 1;;) {
            size_t used, n = have - taken;
            uint8_t *window = malloc(n != 0 ? n : 1);
            memcpy(window, input + taken, n);
            hft_ws_event event;
            rc = hft_ws_parser_next(&parser, &event, &used, window, n);
            CHECK(used <= n);
            taken += used;
            if (rc == 1) CHECK(event.len <= len);
            size_t room = sizeof out - at;
            if (rc == 1 && event.op == HFT_WS_OP_CLOSE)
                at += (size_t)snprintf(out + at, room, "close(%d):%.*s|", event.close_code, (int)event.len, event.data);
            else if (rc == 1)
                at += (size_t)snprintf(out + at, room, "%s:%.*s|", names[event.op], (int)event.len, event.data);
            else if (rc < 0)
                at += (size_t)snprintf(out + at, room, "error(%d)|", rc);
            free(window);
            if (rc < 0) {
                CHECK_EQ(parser.failed, rc);
                CHECK_EQ(parser.err.code, rc);
                CHECK_EQ(used, 0);
            }
            if (rc < 0 || (rc == 0 && used == 0)) break;
        }
    }
    free(message);
    return out;
}

static void check_read(hft_ws_role role, const uint8_t *input, size_t len, const char *expected) {
    for (size_t step = 1; step <= len; step++) CHECK_STR(read_all(role, 64, 1000, input, len, step), expected);
}

static void check_client(const uint8_t *input, size_t len, const char *expected) {
    check_read(HFT_WS_CLIENT, input, len, expected);
}

static void check_error(const uint8_t *input, size_t len, int status) {
    char expected[32];
    snprintf(expected, sizeof expected, "error(%d)|", status);
    check_client(input, len, expected);
}

/* RFC 6455 section 5.7 */
static void test_examples(void) {
    check_client(BYTES("\x81\x05Hello"), "text:Hello|");
    check_read(HFT_WS_SERVER, BYTES("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "text:Hello|");
    check_client(BYTES("\x01\x03Hel\x80\x02lo"), "text:Hello|");
    check_client(BYTES("\x89\x05Hello"), "ping:Hello|");
    check_read(HFT_WS_SERVER, BYTES("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "pong:Hello|");
}

static void test_sequences(void) {
    check_client(BYTES("\x81\x01" "a\x82\x00\x8a\x00\x81\x01" "b"), "text:a|binary:|pong:|text:b|");
    check_client(BYTES("\x01\x01" "a\x89\x01x\x00\x01" "b\x00\x00\x80\x01" "c\x81\x01" "d"), "ping:x|text:abc|text:d|");
    check_client(BYTES("\x02\x01\xff\x80\x00\x01\x00\x80\x01z"), "binary:\xff|text:z|");
    check_client(BYTES("\x88\x00"), "close(1005):|");
    check_client(BYTES("\x88\x02\x03\xe8"), "close(1000):|");
    check_client(BYTES("\x88\x05\x0b\xb8" "bye"), "close(3000):bye|");
    check_client(BYTES("\x01\x01\xc3\x80\x01\xa9"), "text:\xc3\xa9|"); /* a character across fragments */
}

static void test_errors(void) {
    check_error(BYTES("\xc1\x00"), HFT_E_WS_RESERVED);
    check_error(BYTES("\xa1\x00"), HFT_E_WS_RESERVED);
    check_error(BYTES("\x91\x00"), HFT_E_WS_RESERVED);
    for (unsigned op = 3; op < 16; op++) {
        uint8_t frame[2] = {(uint8_t)(0x80 | op), 0};
        if (op < 8 || op > 10) check_error(frame, 2, HFT_E_WS_OPCODE);
    }
    check_error(BYTES("\x81\x85"), HFT_E_WS_MASK);
    check_read(HFT_WS_SERVER, BYTES("\x81\x05Hello"), "error(-14004)|");
    check_error(BYTES("\x09\x00"), HFT_E_WS_CONTROL);
    check_error(BYTES("\x89\x7e\x00\x7e"), HFT_E_WS_CONTROL);
    check_error(BYTES("\x8a\x7f"), HFT_E_WS_CONTROL);
    check_error(BYTES("\x81\x7e\x00\x7d"), HFT_E_WS_LENGTH);
    check_error(BYTES("\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff"), HFT_E_WS_LENGTH);
    check_error(BYTES("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00"), HFT_E_WS_LENGTH);
    check_error(BYTES("\x80\x00"), HFT_E_WS_CONTINUATION);
    check_error(BYTES("\x00\x00"), HFT_E_WS_CONTINUATION);
    check_error(BYTES("\x01\x00\x81\x00"), HFT_E_WS_CONTINUATION);
    check_error(BYTES("\x01\x00\x02\x00"), HFT_E_WS_CONTINUATION);
    check_error(BYTES("\x81\x01\xff"), HFT_E_WS_UTF8);
    check_error(BYTES("\x01\x01\xc3\x80\x00"), HFT_E_WS_UTF8);
    check_error(BYTES("\x88\x01\x03"), HFT_E_WS_CLOSE_CODE);
    check_error(BYTES("\x88\x03\x03\xe8\xff"), HFT_E_WS_UTF8);
}

static void test_close_codes(void) {
    for (unsigned code = 0; code <= UINT16_MAX; code++) {
        uint8_t frame[4] = {0x88, 2, (uint8_t)(code >> 8), (uint8_t)code};
        hft_ws_parser parser;
        hft_ws_event event;
        size_t used;
        hft_ws_parser_init(&parser, HFT_WS_CLIENT, NULL, 0, 0);
        int rc = hft_ws_parser_next(&parser, &event, &used, frame, sizeof frame);
        int never = code < 1000 || (code >= 1004 && code <= 1006) || (code >= 1015 && code <= 2999) || code > 4999;
        CHECK_EQ(rc, never ? HFT_E_WS_CLOSE_CODE : 1);
        if (rc == 1) CHECK_EQ(event.close_code, code);
        CHECK_EQ(hft_ws_build_frame(frame, sizeof frame, HFT_WS_OP_CLOSE, frame + 2, 2, NULL), never ? rc : 4);
    }
    CHECK_EQ(hft_ws_close_code(HFT_E_WS_UTF8), 1007);
    CHECK_EQ(hft_ws_close_code(HFT_E_WS_TOO_LARGE), 1009);
    CHECK_EQ(hft_ws_close_code(HFT_E_WS_MASK), 1002);
    CHECK_EQ(hft_ws_close_code(HFT_E_WS_CLOSE_CODE), 1002);
}

static void test_limits(void) {
    static const char whole[] = "\x81\x05Hello", parts[] = "\x01\x03Hel\x80\x02lo";
    CHECK_STR(read_all(HFT_WS_CLIENT, 0, 5, BYTES(whole), 1), "text:Hello|");
    CHECK_STR(read_all(HFT_WS_CLIENT, 9, 4, BYTES(whole), 1), "error(-14006)|");
    CHECK_STR(read_all(HFT_WS_CLIENT, 5, 5, BYTES(parts), 1), "text:Hello|");
    CHECK_STR(read_all(HFT_WS_CLIENT, 4, 5, BYTES(parts), 1), "error(-14006)|");
    CHECK_STR(read_all(HFT_WS_CLIENT, 5, 4, BYTES(parts), 1), "error(-14006)|");
    CHECK_STR(read_all(HFT_WS_CLIENT, 0, 5, BYTES(parts), 1), "error(-14006)|");
    CHECK_STR(read_all(HFT_WS_CLIENT, 0, 0, BYTES("\x89\x05Hello"), 1), "ping:Hello|"); /* not a message */
    /* The length alone is enough: nobody waits for 2^62 bytes. */
    CHECK_STR(read_all(HFT_WS_CLIENT, 5, 5, BYTES("\x82\x7f\x40\x00\x00\x00\x00\x00\x00\x00"), 10), "error(-14006)|");
    CHECK_STR(read_all(HFT_WS_CLIENT, 5, SIZE_MAX, BYTES("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), 10), "");
}

static void test_failed_stays_failed(void) {
    hft_ws_parser parser;
    hft_ws_event event;
    size_t used = 7;
    hft_ws_parser_init(&parser, HFT_WS_CLIENT, NULL, 0, 100);
    uint8_t bad[] = {0x83, 0}, good[] = {0x81, 0};
    CHECK_EQ(hft_ws_parser_next(&parser, &event, &used, bad, 2), HFT_E_WS_OPCODE);
    CHECK_EQ(hft_ws_parser_next(&parser, &event, &used, good, 2), HFT_E_WS_OPCODE);
    CHECK_EQ(used, 0);
}

static void test_mask(void) {
    const uint8_t mask[4] = {0x01, 0x80, 0xff, 0x5a};
    uint8_t data[200], expected[200], frame[sizeof data + HFT_WS_HEADER_MAX];
    for (size_t offset = 0; offset < 3; offset++) {
        for (size_t len = 0; len + offset < sizeof data; len++) {
            for (size_t i = 0; i < sizeof data; i++) {
                data[i] = expected[i] = (uint8_t)(i * 7);
                if (i >= offset && i < offset + len) expected[i] ^= mask[(i - offset) % 4];
            }
            int built = hft_ws_build_frame(frame, sizeof frame, HFT_WS_OP_BINARY, data + offset, len, mask);
            CHECK_EQ(built, hft_ws_header_size(len, 1) + len);
            CHECK_MEM(frame + hft_ws_header_size(len, 1), expected + offset, len);
            hft_ws_mask(data + offset, len, mask);
            CHECK_MEM(data, expected, sizeof data);
        }
    }
}

static void check_header(size_t payload_len, const uint8_t *expected, size_t len) {
    uint8_t out[HFT_WS_HEADER_MAX];
    const uint8_t mask[4] = {1, 2, 3, 4};
    CHECK_EQ(hft_ws_header_size(payload_len, 0), len);
    CHECK_EQ(hft_ws_put_header(out, HFT_WS_OP_TEXT, payload_len, NULL), len);
    CHECK_MEM(out, expected, len);
    CHECK_EQ(hft_ws_header_size(payload_len, 1), len + 4);
    CHECK_EQ(hft_ws_put_header(out, HFT_WS_OP_TEXT, payload_len, mask), len + 4);
    CHECK_EQ(out[1], expected[1] | 0x80);
    CHECK_MEM(out + 2, expected + 2, len - 2);
    CHECK_MEM(out + len, mask, 4);
}

static void test_headers(void) {
    check_header(0, BYTES("\x81\x00"));
    check_header(125, BYTES("\x81\x7d"));
    check_header(126, BYTES("\x81\x7e\x00\x7e"));
    check_header(65535, BYTES("\x81\x7e\xff\xff"));
    check_header(65536, BYTES("\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"));
    check_header(0x123456789a, BYTES("\x81\x7f\x00\x00\x00\x12\x34\x56\x78\x9a"));
}

static void test_build(void) {
    uint8_t out[300], payload[256] = {0};
    CHECK_EQ(hft_ws_build_frame(out, 7, HFT_WS_OP_TEXT, "Hello", 5, NULL), 7);
    CHECK_MEM(out, "\x81\x05Hello", 7);
    CHECK_EQ(hft_ws_build_frame(out, 11, HFT_WS_OP_TEXT, "Hello", 5, (const uint8_t *)"\x37\xfa\x21\x3d"), 11);
    CHECK_MEM(out, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
    CHECK_EQ(hft_ws_build_frame(out, 6, HFT_WS_OP_TEXT, "Hello", 5, NULL), HFT_E_CAPACITY);
    CHECK_EQ(hft_ws_build_frame(out, 2, HFT_WS_OP_PING, NULL, 0, NULL), 2);
    CHECK_EQ(hft_ws_build_frame(out, sizeof out, HFT_WS_OP_PING, payload, 125, NULL), 127);
    CHECK_EQ(hft_ws_build_frame(out, sizeof out, HFT_WS_OP_PING, payload, 126, NULL), HFT_E_WS_CONTROL);
    CHECK_EQ(hft_ws_build_frame(out, sizeof out, HFT_WS_OP_CONTINUATION, payload, 1, NULL), HFT_E_WS_OPCODE);
    CHECK_EQ(hft_ws_build_frame(out, sizeof out, (hft_ws_op)3, payload, 1, NULL), HFT_E_WS_OPCODE);
    CHECK_EQ(hft_ws_build_frame(out, sizeof out, (hft_ws_op)257, payload, 1, NULL), HFT_E_WS_OPCODE);
    CHECK_EQ(hft_ws_build_frame(out, sizeof out, HFT_WS_OP_CLOSE, payload, 1, NULL), HFT_E_WS_CLOSE_CODE);
    CHECK_EQ(hft_ws_build_frame(out, sizeof out, HFT_WS_OP_CLOSE, "\x03\xe8\xff", 3, NULL), HFT_E_WS_UTF8);
    CHECK_EQ(hft_ws_build_frame(out, SIZE_MAX, HFT_WS_OP_TEXT, payload, SIZE_MAX - 5, NULL), HFT_E_CAPACITY);
}

int main(void) {
    test_examples();
    test_sequences();
    test_errors();
    test_close_codes();
    test_limits();
    test_failed_stays_failed();
    test_mask();
    test_headers();
    test_build();
    return check_done();
}
