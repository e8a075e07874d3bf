"""Dead letters, from a run's output directory or from the dead-letter topics."""

import base64
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from config.settings import KafkaSettings
from config.units import Instant
from console.results import damaged, lines_of
from events.batch import Headers, RawBatch
from events.records import DeadLetterRecord

_OWN = "op_"  # headers in which the sink says what was wrong; all others came with the record


class Letter(Struct, frozen=True):
    """A dead letter with its original bytes. ``topic`` is the input topic, or ``files``; ``arrival`` in epoch ms."""

    id: str
    topic: str
    partition: str
    position: int
    reason: str
    detail: str
    remedy: str
    arrival: int | None
    payload: bytes
    headers: Headers


class Wanted(Struct, frozen=True):
    """Which letters are asked for. ``since`` and ``until`` (epoch ms) go by arrival."""

    reason: str | None = None
    source: str | None = None
    since: int | None = None
    until: int | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether a letter is among them; one without an arrival is in no span of time."""
        if self.reason is not None and letter.reason != self.reason:
            return False
        if self.source is not None and self.source not in (letter.topic, letter.partition):
            return False
        if self.since is None and self.until is None:
            return True
        if letter.arrival is None:
            return False
        return (self.since is None or letter.arrival >= self.since) and (
            self.until is None or letter.arrival < self.until
        )


def letters_in(directory: Path) -> Iterator[Letter]:
    """The dead letters of a run's output directory."""
    decoder = msgspec.json.Decoder(DeadLetterRecord)
    for count, line in enumerate(lines_of(directory, "dead_letters"), start=1):
        try:
            record = decoder.decode(line)
        except msgspec.DecodeError as error:
            raise damaged(f"{directory}: dead letter {count}", str(error)) from error
        headers = tuple((name, None if value is None else base64.b64decode(value)) for name, value in record.headers)
        yield Letter(
            id=record.id,
            topic=record.topic,
            partition=record.partition,
            position=record.position,
            reason=record.reason,
            detail=record.detail,
            remedy=record.remedy,
            arrival=record.arrival,
            payload=base64.b64decode(record.payload),
            headers=headers,
        )


def letters_on(settings: KafkaSettings, topics: Sequence[str]) -> Iterator[Letter]:
    """The dead letters that stand in these topics now. Raises SourceError when they cannot be read."""
    from sources.kafka import KafkaReader

    reader = KafkaReader(settings, topics, start="earliest", bounded=True, now=lambda: time.time_ns() // 1_000_000)
    try:
        while not reader.finished:
            for batch in reader.read(None):
                yield from _letters_of(batch, settings.topics.dlq_suffix)
    finally:
        reader.close()


def _letters_of(batch: RawBatch, suffix: str) -> Iterator[Letter]:
    for index, payload in enumerate(batch.lines):
        headers = (batch.headers or {}).get(index, ())
        said = {name: (value or b"").decode(errors="replace") for name, value in headers if name.startswith(_OWN)}
        partition = said.get("op_partition", batch.partition)
        position = int(said.get("op_position", batch.positions[index]))
        arrival = said.get("op_arrival")
        yield Letter(
            id=f"{partition}@{position}",
            topic=batch.topic.removesuffix(suffix),
            partition=partition,
            position=position,
            reason=said.get("op_reason", "(not said)"),
            detail=said.get("op_detail", ""),
            remedy=said.get("op_remedy", ""),
            arrival=None if arrival is None else int(Instant.parse(arrival)),
            payload=payload,
            headers=tuple(each for each in headers if not each[0].startswith(_OWN)),
        )
