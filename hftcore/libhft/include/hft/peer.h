/* A session with a Bitcoin peer (v1 transport) on a connection: handshake, pings, announcements, requests.
 *
 * Handshake (BIP339, BIP155): we send version; on the peer's version we send wtxidrelay and sendaddrv2 (from 70016 on)
 * and verack; the session is ready with the peer's verack. A peer that dialled us begins, and our version follows its.
 * The owner pulls events after the connection had news. Checksums are verified on every message; a message with a
 * wrong one is counted and dropped, as Bitcoin Core does. A `tx` is handed out unverified, because its hash is also the
 * wtxid: hft_peer_event says how. */
#ifndef HFT_PEER_H
#define HFT_PEER_H

#include "hft/btc.h"
#include "hft/conn.h"

typedef enum { HFT_PEER_DOWN = 0, HFT_PEER_VERSION, HFT_PEER_VERACK, HFT_PEER_READY } hft_peer_state;

typedef enum {
    HFT_PEER_OPENED = 1, /* ready */
    HFT_PEER_INV,        /* entries, n_entries */
    HFT_PEER_NOTFOUND,   /* entries, n_entries */
    HFT_PEER_TX,         /* message; the owner must verify message.checksum against its sha256d */
    HFT_PEER_ADDRS,      /* addrs */
} hft_peer_kind;

typedef struct {
    uint8_t kind;             /* hft_peer_kind */
    const uint8_t *entries;   /* n_entries of 36 bytes: u32 type, 32-byte hash */
    size_t n_entries;
    hft_btc_addrs addrs;
    hft_btc_message message;  /* views until the next call */
} hft_peer_event;

typedef struct {
    uint32_t magic, message_max;
    uint64_t nonce;           /* of this process */
    const char *user_agent;
} hft_peer_config;

typedef struct {
    hft_conn conn;
    hft_peer_config config;
    uint8_t state;            /* hft_peer_state */
    uint8_t wtxid_relay;      /* the peer announces by wtxid */
    uint8_t inbound;          /* it dialled us */
    int32_t version, start_height;
    uint64_t services;        /* HFT_BTC_NODE_* */
    uint64_t fee_filter;      /* satoshi per 1000 vB below which it wants no transactions */
    char user_agent[HFT_BTC_USER_AGENT_MAX + 1]; /* the peer's, made printable */
    int64_t started_at;       /* Unix seconds */
    uint64_t last_recv_ns, ping_sent_ns;
    uint64_t ping_nonce;      /* of the one on its way, 0 = none */
    uint64_t ping_ns, ping_min_ns; /* last and best round trip of this session, 0 = none yet */
    uint64_t checksum_errors, messages_in; /* since the process started */
    size_t consumed;          /* bytes of the event handed out last */
} hft_peer;

/* conn is initialised first. */
void hft_peer_init(hft_peer *peer, const hft_peer_config *config);
/* After HFT_CONN_UP: sends our version. */
HFT_NODISCARD int hft_peer_start(hft_peer *peer, uint64_t now_ns, uint64_t wall_ns);
/* After hft_conn_adopt: waits for the peer's version. */
void hft_peer_accepted(hft_peer *peer, uint64_t now_ns, uint64_t wall_ns);
/* Takes the next event: 1, 0 = nothing complete, < 0 = the connection is closing (peer->conn.err says why). */
HFT_NODISCARD int hft_peer_next(hft_peer *peer, hft_peer_event *event, uint64_t now_ns);
/* Asks for transactions by the hashes they were announced with (wtxids or txids, n * 32 bytes). Queues; flush sends. */
HFT_NODISCARD int hft_peer_request(hft_peer *peer, const uint8_t *hashes, size_t n);
HFT_NODISCARD static inline int hft_peer_flush(hft_peer *peer) { return hft_conn_flush(&peer->conn); }
/* Asks for the addresses of other nodes. Queues; flush sends. */
HFT_NODISCARD int hft_peer_ask_addresses(hft_peer *peer);
/* Sends a ping each interval_ns, none while one is unanswered; closes with HFT_E_CONN_IDLE_TIMEOUT after idle_ns of
 * silence, or without an answer to a ping: bytes that trickle in are no sign of life. */
void hft_peer_tick(hft_peer *peer, uint64_t now_ns, uint64_t interval_ns, uint64_t idle_ns);
/* After hft_conn_settle: forgets the session. */
void hft_peer_down(hft_peer *peer);

#endif
