from libc.stdint cimport uint8_t, uint64_t


cdef extern from "hft/text.h" nogil:
    enum:
        HFT_U64_DIGITS_MAX
        HFT_DECIMAL_LEN_MAX
        HFT_SCALE_MAX

    void hft_hex_encode(char *out, const void *data, size_t len)
    int hft_hex_decode(uint8_t *out, const char *text, size_t len)
    size_t hft_base64_encode(char *out, const void *data, size_t len)
    int hft_base64_decode(uint8_t *out, const char *text, size_t len)
    size_t hft_u64_put(char *out, uint64_t value)
    void hft_u64_put_fixed(char *out, uint64_t value, unsigned int digits)
    int hft_u64_parse(uint64_t *out, const char *text, size_t len)
    size_t hft_decimal_put(char *out, uint64_t value, unsigned int scale, int trim)
    int hft_decimal_parse(uint64_t *out, const char *text, size_t len, unsigned int scale)
    int hft_utf8_valid(const void *data, size_t len)
