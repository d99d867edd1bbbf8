from libc.stdint cimport uint32_t, uint64_t


cdef extern from "hft/risk.h" nogil:
    enum:
        HFT_RISK_RULES_MAX
        HFT_RISK_WINDOW_MAX

    ctypedef struct hft_risk_limits:
        uint32_t burst
        uint64_t refill_ns
        uint64_t window_ns
        uint32_t window_orders
        uint64_t window_notional

    ctypedef struct hft_risk:
        pass

    int hft_risk_init(hft_risk *risk, const hft_risk_limits *limits)
    int hft_risk_set_cooldown(hft_risk *risk, uint32_t rule, uint64_t cooldown_ns)
    void hft_risk_kill(hft_risk *risk, int on)
    int hft_risk_check(hft_risk *risk, uint32_t rule, uint64_t notional, uint64_t now_ns)
