"""What decides where a record goes and when it counts, read from all records of a batch at once."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import Struct

from events.model import UNREADABLE, AnyEvent, Event, EventId, Key, SourceName

MAX_RECORD: Final = 1 << 20
_EVENTS: Final = msgspec.json.Decoder(AnyEvent)
_KIND: Final = attrgetter("type")
Refuse = Callable[[int, str, str], None]
"""``refuse(index, reason, detail)``: the record goes to the dead letters."""
Kind = str | type[Event] | None


class Header(Struct, gc=False):
    """The fields of an event that decide where it goes and when it counts."""

    type: str
    id: EventId
    source: SourceName
    time: int
    order_id: Key | None = None
    customer_id: Key | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    job: Any = None  # of any type: other events may have a field of that name


class CopyHeader(Header, gc=False):
    """A header with what copies are placed by. Whether these are texts is for whoever decodes the record to say."""

    phone: Any = None
    fallback_id: Any = None


class Headers(Struct, frozen=True, gc=False):
    """The headers of a batch, or its events, which have the same fields; None for a record that was refused.

    ``kinds``: the type of each, by its wire name or its class; None when all are events, whose types say it.
    """

    kinds: list[Kind] | None
    headers: list[Any]

    @property
    def whole(self) -> bool:
        """All of them are events."""
        return self.kinds is None


class HeaderReader:
    """Reads headers. ``whole``: whole events instead, which saves whoever is next the decoding, but cannot travel
    between processes as cheaply as a line. What is refused is the same.
    """

    def __init__(self, header: type[Header], count_newlines: Callable[[bytes], int], *, whole: bool) -> None:
        self._header: msgspec.json.Decoder[Any] = msgspec.json.Decoder(header)
        self._whole = whole
        self._count_newlines = count_newlines

    def read(self, lines: Sequence[bytes], refuse: Refuse) -> Headers:
        """The headers of all records."""
        joined = b"\n".join(lines)
        if len(joined) <= MAX_RECORD or max(map(len, lines)) <= MAX_RECORD:
            records = self._count_newlines(joined) + 1
            if records == len(lines):
                if self._whole and (events := _decoded(_EVENTS, joined, records)) is not None:
                    return Headers(None, events)
                if (headers := _decoded(self._header, joined, records)) is not None:
                    return Headers(list(map(_KIND, headers)), headers)
        found = [self._one(index, line, refuse) for index, line in enumerate(lines)]
        return Headers([kind for kind, _ in found], [header for _, header in found])

    def _one(self, index: int, line: bytes, refuse: Refuse) -> tuple[Kind, Any]:
        if len(line) > MAX_RECORD:
            refuse(index, "too_large", f"{len(line)} bytes")
            return None, None
        try:
            header = self._header.decode(line)
        except msgspec.ValidationError as error:
            # A field of the header's that is none of the event's may be of any type.
            if (event := _event(line)) is not None:
                return type(event), event
            refuse(index, "not_an_event", str(error))
        except UNREADABLE as error:
            refuse(index, "not_json", str(error))
        else:
            return header.type, header
        return None, None


def _decoded(decoder: msgspec.json.Decoder[Any], joined: bytes, records: int) -> list[Any] | None:
    try:
        found = decoder.decode_lines(joined)
    except UNREADABLE:
        return None
    return found if len(found) == records else None


def _event(line: bytes) -> Event | None:
    try:
        event: Event = _EVENTS.decode(line)
    except UNREADABLE:
        return None
    return event
