from libc.stdint cimport uint64_t

from hftcore.libhft.watch cimport hft_watch


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
