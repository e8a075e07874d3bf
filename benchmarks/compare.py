"""``make bench-compare``: what changed between a saved baseline and a new run, and what is only noise.

Most lines are ratios to a floor of the same round, so that a slower day of the machine does not count. Of each line the
rounds of both runs are put beside each other by an exact Mann-Whitney test, and the change is told with the interval
that belongs to it: no difference is seen where the interval holds 1. Absolute rates are left out; they compare nothing
but days. A line fails that changed for the worse for sure, and by more than the limit.
"""

import argparse
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from benchmarks.lines import Findings, Line, number, read
from benchmarks.program import Say
from benchmarks.rank_sums import Change, change
from benchmarks.suite import SHORT, joined, run_parts

BASELINE: Final = Path(__file__).parent / "baseline.json"
_ABSOLUTE: Final = "events/s"
_NO_TIME: Final = ("MB", "bytes")

Verdict = Literal["faster", "slower", "smaller", "larger", "no difference seen", "too few rounds to tell"]


class Compared(Struct, frozen=True):
    """One line of both runs. ``worse``: by how much, as a share, if for sure; 0 otherwise."""

    name: str
    old: float
    new: float
    change: Change | None
    verdict: Verdict
    worse: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and print. 1 when something got worse by more than the limit, or a program of the new run failed."""
    options = _options(arguments)
    log = Console(stderr=True)
    try:
        baseline = read(options.baseline)
        new = _run(lambda text: log.print(f"-- {text}", highlight=False)) if options.new is None else read(options.new)
    except (OSError, msgspec.DecodeError, RuntimeError) as error:
        log.print(f"error: {error}; make bench ARGS=--save-baseline makes a baseline", style="bold red", markup=False)
        return 1
    for doubt in doubts(baseline, new):
        log.print(f"warning: {doubt}", markup=False)
    found = compare(baseline.lines, new.lines, options.confidence)
    show(found, options.limit)
    lost = sorted({line.name for line in baseline.lines} - {line.name for line in new.lines})
    if lost:
        print(f"not in the new run: {', '.join(lost)}")
    return 1 if any(each.worse > options.limit for each in found) else 0


def compare(old: Sequence[Line], new: Sequence[Line], confidence: float) -> list[Compared]:
    """The lines that both have, without absolute rates."""
    known = {line.name: line for line in old}
    return [
        compared(known[line.name], line, confidence)
        for line in new
        if line.name in known and line.unit != _ABSOLUTE and line.unit == known[line.name].unit
    ]


def compared(old: Line, new: Line, confidence: float) -> Compared:
    """One line."""
    found = change(old.rounds, new.rounds, confidence)
    if found is None:
        return Compared(new.name, old.value, new.value, None, "too few rounds to tell", 0)
    if not found.seen:
        return Compared(new.name, old.value, new.value, found, "no difference seen", 0)
    if (found.estimate > 1) == (new.better == "more"):
        good: Verdict = "smaller" if new.unit in _NO_TIME else "faster"
        return Compared(new.name, old.value, new.value, found, good, 0)
    bad: Verdict = "larger" if new.unit in _NO_TIME else "slower"
    # What takes twice as long is 100 % worse, and so is what does half as much.
    worse = max(found.estimate, 1 / found.estimate) - 1
    return Compared(new.name, old.value, new.value, found, bad, worse)


def doubts(old: Findings, new: Findings) -> list[str]:
    """Why the two runs may not compare."""
    found = []
    for name in ("processor", "cores", "memory_gb", "python", "libraries"):
        before, after = getattr(old.machine, name), getattr(new.machine, name)
        if before != after:
            found.append(f"another {name.replace('_gb', '')}: {after}, the baseline has {before}")
    return found


def show(found: Sequence[Compared], limit: float) -> None:
    """The table, what got worse first."""
    table = Table(title="new run against the baseline")
    table.add_column("figure")
    for column in ("baseline", "new", "change", "interval"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for each in sorted(found, key=lambda one: -one.worse):
        style = "bold red" if each.worse > limit else None
        table.add_row(
            each.name, number(each.old), number(each.new), *_in_percent(each.change), each.verdict, style=style
        )
    Console(width=None if sys.stdout.isatty() else 150).print(table)


def _in_percent(found: Change | None) -> tuple[str, str]:
    if found is None:
        return "", ""
    estimate, low, high = (f"{value - 1:+.1%}" for value in (found.estimate, found.low, found.high))
    return estimate, f"{low} .. {high}"


def _run(say: Say) -> Findings:
    ran = run_parts(SHORT, say)
    failed = [each.part.program for each in ran if each.found is None]
    if failed:
        raise RuntimeError(f"{', '.join(failed)} failed on {platform.node()}")
    return joined(ran)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--baseline", type=Path, default=BASELINE, help="default benchmarks/baseline.json")
    parser.add_argument("--new", type=Path, help="JSON of a run of make bench; without it, a new run is made")
    parser.add_argument("--limit", type=float, default=0.05, help="fail what is worse by more (default 0.05: 5 %%)")
    parser.add_argument("--confidence", type=float, default=0.99, help="of each interval (default 0.99)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
