"""What a program of the benchmarks finds: a few lines, each with its rounds and, where there is one, its target."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Literal

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from benchmarks.machine import Machine, this_machine

_WIDTH = 130  # a pipe or a file has no width, and 80 columns would break the names


class Line(Struct, frozen=True):
    """One figure. ``rounds``: its value in each round; ``better``: which direction is the good one.

    ``name`` is what two runs are compared by, so it holds no measured number; ``note`` says what a reader must know.
    """

    name: str
    value: float
    unit: str
    rounds: list[float]
    target: float | None = None
    better: Literal["more", "less"] = "more"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        return self.value >= self.target if self.better == "more" else self.value <= self.target


class Findings(Struct, frozen=True):
    """What one program gave. ``detail``: whatever else it knows, each run by itself."""

    program: str
    started: datetime
    machine: Machine
    lines: list[Line]
    detail: Any = None


def line_of(
    name: str,
    rounds: Sequence[float],
    unit: str = "x",
    *,
    target: float | None = None,
    better: Literal["more", "less"] = "more",
    note: str = "",
) -> Line:
    """A line whose value is the median of its rounds."""
    return Line(name, median(rounds), unit, list(rounds), target, better, note)


def now() -> datetime:
    """The moment at which a program says that it started."""
    return datetime.now(UTC)


def findings(program: str, started: datetime, lines: Sequence[Line], detail: Any = None) -> Findings:
    """What a program gave, on this machine."""
    return Findings(program, started, this_machine(), list(lines), detail)


def write(given: Findings, path: Path) -> None:
    """As one JSON document, indented."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(given), indent=2) + b"\n")


def read(path: Path) -> Findings:
    """What ``write`` wrote. Raises OSError and msgspec.DecodeError."""
    return msgspec.json.decode(path.read_bytes(), type=Findings)


def report(given: Findings, title: str, path: Path | None) -> None:
    """Print the table of a program and, where a path is given, write its JSON."""
    show(title, given.lines, given.machine)
    if path is not None:
        write(given, path)


def show(title: str, lines: Sequence[Line], machine: Machine) -> None:
    """One table: figure, value, spread of the rounds, target, met or missed."""
    commit = f"commit {machine.commit}{' with changes' if machine.uncommitted_changes else ''}"
    caption = f"{machine.processor}, {machine.cores} cores, load {machine.load}, {machine.python}, {commit}"
    table = Table(title=title, caption=caption)
    table.add_column("figure")
    for column in ("value", "rounds", "target", ""):
        table.add_column(column, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(line.name, f"{number(line.value)} {line.unit}", _spread(line), _target(line), _verdict(line))
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)
    for line in lines:
        if line.note:
            Console().print(f"{line.name}: {line.note}", highlight=False, markup=False, soft_wrap=True)


def number(value: float) -> str:
    """With as many digits as tell something."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"


def _spread(line: Line) -> str:
    if len(line.rounds) < 2:
        return ""
    return f"{number(min(line.rounds))} .. {number(max(line.rounds))}"


def _target(line: Line) -> str:
    if line.target is None:
        return ""
    return f"{'>=' if line.better == 'more' else '<='} {number(line.target)}"


def _verdict(line: Line) -> str:
    return {None: "", True: "met", False: "[bold red]missed[/]"}[line.met]
