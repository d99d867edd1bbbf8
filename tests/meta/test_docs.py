"""The documents say what the code says: commands, options, keys, fields, limits, codes; and their examples run.

``python -m tests.meta.test_docs`` prints the table of docs/reference/errors.md.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pydantic
import pytest
import typer.main

import buildconf
import runner.cli
import runner.config
from hftcore import _request, _status, errors, events, peers, settings, venues
from tests import tree

PAGES = [*tree.files(".md", under="docs"), Path("README.md"), Path("CONTRIBUTING.md")]
HOW_TO = [path for path in PAGES if path.parent.name == "how-to"]
NEEDS_MORE = "# Needs "  # how the first line of an example begins that cannot run here


def commands_of(group: Any, name: str = "") -> dict[str, Any]:
    """Every command by its full name: those of a group of commands too."""
    found: dict[str, Any] = {}
    for word, command in group.commands.items():
        full = f"{name} {word}".strip()
        found |= commands_of(command, full) if hasattr(command, "commands") else {full: command}
    return found


COMMANDS = commands_of(typer.main.get_command(runner.cli.app))


def text_of(page: Path | str) -> str:
    return (buildconf.ROOT / page).read_text()


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), re.M | re.S)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    prose = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", prose, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(page: str, heading: str) -> str:
    """What stands under a heading, up to the next of its own depth or a higher one."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,2}} |\Z)", text_of(f"docs/{page}"), re.M | re.S)
    assert found, f"{page} has no section {heading}"
    return found[2]


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows, without the headings."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row, below in zip(cells, [*cells[1:], [""]], strict=True) if set(row[0]) != {"-"} != set(below[0])]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# ---- links, commands ----


def test_every_anchor_exists() -> None:
    """That the files exist is asked in test_words.py."""
    wrong = []
    for page in tree.files(".md"):
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", text_of(page)):
            path = (buildconf.ROOT / page.parent / target).resolve() if target else buildconf.ROOT / page
            if "://" not in target and path.exists() and anchor not in anchors(path.relative_to(buildconf.ROOT)):
                wrong.append(f"{page}: {target}#{anchor}")
    tree.expect_none(wrong)


def test_every_page_is_in_the_index() -> None:
    index = text_of("docs/README.md")
    pages = [path.relative_to("docs").as_posix() for path in tree.files(".md", under="docs")]
    tree.expect_none(page for page in pages if page != "README.md" and f"]({page})" not in index)


def command_lines() -> list[tuple[Path, str]]:
    """What stands in code as a command: at the beginning of an indented line, or between backquotes."""
    found = []
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.M | re.S)
        for line in re.findall(r"^    (.+)$", text, re.M) + re.findall(r"`([^`\n]+)`", text):
            command = re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line)
            if re.match(r"(?:hft|\./dev)(?: |$)", command):
                found.append((page, command.split(" #")[0].split("|")[0].strip()))
    return found


def test_every_command_exists() -> None:
    tasks = set(re.findall(r"^([a-z]+)(?: \| [^)]+)?\) ", text_of("dev"), re.M)) | {"--help"}
    assert {"demo", "run", "test", "lint"} <= tasks
    known = {name: {o for p in command.params for o in p.opts + p.secondary_opts} for name, command in COMMANDS.items()}
    wrong = []
    for page, line in command_lines():
        words = line.split()
        if words[0] == "./dev" and words[1:2] == ["run"]:
            words = ["hft", *words[2:]]
        if len(words) < 2 or words[1] in {"COMMAND", "--version", "--help"}:
            continue
        if words[0] == "./dev":
            wrong += [f"{page}: {line}"] * (words[1] not in tasks)
            continue
        options = {word.split("=")[0] for word in words[2:] if word.startswith("--")}
        name = " ".join(words[1:3]) if " ".join(words[1:3]) in known else words[1]
        if name not in known or not options <= known[name] | {"--help"}:
            wrong.append(f"{page}: {line}")
    assert len(command_lines()) > 60
    tree.expect_none(wrong)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_is_in_the_reference(command: str) -> None:
    (heading,) = re.findall(rf"^## (`hft {command}\b.*)$", text_of("docs/reference/cli.md"), re.M)
    told = {name.split()[0]: row[1] for row in rows(section("reference/cli.md", heading)) for name in names(row[0])}
    there = {param.opts[0]: param for param in COMMANDS[command].params if param.opts[0].startswith("--")}
    assert told.keys() == there.keys()
    for name, param in there.items():
        if param.default is not None and not param.is_flag:
            default = str(getattr(param.default, "value", param.default))
            assert told[name].strip("`") == default.removesuffix(".0"), name


# ---- tables ----


def default_of(field: pydantic.fields.FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None:
        return "none"
    return (
        f"`{str(value).lower()}`"
        if isinstance(value, bool)
        else f'`"{value}"`'
        if isinstance(value, str)
        else f"`{value}`"
    )


CONFIG_SECTIONS: dict[str, type[pydantic.BaseModel]] = {
    "`[top]`": runner.config.Config,
    "`[bitcoin]`": runner.config.BitcoinSection,
    "`[engine]`": runner.config.EngineSection,
    "`[risk]`": runner.config.RiskSection,
    "`[[venue]]`": runner.config.VenueSection,
    "`[[rule]]`": runner.config.RuleSection,
    "`[rule.order]`": runner.config.OrderSection,
    "`[journal]`": runner.config.JournalSection,
}


@pytest.mark.parametrize("heading", CONFIG_SECTIONS)
def test_every_configuration_key_is_told_with_its_default(heading: str) -> None:
    told = {names(row[0])[0]: row[2] for row in rows(section("reference/configuration.md", heading))}
    there = {field.alias or name: default_of(field) for name, field in CONFIG_SECTIONS[heading].model_fields.items()}
    if heading == "`[top]`":
        there = {name: default for name, default in there.items() if f"`[{name}]`" not in CONFIG_SECTIONS}
        there = {name: default for name, default in there.items() if f"`[[{name}]]`" not in CONFIG_SECTIONS}
    assert told == there


@pytest.mark.parametrize(
    "event",
    [
        events.PeerEvent,
        events.VenueEvent,
        events.DepositEvent,
        events.WithdrawalEvent,
        events.InternalEvent,
        events.WhaleEvent,
        events.ReplacementEvent,
        events.RevokedEvent,
        events.OrderEvent,
        events.WatchEvent,
        events.Latency,
        peers.PeerInfo,
        events.EngineStats,
    ],
)
def test_every_field_of_an_event_is_told(event: Any) -> None:
    text = section("reference/events.md", event.__name__).partition("\n### ")[0]
    told = [name for row in rows(text) for name in names(row[0])]
    assert sorted(told) == sorted(field.name for field in dataclasses.fields(event))


@pytest.mark.parametrize(
    ("heading", "there"),
    [
        ("States of an order", set(events.OrderState.__args__)),
        ("Error classes", set(map(str, venues.ErrorClass))),
        ("Stages of an order", {*events.STAGES, "total"}),
    ],
)
def test_every_word_of_an_event_is_told(heading: str, there: set[str]) -> None:
    text = re.split(r"^#+ ", section("reference/events.md", heading), flags=re.M)[0]
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    assert {name for row in rows(text) for name in names(row[0])} == there


@pytest.mark.parametrize("limits", [settings.EngineLimits, settings.RiskLimits])
def test_every_limit_is_told_with_its_default(limits: Any) -> None:
    told = {names(row[0])[0]: row[1].strip('"') for row in rows(section("reference/limits.md", limits.__name__))}
    assert told == {field.name: str(field.default) for field in dataclasses.fields(limits)}


def test_every_limit_of_a_connection_is_told() -> None:
    told = {names(row[0])[0]: (row[1], row[2]) for row in rows(section("reference/limits.md", "Connections"))}
    default = {field.name: field.default for field in dataclasses.fields(_request.Request)}
    assert told == {name: (str(default[name]), f"{low} to {high}") for name, (low, high) in _request.RANGES.items()}


def test_compiled_limits_are_those_of_the_headers() -> None:
    sources = "".join(text_of(path) for path in tree.files(".h", under="hftcore"))
    defined = dict(re.findall(r"^#define (HFT_\w+) (\w+)", sources, re.M))
    told = {names(row[0])[0]: row[1] for row in rows(section("reference/limits.md", "Compiled in"))}
    assert len(told) > 15
    for name, value in told.items():
        known = defined.get(name, "absent")
        assert value == defined.get(known, known).rstrip("u"), name


def error_rows() -> list[str]:
    return [
        f"| `{name}` | {code} | `{errors.error_class(code).__name__}` | {text} |"
        for name, code, text in _status.status_codes()
    ]


def test_the_table_of_errors_is_that_of_the_code() -> None:
    assert [line for line in section("reference/errors.md", "Codes").splitlines() if line.startswith("| `")] == (
        error_rows()
    )


def test_every_code_named_exists() -> None:
    known = {name for name, _, _ in _status.status_codes()}
    wrong = []
    for page in PAGES:
        wrong += [f"{page}: {name}" for name in set(re.findall(r"`(HFT_E_[A-Z_0-9]+)`", text_of(page))) - known]
    tree.expect_none(wrong)


def test_the_tree_of_exceptions_is_that_of_the_code() -> None:
    (text,) = blocks(Path("docs/reference/errors.md"), "text")
    told = re.findall(r"^[│ ├└─]*(\w+)", text, re.M)
    there = [name for name, value in vars(errors).items() if isinstance(value, type)]
    assert sorted(told) == sorted([*there, "Exception", "OSError"])


# ---- examples ----


def examples() -> list[tuple[str, str]]:
    found = []
    for page in [*HOW_TO, Path("README.md")]:
        found += [(f"{page.stem}-{i}", block) for i, block in enumerate(blocks(page, "python"), 1)]
    return found


@pytest.mark.parametrize(("name", "code"), examples())
def test_an_example_runs(name: str, code: str, tmp_path: Path) -> None:
    script = tmp_path / f"{name.replace('-', '_').lower()}.py"
    script.write_text(code)
    compile(code, name, "exec")
    if code.startswith(NEEDS_MORE) or name.startswith("README"):
        return
    result = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(buildconf.ROOT)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


def test_most_examples_run() -> None:
    assert sum(not code.startswith(NEEDS_MORE) for _, code in examples()) >= 8


def load(directory: Path, text: str) -> runner.config.Plan:
    (directory / "wallets.csv").write_text("address,exchange\n1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa,Binance\n")
    (directory / "config.toml").write_text(text)
    return runner.config.load(directory / "config.toml")


def test_the_configuration_of_the_walk_through_is_good(tmp_path: Path) -> None:
    (whole,) = blocks(Path("docs/how-to/trade.md"), "toml")
    plan = load(tmp_path, whole)
    assert plan.config.dry_run
    assert len(plan.rules) == 1


@pytest.mark.parametrize("path", tree.files(".toml", under="docs"), ids=str)
def test_an_example_configuration_is_a_good_rehearsal(path: Path, tmp_path: Path) -> None:
    plan = load(tmp_path, text_of(path))
    assert plan.config.dry_run


def test_parts_of_configurations_are_good() -> None:
    for page in PAGES:
        for part in blocks(page, "toml"):
            for name, value in tomllib.loads(part).items():
                assert name in runner.config.Config.model_fields
                if name == "engine":
                    runner.config.EngineSection.model_validate(value)


if __name__ == "__main__":
    print("\n".join(error_rows()))
