"""The state of a key group: one cell per key, live while in use, a few bytes otherwise."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heapify
from itertools import islice
from typing import Any, Final

import msgspec
from msgspec import Struct

from operators.heart.component import StatefulComponent
from operators.heart.duplicates import Ids
from operators.heart.resting import Resting, content_of, packed_wake, wake_of
from operators.heart.timers import Timers

_AT_ONCE: Final = 64  # cells of a snapshot that are packed with each advance of a group
_LEFT: Final = 16  # touched cells of a group that a snapshot may have to lay down, while the flow stands still


class Cell(Struct, gc=False):
    """What a key group itself keeps of one key; the components' states of the key live and rest together with it.

    ``wake`` is the moment of its one scheduled timer, ``dues`` the moment that each slot asked for; 0 means none.
    ``filed`` is the moment for which it was last filed at rest. ``clean``: nothing has touched it since it was last
    told as a change.
    """

    ids: Ids
    wake: int = 0
    dues: list[int] | None = None
    clean: bool = False
    filed: int = 0


class Cells:
    """The cells of one key group, either live, as objects in the components' tables, or at rest, as bytes.

    A cell is woken by whatever happens to its key, and laid to rest when more than ``live_limit`` are live; so what
    nobody touches costs a few hundred bytes. Once ``changes`` was called, what is touched is remembered until the next
    call, so that a snapshot has to write only that.
    """

    def __init__(
        self, components: Sequence[StatefulComponent[Any]], timers: Timers, live_limit: int, slots: int
    ) -> None:
        self._components = components
        self._timers = timers
        self._live_limit = live_limit
        self._slots = slots
        parts = tuple(component.state_type | None for component in components)
        layout: Any = tuple[Ids, list[int] | None, *parts]  # type: ignore[valid-type]
        self._decoder = msgspec.msgpack.Decoder(layout)
        self._encode = msgspec.msgpack.Encoder().encode
        self.live: dict[str, Cell] = {}
        self._resting = Resting()
        self._recording = False
        self._touched: list[str] = []
        self._changed: dict[str, bytes | None] = {}

    def __len__(self) -> int:
        return len(self.live) + len(self._resting)

    def touch(self, key: str) -> Cell:
        """The live cell of a key, made anew if there is none; it counts as changed."""
        cell = self.live.get(key)
        if cell is None:
            cell = self.live[key] = self._woken(key) or Cell(Ids())
        elif not cell.clean:
            return cell
        cell.clean = False
        if self._recording:
            self._touched.append(key)
        return cell

    def _woken(self, key: str) -> Cell | None:
        loose = self._resting.pop_loose(key)
        resting = self._resting.pop(key) if loose is None else loose
        if resting is None:
            return None
        ids, dues, *parts = self._decoder.decode(content_of(resting))
        for component, part in zip(self._components, parts, strict=True):
            if part is not None:
                component.states[key] = part
        wake = wake_of(resting)
        return Cell(ids, wake, dues, filed=wake if loose is None else 0)

    def woken_by(self, key: str, due: int) -> Cell | None:
        """The cell whose timer is due; None when the timer means nothing any more."""
        cell = self.live.get(key)
        if cell is None:
            cell = self._woken(key)
            if cell is None:
                return None
            cell.clean = self._recording  # until it is touched; before the first snapshot every cell is to be told
            self.live[key] = cell
        return self.touch(key) if cell.wake == due else None

    def arm(self, slot: int, key: str, due: int) -> None:
        """Wake ``slot`` for ``key``, which is live, at ``due``, unless it will be woken earlier anyway.

        Arming is lazy: a moment that moves later leaves the earlier timer in place, and whoever is woken looks whether
        there is something to do and arms again.
        """
        cell = self.live[key]
        dues = cell.dues
        if dues is None:
            dues = cell.dues = [0] * self._slots
        if not dues[slot] or due < dues[slot]:
            dues[slot] = due
            if not cell.wake or due < cell.wake:
                cell.wake = due
                self._timers.schedule(due, key)

    def reach(self, time: int) -> None:
        """See to it that everything that is due up to ``time`` is in the timers' heap."""
        timers = self._timers
        before = max(timers.horizon, 1)  # a cell that is not to be woken says 0
        if time < timers.horizon:
            return
        heap, due = timers.heap, self._resting.due
        for wake, mark in timers.extend(time):
            heap.extend((wake, key) for key in due(mark, wake))
        horizon = timers.horizon
        heap.extend((cell.wake, key) for key, cell in self.live.items() if before <= cell.wake < horizon)
        heap.extend(self._resting.loose_due(before, horizon))
        heapify(heap)

    def tidy(self) -> None:
        """Lay the older half of the live cells to rest when there are too many; go on settling a snapshot that was
        restored, and get ahead with the next.
        """
        self._resting.settle(_AT_ONCE, self._timers.file)
        if self._recording and (ahead := len(self._touched) - _LEFT) > 0:
            self._tell(self._touched[:ahead])
            del self._touched[:ahead]
        if len(self.live) > self._live_limit:
            self._rest(list(islice(self.live, len(self.live) // 2)))

    def changes(self) -> dict[str, bytes | None]:
        """All cells that may have changed since the last call; None for one that is gone. The first call tells all."""
        if not self._recording:
            self._recording = True
            self._touched = list(self.live)
            self._changed = dict(self._resting.items())
        self._tell(self._touched)
        self._touched.clear()
        changed, self._changed = self._changed, {}
        return changed

    def _tell(self, touched: Iterable[str]) -> None:
        """Note down how cells are now; one that is touched again counts once more."""
        for key in touched:
            cell = self.live.get(key)
            if cell is not None and not cell.clean:
                self._changed[key] = laid = self._laid(key, cell)
                cell.clean = True
                if laid is None:
                    del self.live[key]

    def all(self) -> dict[str, bytes]:
        """All cells, as if all were at rest."""
        laid = ((key, self._laid(key, cell)) for key, cell in self.live.items())
        return {**dict(self._resting.items()), **{key: cell for key, cell in laid if cell is not None}}

    def restore(self, parts: Iterable[Mapping[str, bytes | None]], *, recording: bool) -> None:
        """Take over a base and the changes to it, in their order; ``recording``: ``changes`` goes on from there."""
        cells: dict[str, bytes] = {}
        for part in parts:
            for key, cell in part.items():
                if cell is None:
                    cells.pop(key, None)
                else:
                    cells[key] = cell
        self._resting = Resting()
        self._timers.clear()
        self._resting.adopt(cells)
        self._recording = recording
        self.live, self._touched, self._changed = {}, [], {}
        for component in self._components:
            component.states.clear()

    def states(self) -> Iterator[tuple[str, list[Any]]]:
        """Key and the components' states, for all cells as they stand."""
        for key, cell in self.all().items():
            yield key, self._decoder.decode(content_of(cell))[2:]

    def _rest(self, keys: Iterable[str]) -> None:
        for key in keys:
            cell = self.live[key]
            laid = self._laid(key, cell)
            del self.live[key]
            for component in self._components:
                component.states.pop(key, None)
            if laid is not None:
                mark = self._resting.put(key, laid)
                if cell.wake and cell.wake != cell.filed:
                    self._timers.file(cell.wake, mark)
            if self._recording and not cell.clean:
                self._changed[key] = laid

    def _laid(self, key: str, cell: Cell) -> bytes | None:
        """A cell as bytes; None for one that there is nothing of."""
        parts = [component.states.get(key) for component in self._components]
        dues = cell.dues if cell.dues is not None and any(cell.dues) else None
        if dues is None and not cell.ids and parts.count(None) == len(parts):
            return None
        return packed_wake(cell.wake, self._encode((cell.ids, dues, *parts)))
