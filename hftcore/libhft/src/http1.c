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
#define VERSION TEXT("HTTP/1.1")

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

static int equal(text a, text b) { return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0); }

static int is_token(text t) {
    for (size_t i = 0; i < t.len; i++)
        if (!is_token_char(t.ptr[i])) return 0;
    return t.len != 0;
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

/* Takes the next item, stripped and perhaps empty, off a comma-separated list; 0 at its end. */
static int next_item(text *item, text *list) {
    if (list->len == 0) return 0;
    const char *comma = memchr(list->ptr, ',', list->len);
    size_t len = comma != NULL ? (size_t)(comma - list->ptr) : list->len, step = comma != NULL ? len + 1 : len;
    *item = strip((text){list->ptr, len});
    *list = (text){list->ptr + step, list->len - step};
    return 1;
}

/* 1 if the list holds the (lower-case) token, in any case. */
static int list_has(text list, text token) {
    for (text item; next_item(&item, &list);)
        if (same(item, token)) return 1;
    return 0;
}

/* ---- extensions ---- */

static size_t skip_blanks(text t, size_t pos) {
    while (pos < t.len && is_blank(t.ptr[pos])) pos++;
    return pos;
}

static size_t skip_token(text t, size_t pos) {
    while (pos < t.len && is_token_char(t.ptr[pos])) pos++;
    return pos;
}

/* A token, or a quoted string whose content is one (RFC 6455 section 9.1). Returns where it ends, 0 = neither. */
static size_t take_value(hft_http1_extension *piece, text list, size_t pos) {
    int quoted = pos < list.len && list.ptr[pos] == '"';
    size_t start = pos + (quoted != 0), end = start;
    if (quoted) {
        while (end < list.len && list.ptr[end] != '"') {
            end += list.ptr[end] == '\\';
            if (end >= list.len || !is_token_char(list.ptr[end])) return 0;
            end++;
        }
        if (end >= list.len) return 0;
    } else {
        end = skip_token(list, start);
    }
    if (end == start) return 0;
    piece->value = list.ptr + start;
    piece->value_len = end - start;
    return end + (quoted != 0);
}

int hft_http1_next_extension(hft_http1_extension *piece, size_t *pos, const char *list, size_t len) {
    text t = {list, len};
    size_t p = skip_blanks(t, *pos);
    *piece = (hft_http1_extension){.is_param = *pos != 0 && p < len && list[p] == ';'};
    if (piece->is_param) {
        p = skip_blanks(t, p + 1);
    } else {
        size_t commas = 0;
        for (; p < len && (is_blank(list[p]) || list[p] == ','); p++) commas += list[p] == ',';
        if (p == len) return 0;
        if (*pos != 0 && commas == 0) return HFT_E_HTTP_SYNTAX;
    }
    size_t end = skip_token(t, p);
    if (end == p) return HFT_E_HTTP_SYNTAX;
    piece->name = list + p;
    piece->name_len = end - p;
    p = skip_blanks(t, end);
    if (piece->is_param && p < len && list[p] == '=') {
        end = take_value(piece, t, skip_blanks(t, p + 1));
        if (end == 0) return HFT_E_HTTP_SYNTAX;
    }
    *pos = end;
    return 1;
}

/* 1 if the list of extensions names this one; -1 if it is malformed. */
static int names_extension(text list, text name) {
    hft_http1_extension piece;
    size_t pos = 0;
    int rc, found = 0;
    while ((rc = hft_http1_next_extension(&piece, &pos, list.ptr, list.len)) == 1)
        found |= !piece.is_param && equal((text){piece.name, piece.name_len}, name);
    return rc < 0 ? -1 : found;
}

/* At least one extension, and nothing malformed. */
static int extensions_valid(text list) {
    hft_http1_extension piece;
    size_t pos = 0;
    int rc;
    while ((rc = hft_http1_next_extension(&piece, &pos, list.ptr, list.len)) == 1) {}
    return rc == 0 && pos != 0;
}

/* ---- writing ---- */

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

/* A field of the upgrade; nothing where the value is empty. */
static void put_field(writer *w, text name, text value) {
    if (value.len == 0) return;
    put(w, name);
    put(w, TEXT(": "));
    put(w, value);
    put(w, TEXT("\r\n"));
}

static writer writer_of(char *out, size_t cap) { return (writer){out, cap < INT_MAX ? cap : INT_MAX, 0}; }

static int written(const writer *w) { return w->len <= w->cap ? (int)w->len : HFT_E_CAPACITY; }

/* ---- reading ---- */

/* hft_fail with text that came from the other side: cut, and reduced to printable ASCII. */
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

/* Something that is not what a head begins with is refused at its first bytes: it may never send a line end. */
static int begins_otherwise(text head, text begin) {
    return head.len != 0 && memcmp(head.ptr, begin.ptr, head.len < begin.len ? head.len : begin.len) != 0;
}

/* Upgrade and Connection, of which either side says the same. */
typedef struct {
    int upgrade, connection;
} upgrade_fields;

static int missing_upgrade(const upgrade_fields *seen, size_t pos, hft_err *err) {
    if (!seen->upgrade) return hft_fail(err, HFT_E_HTTP_UPGRADE, pos, "no Upgrade: websocket");
    if (!seen->connection) return hft_fail(err, HFT_E_HTTP_UPGRADE, pos, "no Connection: Upgrade");
    return 0;
}

/* ---- client: request ---- */

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

/* Tokens, each once (RFC 6455 section 4.1, item 10). */
static int check_subprotocols(text list) {
    if (list.len != 0 && list.ptr[list.len - 1] == ',') return 0;
    for (text item; next_item(&item, &list);) {
        if (!is_token(item)) return 0;
        text others = list;
        for (text other; next_item(&other, &others);)
            if (equal(other, item)) return 0;
    }
    return 1;
}

static int is_key(text key) {
    uint8_t nonce[HFT_HTTP1_KEY_LEN / 4 * 3];
    return key.len == HFT_HTTP1_KEY_LEN && hft_base64_decode(nonce, key.ptr, key.len) == 16;
}

int hft_http1_build_upgrade(char *out, size_t cap, const hft_http1_upgrade *request) {
    text host = {request->host, request->host_len}, target = {request->target, request->target_len};
    text key = {request->key, HFT_HTTP1_KEY_LEN}, headers = {request->headers, request->headers_len};
    text subprotocols = {request->subprotocols, request->subprotocols_len};
    text extensions = {request->extensions, request->extensions_len};
    if (!all_visible(host) || !all_visible(target) || !check_headers(headers)) return HFT_E_ARGUMENT;
    if (target.ptr[0] != '/' || memchr(target.ptr, '#', target.len) != NULL) return HFT_E_ARGUMENT;
    if (!is_key(key) || !check_subprotocols(subprotocols)) return HFT_E_ARGUMENT;
    if (extensions.len != 0 && !extensions_valid(extensions)) return HFT_E_ARGUMENT;
    writer w = writer_of(out, cap);
    put(&w, TEXT("GET "));
    put(&w, target);
    put(&w, TEXT(" HTTP/1.1\r\n"));
    put_field(&w, TEXT("Host"), host);
    put(&w, TEXT("Upgrade: websocket\r\nConnection: Upgrade\r\n"));
    put_field(&w, TEXT("Sec-WebSocket-Key"), key);
    put_field(&w, TEXT("Sec-WebSocket-Version"), TEXT("13"));
    put_field(&w, TEXT("Sec-WebSocket-Protocol"), subprotocols);
    put_field(&w, TEXT("Sec-WebSocket-Extensions"), extensions);
    put(&w, headers);
    put(&w, TEXT("\r\n"));
    return written(&w);
}

/* ---- client: response ---- */

typedef struct {
    hft_http1_response *out;
    text accept, subprotocols, extensions; /* what is expected, and what was offered */
    upgrade_fields seen;
    int accepted, chosen, extended; /* fields seen, and right */
    int chunked;
    text status_line;
} response;

/* "HTTP/1.1 101 Switching Protocols"; that it begins so has been seen. */
static int read_status(response *r, text line, hft_err *err) {
    const size_t at = VERSION.len + 1;
    if (line.len < at + 4) return fail_quoting(err, HFT_E_HTTP_SYNTAX, 0, line);
    const char *digits = line.ptr + at;
    for (size_t i = 0; i < 3; i++)
        if (digits[i] < '0' || digits[i] > '9') return fail_quoting(err, HFT_E_HTTP_SYNTAX, at + i, line);
    if (digits[0] == '0' || digits[3] != ' ') return fail_quoting(err, HFT_E_HTTP_SYNTAX, at, line);
    for (size_t i = at + 4; i < line.len; i++)
        if (!is_field_char(line.ptr[i])) return fail_quoting(err, HFT_E_HTTP_SYNTAX, i, line);
    r->out->status = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
    r->status_line = line;
    return 0;
}

static int subprotocol_offered(const response *r, text chosen) {
    text list = r->subprotocols;
    for (text item; next_item(&item, &list);)
        if (equal(item, chosen)) return 1;
    return 0;
}

/* 1 if the list is well-formed and every extension in it is one that was offered. */
static int extensions_offered(const response *r, text list) {
    hft_http1_extension piece;
    size_t pos = 0;
    if (!extensions_valid(list)) return 0;
    while (hft_http1_next_extension(&piece, &pos, list.ptr, list.len) == 1)
        if (!piece.is_param && names_extension(r->extensions, (text){piece.name, piece.name_len}) != 1) return 0;
    return 1;
}

/* The conditions of RFC 6455 section 4.1, as each field comes by. */
static int read_field(response *r, text line, size_t pos, hft_err *err) {
    text name, value;
    if (!split_field(&name, &value, line)) return fail_quoting(err, HFT_E_HTTP_SYNTAX, pos, line);
    if (same(name, TEXT("upgrade"))) {
        if (r->seen.upgrade || !same(value, TEXT("websocket"))) return fail_quoting(err, HFT_E_HTTP_UPGRADE, pos, line);
        r->seen.upgrade = 1;
    } else if (same(name, TEXT("connection"))) {
        r->seen.connection |= list_has(value, TEXT("upgrade"));
    } else if (same(name, TEXT("sec-websocket-accept"))) {
        if (r->accepted || !equal(value, r->accept)) return fail_quoting(err, HFT_E_HTTP_ACCEPT, pos, line);
        r->accepted = 1;
    } else if (same(name, TEXT("sec-websocket-protocol"))) { /* once at most: section 11.3.4 */
        if (r->chosen || !subprotocol_offered(r, value)) return fail_quoting(err, HFT_E_HTTP_EXTENSION, pos, line);
        r->chosen = 1;
        r->out->subprotocol = value.ptr;
        r->out->subprotocol_len = value.len;
    } else if (same(name, TEXT("sec-websocket-extensions"))) { /* once at most: section 11.3.2 */
        if (r->extended || !extensions_offered(r, value)) return fail_quoting(err, HFT_E_HTTP_EXTENSION, pos, line);
        r->extended = 1;
        r->out->extensions = value.ptr;
        r->out->extensions_len = value.len;
    }
    return 0;
}

/* Of a refusal only the length of its body matters; the other fields are for whoever shows them. */
static void read_refusal(response *r, text line) {
    text name, value;
    uint64_t number;
    if (!split_field(&name, &value, line)) return;
    if (same(name, TEXT("transfer-encoding"))) r->chunked = 1;
    if (same(name, TEXT("content-length")) && hft_u64_parse(&number, value.ptr, value.len) == 0)
        r->out->body_len = number;
}

static int finish(const response *r, size_t head_len, hft_err *err) {
    r->out->head_len = head_len;
    if (r->out->status != 101) {
        if (r->chunked) r->out->body_len = SIZE_MAX;
        return fail_quoting(err, HFT_E_HTTP_STATUS, VERSION.len + 1, r->status_line);
    }
    int rc = missing_upgrade(&r->seen, head_len, err);
    if (rc < 0) return rc;
    if (!r->accepted) return hft_fail(err, HFT_E_HTTP_ACCEPT, head_len, "no Sec-WebSocket-Accept");
    return (int)head_len;
}

int hft_http1_parse_upgrade(hft_http1_response *out, const char *buf, size_t len, const hft_http1_upgrade *request,
                            const char accept[HFT_HTTP1_ACCEPT_LEN], hft_err *err) {
    response r = {
        .out = out,
        .accept = {accept, HFT_HTTP1_ACCEPT_LEN},
        .subprotocols = {request->subprotocols, request->subprotocols_len},
        .extensions = {request->extensions, request->extensions_len},
    };
    *out = (hft_http1_response){.body_len = SIZE_MAX};
    text head = {buf, len < HFT_HTTP1_HEAD_MAX ? len : HFT_HTTP1_HEAD_MAX};
    if (begins_otherwise(head, TEXT("HTTP/1.1 "))) return fail_quoting(err, HFT_E_HTTP_SYNTAX, 0, head);
    for (size_t pos = 0;;) {
        text line;
        int rc = next_line(&line, buf, head.len, pos), refused = pos != 0 && out->status != 101;
        if (rc < 0 && refused) return fail_quoting(err, HFT_E_HTTP_STATUS, pos, r.status_line);
        if (rc < 0) return hft_fail(err, rc, pos, "line does not end with CR LF");
        if (rc == 0) break;
        if (pos != 0 && line.len == 0) return finish(&r, pos + 2, err);
        if (refused) read_refusal(&r, line);
        else rc = pos == 0 ? read_status(&r, line, err) : read_field(&r, line, pos, err);
        if (rc < 0) return rc;
        pos += line.len + 2;
    }
    if (len < HFT_HTTP1_HEAD_MAX) return 0;
    if (out->status != 0 && out->status != 101) return fail_quoting(err, HFT_E_HTTP_STATUS, len, r.status_line);
    return hft_fail(err, HFT_E_HTTP_TOO_LARGE, HFT_HTTP1_HEAD_MAX, NULL);
}

/* ---- server ---- */

typedef struct {
    hft_http1_request *out;
    upgrade_fields seen;
    int version;
    writer joined;
} request_state;

/* "GET /path HTTP/1.1"; that it begins so has been seen. */
static int read_request_line(request_state *r, text line, hft_err *err) {
    const size_t at = TEXT("GET ").len;
    const text end = TEXT(" HTTP/1.1");
    if (line.len < at + 1 + end.len || !equal((text){line.ptr + line.len - end.len, end.len}, end))
        return fail_quoting(err, HFT_E_HTTP_SYNTAX, 0, line);
    text target = {line.ptr + at, line.len - at - end.len};
    if (!all_visible(target) || memchr(target.ptr, '#', target.len) != NULL)
        return fail_quoting(err, HFT_E_HTTP_SYNTAX, at, line);
    r->out->target = target.ptr;
    r->out->target_len = target.len;
    return 0;
}

/* A list that comes in several fields is as good as one (RFC 6455 sections 11.3.2 and 11.3.4). 0 if it is too long. */
static int join(const char **list, size_t *list_len, writer *w, text value) {
    if (value.len == 0) return 1;
    if (*list_len == 0) {
        *list = value.ptr;
        *list_len = value.len;
        return 1;
    }
    size_t start = w->len;
    put(w, (text){*list, *list_len});
    put(w, TEXT(", "));
    put(w, value);
    if (w->len > w->cap) return 0;
    *list = w->out + start;
    *list_len = w->len - start;
    return 1;
}

static int read_request_field(request_state *r, text line, size_t pos, hft_err *err) {
    hft_http1_request *out = r->out;
    text name, value;
    int code = 0;
    if (!split_field(&name, &value, line)) return fail_quoting(err, HFT_E_HTTP_SYNTAX, pos, line);
    if (same(name, TEXT("host"))) {
        if (out->host != NULL || !all_visible(value)) code = HFT_E_HTTP_SYNTAX;
        out->host = value.ptr;
        out->host_len = value.len;
    } else if (same(name, TEXT("upgrade"))) {
        r->seen.upgrade |= list_has(value, TEXT("websocket"));
    } else if (same(name, TEXT("connection"))) {
        r->seen.connection |= list_has(value, TEXT("upgrade"));
    } else if (same(name, TEXT("sec-websocket-version"))) {
        if (r->version || !equal(value, TEXT("13"))) code = HFT_E_HTTP_UPGRADE;
        r->version = 1;
    } else if (same(name, TEXT("sec-websocket-key"))) {
        if (out->key != NULL || !is_key(value)) code = HFT_E_HTTP_UPGRADE;
        out->key = value.ptr;
    } else if (same(name, TEXT("sec-websocket-protocol"))) {
        if (!join(&out->subprotocols, &out->subprotocols_len, &r->joined, value)) code = HFT_E_HTTP_TOO_LARGE;
    } else if (same(name, TEXT("sec-websocket-extensions"))) {
        if (!join(&out->extensions, &out->extensions_len, &r->joined, value)) code = HFT_E_HTTP_TOO_LARGE;
    } else if (same(name, TEXT("transfer-encoding"))) {
        code = HFT_E_HTTP_SYNTAX; /* a body would be taken for frames */
    } else if (same(name, TEXT("content-length"))) {
        if (!equal(value, TEXT("0"))) code = HFT_E_HTTP_SYNTAX;
    }
    return code < 0 ? fail_quoting(err, code, pos, line) : 0;
}

static int finish_request(const request_state *r, size_t head_len, hft_err *err) {
    if (r->out->host == NULL) return hft_fail(err, HFT_E_HTTP_SYNTAX, head_len, "no Host");
    int rc = missing_upgrade(&r->seen, head_len, err);
    if (rc < 0) return rc;
    if (r->out->key == NULL) return hft_fail(err, HFT_E_HTTP_UPGRADE, head_len, "no Sec-WebSocket-Key");
    if (!r->version) return hft_fail(err, HFT_E_HTTP_UPGRADE, head_len, "no Sec-WebSocket-Version");
    return (int)head_len;
}

int hft_http1_parse_request(hft_http1_request *out, const char *buf, size_t len, hft_err *err) {
    request_state r = {.out = out, .joined = {out->joined, sizeof out->joined, 0}};
    *out = (hft_http1_request){.target = NULL};
    text head = {buf, len < HFT_HTTP1_HEAD_MAX ? len : HFT_HTTP1_HEAD_MAX};
    if (begins_otherwise(head, TEXT("GET /"))) return fail_quoting(err, HFT_E_HTTP_SYNTAX, 0, head);
    for (size_t pos = 0;;) {
        text line;
        int rc = next_line(&line, buf, head.len, pos);
        if (rc < 0) return hft_fail(err, rc, pos, "line does not end with CR LF");
        if (rc == 0) break;
        if (pos != 0 && line.len == 0) return finish_request(&r, pos + 2, err);
        rc = pos == 0 ? read_request_line(&r, line, err) : read_request_field(&r, line, pos, err);
        if (rc < 0) return rc;
        pos += line.len + 2;
    }
    return len < HFT_HTTP1_HEAD_MAX ? 0 : hft_fail(err, HFT_E_HTTP_TOO_LARGE, HFT_HTTP1_HEAD_MAX, NULL);
}

int hft_http1_build_response(char *out, size_t cap, const hft_http1_answer *answer) {
    text accept = {answer->accept, HFT_HTTP1_ACCEPT_LEN};
    text subprotocol = {answer->subprotocol, answer->subprotocol_len};
    text extensions = {answer->extensions, answer->extensions_len};
    uint8_t digest[HFT_HTTP1_ACCEPT_LEN / 4 * 3];
    if (hft_base64_decode(digest, accept.ptr, accept.len) != 20) return HFT_E_ARGUMENT;
    if (subprotocol.len != 0 && !is_token(subprotocol)) return HFT_E_ARGUMENT;
    if (extensions.len != 0 && !extensions_valid(extensions)) return HFT_E_ARGUMENT;
    writer w = writer_of(out, cap);
    put(&w, TEXT("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"));
    put_field(&w, TEXT("Sec-WebSocket-Accept"), accept);
    put_field(&w, TEXT("Sec-WebSocket-Protocol"), subprotocol);
    put_field(&w, TEXT("Sec-WebSocket-Extensions"), extensions);
    put(&w, TEXT("\r\n"));
    return written(&w);
}
