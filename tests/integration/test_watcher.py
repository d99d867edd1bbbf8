"""BitcoinWatcher: in event loops and without, cancelled, abandoned, closed from elsewhere; nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hftcore import BitcoinWatcher, ConfigError, EngineLimits
from hftcore.events import DepositEvent, ReplacementEvent
from hftcore.peers import PeerManager
from tests.integration import rig


class Network:
    """One peer that gives away transactions, in a thread of its own."""

    def __init__(self) -> None:
        self.listener = rig.PeerListener()
        self.pool = ThreadPoolExecutor(1)
        self.links: list[rig.PeerLink] = []

    def accept(self) -> None:
        self.links.append(self.listener.accept().handshake())

    def send(self, *seeds: int) -> None:
        """Deposits with these seeds, one after the other; accepts the connection first if there is none."""
        if not self.links:
            self.accept()
        for seed in seeds:
            self.links[-1].deliver(rig.deposit(seed))

    async def sent(self, *seeds: int) -> None:
        await asyncio.get_running_loop().run_in_executor(self.pool, self.send, *seeds)

    def later(self, *seeds: int) -> None:
        self.pool.submit(self.send, *seeds)

    def close(self) -> None:
        self.pool.shutdown()
        for link in self.links:
            link.close()
        self.listener.close()


@pytest.fixture
def network() -> Iterator[Network]:
    before = rig.open_fds()
    threads = set(threading.enumerate())  # what connects WebSockets goes on running once it was used
    place = Network()
    yield place
    place.close()
    del place
    gc.collect()
    rig.wait_until(lambda: not {t.name for t in set(threading.enumerate()) - threads if t.name.startswith("hft")})
    rig.wait_until(lambda: not rig.open_fds() - before)


def watcher_for(network: Network, **settings: Any) -> BitcoinWatcher:
    settings.setdefault("watch", rig.watch_table())
    settings.setdefault("limits", EngineLimits(**rig.FAST))
    return BitcoinWatcher(network="regtest", peers=[f"127.0.0.1:{network.listener.port}"], **settings)


def ids(*seeds: int) -> list[str]:
    return [rig.deposit(seed).id for seed in seeds]


def test_async_for(network: Network) -> None:
    async def main() -> list[str]:
        seen = []
        async with watcher_for(network) as watcher:
            network.later(1, 2, 3)
            async for signal in watcher:
                assert isinstance(signal, DepositEvent)
                seen.append(signal.txid)
                if len(seen) == 3:
                    break
            assert watcher.stats().deposits == 3
        assert watcher.stats().sockets_now == 0
        return seen

    assert asyncio.run(main()) == ids(1, 2, 3)


def test_a_bare_loop_starts_and_ends_it(network: Network) -> None:
    async def main() -> None:
        network.later(1)
        async for signal in watcher_for(network):
            assert isinstance(signal, DepositEvent)
            break
        gc.collect()

    asyncio.run(main())
    assert not any(thread.name == "hft-reactor" for thread in threading.enumerate())


def test_a_plain_loop(network: Network) -> None:
    with watcher_for(network) as watcher:
        network.later(1, 2)
        seen = []
        for signal in watcher:
            assert isinstance(signal, DepositEvent)
            seen.append(signal.txid)
            if len(seen) == 2:
                break
        begin = time.monotonic()
        assert watcher.next_signal(0.05) is None
        assert 0.05 <= time.monotonic() - begin < 5
    assert seen == ids(1, 2)
    assert watcher.next_signal() is None
    assert list(watcher) == []


def test_time_outs_lose_nothing(network: Network) -> None:
    async def main() -> list[str]:
        seen = []
        async with watcher_for(network, backend="epoll") as watcher:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(watcher), 0.02)
            sending = asyncio.create_task(network.sent(*range(50)))
            while len(seen) < 50:
                try:
                    signal = await asyncio.wait_for(anext(watcher), 0.0005)
                except TimeoutError:
                    continue
                assert isinstance(signal, DepositEvent)
                seen.append(signal.txid)
            await sending
        return seen

    assert asyncio.run(main()) == ids(*range(50))


def test_one_event_loop_after_the_other(network: Network) -> None:
    watcher = watcher_for(network)

    async def one(seed: int) -> str:
        await network.sent(seed)
        signal = await asyncio.wait_for(anext(watcher), rig.WAIT_S)
        assert isinstance(signal, DepositEvent)
        return signal.txid

    watcher.start()
    assert [asyncio.run(one(seed)) for seed in (1, 2)] == ids(1, 2)
    asyncio.run(watcher.aclose())


def test_closing_ends_the_iteration_of_another_task(network: Network) -> None:
    async def main() -> int:
        watcher = watcher_for(network)

        async def read() -> int:
            return sum([1 async for _ in watcher])

        reading = asyncio.create_task(read())
        await network.sent(1)
        while watcher.stats().deposits == 0:
            await asyncio.sleep(0.001)
        await watcher.aclose()
        await watcher.aclose()
        return await asyncio.wait_for(reading, rig.WAIT_S)

    assert asyncio.run(main()) == 1


@pytest.mark.parametrize("after_s", [0, 0.0005, 0.05])
def test_cancelled_at_any_time(network: Network, after_s: float) -> None:
    async def work() -> None:
        async with watcher_for(network) as watcher:
            async for _ in watcher:
                pass

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(after_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_what_it_is_told(network: Network) -> None:
    with watcher_for(network, min_sat=3 * rig.COIN) as watcher:
        network.send(1)
        network.links[0].deliver(rig.spend([rig.Coin(rig.make_tx([], seed=1).raw[7:43])], [(5, rig.WATCHED)]))
        signal = watcher.next_signal(rig.WAIT_S)
        assert isinstance(signal, ReplacementEvent)
        assert signal.replaces == rig.deposit(1).id
        assert watcher.stats().deposits == 0
        assert "regtest" in repr(watcher)
        (peer,) = watcher.peers()
        assert peer.state == "ready"
        watcher.replace_watch(rig.watch_table("other"))
        assert watcher.next_signal(0.1) is None


def test_peers_that_a_manager_finds(network: Network) -> None:
    manager = PeerManager(seeds=False, nodes=[("127.0.0.1", network.listener.port)])
    with BitcoinWatcher(network="regtest", peers=manager, watch=rig.watch_table()) as watcher:
        network.accept()
        network.links[0].expect("getaddr")
        network.send(1)
        signal = watcher.next_signal(rig.WAIT_S)
        assert isinstance(signal, DepositEvent)
        assert watcher.peers()[0].role == "managed"


@pytest.mark.parametrize("peers", ["127.0.0.1:1", ["127.0.0.1", ("::1", None), ("localhost", 18444)]])
def test_peers_by_name(peers: Any) -> None:
    assert "new" in repr(BitcoinWatcher(network="regtest", peers=peers))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"peers": []}, "none given"),
        ({"peers": ["a b"]}, "HOST:PORT"),
        ({"peers": "127.0.0.1", "min_sat": 0}, "satoshi"),
        ({"peers": "127.0.0.1", "network": "moonnet"}, "moonnet"),
    ],
)
def test_what_cannot_be(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        BitcoinWatcher(**{"network": "regtest", **settings})
