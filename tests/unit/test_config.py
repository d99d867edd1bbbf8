"""Configuration files: what is accepted, and that each mistake is told with file, key and remedy."""

from __future__ import annotations

import os
import re
import resource
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcore.addresses import get_network
from hftcore.errors import ConfigError
from hftcore.peers import parse_endpoint
from runner.config import format_btc, load, parse_btc
from runner.peers import PeerPlan

EXAMPLE = Path(__file__).resolve().parents[2] / "docs/examples/whale.toml"
GENESIS = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"
GOOD = """
dry_run = false
[bitcoin]
network = "mainnet"
peers = ["127.0.0.1", "[2001:db8::1]:8333", "node.example:18333"]
addresses = "wallets.csv"
whale_btc = "100"
[risk]
window_notional = "2500.50"
[[venue]]
name = "binance"
testnet = true
[[rule]]
name = "sell"
venue = "binance"
labels = ["Binance"]
min_btc = "50.5"
cooldown_ms = 600_000
[rule.order]
symbol = "BTCUSDT"
side = "SELL"
type = "LIMIT"
quantity = "0.00100000"
price = "60000.00"
[journal]
path = "journal.jsonl"
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "wallets.csv").write_text(f"address,exchange\n{GENESIS},Binance\n")
    return tmp_path


def write(directory: Path, text: str) -> Path:
    path = directory / "whale.toml"
    path.write_text(text)
    return path


def test_a_good_file(directory: Path) -> None:
    plan = load(write(directory, GOOD))
    assert plan.config.dry_run is False
    assert plan.peers == PeerPlan(
        network="mainnet", peers=[("127.0.0.1", None), ("2001:db8::1", 8333), ("node.example", 18333)]
    )
    assert plan.watch.labels == ("Binance",)
    assert plan.config.bitcoin.whale_sat == 100 * 10**8
    assert plan.risk.window_notional == "2500.50"
    assert plan.risk.burst == 1
    (rule,) = plan.rules
    assert (rule.min_sat, rule.labels, rule.cooldown_ms) == (5_050_000_000, frozenset({"Binance"}), 600_000)
    assert (rule.order.quantity, rule.order.price, rule.order.time_in_force) == ("0.00100000", "60000.00", "GTC")
    (venue,) = plan.venues
    assert (venue.venue.name, venue.url, venue.ca_file) == ("binance", venue.venue.testnet_url, None)
    assert plan.journal == directory / "journal.jsonl"


def test_addresses_are_locked_if_wanted_and_allowed(directory: Path) -> None:
    path = write(directory, GOOD.replace("[bitcoin]", "[bitcoin]\nlock_addresses = true"))
    before = locked_kib()
    plan = load(path)
    assert locked_kib() > before
    again = plan.load_watch()
    assert again is not plan.watch
    limits = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, limits[1]))
    try:
        if os.geteuid() != 0:  # root may lock what it likes
            with pytest.raises(ConfigError, match=r"lock_addresses: .*ulimit -l"):
                load(path)
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, limits)


def locked_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmLck"))


def test_the_example_is_good_and_a_rehearsal(directory: Path) -> None:
    plan = load(write(directory, EXAMPLE.read_text()))
    assert plan.config.dry_run is True
    assert plan.venues[0].url == plan.venues[0].venue.testnet_url


def test_dry_run_is_the_default(directory: Path) -> None:
    assert load(write(directory, GOOD.replace("dry_run = false", ""))).config.dry_run is True


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('min_btc = "50.5"', 'min_btz = "50.5"', r"rule\[0\]\.min_btz: unknown key; did you mean min_btc \(.*in BTC"),
        ("cooldown_ms = 600_000", "cooldown_s = 600", r"rule\[0\]\.cooldown_s: unknown key; did you mean cooldown_ms"),
        ('min_btc = "50.5"', 'min_sat = "5"', r"rule\[0\]\.min_sat: unknown key; did you mean min_btc"),
        ('min_btc = "50.5"', "", r"rule\[0\]\.min_btc: missing \(.*BTC"),
        ('min_btc = "50.5"', "min_btc = 50.5", r'rule\[0\]\.min_btc: write the amount as text.*"50\.5"'),
        ('min_btc = "50.5"', "min_btc = 50", r'rule\[0\]\.min_btc: write the amount as text.*"50"'),
        ('min_btc = "50.5"', 'min_btc = "50 BTC"', r"rule\[0\]\.min_btc: not an amount"),
        ('min_btc = "50.5"', 'min_btc = "5050000000"', r"rule\[0\]\.min_btc: .*the unit is BTC, not satoshi"),
        ('min_btc = "50.5"', 'min_btc = "0.000000001"', r"rule\[0\]\.min_btc: more than 8 decimals"),
        ('min_btc = "50.5"', 'min_btc = "0"', r"rule\[0\]\.min_btc: the amount must be above 0"),
        ("cooldown_ms = 600_000", "cooldown_ms = 0.5", r"rule\[0\]\.cooldown_ms: .*integer.*whole milliseconds"),
        ("cooldown_ms = 600_000", 'cooldown_ms = "10s"', r"rule\[0\]\.cooldown_ms: .*integer, not '10s'"),
        ('quantity = "0.00100000"', "quantity = 0.001", r'rule\[0\]\.order\.quantity: write the number.*"0\.001"'),
        ('price = "60000.00"', "", r"rule\[0\]\.order\.price: a LIMIT order needs one"),
        ('type = "LIMIT"', 'type = "MARKET"', r"rule\[0\]\.order\.price: a MARKET order has none"),
        ('side = "SELL"', 'side = "sell"', r"rule\[0\]\.order\.side: Input should be 'BUY' or 'SELL', not 'sell'"),
        ("dry_run = false", 'dry_run = "no"', r"dry_run: .*boolean, not 'no' \(true or false"),
        ("dry_run = false", "dryrun = false", r"dryrun: unknown key; did you mean dry_run"),
        ("[risk]", "[risks]", r"risks: unknown key; did you mean risk"),
        ("[risk]", "[risk]\nxyz = 1", r"risk\.xyz: unknown key; known here: burst, refill_ms"),
        ('network = "mainnet"', 'network = "main"', r"bitcoin\.network: .*not 'main' \("),
        ('network = "mainnet"', 'network = "regtest"', r"bitcoin\.addresses: .*\n?.*wallets\.csv:2: .*network"),
        ('"127.0.0.1"', '"127.0.0.1:http"', r"bitcoin\.peers\[0\]: .*HOST:PORT"),
        ("[risk]", "target_peers = 126\n[risk]", r"bitcoin\.target_peers: .*125, not 126"),
        ("[risk]", 'listen = "127.0.0.1:0"\n[risk]', r"bitcoin\.listen: .*HOST:PORT"),
        ("[risk]", 'asn_file = "table.txt"\n[risk]', r"bitcoin\.asn_file: .*table\.txt: no such file"),
        ("[risk]", 'nodes_file = "nodes.txt"\n[risk]', r"bitcoin\.nodes_file: .*nodes\.txt: no such file"),
        ("[risk]", 'signet_challenge = "51"\n[risk]', r"bitcoin\.signet_challenge: .*for signet, not mainnet"),
        ("[risk]", 'signet_challenge = "xy"\n[risk]', r"bitcoin\.signet_challenge: not hex"),
        ('"wallets.csv"', '"walets.csv"', r"bitcoin\.addresses: .*walets\.csv: No such file.*address,exchange"),
        ('name = "binance"', 'name = "binanc"', r"venue\[0\]\.name: no venue 'binanc'; there are: binance"),
        ('venue = "binance"', 'venue = "kraken"', r"rule\[0\]\.venue: 'kraken' is none of .*: binance"),
        ("testnet = true", 'testnet = true\nurl = "wss://x/"', r"venue\[0\]\.url: testnet = true chooses the url"),
        ("testnet = true", 'ca_file = "ca.pem"', r"venue\[0\]\.ca_file: .*ca\.pem: no such file"),
        ('labels = ["Binance"]', 'labels = ["Binanse"]', r"rule\[0\]\.labels: 'Binanse' labels no address .*: Binance"),
        ('labels = ["Binance"]', "labels = []", r"rule\[0\]\.labels: an empty list"),
        ("window_notional", "window_orders = 0\nwindow_notional", r"risk\.window_orders: .*not 0 \(most orders"),
        ("[journal]", "[[rule]]", r"rule\[1\]\.path: unknown key"),
        ("[bitcoin]", "[bitcoin", r"not valid TOML: .*line 3"),
    ],
)  # fmt: skip
def test_mistakes_name_file_key_and_remedy(directory: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    path = write(directory, GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert re.search(rf"^{re.escape(str(path))}: {message}", str(caught.value), re.MULTILINE), str(caught.value)


@pytest.mark.parametrize(
    ("venue", "accepted"),
    [("testnet = true", True), ('url = "wss://localhost:1/"', True), ("", False), ('url = "wss://x.example/"', False)],
)
def test_worthless_coins_move_no_money(directory: Path, venue: str, accepted: bool) -> None:
    (directory / "wallets.csv").write_text("address,exchange\nmipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn,Binance\n")
    text = GOOD.replace('network = "mainnet"', 'network = "regtest"').replace("testnet = true", venue)
    load(write(directory, text.replace("dry_run = false", "dry_run = true")))
    if accepted:
        load(write(directory, text))
    else:
        with pytest.raises(ConfigError, match="coins cost nothing"):
            load(write(directory, text))


def test_all_mistakes_at_once(directory: Path) -> None:
    text = GOOD.replace('min_btc = "50.5"', "min_btc = 1.0").replace("testnet", "tesnet").replace("[risk]", "[risc]")
    with pytest.raises(ConfigError) as caught:
        load(write(directory, text))
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("[[venue]]", 'api_key = "hunter2hunter2"'),
        ("[[venue]]", 'API-Secret = "hunter2hunter2"'),
        ("[bitcoin]", 'password = "hunter2hunter2"'),
        ("[risk]", 'binance = { credentials = "hunter2hunter2" }'),
    ],
)
def test_keys_are_refused_and_never_repeated(directory: Path, section: str, line: str) -> None:
    path = write(directory, GOOD.replace(section, f"{section}\n{line}", 1))
    with pytest.raises(ConfigError, match="HFT_BINANCE_API_KEY and HFT_BINANCE_API_SECRET") as caught:
        load(path)
    assert "hunter2" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_and_unreadable_files(directory: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: no such file; docs/examples"):
        load(directory / "none.toml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load(directory)
    (directory / "whale.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(directory / "whale.toml")


def test_names_must_be_unique(directory: Path) -> None:
    rule = GOOD[GOOD.index("[[rule]]") : GOOD.index("[journal]")]
    with pytest.raises(ConfigError, match=r"rule\[1\]\.name: 'sell' is there twice"):
        load(write(directory, GOOD + rule))


@given(st.integers(1, 21_000_000 * 10**8))
def test_amounts_survive_the_round_trip(satoshi: int) -> None:
    text = format_btc(satoshi)
    assert parse_btc(text) == satoshi
    assert Decimal(text) * 10**8 == satoshi


@given(st.text(max_size=12))
def test_amounts_are_exact_or_refused(text: str) -> None:
    try:
        satoshi = parse_btc(text)
    except ValueError:
        return
    assert Decimal(text) * 10**8 == satoshi > 0


def test_what_is_said_of_peers(directory: Path) -> None:
    (directory / "nodes.txt").write_text("192.0.2.1:8333\n")
    text = GOOD.replace(
        "[risk]",
        'target_peers = 100\nseeds = false\nnodes_file = "nodes.txt"\npeer_store = "kept/peers.json"\n'
        'listen = "[::1]:8333"\nmax_inbound = 8\n[risk]',
    )
    plan = load(write(directory, text)).peers
    assert (plan.target, plan.seeds, plan.nodes, plan.store, plan.listen, plan.max_inbound) == (
        100, False, directory / "nodes.txt", directory / "kept" / "peers.json", "[::1]:8333", 8,
    )  # fmt: skip


def test_a_signet_of_ones_own() -> None:
    default = (
        "512103ad5e0edad18cb1f0fc0d28a3d4f1f3e445640337489abb10404f2d1e086be430210359ef5021964fe22d6f8e05b2463c9540ce"
        "96883fe3b278760f048f5189f2e6c452ae"
    )  # of the public signet: Bitcoin Core, kernel/chainparams.cpp
    facts = PeerPlan(network="signet", signet_challenge=bytes.fromhex(default)).facts()
    assert facts.magic == get_network("signet").magic
    assert facts.dns_seeds == ()
    assert PeerPlan(network="signet", signet_challenge=b"\x51").facts().magic != facts.magic
    with pytest.raises(ConfigError, match="a script of 1 to 10000 bytes"):
        PeerPlan(network="signet", signet_challenge=b"").facts()


def test_peers() -> None:
    assert parse_endpoint("node.example") == ("node.example", None)
    assert parse_endpoint("[::1]:18444") == ("::1", 18444)
    for text in ("", "a:b", "a:0", "a:65536", "::1", "[::1", "a b:1", "a:1:2"):
        with pytest.raises(ValueError, match="HOST:PORT"):
            parse_endpoint(text)
