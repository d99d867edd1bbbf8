/* The layout of a watch table, shared by its source files. Private. */
#ifndef HFT_WATCH_INTERNAL_H
#define HFT_WATCH_INTERNAL_H

#include <stddef.h>

#include "hft/watch.h"

#define HFT_WATCH_SLOTS 12
#define HFT_WATCH_INLINE_MAX 34 /* holds every standard script that has an address */
#define HFT_WATCH_LONG 255

struct hft_watch_bucket { /* one cache line */
    uint16_t prints[HFT_WATCH_SLOTS]; /* 0 = free; those in use come first */
    uint32_t passed;
    uint8_t numbers[HFT_WATCH_SLOTS][3];
};

struct hft_watch_entry {
    uint8_t script[HFT_WATCH_INLINE_MAX]; /* zeros behind it; of a longer one, SHA-256 and u16 length */
    uint8_t len;                          /* HFT_WATCH_LONG: see there */
    uint8_t label[3];
    uint16_t origin;
};

_Static_assert(sizeof(hft_watch_bucket) == 64, "a bucket is one cache line");
_Static_assert(sizeof(hft_watch_entry) == 40, "entries are meant to be compact");
_Static_assert(HFT_WATCH_SCRIPT_MAX <= UINT16_MAX, "an entry's length must hold every script's");

/* For `cap` scripts. */
uint32_t hft_watch_bucket_count(uint32_t cap);

static inline uint32_t hft_watch_load24(const uint8_t p[3]) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}
static inline void hft_watch_store24(uint8_t p[3], uint32_t value) {
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
    p[2] = (uint8_t)(value >> 16);
}

#endif
