"""How the state of key groups is laid down in the recovery store: a head, a base, and the changes since.

Bytewax stores, at the end of each epoch, one value per step and key for every key that was awake. A key group of a shop
with a million open orders is megabytes, and nearly all of it is as it was: so it is spread over several values, all
under the group's name, each in a place of its own. The *head* (watermark, what waits for it, how far the sinks were,
and which places count) is written in each epoch. What changed goes to the next free place of the first level. When
these are used up, all their changes go to one place of the second level. When as much was written as there is, or few
places of the second level are left, the whole group becomes due for a new *base*. So a change is written twice and the
whole seldom, and atomicity, clean-up and moving to other workers stay Bytewax's work.

A base is prepared while the flow runs, stage by stage, over as many epochs as it takes: the changes of the epochs since
it was begun stay and are laid over it, so it does not matter at which moment of these a cell was copied. In the same
way most of what an epoch changed, and of what waits, is laid down shortly before it ends: what a place holds are
portions, of which a later one is laid over those before.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from dataflows.seals import SealError, all_unsealed, sealed
from operators.heart.key_group import KeyGroup
from operators.heart.messages import Entry
from operators.heart.snapshots import GroupHead, SnapshotError, check_version

FIRST_LEVEL: Final = range(8)
SECOND_LEVEL: Final = range(8, 20)
_FEW_LEFT: Final = 8  # of the second level: time for each of 64 groups to have its turn before all are used up
BASE: Final = 20
PLACES: Final = range(21)
_NUMBER_BYTES: Final = 2

Positions = Mapping[str, int]
Changed = dict[str, dict[str, bytes | None]]
Waiting = dict[str, list[Entry]]


class Part(Struct, frozen=True, array_like=True):
    """A place that counts, and the epoch in which it was written; of a base that in which it was begun."""

    place: int
    epoch: int


class Head(Struct, frozen=True, array_like=True):
    """One group of all stages. ``epoch`` counts how often it was written, ``parts`` is what its cells are made of: the
    base first, then the changes in their order. ``outputs``: where the sinks stood, see ``sinks.sink.Sink.positions``.
    ``gone``: what waited when it was laid down ahead, in a portion of its own, and does no more; indexes, by stage.
    ``siblings``: the groups whose heads must be there when this one is; none in stores of format 2.
    """

    number: int
    epoch: int
    parts: list[Part]
    stages: dict[str, GroupHead]
    outputs: dict[str, int]
    gone: dict[str, list[int]] = {}
    siblings: tuple[int, ...] = ()


class Cells(Struct, frozen=True, array_like=True):
    """What stands in a place, or a portion of it: cells at rest, by stage and key; None for one that is gone since."""

    number: int
    epoch: int
    stages: Changed


_HEADS: Final = msgspec.msgpack.Decoder(Head)
_CELLS: Final = msgspec.msgpack.Decoder(Cells)
_WAITING: Final = msgspec.msgpack.Decoder(Waiting)


class _Base(Struct):
    """A base in the making: all changes from the epoch ``since`` on are laid over it. ``left``: the stages to come."""

    since: int
    left: list[str]
    portions: list[bytes]


class _Ahead(Struct):
    """What was laid down of an epoch before its end: of its changes, and of what waited then."""

    cells: bytes
    waiting: Waiting
    waiting_sealed: bytes


class GroupKeeper:
    """Keeps one group of all stages: says where its state goes next, and gives it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.stages: dict[str, KeyGroup] = {}
        self._epoch = 0
        self._parts: list[Part] = []
        # Where the next changes go. Groups begin at different places, so that they do not sum up all at once.
        self._first = number % len(FIRST_LEVEL)
        self._recent: Changed = {}
        self._written = 0
        self._laid: dict[int, bytes] = {}
        self._base: _Base | None = None
        self._ahead: _Ahead | None = None
        self._announced: tuple[int, ...] = ()
        self._ended = False

    def announce(self) -> tuple[int, ...]:
        """The places that this epoch's state will take besides the head; none when they were said before."""
        if self._announced:
            return ()
        self._announced = self._places()
        return self._announced

    def end(self) -> None:
        """The flow ends: Bytewax will ask for all places once more, so all goes to the base and they become free."""
        self._ended = True

    @property
    def places_left(self) -> int:
        """How many places of the second level are free."""
        return len(SECOND_LEVEL) - sum(part.place in SECOND_LEVEL for part in self._parts)

    @property
    def base_due(self) -> bool:
        """Whether a new base is to be begun."""
        if self._base is not None or not self._parts:
            return False
        return self.places_left <= _FEW_LEFT or 0 < self._entries <= self._written

    @property
    def prepares_base(self) -> bool:
        """Whether a base was begun that is not written yet."""
        return self._base is not None

    def prepare_base(self) -> bool:
        """Begin a base, or go on with it by a portion; between two calls of ``advance`` of any group.

        Returns False when it was ready before: then the next epoch writes it.
        """
        if self._base is None:
            since = self._epoch + 1
            self._base = _Base(since, [*self.stages], [_sealed_cells(self.number, since, {})])
            self._written = 0
        base = self._base
        if not base.left:
            return False
        stage = base.left.pop()
        base.portions.append(_sealed_cells(self.number, base.since, {stage: dict(self.stages[stage].cells())}))
        return True

    def lay_ahead(self) -> None:
        """Lay down what this epoch has changed so far, and what waits; between two calls of ``advance`` of any group.

        What changes until the epoch ends is laid down once more then, so this is best done shortly before.
        """
        if self._ahead is not None or self._ended or self._announced[:1] in {(), (BASE,)}:
            return
        changes = self._changes()
        cells = self._recent if self._announced[0] in SECOND_LEVEL else changes
        waiting = {stage: list(group.head().buffer) for stage, group in self.stages.items()}
        self._ahead = _Ahead(
            _sealed_cells(self.number, self._epoch + 1, cells), waiting, sealed(msgspec.msgpack.encode(waiting))
        )

    def head(self, outputs: Mapping[str, int], siblings: tuple[int, ...] = ()) -> bytes:
        """Lay the state of this epoch down: returns the head, and has the rest ready for ``take``."""
        # The places that were announced: the group may have grown or shrunk since.
        place, *more = (BASE,) if self._ended or not self._announced else self._announced
        ahead, self._ahead = self._ahead, None
        self._epoch += 1
        self._announced = ()
        cells = changes = self._changes()
        if place == BASE:
            ahead, cells = None, self._anew(changes)
        elif place in SECOND_LEVEL:
            self._written += sum(map(len, self._recent.values()))
            cells = self._recent if ahead is None else changes
            self._recent, self._first = {}, 0
            self._parts = [part for part in self._parts if part.place not in FIRST_LEVEL]
        else:
            self._first += 1
        self._parts.append(Part(place, self._epoch))
        before = b"" if ahead is None else ahead.cells
        self._laid[place] = _numbered(self.number, before + _sealed_cells(self.number, self._epoch, cells))
        if more and self._base is not None:
            self._lay_base(self._base)
        return _numbered(self.number, self._sealed_head(outputs, siblings, ahead))

    def take(self, place: int) -> bytes:
        """What ``head`` has made ready for a place."""
        if self._ended and place not in self._laid:
            return _numbered(self.number, b"")
        return self._laid.pop(place)

    def resume(self, head: Head, recent: Changed) -> None:
        """Go on where a store ends; ``recent`` are the changes that stand in places of the first level."""
        self._epoch, self._parts, self._recent = head.epoch, list(head.parts), recent
        self._first = max((part.place + 1 for part in head.parts if part.place in FIRST_LEVEL), default=0)

    @property
    def _entries(self) -> int:
        return sum(group.entries for group in self.stages.values())

    def _changes(self) -> Changed:
        """The cells that were not told yet."""
        changes: Changed = {stage: group.changes() for stage, group in self.stages.items()}
        for stage, changed in changes.items():
            self._recent.setdefault(stage, {}).update(changed)
        return changes

    def _sealed_head(self, outputs: Mapping[str, int], siblings: tuple[int, ...], ahead: _Ahead | None) -> bytes:
        stages = {stage: group.head() for stage, group in self.stages.items()}
        gone: dict[str, list[int]] = {}
        for stage, before in () if ahead is None else ahead.waiting.items():
            now = {id(entry) for entry in stages[stage].buffer}
            known = set(map(id, before))
            gone[stage] = [index for index, entry in enumerate(before) if id(entry) not in now]
            came = [entry for entry in stages[stage].buffer if id(entry) not in known]
            stages[stage] = replace(stages[stage], buffer=came)
        head = Head(self.number, self._epoch, self._parts, stages, dict(outputs), gone, siblings)
        return sealed(msgspec.msgpack.encode(head)) + (b"" if ahead is None else ahead.waiting_sealed)

    def _anew(self, changes: Changed) -> Changed:
        """All cells, of which the base is made at once. The first changes of a group are all that it has."""
        cells = changes
        if self._parts:
            cells = {stage: dict(group.cells()) for stage, group in self.stages.items()}
            self._first = 0
        self._parts, self._recent, self._written, self._base = [], {}, 0, None
        return cells

    def _lay_base(self, base: _Base) -> None:
        self._laid[BASE] = _numbered(self.number, b"".join(base.portions))
        since = [part for part in self._parts if part.place != BASE and part.epoch >= base.since]
        self._parts, self._base = [Part(BASE, base.since), *since], None

    def _places(self) -> tuple[int, ...]:
        place = self._place()
        ready = place != BASE and self._base is not None and not self._base.left
        return (place, BASE) if ready else (place,)

    def _place(self) -> int:
        if self._ended or not self._parts:
            return BASE
        if self._first < len(FIRST_LEVEL):
            return FIRST_LEVEL[self._first]
        taken = {part.place for part in self._parts}
        return next((place for place in SECOND_LEVEL if place not in taken), BASE)


def read_head(data: bytes) -> Head:
    """The head of a group; raises SnapshotError when it cannot be read."""
    with _readable():
        sealed_head, *ahead = all_unsealed(data[_NUMBER_BYTES:])
        head = _HEADS.decode(sealed_head)
        for waiting in map(_WAITING.decode, ahead):
            for stage, entries in waiting.items():
                gone = {*head.gone.get(stage, ())}
                left = [entry for index, entry in enumerate(entries) if index not in gone]
                head.stages[stage] = replace(head.stages[stage], buffer=[*left, *head.stages[stage].buffer])
    for each in head.stages.values():
        check_version(each)
    return head


class Pieces:
    """What a store holds of one group, as it comes in, in any order."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self._packed: dict[int, bytes] = {}

    def add(self, place: int, data: bytes) -> None:
        """What one of the places holds."""
        self._packed[place] = data

    def stored(self, place: int) -> bytes:
        """What one of the places holds."""
        return self._packed[place]

    @property
    def complete(self) -> bool:
        """Whether the head and all that it is made of is there."""
        return self.head is not None and all(part.place in self._packed for part in self.head.parts)

    def cells(self) -> list[tuple[int, Changed]]:
        """Place and cells of all parts: the base, then the changes since in their order.

        Raises SnapshotError when a part is of another epoch than the head says.
        """
        assert self.head is not None
        return [(part.place, self._cells_of(part, self.head.number)) for part in self.head.parts]

    def _cells_of(self, part: Part, number: int) -> Changed:
        found: Changed = {}
        with _readable():
            portions = [_CELLS.decode(portion) for portion in all_unsealed(self._packed[part.place][_NUMBER_BYTES:])]
        for cells in portions:
            if cells.epoch != part.epoch or cells.number != number:
                raise SnapshotError(
                    f"key group {number}: place {part.place} of its snapshot is of epoch {cells.epoch} of "
                    f"group {cells.number}, expected is epoch {part.epoch}: restore a whole copy of the store, or "
                    "begin a new one"
                )
            for stage, changed in cells.stages.items():
                found.setdefault(stage, {}).update(changed)
        return found


def least(positions: Iterable[Positions]) -> dict[str, int]:
    """Of each log the least position."""
    found: dict[str, int] = {}
    for each in positions:
        for name, position in each.items():
            found[name] = min(position, found.get(name, position))
    return found


def number_of(part: bytes) -> int:
    """The group that a stored part belongs to: it stands in front, so that the part need not be unpacked for it."""
    return int.from_bytes(part[:_NUMBER_BYTES], "big")


def _sealed_cells(number: int, epoch: int, stages: Changed) -> bytes:
    return sealed(msgspec.msgpack.encode(Cells(number, epoch, stages)))


def _numbered(number: int, part: bytes) -> bytes:
    return number.to_bytes(_NUMBER_BYTES, "big") + part


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (msgspec.DecodeError, SealError, KeyError) as error:
        raise SnapshotError(f"a part of a key group's snapshot cannot be read: {error}") from error
