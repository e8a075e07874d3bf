"""The one registry of metric names, and what counts under them. docs/metrics.md explains each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Kind = Literal["counter", "gauge", "histogram"]
M = TypeVar("M", Counter, Gauge, Histogram)


@dataclass(frozen=True)
class MetricDefinition:
    """One metric: its full name with its base unit, and its labels. Ids never are labels."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_SECONDS_OF_DELAY = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200, 86_400)
_SECONDS_OF_LATENCY = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.4, 0.6, 1, 2.5, 5, 10, 30, 60, 300, 3_600)
_SECONDS_OF_A_WRITE = (0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)

METRICS: Final = (
    MetricDefinition("orderpulse_events_total", "counter", "Records read.", ("topic",)),
    MetricDefinition("orderpulse_events_applied_total", "counter", "Events applied to state.", ("stage",)),
    MetricDefinition(
        "orderpulse_duplicates_total", "counter", "Events left out because they were applied before.", ("stage",)
    ),
    MetricDefinition("orderpulse_late_events_total", "counter", "Late events.", ("topic",)),
    MetricDefinition(
        "orderpulse_forced_events_total",
        "counter",
        "Events applied later than a replay would: wall time had passed them.",
    ),
    MetricDefinition("orderpulse_dead_letters_total", "counter", "Dead letters.", ("reason",)),
    MetricDefinition("orderpulse_alerts_total", "counter", "Alert steps.", ("rule", "step", "severity")),
    MetricDefinition("orderpulse_open_alerts", "gauge", "Alerts that are open now.", ("rule",)),
    MetricDefinition(
        "orderpulse_rule_version",
        "gauge",
        "The version of a rule that is in effect, from the file or from a rule document.",
        ("rule",),
    ),
    MetricDefinition(
        "orderpulse_rule_alerted_orders",
        "gauge",
        "Alerts of orders that a version of a rule raised, and those reviewed, by outcome.",
        ("rule", "version", "outcome"),
    ),
    MetricDefinition(
        "orderpulse_rule_precision_ratio",
        "gauge",
        "Share of a rule version's reviewed alerts that were confirmed.",
        ("rule", "version"),
    ),
    MetricDefinition(
        "orderpulse_weak_signal_orders",
        "gauge",
        "Orders with weak signals, and failed orders, by outcome.",
        ("rule", "outcome"),
    ),
    MetricDefinition(
        "orderpulse_weak_signal_capture_ratio",
        "gauge",
        "Share of the decided orders with weak signals that turned into trouble.",
        ("rule",),
    ),
    MetricDefinition(
        "orderpulse_weak_signal_recall_ratio",
        "gauge",
        "Share of failed orders that had an alert of weak signals before.",
        ("rule",),
    ),
    MetricDefinition("orderpulse_holds_total", "counter", "Hold records.", ("status",)),
    MetricDefinition(
        "orderpulse_condition_failures_total",
        "counter",
        "Conditions of composite rules that could not be judged, by why; they counted as not met.",
        ("rule", "reason"),
    ),
    MetricDefinition("orderpulse_diffs_total", "counter", "Sync diffs.", ("target",)),
    MetricDefinition(
        "orderpulse_watermark_seconds", "gauge", "The stage's watermark, as seconds since the epoch.", ("stage",)
    ),
    MetricDefinition(
        "orderpulse_source_lag_records", "gauge", "Records of the log not read yet.", ("topic", "partition")
    ),
    MetricDefinition(
        "orderpulse_clock_jump_seconds",
        "gauge",
        "How far the host's clock stands off the time that the flow believes; 0: no jump.",
    ),
    MetricDefinition(
        "orderpulse_event_time_delay_seconds",
        "histogram",
        "Wall time minus event time of the newest event when the stages hear of it.",
        buckets=_SECONDS_OF_DELAY,
    ),
    MetricDefinition("orderpulse_buffered_events", "gauge", "Events that wait for the watermark.", ("stage",)),
    MetricDefinition("orderpulse_state_entries", "gauge", "Entries of state held.", ("stage",)),
    MetricDefinition(
        "orderpulse_sink_write_seconds",
        "histogram",
        "How long one write to a sink takes.",
        ("sink",),
        _SECONDS_OF_A_WRITE,
    ),
    MetricDefinition(
        "orderpulse_alert_latency_seconds",
        "histogram",
        "From the append of the record that let time pass an alert's moment until the sinks acknowledged the alert.",
        buckets=_SECONDS_OF_LATENCY,
    ),
    MetricDefinition(
        "orderpulse_alert_latency_part_seconds",
        "histogram",
        "The same by part: read, stages, sinks; and before it, time: from the alert's moment to that append.",
        ("part",),
        _SECONDS_OF_LATENCY,
    ),
    MetricDefinition("orderpulse_sink_errors_total", "counter", "Errors that a sink raised.", ("sink",)),
    MetricDefinition(
        "orderpulse_waiting_seconds",
        "gauge",
        "For how long a sink or a source has stood still; 0: it goes on.",
        ("part",),
    ),
    MetricDefinition("orderpulse_unreachable_partitions", "gauge", "Partitions that do not answer and hold time back."),
    MetricDefinition("orderpulse_left_out_partitions", "gauge", "Partitions without which time goes on by force."),
    MetricDefinition(
        "orderpulse_dead_letter_share_ratio",
        "gauge",
        "Share of dead letters among the last records of a partition.",
        ("topic", "partition"),
    ),
    MetricDefinition(
        "orderpulse_key_group_skew_ratio",
        "gauge",
        "Entries of the largest key group over the mean of all; 1: all alike.",
        ("stage",),
    ),
    MetricDefinition(
        "orderpulse_last_snapshot_seconds",
        "gauge",
        "When the newest snapshot was complete, as seconds since the epoch.",
    ),
    MetricDefinition(
        "orderpulse_snapshot_duration_seconds",
        "histogram",
        "How long the flow stood for one snapshot.",
        buckets=_SECONDS_OF_A_WRITE,
    ),
    MetricDefinition("orderpulse_snapshot_bytes", "gauge", "Bytes that the newest snapshot wrote."),
    MetricDefinition(
        "orderpulse_snapshot_bases_due", "gauge", "Key groups that are yet to be written whole; they do so in turn."
    ),
    MetricDefinition(
        "orderpulse_recovery_seconds", "gauge", "How long the last start took until records were read, state included."
    ),
    MetricDefinition("orderpulse_restarts_total", "counter", "How often the supervisor started this process again."),
    MetricDefinition(
        "orderpulse_intake_requests_total", "counter", "Deliveries of platforms, by outcome.", ("route", "outcome")
    ),
    MetricDefinition(
        "orderpulse_intake_request_seconds",
        "histogram",
        "How long a platform waits for its answer.",
        ("route",),
        _SECONDS_OF_A_WRITE,
    ),
    MetricDefinition("orderpulse_intake_under_way", "gauge", "Deliveries that are being answered."),
    MetricDefinition(
        "orderpulse_intake_mapped_events_total", "counter", "Events that raw records gave.", ("route", "type")
    ),
    MetricDefinition(
        "orderpulse_contract_records_total", "counter", "Raw records that were looked at, by source.", ("source",)
    ),
    MetricDefinition(
        "orderpulse_contract_deviations_total",
        "counter",
        "Raw records whose field is not as the profile expects, by what is wrong.",
        ("source", "field", "what"),
    ),
    MetricDefinition(
        "orderpulse_intake_unmapped_total", "counter", "Raw records with a dead letter.", ("route", "reason")
    ),
    MetricDefinition(
        "orderpulse_fallback_requests_total", "counter", "Orders that operators sent, by outcome.", ("outcome",)
    ),
    MetricDefinition(
        "orderpulse_fallback_waiting_orders", "gauge", "Orders in the journal that the broker does not have yet."
    ),
    MetricDefinition("orderpulse_intake_polled_records_total", "counter", "New records that a poll gave.", ("poll",)),
    MetricDefinition("orderpulse_intake_poll_failures_total", "counter", "Polls without a usable answer.", ("poll",)),
    MetricDefinition(
        "orderpulse_intake_poll_success_seconds",
        "gauge",
        "When a poll last went through, as seconds since the epoch.",
        ("poll",),
    ),
)


class _Family(Generic[M]):
    """Metrics of one kind by name, and what the library has for each set of their labels, which it is slow to find."""

    def __init__(self) -> None:
        self.metrics: dict[str, M] = {}
        self._found: dict[tuple[str, tuple[tuple[str, str], ...]], M] = {}

    def of(self, name: str, labels: dict[str, str]) -> M:
        """The metric itself, or its part with these labels."""
        if not labels:
            return self.metrics[name]
        key = name, tuple(labels.items())
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self.metrics[name].labels(**labels)
        return found


class Metrics:
    """The metrics of one run, in a registry of their own. The methods are safe to call from any thread.

    Each takes the metric's full name and all of its labels; KeyError for a name that METRICS lacks, ValueError for
    labels that are not the metric's.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._counters = _Family[Counter]()
        self._gauges = _Family[Gauge]()
        self._histograms = _Family[Histogram]()
        self._refresh: list[Callable[[Metrics], None]] = []
        for metric in METRICS:
            self._register(metric)

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Let a counter grow."""
        self._counters.of(name, labels).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Give a gauge its value."""
        self._gauges.of(name, labels).set(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add one value to a histogram."""
        self._histograms.of(name, labels).observe(value)

    def refresh_with(self, refresh: Callable[["Metrics"], None]) -> None:
        """Call this before each ``render``, in its thread: for values that change while the flow stands still."""
        self._refresh.append(refresh)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        for refresh in self._refresh:
            refresh(self)
        return generate_latest(_WithoutCreationTimes(self._registry))

    def _register(self, metric: MetricDefinition) -> None:
        match metric.kind:
            case "counter":
                self._counters.metrics[metric.name] = Counter(
                    metric.name, metric.help, metric.labels, registry=self._registry
                )
            case "gauge":
                self._gauges.metrics[metric.name] = Gauge(
                    metric.name, metric.help, metric.labels, registry=self._registry
                )
            case "histogram":
                self._histograms.metrics[metric.name] = Histogram(
                    metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=self._registry
                )


class _WithoutCreationTimes(Collector):
    """Leaves out the `_created` series that the library adds: they are names that the registry does not know."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
