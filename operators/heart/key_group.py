"""The heart: one key group of one stage, applying what it is fed in event-time order."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from events.model import UNREADABLE, AnyEvent, Event, type_name
from events.records import LateRecord
from operators.heart.component import Component, Context, Environment, Handler
from operators.heart.dead_letters import dead_letter
from operators.heart.duplicates import Duplicates, DuplicatesSnapshot
from operators.heart.inputs import Chunk, GroupInput, GroupOutput
from operators.heart.lateness import BEFORE_TIME
from operators.heart.messages import NOTES, Entry, Late, entity_of
from operators.heart.ordering import Ordering, entry_time
from operators.heart.timers import Timers, TimersSnapshot
from operators.heart.watermark import Origins

SNAPSHOT_VERSION: Final = 1


class GroupSnapshot(Struct, frozen=True):
    """The state of a key group. ``parts`` holds each component's own state by name."""

    version: int
    watermark: int
    buffer: list[Entry]
    timers: TimersSnapshot
    slots: list[str]
    duplicates: DuplicatesSnapshot
    parts: dict[str, bytes]


class SnapshotError(Exception):
    """A snapshot cannot be taken over: it was written by another version or for other stages."""


_SNAPSHOTS: Final = msgspec.msgpack.Decoder(GroupSnapshot)
_EVENTS: Final = msgspec.json.Decoder(AnyEvent)


class KeyGroup:
    """Buffers what comes, and when the watermark allows walks events and timers together in event-time order.

    ``push`` takes deliveries, ``advance`` does the work. Nothing in here knows how fast or in what portions it is fed:
    the outputs are a function of the events and their times.
    """

    def __init__(
        self, stage: str, components: Sequence[type[Component]], environment: Environment, origins: Iterable[str]
    ) -> None:
        self._origins = Origins(origins)
        self._ordering = Ordering(environment.settings)
        self._timers = Timers(len(components))
        self._duplicates = Duplicates(int(environment.settings.time.duplicate_horizon))
        self._contexts = [Context(environment, stage, slot, self._timers) for slot in range(len(components))]
        self._components = [kind(context) for kind, context in zip(components, self._contexts, strict=True)]
        self._table = _subscribers(self._components)
        for component, context in zip(self._components, self._contexts, strict=True):
            context.subscribers = self._table
            component.connect()
        self._events = {kind: handlers for kind, handlers in self._table.items() if issubclass(kind, Event)}
        self._notes = {kind: self._table.get(kind, ()) for kind in NOTES}
        self._settlers = [part for part in self._components if type(part).on_advanced is not Component.on_advanced]
        self._buffer: list[Any] = []
        self.watermark = BEFORE_TIME
        self._output = self._fresh_output()

    def push(self, delivery: GroupInput) -> None:
        """Take over a delivery; nothing is applied yet."""
        for chunk in delivery.chunks:
            self._decode(chunk)
        self._buffer.extend(delivery.notes)
        self._origins.advance(delivery.origin, delivery.watermark)

    def advance(self) -> GroupOutput:
        """Apply all that the watermark allows; returns what came of it since the last call."""
        watermark = self._origins.watermark
        if watermark > self.watermark:
            self._walk(self._release(watermark), watermark)
            self.watermark = watermark
            for component in self._settlers:
                component.on_advanced()
        output = self._output
        output.watermark = self.watermark
        output.counts.buffered = len(self._buffer)
        output.counts.entries = sum(component.entries for component in self._components)
        self._output = self._fresh_output()
        return output

    def _fresh_output(self) -> GroupOutput:
        output = GroupOutput(self.watermark)
        for context in self._contexts:
            context.output = output
        return output

    def _decode(self, chunk: Chunk) -> None:
        lines = chunk.lines
        try:
            events = _EVENTS.decode_lines(b"\n".join(lines))
        except UNREADABLE:
            events = []
        if len(events) != len(lines):
            self._decode_one_by_one(chunk)
        elif chunk.late is None:
            self._buffer.extend(events)
        else:
            late = chunk.late
            self._buffer.extend(
                Late(late[index], event) if index in late else event for index, event in enumerate(events)
            )

    def _decode_one_by_one(self, chunk: Chunk) -> None:
        """Some record is bad: find out which, and keep the others."""
        late = chunk.late or {}
        for index, line in enumerate(chunk.lines):
            try:
                event = _EVENTS.decode(line)
            except UNREADABLE as error:
                arrival = (chunk.arrivals or {}).get(index)
                headers = (chunk.headers or {}).get(index, ())
                position = chunk.positions[index]
                self._output.records.append(
                    dead_letter(
                        chunk.topic, chunk.partition, position, line, "invalid_field", str(error), arrival, headers
                    )
                )
                continue
            self._buffer.append(Late(late[index], event) if index in late else event)

    def _release(self, watermark: int) -> list[Any]:
        """The buffered entries that the watermark covers, in the order in which they are applied."""
        buffer = self._buffer
        buffer.sort(key=entry_time)
        covered = bisect_right(buffer, watermark, key=entry_time)
        if covered == len(buffer):
            ready, self._buffer = buffer, []
        else:
            ready, self._buffer = buffer[:covered], buffer[covered:]
        return self._ordering.settled(ready)

    def _walk(self, ready: list[Any], watermark: int) -> None:
        """Entries and timers, merged in time order: a timer due at t comes before everything at t."""
        heap, notes, events = self._timers.heap, self._notes, self._events
        seen = self._duplicates.seen
        applied = duplicates = 0
        for entry in ready:
            at = entry.time
            while heap and heap[0][0] <= at:
                self._fire()
            handlers = notes.get(type(entry))
            if handlers is None:
                event = entry.event if type(entry) is Late else entry
                if seen(event.source, event.id, at):
                    duplicates += 1
                    continue
                applied += 1
                if event is not entry:
                    self._output.records.append(_late_record(event, at))
                handlers = events.get(type(event), ())
                entry = event  # noqa: PLW2901  # what the handlers hear is the event itself
            for handler in handlers:
                handler(entry, at)
        while heap and heap[0][0] <= watermark + 1:
            self._fire()
        self._output.counts.applied += applied
        self._output.counts.duplicates += duplicates

    def _fire(self) -> None:
        timer = self._timers.pop()
        if timer is not None:
            due, key, slot = timer
            self._components[slot].on_timer(key, due)

    @property
    def wanted(self) -> frozenset[type]:
        """What its components want to hear."""
        return frozenset(self._table)

    def snapshot(self) -> bytes:
        """The whole state, between two calls of ``advance``."""
        snapshot = GroupSnapshot(
            version=SNAPSHOT_VERSION,
            watermark=self.watermark,
            buffer=self._buffer,
            timers=self._timers.snapshot(),
            slots=[component.name for component in self._components],
            duplicates=self._duplicates.snapshot(),
            parts={component.name: component.snapshot() for component in self._components},
        )
        return msgspec.msgpack.encode(snapshot)

    def restore(self, data: bytes) -> None:
        """Go on from a snapshot; every origin starts where the group stood.

        Raises SnapshotError when the snapshot was written by another version or for other components.
        """
        try:
            snapshot = _SNAPSHOTS.decode(data)
        except msgspec.DecodeError as error:
            raise SnapshotError(f"the snapshot of a key group cannot be read: {error}") from error
        mine = [component.name for component in self._components]
        if snapshot.version != SNAPSHOT_VERSION or snapshot.slots != mine:
            raise SnapshotError(
                f"the snapshot has version {snapshot.version} and the parts {', '.join(snapshot.slots)}; this run "
                f"has version {SNAPSHOT_VERSION} and {', '.join(mine)}: use the settings it was "
                "written with, or a new store"
            )
        self.watermark = snapshot.watermark
        self._buffer = list(snapshot.buffer)
        self._timers.restore(snapshot.timers)
        self._duplicates.restore(snapshot.duplicates)
        for origin in self._origins.watermarks:
            self._origins.advance(origin, snapshot.watermark)
        for component in self._components:
            component.restore(snapshot.parts[component.name])


def _subscribers(components: Sequence[Component]) -> dict[type, tuple[Handler, ...]]:
    table: dict[type, tuple[Handler, ...]] = {}
    for component in components:
        for kind, handler in component.handlers().items():
            table[kind] = (*table.get(kind, ()), handler)
    return table


def _late_record(event: Event, at: int) -> LateRecord:
    return LateRecord(
        id=f"late/{event.source}/{event.id}",
        source=event.source,
        event_id=event.id,
        event_type=type_name(type(event)),
        entity_id=entity_of(event),
        time=event.time,
        applied_at=at,
        event=msgspec.to_builtins(event),
    )
