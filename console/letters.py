"""Dead letters, from a run's output directory or from the dead-letter topics."""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from config.settings import KafkaSettings, Settings
from config.units import Instant
from console.options import is_kafka
from console.replay_notes import Note, note_of, notes_in
from console.results import damaged, lines_of, require_results
from events.batch import Headers, RawBatch
from events.records import DeadLetterRecord
from events.topics import DEAD_LETTER_HEADERS, INPUT_TOPICS, OPTIONAL_DEAD_LETTER_HEADERS

# Headers that a replayed record carries behind those that it came with: which letter it was, when that arrived first.
REPLAYED_FROM = "op_replayed_from"
FIRST_ARRIVAL = "op_first_arrival"


class Letter(Struct, frozen=True):
    """A dead letter with its original bytes and headers.

    ``topic`` is the input topic, or ``files``; ``arrival`` is in epoch ms.
    """

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

    @property
    def replayed_from(self) -> tuple[str, ...]:
        """The letters that this record was before, the first one first: it was replayed and failed again."""
        return tuple((value or b"").decode(errors="replace") for name, value in self.headers if name == REPLAYED_FROM)


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


def letters_and_notes(where: Path, settings: Settings) -> Iterator[Letter | Note]:
    """The dead letters of a run's directory or, for ``kafka``, of the topics; with the notes on those replayed."""
    if is_kafka(where):
        topics = settings.kafka.topics
        names = [f"{getattr(topics, name)}{topics.dlq_suffix}" for name in INPUT_TOPICS]
        yield from letters_and_notes_on(settings.kafka, names)
        return
    require_results(where)
    yield from notes_in(where)
    yield from letters_in(where)


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
    return (each for each in letters_and_notes_on(settings, topics) if isinstance(each, Letter))


def letters_and_notes_on(settings: KafkaSettings, topics: Sequence[str]) -> Iterator[Letter | Note]:
    """The same, and the notes on those that were replayed; a note stands anywhere behind its letter."""
    from sources.kafka import KafkaInput

    reader = KafkaInput(settings, topics, start="earliest", bounded=True).open()
    try:
        while not reader.finished:
            for batch in reader.read(None):
                yield from _contents_of(batch, settings.topics.dlq_suffix)
    finally:
        reader.close()


def _contents_of(batch: RawBatch, suffix: str) -> Iterator[Letter | Note]:
    topic = batch.topic.removesuffix(suffix)
    for index, payload in enumerate(batch.lines):
        headers, said = split_headers((batch.headers or {}).get(index, ()))
        if not said and not payload and (note := note_of(topic, headers)) is not None:
            yield note
            continue
        partition = said.get("op_partition", batch.partition)
        position = int(said.get("op_position", batch.positions[index]))
        arrival = said.get("op_arrival")
        yield Letter(
            id=f"{partition}@{position}",
            topic=topic,
            partition=partition,
            position=position,
            reason=said.get("op_reason", "(not said)"),
            detail=said.get("op_detail", ""),
            remedy=said.get("op_remedy", ""),
            arrival=None if arrival is None else int(Instant.parse(arrival)),
            payload=payload,
            headers=headers,
        )


def split_headers(headers: Headers) -> tuple[Headers, dict[str, str]]:
    """The headers that a record came with, and what the sink said behind them; nothing where no sink wrote it.

    The sink's stand last and in a fixed order, so that a record may have come with headers of the same names.
    """
    always = [name for name in DEAD_LETTER_HEADERS if name not in OPTIONAL_DEAD_LETTER_HEADERS]
    for names in (list(DEAD_LETTER_HEADERS), always):
        own = headers[len(headers) - len(names) :]
        if len(headers) >= len(names) and [name for name, _ in own] == names:
            said = {name: (value or b"").decode(errors="replace") for name, value in own}
            return headers[: len(headers) - len(names)], said
    return headers, {}
