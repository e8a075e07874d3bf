"""Where the records of a run go: all its sinks, and the metrics that count them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from time import monotonic, perf_counter

from dataflows.alert_latency import AlertLatency
from events.records import AlertRecord, DeadLetterRecord, DiffRecord, FeedbackTotals, HoldRecord, Record, Step
from sinks.feedback import tell_feedback
from sinks.metrics import Metrics
from sinks.sink import Sink, SinkError


class Outlet:
    """Writes every record to every sink; each keeps what is for it.

    ``mark`` is told how far in event time everything was written, not more often than every ``mark_every`` seconds: a
    live view need not know it at each step. ``latency``: of the alerts, where a run is live.
    """

    first: Mapping[str, int] | None = None
    """Where the sinks stood before the first run on a recovery store, for a start that finds nothing kept yet."""

    on_dead_letter: Callable[[DeadLetterRecord], None] | None = None
    """Who wants to know of each dead letter."""

    def __init__(
        self,
        sinks: Sequence[Sink],
        metrics: Metrics,
        mark: Callable[[int], None] | None = None,
        latency: AlertLatency | None = None,
        *,
        mark_every: float = 0.0,
    ) -> None:
        self._sinks = sinks
        self._metrics = metrics
        self._mark = mark
        self._mark_every = mark_every
        self._next_mark = 0.0
        self.latency = latency
        self._begun = False
        self._positions: dict[str, int] | None = None
        self._settled = False
        self._open_alerts: Counter[str] = Counter()
        self._failures: list[SinkError] = []
        self._closed = False

    def begin(self, stored: Callable[[], Mapping[str, int] | None]) -> None:
        """Once, before the first record: have the sinks leave out what an earlier run wrote behind its last snapshot.

        ``stored`` gives the positions of that snapshot. Raises SinkError.
        """
        if self._begun:
            return
        self._begun = True
        positions = stored()
        if positions is None:
            positions = self.first
        if positions is not None:
            for sink in self._sinks:
                self._guarded(sink, lambda sink=sink: sink.resume(positions))  # type: ignore[misc]

    def write(self, records: Sequence[Record]) -> None:
        """Hand records to all sinks; raises SinkError."""
        self._positions, self._settled = None, False
        began = 0 if self.latency is None else self.latency.now()
        for sink in self._sinks:
            start = perf_counter()
            self._guarded(sink, lambda sink=sink: sink.write(records))  # type: ignore[misc]
            self._metrics.observe("orderpulse_sink_write_seconds", perf_counter() - start, sink=type(sink).__name__)
        earliest = self._count(records)
        if self.latency is not None and earliest is not None:
            self.latency.written(earliest, began)

    def positions(self) -> dict[str, int]:
        """Where the sinks stand now, or stood a little before. Raises SinkError."""
        if self._positions is None:
            found: dict[str, int] = {}
            for sink in self._sinks:
                self._guarded(sink, lambda sink=sink: found.update(sink.positions()))  # type: ignore[misc]
            self._positions = found
        return self._positions

    def settle(self) -> None:
        """Wait until all is acknowledged. Raises SinkError."""
        if not self._settled:
            for sink in self._sinks:
                self._guarded(sink, sink.flush)
            self._settled = True

    def mark(self, watermark: int) -> None:
        """All records up to this watermark (epoch ms) have been handed over. Raises SinkError."""
        for sink in self._sinks:
            sink.passed(watermark)
        if self._mark is not None and (now := monotonic()) >= self._next_mark:
            self._next_mark = now + self._mark_every
            self._mark(watermark)
        if self.latency is not None:
            self.latency.passed(watermark)

    def waiting(self) -> dict[str, tuple[int, str]]:
        """The sinks that stand still now: since when (epoch ms) and why. From any thread."""
        found = {type(sink).__name__: sink.waiting for sink in self._sinks}
        return {name: (each.since_ms, each.reason) for name, each in found.items() if each is not None}

    def close(self) -> None:
        """Flush and close all sinks; the first error is raised after all were tried."""
        if self._closed:
            return
        self._closed = True
        errors = []
        for sink in self._sinks:
            try:
                self._guarded(sink, sink.close)
            except SinkError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _guarded(self, sink: Sink, act: Callable[[], object]) -> None:
        try:
            act()
        except SinkError as error:
            self._note_failure(type(sink).__name__, error)
            raise

    def _note_failure(self, sink: str, error: SinkError) -> None:
        """Count an error once: a sink that has failed raises the same one again when it is closed."""
        if error not in self._failures:
            self._failures.append(error)
            self._metrics.add("orderpulse_sink_errors_total", sink=sink)

    def _count(self, records: Sequence[Record]) -> int | None:
        """Once per batch and label set: looking a label set up costs more than counting a record.

        Returns the earliest moment that an alert speaks of.
        """
        earliest: int | None = None
        alerts: Counter[tuple[str, Step, str]] = Counter()
        diffs: Counter[str] = Counter()
        for record in records:
            if isinstance(record, DiffRecord):
                diffs[record.target] += 1
            elif isinstance(record, AlertRecord):
                alerts[record.rule, record.step, record.severity] += 1
                earliest = record.time if earliest is None else min(earliest, record.time)
                self._count_open(record.rule, record.step)
            elif isinstance(record, HoldRecord):
                self._metrics.add("orderpulse_holds_total", status=record.status)
            elif isinstance(record, FeedbackTotals):
                tell_feedback(self._metrics, record)
            elif isinstance(record, DeadLetterRecord):
                self._metrics.add("orderpulse_dead_letters_total", reason=record.reason)
                if self.on_dead_letter is not None:
                    self.on_dead_letter(record)
        for (rule, step, severity), number in alerts.items():
            self._metrics.add("orderpulse_alerts_total", number, rule=rule, step=step, severity=severity)
        for target, number in diffs.items():
            self._metrics.add("orderpulse_diffs_total", number, target=target)
        return earliest

    def _count_open(self, rule: str, step: Step) -> None:
        change = {"opened": 1, "resolved": -1}.get(step, 0)
        if change:
            self._open_alerts[rule] += change
            self._metrics.set("orderpulse_open_alerts", self._open_alerts[rule], rule=rule)
