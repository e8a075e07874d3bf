"""How long to wait before the next restart, and when to give up."""

from collections import deque

from config.settings import SupervisorSettings


class Pauses:
    """Counts restarts. Times are seconds of a clock that never goes back."""

    def __init__(self, settings: SupervisorSettings) -> None:
        self._settings = settings
        self._window = settings.restart_window / 1000
        self._restarts: deque[float] = deque()
        self._pause = settings.first_pause / 1000

    def next(self, now: float) -> float | None:
        """Seconds to wait before a restart; None when there were too many within the window."""
        if self._restarts and now - self._restarts[-1] > self._window:
            self._pause = self._settings.first_pause / 1000
        while self._restarts and now - self._restarts[0] > self._window:
            self._restarts.popleft()
        if len(self._restarts) >= self._settings.restarts:
            return None
        self._restarts.append(now)
        pause = self._pause
        self._pause = min(2 * pause, self._settings.longest_pause / 1000)
        return pause
