/* Picks values out of a JSON text (RFC 8259) by path, in one pass, without building anything. Pure.
 * The whole text is checked: a malformed one is an error even behind the last wanted value. */
#ifndef HFT_JSON_H
#define HFT_JSON_H

#include "hft/status.h"

#define HFT_JSON_DEPTH_MAX 32 /* nesting accepted in a text */
#define HFT_JSON_PATH_KEYS 4  /* keys in a path */
#define HFT_JSON_KEY_MAX 31   /* bytes in a path's key */
#define HFT_JSON_PATHS_MAX 32 /* paths in one extraction */

typedef enum {
    HFT_JSON_ABSENT = 0, HFT_JSON_NULL, HFT_JSON_TRUE, HFT_JSON_FALSE,
    HFT_JSON_NUMBER, HFT_JSON_STRING, HFT_JSON_OBJECT, HFT_JSON_ARRAY,
} hft_json_type;

/* A view into the text: strings without their quotes, objects and arrays with their brackets. */
typedef struct {
    const char *ptr; /* NULL if absent */
    uint32_t len;
    uint8_t type;    /* hft_json_type */
    uint8_t escaped; /* 1: the string holds backslash escapes, left as they stand */
} hft_json_value;

/* An object path such as result.orderId; object keys only. Keys that hold escapes never match. */
typedef struct {
    uint8_t n_keys;
    uint8_t key_len[HFT_JSON_PATH_KEYS];
    char key[HFT_JSON_PATH_KEYS][HFT_JSON_KEY_MAX + 1];
} hft_json_path;

/* From "a.b.c". Errors: HFT_E_JSON_PATH (empty key, too many, too long). */
HFT_NODISCARD int hft_json_path_init(hft_json_path *path, const char *text, size_t len);

/* Fills values[i] for paths[i] (HFT_JSON_ABSENT where the text lacks it; the first of duplicate keys wins).
 * Errors: HFT_E_JSON_SYNTAX, HFT_E_JSON_DEPTH, HFT_E_ARGUMENT (n_paths); *err (may be NULL) gets the position.
 * The views live as long as the text. */
HFT_NODISCARD int hft_json_extract(hft_json_value *values, const hft_json_path *paths, size_t n_paths,
                                   const char *text, size_t len, hft_err *err);

/* 1 if the value is a string without escapes, or a number, and its text is the given bytes. */
int hft_json_equals(const hft_json_value *value, const char *text, size_t len);

#endif
