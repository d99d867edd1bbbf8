from libc.stdint cimport uint16_t, uint32_t, uint64_t

from hftcore._message cimport Message, Timer
from hftcore.libhft.reactor cimport hft_reactor, hft_reactor_event


cdef class Handler:
    """What a connection tells its owner; subclass in Python, or as a `cdef class` that overrides these."""

    cpdef on_open(self, Connection connection)
    cpdef on_message(self, Connection connection, Message message)
    cpdef on_pong(self, Connection connection, uint64_t rtt_ns, bint is_app)
    cpdef on_writable(self, Connection connection)
    cpdef on_lost(self, Connection connection, object error)
    cpdef on_close(self, Connection connection, object error)


cdef class Connection:
    cdef readonly Reactor reactor
    cdef readonly Handler handler
    cdef readonly object endpoint       # hftcore.endpoints.Endpoint: of the open link, or the one tried last
    cdef object _attempts               # hftcore._attempts.Attempts; None: made of a socket that was given
    cdef uint32_t link                  # number in the core of the link that is open; LINK_NONE: none is
    cdef uint32_t pending               # of the one that is on its way up
    cdef uint32_t old                   # of the one that a successor has replaced
    cdef bint _open                     # on_open was called for `link`
    cdef bint _closing                  # by the owner
    cdef bint _over                     # on_close was called
    cdef object _on_message             # bound method of a handler written in Python, else None
    cdef bytes _head                    # of the response
    cdef object _error                  # what on_close was told
    cdef object _stats                  # as of the end
    cdef dict _facts                    # of the socket and of TLS
    cdef tuple _upcoming                # endpoint and facts of `pending`, while `link` is in use
    cdef Timer _drop_timer              # ends `old`; None: there is none

    cdef int check_open(self) except -1
    # A whole message; raises LimitExceeded, ConnectionClosed.
    cdef int send_bytes(self, int op, const void *data, size_t size) except -1
    # The same of bytes or another buffer; and of these or a str, which goes as text whatever op says.
    cdef int send_buffer(self, object data, int op) except -1
    cdef int send_object(self, object data, int op) except -1
    cdef int raise_send(self, int rc) except -1
    cdef int on_link_opened(self, hft_reactor_event *event) except -1
    cdef int on_link_closed(self, uint32_t link, object error) except -1


cdef class Reactor:
    cdef hft_reactor r
    cdef bint _is_open
    cdef bint _running
    cdef bint _stopped
    cdef bint _dispatching              # a handler is being called
    cdef object _cpu
    cdef unsigned long _owner           # thread that may use it; 0: none, in a child of the process that opened it
    cdef int _opener                    # that process
    cdef object __weakref__
    cdef list _links                    # by link: (Connection, what the core points into)
    cdef set _connections               # that are not over
    cdef Message _message               # used again where nobody kept it
    cdef object _calls                  # deque of (callback, args), by any thread
    cdef list _timers                   # heap
    cdef uint64_t _n_timers             # serial numbers given out

    # Raises where another thread than the owner calls, or after close().
    cdef int check_owner(self) except -1
    # Raises in a child of the process that opened it.
    cdef int check_process(self) except -1
    # 1 and the next event, or 0 after timeout_ns, or after a signal. Releases the GIL where it waits. The event must be
    # given to dispatch() before the next call, unless the caller does what dispatch() would do.
    cdef int next_event(self, hft_reactor_event *event, uint64_t timeout_ns) except -1
    # The same, of what was received already.
    cdef int next_ready(self, hft_reactor_event *event) except -1
    # Calls the handler. What it raises is raised; the reactor stays usable.
    cdef int dispatch(self, hft_reactor_event *event) except -1
    # One event, or what is due of timers and calls; waits at most timeout_ns. 1 if there was anything.
    cdef int turn(self, uint64_t timeout_ns) except -1
    # For another event loop: readable = call turn(0) until it returns 0.
    cdef int fd(self) noexcept
    # Before that loop sleeps on the descriptor: how long it may, UINT64_MAX: for ever; 0: there is news already.
    cdef uint64_t prepare_sleep(self) except? 1
    # What is due of timers and calls.
    cdef int run_due(self) except -1
    # When the first timer is due, UINT64_MAX: none is; 0: a call waits.
    cdef uint64_t due_ns(self) noexcept
    cdef int open(self) except -1
    cdef int close_link(self, uint32_t link, uint16_t code) except -2147483648
    cdef int begin(self) except -1
    cdef int on_message(self, Connection connection, hft_reactor_event *event) except -1
    cdef uint32_t add_link(self, Connection connection, object sock, object request, object endpoint,
                           double timeout_s) except? 0xfffffffe
