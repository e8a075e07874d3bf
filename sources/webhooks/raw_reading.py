"""Raw records from Kafka: on and on as a member of a group, or once again over a span of time."""

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, Protocol

from confluent_kafka import OFFSET_END, Consumer, KafkaException, Message, TopicPartition

from config.settings import KafkaSettings
from sources.kafka_client import ANSWER_SECONDS, SETTLE_SECONDS, client_options, existing_topics, missing_topic
from sources.kafka_client import no_answer as silent
from sources.kafka_errors import source_error

_WAIT_SECONDS = 0.5
_DEFAULTS: dict[str, Any] = {
    "client.id": "orderpulse-intake-map",
    "enable.auto.commit": False,
    "enable.partition.eof": False,
    # What waits in this client while the input topics cannot be written: bounded, all partitions together.
    "queued.max.messages.kbytes": 32_768,
}
log: Final = logging.getLogger("orderpulse.intake.map")


Place = tuple[str, int]


class RawReading(Protocol):
    """Hands raw records over, and is told when they are dealt with."""

    @property
    def finished(self) -> bool:
        """Whether there is an end, and it is reached."""
        ...

    def read(self, most: int) -> Sequence[Message]:
        """What has come, after a short wait; none is an ordinary answer. Raises SourceError."""
        ...

    def done(self) -> None:
        """All that was handed over is dealt with. Raises SourceError."""
        ...

    def is_again(self, message: Message) -> bool:
        """Whether a record was dealt with before, and is handed over to be counted alone."""
        ...

    def at_end(self, place: Place) -> bool:
        """Whether the broker confirms that everything in a partition has been handed over."""
        ...

    def reassigned(self) -> Collection[Place]:
        """The partitions that came or went since this was last asked."""
        ...

    def close(self) -> None:
        """Let go of the broker."""
        ...


class GroupReading:
    """Shares the topics with the other members of the group; goes on where the group stands, first at the beginning."""

    finished = False

    def __init__(
        self,
        settings: KafkaSettings,
        group: str,
        topics: Collection[str],
        reread_from: Callable[[Place], int | None] | None = None,
    ) -> None:
        """Raises SourceError when the broker does not answer or lacks a topic.

        ``reread_from``: the offset from which records of a partition are wanted again after a restart, if any; the
        commits carry it.
        """
        options = {**client_options(settings), **_DEFAULTS, "group.id": group, "auto.offset.reset": "earliest"}
        options["partition.assignment.strategy"] = "cooperative-sticky"
        self._consumer = Consumer(options, logger=log)
        _require(self._consumer, settings, topics)
        self._dirty = False
        self._reread_from = reread_from
        self._next: dict[Place, int] = {}
        self._known: dict[Place, int] = {}
        self._reassigned: set[Place] = set()
        if reread_from is None:
            self._consumer.subscribe(sorted(topics))
        else:
            self._consumer.subscribe(sorted(topics), on_assign=self._assigned, on_revoke=self._revoked)

    def read(self, most: int) -> Sequence[Message]:
        messages = _read(self._consumer, most)
        self._dirty = self._dirty or bool(messages)
        if self._reread_from is not None:
            for message in messages:
                place, offset = _place(message)
                self._next[place] = offset + 1
        return messages

    def done(self) -> None:
        """Commit. When the broker is away for it, or another member has the partition now, records come again."""
        if not self._dirty:
            return
        try:
            if self._reread_from is None:
                self._consumer.commit(asynchronous=False)
            else:
                self._consumer.commit(offsets=self._places(), asynchronous=False)
        except KafkaException as error:
            log.warning("not committed, so raw records may be mapped twice: %s", error.args[0].str())
        self._dirty = False

    def is_again(self, message: Message) -> bool:
        place, offset = _place(message)
        return offset < self._known.get(place, 0)

    def at_end(self, place: Place) -> bool:
        if place not in self._next:
            return False
        try:
            end = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=ANSWER_SECONDS)[1]
        except KafkaException:
            return False
        return self._next[place] >= end

    def reassigned(self) -> Collection[Place]:
        found, self._reassigned = self._reassigned, set()
        return found

    def close(self) -> None:
        self._consumer.close()

    def _places(self) -> list[TopicPartition]:
        """How far each partition is, never behind what was committed before, with where its open slice began."""
        assert self._reread_from is not None
        return [
            TopicPartition(
                *place,
                max(offset, self._known.get(place, 0)),
                metadata="" if (start := self._reread_from(place)) is None else str(start),
            )
            for place, offset in self._next.items()
        ]

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            committed = consumer.committed(partitions, timeout=ANSWER_SECONDS)
        except KafkaException as error:
            log.warning("counts of the open slice are lost: %s", error.args[0].str())
            committed = []
        starts = []
        for at in committed:
            if at.offset >= 0:
                self._known[at.topic, at.partition] = at.offset
                again = at.metadata or ""
                starts.append(TopicPartition(at.topic, at.partition, int(again) if again.isdecimal() else at.offset))
        found = {(at.topic, at.partition): at for at in starts}
        self._moved(partitions)
        consumer.incremental_assign([found.get((at.topic, at.partition), at) for at in partitions])

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._moved(partitions)
        consumer.incremental_unassign(partitions)

    def _moved(self, partitions: list[TopicPartition]) -> None:
        for at in partitions:
            self._reassigned.add((at.topic, at.partition))
            self._next.pop((at.topic, at.partition), None)


class SpanReading:
    """All raw records that arrived in ``[start_ms, until_ms)``; None: up to the end as it is now. Commits nothing."""

    def __init__(
        self, settings: KafkaSettings, topics: Collection[str], start_ms: int, until_ms: int | None = None
    ) -> None:
        """Raises SourceError when the broker does not answer or lacks a topic."""
        options = {**client_options(settings), **_DEFAULTS, "group.id": "orderpulse-intake-map-again"}
        options |= {"auto.offset.reset": "earliest"}
        self._consumer = Consumer(options, logger=log)
        partitions = _require(self._consumer, settings, topics)
        try:
            starts = self._offsets(partitions, start_ms)
            self._ends = self._offsets(partitions, until_ms)
        except KafkaException as error:
            self._consumer.close()
            raise silent(settings, error) from error
        self._at = dict(starts)
        self._consumer.assign([TopicPartition(*partition, offset) for partition, offset in starts.items()])

    @property
    def finished(self) -> bool:
        """Whether each partition was read up to its end."""
        return all(self._at[partition] >= end for partition, end in self._ends.items())

    def read(self, most: int) -> Sequence[Message]:
        messages = []
        for message in _read(self._consumer, most):
            partition, offset = _place(message)
            if offset < self._ends[partition]:
                messages.append(message)
            self._at[partition] = offset + 1
        if not messages:
            self._pass_gaps()
        return messages

    def done(self) -> None:
        """Nothing to commit: the group that maps on and on stands where it stands."""

    def is_again(self, message: Message) -> bool:
        """All of them were, and all are mapped."""
        del message
        return False

    def at_end(self, place: Place) -> bool:
        return self._at[place] >= self._ends[place]

    def reassigned(self) -> Collection[Place]:
        return ()

    def close(self) -> None:
        self._consumer.close()

    def _pass_gaps(self) -> None:
        """A log may end in offsets without a record (of transactions): the consumer's own position passes them."""
        for at in self._consumer.position([TopicPartition(*partition) for partition in self._at]):
            if at.offset >= 0:
                self._at[at.topic, at.partition] = max(self._at[at.topic, at.partition], at.offset)

    def _offsets(self, partitions: Sequence[tuple[str, int]], moment_ms: int | None) -> dict[tuple[str, int], int]:
        """The first offset at or after a moment, or the end."""
        found: dict[tuple[str, int], int] = dict.fromkeys(partitions, OFFSET_END)
        if moment_ms is not None:
            asked = [TopicPartition(*partition, moment_ms) for partition in partitions]
            for at in self._consumer.offsets_for_times(asked, timeout=ANSWER_SECONDS):
                found[at.topic, at.partition] = at.offset
        for partition, offset in found.items():
            if offset < 0:
                found[partition] = self._consumer.get_watermark_offsets(
                    TopicPartition(*partition), timeout=ANSWER_SECONDS
                )[1]
        return found


def _require(consumer: Consumer, settings: KafkaSettings, topics: Collection[str]) -> list[tuple[str, int]]:
    """The partitions of all topics."""
    try:
        known = existing_topics(consumer, settings, topics, SETTLE_SECONDS)
        for topic in sorted(topics):
            if topic not in known:
                raise missing_topic(settings, topic)
    except BaseException:
        consumer.close()
        raise
    return [(topic, number) for topic in sorted(topics) for number in known[topic]]


def _read(consumer: Consumer, most: int) -> list[Message]:
    messages = []
    for message in consumer.consume(most, _WAIT_SECONDS):
        error = message.error()
        if error is None:
            messages.append(message)
        elif (failure := source_error(error, str(message.topic() or "the raw topics"))) is not None:
            raise failure
    return messages


def _place(message: Message) -> tuple[Place, int]:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise RuntimeError("a record without a place came from Kafka")
    return (topic, partition), offset
