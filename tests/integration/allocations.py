"""What test_allocations.py runs under count_allocations.c: orders through TLS, the reactor's memory being watched.

Prints JSON: calls by kind while connecting, while orders go out, while their answers come in; how many orders there
were, and where the first calls came from.
"""

from __future__ import annotations

import ctypes
import json
import ssl
import sys
import threading
from pathlib import Path
from typing import Any

from tests.integration import rig
from tests.integration.conftest import Stage

KINDS = ("malloc", "calloc", "realloc", "aligned", "free", "mmap")
WARM_UP, ORDERS = 5, 200


class DlInfo(ctypes.Structure):
    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


def main(backend: str, mode: str, tls: str, directory: str) -> None:
    counter = ctypes.CDLL(None)
    counter.count_read.restype = ctypes.c_void_p
    calls = (ctypes.c_uint64 * len(KINDS))()

    def read() -> dict[str, int]:
        where = counter.count_read(calls)
        info = DlInfo()
        if where and counter.dladdr(ctypes.c_void_p(where), ctypes.byref(info)):
            places.append(f"{info.file!r} +{where - info.base:#x} {info.symbol!r}")
        return dict(zip(KINDS, calls, strict=True))

    places: list[str] = []
    trust = rig.Trust(Path(directory))
    version = ssl.TLSVersion[tls]
    trust.context.minimum_version = trust.context.maximum_version = version
    stage = Stage(backend, trust)
    engine = stage.engine(
        peers=[stage.peer_listener],
        venue=stage.venue_listener,
        rules=[rig.rule("a"), rig.rule("b", presign=True)],
        mode=mode,
        limits={"order_timeout_ms": 60_000, "pending_orders": 1024},
    )
    engine.start()
    reactor = next(t for t in threading.enumerate() if t.name == "hft-reactor")
    counter.count_watch(reactor.native_id)
    stage.accept_peer().handshake()
    stage.accept_venue().login()
    engine.wait_ready(rig.WAIT_S)
    connecting = read()

    def order(seed: int) -> None:
        stage.peer.deliver(rig.deposit(seed))
        for _ in range(2):
            requests.append(stage.venue.expect_order())
        stage.peer.deliver(rig.deposit(seed, 3 * rig.COIN))  # replaces it
        stage.peer.deliver(rig.make_tx([(5, rig.script(999))], seed=seed))  # and revokes it
        stage.peer.settle()
        while engine.next_event(0) is not None:
            pass

    def answer() -> None:
        for request in requests:
            stage.venue.acknowledge(request)
            stage.venue.report(request["params"]["newClientOrderId"], "FILLED", "0.01000000")
        rig.wait_until(lambda: engine.stats().orders_filled == engine.stats().orders_sent)
        requests.clear()

    requests: list[dict[str, Any]] = []
    for seed in range(WARM_UP):
        order(seed)
    answer()
    counter.count_watch(reactor.native_id)
    for seed in range(WARM_UP, WARM_UP + ORDERS):
        if seed % 20 == 0:
            engine.replace_watch(rig.watch_table("acme", *(f"owner {i}" for i in range(seed))))
        order(seed)
    ordering = read()
    counter.count_watch(reactor.native_id)
    answer()
    answering = read()
    counter.count_watch(0)
    stage.close()
    report = {"connecting": connecting, "ordering": ordering, "answering": answering, "orders": 2 * ORDERS}
    print(json.dumps({**report, "places": places[1:]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
