"""The counts of raw records by partition and slice of arrival: each slice is one event, the same whenever it is read.

A slice begins at a multiple of its length by the record's timestamp in its log, and ends with the first record that is
behind it, or once the log's end is confirmed and the clock is well past it. The group's commit carries where the open
slice began; after a restart that stretch is read again, counted, and not mapped.
"""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from config.settings import IntakeContract
from events.model import ContractCounted
from sources.mapping.contract import ContractCounts

Place = tuple[str, int]
_GRACE: Final = 5_000  # ms: how far the broker's clock may be behind this one


class _Open(Struct):
    """The slice of a partition that is not over. ``offset``: of its first record."""

    start: int
    offset: int
    source: str
    counts: ContractCounts


class ContractSlices:
    """The open slices of all partitions that this process reads."""

    def __init__(self, settings: IntakeContract) -> None:
        self._settings = settings
        self._length = int(settings.slice)
        self._open: dict[Place, _Open] = {}
        self._from: dict[Place, int] = {}

    def forget(self, place: Place) -> None:
        """The partition was assigned anew, or to somebody else."""
        self._open.pop(place, None)
        self._from.pop(place, None)

    def begin(
        self, place: Place, offset: int, stamp: int, source: str
    ) -> tuple[ContractCounts, ContractCounted | None]:
        """Where to count the record at ``offset``, and the slice that ended before it."""
        start = max(stamp // self._length * self._length, self._from.get(place, 0))
        ended = None
        current = self._open.get(place)
        if current is not None and start > current.start:
            ended = self._close(place, current)
            current = None
        if current is None:
            current = self._open[place] = _Open(start, offset, source, ContractCounts(self._settings))
        return current.counts, ended

    def overdue(self, now_ms: int, at_end: Callable[[Place], bool]) -> Iterator[ContractCounted]:
        """Slices that are over by the clock, of partitions whose log is known to hold nothing more."""
        for place, current in list(self._open.items()):
            if now_ms >= current.start + self._length + _GRACE and at_end(place):
                yield self._close(place, current)

    def opened_at(self, place: Place) -> int | None:
        """The offset at which the open slice of a partition began."""
        current = self._open.get(place)
        return None if current is None else current.offset

    def _close(self, place: Place, current: _Open) -> ContractCounted:
        del self._open[place]
        end = current.start + self._length
        self._from[place] = end
        return current.counts.take(current.source, f"{place[0]}/{place[1]}", current.start, end)
