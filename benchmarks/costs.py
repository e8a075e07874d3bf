"""``python -m benchmarks.costs``: what each kind of run costs beside the plain loop: flow, replay, backtest, defaults.

All run in one process, in interleaved rounds. Those that are meant to alert alike must.
"""

import sys
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.figures import PLAIN
from benchmarks.lines import Line, line_of
from benchmarks.measure import Report, Result, measure
from benchmarks.program import Say, parser, positive, run_program, size
from benchmarks.workload import WorkloadPlan, cached_workload

_COLUMNS: Final = ("events/s", "CPU µs/event", "CPU : loop", "time : loop", "peak MB", "alert steps")
_WIDTH: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report."""
    options = parser("costs", __doc__, rounds=5)
    options.add_argument("--events", type=positive, default=500_000, help="size of the workload (default 500000)")
    options.add_argument("--seed", type=int, default=1, help="another seed, another workload (default 1)")
    options.add_argument("--partitions", type=positive, default=4, help="files of each kind of events (default 4)")
    given = options.parse_args(arguments)
    plan = WorkloadPlan(given.events, given.seed, given.partitions)

    def costs(say: Say) -> tuple[list[Line], Any]:
        say(f"workload: {plan.events:,} events, seed {plan.seed} (made once, then kept)")
        report = measure(plan, cached_workload(plan), given.rounds, say)
        _show(report)
        return lines(report), report

    title = f"{size(given.events)} events, one process, against the plain loop"
    return run_program("costs", title, given.json, costs)


def lines(report: Report) -> list[Line]:
    """CPU per event and time of each figure, over those of the plain loop in the same round."""
    at, floor = size(report.plan.events), report.figures[PLAIN]
    found = []
    for name, result in report.figures.items():
        if name != PLAIN:
            cpu, wall = _ratios(result, floor)
            found.append(line_of(f"{result.title} : plain loop, CPU per event, {at}", cpu, better="less"))
            found.append(line_of(f"{result.title} : plain loop, time, {at}", wall, better="less"))
    return found


def _ratios(result: Result, floor: Result) -> tuple[list[float], list[float]]:
    pairs = list(zip(result.rounds, floor.rounds, strict=True))
    return [one.cpu_s / loop.cpu_s for one, loop in pairs], [one.wall_s / loop.wall_s for one, loop in pairs]


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
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)


if __name__ == "__main__":
    sys.exit(main())
