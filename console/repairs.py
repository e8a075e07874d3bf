"""Dead letters written out for people to mend, and the mended ones read back: one JSON object in each line."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from console.errors import FailedError, WrongUseError
from console.letters import Letter
from console.output import some
from events.model import UNREADABLE, AnyEvent, Event

_SHOWN = 10
_event_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(AnyEvent)
_ENCODER = msgspec.json.Encoder()


class _Line(Struct, frozen=True, omit_defaults=True):
    """One letter. Of ``event`` (an object), ``text`` and ``payload`` (base64) exactly one holds the record's bytes."""

    id: str
    reason: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    remedy: str | UnsetType = UNSET
    event: Raw | UnsetType = UNSET
    text: str | UnsetType = UNSET
    payload: str | UnsetType = UNSET


def unreadable(payload: bytes) -> str | None:
    """Why these bytes are no event, or None when they are one."""
    try:
        _event_decoder.decode(payload)
    except UNREADABLE as error:
        return str(error) or type(error).__name__
    return None


def event_in(payload: bytes) -> Event | None:
    """The event that these bytes hold, if they do."""
    try:
        return _event_decoder.decode(payload)
    except UNREADABLE:
        return None


def line_to_edit(letter: Letter) -> bytes:
    """The letter for an editor: its bytes as an object where they are one, as a text where they are that."""
    line = _Line(letter.id, letter.reason, letter.detail, letter.remedy, **_content(letter.payload))
    return _ENCODER.encode(line) + b"\n"


def repaired(path: Path) -> dict[str, bytes]:
    """Letter id -> mended bytes. Raises FailedError with every line that names no letter or holds no event."""
    decoder = msgspec.json.Decoder(_Line)
    found: dict[str, bytes] = {}
    problems: list[str] = []
    for number, text in enumerate(_lines(path), start=1):
        if not text.strip():
            continue
        try:
            line = decoder.decode(text)
            payload = _payload(line)
        except (msgspec.DecodeError, ValueError) as error:
            problems.append(f"line {number}: {error}")
            continue
        if line.id in found:
            problems.append(f"line {number}: {line.id} stands here a second time")
        elif (why := unreadable(payload)) is not None:
            problems.append(f"line {number}, {line.id}: still no event: {why}")
        found[line.id] = payload
    if problems:
        shown = "".join(f"\n  {problem}" for problem in problems[:_SHOWN])
        more = f"\n  ... and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise FailedError(
            f"{path}: {some(len(problems), 'problem')}, nothing was replayed{shown}{more}",
            'write one object a line: {"id": ID, "event": {...}}, or "text", or "payload" (base64) instead of "event"; '
            "docs/events.md has the fields of events",
        )
    return found


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\n")
    except OSError as error:
        raise WrongUseError(f"{path}: cannot be read: {error.strerror}", "name the file with the letters") from None


def _content(payload: bytes) -> Mapping[str, Any]:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return {"payload": base64.b64encode(payload).decode()}
    return {"event": Raw(payload)} if _is_object_in_a_line(payload) else {"text": text}


def _is_object_in_a_line(payload: bytes) -> bool:
    if b"\n" in payload or not payload.startswith(b"{") or payload != payload.strip():
        return False
    try:
        msgspec.json.decode(payload)
    except UNREADABLE:
        return False
    return True


def _payload(line: _Line) -> bytes:
    given = [each for each in (line.event, line.text, line.payload) if each is not UNSET]
    if len(given) != 1:
        raise ValueError(f'{line.id}: exactly one of "event", "text" and "payload" is needed, not {len(given)}')
    if isinstance(line.event, Raw):
        return bytes(line.event)
    if isinstance(line.text, str):
        return line.text.encode()
    return base64.b64decode(str(line.payload), validate=True)
