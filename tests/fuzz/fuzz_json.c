/* Any text, the paths of an order reply: views lie inside the text, are themselves JSON, and no prefix of a
 * container is accepted. */
#include <stdlib.h>
#include <string.h>

#include <hft/json.h>

#define REQUIRE(cond) ((cond) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"id",            "status",     "result", "result.orderId",
                                    "result.status", "error.code", "a",      "a.b"};
enum { N = sizeof names / sizeof names[0] };

static void check_view(const hft_json_value *value, const char *text, size_t size) {
    if (value->type == HFT_JSON_ABSENT) {
        REQUIRE(value->ptr == NULL);
        return;
    }
    REQUIRE(value->ptr >= text && value->len <= size && value->ptr + value->len <= text + size);
    size_t quotes = value->type == HFT_JSON_STRING;
    hft_json_value inner;
    REQUIRE(hft_json_extract(&inner, NULL, 0, value->ptr - quotes, value->len + 2 * quotes, NULL) == 0);
    REQUIRE(value->escaped == 0 || quotes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    hft_json_path paths[N];
    hft_json_value values[N];
    hft_err err = {0};
    for (size_t i = 0; i < N; i++) REQUIRE(hft_json_path_init(&paths[i], names[i], strlen(names[i])) == 0);
    if (hft_json_extract(values, paths, N, text, size, &err) < 0) {
        REQUIRE(err.pos <= size);
        for (size_t i = 0; i < N; i++) REQUIRE(values[i].type == HFT_JSON_ABSENT);
    } else {
        for (size_t i = 0; i < N; i++) check_view(&values[i], text, size);
        size_t end = size;
        while (end > 0 && memchr(" \t\r\n", text[end - 1], 4) != NULL) end--;
        if (text[end - 1] == '}' || text[end - 1] == ']')
            REQUIRE(hft_json_extract(values, NULL, 0, text, end - 1, NULL) < 0);
    }
    hft_json_path path;
    if (hft_json_path_init(&path, text, size) == 0) REQUIRE(path.n_keys >= 1 && path.n_keys <= HFT_JSON_PATH_KEYS);
    return 0;
}
