"""Where the records of a run go: all its sinks, and the metrics that count them."""

from collections import Counter
from collections.abc import Callable, Sequence
from time import perf_counter

from events.records import AlertRecord, DeadLetterRecord, DiffRecord, HoldRecord, Record, Step
from sinks.metrics import Metrics
from sinks.sink import Sink, SinkError


class Outlet:
    """Writes every record to every sink; each keeps what is for it."""

    def __init__(self, sinks: Sequence[Sink], metrics: Metrics, mark: Callable[[int], None] | None = None) -> None:
        self._sinks = sinks
        self._metrics = metrics
        self._mark = mark
        self._open_alerts: Counter[str] = Counter()
        self._failures: list[SinkError] = []
        self._closed = False

    def write(self, records: Sequence[Record]) -> None:
        """Hand records to all sinks; raises SinkError."""
        for sink in self._sinks:
            name = type(sink).__name__
            start = perf_counter()
            try:
                sink.write(records)
            except SinkError as error:
                self._note_failure(name, error)
                raise
            self._metrics.observe("orderpulse_sink_write_seconds", perf_counter() - start, sink=name)
        self._count(records)

    def mark(self, watermark: int) -> None:
        """All records up to this watermark (epoch ms) have been handed over."""
        if self._mark is not None:
            self._mark(watermark)

    def close(self) -> None:
        """Flush and close all sinks; the first error is raised after all were tried."""
        if self._closed:
            return
        self._closed = True
        errors = []
        for sink in self._sinks:
            try:
                sink.close()
            except SinkError as error:
                self._note_failure(type(sink).__name__, error)
                errors.append(error)
        if errors:
            raise errors[0]

    def _note_failure(self, sink: str, error: SinkError) -> None:
        """Count an error once: a sink that has failed raises the same one again when it is closed."""
        if error not in self._failures:
            self._failures.append(error)
            self._metrics.add("orderpulse_sink_errors_total", sink=sink)

    def _count(self, records: Sequence[Record]) -> None:
        """Once per batch and label set: looking a label set up costs more than counting a record."""
        alerts: Counter[tuple[str, Step, str]] = Counter()
        diffs: Counter[str] = Counter()
        for record in records:
            if isinstance(record, DiffRecord):
                diffs[record.target] += 1
            elif isinstance(record, AlertRecord):
                alerts[record.rule, record.step, record.severity] += 1
                self._count_open(record.rule, record.step)
            elif isinstance(record, HoldRecord):
                self._metrics.add("orderpulse_holds_total", status=record.status)
            elif isinstance(record, DeadLetterRecord):
                self._metrics.add("orderpulse_dead_letters_total", reason=record.reason)
        for (rule, step, severity), number in alerts.items():
            self._metrics.add("orderpulse_alerts_total", number, rule=rule, step=step, severity=severity)
        for target, number in diffs.items():
            self._metrics.add("orderpulse_diffs_total", number, target=target)

    def _count_open(self, rule: str, step: Step) -> None:
        change = {"opened": 1, "resolved": -1}.get(step, 0)
        if change:
            self._open_alerts[rule] += change
            self._metrics.set("orderpulse_open_alerts", self._open_alerts[rule], rule=rule)
