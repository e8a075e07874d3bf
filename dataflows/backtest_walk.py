"""One pass over history under several rule sets: each gives its alerts, the first also what became of the orders."""

import time
from collections.abc import Callable, Sequence

from msgspec import Struct, structs

from config.outcomes import conditions
from config.settings import Settings
from dataflows.collector import patient_collector
from dataflows.environment import environment_of
from dataflows.history import HistoryPosition, require_answers
from dataflows.intake import Delivery
from dataflows.memory import MemoryDriver
from events.batch import RawBatch
from events.records import AlertRecord, Record
from operators.judging.episodes import Episode, EpisodeBook
from operators.judging.outcomes import Mark
from operators.judging.watch import OutcomeBook, watching
from operators.topology import Topology, in_time_with, topology
from sources.history import HistoryReader, Inputs, open_history


class Side(Struct, frozen=True):
    """A rule set. ``run``: what of its ``settings`` has to run; time passes as if all of it did."""

    settings: Settings
    run: Settings


class Walk(Struct, frozen=True):
    """A pass over history. ``start`` and ``end`` in epoch ms: what happened before and after is not looked at, and time
    goes on to ``end`` where history ends earlier.

    ``conditions``: what is noted down of the orders, see ``config.outcomes``; none: nothing. ``published``: rule
    documents in the history take effect on the first side; otherwise they count for nobody. ``passed_over``: rules
    whose alerts are not wanted.
    """

    sides: tuple[Side, ...]
    inputs: Inputs
    start: int | None = None
    end: int | None = None
    conditions: frozenset[str] = frozenset()
    published: bool = False
    passed_over: frozenset[str] = frozenset()


class Walked(Struct):
    """What a pass gave: the episodes of each side, and what became of orders. ``watermark``: how far history goes."""

    episodes: list[list[Episode]]
    marks: dict[str, list[Mark]]
    events: int
    late: int
    watermark: int


def walk(task: Walk, on_progress: Callable[[HistoryPosition], None] | None = None) -> Walked:
    """Go over history once. Raises SourceError when it cannot be read."""
    with open_history(task.sides[0].settings, task.inputs, start=task.start) as reader, patient_collector():
        book = _book(task.sides[0].settings, task.conditions) if task.conditions else None
        plans = [
            _plan(side, book if number == 0 else None, published=task.published and number == 0)
            for number, side in enumerate(task.sides)
        ]
        drivers = [MemoryDriver(plan, reader.partitions, until=task.end) for plan in plans]
        leaders = [_leader(plan, plans) for plan in plans]
        return _Pass(task, drivers, leaders, book).run(reader, on_progress)


class _Pass:
    """Feeds all drivers from one reader; drivers that route alike share what was routed."""

    def __init__(
        self, task: Walk, drivers: Sequence[MemoryDriver], leaders: Sequence[int], book: OutcomeBook | None
    ) -> None:
        self._task = task
        self._drivers = drivers
        self._leaders = leaders
        self._book = book
        self._found = [EpisodeBook(task.passed_over) for _ in drivers]
        self._events = 0
        self._late = 0

    def run(self, reader: HistoryReader, on_progress: Callable[[HistoryPosition], None] | None) -> Walked:
        intake = self._drivers[0].intake
        answered = time.monotonic()
        while not reader.finished and not self._passed():
            batches = reader.read(intake.router.slowest())
            if not batches:
                require_answers(reader, answered)
                continue
            answered = time.monotonic()
            self._feed(batches)
            if on_progress is not None:
                share = min(reader.done / reader.size, 1.0) if reader.size else None
                on_progress(HistoryPosition(self._events, self._watermark(), share))
        if self._book is not None:
            self._book.finish(self._watermark())
        return Walked(
            [found.episodes() for found in self._found],
            {} if self._book is None else self._book.marks,
            self._events,
            self._late,
            self._watermark(),
        )

    def _feed(self, batches: Sequence[RawBatch]) -> None:
        deliveries: dict[int, Delivery] = {}
        for number, driver in enumerate(self._drivers):
            leader = self._leaders[number]
            if leader == number:
                deliveries[number] = driver.intake.take(batches)
            for record in driver.apply(deliveries[leader]):
                self._keep(number, record)
        first = deliveries[0]
        self._events += sum(first.events.values())
        self._late += sum(first.late.values())

    def _keep(self, number: int, record: Record) -> None:
        if isinstance(record, AlertRecord) and (self._task.end is None or record.time < self._task.end):
            self._found[number].add(record)

    def _watermark(self) -> int:
        watermark = self._drivers[0].intake.watermark
        return watermark if self._task.end is None else min(watermark, self._task.end - 1)

    def _passed(self) -> bool:
        return all(self._is_past(self._drivers[leader]) for leader in set(self._leaders))

    def _is_past(self, driver: MemoryDriver) -> bool:
        return self._task.end is not None and driver.intake.watermark >= self._task.end - 1


def _book(settings: Settings, wanted: frozenset[str]) -> OutcomeBook:
    return OutcomeBook(conditions(wanted, settings), settings)


def _plan(side: Side, book: OutcomeBook | None, *, published: bool) -> Topology:
    """The stages of a side, with those who note down what becomes of orders."""
    whole, environment = (environment_of(each, read_model=False) for each in (side.settings, side.run))
    plan = in_time_with(topology(environment, beside=None if book is None else watching(book)), topology(whole))
    return plan if published else structs.replace(plan, rulebook=None)


def _leader(plan: Topology, plans: Sequence[Topology]) -> int:
    """The first side whose intake would do with every record what this one's does."""
    return next(number for number, other in enumerate(plans) if _routes_alike(plan, other))


def _routes_alike(one: Topology, other: Topology) -> bool:
    mine, its = one.environment, other.environment
    return (
        tuple(one.stages) == tuple(other.stages)
        and one.routes == other.routes
        and one.rulebook is other.rulebook
        and (one.copied is None) == (other.copied is None)
        and mine.groups == its.groups
        and mine.settings.time == its.settings.time
        and mine.settings.fallback == its.settings.fallback
    )
