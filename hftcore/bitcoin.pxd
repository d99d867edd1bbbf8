from libc.stdint cimport uint32_t, uint64_t

from hftcore.libhft.btc cimport hft_btc_tx
from hftcore.libhft.watch cimport hft_watch


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


# The engine that takes the table sets `frozen`, keeps a reference, and reads `watch` without the GIL.
cdef class WatchTable:
    cdef hft_watch watch
    cdef void *_memory
    cdef list label_names       # label number -> name
    cdef list scripts           # entry number -> script
    cdef dict _label_numbers
    cdef list _conflicts
    cdef readonly bint frozen

    cdef int _resize(self, uint64_t cap) except -1
