"""Runs every figure in a process of its own, in interleaved rounds, and compares answers and costs."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from msgspec import Struct

from benchmarks.answers import answers, require_equal
from benchmarks.figures import ALERTS, FIGURES, PLAIN, Cost
from benchmarks.machine import Machine, this_machine
from benchmarks.runs import figure_cost
from benchmarks.workload import Workload, WorkloadPlan

Round = Mapping[str, Cost]


class Result(Struct, frozen=True):
    """One figure over all rounds; each number is the median.

    ``cpu_ratio`` and ``wall_ratio`` are to the plain loop of the same round: what slows a whole round slows both.
    """

    title: str
    events_per_s: float
    events_per_cpu_s: float
    cpu_us_per_event: float
    cpu_ratio: float
    wall_ratio: float
    peak_rss_mb: float
    alert_steps: int | None
    rounds: list[Cost]


class Report(Struct, frozen=True):
    """A whole measurement."""

    started: datetime
    machine: Machine
    plan: WorkloadPlan
    workload: Workload
    rounds: int
    figures: dict[str, Result]


def measure(
    plan: WorkloadPlan, workload: Workload, rounds: int, progress: Callable[[str], None] = lambda _: None
) -> Report:
    """Measure all figures ``rounds`` times; ``progress`` is told what is being done.

    Raises WrongAnswerError when two figures that must alert alike do not, and CalledProcessError when one fails.
    """
    started, machine = datetime.now(UTC), this_machine()
    done: list[Round] = []
    steps: dict[str, int] = {}
    for number in range(1, rounds + 1):
        with TemporaryDirectory(prefix="orderpulse-benchmark-") as scratch:
            costs = {}
            for name in FIGURES:
                progress(f"round {number} of {rounds}: {FIGURES[name].title}")
                costs[name] = figure_cost(name, Path(workload.directory), Path(scratch) / name, workload.events)
            steps = _checked(Path(scratch))
        done.append(costs)
    figures = {name: _result(name, done, steps.get(name)) for name in FIGURES}
    return Report(started, machine, plan, workload, rounds, figures)


def _checked(scratch: Path) -> dict[str, int]:
    """How many alert steps each figure gave, once all are as they must be."""
    given = {name: answers(scratch / name / ALERTS) for name, figure in FIGURES.items() if figure.alerts}
    for name, figure in FIGURES.items():
        if figure.answers_like:
            require_equal(figure.answers_like, given[figure.answers_like], name, given[name])
    return {name: found.total() for name, found in given.items()}


def _result(name: str, rounds: Sequence[Round], steps: int | None) -> Result:
    costs = [costs[name] for costs in rounds]
    plain = [costs[PLAIN] for costs in rounds]
    return Result(
        title=FIGURES[name].title,
        events_per_s=median(cost.events / cost.wall_s for cost in costs),
        events_per_cpu_s=median(cost.events / cost.cpu_s for cost in costs),
        cpu_us_per_event=median(cost.cpu_s * 1e6 / cost.events for cost in costs),
        cpu_ratio=median(cost.cpu_s / yardstick.cpu_s for cost, yardstick in zip(costs, plain, strict=True)),
        wall_ratio=median(cost.wall_s / yardstick.wall_s for cost, yardstick in zip(costs, plain, strict=True)),
        peak_rss_mb=median(cost.peak_rss_mb for cost in costs),
        alert_steps=steps,
        rounds=costs,
    )
