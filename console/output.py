"""What commands print: results for people or as JSON on stdout; progress, warnings and errors on stderr."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDTH_OF_A_FILE = 150  # a pipe or a file has no width; 80 columns would break most lines


def to_stdout() -> Console:
    """For results. Made anew by each caller, because tests and the shell may exchange the stream."""
    return _console(stderr=False)


def to_stderr() -> Console:
    """For what accompanies a result: progress, warnings, errors."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    fixed = None if stream.isatty() or "COLUMNS" in os.environ else _WIDTH_OF_A_FILE
    # Without markup, for texts such as "[kafka.client]" stand as they are.
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, width=fixed)


def print_json(value: Any) -> None:
    """A result for a program: one JSON value; times in it are epoch milliseconds."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def warn(text: str) -> None:
    """Something that the user should know, beside the result."""
    to_stderr().print(Text.assemble(("warning: ", "yellow"), text), soft_wrap=True)


def complain(what: str, remedy: str = "") -> None:
    """An error: what and where, and what to do about it."""
    console = to_stderr()
    console.print(Text.assemble(("error: ", "bold red"), what), soft_wrap=True)
    if remedy:
        console.print(Text.assemble(("  to do: ", "bold"), remedy), soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, numbers: Iterable[str] = ()) -> Table:
    """A plain table; the columns in ``numbers`` are aligned to the right. Without any name it has no header."""
    result = Table(box=None, show_header=any(columns), pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    right = set(numbers)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        result.add_column(column, justify=justify, overflow="fold")
    for row in rows:
        result.add_row(*row)
    return result


def number(value: float) -> str:
    """12345.6 as ``12,346``."""
    return f"{value:,.0f}"


def some(count: int, noun: str) -> str:
    """``1 event``, ``2,000 events``."""
    return f"{number(count)} {noun}" + ("" if count == 1 else "s")


def local_time(moment: int, zone: str) -> str:
    """Epoch ms as local date and time with the offset of the zone."""
    local = datetime.fromtimestamp(moment / 1000, tz=ZoneInfo(zone))
    return local.isoformat(sep=" ", timespec="milliseconds" if moment % 1000 else "seconds")
