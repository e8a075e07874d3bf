"""``make bench``: what the whole flow costs beside a plain loop that does the same without its guarantees."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from subprocess import CalledProcessError

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.answers import WrongAnswerError
from benchmarks.measure import Report, measure
from benchmarks.workload import WorkloadPlan, cached_workload

_OUT = Path(__file__).parent.parent / "out" / "benchmarks"
_COLUMNS = ("events/s", "CPU µs/event", "CPU : loop", "time : loop", "peak MB", "alert steps")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON. 1 when an answer was wrong or a run failed."""
    options = _options(arguments)
    plan = WorkloadPlan(options.events, options.seed, options.partitions)
    log = Console(stderr=True)
    try:
        log.print(f"workload: {plan.events:,} events, seed {plan.seed} (made once, then kept) ...")
        report = measure(plan, cached_workload(plan), options.rounds, log.print)
    except (WrongAnswerError, CalledProcessError) as error:
        log.print(f"error: {error}", style="bold red", markup=False)
        return 1
    path = write(report, options.output)
    _show(report)
    Console().print(f"written to {path}", highlight=False, soft_wrap=True)
    return 0


def write(report: Report, directory: Path) -> Path:
    """The report as ``<date>.json``."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{report.started:%Y-%m-%dT%H%M%SZ}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    return path


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--events", type=_positive, default=500_000, help="size of the workload (default 500000)")
    parser.add_argument("--rounds", type=_positive, default=5, help="each figure is measured so often (default 5)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another workload (default 1)")
    parser.add_argument("--partitions", type=_positive, default=4, help="files of each kind of events (default 4)")
    parser.add_argument("--output", type=Path, default=_OUT, help="directory of the JSON (default out/benchmarks)")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is too few: give 1 or more")
    return number


def _show(report: Report) -> None:
    machine, workload = report.machine, report.workload
    table = Table(
        title=f"{workload.events:,} events ({workload.behaviour / workload.events:.0%} behaviour), one process, "
        f"median of {report.rounds} rounds",
        caption=f"{machine.processor}, {machine.cores} cores, {machine.python}, commit {machine.commit}",
    )
    table.add_column("")
    for column in _COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for result in report.figures.values():
        table.add_row(
            result.title,
            f"{result.events_per_s:,.0f}",
            f"{result.cpu_us_per_event:.2f}",
            f"{result.cpu_ratio:.2f}",
            f"{result.wall_ratio:.2f}",
            f"{result.peak_rss_mb:,.0f}",
            "" if result.alert_steps is None else f"{result.alert_steps:,}",
        )
    # A pipe or a file has no width; 80 columns would break the titles.
    Console(width=None if sys.stdout.isatty() else 130).print(table)


if __name__ == "__main__":
    sys.exit(main())
