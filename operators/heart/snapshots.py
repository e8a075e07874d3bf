"""What is stored of a key group, as msgpack; stored state is never pickled."""

from typing import Final

import msgspec
from msgspec import Struct, field

from operators.heart.messages import Entry
from operators.rules.in_effect import RulesHead

SNAPSHOT_VERSION: Final = 2


class GroupHead(Struct, frozen=True):
    """What a key group knows besides its cells: written whole with each snapshot. ``slots`` names its timers."""

    watermark: int
    buffer: list[Entry]
    slots: list[str]
    version: int = SNAPSHOT_VERSION
    rules: RulesHead = field(default_factory=RulesHead)


class GroupSnapshot(Struct, frozen=True):
    """A key group, whole. ``cells``: key -> the cell at rest."""

    head: GroupHead
    cells: dict[str, bytes]


class SnapshotError(Exception):
    """A snapshot cannot be taken over: it is damaged, or was written by another version or for other stages."""


_SNAPSHOTS: Final = msgspec.msgpack.Decoder(GroupSnapshot)


def decode_snapshot(data: bytes) -> GroupSnapshot:
    """Read a whole snapshot; raises SnapshotError."""
    try:
        snapshot = _SNAPSHOTS.decode(data)
    except msgspec.DecodeError as error:
        raise SnapshotError(f"the snapshot of a key group cannot be read: {error}") from error
    check_version(snapshot.head)
    return snapshot


def check_version(head: GroupHead) -> None:
    """Raise SnapshotError for a head of another version."""
    if head.version != SNAPSHOT_VERSION:
        raise SnapshotError(
            f"the snapshot has version {head.version}, this run reads version {SNAPSHOT_VERSION}: use a new store"
        )
