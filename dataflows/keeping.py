"""How the state of key groups is laid down in the recovery store: a head, a base, and the changes since.

Bytewax stores, at the end of each epoch, one value per step and key for every key that was awake. A key group of a shop
with a million open orders is megabytes, and nearly all of it is as it was: so it is spread over several values, all
under the group's name, each in a place of its own. The *head* (watermark, what waits for it, how far the sinks were,
and which places count) is written in each epoch. What changed goes to the next free place of the first level. When
these are used up, all their changes go to one place of the second level; and when these are used up too, or as much was
written as there is, the whole group is written as its new *base*. So a change is written twice and the whole seldom,
and atomicity, clean-up and moving to other workers stay Bytewax's work. Groups take turns: their bases spread out.
"""

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from dataflows.seals import SealError, sealed, unsealed
from operators.heart.key_group import KeyGroup
from operators.heart.snapshots import GroupHead, SnapshotError, check_version

FIRST_LEVEL: Final = range(8)
SECOND_LEVEL: Final = range(8, 20)
BASE: Final = 20
PLACES: Final = range(21)
_NUMBER_BYTES: Final = 2

Positions = Mapping[str, int]
Changed = dict[str, dict[str, bytes | None]]
T = TypeVar("T")


class Part(Struct, frozen=True, array_like=True):
    """A place that counts, and the epoch in which it was written."""

    place: int
    epoch: int


class Head(Struct, frozen=True, array_like=True):
    """One group of all stages. ``epoch`` counts how often it was written, ``parts`` is what its cells are made of: the
    base first, then the changes in their order. ``outputs``: where the sinks stood, see ``sinks.sink.Sink.positions``.
    """

    number: int
    epoch: int
    parts: list[Part]
    stages: dict[str, GroupHead]
    outputs: dict[str, int]


class Cells(Struct, frozen=True, array_like=True):
    """What stands in a place: cells at rest, by stage and key; None for one that is gone since."""

    number: int
    epoch: int
    stages: Changed


_HEADS: Final = msgspec.msgpack.Decoder(Head)
_CELLS: Final = msgspec.msgpack.Decoder(Cells)


class GroupKeeper:
    """Keeps one group of all stages: says where its state goes next, and gives it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.stages: dict[str, KeyGroup] = {}
        self._epoch = 0
        self._parts: list[Part] = []
        # Where the next changes go. Groups begin at different places, so that their bases do not come all at once.
        self._first = number % len(FIRST_LEVEL)
        self._second = number // len(FIRST_LEVEL) % len(SECOND_LEVEL)
        self._recent: Changed = {}
        self._written = 0
        self._laid: dict[int, bytes] = {}
        self._announced: int | None = None
        self._ended = False

    def announce(self) -> int | None:
        """The place that this epoch's state will take besides the head; None when that was said before."""
        if self._announced is not None:
            return None
        self._announced = self._place()
        return self._announced

    def end(self) -> None:
        """The flow ends: Bytewax will ask for all places once more, so all goes to the base and they become free."""
        self._ended = True

    def head(self, outputs: Mapping[str, int]) -> bytes:
        """Lay the state of this epoch down: returns the head, and has the rest ready for ``take``."""
        # The place that was announced: the group may have grown or shrunk since.
        place = BASE if self._ended or self._announced is None else self._announced
        self._epoch += 1
        self._announced = None
        changes: Changed = {stage: group.changes() for stage, group in self.stages.items()}
        for stage, changed in changes.items():
            self._recent.setdefault(stage, {}).update(changed)
        if place == BASE:
            cells: Changed = {stage: dict(group.cells()) for stage, group in self.stages.items()}
            self._begin_anew()
        elif place in SECOND_LEVEL:
            cells = self._recent
            self._written += sum(map(len, cells.values()))
            self._recent, self._first = {}, 0
            self._second += 1
            self._parts = [part for part in self._parts if part.place not in FIRST_LEVEL]
        else:
            cells = changes
            self._first += 1
        self._parts.append(Part(place, self._epoch))
        self._laid[place] = _pack(Cells(self.number, self._epoch, cells))
        stages = {stage: group.head() for stage, group in self.stages.items()}
        return _pack(Head(self.number, self._epoch, self._parts, stages, dict(outputs)))

    def take(self, place: int) -> bytes:
        """What ``head`` has made ready for a place."""
        if self._ended and place not in self._laid:
            return _numbered(self.number, b"")
        return self._laid.pop(place)

    def resume(self, head: Head, recent: Changed) -> None:
        """Go on where a store ends; ``recent`` are the changes that stand in places of the first level."""
        self._epoch, self._parts, self._recent = head.epoch, list(head.parts), recent
        self._first = _next_free(FIRST_LEVEL, head.parts)
        self._second = _next_free(SECOND_LEVEL, head.parts)

    def _begin_anew(self) -> None:
        if self._parts:
            self._first = self._second = 0
        self._parts, self._recent, self._written = [], {}, 0

    def _place(self) -> int:
        if self._ended or not self._parts:
            return BASE
        if self._first < len(FIRST_LEVEL):
            return FIRST_LEVEL[self._first]
        if self._second < len(SECOND_LEVEL) and self._written < sum(group.entries for group in self.stages.values()):
            return SECOND_LEVEL[self._second]
        return BASE


def _next_free(level: range, parts: Iterable[Part]) -> int:
    return max((part.place + 1 for part in parts if part.place in level), default=level.start) - level.start


def read_head(data: bytes) -> Head:
    """The head of a group; raises SnapshotError when it cannot be read."""
    found = _unpack(data, _HEADS)
    for head in found.stages.values():
        check_version(head)
    return found


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
        found = []
        for part in self.head.parts:
            cells = _unpack(self._packed[part.place], _CELLS)
            if cells.epoch != part.epoch or cells.number != self.head.number:
                raise SnapshotError(
                    f"key group {self.head.number}: place {part.place} of its snapshot is of epoch {cells.epoch} of "
                    f"group {cells.number}, expected is epoch {part.epoch}: restore a whole copy of the store, or "
                    "begin a new one"
                )
            found.append((part.place, cells.stages))
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


def _pack(part: Head | Cells) -> bytes:
    return _numbered(part.number, sealed(msgspec.msgpack.encode(part)))


def _numbered(number: int, part: bytes) -> bytes:
    return number.to_bytes(_NUMBER_BYTES, "big") + part


def _unpack(data: bytes, decoder: "msgspec.msgpack.Decoder[T]") -> T:
    try:
        return decoder.decode(unsealed(data[_NUMBER_BYTES:]))
    except (msgspec.DecodeError, SealError) as error:
        raise SnapshotError(f"a part of a key group's snapshot cannot be read: {error}") from error
