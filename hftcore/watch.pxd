from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from hftcore.libhft.watch cimport hft_watch


# An engine that takes a table calls hand_over(), keeps a reference, and reads `watch` without the GIL.
cdef class WatchTable:
    cdef hft_watch watch
    cdef void *_memory          # mapped: anonymous, or a file
    cdef size_t _mapped         # its length
    cdef int _file              # descriptor of the file that is mapped, or -1
    cdef bint _locked
    cdef list label_names       # label number -> name
    cdef list _origins          # origin number -> (source, priority)
    cdef dict _label_numbers
    cdef dict _origin_numbers
    cdef readonly str network   # what save() wrote; None = built here
    cdef readonly bint frozen

    cdef int _release(self) except -1
    cdef int _become(self, const hft_watch *source, uint64_t cap) except -1
    cdef int64_t _find(self, object script, uint32_t *entry) except -2
    cdef object _entry_of(self, uint32_t entry, uint32_t label)
    cdef uint32_t _label_number(self, object label) except? 0xffffffff
    cdef uint32_t _origin_number(self, object source, object priority) except? 0xffffffff
    cdef int _add(self, const uint8_t *script, size_t size, uint32_t label) except? -1
    cdef int _attach(self, void *memory, size_t size) except -1
    cdef int hand_over(self, str network) except -1
