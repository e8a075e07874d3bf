"""The heart: one key group of one stage, applying what it is fed in event-time order."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from config.problems import ConfigurationError
from config.settings import Settings
from events.model import UNREADABLE, AnyEvent, Event
from events.records import Record
from operators.heart.buffer import entry_time
from operators.heart.component import Component, Context, Environment, Handler, StatefulComponent
from operators.heart.dead_letters import dead_letter
from operators.heart.inputs import Chunk, GroupInput, GroupOutput
from operators.heart.keys import Key
from operators.heart.late_records import late_record
from operators.heart.lateness import BEFORE_TIME
from operators.heart.messages import NOTES, Late
from operators.heart.ordering import OrderByOrder, Ordering
from operators.heart.snapshots import GroupHead, GroupSnapshot, SnapshotError, decode_snapshot
from operators.heart.walker import Heard, Walker
from operators.heart.walkers import buffer_for, walker_for
from operators.heart.watermark import Origins
from operators.rules.in_effect import RulesInEffect, Verdict
from operators.rules.rulebook import Rulebook

_EVENTS: Final = msgspec.json.Decoder(AnyEvent)
_IDS: Final = "ids"


class KeyGroup:
    """Buffers what comes, and when the watermark allows walks events and timers together in event-time order.

    ``push`` takes deliveries, ``advance`` does the work. Nothing in here knows how fast or in what portions it is fed:
    the outputs are a function of the events and their times. ``keys`` says for each type of event whose event it is.
    ``copies``: its events go to another stage too, which counts them and says what is late or wrong.
    """

    def __init__(
        self,
        stage: str,
        components: Sequence[type[Component]],
        environment: Environment,
        origins: Iterable[str],
        keys: Mapping[type[Event], Key],
        *,
        copies: bool = False,
        rulebook: Rulebook | None = None,
    ) -> None:
        settings = environment.settings
        self._environment = environment
        self._rules = RulesInEffect(rulebook or Rulebook(settings))
        self._origins = Origins(origins)
        self._copies = copies
        self._ordering = OrderByOrder(settings) if copies else Ordering(settings)
        self._contexts = [self._context(environment, stage) for _ in components]
        self._components = [kind(context) for kind, context in zip(components, self._contexts, strict=True)]
        self._stateful = [part for part in self._components if isinstance(part, StatefulComponent)]
        self._slots = [*(component.name for component in self._stateful), _IDS]
        self._walker = self._made_walker(environment)
        self._table = self._subscribers()
        for slot, part in enumerate(self._stateful):
            part.context.arm = self._walker.armer(slot)
        for component, context in zip(self._components, self._contexts, strict=True):
            context.subscribers = self._table
            context.muted = self._rules.muted
            component.connect()
        events = {kind: (keys[kind], heard) for kind, heard in self._table.items() if issubclass(kind, Event)}
        self._hear(Heard(events, {kind: self._table.get(kind, ()) for kind in NOTES}, self._say_late))
        self._settlers = [part for part in self._components if type(part).on_advanced is not Component.on_advanced]
        self._buffer = buffer_for(environment)
        self.watermark = BEFORE_TIME
        self._output = self._fresh_output()

    def _context(self, environment: Environment, stage: str) -> Context:
        return Context(environment, stage)

    def _made_walker(self, environment: Environment) -> Walker:
        horizon = int(environment.settings.time.duplicate_horizon)
        return walker_for(environment)(self._stateful, environment.live_cells, horizon)

    def _hear(self, heard: Heard) -> None:
        self._walker.hear(heard)

    def _subscribers(self) -> dict[type, tuple[Handler, ...]]:
        table: dict[type, tuple[Handler, ...]] = {}
        for component in self._components:
            for kind, handler in self._handlers_of(component).items():
                table[kind] = (*table.get(kind, ()), handler)
        return table

    def _handlers_of(self, component: Component) -> Mapping[type, Handler]:
        return component.handlers()

    def push(self, delivery: GroupInput) -> None:
        """Take over a delivery; nothing is applied yet."""
        for chunk in delivery.chunks:
            self._decode(chunk)
        self._buffer.extend(delivery.notes)
        if delivery.rules:
            self._rules.take(delivery.rules)
        self._origins.advance(delivery.origin, delivery.watermark, delivery.ended)

    def advance(self) -> GroupOutput:
        """Apply all that the watermark allows; returns what came of it since the last call, to be read before the next:
        what says nothing is used again.
        """
        watermark = self._origins.watermark
        if watermark > self.watermark:
            ready = self._release(watermark)
            if self._rules.next <= watermark:
                ready = self._walk_to_the_last_rule(ready, watermark)
            self._walk(ready, watermark)
            self.watermark = watermark
            for component in self._settlers:
                component.on_advanced()
            self._walker.tidy()
        output = self._output
        output.watermark = self.watermark
        output.counts.buffered = len(self._buffer)
        output.counts.entries = len(self._walker)
        if not output.says_nothing:
            self._output = self._fresh_output()
        return output

    @property
    def idle(self) -> bool:
        """Whether ``advance`` would do nothing, and has nothing to say."""
        return self._origins.watermark <= self.watermark and self._output.says_nothing

    def _fresh_output(self) -> GroupOutput:
        output = GroupOutput(self.watermark)
        for context in self._contexts:
            context.output = output
        return output

    def _decode(self, chunk: Chunk) -> None:
        events: Sequence[Event] = chunk.events
        if not events:
            try:
                events = _EVENTS.decode_lines(b"\n".join(chunk.lines))
            except UNREADABLE:
                events = ()
            if len(events) != len(chunk.lines):
                self._decode_one_by_one(chunk)
                return
        if chunk.late is None:
            self._buffer.extend(events)
        else:
            late = chunk.late
            self._buffer.extend(
                [Late(late[index], event) if index in late else event for index, event in enumerate(events)]
            )

    def _decode_one_by_one(self, chunk: Chunk) -> None:
        """Some record is bad: find out which, and keep the others."""
        late = chunk.late or {}
        for index, line in enumerate(chunk.lines):
            try:
                event = _EVENTS.decode(line)
            except UNREADABLE as error:
                if self._copies:
                    continue
                arrival = chunk.arrivals[index] if chunk.arrivals else None
                headers = (chunk.headers or {}).get(index, ())
                position = chunk.positions[index]
                self._output.records.append(
                    dead_letter(
                        chunk.topic, chunk.partition, position, line, "invalid_field", str(error), arrival, headers
                    )
                )
                continue
            self._buffer.extend([Late(late[index], event) if index in late else event])

    def _release(self, watermark: int) -> list[Any]:
        """The buffered entries that the watermark covers, in the order in which they are applied."""
        ready, ties = self._buffer.release(watermark)
        self._ordering.settle(ready, ties)
        return ready

    def _walk_to_the_last_rule(self, ready: list[Any], watermark: int) -> list[Any]:
        """Walk up to each moment at which a rule changes, and change it; returns what is left to walk.

        What is due at that moment was set by the rule before, and is judged by it.
        """
        while (moment := self._rules.next) <= watermark:
            before = bisect_left(ready, moment, key=entry_time)
            self._walk(ready[:before], moment - 1)
            ready = ready[before:]
            change = self._rules.reach(moment)
            self._configure(change.settings, change.rules)
            self._output.records.extend(
                _told(verdict, moment) for verdict in change.verdicts if verdict.announced.tells
            )
        return ready

    def _configure(self, settings: Settings, rules: frozenset[str]) -> None:
        for component in self._components:
            if not rules.isdisjoint(component.rules):
                component.configure(settings)
        if rules:
            self._output.rule_versions = self._rules.versions()

    def _walk(self, ready: list[Any], watermark: int) -> None:
        applied, duplicates = self._walker.walk(ready, watermark)
        self._output.counts.applied += 0 if self._copies else applied
        self._output.counts.duplicates += 0 if self._copies else duplicates

    def _say_late(self, event: Event, at: int) -> None:
        if not self._copies:
            self._output.records.append(late_record(event, at))

    @property
    def wanted(self) -> frozenset[type]:
        """What its components want to hear."""
        return frozenset(self._table)

    def head(self) -> GroupHead:
        """What the group knows besides its cells, between two calls of ``advance``."""
        return GroupHead(self.watermark, self._buffer.entries(), self._slots, rules=self._rules.head)

    def changes(self) -> dict[str, bytes | None]:
        """The cells that may have changed since the last call; None for one that is gone."""
        return self._walker.changes()

    @property
    def entries(self) -> int:
        """How many keys it holds state of."""
        return len(self._walker)

    def cells(self) -> dict[str, bytes]:
        """All cells."""
        return self._walker.all()

    def snapshot(self) -> bytes:
        """The whole state, between two calls of ``advance``."""
        return msgspec.msgpack.encode(GroupSnapshot(self.head(), self.cells()))

    def restore(self, data: bytes) -> None:
        """Go on from a whole snapshot; raises SnapshotError."""
        snapshot = decode_snapshot(data)
        self._go_on(snapshot.head)
        self._walker.restore((snapshot.cells,), recording=False)

    def resume(
        self, head: GroupHead, cells: Mapping[str, bytes | None], changes: Iterable[Mapping[str, bytes | None]]
    ) -> None:
        """Go on from a head, a base of cells and the changes since; every origin starts where the group stood.

        Raises SnapshotError when it was written for other components.
        """
        self._go_on(head)
        self._walker.restore((cells, *changes), recording=True)

    def _go_on(self, head: GroupHead) -> None:
        if head.slots != self._slots:
            raise SnapshotError(
                f"the snapshot has the parts {', '.join(head.slots)}; this run has {', '.join(self._slots)}: use the "
                "settings it was written with, or a new store"
            )
        self._take_rules(head)
        self.watermark = head.watermark
        self._buffer = buffer_for(self._environment)
        self._buffer.extend(head.buffer)
        for origin in self._origins.watermarks:
            self._origins.advance(origin, head.watermark)

    def _take_rules(self, head: GroupHead) -> None:
        """The documents that were in effect are in effect again, over the files of now."""
        self._rules.restore(head.rules, head.watermark)
        if head.rules.rules:
            try:
                settings = self._rules.settings()
            except ConfigurationError as error:
                what = "; ".join(map(str, error.problems))
                raise SnapshotError(
                    f"{error.where} is in effect in the recovery store, and does not fit these settings ({what}); use "
                    "the settings it was published for, or give the rule a larger version in the file"
                ) from error
            self._configure(settings, frozenset().union(*(component.rules for component in self._components)))


def _told(verdict: Verdict, at: int) -> Record:
    """What is said of a rule document: that it came late, or that it has no effect."""
    announced = verdict.announced
    document = announced.document
    if verdict.what == "late":
        return late_record(document, at)
    newer = f"version {verdict.newer} is known already, so it has no effect"
    return dead_letter(
        announced.topic,
        announced.partition,
        announced.position,
        announced.line,
        "superseded_rule",
        f"{document.rule}, version {document.version}: {newer}",
        announced.arrival,
        announced.headers,
    )
