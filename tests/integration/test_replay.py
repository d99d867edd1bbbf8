"""A real block through the sockets: what is reported, and what is ordered, is exactly what an independent decoder says.

python-bitcoinlib decodes the same bytes; the amounts are summed per watched script; and the simulated exchange keeps
every order that reaches it.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import random
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from bitcoin.core import CTransaction  # type: ignore[import-untyped]

from hftcore import Engine, EngineLimits, RiskLimits, Rule, WatchTable
from hftcore.bitcoin import NETWORKS
from hftcore.events import DepositEvent, OrderEvent
from hftcore.venues import Order
from hftcore.venues.binance import BINANCE
from runner.sim.binance import Binance, VenueSettings
from tests.integration import rig
from tests.integration.rig import Tx

MAGIC = NETWORKS["mainnet"].magic
NO_LIMIT = RiskLimits(burst=1024, refill_ms=1, window_s=3600, window_orders=1024, window_notional="9999999999")

Found = Counter[tuple[str, int, str]]  # txid, satoshi, label; one transaction may pay an owner's scripts alike


@dataclass(frozen=True)
class Replay:
    """The block's transactions, and what each of their outputs pays to whom."""

    txs: list[Tx]
    outputs: list[list[tuple[int, bytes]]]


@pytest.fixture(scope="module")
def replay(block: list[bytes]) -> Replay:
    txs, outputs = [], []
    for raw in block:
        tx = CTransaction.deserialize(raw)
        txs.append(Tx(raw, tx.GetTxid(), tx.GetHash()))
        outputs.append([(out.nValue, bytes(out.scriptPubKey)) for out in tx.vout])
    return Replay(txs, outputs)


@pytest.fixture(scope="module")
def address_list(shared: Path) -> Path:
    return shared / "data" / "exchange_addresses_small.csv"


@pytest.fixture(scope="module")
def exchanges(address_list: Path) -> dict[bytes, str]:
    """scriptPubKey -> exchange, as the list itself spells out both."""
    with address_list.open(newline="") as file:
        return {bytes.fromhex(row["scriptpubkey_hex"]): row["exchange"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def crowd(replay: Replay) -> dict[bytes, str]:
    """Scripts of the block itself, so that much matches: all that one transaction pays twice, and every fifth other."""
    scripts: dict[bytes, int] = defaultdict(int)
    twice = set()
    for outputs in replay.outputs:
        seen = set()
        for _, script in outputs:
            scripts[script] += 1
            if script in seen:
                twice.add(script)
            seen.add(script)
    chosen = [s for i, s in enumerate(sorted(scripts)) if (s in twice or i % 5 == 0) and 0 < len(s) <= 64]
    return {script: f"owner{i % 7}" for i, script in enumerate(chosen)}


def expected(replay: Replay, watched: dict[bytes, str], least: int = 1) -> Found:
    """What a rule with this minimum must see: sums over the outputs to one script."""
    found: Found = Counter()
    for tx, outputs in zip(replay.txs, replay.outputs, strict=True):
        sums: dict[bytes, int] = defaultdict(int)
        for value, script in outputs:
            if script in watched:
                sums[script] += value
        found.update((tx.id, total, watched[script]) for script, total in sums.items() if total >= least)
    return found


# ---- peers that replay ----


class ReplayPeer(threading.Thread):
    """Announces its transactions, serves what it is asked for, some of it twice, split at random points if wanted."""

    def __init__(self, txs: Sequence[Tx], *, protocol: int = 70016, split: int | None = None, twice: float = 0) -> None:
        super().__init__(daemon=True)
        self.listener = rig.PeerListener()
        self.txs = txs
        self.protocol = protocol
        self.twice = twice
        self.served = 0
        self._random = random.Random(split or 0)
        self._split = split is not None
        self._link: rig.PeerLink | None = None

    def run(self) -> None:
        try:
            self._serve()
        except (OSError, ConnectionError):
            pass
        finally:
            self.listener.close()

    def _send(self, data: bytes) -> None:
        assert self._link is not None
        sock, pos = self._link.sock, 0
        while self._split and pos < len(data):
            size = self._random.choice((1, 2, 23, 24, 25, 200, 1000, 5000))
            sock.sendall(data[pos : pos + size])
            pos += size
        if not self._split:
            sock.sendall(data)

    def _serve(self) -> None:
        link = self._link = ReplayLink(self.listener.accept_socket())
        link.sock.settimeout(60)
        link.handshake(self.protocol)
        by_id = {tx.announced(by_wtxid=link.by_wtxid): tx for tx in self.txs}
        kind = rig.MSG_WTX if link.by_wtxid else rig.MSG_TX
        ids = list(by_id)
        for i in range(0, len(ids), 1000):
            self._send(rig.message("inv", rig.inv_payload(kind, ids[i : i + 1000]), magic=MAGIC))
        while True:
            answer = b""
            for key in link.requested():
                message = rig.message("tx", by_id[key].raw, magic=MAGIC)
                answer += message * (2 if self._random.random() < self.twice else 1)
                self.served += 1
            self._send(answer)

    def end(self) -> None:
        if self._link is not None:
            with contextlib.suppress(OSError):  # the engine has left already
                self._link.sock.shutdown(socket.SHUT_RDWR)
        self.join(rig.WAIT_S)
        if self._link is not None:
            self._link.close()


class ReplayLink(rig.PeerLink):
    """A link on mainnet."""

    magic = MAGIC


# ---- the exchange ----


class Exchange:
    """The simulated Binance, in an event loop of its own."""

    def __init__(self, trust: rig.Trust) -> None:
        settings = VenueSettings(api_key=rig.KEY, secret=rig.SECRET.decode(), fill_delay_s=0.0)
        self.binance = Binance(settings, trust.context)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self.binance.start())

    def _run(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(rig.WAIT_S)  # type: ignore[arg-type]

    def close(self) -> None:
        self._run(self.binance.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(rig.WAIT_S)
        self._loop.close()


@pytest.fixture
def exchange(trust: rig.Trust) -> Iterator[Exchange]:
    place = Exchange(trust)
    yield place
    place.close()


@dataclass(frozen=True)
class Place:
    """Where a replay happens."""

    backend: str
    exchange: Exchange
    trust: rig.Trust
    replay: Replay


@pytest.fixture
def place(backend: str, exchange: Exchange, trust: rig.Trust, replay: Replay) -> Place:
    return Place(backend, exchange, trust, replay)


def run(
    place: Place, watch: WatchTable, peers: list[ReplayPeer], rules: Sequence[Rule], **settings: Any
) -> tuple[Found, Engine]:
    """Replays all; returns what was reported once every order has its final answer."""
    settings |= {"network": "mainnet", "watch": watch, "backend": place.backend, "dry_run": False, "risk": NO_LIMIT}
    limits = EngineLimits(pending_orders=4096, event_queue=1 << 14, backoff_min_ms=10, request_timeout_ms=60_000)
    engine = Engine(limits=limits, **settings)
    for peer in peers:
        engine.add_peer("127.0.0.1", peer.listener.port)
    engine.add_venue(BINANCE, rig.CREDENTIALS, url=place.exchange.binance.url, ca_file=str(place.trust.ca_file))
    for rule in rules:
        engine.add_rule(rule)
    found: Found = Counter()
    finals = 0
    with engine:
        engine.wait_ready(rig.WAIT_S, peers=0)  # nothing may be refused because the venue is late
        for peer in peers:
            peer.start()
        deadline = time.monotonic() + 60
        while True:
            event = engine.next_event(0.05)
            if isinstance(event, DepositEvent):
                found[event.txid, event.amount_sat, event.label] += 1
            elif isinstance(event, OrderEvent):
                assert event.state in {"sent", "acknowledged", "filled"}, event
                finals += event.state == "filled"
            elif event is None:
                stats = engine.stats()
                if stats.transactions == len(place.replay.txs) and finals == stats.orders_sent:
                    break
                assert time.monotonic() < deadline, stats
    for peer in peers:
        peer.end()
    return found, engine


def check_orders(place: Place, watched: dict[bytes, str], rules: Sequence[Rule]) -> int:
    """Exactly one order for each rule and transaction that fits, and what it says."""
    wanted = {
        (f"h{i:02x}-{txid[:24]}", rule.order.symbol, rule.order.side, rule.order.quantity)
        for i, rule in enumerate(rules)
        for txid, _, label in expected(place.replay, watched, rule.min_sat)
        if rule.labels is None or label in rule.labels
    }
    got = [(o.client_id, o.symbol, o.side, o.quantity.rstrip("0")) for o in place.exchange.binance.orders]
    assert len(got) == len(set(got))
    assert set(got) == wanted
    assert all(order.code == 0 for order in place.exchange.binance.orders)
    assert not place.exchange.binance.counters.problems
    return len(wanted)


def peers_for(replay: Replay, n: int, **settings: object) -> list[ReplayPeer]:
    """n peers that all know everything and tell it in different orders; every third by txid if there are many."""
    found = []
    for i in range(n):
        txs = list(replay.txs)
        random.Random(i).shuffle(txs)
        protocol = 70015 if i % 3 == 2 else 70016
        found.append(ReplayPeer(txs, protocol=protocol, **settings))  # type: ignore[arg-type]
    return found


SELL = rig.ORDER
BUY = Order(symbol="ETHUSDT", side="BUY", type="LIMIT", quantity="0.5", price="2000.00", time_in_force="IOC")


@pytest.mark.parametrize("variant", ["1 peer", "8 peers with duplicates", "split", "spinning"])
def test_the_list_of_exchanges(place: Place, address_list: Path, exchanges: dict[bytes, str], variant: str) -> None:
    replay = place.replay
    watch = WatchTable.from_csv(address_list, network="mainnet")
    rules = [
        rig.rule("large", min_sat=rig.COIN, order=SELL),
        rig.rule("any", min_sat=1, order=BUY),
        rig.rule("binance", min_sat=1, labels=frozenset({"binance"}), order=SELL),
    ]
    peers = {
        "1 peer": lambda: peers_for(replay, 1, twice=0.1),
        "8 peers with duplicates": lambda: peers_for(replay, 8, twice=0.5),
        "split": lambda: peers_for(replay, 1, split=1),
        "spinning": lambda: peers_for(replay, 3, twice=0.1),
    }[variant]()
    found, engine = run(place, watch, peers, rules, mode="spin" if variant == "spinning" else "sleep")
    wanted = expected(replay, exchanges)
    assert wanted, "the block pays nobody on the list: nothing was shown"
    assert found == wanted
    assert check_orders(place, exchanges, rules) >= len(wanted)
    stats = engine.stats()
    assert (stats.malformed, stats.checksum_errors, stats.reconnects, stats.events_dropped) == (0, 0, 0, 0)
    if "duplicates" in variant:
        assert stats.duplicates > 1000


@pytest.mark.parametrize("least", [1, 50_000, 1_000_000, 10 * rig.COIN])
def test_thresholds_and_sums(place: Place, crowd: dict[bytes, str], least: int) -> None:
    """Much of the block is watched; amounts lie on both sides of the threshold, and on it."""
    watch = WatchTable(1 << 14)
    for script, label in crowd.items():
        watch.add(script, label)
    replay = place.replay
    amounts = sorted(amount for _, amount, _ in expected(replay, crowd))
    nearest = min(amounts, key=lambda amount: abs(amount - least))  # exactly on it: at least, not more than
    few = amounts[-200]
    rules = [
        rig.rule("exact", min_sat=max(nearest, few), order=SELL),
        rig.rule("more", min_sat=max(nearest, few) + 1, order=BUY),
        rig.rule("some", min_sat=few, labels=frozenset({"owner1", "owner5"}), order=replace(SELL, side="BUY")),
    ]
    found, _ = run(place, watch, peers_for(replay, 2, split=least), rules, deposit_min_sat=least)
    assert found == expected(replay, crowd, least)
    assert check_orders(place, crowd, rules) > 0
