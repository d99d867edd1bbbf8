"""Random faults through a proxy, on every face and backend; and that proxy and judge would notice."""

from __future__ import annotations

import dataclasses
import secrets
import socket
from collections.abc import Iterator

import pytest

from hftcore.engine import io_uring_error
from hftcore.errors import ConnectionLost, LimitExceeded, RemoteProtocolError, TLSError
from runner.sim.certificates import Authority
from tests.faults.plan import KINDS, Plan, Way, make
from tests.faults.proxy import FarSide, Link
from tests.faults.sessions import Session
from tests.faults.workers import FACES, Worker

SECONDS = 10.0
BACKENDS = ["io_uring", "epoll"]


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_random_faults(backend: str) -> None:
    """No hang, no leak, no message that was not sent, the right exception."""
    if backend == "io_uring" and (reason := io_uring_error()):
        pytest.skip(f"io_uring: {reason}")
    seed = secrets.randbelow(1 << 40)
    print(f"seed {seed}")
    workers = [Worker(face, backend, SECONDS, seed) for face in FACES]
    problems = [problem for worker in workers for problem in worker.join()]
    assert not problems, "\n".join(problems)
    for worker in workers:
        # Every kind came, and each but the harmless one was noticed by someone.
        noticed = {name.partition(": ")[0] for name in worker.latest["outcomes"] if not name.endswith(": complete")}
        assert noticed == set(KINDS) - {"slow"}
        assert worker.latest["outcomes"]["slow: complete"] > 10


# ---- the judge ----


def plan_of(kind: str, secure: bool = False) -> Plan:
    return next(p for p in map(make, range(1000)) if (p.kind, p.secure) == (kind, secure) and len(p.messages) > 3)


def session_of(kind: str, secure: bool = False, **fields: object) -> Session:
    plan = plan_of(kind, secure)
    session = Session(plan, Link(plan, 0), "", received=list(plan.messages))
    session.link.reached = True
    for name, value in fields.items():
        setattr(session, name, value)
    return session


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("secure", [False, True])
def test_a_session_that_went_well_is_no_problem(kind: str, secure: bool) -> None:
    assert not session_of(kind, secure).problem()


def test_what_is_a_problem() -> None:
    messages = plan_of("reset").messages
    lost = ConnectionLost("")
    wrong = {
        "not sent": session_of("reset", received=[*messages[:-1], "?"]),
        "out of order": session_of("reset", received=[messages[1], messages[0]]),
        "not all was received": session_of("slow", error=lost),
        "hung": session_of("reset", received=[], gave_up=True),
        "no error, though": session_of("reset", received=messages[:1]),
        "the wrong exception": session_of("reset", received=[], error=LimitExceeded("")),
    }
    for text, session in wrong.items():
        assert text in session.problem()
    unharmed = session_of("reset", received=[], error=lost)
    unharmed.link.reached = False
    assert "without a fault" in unharmed.problem()


def test_what_a_changed_byte_may_do() -> None:
    """Plain, anything but a wrong class of error. With TLS nobody may be given what was not sent."""
    other: list[str | bytes] = ["something else"]
    assert not session_of("flip", received=other).problem() or "missing" in session_of("flip", received=other).problem()
    assert not session_of("flip", received=other, gave_up=True).problem()
    assert not session_of("flip", received=other, error=RemoteProtocolError("")).problem()
    assert "wrong exception" in session_of("flip", received=[], error=TLSError("")).problem()
    assert "not sent" in session_of("flip", True, received=other, error=TLSError("")).problem()
    assert "wrong exception" in session_of("flip", True, received=[], error=RemoteProtocolError("")).problem()
    assert "hung" in session_of("flip", True, received=[], gave_up=True).problem()


def test_plans_repeat_and_differ() -> None:
    assert make(7) == make(7)
    assert len({make(seed).kind for seed in range(100)}) == len(KINDS)
    assert {make(seed).secure for seed in range(20)} == {False, True}


# ---- the proxy ----


@pytest.fixture(scope="module")
def far_side() -> Iterator[FarSide]:
    with FarSide(Authority().server_context()) as side:
        yield side


REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def exchange(far_side: FarSide, up: Way, down: Way) -> tuple[bytes, str]:
    """What comes back through a proxy of this plan, and how it ended: "open", "end", "reset"."""
    plan = dataclasses.replace(plan_of("slow"), up=up, down=down, server_ping_s=None)
    link, url = far_side.open(plan)
    port = int(url.rpartition(":")[2].strip("/"))
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=0.5) as sock:
        sock.sendall(REQUEST)
        try:
            while data := sock.recv(4096):
                received += data
            ended = "end"
        except TimeoutError:
            ended = "open"
        except ConnectionResetError:
            ended = "reset"
    far_side.close(link)
    return received, ended


def test_bytes_pass_in_any_pieces(far_side: FarSide) -> None:
    whole, ended = exchange(far_side, Way(), Way())
    assert whole.startswith(b"HTTP/1.1 101 ")
    assert ended == "open"
    pieces, _ = exchange(far_side, Way(1, 0.0002), Way(3, 0.0, pause=(20, 0.05)))
    assert len(pieces) == len(whole)
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in pieces


def test_a_byte_is_changed(far_side: FarSide) -> None:
    received, _ = exchange(far_side, Way(), Way(5, flip={0: 1, 9: 2}))
    assert received.startswith(b"ITTP/1.1 301 ")
    assert exchange(far_side, Way(flip={0: 1}), Way())[0] != received


@pytest.mark.parametrize(("how", "ended"), [("reset", "reset"), ("close", "end"), ("half", "end"), ("stall", "open")])
def test_ends(far_side: FarSide, how: str, ended: str) -> None:
    received, seen = exchange(far_side, Way(), Way(7, end=how, end_at=30))
    assert seen == ended
    assert len(received) == 30 or ended == "reset"  # what has arrived may be lost with a reset
