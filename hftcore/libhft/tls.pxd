from hftcore.libhft.status cimport hft_err


cdef extern from "hft/tls.h" nogil:
    ctypedef struct hft_tls_context:
        pass

    int hft_tls_context_open(hft_tls_context **context, const char *ca_file, hft_err *err)
    void hft_tls_context_close(hft_tls_context *context)
    const char *hft_tls_library()
