"""PeerManager with an engine: who is dialled, asked, kept and left; peers that dial in. Nodes are threads of this test.

All of 127.0.0.0/8 is this machine: each node has a network group (/16) of its own unless the test wants otherwise.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import logging
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hftcore import ConfigError, Engine, EngineLimits
from hftcore.bitcoin import NETWORKS
from hftcore.events import DepositEvent, PeerEvent
from hftcore.peers import PeerInfo, PeerManager, PeerStore
from tests.integration import rig
from tests.integration.conftest import Stage
from tests.integration.rig import PeerLink, PeerListener, Tx


class Node(PeerListener):
    """A node: accepts whoever dials it, answers what it is asked, announces what it is told."""

    def __init__(self, host: str, protocol: int = 70016, gossip: bytes = b"") -> None:
        super().__init__(host)
        self.host = host
        self.protocol = protocol
        self.gossip = gossip  # payload of its answer to getaddr
        self.addresses_asked: list[int] = []  # the connection that asked
        self.dialled = 0
        self.txs: dict[bytes, Tx] = {}
        self.links: list[PeerLink] = []
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def endpoint(self) -> tuple[str, int]:
        return self.host, self.port

    def _serve(self) -> None:
        self.sock.settimeout(None)
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.sock.accept()
                sock.settimeout(None)
                self.dialled += 1
                threading.Thread(target=self._talk, args=(sock, self.dialled), daemon=True).start()

    def _talk(self, sock: socket.socket, number: int) -> None:
        link = PeerLink(sock)
        with contextlib.suppress(OSError, ConnectionError):
            link.handshake(self.protocol)
            self.links.append(link)
            while True:
                command, payload = link.receive()
                if command == "ping":
                    link.send("pong", payload)
                elif command == "getaddr":
                    self.addresses_asked.append(number)
                    if self.gossip:
                        link.send("addrv2" if link.by_wtxid else "addr", self.gossip)
                elif command == "getdata":
                    for at in range(1, len(payload), 36):
                        link.send("tx", self.txs[payload[at + 4 : at + 36]].raw)
                else:
                    raise AssertionError(command)  # nothing else may ever be asked of a node
        if link in self.links:
            self.links.remove(link)
        sock.close()

    def announce(self, *txs: Tx) -> None:
        for link in self.links:
            self.txs.update({tx.announced(by_wtxid=link.by_wtxid): tx for tx in txs})
            link.announce(*txs)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)  # wakes accept
        self.sock.close()
        for link in list(self.links):
            with contextlib.suppress(OSError):
                link.sock.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def town() -> Iterator[Any]:
    """Makes nodes, by default in groups of their own."""
    nodes: list[Node] = []

    def make(host: str | None = None, **settings: Any) -> Node:
        nodes.append(Node(host or f"127.{len(nodes) + 1}.0.1", **settings))
        return nodes[-1]

    yield make
    for node in nodes:
        node.close()


def manager(*nodes: Node, **settings: Any) -> PeerManager:
    return PeerManager(**{"nodes": [n.endpoint for n in nodes], "dial_s": 0.0, "target": 8, "seeds": False} | settings)


def start(stage: Stage, made: PeerManager, **settings: Any) -> Engine:
    engine = stage.engine(**settings)
    engine.manage(made)
    engine.start()
    return engine


def ready(engine: Engine) -> set[str]:
    return {peer.ip for peer in engine.peers() if peer.state == "ready"}


def wait_ready(engine: Engine, *nodes: Node) -> None:
    rig.wait_until(lambda: ready(engine) == {node.host for node in nodes} and all(node.links for node in nodes))


# ---- finding ----


def test_one_of_each_group_is_dialled(stage: Stage, town: Any) -> None:
    groups = [[town(f"127.{group}.{i}.1") for i in (1, 2, 3)] for group in (1, 2, 3)]
    engine = start(stage, manager(*groups[0], *groups[1], *groups[2]))
    rig.wait_until(lambda: len(ready(engine)) == 3)
    time.sleep(0.5)  # five places are still free
    assert sorted(host.split(".")[1] for host in ready(engine)) == ["1", "2", "3"]
    assert all(sum(node.dialled for node in group) == 1 for group in groups)


def test_groups_by_autonomous_system(stage: Stage, town: Any, tmp_path: Path) -> None:
    (tmp_path / "table.txt").write_text("127.1.0.0/16 64500\n127.2.0.0/16 64500\n127.3.0.0/16 64501\n")
    nodes = [town() for _ in range(3)]
    engine = start(stage, manager(*nodes, asn_file=tmp_path / "table.txt"))
    rig.wait_until(lambda: len(ready(engine)) == 2)
    time.sleep(0.5)
    assert nodes[0].dialled + nodes[1].dialled == 1
    assert nodes[2].dialled == 1


def test_the_group_of_a_fixed_peer_is_taken(stage: Stage, town: Any) -> None:
    fixed, same, other = town("127.1.0.1"), town("127.1.9.9"), town("127.2.0.1")
    engine = stage.engine()
    engine.add_peer(*fixed.endpoint)
    made = manager(same, other)
    engine.manage(made)
    engine.start()
    wait_ready(engine, fixed, other)
    assert same.dialled == 0
    assert [peer.role for peer in engine.peers()].count("managed") == 7  # the fixed one counts


def test_the_target_is_kept(stage: Stage, town: Any) -> None:
    nodes = [town() for _ in range(4)]
    engine = start(stage, manager(*nodes, target=2))
    engine.wait_ready(rig.WAIT_S)
    rig.wait_until(lambda: len(ready(engine)) == 2)
    time.sleep(0.4)
    assert sum(node.dialled for node in nodes) == 2
    lost = next(node for node in nodes if node.dialled)
    lost.close()
    rig.wait_until(lambda: len(ready(engine)) == 2 and lost.host not in ready(engine))


def v1_entry(host: str, port: int, services: int = 9) -> bytes:
    ip = b"\0" * 10 + b"\xff\xff" + socket.inet_aton(host)
    return struct.pack("<IQ", int(time.time()), services) + ip + struct.pack(">H", port)


def v2_entry(network: int, address: bytes, port: int, services: bytes = b"\x09") -> bytes:
    head = struct.pack("<I", int(time.time())) + services + bytes([network])
    return head + rig.compact_size(len(address)) + address + struct.pack(">H", port)


@pytest.mark.parametrize("protocol", [70016, 70015])
def test_addresses_are_asked_for_once_and_kept(stage: Stage, town: Any, tmp_path: Path, protocol: int) -> None:
    hidden, no_witness = town(), town()
    if protocol == 70016:
        entries = [
            v2_entry(1, socket.inet_aton(hidden.host), hidden.port),
            v2_entry(1, socket.inet_aton(no_witness.host), no_witness.port, b"\x01"),
            v2_entry(4, b"o" * 32, 8333),  # Tor, I2P and CJDNS are parsed and passed over, as is what is yet to come
            v2_entry(5, b"i" * 32, 0),
            v2_entry(6, b"\xfc" + b"c" * 15, 8333),
            v2_entry(99, b"?" * 77, 8333),
            v2_entry(2, socket.inet_pton(socket.AF_INET6, "2001:db8::5"), 18444),
        ]
    else:
        entries = [
            v1_entry(hidden.host, hidden.port),
            v1_entry(no_witness.host, no_witness.port, 1),
            struct.pack("<IQ", 1, 9) + socket.inet_pton(socket.AF_INET6, "2001:db8::5") + struct.pack(">H", 18444),
        ]
    known = town(protocol=protocol, gossip=rig.compact_size(len(entries)) + b"".join(entries))
    path = tmp_path / "peers.json"
    engine = start(stage, manager(known, store=path))
    wait_ready(engine, known, hidden)
    rig.wait_until(lambda: known.addresses_asked == hidden.addresses_asked == [1])
    rig.wait_until(
        lambda: engine.peers()[0].addresses == len([e for e in entries if e[5] in {1, 2} or protocol < 70016])
    )
    rig.wait_until(lambda: all(peer.ping_min_ns for peer in engine.peers() if peer.state == "ready"))
    engine.stop()
    kept = {(peer.host, peer.port): peer for peer in PeerStore(path, "regtest")}
    assert kept.keys() == {known.endpoint, hidden.endpoint, ("2001:db8::5", 18444)}
    for node in (known, hidden):
        assert kept[node.endpoint].succeeded > 0
        assert kept[node.endpoint].ping_ms >= 1
    assert kept["2001:db8::5", 18444].failures <= 1


def test_a_flood_of_addresses_is_not_taken(stage: Stage, town: Any) -> None:
    """A thousand in answer to our question, then one each ten seconds; as Bitcoin Core takes them."""
    node = town(gossip=b"")
    made = manager(node)
    engine = start(stage, made)
    wait_ready(engine, node)
    rig.wait_until(lambda: bool(node.addresses_asked))
    for turn in range(3):
        entries = [v2_entry(1, bytes([127, 50 + turn, i // 250, i % 250]), 1) for i in range(1000)]
        node.links[0].send("addrv2", rig.compact_size(1000) + b"".join(entries))
    rig.wait_until(lambda: engine.peers()[0].addresses == 1000)
    time.sleep(0.3)
    assert engine.peers()[0].addresses == 1000
    rig.wait_until(lambda: len(made.store) > 1)
    assert len(made.store) <= 65  # all of one group


def test_seeds_are_asked(stage: Stage, town: Any) -> None:
    node = town()
    port = node.port
    asked: list[tuple[str, int]] = []

    def resolve(host: str, port: int, **_: object) -> list[object]:
        asked.append((host, port))
        if host == "broken.example":
            raise OSError("no such name")
        return [(None, None, None, "", (node.host, port)), (None, None, None, "", ("fe80::1%eth0", port))]

    network = dataclasses.replace(NETWORKS["regtest"], dns_seeds=("good.example", "broken.example"), default_port=port)
    engine = Engine(network=network, backend=stage.backend, limits=EngineLimits(**rig.FAST))  # type: ignore[arg-type]
    stage.engines.append(engine)
    engine.manage(PeerManager(resolve=resolve))
    engine.start()
    wait_ready(engine, node)
    assert sorted(asked) == [("broken.example", port), ("good.example", port)]
    time.sleep(0.6)
    assert len(asked) == 2  # not again and again, though most places are free


def test_what_is_not_public_is_not_taken_on_mainnet() -> None:
    """A resolver that filters names answers with an address of its own, or of this machine."""
    bad = ("0.0.0.0", "127.0.0.1", "10.0.0.1", "100.64.0.1", "224.0.0.1", "::", "::1", "::7f00:1", "fc00::1", "fec0::1")

    class Control:
        def peers(self) -> list[PeerInfo]:
            return []

        def _connect_peer(self, slot: int, address: tuple[int, bytes, int, int], group: int) -> None:
            raise AssertionError(address)

        def _leave_peer(self, slot: int, session: int) -> None:
            raise AssertionError(slot)

        def _take_nodes(self) -> list[tuple[int, bytes, int, int, int, int]]:
            return [(0, ipaddress.ip_address(host).packed, 8333, 9, 1, 0) for host in (*bad, "::ffff:9.9.9.9")]

    def resolve(*_: object, **__: object) -> list[object]:
        return [(None, None, None, "", (host, 8333)) for host in (*bad, "9.9.9.9")]

    made = PeerManager(resolve=resolve)
    made.attach(Control(), NETWORKS["mainnet"])
    made.want(0)
    made.turn()  # it asks the seeds
    rig.wait_until(lambda: made._seeding is None)
    made._wanted.clear()
    made.turn()
    assert [peer.host for peer in made.store] == ["9.9.9.9"]


def test_the_end_of_the_program_waits_for_no_seed() -> None:
    program = """
import time
from hftcore.bitcoin import NETWORKS
from hftcore.peers import ask_seeds
assert ask_seeds(NETWORKS["mainnet"], timeout_s=0.1, resolve=lambda *_, **__: time.sleep(60)) == []
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)


def test_seeds_that_are_mute_are_a_warning(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    def resolve(*_: object, **__: object) -> list[object]:
        raise OSError("no network")

    network = dataclasses.replace(NETWORKS["regtest"], dns_seeds=("a.example", "b.example"))
    engine = Engine(network=network, backend=stage.backend)  # type: ignore[arg-type]
    stage.engines.append(engine)
    engine.manage(PeerManager(resolve=resolve))
    with caplog.at_level(logging.WARNING, "hftcore.peers"):
        engine.start()
        rig.wait_until(lambda: bool(caplog.records))
    assert "none of the 2 DNS seeds of regtest answered" in caplog.text


def test_nobody_to_be_found_is_said_at_once() -> None:
    engine = Engine(network="regtest")
    with pytest.raises(ConfigError, match=r"regtest has no DNS seeds; name a node with --peer HOST:PORT"):
        engine.manage(PeerManager())
    with pytest.raises(ConfigError, match="its seeds are not asked"):
        Engine(network="signet").manage(PeerManager(seeds=False))
    with pytest.raises(ConfigError, match="1 to 125"):
        PeerManager(target=126)
    with pytest.raises(ConfigError, match="IPv4 or IPv6 address"):
        Engine(network="regtest").manage(PeerManager(nodes=[("node.example", 1)]))


def test_what_does_not_answer_is_left_alone(stage: Stage, town: Any, tmp_path: Path) -> None:
    dead, good = town(), town()
    dead.close()
    path = tmp_path / "peers.json"
    engine = start(stage, manager(dead, good, store=path))
    wait_ready(engine, good)
    rig.wait_until(lambda: bool([peer for peer in engine.peers() if peer.code == -111]))
    tries = [event for event in iter(lambda: engine.next_event(0.5), None) if isinstance(event, PeerEvent)]
    failed = [event for event in tries if event.state == "lost"]
    assert [event.address for event in failed] == [f"{dead.host}:{dead.port}"]
    engine.stop()
    kept = PeerStore(path, "regtest").get(*dead.endpoint)
    assert kept is not None
    assert (kept.failures, kept.succeeded) == (1, 0)
    assert 40 < kept.retry_at - time.time() < 76
    again = start(stage, manager(store=path))
    wait_ready(again, good)
    time.sleep(0.3)
    assert [peer.session for peer in again.peers()].count(1) == 1  # nobody dialled the dead one


def test_who_breaks_the_protocol_is_left_for_a_day(stage: Stage, town: Any, tmp_path: Path) -> None:
    node = town()
    path = tmp_path / "peers.json"
    engine = start(stage, manager(node, store=path))
    wait_ready(engine, node)
    node.links[0].send("inv", b"\xff" * 9)
    rig.wait_until(lambda: engine.peers()[0].state == "idle")
    engine.stop()
    (kept,) = PeerStore(path, "regtest")
    assert kept.retry_at - time.time() > 86_000


# ---- rotation ----


def test_the_useless_one_is_replaced_and_the_first_stays(stage: Stage, town: Any) -> None:
    first, second, mute, spare = (town() for _ in range(4))
    made = manager(first, second, mute, target=3, rotate_s=0.3, trial_s=0.1)
    engine = start(stage, made)
    wait_ready(engine, first, second, mute)
    txs = [rig.deposit(i) for i in range(60)]
    first.announce(*txs)
    rig.wait_until(lambda: engine.stats().transactions == 60)
    second.announce(*txs)
    time.sleep(0.8)
    assert ready(engine) == {first.host, second.host, mute.host}  # there is nobody to take its place
    made.store.add(*spare.endpoint)
    wait_ready(engine, first, second, spare)
    time.sleep(0.8)  # the new one is on trial: it has not seen enough
    assert ready(engine) == {first.host, second.host, spare.host}
    assert (first.dialled, second.dialled, mute.dialled, spare.dialled) == (1, 1, 1, 1)
    by_host = {peer.ip: peer for peer in engine.peers()}
    assert (by_host[first.host].first, by_host[first.host].served) == (60, 60)
    assert (by_host[second.host].first, by_host[second.host].late) == (0, 60)
    assert by_host[first.host].score > by_host[second.host].score > 0
    left = rig.wait_for(engine, lambda e: isinstance(e, PeerEvent) and e.state == "lost")
    assert isinstance(left, PeerEvent)
    assert left.error is not None
    assert getattr(left.error, "name", "") == "HFT_E_CONN_REPLACED"
    engine.stop()
    wins = {peer.host: peer.wins for peer in made.store}
    assert (wins[first.host], wins[second.host]) == (60, 0)
    kept = made.store.get(*mute.endpoint)
    assert kept is not None
    assert kept.failures == 0
    assert 3500 < kept.retry_at - time.time() < 3601


# ---- peers that dial in ----


def dial(made: PeerManager, source: str = "127.0.0.1") -> PeerLink:
    assert made.listening is not None
    sock = socket.create_connection(made.listening, timeout=rig.WAIT_S, source_address=(source, 0))
    return PeerLink(sock)


def inbound_handshake(link: PeerLink, protocol: int = 70016) -> PeerLink:
    link.send("version", link.version(protocol))
    link.version_payload = link.expect("version")
    link.by_wtxid = protocol >= 70016
    if link.by_wtxid:
        assert link.expect("wtxidrelay") == b""
        assert link.expect("sendaddrv2") == b""
        link.send("wtxidrelay")
    assert link.expect("verack") == b""
    link.send("verack")
    link.send("pong", link.expect("ping"))
    return link


@pytest.mark.parametrize("protocol", [70016, 70015])
def test_a_peer_that_dials_in(stage: Stage, protocol: int) -> None:
    made = PeerManager(listen=("127.0.0.1", 0), seeds=False, target=1)
    engine = start(stage, made)
    link = stage.later(inbound_handshake(dial(made, "127.9.0.1"), protocol))
    assert link.version_payload[:12] == struct.pack("<iQ", 70016, 0)
    link.send("addrv2", rig.compact_size(1) + v2_entry(1, b"\x7f\1\1\1", 5))
    link.deliver(rig.deposit(1))  # and not a getaddr before it
    event = rig.wait_for(engine, lambda e: isinstance(e, DepositEvent))
    assert isinstance(event, DepositEvent)
    (peer,) = [peer for peer in engine.peers() if peer.role == "inbound" and peer.session]
    assert (peer.peer, peer.state, peer.ip, peer.protocol_version) == (event.peer, "ready", "127.9.0.1", protocol)
    assert peer.addresses == 0
    assert len(made.store) == 0


def test_inbound_peers_are_bounded(stage: Stage) -> None:
    made = PeerManager(listen=("127.0.0.1", 0), seeds=False, target=1, max_inbound=2)
    engine = start(stage, made)
    links = [stage.later(inbound_handshake(dial(made))) for _ in range(2)]
    third = dial(made)
    third.wait_closed()
    rig.wait_until(lambda: engine.stats().inbound_refused == 1)
    links[0].close()
    rig.wait_until(lambda: engine.stats().peers_ready_now == 1)
    stage.later(inbound_handshake(dial(made))).deliver(rig.deposit(1))
    rig.wait_for(engine, lambda e: isinstance(e, DepositEvent))


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_who_comes_and_goes_costs_little(stage: Stage, reset: bool) -> None:
    """At most a hundred a second are looked at, whatever is dialled; nor does he hold up who comes after him."""
    made = PeerManager(listen=("127.0.0.1", 0), seeds=False, target=1, max_inbound=100)
    engine = start(stage, made)
    assert made.listening is not None
    began = time.monotonic()
    for _ in range(80):
        with socket.create_connection(made.listening, timeout=rig.WAIT_S) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", reset, 0))
    link = stage.later(inbound_handshake(dial(made)))
    took = time.monotonic() - began
    link.deliver(rig.deposit(1))
    rig.wait_for(engine, lambda e: isinstance(e, DepositEvent))
    assert 0.7 < took < 4
    assert sum(peer.session for peer in engine.peers()) + engine.stats().inbound_refused == 81


def test_an_inbound_peer_without_a_word_is_left(stage: Stage) -> None:
    made = PeerManager(listen=("127.0.0.1", 0), seeds=False, target=1, max_inbound=1)
    engine = start(stage, made, limits={"handshake_timeout_ms": 200})
    dial(made).wait_closed()
    stage.later(inbound_handshake(dial(made)))
    rig.wait_until(lambda: engine.stats().peers_ready_now == 1)


def test_dialling_ourselves_is_noticed(stage: Stage) -> None:
    made = PeerManager(listen=("127.0.0.1", 0), seeds=False, target=1)
    engine = start(stage, made)
    assert made.listening is not None
    made.store.add(*made.listening)
    event = rig.wait_for(engine, lambda e: isinstance(e, PeerEvent) and e.state == "lost")
    assert isinstance(event, PeerEvent)
    assert getattr(event.error, "name", "") in {"HFT_E_BTC_SELF", "HFT_E_CONN_CLOSED"}


def test_a_port_in_use_is_an_error_at_the_start(stage: Stage) -> None:
    with rig.Listener() as taken:
        engine = Engine(network="regtest", backend=stage.backend)  # type: ignore[arg-type]
        engine.manage(PeerManager(listen=("127.0.0.1", taken.port), seeds=False))
        for _ in range(2):
            with pytest.raises(OSError, match="in use"):
                engine.start()
    engine.start()
    assert [peer.role for peer in engine.peers()].count("inbound") == 16
    engine.stop()
    engine = Engine(network="regtest")
    engine.manage(PeerManager(listen=("127.0.0.1", 0), seeds=False, target=113))
    with pytest.raises(ConfigError, match="at most 128 peers in all"):
        engine.start()
