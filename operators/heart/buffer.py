"""What waits in a key group for the watermark."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, Protocol

entry_time: Final = attrgetter("time")

Ties = list[tuple[int, int]]
"""(first, end) of each stretch of entries that share a time."""


class Buffer(Protocol):
    """There are two that do the same: ``PlainBuffer``, and a compiled one."""

    def extend(self, entries: Sequence[Any], /) -> None:
        """Take entries in."""

    def release(self, watermark: int, /) -> tuple[list[Any], Ties]:
        """Let out the entries that a watermark covers: by time, and those of one time in the order they came in."""

    def entries(self) -> list[Any]:
        """All that waits."""

    def __len__(self) -> int:
        """How many wait."""


class PlainBuffer:
    """The buffer in Python."""

    def __init__(self) -> None:
        self._entries: list[Any] = []

    def extend(self, entries: Sequence[Any], /) -> None:
        """Take entries in."""
        self._entries.extend(entries)

    def release(self, watermark: int, /) -> tuple[list[Any], Ties]:
        """Let out the entries that a watermark covers."""
        entries = self._entries
        entries.sort(key=entry_time)
        covered = bisect_right(entries, watermark, key=entry_time)
        ready, self._entries = entries[:covered], entries[covered:]
        times = list(map(entry_time, ready))
        return ready, _ties(times) if len(set(times)) < len(times) else []

    def entries(self) -> list[Any]:
        """All that waits."""
        return list(self._entries)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._entries)


def _ties(times: list[int]) -> Ties:
    found, first = [], 0
    for _, group in groupby(times):
        end = first + sum(1 for _ in group)
        if end - first > 1:
            found.append((first, end))
        first = end
    return found
