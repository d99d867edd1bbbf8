/* A latency histogram of fixed size: log-linear buckets with at most 1/64 (1.6 %) relative error. Pure. */
#ifndef HFT_HIST_H
#define HFT_HIST_H

#include "hft/status.h"

#define HFT_HIST_SUB_BITS 6
#define HFT_HIST_BUCKETS ((64 - HFT_HIST_SUB_BITS + 1) << HFT_HIST_SUB_BITS)

typedef struct {
    uint64_t count, min, max, sum; /* min is UINT64_MAX while empty; sum saturates */
    uint64_t buckets[HFT_HIST_BUCKETS];
} hft_hist;

void hft_hist_init(hft_hist *hist);
void hft_hist_record(hft_hist *hist, uint64_t value);
/* The least bucket bound (never above max) below which at least per_million millionths of the values lie:
 * 500000 = p50, 999000 = p99.9, 1000000 = max. 0 while empty. */
uint64_t hft_hist_percentile(const hft_hist *hist, uint32_t per_million);
/* dst += src. */
void hft_hist_merge(hft_hist *dst, const hft_hist *src);

#endif
