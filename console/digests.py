"""Results as columns of hashes, 32 bytes a line: what two runs of millions of lines are compared by."""

from array import array
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct

from console.results import damaged
from console.sides import Chunk, Side
from operators.platform.open_alerts import ENTITY_TYPE as PLATFORM


class AlertKey(Struct, gc=False):
    """What says whose line this is, where it stands among that one's lines, and how to count it."""

    id: str
    entity_type: str
    entity_id: str
    time: int
    rule: str
    rule_version: int
    step: str
    orders: tuple[str, ...]


class DiffKey(Struct, gc=False):
    """The same of a diff."""

    id: str
    target: str
    order_id: str
    version: int
    time: int


class Cause(Struct, gc=False):
    """The rule that asked for a hold."""

    rule: str


class HoldKey(Struct, gc=False):
    """The same of a hold."""

    id: str
    order_id: str
    version: int
    status: str
    time: int
    causes: tuple[Cause, ...] = ()


class VersionKey(Struct, gc=False):
    """The same of a version."""

    id: str
    order_id: str
    version: int
    event_type: str
    time: int


class LateKey(Struct, gc=False):
    """The same of a late event."""

    id: str
    source: str
    event_id: str
    entity_id: str
    applied_at: int
    event_type: str


class DeadLetterKey(Struct, gc=False):
    """The same of a dead letter."""

    id: str
    position: int
    reason: str
    arrival: int | None = None


class Shape(Struct, frozen=True):
    """How lines of one kind are compared: the lines of one ``entity`` must stand in the same order in both runs.

    ``at`` is the order of an entity's lines, for those that are spread over the files of several processes. Late
    events and dead letters of one entity come from several stages: each is an entity of its own. ``moment`` (epoch ms)
    places a line in time, None: nothing does. ``orders``: whom it is about. Lines that are not ``compared`` depend on
    how a run went, not on the events alone.
    """

    key: type[Struct]
    entity: Callable[[Any], str]
    at: Callable[[Any], int]
    label: Callable[[Any], str]
    moment: Callable[[Any], int | None] = lambda key: key.time
    orders: Callable[[Any], tuple[str, ...]] = lambda key: (key.order_id,)
    compared: Callable[[Any], bool] = lambda key: True


SHAPES = {
    "alerts": Shape(
        AlertKey,
        lambda key: f"{key.entity_type} {key.entity_id}",
        lambda key: key.time,
        lambda key: key.rule,
        orders=lambda key: (key.entity_id, *key.orders),
        compared=lambda key: key.entity_type != PLATFORM,
    ),
    "holds": Shape(HoldKey, lambda key: key.order_id, lambda key: key.version, lambda key: key.status),
    "versions": Shape(VersionKey, lambda key: key.order_id, lambda key: key.version, lambda key: key.event_type),
    "diffs": Shape(
        DiffKey, lambda key: f"{key.target} {key.order_id}", lambda key: key.version, lambda key: key.target
    ),
    "late": Shape(
        LateKey,
        lambda key: f"{key.source} {key.event_id}",
        lambda key: key.applied_at,
        lambda key: key.event_type,
        moment=lambda key: key.applied_at,
        orders=lambda key: (key.entity_id,),
    ),
    "dead_letters": Shape(
        DeadLetterKey,
        lambda key: key.id,
        lambda key: key.position,
        lambda key: key.reason,
        moment=lambda key: key.arrival,
        orders=lambda key: (),
    ),
}


class Span(Struct, frozen=True):
    """A span of event time (epoch ms), ``until`` not in it; None: no bound. What has no moment is in no bounded one."""

    since: int | None = None
    until: int | None = None

    @property
    def bounded(self) -> bool:
        """Whether it leaves anything out."""
        return self.since is not None or self.until is not None

    def holds(self, moment: int | None) -> bool:
        """Whether a moment is in it."""
        if moment is None:
            return not self.bounded
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)


class Line(Struct, frozen=True):
    """One line with its hashes and its key. ``part``: the file or partition that it stands in."""

    part: int
    entity: int
    line: int
    text: bytes
    key: Any


class Digest(Struct, frozen=True):
    """A kind of one run. ``lines``: ``entity``, ``line`` (hashes), ``file`` and ``at``, in the order of the files.

    ``rules``: the versions with which each rule spoke.
    """

    lines: pl.DataFrame
    rules: dict[str, set[int]]


def digest(side: Side, kind: str, span: Span) -> Digest:
    """The hashes of all lines within a span. Raises FailedError for a line that is no record."""
    at_of = SHAPES[kind].at
    columns = {name: array("q") for name in ("entity", "line", "file", "at")}
    entities, lines, files, ats = columns.values()
    rules: dict[str, set[int]] = {}
    for each in hashed_lines(side, kind, span):
        entities.append(each.entity)
        lines.append(each.line)
        files.append(each.part)
        ats.append(at_of(each.key))
        if kind == "alerts":
            rules.setdefault(each.key.rule, set()).add(each.key.rule_version)
    frame = pl.DataFrame({name: pl.Series(name, values, dtype=pl.Int64) for name, values in columns.items()})
    return Digest(frame, rules)


def hashed_lines(side: Side, kind: str, span: Span) -> Iterator[Line]:
    """The lines within a span.

    Python's own hash of texts and bytes is the fastest that resists chance: 64 bits, another in each process.
    """
    shape = SHAPES[kind]
    decoder = msgspec.json.Decoder(shape.key)
    entity_of, moment_of = shape.entity, shape.moment
    everything = not span.bounded
    for chunk in side.chunks(kind):
        for text, key in zip(chunk.lines, _keys(chunk, decoder), strict=True):
            if shape.compared(key) and (everything or span.holds(moment_of(key))):
                yield Line(chunk.part, hash(entity_of(key)), hash(text), text, key)


def _keys(chunk: Chunk, decoder: msgspec.json.Decoder[Any]) -> list[Any]:
    try:
        keys = decoder.decode_lines(b"\n".join(chunk.lines))
        if len(keys) == len(chunk.lines):
            return keys
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    for place, line in zip(chunk.places, chunk.lines, strict=True):
        try:
            decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise damaged(f"{chunk.where} {place}", str(error)) from error
    raise damaged(f"{chunk.where} {chunk.places[0]}", "holds something else than one record in each line")
