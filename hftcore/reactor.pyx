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
connections belong to the thread that made the reactor; only ``Reactor.stop`` and ``Reactor.call_soon_threadsafe`` may
be called by others. In a child after fork every call but ``Reactor.close`` and ``stop`` is a RuntimeError.
"""

import os
import threading
from collections import deque
from heapq import heappop, heappush

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport Py_TYPE, PyObject, PyTypeObject
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport UINT32_MAX, UINT64_MAX, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from hftcore._buffer cimport Borrowed, borrow, give_back
from hftcore._link cimport fill_link_config, nanoseconds
from hftcore._message cimport Message, Timer, check_send, closed_again, error_of
from hftcore._status cimport check, check_err, check_local, init_core, make_error
from hftcore.libhft.clock cimport hft_clock_mono_ns
from hftcore.libhft.order cimport HFT_ORDER_SLOTS_MAX, hft_order_value
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
    hft_link_stats,
    hft_reactor_add,
    hft_reactor_close,
    hft_reactor_close_link,
    hft_reactor_config,
    hft_reactor_disown,
    hft_reactor_event,
    hft_reactor_fd,
    hft_reactor_next,
    hft_reactor_next_ready,
    hft_reactor_open,
    hft_reactor_pause,
    hft_reactor_ping,
    hft_reactor_prepare_sleep,
    hft_reactor_send,
    hft_reactor_send_template,
    hft_reactor_stats,
    hft_reactor_tls,
    hft_reactor_wake,
)
from hftcore.libhft.status cimport HFT_E_ARGUMENT, HFT_E_CONN_STOPPED, HFT_E_STATE, hft_err
from hftcore.libhft.tls cimport hft_tls, hft_tls_cipher, hft_tls_version
from hftcore.libhft.ws cimport HFT_WS_OP_BINARY, HFT_WS_OP_TEXT, hft_ws_op
from hftcore.orders cimport OrderTemplate

from hftcore import _fork
from hftcore._attempts import Attempts, ConnectionStats
from hftcore._message import parse_head
from hftcore._request import AppPing, Deflate, Request, check_backend, check_reactor
from hftcore.errors import ConfigError, ConnectionClosed

__all__ = ["AppPing", "Connection", "ConnectionStats", "Deflate", "Handler", "Message", "Reactor", "Timer"]

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *)
    int Py_TPFLAGS_HEAPTYPE
    int PyType_HasFeature(PyTypeObject *type, int feature)
    unsigned long pthread_self() nogil  # what threading.get_ident() tells

cdef uint32_t LINK_NONE = UINT32_MAX
# A signal that comes between Python's last look and the system call does not interrupt the wait: look again.
cdef uint64_t SIGNAL_NS = 200_000_000
# A reactor that polls looks for signals, and gives other Python threads their turn, this often.
cdef uint64_t POLL_NS = 20_000_000
cdef uint64_t NEVER = UINT64_MAX


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

    cpdef on_lost(self, Connection connection, object error):
        """The connection, or an attempt at it, was lost, and the reconnect policy goes on; error as with on_close."""

    cpdef on_close(self, Connection connection, object error):
        """Called exactly once, last. error: None after an orderly end that we began, else the exception that tells."""


cdef class Connection:
    """A WebSocket connection of a Reactor; made by ``Reactor.connect``.

    With a reconnect policy it is one connection for its owner, whatever is beneath: ``on_open`` is called each time it
    is open again, ``on_lost`` in between, ``on_close`` at the end.
    """

    def __cinit__(self, Reactor reactor not None):
        self.reactor = reactor
        self.link = self.pending = self.old = LINK_NONE

    def __init__(self):
        raise TypeError("connections are made by Reactor.connect")

    def __repr__(self):
        state = "open" if self._open else "closed" if self._over else "connecting"
        return f"<Connection {self.endpoint.origin} {state}>"

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

    cdef int send_buffer(self, object data, int op) except -1:
        cdef Borrowed borrowed
        if PyBytes_CheckExact(data):
            return self.send_bytes(op, PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data))
        borrow(data, &borrowed)
        try:
            return self.send_bytes(op, borrowed.data, <size_t>borrowed.len)
        finally:
            give_back(&borrowed)

    cdef int send_object(self, object data, int op) except -1:
        cdef Py_ssize_t size
        cdef const char *text
        if not isinstance(data, str):
            return self.send_buffer(data, op)
        text = PyUnicode_AsUTF8AndSize(data, &size)
        return self.send_bytes(HFT_WS_OP_TEXT, text, <size_t>size)

    cdef int raise_send(self, int rc) except -1:
        if rc == HFT_E_STATE:
            self.check_open()
            raise ConnectionClosed("the connection is closing")
        return check_send(rc)

    def send(self, data, /):
        """Sends a message: text for a str, binary for bytes and other buffers. It has left, as far as the kernel takes
        it, on return.

        Raises LimitExceeded where the queue has no room for all of it (``send_queue``; nothing was sent, and
        ``on_writable`` follows), ConnectionClosed, HftError before ``on_open``.
        """
        self.send_object(data, HFT_WS_OP_BINARY)

    def send_text(self, data, /):
        """Sends bytes, which must be UTF-8, as a text message. Raises as ``send``."""
        self.send_buffer(data, HFT_WS_OP_TEXT)

    def send_template(self, OrderTemplate template not None, /, **values):
        """Fills a template, signs it where it is signed, and sends it as a text message.

        Raises as ``send`` and as ``OrderTemplate.render``.
        """
        cdef hft_order_value given[HFT_ORDER_SLOTS_MAX]
        cdef int bad_slot = -1, i = 0, rc
        cdef tuple names = tuple(values)
        self.reactor.check_owner()
        if names != template.known_names:
            template.learn_names(names)
        for value in values.values():
            template.put_value(&given[template.slot_of_name[i]], template.slot_of_name[i], value)
            i += 1
        rc = hft_reactor_send_template(&self.reactor.r, self.link, &template.t, given, &bad_slot)
        if rc < 0 and bad_slot >= 0:
            check(rc, f"slot {template.slots[bad_slot]}")
        elif rc < 0:
            self.raise_send(rc)

    def ping(self):
        """Sends a ping; ``Handler.on_pong`` tells the round trip. Raises as ``send``."""
        cdef int rc
        self.reactor.check_owner()
        rc = hft_reactor_ping(&self.reactor.r, self.link)
        if rc < 0:
            self.raise_send(rc)

    # ---- ending ----

    def close(self, int code=1000, str reason=""):
        """Ends the connection in good order; ``on_close`` follows. No effect once it closes or is closed.

        code: 1000 to 1003, 1007 to 1014 or 3000 to 4999 (RFC 6455 section 7.4), 1005 for none; reason: at most 123
        bytes of UTF-8. Raises LocalProtocolError for others.
        """
        cdef bytes text = reason.encode()
        cdef int rc
        self.reactor.check_owner()
        if self._over or self._closing:
            return
        if not 0 < code < 65536:
            raise make_error(HFT_E_ARGUMENT, f"close code {code}", None)
        if self._open:
            rc = hft_reactor_close_link(&self.reactor.r, self.link, <unsigned short>code, PyBytes_AS_STRING(text),
                                        <size_t>len(text))
            if rc != HFT_E_STATE:
                check_local(rc, None)
        self._closing = True
        self._end(False)

    def abort(self):
        """Cuts the connection at once; ``on_close`` follows."""
        self.reactor.check_owner()
        if not self._over:
            self._closing = True
            self._end(True)

    def _end(self, cut):
        """Ends what the owner does not see, and all the rest where it is to be cut."""
        if self._attempts is not None:
            self._attempts.cancel()
        for link in (self.pending, self.old, self.link if cut else LINK_NONE):
            self.reactor.close_link(link, 0)
        if self.link == LINK_NONE and self.pending == LINK_NONE:
            self.reactor._soon(self._finish, None)

    def pause(self):
        """Stops giving out messages, and soon receiving: what comes is left to TCP, which holds up the sender."""
        self.check_open()
        check(hft_reactor_pause(&self.reactor.r, self.link, 1), None)

    def resume(self):
        """Ends a pause."""
        self.check_open()
        check(hft_reactor_pause(&self.reactor.r, self.link, 0), None)

    # ---- facts ----

    @property
    def is_open(self):
        """Whether messages can be sent: from ``on_open`` to ``on_lost`` or ``on_close``."""
        return self._open

    @property
    def url(self):
        """Where it leads, without user name and password."""
        return self.endpoint.url

    @property
    def response_headers(self):
        """The header fields of the response to the upgrade, in order: (name, value)."""
        return parse_head(self._head) if self._head is not None else ()

    @property
    def subprotocol(self):
        """What the server chose of ``subprotocols``, or None."""
        return self._header("sec-websocket-protocol")

    @property
    def extensions(self):
        """The extensions that are in use, as the server wrote them, or None."""
        return self._header("sec-websocket-extensions")

    def _header(self, wanted):
        return next((value for name, value in self.response_headers if name.lower() == wanted), None)

    @property
    def local_address(self):
        """Of the socket, as ``socket.getsockname``; None before there is one."""
        return self._facts.get("local_address")

    @property
    def remote_address(self):
        """Of the socket, as ``socket.getpeername``: of the proxy, where there is one."""
        return self._facts.get("remote_address")

    @property
    def tls_version(self):
        """"TLSv1.3" or "TLSv1.2"; None without TLS, and before the connection was open."""
        return self._facts.get("tls_version")

    @property
    def tls_cipher(self):
        """The cipher suite in use, as OpenSSL names it; None as tls_version."""
        return self._facts.get("tls_cipher")

    @property
    def tls_resumed(self):
        """Whether an earlier session was resumed; None as tls_version."""
        return self._facts.get("tls_resumed")

    def stats(self):
        """A ConnectionStats of the link that is open, or was open last."""
        return self._stats if self.link == LINK_NONE else self.reactor._link_stats(self.link)

    # ---- what Attempts calls ----

    def _is_pending(self):
        return self.pending != LINK_NONE

    def _is_closing(self):
        return self._closing

    def _attach(self, sock, request, endpoint, timeout_s):
        """Takes over a connected socket; what it raises leaves that to the caller."""
        facts = {"local_address": sock.getsockname(), "remote_address": sock.getpeername()}
        self.pending = self.reactor.add_link(self, sock, request, endpoint, timeout_s)
        if self._open:
            self._upcoming = endpoint, facts
        else:
            self.endpoint, self._facts, self._upcoming = endpoint, facts, None

    def _leave(self):
        """Closes the open link in good order; its successor comes."""
        self.reactor.close_link(self.link, 1000)

    def _drop_old(self):
        if self._drop_timer is not None:
            self._drop_timer.cancel()
            self._drop_timer = None
        self.reactor.close_link(self.old, 1000)

    def _forget(self):
        """The reactor closes: nothing comes about any more."""
        if self._attempts is not None:
            self._attempts.cancel()
        self.link = self.pending = self.old = LINK_NONE
        self._open = False

    def _interrupted(self, error):
        self.handler.on_lost(self, error)

    def _finish(self, error):
        if self._over:
            return
        self._open = False
        self._over = True
        self._error = error
        self.reactor._connections.discard(self)
        if self._attempts is not None:
            self._attempts.cancel()
        if self.pending != LINK_NONE:
            self.reactor.close_link(self.pending, 0)
        self._drop_old()
        self.handler.on_close(self, error)

    # ---- what the core tells ----

    cdef int on_link_opened(self, hft_reactor_event *event) except -1:
        if event.link != self.pending:
            return 0
        self._drop_old()
        self.old, self.link, self.pending = self.link, event.link, LINK_NONE
        self._open = True
        if self._upcoming is not None:
            self.endpoint, self._facts = self._upcoming
            self._upcoming = None
        self._head = event.data[:event.len]
        cdef const hft_tls *tls = hft_reactor_tls(&self.reactor.r, event.link)
        if tls != NULL:
            self._facts["tls_version"] = hft_tls_version(tls).decode()
            self._facts["tls_cipher"] = hft_tls_cipher(tls).decode()
            self._facts["tls_resumed"] = tls.resumed != 0
        if self._attempts is not None:
            self._attempts.opened()
            if self.old != LINK_NONE:
                self._drop_timer = self.reactor.call_later(self._attempts.overlap_s, self._drop_old)
        self.handler.on_open(self)
        return 0

    cdef int on_link_closed(self, uint32_t link, object error) except -1:
        if link == self.link:
            self._stats = self.reactor._link_stats(link)
            self.link = LINK_NONE
            self._open = False
            if self._attempts is None or self._closing:
                self._finish(error)
            else:
                self._attempts.lost(error)
        elif link == self.pending:
            self.pending = LINK_NONE
            if self._over:
                return 0
            if self._closing:
                if self.link == LINK_NONE:  # else its end is the connection's
                    self._finish(None)
            elif self._attempts is None:
                self._finish(error)
            else:
                self._attempts.refused(error)
        elif link == self.old:
            self.old = LINK_NONE
        return 0


cdef class Reactor:
    """Connections on one thread, and the loop that calls their handlers.

    backend: "io_uring", "epoll", or "auto" (epoll where io_uring is denied).
    spin_us: polls so long after the last event before it sleeps: 0 sleeps at once, float("inf") never sleeps, which
    uses a core up and saves the wake-up. cpu: core that the thread is pinned to from here on.
    max_connections: at a time; a connection that is being replaced counts twice.

    Use it in a ``with`` block, or call close(). Raises ConfigError; OSError where the system gives no more descriptors
    or memory.
    """

    def __cinit__(self, *, backend="auto", spin_us=0.0, cpu=None, int max_connections=64):
        memset(&self.r, 0, sizeof(self.r))
        cdef double polls_us = check_reactor(backend, spin_us)
        if not 0 < max_connections <= HFT_REACTOR_LINKS_MAX:
            raise ConfigError(f"max_connections {max_connections}: 1 to {HFT_REACTOR_LINKS_MAX}")
        if cpu is not None and cpu not in os.sched_getaffinity(0):
            raise ConfigError(f"cpu {cpu}: this process may use {sorted(os.sched_getaffinity(0))}")
        self._links = [None] * max_connections
        self._connections = set()
        self._message = Message()
        self._calls = deque()
        self._timers = []
        self._cpu = cpu
        self.r.config.backend = check_backend(backend)
        self.r.config.links_max = <unsigned int>max_connections
        self.r.config.spin_ns = nanoseconds(polls_us * 1e3)
        self.open()

    cdef int open(self) except -1:
        cdef hft_reactor_config config = self.r.config
        cdef hft_err err
        memset(&err, 0, sizeof(err))
        if self._cpu is not None:
            os.sched_setaffinity(0, {self._cpu})
        check_err(hft_reactor_open(&self.r, &config, &err), &err)
        self._is_open = True
        self._owner = pthread_self()
        _fork.watch(self)
        return 0

    def _forked(self, process):
        """In a child of the process that opened it: nothing that the two share is touched any more."""
        cdef Connection connection
        if self._is_open and pthread_self() == self._owner:  # or its thread may have been in the middle of something
            hft_reactor_disown(&self.r)
        self._is_open = False
        self._owner, self._opener = 0, process
        for connection in self._connections:
            connection.link = connection.pending = connection.old = LINK_NONE
            connection._open = False

    def __dealloc__(self):
        if self._is_open:
            hft_reactor_close(&self.r)

    def __repr__(self):
        return f"<Reactor {self.backend}, {len(self._connections)} connections>"

    cdef int check_process(self) except -1:
        if self._owner == 0:
            raise _fork.foreign("Reactor", self._opener)
        return 0

    cdef int check_owner(self) except -1:
        if pthread_self() != self._owner:
            self.check_process()
            raise RuntimeError(f"this Reactor belongs to thread {self._owner}, and {threading.current_thread().name} "
                               "calls: use call_soon_threadsafe")
        if not self._is_open:
            raise make_error(HFT_E_STATE, "the reactor is closed", None)
        return 0

    # ---- events ----

    cdef int next_ready(self, hft_reactor_event *event) except -1:
        self.check_process()
        return check(hft_reactor_next_ready(&self.r, event), "reactor")

    cdef int next_event(self, hft_reactor_event *event, uint64_t timeout_ns) except -1:
        cdef int rc
        self.check_process()
        rc = hft_reactor_next_ready(&self.r, event)
        if rc == 0 and timeout_ns == 0:
            rc = hft_reactor_next(&self.r, event, 0)
        elif rc == 0:
            with nogil:
                rc = hft_reactor_next(&self.r, event, timeout_ns)
        return check(rc, "reactor")

    cdef int on_message(self, Connection connection, hft_reactor_event *event) except -1:
        cdef Message message = self._message
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
            if Py_REFCNT(<PyObject *>message) > 2:  # besides ours and that of this function
                message.get_data()
                self._message = Message()
            else:
                message._data = None
                message._text = None
            message.ptr = NULL
        return 0

    cdef int dispatch(self, hft_reactor_event *event) except -1:
        cdef Connection connection
        if event.kind == HFT_REACTOR_WOKEN:
            return 0
        connection = <Connection>(<tuple>self._links[event.link])[0]
        if connection._over and event.kind != HFT_REACTOR_CLOSED:  # of a link that its end has left behind
            return 0
        self._dispatching = True
        try:
            if event.kind == HFT_REACTOR_MESSAGE:
                self.on_message(connection, event)
            elif event.kind == HFT_REACTOR_OPENED:
                connection.on_link_opened(event)
            elif event.kind == HFT_REACTOR_PONG:
                connection.handler.on_pong(connection, event.rtt_ns, event.app)
            elif event.kind == HFT_REACTOR_WRITABLE:
                connection.handler.on_writable(connection)
            elif event.kind == HFT_REACTOR_CLOSED:
                self._links[event.link] = None
                connection.on_link_closed(event.link, error_of(connection._open, event))
        finally:
            self._dispatching = False
        return 0

    # ---- connections ----

    def connect(self, url, Handler handler not None, **options):
        """Begins to connect, and returns a Connection at once; its handler is called from ``run`` or ``poll``.

        url: ``wss://HOST[:PORT]/PATH``, or ``ws``; with ``reconnect`` also several. options: see
        ``hftcore._request.Request``. Raises ConfigError.
        """
        cdef Connection connection
        self.check_owner()
        request = Request.parse(url, **options)
        connection = self._new(request, handler)
        connection._attempts = Attempts(connection, request)
        connection._attempts.begin()
        return connection

    def add(self, sock, url, Handler handler not None, **options):
        """As ``connect``, over a stream socket that is connected already and becomes the reactor's. There is neither
        redirect nor reconnect.
        """
        cdef Connection connection
        self.check_owner()
        request = Request.parse(url, **options)
        connection = self._new(request, handler)
        try:
            connection._attach(sock, request, request.endpoints[0], request.connect_timeout_s)
        except BaseException:
            self._connections.discard(connection)
            raise
        return connection

    def _new(self, request, handler):
        cdef Connection connection = Connection.__new__(Connection, self)
        connection.handler = handler
        connection.endpoint = request.endpoints[0]
        connection._facts = {}
        if PyType_HasFeature(Py_TYPE(handler), Py_TPFLAGS_HEAPTYPE):
            connection._on_message = handler.on_message
        self._connections.add(connection)
        return connection

    cdef uint32_t add_link(self, Connection connection, object sock, object request, object endpoint,
                           double timeout_s) except? 0xfffffffe:
        cdef hft_link_config_ws config
        cdef hft_err err
        cdef uint32_t link = 0
        memset(&err, 0, sizeof(err))
        cdef tuple held = fill_link_config(&config, request, endpoint, timeout_s)
        give_up = sock.detach  # nothing may fail once the core has the descriptor
        check_err(hft_reactor_add(&self.r, &link, &config, sock.fileno(), &err), &err)
        self._links[link] = (connection, held)
        give_up()
        return link

    cdef int close_link(self, uint32_t link, uint16_t code) except -2147483648:
        """No effect on one that is no more, or LINK_NONE."""
        cdef int rc = hft_reactor_close_link(&self.r, link, code, NULL, 0)
        return rc if rc == HFT_E_STATE else check(rc, None)

    def _link_stats(self, uint32_t link):
        cdef hft_link_stats s
        hft_reactor_stats(&self.r, link, &s)
        return ConnectionStats(
            s.bytes_in, s.bytes_out, s.messages_in, s.messages_out, s.payload_in, s.payload_out, s.pings, s.pongs,
            s.rtt_last_ns, s.rtt_min_ns, s.rtt_smoothed_ns, s.app_pings, s.app_pongs, s.app_rtt_last_ns,
            s.app_rtt_min_ns, s.app_rtt_smoothed_ns, s.sends_refused, s.send_queue, s.opened_ns, s.last_recv_ns)

    # ---- the loop ----

    cdef uint64_t due_ns(self) noexcept:
        if self._calls:
            return 0
        while self._timers and (<Timer>self._timers[0]).callback is None:
            heappop(self._timers)
        return (<Timer>self._timers[0]).due_ns if self._timers else NEVER

    cdef int run_due(self) except -1:
        cdef Timer timer
        for _ in range(len(self._calls)):
            self.check_process()  # what was called last may have forked: what is planned is the parent's
            callback, args = self._calls.popleft()
            callback(*args)
        while self._timers and not self._calls and self.due_ns() <= hft_clock_mono_ns():
            self.check_process()
            timer = heappop(self._timers)
            callback, args = timer.callback, timer.args
            timer.cancel()
            callback(*args)
        return 0

    cdef int turn(self, uint64_t timeout_ns) except -1:
        cdef hft_reactor_event event
        cdef uint64_t due_ns, now_ns
        cdef int rc
        if self._calls or self._timers:
            due_ns = self.due_ns()
            now_ns = hft_clock_mono_ns()
            timeout_ns = min(timeout_ns, due_ns - now_ns if due_ns > now_ns else 0)
        rc = self.next_event(&event, timeout_ns)
        if rc == 1:
            self.dispatch(&event)
        if self._calls or self._timers:
            self.run_due()
        PyErr_CheckSignals()
        return rc

    cdef int fd(self) noexcept:
        return hft_reactor_fd(&self.r)

    cdef uint64_t prepare_sleep(self) except? 1:
        cdef uint64_t wait_ns, due_ns = NEVER, now_ns
        check(hft_reactor_prepare_sleep(&self.r, &wait_ns), "reactor")
        if self._calls or self._timers:
            due_ns, now_ns = self.due_ns(), hft_clock_mono_ns()
            if due_ns != NEVER:
                wait_ns = min(wait_ns, due_ns - now_ns if due_ns > now_ns else 0)
        return wait_ns

    cdef int begin(self) except -1:
        """Before handlers are called."""
        self.check_owner()
        if self._running or self._dispatching:
            raise make_error(HFT_E_STATE, "the reactor runs already: this is one of its handlers", None)
        return 0

    def run(self, *, forever=False):
        """Calls handlers until ``stop``, or until nothing is left that could happen: no connection and no timer;
        forever: not even then.

        Raises what a handler raises, KeyboardInterrupt, and OSError where the ring failed; it may be called again.
        """
        cdef uint64_t most_ns = SIGNAL_NS if self.r.config.spin_ns == 0 else POLL_NS
        self.begin()
        self._running = True
        try:
            while not self._stopped and (forever or self._connections or self.due_ns() != NEVER):
                self.turn(most_ns)
        finally:
            self._running = self._stopped = False

    def poll(self, timeout_s=0.0):
        """Waits at most timeout_s for something to happen, and does it. Whether there was anything. Raises as run()."""
        if not timeout_s >= 0:
            raise ValueError(f"timeout_s {timeout_s!r}: a number from 0 on, or inf")
        self.begin()
        self._running = True
        try:
            return self.turn(nanoseconds(timeout_s * 1e9)) == 1
        finally:
            self._running = False

    def stop(self):
        """Ends run(), or the next one; from any thread, and from handlers. No effect after close()."""
        self._stopped = True
        if self._is_open:
            hft_reactor_wake(&self.r)

    def call_soon_threadsafe(self, callback, *args):
        """Has callback(*args) called by the reactor's thread; from any thread. Raises HftError after close()."""
        self.check_process()
        if not self._is_open:
            raise make_error(HFT_E_STATE, "the reactor is closed", None)
        self._calls.append((callback, args))
        hft_reactor_wake(&self.r)

    def call_later(self, delay_s, callback, *args):
        """Has callback(*args) called after delay_s. Returns a Timer, which can be cancelled."""
        cdef Timer timer = Timer.__new__(Timer)
        cdef uint64_t delay_ns = nanoseconds(max(0.0, delay_s) * 1e9), now_ns = hft_clock_mono_ns()
        self.check_owner()
        self._n_timers += 1
        timer.due_ns = now_ns + delay_ns if delay_ns < NEVER - now_ns else NEVER
        timer.serial = self._n_timers
        timer.callback = callback
        timer.args = args
        heappush(self._timers, timer)
        return timer

    def _soon(self, callback, *args):
        self._calls.append((callback, args))

    def close(self):
        """Closes all connections at once, telling their handlers, and gives everything back. Idempotent."""
        if not self._is_open:
            return
        self.begin()
        self._is_open = False
        for connection in list(self._connections):
            connection._forget()
        hft_reactor_close(&self.r)
        self._timers.clear()
        calls, self._calls = self._calls, deque()
        for callback, args in calls:
            if isinstance(getattr(callback, "__self__", None), Attempts):
                callback(*args)  # gives up the socket in it
        problem = None
        for connection in list(self._connections):
            try:
                connection._finish(make_error(HFT_E_CONN_STOPPED, "the reactor was closed", None))
            except BaseException as error:
                problem = problem or error
        if problem is not None:
            raise problem

    def __enter__(self):
        self.check_owner()
        return self

    def __exit__(self, *exc_info):
        self.close()

    @property
    def backend(self):
        """"io_uring" or "epoll": what is in use."""
        return {HFT_RING_URING: "io_uring", HFT_RING_EPOLL: "epoll"}.get(self.r.ring.backend)

    @property
    def connections(self):
        """Those that are not closed."""
        return tuple(self._connections)


globals().update(Message=Message, Timer=Timer)  # public here, for Python too
init_core()
