"""Many peers, and one that floods: what following them costs the reactor, and what honest ones feel of a flood.

The engine runs in this process, in sleep mode, the peers in one of their own. CPU time is the reactor thread's, from
/proc. Peers announce at random times: in batches every quarter of a second on average (Bitcoin Core: 2 to 5 seconds, so
bigger ones), or each transaction by itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import multiprocessing
import random
import selectors
import socket
import struct
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

from benchmarks.samples import Comparison, Outcome, Progress, Side
from hftcore import Engine
from hftcore.bitcoin import NETWORKS

MAGIC = NETWORKS["regtest"].magic
MSG_WTX = 5
NUMBERS = (1, 10, 100)
TOTAL_PER_S = 2000  # announcements of all peers together


def message(command: str, payload: bytes) -> bytes:
    checksum = hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    return MAGIC + command.encode().ljust(12, b"\0") + struct.pack("<I", len(payload)) + checksum + payload


VERSION = message(
    "version",
    struct.pack("<iQq", 70016, 9, 1_700_000_000)
    + bytes(52)
    + b"benchben"
    + b"\x07/bench/"
    + struct.pack("<i?", 1, True),
)
HANDSHAKE = VERSION + message("wtxidrelay", b"") + message("sendaddrv2", b"") + message("verack", b"")


def transaction(number: int) -> tuple[bytes, bytes]:
    """A transaction of a median one's size (222 bytes), and its wtxid."""
    txin = struct.pack("<QQQQ", number, 1, 2, 3) + bytes(4) + b"\0" + b"\xfd\xff\xff\xff"
    out = struct.pack("<q", 50_000) + b"\x16\x00\x14" + number.to_bytes(20)
    witness = b"\x02\x47" + bytes(71) + b"\x21" + bytes(33)
    raw = b"\2\0\0\0\0\1\1" + txin + b"\x02" + out * 2 + witness + bytes(4)
    return raw, hashlib.sha256(hashlib.sha256(raw).digest()).digest()


class Peer:
    """One accepted connection: answers, and announces what it is told to."""

    def __init__(self, sock: socket.socket, known: dict[bytes, bytes]) -> None:
        self.sock = sock
        self.known = known  # wtxid -> message
        self.buffer = b""
        self.pongs = 0
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self) -> None:
        self.buffer += self.sock.recv(65536)
        while len(self.buffer) >= 24:
            size = 24 + struct.unpack_from("<I", self.buffer, 16)[0]
            if len(self.buffer) < size:
                return
            command, payload = self.buffer[4:16].rstrip(b"\0"), self.buffer[24:size]
            self.buffer = self.buffer[size:]
            if command == b"version":
                self.sock.sendall(HANDSHAKE)
            elif command == b"ping":
                self.sock.sendall(message("pong", payload))
            elif command == b"pong":
                self.pongs += 1
            elif command == b"getdata":
                start = 3 if payload[0] == 0xFD else 1
                wanted = [payload[at + 4 : at + 36] for at in range(start, len(payload), 36)]
                self.sock.sendall(b"".join(self.known[wtxid] for wtxid in wanted if wtxid in self.known))


def inv(hashes: Sequence[bytes]) -> bytes:
    n = len(hashes)
    count = bytes([n]) if n < 0xFD else b"\xfd" + struct.pack("<H", n)
    return message("inv", count + b"".join(struct.pack("<I", MSG_WTX) + wtxid for wtxid in hashes))


def announce(peers: list[Peer], selector: selectors.BaseSelector, shared: bool, pause_s: float, seconds: float) -> None:
    """TOTAL_PER_S announcements a second for so long, each peer's at random times with this mean pause (Poisson).

    shared: every peer announces the same transactions; else each its own.
    """
    rng = random.Random()
    per_peer = TOTAL_PER_S / len(peers)
    began = time.monotonic()
    known = peers[0].known
    order: list[bytes] = []  # shared: all transactions so far; each peer has its place in it
    place = [0] * len(peers)
    owed = [0.0] * len(peers)
    due = [(began + rng.expovariate(1 / pause_s), i) for i in range(len(peers))]
    heapq.heapify(due)
    last = [began] * len(peers)

    def new() -> bytes:
        raw, wtxid = transaction(rng.getrandbits(60))
        known[wtxid] = message("tx", raw)
        return wtxid

    while (now := time.monotonic()) < began + seconds:
        while due[0][0] <= now:
            at, i = due[0]
            heapq.heapreplace(due, (at + rng.expovariate(1 / pause_s), i))
            if shared:
                order += [new() for _ in range(int((now - began) * per_peer) - len(order))]
                news, place[i] = order[place[i] :], len(order)
            else:
                owed[i] += (now - last[i]) * per_peer
                news = [new() for _ in range(int(owed[i]))]
                owed[i] -= len(news)
            last[i] = now
            if news:
                peers[i].sock.sendall(inv(news))
        for key, _ in selector.select(max(0.0, min(0.01, due[0][0] - now))):
            key.data.read()


def flood(peer: Peer, until: threading.Event) -> None:
    noise = inv([hashlib.sha256(b"%d" % i).digest() for i in range(50_000)])
    with contextlib.suppress(OSError):
        while not until.is_set():
            peer.sock.sendall(noise)


def drain(peer: Peer, until: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while not until.is_set():
            peer.sock.recv(65536)


def round_trips(peer: Peer, n: int) -> list[int]:
    """Nanoseconds from an inv to the request for what it announces."""
    samples = []
    for _ in range(n):
        raw, wtxid = transaction(random.getrandbits(60))
        peer.known[wtxid] = message("tx", raw)
        announcement = inv([wtxid])
        began = time.perf_counter_ns()
        peer.sock.sendall(announcement)
        data = peer.sock.recv(65536)
        samples.append(time.perf_counter_ns() - began)
        if data[4:11] == b"getdata":
            peer.sock.sendall(peer.known[wtxid])
        time.sleep(0.001)
    return samples


def play(pipe: Connection, n: int) -> None:
    """The peers' process: commands come through the pipe."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    pipe.send(listener.getsockname()[1])
    known: dict[bytes, bytes] = {}
    selector = selectors.DefaultSelector()
    peers: list[Peer] = []
    for _ in range(n):
        peers.append(Peer(listener.accept()[0], known))
        selector.register(peers[-1].sock, selectors.EVENT_READ, peers[-1])
    while True:
        while not pipe.poll(0.01):
            for key, _ in selector.select(0):
                key.data.read()
        command = pipe.recv()
        if command[0] == "announce":
            pipe.send(announce(peers, selector, *command[1:]))
        elif command[0] == "round trips":
            flooding, n_samples = command[1:]
            until = threading.Event()
            threads = [threading.Thread(target=work, args=(peers[1], until)) for work in (flood, drain) if flooding]
            for thread in threads:
                thread.start()
            time.sleep(0.3 if flooding else 0.05)
            pipe.send(round_trips(peers[0], n_samples))
            until.set()
            if flooding:
                return  # what is left of the flood is nobody's
        else:
            return


class Stage:
    """An engine in sleep mode and n peers in a process of their own, all ready."""

    def __init__(self, n: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=play, args=(theirs, n), daemon=True)
        self.process.start()
        port = self.pipe.recv()
        self.engine = Engine(network="regtest")
        for _ in range(n):
            self.engine.add_peer("127.0.0.1", port)

    def __enter__(self) -> Stage:
        self.engine.start()
        self.engine.wait_ready(30)
        return self

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(OSError):
            self.pipe.send(("end",))
        self.engine.stop()
        self.process.join(5)
        self.process.kill()

    def ask(self, *command: object) -> object:
        self.pipe.send(command)
        return self.pipe.recv()


def reactor_cpu_ns() -> int:
    """CPU time of the reactor's thread."""
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "hft-reactor"]
    with open(f"/proc/self/task/{thread.native_id}/schedstat") as times:
        return int(times.read().split()[0])


def follow(n: int, shared: bool, pause_s: float, seconds: float, blocks: int) -> tuple[list[float], list[float], float]:
    """CPU ns of each announcement, share of a core in percent, and transactions a second."""
    each, share = [], []
    with Stage(n) as stage:
        for _ in range(blocks):
            before, began = reactor_cpu_ns(), time.monotonic()
            announced = -sum(peer.announced for peer in stage.engine.peers())
            stage.ask("announce", shared, pause_s, seconds)
            cpu, took = reactor_cpu_ns() - before, time.monotonic() - began
            time.sleep(0.3)
            announced += sum(peer.announced for peer in stage.engine.peers())
            each.append(cpu / max(1, announced))
            share.append(100 * cpu / 1e9 / took)
        rate = stage.engine.stats().transactions / (seconds * blocks)
    return each, share, rate


WAYS = {
    "the same, in batches": (True, 0.25),
    "its own, in batches": (False, 0.25),
    "its own, one by one": (False, 0.0),
}


def run_follow(quick: bool, progress: Progress) -> Outcome:
    """The curve over numbers of peers, for several ways to announce 2,000 times a second."""
    seconds, blocks = (0.5, 1) if quick else (5.0, 3)
    sides: dict[int, Side] = {}
    rows = []
    for i, (way, (shared, pause_s)) in enumerate(WAYS.items()):
        for n in NUMBERS:
            each, share, rate = follow(n, shared, pause_s or n / TOTAL_PER_S, seconds, blocks)
            ns = sorted(each)[len(each) // 2]
            rows.append([str(n), way, f"{rate:,.0f}", f"{ns:,.0f}", f"{sorted(share)[len(share) // 2]:.2f} %"])
            if not pause_s:
                sides[n] = Side(f"{n} peer{'s' * (n > 1)}, 2,000 transactions a second one by one", each)
        progress((i + 1) / len(WAYS))
    title = f"{TOTAL_PER_S:,} announcements a second in total, reactor blocking"
    columns = ["peers", "each announces", "transactions/s", "ns each", "of one core"]
    return Outcome([Comparison("peers_follow", sides[100], sides[1])], [(title, columns, rows)])


def run_flood(quick: bool, progress: Progress) -> Outcome:
    """An honest peer's round trip from inv to getdata, while another sends announcements as fast as it can."""
    n_samples, blocks = (50, 1) if quick else (400, 5)
    ours, quiet = Side("while another peer floods"), Side("alone with the engine")
    for block in range(blocks):
        for side in (quiet, ours):
            with Stage(2) as stage:
                side.add(map(float, stage.ask("round trips", side is ours, n_samples)))  # type: ignore[call-overload]
        progress((block + 1) / blocks)
    return Outcome([Comparison("peers_flood", ours, quiet)])


def run(names: Sequence[str], quick: bool, progress: Progress) -> dict[str, Outcome]:
    """peers_follow: CPU of the reactor for each announcement; peers_flood: latency of honest peers."""
    return {name: {"peers_follow": run_follow, "peers_flood": run_flood}[name](quick, progress) for name in names}
