/* WebSocket frames: the examples and the rules of RFC 6455 section 5, at every split. */
#include "check.h"

#include <stdlib.h>

#include <hft/ws.h>

#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1

/* How a stream is read: by whom, within which limits, and how many bytes arrive at a time. */
typedef struct {
    hft_ws_role role;
    uint8_t deflate;
    size_t cap, max, inplace_max, step;
} reading;

static size_t put_event(char *out, size_t room, const hft_ws_event *event) {
    static const char *const names[] = {[1] = "text", [2] = "binary", [8] = "close", [9] = "ping", [10] = "pong"};
    const char *compressed = event->compressed ? "compressed " : "";
    if (event->op == HFT_WS_OP_CLOSE)
        return (size_t)snprintf(out, room, "close(%d):%.*s|", event->close_code, (int)event->len, event->data);
    return (size_t)snprintf(out, room, "%s%s:%.*s|", compressed, names[event->op], (int)event->len, event->data);
}

/* What a stream of frames gives: "text:Hello|ping:x|close(1000):bye|error(-14000)@24|", 24 being where the fault is.
 * Each call gets a block of exact size, so that ASan sees any access beyond it. */
static const char *read_all(reading how, const uint8_t *input, size_t len) {
    static char out[4096];
    hft_ws_parser parser;
    uint8_t *message = how.cap != 0 ? malloc(how.cap) : NULL, *data = malloc(len);
    memcpy(data, input, len);
    hft_ws_parser_init(&parser, how.role, message, how.cap, how.max, how.inplace_max);
    parser.deflate = how.deflate;
    size_t taken = 0, at = 0;
    out[0] = '\0';
    for (size_t have = 0; have < len && parser.failed == 0;) {
        have = len - have > how.step ? have + how.step : len;
        for (int rc = 1;;) {
            size_t used, n = have - taken;
            uint8_t *window = malloc(n != 0 ? n : 1);
            memcpy(window, data + taken, n);
            hft_ws_event event;
            rc = hft_ws_parser_next(&parser, &event, &used, window, n);
            CHECK(used <= n);
            if (rc == 1) CHECK(event.len <= len);
            if (rc == 1) at += put_event(out + at, sizeof out - at, &event);
            if (rc < 0) {
                at += (size_t)snprintf(out + at, sizeof out - at, "error(%d)@%zu|", rc, taken + parser.err.pos);
                CHECK_EQ(parser.failed, rc);
                CHECK_EQ(parser.err.code, rc);
                CHECK_EQ(used, 0);
            }
            memcpy(data + taken, window, n); /* what is not consumed is given again as it was left */
            taken += used;
            free(window);
            if (rc < 0 || (rc == 0 && used == 0)) break;
        }
    }
    free(message);
    free(data);
    return out;
}

/* The same, however it is split, and whatever is waited for. */
static void check_reading(reading how, const uint8_t *input, size_t len, const char *expected) {
    static const size_t inplace[] = {0, 6, 7, 10, 11, 40, SIZE_MAX};
    for (size_t i = 0; i < sizeof inplace / sizeof *inplace; i++) {
        how.inplace_max = inplace[i];
        for (how.step = 1; how.step <= len; how.step++) CHECK_STR(read_all(how, input, len), expected);
    }
}

static void check_read(hft_ws_role role, const uint8_t *input, size_t len, const char *expected) {
    check_reading((reading){.role = role, .cap = 200, .max = 1000}, input, len, expected);
}

static void check_client(const uint8_t *input, size_t len, const char *expected) {
    check_read(HFT_WS_CLIENT, input, len, expected);
}

static void check_error(const uint8_t *input, size_t len, int status, size_t pos) {
    char expected[64];
    snprintf(expected, sizeof expected, "error(%d)@%zu|", status, pos);
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
    check_error(BYTES("\xc1\x00"), HFT_E_WS_RESERVED, 0);
    check_error(BYTES("\xa1\x00"), HFT_E_WS_RESERVED, 0);
    check_error(BYTES("\x91\x00"), HFT_E_WS_RESERVED, 0);
    for (unsigned op = 3; op < 16; op++) {
        uint8_t frame[2] = {(uint8_t)(0x80 | op), 0};
        if (op < 8 || op > 10) check_error(frame, 2, HFT_E_WS_OPCODE, 0);
    }
    check_error(BYTES("\x81\x85"), HFT_E_WS_MASK, 1);
    check_read(HFT_WS_SERVER, BYTES("\x81\x05Hello"), "error(-14004)@1|");
    check_error(BYTES("\x09\x00"), HFT_E_WS_CONTROL, 0);
    check_error(BYTES("\x89\x7e\x00\x7e"), HFT_E_WS_CONTROL, 1);
    check_error(BYTES("\x8a\x7f"), HFT_E_WS_CONTROL, 1);
    check_error(BYTES("\x81\x7e\x00\x7d"), HFT_E_WS_LENGTH, 2);
    check_error(BYTES("\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff"), HFT_E_WS_LENGTH, 2);
    check_error(BYTES("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00"), HFT_E_WS_LENGTH, 2);
    check_error(BYTES("\x80\x00"), HFT_E_WS_CONTINUATION, 0);
    check_error(BYTES("\x00\x00"), HFT_E_WS_CONTINUATION, 0);
    check_error(BYTES("\x01\x00\x81\x00"), HFT_E_WS_CONTINUATION, 2);
    check_error(BYTES("\x01\x00\x02\x00"), HFT_E_WS_CONTINUATION, 2);
    check_error(BYTES("\x88\x01\x03"), HFT_E_WS_CLOSE_CODE, 2);
    check_error(BYTES("\x88\x03\x03\xe8\xff"), HFT_E_WS_UTF8, 2);
}

/* RFC 6455 section 8.1: the byte that no text can have there is the end, without a byte of what was to follow. */
static void test_text_as_it_arrives(void) {
    check_error(BYTES("\x81\x01\xff"), HFT_E_WS_UTF8, 2);
    check_error(BYTES("\x81\x7d" "a\xff"), HFT_E_WS_UTF8, 3);
    check_error(BYTES("\x01\x3f" "ab\xed\xa0"), HFT_E_WS_UTF8, 5); /* half of a surrogate */
    check_error(BYTES("\x01\x3f" "a\xe0\x9f"), HFT_E_WS_UTF8, 4);  /* overlong, */
    check_error(BYTES("\x01\x3f" "a\xf0\x8f"), HFT_E_WS_UTF8, 4);  /* and of four bytes */
    check_error(BYTES("\x01\x3f" "a\xc1"), HFT_E_WS_UTF8, 3);
    check_error(BYTES("\x01\x01\xf4\x00\x00\x80\x09\x90"), HFT_E_WS_UTF8, 7); /* beyond U+10FFFF, cut after one byte */
    check_error(BYTES("\x01\x01\xc3\x80\x00"), HFT_E_WS_UTF8, 5);
    check_error(BYTES("\x01\x03\xe2\x82\xac\x80\x01\x82"), HFT_E_WS_UTF8, 7);
    check_error(BYTES("\x81\x02\xe2\x82"), HFT_E_WS_UTF8, 4); /* cut short by the end */
    check_read(HFT_WS_SERVER, BYTES("\x81\xfd\x01\x02\x03\x04``\xfb"), "error(-14007)@8|");
    check_client(BYTES("\x02\x02\xe2\xff\x80\x02\xff\xff"), "binary:\xe2\xff\xff\xff|");
    check_client(BYTES("\x01\x01\xf0\x00\x01\x9f\x89\x01?\x00\x00\x00\x01\x92\x80\x01\xb6\x81\x02\xc3\xa9"),
                 "ping:?|text:\xf0\x9f\x92\xb6|text:\xc3\xa9|");
}

/* RFC 7692: RSV1 on a message's first frame, where the extension was agreed on. */
static void test_compressed(void) {
    reading how = {.role = HFT_WS_CLIENT, .deflate = 1, .cap = 64, .max = 1000};
    check_reading(how, BYTES("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x01"), "compressed text:\xf2\x48\xcd\xc9\xc9\x07\x01|");
    check_reading(how, BYTES("\x41\x03\xf2\x48\xcd\x89\x01?\x80\x04\xc9\xc9\x07\x01"),
                  "ping:?|compressed text:\xf2\x48\xcd\xc9\xc9\x07\x01|");
    check_reading(how, BYTES("\xc2\x01\xff\x82\x01\xff\x81\x01\xff"),
                  "compressed binary:\xff|binary:\xff|error(-14007)@8|");
    check_reading(how, BYTES("\xc1\x01\xff\x01\x01\xff"), "compressed text:\xff|error(-14007)@5|");
    check_reading(how, BYTES("\x41\x00\xc0\x00"), "error(-14001)@2|"); /* not of a continuation, */
    check_reading(how, BYTES("\xc9\x00"), "error(-14001)@0|");         /* nor of a control frame */
    check_reading(how, BYTES("\xe1\x00"), "error(-14001)@0|");
    check_reading(how, BYTES("\xd1\x00"), "error(-14001)@0|");
    how.role = HFT_WS_SERVER;
    check_reading(how, BYTES("\xc2\x83\x01\x02\x03\x04" "abc\x82\x81\x01\x02\x03\x04" "a"),
                  "compressed binary:```|binary:`|");
}

static void test_close_codes(void) {
    for (unsigned code = 0; code <= UINT16_MAX; code++) {
        uint8_t frame[4] = {0x88, 2, (uint8_t)(code >> 8), (uint8_t)code};
        hft_ws_parser parser;
        hft_ws_event event;
        size_t used;
        hft_ws_parser_init(&parser, HFT_WS_CLIENT, NULL, 0, 0, 0);
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

static const char *read_limited(size_t cap, size_t max, size_t inplace_max, const uint8_t *input, size_t len) {
    return read_all((reading){HFT_WS_CLIENT, 0, cap, max, inplace_max, 1}, input, len);
}

static void test_limits(void) {
    static const char whole[] = "\x81\x05Hello", parts[] = "\x01\x03Hel\x80\x02lo";
    CHECK_STR(read_limited(0, 5, 7, BYTES(whole)), "text:Hello|");
    CHECK_STR(read_limited(9, 4, 7, BYTES(whole)), "error(-14006)@1|");
    CHECK_STR(read_limited(5, 5, 6, BYTES(whole)), "text:Hello|"); /* too long to wait for: it needs the buffer */
    CHECK_STR(read_limited(4, 5, 6, BYTES(whole)), "error(-14006)@1|");
    CHECK_STR(read_limited(9, 4, 6, BYTES(whole)), "error(-14006)@1|");
    CHECK_STR(read_limited(5, 5, SIZE_MAX, BYTES(parts)), "text:Hello|");
    CHECK_STR(read_limited(4, 5, SIZE_MAX, BYTES(parts)), "error(-14006)@6|");
    CHECK_STR(read_limited(5, 4, SIZE_MAX, BYTES(parts)), "error(-14006)@6|");
    CHECK_STR(read_limited(0, 5, SIZE_MAX, BYTES(parts)), "error(-14006)@1|");
    CHECK_STR(read_limited(0, 0, 0, BYTES("\x89\x05Hello")), "ping:Hello|"); /* not a message */
    CHECK_STR(read_limited(0, 0, 0, BYTES("\x81\x00\x01\x00\x80\x00")), "text:|text:|");
    /* The length alone is enough: nobody waits for 2^62 bytes. */
    static const char long_frame[] = "\x82\x7f\x40\x00\x00\x00\x00\x00\x00\x00";
    CHECK_STR(read_limited(5, 5, SIZE_MAX, BYTES(long_frame)), "error(-14006)@2|");
    CHECK_STR(read_limited(5, SIZE_MAX, 0, BYTES(long_frame)), "error(-14006)@2|");
    CHECK_STR(read_limited(5, SIZE_MAX, SIZE_MAX, BYTES("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff")), "");
}

/* Whose memory an event shows: the caller's, if the frame was waited for, or was there anyway. */
static void test_in_place(void) {
    uint8_t data[] = "\x82\x05Hello", message[5];
    for (size_t inplace_max = 6; inplace_max <= 7; inplace_max++) {
        hft_ws_parser parser;
        hft_ws_event event;
        size_t used;
        hft_ws_parser_init(&parser, HFT_WS_CLIENT, message, sizeof message, 5, inplace_max);
        CHECK_EQ(hft_ws_parser_next(&parser, &event, &used, data, 7), 1);
        CHECK(event.data == data + 2 && used == 7);
        CHECK_EQ(hft_ws_parser_next(&parser, &event, &used, data, 4), 0);
        CHECK_EQ(used, inplace_max == 7 ? 0 : 4);
        CHECK_EQ(hft_ws_parser_next(&parser, &event, &used, data + used, 7 - used), 1);
        CHECK(event.data == (inplace_max == 7 ? data + 2 : message) && used == (inplace_max == 7 ? 7 : 3));
        CHECK(event.len == 5 && memcmp(event.data, "Hello", 5) == 0);
    }
}

/* A long masked frame in pieces of every size: the mask goes on where it stopped. */
static void test_long_masked(void) {
    enum { LEN = 150 };
    static const uint8_t mask[4] = {0x11, 0x92, 0x33, 0x54};
    uint8_t frame[LEN + 8];
    char expected[LEN + 16] = "text:", *text = expected + 5;
    for (size_t i = 0; i < LEN; i++) text[i] = (char)('a' + i % 26);
    text[LEN] = '|';
    frame[0] = 0x81;
    frame[1] = 0x80 | 126;
    frame[2] = 0;
    frame[3] = LEN;
    memcpy(frame + 4, mask, 4);
    for (size_t i = 0; i < LEN; i++) frame[8 + i] = (uint8_t)text[i] ^ mask[i % 4];
    reading how = {.role = HFT_WS_SERVER, .cap = LEN, .max = LEN};
    check_reading(how, frame, sizeof frame, expected);
}

static void test_failed_stays_failed(void) {
    hft_ws_parser parser;
    hft_ws_event event;
    size_t used = 7;
    hft_ws_parser_init(&parser, HFT_WS_CLIENT, NULL, 0, 100, 0);
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

/* A payload in two pieces, into another buffer and in place. */
static void test_mask_from(void) {
    const uint8_t mask[4] = {0x01, 0x80, 0xff, 0x5a};
    uint8_t data[150], whole[sizeof data], out[sizeof data];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 7);
    memcpy(whole, data, sizeof data);
    hft_ws_mask(whole, sizeof whole, mask);
    for (size_t cut = 0; cut <= sizeof data; cut++) {
        hft_ws_mask_from(out, data, cut, mask, 0);
        hft_ws_mask_from(out + cut, data + cut, sizeof data - cut, mask, cut);
        CHECK_MEM(out, whole, sizeof data);
        hft_ws_mask_from(out + cut, out + cut, sizeof data - cut, mask, cut + (SIZE_MAX - 3));
        CHECK_MEM(out + cut, data + cut, sizeof data - cut);
    }
}

static void check_header(size_t payload_len, const uint8_t *expected, size_t len) {
    uint8_t out[HFT_WS_HEADER_MAX];
    const uint8_t mask[4] = {1, 2, 3, 4};
    CHECK_EQ(hft_ws_header_size(payload_len, 0), len);
    CHECK_EQ(hft_ws_put_header(out, HFT_WS_OP_TEXT, 0, payload_len, NULL), len);
    CHECK_MEM(out, expected, len);
    CHECK_EQ(hft_ws_header_size(payload_len, 1), len + 4);
    CHECK_EQ(hft_ws_put_header(out, HFT_WS_OP_TEXT, 0, payload_len, mask), len + 4);
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
    uint8_t out[HFT_WS_HEADER_MAX];
    static const uint8_t first[] = {0x82, 0x02, 0xc2, 0x42}; /* by flags */
    for (unsigned flags = 0; flags < 4; flags++) {
        CHECK_EQ(hft_ws_put_header(out, HFT_WS_OP_BINARY, flags, 5, NULL), 2);
        CHECK_EQ(out[0], first[flags]);
        CHECK_EQ(out[1], 5);
    }
    CHECK_EQ(hft_ws_put_header(out, HFT_WS_OP_CONTINUATION, HFT_WS_FLAG_MORE, 5, NULL), 2);
    CHECK_EQ(out[0], 0);
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
    test_text_as_it_arrives();
    test_compressed();
    test_close_codes();
    test_limits();
    test_in_place();
    test_long_masked();
    test_failed_stays_failed();
    test_mask();
    test_mask_from();
    test_headers();
    test_build();
    return check_done();
}
