"""How the state of key groups is laid down in the recovery store: a head, a base, and the changes since.

Bytewax stores, at the end of each epoch, one value per step and key for every key that was awake. A key group of a shop
with a million open orders is megabytes, and nearly all of it is as it was: so it is spread over several values with the
group's name as their key. The *head* (watermark, what waits for it, and how far the sinks were) is written in each
epoch. What changed goes to one of ``SLOTS`` slots in turn, and once these are used up the whole group is written again
as its new *base*; groups take turns with that. So atomicity, clean-up and moving to other workers stay Bytewax's work.
"""

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from dataflows.seals import SealError, sealed, unsealed
from operators.heart.key_group import KeyGroup
from operators.heart.snapshots import GroupHead, SnapshotError, check_version

SLOTS: Final = 12
BASE: Final = SLOTS  # the place of the base, behind those of the changes
PLACES: Final = range(SLOTS + 1)
_NEVER: Final = -1
_NUMBER_BYTES: Final = 2

Positions = Mapping[str, int]
T = TypeVar("T")


class Head(Struct, frozen=True, array_like=True):
    """One group of all stages. ``epoch`` counts how often it was written, ``base`` is the count at its last base.

    ``outputs``: where the sinks stood, see ``sinks.sink.Sink.positions``.
    """

    number: int
    epoch: int
    base: int
    stages: dict[str, GroupHead]
    outputs: dict[str, int]


class Base(Struct, frozen=True, array_like=True):
    """All cells of one group at rest, by stage and key."""

    number: int
    epoch: int
    stages: dict[str, dict[str, bytes]]


class Changes(Struct, frozen=True, array_like=True):
    """The cells that changed since the epoch before, by stage and key; None for one that is gone."""

    number: int
    epoch: int
    stages: dict[str, dict[str, bytes | None]]


_HEADS: Final = msgspec.msgpack.Decoder(Head)
_BASES: Final = msgspec.msgpack.Decoder(Base)
_CHANGES: Final = msgspec.msgpack.Decoder(Changes)


class GroupKeeper:
    """Keeps one group of all stages: says where its state goes next, and gives it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.stages: dict[str, KeyGroup] = {}
        self._epoch = 0
        self._base = _NEVER
        self._laid: dict[int, bytes] = {}
        self._announced = False
        self._ended = False

    def end(self) -> None:
        """The flow ends: Bytewax will ask for all places once more, so all goes to the base and they become free."""
        self._ended = True

    def announce(self) -> int | None:
        """The place that this epoch's state will take besides the head; None when that was said before."""
        if self._announced:
            return None
        self._announced = True
        return self._place()

    def head(self, outputs: Mapping[str, int]) -> bytes:
        """Lay the state of this epoch down: returns the head, and has the rest ready for ``take``."""
        place = self._place()
        self._epoch += 1
        self._announced = False
        changes = {stage: group.changes() for stage, group in self.stages.items()}
        laid: Base | Changes
        if place == BASE:
            self._base = self._epoch
            laid = Base(self.number, self._epoch, {stage: group.cells() for stage, group in self.stages.items()})
        else:
            laid = Changes(self.number, self._epoch, changes)
        self._laid[place] = _pack(laid)
        stages = {stage: group.head() for stage, group in self.stages.items()}
        return _pack(Head(self.number, self._epoch, self._base, stages, dict(outputs)))

    def take(self, place: int) -> bytes:
        """What ``head`` has made ready for a place."""
        if self._ended and place not in self._laid:
            return _numbered(self.number, b"")
        return self._laid.pop(place)

    def resume(self, head: Head) -> None:
        """Go on counting where a store ends."""
        self._epoch, self._base = head.epoch, head.base

    def _place(self) -> int:
        """Where the next state goes. By their numbers the groups take turns with their bases."""
        following = self._epoch + 1
        since = following - self._base
        if self._ended or self._base == _NEVER or since > SLOTS or (following + self.number) % (SLOTS + 1) == 0:
            return BASE
        return since - 1


def read_head(data: bytes) -> Head:
    """The head of a group; raises SnapshotError when it cannot be read."""
    found = _unpack(data, _HEADS)
    for head in found.stages.values():
        check_version(head)
    return found


class Pieces:
    """What a store holds of one group, as it comes in, in any order. Each part begins with the group's number."""

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
        """Whether the head and all that it builds on is there."""
        if self.head is None:
            return False
        return {BASE, *range(self.head.epoch - self.head.base)} <= self._packed.keys()

    def cells(self) -> dict[str, tuple[dict[str, bytes], list[dict[str, bytes | None]]]]:
        """By stage: the base, and the changes since in their order. Raises SnapshotError when they do not fit."""
        assert self.head is not None
        base = _unpack(self._packed[BASE], _BASES)
        changes = [_unpack(self._packed[place], _CHANGES) for place in range(self.head.epoch - self.head.base)]
        epochs = [base.epoch, *(change.epoch for change in changes)]
        if epochs != list(range(self.head.base, self.head.epoch + 1)):
            raise SnapshotError(
                f"key group {self.head.number}: the parts of its snapshot are of the epochs {epochs}, expected are "
                f"{self.head.base} to {self.head.epoch}: restore a whole copy of the store, or begin a new one"
            )
        return {
            stage: (base.stages.get(stage, {}), [change.stages.get(stage, {}) for change in changes])
            for stage in self.head.stages
        }


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


def _pack(part: Head | Base | Changes) -> bytes:
    return _numbered(part.number, sealed(msgspec.msgpack.encode(part)))


def _numbered(number: int, part: bytes) -> bytes:
    return number.to_bytes(_NUMBER_BYTES, "big") + part


def _unpack(data: bytes, decoder: "msgspec.msgpack.Decoder[T]") -> T:
    try:
        return decoder.decode(unsealed(data[_NUMBER_BYTES:]))
    except (msgspec.DecodeError, SealError) as error:
        raise SnapshotError(f"a part of a key group's snapshot cannot be read: {error}") from error
