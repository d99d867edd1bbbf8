from libc.stdint cimport uint64_t


cdef extern from "hft/wsclient.h" nogil:
    enum:
        HFT_WSCLIENT_PINGS

    ctypedef struct hft_wsclient:
        uint64_t pings_sent
        uint64_t pings_answered
        uint64_t ping_ns[8]  # HFT_WSCLIENT_PINGS
