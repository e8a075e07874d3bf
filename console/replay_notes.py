"""Notes on dead letters that were replayed, so that none is replayed twice: where the letters stand, stand the notes.

In a dead-letter topic a note is a record without bytes whose headers name the letter as the letter's own headers do; in
a run's directory it is a line of ``replayed.ndjson``.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct

from config.units import Instant
from console.results import damaged
from events.batch import Headers

if TYPE_CHECKING:
    from config.settings import KafkaSettings
    from console.kafka_writer import KafkaWriter

FILE = "replayed.ndjson"
_TO = "op_replayed_to"
_AT = "op_replayed_at"


class Note(Struct, frozen=True):
    """That a letter of an input topic was replayed ``to`` a place (topic/partition@offset), ``at`` a wall time (ms)."""

    id: str
    topic: str
    to: str
    at: int


class Notes(Protocol):
    """Where notes are kept."""

    def add(self, notes: Sequence[Note]) -> None:
        """Keep them, and return when they are safe."""

    def close(self) -> None:
        """Let go of connections."""


class NotesInDirectory:
    """Notes beside the dead letters of a run's directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(self, notes: Sequence[Note]) -> None:
        """Append them."""
        if notes:
            with (self._directory / FILE).open("ab") as file:
                file.write(msgspec.json.Encoder().encode_lines(list(notes)))

    def close(self) -> None:
        """Nothing is left open."""


class NotesOnTopics:
    """Notes in the dead-letter topics, each behind its letter and in the same partition."""

    def __init__(self, settings: "KafkaSettings") -> None:
        self._settings = settings
        self._writer: KafkaWriter | None = None

    def add(self, notes: Sequence[Note]) -> None:
        """Write them to the topics; raises FailedError when the broker does not take them."""
        if not notes:
            return
        if self._writer is None:
            from console.kafka_writer import KafkaWriter

            self._writer = KafkaWriter(self._settings)
        for note in notes:
            partition, _, _ = note.id.rpartition("@")
            topic = note.topic + self._settings.topics.dlq_suffix
            self._writer.write(note.id, topic, None, partition.encode(), b"", headers_of(note))
        self._writer.flush()
        self._writer.check()

    def close(self) -> None:
        """Disconnect."""
        if self._writer is not None:
            self._writer.close()


def headers_of(note: Note) -> Headers:
    """A note as the headers of a record."""
    partition, _, position = note.id.rpartition("@")
    return (
        ("op_partition", partition.encode()),
        ("op_position", position.encode()),
        (_TO, note.to.encode()),
        (_AT, str(Instant(note.at)).encode()),
    )


def note_of(topic: str, headers: Headers) -> Note | None:
    """The note that a record with these headers is, if it is one; ``topic``: the input topic of its letter."""
    if [name for name, _ in headers] != ["op_partition", "op_position", _TO, _AT]:
        return None
    partition, position, to, at = ((value or b"").decode() for _, value in headers)
    return Note(f"{partition}@{position}", topic, to, int(Instant.parse(at)))


def notes_in(directory: Path) -> Iterator[Note]:
    """The notes of a run's directory. Raises FailedError for a line that is none."""
    path = directory / FILE
    if not path.exists():
        return
    decoder = msgspec.json.Decoder(Note)
    with path.open("rb") as file:
        for count, line in enumerate(file, start=1):
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError as error:
                raise damaged(f"{path}, line {count}", str(error)) from error
