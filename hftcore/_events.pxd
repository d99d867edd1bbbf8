from hftcore.libhft.engine cimport hft_event
from hftcore.watch cimport WatchTable


cdef class EventReader:
    cdef WatchTable watch       # whose labels the next event has
    cdef dict _tables           # number of a change -> its table
    cdef list _peers            # (host, port)
    cdef list _venues           # (Venue, Endpoint, Credentials or None)
    cdef list _rules            # Rule

    # The event of a record of the engine's queue.
    cdef object read(self, const hft_event *c)
    cdef int use(self, int number, WatchTable watch) except -1
    cdef object _read_watch(self, const hft_event *c)
    cdef object _read_link(self, const hft_event *c)
    cdef object _read_order(self, const hft_event *c)
    cdef object _read_signal(self, const hft_event *c)
