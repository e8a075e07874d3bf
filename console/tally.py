"""Counts what a run writes, for its summary."""

from collections import Counter
from collections.abc import Sequence

from events.records import (
    AlertRecord,
    DeadLetterRecord,
    DiffRecord,
    HoldRecord,
    LateRecord,
    Record,
    VersionRecord,
)
from sinks.sink import Sink


class Tally(Sink):
    """A sink that keeps nothing but counts. ``first`` holds the first opened alert of each rule."""

    def __init__(self) -> None:
        self.alerts: Counter[tuple[str, str]] = Counter()  # rule, step
        self.levels: Counter[tuple[str, str]] = Counter()  # rule, level with which it opened
        self.first: dict[str, AlertRecord] = {}
        self.dead_letters: Counter[str] = Counter()
        self.holds: Counter[str] = Counter()
        self.diffs: Counter[str] = Counter()
        self.versions = 0
        self.late = 0

    def write(self, records: Sequence[Record]) -> None:
        """Count the records."""
        for record in records:
            match record:
                case DiffRecord(target=target):
                    self.diffs[target] += 1
                case VersionRecord():
                    self.versions += 1
                case AlertRecord(rule=rule, step=step, level=level):
                    self.alerts[rule, step] += 1
                    if step == "opened":
                        self.levels[rule, level] += 1
                        self.first.setdefault(rule, record)
                case HoldRecord(status=status):
                    self.holds[status] += 1
                case LateRecord():
                    self.late += 1
                case DeadLetterRecord(reason=reason):
                    self.dead_letters[reason] += 1
                case _:
                    pass

    def flush(self) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Nothing to let go of."""

    def by_rule(self) -> dict[str, dict[str, int]]:
        """Alert steps: rule -> step -> count."""
        counts: dict[str, dict[str, int]] = {}
        for (rule, step), count in sorted(self.alerts.items()):
            counts.setdefault(rule, {})[step] = count
        return counts
