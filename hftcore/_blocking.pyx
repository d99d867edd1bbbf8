"""The blocking face: a connection with a reactor of its own, driven by whoever calls."""

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport UINT64_MAX, uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from hftcore._session cimport Session, decoded, payload_of
from hftcore._status cimport init_core
from hftcore.libhft.reactor cimport HFT_REACTOR_MESSAGE, hft_reactor_event
from hftcore.reactor cimport Connection, Reactor

from hftcore.errors import ConnectionClosed, ConnectionLost, LimitExceeded

cdef uint64_t NEVER = UINT64_MAX
# A signal that comes between Python's last look and the system call does not interrupt the wait: look again.
cdef uint64_t SIGNAL_NS = 200_000_000
# One that polls looks for signals, and gives other Python threads their turn, this often.
cdef uint64_t POLL_NS = 20_000_000
# A program that only sends has pings answered this often.
cdef uint64_t LOOK_NS = 50_000_000


cdef inline uint64_t mono_ns() noexcept:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <uint64_t>t.tv_sec * 1_000_000_000 + <uint64_t>t.tv_nsec


cdef uint64_t deadline(object timeout_s) except? 0:
    """When a call that may take so long gives up; None: never."""
    if timeout_s is None:
        return NEVER
    if not timeout_s >= 0:
        raise ValueError(f"timeout_s {timeout_s!r}: a number from 0 on, or None")
    return mono_ns() + <uint64_t>(min(timeout_s, 1e9) * 1e9)


cdef inline bint is_over(uint64_t until_ns) noexcept:
    return until_ns != NEVER and mono_ns() >= until_ns


@cython.final
cdef class ClientConnection(Session):
    """A WebSocket connection whose calls wait; ``hftcore.blocking.connect`` makes it.

    It belongs to the thread that made it; a call from another one is a RuntimeError. Nothing runs in the background:
    pings are answered, and our own are sent, while a call waits or sends.
    """
    cdef Reactor reactor
    cdef uint64_t most_ns           # of one wait
    cdef bint is_writable
    cdef bint is_closing            # by us: what still comes is nobody's

    def __cinit__(self, request, str backend, double spin_us):
        self.reactor = Reactor(backend=backend, spin_us=spin_us, max_connections=1)
        self.most_ns = SIGNAL_NS if spin_us == 0 else POLL_NS

    def __init__(self, *args):
        if self.connection is not None:
            raise TypeError("connections are made by connect()")

    def _attach(self, sock, endpoint, timeout_s):
        """Takes over a connected socket; what it raises leaves that to the caller."""
        self.attach(self.reactor, sock, endpoint, timeout_s)

    def _opened(self):
        """Returns once the upgrade is done. What it raises leaves nothing behind."""
        try:
            while not self.opened and not self.over:
                self.drive(NEVER)
        except BaseException:
            self.reactor.close()
            raise
        if not self.opened:
            self.reactor.close()
            raise ConnectionLost("closed while it was opened") if self.error is None else self.error

    # ---- what the reactor calls ----

    cpdef on_writable(self, Connection connection):
        self.is_writable = True

    cdef int put(self, object payload) except -1:
        if not self.is_closing:
            Session.put(self, payload)
        return 0

    # ---- waiting ----

    cdef int wait(self, hft_reactor_event *event, uint64_t until_ns) except -1:
        """Waits for an event, and not for long: 1, or 0 = there is none yet. KeyboardInterrupt comes out of here."""
        cdef uint64_t most_ns = self.most_ns, now_ns
        if until_ns != NEVER:
            now_ns = mono_ns()
            most_ns = min(most_ns, until_ns - now_ns) if now_ns < until_ns else 0
        if self.reactor.next_event(event, most_ns) == 1:
            return 1
        self.reactor.run_due()
        PyErr_CheckSignals()
        return 0

    cdef int drive(self, uint64_t until_ns) except -1:
        """The same, and does what the event asks for."""
        cdef hft_reactor_event event
        cdef int rc = self.wait(&event, until_ns)
        if rc == 1:
            self.reactor.dispatch(&event)
        return rc

    # ---- receiving ----

    cdef object next_payload(self, uint64_t until_ns):
        """The next message; None: there was none in time. Raises what ended the connection."""
        cdef hft_reactor_event event
        self.check_thread()
        while True:
            if self.messages:
                return self.take()
            if self.over:
                raise self.ended()
            if self.wait(&event, until_ns) == 0:
                if is_over(until_ns):
                    return None
            elif event.kind == HFT_REACTOR_MESSAGE and not self.is_closing:
                return payload_of(event.data, event.len, event.op)
            else:
                self.reactor.dispatch(&event)

    def recv(self, timeout_s=None, *, decode=None):
        """The next message: str for text, bytes for binary.

        timeout_s: raises TimeoutError if there was none for so long; 0 only looks; None waits for ever. decode: True =
        always str, False = always bytes. Raises ConnectionClosed once the messages that came before the end are taken,
        or what else ended the connection (RemoteProtocolError, LimitExceeded, TLSError).
        """
        payload = self.next_payload(deadline(timeout_s))
        if payload is None:
            raise TimeoutError(f"no message for {timeout_s:g} s")
        return payload if decode is None else decoded(payload, decode)

    def __iter__(self):
        return self

    def __next__(self):
        """The next message; an orderly end (close code 1000, 1001) ends the iteration, any other raises as recv()."""
        if self.over and not self.messages and self.ended_well():
            raise StopIteration
        try:
            return self.next_payload(NEVER)
        except ConnectionClosed:
            if self.ended_well():
                raise StopIteration from None
            raise

    # ---- sending ----

    cdef int look(self) except -1:
        """Does what has come up meanwhile, if nobody has looked for a while."""
        if mono_ns() - self.reactor.r.now_ns > LOOK_NS and self.reactor._is_open:
            while self.drive(0) == 1:
                pass
        return 0

    cdef int send_wait(self, object data, bint as_text, object timeout_s) except -1:
        cdef uint64_t until_ns = deadline(timeout_s)
        self.check_open()
        self.look()
        while not self.try_send(data, as_text):
            self.is_writable = False
            while not self.is_writable and not self.over:
                if self.drive(until_ns) == 0 and is_over(until_ns):
                    raise TimeoutError(f"no room in the send queue for {timeout_s:g} s")
        return 0

    def send(self, data, timeout_s=None):
        """Sends a message, text for a str, binary for bytes and other buffers.

        It has left, as far as the kernel takes it, on return; where the send queue has no room for it the call waits
        until it has. timeout_s: raises TimeoutError, and nothing was sent. Raises ConnectionClosed, LimitExceeded for a
        message that the queue can never hold (``send_queue``).
        """
        self.send_wait(data, False, timeout_s)

    def send_text(self, data, timeout_s=None):
        """Sends bytes, which must be UTF-8, as a text message; as ``send``."""
        self.send_wait(data, True, timeout_s)

    def send_template(self, template, /, **values):
        """Fills an OrderTemplate straight into the send buffer, as a text message; as ``send``.

        Raises what ``OrderTemplate.render`` raises.
        """
        self.check_open()
        self.look()
        try:
            self.connection.send_template(template, **values)
        except LimitExceeded:
            if not self.may_fit():
                raise
            self.send_wait(template.render(**values), True, None)

    def ping(self, timeout_s=None):
        """Sends a ping and waits for its answer: the round trip in seconds.

        Raises TimeoutError, as ``send``, and LimitExceeded where the messages before the answer fill ``recv_queue``.
        """
        cdef uint64_t until_ns = deadline(timeout_s), sent_ns, number = self.send_ping(&sent_ns)
        while self.answered < number:
            if self.over:
                raise self.ended()
            if self.paused:  # nobody else would take them
                raise LimitExceeded("recv() first: the pong comes behind more messages than recv_queue holds")
            if self.drive(until_ns) == 0 and is_over(until_ns):
                raise TimeoutError(f"no pong for {timeout_s:g} s")
        return (self.answered_ns - sent_ns) / 1e9

    # ---- ending ----

    def close(self, code=1000, reason=""):
        """Ends the connection in good order and waits for the other side's answer, at most ``close_timeout_s``.

        Messages that are waiting can still be received, further ones are not. No effect once it is closed. Raises
        LocalProtocolError for a code that may not be sent (RFC 6455 section 7.4) or a reason of over 123 bytes.
        """
        if self.reactor._owner == 0:  # in a fork's child
            return
        self.check_thread()
        if not self.over:
            self.connection.close(code, reason)
            self.is_closing = True
            while not self.over:
                self.drive(NEVER)
        self.reactor.close()

    def abort(self):
        """Cuts the connection at once."""
        self.check_thread()
        if not self.over:
            self.connection.abort()
            self.is_closing = True
            while not self.over:
                self.drive(NEVER)
        self.reactor.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


init_core()
