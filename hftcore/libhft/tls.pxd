from libc.stdint cimport uint8_t

from hftcore.libhft.status cimport hft_err


cdef extern from "hft/tls.h" nogil:
    enum:
        HFT_TLS_PIN_LEN
        HFT_TLS_PINS_MAX

    ctypedef struct hft_tls_context:
        pass

    ctypedef struct hft_tls_config:
        const char *ca_file
        const char *ca_data
        const char *cert_file
        const char *key_file
        const char *key_password
        const uint8_t (*pins)[32]
        size_t n_pins
        int min_version
        const char *ciphers
        const char *ciphersuites
        const char *alpn
        const char *keylog_file
        int resume

    ctypedef struct hft_tls:
        uint8_t resumed

    int hft_tls_context_open(hft_tls_context **context, const hft_tls_config *config, hft_err *err)
    void hft_tls_context_close(hft_tls_context *context)
    const char *hft_tls_library()
    int hft_tls_pin_of(uint8_t *pin, const void *data, size_t len, hft_err *err)
    const char *hft_tls_version(const hft_tls *tls)
    const char *hft_tls_cipher(const hft_tls *tls)
    const char *hft_tls_alpn(const hft_tls *tls, size_t *len)
    int hft_tls_peer_certificate(const hft_tls *tls, uint8_t *der, size_t cap)
    int hft_tls_peer_pin(const hft_tls *tls, uint8_t *pin)
