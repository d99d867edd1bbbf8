"""What is to be said in a session, and what the network does to it; all of it from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

# How often each kind comes. "slow" has none of the others: split, delayed, held up for a while, and yet all arrives.
KINDS = {"slow": 30, "flip": 20, "reset": 12, "close": 12, "half": 12, "stall": 14}
PIECES_MAX = 300  # in each direction; what comes after goes on in large ones, so that a session ends in time

SILENT = {"flip", "stall"}
SERVER_PINGS_S = (None, 0.01, 0.05)


@dataclass(frozen=True)
class Way:
    """One direction's bytes: in pieces of 1 to piece_max (0: as they come), each delayed for up to delay_s.

    pause: (offset, seconds) where nothing is read for a while. flip: offset -> what the byte there is XORed with.
    end: what becomes of the connection after end_at bytes; see proxy.Link.
    """

    piece_max: int = 0
    delay_s: float = 0.0
    pause: tuple[int, float] | None = None
    flip: dict[int, int] = field(default_factory=dict)
    end: str = ""
    end_at: int = 0


@dataclass(frozen=True)
class Plan:
    """A session. messages: sent by the client and echoed by the server, at most `window` of them under way."""

    seed: int
    secure: bool
    kind: str
    up: Way
    down: Way
    messages: list[str | bytes] = field(repr=False)
    window: int
    compress: bool
    server_ping_s: float | None

    @property
    def silent(self) -> bool:
        """Whether the client may be left with nothing but silence, so that only its own time-outs help."""
        return self.kind in SILENT

    @property
    def garbled(self) -> bool:
        """Whether what arrives may lawfully be something else: nothing but TLS notices a byte that changed."""
        return self.kind == "flip" and not self.secure


def _messages(rng: random.Random) -> list[str | bytes]:
    """Each starts with its number, so that no two are the same; of 0 bytes to 1 MiB, mostly small."""
    found: list[str | bytes] = []
    for number in range(rng.randint(1, 24)):
        length = int(2 ** rng.uniform(0, 20 if rng.random() < 0.05 else 14)) - 1
        if rng.random() < 0.5:
            found.append(number.to_bytes(4, "big") + rng.randbytes(length))
        else:
            found.append(f"{number}:" + "".join(rng.choices("abc xyz 0123 äöü €😀", k=length // 2)))
    return found


def _way(rng: random.Random, secure: bool, total: int, dead: bool) -> Way:
    piece_max = rng.choice([0, 0, 1, 3, 20, 200, 1400])
    if dead:  # the client is to notice soon, and so does not wait long
        return Way(piece_max)
    pause = (_offset(rng, secure, total), rng.uniform(0, 0.2)) if rng.random() < 0.2 else None
    return Way(piece_max, rng.choice([0.0, 0.0, 0.0005, 0.002]), pause)


def _offset(rng: random.Random, secure: bool, total: int) -> int:
    """Somewhere in the handshakes, in the first messages, or anywhere; now and then just after the end."""
    return 1 + rng.randrange(rng.choice([300, 2500 if secure else 600, 5000, total + 200]))


def make(seed: int) -> Plan:
    """The plan of this seed."""
    rng = random.Random(seed)
    messages = _messages(rng)
    secure = rng.random() < 0.5
    total = sum(len(message.encode() if isinstance(message, str) else message) + 14 for message in messages)
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    ways = [_way(rng, secure, total, kind in SILENT) for _ in range(2)]
    which = rng.randrange(2)
    way = ways[which]
    if kind == "flip":
        flip = {_offset(rng, secure, total): rng.randrange(1, 256) for _ in range(rng.choice([1, 1, 1, 5]))}
        ways[which] = Way(way.piece_max, way.delay_s, way.pause, flip)
    elif kind != "slow":
        ways[which] = Way(way.piece_max, way.delay_s, way.pause, end=kind, end_at=_offset(rng, secure, total))
    return Plan(
        seed, secure, kind, ways[0], ways[1], messages, rng.choice([1, 2, 8]), rng.random() < 0.3,
        rng.choice(SERVER_PINGS_S),
    )  # fmt: skip
