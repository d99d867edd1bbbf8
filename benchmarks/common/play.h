/* The other side of the engine, without I/O: a Bitcoin peer and an exchange that take bytes and give bytes.
 *
 * The exchange checks every order with OpenSSL alone: client id against the txid, parameters in order, HMAC over them.
 * What does not hold ends the program. */
#ifndef PLAY_H
#define PLAY_H

#include <openssl/ssl.h>

#include "hft/btc.h"
#include "hft/ws.h"

#define PLAY_MAGIC HFT_BTC_MAGIC_REGTEST
#define PLAY_DEPOSIT_SAT 150000000u
#define PLAY_BUFFER 262144

/* Bytes as varied as real keys, hashes and signatures are (xorshift64*); *state must not be 0. Returns their end. */
uint8_t *play_noise(uint8_t *out, size_t len, uint64_t *state);

/* A payment from one P2WPKH input to the watched script and a change output: 222 bytes, the commonest
 * shape there is. */
typedef struct {
    uint8_t message[320]; /* the whole `tx` message */
    size_t message_len;
    uint8_t wtxid[32];
    char client_id[29]; /* of the order that rule 0 makes of it */
} play_tx;

/* script: the watched P2WPKH script, 22 bytes. Different for each number. */
void play_tx_make(play_tx *tx, uint64_t number, const uint8_t *script);

typedef struct {
    uint8_t in[PLAY_BUFFER], out[PLAY_BUFFER];
    size_t in_len, out_len;
    int ready;          /* the handshake is over */
    uint64_t requested; /* transactions asked for */
} play_peer;

void play_peer_feed(play_peer *peer, const uint8_t *data, size_t len);
void play_peer_announce(play_peer *peer, const play_tx *txs, size_t n);

typedef struct {
    SSL *ssl; /* NULL: plain */
    uint8_t in[PLAY_BUFFER], out[PLAY_BUFFER];
    size_t in_len, out_len;
    int upgraded;
    hft_ws_parser parser;
    const char *secret;
    uint64_t orders, other;  /* messages */
    char client_id[40];      /* of the last order */
} play_venue;

/* cert, key: PEM files; NULL for plain WebSocket. secret: of the API key, for HMAC. */
void play_venue_open(play_venue *venue, const char *cert, const char *key, const char *secret);
/* Takes what the client sent; answers, to orders too (accepted, then filled), are put in out. */
void play_venue_feed(play_venue *venue, const uint8_t *data, size_t len);

#endif
