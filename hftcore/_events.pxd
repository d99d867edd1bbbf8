from hftcore.libhft.engine cimport hft_event
from hftcore.watch cimport WatchTable


cdef class EventReader:
    cdef WatchTable _watch
    cdef list _peers            # (host, port)
    cdef list _venues           # (Venue, Endpoint, Credentials or None)
    cdef list _rules            # Rule

    # The event of a record of the engine's queue.
    cdef object read(self, const hft_event *c)
    cdef object _read_link(self, const hft_event *c)
    cdef object _read_order(self, const hft_event *c)
