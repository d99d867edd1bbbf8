"""WebSocket connections on one thread: a Reactor, its Connections, and the Handlers that it calls.

    class Ticker(Handler):
        def on_open(self, connection):
            connection.send('{"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 1}')

        def on_message(self, connection, message):
            print(message.text)

    with Reactor() as reactor:
        reactor.connect("wss://stream.binance.com/ws", Ticker())
        reactor.run()

Everything below the handler happens in C: io_uring (or epoll), TLS, frames, pings, timers. A Reactor and its
connections belong to the thread that made them; only ``Reactor.stop`` and ``Reactor.call_soon_threadsafe`` may be called by
others.
"""

import os
import threading
from collections import deque
from heapq import heappop, heappush

import cython

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport Py_TYPE, PyObject, PyTypeObject
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport UINT32_MAX, UINT64_MAX, uint32_t, uint64_t
from libc.string cimport memset

from hftcore._buffer cimport Borrowed, borrow, give_back
from hftcore._status cimport check, check_err, init_core, make_error
from hftcore.libhft.clock cimport hft_clock_mono_ns
from hftcore.libhft.reactor cimport (
    HFT_REACTOR_CLOSED,
    HFT_REACTOR_LINKS_MAX,
    HFT_REACTOR_MESSAGE,
    HFT_REACTOR_OPENED,
    HFT_REACTOR_PONG,
    HFT_REACTOR_WOKEN,
    HFT_REACTOR_WRITABLE,
    HFT_RING_EPOLL,
    HFT_RING_URING,
    hft_link_config_ws,
    hft_reactor_add,
    hft_reactor_close,
    hft_reactor_close_link,
    hft_reactor_config,
    hft_reactor_event,
    hft_reactor_next,
    hft_reactor_next_ready,
    hft_reactor_open,
    hft_reactor_pause,
    hft_reactor_ping,
    hft_reactor_send,
    hft_reactor_wake,
)
from hftcore.libhft.status cimport HFT_E_STATE, hft_err
from hftcore.libhft.ws cimport HFT_WS_OP_BINARY, HFT_WS_OP_TEXT, hft_ws_op
from hftcore.tls cimport TLSContext

from hftcore.errors import ConfigError, ConnectionClosed, ConnectionLost, HandshakeError
from hftcore.tls import default_context

__all__ = ["Connection", "Handler", "Message", "Reactor", "Timer"]

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *)
    int Py_TPFLAGS_HEAPTYPE
    int PyType_HasFeature(PyTypeObject *type, int feature)

cdef uint32_t LINK_NONE = UINT32_MAX
# A signal that comes between Python's last look and the system call does not interrupt the wait: look again.
cdef uint64_t SIGNAL_NS = 200_000_000
# A reactor that polls looks for signals, and gives other Python threads their turn, this often.
cdef uint64_t POLL_NS = 20_000_000
cdef uint64_t NEVER = UINT64_MAX
BACKENDS = {"auto": 0, "io_uring": 1, "epoll": 2}


cdef uint64_t nanoseconds(double value) noexcept:
    return <uint64_t>value if value < 9e18 else NEVER


cdef class Handler:
    """What a connection tells its owner. Override what you need; each is called on the reactor's thread.

    What a method raises comes out of ``Reactor.run`` or ``poll``, which may be called again.
    """

    cpdef on_open(self, Connection connection):
        """The upgrade is done: messages may be sent."""

    cpdef on_message(self, Connection connection, Message message):
        """A whole message has come."""

    cpdef on_pong(self, Connection connection, uint64_t rtt_ns, bint is_app):
        """A ping was answered; is_app: one of ``app_ping``."""

    cpdef on_writable(self, Connection connection):
        """A send was refused because the queue was full, and now it is half empty."""

    cpdef on_close(self, Connection connection, object error):
        """Called exactly once, last. error: None after an orderly end that we began, else the exception that tells."""


@cython.final
cdef class Message:
    """A message received. ``op``: 1 for text, 2 for binary; ``size``: bytes; ``recv_ns``: time.monotonic_ns() when it
    was taken from the kernel; ``kernel_ns``: Unix ns of the kernel's own stamp, 0 unless ``kernel_timestamps`` was
    asked for. May be kept; its bytes are copied then.
    """

    cdef bytes get_data(self):
        if self._data is None:
            self._data = PyBytes_FromStringAndSize(<const char *>self.ptr, <Py_ssize_t>self.size)
        return self._data

    cdef str get_text(self):
        if self._text is None:
            if self.ptr != NULL:
                self._text = PyUnicode_DecodeUTF8(<const char *>self.ptr, <Py_ssize_t>self.size, NULL)
            else:
                self._text = self._data.decode()
        return self._text

    @property
    def is_text(self):
        """Whether it is text; binary otherwise."""
        return self.op == HFT_WS_OP_TEXT

    @property
    def data(self):
        """The payload as bytes, made on first use."""
        return self.get_data()

    @property
    def text(self):
        """The payload as str, made on first use. Raises UnicodeDecodeError for a binary message that is not UTF-8."""
        return self.get_text()

    def __len__(self):
        return <Py_ssize_t>self.size

    def __repr__(self):
        return f"<Message {'text' if self.op == HFT_WS_OP_TEXT else 'binary'}, {self.size} bytes>"


cdef class Connection:
    """A WebSocket connection of a Reactor; made by ``Reactor.connect``."""

    def __cinit__(self):
        self.link = LINK_NONE

    def __init__(self):
        raise TypeError("connections are made by Reactor.connect")

    def __repr__(self):
        state = "open" if self._open else "closed" if self._over else "connecting"
        return f"<Connection {self._endpoint.origin} {state}>"

    # ---- sending ----

    cdef int check_open(self) except -1:
        self.reactor.check_owner()
        if self._open:
            return 0
        if not self._over:
            raise make_error(HFT_E_STATE, "the connection is not open yet", None)
        raise closed_again(self._error)

    cdef int send_bytes(self, int op, const void *data, size_t size) except -1:
        cdef int rc
        self.reactor.check_owner()
        rc = hft_reactor_send(&self.reactor.r, self.link, <hft_ws_op>op, data, size)
        if rc < 0:
            self.raise_send(rc)
        return 0

    cdef int raise_send(self, int rc) except -1:
        if rc == HFT_E_STATE:
            self.check_open()
            raise make_error(HFT_E_STATE, "the connection is closing", None)
        return check(rc, None)

    def send(self, data, /):
        """Sends a message: text for a str, binary for bytes and other buffers. It has left, as far as the kernel takes
        it, on return.

        Raises LimitExceeded where the queue has no room for all of it (``send_queue``; nothing was sent, and
        ``on_writable`` follows), ConnectionClosed.
        """
        cdef Borrowed borrowed
        cdef Py_ssize_t size
        cdef const char *text
        if PyBytes_CheckExact(data):
            self.send_bytes(HFT_WS_OP_BINARY, PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data))
        elif isinstance(data, str):
            text = PyUnicode_AsUTF8AndSize(data, &size)
            self.send_bytes(HFT_WS_OP_TEXT, text, <size_t>size)
        else:
            borrow(data, &borrowed)
            try:
                self.send_bytes(HFT_WS_OP_BINARY, borrowed.data, <size_t>borrowed.len)
            finally:
                give_back(&borrowed)

    def send_text(self, data, /):
        """Sends bytes, which must be UTF-8, as a text message. Raises as ``send``."""
        cdef Borrowed borrowed
        borrow(data, &borrowed)
        try:
            self.send_bytes(HFT_WS_OP_TEXT, borrowed.data, <size_t>borrowed.len)
        finally:
            give_back(&borrowed)

    def ping(self):
        """Sends a ping; ``Handler.on_pong`` tells the round trip. Raises as ``send``."""
        cdef int rc
        self.reactor.check_owner()
        rc = hft_reactor_ping(&self.reactor.r, self.link)
        if rc < 0:
            self.raise_send(rc)

    def close(self, int code=1000, str reason=""):
        """Ends the connection in good order; ``on_close`` follows. No effect once it closes or is closed.

        code: 1000 to 1003, 1007 to 1014 or 3000 to 4999 (RFC 6455 section 7.4); reason: at most 123 bytes of UTF-8.
        Raises RemoteProtocolError's opposite, LocalProtocolError, for others.
        """
        self.reactor.check_owner()
        cdef bytes text = reason.encode()
        if self._over:
            return
        if self.link == LINK_NONE:
            return
        cdef int rc = hft_reactor_close_link(&self.reactor.r, self.link, <unsigned short>code, PyBytes_AS_STRING(text),
                                             <size_t>len(text))
        if rc != HFT_E_STATE:
            check(rc, None)

    def abort(self):
        """Cuts the connection at once; ``on_close`` follows."""
        self.reactor.check_owner()
        if self.link != LINK_NONE:
            check(hft_reactor_close_link(&self.reactor.r, self.link, 0, NULL, 0), None)

    def pause(self):
        """Stops receiving: what comes is left to TCP, which holds up the sender."""
        self.check_open()
        check(hft_reactor_pause(&self.reactor.r, self.link, 1), None)

    def resume(self):
        """Ends a pause."""
        self.check_open()
        check(hft_reactor_pause(&self.reactor.r, self.link, 0), None)

    @property
    def is_open(self):
        """Whether messages can be sent: from ``on_open`` to ``on_close``."""
        return self._open

    @property
    def url(self):
        """Where it leads."""
        return self._endpoint.url


cdef object closed_again(error):
    """The exception of a call on a connection that has ended."""
    if error is None:
        return ConnectionClosed("the connection is closed", close_code=1000)
    if isinstance(error, ConnectionClosed):
        return ConnectionClosed(str(error), code=error.code, name=error.name, close_code=error.close_code,
                                reason=error.reason)
    return ConnectionClosed(f"the connection is closed: {error}")


cdef object error_of(Connection connection, hft_reactor_event *event):
    """What on_close is told."""
    cdef int code = event.err.code
    if code == 0:
        return None
    error = make_error(code, event.err.text.decode("utf-8", "replace"), event.err.pos)
    if isinstance(error, HandshakeError):
        error.status = event.http_status
        if event.http_status != 0:
            head, _, body = event.data[:event.len].partition(b"\r\n\r\n")
            error.headers, error.body = parse_head(head), body
    elif isinstance(error, ConnectionLost | OSError) or error.name == "HFT_E_TLS_TRUNCATED":
        name = getattr(error, "name", "") or os.strerror(-code)
        reason = "" if event.http_status != 0 else event.data[:event.len].decode("utf-8", "replace")
        error = ConnectionClosed(str(error), code=code, name=name, close_code=event.close_code, reason=reason)
    return error


def parse_head(bytes head):
    """The header fields of a response, in order: (name, value)."""
    fields = []
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            fields.append((name.strip(), value.strip()))
    return tuple(fields)


@cython.final
cdef class Timer:
    """A call that ``Reactor.call_later`` has planned."""

    def cancel(self):
        """No effect once it was called."""
        self._callback = None
        self._args = ()

    def __lt__(self, Timer other):
        return (self.due_ns, self._serial) < (other.due_ns, other._serial)


cdef class Reactor:
    """Connections on one thread, and the loop that calls their handlers.

    backend: "io_uring", "epoll", or "auto" (epoll where io_uring is denied).
    spin_us: polls so long after the last event before it sleeps: 0 sleeps at once, float("inf") never sleeps, which
    uses a core up and saves the wake-up. cpu: core that the thread is pinned to, from run() or the first poll() on.
    max_connections: at a time.
    """

    def __cinit__(self, *, backend="auto", spin_us=0.0, cpu=None, int max_connections=64):
        if backend not in BACKENDS:
            raise ConfigError(f"backend {backend!r}: one of {', '.join(BACKENDS)}")
        if not 0 < max_connections <= HFT_REACTOR_LINKS_MAX:
            raise ConfigError(f"max_connections {max_connections}: 1 to {HFT_REACTOR_LINKS_MAX}")
        if not spin_us >= 0:
            raise ConfigError(f"spin_us {spin_us!r}: a number from 0 on, or inf")
        memset(&self.r, 0, sizeof(self.r))
        self._connections = [None] * max_connections
        self._message = Message()
        self._calls = deque()
        self._timers = []
        self.r.config.backend = BACKENDS[backend]
        self.r.config.links_max = <unsigned int>max_connections
        self.r.config.spin_ns = nanoseconds(spin_us * 1e3)
        self.open()

    cdef int open(self) except -1:
        cdef hft_reactor_config config = self.r.config
        cdef hft_err err
        memset(&err, 0, sizeof(err))
        check_err(hft_reactor_open(&self.r, &config, &err), &err)
        self._is_open = True
        self._owner = PyThread_get_thread_ident()
        return 0

    def __dealloc__(self):
        if self._is_open:
            hft_reactor_close(&self.r)

    cdef int check_owner(self) except -1:
        if PyThread_get_thread_ident() != self._owner:
            raise RuntimeError(f"this Reactor belongs to thread {self._owner}, and {threading.current_thread().name} "
                               "calls: use call_soon_threadsafe")
        if not self._is_open:
            raise make_error(HFT_E_STATE, "the reactor is closed", None)
        return 0

    # ---- events ----

    cdef int next_event(self, hft_reactor_event *event, uint64_t timeout_ns) except -1:
        cdef int rc = hft_reactor_next_ready(&self.r, event)
        if rc == 0 and timeout_ns == 0:
            rc = hft_reactor_next(&self.r, event, 0)
        elif rc == 0:
            with nogil:
                rc = hft_reactor_next(&self.r, event, timeout_ns)
        return check(rc, "reactor")

    cdef Connection connection_of(self, hft_reactor_event *event):
        return <Connection>self._connections[event.link]

    cdef int dispatch(self, hft_reactor_event *event) except -1:
        cdef Connection connection
        cdef Message message
        if event.kind == HFT_REACTOR_WOKEN:
            return 0
        connection = self.connection_of(event)
        if event.kind == HFT_REACTOR_MESSAGE:
            message = self._message
            message.ptr = event.data
            message.size = event.len
            message.op = event.op
            message.recv_ns = event.recv_ns
            message.kernel_ns = event.kernel_ns
            try:
                if connection._on_message is None:
                    connection.handler.on_message(connection, message)
                else:
                    connection._on_message(connection, message)
            finally:
                if Py_REFCNT(<PyObject *>message) > 2:  # ours and the one of this function
                    message.get_data()
                    self._message = Message()
                else:
                    message._data = None
                    message._text = None
                message.ptr = NULL
        elif event.kind == HFT_REACTOR_OPENED:
            connection._open = True
            connection._head = event.data[:event.len]
            connection.handler.on_open(connection)
        elif event.kind == HFT_REACTOR_PONG:
            connection.handler.on_pong(connection, event.rtt_ns, event.app)
        elif event.kind == HFT_REACTOR_WRITABLE:
            connection.handler.on_writable(connection)
        elif event.kind == HFT_REACTOR_CLOSED:
            error = error_of(connection, event)
            self._connections[event.link] = None
            self.n_connections -= 1
            connection.link = LINK_NONE
            connection._open = False
            connection._over = True
            connection._error = error
            connection.handler.on_close(connection, error)
        return 0

    # ---- connections ----

    cdef int add_link(self, Connection connection, object sock) except -1:
        cdef hft_link_config_ws config
        cdef hft_err err
        cdef uint32_t link = 0
        cdef bytes host, host_header, target, headers
        request, endpoint = connection._request, connection._endpoint
        host, host_header = endpoint.host.encode(), endpoint.host_header.encode()
        target, headers = endpoint.target.encode(), request.header_lines(endpoint)
        connection._held = (host, host_header, target, headers)
        memset(&config, 0, sizeof(config))
        memset(&err, 0, sizeof(err))
        if endpoint.tls:
            tls = request.tls if request.tls is not None else default_context()
            config.tls = (<TLSContext?>tls).context
        config.host = PyBytes_AS_STRING(host)
        config.port = endpoint.port
        config.host_header = PyBytes_AS_STRING(host_header)
        config.target = PyBytes_AS_STRING(target)
        config.headers = PyBytes_AS_STRING(headers)
        config.message_max = request.max_message
        config.recv_cap = request.recv_queue
        config.send_cap = request.send_queue
        config.handshake_ns = int(request.connect_timeout_s * 1e9)
        config.ping_interval_ns = int(request.ping_interval_s * 1e9)
        config.ping_timeout_ns = int(request.ping_timeout_s * 1e9)
        config.close_ns = int(request.close_timeout_s * 1e9)
        check_err(hft_reactor_add(&self.r, &link, &config, sock.fileno(), &err), &err)
        sock.detach()
        connection.link = link
        self._connections[link] = connection
        self.n_connections += 1
        return 0

    def add(self, sock, url, Handler handler not None, **options):
        """As ``connect``, over a socket that is connected already and becomes the reactor's."""
        from hftcore._request import Request

        cdef Connection connection
        self.check_owner()
        request = Request.parse(url, **options)
        connection = Connection.__new__(Connection)
        connection.reactor = self
        connection.handler = handler
        connection._request = request
        connection._endpoint = request.endpoints[0]
        if PyType_HasFeature(Py_TYPE(handler), Py_TPFLAGS_HEAPTYPE):
            connection._on_message = handler.on_message
        self.add_link(connection, sock)
        return connection

    # ---- the loop ----

    cdef uint64_t timer_ns(self) except? 0:
        """When the first timer is due."""
        while self._timers and (<Timer>self._timers[0])._callback is None:
            heappop(self._timers)
        return (<Timer>self._timers[0]).due_ns if self._timers else NEVER

    cdef int run_due(self) except -1:
        cdef Timer timer
        cdef int _
        for _ in range(<int>len(self._calls)):
            callback, args = self._calls.popleft()
            callback(*args)
        while self._timers and self.timer_ns() <= hft_clock_mono_ns():
            timer = heappop(self._timers)
            callback, args = timer._callback, timer._args
            timer.cancel()
            callback(*args)
        return 0

    cdef int turn(self, uint64_t timeout_ns) except -1:
        cdef hft_reactor_event event
        cdef uint64_t due_ns, now_ns
        cdef int rc
        if self._timers:
            due_ns = self.timer_ns()
            now_ns = hft_clock_mono_ns()
            timeout_ns = min(timeout_ns, due_ns - now_ns if due_ns > now_ns else 0)
        if self._calls:
            timeout_ns = 0
        rc = self.next_event(&event, timeout_ns)
        if rc == 1:
            self.dispatch(&event)
        if self._calls or self._timers:
            self.run_due()
        PyErr_CheckSignals()
        return rc

    def run(self, *, forever=False):
        """Calls handlers until ``stop``, or until nothing is left that could happen: no connection and no timer;
        forever: not even then. Raises what a handler raises, KeyboardInterrupt, and OSError where the ring failed; may
        be called again.
        """
        cdef uint64_t most_ns = SIGNAL_NS if self.r.config.spin_ns == 0 else POLL_NS
        self.check_owner()
        if self._running:
            raise make_error(HFT_E_STATE, "the reactor runs already", None)
        self._running = True
        try:
            while not self._stopped and (forever or self.n_connections or self._timers or self._calls):
                self.turn(most_ns)
                self.check_owner()
        finally:
            self._running = self._stopped = False

    def poll(self, timeout_s=0.0):
        """Waits at most timeout_s for something to happen, and does it. Whether there was anything. Raises as run()."""
        self.check_owner()
        return self.turn(nanoseconds(timeout_s * 1e9)) == 1

    def stop(self):
        """Ends run(); from any thread, or from a handler."""
        self._stopped = True
        hft_reactor_wake(&self.r)

    def call_soon_threadsafe(self, callback, *args):
        """Has callback(*args) called by the reactor's thread; from any thread."""
        self._calls.append((callback, args))
        hft_reactor_wake(&self.r)

    def call_later(self, delay_s, callback, *args):
        """Has callback(*args) called after delay_s. Returns a Timer, which can be cancelled."""
        cdef Timer timer = Timer.__new__(Timer)
        self.check_owner()
        self._n_timers += 1
        timer.due_ns = hft_clock_mono_ns() + <uint64_t>(max(0.0, delay_s) * 1e9)
        timer._serial = self._n_timers
        timer._callback = callback
        timer._args = args
        heappush(self._timers, timer)
        return timer

    def close(self):
        """Closes all connections at once and gives everything back; handlers are told."""
        if not self._is_open:
            return
        self.check_owner()
        hft_reactor_close(&self.r)
        self._is_open = False

    def __enter__(self):
        self.check_owner()
        return self

    def __exit__(self, *exc_info):
        self.close()

    @property
    def backend(self):
        """"io_uring" or "epoll": what is in use."""
        return {HFT_RING_URING: "io_uring", HFT_RING_EPOLL: "epoll"}.get(self.r.ring.backend)


init_core()
