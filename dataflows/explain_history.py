"""A history that is read several times for one explanation, each time to the same end."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from msgspec import structs

from config.settings import Settings
from dataflows.collector import patient_collector
from dataflows.explain_scan import Found, Keys, Scan
from dataflows.intake import Delivery
from dataflows.memory import MemoryDriver
from events.batch import RawBatch
from events.records import Record
from operators.heart.lateness import AFTER_TIME
from operators.topology import Topology
from operators.trace.trace import Trace
from operators.trace.traced import TracedKeyGroup, traced
from sources.history import HistoryReader, Inputs, Offsets, open_history
from sources.kafka_client import Partition
from sources.reader import SourceError

_PATIENCE_SECONDS: Final = 60.0
OnProgress = Callable[[str, float | None], None]


class History:
    """Reads ``inputs`` from ``start`` on (epoch ms; None: all of it); nothing later than ``until`` is applied.

    Topics are read to the ends that they had at the first reading. ``on_progress`` is told what is read for, and how
    much of it is done, where that is known.
    """

    def __init__(
        self,
        settings: Settings,
        inputs: Inputs,
        *,
        start: int | None = None,
        until: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._settings = settings
        self._inputs = inputs
        self.start = start
        self.until = until
        self._on_progress = on_progress
        self._offsets: Offsets | None = None
        self.partitions: tuple[str, ...] = ()
        self.events = 0
        self.watermark: int | None = None

    def scan(self, plan: Topology, keys: Keys) -> list[Found]:
        """The events that concern some keys, in the order in which they are applied; raises SourceError."""
        with self._open() as reader, patient_collector():
            scan = Scan(plan, keys)
            scan.router.expect(reader.partitions)
            for batch in self._batches(reader, scan.router.slowest, "searching"):
                scan.take(batch)
                if self._is_over(scan.router.watermark):
                    break
        found = [each for each in scan.found if self.until is None or each.at <= self.until]
        return sorted(found, key=lambda each: each.at)

    def run(self, plan: Topology, trace: Trace, keep: Callable[[Record], bool]) -> list[Record]:
        """Run the flow over it, watched; returns the records that are to be kept. Raises SourceError."""
        kept: list[Record] = []
        with self._open() as reader, patient_collector():
            self.partitions, self.events = tuple(reader.partitions), 0
            driver = MemoryDriver(traced(plan, trace), reader.partitions, until=self.until)
            for batch in self._batches(reader, driver.intake.router.slowest, "watching"):
                self.events += len(batch.lines)
                delivery = driver.intake.take([batch])
                over = self._is_over(driver.intake.watermark)
                kept.extend(filter(keep, driver.apply(self._bounded(delivery))))
                if over:
                    break
            self.watermark = driver.intake.watermark if self.until is None else self.until
        look_at_the_end(driver, self.watermark)
        return kept

    @contextmanager
    def _open(self) -> Iterator[HistoryReader]:
        with open_history(self._settings, self._inputs, start=self.start, offsets=self._offsets) as reader:
            starts = reader.positions()
            yield reader
            if self._inputs == "kafka" and self._offsets is None and reader.finished:
                self._offsets = Offsets(_by_partition(starts), _by_partition(reader.positions()))

    def _batches(self, reader: HistoryReader, slowest: Callable[[], str | None], what: str) -> Iterator[RawBatch]:
        answered = time.monotonic()
        while not reader.finished:
            batches = reader.read(slowest())
            if batches:
                answered = time.monotonic()
            elif reader.missing and time.monotonic() - answered > _PATIENCE_SECONDS:
                name, cause = min(reader.missing.items())
                remedy = "history is not whole without it: see to the broker, then begin again"
                raise SourceError(f"has not answered for {_PATIENCE_SECONDS:.0f} s ({cause})", name, remedy)
            yield from batches
            if self._on_progress is not None:
                self._on_progress(what, min(reader.done / reader.size, 1.0) if reader.size else None)

    def _is_over(self, watermark: int) -> bool:
        return self.until is not None and watermark >= self.until

    def _bounded(self, delivery: Delivery) -> Delivery:
        """Let no key group go beyond ``until``; what is later stays in its buffers."""
        until = AFTER_TIME if self.until is None else self.until
        for by_group in delivery.inputs.values():
            for group, item in by_group.items():
                ended = None if item.ended is None else min(item.ended, until)
                by_group[group] = structs.replace(item, watermark=min(item.watermark, until), ended=ended)
        return delivery


def _by_partition(positions: Mapping[str, int]) -> dict[Partition, int]:
    named = {name.rpartition("/"): position for name, position in positions.items()}
    return {Partition(topic, int(number)): position for (topic, _, number), position in named.items()}


def look_at_the_end(driver: MemoryDriver, at: int) -> None:
    """Have the trace told how things stand."""
    for groups in driver.groups.values():
        for group in groups:
            if isinstance(group, TracedKeyGroup):
                group.stands(at)
