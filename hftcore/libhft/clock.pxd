from libc.stdint cimport uint8_t, uint64_t


cdef extern from "hft/clock.h" nogil:
    ctypedef struct hft_clock:
        uint64_t tick0
        uint64_t mono0
        uint64_t wall0
        uint64_t ns_per_tick_q32
        uint8_t use_tsc

    uint64_t hft_clock_mono_ns()
    uint64_t hft_clock_wall_ns()
    void hft_clock_init(hft_clock *clock)
    void hft_clock_resync(hft_clock *clock)
    uint64_t hft_ticks(const hft_clock *clock)
    uint64_t hft_ticks_to_ns(const hft_clock *clock, uint64_t ticks)
    uint64_t hft_ticks_mono_ns(const hft_clock *clock, uint64_t tick)
    uint64_t hft_ticks_wall_ns(const hft_clock *clock, uint64_t tick)
