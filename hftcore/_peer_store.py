"""Addresses of nodes on disk, and the network groups that they are in; for hftcore.peers."""

from __future__ import annotations

import bisect
import contextlib
import ipaddress
import json
import logging
import os
import random
import socket
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from hftcore.errors import ConfigError

log = logging.getLogger("hftcore.peers")

FORMAT = 1
CAPACITY = 5000
PER_GROUP = 64  # addresses of one network group that are kept: nobody fills the store from one place
BACKOFF_S = 60
BACKOFF_MAX_S = 86_400
DEAD_FAILURES = 12  # in a row; then it is forgotten, or, if it was reached once, the first to make room for another
NODE_WITNESS = 8


@dataclass(slots=True)
class StoredPeer:
    """What is known of one address. Times are Unix seconds, 0 = never.

    seen: when a peer or a seed last named it. wins: transactions that it announced first, in all its sessions.
    failures: attempts in a row that failed. retry_at: not to be dialled before. ping_ms: best round trip, 0 = unknown.
    """

    host: str
    port: int
    services: int = 0
    seen: int = 0
    tried: int = 0
    succeeded: int = 0
    failures: int = 0
    retry_at: int = 0
    ping_ms: int = 0
    wins: int = 0


_FIELDS = {field.name: str if field.name == "host" else int for field in fields(StoredPeer)}


def _stored(record: object) -> StoredPeer:
    """A peer from its JSON object. Raises ValueError."""
    if not isinstance(record, dict) or record.keys() != _FIELDS.keys():
        raise ValueError(f"not the fields of a peer: {str(record)[:80]}")
    for name, kind in _FIELDS.items():
        if type(record[name]) is not kind or (kind is int and not 0 <= record[name] < 1 << 64):
            raise ValueError(f"{name}: {str(record[name])[:80]}")
    peer = StoredPeer(**record)
    peer.host = str(ipaddress.ip_address(peer.host))
    if not 0 < peer.port < 65536:
        raise ValueError(f"port {peer.port}")
    return peer


class PeerStore:
    """Addresses of nodes of one network, at most `capacity`; kept in a JSON file if there is a path.

    The file is replaced whole, so that it is never half written. One that cannot be understood is set aside under
    another name, with a warning in the log of "hftcore.peers", and the store begins empty.
    Raises ConfigError for a file of another network, or one that cannot be read.
    """

    def __init__(
        self,
        path: Path | None,
        network: str,
        *,
        capacity: int = CAPACITY,
        group_of: Callable[[str], int] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self.network = network
        self.dirty = False
        self._capacity = capacity
        self._group_of = group_of or NetworkGroups().of
        self._clock = clock
        self._peers: dict[tuple[str, int], StoredPeer] = {}
        self._group: dict[tuple[str, int], int] = {}  # as _peers
        self._in_group: Counter[int] = Counter()
        if path is not None:
            self._load(path)

    def __len__(self) -> int:
        return len(self._peers)

    def __iter__(self) -> Iterator[StoredPeer]:
        return iter(self._peers.values())

    def get(self, host: str, port: int) -> StoredPeer | None:
        """What is known of an address, or None."""
        return self._peers.get((host, port))

    # ---- the file ----

    def _load(self, path: Path) -> None:
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigError(f"peer store {path}: {error.strerror}") from None
        try:
            document = json.loads(text)
            if not isinstance(document, dict) or document.get("format") != FORMAT:
                raise ValueError(f"not a peer store of format {FORMAT}")
            peers = [_stored(record) for record in document["peers"]]
            network = document["network"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self._set_aside(path, f"{type(error).__name__}: {error}")
            return
        if network != self.network:
            raise ConfigError(f"peer store {path}: of {network}, not {self.network}; name another file")
        for peer in peers[: self._capacity]:
            self._insert(peer)

    def _set_aside(self, path: Path, reason: str) -> None:
        aside = path.with_name(f"{path.name}.corrupt-{int(self._clock())}")
        try:
            path.rename(aside)
        except OSError as error:
            raise ConfigError(f"peer store {path}: unreadable ({reason}), and cannot be renamed: {error}") from None
        log.warning("peer store %s is not readable (%s): set aside as %s; beginning anew", path, reason, aside.name)

    def save(self) -> None:
        """Writes the file, if there is one. Raises OSError; the old file is as it was then."""
        self.dirty = False
        if self.path is None:
            return
        document = {"format": FORMAT, "network": self.network, "peers": [asdict(peer) for peer in self]}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own for each write: another store of this process may be writing the same file.
        descriptor, name = tempfile.mkstemp(prefix=f"{self.path.name}.", suffix=".partial", dir=self.path.parent)
        partial = Path(name)
        try:
            with open(descriptor, "w", encoding="ascii") as file:
                json.dump(document, file, separators=(",", ":"))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                partial.unlink()

    # ---- what is learnt ----

    def _insert(self, peer: StoredPeer) -> None:
        group = self._group_of(peer.host)
        self._peers[peer.host, peer.port] = peer
        self._group[peer.host, peer.port] = group
        self._in_group[group] += 1

    def _remove(self, peer: StoredPeer) -> None:
        del self._peers[peer.host, peer.port]
        self._in_group[self._group.pop((peer.host, peer.port))] -= 1

    def add(self, host: str, port: int, *, services: int = 0, seen: int = 0) -> bool:
        """Takes an address in, or what is new about one; False if it is not wanted. services 0: unknown.

        Addresses without witness data, of a group that fills its share, or with port 0 are not wanted. A full store
        drops another that was never reached or is dead, if there is one.
        """
        now = int(self._clock())
        seen = min(seen, now)  # a clock that is ahead, or a lie
        peer = self._peers.get((host, port))
        if services and not services & NODE_WITNESS:
            return False
        if peer is not None:
            self.dirty |= seen > peer.seen
            peer.seen = max(peer.seen, seen)
            peer.services = services or peer.services
            return True
        if not 0 < port < 65536 or self._in_group[self._group_of(host)] >= PER_GROUP:
            return False
        if len(self._peers) >= self._capacity and not self._make_room():
            return False
        self._insert(StoredPeer(host, port, services=services, seen=seen))
        self.dirty = True
        return True

    def _make_room(self) -> bool:
        """Of some, by lot, that were never reached or are dead, the one that failed most and was seen longest ago."""
        spare = [peer for peer in self if not peer.succeeded or peer.failures >= DEAD_FAILURES]
        if not spare:
            return False
        self._remove(min(random.sample(spare, min(16, len(spare))), key=lambda peer: (-peer.failures, peer.seen)))
        return True

    def on_try(self, host: str, port: int) -> None:
        """It is being dialled."""
        self.add(host, port)
        if (peer := self.get(host, port)) is not None:
            peer.tried = int(self._clock())
            self.dirty = True

    def on_success(self, host: str, port: int, *, ping_ns: int, services: int) -> None:
        """Its handshake is done, or its session went on."""
        if (peer := self.get(host, port)) is None:
            return
        peer.succeeded = peer.seen = int(self._clock())
        peer.failures = peer.retry_at = 0
        peer.services = services or peer.services
        if ping_ns:
            ping_ms = max(1, ping_ns // 1_000_000)
            peer.ping_ms = min(peer.ping_ms or ping_ms, ping_ms)
        self.dirty = True

    def on_failure(self, host: str, port: int) -> None:
        """It was not reached, or left at once: each time it is left alone for twice as long, up to a day."""
        if (peer := self.get(host, port)) is None:
            return
        peer.failures += 1
        pause = min(BACKOFF_S << min(peer.failures - 1, 20), BACKOFF_MAX_S)
        peer.retry_at = int(self._clock() + pause * random.uniform(0.75, 1.25))
        self.dirty = True
        if peer.failures >= DEAD_FAILURES and not peer.succeeded:
            self._remove(peer)

    def leave_alone(self, host: str, port: int, seconds: int) -> None:
        """It is not dialled for so long."""
        if (peer := self.get(host, port)) is not None:
            peer.retry_at = max(peer.retry_at, int(self._clock()) + seconds)
            self.dirty = True

    def on_wins(self, host: str, port: int, wins: int) -> None:
        """It announced so many more transactions first."""
        if wins and (peer := self.get(host, port)) is not None:
            peer.wins += wins
            self.dirty = True

    # ---- whom to dial ----

    def usable(self, taken: Iterable[int] = ()) -> list[StoredPeer]:
        """Those that may be dialled now and are in none of the groups `taken`."""
        now, taken = self._clock(), set(taken)
        return [peer for key, peer in self._peers.items() if peer.retry_at <= now and self._group[key] not in taken]

    def choose(self, taken: Iterable[int]) -> StoredPeer | None:
        """One to dial: mostly one that served well before, else any, each group with the same chance."""
        usable = self.usable(taken)
        known = [peer for peer in usable if peer.succeeded]
        if known and (len(known) == len(usable) or random.random() < 0.7):
            known.sort(key=lambda peer: (-peer.wins, peer.ping_ms or 1 << 30))
            return random.choice(known[:32])
        by_group: dict[int, list[StoredPeer]] = {}
        for peer in usable:
            by_group.setdefault(self._group[peer.host, peer.port], []).append(peer)
        return random.choice(random.choice(list(by_group.values()))) if by_group else None


class NetworkGroups:
    """The network group of an address: what one operator is likely to have more of.

    Without a file /16 of IPv4 and /32 of IPv6, as Bitcoin Core has it. With one, the autonomous system; where the file
    names none, as without. Each line is a prefix and a number, ``192.0.2.0/24 64496``, the format of
    https://bgp.tools/table.txt; an "AS" before the number, empty lines and comments (#) are allowed. Prefixes of IPv6
    longer than /64 are taken as /64. Raises ConfigError with the line that is wrong.
    """

    def __init__(self, asn_file: Path | None = None) -> None:
        self._tables: dict[int, list[tuple[int, array[int], array[int]]]] = {4: [], 16: []}
        if asn_file is not None:
            self._read(asn_file)

    def _read(self, path: Path) -> None:
        found: dict[tuple[int, int], list[tuple[int, int]]] = {}
        try:
            with path.open(encoding="ascii") as file:
                for number, line in enumerate(file, 1):
                    text = line.partition("#")[0].split()
                    if not text:
                        continue
                    try:
                        size, length, prefix, asn = _prefix(*text)
                    except (ValueError, TypeError, OSError):
                        wrong = f"{path}:{number}: {line.strip()!r}: a prefix and an AS number, 192.0.2.0/24 64496"
                        raise ConfigError(wrong) from None
                    found.setdefault((size, length), []).append((prefix, asn))
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: not ASCII text") from None
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        for (size, length), entries in sorted(found.items(), reverse=True):  # the longest prefix counts
            entries.sort()
            self._tables[size].append(
                (length, array("Q", (prefix for prefix, _ in entries)), array("L", (asn for _, asn in entries)))
            )

    def of(self, host: str) -> int:
        """A number for the group of an IPv4 or IPv6 address."""
        ip = ipaddress.ip_address(host)
        packed = ip.packed
        bits = int.from_bytes(packed[:8]) if len(packed) == 16 else int.from_bytes(packed)
        width = 64 if len(packed) == 16 else 32
        for length, prefixes, asns in self._tables[len(packed)]:
            prefix = bits >> (width - length)
            at = bisect.bisect_left(prefixes, prefix)
            if at < len(prefixes) and prefixes[at] == prefix:
                return 3 << 32 | asns[at]
        return (2 << 32 | bits >> 32) if width == 64 else (1 << 32 | bits >> 16)


def _prefix(text: str, asn: str) -> tuple[int, int, int, int]:
    """Bytes of the address, length, leading bits and number of a line."""
    host, _, length_text = text.partition("/")
    packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    width, length = 8 * len(packed), int(length_text)
    number = int(asn.upper().removeprefix("AS"))
    if not 0 <= length <= width or not 0 <= number < 1 << 32:
        raise ValueError
    if width == 128:
        packed, width, length = packed[:8], 64, min(length, 64)
    return 4 if width == 32 else 16, length, int.from_bytes(packed) >> (width - length), number
