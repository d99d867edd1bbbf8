from libc.stdint cimport uint32_t


cdef class MessageParser:
    cdef bytearray _buffer
    cdef object _error
    cdef uint32_t _magic
    cdef uint32_t _message_max
    cdef size_t _need

    cdef size_t _parse(self, list messages) except? 0
