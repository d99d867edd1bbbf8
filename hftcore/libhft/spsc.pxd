cdef extern from "hft/spsc.h" nogil:
    ctypedef struct hft_spsc:
        pass

    int hft_spsc_init(hft_spsc *queue, void *memory, size_t cap, size_t record_size)
    void *hft_spsc_reserve(hft_spsc *queue)
    void hft_spsc_publish(hft_spsc *queue)
    size_t hft_spsc_free(hft_spsc *queue)
    const void *hft_spsc_peek(hft_spsc *queue)
    void hft_spsc_release(hft_spsc *queue)
