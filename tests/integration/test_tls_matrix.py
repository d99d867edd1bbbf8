"""TLS connections of a Reactor to servers that we did not write: which are refused, with what words, and which not."""

from __future__ import annotations

import contextlib
import resource
import socket
import ssl
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from hftcore import TLSContext
from hftcore.reactor import Connection, Handler, Message, Reactor
from tests import tls_servers
from tests.tls_servers import OneByteAtATime, OpenSSLServer, Place, TLSServer, issue, running, upgrade_response


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("tls"))


class Notes(Handler):
    """What happened to a connection; `quota` messages are enough."""

    def __init__(self, quota: int = 0) -> None:
        self.quota = quota
        self.opened = 0
        self.messages: list[bytes] = []
        self.errors: list[Exception | None] = []

    def on_open(self, connection: Connection) -> None:
        self.opened += 1

    def on_message(self, connection: Connection, message: Message) -> None:
        self.messages.append(message.data)
        if len(self.messages) == self.quota:
            connection.close()

    def on_close(self, connection: Connection, error: Exception | None) -> None:
        self.errors.append(error)


def meet(backend: Any, port: int, tls: TLSContext, quota: int = 0, host: str = "localhost") -> Notes:
    """One connection, until it is over."""
    notes = Notes(quota)
    deadline = time.monotonic() + tls_servers.WAIT_S
    with Reactor(backend=backend) as reactor:
        sock = socket.create_connection(("127.0.0.1", port))
        reactor.add(sock, f"wss://{host}:{port}/", notes, tls=tls, close_timeout_s=0.3)
        while not notes.errors and time.monotonic() < deadline:
            reactor.poll(0.1)
    return notes


def trusting(place: Place, **options: Any) -> TLSContext:
    return TLSContext(ca_data=place.root.pem, **options)


@pytest.mark.parametrize("name", tls_servers.CASES)
def test_refused(place: Place, backend: str, name: str) -> None:
    with tls_servers.CASES[name](place) as case:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        notes = meet(backend, case.port, trusting(place, **case.options), host=case.host)
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert len(notes.errors) == 1
    error = notes.errors[0]
    assert getattr(error, "name", None) == case.name, error
    for text in case.texts:
        assert text in str(error)
    assert grown_kib < 16384


def greet(secure: ssl.SSLSocket) -> None:
    """Upgrades, says one word, and takes part in closing."""
    secure.sendall(upgrade_response(secure.recv(4096)) + b"\x81\x05hello")
    with contextlib.suppress(OSError):
        if secure.recv(4096):
            secure.sendall(b"\x88\x02\x03\xe8")
            secure.unwrap()


@pytest.mark.parametrize("which", ["server", "intermediate", "root"])
def test_pins_that_match(place: Place, backend: str, which: str) -> None:
    pin = {"server": place.good, "intermediate": place.middle, "root": place.root}[which].pin
    with running(TLSServer(place.context(), greet)) as port:
        notes = meet(backend, port, trusting(place, pins=[issue("spare").pin, pin]), quota=1)
    assert (notes.messages, notes.errors) == ([b"hello"], [None])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("password", [b"", b"open sesame"], ids=["open key", "locked key"])
def test_client_certificate(place: Place, backend: str, version: ssl.TLSVersion, password: bytes) -> None:
    shown: list[Any] = []

    def talk(secure: ssl.SSLSocket) -> None:
        shown.append(secure.getpeercert(binary_form=True))
        greet(secure)

    context = place.context()
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=place.root.pem.decode())
    tls = trusting(
        place,
        certificate=place.file(place.client.chain_pem()),
        key=place.file(place.client.key_pem(password)),
        password=password or None,
    )
    with running(TLSServer(context, talk)) as port:
        notes = meet(backend, port, tls, quota=1)
    assert (notes.messages, notes.errors) == ([b"hello"], [None])
    assert shown == [ssl.PEM_cert_to_DER_cert(place.client.pem.decode())]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_another_connection_resumes(place: Place, backend: str, version: ssl.TLSVersion) -> None:
    """A context that is shared keeps the session; one that is not asked to does not."""
    context = place.context()
    context.minimum_version = context.maximum_version = version
    server = TLSServer(context, greet)
    with running(server) as port:
        for keep in (True, False):
            tls = trusting(place, resumption=keep)
            for _ in range(2):
                assert meet(backend, port, tls, quota=1).errors == [None]
    assert server.resumed == [False, True, False, False]


def test_records_split_at_every_byte(place: Place, backend: str) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = place.context()
        context.minimum_version = context.maximum_version = version
        with running(TLSServer(context, greet)) as port, running(OneByteAtATime(port)) as split:
            notes = meet(backend, split, trusting(place), quota=1)
        assert (notes.messages, notes.errors) == ([b"hello"], [None])


def test_key_updates_of_a_server(place: Place, backend: str) -> None:
    """Some are no flood, and what is said under the new keys arrives."""
    server = OpenSSLServer(place, "-tls1_3")

    def work() -> None:
        server.upgrade()
        for word in (b"one", b"two"):
            for _ in range(3):
                server.key_update()
            server.send(b"\x81\x03" + word)

    with tls_servers.background(server, work) as port:
        notes = meet(backend, port, trusting(place), quota=2)
    assert notes.messages == [b"one", b"two"]


def test_key_log(place: Place, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written only when asked for by the argument; OpenSSL's server logs the same secrets."""
    ours, theirs, unasked = tmp_path / "ours", tmp_path / "theirs", tmp_path / "unasked"
    monkeypatch.setenv("SSLKEYLOGFILE", str(unasked))
    context = place.context()
    context.keylog_filename = str(theirs)
    with running(TLSServer(context, greet)) as port:
        assert meet(backend, port, trusting(place, keylog_file=ours), quota=1).errors == [None]
        assert meet(backend, port, trusting(place), quota=1).errors == [None]
    lines = set(ours.read_text().splitlines())
    assert len(lines) >= 4
    assert lines <= {line for line in theirs.read_text().splitlines() if not line.startswith("#")}
    assert stat.S_IMODE(ours.stat().st_mode) == 0o600
    assert not unasked.exists()
