"""The TOML file of ``hft trade``: read, checked, and turned into what hftcore's Engine takes.

Whatever is wrong is reported with the file, the key and the remedy, all of it at once, before anything connects.
Amounts are decimal text in BTC and become whole satoshi; no float is accepted where money is meant. API keys are
refused here: they come from the environment (HFT_BINANCE_API_KEY, HFT_BINANCE_API_SECRET).
"""

from __future__ import annotations

import difflib
import re
import tomllib
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, ValidationError

from hftcore import venues
from hftcore.address_lists import load_table
from hftcore.endpoints import is_loopback, parse_endpoint
from hftcore.errors import ConfigError
from hftcore.settings import RiskLimits, Rule
from hftcore.watch import WatchTable
from runner.peers import PeerPlan

Network = Literal["mainnet", "testnet4", "signet", "testnet3", "regtest"]

_MAX_BTC = 21_000_000
_SECRET_KEY = re.compile(r"api_?key|secret|passw|passphrase|private_?key|token|credential")


def parse_btc(value: object) -> int:
    """Satoshi from decimal text in BTC such as ``"2.5"``; at most 8 decimals. Raises ValueError with the remedy."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'write the amount as text, so that it stays exact: "{value}"')
    if not isinstance(value, str) or not re.fullmatch(r"\d{1,16}(\.\d+)?", value):
        raise ValueError('not an amount: write BTC as plain decimal text such as "2.5", without unit or exponent')
    whole, _, fraction = value.partition(".")
    if len(fraction) > 8:
        raise ValueError("more than 8 decimals: a satoshi is 0.00000001 BTC")
    if int(whole) > _MAX_BTC:
        raise ValueError("more than 21000000 BTC: the unit is BTC, not satoshi")
    satoshi = int(whole + fraction.ljust(8, "0"))
    if satoshi == 0:
        raise ValueError("the amount must be above 0")
    return satoshi


def format_btc(satoshi: int) -> str:
    """BTC as text with all eight decimals."""
    return f"{satoshi // 100_000_000}.{satoshi % 100_000_000:08d}"


def _decimal_text(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'write the number as text, so that it stays exact: "{value}"')
    if not isinstance(value, str) or not re.fullmatch(r"\d{1,10}(\.\d{1,8})?", value):
        raise ValueError('not a decimal: write plain text such as "0.01000000", at most 8 decimals')
    return value


Btc = Annotated[int, BeforeValidator(parse_btc)]
DecimalText = Annotated[str, BeforeValidator(_decimal_text)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


class BitcoinSection(_Section):
    """``[bitcoin]``: where transactions come from, and which wallets are watched."""

    network: Network = Field(default="mainnet", description='"mainnet", "testnet4", "signet", "testnet3" or "regtest"')
    signet_challenge: str | None = Field(default=None, description="hex of the challenge of a signet of your own")
    peers: list[str] = Field(default=[], description='a list of "HOST:PORT" kept in any case; empty = all are found')
    target_peers: StrictInt | None = Field(
        default=None, ge=1, le=125, description="peers in all, 1 to 125; absent = 16, or only those of peers"
    )
    seeds: StrictBool = Field(default=True, description="true: DNS seeds are asked when too few nodes are known")
    nodes_file: str | None = Field(default=None, description='path of a list of "ADDRESS:PORT" to begin with')
    peer_store: str | None = Field(default=None, description="path of the file in which known nodes are kept")
    asn_file: str | None = Field(default=None, description='path of a table of "PREFIX ASN" lines')
    listen: str | None = Field(default=None, description='"ADDRESS:PORT" to accept peers at; absent = nowhere')
    max_inbound: StrictInt = Field(default=16, ge=1, le=125, description="peers accepted at once, 1 to 125")
    addresses: str = Field(
        description="path of a table of hft addresses build, or of a list such as a CSV: address,exchange"
    )
    lock_addresses: StrictBool = Field(
        default=False, description="true or false; true keeps them in memory whatever else needs it (mlock)"
    )
    whale_sat: Btc | None = Field(
        default=None, alias="whale_btc", description='decimal text in BTC such as "100": report every output that large'
    )


class EngineSection(_Section):
    """``[engine]``: how the reactor thread runs."""

    mode: Literal["sleep", "spin"] = Field(
        default="sleep", description='"sleep" (blocks) or "spin" (busy-polls a whole core)'
    )
    cpu: StrictInt | None = Field(default=None, ge=0, description="number of the core to pin the reactor to")
    backend: Literal["auto", "io_uring", "epoll"] = Field(default="auto", description='"auto", "io_uring" or "epoll"')


class RiskSection(_Section):
    """``[risk]``: the gate every order passes; the defaults are RiskLimits'."""

    burst: StrictInt = Field(default=RiskLimits().burst, ge=1, le=1024, description="orders at once, 1 to 1024")
    refill_ms: StrictInt = Field(
        default=RiskLimits().refill_ms, ge=1, description="whole milliseconds until one more is allowed"
    )
    window_s: StrictInt = Field(
        default=RiskLimits().window_s, ge=1, description="length of the sliding window, whole seconds"
    )
    window_orders: StrictInt = Field(
        default=RiskLimits().window_orders, ge=1, le=1024, description="most orders in a window, 1 to 1024"
    )
    window_notional: DecimalText = Field(
        default=RiskLimits().window_notional,
        description='most value in a window, in the quote currency, as text: "1000"',
    )


class VenueSection(_Section):
    """``[[venue]]``: an exchange to trade on."""

    name: str = Field(description='name of a venue, such as "binance"')
    testnet: StrictBool = Field(default=False, description="true: the exchange's test network")
    url: str | None = Field(default=None, description='"wss://..." instead of the venue\'s own address')
    ca_file: str | None = Field(default=None, description="PEM file of the CA to trust instead of the system's")


class OrderSection(_Section):
    """``[rule.order]``: what is sent."""

    symbol: str = Field(description='market as the venue writes it, such as "BTCUSDT"')
    side: Literal["BUY", "SELL"] = Field(description='"BUY" or "SELL"')
    type: Literal["MARKET", "LIMIT"] = Field(description='"MARKET" or "LIMIT"')
    quantity: DecimalText = Field(description='amount of the base currency as text: "0.01000000"')
    price: DecimalText | None = Field(default=None, description='limit price in the quote currency as text: "52000.00"')
    time_in_force: Literal["GTC", "IOC", "FOK"] | None = Field(
        default=None, description='"GTC", "IOC" or "FOK", limit orders only'
    )
    notional: DecimalText | None = Field(
        default=None, description="value in the quote currency for the risk gate, as text; needed for market orders"
    )


class RuleSection(_Section):
    """``[[rule]]``: when to send which order."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,24}$", description="1 to 24 of A-Z a-z 0-9 _ -")
    venue: str = Field(description="name of one of the [[venue]] sections")
    labels: list[str] | None = Field(
        default=None, description="owners that count, as in the addresses file; absent = all"
    )
    min_sat: Btc = Field(alias="min_btc", description='least deposit, decimal text in BTC such as "50"')
    internal: StrictBool = Field(
        default=False, description="true: moves within one house count as well; false: deposits alone"
    )
    certain_only: StrictBool = Field(
        default=False, description="true: only deposits whose senders are all known count; false: all"
    )
    min_peers: StrictInt = Field(
        default=1, ge=1, le=16, description="peers of so many networks must have announced it, 1 to 16"
    )
    cooldown_ms: StrictInt = Field(
        default=0, ge=0, lt=1 << 40, description="whole milliseconds of silence after each order"
    )
    presign: StrictBool = Field(default=False, description="true: orders are signed ahead; false: when they are due")
    order: OrderSection = Field(description="the section [rule.order]")


class JournalSection(_Section):
    """``[journal]``: where events are kept."""

    path: str = Field(description="path of a JSONL file; events are appended")


class Config(_Section):
    """The whole file."""

    dry_run: StrictBool = Field(default=True, description="true or false; false trades only together with --live")
    bitcoin: BitcoinSection = Field(description="the section [bitcoin]")
    engine: EngineSection = Field(default=EngineSection(), description="the section [engine]")
    risk: RiskSection = Field(default=RiskSection(), description="the section [risk]")
    venue: list[VenueSection] = Field(description="one section [[venue]] for each exchange", min_length=1)
    rule: list[RuleSection] = Field(description="one section [[rule]] for each rule", min_length=1, max_length=64)
    journal: JournalSection | None = Field(default=None, description="the section [journal]")


@dataclass(frozen=True, slots=True)
class VenuePlan:
    """A venue to connect to."""

    venue: venues.Venue
    url: str
    ca_file: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked configuration in hftcore's terms."""

    config: Config
    watch: WatchTable
    peers: PeerPlan
    venues: tuple[VenuePlan, ...]
    rules: tuple[Rule, ...]
    risk: RiskLimits
    journal: Path | None
    addresses: Path

    def load_watch(self) -> WatchTable:
        """The addresses as their file is now. Raises ConfigError."""
        return load_watch(self.addresses, self.config.bitcoin.network, lock=self.config.bitcoin.lock_addresses)


def load(path: Path) -> Plan:
    """Reads and checks a configuration. Raises ConfigError; its text names the file, each wrong key and the remedy."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; docs/examples/whale.toml is one to start from") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    faults = list(_keys_in_file(document))
    if faults:
        raise _report(path, faults)
    try:
        config = Config.model_validate(document)
    except ValidationError as error:
        raise _report(path, [_explain(detail) for detail in error.errors(include_url=False)]) from None
    return _plan(path, config)


def _report(path: Path, faults: list[str]) -> ConfigError:
    return ConfigError("\n".join(f"{path}: {fault}" for fault in faults))


# ---- what is wrong, in words ----


def _where(loc: tuple[int | str, ...]) -> str:
    """``rule[0].order.price`` from pydantic's location."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _keys_in_file(value: object, loc: tuple[int | str, ...] = ()) -> Iterator[str]:
    """A message for every key that looks like a secret; its value is never shown."""
    if isinstance(value, dict):
        for key, child in value.items():
            if _SECRET_KEY.search(key.lower().replace("-", "_")):
                yield (
                    f"{_where((*loc, key))}: API keys never belong in this file. Take it out, set the environment "
                    "variables HFT_BINANCE_API_KEY and HFT_BINANCE_API_SECRET instead, and replace the key at the "
                    "exchange if this file was ever shared"
                )
            else:
                yield from _keys_in_file(child, (*loc, key))
    elif isinstance(value, list):
        for i, child in enumerate(value):
            yield from _keys_in_file(child, (*loc, i))


def _section(annotation: object) -> type[_Section] | None:
    """The section in an annotation such as ``list[RuleSection]`` or ``JournalSection | None``."""
    if get_origin(annotation) in {list, Union, types.UnionType, Annotated}:
        return next(filter(None, map(_section, get_args(annotation))), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, _Section) else None


def _fields(section: type[_Section]) -> dict[str, Any]:
    """Fields by the name they have in the file."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def _explain(detail: Any) -> str:
    """One line for one of pydantic's errors: key, what is wrong, what to write."""
    loc: tuple[int | str, ...] = tuple(detail["loc"])
    section: type[_Section] | None = Config
    field = None
    for part in loc:
        if isinstance(part, str) and section is not None:
            field = _fields(section).get(part)
            if field is None:
                break
            inner = _section(field.annotation)
            section = inner if inner is not None else section
    where, kind = _where(loc), detail["type"]
    if kind == "extra_forbidden" and section is not None:
        return f"{where}: unknown key{_nearest(str(loc[-1]), section)}"
    expected = f" ({field.description})" if field is not None and field.description else ""
    if kind == "missing":
        return f"{where}: missing{expected}"
    text = str(detail["ctx"]["error"]) if kind == "value_error" else detail["msg"]
    given = "" if isinstance(detail["input"], dict | list) else f", not {detail['input']!r}"
    return f"{where}: {text}{given if kind != 'value_error' else ''}{expected}"


def _nearest(key: str, section: type[_Section]) -> str:
    known = _fields(section)
    for name in difflib.get_close_matches(key, known, n=1, cutoff=0.5):
        return f"; did you mean {name} ({known[name].description})?"
    return f"; known here: {', '.join(known)}"


# ---- checks that need more than one key ----


def load_watch(path: Path, network: str, *, lock: bool = False) -> WatchTable:
    """The watch table of an addresses file: a table or a list; lock: with mlock. Raises ConfigError."""
    try:
        watch = load_table(path, network)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give a table or a list, as CSV: address,exchange") from None
    if not len(watch):
        raise ConfigError(f"{path}: no address in it")
    if lock:
        try:
            watch.load()
            watch.lock()
        except OSError as error:
            raise ConfigError(f"{path}: lock_addresses: {error}") from None
    return watch


def _plan(path: Path, config: Config) -> Plan:
    faults: list[str] = []

    def here(name: str) -> Path:
        return path.parent / Path(name).expanduser()

    addresses = here(config.bitcoin.addresses)
    try:
        watch = load_watch(addresses, config.bitcoin.network, lock=config.bitcoin.lock_addresses)
    except ConfigError as error:
        raise _report(path, [f"bitcoin.addresses: {error}"]) from None
    peers = _peers(config.bitcoin, here, faults)
    venue_plans = []
    for i, section in enumerate(config.venue):
        try:
            venue_plans.append(_venue(section, here))
            _check_worth(config, section, venue_plans[-1].url)
        except ConfigError as error:
            faults.append(f"venue[{i}].{error}")
    rules = []
    for i, rule in enumerate(config.rule):
        try:
            rules.append(_rule(rule, config, watch))
        except ConfigError as error:
            faults.append(f"rule[{i}].{error}")
    for kind, names in (("venue", [v.name for v in config.venue]), ("rule", [r.name for r in config.rule])):
        faults += [f"{kind}[{i}].name: {name!r} is there twice" for i, name in enumerate(names) if name in names[:i]]
    if faults:
        raise _report(path, faults)
    risk = RiskLimits(**config.risk.model_dump())
    journal = here(config.journal.path) if config.journal else None
    return Plan(config, watch, peers, tuple(venue_plans), tuple(rules), risk, journal, addresses)


def _peers(section: BitcoinSection, here: Callable[[str], Path], faults: list[str]) -> PeerPlan:
    """What ``[bitcoin]`` says of peers; whatever is wrong goes to `faults`."""
    peers = []
    for i, text in enumerate(section.peers):
        try:
            peers.append(parse_endpoint(text))
        except ValueError as error:
            faults.append(f"bitcoin.peers[{i}]: {error}")
    challenge = None
    if section.signet_challenge is not None:
        try:
            challenge = bytes.fromhex(section.signet_challenge)
        except ValueError:
            faults.append("bitcoin.signet_challenge: not hex; write the script as in bitcoin.conf's signetchallenge")
    if section.listen is not None:
        try:
            parse_endpoint(section.listen)
        except ValueError as error:
            faults.append(f"bitcoin.listen: {error}")
    files = {}
    for key in ("nodes_file", "asn_file", "peer_store"):
        name = getattr(section, key)
        files[key] = here(name) if name else None
        if name and key != "peer_store" and not here(name).is_file():
            faults.append(f"bitcoin.{key}: {here(name)}: no such file")
    plan = PeerPlan(
        network=section.network,
        peers=peers,
        target=section.target_peers,
        seeds=section.seeds,
        store=files["peer_store"],
        nodes=files["nodes_file"],
        asn_file=files["asn_file"],
        listen=section.listen,
        max_inbound=section.max_inbound,
        signet_challenge=challenge,
    )
    try:
        plan.facts()
    except ConfigError as error:
        faults.append(f"bitcoin.signet_challenge: {error}")
    return plan


def _check_worth(config: Config, section: VenueSection, url: str) -> None:
    """On test networks anyone makes coins, and so deposits, for nothing: they must not move money."""
    local = is_loopback(urlsplit(url).hostname or "")
    if not config.dry_run and config.bitcoin.network != "mainnet" and not (section.testnet or local):
        raise ConfigError(
            f"testnet: bitcoin.network is {config.bitcoin.network}, where coins cost nothing and anyone could make it "
            "trade; set testnet = true, or dry_run = true"
        )


def _venue(section: VenueSection, here: Any) -> VenuePlan:
    try:
        venue = venues.get(section.name)
    except ConfigError as error:
        raise ConfigError(f"name: {error}") from None
    if section.url and section.testnet:
        raise ConfigError("url: testnet = true chooses the url; leave one of the two out")
    url = section.url or (venue.testnet_url if section.testnet else venue.url)
    if section.ca_file is not None and not here(section.ca_file).is_file():
        raise ConfigError(f"ca_file: {here(section.ca_file)}: no such file; give a PEM file, or leave the key out")
    return VenuePlan(venue, url, str(here(section.ca_file)) if section.ca_file else None)


def _rule(section: RuleSection, config: Config, watch: WatchTable) -> Rule:
    names = [venue.name for venue in config.venue]
    if section.venue not in names:
        raise ConfigError(f"venue: {section.venue!r} is none of the [[venue]] sections: {', '.join(names)}")
    for label in section.labels or ():
        if label not in watch.labels:
            near = difflib.get_close_matches(label, watch.labels, n=3, cutoff=0.5)
            there = ", ".join(near or watch.labels[:8])
            raise ConfigError(f"labels: {label!r} labels no address in {config.bitcoin.addresses}; there are: {there}")
    if section.labels == []:
        raise ConfigError("labels: an empty list would match nothing; leave the key out to watch every label")
    try:
        order = venues.Order(**section.order.model_dump(exclude_none=True))
    except ConfigError as error:
        raise ConfigError(f"order.{str(error).removeprefix('order ')}") from None
    return Rule(
        name=section.name,
        venue=section.venue,
        order=order,
        min_sat=section.min_sat,
        labels=frozenset(section.labels) if section.labels else None,
        cooldown_ms=section.cooldown_ms,
        internal=section.internal,
        certain_only=section.certain_only,
        min_peers=section.min_peers,
        presign=section.presign,
    )
