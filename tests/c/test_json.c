/* JSON extraction: what is found, what is refused, and that no truncation passes. */
#include "check.h"

#include <stdlib.h>

#include <hft/json.h>

static const char REPLY[] =
    "{ \"id\":\"h1-000001\", \"status\":200,\"result\":{\"symbol\":\"BTCUSDT\",\"orderId\":12569099453,"
    "\"orderListId\":-1,\"fills\":[{\"price\":\"1.5\",\"id\":3},{}],\"empty\":{},\"ok\":true,\"no\":false,"
    "\"nil\":null,\"x\":-0.5e+10}\t,\r\n\"rateLimits\":[[],[1,2]], \"\":\"\xc3\xa9\\u00e9\"} ";

static void extract(hft_json_value *value, const char *path_text, const char *text, size_t len, int expected) {
    hft_json_path path;
    CHECK_EQ(hft_json_path_init(&path, path_text, strlen(path_text)), 0);
    /* A copy of exact size: reading past the end is then an error under ASan. */
    char *copy = malloc(len != 0 ? len : 1);
    memcpy(copy, text, len);
    CHECK_EQ(hft_json_extract(value, &path, 1, copy, len, NULL), expected);
    if (value->ptr != NULL) value->ptr = text + (value->ptr - copy);
    free(copy);
}

static void check_value(const char *path, const char *text, hft_json_type type, const char *expected) {
    hft_json_value value;
    extract(&value, path, text, strlen(text), 0);
    CHECK_EQ(value.type, type);
    CHECK_EQ(value.ptr == NULL, type == HFT_JSON_ABSENT);
    CHECK_EQ(value.len, strlen(expected));
    if (value.len == strlen(expected)) CHECK_MEM(value.ptr, expected, value.len);
}

static void test_values(void) {
    check_value("id", REPLY, HFT_JSON_STRING, "h1-000001");
    check_value("status", REPLY, HFT_JSON_NUMBER, "200");
    check_value("result.orderId", REPLY, HFT_JSON_NUMBER, "12569099453");
    check_value("result.orderListId", REPLY, HFT_JSON_NUMBER, "-1");
    check_value("result.fills", REPLY, HFT_JSON_ARRAY, "[{\"price\":\"1.5\",\"id\":3},{}]");
    check_value("result.empty", REPLY, HFT_JSON_OBJECT, "{}");
    check_value("result.ok", REPLY, HFT_JSON_TRUE, "true");
    check_value("result.no", REPLY, HFT_JSON_FALSE, "false");
    check_value("result.nil", REPLY, HFT_JSON_NULL, "null");
    check_value("result.x", REPLY, HFT_JSON_NUMBER, "-0.5e+10");
    check_value("rateLimits", REPLY, HFT_JSON_ARRAY, "[[],[1,2]]");
    check_value("result.price", REPLY, HFT_JSON_ABSENT, "");   /* lies in an array */
    check_value("status.deeper", REPLY, HFT_JSON_ABSENT, "");  /* is a number */
    check_value("result", "[{\"result\":1}]", HFT_JSON_ABSENT, "");
    check_value("resul", REPLY, HFT_JSON_ABSENT, "");
    check_value("resultX", REPLY, HFT_JSON_ABSENT, "");
    check_value("a", "{\"\\u0061\":1,\"a\":2}", HFT_JSON_NUMBER, "2");
    check_value("\\u0061", "{\"\\u0061\":1}", HFT_JSON_ABSENT, ""); /* nor does its raw text */
    check_value("a", " 7 ", HFT_JSON_ABSENT, "");
    check_value("a.b.c.d", "{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":1}}}}}", HFT_JSON_OBJECT, "{\"e\":1}");
}

static void test_duplicates(void) {
    check_value("a", "{\"a\":1,\"a\":2}", HFT_JSON_NUMBER, "1");
    check_value("a.b", "{\"a\":{\"b\":1,\"b\":2},\"a\":{\"b\":3}}", HFT_JSON_NUMBER, "1");
    check_value("a.c", "{\"a\":{\"b\":1},\"a\":{\"c\":3}}", HFT_JSON_ABSENT, "");
    check_value("a.c", "{\"a\":5,\"a\":{\"c\":3}}", HFT_JSON_ABSENT, "");
}

static void test_many_paths(void) {
    hft_json_path paths[HFT_JSON_PATHS_MAX + 1];
    hft_json_value values[HFT_JSON_PATHS_MAX + 1];
    for (size_t i = 0; i <= HFT_JSON_PATHS_MAX; i++) CHECK_EQ(hft_json_path_init(&paths[i], "result", 6), 0);
    CHECK_EQ(hft_json_path_init(&paths[0], "id", 2), 0);
    CHECK_EQ(hft_json_path_init(&paths[31], "result.symbol", 13), 0);
    CHECK_EQ(hft_json_extract(values, paths, 32, REPLY, strlen(REPLY), NULL), 0);
    CHECK(hft_json_equals(&values[0], "h1-000001", 9));
    CHECK_EQ(values[30].type, HFT_JSON_OBJECT); /* a container and a value inside it at once */
    CHECK_EQ(values[30].ptr[values[30].len - 1], '}');
    CHECK(hft_json_equals(&values[31], "BTCUSDT", 7));
    CHECK_EQ(hft_json_extract(values, paths, 33, REPLY, strlen(REPLY), NULL), HFT_E_ARGUMENT);
    CHECK_EQ(hft_json_extract(NULL, NULL, 0, REPLY, strlen(REPLY), NULL), 0);
}

static void test_paths(void) {
    hft_json_path path;
    static const char *const wrong[] = {"", ".", "a.", ".a", "a..b", "a.b.c.d.e", "abcdefghijklmnopqrstuvwxyz012345"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK_EQ(hft_json_path_init(&path, wrong[i], strlen(wrong[i])), HFT_E_JSON_PATH);
    CHECK_EQ(hft_json_path_init(&path, "abcdefghijklmnopqrstuvwxyz01234.b", 33), 0);
    CHECK_EQ(path.n_keys, 2);
    CHECK_EQ(path.key_len[0], HFT_JSON_KEY_MAX);
}

static void test_refused(void) {
    static const struct {
        const char *text;
        uint32_t pos;
    } wrong[] = {
        {"", 0}, {"  ", 2}, {"{", 1}, {"[", 1}, {"}", 0}, {"[1,]", 3}, {"[,1]", 1}, {"{\"a\":1,}", 7}, {"{\"a\" 1}", 5},
        {"{\"a\":}", 5}, {"{a:1}", 1}, {"{1:1}", 1}, {"[1 2]", 3}, {"[1}", 2}, {"{\"a\":1]", 6}, {"1 2", 2},
        {"{}{}", 2},
        {"01", 1}, {"-", 1}, {"+1", 0}, {".5", 0}, {"1.", 2}, {"1.e1", 2}, {"1e", 2}, {"1e+", 3}, {"-a", 1}, {"0x1", 1},
        {"NaN", 0}, {"Infinity", 0}, {"-Infinity", 1}, {"tru", 0}, {"True", 0}, {"nul", 0}, {"truex", 4}, {"'a'", 0},
        {"\"a", 2}, {"\"\\", 1}, {"\"\\x\"", 1}, {"\"\\u12g4\"", 1}, {"\"\\u123", 1}, {"\"a\nb\"", 2}, {"\"\x1f\"", 1},
        {"\"abcdefgh\x01\"", 9}, {"\"\x80\"", 1}, {"\"\xc3\"", 1}, {"\"\xed\xa0\x80\"", 1}, {"\xef\xbb\xbf{}", 0},
        {"\f1", 0},
        {"/**/1", 0}, {"\xc2\xa0" "1", 0},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        hft_err err = {0};
        int rc = hft_json_extract(NULL, NULL, 0, wrong[i].text, strlen(wrong[i].text), &err);
        CHECK_EQ(rc, HFT_E_JSON_SYNTAX);
        CHECK_EQ(err.pos, wrong[i].pos);
        if (rc >= 0 || err.pos != wrong[i].pos) fprintf(stderr, "    text: %s\n", wrong[i].text);
    }
    CHECK_EQ(hft_json_extract(NULL, NULL, 0, "\"\0\"", 3, NULL), HFT_E_JSON_SYNTAX);
    CHECK_EQ(hft_json_extract(NULL, NULL, 0, "1\0", 2, NULL), HFT_E_JSON_SYNTAX);
}

/* Every byte at every place of a string: no stride of the fast path lets one through. */
static void test_string_bytes(void) {
    char text[22];
    for (size_t i = 1; i < sizeof text - 1; i++) {
        for (int c = 0; c < 128; c++) {
            memset(text, 'x', sizeof text);
            text[0] = text[sizeof text - 1] = '"';
            text[i] = (char)c;
            int rc = hft_json_extract(NULL, NULL, 0, text, sizeof text, NULL);
            CHECK_EQ(rc, c < 0x20 || c == '"' || c == '\\' ? HFT_E_JSON_SYNTAX : 0);
        }
    }
}

static void test_error_takes_all_back(void) {
    hft_json_value value;
    extract(&value, "a", "{\"a\":1,\"b\":}", 12, HFT_E_JSON_SYNTAX);
    CHECK_EQ(value.type, HFT_JSON_ABSENT);
    CHECK(value.ptr == NULL);
}

static void test_depth(void) {
    char text[2 * (HFT_JSON_DEPTH_MAX + 1)];
    memset(text, '[', sizeof text / 2);
    memset(text + sizeof text / 2, ']', sizeof text / 2);
    CHECK_EQ(hft_json_extract(NULL, NULL, 0, text + 1, sizeof text - 2, NULL), 0);
    hft_err err = {0};
    CHECK_EQ(hft_json_extract(NULL, NULL, 0, text, sizeof text, &err), HFT_E_JSON_DEPTH);
    CHECK_EQ(err.pos, HFT_JSON_DEPTH_MAX);
}

static void test_truncations(void) {
    hft_json_value value;
    size_t len = strlen(REPLY);
    for (size_t i = 0; i < len - 1; i++) extract(&value, "result.orderId", REPLY, i, HFT_E_JSON_SYNTAX);
    extract(&value, "result.orderId", REPLY, len - 1, 0); /* without the last blank */
}

static void test_equals(void) {
    hft_json_value value;
    extract(&value, "a", "{\"a\":\"x\\\\\"}", 11, 0);
    CHECK_EQ(value.escaped, 1);
    CHECK(!hft_json_equals(&value, "x\\\\", 3)); /* the bytes are not the string */
    extract(&value, "a", "{\"a\":12}", 8, 0);
    CHECK(hft_json_equals(&value, "12", 2));
    CHECK(!hft_json_equals(&value, "1", 1));
    CHECK(!hft_json_equals(&value, "13", 2));
    extract(&value, "a", "{\"a\":true}", 10, 0);
    CHECK(!hft_json_equals(&value, "true", 4));
    extract(&value, "a", "{}", 2, 0);
    CHECK(!hft_json_equals(&value, "", 0));
}

int main(void) {
    test_values();
    test_duplicates();
    test_many_paths();
    test_paths();
    test_refused();
    test_string_bytes();
    test_error_takes_all_back();
    test_depth();
    test_truncations();
    test_equals();
    return check_done();
}
