"""The program ``hft``."""

from __future__ import annotations

import enum
import importlib.metadata
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from hftcore.endpoints import parse_endpoint
from hftcore.errors import ConfigError, HftError
from runner import config as configuration

app = typer.Typer(
    name="hft",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Sees a Bitcoin transaction on the peer-to-peer network and sends a signed order to an exchange, in "
        "microseconds.\n\n"
        "Begin with [bold]hft demo[/]: the whole job on this machine, against simulators, without an account. Then "
        "[bold]hft watch[/] shows whales on the real network, and [bold]hft trade[/] runs rules of your own, first "
        "as a rehearsal."
    ),
)


class Mode(enum.StrEnum):
    """How the reactor waits."""

    sleep = "sleep"
    spin = "spin"


class Backend(enum.StrEnum):
    """What the reactor stands on."""

    auto = "auto"
    io_uring = "io_uring"
    epoll = "epoll"


class NetworkName(enum.StrEnum):
    """Bitcoin's networks."""

    mainnet = "mainnet"
    testnet4 = "testnet4"
    signet = "signet"
    testnet3 = "testnet3"
    regtest = "regtest"


def _version(wanted: bool) -> None:
    if wanted:
        print(f"hft {importlib.metadata.version('hftcore')}")
        raise typer.Exit


def _btc(text: str) -> int:
    """Satoshi from an option's text."""
    try:
        return configuration.parse_btc(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _peer(text: str) -> tuple[str, int | None]:
    try:
        return parse_endpoint(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _help(function: Callable[..., None]) -> str:
    """Its docstring, with paragraphs reflowed and indented examples left alone."""
    blocks = (inspect.getdoc(function) or "").split("\n\n")
    return "\n\n".join(block if block.startswith(" ") else " ".join(block.split()) for block in blocks)


def _command(function: Callable[..., None]) -> Callable[..., None]:
    """Registers a command."""
    return app.command(help=_help(function))(function)


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@_command
def demo(
    *,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long transactions flow.")] = 20.0,
    transactions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Replay these instead of making some up: u32 count, then per transaction u32 length and bytes "
            "(little-endian); or one raw block.",
        ),
    ] = None,
    addresses: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A table or a list of watched wallets instead of the made-up ones."),
    ] = None,
    min_btc: Annotated[str, typer.Option(metavar="BTC", help="Least deposit that leads to an order.")] = "1",
    rate: Annotated[float, typer.Option(min=0.1, max=20_000, help="Transactions per second.")] = 500.0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same transactions.")] = 1,
    mode: Annotated[Mode, typer.Option(help="spin busy-polls a whole core: lowest latency.")] = Mode.sleep,
    backend: Annotated[Backend, typer.Option(help="epoll is for machines that deny io_uring.")] = Backend.auto,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON and nothing else.")] = False,
) -> None:
    """The whole job on loopback: simulated Bitcoin peers in, signed orders to a simulated Binance out.

    The exchange speaks real TLS and checks every signature with Python's hmac. At the end the orders that it received
    are compared with those that the transactions call for, decoded anew in Python: the exit status is 0 only if they
    are exactly the same, 1 if not, 2 if an option or a file was wrong. Ctrl-C ends it early, with the same comparison.

    Examples:

      hft demo

      hft demo --seconds 60 --rate 2000 --mode spin

      hft demo --transactions block.bin --addresses wallets.csv --min-btc 0.5

      hft demo --json > summary.json
    """
    from runner.demo import DemoOptions, run

    options = DemoOptions(
        seconds=seconds,
        min_sat=_btc(min_btc),
        rate=rate,
        seed=seed,
        mode=mode.value,
        backend=backend.value,
        transactions=transactions,
        addresses=addresses,
        json=json,
    )
    raise typer.Exit(run(options))


@_command
def watch(
    *,
    network: Annotated[NetworkName, typer.Option(help="Which Bitcoin network.")] = NetworkName.mainnet,
    peer: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:PORT", help="A node to connect to; may be repeated. Default: they are found."),
    ] = None,
    target: Annotated[
        int | None,
        typer.Option(min=1, max=125, help="How many peers in all. Default: 16; with --peer, no others."),
    ] = None,
    seeds: Annotated[bool, typer.Option(help="Ask the network's DNS seeds when too few nodes are known.")] = True,
    nodes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Addresses to begin with, one ADDRESS:PORT a line.")
    ] = None,
    peer_store: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where known nodes are kept. Default: see hft peers --help.")
    ] = None,
    asn_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PREFIX ASN a line: one peer for each autonomous system.")
    ] = None,
    listen: Annotated[
        str | None, typer.Option(metavar="ADDRESS:PORT", help="Accept peers here, too. Default: nowhere.")
    ] = None,
    min_btc: Annotated[str, typer.Option(metavar="BTC", help="Least amount in one output.")] = "1",
    addresses: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A table or a list of wallets, to name recipients by.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")] = False,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after so long. Default: Ctrl-C.")] = None,
) -> None:
    """Connects to Bitcoin's network, stays connected, and prints each whale: time, amount, recipients, txid.

    Listens only: asks for what peers announce and relays nothing. Announcements reach us some seconds after the
    transaction was sent, as the network delays them at random; several peers make it sooner. Whales go to standard
    output, the state of the connections to standard error.

    Examples:

      hft watch --min-btc 100

      hft watch --peer 127.0.0.1:8333 --addresses wallets.csv

      hft watch --target 100 --asn-file table.txt

      hft watch --network signet --min-btc 0.1 --json | jq .txid
    """
    from runner.peers import PeerPlan
    from runner.whale import watch as run

    plan = PeerPlan(
        network=network.value,
        peers=[_peer(text) for text in peer or ()],
        target=target,
        seeds=seeds,
        nodes=nodes,
        store=peer_store,
        asn_file=asn_file,
        listen=listen,
    )
    run(
        plan=plan,
        min_sat=_btc(min_btc),
        addresses=addresses,
        json=json,
        seconds=seconds,
        out=Console(highlight=False),
        log=Console(stderr=True, highlight=False),
    )


@_command
def trade(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to watch, where to trade, how much.")],
    live: Annotated[bool, typer.Option("--live", help="Send orders, if the file says dry_run = false.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Read and check the file, then stop.")] = False,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after so long. Default: Ctrl-C.")] = None,
) -> None:
    """Runs the rules of a configuration file.

    Orders are sent only if the file says [bold]dry_run = false[/] and [bold]--live[/] is given; otherwise it is a
    rehearsal: connections, login, signature, everything happens, but the order stays here. Keys come from the
    environment (HFT_BINANCE_API_KEY, HFT_BINANCE_API_SECRET), never from the file. docs/examples/whale.toml is a
    configuration to start from.

    Examples:

      hft trade whale.toml --check

      hft trade whale.toml

      hft trade whale.toml --live
    """
    from runner.whale import trade as run

    plan = configuration.load(config)
    console = Console(highlight=False)
    if check:
        console.print(
            f"{config}: good. {len(plan.watch):,} watched scripts, {len(plan.rules)} rules, "
            f"{len(plan.venues)} venues, {'rehearsal only' if plan.config.dry_run else 'trades with --live'}",
            soft_wrap=True,
        )
        return
    if live and plan.config.dry_run:
        raise ConfigError(f"{config}: dry_run: --live was given, but the file says dry_run = true; set it to false")
    if live:
        console.print("[bold white on red] LIVE [/] orders will be SENT: dry_run = false and --live")
    else:
        reason = "the file says dry_run = true" if plan.config.dry_run else "--live is not given"
        console.print(f"[bold black on yellow] DRY RUN [/] no order will be sent: {reason}")
    run(plan, live=live, seconds=seconds, out=console)


@_command
def peers(
    *,
    network: Annotated[NetworkName, typer.Option(help="Which Bitcoin network.")] = NetworkName.mainnet,
    peer_store: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Instead of the default file in the state directory.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line, untried addresses included.")] = False,
) -> None:
    """The Bitcoin nodes that were met before: how often each was first, its round trip, failures in a row.

    They are kept in $XDG_STATE_HOME/hftcore/peers-NETWORK.json (~/.local/state by default), by [bold]hft watch[/] and
    [bold]hft trade[/], and dialled again by them. Remove the file to begin anew.

    Examples:

      hft peers

      hft peers --network signet --json | jq -c [.host,.wins]
    """
    from runner.peers import default_store, print_store

    path = peer_store or default_store(network.value)
    print_store(Console(highlight=False), network.value, path, json=json)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise typer.BadParameter(f"{text!r}: NAME: VALUE")
    return name.strip(), value.strip()


@_command
def ws(
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="ws:// or wss://; several with --ping.")],
    *,
    ping: Annotated[bool, typer.Option("--ping", help="Measure round trips instead of talking.")] = False,
    count: Annotated[int, typer.Option(min=1, help="Round trips to measure.")] = 50,
    interval: Annotated[float, typer.Option(min=0.0, metavar="SECONDS", help="From one to the next.")] = 0.2,
    message: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Measure with this text message; needs --answer.")
    ] = None,
    answer: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What a message that answers --message holds.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(metavar="NAME:VALUE", help="Sent with the request; may be repeated.")
    ] = None,
    subprotocol: Annotated[list[str] | None, typer.Option(help="Offered; may be repeated.")] = None,
    compress: Annotated[bool, typer.Option("--compress", help="Offer permessage-deflate.")] = False,
    ca_file: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Trust these authorities instead of the system's.")
    ] = None,
    pin: Annotated[
        list[str] | None,
        typer.Option(metavar="BASE64", help="SHA-256 of a public key that the server must have; may be repeated."),
    ] = None,
    proxy: Annotated[str | None, typer.Option(metavar="URL", help="http:// or socks5://, with USER:PASSWORD@.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="For connecting in all.")] = 10.0,
    linger: Annotated[
        float, typer.Option(min=0.0, metavar="SECONDS", help="Wait for answers after the end of the input.")
    ] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="With --ping: one JSON object for each URL.")] = False,
) -> None:
    """A WebSocket in the terminal: lines that you type are sent, messages are printed. With --ping, a latency meter.

    The meter measures with pings of the protocol, or with a message and an answer that you name, all URLs at the same
    time, and draws the round trips of the best one. The exit status is 0 if all answered, 1 if not, 2 if an option was
    wrong. Certificates are always verified.

    Examples:

      hft ws wss://stream.binance.com:9443/ws/btcusdt@trade

      hft ws --ping wss://ws-api.binance.com/ws-api/v3 wss://ws-api.binance.com:9443/ws-api/v3

      hft ws --ping --message '{"op":"ping"}' --answer '"pong"' wss://stream.bybit.com/v5/public/spot

      echo '{"method":"ping"}' | hft ws wss://ws.kraken.com/v2
    """
    from hftcore import TLSContext
    from hftcore.aio import Deflate
    from runner.ws import Reply, converse, measure_endpoints

    if (message is None) != (answer is None):
        raise typer.BadParameter("--message and --answer belong together")
    if not ping and len(urls) != 1:
        raise typer.BadParameter("one URL, or --ping")
    options = {
        "headers": [_header(text) for text in header or ()],
        "subprotocols": subprotocol or (),
        "compression": Deflate() if compress else None,
        "tls": TLSContext(ca_file=ca_file, pins=pin or ()) if ca_file or pin else None,
        "proxy": proxy,
        "connect_timeout_s": timeout,
    }
    if ping:
        reply = Reply(message, answer) if message is not None and answer is not None else None
        raise typer.Exit(measure_endpoints(urls, options, reply=reply, count=count, interval_s=interval, json=json))
    raise typer.Exit(converse(urls[0], options, linger_s=linger))


@_command
def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """What this machine gives: kernel, io_uring, CPU kernels, OpenSSL, clock, cores, limits; and what to change.

    Changes nothing. The exit status is 1 if something will not work, else 0.

    Examples:

      hft doctor

      hft doctor --json | jq '.[] | select(.verdict != "ok")'
    """
    from runner.doctor import examine

    findings = examine()
    if json:
        rows = [{"name": f.name, "value": f.value, "verdict": f.verdict, "change": f.change} for f in findings]
        print(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "problem": "[bold red]problem[/]"}
        for finding in findings:
            text = f"{finding.value}\n[dim]change:[/] {finding.change}" if finding.change else finding.value
            table.add_row(marks[finding.verdict], finding.name, text)
        Console(highlight=False).print(table)
    if any(finding.verdict == "problem" for finding in findings):
        raise typer.Exit(1)


addresses_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", context_settings={"help_option_names": ["-h", "--help"]}
)
app.add_typer(addresses_app, name="addresses", help="Lists of addresses into one table, and what a table says.")


def _addresses_build(
    lists: Annotated[list[Path], typer.Argument(metavar="LIST...", help="Files: .csv .txt .yaml .json .jsonl")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The table to write.")],
    *,
    network: Annotated[NetworkName, typer.Option(help="Which network's addresses.")] = NetworkName.mainnet,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Leave out lines that cannot be used.")] = False,
) -> None:
    """Makes one table of lists of addresses: CSV, plain text, GraphSense TagPacks, JSON.

    The table is what --addresses and a configuration's [bold]addresses[/] take: ten million addresses are opened in no
    time. Where lists disagree on whose an address is, the higher priority counts, and of equal ones the first list;
    each such line is reported. A line that cannot be used is reported with its file, number and reason, and nothing is
    written (exit status 1) unless --keep-going is given. The file is replaced as a whole: a running program keeps the
    old one until it is told (SIGUSR1).

    Examples:

      hft addresses build own.csv exchanges.yaml -o wallets.watch

      hft addresses build --keep-going crawled.txt -o wallets.watch 2> report.txt
    """
    from runner.addresses import build

    raise typer.Exit(build(lists, out, network=network.value, keep_going=keep_going, console=Console(highlight=False)))


def _addresses_check(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="A Bitcoin address of any network.")],
    table: Annotated[
        Path | None, typer.Option("--table", metavar="FILE", help="A table, or a list of addresses.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """What an address is: network, script type, scriptPubKey; and whose, if a table knows it.

    The exit status is 0 if it is an address and, where a table is given, in it; 1 if it is not in the table; 2 if it is
    no address.

    Examples:

      hft addresses check 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa

      hft addresses check --table wallets.watch bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4
    """
    from runner.addresses import check

    found = check(address, table)
    entry = found.entry._asdict() if found.entry is not None else None
    if json:
        row = {"type": found.kind, "networks": found.networks, "script": found.script.hex()}
        print(orjson.dumps(row | ({"entry": entry} if table is not None else {})).decode())
    else:
        print(f"type      {found.kind}\nnetwork   {', '.join(found.networks)}\nscript    {found.script.hex()}")
        if found.entry is not None:
            print(f"label     {found.entry.label}\nsource    {found.entry.source}\npriority  {found.entry.priority}")
        elif table is not None:
            print(f"label     not in {table}")
    if table is not None and found.entry is None:
        raise typer.Exit(1)


addresses_app.command("build", help=_help(_addresses_build))(_addresses_build)
addresses_app.command("check", help=_help(_addresses_check))(_addresses_check)


def main() -> None:
    """Runs the program. Exit status: 0 done, 1 failed, 2 a wrong option or file; errors go to standard error."""
    try:
        app(prog_name="hft")
    except (HftError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
