"""How a sink waits for what is away: with growing pauses, without an end, and so that others can see it."""

import time
from collections.abc import Callable

from sinks.sink import SinkError, Waiting

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_SLICE = 0.1  # a run that is to end waits no longer than that

_REMEDY = "put it right and start again: records since the last snapshot are written once more"


def never() -> bool:
    """The run was not asked to stop."""
    return False


class Patience:
    """Waits for one server, disk or the like. ``waiting`` is read from other threads.

    ``give_up`` turns true when the run was asked to stop and the time for stopping in order is over; a wait then ends
    with a SinkError.
    """

    def __init__(self, sink: str, give_up: Callable[[], bool] = never) -> None:
        self._sink = sink
        self._give_up = give_up
        self._pause = _FIRST_PAUSE
        self.waiting: Waiting | None = None

    def pause(self, reason: str) -> None:
        """Wait a little, longer each time until ``over``. Raises SinkError when it is time to give up."""
        rest = self._pause
        self._pause = min(2 * rest, _LONGEST_PAUSE)
        while rest > 0:
            self.held_up(reason)
            time.sleep(min(rest, _SLICE))
            rest -= _SLICE

    def held_up(self, reason: str, seconds: float = 0.0) -> None:
        """Note that nothing has gone on for ``seconds`` already. Raises SinkError when it is time to give up."""
        now_ms = round(time.time() * 1000)
        since_ms = self.waiting.since_ms if self.waiting else now_ms - round(seconds * 1000)
        self.waiting = Waiting(since_ms, reason)
        if self._give_up():
            waited = max(now_ms - since_ms, 0) / 1000
            raise SinkError(self._sink, f"asked to stop after waiting for {waited:.1f} s: {reason}", _REMEDY)

    def over(self) -> None:
        """It goes on: the next wait begins with a short pause again."""
        self.waiting = None
        self._pause = _FIRST_PAUSE
