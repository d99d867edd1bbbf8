#include "hft/outpoint.h"

#include <string.h>

#include "hft/endian.h"
#include "siphash.h"

#define BUCKET_SLOTS 8
#define PAGE_SLOTS (4096 / sizeof(uint64_t))
#define PAGE_BUCKETS (PAGE_SLOTS / BUCKET_SLOTS)
#define NUMBER_BITS 24
#define NUMBER_MASK (((uint64_t)1 << NUMBER_BITS) - 1)

static size_t n_pages(uint32_t cap) { return (cap + PAGE_SLOTS - 1) / PAGE_SLOTS; }

static size_t touched_size(uint32_t cap) { return (n_pages(cap) + 511) / 512 * 64; }

size_t hft_outpoints_size(uint32_t cap) {
    if (cap < HFT_OUTPOINTS_MIN || cap > HFT_OUTPOINTS_MAX || (cap & (cap - 1)) != 0) return 0;
    return (size_t)cap * sizeof(uint64_t) + (size_t)cap / 2 * 32 + touched_size(cap);
}

int hft_outpoints_init(hft_outpoints *o, void *memory, uint32_t cap, const uint64_t key[2]) {
    if (hft_outpoints_size(cap) == 0 || memory == NULL) return HFT_E_ARGUMENT;
    uint8_t *m = memory;
    *o = (hft_outpoints){.slots = memory, .bucket_mask = cap / BUCKET_SLOTS - 1, .tx_mask = cap / 2 - 1};
    m += (size_t)cap * sizeof(uint64_t);
    o->txids = (uint8_t (*)[32])m;
    m += (size_t)cap / 2 * 32;
    o->touched = (uint64_t *)(void *)m;
    memset(o->touched, 0, touched_size(cap));
    o->key[0] = key[0];
    o->key[1] = key[1];
    return 0;
}

/* The upper 40 bits of a hash tell outpoints apart, others choose the bucket. A free slot is 0, a tag never. */
static uint64_t tag_of(uint64_t hash) {
    uint64_t tag = hash >> NUMBER_BITS;
    return tag != 0 ? tag : 1;
}

static uint32_t bucket_of(const hft_outpoints *o, uint64_t hash) { return (uint32_t)hash & o->bucket_mask; }

static int is_touched(const hft_outpoints *o, uint32_t bucket) {
    uint32_t page = bucket / PAGE_BUCKETS;
    return (o->touched[page / 64] >> (page % 64) & 1) != 0;
}

static void touch(hft_outpoints *o, uint32_t bucket) {
    uint32_t page = bucket / PAGE_BUCKETS;
    if (is_touched(o, bucket)) return;
    o->touched[page / 64] |= (uint64_t)1 << (page % 64);
    memset(o->slots + page * PAGE_SLOTS, 0, PAGE_SLOTS * sizeof(uint64_t));
}

uint64_t hft_outpoints_locate(const hft_outpoints *o, const uint8_t outpoint[HFT_OUTPOINT_LEN]) {
    hft_sip s;
    hft_sip_begin(&s, o->key);
    for (int i = 0; i < 4; i++) hft_sip_word(&s, hft_load_le64(outpoint + 8 * i));
    uint64_t hash = hft_sip_end(&s, hft_load_le32(outpoint + 32), HFT_OUTPOINT_LEN);
    uint32_t bucket = bucket_of(o, hash);
    if (is_touched(o, bucket)) __builtin_prefetch(o->slots + (size_t)bucket * BUCKET_SLOTS, 1);
    return hash;
}

/* How many spenders ago that of a slot was added: 1 is the latest. */
static uint64_t age_of(const hft_outpoints *o, uint64_t slot) { return (o->n_txs - slot) & NUMBER_MASK; }

/* A slot whose txid has left the ring is as good as free. */
static int is_live(const hft_outpoints *o, uint64_t slot) {
    return slot != 0 && age_of(o, slot) - 1 <= o->tx_mask;
}

/* The slot of an outpoint, whose spender may have left the ring, or NULL. */
static uint64_t *slot_of(const hft_outpoints *o, uint64_t hash) {
    uint64_t *slots = o->slots + (size_t)bucket_of(o, hash) * BUCKET_SLOTS;
    for (int i = 0; i < BUCKET_SLOTS; i++)
        if (slots[i] >> NUMBER_BITS == tag_of(hash)) return &slots[i];
    return NULL;
}

const uint8_t *hft_outpoints_find(const hft_outpoints *o, uint64_t hash) {
    if (!is_touched(o, bucket_of(o, hash))) return NULL;
    const uint64_t *slot = slot_of(o, hash);
    return slot != NULL && is_live(o, *slot) ? o->txids[*slot & o->tx_mask] : NULL;
}

uint64_t hft_outpoints_add(hft_outpoints *o, const uint8_t txid[32]) {
    memcpy(o->txids[o->n_txs & o->tx_mask], txid, 32);
    return o->n_txs++;
}

/* A slot that is as good as free, or else that of the oldest spender. */
static uint64_t *make_room(const hft_outpoints *o, uint64_t hash) {
    uint64_t *slots = o->slots + (size_t)bucket_of(o, hash) * BUCKET_SLOTS, *oldest = slots;
    for (int i = 0; i < BUCKET_SLOTS; i++) {
        if (!is_live(o, slots[i])) return &slots[i];
        if (age_of(o, slots[i]) > age_of(o, *oldest)) oldest = &slots[i];
    }
    return oldest;
}

void hft_outpoints_put(hft_outpoints *o, uint64_t hash, uint64_t number) {
    touch(o, bucket_of(o, hash));
    uint64_t *slot = slot_of(o, hash);
    if (slot == NULL) slot = make_room(o, hash);
    *slot = tag_of(hash) << NUMBER_BITS | (number & NUMBER_MASK);
}
