from libc.stdint cimport uint64_t

from hftcore.libhft.ws cimport hft_ws_parser


cdef class Frame:
    cdef readonly object opcode
    cdef readonly bytes data
    cdef readonly object close_code


cdef class FrameParser:
    cdef hft_ws_parser parser
    cdef void *_message         # where fragments are put together
    cdef bytearray _buffer      # received, not consumed
    cdef uint64_t _consumed

    cdef size_t _parse(self, list frames) except? 0
    cdef object _make_error(self)
