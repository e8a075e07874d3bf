"""Deliveries of the last minutes: a repetition waits for the first, or is answered at once, and is not kept twice."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

Outcome = asyncio.Future[None]


class Remembered:
    """Identity -> whether that delivery is kept, for a time and up to a number. For one event loop."""

    def __init__(self, window_ms: int, most: int, clock_ms: Callable[[], int]) -> None:
        self._window_ms = window_ms
        self._most = most
        self._clock_ms = clock_ms
        self._known: OrderedDict[bytes, tuple[int, Outcome]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, identity: bytes) -> Outcome | None:
        """The outcome of the first of its kind within the window; None when there is none, or it failed."""
        self._forget()
        found = self._known.get(identity)
        if found is None:
            return None
        outcome = found[1]
        if outcome.done() and (outcome.cancelled() or outcome.exception() is not None):
            del self._known[identity]
            return None
        return outcome

    def note(self, identity: bytes, outcome: Outcome) -> None:
        """Remember a delivery from now on."""
        self._known[identity] = (self._clock_ms(), outcome)
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    def _forget(self) -> None:
        oldest = self._clock_ms() - self._window_ms
        while self._known:
            identity, (since, _) = next(iter(self._known.items()))
            if since > oldest:
                return
            del self._known[identity]
