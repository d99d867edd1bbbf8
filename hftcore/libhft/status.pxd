from libc.stdint cimport uint32_t


cdef extern from "hft/status.h" nogil:
    ctypedef struct hft_err:
        int code
        uint32_t pos
        char text[256]

    enum:
        HFT_E_ARGUMENT
        HFT_E_CPU_LEVEL
        HFT_E_STATE
        HFT_E_CAPACITY
        HFT_E_MEMORY
        HFT_E_TEXT_DIGIT
        HFT_E_TEXT_UTF8
        HFT_E_CONN_RESOLVE
        HFT_E_CONN_STOPPED
        HFT_E_WS_CONTROL
        HFT_E_WS_OPCODE
        HFT_E_WS_UTF8
        HFT_E_ORDER_CHARSET
        HFT_E_ORDER_SLOT
        HFT_E_ORDER_VALUE
        HFT_E_ORDER_TEMPLATE
        HFT_E_BTC_CHECKSUM
        HFT_E_BTC_TRUNCATED
        HFT_E_BTC_TX
        HFT_E_BTC_TRAILING
        HFT_E_BTC_COUNT
        HFT_E_BTC_REPEATED
        HFT_E_WATCH_FULL
        HFT_E_WATCH_CONFLICT
        HFT_E_WATCH_FORMAT
        HFT_E_WATCH_DAMAGED

    const char *hft_status_name(int code)
    const char *hft_status_text(int code)
    int hft_status_at(size_t i)


cdef extern from "hft/cpu.h" nogil:
    unsigned int hft_cpu_features()
    int hft_init(const char *level)
    const char *hft_cpu_level_at(size_t i)
    const char *hft_sha256_kernel()
