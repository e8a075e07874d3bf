"""The results of a run, wherever they stand: a directory, or the output topics of a configuration."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from config.loader import load_settings
from config.settings import Settings
from config.units import Instant
from console.errors import WrongUseError
from console.letters import split_headers
from console.options import KAFKA
from console.results import KINDS, files_of, require_results
from console.run_note import RunNote, read_note
from events.batch import Headers, RawBatch
from events.records import DeadLetterRecord
from events.topics import INPUT_TOPICS, OUTPUTS
from sinks.encoding import ENCODER, dead_letter_topic
from sources.kafka import KafkaInput
from sources.kafka_client import Partition

_CHUNK = 8 << 20
_TOPICS = {Path(output.file).stem: output.topic for output in OUTPUTS if not output.original}
_COMPACTED = frozenset(Path(output.file).stem for output in OUTPUTS if output.compacted)


class Chunk(Struct, frozen=True):
    """Some lines of one file or partition, without their ends. ``part`` numbers these, ``places`` the lines."""

    part: int
    where: str
    places: Sequence[int]
    lines: list[bytes]


class Side(Protocol):
    """One of two runs to compare."""

    name: str
    note: RunNote | None

    def kinds(self) -> list[str]:
        """The kinds of records that it has, of ``KINDS``."""
        ...

    def compacted(self, kind: str) -> bool:
        """Whether of each entity only the newest line is sure to be there."""
        ...

    def chunks(self, kind: str) -> Iterator[Chunk]:
        """All lines of a kind, each entity's in their order; the same each time. Raises SourceError."""
        ...


class DirectorySide:
    """A run's output directory. Raises WrongUseError where no run wrote."""

    def __init__(self, directory: Path) -> None:
        require_results(directory)
        self._directory = directory
        self.name = str(directory)
        self.note = read_note(directory)

    def kinds(self) -> list[str]:
        """Those that have files."""
        return [kind for kind in KINDS if files_of(self._directory, kind)]

    def compacted(self, kind: str) -> bool:
        """Never: files keep what was written."""
        return False

    def chunks(self, kind: str) -> Iterator[Chunk]:
        """File after file; a line's place is its number."""
        for part, path in enumerate(files_of(self._directory, kind)):
            done = 0
            with path.open("rb") as file:
                while lines := file.readlines(_CHUNK):
                    places = range(done + 1, done + 1 + len(lines))
                    yield Chunk(part, f"{path}, line", places, [line.rstrip(b"\n") for line in lines])
                    done += len(lines)


class TopicSide:
    """The output topics of a configuration, each up to the end that it has when it is read first."""

    def __init__(self, settings: Settings, name: str = KAFKA) -> None:
        self._settings = settings
        self._ends: dict[str, Mapping[Partition, int]] = {}
        self.name = f"{name} ({settings.kafka.bootstrap})"
        self.note: RunNote | None = None

    def kinds(self) -> list[str]:
        """All of them."""
        return list(KINDS)

    def compacted(self, kind: str) -> bool:
        """As the topic is made."""
        return kind in _COMPACTED

    def chunks(self, kind: str) -> Iterator[Chunk]:
        """Partition after partition as records come; a line's place is its offset."""
        kafka = self._settings.kafka
        source = KafkaInput(kafka, self._topics(kind), start="earliest", bounded=True, ends=self._ends.get(kind))
        parts = {name: number for number, name in enumerate(source.partitions)}
        reader = source.open()
        self._ends.setdefault(kind, {span.partition: span.end for span in reader.spans})
        try:
            while not reader.finished:
                for batch in reader.read(None):
                    places, lines = batch.positions, batch.lines
                    if kind == "dead_letters":
                        places, lines = _letters(batch, kafka.topics.dlq_suffix)
                    if lines:
                        yield Chunk(parts[batch.partition], f"{batch.partition}, offset", places, lines)
        finally:
            reader.close()

    def _topics(self, kind: str) -> list[str]:
        topics = self._settings.kafka.topics
        if kind == "dead_letters":
            return [dead_letter_topic(getattr(topics, name), topics) for name in INPUT_TOPICS]
        return [getattr(topics, _TOPICS[kind])]


def side_of(given: Path, config: Path | None) -> Side:
    """What a user named: a directory, ``kafka`` for the topics of ``--config``, or ``kafka:FILE`` for those of FILE."""
    text = str(given)
    if text == KAFKA:
        return TopicSide(load_settings(config))
    if text.startswith(f"{KAFKA}:"):
        file = Path(text.removeprefix(f"{KAFKA}:"))
        if not file.is_file():
            raise WrongUseError(f"{text}: the configuration {file} does not exist", "check the path")
        return TopicSide(load_settings(file), text)
    return DirectorySide(given)


def _letters(batch: RawBatch, suffix: str) -> tuple[list[int], list[bytes]]:
    """Dead letters as a file holds them: on their topic they are the original bytes, with headers.

    Notes on letters that were replayed stand among them; they are no results.
    """
    places, letters = [], []
    for index, payload in enumerate(batch.lines):
        came_with, said = split_headers((batch.headers or {}).get(index, ()))
        if said:
            places.append(batch.positions[index])
            letters.append(ENCODER.encode(_letter(batch.topic.removesuffix(suffix), payload, came_with, said)))
    return places, letters


def _letter(topic: str, payload: bytes, headers: Headers, said: Mapping[str, str]) -> DeadLetterRecord:
    arrival = said.get("op_arrival")
    return DeadLetterRecord(
        id=f"{said['op_partition']}@{said['op_position']}",
        topic=topic,
        partition=said["op_partition"],
        position=int(said["op_position"]),
        reason=said["op_reason"],
        detail=said["op_detail"],
        remedy=said["op_remedy"],
        arrival=None if arrival is None else int(Instant.parse(arrival)),
        payload=base64.b64encode(payload).decode(),
        headers=tuple((name, None if value is None else base64.b64encode(value).decode()) for name, value in headers),
    )
