#include "hft/peer.h"

#include <stdio.h>
#include <string.h>

#include "hft/endian.h"

/* What a listener needs of a peer: witness data in transactions. */
static const uint64_t services_needed = HFT_BTC_NODE_WITNESS;

void hft_peer_init(hft_peer *peer, const hft_peer_config *config) {
    peer->config = *config;
    peer->checksum_errors = peer->messages_in = 0;
    hft_peer_down(peer);
}

void hft_peer_down(hft_peer *peer) {
    peer->state = HFT_PEER_DOWN;
    peer->wtxid_relay = peer->inbound = 0;
    peer->version = peer->start_height = 0;
    peer->services = peer->fee_filter = 0;
    peer->user_agent[0] = '\0';
    peer->ping_sent_ns = peer->ping_nonce = peer->ping_ns = peer->ping_min_ns = 0;
    peer->consumed = 0;
}

/* Where sending ended, what was received before is still good, and its end closes. */
static int fail(hft_peer *peer, int code, const char *text) {
    if (code == peer->conn.send_error) return 0;
    hft_conn_close(&peer->conn, code, text);
    return code;
}

/* ---- sending ---- */

#define SMALL_MESSAGE_MAX 512

static int put(hft_peer *peer, const char *command, const void *payload, size_t len) {
    uint8_t *space = hft_conn_space(&peer->conn, HFT_BTC_HEADER_LEN + len);
    if (space == NULL) return HFT_E_CONN_SEND_FULL;
    int rc = hft_btc_build_message(space, HFT_BTC_HEADER_LEN + len, peer->config.magic, command, payload, len);
    return rc < 0 ? rc : hft_conn_commit(&peer->conn, space, (size_t)rc);
}

static int put_version(hft_peer *peer) {
    uint8_t *space = hft_conn_space(&peer->conn, SMALL_MESSAGE_MAX);
    if (space == NULL) return HFT_E_CONN_SEND_FULL;
    hft_btc_version version = {
        .version = HFT_BTC_PROTOCOL_VERSION,
        .timestamp = peer->started_at,
        .nonce = peer->config.nonce,
        .user_agent = peer->config.user_agent,
        .user_agent_len = strlen(peer->config.user_agent),
        .relay = 1,
    };
    int rc = hft_btc_build_version(space, SMALL_MESSAGE_MAX, peer->config.magic, &version);
    return rc < 0 ? rc : hft_conn_commit(&peer->conn, space, (size_t)rc);
}

static void begin(hft_peer *peer, uint64_t now_ns, uint64_t wall_ns) {
    peer->state = HFT_PEER_VERSION;
    peer->last_recv_ns = now_ns;
    peer->started_at = (int64_t)(wall_ns / 1000000000u);
}

int hft_peer_start(hft_peer *peer, uint64_t now_ns, uint64_t wall_ns) {
    begin(peer, now_ns, wall_ns);
    int rc = put_version(peer);
    if (rc >= 0) rc = hft_conn_flush(&peer->conn);
    return rc < 0 ? fail(peer, rc, "version") : 0;
}

void hft_peer_accepted(hft_peer *peer, uint64_t now_ns, uint64_t wall_ns) {
    begin(peer, now_ns, wall_ns);
    peer->inbound = 1;
}

int hft_peer_request(hft_peer *peer, const uint8_t *hashes, size_t n) {
    uint32_t type = peer->wtxid_relay ? HFT_BTC_INV_WTX : HFT_BTC_INV_WITNESS_TX;
    size_t cap = HFT_BTC_HEADER_LEN + 9 + n * 36;
    uint8_t *space = hft_conn_space(&peer->conn, cap);
    if (space == NULL) return fail(peer, HFT_E_CONN_SEND_FULL, "getdata");
    int rc = hft_btc_build_inv(space, cap, peer->config.magic, "getdata", type, hashes, n);
    if (rc >= 0) rc = hft_conn_commit(&peer->conn, space, (size_t)rc);
    return rc < 0 ? fail(peer, rc, "getdata") : 0;
}

int hft_peer_ask_addresses(hft_peer *peer) {
    int rc = put(peer, "getaddr", NULL, 0);
    return rc < 0 ? fail(peer, rc, "getaddr") : 0;
}

static int put_ping(hft_peer *peer, uint64_t now_ns) {
    uint8_t nonce[8];
    peer->ping_sent_ns = now_ns;
    peer->ping_nonce = (peer->config.nonce ^ now_ns) | 1; /* 0 says that there is none */
    hft_store_le64(nonce, peer->ping_nonce);
    int rc = put(peer, "ping", nonce, sizeof nonce);
    return rc < 0 ? fail(peer, rc, "ping") : 0;
}

void hft_peer_tick(hft_peer *peer, uint64_t now_ns, uint64_t interval_ns, uint64_t idle_ns) {
    if (peer->state != HFT_PEER_READY || peer->conn.state != HFT_CONN_OPEN) return;
    int is_mute = peer->ping_nonce != 0 && now_ns - peer->ping_sent_ns > idle_ns;
    if (is_mute || now_ns - peer->last_recv_ns > idle_ns) {
        fail(peer, HFT_E_CONN_IDLE_TIMEOUT, "no answer to pings");
        return;
    }
    if (peer->ping_nonce != 0 || now_ns - peer->ping_sent_ns < interval_ns) return;
    if (put_ping(peer, now_ns) < 0) return;
    int rc = hft_conn_flush(&peer->conn);
    if (rc < 0) fail(peer, rc, "ping");
}

/* ---- receiving ---- */

static void keep_user_agent(hft_peer *peer, const hft_btc_version *version) {
    size_t len = version->user_agent_len < HFT_BTC_USER_AGENT_MAX ? version->user_agent_len : HFT_BTC_USER_AGENT_MAX;
    for (size_t i = 0; i < len; i++) {
        char c = version->user_agent[i];
        peer->user_agent[i] = c >= ' ' && c <= '~' ? c : '?'; /* it may end up on a terminal */
    }
    peer->user_agent[len] = '\0';
}

static int on_version(hft_peer *peer, const hft_btc_message *message) {
    hft_btc_version version;
    if (peer->state != HFT_PEER_VERSION) return fail(peer, HFT_E_BTC_HANDSHAKE, "second version");
    int rc = hft_btc_parse_version(&version, message->payload, message->payload_len);
    if (rc < 0) return fail(peer, rc, "version");
    if (version.nonce == peer->config.nonce) return fail(peer, HFT_E_BTC_SELF, NULL);
    if (version.version < HFT_BTC_MIN_VERSION) return fail(peer, HFT_E_BTC_VERSION, NULL);
    if ((version.services & services_needed) != services_needed)
        return fail(peer, HFT_E_BTC_NO_RELAY, "witness transactions");
    keep_user_agent(peer, &version);
    peer->services = version.services;
    peer->start_height = version.start_height;
    peer->version = version.version < HFT_BTC_PROTOCOL_VERSION ? version.version : HFT_BTC_PROTOCOL_VERSION;
    if (peer->inbound) rc = put_version(peer);
    if (rc >= 0 && peer->version >= HFT_BTC_PROTOCOL_VERSION) { /* both belong between version and verack */
        rc = put(peer, "wtxidrelay", NULL, 0);
        if (rc >= 0) rc = put(peer, "sendaddrv2", NULL, 0);
    }
    if (rc >= 0) rc = put(peer, "verack", NULL, 0);
    if (rc >= 0) rc = hft_conn_flush(&peer->conn);
    if (rc < 0) return fail(peer, rc, "verack");
    peer->state = HFT_PEER_VERACK;
    return 0;
}

static int on_verack(hft_peer *peer, hft_peer_event *event, uint64_t now_ns) {
    if (peer->state == HFT_PEER_READY) return 0; /* Bitcoin Core ignores a second one too */
    peer->state = HFT_PEER_READY;
    int rc = put_ping(peer, now_ns); /* its round trip is part of what a peer is worth */
    if (rc >= 0) rc = hft_conn_flush(&peer->conn);
    if (rc < 0) return fail(peer, rc, "ping");
    event->kind = HFT_PEER_OPENED;
    return 1;
}

static int on_ping(hft_peer *peer, const hft_btc_message *message) {
    if (message->payload_len != 8) return fail(peer, HFT_E_BTC_TRUNCATED, "ping");
    int rc = put(peer, "pong", message->payload, message->payload_len);
    if (rc >= 0) rc = hft_conn_flush(&peer->conn);
    return rc < 0 ? fail(peer, rc, "pong") : 0;
}

/* Only the answer to our own: a wrong nonce is left alone, as Bitcoin Core does. */
static int on_pong(hft_peer *peer, const hft_btc_message *message, uint64_t now_ns) {
    if (message->payload_len != 8 || peer->ping_nonce == 0) return 0;
    if (hft_load_le64(message->payload) != peer->ping_nonce) return 0;
    peer->ping_nonce = 0;
    peer->ping_ns = now_ns > peer->ping_sent_ns ? now_ns - peer->ping_sent_ns : 1;
    if (peer->ping_min_ns == 0 || peer->ping_ns < peer->ping_min_ns) peer->ping_min_ns = peer->ping_ns;
    return 0;
}

static int on_fee_filter(hft_peer *peer, const hft_btc_message *message) {
    if (message->payload_len != 8) return fail(peer, HFT_E_BTC_TRUNCATED, "feefilter");
    peer->fee_filter = hft_load_le64(message->payload);
    return 0;
}

static int on_addrs(hft_peer *peer, hft_peer_event *event, const hft_btc_message *message) {
    int v2 = message->kind == HFT_BTC_MSG_ADDRV2;
    int rc = hft_btc_parse_addrs(&event->addrs, message->payload, message->payload_len, v2);
    if (rc < 0) return fail(peer, rc, message->command);
    event->kind = HFT_PEER_ADDRS;
    return event->addrs.n != 0;
}

static int on_entries(hft_peer *peer, hft_peer_event *event, const hft_btc_message *message, hft_peer_kind kind) {
    int rc = hft_btc_parse_inv(&event->entries, &event->n_entries, message->payload, message->payload_len);
    if (rc < 0) return fail(peer, rc, message->command);
    event->kind = (uint8_t)kind;
    return event->n_entries != 0;
}

/* One verified message other than tx. 1 = *event is for the owner. */
static int on_message(hft_peer *peer, hft_peer_event *event, const hft_btc_message *message, uint64_t now_ns) {
    if (peer->state == HFT_PEER_VERSION && message->kind != HFT_BTC_MSG_VERSION)
        return fail(peer, HFT_E_BTC_HANDSHAKE, message->command);
    switch (message->kind) {
    case HFT_BTC_MSG_VERSION: return on_version(peer, message);
    case HFT_BTC_MSG_VERACK: return on_verack(peer, event, now_ns);
    case HFT_BTC_MSG_WTXIDRELAY:
        if (peer->state != HFT_PEER_VERACK) return fail(peer, HFT_E_BTC_HANDSHAKE, "wtxidrelay after verack");
        peer->wtxid_relay = peer->version >= HFT_BTC_PROTOCOL_VERSION;
        return 0;
    case HFT_BTC_MSG_PING: return on_ping(peer, message);
    case HFT_BTC_MSG_PONG: return on_pong(peer, message, now_ns);
    case HFT_BTC_MSG_FEEFILTER: return on_fee_filter(peer, message);
    case HFT_BTC_MSG_ADDR:
    case HFT_BTC_MSG_ADDRV2: return peer->state == HFT_PEER_READY ? on_addrs(peer, event, message) : 0;
    case HFT_BTC_MSG_INV: return peer->state == HFT_PEER_READY ? on_entries(peer, event, message, HFT_PEER_INV) : 0;
    case HFT_BTC_MSG_NOTFOUND:
        return peer->state == HFT_PEER_READY ? on_entries(peer, event, message, HFT_PEER_NOTFOUND) : 0;
    default: return 0;
    }
}

int hft_peer_next(hft_peer *peer, hft_peer_event *event, uint64_t now_ns) {
    if (peer->conn.state != HFT_CONN_OPEN) return 0;
    hft_conn_consume(&peer->conn, peer->consumed);
    peer->consumed = 0;
    peer->last_recv_ns = now_ns;
    for (;;) {
        size_t len, used = 0, need = 0;
        const uint8_t *data = hft_conn_data(&peer->conn, &len);
        int rc = hft_btc_next_message(&event->message, &used, &need, peer->config.magic, peer->config.message_max, data,
                                      len);
        if (rc < 0) return fail(peer, rc, rc == HFT_E_BTC_MAGIC ? "another network, or not a Bitcoin peer" : NULL);
        if (rc == 0) return 0;
        peer->messages_in++;
        if (event->message.kind == HFT_BTC_MSG_TX && peer->state == HFT_PEER_READY) {
            event->kind = HFT_PEER_TX;
            peer->consumed = used;
            return 1;
        }
        uint8_t hash[32];
        if (!hft_btc_checksum(hash, &event->message)) {
            peer->checksum_errors++;
            hft_conn_consume(&peer->conn, used);
            continue;
        }
        rc = on_message(peer, event, &event->message, now_ns);
        if (rc < 0) return rc;
        if (rc == 1) {
            peer->consumed = used;
            return 1;
        }
        hft_conn_consume(&peer->conn, used);
    }
}
