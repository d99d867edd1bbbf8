from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from hftcore.libhft.status cimport hft_err


cdef extern from "hft/watch.h" nogil:
    enum:
        HFT_WATCH_SCRIPT_MAX
        HFT_WATCH_CAP_MAX
        HFT_WATCH_KEY_WORDS
        HFT_WATCH_HEADER_LEN

    ctypedef struct hft_watch:
        uint32_t n_entries
        uint32_t cap
        uint32_t n_labels

    ctypedef struct hft_watch_file:
        const uint8_t *names
        size_t names_len
        char network[16]

    size_t hft_watch_size(uint32_t cap)
    int hft_watch_init(hft_watch *watch, void *memory, uint32_t cap, const uint64_t *key)
    int hft_watch_add(hft_watch *watch, const uint8_t *script, size_t len, uint32_t label)
    int hft_watch_set(hft_watch *watch, uint32_t entry, uint32_t label, uint16_t origin)
    int hft_watch_copy(hft_watch *watch, const hft_watch *source)
    int64_t hft_watch_find(const hft_watch *watch, const uint8_t *script, size_t len, uint32_t *entry)
    uint16_t hft_watch_origin(const hft_watch *watch, uint32_t entry)
    const void *hft_watch_index(const hft_watch *watch, size_t *len)
    const void *hft_watch_records(const hft_watch *watch, size_t *len)
    int hft_watch_put_header(uint8_t *out, const hft_watch *watch, const char *network, const uint8_t *names,
                             size_t names_len)
    int hft_watch_attach(hft_watch *watch, hft_watch_file *file, const void *data, size_t len, hft_err *err)
    int hft_watch_verify(const void *data, size_t len)
