"""Event time of one partition, judged from its log alone: watermark, late events, events from the future."""

from typing import Final

from msgspec import Struct

from config.settings import TimeSettings

BEFORE_TIME: Final = -(2**62)
AFTER_TIME: Final = 2**62


class ClockSnapshot(Struct, frozen=True):
    """Where a partition's event time stands. Whether its log has ended is for whoever reads it to say again."""

    largest: int
    last_applied: int
    idle_until: int


class PartitionClock:
    """The clock of one partition.

    ``largest`` is the largest event time of its records, ``last_applied`` the latest time at which one is applied.
    ``bound`` is the earliest event time that a record of this partition may still be applied at, given what the log
    holds so far; every record to come is applied at ``bound`` or later, so the watermark stands one millisecond
    before it. Lateness is a property of the log: it does not depend on when or how fast the log is read.
    ``behind``, ``gap`` and ``ahead`` (ms) are how far a record may be behind the largest event time, behind its
    arrival, and ahead of its arrival.
    """

    def __init__(self, settings: TimeSettings) -> None:
        self.behind = int(settings.out_of_orderness)
        self.gap = int(settings.idle_delay)
        self.ahead = int(settings.future_tolerance)
        self._max_advance = int(settings.max_advance)
        self._earliest, self._latest = int(settings.earliest), int(settings.latest)
        self.forced = 0
        self.largest = BEFORE_TIME
        self.last_applied = BEFORE_TIME
        self.idle_until = BEFORE_TIME
        self.finished = False

    def judge(self, time: int, arrival: int | None) -> int | None:
        """The bound of a record with this event time: late when its time is older; the clock moves on.

        None when the record has no place in time: outside of ``earliest`` and ``latest``, or from the future. Such a
        record does not move the clock.
        """
        largest = self.largest
        bound = largest - self.behind
        if arrival is not None and arrival - self.gap > bound:
            bound = arrival - self.gap
        if bound < self.idle_until:
            bound = self.idle_until
            self.forced += time < bound
        if time > largest:
            if not self._earliest <= time < self._latest or time > self._farthest(arrival):
                return None
            self.largest = time
        if time < bound:
            if time < self._earliest:
                return None
            self.last_applied = max(self.last_applied, bound)
        return bound

    def ceiling(self, *, arrives: bool) -> int:
        """The latest event time of which ``judge`` says nothing but that it is the largest now; for those above it.

        ``arrives``: if its arrival is known, and neither ``gap`` behind it nor ``ahead`` of it.
        """
        if self.largest < self.idle_until or self.largest == BEFORE_TIME:
            return BEFORE_TIME
        farthest = AFTER_TIME if arrives else self.largest + self._max_advance
        return min(farthest, self._latest - 1)

    def place(self, time: int, arrival: int | None) -> int | None:
        """The same for a record that time does not go by, such as a rule document: the clock stays where it is.

        So a document published today does not drag the end of last week's events along.
        """
        bound = max(self.largest - self.behind, self.idle_until)
        if arrival is not None:
            bound = max(bound, arrival - self.gap)
        if not self._earliest <= time < self._latest or time > self._farthest(arrival):
            return None
        self.forced += time < self.idle_until
        return bound

    def _farthest(self, arrival: int | None) -> int:
        if arrival is not None:
            return arrival + self.ahead
        return AFTER_TIME if self.largest == BEFORE_TIME else self.largest + self._max_advance

    def idle(self, end_confirmed_at: int) -> None:
        """The log held nothing more at that wall time: time goes on without events."""
        self.idle_until = max(self.idle_until, end_confirmed_at - self.gap)

    @property
    def watermark(self) -> int:
        """Every record still to come is applied later than this."""
        if self.finished:
            return AFTER_TIME
        return max(self.largest - self.behind, self.idle_until) - 1

    def snapshot(self) -> ClockSnapshot:
        """Where the clock stands."""
        return ClockSnapshot(self.largest, self.last_applied, self.idle_until)

    def restore(self, snapshot: ClockSnapshot) -> None:
        """Go on from a snapshot."""
        self.largest, self.last_applied = snapshot.largest, snapshot.last_applied
        self.idle_until = snapshot.idle_until
