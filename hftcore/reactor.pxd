cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from hftcore.libhft.reactor cimport hft_link_config_ws, hft_reactor, hft_reactor_event


cdef class Handler:
    """What a connection tells its owner; subclass in Python, or as a `cdef class` that overrides these."""

    cpdef on_open(self, Connection connection)
    cpdef on_message(self, Connection connection, Message message)
    cpdef on_pong(self, Connection connection, uint64_t rtt_ns, bint is_app)
    cpdef on_writable(self, Connection connection)
    cpdef on_close(self, Connection connection, object error)


@cython.final
cdef class Message:
    # The payload, valid until the handler returns; NULL from then on, when `data` holds a copy if one is needed.
    cdef const uint8_t *ptr
    cdef readonly size_t size
    cdef readonly int op                # hft_ws_op: HFT_WS_OP_TEXT or HFT_WS_OP_BINARY
    cdef readonly uint64_t recv_ns      # monotonic: when the bytes were taken from the kernel
    cdef readonly uint64_t kernel_ns    # wall clock, the kernel's stamp; 0 = not asked for
    cdef bytes _data
    cdef str _text

    cdef bytes get_data(self)
    cdef str get_text(self)


cdef class Connection:
    cdef readonly Reactor reactor
    cdef readonly Handler handler
    cdef object _request                # hftcore._request.Request
    cdef object _endpoint               # the one connected to
    cdef uint32_t link                  # number in the core; LINK_NONE while there is none
    cdef bint _open                     # from on_open to on_close
    cdef bint _over                     # on_close was called
    cdef tuple _held                    # what the core points into
    cdef object _on_message             # bound method of a handler written in Python, else None
    cdef bytes _head                    # of the response
    cdef object _error                  # what on_close was told
    cdef object _sock_info

    cdef int check_open(self) except -1
    cdef int raise_send(self, int rc) except -1
    # A whole message; raises LimitExceeded, ConnectionClosed.
    cdef int send_bytes(self, int op, const void *data, size_t size) except -1


@cython.final
cdef class Timer:
    cdef readonly uint64_t due_ns
    cdef uint64_t _serial
    cdef object _callback
    cdef tuple _args


cdef class Reactor:
    cdef hft_reactor r
    cdef bint _is_open
    cdef bint _running
    cdef bint _stopped
    cdef unsigned long _owner           # thread that may use it
    cdef list _connections              # by link
    cdef readonly int n_connections     # added and not closed
    cdef Message _message               # used again where nobody kept it
    cdef object _calls                  # deque of (callback, args), by any thread
    cdef list _timers                   # heap
    cdef uint64_t _n_timers             # serial numbers given out
    cdef uint64_t _now_ns

    # Raises where another thread than the owner calls, or after close().
    cdef int open(self) except -1
    cdef int check_owner(self) except -1
    # 1 and the next event, or 0 after timeout_ns, or after a signal. Releases the GIL where it waits. The event must be
    # given to dispatch() before the next call, unless the caller does what dispatch() would do.
    cdef int next_event(self, hft_reactor_event *event, uint64_t timeout_ns) except -1
    # Calls the handler. What it raises is raised; the reactor stays usable.
    cdef int dispatch(self, hft_reactor_event *event) except -1
    # One event, or what is due of timers and calls; waits at most timeout_ns. 1 if there was anything.
    cdef int turn(self, uint64_t timeout_ns) except -1
    cdef Connection connection_of(self, hft_reactor_event *event)
    cdef int add_link(self, Connection connection, object sock) except -1
    cdef int run_due(self) except -1
    cdef uint64_t timer_ns(self) except? 0
