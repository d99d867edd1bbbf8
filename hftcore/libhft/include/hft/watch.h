/* The watch table: raw scriptPubKey bytes -> label number and origin number. Pure.
 *
 * Buckets of one cache line each hold 16 bits of a keyed hash for every script, so that a script that is not watched
 * is nearly always refuted by one line, however large the table. The key is secret: whoever can add scripts to a list
 * cannot make them collide. Memory and file have the same layout, at 47.6 bytes a script: a table is built in memory
 * that the caller gives, or looked at where a file was mapped.
 *
 * A file (little-endian): hft_watch_header, the buckets, the entries, then `names`, which this module does not read. */
#ifndef HFT_WATCH_H
#define HFT_WATCH_H

#include "hft/status.h"

#define HFT_WATCH_SCRIPT_MAX 10000u     /* longest script that can be spent */
#define HFT_WATCH_CAP_MAX (1u << 24)    /* scripts in a table */
#define HFT_WATCH_LABEL_MAX 0xffffffu
#define HFT_WATCH_KEY_WORDS 8
#define HFT_WATCH_BATCH 32              /* scripts looked up at once */
#define HFT_WATCH_HEADER_LEN 256
#define HFT_WATCH_VERSION 1u

typedef struct hft_watch_bucket hft_watch_bucket;
typedef struct hft_watch_entry hft_watch_entry;

typedef struct {
    hft_watch_bucket *buckets;
    hft_watch_entry *entries;
    uint32_t n_buckets, n_entries;
    uint32_t cap;       /* 0: cannot be changed */
    uint32_t n_labels;  /* label numbers are below it: the highest added + 1, or what the file says */
    uint64_t long_lens; /* bit (length % 64) is set for each script that is kept by its digest */
    uint64_t key[HFT_WATCH_KEY_WORDS];
} hft_watch;

/* What else a file says. */
typedef struct {
    const uint8_t *names; /* within the file */
    size_t names_len;
    char network[16];     /* NUL-terminated */
} hft_watch_file;

/* ---- a table in memory ---- */

/* Bytes of memory for `cap` scripts; 0 if cap is 0 or over HFT_WATCH_CAP_MAX. */
size_t hft_watch_size(uint32_t cap);
/* Takes 64-byte-aligned memory of hft_watch_size(cap) bytes, the caller's, which outlives the table. key: random.
 * Errors: HFT_E_ARGUMENT. */
HFT_NODISCARD int hft_watch_init(hft_watch *watch, void *memory, uint32_t cap,
                                 const uint64_t key[HFT_WATCH_KEY_WORDS]);
/* Returns 1 = added with origin 0, 0 = was there with this label. Errors: HFT_E_WATCH_FULL, HFT_E_WATCH_SCRIPT (empty,
 * over HFT_WATCH_SCRIPT_MAX), HFT_E_WATCH_CONFLICT (there under another label; nothing is changed), HFT_E_ARGUMENT
 * (label over HFT_WATCH_LABEL_MAX). */
HFT_NODISCARD int hft_watch_add(hft_watch *watch, const uint8_t *script, size_t len, uint32_t label);
/* Gives an entry another label and origin. Errors: HFT_E_STATE (cannot be changed), HFT_E_ARGUMENT. */
HFT_NODISCARD int hft_watch_set(hft_watch *watch, uint32_t entry, uint32_t label, uint16_t origin);
/* Adds all entries of `from` to a table just initialised, under the same numbers. Errors: HFT_E_WATCH_FULL. */
HFT_NODISCARD int hft_watch_copy(hft_watch *watch, const hft_watch *from);

/* ---- any table ---- */

/* The label, or -1 where the script is not watched. A `watch` of zeros is valid. *entry (may be NULL) gets the
 * entry's number, 0..n_entries-1: two outputs with the same script give the same number. */
int64_t hft_watch_find(const hft_watch *watch, const uint8_t *script, size_t len, uint32_t *entry);
/* The same for n <= HFT_WATCH_BATCH scripts: labels[i], and, if it is not -1, entries[i]. All wait for memory at once,
 * which is what a lookup in a table larger than the cache does for 100 ns and longer. */
void hft_watch_find_many(const hft_watch *watch, int64_t *labels, uint32_t *entries, const uint8_t *const *scripts,
                         const size_t *lens, size_t n);
/* The origin that hft_watch_set gave, or 0. */
uint16_t hft_watch_origin(const hft_watch *watch, uint32_t entry);

/* ---- a table in a file ---- */

/* Where the two parts of a table are that a file has, one after the other, behind its header. */
const void *hft_watch_index(const hft_watch *watch, size_t *len);
const void *hft_watch_records(const hft_watch *watch, size_t *len);
/* Writes the header of a file: this table, then `names`, of which a digest is taken. Errors: HFT_E_ARGUMENT (network
 * of more than 15 characters). */
HFT_NODISCARD int hft_watch_put_header(uint8_t out[HFT_WATCH_HEADER_LEN], const hft_watch *watch, const char *network,
                                       const uint8_t *names, size_t names_len);
/* Makes `watch` the table in `data`, 64-byte-aligned, which is not changed and outlives it. Looks at the header alone,
 * so it takes no time; whatever the rest holds, looking up stays within `data` and ends soon.
 * Errors: HFT_E_WATCH_FORMAT (no such file, or another version), HFT_E_WATCH_DAMAGED. */
HFT_NODISCARD int hft_watch_attach(hft_watch *watch, hft_watch_file *file, const void *data, size_t len, hft_err *err);
/* Reads all of a file that was attached, and compares its digest: 0 or HFT_E_WATCH_DAMAGED. */
HFT_NODISCARD int hft_watch_verify(const void *data, size_t len);

#endif
