/* The watch table: linear probing over 4-byte slots, each an entry number and a piece of the script's hash.
 *
 * With S slots (a power of two, at least twice the capacity, so at most half are taken) the low log2(S) bits of a slot
 * are the entry number + 1 (0 = free) and the rest is a tag from hash bits that do not choose the slot. A script that
 * is not watched is nearly always refuted by the slots of one cache line, without a look at the entries. */
#include "hft/watch.h"

#include <string.h>

#include "hft/endian.h"
#include "hft/sha256.h"

#define CAP_MAX (1u << 24)
#define SLOTS_MIN 16u /* one cache line, so that the entries behind the slots stay aligned */
#define INLINE_MAX 42 /* holds every standard script but P2PK with an uncompressed key, and bare multisig */

struct hft_watch_entry {
    uint32_t label;
    uint16_t len;               /* of the script; over INLINE_MAX, `script` holds its SHA-256 */
    uint8_t script[INLINE_MAX]; /* zero behind the script */
};

_Static_assert(sizeof(hft_watch_entry) == 48, "entries are meant to be compact");
_Static_assert(HFT_WATCH_SCRIPT_MAX <= UINT16_MAX, "an entry's length must hold every script's");

static uint32_t slot_count(uint32_t cap) {
    uint32_t n = SLOTS_MIN;
    while (n < 2 * cap) n *= 2;
    return n;
}

size_t hft_watch_size(uint32_t cap) {
    if (cap == 0 || cap > CAP_MAX) return 0;
    size_t size = (size_t)slot_count(cap) * sizeof(uint32_t) + (size_t)cap * sizeof(hft_watch_entry);
    return (size + 63) & ~(size_t)63;
}

int hft_watch_init(hft_watch *watch, void *memory, uint32_t cap) {
    if (hft_watch_size(cap) == 0 || memory == NULL || ((uintptr_t)memory & 63) != 0) return HFT_E_ARGUMENT;
    uint32_t n_slots = slot_count(cap);
    watch->slots = memory;
    watch->entries = (hft_watch_entry *)(watch->slots + n_slots);
    watch->slot_mask = n_slots - 1;
    watch->n_entries = 0;
    watch->cap = cap;
    memset(watch->slots, 0, (size_t)n_slots * sizeof(uint32_t));
    return 0;
}

/* Standard scripts share their first two or three bytes and their last two, so the words are taken from the program
 * and from the end; two scripts that agree in all of them share a hash, and memcmp tells them apart. */
static inline uint64_t script_hash(const uint8_t *script, size_t len) {
    uint64_t a, b, c;
    if (__builtin_expect(len >= 19, 1)) {
        a = hft_load_le64(script + 3);
        b = hft_load_le64(script + 11);
        c = hft_load_le64(script + len - 8);
    } else if (len >= 8) {
        a = hft_load_le64(script);
        b = hft_load_le64(script + (len - 8) / 2);
        c = hft_load_le64(script + len - 8);
    } else {
        uint8_t padded[8] = {0};
        memcpy(padded, script, len);
        a = hft_load_le64(padded);
        b = c = 0;
    }
    /* One 64 x 64 -> 128 bit multiplication of odd-keyed words, folded, mixes every bit into every other. */
    uint64_t x = a ^ 0x9e3779b97f4a7c15ull;
    uint64_t y = b ^ (c << 32 | c >> 32) ^ (0xd1b54a32d192ed03ull + len);
    __uint128_t product = (__uint128_t)x * y;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static int entry_is(const hft_watch_entry *entry, const uint8_t *script, size_t len) {
    if (entry->len != len) return 0;
    if (len <= INLINE_MAX) return memcmp(entry->script, script, len) == 0;
    uint8_t digest[32];
    hft_sha256_digest(digest, script, len);
    return memcmp(entry->script, digest, sizeof digest) == 0;
}

/* The number of the script's entry, or -1 and *slot = the free slot where it would go. */
static inline int64_t probe(const hft_watch *watch, uint32_t *slot, uint64_t hash, const uint8_t *script, size_t len) {
    uint32_t mask = watch->slot_mask;
    uint32_t tag = (uint32_t)hash & ~mask;
    uint32_t i = (uint32_t)(hash >> 32) & mask;
    /* Ends: at least half of the slots are free. */
    for (;; i = (i + 1) & mask) {
        uint32_t value = watch->slots[i];
        if (value == 0) break;
        if ((value & ~mask) != tag) continue;
        uint32_t number = (value & mask) - 1;
        if (entry_is(&watch->entries[number], script, len)) return number;
    }
    *slot = i;
    return -1;
}

int hft_watch_add(hft_watch *watch, const uint8_t *script, size_t len, uint32_t label) {
    if (len == 0 || len > HFT_WATCH_SCRIPT_MAX) return HFT_E_WATCH_SCRIPT;
    if (watch->cap == 0) return HFT_E_WATCH_FULL;
    uint32_t slot;
    uint64_t hash = script_hash(script, len);
    int64_t number = probe(watch, &slot, hash, script, len);
    if (number >= 0) return watch->entries[number].label == label ? 0 : HFT_E_WATCH_CONFLICT;
    if (watch->n_entries == watch->cap) return HFT_E_WATCH_FULL;
    hft_watch_entry *entry = &watch->entries[watch->n_entries];
    memset(entry, 0, sizeof *entry);
    entry->label = label;
    entry->len = (uint16_t)len;
    if (len <= INLINE_MAX) {
        memcpy(entry->script, script, len);
    } else {
        hft_sha256_digest(entry->script, script, len);
    }
    watch->n_entries++;
    watch->slots[slot] = ((uint32_t)hash & ~watch->slot_mask) | watch->n_entries;
    return 1;
}

int64_t hft_watch_find(const hft_watch *watch, const uint8_t *script, size_t len, uint32_t *entry) {
    if (watch->n_entries == 0 || len == 0 || len > HFT_WATCH_SCRIPT_MAX) return -1;
    uint32_t slot;
    int64_t number = probe(watch, &slot, script_hash(script, len), script, len);
    if (number < 0) return -1;
    if (entry != NULL) *entry = (uint32_t)number;
    return watch->entries[number].label;
}
