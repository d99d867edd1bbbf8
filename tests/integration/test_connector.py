"""Connected sockets: every way to one, through a proxy that we did not write, and every way that leads nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from hftcore import _connector
from hftcore._connector import Connector, open_first, open_socket
from hftcore._request import Request
from hftcore.errors import ConnectionLost
from hftcore.reconnect import Reconnect
from tests.integration.proxy_server import ProxyServer

# A socket that is left to the garbage collector is a leak.
pytestmark = pytest.mark.filterwarnings("error")

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
WAIT_S = 20.0
ADDRESSES = (f"127.0.1.{i}" for i in range(1, 255))


def open_sockets() -> set[str]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(os.readlink(entry))
    return {target for target in found if target.startswith("socket:")}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[Awaitable[Any]], Any]]:
    """Runs a coroutine on either kind of loop, and sees that no socket is left behind."""
    before = open_sockets()
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield lambda awaitable: runner.run(asyncio.wait_for(awaitable, WAIT_S))
    gc.collect()
    assert open_sockets() - before == set()


class Echo:
    """Echoes one connection after the other, on a thread."""

    def __init__(self, family: int = socket.AF_INET, at: Any = ("127.0.0.1", 0)) -> None:
        self.sock = socket.socket(family)
        self.sock.bind(at)
        self.sock.listen()
        self.at = self.sock.getsockname()
        self.peers: list[Any] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self.at[1])

    def _run(self) -> None:
        while True:
            try:
                sock, peer = self.sock.accept()
            except OSError:
                return
            self.peers.append(peer)
            with sock, contextlib.suppress(OSError):
                while data := sock.recv(1000):
                    sock.sendall(data)

    def close(self) -> None:
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self._thread.join(WAIT_S)


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture(scope="module")
def mute() -> Iterator[int]:
    """A port whose queue is full: connecting takes for ever."""
    with socket.socket() as sock, contextlib.ExitStack() as stack:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        for _ in range(4):
            other = stack.enter_context(socket.socket())
            other.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                other.connect(sock.getsockname())
        yield sock.getsockname()[1]


@pytest.fixture(scope="module")
def proxy() -> Iterator[ProxyServer]:
    server = ProxyServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def locked_proxy() -> Iterator[ProxyServer]:
    server = ProxyServer("us er:pass:word")
    yield server
    server.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[str, int]]]:
    """Host names that only these tests know: addresses and ports; one without any is never answered for."""
    known: dict[str, list[tuple[str, int]]] = {}
    original = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        if host not in known:
            return original(host, port, *args, **kwargs)
        if not known[host]:
            time.sleep(2.0)
        return [original(address, at or port, type=socket.SOCK_STREAM)[0] for address, at in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


def options(port: int, **more: Any) -> Request:
    return Request.parse(f"ws://127.0.0.1:{port}/", **more)


async def connect(request: Request) -> socket.socket:
    return await open_socket(request, request.endpoints[0])


def echoes(sock: socket.socket) -> bool:
    with sock:
        sock.settimeout(WAIT_S)
        sock.sendall(b"hello")
        return sock.recv(10) == b"hello"


# ---- TCP ----


def test_the_socket_is_ready_for_the_core(run: Any, echo: Echo) -> None:
    sock = run(connect(options(echo.port)))
    assert sock.getblocking()
    assert not fcntl.fcntl(sock, fcntl.F_GETFL) & os.O_NONBLOCK
    assert fcntl.fcntl(sock, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    assert echoes(sock)


def test_socket_options_are_set_before_connecting(run: Any, echo: Echo) -> None:
    sock = run(
        connect(
            options(
                echo.port,
                nodelay=False,
                quickack=True,
                recv_buffer=60_000,
                send_buffer=70_000,
                user_timeout_ms=1234,
                socket_options=[
                    (socket.SOL_SOCKET, socket.SO_PRIORITY, 5),
                    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
                ],
            )
        )
    )
    with sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 120_000
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 140_000
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1234
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == 5
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        # The window that was announced first is that of the small buffer: set afterwards, it would be larger.
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        assert int.from_bytes(info[64:68], "little") <= 60_000  # tcpi_rcv_ssthresh


def test_an_option_that_is_refused_is_named(run: Any, echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match=r"socket option \(6, 9999\): Protocol not available") as caught:
        run(connect(options(echo.port, socket_options=[(6, 9999, 1)])))
    assert caught.value.errno == errno.ENOPROTOOPT
    set_option = socket.socket.setsockopt

    def deny(sock: socket.socket, level: int, name: int, value: int) -> None:
        if name == _connector.SO_BUSY_POLL:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        set_option(sock, level, name, value)

    monkeypatch.setattr(socket.socket, "setsockopt", deny)
    with pytest.raises(PermissionError, match=r"SO_BUSY_POLL: Operation not permitted .*CAP_NET_ADMIN"):
        run(connect(options(echo.port, busy_poll_us=50)))


def test_a_refused_connection_names_the_endpoint(run: Any, closed_port: int) -> None:
    with pytest.raises(ConnectionRefusedError, match=f"127.0.0.1:{closed_port}: Connection refused"):
        run(connect(options(closed_port)))


def test_one_time_out_for_everything(run: Any, mute: int, names: dict[str, Any]) -> None:
    names["slow.example"] = []
    for url in (f"ws://127.0.0.1:{mute}/?secret", "ws://slow.example/"):
        began = time.monotonic()
        with pytest.raises(ConnectionLost, match=r"ws://[a-z0-9.:]+: over 0.2 s") as caught:
            run(connect(Request.parse(url, connect_timeout_s=0.2)))
        assert caught.value.name == "HFT_E_CONN_CONNECT_TIMEOUT"
        assert 0.15 < time.monotonic() - began < 1.5


def test_the_systems_own_time_out_is_told_as_such(run: Any, mute: int) -> None:
    with pytest.raises(TimeoutError, match=f"127.0.0.1:{mute}: Connection timed out") as caught:
        run(connect(options(mute, user_timeout_ms=100)))
    assert caught.value.errno == errno.ETIMEDOUT


def test_a_name_that_does_not_exist(run: Any) -> None:
    with pytest.raises(ConnectionLost, match=r"no-such-host\.invalid") as caught:
        run(connect(Request.parse("ws://no-such-host.invalid/")))
    assert caught.value.name == "HFT_E_CONN_RESOLVE"


def test_a_name_with_several_addresses(run: Any, echo: Echo, mute: int, names: dict[str, Any]) -> None:
    """Refused ones are passed over at once, a silent one after the delay of RFC 8305."""
    names["several.example"] = [("::1", 1), ("127.0.0.1", mute), ("127.0.0.1", echo.port)]
    began = time.monotonic()
    assert echoes(run(connect(Request.parse("ws://several.example/"))))
    assert 0.2 < time.monotonic() - began < 1.5


def test_all_addresses_refuse(run: Any, closed_port: int, names: dict[str, Any]) -> None:
    names["none.example"] = [("127.0.0.1", closed_port), ("::1", 1)]
    with pytest.raises(ConnectionRefusedError, match=r"none\.example:80"):
        run(connect(Request.parse("ws://none.example/")))


def test_addresses_of_our_own(run: Any, echo: Echo, closed_port: int) -> None:
    assert echoes(run(connect(options(echo.port, local_address="127.0.0.9"))))
    assert echo.peers[-1][0] == "127.0.0.9"
    assert echoes(run(connect(options(echo.port, local_address=f"127.0.0.8:{closed_port}"))))
    assert echo.peers[-1] == ("127.0.0.8", closed_port)
    with pytest.raises(OSError, match=r"192\.0\.2\.1"):
        run(connect(options(echo.port, local_address="192.0.2.1")))


def test_another_address_than_the_urls(run: Any, echo: Echo) -> None:
    assert echoes(run(connect(Request.parse("wss://exchange.invalid/", connect_to=f"127.0.0.1:{echo.port}"))))
    assert echoes(run(connect(Request.parse(f"ws://exchange.invalid:{echo.port}/", connect_to="127.0.0.1"))))


def test_unix_sockets(run: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "e.sock")
    server = Echo(socket.AF_UNIX, path)
    sock = run(connect(Request.parse(f"ws+unix://{path}:/chat", recv_buffer=60_000)))
    assert sock.family == socket.AF_UNIX
    assert sock.getblocking()
    assert echoes(sock)
    server.close()
    with pytest.raises(ConnectionRefusedError, match=path):
        run(connect(Request.parse(f"ws+unix://{path}")))
    with pytest.raises(FileNotFoundError, match="absent"):
        run(connect(Request.parse(f"ws+unix://{tmp_path}/absent")))


@pytest.mark.parametrize("where", ["mute", "proxy", "name", "several"])
def test_a_cancelled_attempt_leaves_nothing(run: Any, where: str, mute: int, names: dict[str, Any]) -> None:
    """The fixture looks for sockets."""
    names["slow.example"] = []
    names["several.example"] = [("127.0.0.1", mute)] * 3
    request = {
        "mute": options(mute),
        "proxy": options(1, proxy=f"http://127.0.0.1:{mute}"),
        "name": Request.parse("ws://slow.example"),
        "several": Request.parse("ws://several.example"),
    }[where]

    async def cancelled() -> None:
        task = asyncio.create_task(connect(request))
        await asyncio.sleep(0.35)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(cancelled())


# ---- the first of several endpoints ----


def test_the_first_to_answer_wins(run: Any, echo: Echo, mute: int, closed_port: int) -> None:
    urls = [f"ws://127.0.0.1:{port}/" for port in (mute, closed_port, echo.port)]
    request = Request.parse(urls, reconnect=Reconnect(race=True))

    async def race() -> None:
        before = asyncio.all_tasks()
        number, sock = await open_first(request, (0, 1, 2))
        assert number == 2
        await asyncio.sleep(0.01)
        assert asyncio.all_tasks() == before  # the others gave up
        assert await asyncio.to_thread(echoes, sock)

    run(race())


def test_several_winners_leave_one_socket(run: Any, echo: Echo) -> None:
    urls = [f"ws://127.0.0.1:{echo.port}/{i}" for i in range(6)]
    request = Request.parse(urls, reconnect=Reconnect(race=True))
    for _ in range(5):
        _, sock = run(open_first(request, range(6)))
        sock.close()


def test_all_endpoints_fail(run: Any, closed_port: int, mute: int) -> None:
    urls = [f"ws://127.0.0.1:{closed_port}/", f"ws://127.0.0.1:{mute}/"]
    request = Request.parse(urls, reconnect=Reconnect(race=True), connect_timeout_s=0.3)
    with pytest.raises(ConnectionLost, match=str(mute)):
        run(open_first(request, (0, 1)))


# ---- proxies ----


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
def test_through_a_proxy(run: Any, echo: Echo, proxy: ProxyServer, scheme: str) -> None:
    sock = run(connect(options(echo.port, proxy=f"{scheme}://127.0.0.1:{proxy.port}", recv_buffer=60_000)))
    assert sock.getpeername()[1] == proxy.port
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 120_000
    assert sock.getblocking()
    assert echoes(sock)


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
def test_a_proxy_that_asks_who_we_are(run: Any, echo: Echo, locked_proxy: ProxyServer, scheme: str) -> None:
    at = f"127.0.0.1:{locked_proxy.port}"
    for credentials in ("", "us%20er:hidden@"):
        with pytest.raises((ConnectionLost, OSError), match=at) as caught:
            run(connect(options(echo.port, proxy=f"{scheme}://{credentials}{at}")))
        assert "hidden" not in str(caught.value)
    # From another address: pproxy remembers whom it let in.
    right = options(echo.port, proxy=f"{scheme}://us%20er:pass%3Aword@{at}", local_address=next(ADDRESSES))
    assert echoes(run(connect(right)))


def test_who_resolves_the_name(run: Any, echo: Echo, proxy: ProxyServer, names: dict[str, Any]) -> None:
    """Only socks5 resolves here; what the others ask for is in the proxy's log."""
    names["here.example"] = [("127.0.0.1", 0)]
    for scheme, asked in (("http", "here.example"), ("socks5h", "here.example"), ("socks5", "127.0.0.1")):
        proxy.asked.clear()
        request = Request.parse(f"ws://here.example:{echo.port}/", proxy=f"{scheme}://127.0.0.1:{proxy.port}")
        assert echoes(run(connect(request)))
        assert f"{asked}:{echo.port}" in " ".join(proxy.asked)


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
def test_a_proxy_that_is_not_there(run: Any, closed_port: int, mute: int, scheme: str) -> None:
    with pytest.raises(ConnectionRefusedError, match=f"127.0.0.1:{closed_port}: Connection refused"):
        run(connect(options(1, proxy=f"{scheme}://127.0.0.1:{closed_port}")))
    with pytest.raises(ConnectionLost, match=r"over 0\.2 s") as caught:
        run(connect(options(1, proxy=f"{scheme}://127.0.0.1:{mute}", connect_timeout_s=0.2)))
    assert caught.value.name == "HFT_E_CONN_CONNECT_TIMEOUT"


def scripted(*pieces: bytes, pause_s: float = 0.0) -> int:
    """A proxy that says just this to one client; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.recv(4096)
            for piece in pieces:
                sock.sendall(piece)
                time.sleep(pause_s)
            if pieces and pieces[0].startswith(b"HTTP/1.1 200"):
                sock.sendall(sock.recv(100))

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


def test_the_answer_of_a_proxy_may_come_in_pieces(run: Any) -> None:
    answer = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 x\r\n\r\n"
    port = scripted(answer[:16], *(answer[i : i + 1] for i in range(16, len(answer))), pause_s=0.001)
    assert echoes(run(connect(options(1, proxy=f"http://127.0.0.1:{port}"))))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407 Proxy Auth"),
        (b"HTTP/1.1 502 Bad Gateway\r\nX: y\r\n\r\n", "502 Bad Gateway"),
        (b"SSH-2.0-x\r\n\r\n", "SSH-2.0"),
        (b"\r\n\r\n", "''"),
        (b"HTTP/1.0 200 OK\r\n\r\nmore", "bytes after"),
        (b"HTTP/1.0 200 OK\r\n\r\n\r\n\r\n", "bytes after"),
        (b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 2000, "too long"),
        (b"HTTP/1.0 200 OK\r\n", "hung up"),
        (b"", "hung up"),
    ],
)
def test_a_proxy_that_does_not_connect(run: Any, answer: bytes, says: str) -> None:
    port = scripted(answer)
    with pytest.raises(ConnectionLost, match=f"127.0.0.1:{port}: .*{says}") as caught:
        run(connect(options(1, proxy=f"http://127.0.0.1:{port}")))
    assert caught.value.name == "HFT_E_CONN_PROXY"


@pytest.mark.parametrize("answer", [b"", b"\x05", b"\x05\xff", b"\x05\x02", b"\x04\x00", b"HTTP/1.1 400\r\n\r\n"])
def test_a_socks_proxy_that_does_not_connect(run: Any, answer: bytes) -> None:
    port = scripted(answer)
    with pytest.raises(ConnectionLost, match=f"127.0.0.1:{port}: ") as caught:
        run(connect(options(1, proxy=f"socks5://127.0.0.1:{port}")))
    assert caught.value.name == "HFT_E_CONN_PROXY"


# ---- the thread ----


class Answer:
    """What a callback was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, socket.socket | None, BaseException | None]] = []
        self.thread: threading.Thread | None = None
        self._came = threading.Event()

    def __call__(self, number: int, sock: socket.socket | None, error: BaseException | None) -> None:
        self.calls.append((number, sock, error))
        self.thread = threading.current_thread()
        self._came.set()

    def wait(self) -> tuple[int, socket.socket | None, BaseException | None]:
        assert self._came.wait(WAIT_S)
        (call,) = self.calls
        return call


def test_one_thread_for_all_jobs(echo: Echo, closed_port: int) -> None:
    connector = Connector()
    answers = [Answer() for _ in range(3)]
    for answer in answers[:2]:
        connector.submit(options(echo.port), (0,), answer)
    connector.submit(options(closed_port), (0,), answers[2])
    for answer in answers[:2]:
        number, sock, error = answer.wait()
        assert number == 0
        assert error is None
        assert sock is not None
        assert sock.getblocking()
        sock.close()
    assert isinstance(answers[2].wait()[2], ConnectionRefusedError)
    (thread,) = {answer.thread for answer in answers}
    assert thread is not None
    assert thread.daemon
    assert thread is not threading.main_thread()


def test_the_thread_takes_no_signals(closed_port: int) -> None:
    answer = Answer()
    Connector().submit(options(closed_port), (0,), answer)
    answer.wait()
    assert answer.thread is not None
    status = Path(f"/proc/self/task/{answer.thread.native_id}/status").read_text()
    blocked = int(status.partition("SigBlk:")[2].split()[0], 16)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        assert blocked >> (number - 1) & 1


def test_a_cancelled_job_is_not_told_of(mute: int, echo: Echo) -> None:
    connector = Connector()
    answer, last = Answer(), Answer()
    job = connector.submit(options(mute), (0,), answer)
    time.sleep(0.1)
    assert job.cancel()
    assert not job.cancel()
    early = Answer()
    assert connector.submit(options(mute), (0,), early).cancel()
    done = connector.submit(options(echo.port), (0,), last)
    _, sock, _ = last.wait()
    assert sock is not None
    sock.close()
    assert not done.cancel()
    assert answer.calls == early.calls == []


def test_a_job_cancelled_too_late_closes_what_it_got(monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    ours, theirs = socket.socketpair()
    came = threading.Event()

    async def open_meanwhile(*_: Any, **__: Any) -> tuple[int, socket.socket]:
        await asyncio.to_thread(came.wait, WAIT_S)
        assert job.cancel()
        return 0, ours

    monkeypatch.setattr(_connector, "open_first", open_meanwhile)
    answer = Answer()
    job = Connector().submit(options(closed_port), (0,), answer)
    came.set()
    with theirs:
        theirs.settimeout(WAIT_S)
        assert theirs.recv(1) == b""
    assert answer.calls == []


def test_a_child_has_a_thread_of_its_own(echo: Echo) -> None:
    connector = Connector()
    first = Answer()
    connector.submit(options(echo.port), (0,), first)
    first.wait()[1].close()  # type: ignore[union-attr]
    child = os.fork()
    if child == 0:
        status = 1
        try:
            second = Answer()
            connector.submit(options(echo.port), (0,), second)
            status = 0 if second.wait()[1] is not None else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
