"""Connected sockets: names, both families at once, proxies, Unix sockets, socket options. Cold, and so in Python.

``open_socket`` is a coroutine for any event loop. ``Connector`` runs it on a thread, for those who have none.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import aiohappyeyeballs
import python_socks
from python_socks.async_.asyncio import Proxy as SocksProxy

from hftcore._request import Proxy, Request
from hftcore._status import error_from_status, status_codes
from hftcore.endpoints import Endpoint, format_endpoint

__all__ = ["Connector", "Job", "connect_timed_out", "open_first", "open_socket"]

ATTEMPT_DELAY_S = 0.25  # between two addresses: RFC 8305 section 8
SO_BUSY_POLL = 46  # <asm-generic/socket.h>; Python's socket module does not name it
PROXY_HEAD_MAX = 8192
_CODES = {name: code for name, code, _ in status_codes()}

_AddrInfo = tuple[int, int, int, str, Any]


def _lost(name: str, text: str) -> Exception:
    error: Exception = error_from_status(_CODES[name], text)
    return error


def connect_timed_out(request: Request, endpoint: Endpoint) -> Exception:
    """The ConnectionLost of an attempt that took longer than ``connect_timeout_s``, not raised."""
    return _lost("HFT_E_CONN_CONNECT_TIMEOUT", f"{endpoint.origin}: over {request.connect_timeout_s:g} s")


# ---- socket options ----


def _set(sock: socket.socket, level: int, name: int, value: int | bytes, label: str) -> None:
    try:
        sock.setsockopt(level, name, value)
    except OSError as error:
        remedy = " (CAP_NET_ADMIN is needed)" if isinstance(error, PermissionError) else ""
        raise OSError(error.errno, f"{label}: {error.strerror}{remedy}") from None


def _prepare(sock: socket.socket, request: Request) -> None:
    """What has to be said before connecting: the window is announced with the first segment."""
    if sock.family != socket.AF_UNIX:
        _set(sock, socket.IPPROTO_TCP, socket.TCP_NODELAY, request.nodelay, "TCP_NODELAY")
        if request.quickack:
            _set(sock, socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1, "TCP_QUICKACK")
        if request.user_timeout_ms:
            _set(sock, socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, request.user_timeout_ms, "TCP_USER_TIMEOUT")
        if request.busy_poll_us:
            _set(sock, socket.SOL_SOCKET, SO_BUSY_POLL, request.busy_poll_us, "SO_BUSY_POLL")
    if request.recv_buffer:
        _set(sock, socket.SOL_SOCKET, socket.SO_RCVBUF, request.recv_buffer, "SO_RCVBUF")
    if request.send_buffer:
        _set(sock, socket.SOL_SOCKET, socket.SO_SNDBUF, request.send_buffer, "SO_SNDBUF")
    for level, name, value in request.socket_options:
        _set(sock, level, name, value, f"socket option ({level}, {name})")


@contextlib.contextmanager
def closed_on_error(sock: socket.socket) -> Iterator[socket.socket]:
    """Closes the socket if the block raises."""
    try:
        yield sock
    except BaseException:
        sock.close()
        raise


@contextlib.contextmanager
def _naming(where: str) -> Iterator[None]:
    """Says in an OSError what could not be reached; asyncio tells the address instead of the reason."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        if error.errno is None:
            raise OSError(f"{where}: {reason}") from None
        if reason.startswith(("[Errno", "Connect call failed")):
            reason = os.strerror(error.errno)
        raise OSError(error.errno, f"{where}: {reason}") from None


# ---- names ----


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _resolve(host: str, port: int) -> Sequence[_AddrInfo]:
    """The addresses of a host, each on a thread of its own: a mute name server holds up neither others nor the end."""
    if _is_address(host):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Sequence[_AddrInfo]] = loop.create_future()

    def put(found: Sequence[_AddrInfo], error: OSError | UnicodeError | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(found)
        else:
            answer.set_exception(_lost("HFT_E_CONN_RESOLVE", f"{host}: {getattr(error, 'strerror', None) or error}"))

    def look_up() -> None:
        found: Sequence[_AddrInfo] = []
        problem: OSError | UnicodeError | None = None
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            problem = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(put, found, problem)

    threading.Thread(target=look_up, name="hft-resolve", daemon=True).start()
    return await answer


# ---- TCP, Unix, proxies ----


async def _dial(request: Request, host: str, port: int) -> socket.socket:
    """TCP to whichever address of the host answers first (RFC 8305); an OSError names host and port."""

    def new_socket(info: _AddrInfo) -> socket.socket:
        with closed_on_error(socket.socket(info[0], info[1], info[2])) as sock:
            _prepare(sock, request)
            return sock

    addresses = await _resolve(host, port)
    local: Sequence[_AddrInfo] | None = None
    if request.local_address is not None:
        at, local_port = request.local_address
        local = socket.getaddrinfo(at, local_port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        families = {info[0] for info in local}
        addresses = [info for info in addresses if info[0] in families] or addresses
    with _naming(format_endpoint(host, port)):
        return await aiohappyeyeballs.start_connection(
            addresses, local_addr_infos=local, happy_eyeballs_delay=ATTEMPT_DELAY_S, socket_factory=new_socket
        )


async def _dial_unix(request: Request, path: str) -> socket.socket:
    with closed_on_error(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock, _naming(path):
        _prepare(sock, request)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, path)
        return sock


class _Dialler:
    """Stands where python-socks would dial the proxy itself, so that the proxy, too, is reached by our own rules."""

    def __init__(self, request: Request) -> None:
        self._request = request

    async def connect(self, dest_host: str, dest_port: int, timeout: float | None = None) -> socket.socket:
        del timeout  # open_socket has one for everything
        return await _dial(self._request, dest_host, dest_port)


async def _through_socks(request: Request, proxy: Proxy, host: str, port: int) -> socket.socket:
    if proxy.scheme == "socks5" and not _is_address(host):
        host = str((await _resolve(host, port))[0][4][0])
    client = SocksProxy(
        python_socks.ProxyType.SOCKS5, proxy.host, proxy.port, proxy.username or None, proxy.password or None,
        rdns=True, forward=_Dialler(request),  # type: ignore[arg-type]
    )  # fmt: skip
    try:
        return await client.connect(host, port, timeout=request.connect_timeout_s + 1.0)  # open_socket's ends first
    except python_socks.ProxyError as error:
        raise _lost("HFT_E_CONN_PROXY", f"{format_endpoint(proxy.host, proxy.port)}: {error}") from None


async def _through_http(request: Request, proxy: Proxy, host: str, port: int) -> socket.socket:
    """CONNECT (RFC 9110 section 9.3.6). Our own: python-socks takes what one receive gives for the whole answer."""
    loop = asyncio.get_running_loop()
    authority = format_endpoint(host, port)
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if proxy.username:
        pair = f"{proxy.username}:{proxy.password}".encode()
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair).decode()}")
    where = format_endpoint(proxy.host, proxy.port)
    with closed_on_error(await _dial(request, proxy.host, proxy.port)) as sock, _naming(where):
        await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            piece = await loop.sock_recv(sock, PROXY_HEAD_MAX + 1 - len(head))
            head += piece
            if not piece or len(head) > PROXY_HEAD_MAX:
                raise _lost("HFT_E_CONN_PROXY", f"{where}: {'its answer is too long' if piece else 'it hung up'}")
        status_line = head.partition(b"\r\n")[0].decode("latin-1")
        version, _, status = status_line.partition(" ")
        if not version.startswith("HTTP/1.") or not status.startswith("2"):
            raise _lost("HFT_E_CONN_PROXY", f"{where}: {status_line[:100]!r}")
        # Both TLS and the upgrade begin with us: nobody can have sent anything yet.
        if not head.endswith(b"\r\n\r\n") or head.count(b"\r\n\r\n") > 1:
            raise _lost("HFT_E_CONN_PROXY", f"{where}: bytes after its answer")
        return sock


async def _open(request: Request, endpoint: Endpoint) -> socket.socket:
    if endpoint.unix_path:
        return await _dial_unix(request, endpoint.unix_path)
    if request.proxy is not None:
        through = _through_http if request.proxy.scheme == "http" else _through_socks
        return await through(request, request.proxy, endpoint.host, endpoint.port)
    host, port = request.connect_to or (endpoint.host, None)
    return await _dial(request, host, port or endpoint.port)


async def open_socket(request: Request, endpoint: Endpoint, *, timeout_s: float | None = None) -> socket.socket:
    """A socket connected to the endpoint, in blocking mode, closed on exec; the caller's to close or detach.

    timeout_s: what is left of ``connect_timeout_s``; None = all of it.

    Raises ConnectionLost (``HFT_E_CONN_RESOLVE``, ``HFT_E_CONN_CONNECT_TIMEOUT``, ``HFT_E_CONN_PROXY``) or OSError,
    which name where it failed. Cancelled, it leaves no socket behind.
    """
    try:
        async with asyncio.timeout(request.connect_timeout_s if timeout_s is None else timeout_s) as scope:
            sock = await _open(request, endpoint)
    except TimeoutError:
        if not scope.expired():
            raise  # the system's ETIMEDOUT
        raise connect_timed_out(request, endpoint) from None
    sock.setblocking(True)
    return sock


async def open_first(
    request: Request, endpoints: Sequence[int], *, timeout_s: float | None = None
) -> tuple[int, socket.socket]:
    """Dials several endpoints of the request at once; the number and socket of the first that answers, as open_socket.

    If all fail, the error of the last one to do so is raised.
    """
    if len(endpoints) == 1:
        return endpoints[0], await open_socket(request, request.endpoints[endpoints[0]], timeout_s=timeout_s)
    tasks = {
        asyncio.create_task(open_socket(request, request.endpoints[number], timeout_s=timeout_s)): number
        for number in endpoints
    }
    try:
        pending, problem = set(tasks), None
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (problem := task.exception()) is None:
                    return tasks.pop(task), task.result()
        assert problem is not None
        raise problem
    finally:
        for task in tasks:  # without the winner
            task.add_done_callback(_close_late)
            task.cancel()


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


# ---- the thread ----

Callback = Callable[[int, "socket.socket | None", "BaseException | None"], object]


class Job:
    """An attempt under way on the connector's thread."""

    def __init__(self, callback: Callback) -> None:
        self._callback = callback
        self._lock = threading.Lock()
        self._over = False
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def cancel(self) -> bool:
        """From any thread. True: the callback will not be called; False: it was, or is being."""
        with self._lock:
            if self._over:
                return False
            self._over = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop)
        return True

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self, request: Request, endpoints: tuple[int, ...], timeout_s: float | None) -> None:
        number, sock, problem = -1, None, None
        try:
            number, sock = await open_first(request, endpoints, timeout_s=timeout_s)
        except asyncio.CancelledError:
            pass
        except Exception as error:
            problem = error
        with self._lock:
            told, self._over = not self._over, True
        if told:
            self._callback(number, sock, problem)
        elif sock is not None:
            sock.close()


class Connector:
    """One thread, shared by a process, that opens sockets.

    It starts with the first job and ends with the interpreter. No signal is delivered to it. A child after fork has a
    new one; what the parent's had under way stays with the parent.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._loop = None

    def submit(
        self, request: Request, endpoints: Sequence[int], callback: Callback, *, timeout_s: float | None = None
    ) -> Job:
        """Opens a socket to the first to answer of these endpoints of the request (numbers), as ``open_first``.

        ``callback(endpoint, socket, None)`` or ``callback(-1, None, error)`` is called once, on the connector's thread,
        and must neither block nor raise. The socket is then the callback's.
        """
        job = Job(callback)
        job._loop = loop = self._running()
        loop.call_soon_threadsafe(self._start, loop, job, request, tuple(endpoints), timeout_s)
        return job

    @staticmethod
    def _start(
        loop: asyncio.AbstractEventLoop, job: Job, request: Request, endpoints: tuple[int, ...], timeout_s: float | None
    ) -> None:
        job._task = loop.create_task(
            job._run(request, endpoints, timeout_s)
        )  # if it is cancelled by now, _stop follows

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                threading.Thread(target=self._main, args=(loop,), name="hft-connector", daemon=True).start()
                self._loop = loop
            return self._loop

    @staticmethod
    def _main(loop: asyncio.AbstractEventLoop) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        asyncio.set_event_loop(loop)
        loop.run_forever()


connector = Connector()
