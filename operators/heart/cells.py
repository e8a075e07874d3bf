"""The state of a key group: one cell per key, live while in use, a few bytes otherwise."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
from msgspec import Struct

from operators.heart.component import StatefulComponent
from operators.heart.duplicates import Ids
from operators.heart.timers import Timers

_WAKE_BYTES: Final = 8


class Cell(Struct, gc=False):
    """What a key group itself keeps of one key; the components' states of the key live and rest together with it.

    ``wake`` is the moment of its one scheduled timer, ``dues`` the moment that each slot asked for; 0 means none.
    """

    ids: Ids
    wake: int = 0
    dues: list[int] | None = None


class Cells:
    """The cells of one key group, either live, as objects in the components' tables, or at rest, as bytes.

    A cell is woken by whatever happens to its key, and laid to rest again when a snapshot is taken, or when more than
    ``live_limit`` are live. So between two snapshots the live cells are those that may have changed, which is what the
    next snapshot has to write; and what nobody touches costs a few hundred bytes.
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
        self.resting: dict[str, bytes] = {}
        self._changed: dict[str, bytes | None] = {}

    def __len__(self) -> int:
        return len(self.live) + len(self.resting)

    def wake(self, key: str) -> Cell:
        """The live cell of a key, made anew if there is none."""
        cell = self.live.get(key)
        if cell is not None:
            return cell
        resting = self.resting.pop(key, None)
        if resting is None:
            cell = Cell(Ids())
        else:
            ids, dues, *parts = self._decoder.decode(resting[_WAKE_BYTES:])
            cell = Cell(ids, _wake_of(resting), dues)
            for component, part in zip(self._components, parts, strict=True):
                if part is not None:
                    component.states[key] = part
        self.live[key] = cell
        return cell

    def woken_by(self, key: str, due: int) -> Cell | None:
        """The cell whose timer is due; None when the timer means nothing any more."""
        cell = self.live.get(key)
        if cell is None:
            resting = self.resting.get(key)
            if resting is None or _wake_of(resting) != due:
                return None
            return self.wake(key)
        return cell if cell.wake == due else None

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

    def tidy(self) -> None:
        """Lay the older half of the live cells to rest when there are too many."""
        if len(self.live) > self._live_limit:
            self._rest(list(islice(self.live, len(self.live) // 2)))

    def changes(self) -> dict[str, bytes | None]:
        """All cells that may have changed since the last call; None for one that is gone. Afterwards all rest."""
        self._rest(list(self.live))
        changed, self._changed = self._changed, {}
        return changed

    def restore(self, resting: dict[str, bytes], changes: Iterable[dict[str, bytes | None]]) -> None:
        """Take over a base and the changes to it, in their order."""
        for changed in changes:
            for key, cell in changed.items():
                if cell is None:
                    resting.pop(key, None)
                else:
                    resting[key] = cell
        self.resting = resting
        self.live, self._changed = {}, {}
        for component in self._components:
            component.states.clear()
        self._timers.restart((wake, key) for key, cell in resting.items() if (wake := _wake_of(cell)))

    def states(self) -> Iterator[tuple[str, list[Any]]]:
        """Key and the components' states, for all cells as they stand; for tests and explanations."""
        for key, cell in self.resting.items():
            yield key, self._decoder.decode(cell[_WAKE_BYTES:])[2:]

    def _rest(self, keys: list[str]) -> None:
        live, resting, changed, encode = self.live, self.resting, self._changed, self._encode
        tables = [component.states for component in self._components]
        for key in keys:
            cell = live.pop(key)
            parts = [table.pop(key, None) for table in tables]
            dues = cell.dues if cell.dues is not None and any(cell.dues) else None
            if dues is None and not cell.ids and parts.count(None) == len(parts):
                changed[key] = None
            else:
                laid = cell.wake.to_bytes(_WAKE_BYTES, "big") + encode((cell.ids, dues, *parts))
                changed[key] = resting[key] = laid


def _wake_of(resting: bytes) -> int:
    """Stands in front, so that timers are known without decoding the rest."""
    return int.from_bytes(resting[:_WAKE_BYTES], "big")
