#include "hft/hist.h"

#include <string.h>

enum { SUB = 1 << HFT_HIST_SUB_BITS };

/* Values below SUB have a bucket each; above, every power of two is cut into SUB equal buckets. */
static uint32_t bucket_of(uint64_t value) {
    if (value < SUB) return (uint32_t)value;
    uint32_t shift = 63 - (uint32_t)__builtin_clzll(value) - HFT_HIST_SUB_BITS;
    return (shift << HFT_HIST_SUB_BITS) + (uint32_t)(value >> shift);
}

/* The largest value of a bucket. */
static uint64_t bucket_bound(uint32_t bucket) {
    if (bucket < 2 * SUB) return bucket;
    uint32_t shift = (bucket >> HFT_HIST_SUB_BITS) - 1;
    uint64_t first = (uint64_t)(SUB + (bucket & (SUB - 1))) << shift;
    return first + ((1ull << shift) - 1);
}

static uint64_t add_saturating(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

void hft_hist_init(hft_hist *hist) {
    memset(hist, 0, sizeof *hist);
    hist->min = UINT64_MAX;
}

void hft_hist_record(hft_hist *hist, uint64_t value) {
    hist->count++;
    hist->sum = add_saturating(hist->sum, value);
    if (value < hist->min) hist->min = value;
    if (value > hist->max) hist->max = value;
    hist->buckets[bucket_of(value)]++;
}

uint64_t hft_hist_percentile(const hft_hist *hist, uint32_t per_million) {
    if (hist->count == 0) return 0;
    if (per_million > 1000000) per_million = 1000000;
    uint64_t millions = hist->count / 1000000, rest = hist->count % 1000000;
    uint64_t wanted = millions * per_million + (rest * per_million + 999999) / 1000000;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HFT_HIST_BUCKETS; i++) {
        seen += hist->buckets[i];
        if (hist->buckets[i] == 0 || seen < wanted) continue;
        return bucket_bound(i) < hist->max ? bucket_bound(i) : hist->max;
    }
    return hist->max;
}

void hft_hist_merge(hft_hist *dst, const hft_hist *src) {
    dst->count += src->count;
    dst->sum = add_saturating(dst->sum, src->sum);
    if (src->min < dst->min) dst->min = src->min;
    if (src->max > dst->max) dst->max = src->max;
    for (uint32_t i = 0; i < HFT_HIST_BUCKETS; i++) dst->buckets[i] += src->buckets[i];
}
