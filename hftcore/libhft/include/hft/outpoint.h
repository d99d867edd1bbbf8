/* Recent outpoints: which transaction spent each last. Pure; fixed memory of 24 bytes an outpoint, oldest out.
 *
 * Buckets of one cache line hold 8 outpoints each, by 40 bits of a keyed hash; beside them stands a ring of the txids
 * that spent them. What is new takes the place of the oldest in its bucket, so an outpoint stays until 8 newer ones
 * have come to its bucket, or until the ring of txids has gone round: it holds one for two outpoints, and mainnet
 * spends 1.6 in a transaction. In a table of n, 99.9 % of the outpoints are still there when n / 4 newer ones
 * have come, and 95 % when n / 2 have.
 *
 * An outpoint is taken for another once in 10^11 times; the key is secret, so nobody can aim at it.
 * Memory is not touched before it is needed: a page at a time. */
#ifndef HFT_OUTPOINT_H
#define HFT_OUTPOINT_H

#include "hft/status.h"

#define HFT_OUTPOINT_LEN 36 /* txid, and index as on the wire */
#define HFT_OUTPOINTS_MIN (1u << 10)
#define HFT_OUTPOINTS_MAX (1u << 24)

typedef struct {
    uint64_t *slots;     /* 40 bits of hash, 24 of the spender's number; undefined in pages that were not touched */
    uint8_t (*txids)[32];
    uint64_t *touched;   /* a bit for each page of slots */
    uint32_t bucket_mask, tx_mask;
    uint64_t n_txs;      /* spenders added so far: the next one's number */
    uint64_t key[2];
} hft_outpoints;

/* Bytes of memory for cap outpoints (a power of two, HFT_OUTPOINTS_MIN to HFT_OUTPOINTS_MAX), 0 if cap is invalid. */
size_t hft_outpoints_size(uint32_t cap);
/* memory: 64-byte aligned, the caller's, of any content. key: random. Errors: HFT_E_ARGUMENT. */
HFT_NODISCARD int hft_outpoints_init(hft_outpoints *outpoints, void *memory, uint32_t cap, const uint64_t key[2]);

/* The hash by which an outpoint is found; its memory is on the way from now on. */
uint64_t hft_outpoints_locate(const hft_outpoints *outpoints, const uint8_t outpoint[HFT_OUTPOINT_LEN]);
/* The txid that spent it last, or NULL. Valid until the next add. */
const uint8_t *hft_outpoints_find(const hft_outpoints *outpoints, uint64_t hash);
/* Adds a spender; the oldest makes room. Then hft_outpoints_put for what it spends. Returns its number. */
uint64_t hft_outpoints_add(hft_outpoints *outpoints, const uint8_t txid[32]);
/* Notes that the spender of that number, the latest added, spends an outpoint. */
void hft_outpoints_put(hft_outpoints *outpoints, uint64_t hash, uint64_t number);

#endif
