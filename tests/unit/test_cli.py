"""The program's face: help that teaches, errors on standard error with the right exit status, a doctor that runs."""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hftcore
import runner.doctor
from hftcore import Engine, EngineLimits, WatchTable, bitcoin
from hftcore.errors import ConfigError
from hftcore.events import (
    DepositEvent,
    Event,
    InternalEvent,
    OrderEvent,
    PeerEvent,
    WhaleEvent,
    WithdrawalEvent,
)
from hftcore.peers import PeerStore
from runner import cli, peers
from runner.journal import Journal, describe, duration, to_json
from runner.whale import News, pump

COMMANDS = ("demo", "watch", "trade", "peers", "ws", "doctor", "addresses build", "addresses check")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs `hft` in this process: (exit status, standard output, standard error)."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hft", *arguments])
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capsys.readouterr()
        return status, re.sub(r"\x1b\[[0-9;]*m", "", out), err

    return call


Run = Callable[..., tuple[int, str, str]]


def test_overview_names_every_command(run: Run) -> None:
    status, out, _ = run("--help")
    assert status == 0
    assert all(re.search(rf"^\W*{command.split()[0]}\b", out, re.MULTILINE) for command in COMMANDS)
    assert run("-h")[1] == out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_by_example(run: Run, command: str) -> None:
    status, out, _ = run(*command.split(), "--help")
    assert status == 0
    examples = re.findall(rf"^\W*(hft {command}\b.*?)\W*$", out.split("Examples:")[1], re.MULTILINE)
    assert len(examples) >= 2
    options = set(re.findall(r"--[a-z][a-z-]+", out.split("Options")[1]))
    used = {option for line in examples for option in re.findall(r"(?<= )--[a-z][a-z-]+", line)}
    assert used <= options


def test_version(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"{name} 1.2.3")
    assert run("--version")[:2] == (0, "hft hftcore 1.2.3\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("demo", "--min-btc", "lots"), "not an amount"),
        (("demo", "--min-btc", "5000000000"), "the unit is BTC, not satoshi"),
        (("demo", "--mode", "fast"), "fast"),
        (("watch", "--peer", "1:2:3"), "HOST:PORT"),
        (("watch", "--network", "testnet"), "testnet"),
        (("watch", "--network", "regtest"), "regtest has no DNS seeds; name a node with --peer HOST:PORT"),
        (("watch", "--addresses", "none.csv"), "none.csv: No such file"),
        (("demo", "--addresses", "none.csv"), "none.csv: No such file"),
        (("demo", "--transactions", "none.bin"), "none.bin: No such file"),
        (("trade", "none.toml"), "none.toml: no such file; docs/examples/whale.toml"),
        (("trade",), "CONFIG.toml"),
        (("addresses", "build", "-o", "x"), "LIST"),
        (("addresses", "build", "none.csv", "-o", "x"), "No such file"),
        (("addresses", "build", "list.xls", "-o", "x"), "list.xls: the ending tells the format"),
        (("addresses", "check", "bc1qnonsense"), "is not bech32"),
        (("addresses", "check", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "--table", "none"), "none"),
        (("dance",), "dance"),
    ],
)
def test_wrong_arguments_are_told_and_exit_2(run: Run, arguments: tuple[str, ...], message: str) -> None:
    status, out, err = run(*arguments)
    assert status == 2
    assert out == ""
    assert message in re.sub(r"\s*│\s*\n?│?\s*", " ", err)


def test_a_broken_transactions_file_is_explained(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "transactions.bin"
    path.write_bytes(b"\x02\0\0\0\x05\0\0\0hello")
    status, _, err = run("demo", "--transactions", str(path))
    assert status == 2
    assert err.startswith(f"error: {path}: neither a transaction list (")
    assert "nor a raw block (" in err


# ---- trade ----


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "wallets.csv").write_text("address,exchange\n1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa,Binance\n")
    path = tmp_path / "whale.toml"
    text = (ROOT / "docs/examples/whale.toml").read_text()
    path.write_text(text.replace("peers = []", 'peers = ["127.0.0.1:1"]'))
    return path


def test_trade_checks_a_file(run: Run, config: Path) -> None:
    status, out, _ = run("trade", str(config), "--check")
    assert status == 0
    assert out == f"{config}: good. 1 watched scripts, 1 rules, 1 venues, rehearsal only\n"


def test_trade_needs_both_switches(run: Run, config: Path) -> None:
    status, _, err = run("trade", str(config), "--live")
    assert status == 2
    assert f"{config}: dry_run: --live was given, but the file says dry_run = true" in err


def test_trade_takes_keys_from_the_environment_only(run: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HFT_BINANCE_API_KEY", raising=False)
    config.write_text(config.read_text().replace("dry_run = true", "dry_run = false"))
    status, out, err = run("trade", str(config), "--live")
    assert status == 2
    assert "LIVE" in out
    assert "HFT_BINANCE_API_KEY" in err


# ---- peers ----


def test_peers_lists_the_store(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = tmp_path / "hftcore" / "peers-signet.json"
    assert peers.default_store("signet") == path
    status, _, err = run("peers", "--network", "signet")
    assert status == 2
    assert f"{path}: no such file" in err
    store = PeerStore(path, "signet")
    for host in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.4"):
        store.add(host, 38333)
    for host, wins in (("192.0.2.2", 1), ("2001:db8::1", 7)):
        store.on_try(host, 38333)
        store.on_success(host, 38333, ping_ns=25_000_000, services=9)
        store.on_wins(host, 38333, wins)
    store.on_try("192.0.2.1", 38333)
    store.on_failure("192.0.2.1", 38333)
    store.save()
    status, out, _ = run("peers", "--network", "signet")
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[1:4] == [
        ["[2001:db8::1]:38333", "7", "25", "ms"],
        ["192.0.2.2:38333", "1", "25", "ms"],
        ["192.0.2.1:38333", "0", "1"],
    ]
    assert out.splitlines()[-1] == f"{path}: 4 addresses, 2 of them met"
    _, out, _ = run("peers", "--peer-store", str(path), "--network", "signet", "--json")
    assert [json.loads(line)["host"] for line in out.splitlines()][:2] == ["2001:db8::1", "192.0.2.2"]


def test_a_list_of_nodes(tmp_path: Path) -> None:
    path = tmp_path / "nodes.txt"
    path.write_text(
        "# comment\n\n192.0.2.1:8333\n[2001:db8::1]:8334 # another\nabc.onion:8333\nxyz.b32.i2p:0\n"
        "[fc11::1]:8333\n192.0.2.2\n"
    )
    assert peers.read_nodes(path) == [("192.0.2.1", 8333), ("2001:db8::1", 8334), ("192.0.2.2", 0)]
    path.write_text("192.0.2.1:8333\n192.0.2.1:99999\n2001:db8::1\n")
    with pytest.raises(ConfigError, match=r"(?s)nodes\.txt:2: .*nodes\.txt:3: "):
        peers.read_nodes(path)
    with pytest.raises(ConfigError, match="No such file"):
        peers.read_nodes(tmp_path / "none")


def test_bitcoin_cores_list_of_nodes(shared: Path) -> None:
    path = shared / "data" / "nodes_main.txt"
    usable = [line for line in path.read_text().splitlines() if not re.search(r"onion|i2p|^\[fc|^#", line)]
    assert len(peers.read_nodes(path)) == len(usable) > 1000


def test_whom_a_plan_connects_to(tmp_path: Path) -> None:
    def roles(**settings: Any) -> dict[str, int]:
        plan = peers.PeerPlan(network="signet", store=tmp_path / "peers.json", **settings)
        engine = Engine(network=plan.facts())
        manager = plan.apply(engine)
        fixed = len(engine.peers())
        return {"fixed": fixed, "found": manager.outbound(fixed) if manager else 0,
                "inbound": manager.max_inbound if manager else 0}  # fmt: skip

    named = [("192.0.2.1", None), ("192.0.2.2", 5)]
    assert roles() == {"fixed": 0, "found": 16, "inbound": 0}
    assert roles(target=100) == {"fixed": 0, "found": 100, "inbound": 0}
    assert roles(peers=named) == {"fixed": 2, "found": 0, "inbound": 0}
    assert roles(peers=named, target=16) == {"fixed": 2, "found": 14, "inbound": 0}
    assert roles(peers=named, listen="127.0.0.1:1") == {"fixed": 2, "found": 0, "inbound": 16}
    assert roles(peers=named, listen="127.0.0.1:1", max_inbound=3)["inbound"] == 3
    with pytest.raises(ConfigError, match="listen: "):
        roles(listen="127.0.0.1:x")


def test_failed_attempts_are_news_where_peers_are_named() -> None:
    def event(state: Any, peer: int = 0) -> PeerEvent:
        return PeerEvent(0, peer, "192.0.2.1:8333", state)

    events = [event("connecting"), event("lost"), event("ready"), event("lost", 1), event("lost"), event("lost")]
    named, found = News(managed=False), News(managed=True)
    assert [named(e) for e in events] == [False, True, True, True, True, True]
    assert [found(e) for e in events] == [False, False, True, False, True, False]


# ---- doctor ----


def test_doctor_reports_this_machine(run: Run) -> None:
    status, out, _ = run("doctor")
    assert status == 0
    for name in (
        "kernel",
        "io_uring",
        "OpenSSL",
        "SHA-256 kernel",
        "clock source",
        "cores",
        "open files",
        "locked memory",
    ):
        assert name in out, name
    status, out, _ = run("doctor", "--json")
    assert json.loads(out)[0]["name"] == "kernel"


def test_doctor_knows_each_way_io_uring_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    def finding(reason: str, switch: str) -> runner.doctor.Finding:
        monkeypatch.setattr(runner.doctor, "probe", lambda: dataclasses.replace(hftcore.probe(), io_uring=reason))
        monkeypatch.setattr(runner.doctor, "_read", lambda path: switch if path.endswith("io_uring_disabled") else "")
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        return next(finding for finding in runner.doctor.examine() if finding.name == "io_uring")

    denied = "denied: allow it"
    assert "seccomp" in finding(denied, "0").change
    assert "sysctl kernel.io_uring_disabled=0" in finding(denied, "2").change
    assert "io_uring_group" in finding(denied, "1").change
    assert finding("this kernel has no io_uring", "").change == "this kernel has no io_uring"
    assert finding(denied, "0").verdict == "note"
    assert finding("", "0").verdict == "ok"


def test_doctor_explains_the_sha256_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def finding(present: bool) -> runner.doctor.Finding:
        features = {**hftcore.probe().cpu_features, "sha-ni": present}
        monkeypatch.setattr(runner.doctor, "probe", lambda: dataclasses.replace(probe, cpu_features=features))
        return next(finding for finding in runner.doctor.examine() if finding.name == "SHA-256 kernel")

    probe = hftcore.probe()
    assert finding(True).verdict == "ok"
    assert finding(False).verdict == "note"


def forbid_io_uring() -> None:
    """A seccomp filter in this process and its children: io_uring_setup fails with EPERM, as in Docker's default."""

    class Filter(ctypes.Structure):
        _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint))

    class Program(ctypes.Structure):
        _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.POINTER(Filter)))

    load, jump, ret, io_uring_setup = 0x20, 0x15, 0x06, 425
    allow, deny = 0x7FFF0000, 0x00050000 | 1  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO with EPERM
    steps = ((load, 0, 0, 0), (jump, 0, 1, io_uring_setup), (ret, 0, 0, deny), (ret, 0, 0, allow))
    filters = (Filter * len(steps))(*(Filter(*step) for step in steps))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert (
        libc.prctl(22, 2, ctypes.byref(Program(len(steps), filters)), 0, 0) == 0
    )  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


@pytest.mark.skipif(struct.calcsize("P") != 8, reason="the filter is written for 64-bit system call numbers")
def test_doctor_under_seccomp() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "runner", "doctor", "--json"],
        cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=forbid_io_uring,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (io_uring,) = [row for row in json.loads(result.stdout) if row["name"] == "io_uring"]
    assert io_uring["verdict"] == "note"
    assert io_uring["value"].startswith("denied")
    assert "seccomp" in io_uring["change"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt_is_a_flag_first_and_an_exception_then(number: signal.Signals) -> None:
    from runner.signals import Interrupt

    before = signal.getsignal(number)
    with Interrupt().armed() as interrupt:
        assert not interrupt.happened
        os.kill(os.getpid(), number)
        assert interrupt.happened
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


# ---- events in words and as data ----


def event_of(kind: Any, **fields: Any) -> Any:
    """An event of that kind, of two inputs whose owners are known."""
    common = {"time_ns": 1, "txid": "ab" * 32, "wtxid": "cd" * 32, "amount_sat": 5, "peer": 0, "certain": True}
    return kind(**{**common, "inputs": 2, "inputs_known": 2, "inputs_taproot": 0, **fields})


def test_events_as_lines_and_json() -> None:
    moment = 1_700_000_000_123_456_789
    refused = OSError(errno.ECONNREFUSED, "Connection refused", "connect")
    lost = PeerEvent(moment, 0, "node.example:8333", "lost", error=refused)
    assert describe(lost).plain.endswith("peer     node.example:8333 lost: Connection refused (connect)")
    assert json.loads(to_json(lost)) == {
        "event": "peer",
        "time": "2023-11-14T22:13:20.123456789Z",
        "time_ns": moment,
        "peer": 0,
        "address": "node.example:8333",
        "state": "lost",
        "protocol_version": 0,
        "error": "ConnectionRefusedError: Connection refused (connect)",
    }
    sent = OrderEvent(
        moment, "sent", "r", "binance", "h00-ab", "ab" * 32, 150_000_000, "0.01000000", stages={"total": 4_310}
    )
    assert describe(sent).plain.endswith("order    h00-ab sent 0.01000000 on binance for 1.50000000 BTC after 4.31 us")
    rejected = OrderEvent(
        moment, "rejected", "r", "binance", "h00-ab", "ab" * 32, 1, error_class="funds", text="No [red]."
    )
    assert describe(rejected).plain.endswith("order    h00-ab rejected: funds No [red].")
    whale = event_of(WhaleEvent, time_ns=moment, amount_sat=10**10)
    assert describe(whale).plain.endswith("whale    100.00000000 BTC from nobody known to nobody known  " + "ab" * 32)
    deposit = event_of(DepositEvent, label="Acme", output=1, senders=("Bank",), certain=False, inputs_known=1)
    assert describe(deposit).plain.endswith(
        "deposit  0.00000005 BTC from Bank to Acme  " + "ab" * 32 + "  1 of 2 senders unknown"
    )
    assert "senders" not in json.loads(to_json(dataclasses.replace(deposit, senders=())))
    hidden = dataclasses.replace(deposit, senders=(), inputs_known=0, inputs_taproot=2)
    assert describe(hidden).plain.endswith("to Acme  " + "ab" * 32 + "  2 of 2 senders unknown (taproot)")
    hidden = dataclasses.replace(hidden, inputs_taproot=1)
    assert describe(hidden).plain.endswith("  2 of 2 senders unknown (1 taproot)")
    withdrawal = event_of(WithdrawalEvent, label="Acme", inputs_own=2, recipients=("Bank", "Shop"))
    assert describe(withdrawal).plain.endswith("withdraw 0.00000005 BTC from Acme to Bank, Shop  " + "ab" * 32)
    internal = event_of(InternalEvent, label="Acme", inputs_own=2)
    assert describe(internal).plain.endswith("internal 0.00000005 BTC within Acme  " + "ab" * 32)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"), (999, "999 ns"), (4_310, "4.31 us"), (48_100, "48.1 us"), (737_000, "737 us"),
        (2_060_000, "2.06 ms"), (1_500_000_000, "1.50 s"),
    ],
)  # fmt: skip
def test_durations(ns: int, text: str) -> None:
    assert duration(ns) == text


def test_the_journal_appends_whole_lines(tmp_path: Path) -> None:
    event = event_of(WhaleEvent)
    for _ in range(2):
        with Journal(tmp_path / "journal.jsonl") as journal:
            journal.write(event)
    rows = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert rows == [json.loads(to_json(event))] * 2


def test_a_torn_line_does_not_spoil_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk takes a part, then nothing, then, after a restart too, everything again."""
    event = event_of(WhaleEvent)
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        file = journal._file
        room = [40, 0]

        class NearlyFull:
            def write(self, data: memoryview) -> int:
                if not room:
                    return file.write(data)
                if (n := room.pop(0)) == 0:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return file.write(data[:n])

        monkeypatch.setattr(journal, "_file", NearlyFull())
        with pytest.raises(OSError, match="No space left"):
            journal.write(event)
        journal.write(event)
        monkeypatch.setattr(journal, "_file", file)
    with path.open("ab") as raw:
        raw.write(b'{"torn": ')
    with Journal(path) as journal:
        journal.write(event)
    lines = path.read_text().splitlines()
    assert [json.loads(lines[i]) for i in (1, 3)] == [json.loads(to_json(event))] * 2
    assert len(lines) == 4


def test_what_is_left_is_passed_on_whatever_fails() -> None:
    """A screen that is gone (`hft trade | head`) must not cost the journal the fate of an order."""
    engine = Engine(limits=EngineLimits(backoff_min_ms=1, backoff_max_ms=1))
    engine.add_peer("127.0.0.1", 1)
    taken: list[Event] = []

    def take(event: Event) -> None:
        taken.append(event)
        if len(taken) == 1:
            time.sleep(0.1)  # more events come meanwhile
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        pump(engine, take)
    assert len(taken) > 3
    assert engine.next_event(0) is None
    assert not engine.running


# ---- addresses ----

GENESIS = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"
SEGWIT = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
TAPROOT = "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"
TESTNET = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"


def test_addresses_are_built_and_checked(run: Run, tmp_path: Path) -> None:
    first, second, table = tmp_path / "first.csv", tmp_path / "second.txt", tmp_path / "table"
    first.write_text(f"address,label,source,priority\n{GENESIS},satoshi,block 0,7\n{SEGWIT},bip173,,\n")
    second.write_text(f"{SEGWIT} somebody else\n{TAPROOT} bip350\n")
    status, out, err = run("addresses", "build", str(first), str(second), "-o", str(table))
    assert status == 0
    assert out.splitlines()[:2] == [
        "4 entries: 3 added, 0 there already",
        "  1 whose label is not an earlier one's: the higher priority counts, or the first",
    ]
    assert f"{table}: 3 scripts, 3 labels, {table.stat().st_size:,} bytes" in out
    assert err.strip() == (
        f"conflict: {second}:1: {SEGWIT} is 'bip173' (first.csv); "
        "that it is 'somebody else' (second.txt) does not count"
    )
    status, out, _ = run("addresses", "check", GENESIS, "--table", str(table))
    assert status == 0
    assert out.split() == [
        *("type", "P2PKH", "network", "mainnet"),
        *("script", "76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac"),
        *("label", "satoshi", "source", "block", "0", "priority", "7"),
    ]
    status, out, _ = run("addresses", "check", TAPROOT, "--table", str(table), "--json")
    entry = {"label": "bip350", "source": "second.txt", "priority": 0}
    assert json.loads(out)["entry"] == entry
    assert run("addresses", "check", "3P14159f73E4gFr7JterCCQh9QjiTjiZrG", "--table", str(table))[0] == 1


@pytest.mark.parametrize(
    ("address", "kind", "networks"),
    [
        (GENESIS, "P2PKH", ["mainnet"]),
        ("3P14159f73E4gFr7JterCCQh9QjiTjiZrG", "P2SH", ["mainnet"]),
        (SEGWIT, "P2WPKH", ["mainnet"]),
        ("bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3", "P2WSH", ["mainnet"]),
        (TAPROOT, "P2TR", ["mainnet"]),
        ("bc1sw50qgdz25j", "witness version 16, 2 bytes", ["mainnet"]),
        (TESTNET, "P2WPKH", ["testnet4", "signet", "testnet3"]),
        ("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "P2PKH", ["testnet4", "signet", "testnet3", "regtest"]),
        ("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "P2WPKH", ["regtest"]),
    ],
)
def test_addresses_check_knows_every_type(run: Run, address: str, kind: str, networks: list[str]) -> None:
    status, out, _ = run("addresses", "check", address, "--json")
    assert status == 0
    found = json.loads(out)
    assert (found["type"], found["networks"]) == (kind, networks)
    assert "entry" not in found
    assert bitcoin.encode_address(bytes.fromhex(found["script"]), networks[0]) == address


def test_addresses_check_takes_the_table_of_its_network(run: Run, tmp_path: Path) -> None:
    listed, table = tmp_path / "list.txt", tmp_path / "table"
    listed.write_text(f"{TESTNET} faucet\n")
    assert run("addresses", "build", str(listed), "-o", str(table), "--network", "signet")[0] == 0
    assert "faucet" in run("addresses", "check", TESTNET, "--table", str(table))[1]
    assert "faucet" in run("addresses", "check", TESTNET, "--table", str(listed))[1]
    status, _, err = run("addresses", "check", GENESIS, "--table", str(table))
    assert status == 2
    assert "built for signet, not for mainnet" in err


def test_nothing_is_written_of_lists_with_faults_unless_it_is_wanted(run: Run, tmp_path: Path) -> None:
    listed, table = tmp_path / "list.txt", tmp_path / "table"
    listed.write_text(f"{GENESIS} a\nnonsense b\n{TESTNET} c\n{SEGWIT} d\n")
    table.write_bytes(b"what was there")
    status, out, err = run("addresses", "build", str(listed), "-o", str(table))
    assert status == 1
    assert table.read_bytes() == b"what was there"
    assert "2 that cannot be used" in out
    lines = err.splitlines()
    assert lines[0].startswith(f"error: {listed}:2: ")
    assert lines[1].startswith(f"error: {listed}:3: address belongs to another network")
    assert lines[2] == "error: nothing is written; mend the lines, or leave them out with --keep-going"
    status, out, err = run("addresses", "build", str(listed), "-o", str(table), "--keep-going")
    assert status == 0
    assert "2 that cannot be used" in out
    assert len(err.splitlines()) == 2
    assert len(WatchTable.open(table)) == 2
    listed.write_text("# nothing\n")
    status, _, err = run("addresses", "build", str(listed), "-o", str(table))
    assert status == 1
    assert "no address in the lists" in err
    assert len(WatchTable.open(table)) == 2


def test_a_markup_in_a_list_is_shown_as_it_is(run: Run, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("[bold]x[/] a\n")
    _, _, err = run("addresses", "build", str(listed), "-o", str(tmp_path / "table"))
    assert "'['" in err
