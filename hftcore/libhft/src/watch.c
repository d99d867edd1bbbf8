/* The watch table in memory: buckets of one cache line, entries behind them, and the probe that all tables share.
 *
 * A bucket has twelve slots: 16 bits of the script's hash (0 = free) and the entry's number. The hash's upper half
 * chooses the bucket; where that is full the entry goes to the next one with a free slot, and each bucket passed over
 * keeps one of 32 bits of the hash, so that a lookup goes on only for what may have passed. */
#include "watch_internal.h"

#include <string.h>

#include "hft/endian.h"
#include "hft/sha256.h"

#define PER_42_BUCKETS 353 /* scripts for which there are 42 buckets: 70 % of the slots are taken */
#define CHAIN_MAX 32       /* buckets that one lookup may see */
#define KEY_MIN 20         /* shorter scripts are padded with zeros: hashing and comparing need not branch */

/* A script as it is hashed and compared. */
typedef struct {
    const uint8_t *bytes;
    size_t n;     /* KEY_MIN to HFT_WATCH_INLINE_MAX */
    uint64_t len; /* of the script */
} script_key;

uint32_t hft_watch_bucket_count(uint32_t cap) { return (uint32_t)((uint64_t)cap * 42 / PER_42_BUCKETS) + 1; }

size_t hft_watch_size(uint32_t cap) {
    if (cap == 0 || cap > HFT_WATCH_CAP_MAX) return 0;
    size_t size = hft_watch_bucket_count(cap) * sizeof(hft_watch_bucket) + (size_t)cap * sizeof(hft_watch_entry);
    return (size + 63) & ~(size_t)63;
}

int hft_watch_init(hft_watch *watch, void *memory, uint32_t cap, const uint64_t key[HFT_WATCH_KEY_WORDS]) {
    if (hft_watch_size(cap) == 0 || memory == NULL || ((uintptr_t)memory & 63) != 0) return HFT_E_ARGUMENT;
    memset(watch, 0, sizeof *watch);
    watch->n_buckets = hft_watch_bucket_count(cap);
    watch->buckets = memory;
    watch->entries = (hft_watch_entry *)(watch->buckets + watch->n_buckets);
    watch->cap = cap;
    memcpy(watch->key, key, sizeof watch->key);
    memset(watch->buckets, 0, watch->n_buckets * sizeof *watch->buckets);
    return 0;
}

/* NH (Black and others, UMAC, 1999) over words that cover the whole script, two times 64 bits of key for each pair: two
 * scripts share the sum with a chance of 2^-64, whatever they are. The last step spreads it over all 64 bits. */
static inline uint64_t hash_of(const hft_watch *watch, const script_key *k) {
    const uint64_t *key = watch->key;
    const uint8_t *p = k->bytes;
    __uint128_t sum = (__uint128_t)(hft_load_le64(p) + key[0]) * (hft_load_le64(p + 8) + key[1]);
    sum += (__uint128_t)(hft_load_le64(p + k->n - 16) + key[2]) * (hft_load_le64(p + k->n - 8) + key[3]);
    sum += (__uint128_t)((hft_load_le32(p + 16) | k->len << 32) + key[4]) * key[5];
    __uint128_t product = (__uint128_t)((uint64_t)sum ^ key[6]) * ((uint64_t)(sum >> 64) ^ key[7]);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline int same(const hft_watch_entry *entry, const script_key *k) {
    const uint8_t *a = entry->script, *b = k->bytes;
    size_t n = k->n;
    uint64_t differences = hft_load_le64(a) ^ hft_load_le64(b);
    differences |= hft_load_le64(a + 8) ^ hft_load_le64(b + 8);
    differences |= hft_load_le64(a + n - 16) ^ hft_load_le64(b + n - 16);
    differences |= hft_load_le64(a + n - 8) ^ hft_load_le64(b + n - 8);
    differences |= hft_load_le32(a + 16) ^ hft_load_le32(b + 16);
    return differences == 0;
}

static inline uint64_t entry_len(const hft_watch_entry *entry) {
    return entry->len != HFT_WATCH_LONG ? entry->len : hft_load_le16(entry->script + 32);
}

/* What a script of unusual length is kept by. Returns 0 if it cannot be watched. */
static int unusual_key(script_key *k, uint8_t room[32], const uint8_t *script, size_t len) {
    if (len == 0 || len > HFT_WATCH_SCRIPT_MAX) return 0;
    k->bytes = room;
    k->len = len;
    if (len < KEY_MIN) {
        memset(room, 0, KEY_MIN);
        memcpy(room, script, len);
        k->n = KEY_MIN;
    } else {
        hft_sha256_digest(room, script, len);
        k->n = 32;
    }
    return 1;
}

static inline int is_usual(size_t len) { return len - KEY_MIN <= HFT_WATCH_INLINE_MAX - KEY_MIN; }

static inline uint16_t fingerprint(uint64_t hash) { return (uint16_t)((uint16_t)hash + ((uint16_t)hash == 0)); }
static inline uint32_t passed_bit(uint64_t hash) { return 1u << (hash >> 16 & 31); }
static inline uint32_t home_of(const hft_watch *watch, uint64_t hash) {
    return (uint32_t)((hash >> 32) * watch->n_buckets >> 32);
}
static inline uint32_t next_bucket(const hft_watch *watch, uint32_t i) { return i + 1 == watch->n_buckets ? 0 : i + 1; }

static inline int may_hold(const hft_watch_bucket *bucket, uint16_t print) {
    typedef uint16_t lanes __attribute__((vector_size(16)));
    lanes low, high, wanted = {print, print, print, print, print, print, print, print};
    memcpy(&low, bucket->prints, sizeof low);
    memcpy(&high, bucket->prints + HFT_WATCH_SLOTS - 8, sizeof high);
    lanes equal = (lanes)((low == wanted) | (high == wanted));
    uint64_t halves[2];
    memcpy(halves, &equal, sizeof halves);
    return (halves[0] | halves[1]) != 0;
}

static int64_t find_in(const hft_watch *watch, const hft_watch_bucket *bucket, uint16_t print, const script_key *k) {
    for (int i = 0; i < HFT_WATCH_SLOTS; i++) {
        if (bucket->prints[i] != print) continue;
        uint32_t number = hft_watch_load24(bucket->numbers[i]);
        if (number >= watch->n_entries) continue; /* only in a damaged file */
        const hft_watch_entry *entry = &watch->entries[number];
        if (entry_len(entry) == k->len && same(entry, k)) return number;
    }
    return -1;
}

/* The number of the script's entry, or -1. */
static inline int64_t probe(const hft_watch *watch, uint64_t hash, const script_key *k) {
    uint16_t print = fingerprint(hash);
    uint32_t at = home_of(watch, hash);
    for (int step = 0; step < CHAIN_MAX; step++, at = next_bucket(watch, at)) {
        const hft_watch_bucket *bucket = &watch->buckets[at];
        if (__builtin_expect(may_hold(bucket, print), 0)) {
            int64_t number = find_in(watch, bucket, print, k);
            if (number >= 0) return number;
        }
        if (__builtin_expect((bucket->passed & passed_bit(hash)) == 0, 1)) break;
    }
    return -1;
}

/* Puts an entry's number where lookups will find it. 0, or HFT_E_WATCH_FULL. */
static int insert(hft_watch *watch, uint64_t hash, uint32_t number) {
    uint32_t at = home_of(watch, hash);
    for (int step = 0; step < CHAIN_MAX; step++, at = next_bucket(watch, at)) {
        hft_watch_bucket *bucket = &watch->buckets[at];
        for (int i = 0; i < HFT_WATCH_SLOTS; i++) {
            if (bucket->prints[i] != 0) continue;
            bucket->prints[i] = fingerprint(hash);
            hft_watch_store24(bucket->numbers[i], number);
            return 0;
        }
        bucket->passed |= passed_bit(hash);
    }
    return HFT_E_WATCH_FULL;
}

int hft_watch_add(hft_watch *watch, const uint8_t *script, size_t len, uint32_t label) {
    script_key k = {.bytes = script, .n = len, .len = len};
    uint8_t room[32];
    if (label > HFT_WATCH_LABEL_MAX) return HFT_E_ARGUMENT;
    if (!is_usual(len) && !unusual_key(&k, room, script, len)) return HFT_E_WATCH_SCRIPT;
    if (watch->n_buckets == 0) return HFT_E_WATCH_FULL;
    uint64_t hash = hash_of(watch, &k);
    int64_t number = probe(watch, hash, &k);
    if (number >= 0)
        return hft_watch_load24(watch->entries[number].label) == label ? 0 : HFT_E_WATCH_CONFLICT;
    if (watch->n_entries >= watch->cap) return HFT_E_WATCH_FULL;
    hft_watch_entry *entry = &watch->entries[watch->n_entries];
    memset(entry, 0, sizeof *entry);
    memcpy(entry->script, k.bytes, k.n);
    entry->len = (uint8_t)len;
    if (len > HFT_WATCH_INLINE_MAX) {
        entry->len = HFT_WATCH_LONG;
        hft_store_le16(entry->script + 32, (uint16_t)len);
    }
    hft_watch_store24(entry->label, label);
    int rc = insert(watch, hash, watch->n_entries);
    if (rc < 0) return rc;
    if (len > HFT_WATCH_INLINE_MAX) watch->long_lens |= 1ull << len % 64;
    if (label >= watch->n_labels) watch->n_labels = label + 1;
    watch->n_entries++;
    return 1;
}

int hft_watch_set(hft_watch *watch, uint32_t entry, uint32_t label, uint16_t origin) {
    if (watch->cap == 0) return HFT_E_STATE;
    if (entry >= watch->n_entries || label > HFT_WATCH_LABEL_MAX) return HFT_E_ARGUMENT;
    hft_watch_store24(watch->entries[entry].label, label);
    watch->entries[entry].origin = origin;
    if (label >= watch->n_labels) watch->n_labels = label + 1;
    return 0;
}

int hft_watch_copy(hft_watch *watch, const hft_watch *from) {
    if (from->n_entries > watch->cap) return HFT_E_WATCH_FULL;
    for (uint32_t i = 0; i < from->n_entries; i++) {
        const hft_watch_entry *entry = &from->entries[i];
        size_t n = entry->len == HFT_WATCH_LONG ? 32 : entry->len < KEY_MIN ? KEY_MIN : entry->len;
        script_key k = {.bytes = entry->script, .n = n, .len = entry_len(entry)};
        if (n > HFT_WATCH_INLINE_MAX) return HFT_E_WATCH_DAMAGED;
        watch->entries[i] = *entry;
        int rc = insert(watch, hash_of(watch, &k), i);
        if (rc < 0) return rc;
    }
    watch->n_entries = from->n_entries;
    watch->n_labels = from->n_labels;
    watch->long_lens = from->long_lens;
    return 0;
}

/* The key by which a script of whatever length is looked up; 0 if it is surely not watched. */
static inline int lookup_key(const hft_watch *watch, script_key *k, uint8_t room[32], const uint8_t *script,
                             size_t len) {
    k->bytes = script;
    k->n = k->len = len;
    if (__builtin_expect(is_usual(len), 1)) return watch->n_entries != 0;
    /* Most of what is long is data in OP_RETURN: not worth a hash unless something of that length is watched. */
    if (len > HFT_WATCH_INLINE_MAX && (watch->long_lens >> len % 64 & 1) == 0) return 0;
    return watch->n_entries != 0 && unusual_key(k, room, script, len);
}

static inline int64_t label_of(const hft_watch *watch, int64_t number, uint32_t *entry) {
    if (number < 0) return -1;
    uint32_t label = hft_watch_load24(watch->entries[number].label);
    if (label >= watch->n_labels) return -1; /* only in a damaged file */
    if (entry != NULL) *entry = (uint32_t)number;
    return label;
}

int64_t hft_watch_find(const hft_watch *watch, const uint8_t *script, size_t len, uint32_t *entry) {
    script_key k;
    uint8_t room[32];
    if (!lookup_key(watch, &k, room, script, len)) return -1;
    return label_of(watch, probe(watch, hash_of(watch, &k), &k), entry);
}

void hft_watch_find_many(const hft_watch *watch, int64_t *labels, uint32_t *entries, const uint8_t *const *scripts,
                         const size_t *lens, size_t n) {
    script_key keys[HFT_WATCH_BATCH];
    uint64_t hashes[HFT_WATCH_BATCH];
    uint8_t rooms[HFT_WATCH_BATCH][32];
    for (size_t i = 0; i < n; i++) {
        labels[i] = lookup_key(watch, &keys[i], rooms[i], scripts[i], lens[i]) ? 0 : -1;
        if (labels[i] < 0) continue;
        hashes[i] = hash_of(watch, &keys[i]);
        __builtin_prefetch(&watch->buckets[home_of(watch, hashes[i])]);
    }
    for (size_t i = 0; i < n; i++)
        if (labels[i] == 0) labels[i] = label_of(watch, probe(watch, hashes[i], &keys[i]), &entries[i]);
}

uint16_t hft_watch_origin(const hft_watch *watch, uint32_t entry) {
    return entry < watch->n_entries ? watch->entries[entry].origin : 0;
}
