"""Which Bitcoin nodes ``hft`` connects to, those that are named and those that are found; and what it shows of them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from hftcore import Engine
from hftcore.addresses import Network, custom_signet, get_network
from hftcore.endpoints import format_endpoint, parse_endpoint
from hftcore.errors import ConfigError
from hftcore.peers import PeerInfo, PeerManager, PeerStore

TARGET = 16
_ROWS_MAX = 25


def default_store(network: str) -> Path:
    """Where known addresses of nodes are kept: ``$XDG_STATE_HOME/hftcore/peers-NETWORK.json``."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "hftcore" / f"peers-{network}.json"


def read_nodes(path: Path) -> list[tuple[str, int]]:
    """The addresses of a list, one ``ADDRESS:PORT`` a line, as in Bitcoin Core's contrib/seeds; port 0 = the network's.

    Tor and I2P addresses, and those of CJDNS (fc00::/8), are passed over; # begins a comment. Raises ConfigError with
    each line that is wrong.
    """
    found, wrong = [], []
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not ASCII text") from None
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text or re.search(r"\.(onion|i2p)(:\d+)?$", text) or text.lower().startswith("[fc"):
            continue
        try:
            host, port = parse_endpoint(text)
        except ValueError as error:
            wrong.append(f"{path}:{number}: {error}")
            continue
        found.append((host, port or 0))
    if wrong:
        raise ConfigError("\n".join(wrong))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerPlan:
    """Whom to connect to. target None: 16, or nobody else where peers are named."""

    network: str = "mainnet"
    peers: Sequence[tuple[str, int | None]] = ()
    target: int | None = None
    seeds: bool = True
    store: Path | None = None
    nodes: Path | None = None
    asn_file: Path | None = None
    listen: str | None = None
    max_inbound: int = 16
    signet_challenge: bytes | None = None

    def facts(self) -> Network:
        """The network. Raises ConfigError."""
        if self.signet_challenge is None:
            return get_network(self.network)
        if self.network != "signet":
            raise ConfigError(f"a signet challenge is for signet, not {self.network}")
        return custom_signet(self.signet_challenge)

    def apply(self, engine: Engine) -> PeerManager | None:
        """Gives the engine its peers; returns what finds more of them, if anything does. Raises ConfigError."""
        for host, port in self.peers:
            engine.add_peer(host, port)
        if self.peers and self.target is None and self.listen is None:
            return None
        listen = None
        if self.listen is not None:
            try:
                host, port = parse_endpoint(self.listen)
            except ValueError as error:
                raise ConfigError(f"listen: {error}") from None
            listen = host, self.facts().default_port if port is None else port
        store = self.store
        if store is None and self.signet_challenge is None:
            store = default_store(self.network)
        manager = PeerManager(
            target=self.target or max(len(self.peers), 1 if self.peers else TARGET),
            store=store,
            seeds=self.seeds,
            nodes=read_nodes(self.nodes) if self.nodes is not None else (),
            asn_file=self.asn_file,
            listen=listen,
            max_inbound=self.max_inbound,
        )
        engine.manage(manager)
        return manager

    def __str__(self) -> str:
        if self.peers and self.target is None:
            return f"{len(self.peers)} peer{'s' if len(self.peers) > 1 else ''}"
        return f"up to {self.target or TARGET} peers"


# ---- what is shown ----


def _ms(ns: int) -> str:
    return "" if not ns else f"{ns / 1e6:.0f} ms" if ns >= 9_500_000 else f"{ns / 1e6:.1f} ms"


def print_peers(console: Console, peers: Sequence[PeerInfo]) -> None:
    """A table of the peers that were ready, best first; nothing if there was none."""
    met = sorted((peer for peer in peers if peer.ready_ns), key=lambda peer: -peer.score)
    if not met:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("peer", no_wrap=True)
    for name in ("ping", "announced", "first", "late by", "served", "score"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("software", overflow="ellipsis", no_wrap=True)
    for peer in met[:_ROWS_MAX]:
        late = f"{peer.late_ms / peer.late / 1000:.1f} s" if peer.late else ""
        address = peer.address + (" (dialled us)" if peer.role == "inbound" else "")
        table.add_row(
            address, _ms(peer.ping_min_ns), f"{peer.announced:,}", f"{peer.first:,}", late, f"{peer.served:,}",
            f"{peer.score:.0f}", peer.user_agent,
        )  # fmt: skip
    console.print(table)
    if len(met) > _ROWS_MAX:
        console.print(f"and {len(met) - _ROWS_MAX} more")


def print_store(console: Console, network: str, path: Path, *, json: bool) -> None:
    """The known addresses, those that announced most transactions first at the top. Raises ConfigError."""
    if not path.exists():
        raise ConfigError(f"{path}: no such file; hft watch makes it, or name another with --peer-store")
    store = PeerStore(path, network)
    known = sorted(store, key=lambda peer: (-peer.wins, not peer.succeeded, peer.failures, peer.ping_ms or 1 << 30))
    if json:
        for peer in known:
            print(orjson.dumps(peer).decode())
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("address", no_wrap=True)
    for name in ("wins", "ping", "failures"):
        table.add_column(name, justify="right")
    for peer in known:
        if peer.tried:
            ping = f"{peer.ping_ms} ms" if peer.ping_ms else ""
            table.add_row(format_endpoint(peer.host, peer.port), f"{peer.wins:,}", ping, str(peer.failures or ""))
    console.print(table)
    met = sum(peer.succeeded > 0 for peer in known)
    console.print(f"{path}: {len(known):,} addresses, {met:,} of them met", soft_wrap=True, highlight=False)
