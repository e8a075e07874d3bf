"""Readers around a reader: one that shows how far it is, one that holds a pace. What is read stays the same."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from events.batch import RawBatch
from sources.reader import Reader, Unreachable, Waiting

_SLICE = 100  # records at most in one read: a partition must not run far ahead of the others in event time


class WatchedReader:
    """Tells after each read how far the reader is: the sum of its positions, and the records read so far."""

    def __init__(self, inner: Reader, seen: Callable[[int, int], None]) -> None:
        self._inner = inner
        self._seen = seen
        self._records = 0

    @property
    def partitions(self) -> Sequence[str]:
        """The names of the logs."""
        return self._inner.partitions

    @property
    def finished(self) -> bool:
        """Whether everything was delivered."""
        return self._inner.finished

    def read(self, prefer: str | None) -> list[RawBatch]:
        """What the reader gives."""
        batches = self._inner.read(prefer)
        self._records += sum(len(batch.lines) for batch in batches)
        self._seen(sum(self._inner.positions().values()), self._records)
        return batches

    def positions(self) -> dict[str, int]:
        """The next position of each partition."""
        return self._inner.positions()

    def lag(self) -> dict[str, int]:
        """How many records are not read yet."""
        return self._inner.lag()

    @property
    def waiting(self) -> Waiting | None:
        """Why nothing can be read now."""
        return self._inner.waiting

    def unreachable(self) -> Mapping[str, Unreachable]:
        """The partitions that do not answer now."""
        return self._inner.unreachable()

    def close(self) -> None:
        """Give files and connections back."""
        self._inner.close()


class PacedReader:
    """Spreads ``records`` evenly over ``seconds``, for people to watch. ``clock``: monotonic seconds."""

    def __init__(
        self, inner: Reader, records: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._inner = inner
        self._rate = records / seconds
        self._clock = clock
        self._began: float | None = None
        self._delivered = 0
        self._ahead: dict[str, deque[RawBatch]] = {}

    @property
    def partitions(self) -> Sequence[str]:
        """The names of the logs."""
        return self._inner.partitions

    @property
    def finished(self) -> bool:
        """Whether everything was delivered."""
        return self._inner.finished and not self._ahead

    def read(self, prefer: str | None) -> list[RawBatch]:
        """A few records of the preferred partition, or none while it is not yet time for more."""
        now = self._clock()
        if self._began is None:
            self._began = now
        due = int((now - self._began) * self._rate) - self._delivered
        if due <= 0:
            return []
        if prefer not in self._ahead:
            for batch in self._inner.read(prefer):
                self._ahead.setdefault(batch.partition, deque()).append(batch)
        if not self._ahead:
            return []
        batch = self._take(prefer if prefer in self._ahead else next(iter(self._ahead)), min(due, _SLICE))
        self._delivered += len(batch.lines)
        return [batch]

    def positions(self) -> dict[str, int]:
        """The next position of each partition, where delivery stands."""
        waiting = {name: batches[0].positions for name, batches in self._ahead.items()}
        return self._inner.positions() | {name: positions[0] for name, positions in waiting.items() if positions}

    def lag(self) -> dict[str, int]:
        """How many records are not read yet."""
        return self._inner.lag()

    @property
    def waiting(self) -> Waiting | None:
        """Why nothing can be read now."""
        return self._inner.waiting

    def unreachable(self) -> Mapping[str, Unreachable]:
        """The partitions that do not answer now."""
        return self._inner.unreachable()

    def close(self) -> None:
        """Give files and connections back."""
        self._inner.close()

    def _take(self, name: str, count: int) -> RawBatch:
        """At most ``count`` records of what was read ahead."""
        batches = self._ahead[name]
        batch = batches.popleft()
        if len(batch.lines) > count:
            batches.appendleft(part(batch, count, len(batch.lines)))
            return part(batch, 0, count)
        if not batches:
            del self._ahead[name]
        return batch


def part(batch: RawBatch, first: int, end: int) -> RawBatch:
    """Records ``first`` to ``end`` of a batch; only with its last record is the log at its end."""
    is_last = end >= len(batch.lines)
    return RawBatch(
        partition=batch.partition,
        topic=batch.topic,
        lines=batch.lines[first:end],
        positions=batch.positions[first:end],
        arrivals=None if batch.arrivals is None else batch.arrivals[first:end],
        headers={index - first: each for index, each in (batch.headers or {}).items() if first <= index < end} or None,
        end_confirmed_at=batch.end_confirmed_at if is_last else 0,
        finished=batch.finished and is_last,
    )
