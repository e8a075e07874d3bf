"""What senders have for the key groups of a process, and how it is kept where it came too early.

A process that starts on a store waits for all parts of its state. What comes meanwhile its senders count as delivered,
so when an epoch ends then, it is stored: as msgpack, sealed, like all other state.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from dataflows.seals import SealError, sealed, unsealed
from operators.heart.inputs import GroupInput
from operators.heart.snapshots import SnapshotError

Inputs = dict[int, GroupInput]
"""What one sender has for the key groups of a process, by their numbers."""

_STORED: Final = msgspec.msgpack.Decoder(list[Inputs])


def to_store(deliveries: Sequence[Inputs]) -> bytes | None:
    """Deliveries as they are stored; None when there are none."""
    return sealed(msgspec.msgpack.encode(deliveries)) if deliveries else None


def from_store(stored: object) -> list[Inputs]:
    """What ``to_store`` made deliveries of; raises SnapshotError when it cannot be read."""
    # Stores of format 2 have True here, under the key of each key group.
    if stored is None or stored is True:
        return []
    if not isinstance(stored, bytes):
        raise SnapshotError(
            "the last run on this store, by an earlier state of OrderPulse, was interrupted while it started: start it "
            "once more with that, and then with this"
        )
    try:
        return _STORED.decode(unsealed(stored))
    except (SealError, msgspec.DecodeError) as error:
        raise SnapshotError(f"what came while the last run on this store started cannot be read: {error}") from error
