"""Kafka topics as input: one consumer with partitions assigned by hand, so no dead member is ever waited for."""

import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias, cast

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from msgspec import Struct

from config.settings import KafkaSettings
from events.batch import RawBatch
from sources.kafka_client import (
    ANSWER_SECONDS,
    PAUSE_SECONDS,
    SETTLE_SECONDS,
    Partition,
    client_options,
    existing_topics,
    log,
    missing_topic,
    no_answer,
)
from sources.kafka_errors import source_error
from sources.log_end import EVERY_SECONDS, Answer, EndProbe
from sources.reader import SourceError
from sources.start import Bounds, parse_start, resolve_start

WAIT_SECONDS = 0.1
ELECTION_ERRORS = (
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)

CONSUMER_DEFAULTS: dict[str, Any] = {
    # The default stops fetching for a second once 100,000 records are queued: 254,000 records/s instead of a million.
    "fetch.queue.backoff.ms": 10,
    "fetch.error.backoff.ms": 100,
    "reconnect.backoff.max.ms": 2_000,
    "socket.keepalive.enable": True,
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


class KafkaReader:
    """Reads the partitions of topics whose index, counted over all of them, is ``share[0]`` modulo ``share[1]``.

    ``start``: earliest, latest, committed (without a committed offset: earliest), a date-time with zone, or
    ``topic/partition:offset,...`` (partitions not named: earliest). ``bounded``: reads up to the ends that the logs
    had at the start. ``now`` gives the wall time in epoch ms. Partitions that a topic gains later are read after the
    next start. Raises SourceError when a topic is missing, a position lies outside its log, or no broker answers.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topics: Sequence[str],
        *,
        start: str,
        bounded: bool = False,
        now: Callable[[], int],
        share: tuple[int, int] = (0, 1),
    ) -> None:
        options = client_options(settings)
        self._settings = settings
        self._bounded = bounded
        self._now = now
        self._fatal: SourceError | None = None
        self._held: set[str] = set()
        self._behind = True
        self.errors: dict[str, str] = {}
        self.tombstones = 0
        self._consumer = _consumer(settings, options, self._client_error)
        try:
            self._logs = self._open_logs(topics, start, share)
        except KafkaException as error:
            self._consumer.close()
            raise no_answer(settings, error) from error
        except SourceError:
            self._consumer.close()
            raise
        self._probe = EndProbe(options, now)
        self._by_name = {each.name: each for each in self._logs.values()}
        self.partitions: Sequence[str] = tuple(self._by_name)

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
        batches = self._deliver(self._consume())
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
        chosen = self.positions() if positions is None else positions
        offsets = [
            TopicPartition(*self._by_name[name].partition, offset)
            for name, offset in chosen.items()
            if name in self._by_name
        ]
        if offsets:
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def close(self) -> None:
        """Leaves the cluster."""
        self._consumer.close()

    def _open_logs(self, topics: Sequence[str], start: str, share: tuple[int, int]) -> dict[Partition, _Log]:
        every = self._find_partitions(topics)
        mine = [partition for index, partition in enumerate(every) if index % share[1] == share[0]]
        parsed = parse_start(start)
        if isinstance(parsed, dict) and (strange := sorted(set(parsed) - set(every))):
            raise SourceError(
                f"names {strange[0]}, which is not among the partitions read",
                "kafka.start",
                f"name partitions of {', '.join(topics)}",
            )
        bounds = self._bounds(mine)
        positions = resolve_start(parsed, self._consumer, bounds)
        logs = {
            each: _Log(each, str(each), positions[each], bounds[each][1] if self._bounded else None, bounds[each][1])
            for each in mine
        }
        self._consumer.assign([TopicPartition(*each, position) for each, position in positions.items()])
        return logs

    def _find_partitions(self, topics: Sequence[str]) -> list[Partition]:
        known = existing_topics(self._consumer, self._settings, topics, SETTLE_SECONDS)
        for topic in topics:
            if topic not in known:
                raise missing_topic(self._settings, topic)
        return [Partition(topic, number) for topic in topics for number in known[topic]]

    def _bounds(self, partitions: Sequence[Partition]) -> Bounds:
        return {partition: self._bounds_of(partition) for partition in partitions}

    def _bounds_of(self, partition: Partition) -> tuple[int, int]:
        """The first offset and the one behind the last; a leader that has just been elected may need a moment."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                found = self._consumer.get_watermark_offsets(TopicPartition(*partition), timeout=ANSWER_SECONDS)
            except KafkaException as error:
                if error.args[0].code() not in ELECTION_ERRORS or time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE_SECONDS)
            else:
                return found

    def _consume(self) -> list[Record]:
        """What is there, or the first that comes while waiting.

        The consumer's own call waits until the batch is full; behind a backlog that is wanted, for large batches, but
        a record that comes alone would wait for nothing.
        """
        limit = self._settings.batch
        if self._behind:
            messages = self._consumer.consume(limit, WAIT_SECONDS)
        else:
            messages = self._consumer.consume(1, WAIT_SECONDS)
            if messages:
                messages += self._consumer.consume(limit, 0)
        self._behind = len(messages) >= limit
        return messages

    def _deliver(self, messages: list[Record]) -> dict[Partition, RawBatch]:
        errors = list(map(Message.error, messages))
        failed = []
        if any(errors):
            failed = [message for message in messages if message.error() is not None]
            messages = [message for message in messages if message.error() is None]
        batches = {}
        for partition, records in _by_partition(messages):
            batches[partition] = self._batch(self._logs[partition], records)
        for message in failed:
            self._message_error(message)
        if self._bounded:
            self._finish(batches)
        return batches

    def _batch(self, read: _Log, records: list[Record]) -> RawBatch:
        positions = list(map(_offset, records))
        if read.end is not None and positions[-1] >= read.end:
            within = bisect_left(positions, read.end)
            records, positions = records[:within], positions[:within]
            read.position = read.end
        else:
            read.position = positions[-1] + 1
        read.quiet_since = time.monotonic()
        self.errors.pop(read.name, None)
        if None in map(Message.value, records):
            kept = [record for record in records if record.value() is not None]
            self.tombstones += len(records) - len(kept)
            records, positions = kept, list(map(_offset, kept))
        return _raw_batch(read, records, positions)

    def _finish(self, batches: dict[Partition, RawBatch]) -> None:
        for partition, read in self._logs.items():
            if not read.finished and read.end is not None and read.position >= read.end:
                read.finished = True
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
            if read.name not in self.errors:
                self._note_error(read.name, answer.asked_at, answer.error)
            return
        if self.errors.pop(read.name, None):
            log.info("%s: its leader answers again", read.name)
        read.known_end = answer.end
        if read.position >= answer.end and not self._bounded:
            batches.setdefault(answer.partition, _raw_batch(read, [], [])).end_confirmed_at = answer.asked_at

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
            self._note_error(read.name, self._now(), error.str())

    def _client_error(self, error: KafkaError) -> None:
        log.warning("%s: %s", self._settings.bootstrap, error.str())
        self._fatal = self._fatal or source_error(error, self._settings.bootstrap)

    def _note_error(self, name: str, since: int, what: str) -> None:
        moment = datetime.fromtimestamp(since / 1000, tz=UTC).isoformat(timespec="milliseconds")
        self.errors[name] = f"{what} (since {moment.replace('+00:00', 'Z')})"
        log.warning("%s: %s; trying again", name, what)


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
