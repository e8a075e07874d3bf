"""When the keys of one key group are to be woken, driven by its watermark."""

from array import array
from collections.abc import Iterable
from heapq import heapify, heappush
from typing import Final

Due = tuple[int, str]
_SPAN_BITS: Final = 17  # 131 s: what is due later than the current span waits where it takes the least room


class Timers:
    """One timer per key, sorted only when its time comes near.

    ``heap`` holds what is due before ``horizon``; all that is due later lies unsorted, by spans of time. A heap entry
    takes 100 bytes, a waiting one 16, and most timers of a shop lie hours or days ahead.
    """

    def __init__(self) -> None:
        self.heap: list[Due] = []
        self.horizon = 0
        self._later: dict[int, tuple[list[str], array[int]]] = {}

    def schedule(self, due: int, key: str) -> None:
        """Have ``key`` woken at ``due`` (event time, ms)."""
        if due < self.horizon:
            heappush(self.heap, (due, key))
            return
        span = self._later.get(due >> _SPAN_BITS)
        if span is None:
            span = self._later[due >> _SPAN_BITS] = ([], array("q"))
        span[0].append(key)
        span[1].append(due)

    def reach(self, time: int) -> None:
        """See to it that everything that is due up to ``time`` is in the heap."""
        if time < self.horizon:
            return
        last = time >> _SPAN_BITS
        self.horizon = (last + 1) << _SPAN_BITS
        for span in [span for span in self._later if span <= last]:
            keys, dues = self._later.pop(span)
            self.heap.extend(zip(dues, keys, strict=True))
        heapify(self.heap)

    def restart(self, timers: Iterable[Due]) -> None:
        """Exactly these timers."""
        self.heap.clear()
        self._later.clear()
        for due, key in timers:
            self.schedule(due, key)
