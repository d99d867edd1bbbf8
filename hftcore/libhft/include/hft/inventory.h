/* Announced transactions: who announced each, who was asked, what has arrived. Pure; fixed memory, oldest out.
 *
 * A hash table over a FIFO of entries, with an intrusive list of the open ones (announced, not yet received).
 * The table's hash is SipHash-1-3 under a random key, so that a peer cannot choose hashes that collide. */
#ifndef HFT_INVENTORY_H
#define HFT_INVENTORY_H

#include "hft/status.h"

#define HFT_INVENTORY_PEERS_MAX 128 /* a bit each in announcers */
#define HFT_INVENTORY_NONE UINT32_MAX

typedef enum {
    HFT_INVENTORY_WANTED = 0, /* open: not asked of anyone now */
    HFT_INVENTORY_REQUESTED,  /* open: asked of entry->peer */
    HFT_INVENTORY_STALE,      /* nobody left to ask; still accepted if it comes */
    HFT_INVENTORY_RECEIVED,
} hft_inventory_state;

typedef struct {
    uint8_t hash[32];
    uint64_t announcers[HFT_INVENTORY_PEERS_MAX / 64]; /* peers that announced it and were not asked in vain */
    uint64_t groups;       /* network groups whose peers announced it, a bit each; grows only */
    uint32_t next;         /* in its hash chain */
    uint8_t state : 4;     /* hft_inventory_state */
    uint8_t counted : 4;   /* it stands in the account of `first`, */
    uint8_t period;        /* the one of this period */
    uint8_t peer;          /* REQUESTED: who was asked */
    uint8_t first;         /* who announced it first */
} hft_inventory_entry;
_Static_assert(sizeof(hft_inventory_entry) == 64, "one cache line");

/* What only asking needs, apart: an announcement of something known touches the entry alone, and so does its arrival
 * but for the list. Milliseconds of the owner's clock, which may wrap. */
typedef struct {
    uint32_t announced_ms; /* when it was first announced */
    uint32_t requested_ms; /* REQUESTED: when entry->peer was asked */
    uint32_t open_prev, open_next;
} hft_inventory_open;

typedef struct {
    hft_inventory_entry *entries;
    hft_inventory_open *open; /* of the entry at the same place */
    uint32_t *buckets;
    uint32_t cap, bucket_mask, next_entry, len;
    uint32_t open_head, open_tail, open_len;
    uint64_t key[2]; /* random */
} hft_inventory;

/* Bytes of memory for cap entries (a power of two, 64..2^24), 0 if cap is invalid. */
size_t hft_inventory_size(uint32_t cap);
/* memory: 64-byte aligned, the caller's. key: random. Errors: HFT_E_ARGUMENT. */
HFT_NODISCARD int hft_inventory_init(hft_inventory *inventory, void *memory, uint32_t cap,
                                     const uint64_t key[2]);

/* The entry of a hash, or NULL. */
hft_inventory_entry *hft_inventory_find(const hft_inventory *inventory, const uint8_t hash[32]);
/* The same in two steps, for a find a little later: where the hash belongs, with its memory on the way. */
uint32_t hft_inventory_locate(const hft_inventory *inventory, const uint8_t hash[32]);
hft_inventory_entry *hft_inventory_find_at(const hft_inventory *inventory, uint32_t place, const uint8_t hash[32]);
/* Adds a hash that is not there, as STALE and without announcers; the oldest entry makes room. Never NULL. */
hft_inventory_entry *hft_inventory_add(hft_inventory *inventory, const uint8_t hash[32]);
/* The entry that the next add will replace, or NULL while there is room. */
const hft_inventory_entry *hft_inventory_oldest(const hft_inventory *inventory);
/* Moves an entry between states; keeps the open list. */
void hft_inventory_set(hft_inventory *inventory, hft_inventory_entry *entry, hft_inventory_state state);
/* The open list, oldest first: entry index or HFT_INVENTORY_NONE. */
static inline uint32_t hft_inventory_open_first(const hft_inventory *inventory) { return inventory->open_head; }
static inline uint32_t hft_inventory_open_next(const hft_inventory *inventory, uint32_t index) {
    return inventory->open[index].open_next;
}
static inline hft_inventory_open *hft_inventory_open_of(const hft_inventory *inventory,
                                                        const hft_inventory_entry *entry) {
    return &inventory->open[entry - inventory->entries];
}
/* How many network groups a set has. Groups share 64 places, so it may be fewer than there were, never more. */
static inline uint32_t hft_inventory_n_groups(uint64_t groups) { return (uint32_t)__builtin_popcountll(groups); }

#endif
