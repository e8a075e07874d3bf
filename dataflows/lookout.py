"""Looks, about once a second, how the flow itself is doing: what does not answer, what waits, how far it is behind."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from config.settings import Settings
from dataflows.intake import Intake
from events.records import DeadLetterRecord, Record
from operators.heart.lateness import BEFORE_TIME
from operators.platform.watch import PlatformWatch
from sources.reader import Reader

_EVERY_SECONDS: Final = 1.0


class Lookout:
    """Tells the platform watch of one process what there is to see, and lets time pass by what does not answer.

    ``now`` is wall time in epoch ms; ``waiting`` names the sinks that stand still. ``live``: wall time says something
    about this input.
    """

    def __init__(
        self,
        settings: Settings,
        now: Callable[[], int],
        waiting: Callable[[], Mapping[str, tuple[int, str]]],
        *,
        name: str = "flow",
        live: bool = True,
    ) -> None:
        self.watch = PlatformWatch(settings.platform, name)
        self._leave_out_after = int(settings.platform.unreachable.leave_out_after)
        self._now = now
        self._waiting = waiting
        self._live = live
        self._next = 0.0
        self.left_out: list[str] = []

    def look(self, reader: Reader, intake: Intake, *, now_for_sure: bool = False) -> list[Record] | None:
        """The platform alerts that open or end now; None when it is too early to look again.

        Raises DeadLetterLimitError.
        """
        if time.monotonic() < self._next and not now_for_sure:
            return None
        self._next = time.monotonic() + _EVERY_SECONDS
        now = self._now()
        unreachable = reader.unreachable()
        if self._leave_out_after:
            limit = now - self._leave_out_after
            self.left_out = [name for name, each in unreachable.items() if each.since_ms <= limit]
            intake.leave_out(self.left_out)
        self.watch.unreachable({name: (each.since_ms, each.cause) for name, each in unreachable.items()})
        waiting = dict(self._waiting())
        if reader.waiting is not None:
            waiting["source"] = (reader.waiting.since_ms, reader.waiting.reason)
        self.watch.waiting(waiting)
        if self._live:
            lag = reader.lag()
            newest = intake.router.last_applied
            self.watch.lag(lag, max(0, now - newest) if any(lag.values()) and newest > BEFORE_TIME else 0)
        return list(self.watch.judge(now))

    def read(self, partition: str, records: int) -> None:
        """So many records of a partition were given to the flow."""
        self.watch.read(partition, records)

    def dead_letter(self, letter: DeadLetterRecord) -> None:
        """One of them became a dead letter."""
        self.watch.dead_letter(letter)

    def rules_published(self, rules: Iterable[str]) -> None:
        """Documents of these rules came and were right."""
        self.watch.rules_published(rules)

    def snapshot(self) -> bytes:
        """The open platform alerts."""
        return self.watch.snapshot()

    def restore(self, snapshots: Iterable[bytes], partitions: Collection[str]) -> None:
        """Take over open platform alerts, so that they end here; ``partitions`` are those of this process."""
        for snapshot in snapshots:
            self.watch.restore(snapshot, partitions)
