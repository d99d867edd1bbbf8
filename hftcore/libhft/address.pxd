from libc.stdint cimport uint8_t, uint32_t


cdef extern from "hft/address.h" nogil:
    enum:
        HFT_ADDRESS_MAX
        HFT_ADDRESS_SCRIPT_MAX

    ctypedef struct hft_address_net:
        uint8_t p2pkh_version
        uint8_t p2sh_version
        uint8_t hrp_len
        char hrp[8]

    ctypedef struct hft_address_fault:
        uint8_t why
        uint32_t pos
        uint32_t value

    ctypedef struct hft_bech32:
        uint8_t values[90]
        uint8_t n_values
        uint8_t hrp_len
        uint8_t is_bech32m

    int hft_address_decode(uint8_t *script, hft_address_fault *fault, const hft_address_net *net, const char *text,
                           size_t len)
    int hft_address_encode(char *text, const hft_address_net *net, const uint8_t *script, size_t len)
    int hft_base58_decode(uint8_t *out, size_t cap, hft_address_fault *fault, const char *text, size_t len)
    int hft_base58_encode(char *out, size_t cap, const uint8_t *data, size_t len)
    int hft_bech32_decode(hft_bech32 *parts, hft_address_fault *fault, const char *text, size_t len)
    int hft_bech32_encode(char *out, const char *hrp, size_t hrp_len, const uint8_t *values, size_t n, int is_bech32m)
