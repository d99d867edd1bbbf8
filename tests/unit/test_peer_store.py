"""The peer store and its file, network groups, scores: what PeerManager decides by."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from hftcore import ConfigError
from hftcore.peers import NetworkGroups, PeerInfo, PeerStore, to_replace

FULL = 9  # NODE_NETWORK, NODE_WITNESS


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def store(path: Path | None = None, **settings: object) -> tuple[PeerStore, Clock]:
    clock = Clock()
    return PeerStore(path, "mainnet", clock=clock, **settings), clock  # type: ignore[arg-type]


# ---- the file ----


def test_what_was_learnt_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "new" / "peers.json"
    first, clock = store(path)
    first.add("192.0.2.1", 8333, services=FULL, seen=1_699_999_000)
    first.add("2001:db8::1", 8334)
    first.on_try("192.0.2.1", 8333)
    first.on_success("192.0.2.1", 8333, ping_ns=42_400_000, services=FULL)
    first.on_success("192.0.2.1", 8333, ping_ns=99_000_000, services=FULL)
    first.on_wins("192.0.2.1", 8333, 3)
    first.on_wins("192.0.2.1", 8333, 4)
    first.on_failure("2001:db8::1", 8334)
    first.save()
    again, _ = store(path)
    assert list(again) == list(first)
    known = again.get("192.0.2.1", 8333)
    assert known is not None
    assert (known.ping_ms, known.wins, known.failures, known.tried, known.succeeded) == (
        42, 7, 0, int(clock.now), int(clock.now),
    )  # fmt: skip
    assert [path.name for path in path.parent.iterdir()] == ["peers.json"]  # nothing partial is left


GOOD = {
    "host": "192.0.2.1", "port": 8333, "services": 9, "seen": 1, "tried": 1, "succeeded": 1, "failures": 0,
    "retry_at": 0, "ping_ms": 5, "wins": 1,
}  # fmt: skip
CORRUPT = {
    "empty": b"",
    "cut": json.dumps({"format": 1, "network": "mainnet", "peers": [GOOD]}).encode()[:-9],
    "bytes": bytes(range(256)),
    "another format": b'{"format":2,"network":"mainnet","peers":[]}',
    "a list": b"[1,2,3]",
    "no peers": b'{"format":1,"network":"mainnet"}',
    "deep": b"[" * 100_000,
    **{
        f"peer with {name}={value!r}": json.dumps(
            {"format": 1, "network": "mainnet", "peers": [{**GOOD, name: value}]}
        ).encode()
        for name, value in [
            ("host", "example.org"), ("host", 5), ("port", 0), ("port", 65536), ("port", "8333"), ("seen", -1),
            ("wins", 1.5), ("failures", True), ("services", 1 << 64), ("extra", 1),
        ]
    },
}  # fmt: skip


@pytest.mark.parametrize("what", CORRUPT)
def test_a_corrupt_file_is_set_aside(what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "peers.json"
    path.write_bytes(CORRUPT[what])
    with caplog.at_level(logging.WARNING, "hftcore.peers"):
        made, clock = store(path)
    assert len(made) == 0
    aside = tmp_path / f"peers.json.corrupt-{int(clock.now)}"
    assert aside.read_bytes() == CORRUPT[what]
    assert not path.exists()
    (record,) = caplog.records
    assert str(path) in record.getMessage()
    assert aside.name in record.getMessage()
    made.add("192.0.2.1", 8333)
    made.save()
    assert len(store(path)[0]) == 1


def test_a_store_of_another_network_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    store(path)[0].save()
    with pytest.raises(ConfigError, match="of mainnet, not signet"):
        PeerStore(path, "signet")
    assert path.exists()


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "peers.json"
    made, _ = store(path)
    made.add("192.0.2.1", 8333)
    made.save()
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("disk full")

    made.add("192.0.2.2", 8333)
    monkeypatch.setattr("hftcore._peer_store.os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        made.save()
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["peers.json"]


def test_two_may_write_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    stores = [store(path)[0] for _ in range(2)]
    for i in range(3000):
        for made in stores:
            made.add(f"{i // 250 + 1}.{i % 250}.0.1", 8333)
    failures = []

    def write(made: PeerStore) -> None:
        try:
            for _ in range(20):
                made.save()
                json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(made,)) for made in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [path.name for path in tmp_path.iterdir()] == ["peers.json"]


# ---- bounds and back-off ----


def test_it_is_bounded_and_what_served_stays() -> None:
    made, _ = store(capacity=100)
    made.add("10.0.0.1", 8333)
    made.on_success("10.0.0.1", 8333, ping_ns=1, services=FULL)
    for i in range(1000):
        made.add(f"11.{i % 250}.{i // 250}.1", 8333)
        assert len(made) <= 100
    assert made.get("10.0.0.1", 8333) is not None
    for peer in list(made):
        made.on_success(peer.host, peer.port, ping_ns=1, services=FULL)
    assert not made.add("12.0.0.1", 8333)  # nobody makes room any more
    dead = next(peer for peer in made if peer.host != "10.0.0.1")
    for _ in range(12):
        made.on_failure(dead.host, dead.port)
    assert made.add("12.0.0.1", 8333)  # or the store would be full of dead nodes in the end
    assert made.get(dead.host, dead.port) is None
    assert len(made) == 100


def test_nobody_fills_it_from_one_group() -> None:
    made, _ = store()
    assert sum(made.add(f"10.0.{i // 250}.{i % 250 + 1}", 8333) for i in range(1000)) == 64
    assert made.add("10.1.0.1", 8333)


def test_what_is_not_wanted() -> None:
    made, clock = store()
    assert not made.add("10.0.0.1", 0)
    assert not made.add("10.0.0.1", 8333, services=1)  # no witness data
    assert made.add("10.0.0.1", 8333, services=FULL, seen=1 << 33)
    assert [peer.seen for peer in made] == [clock.now]  # nobody was seen in the future


def test_each_failure_doubles_the_pause() -> None:
    made, clock = store()
    made.add("10.0.0.1", 8333)
    made.on_success("10.0.0.1", 8333, ping_ns=1, services=FULL)
    pauses = []
    for _ in range(20):
        made.on_failure("10.0.0.1", 8333)
        (peer,) = made
        pauses.append(peer.retry_at - clock.now)
        assert not made.usable()
        assert made.choose(()) is None
    for i, pause in enumerate(pauses):
        assert 0.74 <= pause / min(60 * 2**i, 86_400) <= 1.26
    clock.now += 86_400 * 1.25 + 1
    assert made.choose(()) is not None
    made.on_success("10.0.0.1", 8333, ping_ns=1, services=FULL)
    made.on_failure("10.0.0.1", 8333)
    assert 45 <= next(iter(made)).retry_at - clock.now <= 75  # from the beginning


def test_what_never_answers_is_forgotten() -> None:
    made, _ = store()
    made.add("10.0.0.1", 8333)
    for _ in range(12):
        made.on_failure("10.0.0.1", 8333)
    assert len(made) == 0


def test_a_group_in_use_is_not_dialled() -> None:
    made, _ = store()
    groups = NetworkGroups()
    for host in ("10.0.0.1", "10.0.99.1", "10.1.0.1", "2001:db8::1", "2001:db8:ffff::1"):
        made.add(host, 8333)
    taken = {groups.of("10.0.1.1"), groups.of("2001:db8::9")}
    assert {peer.host for peer in made.usable(taken)} == {"10.1.0.1"}
    assert {made.choose(taken).host for _ in range(20)} == {"10.1.0.1"}  # type: ignore[union-attr]
    assert made.choose(taken | {groups.of("10.1.0.1")}) is None


def test_each_group_has_the_same_chance() -> None:
    made, _ = store()
    for i in range(1, 51):
        made.add(f"10.0.0.{i}", 8333)
    made.add("10.1.0.1", 8333)
    drawn = [made.choose(()).host for _ in range(400)]  # type: ignore[union-attr]
    assert 120 < drawn.count("10.1.0.1") < 280


# ---- groups ----


def test_groups_by_autonomous_system(tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    path.write_text("# a comment\n10.0.0.0/8 64500\n10.9.0.0/16 AS64501\n\n2001:db8::/32 64500\n10.9.9.1/32 7\n")
    groups = NetworkGroups(path)
    assert groups.of("10.1.0.1") == groups.of("10.200.0.1") == groups.of("2001:db8:1::1")
    assert groups.of("10.9.1.1") not in {groups.of("10.1.0.1"), groups.of("10.9.9.1")}
    assert groups.of("10.9.9.2") == groups.of("10.9.1.1")
    plain = NetworkGroups()
    assert groups.of("192.0.2.1") == plain.of("192.0.3.1")
    assert len({plain.of(host) for host in ("10.0.0.1", "10.1.0.1", "2001:db8::", "2001:db9::")}) == 4


@pytest.mark.parametrize(
    "line", ["10.0.0.0/8", "10.0.0.0 5", "10.0.0.0/33 5", "10.0.0.0/8 x", "10.0.0/8 5", "10.0.0.0/8 -1", "::/129 5"]
)
def test_a_wrong_line_of_an_asn_file_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    path.write_text(f"10.0.0.0/8 64500\n{line}\n")
    with pytest.raises(ConfigError, match=r"table\.txt:2: "):
        NetworkGroups(path)


# ---- scores ----


def peer(number: int, **changes: Any) -> PeerInfo:
    settings: dict[str, Any] = {
        "role": "managed", "state": "ready", "ready_ns": 700 * 10**9, "transactions": 1000, "announced": 900,
        "merit": 300_000, "served": 10,
    } | changes  # fmt: skip
    return PeerInfo(peer=number, address=f"10.{number}.0.1:8333", ip=f"10.{number}.0.1", **settings)


def test_the_score() -> None:
    assert peer(1, merit=1_000_000).score == 100
    assert peer(1, merit=500_000).score == 50
    assert peer(1, merit=500_000, ping_min_ns=10**9).score == 25
    assert peer(1, merit=500_000, served=0, unanswered=1).score == 25
    assert peer(1, merit=9_000_000).score == 100  # invented transactions buy nothing more
    assert peer(1, transactions=0).score == 0


def test_the_worst_go_a_few_at_a_time() -> None:
    good = [peer(i, first=i) for i in range(12)]
    bad = [peer(12, merit=10_000), peer(13, merit=0), peer(14, merit=20_000), peer(15, merit=30_000)]
    assert [p.peer for p in to_replace([*good, *bad], trial_s=600)] == [13, 12]
    assert [p.peer for p in to_replace(bad + good[:3], trial_s=600)] == [13]  # of so few, one
    assert [p.peer for p in to_replace([*good[:3], bad[1]], trial_s=600)] == [13]


def test_who_stays() -> None:
    good = [peer(i) for i in range(4)]
    cases: tuple[dict[str, Any], ...] = (
        {"ready_ns": 599 * 10**9},  # on trial
        {"transactions": 49},
        {"role": "fixed"},
        {"role": "inbound"},
        {"state": "connecting"},
        {"first": 1},  # first more often than any other, whatever else
    )
    for changes in cases:
        assert to_replace([*good, dataclasses.replace(peer(9, merit=0), **changes)], trial_s=600) == []
    assert to_replace([*good, peer(9, merit=0)], trial_s=600) == [peer(9, merit=0)]
    assert to_replace([peer(9, merit=0)], trial_s=600) == []
