from libc.stdint cimport uint32_t, uint64_t


cdef extern from "hft/hist.h" nogil:
    ctypedef struct hft_hist:
        uint64_t count
        uint64_t min
        uint64_t max
        uint64_t sum

    void hft_hist_init(hft_hist *hist)
    void hft_hist_record(hft_hist *hist, uint64_t value)
    uint64_t hft_hist_percentile(const hft_hist *hist, uint32_t per_million)
    void hft_hist_merge(hft_hist *dst, const hft_hist *src)
