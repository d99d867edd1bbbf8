from hftcore._events cimport EventReader
from hftcore.libhft.engine cimport hft_engine
from hftcore.libhft.tls cimport hft_tls_context
from hftcore.tls cimport TLSContext
from hftcore.watch cimport WatchTable


cdef class Engine:
    cdef hft_engine *_engine    # NULL once stopped
    cdef int _opener            # process that started it; 0: this one
    cdef object __weakref__
    cdef object _settings       # what __init__ was given, for __repr__ and conversions
    cdef WatchTable _watch      # keeps the table alive
    cdef int _n_tables          # that replace_watch() has handed over
    cdef EventReader _reader
    cdef dict _tls              # CA file, None or TLSContext -> TLSContext
    cdef list _peers            # (host, port)
    cdef list _venues           # (Venue, Endpoint, Credentials or None)
    cdef list _rules            # Rule
    cdef object _backlog        # events taken from the C queue but not yet given out
    cdef object _lock           # one consumer at a time
    cdef object _put_lock       # resolvers put addresses one at a time
    cdef object _thread
    cdef object _resolver
    cdef object _manager        # PeerManager or None
    cdef object _started        # set when the reactor has opened, or failed to
    cdef object _failure        # exception that ended the reactor
    cdef object _finished       # set when the reactor thread is over
    cdef object _final_stats
    cdef object _final_latency
    cdef object _final_peers
    cdef object _final_backend
    cdef set _ready
    cdef dict _errors
    cdef set _waiters           # (loop, future) of asynchronous consumers

    cdef hft_tls_context *_tls_context(self, TLSContext given, object ca_file) except NULL
    cdef int check_process(self) except -1
    cdef object _take(self)
    cdef int _put_addresses(self, unsigned int slot, list found) except -1
