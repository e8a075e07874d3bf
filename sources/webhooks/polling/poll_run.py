"""All polls in turn, each at its interval; one that fails is asked again after growing pauses."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from sources.webhooks.counting import Counting
from sources.webhooks.patient_producer import Headers
from sources.webhooks.polling.client import PollError
from sources.webhooks.polling.cursors import Cursor, CursorFiles
from sources.webhooks.polling.poller import Poller
from sources.webhooks.raw import RawRecord

log: Final = logging.getLogger("orderpulse.intake.poll")
_LONGEST_PAUSE_MS = 3_600_000


class Writer(Protocol):
    """Where records go."""

    def produce(self, topic: str, key: str | bytes | None, value: bytes, headers: Headers) -> None:
        """Queue a record."""

    def flush(self) -> bool:
        """Return when all are kept; False when that was given up."""
        ...


class Scheduled:
    """One poll with its interval, and where it begins the first time."""

    def __init__(self, name: str, poller: Poller, interval_ms: int, start_ms: int | None) -> None:
        self.name = name
        self.poller = poller
        self.interval_ms = interval_ms
        self.start_ms = start_ms
        self.due_ms = 0
        self.failures = 0

    def succeeded(self, now_ms: int) -> None:
        """Ask again after the interval."""
        self.failures = 0
        self.due_ms = now_ms + self.interval_ms

    def failed(self, now_ms: int, retry_after: float | None) -> None:
        """Ask again after a pause that grows, or as long as the platform asks for."""
        pause = min(self.interval_ms * 2 ** min(self.failures, 20), max(_LONGEST_PAUSE_MS, self.interval_ms))
        self.failures += 1
        self.due_ms = now_ms + max(pause, round((retry_after or 0) * 1000))


class PollRun:
    """Runs polls until ``stopping`` says so."""

    def __init__(
        self,
        polls: Sequence[Scheduled],
        cursors: CursorFiles,
        producer: Writer,
        counts: Counting,
        stopping: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._polls = polls
        self._cursors = cursors
        self._producer = producer
        self._counts = counts
        self._stopping = stopping
        self._clock = clock

    def run(self, pause: Callable[[float], object]) -> None:
        """Poll on and on; ``pause`` waits for some seconds, or less when the run is to end."""
        while not self._stopping():
            now_ms = self._now_ms()
            for poll in self._polls:
                if poll.due_ms <= now_ms and not self._stopping():
                    self.once(poll)
            pause(max(0.1, (min(poll.due_ms for poll in self._polls) - self._now_ms()) / 1000))

    def once(self, poll: Scheduled) -> int | None:
        """One poll now: how many records were new, or None when it failed."""
        now_ms = self._now_ms()
        cursor = self._cursors.load(poll.name) or Cursor(poll.start_ms if poll.start_ms is not None else now_ms)
        self._cursors.save(poll.name, cursor)
        try:
            count = poll.poller.poll(cursor, now_ms, self._keep, lambda moved: self._cursors.save(poll.name, moved))
        except PollError as error:
            poll.failed(self._now_ms(), error.retry_after)
            self._counts.add("orderpulse_intake_poll_failures_total", poll=poll.name)
            log.warning("poll %s: %s; asked again in %d s", poll.name, error.what, (poll.due_ms - now_ms) // 1000)
            return None
        poll.succeeded(self._now_ms())
        self._counts.add("orderpulse_intake_polled_records_total", count, poll=poll.name)
        self._counts.set("orderpulse_intake_poll_success_seconds", self._now_ms() / 1000, poll=poll.name)
        return count

    def _keep(self, records: Sequence[RawRecord]) -> bool:
        for record in records:
            self._producer.produce(record.topic, record.key, record.value, list(record.headers))
        return self._producer.flush()

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)
