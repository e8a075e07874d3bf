"""Where replayed letters go: back to their input topics, or into a file of events."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field

from config.settings import KafkaSettings
from config.units import Instant
from console.errors import WrongUseError
from console.kafka_writer import KafkaWriter
from console.letters import FIRST_ARRIVAL, REPLAYED_FROM, Letter
from console.original_keys import OriginalKeys, place_of
from console.repairs import event_in
from console.replay_notes import Note
from events.batch import Headers
from events.model import RulePublished
from events.topics import INPUT_TOPICS, rule_key, topic_of

KEY_FIELDS = ("order_id", "customer_id", "entity_id")  # how producers key events, where no key came with one


class Outgoing(Struct, frozen=True):
    """A letter on its way: ``payload`` is the original's, or the mended one's."""

    letter: Letter
    payload: bytes


class Sent(Struct):
    """What was sent. ``refused``: reason -> letters that have no way back; ``keys``: where the keys came from."""

    places: dict[str, int] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    refused: dict[str, list[str]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many letters were sent."""
        return sum(self.places.values())

    def add(self, place: str, key: str | None = None) -> None:
        """Count a letter that went to a topic or a file."""
        self.places[place] = self.places.get(place, 0) + 1
        if key is not None:
            self.keys[key] = self.keys.get(key, 0) + 1

    def refuse(self, reason: str, letter: Letter) -> None:
        """Count a letter that was left where it is."""
        self.refused.setdefault(reason, []).append(letter.id)


class Destination(Protocol):
    """Takes letters, some at a time."""

    sent: Sent

    def send(self, letters: Sequence[Outgoing]) -> list[Note]:
        """Send them, and return when they are safe; gives a note for each one that must not be sent again."""

    def check(self) -> None:
        """Raise FailedError when one of them could not be sent."""

    def close(self) -> None:
        """Let go of files and connections."""


class InputTopics:
    """Writes letters back to the topic and partition that they stood in, with the key and headers that they came with.

    Behind the headers stand ``op_replayed_from`` and ``op_first_arrival``. A record's timestamp is that of now, its
    true arrival. With ``dry_run`` all is looked up and nothing written.
    """

    def __init__(self, settings: KafkaSettings, *, dry_run: bool) -> None:
        self.sent = Sent()
        self._settings = settings
        self._inputs = {name: str(getattr(settings.topics, name)) for name in INPUT_TOPICS}
        self._keys = OriginalKeys(settings)
        self._writer = None if dry_run else KafkaWriter(settings)

    def send(self, letters: Sequence[Outgoing]) -> list[Note]:
        """Send them to their topics; gives a note for each that the broker took."""
        keys = self._keys.of(each.letter for each in letters)
        for each in letters:
            topic, number = self._target(each)
            if topic is None:
                self.sent.refuse("no_topic", each.letter)
                continue
            key, origin = _key(each, keys)
            self.sent.add(topic, origin)
            if self._writer is not None:
                self._writer.write(each.letter.id, topic, number, key, each.payload, headers_of(each.letter))
        if self._writer is None:
            return []
        now = time.time_ns() // 1_000_000
        places = self._writer.flush()
        return [
            Note(each.letter.id, each.letter.topic, places[each.letter.id], now)
            for each in letters
            if each.letter.id in places
        ]

    def check(self) -> None:
        """Raise FailedError when the broker did not take a letter."""
        if self._writer is not None:
            self._writer.check()

    def close(self) -> None:
        """Disconnect."""
        self._keys.close()
        if self._writer is not None:
            self._writer.close()

    def _target(self, each: Outgoing) -> tuple[str | None, int | None]:
        letter = each.letter
        if (place := place_of(letter)) is not None:
            return place.topic, place.number
        if (event := event_in(each.payload)) is not None:
            return self._inputs[topic_of(type(event))], None
        return (letter.topic if letter.topic in self._inputs.values() else None), None


def _key(each: Outgoing, keys: dict[str, bytes | None]) -> tuple[bytes | None, str]:
    """The key of a letter, and where it comes from: its log, or the event."""
    if each.letter.id in keys:
        return keys[each.letter.id], "kept"
    event = event_in(each.payload)
    if isinstance(event, RulePublished):
        return rule_key(event).encode(), "made"
    key = next((value for name in KEY_FIELDS if (value := getattr(event, name, None))), None)
    return (None, "none") if key is None else (str(key).encode(), "made")


class EventFile:
    """Writes letters as lines of a new file of events, for a run to read. Keys and headers have no place in it."""

    def __init__(self, path: Path, *, dry_run: bool) -> None:
        if path.exists():
            raise WrongUseError(f"{path}: is there already", "name a file that does not exist")
        self.sent = Sent()
        self._path = path
        try:
            self._file = None if dry_run else path.open("xb")
        except OSError as error:
            raise WrongUseError(f"{path}: cannot be written: {error.strerror}", "name another file") from None

    def send(self, letters: Sequence[Outgoing]) -> list[Note]:
        """Append them; what would not come out of the file as it went in is refused."""
        for each in letters:
            if not is_a_line(each.payload):
                self.sent.refuse("no_line", each.letter)
                continue
            self.sent.add(str(self._path))
            if self._file is not None:
                self._file.write(each.payload + b"\n")
        return []

    def check(self) -> None:
        """Nothing: what cannot be written is raised at once."""

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def headers_of(letter: Letter) -> Headers:
    """The headers of a replayed record: those that it came with, which letter it was, and when it first arrived."""
    headers = (*letter.headers, (REPLAYED_FROM, letter.id.encode()))
    if letter.arrival is None or any(name == FIRST_ARRIVAL for name, _ in letter.headers):
        return headers
    return (*headers, (FIRST_ARRIVAL, str(Instant(letter.arrival)).encode()))


def is_a_line(payload: bytes) -> bool:
    """Whether these bytes come out of a file of lines as they went in."""
    return (
        bool(payload.strip())
        and b"\n" not in payload
        and not payload.endswith(b"\r")
        and payload[:3] != b"\xef\xbb\xbf"
    )
