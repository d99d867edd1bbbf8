"""Words that belong to one machine or to an unfinished thought, and so to no file of the project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import buildconf
from tests import tree

pytestmark = pytest.mark.lint

# Written so that this file does not match itself.
FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.}/])/(?:root|home|work|Users|opt)/\w"),
    "a package registry's host": re.compile(r"\b(?:pypi|pythonhosted|testpypi)\.(?:org|io)\b|--(?:extra-)?index-[u]rl"),
    "something left to do": re.compile(r"\b(?:TO[D]O|FIX[M]E|XX[X]|HAC[K])\b"),
    "a secret": re.compile(r"BEGIN (?:[A-Z]+ )?PRIVATE [K]EY"),
    "a conflict": re.compile(r"^(?:<{7}|>{7}) ", re.M),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_has(what: str) -> None:
    wrong = []
    for path in tree.files():
        try:
            text = (buildconf.ROOT / path).read_text()
        except UnicodeDecodeError:
            continue
        wrong += [
            f"{path}:{text.count(chr(10), 0, found.start()) + 1}: {found[0]}"
            for found in FORBIDDEN[what].finditer(text)
        ]
    tree.expect_none(wrong)


def test_text_files_end_with_one_newline() -> None:
    wrong = []
    for path in tree.files(".c", ".h", ".py", ".pyx", ".pxd", ".pyi", ".md", ".toml", ".in", ".lock"):
        data = (buildconf.ROOT / path).read_bytes()
        if data and (not data.endswith(b"\n") or data.endswith(b"\n\n")):
            wrong.append(str(path))
    tree.expect_none(wrong)


def test_links_between_documents_lead_somewhere() -> None:
    wrong = []
    for path in tree.files(".md"):
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", (buildconf.ROOT / path).read_text()):
            if "://" not in link and not (buildconf.ROOT / path.parent / Path(link)).exists():
                wrong.append(f"{path}: {link}")
    tree.expect_none(wrong)
