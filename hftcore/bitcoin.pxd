from libc.stdint cimport uint32_t

from hftcore.libhft.btc cimport hft_btc_tx


cdef class Transaction:
    cdef readonly bytes raw
    cdef hft_btc_tx tx
    cdef str _txid
    cdef str _wtxid
    cdef tuple _inputs
    cdef tuple _outputs

    cdef int _hash(self) except -1


cdef class MessageParser:
    cdef bytearray _buffer
    cdef object _error
    cdef uint32_t _magic
    cdef uint32_t _message_max
    cdef size_t _need

    cdef size_t _parse(self, list messages) except? 0
