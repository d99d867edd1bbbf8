#include "hft/deflate.h"

#define ZLIB_CONST
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "hft/hmac.h"
#include "hft/http1.h"

#define NAME "permessage-deflate"
#define BITS_MIN 8
#define BITS_MAX 15
#define BLOCK_SIZE ((size_t)1 << 20) /* more than any zlib asks for; what is not used is given back at once */

/* ---- negotiation ---- */

static int bits_valid(const hft_deflate_params *params) {
    uint8_t client = params->client_max_window_bits, server = params->server_max_window_bits;
    return (client == 0 || (client >= BITS_MIN && client <= BITS_MAX)) &&
           (server == 0 || (server >= BITS_MIN && server <= BITS_MAX));
}

static uint8_t bits_or(uint8_t bits, uint8_t otherwise) { return bits != 0 ? bits : otherwise; }

static uint8_t smaller(uint8_t a, uint8_t b) { return a < b ? a : b; }

/* The value with these parameters; bits of 0 are left out, and the client's stand without a value if bare_client. */
static int put_value(char *out, size_t cap, const hft_deflate_params *params, int bare_client) {
    char server[32] = "", client[32] = "";
    if (params->server_max_window_bits != 0)
        snprintf(server, sizeof server, "; server_max_window_bits=%u", params->server_max_window_bits);
    if (params->client_max_window_bits != 0)
        snprintf(client, sizeof client, bare_client ? "; client_max_window_bits" : "; client_max_window_bits=%u",
                 params->client_max_window_bits);
    int len = snprintf(out, cap, NAME "%s%s%s%s",
                       params->server_no_context_takeover ? "; server_no_context_takeover" : "",
                       params->client_no_context_takeover ? "; client_no_context_takeover" : "", server, client);
    return (size_t)len < cap ? len : HFT_E_CAPACITY;
}

int hft_deflate_offer(char *out, size_t cap, const hft_deflate_params *wanted) {
    if (!bits_valid(wanted)) return HFT_E_ARGUMENT;
    return put_value(out, cap, wanted, wanted->client_max_window_bits == BITS_MAX);
}

/* One extension of a list: an offer, or the answer. */
typedef struct {
    const char *wrong; /* why it cannot be agreed on, NULL = it can */
    hft_deflate_params params;
} element;

static int is_text(const char *ptr, size_t len, const char *text) {
    return len == strlen(text) && memcmp(ptr, text, len) == 0;
}

/* 8 to 15 without leading zeros, else 0. A backslash can only be a quoted string's, before what it escapes. */
static uint8_t read_bits(const hft_http1_extension *param) {
    unsigned bits = 0;
    for (size_t i = 0; i < param->value_len; i++) {
        char c = param->value[i];
        if (c == '\\') continue;
        if (c < '0' || c > '9' || (c == '0' && bits == 0) || bits > BITS_MAX) return 0;
        bits = bits * 10 + (unsigned)(c - '0');
    }
    return bits >= BITS_MIN && bits <= BITS_MAX ? (uint8_t)bits : 0;
}

static const char *take_flag(uint8_t *flag, const hft_http1_extension *param) {
    if (*flag != 0) return "parameter twice";
    *flag = 1;
    return param->value == NULL ? NULL : "parameter with a value";
}

static const char *take_bits(uint8_t *bits, const hft_http1_extension *param) {
    if (*bits != 0) return "parameter twice";
    *bits = read_bits(param);
    return *bits != 0 ? NULL : "window bits not 8 to 15";
}

static const char *take_param(hft_deflate_params *params, const hft_http1_extension *param, int is_offer) {
    const char *name = param->name;
    size_t len = param->name_len;
    if (is_text(name, len, "server_no_context_takeover")) return take_flag(&params->server_no_context_takeover, param);
    if (is_text(name, len, "client_no_context_takeover")) return take_flag(&params->client_no_context_takeover, param);
    if (is_text(name, len, "server_max_window_bits")) return take_bits(&params->server_max_window_bits, param);
    if (!is_text(name, len, "client_max_window_bits")) return "unknown parameter";
    const hft_http1_extension all = {.value = "15", .value_len = 2}; /* an offer may leave it to the server */
    return take_bits(&params->client_max_window_bits, is_offer && param->value == NULL ? &all : param);
}

/* The next extension with all of its parameters. Returns 1, 0 = the end, or HFT_E_HTTP_SYNTAX. */
static int next_element(element *e, size_t *pos, const char *list, size_t len, int is_offer) {
    hft_http1_extension piece;
    int rc = hft_http1_next_extension(&piece, pos, list, len);
    if (rc != 1) return rc;
    *e = (element){.wrong = is_text(piece.name, piece.name_len, NAME) ? NULL : "another extension"};
    for (size_t ahead = *pos; (rc = hft_http1_next_extension(&piece, &ahead, list, len)) == 1; *pos = ahead) {
        if (!piece.is_param) return 1;
        const char *wrong = take_param(&e->params, &piece, is_offer);
        if (e->wrong == NULL) e->wrong = wrong;
    }
    return rc < 0 ? rc : 1;
}

/* What section 7.1 lets a server answer to an offer. */
static const char *check_answer(const hft_deflate_params *answer, const hft_deflate_params *offered) {
    if (offered->server_no_context_takeover && !answer->server_no_context_takeover)
        return "server_no_context_takeover not granted";
    if (offered->server_max_window_bits != 0 && answer->server_max_window_bits == 0)
        return "server_max_window_bits not granted";
    if (offered->server_max_window_bits != 0 && answer->server_max_window_bits > offered->server_max_window_bits)
        return "server_max_window_bits over the offer";
    if (answer->client_max_window_bits > offered->client_max_window_bits)
        return offered->client_max_window_bits == 0 ? "client_max_window_bits not offered"
                                                    : "client_max_window_bits over the offer";
    return NULL;
}

static int refuse(hft_err *err, const char *why, const char *value, size_t len) {
    char text[sizeof err->text];
    snprintf(text, sizeof text, "%s: %.*s", why, len < 100 ? (int)len : 100, value);
    for (char *c = text; *c != '\0'; c++)
        if (*c < 0x20 || *c > 0x7e) *c = '?';
    return hft_fail(err, HFT_E_HTTP_EXTENSION, 0, text);
}

int hft_deflate_agree(hft_deflate_params *agreed, const hft_deflate_params *offered, const char *value, size_t len,
                      hft_err *err) {
    element answer, other;
    size_t pos = 0;
    int rc = next_element(&answer, &pos, value, len, 0);
    if (rc != 1) return refuse(err, "malformed", value, len);
    if (answer.wrong != NULL) return refuse(err, answer.wrong, value, len);
    rc = next_element(&other, &pos, value, len, 0);
    if (rc != 0) return refuse(err, rc < 0 ? "malformed" : "more than one extension", value, len);
    const char *wrong = check_answer(&answer.params, offered);
    if (wrong != NULL) return refuse(err, wrong, value, len);
    /* What the server left open: its own window is whole, and of ours the offer told it (sections 7.1.1.2, 7.1.2.2). */
    uint8_t client_bits = bits_or(offered->client_max_window_bits, BITS_MAX);
    *agreed = answer.params;
    agreed->client_no_context_takeover |= offered->client_no_context_takeover;
    agreed->client_max_window_bits = bits_or(answer.params.client_max_window_bits, client_bits);
    agreed->server_max_window_bits = bits_or(answer.params.server_max_window_bits, BITS_MAX);
    return 0;
}

int hft_deflate_answer(char *out, size_t cap, hft_deflate_params *agreed, const hft_deflate_params *own,
                       const char *offers, size_t len) {
    element offer;
    size_t pos = 0;
    int rc;
    if (!bits_valid(own)) return HFT_E_ARGUMENT;
    while ((rc = next_element(&offer, &pos, offers, len, 1)) == 1 && offer.wrong != NULL) {}
    if (rc != 1) return rc;
    const hft_deflate_params *asked = &offer.params;
    uint8_t client_bits = bits_or(asked->client_max_window_bits, BITS_MAX);
    hft_deflate_params both = {
        .client_no_context_takeover = asked->client_no_context_takeover || own->client_no_context_takeover,
        .server_no_context_takeover = asked->server_no_context_takeover || own->server_no_context_takeover,
        .client_max_window_bits = client_bits,
        .server_max_window_bits = smaller(bits_or(asked->server_max_window_bits, BITS_MAX),
                                          bits_or(own->server_max_window_bits, BITS_MAX)),
    };
    /* Without the parameter in its offer a client may not be told a window (section 7.1.2.2). */
    if (asked->client_max_window_bits != 0)
        both.client_max_window_bits = smaller(client_bits, bits_or(own->client_max_window_bits, BITS_MAX));
    hft_deflate_params told = both;
    if (both.server_max_window_bits == BITS_MAX && asked->server_max_window_bits == 0) told.server_max_window_bits = 0;
    if (both.client_max_window_bits == client_bits) told.client_max_window_bits = 0;
    rc = put_value(out, cap, &told, 0);
    if (rc > 0) *agreed = both;
    return rc;
}

/* ---- messages ---- */

struct hft_deflate {
    z_stream inflater, deflater;
    size_t size, used; /* of the mapping that begins with this struct */
    int reset_inflater, reset_deflater;
    int failed;
};

/* What a flush ends with, and a payload leaves out (section 7.2.1). */
static const uint8_t tail[4] = {0x00, 0x00, 0xff, 0xff};

static voidpf take_memory(voidpf opaque, uInt items, uInt size) {
    hft_deflate *d = opaque;
    size_t start = (d->used + 63) & ~(size_t)63, len = (size_t)items * size;
    if (start > d->size || len > d->size - start) return Z_NULL;
    d->used = start + len;
    return (uint8_t *)d + start;
}

static void leave_memory(voidpf opaque, voidpf address) {
    (void)opaque;
    (void)address; /* the whole block goes at once */
}

static int status_of(int rc) { return rc == Z_MEM_ERROR ? HFT_E_MEMORY : HFT_E_ARGUMENT; }

static int open_inflater(hft_deflate *d, int bits) {
    const uint8_t nothing = 0;
    d->inflater = (z_stream){.zalloc = take_memory, .zfree = leave_memory, .opaque = d};
    int rc = inflateInit2(&d->inflater, -bits);
    /* zlib takes the window when it is first needed: here. */
    if (rc == Z_OK) rc = inflateSetDictionary(&d->inflater, &nothing, 1);
    if (rc == Z_OK) rc = inflateReset(&d->inflater);
    return rc == Z_OK ? 0 : status_of(rc);
}

static int open_deflater(hft_deflate *d, int bits, int level) {
    d->deflater = (z_stream){.zalloc = take_memory, .zfree = leave_memory, .opaque = d};
    /* Hash table and symbols in proportion to the window, up to zlib's default. */
    int bits_held = bits > 9 ? bits : 9, mem_level = bits_held < 13 ? bits_held - 5 : 8;
    int strategy = bits > BITS_MIN ? Z_DEFAULT_STRATEGY : Z_RLE; /* runs reach back one byte: any window will do */
    int rc = deflateInit2(&d->deflater, level, Z_DEFLATED, -bits_held, mem_level, strategy);
    return rc == Z_OK ? 0 : status_of(rc);
}

/* Gives back the pages that nothing was taken from. */
static int trim(hft_deflate *d) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), keep = (d->used + page - 1) & ~(page - 1);
    if (munmap((uint8_t *)d + keep, d->size - keep) != 0) return -errno;
    d->size = keep; /* from now on there is nothing more to take */
    return 0;
}

int hft_deflate_open(hft_deflate **deflate, const hft_deflate_params *agreed, hft_ws_role role, int level,
                     hft_err *err) {
    *deflate = NULL;
    if (!bits_valid(agreed) || level < 0 || level > 9) return hft_fail(err, HFT_E_ARGUMENT, 0, NAME);
    int client = role == HFT_WS_CLIENT;
    uint8_t client_bits = bits_or(agreed->client_max_window_bits, BITS_MAX);
    uint8_t server_bits = bits_or(agreed->server_max_window_bits, BITS_MAX);
    void *block = mmap(NULL, BLOCK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (block == MAP_FAILED) return hft_fail(err, -errno, 0, "memory for " NAME);
    hft_deflate *d = block;
    *d = (hft_deflate){.size = BLOCK_SIZE, .used = sizeof *d};
    d->reset_inflater = client ? agreed->server_no_context_takeover : agreed->client_no_context_takeover;
    d->reset_deflater = client ? agreed->client_no_context_takeover : agreed->server_no_context_takeover;
    int rc = open_inflater(d, client ? server_bits : client_bits);
    if (rc == 0) rc = open_deflater(d, client ? client_bits : server_bits, level);
    if (rc == 0) rc = trim(d);
    if (rc < 0) {
        hft_deflate_close(d);
        return hft_fail(err, rc, 0, "zlib cannot begin");
    }
    *deflate = d;
    return 0;
}

void hft_deflate_close(hft_deflate *d) {
    if (d == NULL) return;
    inflateEnd(&d->inflater);
    deflateEnd(&d->deflater);
    size_t size = d->size;
    hft_wipe(d, d->used);
    munmap(d, size);
}

size_t hft_deflate_size(const hft_deflate *d) { return d->size; }

/* Decompresses all of the input. Returns 0, 1 = the last byte ended a final block, or an error. */
static int inflate_all(z_stream *z, const uint8_t *in, size_t len) {
    uint8_t spare;
    z->next_in = in;
    z->avail_in = (uInt)len;
    for (;;) {
        int full = z->avail_out == 0;
        if (full) { /* the rest may still be block ends; only a byte more is one too many */
            z->next_out = &spare;
            z->avail_out = 1;
        }
        int rc = inflate(z, Z_SYNC_FLUSH);
        if (full && z->avail_out == 0) return HFT_E_WS_TOO_LARGE;
        if (full) z->avail_out = 0;
        if (rc == Z_STREAM_END) { /* BFINAL; the window stays (section 7.2.3.4) */
            if (inflateResetKeep(z) != Z_OK) return HFT_E_WS_DEFLATE;
            if (z->avail_in == 0) return 1;
            continue;
        }
        if (rc != Z_OK && rc != Z_BUF_ERROR) return rc == Z_MEM_ERROR ? HFT_E_MEMORY : HFT_E_WS_DEFLATE;
        if (z->avail_in == 0) return 0; /* output that is still due comes before anything else of the next call */
    }
}

int hft_deflate_decompress(hft_deflate *d, uint8_t *out, size_t cap, size_t *out_len, const uint8_t *in, size_t len) {
    z_stream *z = &d->inflater;
    *out_len = 0;
    if (d->failed != 0) return d->failed;
    if (len == 0) return 0;
    if (len > UINT_MAX) return d->failed = HFT_E_WS_TOO_LARGE;
    if (d->reset_inflater && inflateReset(z) != Z_OK) return d->failed = HFT_E_WS_DEFLATE;
    if (cap > UINT_MAX) cap = UINT_MAX;
    z->next_out = out;
    z->avail_out = (uInt)cap;
    int rc = inflate_all(z, in, len);
    uInt room = z->avail_out;
    if (rc == 0) {
        rc = inflate_all(z, tail, sizeof tail);
        /* The tail is the end of an empty block, or the message was cut: 128 stands for "between blocks", 63 for bits
         * left over. */
        if (rc >= 0 && ((z->data_type & (128 | 63)) != 128 || z->avail_out != room)) rc = HFT_E_WS_DEFLATE;
    }
    if (rc < 0) return d->failed = rc;
    *out_len = cap - room;
    return 0;
}

int hft_deflate_compress(hft_deflate *d, uint8_t *out, size_t cap, size_t *out_len, const uint8_t *in, size_t len) {
    z_stream *z = &d->deflater;
    *out_len = 0;
    if (len > UINT_MAX) return HFT_E_WS_TOO_LARGE;
    if (cap == 0) return HFT_E_CAPACITY;
    if (len == 0) { /* zlib would not flush again; section 7.2.3.6 */
        out[0] = 0;
        *out_len = 1;
        return 0;
    }
    if (d->reset_deflater && deflateReset(z) != Z_OK) return HFT_E_STATE;
    if (cap > UINT_MAX) cap = UINT_MAX;
    z->next_in = in;
    z->avail_in = (uInt)len;
    z->next_out = out;
    z->avail_out = (uInt)cap;
    int rc = deflate(z, Z_SYNC_FLUSH);
    size_t made = cap - z->avail_out;
    if (rc != Z_OK || z->avail_out == 0 || made < sizeof tail) {
        (void)deflateReset(z); /* the peer will not have what the window holds */
        return HFT_E_CAPACITY;
    }
    *out_len = made - sizeof tail;
    return 0;
}

size_t hft_deflate_bound(hft_deflate *d, size_t len) {
    return deflateBound(&d->deflater, len) + 16; /* a flush, its marker, and the room that tells zlib it is done */
}
