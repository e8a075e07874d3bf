"""History as input: files or topics from a moment on, up to the end that they had when reading began.

It is read and nothing else: no position is stored anywhere, and nothing that comes while it is read belongs to it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from config.settings import Settings, TimeSettings
from config.units import Instant
from events.batch import RawBatch
from events.model import UNREADABLE
from events.topics import INPUT_TOPICS
from sources.clock import SteadyClock
from sources.files import LINE_SUFFIXES, FileInput, FileReader, named_files
from sources.kafka import KafkaInput
from sources.kafka_client import Partition
from sources.kafka_reader import KafkaReader
from sources.pacing import Pacing
from sources.start import format_positions

# Of each file so many records wait for the others at least; more make nothing faster.
_BATCH: Final = 20_000

Inputs = Sequence[Path] | Literal["kafka"]

# What stays in force from its moment on has to be known, however long before the beginning that moment lies.
_LASTING_TOPICS: Final = frozenset({"rules"})
_LASTING_TYPES: Final = ("rule.",)


class Offsets(Struct, frozen=True):
    """Where reading begins and ends in some partitions of topics; ``ends`` are the first offsets not read."""

    starts: Mapping[Partition, int] = {}
    ends: Mapping[Partition, int] = {}


class _Moment(Struct, gc=False):
    time: int
    type: str = ""


class HistoryReader:
    """Reads history to its end; made by ``open_history``.

    ``start`` (epoch ms): of each log, all before the first event at that time or later is left out, but for rule
    documents. What comes behind that event is read whatever its time: so it is late or not as in the whole log.
    """

    def __init__(
        self, inner: FileReader | KafkaReader, times: TimeSettings, *, start: int | None, size: int | None
    ) -> None:
        self._inner = inner
        self._cuts = {} if start is None else {name: _Cut(start, times) for name in inner.partitions}
        self._first = sum(inner.positions().values())
        self._pacing = Pacing() if isinstance(inner, KafkaReader) else None
        self._held: frozenset[str] = frozenset()
        self.partitions: Sequence[str] = inner.partitions
        self.size = size
        """How much there is to read, in bytes or records; None where packed files do not tell."""

    @property
    def finished(self) -> bool:
        """Whether everything was delivered."""
        return self._inner.finished

    @property
    def done(self) -> int:
        """How much of ``size`` is read."""
        return sum(self._inner.positions().values()) - self._first

    @property
    def missing(self) -> Mapping[str, str]:
        """The partitions that do not answer now, and why: history is not whole without them, so they are waited for."""
        return {name: each.cause for name, each in self._inner.unreachable().items()}

    def read(self, prefer: str | None) -> list[RawBatch]:
        """The next records, at most one batch per partition. ``prefer``: the partition furthest behind in event time.

        Partitions of topics that have run too far ahead of it rest until it has come closer. Raises SourceError when
        the input cannot be read any further.
        """
        if self._pacing is not None:
            self._hold(self._pacing.resting(prefer))
        batches = self._inner.read(prefer)
        if self._pacing is not None:
            self._pacing.take(batches)
        if not self._cuts:
            return batches
        return [kept for batch in batches if (kept := self._cut(batch)).lines or kept.finished]

    def positions(self) -> dict[str, int]:
        """The next position of each partition."""
        return self._inner.positions()

    def close(self) -> None:
        """Gives files and connections back."""
        self._inner.close()

    def _hold(self, partitions: frozenset[str]) -> None:
        if isinstance(self._inner, KafkaReader) and partitions != self._held:
            self._inner.hold(partitions)
            self._held = partitions

    def _cut(self, batch: RawBatch) -> RawBatch:
        cut = self._cuts.get(batch.partition)
        if cut is None:
            return batch
        kept = cut.kept(batch)
        if cut.passed:
            del self._cuts[batch.partition]
        return _chosen(batch, kept)


class _Cut:
    """Leaves out what stands in one log before the first event at ``start`` or later.

    An event whose time the flow will refuse is not that one: with nothing before it, it would be believed.
    """

    def __init__(self, start: int, times: TimeSettings) -> None:
        self._start = start
        self._times = times
        self._largest: int | None = None
        self.passed = False

    def kept(self, batch: RawBatch) -> Sequence[int]:
        """The indexes of the records to keep of the log's next batch."""
        lasting: list[int] = []
        arrivals = batch.arrivals
        for index, moment in enumerate(_moments(batch.lines)):
            if moment is None or not self._is_plausible(moment.time, arrivals[index] if arrivals else None):
                continue
            if moment.time >= self._start:
                self.passed = True
                return [*lasting, *range(index, len(batch.lines))]
            self._largest = moment.time if self._largest is None else max(self._largest, moment.time)
            if moment.type.startswith(_LASTING_TYPES):
                lasting.append(index)
        return lasting

    def _is_plausible(self, moment: int, arrival: int | None) -> bool:
        times = self._times
        if not times.earliest <= moment < times.latest:
            return False
        if arrival is not None and times.arrival == "record":
            return moment <= arrival + times.future_tolerance
        return self._largest is None or moment <= self._largest + times.max_advance


@contextmanager
def open_history(
    settings: Settings, inputs: Inputs, *, start: int | None = None, offsets: Offsets | None = None
) -> Iterator[HistoryReader]:
    """Open files, or the input topics of the settings from their beginning; closed at the end.

    ``start`` (epoch ms) leaves out what is older, see ``HistoryReader``; topics are entered at that time, where the
    timestamps of their records say when these came (``time.arrival = "record"``). ``offsets`` instead of it names the
    places in topics. The ends are those of now. Raises SourceError.
    """
    reader: FileReader | KafkaReader
    size: int | None
    if inputs == "kafka":
        reader = topics = _topics(settings, start, offsets or Offsets())
        size = sum(span.end - span.first for span in topics.spans)
    else:
        reader = FileInput(inputs, batch=_BATCH).open()
        size = _size(inputs)
    try:
        yield HistoryReader(reader, settings.time, start=start, size=size)
    finally:
        reader.close()


def _topics(settings: Settings, start: int | None, offsets: Offsets) -> KafkaReader:
    topics = {entry: str(getattr(settings.kafka.topics, entry)) for entry in INPUT_TOPICS}
    source = KafkaInput(
        settings.kafka,
        list(topics.values()),
        start=_start_in_topics(settings, start, offsets.starts),
        bounded=True,
        whole=[name for entry, name in topics.items() if entry in _LASTING_TOPICS],
        ends=offsets.ends,
        clock=SteadyClock(),
    )
    return source.open()


def _start_in_topics(settings: Settings, start: int | None, offsets: Mapping[Partition, int]) -> str:
    if offsets:
        return format_positions({str(partition): offset for partition, offset in offsets.items()})
    if start is None or settings.time.arrival == "ignore":
        return "earliest"
    # An event may be that much ahead of its arrival, and none more.
    return str(Instant(max(start - settings.time.future_tolerance, 0)))


def _size(paths: Sequence[Path]) -> int | None:
    """Positions in files are bytes, unless they are packed or tables."""
    files = [path for _, path in named_files(paths)]
    return sum(path.stat().st_size for path in files) if all(path.suffix in LINE_SUFFIXES for path in files) else None


_moment_decoder: msgspec.json.Decoder[_Moment] = msgspec.json.Decoder(_Moment)


def _moments(lines: Sequence[bytes]) -> Sequence[_Moment | None]:
    try:
        moments = _moment_decoder.decode_lines(b"\n".join(lines))
        if len(moments) == len(lines):
            return moments
    except UNREADABLE:
        pass
    return list(map(_moment, lines))


def _moment(line: bytes) -> _Moment | None:
    try:
        return _moment_decoder.decode(line)
    except UNREADABLE:
        return None


def _chosen(batch: RawBatch, indexes: Sequence[int]) -> RawBatch:
    """Some records of a batch."""
    if len(indexes) == len(batch.lines):
        return batch
    headers, positions = batch.headers or {}, batch.positions
    return RawBatch(
        partition=batch.partition,
        topic=batch.topic,
        lines=[batch.lines[index] for index in indexes],
        positions=[positions[index] for index in indexes],
        arrivals=None if batch.arrivals is None else [batch.arrivals[index] for index in indexes],
        headers={at: headers[index] for at, index in enumerate(indexes) if index in headers} or None,
        finished=batch.finished,
    )
