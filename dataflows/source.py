"""The source as Bytewax sees it: one part per partition of the input, so that each keeps its own place in the store."""

import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from msgspec import Struct

from dataflows.alert_latency import AlertLatency
from dataflows.control import Control
from dataflows.intake import Delivery, Intake
from dataflows.lookout import Lookout
from dataflows.observer import Observer
from dataflows.placement import partitions_of
from dataflows.seals import SealError, sealed, unsealed
from dataflows.worker import Worker
from events.batch import RawBatch
from events.records import Record
from operators.heart.lateness import ClockSnapshot
from operators.heart.snapshots import SnapshotError
from sources.reader import Input, Reader, SourceError

IDLE_PAUSE: Final = timedelta(milliseconds=20)
_SOON: Final = timedelta(milliseconds=1)
_TRY_SECONDS: Final = 1.0
_BACKLOG: Final = 500  # records of one read: where so many are, there are more
LOGGER = logging.getLogger(__name__)


class Place(Struct, frozen=True):
    """Where a partition stands: the position of its next record, and its clock.

    ``watch``: the open platform alerts of the process that reads it, with one of its partitions.
    """

    position: int
    clock: ClockSnapshot
    watch: bytes = b""


_PLACES: Final = msgspec.msgpack.Decoder(Place)


class WorkerSource:
    """All partitions that one worker reads, through one reader.

    The reader is asked for all of them at once; what it gives waits here until Bytewax asks the partition's own part.
    So a part is given out, and its place is stored, within one and the same epoch.

    ``step``: the flow goes on in steps so many seconds apart, as long as it keeps pace: in each all that has come is
    read, given out, and followed by one new watermark. Each activation costs the same for one record as for many, and
    each watermark passes through every key group of every stage, though few have anything to do. 0: whatever comes goes
    on at once, each batch with its watermark.

    The first delivery is a hello, and nothing is read before this process has all that was stored of it.
    """

    def __init__(
        self,
        source: Input,
        worker: Worker,
        control: Control,
        observer: Observer,
        lookout: Lookout,
        *,
        until: int | None = None,
        step: float = 0.0,
        latency: AlertLatency | None = None,
    ) -> None:
        self._input = source
        self._latency = latency
        self._lookout = lookout
        self._worker = worker
        self._control = control
        self._observer = observer
        self._places: dict[str, Place | None] = {}
        self._waiting: dict[str, deque[RawBatch]] = {}
        self._reader: Reader | None = None
        plan = worker.plan
        mine = partitions_of(worker.index, plan.workers, source.partitions)
        self._intake = Intake(plan, mine, number=worker.index, until=until)
        self._mine = mine
        self._awake: datetime | None = None
        self._next_try = 0.0
        self._step = step
        self._began = 0.0  # the last step
        self._next_read = 0.0
        self._next_telling = 0.0
        self._said_hello = False
        self._said_all = False

    def add(self, partition: str, place: bytes | None) -> None:
        """Bytewax has placed a partition here, with what the store knows of it. Raises SnapshotError."""
        if partition not in self._mine:
            raise SnapshotError(
                f"partition {partition} was placed on worker {self._worker.index}, which does not own it"
            )
        try:
            self._places[partition] = None if place is None else _PLACES.decode(unsealed(place))
        except (msgspec.DecodeError, SealError) as error:
            raise SnapshotError(f"the place of partition {partition} in the store cannot be read: {error}") from error

    def next_batch(self, partition: str) -> Iterable[Delivery]:
        """The next delivery of a partition, if there is one now. StopIteration: there will be none."""
        if self._control.stopping:
            raise StopIteration
        if not self._said_hello:
            self._said_hello = True
            return (Delivery({}, [], first=True),)
        reader = self._reader or self._begin()
        if reader is None:
            return ()
        if self._latency is not None:
            self._latency.look()
        waiting = self._waiting[partition]
        if not waiting:
            if reader.finished:
                return self._last_words(reader)
            self._read(reader)
        batches = (waiting.popleft(),) if waiting else ()
        alerts = self._look(reader)
        tell = self._tells()
        if not batches and not alerts and not (tell and self._intake.withholds):
            return ()
        return (self._delivery(batches, alerts, tell=tell),)

    def _delivery(self, batches: Sequence[RawBatch], alerts: Iterable[Record], *, tell: bool) -> Delivery:
        delivery = self._intake.take(batches, tell=tell)
        delivery.records.extend(alerts)
        for batch in batches:
            self._lookout.read(batch.partition, len(batch.lines))
            if self._latency is not None:
                self._latency.read(batch)
        if tell:
            self._told()
        self._lookout.rules_published(each.document.rule for each in delivery.rules)
        self._observer.delivery(delivery)
        if tell and batches:
            self._observer.reached(self._intake.router.last_applied)
        return delivery

    def _tells(self) -> bool:
        """Whether the stages are to hear now how far time is: with the last that a step gives out."""
        if not self._step:
            return True
        return time.monotonic() >= self._next_telling and not any(self._waiting.values())

    def _told(self) -> None:
        self._next_telling = self._began + self._step
        if self._latency is not None:
            self._latency.told(self._intake.watermark)

    def _look(self, reader: Reader, *, now_for_sure: bool = False) -> list[Record]:
        alerts = self._lookout.look(reader, self._intake, now_for_sure=now_for_sure)
        if alerts is None:
            return []
        self._observer.looked(self._lookout, reader)
        return alerts

    def _last_words(self, reader: Reader) -> Iterable[Delivery]:
        """All is read: what remains to be said of it, once; then nothing."""
        if self._said_all or any(self._waiting.values()):
            raise StopIteration
        self._said_all = True
        alerts = self._look(reader, now_for_sure=True)
        if not alerts:
            raise StopIteration
        delivery = self._intake.take(())
        delivery.records.extend(alerts)
        return (delivery,)

    def next_awake(self, partition: str) -> datetime | None:
        """When to ask a partition again: at once when something waits for it, after a pause when nothing is new."""
        if self._waiting.get(partition):
            return None
        return self._awake or datetime.now(UTC) + _SOON

    def place(self, partition: str) -> bytes | None:
        """Where a partition stands now, between two deliveries."""
        if self._reader is None:
            known = self._places[partition]
            return None if known is None else sealed(msgspec.msgpack.encode(known))
        waiting = [batch for batch in self._waiting[partition] if batch.lines]
        position = waiting[0].positions[0] if waiting else self._reader.positions()[partition]
        watch = self._lookout.snapshot() if partition == self._mine[0] else b""
        place = Place(position, self._intake.router.clocks[partition].snapshot(), watch)
        return sealed(msgspec.msgpack.encode(place))

    def _begin(self) -> Reader | None:
        """The reader, once it can be opened: all that was stored is here, and the input answers."""
        if not self._worker.ready:
            self._worker.await_parts()
            return None
        if time.monotonic() < self._next_try:
            return None
        try:
            self._reader = self._open()
        except SourceError as error:
            if not (error.passing and any(self._places.values())):
                raise
            LOGGER.warning("%s; trying again", error)
            self._control.starting = str(error)
            self._next_try = time.monotonic() + _TRY_SECONDS
        return self._reader

    def _open(self) -> Reader:
        places = {name: place for name, place in self._places.items() if place is not None}
        self._intake.resume({name: place.clock for name, place in places.items()})
        self._lookout.restore((place.watch for place in places.values() if place.watch), self._mine)
        positions = {name: places[name].position if name in places else None for name in self._places}
        reader = self._control.adopt(self._input.open(positions))
        self._waiting = {name: deque() for name in self._places}
        self._observer.began_reading()
        return reader

    def _read(self, reader: Reader) -> None:
        if any(self._waiting.values()):
            return
        now = time.monotonic()
        if now < self._next_read:
            return
        batches = reader.read(self._intake.router.slowest())
        if self._step:
            self._began = now
            pause = 0.0 if sum(len(batch.lines) for batch in batches) >= _BACKLOG else self._step
            self._next_read = now + pause
            left = timedelta(seconds=max(0.0, self._next_read - time.monotonic()))
        else:
            left = timedelta() if batches else IDLE_PAUSE
        self._awake = datetime.now(UTC) + left if left else None
        for batch in batches:
            self._waiting[batch.partition].append(batch)


class SourcePart(StatefulSourcePartition[Delivery, bytes | None]):
    """One partition."""

    def __init__(self, source: WorkerSource, partition: str, control: Control) -> None:
        self._source = source
        self._partition = partition
        self._control = control

    def next_batch(self) -> Iterable[Delivery]:
        """One delivery, or none when nothing is new."""
        with self._control.guarded():
            return self._source.next_batch(self._partition)

    def next_awake(self) -> datetime | None:
        """A short pause when nothing was new."""
        return self._source.next_awake(self._partition)

    def snapshot(self) -> bytes | None:
        """Where the partition stands."""
        with self._control.guarded():
            return self._source.place(self._partition)


class EventSource(FixedPartitionedSource[Delivery, bytes | None]):
    """All partitions of the input."""

    def __init__(self, partitions: Iterable[str], source: WorkerSource, control: Control) -> None:
        self._partitions = list(partitions)
        self._source = source
        self._control = control

    def list_parts(self) -> list[str]:
        """All partitions; Bytewax places them. It asks once all processes are there."""
        self._control.begun = True
        return self._partitions

    def build_part(self, step_id: str, for_part: str, resume_state: bytes | None) -> SourcePart:
        """One that was placed here."""
        with self._control.guarded():
            self._source.add(for_part, resume_state)
            return SourcePart(self._source, for_part, self._control)
