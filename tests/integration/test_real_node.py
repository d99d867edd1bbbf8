"""A node that others wrote: bcoin in regtest relays real, signed, validated transactions to us (protocol 70015).

It comes from npm into build/, which needs the network once; without npm, network or the start script this is skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

import buildconf
from hftcore import Engine, EngineLimits, WatchTable
from hftcore.events import DepositEvent, PeerEvent
from tests.integration import rig

PACKAGE = "bcoin@1.0.2"
FOLDER = buildconf.ROOT / "build" / "bcoin"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as place:
        port: int = place.getsockname()[1]
        return port


def install() -> None:
    """Its native parts do not build everywhere and are not needed in memory."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("no npm and node")
    with buildconf.builder_of(FOLDER.parent):
        if not (FOLDER / "node_modules" / "bcoin").is_dir():
            install_into(FOLDER)


def install_into(folder: Path) -> None:
    """Leaves nothing behind where it fails."""
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted one left
    folder.mkdir()
    command = ["npm", "install", PACKAGE, "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    except subprocess.TimeoutExpired:
        shutil.rmtree(folder)
        pytest.skip("npm install takes too long")
    if result.returncode != 0:
        shutil.rmtree(folder)
        pytest.skip(f"npm install: {result.stderr.strip()[-200:]}")


class Node:
    """The process and its control port."""

    def __init__(self, program: Path, port: int = 0) -> None:
        self.program = program
        self.port, self.control = port or free_port(), free_port()
        environment = {"PORT": str(self.port), "CONTROL": str(self.control), "NODE_PATH": str(FOLDER / "node_modules")}
        self.process = subprocess.Popen(
            ["node", str(program)], env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("READY"):
                return
        self.close()
        pytest.skip("bcoin does not start: " + "".join(lines)[-300:])

    def ask(self, what: str) -> dict[str, Any]:
        deadline = time.monotonic() + 5
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.control}/{what}", timeout=20) as answer:
                    value: dict[str, Any] = json.load(answer)
                    return value
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)  # it says that it is ready just before it is

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture(scope="module")
def node(shared: Path) -> Iterator[Node]:
    program = shared / "tools" / "bcoin" / "node.js"
    if not program.is_file():
        pytest.skip(f"no {program}")
    install()
    node = Node(program)
    yield node
    node.close()


KINDS = {
    "p2pkh": b"\x76\xa9\x14" + b"\x11" * 20 + b"\x88\xac",
    "p2sh": b"\xa9\x14" + b"\x22" * 20 + b"\x87",
    "p2wpkh": b"\x00\x14" + b"\x33" * 20,
    "p2wsh": b"\x00\x20" + b"\x44" * 32,
    "p2tr": b"\x51\x20" + b"\x55" * 32,
}

Seen = dict[str, tuple[str, int, str, int]]  # txid -> wtxid, satoshi, label, output


def connect(backend: Literal["auto", "epoll"], node: Node) -> Engine:
    watch = WatchTable(64)
    for name, script in KINDS.items():
        watch.add(script, name)
    engine = Engine(network="regtest", watch=watch, backend=backend)
    engine.add_peer("127.0.0.1", node.port)
    engine.start()
    return engine


def read(engine: Engine, n: int) -> Seen:
    seen: Seen = {}
    while len(seen) < n:
        event = rig.wait_for(engine, lambda e: isinstance(e, DepositEvent), 30)
        assert isinstance(event, DepositEvent)
        seen[event.txid] = (event.wtxid, event.amount_sat, event.label, event.output)
    return seen


def test_real_transactions(node: Node) -> None:
    """Both backends at once: the node takes its time to announce."""
    with connect("auto", node) as first, connect("epoll", node) as second:
        for engine in (first, second):
            engine.wait_ready(rig.WAIT_S)
            ready = rig.wait_for(engine, lambda e: isinstance(e, PeerEvent) and e.state == "ready")
            assert isinstance(ready, PeerEvent)
            assert "bcoin" in ready.user_agent
            assert ready.protocol_version == 70015
        sent: Seen = {}
        for i, (name, script) in enumerate(KINDS.items()):
            amount = 100_000_000 + 1111 * i
            answer = node.ask(f"send?spk={script.hex()}&sats={amount}")
            sent[answer["txid"]] = (answer["wtxid"], amount, name, 0)
        for engine in (first, second):
            assert read(engine, len(sent)) == sent
            stats = engine.stats()
            assert (stats.deposits, stats.malformed, stats.checksum_errors, stats.reconnects) == (len(sent), 0, 0, 0)


class Line:
    """A port that leads to the node, and can be cut; it cuts itself when a request is to pass that `cut_at` holds."""

    def __init__(self, to: int, cut_at: set[bytes]) -> None:
        self.to = to
        self.cut_at = cut_at
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.sock.getsockname()[1]
        self.open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.sock.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self.to))
                except OSError:
                    near.close()
                    continue
                self.open += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                for command in [command for command in self.cut_at if command in data]:
                    self.cut_at.discard(command)
                    self.drop()
                sink.sendall(data)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def drop(self) -> None:
        for sock in self.open:
            with contextlib.suppress(OSError):
                rig.reset(sock)
        self.open.clear()

    def close(self) -> None:
        self.drop()
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def send(node: Node, name: str, amount: int) -> Seen:
    answer = node.ask(f"send?spk={KINDS[name].hex()}&sats={amount}")
    return {answer["txid"]: (answer["wtxid"], amount, name, 0)}


def test_nothing_is_lost_that_is_still_announced(node: Node) -> None:
    """Over a mined block, a connection that is cut in the middle of a request, and a restart of the node."""
    cut_at: set[bytes] = set()
    lines = [Line(node.port, cut_at), Line(node.port, cut_at)]
    watch = WatchTable(64)
    for name, script in KINDS.items():
        watch.add(script, name)
    limits = EngineLimits(backoff_min_ms=10, backoff_max_ms=100)
    engine = Engine(network="regtest", watch=watch, limits=limits)
    for line in lines:
        engine.add_peer("127.0.0.1", line.port)
    with contextlib.closing(lines[0]), contextlib.closing(lines[1]), engine:
        engine.wait_ready(rig.WAIT_S)
        node.ask("mine?n=1")
        sent = send(node, "p2tr", 100_000_002)
        assert read(engine, 1) == sent

        cut_at.add(b"getdata")  # whichever is asked first
        sent = send(node, "p2wsh", 100_000_003)
        assert read(engine, 1) == sent
        assert not cut_at
        assert engine.stats().reconnects >= 1
        engine.wait_ready(rig.WAIT_S)

        node.close()
        rig.wait_until(lambda: engine.stats().peers_ready_now == 0)
        again = Node(node.program, node.port)
        with contextlib.closing(again):
            rig.wait_until(lambda: engine.stats().peers_ready_now == 2)
            sent = send(again, "p2sh", 100_000_004)
            assert read(engine, 1) == sent
        stats = engine.stats()
        assert (stats.deposits, stats.malformed, stats.checksum_errors) == (3, 0, 0)
