"""Reads partitions of Kafka topics: one consumer with partitions assigned by hand, so no dead member is waited for."""

import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, TypeAlias, cast

from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    Message,
    TopicPartition,
)
from msgspec import Struct

from config.settings import KafkaSettings
from events.batch import Headers, RawBatch
from sources.clock import SteadyClock
from sources.kafka_client import Partition, client_options, log
from sources.kafka_errors import source_error
from sources.log_end import EVERY_SECONDS, Answer, EndProbe
from sources.outages import Outages
from sources.reader import SourceError, Unreachable, Waiting

WAIT_SECONDS = 0.1
# The client's records are taken over in portions that are still in the processor's cache when they are unpacked and
# let go: a read of 20,000 at once takes a third more time for each.
PORTION = 1_000

CONSUMER_DEFAULTS: dict[str, Any] = {
    # The default stops fetching for a second once 100,000 records are queued: 254,000 records/s instead of a million.
    "fetch.queue.backoff.ms": 10,
    # Fetching pauses above that, for all partitions together; but the answers that are under way still come, up to
    # `fetch.max.bytes` from each broker, and counted before they are unpacked.
    "queued.max.messages.kbytes": 16 << 10,
    "fetch.max.bytes": 4 << 20,
    # A broker that answers with every single record answers all the time: with 2,000 records/s on 32 partitions that
    # took a whole core of it. What has come is given out in steps that lie further apart than this anyway.
    "fetch.min.bytes": 1 << 20,
    "fetch.wait.max.ms": 20,
    "fetch.error.backoff.ms": 100,
    "enable.partition.eof": True,
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "allow.auto.create.topics": False,
    # A position that retention has removed is an error, never a silent jump over lost records.
    "auto.offset.reset": "error",
}

Record: TypeAlias = "Message[bytes, bytes]"

# These methods of a C class go through map, without a call in Python per record. A record without error has them all.
_topic = cast("Callable[[Record], str]", Message.topic)
_number = cast("Callable[[Record], int]", Message.partition)
_offset = cast("Callable[[Record], int]", Message.offset)
_value = cast("Callable[[Record], bytes]", Message.value)
_timestamp = cast("Callable[[Record], tuple[int, int]]", Message.timestamp)
_headers = cast("Callable[[Record], list[tuple[str, bytes | None]] | None]", Message.headers)


class _Log(Struct):
    """How far one partition is read. ``end``: where a bounded read stops; ``quiet_since``: monotonic seconds."""

    partition: Partition
    name: str
    position: int
    end: int | None
    known_end: int
    quiet_since: float = 0.0
    finished: bool = False


class Span(Struct, frozen=True):
    """What to read of a partition: from ``first`` on; ``end``: the offset behind the last record that is there now."""

    partition: Partition
    first: int
    end: int


class KafkaReader:
    """Reads spans of partitions, or from where they begin and then for ever; made by ``KafkaInput.open``.

    ``bounded``: only up to the spans' ends. ``clock`` gives the time at which the end of a log was confirmed.
    """

    def __init__(self, settings: KafkaSettings, spans: Sequence[Span], *, bounded: bool, clock: SteadyClock) -> None:
        options = client_options(settings)
        self._settings = settings
        self._bounded = bounded
        self._clock = clock
        self._fatal: SourceError | None = None
        self._held: set[str] = set()
        self._behind = True
        self.tombstones = 0
        self.spans = tuple(spans)
        self._logs = {each.partition: _log_of(each, bounded=bounded) for each in spans}
        self._by_name = {each.name: each for each in self._logs.values()}
        self.partitions: Sequence[str] = tuple(self._by_name)
        self._outages = Outages(self.partitions, settings.bootstrap)
        self._consumer = _consumer(settings, options, self._client_error)
        self._consumer.assign([TopicPartition(*each.partition, each.first) for each in spans])
        self._probe = EndProbe(options, clock.now)

    @property
    def finished(self) -> bool:
        """Whether the read is bounded and everything up to the ends was delivered."""
        return self._bounded and all(each.finished for each in self._logs.values())

    def read(self, prefer: str | None) -> list[RawBatch]:
        """The records that have come, one batch per partition; ``prefer`` is ignored, see ``hold``.

        A batch with ``end_confirmed_at`` and perhaps no records: everything that the partition's leader had appended
        by then was delivered with it or before. Raises SourceError for what no waiting will mend.
        """
        if self._fatal is not None:
            raise self._fatal
        parts: dict[Partition, list[RawBatch]] = {}
        for messages in self._consume():
            for partition, batch in self._delivered(messages):
                parts.setdefault(partition, []).append(batch)
        batches = {partition: _joined(each) for partition, each in parts.items()}
        if self._bounded:
            self._finish(batches)
        if not self.finished:
            self._watch_ends(batches)
        return list(batches.values())

    def hold(self, partitions: Collection[str]) -> None:
        """Lets exactly these partitions rest, those too far ahead of the others in event time.

        What was fetched of them is fetched again later, so hold them for seconds, not for single reads.
        """
        wanted = set(partitions)
        if stop := wanted - self._held:
            self._consumer.pause(self._topic_partitions(stop))
        if go_on := {name for name in self._held - wanted if not self._by_name[name].finished}:
            self._consumer.resume(self._topic_partitions(go_on))
        self._held = wanted

    def positions(self) -> dict[str, int]:
        """The next offset of each partition."""
        return {each.name: each.position for each in self._logs.values()}

    def lag(self) -> dict[str, int]:
        """How many offsets each partition is behind the newest end that is known of it."""
        return {each.name: max(0, self._known_end(each) - each.position) for each in self._logs.values()}

    def commit(self, positions: Mapping[str, int] | None = None) -> None:
        """Stores positions (those of the reader unless told) in the group, in the background.

        Only ``start = "committed"`` and tools that show lag read them; a failure is logged.
        """
        reached = self.positions() if positions is None else positions
        offsets = [
            TopicPartition(*self._by_name[name].partition, offset)
            for name, offset in reached.items()
            if name in self._by_name
        ]
        if offsets:
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def unreachable(self) -> Mapping[str, Unreachable]:
        """The partitions whose leader does not answer, or whose records cannot be fetched."""
        return self._outages.current()

    @property
    def waiting(self) -> Waiting | None:
        """Set while no partition at all can be read: the cluster is gone."""
        return self._outages.waiting

    def close(self) -> None:
        """Leaves the cluster."""
        self._consumer.close()

    def _consume(self) -> Iterator[list[Record]]:
        """What is there, or the first that comes while waiting, in portions.

        The consumer's own call waits until a portion is full; behind a backlog that is wanted, for large batches, but
        a record that comes alone would wait for nothing.
        """
        limit, count = self._settings.batch, 0
        portion = min(limit, PORTION)
        until = time.monotonic() + WAIT_SECONDS if self._behind else 0.0
        messages = self._consumer.consume(portion if self._behind else 1, WAIT_SECONDS)
        if not self._behind and messages and portion > 1:
            messages += self._consumer.consume(portion - 1, 0)
        while messages:
            count += len(messages)
            yield messages
            if len(messages) < portion or count >= limit:
                break
            portion = min(portion, limit - count)
            messages = self._consumer.consume(portion, max(0.0, until - time.monotonic()))
        self._behind = count >= limit

    def _delivered(self, messages: list[Record]) -> Iterator[tuple[Partition, RawBatch]]:
        errors = list(map(Message.error, messages))
        failed = []
        if any(errors):
            failed = [message for message in messages if message.error() is not None]
            messages = [message for message in messages if message.error() is None]
        for partition, records in _by_partition(messages):
            yield partition, self._batch(self._logs[partition], records)
        for message in failed:
            self._message_error(message)

    def _batch(self, read: _Log, records: list[Record]) -> RawBatch:
        positions = list(map(_offset, records))
        if read.end is not None and positions[-1] >= read.end:
            within = bisect_left(positions, read.end)
            records, positions = records[:within], positions[:within]
            read.position = read.end
        else:
            read.position = positions[-1] + 1
        read.quiet_since = time.monotonic()
        self._outages.delivered(read.name)
        self._tell_time(records[-1:])
        if None in map(Message.value, records):
            kept = [record for record in records if record.value() is not None]
            self.tombstones += len(records) - len(kept)
            records, positions = kept, list(map(_offset, kept))
        return _raw_batch(read, records, positions)

    def _finish(self, batches: dict[Partition, RawBatch]) -> None:
        for partition, read in self._logs.items():
            if not read.finished and read.end is not None and read.position >= read.end:
                read.finished = True
                self._outages.forget(read.name)
                batches.setdefault(partition, _raw_batch(read, [], [])).finished = True
                self._consumer.pause([TopicPartition(*partition)])

    def _watch_ends(self, batches: dict[Partition, RawBatch]) -> None:
        for answer in self._probe.answers():
            self._take(answer, batches)
        if self._probe.due():
            quiet = time.monotonic() - EVERY_SECONDS
            self._probe.ask(
                each for each, read in self._logs.items() if not read.finished and read.quiet_since <= quiet
            )

    def _take(self, answer: Answer, batches: dict[Partition, RawBatch]) -> None:
        read = self._logs[answer.partition]
        if answer.error is not None:
            self._outages.unanswered(read.name, answer.asked_at, answer.error)
            return
        self._outages.answered(read.name)
        read.known_end = answer.end
        if read.position < answer.end:
            return
        self._outages.delivered(read.name)
        if not self._bounded:
            batches.setdefault(answer.partition, _raw_batch(read, [], [])).end_confirmed_at = answer.asked_at

    def _tell_time(self, records: list[Record]) -> None:
        """The clock hears of brokers' own timestamps; those of producers may come from a clock that jumped as well."""
        for record in records:
            kind, stamp = record.timestamp()
            if kind == TIMESTAMP_LOG_APPEND_TIME:
                self._clock.confirm(stamp)

    def _known_end(self, read: _Log) -> int:
        _, high = self._consumer.get_watermark_offsets(TopicPartition(*read.partition), cached=True)
        return max(read.known_end, high)

    def _topic_partitions(self, names: Collection[str]) -> list[TopicPartition]:
        return [TopicPartition(*self._by_name[name].partition) for name in names]

    def _message_error(self, message: Record) -> None:
        error, topic, number = message.error(), message.topic(), message.partition()
        if error is None or topic is None or number is None:
            return
        read = self._logs[Partition(topic, number)]
        if error.code() == KafkaError._PARTITION_EOF:
            # Past the last record there may be offsets without one: marks of transactions, compacted records.
            read.position = max(read.position, message.offset() or 0)
        elif fatal := source_error(error, read.name):
            self._fatal = self._fatal or fatal
        else:
            self._outages.failed(read.name, self._clock.now(), f"its records cannot be fetched: {error.str()}")

    def _client_error(self, error: KafkaError) -> None:
        log.warning("%s: %s", self._settings.bootstrap, error.str())
        self._fatal = self._fatal or source_error(error, self._settings.bootstrap)


def _log_of(span: Span, *, bounded: bool) -> _Log:
    return _Log(span.partition, str(span.partition), span.first, span.end if bounded else None, span.end)


def _consumer(settings: KafkaSettings, options: Mapping[str, Any], on_error: Callable[[KafkaError], None]) -> Consumer:
    return Consumer(
        CONSUMER_DEFAULTS
        | {"group.id": settings.group, "error_cb": on_error, "on_commit": _log_failed_commit}
        | dict(options),
        logger=log,
    )


def _log_failed_commit(error: KafkaError | None, _: list[TopicPartition]) -> None:
    if error is not None:
        log.warning("positions were not stored in the group: %s", error.str())


def _by_partition(messages: list[Record]) -> Iterator[tuple[Partition, list[Record]]]:
    """The records of each partition, in the order of its log. They come in long runs: runs are moved."""
    runs: dict[Partition, list[Record]] = {}
    begin = 0
    for key, run in groupby(zip(map(_topic, messages), map(_number, messages), strict=True)):
        end = begin + len(list(run))
        runs.setdefault(Partition(*key), []).extend(messages[begin:end])
        begin = end
    yield from runs.items()


def _joined(parts: Sequence[RawBatch]) -> RawBatch:
    """What came of one partition in several portions, as one batch."""
    first, *rest = parts
    if not rest:
        return first
    headers: dict[int, Headers] = {}
    begin = 0
    for part in parts:
        headers |= {begin + index: each for index, each in (part.headers or {}).items()}
        begin += len(part.lines)
    filled = [part for part in parts if part.lines]
    stamps = [part.arrivals for part in filled if part.arrivals is not None]
    return RawBatch(
        partition=first.partition,
        topic=first.topic,
        lines=list(chain.from_iterable(part.lines for part in parts)),
        positions=list(chain.from_iterable(part.positions for part in parts)),
        arrivals=list(chain.from_iterable(stamps)) if len(stamps) == len(filled) > 0 else None,
        headers=headers or None,
    )


def _raw_batch(read: _Log, records: list[Record], positions: list[int]) -> RawBatch:
    stamped = bool(records) and records[0].timestamp()[0] != TIMESTAMP_NOT_AVAILABLE
    headers = list(map(_headers, records))
    return RawBatch(
        partition=read.name,
        topic=read.partition.topic,
        lines=list(map(_value, records)),
        positions=positions,
        arrivals=list(map(itemgetter(1), map(_timestamp, records))) if stamped else None,
        headers={index: tuple(each) for index, each in enumerate(headers) if each} if any(headers) else None,
    )
