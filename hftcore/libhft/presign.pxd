from libc.stdint cimport uint32_t, uint64_t

from hftcore.libhft.order cimport hft_order_template, hft_order_value


cdef extern from "hft/presign.h" nogil:
    enum:
        HFT_PRESIGN_COUNT_MIN
        HFT_PRESIGN_COUNT_MAX

    ctypedef struct hft_presign_config:
        hft_order_template *order
        int timestamp_slot
        int id_slot
        const hft_order_value *values
        const char *id_prefix
        size_t id_prefix_len
        uint32_t count
        uint64_t step_ns
        uint64_t window_ns

    ctypedef struct hft_presign:
        pass

    ctypedef struct hft_presigned:
        const char *message
        const char *id
        size_t message_len
        size_t id_len
        uint64_t timestamp_ns

    size_t hft_presign_size(const hft_order_template *order, uint32_t count)
    int hft_presign_init(hft_presign *p, const hft_presign_config *config, void *memory)
    int hft_presign_refresh(hft_presign *p, uint64_t now_ns, int *bad_slot)
    int hft_presign_take(hft_presign *p, hft_presigned *out, uint64_t now_ns)
