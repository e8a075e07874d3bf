"""Which logs of a bounded read have run ahead of the others in event time: what they gave early waits in memory."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from msgspec import Struct

from events.batch import RawBatch
from events.model import UNREADABLE

MOST_AHEAD: Final = 200_000
EVERY_SECONDS: Final = 0.5
_LOOKED_AT: Final = 10


class _Time(Struct, gc=False):
    time: int


_decoder: msgspec.json.Decoder[_Time] = msgspec.json.Decoder(_Time)


class Pacing:
    """Says which partitions should rest. ``most``: so many records may be read ahead of the slowest partition.

    Those that rest go on when half of these have been caught up with. ``clock``: monotonic seconds.
    """

    def __init__(self, most: int = MOST_AHEAD, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._next = 0.0
        self._ahead: dict[str, deque[tuple[int, int]]] = {}  # event time of a batch's end, its records
        self._reached: dict[str, int] = {}
        self._resting: frozenset[str] = frozenset()

    def take(self, batches: Iterable[RawBatch]) -> None:
        """Note what was read."""
        for batch in batches:
            if batch.finished:
                self._reached.pop(batch.partition, None)
            moment = _last_time(batch.lines)
            if moment is not None and not batch.finished:
                self._reached[batch.partition] = max(moment, self._reached.get(batch.partition, moment))
                self._ahead.setdefault(batch.partition, deque()).append((moment, len(batch.lines)))

    def resting(self, slowest: str | None) -> frozenset[str]:
        """The partitions that should rest now; ``slowest``: the one furthest behind in event time, None: all ended."""
        now = self._clock()
        if slowest in self._resting:
            self._next = now
        if now >= self._next:
            self._next = now + EVERY_SECONDS
            self._resting = frozenset() if slowest is None else self._judged(slowest)
        return self._resting

    def _judged(self, slowest: str) -> frozenset[str]:
        here = self._reached.get(slowest)
        counts = {name: self._count_ahead(name, here) for name in self._reached if name != slowest}
        ahead = frozenset(name for name, count in counts.items() if count)
        total = sum(counts.values())
        if total > self._most:
            return ahead
        return self._resting & ahead if total > self._most // 2 else frozenset()

    def _count_ahead(self, name: str, here: int | None) -> int:
        batches = self._ahead.get(name, deque())
        while here is not None and batches and batches[0][0] <= here:
            batches.popleft()
        return sum(count for _, count in batches)


def _last_time(lines: list[bytes]) -> int | None:
    """The time of the last record that says one."""
    for line in reversed(lines[-_LOOKED_AT:]):
        try:
            return _decoder.decode(line).time
        except UNREADABLE:
            continue
    return None
