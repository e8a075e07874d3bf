"""Results as columns of hashes, 32 bytes a line: what two runs of millions of lines are compared by."""

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct

from console.results import damaged, files_of
from operators.platform.open_alerts import ENTITY_TYPE as PLATFORM

_CHUNK = 8 << 20


class AlertKey(Struct, gc=False):
    """What says whose line this is, where it stands among that one's lines, and how to count it."""

    entity_type: str
    entity_id: str
    time: int
    rule: str
    step: str


class DiffKey(Struct, gc=False):
    """The same of a diff."""

    target: str
    order_id: str
    version: int


class HoldKey(Struct, gc=False):
    """The same of a hold."""

    order_id: str
    version: int
    status: str


class VersionKey(Struct, gc=False):
    """The same of a version."""

    order_id: str
    version: int
    event_type: str


class LateKey(Struct, gc=False):
    """The same of a late event."""

    source: str
    event_id: str
    applied_at: int
    event_type: str


class DeadLetterKey(Struct, gc=False):
    """The same of a dead letter."""

    id: str
    position: int
    reason: str


class Shape(Struct, frozen=True):
    """How lines of one kind are compared: the lines of one ``entity`` must stand in the same order in both runs.

    ``at`` is the order of an entity's lines, for those that are spread over the files of several processes. Late
    events and dead letters of one entity come from several stages: each is an entity of its own. Lines that are not
    ``compared`` depend on how a run went, not on the events alone.
    """

    key: type[Struct]
    entity: Callable[[Any], str]
    at: Callable[[Any], int]
    label: Callable[[Any], str]
    compared: Callable[[Any], bool] = lambda key: True


SHAPES = {
    "alerts": Shape(
        AlertKey,
        lambda key: f"{key.entity_type} {key.entity_id}",
        lambda key: key.time,
        lambda key: key.rule,
        lambda key: key.entity_type != PLATFORM,
    ),
    "holds": Shape(HoldKey, lambda key: key.order_id, lambda key: key.version, lambda key: key.status),
    "versions": Shape(VersionKey, lambda key: key.order_id, lambda key: key.version, lambda key: key.event_type),
    "diffs": Shape(
        DiffKey, lambda key: f"{key.target} {key.order_id}", lambda key: key.version, lambda key: key.target
    ),
    "late": Shape(
        LateKey, lambda key: f"{key.source} {key.event_id}", lambda key: key.applied_at, lambda key: key.event_type
    ),
    "dead_letters": Shape(DeadLetterKey, lambda key: key.id, lambda key: key.position, lambda key: key.reason),
}


class Line(Struct, frozen=True):
    """One line with its hashes and its key."""

    entity: int
    line: int
    text: bytes
    key: Any


def digest(directory: Path, kind: str) -> pl.DataFrame:
    """``entity``, ``line`` (hashes), ``file`` and ``at`` of every line, in the order of the files."""
    at_of = SHAPES[kind].at
    columns = {name: array("q") for name in ("entity", "line", "file", "at")}
    entities, lines, files, ats = columns.values()
    for number, path in enumerate(files_of(directory, kind)):
        for each in _hashed(path, kind):
            entities.append(each.entity)
            lines.append(each.line)
            files.append(number)
            ats.append(at_of(each.key))
    return pl.DataFrame({name: pl.Series(name, values, dtype=pl.Int64) for name, values in columns.items()})


def hashed_lines(directory: Path, kind: str) -> Iterator[Line]:
    """The lines once more, to find those that differ."""
    for path in files_of(directory, kind):
        yield from _hashed(path, kind)


def _hashed(path: Path, kind: str) -> Iterator[Line]:
    """Python's own hash of texts and bytes is the fastest that resists chance: 64 bits, another in each process."""
    shape = SHAPES[kind]
    decoder = msgspec.json.Decoder(shape.key)
    entity_of = shape.entity
    done = 0
    with path.open("rb") as file:
        while lines := file.readlines(_CHUNK):
            for line, key in zip(lines, _keys(path, done, lines, decoder), strict=True):
                if not shape.compared(key):
                    continue
                text = line.rstrip(b"\n")
                yield Line(hash(entity_of(key)), hash(text), text, key)
            done += len(lines)


def _keys(path: Path, done: int, lines: list[bytes], decoder: msgspec.json.Decoder[Any]) -> list[Any]:
    try:
        keys = decoder.decode_lines(b"".join(lines))
        if len(keys) == len(lines):
            return keys
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    for number, line in enumerate(lines, start=done + 1):
        try:
            decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise damaged(f"{path}, line {number}", str(error)) from error
    raise damaged(str(path), "holds something else than one record in each line")
