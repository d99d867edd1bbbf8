from hftcore.libhft.tls cimport hft_tls_context


# Whoever gives `context` to connections keeps a reference to the object, or relies on the connections: each keeps the
# context alive by itself.
cdef class TLSContext:
    cdef hft_tls_context *context
    cdef readonly str ca_file
    cdef readonly str certificate
    cdef readonly tuple pins
    cdef readonly str min_version
    cdef readonly str ciphers
    cdef readonly str ciphersuites
    cdef readonly tuple alpn
    cdef readonly bint resumption
    cdef readonly str keylog_file
