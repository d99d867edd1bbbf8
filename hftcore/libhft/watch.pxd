from libc.stdint cimport int64_t, uint8_t, uint32_t


cdef extern from "hft/watch.h" nogil:
    enum:
        HFT_WATCH_SCRIPT_MAX

    ctypedef struct hft_watch_entry:
        pass

    ctypedef struct hft_watch:
        uint32_t *slots
        hft_watch_entry *entries
        uint32_t slot_mask
        uint32_t n_entries
        uint32_t cap

    size_t hft_watch_size(uint32_t cap)
    int hft_watch_init(hft_watch *watch, void *memory, uint32_t cap)
    int hft_watch_add(hft_watch *watch, const uint8_t *script, size_t len, uint32_t label)
    int64_t hft_watch_find(const hft_watch *watch, const uint8_t *script, size_t len, uint32_t *entry)
