"""What a key group knows of its keys, and the walk over what happens to them: entries and timers in time order."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from heapq import heappop
from typing import Any, Protocol

from msgspec import Struct

from operators.heart.cells import Cell, Cells
from operators.heart.component import GROUP_KEY, Arm, Handler, StatefulComponent
from operators.heart.duplicates import Duplicates
from operators.heart.keys import Key
from operators.heart.messages import Late
from operators.heart.timers import Timers

Handlers = tuple[Handler, ...]
SayLate = Callable[[Any, int], None]


class Heard(Struct, frozen=True):
    """What a walk calls. ``events``: type -> whose event it is, and who wants it; ``notes``: type -> who wants it.

    ``say_late`` is told of each late event that is applied, and when; such events come as ``late``.
    """

    events: Mapping[type, tuple[Key, Handlers]]
    notes: Mapping[type, Handlers]
    say_late: SayLate
    late: type = Late


class Walker(Protocol):
    """There are two that do the same: ``PlainWalker``, and a compiled one.

    Those whom a walk calls may ask for nothing but armers and ``len``.
    """

    def hear(self, heard: Heard, /) -> None:
        """Say who is to be called, before the first walk."""

    def armer(self, slot: int, /) -> Arm:
        """How the component in ``slot`` asks to be woken."""

    def walk(self, ready: list[Any], watermark: int, /) -> tuple[int, int]:
        """Apply entries, which are in order, and all timers up to ``watermark``; returns how many events were applied,
        and how many were duplicates.
        """

    def tidy(self) -> None:
        """Lay keys to rest when too many are live, and get ahead with the next snapshot."""

    def changes(self) -> dict[str, bytes | None]:
        """The cells that may have changed since the last call; None for one that is gone. The first call tells all."""

    def all(self) -> dict[str, bytes]:
        """All cells."""

    def restore(self, parts: Iterable[Mapping[str, bytes | None]], *, recording: bool) -> None:
        """Take over a base and the changes to it, in their order; ``recording``: ``changes`` goes on from there."""

    def __len__(self) -> int:
        """How many keys it knows."""


class PlainWalker:
    """The walk in Python. ``horizon`` (ms): for how long ids are remembered at least; see ``Cells``, ``Duplicates``."""

    def __init__(
        self,
        components: Sequence[StatefulComponent[Any]],
        live_limit: int,
        horizon: int,
        duplicates: Duplicates | None = None,
    ) -> None:
        self._components = components
        self._ids = len(components)  # the slot of what the group itself wants to be woken for
        self._per_group = any(part.per_group for part in components)
        self._duplicates = duplicates or Duplicates(horizon)
        self._timers = Timers()
        self.cells = Cells(components, self._timers, live_limit, self._ids + 1)
        self._heard = Heard({}, {}, _nobody)

    def hear(self, heard: Heard, /) -> None:
        """Say who is to be called."""
        self._heard = heard

    def armer(self, slot: int, /) -> Arm:
        """How the component in ``slot`` asks to be woken."""
        return partial(self.cells.arm, slot)

    def walk(self, ready: list[Any], watermark: int, /) -> tuple[int, int]:  # noqa: C901, PLR0912 - the hot loop
        """Entries and timers, merged in time order: a timer due at t comes before everything at t."""
        self.cells.reach(watermark + 1)
        heap, notes, events = self._timers.heap, self._heard.notes, self._heard.events
        live, touch, seen = self.cells.live, self.cells.touch, self._duplicates.seen
        applied = duplicates = 0
        if self._per_group:
            touch(GROUP_KEY)
        for entry in ready:
            at = entry.time
            while heap and heap[0][0] <= at:
                self._fire()
            subscribed = events.get(type(entry))
            event = entry
            if subscribed is None and type(entry) is Late:
                event = entry.event
                subscribed = events[type(event)]
            if subscribed is not None:
                whose, handlers = subscribed
                key = whose.of(event)
                cell = live.get(key)
                if cell is None or cell.clean:
                    cell = touch(key)
                if seen(cell.ids, event.source, event.id, at):
                    duplicates += 1
                    continue
                applied += 1
                if cell.dues is None or not cell.dues[-1]:
                    self.cells.arm(self._ids, key, self._duplicates.forget_at(cell.ids))
                if event is not entry:
                    self._heard.say_late(event, at)
            else:
                handlers = notes[type(entry)]
                cell = live.get(entry.key)
                if cell is None or cell.clean:
                    touch(entry.key)
            for handler in handlers:
                handler(event, at)  # of a late record the event itself
        while heap and heap[0][0] <= watermark + 1:
            self._fire()
        return applied, duplicates

    def _fire(self) -> None:
        """The earliest timer: all slots of its key that are due, in their order."""
        due, key = heappop(self._timers.heap)
        cell = self.cells.woken_by(key, due)
        if cell is None or cell.dues is None:
            return
        dues = cell.dues
        for slot, asked in enumerate(dues):
            if asked and asked <= due:
                dues[slot] = 0
                if slot < self._ids:
                    self._components[slot].on_timer(key, due)
                else:
                    self._forget_ids(key, cell, due)
        cell.wake = following = min(filter(None, dues), default=0)
        if following:
            self._timers.schedule(following, key)

    def _forget_ids(self, key: str, cell: Cell, due: int) -> None:
        self._duplicates.forget(cell.ids, due)
        if cell.ids:
            self.cells.arm(self._ids, key, self._duplicates.forget_at(cell.ids))

    def tidy(self) -> None:
        """Lay keys to rest when too many are live, and get ahead with the next snapshot."""
        self.cells.tidy()

    def changes(self) -> dict[str, bytes | None]:
        """The cells that may have changed since the last call."""
        return self.cells.changes()

    def all(self) -> dict[str, bytes]:
        """All cells."""
        return self.cells.all()

    def restore(self, parts: Iterable[Mapping[str, bytes | None]], *, recording: bool) -> None:
        """Take over a base and the changes to it."""
        self.cells.restore(parts, recording=recording)

    def __len__(self) -> int:
        """How many keys it knows."""
        return len(self.cells)


def _nobody(_event: Any, _at: int) -> None:
    """Before anybody has said what is to be called."""
