"""What the programs of the benchmarks have in common: their options, and how they end."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

from rich.console import Console

from benchmarks.answers import WrongAnswerError
from benchmarks.lines import Line, findings, now, report

Say = Callable[[str], None]


def parser(name: str, description: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """With the options that all programs have."""
    made = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--rounds", type=positive, default=rounds, help=f"how often each is measured (default {rounds})")
    made.add_argument("--json", type=Path, metavar="FILE", help="write lines and details here")
    return made


def positive(text: str) -> int:
    """A number of 1 or more, as an option."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is too few: give 1 or more")
    return number


def run_program(name: str, title: str, path: Path | None, measure: Callable[[Say], tuple[Sequence[Line], Any]]) -> int:
    """Measure, print the table, write the JSON. 1 when an answer was wrong or a run failed."""
    log, started = Console(stderr=True), now()
    try:
        lines, detail = measure(lambda text: log.print(f"{name}: {text}", highlight=False, markup=False))
    except (WrongAnswerError, CalledProcessError, RuntimeError) as error:
        log.print(f"error: {error}", style="bold red", markup=False)
        return 1
    report(findings(name, started, lines, detail), title, path)
    return 0


def size(number: int) -> str:
    """10000 as 10k, 4000000 as 4M: how names of lines speak of sizes."""
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= unit and number % (unit // 10) == 0:
            return f"{number / unit:g}{letter}"
    return str(number)
