"""Which events were seen before, by (source, id), for at least a horizon of event time."""

from msgspec import Struct


class DuplicatesSnapshot(Struct, frozen=True):
    """Generation number and source -> ids of the two newest generations."""

    generation: int
    current: dict[str, set[str]]
    previous: dict[str, set[str]]


class Duplicates:
    """Remembers ids in generations of one horizon each, aligned to event time.

    An id is remembered for one horizon at least and two at most; which of the two depends on event times alone, so live
    and replay forget alike. Dropping a generation whole keeps the cost per event at two look-ups.
    """

    def __init__(self, horizon: int) -> None:
        self._horizon = horizon
        self._generation = 0
        self._current: dict[str, set[str]] = {}
        self._previous: dict[str, set[str]] = {}

    def seen(self, source: str, event_id: str, at: int) -> bool:
        """Whether the event was seen before; if not, it is remembered. ``at`` must not go back."""
        generation = at // self._horizon
        if generation != self._generation:
            self._turn(generation)
        current = self._current.get(source)
        if current is None:
            current = self._current[source] = set()
        elif event_id in current:
            return True
        previous = self._previous.get(source)
        if previous is not None and event_id in previous:
            return True
        current.add(event_id)
        return False

    def _turn(self, generation: int) -> None:
        self._previous = self._current if generation == self._generation + 1 else {}
        self._current = {}
        self._generation = generation

    def snapshot(self) -> DuplicatesSnapshot:
        """The ids of both generations."""
        return DuplicatesSnapshot(self._generation, self._current, self._previous)

    def restore(self, snapshot: DuplicatesSnapshot) -> None:
        """Take over what a snapshot held."""
        self._generation = snapshot.generation
        self._current = snapshot.current
        self._previous = snapshot.previous
