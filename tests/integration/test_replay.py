"""A real block through the sockets: what is reported, and what is ordered, is exactly what an independent decoder says.

python-bitcoinlib decodes the same bytes; who spends is told by the outputs that the inputs spend, which the engine does
not see; the amounts are summed per watched script; and the simulated exchange keeps every order that reaches it.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import random
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import zstandard
from bitcoin.core import CTransaction  # type: ignore[import-untyped]

from hftcore import Engine, EngineLimits, RiskLimits, Rule, WatchTable
from hftcore.bitcoin import NETWORKS
from hftcore.events import (
    DepositEvent,
    InternalEvent,
    OrderEvent,
    ReplacementEvent,
    RevokedEvent,
    Signal,
    WhaleEvent,
    WithdrawalEvent,
)
from hftcore.venues import Order
from hftcore.venues.binance import BINANCE
from runner.sim.binance import Binance, VenueSettings
from tests.integration import rig
from tests.integration.rig import Tx

MAGIC = NETWORKS["mainnet"].magic
NO_LIMIT = RiskLimits(burst=1024, refill_ms=1, window_s=3600, window_orders=1024, window_notional="9999999999")


class Finding(NamedTuple):
    """What a signal says; one transaction may pay an owner's scripts alike."""

    kind: str
    txid: str
    amount_sat: int
    label: str
    inputs: int
    known: int
    own: int
    others: frozenset[str]


Found = Counter[Finding]


@dataclass(frozen=True)
class Replay:
    """The block's transactions, what each of their outputs pays to whom, and what each input spends: the script, None
    where the transaction does not show it (taproot; the coinbase spends nothing)."""

    txs: list[Tx]
    outputs: list[list[tuple[int, bytes]]]
    spent: list[list[bytes | None]]


@pytest.fixture(scope="session")
def prevouts(shared: Path) -> list[bytes]:
    """The scriptPubKeys that the block's inputs spend, in order, without the coinbase."""
    packed = (shared / "data" / "block_866342_spent_utxos.json.zst").read_bytes()
    rows = json.loads(zstandard.ZstdDecompressor().decompress(packed, max_output_size=1 << 28))
    return [bytes.fromhex(row["txout"]["script_pubkey"]) for row in rows]


@pytest.fixture(scope="module")
def replay(block: list[bytes], prevouts: list[bytes]) -> Replay:
    txs, outputs, spent = [], [], []
    scripts = iter(prevouts)
    for raw in block:
        tx = CTransaction.deserialize(raw)
        txs.append(Tx(raw, tx.GetTxid(), tx.GetHash()))
        outputs.append([(out.nValue, bytes(out.scriptPubKey)) for out in tx.vout])
        spent.append([None if tx.is_coinbase() else shown(next(scripts)) for _ in tx.vin])
    assert next(scripts, None) is None
    return Replay(txs, outputs, spent)


def shown(script: bytes) -> bytes | None:
    """The script that an input shows it spends: all but taproot, as it happens in this block."""
    return None if len(script) == 34 and script[:2] == b"\x51\x20" else script


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
    """Scripts of the block itself, so that much matches: all that one transaction pays twice or pays to itself, and
    every fifth other."""
    scripts: dict[bytes, int] = defaultdict(int)
    chosen = set()
    for outputs, spent in zip(replay.outputs, replay.spent, strict=True):
        seen = {script for script in spent if script is not None}
        scripts.update(dict.fromkeys(seen, 0))
        for _, script in outputs:
            scripts[script] += 1
            if script in seen:
                chosen.add(script)
            seen.add(script)
    names = [s for i, s in enumerate(sorted(scripts)) if (s in chosen or i % 5 == 0) and 0 < len(s) <= 64]
    return {script: f"owner{i % 7}" for i, script in enumerate(names)}


def findings(replay: Replay, watched: dict[bytes, str], least: int = 1, whale: int = 0) -> Iterator[Finding]:
    """What is to be reported: deposits are sums over the outputs to one script, unless its owner spends."""
    for tx, outputs, spent in zip(replay.txs, replay.outputs, replay.spent, strict=True):
        senders = Counter(watched[script] for script in spent if script in watched)
        known = sum(script is not None for script in spent)
        paid: Counter[bytes] = Counter()
        for value, script in outputs:
            paid[script] += value
        deposits = {script: amount for script, amount in paid.items() if script in watched and amount >= least}
        recipients = {watched[script] for script in deposits}

        def finding(kind: str, amount: int, label: str, own: int, others: set[str]) -> Finding:
            return Finding(kind, tx.id, amount, label, len(spent), known, own, frozenset(others))  # noqa: B023

        for script, amount in deposits.items():
            if watched[script] not in senders:
                yield finding("deposit", amount, watched[script], 0, set(senders))
        for label, inputs in senders.items():
            own = sum(amount for script, amount in paid.items() if watched.get(script) == label)
            others = paid.total() - own
            if others == 0 and own >= least:
                yield finding("internal", own, label, inputs, set())
            elif others != 0 and others >= least:
                yield finding("withdrawal", others, label, inputs, recipients - {label})
        strangers = max((value for value, script in outputs if script not in watched), default=0)
        if whale and strangers >= whale and not senders:
            yield finding("whale", strangers, "", 0, set())


def finding_of(event: Signal) -> Finding:
    """A signal as a finding."""
    assert not isinstance(event, ReplacementEvent | RevokedEvent), "a block has no two that spend the same"
    kinds = {DepositEvent: "deposit", WithdrawalEvent: "withdrawal", InternalEvent: "internal", WhaleEvent: "whale"}
    label = "" if isinstance(event, WhaleEvent) else event.label
    own = event.inputs_own if isinstance(event, WithdrawalEvent | InternalEvent) else 0
    others: tuple[str, ...] = ()
    if isinstance(event, DepositEvent):
        others = event.senders
    elif isinstance(event, WithdrawalEvent):
        others = event.recipients
    complete = own if isinstance(event, WithdrawalEvent | InternalEvent) else event.inputs_known
    assert event.certain == (complete == event.inputs)
    return Finding(
        kinds[type(event)], event.txid, event.amount_sat, label, event.inputs, event.inputs_known, own,
        frozenset(others),
    )  # fmt: skip


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
    place: Place,
    watch: WatchTable,
    peers: list[ReplayPeer],
    rules: Sequence[Rule],
    limits: dict[str, int] | None = None,
    **settings: Any,
) -> tuple[Found, Engine]:
    """Replays all; returns what was reported once every order has its final answer."""
    settings |= {"network": "mainnet", "watch": watch, "backend": place.backend, "dry_run": False, "risk": NO_LIMIT}
    wide = {"pending_orders": 4096, "event_queue": 1 << 14, "backoff_min_ms": 10, "request_timeout_ms": 60_000}
    engine = Engine(limits=EngineLimits(**wide | (limits or {})), **settings)
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
            if isinstance(event, Signal):
                found[finding_of(event)] += 1
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


def calls_for(rule: Rule, found: Finding) -> bool:
    """Whether a rule acts on what was found."""
    if found.amount_sat < rule.min_sat or (rule.labels is not None and found.label not in rule.labels):
        return False
    return found.kind == "deposit" and (not rule.certain_only or found.known == found.inputs)


def check_orders(place: Place, watched: dict[bytes, str], rules: Sequence[Rule]) -> int:
    """Exactly one order for each rule and transaction that fits, and what it says."""
    wanted = {
        (f"h{i:02x}-{found.txid[:24]}", rule.order.symbol, rule.order.side, rule.order.quantity)
        for i, rule in enumerate(rules)
        for found in findings(place.replay, watched)
        if calls_for(rule, found)
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
    wanted = Counter(findings(replay, exchanges))
    kinds = {finding.kind for finding in wanted}
    assert kinds == {"deposit", "withdrawal"}, "the block says little of the list: nothing was shown"
    assert found == wanted
    assert check_orders(place, exchanges, rules) > 0
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
    amounts = sorted(finding.amount_sat for finding in findings(replay, crowd) if finding.kind == "deposit")
    nearest = min(amounts, key=lambda amount: abs(amount - least))  # exactly on it: at least, not more than
    few = amounts[-200]
    rules = [
        rig.rule("exact", min_sat=max(nearest, few), order=SELL),
        rig.rule("more", min_sat=max(nearest, few) + 1, order=BUY),
        rig.rule("some", min_sat=few, labels=frozenset({"owner1", "owner5"}), order=replace(SELL, side="BUY")),
        rig.rule("certain", min_sat=few, certain_only=True, order=SELL),
    ]
    peers = peers_for(replay, 2, split=least)
    found, _ = run(place, watch, peers, rules, deposit_min_sat=least, whale_min_sat=100 * least)
    assert found == Counter(findings(replay, crowd, least, 100 * least))
    assert check_orders(place, crowd, rules) > 0


HUOBI = "e7567f497d27ff7af524c4092cdce36754a134d0c3d03e80684b72f661bdf252"


@pytest.mark.parametrize("look", [True, False], ids=["inputs", "outputs alone"])
def test_change_of_an_exchange_is_no_deposit(
    place: Place, address_list: Path, exchanges: dict[bytes, str], look: bool
) -> None:
    """9.64 bitcoin go to a wallet of Huobi that one of the three inputs spends from."""
    number = next(i for i, tx in enumerate(place.replay.txs) if tx.id == HUOBI)
    there = place.replay
    replay = Replay([there.txs[number]], [there.outputs[number]], [there.spent[number]])
    assert "huobi" in {exchanges.get(script) for script in replay.spent[0] if script is not None}
    limits = {} if look else {"inputs": 0}
    watch = WatchTable.from_csv(address_list, network="mainnet")
    found, engine = run(
        replace(place, replay=replay), watch, peers_for(replay, 1), [rig.rule(min_sat=rig.COIN)], limits
    )
    (finding,) = found
    assert finding.label == "huobi"
    if look:
        assert (finding.kind, finding.known, finding.inputs) == ("withdrawal", 3, 3)
        assert engine.stats().orders_sent == 0
    else:  # what a look at the outputs alone makes of it
        assert (finding.kind, finding.amount_sat) == ("deposit", 964_267_004)
        assert engine.stats().orders_sent == 1
