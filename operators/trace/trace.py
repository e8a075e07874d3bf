"""What is written down while a flow is watched: what concerns one order, whoever does it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from events.explanation import (
    AnyEntry,
    EventEntry,
    FactEntry,
    Look,
    LookEntry,
    Nearest,
    NoteEntry,
    RuleEntry,
    TimerEntry,
)
from events.model import Event, type_name
from operators.heart.component import Component, Handler
from operators.heart.messages import AlertStep, Note
from operators.topology import STAGES

# What tells nothing about why, or is nobody's business to read.
_HEADER: Final = frozenset({"id", "source", "time", "order_id", "operator", "cleaned"})
_PERSONAL: Final = frozenset({"phone", "card", "recipient", "address_key", "remark", "text", "note", "zh", "en"})
_OF_FACTS: Final = frozenset({"order_id", "order", "event"})
_OF_NOTES: Final = frozenset({"time", "origin", "key", "event", "order_id"})

LookId = tuple[str, str, int]


class Node(NamedTuple):
    """Where state is: a key within a stage."""

    stage: str
    key: str


class Told(NamedTuple):
    """Somebody told a node something at that event time (ms)."""

    at: int
    by: Node


class Trace:
    """What a flow does about one order.

    A node is the order's ``own`` when its key is the order, the order as an entity, or one of its parcels. Whatever an
    own node tells somebody makes that node *watched*; ``known`` are watched from the beginning. ``told`` lists for each
    watched node that is not the order's own who told it something, and ``answered`` when it last told an own node
    anything. ``found_late``: nodes that were not known and had been told something before the order came to them, as
    far as anybody can say.
    """

    def __init__(self, order_id: str, known: Iterable[Node] = ()) -> None:
        self.order_id = order_id
        self._own = frozenset({order_id, f"order:{order_id}"})
        self._parcels = f"parcel:{order_id}/"
        self.watched: dict[str, set[str]] = {stage: {order_id, f"order:{order_id}"} for stage in STAGES}
        for stage, key in known:
            self.watched[stage].add(key)
        self.entries: list[tuple[int, int, AnyEntry]] = []
        self.told: dict[Node, list[Told]] = defaultdict(list)
        self.answered: dict[Node, int] = {}
        self.found: set[Node] = set()
        self.nearest: dict[tuple[str, str, str], Nearest] = {}
        self.active = False
        self._here = Node("", "")
        self._event: Event | None = None
        self._at = 0
        self._mine = False
        self._fact: object = None
        self._unheard: Event | None = None
        self.versions: set[tuple[str, int]] = set()
        self._looks: dict[tuple[str, Node], dict[LookId, Look]] = {}

    def is_own(self, key: str) -> bool:
        """Whether a key is the order, the order as an entity, or one of its parcels."""
        return key in self._own or key.startswith(self._parcels)

    def enter(self, stage: str, key: str) -> None:
        """Whatever follows happens to that node."""
        self.active = key in self.watched[stage]
        self._here = Node(stage, key)
        self._event = None
        self._mine = self.active and self.is_own(key)

    def enter_event(self, stage: str, key: str, event: Event, *, copies: bool) -> None:
        """An event comes to a node; where only copies go, those of the order make it watched."""
        if copies and getattr(event, "order_id", None) == self.order_id:
            self.watch(Node(stage, key))
        self.enter(stage, key)
        if self.active:
            self._event = event
            self._mine = self._mine or getattr(event, "order_id", None) == self.order_id

    def watch(self, node: Node) -> None:
        """Follow a node from here on."""
        if node.key not in self.watched[node.stage]:
            self.watched[node.stage].add(node.key)
            self.found.add(node)

    def seen(self, at: int, *, duplicate: bool) -> None:
        """The event that came to the watched node is applied at ``at``, or left out."""
        event = self._event
        if event is None:
            return
        self._at = at
        self._write_event(event, at, duplicate=duplicate)

    def _write_event(self, event: Event, at: int, *, duplicate: bool) -> None:
        if not self._mine:  # what comes to a key that others share is told once the order hears of it
            self._unheard = event
            return
        self._unheard = None
        self._write(
            EventEntry,
            at,
            source=event.source,
            id=event.id,
            type=type_name(type(event)),
            time=event.time,
            order=getattr(event, "order_id", None) or "",
            operator=getattr(event, "operator", None),
            duplicate=duplicate,
            said=_said(event, _HEADER | _PERSONAL),
        )

    def handled(self, component: Component, handler: Handler, message: Any, at: int) -> None:
        """A component of the watched node hears something."""
        self._at = at
        if isinstance(message, Note):
            self._mine = self.is_own(self._here.key) or getattr(message, "order_id", None) == self.order_id
        elif not isinstance(message, Event):
            self._tell_fact(message, at)
        before = tuple(component.explain(self._here.key, at))
        handler(message, at)
        self._look(component, before, at)

    def fired(self, component: Component, wake: Handler, due: int) -> None:
        """A component of the watched node is woken; everything before ``due`` has happened."""
        at = self._at = due - 1
        self._write(TimerEntry, at, component=component.name, action="fired", due=due)
        before = tuple(component.explain(self._here.key, at))
        wake(self._here.key, due)
        self._look(component, before, at)

    def armed(self, component: str, due: int) -> None:
        """A component of the watched node will be woken earlier than it would have been."""
        self._write(TimerEntry, self._at, component=component, action="set", due=due)

    def sent(self, stage: str, note: Note) -> None:
        """The node that is handled tells another one something."""
        here, there = self._here, Node(stage, note.key)
        if self.active and (self._mine or self.is_own(there.key)):
            self._tell_unheard(note.time)
            if self.is_own(here.key) or self.is_own(there.key):
                self.watch(there)
            if self.is_own(there.key) and not self.is_own(here.key):
                self.answered[here] = note.time
            if not isinstance(note, AlertStep):
                name, said = str(note.__struct_config__.tag), _said(note, _OF_NOTES)
                self._write(NoteEntry, note.time, note=name, to_stage=stage, to_key=note.key, said=said)
        if self.active and there.key == here.key:
            self.watch(there)
        if there.key in self.watched[stage] and not self.is_own(there.key):
            self.told[there].append(Told(note.time, here))

    def ruled(self, at: int, stage: str, versions: Mapping[str, int]) -> None:
        """Rule documents took effect, in one of many key groups that all say so; those of the files are known."""
        self._here = Node(stage, "")
        for rule, version in versions.items():
            if (rule, version) not in self.versions:
                self.versions.add((rule, version))
                self._write(RuleEntry, at, rule=rule, version=version)

    def stands(self, component: Component, key: str, at: int) -> None:
        """How things stand with a node once all is read."""
        for look in component.explain(key, at):
            if self._concerns(look, Node(component.stage, key), mine=self.is_own(key)):
                self._remember(key, look, at, still_open=True)

    def timeline(self) -> list[AnyEntry]:
        """The entries by time; what happens in one moment by stages, then as it happened."""
        return [entry for _, _, entry in sorted(self.entries, key=lambda found: found[:2])]

    def _write(self, kind: Callable[..., AnyEntry], at: int, **values: Any) -> None:
        stage, key = self._here
        self.entries.append((at, STAGES.index(stage), kind(at=at, stage=stage, key=key, **values)))

    def _tell_unheard(self, at: int) -> None:
        event, mine = self._unheard, self._mine
        if event is not None and event is self._event:
            self._mine = True
            self._write_event(event, at, duplicate=False)
            self._mine = mine

    def _tell_fact(self, fact: object, at: int) -> None:
        """Once, however many hear of it."""
        if fact is not self._fact and isinstance(fact, Struct):
            self._fact = fact
            self._write(FactEntry, at, fact=type(fact).__name__, said=_said(fact, _OF_FACTS))

    def _look(self, component: Component, before: Sequence[Look], at: int) -> None:
        """Compare what a component sees with what it saw ``before``, and with what was told of it."""
        here = self._here
        after = tuple(component.explain(here.key, at))
        if not before and not after:
            return
        known = self._looks.get((component.name, here), {})
        stood = {_id_of(look): look for look in before}
        seen = {_id_of(look): look for look in after}
        for look in before:
            if self._concerns(look, here, mine=self._mine):
                self._remember(here.key, look, at)
        now = {
            name: look for name, look in seen.items() if self._concerns(look, here, mine=self._mine or name in known)
        }
        self._looks[component.name, here] = now
        for name, look in known.items():
            if name not in now:
                self._tell_end(component, stood.get(name, look), at)
        for name, look in now.items():
            self._remember(here.key, look, at)
            self._tell_change(component, known.get(name), look, at)

    def _tell_change(self, component: Component, old: Look | None, look: Look, at: int) -> None:
        if old is None:
            self._write(LookEntry, at, component=component.name, change="began", look=look)
        elif (look.value != old.value and look.unit != "ms") or look.threshold != old.threshold:
            self._write(LookEntry, at, component=component.name, change="changed", look=look)

    def _tell_end(self, component: Component, look: Look, at: int) -> None:
        self._write(LookEntry, at, component=component.name, change="ended", look=look)
        if look.due is not None and at + 1 < look.due:
            self._write(TimerEntry, at, component=component.name, action="cancelled", due=look.due)

    def _concerns(self, look: Look, node: Node, *, mine: bool) -> bool:
        """What is seen of a key that others share concerns the order when it is in it, or brought it about."""
        if look.orders:
            return self.order_id in look.orders
        return mine or self.is_own(node.key)

    def _remember(self, key: str, look: Look, at: int, *, still_open: bool = False) -> None:
        name = (look.rule, key, look.subject)
        old = self.nearest.get(name)
        share, best = look.share, -1.0 if old is None else old.look.share
        met = share >= 1 or (old is not None and old.met)
        if share > best:
            self.nearest[name] = Nearest(at=at, key=key, look=look, met=met, open=still_open)
        elif old is not None and still_open:
            self.nearest[name] = msgspec.structs.replace(old, open=True)


def _id_of(look: Look) -> LookId:
    """A clock that starts anew is another one."""
    return look.rule, look.subject, (look.since or 0) if look.unit == "ms" else 0


def _said(message: Any, leave_out: frozenset[str]) -> dict[str, Any]:
    """The plain values of a message."""
    values: Mapping[str, Any] = {
        name: getattr(message, name) for name in message.__struct_fields__ if name not in leave_out
    }
    plain = {name: msgspec.to_builtins(value) for name, value in values.items() if _tells(value)}
    return {name: value for name, value in plain.items() if not isinstance(value, dict)}


def _tells(value: Any) -> bool:
    return value is not None and value is not msgspec.UNSET and value not in ("", (), 0)
