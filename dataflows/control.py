"""What a run and its owner tell each other: stop, why it failed, and whether it is ready."""

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from threading import Event
from types import FrameType, TracebackType

from sinks.metrics import Metrics
from sources.reader import Reader

WaitingParts = Callable[[], Mapping[str, tuple[int, str]]]


class _Guard:
    """Entered at every call of the engine: a generator would take longer than most of these calls."""

    def __init__(self, control: "Control") -> None:
        self._control = control

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, StopIteration) and self._control.failure is None:
            self._control.failure = error


class Control:
    """Shared by the parts of one run. The first failure is kept: Bytewax reports only that there was one.

    ``stop_seconds``: how long after it was asked to stop a part may still wait for a sink that is down.
    """

    def __init__(self, stop_seconds: float = 10.0) -> None:
        self._stop = Event()
        self._stop_seconds = stop_seconds
        self._stopped_at: float | None = None
        self._wrap: Callable[[Reader], Reader] | None = None
        self.failure: BaseException | None = None
        self.starting = ""
        self.begun = False
        self.reader: Reader | None = None
        self.waiting: WaitingParts = dict
        self._told_waiting: set[str] = set()
        self._guard = _Guard(self)

    def stop(self) -> None:
        """Ask the source to end after what it has read."""
        self._stopped_at = self._stopped_at or time.monotonic()
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether the run was asked to end."""
        return self._stop.is_set()

    def give_up(self) -> bool:
        """Whether the time is over in which a part may still wait for what is down."""
        return self._stopped_at is not None and time.monotonic() - self._stopped_at > self._stop_seconds

    def wrap_readers(self, wrap: Callable[[Reader], Reader]) -> None:
        """Have somebody watch or pace what is read."""
        self._wrap = wrap

    def adopt(self, reader: Reader) -> Reader:
        """A reader was opened: the run is reading. Whoever owns the run closes it."""
        self.reader = reader
        return reader if self._wrap is None else self._wrap(reader)

    def guarded(self) -> AbstractContextManager[None]:
        """Keep the first exception that leaves Python."""
        return self._guard

    def readiness(self) -> tuple[bool, str]:
        """Whether the run takes events, and if not, why."""
        if self.failure is not None:
            return False, f"failed: {self.failure}"
        if self.stopping:
            return False, "stopping"
        if self.reader is None:
            return False, f"starting: {self.starting}" if self.starting else "starting"
        waiting = self._all_waiting()
        if waiting:
            return False, "; ".join(f"{part} waits: {reason}" for part, (_, reason) in sorted(waiting.items()))
        return True, "reading"

    def tell_waiting(self, metrics: Metrics) -> None:
        """For how long each part has stood still, as a metric; asked from other threads while the flow stands."""
        waiting = self._all_waiting()
        now = time.time_ns() // 1_000_000
        for part in self._told_waiting | waiting.keys():
            seconds = max(0, now - waiting[part][0]) / 1000 if part in waiting else 0.0
            metrics.set("orderpulse_waiting_seconds", seconds, part=part)
        self._told_waiting |= waiting.keys()

    def _all_waiting(self) -> dict[str, tuple[int, str]]:
        waiting = dict(self.waiting())
        if self.reader is not None and self.reader.waiting is not None:
            waiting["source"] = (self.reader.waiting.since_ms, self.reader.waiting.reason)
        return waiting

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the run in order; the same signal again ends it at once."""

        def handle(number: int, frame: FrameType | None) -> None:
            if self.stopping:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            self.stop()

        before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
