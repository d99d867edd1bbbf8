#include "hft/inventory.h"

#include <string.h>

#include "hft/endian.h"
#include "siphash.h"

#define NONE HFT_INVENTORY_NONE

static int valid_cap(uint32_t cap) { return cap >= 64 && cap <= 1u << 24 && (cap & (cap - 1)) == 0; }

size_t hft_inventory_size(uint32_t cap) {
    if (!valid_cap(cap)) return 0;
    return (size_t)cap * (sizeof(hft_inventory_entry) + sizeof(hft_inventory_open) + 2 * sizeof(uint32_t));
}

int hft_inventory_init(hft_inventory *inventory, void *memory, uint32_t cap, const uint64_t key[2]) {
    if (!valid_cap(cap)) return HFT_E_ARGUMENT;
    memset(inventory, 0, sizeof *inventory);
    inventory->entries = memory;
    inventory->open = (hft_inventory_open *)(void *)(inventory->entries + cap);
    inventory->buckets = (uint32_t *)(void *)(inventory->open + cap);
    inventory->cap = cap;
    inventory->bucket_mask = cap * 2 - 1;
    inventory->key[0] = key[0];
    inventory->key[1] = key[1];
    inventory->open_head = inventory->open_tail = NONE;
    memset(inventory->buckets, 0xff, (size_t)cap * 2 * sizeof(uint32_t));
    return 0;
}

/* Announcements are chosen by strangers, all of their bytes. */
static uint64_t sip_hash(const uint64_t key[2], const uint8_t hash[32]) {
    hft_sip s;
    hft_sip_begin(&s, key);
    for (int i = 0; i < 4; i++) hft_sip_word(&s, hft_load_le64(hash + 8 * i));
    return hft_sip_end(&s, 0, 32);
}

static uint32_t *bucket_of(const hft_inventory *inventory, const uint8_t hash[32]) {
    return &inventory->buckets[(uint32_t)sip_hash(inventory->key, hash) & inventory->bucket_mask];
}

uint32_t hft_inventory_locate(const hft_inventory *inventory, const uint8_t hash[32]) {
    const uint32_t *bucket = bucket_of(inventory, hash);
    __builtin_prefetch(bucket, 1);
    return (uint32_t)(bucket - inventory->buckets);
}

hft_inventory_entry *hft_inventory_find_at(const hft_inventory *inventory, uint32_t place, const uint8_t hash[32]) {
    for (uint32_t i = inventory->buckets[place]; i != NONE; i = inventory->entries[i].next)
        if (memcmp(inventory->entries[i].hash, hash, 32) == 0) return &inventory->entries[i];
    return NULL;
}

hft_inventory_entry *hft_inventory_find(const hft_inventory *inventory, const uint8_t hash[32]) {
    return hft_inventory_find_at(inventory, hft_inventory_locate(inventory, hash), hash);
}

static int is_open(uint8_t state) { return state == HFT_INVENTORY_WANTED || state == HFT_INVENTORY_REQUESTED; }

static void open_link(hft_inventory *inventory, hft_inventory_entry *entry) {
    uint32_t index = (uint32_t)(entry - inventory->entries);
    inventory->open[index].open_prev = inventory->open_tail;
    inventory->open[index].open_next = NONE;
    if (inventory->open_tail == NONE) inventory->open_head = index;
    else inventory->open[inventory->open_tail].open_next = index;
    inventory->open_tail = index;
    inventory->open_len++;
}

static void open_unlink(hft_inventory *inventory, hft_inventory_entry *entry) {
    const hft_inventory_open *open = hft_inventory_open_of(inventory, entry);
    if (open->open_prev == NONE) inventory->open_head = open->open_next;
    else inventory->open[open->open_prev].open_next = open->open_next;
    if (open->open_next == NONE) inventory->open_tail = open->open_prev;
    else inventory->open[open->open_next].open_prev = open->open_prev;
    inventory->open_len--;
}

void hft_inventory_set(hft_inventory *inventory, hft_inventory_entry *entry, hft_inventory_state state) {
    int was_open = is_open(entry->state), will_be = is_open((uint8_t)state);
    entry->state = (uint8_t)state & 15u;
    if (was_open && !will_be) open_unlink(inventory, entry);
    if (!was_open && will_be) open_link(inventory, entry);
}

static void forget(hft_inventory *inventory, hft_inventory_entry *entry) {
    hft_inventory_set(inventory, entry, HFT_INVENTORY_STALE);
    uint32_t index = (uint32_t)(entry - inventory->entries);
    uint32_t *link = bucket_of(inventory, entry->hash);
    while (*link != index) link = &inventory->entries[*link].next;
    *link = entry->next;
}

const hft_inventory_entry *hft_inventory_oldest(const hft_inventory *inventory) {
    return inventory->len < inventory->cap ? NULL : &inventory->entries[inventory->next_entry];
}

hft_inventory_entry *hft_inventory_add(hft_inventory *inventory, const uint8_t hash[32]) {
    hft_inventory_entry *entry = &inventory->entries[inventory->next_entry];
    if (inventory->len == inventory->cap) forget(inventory, entry);
    else inventory->len++;
    memset(entry, 0, sizeof *entry);
    memcpy(entry->hash, hash, 32);
    entry->state = HFT_INVENTORY_STALE;
    uint32_t *bucket = bucket_of(inventory, hash);
    entry->next = *bucket;
    *bucket = inventory->next_entry;
    inventory->next_entry = (inventory->next_entry + 1) & (inventory->cap - 1);
    return entry;
}
