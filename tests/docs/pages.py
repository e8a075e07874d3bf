"""The documentation as data: pages with their headings, links and fenced blocks.

The first word of a fence is its language; words of the form ``name=value`` behind it (quoted where the value holds
spaces) tell the tests what the block is, and no reader sees them:

    ```toml config            an override of the settings: it is loaded
    ```toml file=shop.toml    a file that the page's commands find under this name
    ```json shows=out/x.ndjson    a record that the page's commands wrote there
    ```python into=x.py before="class A"    lines that belong there (or ``after``)
    ```console                commands behind ``$``, each with what it prints; ``...`` stands for lines left out
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "README.zh-CN.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_INLINE_CODE = re.compile(r"`[^`]*`")


class Block(NamedTuple):
    """A fenced block; ``line`` is where its fence stands, counted from 1."""

    language: str
    words: frozenset[str]
    values: dict[str, str]
    text: str
    line: int


class Command(NamedTuple):
    """A command line of a ``console`` block and the lines that are shown below it."""

    line: str
    output: list[str]


def name_of(page: Path) -> str:
    """The page's path within the project."""
    return str(page.relative_to(ROOT))


def prose_of(page: Path) -> list[str]:
    """The lines of a page outside of fenced blocks."""
    return [line for _, line, is_code in _lines(page) if not is_code]


def blocks_of(page: Path, language: str | None = None) -> list[Block]:
    """The fenced blocks of a page, all or those of one language."""
    blocks: list[Block] = []
    fenced: list[tuple[int, str]] = []
    for number, line, is_code in _lines(page):
        if is_code:
            fenced.append((number, line))
            if line == "```" and len(fenced) > 1:
                blocks.append(_block(fenced))
                fenced = []
    return [block for block in blocks if language is None or block.language == language]


def commands_of(page: Path) -> list[Command]:
    """The commands of the page's ``console`` blocks, in order."""
    commands: list[Command] = []
    for block in blocks_of(page, "console"):
        for line in block.text.splitlines():
            if line.startswith("$ "):
                commands.append(Command(line[2:], []))
            elif commands:
                commands[-1].output.append(line)
    return commands


def headings_of(page: Path) -> list[str]:
    """The headings with their hashes."""
    return [line for line in prose_of(page) if re.match(r"#{1,6} ", line)]


def anchors_of(page: Path) -> set[str]:
    """What a link may name behind ``#``, as code hosts derive it from headings."""
    texts = [re.sub(r"[^\w\- ]", "", heading.lstrip("# ").lower()) for heading in headings_of(page)]
    return {text.strip().replace(" ", "-") for text in texts}


def links_of(page: Path) -> list[str]:
    """Where the page's links lead."""
    return [link for line in prose_of(page) for link in _LINK.findall(_INLINE_CODE.sub("``", line))]


def _block(fenced: list[tuple[int, str]]) -> Block:
    """A block of its lines, fences included."""
    (opened, fence), *inside, _ = fenced
    language, *rest = shlex.split(fence.removeprefix("```")) or [""]
    values = dict(word.split("=", 1) for word in rest if "=" in word)
    words = frozenset(word for word in rest if "=" not in word)
    return Block(language, words, values, "".join(f"{line}\n" for _, line in inside), opened)


def _lines(page: Path) -> Iterator[tuple[int, str, bool]]:
    """Number, text, and whether the line belongs to a fenced block, its fences included."""
    inside = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = line.startswith("```")
        yield number, line, inside or fence
        inside = inside ^ fence
