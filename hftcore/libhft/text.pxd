from libc.stdint cimport uint8_t, uint64_t


cdef extern from "hft/text.h" nogil:
    enum:
        HFT_U64_DIGITS_MAX
        HFT_DECIMAL_LEN_MAX
        HFT_SCALE_MAX
        HFT_RFC3339_LEN_MAX
        HFT_JSON_ESCAPE_MAX

    ctypedef struct hft_timestamp_cache:
        pass

    void hft_hex_encode(char *out, const void *data, size_t len)
    int hft_hex_decode(uint8_t *out, const char *text, size_t len)
    size_t hft_base64_encode(char *out, const void *data, size_t len)
    int hft_base64_decode(uint8_t *out, const char *text, size_t len)
    size_t hft_u64_put(char *out, uint64_t value)
    void hft_u64_put_fixed(char *out, uint64_t value, unsigned int digits)
    int hft_u64_parse(uint64_t *out, const char *text, size_t len)
    size_t hft_decimal_put(char *out, uint64_t value, unsigned int scale, int trim)
    int hft_decimal_parse(uint64_t *out, const char *text, size_t len, unsigned int scale)
    size_t hft_timestamp_put(hft_timestamp_cache *cache, char *out, uint64_t unix_ns, unsigned int scale)
    size_t hft_rfc3339_put(char *out, uint64_t unix_ns, unsigned int fraction_digits)
    int hft_json_escape(char *out, size_t cap, const char *text, size_t len)
    ctypedef struct hft_charset:
        uint8_t *bits

    int hft_charset_has(const hft_charset *set, uint8_t c)
    int hft_utf8_valid(const void *data, size_t len)

    ctypedef struct hft_utf8_stream:
        uint8_t due

    size_t hft_utf8_feed(hft_utf8_stream *stream, const void *data, size_t len)
