/* The watch table: raw scriptPubKey bytes -> label number. Open addressing in memory the caller gives; built once,
 * then only probed. Pure; a miss costs one cache line in the common case. */
#ifndef HFT_WATCH_H
#define HFT_WATCH_H

#include "hft/status.h"

#define HFT_WATCH_SCRIPT_MAX 10000u /* longest script that can be spent */

typedef struct hft_watch_entry hft_watch_entry;

typedef struct {
    uint32_t *slots;          /* a power of two of them: entry number + 1 and a hash tag, see watch.c */
    hft_watch_entry *entries;
    uint32_t slot_mask;
    uint32_t n_entries, cap;
} hft_watch;

/* Bytes of memory for `cap` scripts; 0 if cap is 0 or over 2^24. */
size_t hft_watch_size(uint32_t cap);
/* Takes 64-byte-aligned memory of hft_watch_size(cap) bytes, the caller's, which outlives the table.
 * Errors: HFT_E_ARGUMENT. */
HFT_NODISCARD int hft_watch_init(hft_watch *watch, void *memory, uint32_t cap);
/* Returns 1 = added, 0 = was there with this label. Errors: HFT_E_WATCH_FULL, HFT_E_WATCH_SCRIPT (empty, over
 * HFT_WATCH_SCRIPT_MAX), HFT_E_WATCH_CONFLICT (there under another label; nothing is changed). */
HFT_NODISCARD int hft_watch_add(hft_watch *watch, const uint8_t *script, size_t len, uint32_t label);
/* The label, or -1 where the script is not watched. `watch` with n_entries == 0 is valid. *entry (may be NULL) gets the
 * entry's number, 0..n_entries-1: two outputs with the same script give the same number. */
int64_t hft_watch_find(const hft_watch *watch, const uint8_t *script, size_t len, uint32_t *entry);

#endif
