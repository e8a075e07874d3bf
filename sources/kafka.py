"""Kafka topics as input: which partitions there are, and where reading begins in each."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from config.settings import KafkaSettings
from sources.clock import SteadyClock
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
from sources.kafka_reader import KafkaReader, Span
from sources.reader import SourceError, chosen
from sources.start import Bounds, check_resumed, parse_start, resolve_start

ELECTION_ERRORS = (
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)


class KafkaInput:
    """All partitions that some topics have now; those that they gain later are read after the next start.

    ``start``: earliest, latest, committed (without a committed offset: earliest), a date-time with zone, or
    ``topic/partition:offset,...`` (partitions not named: earliest). ``bounded``: readers end where the logs ended when
    they were opened, or before the offsets in ``ends``. Topics in ``whole`` are read from their beginning wherever
    the others start. ``clock`` says when the end of a log was confirmed, and hears of brokers' timestamps. Raises
    SourceError when a topic is missing, ``start`` or ``ends`` name other partitions, or no broker answers.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topics: Sequence[str],
        *,
        start: str,
        bounded: bool = False,
        whole: Collection[str] = (),
        ends: Mapping[Partition, int] | None = None,
        clock: SteadyClock | None = None,
    ) -> None:
        self._settings = settings
        self._bounded = bounded
        self._whole = whole
        self._ends = ends or {}
        self._start = parse_start(start)
        self.clock = clock or SteadyClock()
        with self._asking() as consumer:
            found = _find_partitions(consumer, settings, topics)
        self._by_name = {str(partition): partition for partition in found}
        self.partitions: Sequence[str] = tuple(sorted(self._by_name))
        for where, named in (("kafka.start", self._start), ("the end offsets", self._ends)):
            if isinstance(named, Mapping) and (strange := sorted(set(named) - set(found))):
                raise SourceError(
                    f"names {strange[0]}, which is not among the partitions read",
                    where,
                    f"name partitions of {', '.join(topics)}",
                )

    def open(self, positions: Mapping[str, int | None] | None = None) -> KafkaReader:
        """A reader of these partitions, each from its offset; None: from ``start``.

        Raises SourceError for an offset that is no longer, or not yet, in the log, and when no broker answers.
        """
        asked = {self._by_name[name]: offset for name, offset in chosen(self.partitions, positions).items()}
        with self._asking() as consumer:
            bounds = _bounds(consumer, asked)
            fresh = {partition: bounds[partition] for partition, offset in asked.items() if offset is None}
            offsets = {partition: low for partition, (low, _) in fresh.items() if partition.topic in self._whole}
            started = {partition: both for partition, both in fresh.items() if partition not in offsets}
            if started:
                offsets |= resolve_start(self._start, consumer, started)
        for partition, offset in asked.items():
            if offset is not None:
                check_resumed(partition, offset, *bounds[partition])
                offsets[partition] = offset
        spans = [Span(partition, offsets[partition], self._end(partition, bounds[partition][1])) for partition in asked]
        return KafkaReader(self._settings, spans, bounded=self._bounded, clock=self.clock)

    def _end(self, partition: Partition, high: int) -> int:
        return min(high, self._ends.get(partition, high))

    def close(self) -> None:
        """Nothing: only readers stay connected."""

    @contextmanager
    def _asking(self) -> Iterator[Consumer]:
        """A consumer for questions; what it cannot reach becomes a SourceError."""
        options = client_options(self._settings) | {"group.id": self._settings.group}
        consumer = Consumer(options, logger=log)
        try:
            yield consumer
        except KafkaException as error:
            raise no_answer(self._settings, error) from error
        finally:
            consumer.close()


def _find_partitions(consumer: Consumer, settings: KafkaSettings, topics: Sequence[str]) -> list[Partition]:
    known = existing_topics(consumer, settings, topics, SETTLE_SECONDS)
    for topic in topics:
        if topic not in known:
            raise missing_topic(settings, topic)
    return [Partition(topic, number) for topic in topics for number in known[topic]]


def _bounds(consumer: Consumer, partitions: Mapping[Partition, int | None]) -> Bounds:
    return {partition: _bounds_of(consumer, partition) for partition in partitions}


def _bounds_of(consumer: Consumer, partition: Partition) -> tuple[int, int]:
    """The first offset and the one behind the last; a leader that has just been elected may need a moment."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            found = consumer.get_watermark_offsets(TopicPartition(*partition), timeout=ANSWER_SECONDS)
        except KafkaException as error:
            if error.args[0].code() not in ELECTION_ERRORS or time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            return found
