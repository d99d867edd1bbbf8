"""Finding Bitcoin nodes to connect to: DNS seeds, asked in parallel, with answers spread over networks."""

from __future__ import annotations

import ipaddress
import random
import socket
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as FuturesTimeoutError

from hftcore.bitcoin import Network, get_network
from hftcore.errors import ConfigError


def find_peers(network: str, n: int = 8, *, timeout_s: float = 10.0) -> list[tuple[str, int]]:
    """Up to n (address, port) of nodes of a network, each from another part of the internet where possible.

    All nodes behind one announcement schedule tell us the same thing at the same time; distinct ones tell us sooner.
    Raises ConfigError where the network has no DNS seeds or none of them answers.
    """
    facts = get_network(network)
    if not facts.dns_seeds:
        raise ConfigError(f"{network} has no DNS seeds; name a node with --peer HOST:PORT")
    found = _ask(facts, timeout_s)
    if not found:
        raise ConfigError(
            f"none of the {len(facts.dns_seeds)} DNS seeds of {network} answered: check the name resolution of this "
            "machine, or name a node with --peer HOST:PORT"
        )
    random.shuffle(found)
    found.sort(key=_count_in_group(found).__getitem__)
    return [(address, facts.default_port) for address in found[:n]]


def _ask(facts: Network, timeout_s: float) -> list[str]:
    """The addresses that the seeds name, each once."""
    pool = ThreadPoolExecutor(len(facts.dns_seeds), thread_name_prefix="dns-seed")
    asked = [
        pool.submit(socket.getaddrinfo, seed, facts.default_port, type=socket.SOCK_STREAM) for seed in facts.dns_seeds
    ]
    found: dict[str, None] = {}
    try:
        for answer in as_completed(asked, timeout_s):
            if answer.exception() is None:
                found.update((str(info[4][0]), None) for info in answer.result())
    except FuturesTimeoutError:
        pass
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return list(found)


def _group(address: str) -> str:
    """The part of the internet an address is in: /16 for IPv4, /32 for IPv6, as Bitcoin Core groups them."""
    ip = ipaddress.ip_address(address)
    return str(ipaddress.ip_network((ip, 16 if ip.version == 4 else 32), strict=False))


def _count_in_group(addresses: list[str]) -> dict[str, int]:
    """How many of its group stand before each address: sorting by it takes one of every group first."""
    seen: dict[str, int] = {}
    result = {}
    for address in addresses:
        group = _group(address)
        result[address] = seen[group] = seen.get(group, -1) + 1
    return result
