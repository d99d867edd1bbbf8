"""Which Bitcoin nodes to be connected to: found, remembered, judged, and replaced where others serve better.

The control plane of the engine's peers, in a thread of its own. The sockets are the reactor's: it asks whom to dial,
and tells what became of it. A PeerManager is handed to ``Engine.manage`` before the start.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import queue
import random
import signal
import socket
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from hftcore._peer_store import NetworkGroups, PeerStore, StoredPeer
from hftcore.addresses import Network
from hftcore.endpoints import parse_endpoint
from hftcore.errors import ConfigError

__all__ = [
    "NetworkGroups",
    "PeerInfo",
    "PeerManager",
    "PeerStore",
    "StoredPeer",
    "ask_seeds",
    "parse_endpoint",
    "to_replace",
]

log = logging.getLogger("hftcore.peers")

TARGET_MAX = 125
TURN_S = 0.25  # the manager looks at its peers this often
SEEDS_AGAIN_S = 600
SAVE_S = 60
SHORT_NS = 60 * 10**9  # a session that ended sooner was no success
REPLACED_S = 3600  # a peer that was replaced is left alone for so long
BANNED_S = 86_400  # and one that broke the protocol
TRANSACTIONS_MIN = 50  # fewer say nothing about a peer
_PROTOCOL_ERRORS = range(-16999, -15999)  # the block of HFT_E_BTC_*
_REPLACED = -21008  # HFT_E_CONN_REPLACED


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerInfo:
    """One of the engine's peers, in its present session, or in its last one where there is none now."""

    peer: int
    address: str
    ip: str
    role: Literal["fixed", "managed", "inbound"]
    state: Literal["idle", "connecting", "ready"]
    session: int = 0
    user_agent: str = ""
    protocol_version: int = 0
    services: int = 0
    start_height: int = 0
    wtxid_relay: bool = False
    fee_filter: int = 0
    ready_ns: int = 0
    ping_ns: int = 0
    ping_min_ns: int = 0
    transactions: int = 0
    announced: int = 0
    first: int = 0
    late: int = 0
    late_ms: int = 0
    merit: int = 0
    served: int = 0
    unanswered: int = 0
    in_flight: int = 0
    addresses: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    code: int = 0

    @property
    def score(self) -> float:
        """What it is worth, 0 to 100: 100 = the first with every transaction, answers everything, no round trip.

        Each transaction that arrived during the session, from whomever, counts 1 if this peer announced it first,
        1 / (1 + seconds late) if later, and 0 if never. The mean of that, times the share of requests it answered,
        divided by 1 + the best round trip in seconds.
        """
        if not self.transactions:
            return 0.0
        mean = min(1.0, self.merit / 1000 / self.transactions)
        answered = (self.served + 1) / (self.served + self.unanswered + 1)
        return 100 * mean * answered / (1 + self.ping_min_ns / 1e9)


def to_replace(peers: Sequence[PeerInfo], *, trial_s: float) -> list[PeerInfo]:
    """Those of the manager's peers to leave for others: the worst, at most one in eight (at least one) at a time.

    Judged is who was ready for trial_s seconds while TRANSACTIONS_MIN transactions arrived. Useless is a score below
    half of the median of those judged. The one that was first most often stays in any case.
    """
    ready = [peer for peer in peers if peer.role == "managed" and peer.state == "ready"]
    judged = [p for p in ready if p.ready_ns >= trial_s * 1e9 and p.transactions >= TRANSACTIONS_MIN]
    if len(judged) < 2:
        return []
    bar = statistics.median(peer.score for peer in judged) / 2
    best = max(judged, key=lambda peer: peer.first)
    worst = sorted((peer for peer in judged if peer.score < bar and peer is not best), key=lambda peer: peer.score)
    return worst[: max(1, len(ready) // 8)]


def ask_seeds(
    network: Network, *, timeout_s: float = 10.0, resolve: Callable[..., Sequence[Any]] = socket.getaddrinfo
) -> list[str]:
    """The addresses that a network's DNS seeds name, each once; seeds that take longer than timeout_s are left out."""
    if not network.dns_seeds:
        return []
    answers: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

    def ask(seed: str) -> None:
        hosts: list[str] = []
        with contextlib.suppress(Exception):
            hosts = [str(info[4][0]) for info in resolve(seed, network.default_port, type=socket.SOCK_STREAM)]
        answers.put(hosts)

    for seed in network.dns_seeds:  # not a pool: the end of the program would wait for a resolver that is mute
        threading.Thread(target=ask, args=(seed,), name="hft-seed", daemon=True).start()
    found: dict[str, None] = {}
    deadline = time.monotonic() + timeout_s
    with contextlib.suppress(queue.Empty):
        for _ in network.dns_seeds:
            found.update(dict.fromkeys(answers.get(timeout=max(0.0, deadline - time.monotonic()))))
    return list(found)


class Control(Protocol):
    """What a manager needs of an engine."""

    def peers(self) -> list[PeerInfo]: ...
    def _connect_peer(self, slot: int, address: tuple[int, bytes, int, int], group: int) -> None: ...
    def _leave_peer(self, slot: int, session: int) -> None: ...
    def _take_nodes(self) -> list[tuple[int, bytes, int, int, int, int]]: ...


@dataclass(slots=True)
class _Place:
    """One of the manager's connections: whom it was given last, and what has been learnt of that."""

    host: str
    port: int
    session: int  # the reactor's number for it
    known: bool = False  # its handshake was seen
    ping_ns: int = 0
    wins: int = 0


class PeerManager:
    """Keeps an engine connected to `target` nodes, all in different network groups, and to the better ones.

    target: connections in all, 1 to 125; those of ``Engine.add_peer`` count, and are never replaced.
    store: file of known addresses; None keeps them in memory. seeds: ask the network's DNS seeds when too few are
    known. nodes: addresses (host, port) to begin with; a port of 0 is the network's own. asn_file: see NetworkGroups.
    listen: (address, port) to accept peers at, at most max_inbound; port 0 = any.
    rotate_s: each so many seconds the worst peers are left, by to_replace(trial_s). dial_s: least time between two
    attempts to connect. resolve: instead of socket.getaddrinfo.
    Raises ConfigError.
    """

    def __init__(
        self,
        *,
        target: int = 16,
        store: Path | None = None,
        seeds: bool = True,
        nodes: Sequence[tuple[str, int]] = (),
        asn_file: Path | None = None,
        listen: tuple[str, int] | None = None,
        max_inbound: int = 16,
        rotate_s: float = 300.0,
        trial_s: float = 600.0,
        dial_s: float = 0.25,
        resolve: Callable[..., Sequence[Any]] = socket.getaddrinfo,
    ) -> None:
        if not 1 <= target <= TARGET_MAX:
            raise ConfigError(f"target {target}: 1 to {TARGET_MAX} peers")
        if not 1 <= max_inbound <= TARGET_MAX:
            raise ConfigError(f"max_inbound {max_inbound}: 1 to {TARGET_MAX} peers")
        self.target = target
        self.max_inbound = max_inbound if listen is not None else 0
        self.listening: tuple[str, int] | None = None  # once started
        self.groups = NetworkGroups(asn_file)
        self._store_path = store
        self._seeds = seeds
        self._nodes = nodes
        self._listen = listen
        self._rotate_s, self._trial_s, self._dial_s = rotate_s, trial_s, dial_s
        self._resolve = resolve
        self._wanted: dict[int, None] = {}  # slots that the reactor asks an address for, in the order of asking
        self._places: dict[int, _Place] = {}
        self._wake = threading.Event()
        self._ending = False
        self._thread: threading.Thread | None = None
        self._seeding: threading.Thread | None = None
        self._control: Control | None = None
        now = time.monotonic()
        self._next_dial = self._next_save = self._next_rotation = now
        self._seeds_asked_at: float | None = None
        self._seeded: list[str] = []

    # ---- what the engine calls ----

    def attach(self, control: Control, network: Network) -> None:
        """By ``Engine.manage``. Raises ConfigError where no peer could ever be found."""
        if self._control is not None:
            raise ConfigError("a PeerManager belongs to one engine")
        self.network = network
        self.store = PeerStore(self._store_path, network.name, group_of=self.groups.of)
        for host, port in self._nodes:
            try:
                self.store.add(str(ipaddress.ip_address(host)), port or network.default_port)
            except ValueError:
                raise ConfigError(f"node {host!r}: an IPv4 or IPv6 address") from None
        if not len(self.store) and not (self._seeds and network.dns_seeds) and self._listen is None:
            why = "has no DNS seeds" if not network.dns_seeds else "has no known nodes, and its seeds are not asked"
            raise ConfigError(f"{network.name} {why}; name a node with --peer HOST:PORT")
        self._control = control

    def outbound(self, fixed: int) -> int:
        """How many connections are the manager's, beside so many fixed ones."""
        return max(0, self.target - fixed)

    def open_listener(self) -> socket.socket | None:
        """The socket for peers that dial in. Raises OSError."""
        if self._listen is None:
            return None
        host, port = self._listen
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.listening = listener.getsockname()[:2]
        return listener

    def want(self, slot: int) -> None:
        """The reactor asks whom to dial in that slot."""
        self._wanted[slot] = None
        self._wake.set()

    def start(self) -> None:
        """Starts the thread."""
        self._next_rotation = time.monotonic() + self._rotate_s
        self._next_save = time.monotonic() + SAVE_S
        self._thread = threading.Thread(target=self._loop, name="hft-peers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and saves the store. Idempotent; a store that cannot be written is a warning in the log."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._ending = True
        self._wake.set()
        if thread is not threading.current_thread():
            thread.join()
        with contextlib.suppress(Exception):
            self._look()
        self._save()

    # ---- its own thread ----

    def _loop(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while not self._ending:
            try:
                self.turn()
            except Exception:
                log.exception("peer manager")
            self._wake.wait(TURN_S)
            self._wake.clear()

    def turn(self) -> None:
        """Looks at all peers once, and does what is due."""
        now = time.monotonic()
        peers = self._look()
        self._learn_addresses()
        self._dial(peers, now)
        if now >= self._next_rotation:
            self._next_rotation = now + self._rotate_s
            self._rotate(peers)
        if now >= self._next_save:
            self._next_save = now + SAVE_S
            self._save()

    def _save(self) -> None:
        if not self.store.dirty:
            return
        try:
            self.store.save()
        except OSError as error:
            log.warning("peer store %s: %s", self.store.path, error)

    @property
    def _engine(self) -> Control:
        assert self._control is not None
        return self._control

    def _look(self) -> list[PeerInfo]:
        """Tells the store what became of each session."""
        peers = self._engine.peers()
        for slot, place in list(self._places.items()):
            peer = peers[slot]
            if peer.session != place.session:
                continue  # not begun yet
            self.store.on_wins(place.host, place.port, peer.first - place.wins)
            place.wins = peer.first
            if peer.state == "ready" and (not place.known or peer.ping_min_ns != place.ping_ns):
                place.known, place.ping_ns = True, peer.ping_min_ns
                self.store.on_success(place.host, place.port, ping_ns=place.ping_ns, services=peer.services)
            elif peer.state == "idle":
                self._on_end(peer, place)
                del self._places[slot]
        return peers

    def _on_end(self, peer: PeerInfo, place: _Place) -> None:
        if peer.code == _REPLACED:
            self.store.leave_alone(place.host, place.port, REPLACED_S)
        elif peer.code in _PROTOCOL_ERRORS or peer.ready_ns < SHORT_NS:
            self.store.on_failure(place.host, place.port)
            if peer.code in _PROTOCOL_ERRORS:
                self.store.leave_alone(place.host, place.port, BANNED_S)

    def _learn_addresses(self) -> None:
        found, self._seeded = self._seeded, []
        for host in found:
            with contextlib.suppress(ValueError):  # a link-local address with its scope
                ip = ipaddress.ip_address(host)
                if self._is_public(ip):  # a resolver that filters answers with its own, or with 0.0.0.0
                    self.store.add(str(ip), self.network.default_port, seen=int(time.time()))
        for _family, packed, port, services, seen, _peer in self._engine._take_nodes():
            ip = ipaddress.ip_address(packed)
            if self._is_public(ip):
                self.store.add(str(ip), port, services=services, seen=seen)

    def _is_public(self, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        """Whether a stranger may send us there; on regtest all nodes are on this machine."""
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
            return False
        local = ip.is_multicast or ip.is_reserved or (ip.version == 6 and ip.is_site_local)
        return self.network.name == "regtest" or (ip.is_global and not local)

    # ---- connecting ----

    def _taken_groups(self, peers: Sequence[PeerInfo]) -> set[int]:
        """Groups that a peer of ours is in, or may be soon."""
        hosts = {peer.ip for peer in peers if peer.role != "inbound" and peer.state != "idle" and peer.ip}
        hosts |= {place.host for place in self._places.values()}
        for peer in peers:
            if peer.role == "fixed":  # it will be there, even if it is not yet
                with contextlib.suppress(ValueError):  # a name: its address is known once it was resolved
                    hosts.add(str(ipaddress.ip_address(parse_endpoint(peer.address)[0])))
        return {self.groups.of(host) for host in hosts}

    def _dial(self, peers: Sequence[PeerInfo], now: float) -> None:
        for slot in [slot for slot in list(self._wanted) if slot not in self._places]:
            if now < self._next_dial:
                return
            choice = self.store.choose(self._taken_groups(peers))
            if choice is None:
                self._want_seeds(now)
                return
            self._next_dial = now + self._dial_s
            del self._wanted[slot]
            self._places[slot] = _Place(choice.host, choice.port, peers[slot].session + 1)
            self.store.on_try(choice.host, choice.port)
            packed = ipaddress.ip_address(choice.host).packed
            family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
            self._engine._connect_peer(slot, (int(family), packed, 0, choice.port), self.groups.of(choice.host))
        if self._wanted and len(self.store.usable()) < self.target:
            self._want_seeds(now)

    def _want_seeds(self, now: float) -> None:
        """Asks the DNS seeds, in a thread of its own, unless that was done not long ago."""
        if not self._seeds or not self.network.dns_seeds or self._seeding is not None:
            return
        if self._seeds_asked_at is not None and now < self._seeds_asked_at + SEEDS_AGAIN_S:
            return
        self._seeds_asked_at = now
        self._seeding = threading.Thread(target=self._seed, name="hft-seeds", daemon=True)
        self._seeding.start()

    def _seed(self) -> None:
        found = ask_seeds(self.network, resolve=self._resolve)
        random.shuffle(found)
        self._seeded = found
        if not found:
            log.warning(
                "none of the %d DNS seeds of %s answered: check the name resolution of this machine, or name a node "
                "with --peer HOST:PORT", len(self.network.dns_seeds), self.network.name,
            )  # fmt: skip
        self._seeding = None
        self._wake.set()

    def _rotate(self, peers: Sequence[PeerInfo]) -> None:
        """Leaves the worst, as many as there are others to try."""
        others = len(self.store.usable(self._taken_groups(peers)))
        for peer in to_replace(peers, trial_s=self._trial_s)[:others]:
            log.info("left for another: %s, score %.1f", peer.address, peer.score)
            self._engine._leave_peer(peer.peer, peer.session)
