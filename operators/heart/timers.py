"""Timers of one key group, driven by its watermark."""

from heapq import heappop, heappush

from msgspec import Struct

Due = tuple[int, str, int]


class TimersSnapshot(Struct, frozen=True):
    """Per slot: key -> due."""

    armed: list[dict[str, int]]


class Timers:
    """At most one timer per (slot, key): the earliest that was asked for.

    A timer that is due at ``d`` fires before any event with time ``d`` or later. Arming is lazy: a due moment that
    moves later leaves the earlier timer in place, and whoever is woken looks whether there is something to do and arms
    again. That keeps one heap entry per key instead of one per change.
    """

    def __init__(self, slots: int) -> None:
        self.heap: list[Due] = []
        self.armed: list[dict[str, int]] = [{} for _ in range(slots)]

    def arm(self, slot: int, key: str, due: int) -> None:
        """Wake ``slot`` for ``key`` at ``due``, unless it will be woken earlier anyway."""
        armed = self.armed[slot]
        current = armed.get(key)
        if current is None or due < current:
            armed[key] = due
            heappush(self.heap, (due, key, slot))

    def pop(self) -> Due | None:
        """Take the earliest heap entry; None when it was replaced by an earlier one and means nothing any more."""
        entry = heappop(self.heap)
        due, key, slot = entry
        armed = self.armed[slot]
        if armed.get(key) != due:
            return None
        del armed[key]
        return entry

    def snapshot(self) -> TimersSnapshot:
        """The armed timers; stale heap entries are left out."""
        return TimersSnapshot(armed=[dict(slot) for slot in self.armed])

    def restore(self, snapshot: TimersSnapshot) -> None:
        """Arm what a snapshot held."""
        self.heap.clear()
        for slot, armed in enumerate(snapshot.armed):
            self.armed[slot].clear()
            for key, due in armed.items():
                self.arm(slot, key, due)
