#include "hft/http1.h"

#include <limits.h>
#include <string.h>

#include "hft/text.h"

/* A piece of text; literals become one by TEXT. */
typedef struct {
    const char *ptr;
    size_t len;
} text;

#define TEXT(literal) ((text){literal, sizeof(literal) - 1})

static int is_alnum(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* tchar of RFC 9110 section 5.6.2 */
static int is_token_char(char c) { return is_alnum(c) || (c != '\0' && memchr("!#$%&'*+-.^_`|~", c, 15) != NULL); }

static int is_blank(char c) { return c == ' ' || c == '\t'; }

static int is_visible(char c) { return c > 0x20 && c < 0x7f; }

/* What a field value or reason phrase may hold, obs-text included. */
static int is_field_char(char c) { return is_visible(c) || is_blank(c) || (unsigned char)c >= 0x80; }

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }

/* ASCII case-insensitive comparison with a lower-case text. */
static int same(text a, text lower_b) {
    if (a.len != lower_b.len) return 0;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower_b.ptr[i]) return 0;
    return 1;
}

static text strip(text t) {
    while (t.len != 0 && is_blank(t.ptr[0])) t = (text){t.ptr + 1, t.len - 1};
    while (t.len != 0 && is_blank(t.ptr[t.len - 1])) t.len--;
    return t;
}

/* Splits "Name: value" (no line end); 0 if it is not well-formed. */
static int split_field(text *name, text *value, text line) {
    size_t i = 0;
    while (i < line.len && is_token_char(line.ptr[i])) i++;
    if (i == 0 || i == line.len || line.ptr[i] != ':') return 0;
    *name = (text){line.ptr, i};
    *value = strip((text){line.ptr + i + 1, line.len - i - 1});
    for (size_t k = 0; k < value->len; k++)
        if (!is_field_char(value->ptr[k])) return 0;
    return 1;
}

/* The line at `from`, without its CR LF. Returns 1, 0 = not complete yet, or HFT_E_HTTP_SYNTAX for a bare LF. */
static int next_line(text *line, const char *buf, size_t len, size_t from) {
    if (from == len) return 0;
    const char *lf = memchr(buf + from, '\n', len - from);
    if (lf == NULL) return 0;
    *line = (text){buf + from, (size_t)(lf - (buf + from))};
    if (line->len == 0 || line->ptr[line->len - 1] != '\r') return HFT_E_HTTP_SYNTAX;
    line->len--;
    return 1;
}

/* ---- request ---- */

typedef struct {
    char *out;
    size_t cap, len;
} writer; /* counts on past cap, and then has failed */

static void put(writer *w, text t) {
    if (w->len <= w->cap && t.len <= w->cap - w->len) {
        if (t.len != 0) memcpy(w->out + w->len, t.ptr, t.len);
        w->len += t.len;
    } else {
        w->len = SIZE_MAX;
    }
}

static int all_visible(text t) {
    for (size_t i = 0; i < t.len; i++)
        if (!is_visible(t.ptr[i])) return 0;
    return t.len != 0;
}

/* Fields that the upgrade itself decides, or that would give the request a body. */
static int is_reserved(text name) {
    text prefix = TEXT("sec-websocket-");
    return same(name, TEXT("host")) || same(name, TEXT("upgrade")) || same(name, TEXT("connection")) ||
           same(name, TEXT("content-length")) || same(name, TEXT("transfer-encoding")) ||
           (name.len >= prefix.len && same((text){name.ptr, prefix.len}, prefix));
}

static int check_headers(text headers) {
    for (size_t pos = 0; pos < headers.len;) {
        text line, name, value;
        if (next_line(&line, headers.ptr, headers.len, pos) != 1) return 0;
        if (!split_field(&name, &value, line) || is_reserved(name)) return 0;
        pos += line.len + 2;
    }
    return 1;
}

int hft_http1_build_upgrade(char *out, size_t cap, const hft_http1_upgrade *request) {
    text host = {request->host, request->host_len}, target = {request->target, request->target_len};
    text key = {request->key, HFT_HTTP1_KEY_LEN}, headers = {request->headers, request->headers_len};
    uint8_t nonce[HFT_HTTP1_KEY_LEN / 4 * 3];
    if (!all_visible(host) || !all_visible(target) || !check_headers(headers)) return HFT_E_ARGUMENT;
    if (target.ptr[0] != '/' || memchr(target.ptr, '#', target.len) != NULL) return HFT_E_ARGUMENT;
    if (hft_base64_decode(nonce, key.ptr, key.len) != 16) return HFT_E_ARGUMENT;
    writer w = {out, cap < INT_MAX ? cap : INT_MAX, 0};
    put(&w, TEXT("GET "));
    put(&w, target);
    put(&w, TEXT(" HTTP/1.1\r\nHost: "));
    put(&w, host);
    put(&w, TEXT("\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "));
    put(&w, key);
    put(&w, TEXT("\r\nSec-WebSocket-Version: 13\r\n"));
    put(&w, headers);
    put(&w, TEXT("\r\n"));
    return w.len <= w.cap ? (int)w.len : HFT_E_CAPACITY;
}

/* ---- response ---- */

typedef struct {
    const char *accept;
    int upgrade, connection, accepted; /* fields seen, and right */
} response;

/* hft_fail with text that came from the server: cut, and reduced to printable ASCII. */
static int fail_quoting(hft_err *err, int code, size_t pos, text quoted) {
    char detail[sizeof(((hft_err *)0)->text)];
    size_t len = quoted.len < sizeof detail - 1 ? quoted.len : sizeof detail - 1;
    for (size_t i = 0; i < len; i++) {
        char c = quoted.ptr[i];
        detail[i] = (char)(is_visible(c) || c == ' ' ? c : '?');
    }
    detail[len] = '\0';
    return hft_fail(err, code, pos, detail);
}

/* "HTTP/1.1 101 Switching Protocols"; any other status is an error that quotes the line. */
static int read_status(int *status, text line, hft_err *err) {
    const text version = TEXT("HTTP/1.1 ");
    if (line.len < version.len + 4 || memcmp(line.ptr, version.ptr, version.len) != 0)
        return fail_quoting(err, HFT_E_HTTP_SYNTAX, 0, line);
    const char *digits = line.ptr + version.len;
    for (size_t i = 0; i < 3; i++)
        if (digits[i] < '0' || digits[i] > '9') return fail_quoting(err, HFT_E_HTTP_SYNTAX, version.len + i, line);
    if (digits[0] == '0' || digits[3] != ' ') return fail_quoting(err, HFT_E_HTTP_SYNTAX, version.len, line);
    for (size_t i = version.len + 4; i < line.len; i++)
        if (!is_field_char(line.ptr[i])) return fail_quoting(err, HFT_E_HTTP_SYNTAX, i, line);
    *status = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
    return *status == 101 ? 0 : fail_quoting(err, HFT_E_HTTP_STATUS, version.len, line);
}

/* 1 if the comma-separated list holds the (lower-case) token. */
static int list_has(text list, text token) {
    while (list.len != 0) {
        const char *comma = memchr(list.ptr, ',', list.len);
        size_t item_len = comma != NULL ? (size_t)(comma - list.ptr) : list.len;
        if (same(strip((text){list.ptr, item_len}), token)) return 1;
        size_t step = comma != NULL ? item_len + 1 : item_len;
        list = (text){list.ptr + step, list.len - step};
    }
    return 0;
}

/* The conditions of RFC 6455 section 4.1, as each field comes by. */
static int read_field(response *r, text line, size_t pos, hft_err *err) {
    text name, value;
    if (!split_field(&name, &value, line)) return fail_quoting(err, HFT_E_HTTP_SYNTAX, pos, line);
    if (same(name, TEXT("upgrade"))) {
        if (r->upgrade || !same(value, TEXT("websocket"))) return fail_quoting(err, HFT_E_HTTP_UPGRADE, pos, line);
        r->upgrade = 1;
    } else if (same(name, TEXT("connection"))) {
        r->connection |= list_has(value, TEXT("upgrade"));
    } else if (same(name, TEXT("sec-websocket-accept"))) {
        if (r->accepted || value.len != HFT_HTTP1_ACCEPT_LEN || memcmp(value.ptr, r->accept, value.len) != 0)
            return fail_quoting(err, HFT_E_HTTP_ACCEPT, pos, line);
        r->accepted = 1;
    } else if (same(name, TEXT("sec-websocket-extensions")) || same(name, TEXT("sec-websocket-protocol"))) {
        return fail_quoting(err, HFT_E_HTTP_EXTENSION, pos, line);
    }
    return 0;
}

static int finish(const response *r, size_t head_len, hft_err *err) {
    if (!r->upgrade) return hft_fail(err, HFT_E_HTTP_UPGRADE, head_len, "no Upgrade: websocket");
    if (!r->connection) return hft_fail(err, HFT_E_HTTP_UPGRADE, head_len, "no Connection: Upgrade");
    if (!r->accepted) return hft_fail(err, HFT_E_HTTP_ACCEPT, head_len, "no Sec-WebSocket-Accept");
    return (int)head_len;
}

int hft_http1_parse_upgrade(int *status, const char *buf, size_t len, const char accept[HFT_HTTP1_ACCEPT_LEN],
                            hft_err *err) {
    const text version = TEXT("HTTP/1.1 ");
    response r = {.accept = accept};
    size_t window = len < HFT_HTTP1_HEAD_MAX ? len : HFT_HTTP1_HEAD_MAX;
    *status = 0;
    /* Something that is not HTTP is refused at its first bytes: it may never send a line end. */
    if (window != 0 && memcmp(buf, version.ptr, window < version.len ? window : version.len) != 0)
        return fail_quoting(err, HFT_E_HTTP_SYNTAX, 0, (text){buf, window});
    for (size_t pos = 0;;) {
        text line;
        int rc = next_line(&line, buf, window, pos);
        if (rc < 0) return hft_fail(err, rc, pos, "line does not end with CR LF");
        if (rc == 0) break;
        if (pos != 0 && line.len == 0) return finish(&r, pos + 2, err);
        rc = pos == 0 ? read_status(status, line, err) : read_field(&r, line, pos, err);
        if (rc < 0) return rc;
        pos += line.len + 2;
    }
    return len < HFT_HTTP1_HEAD_MAX ? 0 : hft_fail(err, HFT_E_HTTP_TOO_LARGE, HFT_HTTP1_HEAD_MAX, NULL);
}
