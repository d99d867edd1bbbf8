from libc.stdint cimport uint8_t, uint64_t

from hftcore.libhft.ws cimport hft_ws_parser


cdef class Frame:
    cdef readonly object opcode
    cdef readonly bytes data
    cdef readonly object close_code


cdef class FrameParser:
    cdef hft_ws_parser parser
    cdef void *_message         # where fragments are put together
    cdef bint _client
    cdef bytearray _buffer      # received, not consumed
    cdef uint64_t _consumed

    cdef int _feed_direct(self, list frames, data) except -1
    cdef int _feed_buffered(self, list frames, data) except -1
    cdef size_t _parse(self, list frames, uint8_t *data, size_t size) except? 0
    cdef object _make_error(self)
