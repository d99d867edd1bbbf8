#include "play.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <time.h>

#include "bench.h"
#include "hft/endian.h"
#include "hft/http1.h"
#include "hft/text.h"

/* ---- transactions ---- */

static void sha256d(uint8_t out[32], const uint8_t *data, size_t len) {
    uint8_t once[32];
    SHA256(data, len, once);
    SHA256(once, sizeof once, out);
}

static uint8_t *put(uint8_t *out, const void *data, size_t len) {
    memcpy(out, data, len);
    return out + len;
}

uint8_t *play_noise(uint8_t *out, size_t len, uint64_t *state) {
    for (size_t i = 0; i < len; i++) {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        *out++ = (uint8_t)(*state * 0x2545f4914f6cdd1dull >> 56);
    }
    return out;
}

static uint8_t *put_output(uint8_t *out, uint64_t value, const uint8_t *script, size_t len) {
    hft_store_le64(out, value);
    out[8] = (uint8_t)len;
    return put(out + 9, script, len);
}

/* The inputs and outputs: what txid and wtxid have in common. */
static size_t put_body(uint8_t *out, const uint8_t *script, uint64_t *noise) {
    uint8_t *p = out, change[22] = {0, 20};
    *p++ = 1;
    p = put(play_noise(p, 32, noise), "\1\0\0\0\0\xfd\xff\xff\xff", 9);
    *p++ = 2;
    p = put_output(p, PLAY_DEPOSIT_SAT, script, 22);
    play_noise(change + 2, 20, noise);
    p = put_output(p, 734211, change, sizeof change);
    return (size_t)(p - out);
}

void play_tx_make(play_tx *tx, uint64_t number, const uint8_t *script) {
    uint8_t body[160], raw[256], stripped[200], txid[32];
    uint64_t noise = (number + 1) * 0x9e3779b97f4a7c15ull;
    size_t body_len = put_body(body, script, &noise);
    uint8_t *p = put(put(raw, "\2\0\0\0\0\1", 6), body, body_len);
    p = play_noise(put(p, "\2\107", 2), 71, &noise);
    p = play_noise(put(p, "\41\2", 2), 32, &noise);
    p = put(p, "\0\0\0\0", 4);
    uint8_t *q = put(put(put(stripped, "\2\0\0\0", 4), body, body_len), "\0\0\0\0", 4);
    sha256d(tx->wtxid, raw, (size_t)(p - raw));
    sha256d(txid, stripped, (size_t)(q - stripped));
    int len = hft_btc_build_message(tx->message, sizeof tx->message, PLAY_MAGIC, "tx", raw, (size_t)(p - raw));
    if (len < 0) die("building a transaction: %d", len);
    tx->message_len = (size_t)len;
    memcpy(tx->client_id, "h00-", 4);
    for (int i = 0; i < 12; i++) snprintf(tx->client_id + 4 + 2 * i, 3, "%02x", txid[31 - i]);
}

/* ---- the Bitcoin peer ---- */

static void peer_put(play_peer *peer, const char *command, const void *payload, size_t len) {
    uint8_t *out = peer->out + peer->out_len;
    int rc = hft_btc_build_message(out, PLAY_BUFFER - peer->out_len, PLAY_MAGIC, command, payload, len);
    if (rc < 0) die("%s: %d", command, rc);
    peer->out_len += (size_t)rc;
}

static void peer_on_message(play_peer *peer, const hft_btc_message *message) {
    const uint8_t *entries;
    size_t n = 0;
    switch (message->kind) {
    case HFT_BTC_MSG_VERSION: {
        hft_btc_version version = {.version = HFT_BTC_PROTOCOL_VERSION,
                                   .services = HFT_BTC_NODE_NETWORK | HFT_BTC_NODE_WITNESS,
                                   .timestamp = time(NULL), .nonce = 1, .user_agent = "/bench:1/",
                                   .user_agent_len = 9, .start_height = 900000, .relay = 1};
        int rc = hft_btc_build_version(peer->out + peer->out_len, 512, PLAY_MAGIC, &version);
        if (rc < 0) die("version: %d", rc);
        peer->out_len += (size_t)rc;
        peer_put(peer, "wtxidrelay", NULL, 0);
        peer_put(peer, "verack", NULL, 0);
        break;
    }
    case HFT_BTC_MSG_VERACK: peer->ready = 1; break;
    case HFT_BTC_MSG_PING: peer_put(peer, "pong", message->payload, message->payload_len); break;
    case HFT_BTC_MSG_GETDATA:
        if (hft_btc_parse_inv(&entries, &n, message->payload, message->payload_len) < 0) die("getdata does not parse");
        peer->requested += n;
        break;
    default: break;
    }
}

void play_peer_feed(play_peer *peer, const uint8_t *data, size_t len) {
    if (len > PLAY_BUFFER - peer->in_len) die("the peer's buffer is full");
    memcpy(peer->in + peer->in_len, data, len);
    peer->in_len += len;
    size_t pos = 0;
    for (;;) {
        hft_btc_message message;
        size_t used = 0, need = 0;
        int rc = hft_btc_next_message(&message, &used, &need, PLAY_MAGIC, HFT_BTC_MESSAGE_MAX, peer->in + pos,
                                      peer->in_len - pos);
        if (rc < 0) die("the engine sent something that is no Bitcoin message: %d", rc);
        if (rc == 0) break;
        peer_on_message(peer, &message);
        pos += used;
    }
    memmove(peer->in, peer->in + pos, peer->in_len - pos);
    peer->in_len -= pos;
}

void play_peer_announce(play_peer *peer, const play_tx *txs, size_t n) {
    uint8_t hashes[64 * 32];
    if (n > 64) die("at most 64 announcements at a time");
    for (size_t i = 0; i < n; i++) memcpy(hashes + 32 * i, txs[i].wtxid, 32);
    int rc = hft_btc_build_inv(peer->out + peer->out_len, PLAY_BUFFER - peer->out_len, PLAY_MAGIC, "inv",
                               HFT_BTC_INV_WTX, hashes, n);
    if (rc < 0) die("inv: %d", rc);
    peer->out_len += (size_t)rc;
}

/* ---- the exchange ---- */

void play_venue_open(play_venue *venue, const char *cert, const char *key, const char *secret) {
    memset(venue, 0, sizeof *venue);
    venue->secret = secret;
    hft_ws_parser_init(&venue->parser, HFT_WS_SERVER, NULL, 0, 65536, SIZE_MAX);
    if (cert == NULL) return;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL || SSL_CTX_use_certificate_file(ctx, cert, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") != 1)
        die("the exchange's TLS context could not be made");
    venue->ssl = SSL_new(ctx);
    SSL_set_bio(venue->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(venue->ssl);
    SSL_CTX_free(ctx);
}

static void venue_collect(play_venue *venue) {
    BIO *records = SSL_get_wbio(venue->ssl);
    int n;
    while ((n = BIO_read(records, venue->out + venue->out_len, (int)(PLAY_BUFFER - venue->out_len))) > 0)
        venue->out_len += (size_t)n;
}

static void venue_write(play_venue *venue, const void *data, size_t len) {
    if (len > PLAY_BUFFER - venue->out_len) die("the exchange's buffer is full");
    if (venue->ssl == NULL) {
        memcpy(venue->out + venue->out_len, data, len);
        venue->out_len += len;
        return;
    }
    if (SSL_write(venue->ssl, data, (int)len) != (int)len) die("the exchange cannot write TLS");
    venue_collect(venue);
}

static void venue_put(play_venue *venue, hft_ws_op op, const void *payload, size_t len) {
    uint8_t frame[2048];
    int rc = hft_ws_build_frame(frame, sizeof frame, op, payload, len, NULL);
    if (rc < 0) die("frame: %d", rc);
    venue_write(venue, frame, (size_t)rc);
}

__attribute__((format(printf, 2, 3))) static void venue_say(play_venue *venue, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    venue_put(venue, HFT_WS_OP_TEXT, text, (size_t)len);
}

static size_t venue_upgrade(play_venue *venue) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    hft_http1_request request;
    hft_err err;
    int head_len = hft_http1_parse_request(&request, (const char *)venue->in, venue->in_len, &err);
    if (head_len < 0) die("the engine's upgrade is not valid: %d %s", head_len, err.text);
    if (head_len == 0) return 0;
    uint8_t joined[HFT_HTTP1_KEY_LEN + sizeof guid - 1], digest[20];
    char accept[HFT_HTTP1_ACCEPT_LEN], response[256];
    memcpy(joined, request.key, HFT_HTTP1_KEY_LEN);
    memcpy(joined + HFT_HTTP1_KEY_LEN, guid, sizeof guid - 1);
    SHA1(joined, sizeof joined, digest);
    hft_base64_encode(accept, digest, sizeof digest);
    int len = hft_http1_build_response(response, sizeof response, &(hft_http1_answer){.accept = accept});
    if (len < 0) die("no response: %d", len);
    venue_write(venue, response, (size_t)len);
    venue->upgraded = 1;
    return (size_t)head_len;
}

static const char *text_between(const char *text, const char *from, const char *to, size_t *len) {
    const char *start = strstr(text, from);
    const char *end = start != NULL ? strstr(start + strlen(from), to) : NULL;
    if (end == NULL) die("no %s in %s", from, text);
    start += strlen(from);
    *len = (size_t)(end - start);
    return start;
}

/* Rebuilds what must have been signed from the parameters as they arrived, and compares signatures. */
static void check_order(const play_venue *venue, const char *text) {
    char query[1024] = "", signature[65] = "", last[32] = "";
    size_t query_len = 0, len;
    const char *p = text_between(text, "\"params\":{", "}", &len), *end = p + len;
    while (p < end) {
        char name[32], value[128];
        int used = 0, quoted = sscanf(p, "\"%31[^\"]\":\"%127[^\"]\"%n", name, value, &used) == 2 && used != 0;
        if (!quoted && (sscanf(p, "\"%31[^\"]\":%127[0-9]%n", name, value, &used) != 2 || used == 0))
            die("parameters do not parse: %s", p);
        p += used + (p[used] == ',');
        if (strcmp(name, "signature") == 0) {
            memcpy(signature, value, sizeof signature);
            continue;
        }
        if (strcmp(last, name) >= 0) die("parameters are not in order: %s", text);
        memcpy(last, name, sizeof last);
        query_len += (size_t)snprintf(query + query_len, sizeof query - query_len, "%s%s=%s", query_len ? "&" : "",
                                      name, value);
    }
    uint8_t mac[32];
    char expected[65];
    HMAC(EVP_sha256(), venue->secret, (int)strlen(venue->secret), (const uint8_t *)query, query_len, mac, NULL);
    for (int i = 0; i < 32; i++) snprintf(expected + 2 * i, 3, "%02x", mac[i]);
    if (strcmp(signature, expected) != 0) die("wrong signature: %s", text);
}

static void venue_on_text(play_venue *venue, const char *text) {
    size_t len;
    const char *id = text_between(text, "{\"id\":\"", "\"", &len);
    uint64_t now_ms = hft_clock_wall_ns() / 1000000;
    if (strstr(text, "\"method\":\"order.place\"") == NULL) {
        venue->other++;
        venue_say(venue, "{\"id\":\"%.*s\",\"status\":200,\"result\":{\"serverTime\":%llu}}", (int)len, id,
                  (unsigned long long)now_ms);
        return;
    }
    check_order(venue, text);
    if (len >= sizeof venue->client_id) die("client id too long: %s", text);
    memcpy(venue->client_id, id, len);
    venue->client_id[len] = '\0';
    unsigned long long number = ++venue->orders;
    venue_say(venue,
              "{\"id\":\"%s\",\"status\":200,\"result\":{\"symbol\":\"BTCUSDT\",\"orderId\":%llu,"
              "\"orderListId\":-1,\"clientOrderId\":\"%s\",\"transactTime\":%llu}}",
              venue->client_id, number, venue->client_id, (unsigned long long)now_ms);
    venue_say(venue,
              "{\"subscriptionId\":0,\"event\":{\"e\":\"executionReport\",\"E\":%llu,\"s\":\"BTCUSDT\","
              "\"c\":\"%s\",\"S\":\"SELL\",\"i\":%llu,\"X\":\"FILLED\",\"z\":\"0.00100000\"}}",
              (unsigned long long)now_ms, venue->client_id, number);
}

static size_t venue_on_frame(play_venue *venue, uint8_t *data, size_t data_len) {
    hft_ws_event event;
    size_t used = 0;
    char text[4096];
    int rc = hft_ws_parser_next(&venue->parser, &event, &used, data, data_len);
    if (rc < 0) die("the engine's frame is not valid: %d %s", rc, venue->parser.err.text);
    if (rc == 0) return 0;
    if (event.op == HFT_WS_OP_PING) venue_put(venue, HFT_WS_OP_PONG, event.data, event.len);
    if (event.op == HFT_WS_OP_CLOSE) venue_put(venue, HFT_WS_OP_CLOSE, NULL, 0);
    if (event.op != HFT_WS_OP_TEXT) return used;
    if (event.len >= sizeof text) die("message too long");
    memcpy(text, event.data, event.len);
    text[event.len] = '\0';
    venue_on_text(venue, text);
    return used;
}

static void venue_on_plain(play_venue *venue) {
    size_t pos = 0, used = 0;
    if (!venue->upgraded) pos = venue_upgrade(venue);
    while (venue->upgraded && (used = venue_on_frame(venue, venue->in + pos, venue->in_len - pos)) != 0) pos += used;
    memmove(venue->in, venue->in + pos, venue->in_len - pos);
    venue->in_len -= pos;
}

void play_venue_feed(play_venue *venue, const uint8_t *data, size_t len) {
    if (len > PLAY_BUFFER - venue->in_len) die("the exchange's buffer is full");
    if (venue->ssl == NULL) {
        memcpy(venue->in + venue->in_len, data, len);
        venue->in_len += len;
        venue_on_plain(venue);
        return;
    }
    if (BIO_write(SSL_get_rbio(venue->ssl), data, (int)len) != (int)len) die("no memory");
    int n;
    while ((n = SSL_read(venue->ssl, venue->in + venue->in_len, (int)(PLAY_BUFFER - venue->in_len))) > 0) {
        venue->in_len += (size_t)n;
        venue_on_plain(venue);
    }
    int error = SSL_get_error(venue->ssl, n);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_ZERO_RETURN) die("the engine's TLS is not valid: %d", error);
    venue_collect(venue);
}
