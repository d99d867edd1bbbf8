/* The histogram against sorted data: every percentile within its bucket's width, the ends exact. */
#include "check.h"

#include <stdlib.h>

#include <hft/hist.h>

#define VALUES_MAX 5000

static uint64_t random_state = 0x2545f4914f6cdd1d;

static uint64_t random_u64(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void check_against(const hft_hist *hist, uint64_t *values, size_t n) {
    qsort(values, n, sizeof *values, compare);
    CHECK_EQ(hist->count, n);
    CHECK_EQ(hist->min, values[0]);
    CHECK_EQ(hist->max, values[n - 1]);
    CHECK_EQ(hft_hist_percentile(hist, 1000000), values[n - 1]);
    for (uint32_t per_million = 1; per_million < 1000000; per_million += 9973) {
        size_t rank = (n * (size_t)per_million + 999999) / 1000000; /* values at or below the answer, at least */
        uint64_t exact = values[rank - 1], answer = hft_hist_percentile(hist, per_million);
        CHECK(answer >= exact);
        CHECK(answer - exact <= exact / 64);
        CHECK(answer <= values[n - 1]);
    }
}

static void test_percentiles(void) {
    static hft_hist hist, half[2];
    static uint64_t values[VALUES_MAX];
    for (int round = 0; round < 40; round++) {
        size_t n = 1 + random_u64() % VALUES_MAX;
        hft_hist_init(&hist);
        hft_hist_init(&half[0]);
        hft_hist_init(&half[1]);
        for (size_t i = 0; i < n; i++) {
            values[i] = random_u64() >> (random_u64() % 64);
            hft_hist_record(&hist, values[i]);
            hft_hist_record(&half[i % 3 == 0], values[i]);
        }
        hft_hist_merge(&half[0], &half[1]);
        CHECK_MEM(&half[0], &hist, sizeof hist);
        check_against(&hist, values, n);
    }
}

/* Small values and the borders of buckets, where an index off by one would show. */
static void test_buckets(void) {
    static hft_hist hist;
    for (unsigned shift = 0; shift < 64; shift++)
        for (int delta = -1; delta <= 1; delta++) {
            uint64_t value = ((uint64_t)1 << shift) + (uint64_t)(int64_t)delta;
            hft_hist_init(&hist);
            hft_hist_record(&hist, value);
            hft_hist_record(&hist, UINT64_MAX);
            uint64_t answer = hft_hist_percentile(&hist, 500000);
            CHECK(answer >= value);
            CHECK(answer - value <= value / 64);
            if (value < 128) CHECK_EQ(answer, value);
        }
}

static void test_edges(void) {
    static hft_hist hist, other;
    hft_hist_init(&hist);
    CHECK_EQ(hft_hist_percentile(&hist, 500000), 0);
    CHECK_EQ(hist.min, UINT64_MAX);
    hft_hist_init(&other);
    hft_hist_merge(&hist, &other);
    CHECK_EQ(hist.count, 0);
    hft_hist_record(&hist, 1000);
    CHECK_EQ(hft_hist_percentile(&hist, 1), 1000); /* never above the maximum */
    CHECK_EQ(hft_hist_percentile(&hist, UINT32_MAX), 1000);
    hft_hist_record(&hist, UINT64_MAX);
    CHECK_EQ(hist.sum, UINT64_MAX); /* saturated */
    hft_hist_record(&hist, 5);
    CHECK_EQ(hist.sum, UINT64_MAX);
    /* So many values that count * 1,000,000 does not fit 64 bits. */
    hft_hist_init(&hist);
    hist.count = (uint64_t)1 << 60;
    hist.min = 1, hist.max = 2;
    hist.buckets[1] = hist.count / 2;
    hist.buckets[2] = hist.count / 2;
    CHECK_EQ(hft_hist_percentile(&hist, 500000), 1);
    CHECK_EQ(hft_hist_percentile(&hist, 500001), 2);
}

int main(void) {
    test_percentiles();
    test_buckets();
    test_edges();
    return check_done();
}
