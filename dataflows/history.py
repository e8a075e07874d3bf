"""History through the in-memory driver: records come out, and nothing else can happen.

This module knows no sink: neither topics nor Redis nor anybody who could be notified. What its callers do with the
records is theirs.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from config.settings import Settings
from dataflows.collector import patient_collector
from dataflows.environment import environment_of
from dataflows.memory import MemoryDriver
from events.records import DeadLetterRecord, LateRecord, Record
from operators.heart.lateness import BEFORE_TIME
from operators.topology import topology
from sources.history import HistoryReader, Inputs, Offsets, open_history
from sources.reader import SourceError

_PATIENCE_SECONDS: Final = 60.0


class HistoryPosition(Struct, frozen=True):
    """Where a pass over history is. ``watermark`` in epoch ms; ``share``: of what there is to read, if known."""

    events: int
    watermark: int
    share: float | None


class HistoryPass:
    """One pass over history through one driver.

    ``inputs``: paths of files and directories, or "kafka" for the input topics of the settings. ``start``, ``end`` and
    ``until`` are epoch ms. ``start``: what happened before is not read (state is then right only for what begins
    later); None: from the beginning. ``end``: no record of that time or later comes out, and nothing is read for it.
    ``until``: how far time goes on after the last event. ``offsets`` in place of ``start``, for topics.
    """

    def __init__(
        self,
        settings: Settings,
        inputs: Inputs,
        *,
        start: int | None = None,
        end: int | None = None,
        until: int | None = None,
        offsets: Offsets | None = None,
        on_progress: Callable[[HistoryPosition], None] | None = None,
    ) -> None:
        self._settings = settings
        self._inputs = inputs
        self._start = start
        self._end = end
        self._until = until
        self._offsets = offsets
        self._on_progress = on_progress
        self.events = 0
        self.late = 0
        self.duplicates = 0
        self.watermark = BEFORE_TIME
        """Everything up to this event time (epoch ms) has been judged."""
        self.first: Mapping[str, int] = {}
        """Where reading began, by partition."""

    def batches(self) -> Iterator[list[Record]]:
        """All records, each entity's in their order, as they come of each read. Once. Raises SourceError."""
        with (
            open_history(self._settings, self._inputs, start=self._start, offsets=self._offsets) as reader,
            patient_collector(),
        ):
            self.first = reader.positions()
            plan = topology(environment_of(self._settings, read_model=False))
            driver = MemoryDriver(plan, reader.partitions, until=self._until)
            yield from self._drive(reader, driver)

    def records(self) -> Iterator[Record]:
        """The same one by one."""
        for batch in self.batches():
            yield from batch

    def _drive(self, reader: HistoryReader, driver: MemoryDriver) -> Iterator[list[Record]]:
        intake = driver.intake
        answered = time.monotonic()
        while not reader.finished and not self._passed(intake.watermark):
            batches = reader.read(intake.router.slowest())
            if not batches:
                require_answers(reader, answered)
                continue
            answered = time.monotonic()
            delivery = intake.take(batches)
            self.events += sum(delivery.events.values())
            self.late += sum(delivery.late.values())
            records = driver.apply(delivery)
            self.duplicates = driver.duplicates
            self.watermark = self._bounded(intake.watermark)
            if self._on_progress is not None:
                share = min(reader.done / reader.size, 1.0) if reader.size else None
                self._on_progress(HistoryPosition(self.events, self.watermark, share))
            yield records if self._end is None else list(filter(self._is_within, records))

    def _passed(self, watermark: int) -> bool:
        return self._end is not None and watermark >= self._end - 1

    def _bounded(self, watermark: int) -> int:
        return watermark if self._end is None else min(watermark, self._end - 1)

    def _is_within(self, record: Record) -> bool:
        moment = moment_of(record)
        return moment is None or self._end is None or moment < self._end


def run_history(
    settings: Settings,
    inputs: Inputs,
    *,
    start: int | None = None,
    end: int | None = None,
    until: int | None = None,
    on_progress: Callable[[HistoryPosition], None] | None = None,
) -> Iterator[Record]:
    """The records that history gives under some settings; see ``HistoryPass``. Raises SourceError."""
    return HistoryPass(settings, inputs, start=start, end=end, until=until, on_progress=on_progress).records()


def moment_of(record: Record) -> int | None:
    """The event time (epoch ms) at which a record counts; a dead letter has only its arrival, if the log keeps any."""
    if isinstance(record, LateRecord):
        return record.applied_at
    return record.arrival if isinstance(record, DeadLetterRecord) else record.time


def require_answers(reader: HistoryReader, answered: float) -> None:
    """Raises SourceError when a partition has not answered for too long; ``answered``: steady time, s, of the last."""
    missing = reader.missing
    if missing and time.monotonic() - answered > _PATIENCE_SECONDS:
        name, cause = min(missing.items())
        raise SourceError(
            f"has not answered for {_PATIENCE_SECONDS:.0f} s ({cause})",
            name,
            "history is not whole without it: see to the broker, then begin again",
            passing=True,
        )
