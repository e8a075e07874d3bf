"""What a run and its owner tell each other: stop, why it failed, and whether it is ready."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType


class Control:
    """Shared by the parts of one run. The first failure is kept: Bytewax reports only that there was one."""

    def __init__(self) -> None:
        self._stop = Event()
        self.failure: BaseException | None = None
        self.reading = False

    def stop(self) -> None:
        """Ask the source to end after what it has read."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether the run was asked to end."""
        return self._stop.is_set()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Keep the first exception that leaves Python."""
        try:
            yield
        except StopIteration:
            raise
        except BaseException as error:
            if self.failure is None:
                self.failure = error
            raise

    def readiness(self) -> tuple[bool, str]:
        """Whether the run takes events, and if not, why."""
        if self.failure is not None:
            return False, f"failed: {self.failure}"
        if self.stopping:
            return False, "stopping"
        return (True, "reading") if self.reading else (False, "starting")

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
