"""The engine under test, in a process of its own: `python -m benchmarks.e2e.engine_process JSON`.

The main thread sleeps, except when SIGUSR1 asks it to read the events so far. At the end of standard input's life
(SIGTERM) the engine stops, and its own latencies and counters are printed as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import sys

from benchmarks import setting
from hftcore import Engine, EngineLimits, RiskLimits, Rule
from hftcore.venues.binance import BINANCE


def make(config: dict) -> Engine:
    """One peer, one venue, one rule; the widest limits that RiskLimits allows."""
    engine = Engine(
        network="regtest",
        watch=setting.watch_table(),
        mode="spin",
        cpu=config["cpu"],
        backend=config["backend"],
        dry_run=False,
        limits=EngineLimits(event_queue=16384),
        risk=RiskLimits(burst=1024, refill_ms=1, window_s=1, window_orders=1024, window_notional="9999999999"),
    )
    engine.add_peer("127.0.0.1", config["peer_port"])
    engine.add_venue(BINANCE, setting.CREDENTIALS, url=config["url"], ca_file=config["ca_file"])
    engine.add_rule(Rule(name="bench", venue="binance", order=setting.ORDER, min_sat=1))
    return engine


def main() -> None:
    signals = {signal.SIGUSR1, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before any thread starts: they inherit it
    states: dict[str, int] = {}
    engine = make(json.loads(sys.argv[1]))
    engine.start()
    engine.wait_ready(10)
    print("ready", flush=True)
    received = signal.SIGUSR1
    while received == signal.SIGUSR1:
        received = signal.sigwait(signals)
        while (event := engine.next_event(0)) is not None:
            state = getattr(event, "state", "deposit")
            states[state] = states.get(state, 0) + 1
    backend = engine.backend
    engine.stop()
    stats = dataclasses.asdict(engine.stats())
    latency = {name: dataclasses.asdict(value) for name, value in engine.latency().items()}
    print(json.dumps({"backend": backend, "states": states, "stats": stats, "latency": latency}))


if __name__ == "__main__":
    main()
