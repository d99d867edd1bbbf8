"""TLS servers, good and bad, that we did not write: Python's `ssl`, OpenSSL's `s_server`, and plain sockets.

Each has `.port` and `.close()`, and runs in a thread or process of its own. `CASES` is what a client must refuse, by
name: a context manager that gives a `Case`. A test of any face connects to `wss://localhost:{port}/` with the case's
options of a TLSContext and compares what it raises.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import fcntl
import hashlib
import ipaddress
import shutil
import socket
import ssl
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)
WAIT_S = 10.0
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


@dataclass
class Certificate:
    """A certificate with its key, and the one that issued it (None: itself)."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    issuer: Certificate | None = None

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def pin(self) -> str:
        """By `cryptography` and hashlib."""
        spki = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return "sha256/" + base64.b64encode(hashlib.sha256(spki).digest()).decode()

    def key_pem(self, password: bytes = b"") -> bytes:
        hidden: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            hidden = serialization.BestAvailableEncryption(password)
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)

    def chain_pem(self) -> bytes:
        """With those between it and the root."""
        above = self.issuer
        return self.pem + (above.chain_pem() if above is not None and above.issuer is not None else b"")


def issue(
    name: str,
    hosts: tuple[str, ...] = (),
    issuer: Certificate | None = None,
    valid_days: tuple[float, float] = (-1, 7),
    *,
    authority: bool = False,
) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + valid_days[0] * DAY)
        .not_valid_after(now + valid_days[1] * DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Certificate(builder.sign(issuer.key if issuer is not None else key, hashes.SHA256()), key, issuer)


class Place:
    """A root, an authority below it, a good certificate for localhost, and a directory for their files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = issue("Test Root", authority=True)
        self.middle = issue("Test Middle", issuer=self.root, authority=True)
        self.good = issue("localhost", ("localhost",), self.middle)
        self.client = issue("a client", ("client.example",), self.middle)
        self._n = 0

    def file(self, data: bytes) -> Path:
        self._n += 1
        path = self.directory / f"{self._n}.pem"
        path.touch(mode=0o600)
        path.write_bytes(data)
        return path

    def context(self, certificate: Certificate | None = None, *, chain: bool = True) -> ssl.SSLContext:
        """A server's. chain: sends the certificates between it and the root."""
        shown = certificate or self.good
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file(shown.key_pem() + (shown.chain_pem() if chain else shown.pem)))
        return context


# ---- servers ----


def upgrade_response(request: bytes) -> bytes:
    """The 101 to a WebSocket upgrade request."""
    lines = request.decode("latin-1").split("\r\n")
    key = next(line.split(":", 1)[1].strip() for line in lines if line.lower().startswith("sec-websocket-key:"))
    accept = base64.b64encode(hashlib.sha1(key.encode() + MAGIC).digest()).decode()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ).encode()


class SocketServer:
    """Gives each connection to `serve(sock)` in a thread, and closes it afterwards."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(WAIT_S)
            with sock, contextlib.suppress(OSError):
                self._serve(sock)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()


class TLSServer(SocketServer):
    """Python's `ssl`: after the handshake `talk(secure)`. problems: what its side says of each failed handshake."""

    def __init__(self, context: ssl.SSLContext, talk: Callable[[ssl.SSLSocket], None] | None = None) -> None:
        self.problems: list[str] = []
        self.resumed: list[bool | None] = []
        self._context = context
        self._talk = talk
        super().__init__(self._shake)

    def _shake(self, sock: socket.socket) -> None:
        try:
            secure = self._context.wrap_socket(sock, server_side=True)
        except OSError as error:
            self.problems.append(str(error))
            return
        with secure:
            self.resumed.append(secure.session_reused)
            if self._talk is not None:
                self._talk(secure)
            else:
                secure.recv(1)


class OpenSSLServer:
    """`openssl s_server`. Its commands and what is to be sent go to its standard input."""

    def __init__(self, place: Place, *options: str) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("no openssl command")
        key, cert, chain = (place.file(pem) for pem in (place.good.key_pem(), place.good.pem, place.middle.pem))
        with socket.create_server(("127.0.0.1", 0)) as somewhere:
            self.port: int = somewhere.getsockname()[1]
        self.process = subprocess.Popen(
            ["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-cert", cert, "-key", key,
             "-cert_chain", chain, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
        )  # fmt: skip
        self.wait_for(b"ACCEPT")

    def wait_for(self, text: bytes) -> bytes:
        """Its output up to the next line with `text`."""
        assert self.process.stdout is not None
        seen = b""
        for line in self.process.stdout:
            seen += line
            if text in line:
                return seen
        raise AssertionError(f"s_server ended: {seen.decode('latin-1')}")

    def url(self, host: str = "localhost") -> str:
        return f"wss://{host}:{self.port}/"

    def send(self, data: bytes) -> None:
        """Returns when it was read: a command that is read together with other data is no command."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        unread = bytearray(b"....")
        deadline = time.monotonic() + WAIT_S
        while int.from_bytes(unread, sys.byteorder) != 0 and time.monotonic() < deadline:
            time.sleep(0.001)
            fcntl.ioctl(self.process.stdin, termios.FIONREAD, unread)

    def upgrade(self) -> None:
        """Answers the upgrade request that comes."""
        request = self.wait_for(b"GET ")
        while not request.endswith(b"\r\n\r\n"):
            request += self.wait_for(b"\r\n")[-200:]
        self.send(upgrade_response(request[request.rindex(b"GET ") :]))

    def key_update(self) -> None:
        """Sends one that asks for ours."""
        self.send(b"K\n")
        self.wait_for(b"SSL_do_handshake")

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


class OneByteAtATime(SocketServer):
    """A proxy that gives the client each byte of a server in a segment of its own."""

    def __init__(self, port: int) -> None:
        self._port = port
        super().__init__(self._pass_on)

    def _pass_on(self, sock: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as server:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def upwards() -> None:
                with contextlib.suppress(OSError):
                    while data := sock.recv(65536):
                        server.sendall(data)
                with contextlib.suppress(OSError):
                    server.shutdown(socket.SHUT_WR)

            thread = threading.Thread(target=upwards)
            thread.start()
            with contextlib.suppress(OSError):
                while data := server.recv(65536):
                    for i in range(len(data)):
                        sock.sendall(data[i : i + 1])
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            thread.join(WAIT_S)


# ---- what must be refused ----


@dataclass
class Case:
    """A server, and what a client must say of it. options: for TLSContext, besides ca_file."""

    port: int
    name: str
    texts: tuple[str, ...]
    host: str = "localhost"
    options: dict[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def running(server: SocketServer | OpenSSLServer) -> Iterator[int]:
    try:
        yield server.port
    finally:
        server.close()


@contextlib.contextmanager
def presenting(place: Place, certificate: Certificate, name: str, *texts: str, **changes: Any) -> Iterator[Case]:
    chain = changes.pop("chain", True)
    with running(TLSServer(place.context(certificate, chain=chain))) as port:
        yield Case(port, name, texts, **changes)


def wrong_host(place: Place) -> contextlib.AbstractContextManager[Case]:
    certificate = issue("other", ("a.example", "b.example"), place.middle)
    return presenting(place, certificate, "HFT_E_TLS_HOSTNAME", "localhost presented CN=other", "a.example, b.example")


def common_name_only(place: Place) -> contextlib.AbstractContextManager[Case]:
    return presenting(place, issue("localhost", (), place.middle), "HFT_E_TLS_HOSTNAME", "which is for no host at all")


def expired(place: Place) -> contextlib.AbstractContextManager[Case]:
    certificate = issue("localhost", ("localhost",), place.middle, (-3, -2))
    ended = certificate.certificate.not_valid_after_utc
    return presenting(place, certificate, "HFT_E_TLS_EXPIRED", f"which expired {ended:%Y-%m-%d %H:%M} UTC")


def authority_expired(place: Place) -> contextlib.AbstractContextManager[Case]:
    middle = issue("Old Middle", issuer=place.root, valid_days=(-3, -2), authority=True)
    return presenting(
        place, issue("localhost", ("localhost",), middle), "HFT_E_TLS_EXPIRED", "CN=Old Middle, which exp"
    )


def not_yet_valid(place: Place) -> contextlib.AbstractContextManager[Case]:
    certificate = issue("localhost", ("localhost",), place.middle, (2, 3))
    begins = certificate.certificate.not_valid_before_utc
    return presenting(place, certificate, "HFT_E_TLS_NOT_YET_VALID", f"from {begins:%Y-%m-%d %H:%M} UTC", "this clock")


def self_signed(place: Place) -> contextlib.AbstractContextManager[Case]:
    return presenting(place, issue("localhost", ("localhost",)), "HFT_E_TLS_SELF_SIGNED", "CN=localhost", "CA file")


def unknown_authority(place: Place) -> contextlib.AbstractContextManager[Case]:
    stranger = issue("Another Root", authority=True)
    certificate = issue("localhost", ("localhost",), stranger)
    return presenting(place, certificate, "HFT_E_TLS_UNKNOWN_CA", "CN=localhost by CN=Another Root, neither trusted")


def missing_intermediate(place: Place) -> contextlib.AbstractContextManager[Case]:
    return presenting(
        place, place.good, "HFT_E_TLS_UNKNOWN_CA", "by CN=Test Middle", "is an intermediate missing?", chain=False
    )


def wrong_pin(place: Place) -> contextlib.AbstractContextManager[Case]:
    pins = [issue(name).pin for name in ("a", "b")]
    return presenting(place, place.good, "HFT_E_TLS_PIN", place.good.pin, "among the 2 pinned", options={"pins": pins})


@contextlib.contextmanager
def tls_1_1(place: Place) -> Iterator[Case]:
    with running(OpenSSLServer(place, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")) as port:
        yield Case(port, "HFT_E_TLS_VERSION", ("it speaks neither TLS 1.2 nor TLS 1.3",))


@contextlib.contextmanager
def older_than_wanted(place: Place) -> Iterator[Case]:
    context = place.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with running(TLSServer(context)) as port:
        yield Case(port, "HFT_E_TLS_VERSION", ("it does not speak TLS 1.3",), options={"min_version": "1.3"})


@contextlib.contextmanager
def no_cipher_in_common(place: Place) -> Iterator[Case]:
    with running(OpenSSLServer(place, "-tls1_2", "-cipher", "aNULL:@SECLEVEL=0")) as port:
        yield Case(port, "HFT_E_TLS_PROTOCOL", ("handshake_failure (40): no cipher suite or curve in common",))


def demanding(version: ssl.TLSVersion) -> Callable[[Place], contextlib.AbstractContextManager[Case]]:
    @contextlib.contextmanager
    def client_certificate(place: Place) -> Iterator[Case]:
        context = place.context()
        context.minimum_version = context.maximum_version = version
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=place.root.pem.decode())
        with running(TLSServer(context)) as port:
            yield Case(
                port, "HFT_E_TLS_CLIENT_CERT", ("it demands a client certificate, and the TLS context has none",)
            )

    return client_certificate


@contextlib.contextmanager
def alpn_mismatch(place: Place) -> Iterator[Case]:
    with running(OpenSSLServer(place, "-alpn", "h3")) as port:
        yield Case(port, "HFT_E_TLS_ALPN", ("no_application_protocol (120)",))


@contextlib.contextmanager
def plain_http(place: Place) -> Iterator[Case]:
    def answer(sock: socket.socket) -> None:
        sock.recv(4096)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with running(SocketServer(answer)) as port:
        yield Case(port, "HFT_E_TLS_NOT_TLS", ('localhost answers "HTTP/1.1", which is no TLS',))


@contextlib.contextmanager
def cut_in_the_handshake(place: Place) -> Iterator[Case]:
    with running(SocketServer(lambda sock: sock.recv(4096) and None)) as port:
        yield Case(port, "HFT_E_TLS_TRUNCATED", ("without an answer to our ClientHello",))


@contextlib.contextmanager
def cut_without_close_notify(place: Place) -> Iterator[Case]:
    def talk(secure: ssl.SSLSocket) -> None:
        secure.sendall(upgrade_response(secure.recv(4096)))
        secure.shutdown(socket.SHUT_RDWR)  # of TCP alone

    with running(TLSServer(place.context(), talk)) as port:
        yield Case(port, "HFT_E_TLS_TRUNCATED", ("localhost ended the connection; data may be missing",))


@contextlib.contextmanager
def background(server: OpenSSLServer, work: Callable[[], None]) -> Iterator[int]:
    """Works on a server's standard input while it runs; it may end before the work does."""

    def run() -> None:
        with contextlib.suppress(AssertionError, OSError, ValueError):
            work()

    thread = threading.Thread(target=run)
    thread.start()
    with running(server) as port:
        yield port
    thread.join(WAIT_S)


@contextlib.contextmanager
def renegotiation(place: Place) -> Iterator[Case]:
    server = OpenSSLServer(place, "-tls1_2")

    def work() -> None:
        server.upgrade()
        server.send(b"r\n")

    with background(server, work) as port:
        yield Case(port, "HFT_E_TLS_PROTOCOL", ("(40): after it asked for a renegotiation, which is refused",))


@contextlib.contextmanager
def key_update_flood(place: Place) -> Iterator[Case]:
    server = OpenSSLServer(place, "-tls1_3")

    def work() -> None:
        server.upgrade()
        for _ in range(100):
            server.key_update()

    with background(server, work) as port:
        yield Case(port, "HFT_E_TLS_PROTOCOL", ("localhost floods us: over 32 messages (KeyUpdate) without data",))


CASES: dict[str, Callable[[Place], contextlib.AbstractContextManager[Case]]] = {
    "wrong host": wrong_host,
    "common name only": common_name_only,
    "expired": expired,
    "authority expired": authority_expired,
    "not yet valid": not_yet_valid,
    "self-signed": self_signed,
    "unknown authority": unknown_authority,
    "missing intermediate": missing_intermediate,
    "wrong pin": wrong_pin,
    "TLS 1.1": tls_1_1,
    "older than wanted": older_than_wanted,
    "no cipher in common": no_cipher_in_common,
    "client certificate, TLS 1.2": demanding(ssl.TLSVersion.TLSv1_2),
    "client certificate, TLS 1.3": demanding(ssl.TLSVersion.TLSv1_3),
    "ALPN mismatch": alpn_mismatch,
    "plain HTTP": plain_http,
    "cut in the handshake": cut_in_the_handshake,
    "cut without close_notify": cut_without_close_notify,
    "renegotiation": renegotiation,
    "KeyUpdate flood": key_update_flood,
}
