"""Peers that do what no library does: say nothing, talk without answering, break off in the middle of what they say."""

from __future__ import annotations

import socket
import struct
import threading
import time

import pytest

from hftcore.engine import io_uring_error
from hftcore.errors import ConnectionClosed, RemoteProtocolError
from tests.servers.clients import CLIENTS, Client
from tests.servers.raw import Talk, server

PINGS = {"ping_interval_s": 0.1, "ping_timeout_s": 0.3, "close_timeout_s": 0.2}


def say_nothing(_sock: socket.socket, over: threading.Event) -> None:
    over.wait(10)


def talk_on(sock: socket.socket, over: threading.Event) -> None:
    """Messages and pings, but no pong: our side of the connection leads nowhere."""
    while not over.wait(0.02):
        sock.sendall(b"\x82\x01x\x89\x01p")


def send_a_long_message(sock: socket.socket, over: threading.Event) -> None:
    """The pongs stand behind a message that takes much longer than the time-out."""
    size = 200_000
    sock.sendall(b"\x82\x7f" + struct.pack(">Q", size))
    for _ in range(20):
        time.sleep(0.05)
        sock.sendall(bytes(size // 20))
    pings = sock.recv(65536)
    while pings:  # masked, of 8 bytes each
        assert pings[:2] == b"\x89\x88"
        mask, payload, pings = pings[2:6], pings[6:14], pings[14:]
        sock.sendall(b"\x8a\x08" + bytes(a ^ b for a, b in zip(payload, mask * 2, strict=True)))
    sock.sendall(b"\x81\x04done")
    over.wait(0.2)


def receive_to_the_end(client: Client) -> None:
    while True:
        client.recv()


@pytest.fixture(params=["io_uring", "epoll"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "io_uring" and (reason := io_uring_error()):
        pytest.skip(f"io_uring: {reason}")
    return str(request.param)


@pytest.mark.parametrize("face", CLIENTS)
@pytest.mark.parametrize("talk", [say_nothing, talk_on])
def test_no_answer_to_pings(face: str, backend: str, talk: Talk) -> None:
    with server(talk) as url:
        client = CLIENTS[face](url, backend, **PINGS)
        began = time.monotonic()
        with pytest.raises(ConnectionClosed) as caught:
            receive_to_the_end(client)
        assert 0.2 < time.monotonic() - began < 2.0
        assert (caught.value.name, caught.value.close_code) == ("HFT_E_CONN_IDLE_TIMEOUT", 1006)


@pytest.mark.parametrize("face", CLIENTS)
def test_an_answer_behind_a_long_message(face: str, backend: str) -> None:
    with server(send_a_long_message) as url:
        client = CLIENTS[face](url, backend, **PINGS)
        assert client.recv() == bytes(200_000)
        assert client.recv() == "done"


@pytest.mark.parametrize("face", CLIENTS)
def test_what_came_before_a_fault_can_be_answered(face: str, backend: str) -> None:
    """A message, and in the same segment a frame that ends the connection: the answer goes out before the end."""
    received = bytearray()

    def fault(sock: socket.socket, _over: threading.Event) -> None:
        time.sleep(0.2)  # the client waits for it by then
        sock.sendall(b"\x81\x05hello\xf1\x00")
        while data := sock.recv(4096):
            received.extend(data)

    with server(fault) as url:
        client = CLIENTS[face](url, backend, close_timeout_s=0.2)
        with pytest.raises(RemoteProtocolError):
            client.echo()
    frames = [received[:11], received[11:]]
    assert [frame[:2] for frame in frames] == [b"\x81\x85", b"\x88\x82"]
    payloads = [bytes(a ^ b for a, b in zip(frame[6:], frame[2:6] * 2, strict=False)) for frame in frames]
    assert payloads == [b"hello", b"\x03\xea"]
