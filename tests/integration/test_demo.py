"""The program against the simulators, in processes of their own: demo, watch, trade; as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import runner.demo
from hftcore.bitcoin import encode_address
from runner import cli
from runner.demo import ExpectedOrder
from runner.sim.binance import VenueSettings
from runner.sim.bitcoin_peer import PeerSettings
from runner.sim.serialize import Tx
from runner.sim.traffic import COIN, Generator, client_order_id, demo_watch_list, deposits
from runner.sim.world import Report, SimProcess, WorldSettings

ROOT = Path(__file__).resolve().parents[2]
WATCHED = {s: label for s, label in demo_watch_list().items() if encode_address(s, "regtest") is not None}


def hft(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runner", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def children_of(pid: int) -> list[str]:
    """Processes whose parent is pid."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(path.parent.name)
    return found


@pytest.fixture(scope="module")
def transactions() -> list[Tx]:
    generator = Generator(seed=11, watched=WATCHED, deposit_share=0.1)
    return [generator.make() for _ in range(400)]


@pytest.fixture(scope="module")
def files(transactions: list[Tx], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with transactions.bin, wallets.csv (regtest) and mainnet.csv."""
    directory = tmp_path_factory.mktemp("files")
    parts = [len(transactions).to_bytes(4, "little")]
    for tx in transactions:
        parts += [len(tx.raw).to_bytes(4, "little"), tx.raw]
    (directory / "transactions.bin").write_bytes(b"".join(parts))
    for name, network in (("wallets.csv", "regtest"), ("mainnet.csv", "mainnet")):
        lines = [f"{encode_address(script, network)},{label}\n" for script, label in WATCHED.items()]
        (directory / name).write_text("address,exchange\n" + "".join(lines))
    return directory


def due(transactions: list[Tx], min_sat: int = COIN) -> set[str]:
    """The txids that call for an order."""
    return {d.txid for tx in transactions for d in deposits(tx, WATCHED) if d.amount_sat >= min_sat}


@pytest.mark.parametrize("backend", ["io_uring", "epoll"])
def test_demo_is_exact(backend: str) -> None:
    result = hft("demo", "--seconds", "2", "--json", "--backend", backend)
    assert result.returncode == 0, result.stdout + result.stderr
    summary = json.loads(result.stdout)
    orders = summary["orders"]
    assert summary["backend"] == backend
    assert summary["transactions"] > 800
    assert orders["expected"] == orders["received"] == orders["sent"] > 10
    assert min(summary[name] for name in ("withdrawals", "internals", "replacements", "revoked")) > 0
    assert orders["acknowledged"] + orders["rejected"] == orders["sent"]
    assert orders["filled"] == orders["acknowledged"]
    assert summary["latency_ns"]["total"]["count"] == orders["sent"]


def test_demo_replays_a_file_to_its_end(transactions: list[Tx], files: Path) -> None:
    begin = time.monotonic()
    result = hft(
        "demo", "--transactions", str(files / "transactions.bin"), "--addresses", str(files / "mainnet.csv"),
        "--rate", "1000", "--json",
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert time.monotonic() - begin < 15
    summary = json.loads(result.stdout)
    assert summary["transactions"] == len(transactions)
    assert summary["orders"]["received"] == len(due(transactions)) > 10


def test_ctrl_c_ends_the_demo_with_its_summary() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "runner", "demo", "--seconds", "60"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().startswith("hft demo:")
    assert "transactions" in process.stdout.readline()
    children = children_of(process.pid)
    assert children
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, out + err
    assert err == ""
    assert "\nexact: the exchange received the" in out
    assert "\x1b" not in out
    deadline = time.monotonic() + 5  # multiprocessing's resource tracker ends just after the program
    while any(Path("/proc", child).exists() for child in children):
        assert time.monotonic() < deadline, "a process was left behind"
        time.sleep(0.02)


@pytest.mark.parametrize("tamper", ["one less", "one more"])
def test_a_difference_is_printed_and_fails(
    tamper: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    true_orders = runner.demo.expected_orders
    made_up = ExpectedOrder(client_order_id(0, "ff" * 32), "BTCUSDT", "SELL", runner.demo.Decimal("0.01"))

    def expected(report: Report) -> set[ExpectedOrder]:
        orders = true_orders(report)
        return orders | {made_up} if tamper == "one more" else orders - {max(orders)}

    monkeypatch.setattr(runner.demo, "expected_orders", expected)
    monkeypatch.setattr(sys, "argv", ["hft", "demo", "--seconds", "1"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    out = capsys.readouterr().out
    assert "NOT exact: 1 differences" in out
    line = f"missing at the exchange: {made_up.client_id} SELL" if tamper == "one more" else "not expected: h00-"
    assert line in out


# ---- watch and trade, against a world that this test starts ----


@pytest.fixture
def world(files: Path) -> Iterator[SimProcess]:
    settings = WorldSettings(
        watched=WATCHED,
        transactions=files / "transactions.bin",
        rate=0,
        peers=(PeerSettings(backlog=True), PeerSettings(backlog=True, split="random")),
        venue=VenueSettings(api_key="key", secret="secret"),
    )
    with SimProcess(settings) as sim:
        yield sim


def peer_options(world: SimProcess) -> list[str]:
    return [part for port in world.places.peer_ports for part in ("--peer", f"127.0.0.1:{port}")]


def test_watch_prints_every_signal(world: SimProcess, transactions: list[Tx], files: Path) -> None:
    world.announce()
    result = hft(
        "watch", "--network", "regtest", *peer_options(world), "--addresses", str(files / "wallets.csv"),
        "--min-btc", "2", "--json", "--seconds", "2",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    wanted = Counter[tuple[str, str, int, str]]()
    for tx in transactions:
        wanted.update(("deposit", tx.txid, d.amount_sat, d.label) for d in deposits(tx, WATCHED))
        wanted["whale", tx.txid, max((out.value for out in tx.outputs if out.script not in WATCHED), default=0), ""] = 1
    wanted = Counter({key: n for key, n in wanted.items() if key[2] >= 2 * COIN})
    assert Counter((row["event"], row["txid"], row["amount_sat"], row.get("label", "")) for row in rows) == wanted
    assert {row["event"] for row in rows} == {"deposit", "whale"}


def test_ctrl_c_ends_watch(world: SimProcess) -> None:
    world.announce()
    process = subprocess.Popen(
        [sys.executable, "-m", "runner", "watch", "--network", "regtest", *peer_options(world)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert "whale" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 0, err
    assert "Traceback" not in err


def write_config(world: SimProcess, files: Path, *, dry_run: bool) -> Path:
    peers = ", ".join(f'"127.0.0.1:{port}"' for port in world.places.peer_ports)
    path = files / f"trade-{dry_run}.toml"
    path.write_text(f"""
dry_run = {str(dry_run).lower()}
[bitcoin]
network = "regtest"
peers = [{peers}]
addresses = "wallets.csv"
[risk]
burst = 1024
refill_ms = 1
window_orders = 1024
window_notional = "9999999"
[[venue]]
name = "binance"
url = "{world.places.venue_url}"
ca_file = "{world.places.ca_file}"
[[rule]]
name = "kraken"
venue = "binance"
labels = ["Kraken (demo)"]
min_btc = "3"
[rule.order]
symbol = "BTCUSDT"
side = "BUY"
type = "MARKET"
quantity = "0.00100000"
notional = "60"
[journal]
path = "journal-{dry_run}.jsonl"
""")
    return path


def kraken(transactions: list[Tx]) -> set[str]:
    found = [d for tx in transactions for d in deposits(tx, WATCHED)]
    return {d.txid for d in found if d.amount_sat >= 3 * COIN and d.label == "Kraken (demo)"}


def trade(world: SimProcess, path: Path, *options: str) -> str:
    """Runs `hft trade` until all orders are answered; returns its standard output."""
    keys = {"HFT_BINANCE_API_KEY": "key", "HFT_BINANCE_API_SECRET": "secret"}
    process = subprocess.Popen(
        [sys.executable, "-m", "runner", "trade", str(path), "--seconds", "2.5", *options],
        cwd=ROOT, env=os.environ | keys, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    begin = ""
    while "binance ready" not in begin:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        begin += line
    world.announce()  # a venue that is not ready takes no orders, so transactions come only now
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "secret" not in begin + out + err
    return begin + out


@pytest.mark.parametrize(
    ("dry_run", "reason"), [(True, "the file says dry_run = true"), (False, "--live is not given")]
)
def test_a_rehearsal_sends_nothing(
    world: SimProcess, transactions: list[Tx], files: Path, dry_run: bool, reason: str
) -> None:
    out = trade(world, write_config(world, files, dry_run=dry_run))
    assert f"DRY RUN  no order will be sent: {reason}" in out
    rows = [json.loads(line) for line in (files / f"journal-{dry_run}.jsonl").read_text().splitlines()]
    orders = [row for row in rows if row["event"] == "order"]
    assert {row["txid"] for row in orders} == kraken(transactions)
    assert {row["state"] for row in orders} == {"dry_run"}
    assert world.report().orders == ()


def test_live_trading_sends_exactly_what_the_rule_says(world: SimProcess, transactions: list[Tx], files: Path) -> None:
    journal = files / "journal-False.jsonl"
    journal.unlink(missing_ok=True)
    out = trade(world, write_config(world, files, dry_run=False), "--live")
    assert "LIVE  orders will be SENT" in out
    orders = world.report().orders
    assert sorted(order.client_id for order in orders) == sorted(
        client_order_id(0, txid) for txid in kraken(transactions)
    )
    assert orders
    assert {(order.symbol, order.side, order.type, order.quantity, order.code) for order in orders} == {
        ("BTCUSDT", "BUY", "MARKET", "0.00100000", 0)
    }
    states = [row["state"] for row in map(json.loads, journal.read_text().splitlines()) if row["event"] == "order"]
    assert states.count("sent") == states.count("filled") == len(orders)
