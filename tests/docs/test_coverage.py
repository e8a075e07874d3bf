"""docs/coverage.md claims only what can be looked up: its tests and files exist, and no requirement is forgotten."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, prose_of

PAGE = ROOT / "docs/coverage.md"
LAST = {"A": 10, "B": 13, "C": 9, "D": 8, "E": 5, "F": 5, "G": 9, "H": 6, "I": 6, "J": 2}
REQUIREMENTS = [f"{letter}{number}" for letter, last in LAST.items() for number in range(1, last + 1)]
_NAMED = re.compile(r"`((?:tests|operators|sources|sinks|dataflows|config)/[\w/.]*)(?:::(\w+))?`")


def named() -> list[tuple[str, str]]:
    """Paths, and tests within them where one is named."""
    return sorted({(path, test) for line in prose_of(PAGE) for path, test in _NAMED.findall(line)})


def functions_in(path: Path) -> set[str]:
    """The functions of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("path", "test"), named())
def test_what_the_page_names_is_there(path: str, test: str) -> None:
    assert (ROOT / path).exists()
    assert not test or test in functions_in(ROOT / path)


def test_every_requirement_stands_on_the_page_once() -> None:
    rows = [re.match(r"\| ([A-J]\d+(?:, [A-J]\d+)*) \|", line) for line in prose_of(PAGE)]
    listed = [requirement for row in rows if row for requirement in row[1].split(", ")]
    rest = " ".join(prose_of(PAGE)).partition("## Not reached yet")[2]
    assert Counter([*listed, *re.findall(r"\b[A-J]\d+\b", rest)]) == Counter(REQUIREMENTS)


def test_a_claim_says_where_it_is_and_what_shows_it() -> None:
    claims = [line.strip("| ").split(" | ") for line in prose_of(PAGE) if "| 0.1.0 |" in line]
    assert claims
    assert [cells for cells in claims if len(cells) != 6 or "`tests/" not in cells[3]] == []
