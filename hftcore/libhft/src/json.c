#include "hft/json.h"

#include "hft/endian.h"
#include "hft/text.h"

#define BYTES(b) (UINT64_C(0x0101010101010101) * (b))

/* Paths are sets of bits. For the value that comes next: */
typedef struct {
    uint32_t ends;   /* paths that end here: they want the value */
    uint32_t passes; /* paths that go on inside it, if it is an object */
} aim;

/* An open object or array. */
typedef struct {
    uint32_t seeks; /* paths whose next key is still to be met in this object */
    uint32_t ends;  /* paths that want this container: its length is known when it closes */
    char close;     /* '}' or ']' */
} frame;

typedef struct {
    const char *end;
    const char *fault; /* where the text went wrong */
    int status;
    unsigned depth;
    const hft_json_path *paths;
    hft_json_value *values;
    frame stack[HFT_JSON_DEPTH_MAX];
} scanner;

/* The scan_ functions take the position and return the one behind what they read, or NULL after fail(). */
static const char *fail(scanner *s, int status, const char *p) {
    s->status = status;
    s->fault = p;
    return NULL;
}

static const char *syntax(scanner *s, const char *p) { return fail(s, HFT_E_JSON_SYNTAX, p); }

static int is_digit(char c) { return c >= '0' && c <= '9'; }

static const char *skip_space(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) p++;
    return p;
}

/* Fills the value of each path in `ends`. */
static void found(scanner *s, uint32_t ends, hft_json_value value) {
    for (; ends != 0; ends &= ends - 1) s->values[__builtin_ctz(ends)] = value;
}

/* ---- strings ---- */

/* Skips characters that mean themselves: ASCII from blank on, but for the quote and the backslash. The lowest
 * set bit of the mask is exact, those above it may be borrowed. */
static const char *skip_plain(const char *p, const char *end) {
    while (end - p >= 8) {
        uint64_t x = hft_load_le64(p), quote = x ^ BYTES('"'), slash = x ^ BYTES('\\');
        uint64_t special = ((x - BYTES(0x20)) & ~x) | x | ((quote - BYTES(1)) & ~quote) | ((slash - BYTES(1)) & ~slash);
        special &= BYTES(0x80);
        if (special != 0) return p + (__builtin_ctzll(special) >> 3);
        p += 8;
    }
    while (p < end && (uint8_t)*p - 0x20u < 0x60 && *p != '"' && *p != '\\') p++;
    return p;
}

static int is_hex(char c) { return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); }

/* p is at the backslash. */
static const char *scan_escape(scanner *s, const char *p) {
    if (s->end - p < 2) return syntax(s, p);
    switch (p[1]) {
    case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't':
        return p + 2;
    case 'u':
        if (s->end - p < 6 || !is_hex(p[2]) || !is_hex(p[3]) || !is_hex(p[4]) || !is_hex(p[5])) return syntax(s, p);
        return p + 6;
    default:
        return syntax(s, p);
    }
}

/* p is behind the opening quote; returns behind the closing one. */
static const char *scan_string(scanner *s, const char *p, uint8_t *escaped) {
    *escaped = 0;
    while (p != NULL) {
        p = skip_plain(p, s->end);
        if (p == s->end) return syntax(s, p);
        if (*p == '"') return p + 1;
        if (*p == '\\') {
            *escaped = 1;
            p = scan_escape(s, p);
        } else if ((uint8_t)*p >= 0x80) { /* a run of these holds whole sequences, or it is not UTF-8 */
            const char *run = p;
            while (p < s->end && (uint8_t)*p >= 0x80) p++;
            if (!hft_utf8_valid(run, (size_t)(p - run))) return syntax(s, run);
        } else {
            return syntax(s, p);
        }
    }
    return NULL;
}

/* ---- scalars ---- */

static const char *skip_digits(const char *p, const char *end) {
    while (p < end && is_digit(*p)) p++;
    return p;
}

static const char *scan_number(scanner *s, const char *p) {
    const char *end = s->end, *digits;
    if (*p == '-') p++;
    if (p == end || !is_digit(*p)) return syntax(s, p);
    p = *p == '0' ? p + 1 : skip_digits(p, end);
    if (p < end && *p == '.') {
        p = skip_digits(digits = p + 1, end);
        if (p == digits) return syntax(s, p);
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        p = skip_digits(digits = p, end);
        if (p == digits) return syntax(s, p);
    }
    return p;
}

static const char *scan_literal(scanner *s, const char *p, const char *literal, size_t len) {
    if ((size_t)(s->end - p) < len || memcmp(p, literal, len) != 0) return syntax(s, p);
    return p + len;
}

static const char *scan_scalar(scanner *s, const char *p, uint32_t ends) {
    if (p == s->end) return syntax(s, p);
    hft_json_value value = {.ptr = p};
    switch (*p) {
    case '"':
        value.type = HFT_JSON_STRING;
        value.ptr = p + 1;
        p = scan_string(s, p + 1, &value.escaped);
        break;
    case 't':
        value.type = HFT_JSON_TRUE;
        p = scan_literal(s, p, "true", 4);
        break;
    case 'f':
        value.type = HFT_JSON_FALSE;
        p = scan_literal(s, p, "false", 5);
        break;
    case 'n':
        value.type = HFT_JSON_NULL;
        p = scan_literal(s, p, "null", 4);
        break;
    default:
        value.type = HFT_JSON_NUMBER;
        p = scan_number(s, p);
    }
    if (p != NULL && ends != 0) {
        value.len = (uint32_t)(p - value.ptr) - (value.type == HFT_JSON_STRING);
        found(s, ends, value);
    }
    return p;
}

/* ---- containers ---- */

/* A key is spent on its first appearance, so a path follows the first of duplicate keys at every level. */
static aim match_key(scanner *s, const char *key, size_t len) {
    frame *object = &s->stack[s->depth - 1];
    unsigned level = s->depth - 1;
    aim next = {0, 0};
    for (uint32_t rest = object->seeks; rest != 0; rest &= rest - 1) {
        const hft_json_path *path = &s->paths[__builtin_ctz(rest)];
        if (path->key_len[level] != len || memcmp(path->key[level], key, len) != 0) continue;
        uint32_t bit = rest & -rest;
        object->seeks &= ~bit;
        if (path->n_keys == level + 1)
            next.ends |= bit;
        else
            next.passes |= bit;
    }
    return next;
}

/* Reads a key and its colon; *next says which paths lead to its value. */
static const char *scan_key(scanner *s, const char *p, aim *next) {
    if (p == s->end || *p != '"') return syntax(s, p);
    const char *key = p + 1;
    uint8_t escaped;
    p = scan_string(s, key, &escaped);
    if (p == NULL) return NULL;
    if (!escaped) *next = match_key(s, key, (size_t)(p - 1 - key));
    p = skip_space(p, s->end);
    if (p == s->end || *p != ':') return syntax(s, p);
    return skip_space(p + 1, s->end);
}

static const char *scan_open(scanner *s, const char *p, aim at) {
    if (s->depth == HFT_JSON_DEPTH_MAX) return fail(s, HFT_E_JSON_DEPTH, p);
    int object = *p == '{';
    found(s, at.ends, (hft_json_value){.ptr = p, .type = object ? HFT_JSON_OBJECT : HFT_JSON_ARRAY});
    s->stack[s->depth++] = (frame){object ? at.passes : 0, at.ends, object ? '}' : ']'};
    return skip_space(p + 1, s->end);
}

/* Behind a value: closes the containers that end here, then takes the comma before the next value. */
static const char *scan_after(scanner *s, const char *p) {
    for (p = skip_space(p, s->end); s->depth != 0; p = skip_space(p, s->end)) {
        const frame *top = &s->stack[s->depth - 1];
        if (p == s->end) return syntax(s, p);
        if (*p == ',') return skip_space(p + 1, s->end);
        if (*p != top->close) return syntax(s, p);
        p++;
        for (uint32_t ends = top->ends; ends != 0; ends &= ends - 1) {
            hft_json_value *value = &s->values[__builtin_ctz(ends)];
            value->len = (uint32_t)(p - value->ptr);
        }
        s->depth--;
    }
    return p;
}

static const char *scan_text(scanner *s, const char *p, aim at) {
    p = skip_space(p, s->end);
    for (;;) {
        int opens = p != s->end && (*p == '{' || *p == '[');
        p = opens ? scan_open(s, p, at) : scan_scalar(s, p, at.ends);
        if (p == NULL) return NULL;
        /* A container goes on with its first member, unless it is empty. */
        if (!opens || p == s->end || *p == s->stack[s->depth - 1].close) {
            p = scan_after(s, p);
            if (p == NULL) return NULL;
            if (s->depth == 0) return p == s->end ? p : syntax(s, p);
        }
        at = (aim){0, 0};
        if (s->stack[s->depth - 1].close == '}') {
            p = scan_key(s, p, &at);
            if (p == NULL) return NULL;
        }
    }
}

/* ---- interface ---- */

int hft_json_path_init(hft_json_path *path, const char *text, size_t len) {
    memset(path, 0, sizeof *path);
    size_t start = 0;
    for (size_t i = 0; i <= len; i++) {
        if (i < len && text[i] != '.') continue;
        size_t key_len = i - start;
        if (key_len == 0 || key_len > HFT_JSON_KEY_MAX || path->n_keys == HFT_JSON_PATH_KEYS) return HFT_E_JSON_PATH;
        memcpy(path->key[path->n_keys], text + start, key_len);
        path->key_len[path->n_keys++] = (uint8_t)key_len;
        start = i + 1;
    }
    return 0;
}

int hft_json_extract(hft_json_value *values, const hft_json_path *paths, size_t n_paths, const char *text, size_t len,
                     hft_err *err) {
    if (n_paths > HFT_JSON_PATHS_MAX || len > UINT32_MAX) return hft_fail(err, HFT_E_ARGUMENT, 0, NULL);
    uint32_t all = n_paths == 0 ? 0 : UINT32_MAX >> (32 - n_paths);
    const hft_json_value absent = {.type = HFT_JSON_ABSENT};
    scanner s;
    s.end = text + len;
    s.depth = 0;
    s.paths = paths;
    s.values = values;
    found(&s, all, absent);
    if (scan_text(&s, text, (aim){0, all}) != NULL) return 0;
    found(&s, all, absent);
    return hft_fail(err, s.status, (size_t)(s.fault - text), NULL);
}

int hft_json_equals(const hft_json_value *value, const char *text, size_t len) {
    if (value->type != HFT_JSON_STRING && value->type != HFT_JSON_NUMBER) return 0;
    return !value->escaped && value->len == len && memcmp(value->ptr, text, len) == 0;
}
