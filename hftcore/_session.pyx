"""What a connection whose owner takes one message after the other keeps: for the asyncio and the blocking face."""

import threading
from collections import deque

from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdint cimport uint64_t

from hftcore._message cimport Message, closed_again
from hftcore._status cimport init_core, make_error
from hftcore.libhft.status cimport HFT_E_STATE
from hftcore.libhft.ws cimport HFT_WS_OP_BINARY, HFT_WS_OP_TEXT
from hftcore.libhft.wsclient cimport HFT_WSCLIENT_PINGS, hft_wsclient
from hftcore.reactor cimport Connection, Reactor

from hftcore.errors import ConnectionClosed, LimitExceeded

cdef enum:
    MESSAGE_COST = 64  # what a message that waits counts besides its length


cdef hft_wsclient *session_of(Connection connection) noexcept:
    return &connection.reactor.r.links[connection.link].session


cdef class Session(Handler):
    """One connection, whose messages wait here until they are taken."""

    def __cinit__(self, request, *args, **kwargs):
        self.request = request
        self.messages = deque()
        self.room = request.recv_queue

    cdef int attach(self, object reactor, object sock, object endpoint, double timeout_s) except -1:
        cdef Connection connection = reactor._new(self.request, self)
        try:
            connection._attach(sock, self.request, endpoint, timeout_s)
        except BaseException:
            (<Reactor>reactor)._connections.discard(connection)
            raise
        self.connection = connection
        return 0

    # ---- what the reactor calls ----

    cpdef on_open(self, Connection connection):
        self.opened = True

    cpdef on_message(self, Connection connection, Message message):
        self.put(message.get_text() if message.op == HFT_WS_OP_TEXT else message.get_data())

    cpdef on_pong(self, Connection connection, uint64_t rtt_ns, bint is_app):
        cdef hft_wsclient *core = session_of(connection)
        if not is_app:
            self.answered = core.pings_answered
            self.answered_ns = core.ping_ns[self.answered % HFT_WSCLIENT_PINGS] + rtt_ns

    cpdef on_close(self, Connection connection, object error):
        self.over = True
        self.error = error

    cdef int put(self, object payload) except -1:
        self.messages.append(payload)
        self.held += len(payload) + MESSAGE_COST
        if self.held >= self.room and not self.paused and not self.over:
            self.paused = True
            self.connection.pause()
        return 0

    cdef object take(self):
        payload = self.messages.popleft()
        self.held -= len(payload) + MESSAGE_COST
        if self.paused and self.held <= self.room // 2:
            self.paused = False
            if not self.over:
                self.connection.resume()
        return payload

    # ---- sending ----

    cdef int check_thread(self) except -1:
        # Not the reactor's own check: messages can be taken when it is closed.
        if PyThread_get_thread_ident() != self.connection.reactor._owner:
            self.connection.reactor.check_process()
            raise RuntimeError(f"this connection belongs to another thread than {threading.current_thread().name}")
        return 0

    cdef int check_open(self) except -1:
        self.check_thread()
        if self.over:
            raise closed_again(self.error)
        return 0

    cdef int try_send(self, object data, bint as_text) except -1:
        self.check_open()
        try:
            self.connection.send_object(data, HFT_WS_OP_TEXT if as_text else HFT_WS_OP_BINARY)
        except LimitExceeded:
            if not self.may_fit():
                raise
            return 0
        return 1

    cdef uint64_t send_ping(self, uint64_t *sent_ns) except 0:
        cdef hft_wsclient *core
        self.check_open()
        self.connection.ping()
        core = session_of(self.connection)
        sent_ns[0] = core.ping_ns[core.pings_sent % HFT_WSCLIENT_PINGS]
        return core.pings_sent

    cdef bint may_fit(self) except -1:
        return self.connection.stats().send_queue != 0

    # ---- how it ended ----

    cdef object ended(self):
        if not self.over:
            return make_error(HFT_E_STATE, "the connection is not open yet", None)
        if self.told or self.error is None:
            return closed_again(self.error)
        self.told = True
        return self.error

    cdef bint ended_well(self) except -1:
        if self.error is None:
            return True
        return isinstance(self.error, ConnectionClosed) and self.error.close_code in (1000, 1001)

    @property
    def is_open(self):
        """Whether messages can be sent."""
        return self.connection is not None and self.connection._open

    @property
    def close_code(self):
        """Of the other side's close frame, 1005: it had none, 1006: there was none (RFC 6455 section 7.1.5); None while
        the connection is open.
        """
        if not self.over:
            return None
        return 1000 if self.error is None else getattr(self.error, "close_code", 1006)

    @property
    def close_reason(self):
        """The text in the other side's close frame, "" without one; None while the connection is open."""
        return getattr(self.error, "reason", "") if self.over else None

    # ---- what it is ----

    @property
    def url(self):
        """Where it leads, without user name and password."""
        return self.connection.url

    @property
    def subprotocol(self):
        """What the server chose of ``subprotocols``, or None."""
        return self.connection.subprotocol

    @property
    def extensions(self):
        """The extensions in use, as the server wrote them, or None."""
        return self.connection.extensions

    @property
    def response_headers(self):
        """The header fields of the response to the upgrade, in order: (name, value)."""
        return self.connection.response_headers

    @property
    def local_address(self):
        """Of the socket, as ``socket.getsockname``."""
        return self.connection.local_address

    @property
    def remote_address(self):
        """Of the socket, as ``socket.getpeername``: of the proxy, where there is one."""
        return self.connection.remote_address

    @property
    def tls_version(self):
        """"TLSv1.3", say; None without TLS."""
        return self.connection.tls_version

    @property
    def tls_cipher(self):
        """The cipher suite in use, as OpenSSL names it; None without TLS."""
        return self.connection.tls_cipher

    @property
    def tls_resumed(self):
        """Whether an earlier session was resumed; None without TLS."""
        return self.connection.tls_resumed

    @property
    def backend(self):
        """"io_uring" or "epoll"."""
        return self.connection.reactor.backend

    def stats(self):
        """Counters of the connection: hftcore.reactor.ConnectionStats."""
        return self.connection.stats()

    @property
    def latency(self):
        """The round trip of the last ping that was answered, in seconds; 0.0: none was yet."""
        return self.connection.stats().rtt_last_ns / 1e9

    def __repr__(self):
        state = "closed" if self.over else "open" if self.opened else "connecting"
        where = self.request.endpoints[0].origin if self.connection is None else self.connection.endpoint.origin
        return f"<{type(self).__name__} {where} {state}>"


init_core()
