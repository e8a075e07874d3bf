"""When the keys of one key group are to be woken, driven by its watermark."""

from array import array
from collections.abc import Iterator
from heapq import heappush
from typing import Final

Due = tuple[int, str]
_SPAN_BITS: Final = 20  # 17 min: what is due later than the current span waits where it takes the least room
_WITHIN: Final = (1 << _SPAN_BITS) - 1


class Timers:
    """One timer per key, sorted only when its time comes near.

    ``heap`` holds what is due before ``horizon``. A timer that is due later stands in its cell; those of cells at rest
    are filed besides, by spans of time and the key's mark. A heap entry takes 100 bytes and more, a filed one 8, and
    most timers of a shop lie hours or days ahead.
    """

    def __init__(self) -> None:
        self.heap: list[Due] = []
        self.horizon = 0
        self._filed: dict[int, tuple[array[int], array[int]]] = {}

    def schedule(self, due: int, key: str) -> None:
        """Have ``key``, which is live, woken at ``due`` (event time, ms)."""
        if due < self.horizon:
            heappush(self.heap, (due, key))

    def file(self, due: int, mark: int) -> None:
        """Remember that a cell at rest is due, if that lies behind the horizon."""
        if due < self.horizon:
            return
        span = self._filed.get(due >> _SPAN_BITS)
        if span is None:
            span = self._filed[due >> _SPAN_BITS] = (array("I"), array("I"))
        span[0].append(due & _WITHIN)
        span[1].append(mark)

    def extend(self, time: int) -> Iterator[tuple[int, int]]:
        """Have the horizon lie behind ``time``: due and mark of what was filed before it, which is no longer."""
        last = time >> _SPAN_BITS
        self.horizon = (last + 1) << _SPAN_BITS
        for span in sorted(span for span in self._filed if span <= last):
            withins, marks = self._filed.pop(span)
            begin = span << _SPAN_BITS
            yield from ((begin | within, mark) for within, mark in zip(withins, marks, strict=True))

    def clear(self) -> None:
        """No timers at all."""
        self.heap.clear()
        self._filed.clear()
        self.horizon = 0
