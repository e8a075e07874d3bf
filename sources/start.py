"""Where reading begins in each partition of Kafka topics."""

import re
from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition

from config.units import Instant
from sources.kafka_client import ANSWER_SECONDS, Partition
from sources.reader import SourceError

_POSITION = re.compile(r"([\w.-]+)/(\d+):(\d+)")
_WORDS = ("earliest", "latest", "committed")

_EARLIEST = "start = 'earliest' reads what the log still holds"
_ANEW = "a new recovery store begins anew, at kafka.start"

Bounds = Mapping[Partition, tuple[int, int]]
Start = str | Instant | dict[Partition, int]


def parse_start(text: str) -> Start:
    """Read ``earliest``, ``latest``, ``committed``, a date-time with zone, or ``topic/partition:offset,...``.

    Raises SourceError for anything else.
    """
    if text in _WORDS:
        return text
    positions = [_POSITION.fullmatch(part.strip()) for part in text.split(",")]
    if all(positions):
        return {Partition(match[1], int(match[2])): int(match[3]) for match in positions if match}
    try:
        return Instant.parse(text)
    except ValueError as error:
        raise SourceError(
            f"{text!r} is no start",
            "kafka.start",
            "write earliest, latest, committed, a date-time with zone such as 2026-01-31T08:00:00+08:00, "
            "or topic/partition:offset,...",
        ) from error


def format_positions(positions: Mapping[str, int]) -> str:
    """Positions of a reader as a start: a reader that is given it goes on where that one stood."""
    return ",".join(f"{name}:{offset}" for name, offset in sorted(positions.items()))


def resolve_start(start: Start, consumer: Consumer, bounds: Bounds) -> dict[Partition, int]:
    """The first offset to read of each partition; ``bounds`` holds its first offset and the one behind its last.

    A partition without a committed offset, or not named in explicit positions, begins at its first record: a new
    partition must not lose what came before anyone looked. Raises SourceError when an offset is no longer, or not
    yet, in the log, and KafkaException when the cluster does not answer.
    """
    first = {partition: low for partition, (low, _) in bounds.items()}
    if start == "earliest":
        return first
    if start == "latest":
        return {partition: high for partition, (_, high) in bounds.items()}
    if isinstance(start, Instant):
        return _at_time(start, consumer, bounds)
    asked = _committed(consumer, list(bounds)) if isinstance(start, str) else start
    positions = first | {partition: asked[partition] for partition in bounds if partition in asked}
    for partition, position in positions.items():
        _check(partition, position, *bounds[partition], _EARLIEST)
    return positions


def check_resumed(partition: Partition, position: int, low: int, high: int) -> None:
    """Raises SourceError when the log does not hold the offset at which a snapshot was taken."""
    _check(partition, position, low, high, _ANEW)


def _at_time(moment: Instant, consumer: Consumer, bounds: Bounds) -> dict[Partition, int]:
    asked = [TopicPartition(topic, number, int(moment)) for topic, number in bounds]
    found = consumer.offsets_for_times(asked, timeout=ANSWER_SECONDS)
    positions = {}
    for answer in found:
        if answer.error is not None:
            raise KafkaException(answer.error)
        partition = Partition(answer.topic, answer.partition)
        positions[partition] = answer.offset if answer.offset >= 0 else bounds[partition][1]
    return positions


def _committed(consumer: Consumer, partitions: Sequence[Partition]) -> dict[Partition, int]:
    answers = consumer.committed([TopicPartition(*each) for each in partitions], timeout=ANSWER_SECONDS)
    for answer in answers:
        if answer.error is not None:
            raise KafkaException(answer.error)
    return {Partition(each.topic, each.partition): each.offset for each in answers if each.offset >= 0}


def _check(partition: Partition, position: int, low: int, high: int, otherwise: str) -> None:
    if position < low:
        raise SourceError(
            f"reading was to go on at offset {position}, but the log now begins at {low}: "
            f"{low - position} records were deleted before they were read",
            str(partition),
            f"lengthen the topic's retention; {otherwise}",
        )
    if position > high:
        raise SourceError(
            f"reading was to go on at offset {position}, but the log ends at {high}: the topic was made anew or cut",
            str(partition),
            f"check that this is the right cluster; {otherwise}",
        )
