"""When each event reaches its log, and the lines of all logs in that order."""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from sources.simulation.chain import MINUTE
from sources.simulation.plan import DAY

BUCKET = MINUTE


class Pending(NamedTuple):
    """An encoded event that waits for its arrival, ordered by that.

    ``late_until``: for an event that is to come late, the last ms at which it may; None for one on time.
    """

    arrival: int
    number: int
    log: int
    time: int
    data: bytes
    late_until: int | None
    is_copy: bool


class Arrivals:
    """Events wait here until nothing can arrive before them; few are here at once."""

    def __init__(self, first: int, logs: int, out_of_orderness: int) -> None:
        self._waiting: dict[int, list[Pending]] = {}
        self._next_bucket = first // BUCKET
        self._numbered = 0
        self._out_of_orderness = out_of_orderness
        self._largest_time = [0] * logs

    def add(
        self, arrival: int, log: int, time: int, data: bytes, *, late_until: int | None = None, is_copy: bool = False
    ) -> None:
        """An event will arrive; never before what has been released."""
        self._numbered += 1
        pending = Pending(arrival, self._numbered, log, time, data, late_until, is_copy)
        bucket = arrival // BUCKET
        waiting = self._waiting.get(bucket)
        if waiting is None:
            self._waiting[bucket] = [pending]
        else:
            waiting.append(pending)

    def release(self, until: int) -> Iterator[Pending]:
        """What arrives before the ms ``until``, rounded down to a whole bucket, in the order of arrival."""
        while self._next_bucket < until // BUCKET:
            bucket = self._waiting.pop(self._next_bucket, None)
            self._next_bucket += 1
            if bucket is not None:
                bucket.sort()
                yield from filter(self._arrives, bucket)

    def release_all(self) -> Iterator[Pending]:
        """What is left."""
        while self._waiting:
            yield from self.release((max(self._waiting) + 1) * BUCKET)

    def _arrives(self, pending: Pending) -> bool:
        """Whether the event arrives now; one that is to come late waits until its log has gone on far enough."""
        log, time, late_until = pending.log, pending.time, pending.late_until
        if late_until is not None and not self.is_late(pending) and pending.arrival + BUCKET <= late_until:
            self.add(pending.arrival + BUCKET, log, time, pending.data, late_until=late_until)
            return False
        return True

    def arrived(self, pending: Pending) -> None:
        """The event now stands in its log."""
        log, time = pending.log, pending.time
        self._largest_time[log] = max(self._largest_time[log], time)

    def is_late(self, pending: Pending) -> bool:
        """Whether the log, as it stands, is past the event by more than its out-of-orderness."""
        return pending.time < self._largest_time[pending.log] - self._out_of_orderness


class Debt:
    """Doles out a share of many things at random moments, so that the share comes out exactly."""

    def __init__(self, share: float, rng: Random) -> None:
        self._share = share
        self._rng = rng
        self._owed = 0.0

    def grow(self) -> None:
        """One more thing of which the share is owed."""
        self._owed += self._share

    def is_due(self) -> bool:
        """Whether one is to be given now."""
        return self._owed >= 1 and self._rng.random() < 0.5

    def pay(self) -> None:
        """One was given."""
        self._owed -= 1


def copy_delay(rng: Random, duplicate_horizon: int) -> int:
    """After how many ms a line comes again: at once, or up to a day later; well within the horizon."""
    longest = min(DAY, duplicate_horizon // 2)
    if rng.random() < 0.5 or longest <= 2 * BUCKET:
        return 0
    return 2 * BUCKET + int(rng.random() * (longest - 2 * BUCKET))
