"""The asyncio face's hot path: a connection of an event loop, and the reactor that the loop's connections share.

What is awaited is its own coroutine. If its result is there, awaiting makes no trip through the loop; one that polls
asks the ring itself. The loop has its turn every millisecond at the least.
"""

import asyncio
import weakref
from collections import deque

import cython

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport UINT64_MAX, uint64_t

from hftcore._buffer cimport as_bytes
from hftcore._message cimport Message, closed_again
from hftcore._session cimport Session, decoded, payload_of
from hftcore._status cimport init_core
from hftcore.libhft.reactor cimport HFT_REACTOR_LINKS_MAX, HFT_REACTOR_MESSAGE, hft_reactor_event
from hftcore.reactor cimport Connection, Reactor

from hftcore.errors import ConfigError, ConnectionLost, LimitExceeded

cdef uint64_t NEVER = UINT64_MAX
cdef uint64_t TURN_NS = 1_000_000   # the loop has its turn this often, whatever comes in
cdef uint64_t SLICE_NS = 100_000    # one stretch of polling
cdef int BATCH = 64                 # events between two turns of the loop
cdef int CONNECTIONS_MAX = min(4000, HFT_REACTOR_LINKS_MAX)

ctypedef int (*step_function)(PyObject *, PyObject **) except -1

cdef extern from *:
    """
    /* `await` takes a result from am_send (Python 3.11, and tasks) or tp_iternext (3.12). As Cython fills them a result
     * is an exception with a traceback. */
    #define HFT_AWAITABLE(name)                                                              \\
        static int (*name##_step)(PyObject *, PyObject **);                                  \\
        static PySendResult name##_send(PyObject *self, PyObject *arg, PyObject **result) {  \\
            (void)arg;                                                                       \\
            return (PySendResult)name##_step(self, result);                                  \\
        }                                                                                    \\
        static PyObject *name##_next(PyObject *self) {                                       \\
            PyObject *result = NULL;                                                         \\
            PySendResult rc = (PySendResult)name##_step(self, &result);                      \\
            if (rc != PYGEN_RETURN) return result;                                           \\
            if (result != Py_None) PyErr_SetObject(PyExc_StopIteration, result);             \\
            Py_DECREF(result);                                                               \\
            return NULL;                                                                     \\
        }                                                                                    \\
        static void name##_slots(PyTypeObject *type, int (*step)(PyObject *, PyObject **)) { \\
            name##_step = step;                                                              \\
            type->tp_as_async->am_send = name##_send;                                        \\
            type->tp_iternext = name##_next;                                                 \\
            PyType_Modified(type);                                                           \\
        }
    HFT_AWAITABLE(hft_receive)
    HFT_AWAITABLE(hft_done)
    """
    ctypedef struct PyTypeObject
    int PYGEN_RETURN
    int PYGEN_NEXT
    void hft_receive_slots(PyTypeObject *type, step_function step)
    void hft_done_slots(PyTypeObject *type, step_function step)


# ---- one reactor for a loop ----

@cython.final
cdef class _Hub:
    """The reactor that the connections of one event loop share, and how the loop drives it."""
    cdef Reactor reactor
    cdef object __weakref__
    cdef object loop
    cdef set sessions
    cdef object timer           # the loop's handle, None = there is none
    cdef uint64_t timer_ns      # when it is due
    cdef uint64_t yielded_ns    # when the loop last had its turn
    cdef int fd
    cdef int polling            # coroutines that poll, and wait for nothing but their turn
    cdef bint planned           # a turn of ours is
    cdef bint held              # until those who were woken have had their turn
    cdef bint armed             # nothing was asked of the ring since it was told to wake the loop
    cdef bint woke              # another coroutine has something to do

    def __cinit__(self, loop, backend):
        self.loop = loop
        self.reactor = Reactor(backend=backend, max_connections=CONNECTIONS_MAX)
        self.sessions = set()
        self.fd = self.reactor.fd()
        loop.add_reader(self.fd, self._turn)

    cdef int set_polled(self) except -1:
        """Somebody is going to poll: waiting for an event is that, from now on."""
        self.reactor.r.config.spin_ns = NEVER
        self.reactor.r.ring.spins = 1
        return 0

    cdef int ensure(self) except -1:
        """Has the ring looked at, and armed, before the loop sleeps."""
        if not self.planned:
            self.planned = True
            self.loop.call_soon(self._turn)
        return 0

    cdef int poll(self, hft_reactor_event *event, uint64_t timeout_ns) except -1:
        self.armed = False
        return self.reactor.next_event(event, timeout_ns)

    def _go_on(self):
        self.held = False
        self._turn()

    def _turn(self):
        cdef hft_reactor_event event
        cdef int _
        if self.held or not self.reactor._is_open:
            return
        self.planned = False
        self.yielded_ns = self.reactor.r.now_ns
        self.reactor.run_due()
        if self.polling != 0:
            return
        self.planned = True
        self.woke = False
        try:
            for _ in range(BATCH):
                if self.poll(&event, 0) == 0:
                    self.planned = False
                    self.arm()
                    return
                self.reactor.dispatch(&event)
                if self.woke:
                    # Whoever it is acts on this before we act on what came behind it: a turn that is planned already
                    # would be too early.
                    self.held = True
                    self.loop.call_soon(self._go_on)
                    return
        finally:
            if self.planned and not self.held:
                self.planned = False
                self.ensure()

    cdef int arm(self) except -1:
        cdef uint64_t wait_ns = self.reactor.prepare_sleep(), due_ns
        if wait_ns == 0:
            return self.ensure()
        self.armed = True
        if wait_ns == NEVER:
            return 0
        due_ns = self.reactor.r.now_ns + wait_ns
        if self.timer is not None:
            if self.timer_ns <= due_ns:  # it will find nothing to do, and set the next
                return 0
            self.timer.cancel()
        self.timer_ns = due_ns
        self.timer = self.loop.call_later(wait_ns / 1e9, self._on_time)
        return 0

    def _on_time(self):
        self.timer = None
        self._turn()

    cdef int leave(self, Session session) except -1:
        self.sessions.discard(session)
        if not self.sessions:
            self.loop.call_soon(self._close_if_idle)
        return 0

    def _close_if_idle(self):
        if self.sessions or not self.reactor._is_open:
            return
        if self.timer is not None:
            self.timer.cancel()
        self.loop.remove_reader(self.fd)
        self.reactor.close()
        hubs = hubs_by_loop[self.loop]
        for backend, hub in tuple(hubs.items()):
            if hub is self:
                del hubs[backend]


# By loop, then by backend. Neither is kept: a loop keeps what it watches, a connection its hub, a hub its loop.
cdef object hubs_by_loop = weakref.WeakKeyDictionary()


cdef _Hub hub_of(loop, str backend):
    hubs = hubs_by_loop.setdefault(loop, weakref.WeakValueDictionary())
    hub = hubs.get(backend)
    if hub is None:
        hub = hubs[backend] = _Hub(loop, backend)
    return hub


# ---- awaitables ----

cdef object as_exception(object kind, object value):
    if isinstance(kind, BaseException):
        return kind
    return value if isinstance(value, BaseException) else kind() if value is None else kind(value)


@cython.final
cdef class _Done:
    """What awaiting gives None at once."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        raise StopIteration

    def send(self, _value):
        """As of a coroutine."""
        raise StopIteration

    def throw(self, kind, value=None, _traceback=None):
        """As of a coroutine."""
        raise as_exception(kind, value)

    def close(self):
        """As of a coroutine."""


cdef int done_step(PyObject *_self, PyObject **result) except -1:
    Py_INCREF(None)
    result[0] = <PyObject *>None
    return PYGEN_RETURN


@cython.final
@cython.freelist(8)
cdef class _Receive:
    """The coroutine of recv(), and of the next message of an iteration."""
    cdef ClientConnection ws
    cdef object decode
    cdef bint iterates
    cdef bint polling           # counted by the hub, while the loop has its turn
    cdef bint has_yielded
    cdef object future          # what wakes it, while it sleeps
    cdef uint64_t until_ns      # when it stops polling; 0 = it has not begun

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, _value):
        """As of a coroutine."""
        cdef PyObject *result = NULL
        cdef int rc = receive_step(<PyObject *>self, &result)
        value = <object>result
        Py_DECREF_of(result)
        if rc == PYGEN_RETURN:
            raise StopIteration(value)
        return value

    def throw(self, kind, value=None, _traceback=None):
        """As of a coroutine. Cancelled, it has taken no message."""
        self.finish()
        raise as_exception(kind, value)

    def close(self):
        """As of a coroutine."""
        self.finish()

    cdef int resume(self) except -1:
        if self.polling:
            self.polling = False
            self.ws.hub.polling -= 1
            self.ws.hub.ensure()  # or, cancelled now, it would leave nobody to arm the ring
        self.future = None
        return 0

    cdef int finish(self) except -1:
        self.resume()
        if self.ws.receiver is self:
            self.ws.receiver = None
        return 0

    cdef object look(self):
        """A message; None: there is none."""
        cdef ClientConnection ws = self.ws
        cdef _Hub hub = ws.hub
        cdef hft_reactor_event event
        cdef uint64_t now_ns
        while True:
            if ws.messages:
                return ws.take()
            if ws.over:
                if self.iterates and ws.ended_well():
                    raise StopAsyncIteration
                raise ws.ended()
            if ws.spin_ns == 0:
                if hub.armed or hub.reactor.next_ready(&event) == 0:
                    return None
            else:
                now_ns = hub.reactor.r.now_ns
                if self.until_ns == 0:
                    self.until_ns = now_ns + ws.spin_ns if ws.spin_ns < NEVER - now_ns else NEVER
                if now_ns >= self.until_ns:
                    return None
                hub.ensure()
                if hub.poll(&event, min(SLICE_NS, self.until_ns - now_ns)) == 0:
                    return None
            if event.kind == HFT_REACTOR_MESSAGE and event.link == ws.connection.link:
                return payload_of(event.data, event.len, event.op)
            hub.woke = False
            hub.reactor.dispatch(&event)
            if hub.woke and not ws.over:  # by the end of this connection nobody is going to be woken again
                return None

    cdef object wait(self):
        """What to yield until there is news: None, for a turn of the loop's, or a future."""
        cdef ClientConnection ws = self.ws
        cdef _Hub hub = ws.hub
        ws.receiver = self
        self.has_yielded = True
        if hub.reactor.r.now_ns < self.until_ns:
            return self.give_way()
        ws.check_loop()
        if not hub.armed:
            hub.ensure()
        self.future = hub.loop.create_future()
        self.future._asyncio_future_blocking = True  # as `await` on it would
        return self.future

    cdef object give_way(self):
        cdef _Hub hub = self.ws.hub
        self.ws.receiver = self
        self.has_yielded = self.polling = True
        hub.polling += 1
        hub.ensure()
        return None


cdef int receive_step(PyObject *of, PyObject **result) except -1:
    cdef _Receive self = <_Receive>of
    cdef ClientConnection ws = self.ws
    cdef _Hub hub = ws.hub
    cdef int rc = PYGEN_NEXT
    if self.has_yielded:
        self.resume()
        hub.yielded_ns = hub.reactor.r.now_ns
    else:
        ws.check_receiver()
    if hub.reactor.r.now_ns - hub.yielded_ns > TURN_NS and hub.yielded_ns != 0 and ws.spin_ns != 0:
        value = self.give_way()
    else:
        try:
            value = self.look()
            if value is None:
                value = self.wait()
            else:
                rc = PYGEN_RETURN
        except BaseException:
            self.finish()
            raise
        if rc == PYGEN_RETURN:
            self.finish()
            if self.decode is not None:
                value = decoded(value, self.decode)
    Py_INCREF(value)
    result[0] = <PyObject *>value
    return rc


cdef extern from "Python.h":
    void Py_DECREF_of "Py_DECREF" (PyObject *)

cdef _Done DONE = _Done()
hft_done_slots(<PyTypeObject *>_Done, done_step)
hft_receive_slots(<PyTypeObject *>_Receive, receive_step)


# ---- the connection ----

@cython.final
@cython.no_gc_clear
cdef class _Place:
    """In the line of those who wait for room. The coroutine of send() has it, from the call until that is over, or
    dropped."""
    cdef ClientConnection ws

    def __cinit__(self, ClientConnection ws not None):
        self.ws = ws
        ws.n_senders += 1

    def __dealloc__(self):
        if self.ws is not None:  # which __cinit__ refuses
            self.ws.n_senders -= 1


@cython.final
cdef class ClientConnection(Session):
    """A WebSocket connection of the running event loop; ``hftcore.aio.connect`` makes it.

    It belongs to the loop, and to its thread; a call from another one is a RuntimeError.
    """
    cdef _Hub hub
    cdef _Receive receiver       # who waits for a message
    cdef uint64_t spin_ns
    cdef object opening         # future of being open
    cdef object closing         # future of on_close
    cdef bint is_closing        # by us: what still comes is nobody's
    cdef object pings           # deque: number of a ping, when it was sent, future of its round trip
    cdef object writable        # future of on_writable
    cdef object senders         # lock: those whom there was no room for, in order
    cdef int n_senders          # those, and who has not begun to wait yet

    def __cinit__(self, request, str backend, double spin_us):
        loop = asyncio.get_running_loop()
        if not spin_us >= 0:
            raise ConfigError(f"spin_us {spin_us!r}: a number from 0 on, or inf")
        self.spin_ns = <uint64_t>(spin_us * 1e3) if spin_us < 1e15 else NEVER
        self.hub = hub_of(loop, backend)
        self.opening = loop.create_future()
        self.closing = loop.create_future()
        self.pings = deque()
        self.senders = asyncio.Lock()
        self.hub.yielded_ns = self.hub.reactor.r.now_ns

    def __init__(self, *args):
        if self.connection is not None:
            raise TypeError("connections are made by connect()")

    def _attach(self, sock, endpoint, timeout_s):
        """Takes over a connected socket; what it raises leaves that to the caller."""
        if self.spin_ns != 0:
            self.hub.set_polled()
        self.hub.sessions.add(self)
        try:
            self.attach(self.hub.reactor, sock, endpoint, timeout_s)
        except BaseException:
            self.hub.leave(self)
            raise
        self.hub.ensure()

    async def _opened(self):
        """Returns once the upgrade is done. Failed or cancelled, it leaves nothing behind."""
        try:
            await self.opening
        except BaseException:
            if not self.over:
                self.connection.abort()
                self.hub.ensure()
            raise

    # ---- what the reactor calls ----

    cdef int wake(self, object future) except -1:
        if future is not None and not future.done():
            future.set_result(None)
            self.hub.woke = True
        return 0

    cdef int wake_receiver(self) except -1:
        if self.receiver is not None:
            self.hub.woke = True
            self.wake(self.receiver.future)
        return 0

    cpdef on_open(self, Connection connection):
        Session.on_open(self, connection)
        self.wake(self.opening)

    cpdef on_message(self, Connection connection, Message message):
        if not self.is_closing:
            Session.on_message(self, connection, message)
            self.wake_receiver()

    cpdef on_pong(self, Connection connection, uint64_t rtt_ns, bint is_app):
        Session.on_pong(self, connection, rtt_ns, is_app)
        while self.pings and self.pings[0][0] <= self.answered:
            _, sent_ns, future = self.pings.popleft()
            if not future.done():
                future.set_result((self.answered_ns - sent_ns) / 1e9)
                self.hub.woke = True

    cpdef on_writable(self, Connection connection):
        self.wake(self.writable)

    cpdef on_close(self, Connection connection, object error):
        Session.on_close(self, connection, error)
        self.hub.leave(self)
        if not self.opening.done():
            self.opening.set_exception(ConnectionLost("closed while it was opened") if error is None else error)
        while self.pings:
            future = self.pings.popleft()[2]
            if not future.done():
                future.set_exception(closed_again(error))
                future.exception()  # nobody need wait for it
        self.wake_receiver()
        self.wake(self.writable)
        self.wake(self.closing)
        self.hub.woke = True

    # ---- who may ----

    cdef int check_receiver(self) except -1:
        self.check_thread()
        if self.receiver is not None:
            raise RuntimeError("another task waits for this connection's next message: one at a time")
        return 0

    cdef int check_loop(self) except -1:
        if asyncio.get_running_loop() is not self.hub.loop:
            raise RuntimeError("this connection belongs to another event loop")
        return 0

    cdef object take(self):
        cdef bint was_paused = self.paused
        payload = Session.take(self)
        if was_paused and not self.paused:
            self.hub.ensure()
        return payload

    # ---- receiving ----

    cdef _Receive receive(self, object decode, bint iterates):
        cdef _Receive coroutine = _Receive.__new__(_Receive)
        coroutine.ws = self
        coroutine.decode = decode
        coroutine.iterates = iterates
        return coroutine

    def recv(self, decode=None):
        """Await it for the next message: str for text, bytes for binary. One task at a time.

        decode: True = always str, False = always bytes. A cancelled one has taken no message. Raises ConnectionClosed
        once the messages that came before the end are taken, or what else ended the connection (RemoteProtocolError,
        LimitExceeded, TLSError).
        """
        return self.receive(decode, False)

    def __aiter__(self):
        return self

    def __anext__(self):
        """The next message; an orderly end (close code 1000, 1001) ends the iteration, any other raises as recv()."""
        return self.receive(None, True)

    # ---- sending ----

    def send(self, data, /):
        """Sends a message, text for a str, binary for bytes and other buffers; await it.

        It has left, as far as the kernel takes it, before awaiting begins; where the send queue has no room awaiting
        waits until it has, behind others that do, and cancelled then, nothing of it is sent. Raises ConnectionClosed,
        LimitExceeded for a message that the queue can never hold (``send_queue``).
        """
        if self.n_senders == 0 and self.try_send(data, False):
            return DONE
        return self._send_later(_Place(self), data if isinstance(data, str) else as_bytes(data), False)

    def send_text(self, data, /):
        """Sends bytes, which must be UTF-8, as a text message; as ``send``."""
        if self.n_senders == 0 and self.try_send(data, True):
            return DONE
        return self._send_later(_Place(self), data if isinstance(data, str) else as_bytes(data), True)

    def send_template(self, template, /, **values):
        """Fills an OrderTemplate straight into the send buffer, as a text message; as ``send``.

        Raises what ``OrderTemplate.render`` raises.
        """
        self.check_open()
        if self.n_senders == 0:
            try:
                self.connection.send_template(template, **values)
                return DONE
            except LimitExceeded:
                if not self.may_fit():
                    raise
        return self._send_later(_Place(self), template.render(**values), True)

    async def _send_later(self, _Place _place, data, as_text):
        async with self.senders:
            while not self.try_send(data, as_text):
                self.writable = self.hub.loop.create_future()
                if not self.hub.armed:
                    self.hub.ensure()
                await self.writable

    def ping(self):
        """Sends a ping. Returns a future, which need not be awaited, of its round trip in seconds. Raises as ``send``.

        The pong of a later ping answers the ones before it, too (RFC 6455 section 5.5.3).
        """
        cdef uint64_t sent_ns, number = self.send_ping(&sent_ns)
        self.hub.ensure()
        future = self.hub.loop.create_future()
        self.pings.append((number, sent_ns, future))
        return future

    # ---- ending ----

    async def close(self, code=1000, reason=""):
        """Ends the connection in good order and waits for the other side's answer, at most ``close_timeout_s``.

        Messages that are waiting can still be received, further ones are not. No effect once it is closed. Raises
        LocalProtocolError for a code that may not be sent (RFC 6455 section 7.4) or a reason of over 123 bytes.
        """
        if self.connection.reactor._owner == 0:  # in a fork's child
            return
        if not self.over:
            self.connection.close(code, reason)
            self.is_closing = True
            self.hub.ensure()
        await self.wait_closed()

    def abort(self):
        """Cuts the connection at once."""
        self.check_thread()
        if not self.over:
            self.connection.abort()
            self.is_closing = True
            self.hub.ensure()

    async def wait_closed(self):
        """Waits until the connection has ended, however it does."""
        await asyncio.shield(self.closing)


init_core()
